"""Documents that pages of the web link to."""

from antiphon.retrieval.documents import Documents, Unreadable
from antiphon.web.fetch import Fetched
from antiphon.web.pages import PageError, ReadDocument


def reader(documents: Documents) -> ReadDocument:
    """Reads them as those are read that clients send."""

    async def read(project: str, fetched: Fetched) -> str:
        try:
            found = await documents.read(fetched.data, fetched.filename, fetched.media_type, owner=project)
        except Unreadable as fault:
            raise PageError(f"The document cannot be read: {fault}.") from None
        return found.text

    return read
