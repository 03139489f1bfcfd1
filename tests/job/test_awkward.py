"""Tables and servers that a job has been found to stumble over."""

from __future__ import annotations

import threading
import traceback

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy_sealed import (
    EncryptedType,
    Encryption,
    Pace,
    Reencryption,
    bind_keyring,
)
from sqlalchemy_sealed.errors import (
    PreflightError,
    VerificationError,
    WriteRefusedError,
)
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.steps import Step

pytestmark = pytest.mark.thorough

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
MARIADB = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PACES = pytest.mark.parametrize(
    "pace", [Pace(rate=None), Pace.full_speed()], ids=["polite", "fast"]
)


def sealed_table(name="people", *key, columns=("name",), **options):
    key = key or (Column("id", BigInteger, primary_key=True, autoincrement=False),)
    sealed = [Column(column, EncryptedType(String)) for column in columns]
    return Table(name, MetaData(), *key, *sealed, **options)


def fill(engine, table, rows):
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), rows)


def moves_all(engine, table, rows, pace):
    """Re-encrypt, and look whether every row was moved once and holds its values."""
    [report] = Reencryption(engine, table, pace=pace, range_size=1000).run()
    counts = report.counts
    assert (counts.moved, counts.conflicts, counts.dead) == (len(rows), 0, 0)
    assert report.left == 0
    with engine.connect() as connection:
        stored = connection.execute(select(table)).all()
    named = [{c.name: v for c, v in zip(table.c, row, strict=True)} for row in stored]
    assert sorted(map(repr, named)) == sorted(map(repr, rows))


# Names


@PACES
@pytest.mark.parametrize(
    ("key", "column"),
    [("o", "v0"), ("k", "o"), ("100%", "50%"), ("a:b", "%s"), ('q"`q', "k0")]
    + [("select", "table")],
)
def test_columns_have_any_name(engine, keyring, pace, key, column):
    declared = Column(key, Integer, primary_key=True, autoincrement=False)
    table = sealed_table("people", declared, columns=(column,))
    rows = [{key: n, column: f"v{n}"} for n in range(-3, 20)]
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        for row in rows:
            # SQLAlchemy's own parameters cannot have all of these names.
            values = {table.c[name]: value for name, value in row.items()}
            connection.execute(insert(table).values(values))
    keyring.rotate()
    moves_all(engine, table, rows, pace)


@PACES
@pytest.mark.parametrize("name", ["lease", "written", "result", "v", "t", "p", "a%b"])
def test_tables_have_any_name(engine, keyring, pace, name):
    table = sealed_table(name)
    rows = [{"id": n, "name": f"v{n}"} for n in range(20)]
    fill(engine, table, rows)
    keyring.rotate()
    moves_all(engine, table, rows, pace)


# Keys


@PACES
def test_the_least_and_the_greatest_integer_are_moved(engine, keyring, pace):
    table = sealed_table()
    rows = [{"id": n, "name": f"{n}"} for n in (-(1 << 63), -1, 0, (1 << 63) - 1)]
    fill(engine, table, rows)
    keyring.rotate()
    moves_all(engine, table, rows, pace)


@MARIADB
@PACES
@pytest.mark.parametrize("where", ["table", "column"])
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_a_text_key_keeps_its_collation(engine, keyring, pace, where, charset):
    """The default of the database, or of the connection, finds other rows."""
    collation = f"{charset}_bin"
    kind, options = String(20), {}
    if where == "table":
        options = {"mysql_charset": charset, "mysql_collate": collation}
    else:
        kind = mysql.VARCHAR(20, charset=charset, collation=collation)
    table = sealed_table("people", Column("id", kind, primary_key=True), **options)
    names = ["A", "B", "Z", "a", "b", "z", "ä", "Ä", "é"]
    rows = [{"id": n, "name": n} for n in (*names, *(f"{n}{n}" for n in names))]
    fill(engine, table, rows)
    keyring.rotate()
    moves_all(engine, table, rows, pace)


@MARIADB
@PACES
def test_a_batch_whose_ends_differ_in_case_only(engine, keyring, pace):
    """MariaDB takes BETWEEN 'A' AND 'a' for one value, whatever the column says."""
    kind = mysql.VARCHAR(20, charset="utf8mb4", collation="utf8mb4_bin")
    table = sealed_table("people", Column("id", kind, primary_key=True))
    rows = [{"id": key, "name": key} for key in ("A", "B", "M", "a")]
    fill(engine, table, rows)
    keyring.rotate()
    moves_all(engine, table, rows, pace)


@MARIADB
@PACES
def test_a_model_may_declare_a_narrower_key(engine, keyring, pace):
    wide = sealed_table()
    rows = [{"id": n << 40, "name": f"{n}"} for n in range(5)]
    fill(engine, wide, rows)
    keyring.rotate()
    narrow = sealed_table(
        "people", Column("id", Integer, primary_key=True, autoincrement=False)
    )
    moves_all(engine, narrow, rows, pace)


# Sizes


@MARIADB
@PACES
@pytest.mark.parametrize(
    ("columns", "length", "count"), [(2, 3000, 900), (3, 3000, 50), (8, 3000, 5)]
)
def test_long_values_do_not_exceed_what_the_server_takes(
    engine, keyring, pace, columns, length, count
):
    names = [f"c{n}" for n in range(columns)]
    table = sealed_table(columns=names)
    rows = [{"id": n, **dict.fromkeys(names, "x" * length)} for n in range(count)]
    # One long value makes room for the longest in every row.
    rows += [{"id": count + n, **dict.fromkeys(names, "y")} for n in range(100)]
    fill(engine, table, rows)
    keyring.rotate()
    moves_all(engine, table, rows, pace)


# Servers


SPOIL = {
    "sqlite": "CREATE TRIGGER spoil AFTER UPDATE ON people WHEN NEW.id < 5 BEGIN "
    "UPDATE people SET name = X'00' WHERE id = NEW.id; END",
}


@SQLITE
@PACES
def test_rows_without_a_value_confirm_nothing(engine, keyring, pace):
    table = sealed_table()
    rows = [{"id": n, "name": f"v{n}" if n < 50 else None} for n in range(80)]
    fill(engine, table, rows)
    keyring.rotate()
    with engine.begin() as connection:
        before = connection.execute(text("SELECT * FROM people")).all()
        connection.execute(text(SPOIL["sqlite"]))
    with pytest.raises(VerificationError):
        Reencryption(engine, table, pace=pace).run()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM people")).all() == before


@SQLITE
def test_an_engine_may_begin_its_transactions_itself(engine, keyring):
    """SQLAlchemy's recipe for savepoints in SQLite."""
    table = sealed_table()
    rows = [{"id": n, "name": f"v{n}"} for n in range(20)]
    fill(engine, table, rows)
    own = create_engine(engine.url)

    @event.listens_for(own, "connect")
    def connected(connection, _record):
        connection.isolation_level = None

    @event.listens_for(own, "begin")
    def begun(connection):
        connection.exec_driver_sql("BEGIN")

    bind_keyring(own, keyring)
    keyring.rotate()
    moves_all(own, table, rows, Pace.full_speed())
    own.dispose()


@MARIADB
@pytest.mark.parametrize("kind", ["MyISAM", "Aria"])
def test_an_engine_without_transactions_is_refused(engine, keyring, kind):
    table = sealed_table(mysql_engine=kind)
    fill(engine, table, [{"id": 1, "name": "v"}])
    keyring.rotate()
    with pytest.raises(PreflightError, match="ENGINE=InnoDB"):
        Reencryption(engine, table).run()


@POSTGRESQL
@PACES
def test_no_lock_is_held_while_values_are_sealed(
    engine, keyring, pace, monkeypatch, new_engine
):
    """P5; and an ALTER TABLE that waited for it would wait for ever."""
    table = sealed_table()
    rows = [{"id": n, "name": f"v{n}"} for n in range(2000)]
    fill(engine, table, rows)
    keyring.rotate()
    other, seen = new_engine(), []
    query = text(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE l.relation = 'people'::regclass AND l.pid <> pg_backend_pid() "
        # What writes the batch before is at work, and shall be.
        "AND a.datname = current_database() AND a.query LIKE 'SELECT k0, o%'"
    )

    def reached(step):
        if step is Step.SEALED:
            with other.connect() as connection:
                seen.append(connection.scalar(query))

    monkeypatch.setattr(steps, "reached", reached)
    Reencryption(engine, table, pace=pace).run()
    assert seen
    assert set(seen) == {0}


# Errors


REFUSE = {
    "sqlite": "CREATE TRIGGER refuse BEFORE UPDATE ON people "
    "BEGIN SELECT RAISE(ABORT, 'no'); END",
    "postgresql": "ALTER TABLE people ADD CONSTRAINT short CHECK (length(name) < 10)",
    "mysql": "ALTER TABLE people ADD CONSTRAINT short CHECK (length(name) < 10)",
}


def everything_of(error):
    """Return all that a logger, or a crash reporter without locals, would show."""
    shown = "".join(traceback.format_exception(error))
    seen = error
    while seen is not None:
        shown += f"{seen!r} {seen.args!r} {vars(seen)!r}"
        shown += repr(getattr(seen, "params", None))
        diag = getattr(getattr(seen, "orig", None), "diag", None)
        shown += str(getattr(diag, "message_detail", None))
        seen = seen.__cause__ or seen.__context__
    return shown


@PACES
@pytest.mark.parametrize("again", [False, True], ids=["run", "retry"])
def test_a_row_that_is_refused_is_not_shown(engine, keyring, pace, again):
    """PostgreSQL's DETAIL quotes the whole row, with its other columns."""
    table = sealed_table()
    table.append_column(Column("plain", String(50)))
    fill(engine, table, [{"id": n, "plain": "TOPSECRET", "name": None} for n in (1, 2)])
    job = Encryption(engine, table, {"plain": "name"}, pace=pace)
    if again:
        with engine.begin() as connection:
            connection.execute(text("UPDATE people SET name = :v"), {"v": b"\0"})
        [report] = job.run()
        assert report.counts.dead == 2
        with engine.begin() as connection:
            connection.execute(text("UPDATE people SET name = NULL"))
    with engine.begin() as connection:
        connection.execute(text(REFUSE[engine.name]))
    with pytest.raises(WriteRefusedError, match="refused a batch") as caught:
        job.retry_dead() if again else job.run()
    assert "TOPSECRET" not in everything_of(caught.value)
    if engine.name == "postgresql":
        assert "short" in str(caught.value)


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
@PACES
def test_rows_that_are_held_for_long_are_waited_for_between_passes(
    engine, keyring, pace, new_engine
):
    table = sealed_table()
    rows = [{"id": n, "name": f"v{n}"} for n in range(50)]
    fill(engine, table, rows)
    keyring.rotate()
    holder = new_engine().connect()
    holder.execute(text("SELECT id FROM people WHERE id < 3 FOR UPDATE"))
    threading.Timer(3.0, holder.close).start()
    [report] = Reencryption(engine, table, pace=pace).run()
    assert (report.counts.moved, report.left) == (50, 0)
    with engine.connect() as connection:
        sweeps = connection.scalar(text("SELECT sweep FROM sealed_runs"))
    assert 0 < sweeps < 7


@POSTGRESQL
def test_listed_rows_on_both_sides_of_the_largest_integer(engine, keyring):
    """In one list, the driver's type of the first key would be that of all."""
    table = sealed_table()
    rows = [{"id": n, "name": f"v{n}"} for n in (10, 5_000_000_000)]
    fill(engine, table, rows)
    with engine.connect() as connection:
        good = connection.execute(text("SELECT id, name FROM people")).all()
    with engine.begin() as connection:
        connection.execute(text("UPDATE people SET name = 'damaged'"))
    keyring.rotate()
    [report] = Reencryption(engine, table).run()
    assert report.counts.dead == 2
    with engine.begin() as connection:
        for key, name in good:
            sql = text("UPDATE people SET name = :n WHERE id = :k")
            connection.execute(sql, {"n": name, "k": key})
    [report] = Reencryption(engine, table).retry_dead()
    assert (report.counts.moved, report.counts.dead) == (2, 0)
