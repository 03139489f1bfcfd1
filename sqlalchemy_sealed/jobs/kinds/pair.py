"""Pairs of a plaintext column and a sealed one: which, and how values are read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.targets import SealedColumn, SealedTable, sealed_tables

__all__ = ["Pair", "Placed", "pairs_of", "placed"]


@dataclass(frozen=True)
class Pair:
    """A plaintext column and a sealed one; in place, both are the same column.

    Attributes:
        plain: the plaintext column, with the type of its values.
        sealed: the sealed column.

    """

    plain: Column[Any]
    sealed: SealedColumn

    @property
    def in_place(self) -> bool:
        """Whether one column holds both, in turn."""
        return self.plain is self.sealed.column


@dataclass(frozen=True)
class Placed:
    """A pair, and the slots of a move that its columns are in.

    Attributes:
        pair: the pair.
        sealed: number of the slot of the sealed column.
        plain: number of that of the plaintext column; ``None`` in place.

    """

    pair: Pair
    sealed: int
    plain: int | None


def placed(pairs: Sequence[Pair]) -> list[Placed]:
    """Return pairs in the slots of a move: plaintext columns, then sealed ones."""
    beside = itertools.count()
    first = sum(not pair.in_place for pair in pairs)
    return [
        Placed(pair, n, None if pair.in_place else next(beside))
        for n, pair in enumerate(pairs, first)
    ]


def pairs_of(
    target: Any, columns: Mapping[str, str]
) -> tuple[SealedTable, tuple[Pair, ...]]:
    """Resolve the names of plaintext columns to sealed ones.

    Args:
        target: a mapped class or a Table.
        columns: name of each plaintext column to that of its sealed one; the same
            name twice is a column that holds both, in place.

    Raises:
        ConfigurationError: a column is not there, or cannot hold what it should.

    """
    tables = sealed_tables(target)
    if len(tables) != 1 or not columns:
        raise ConfigurationError(
            "name one mapped class or Table, and its columns: "
            '{"ssn": "ssn_encrypted"}, or {"ssn": "ssn"} in place'
        )
    [sealed] = tables
    table = sealed.table
    by_name = {column.name: column for column in sealed.columns}
    found = []
    for plain, name in columns.items():
        if name not in by_name:
            raise ConfigurationError(
                f"{table.fullname}.{name} is no sealed column; "
                f"sealed are: {', '.join(by_name)}"
            )
        pair = Pair(_column(table, plain), by_name[name])
        _check(table, pair, by_name)
        found.append(pair)
    own = tuple(pair.sealed for pair in found)
    return SealedTable(table, own), tuple(found)


def _column(table: Table, name: str) -> Column[Any]:
    for column in table.columns:
        if column.name == name:
            return column
    raise ConfigurationError(f"{table.fullname} has no column {name}")


def _check(table: Table, pair: Pair, sealed: Mapping[str, SealedColumn]) -> None:
    where = f"{table.fullname}.{pair.plain.name}"
    declared = pair.sealed.type
    former = declared.legacy or declared.policy
    if pair.in_place and not pair.sealed.is_text and not former:
        raise ConfigurationError(
            f"{where}: only a character column can hold plaintext and envelopes in "
            'turn. Declare storage="text", or add a second column'
        )
    if pair.in_place and getattr(declared.inner, "values_callable", None) is not None:
        raise ConfigurationError(
            f"{where}: an Enum with values_callable= cannot be sealed in place, since "
            "the text of one member may be the name of another. Add a second column"
        )
    raw = [type(one).__name__ for one in declared.legacy if not one.is_ascii]
    if pair.in_place and raw:
        raise ConfigurationError(
            f"{where}: raw bytes of {', '.join(raw)} could be taken for an envelope. "
            "Add a second column, and move them there"
        )
    if not pair.in_place and pair.plain.name in sealed:
        raise ConfigurationError(f"{where} is a sealed column; name a plaintext one")
    if pair.plain.primary_key:
        raise ConfigurationError(f"{where} is part of the primary key")
