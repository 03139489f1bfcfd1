"""F1: SIGKILL at every numbered step, early and late, on every database.

The process that dies is a real one: its connections break off, and the server finds
out by itself. It is forked, since importing everything anew would cost half a second
for each of the deaths; it opens its own connections, and none of its parent's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from faults.place import DATABASES
from databasepool import own_database
from servers import mariadb_url, postgresql_url
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    func,
    select,
    text,
)

from sqlalchemy_sealed import EncryptedType, Key, Keyring, Reencryption, bind_keyring
from sqlalchemy_sealed.jobs import steps, tables
from sqlalchemy_sealed.jobs.pace import Pace
from sqlalchemy_sealed.jobs.steps import Step

pytestmark = pytest.mark.thorough

ROWS, BATCH, RANGE = 23, 3, 8
OLD, NEW = Key(1, bytes([1]) * 32), Key(2, bytes([2]) * 32)
KIND = EncryptedType(String)
PEOPLE = Table(
    "people", MetaData(), Column("id", Integer, primary_key=True), Column("name", KIND)
)
#: PostgreSQL's pipeline sends these at once: there is no moment in between.
AT_ONCE = {Step.WRITTEN, Step.RECORDED}


@pytest.fixture(scope="module", params=DATABASES)
def url(request, tmp_path_factory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('faults') / 'kill.db'}"
        return
    server = postgresql_url() if request.param == "postgresql" else mariadb_url()
    with own_database(server) as found:
        yield found


@pytest.fixture(scope="module")
def engine(url) -> Iterator[Engine]:
    engine = create_engine(url)
    PEOPLE.create(engine)
    tables.create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def people(engine) -> Engine:
    """A table whose rows are all under the old key."""
    bind_keyring(engine, Keyring([OLD, NEW], active=1))
    with engine.begin() as connection:
        for table in (*reversed(tables.metadata.sorted_tables), PEOPLE):
            connection.execute(delete(table))
        rows = [{"id": n, "name": f"name {n}"} for n in range(1, ROWS + 1)]
        connection.execute(PEOPLE.insert(), rows)
    bind_keyring(engine, Keyring([OLD, NEW], active=2))
    return engine


def job(engine: Engine) -> Reencryption:
    pace = Pace(rate=None, batch_rows=BATCH)
    return Reencryption(engine, PEOPLE, range_size=RANGE, pace=pace)


def stored(engine: Engine) -> dict[int, bytes]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, name FROM people"))
        return {row.id: bytes(row.name) for row in rows}


def die_at(step: Step, occurrence: int, url: str) -> None:
    """Work in this process until the step, and be killed there."""
    left, late = [occurrence], [step is Step.SWEPT]

    def reached(now: Step) -> None:
        if now is Step.FINISHED and late[0]:
            late[0] = False
            write_late(url)
        if now is step:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    steps.reached = reached
    engine = create_engine(url)
    bind_keyring(engine, Keyring([OLD, NEW], active=2))
    job(engine).run()


def write_late(url: str) -> None:
    """Write behind the cursor under the old key, so that another pass is needed."""
    engine = create_engine(url)
    bind_keyring(engine, Keyring([OLD, NEW], active=1))
    with engine.begin() as connection:
        connection.execute(
            PEOPLE.update().where(PEOPLE.c.id == 1).values(name="name 1")
        )
    engine.dispose()


def died(step: Step, occurrence: int, url: str) -> bool:
    """Fork a process that works until the step; tell whether it has got there."""
    process = os.fork()
    if process == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            die_at(step, occurrence, url)
        finally:
            os._exit(3 if sys.exc_info()[0] else 0)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) in {-signal.SIGKILL, 0}
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def occurrences(step: Step) -> list[int]:
    once = {Step.OPENED, Step.LOOKED, Step.SWEPT, Step.ENDED}
    if step in once:
        return [1]
    return [1, 2, 3] if step in {Step.CLAIMED, Step.FINISHED} else [1, 2, 5]


CASES = [(step, n) for step in Step for n in occurrences(step)]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    ("step", "occurrence"), CASES, ids=lambda x: getattr(x, "name", x)
)
def test_a_killed_worker_leaves_nothing_to_repair(people, url, step, occurrence):
    at_once = people.dialect.name == "postgresql" and step in AT_ONCE
    assert died(step, occurrence, url) is not at_once
    before = stored(people)
    header = bytes(KIND.field().header(NEW))
    moved = {n: data for n, data in before.items() if data.startswith(header)}
    [report] = job(people).run()
    after = stored(people)
    assert all(after[n] == data for n, data in moved.items())
    assert all(data.startswith(header) for data in after.values())
    with people.connect() as connection:
        names = dict(connection.execute(select(PEOPLE)).all())
        book = tables.ranges.c
        sums = select(
            func.sum(book.moved), func.sum(book.conflicts), func.sum(book.dead)
        )
        counts = tuple(map(int, connection.execute(sums).one()))
        first = (
            book.run_id
            == select(tables.runs.c.id)
            .order_by(tables.runs.c.started_at)
            .limit(1)
            .scalar_subquery()
        )
        scanned = connection.scalar(select(func.sum(book.scanned)).where(first))
    assert names == {n: f"name {n}" for n in range(1, ROWS + 1)}
    swept = step is Step.SWEPT
    assert counts == (ROWS + swept, 0, 0)
    assert scanned == ROWS * (1 + swept)
    assert report.status == "caught-up"
