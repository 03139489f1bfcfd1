"""The limit: the database's own ``UPDATE person SET email = <same width>``.

The same rows in transactions of as many, by ranges of the primary key, in one session.
It reads nothing, decides nothing and verifies nothing.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from people import People
from sqlalchemy import create_engine

__all__ = ["BATCH", "mariadb_update", "postgresql_update", "sqlite_update"]

#: Rows of a transaction, of ``Pace.full_speed()`` too.
BATCH = 1000


def postgresql_update(people: People) -> None:
    """Rewrite every row with a prepared statement of psycopg."""
    engine = create_engine(people.url)
    connection: Any = engine.raw_connection()
    value = bytes(people.width)
    sql = "UPDATE person SET email = %b WHERE id > %b AND id <= %b"
    with connection.cursor() as cursor:
        for low in range(0, people.rows, BATCH):
            cursor.execute(sql, (value, low, low + BATCH), prepare=True)
            connection.commit()
    connection.close()
    engine.dispose()


def mariadb_update(people: People) -> None:
    """Rewrite every row with PyMySQL's driver, which has no prepared statements."""
    engine = create_engine(people.url)
    connection: Any = engine.raw_connection()
    value = bytes(people.width)
    sql = "UPDATE person SET email = %s WHERE id > %s AND id <= %s"
    with connection.cursor() as cursor:
        for low in range(0, people.rows, BATCH):
            cursor.execute(sql, (value, low, low + BATCH))
            connection.commit()
    connection.close()
    engine.dispose()


def sqlite_update(people: People) -> None:
    """Rewrite every row with the standard library's driver."""
    assert people.url.database is not None
    connection = sqlite3.connect(people.url.database)
    value = bytes(people.width)
    sql = "UPDATE person SET email = ? WHERE id > ? AND id <= ?"
    for low in range(0, people.rows, BATCH):
        connection.execute(sql, (value, low, low + BATCH))
        connection.commit()
    connection.close()
