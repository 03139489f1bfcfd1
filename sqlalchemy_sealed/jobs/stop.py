"""A request to stop, made by a signal handler or another thread."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Stop"]

_SLICE: Final = 0.05


class Stop:
    """A flag that is set once.

    Not an Event: a signal handler that sets one waits for a lock that the thread it
    has interrupted may hold.
    """

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Ask to stop."""
        self._set = True

    def is_set(self) -> bool:
        """Tell whether it was asked."""
        return self._set

    def wait(self, seconds: float) -> None:
        """Sleep, but not much longer than until it is asked."""
        until = time.monotonic() + seconds
        while not self._set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))
