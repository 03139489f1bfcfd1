"""Encrypt: plaintext is sealed for the first time, into its own column or another.

Between two columns the plaintext is never touched. A sealed value that is there
already, since the application writes both, is opened and compared; one that differs is
listed, because nobody here can know which of the two is newer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, and_, or_

from sqlalchemy_sealed.errors import ConfigurationError, MismatchError
from sqlalchemy_sealed.jobs.identity import Kind
from sqlalchemy_sealed.jobs.kinds.fillindex import TermFiller, fillers_of
from sqlalchemy_sealed.jobs.kinds.pair import Pair, pairs_of
from sqlalchemy_sealed.jobs.kinds.reencrypt import other_header, sealed_slot, values_of
from sqlalchemy_sealed.jobs.move import Change, Left, Move, Row, value_position
from sqlalchemy_sealed.jobs.slot import Form, Slot, decoded
from sqlalchemy_sealed.jobs.values import ColumnValues
from sqlalchemy_sealed.unsealed import is_unsealed

__all__ = ["encrypt"]


class Seal(Change):
    """Seals the plaintext of one column into another."""

    def __init__(
        self,
        values: ColumnValues,
        decode: Callable[[Any], Any],
        plain_at: int,
        width: int,
        slot: int,
        source_wins: bool,
    ) -> None:
        self.name = values.name
        self.slot = slot
        self._source_wins = source_wins
        self._values = values
        self._decode = decode
        self._plain_at = plain_at
        self._sealed_at = width + slot

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the plaintext, where there is no sealed value yet."""
        raw, stored = row[self._plain_at], row[self._sealed_at]
        if stored is None and raw is None:
            return False
        value = None if raw is None else self._value(raw)
        differs = stored is None or raw is None
        if not differs and self._values.open_in(stored, row) != value:
            differs = True
        if differs and (stored is None or self._source_wins):
            new[self.slot] = None if raw is None else self._values.seal_in(value, row)
            return True
        if differs:
            raise MismatchError(
                f"{self.name}: plaintext and sealed value differ; both were left alone"
            )
        return self._values.reseal_into(new, self.slot, stored, row)

    def _value(self, raw: Any) -> Any:
        value = decoded(self._decode, raw, self.name)
        return value if self._values.before is None else self._values.before(value)


class SealLegacy(Change):
    """Seals what another library has encrypted in one column into another."""

    def __init__(
        self,
        values: ColumnValues,
        plain_at: int,
        width: int,
        slot: int,
        source_wins: bool,
    ) -> None:
        self.name = values.name
        self.slot = slot
        self._source_wins = source_wins
        self._values = values
        self._plain_at = plain_at
        self._sealed_at = width + slot

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the legacy value, where there is no sealed value yet."""
        raw, stored = row[self._plain_at], row[self._sealed_at]
        if raw is None and stored is None:
            return False
        plain = None if raw is None else self._values.migrated(raw, row)
        differs = stored is None or self._values.canonical(stored, row) != plain
        if differs and (stored is None or self._source_wins):
            values = self._values
            new[self.slot] = None if plain is None else values.seal_bytes_in(plain, row)
            return True
        if differs:
            raise MismatchError(
                f"{self.name}: legacy and sealed value differ; both were left alone"
            )
        return self._values.reseal_into(new, self.slot, stored, row)


class SealInPlace(Change):
    """Seals the plaintext or legacy value of a column where it is."""

    def __init__(self, values: ColumnValues, width: int, slot: int) -> None:
        self.name = values.name
        self.slot = slot
        self._values = values
        self._at = width + slot

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the value, unless it is an envelope of this column."""
        stored = row[self._at]
        if stored is None:
            return False
        if not is_unsealed(stored, self._values.is_text):
            # The shape without a known key, or a failed tag, is never plaintext.
            return self._values.reseal_into(new, self.slot, stored, row)
        # What is stored is what the application's own types have made of a value.
        plain = self._values.migrated(stored, row)
        new[self.slot] = self._values.seal_bytes_in(plain, row)
        return True


class SealAndIndex(Change):
    """A change of a sealed value together with its index terms."""

    def __init__(self, change: Change, fillers: Sequence[TermFiller]) -> None:
        self.name = change.name
        self.slot = change.slot
        self._change = change
        self._fillers = fillers

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the value and compute its terms."""
        changed = self._change.apply(row, new)
        for filler in self._fillers:
            changed = filler.fill(row, new) or changed
        return changed


def encrypt(
    engine: Engine, target: Any, columns: Mapping[str, str], source_wins: bool = False
) -> Move:
    """Return the move of plaintext columns into sealed ones.

    Args:
        engine: with a keyring.
        target: a mapped class or a Table.
        columns: name of each plaintext column to that of its sealed one.
        source_wins: whether a sealed value that differs is sealed anew.

    """
    sealed, pairs = pairs_of(target, columns)
    plain = [
        Slot(pair.plain, Form.PLAIN, is_written=False)
        for pair in pairs
        if not pair.in_place
    ]
    written = [sealed_slot(pair.sealed, is_written=True) for pair in pairs]
    fillers, terms = fillers_of(engine, sealed, len(plain), len(plain) + len(written))
    slots = (*plain, *written, *terms)
    beside = _beside(sealed.table, pairs)
    values = [values_of(engine, sealed, pair.sealed, slots, beside) for pair in pairs]
    changes = _changes(engine, pairs, values, slots, len(plain), source_wins)
    headers = [one.active_header() for one in values]
    return Move(
        Kind.ENCRYPT,
        sealed.table,
        slots,
        (*sealed.tenants, *beside),
        b"".join(headers),
        tuple(_with_terms(changes, fillers(slots))),
        _left(engine, pairs, slots, headers),
        is_legacy=any(pair.sealed.type.legacy for pair in pairs),
    )


def _beside(table: Table, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the columns that legacy values need beside themselves."""
    names = [one.beside for pair in pairs for one in pair.sealed.type.legacy]
    found = tuple(dict.fromkeys(name for name in names if name is not None))
    known = {column.name for column in table.columns}
    for name in found:
        if name not in known:
            raise ConfigurationError(
                f"{table.fullname} has no column {name}, which iv_column= names: "
                "declare it in the model until every value is moved"
            )
    return found


def _with_terms(
    changes: Sequence[Change], fillers: Sequence[TermFiller]
) -> Sequence[Change]:
    # Terms of several columns go with the last of them, whose value is there by then.
    last = {max(one.sources): one for one in fillers}
    found = []
    for change in changes:
        own = [one for one in fillers if max(one.sources) == change.slot]
        found.append(SealAndIndex(change, own) if change.slot in last else change)
    return found


def _changes(
    engine: Engine,
    pairs: Sequence[Pair],
    values: Sequence[ColumnValues],
    slots: Sequence[Slot],
    first: int,
    source_wins: bool,
) -> list[Change]:
    width = len(tuple(slots[0].column.table.primary_key.columns))
    changes: list[Change] = []
    plain = 0
    for number, (pair, one) in enumerate(zip(pairs, values, strict=True), first):
        if pair.in_place:
            changes.append(SealInPlace(one, width, number))
            continue
        at = value_position(width, slots, plain)
        if pair.sealed.type.legacy:
            changes.append(SealLegacy(one, at, width, number, source_wins))
        else:
            decode = slots[plain].decoder(engine.dialect)
            changes.append(Seal(one, decode, at, width, number, source_wins))
        plain += 1
    return changes


def _left(
    engine: Engine,
    pairs: Sequence[Pair],
    slots: Sequence[Slot],
    headers: Sequence[bytes],
) -> Left:
    beside = sum(not pair.in_place for pair in pairs)

    def left(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        conditions: list[ColumnElement[bool]] = []
        plain = 0
        for number, (pair, header) in enumerate(zip(pairs, headers, strict=True)):
            at = beside + number
            old = other_header(engine, slots[at], columns[at], header)
            if not pair.in_place:
                both = and_(columns[plain].is_not(None), columns[at].is_(None))
                old = or_(old, both)
                plain += 1
            conditions.append(old)
        return or_(*conditions)

    return left
