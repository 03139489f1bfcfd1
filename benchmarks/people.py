"""The table that is re-encrypted, always from the same physical state.

``source`` is filled and sealed once. Every measurement gets ``person``: a copy in key
order, its primary key built after, vacuumed and analysed, with a checkpoint behind it.
On SQLite it is a copy of the file, on MariaDB a copy whose pages were written out.
"""

from __future__ import annotations

import shutil
import sqlite3
from itertools import islice
from pathlib import Path
from typing import Any

from contenders import values
from setting import sealed_engine
from sqlalchemy import URL, BigInteger, String, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import EncryptedType, Keyring
from sqlalchemy_sealed.cipher import cipher_of
from sqlalchemy_sealed.fast import sealer
from sqlalchemy_sealed.scope import binding_of

__all__ = [
    "Base",
    "MariadbPeople",
    "People",
    "Person",
    "PostgresqlPeople",
    "SqlitePeople",
]

_CHUNK = 10_000


class Base(DeclarativeBase):
    """What is re-encrypted."""


class Person(Base):
    """A key and one sealed value of 20 characters: 96 bytes when stored."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    email: Mapped[str] = mapped_column(EncryptedType(String))


class People:
    """Rows sealed under a former key version; the keyring has a newer one."""

    def __init__(self, url: URL, rows: int) -> None:
        self.url = url
        self.rows = rows
        self.keyring = Keyring.generate()
        self.width = self._fill()
        self.keyring.rotate()

    def _stored(self) -> Any:
        engine = sealed_engine(self.url, self.keyring)
        kind: Any = Person.__table__.c.email.type
        seal = sealer(cipher_of(binding_of(engine.dialect), kind.field()))
        for row in range(1, self.rows + 1):
            yield row, seal(values(1, row)["c0"])

    def _fill(self) -> int:
        raise NotImplementedError

    def fresh(self, rows: int | None = None) -> None:
        """Lay out the first ``rows`` rows anew."""
        raise NotImplementedError


class PostgresqlPeople(People):
    """The table on a server."""

    def _fill(self) -> int:
        engine = create_engine(self.url)
        connection: Any = engine.raw_connection()
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE source (id bigint NOT NULL, email bytea)")
            with cursor.copy("COPY source FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "bytea"])
                for row in self._stored():
                    copy.write_row(row)
            cursor.execute("SELECT max(length(email)) FROM source")
            width: int = cursor.fetchone()[0]
        connection.commit()
        connection.close()
        engine.dispose()
        return width

    def fresh(self, rows: int | None = None) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        last = rows or self.rows
        copied = f"SELECT * FROM source WHERE id <= {last} ORDER BY id"
        with engine.connect() as connection:
            for statement in (
                "DROP TABLE IF EXISTS person",
                f"CREATE TABLE person AS {copied}",
                "ALTER TABLE person ALTER email SET NOT NULL, ADD PRIMARY KEY (id)",
                "VACUUM (ANALYZE) person",
                "CHECKPOINT",
            ):
                connection.execute(text(statement))
        engine.dispose()


class MariadbPeople(People):
    """The table in InnoDB."""

    def _fill(self) -> int:
        engine = create_engine(self.url)
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE person RENAME source"))
        connection: Any = engine.raw_connection()
        stored = self._stored()
        with connection.cursor() as cursor:
            while chunk := list(islice(stored, _CHUNK)):
                cursor.executemany("INSERT INTO source VALUES (%s, %s)", chunk)
            cursor.execute("SELECT max(length(email)) FROM source")
            width: int = cursor.fetchone()[0]
        connection.commit()
        connection.close()
        engine.dispose()
        return width

    def fresh(self, rows: int | None = None) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        last = rows or self.rows
        copied = f"SELECT * FROM source WHERE id <= {last} ORDER BY id"
        with engine.connect() as connection:
            for statement in (
                "DROP TABLE IF EXISTS person",
                "CREATE TABLE person LIKE source",
                f"INSERT INTO person {copied}",
                "ANALYZE TABLE person",
                # Writes the dirty pages of the table, as a checkpoint would.
                "FLUSH TABLES person FOR EXPORT",
                "UNLOCK TABLES",
            ):
                connection.execute(text(statement))
        engine.dispose()


class SqlitePeople(People):
    """The table in a file, with a write-ahead log."""

    @property
    def _path(self) -> Path:
        assert self.url.database is not None
        return Path(self.url.database)

    @property
    def _source(self) -> Path:
        return self._path.with_name("source.db")

    def _fill(self) -> int:
        connection = sqlite3.connect(self._source)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "CREATE TABLE person (id INTEGER PRIMARY KEY, email BLOB NOT NULL)"
        )
        connection.executemany("INSERT INTO person VALUES (?, ?)", self._stored())
        connection.commit()
        width: int = connection.execute(
            "SELECT max(length(email)) FROM person"
        ).fetchone()[0]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return width

    def fresh(self, rows: int | None = None) -> None:
        assert rows in {None, self.rows}
        for leftover in self._path.parent.glob(self._path.name + "*"):
            leftover.unlink()
        shutil.copyfile(self._source, self._path)
