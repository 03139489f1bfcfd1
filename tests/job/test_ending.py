"""How a run ends: looks, sweeps, fences, and what is left."""

from __future__ import annotations

import json

import pytest
from job.application import Base, Person, Wide
from job.test_reencryption import names, people, raw, sealed_under, small
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed import (
    ConfigurationError,
    Decryption,
    FenceKind,
    Keyring,
    bind_keyring,
)
from sqlalchemy_sealed.errors import FenceError, PreflightError
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.fence import (
    check_fences,
    drop_fence,
    fences_of,
    put_up,
    validate,
)
from sqlalchemy_sealed.jobs.steps import Step
from sqlalchemy_sealed.targets import sealed_tables

pytestmark = pytest.mark.thorough

__all__ = ["people"]


def write_stale(engine, old: Keyring, n: int = 1) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE people SET name = :v WHERE id = :n"),
            {"v": sealed_under(old, "late"), "n": n},
        )


def test_a_row_that_appears_between_the_two_looks_is_moved(
    people, keyring, monkeypatch
):
    old = Keyring([keyring.active])
    keyring.rotate()
    looks = []

    def reached(step):
        if step is Step.LOOKED:
            looks.append(1)
            if len(looks) == 1:
                write_stale(people, old)

    monkeypatch.setattr(steps, "reached", reached)
    [report] = small(people).run()
    assert len(looks) >= 4  # empty, found it, empty, empty
    assert (report.status, report.left) == ("caught-up", 0)
    assert raw(people)[1][8:24] == keyring.active.kid
    assert names(people)[1] == "late"


def test_a_writer_that_never_learns_does_not_keep_the_run_for_ever(
    people, keyring, monkeypatch
):
    """P8: bounded passes; the report says that rows are left."""
    old = Keyring([keyring.active])
    keyring.rotate()

    def reached(step):
        if step in {Step.FINISHED, Step.LOOKED, Step.ENDED}:
            write_stale(people, old)

    monkeypatch.setattr(steps, "reached", reached)
    [report] = small(people).run()
    assert (report.status, report.left) == ("caught-up", 1)


def test_a_run_that_waits_for_every_cache_is_complete(people, keyring):
    keyring.rotate()
    [report] = small(people, settle=0.3).run()
    assert report.status == "complete"
    with people.connect() as connection:
        seconds = connection.scalar(
            text("SELECT finished_at - emptied_at FROM sealed_runs")
        )
    assert seconds >= 0.3


def test_a_keys_fence_makes_a_stale_writer_fail(people, keyring):
    old = Keyring([keyring.active])
    keyring.rotate()
    [report] = small(people, fence=FenceKind.KEYS).run()
    assert report.status == "complete"
    [fence] = fences_of(people)
    assert (fence.kids, fence.validated) == ((keyring.active.kid.hex(),), True)
    stored = raw(people)
    with pytest.raises(DBAPIError):
        write_stale(people, old)
    assert raw(people) == stored
    with people.begin() as connection:
        connection.execute(insert(Person), {"id": 500, "name": "new"})
        connection.execute(text("UPDATE people SET name = NULL WHERE id = 2"))


def test_a_key_that_a_fence_excludes_is_not_activated_nor_moved_to(people, keyring):
    keyring.rotate()
    small(people, fence=FenceKind.KEYS).run()
    check_fences(people, keyring.active.kid)
    with pytest.raises(FenceError, match="sealed fence drop"):
        check_fences(people, keyring.keys[0].kid)
    with pytest.raises(FenceError):
        check_fences(people, None)
    keyring.rotate()
    with pytest.raises(PreflightError, match="excludes the active key"):
        small(people).run()
    [sealed] = sealed_tables(Person)
    [fence] = fences_of(people)
    drop_fence(people, sealed, fence)
    assert fences_of(people) == []
    [report] = small(people).run()
    assert report.counts.moved == 99


def test_a_shape_fence_keeps_plaintext_out_and_stays_through_rotations(engine, keyring):
    Base.metadata.create_all(engine)
    rows = [
        {"group": "g", "number": n, "note": "n", "code": "c", "data": {}}
        for n in (1, 2)
    ]
    with engine.begin() as connection:
        connection.execute(insert(Wide), rows)
    [sealed] = sealed_tables(Wide)
    for fence in put_up(engine, sealed, FenceKind.SHAPE):
        validate(engine, sealed, fence)
    for column, value in (("note", b"plain"), ("code", b"plain"), ("data", "sld:x")):
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(text(f"UPDATE wide SET {column} = :v"), {"v": value})
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(
            text("INSERT INTO wide VALUES ('h', 1, NULL, :v, NULL, NULL)"),
            {"v": b"plain"},
        )
    keyring.rotate()
    [report] = small(engine, Wide).run()
    assert (report.counts.moved, report.status) == (2, "caught-up")
    with engine.begin() as connection:
        connection.execute(insert(Wide), {**rows[0], "number": 3})
        connection.execute(text("UPDATE wide SET plain = 'another column'"))


def test_a_fence_over_rows_outside_of_it_is_put_up_but_not_validated(people, keyring):
    with people.begin() as connection:
        connection.execute(
            text("UPDATE people SET name = :v WHERE id = 5"), {"v": b"plain"}
        )
    [sealed] = sealed_tables(Person)
    [fence] = put_up(people, sealed, FenceKind.SHAPE)
    with pytest.raises(FenceError, match="1 rows are outside"):
        validate(people, sealed, fence)
    [recorded] = fences_of(people)
    assert not recorded.validated
    assert put_up(people, sealed, FenceKind.SHAPE) == [recorded]


def test_nothing_is_decrypted_in_place_behind_a_fence(engine, keyring):
    Base.metadata.create_all(engine)
    [sealed] = sealed_tables(Wide)
    put_up(engine, sealed, FenceKind.SHAPE)
    with pytest.raises(PreflightError, match="lets no plaintext"):
        Decryption(engine, Wide, {"data": "data"}).run()


def test_a_fence_is_recorded_without_a_secret(people, keyring):
    [sealed] = sealed_tables(Person)
    put_up(people, sealed, FenceKind.KEYS)
    with people.connect() as connection:
        row = connection.execute(text("SELECT * FROM sealed_fences")).one()
    assert json.loads(row.kids) == [keyring.active.kid.hex()]
    secret = keyring.active.to_text().split("_", 3)[3][:43]
    assert secret not in repr(row)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_partial_index_finds_what_is_left(people, keyring):
    small(people).run()
    old = Keyring([keyring.active])
    keyring.rotate()
    small(people).run()
    [mover] = small(people).movers()
    left = mover.leftovers
    left.create_index()
    left.create_index()  # once more is no error
    assert (left.exist(), left.count(), left.next(5)) == (False, 0, [])
    write_stale(people, old, 7)
    assert (left.exist(), left.count(), left.next(5)) == (True, 1, [(7,)])
    plan = "EXPLAIN QUERY PLAN" if people.name == "sqlite" else "EXPLAIN"
    found = mover.rows.left(1)
    with people.connect() as connection:
        if people.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        sql = str(found.compile(people, compile_kwargs={"literal_binds": True}))
        shown = repr(connection.execute(text(f"{plan} {_escaped(sql)}")).all())
    assert left.index_name in shown
    small(people).run()
    left.drop_index()
    assert left.count() == 0


def _escaped(sql: str) -> str:
    return sql.replace(":", "\\:")


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_mariadb_has_no_partial_index_and_says_so(people):
    [mover] = small(people).movers()
    with pytest.raises(ConfigurationError, match="no partial indexes"):
        mover.leftovers.create_index()
    with pytest.raises(ConfigurationError, match="no partial indexes"):
        mover.leftovers.drop_index()


def test_only_unlisted_rows_keep_a_run_open(people, keyring):
    with people.begin() as connection:
        for n in (5, 6):
            connection.execute(
                text("UPDATE people SET name = :v WHERE id = :n"), {"v": b"x", "n": n}
            )
    keyring.rotate()
    [report] = small(people).run()
    assert (report.status, report.counts.dead, report.left) == ("caught-up", 2, 0)
    bind_keyring(people, keyring)
