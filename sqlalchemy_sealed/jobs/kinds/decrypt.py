"""Decrypt: the way back. Sealed values become plaintext, in the same column or another.

Between two columns the sealed values stay. A plaintext that is there already is
compared, and listed where it differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, or_

from sqlalchemy_sealed.envelope import TEXT_PREFIX
from sqlalchemy_sealed.errors import EncodingError, MismatchError
from sqlalchemy_sealed.jobs.identity import Kind
from sqlalchemy_sealed.jobs.kinds.pair import Placed, pairs_of, placed
from sqlalchemy_sealed.jobs.kinds.reencrypt import sealed_slot, values_of
from sqlalchemy_sealed.jobs.kinds.whereitis import ChangeWhereItIs
from sqlalchemy_sealed.jobs.literal import starts_with
from sqlalchemy_sealed.jobs.move import Change, Left, Move, Row, value_position
from sqlalchemy_sealed.jobs.slot import Form, Slot, decoded
from sqlalchemy_sealed.jobs.values import ColumnValues

__all__ = ["decrypt"]


class Unseal(Change):
    """Opens the value of one column into another."""

    def __init__(
        self,
        values: ColumnValues,
        decode: Callable[[Any], Any],
        plain_at: int,
        sealed_at: int,
        slot: int,
        source_wins: bool,
    ) -> None:
        self.name = values.name
        self.slot = slot
        self._source_wins = source_wins
        self._values = values
        self._decode = decode
        self._plain_at = plain_at
        self._sealed_at = sealed_at

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Open the value, where there is no plaintext yet."""
        stored, raw = row[self._sealed_at], row[self._plain_at]
        if stored is None and raw is None:
            return False
        value = None if stored is None else self._opened(stored, row)
        differs = raw is None or stored is None
        if not differs and decoded(self._decode, raw, self.name) != value:
            differs = True
        if differs and (raw is None or self._source_wins):
            new[self.slot] = value
            return True
        if differs:
            raise MismatchError(
                f"{self.name}: plaintext and sealed value differ; both were left alone"
            )
        return False

    def _opened(self, stored: Any, row: Row) -> Any:
        value = self._values.open_in(stored, row)
        after = self._values.after
        return value if after is None else after(value)


class UnsealInPlace(ChangeWhereItIs):
    """Opens the value of a character column where it is."""

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Open the value, unless it is plaintext again."""
        text = row[self._at]
        if text is None or not text.startswith(TEXT_PREFIX):
            return False
        # What is stored is what the application's own types have made of a value.
        value = self._values.text_in(text, row)
        if value.startswith(TEXT_PREFIX):
            raise EncodingError(
                f"{self.name}: the plaintext begins as an envelope does, and could not "
                "be told from one in this column; decrypt it to another one"
            )
        new[self.slot] = value
        return True


def decrypt(
    engine: Engine, target: Any, columns: Mapping[str, str], source_wins: bool = False
) -> Move:
    """Return the move of sealed columns into plaintext ones.

    Args:
        engine: with a keyring.
        target: a mapped class or a Table.
        columns: name of each plaintext column to that of its sealed one.
        source_wins: whether a plaintext that differs is written anew.

    """
    sealed, pairs = pairs_of(target, columns)
    plain = [
        Slot(pair.plain, Form.PLAIN, is_written=True)
        for pair in pairs
        if not pair.in_place
    ]
    stored = [sealed_slot(pair.sealed, is_written=pair.in_place) for pair in pairs]
    slots = (*plain, *stored)
    values = [values_of(engine, sealed, pair.sealed, slots) for pair in pairs]
    places = placed(pairs)
    return Move(
        Kind.DECRYPT,
        sealed.table,
        slots,
        sealed.tenants,
        b"plaintext",
        tuple(_changes(engine, places, values, slots, source_wins)),
        _left(engine, places, slots),
        tuple(
            (n, value_position(len(sealed.key), slots, n), slot.decoder(engine.dialect))
            for n, slot in enumerate(plain)
        ),
    )


def _changes(
    engine: Engine,
    places: Sequence[Placed],
    values: Sequence[ColumnValues],
    slots: Sequence[Slot],
    source_wins: bool,
) -> list[Change]:
    width = len(tuple(slots[0].column.table.primary_key.columns))
    changes: list[Change] = []
    for one, own in zip(places, values, strict=True):
        if one.plain is None:
            changes.append(UnsealInPlace(own, width, one.sealed))
            continue
        decode = slots[one.plain].decoder(engine.dialect)
        at = value_position(width, slots, one.plain), width + one.sealed
        changes.append(Unseal(own, decode, *at, one.plain, source_wins))
    return changes


def _left(engine: Engine, places: Sequence[Placed], slots: Sequence[Slot]) -> Left:
    def left(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        conditions: list[ColumnElement[bool]] = []
        for one in places:
            sealed = columns[one.sealed]
            if one.plain is None:
                text = slots[one.sealed].bytewise(sealed, engine.dialect)
                conditions.append(starts_with(text, TEXT_PREFIX, engine.dialect))
            else:
                both = sealed.is_not(None), columns[one.plain].is_(None)
                conditions.append(and_(*both))
        return or_(*conditions)

    return left
