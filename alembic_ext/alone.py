"""One process at a time: two upgrades at once must not both put a column in place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError

from alembic_ext.moving import is_offline

__all__ = ["alone_with"]

#: Locks of the session, which outlive its transactions; of SQLite there is none: its
#: DDL is in the transaction of the revision.
_LOCKS: Final = {
    "postgresql": ("SELECT pg_try_advisory_lock({})", "SELECT pg_advisory_unlock({})"),
    "mysql": ("SELECT GET_LOCK('{}', 0)", "SELECT RELEASE_LOCK('{}')"),
    "mariadb": ("SELECT GET_LOCK('{}', 0)", "SELECT RELEASE_LOCK('{}')"),
}


@contextmanager
def alone_with(
    operations: Operations, table: str, schema: str | None
) -> Iterator[None]:
    """Keep other revisions away from a table.

    Raises:
        CommandError: another process is at it.

    """
    lock, unlock = _LOCKS.get(operations.impl.dialect.name, ("", ""))
    if is_offline(operations) or not lock:
        yield
        return
    connection = operations.get_bind()
    # Locks of MariaDB are those of the server, not of a database.
    named = f"sealed {connection.engine.url.database} {schema} {table}"
    name = str(int.from_bytes(hashlib.sha256(named.encode()).digest()[:7]))
    if not connection.scalar(sa.text(lock.format(name))):
        raise CommandError(
            f"{table}: another process applies a revision to this table. Wait until it "
            "has ended, then run this again"
        )
    try:
        yield
    finally:
        if not connection.invalidated and not connection.closed:
            _unlock(connection, unlock.format(name))


def _unlock(connection: sa.Connection, statement: str) -> None:
    try:
        connection.execute(sa.text(statement))
    except sa.exc.DBAPIError:
        # A transaction that has failed takes no statement, and the connection may go
        # back to a pool with its locks.
        connection.rollback()
        with suppress(sa.exc.DBAPIError):  # it is gone, and the lock with it
            connection.execute(sa.text(statement))
