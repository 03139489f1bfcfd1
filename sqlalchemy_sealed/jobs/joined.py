"""The statements that write one batch to MariaDB or MySQL through a temporary table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Dialect

from sqlalchemy_sealed.jobs.batch import Batch, ends_of
from sqlalchemy_sealed.jobs.blobpage import BlobPage, hexadecimal
from sqlalchemy_sealed.jobs.mariadbtable import MariadbTable
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.slot import Form
from sqlalchemy_sealed.jobs.tablename import quoted, table_name

__all__ = ["JoinStatements", "longest_value", "value_width"]


class JoinStatements:
    """The statements of one batch, whose values are all envelopes or terms."""

    def __init__(
        self,
        move: Move,
        dialect: Dialect,
        server: MariadbTable,
        batch: Batch,
        longest: int,
    ) -> None:
        self.move = move
        self._server = server
        self._width = value_width(longest)
        self._table = table_name(dialect, move.table)
        self._names = [quoted(dialect, s.name) for s in move.slots]
        self._key_names = [quoted(dialect, c.name) for c in move.key]
        ends = ends_of(batch.changed, len(move.key))
        self._first, self._last = (_literal(key[0]) for key in ends)
        self.temporary = ""
        #: Makes the temporary table, once in a session; and fills it.
        self.create, *self.fill = self._fill(batch)

    def _fill(self, batch: Batch) -> list[str]:
        width = self._width
        width_of_key = len(self._key_names)
        columns = [f"k{n}" for n in range(len(self._key_names))]
        columns += [f"o{n}" for n in range(len(self._names))]
        columns += [f"n{n}" for n in self.move.written]
        head = ", ".join(
            [f"k{n} {kind} NOT NULL" for n, kind in enumerate(self._server.key_types)]
            + [f"{name} VARBINARY({width})" for name in columns[width_of_key:]]
            + [f"PRIMARY KEY ({', '.join(columns[:width_of_key])})"]
        )
        # A session keeps its temporary tables: another layout is another table.
        name = "sealed_batch_" + hashlib.sha256(head.encode()).hexdigest()[:12]
        rows = ",".join(_page_rows(batch) or self._rows(batch))
        self.temporary = name
        return [
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({head}) ENGINE=MEMORY",
            f"DELETE FROM {name}",  # noqa: S608 - a name of our own
            f"INSERT INTO {name} VALUES {rows}",  # noqa: S608 - literals in hex
        ]

    def _rows(self, batch: Batch) -> list[str]:
        end = self.move.end
        new = zip(*batch.new, strict=True)
        return [
            f"({','.join(map(_literal, (*row[:end], *after)))})"
            for row, after in zip(batch.changed, new, strict=True)
        ]

    def at_once(self) -> str:
        """Return everything in one statement; it tells what was written and what reads.

        A thread that waits for six answers waits as often for Python's lock.
        """
        statements = (*self.fill, self.update(), f"SELECT ROW_COUNT(), ({self.same()})")
        return f"BEGIN NOT ATOMIC {'; '.join(statements)}; END"

    def lock(self) -> str:
        """Return the statement that locks what is unchanged and free, and counts it."""
        return (
            f"SELECT count(*) FROM {self._joined()} AND {self._old()} "  # noqa: S608 - quoted names only
            f"WHERE {self._range()} FOR UPDATE SKIP LOCKED"
        )

    def locked_keys(self) -> str:
        """Return the statement that locks row by row, and names what it has."""
        keys = ", ".join(f"v.k{n}" for n in range(len(self._key_names)))
        return (
            f"SELECT {keys} FROM {self._reversed()} AND {self._old()} "  # noqa: S608 - quoted names only
            f"ORDER BY {keys} FOR UPDATE SKIP LOCKED"
        )

    def update(self) -> str:
        """Return the statement that writes by compare-and-swap, and never waits."""
        return (
            "SET STATEMENT innodb_lock_wait_timeout = 0 FOR "  # noqa: S608 - quoted names only
            f"UPDATE {self._joined()} AND {self._old()} SET {self._assignments()} "
            f"WHERE {self._range()}"
        )

    def update_locked(self) -> str:
        """Return the statement that writes row by row."""
        # They are locked: there is nothing to wait for.
        return f"UPDATE {self._reversed()} AND {self._old()} SET {self._assignments()}"  # noqa: S608 - quoted names only

    def _assignments(self) -> str:
        return ", ".join(f"t.{self._names[n]} = v.n{n}" for n in self.move.written)

    def remove_but(self, keys: Sequence[Any]) -> str:
        """Return the statement that leaves only some keys in the temporary table."""
        names = ", ".join(f"k{n}" for n in range(len(self._key_names)))
        kept = ", ".join(f"({', '.join(map(_literal, key))})" for key in keys)
        return f"DELETE FROM {self.temporary} WHERE ({names}) NOT IN ({kept})"  # noqa: S608 - literals in hex

    def same(self) -> str:
        """Return the statement that counts what reads back as it was written."""
        new = " AND ".join(
            f"CAST(t.{self._names[n]} AS BINARY) <=> v.n{n}" for n in self.move.written
        )
        return (
            f"SELECT count(*) FROM {self._joined()} AND {new} "  # noqa: S608 - quoted names only
            f"WHERE {self._range()}"
        )

    def _joined(self) -> str:
        return (
            f"{self._table} AS t STRAIGHT_JOIN {self.temporary} AS v ON {self._keys()}"
        )

    def _reversed(self) -> str:
        return (
            f"{self.temporary} AS v STRAIGHT_JOIN {self._table} AS t ON {self._keys()}"
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

    def _range(self) -> str:
        # Not BETWEEN: MariaDB takes two bounds for one value if they are equal by the
        # collation of the connection, whatever that of the column is.
        key = f"t.{self._key_names[0]}"
        return f"{key} >= {self._first} AND {key} <= {self._last}"


def _page_rows(batch: Batch) -> list[str] | None:
    """Return the literals of a page that is written as a whole."""
    page = batch.changed
    if not isinstance(page, BlobPage) or page.common_length is None:
        return None
    [new] = batch.new
    lengths = set(map(len, new))
    if len(lengths) > 1:
        return None
    digits = hexadecimal(b"".join(new), lengths.pop())
    triples = zip(page.key_texts, page.hexadecimal(), digits, strict=True)
    return [f"({key},X'{old}',X'{after}')" for key, old, after in triples]


def value_width(longest: int) -> int:
    """Return the width of the temporary table's columns, in bytes."""
    return max(64, 1 << (longest - 1).bit_length())


def longest_value(batch: Batch) -> int:
    """Return the length of the longest value of a batch."""
    page = batch.changed
    whole = page.common_length if isinstance(page, BlobPage) else None
    if whole is not None:
        return max(whole, *map(len, batch.new[0]))
    lengths = [
        len(value)
        for values in (*batch.new, *zip(*page, strict=True))
        for value in values
        if isinstance(value, bytes | str)
    ]
    return max(lengths, default=0)


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
