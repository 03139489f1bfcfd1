"""The table as InnoDB has it: whether its file was built after a moment.

Two things tell. The time of the definition changes with a rebuild, but also with a
column that is added or dropped instantly. The number of a table grows with every one
that is built, so that a table whose time is known is a mark between older and newer
ones: that of the runs is ours, and nobody alters it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.jobs.tables import runs

__all__ = ["InnodbTable"]

_DEFINED: Final = text(
    "SELECT unix_timestamp(create_time), data_free FROM information_schema.tables "
    "WHERE table_schema = coalesce(:schema, database()) AND table_name = :name "
    "AND table_type = 'BASE TABLE'"
)
#: A partition is a table of its own: its name goes on.
_NUMBER: Final = (
    "SELECT min(table_id) FROM information_schema.{view}, (SELECT "
    "concat(coalesce(:schema, database()), '/', :name) AS own) AS it WHERE name = own "
    "OR left(name, char_length(own) + 3) = concat(own, '#P#')"
)


@dataclass(frozen=True)
class InnodbTable:
    """What tells the age of a table.

    Attributes:
        defined: when it was created, altered or rebuilt, in seconds.
        free: bytes of its file that belong to no row.
        number: that of the oldest of its partitions; ``None`` where it is hidden.

    """

    defined: float
    free: int
    number: int | None

    @classmethod
    def of(cls, connection: Connection, table: Table) -> Self | None:
        """Ask the server; ``None`` where there is no such table."""
        named = {"name": table.name, "schema": table.schema}
        row = connection.execute(_DEFINED, named).one_or_none()
        if row is None:
            return None
        number = _number(connection, named)
        return cls(float(row[0] or 0), int(row[1] or 0), number)

    @classmethod
    def mark(cls, connection: Connection) -> Self | None:
        """Return the table of the runs."""
        return cls.of(connection, runs)

    def older_than(self, moment: float, mark: Self) -> bool:
        """Tell whether it certainly was not rebuilt since."""
        return self.defined <= moment or (
            mark.defined <= moment and _less(self.number, mark.number)
        )

    def newer_than(self, moment: float, mark: Self) -> bool:
        """Tell whether it certainly was."""
        return mark.defined > moment and _less(mark.number, self.number)


def _less(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one < other


def _number(connection: Connection, named: dict[str, str | None]) -> int | None:
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    view = "innodb_sys_tables" if mariadb else "innodb_tables"
    try:
        found = connection.scalar(text(_NUMBER.format(view=view)), named)
    except DBAPIError:
        return None
    return None if found is None else int(found)
