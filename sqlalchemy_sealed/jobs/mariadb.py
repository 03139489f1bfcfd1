"""Writing batches to MariaDB and MySQL: a temporary table, joined.

PyMySQL's ``executemany`` sends a statement per row, at a fiftieth of the server's own
speed. One statement that fills a temporary table in memory, with hexadecimal literals,
and one that joins it is ten times as fast; so are ``CASE`` and ``VALUES``, but what
locks, writes and reads back needs the values only once this way.

The table comes first in the join, by a range of its key, and the temporary table is
looked up: the other way round the server takes twice as long. InnoDB then waits for
every row in the range that somebody has locked, so rows are locked first and skipped
if they are not free, and the statement that writes does not wait at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn

from sqlalchemy_sealed.envelope import SENTINEL, TEXT_PREFIX
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.slot import Form, Slot
from sqlalchemy_sealed.jobs.transient import Trouble, trouble_of
from sqlalchemy_sealed.jobs.write import Pending, Recorder, Write

__all__ = ["MariadbRows"]

#: A value that is longer goes the portable way, row by row.
_LONGEST: Final = 4096
_SENTINEL_BYTE: Final = bytes((SENTINEL,))
_KEYS: Final = (sa.Integer, sa.String, sa.LargeBinary, sa.Uuid, sa.Date, sa.DateTime)


class MariadbRows(PortableRows):
    """The rows of one table, through a temporary table."""

    def __init__(self, engine: Engine, move: Move) -> None:
        super().__init__(engine, move)
        quote = self.dialect.identifier_preparer
        self.quoted = quote.format_table(move.table)
        self._names = [quote.quote(s.name) for s in move.slots]
        self._key_names = [quote.quote(c.name) for c in move.key]
        self._fits = all(isinstance(c.type, _KEYS) for c in move.key)
        with engine.connect() as connection:
            # Known after the first connection. MySQL cannot say for one statement how
            # long it waits: it goes row by row.
            self.has_statement_settings = bool(connection.dialect.is_mariadb)  # type: ignore[attr-defined]
        # One thread, so that a batch is written while the next is read and sealed.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sealed-writer")

    def prepare_batch(self, batch: Batch, record: Recorder) -> Write:
        """Make a batch ready whose values are computed."""
        portable = super().prepare_batch(batch, record)
        if not batch.changed or not self._fits or not self._may_be_literal(batch):
            return portable
        return _Joined(self, batch, record)

    def _may_be_literal(self, batch: Batch) -> bool:
        # Plaintext never becomes a part of a statement's text; nor do long values.
        if _longest(batch) > _LONGEST:
            return False
        columns: list[Any] = [*zip(*batch.changed, strict=True)]
        columns = [*columns[self.width : self.move.end], *batch.new]
        slots = [*self.move.slots, *(self.move.slots[n] for n in self.move.written)]
        return all(
            _is_public(slot, value)
            for slot, values in zip(slots, columns, strict=True)
            for value in values
            if value is not None
        )

    def submit_in_thread(self, work: Any, *arguments: Any) -> Future[Any]:
        """Run what waits for the server while this thread goes on."""
        return self._thread.submit(work, *arguments)

    # -- statements --------------------------------------------------------------

    def fill(self, batch: Batch) -> list[str]:
        """Return the statements that make the temporary table and fill it."""
        width = max(64, 1 << (_longest(batch) - 1).bit_length())
        end = self.move.end
        columns = [f"k{n}" for n in range(self.width)]
        columns += [f"o{n}" for n in range(len(self._names))]
        columns += [f"n{n}" for n in self.move.written]
        head = ", ".join(
            [*self._key_columns()]
            + [f"{name} VARBINARY({width})" for name in columns[self.width :]]
            + [f"PRIMARY KEY ({', '.join(columns[: self.width])})"]
        )
        # A session keeps its temporary tables: another layout is another table.
        name = "sealed_batch_" + hashlib.sha256(head.encode()).hexdigest()[:12]
        new = zip(*batch.new, strict=True)
        rows = ",".join(
            f"({','.join(map(_literal, (*row[:end], *after)))})"
            for row, after in zip(batch.changed, new, strict=True)
        )
        self.temporary = name
        return [
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({head}) ENGINE=MEMORY",
            f"DELETE FROM {name}",  # noqa: S608 - a name of our own
            f"INSERT INTO {name} VALUES {rows}",  # noqa: S608 - literals in hex
        ]

    def _key_columns(self) -> list[str]:
        found = []
        for n, column in enumerate(self.move.key):
            copy: Any = sa.Column(f"k{n}", column.type, nullable=False)
            found.append(str(CreateColumn(copy).compile(dialect=self.dialect)))
        return found

    def lock(self, batch: Batch) -> str:
        """Return the statement that locks what is unchanged and free, and counts it."""
        return (
            f"SELECT count(*) FROM {self._joined()} AND {self._old()} "  # noqa: S608 - quoted names only
            f"WHERE {self._range(batch)} FOR UPDATE SKIP LOCKED"
        )

    def locked_keys(self) -> str:
        """Return the statement that locks row by row, and names what it has."""
        keys = ", ".join(f"v.k{n}" for n in range(self.width))
        return (
            f"SELECT {keys} FROM {self._reversed()} AND {self._old()} "  # noqa: S608 - quoted names only
            f"ORDER BY {keys} FOR UPDATE SKIP LOCKED"
        )

    def update(self, batch: Batch) -> str:
        """Return the statement that writes by compare-and-swap, and never waits."""
        assignments = ", ".join(
            f"t.{self._names[n]} = v.n{n}" for n in self.move.written
        )
        return (
            "SET STATEMENT innodb_lock_wait_timeout = 0 FOR "  # noqa: S608 - quoted names only
            f"UPDATE {self._joined()} AND {self._old()} SET {assignments} "
            f"WHERE {self._range(batch)}"
        )

    def update_locked(self) -> str:
        """Return the statement that writes row by row."""
        assignments = ", ".join(
            f"t.{self._names[n]} = v.n{n}" for n in self.move.written
        )
        # They are locked: there is nothing to wait for.
        return f"UPDATE {self._reversed()} AND {self._old()} SET {assignments}"  # noqa: S608 - quoted names only

    def remove_but(self, keys: Sequence[Any]) -> str:
        """Return the statement that leaves only some keys in the temporary table."""
        names = ", ".join(f"k{n}" for n in range(self.width))
        kept = ", ".join(f"({', '.join(map(_literal, key))})" for key in keys)
        return f"DELETE FROM {self.temporary} WHERE ({names}) NOT IN ({kept})"  # noqa: S608 - literals in hex

    def same(self, batch: Batch) -> str:
        """Return the statement that counts what reads back as it was written."""
        new = " AND ".join(
            f"CAST(t.{self._names[n]} AS BINARY) <=> v.n{n}" for n in self.move.written
        )
        return (
            f"SELECT count(*) FROM {self._joined()} AND {new} "  # noqa: S608 - quoted names only
            f"WHERE {self._range(batch)}"
        )

    def _joined(self) -> str:
        return (
            f"{self.quoted} AS t STRAIGHT_JOIN {self.temporary} AS v ON {self._keys()}"
        )

    def _reversed(self) -> str:
        return (
            f"{self.temporary} AS v STRAIGHT_JOIN {self.quoted} AS t ON {self._keys()}"
        )

    def _keys(self) -> str:
        pairs = enumerate(self._key_names)
        return " AND ".join(f"t.{name} = v.k{n}" for n, name in pairs)

    def _old(self) -> str:
        parts = []
        for n, (slot, name) in enumerate(
            zip(self.move.slots, self._names, strict=True)
        ):
            # Byte by byte: a character column would compare by its collation.
            binary = slot.form is not Form.BYTES
            column = f"CAST(t.{name} AS BINARY)" if binary else f"t.{name}"
            parts.append(f"{column} <=> v.o{n}")
        return " AND ".join(parts)

    def _range(self, batch: Batch) -> str:
        first, last = (_literal(batch.changed[n][0]) for n in (0, -1))
        return f"t.{self._key_names[0]} BETWEEN {first} AND {last}"


def _is_public(slot: Slot, value: Any) -> bool:
    if isinstance(slot.column.type, IndexTermType):
        return True
    if slot.form is Form.TEXT:
        return isinstance(value, str) and value.startswith(TEXT_PREFIX)
    return slot.form is Form.BYTES and bytes(value[:1]) == _SENTINEL_BYTE


def _longest(batch: Batch) -> int:
    return (
        max(
            len(value)
            for values in (*batch.new, *zip(*batch.changed, strict=True))
            for value in values
            if isinstance(value, bytes | str)
        )
        if batch.changed
        else 0
    )


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return f"X'{value.hex()}'"
    if isinstance(value, str):
        return f"_utf8mb4 X'{value.encode().hex()}'"
    return f"'{value}'"  # a date, a datetime or a UUID has no quotes


class _Joined(Write):
    """A batch that is written through a temporary table, in a thread of its own."""

    def __init__(self, rows: MariadbRows, batch: Batch, record: Recorder) -> None:
        self.batch = batch
        self._rows = rows
        self._record = record
        self._statements = rows.fill(batch)

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
        rows, batch = self._rows, self.batch
        for statement in self._statements:
            _send(writer, statement)
        free = _send(writer, rows.lock(batch)).scalar_one()
        if free == len(batch.changed) and rows.has_statement_settings:
            try:
                moved: int = _send(writer, rows.update(batch)).rowcount
            except DBAPIError as error:
                # A row between two of ours is locked: go on row by row.
                if trouble_of(error) is not Trouble.BUSY:
                    raise
            else:
                rows.check(moved, _send(writer, rows.same(batch)).scalar_one())
                return moved
        keys = [tuple(row) for row in _send(writer, rows.locked_keys())]
        if not keys:
            return 0
        _send(writer, rows.remove_but(keys))
        moved = _send(writer, rows.update_locked()).rowcount
        rows.check(moved, _send(writer, rows.same(batch)).scalar_one())
        return moved


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
    # Without parameters: a percent sign in a name stands for itself.
    return writer.exec_driver_sql(statement, execution_options={"no_parameters": True})
