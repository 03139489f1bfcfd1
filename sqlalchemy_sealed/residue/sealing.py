"""The sealing of a table: when a job last moved plaintext of it, as jobs recorded it.

What was rewritten after that moment is clean, what was not is suspect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, inspect, literal_column, select

from sqlalchemy_sealed.jobs.identity import Kind
from sqlalchemy_sealed.jobs.tables import database_time, ranges, runs

__all__ = ["Sealing", "sealing_of"]


@dataclass(frozen=True)
class Sealing:
    """The last run that sealed plaintext of a table.

    Attributes:
        ended: when it ended, in seconds by the database's clock; now, while it is open.
        age: transactions of PostgreSQL since its last batch; 0 elsewhere.

    """

    ended: float
    age: int


def sealing_of(connection: Connection, table: str) -> Sealing | None:
    """Return the sealing of a table, or ``None`` where no job has recorded one.

    Args:
        connection: to the database.
        table: the name with its schema, as runs have it.

    """
    if not inspect(connection).has_table(runs.name):
        return None
    is_open = func.max(case((runs.c.finished_at.is_(None), 1), else_=0))
    columns: Sequence[Any] = [is_open, func.max(runs.c.finished_at)]
    if connection.dialect.name == "postgresql":
        # A range is updated in the transaction of each of its batches.
        columns = [*columns, func.min(literal_column("age(sealed_ranges.xmin)"))]
    row = connection.execute(
        select(*columns)
        .join(ranges, ranges.c.run_id == runs.c.id)
        .where(
            runs.c.table_name == table,
            runs.c.kind == Kind.ENCRYPT.value,
            ranges.c.moved > 0,
        )
    ).one()
    if row[0] is None:
        return None
    ended = database_time(connection) if row[0] or row[1] is None else float(row[1])
    return Sealing(ended, int(row[2]) if len(columns) > 2 else 0)  # noqa: PLR2004
