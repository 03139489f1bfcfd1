"""What is left to move: whether, how much, and which rows, without moving any.

The condition names the header of the active key as a literal, so that a partial index
with the same condition answers in less than a millisecond. Without one it is a scan.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, inspect, literal, select, text
from sqlalchemy.sql.selectable import Select

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.batch import DeadLetter, make_batch
from sqlalchemy_sealed.jobs.deadletters import DeadLetters
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text

__all__ = ["Leftovers"]

_INDEXABLE = ("postgresql", "sqlite")
_INDEX: Final = "sealed_left_"


class Leftovers:
    """The rows of a move that are left."""

    def __init__(self, engine: Engine, rows: PortableRows) -> None:
        self._engine = engine
        self._rows = rows

    @property
    def move(self) -> Move:
        """What they are left by."""
        return self._rows.move

    @property
    def can_tell(self) -> bool:
        """Whether SQL can find them: index terms need the values themselves."""
        return self.move.left is not None

    def _found(self, limit: int | None = None) -> Select[Any]:
        found = self._rows.left(limit)
        if found is None:
            raise ConfigurationError(
                f"{self.move.name}: whether an index term is right is known only after "
                "the value was opened; run the job again, it moves nothing then"
            )
        return found

    def exist(self) -> bool:
        """Tell whether a row is left."""
        with self._engine.connect() as connection:
            one = self._found(1).with_only_columns(literal(1))
            return connection.execute(one).first() is not None

    def count(self) -> int:
        """Return how many rows are left."""
        rows = self._found().with_only_columns(*self._rows.keys).subquery()
        with self._engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(rows)) or 0

    def next(self, limit: int = 1000) -> list[RowKey]:
        """Return the keys of the first of them."""
        keys = self._rows.keys
        found = self._found(limit).with_only_columns(*keys).order_by(*keys)
        with self._engine.connect() as connection:
            rows = connection.execute(found).all()
        return [tuple(row) for row in rows]

    def except_dead(self, dead: DeadLetters) -> int:
        """Return how many rows were found that could be moved, or are not listed.

        At most one more than there are dead letters is looked at: the answer is exact
        where it is 0.
        """
        listed = dead.keys(self._engine)
        with self._engine.connect() as connection:
            found = connection.execute(self._found(len(listed) + 1)).all()
        width = self._rows.width
        unlisted = sum(key_to_text(tuple(row[:width])) not in listed for row in found)
        # Listed once is not unreadable for ever: a key came back, or another value of
        # the row is only old.
        return unlisted or len(make_batch(found, self.move).changed)

    def sample(self, limit: int = 100) -> tuple[int, list[DeadLetter]]:
        """Try some of them, and write nothing; return how many, and what failed."""
        with self._engine.connect() as connection:
            found = connection.execute(self._found(limit)).all()
        return len(found), make_batch(found, self.move).dead

    # -- the index ---------------------------------------------------------------

    @property
    def index_name(self) -> str:
        """Name of the partial index; another active key needs another one."""
        move = self.move
        named = f"{move.name} {move.identity.column_names} {move.identity.target}"
        return _INDEX + hashlib.sha256(named.encode()).hexdigest()[:12]

    def create_index(self) -> None:
        """Create the partial index on the rows that are left.

        Raises:
            ConfigurationError: the database has no partial indexes.

        """
        dialect = self._engine.dialect
        self._check_indexable()
        condition = self._found().whereclause
        where = str(condition.compile(dialect=dialect))  # type: ignore[union-attr]
        where = where.replace("%%", "%")
        quote = dialect.identifier_preparer
        keys = ", ".join(quote.quote(key.name) for key in self.move.key)
        table = quote.format_table(self.move.table)
        # Without a lock that an application would notice.
        how = "CONCURRENTLY " if dialect.name == "postgresql" else ""
        self._ddl(
            f"CREATE INDEX {how}IF NOT EXISTS {self.index_name} "
            f"ON {table} ({keys}) WHERE {where}"
        )

    def drop_index(self) -> None:
        """Drop the partial index, and those that other active keys have left behind.

        Raises:
            ConfigurationError: the database has no partial indexes.

        """
        self._check_indexable()
        how = "CONCURRENTLY " if self._engine.dialect.name == "postgresql" else ""
        table = self.move.table
        known = inspect(self._engine).get_indexes(table.name, schema=table.schema)
        for name in (index["name"] for index in known):
            if name is not None and name.startswith(_INDEX):
                self._ddl(f"DROP INDEX {how}IF EXISTS {self._schema()}{name}")

    def _schema(self) -> str:
        schema = self.move.table.schema
        quote = self._engine.dialect.identifier_preparer
        return "" if schema is None else f"{quote.quote_schema(schema)}."

    def _check_indexable(self) -> None:
        name = self._engine.dialect.name
        if name not in _INDEXABLE:
            raise ConfigurationError(
                f"{name} has no partial indexes; what is left is found by a scan there"
            )

    def _ddl(self, statement: str) -> None:
        connection: Connection
        with self._engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text(statement.replace(":", "\\:")))
