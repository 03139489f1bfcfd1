"""SEEDS C2: plaintext is sealed once there is a key, when the application starts."""

from __future__ import annotations

import multiprocessing
import os
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    EncryptedType,
    Key,
    Keyring,
    Pace,
    auto_migrate,
    bind_keyring,
    close_plaintext,
    encrypted,
)
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    NotSealedError,
    PlaintextWarning,
    TooManyDeadLettersError,
)

KEYRING = Keyring([Key(1, bytes(range(32)))])
ROWS = 300


class Base(DeclarativeBase):
    pass


class Secret(Base):
    __tablename__ = "secrets"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str | None] = mapped_column(
        EncryptedType(sa.String, storage="text", optional=True)
    )
    blob = encrypted(sa.String, plaintext="read")


class Strict(DeclarativeBase):
    pass


class Sealed(Strict):
    __tablename__ = "sealed"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str | None] = mapped_column(EncryptedType(sa.String))


@pytest.fixture
def url(database_url):
    engine = create_engine(database_url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO secrets (id, value, blob_encrypted) VALUES (:n, :v, :b)"),
            [
                {
                    "n": n,
                    "v": f"secret {n}",
                    "b": None if n % 3 else b"Gr\xc3\xbc\xc3\x9fe",
                }
                for n in range(1, ROWS + 1)
            ],
        )
    engine.dispose()
    return database_url


def connect(url, keyring=KEYRING):
    engine = create_engine(url)
    if keyring is not None:
        bind_keyring(engine, keyring)
    return engine


def stored(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT value, blob_encrypted FROM secrets ORDER BY id")
        ).all()
    engine.dispose()
    return [(v, None if b is None else bytes(b)) for v, b in found]


def is_sealed(url):
    return all(
        v.startswith("sld:") and (b is None or b[:1] == b"\xf5") for v, b in stored(url)
    )


def check_values(engine):
    with Session(engine) as session:
        for one in session.query(Secret):
            assert one.value == f"secret {one.id}"
            assert one.blob == (None if one.id % 3 else "Grüße")


def test_with_a_key_everything_is_sealed_at_once(url):
    engine = connect(url)
    done = auto_migrate(engine, Base, pace=Pace.full_speed())
    assert [report.counts.moved for report in done.reports] == [ROWS]
    assert is_sealed(url)
    check_values(engine)
    again = auto_migrate(engine, Base)
    assert again.reports == []
    engine.dispose()


def test_a_rotation_is_no_reason_to_move_rows_at_the_next_start(url):
    keyring = Keyring.generate()
    engine = connect(url, keyring)
    auto_migrate(engine, Base, pace=Pace.full_speed())
    before = stored(url)
    keyring.rotate()
    assert auto_migrate(engine, Base).reports == []
    assert stored(url) == before
    engine.dispose()


def test_without_a_key_nothing_is_moved_and_a_warning_says_so(url):
    engine = connect(url, None)
    before = stored(url)
    with pytest.warns(PlaintextWarning, match="secrets.value, secrets.blob_encrypted"):
        done = auto_migrate(engine, Base)
    assert done.reports == []
    assert stored(url) == before
    engine.dispose()


def test_in_the_background_beside_the_application(url):
    engine = connect(url)
    migration = auto_migrate(engine, Base, background=True, pace=Pace.full_speed())
    with Session(engine) as session, session.begin():
        session.get(Secret, 5).blob = "written meanwhile"
    assert migration.wait(60)
    assert migration.error is None
    assert is_sealed(url)
    with Session(engine) as session:
        assert session.get(Secret, 5).blob == "written meanwhile"
    engine.dispose()


def test_what_is_stopped_goes_on_at_the_next_start(url):
    engine = connect(url)
    slow = Pace(rate=None, batch_rows=10)
    migration = auto_migrate(engine, Base, background=True, pace=slow)
    migration.stop()
    assert migration.wait(60)
    check_values(engine)
    auto_migrate(engine, Base, pace=Pace.full_speed())
    assert is_sealed(url)
    engine.dispose()


def start(url, barrier, found, fence):
    engine = connect(url)
    barrier.wait()
    auto_migrate(engine, Base, pace=Pace.full_speed(), fence=fence)
    found.put(os.getpid())
    engine.dispose()
    sys.exit(0)


@pytest.mark.parametrize("fence", [False, True])
def test_many_processes_that_start_together(url, fence):
    context = multiprocessing.get_context("fork")
    barrier, found = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=start, args=(url, barrier, found, fence))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert is_sealed(url)
    engine = connect(url)
    check_values(engine)
    engine.dispose()


def test_the_policy_closes_when_the_census_says_zero(url):
    engine = connect(url)
    states = {one.column: one for one in close_plaintext(engine, Base)}
    assert not states["value"].is_closed
    assert "rows are outside" in states["value"].reason
    auto_migrate(engine, Base, fence=True, pace=Pace.full_speed())
    check_values(engine)
    plain = "UPDATE secrets SET value = 'plaintext' WHERE id = 1"
    with pytest.raises(Exception, match="(?i)sealed_fence|fence"):
        with engine.begin() as connection:
            connection.execute(text(plain))
    # Even if somebody takes the fence away, it is read as plaintext no more.
    from sqlalchemy_sealed.jobs.fence import drop_fence, fences_of
    from sqlalchemy_sealed.targets import sealed_tables

    other = connect(url)
    assert all(one.is_closed for one in close_plaintext(other, Base, fence=False))
    [sealed] = sealed_tables(Base)
    for fence in fences_of(engine):
        drop_fence(engine, sealed, fence)
    with engine.begin() as connection:
        connection.execute(text(plain))
    for one in (engine, other):
        with Session(one) as session, pytest.raises(NotSealedError, match="its end"):
            session.get(Secret, 1)
        one.dispose()


def test_values_that_cannot_be_moved(url):
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE secrets SET value = 'sld:no envelope'"))
    migration = auto_migrate(engine, Base, background=True)
    assert migration.wait(60)
    # Fewer than a run allows: they are listed, and left.
    assert migration.error is None
    assert migration.reports[0].counts.dead == ROWS
    assert stored(url)[0][0] == "sld:no envelope"
    engine.dispose()


def test_nothing_declared(url):
    engine = connect(url)
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        auto_migrate(engine, Strict)
    engine.dispose()


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
async def test_an_asynchronous_engine(url):
    driver = "sqlite+aiosqlite" if url.startswith("sqlite") else "postgresql+asyncpg"
    engine = create_async_engine(sa.make_url(url).set(drivername=driver))
    bind_keyring(engine, KEYRING)
    migration = auto_migrate(engine, Base, background=True, pace=Pace.full_speed())
    assert migration.wait(60)
    assert migration.error is None
    assert is_sealed(url)
    await engine.dispose()
