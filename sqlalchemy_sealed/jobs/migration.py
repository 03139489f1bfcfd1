"""``Migration``: seals what a table still holds of former times, in its own columns."""

from __future__ import annotations

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.job import Job
from sqlalchemy_sealed.jobs.kinds.encrypt import encrypt
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.targets import SealedTable, sealed_tables

__all__ = ["Migration"]


class Migration(Job):
    """Seals legacy values and plaintext where the columns declare them.

    Every column of the target with ``legacy=`` or ``plaintext=`` is moved, with the
    terms of its blind index. Arguments are those of :class:`Job`.

    Raises:
        ConfigurationError: no column of the target declares any.

    """

    def moves(self) -> list[tuple[SealedTable, Move]]:
        """Return what becomes of each table."""
        found = []
        for sealed in sealed_tables(self._target):
            own = tuple(c for c in sealed.columns if c.type.legacy or c.type.policy)
            if own:
                columns = {column.name: column.name for column in own}
                move = encrypt(self._engine, sealed.table, columns)
                found.append((SealedTable(sealed.table, own), move))
        if not found:
            raise ConfigurationError(
                "no column of the target declares legacy= or plaintext=, so there is "
                "nothing to migrate in place. From one column to another: sealed "
                "encrypt"
            )
        return found
