"""The rows of one table, as they are read: driver values in the order of the key.

Rows are read through lightweight columns without a type: no decryption, and the
driver's own key values select the same row again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    ColumnElement,
    Connection,
    Engine,
    and_,
    column,
    literal,
    or_,
    select,
    table,
    tuple_,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.selectable import Select, TableClause

from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.rowkey import RowKey

__all__ = ["ReadRows", "beyond"]


class ReadRows:
    """The rows of one table, as driver values."""

    def __init__(self, engine: Engine, move: Move) -> None:
        self.move = move
        self.name = move.name
        self.dialect = engine.dialect
        for slot in move.slots:
            slot.check(self.dialect)
        self.keys: list[ColumnClause[Any]] = [column(c.name) for c in move.key]
        self.values: list[ColumnClause[Any]] = [column(s.name) for s in move.slots]
        self.width = len(self.keys)
        # Read beside the values and never written: a changed tenant changes the value.
        self._beside: list[ColumnClause[Any]] = [column(n) for n in move.tenants]
        names = {c.name: c for c in (*self.keys, *self.values, *self._beside)}
        self.table: TableClause = table(
            move.table.name, *names.values(), schema=move.table.schema
        )

    def page(self, after: RowKey | None, upto: RowKey | None) -> Select[Any]:
        """Return the rows after a key, up to and including another, in key order."""
        statement = select(*self._columns()).select_from(self.table)
        if after is not None:
            statement = statement.where(beyond(self.keys, after))
        if upto is not None:
            statement = statement.where(~beyond(self.keys, upto))
        return statement.order_by(*self.keys)

    def _columns(self) -> list[ColumnElement[Any]]:
        slots = self.move.slots
        tokens: list[ColumnElement[Any]] = [
            slot.token(value, self.dialect).label(f"sealed_token_{n}")
            for n, (slot, value) in enumerate(zip(slots, self.values, strict=True))
        ]
        plain: list[ColumnElement[Any]] = [
            self.values[n].label(f"sealed_value_{n}") for n in self.move.plain
        ]
        # A tenant may be part of the key, and is selected twice then.
        beside = [c.label(f"sealed_tenant_{n}") for n, c in enumerate(self._beside)]
        return [*self.keys, *tokens, *plain, *beside]

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

    def pages(self, connection: Connection, limit: int) -> Iterator[Sequence[Any]]:
        """Yield every row, page by page, in key order."""
        cursor: RowKey | None = None
        # In portable SQL: a faster way of a database has connections of its own.
        while page := ReadRows.read(self, connection, cursor, None, limit):
            yield page
            cursor = tuple(page[-1][: self.width])

    def read_keys(self, connection: Connection, keys: Sequence[RowKey]) -> Any:
        """Read the rows with these keys, in key order."""
        chosen: ColumnElement[bool]
        if self.width == 1:
            # Each for itself: in one list, all would have the type of the first.
            chosen = self.keys[0].in_([_bound(key[0]) for key in keys])
        else:
            chosen = tuple_(*self.keys).in_(keys)
        rows = connection.execute(self.page(None, None).where(chosen)).all()
        connection.rollback()
        return rows

    def left(self, limit: int | None = None) -> Select[Any] | None:
        """Return the rows that are left to move, if SQL can tell."""
        if self.move.left is None:
            return None
        found = self.page(None, None).order_by(None).where(self.move.left(self.values))
        return found.limit(limit) if limit is not None else found


def _bound(value: Any) -> ColumnElement[Any]:
    # A driver may choose the least type that holds a number; the column decides here.
    return literal(value, BigInteger()) if isinstance(value, int) else literal(value)


def beyond(
    keys: Sequence[Any],
    bound: RowKey,
    compare: Callable[[Any, Any], Any] = operators.gt,
) -> ColumnElement[bool]:
    """Return ``keys > bound``, or ``<``, in the order of the index."""
    result: ColumnElement[bool] = compare(keys[-1], bound[-1])
    for key, value in zip(reversed(keys[:-1]), reversed(bound[:-1]), strict=True):
        result = or_(compare(key, value), and_(key == value, result))
    return result
