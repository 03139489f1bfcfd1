"""The statistics of PostgreSQL: samples of values, those of now and those replaced.

Samples are counted in the database; none of them is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, text

from sqlalchemy_sealed.residue.finding import Finding, Severity, locking, sql
from sqlalchemy_sealed.residue.pgrelations import PgRelation, catalog_touched
from sqlalchemy_sealed.residue.sealing import Sealing
from sqlalchemy_sealed.residue.shape import is_sealed_bytes, is_sealed_text
from sqlalchemy_sealed.targets import SealedColumn, SealedTable

__all__ = ["samples", "samples_behind"]

_CATALOGS: Final = ("pg_statistic", "pg_statistic_ext_data")
_VISIBLE: Final = text(
    "SELECT has_column_privilege(CAST(:id AS oid), :column, 'SELECT') "
    "AND NOT row_security_active(CAST(:id AS oid))"
)
#: {sealed}: a condition on the text of a value.
_COLUMN: Final = """
SELECT count(*) FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename,
LATERAL unnest(s.most_common_vals::text::text[] || s.histogram_bounds::text::text[])
    AS value
WHERE c.oid = CAST(:id AS oid) AND s.attname = :column AND NOT ({sealed})
"""
_EXTENDED: Final = """
SELECT count(*) FROM pg_stats_ext s JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename,
LATERAL generate_subscripts(s.most_common_vals, 1) AS item,
LATERAL (SELECT s.most_common_vals[item][array_position(s.attnames, :column)] AS value)
    AS one
WHERE c.oid = CAST(:id AS oid) AND :column = ANY(s.attnames) AND value IS NOT NULL
AND NOT ({sealed})
"""
#: Samples of expressions, of indexes and of extended statistics: only their age tells.
_EXPRESSIONS: Final = text("""
SELECT (SELECT count(*) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = x.relnamespace
    JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = x.relname
    WHERE i.indrelid = CAST(:id AS oid) AND i.indexprs IS NOT NULL)
+ (SELECT count(*) FROM pg_stats_ext_exprs s
    JOIN pg_namespace n ON n.nspname = s.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
    WHERE c.oid = CAST(:id AS oid))
""")


def samples(
    connection: Connection,
    sealed: SealedTable,
    relations: Sequence[PgRelation],
    sealing: Sealing | None,
) -> Iterator[Finding]:
    """Tell of samples of plaintext in the statistics of a table."""
    # Bytes have two text forms; the transaction of whoever calls ends this one.
    connection.execute(text("SET LOCAL bytea_output = 'hex'"))
    for relation in relations:
        for column in sealed.columns:
            yield from _of_column(connection, relation, column)
        yield from _of_expressions(connection, relation, sealing)


def _of_column(
    connection: Connection, relation: PgRelation, column: SealedColumn
) -> Iterator[Finding]:
    place = f"{relation.name}.{column.name}"
    named = {"id": relation.id, "column": column.name}
    if not connection.scalar(_VISIBLE, named):
        yield Finding(
            place,
            "statistics",
            "the statistics of this column are hidden from this user: ask as the owner "
            "of the table",
            Severity.UNSEEN,
        )
        return
    shape = is_sealed_text("value")
    if not column.is_text:
        shape = is_sealed_bytes("value", before=r"\x")
    queries = {"statistics": _COLUMN, "extended statistics": _EXTENDED}
    for where, query in queries.items():
        counted = text(query.format(sealed=shape))
        count = connection.scalar(counted, named)
        if count:
            yield Finding(
                place,
                "statistics",
                f"{count:,} samples in the {where} (pg_statistic) are not sealed",
                Severity.FOUND,
                sql(f"ANALYZE {relation.name};"),
            )


def _of_expressions(
    connection: Connection, relation: PgRelation, sealing: Sealing | None
) -> Iterator[Finding]:
    if sealing is None or (relation.looked or 0.0) > sealing.ended:
        return
    count = connection.scalar(_EXPRESSIONS, {"id": relation.id}) or 0
    if count:
        yield Finding(
            relation.name,
            "statistics",
            f"samples of expressions ({count}, of indexes or extended statistics) are "
            "from before the values were sealed",
            Severity.FOUND,
            sql(f"ANALYZE {relation.name};"),
        )


def samples_behind(
    connection: Connection, relations: Sequence[PgRelation], age: int, fresh: bool
) -> Iterator[Finding]:
    """Tell of samples that ANALYZE replaces: dead rows of the catalogs.

    Args:
        connection: to the database.
        relations: a table that was sealed, and its partitions.
        age: transactions since then.
        fresh: whether there are samples that are yet to be replaced.

    """
    if not any(one.looks for one in relations):
        return
    for catalog in _CATALOGS:
        old = fresh or catalog_touched(connection, catalog) >= age
        if old and _filled(connection, catalog):
            yield Finding(
                catalog,
                "statistics",
                "samples from before the values were sealed, which ANALYZE replaces, "
                "lie in its dead rows and free space until it is rewritten",
                Severity.FOUND,
                locking(f"VACUUM (FULL) pg_catalog.{catalog};"),
            )


def _filled(connection: Connection, catalog: str) -> bool:
    size = text("SELECT pg_relation_size(CAST(:name AS regclass)) > 0")
    return bool(connection.scalar(size, {"name": f"pg_catalog.{catalog}"}))
