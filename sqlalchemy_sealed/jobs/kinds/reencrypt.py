"""Re-encrypt: sealed values move to the active key, in the same column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, or_

from sqlalchemy_sealed.envelope import to_text
from sqlalchemy_sealed.fastcolumn import ColumnResealer
from sqlalchemy_sealed.jobs.identity import Kind
from sqlalchemy_sealed.jobs.kinds.whereitis import ChangeWhereItIs
from sqlalchemy_sealed.jobs.literal import starts_with
from sqlalchemy_sealed.jobs.move import Left, Move, Row, tenant_position
from sqlalchemy_sealed.jobs.slot import Form, Slot
from sqlalchemy_sealed.jobs.values import ColumnValues
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.targets import SealedColumn, SealedTable

__all__ = ["other_header", "reencrypt", "sealed_slot", "values_of"]


class Reseal(ChangeWhereItIs):
    """Seals the value of one column anew, unless it is under the active key."""

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the value anew."""
        stored = row[self._at]
        if stored is None:
            return False
        return self._values.reseal_into(new, self.slot, stored, row)

    def alone(self) -> Callable[[Any], Any] | None:
        """Return the function for values that do not need their row."""
        return None if self._values.is_bound else self._values.reseal

    def column(self) -> ColumnResealer | None:
        """Return the function for many values."""
        return self._values.reseal_column


def reencrypt(engine: Engine, sealed: SealedTable) -> Move:
    """Return the move of every sealed column of a table to the active key."""
    slots = tuple(sealed_slot(column, is_written=True) for column in sealed.columns)
    values = [values_of(engine, sealed, c, slots) for c in sealed.columns]
    headers = [one.active_header() for one in values]
    return Move(
        Kind.REENCRYPT,
        sealed.table,
        slots,
        sealed.tenants,
        b"".join(headers),
        tuple(Reseal(one, len(sealed.key), n) for n, one in enumerate(values)),
        _left(engine, slots, headers),
    )


def sealed_slot(column: SealedColumn, is_written: bool) -> Slot:
    """Return the slot of a sealed column."""
    form = Form.TEXT if column.is_text else Form.BYTES
    return Slot(column.column, form, is_written)


def values_of(
    engine: Engine,
    sealed: SealedTable,
    column: SealedColumn,
    slots: Sequence[Slot],
    beside: Sequence[str] = (),
) -> ColumnValues:
    """Return what opens and seals the values of a column of a move.

    Args:
        engine: with a keyring.
        sealed: the table.
        column: its sealed column.
        slots: the columns at work.
        beside: columns that are read behind the tenants.

    """
    width, behind = len(sealed.key), (*sealed.tenants, *beside)

    def position(name: str | None) -> int | None:
        return None if name is None else tenant_position(width, slots, behind, name)

    own = next((one.beside for one in column.type.legacy if one.beside in beside), None)
    return ColumnValues(
        column,
        sealed.key,
        binding_of(engine.dialect),
        position(column.tenant),
        position(own),
    )


def other_header(
    engine: Engine, slot: Slot, column: ColumnElement[Any], header: bytes
) -> ColumnElement[bool]:
    """Return the condition that a value has another header; NULL has none."""
    prefix = to_text(header) if slot.form is Form.TEXT else header
    value = slot.bytewise(column, engine.dialect)
    return ~starts_with(value, prefix, engine.dialect)


def _left(engine: Engine, slots: Sequence[Slot], headers: Sequence[bytes]) -> Left:
    def left(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        parts = zip(slots, columns, headers, strict=True)
        return or_(*(other_header(engine, *part) for part in parts))

    return left
