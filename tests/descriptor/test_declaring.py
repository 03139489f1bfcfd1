"""Every way to declare a class that has a sealed attribute, and what is refused."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

from dataclasses import InitVar

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Date,
    Enum,
    ForeignKey,
    Integer,
    Numeric,
    String,
    Uuid,
    select,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    declarative_base,
    mapped_column,
    registry,
)
from sqlalchemy_sealed import BlindIndex, EncryptedType, Normalizer, encrypted
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    DeclarationError,
    UnsupportedTypeError,
)
from sqlalchemy.types import TypeDecorator


class Base(DeclarativeBase):
    pass


class Upper(TypeDecorator):
    impl = String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return value and value.upper()


class Contact:
    """A mixin."""

    email = encrypted(String, index=BlindIndex(normalize="email"))


class Animal(Base):
    __abstract__ = True
    chip = encrypted(String, index=BlindIndex())


class Dog(Contact, Animal):
    __tablename__ = "dogs"
    id: Mapped[int] = mapped_column(primary_key=True)


class Cat(Contact, Animal):
    __tablename__ = "cats"
    id: Mapped[int] = mapped_column(primary_key=True)


class Person(Base):
    __tablename__ = "people"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    kind: Mapped[str] = mapped_column(String(20))
    name = encrypted(String, bind="row", index=None)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}


class Doctor(Person):
    __tablename__ = "doctors"
    id: Mapped[uuid.UUID] = mapped_column(ForeignKey("people.id"), primary_key=True)
    licence = encrypted(String, bind="row", index=BlindIndex())
    __mapper_args__ = {"polymorphic_identity": "doctor"}


class Nurse(Person):
    shift = encrypted(String)
    __mapper_args__ = {"polymorphic_identity": "nurse"}


class Everything(Base):
    __tablename__ = "everything"
    id: Mapped[int] = mapped_column(primary_key=True)
    number = encrypted(Integer, index=BlindIndex())
    amount = encrypted(Numeric(9, 2), index=BlindIndex())
    born = encrypted(Date, index=BlindIndex())
    key = encrypted(Uuid, index=BlindIndex())
    data = encrypted(JSON)
    flag = encrypted(Boolean, index=BlindIndex(accept_leakage="public anyway"))
    text = encrypted(String, storage="text", column="the_text")
    shout = encrypted(Upper)


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


def saved(session, instance):
    session.add(instance)
    session.commit()
    session.expunge_all()
    return session.scalars(select(type(instance))).one()


@pytest.mark.parametrize("kind", [Dog, Cat])
def test_mixins_and_abstract_bases_give_each_class_its_own_columns(session, kind):
    found = saved(session, kind(email="A@x.org", chip="c"))
    assert (found.email, found.chip) == ("A@x.org", "c")
    both = select(kind).where(kind.email == "a@X.org", kind.chip == "c")
    assert session.scalars(both).one() is found
    name = kind.__tablename__
    assert kind.__table__.c.email_encrypted.type.context == f"{name}.email_encrypted"
    assert kind.__table__.c.email_bidx.type.index.context == f"{name}.email_encrypted"


def test_joined_and_single_table_inheritance(session):
    session.add_all(
        [
            Person(name="p"),
            Doctor(name="d", licence="L1"),
            Nurse(name="n", shift="late"),
        ]
    )
    session.commit()
    session.expunge_all()
    people = {person.kind: person for person in session.scalars(select(Person))}
    assert [people[k].name for k in ("person", "doctor", "nurse")] == ["p", "d", "n"]
    assert people["doctor"].licence == "L1"
    assert people["nurse"].shift == "late"
    query = select(Doctor.name, Doctor.licence).where(Doctor.licence == "L1")
    assert session.execute(query).one() == ("d", "L1")
    people["doctor"].name, people["doctor"].licence = "D", "L2"
    session.commit()
    session.expunge_all()
    doctor = session.scalars(select(Doctor)).one()
    assert (doctor.name, doctor.licence) == ("D", "L2")


def test_every_kind_of_value(session):
    given = {
        "number": 42,
        "amount": Decimal("1.50"),
        "born": dt.date(1815, 12, 10),
        "key": uuid.UUID(int=7),
        "data": {"a": [1, None]},
        "flag": True,
        "text": "t",
        "shout": "loud",
    }
    found = saved(session, Everything(**given))
    for name, value in given.items():
        assert getattr(found, name) == ("LOUD" if name == "shout" else value)
    for name in ("number", "amount", "born", "key", "flag"):
        attribute = getattr(Everything, name)
        assert session.scalars(select(Everything).where(attribute == given[name])).one()
        assert session.scalars(select(attribute)).one() == given[name]
    assert session.scalars(select(Everything.shout)).one() == "LOUD"


def test_a_registry_and_a_declarative_base(sqlite_engine, keyring):
    from sqlalchemy_sealed import bind_keyring

    mapper_registry = registry()
    Old = declarative_base()

    @mapper_registry.mapped
    class One:
        __tablename__ = "one"
        id: Mapped[int] = mapped_column(primary_key=True)
        name = encrypted(String)

    class Two(Old):
        __tablename__ = "two"
        id: Mapped[int] = mapped_column(primary_key=True)
        name = encrypted(String)

    bind_keyring(sqlite_engine, keyring)
    mapper_registry.metadata.create_all(sqlite_engine)
    Old.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        first, second = One(), Two(name="two")
        first.name = "one"
        assert saved(session, first).name == "one"
        assert saved(session, second).name == "two"


def test_a_mapped_dataclass(sqlite_engine, keyring):
    from sqlalchemy_sealed import bind_keyring

    class Data(MappedAsDataclass, DeclarativeBase):
        pass

    class Card(Data):
        __tablename__ = "cards"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        holder: Mapped[str]
        number = encrypted(String, bind="row")

    class Token(Data):
        __tablename__ = "tokens"
        id: Mapped[uuid.UUID] = mapped_column(
            primary_key=True, init=False, default_factory=uuid.uuid4
        )
        number = encrypted(String, bind="row")

    bind_keyring(sqlite_engine, keyring)
    Data.metadata.create_all(sqlite_engine)
    token = Token()
    token.number = "4111"
    assert "4111" not in repr(token)
    with Session(sqlite_engine) as session:
        assert saved(session, token).number == "4111"
    assert "number_encrypted" not in repr(Card(holder="Ada"))


def test_a_mapped_dataclass_takes_the_value_when_it_is_made(sqlite_engine, keyring):
    from sqlalchemy_sealed import bind_keyring

    class Data(MappedAsDataclass, DeclarativeBase):
        pass

    class Contact(Data):
        __tablename__ = "contacts"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        email_: InitVar[str]
        email = encrypted(String, index=BlindIndex())

        def __post_init__(self, email_: str) -> None:
            self.email = email_

    bind_keyring(sqlite_engine, keyring)
    Data.metadata.create_all(sqlite_engine)
    contact = Contact(email_="ada@x")
    assert "ada@x" not in repr(contact)
    with Session(sqlite_engine) as session:
        saved(session, contact)
        found = select(Contact).where(Contact.email == "ada@x")
        assert session.scalars(found).one().email == "ada@x"


def test_a_pinned_context_survives_another_table_name():
    class Old(Base):
        __tablename__ = "former_name"
        id: Mapped[int] = mapped_column(primary_key=True)
        name = encrypted(String, context="people.name", index=BlindIndex())

    kinds = [Old.__table__.c[n].type for n in ("name_encrypted", "name_bidx")]
    assert kinds[0].field().context == "people.name"
    assert kinds[1].index.context == "people.name"


# What is refused


def declare(**attributes):
    names = {"__tablename__": f"t{uuid.uuid4().hex}", **attributes}
    names.setdefault("id", mapped_column(Integer, primary_key=True))
    kind = type("Refused", (DeclarativeBase,), {})
    return type("Model", (kind,), names)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: encrypted(String, bind="table"), "bind="),
        (lambda: encrypted(String, index="email"), "BlindIndex"),
        (lambda: encrypted(JSON, index=BlindIndex()), "more than one byte form"),
        (lambda: encrypted(Integer, index=BlindIndex(normalize="email")), "for text"),
        (lambda: encrypted(Boolean, index=BlindIndex()), "accept_leakage"),
        (lambda: encrypted(Enum("a", "b"), index=BlindIndex()), "accept_leakage"),
        (lambda: encrypted(String, context=""), "context="),
        (lambda: BlindIndex(bits=64), "bits=64"),
        (lambda: BlindIndex(bits=0), "bits=0"),
        (lambda: BlindIndex(bits=12, unique=True), "unique"),
        (lambda: BlindIndex(normalize="upper"), "no normaliser"),
        (lambda: BlindIndex(population=8), "accept_leakage"),
        (lambda: BlindIndex(bits=20, population=1000), "plan_index"),
        (lambda: BlindIndex(version=0), "version"),
        (lambda: BlindIndex(version=2, second_version=2), "two different"),
        (lambda: BlindIndex(name=""), "name="),
    ],
)
def test_options_that_cannot_work_are_refused(make, hint):
    with pytest.raises(DeclarationError, match=hint):
        make()


def test_a_type_without_a_codec_is_refused():
    from sqlalchemy import PickleType

    with pytest.raises(UnsupportedTypeError):
        encrypted(PickleType)


def refusal(**attributes):
    """Return the error; Python 3.11 wraps what happens in a class body."""
    with pytest.raises((DeclarationError, RuntimeError)) as caught:
        declare(**attributes)
    return str(caught.value.__cause__ or caught.value)


def test_a_column_that_is_declared_already_is_refused():
    found = refusal(a=encrypted(String, column="b"), b=mapped_column(String))
    assert "Model.b is declared" in found


def test_one_call_for_two_attributes_is_refused():
    shared = encrypted(String)
    assert "two attributes" in refusal(a=shared, b=shared)


@pytest.mark.parametrize("kind", [Boolean, Enum("a", name="e"), Upper])
def test_a_key_that_identifies_no_row_is_refused(kind):
    model = declare(
        id=mapped_column(kind, primary_key=True), name=encrypted(String, bind="row")
    )
    with pytest.raises(ConfigurationError, match='bind="row" needs a primary key'):
        select(model.name)
        model()


def test_a_custom_normaliser_is_part_of_the_index():
    own = Normalizer("initial", 1, lambda text: text[:1] or None)
    model = declare(name=encrypted(String, index=BlindIndex(normalize=own)))
    index = model.__table__.c.name_bidx.type.index
    assert index.normalizer == ("initial", 1)


def test_an_earlier_column_type_is_accepted_and_read(session, keyring):
    """From a plain EncryptedType to a value that is bound to its row."""

    class Old(DeclarativeBase):
        pass

    class New(DeclarativeBase):
        pass

    class Before(Old):
        __tablename__ = "moving"
        id: Mapped[int] = mapped_column(primary_key=True)
        name_encrypted: Mapped[str] = mapped_column(EncryptedType(String))

    class After(New):
        __tablename__ = "moving"
        id: Mapped[int] = mapped_column(primary_key=True)
        name = encrypted(String, bind="row", accepts=EncryptedType(String))

    Old.metadata.create_all(session.get_bind())
    session.add(Before(id=1, name_encrypted="Ada"))
    session.commit()
    found = session.scalars(select(After)).one()
    assert found.name == "Ada"
    found.name = "Lovelace"
    session.commit()
    session.expire_all()
    assert found.name == "Lovelace"
