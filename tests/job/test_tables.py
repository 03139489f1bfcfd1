"""What tables can be like: triggers, views, partitions, other owners, other columns."""

from __future__ import annotations

import threading

import pytest
from job.application import Person
from job.test_reencryption import people, raw, small
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed import EncryptedType, Pace, Reencryption, bind_keyring
from sqlalchemy_sealed.errors import PreflightError, SchemaChangedError
from sqlalchemy_sealed.jobs import control, steps
from sqlalchemy_sealed.jobs.steps import Step

pytestmark = pytest.mark.thorough

__all__ = ["people"]

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def plan_of(engine, target=Person):
    [plan] = small(engine, target).plan()
    return plan


def test_a_plan_counts_and_writes_nothing(people, keyring):
    keyring.rotate()
    before = raw(people)
    plan = plan_of(people)
    assert (plan.table, plan.kind, plan.columns) == ("people", "reencrypt", ["name"])
    assert (plan.rows, plan.left, plan.refusals) == (100, 99, [])
    assert raw(people) == before
    assert control.states(people) == []
    if people.name == "postgresql":
        assert plan.table_bytes > 0
        assert plan.log_bytes > 99 * 600


TRIGGERS = {
    "sqlite": ["CREATE TRIGGER noise AFTER UPDATE ON people BEGIN SELECT 1; END"],
    "postgresql": [
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN new; END $$",
        "CREATE TRIGGER noise BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION f()",
    ],
    "mysql": [
        "CREATE TRIGGER noise AFTER UPDATE ON people FOR EACH ROW SET @noise = 1"
    ],
}


def test_triggers_and_indexes_on_ciphertext_are_listed(people, keyring):
    size = "(20)" if people.name == "mysql" else ""
    with people.begin() as connection:
        for statement in TRIGGERS[people.name]:
            connection.execute(text(statement))
        connection.execute(text(f"CREATE INDEX slow ON people (name{size})"))
    shown = " ".join(plan_of(people).warnings)
    assert "the trigger noise" in shown
    assert "the index slow is on name" in shown
    keyring.rotate()
    [report] = small(people).run()
    assert report.counts.moved == 99


def test_a_view_is_no_table(people):
    with people.begin() as connection:
        connection.execute(text("CREATE VIEW seen AS SELECT * FROM people"))
    view = Table(
        "seen",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", EncryptedType(String, context="people.name")),
    )
    with pytest.raises(PreflightError, match="a view"):
        small(people, view).run()


@POSTGRESQL
def test_a_table_that_others_inherit_from_is_refused(people):
    with people.begin() as connection:
        connection.execute(text("CREATE TABLE heirs () INHERITS (people)"))
    with pytest.raises(PreflightError, match="inherit"):
        small(people).run()


@POSTGRESQL
def test_rows_that_row_level_security_hides_are_not_forgotten(people, keyring):
    with people.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS sealed_limited",
            "CREATE ROLE sealed_limited LOGIN",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO sealed_limited",
            "GRANT CREATE ON SCHEMA public TO sealed_limited",
            "ALTER TABLE people ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY few ON people USING (id < 10)",
        ):
            connection.execute(text(statement))
    url = people.url.set(username="sealed_limited")
    limited = create_engine(url)
    bind_keyring(limited, keyring)
    try:
        with pytest.raises(PreflightError, match="row-level security"):
            small(limited).run()
    finally:
        limited.dispose()
        with people.begin() as connection:
            for statement in (
                "REASSIGN OWNED BY sealed_limited TO CURRENT_USER",
                "DROP OWNED BY sealed_limited",
                "DROP ROLE sealed_limited",
            ):
                connection.execute(text(statement))


@POSTGRESQL
@pytest.mark.parametrize("polite", [True, False])
def test_every_partition_is_moved(engine, keyring, polite):
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE parts (id int, n bytea, PRIMARY KEY (id)) "
            "PARTITION BY RANGE (id)",
            "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (20)",
            "CREATE TABLE high PARTITION OF parts FOR VALUES FROM (20) TO (90)",
        ):
            connection.execute(text(statement))
    table = Table(
        "parts",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("n", EncryptedType(String)),
    )
    with engine.begin() as connection:
        connection.execute(insert(table), [{"id": n, "n": f"{n}"} for n in range(50)])
    keyring.rotate()
    pace = Pace(rate=None, batch_rows=7, polite=polite)
    [report] = small(engine, table, pace=pace).run()
    assert report.counts.moved == 50
    with engine.connect() as connection:
        found = connection.execute(select(table)).all()
    assert sorted(found) == [(n, f"{n}") for n in range(50)]


def test_a_foreign_key_as_primary_key_is_followed(engine, keyring):
    metadata = MetaData()
    Table("owners", metadata, Column("id", Integer, primary_key=True))
    table = Table(
        "secrets",
        metadata,
        Column("owner", ForeignKey("owners.id"), primary_key=True),
        Column("n", EncryptedType(String)),
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(metadata.tables["owners"]), [{"id": n} for n in range(1, 30)]
        )
        rows = [{"owner": n, "n": f"{n}"} for n in range(1, 30)]
        connection.execute(insert(table), rows)
    keyring.rotate()
    [report] = small(engine, table).run()
    assert report.counts.moved == 29


CHANGES = {
    "renamed": "ALTER TABLE people RENAME COLUMN name TO title",
    "dropped": "ALTER TABLE people DROP COLUMN name",
    "gone": "DROP TABLE people",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_schema_stops_the_run(people, keyring, monkeypatch, change):
    """F17: noticed before the next range, and said in words."""
    keyring.rotate()
    done = []

    def reached(step):
        if step is Step.FINISHED and not done:
            done.append(1)
            with people.begin() as connection:
                connection.execute(text(CHANGES[change]))

    monkeypatch.setattr(steps, "reached", reached)
    with pytest.raises(SchemaChangedError, match="no column name|no such table"):
        small(people).run()
    [state] = control.states(people)
    assert (state.status, state.last_error) == ("stopped", "SchemaChangedError")


def test_a_column_that_took_the_place_of_another_is_noticed(
    people, keyring, monkeypatch
):
    keyring.rotate()
    done = []

    def reached(step):
        if step is Step.FINISHED and not done:
            done.append(1)
            kind = {"postgresql": "bytea", "sqlite": "blob"}.get(
                people.name, "longblob"
            )
            with people.begin() as connection:
                connection.execute(
                    text("ALTER TABLE people RENAME COLUMN name TO former")
                )
                connection.execute(text(f"ALTER TABLE people ADD COLUMN name {kind}"))

    monkeypatch.setattr(steps, "reached", reached)
    with pytest.raises(SchemaChangedError, match="not what they were"):
        small(people).run()


def test_another_column_may_come_and_go(people, keyring, monkeypatch):
    keyring.rotate()
    done = []

    def reached(step):
        if step is Step.FINISHED and not done:
            done.append(1)
            with people.begin() as connection:
                connection.execute(text("ALTER TABLE people ADD COLUMN more int"))

    monkeypatch.setattr(steps, "reached", reached)
    [report] = small(people).run()
    assert report.counts.moved == 99


def test_a_model_ahead_of_its_database_is_refused(people):
    table = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("phone", EncryptedType(String)),
    )
    with pytest.raises(SchemaChangedError, match="no column phone"):
        small(people, table).run()


@POSTGRESQL
def test_text_keys_of_any_collation_are_walked_in_their_own_order(engine, keyring):
    """F16: never compared in Python, whose order is another one."""
    with engine.begin() as connection:
        collation = "sealed_ci"
        try:
            with connection.begin_nested():
                connection.execute(
                    text(
                        "CREATE COLLATION sealed_ci (provider = icu, "
                        "locale = 'und-u-ks-level2', deterministic = false)"
                    )
                )
        except DBAPIError:
            collation = '"C"'  # the embedded server is built without ICU
        connection.execute(
            text(
                f"CREATE TABLE keyed (id text COLLATE {collation} PRIMARY KEY, n bytea)"
            )
        )
    table = Table(
        "keyed",
        MetaData(),
        Column("id", String, primary_key=True),
        Column("n", EncryptedType(String)),
    )
    keys = [f"{c}{n}" for n in range(9) for c in "aBzÄé_- "]
    with engine.begin() as connection:
        connection.execute(insert(table), [{"id": k, "n": k} for k in keys])
    keyring.rotate()
    for polite in (True, False):
        [report] = small(engine, table, pace=Pace(rate=None, polite=polite)).run()
        assert report.counts.conflicts == 0
        keyring.rotate()
    with engine.connect() as connection:
        assert {k: v for k, v in connection.execute(select(table))} == {
            k: k for k in keys
        }


def test_a_huge_value_and_many_nulls_are_moved_in_bounded_memory(engine, keyring):
    """F16: one value of 4 MB among rows without any."""
    table = Table(
        "huge",
        MetaData(),
        Column("id", Uuid, primary_key=True),
        Column("n", EncryptedType(String)),
    )
    from uuid import uuid4

    table.create(engine)
    big = "x" * 4_000_000
    with engine.begin() as connection:
        connection.execute(insert(table), {"id": uuid4(), "n": big})
        connection.execute(
            insert(table), [{"id": uuid4(), "n": None} for _ in range(500)]
        )
    keyring.rotate()
    [report] = Reencryption(engine, table, pace=Pace.full_speed()).run()
    assert (report.counts.moved, report.counts.nulls) == (1, 500)
    with engine.connect() as connection:
        found = connection.scalars(select(table.c.n).where(table.c.n.is_not(None)))
        assert found.one() == big


@POSTGRESQL
def test_a_row_that_an_application_holds_is_skipped_and_never_waited_for(
    people, keyring
):
    """F5: each of the statements; the sweep moves it once it is free.

    Row 10 cannot be opened, and its batch is written in portable SQL.
    """
    damaged = text("UPDATE people SET name = :v WHERE id = 10")
    with people.begin() as connection:
        connection.execute(damaged, {"v": b"damaged"})
    for polite in (True, False):
        active = keyring.rotate()
        released = threading.Event()
        with people.connect() as application:
            application.execute(
                text("SELECT id FROM people WHERE id IN (9, 41) FOR UPDATE")
            )

            def report(progress, application=application):
                if progress.sweep and not released.is_set():
                    released.set()
                    application.rollback()

            pace = Pace(rate=None, polite=polite)
            [report] = small(people, pace=pace, on_progress=report).run()
        assert released.is_set()
        assert report.counts.conflicts >= 2
        moved = {n: b for n, b in raw(people).items() if b and n != 10}
        assert {b[8:24] for b in moved.values()} == {active.kid}


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_locked_row_is_skipped_on_mariadb_too(people, keyring):
    active = keyring.rotate()
    released = threading.Event()
    with people.connect() as application:
        application.execute(text("SELECT id FROM people WHERE id = 9 FOR UPDATE"))

        def report(progress):
            if progress.sweep and not released.is_set():
                released.set()
                application.rollback()

        [found] = small(people, on_progress=report).run()
    assert released.is_set()
    assert found.counts.conflicts >= 1
    assert {b[8:24] for b in raw(people).values() if b} == {active.kid}


@POSTGRESQL
def test_the_table_is_vacuumed_on_the_way(engine, keyring, monkeypatch):
    """Without it, the table may grow to twice its size."""
    from sqlalchemy_sealed.jobs import vacuum

    monkeypatch.setattr(vacuum, "_FEWEST", 500)
    table = Table(
        "big",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("n", EncryptedType(String)),
    )
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE big SET (autovacuum_enabled = off)"))
        rows = [{"id": n, "n": f"{n}"} for n in range(5000)]
        connection.execute(insert(table), rows)
    sizes = []
    for wanted in (False, True):
        with engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("VACUUM FULL big"))
        keyring.rotate()
        pace = Pace(rate=None, vacuum=wanted)
        [report] = Reencryption(engine, table, range_size=500, pace=pace).run()
        assert report.counts.moved == 5000
        with engine.connect() as connection:
            sizes.append(connection.scalar(text("SELECT pg_table_size('big')")))
            runs = connection.scalars(text("SELECT vacuumed FROM sealed_runs")).all()
    assert sizes[1] < 0.8 * sizes[0]
    assert max(runs) >= 3000
