"""Fences: constraints that make a write of the wrong kind fail in the database.

A *shape* fence lets envelopes of the column's suites through and nothing else: a
process that has not heard of the encryption gets an error instead of storing plaintext.
It may stay for ever. A *keys* fence lets only the active key through: a process that
still writes under a former one gets an error instead of leaving a stale row. It is
temporary: with the next rotation it must be gone, and activating a key that it excludes
is refused.

PostgreSQL has a CHECK constraint, added NOT VALID and validated later; MariaDB, MySQL
and SQLite have two triggers, since a constraint would copy the table there while nobody
may write. None of them looks at existing rows while it locks the table: they are
checked afterwards.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.errors import FenceError
from sqlalchemy_sealed.jobs.fencesql import (
    FenceKind,
    allowed,
    condition,
    down,
    up,
)
from sqlalchemy_sealed.jobs.standing import stands
from sqlalchemy_sealed.jobs.tables import (
    create_tables,
    database_time,
    fences,
    has_tables,
)
from sqlalchemy_sealed.jobs.transient import trouble_of
from sqlalchemy_sealed.targets import SealedColumn, SealedTable

__all__ = [
    "Fence",
    "FenceKind",
    "check_fences",
    "drop_fence",
    "fence_in",
    "fences_of",
    "put_up",
    "validate",
]

_TRIES: Final = 20
#: Seconds between looking for what another process is about to write down.
_WHILE: Final = 0.1
_PATIENCE: Final = {
    "postgresql": "SET LOCAL lock_timeout = '500ms'",
    "mysql": "SET SESSION lock_wait_timeout = 1",
    "mariadb": "SET SESSION lock_wait_timeout = 1",
}


@dataclass(frozen=True)
class Fence:
    """A fence, as it is recorded.

    Attributes:
        kids: key ids that it lets through, in hex; of a shape fence none.
        validated: whether existing rows were checked.

    """

    name: str
    table: str
    column: str
    kind: FenceKind
    kids: tuple[str, ...]
    validated: bool


def put_up(engine: Engine, sealed: SealedTable, kind: FenceKind) -> list[Fence]:
    """Put a fence around every sealed column of a table; writes obey from now on.

    Raises:
        FenceError: the table cannot be locked for a moment, or is fenced otherwise.

    """
    create_tables(engine)
    return [_put_up(engine, sealed, column, kind) for column in sealed.columns]


def _put_up(
    engine: Engine, sealed: SealedTable, column: SealedColumn, kind: FenceKind
) -> Fence:
    kids, prefixes = allowed(engine, column, kind)
    name = _name(sealed.name, column.name, kind)
    known = {fence.name: fence for fence in fences_of(engine, sealed.name)}
    if name in known and not stands(engine, sealed.table, name):
        # A table that was copied has lost its triggers; it is put up once more.
        drop_fence(engine, sealed, known.pop(name))
    if name in known:
        if known[name].kids == kids:
            return known[name]
        raise FenceError(
            f"{sealed.name}.{column.name} is fenced for another key; drop that fence "
            "first: sealed fence drop"
        )
    # What a trigger looks at is the new row.
    row = "" if engine.dialect.name == "postgresql" else "NEW."
    wanted = condition(engine, column, prefixes, row)
    fence = Fence(name, sealed.name, column.name, kind, kids, validated=False)
    try:
        _alter(engine, up(engine, sealed, column, name, wanted), fence)
    except DBAPIError:
        other = _of_another(engine, sealed, name)
        if other is None:
            raise
        return other
    return fence


def _of_another(engine: Engine, sealed: SealedTable, name: str) -> Fence | None:
    """Return a fence that another process has put up in the same moment."""
    for _ in range(_TRIES):
        for fence in fences_of(engine, sealed.name):
            if fence.name == name and stands(engine, sealed.table, name):
                return fence
        time.sleep(_WHILE)
    return None


def _name(table: str, column: str, kind: FenceKind) -> str:
    digest = hashlib.sha256(f"{table} {column}".encode()).hexdigest()[:12]
    return f"sealed_fence_{kind.value}_{digest}"


def _alter(engine: Engine, statements: Sequence[str], fence: Fence) -> None:
    def record(connection: Connection) -> None:
        connection.execute(
            insert(fences).values(
                name=fence.name,
                table_name=fence.table,
                column_name=fence.column,
                kind=fence.kind.value,
                kids=json.dumps(fence.kids),
                validated=0,
                created_at=database_time(connection),
            )
        )

    _locked(engine, statements, record)


def _locked(engine: Engine, statements: Sequence[str], after: Any) -> None:
    """Alter a table: briefly locked, never waited for long, tried again."""
    for attempt in range(_TRIES):
        try:
            with engine.connect() as connection, connection.begin():
                patience = _PATIENCE.get(engine.dialect.name)
                for statement in (*([patience] if patience else ()), *statements):
                    connection.exec_driver_sql(statement)
                after(connection)
                if patience and engine.dialect.name != "postgresql":
                    # Settings of the session must not come back with the pool.
                    connection.detach()
        except DBAPIError as error:
            if trouble_of(error) is None or attempt == _TRIES - 1:
                raise
        else:
            return


def _look(
    engine: Engine, sealed: SealedTable, column: SealedColumn, kind: FenceKind
) -> None:
    """Look for rows that are outside of a fence, whether it is up or not.

    Raises:
        FenceError: there are some.

    """
    table = engine.dialect.identifier_preparer.format_table(sealed.table)
    wanted = condition(engine, column, allowed(engine, column, kind)[1])
    with engine.connect() as connection:
        outside = connection.exec_driver_sql(
            f"SELECT count(*) FROM {table} WHERE NOT ({wanted})"  # noqa: S608 - quoted names and headers
        ).scalar_one()
        connection.rollback()
    if outside:
        raise FenceError(
            f"{sealed.name}.{column.name}: {outside} rows are outside of the fence. "
            "Move or repair them (sealed status says what they are), then put it up "
            "again: sealed fence add"
        )


def validate(engine: Engine, sealed: SealedTable, fence: Fence) -> None:
    """Check the existing rows against a fence, without locking writers out.

    Raises:
        FenceError: a row is outside.

    """
    column = next(c for c in sealed.columns if c.name == fence.column)
    _look(engine, sealed, column, fence.kind)
    table = engine.dialect.identifier_preparer.format_table(sealed.table)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                f"ALTER TABLE {table} VALIDATE CONSTRAINT {fence.name}"
            )
        connection.execute(
            update(fences).where(fences.c.name == fence.name).values(validated=1)
        )


def fence_in(engine: Engine, sealed: SealedTable, kind: FenceKind) -> list[Fence]:
    """Look, put fences up, and validate; where that fails, none of ours stays.

    Raises:
        FenceError: a row is outside.

    """
    for column in sealed.columns:
        _look(engine, sealed, column, kind)
    found = put_up(engine, sealed, kind)
    for fence in found:
        try:
            validate(engine, sealed, fence)
        except FenceError:
            # Written since the look. It would refuse even other changes of these rows.
            if not fence.validated:
                drop_fence(engine, sealed, fence)
            raise
    return found


def drop_fence(engine: Engine, sealed: SealedTable, fence: Fence) -> None:
    """Take a fence down."""
    table = engine.dialect.identifier_preparer.format_table(sealed.table)

    def forget(connection: Connection) -> None:
        connection.execute(delete(fences).where(fences.c.name == fence.name))

    _locked(engine, down(engine, fence.name, table), forget)


def fences_of(engine: Engine, table: str | None = None) -> list[Fence]:
    """Return the recorded fences, of one table or of all."""
    if not has_tables(engine):
        return []
    found = select(fences).order_by(fences.c.name)
    if table is not None:
        found = found.where(fences.c.table_name == table)
    with engine.connect() as connection:
        return [
            Fence(
                row.name,
                row.table_name,
                row.column_name,
                FenceKind(row.kind),
                tuple(json.loads(row.kids)),
                bool(row.validated),
            )
            for row in connection.execute(found)
        ]


def check_fences(engine: Engine, kid: bytes | None) -> None:
    """Refuse to activate a key that a recorded fence excludes.

    Args:
        engine: a synchronous engine; no key is needed.
        kid: the 16 bytes of the key, or ``None`` for one that is still to be made.

    Raises:
        FenceError: naming the fence; every write would fail from that moment on.

    """
    for fence in fences_of(engine):
        allowed = kid is not None and kid.hex() in fence.kids
        if fence.kind is FenceKind.KEYS and not allowed:
            raise FenceError(
                f"{fence.table}.{fence.column} is fenced for another key: every write "
                "to it would fail. Drop the fence first: sealed fence drop MODULE:NAME "
                "--kind keys"
            )
