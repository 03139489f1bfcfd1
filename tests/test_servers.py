"""The test databases themselves: isolation, their end, and when to fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import servers
from servers import fresh_database, mariadb_url, postgresql_url
from sqlalchemy import NullPool, create_engine, inspect, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

NOBODY_LISTENS = {
    "SEALED_TEST_PG_URL": "postgresql+psycopg://u:hush@127.0.0.1:1/db",
    "SEALED_TEST_MARIADB_URL": "mysql+pymysql://u:hush@127.0.0.1:1/db",
}
STARTS_A_SERVER_AND_WAITS = """
import servers, sys
print(servers.embedded_postgresql(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[postgresql_url, mariadb_url], ids=["postgresql", "mariadb"])
def server(request):
    return request.param()


@pytest.fixture
def no_server(monkeypatch):
    """Stand for a machine that has neither a server nor a way to start one."""
    monkeypatch.delenv("SEALED_TEST_PG_URL", raising=False)
    return servers.Server(
        "PostgreSQL", "SEALED_TEST_PG_URL", servers.PG_DRIVER, (a_closed_way,)
    )


def a_closed_way():
    raise servers.Unavailable("the way is closed")


def execute(url, statement):
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(statement))


def tables(url):
    return inspect(create_engine(url, poolclass=NullPool)).get_table_names()


def exists(url):
    try:
        execute(url, "SELECT 1")
    except OperationalError:
        return False
    return True


def test_two_databases_of_one_server_do_not_see_each_other(server):
    with fresh_database(server) as one, fresh_database(server) as other:
        execute(one, "CREATE TABLE t (id INTEGER)")
        assert (tables(one), tables(other)) == (["t"], [])


def test_a_database_is_dropped_afterwards(server):
    with fresh_database(server) as url:
        assert exists(url)
    assert not exists(url)


def test_a_database_is_dropped_after_a_failure(server):
    with pytest.raises(ZeroDivisionError), fresh_database(server) as url:
        1 / 0
    assert not exists(url)


def test_a_forgotten_transaction_does_not_keep_the_database(server):
    with fresh_database(server) as url:
        execute(url, "CREATE TABLE t (id INTEGER)")
        forgotten = create_engine(url).connect()
        forgotten.execute(text("INSERT INTO t VALUES (1)"))
    assert not exists(url)
    forgotten.invalidate()


async def test_the_url_serves_an_async_driver_too(postgresql):
    url = make_url(postgresql).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


def test_a_url_fits_into_an_ini_file(postgresql):
    """A percent sign would be interpolated there; Alembic reads its URL from one."""
    assert "%" not in postgresql


@pytest.mark.parametrize("kind", [servers.POSTGRESQL, servers.MARIADB])
def test_a_named_server_that_does_not_answer_is_an_error(kind, monkeypatch):
    monkeypatch.setenv(kind.variable, NOBODY_LISTENS[kind.variable])
    with pytest.raises(pytest.fail.Exception, match="does not answer") as error:
        kind.url()
    assert "hush" not in str(error.value)


def test_a_named_server_of_another_kind_is_an_error(monkeypatch):
    monkeypatch.setenv("SEALED_TEST_PG_URL", "sqlite:///app.db")
    with pytest.raises(pytest.fail.Exception, match=r"must be a postgresql\+psycopg"):
        postgresql_url()


def test_without_a_server_the_skip_says_what_was_tried(no_server, monkeypatch):
    monkeypatch.delenv(servers.REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="the way is closed"):
        no_server.url()


def test_where_servers_are_required_a_skip_is_a_failure(no_server, monkeypatch):
    monkeypatch.setenv(servers.REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="the way is closed"):
        no_server.url()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_the_embedded_server_ends_with_its_process(end):
    """No handler runs on SIGKILL; a run that was killed leaves nothing behind."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_SERVER_AND_WAITS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(servers.__file__).parent,
        text=True,
    ) as process:
        home = Path(make_url(process.stdout.readline().strip()).query["host"])
        assert home.is_dir()
        os.kill(process.pid, end)
    assert gone(home)


def gone(path):
    deadline = time.monotonic() + 10
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not path.exists()
