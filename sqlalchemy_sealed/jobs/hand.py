"""A range in hand: while one of its batches is written, the next is made."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from sqlalchemy_sealed.errors import ReencryptionError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch, ends_of
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.rowkey import RowKey
from sqlalchemy_sealed.jobs.write import Pending, ReadAhead

if TYPE_CHECKING:
    from sqlalchemy_sealed.jobs.worker import Worker

__all__ = ["RangeInHand"]


class RangeInHand:
    """A range at work, with the batch that is on its way."""

    def __init__(
        self, worker: Worker, lease: Lease, reader: Connection, writer: Connection
    ) -> None:
        self._worker = worker
        self._lease = lease
        self._reader = reader
        self._writer = writer
        self._pending: Pending | None = None
        self._ahead: ReadAhead | None = None
        self._since = time.monotonic()

    def move(self) -> bool:
        """Move rows until the range ends, or the worker has to wait or stop."""
        try:
            return self._batches()
        finally:
            if self._ahead is not None:
                self._ahead.abandon()
            if self._pending is not None:
                self._pending.abandon()

    def _batches(self) -> bool:
        worker, lease = self._worker, self._lease
        cursor = lease.cursor
        width = worker.rows.width
        while True:
            rows = self._read(cursor)
            steps.reached(steps.Step.READ)
            if not rows:
                self._settle()
                return True
            last = ends_of(rows, width)[1]
            if last == cursor:
                raise ReencryptionError(
                    f"{worker.rows.name}: the primary key does not advance; does "
                    "the model declare another type than the database?"
                )
            cursor = last
            self._read_ahead(cursor)
            write = worker.rows.prepare(rows, lease, self._record)
            steps.reached(steps.Step.SEALED)
            self._settle()
            if worker.pacer.stop.is_set() or worker.pacer.reason() is not None:
                worker.pacer.ask_again()
                return False
            self._pending = write.submit(self._writer)

    def _read(self, cursor: RowKey | None) -> Sequence[Any]:
        worker, ahead = self._worker, self._ahead
        if ahead is not None:
            self._ahead = None
            return ahead.result()
        return worker.rows.read(
            self._reader, cursor, self._lease.high, worker.pacer.rows
        )

    def _read_ahead(self, cursor: RowKey) -> None:
        worker = self._worker
        # At a given rate there is time to read, and rows would grow old meanwhile.
        if worker.pacer.pace.rate is None:
            self._ahead = worker.rows.read_ahead(
                self._reader, cursor, self._lease.high, worker.pacer.rows
            )

    def _settle(self) -> None:
        """Wait for the batch before, if there is one."""
        if self._pending is None:
            return
        done, self._pending = self._pending, None
        counts = done.result()
        now = time.monotonic()
        self._worker.after_batch(counts, now - self._since)
        self._since = time.monotonic()

    def _record(self, connection: Connection, batch: Batch, counts: Counts) -> None:
        self._worker.record(connection, self._lease, batch, counts)
