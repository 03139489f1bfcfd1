"""A range in hand: while one of its batches is written, the next is made."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from sqlalchemy_sealed.errors import ReencryptionError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch, ends_of
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.refusal import refused
from sqlalchemy_sealed.jobs.write import Pending

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
        self._sent: Batch | None = None
        self._since = time.monotonic()

    def move(self) -> bool:
        """Move rows until the range ends, or the worker has to wait or stop."""
        try:
            return self._batches()
        except IntegrityError as error:
            refusal = error
        finally:
            if self._pending is not None:
                self._pending.abandon()
        # Not while it is handled: it quotes the row, and would be remembered.
        worker = self._worker
        assert self._sent is not None  # noqa: S101 - nothing else is refused
        instead = refused(worker.engine, worker.rows, self._sent, refusal)
        del refusal  # a traceback may be kept with the variables of this call
        raise instead

    def _batches(self) -> bool:
        worker, lease = self._worker, self._lease
        cursor = lease.cursor
        width = worker.rows.width
        while True:
            size = worker.pacer.rows
            rows = worker.rows.read(self._reader, cursor, lease.high, size)
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
            write = worker.rows.prepare(rows, lease, self._record)
            steps.reached(steps.Step.SEALED)
            self._settle()
            if worker.pacer.stop.is_set() or worker.pacer.reason() is not None:
                worker.pacer.ask_again()
                return False
            self._sent = write.batch
            self._pending = write.submit(self._writer)

    def _settle(self) -> None:
        """Wait for the batch before, if there is one."""
        if self._pending is None:
            return
        # Forgotten only when it is done: an interrupt must not leave a thread writing.
        counts = self._pending.result()
        self._pending = None
        now = time.monotonic()
        self._worker.after_batch(counts, now - self._since)
        self._since = time.monotonic()

    def _record(self, connection: Connection, batch: Batch, counts: Counts) -> None:
        self._worker.record(connection, self._lease, batch, counts)
