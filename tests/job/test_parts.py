"""The parts of a run, without a server."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import uuid

import pytest
from job.application import Base, Person, Wide
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, create_engine
from sqlalchemy.orm import DeclarativeBase

from sqlalchemy_sealed import (
    ConfigurationError,
    EncryptedType,
    Keyring,
    ReencryptionError,
    bind_keyring,
)
from sqlalchemy_sealed.jobs.kinds.reencrypt import reencrypt
from sqlalchemy_sealed.jobs.plan import plan_ranges
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.progress import Counts, Progress
from sqlalchemy_sealed.jobs.rowkey import key_from_text, key_to_text
from sqlalchemy_sealed.jobs.owner import is_gone
from sqlalchemy_sealed.jobs.status import TRANSITIONS, RunStatus, check_transition
from sqlalchemy_sealed.targets import sealed_tables

KEYS = [
    (1,),
    (-5, "ünï"),
    (uuid.UUID(int=7),),
    (b"\0\xff",),
    (dt.date(2026, 11, 23),),
    (dt.datetime(2026, 11, 23, 1, 2, 3, 4),),
    (dt.datetime(2026, 11, 23, tzinfo=dt.UTC),),
    (decimal.Decimal("1.50"),),
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: type(key[0]).__name__)
def test_a_key_comes_back_from_its_text(key):
    assert key_from_text(key_to_text(key)) == key


def test_a_key_of_an_unsupported_type_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="float"):
        key_to_text((1.5,))


@pytest.mark.parametrize(("old", "new"), list(itertools.product(RunStatus, RunStatus)))
def test_only_the_listed_changes_of_a_run_are_possible(old, new):
    if new in TRANSITIONS[old]:
        check_transition(old, new)
    else:
        with pytest.raises(ReencryptionError, match="cannot become"):
            check_transition(old, new)


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 20])
def test_ranges_cover_every_row_once(rows):
    engine = create_engine("sqlite://")
    bind_keyring(engine, Keyring.generate())
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        numbers = [{"id": n * 3} for n in range(rows)]
        if numbers:
            connection.execute(Person.__table__.insert(), numbers)
    [sealed] = sealed_tables(Person)
    with engine.connect() as connection:
        reader = PortableRows(engine, reencrypt(engine, sealed))
        planned = plan_ranges(connection, reader, 10)
    assert sum(part.rows for part in planned) == rows
    assert planned[0].low is None
    assert planned[-1].high is None
    assert [p.low for p in planned[1:]] == [p.high for p in planned[:-1]]
    engine.dispose()


def test_counts_add_up():
    total = Counts(scanned=2, moved=1) + Counts(scanned=3, dead=4)
    assert total == Counts(scanned=5, moved=1, dead=4)


def test_progress_knows_its_share():
    assert Progress("t", "running", 200, Counts(), left=50).fraction == 0.75
    assert Progress("t", "running", 0, Counts()).fraction == 1.0


def test_a_live_or_foreign_owner_is_not_gone():
    import os
    import socket

    host = socket.gethostname()
    assert not is_gone(f"{host}/{os.getpid()}/x")
    assert not is_gone(f"{host}/1/x")
    assert not is_gone(f"not-{host}/999999999/x")
    assert not is_gone(None)
    assert is_gone(f"{host}/999999999/x")


@pytest.mark.parametrize(
    "target",
    [Base, Base.metadata, Base.registry, [Person, Wide.__table__]],
    ids=["base", "metadata", "registry", "list"],
)
def test_every_kind_of_target_finds_the_sealed_tables(target):
    assert [sealed.name for sealed in sealed_tables(target)] == ["people", "wide"]


class Empty(DeclarativeBase):
    pass


@pytest.mark.parametrize("target", [Empty, MetaData(), [], Table("x", MetaData())])
def test_a_target_without_sealed_columns_is_an_error(target):
    with pytest.raises(ConfigurationError, match="no sealed column"):
        sealed_tables(target)


@pytest.mark.parametrize("target", ["app:Base", 5, None, object()])
def test_something_that_is_no_target_is_named(target):
    with pytest.raises(ConfigurationError, match="is no target"):
        sealed_tables(target)


def test_a_table_without_a_primary_key_is_refused():
    table = Table("t", MetaData(), Column("a", EncryptedType(LargeBinary)))
    [sealed] = sealed_tables(table)
    with pytest.raises(ConfigurationError, match="no primary key"):
        _ = sealed.key
    Table("u", MetaData(), Column("id", Integer, primary_key=True))
