"""SQL about a range of the primary key, compiled once.

A batch of SQLite takes less time than building its expressions would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, true
from sqlalchemy.sql.elements import ClauseElement

from sqlalchemy_sealed.jobs.readrows import ReadRows, beyond
from sqlalchemy_sealed.jobs.rowkey import RowKey

__all__ = ["RangeSql", "Text"]

#: A statement or a condition, and its parameters in the order of their marks.
Text = tuple[str, tuple[Any, ...]]


class RangeSql:
    """The texts for the rows after a key, up to and including another.

    Args:
        rows: of a database whose driver takes parameters by position.

    """

    def __init__(self, rows: ReadRows) -> None:
        self._rows = rows
        self._made: dict[tuple[str, bool, bool], tuple[str, list[str], Any]] = {}

    def rows(self, after: RowKey | None, upto: RowKey | None) -> Text:
        """Return the query for the rows, in the order of the key."""
        return self._text("rows", self._rows.page, after, upto)

    def bounds(self, after: RowKey | None, upto: RowKey | None) -> Text:
        """Return the condition that a row is in the range."""
        return self._text("bounds", self._bounds, after, upto)

    def key_at(self, after: RowKey | None, upto: RowKey | None, position: int) -> Text:
        """Return the query for the key at a position, counted from zero."""
        return self._text("at", self._key_at, after, upto, position=position)

    def last_key(self, after: RowKey | None, upto: RowKey | None) -> Text:
        """Return the query for the last key."""
        return self._text("last", self._last_key, after, upto)

    def _bounds(self, after: RowKey | None, upto: RowKey | None) -> ClauseElement:
        condition = true() if upto is None else ~beyond(self._rows.keys, upto)
        return (
            condition if after is None else condition & beyond(self._rows.keys, after)
        )

    def _key_at(self, after: RowKey | None, upto: RowKey | None) -> ClauseElement:
        keys = self._rows.page(after, upto).with_only_columns(*self._rows.keys)
        return keys.offset(bindparam("position")).limit(1)

    def _last_key(self, after: RowKey | None, upto: RowKey | None) -> ClauseElement:
        keys = self._rows.page(after, upto).with_only_columns(*self._rows.keys)
        descending = [key.desc() for key in self._rows.keys]
        return keys.order_by(None).order_by(*descending).limit(1)

    def _text(
        self,
        what: str,
        make: Callable[[RowKey | None, RowKey | None], ClauseElement],
        after: RowKey | None,
        upto: RowKey | None,
        **more: Any,
    ) -> Text:
        kind = (what, after is None, upto is None)
        if kind not in self._made:
            bounds: list[RowKey | None] = [
                None
                if key is None
                else tuple(bindparam(f"{end}{n}") for n in range(len(key)))
                for end, key in (("after", after), ("upto", upto))
            ]
            compiled = make(*bounds).compile(dialect=self._rows.dialect)
            names = compiled.positiontup or []  # type: ignore[attr-defined]
            self._made[kind] = str(compiled), names, dict(compiled.params)
        text, names, values = self._made[kind]
        values = values | more
        for end, key in (("after", after), ("upto", upto)):
            values |= {f"{end}{n}": value for n, value in enumerate(key or ())}
        return text, tuple([values[name] for name in names])
