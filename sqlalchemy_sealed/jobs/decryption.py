"""``Decryption``: the way back: sealed values become plaintext, resumably."""

from __future__ import annotations

from sqlalchemy_sealed.jobs.kinds.decrypt import decrypt
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.pairjob import PairJob

__all__ = ["Decryption"]


class Decryption(PairJob):
    """Opens sealed columns of a table into plaintext ones.

    Between two columns the sealed values stay. A plaintext that is there already is
    compared, and listed where it differs. Arguments are those of :class:`PairJob`.
    """

    def _move(self) -> Move:
        return decrypt(self._engine, self._target, self._columns, self._source_wins)
