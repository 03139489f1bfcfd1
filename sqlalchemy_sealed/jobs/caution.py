"""Whether the next batch may be written before its rows are known to be free."""

from __future__ import annotations

from typing import Final

__all__ = ["Caution"]

#: Batches that are written politely after one has met a lock.
_BATCHES: Final = 50


class Caution:
    """Remembers that a batch met a row that an application held.

    Args:
        polite: whether every batch asks first.

    """

    def __init__(self, polite: bool) -> None:
        self._polite = polite
        self._left = 0

    def hurries(self) -> bool:
        """Tell whether the next batch may hurry; it counts."""
        if self._polite:
            return False
        if not self._left:
            return True
        self._left -= 1
        return False

    def met_a_lock(self) -> None:
        """Ask first, for some batches."""
        self._left = _BATCHES
