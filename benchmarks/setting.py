"""What one run of the benchmarks shares: options, keyring, databases of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measure import Spread
from sqlalchemy import URL, Engine, create_engine, make_url, text

from sqlalchemy_sealed import Keyring, bind_keyring

__all__ = ["Setting", "sealed_engine", "server_database", "sqlite_database"]

_LOADED = 100_000


@dataclass
class Setting:
    """The options of the command line, and what parts leave for one another."""

    url: str
    rows: int
    repeat: int
    sqlite: bool
    #: Where MariaDB is; empty is nowhere.
    mariadb_url: str = ""
    #: Microseconds per value beyond plaintext, for the part ``raw``.
    beyond_plaintext: dict[str, Spread] = field(default_factory=dict)

    @property
    def loaded(self) -> int:
        """Rows that are loaded through the ORM and Core."""
        return min(self.rows, _LOADED)

    @contextmanager
    def databases(self) -> Iterator[dict[str, URL]]:
        """Yield the databases to measure on, by name; they are gone afterwards."""
        with server_database(self.url) as server:
            if not self.sqlite:
                yield {"PostgreSQL": server}
                return
            with sqlite_database() as file:
                yield {"PostgreSQL": server, "SQLite": file}


@contextmanager
def server_database(url: str) -> Iterator[URL]:
    """Create a database on the server, and drop it at the end."""
    server = make_url(url)
    name = f"sealed_benchmarks_{os.getpid()}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    force = " WITH (FORCE)" if server.get_backend_name() == "postgresql" else ""
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}{force}"))
        admin.dispose()


@contextmanager
def sqlite_database() -> Iterator[URL]:
    """Make a place for an SQLite file, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="sealed_benchmarks_") as folder:
        yield URL.create("sqlite", database=str(Path(folder) / "benchmark.db"))


def sealed_engine(url: URL, keyring: Keyring | None = None) -> Engine:
    """Return an engine with a keyring."""
    engine = create_engine(url)
    bind_keyring(engine, keyring or Keyring.generate())
    return engine
