"""Bulk, ORM-enabled and Core statements: they write the right bytes, or say why not."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy import String
from sqlalchemy_sealed import BlindIndex, encrypted, tenant
from sqlalchemy_sealed.errors import (
    EncodingError,
    NotSearchableError,
    SealedError,
    SeparatedValueError,
)

V20 = sqlalchemy.__version__.startswith("2.0")


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    clinic: Mapped[str | None] = mapped_column(String(20))
    code: Mapped[int | None] = mapped_column(unique=True)
    email = encrypted(String, index=BlindIndex(normalize="email"))
    card = encrypted(String, bind="row", tenant="clinic")


class Numbered(Base):
    __tablename__ = "numbered"
    id: Mapped[int] = mapped_column(primary_key=True)
    card = encrypted(String, bind="row")


TABLE = Patient.__table__


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def ada(session):
    ada = Patient(code=1, clinic="north", email="ada@x", card="1")
    session.add(ada)
    session.commit()
    return ada


@pytest.fixture
def rows(session):
    def rows():
        session.commit()
        session.expire_all()
        found = session.scalars(select(Patient).order_by(Patient.code))
        rows = [(p.code, p.clinic, p.email, p.card) for p in found]
        # What has a value has the term of this value.
        assert all((p.email is None) is (p.email_bidx is None) for p in found)
        for code, _, email, _ in rows:
            if email is not None:
                query = select(Patient.code).where(Patient.email == email)
                assert code in session.scalars(query).all()
        return rows

    return rows


BOB = {"code": 2, "clinic": "south", "email": "Bob@x", "card": "2"}


def test_a_list_of_mappings_is_inserted(session, ada, rows):
    none = {"code": 3, "clinic": "south", "email": None, "card": None}
    session.execute(insert(Patient), [BOB, none])
    assert rows()[1:] == [(2, "south", "Bob@x", "2"), (3, "south", None, None)]
    assert "Bob@x" in BOB.values()


def test_a_single_mapping_is_inserted(session, rows):
    session.execute(insert(Patient), BOB)
    assert rows() == [(2, "south", "Bob@x", "2")]


def test_insert_returning(session, rows, engine):
    if not engine.dialect.insert_executemany_returning:
        pytest.xfail("the database has no RETURNING for many rows")
    query = insert(Patient).returning(Patient.email)
    assert session.scalars(query, [BOB]).all() == ["Bob@x"]
    query = insert(Patient).returning(Patient)
    [found] = session.scalars(query, [{**BOB, "code": 3}])
    assert (found.email, found.card) == ("Bob@x", "2")


def test_insert_values(session, rows):
    session.execute(insert(Patient).values(code=2, email="Bob@x"))
    many = [{"code": 3, "email": "C@x"}, {"code": 4, "email": None}]
    session.execute(insert(Patient).values(many))
    assert [row[2] for row in rows()] == ["Bob@x", "C@x", None]


def test_update_by_primary_key(session, ada, rows):
    changed = {"id": ada.id, "clinic": "north", "email": "A@y", "card": "9"}
    session.execute(update(Patient), [changed])
    assert rows() == [(1, "north", "A@y", "9")]


def test_a_search_is_not_evaluated_in_python(session, ada):
    query = update(Patient).where(Patient.email == "ADA@x").values(code=2)
    with pytest.raises(InvalidRequestError, match="Could not evaluate"):
        session.execute(query, execution_options={"synchronize_session": "evaluate"})


@pytest.mark.parametrize("strategy", ["auto", "fetch", False])
def test_update_where(session, ada, rows, strategy):
    assert ada.email == "ada@x"
    query = update(Patient).where(Patient.email == "ADA@x").values(email="Ada@y")
    session.execute(query, execution_options={"synchronize_session": strategy})
    if strategy:
        assert ada.email == "Ada@y"
        ada.code = 5
    assert rows()[0][2] == "Ada@y"
    session.execute(update(Patient).values({Patient.email: None}))
    assert rows()[0][2] is None


def test_delete_where(session, ada, rows):
    session.execute(delete(Patient).where(Patient.email.in_(["ada@X"])))
    assert rows() == []


def test_bulk_save_objects(session, rows):
    session.bulk_save_objects([Patient(code=2, email="Bob@x")])
    assert rows() == [(2, None, "Bob@x", None)]
    with pytest.raises(EncodingError, match="add_all"):
        session.bulk_save_objects([Patient(code=3, clinic="x", card="3")])


@pytest.mark.skipif(V20, reason="SQLAlchemy 2.0 drops hybrid attributes there")
def test_bulk_mappings(session, rows):
    session.bulk_insert_mappings(Patient, [BOB])
    assert rows() == [(2, "south", "Bob@x", "2")]
    [row] = session.scalars(select(Patient))
    changed = {"id": row.id, "clinic": "south", "email": "Bob@y", "card": "3"}
    session.bulk_update_mappings(Patient, [changed])
    assert rows() == [(2, "south", "Bob@y", "3")]


def test_the_tenant_of_a_mapping_may_come_from_the_scope(session, engine):
    with tenant("south"):
        session.execute(insert(Patient), [{"code": 2, "card": "2"}])
        session.commit()
        assert session.scalars(select(Patient)).one().card == "2"
    with pytest.raises(EncodingError, match="tenant"):
        session.execute(insert(Patient), [{"code": 3, "card": "2"}])


def test_a_mapping_without_the_key_that_binds_is_refused(session, engine):
    with pytest.raises(EncodingError, match="primary key in every mapping"):
        session.execute(insert(Numbered), [{"card": "1"}])
    session.execute(insert(Numbered), [{"id": 7, "card": "1"}])
    assert session.scalars(select(Numbered)).one().card == "1"


def test_a_key_that_the_database_makes(session, engine):
    cards = [Numbered(card=f"c{n}") for n in range(5)]
    session.add_all(cards)
    if engine.name != "postgresql":
        with pytest.raises(EncodingError, match="the database makes this one"):
            session.flush()
        return
    session.commit()
    session.expunge_all()
    found = session.scalars(select(Numbered).order_by(Numbered.id)).all()
    assert [one.card for one in found] == [f"c{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: insert(Patient).values(card="1"), NotSearchableError),
        (lambda: update(Patient).values(card="1"), NotSearchableError),
        (lambda: update(Patient).values(email=func.lower("A")), NotSearchableError),
        (lambda: update(Patient).values(email=bindparam("x")), NotSearchableError),
        (lambda: update(Patient).values(clinic="south"), SeparatedValueError),
        (lambda: update(TABLE).values(clinic="south"), SeparatedValueError),
        (lambda: update(TABLE).values(email_encrypted=None), SeparatedValueError),
        (lambda: update(TABLE).values(email_bidx=None), SeparatedValueError),
        (lambda: insert(TABLE).values(email_encrypted="plain"), SealedError),
        (lambda: update(TABLE).values(card_encrypted="plain"), SealedError),
    ],
)
def test_what_would_part_values_from_their_rows_is_refused(
    session, ada, rows, build, error
):
    before = rows()
    with pytest.raises(error) as caught:
        session.execute(build())
    assert "plain" not in str(caught.value).replace("plaintext", "")
    session.rollback()
    assert rows() == before


def upsert(engine):
    kinds = {"postgresql": postgresql, "sqlite": sqlite, "mysql": mysql}
    return kinds[engine.name].insert(TABLE)


def test_an_upsert_of_what_is_bound_to_the_field(session, engine, ada, rows):
    session.execute(insert(Patient), [BOB])
    source = session.execute(
        select(TABLE.c.email_encrypted, TABLE.c.email_bidx).where(TABLE.c.code == 2)
    ).one()
    query = upsert(engine).values(id=uuid.uuid4(), code=1, **source._mapping)
    new = query.inserted if engine.name == "mysql" else query.excluded
    changed = {"email_encrypted": new.email_encrypted, "email_bidx": new.email_bidx}
    if engine.name == "mysql":
        query = query.on_duplicate_key_update(**changed)
    else:
        query = query.on_conflict_do_update(index_elements=["code"], set_=changed)
    session.execute(query)
    assert [row[2] for row in rows()] == ["Bob@x", "Bob@x"]


def test_an_upsert_of_what_is_bound_to_the_row_needs_the_key(session, engine, ada):
    sealed = session.scalar(select(TABLE.c.card_encrypted))
    query = upsert(engine).values(id=ada.id, code=1, card_encrypted=sealed)
    if engine.name == "mysql":
        refused = query.on_duplicate_key_update(
            card_encrypted=query.inserted.card_encrypted
        )
    else:
        changed = {"card_encrypted": query.excluded.card_encrypted}
        refused = query.on_conflict_do_update(index_elements=["code"], set_=changed)
        allowed = query.on_conflict_do_update(index_elements=["id"], set_=changed)
        session.execute(allowed)
        session.commit()
        assert ada.card == "1"
    with pytest.raises(SeparatedValueError, match="conflict target"):
        session.execute(refused)
