"""Writing batches in portable SQL, for databases without a path of their own.

Rows are written through lightweight columns without a type: no encryption by a type,
and no ``onupdate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    or_,
    update,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import Update

from sqlalchemy_sealed.errors import VerificationError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.batch import Batch, ends_of, make_batch
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.readrows import ReadRows, beyond
from sqlalchemy_sealed.jobs.rowkey import RowKey
from sqlalchemy_sealed.jobs.write import Pending, Recorder, Write

__all__ = ["PortableRows"]


class PortableRows(ReadRows):
    """The rows of one table, read and written."""

    def __init__(self, engine: Engine, move: Move) -> None:
        super().__init__(engine, move)
        # As text and tuples: compiling parameters would cost more than writing rows.
        compiled = self._statement().compile(dialect=self.dialect)
        self._sql = str(compiled)
        self._order = compiled.positiontup
        self._decoders = {n: function for n, _, function in move.restored}
        self._encoders = {
            n: move.slots[n].encoder(self.dialect) for n in self._decoders
        }
        self._counts_rows = self.dialect.supports_sane_multi_rowcount

    def prepare(self, rows: Sequence[Any], lease: Lease, record: Recorder) -> Write:
        """Make a batch ready, while the database may still write the one before."""
        del lease
        return self.prepare_batch(self.batch_of(rows), record)

    def batch_of(self, rows: Sequence[Any]) -> Batch:
        """Compute the new values of rows that were read."""
        return make_batch(rows, self.move)

    def prepare_batch(self, batch: Batch, record: Recorder) -> Write:
        """Make a batch ready whose values are computed."""
        return _PortableWrite(self, batch, record)

    def parameters(self, batch: Batch) -> list[Any]:
        """Return the parameters of the statement, one item per row."""
        end = self.move.end
        names = [f"k{n}" for n in range(self.width)]
        names += [f"o{n}" for n in range(len(self.values))]
        names += [f"n{n}" for n in self.move.written]
        new = zip(*self.encoded(batch), strict=True)
        rows = (
            (*row[:end], *after) for row, after in zip(batch.changed, new, strict=True)
        )
        if self._order is None:
            return [dict(zip(names, row, strict=True)) for row in rows]
        in_order = itemgetter(*map(names.index, self._order))
        return [in_order(row) for row in rows]

    def encoded(self, batch: Batch) -> list[list[Any]]:
        """Return the new values as the driver takes them."""
        found = []
        for slot, values in zip(self.move.written, batch.new, strict=True):
            encode = self._encoders.get(slot)
            if encode is None:
                found.append(values)
            else:
                found.append([None if v is None else encode(v) for v in values])
        return found

    def write(self, connection: Connection, batch: Batch, parameters: list[Any]) -> int:
        """Write by compare-and-swap and read back; return how many rows were written.

        Raises:
            VerificationError: a row holds neither the new value nor another writer's.

        """
        if self.dialect.name != "sqlite":
            free = self._locked(connection, batch) if parameters else set()
            rows = zip(batch.changed, parameters, strict=True)
            parameters = [p for row, p in rows if tuple(row[: self.width]) in free]
        if not parameters:
            return 0
        result = connection.exec_driver_sql(self._sql, parameters)
        confirmed = self.confirmed(connection, batch)
        # Some drivers count the last row only; what reads back was written.
        written: int = result.rowcount if self._counts_rows else confirmed
        self.check(written, confirmed)
        return written

    def _locked(self, connection: Connection, batch: Batch) -> set[RowKey]:
        """Lock the rows that nobody holds, in the order of the key; wait for none."""
        first, last = ends_of(batch.changed, self.width)
        held = self.page(None, last).where(~beyond(self.keys, first, operators.lt))
        held = held.with_only_columns(*self.keys)
        # Weaker where the database has it: foreign keys to the row stay possible.
        held = held.with_for_update(skip_locked=True, key_share=True)
        return {tuple(row) for row in connection.execute(held)}

    def check(self, written: int, confirmed: int) -> None:
        """Refuse a batch that does not read back as it was written.

        Raises:
            VerificationError: something else changes the column.

        """
        # An equal value that the application wrote meanwhile counts as confirmed.
        if confirmed < written:
            raise VerificationError(
                f"{self.name}: {written} rows were written and {confirmed} read back "
                "as written. A trigger or another tool changes the column, or the "
                "column is too short and sql_mode allows to cut; the batch was rolled "
                "back"
            )

    def _statement(self) -> Update:
        conditions: list[ColumnElement[bool]] = [
            key == bindparam(f"k{n}") for n, key in enumerate(self.keys)
        ]
        for n, (slot, value) in enumerate(
            zip(self.move.slots, self.values, strict=True)
        ):
            old: BindParameter[Any] = bindparam(f"o{n}")
            same = slot.bytewise(value, self.dialect) == old
            exact = slot.same_type(value, old, self.dialect)
            same = same if exact is None else and_(same, exact)
            conditions.append(or_(same, and_(value.is_(None), old.is_(None))))
        changed: dict[str, Any] = {
            self.values[n].name: bindparam(f"n{n}") for n in self.move.written
        }
        return update(self.table).where(*conditions).values(changed)

    def confirmed(self, connection: Connection, batch: Batch) -> int:
        """Count the rows that hold what the batch wants them to."""
        keys = [tuple(row[: self.width]) for row in batch.changed]
        statement = self.page(None, keys[-1]).where(
            ~beyond(self.keys, keys[0], operators.lt)
        )
        stored = {
            tuple(row[: self.width]): [self._read(row, n) for n in self.move.written]
            for row in connection.execute(statement).all()
        }
        new = zip(*batch.new, strict=True)
        return sum(
            stored.get(key) == list(values)
            for key, values in zip(keys, new, strict=True)
        )

    def _read(self, row: Any, slot: int) -> Any:
        decode = self._decoders.get(slot)
        if decode is None:
            return row[self.width + slot]
        value = row[self.move.end + self.move.plain.index(slot)]
        return None if value is None else decode(value)


class _PortableWrite(Write):
    """A batch whose parameters are laid out."""

    def __init__(self, rows: PortableRows, batch: Batch, record: Recorder) -> None:
        self.batch = batch
        self._rows = rows
        self._record = record
        self._parameters = rows.parameters(batch)

    def submit(self, writer: Connection) -> Pending:
        """Write the batch and its bookkeeping in one transaction.

        Raises:
            LeaseLostError: another worker has taken the range; nothing was written.
            VerificationError: the rows do not hold what was written; nothing was.

        """
        with writer.begin():
            steps.reached(steps.Step.BEGUN)
            moved = self._rows.write(writer, self.batch, self._parameters)
            steps.reached(steps.Step.WRITTEN)
            counts = self.batch.counts(moved)
            self._record(writer, self.batch, counts)
            steps.reached(steps.Step.RECORDED)
        steps.reached(steps.Step.COMMITTED)
        return Pending(counts)
