"""The reader and writer that fits a database and its driver."""

from __future__ import annotations

from sqlalchemy import Engine, Enum
from sqlalchemy.dialects.postgresql import CITEXT

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.identity import Kind
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.triggers import update_triggers

__all__ = ["check_key", "reading_rows_of", "refuse_translation", "rows_of"]


def refuse_translation(engine: Engine) -> None:
    """Refuse an engine whose statements go to other schemas than they name.

    Raises:
        ConfigurationError: it has a ``schema_translate_map``.

    """
    if engine.get_execution_options().get("schema_translate_map"):
        raise ConfigurationError(
            "jobs do not follow schema_translate_map. Give them the engine without it "
            "and tables that name their schema: table.to_metadata(..., schema=...)"
        )


def rows_of(engine: Engine, move: Move, polite: bool = True) -> PortableRows:
    """Return the fastest safe way to read and write the rows of a move.

    Args:
        engine: of the job.
        move: what becomes of the rows.
        polite: whether rows that are locked are skipped and never waited for.

    Raises:
        ConfigurationError: the primary key cannot be followed.

    """
    dialect = engine.dialect
    if dialect.name == "sqlite" and move.kind is Kind.REENCRYPT:
        check_key(engine, move)
        from sqlalchemy_sealed.jobs.sqlite import SqliteRows  # noqa: PLC0415 - as below

        return SqliteRows(engine, move)
    if dialect.name in {"mysql", "mariadb"}:
        check_key(engine, move)
        from sqlalchemy_sealed.jobs.mariadb import MariadbRows  # noqa: PLC0415

        return MariadbRows(engine, move, polite)
    return reading_rows_of(engine, move, polite)


def reading_rows_of(engine: Engine, move: Move, polite: bool = True) -> PortableRows:
    """Return the fastest way to read the rows of a move; only rows_of() writes best."""
    check_key(engine, move)
    dialect = engine.dialect
    if dialect.name != "postgresql" or dialect.driver != "psycopg":
        return PortableRows(engine, move)
    # With psycopg, which is installed where its dialect is in use.
    from sqlalchemy_sealed.jobs.pipeline import driver_of  # noqa: PLC0415
    from sqlalchemy_sealed.jobs.postgresql import PsycopgRows, fits  # noqa: PLC0415

    with engine.connect() as connection:
        # A trigger after the statement may change what RETURNING has reported.
        if not fits(move) or update_triggers(connection, move.table):
            return PortableRows(engine, move)
        encoding = driver_of(connection).info.encoding
    return PsycopgRows(engine, move, encoding, polite)


def check_key(engine: Engine, move: Move) -> None:
    """Refuse a table whose rows a job could not name exactly.

    Raises:
        ConfigurationError: the primary key cannot be followed.

    """
    refuse_translation(engine)
    for column in move.key:
        where = f"{move.name}.{column.name}"
        if isinstance(column.type, CITEXT):
            raise ConfigurationError(
                f"{where}: a primary key of type CITEXT is not supported, since it "
                "finds other rows than the one that was read"
            )
        if isinstance(column.type, Enum):
            raise ConfigurationError(
                f"{where}: a primary key of an Enum is not supported, since databases "
                "order and compare it differently"
            )
