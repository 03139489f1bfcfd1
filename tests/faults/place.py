"""A place: one database with the processes that meet there, each with an engine."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from databasepool import own_database
from servers import mariadb_url, postgresql_url
from sqlalchemy import Engine, create_engine, delete, event
from sqlalchemy.exc import DBAPIError

from faults.shapes import Shape, create_tables
from sqlalchemy_sealed import IndexKey, Key, Keyring, bind_keyring
from sqlalchemy_sealed.jobs import tables

__all__ = ["DATABASES", "Place", "opened"]

DATABASES = ("sqlite", "postgresql", "mariadb")
#: All of them are known to every process from the start: only one is active.
_KEYS = tuple(Key(version, bytes([version]) * 32) for version in range(1, 7))
_INDEX = IndexKey(1, bytes(range(64, 96)))

_MYSQL_WAIT = "SET SESSION innodb_lock_wait_timeout = {}"
# All give up quickly, since what they wait for may be this very thread. First the
# application, then the job: MariaDB answers SKIP LOCKED with an error at 0.
_PATIENCE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sqlite": ({"timeout": 0}, {"timeout": 0}),
    "postgresql": (
        {"options": "-c lock_timeout=30ms -c synchronous_commit=off"},
        {"options": "-c lock_timeout=100ms -c synchronous_commit=off"},
    ),
    "mysql": (
        # Every new connection would read all certificates of the machine.
        {"init_command": _MYSQL_WAIT.format(0)},
        {"init_command": _MYSQL_WAIT.format(1)},
    ),
}


class Place:
    """One database, its tables, and the engines of four processes.

    Attributes:
        job: the process whose job is disturbed.
        rival: another one that runs the same job.
        fresh: the application under the active key.
        stale: the application under the key before.

    """

    def __init__(self, url: str) -> None:
        # Its pool tells of every connection that was cut.
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL + 1)
        self.url = url
        self.sessions: list[Any] = []
        self.job, self.rival = self._engine(1), self._engine(1)
        self.fresh, self.stale = self._engine(0), self._engine(0)
        self.name = self.fresh.dialect.name
        event.listen(self.job, "connect", self._connected)
        create_tables(self.fresh)
        tables.create_tables(self.fresh)

    def _engine(self, kind: int) -> Engine:
        name = self.url.partition(":")[0].partition("+")[0]
        engine = create_engine(self.url, connect_args=_PATIENCE[name][kind])
        if name == "sqlite":
            event.listen(engine, "connect", _without_waiting_for_the_disk)
        return engine

    def _connected(self, driver: Any, _record: Any) -> None:
        self.sessions.append(driver)

    def clear(self, shape: Shape, fenced: bool = False) -> None:
        """Make the database ready for another schedule."""
        if fenced:
            shape.table.drop(self.fresh)
            shape.table.create(self.fresh)
        with self.fresh.begin() as connection:
            connection.execute(delete(shape.table))
            for table in reversed(tables.metadata.sorted_tables):
                connection.execute(delete(table))

    def turn_keys(self, active: int, engines: tuple[Engine, ...]) -> None:
        """Give processes the keyring of a rotation."""
        for engine in engines:
            version = max(1, active - 1) if engine is self.stale else active
            bind_keyring(engine, Keyring(_KEYS, version, index_keys=[_INDEX]))

    def key(self, version: int) -> Key:
        """Return a version of the root key."""
        return _KEYS[version - 1]

    def cut(self) -> None:
        """Cut the connections of the job, as a server does that is restarted."""
        is_postgresql = self.name == "postgresql"
        for driver in self.sessions:
            if driver.closed if is_postgresql else not driver.open:
                continue
            number = driver.info.backend_pid if is_postgresql else driver.thread_id()
            how = (
                "SELECT pg_terminate_backend({}, 1000)" if is_postgresql else "KILL {}"
            )
            # It may have ended by itself.
            with self.fresh.connect() as connection, suppress(DBAPIError):
                connection.exec_driver_sql(how.format(number))

    def kill(self) -> None:
        """Close what a killed process had open; the server rolls it back."""
        self.job.dispose()
        self.sessions.clear()

    def dispose(self) -> None:
        """Close all connections."""
        for engine in (self.job, self.rival, self.fresh, self.stale):
            engine.dispose()


def _without_waiting_for_the_disk(driver: Any, _record: Any) -> None:
    driver.execute("PRAGMA synchronous = OFF")


@contextmanager
def opened(database: str) -> Iterator[Place]:
    """Make a database of one's own, and drop it afterwards."""
    if database == "sqlite":
        shared = Path("/dev/shm")
        where = shared if shared.is_dir() else None
        with tempfile.TemporaryDirectory(dir=where) as directory:
            yield from _place(f"sqlite:///{directory}/faults.db")
        return
    server = postgresql_url() if database == "postgresql" else mariadb_url()
    with own_database(server) as url:
        yield from _place(url)


def _place(url: str) -> Iterator[Place]:
    place = Place(url)
    try:
        yield place
    finally:
        place.dispose()
