"""What is searched is found: sealed attributes against a twin in plaintext.

Every row holds each value twice, in plaintext and sealed, and once more as a Python
object. What a search must return is computed from the Python objects, with the three
truth values of SQL, because the databases compare text by collations of their own.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import unicodedata
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Date,
    Integer,
    String,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column
from sqlalchemy_sealed import BlindIndex, IndexKey, Key, Keyring, encrypted

pytestmark = pytest.mark.thorough

# The same examples in every run. An example is dozens of rows: they are not made
# smaller, a failure prints the condition and what it found.
properties = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)


class Base(DeclarativeBase):
    pass


class Twin(Base):
    __tablename__ = "twins"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    plain_text: Mapped[str | None] = mapped_column(Text)
    plain_number: Mapped[int | None] = mapped_column(Integer)
    plain_born: Mapped[dt.date | None] = mapped_column(Date)
    text = encrypted(String, index=BlindIndex())
    folded = encrypted(String, index=BlindIndex(normalize="casefold"))
    number = encrypted(Integer, index=BlindIndex())
    born = encrypted(Date, index=BlindIndex())


@pytest.fixture
def keyring():
    index = IndexKey(1, bytes(range(64, 96)))
    return Keyring([Key(1, bytes(range(32)))], index_keys=[index])


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


# The twin in Python


@dataclass
class Row:
    """What one row holds; ``folded`` has the same text as ``text``."""

    id: int
    text: str | None
    number: int | None
    born: dt.date | None

    def value(self, name: str) -> Any:
        """Return what counts when an attribute is compared."""
        return compared(name, self.text if name == "folded" else getattr(self, name))

    def mapping(self, *names: str) -> dict[str, Any]:
        """Return the attributes that hold the values, all or those of some names."""
        return {
            "id": self.id,
            **{k: v for n in names or VALUES for k, v in both(n, getattr(self, n))},
        }

    @property
    def seen(self) -> tuple[Any, ...]:
        return (self.id, *(self.text,) * 3, *(self.number,) * 2, *(self.born,) * 2)


def both(name, value):
    """Return the attributes that hold a value, plain and sealed."""
    sealed = (name, "folded") if name == "text" else (name,)
    return [(f"plain_{name}", value), *((one, value) for one in sealed)]


def seen(twin):
    """Return everything an instance shows, to be compared with its row."""
    return (
        twin.id,
        *(twin.plain_text, twin.text, twin.folded),
        *(twin.plain_number, twin.number),
        *(twin.plain_born, twin.born),
    )


def compared(name, value):
    if name != "folded" or value is None:
        return value
    composed = unicodedata.normalize("NFC", value)
    return unicodedata.normalize("NFC", composed.casefold())


# Conditions: each builds itself as SQL, and is decided for a row in Python. The truth
# values are True, False and None, which is SQL's NULL.


@dataclass(frozen=True)
class Compare:
    """``==``, ``!=``, ``in_``, ``not_in`` and the ways to ask for NULL."""

    name: str
    op: str
    operand: Any = None

    def build(self, entity):
        attribute = getattr(entity, self.name)
        match self.op:
            case "==":
                return attribute == self.operand
            case "!=":
                return attribute != self.operand
            case _:
                return getattr(attribute, self.op)(self.operand)

    def holds(self, row, rows):
        value = row.value(self.name)
        if self.operand is None:
            return (value is None) is (self.op in {"is_", "=="})
        if self.op in {"in_", "not_in"}:
            if not self.operand:
                return self.op == "not_in"
            among = {compared(self.name, one) for one in self.operand}
            found = None if value is None else value in among
        else:
            searched = compared(self.name, self.operand)
            found = None if value is None else value == searched
        return found if self.op in {"==", "in_"} else negated(found)


@dataclass(frozen=True)
class Plain:
    """A comparison of plaintext, to stand beside one that is sealed."""

    name: str
    limit: int

    def build(self, entity):
        return getattr(entity, self.name) <= self.limit

    def holds(self, row, rows):
        value = row.id if self.name == "id" else row.number
        return None if value is None else value <= self.limit


@dataclass(frozen=True)
class Shared:
    """There is another row of the same value for which a condition is true."""

    name: str
    inner: Any

    def build(self, entity):
        other = aliased(Twin)
        return exists().where(
            getattr(other, self.name) == getattr(entity, self.name),
            other.id != entity.id,
            self.inner.build(other),
        )

    def holds(self, row, rows):
        value = row.value(self.name)
        return value is not None and any(
            other.id != row.id
            and other.value(self.name) == value
            and self.inner.holds(other, rows)
            for other in rows
        )


@dataclass(frozen=True)
class Joined:
    """``and_``, ``or_`` and ``not_``."""

    op: str
    parts: tuple[Any, ...]

    def build(self, entity):
        combine = {"and": and_, "or": or_, "not": not_}[self.op]
        return combine(*(part.build(entity) for part in self.parts))

    def holds(self, row, rows):
        found = [part.holds(row, rows) for part in self.parts]
        if self.op == "not":
            return negated(found[0])
        decisive = self.op == "or"
        if decisive in found:
            return decisive
        return None if None in found else not decisive


def negated(found):
    return None if found is None else not found


def matching(condition, rows):
    """Return the ids of the rows for which a condition is true."""
    return sorted(row.id for row in rows if condition.holds(row, rows))


# Strategies

#: Case, accents composed and not, letters that folding makes two of, blanks, scripts.
TEXTS = [
    *("", " ", "a", "A", "a ", "ab", "Ada", "ada", "ADA", "%", "_da", "O'Neil", "\\"),
    *("caf\xe9", "cafe\u0301", "CAF\xc9", "cafe", "\xe9", "\xc9", "e\u0301"),
    *("stra\xdfe", "STRASSE", "\u017f", "s", "\u03c3", "\u03c2", "\u03a3", "I", "i"),
    *("\u0130", "\u0131", "\ufb01", "fi", "\u05e9\u05dc", "\U0001f511", "\u4e2d"),
]
#: A few of them that are drawn more often, so that there is something to find.
COMMON = ["", "a", "A", "Ada", "ADA", "caf\xe9", "cafe\u0301", "CAF\xc9", "cafe"]
NUMBERS = [0, 1, -1, 7, 42, 255, 256, 2**31 - 1, -(2**31)]
DATES = [
    *(dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(1970, 1, 1)),
    *(dt.date(2000, 2, 29), dt.date(2024, 2, 29), dt.date(9999, 12, 31)),
]
ANY_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4
)
VALUES = {
    "text": st.one_of(
        *(st.sampled_from(COMMON),) * 3, st.sampled_from(TEXTS), ANY_TEXT
    ),
    "number": st.sampled_from(NUMBERS),
    "born": st.sampled_from(DATES),
}
ATTRIBUTES = {**VALUES, "folded": VALUES["text"]}
names = st.sampled_from(sorted(ATTRIBUTES))


def optional(values):
    return st.integers(0, 4).flatmap(lambda n: values if n else st.none())


def changes(names=st.sampled_from(sorted(VALUES))):
    return names.flatmap(lambda name: st.tuples(st.just(name), optional(VALUES[name])))


def rows_of(smallest=20, largest=36):
    values = st.tuples(*(optional(VALUES[name]) for name in ("text", "number", "born")))
    return st.lists(values, min_size=smallest, max_size=largest).map(
        lambda found: [Row(number, *one) for number, one in enumerate(found, 1)]
    )


def comparisons(fewest=0):
    def of(name):
        value = ATTRIBUTES[name]
        return st.one_of(
            st.builds(Compare, st.just(name), st.sampled_from(["==", "!="]), value),
            st.builds(
                Compare,
                st.just(name),
                st.sampled_from(["in_", "not_in"]),
                st.lists(value, min_size=fewest, max_size=6),
            ),
            st.builds(
                Compare, st.just(name), st.sampled_from(["is_", "is_not", "==", "!="])
            ),
        )

    return names.flatmap(of)


plain = st.builds(Plain, st.just("id"), st.integers(0, 36)) | st.builds(
    Plain, st.just("plain_number"), st.sampled_from(NUMBERS)
)
leaves = comparisons() | comparisons() | comparisons() | plain
shared = st.builds(Shared, names, leaves)


def combined(parts):
    pairs = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.builds(Joined, st.sampled_from(["and", "or"]), pairs) | st.builds(
        Joined, st.just("not"), st.tuples(parts)
    )


conditions = st.recursive(leaves, combined, max_leaves=6)
all_conditions = st.recursive(leaves | shared, combined, max_leaves=6)


@dataclass
class Table:
    """The table of one example, filled with rows, beside what it holds."""

    session: Session
    rows: dict[int, Row] = field(default_factory=dict)

    @property
    def all(self):
        return list(self.rows.values())

    def fill(self, rows, in_bulk=False):
        if in_bulk:
            self.session.execute(insert(Twin), [row.mapping() for row in rows])
        else:
            self.session.add_all([Twin(**row.mapping()) for row in rows])
            self.session.flush()
            self.session.expunge_all()
        self.rows = {row.id: row for row in rows}

    def ids(self, condition):
        """Return what a search finds, in order of id."""
        query = select(Twin.id).where(condition.build(Twin)).order_by(Twin.id)
        return list(self.session.scalars(query))

    def check(self, condition):
        assert self.ids(condition) == matching(condition, self.all), condition

    def check_all(self):
        """Compare every row, and every instance that is loaded, with its twin."""
        expected = [row.seen for _, row in sorted(self.rows.items())]
        loaded = {twin.id: seen(twin) for twin in self.session}
        assert loaded == {row.id: row.seen for row in self.all if row.id in loaded}
        query = select(Twin).order_by(Twin.id)
        assert [seen(twin) for twin in self.session.scalars(query)] == expected
        self.session.expire_all()
        assert [seen(twin) for twin in self.session.scalars(query)] == expected


@pytest.fixture
def tables(engine):
    """Return a context manager: the table with the rows of one example."""

    @contextlib.contextmanager
    def filled(rows, in_bulk=False):
        with Session(engine) as session:
            session.execute(text("DELETE FROM twins"))
            table = Table(session)
            table.fill(rows, in_bulk)
            yield table

    return filled


# Searching


@properties
@given(
    rows_of(),
    st.booleans(),
    st.lists(comparisons(), min_size=12, max_size=12),
    st.lists(all_conditions, min_size=8, max_size=8),
)
def test_a_search_finds_the_rows_whose_twin_matches(
    tables, rows, in_bulk, simple, composed
):
    with tables(rows, in_bulk) as table:
        for condition in (*simple, *composed):
            table.check(condition)
        table.check_all()


@properties
@given(rows_of(), st.lists(conditions, min_size=3, max_size=3), st.data())
def test_a_search_is_counted_limited_and_asked_for_existence(
    tables, rows, searched, data
):
    with tables(rows) as table:
        session, by_id = table.session, table.rows
        for condition in searched:
            expected = matching(condition, rows)
            where = condition.build(Twin)
            count = select(func.count()).select_from(Twin).where(where)
            assert session.scalar(count) == len(expected), condition
            sealed = select(func.count(Twin.text)).where(where)
            texts = [by_id[one].text for one in expected]
            assert session.scalar(sealed) == sum(t is not None for t in texts)
            assert session.scalar(select(exists().where(where))) is bool(expected)
            limit, offset = data.draw(st.tuples(st.integers(1, 9), st.integers(0, 4)))
            page = select(Twin).where(where).order_by(Twin.id)
            page = page.limit(limit).offset(offset)
            found = [seen(twin) for twin in session.scalars(page)]
            assert found == [
                by_id[one].seen for one in expected[offset : offset + limit]
            ], condition
            columns = select(Twin.id, Twin.folded, Twin.born, Twin.plain_number)
            columns = columns.where(where).order_by(Twin.id)
            assert session.execute(columns).all() == [
                (row.id, row.text, row.born, row.number)
                for row in map(by_id.get, expected)
            ]


@properties
@given(rows_of(), st.data())
def test_filter_by_finds_the_rows_whose_twin_matches(tables, rows, data):
    with tables(rows) as table:
        for _ in range(6):
            chosen = data.draw(st.sets(names, min_size=1, max_size=2))
            searched = {n: data.draw(optional(ATTRIBUTES[n])) for n in sorted(chosen)}
            condition = Joined(
                "and", tuple(Compare(n, "==", v) for n, v in searched.items())
            )
            query = select(Twin).filter_by(**searched).order_by(Twin.id)
            found = [twin.id for twin in table.session.scalars(query)]
            assert found == matching(condition, rows), searched
            legacy = table.session.query(Twin).filter_by(**searched)
            assert sorted(twin.id for twin in legacy) == found


@properties
@given(rows_of(12, 20), names, conditions, conditions)
def test_rows_are_joined_on_equal_values(tables, rows, name, left, right):
    with tables(rows) as table:
        other = aliased(Twin)
        mine, theirs = getattr(Twin, name), getattr(other, name)
        pairs = [
            (one, two)
            for one in rows
            for two in rows
            if None not in {one.value(name), two.value(name)}
            and left.holds(one, rows)
            and right.holds(two, rows)
        ]
        for on, equal in ((mine == theirs, True), (mine != theirs, False)):
            query = select(Twin.id, other.id).join(other, on)
            query = query.where(left.build(Twin), right.build(other))
            found = sorted(map(tuple, table.session.execute(query)))
            assert found == [
                (one.id, two.id)
                for one, two in pairs
                if (one.value(name) == two.value(name)) is equal
            ]
        outer = select(Twin.id).outerjoin(
            other, and_(mine == theirs, Twin.id != other.id)
        )
        alone = outer.where(other.id.is_(None)).order_by(Twin.id)
        values = [row.value(name) for row in rows]
        assert list(table.session.scalars(alone)) == [
            row.id
            for row in rows
            if row.value(name) is None or values.count(row.value(name)) == 1
        ]


@properties
@given(rows_of(), conditions, conditions)
def test_an_alias_of_a_search_is_searched_again(tables, rows, first, second):
    with tables(rows) as table:
        inner = select(Twin).where(first.build(Twin)).subquery()
        found = aliased(Twin, inner)
        query = select(found).where(second.build(found)).order_by(found.id)
        both = Joined("and", (first, second))
        expected = [table.rows[one].seen for one in matching(both, rows)]
        assert [seen(twin) for twin in table.session.scalars(query)] == expected
        ids = select(Twin.id).where(first.build(Twin))
        among = select(Twin.id).where(Twin.id.in_(ids), second.build(Twin))
        assert sorted(table.session.scalars(among)) == [row[0] for row in expected]


# Changing


@properties
@given(
    rows_of(),
    st.lists(st.tuples(st.integers(), changes()), min_size=15, max_size=15),
    st.data(),
)
def test_searches_agree_after_changes_of_instances(tables, rows, steps, data):
    with tables(rows) as table:
        session = table.session
        for position, (name, value) in steps:
            row = table.all[position % len(table.rows)]
            twin = session.get(Twin, row.id)
            # To another value, to an equal one, or there and back again.
            if data.draw(st.integers(0, 3)) == 0:
                value = getattr(row, name)
                if data.draw(st.booleans()):
                    twin.text = twin.folded = "elsewhere"
                    twin.text, twin.folded = row.text, row.text
            for key, one in both(name, value):
                setattr(twin, key, one)
            setattr(row, name, value)
            assert seen(twin) == row.seen
            match data.draw(st.integers(0, 9)):
                case 0:
                    session.commit()
                case 1:
                    session.flush()
                    session.expire_all()
                case 2:
                    session.flush()
                    session.refresh(twin)
                case 3 if len(table.rows) > 2:
                    session.delete(twin)
                    del table.rows[row.id]
                case 4:
                    new = data.draw(rows_of(1, 1))[0]
                    new.id = max(table.rows) + 100
                    table.rows[new.id] = new
                    session.add(Twin(**new.mapping()))
            # The session flushes before it searches.
            table.check(Compare(name, "==", value))
            if data.draw(st.integers(0, 2)) == 0:
                table.check(data.draw(conditions))
        table.check_all()


@properties
@given(rows_of(), st.data())
def test_searches_agree_after_a_bulk_update_by_primary_key(tables, rows, data):
    with tables(rows, in_bulk=True) as table:
        chosen = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique_by=id))
        name = data.draw(st.sampled_from(sorted(VALUES)))
        for row in chosen:
            setattr(row, name, data.draw(optional(VALUES[name])))
        mappings = [row.mapping(name) for row in chosen]
        table.session.execute(update(Twin), mappings)
        for row in chosen[:4]:
            table.check(Compare(name, "==", getattr(row, name)))
        table.check(data.draw(conditions))
        table.check_all()


@properties
@given(rows_of(), conditions, conditions, changes(), st.booleans())
def test_a_condition_updates_and_deletes_the_rows_it_finds(
    tables, rows, updated, deleted, change, by_attribute
):
    name, value = change
    with tables(rows) as table:
        assigned = both(name, value)
        statement = update(Twin).where(updated.build(Twin))
        if by_attribute:
            statement = statement.values({getattr(Twin, k): v for k, v in assigned})
        else:
            statement = statement.values(**dict(assigned))
        expected = matching(updated, rows)
        assert table.session.execute(statement).rowcount == len(expected), updated
        for one in expected:
            setattr(table.rows[one], name, value)
        table.check(Compare(name, "==", value))
        table.check_all()
        table.session.expunge_all()
        expected = matching(deleted, rows)
        statement = delete(Twin).where(deleted.build(Twin))
        assert table.session.execute(statement).rowcount == len(expected), deleted
        for one in expected:
            del table.rows[one]
        table.check_all()


# Instances that are loaded while rows are changed by statements

#: Conditions that SQLAlchemy evaluates as SQL does, when they are of plaintext.
evaluable = comparisons(1) | st.builds(
    Joined,
    st.sampled_from(["and", "or"]),
    st.tuples(comparisons(1), comparisons(1) | plain),
)


def executed(session, statement, synchronize):
    """Execute a statement; tell whether SQLAlchemy agreed to evaluate it."""
    options = {} if synchronize is None else {"synchronize_session": synchronize}
    try:
        session.execute(statement, execution_options=options)
    except InvalidRequestError:
        # It may decline to evaluate, and then nothing has happened.
        assert synchronize == "evaluate"
        return False
    return True


@pytest.mark.parametrize("synchronize", [None, "fetch", "evaluate"])
@properties
@given(rows_of(8, 12), st.lists(evaluable, min_size=3, max_size=3), changes())
def test_loaded_instances_follow_an_update(tables, synchronize, rows, searched, change):
    name, value = change
    with tables(rows) as table:
        twins = list(table.session.scalars(select(Twin).order_by(Twin.id)))
        for condition in searched:
            assert [seen(twin) for twin in twins] == [row.seen for row in rows]
            statement = update(Twin).where(condition.build(Twin))
            statement = statement.values(**dict(both(name, value)))
            expected = matching(condition, rows)
            if executed(table.session, statement, synchronize):
                for one in expected:
                    setattr(table.rows[one], name, value)
            found = [seen(twin) for twin in twins]
            assert found == [row.seen for row in rows], condition


@pytest.mark.parametrize("synchronize", [None, "fetch", "evaluate"])
@properties
@given(rows_of(8, 12), st.lists(evaluable, min_size=3, max_size=3))
def test_loaded_instances_follow_a_delete(tables, synchronize, rows, searched):
    with tables(rows) as table:
        twins = {twin.id: twin for twin in table.session.scalars(select(Twin))}
        for condition in searched:
            statement = delete(Twin).where(condition.build(Twin))
            expected = matching(condition, table.all)
            if executed(table.session, statement, synchronize):
                for one in expected:
                    del table.rows[one]
            kept = {key for key, twin in twins.items() if twin in table.session}
            assert kept == set(table.rows), condition


@properties
@given(rows_of(8, 12), st.data())
def test_loaded_instances_follow_a_bulk_update(tables, rows, data):
    with tables(rows) as table:
        twins = list(table.session.scalars(select(Twin).order_by(Twin.id)))
        assert [seen(twin) for twin in twins] == [row.seen for row in rows]
        chosen = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique_by=id))
        for row in chosen:
            row.text = data.draw(optional(VALUES["text"]))
        table.session.execute(update(Twin), [row.mapping("text") for row in chosen])
        assert [seen(twin) for twin in twins] == [row.seen for row in rows]
