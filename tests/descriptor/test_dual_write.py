"""Two columns that hold the same value while values move between them."""

from __future__ import annotations

import pytest
from sqlalchemy import String, insert, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedType, dual_write, encrypted
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    EncodingError,
    SeparatedValueError,
)


class Base(DeclarativeBase):
    pass


class Typed(Base):
    __tablename__ = "typed"

    id: Mapped[int] = mapped_column(primary_key=True)
    ssn: Mapped[str | None] = mapped_column(String(50))
    ssn_encrypted: Mapped[str | None] = mapped_column(
        EncryptedType(String(50), index=BlindIndex())
    )


class Described(Base):
    __tablename__ = "described"

    id: Mapped[int] = mapped_column(primary_key=True)
    ssn: Mapped[str | None] = mapped_column(String(50))
    sealed = encrypted(String(50), bind="row", index=BlindIndex())


dual_write(Typed, "ssn", "ssn_encrypted")
dual_write(Described, "ssn", "sealed")
MODELS = pytest.mark.parametrize(
    "model, name", [(Typed, "ssn_encrypted"), (Described, "sealed")]
)


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


def both(engine, model, name):
    with Session(engine) as session:
        one = session.get(model, 1)
        return one.ssn, getattr(one, name)


@MODELS
def test_either_attribute_writes_both(engine, model, name):
    with Session(engine) as session, session.begin():
        session.add(model(id=1, ssn="one"))
    assert both(engine, model, name) == ("one", "one")
    with Session(engine) as session, session.begin():
        setattr(session.get(model, 1), name, "two")
    assert both(engine, model, name) == ("two", "two")
    with Session(engine) as session:
        found = session.scalar(select(model).where(getattr(model, name) == "two"))
        assert found.id == 1
    for attribute in ("ssn", name):
        with Session(engine) as session, session.begin():
            setattr(session.get(model, 1), attribute, None)
        assert both(engine, model, name) == (None, None)
        with Session(engine) as session, session.begin():
            session.get(model, 1).ssn = "again"


@MODELS
@pytest.mark.parametrize("assigned", ["one", None])
@pytest.mark.parametrize("column", ["ssn", "sealed"])
def test_what_a_job_fills_meanwhile_does_not_come_back(
    engine, model, name, assigned, column
):
    """The attribute looks unchanged to the session, and is written all the same."""
    with Session(engine) as session, session.begin():
        session.add(model(id=1, ssn=assigned))
    stored = (
        "ssn" if column == "ssn" else f"{name.removesuffix('_encrypted')}_encrypted"
    )
    with Session(engine) as session:
        one = session.get(model, 1)
        assert one.ssn == getattr(one, name) == assigned
        session.commit()
        one = session.get(model, 1)
        getattr(one, name)
        with engine.begin() as job:
            value = "filled" if column == "ssn" else b"\xf5" + b"x" * 80
            job.execute(
                text(f"UPDATE {model.__tablename__} SET {stored} = :v"), {"v": value}
            )
        one.ssn = assigned
        session.commit()
    assert both(engine, model, name) == (assigned, assigned)


@MODELS
def test_a_statement_that_writes_one_of_them(engine, model, name):
    table = model.__table__
    sealed = [c for c in table.c if c.name.endswith("_encrypted")][0]
    for statement in (
        update(table).values(ssn="x"),
        insert(table).values(id=2, ssn="x"),
    ):
        with engine.begin() as connection:
            with pytest.raises(SeparatedValueError, match="dual_write"):
                connection.execute(statement)
    with Session(engine) as session:
        with pytest.raises(SeparatedValueError, match="dual_write"):
            session.execute(update(model).values(ssn="x"))
    assert sealed.info


def test_an_upsert_and_a_select_that_write_one_of_them(engine):
    table = Typed.__table__
    dialect = {"postgresql": postgresql, "sqlite": sqlite, "mysql": mysql}[engine.name]
    both = {"id": 1, "ssn": "x", "ssn_encrypted": "x"}
    upsert = dialect.insert(table).values(**both, ssn_encrypted_bidx=None)
    if engine.name == "mysql":
        upsert = upsert.on_duplicate_key_update(ssn="y")
    else:
        upsert = upsert.on_conflict_do_update(index_elements=["id"], set_={"ssn": "y"})
    copied = insert(table).from_select(
        ["id", "ssn"], select(table.c.id + 9, table.c.ssn)
    )
    for statement in (upsert, copied):
        with (
            engine.begin() as connection,
            pytest.raises(SeparatedValueError, match="dual_write"),
        ):
            connection.execute(statement)


def test_a_column_that_the_database_would_change_alone():
    class Own(DeclarativeBase):
        pass

    class Stamped(Own):
        __tablename__ = "stamped"

        id: Mapped[int] = mapped_column(primary_key=True)
        at: Mapped[str | None] = mapped_column(String(50), onupdate="now")
        at_encrypted: Mapped[str | None] = mapped_column(EncryptedType(String(50)))

    with pytest.raises(ConfigurationError, match="onupdate="):
        dual_write(Stamped, "at", "at_encrypted")


def test_bulk_inserts_of_both(engine):
    with Session(engine) as session, session.begin():
        session.execute(
            insert(Typed), [{"id": 1, "ssn": "one", "ssn_encrypted": "one"}]
        )
        session.execute(insert(Described), [{"id": 1, "ssn": "one", "sealed": "one"}])
    assert both(engine, Typed, "ssn_encrypted") == ("one", "one")
    assert both(engine, Described, "sealed") == ("one", "one")


def test_a_stored_form_has_no_plaintext_to_write(engine):
    with Session(engine) as session, session.begin():
        session.add(Described(id=1, ssn="one"))
        session.flush()
        with pytest.raises(EncodingError, match="dual_write"):
            Described(id=2, sealed_encrypted=session.get(Described, 1).sealed_encrypted)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((Typed, "nothing", "ssn_encrypted"), "is no attribute of a column"),
        ((Typed, "ssn", "ssn"), "is to be a plaintext column"),
        ((Typed, "ssn_encrypted", "ssn"), "is to be a plaintext column"),
        ((object, "a", "b"), "takes a mapped class"),
        ((5, "a", "b"), "takes a mapped class"),
    ],
)
def test_what_is_no_pair(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        dual_write(*arguments)
