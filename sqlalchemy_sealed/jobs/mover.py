"""The mover: one table, from opening its run to closing it, with the work between."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.errors import RunInterruptedError, TargetChangedError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.ending import Ending
from sqlalchemy_sealed.jobs.fence import FenceKind
from sqlalchemy_sealed.jobs.leftovers import Leftovers
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.pace import Pace, Pacer
from sqlalchemy_sealed.jobs.plan import PlannedRange, plan_ranges
from sqlalchemy_sealed.jobs.preflight import Preflight, inspect_table
from sqlalchemy_sealed.jobs.progress import Progress
from sqlalchemy_sealed.jobs.refusal import shown
from sqlalchemy_sealed.jobs.rowkey import RowKey
from sqlalchemy_sealed.jobs.rows import rows_of
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.runrow import RunRow
from sqlalchemy_sealed.jobs.schema import check_schema, schema_hash
from sqlalchemy_sealed.jobs.signals import signals_of
from sqlalchemy_sealed.jobs.stop import Stop
from sqlalchemy_sealed.jobs.tables import create_tables
from sqlalchemy_sealed.jobs.tally import Tally
from sqlalchemy_sealed.jobs.transient import Trouble, trouble_of
from sqlalchemy_sealed.jobs.trial import Trial
from sqlalchemy_sealed.jobs.vacuum import Vacuum
from sqlalchemy_sealed.jobs.worker import Worker
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["Mover", "Options"]

_T = TypeVar("_T")

_LOOK_AGAIN: Final = 1.0
#: How often an opening is tried while other processes open the same run.
_ATTEMPTS: Final = 5
#: Values that may fail where nothing else was asked for.
_MAX_DEAD: Final = 1000


@dataclass(frozen=True)
class Options:
    """What a job was asked for, the same for every table.

    Args:
        pace: how fast, and when to wait.
        range_size: rows per range of the primary key.
        max_dead_letters: values that may fail before a run is stopped; ``None`` for
            1,000, and for none of a format that nothing authenticates.
        fence: what is fenced before a run is called complete.
        settle: seconds after which every process writes under the active key.

    """

    pace: Pace
    range_size: int = 50_000
    max_dead_letters: int | None = None
    fence: FenceKind | None = None
    settle: float | None = None


class Mover:
    """Moves one table; any number of processes may do so together."""

    def __init__(
        self,
        engine: Engine,
        move: Move,
        sealed: SealedTable,
        options: Options,
        report: Callable[[Progress], None],
        stop: Stop,
        target_now: Callable[[], bytes],
    ) -> None:
        self.engine = engine
        self.move = move
        self._target_now = target_now
        self._range_size = options.range_size
        self.rows = rows_of(engine, move, options.pace.polite)
        self.run = Run(engine, move.identity)
        self.leftovers = Leftovers(engine, self.rows)
        allowed = options.max_dead_letters
        self.trial = Trial(engine, self.rows, self.leftovers, allowed or 0)
        self.tally = Tally(self.run, report)
        pacer = Pacer(
            options.pace,
            signals_of(engine, options.pace),
            stop,
            lambda: len(self.run.ranges.workers()),
        )
        self.worker = Worker(
            engine,
            self.rows,
            self.run,
            pacer,
            self.tally,
            _MAX_DEAD if allowed is None else allowed,
            self._check,
        )
        self._ending = Ending(
            engine,
            self.run,
            self.leftovers,
            self.plan,
            sealed,
            options.fence,
            options.settle,
        )
        self._vacuum = Vacuum(engine, move, self.run) if options.pace.vacuum else None

    def try_out(self) -> Preflight:
        """Look at the table as before a run, and try some of its rows."""
        return self._once_more(self._try_out)

    def _try_out(self) -> Preflight:
        found = self.preflight()
        if not found.refusals:
            found.refusals += self.trial.refusals()
        if self.leftovers.can_tell and not found.refusals:
            tried, dead = self.leftovers.sample()
            if dead:
                why = ", ".join(sorted({letter.error for letter in dead}))
                found.warnings.append(
                    f"{len(dead)} values of the first {tried} rows cannot be moved "
                    f"({why}): look at the keyring, and at sealed verify"
                )
        return found

    def try_rows(self, keys: Sequence[RowKey]) -> None:
        """Try the legacy values of some rows, before they are moved.

        Raises:
            PreflightError: more of them than allowed do not open.

        """
        self._once_more(partial(self.trial.check, keys))

    def preflight(self, count: bool = True) -> Preflight:
        """Look at the table, and write nothing."""
        return inspect_table(self.engine, self.rows, count)

    def open(self) -> bool:
        """Join the run of the table, or start one; tell whether it was there.

        Raises:
            PreflightError: the table cannot be moved safely.
            SchemaChangedError: the database has not the columns of the model.
            RunConflictError: a different run is open on the table.

        """
        return self._once_more(self._open)

    def _open(self) -> bool:
        create_tables(self.engine)
        schema = schema_hash(self.engine, self.move)
        found = self.preflight(count=False)
        found.check()
        found.refusals += self.trial.refusals()
        found.check()
        joined = self.run.open(self.plan, schema)
        steps.reached(steps.Step.OPENED)
        return joined

    def _once_more(self, turn: Callable[[], _T]) -> _T:
        """Do something that may be repeated, while others are in the way of it."""
        attempt = 0
        while True:
            try:
                return turn()
            except DBAPIError as error:
                failed = error
            # Not while it is handled: the error may quote a row.
            attempt += 1
            if trouble_of(failed) is not Trouble.BUSY or attempt == _ATTEMPTS:
                instead = shown(self.move.name, failed)
                del failed  # a traceback may be kept with the variables of this call
                raise instead
            self.worker.pacer.sleep(random.uniform(0.0, 0.1 * attempt))  # noqa: S311 - not for secrets

    def work(self, ranges: Callable[[], RunRow] | None = None) -> RunRow:
        """Work until the run is over, and return its row.

        Args:
            ranges: works through the ranges of a pass; this process alone by default.

        Raises:
            RunEndedError: the run was cancelled, stopped or superseded.
            RunInterruptedError: this worker was asked to stop.

        """
        while True:
            row = (ranges or self.worker.work)()
            if not row.status.open:
                return row
            done = self.run.ranges.is_done
            if not self.worker.patiently(partial(done, row.sweep)):
                continue
            if self.worker.pacer.stop.is_set():
                raise RunInterruptedError(
                    f"{self.move.name}: stopped between two passes, as asked. The "
                    "same command goes on where it stopped"
                )
            self.check_target()
            wait = self.worker.patiently(lambda: self._ending.step(self.run.row()))
            self.worker.pacer.sleep(min(wait, _LOOK_AGAIN))

    def plan(self) -> Sequence[PlannedRange]:
        """Cut the table into ranges."""
        with self.engine.connect() as connection:
            return plan_ranges(connection, self.rows, self._range_size)

    def check_target(self) -> None:
        """Refuse to go on after a rotation in this process.

        Raises:
            TargetChangedError: values would be moved to a key that the run does not
                look for.

        """
        if self._target_now() != self.move.target:
            raise TargetChangedError(
                f"{self.move.name}: another key became active; a new run moves to it"
            )

    def _check(self, row: RunRow) -> None:
        self.check_target()
        check_schema(self.engine, self.move, row.schema_hash)
        if self._vacuum is not None:
            self._vacuum.if_due(row)
