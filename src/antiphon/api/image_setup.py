"""What makes pictures, as the configuration says."""

from antiphon.api.surroundings import secret
from antiphon.backends.image_dialects import ROWS
from antiphon.backends.image_server import RemoteImageServer
from antiphon.config import Config
from antiphon.model.image import ImageFault
from antiphon.web.fetch import Fetcher


def image_server_of(config: Config, fetcher: Fetcher | None = None) -> RemoteImageServer | None:
    """With its key read from the environment. `fetcher` gets pictures that the server has put elsewhere.
    None: none is set up."""
    settings = config.images
    if settings.base_url is None or settings.model is None:
        return None

    async def fetch(url: str) -> bytes:
        if fetcher is None:
            raise ImageFault("Nothing is fetched here.")
        return (await fetcher.fetch(url)).data

    return RemoteImageServer(
        settings.base_url,
        settings.model,
        fetch=fetch,
        api_key=secret(settings.api_key_env),
        dialect=ROWS[settings.dialect] if settings.dialect else None,
        models=settings.models,
        seconds=settings.timeout,
        answer_bytes=config.limits.answer_bytes,
    )
