"""``Encryption``: seals plaintext for the first time, beside a live application."""

from __future__ import annotations

from sqlalchemy_sealed.jobs.kinds.encrypt import encrypt
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.pairjob import PairJob

__all__ = ["Encryption"]


class Encryption(PairJob):
    """Seals plaintext columns of a table.

    Between two columns the plaintext stays until the application drops it. A sealed
    value that is there already is compared, and listed where it differs. Arguments are
    those of :class:`PairJob`.
    """

    def _move(self) -> Move:
        return encrypt(self._engine, self._target, self._columns, self._source_wins)
