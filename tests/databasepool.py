"""Databases that tests use one after the other, emptied in between.

Creating a PostgreSQL database takes a tenth of a second, emptying one a hundredth, and
a test that moves rows wants one of its own. What emptying does not reach (settings,
extensions and the like) is found, and such a database is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from servers import create_database, drop_database, url_of
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

__all__ = ["drop_idle", "own_database"]

_LEAVE = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = :name AND pid != pg_backend_pid()"
)
_SCHEMAS = text(
    "SELECT quote_ident(nspname) FROM pg_namespace "
    r"WHERE nspname NOT LIKE 'pg\_%' AND nspname != 'information_schema'"
)
_MORE = text(
    "SELECT (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = d.oid) "
    "+ (SELECT count(*) FROM pg_extension WHERE extname != 'plpgsql') "
    "+ (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_event_trigger) "
    "+ (SELECT count(*) FROM pg_prepared_xacts WHERE database = d.datname) "
    "+ (SELECT count(*) FROM pg_largeobject_metadata) "
    "FROM pg_database d WHERE datname = current_database()"
)


@dataclass
class _Pool:
    """The databases of one server that no test uses."""

    server: str
    idle: list[str] = field(default_factory=list)

    def take(self) -> str:
        return self.idle.pop() if self.idle else create_database(self.server)

    def give_back(self, name: str) -> None:
        if make_url(self.server).get_backend_name() == "postgresql" and self._empty(
            name
        ):
            self.idle.append(name)
        else:
            drop_database(self.server, name)

    def _empty(self, name: str) -> bool:
        """Empty a database; tell whether it is like a new one."""
        engine = create_engine(
            url_of(self.server, name), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        try:
            with engine.connect() as connection:
                connection.execute(_LEAVE, {"name": name})
                if connection.scalar(_MORE):
                    return False
                for schema in connection.scalars(_SCHEMAS).all():
                    connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
                connection.execute(text("CREATE SCHEMA public"))
                connection.execute(text("GRANT USAGE ON SCHEMA public TO PUBLIC"))
        except DBAPIError:
            return False
        return True


_POOLS: dict[str, _Pool] = {}


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """Yield the URL of an empty database that nobody else uses."""
    pool = _POOLS.setdefault(server, _Pool(server))
    name = pool.take()
    try:
        yield url_of(server, name)
    finally:
        pool.give_back(name)


def drop_idle() -> None:
    """Drop what no test uses any more."""
    for pool in _POOLS.values():
        while pool.idle:
            drop_database(pool.server, pool.idle.pop())
