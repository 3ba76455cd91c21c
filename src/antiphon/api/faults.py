"""What nobody has foreseen, in the API's words: the storage is no more what it was, or we have a fault."""

import structlog

from antiphon.protocol.errors import ApiError, InsufficientStorage, Unavailable
from antiphon.store.faults import StorageFault, storage_fault

log = structlog.get_logger()

STOPPING = "The server is stopping. Please try again."
_RETRY_SECONDS = 30.0


def unforeseen(error: Exception, what: str, **about: str) -> ApiError:
    """The fault that is sent for an error, which is logged: `what` went wrong."""
    fault = storage_fault(error)
    if fault is None:
        log.error(what, exc_info=error, **about)
        return ApiError("The server had an error while processing your request.")
    log.error(what, storage=fault.value, error=str(error), **about)
    if fault is StorageFault.FULL:
        return InsufficientStorage(
            "The storage of this server is full, so nothing more can be stored. Delete responses, "
            'conversations or files that are not needed any more, send "store": false, or have the operator '
            "make room on the disk of data_dir.",
            code="storage_full",
        )
    if fault is StorageFault.DAMAGED:
        return Unavailable(
            "The storage of this server is damaged: its operator finds more in the log, and must restore the "
            "database in data_dir from a copy.",
            code="storage_damaged",
            retry_after=_RETRY_SECONDS,
        )
    return Unavailable(
        "The storage of this server cannot be read or written now: its operator finds more in the log.",
        code="storage_unavailable",
        retry_after=_RETRY_SECONDS,
    )
