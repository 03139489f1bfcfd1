"""Errors of the database as a job may show them: without a value of a row."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)

from sqlalchemy_sealed.engine import hide_parameters
from sqlalchemy_sealed.errors import WriteRefusedError
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.duplicates import duplicates
from sqlalchemy_sealed.jobs.portable import PortableRows

__all__ = ["refused", "showing", "shown"]

_T = TypeVar("_T")

#: SQLSTATE of RAISE EXCEPTION in PL/pgSQL; the message is the application's.
_RAISED: Final = "P0001"
#: CHECK of MariaDB and of MySQL, and SIGNAL of both, which drivers know as nothing.
_NUMBERS: Final = frozenset((4025, 3819, 1644))
#: How SQLite begins when it quotes a text that is not UTF-8.
_QUOTED: Final = "Could not decode to UTF-8"


def refused(
    engine: Engine, rows: PortableRows, batch: Batch, error: IntegrityError
) -> BaseException:
    """Return the error that is raised when a constraint has refused a batch."""
    equal = ""
    with suppress(SQLAlchemyError):  # what happened first is the one to tell
        equal = duplicates(engine, rows, batch)
    return _refused(rows.name, error.orig, equal)


def shown(table: str, error: BaseException) -> BaseException:
    """Return the error that is raised instead of one that happened in a job.

    A refused row is quoted by the database itself, in the message or in its DETAIL;
    and a row with one value that is not sealed is compared by all of them.
    """
    if isinstance(error, DBAPIError) and _is_refusal(error):
        return _refused(table, error.orig)
    # SQLite's driver is asked without SQLAlchemy, too.
    if str(getattr(error, "orig", error)).startswith(_QUOTED):
        return WriteRefusedError(
            f"{table}: a stored text is not valid UTF-8, so that the driver cannot "
            "read it. Nothing was written; repair it, and run again. It is not shown, "
            "since it may be plaintext"
        )
    if isinstance(error, StatementError):
        hide_parameters(error)
    return error


def showing(table: str, turn: Callable[[], _T]) -> _T:
    """Do something; raise what may be shown of an error, instead of it."""
    try:
        return turn()
    except Exception as error:  # noqa: BLE001 - raised below
        failed = error
    # Not while it is handled: the error may quote a row.
    instead = shown(table, failed)
    del failed  # a traceback may be kept with the variables of this call
    raise instead


def _is_refusal(error: DBAPIError) -> bool:
    if isinstance(error, IntegrityError | DataError):
        return True
    cause: Any = error.orig
    return getattr(cause, "sqlstate", None) == _RAISED or _number(cause) in _NUMBERS


def _number(cause: Any) -> int | None:
    number = next(iter(cause.args), None)
    return number if isinstance(number, int) else None


def _refused(table: str, cause: Any, equal: str = "") -> WriteRefusedError:
    name = type(cause).__name__
    constraint = getattr(getattr(cause, "diag", None), "constraint_name", None)
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    code = code or _number(cause)
    where = f" by the constraint {constraint}" if constraint else ""
    if equal:
        return WriteRefusedError(
            f"{table}: the database refused a batch{where} ({name}, {code}), since "
            f"values have to be unique: {equal}. Nothing of it was written; change the "
            "second of each pair, which is not moved yet, or declare the index without "
            "unique=True, and run again. Later batches were not looked at"
        )
    return WriteRefusedError(
        f"{table}: the database refused a batch{where} ({name}, {code}). Nothing of it "
        "was written; change the constraint or the column, and run again. The row is "
        "not shown, since it may hold plaintext"
    )
