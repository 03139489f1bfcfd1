"""A batch in libpq's pipeline mode: sent with its COMMIT, its result asked for later.

Locks last exactly as long as the server works on the statement, and Python reads and
seals the next batch meanwhile.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any, Final

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection

from sqlalchemy_sealed.errors import VerificationError
from sqlalchemy_sealed.jobs.arrays import register
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.write import Pending, Write

__all__ = ["PipelinedWrite", "driver_of"]

#: SQLSTATE of the division that a failed comparison causes.
_DIVISION_BY_ZERO: Final = "22012"


class PipelinedWrite(Write):
    """A batch that is ready to be sent."""

    def __init__(
        self, name: str, batch: Batch, lease: Lease, sql: str, parameters: list[Any]
    ) -> None:
        self.name = name
        self.batch = batch
        self.lease = lease
        self.sql = sql
        self.parameters = parameters

    def submit(self, writer: Connection) -> Pending:
        """Send the statement without waiting for its result."""
        return _Sent(self, driver_of(writer))


class _Sent(Pending):
    """A statement whose result nobody has asked for yet."""

    def __init__(self, write: PipelinedWrite, driver: Any) -> None:
        self._write = write
        self._driver = driver
        self._stack = ExitStack()
        try:
            self._send()
        except BaseException:
            self.abandon()
            raise

    def _send(self) -> None:
        driver, stack = self._driver, self._stack
        stack.callback(setattr, driver, "autocommit", driver.autocommit)
        driver.autocommit = True
        stack.callback(self._leave_transaction)
        self._cursor = stack.enter_context(driver.cursor())
        register(self._cursor)
        stack.enter_context(driver.pipeline())
        # Left to the end of the pipeline, the commit would wait for Python; and the
        # server's own default may be an isolation that fails on conflicts.
        driver.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        self._cursor.execute(self._write.sql, self._write.parameters, prepare=True)
        driver.execute("COMMIT")

    def _leave_transaction(self) -> None:
        # After an error the server has skipped the COMMIT.
        if self._driver.info.transaction_status != TransactionStatus.IDLE:
            self._driver.rollback()

    def result(self) -> Counts:
        """Wait for the commit.

        Raises:
            LeaseLostError: another worker has taken the range; nothing was written.
            VerificationError: the rows do not hold what was written; nothing was.

        """
        found: Any = None
        failed = False
        try:
            with self._stack:
                found = self._cursor.fetchone()
        except Exception as error:
            failed = getattr(error, "sqlstate", None) == _DIVISION_BY_ZERO
            if not failed:
                raise
        if failed:
            raise VerificationError(
                f"{self._write.name}: a row was read back different from what was "
                "written. A trigger changes the column; the batch was rolled back"
            )
        if found is None:
            raise self._write.lease.lost()
        return self._write.batch.counts(found[0])

    def abandon(self) -> None:
        """Wait and forget: another error is on its way."""
        with suppress(Exception):
            self._stack.close()


def driver_of(connection: Connection) -> Any:
    """Return psycopg's own connection."""
    return connection.connection.driver_connection
