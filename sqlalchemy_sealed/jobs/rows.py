"""The reader and writer that fits a database and its driver."""

from __future__ import annotations

from sqlalchemy import Engine, Enum
from sqlalchemy.dialects.postgresql import CITEXT

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["refuse_translation", "rows_of"]


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


def rows_of(sealed: SealedTable, engine: Engine) -> PortableRows:
    """Return the fastest safe way to read and write the rows of a table.

    Raises:
        ConfigurationError: the primary key cannot be followed.

    """
    refuse_translation(engine)
    for column in sealed.key:
        if isinstance(column.type, CITEXT):
            raise ConfigurationError(
                f"{sealed.name}.{column.name}: a primary key of type CITEXT is not "
                "supported, since it finds other rows than the one that was read"
            )
        if isinstance(column.type, Enum):
            raise ConfigurationError(
                f"{sealed.name}.{column.name}: a primary key of an Enum is not "
                "supported, since databases order and compare it differently"
            )
    dialect = engine.dialect
    if dialect.name != "postgresql" or dialect.driver != "psycopg":
        return PortableRows(sealed, dialect)
    # With psycopg, which is installed where its dialect is in use.
    from sqlalchemy_sealed.jobs.pipeline import driver_of  # noqa: PLC0415
    from sqlalchemy_sealed.jobs.postgresql import (  # noqa: PLC0415
        PsycopgRows,
        has_update_trigger,
    )

    with engine.connect() as connection:
        if has_update_trigger(connection, sealed):
            return PortableRows(sealed, dialect)
        encoding = driver_of(connection).info.encoding
    return PsycopgRows(sealed, dialect, encoding)
