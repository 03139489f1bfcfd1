"""A batch in libpq's pipeline mode: sent with its COMMIT, its result asked for later.

Locks last exactly as long as the server works on the statement, and Python reads and
seals the next batch meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.errors import VerificationError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.arrays import register
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.write import Pending, Write

__all__ = ["PipelinedWrite", "Statement", "driver_of", "query"]

#: SQLSTATE of the division that a failed comparison causes.
_DIVISION_BY_ZERO: Final = "22012"
#: SQLSTATE of a lock that was waited for, and of a deadlock.
_WAITED: Final = frozenset(("55P03", "40P01"))
#: Far below deadlock_timeout: it is the job that gives way, never the application.
#: The planner takes an array of a prepared statement for ten rows, and would look each
#: of a thousand up in the index; merging them with a range of it saves a fifth.
_FAST: Final = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in (
        ("lock_timeout", "20ms"),
        ("enable_nestloop", "off"),
        ("enable_hashjoin", "off"),
        # What is planned in spite of that has a price that calls for compiling.
        ("jit", "off"),
    )
)


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement of a batch.

    Attributes:
        gives_up: whether it ends after a few milliseconds when it has to wait.

    """

    sql: str
    parameters: list[Any]
    gives_up: bool = False


class PipelinedWrite(Write):
    """A batch that is ready to be sent.

    Args:
        name: the table, for messages.
        batch: what is written.
        lease: the right to.
        statement: what is sent.
        instead: what is sent if that one had to wait for an application.
        on_wait: called then.

    """

    def __init__(
        self,
        name: str,
        batch: Batch,
        lease: Lease,
        statement: Statement,
        instead: Statement | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.batch = batch
        self.lease = lease
        self.statement = statement
        self.instead = instead
        self.on_wait = on_wait

    def submit(self, writer: Connection) -> Pending:
        """Send the statement without waiting for its result."""
        steps.reached(steps.Step.BEGUN)
        return _Sent(self, writer)


class _Sent(Pending):
    """A statement whose result nobody has asked for yet."""

    def __init__(self, write: PipelinedWrite, writer: Connection) -> None:
        self._write = write
        self._writer = writer
        self._driver = driver_of(writer)
        self._stack = ExitStack()
        self._send(write.statement)

    def _send(self, statement: Statement) -> None:
        driver, stack = self._driver, self._stack
        try:
            stack.callback(self._leave_transaction, driver.autocommit)
            driver.autocommit = True
            self._cursor = stack.enter_context(driver.cursor())
            register(self._cursor)
            stack.enter_context(driver.pipeline())
            # Left to the end of the pipeline, the commit would wait for Python; and
            # the server's own default may be an isolation that fails on conflicts.
            driver.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            if statement.gives_up:
                driver.execute(_FAST)
            self._cursor.execute(statement.sql, statement.parameters, prepare=True)
            driver.execute("COMMIT")
        except psycopg.Error as error:
            self.abandon()
            raise _wrapped(error, self._writer) from None
        except BaseException:
            self.abandon()
            raise

    def _leave_transaction(self, autocommit: bool) -> None:
        driver = self._driver
        try:
            # After an error the server has skipped the COMMIT.
            if driver.info.transaction_status != TransactionStatus.IDLE:
                driver.rollback()
            driver.autocommit = autocommit
        except psycopg.Error:
            # The error that brought us here is the one to tell.
            driver.close()

    def result(self) -> Counts:
        """Wait for the commit.

        Raises:
            LeaseLostError: another worker has taken the range; nothing was written.
            VerificationError: the rows do not hold what was written; nothing was.

        """
        found, state = self._fetch()
        if state in _WAITED and self._write.instead is not None:
            self._write.on_wait()
            self._send(self._write.instead)
            found, state = self._fetch()
        if state is not None:
            raise VerificationError(
                f"{self._write.name}: a row was read back different from what was "
                "written. A trigger changes the column; the batch was rolled back"
            )
        if found is None:
            raise self._write.lease.lost()
        steps.reached(steps.Step.COMMITTED)
        return self._write.batch.counts(found[0])

    def _fetch(self) -> tuple[Any, str | None]:
        found: Any = None
        try:
            with self._stack:
                found = self._cursor.fetchone()
        except psycopg.Error as error:
            waited = error.sqlstate in _WAITED and self._write.instead is not None
            if error.sqlstate != _DIVISION_BY_ZERO and not waited:
                raise _wrapped(error, self._writer) from None
            return None, error.sqlstate
        return found, None

    def abandon(self) -> None:
        """Wait and forget: another error is on its way."""
        with suppress(Exception):
            self._stack.close()


def query(connection: Connection, sql: str, parameters: list[Any]) -> Any:
    """Run a prepared query and return psycopg's cursor, with rows in binary form."""
    try:
        cursor = driver_of(connection).cursor(binary=True)
        return cursor.execute(sql, parameters, prepare=True)
    except psycopg.Error as error:
        raise _wrapped(error, connection) from None


def _wrapped(error: psycopg.Error, connection: Connection) -> Exception:
    """Return the error as SQLAlchemy would have raised it, without parameters."""
    gone = driver_of(connection).closed
    if gone:
        connection.invalidate()
    wrapped: Exception = DBAPIError.instance(
        None, None, error, psycopg.Error, connection_invalidated=gone
    )
    return wrapped


def driver_of(connection: Connection) -> Any:
    """Return psycopg's own connection."""
    return connection.connection.driver_connection
