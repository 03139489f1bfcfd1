"""Writing batches to MariaDB and MySQL: a temporary table, joined.

PyMySQL's ``executemany`` sends a statement per row, at a fiftieth of the server's own
speed. One statement that fills a temporary table in memory, with hexadecimal literals,
and one that joins it is ten times as fast; so are ``CASE`` and ``VALUES``, but what
writes and what reads back needs the values only once this way.

The table comes first in the join, by a range of its key, and the temporary table is
looked up: the other way round the server takes twice as long. InnoDB would then wait
for every row in the range that somebody has locked. So a *polite* batch locks its rows
first, skips those that are not free, and writes without waiting. A *fast* one is a
single statement that fills, writes and reads back, and gives up at once if a row is not
free; the batch is then written politely.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, and_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import operators

from sqlalchemy_sealed.envelope import SENTINEL, TEXT_PREFIX
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.blobpage import BlobPage, page_sql
from sqlalchemy_sealed.jobs.caution import Caution
from sqlalchemy_sealed.jobs.joined import JoinStatements, longest_value, value_width
from sqlalchemy_sealed.jobs.mariadbtable import MariadbTable
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.rowkey import RowKey
from sqlalchemy_sealed.jobs.slot import Form, Slot
from sqlalchemy_sealed.jobs.transient import Trouble, trouble_of
from sqlalchemy_sealed.jobs.write import Pending, Recorder, Write

__all__ = ["MariadbRows"]

#: A value that is longer goes the portable way, row by row.
_LONGEST: Final = 4096
#: A value that is longer is not sent twice in one statement.
_LARGE: Final = 1 << 18
#: Characters of a statement that an error shows.
_SHOWN: Final = 60
_SENTINEL_BYTE: Final = bytes((SENTINEL,))
_KEYS: Final = (sa.Integer, sa.String, sa.LargeBinary, sa.Uuid, sa.Date, sa.DateTime)


class MariadbRows(PortableRows):
    """The rows of one table, through a temporary table."""

    def __init__(self, engine: Engine, move: Move, polite: bool = True) -> None:
        super().__init__(engine, move)
        self._fits = all(isinstance(c.type, _KEYS) for c in move.key)
        with engine.connect() as connection:
            # Known after the first connection. MySQL cannot say for one statement how
            # long it waits: it goes row by row.
            self.has_statement_settings = bool(connection.dialect.is_mariadb)  # type: ignore[attr-defined]
            self.server = MariadbTable.of(connection, move.table)
        self.caution = Caution(polite or not self.has_statement_settings)
        # One thread, so that a batch is written while the next is read and sealed.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sealed-writer")

        self._by_page = self._has_pages()

    def _has_pages(self) -> bool:
        """Tell whether an integer and one value are all of a row."""
        [change, *others], [slot, *more] = self.move.changes, self.move.slots
        one = not others and not more and not self.move.tenants and self.width == 1
        plain = slot.form is Form.BYTES and change.alone() and change.column()
        integer = isinstance(self.move.key[0].type, sa.Integer)
        return bool(one and plain and integer and self.has_statement_settings)

    def _page(
        self, after: RowKey | None, upto: RowKey | None, limit: int
    ) -> tuple[str, tuple[Any, ...]]:
        quote = self.dialect.identifier_preparer
        key = f"t.{quote.quote(self.move.key[0].name)}"
        value = f"t.{quote.quote(self.move.slots[0].name)}"
        bounds = ((f"{key} > %s", after), (f"{key} <= %s", upto))
        given = [(text, *bound) for text, bound in bounds if bound is not None]
        where = " AND ".join(text for text, _ in given) or "1"
        table = f"{quote.format_table(self.move.table)} AS t"
        parameters = (*(bound for _, bound in given), limit)
        return page_sql(table, key, value, where), parameters

    def read(
        self,
        connection: Connection,
        after: RowKey | None,
        upto: RowKey | None,
        limit: int,
    ) -> Sequence[Any]:
        """Read the next rows."""
        if self._by_page:
            found = connection.exec_driver_sql(*self._page(after, upto, limit)).one()
            connection.rollback()
            if found[0] is None:
                return []
            try:
                return BlobPage(*found)
            except ValueError:
                pass
        return super().read(connection, after, upto, limit)

    def prepare_batch(self, batch: Batch, record: Recorder) -> Write:
        """Make a batch ready whose values are computed."""
        if batch.changed and self._fits:
            longest = longest_value(batch)
            if self._may_be_literal(batch, longest):
                return _Joined(self, batch, record, longest)
        return super().prepare_batch(batch, record)

    def _may_be_literal(self, batch: Batch, longest: int) -> bool:
        # Plaintext never becomes a part of a statement's text; nor do long values.
        count = len(batch.new) + len(self.move.slots)
        size = len(batch.changed), count, value_width(longest), longest
        if longest > _LONGEST or not self.server.fits(*size):
            return False
        if isinstance(batch.changed, BlobPage) and batch.changed.is_sealed:
            return True
        columns: list[Any] = [*zip(*batch.changed, strict=True)]
        columns = [*columns[self.width : self.move.end], *batch.new]
        slots = [*self.move.slots, *(self.move.slots[n] for n in self.move.written)]
        return all(
            _is_public(slot, value)
            for slot, values in zip(slots, columns, strict=True)
            for value in values
            if value is not None
        )

    def write(self, connection: Connection, batch: Batch, parameters: list[Any]) -> int:
        """Write by compare-and-swap and read back; return how many rows were written.

        A statement with the old and the new value of a large one would not fit into
        the server's ``max_allowed_packet``: such rows are locked, and compared here.
        """
        if longest_value(batch) <= _LARGE:
            return super().write(connection, batch, parameters)
        new = zip(*self.encoded(batch), strict=True)
        written = 0
        for row, values in zip(batch.changed, new, strict=True):
            same = and_(*map(operators.eq, self.keys, row[: self.width]))
            held = self.page(None, None).where(same).with_for_update(skip_locked=True)
            found = connection.execute(held).first()
            end = self.move.end
            if found is None or tuple(found[:end]) != tuple(row[:end]):
                continue
            names = [self.values[n].name for n in self.move.written]
            changed = dict(zip(names, values, strict=True))
            connection.execute(update(self.table).where(same).values(changed))
            written += 1
        self.check(written, self.confirmed(connection, batch))
        return written

    def submit_in_thread(self, work: Any, *arguments: Any) -> Future[Any]:
        """Run what waits for the server while this thread goes on."""
        return self._thread.submit(work, *arguments)


def _is_public(slot: Slot, value: Any) -> bool:
    if isinstance(slot.column.type, IndexTermType):
        return True
    if slot.form is Form.TEXT:
        return isinstance(value, str) and value.startswith(TEXT_PREFIX)
    return slot.form is Form.BYTES and bytes(value[:1]) == _SENTINEL_BYTE


class _Joined(Write):
    """A batch that is written through a temporary table, in a thread of its own."""

    def __init__(
        self, rows: MariadbRows, batch: Batch, record: Recorder, longest: int
    ) -> None:
        self.batch = batch
        self._rows = rows
        self._record = record
        self._sql = JoinStatements(rows.move, rows.dialect, rows.server, batch, longest)

    def submit(self, writer: Connection) -> Pending:
        """Hand the batch to the thread."""
        return _InThread(self._rows.submit_in_thread(self._write, writer))

    def _write(self, writer: Connection) -> Counts:
        with writer.begin():
            steps.reached(steps.Step.BEGUN)
            moved = self._move(writer)
            steps.reached(steps.Step.WRITTEN)
            counts = self.batch.counts(moved)
            self._record(writer, self.batch, counts)
            steps.reached(steps.Step.RECORDED)
        steps.reached(steps.Step.COMMITTED)
        return counts

    def _move(self, writer: Connection) -> int:
        rows, sql = self._rows, self._sql
        if sql.temporary not in writer.info:
            _send(writer, sql.create)
            # Of the driver's connection: the session keeps the table.
            writer.info[sql.temporary] = True
        if rows.caution.hurries():
            done = _send_unless_busy(writer, sql.at_once())
            if done is not None:
                moved, confirmed = done.one()
                rows.check(moved, confirmed)
                return int(moved)
            rows.caution.met_a_lock()
        moved = self._politely(writer)
        rows.check(moved, _send(writer, sql.same()).scalar_one())
        return moved

    def _politely(self, writer: Connection) -> int:
        rows, sql = self._rows, self._sql
        for statement in sql.fill:
            _send(writer, statement)
        free = _send(writer, sql.lock()).scalar_one()
        if free == len(self.batch.changed) and rows.has_statement_settings:
            done = _send_unless_busy(writer, sql.update())
            if done is not None:
                return int(done.rowcount)
        # Some are locked, or rows between them: row by row.
        keys = [tuple(row) for row in _send(writer, sql.locked_keys())]
        if keys:
            _send(writer, sql.remove_but(keys))
            return int(_send(writer, sql.update_locked()).rowcount)
        _send(writer, sql.fill[0])
        return 0


class _InThread(Pending):
    """A batch that a thread is writing."""

    def __init__(self, future: Future[Counts]) -> None:
        self._future = future

    def result(self) -> Counts:
        """Wait until the batch is committed and return what became of it."""
        return self._future.result()

    def abandon(self) -> None:
        """Wait and forget."""
        self._future.exception()


def _send(writer: Connection, statement: str) -> Any:
    try:
        # Without parameters: a percent sign in a name stands for itself.
        return writer.exec_driver_sql(
            statement, execution_options={"no_parameters": True}
        )
    except DBAPIError as error:
        # With a thousand values in it, it says nothing to anybody.
        error.statement = f"{statement[:_SHOWN]}..."
        raise


def _send_unless_busy(writer: Connection, statement: str) -> Any:
    """Send what never waits; return ``None`` if it would have had to."""
    try:
        return _send(writer, statement)
    except DBAPIError as error:
        if trouble_of(error) is not Trouble.BUSY:
            raise
        return None
