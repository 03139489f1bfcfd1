"""The passes over one table: batches, sweeps, and the look at what is left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Connection, Engine, func, or_

from sqlalchemy_sealed.envelope import to_text
from sqlalchemy_sealed.errors import ReencryptionError, TooManyDeadLettersError
from sqlalchemy_sealed.jobs.batch import Batch, reseal_batch
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.plan import plan_ranges
from sqlalchemy_sealed.jobs.progress import Counts, Progress
from sqlalchemy_sealed.jobs.rowkey import key_to_text
from sqlalchemy_sealed.jobs.rows import rows_of
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.status import RunStatus
from sqlalchemy_sealed.jobs.values import ColumnValues
from sqlalchemy_sealed.jobs.write import Pending
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.targets import SealedColumn, SealedTable

__all__ = ["Mover"]

_SWEEPS: Final = 10


class Mover:
    """The passes over one table."""

    def __init__(
        self, engine: Engine, sealed: SealedTable, batch_size: int, range_size: int
    ) -> None:
        self._engine = engine
        self._sealed = sealed
        self._batch_size = batch_size
        self._range_size = range_size
        self.rows = rows_of(sealed, engine)
        binding = binding_of(engine.dialect)
        self._values = [ColumnValues(sealed, c, binding) for c in sealed.columns]
        self._names = [column.name for column in sealed.columns]
        self.run = Run(engine, sealed.name, self._names)
        self._counts = Counts()
        self._total = self._left = 0

    def open(self) -> bool:
        """Resume the run of the table, or start one; tell which."""
        target = self._target()
        if self.run.resume(target):
            if self.run.had_too_many:
                # The cursor is past values that may be readable now.
                self.run.next_sweep(self._plan())
            return True
        self.run.start(target, self._plan())
        return False

    def _target(self) -> str:
        headers = b"".join(values.active_header() for values in self._values)
        return hashlib.sha256(headers).hexdigest()

    def _plan(self) -> Any:
        with self._engine.connect() as connection:
            return plan_ranges(connection, self.rows, self._range_size)

    def _recount(self) -> None:
        self._counts, self._total, self._left = self.run.counts()

    def progress(self, status: RunStatus) -> Progress:
        """Return how far the run is."""
        return Progress(
            self._sealed.name,
            status.value,
            self._total,
            self._counts,
            self.run.sweep,
            self._left,
        )

    def passes(self, max_dead: int, report: Callable[[Progress], None]) -> None:
        """Work through the ranges, then sweep until nothing is left behind."""
        while True:
            self._recount()
            while (lease := self.run.claim()) is not None:
                self._work(lease, max_dead, report)
                self.run.finish_range(lease)
            if not self._left_behind():
                self.run.finish()
                return
            if self.run.sweep >= _SWEEPS:
                raise ReencryptionError(
                    f"{self._sealed.name}: after {_SWEEPS} sweeps rows still appear "
                    "under former keys. A process still writes with an old keyring: "
                    "activate the new version everywhere, then run again"
                )
            self.run.next_sweep(self._plan())

    def _work(
        self, lease: Lease, max_dead: int, report: Callable[[Progress], None]
    ) -> None:
        # A server works on one batch while the next is read and sealed here.
        def record(connection: Connection, batch: Batch, counts: Counts) -> None:
            assert batch.last is not None  # noqa: S101 - only batches with rows
            self.run.dead.add(connection, batch.dead)
            self.run.advance(connection, lease, batch.last, counts)

        with self._reader() as reader, self._engine.connect() as writer:
            pending: Pending | None = None
            cursor = lease.cursor
            try:
                while True:
                    rows = self.rows.read(reader, cursor, lease.high, self._batch_size)
                    batch = reseal_batch(rows, self.rows.width, self._values)
                    write = self.rows.prepare(batch, lease, record)
                    if pending is not None:
                        done, pending = pending, None
                        self._after_batch(done.result(), max_dead, report)
                    if batch.last is None:
                        return
                    if batch.last == cursor:
                        raise ReencryptionError(
                            f"{self._sealed.name}: the primary key does not advance; "
                            "does the model declare another type than the database?"
                        )
                    cursor = batch.last
                    pending = write.submit(writer)
            finally:
                if pending is not None:
                    pending.abandon()

    def _reader(self) -> Connection:
        reader = self._engine.connect()
        if self._engine.dialect.name == "postgresql":
            # No transaction stays open between batches: vacuum must not wait for us.
            reader = reader.execution_options(isolation_level="AUTOCOMMIT")
        return reader

    def _after_batch(
        self, added: Counts, max_dead: int, report: Callable[[Progress], None]
    ) -> None:
        self._counts += added
        self._left -= added.scanned
        report(self.progress(RunStatus.RUNNING))
        counts = self._counts
        if counts.dead > max_dead:
            raise TooManyDeadLettersError(
                f"{self._sealed.name}: {counts.dead} values could not be decrypted, "
                f"more than the {max_dead} allowed; none of them was changed. They are "
                "listed in sealed_dead_letters. If a key version is missing, add it "
                "and run again"
            )

    def _left_behind(self) -> bool:
        """Tell whether a row has a value that could be moved, or is not listed."""
        dead = self.run.dead.keys(self._engine)
        stale = self.rows.page(None, None).order_by(None)
        stale = stale.where(or_(*map(self._is_stale, self._sealed.columns)))
        with self._engine.connect() as connection:
            found = connection.execute(stale.limit(len(dead) + 1)).all()
        width = self.rows.width
        if any(key_to_text(tuple(row[:width])) not in dead for row in found):
            return True
        # Listed once is not unreadable for ever: a key came back, or another value
        # of the row is only old.
        return bool(reseal_batch(found, width, self._values).changed)

    def _is_stale(self, column: SealedColumn) -> ColumnElement[bool]:
        position = self._names.index(column.name)
        header: Any = self._values[position].active_header()
        if column.is_text:
            header = to_text(header)
        prefix = func.substr(self.rows.values[position], 1, len(header))
        return cast("ColumnElement[bool]", prefix != header)
