"""Opening every stored value once, to know that all of them can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Engine

from sqlalchemy_sealed.errors import DecryptionError
from sqlalchemy_sealed.jobs.kinds.reencrypt import reencrypt, values_of
from sqlalchemy_sealed.jobs.move import Row
from sqlalchemy_sealed.jobs.refusal import showing
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text
from sqlalchemy_sealed.jobs.rows import reading_rows_of
from sqlalchemy_sealed.jobs.values import ColumnValues
from sqlalchemy_sealed.targets import SealedTable, sealed_tables

__all__ = ["ColumnVerification", "Unreadable", "verify"]

_PAGE = 1000
_LISTED = 20


@dataclass(frozen=True)
class Unreadable:
    """A value that did not open."""

    row_key: str
    error: str


@dataclass
class ColumnVerification:
    """What became of the values of one column.

    Attributes:
        readable: values that opened.
        nulls: NULL values.
        failures: values that did not open, counted by error.
        examples: the first of them.

    """

    table: str
    column: str
    readable: int = 0
    nulls: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    examples: list[Unreadable] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many values did not open."""
        return self.failures.total()


def verify(
    engine: Engine,
    target: Any,
    on_rows: Callable[[str, int], None] = lambda _table, _rows: None,
) -> list[ColumnVerification]:
    """Open every value of the target's sealed columns.

    Args:
        engine: a synchronous engine with a keyring.
        target: a declarative base, MetaData, model, Table, or a list of them.
        on_rows: called with the table and the rows read so far.

    Raises:
        WriteRefusedError: a stored text is no text at all, as SQLite allows.

    """
    results: list[ColumnVerification] = []
    for sealed in sealed_tables(target):
        turn = partial(_verify_table, engine, sealed, on_rows)
        results += showing(sealed.name, turn)
    return results


def _verify_table(
    engine: Engine, sealed: SealedTable, on_rows: Callable[[str, int], None]
) -> list[ColumnVerification]:
    move = reencrypt(engine, sealed)
    rows = reading_rows_of(engine, move)
    columns = [values_of(engine, sealed, c, move.slots) for c in sealed.columns]
    results = [ColumnVerification(sealed.name, c.name) for c in sealed.columns]
    seen = 0
    with engine.connect() as connection:
        for page in rows.pages(connection, _PAGE):
            for row in page:
                key = tuple(row[: rows.width])
                for position, column in enumerate(columns, rows.width):
                    result = results[position - rows.width]
                    _verify_value(result, key, column, row[position], row)
            seen += len(page)
            on_rows(sealed.name, seen)
    return results


def _verify_value(
    result: ColumnVerification,
    key: RowKey,
    column: ColumnValues,
    value: Any,
    row: Row,
) -> None:
    if value is None:
        result.nulls += 1
        return
    try:
        column.open_in(value, row)
    except DecryptionError as error:
        name = type(error).__name__
        result.failures[name] += 1
        if len(result.examples) < _LISTED:
            result.examples.append(Unreadable(key_to_text(key), name))
    else:
        result.readable += 1
