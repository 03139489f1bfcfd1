"""Vacuum: PostgreSQL keeps the old version of every row that is moved until then."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, func, select, text, update

from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.runrow import RunRow
from sqlalchemy_sealed.jobs.tablename import table_name
from sqlalchemy_sealed.jobs.tables import ranges, runs

__all__ = ["Vacuum", "dead_tuples"]

_SHARE: Final = 10
_FEWEST: Final = 10_000


class Vacuum:
    """Vacuums the table of a run after every tenth of its rows."""

    def __init__(self, engine: Engine, move: Move, run: Run) -> None:
        self._engine = engine
        self._table = engine.dialect.identifier_preparer.format_table(move.table)
        self._run = run
        self._works = engine.dialect.name == "postgresql"

    def if_due(self, row: RunRow) -> None:
        """Vacuum, if enough rows were moved since the last time."""
        if not self._works:
            return
        mine = ranges.c.run_id == self._run.id
        with self._engine.begin() as connection:
            moved, planned = connection.execute(
                select(func.sum(ranges.c.moved), func.sum(ranges.c.rows)).where(mine)
            ).one()
            due = row.vacuumed + max(_FEWEST, int(planned or 0) // _SHARE)
            if (moved or 0) < due:
                return
            # One of the workers gets to do it.
            won = connection.execute(
                update(runs)
                .where(runs.c.id == self._run.id, runs.c.vacuumed == row.vacuumed)
                .values(vacuumed=int(moved))
            )
        if won.rowcount == 1:
            with self._engine.connect() as plain:
                connection = plain.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql(f"VACUUM (SKIP_LOCKED) {self._table}")


def dead_tuples(engine: Engine, move: Move) -> int:
    """Return an estimate of the old row versions that a vacuum would make reusable."""
    if engine.dialect.name != "postgresql":
        return 0
    quoted = table_name(engine.dialect, move.table)
    statement = text(
        "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables "
        "WHERE relid IN (SELECT relid FROM pg_partition_tree(to_regclass(:name))) "
        "OR relid = to_regclass(:name)"
    )
    with engine.connect() as connection:
        return int(connection.scalar(statement, {"name": quoted}) or 0)
