"""``IndexFill``: computes the terms of blind indexes from what is sealed already."""

from __future__ import annotations

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.jobs.job import Job
from sqlalchemy_sealed.jobs.kinds.fillindex import fill_index
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.targets import SealedTable, sealed_tables

__all__ = ["IndexFill"]


class IndexFill(Job):
    """Fills every blind index of a target: a new one, or one of a new key version.

    Terms that are there are computed again and corrected. Arguments and methods are
    those of :class:`Job`.
    """

    def moves(self) -> list[tuple[SealedTable, Move]]:
        """Return what becomes of each table that has an index."""
        found = [
            (sealed, fill_index(self._engine, sealed))
            for sealed in sealed_tables(self._target)
            if any(isinstance(c.type, IndexTermType) for c in sealed.table.columns)
        ]
        if not found:
            raise ConfigurationError(
                "no blind index was found in the target; declare one with "
                "index=BlindIndex()"
            )
        return found
