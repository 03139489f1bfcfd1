"""Fill index: terms of blind indexes are computed from what is sealed already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine

from sqlalchemy_sealed.columns import SOURCE, TERMS
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.indexer import Indexer, indexer_of
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.jobs.identity import Kind
from sqlalchemy_sealed.jobs.kinds.reencrypt import sealed_slot, values_of
from sqlalchemy_sealed.jobs.move import Change, Move, Row
from sqlalchemy_sealed.jobs.slot import Form, Slot
from sqlalchemy_sealed.jobs.values import ColumnValues
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["TermFiller", "fill_index", "fillers_of"]

_Fillers = Callable[[Sequence[Slot]], list["TermFiller"]]


class TermFiller(Change):
    """Computes the terms of one index column."""

    def __init__(
        self,
        indexer: Indexer,
        values: Sequence[ColumnValues],
        sources: Sequence[int],
        slot: int,
    ) -> None:
        self.name = "+".join(one.name for one in values)
        self.slot = sources[0]
        self.sources = tuple(sources)
        self._indexer = indexer
        self._values = values
        self._term_slot = slot

    def fill(self, row: Row, new: list[Any]) -> bool:
        """Compute the term of the values that the row is about to have."""
        opened = [
            None if new[at] is None else one.open_in(new[at], row)
            for one, at in zip(self._values, self.sources, strict=True)
        ]
        term = None
        if any(value is not None for value in opened):
            value = tuple(opened) if len(opened) > 1 else opened[0]
            tenant = None
            if self._indexer.field.tenant_scoped:
                tenant = self._values[0].tenant(row)
            term = self._indexer.term(value, tenant)
        old = new[self._term_slot]
        if term == (None if old is None else bytes(old)):
            return False
        new[self._term_slot] = term
        return True

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Compute the term of the values that the row has."""
        return self.fill(row, new)


def fill_index(engine: Engine, sealed: SealedTable) -> Move:
    """Return the move that fills every index column of a table.

    Raises:
        ConfigurationError: the table has no blind index.

    """
    sources = [sealed_slot(column, is_written=False) for column in sealed.columns]
    fillers, terms = fillers_of(engine, sealed, 0, len(sources))
    slots = (*sources, *terms)
    found = fillers(slots)
    if not found:
        raise ConfigurationError(
            f"{sealed.name} has no blind index. Declare one: index=BlindIndex()"
        )
    keyring = binding_of(engine.dialect).keyring(sealed.name)
    kids = (keyring.index_key(one.index.version).kid for one in _terms_of(sealed))
    return Move(
        Kind.FILL_INDEX,
        sealed.table,
        slots,
        sealed.tenants,
        b"".join(kids),
        tuple(found),
    )


def fillers_of(
    engine: Engine, sealed: SealedTable, first: int, terms_at: int
) -> tuple[_Fillers, list[Slot]]:
    """Return what fills the index columns of a table, and their slots.

    Args:
        engine: with index keys.
        sealed: the sealed columns whose terms are filled.
        first: the slot of the first of them.
        terms_at: the slot of the first index column.

    """
    names = [column.name for column in sealed.columns]
    found = []
    for name, kind in _terms(sealed):
        wanted = _sources(sealed, name, kind)
        if all(one in names for one in wanted):
            found.append((name, kind, wanted))
    slots = [
        Slot(sealed.table.c[name], Form.BYTES, is_written=True) for name, _, _ in found
    ]

    def fillers(all_slots: Sequence[Slot]) -> list[TermFiller]:
        binding = binding_of(engine.dialect)
        by_name = {
            c.name: values_of(engine, sealed, c, all_slots) for c in sealed.columns
        }
        return [
            TermFiller(
                indexer_of(binding, kind.index),
                [by_name[one] for one in wanted],
                [first + names.index(one) for one in wanted],
                terms_at + number,
            )
            for number, (_, kind, wanted) in enumerate(found)
        ]

    return fillers, slots


def _terms(sealed: SealedTable) -> list[tuple[str, IndexTermType]]:
    return [
        (column.key, column.type)
        for column in sealed.table.columns
        if isinstance(column.type, IndexTermType)
    ]


def _terms_of(sealed: SealedTable) -> list[IndexTermType]:
    return [kind for _, kind in _terms(sealed)]


def _sources(sealed: SealedTable, key: str, kind: IndexTermType) -> list[str]:
    """Return the names of the sealed columns that a term is computed from."""
    table = sealed.table
    if SOURCE in table.c[key].info:  # beside EncryptedType
        return [table.c[table.c[key].info[SOURCE]].name]
    if isinstance(kind.source, str):
        return [table.c[kind.source].name if kind.source in table.c else kind.source]
    if kind.source is not None:
        return [name for _, name in kind.source]
    # A pinned field: the sealed column knows its terms.
    name = table.c[key].name
    return [
        column.name for column in table.columns if name in column.info.get(TERMS, ())
    ][:1]
