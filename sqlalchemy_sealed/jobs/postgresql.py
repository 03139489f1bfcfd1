"""Writing batches to PostgreSQL at close to the server's own speed, with psycopg.

One prepared statement carries a batch: the rows as binary arrays, written by
compare-and-swap, together with the cursor and the counts of the range. There are two of
them. The *polite* one first locks the rows that still hold what was read, in the order
of the key, and skips those that an application has locked: it never waits, and nobody
ever waits for it in a circle. The *fast* one saves that step, which costs a third of
the time, and gives up after a few milliseconds if it has to wait, long before the
server would look for a deadlock; the batch is then written politely.

The bounds on the primary key are not redundant: without them the planner may walk the
whole index from its start for every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from sqlalchemy_sealed.jobs.arrays import array_maker
from sqlalchemy_sealed.jobs.batch import Batch, ends_of, make_batch
from sqlalchemy_sealed.jobs.caution import Caution
from sqlalchemy_sealed.jobs.lease import LEASE_SECONDS, Lease
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.page import ArrayPage, page_sql
from sqlalchemy_sealed.jobs.pgtypes import fits, key_type, slot_type
from sqlalchemy_sealed.jobs.pipeline import (
    PipelinedWrite,
    Statement,
    query,
)
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text
from sqlalchemy_sealed.jobs.slot import Form
from sqlalchemy_sealed.jobs.tables import clock, ranges, runs
from sqlalchemy_sealed.jobs.write import Recorder, Write

__all__ = ["PsycopgRows", "fits"]


class PsycopgRows(PortableRows):
    """The rows of one table, through the driver's own connection."""

    def __init__(
        self, engine: Engine, move: Move, encoding: str, polite: bool = True
    ) -> None:
        super().__init__(engine, move)
        dialect = engine.dialect
        quote = dialect.identifier_preparer
        self._table = quote.format_table(move.table)
        self._keys = [quote.quote(c.name) for c in move.key]
        self._names = [quote.quote(s.name) for s in move.slots]
        self._tenants = [quote.quote(name) for name in move.tenants]
        self._key_types = [key_type(c.type, dialect) for c in move.key]
        self._types = [slot_type(slot) for slot in move.slots]
        self._new_types = [self._types[n] for n in move.written]
        kinds = (*self._key_types, *self._types, *self._new_types)
        self._makers = [array_maker(kind, encoding) for kind in kinds]
        now = str(clock(dialect))
        self._fast_sql = self._statement_sql(now, self._fast_update())
        self._polite_sql = self._statement_sql(now, self._polite_update())
        [change, *others] = move.changes
        one = len(move.slots) == 1 and not others and not move.tenants
        self._by_page = (
            one and change.alone() is not None and change.column() is not None
        )
        self._caution = Caution(polite)

    # -- reading -----------------------------------------------------------------

    def read(
        self,
        connection: Connection,
        after: RowKey | None,
        upto: RowKey | None,
        limit: int,
    ) -> Sequence[Any]:
        """Read the next rows, bytes in binary form."""
        question = self._question(after, upto, limit)
        try:
            return self._answer(query(connection, *question))
        except LookupError:
            self._by_page = False
            return self.read(connection, after, upto, limit)

    def _question(
        self, after: RowKey | None, upto: RowKey | None, limit: int
    ) -> tuple[str, list[Any]]:
        keys = ", ".join(f"t.{key}" for key in self._keys)
        marks = ", ".join(f"%s::{kind}" for kind in self._key_types)
        conditions = []
        if after is not None:
            conditions.append(f"({keys}) > ({marks})")
        if upto is not None:
            conditions.append(f"({keys}) <= ({marks})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        parameters = [*(after or ()), *(upto or ()), limit]
        if self._by_page:
            return page_sql(self._table, self._keys, self._names[0], where), parameters
        sql = (
            f"SELECT {self._selected()} FROM {self._table} AS t{where} "  # noqa: S608 - quoted names only
            f"ORDER BY {keys} LIMIT %s"
        )
        return sql, parameters

    def _answer(self, cursor: Any) -> Sequence[Any]:
        if self._by_page:
            return ArrayPage(cursor, self.width)
        found: Sequence[Any] = cursor.fetchall()
        return found

    def _selected(self) -> str:
        slots = zip(self.move.slots, self._names, strict=True)
        tokens = [
            f"{name}::text" if slot.form is Form.PLAIN else name for slot, name in slots
        ]
        plain = [self._names[n] for n in self.move.plain]
        names = [*self._keys, *tokens, *plain, *self._tenants]
        return ", ".join(f"t.{name}" for name in names)

    # -- writing -----------------------------------------------------------------

    def prepare(self, rows: Sequence[Any], lease: Lease, record: Recorder) -> Write:
        """Make a batch ready, while the server still writes the one before."""
        batch = make_batch(rows, self.move)
        if batch.dead or not batch.changed:
            return super().prepare_batch(batch, record)
        rows_of = self._batch_parameters(batch, lease)
        polite = Statement(self._polite_sql, rows_of)
        if not self._caution.hurries():
            return PipelinedWrite(self.name, batch, lease, polite)
        fast = Statement(self._fast_sql, rows_of, gives_up=True)
        met = self._caution.met_a_lock
        return PipelinedWrite(self.name, batch, lease, fast, polite, met)

    def _batch_parameters(self, batch: Batch, lease: Lease) -> list[Any]:
        assert batch.last is not None  # noqa: S101 - it has rows
        first, last = ends_of(batch.changed, self.width)
        made = self._makers
        arrays: list[Any] = []
        columns: list[Any] = []
        if isinstance(batch.changed, ArrayPage):
            arrays = [*batch.changed.arrays]
            made = made[len(arrays) :]
        else:
            columns = [*zip(*batch.changed, strict=True)][: self.move.end]
        columns += batch.new
        arrays += [maker(values) for maker, values in zip(made, columns, strict=True)]
        return [
            lease.range_id,
            lease.token,
            *arrays,
            *first,
            *last,
            key_to_text(batch.last),
            batch.scanned,
            batch.current,
            batch.nulls,
            len(batch.changed),
        ]

    def _statement_sql(self, now: str, update: str) -> str:
        book, run = ranges.name, runs.name
        return (
            # The lease first: a worker that has lost it, or whose run was paused,
            # writes no row. A table of the application may have any other name.
            f"WITH sealed_lease AS (SELECT b.id FROM {book} AS b "  # noqa: S608 - quoted names only
            "WHERE b.id = %s AND b.lease_token = %s AND "
            f"(SELECT j.status FROM {run} AS j WHERE j.id = b.run_id) = 'running' "
            "FOR UPDATE OF b), "
            f"{update}, "
            "sealed_result AS (SELECT count(*) AS moved, "
            "coalesce(bool_and(same), true)::int AS same FROM sealed_written) "
            f"UPDATE {book} AS r SET cursor = %s, "
            f"lease_until = {now} + {LEASE_SECONDS}, "
            "scanned = r.scanned + %s, current = r.current + %s, "
            "nulls = r.nulls + %s, batches = r.batches + 1, "
            # SQL has no RAISE: dividing by zero undoes a batch that reads back wrong.
            "moved = r.moved + (SELECT moved / same FROM sealed_result), "
            "conflicts = r.conflicts + %s - (SELECT moved FROM sealed_result) "
            # Scalars and no joins here: fast batches are planned without nested loops.
            "WHERE r.id = (SELECT id FROM sealed_lease) "
            "RETURNING (SELECT moved FROM sealed_result)"
        )

    def _fast_update(self) -> str:
        return (
            f"sealed_written AS (UPDATE {self._table} AS t SET {self._assignments()} "  # noqa: S608 - quoted names only
            f"FROM {self._arrays()} "
            f"WHERE {self._conditions()} RETURNING {self._same()} AS same)"
        )

    def _polite_update(self) -> str:
        keys = ", ".join(f"v.k{n}" for n in range(self.width))
        new = ", ".join(f"v.n{n}" for n in self.move.written)
        order = ", ".join(f"t.{name}" for name in self._keys)
        pairs = zip(self._keys, range(self.width), strict=True)
        joined = " AND ".join(f"t.{name} = v.k{n}" for name, n in pairs)
        return (
            f"sealed_values AS (SELECT {keys}, {new} FROM "  # noqa: S608 - quoted names only
            f"{self._arrays()} JOIN {self._table} AS t ON {joined} "
            f"WHERE {self._conditions()} "
            f"ORDER BY {order} FOR NO KEY UPDATE OF t SKIP LOCKED), "
            f"sealed_written AS (UPDATE {self._table} AS t SET {self._assignments()} "
            "FROM sealed_values AS v "
            # Locked and compared above: nobody can have changed them since.
            f"WHERE {joined} RETURNING {self._same()} AS same)"
        )

    def _arrays(self) -> str:
        kinds = (*self._key_types, *self._types, *self._new_types)
        names = [f"k{n}" for n in range(self.width)]
        names += [f"o{n}" for n in range(len(self._names))]
        names += [f"n{n}" for n in self.move.written]
        named = zip(kinds, names, strict=True)
        # In the select list the arrays are read in step; in FROM, each is copied first.
        arrays = ", ".join(f"unnest(%b::{kind}[]) AS {name}" for kind, name in named)
        return f"(SELECT {arrays}) AS v"

    def _conditions(self) -> str:
        columns = ", ".join(f"t.{name}" for name in self._keys)
        marks = ", ".join(f"%s::{kind}" for kind in self._key_types)
        keys = [f"t.{name} = v.k{n}" for n, name in enumerate(self._keys)]
        old = [self._unchanged(n) for n in range(len(self._names))]
        bounds = [f"({columns}) >= ({marks})", f"({columns}) <= ({marks})"]
        held = "(SELECT id FROM sealed_lease) IS NOT NULL"
        return " AND ".join([*keys, *old, *bounds, held])

    def _unchanged(self, slot: int) -> str:
        form, column = self.move.slots[slot].form, f"t.{self._names[slot]}"
        if form is Form.PLAIN:
            column += "::text"
        if form is not Form.BYTES:
            column = f'{column} COLLATE "C"'
        # A single column is never NULL here; of several, some may be.
        equal = "=" if len(self._names) == 1 else "IS NOT DISTINCT FROM"
        return f"{column} {equal} v.o{slot}"

    def _assignments(self) -> str:
        return ", ".join(f"{self._names[n]} = v.n{n}" for n in self.move.written)

    def _same(self) -> str:
        return " AND ".join(
            f"t.{self._names[n]} IS NOT DISTINCT FROM v.n{n}" for n in self.move.written
        )
