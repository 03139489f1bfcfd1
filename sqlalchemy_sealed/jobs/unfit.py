"""Columns that cannot take envelopes as they are: too short, or unique."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Engine, inspect
from sqlalchemy import types as sa

from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.slot import Slot
from sqlalchemy_sealed.jobs.uniques import uniques
from sqlalchemy_sealed.types import EncryptedType

__all__ = ["unfit"]

#: Characters, or bytes, of the shortest envelope of a text: one block of 16 bytes.
_SHORTEST: Final = {"text": 111, "binary": 80}


def unfit(engine: Engine, move: Move) -> Iterator[str]:
    """Return why columns cannot be sealed into, for an error message."""
    inspector: Any = inspect(engine)
    place = {"table_name": move.table.name, "schema": move.table.schema}
    stored = {one["name"]: one["type"] for one in inspector.get_columns(**place)}
    unique = uniques(inspector, move.table.name, move.table.schema)
    for slot in (move.slots[n] for n in move.written):
        kind = slot.column.type
        if not isinstance(kind, EncryptedType):
            continue
        if engine.dialect.name != "sqlite":  # which keeps what it is given
            yield from _too_short(slot, kind, stored.get(slot.name))
            yield from _other_form(slot, kind, stored.get(slot.name))
        if kind.suite is SuiteId.AES_256_SIV:
            continue
        for name in dict.fromkeys(
            str(one["name"]) for one in unique if slot.name in one["column_names"]
        ):
            yield (
                f"{name} makes {slot.name} unique, which would end without a word, "
                "since equal values have different envelopes: drop it, and declare "
                "index=BlindIndex(unique=True)"
            )


def _too_short(slot: Slot, kind: EncryptedType[Any], stored: Any) -> Iterator[str]:
    length = getattr(stored, "length", None)
    limited = isinstance(stored, sa.String | sa.VARBINARY | sa.BINARY)
    shortest = _SHORTEST[kind.storage]
    if limited and isinstance(length, int) and length < shortest:
        yield (
            f"{slot.name} holds {length} characters or bytes, and the shortest "
            f"envelope has {shortest}: widen it first, as op.encrypt_column does"
        )


def _other_form(slot: Slot, kind: EncryptedType[Any], stored: Any) -> Iterator[str]:
    is_text = isinstance(stored, sa.String)
    if stored is not None and is_text and kind.storage == "binary":
        yield (
            f"{slot.name} is a character column, and envelopes are bytes: declare "
            'storage="text", or change the column by a revision (op.encrypt_column)'
        )
