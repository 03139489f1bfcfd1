"""Former declarations (docs/FORMAT.md, rule 2): read, counted, and moved."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy_sealed import (
    Bucket,
    EncryptedType,
    FenceKind,
    Reencryption,
    bind_keyring,
)
from sqlalchemy_sealed.errors import DeclarationError, DeclarationMismatchError
from sqlalchemy_sealed.jobs.fence import drop_fence, put_up, validate
from sqlalchemy_sealed.status import status
from sqlalchemy_sealed.targets import sealed_tables

KINDS = {
    "randomized": lambda **more: EncryptedType(String, **more),
    "deterministic": lambda **more: EncryptedType(
        String(50), suite="deterministic", **more
    ),
    "CBC": lambda **more: EncryptedType(String, suite="a256cbc-hs512", **more),
    "not padded": lambda **more: EncryptedType(String, padding=None, **more),
    "text": lambda **more: EncryptedType(String, storage="text", **more),
}
MOVES = [
    (former, present)
    for former in ("randomized", "deterministic", "CBC", "not padded")
    for present in ("randomized", "deterministic", "CBC", "not padded")
    if former != present
]


def people(kind):
    return Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("n", kind)
    )


def values(engine, table):
    with engine.connect() as connection:
        return list(connection.scalars(select(table.c.n).order_by(table.c.id)))


@pytest.fixture
def written(engine, keyring):
    def write(former):
        bind_keyring(engine, keyring)
        table = people(KINDS[former]())
        table.metadata.create_all(engine)
        with engine.begin() as connection:
            rows = [{"id": n, "n": f"name {n}"} for n in range(1, 6)]
            connection.execute(insert(table), [*rows, {"id": 6, "n": None}])
        return [*(row["n"] for row in rows), None]

    return write


@pytest.mark.parametrize(("former", "present"), MOVES)
def test_values_of_an_accepted_declaration_are_read_and_moved(
    engine, keyring, written, former, present
):
    expected = written(former)
    table = people(KINDS[present](accepts=KINDS[former]()))
    assert values(engine, table) == expected
    [before] = status(engine, table, keyring)
    assert [(k.state, k.values) for k in before.keys] == [("former declaration", 5)]
    [report] = Reencryption(engine, table).run()
    assert (report.counts.moved, report.counts.dead) == (5, 0)
    [after] = status(engine, table, keyring)
    assert (after.on_active, after.values) == (5, 5)
    # What was moved needs the former declaration no more.
    assert values(engine, people(KINDS[present]())) == expected


@pytest.mark.parametrize(("former", "present"), MOVES)
def test_values_of_any_other_declaration_are_an_error(
    engine, keyring, written, former, present
):
    written(former)
    table = people(KINDS[present]())
    with pytest.raises(DeclarationMismatchError, match="accepts="):
        values(engine, table)
    [report] = Reencryption(engine, table).run()
    assert (report.counts.moved, report.counts.dead) == (0, 5)


def test_several_declarations_are_accepted_together(engine, keyring, written):
    expected = written("deterministic")
    table = people(KINDS["not padded"]())
    with engine.begin() as connection:
        connection.execute(insert(table), [{"id": 7, "n": "bare"}])
    both = [KINDS["deterministic"](), KINDS["not padded"]()]
    assert values(engine, people(KINDS["randomized"](accepts=both))) == [
        *expected,
        "bare",
    ]


def test_a_rotation_and_a_new_declaration_move_in_one_run(engine, keyring, written):
    expected = written("deterministic")
    keyring.rotate()
    table = people(KINDS["randomized"](accepts=KINDS["deterministic"]()))
    [report] = Reencryption(engine, table).run()
    assert report.counts.moved == 5
    keyring.rotate()
    [report] = Reencryption(engine, table).run()
    assert report.counts.moved == 5
    assert values(engine, table) == expected


def test_a_value_of_a_former_declaration_is_authenticated(engine, keyring, written):
    """The former header is part of what is authenticated, not a way around it."""
    written("deterministic")
    with engine.begin() as connection:
        stored = connection.exec_driver_sql("SELECT n FROM people WHERE id = 1")
        data = bytes(stored.scalar_one())
    kind = KINDS["randomized"](accepts=KINDS["deterministic"](), context="people.n")
    open_ = kind.dialect_impl(engine.dialect).result_processor(engine.dialect, None)
    assert open_(data) == "name 1"
    for position in (8, 24, len(data) - 1):
        altered = bytearray(data)
        altered[position] ^= 1
        with pytest.raises(Exception, match=r"people\.n"):
            open_(bytes(altered))


@pytest.mark.parametrize("storage", ["binary", "text"])
def test_a_shape_fence_is_around_what_the_column_accepts(engine, keyring, storage):
    cbc, xaes = (people(KINDS[n](storage=storage)) for n in ("CBC", "randomized"))
    former = KINDS["CBC"](storage=storage)
    both = people(KINDS["randomized"](storage=storage, accepts=former))
    cbc.metadata.create_all(engine)

    def write(table, number):
        with engine.begin() as connection:
            connection.execute(insert(table), [{"id": number, "n": "name"}])

    [sealed] = sealed_tables(cbc)
    [fence] = put_up(engine, sealed, FenceKind.SHAPE)
    write(cbc, 1)
    with pytest.raises(DBAPIError):
        write(xaes, 2)
    drop_fence(engine, sealed, fence)
    [sealed] = sealed_tables(both)
    [fence] = put_up(engine, sealed, FenceKind.SHAPE)
    validate(engine, sealed, fence)
    write(cbc, 2)
    write(both, 3)
    [report] = Reencryption(engine, both).run()
    assert (report.counts.moved, report.counts.dead) == (2, 0)
    assert values(engine, xaes) == ["name"] * 3


def test_a_keys_fence_lets_the_active_key_of_cbc_through(engine, keyring, written):
    expected = written("CBC")
    table = people(KINDS["CBC"]())
    keyring.rotate()
    [report] = Reencryption(engine, table, fence=FenceKind.KEYS).run()
    assert (report.counts.moved, report.status) == (5, "complete")
    with engine.begin() as connection:
        connection.execute(insert(table), [{"id": 7, "n": "new"}])
    assert values(engine, table) == [*expected, "new"]


@pytest.mark.parametrize(
    "accepts",
    [
        EncryptedType(Integer),
        [String()],
        ["deterministic"],
        "randomized",
        EncryptedType(String),
        EncryptedType(String, padding=Bucket(256)),
        EncryptedType(String, padding=None, storage="text"),
        EncryptedType(String, padding=None, context="old.name"),
        EncryptedType(
            String, padding=None, accepts=EncryptedType(String, suite="deterministic")
        ),
    ],
)
def test_what_is_no_former_declaration_is_refused(accepts):
    with pytest.raises(DeclarationError, match="accepts="):
        EncryptedType(String, accepts=accepts)


def test_nothing_may_be_accepted():
    assert EncryptedType(String, accepts=None).accepts == ()


def test_the_representation_names_what_is_accepted():
    kind = EncryptedType(String, accepts=EncryptedType(String, padding=None))
    assert repr(kind) == (
        "EncryptedType(String(), accepts=[EncryptedType(String(), padding=None)])"
    )
