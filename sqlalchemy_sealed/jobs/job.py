"""A job: one kind of move over the tables of a target, by this process and others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from sqlalchemy import Engine

from sqlalchemy_sealed.engine import bind_keyring
from sqlalchemy_sealed.errors import ConfigurationError, TargetChangedError
from sqlalchemy_sealed.jobs.fence import FenceKind
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.mover import Mover, Options
from sqlalchemy_sealed.jobs.pace import Pace
from sqlalchemy_sealed.jobs.parallel import Connect, RangeTask, through
from sqlalchemy_sealed.jobs.preflight import Preflight
from sqlalchemy_sealed.jobs.progress import Counts, Progress
from sqlalchemy_sealed.jobs.retry import retry_dead
from sqlalchemy_sealed.jobs.rows import refuse_translation
from sqlalchemy_sealed.jobs.status import RunStatus
from sqlalchemy_sealed.jobs.stop import Stop
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["Job", "Report"]

_DATABASES: Final = ("postgresql", "sqlite", "mysql", "mariadb")


@dataclass(frozen=True)
class Report:
    """What a run did to one table.

    Attributes:
        status: ``"complete"``, or ``"caught-up"``: an old value may still appear.
        resumed: whether the run was there already.
        left: rows that were still left at the end; a process keeps writing them.

    """

    table: str
    run_id: str
    status: str
    counts: Counts
    resumed: bool
    left: int = 0


class Job(ABC):
    """Moves the rows of a target.

    The same job may be run by any number of processes, on any host, at the same time:
    they share the ranges of one run. It may be killed at any instruction.

    Args:
        engine: a synchronous engine, bound to the keyring or given one here.
        target: a declarative base, MetaData, model, Table, or a list of them.
        keyring: bound to the engine first, if given.
        batch_size: most rows of a transaction; the pace's by default.
        range_size: rows per range of the primary key, the share a worker takes.
        max_dead_letters: values that may fail before a run is stopped; 1,000 by
            default. Of a legacy format that nothing authenticates all values are tried
            before the first is written, and none may fail unless this allows for it.
        on_progress: called with a :class:`Progress` after every batch.
        pace: how fast, and when to wait; the default suits a live application.
        fence: put up before a run is called complete.
        settle: seconds after which every process writes under the active key; a run
            that waited for them is complete.

    Raises:
        ConfigurationError: the engine is asynchronous or of an unknown database.

    """

    def __init__(
        self,
        engine: Engine,
        target: Any,
        keyring: Keyring | None = None,
        batch_size: int | None = None,
        range_size: int = 50_000,
        max_dead_letters: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        pace: Pace | None = None,
        fence: FenceKind | None = None,
        settle: float | None = None,
    ) -> None:
        self._engine = _job_engine(engine)
        if (batch_size is not None and batch_size < 1) or range_size < 1:
            raise ConfigurationError("batch_size and range_size are 1 or more rows")
        if keyring is not None:
            bind_keyring(engine, keyring)
        paced = (pace or Pace()).with_rows(batch_size)
        self._target = target
        self._options = Options(paced, range_size, max_dead_letters, fence, settle)
        self._report = on_progress or _silent
        self._stop = Stop()

    @abstractmethod
    def moves(self) -> list[tuple[SealedTable, Move]]:
        """Return what becomes of each table."""

    def copy_for(self, engine: Engine) -> Self:
        """Return the same job on another engine, where a task of it runs."""
        other = copy(self)
        other._engine = _job_engine(engine)  # noqa: SLF001 - of this class
        other._stop = Stop()  # noqa: SLF001
        other._report = _silent  # noqa: SLF001
        return other

    def stop(self) -> None:
        """Ask the workers of this process to finish their batch and end.

        It may be called from another thread, or a signal handler.
        """
        self._stop.set()

    def plan(self) -> list[Preflight]:
        """Look at every table and write nothing: rows, sizes, triggers, refusals."""
        return [mover.try_out() for mover in self.movers()]

    def run(
        self,
        executor: Executor | None = None,
        connect: Connect | None = None,
        workers: int = 2,
    ) -> list[Report]:
        """Move every table, or join the runs that are open and go on with them.

        Args:
            executor: any executor of ``concurrent.futures``, to which ranges are
                submitted; this thread does everything without one.
            connect: makes the engine of a task, bound to its keyring; it is called
                where the task runs, so that no key is ever sent. Needs ``executor``.
            workers: ranges that are submitted at a time.

        Raises:
            PreflightError: a table cannot be moved safely.
            RunConflictError: a different run is open on one of the tables.
            RunInterruptedError: :meth:`stop` was called.
            TooManyDeadLettersError: more values than allowed could not be moved; the
                run stays open, and running again goes on with it.

        """
        if (executor is None) is not (connect is None):
            raise ConfigurationError("executor= and connect= go together")
        return [self._run(mover, executor, connect, workers) for mover in self.movers()]

    def _run(
        self,
        mover: Mover,
        executor: Executor | None,
        connect: Connect | None,
        workers: int,
    ) -> Report:
        while True:
            try:
                return self._once(mover, executor, connect, workers)
            except TargetChangedError:
                # A rotation meanwhile: what was moved so far is moved once more.
                mover = self.mover(mover.move.name)

    def _once(
        self,
        mover: Mover,
        executor: Executor | None,
        connect: Connect | None,
        workers: int,
    ) -> Report:
        resumed = mover.open()
        ranges = None
        if executor is not None and connect is not None:
            task = RangeTask(self, mover.move.name, connect)
            ranges = through(executor, task, mover, workers)
        row = mover.work(ranges)
        progress = mover.tally.end(row)
        left = 0
        if mover.leftovers.can_tell and row.status is RunStatus.CAUGHT_UP:
            left = mover.leftovers.except_dead(mover.run.dead)
        return Report(
            mover.move.name, row.id, row.status.value, progress.counts, resumed, left
        )

    def retry_dead(self) -> list[Report]:
        """Try the listed values of the last runs again, and nothing else."""
        return [
            Report(m.move.name, m.run.id, "retried", counts, resumed=True)
            for m in self.movers()
            if (counts := retry_dead(m)) is not None
        ]

    def movers(self) -> list[Mover]:
        """Return one mover per table."""
        return [
            Mover(
                self._engine,
                move,
                sealed,
                self._options,
                self._report,
                self._stop,
                partial(self._target_of, move.name),
            )
            for sealed, move in self.moves()
        ]

    def _target_of(self, table: str) -> bytes:
        return next(move.target for _, move in self.moves() if move.name == table)

    def mover(self, table: str) -> Mover:
        """Return the mover of one table."""
        return next(m for m in self.movers() if m.move.name == table)

    def __getstate__(self) -> dict[str, Any]:
        # What crosses to another process holds no engine, and so no key.
        return {
            **self.__dict__,
            "_engine": None,
            "_stop": None,
            "_report": None,
        }


def _silent(_progress: Progress) -> None:
    """Report nothing."""


def _job_engine(engine: Engine) -> Engine:
    given: object = engine
    if not isinstance(given, Engine) or engine.dialect.is_async:
        raise ConfigurationError(
            "a job needs a synchronous engine; make one for it, for "
            "example create_engine('postgresql+psycopg://...')"
        )
    if engine.dialect.name not in _DATABASES:
        raise ConfigurationError(f"jobs on {engine.dialect.name} are not supported yet")
    refuse_translation(engine)
    # The engine's own isolation may be AUTOCOMMIT, or one that fails on conflicts.
    level = "SERIALIZABLE" if engine.dialect.name == "sqlite" else "READ COMMITTED"
    own = engine.execution_options(isolation_level=level)
    # With echo=True: what is compared and swapped is plaintext, some of it.
    own.hide_parameters = True
    return own
