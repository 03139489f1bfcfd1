"""The end of a pass: look for what is left, sweep again, or close the run.

A run ends after two looks in a row that found nothing. Between them a fence may be put
up, or a time waited for in which every cached key expires: then it is "complete".
Without either it has "caught up", and a process with an old keyring may still write an
old value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.fence import Fence, FenceKind, put_up, validate
from sqlalchemy_sealed.jobs.leftovers import Leftovers
from sqlalchemy_sealed.jobs.plan import PlannedRange
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.runrow import RunRow
from sqlalchemy_sealed.jobs.status import RunStatus
from sqlalchemy_sealed.jobs.tables import database_time
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["Ending"]

#: P8: a run ends in bounded passes, also beside a process that never learns.
_SWEEPS: Final = 10
_LONGEST_WAIT: Final = 15.0


@dataclass
class Ending:
    """Ends the passes of a run; any of its workers may.

    Attributes:
        sealed: the table, for fences.
        fence: the kind of fence that is put up before the last look.
        settle: seconds after which no process writes under a former key any more;
            ``None`` is not known.
        plan: cuts the table into ranges.

    """

    engine: Engine
    run: Run
    leftovers: Leftovers
    plan: Callable[[], Sequence[PlannedRange]]
    sealed: SealedTable | None
    fence: FenceKind | None
    settle: float | None

    def step(self, row: RunRow) -> float:
        """Do the next thing after a pass; return seconds to wait before another."""
        if self.leftovers.can_tell:
            left = self.leftovers.except_dead(self.run.dead)
        else:
            left = int(self.run.ranges.changed(row.sweep))
        steps.reached(steps.Step.LOOKED)
        if left:
            return self._again(row)
        if row.empty_looks == 0:
            self._first_empty(row)
            return 0.0
        return self._second_empty(row)

    def _again(self, row: RunRow) -> float:
        if row.sweep >= _SWEEPS:
            self._close(RunStatus.CAUGHT_UP)
            return 0.0
        moved = self.run.ranges.moved(row.sweep)
        self.run.next_sweep(row, self.plan())
        steps.reached(steps.Step.SWEPT)
        # A pass that could move nothing met rows that somebody holds: give them time.
        return 0.0 if moved else min(_LONGEST_WAIT, 0.25 * 2**row.sweep)

    def _first_empty(self, row: RunRow) -> None:
        self._fences()
        if self.leftovers.can_tell:
            self.run.found_empty(row)
        else:
            # Only another pass can look.
            self.run.next_sweep(row, self.plan(), empty_looks=1)
            steps.reached(steps.Step.SWEPT)

    def _second_empty(self, row: RunRow) -> float:
        ahead = self._ahead(row)
        if ahead > 0:
            return ahead
        fences = self._fences()
        if self.sealed is not None:
            for fence in fences:
                validate(self.engine, self.sealed, fence)
        keys = self.fence is FenceKind.KEYS
        settled = self.settle is not None
        self._close(RunStatus.COMPLETE if keys or settled else RunStatus.CAUGHT_UP)
        return 0.0

    def _ahead(self, row: RunRow) -> float:
        if self.settle is None or row.emptied_at is None:
            return 0.0
        with self.engine.connect() as connection:
            return row.emptied_at + self.settle - database_time(connection)

    def _fences(self) -> list[Fence]:
        if self.fence is None or self.sealed is None:
            return []
        return put_up(self.engine, self.sealed, self.fence)

    def _close(self, status: RunStatus) -> None:
        if self.run.change(status):
            steps.reached(steps.Step.ENDED)
