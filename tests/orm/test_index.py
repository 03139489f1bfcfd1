"""A blind index beside a column of ``EncryptedType``: its terms follow the value."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    make_transient,
    mapped_column,
)
from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedType,
    IndexKey,
    Key,
    Keyring,
    bind_keyring,
    index_term,
)
from sqlalchemy_sealed.errors import (
    DeclarationError,
    EncodingError,
    NotSearchableError,
    SealedError,
    SecretHandlingError,
    SeparatedValueError,
)


class Base(DeclarativeBase):
    pass


class Reachable:
    email: Mapped[str | None] = mapped_column(
        EncryptedType(String, index=BlindIndex(normalize="email"))
    )


class Patient(Reachable, Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int | None] = mapped_column(
        EncryptedType(Integer, index=BlindIndex(unique=True))
    )
    born: Mapped[str | None] = mapped_column(
        EncryptedType(String, index=BlindIndex(bits=3)), default="1970"
    )


class Doctor(Reachable, Base):
    __tablename__ = "doctors"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), default="doctor")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "doctor"}


class Surgeon(Doctor):
    __tablename__ = "surgeons"
    id: Mapped[int] = mapped_column(sa.ForeignKey("doctors.id"), primary_key=True)
    licence: Mapped[str | None] = mapped_column(
        EncryptedType(String, index=BlindIndex())
    )
    __mapper_args__ = {"polymorphic_identity": "surgeon"}


TABLE: Any = Patient.__table__


@pytest.fixture
def keyring():
    index = [IndexKey(n, bytes([n] * 32)) for n in (1, 2)]
    return Keyring([Key(1, bytes(range(32)))], index_keys=index)


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


def by_email(session, value, entity=Patient):
    return session.scalars(select(entity.id).where(entity.email == value)).all()


def is_consistent(engine, table=TABLE):
    """Compute every term of a table again from the value beside it."""
    names = ("email", "number", "born")
    with engine.connect() as connection:
        for row in connection.execute(select(table)).mappings():
            for name in names:
                assert (row[name] is None) is (row[f"{name}_bidx"] is None)
                if row[name] is not None:
                    same = table.c[name].candidates(row[name])
                    found = select(table.c.id).where(same)
                    assert row["id"] in connection.scalars(found).all()


# Writing: every path that inserts writes the terms


INSERTS = {
    "one": lambda c: c.execute(insert(TABLE).values(id=1, email=" Ada@X ")),
    "a parameter": lambda c: c.execute(insert(TABLE), {"id": 1, "email": "ADA@x"}),
    "many": lambda c: c.execute(
        insert(TABLE),
        [
            {"id": 1, "email": "Ada@X", "number": 1},
            {"id": 2, "email": "b", "number": 2},
        ],
    ),
    "nulls": lambda c: c.execute(
        insert(TABLE),
        [{"id": 1, "email": "Ada@X"}, {"id": 2, "email": None}],
    ),
}


@pytest.mark.parametrize("way", INSERTS)
def test_core_inserts_write_terms(engine, way):
    with engine.begin() as connection:
        INSERTS[way](connection)
        found = select(TABLE.c.id).where(TABLE.c.email == "ada@x")
        assert connection.scalars(found).all() == [1]
    is_consistent(engine)


ORM_INSERTS = {
    "instance": lambda s: s.add(Patient(id=1, email=" Ada@X ")),
    "instances": lambda s: s.add_all(
        [Patient(id=1, email="Ada@x", number=5), Patient(id=2, email="b", born=None)]
    ),
    "bulk": lambda s: s.execute(
        insert(Patient), [{"id": 1, "email": "ada@x"}, {"id": 2, "email": "b"}]
    ),
    "returning": lambda s: s.scalars(
        insert(Patient).returning(Patient), [{"email": "ada@x"}, {"email": "b"}]
    ).all(),
    "objects": lambda s: s.bulk_save_objects([Patient(id=1, email="ada@x")]),
    "mappings": lambda s: s.bulk_insert_mappings(
        Patient, [{"id": 1, "email": "ada@x"}, {"id": 2, "number": 7}]
    ),
}


@pytest.mark.parametrize("way", ORM_INSERTS)
def test_orm_inserts_write_terms(session, engine, way):
    ORM_INSERTS[way](session)
    session.commit()
    assert len(by_email(session, "ada@x")) == 1
    session.commit()
    is_consistent(engine)


def test_an_insert_whose_terms_cannot_be_told_is_refused(engine):
    refused = {
        "several": insert(TABLE).values([{"id": n, "email": "a"} for n in (1, 2)]),
        "from select": insert(TABLE).from_select(
            ["id", "email"], select(TABLE.c.id + 10, TABLE.c.email)
        ),
        "term alone": insert(TABLE).values(id=3, email_bidx=index_term("a")),
    }
    with engine.connect() as connection:
        for statement in refused.values():
            with pytest.raises(SealedError):
                connection.execute(statement)
            connection.rollback()
        assert not connection.execute(text("SELECT 1 FROM patients")).all()


def test_a_parameter_of_another_name_is_found(engine):
    statement = insert(TABLE).values(id=1, email=bindparam("e"))
    with engine.connect() as connection:
        connection.execute(statement, {"e": "bob@x"})
        connection.commit()
        both = insert(TABLE).values(
            id=2, email=bindparam("e"), email_bidx=bindparam("t")
        )
        connection.execute(both, {"e": "ada@x", "t": index_term("Ada@x")})
        connection.commit()
    is_consistent(engine)


# Changing


def test_a_change_of_an_instance_changes_its_term(session, engine):
    session.add(Patient(id=1, email="ada@x", number=1))
    session.commit()
    patient = session.get_one(Patient, 1)
    patient.email = "bob@x"
    patient.number = None
    session.commit()
    assert by_email(session, "bob@x") == [1]
    assert by_email(session, "ada@x") == []
    session.commit()
    is_consistent(engine)


def test_only_the_case_changes(session, engine):
    session.add(Patient(id=1, email="ada@x"))
    session.commit()
    session.get_one(Patient, 1).email = "ADA@X"
    session.commit()
    assert session.get_one(Patient, 1).email == "ADA@X"
    assert by_email(session, "ada@x") == [1]


def test_an_equal_value_writes_nothing(session, engine, statements):
    session.add(Patient(id=1, email="ada@x"))
    session.commit()
    patient = session.get_one(Patient, 1)
    assert patient.email == "ada@x"
    patient.email = "ada@x"
    session.flush()
    assert not [one for one in statements if one.startswith("UPDATE")]


def test_an_update_by_primary_key_writes_terms(session, engine):
    session.add_all([Patient(id=1, email="ada@x"), Patient(id=2, email="b")])
    session.commit()
    changes = [{"id": 1, "email": "C@x", "number": 3}, {"id": 2, "email": None}]
    session.execute(update(Patient), [dict(c) for c in changes[:1]])
    session.execute(update(Patient), [dict(c) for c in changes[1:]])
    session.commit()
    assert by_email(session, "c@x") == [1]
    session.commit()
    is_consistent(engine)


REFUSED = {
    "update": lambda s: s.execute(update(Patient).values(email="x")),
    "update where": lambda s: s.execute(
        update(Patient).where(Patient.email == "ada@x").values({Patient.email: "x"})
    ),
    "to null": lambda s: s.execute(update(Patient).values(email=None)),
    "core": lambda s: s.execute(update(TABLE).values(email="x")),
    "core parameters": lambda s: s.connection().execute(update(TABLE), {"email": "x"}),
    "core many": lambda s: s.connection().execute(
        update(TABLE).where(TABLE.c.id == bindparam("i")),
        [{"i": 1, "email": "x"}, {"i": 2, "email": "y"}],
    ),
    "term": lambda s: s.execute(update(Patient).values(email_bidx=index_term("x"))),
    "term parameters": lambda s: s.connection().execute(
        update(TABLE), {"email_bidx": index_term("x")}
    ),
    "copied": lambda s: s.execute(update(Patient).values(email=Patient.email)),
    "mappings": lambda s: s.bulk_update_mappings(Patient, [{"id": 1, "email": "x"}]),
}


@pytest.mark.parametrize("way", REFUSED)
def test_a_value_is_not_changed_without_its_term(session, engine, way):
    session.add(Patient(id=1, email="ada@x"))
    session.commit()
    for _ in range(2):
        with pytest.raises(SeparatedValueError, match="index_term"):
            REFUSED[way](session)
        session.rollback()
    assert by_email(session, "ada@x") == [1]
    session.commit()
    is_consistent(engine)


def test_a_statement_may_assign_both(session, engine):
    session.add_all([Patient(id=1, email="ada@x"), Patient(id=2, email="b")])
    session.commit()
    both = {"email": "x@x", "email_bidx": index_term("X@x")}
    where = update(TABLE).where(TABLE.c.email == "ada@x")
    assert session.connection().execute(where.values(both)).rowcount == 1
    assert session.connection().execute(where, both).rowcount == 0
    statement = update(Patient).where(Patient.id == 2)
    session.execute(statement.values(email="c", email_bidx=index_term("c")))
    session.commit()
    assert session.get_one(Patient, 1).email == "x@x"
    assert by_email(session, "x@x") == [1]
    assert by_email(session, "c") == [2]
    session.commit()
    is_consistent(engine)
    null = update(TABLE).values(email=None, email_bidx=None)
    with engine.begin() as connection:
        connection.execute(null)
    is_consistent(engine)


def test_an_upsert_writes_both(engine):
    rows = [{"id": 1, "email": "ada@x"}]
    dialect = engine.dialect.name
    if dialect in {"mysql", "mariadb"}:
        from sqlalchemy.dialects.mysql import insert as upsert

        def on_conflict(statement, *names):
            new = {name: statement.inserted[name] for name in names}
            return statement.on_duplicate_key_update(new)
    else:
        if dialect == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as upsert
        else:
            from sqlalchemy.dialects.postgresql import insert as upsert

        def on_conflict(statement, *names):
            new = {name: statement.excluded[name] for name in names}
            return statement.on_conflict_do_update(index_elements=["id"], set_=new)

    with engine.begin() as connection:
        connection.execute(insert(TABLE), rows)
        statement = on_conflict(upsert(TABLE), "email", "email_bidx")
        connection.execute(statement, [{"id": 1, "email": "bob@x"}])
        found = select(TABLE.c.id, TABLE.c.email).where(TABLE.c.email == "BOB@x")
        assert connection.execute(found).all() == [(1, "bob@x")]
    is_consistent(engine)
    with engine.connect() as connection, pytest.raises(SeparatedValueError):
        connection.execute(on_conflict(upsert(TABLE), "email"), rows)


# Searching


def test_search(session, engine):
    session.add_all(
        [Patient(id=n, email=f"{n}@x", number=n, born=str(n)) for n in range(1, 9)]
    )
    session.commit()
    other = aliased(Patient)
    inner = select(Patient).where(Patient.id < 5).subquery()
    same = aliased(Patient, inner)
    assert by_email(session, " 3@X") == [3]
    in_ = select(Patient.id).where(Patient.email.in_(["1@x", "2@X", "no"]))
    assert sorted(session.scalars(in_)) == [1, 2]
    assert session.query(Patient).filter_by(number=4).one().id == 4
    assert by_email(session, "5@x", other) == [5]
    assert by_email(session, "4@x", same) == [4]
    assert by_email(session, "5@x", same) == []
    both = select(Patient.id).join(other, Patient.email_bidx == other.email_bidx)
    assert len(session.scalars(both).all()) == 8
    is_null = select(Patient.id).where(Patient.email.is_(None))
    assert session.scalars(is_null).all() == []
    none = select(Patient.id).where(Patient.email.candidates())
    assert session.scalars(none).all() == []
    near = select(Patient).where(Patient.born.candidates("3"))
    assert 3 in [p.id for p in session.scalars(near) if p.born == "3"]
    session.execute(delete(Patient).where(Patient.email == "8@x"))
    session.commit()
    assert by_email(session, "8@x") == []


def test_what_has_no_answer_is_refused(session, engine):
    alone = select(Patient.email).subquery()
    for build in (
        lambda: Patient.email > "a",
        lambda: Patient.email.like("a%"),
        lambda: Patient.email == literal("a"),
        lambda: Patient.email.in_(select(Patient.email)),
        lambda: Patient.email.in_(["a", None]),
        lambda: Patient.born == "1",
        lambda: alone.c.email == "a",
        lambda: Patient.email.candidates(None),
    ):
        with pytest.raises(NotSearchableError):
            build()


def test_a_refusal_names_what_is_possible(session, engine):
    with pytest.raises(NotSearchableError, match=r"is_\(None\), == and in_; any"):
        Patient.email.between("a", "b")


def test_unique_holds(session, engine):
    session.add(Patient(id=1, number=1))
    session.commit()
    session.add(Patient(id=2, number=1))
    with pytest.raises(IntegrityError):
        session.commit()


def test_inheritance(session, engine):
    session.add(Surgeon(id=1, email="ada@x", licence="L1"))
    session.commit()
    surgeon = session.get_one(Surgeon, 1)
    surgeon.email, surgeon.licence = "bob@x", "L2"
    session.commit()
    found = select(Surgeon).where(Surgeon.email == "BOB@X", Surgeon.licence == "L2")
    assert session.scalars(found).all() == [surgeon]
    names = {"email_bidx", "licence_bidx"}
    assert names & set(Doctor.__table__.c.keys()) == {"email_bidx"}
    assert names & set(Surgeon.__table__.c.keys()) == {"licence_bidx"}


# Declaring


def test_the_column_of_terms():
    term = TABLE.c.email_bidx
    assert not term.primary_key
    assert term.nullable
    assert [list(i.columns.keys()) for i in TABLE.indexes if term in list(i.columns)]
    assert TABLE.c.number_bidx.unique
    assert "email_bidx" in Doctor.__table__.c


def test_copies_of_a_table_are_the_same_field(engine):
    copy = TABLE.to_metadata(MetaData())
    again = copy.to_metadata(MetaData(), name="patients")
    for table in (copy, again):
        assert table.c.keys() == TABLE.c.keys()
        assert len(table.indexes) == len(TABLE.indexes)
    with engine.begin() as connection:
        connection.execute(insert(copy), [{"id": 1, "email": "ada@x"}])
        found = select(again.c.id).where(again.c.email == "ADA@X")
        assert connection.scalars(found).all() == [1]
    is_consistent(engine, again)


def test_a_renamed_copy_is_another_field(engine):
    copy = TABLE.to_metadata(MetaData(), name="patients_2")
    copy.create(engine)
    with engine.begin() as connection:
        for table in (copy, TABLE):
            connection.execute(insert(table), [{"id": 1, "email": "ada@x"}])
            found = select(table.c.id).where(table.c.email == "ADA@X")
            assert connection.scalars(found).all() == [1]
        terms = [connection.scalar(select(t.c.email_bidx)) for t in (copy, TABLE)]
        assert terms[0] != terms[1]
    is_consistent(engine, copy)


def test_a_declared_column_of_terms_is_refused_when_it_is_another():
    with pytest.raises(DeclarationError, match="email_bidx"):
        Table(
            "t",
            MetaData(),
            Column("email_bidx", String),
            Column("email", EncryptedType(String, index=BlindIndex())),
        )


def test_an_index_and_deterministic_encryption_exclude_each_other():
    with pytest.raises(DeclarationError, match="exclude"):
        EncryptedType(String, suite="deterministic", index=BlindIndex())


def test_a_copied_instance_gets_terms_of_its_own(session, engine):
    session.add(Patient(id=1, email="ada@x"))
    session.commit()
    patient = session.get_one(Patient, 1)
    assert patient.email_bidx
    make_transient(patient)
    patient.id, patient.email = 2, "bob@x"
    session.add(patient)
    session.commit()
    assert by_email(session, "bob@x") == [2]
    is_consistent(engine)


def test_terms_are_not_set_by_hand(session, engine):
    session.add(Patient(id=1, email="ada@x"))
    session.commit()
    patient = session.get_one(Patient, 1)
    patient.email_bidx = index_term("bob@x")
    with pytest.raises(SeparatedValueError, match="index_term"):
        session.commit()


# Rotating the index key


def rotating(**options):
    kind = EncryptedType(String, index=BlindIndex(**options))
    columns = Column("id", Integer, primary_key=True), Column("email", kind)
    return Table("rotating", MetaData(), *columns)


def test_two_versions_of_an_index(engine):
    one = rotating(unique=True)
    both = rotating(unique=True, second_version=2)
    swapped = rotating(unique=True, version=2, second_version=1)
    two = rotating(unique=True, version=2)
    both.create(engine)

    def found(connection, table, value):
        return connection.scalars(
            select(table.c.id).where(table.c.email == value)
        ).all()

    with engine.connect() as connection:
        for number, table in enumerate((one, both, swapped), 1):
            connection.execute(insert(table), {"id": number, "email": f"{number}@x"})
        connection.commit()
        for number in (1, 2, 3):
            assert found(connection, both, f"{number}@x") == [number]
            assert found(connection, swapped, f"{number}@x") == [number]
        assert found(connection, one, "3@x") == [3]
        assert found(connection, two, "2@x") == [2]
        for table in (both, swapped):
            with pytest.raises(NotSearchableError):
                connection.execute(select(table.c.id).where(table.c.email != "1@x"))
            with pytest.raises(SeparatedValueError):
                connection.execute(
                    update(table).values(email="z", email_bidx=index_term("z"))
                )
            with pytest.raises(IntegrityError):
                connection.execute(insert(table), {"id": 9, "email": "2@x"})
            connection.rollback()


# Leaks


def test_a_term_that_was_asked_for_shows_nothing(session, engine):
    term = index_term("hunted")
    assert "hunted" not in repr(term)
    assert not hasattr(term, "__dict__")
    import pickle

    with pytest.raises(SecretHandlingError):
        pickle.dumps(term)
    statement = update(TABLE).values(email="hunted", email_bidx=term)
    assert "hunted" not in str(statement.compile(engine))
    with pytest.raises(SealedError):
        statement.compile(engine, compile_kwargs={"literal_binds": True})


def test_an_index_column_takes_no_plaintext(session, engine):
    for value in ("plain", b"0" * 15):
        with pytest.raises((EncodingError, StatementError)) as error:
            session.execute(update(TABLE).values(email="x", email_bidx=value))
        assert str(value)[2:8] not in str(error.value.args[0])
        session.rollback()


def test_without_an_index_key_nothing_is_written(session, engine):
    bind_keyring(engine, Keyring([Key(1, bytes(range(32)))]))
    session.add(Patient(id=1, email="ada@x"))
    with pytest.raises(SealedError, match="index"):
        session.commit()
    session.rollback()
    assert session.execute(text("SELECT 1 FROM patients")).all() == []
    with Session(engine) as other:
        other.add(Doctor(id=1))
        other.commit()
