"""What can be wrong with the place where things are kept, whatever keeps them: full, damaged, out of reach.

Such a fault comes from wherever something is read or written. It is known by what the system or the database
raised, and so needs no translation at each of those places.
"""

import errno
import sqlite3
from enum import Enum


class StorageFault(Enum):
    """What is wrong."""

    FULL = "full"
    DAMAGED = "damaged"
    UNAVAILABLE = "unavailable"


_OF_SYSTEM = {
    errno.ENOSPC: StorageFault.FULL,
    errno.EDQUOT: StorageFault.FULL,
    errno.EROFS: StorageFault.UNAVAILABLE,
    errno.EIO: StorageFault.UNAVAILABLE,
}
_OF_SQLITE = {
    sqlite3.SQLITE_FULL: StorageFault.FULL,
    sqlite3.SQLITE_CORRUPT: StorageFault.DAMAGED,
    sqlite3.SQLITE_NOTADB: StorageFault.DAMAGED,
    sqlite3.SQLITE_READONLY: StorageFault.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: StorageFault.UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: StorageFault.UNAVAILABLE,
    sqlite3.SQLITE_BUSY: StorageFault.UNAVAILABLE,
    sqlite3.SQLITE_LOCKED: StorageFault.UNAVAILABLE,
    sqlite3.SQLITE_PERM: StorageFault.UNAVAILABLE,
}
_PRIMARY = 0xFF
"""The part of SQLite's codes that is the same for all faults of one kind."""


# PostgreSQL's (appendix A of its manual); with two letters a whole class of them.
_OF_SQLSTATE = {
    "53100": StorageFault.FULL,
    "XX001": StorageFault.DAMAGED,
    "XX002": StorageFault.DAMAGED,
    "25006": StorageFault.UNAVAILABLE,  # read only: another server has taken its place
    "53": StorageFault.UNAVAILABLE,
    "55": StorageFault.UNAVAILABLE,
    "57": StorageFault.UNAVAILABLE,
    "58": StorageFault.UNAVAILABLE,
    "08": StorageFault.UNAVAILABLE,
    "40": StorageFault.UNAVAILABLE,
}


class Unreachable(Exception):
    """The database is not there, or the connection to it broke. What was asked for may have happened."""


def storage_fault(error: BaseException) -> StorageFault | None:
    """What an error says of the storage; None when it is about something else."""
    if isinstance(error, sqlite3.Error):
        # Absent where Python itself refuses, as for a connection that is closed.
        return _OF_SQLITE.get(getattr(error, "sqlite_errorcode", -1) & _PRIMARY)
    if isinstance(error, Unreachable):
        return StorageFault.UNAVAILABLE
    sqlstate = getattr(error, "sqlstate", None)  # without the driver, which not every server has
    if isinstance(sqlstate, str):
        return _OF_SQLSTATE.get(sqlstate) or _OF_SQLSTATE.get(sqlstate[:2])
    if isinstance(error, OSError):
        return _OF_SYSTEM.get(error.errno or 0)
    return None
