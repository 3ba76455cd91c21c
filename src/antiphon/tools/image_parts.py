"""Pictures that were made, as a model reads them."""

import binascii
from base64 import b64decode
from collections.abc import Sequence

from antiphon.model import ImagePart, Part, TextPart
from antiphon.retrieval.kinds import image_type

_HEAD = 64
"""Characters of base64 that say what kind of picture it is."""
_SEEN = "The picture was made, and the user sees it. Neither describe it nor link to it unless asked to."
_UNSEEN = "The picture was made, and the user sees it; you cannot. Do not describe it."


def shown(results: Sequence[str], images: bool) -> tuple[Part, ...]:
    """Results in base64: as pictures, for a model that reads images; else in words."""
    urls = [url for result in results if images and (url := _data_url(result))]
    if not urls:
        return (TextPart(_UNSEEN),)
    return (TextPart(_SEEN), *map(ImagePart, urls))


def _data_url(result: str) -> str | None:
    """None: no picture that models read, such as SVG."""
    try:
        kind = image_type(b64decode(result[:_HEAD], validate=True))
    except (binascii.Error, ValueError):
        return None
    return f"data:{kind};base64,{result}" if kind else None
