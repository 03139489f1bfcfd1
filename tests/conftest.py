"""Fixtures for every test: keys, engines of three databases, sessions.

``engine`` runs a test once per database; ``-k sqlite`` picks one. SQLite is a file of
the test itself. PostgreSQL and MariaDB have one database and one engine for the whole
process, because connecting costs more than most tests; tables last for one test only.
A module whose tests need tables overrides the fixture::

    @pytest.fixture
    def engine(engine):
        Base.metadata.create_all(engine)
        return engine
"""

from __future__ import annotations

from typing import Any

import pytest
from databasepool import drop_idle, own_database
from servers import fresh_database, mariadb_url, postgresql_url
from sqlalchemy import column, create_engine, event, inspect, select, table, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy_sealed import Key, Keyring, bind_keyring
from sqlalchemy_sealed.scope import binding_of

BACKENDS = ("sqlite", "postgresql", "mariadb")
ASYNC_DRIVERS = {"aiosqlite": "sqlite", "asyncpg": "postgresql"}


@pytest.fixture
def keyring():
    """Return a keyring of one version whose root key every run shares."""
    return Keyring([Key(1, bytes(range(32)))])


# Databases


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(scope="session")
def postgresql_database():
    with fresh_database(postgresql_url()) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_database():
    with fresh_database(mariadb_url()) as url:
        yield url


@pytest.fixture
def sqlite_engine(sqlite_url):
    engine = create_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgresql_engine(postgresql_database):
    engine = create_engine(postgresql_database)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def mariadb_engine(mariadb_database):
    engine = create_engine(mariadb_database)
    yield engine
    engine.dispose()


@pytest.fixture(params=BACKENDS)
def database_url(request, tmp_path):
    """Give the test a database of its own: jobs create tables and leave runs."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'own.db'}"
        return
    server = postgresql_url() if request.param == "postgresql" else mariadb_url()
    with own_database(server) as url:
        yield url


@pytest.fixture
def postgresql():
    """Give the test a PostgreSQL database of its own."""
    with own_database(postgresql_url()) as url:
        yield url


@pytest.fixture
def mariadb():
    """Give the test a MariaDB database of its own."""
    with own_database(mariadb_url()) as url:
        yield url


def pytest_sessionfinish():
    drop_idle()


# Engines and sessions


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Name the database that the test runs on."""
    return request.param


@pytest.fixture
def engine(backend, request, keyring):
    """Return an engine with a keyring, on a database without tables."""
    engine = request.getfixturevalue(f"{backend}_engine")
    bind_keyring(engine, keyring)
    yield engine
    engine.clear_compiled_cache()
    binding_of(engine.dialect).plaintext.closed.clear()
    _wipe(engine)


@pytest.fixture
def session(engine):
    with Session(engine) as session:
        yield session


@pytest.fixture
def new_engine(engine):
    """Return a function that makes one more engine for the same database."""
    made = []

    def new_engine(keyring=None, **options):
        made.append(create_engine(engine.url, **options))
        if keyring is not None:
            bind_keyring(made[-1], keyring)
        return made[-1]

    yield new_engine
    for one in made:
        one.dispose()


@pytest.fixture(params=ASYNC_DRIVERS)
async def async_engine(request, keyring):
    """Return an asynchronous engine with a keyring, on a database without tables."""
    name = ASYNC_DRIVERS[request.param]
    same = request.getfixturevalue(f"{name}_engine")
    url = same.url.set(drivername=f"{name}+{request.param}")
    engine = create_async_engine(url)
    bind_keyring(engine, keyring)
    yield engine
    await engine.dispose()
    _wipe(same)


@pytest.fixture
def stored(engine):
    """Return a function that reads a column as the driver gives it, in order of id."""

    def stored(attribute: Any) -> list[Any]:
        mapped = getattr(attribute, "property", None)
        found = attribute if mapped is None else mapped.columns[0]
        query = select(column(found.name)).select_from(table(found.table.name))
        with engine.connect() as connection:
            return list(connection.scalars(query.order_by(column("id"))))

    return stored


def _wipe(engine):
    # A test that forgot a transaction must fail here, not hang.
    with engine.begin() as connection:
        if engine.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        elif engine.name == "mysql":
            connection.execute(
                text("SET lock_wait_timeout = 5, foreign_key_checks = 0")
            )
            for name in inspect(connection).get_table_names():
                connection.execute(text(f"DROP TABLE `{name}`"))
            connection.execute(text("SET foreign_key_checks = 1"))


@pytest.fixture
def statements(engine):
    """Collect the SQL text of what is sent to the database."""
    sent = []

    def listen(_connection, _cursor, statement, *_rest):
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", listen)
    yield sent
    event.remove(engine, "before_cursor_execute", listen)
