"""The run: one row that says what is done to a table, and how far that has got."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from sqlalchemy_sealed.errors import (
    RunConflictError,
    RunEndedError,
    TooManyDeadLettersError,
)
from sqlalchemy_sealed.jobs.deadletters import DeadLetters
from sqlalchemy_sealed.jobs.identity import RunIdentity
from sqlalchemy_sealed.jobs.plan import PlannedRange
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.ranges import Ranges
from sqlalchemy_sealed.jobs.runrow import RunRow
from sqlalchemy_sealed.jobs.status import RunStatus, sources_of
from sqlalchemy_sealed.jobs.tables import database_time, ranges, runs

__all__ = ["Run"]

_Plan = Callable[[], Sequence[PlannedRange]]


class Run:
    """A run of one identity, joined by any number of workers."""

    def __init__(self, engine: Engine, identity: RunIdentity) -> None:
        self._engine = engine
        self.identity = identity
        self.id = ""
        self._ranges: Ranges | None = None

    @property
    def table(self) -> str:
        """The table at work."""
        return self.identity.table

    @property
    def dead(self) -> DeadLetters:
        """The values of this run that could not be moved."""
        return DeadLetters(self.id, self.table)

    @property
    def ranges(self) -> Ranges:
        """The ranges of this run."""
        if self._ranges is None or self._ranges.run_id != self.id:
            self._ranges = Ranges(self._engine, self.id, self.table)
        return self._ranges

    # -- opening -----------------------------------------------------------------

    def open(self, plan: _Plan, schema_hash: str) -> bool:
        """Join the open run of this identity, or start one; tell whether it was there.

        Raises:
            RunConflictError: a different run is open on the table.

        """
        while True:
            found = self._open_row()
            if found is not None and self._join(found, plan):
                return True
            if self._start(plan(), schema_hash):
                return False
            # Another process has started one in the same moment: look again.

    def _open_row(self) -> RunRow | None:
        with self._engine.connect() as connection:
            row = connection.execute(
                select(runs).where(runs.c.open_key == self.table)
            ).first()
        return None if row is None else RunRow.of(row)

    def _join(self, found: RunRow, plan: _Plan) -> bool:
        mine = self.identity
        self.id = found.id
        if found.kind != mine.kind.value:
            raise self._different(found)
        if (found.columns, found.target) != (mine.column_names, mine.target):
            self._supersede()
            return False
        if found.status is RunStatus.STOPPED:
            had_too_many = found.last_error == TooManyDeadLettersError.__name__
            # The cursor is past values that may be readable now.
            planned = plan() if had_too_many else ()
            with self._engine.begin() as connection:
                if self._change(connection, RunStatus.RUNNING, last_error=None):
                    self._next(connection, found.sweep, planned)
        return True

    def _next(
        self, connection: Connection, sweep: int, planned: Sequence[PlannedRange]
    ) -> None:
        if planned:
            self._update(connection, sweep=sweep + 1)
            self.dead.clear(connection)
            self.ranges.add(connection, sweep + 1, planned)

    def _different(self, found: RunRow) -> RunConflictError:
        return RunConflictError(
            f"{self.table}: a run of another kind ({found.kind}) is open on this table "
            f"and is {found.status.value}. Finish it with its own command, or give it "
            "up: sealed reencrypt cancel"
        )

    def _supersede(self) -> None:
        busy = self.ranges.workers()
        if busy:
            raise RunConflictError(
                f"{self.table}: a run with another target or other columns is at work "
                f"on this table (by {', '.join(busy)}). Stop its workers, or wait "
                "until their leases end, then run again"
            )
        with self._engine.begin() as connection:
            self._change(connection, RunStatus.SUPERSEDED)

    def _start(self, planned: Sequence[PlannedRange], schema_hash: str) -> bool:
        self.id = str(uuid.uuid4())
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    insert(runs).values(
                        id=self.id,
                        kind=self.identity.kind.value,
                        table_name=self.table,
                        column_names=self.identity.column_names,
                        target=self.identity.target,
                        status=RunStatus.RUNNING.value,
                        open_key=self.table,
                        sweep=0,
                        empty_looks=0,
                        schema_hash=schema_hash,
                        started_at=database_time(connection),
                        vacuumed=0,
                    )
                )
                self.ranges.add(connection, 0, planned)
        except IntegrityError:
            return False
        return True

    # -- looking -----------------------------------------------------------------

    def row(self) -> RunRow:
        """Return the row of the run."""
        with self._engine.connect() as connection:
            row = connection.execute(select(runs).where(runs.c.id == self.id)).one()
        return RunRow.of(row)

    def ended(self, row: RunRow) -> RunEndedError:
        """Return the error of a worker whose run is over, or stopped."""
        reason = f" ({row.last_error})" if row.last_error else ""
        return RunEndedError(
            f"{self.table}: the run is {row.status.value}{reason}; this worker has "
            "written nothing since. Start again to go on"
        )

    def counts(self, sweep: int) -> tuple[Counts, int, int]:
        """Return all counts, the rows of a pass, and how many of them are ahead."""
        names = list(Counts.__dataclass_fields__)
        ahead = ranges.c.rows - ranges.c.scanned
        mine = ranges.c.run_id == self.id
        with self._engine.connect() as connection:
            sums = connection.execute(
                select(*(func.sum(ranges.c[name]) for name in names)).where(mine)
            ).one()
            left = connection.scalar(
                select(func.sum(ahead)).where(
                    mine, ranges.c.sweep == sweep, ranges.c.done == 0
                )
            )
            planned = connection.scalar(
                select(func.sum(ranges.c.rows)).where(mine, ranges.c.sweep == sweep)
            )
            dead = self.dead.count(connection)
        counts = Counts(*(int(n or 0) for n in sums))
        return replace(counts, dead=dead), int(planned or 0), max(0, int(left or 0))

    # -- changing ----------------------------------------------------------------

    def change(self, new: RunStatus, reason: str | None = None) -> bool:
        """Change the status, if the run is in a state that allows it."""
        with self._engine.begin() as connection:
            error = {} if reason is None else self._error(connection, reason)
            return self._change(connection, new, **error)

    def note_error(self, reason: str) -> None:
        """Write down what one worker has failed with; the run stays as it is."""
        with self._engine.begin() as connection:
            self._update(connection, **self._error(connection, reason))

    def next_sweep(
        self, row: RunRow, planned: Sequence[PlannedRange], empty_looks: int = 0
    ) -> bool:
        """Begin another pass, unless another worker already has."""
        values = {"sweep": row.sweep + 1, "empty_looks": empty_looks}
        with self._engine.begin() as connection:
            if not self._advance(connection, row, **values):
                return False
            # What still cannot be moved is found, and listed, again.
            self.dead.clear(connection)
            self.ranges.add(connection, row.sweep + 1, planned)
            return True

    def found_empty(self, row: RunRow) -> bool:
        """Count one look that found nothing left, unless another worker did."""
        with self._engine.begin() as connection:
            now = row.emptied_at or database_time(connection)
            return self._advance(
                connection, row, empty_looks=row.empty_looks + 1, emptied_at=now
            )

    def _advance(self, connection: Connection, row: RunRow, **values: Any) -> bool:
        changed = connection.execute(
            update(runs)
            .where(
                runs.c.id == self.id,
                runs.c.status == RunStatus.RUNNING.value,
                runs.c.sweep == row.sweep,
                runs.c.empty_looks == row.empty_looks,
            )
            .values(values)
        )
        return changed.rowcount == 1

    def _error(self, connection: Connection, reason: str) -> dict[str, Any]:
        return {"last_error": reason, "last_error_at": database_time(connection)}

    def _change(self, connection: Connection, new: RunStatus, **values: Any) -> bool:
        if not new.open:
            values |= {"open_key": None, "finished_at": database_time(connection)}
        changed = connection.execute(
            update(runs)
            .where(runs.c.id == self.id, runs.c.status.in_(sources_of(new)))
            .values(status=new.value, **values)
        )
        if changed.rowcount != 1:
            return False
        if new in {RunStatus.CANCELLED, RunStatus.SUPERSEDED}:
            # A worker that wakes up finds its token outdated.
            self.ranges.close(connection)
        return True

    def _update(self, connection: Connection, **values: Any) -> None:
        connection.execute(update(runs).where(runs.c.id == self.id).values(values))
