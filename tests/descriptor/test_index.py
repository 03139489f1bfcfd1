"""Blind indexes: truncated ones, their plans, and the way to another index key."""

from __future__ import annotations

import pytest
from sqlalchemy import (
    String,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from sqlalchemy_sealed import BlindIndex, Keyring, bind_keyring, encrypted, plan_index
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationError,
    KeyStateError,
    NotSearchableError,
)


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    name = encrypted(String, index=BlindIndex(bits=3, normalize="lower"))


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def people(session):
    people = [Person(id=n, name=f"Person {n}") for n in range(1, 101)]
    session.add_all(people)
    session.commit()
    return people


def test_a_truncated_index_finds_candidates(session, people, stored):
    terms = {bytes(term) for term in stored(Person.name_bidx)}
    assert all(len(term) == 1 and term[0] & 0x1F == 0 for term in terms)
    assert len(terms) == 8
    found = session.scalars(select(Person).where(Person.name.candidates("person 7")))
    names = [person.name for person in found]
    assert "Person 7" in names
    assert 1 < len(names) < 60
    both = Person.name.candidates("person 7", "PERSON 8")
    names = {person.name for person in session.scalars(select(Person).where(both))}
    assert {"Person 7", "Person 8"} <= names


def test_equality_on_a_truncated_index_compares_what_was_loaded(session, people):
    other = aliased(Person)
    for query in (
        select(Person).where(Person.name == "PERSON 7"),
        select(Person).filter_by(name="person 7"),
        select(Person).where(Person.name.in_(["person 7", "x"]), Person.id < 50),
        select(other).where(other.name == "person 7"),
    ):
        assert [one.name for one in session.scalars(query)] == ["Person 7"]
        assert len(session.execute(query).all()) == 1
    assert session.query(Person).filter(Person.name == "person 7").one().id == 7
    both = select(Person, other).join(other, Person.id + 4 == other.id)
    both = both.where(other.name == "person 7")
    [(first, second)] = session.execute(both)
    assert (first.id, second.id) == (3, 7)
    assert not session.scalars(select(Person).where(Person.name == "nobody")).all()


WRONG = {
    "columns": lambda c: select(Person.id).where(c),
    "limit": lambda c: select(Person).where(c).limit(1),
    "offset": lambda c: select(Person).where(c).offset(1),
    "distinct": lambda c: select(Person).where(c).distinct(),
    "aggregate": lambda c: select(func.count()).select_from(Person).where(c),
    "grouped": lambda c: select(Person).where(c).group_by(Person.id),
    "or": lambda c: select(Person).where(or_(c, Person.id == 1)),
    "not": lambda c: select(Person).where(~c),
    "not and": lambda c: select(Person).where(~and_(c, Person.id == 1)),
    "delete": lambda c: delete(Person).where(c),
    "update": lambda c: update(Person).where(c).values(name="x"),
    "exists": lambda c: select(exists().where(c)),
    "subquery": lambda c: select(Person).where(
        Person.id.in_(select(Person.id).where(c))
    ),
    "from": lambda c: select(select(Person.id).where(c).subquery()),
    "select list": lambda c: select(Person, c),
}


@pytest.mark.parametrize("shape", WRONG)
def test_what_cannot_be_compared_afterwards_is_refused(session, people, shape, engine):
    # The same statement with candidates may run, before or after: another statement.
    for _ in range(2):
        if shape not in {"not", "not and"}:
            session.execute(WRONG[shape](Person.name.candidates("person 7")))
            session.rollback()
        with pytest.raises(NotSearchableError):
            session.execute(WRONG[shape](Person.name == "person 7"))
    with engine.connect() as connection, pytest.raises(NotSearchableError):
        connection.execute(select(Person).where(Person.name == "person 7"))
    assert len(session.scalars(select(Person)).all()) == 100


@pytest.mark.parametrize(
    "build",
    [
        lambda: Person.name != "person 7",
        lambda: Person.name.not_in(["person 7"]),
        lambda: Person.name == aliased(Person).name,
    ],
)
def test_negations_and_joins_on_truncated_terms_are_refused(build):
    with pytest.raises(NotSearchableError, match="truncated|bits"):
        build()


@pytest.mark.parametrize("negate", [lambda c: ~c, lambda c: not_(and_(c, c))])
def test_negated_candidates_are_refused(session, people, negate):
    condition = negate(Person.name.candidates("person 7"))
    with pytest.raises(NotSearchableError, match="negation"):
        session.scalars(select(Person).where(condition)).all()


def test_candidates_need_an_index_and_values():
    class Other(Base):
        __tablename__ = "others"
        id: Mapped[int] = mapped_column(primary_key=True)
        name = encrypted(String)

    with pytest.raises(NotSearchableError):
        Other.name.candidates("x")
    with pytest.raises(NotSearchableError):
        Person.name.candidates(None)
    with pytest.raises(NotSearchableError):
        Person.name.candidates(func.lower("x"))


@pytest.mark.parametrize(
    ("population", "fewest", "most"),
    [(16, 2, 3), (1000, 5, 8), (10_000, 7, 12), (1_000_000, 10, 18), (10**9, 15, 28)],
)
def test_a_plan_keeps_terms_shared(population, fewest, most):
    plan = plan_index(population)
    assert (plan.fewest, plan.most) == (fewest, most)
    assert fewest <= plan.bits <= most
    # At least two values for each term, and no more than the square root.
    assert 2 <= population / 2**most
    assert population / 2**fewest <= population**0.5 * 1.0001
    assert BlindIndex(bits=plan.bits, population=population).is_truncated


def test_other_indexes_of_a_value_leave_less_room():
    assert plan_index(10_000, other_bits=5).most == 7
    with pytest.raises(DeclarationError, match="no room"):
        plan_index(100, other_bits=10)
    with pytest.raises(DeclarationError, match="too few"):
        plan_index(15)


# The way to another index key: four deployments


def stage(**versions):
    class Stage(DeclarativeBase):
        pass

    class Account(Stage):
        __tablename__ = "accounts"
        id: Mapped[int] = mapped_column(primary_key=True)
        email = encrypted(
            String, index=BlindIndex(normalize="email", unique=True, **versions)
        )

    return Account


def found(session, model, email):
    query = select(model.id).where(model.email == email).order_by(model.id)
    return session.scalars(query).all()


@pytest.fixture
def rotating(session, engine, keyring):
    """Return the four declarations, on a table that has both columns."""
    keyring.publish_index()
    stages = [
        stage(),
        stage(version=1, second_version=2),
        stage(version=2, second_version=1),
        stage(version=2),
    ]
    stages[1].metadata.create_all(engine)
    return stages


def test_each_step_finds_what_its_neighbours_write(session, rotating):
    first, second, third, fourth = rotating
    session.add(first(id=1, email="a@x"))
    session.commit()
    session.add(second(id=2, email="b@x"))
    session.commit()
    assert found(session, second, "A@x") == [1]
    assert found(session, first, "b@x") == found(session, second, "b@x") == [2]
    # Found by the second version where the row has no term of the one searched.
    session.add(fourth(id=4, email="d@x"))
    session.commit()
    assert found(session, second, "d@x") == found(session, third, "d@x") == [4]
    assert found(session, third, "a@x") == [1]
    # Filled by assigning; a changed value leaves nothing behind.
    session.get(second, 2).email = "new@x"
    session.commit()
    assert found(session, second, "b@x") == found(session, third, "b@x") == []
    assert found(session, third, "new@x") == found(session, fourth, "new@x") == [2]
    in_both = select(second.id).where(second.email.in_(["a@x", "d@X"]), second.id > 1)
    assert session.scalars(in_both).all() == [4]


def test_unique_holds_throughout(session, rotating):
    first, second, third, _fourth = rotating
    session.add(first(id=1, email="a@x"))
    session.commit()
    for number, model in enumerate((second, third), 2):
        session.add(model(id=number, email="A@x"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()


def test_what_would_be_wrong_meanwhile_is_refused(session, rotating):
    for model in rotating[1:3]:
        for build in (
            lambda m=model: m.email != "a@x",
            lambda m=model: m.email.not_in(["a@x"]),
        ):
            with pytest.raises(NotSearchableError, match="one index key version"):
                build()
        with pytest.raises(NotSearchableError, match="negation"):
            session.scalars(select(model.id).where(~(model.email == "a@x"))).all()
    assert session.scalars(select(rotating[3].id).where(rotating[3].email != "a"))


def test_update_and_delete_during_a_rotation(session, rotating):
    second = rotating[1]
    session.add_all([second(id=1, email="a@x"), second(id=2, email="b@x")])
    session.commit()
    session.execute(update(second).where(second.email == "a@x").values(email="c@x"))
    assert found(session, second, "c@x") == found(session, rotating[2], "c@x") == [1]
    session.execute(delete(second).where(second.email == "B@x"))
    assert session.scalars(select(second.email)).all() == ["c@x"]


def test_rotating_data_keys_leaves_terms_alone(session, people, keyring, stored):
    before = stored(Person.name_bidx)
    keyring.rotate()
    for person in people:
        person.name = person.name + " "
        person.name = person.name.strip()
    session.commit()
    assert stored(Person.name_bidx) == before


def test_a_missing_index_key_is_an_error_that_says_how(session, engine):
    from sqlalchemy_sealed import Key

    bind_keyring(engine, Keyring([Key.generate()]))
    session.add(Person(id=1, name="x"))
    with pytest.raises(KeyStateError, match="rotate --index"):
        session.flush()


def test_a_changed_value_without_its_term_is_found_out(session, people):
    session.execute(
        text("UPDATE people SET name_bidx = :t WHERE id = 7"), {"t": b"\x00"}
    )
    session.execute(
        text("UPDATE people SET name_bidx = :t WHERE id = 8"), {"t": b"\xe0"}
    )
    session.commit()
    with pytest.raises(AuthenticationError, match="index term"):
        [person.name for person in people]  # noqa: B018
