"""``strategy=``: which ways there are, and what is in the way of sealing in place."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import ops
from alembic.util import CommandError
from migrations.project import Project
from migrations.test_autogenerate import body, model, plain
from migrations.test_operations import (
    CREATE,
    NOTE,
    PLAIN,
    names,
    plaintext,
    sealed_values,
)
from sqlalchemy import Column, String
from sqlalchemy.exc import NotSupportedError
from sqlalchemy_sealed import EncryptedType, Pace
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.steps import Step

from alembic_ext import EncryptColumnOp

pytestmark = pytest.mark.thorough

TEXT = EncryptedType(String(60), storage="text")
NOTES = {n: note for n, _, note in PLAIN}


@pytest.fixture
def project(project):
    return begin(project)


def begin(project):
    project.config.attributes["configure"] = {"sealed_pace": Pace.full_speed()}
    project.revision("r1", CREATE, 'op.drop_table("patients")')
    project.upgrade()
    return project


def seal(project, name="r2", kind=NOTE, more=""):
    project.revision(
        name,
        f'op.encrypt_column("patients", "note", {kind}{more})',
        f'op.decrypt_column("patients", "note", {kind}{more})',
    )


def execute(project, *statements):
    engine = project.engine(keyring=False)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
    finally:
        engine.dispose()


def note(project):
    """Return what the database says of the column."""
    engine = project.engine(keyring=False)
    columns = {c["name"]: c for c in sa.inspect(engine).get_columns("patients")}
    engine.dispose()
    return columns["note"]


@pytest.mark.parametrize(
    ("strategy", "options", "reason"),
    [
        ("in-place", {}, 'storage="text"'),
        ("in-place", {"into": "other"}, "leave one of the two out"),
        ("swap", {"into": "other"}, "leave one of the two out"),
        ("expand-contract", {}, 'into="..."'),
        ("magic", {}, '"expand-contract" or "swap" or "in-place"'),
    ],
)
@pytest.mark.parametrize("kind", ["EncryptColumnOp", "DecryptColumnOp"])
def test_a_strategy_that_does_not_fit_is_refused(kind, strategy, options, reason):
    import alembic_ext

    type_ = EncryptedType(String(60))
    with pytest.raises(CommandError, match=f"^patients.note: .*{reason}"):
        getattr(alembic_ext, kind)(
            "patients", "note", type_, strategy=strategy, **options
        )


@pytest.mark.parametrize("strategy", ["swap", "in-place", None])
@pytest.mark.parametrize("index", ["", ", index=BlindIndex()"])
def test_each_strategy_goes_there_and_back(project, strategy, index):
    change = """
    with op.batch_alter_table("patients") as batch:
        batch.alter_column("note", existing_type=sa.String(60), nullable=False)
    """
    project.revision("r1b", change, "")
    kind = NOTE.removesuffix(")") + index + ")"
    seal(project, kind=kind, more=f", strategy={strategy!r}")
    project.upgrade()
    assert sealed_values(project, "note", TEXT) == NOTES
    assert ("note_bidx" in names(project)) is bool(index)
    assert not note(project)["nullable"]
    if index:
        empty = "SELECT count(*) FROM patients WHERE note_bidx IS NULL"
        assert project.rows(empty) == [(0,)]
    project.downgrade("r1b")
    assert plaintext(project) == PLAIN
    assert sorted(names(project)) == ["id", "note", "ssn"]
    assert not note(project)["nullable"]


def test_a_strategy_is_written_and_reversed():
    op = EncryptColumnOp("patients", "note", TEXT, strategy="swap")
    for one in (op, op.reverse(), op.reverse().reverse()):
        written = render_python_code(ops.UpgradeOps([one]))
        assert written.rstrip().splitlines()[1].endswith("strategy='swap')")


INDEX = "CREATE INDEX notes ON patients (note)"
UNIQUE = "CREATE UNIQUE INDEX notes ON patients (note)"
WIDE = "ALTER TABLE patients ADD COLUMN {}"


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (INDEX, "the index notes is on it"),
        (UNIQUE, "notes makes it unique"),
        (WIDE.format("note VARCHAR(60) CHECK (length(note) < 61)"), "CHECK constraint"),
        (WIDE.format("note VARCHAR(60) DEFAULT 'SECRET'"), "default in the database"),
        (WIDE.format("note INTEGER"), "no character column but INTEGER"),
        ("UPDATE patients SET note = 'sld:SECRET' WHERE id IN (7, 9)", "2 of its .*"
         "in the rows 7, 9: either the keyring"),
        ("UPDATE patients SET note = 'sld:SECRET' WHERE id < 20", "19 of its .*"
         "in the rows 1, 2, 3, 4, 5, ...: either the"),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_found_before_anything_is_written(
    project, before, reason
):
    if "ADD COLUMN" in before:
        execute(project, "ALTER TABLE patients DROP COLUMN note")
    execute(project, before)
    known = project.rows("SELECT * FROM patients ORDER BY id"), str(note(project))
    seal(project)
    with pytest.raises(CommandError, match=f"in place: .*{reason}") as caught:
        project.upgrade()
    assert "SECRET" not in str(caught.value)
    now = project.rows("SELECT * FROM patients ORDER BY id"), str(note(project))
    assert now == known
    assert project.version() == "r1"


def test_text_that_only_resembles_an_envelope_is_sealed(project):
    """The prefix is looked for byte by byte, whatever the collation says."""
    execute(project, "UPDATE patients SET note = 'SLD:upper' WHERE id = 1")
    check = "note2 VARCHAR(60) CHECK (note2 <> 'note')"
    execute(project, WIDE.format(check))
    seal(project)
    project.upgrade()
    assert sealed_values(project, "note", TEXT)[1] == "SLD:upper"


def test_what_a_killed_revision_has_sealed_is_not_in_the_way(project, monkeypatch):
    project.config.attributes["configure"] = {
        "sealed_pace": Pace(rate=None, batch_rows=50)
    }
    seal(project)

    def reached(step):
        if step is Step.COMMITTED:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, "reached", reached)
        with pytest.raises(KeyboardInterrupt):
            project.upgrade()
    done = "SELECT count(*) FROM patients WHERE note LIKE 'sld:%'"
    assert 0 < project.rows(done)[0][0] < len(PLAIN)
    project.keyring.rotate()
    project.upgrade()
    assert sealed_values(project, "note", TEXT) == NOTES


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_database_that_cuts_is_refused(tmp_path, database_url, keyring):
    mode = {"sql_mode": "NO_ENGINE_SUBSTITUTION"}
    url = sa.make_url(database_url).update_query_dict(mode)
    project = begin(Project(tmp_path / "other", str(url), keyring))
    seal(project)
    with pytest.raises(CommandError, match="set STRICT_TRANS_TABLES"):
        project.upgrade()
    assert plaintext(project) == PLAIN


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_long_column_stays_as_long(project):
    execute(
        project,
        "ALTER TABLE patients MODIFY note LONGTEXT NOT NULL COMMENT 'of the doctor'",
    )
    seal(project)
    project.upgrade()
    kept = note(project)
    assert str(kept["type"]).startswith("LONGTEXT")
    assert kept["type"].collation == "utf8mb4_bin"
    assert (kept["nullable"], kept["comment"]) == (False, "of the doctor")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_collation_that_ignores_case_goes(project):
    """Envelopes that differ in case only are different values."""
    collation = "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    try:
        execute(project, f"CREATE COLLATION ci {collation}")
    except NotSupportedError:
        pytest.skip("this build of PostgreSQL, the embedded one, has no ICU")
    execute(
        project,
        'ALTER TABLE patients ALTER note TYPE TEXT COLLATE "ci"',
        "UPDATE patients SET note = 'SLD:upper' WHERE id = 1",
    )
    seal(project)
    project.upgrade()
    query = "SELECT collation_name FROM information_schema.columns "
    where = "WHERE table_name = 'patients' AND column_name = 'note'"
    assert project.rows(query + where) == [("C",)]
    assert sealed_values(project, "note", TEXT) == {**NOTES, 1: "SLD:upper"}


def test_autogenerate_clears_the_way(project):
    """Indexes of the plaintext go before it is sealed, and come back after it."""
    before = model(plain("ssn"), Column("note", String(60), index=True))
    project.autogenerate(before, "indexed")
    project.upgrade()
    after = model(plain("ssn"), Column("note", TEXT))
    written = body(project.autogenerate(after, "sealing"))
    up = written.partition("def downgrade()")[0]
    assert up.index("drop_plain_index") < up.index("encrypt_column")
    project.upgrade()
    project.check(after)
    assert sealed_values(project, "note", TEXT) == NOTES
    project.downgrade("indexed")
    assert plaintext(project) == PLAIN
    engine = project.engine(keyring=False)
    indexes = sa.inspect(engine).get_indexes("patients")
    engine.dispose()
    assert [one["name"] for one in indexes] == ["ix_patients_note"]
