"""Errors of a database that pass, as its driver raises them."""

from __future__ import annotations

import random
import sqlite3

from sqlalchemy.exc import OperationalError

from faults.place import Place

__all__ = ["passing_error"]

_SQLSTATES = ("40001", "40P01", "55P03", "57014", "08006")
_MYSQL = (1205, 1213, 1020, 3024, 2013)
_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR")


def passing_error(place: Place, chooser: random.Random) -> OperationalError:
    """Return one of them; at COMMITTED it is an answer that was lost."""
    original: Exception
    if place.name == "postgresql":
        from psycopg import errors

        state = chooser.choice(_SQLSTATES)
        original = errors.lookup(state)("injected")
    elif place.name == "mysql":
        from pymysql.err import OperationalError as DriverError

        original = DriverError(chooser.choice(_MYSQL), "injected")
    else:
        original = sqlite3.OperationalError("injected")
        vars(original)["sqlite_errorname"] = chooser.choice(_SQLITE)
    return OperationalError("injected", {}, original)
