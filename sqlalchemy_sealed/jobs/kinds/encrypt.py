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
from sqlalchemy_sealed.jobs.kinds.pair import Pair, Placed, pairs_of, placed
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
    places = placed(pairs)
    changes = _changes(engine, places, values, slots, source_wins)
    headers = [one.active_header() for one in values]
    return Move(
        Kind.ENCRYPT,
        sealed.table,
        slots,
        (*sealed.tenants, *beside),
        b"".join(headers),
        tuple(_with_terms(changes, fillers(slots))),
        _left(engine, places, slots, headers),
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
    places: Sequence[Placed],
    values: Sequence[ColumnValues],
    slots: Sequence[Slot],
    source_wins: bool,
) -> list[Change]:
    width = len(tuple(slots[0].column.table.primary_key.columns))
    changes: list[Change] = []
    for one, own in zip(places, values, strict=True):
        if one.plain is None:
            changes.append(SealInPlace(own, width, one.sealed))
            continue
        at = value_position(width, slots, one.plain)
        place = at, width, one.sealed, source_wins
        if one.pair.sealed.type.legacy:
            changes.append(SealLegacy(own, *place))
        else:
            decode = slots[one.plain].decoder(engine.dialect)
            changes.append(SealPlaintext(own, *place, decode))
    return changes


def _left(
    engine: Engine,
    places: Sequence[Placed],
    slots: Sequence[Slot],
    headers: Sequence[bytes],
) -> Left:
    def left(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        conditions: list[ColumnElement[bool]] = []
        for one, header in zip(places, headers, strict=True):
            sealed = columns[one.sealed]
            old = other_header(engine, slots[one.sealed], sealed, header)
            if one.plain is not None:
                both = and_(columns[one.plain].is_not(None), sealed.is_(None))
                old = or_(old, both)
            conditions.append(old)
        return or_(*conditions)

    return left
