"""Reading and writing batches in portable SQL: SQLite, and drivers without a path.

Rows are read and written through lightweight columns without a type: no decryption,
no ``onupdate``, and the driver's own key values select the same row again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnClause,
    ColumnElement,
    Connection,
    Dialect,
    and_,
    bindparam,
    column,
    or_,
    select,
    table,
    update,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import Update
from sqlalchemy.sql.selectable import Select, TableClause

from sqlalchemy_sealed.errors import VerificationError
from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.lease import Lease
from sqlalchemy_sealed.jobs.rowkey import RowKey
from sqlalchemy_sealed.jobs.write import Pending, Recorder, Write
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["PortableRows"]


class PortableRows:
    """The rows of one table, as driver values."""

    def __init__(self, sealed: SealedTable, dialect: Dialect) -> None:
        self.name = sealed.name
        self.keys: list[ColumnClause[Any]] = [column(c.name) for c in sealed.key]
        self.values: list[ColumnClause[Any]] = [column(c.name) for c in sealed.columns]
        self.width = len(self.keys)
        # Read beside the values and never written: a changed tenant changes the value.
        self._beside: list[ColumnClause[Any]] = [column(n) for n in sealed.tenants]
        names = {c.name: c for c in (*self.keys, *self.values, *self._beside)}
        self.table: TableClause = table(
            sealed.table.name, *names.values(), schema=sealed.table.schema
        )
        # As text and tuples: compiling parameters would cost more than writing rows.
        compiled = self._statement().compile(dialect=dialect)
        self._sql = str(compiled)
        self._order = compiled.positiontup
        self._counts_rows = dialect.supports_sane_multi_rowcount

    def page(self, after: RowKey | None, upto: RowKey | None) -> Select[Any]:
        """Return the rows after a key, up to and including another, in key order."""
        # A tenant may be part of the key, and is selected twice then.
        beside = [c.label(f"sealed_tenant_{n}") for n, c in enumerate(self._beside)]
        statement = select(*self.keys, *self.values, *beside).select_from(self.table)
        if after is not None:
            statement = statement.where(_beyond(self.keys, after))
        if upto is not None:
            statement = statement.where(~_beyond(self.keys, upto))
        return statement.order_by(*self.keys)

    def read(
        self,
        connection: Connection,
        after: RowKey | None,
        upto: RowKey | None,
        limit: int,
    ) -> Sequence[Any]:
        """Read the next rows."""
        rows = connection.execute(self.page(after, upto).limit(limit)).all()
        connection.rollback()
        return rows

    def prepare(self, batch: Batch, lease: Lease, record: Recorder) -> Write:
        """Make a batch ready, while the database may still write the one before."""
        del lease
        return _PortableWrite(self, batch, record)

    def parameters(self, batch: Batch) -> list[Any]:
        """Return the parameters of the statement, one item per row."""
        width = self.width
        names = [f"k{n}" for n in range(width)]
        names += [f"{kind}{n}" for kind in "on" for n in range(len(self.values))]
        new = zip(*batch.new, strict=True)
        rows = ((*row, *after) for row, after in zip(batch.changed, new, strict=True))
        if self._order is None:
            return [dict(zip(names, row, strict=True)) for row in rows]
        in_order = itemgetter(*map(names.index, self._order))
        return [in_order(row) for row in rows]

    def write(self, connection: Connection, batch: Batch, parameters: list[Any]) -> int:
        """Write by compare-and-swap and read back; return how many rows were written.

        Raises:
            VerificationError: a row holds neither the new value nor another writer's.

        """
        if not parameters:
            return 0
        result = connection.exec_driver_sql(self._sql, parameters)
        confirmed = self._confirmed(connection, batch)
        # Some drivers count the last row only; what reads back was written.
        written: int = result.rowcount if self._counts_rows else confirmed
        # An equal value that the application wrote meanwhile counts as confirmed.
        if confirmed < written:
            raise VerificationError(
                f"{self.name}: {written} rows were written and {confirmed} read back "
                "as written. A trigger or another tool changes the column; the batch "
                "was rolled back"
            )
        return written

    def _statement(self) -> Update:
        conditions: list[ColumnElement[bool]] = [
            key == bindparam(f"k{n}") for n, key in enumerate(self.keys)
        ]
        for n, value in enumerate(self.values):
            old: BindParameter[Any] = bindparam(f"o{n}")
            conditions.append(or_(value == old, and_(value.is_(None), old.is_(None))))
        changed: dict[str, Any] = {
            value.name: bindparam(f"n{n}") for n, value in enumerate(self.values)
        }
        return update(self.table).where(*conditions).values(changed)

    def _confirmed(self, connection: Connection, batch: Batch) -> int:
        keys = [tuple(row[: self.width]) for row in batch.changed]
        statement = self.page(None, keys[-1]).where(
            ~_beyond(self.keys, keys[0], operators.lt)
        )
        end = self.width + len(self.values)
        stored = {
            tuple(row[: self.width]): tuple(row[self.width : end])
            for row in connection.execute(statement).all()
        }
        new = zip(*batch.new, strict=True)
        return sum(
            stored.get(key) == values for key, values in zip(keys, new, strict=True)
        )


def _beyond(
    keys: Sequence[Any],
    bound: RowKey,
    compare: Callable[[Any, Any], Any] = operators.gt,
) -> ColumnElement[bool]:
    """Return ``keys > bound``, or ``<``, in the order of the index."""
    result: ColumnElement[bool] = compare(keys[-1], bound[-1])
    for key, value in zip(reversed(keys[:-1]), reversed(bound[:-1]), strict=True):
        result = or_(compare(key, value), and_(key == value, result))
    return result


class _PortableWrite(Write):
    """A batch whose parameters are laid out."""

    def __init__(self, rows: PortableRows, batch: Batch, record: Recorder) -> None:
        self._rows = rows
        self._batch = batch
        self._record = record
        self._parameters = rows.parameters(batch)

    def submit(self, writer: Connection) -> Pending:
        """Write the batch and its bookkeeping in one transaction.

        Raises:
            LeaseLostError: another worker has taken the range; nothing was written.
            VerificationError: the rows do not hold what was written; nothing was.

        """
        with writer.begin():
            moved = self._rows.write(writer, self._batch, self._parameters)
            counts = self._batch.counts(moved)
            self._record(writer, self._batch, counts)
        return Pending(counts)
