"""The types in which PostgreSQL gets the arrays of a batch."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Dialect

from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.slot import Form, Slot

__all__ = ["fits", "key_type", "slot_type"]


def fits(move: Move) -> bool:
    """Tell whether the columns of a move have a binary form of their own here."""
    simple = (sa.String, sa.LargeBinary, sa.Integer)
    for slot in move.slots:
        if slot.form is Form.PLAIN:
            kind = slot.column.type
            wanted: Any = sa.String if slot.is_written else simple
            if not isinstance(kind, wanted) or isinstance(kind, sa.Enum):
                return False
    return True


def slot_type(slot: Slot) -> str:
    """Return the type of a slot's tokens."""
    return "bytea" if slot.form is Form.BYTES else "text"


def key_type(kind: Any, dialect: Dialect) -> str:
    """Return the type a key value is cast to: never a length, which would cut it."""
    for base, name in _KEY_TYPES:
        if isinstance(kind, base):
            return name
    return str(kind.compile(dialect=dialect))


_KEY_TYPES: Final = (
    (sa.CHAR, "bpchar"),
    (sa.String, "text"),
    (sa.Integer, "bigint"),
    (sa.Numeric, "numeric"),
)
