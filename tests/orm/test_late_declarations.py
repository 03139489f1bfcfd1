"""What is declared over a sealed column after the column has joined its table."""

from __future__ import annotations

import pytest
from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    ColumnDefault,
    Computed,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import FetchedValue
from sqlalchemy_sealed import EncryptedType, bind_keyring
from sqlalchemy_sealed.columns import check_table
from sqlalchemy_sealed.errors import DeclarationError


def people(suite="randomized"):
    return Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", EncryptedType(String(20), suite=suite)),
    )


def set_default(table):
    table.c.name.default = ColumnDefault(func.lower("A"))


def set_onupdate(table):
    table.c.name.onupdate = ColumnDefault(func.lower("A"))


def set_server_default(table):
    table.c.name.server_default = FetchedValue()


def set_unique(table):
    table.c.name.unique = True


def add_computed(table):
    table.append_column(
        Column("l", String(90), Computed(func.length(table.c.name), persisted=True))
    )


def add_expression_index(table):
    Index("ix", func.length(table.c.name))


def add_check(table):
    table.append_constraint(CheckConstraint(func.length(table.c.name) < 50))


def point_at_it(table):
    other = Table("o", table.metadata, Column("n", ForeignKey("people.name")))
    return select(other.c.n)


def add_sealed_variant(table):
    kind = EncryptedType(String, context="people.v")
    variant = String(20).with_variant(kind, "sqlite", "postgresql", "mariadb", "mysql")
    table.append_column(Column("v", variant))


@pytest.mark.parametrize("suite", ["randomized", "deterministic"])
@pytest.mark.parametrize(
    "declare",
    [
        set_default,
        set_onupdate,
        set_server_default,
        set_unique,
        add_computed,
        add_expression_index,
        add_check,
        point_at_it,
        add_sealed_variant,
    ],
)
def test_a_late_declaration_is_refused_before_anything_runs(
    engine, keyring, declare, suite
):
    bind_keyring(engine, keyring)
    table = people(suite)
    table.create(engine)
    statement = declare(table)
    if statement is None:
        statement = select(table.c.id)
    with engine.connect() as connection, pytest.raises(DeclarationError) as caught:
        connection.execute(statement)
    assert str(caught.value).startswith(("people.", "o.n: a foreign key"))


def test_a_computed_column_over_others_is_fine(engine, keyring):
    bind_keyring(engine, keyring)
    table = people()
    table.append_column(Column("age", Integer))
    twice = Computed(table.c.age * 2, persisted=True)
    table.append_column(Column("twice", Integer, twice))
    table.create(engine)
    with engine.connect() as connection:
        assert connection.execute(select(table)).all() == []


def test_whether_a_value_is_there_may_be_asked_of_the_database(engine, keyring):
    """NULL stays NULL."""
    bind_keyring(engine, keyring)
    table = people()
    table.append_constraint(CheckConstraint(table.c.name.is_not(None), name="there"))
    if engine.dialect.name in {"sqlite", "postgresql"}:
        Index("ix", table.c.name.is_(None))
    table.create(engine)
    with engine.connect() as connection:
        assert connection.execute(select(table)).all() == []


def test_columns_are_told_apart_by_name_and_by_key():
    sealed = Column("a", EncryptedType(String), key="b")
    Table("t", MetaData(), sealed, Column("b", Integer, key="c"), UniqueConstraint("c"))
    check_table(sealed.table)
    sealed = Column("x", EncryptedType(String), key="y")
    Table("t", MetaData(), sealed, Column("z", Integer, key="x"), UniqueConstraint("y"))
    with pytest.raises(DeclarationError, match="unique"):
        check_table(sealed.table)


@pytest.mark.parametrize(
    "variant",
    [
        EncryptedType(String, suite="deterministic"),
        EncryptedType(String, storage="text"),
        EncryptedType(String, padding=None),
        EncryptedType(Integer),
    ],
)
def test_a_variant_that_is_stored_in_another_way_is_refused(variant):
    with pytest.raises(DeclarationError, match="variant"):
        EncryptedType(String).with_variant(variant, "postgresql")


def test_a_variant_may_have_another_inner_type():
    kind = EncryptedType(JSON).with_variant(EncryptedType(JSONB), "postgresql")
    assert isinstance(kind._variant_mapping["postgresql"].inner, JSONB)
