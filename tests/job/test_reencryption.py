"""What a run does to rows: moves them, and never loses or invents one."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

import traceback

import pytest
from job.application import Base, Person, Wide
from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    create_engine,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from sqlalchemy_sealed import (
    ConfigurationError,
    EncryptedType,
    Key,
    Keyring,
    Reencryption,
    bind_keyring,
)
from sqlalchemy_sealed.errors import (
    LeaseLostError,
    RunConflictError,
    RunEndedError,
    TooManyDeadLettersError,
    VerificationError,
)
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.deadletters import DeadLetters
from sqlalchemy_sealed.jobs.plan import PlannedRange
from sqlalchemy_sealed.jobs.identity import Kind, RunIdentity
from sqlalchemy_sealed.jobs.ranges import Ranges
from sqlalchemy_sealed.jobs.run import Run
from sqlalchemy_sealed.jobs.rangesql import RangeSql
from sqlalchemy_sealed.jobs.steps import Step
from sqlalchemy_sealed.jobs.tables import create_tables
from sqlalchemy_sealed.jobs.verification import verify
from sqlalchemy_sealed.jobs.control import open_runs
from sqlalchemy_sealed.status import status
from sqlalchemy_sealed.targets import sealed_tables


@pytest.fixture
def people(engine):
    """A hundred people, one of them without a name."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": n, "name": f"name {n}"} for n in range(1, 100)]
        connection.execute(insert(Person), [*rows, {"id": 100, "name": None}])
    return engine


def names(engine) -> dict[int, str | None]:
    with Session(engine) as session:
        return dict(session.execute(select(Person.id, Person.name)).all())


def raw(engine) -> dict[int, bytes | None]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, name FROM people"))
        return {n: None if b is None else bytes(b) for n, b in rows}


def small(engine, target=Person, **options) -> Reencryption:
    return Reencryption(engine, target, batch_size=10, range_size=30, **options)


def test_every_row_moves_to_the_active_key_and_reads_as_before(people, keyring):
    before = names(people)
    active = keyring.rotate()
    [report] = small(people).run()
    assert (report.counts.moved, report.counts.nulls) == (99, 1)
    assert report.status == "caught-up"
    kids = {data[8:24] for data in raw(people).values() if data}
    assert kids == {active.kid}
    assert names(people) == before


def test_a_second_run_moves_nothing(people, keyring):
    keyring.rotate()
    small(people).run()
    stored = raw(people)
    [report] = small(people).run()
    assert (report.counts.moved, report.counts.current) == (0, 100)
    assert raw(people) == stored


def test_an_empty_table_is_caught_up(engine):
    Base.metadata.create_all(engine)
    reports = Reencryption(engine, Base).run()
    assert [(r.table, r.counts.scanned) for r in reports] == [
        ("people", 0),
        ("wide", 0),
    ]


def test_several_columns_of_every_kind_move_in_one_pass(engine, keyring):
    Base.metadata.create_all(engine)
    rows = [
        {
            "group": f"g{n % 3}",
            "number": n,
            "plain": "p",
            "note": None if n % 5 == 0 else f"note {n}",
            "code": f"code {n % 4}",
            "data": {"n": n},
        }
        for n in range(1, 61)
    ]
    with engine.begin() as connection:
        connection.execute(insert(Wide), rows)
    keyring.rotate()
    [report] = small(engine, Wide).run()
    assert (report.counts.moved, report.counts.nulls) == (60, 12)
    columns = {c.column: (c.on_active, c.values) for c in status(engine, Wide, keyring)}
    assert columns == {"note": (48, 48), "code": (60, 60), "data": (60, 60)}
    with Session(engine) as session:
        found = session.scalars(select(Wide).where(Wide.code == "code 1")).all()
    assert len(found) == 15
    assert {w.data["n"] for w in found} == {
        r["number"] for r in rows if r["code"] == "code 1"
    }


def test_a_write_between_read_and_swap_wins(people, keyring, monkeypatch):
    """P1: no acknowledged write of the application is lost."""
    keyring.rotate()
    victims = iter(range(4, 100, 10))
    fresh: list[int] = []

    def reached(step):
        # The application commits a new value after a batch was read and sealed.
        if step is Step.SEALED and (victim := next(victims, None)) is not None:
            with people.begin() as application:
                application.execute(
                    update(Person).where(Person.id == victim).values(name="fresh")
                )
            fresh.append(victim)

    monkeypatch.setattr(steps, "reached", reached)
    [report] = small(people).run()
    assert len(fresh) == 10
    # SQLite seals inside of the transaction: there is no moment in between.
    assert (report.counts.conflicts > 0) is (people.name != "sqlite")
    stored = names(people)
    assert all(stored[n] == "fresh" for n in fresh)
    assert all(stored[n] == f"name {n}" for n in range(1, 100) if n not in fresh)


def test_rows_written_with_an_old_keyring_are_found_by_a_sweep(
    people, keyring, monkeypatch
):
    """A process that has not heard of the rotation writes behind the cursor."""
    stale = Keyring([keyring.active])
    keyring.rotate()
    late = Person.__table__
    original = Ranges.finish
    written = []

    def finish(self, lease):
        original(self, lease)
        if not written:
            written.append(1)
            sealed = sealed_under(stale, "late")
            with people.begin() as connection:
                connection.execute(
                    text("UPDATE people SET name = :v WHERE id = 1"), {"v": sealed}
                )

    monkeypatch.setattr(Ranges, "finish", finish)
    [report] = small(people).run()
    assert report.status == "caught-up"
    assert report.counts.moved == 100
    assert names(people)[1] == "late"
    assert raw(people)[1][8:24] == keyring.active.kid
    assert late is Person.__table__


def sealed_under(keyring: Keyring, value: str) -> bytes:
    from sqlalchemy_sealed.cipher import FieldCipher
    from sqlalchemy_sealed.scope import Binding

    sealed = FieldCipher(Person.__table__.c.name.type.field(), Binding(keyring)).seal(
        value
    )
    assert isinstance(sealed, bytes)
    return sealed


def test_an_undecryptable_value_is_listed_and_left_byte_for_byte(people, keyring):
    """P4: never modified, never dropped."""
    stored = raw(people)
    damaged = stored[5][:-1] + bytes([stored[5][-1] ^ 1])
    with people.begin() as connection:
        for row, value in ((5, damaged), (6, stored[7][:40]), (8, b"plaintext")):
            connection.execute(
                text("UPDATE people SET name = :v WHERE id = :n"),
                {"v": value, "n": row},
            )
    keyring.rotate()
    [report] = small(people).run()
    assert (report.counts.moved, report.counts.dead) == (96, 3)
    now = raw(people)
    assert (now[5], now[6], now[8]) == (damaged, stored[7][:40], b"plaintext")
    with people.connect() as connection:
        letters = connection.execute(
            text(
                "SELECT row_key, error, kid, key_version FROM sealed_dead_letters "
                "ORDER BY row_key"
            )
        ).all()
    kid = keyring.keys[0].kid.hex()
    assert [tuple(letter) for letter in letters] == [
        ('[["i",5]]', "AuthenticationError", kid, 1),
        ('[["i",6]]', "MalformedEnvelopeError", kid, 1),
        ('[["i",8]]', "NotSealedError", None, None),
    ]


def test_a_missing_key_stops_the_run_and_changes_nothing(people, keyring):
    stored = raw(people)
    wrong = Keyring([Key.generate(2)])
    with pytest.raises(TooManyDeadLettersError, match="none of them was changed"):
        small(people, keyring=wrong, max_dead_letters=15).run()
    assert raw(people) == stored
    [run] = open_runs(people)
    assert (run.status, run.last_error) == ("stopped", "TooManyDeadLettersError")


def test_a_stopped_run_goes_on_when_the_key_is_back(people, keyring, monkeypatch):
    keyring.rotate()

    def fail(progress):
        if progress.counts.batches == 4:
            raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError):
        small(people, on_progress=fail).run()
    before = raw(people)
    moved = {n for n, b in before.items() if b and b[8:24] == keyring.active.kid}
    assert 40 <= len(moved) <= 60
    [report] = small(people).run()
    assert report.resumed
    assert (report.counts.scanned, report.counts.moved) == (100, 99)
    assert all(raw(people)[n] == before[n] for n in moved)


def test_a_run_with_an_outdated_target_is_superseded(people, keyring):
    keyring.rotate()

    def fail(progress):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        small(people, on_progress=fail).run()
    keyring.rotate()
    [report] = small(people).run()
    assert not report.resumed
    with people.connect() as connection:
        states = connection.scalars(text("SELECT status FROM sealed_runs")).all()
    assert sorted(states) == ["caught-up", "superseded"]
    assert {b[8:24] for b in raw(people).values() if b} == {keyring.active.kid}


def test_the_same_command_joins_a_run_that_is_at_work(people, keyring):
    """Two workers of one run: each range is moved by one of them."""
    keyring.rotate()
    [first] = small(people).movers()
    assert not first.open()
    lease = first.run.ranges.claim(0, first.worker.owner)
    [second] = small(people).movers()
    assert second.open()
    assert second.run.id == first.run.id
    other = second.run.ranges.claim(0, second.worker.owner)
    assert other.range_id != lease.range_id
    assert second.worker.move(other)
    second.run.ranges.finish(other)
    assert first.worker.move(lease)
    first.run.ranges.finish(lease)
    row = first.work()
    assert row.status.value == "caught-up"
    counts, _, _ = first.run.counts(0)
    assert (counts.scanned, counts.moved) == (100, 99)


def test_a_worker_that_lost_its_lease_writes_nothing(people, keyring):
    """P6: a zombie is fenced off by its token."""
    keyring.rotate()
    [mover] = small(people).movers()
    mover.open()
    lease = mover.run.ranges.claim(0, mover.worker.owner)
    with people.begin() as connection:
        connection.execute(
            text("UPDATE sealed_ranges SET lease_token = lease_token + 1")
        )
    stored = raw(people)
    with pytest.raises(LeaseLostError, match="nothing was written"):
        mover.worker.move(lease)
    assert raw(people) == stored


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_trigger_that_changes_the_column_is_noticed(people, keyring):
    """What is read back is compared with what was written."""
    keyring.rotate()
    stored = raw(people)
    with people.begin() as connection:
        if people.dialect.name == "sqlite":
            connection.execute(
                text(
                    "CREATE TRIGGER t AFTER UPDATE ON people BEGIN "
                    "UPDATE people SET name = x'00' WHERE id = new.id; END"
                )
            )
        else:
            connection.execute(
                text(
                    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN new.name := '\\x00'; RETURN new; END $$"
                )
            )
            connection.execute(
                text(
                    "CREATE TRIGGER t BEFORE UPDATE ON people "
                    "FOR EACH ROW EXECUTE FUNCTION f()"
                )
            )
    with pytest.raises(VerificationError, match="rolled back"):
        small(people).run()
    assert raw(people) == stored


def test_rows_inserted_and_deleted_meanwhile_are_no_error(people, keyring):
    keyring.rotate()
    done = []

    def meddle(progress):
        if not done:
            done.append(1)
            with people.begin() as connection:
                connection.execute(text("DELETE FROM people WHERE id IN (50, 90)"))
                connection.execute(insert(Person), [{"id": 200, "name": "new"}])

    [report] = small(people, on_progress=meddle).run()
    assert report.status == "caught-up"
    assert names(people)[200] == "new"
    assert len(names(people)) == 99


def test_verify_counts_what_opens_and_names_what_does_not(people):
    with people.begin() as connection:
        connection.execute(
            text("UPDATE people SET name = :v WHERE id = 3"), {"v": b"x"}
        )
    [result] = verify(people, Person)
    assert (result.readable, result.nulls, result.failed) == (98, 1, 1)
    assert [(e.row_key, e.error) for e in result.examples] == [
        ('[["i",3]]', "NotSealedError")
    ]


def test_status_counts_keys_plaintext_and_unknown_keys(people, keyring):
    stranger = sealed_under(Keyring([Key.generate(9)]), "x")
    with people.begin() as connection:
        for row, value in ((1, b"plain"), (2, stranger)):
            connection.execute(
                text("UPDATE people SET name = :v WHERE id = :n"),
                {"v": value, "n": row},
            )
    keyring.rotate()
    with Session(people) as session, session.begin():
        session.add(Person(id=300, name="new"))
    [column] = status(people, Person, keyring)
    assert (column.nulls, column.not_sealed) == (1, 1)
    assert [(k.version, k.state, k.values) for k in column.keys] == [
        (9, "unknown key", 1),
        (2, "active", 1),
        (1, "deactivated", 97),
    ]
    [without_keys] = status(people, Person)
    assert {key.state for key in without_keys.keys} == {"not looked up"}


def test_an_asynchronous_engine_is_refused_with_advice():
    engine = create_async_engine("sqlite+aiosqlite://")
    for given in (engine, engine.sync_engine):
        with pytest.raises(ConfigurationError, match="synchronous engine"):
            Reencryption(given, Person)


@pytest.mark.parametrize("option", ["batch_size", "range_size"])
def test_sizes_are_positive(engine, option):
    with pytest.raises(ConfigurationError, match="1 or more"):
        Reencryption(engine, Person, **{option: 0})


def test_an_error_of_the_database_shows_no_value(engine, keyring, monkeypatch):
    """A row with a value that is not sealed is compared by all of its values."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        values = {"group": "g", "number": 1, "note": "n", "code": "c"}
        connection.execute(insert(Wide), values)
        connection.execute(text("UPDATE wide SET note = :v"), {"v": b"TOPSECRET"})
    keyring.rotate()

    def reached(step):
        if step is Step.BEGUN:
            with engine.begin() as connection:
                connection.execute(text("DROP TABLE wide"))

    if engine.name != "sqlite":  # which has one writer, and it has begun
        monkeypatch.setattr(steps, "reached", reached)
    else:
        original = RangeSql.bounds
        wrong = lambda self, *given: ("no_such_column = 1", original(self, *given)[1])
        monkeypatch.setattr(RangeSql, "bounds", wrong)
    with pytest.raises(DBAPIError) as caught:
        small(engine, Wide).run()
    shown = (
        f"{caught.value!r} {caught.value} {caught.value.params} {vars(caught.value)}"
    )
    assert "TOPSECRET" not in shown
    assert "TOPSECRET" not in "".join(traceback.format_exception(caught.value))


POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@POSTGRESQL
def test_a_trigger_on_a_partition_is_seen(engine, keyring):
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE parts (id int PRIMARY KEY, n bytea) PARTITION BY RANGE (id)",
            "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9)",
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF pg_trigger_depth() = 1 THEN UPDATE part SET n = 'x' WHERE id = NEW.id; "
            "END IF; RETURN NULL; END $$",
            "CREATE TRIGGER t AFTER UPDATE ON part FOR EACH ROW "
            "EXECUTE FUNCTION spoil()",
        ):
            connection.execute(text(statement))
    kind = EncryptedType(String)
    key = Column("id", Integer, primary_key=True)
    table = Table("parts", MetaData(), key, Column("n", kind))
    with engine.begin() as connection:
        connection.execute(insert(table).values(id=1, n="a"))
    keyring.rotate()
    with pytest.raises(VerificationError):
        small(engine, table).run()
    with engine.connect() as connection:
        assert connection.scalars(select(table.c.n)).all() == ["a"]


@POSTGRESQL
@pytest.mark.parametrize(
    "option", ["client_encoding=latin1", "default_transaction_isolation=serializable"]
)
def test_options_of_the_connection_do_not_matter(engine, keyring, option):
    table = Table(
        "keyed",
        MetaData(),
        Column("key", String(9), primary_key=True),
        Column("n", EncryptedType(String)),
    )
    table.create(engine)
    with engine.begin() as connection:
        rows = [{"key": key, "n": f"value of {key}"} for key in ("é", "ü", "z")]
        connection.execute(insert(table), rows)
    keyring.rotate()
    url = engine.url.update_query_dict({"options": f"-c {option}"})
    other = create_engine(url)
    bind_keyring(other, keyring)
    [report] = small(other, table).run()
    assert report.counts.moved == 3
    other.dispose()
    with engine.connect() as connection:
        found = connection.execute(select(table)).all()
    assert {tuple(row) for row in found} == {(r["key"], r["n"]) for r in rows}


@pytest.mark.parametrize("job", ["reencryption", "verify"])
def test_a_schema_translate_map_is_refused(people, job):
    """The statements of a job would go to another table than the application's."""
    engine = people.execution_options(schema_translate_map={None: "other"})
    with pytest.raises(ConfigurationError, match="schema_translate_map"):
        verify(engine, Person) if job == "verify" else small(engine).run()


@POSTGRESQL
def test_a_case_insensitive_key_is_refused(engine, keyring):
    key = Column("key", CITEXT, primary_key=True)
    table = Table("t", MetaData(), key, Column("n", EncryptedType(String)))
    with pytest.raises(ConfigurationError, match="CITEXT"):
        small(engine, table).run()


def test_dead_letters_whose_keys_differ_in_case_are_two(engine, keyring):
    kind = String(20).with_variant(
        mysql.VARCHAR(20, collation="utf8mb4_bin"), "mysql", "mariadb"
    )
    table = Table(
        "cased",
        MetaData(),
        Column("key", kind, primary_key=True),
        Column("name", EncryptedType(String)),
    )
    table.create(engine)
    with engine.begin() as connection:
        statement = text("INSERT INTO cased VALUES (:k, :v)")
        connection.execute(statement, [{"k": k, "v": b"damaged"} for k in "aA"])
    [report] = small(engine, table).run()
    assert report.counts.dead == 2


def test_tables_whose_names_differ_in_case_are_two_runs(engine, keyring):
    if engine.dialect.name == "sqlite":
        return  # there they are one table
    for name in ("cased", "Cased"):
        run = Run(engine, RunIdentity(name, Kind.REENCRYPT, ("name",), "target"))
        create_tables(engine)
        run.open(lambda: [PlannedRange(None, None, 0)], "")
    assert {run.table for run in open_runs(engine)} == {"cased", "Cased"}


def test_a_repaired_dead_row_does_not_hide_a_row_left_behind(
    people, keyring, monkeypatch
):
    """The sweep compares keys, not numbers."""
    old = Keyring([keyring.active])
    with people.begin() as connection:
        connection.execute(
            text("UPDATE people SET name = :v WHERE id = 5"), {"v": b"x"}
        )
    keyring.rotate()
    original = DeadLetters.keys
    seen = []

    def keys(self, engine):
        if not seen:
            seen.append(1)
            with people.begin() as connection:
                statement = text("UPDATE people SET name = :v WHERE id = :n")
                late = sealed_under(old, "late")
                connection.execute(statement, {"v": late, "n": 6})
                repaired = sealed_under(keyring, "repaired")
                connection.execute(statement, {"v": repaired, "n": 5})
        return original(self, engine)

    monkeypatch.setattr(DeadLetters, "keys", keys)
    [report] = small(people).run()
    assert report.counts.dead == 0  # it is listed no longer
    assert (names(people)[5], names(people)[6]) == ("repaired", "late")
    assert raw(people)[6][8:24] == keyring.active.kid


KEY_TYPES = {
    "uuid": (Uuid(), [uuid4() for _ in range(25)]),
    "text": (String(40), [f"Käy {n % 7}-{n}" for n in range(25)]),
    "date": (Date(), [date(2026, 1, 1) + timedelta(days=n) for n in range(25)]),
    "bigint": (BigInteger(), [n * 10**12 - 7 for n in range(25)]),
    "numeric": (Numeric(10, 2), [Decimal(n) / 4 for n in range(25)]),
}


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_any_kind_of_primary_key_is_followed(engine, keyring, kind):
    key_type, keys = KEY_TYPES[kind]
    metadata = MetaData()
    table = Table(
        f"key_{kind}",
        metadata,
        Column("id", key_type, primary_key=True, autoincrement=False),
        Column("secret", EncryptedType(String)),
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": k, "secret": str(k)} for k in keys])
    keyring.rotate()
    job = Reencryption(engine, table, batch_size=4, range_size=10)
    if kind == "numeric" and engine.dialect.name == "sqlite":
        # SQLite has no decimal type, and a float names no row reliably.
        with pytest.raises(ConfigurationError, match="type float is not supported"):
            job.run()
        return
    [report] = job.run()
    assert (report.counts.moved, report.counts.scanned) == (25, 25)
    with engine.connect() as connection:
        rows = dict(connection.execute(select(table)).all())
    assert rows == {key: str(key) for key in keys}


def test_nothing_secret_is_in_the_tables_of_a_run(people, keyring):
    """P9: no plaintext in job state."""
    with people.begin() as connection:
        connection.execute(
            text("UPDATE people SET name = :v WHERE id = 5"), {"v": b"MARKER plain"}
        )
    keyring.rotate()
    small(people).run()
    with people.connect() as connection:
        for table in ("sealed_runs", "sealed_ranges", "sealed_dead_letters"):
            content = repr(connection.execute(text(f"SELECT * FROM {table}")).all())
            assert content != "[]"
            assert "MARKER" not in content
            assert "name 1" not in content


def test_rows_are_moved_once_their_missing_key_is_back(people, keyring):
    """A stopped run must not be past them, nor excuse them because they were listed."""
    new = Key.generate(2)
    without = Keyring([new])
    with pytest.raises(TooManyDeadLettersError):
        small(people, keyring=without, max_dead_letters=15).run()
    complete = Keyring([keyring.active, new], active=2)
    [report] = small(people, keyring=complete, max_dead_letters=15).run()
    assert (report.status, report.counts.dead) == ("caught-up", 0)
    assert {b[8:24] for b in raw(people).values() if b} == {new.kid}


def test_a_dead_value_does_not_excuse_an_old_one_beside_it(
    engine, keyring, monkeypatch
):
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(Wide), {"group": "g", "number": 1, "note": "n", "code": "c"}
        )
        old = connection.scalar(text("SELECT code FROM wide"))
        connection.execute(text("UPDATE wide SET note = :v"), {"v": b"damaged"})
    keyring.rotate()
    original = DeadLetters.keys
    seen = []

    def keys(self, engine):
        if not seen:
            seen.append(1)
            with engine.begin() as connection:
                connection.execute(text("UPDATE wide SET code = :v"), {"v": old})
        return original(self, engine)

    monkeypatch.setattr(DeadLetters, "keys", keys)
    [report] = small(engine, Wide).run()
    assert report.counts.dead == 1
    with engine.connect() as connection:
        code = bytes(connection.scalar(text("SELECT code FROM wide")))
    assert code[8:24] == keyring.active.kid


def test_a_worker_of_a_superseded_run_moves_nothing_back(people, keyring):
    keyring.rotate()
    [zombie] = small(people).movers()
    zombie.open()
    lease = zombie.run.ranges.claim(0, zombie.worker.owner)
    with pytest.raises(RunConflictError, match="at work"):
        keyring.rotate()
        small(people).run()
    with people.begin() as connection:
        connection.execute(text("UPDATE sealed_ranges SET lease_until = 0"))
    small(people).run()
    stored = raw(people)
    with pytest.raises(LeaseLostError):
        zombie.worker.move(lease)
    with pytest.raises(RunEndedError, match="superseded"):
        zombie.worker.work()
    assert raw(people) == stored
    with people.connect() as connection:
        states = connection.scalars(
            text("SELECT status FROM sealed_runs WHERE table_name = 'people'")
        ).all()
    assert sorted(states) == ["caught-up", "superseded"]


def test_an_autocommit_engine_is_left_as_it_was(database_url, keyring):
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    bind_keyring(engine, keyring)
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(insert(Person), [{"id": 1, "name": "a"}])
    keyring.rotate()
    small(engine).run()
    for number in (2, 3, 4):
        with engine.connect() as connection:
            connection.execute(insert(Person), [{"id": number, "name": "b"}])
    assert names(engine) == {1: "a", 2: "b", 3: "b", 4: "b"}
    engine.dispose()


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_key_longer_than_the_model_says_is_not_cut(engine, keyring):
    with engine.begin() as connection:
        kind = "bytea" if engine.dialect.name == "postgresql" else "blob"
        connection.execute(text(f"CREATE TABLE cut (id text PRIMARY KEY, a {kind})"))
    table = Table(
        "cut",
        MetaData(),
        Column("id", String(8), primary_key=True),
        Column("a", EncryptedType(String)),
    )
    keys = [f"key-number-{n:02}" for n in range(12)]
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO cut VALUES (:i, :a)"),
            [{"i": k, "a": sealed_in(table.c.a, keyring, k)} for k in keys],
        )
    keyring.rotate()
    [report] = Reencryption(engine, table, batch_size=3, range_size=5).run()
    assert (report.counts.moved, report.counts.conflicts) == (12, 0)


def sealed_in(column, keyring: Keyring, value: str) -> bytes:
    from sqlalchemy_sealed.cipher import FieldCipher
    from sqlalchemy_sealed.scope import Binding

    return FieldCipher(column.type.field(), Binding(keyring)).seal(value)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_trigger_after_the_update_is_noticed_too(people, keyring):
    keyring.rotate()
    stored = raw(people)
    with people.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF pg_trigger_depth() = 1 THEN "
                "UPDATE people SET name = '\\x00' WHERE id = new.id; END IF; "
                "RETURN new; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER t AFTER UPDATE ON people "
                "FOR EACH ROW EXECUTE FUNCTION f()"
            )
        )
    with pytest.raises(VerificationError, match="rolled back"):
        small(people).run()
    assert raw(people) == stored


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_huge_number_in_the_column_is_one_dead_letter(people, keyring):
    with people.begin() as connection:
        connection.execute(text("UPDATE people SET name = 9000000000000 WHERE id = 4"))
    keyring.rotate()
    [report] = small(people).run()
    assert (report.counts.moved, report.counts.dead) == (98, 1)


def test_a_table_that_is_declared_twice_is_refused():
    tables = [
        Table(
            "twice",
            MetaData(),
            Column("id", BigInteger, primary_key=True),
            Column(name, EncryptedType(String)),
        )
        for name in ("a", "b")
    ]
    with pytest.raises(ConfigurationError, match="declared twice"):
        sealed_tables(tables)
