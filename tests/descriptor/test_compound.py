"""A blind index over several sealed attributes."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import Date, ForeignKey, String, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from sqlalchemy_sealed import (
    BlindIndex,
    Ciphertext,
    ciphertext_only,
    compound_index,
    encrypted,
    index_term,
    tenant,
)
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationError,
    EncodingError,
    NotSearchableError,
    SeparatedValueError,
)

BORN = date(1815, 12, 10)


class Base(DeclarativeBase):
    pass


class Named:
    name = encrypted(String)
    born = encrypted(Date)
    who = compound_index("name", "born", normalize=("casefold", None))


class Patient(Named, Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)


class Member(Base):
    __tablename__ = "members"
    id: Mapped[int] = mapped_column(primary_key=True)
    club: Mapped[str] = mapped_column(String(10))
    first = encrypted(String, tenant="club", bind="row")
    last = encrypted(String, tenant="club", index=BlindIndex())
    both = compound_index("first", "last", index=BlindIndex(unique=True))
    near = compound_index("last", "first", index=BlindIndex(bits=3))


class Person(Base):
    __tablename__ = "persons"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    name = encrypted(String)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}


class Student(Person):
    school = encrypted(String)
    name_and_school = compound_index("name", "school")
    __mapper_args__ = {"polymorphic_identity": "student"}


class Worker(Person):
    __tablename__ = "workers"
    id: Mapped[int] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    job = encrypted(String)
    name_and_job = compound_index("name", "job")
    __mapper_args__ = {"polymorphic_identity": "worker"}


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def ada(session):
    ada = Patient(id=1, name="Ada", born=BORN)
    session.add_all([ada, Patient(id=2, name="Ada"), Patient(id=3, born=BORN)])
    session.add_all([Patient(id=4), Patient(id=5, name="Bob", born=BORN)])
    session.commit()
    return ada


def found(session, *values, entity=Patient):
    which = entity.who.in_(values) if len(values) > 1 else entity.who == values[0]
    return sorted(session.scalars(select(entity.id).where(which)))


def test_search(session, ada, stored):
    assert found(session, ("ADA", BORN)) == [1]
    assert found(session, ("ada", None)) == [2]
    assert found(session, (None, BORN)) == [3]
    assert found(session, ("ada", BORN), ("bob", BORN), ("x", BORN)) == [1, 5]
    assert found(session, ("ada", BORN), entity=aliased(Patient)) == [1]
    near = select(Patient.id).where(Patient.who.candidates(("ada", BORN)))
    assert session.scalars(near).all() == [1]
    assert session.query(Patient).filter_by(who=("ada", BORN)).one() is ada
    assert [len(t) for t in stored(Patient.who_bidx) if t is not None] == [16] * 4
    assert ada.who == ("Ada", BORN)


def test_a_change_of_one_value_changes_the_term(session, ada):
    session.expire_all()
    ada.born = None
    session.commit()
    assert found(session, ("ada", None)) == [1, 2]
    assert found(session, ("ada", BORN)) == []
    ada.name = None
    session.commit()
    assert ada.who_bidx is None
    assert ada.who == (None, None)


def test_an_unrelated_change_writes_no_term(session, statements):
    session.add(Member(id=1, club="a", first="x", last="y"))
    session.commit()
    member = session.get_one(Member, 1)
    member.first = "x"
    statements.clear()
    session.commit()
    assert not [one for one in statements if one.startswith("UPDATE")]


def test_bulk(session, ada):
    rows = [
        {"id": 10, "name": "Eve", "born": None},
        {"id": 11, "born": BORN, "name": "F"},
    ]
    session.execute(insert(Patient), rows)
    session.execute(insert(Patient), [{"id": 12}])
    session.execute(update(Patient), [{"id": 1, "name": "Grace", "born": BORN}])
    session.commit()
    assert found(session, ("eve", None), ("f", BORN)) == [10, 11]
    assert found(session, ("grace", BORN)) == [1]
    for statement, row in (
        (insert(Patient), {"id": 13, "name": "x"}),
        (update(Patient), {"id": 1, "name": "x"}),
    ):
        with pytest.raises(EncodingError, match="born"):
            session.execute(statement, [row])
        session.rollback()
    assert found(session, ("grace", BORN)) == [1]


def test_statements_that_forget_the_term_are_refused(session, ada):
    for values in ({"name": "x"}, {"name": None}, {"name": "x", "born": BORN}):
        for where in (Patient.id == 1, Patient.who == ("ada", BORN)):
            with pytest.raises(SeparatedValueError, match="who_bidx"):
                session.execute(update(Patient).where(where).values(values))
            session.rollback()
    values = {"name": "x", "born": BORN, "who_bidx": index_term(("x", BORN))}
    session.execute(update(Patient).where(Patient.id == 1).values(values))
    session.commit()
    assert found(session, ("X", BORN)) == [1]
    assert ada.who == ("x", BORN)


def test_tenants_and_uniqueness(session, engine):
    for number, club in enumerate("ab", 1):
        session.add(Member(id=number, club=club, first="x", last="y"))
    session.commit()
    for number, club in enumerate("ab", 1):
        with tenant(club):
            same = select(Member.id).where(Member.both == ("x", "y"))
            assert session.scalars(same).all() == [number]
    session.add(Member(id=3, club="a", first="x", last="y"))
    with pytest.raises(IntegrityError):
        session.commit()
    session.rollback()
    moved = session.get_one(Member, 1)
    moved.club, moved.first = "b", "z"
    session.commit()
    with tenant("b"):
        same = select(Member).where(Member.both == ("z", "y"))
        assert session.scalars(same).all() == [moved]
    assert moved.both == ("z", "y")


def test_a_truncated_index_has_candidates_only(session):
    session.add(Member(id=1, club="a", first="x", last="y"))
    session.commit()
    with tenant("a"):
        near = select(Member.id).where(Member.near.candidates(("y", "x")))
        assert session.scalars(near).all() == [1]
        for build in (lambda: Member.near == ("y", "x"), lambda: Member.near.in_([])):
            with pytest.raises(NotSearchableError, match="candidates"):
                build()


def test_what_has_no_answer_is_refused(session, ada):
    who = Patient.who
    for build in (
        lambda: who != ("a", BORN),
        lambda: who < ("a", BORN),
        lambda: who.is_(None),
        lambda: who == "ada",
        lambda: who == ("ada",),
        lambda: who == (None, None),
        lambda: who.in_([("a", BORN), None]),
        lambda: who.candidates(("a",)),
        lambda: who.desc(),
        lambda: select(who),
    ):
        with pytest.raises(NotSearchableError):
            build()
    with pytest.raises(EncodingError, match="assign to name, born"):
        ada.who = ("x", BORN)


def test_inheritance(session, engine):
    plain = Person(id=3, name="P")
    single, joined = (
        Student(id=1, name="A", school="s"),
        Worker(id=2, name="B", job="j"),
    )
    session.add_all([plain, single, joined])
    session.commit()

    def both(name):
        at_school = select(Student).where(Student.name_and_school == (name, "s"))
        at_work = select(Worker).where(Worker.name_and_job == (name, "j"))
        return session.scalars(at_school).all(), session.scalars(at_work).all()

    assert both("A") == ([single], [])
    assert both("B") == ([], [joined])
    for one in session.scalars(select(Person).order_by(Person.id)):
        one.name = "C"
    session.commit()
    assert both("C") == ([single], [joined])
    # Of the superclass a bulk statement does not know what the subclasses index.
    with pytest.raises(EncodingError, match="name_and_school|name_and_job"):
        session.execute(update(Person), [{"id": 1, "name": "D"}])
    session.rollback()
    with pytest.raises(SeparatedValueError):
        session.execute(update(Person).values(name="D"))
    session.rollback()
    assert both("C") == ([single], [joined])


def test_ciphertext_only_shows_ciphertext(session, ada):
    with ciphertext_only():
        assert all(isinstance(value, Ciphertext) for value in ada.who)


def test_exchanged_terms_are_noticed(session, ada):
    first, second = (session.get_one(Patient, n).who_bidx for n in (1, 5))
    change = text("UPDATE patients SET who_bidx = :t WHERE id = :i")
    session.execute(change, [{"t": second, "i": 1}, {"t": first, "i": 5}])
    session.commit()
    assert ada.name == "Ada"
    with pytest.raises(AuthenticationError, match="who_bidx"):
        _ = ada.who


def test_declarations_that_cannot_work():
    for make in (
        lambda: compound_index("name"),
        lambda: compound_index("name", "name"),
        lambda: compound_index("name", "born", normalize=("lower",)),
        lambda: compound_index("a", "b", index=BlindIndex(normalize="lower")),
    ):
        with pytest.raises(DeclarationError):
            make()
    for body in (
        {"pair": compound_index("name", "other")},
        {"pair": compound_index("name", "born", normalize=(None, "lower"))},
    ):
        with pytest.raises((DeclarationError, RuntimeError)):
            type("Wrong", (Named,), body)


def test_nothing_leaks(session, ada):
    shown = [repr(Patient.who == ("hunted", BORN)), str(vars(ada)), repr(Patient.who)]
    statement = select(Patient).where(Patient.who == ("hunted", BORN))
    shown.append(str(statement.compile(session.get_bind()).params))
    ada.name = "hunted"
    shown.append(str(vars(ada)))
    assert "hunted" not in "".join(shown)
