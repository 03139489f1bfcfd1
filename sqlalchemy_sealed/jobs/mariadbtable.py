"""What a MariaDB server says of a table: its key, and how much fits into a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import Connection, Table, text

__all__ = ["MariadbTable"]

#: A row of a table in memory is shorter than 65,535 bytes.
_LONGEST_ROW: Final = 60_000
_COLUMNS: Final = text(
    "SELECT column_name, column_type, character_set_name, collation_name "
    "FROM information_schema.columns WHERE table_name = :name "
    "AND table_schema = coalesce(:schema, database())"
)


@dataclass(frozen=True)
class MariadbTable:
    """A table as its server has it, which a model may declare differently.

    Attributes:
        key_types: definitions of the key's columns; none where the server knows none.
        longest_statement: bytes that a packet may have.
        largest_batch: bytes that a table in memory may have.

    """

    key_types: tuple[str, ...]
    longest_statement: int
    largest_batch: int

    @classmethod
    def of(cls, connection: Connection, table: Table) -> Self:
        """Ask the server."""
        named = {"name": table.name, "schema": table.schema}
        kinds = {
            name.lower(): _definition(kind, charset, collation)
            for name, kind, charset, collation in connection.execute(_COLUMNS, named)
        }
        key = [column.name.lower() for column in table.primary_key.columns]
        known = all(name in kinds for name in key)
        packet, heap = connection.execute(
            text("SELECT @@max_allowed_packet, @@max_heap_table_size")
        ).one()
        return cls(tuple(kinds[name] for name in key) if known else (), packet, heap)

    def fits(self, rows: int, columns: int, width: int, longest: int) -> bool:
        """Tell whether a batch fits into one statement and one temporary table.

        Args:
            rows: of the batch.
            columns: values of a row, old ones and new ones.
            width: bytes of a column of the temporary table.
            longest: bytes of the longest value.

        """
        key = 1024  # more than the keys of most tables, in the table and as literals
        row = columns * width + key
        statement = rows * (columns * (2 * longest + 4) + key)
        return (
            bool(self.key_types)
            and row < _LONGEST_ROW
            and rows * row < self.largest_batch
            and statement < self.longest_statement
        )


def _definition(kind: str, charset: str | None, collation: str | None) -> str:
    if charset is None:
        return kind
    return f"{kind} CHARACTER SET {charset} COLLATE {collation}"
