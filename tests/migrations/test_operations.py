"""Operations of revisions: plaintext, sealed, rotated, plaintext again, and base."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.util import CommandError
from sqlalchemy.exc import OperationalError
from alembic.operations import Operations
from migrations.project import ASYNC_ENV
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    inspect,
    make_url,
    select,
    text,
)

from sqlalchemy_sealed import BlindIndex, EncryptedType, Pace
from sqlalchemy_sealed.errors import FenceError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.steps import Step

ROWS = 500
SSN = "EncryptedType(sa.String(60))"
NOTE = 'EncryptedType(sa.String(60), storage="text")'
CREATE = """
op.create_table(
    "patients",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ssn", sa.String(60)),
    sa.Column("note", sa.String(60)),
)
table = sa.table("patients", sa.column("id"), sa.column("ssn"), sa.column("note"))
op.bulk_insert(table, [
    {"id": n, "ssn": None if n %% 50 == 0 else f"secret {n}", "note": f"Grüße {n}"}
    for n in range(1, %d)
])
""" % (ROWS + 1)
PLAIN = [
    (n, None if n % 50 == 0 else f"secret {n}", f"Grüße {n}")
    for n in range(1, ROWS + 1)
]


@pytest.fixture
def project(project):
    # Nobody else is on the table, and tests are in a hurry.
    project.config.attributes["configure"] = {"sealed_pace": Pace.full_speed()}
    project.revision("r1", CREATE, 'op.drop_table("patients")')
    return project


def sealed_values(project, column="ssn_encrypted", kind=None):
    """Return what the application reads."""
    kind = kind or EncryptedType(String(60))
    table = Table("patients", MetaData(), Column("id", Integer, primary_key=True))
    table.append_column(Column(column, kind))
    engine = project.engine()
    with engine.connect() as connection:
        rows = connection.execute(select(table).order_by(table.c.id)).all()
    engine.dispose()
    return {row[0]: row[1] for row in rows}


def names(project):
    engine = project.engine(keyring=False)
    with engine.connect() as connection:
        result = connection.execute(text("SELECT * FROM patients WHERE id = -1"))
        found = list(result.keys())
    engine.dispose()
    return found


def plaintext(project):
    return project.rows("SELECT id, ssn, note FROM patients ORDER BY id")


def encrypt(project, name="r2", more=""):
    project.revision(
        name,
        f'op.encrypt_column("patients", "ssn", {SSN}, into="ssn_encrypted"{more})',
        f'op.decrypt_column("patients", "ssn_encrypted", {SSN}, into="ssn", drop=True)',
    )


def test_there_and_back_again(project, keyring):
    """Expand, fence, rotate, contract; and every step back."""
    encrypt(project)
    project.revision(
        "r3",
        f'op.seal_fence("patients", "ssn_encrypted", {SSN})',
        f'op.drop_seal_fence("patients", "ssn_encrypted", {SSN})',
    )
    project.revision(
        "r4", f'op.reencrypt_columns("patients", {{"ssn_encrypted": {SSN}}})', ""
    )
    project.revision(
        "r5",
        'op.drop_column("patients", "ssn")',
        'op.add_column("patients", sa.Column("ssn", sa.String(60)))',
    )
    project.upgrade("r2")
    assert plaintext(project) == PLAIN
    assert sealed_values(project) == {n: ssn for n, ssn, _ in PLAIN}
    project.upgrade("r3")
    engine = project.engine(keyring=False)
    with pytest.raises(Exception, match="(?i)sealed_fence|envelope"):
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE patients SET ssn_encrypted = :v WHERE id = 1"),
                {"v": b"plaintext"},
            )
    engine.dispose()
    keyring.rotate()
    project.upgrade("head")
    assert names(project) == ["id", "note", "ssn_encrypted"]
    stored = project.rows("SELECT ssn_encrypted FROM patients WHERE id = 1")[0][0]
    assert bytes(stored)[8:24] == keyring.active.kid
    assert project.rows("SELECT table_name, column_name FROM sealed_columns") == [
        ("patients", "ssn_encrypted")
    ]
    project.downgrade("r1")
    assert sorted(names(project)) == ["id", "note", "ssn"]
    assert plaintext(project) == PLAIN
    assert project.rows("SELECT * FROM sealed_columns") == []
    project.downgrade("base")


def test_in_one_revision(project):
    encrypt(project, more=", drop=True")
    project.upgrade()
    assert sorted(names(project)) == ["id", "note", "ssn_encrypted"]
    assert sealed_values(project) == {n: ssn for n, ssn, _ in PLAIN}
    project.downgrade("r1")
    assert plaintext(project) == PLAIN


def test_in_place(project, keyring):
    project.revision(
        "r2",
        f'op.encrypt_column("patients", "note", {NOTE})',
        f'op.decrypt_column("patients", "note", {NOTE})',
    )
    project.upgrade()
    stored = [row[0] for row in project.rows("SELECT note FROM patients")]
    assert len(stored) == ROWS
    assert all(re.fullmatch(r"[!-~]+", value) for value in stored)
    kind = EncryptedType(String(60), storage="text")
    assert sealed_values(project, "note", kind) == {n: note for n, _, note in PLAIN}
    project.downgrade("r1")
    assert plaintext(project) == PLAIN


def test_a_blind_index_is_filled_and_dropped(project, keyring):
    encrypt(project)
    project.revision(
        "r3",
        f'op.create_blind_index("patients", "ssn_encrypted", {INDEXED})',
        f'op.drop_blind_index("patients", "ssn_encrypted", {INDEXED})',
    )
    project.upgrade()
    table = Table("patients", MetaData(), Column("id", Integer, primary_key=True))
    table.append_column(
        Column("ssn_encrypted", EncryptedType(String(60), index=BlindIndex()))
    )
    engine = project.engine()
    with engine.connect() as connection:
        found = select(table.c.id).where(table.c.ssn_encrypted == "secret 7")
        assert connection.scalars(found).all() == [7]
    engine.dispose()
    project.downgrade("r2")
    assert names(project) == ["id", "ssn", "note", "ssn_encrypted"]


INDEXED = "EncryptedType(sa.String(60), index=BlindIndex())"


@pytest.mark.parametrize("per_migration", [False, True])
def test_a_revision_that_was_killed_goes_on(project, monkeypatch, per_migration):
    project.config.attributes["per_migration"] = per_migration
    project.config.attributes["configure"] = {
        "sealed_pace": Pace(rate=None, batch_rows=50)
    }
    encrypt(project)
    committed = []

    def reached(step):
        if step is Step.COMMITTED:
            committed.append(step)
            if len(committed) == 3:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, "reached", reached)
        with pytest.raises(KeyboardInterrupt):
            project.upgrade()
    assert project.version() == "r1"
    query = "SELECT count(*) FROM patients WHERE ssn_encrypted IS NOT NULL"
    [(done,)] = project.rows(query)
    assert 0 < done < ROWS
    project.upgrade()
    assert project.version() == "r2"
    assert sealed_values(project) == {n: ssn for n, ssn, _ in PLAIN}
    runs = project.rows("SELECT status FROM sealed_runs")
    # One that moved the rows, and one that compared them all.
    assert runs == [("caught-up",)] * 2


def test_a_value_that_cannot_be_moved_stops_the_revision(project, keyring):
    encrypt(project)
    encrypt(project, "r3", ", drop=True")
    project.upgrade("r2")
    engine = project.engine(keyring=False)
    with engine.begin() as connection:
        connection.execute(text("UPDATE patients SET ssn = 'TOPSECRET' WHERE id = 9"))
    engine.dispose()
    # Between the two, the application wrote one column only: who knows which is right?
    with pytest.raises(CommandError, match="1 values could not be moved") as caught:
        project.upgrade()
    assert "TOPSECRET" not in str(caught.value)
    assert project.version() == "r2"
    assert "ssn" in names(project)


def test_a_writer_beside_loses_nothing(project):
    """Expand; deploy what writes both columns; move what is there; nothing is lost."""
    project.config.attributes["configure"] = {
        "sealed_pace": Pace(rate=1000, batch_rows=20)
    }
    project.revision(
        "r2",
        f'op.add_column("patients", sa.Column("ssn_encrypted", {SSN}))',
        'op.drop_column("patients", "ssn_encrypted")',
    )
    encrypt(project, "r3")
    project.upgrade("r2")
    table = Table("patients", MetaData(), Column("id", Integer, primary_key=True))
    table.append_column(Column("ssn", String(60)))
    table.append_column(Column("ssn_encrypted", EncryptedType(String(60))))
    engine = project.engine()
    stop, written = threading.Event(), {n: ssn for n, ssn, _ in PLAIN}

    def write():
        chooser, number = random.Random(1), 0
        while not stop.is_set():
            number += 1
            key = chooser.choice([chooser.randint(1, ROWS), 10_000 + number])
            both = {"ssn": f"late {number}", "ssn_encrypted": f"late {number}"}
            change = table.update().where(table.c.id == key).values(both)
            with contextlib.suppress(OperationalError), engine.begin() as connection:
                # SQLite has one writer: what it has not acknowledged is not written.
                if not connection.execute(change).rowcount:
                    connection.execute(table.insert().values(id=key, **both))
                connection.commit()
                written[key] = f"late {number}"
            time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        project.upgrade()
    finally:
        time.sleep(0.1)
        stop.set()
        writer.join()
    assert len(written) > ROWS + 5
    assert sealed_values(project) == written
    assert dict(project.rows("SELECT id, ssn FROM patients")) == written
    engine.dispose()


def test_who_writes_plaintext_only_is_told(project):
    """A deploy that is still missing does not end in a column with holes."""
    encrypt(project)
    original = steps.reached

    def reached(step):
        if step is Step.LOOKED:
            engine = project.engine(keyring=False)
            with engine.begin() as connection:
                late = "UPDATE patients SET ssn = 'late', ssn_encrypted = NULL"
                connection.execute(text(f"{late} WHERE id = 1"))
            engine.dispose()
        original(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "reached", reached)
        with pytest.raises(CommandError, match="deploy what writes the new form first"):
            project.upgrade()
    assert project.version() == "r1"


@pytest.mark.parametrize(
    ("database_url", "driver"),
    [("sqlite", "sqlite+aiosqlite"), ("postgresql", "postgresql+asyncpg")],
    indirect=["database_url"],
)
def test_an_asynchronous_env(project, driver):
    """Rows are moved through the synchronous driver of the same database."""
    url = make_url(project.url).set(drivername=driver)
    project.config.attributes["async_url"] = url
    project.env.write_text(ASYNC_ENV)
    encrypt(project, more=", drop=True")
    # In this thread asyncio.run() would drop the loop of other tests, unclosed.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(project.upgrade).result()
        assert sealed_values(project) == {n: ssn for n, ssn, _ in PLAIN}
        thread.submit(project.downgrade, "r1").result()
    assert plaintext(project) == PLAIN


def test_printed_sql_has_a_gap_and_no_value(project, monkeypatch):
    encrypt(project)
    monkeypatch.delenv("SEALED_KEYS", raising=False)
    project.upgrade("r1:r2", sql=True)
    printed = project.output.getvalue()
    assert re.search(r"ADD (COLUMN )?ssn_encrypted", printed)
    assert "sealed encrypt MODULE:MODEL --column ssn=ssn_encrypted" in printed
    assert "-- SEALED" in printed


@pytest.mark.parametrize("nullable", [True, False])
def test_a_column_keeps_its_name(project, nullable):
    """Its type changes with its values, so another one takes its place."""
    change = """
    op.execute("UPDATE patients SET ssn = 'none' WHERE ssn IS NULL")
    with op.batch_alter_table("patients") as batch:
        batch.alter_column("ssn", existing_type=sa.String(60), nullable=False)
    """
    project.revision("r2", "" if nullable else change, "")
    project.revision(
        "r3",
        f'op.encrypt_column("patients", "ssn", {INDEXED})',
        f'op.decrypt_column("patients", "ssn", {INDEXED})',
    )
    project.upgrade("r2")
    before = plaintext(project)
    project.upgrade()
    assert sorted(names(project)) == ["id", "note", "ssn", "ssn_bidx"]
    found = sealed_values(project, "ssn")
    assert found == {n: ssn for n, ssn, _ in before}
    engine = project.engine(keyring=False)
    columns = {c["name"]: c for c in inspect(engine).get_columns("patients")}
    assert columns["ssn"]["nullable"] is nullable
    engine.dispose()
    project.downgrade("r2")
    assert plaintext(project) == before
    assert sorted(names(project)) == ["id", "note", "ssn"]


@pytest.mark.parametrize("kill", range(1, 5))
def test_a_column_that_was_on_its_way_arrives(project, monkeypatch, kill):
    """Killed after any of its statements: the next try goes on, and loses nothing."""
    project.revision(
        "r2",
        f'op.encrypt_column("patients", "ssn", {SSN})',
        f'op.decrypt_column("patients", "ssn", {SSN})',
    )
    project.upgrade("r1")

    class Killed(BaseException):
        pass

    done = []
    with monkeypatch.context() as patch:
        for name in ("add_column", "drop_column", "execute"):
            original = getattr(Operations, name)

            def step(self, *args, original=original, **options):
                result = original(self, *args, **options)
                done.append(original)
                if len(done) == kill:
                    raise Killed
                return result

            patch.setattr(Operations, name, step)
        with contextlib.suppress(Killed):
            project.upgrade()
    project.upgrade()
    assert project.version() == "r2"
    assert sealed_values(project, "ssn") == {n: ssn for n, ssn, _ in PLAIN}
    project.downgrade("r1")
    assert plaintext(project) == PLAIN


def test_a_fence_is_not_put_up_around_plaintext(project):
    encrypt(project)
    project.upgrade()
    engine = project.engine(keyring=False)
    change = text("UPDATE patients SET ssn_encrypted = :v WHERE id = 1")
    with engine.begin() as connection:
        connection.execute(change, {"v": b"plaintext"})
    project.revision("r3", f'op.seal_fence("patients", "ssn_encrypted", {SSN})', "")
    with pytest.raises(FenceError, match="1 rows are outside"):
        project.upgrade()
    with engine.begin() as connection:
        connection.execute(change, {"v": b"other"})
    engine.dispose()
    assert project.version() == "r2"
