"""Statements are cached by the key of their types; ours must tell fields apart.

If two types share a key, the second statement is run with the processors of the first:
it seals for the wrong field, without an error.
"""

from __future__ import annotations

import copy
import datetime as dt
import inspect
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, text
from sqlalchemy.sql.cache_key import NO_CACHE
from sqlalchemy.types import TypeDecorator
from sqlalchemy_sealed import (
    BlindIndex,
    Blocks,
    Bucket,
    EncryptedType,
    Normalizer,
    Padme,
    PlaintextPolicy,
)
from sqlalchemy_sealed.comparator import SearchTermType
from sqlalchemy_sealed.legacy import FernetTokens

LEGACY = FernetTokens(b"one")

#: For every argument of the constructor, values that all mean different types.
DIFFERENT: dict[str, list[Any]] = {
    "inner": [
        sa.String(),
        sa.String(5),
        sa.Text(),
        sa.Integer(),
        sa.BigInteger(),
        sa.Numeric(9, 2),
        sa.Numeric(9, 3),
        sa.Numeric(9, 2, asdecimal=False),
        sa.DateTime(),
        sa.DateTime(timezone=True),
        sa.Uuid(),
        sa.Uuid(as_uuid=False),
        sa.Enum("a", "b"),
        sa.Enum("a", "c"),
        sa.Enum("a", "b", "c"),
        sa.ARRAY(sa.Integer()),
        sa.ARRAY(sa.String()),
        sa.ARRAY(sa.Integer(), as_tuple=True),
        sa.JSON(),
    ],
    "context": [None, "t.a", "t.b"],
    "suite": ["randomized", "deterministic", "a256cbc-hs512"],
    "storage": ["binary", "text"],
    "padding": ["default", None, Blocks(), Bucket(16), Bucket(32), Padme()],
    "accept_leakage": [None, "public", "known"],
    "salt_epoch": [1, 2, 65_536],
    "accepts": [
        (),
        EncryptedType(String, suite="deterministic"),
        EncryptedType(String, padding=None),
        [
            EncryptedType(String, padding=None),
            EncryptedType(String, suite="deterministic"),
        ],
    ],
    "index": [
        None,
        BlindIndex(),
        BlindIndex(bits=16),
        BlindIndex(normalize="email"),
        BlindIndex(normalize="digits"),
        BlindIndex(normalize=Normalizer("postcode", 1, str.upper)),
        BlindIndex(normalize=Normalizer("postcode", 2, str.upper)),
        BlindIndex(unique=True),
        BlindIndex(name="second"),
        BlindIndex(column="found_by"),
        BlindIndex(version=2),
        BlindIndex(second_version=2),
    ],
    "legacy": [
        (),
        LEGACY,
        [LEGACY, FernetTokens(b"another")],
    ],
    "plaintext": [
        None,
        "read",
        "write",
        PlaintextPolicy("read", until=dt.date(2030, 1, 1)),
    ],
    "optional": [False, True],
}
ARGUMENTS = list(inspect.signature(EncryptedType.__init__).parameters)[1:]


def key_of(kind):
    return kind._static_cache_key


def test_every_argument_is_looked_at():
    assert list(DIFFERENT) == ARGUMENTS


def test_every_argument_may_be_given_by_position():
    """Keyword-only arguments are no part of SQLAlchemy's key."""
    kinds = {p.kind for p in inspect.signature(EncryptedType).parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_types_that_differ_in_one_argument_have_different_keys(argument):
    values = DIFFERENT[argument]
    kinds = [EncryptedType(**{"inner": String, argument: v}) for v in values]
    keys = {key_of(kind) for kind in kinds}
    assert NO_CACHE not in keys
    assert len(keys) == len(values)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_equal_types_have_equal_keys(argument):
    for value in DIFFERENT[argument]:
        options = {"inner": String, argument: value}
        again = {"inner": String, argument: copy.deepcopy(value)}
        assert key_of(EncryptedType(**options)) == key_of(EncryptedType(**again))


def test_a_name_and_a_member_of_a_suite_have_one_key():
    by_name = EncryptedType(String, suite="deterministic")
    assert key_of(by_name) == key_of(EncryptedType(String, suite=by_name.suite))


def test_the_keys_are_hashable():
    for argument, values in DIFFERENT.items():
        for value in values:
            hash(key_of(EncryptedType(**{"inner": String, argument: value})))


def test_a_column_gives_its_context_to_the_key():
    shared = EncryptedType(String)
    table = Table("t", MetaData(), Column("a", shared), Column("b", shared))
    other = Table("u", MetaData(), Column("a", EncryptedType(String)))
    kinds = [table.c.a.type, table.c.b.type, other.c.a.type]
    assert len({key_of(kind) for kind in kinds}) == 3
    for kind in kinds:
        assert kind.context in key_of(kind) or kind.context in repr(key_of(kind))


def test_a_key_that_was_read_before_the_column_joined_its_table_is_forgotten():
    kind = EncryptedType(String)
    before = key_of(kind)
    Table("t", MetaData(), Column("a", kind))
    assert key_of(kind) != before


def test_a_pinned_context_and_a_derived_one_of_that_name_are_one_field():
    table = Table("t", MetaData(), Column("a", EncryptedType(String)))
    pinned = EncryptedType(String, context="t.a")
    assert key_of(table.c.a.type) == key_of(pinned)


class Cached(TypeDecorator):
    impl = sa.String
    cache_ok = True

    def __init__(self, prefix):
        super().__init__()
        self.prefix = prefix

    def process_bind_param(self, value, dialect):
        return None if value is None else f"{self.prefix}{value}"


class Uncached(TypeDecorator):
    impl = sa.String
    cache_ok = False

    def __init__(self, prefix):
        super().__init__()
        self.prefix = prefix

    def process_bind_param(self, value, dialect):
        return None if value is None else f"{self.prefix}{value}"


class Undecided(TypeDecorator):
    impl = sa.String


def test_the_arguments_of_an_inner_decorator_are_part_of_the_key():
    assert key_of(EncryptedType(Cached("a"))) != key_of(EncryptedType(Cached("b")))
    assert key_of(EncryptedType(Cached("a"))) == key_of(EncryptedType(Cached("a")))


def test_an_inner_type_without_a_key_has_none_outside():
    assert key_of(EncryptedType(Uncached("a"))) is NO_CACHE
    assert key_of(EncryptedType(sa.ARRAY(sa.String))) is not NO_CACHE


def test_an_inner_type_that_does_not_say_is_not_cached():
    """SQLAlchemy warns about it, as it does without us."""
    with pytest.warns(sa.exc.SAWarning, match="cache_ok"):
        assert key_of(EncryptedType(Undecided)) is NO_CACHE


@pytest.mark.parametrize("inner", [Cached, Uncached])
def test_statements_with_two_inner_decorators_do_not_share_processors(engine, inner):
    for prefix in ("a", "b"):
        table = Table("t", MetaData(), Column("v", EncryptedType(inner(prefix))))
        table.create(engine, checkfirst=True)
        with engine.begin() as connection:
            connection.execute(insert(table), {"v": "x"})
    with engine.connect() as connection:
        values = set(connection.scalars(select(table.c.v)))
    assert values == {"ax", "bx"}


def test_a_subclass_keeps_the_context_in_its_key():
    """SQLAlchemy reads the names from the subclass's own constructor."""

    class SealedText(EncryptedType[Any]):
        cache_ok = True

        def __init__(self):
            super().__init__(String)

    table = Table("t", MetaData(), Column("a", SealedText()), Column("b", SealedText()))
    assert key_of(table.c.a.type) != key_of(table.c.b.type)


def test_textual_columns_of_two_fields_do_not_share_a_cached_statement(engine):
    """The columns are anonymous here: only the key of the type tells them apart."""
    table = Table(
        "t",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("a", EncryptedType(String)),
        Column("b", EncryptedType(String)),
    )
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), {"id": 1, "a": "x", "b": "y"})
        for name, value in (("a", "x"), ("b", "y"), ("a", "x")):
            query = text(f"SELECT {name} AS v FROM t").columns(v=table.c[name].type)
            assert connection.scalar(query) == value
            coerced = sa.type_coerce(sa.literal_column(name), table.c[name].type)
            query = select(coerced).select_from(text("t"))
            assert connection.scalar(query) == value


def test_bound_values_of_two_fields_do_not_share_a_cached_statement(engine):
    table = Table(
        "t",
        MetaData(),
        Column("a", EncryptedType(String)),
        Column("b", EncryptedType(String)),
    )
    table.create(engine)
    with engine.begin() as connection:
        for name in ("a", "b"):
            value = sa.bindparam("v", "x", type_=table.c[name].type)
            connection.execute(
                text(f"INSERT INTO t ({name}) VALUES (:v)").bindparams(value)
            )
        found = connection.execute(select(table)).all()
    assert set(found) == {("x", None), (None, "x")}


def test_search_terms_of_two_fields_have_different_keys():
    kinds = [
        EncryptedType(String, context, "deterministic", storage)
        for context in ("t.a", "t.b")
        for storage in ("binary", "text")
    ]
    assert len({key_of(SearchTermType(kind)) for kind in kinds}) == len(kinds)


def test_a_search_in_two_columns_is_cached_apart(engine):
    kind = {"inner": String, "suite": "deterministic"}
    table = Table(
        "t",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("a", EncryptedType(**kind)),
        Column("b", EncryptedType(**kind)),
    )
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), [{"id": 1, "a": "x", "b": "y"}])
        for _ in range(2):
            assert connection.scalar(select(table.c.id).where(table.c.a == "x")) == 1
            assert connection.scalar(select(table.c.id).where(table.c.b == "y")) == 1
            assert connection.scalar(select(table.c.id).where(table.c.b == "x")) is None
