"""The row id of a row: one function for the ORM and for the jobs.

Type and bytes follow from the declared SQL type of every key column, whatever Python
value a driver returns (docs/FORMAT.md, "Associated data").
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Column
from sqlalchemy import types as sa

from sqlalchemy_sealed.associated import row_id
from sqlalchemy_sealed.errors import DeclarationError

__all__ = ["row_id_of"]

_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (sa.Enum, ""),
    (sa.Boolean, ""),
    (sa.Float, ""),
    (sa.Integer, "i"),
    (sa.Numeric, "n"),
    (sa.Uuid, "u"),
    (sa.String, "s"),
    (sa.DateTime, "t"),
    (sa.Date, "d"),
    (sa.LargeBinary, "b"),
    (sa.BINARY, "b"),
    (sa.VARBINARY, "b"),
)


def row_id_of(key: Sequence[Column[Any]]) -> Callable[[Sequence[Any]], bytes]:
    """Return the function from the values of a primary key to its row id.

    Args:
        key: the primary key columns, in the order of the table.

    Raises:
        DeclarationError: a key column has a type that identifies no row exactly.

    """
    columns = [(_kind(column), isinstance(column.type, sa.CHAR)) for column in key]

    def encode(values: Sequence[Any]) -> bytes:
        return row_id(
            [
                (kind, _typed(kind, padded, value))
                for (kind, padded), value in zip(columns, values, strict=True)
            ]
        )

    return encode


def _typed(kind: str, padded: bool, value: Any) -> Any:
    """Return what the driver of another database would have given for the key."""
    if isinstance(value, str):
        if padded:
            return value.rstrip(" ")
        # SQLite has no dates of its own.
        if kind == "d":
            return dt.date.fromisoformat(value)
        if kind == "t":
            return dt.datetime.fromisoformat(value)
    if kind == "n" and isinstance(value, float):
        return decimal.Decimal(repr(value))
    return value


def _kind(column: Column[Any]) -> str:
    for kind, letter in _KINDS:
        if isinstance(column.type, kind) and letter:
            return letter
        if isinstance(column.type, kind):
            break
    raise DeclarationError(
        f'{column.table.name}.{column.name}: bind="row" needs a primary key of '
        f"integers, text, UUIDs, dates, datetimes, decimals or bytes, not "
        f"{type(column.type).__name__}. Bind to the field, or use another key"
    )
