"""Which keyring an engine uses, from when on, and for how long."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session, registry
from sqlalchemy_sealed import (
    EncryptedType,
    Key,
    Keyring,
    bind_keyring,
    scope,
    set_default_keyring,
)
from sqlalchemy_sealed.comparator import SearchTerm
from sqlalchemy_sealed.engine import scrub_error
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    KeyringNotBoundError,
    NotSearchableError,
    UnknownKeyError,
)
from sqlalchemy_sealed.lint import lint_cursor_execute

metadata = MetaData()
secrets = Table(
    "secrets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", EncryptedType(String)),
    Column("tag", EncryptedType(String, suite="deterministic")),
    Column("plain", String(20)),
)
VALUE = select(secrets.c.value).where(secrets.c.id == 1)
ADD = insert(secrets).values(id=1, value="one", tag="t")


@pytest.fixture
def engine(engine):
    metadata.create_all(engine)
    return engine


@pytest.fixture
def other():
    """Return a keyring that shares no key with the fixture ``keyring``."""
    return Keyring([Key(1, b"\x01" * 32)])


@pytest.fixture
def default():
    """Set the keyring of the process, and take it away after the test."""
    yield set_default_keyring
    set_default_keyring(None)
    event.remove(Engine, "before_cursor_execute", lint_cursor_execute)
    event.remove(Engine, "handle_error", scrub_error)


def write(engine, **values):
    with engine.begin() as connection:
        connection.execute(insert(secrets), {"id": 1, "value": "one", **values})


def read(engine):
    with engine.connect() as connection:
        return connection.scalar(VALUE)


# Without a keyring


@pytest.mark.parametrize(
    "statement",
    [ADD, VALUE, select(secrets.c.id).where(secrets.c.tag == "t")],
    ids=["write", "read", "search"],
)
def test_without_a_keyring_the_error_names_both_calls(engine, new_engine, statement):
    write(engine)
    with new_engine().connect() as connection:
        with pytest.raises(KeyringNotBoundError) as error:
            connection.execute(statement).all()
    assert "secrets." in str(error.value)
    assert "bind_keyring(engine, " in str(error.value)
    assert "set_default_keyring(" in str(error.value)


def test_without_a_keyring_nothing_is_written(engine, new_engine, stored):
    with pytest.raises(KeyringNotBoundError):
        write(new_engine())
    assert stored(secrets.c.value) == []


def test_without_a_keyring_plain_columns_and_null_work(engine, new_engine):
    """Tools that never touch a sealed value need no key."""
    with new_engine().begin() as connection:
        connection.execute(insert(secrets).values(id=1, plain="x"))
        assert connection.scalar(select(secrets.c.plain)) == "x"


def test_the_error_is_no_statement_error(engine, new_engine):
    session = Session(new_engine())
    mapped = registry()

    class Secret:
        pass

    mapped.map_imperatively(Secret, secrets)
    secret = Secret()
    secret.id, secret.value = 1, "TOPSECRET"
    session.add(secret)
    with pytest.raises(KeyringNotBoundError) as error:
        session.flush()
    assert "TOPSECRET" not in str(error.value)
    session.close()
    mapped.dispose()


# bind_keyring


def test_every_statement_uses_the_keyring_of_its_engine(engine, new_engine, other):
    first, second = engine, new_engine(other)
    write(first)
    assert read(first) == "one"
    with pytest.raises(UnknownKeyError):
        read(second)
    with second.begin() as connection:
        connection.execute(update(secrets).values(value="two"))
    assert read(second) == "two"
    with pytest.raises(UnknownKeyError):
        read(first)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_clone_with_options_shares_the_keyring(engine, depth):
    clone = engine
    for n in range(depth):
        clone = clone.execution_options(**{f"sealed_test_{n}": True})
    write(clone)
    assert read(engine) == "one"
    assert read(clone) == "one"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_binding_a_clone_binds_and_protects_its_engine(new_engine, other, depth):
    engine = clone = new_engine()
    for n in range(depth):
        clone = clone.execution_options(**{f"sealed_test_{n}": True})
    bind_keyring(clone, other)
    write(engine)
    assert read(engine) == read(clone) == "one"
    for bound in (engine, clone):
        with bound.connect() as connection, pytest.raises(NotSearchableError):
            connection.execute(select(secrets.c.id).order_by(secrets.c.value))


def test_a_clone_of_another_level_shares_the_keyring(engine):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(ADD)
    assert read(engine) == "one"


def test_binding_again_takes_effect_at_once(engine, other):
    write(engine)
    assert read(engine) == "one"
    bind_keyring(engine, other)
    with pytest.raises(UnknownKeyError):
        read(engine)


def test_binding_again_takes_effect_for_cached_writes(engine, keyring, other, stored):
    write(engine)
    bind_keyring(engine, other)
    write(engine, id=2)
    kids = [raw[8:24] for raw in stored(secrets.c.value)]
    assert kids == [keyring.active.kid, other.active.kid]


def test_binding_again_takes_effect_on_an_open_connection(engine, keyring, other):
    with engine.begin() as connection:
        connection.execute(ADD)
        assert connection.scalar(VALUE) == "one"
        bind_keyring(engine, other)
        with pytest.raises(UnknownKeyError):
            connection.scalar(VALUE)
        bind_keyring(engine, keyring)
        assert connection.scalar(VALUE) == "one"


def test_a_connection_that_was_open_before_is_protected_too(new_engine, keyring):
    engine = new_engine()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        bind_keyring(engine, keyring)
        with pytest.raises(NotSearchableError):
            connection.execute(select(secrets.c.id).order_by(secrets.c.value))


def test_a_rotation_takes_effect_at_once(engine, keyring, stored):
    write(engine)
    keyring.rotate()
    write(engine, id=2)
    assert [raw[4:8] for raw in stored(secrets.c.value)] == [
        b"\0\0\0\1",
        b"\0\0\0\2",
    ]
    assert read(engine) == "one"


def test_a_rotation_reaches_every_engine_of_the_keyring(engine, new_engine, keyring):
    second = new_engine(keyring)
    write(second)
    keyring.rotate()
    write(second, id=2)
    assert read(engine) == "one"
    with engine.connect() as connection:
        values = connection.scalars(select(secrets.c.value)).all()
    assert values == ["one", "one"]


def test_disposing_the_pool_keeps_the_keyring(engine, new_engine, keyring):
    second = new_engine(keyring)
    write(second)
    second.dispose()
    assert read(second) == "one"


@pytest.mark.parametrize("count", [1, 5])
def test_binding_often_installs_one_listener(new_engine, keyring, count):
    engine = new_engine()
    for _ in range(count):
        bind_keyring(engine, keyring)
    assert len(list(engine.dispatch.before_cursor_execute)) == 1
    assert len(list(engine.dialect.dispatch.handle_error)) == 1


def test_an_engine_with_the_id_of_a_dead_one_is_protected(keyring):
    """SQLAlchemy's registry of listeners goes by id(), and outlives an engine."""
    dialects, dead = [], set()
    for _ in range(1000):
        engine = create_engine("sqlite://")
        again = id(engine) in dead
        bind_keyring(engine, keyring)
        assert scrub_error in list(engine.dialect.dispatch.handle_error)
        assert len(list(engine.dispatch.before_cursor_execute)) == 1
        if again:
            return
        dead.add(id(engine))
        dialects.append(engine.dialect)
        del engine
    pytest.fail("no id came twice: the case was not met")


@pytest.mark.parametrize(
    ("engine_like", "keyring_like"),
    [
        (None, None),
        ("sqlite://", "keyring"),
        ("engine", None),
        ("engine", b"\0" * 32),
        ("engine", Key(1, b"\1" * 32)),
        ("connection", "keyring"),
        ("session", "keyring"),
        ("class", "keyring"),
    ],
    ids=["none", "url", "no-ring", "bytes", "key", "connection", "session", "class"],
)
def test_anything_else_is_refused(engine, keyring, engine_like, keyring_like):
    with engine.connect() as connection, Session(engine) as session:
        things = {
            "engine": engine,
            "connection": connection,
            "session": session,
            "class": Engine,
            "keyring": keyring,
        }
        with pytest.raises(ConfigurationError, match="bind_keyring"):
            bind_keyring(
                things.get(engine_like, engine_like),
                things["keyring"] if keyring_like == "keyring" else keyring_like,
            )


def test_the_refusal_shows_no_key(engine):
    root = bytes(range(65, 97))
    with pytest.raises(ConfigurationError) as error:
        bind_keyring(engine, root)
    assert root.decode()[:8] not in str(error.value)


# The default of the process


def test_the_default_serves_engines_without_a_keyring(default, new_engine, keyring):
    default(keyring)
    engine = new_engine()
    write(engine)
    assert read(engine) == "one"


def test_the_default_may_come_after_the_first_use(default, new_engine, keyring):
    engine = new_engine()
    with pytest.raises(KeyringNotBoundError):
        write(engine)
    default(keyring)
    write(engine)
    assert read(engine) == "one"


def test_a_new_default_takes_effect_at_once(default, new_engine, keyring, other):
    default(keyring)
    engine = new_engine()
    write(engine)
    default(other)
    with pytest.raises(UnknownKeyError):
        read(engine)
    default(keyring)
    assert read(engine) == "one"


def test_a_rotation_of_the_default_takes_effect(default, new_engine, keyring, stored):
    engine = new_engine()
    default(keyring)
    write(engine)
    keyring.rotate()
    write(engine, id=2)
    assert [raw[7] for raw in stored(secrets.c.value)] == [1, 2]


def test_taking_the_default_away_takes_effect_at_once(default, new_engine, keyring):
    default(keyring)
    engine = new_engine()
    write(engine)
    assert read(engine) == "one"
    default(None)
    with pytest.raises(KeyringNotBoundError):
        read(engine)
    with pytest.raises(KeyringNotBoundError):
        write(engine, id=2)


def test_an_engine_of_its_own_does_not_follow_the_default(
    default, engine, keyring, other
):
    write(engine)
    default(other)
    assert read(engine) == "one"
    default(None)
    assert read(engine) == "one"


def test_the_default_brings_the_lint_and_the_scrubber(default, new_engine, keyring):
    engine = new_engine()
    default(keyring)
    with engine.connect() as connection:
        with pytest.raises(NotSearchableError):
            connection.execute(select(secrets.c.id).order_by(secrets.c.value))
        with pytest.raises(StatementError) as error:
            connection.execute(insert(secrets), [{"value": "TOPSECRET"}, {"id": 1}])
    assert "TOPSECRET" not in str(error.value)


def test_a_search_follows_the_default(default, new_engine, keyring):
    engine = new_engine()
    default(keyring)
    write(engine, tag="t")
    keyring.rotate()
    write(engine, id=2, tag="t")
    with engine.connect() as connection:
        query = select(secrets.c.id).where(secrets.c.tag == "t")
        assert set(connection.scalars(query)) == {1, 2}


@pytest.mark.parametrize("thing", ["keyring", b"\0" * 32, Key(1, b"\2" * 32)], ids=type)
def test_the_default_is_a_keyring(thing):
    with pytest.raises(ConfigurationError, match="set_default_keyring"):
        set_default_keyring(thing)


# Lifetime


def test_a_collected_engine_leaves_nothing_behind(tmp_path, keyring):
    engine = create_engine(f"sqlite:///{tmp_path}/gone.db")
    bind_keyring(engine, keyring)
    metadata.create_all(engine)
    write(engine)
    assert read(engine) == "one"
    known = len(scope._bindings)
    left = [weakref.ref(engine), weakref.ref(engine.dialect)]
    left.append(weakref.ref(scope.binding_of(engine.dialect)))
    engine.dispose()
    del engine
    gc.collect()  # the engine, and with it the key of the binding
    gc.collect()  # the binding and its ciphers, which know each other
    assert [reference() for reference in left] == [None] * 3
    assert len(scope._bindings) < known


def test_a_keyring_outlives_its_engines_and_dies_alone(tmp_path):
    keyring = Keyring.generate()
    engine = create_engine(f"sqlite:///{tmp_path}/gone.db")
    bind_keyring(engine, keyring)
    reference = weakref.ref(keyring)
    del keyring
    gc.collect()
    assert reference() is not None
    engine.dispose()
    del engine
    gc.collect()
    assert reference() is None


def test_a_new_engine_at_an_old_address_is_protected(tmp_path, keyring):
    """Listeners are registered by id(), which the next object may have again."""
    for n in range(50):
        engine = create_engine(f"sqlite:///{tmp_path}/{n % 2}.db")
        bind_keyring(engine, keyring)
        assert event.contains(engine, "before_cursor_execute", lint_cursor_execute)
        assert len(list(engine.dispatch.before_cursor_execute)) == 1
        engine.dispose()
        del engine
        gc.collect(0)


# Threads


@pytest.mark.parametrize("sealed_before", [0, 1, 2])
def test_a_rotation_in_the_middle_of_a_search_hides_nothing(
    engine, keyring, monkeypatch, sealed_before
):
    """The versions are counted first, and the terms are sealed after that."""
    for n in (1, 2, 3, 4):
        if n > 1:
            keyring.rotate()
        write(engine, id=n, value=str(n), tag="same")
    # Other keyrings of the process may have more versions than this one.
    versions = "sqlalchemy_sealed.comparator.most_readable_versions"
    monkeypatch.setattr(versions, lambda: len(keyring.readable))
    original, sealed = SearchTerm.choose, []

    def choose(self, readable):
        if len(sealed) == sealed_before:
            keyring.rotate()
        sealed.append(self)
        return original(self, readable)

    monkeypatch.setattr(SearchTerm, "choose", choose)
    with engine.connect() as connection:
        query = select(secrets.c.value).where(secrets.c.tag == "same")
        assert sorted(connection.scalars(query)) == ["1", "2", "3", "4"]
    assert len(sealed) == 4


def test_threads_share_an_engine_while_keys_rotate(engine, keyring):
    rows, workers = 10, 4

    def work(worker):
        for row in range(rows):
            key = 1 + worker * rows + row
            value = f"value {key}"
            write(engine, id=key, value=value, tag=value)
            with engine.connect() as connection:
                query = select(secrets.c.value).where(secrets.c.tag == value)
                assert connection.scalars(query).all() == [value]
        return worker

    stop = threading.Event()

    def rotate():
        while not stop.wait(0.02):
            keyring.rotate()

    rotator = threading.Thread(target=rotate)
    rotator.start()
    try:
        with ThreadPoolExecutor(workers) as pool:
            assert list(pool.map(work, range(workers))) == list(range(workers))
    finally:
        stop.set()
        rotator.join()
    with engine.connect() as connection:
        query = select(secrets.c.id, secrets.c.value)
        found = connection.execute(query).all()
    assert len(found) == rows * workers
    assert all(value == f"value {key}" for key, value in found)


def test_threads_with_engines_of_their_own_keep_apart(tmp_path):
    def work(n):
        engine = create_engine(f"sqlite:///{tmp_path}/{n}.db")
        bind_keyring(engine, Keyring([Key(1, bytes([n + 1]) * 32)]))
        metadata.create_all(engine)
        for row in range(1, 20):
            write(engine, id=row, value=f"{n}")
        with engine.connect() as connection:
            values = set(connection.scalars(select(secrets.c.value)))
        engine.dispose()
        return values

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [{"0"}, {"1"}, {"2"}, {"3"}]
