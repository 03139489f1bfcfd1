"""Errors of a database that pass: what to do about each, and for how long."""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy.exc import DBAPIError

__all__ = ["Trouble", "trouble_of"]


class Trouble(enum.Enum):
    """A kind of error after which a batch is tried again."""

    BUSY = "another transaction is in the way"
    TIMEOUT = "the batch took too long"
    GONE = "the connection is gone"
    FULL = "the database cannot write"


_SQLSTATES = {
    "40001": Trouble.BUSY,
    "40P01": Trouble.BUSY,
    "55P03": Trouble.BUSY,
    "57014": Trouble.TIMEOUT,
    "25P03": Trouble.TIMEOUT,
    "53100": Trouble.FULL,
    "53200": Trouble.FULL,
    "53300": Trouble.GONE,
    "25006": Trouble.FULL,
    "57P01": Trouble.GONE,
    "57P02": Trouble.GONE,
    "57P03": Trouble.GONE,
}
_MYSQL = {
    1205: Trouble.BUSY,
    1213: Trouble.BUSY,
    1020: Trouble.BUSY,
    1412: Trouble.BUSY,  # the definition has changed, "please retry transaction"
    1969: Trouble.TIMEOUT,
    3024: Trouble.TIMEOUT,
    1317: Trouble.TIMEOUT,
    1021: Trouble.FULL,
    1114: Trouble.FULL,
    1290: Trouble.FULL,
    1836: Trouble.FULL,
    1040: Trouble.GONE,
    1927: Trouble.GONE,
    2002: Trouble.GONE,
    2003: Trouble.GONE,
    2006: Trouble.GONE,
    2013: Trouble.GONE,
}
_SQLITE = {
    "SQLITE_BUSY": Trouble.BUSY,
    "SQLITE_LOCKED": Trouble.BUSY,
    "SQLITE_FULL": Trouble.FULL,
    "SQLITE_READONLY": Trouble.FULL,
    "SQLITE_IOERR": Trouble.FULL,
}


def trouble_of(error: BaseException) -> Trouble | None:
    """Return the kind of an error that passes, or ``None``."""
    cause: Any = error
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return Trouble.GONE
        cause = error.orig
    name = getattr(cause, "sqlite_errorname", None)
    if name is not None:
        found = [kind for start, kind in _SQLITE.items() if name.startswith(start)]
        return found[0] if found else None
    code = next(iter(getattr(cause, "args", ())), None)
    if isinstance(code, int):
        # Before the state: that of a lock that was waited for is HY000 there.
        return _MYSQL.get(code)
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        # Class 08 is about connections.
        return Trouble.GONE if state.startswith("08") else _SQLSTATES.get(state)
    if _is_driver_error(cause, "psycopg"):
        # Without a state the server has not said anything: it is not there.
        return Trouble.GONE if type(cause).__name__ == "OperationalError" else None
    return None


def _is_driver_error(error: object, driver: str) -> bool:
    return type(error).__module__.partition(".")[0] == driver
