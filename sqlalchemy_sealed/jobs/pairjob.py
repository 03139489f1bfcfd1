"""A job between pairs of columns: a plaintext one and a sealed one, either way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from sqlalchemy_sealed.jobs.job import Job
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.targets import SealedTable, sealed_tables

__all__ = ["PairJob"]


class PairJob(Job):
    """Moves the values of pairs of columns; what becomes of them, a subclass says.

    Args:
        engine: a synchronous engine with a keyring.
        target: one mapped class or Table.
        columns: database name of each plaintext column to that of its sealed one; the
            same name twice is a character column that holds both, in turn.
        source_wins: write the value of the column that values come from even where
            the other one holds another value, instead of listing the row. Only while
            nobody else writes the other one.
        options: those of :class:`Job`.

    """

    def __init__(
        self,
        engine: Engine,
        target: Any,
        columns: Mapping[str, str],
        *,
        source_wins: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(engine, target, **options)
        self._columns = dict(columns)
        self._source_wins = source_wins

    def _move(self) -> Move:
        """Return what becomes of the rows."""
        raise NotImplementedError

    def moves(self) -> list[tuple[SealedTable, Move]]:
        """Return what becomes of the table."""
        move = self._move()
        [sealed] = sealed_tables(move.table)
        chosen = set(self._columns.values())
        own = tuple(c for c in sealed.columns if c.name in chosen)
        return [(SealedTable(sealed.table, own), move)]
