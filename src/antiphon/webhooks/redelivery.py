"""Sending a webhook once more, because somebody wishes it."""

import time
from collections.abc import Container

from antiphon.store.store import Store
from antiphon.store.webhooks import DeliveryRow


async def redeliver(store: Store, configured: Container[str], delivery: DeliveryRow) -> bool:
    """Have it sent as if it were new, by the server that runs or will run. `configured`: the endpoints that
    the configuration names. False: its endpoint is not there any more."""
    there = delivery.endpoint in configured or bool(
        await store.webhook_endpoints.get(delivery.project, delivery.endpoint)
    )
    return there and await store.webhooks.again(delivery.id, time.time())
