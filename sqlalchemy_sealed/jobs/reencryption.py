"""``Reencryption``: moves every row to the active key, resumably."""

from __future__ import annotations

from sqlalchemy_sealed.jobs.job import Job, Report
from sqlalchemy_sealed.jobs.kinds.reencrypt import reencrypt
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.targets import SealedTable, sealed_tables

__all__ = ["Reencryption", "Report"]


class Reencryption(Job):
    """Re-encrypts the sealed columns of a target under the active key.

    Arguments and methods are those of :class:`Job`.
    """

    def moves(self) -> list[tuple[SealedTable, Move]]:
        """Return what becomes of each table."""
        tables = sealed_tables(self._target)
        return [(sealed, reencrypt(self._engine, sealed)) for sealed in tables]
