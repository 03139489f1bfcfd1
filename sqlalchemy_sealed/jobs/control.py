"""Control: what an operator sees of a run and asks of it, from any host.

Everything goes through the row of the run. Workers look at it in the transaction of
every batch, so that nothing is written after it says "paused" but the batch at hand.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select

from sqlalchemy_sealed.errors import ReencryptionError
from sqlalchemy_sealed.jobs.deadletters import DeadLetters, ListedValue
from sqlalchemy_sealed.jobs.identity import Kind, RunIdentity
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.ranges import Ranges
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.status import WAITS, RunStatus
from sqlalchemy_sealed.jobs.tables import database_time, has_tables, ranges, runs

__all__ = [
    "RunState",
    "cancel",
    "letters",
    "measured",
    "open_runs",
    "pause",
    "resume",
    "states",
]


#: A waiting worker tells every ten seconds.
_RECENT = 30.0


@dataclass(frozen=True)
class RunState:
    """A run, as an operator wants to know it.

    Attributes:
        rows: rows of the pass at work, when it was planned.
        scanned: rows of it that were looked at.
        counts: of all passes together.
        workers: who holds a range at this moment.
        seconds: how long ago the run began, or how long it took.
        rate: rows per second at this moment, if it was measured.
        last_error: what a worker failed with last.

    """

    id: str
    table: str
    kind: str
    status: str
    sweep: int
    rows: int
    scanned: int
    counts: Counts
    workers: tuple[str, ...]
    seconds: float
    last_error: str | None
    last_error_seconds: float | None
    rate: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the same command goes on with it."""
        return RunStatus(self.status).open

    @property
    def waits(self) -> bool:
        """Whether a worker said not long ago why it does not work at this moment."""
        said = self.last_error is not None and self.last_error.startswith(WAITS)
        return said and (self.last_error_seconds or 0.0) < _RECENT

    @property
    def eta_seconds(self) -> float | None:
        """Estimate of the seconds that the pass at work still takes.

        ``None`` before a hundredth of it is done, and while nobody works.
        """
        left = self.rows - self.scanned
        if not self.workers or self.scanned * 100 < self.rows or not self.rate:
            return None
        return max(0.0, left / self.rate)

    @property
    def advice(self) -> str:
        """What it means, and what to do next."""
        if self.status == "paused":
            return "sealed reencrypt resume"
        if self.status == "stopped":
            return "look at the error, then run the same command again"
        if self.is_open and not self.workers and not self.waits:
            return "nobody works on it; run the same command to go on"
        return ""


def measured(
    engine: Engine, tables: list[str] | None = None, seconds: float = 1.0
) -> list[RunState]:
    """Return the newest run of every table, with the rate of this moment.

    Runs that nobody works on have none, and are not waited for.
    """
    before = {state.id: state for state in states(engine, tables)}
    if not any(state.workers for state in before.values()):
        return list(before.values())
    time.sleep(seconds)
    return [
        replace(state, rate=_rate(before[state.id], state))
        if state.id in before and state.workers
        else state
        for state in states(engine, tables)
    ]


def _rate(before: RunState, after: RunState) -> float:
    seconds = after.seconds - before.seconds
    rows = after.counts.scanned - before.counts.scanned
    return rows / seconds if seconds > 0 else 0.0


def states(engine: Engine, tables: list[str] | None = None) -> list[RunState]:
    """Return the newest run of every table.

    Args:
        engine: a synchronous engine; no key is needed.
        tables: names with schema, or ``None`` for all.

    """
    if not has_tables(engine):
        return []
    newest: dict[str, Row[Any]] = {}
    found = select(runs).order_by(runs.c.started_at)
    if tables is not None:
        found = found.where(runs.c.table_name.in_(tables))
    with engine.connect() as connection:
        for row in connection.execute(found):
            newest[row.table_name] = row
        now = database_time(connection)
        return [
            _state(engine, connection, newest[name], now) for name in sorted(newest)
        ]


def open_runs(engine: Engine) -> list[RunState]:
    """Return the runs that were started and are not finished."""
    return [state for state in states(engine) if state.is_open]


def _state(
    engine: Engine, connection: Connection, row: Row[Any], now: float
) -> RunState:
    mine = ranges.c.run_id == row.id
    names = list(Counts.__dataclass_fields__)
    sums = connection.execute(
        select(*(func.sum(ranges.c[name]) for name in names)).where(mine)
    ).one()
    planned, scanned = connection.execute(
        select(func.sum(ranges.c.rows), func.sum(ranges.c.scanned)).where(
            mine, ranges.c.sweep == row.sweep
        )
    ).one()
    return RunState(
        id=row.id,
        table=row.table_name,
        kind=row.kind,
        status=row.status,
        sweep=row.sweep,
        rows=int(planned or 0),
        scanned=int(scanned or 0),
        counts=Counts(*(int(n or 0) for n in sums)),
        workers=tuple(Ranges(engine, row.id, row.table_name).workers()),
        seconds=(row.finished_at or now) - row.started_at,
        last_error=row.last_error,
        last_error_seconds=row.last_error_at and now - row.last_error_at,
    )


#: Listed values that are shown of a table.
LETTERS = 100


def letters(engine: Engine, state: RunState, limit: int = LETTERS) -> list[ListedValue]:
    """Return the first values of a run that could not be moved."""
    return DeadLetters(state.id, state.table).listed(engine, limit)


def pause(engine: Engine, state: RunState) -> None:
    """Have every worker finish its batch and wait.

    Raises:
        ReencryptionError: the run is not running.

    """
    _change(engine, state, RunStatus.PAUSED)


def resume(engine: Engine, state: RunState) -> None:
    """Let the workers of a paused run go on; a stopped one needs the command again.

    Raises:
        ReencryptionError: the run is neither paused nor stopped.

    """
    _change(engine, state, RunStatus.RUNNING)


def cancel(engine: Engine, state: RunState) -> None:
    """Give a run up. What was moved stays moved; a new run begins anew.

    Raises:
        ReencryptionError: the run is over already.

    """
    _change(engine, state, RunStatus.CANCELLED)


def _change(engine: Engine, state: RunState, new: RunStatus) -> None:
    run = Run(engine, RunIdentity(state.table, Kind(state.kind), (), ""))
    run.id = state.id
    if not run.change(new):
        raise ReencryptionError(
            f"{state.table}: the run is {run.row().status.value} and cannot become "
            f"{new.value}"
        )
