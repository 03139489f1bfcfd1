"""Which tables and columns a job works on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, MetaData, Table
from sqlalchemy import inspect as inspect_class
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper, configure_mappers, registry

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.placement import TENANT
from sqlalchemy_sealed.types import EncryptedType

__all__ = ["SealedColumn", "SealedTable", "primary_key", "sealed_tables"]


@dataclass(frozen=True)
class SealedColumn:
    """One sealed column of a table."""

    column: Column[Any]
    type: EncryptedType[Any]

    @property
    def name(self) -> str:
        """The database name."""
        return self.column.name

    @property
    def is_bound(self) -> bool:
        """Whether a value needs its row to be opened."""
        return self.type.row_bound or self.type.tenant_scoped

    @property
    def tenant(self) -> str | None:
        """Name of the column with the tenant, if values are tenant-scoped.

        Raises:
            ConfigurationError: no mapped class says so.

        """
        if not self.type.tenant_scoped:
            return None
        if TENANT not in self.column.info:
            configure_mappers()
        if TENANT not in self.column.info:
            raise ConfigurationError(
                f"{self.column.table.name}.{self.name}: which column names the tenant "
                "is known to the mapped class only; import the module that defines it"
            )
        return str(self.column.info[TENANT])

    @property
    def is_text(self) -> bool:
        """Whether envelopes are stored in their text form."""
        return self.type.storage == "text"


@dataclass(frozen=True)
class SealedTable:
    """A table with its primary key and its sealed columns."""

    table: Table
    columns: tuple[SealedColumn, ...]

    @property
    def name(self) -> str:
        """The name with its schema."""
        return self.table.fullname

    @property
    def tenants(self) -> tuple[str, ...]:
        """Names of the columns with tenants, read beside the values."""
        names = (column.tenant for column in self.columns)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @property
    def key(self) -> tuple[Column[Any], ...]:
        """The primary key columns.

        Raises:
            ConfigurationError: the table has none.

        """
        return primary_key(self.table)


def primary_key(table: Table) -> tuple[Column[Any], ...]:
    """Return the primary key columns of a table.

    Raises:
        ConfigurationError: the table has none.

    """
    key = tuple(table.primary_key.columns)
    if not key:
        raise ConfigurationError(
            f"{table.fullname} has no primary key: a job cannot name its rows. "
            "Declare one in the model"
        )
    return key


def sealed_tables(target: Any) -> list[SealedTable]:
    """Return the tables of a target that have sealed columns, by name.

    Args:
        target: a declarative base, registry, MetaData, mapped class, Table, or several
            of these in a list.

    Raises:
        ConfigurationError: the target is something else, or has no sealed column.

    """
    found: dict[str, SealedTable] = {}
    for table in _tables(target):
        columns = tuple(
            SealedColumn(column, column.type)
            for column in table.columns
            if isinstance(column.type, EncryptedType)
        )
        if columns:
            known = found.setdefault(table.fullname, SealedTable(table, columns))
            if known.table is not table:
                raise ConfigurationError(
                    f"{table.fullname} is declared twice, in two MetaData: name one of "
                    "them, or the columns of the other would be left out"
                )
    if not found:
        raise ConfigurationError(
            "no sealed column was found in the target. Name the declarative base, a "
            "MetaData, a model or a Table whose columns are EncryptedType, and import "
            "the modules that define the models first"
        )
    return [found[name] for name in sorted(found)]


def _tables(target: Any) -> Iterable[Table]:
    if isinstance(target, Table):
        return [target]
    if isinstance(target, MetaData):
        return target.tables.values()
    if isinstance(target, registry):
        return target.metadata.tables.values()
    if isinstance(target, list | tuple | set):
        return [table for item in target for table in _tables(item)]
    mapper = _mapper(target)
    if mapper is not None:
        return [table for table in mapper.tables if isinstance(table, Table)]
    metadata = getattr(target, "metadata", None)
    if isinstance(metadata, MetaData):
        return metadata.tables.values()
    raise ConfigurationError(
        f"a {type(target).__name__} is no target: name a declarative base, a registry, "
        "a MetaData, a mapped class or a Table"
    )


def _mapper(target: Any) -> Mapper[Any] | None:
    try:
        found = inspect_class(target)
    except NoInspectionAvailable:
        return None
    return found if isinstance(found, Mapper) else None
