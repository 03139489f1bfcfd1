"""Every way that SQLAlchemy writes or reads a value seals it and opens it."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import (
    ForeignKey,
    JSON,
    Date,
    Integer,
    String,
    bindparam,
    delete,
    event,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    text,
    tuple_,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    Bundle,
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    column_property,
    contains_eager,
    defer,
    deferred,
    joinedload,
    load_only,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
    undefer,
)
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.envelope import has_shape


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    clinic: Mapped[str | None] = mapped_column(String(20), unique=True)
    name: Mapped[str | None] = mapped_column(EncryptedType(String))
    born: Mapped[dt.date | None] = mapped_column(EncryptedType(Date))
    parent_id: Mapped[int | None]
    visits: Mapped[list[Visit]] = relationship(
        back_populates="patient", order_by="Visit.id"
    )


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int | None] = mapped_column(ForeignKey("patients.id"))
    note: Mapped[str | None] = mapped_column(EncryptedType(String))
    patient: Mapped[Patient | None] = relationship(back_populates="visits")


class Chart(Base):
    __tablename__ = "charts"
    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[dict | None] = mapped_column(
        MutableDict.as_mutable(EncryptedType(JSON))
    )
    scan: Mapped[str | None] = deferred(mapped_column(EncryptedType(String)))
    greeting: Mapped[str | None] = mapped_column(
        EncryptedType(String), default="hello", onupdate="changed"
    )


Patient.last_note = column_property(
    select(Visit.note)
    .where(Visit.patient_id == Patient.id)
    .order_by(Visit.id.desc())
    .limit(1)
    .correlate_except(Visit)
    .scalar_subquery()
)

patients = Patient.__table__
BORN = dt.date(1815, 12, 10)


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def people(engine):
    """Three patients, one without a name, two visits of the first."""
    with Session(engine) as session:
        session.add_all(
            [
                Patient(id=1, clinic="north", name="ada", born=BORN),
                Patient(id=2, clinic="south", name=None, parent_id=1),
                Patient(id=3, clinic="west", name="grace", parent_id=2),
                Visit(id=1, patient_id=1, note="first"),
                Visit(id=2, patient_id=1, note=None),
                Visit(id=3, patient_id=1, note="last"),
            ]
        )
        session.commit()


@pytest.fixture
def names(stored):
    """Return a function that tells sealed names from NULL, and finds nothing else."""

    def names():
        raw = stored(Patient.name)
        assert all(value is None or has_shape(value) for value in raw)
        return [value is not None for value in raw]

    return names


def only_on(*backends):
    """Run a test on the databases that have what it needs."""
    return pytest.mark.parametrize("backend", backends, indirect=True)


def upsert(engine):
    """Return the insert() of the dialect that knows upserts."""
    return {
        "sqlite": sqlite.insert,
        "postgresql": postgresql.insert,
        "mysql": mysql.insert,
    }[engine.name]


def on_conflict(statement, values):
    """Give an upsert its values: a function of the row that was proposed."""
    if hasattr(statement, "on_duplicate_key_update"):
        return statement.on_duplicate_key_update(values(statement.inserted))
    return statement.on_conflict_do_update(
        index_elements=["id"], set_=values(statement.excluded)
    )


# Writing through the unit of work


def test_a_flushed_object_is_sealed(session, names):
    session.add(Patient(id=1, name="ada", born=BORN))
    session.commit()
    assert names() == [True]
    session.expunge_all()
    assert session.get(Patient, 1).name == "ada"
    assert session.get(Patient, 1).born == BORN


def test_many_objects_of_one_flush_keep_their_own_values(session, names):
    """Without keys this goes through insertmanyvalues and RETURNING."""
    session.add_all([Patient(name=f"patient {n}") for n in range(2500)])
    session.commit()
    found = session.execute(select(Patient.id, Patient.name).order_by(Patient.id)).all()
    assert [name for _, name in found] == [f"patient {n}" for n in range(2500)]
    assert names() == [True] * 2500


def test_objects_of_one_flush_with_and_without_a_value(session, names):
    session.add_all([Patient(id=1), Patient(id=2, name="b"), Patient(id=3, name=None)])
    session.commit()
    assert names() == [False, True, False]


def test_an_update_is_sealed_anew(session, people, stored):
    before = stored(Patient.name)[0]
    session.get(Patient, 1).name = "ada lovelace"
    session.commit()
    assert has_shape(stored(Patient.name)[0])
    assert stored(Patient.name)[0] != before
    assert session.get(Patient, 1).name == "ada lovelace"


def test_several_updates_of_one_flush_reach_their_own_rows(session, people):
    session.get(Patient, 1).name = "one"
    session.get(Patient, 2).name = "two"
    session.get(Patient, 3).name = None
    session.commit()
    query = select(Patient.name).order_by(Patient.id)
    assert session.scalars(query).all() == ["one", "two", None]


def test_updating_another_column_leaves_the_ciphertext(session, people, stored):
    before = stored(Patient.name)
    session.get(Patient, 1).clinic = "east"
    session.commit()
    assert stored(Patient.name) == before


def test_setting_an_equal_value_emits_no_update(session, people, statements):
    patient = session.get(Patient, 1)
    patient.name, patient.born = "".join(["a", "da"]), dt.date(1815, 12, 10)
    session.flush()
    assert not any(statement.startswith("UPDATE") for statement in statements)


def test_setting_a_value_back_emits_no_update(session, people, statements):
    patient = session.get(Patient, 1)
    patient.name = "someone else"
    patient.name = "ada"
    session.flush()
    assert not any(statement.startswith("UPDATE") for statement in statements)


def test_setting_none_writes_null(session, people, names):
    session.get(Patient, 1).name = None
    session.commit()
    assert names() == [False, False, True]


def test_setting_sql_null_writes_null(session, people, names):
    session.get(Patient, 1).name = null()
    session.commit()
    assert names() == [False, False, True]


def test_merge_updates_and_inserts(session, people, names):
    session.merge(Patient(id=1, name="merged"))
    session.merge(Patient(id=4, name="new"))
    session.commit()
    assert session.get(Patient, 1).name == "merged"
    assert session.get(Patient, 4).name == "new"
    assert names() == [True, False, True, True]


def test_refresh_reads_what_another_session_wrote(session, people, engine):
    patient = session.get(Patient, 1)
    session.commit()
    with Session(engine) as other:
        other.get(Patient, 1).name = "theirs"
        other.commit()
    session.refresh(patient, ["name"])
    assert patient.name == "theirs"


def test_an_expired_value_is_loaded_again(session, people):
    patient = session.get(Patient, 1)
    session.expire(patient, ["name", "born"])
    assert (patient.name, patient.born) == ("ada", BORN)


def test_rollback_brings_the_old_value_back(session, people):
    patient = session.get(Patient, 1)
    patient.name = "never"
    session.flush()
    session.rollback()
    assert patient.name == "ada"


def test_bulk_save_objects_seals(session, names):
    session.bulk_save_objects([Patient(id=n, name=f"p{n}") for n in range(1, 4)])
    session.commit()
    assert names() == [True] * 3
    assert session.get(Patient, 3).name == "p3"


def test_bulk_insert_mappings_seals(session, names):
    session.bulk_insert_mappings(Patient, [{"id": 1, "name": "a"}, {"id": 2}])
    session.commit()
    assert names() == [True, False]


def test_bulk_update_mappings_seals(session, people, names):
    session.bulk_update_mappings(Patient, [{"id": 2, "name": "now known"}])
    session.commit()
    assert names() == [True, True, True]
    assert session.get(Patient, 2).name == "now known"


def test_a_changed_document_is_noticed_and_sealed(session, stored):
    session.add(Chart(id=1, data={"blood": "A"}))
    session.commit()
    before = stored(Chart.data)
    chart = session.get(Chart, 1)
    chart.data["blood"] = "B"
    session.commit()
    assert stored(Chart.data) != before
    assert chart.data == {"blood": "B"}


def test_python_side_defaults_are_sealed(session, stored):
    session.add(Chart(id=1))
    session.commit()
    assert has_shape(stored(Chart.greeting)[0])
    assert session.get(Chart, 1).greeting == "hello"
    session.execute(update(Chart).values(data={}))
    session.commit()
    assert has_shape(stored(Chart.greeting)[0])
    assert session.get(Chart, 1).greeting == "changed"


# Writing with statements


def test_orm_bulk_insert_seals(session, names):
    session.execute(
        insert(Patient), [{"id": n, "name": f"p{n}"} for n in range(1, 1501)]
    )
    session.commit()
    assert names() == [True] * 1500
    assert session.get(Patient, 777).name == "p777"


def test_orm_bulk_insert_of_rows_with_different_keys(session, names):
    session.execute(
        insert(Patient), [{"id": 1}, {"id": 2, "name": "b"}, {"id": 3, "name": None}]
    )
    session.commit()
    assert names() == [False, True, False]


def test_orm_insert_of_several_values(session, names):
    session.execute(
        insert(Patient).values([{"id": 1, "name": "a"}, {"id": 2, "name": None}])
    )
    session.commit()
    assert names() == [True, False]
    assert session.get(Patient, 1).name == "a"


def test_orm_bulk_update_by_primary_key(session, people, names):
    session.execute(update(Patient), [{"id": 1, "name": None}, {"id": 2, "name": "b"}])
    session.commit()
    assert names() == [False, True, True]
    assert session.get(Patient, 2).name == "b"


@pytest.mark.parametrize("strategy", ["auto", "evaluate", "fetch", False])
def test_orm_update_synchronizes_the_session(session, people, names, strategy):
    patient = session.get(Patient, 1)
    session.execute(
        update(Patient).where(Patient.clinic == "north").values(name="changed"),
        execution_options={"synchronize_session": strategy},
    )
    assert patient.name == ("changed" if strategy else "ada")
    session.commit()
    assert patient.name == "changed"
    assert names() == [True, False, True]


def test_core_insert_of_one_row(engine, session, names):
    with engine.begin() as connection:
        connection.execute(patients.insert().values(id=1, name="ada"))
        connection.execute(insert(patients), {"id": 2, "name": "b", "born": BORN})
        connection.execute(insert(patients).values((3, "west", "c", BORN, None)))
    assert names() == [True, True, True]
    assert session.scalars(select(Patient.name)).all() == ["ada", "b", "c"]


def test_core_insert_of_many_rows(engine, session, names):
    rows = [{"id": n, "name": f"p{n}"} for n in range(1, 501)]
    with engine.begin() as connection:
        connection.execute(insert(patients), rows)
    assert names() == [True] * 500
    assert session.get(Patient, 500).name == "p500"


def test_core_insert_of_several_values(engine, session, names):
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": None}, {"id": 3, "name": "c"}]
    with engine.begin() as connection:
        connection.execute(insert(patients).values(rows))
    assert names() == [True, False, True]
    assert session.get(Patient, 3).name == "c"


def test_core_insert_of_several_rows_as_tuples(engine, session, names):
    rows = [(1, "a", "x", None, None), (2, "b", None, None, None)]
    with engine.begin() as connection:
        connection.execute(insert(patients).values(rows))
    assert names() == [True, False]
    assert session.get(Patient, 1).name == "x"


def test_core_update_with_values(engine, session, people, names):
    with engine.begin() as connection:
        connection.execute(update(patients).where(patients.c.id == 2).values(name="b"))
        connection.execute(
            update(patients).where(patients.c.id == 1), {"name": "one", "born": None}
        )
    assert names() == [True, True, True]
    assert session.get(Patient, 2).name == "b"
    assert session.get(Patient, 1).name == "one"


def test_core_update_of_many_rows(engine, session, people, names):
    statement = (
        update(patients)
        .where(patients.c.id == bindparam("key"))
        .values(name=bindparam("new"))
    )
    with engine.begin() as connection:
        connection.execute(statement, [{"key": 1, "new": "x"}, {"key": 3, "new": None}])
    assert names() == [True, False, False]
    assert session.get(Patient, 1).name == "x"


def test_ordered_values_are_sealed(engine, session, people, names):
    statement = update(patients).where(patients.c.id == 2)
    with engine.begin() as connection:
        connection.execute(
            statement.ordered_values((patients.c.name, "b"), (patients.c.born, BORN))
        )
    assert names() == [True, True, True]
    assert session.get(Patient, 2).born == BORN


def test_returning_opens_what_was_sealed(session):
    statement = insert(Patient).returning(Patient.id, Patient.name)
    rows = [{"id": n, "name": f"p{n}"} for n in range(1, 1501)]
    found = session.execute(
        statement, rows, execution_options={"insertmanyvalues_page_size": 100}
    ).all()
    assert sorted(found) == [(row["id"], row["name"]) for row in rows]


def test_returning_in_the_order_of_the_parameters(session):
    names = [f"p{n}" for n in range(1200)]
    statement = insert(Patient).returning(Patient, sort_by_parameter_order=True)
    found = session.scalars(statement, [{"name": name} for name in names])
    assert [patient.name for patient in found] == names


@only_on("sqlite", "postgresql")
def test_update_returning(session, people):
    changed = update(Patient).where(Patient.id == 3).values(name="hopper")
    assert session.scalars(changed.returning(Patient.name)).all() == ["hopper"]


def test_delete_returning(session, people):
    gone = delete(Visit).where(Visit.id == 3).returning(Visit.note)
    assert session.scalars(gone).all() == ["last"]


def test_insert_from_select_of_the_same_field(session, people, names):
    copied = select(Patient.id + 10, Patient.name).where(Patient.name.is_not(None))
    session.execute(insert(Patient).from_select(["id", "name"], copied))
    session.commit()
    assert session.get(Patient, 11).name == "ada"
    assert names() == [True, False, True, True, True]


def test_insert_from_select_of_null(session, people, names):
    row = select(literal(9), null())
    session.execute(insert(patients).from_select(["id", "name"], row))
    session.commit()
    assert names() == [True, False, True, False]


@pytest.mark.parametrize("rows", [1, 3], ids=["one", "many"])
def test_an_upsert_takes_the_proposed_value(engine, session, people, names, rows):
    statement = on_conflict(
        upsert(engine)(Patient), lambda proposed: {"name": proposed.name}
    )
    values = [{"id": n, "name": f"new {n}"} for n in range(2, 2 + rows)]
    session.execute(statement, values)
    session.commit()
    assert session.get(Patient, 2).name == "new 2"
    assert session.get(Patient, 1 + rows).name == f"new {1 + rows}"
    assert all(names()[1:])


@pytest.mark.parametrize("target", [Patient, patients], ids=["orm", "core"])
@pytest.mark.parametrize("value", ["literal", None])
def test_an_upsert_seals_a_literal(engine, session, people, names, target, value):
    statement = on_conflict(
        upsert(engine)(target).values(id=3, name="ignored"), lambda _: {"name": value}
    )
    session.execute(statement)
    session.commit()
    assert session.get(Patient, 3).name == value
    assert names() == [True, False, value is not None]


def test_an_upsert_of_several_values(engine, session, people, names):
    rows = [{"id": 1, "name": "one"}, {"id": 4, "name": "four"}]
    statement = on_conflict(
        upsert(engine)(patients).values(rows), lambda proposed: {"name": proposed.name}
    )
    session.execute(statement)
    session.commit()
    assert (session.get(Patient, 1).name, session.get(Patient, 4).name) == (
        "one",
        "four",
    )
    assert names() == [True, False, True, True]


@only_on("sqlite", "postgresql")
def test_an_upsert_may_return_the_value(engine, session, people):
    statement = on_conflict(
        upsert(engine)(Patient), lambda proposed: {"name": proposed.name}
    )
    found = session.scalars(
        statement.returning(Patient.name), [{"id": 1, "name": "upserted"}]
    )
    assert found.all() == ["upserted"]


def test_an_upsert_keeps_the_stored_value_of_its_own_column(engine, session, people):
    statement = on_conflict(
        upsert(engine)(patients).values(id=1, name="proposed", clinic="new"),
        lambda proposed: {"name": patients.c.name, "clinic": proposed.clinic},
    )
    session.execute(statement)
    session.commit()
    assert session.get(Patient, 1).name == "ada"
    assert session.get(Patient, 1).clinic == "new"


def test_an_update_may_copy_a_column_onto_itself(session, people):
    session.execute(update(Patient).values(name=Patient.name))
    session.commit()
    assert session.get(Patient, 1).name == "ada"


@only_on("sqlite", "postgresql")
def test_an_update_from_another_row_of_the_same_field(session, people):
    other = aliased(Patient)
    source = select(other.name).where(other.id == 3).scalar_subquery()
    session.execute(update(Patient).where(Patient.id == 1).values(name=source))
    session.commit()
    assert session.get(Patient, 1).name == "grace"


# Reading


def test_a_column_select_opens(session, people):
    query = select(Patient.id, Patient.name).order_by(Patient.id)
    assert session.execute(query).all() == [(1, "ada"), (2, None), (3, "grace")]


def test_a_core_select_opens(engine, people):
    with engine.connect() as connection:
        rows = connection.execute(select(patients).order_by(patients.c.id)).all()
    assert [(row.name, row.born) for row in rows] == [
        ("ada", BORN),
        (None, None),
        ("grace", None),
    ]


def test_a_label_opens(session, people):
    query = select(Patient.name.label("who")).where(Patient.id == 1)
    assert session.execute(query).one().who == "ada"


def test_text_with_declared_columns_opens(session, people):
    query = text("SELECT id, name FROM patients ORDER BY id")
    columns = query.columns(Patient.id, Patient.name)
    assert session.execute(columns).all() == [(1, "ada"), (2, None), (3, "grace")]


def test_text_with_declared_types_opens(session, people):
    query = text("SELECT id, name AS who FROM patients WHERE id = 1")
    columns = query.columns(id=Integer, who=patients.c.name.type)
    assert session.execute(columns).one() == (1, "ada")


def test_text_without_types_shows_the_envelope(session, people):
    raw = session.scalar(text("SELECT name FROM patients WHERE id = 1"))
    assert has_shape(raw)


def test_entities_from_a_textual_statement(session, people):
    query = text("SELECT id, clinic, name, born, parent_id FROM patients WHERE id = 1")
    patient = session.scalars(select(Patient).from_statement(query)).one()
    assert (patient.name, patient.born) == ("ada", BORN)


def test_textual_parameters_take_the_type_of_the_column(session, people, names):
    statement = text("UPDATE patients SET name = :name WHERE id = 2")
    typed = statement.bindparams(bindparam("name", type_=patients.c.name.type))
    session.execute(typed, {"name": "bound"})
    session.commit()
    assert names() == [True, True, True]
    assert session.get(Patient, 2).name == "bound"


def test_yield_per_opens_every_batch(session):
    session.execute(insert(Patient), [{"name": f"p{n}"} for n in range(1, 301)])
    query = select(Patient.name).order_by(Patient.id).execution_options(yield_per=50)
    batches = session.scalars(query).partitions()
    assert [name for batch in batches for name in batch] == [
        f"p{n}" for n in range(1, 301)
    ]


def test_streamed_entities_open(session):
    session.execute(insert(Patient), [{"name": f"p{n}"} for n in range(1, 101)])
    query = select(Patient).execution_options(stream_results=True, yield_per=10)
    assert {p.name for p in session.scalars(query)} == {f"p{n}" for n in range(1, 101)}


def test_deferred_columns_load_when_asked(session, statements):
    session.add(Chart(id=1, scan="x-ray"))
    session.commit()
    session.expunge_all()
    chart = session.get(Chart, 1)
    assert "scan" not in chart.__dict__
    assert chart.scan == "x-ray"


def test_undefer_and_defer(session, people):
    session.add(Chart(id=1, scan="x-ray"))
    session.commit()
    chart = session.scalars(select(Chart).options(undefer(Chart.scan))).one()
    assert chart.__dict__["scan"] == "x-ray"
    query = select(Patient).options(defer(Patient.name)).where(Patient.id == 1)
    assert session.scalars(query).one().name == "ada"


def test_load_only_takes_a_sealed_column(session, people):
    query = select(Patient).options(load_only(Patient.name)).where(Patient.id == 1)
    patient = session.scalars(query).one()
    assert patient.__dict__["name"] == "ada"
    assert "born" not in patient.__dict__


def test_an_alias_opens(session, people):
    child, parent = aliased(Patient), aliased(Patient)
    query = select(parent.name, child.name).join(child, child.parent_id == parent.id)
    assert set(session.execute(query).all()) == {("ada", None), (None, "grace")}


def test_a_core_alias_opens(engine, people):
    other = patients.alias("other")
    with engine.connect() as connection:
        query = select(other.c.name).where(other.c.id == 1)
        assert connection.scalar(query) == "ada"


def test_a_subquery_opens(session, people):
    inner = select(Patient.id, Patient.name.label("who")).subquery()
    query = select(inner.c.who).where(inner.c.id == 3)
    assert session.scalar(query) == "grace"


def test_an_entity_from_a_subquery_opens(session, people):
    inner = select(Patient).where(Patient.id > 1).subquery()
    query = select(aliased(Patient, inner)).order_by(inner.c.id)
    assert [patient.name for patient in session.scalars(query)] == [None, "grace"]


def test_a_cte_opens(session, people):
    cte = select(Patient).where(Patient.id == 1).cte("chosen")
    assert session.scalar(select(cte.c.name)) == "ada"
    assert session.scalars(select(aliased(Patient, cte))).one().born == BORN


def test_a_recursive_cte_opens(session, people):
    root = select(Patient.id, Patient.name).where(Patient.id == 1)
    tree = root.cte("tree", recursive=True)
    step = select(Patient.id, Patient.name).join(tree, Patient.parent_id == tree.c.id)
    query = select(tree.union_all(step)).order_by("id")
    assert session.execute(query).all() == [(1, "ada"), (2, None), (3, "grace")]


@only_on("postgresql")
def test_a_writing_cte_opens(session, people):
    new = insert(Patient).values(id=9, name="nine").returning(Patient.name).cte("new")
    assert session.scalar(select(new.c.name)) == "nine"


@pytest.mark.parametrize("combine", [union, union_all])
def test_a_union_of_one_field_opens(session, people, combine):
    query = combine(
        select(Patient.id, Patient.name).where(Patient.id == 1),
        select(Patient.id, Patient.name).where(Patient.id == 3),
    ).order_by("id")
    assert session.execute(query).all() == [(1, "ada"), (3, "grace")]


def test_entities_from_a_union_open(session, people):
    both = union(select(Patient), select(Patient)).subquery()
    query = select(aliased(Patient, both)).order_by(both.c.id)
    assert [patient.name for patient in session.scalars(query)] == [
        "ada",
        None,
        "grace",
    ]


def test_a_union_with_null_opens(session, people):
    query = union_all(
        select(Patient.id, Patient.name).where(Patient.id == 1),
        select(literal(9), null()),
    ).order_by("id")
    assert session.execute(query).all() == [(1, "ada"), (9, None)]


def test_a_scalar_subquery_opens(session, people):
    note = select(Visit.note).where(Visit.id == 3).scalar_subquery()
    query = select(Patient.id, note.label("note")).where(Patient.id == 1)
    assert session.execute(query).one() == (1, "last")


def test_a_column_property_opens(session, people):
    assert session.get(Patient, 1).last_note == "last"
    assert session.get(Patient, 2).last_note is None


def test_the_legacy_query_opens(session, people):
    query = session.query(Patient).filter(Patient.clinic == "north")
    assert query.one().name == "ada"
    assert session.query(Patient.name).filter_by(id=3).scalar() == "grace"
    assert session.query(Patient).filter(Patient.name.is_(None)).count() == 1


def test_the_legacy_query_updates(session, people, names):
    session.query(Patient).filter(Patient.id == 2).update({"name": "legacy"})
    session.commit()
    assert session.get(Patient, 2).name == "legacy"
    assert names() == [True, True, True]


def test_a_bundle_opens(session, people):
    bundle = Bundle("who", Patient.id, Patient.name)
    found = session.scalars(select(bundle).where(Patient.id == 1)).one()
    assert (found.id, found.name) == (1, "ada")


@pytest.mark.parametrize("strategy", [joinedload, selectinload, subqueryload])
def test_related_objects_open(session, people, strategy):
    query = select(Patient).options(strategy(Patient.visits)).order_by(Patient.id)
    found = session.scalars(query).unique().all()
    assert [visit.note for visit in found[0].visits] == ["first", None, "last"]
    assert found[1].visits == []


def test_a_left_join_without_a_match_gives_none(session, people):
    query = (
        select(Patient.id, Visit.id, Visit.note)
        .join(Visit, isouter=True)
        .where(Patient.id == 2)
    )
    assert session.execute(query).one() == (2, None, None)


def test_contains_eager_opens(session, people):
    query = (
        select(Patient)
        .join(Patient.visits)
        .options(contains_eager(Patient.visits))
        .where(Visit.note.is_not(None))
    )
    patient = session.scalars(query).unique().one()
    assert {visit.note for visit in patient.visits} == {"first", "last"}


def test_is_null_finds_the_rows_without_a_value(session, people):
    missing = select(Patient.id).where(Patient.name.is_(None))
    assert session.scalars(missing).all() == [2]
    known = select(func.count()).select_from(Patient).where(Patient.name != None)  # noqa: E711
    assert session.scalar(known) == 2


def test_count_counts_the_rows_with_a_value(session, people):
    assert session.scalar(select(func.count(Patient.name))) == 2


def test_an_exists_over_a_sealed_table(session, people):
    query = select(Patient.id).where(
        exists().where(Visit.patient_id == Patient.id, Visit.note.is_(None))
    )
    assert session.scalars(query).all() == [1]


def test_a_tuple_of_plain_columns_beside_a_sealed_one(session, people):
    chosen = tuple_(Patient.id, Patient.clinic).in_([(1, "north"), (3, "east")])
    assert session.scalars(select(Patient.name).where(chosen)).all() == ["ada"]


def test_rows_pass_as_mappings(engine, people):
    with engine.connect() as connection:
        query = select(patients.c.name, patients.c.born).where(patients.c.id == 1)
        assert connection.execute(query).mappings().one() == {
            "name": "ada",
            "born": BORN,
        }


def test_a_freeze_and_a_merge_of_results_open(session, people):
    frozen = session.execute(select(Patient.name).where(Patient.id == 1)).freeze()
    assert frozen().scalars().all() == ["ada"]
    assert frozen().scalars().all() == ["ada"]
