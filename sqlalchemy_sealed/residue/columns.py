"""Columns that hold plaintext now: sealed ones, and those beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, column, func, inspect, select, table

from sqlalchemy_sealed.jobs.tablename import quoted, table_name
from sqlalchemy_sealed.residue.finding import Finding, Severity, by_hand
from sqlalchemy_sealed.status import ColumnStatus
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["plaintext_columns", "plaintext_values"]

_SUFFIX: Final = "_encrypted"
_MOVING: Final = "_moving"


def plaintext_values(census: ColumnStatus) -> Iterator[Finding]:
    """Tell of values in a sealed column that are not sealed."""
    if census.not_sealed:
        yield Finding(
            f"{census.table}.{census.column}",
            "values",
            f"{census.not_sealed:,} values are not sealed",
            Severity.FOUND,
            by_hand(f"sealed encrypt MODULE:MODEL --column {census.column}"),
        )


def plaintext_columns(connection: Connection, sealed: SealedTable) -> Iterator[Finding]:
    """Tell of columns beside the sealed ones that are left of a migration."""
    owner = sealed.table
    known = {
        c["name"] for c in inspect(connection).get_columns(owner.name, owner.schema)
    }
    names = {one.name for one in sealed.columns}
    for name in sorted(names):
        beside = name.removesuffix(_SUFFIX)
        if beside in known - names:
            yield from _beside(connection, sealed, beside, name)
        if name + _MOVING in known:
            yield Finding(
                f"{sealed.name}.{name}{_MOVING}",
                "moving",
                f"a revision that moves {name} has not ended: one of the two columns "
                "holds plaintext",
                Severity.FOUND,
                by_hand("apply the revision again: alembic upgrade, or downgrade"),
            )


def _beside(
    connection: Connection, sealed: SealedTable, beside: str, name: str
) -> Iterator[Finding]:
    count = _count(connection, sealed, beside)
    dialect = connection.dialect
    drop = (
        f"ALTER TABLE {table_name(dialect, sealed.table)} "
        f"DROP COLUMN {quoted(dialect, beside)};"
    )
    yield Finding(
        f"{sealed.name}.{beside}",
        "column",
        f"the column beside {name} is still there, with {count:,} values; what is "
        "made of it (indexes, views, generated columns) holds copies",
        Severity.FOUND if count else Severity.POSSIBLE,
        by_hand(f"{drop} -- when no application reads it: op.drop_column"),
    )


def _count(connection: Connection, sealed: SealedTable, name: str) -> int:
    value: Any = column(name)
    source = table(sealed.table.name, value, schema=sealed.table.schema)
    found = select(func.count(value)).select_from(source)
    return connection.scalar(found) or 0
