"""The tables that make a run survive its process.

``sealed_runs`` has one row per run and table, ``sealed_ranges`` the primary-key ranges
it consists of, each with a cursor that moves in the same transaction as the rows,
``sealed_dead_letters`` the values that could not be moved, and ``sealed_fences`` the
constraints that keep values of another kind out. Times are seconds since the epoch by
the database's clock. Nothing here ever holds plaintext or key material;
primary keys are stored as they are.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError

__all__ = [
    "clock",
    "create_tables",
    "database_time",
    "dead_letters",
    "fences",
    "has_tables",
    "ranges",
    "runs",
]

metadata = MetaData()

# MariaDB and MySQL find "a" for "A" otherwise: two keys, two tables.
_EXACT = String(255).with_variant(
    mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb"
)
_EXACT_TEXT = Text().with_variant(
    mysql.TEXT(collation="utf8mb4_bin"), "mysql", "mariadb"
)

runs = Table(
    "sealed_runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("table_name", String(255), nullable=False),
    # JSON list; what the run works on, and the hash of what it moves values to.
    Column("column_names", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", String(16), nullable=False),
    # The table while the run is open, NULL after: at most one open run per table.
    Column("open_key", _EXACT, unique=True),
    Column("sweep", Integer, nullable=False),
    # Looks in a row that found nothing left, and when the first of them was.
    Column("empty_looks", Integer, nullable=False),
    Column("emptied_at", Double),
    # What the columns at work looked like when the run began.
    Column("schema_hash", String(64), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("vacuumed", BigInteger, nullable=False),
    Column("last_error", Text),
    Column("last_error_at", Double),
)

ranges = Table(
    "sealed_ranges",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("run_id", ForeignKey("sealed_runs.id"), nullable=False),
    Column("sweep", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    # Primary keys as JSON: after `low`, up to and including `high`; NULL is open.
    Column("low", Text),
    Column("high", Text),
    Column("cursor", Text),
    Column("rows", BigInteger, nullable=False),
    Column("done", Integer, nullable=False),
    Column("lease_owner", String(255)),
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_until", Double),
    Column("scanned", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False),
    Column("current", BigInteger, nullable=False),
    Column("nulls", BigInteger, nullable=False),
    Column("conflicts", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("batches", BigInteger, nullable=False),
    UniqueConstraint("run_id", "sweep", "position"),
)

dead_letters = Table(
    "sealed_dead_letters",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("run_id", ForeignKey("sealed_runs.id"), nullable=False),
    Column("table_name", String(255), nullable=False),
    Column("column_name", _EXACT, nullable=False),
    Column("row_key", _EXACT_TEXT, nullable=False),
    Column("error", String(64), nullable=False),
    Column("kid", String(32)),
    Column("key_version", BigInteger),
    Column("seen_at", Double, nullable=False),
    Index("sealed_dead_letters_run", "run_id"),
)

fences = Table(
    "sealed_fences",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("table_name", _EXACT, nullable=False),
    Column("column_name", _EXACT, nullable=False),
    Column("kind", String(16), nullable=False),
    # JSON list of the kids that a temporary fence lets through, in hex.
    Column("kids", Text),
    Column("validated", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
)


def create_tables(engine: Engine) -> None:
    """Create the tables that are missing."""
    # Other processes may create them in the same moment, each of them at another one.
    for _ in metadata.tables:
        try:
            metadata.create_all(engine, checkfirst=True)
        except DBAPIError:
            continue
        return
    metadata.create_all(engine, checkfirst=True)


def has_tables(engine: Engine) -> bool:
    """Tell whether a job was ever run in this database."""
    return inspect(engine).has_table(runs.name)


_CLOCKS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "mysql": "SELECT unix_timestamp(now(6))",
    "mariadb": "SELECT unix_timestamp(now(6))",
}


def clock(dialect: Dialect) -> TextClause:
    """Return the database's clock as an SQL expression, in seconds."""
    return text(_CLOCKS[dialect.name].removeprefix("SELECT "))


def database_time(connection: Connection) -> float:
    """Return the database's clock in seconds: hosts may disagree, the database not."""
    now: Any = connection.scalar(text(_CLOCKS[connection.dialect.name]))
    return float(now)
