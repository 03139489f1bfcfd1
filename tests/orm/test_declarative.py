"""Every way to declare a column gives it a field id of its own, and keeps it."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import pickle
from decimal import Decimal
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
import sqlalchemy_sealed as sealed
from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Computed,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    aliased,
    declared_attr,
    mapped_column,
    registry,
    synonym,
)
from sqlalchemy_sealed import Blocks, Bucket, EncryptedType, Padme
from sqlalchemy_sealed.envelope import has_shape
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationError,
    MixedFieldsError,
    UnsupportedTypeError,
)


@pytest.fixture
def base():
    """Return a declarative base of the test itself."""

    class Base(DeclarativeBase):
        pass

    return Base


@pytest.fixture
def keep(engine):
    """Return a function that stores an object and loads it anew."""

    def keep(thing):
        type(thing).metadata.create_all(engine)
        with Session(engine) as session:
            session.add(thing)
            session.commit()
            key = sa.inspect(thing).identity
        with Session(engine) as session:
            return session.get(type(thing), key)

    return keep


def context(attribute):
    return attribute.property.columns[0].type.context


# Field ids


def test_a_field_is_named_after_table_and_column(base, keep):
    class Patient(base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedType(String))

    assert context(Patient.name) == "patients.name"
    assert keep(Patient(id=1, name="ada")).name == "ada"


def test_a_field_has_the_name_of_the_database_column(base, keep):
    class Patient(base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column("full_name", EncryptedType(String))

    assert context(Patient.name) == "patients.full_name"
    assert keep(Patient(id=1, name="ada")).name == "ada"


def test_a_schema_is_no_part_of_the_field():
    table = Table("t", MetaData(schema="clinic"), Column("a", EncryptedType(String)))
    assert table.c.a.type.context == "t.a"


def test_a_key_is_no_part_of_the_field():
    table = Table("t", MetaData(), Column("a", EncryptedType(String), key="other"))
    assert table.c.other.type.context == "t.a"


def test_a_pinned_context_is_kept():
    kind = EncryptedType(String, context="persons.name")
    table = Table("t", MetaData(), Column("a", kind))
    assert table.c.a.type.context == "persons.name"


def test_a_mixin_gives_each_class_its_own_field(base, keep):
    class Named:
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedType(String))

    class Patient(Named, base):
        __tablename__ = "patients"

    class Doctor(Named, base):
        __tablename__ = "doctors"

    assert (context(Patient.name), context(Doctor.name)) == (
        "patients.name",
        "doctors.name",
    )
    assert keep(Patient(id=1, name="ada")).name == "ada"
    assert keep(Doctor(id=1, name="john")).name == "john"


def test_a_declared_attr_gives_each_class_its_own_field(base, keep):
    class Named:
        id: Mapped[int] = mapped_column(primary_key=True)

        @declared_attr
        def name(cls) -> Mapped[str]:
            return mapped_column(EncryptedType(String))

    class Patient(Named, base):
        __tablename__ = "patients"

    class Doctor(Named, base):
        __tablename__ = "doctors"

    assert (context(Patient.name), context(Doctor.name)) == (
        "patients.name",
        "doctors.name",
    )
    assert keep(Patient(id=1, name="ada")).name == "ada"


def test_an_abstract_base_gives_each_class_its_own_field(base, keep):
    class Named(base):
        __abstract__ = True
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedType(String))

    class Patient(Named):
        __tablename__ = "patients"

    class Doctor(Named):
        __tablename__ = "doctors"

    assert context(Patient.name) == "patients.name"
    assert context(Doctor.name) == "doctors.name"
    assert keep(Doctor(id=1, name="john")).name == "john"


def test_a_subclass_of_the_same_table_has_the_field_of_the_table(base, keep):
    class Staff(base):
        __tablename__ = "staff"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "s"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(1))
        phone: Mapped[str | None] = mapped_column(EncryptedType(String))

    class Nurse(Staff):
        __mapper_args__ = {"polymorphic_identity": "n"}
        ward: Mapped[str | None] = mapped_column(EncryptedType(String))

    assert (context(Nurse.phone), context(Nurse.ward)) == ("staff.phone", "staff.ward")
    nurse = keep(Nurse(id=1, phone="1", ward="w"))
    assert (nurse.phone, nurse.ward) == ("1", "w")


def test_a_joined_subclass_has_the_field_of_its_own_table(base, keep, engine):
    class Staff(base):
        __tablename__ = "staff"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "s"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(1))
        phone: Mapped[str | None] = mapped_column(EncryptedType(String))

    class Doctor(Staff):
        __tablename__ = "doctors"
        __mapper_args__ = {"polymorphic_identity": "d"}
        id: Mapped[int] = mapped_column(ForeignKey("staff.id"), primary_key=True)
        licence: Mapped[str | None] = mapped_column(EncryptedType(String))

    assert context(Doctor.licence) == "doctors.licence"
    assert keep(Doctor(id=1, phone="1", licence="l")).licence == "l"
    with Session(engine) as session:
        assert [(s.phone, s.licence) for s in session.scalars(select(Staff))] == [
            ("1", "l")
        ]


def test_concrete_subclasses_have_fields_of_their_own(base, keep):
    class Animal(base):
        __tablename__ = "animals"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(EncryptedType(String))

    class Dog(Animal):
        __tablename__ = "dogs"
        __mapper_args__ = {"concrete": True}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(EncryptedType(String))

    assert (context(Animal.name), context(Dog.name)) == ("animals.name", "dogs.name")
    assert keep(Dog(id=1, name="rex")).name == "rex"
    assert keep(Animal(id=1, name="it")).name == "it"


def concrete_family(**options):
    class Base(DeclarativeBase):
        pass

    class Animal(AbstractConcreteBase, Base):
        strict_attrs = True
        id = Column(Integer, primary_key=True)
        name = Column(EncryptedType(String, **options))

    class Dog(Animal):
        __tablename__ = "dogs"
        __mapper_args__ = {"polymorphic_identity": "dog", "concrete": True}
        chip = Column(EncryptedType(String, context="animals.chip"))

    class Cat(Animal):
        __tablename__ = "cats"
        __mapper_args__ = {"polymorphic_identity": "cat", "concrete": True}

    Base.registry.configure()
    return Base, Animal, Dog, Cat


def test_a_polymorphic_union_without_a_shared_context_is_refused(engine):
    """All legs of a union are read with the type of the first."""
    base, animal, dog, cat = concrete_family()
    base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([dog(id=1, name="rex"), cat(id=2, name="tom")])
        session.flush()
        with pytest.raises(MixedFieldsError, match="context="):
            session.scalars(select(animal)).all()


def test_a_polymorphic_union_with_a_shared_context_opens(engine):
    base, animal, dog, cat = concrete_family(context="animals.name")
    base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([dog(id=1, name="rex", chip="7"), cat(id=2, name="tom")])
        session.commit()
        session.expunge_all()
        found = {a.name: a for a in session.scalars(select(animal))}
    assert set(found) == {"rex", "tom"}


# Shared type instances


def test_an_annotated_column_gives_each_class_its_own_field(base, keep):
    secret = Annotated[str, mapped_column(EncryptedType(String))]

    class Patient(base):
        __tablename__ = "patients"
        __annotations__ = {"id": Mapped[int], "name": Mapped[secret]}
        id = mapped_column(primary_key=True)

    class Doctor(base):
        __tablename__ = "doctors"
        __annotations__ = {"id": Mapped[int], "name": Mapped[secret]}
        id = mapped_column(primary_key=True)

    assert (context(Patient.name), context(Doctor.name)) == (
        "patients.name",
        "doctors.name",
    )
    assert keep(Patient(id=1, name="ada")).name == "ada"
    assert keep(Doctor(id=1, name="john")).name == "john"


def test_an_entry_of_a_type_map_is_no_shared_field(keep, stored):
    secret = Annotated[str, 1]

    class Base(DeclarativeBase):
        type_annotation_map = {secret: EncryptedType(String)}  # noqa: RUF012

    class Patient(Base):
        __tablename__ = "patients"
        __annotations__ = {
            "id": Mapped[int],
            "name": Mapped[secret],
            "nick": Mapped[secret],
        }
        id = mapped_column(primary_key=True)

    assert context(Patient.name) == "patients.name"
    assert context(Patient.nick) == "patients.nick"
    patient = keep(Patient(id=1, name="ada", nick="countess"))
    assert (patient.name, patient.nick) == ("ada", "countess")


def test_a_type_map_serves_several_classes(keep, engine):
    class Base(DeclarativeBase):
        type_annotation_map = {dt.date: EncryptedType(Date)}  # noqa: RUF012

    class Patient(Base):
        __tablename__ = "patients"
        __annotations__ = {"id": Mapped[int], "born": Mapped[dt.date | None]}
        id = mapped_column(primary_key=True)

    class Doctor(Base):
        __tablename__ = "doctors"
        __annotations__ = {"id": Mapped[int], "born": Mapped[dt.date]}
        id = mapped_column(primary_key=True)

    assert context(Patient.born) == "patients.born"
    assert context(Doctor.born) == "doctors.born"
    assert keep(Patient(id=1, born=dt.date.max)).born == dt.date.max
    assert keep(Doctor(id=1, born=dt.date.min)).born == dt.date.min


def test_one_type_instance_for_several_columns_is_no_shared_field(engine):
    shared = EncryptedType(String)
    table = Table(
        "t",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("a", shared),
        Column("b", shared),
        Column("c", shared),
    )
    contexts = [table.c[name].type.context for name in "abc"]
    assert contexts == ["t.a", "t.b", "t.c"]
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table).values(id=1, a="1", b="2", c="3"))
        assert connection.execute(select(table)).one() == (1, "1", "2", "3")


def test_values_of_two_columns_with_one_type_instance_cannot_be_swapped(engine):
    shared = EncryptedType(String)
    table = Table("t", MetaData(), Column("a", shared), Column("b", shared))
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table).values(a="1", b="2"))
        connection.execute(text("UPDATE t SET a = b"))
        with pytest.raises(AuthenticationError, match=r"t\.a"):
            connection.execute(select(table.c.a)).all()


def test_a_mutable_document_of_a_mixin_is_tracked_in_each_class(base, engine):
    class Charted:
        id: Mapped[int] = mapped_column(primary_key=True)
        data: Mapped[dict] = mapped_column(MutableDict.as_mutable(EncryptedType(JSON)))

    class Patient(Charted, base):
        __tablename__ = "patients"

    class Doctor(Charted, base):
        __tablename__ = "doctors"

    base.metadata.create_all(engine)
    for cls in (Patient, Doctor):
        with Session(engine) as session:
            session.add(thing := cls(id=1, data={}))
            session.commit()
            thing.data["a"] = 1
            session.commit()
            assert thing.data == {"a": 1}


# Other ways to map


def test_a_dataclass_maps(keep):
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Patient(Base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedType(String), repr=False)
        born: Mapped[dt.date | None] = mapped_column(
            EncryptedType(Date), default=None, repr=False
        )

    patient = keep(Patient(1, "ada"))
    assert (patient.name, patient.born) == ("ada", None)
    assert "ada" not in repr(patient)


def test_an_imperative_mapping_maps(engine):
    mappers = registry()
    table = Table(
        "patients",
        mappers.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", EncryptedType(String)),
    )

    @dataclasses.dataclass
    class Patient:
        id: int
        name: str

    mappers.map_imperatively(Patient, table)
    table.create(engine)
    with Session(engine) as session:
        session.add(Patient(1, "ada"))
        session.commit()
        assert session.get(Patient, 1).name == "ada"
    mappers.dispose()


def test_a_core_table_in_declarative_form_maps(base, keep):
    class Patient(base):
        __table__ = Table(
            "patients",
            base.metadata,
            Column("id", Integer, primary_key=True),
            Column("name", EncryptedType(String)),
        )
        called = synonym("name")

    assert keep(Patient(id=1, name="ada")).called == "ada"


def test_a_column_added_later_maps(base, keep):
    class Patient(base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)

    Patient.name = mapped_column(EncryptedType(String))
    assert context(Patient.name) == "patients.name"
    assert keep(Patient(id=1, name="ada")).name == "ada"


def test_a_class_of_a_type_is_accepted_as_inner_type():
    assert repr(EncryptedType(Date)) == repr(EncryptedType(Date()))


def test_the_type_says_what_python_type_it_holds():
    assert EncryptedType(Date).python_type is dt.date
    assert EncryptedType(Numeric(9, 2)).python_type is Decimal


def test_no_enum_type_is_created_for_an_inner_enum(engine):
    kind = EncryptedType(sa.Enum("a", "b", name="letters", create_constraint=True))
    Table("t", MetaData(), Column("a", kind)).create(engine)
    inspector = sa.inspect(engine)
    assert inspector.get_check_constraints("t") == []
    if engine.name == "postgresql":
        assert inspector.get_enums() == []


# Copies


def test_a_copied_table_has_the_same_field(engine):
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    table.create(engine)
    other = table.to_metadata(MetaData())
    with engine.begin() as connection:
        connection.execute(insert(table).values(a="x"))
        assert connection.scalar(select(other.c.a)) == "x"


def test_a_copied_table_with_a_new_name_has_a_field_of_its_own():
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    other = table.to_metadata(MetaData(), name="u")
    assert (table.c.a.type.context, other.c.a.type.context) == ("t.a", "u.a")


def test_a_copied_table_keeps_a_pinned_context():
    kind = EncryptedType(String, context="t.a")
    other = Table("t", MetaData(), Column("a", kind)).to_metadata(MetaData(), name="u")
    assert other.c.a.type.context == "t.a"


def test_a_pickled_table_opens_what_the_original_sealed(engine):
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    table.create(engine)
    other = pickle.loads(pickle.dumps(table))
    assert other.c.a.type.context == "t.a"
    with engine.begin() as connection:
        connection.execute(insert(table).values(a="x"))
        assert connection.scalar(select(other.c.a)) == "x"


def test_a_pickled_table_can_be_copied_on(engine):
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    other = pickle.loads(pickle.dumps(table)).to_metadata(MetaData(), name="u")
    assert other.c.a.type.context == "u.a"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy], ids=["copy", "deep"])
def test_a_copied_type_is_free_for_another_column(duplicate):
    first = Table("t", MetaData(), Column("a", EncryptedType(String))).c.a
    again = duplicate(first.type)
    second = Table("u", MetaData(), Column("b", again)).c.b
    assert (first.type.context, second.type.context) == ("t.a", "u.b")


def test_a_pickled_type_keeps_every_option():
    kind = EncryptedType(Numeric(9, 2), "c", "deterministic", "text")
    again = pickle.loads(pickle.dumps(kind))
    assert repr(again) == repr(kind)
    assert again._static_cache_key == kind._static_cache_key


def test_a_pickled_select_runs(engine):
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    table.create(engine)
    query = pickle.loads(pickle.dumps(select(table.c.a).where(table.c.a.is_(None))))
    with engine.connect() as connection:
        assert connection.execute(query).all() == []


def test_an_alias_of_a_class_has_its_field(base):
    class Patient(base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedType(String))

    assert aliased(Patient).name.type.context == "patients.name"


def test_a_reflected_table_takes_the_declared_column(engine, stored):
    Table(
        "t",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("a", EncryptedType(String)),
        Column("b", String(9)),
    ).create(engine)
    table = Table(
        "t", MetaData(), Column("a", EncryptedType(String)), autoload_with=engine
    )
    assert list(table.c.keys()) == ["id", "a", "b"]
    assert table.c.a.type.context == "t.a"
    with engine.begin() as connection:
        connection.execute(insert(table).values(id=1, a="x", b="y"))
        assert connection.execute(select(table)).one() == (1, "x", "y")
    assert has_shape(stored(table.c.a)[0])


def test_a_reflected_unique_constraint_is_refused(engine):
    """A database that was declared elsewhere may have one."""
    Table(
        "t",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("a", sa.VARBINARY(200) if engine.name == "mysql" else LargeBinary),
        UniqueConstraint("a"),
    ).create(engine)
    kind = EncryptedType(String)
    table = Table("t", MetaData(), Column("a", kind), autoload_with=engine)
    with (
        engine.connect() as connection,
        pytest.raises(DeclarationError, match="unique"),
    ):
        connection.execute(select(table.c.a))


def test_a_lightweight_column_needs_a_pinned_context(engine):
    Table("t", MetaData(), Column("a", EncryptedType(String))).create(engine)
    light = sa.table("t", sa.column("a", EncryptedType(String)))
    pinned = sa.table("t", sa.column("a", EncryptedType(String, context="t.a")))
    with engine.begin() as connection:
        with pytest.raises(DeclarationError, match="context="):
            connection.execute(insert(light).values(a="x"))
        connection.execute(insert(pinned).values(a="x"))
        assert connection.scalar(select(pinned.c.a)) == "x"


# Renaming


def patients(name, **options):
    return Table(
        name,
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", EncryptedType(String, **options)),
    )


def renamed(engine, **options):
    """Seal a value in one table, rename it, and return the new declaration."""
    old = patients("patients", **options)
    old.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(old).values(id=1, name="ada"))
        connection.execute(text("ALTER TABLE patients RENAME TO persons"))
    return patients("persons", **options)


def test_a_pinned_context_survives_a_rename(engine):
    table = renamed(engine, context="patients.name")
    with engine.connect() as connection:
        assert connection.scalar(select(table.c.name)) == "ada"


def test_a_context_may_be_pinned_after_the_rename(engine):
    renamed(engine)
    table = patients("persons", context="patients.name")
    with engine.connect() as connection:
        assert connection.scalar(select(table.c.name)) == "ada"


def test_after_a_rename_the_error_names_the_way_out(engine):
    table = renamed(engine)
    with engine.connect() as connection:
        with pytest.raises(AuthenticationError, match="context='old name'") as error:
            connection.scalar(select(table.c.name))
    assert "persons.name" in str(error.value)


# What is refused


def column_of(*arguments, **options):
    kind = EncryptedType(options.pop("inner", String), **options.pop("type_", {}))
    return lambda: Table("t", MetaData(), Column("a", kind, *arguments, **options))


@pytest.mark.parametrize(
    ("option", "declare"),
    [
        ("primary_key", column_of(primary_key=True)),
        ("primary_key", column_of(primary_key=True, inner=Integer)),
        ("foreign key", column_of(ForeignKey("u.id"))),
        ("unique", column_of(unique=True)),
        ("unique", column_of(unique=True, type_={"suite": "deterministic"})),
        ("index", column_of(index=True)),
        ("server_default", column_of(server_default="x")),
        ("server_default", column_of(server_default=func.now())),
        ("server_default", column_of(sa.FetchedValue())),
        ("server_default", column_of(Computed("1"))),
        ("server_default", column_of(Identity(), inner=Integer)),
        ("server_onupdate", column_of(server_onupdate=sa.FetchedValue())),
        ("default", column_of(default=func.lower("X"))),
        ("default", column_of(default=text("'x'"))),
        ("default", column_of(default=select(1).scalar_subquery())),
        ("default", column_of(Sequence("numbers"), inner=Integer)),
        ("onupdate", column_of(onupdate=func.lower("X"))),
    ],
)
def test_a_column_that_cannot_be_sealed_is_refused_by_name(option, declare):
    with pytest.raises(DeclarationError, match=option) as error:
        declare()
    assert "t.a" in str(error.value)


def test_a_deterministic_column_may_have_an_index(engine):
    """MariaDB indexes the head of a BLOB only, and wants to be told how long it is."""
    table = Table(
        "t",
        MetaData(),
        Column("a", EncryptedType(String, suite="deterministic")),
        Index("i", "a", mysql_length=64),
    )
    table.create(engine)
    assert [index["name"] for index in sa.inspect(engine).get_indexes("t")] == ["i"]


@pytest.mark.parametrize(
    ("option", "constrain"),
    [
        ("unique", lambda: UniqueConstraint("a")),
        ("unique", lambda: UniqueConstraint("id", "a")),
        ("unique", lambda: Index("i", "a", unique=True)),
        ("index", lambda: Index("i", "a")),
        ("index", lambda: Index("i", "id", "a")),
        ("primary_key", lambda: PrimaryKeyConstraint("a")),
        ("primary_key", lambda: PrimaryKeyConstraint("id", "a")),
        ("foreign key", lambda: ForeignKeyConstraint(["a"], ["t.id"])),
    ],
    ids=["one", "of-two", "index", "plain", "of-two", "key", "key-of-two", "foreign"],
)
def test_a_constraint_over_a_sealed_column_is_refused(engine, option, constrain):
    with pytest.raises(DeclarationError, match=option) as error:
        Table(
            "t",
            MetaData(),
            Column("id", Integer),
            Column("a", EncryptedType(String)),
            constrain(),
        ).create(engine)
    assert "t.a" in str(error.value)


def test_an_index_over_a_function_of_a_sealed_column_is_refused(engine):
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    Index("i", func.lower(table.c.a))
    with pytest.raises(DeclarationError, match="index"):
        table.create(engine)


def test_a_constraint_of_a_mapped_class_is_refused(base, engine):
    class Patient(base):
        __tablename__ = "patients"
        __table_args__ = (UniqueConstraint("name"),)
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedType(String))

    with pytest.raises(DeclarationError, match=r"patients\.name: unique"):
        base.metadata.create_all(engine)


def test_a_constraint_is_refused_where_another_tool_created_the_table(base, engine):
    """Then the first statement that uses the table says so."""

    class Patient(base):
        __tablename__ = "patients"
        __table_args__ = (Index("names", "name", unique=True),)
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedType(String))

    with Session(engine) as session, pytest.raises(DeclarationError, match="unique"):
        session.get(Patient, 1)


def test_other_constraints_are_no_obstacle(base, keep):
    class Patient(base):
        __tablename__ = "patients"
        __table_args__ = (
            UniqueConstraint("clinic"),
            Index("clinics", "clinic", "id"),
            CheckConstraint("clinic <> ''"),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        clinic: Mapped[str] = mapped_column(String(9))
        name: Mapped[str] = mapped_column(EncryptedType(String), nullable=False)

    assert keep(Patient(id=1, clinic="n", name="ada")).name == "ada"


def test_a_variant_that_is_not_sealed_is_refused():
    with pytest.raises(DeclarationError, match="turn encryption off on sqlite"):
        EncryptedType(String).with_variant(LargeBinary(), "sqlite")


def test_a_sealed_variant_works(engine):
    """The variant has the field of the column it stands in for."""
    other = EncryptedType(sa.Text)
    kind = EncryptedType(String).with_variant(other, engine.dialect.name)
    table = Table("t", MetaData(), Column("a", kind))
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table).values(a="x"))
        assert connection.scalar(select(table.c.a)) == "x"


def test_a_sealed_type_inside_another_type_is_refused():
    with pytest.raises(UnsupportedTypeError):
        EncryptedType(EncryptedType(String))


# Representation


REPRESENTED = [
    EncryptedType(String),
    EncryptedType(String(50)),
    EncryptedType(Numeric(10, 2)),
    EncryptedType(sa.DateTime(timezone=True)),
    EncryptedType(sa.Uuid(as_uuid=False)),
    EncryptedType(sa.ARRAY(Integer)),
    EncryptedType(sa.Enum("a", "b", name="letters")),
    EncryptedType(String, context="users.ssn"),
    EncryptedType(String, suite="deterministic"),
    EncryptedType(String, suite="a256cbc-hs512"),
    EncryptedType(String, storage="text"),
    EncryptedType(String, padding=None),
    EncryptedType(String, padding=Blocks()),
    EncryptedType(String, padding=Bucket(64)),
    EncryptedType(String, padding=Padme()),
    EncryptedType(String, salt_epoch=1),
    EncryptedType(
        sa.Boolean, "u.b", "deterministic", "text", accept_leakage="it's public"
    ),
]


@pytest.mark.parametrize("kind", REPRESENTED, ids=repr)
def test_the_representation_makes_the_same_type(kind):
    names = {**vars(sa), **vars(sealed)}
    again = eval(repr(kind), names)  # noqa: S307
    assert repr(again) == repr(kind)
    assert again._static_cache_key == kind._static_cache_key


def test_the_representation_leaves_a_derived_context_out():
    """A migration that pins the name of the moment would survive a rename wrongly."""
    column = Table("t", MetaData(), Column("a", EncryptedType(String(5)))).c.a
    assert repr(column.type) == "EncryptedType(String(length=5))"


def test_the_representation_a_migration_takes_holds_no_key(engine, keyring):
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table).values(a="x"))
    rendered = f"{type(table.c.a.type).__module__}.{table.c.a.type!r}"
    assert rendered == "sqlalchemy_sealed.types.EncryptedType(String())"
    assert keyring.active.root.hex() not in repr(vars(table.c.a.type))


def test_a_subclass_may_fix_the_arguments(keep, base):
    class SealedText(EncryptedType[Any]):
        cache_ok = True

        def __init__(self):
            super().__init__(String, storage="text")

    class Patient(base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(SealedText())
        nick: Mapped[str] = mapped_column(SealedText())

    assert context(Patient.nick) == "patients.nick"
    patient = keep(Patient(id=1, name="ada", nick="countess"))
    assert (patient.name, patient.nick) == ("ada", "countess")
