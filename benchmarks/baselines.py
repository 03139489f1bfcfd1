"""What re-encryption is measured against.

* The limit: the database's own ``UPDATE person SET email = <same width>`` over the same
  rows in transactions of 1,000, by ranges of the primary key, in one session. It reads
  nothing, decides nothing and verifies nothing.
* The usual way: an ORM loop with SQLAlchemy-Utils (AES-GCM) that loads 1,000 objects,
  assigns, flushes and commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from contenders import values
from people import People
from sqlalchemy import URL, BigInteger, String, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy_utils.types.encrypted.encrypted_type import (
    AesGcmEngine,
    StringEncryptedType,
)

__all__ = ["BATCH", "orm_loop", "postgresql_update", "prepare_loop", "sqlite_update"]

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


class _Base(DeclarativeBase):
    pass


_current = "the former secret"


def _secret() -> str:
    return _current


class _Customer(_Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    email: Mapped[str] = mapped_column(
        StringEncryptedType(String, _secret, AesGcmEngine)
    )


def prepare_loop(url: URL, rows: int) -> None:
    """Fill the table of the ORM loop."""
    global _current  # noqa: PLW0603 - how SQLAlchemy-Utils is given another key
    _current = "the former secret"
    engine = create_engine(url)
    _Base.metadata.drop_all(engine)
    _Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(_Customer),
            [{"id": n, "email": values(1, n)["c0"]} for n in range(1, rows + 1)],
        )
    engine.dispose()


def orm_loop(url: URL) -> Callable[[], None]:
    """Return the loop: load 1,000 with the former key, write with the new one."""

    def work() -> None:
        global _current  # noqa: PLW0603
        engine = create_engine(url)
        last = 0
        with Session(engine) as session:
            while True:
                _current = "the former secret"
                page = select(_Customer).where(_Customer.id > last)
                people = session.scalars(page.order_by(_Customer.id).limit(BATCH)).all()
                if not people:
                    break
                last = people[-1].id
                _current = "the new secret"
                for person in people:
                    flag_modified(person, "email")
                session.flush()
                session.commit()
                session.expunge_all()
        engine.dispose()

    return work
