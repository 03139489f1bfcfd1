"""Pace: how fast a job may go beside an application, and when it has to wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.stop import Stop
from sqlalchemy_sealed.jobs.window import Window

__all__ = ["Pace", "Pacer", "Signal"]

#: Tells why to wait, or ``None``.
Signal = Callable[[], str | None]

_FEWEST_ROWS: Final = 10
_SMOOTHING: Final = 0.3
#: A wait that is shorter is slept with the range still leased.
_LONG: Final = 5.0


@dataclass(frozen=True)
class Pace:
    """How fast a job goes. The defaults suit a table that an application is using.

    Args:
        rate: rows per second of the whole run, shared by its workers; ``None`` is as
            fast as it goes.
        batch_rows: most rows of a transaction.
        batch_seconds: what a batch should take; the number of rows follows, by a
            moving average.
        polite: on PostgreSQL and MariaDB, skip rows that the application has locked
            instead of waiting a few milliseconds for them.
        max_lag: seconds that a replica may be behind (PostgreSQL).
        throttle_query: SQL that makes the job wait while its first value is true.
        pause_file: the job waits while this file exists.
        window: hours of the day in which the job works.
        vacuum: on PostgreSQL, vacuum the table after every tenth of it.

    Raises:
        ConfigurationError: a number that cannot be meant.

    """

    rate: float | None = 5_000
    batch_rows: int = 200
    batch_seconds: float = 0.05
    polite: bool = True
    max_lag: float | None = None
    throttle_query: str | None = None
    pause_file: Path | None = None
    window: Window | None = None
    vacuum: bool = False

    def __post_init__(self) -> None:
        if self.batch_rows < 1:
            raise ConfigurationError("a batch has 1 or more rows")
        numbers = (self.rate, self.batch_seconds, self.max_lag)
        if any(number is not None and not number > 0 for number in numbers):
            raise ConfigurationError(
                "rate, batch_seconds and max_lag are more than 0; rate=None is no limit"
            )

    @classmethod
    def full_speed(cls) -> Pace:
        """Return the pace for a maintenance window: nothing else needs the table."""
        return cls(rate=None, batch_rows=1_000, batch_seconds=0.5, polite=False)

    def with_rows(self, batch_rows: int | None) -> Pace:
        """Return the same pace with other batches."""
        return self if batch_rows is None else replace(self, batch_rows=batch_rows)


@dataclass
class Pacer:
    """Keeps one worker at its pace.

    Args:
        pace: what is asked for.
        signals: what may make it wait; asked at most once a second.
        stop: set when the worker shall end.
        workers: how many share the rate.

    """

    pace: Pace
    signals: Sequence[Signal]
    stop: Stop
    workers: Callable[[], int] = lambda: 1
    #: Rows of the next batch.
    rows: int = 0
    _per_row: float | None = field(default=None, init=False)
    _due: float = field(default=0.0, init=False)
    _asked: float = field(default=float("-inf"), init=False)
    _sharing: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self.rows = self.pace.batch_rows

    def reason(self) -> str | None:
        """Return why the worker has to wait, if it has to."""
        now = time.monotonic()
        if now - self._asked < 1.0:
            return None
        self._asked = now
        self._sharing = max(1, self.workers())
        return next((why for signal in self.signals if (why := signal())), None)

    def ask_again(self) -> None:
        """Ask the signals at the next opportunity."""
        self._asked = float("-inf")

    def after(self, rows: int, seconds: float) -> None:
        """Learn from a batch, and wait until the next one is due."""
        if rows and seconds > 0:
            measured = seconds / rows
            before = measured if self._per_row is None else self._per_row
            self._per_row = before + _SMOOTHING * (measured - before)
            wanted = int(self.pace.batch_seconds / self._per_row)
            most = self.pace.batch_rows
            self.rows = max(min(_FEWEST_ROWS, most), min(most, wanted))
        if self.pace.rate is not None:
            now = time.monotonic()
            # A pause is not caught up with: that would be a burst.
            self._due = (
                max(self._due, now - 0.1) + rows * self._sharing / self.pace.rate
            )
            self.sleep(min(self._due - now, _LONG))

    def halve(self) -> None:
        """Make batches smaller after one has taken too long."""
        self.rows = max(1, self.rows // 2)
        self._per_row = self.pace.batch_seconds / self.rows

    def sleep(self, seconds: float) -> None:
        """Wait, but not when the worker shall end."""
        if seconds > 0:
            self.stop.wait(seconds)
