"""The statistics of MariaDB and MySQL: least and greatest values, and histograms.

Values are compared in the database; none of them is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.jobs.tablename import quoted, table_name
from sqlalchemy_sealed.residue.finding import Finding, Severity, locking, sql
from sqlalchemy_sealed.residue.sealing import Sealing
from sqlalchemy_sealed.residue.shape import is_sealed_bytes, is_sealed_text
from sqlalchemy_sealed.targets import SealedColumn, SealedTable

__all__ = ["samples", "samples_behind"]

_OWN: Final = (
    "db_name = coalesce(:schema, database()) AND table_name = :name "
    "AND column_name = :column"
)
_ENDS: Final = """
SELECT coalesce(sum((min_value IS NOT NULL AND NOT ({least}))
       + (max_value IS NOT NULL AND NOT ({most}))), 0)
FROM mysql.column_stats WHERE {own}
"""
#: Only this kind of histogram holds values; bytes of it are in UTF-8, as if Latin 1.
_HISTOGRAM: Final = """
SELECT count(*) FROM mysql.column_stats, JSON_TABLE(
    if(hist_type = 'JSON_HB', convert(histogram USING utf8mb4), '[]'),
    '$.histogram_hb[*]' COLUMNS (start varchar(255) PATH '$.start')) AS bucket
WHERE {own} AND NOT ({start})
"""
_HISTOGRAM_OF_MYSQL: Final = text(
    "SELECT count(*) FROM information_schema.column_statistics WHERE schema_name = "
    "coalesce(:schema, database()) AND table_name = :name AND column_name = :column"
)
_OPTIMIZED: Final = text("""
SELECT unix_timestamp(check_time), (SELECT count(*) FROM mysql.column_stats WHERE
    db_name = coalesce(:schema, database()) AND table_name = :name) AS rows_of_it
FROM information_schema.tables
WHERE table_schema = 'mysql' AND table_name = 'column_stats'
""")


def samples(connection: Connection, sealed: SealedTable) -> Iterator[Finding]:
    """Tell of values in the statistics of a table."""
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    look = _of_mariadb if mariadb else _of_mysql
    for column in sealed.columns:
        yield from look(connection, sealed, column)


def _of_mariadb(
    connection: Connection, sealed: SealedTable, column: SealedColumn
) -> Iterator[Finding]:
    place = f"{sealed.name}.{column.name}"
    try:
        count = _count(connection, sealed, column)
    except DBAPIError:
        yield Finding(
            place,
            "statistics",
            "mysql.column_stats is hidden from this user: GRANT SELECT on it",
            Severity.UNSEEN,
        )
        return
    if count:
        name = table_name(connection.dialect, sealed.table)
        yield Finding(
            place,
            "statistics",
            f"{count:,} values in mysql.column_stats are not sealed",
            Severity.FOUND,
            sql(f"ANALYZE TABLE {name} PERSISTENT FOR ALL;"),
        )


def _count(connection: Connection, sealed: SealedTable, column: SealedColumn) -> int:
    if column.is_text:
        least, most, start = map(is_sealed_text, ("min_value", "max_value", "start"))
    else:
        least = is_sealed_bytes("lower(hex(min_value))")
        most = is_sealed_bytes("lower(hex(max_value))")
        start = is_sealed_bytes("lower(hex(convert(start USING latin1)))")
    named = _named(sealed, column)
    ends = text(_ENDS.format(least=least, most=most, own=_OWN))
    histogram = text(_HISTOGRAM.format(start=start, own=_OWN))
    found = connection.scalar(ends, named) or 0
    return int(found) + int(connection.scalar(histogram, named) or 0)


def _named(sealed: SealedTable, column: SealedColumn) -> dict[str, str | None]:
    owner = sealed.table
    return {"schema": owner.schema, "name": owner.name, "column": column.name}


def _of_mysql(
    connection: Connection, sealed: SealedTable, column: SealedColumn
) -> Iterator[Finding]:
    if connection.scalar(_HISTOGRAM_OF_MYSQL, _named(sealed, column)):
        name = table_name(connection.dialect, sealed.table)
        own = quoted(connection.dialect, column.name)
        yield Finding(
            f"{sealed.name}.{column.name}",
            "statistics",
            "there is a histogram, which holds values; of sealed ones it is of no use",
            Severity.POSSIBLE,
            sql(f"ANALYZE TABLE {name} DROP HISTOGRAM ON {own};"),
        )


def samples_behind(
    connection: Connection, sealed: SealedTable, sealing: Sealing, fresh: bool
) -> Iterator[Finding]:
    """Tell of values that ANALYZE replaces: free space of the table they are in.

    Args:
        connection: to the database.
        sealed: a table that was sealed.
        sealing: when.
        fresh: whether there are values that are yet to be replaced.

    """
    named = {"schema": sealed.table.schema, "name": sealed.table.name}
    try:
        row = connection.execute(_OPTIMIZED, named).one_or_none()
    except DBAPIError:
        return  # said already; and MySQL has no such table
    if row is not None and row[1] and (fresh or float(row[0] or 0) <= sealing.ended):
        yield Finding(
            "mysql.column_stats",
            "statistics",
            "values from before they were sealed, which ANALYZE TABLE replaces, lie in "
            "its free space until it is rewritten",
            Severity.FOUND,
            locking("OPTIMIZE TABLE mysql.column_stats;"),
        )
