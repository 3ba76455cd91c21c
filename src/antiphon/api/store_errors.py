"""What the store refuses, in the API's words: the one place that turns a store's error into an answer."""

from antiphon.protocol.errors import ApiError, InsufficientStorage, InvalidRequest, NotFound, Unavailable
from antiphon.store.errors import (
    BadPart,
    DefaultVersion,
    DuplicateItem,
    Expired,
    ExpiredContainer,
    TooManyContainerFiles,
    TooManyFiles,
    TooMuchStored,
    UnknownBundle,
    UnknownCursor,
    UnknownFile,
    UnknownVersion,
    WrongChecksum,
    WrongSize,
)


def api_error(error: Exception) -> ApiError | None:
    """The answer; None for what the store did not refuse, or no request can bring about."""
    match error:
        case UnknownCursor():
            return NotFound(_unknown_cursor(error), param="after")
        case UnknownVersion():
            words = f"The prompt has no version '{error.version}': its newest is '{error.newest}'."
            return _invalid(words, "default_version")
        case DuplicateItem():
            words = f"Duplicate item found with id {error.item_id}. Remove duplicate items from your input"
            return InvalidRequest(f"{words} and try again.", param="items")
        case BadPart():
            return _invalid(_bad_part(error), f"part_ids[{error.index}]")
        case WrongSize():
            words = f"The parts have {error.size} bytes, but {error.announced} were announced."
            return _invalid(words, "part_ids")
        case WrongChecksum():
            return _invalid("The md5 checksum does not match the bytes that were uploaded.", "md5")
        case TooMuchStored():
            return _too_much_stored(error)
        case UnknownFile() | Expired() | TooManyFiles():
            return _of_vector_store(error)
        case ExpiredContainer() | TooManyContainerFiles() | DefaultVersion() | UnknownBundle():
            return _of_container(error)
    return None


def _of_container(
    error: ExpiredContainer | TooManyContainerFiles | DefaultVersion | UnknownBundle,
) -> ApiError:
    match error:
        case UnknownBundle():
            return Unavailable("The skill was deleted this very moment. Please try again.", retry_after=1.0)
        case ExpiredContainer():
            return InvalidRequest("Container is expired.")
        case TooManyContainerFiles():
            return InvalidRequest(f"A container may have at most {error.most} files.", param="file")
        case DefaultVersion():
            return InvalidRequest(
                f"Version '{error.number}' is the default of the skill, and so it cannot be deleted. Make "
                f"another version the default first (POST /v1/skills/{error.skill_id}), or delete the skill.",
                param="version",
                code="default_version",
            )


def _of_vector_store(error: UnknownFile | Expired | TooManyFiles) -> ApiError:
    match error:
        case UnknownFile():
            return NotFound(f"No such File object: {error.file_id}", param="file_id")
        case Expired():
            return InvalidRequest(f"Vector store '{error.store_id}' has expired")
        case TooManyFiles():
            return InvalidRequest(f"A vector store may have at most {error.most} files.", param="file_ids")


def _too_much_stored(error: TooMuchStored) -> InsufficientStorage:
    return InsufficientStorage(
        f"This project keeps {error.stored} bytes on this server, and may keep {error.most} (stored_bytes of "
        f"[limits]): {error.more} more cannot be stored. Delete responses, items of conversations, "
        'prompts, files, containers or skills that are not needed any more, or send "store": false.',
        code="storage_quota_exceeded",
    )


def _unknown_cursor(error: UnknownCursor) -> str:
    match error.listed:
        case "item":
            return f"Item with id '{error.after}' not found."
        case "file":
            return f"No such File object: {error.after}"
    return f"Nothing with id '{error.after}' is in this list."


def _bad_part(error: BadPart) -> str:
    wrong = "is named twice" if error.why == "repeated" else f"is no part of upload '{error.upload_id}'"
    return f"Part '{error.part_id}' {wrong}."


def _invalid(words: str, param: str) -> InvalidRequest:
    return InvalidRequest(words, param=param, code="invalid_value")
