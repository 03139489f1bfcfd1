"""A worker: takes ranges and moves their rows, batch by batch.

Per batch: read; open, seal and open again, while no transaction is open; then one
transaction that writes by compare-and-swap, reads back, and moves the cursor. While a
server writes one batch, the next is read and sealed here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_sealed.errors import (
    LeaseLostError,
    ReencryptionError,
    RunEndedError,
    RunInterruptedError,
    TargetChangedError,
    TooManyDeadLettersError,
    WriteRefusedError,
)
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.hand import RangeInHand
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.owner import new_owner
from sqlalchemy_sealed.jobs.pace import Pacer
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.refusal import shown
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.runrow import RunRow
from sqlalchemy_sealed.jobs.status import WAITS, RunStatus
from sqlalchemy_sealed.jobs.tally import Tally
from sqlalchemy_sealed.jobs.transient import Trouble, trouble_of

__all__ = ["Worker"]

_T = TypeVar("_T")

#: How often a batch is tried again before the error is the operator's.
_ATTEMPTS: Final = 12
_LONGEST_WAIT: Final = 15.0
_IDLE: Final = 0.5
_TELL: Final = 10.0


@dataclass
class Worker:
    """One worker of a run.

    Attributes:
        engine: with an isolation level for jobs.
        rows: reads and writes the table.
        run: what it works on.
        pacer: how fast.
        tally: counts, for progress.
        max_dead: values that may fail before the run is stopped.
        check: raises if the table is not what it was; called for every range.

    """

    engine: Engine
    rows: PortableRows
    run: Run
    pacer: Pacer
    tally: Tally
    max_dead: int
    check: Callable[[RunRow], None]

    def __post_init__(self) -> None:
        self.owner = new_owner()
        self._failures = 0
        self._told = float("-inf")

    # -- ranges ------------------------------------------------------------------

    def work(self) -> RunRow:
        """Take ranges until a pass is done or the run is over; return its row.

        Raises:
            RunEndedError: the run was cancelled, stopped or superseded.
            RunInterruptedError: this worker was asked to stop.

        """
        while True:
            row = self.patiently(self._turn)
            if row is not None:
                return row

    def patiently(self, turn: Callable[[], _T]) -> _T:
        """Do something; an error that passes is followed by another try."""
        while True:
            try:
                return turn()
            except (RunEndedError, RunInterruptedError, TargetChangedError):
                raise
            except Exception as error:  # noqa: BLE001 - told apart below
                failed = error
            # Not while it is handled: what is raised there remembers it, and it may
            # hold values. So may the variables of a call.
            instead = self._failed(failed)
            del failed
            if instead is not None:
                raise instead

    def _turn(self) -> RunRow | None:
        """Take one range; return the row of a run with nothing left to take."""
        row = self.run.row()
        if not row.status.open:
            return self._over(row)
        if not self._may_work(row) or self._took(row):
            return None
        if self.run.ranges.is_done(row.sweep):
            return row
        # Others have the last ranges; one of them may be gone.
        self.pacer.sleep(_IDLE)
        return None

    def _took(self, row: RunRow) -> bool:
        """Take a range and work on it; tell whether there was one."""
        lease = self.run.ranges.claim(row.sweep, self.owner)
        if lease is None:
            return False
        steps.reached(steps.Step.CLAIMED)
        self._attempt(lease, row)
        return True

    def one(self) -> bool:
        """Move one range; tell whether there was one to take.

        Raises:
            RunEndedError: the run was cancelled, stopped or superseded.

        """
        return self.patiently(self._one)

    def _one(self) -> bool:
        row = self.run.row()
        if not row.status.open:
            return False
        return not self._may_work(row) or self._took(row)

    def _over(self, row: RunRow) -> RunRow:
        if row.status in {RunStatus.CANCELLED, RunStatus.SUPERSEDED}:
            raise self.run.ended(row)
        return row

    def _may_work(self, row: RunRow) -> bool:
        if self.pacer.stop.is_set():
            raise RunInterruptedError(
                f"{self.run.table}: stopped after a finished batch, as asked. The same "
                "command goes on where it stopped"
            )
        if row.status is RunStatus.STOPPED:
            raise self.run.ended(row)
        why = "paused" if row.status is RunStatus.PAUSED else self.pacer.reason()
        if why is None:
            return True
        self.tally.wait(row, why)
        if row.status is not RunStatus.PAUSED:
            self._tell_why(why)
        self.pacer.ask_again()
        self.pacer.sleep(_IDLE)
        return False

    def _tell_why(self, why: str) -> None:
        """Write down why this worker holds no range, for whoever asks whether it is."""
        now = time.monotonic()
        if now - self._told > _TELL:
            self._told = now
            self.run.note_error(f"{WAITS}{why}")

    def _attempt(self, lease: Lease, row: RunRow) -> None:
        """Work on a range; an error that passes is tried again a little later."""
        try:
            self.check(row)
            self.tally.begin(row)
            done = self.move(lease)
        except TargetChangedError:
            self.run.ranges.release(self.owner)
            raise
        except LeaseLostError:
            # Paused, or another worker has it: the row of the run tells.
            self.tally.forget()
            self.run.ranges.release(self.owner)
            return
        except (KeyboardInterrupt, SystemExit):
            with suppress(SQLAlchemyError):
                self.run.ranges.release(self.owner)
            raise
        self._failures = 0
        if done:
            self.run.ranges.finish(lease)
            steps.reached(steps.Step.FINISHED)
        else:
            self.run.ranges.release(self.owner)

    def _failed(self, error: BaseException) -> BaseException | None:
        """Wait after an error that passes; return what is raised after another."""
        trouble = trouble_of(error)
        error = shown(self.run.table, error)
        # If the database is gone too, the lease ends by itself.
        with suppress(SQLAlchemyError, ReencryptionError):
            self.run.ranges.release(self.owner)
            self._note(error, trouble)
        self._failures += 1
        if trouble is None or self._failures > _ATTEMPTS:
            return error
        if trouble is Trouble.TIMEOUT:
            self.pacer.halve()
        self.tally.forget()
        longest = min(_LONGEST_WAIT, 0.05 * 2**self._failures)
        self.pacer.sleep(random.uniform(0.0, longest))  # noqa: S311 - not for secrets
        return None

    def _note(self, error: BaseException, trouble: Trouble | None) -> None:
        name = type(error).__name__
        passing = (RunInterruptedError, WriteRefusedError)
        if isinstance(error, ReencryptionError) and not isinstance(error, passing):
            self.run.change(RunStatus.STOPPED, name)
        elif trouble is not None:
            self.run.note_error(f"{name}: {trouble.value}")
        else:
            self.run.note_error(name)

    # -- batches -----------------------------------------------------------------

    def move(self, lease: Lease) -> bool:
        """Move the rows of a range; tell whether all of them are done.

        Raises:
            LeaseLostError: the run was paused or ended, or another worker took over.
            TooManyDeadLettersError: more values than allowed could not be moved.
            VerificationError: what was read back is not what was written.

        """
        with self._reader() as reader, self.engine.connect() as writer:
            return RangeInHand(self, lease, reader, writer).move()

    def _reader(self) -> Connection:
        reader = self.engine.connect()
        if self.engine.dialect.name == "postgresql":
            # No transaction stays open between batches: vacuum must not wait for us.
            reader = reader.execution_options(isolation_level="AUTOCOMMIT")
        return reader

    def record(
        self, connection: Connection, lease: Lease, batch: Batch, counts: Counts
    ) -> None:
        """List dead letters and move the cursor, in the transaction of the rows."""
        assert batch.last is not None  # noqa: S101 - only batches with rows
        self.run.dead.add(connection, batch.dead)
        self.run.ranges.advance(connection, lease, batch.last, counts)

    def after_batch(self, added: Counts, seconds: float) -> None:
        """Count a batch, and keep the pace.

        Raises:
            TooManyDeadLettersError: more values than allowed could not be moved.

        """
        self._failures = 0
        self.tally.add(added)
        if added.dead and (dead := self._dead()) > self.max_dead:
            raise TooManyDeadLettersError(
                f"{self.run.table}: {dead} values could not be moved, "
                f"more than the {self.max_dead} allowed; none of them was changed. "
                "sealed reencrypt status --dead lists them, with the reasons. If a key "
                "version is missing, add it and run again"
            )
        self.pacer.after(added.scanned, seconds)

    def _dead(self) -> int:
        with self.engine.connect() as connection:
            return self.run.dead.count(connection)
