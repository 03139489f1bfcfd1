"""Writing batches to PostgreSQL at close to the server's own speed, with psycopg.

One prepared statement carries a batch: the rows as binary arrays, written by
compare-and-swap, together with the cursor and the counts of the range.

The bounds on the primary key are not redundant: without them the planner may walk the
whole index from its start for every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy import Connection, Dialect

from sqlalchemy_sealed.jobs.arrays import array_maker
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.lease import LEASE_SECONDS, Lease
from sqlalchemy_sealed.jobs.pipeline import PipelinedWrite, driver_of
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text
from sqlalchemy_sealed.jobs.tables import clock, ranges
from sqlalchemy_sealed.jobs.write import Recorder, Write
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["PsycopgRows", "has_update_trigger"]


class PsycopgRows(PortableRows):
    """The rows of one table, through the driver's own connection."""

    def __init__(self, sealed: SealedTable, dialect: Dialect, encoding: str) -> None:
        super().__init__(sealed, dialect)
        quote = dialect.identifier_preparer
        self._table = quote.format_table(sealed.table)
        self._keys = [quote.quote(c.name) for c in sealed.key]
        self._names = [quote.quote(c.name) for c in sealed.columns]
        self._tenants = [quote.quote(name) for name in sealed.tenants]
        self._key_types = [_key_type(c.type, dialect) for c in sealed.key]
        self._types = ["text" if c.is_text else "bytea" for c in sealed.columns]
        kinds = (*self._key_types, *self._types * 2)
        self._makers = [array_maker(kind, encoding) for kind in kinds]
        self._batch_sql = self._statement_sql(str(clock(dialect)))

    def read(
        self,
        connection: Connection,
        after: RowKey | None,
        upto: RowKey | None,
        limit: int,
    ) -> Sequence[Any]:
        """Read the next rows, bytes in binary form."""
        keys = ", ".join(self._keys)
        marks = ", ".join(f"%s::{kind}" for kind in self._key_types)
        conditions = []
        if after is not None:
            conditions.append(f"({keys}) > ({marks})")
        if upto is not None:
            conditions.append(f"({keys}) <= ({marks})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        columns = ", ".join([*self._keys, *self._names, *self._tenants])
        sql = f"SELECT {columns} FROM {self._table}{where} ORDER BY {keys} LIMIT %s"  # noqa: S608 - quoted names only
        with driver_of(connection).cursor(binary=True) as cursor:
            cursor.execute(sql, [*(after or ()), *(upto or ()), limit], prepare=True)
            return cast("Sequence[Any]", cursor.fetchall())

    def prepare(self, batch: Batch, lease: Lease, record: Recorder) -> Write:
        """Make a batch ready, while the server still writes the one before."""
        if batch.dead or not batch.changed:
            return super().prepare(batch, lease, record)
        rows = batch.changed
        assert batch.last is not None  # noqa: S101 - there are rows
        read = zip(*rows, strict=True)
        arrays = zip(self._makers, (*read, *batch.new), strict=True)
        parameters = [
            *(lease.range_id, lease.token),
            *(make(values) for make, values in arrays),
            *(*rows[0][: self.width], *rows[-1][: self.width]),
            *(key_to_text(batch.last), batch.scanned, batch.current, batch.nulls),
            len(rows),
        ]
        return PipelinedWrite(self.name, batch, lease, self._batch_sql, parameters)

    def _statement_sql(self, now: str) -> str:
        book = ranges.name
        return (
            # The lease first: a worker that has lost it writes no row.
            f"WITH lease AS (SELECT id FROM {book} "  # noqa: S608 - quoted names only
            "WHERE id = %s AND lease_token = %s FOR UPDATE), "
            f"written AS ({self._update_sql()}), "
            "result AS (SELECT count(*) AS moved, "
            "coalesce(bool_and(same), true)::int AS same FROM written) "
            f"UPDATE {book} AS r SET cursor = %s, "
            f"lease_until = {now} + {LEASE_SECONDS}, "
            "scanned = r.scanned + %s, current = r.current + %s, "
            "nulls = r.nulls + %s, batches = r.batches + 1, "
            # SQL has no RAISE: dividing by zero undoes a batch that reads back wrong.
            "moved = r.moved + result.moved / result.same, "
            "conflicts = r.conflicts + %s - result.moved "
            "FROM lease, result WHERE r.id = lease.id RETURNING result.moved"
        )

    def _update_sql(self) -> str:
        old = [f"o{n}" for n in range(len(self._names))]
        new = [f"n{n}" for n in range(len(self._names))]
        keys = [f"k{n}" for n in range(self.width)]
        arrays = [f"%b::{kind}[]" for kind in (*self._key_types, *self._types * 2)]
        # A single column is never NULL here; of several, some may be.
        equal = "=" if len(self._names) == 1 else "IS NOT DISTINCT FROM"
        pairs = list(zip(self._names, new, strict=True))
        conditions = [
            *(f"t.{a} = v.{b}" for a, b in zip(self._keys, keys, strict=True)),
            *(f"t.{a} {equal} v.{b}" for a, b in zip(self._names, old, strict=True)),
        ]
        columns = ", ".join(f"t.{name}" for name in self._keys)
        marks = ", ".join(f"%s::{kind}" for kind in self._key_types)
        same = " AND ".join(f"t.{a} IS NOT DISTINCT FROM v.{b}" for a, b in pairs)
        return (
            f"UPDATE {self._table} AS t "  # noqa: S608 - quoted names only
            f"SET {', '.join(f'{a} = v.{b}' for a, b in pairs)} FROM lease, "
            f"unnest({', '.join(arrays)}) AS v({', '.join((*keys, *old, *new))}) "
            f"WHERE {' AND '.join(conditions)} "
            f"AND ({columns}) >= ({marks}) AND ({columns}) <= ({marks}) "
            f"RETURNING {same} AS same"
        )


def _key_type(kind: Any, dialect: Dialect) -> str:
    """Return the type a key value is cast to: never a length, which would cut it."""
    for base, name in _KEY_TYPES:
        if isinstance(kind, base):
            return name
    return str(kind.compile(dialect=dialect))


_KEY_TYPES: Final = (
    (sa.CHAR, "bpchar"),
    (sa.String, "text"),
    (sa.Integer, "bigint"),
    (sa.Numeric, "numeric"),
)


def has_update_trigger(connection: Connection, sealed: SealedTable) -> bool:
    """Tell whether updating the table runs a trigger.

    A trigger that runs after the statement may change what RETURNING has reported.
    """
    name = connection.dialect.identifier_preparer.format_table(sealed.table)
    found = connection.scalar(
        sa.text(
            # Rows may live in partitions and in tables that inherit from this one.
            "WITH RECURSIVE tables AS (SELECT CAST(:name AS regclass)::oid AS id "
            "UNION SELECT inhrelid FROM pg_inherits JOIN tables ON inhparent = id) "
            "SELECT count(*) FROM pg_trigger JOIN tables ON tgrelid = id "
            "WHERE NOT tgisinternal AND (tgtype & 16) <> 0"
        ),
        {"name": name},
    )
    return bool(found)
