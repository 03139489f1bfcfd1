"""The quoted name of a table where no parameters are: as a value, or in a bare text."""

from __future__ import annotations

from sqlalchemy import Dialect, Table

__all__ = ["quoted", "table_name"]


def table_name(dialect: Dialect, table: Table) -> str:
    """Return the quoted name of a table, with its schema."""
    return _single(dialect, dialect.identifier_preparer.format_table(table))


def quoted(dialect: Dialect, name: str) -> str:
    """Return the quoted name of a column."""
    return _single(dialect, dialect.identifier_preparer.quote(name))


def _single(dialect: Dialect, name: str) -> str:
    # Where percent signs mark parameters, SQLAlchemy doubles those of names.
    doubled = dialect.paramstyle in {"format", "pyformat"}
    return name.replace("%%", "%") if doubled else name
