"""A page of rows as one array per column, in the form PostgreSQL sends and takes.

A batch whose rows are all written needs no row in Python: keys and old values go back
byte for byte as they came, and new values are made from slices of the array. That is a
fifth of the time. Rows are taken apart if anything about them is unusual.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from psycopg.pq import Format

from sqlalchemy_sealed.fastcolumn import Parts, parts_in, parts_of
from sqlalchemy_sealed.jobs.arrays import WireArray
from sqlalchemy_sealed.jobs.batch import Page
from sqlalchemy_sealed.jobs.move import Row

__all__ = ["ArrayPage", "page_sql"]


def page_sql(table: str, keys: Sequence[str], value: str, where: str) -> str:
    """Return the query of a page: arrays of the keys and of the value; both ends."""
    named = [f"k{n}" for n in range(len(keys))]
    # Qualified: a column of the table may have the name of one of these.
    columns = ", ".join(
        f"t.{column} AS {name}"
        for column, name in zip([*keys, value], [*named, "o"], strict=True)
    )
    order = ", ".join(f"t.{key}" for key in keys)
    arrays = ", ".join(f"array_agg({name}) AS {name}" for name in (*named, "o"))
    first = ", ".join(f"{name}[1]" for name in named)
    last = ", ".join(f"{name}[cardinality({name})]" for name in named)
    return (
        f"SELECT {', '.join(named)}, o, {first}, {last} FROM (SELECT {arrays} FROM "  # noqa: S608 - quoted names only
        f"(SELECT {columns} FROM {table} AS t{where} ORDER BY {order} LIMIT %s) AS p"
        ") AS a"
    )


class ArrayPage(Page):
    """Rows of a key and one value, taken apart when one of them is asked for.

    Args:
        cursor: of psycopg, binary, after :func:`page_sql`.
        width: columns of the key.

    Raises:
        LookupError: psycopg does not know the type of a key.

    """

    def __init__(self, cursor: Any, width: int) -> None:
        self._cursor = cursor
        self._rows: list[Row] | None = None
        result = cursor.pgresult
        #: Keys and values, as they came.
        self.arrays: list[WireArray] = []
        if result.get_value(0, 0) is not None:
            self.arrays = [
                WireArray.of(result.ftype(n), result.get_value(0, n))
                for n in range(width + 1)
            ]
        for array in self.arrays:
            if cursor.adapters.get_loader(array.oid, Format.BINARY) is None:
                raise LookupError(array.oid)
        self._length = self.arrays[0].item_count if self.arrays else 0
        if self.arrays:
            found = [self._loaded(width + 1 + n) for n in range(2 * width)]
            self.ends = (tuple(found[:width]), tuple(found[width:]))

    def _loaded(self, column: int) -> Any:
        # A row of the driver's cursor would be taken apart as a whole.
        result, adapters = self._cursor.pgresult, self._cursor.adapters
        oid = result.ftype(column)
        loader = adapters.get_loader(oid, Format.BINARY)(oid, self._cursor)
        return loader.load(result.get_value(0, column))

    def parts(self) -> Iterator[Parts]:
        """Return the parts of every value."""
        length = self.arrays[-1].common_length()
        if length is not None:
            found = parts_in(self.arrays[-1].items, length)
            if found is not None:
                return found
        return parts_of([row[-1] for row in self._all()])

    def _all(self) -> list[Row]:
        if self._rows is None:
            width = len(self.arrays)
            columns = self._cursor.fetchone()[:width] if width else ()
            self._rows = list(zip(*columns, strict=True))
        return self._rows

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._all()[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._all())
