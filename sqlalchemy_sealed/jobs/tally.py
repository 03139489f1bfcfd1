"""The tally: counts of a run as one worker knows them, for progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy_sealed.jobs.progress import Counts, Progress
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.runrow import RunRow
from sqlalchemy_sealed.jobs.status import RunStatus

__all__ = ["Tally"]

#: Other workers count too: the database is asked again after this many seconds.
_FRESH: Final = 2.0


class Tally:
    """What all workers have done, refreshed from the database now and then."""

    def __init__(self, run: Run, report: Callable[[Progress], None]) -> None:
        self._run = run
        self._report = report
        self._counts = Counts()
        self._total = self._left = self._sweep = 0
        self._asked = float("-inf")

    def begin(self, row: RunRow) -> None:
        """Take the counts of the pass at work, if they are old."""
        if row.sweep != self._sweep:
            self.forget()
        self._sweep = row.sweep
        self._refresh()

    def forget(self) -> None:
        """Ask the database the next time."""
        self._asked = float("-inf")

    def add(self, added: Counts) -> Counts:
        """Count a batch of this worker, and report; return all counts."""
        self._counts += added
        self._left -= added.scanned
        self._refresh()
        self._report(self.progress(RunStatus.RUNNING.value))
        return self._counts

    def show(self, row: RunRow) -> None:
        """Report what other workers have done."""
        self.begin(row)
        self._report(self.progress(row.status.value))

    def wait(self, row: RunRow, why: str) -> None:
        """Report why the worker waits."""
        self.begin(row)
        self._report(self.progress(RunStatus.PAUSED.value, why))

    def end(self, row: RunRow) -> Progress:
        """Report how the run has ended."""
        self.forget()
        self.begin(row)
        progress = self.progress(row.status.value)
        self._report(progress)
        return progress

    def progress(self, status: str, note: str | None = None) -> Progress:
        """Return how far the run is."""
        return Progress(
            self._run.table,
            status,
            self._total,
            self._counts,
            self._sweep,
            max(0, self._left),
            note,
        )

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._asked < _FRESH:
            return
        self._asked = now
        self._counts, self._total, self._left = self._run.counts(self._sweep)
