"""Encrypt: plaintext is sealed for the first time, into its own column or another.

Between two columns the plaintext is never touched. A sealed value that is there
already, since the application writes both, is opened and compared; one that differs is
listed, because nobody here can know which of the two is newer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, and_, or_

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.identity import Kind
from sqlalchemy_sealed.jobs.kinds.fillindex import TermFiller, fillers_of
from sqlalchemy_sealed.jobs.kinds.pair import Pair, pairs_of
from sqlalchemy_sealed.jobs.kinds.reencrypt import other_header, sealed_slot, values_of
from sqlalchemy_sealed.jobs.kinds.seal import (
    SealAndIndex,
    SealInPlace,
    SealLegacy,
    SealPlaintext,
)
from sqlalchemy_sealed.jobs.move import Change, Left, Move, value_position
from sqlalchemy_sealed.jobs.slot import Form, Slot
from sqlalchemy_sealed.jobs.values import ColumnValues

__all__ = ["encrypt"]


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
        legacy=tuple(one for pair in pairs for one in pair.sealed.type.legacy),
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
            place = at, width, number, source_wins
            decode = slots[plain].decoder(engine.dialect)
            changes.append(SealPlaintext(one, *place, decode))
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
