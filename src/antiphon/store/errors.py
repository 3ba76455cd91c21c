"""What the store refuses. `api.store_errors` says it in the API's words; nothing here knows of HTTP."""

from typing import Literal

Listed = Literal[
    "item",
    "file",
    "conversation",
    "run",
    "prompt",
    "version",
    "activity",
    "vector store",
    "container",
    "skill",
    "webhook endpoint",
    "webhook delivery",
]


class StoreError(Exception):
    """The store cannot do what it was asked for."""


class Incompatible(Exception):
    """What keeps the store does not fit this version of Antiphon."""


class NotFound(StoreError):
    """Something that was named is not there."""


class Conflict(StoreError):
    """What is there stands against it. Nothing was written."""


class LostData(Conflict):
    """Data that was to be used is not there any more: what used it last was deleted just now."""


class Invalid(StoreError):
    """It makes no sense as it stands."""


class UnknownCursor(NotFound):
    """A list is asked for from behind something that is not in it."""

    def __init__(self, listed: Listed, after: str) -> None:
        super().__init__(f"{listed} {after}")
        self.listed = listed
        self.after = after


class UnknownFile(NotFound):
    """A file that is to be added to something is not there."""

    def __init__(self, file_id: str) -> None:
        super().__init__(file_id)
        self.file_id = file_id


class UnknownVersion(NotFound):
    """A prompt has no such version."""

    def __init__(self, version: int, newest: int) -> None:
        super().__init__(f"{version} of {newest}")
        self.version = version
        self.newest = newest


class DuplicateItem(Conflict):
    """An item is in a conversation already, or is to be added twice."""

    def __init__(self, item_id: str) -> None:
        super().__init__(item_id)
        self.item_id = item_id


class AlreadyExists(Conflict):
    """Something has that id already."""


class QueueFull(Conflict):
    """As many runs wait as may."""


class Expired(Conflict):
    """It was not used for as long as it was to be kept."""

    def __init__(self, store_id: str) -> None:
        super().__init__(store_id)
        self.store_id = store_id


class ExpiredContainer(Conflict):
    """It was not used for as long as it was to be kept."""


class ContainerBusy(Conflict):
    """Another process uses it."""


class TooManyContainerFiles(Conflict):
    """A container would have more files than it may."""

    def __init__(self, container_id: str, most: int) -> None:
        super().__init__(f"{container_id}: {most}")
        self.most = most


class UnknownBundle(Conflict):
    """A zip of a skill that was there a moment ago."""


class DefaultVersion(Conflict):
    """A skill always has the version that is its default."""

    def __init__(self, skill_id: str, number: int) -> None:
        super().__init__(f"{number} of {skill_id}")
        self.skill_id = skill_id
        self.number = number


class OtherVectors(Conflict):
    """A vector store has vectors that cannot be compared with those of this embedder."""

    def __init__(self, store_id: str, made_with: str, embedder: str) -> None:
        super().__init__(
            f"The vector store was made with the embedder '{made_with}', and this server embeds with "
            f"'{embedder}' ([embeddings] in its configuration): `antiphon files reindex` makes them anew"
        )
        self.store_id = store_id


class TooManyFiles(Conflict):
    """A vector store would have more files than it may."""

    def __init__(self, store_id: str, most: int) -> None:
        super().__init__(f"{store_id}: {most}")
        self.store_id = store_id
        self.most = most


class TooMuchStored(Conflict):
    """The project would keep more bytes than it may."""

    def __init__(self, stored: int, more: int, most: int) -> None:
        super().__init__(f"{stored} + {more} of {most} bytes")
        self.stored = stored
        self.more = more
        self.most = most


class LostRun(Conflict):
    """The run is somebody else's now, or deleted."""


class BadPart(Invalid):
    """A part that an upload cannot be made of."""

    def __init__(self, upload_id: str, part_id: str, index: int, why: Literal["unknown", "repeated"]) -> None:
        super().__init__(f"{part_id} of {upload_id} is {why}")
        self.upload_id = upload_id
        self.part_id = part_id
        self.index = index
        self.why = why


class WrongSize(Invalid):
    """The parts of an upload are not as long as it was to be."""

    def __init__(self, size: int, announced: int) -> None:
        super().__init__(f"{size} of {announced} bytes")
        self.size = size
        self.announced = announced


class WrongChecksum(Invalid):
    """The bytes of an upload are not those that were meant."""
