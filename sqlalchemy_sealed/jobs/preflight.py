"""Preflight: what a run will meet, found out before it writes anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, inspect, select, text

from sqlalchemy_sealed.errors import PreflightError
from sqlalchemy_sealed.jobs.fence import FenceKind, fences_of
from sqlalchemy_sealed.jobs.leftovers import Leftovers
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.tablename import table_name
from sqlalchemy_sealed.jobs.triggers import update_triggers
from sqlalchemy_sealed.jobs.unfit import unfit
from sqlalchemy_sealed.scope import binding_of

__all__ = ["Preflight", "inspect_table"]

#: Bytes of the log per rewritten row beside the value itself, measured on PostgreSQL.
_WAL_PER_ROW: Final = 600


@dataclass
class Preflight:
    """The plan of a run.

    Attributes:
        rows: rows of the table, counted.
        left: rows that are left to move; ``None`` where only a run can tell.
        table_bytes: size of the table with its indexes, where the database says so.
        log_bytes: estimate of what the run writes to the log of the database.
        refusals: why the run does not begin.
        warnings: what is worth knowing first.

    """

    table: str
    kind: str
    columns: list[str]
    rows: int
    left: int | None
    table_bytes: int | None = None
    log_bytes: int | None = None
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Refuse a table that cannot be moved safely.

        Raises:
            PreflightError: with every reason.

        """
        if self.refusals:
            raise PreflightError(
                f"{self.table}: " + "; ".join(self.refusals) + ". Nothing was begun"
            )


def inspect_table(engine: Engine, rows: PortableRows, count: bool = True) -> Preflight:
    """Look at a table before a run.

    Args:
        engine: of the run.
        rows: reads the table.
        count: whether rows are counted, which scans the table.

    """
    move = rows.move
    names = [slot.name for slot in move.slots]
    leftovers = Leftovers(engine, rows)
    found = Preflight(move.name, move.kind.value, names, 0, None)
    with engine.connect() as connection:
        if count:
            everything = select(func.count()).select_from(rows.table)
            found.rows = connection.scalar(everything) or 0
            found.left = leftovers.count() if leftovers.can_tell else None
        look = {"postgresql": _postgresql, "sqlite": _sqlite}.get(
            engine.dialect.name, _mariadb
        )
        look(connection, move, found)
    _indexes(engine, move, found)
    _fences(engine, move, found)
    return found


def _postgresql(connection: Connection, move: Move, found: Preflight) -> None:
    table = table_name(connection.dialect, move.table)
    row = connection.execute(text(_POSTGRESQL), {"table": table}).one_or_none()
    if row is None:
        return
    if row.relkind not in {"r", "p"}:
        found.refusals.append("it is no table, but a view or a foreign table")
        return
    if row.heirs and row.relkind == "r":
        found.refusals.append(
            "other tables inherit from it, and its primary key is not theirs: name "
            "each of them as a target of its own"
        )
    if row.hidden:
        found.refusals.append(
            "row-level security hides rows from this user: use the owner of the "
            "table, or one with BYPASSRLS"
        )
    found.table_bytes = int(row.bytes)
    if found.left is not None:
        width = row.bytes / max(1, found.rows)
        found.log_bytes = int(found.left * (_WAL_PER_ROW + width))
    for name, before in update_triggers(connection, move.table):
        when = "before" if before else "after"
        found.warnings.append(
            f"the trigger {name} runs {when} every row that is moved; if it changes "
            "the column, the batch is rolled back and the run stops"
        )


_POSTGRESQL = """
SELECT c.relkind::text AS relkind,
       row_security_active(c.oid) AS hidden,
       EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) AS heirs,
       (SELECT coalesce(sum(pg_total_relation_size(p.relid)), 0)
        FROM pg_partition_tree(c.oid) AS p) + CASE WHEN c.relkind = 'r'
        AND NOT c.relispartition THEN pg_total_relation_size(c.oid) ELSE 0 END AS bytes
FROM pg_class c WHERE c.oid = to_regclass(:table)
"""


def _sqlite(connection: Connection, move: Move, found: Preflight) -> None:
    kinds = connection.execute(
        text("SELECT type FROM sqlite_master WHERE name = :name AND type != 'index'"),
        {"name": move.table.name},
    ).scalars()
    if "view" in set(kinds):
        found.refusals.append("it is no table, but a view")
    names = connection.execute(
        text(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' "
            "AND tbl_name = :name AND sql LIKE '%UPDATE%' "
            "AND name NOT LIKE 'sealed^_fence^_%' ESCAPE '^'"
        ),
        {"name": move.table.name},
    ).scalars()
    found.warnings += [_TRIGGER_WARNING.format(name) for name in names]


_TRIGGER_WARNING = (
    "the trigger {} runs for every row that is moved; if it changes the column, the "
    "batch is rolled back and the run stops"
)


_WITHOUT_TRANSACTIONS = frozenset(("MyISAM", "Aria", "MEMORY", "CSV", "MRG_MyISAM"))


def _mariadb(connection: Connection, move: Move, found: Preflight) -> None:
    where = {"schema": move.table.schema, "name": move.table.name}
    row = connection.execute(
        text(
            "SELECT table_type, data_length + index_length, engine FROM "
            "information_schema.tables WHERE table_name = :name "
            "AND table_schema = coalesce(:schema, database())"
        ),
        where,
    ).one_or_none()
    if row is not None:
        if row[0] != "BASE TABLE":
            found.refusals.append("it is no table, but a view")
        elif row[2] in _WITHOUT_TRANSACTIONS:
            found.refusals.append(
                f"its engine {row[2]} has no transactions, and a batch could not be "
                f"rolled back: ALTER TABLE {move.name} ENGINE=InnoDB"
            )
        found.table_bytes = int(row[1] or 0)
    names = connection.execute(
        text(
            "SELECT trigger_name FROM information_schema.triggers WHERE "
            "event_object_table = :name AND event_manipulation = 'UPDATE' "
            "AND event_object_schema = coalesce(:schema, database())"
        ),
        where,
    ).scalars()
    found.warnings += [_TRIGGER_WARNING.format(name) for name in names]
    mode = str(connection.scalar(text("SELECT @@sql_mode")))
    if "STRICT_" not in mode:
        found.warnings.append(
            "sql_mode is not strict: a value that is too long would be cut. The run "
            "notices and stops; the application would not. Set STRICT_TRANS_TABLES"
        )


def _indexes(engine: Engine, move: Move, found: Preflight) -> None:
    written = {move.slots[n].name for n in move.written}
    indexes: Any = inspect(engine).get_indexes(
        move.table.name, schema=move.table.schema
    )
    if move.kind.value == "encrypt":
        found.refusals += unfit(engine, move)
    for index in indexes:
        touched = written & set(index["column_names"])
        kinds = [s for s in move.slots if s.name in touched]
        if kinds and not all("bidx" in slot.name for slot in kinds):
            found.warnings.append(
                f"the index {index['name']} is on {', '.join(sorted(touched))}: every "
                "row that is moved is written to it too, which takes half as long again"
            )


def _fences(engine: Engine, move: Move, found: Preflight) -> None:
    written = {move.slots[n].name for n in move.written}
    for fence in fences_of(engine, move.name):
        if fence.column not in written:
            continue
        if move.kind.value == "decrypt":
            found.refusals.append(
                f"the fence {fence.name} lets no plaintext into {fence.column}; drop "
                "it first: sealed fence drop MODULE:NAME, or op.drop_seal_fence"
            )
        elif fence.kind is FenceKind.KEYS:
            active = binding_of(engine.dialect).keyring(move.name).active
            if active.kid.hex() not in fence.kids:
                found.refusals.append(
                    f"the fence {fence.name} excludes the active key from "
                    f"{fence.column}; drop it first: sealed fence drop MODULE:NAME, "
                    "or op.drop_seal_fence"
                )
