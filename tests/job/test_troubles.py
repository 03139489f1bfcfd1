"""Errors that pass: retried with the state kept; others are told (F6, F7, F8, F21)."""

from __future__ import annotations

import os
import sqlite3

import psycopg
import pymysql
import pytest
from job.test_reencryption import names, people, raw, small
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from sqlalchemy_sealed.jobs import control, steps
from sqlalchemy_sealed.jobs.pace import Pacer
from sqlalchemy_sealed.jobs.steps import Step
from sqlalchemy_sealed.jobs.transient import Trouble, trouble_of

pytestmark = pytest.mark.thorough

__all__ = ["people"]


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(Pacer, "sleep", lambda self, seconds: None)


def sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    return error


def postgresql_error(state: str) -> psycopg.Error:
    return psycopg.errors.lookup(state)("x")


KNOWN = [
    (postgresql_error("40001"), Trouble.BUSY),
    (postgresql_error("40P01"), Trouble.BUSY),
    (postgresql_error("55P03"), Trouble.BUSY),
    (postgresql_error("57014"), Trouble.TIMEOUT),
    (postgresql_error("53100"), Trouble.FULL),
    (postgresql_error("25006"), Trouble.FULL),
    (postgresql_error("57P01"), Trouble.GONE),
    (postgresql_error("08006"), Trouble.GONE),
    (psycopg.OperationalError("the connection is lost"), Trouble.GONE),
    (postgresql_error("23505"), None),
    (psycopg.ProgrammingError("x"), None),
    (pymysql.err.OperationalError(1205, "x"), Trouble.BUSY),
    (pymysql.err.OperationalError(1213, "x"), Trouble.BUSY),
    (pymysql.err.OperationalError(2013, "x"), Trouble.GONE),
    (pymysql.err.OperationalError(1114, "x"), Trouble.FULL),
    (pymysql.err.ProgrammingError(1064, "x"), None),
    (sqlite_error("SQLITE_BUSY"), Trouble.BUSY),
    (sqlite_error("SQLITE_BUSY_SNAPSHOT"), Trouble.BUSY),
    (sqlite_error("SQLITE_FULL"), Trouble.FULL),
    (sqlite_error("SQLITE_ERROR"), None),
    (RuntimeError(5), None),
]


@pytest.mark.parametrize(("error", "kind"), KNOWN, ids=lambda x: repr(x)[:40])
def test_an_error_is_known_by_what_the_database_says(error, kind):
    assert trouble_of(error) is kind
    assert trouble_of(OperationalError("sql", None, error)) is kind


def injected(name: str) -> DBAPIError:
    error = {
        "sqlite": sqlite_error("SQLITE_BUSY"),
        "postgresql": postgresql_error("40P01"),
        "mysql": pymysql.err.OperationalError(1213, "Deadlock"),
    }[name]
    return OperationalError("sql", None, error)


def test_a_lock_that_was_waited_for_is_known_from_the_server_itself(people):
    """Not only from errors as a test makes them."""
    wait = {
        "sqlite": "PRAGMA busy_timeout = 0",
        "postgresql": "SET lock_timeout = '1ms'",
        "mysql": "SET SESSION innodb_lock_wait_timeout = 0",
    }[people.name]
    change = text("UPDATE people SET name = NULL WHERE id = 1")
    with people.connect() as first, people.connect() as second:
        first.execute(change)
        second.exec_driver_sql(wait)
        with pytest.raises(DBAPIError) as caught:
            second.execute(change)
    assert trouble_of(caught.value) is Trouble.BUSY


@pytest.mark.parametrize(
    "step",
    [Step.CLAIMED, Step.READ, Step.BEGUN, Step.COMMITTED, Step.FINISHED, Step.LOOKED],
)
def test_what_passes_is_tried_again_and_counted_once(
    people, keyring, monkeypatch, step
):
    active = keyring.rotate()
    failures = []

    def reached(found):
        if found is step and len(failures) < 7:
            failures.append(1)
            raise injected(people.name)

    monkeypatch.setattr(steps, "reached", reached)
    [report] = small(people).run()
    assert len(failures) >= 4
    assert (report.status, report.counts.moved) == ("caught-up", 99)
    assert {b[8:24] for b in raw(people).values() if b} == {active.kid}


def test_what_does_not_pass_ends_after_some_attempts(people, keyring, monkeypatch):
    keyring.rotate()
    stored = raw(people)
    failures = []

    def reached(step):
        if step is Step.READ:
            failures.append(1)
            raise injected(people.name)

    monkeypatch.setattr(steps, "reached", reached)
    with pytest.raises(OperationalError):
        small(people).run()
    assert len(failures) == 13
    assert raw(people) == stored
    [state] = control.states(people)
    assert state.status == "running"
    assert "another transaction is in the way" in state.last_error
    monkeypatch.undo()
    [report] = small(people).run()
    assert (report.resumed, report.counts.moved) == (True, 99)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_that_is_cut_is_made_again(people, keyring, monkeypatch):
    """F7: at many statements, by the server."""
    active = keyring.rotate()
    seen = []

    def reached(step):
        seen.append(step)
        if len(seen) in {4, 9, 17, 23, 31} and step is not Step.OPENED:
            with people.connect() as other:
                other.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() "
                        "AND pid <> pg_backend_pid()"
                    )
                )

    monkeypatch.setattr(steps, "reached", reached)
    [report] = small(people).run()
    assert report.counts.scanned == 100
    assert report.counts.moved + report.counts.current == 100
    assert {b[8:24] for b in raw(people).values() if b} == {active.kid}
    assert names(people)[50] == "name 50"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_batch_that_takes_too_long_is_split(people, keyring, monkeypatch):
    """F8: statement_timeout."""
    keyring.rotate()
    sizes = []
    job = small(people)
    [mover] = job.movers()
    original = mover.rows.read

    def read(connection, after, upto, limit):
        sizes.append(limit)
        if limit > 3:
            raise OperationalError("sql", None, postgresql_error("57014"))
        return original(connection, after, upto, limit)

    monkeypatch.setattr(mover.rows, "read", read)
    monkeypatch.setattr(job, "movers", lambda: [mover])
    [report] = job.run()
    assert sizes[:3] == [10, 5, 2]
    assert report.counts.moved == 99


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_cannot_write_is_waited_for(people, keyring, monkeypatch):
    """F8: read-only mode, as after a failover; the run goes on when it is over."""
    keyring.rotate()
    refused = []
    from sqlalchemy_sealed.jobs import pipeline

    original = pipeline._Sent._send

    def send(self, statement):
        if len(refused) < 3:
            refused.append(1)
            raise OperationalError("sql", None, postgresql_error("25006"))
        return original(self, statement)

    monkeypatch.setattr(pipeline._Sent, "_send", send)
    [report] = small(people).run()
    assert (len(refused), report.counts.moved) == (3, 99)


def test_an_unknown_error_is_told_and_the_run_stays_open(people, keyring, monkeypatch):
    keyring.rotate()

    def reached(step):
        if step is Step.SEALED:
            raise MemoryError

    monkeypatch.setattr(steps, "reached", reached)
    with pytest.raises(MemoryError):
        small(people).run()
    [state] = control.states(people)
    assert (state.status, state.last_error, state.workers) == (
        "running",
        "MemoryError",
        (),
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_does_no_harm(people, keyring, monkeypatch):
    """F21: the child inherits sockets and keys, and goes away."""
    active = keyring.rotate()
    children = []

    def reached(step):
        if step is Step.READ and not children:
            child = os.fork()
            if child == 0:
                os._exit(0)
            children.append(child)

    monkeypatch.setattr(steps, "reached", reached)
    [report] = small(people).run()
    os.waitpid(children[0], 0)
    assert report.counts.moved == 99
    assert {b[8:24] for b in raw(people).values() if b} == {active.kid}
