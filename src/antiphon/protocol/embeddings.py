"""POST /embeddings, where this server embeds itself."""

from typing import Annotated, Literal

from msgspec import Meta

from antiphon.protocol.wire import Wire

MOST_INPUTS = 2048


class EmbeddingsRequest(Wire):
    """The body of POST /embeddings. Tokens instead of texts are another model's, and not read."""

    input: str | Annotated[list[str], Meta(min_length=1, max_length=MOST_INPUTS)]
    model: str
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None
