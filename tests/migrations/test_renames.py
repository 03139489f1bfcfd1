"""A sealed column or table under another name: its values open, and nothing is lost."""

from __future__ import annotations

import alembic
import pytest
import sqlalchemy as sa
from alembic.util import CommandError
from migrations.test_autogenerate import body, model, plain, sealed
from migrations.test_operations import CREATE, PLAIN, SSN, sealed_values
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from sqlalchemy_sealed import BlindIndex, Bucket, EncryptedType, Pace
from sqlalchemy_sealed.descriptor import encrypted

pytestmark = pytest.mark.thorough

VALUES = {n: ssn for n, ssn, _ in PLAIN}
FIELD = "patients.ssn"
# Before, Alembic fails where a table goes that another one refers to.
REFERS = tuple(map(int, alembic.__version__.split("."))) >= (1, 18, 3)


@pytest.fixture
def project(project):
    project.config.attributes["configure"] = {"sealed_pace": Pace.full_speed()}
    project.revision("r1", CREATE, 'op.drop_table("patients")')
    project.upgrade()
    return project


def seal(project, *columns):
    """Apply what seals the model, and return it."""
    before = model(*(columns or (sealed("ssn"), plain("note"))))
    project.autogenerate(before, "sealing")
    project.upgrade()
    project.check(before)
    return before


def state(project):
    query = "SELECT table_name, column_name, declaration FROM sealed_columns"
    return sorted(project.rows(query))


def columns_and_indexes(project, table):
    engine = project.engine(keyring=False)
    inspector = sa.inspect(engine)
    names = [column["name"] for column in inspector.get_columns(table)]
    indexes = [index["name"] for index in inspector.get_indexes(table)]
    engine.dispose()
    return sorted(names), sorted(indexes)


def there_and_back(project, after, table="patients"):
    """Apply the renaming, find nothing more, and go back."""
    known, found = state(project), columns_and_indexes(project, "patients")
    project.upgrade()
    project.check(after)
    assert "op." not in body(project.autogenerate(after, "empty"))
    renamed = columns_and_indexes(project, table)
    project.downgrade("sealing")
    assert state(project) == known
    assert columns_and_indexes(project, "patients") == found
    assert sealed_values(project, "ssn") == VALUES
    project.upgrade()
    return renamed


@pytest.mark.parametrize("options", [{}, {"index": BlindIndex()}])
def test_a_context_says_what_a_column_was(project, options):
    seal(project, sealed("ssn", **options), plain("note"))
    after = model(sealed("social", context=FIELD, **options), plain("note"))
    written = body(project.autogenerate(after, "renaming"))
    assert "op.rename_sealed_column('patients', 'ssn', 'social', " in written
    assert "'patients.social' keeps the field of its values" in written
    for other in ("drop_column", "add_column", "index('ix"):
        assert other not in written
    names, indexes = there_and_back(project, after)
    terms = ["social_bidx"] if options else []
    assert names == ["id", "note", "social", *terms]
    assert indexes == [f"ix_patients_{name}" for name in terms]
    kind = EncryptedType(String(60), context=FIELD)
    assert sealed_values(project, "social", kind) == VALUES
    if options:
        table = after.tables["patients"]
        engine = project.engine()
        with engine.connect() as connection:
            query = sa.select(table.c.id).where(table.c.social == "secret 7")
            assert connection.scalars(query).all() == [7]
        engine.dispose()


def test_indexes_that_are_named_otherwise(project):
    """They are dropped before, and created after, in either direction."""

    def named(column):
        convention = {"ix": "idx_%(table_name)s_%(column_0_name)s"}
        metadata = MetaData(naming_convention=convention)
        key = Column("id", Integer, primary_key=True)
        Table("patients", metadata, key, column, plain("note"))
        return metadata

    before = named(sealed("ssn", index=BlindIndex()))
    seal(project)
    for name in ("first", "second"):
        # What fills an index names it as SQLAlchemy does.
        project.autogenerate(before, name)
        project.upgrade()
    project.check(before)
    after = named(sealed("social", context=FIELD, index=BlindIndex()))
    project.autogenerate(after, "renaming")
    project.upgrade()
    project.check(after)
    _, indexes = columns_and_indexes(project, "patients")
    assert indexes == ["idx_patients_social_bidx"]
    project.downgrade("second")
    _, indexes = columns_and_indexes(project, "patients")
    assert indexes == ["idx_patients_ssn_bidx"]
    assert sealed_values(project, "ssn") == VALUES


def test_without_a_context_the_model_is_told(project):
    seal(project)
    after = model(sealed("social"), plain("note"))
    with pytest.warns(UserWarning, match='Write in the model: context="patients.ssn"'):
        written = body(project.autogenerate(after, "renaming"))
    assert "context='patients.ssn'" in written
    assert "drop_column" not in written
    project.upgrade()
    # The model still declares another field, as which no value would open.
    with pytest.warns(UserWarning, match="as which none of them opens"):
        project.check(after)
    pinned = model(sealed("social", context=FIELD), plain("note"))
    project.check(pinned)
    kind = EncryptedType(String(60), context=FIELD)
    assert sealed_values(project, "social", kind) == VALUES
    project.downgrade("sealing")
    assert sealed_values(project, "ssn") == VALUES


def test_a_value_tells_where_nothing_is_remembered(project):
    """As where the application has created its tables itself."""
    seal(project)
    engine = project.engine(keyring=False)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM sealed_columns"))
    engine.dispose()
    more = sealed("ssn_encrypted")
    after = model(sealed("social", context=FIELD), more, plain("note"))
    written = body(project.autogenerate(after, "renaming"))
    assert "op.rename_sealed_column('patients', 'ssn', 'social', " in written
    # And the other new column is none that would be filled with envelopes.
    assert "encrypt_column" not in written
    project.upgrade()
    project.check(after)
    kind = EncryptedType(String(60), context=FIELD)
    assert sealed_values(project, "social", kind) == VALUES


def test_a_second_renaming_keeps_the_first_field(project):
    seal(project)
    for name in ("social", "number"):
        after = model(sealed(name, context=FIELD), plain("note"))
        project.autogenerate(after, name)
        project.upgrade()
        project.check(after)
    kind = EncryptedType(String(60), context=FIELD)
    assert sealed_values(project, "number", kind) == VALUES
    project.downgrade("sealing")
    assert sealed_values(project, "ssn") == VALUES


def test_a_name_that_may_be_two_is_left_to_the_reader(project):
    seal(project)
    after = model(sealed("social"), sealed("number"), plain("note"))
    with pytest.warns(UserWarning, match="renamed to social or number"):
        written = body(project.autogenerate(after, "renaming"))
    assert "rename_sealed" not in written
    assert "# The sealed values of 'patients.ssn' go" in written
    assert "drop_column" in written


def test_another_declaration_is_another_column(project):
    seal(project)
    after = model(sealed("social", padding=Bucket(64)), plain("note"))
    written = body(project.autogenerate(after, "another"))
    assert "rename_sealed" not in written
    assert "# The sealed values of 'patients.ssn' go" in written


def test_an_attribute_of_a_mapped_class_becomes_another(project):
    """Its index terms, which the type of its column does not name, come along."""

    def mapped(**attributes):
        class Base(DeclarativeBase):
            pass

        key = mapped_column(Integer, primary_key=True)
        own = {"__tablename__": "patients", "id": key, **attributes}
        own["note"] = mapped_column(String(60))
        return type("Patient", (Base,), own)

    index = BlindIndex()
    first = mapped(ssn=encrypted(String(60), index=index))
    project.autogenerate(first.metadata, "sealing")
    project.upgrade()
    engine = project.engine()
    with Session(engine) as session, session.begin():
        session.add(first(id=9999, ssn="secret"))
    field = "patients.ssn_encrypted"
    second = mapped(social=encrypted(String(60), index=index, context=field))
    written = body(project.autogenerate(second.metadata, "renaming"))
    assert "terms={'ssn_bidx': 'social_bidx'}" in written
    project.upgrade()
    project.check(second.metadata)
    with Session(engine) as session:
        found = sa.select(second).where(second.social == "secret")
        assert session.scalars(found).one().id == 9999
    project.downgrade("sealing")
    with Session(engine) as session:
        assert session.scalars(sa.select(first).where(first.ssn == "secret")).one()
    engine.dispose()


def test_a_type_takes_the_place_of_an_attribute(project):
    """Neither is the source of the other: an envelope is not sealed once more."""
    seal(project)
    after = model(sealed("ssn_encrypted", context=FIELD), plain("note"))
    written = body(project.autogenerate(after, "renaming"))
    assert "encrypt_column" not in written
    project.upgrade()
    kind = EncryptedType(String(60), context=FIELD)
    assert sealed_values(project, "ssn_encrypted", kind) == VALUES


def clients(context=None, note=None, name="clients"):
    metadata = MetaData()
    kind = EncryptedType(String(60), context=context, index=BlindIndex())
    key = Column("id", Integer, primary_key=True)
    text = Column("note", String(60), index=True)
    Table(name, metadata, key, Column("ssn", kind), note or text)
    key = [ForeignKey(f"{name}.id", name="visits_client")] if REFERS else []
    child = Column("client", Integer, *key)
    Table("visits", metadata, Column("id", Integer, primary_key=True), child)
    return metadata


@pytest.mark.parametrize("context", [FIELD, None])
def test_a_table_under_another_name(project, context):
    """With its indexes, and what refers to it."""
    before = clients(name="patients")
    project.autogenerate(before, "sealing")
    project.upgrade()
    project.check(before)
    after = clients(context)
    if context:
        written = body(project.autogenerate(after, "renaming"))
    else:
        with pytest.warns(UserWarning, match=f'context="{FIELD}"'):
            written = body(project.autogenerate(after, "renaming"))
    assert "op.rename_sealed_table('patients', 'clients', {'ssn': " in written
    for other in ("drop_table", "create_table", "foreign_key", "_bidx"):
        assert other not in written
    after = clients(FIELD)
    _, indexes = there_and_back(project, after, "clients")
    assert indexes == ["ix_clients_note", "ix_clients_ssn_bidx"]
    table = after.tables["clients"]
    engine = project.engine()
    with engine.connect() as connection:
        query = sa.select(table.c.id, table.c.ssn)
        assert dict(tuple(row) for row in connection.execute(query)) == VALUES
    engine.dispose()


def test_a_table_that_may_be_two_is_left_to_the_reader(project):
    metadata = clients(name="patients")
    project.autogenerate(metadata, "sealing")
    project.upgrade()
    two = clients()
    kind = EncryptedType(String(60), index=BlindIndex())
    key = Column("id", Integer, primary_key=True)
    Table("guests", two, key, Column("ssn", kind), plain("note"))
    with pytest.warns(UserWarning, match="renamed to (clients or guests|guests or)"):
        written = body(project.autogenerate(two, "renaming"))
    assert "rename_sealed" not in written
    assert "# The sealed values of 'patients.ssn' go" in written


def test_a_fence_comes_down_and_is_up_again(project):
    seal(project)
    fence = f'op.%s("patients", "ssn", {SSN})'
    project.revision("r3", fence % "seal_fence", fence % "drop_seal_fence")
    project.upgrade()
    after = model(sealed("social", context=FIELD), plain("note"))
    written = body(project.autogenerate(after, "renaming"))
    calls = [line.strip().partition("(")[0] for line in written.splitlines()]
    calls = [one for one in calls if one.startswith("op.")]
    once = ["op.drop_seal_fence", "op.rename_sealed_column", "op.seal_fence"]
    assert calls == once * 2
    project.upgrade()
    engine = project.engine(keyring=False)
    with engine.connect() as connection:
        update = "UPDATE patients SET {} = :v WHERE id = 1"
        with pytest.raises(Exception, match="(?i)sealed_fence"):
            connection.execute(sa.text(update.format("social")), {"v": b"plaintext"})
        connection.rollback()
        # And what writes nothing wrong is let through.
        connection.execute(sa.text("UPDATE patients SET note = 'x' WHERE id = 1"))
        connection.rollback()
    engine.dispose()
    project.downgrade("sealing")
    assert sealed_values(project, "ssn") == VALUES


PINNED = SSN.replace("))", '), context="patients.ssn")')


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (f'column("patients", "ssn", "x", {SSN})', "only if the field"),
        (
            f'column("patients", "ssn", "x", {PINNED.replace("ssn", "other")})',
            'Write context="patients.ssn"',
        ),
        (f'column("patients", "nothing", "x", {PINNED})', "has no column nothing"),
        (f'table("patients", "x", {{"ssn": {SSN}}})', "only if the field"),
        (f'table("patients", "x", {{}})', "patients.ssn is sealed, too"),
        ('table("nothing", "x", {})', "there is no table nothing"),
    ],
)
def test_a_name_is_not_changed_blindly(project, call, reason):
    seal(project)
    project.revision("r3", f"op.rename_sealed_{call}", "")
    with pytest.raises(CommandError, match=reason):
        project.upgrade()
    assert sealed_values(project, "ssn") == VALUES


def test_a_fence_stops_what_would_break_it(project):
    seal(project)
    project.revision("r3", f'op.seal_fence("patients", "ssn", {SSN})', "")
    rename = f'op.rename_sealed_column("patients", "ssn", "x", {PINNED})'
    project.revision("r4", rename, "")
    with pytest.raises(CommandError, match="patients.ssn has a fence"):
        project.upgrade()


def test_printed_sql_renames(project):
    rename = f'op.rename_sealed_column("patients", "ssn", "x", {PINNED})'
    project.revision("r3", rename, "")
    project.upgrade("r1:r3", sql=True)
    assert "RENAME COLUMN ssn TO x" in project.output.getvalue()


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_renaming_that_was_killed_goes_on(project):
    """Where every statement commits, some of its names are new already."""
    kind = EncryptedType(String(60), index=BlindIndex())
    seal(project, Column("ssn", kind), plain("note"))
    engine = project.engine(keyring=False)
    with engine.begin() as connection:
        change = "ALTER TABLE patients RENAME COLUMN ssn TO social"
        connection.execute(sa.text(change))
    engine.dispose()
    indexed = PINNED.removesuffix(")") + ", index=BlindIndex())"
    rename = f'op.rename_sealed_column("patients", "ssn", "social", {indexed})'
    project.revision("r3", rename, "")
    project.upgrade()
    names, indexes = columns_and_indexes(project, "patients")
    assert names == ["id", "note", "social", "social_bidx"]
    assert indexes == ["ix_patients_social_bidx"]
    project.check(
        model(sealed("social", context=FIELD, index=BlindIndex()), plain("note"))
    )
