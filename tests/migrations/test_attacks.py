"""What goes wrong in the middle, and who writes what meanwhile: nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import traceback

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from alembic_ext.alone import alone_with
from migrations.test_operations import CREATE, PLAIN, names, plaintext, sealed_values
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, event, text
from sqlalchemy.engine import Engine

from sqlalchemy_sealed import BlindIndex, EncryptedType, Pace
from sqlalchemy_sealed.errors import SealedError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.steps import Step

pytestmark = pytest.mark.thorough

SSN = "EncryptedType(sa.String(60))"
UNDER_ITS_NAME = (
    f'op.encrypt_column("patients", "ssn", {SSN})',
    f'op.decrypt_column("patients", "ssn", {SSN})',
)
INTO = (
    f'op.encrypt_column("patients", "ssn", {SSN}, into="ssn_encrypted", drop=True)',
    f'op.decrypt_column("patients", "ssn_encrypted", {SSN}, into="ssn", drop=True)',
)


@pytest.fixture
def project(project):
    project.config.attributes["configure"] = {
        "sealed_pace": Pace(rate=None, batch_rows=50)
    }
    project.revision("r1", CREATE, 'op.drop_table("patients")')
    return project


def execute(project, sql, **parameters):
    engine = project.engine(keyring=False)
    try:
        with engine.begin() as connection:
            connection.execute(text(sql), parameters)
    finally:
        engine.dispose()


def kill_after(monkeypatch, run, batches=2):
    committed = iter(range(1000))

    def reached(step):
        if step is Step.COMMITTED and next(committed) == batches:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(steps, "reached", reached)
        with pytest.raises(KeyboardInterrupt):
            run()


def values(project, column):
    kind = EncryptedType(String(60))
    return sealed_values(project, column, kind)


# Writes of a process that knows one column only


@pytest.mark.parametrize("step", [UNDER_ITS_NAME, INTO], ids=["swap", "into"])
def test_what_is_written_after_a_kill_is_not_lost(project, monkeypatch, step):
    project.revision("r2", *step)
    project.upgrade("r1")
    kill_after(monkeypatch, project.upgrade)
    execute(project, "UPDATE patients SET ssn = 'ACKNOWLEDGED' WHERE id = 1")
    execute(project, "UPDATE patients SET ssn = NULL WHERE id = 2")
    if step is INTO:
        # Somebody else may write the sealed column there: it stops, and drops nothing.
        with pytest.raises(CommandError, match="2 values could not be moved"):
            project.upgrade()
        assert "ssn" in names(project)
        execute(project, "UPDATE patients SET ssn_encrypted = NULL WHERE id < 3")
    project.upgrade()
    column = "ssn" if step is UNDER_ITS_NAME else "ssn_encrypted"
    found = values(project, column)
    expected = {n: ssn for n, ssn, _ in PLAIN} | {1: "ACKNOWLEDGED", 2: None}
    assert found == expected


def test_what_is_written_after_a_killed_downgrade_is_not_lost(project, monkeypatch):
    project.revision("r2", *UNDER_ITS_NAME)
    project.upgrade()
    kill_after(monkeypatch, lambda: project.downgrade("r1"))
    engine = project.engine()
    table = Table("patients", MetaData(), Column("id", Integer, primary_key=True))
    table.append_column(Column("ssn", EncryptedType(String(60))))
    with engine.begin() as connection:
        change = table.update().where(table.c.id == 1)
        connection.execute(change.values(ssn="ACKNOWLEDGED"))
    engine.dispose()
    project.downgrade("r1")
    assert plaintext(project)[0][1] == "ACKNOWLEDGED"
    assert plaintext(project)[1:] == PLAIN[1:]


@pytest.mark.parametrize("step", [UNDER_ITS_NAME, INTO], ids=["swap", "into"])
def test_what_is_written_behind_the_job_is_not_lost(project, monkeypatch, step):
    project.revision("r2", *step)
    project.upgrade("r1")
    written = []

    def reached(step):
        if step is Step.LOOKED and not written:
            written.append(step)
            execute(project, "UPDATE patients SET ssn = 'ACKNOWLEDGED' WHERE id = 1")

    with monkeypatch.context() as patched:
        patched.setattr(steps, "reached", reached)
        if step is INTO:
            with pytest.raises(CommandError, match="1 values could not be moved"):
                project.upgrade()
            assert plaintext(project)[0][1] == "ACKNOWLEDGED"
            return
        project.upgrade()
    assert values(project, "ssn")[1] == "ACKNOWLEDGED"


# Two at once, and one that is applied again


def test_two_at_once(project, monkeypatch):
    project.revision("r2", *UNDER_ITS_NAME)
    project.upgrade("r1")
    looked = []

    def other_process(step):
        if step is not Step.LOOKED or looked:
            return
        looked.append(step)
        if project.url.startswith("sqlite"):
            # It has no such lock: the columns are looked at again.
            execute(project, "ALTER TABLE patients RENAME COLUMN note TO later")
            return
        engine = project.engine()
        with engine.connect() as connection:
            operations = Operations(MigrationContext.configure(connection))
            with pytest.raises(CommandError, match="another process"):
                with alone_with(operations, "patients", None):
                    pass
        engine.dispose()

    with monkeypatch.context() as patched:
        patched.setattr(steps, "reached", other_process)
        project.upgrade()
    assert looked
    assert values(project, "ssn") == {n: ssn for n, ssn, _ in PLAIN}


@pytest.mark.parametrize("step", [UNDER_ITS_NAME, INTO], ids=["swap", "into"])
def test_a_revision_that_fails_after_its_operation(project, step):
    """And is applied again, in both directions, from its beginning."""
    up, down = step
    project.revision("r2", f"{up}\n{BROKEN}", f"{down}\n{BROKEN}")
    project.upgrade("r1")
    for direction in (project.upgrade, lambda: project.downgrade("r1")):
        project.config.attributes["broken"] = True
        with pytest.raises(RuntimeError, match="broken"):
            direction()
        project.config.attributes["broken"] = False
        direction()
    assert plaintext(project) == PLAIN


BROKEN = """
from alembic import context
if context.config.attributes["broken"]:
    op.get_bind().commit()
    raise RuntimeError("broken")
"""


def test_the_revision_of_autogenerate_goes_on_after_a_kill(project, monkeypatch):
    """With the indexes that it drops before, and those that it keeps."""
    project.upgrade()
    execute(project, "CREATE INDEX ix_patients_ssn ON patients (ssn)")
    metadata = MetaData()
    kind = EncryptedType(String(60))
    Table(
        "patients",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("ssn", kind),
        Column("note", String(60)),
    )
    written = project.autogenerate(metadata, "sealing")
    assert "op.drop_plain_index('ix_patients_ssn', 'patients', ['ssn'])" in written
    kill_after(monkeypatch, project.upgrade)
    project.upgrade()
    project.check(metadata)
    project.downgrade("r1")
    assert plaintext(project) == PLAIN
    engine = project.engine(keyring=False)
    indexes = sa.inspect(engine).get_indexes("patients")
    engine.dispose()
    assert [index["name"] for index in indexes] == ["ix_patients_ssn"]


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_an_index_that_stays(project):
    project.upgrade()
    execute(project, "CREATE INDEX ix_patients_ssn ON patients (ssn)")
    metadata = MetaData()
    column = Column("ssn", EncryptedType(String(60), suite="deterministic"))
    Table(
        "patients",
        metadata,
        Column("id", Integer, primary_key=True),
        column,
        Column("note", String(60)),
        Index("ix_patients_ssn", "ssn"),
    )
    project.autogenerate(metadata, "sealing")
    project.upgrade()
    project.check(metadata)
    project.downgrade("r1")
    assert plaintext(project) == PLAIN


def test_an_index_that_would_go_without_a_word(project):
    project.revision("r2", *UNDER_ITS_NAME)
    project.upgrade("r1")
    execute(project, "CREATE INDEX ix_patients_ssn ON patients (ssn)")
    with pytest.raises(CommandError, match="ix_patients_ssn would go with it"):
        project.upgrade()
    assert plaintext(project) == PLAIN


# What hangs on a table of SQLite


@pytest.fixture
def foreign_keys():
    def switch_on(connection, _record):
        connection.execute("PRAGMA foreign_keys = ON")

    event.listen(Engine, "connect", switch_on)
    yield
    event.remove(Engine, "connect", switch_on)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rows_that_refer_to_the_table_and_its_triggers(project, foreign_keys):
    project.revision(
        "r2",
        f'op.encrypt_column("patients", "ssn", {SSN}, into="ssn_encrypted", '
        "nullable=False)",
        f'op.decrypt_column("patients", "ssn_encrypted", {SSN}, into="ssn", drop=True)',
    )
    project.upgrade("r1")
    for sql in (
        "DELETE FROM patients WHERE ssn IS NULL",
        "CREATE TABLE visits (id INTEGER PRIMARY KEY, patient INTEGER "
        "REFERENCES patients (id) ON DELETE CASCADE)",
        "INSERT INTO visits (patient) SELECT id FROM patients",
        "CREATE TRIGGER mine BEFORE DELETE ON patients WHEN OLD.note = 'kept' "
        "BEGIN SELECT RAISE(ABORT, 'kept'); END",
        "CREATE TABLE _alembic_tmp_patients (id INTEGER)",
    ):
        execute(project, sql)
    before = project.rows("SELECT * FROM visits")
    project.upgrade()
    assert project.rows("SELECT * FROM visits") == before
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    assert project.rows(query) == [("mine",)]


# Types, lengths and NULL


@pytest.mark.parametrize(
    "kind, column, form",
    [
        ("sa.Date", "sa.String(20)", "'2026-11-26'"),
        ("sa.Integer", "sa.String(20)", "'7'"),
        ("sa.Boolean", "sa.String(20)", "'true'"),
        ("sa.JSON", "sa.String(20)", "'{\"a\": 1}'"),
        ("sa.String()", "sa.String(20)", "'text'"),
    ],
)
def test_the_way_back_of_values_that_were_text(project, kind, column, form):
    declared = f'EncryptedType({kind}, storage="text")'
    project.revision("r2", f'op.add_column("patients", sa.Column("v", {column}))', "")
    project.revision(
        "r3",
        f'op.encrypt_column("patients", "v", {declared})',
        f'op.decrypt_column("patients", "v", {declared})',
    )
    project.upgrade("r2")
    execute(project, f"UPDATE patients SET v = {form} WHERE id < 100")
    before = project.rows("SELECT id, v FROM patients ORDER BY id")
    project.upgrade()
    assert project.rows("SELECT v FROM patients WHERE id = 1")[0][0].startswith("sld:")
    project.downgrade("r2")
    assert project.rows("SELECT id, v FROM patients ORDER BY id") == before


def test_a_text_without_a_length_comes_back(project):
    declared = "EncryptedType(sa.String())"
    project.revision(
        "r2",
        f'op.encrypt_column("patients", "ssn", {declared})',
        f'op.decrypt_column("patients", "ssn", {declared})',
    )
    project.upgrade()
    project.downgrade("r1")
    assert plaintext(project) == PLAIN


def test_values_that_have_become_longer_are_not_cut(project):
    declared = 'EncryptedType(sa.String(60), storage="text")'
    project.revision(
        "r2",
        f'op.encrypt_column("patients", "note", {declared})',
        f'op.decrypt_column("patients", "note", {declared})',
    )
    project.upgrade()
    engine = project.engine()
    table = Table("patients", MetaData(), Column("id", Integer, primary_key=True))
    table.append_column(Column("note", EncryptedType(String(60), storage="text")))
    with engine.begin() as connection:
        change = table.update().where(table.c.id == 1)
        connection.execute(change.values(note="x" * 100))
    engine.dispose()
    if project.url.startswith("sqlite"):
        project.downgrade("r1")
    else:
        with pytest.warns(UserWarning, match="values of 100 characters: it stays TEXT"):
            project.downgrade("r1")
    assert project.rows("SELECT note FROM patients WHERE id = 1") == [("x" * 100,)]


def test_not_null_comes_back(project):
    project.upgrade()
    execute(project, "DELETE FROM patients WHERE ssn IS NULL")
    metadata = MetaData()
    Table(
        "patients",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("ssn_encrypted", EncryptedType(String(60)), nullable=False),
        Column("note", String(60)),
    )
    written = project.autogenerate(metadata, "sealing")
    assert written.count("nullable=False") == 2
    project.upgrade()
    project.downgrade("r1")
    with pytest.raises(Exception, match="(?i)null|default value"):
        execute(project, "INSERT INTO patients (id) VALUES (9999)")


# What was forgotten


def test_without_a_key_nothing_is_changed(project, monkeypatch):
    monkeypatch.delenv("SEALED_KEYS", raising=False)
    project.revision("r2", *UNDER_ITS_NAME)
    project.upgrade("r1")
    project.config.attributes["keyring"] = None
    with pytest.raises(Exception, match="SEALED_KEYS"):
        project.upgrade()
    assert sorted(names(project)) == ["id", "note", "ssn"]


FORGOTTEN = """
import sys
from alembic import command
from alembic.config import Config
from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy_sealed import EncryptedType

metadata = MetaData()
Table("patients", metadata, Column("id", Integer, primary_key=True),
      Column("ssn", EncryptedType(String(60))), Column("note", String(60)))
config = Config()
config.set_main_option("script_location", sys.argv[1])
config.set_main_option("sqlalchemy.url", sys.argv[2])
config.attributes.update(keyring=None, metadata=metadata)
command.revision(config, "x", autogenerate=True)
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_env_that_does_not_know_the_operations(project):
    project.upgrade()
    project.env.write_text(project.env.read_text().replace("import alembic_ext", ""))
    folder = project.config.get_main_option("script_location")
    done = subprocess.run(
        [sys.executable, "-c", FORGOTTEN, folder, project.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Add this line to env.py: import alembic_ext" in done.stderr


# Names, pools, uniqueness


@pytest.mark.parametrize("name", ["100%", "a:b", "50%% of"])
def test_a_column_of_any_name_is_swapped_there_and_back(project, name):
    project.upgrade()
    engine = project.engine(keyring=False)
    with engine.begin() as connection:
        quoted = connection.dialect.identifier_preparer.quote(name)
        connection.exec_driver_sql(
            f"ALTER TABLE patients RENAME COLUMN ssn TO {quoted}"
        )
    engine.dispose()
    before = named(project, name)
    project.revision(
        "r2",
        f'op.encrypt_column("patients", {name!r}, {SSN})',
        f'op.decrypt_column("patients", {name!r}, {SSN})',
    )
    project.upgrade()
    assert list(values(project, name).values()) == before
    project.downgrade("r1")
    assert named(project, name) == before


def named(project, name):
    engine = project.engine(keyring=False)
    table = sa.table("patients", sa.column("id"), sa.column(name))
    with engine.connect() as connection:
        found = connection.execute(sa.select(table).order_by(table.c.id)).all()
    engine.dispose()
    return [row[1] for row in found]


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_revision_that_has_failed_gives_its_lock_back(project):
    project.upgrade()
    engine = project.engine()
    with pytest.raises(sa.exc.DBAPIError), engine.connect() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with alone_with(operations, "patients", None):
            connection.execute(text("SELECT * FROM there_is_no_such_table"))
    # The connection is in the pool now, and another process comes.
    other = project.engine()
    with other.connect() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with alone_with(operations, "patients", None):
            pass
    engine.dispose()
    other.dispose()


INDEXED = "EncryptedType(sa.String(60), index=BlindIndex(unique=True))"


def test_what_a_unique_index_refuses_is_refused_before_the_plaintext_goes(project):
    project.upgrade()
    execute(project, "UPDATE patients SET ssn = 'once more' WHERE id IN (7, 130)")
    before = plaintext(project)
    project.revision(
        "r2",
        f'op.encrypt_column("patients", "ssn", {INDEXED})',
        f'op.decrypt_column("patients", "ssn", {INDEXED})',
    )
    with pytest.raises(CommandError, match="equal in ssn_bidx are the rows 7 and 130"):
        project.upgrade()
    # The application of today goes on.
    assert plaintext(project) == before
    execute(project, "UPDATE patients SET ssn = 'another' WHERE id = 130")
    after = plaintext(project)
    project.upgrade()
    assert values(project, "ssn") == {row[0]: row[1] for row in after}
    assert "ssn_bidx" in names(project)
    assert "ssn_moving" not in names(project)
    project.downgrade("r1")
    assert plaintext(project) == after


def test_a_way_back_is_not_taken_for_the_one_before(project):
    """A revision that was refused, and stamped by hand: nothing passes for done."""
    project.revision(
        "r2",
        f'op.encrypt_column("patients", "ssn", {INDEXED})',
        f'op.decrypt_column("patients", "ssn", {INDEXED})',
    )
    project.upgrade()
    project.downgrade("r1")
    execute(project, "UPDATE patients SET ssn = 'once more' WHERE id IN (7, 130)")
    before = plaintext(project)
    with pytest.raises(CommandError, match="7 and 130"):
        project.upgrade()
    command.stamp(project.config, "r2")
    with pytest.raises(CommandError):
        project.downgrade("r1")
    assert plaintext(project) == before
    assert project.version() == "r2"


ATTACHED = {
    "of_kind": "ADD CONSTRAINT of_kind FOREIGN KEY (ssn) REFERENCES kinds (name)",
    "CHECK constraint": "ADD CONSTRAINT short CHECK (length(ssn) < 50)",
    "default": "ALTER COLUMN ssn SET DEFAULT 'none'",
}


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("what", ATTACHED)
def test_what_is_attached_to_a_column_does_not_go_without_a_word(project, what):
    project.upgrade()
    execute(project, "CREATE TABLE kinds (name VARCHAR(60) PRIMARY KEY)")
    execute(
        project,
        "INSERT INTO kinds SELECT DISTINCT ssn FROM patients WHERE ssn IS NOT NULL",
    )
    execute(project, f"ALTER TABLE patients {ATTACHED[what]}")
    before = plaintext(project)
    project.revision("r2", *UNDER_ITS_NAME)
    with pytest.raises(CommandError, match=f"{what}.*Nothing was changed"):
        project.upgrade()
    assert plaintext(project) == before
    assert names(project) == ["id", "ssn", "note"]


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_comment_stays(project):
    project.upgrade()
    engine = project.engine(keyring=False)
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        kind = {"existing_type": String(60), "comment": "as on the card"}
        operations.alter_column("patients", "ssn", **kind)
    project.revision("r2", *UNDER_ITS_NAME)
    for turn in (project.upgrade, lambda: project.downgrade("r1")):
        turn()
        columns = sa.inspect(engine).get_columns("patients")
        comments = {one["name"]: one["comment"] for one in columns}
        assert comments["ssn"] == "as on the card"
    engine.dispose()


def test_what_was_written_to_the_sealed_column_only_goes_back(project):
    down = f'op.decrypt_column("patients", "ssn_encrypted", {SSN}, into="ssn"%s)'
    up = f'op.encrypt_column("patients", "ssn", {SSN}, into="ssn_encrypted")'
    project.revision("r2", up, down % "")
    project.upgrade()
    before = plaintext(project)
    table = Table("patients", MetaData(), Column("id", Integer, primary_key=True))
    table.append_column(Column("ssn_encrypted", EncryptedType(String(60))))
    engine = project.engine()
    with engine.begin() as connection:
        changed = table.update().where(table.c.id == 7)
        connection.execute(changed, {"ssn_encrypted": "newer"})
    engine.dispose()
    with pytest.raises(CommandError, match="1 values could not be moved"):
        project.downgrade("r1")
    assert plaintext(project) == before
    [script] = project.env.parent.glob("versions/r2.py")
    revision = script.read_text()
    script.write_text(revision.replace('into="ssn")', 'into="ssn", source_wins=True)'))
    project.downgrade("r1")
    expected = [(n, "newer" if n == 7 else v, note) for n, v, note in before]
    assert plaintext(project) == expected


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_unique_constraint_without_a_name(project, keyring):
    """SQLite lets it go without one, and Alembic passes over it."""
    project.upgrade()
    execute(project, "DROP TABLE patients")
    execute(
        project,
        "CREATE TABLE patients (id INTEGER NOT NULL, ssn VARCHAR(60), note TEXT, "
        "PRIMARY KEY (id), UNIQUE (ssn))",
    )
    rows = [(n, f"secret {n}", "x") for n in range(1, 41)]
    execute(project, f"INSERT INTO patients VALUES {str(rows)[1:-1]}")
    metadata = MetaData()
    Table(
        "patients",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("ssn", EncryptedType(String(60), index=BlindIndex(unique=True))),
        Column("note", sa.Text),
    )
    found = project.autogenerate(metadata, "r2")
    assert "drop_plain_index('uq_patients_ssn', 'patients', ['ssn']" in found
    project.upgrade()
    assert values(project, "ssn") == {n: v for n, v, _ in rows}
    project.downgrade("r1")
    assert plaintext(project) == rows
    with pytest.raises(sa.exc.IntegrityError):
        execute(project, "INSERT INTO patients (id, ssn) VALUES (99, 'secret 1')")
    # And in the contract of two columns.
    project.revision(
        "r3",
        'op.drop_plain_index("uq_patients_ssn", "patients", ["ssn"], '
        'kind="unique constraint")\nop.drop_column("patients", "ssn")',
        "pass",
    )
    execute(project, "UPDATE alembic_version SET version_num = 'r2'")
    project.upgrade()
    assert names(project) == ["id", "note"]


def test_a_way_that_was_gone_once_is_gone_again(project):
    """What is remembered of it is a name, which may mean another column by now."""
    project.upgrade()
    before = plaintext(project)
    kind = 'EncryptedType(sa.String(60), context="patients.ssn_encrypted")'
    up = f'op.encrypt_column("patients", "ssn", {kind})'
    down = f'op.decrypt_column("patients", "ssn", {kind})'
    project.revision("r2", up, down)
    project.revision("r3", down, "pass")
    into = f'op.encrypt_column("patients", "ssn", {kind}, into="other", drop=True)'
    renamed = f'op.rename_sealed_column("patients", "other", "ssn", {kind})'
    project.revision("r4", f"{into}\n{renamed}", "pass")
    project.revision("r5", down, "pass")
    project.upgrade()
    assert named(project, "ssn") == [row[1] for row in before]


def test_a_table_that_was_made_anew_is_sealed_again(project):
    up = f'op.encrypt_column("patients", "ssn", {INDEXED})'
    project.revision("r2", up, "pass")
    project.revision("r3", 'op.drop_table("patients")\n' + CREATE, "pass")
    project.revision("r4", up, "pass")
    project.upgrade("r3")
    before = plaintext(project)
    project.upgrade()
    assert values(project, "ssn") == {row[0]: row[1] for row in before}
    assert "ssn_bidx" in names(project)


def test_a_column_of_the_name_of_an_index_is_not_touched(project):
    project.upgrade()
    execute(project, "ALTER TABLE patients ADD COLUMN ssn_bidx VARCHAR(60)")
    execute(project, "UPDATE patients SET ssn_bidx = 'of the application'")
    before = project.rows("SELECT ssn, ssn_bidx FROM patients ORDER BY id")
    project.revision("r2", f'op.encrypt_column("patients", "ssn", {INDEXED})', "pass")
    with pytest.raises(CommandError, match="has a column ssn_bidx already"):
        project.upgrade()
    assert project.rows("SELECT ssn, ssn_bidx FROM patients ORDER BY id") == before


LOSSY = {
    "AUTOINCREMENT": "id INTEGER PRIMARY KEY AUTOINCREMENT, ssn TEXT NOT NULL",
    "a collation": "id INTEGER PRIMARY KEY, ssn TEXT NOT NULL, n TEXT COLLATE NOCASE",
    "a CHECK without a name": "id INTEGER PRIMARY KEY, ssn TEXT NOT NULL, "
    "n INT CHECK (n > 0), CONSTRAINT small CHECK (n < 9)",
    "the index odd on an expression": "id INTEGER PRIMARY KEY, ssn TEXT NOT NULL, n",
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", LOSSY)
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
def test_a_copy_of_a_table_loses_nothing_without_a_word(project, what):
    project.upgrade()
    execute(project, "DROP TABLE patients")
    execute(project, f"CREATE TABLE patients ({LOSSY[what]})")
    execute(project, "INSERT INTO patients (id, ssn) VALUES (1, 'x')")
    if "index" in what:
        execute(project, "CREATE INDEX odd ON patients (lower(n))")
    query = "SELECT sql FROM sqlite_master WHERE tbl_name = 'patients'"
    before = project.rows(query)
    project.revision("r2", *UNDER_ITS_NAME)
    with pytest.raises(CommandError, match=f"would lose {what}\\. Nothing"):
        project.upgrade()
    assert project.rows(query) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX odd ON patients (lower(ssn))",
        "CREATE INDEX odd ON patients (note) WHERE ssn IS NOT NULL",
    ],
)
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
def test_an_index_that_reflection_does_not_see(project, sql):
    project.upgrade()
    execute(project, sql)
    before = plaintext(project)
    project.revision("r2", *UNDER_ITS_NAME)
    with pytest.raises(CommandError, match="odd would go with it"):
        project.upgrade()
    assert plaintext(project) == before
    assert names(project) == ["id", "ssn", "note"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_unique_constraint_that_reflection_does_not_see(project):
    project.upgrade()
    execute(project, "DROP TABLE patients")
    execute(
        project,
        "CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn varchar(60) unique, note)",
    )
    project.revision("r2", *UNDER_ITS_NAME)
    with pytest.raises(CommandError, match="uq_patients_ssn would go with it"):
        project.upgrade()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_such_a_constraint_is_not_said_to_be_dropped(project):
    project.upgrade()
    execute(project, "DROP TABLE patients")
    execute(
        project,
        "CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn varchar(60) unique, note)",
    )
    project.revision(
        "r2",
        'op.drop_plain_index("uq_patients_ssn", "patients", ["ssn"], '
        'kind="unique constraint")',
        "pass",
    )
    with pytest.raises(CommandError, match="has a UNIQUE on ssn, which"):
        project.upgrade()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["7", "'0'", "'yes'"])
def test_what_is_no_truth_value_is_none_afterwards(project, value):
    project.upgrade()
    execute(project, "DROP TABLE patients")
    execute(project, "CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn)")
    execute(project, f"INSERT INTO patients VALUES (1, {value}), (2, 1), (3, 0)")
    before = project.rows("SELECT * FROM patients")
    kind = "EncryptedType(sa.Boolean)"
    project.revision("r2", f'op.encrypt_column("patients", "ssn", {kind})', "pass")
    with pytest.raises(CommandError, match="1 values could not be moved"):
        project.upgrade()
    assert project.rows("SELECT id, ssn FROM patients") == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_text_that_is_no_text_is_not_shown_by_a_change_of_storage(project):
    project.upgrade()
    kind = 'EncryptedType(sa.String(60), storage="%s")'
    text_form = kind % "text"
    project.revision("r2", f'op.encrypt_column("patients", "ssn", {text_form})', "pass")
    change = f'op.change_sealed_storage("patients", "ssn", {kind % "binary"})'
    project.revision("r3", change, "pass")
    project.upgrade("r2")
    execute(
        project,
        "UPDATE patients SET ssn = CAST(x'43414e415259ff' AS TEXT) WHERE id = 7",
    )
    with pytest.raises(SealedError, match="not valid UTF-8") as caught:
        project.upgrade()
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
