"""A sealed column that is declared otherwise: suite, padding, storage, type."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from migrations.test_autogenerate import body, model, plain, sealed
from migrations.test_operations import CREATE, PLAIN, SSN, sealed_values
from migrations.test_renames import seal, state
from sqlalchemy import Column, Engine, Integer, String, event
from sqlalchemy_sealed import Blocks, BlindIndex, Bucket, EncryptedType, Pace

from alembic_ext import storage

pytestmark = pytest.mark.thorough

VALUES = {n: ssn for n, ssn, _ in PLAIN}
KIND = EncryptedType(String(60))


@pytest.fixture
def project(project):
    project.config.attributes["configure"] = {"sealed_pace": Pace.full_speed()}
    project.revision("r1", CREATE, 'op.drop_table("patients")')
    project.upgrade()
    return project


def declared(**options):
    return model(sealed("ssn", **options), plain("note"))


def there_and_back(project, before, after, known=None):
    """Apply the revision, find nothing more, read every value, and go back."""
    known = known or state(project)
    project.upgrade()
    project.check(after)
    kind = after.tables["patients"].c.ssn.type
    strict = EncryptedType(
        String(60), suite=kind.suite, storage=kind.storage, padding=kind.padding
    )
    assert sealed_values(project, "ssn", strict) == VALUES
    project.downgrade("sealing")
    assert state(project) == known
    former = before.tables["patients"].c.ssn.type
    strict = EncryptedType(
        String(60), suite=former.suite, storage=former.storage, padding=former.padding
    )
    assert sealed_values(project, "ssn", strict) == VALUES


LOOKS = [
    ({}, {"suite": "deterministic"}),
    ({"suite": "deterministic"}, {}),
    ({}, {"padding": None}),
    ({"padding": None}, {"padding": Bucket(64)}),
    ({"storage": "text"}, {"storage": "text", "suite": "deterministic"}),
]


@pytest.mark.parametrize(("former", "later"), LOOKS)
def test_values_are_moved_from_one_declaration_to_another(project, former, later):
    before = seal(project, sealed("ssn", **former), plain("note"))
    accepted = EncryptedType(String(60), **former)
    after = declared(**later, accepts=[accepted])
    written = body(project.autogenerate(after, "moving"))
    up, _, down = written.partition("def downgrade()")
    for part in (up, down):
        assert "op.reencrypt_columns('patients', {'ssn': " in part
        assert "accepts=[sqlalchemy_sealed.EncryptedType(sa.String(" in part
    there_and_back(project, before, after)


def test_a_model_that_cannot_read_what_is_there_is_told(project):
    before = seal(project)
    after = declared(suite="deterministic")
    with pytest.warns(UserWarning, match=r"accepts=\[EncryptedType\(String\(length=60"):
        project.autogenerate(after, "moving")
    there_and_back(project, before, after)


def test_another_bucket_is_read_as_it_is(project):
    before = seal(project, sealed("ssn", padding=Bucket(64)), plain("note"))
    stored = project.rows("SELECT ssn FROM patients ORDER BY id")
    after = declared(padding=Blocks())
    written = body(project.autogenerate(after, "lengths"))
    assert "op.record_sealed_column('patients', 'ssn', " in written
    assert "reencrypt" not in written
    there_and_back(project, before, after)
    assert project.rows("SELECT ssn FROM patients ORDER BY id") == stored


def test_another_type_is_not_sealed_over(project):
    seal(project)
    after = model(Column("ssn", EncryptedType(Integer)), plain("note"))
    with pytest.warns(UserWarning, match="none of its values opens"):
        written = body(project.autogenerate(after, "type"))
    assert "op." not in written


@pytest.mark.parametrize("index", [None, BlindIndex()])
@pytest.mark.parametrize("first", ["binary", "text"])
def test_envelopes_take_the_other_form(project, first, index):
    second = "text" if first == "binary" else "binary"
    before = seal(project, sealed("ssn", storage=first, index=index), plain("note"))
    after = declared(storage=second, index=index)
    written = body(project.autogenerate(after, "storage"))
    assert written.count("op.change_sealed_storage('patients', 'ssn', ") == 2
    assert "crypt_column" not in written
    project.upgrade()
    stored = project.rows("SELECT ssn FROM patients WHERE id = 1")[0][0]
    assert isinstance(stored, str) is (second == "text")
    project.downgrade("sealing")
    there_and_back(project, before, after)


def test_storage_and_suite_change_one_after_the_other(project):
    before = seal(project)
    later = {"storage": "text", "suite": "deterministic"}
    after = declared(**later, accepts=[EncryptedType(String(60), storage="text")])
    written = body(project.autogenerate(after, "both"))
    calls = [one.strip()[:16] for one in written.splitlines() if "op." in one]
    assert calls == [
        "op.change_sealed",
        "op.reencrypt_col",
        "op.reencrypt_col",
        "op.change_sealed",
    ]
    there_and_back(project, before, after)


def test_a_write_between_two_sweeps_is_not_lost(project, monkeypatch):
    seal(project)
    project.autogenerate(declared(storage="text"), "storage")
    original, swept = storage._sweep, []

    def sweep(engine, table):
        found = original(engine, table)
        swept.append(found)
        if len(swept) == 1:
            with engine.begin() as connection:
                own = sa.Table("patients", sa.MetaData(), Column("id", Integer))
                own.append_column(Column("ssn", EncryptedType(String(60))))
                for n, value in ((3, "late"), (4, None)):
                    change = own.update().where(own.c.id == n).values(ssn=value)
                    connection.execute(change)
        return found

    monkeypatch.setattr(storage, "_sweep", sweep)
    project.upgrade()
    assert swept[1:] == [2, 0]
    kind = EncryptedType(String(60), storage="text")
    assert sealed_values(project, "ssn", kind) == {**VALUES, 3: "late", 4: None}


@pytest.mark.parametrize("page", [7, 125, 1000])
def test_pages_cover_every_row(project, monkeypatch, page):
    monkeypatch.setattr(storage, "_PAGE", page)
    before = seal(project)
    after = declared(storage="text")
    project.autogenerate(after, "storage")
    there_and_back(project, before, after)


def test_plaintext_in_a_sealed_column_stops_it(project):
    seal(project)
    engine = project.engine(keyring=False)
    with engine.begin() as connection:
        change = sa.text("UPDATE patients SET ssn = :v WHERE id = 7")
        connection.execute(change, {"v": b"TOPSECRET"})
    engine.dispose()
    known = state(project)
    project.autogenerate(declared(storage="text"), "storage")
    with pytest.raises(CommandError, match="the row 7 holds no envelope") as caught:
        project.upgrade()
    assert "TOPSECRET" not in str(caught.value)
    stored = project.rows("SELECT ssn FROM patients WHERE id = 7")[0][0]
    assert bytes(stored) == b"TOPSECRET"
    assert (project.version(), state(project)) == ("sealing", known)


@pytest.mark.parametrize("kill", range(1, 5))
def test_a_column_on_its_way_to_the_other_form_arrives(project, monkeypatch, kill):
    before, known = seal(project), state(project)
    after = declared(storage="text")
    project.autogenerate(after, "storage")

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
    there_and_back(project, before, after, known)


def test_a_fence_is_around_the_other_form_too(project):
    seal(project)
    fence = f'op.%s("patients", "ssn", {SSN})'
    project.revision("r3", fence % "seal_fence", fence % "drop_seal_fence")
    project.upgrade()
    after = declared(storage="text")
    written = body(project.autogenerate(after, "storage"))
    calls = [line.strip().partition("(")[0] for line in written.splitlines()]
    calls = [one for one in calls if one.startswith("op.")]
    once = ["op.drop_seal_fence", "op.change_sealed_storage", "op.seal_fence"]
    assert calls == once * 2
    project.upgrade()
    engine = project.engine(keyring=False)
    with engine.connect() as connection:
        with pytest.raises(Exception, match="(?i)sealed_fence"):
            change = "UPDATE patients SET ssn = 'plaintext' WHERE id = 1"
            connection.execute(sa.text(change))
        connection.rollback()
    engine.dispose()
    project.downgrade("sealing")
    assert sealed_values(project, "ssn") == VALUES


def test_storage_is_not_changed_by_printed_sql(project):
    call = f'op.change_sealed_storage("patients", "ssn", {SSN})'
    project.revision("r2", call, "")
    with pytest.raises(CommandError, match="without --sql"):
        project.upgrade("r1:r2", sql=True)


def test_one_column_is_reencrypted(project, keyring):
    seal(project)
    project.revision("r3", f'op.reencrypt_column("patients", "ssn", {SSN})', "")
    keyring.rotate()
    known = state(project)
    project.upgrade()
    stored = project.rows("SELECT ssn FROM patients WHERE id = 1")[0][0]
    assert bytes(stored)[8:24] == keyring.active.kid
    assert state(project) == known


def test_the_state_is_asked_once(project):
    """However many tables there are."""
    seal(project)
    metadata = declared()
    for n in range(5):
        key = Column("id", Integer, primary_key=True)
        sa.Table(f"table_{n}", metadata, key, sealed("value"))
    project.autogenerate(metadata, "tables")
    project.upgrade()
    asked = []

    def listen(_connection, _cursor, statement, *_rest):
        if "FROM sealed_columns" in statement:
            asked.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        project.check(metadata)
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    assert len(asked) == 1
