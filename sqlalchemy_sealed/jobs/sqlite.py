"""Re-encrypting in SQLite: one UPDATE per batch, which calls back for every value.

SQLite has one writer and no server: sending values to Python and back costs more than
everything else together. So the batch is sealed inside its transaction, and a function
that the UPDATE calls hands over the new values: the stated exception to the rule that
no lock is held during cryptography. Keys are local, and batches are small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine

from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch, change_row, make_batch
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.move import Move, Row
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.rangesql import RangeSql
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text
from sqlalchemy_sealed.jobs.write import Pending, Recorder, Write

__all__ = ["SqliteRows"]

_FUNCTION = "sealed_move"
#: Equal to no value of a row, not even to NULL.
_NOTHING = object()


class SqliteRows(PortableRows):
    """The rows of one table in SQLite, moved where they are."""

    def __init__(self, engine: Engine, move: Move) -> None:
        super().__init__(engine, move)
        alone = move.changes[0].alone() if len(move.changes) == 1 else None
        #: Whether one column is all there is: no call per value is needed then.
        self.simple = alone is not None and len(move.slots) == 1
        self.update_sql = self._update_sql()
        self.sql = RangeSql(self)

    def read(
        self,
        connection: Connection,
        after: RowKey | None,
        upto: RowKey | None,
        limit: int,
    ) -> Sequence[Any]:
        """Find out where the next batch ends, and how much is in it: one item."""
        last = self._next(connection, after, upto, limit)
        found: list[Any] = []
        if last is not None:
            key_to_text(last)  # a key that cannot be followed is refused here
            found = [(*last, after)]
        connection.rollback()
        return found

    def _next(
        self,
        connection: Connection,
        after: RowKey | None,
        upto: RowKey | None,
        limit: int,
    ) -> RowKey | None:
        at = self.sql.key_at(after, upto, limit - 1)
        last = connection.exec_driver_sql(*at).first()
        if last is None:
            last = connection.exec_driver_sql(*self.sql.last_key(after, upto)).first()
        return None if last is None else tuple(last)

    def prepare(self, rows: Sequence[Any], lease: Lease, record: Recorder) -> Write:
        """Make a batch ready: everything happens when it is submitted."""
        del lease
        return _InPlace(self, rows, record)

    def _update_sql(self) -> str:
        quote = self.dialect.identifier_preparer
        assert self.move.left is not None  # noqa: S101 - of this kind
        left = self.move.left(self.values).compile(dialect=self.dialect)
        keys = [quote.quote(c.name) for c in self.move.key]
        names = [quote.quote(s.name) for s in self.move.slots]
        tenants = [quote.quote(name) for name in self.move.tenants]
        row = ", ".join([*keys, *names, *tenants])
        table = quote.format_table(self.move.table)
        if self.simple:
            # What has no new value stays. Which rows have one is known by now: another
            # key may have become active since the run began.
            new = f"{_FUNCTION}({', '.join(keys)})"
            return f"UPDATE {table} SET {names[0]} = ifnull({new}, {names[0]}) WHERE 1"  # noqa: S608 - quoted names
        assignments = ", ".join(
            f"{name} = {_FUNCTION}({n}, {row})" for n, name in enumerate(names)
        )
        return f"UPDATE {table} SET {assignments} WHERE ({left})"  # noqa: S608 - quoted names and headers


class _InPlace(Write):
    """A batch that is sealed while it is written."""

    def __init__(
        self, rows: SqliteRows, found: Sequence[Any], record: Recorder
    ) -> None:
        self._rows = rows
        self._record = record
        width = rows.width
        self.batch = Batch(0, None)
        self._after: RowKey | None = None
        if found:
            [row] = found
            self._after = row[width]
            self.batch = Batch(0, tuple(row[:width]))
        #: By key, the new values of the slots.
        self._new: dict[Any, Any] = {}
        self._error: BaseException | None = None
        self._last: tuple[Any, list[Any]] = ((), [])

    def submit(self, writer: Connection) -> Pending:
        """Seal and write the batch and its bookkeeping in one transaction.

        Raises:
            LeaseLostError: another worker has taken the range; nothing was written.
            VerificationError: the rows do not hold what was written; nothing was.

        """
        with writer.begin():
            # The lock first: what is read is what is written. An engine may begin by
            # itself, as SQLAlchemy's recipe for savepoints does.
            driver: Any = writer.connection.driver_connection
            driver.rollback()
            writer.exec_driver_sql("BEGIN IMMEDIATE")
            steps.reached(steps.Step.BEGUN)
            moved = self._update(writer)
            batch = self.batch
            steps.reached(steps.Step.WRITTEN)
            # Nobody can have written between reading and writing.
            counts = replace(batch.counts(moved), conflicts=0)
            self._record(writer, batch, counts)
            steps.reached(steps.Step.RECORDED)
        steps.reached(steps.Step.COMMITTED)
        return Pending(counts)

    def _update(self, writer: Connection) -> int:
        last = self.batch.last
        assert last is not None  # noqa: S101 - it has rows
        rows = self._rows
        driver: Any = writer.connection.driver_connection
        stored = rows.sql.rows(self._after, last)
        found = driver.execute(*stored).fetchall()
        function = self._prepared(found)
        if function is None:
            return 0
        driver.create_function(_FUNCTION, -1, function)
        where, parameters = rows.sql.bounds(self._after, last)
        try:
            writer.exec_driver_sql(f"{rows.update_sql} AND {where}", parameters)
        except Exception:
            if self._error is None:
                raise
        finally:
            driver.create_function(_FUNCTION, -1, None)
        if self._error is not None:
            raise self._error
        confirmed = self._confirmed(driver.execute(*stored).fetchall())
        rows.check(len(self._new), confirmed)
        # A row may have several values that cannot be moved.
        current = len(found) - len(self._new) - len(self.batch.dead)
        self.batch.current = max(0, current)
        return len(self._new)

    def _prepared(self, found: list[Row]) -> Callable[..., Any] | None:
        """Return what the UPDATE calls, if there is anything to write."""
        rows, last = self._rows, self.batch.last
        width, end = rows.width, rows.move.end
        if not rows.simple:
            nulls = sum(value is None for row in found for value in row[width:end])
            self.batch = Batch(len(found), last, nulls=nulls)
            return self._slot if found else None
        self.batch = batch = make_batch(found, rows.move)
        # The rows that were seen before may have become fewer.
        batch.last = last
        if not batch.changed:
            return None
        [new] = batch.new
        if width == 1:
            self._new = dict(zip([row[0] for row in batch.changed], new, strict=True))
            return self._new.get
        keys = [row[:width] for row in batch.changed]
        self._new = new_by_key = dict(zip(keys, new, strict=True))
        return lambda *key: new_by_key.get(key)

    def _confirmed(self, written: Sequence[Row]) -> int:
        """Count the rows that hold what they shall."""
        rows, new = self._rows, self._new
        width, end = rows.width, rows.move.end
        if rows.simple and width == 1:
            if written == [*new.items()]:  # all of them, without a loop in Python
                return len(new)
            return sum([new.get(row[0], _NOTHING) == row[1] for row in written])
        if rows.simple:
            return sum(new.get(row[:width], _NOTHING) == row[width] for row in written)
        return sum(new.get(row[:width]) == list(row[width:end]) for row in written)

    def _slot(self, slot: int, *row: Any) -> Any:
        """Seal one of several values of a row; called by the UPDATE."""
        try:
            key = row[: self._rows.width]
            if self._last[0] != key or slot == 0:
                self._last = (key, self._changed(key, row))
            return self._last[1][slot]
        except BaseException as error:
            self._error = error
            raise

    def _changed(self, key: RowKey, row: Row) -> list[Any]:
        new, dead, changed = change_row(row, self._rows.move)
        self.batch.dead += dead
        if changed:
            self._new[key] = new
        return new
