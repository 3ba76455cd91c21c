"""Endpoints that clients made: with secrets of ours, which are sealed where they are kept."""

import time
from collections.abc import Sequence
from typing import Final

import structlog

from antiphon.context.seal import Seal
from antiphon.protocol.ids import new_webhook_endpoint_id
from antiphon.store.webhook_endpoints import EndpointRow, SealedSecret, WebhookEndpoints
from antiphon.webhooks.endpoints import Endpoint, key_of, new_secret

log = structlog.get_logger()

KIND: Final = "webhook secret"
_SHOWN: Final = 4
"""Characters of a secret's end that a hint has."""
KEPT_SECONDS: Final = 24 * 60 * 60
"""How long the secret in front of a new one counts, if that is wished."""


class StoredEndpoints:
    """Those of all projects."""

    def __init__(self, rows: WebhookEndpoints, seal: Seal) -> None:
        self._rows = rows
        self._seal = seal

    async def create(
        self, project: str, name: str, url: str, events: Sequence[str]
    ) -> tuple[EndpointRow, str] | None:
        """The endpoint and its secret, which is never shown again; None: the project has too many."""
        secret, now = new_secret(), int(time.time())
        row = EndpointRow(
            project=project,
            id=new_webhook_endpoint_id(),
            name=name,
            url=url,
            events=events,
            secret=self._sealed(project, secret),
            created_at=now,
            updated_at=now,
        )
        return (row, secret) if await self._rows.create(row) else None

    async def rotate(
        self, project: str, endpoint_id: str, kept_seconds: int
    ) -> tuple[EndpointRow, str] | None:
        """The endpoint and its new secret. The one before counts for `kept_seconds`."""
        secret, now = new_secret(), int(time.time())
        sealed = self._sealed(project, secret)
        row = await self._rows.rotate(project, endpoint_id, sealed, now, now + kept_seconds)
        return None if row is None else (row, secret)

    async def wanting(self, project: str, event: str) -> Sequence[Endpoint]:
        """Those of a project that want an event of this type."""
        rows = await self._rows.of(project)
        found = [self.opened(row) for row in rows if event in row.events]
        return [each for each in found if each is not None]

    async def get(self, project: str, endpoint_id: str) -> Endpoint | None:
        row = await self._rows.get(project, endpoint_id)
        return None if row is None else self.opened(row)

    async def awaited(self) -> Sequence[tuple[str, str]]:
        """The projects and ids of those for which something waits."""
        return await self._rows.awaited()

    def opened(self, row: EndpointRow) -> Endpoint | None:
        """None: its secret was sealed with another key than this server has."""
        secret = self._seal.open(row.project, KIND, row.secret.text)
        if secret is None:
            log.error("the secret of a webhook endpoint was sealed with another key", endpoint=row.id)
            return None
        old = None if row.old_secret is None else self._seal.open(row.project, KIND, row.old_secret)
        return Endpoint(
            row.id,
            row.url,
            key_of(secret),
            frozenset(row.events),
            row.project,
            None if old is None else key_of(old),
            row.old_until,
        )

    def _sealed(self, project: str, secret: str) -> SealedSecret:
        return SealedSecret(self._seal.seal(project, KIND, secret), f"whsec_…{secret[-_SHOWN:]}")
