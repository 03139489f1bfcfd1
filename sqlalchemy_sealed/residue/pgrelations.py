"""The relations of PostgreSQL, and whether they were rewritten since a transaction.

A plain VACUUM makes dead rows reusable and leaves their bytes where they are; a dropped
column stays in every row. Only a rewrite (VACUUM FULL, CLUSTER, pg_repack) leaves both
behind. It gives the table another file, changes its row of pg_class, and freezes every
row, so that nothing older than the rewrite is left unfrozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from sqlalchemy_sealed.jobs.tablename import table_name

__all__ = ["PgRelation", "catalog_touched", "relations_of", "views_of"]

_SHOWN: Final = """
SELECT c.oid::bigint AS id, c.oid::regclass::text AS name, c.relkind::text AS kind,
       age(c.relfrozenxid) AS frozen, age(c.xmin) AS touched,
       c.relfilenode = c.oid OR {older} AS original,
       coalesce(pg_stat_get_dead_tuples(c.oid), 0)
       + coalesce(pg_stat_get_dead_tuples(nullif(c.reltoastrelid, 0)), 0) AS dead,
       pg_stat_get_analyze_count(c.oid) + pg_stat_get_autoanalyze_count(c.oid) AS looks,
       extract(epoch FROM greatest(pg_stat_get_last_analyze_time(c.oid),
               pg_stat_get_last_autoanalyze_time(c.oid)))::float AS looked,
       a.dropped, a.dropped_age
FROM pg_class c, LATERAL (
    SELECT count(*) AS dropped, min(age(xmin)) FILTER (WHERE age(xmin) > 0)
           AS dropped_age
    FROM pg_attribute WHERE attrelid = c.oid AND attisdropped) AS a
"""
_COUNTER_SHOWN: Final = text(
    "SELECT has_function_privilege('pg_control_checkpoint()', 'EXECUTE')"
)
_RUNS_SHOWN: Final = text("SELECT to_regclass('sealed_runs') IS NOT NULL")
_TABLES: Final = """
WITH RECURSIVE tree AS (SELECT to_regclass(:table)::oid AS id
    UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = id)
{shown} WHERE c.oid IN (SELECT id FROM tree) AND c.relkind IN ('r', 'p') ORDER BY 2
"""
#: Numbers of files and of tables come from one counter: what is below the table of the
#: runs is older than the first job, unless the counter has begun anew since.
_OLDER: Final = """
(SELECT c.relfilenode < oid AND oid < next_oid FROM pg_class, pg_control_checkpoint()
 WHERE oid = to_regclass('sealed_runs'))
"""
#: Views of views too: from one to the next, whatever column it is.
_VIEWS: Final = """
WITH RECURSIVE viewing AS (
    SELECT r.ev_class AS id FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attname = ANY(:columns)
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = ANY(:ids)
    AND d.refobjsubid IN (0, a.attnum)
    UNION SELECT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    JOIN viewing ON d.refobjid = viewing.id
    WHERE d.classid = 'pg_rewrite'::regclass)
{shown} WHERE c.oid IN (SELECT id FROM viewing)
AND c.relkind = 'm' AND c.relispopulated ORDER BY 2
"""


@dataclass(frozen=True)
class PgRelation:
    """A table, a partition or a materialised view.

    Attributes:
        name: quoted, with its schema where that is not in the search path.
        kind: relkind.
        frozen: transactions since the oldest one that rows may still name.
        touched: transactions since its row of pg_class was written.
        original: whether it has the file it was created with, or one that is older
            than the first job.
        dead: estimate of its dead rows, those of its TOAST table included.
        looks: how often it was analysed.
        looked: when it was analysed last, in seconds.
        dropped: columns that were dropped, ever.
        dropped_age: transactions since the last of them was dropped.

    """

    id: int
    name: str
    kind: str
    frozen: int
    touched: int
    original: bool
    dead: int
    looks: int
    looked: float | None
    dropped: int
    dropped_age: int | None

    def rewritten_since(self, age: int) -> bool:
        """Tell whether it was rewritten after a transaction of this age."""
        return not self.original and self.frozen < age and self.touched < age

    def refreshed_since(self, age: int) -> bool:
        """Tell whether a view was filled anew, into a new file."""
        return self.frozen < age and self.touched < age


def relations_of(connection: Connection, table: Table) -> list[PgRelation]:
    """Return a table with its partitions, or nothing where it does not exist."""
    name = table_name(connection.dialect, table)
    return _all(connection, _TABLES, {"table": name})


def views_of(
    connection: Connection, relations: Sequence[PgRelation], columns: Sequence[str]
) -> list[PgRelation]:
    """Return the materialised views that read columns of the relations."""
    ids = [one.id for one in relations]
    return _all(connection, _VIEWS, {"ids": ids, "columns": list(columns)})


def _all(connection: Connection, query: str, named: dict[str, Any]) -> list[PgRelation]:
    allowed = connection.scalar(_COUNTER_SHOWN) and connection.scalar(_RUNS_SHOWN)
    shown = _SHOWN.format(older=_OLDER if allowed else "false")
    rows = connection.execute(text(query.format(shown=shown)), named)
    return [PgRelation(**row) for row in rows.mappings()]


def catalog_touched(connection: Connection, catalog: str) -> int:
    """Return the transactions since a catalog was rewritten; nothing else counts."""
    statement = text("SELECT age(xmin) FROM pg_class WHERE oid = to_regclass(:name)")
    return connection.scalar(statement, {"name": f"pg_catalog.{catalog}"}) or 0
