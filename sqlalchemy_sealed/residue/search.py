"""The search for residue, in every place that this database has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, Engine

from sqlalchemy_sealed.residue import mariadb, postgresql, sqlite
from sqlalchemy_sealed.residue.columns import plaintext_columns, plaintext_values
from sqlalchemy_sealed.residue.finding import (
    Finding,
    Severity,
    by_hand,
    last_of_each,
)
from sqlalchemy_sealed.status import status
from sqlalchemy_sealed.targets import SealedTable, sealed_tables

__all__ = ["find_residue"]

_LOOKS: Final[dict[str, Callable[[Connection, SealedTable], Iterator[Finding]]]] = {
    "postgresql": postgresql.look,
    "sqlite": sqlite.look,
    "mysql": mariadb.look,
    "mariadb": mariadb.look,
}
_BACKUPS: Final = Finding(
    "backups",
    "backup",
    "backups, dumps, snapshots and replicas hold what was in the database when they "
    "were made; the file system keeps the blocks of files that were deleted",
    Severity.UNSEEN,
    by_hand(
        "after cleaning make a new backup, then delete older ones, or let them expire"
    ),
)


def find_residue(engine: Engine, target: Any) -> list[Finding]:
    """Look for plaintext that is left after columns were sealed.

    Nothing is written, and no value leaves the database or is shown. Rows are counted
    once; SQLite databases up to 256 MiB are copied into memory.

    Args:
        engine: a synchronous engine; no key is needed.
        target: a declarative base, MetaData, model, Table, or a list of them.

    Returns:
        What was found, what is possible, and what cannot be seen from here, in the
        order in which it is to be cleaned.

    """
    found: list[Finding] = []
    tables = sealed_tables(target)
    for census in status(engine, target):
        found += plaintext_values(census)
    for sealed in tables:
        with engine.connect() as connection:
            found += plaintext_columns(connection, sealed)
            found += _LOOKS[engine.dialect.name](connection, sealed)
    return [*last_of_each(found), _BACKUPS]
