"""Rows with equal values, where a unique index or constraint refuses the second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Engine, inspect, select

from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.rowkey import RowKey, shown_key
from sqlalchemy_sealed.jobs.slot import Form
from sqlalchemy_sealed.jobs.uniques import uniques

__all__ = ["duplicates"]

#: Values that are asked for at a time.
_CHUNK: Final = 500
#: Pairs that a message names.
_NAMED: Final = 5


def duplicates(engine: Engine, rows: PortableRows, batch: Batch) -> str:
    """Return which rows a refused batch would have made equal, for a message.

    Only their keys are named: that two values are equal is what the index shows too.
    """
    found: list[str] = []
    for slot in _unique(engine, rows):
        pairs = list(_pairs(engine, rows, batch, slot))
        more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
        if pairs:
            named = ", ".join(f"{one} and {two}" for one, two in pairs[:_NAMED])
            name = rows.move.slots[slot].name
            found.append(f"equal in {name} are the rows {named}{more}")
    return "; ".join(found)


def _unique(engine: Engine, rows: PortableRows) -> list[int]:
    """Return the written columns of terms or envelopes that are unique by themselves.

    Plaintext is not looked for: it would be sent to the database once more.
    """
    table = rows.move.table
    known = uniques(inspect(engine), table.name, table.schema)
    names = [one["column_names"] for one in known]
    slots = rows.move.slots
    return [
        n
        for n in rows.move.written
        if slots[n].form is not Form.PLAIN and [slots[n].name] in names
    ]


def _pairs(
    engine: Engine, rows: PortableRows, batch: Batch, slot: int
) -> Iterator[tuple[str, str]]:
    new = batch.new[rows.move.written.index(slot)]
    keys: dict[Any, RowKey] = {}
    for row, value in zip(batch.changed, new, strict=True):
        if value is None:
            continue
        key = tuple(row[: rows.width])
        first = keys.setdefault(value, key)
        if first != key:
            yield shown_key(first), shown_key(key)
    stored = rows.values[slot]
    values = list(keys)
    with engine.connect() as connection:
        for start in range(0, len(values), _CHUNK):
            chunk = stored.in_(values[start : start + _CHUNK])
            wanted = select(*rows.keys, stored).select_from(rows.table).where(chunk)
            for row in connection.execute(wanted):
                key, value = tuple(row[: rows.width]), row[rows.width]
                other = keys.get(_plain(value))
                if other is not None and other != key:
                    yield shown_key(key), shown_key(other)


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytearray | memoryview) else value
