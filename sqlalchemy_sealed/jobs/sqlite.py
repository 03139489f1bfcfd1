"""Re-encrypting in SQLite: one UPDATE per batch, which calls back for every value.

SQLite has one writer and no server: sending values to Python and back costs more than
everything else together. So the batch is sealed inside its transaction, by a function
that the UPDATE calls: the stated exception to the rule that no lock is held during
cryptography. Keys are local, and batches are small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, func

from sqlalchemy_sealed.errors import DecryptionError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch, change_row, dead_letter
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.move import Move, Row
from sqlalchemy_sealed.jobs.portable import PortableRows, beyond
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text
from sqlalchemy_sealed.jobs.write import Pending, Recorder, Write

__all__ = ["SqliteRows"]

_FUNCTION = "sealed_move"


class SqliteRows(PortableRows):
    """The rows of one table in SQLite, moved where they are."""

    def __init__(self, engine: Engine, move: Move) -> None:
        super().__init__(engine, move)
        alone = move.changes[0].alone() if len(move.changes) == 1 else None
        self.reseal = alone
        self.update_sql = self._update_sql(simple=alone is not None)

    def read(
        self,
        connection: Connection,
        after: RowKey | None,
        upto: RowKey | None,
        limit: int,
    ) -> Sequence[Any]:
        """Find out where the next batch ends, and how much is in it: one item."""
        keys = self.page(after, upto).with_only_columns(*self.keys)
        last = connection.execute(keys.offset(limit - 1).limit(1)).first()
        if last is None:
            down = keys.order_by(None).order_by(*(key.desc() for key in self.keys))
            last = connection.execute(down.limit(1)).first()
        found: list[Any] = []
        if last is not None:
            found = [self._measured(connection, after, tuple(last))]
        connection.rollback()
        return found

    def _measured(
        self, connection: Connection, after: RowKey | None, last: RowKey
    ) -> tuple[Any, ...]:
        key_to_text(last)  # a key that cannot be followed is refused here
        present = [func.count(value) for value in self.values]
        page = self.page(after, last).order_by(None)
        counted = page.with_only_columns(func.count(), *present)
        rows, *of_each = connection.execute(counted).one()
        return (*last, after, rows, sum(rows - n for n in of_each))

    def prepare(self, rows: Sequence[Any], lease: Lease, record: Recorder) -> Write:
        """Make a batch ready: everything happens when it is submitted."""
        del lease
        return _InPlace(self, rows, record)

    def _update_sql(self, simple: bool) -> str:
        quote = self.dialect.identifier_preparer
        assert self.move.left is not None  # noqa: S101 - of this kind
        left = self.move.left(self.values).compile(dialect=self.dialect)
        keys = [quote.quote(c.name) for c in self.move.key]
        names = [quote.quote(s.name) for s in self.move.slots]
        tenants = [quote.quote(name) for name in self.move.tenants]
        row = ", ".join([*keys, *names, *tenants])
        if simple:
            assignments = f"{names[0]} = {_FUNCTION}({row})"
        else:
            assignments = ", ".join(
                f"{name} = {_FUNCTION}({n}, {row})" for n, name in enumerate(names)
            )
        table = quote.format_table(self.move.table)
        return f"UPDATE {table} SET {assignments} WHERE ({left})"  # noqa: S608 - quoted names and headers

    def bounds(self, after: RowKey | None, last: RowKey) -> tuple[str, list[Any]]:
        """Return the condition for the rows of a batch, with its parameters."""
        condition = ~beyond(self.keys, last)
        if after is not None:
            condition = condition & beyond(self.keys, after)
        compiled = condition.compile(dialect=self.dialect)
        names = compiled.positiontup or []
        return str(compiled), [compiled.params[name] for name in names]


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
            self.batch = Batch(row[width + 1], tuple(row[:width]), nulls=row[width + 2])
        #: By key, the new values of the slots, or the only one.
        self._new: dict[Any, Any] = {}
        self._error: BaseException | None = None
        self._last: tuple[Any, list[Any]] = ((), [])

    def submit(self, writer: Connection) -> Pending:
        """Seal and write the batch and its bookkeeping in one transaction.

        Raises:
            LeaseLostError: another worker has taken the range; nothing was written.
            VerificationError: the rows do not hold what was written; nothing was.

        """
        batch = self.batch
        with writer.begin():
            # The lock first: what is read is what is written.
            writer.exec_driver_sql("BEGIN IMMEDIATE")
            steps.reached(steps.Step.BEGUN)
            moved = self._update(writer)
            steps.reached(steps.Step.WRITTEN)
            # The rows that were measured may have become fewer.
            batch.current = max(0, batch.scanned - moved - len(batch.dead))
            # Nobody can have written between reading and writing.
            counts = replace(batch.counts(moved), conflicts=0)
            self._record(writer, batch, counts)
            steps.reached(steps.Step.RECORDED)
        steps.reached(steps.Step.COMMITTED)
        return Pending(counts)

    def _update(self, writer: Connection) -> int:
        assert self.batch.last is not None  # noqa: S101 - it has rows
        rows = self._rows
        driver: Any = writer.connection.driver_connection
        function = self._one if rows.reseal is not None else self._slot
        driver.create_function(_FUNCTION, -1, function)
        where, parameters = rows.bounds(self._after, self.batch.last)
        try:
            writer.exec_driver_sql(f"{rows.update_sql} AND {where}", tuple(parameters))
        except Exception:
            if self._error is None:
                raise
        finally:
            driver.create_function(_FUNCTION, -1, None)
        if self._error is not None:
            raise self._error
        return self._read_back(writer)

    def _read_back(self, writer: Connection) -> int:
        rows, new = self._rows, self._new
        if not new:
            return 0
        page = rows.page(self._after, self.batch.last).order_by(None)
        compiled = page.compile(dialect=rows.dialect)
        names = compiled.positiontup or []
        parameters = [compiled.params[name] for name in names]
        driver: Any = writer.connection.driver_connection
        found = driver.execute(str(compiled), parameters)
        width, end = rows.width, rows.move.end
        if rows.reseal is not None and width == 1:
            confirmed = sum(new.get(row[0]) == row[1] for row in found)
        elif rows.reseal is not None:
            confirmed = sum(new.get(row[:width]) == row[width] for row in found)
        else:
            confirmed = sum(
                new.get(row[:width]) == list(row[width:end]) for row in found
            )
        rows.check(len(new), confirmed)
        return len(new)

    def _one(self, *row: Any) -> Any:
        """Seal the only value of a row; called by the UPDATE."""
        rows = self._rows
        width = rows.width
        old = row[width]
        try:
            new = rows.reseal(old)  # type: ignore[misc]
        except DecryptionError as error:
            name = rows.move.changes[0].name
            self.batch.dead.append(dead_letter(row[:width], name, old, error))
            return old
        except BaseException as error:
            self._error = error
            raise
        if new is None:
            return old
        self._new[row[0] if width == 1 else row[:width]] = new
        return new

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
