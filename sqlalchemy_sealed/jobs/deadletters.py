"""The list of values that could not be moved."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, delete, func, insert, inspect, select

from sqlalchemy_sealed.jobs.batch import DeadLetter
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text
from sqlalchemy_sealed.jobs.tables import database_time, dead_letters

__all__ = ["DeadLetters", "ListedValue", "listed_keys"]


@dataclass(frozen=True)
class ListedValue:
    """A value on the list.

    Attributes:
        row_key: the primary key, as JSON.
        error: name of the error that says why.
        kid: of the key in its header, in hex, if it has one.

    """

    table: str
    column: str
    row_key: str
    error: str
    kid: str | None
    version: int | None


class DeadLetters:
    """The dead letters of one run."""

    def __init__(self, run_id: str, table: str) -> None:
        self._run_id = run_id
        self._table = table
        self._mine = dead_letters.c.run_id == run_id

    def add(self, connection: Connection, letters: list[DeadLetter]) -> None:
        """List values, each once."""
        for letter in letters:
            row_key = key_to_text(letter.key)
            if self._knows(connection, letter.column, row_key):
                continue
            connection.execute(
                insert(dead_letters).values(
                    id=str(uuid.uuid4()),
                    run_id=self._run_id,
                    table_name=self._table,
                    column_name=letter.column,
                    row_key=row_key,
                    error=letter.error,
                    kid=letter.kid,
                    key_version=letter.version,
                    seen_at=database_time(connection),
                )
            )

    def _knows(self, connection: Connection, column: str, row_key: str) -> bool:
        same = and_(
            self._mine,
            dead_letters.c.column_name == column,
            dead_letters.c.row_key == row_key,
        )
        return connection.scalar(select(dead_letters.c.id).where(same)) is not None

    def remove(self, connection: Connection, keys: Sequence[RowKey]) -> None:
        """Take the values of some rows off the list."""
        texts = [key_to_text(key) for key in keys]
        connection.execute(
            delete(dead_letters).where(self._mine, dead_letters.c.row_key.in_(texts))
        )

    def clear(self, connection: Connection) -> None:
        """Take all of them off the list."""
        connection.execute(delete(dead_letters).where(self._mine))

    def count(self, connection: Connection) -> int:
        """Return how many there are."""
        return connection.scalar(select(func.count()).where(self._mine)) or 0

    def keys(self, engine: Engine) -> set[str]:
        """Return the keys of the rows they are in."""
        with engine.connect() as connection:
            return set(
                connection.scalars(select(dead_letters.c.row_key).where(self._mine))
            )

    def listed(self, engine: Engine, limit: int = 100) -> list[ListedValue]:
        """Return the first of them, in order of their keys."""
        found = select(dead_letters).where(self._mine)
        ordered = found.order_by(dead_letters.c.row_key, dead_letters.c.column_name)
        with engine.connect() as connection:
            return [
                ListedValue(
                    row.table_name,
                    row.column_name,
                    row.row_key,
                    row.error,
                    row.kid,
                    row.key_version,
                )
                for row in connection.execute(ordered.limit(limit))
            ]


def listed_keys(engine: Engine, table: str) -> set[str]:
    """Return the keys of every row of a table that any run has listed, as JSON."""
    if not inspect(engine).has_table(dead_letters.name):
        return set()  # no job was ever run here
    mine = dead_letters.c.table_name == table
    with engine.connect() as connection:
        return set(connection.scalars(select(dead_letters.c.row_key).where(mine)))
