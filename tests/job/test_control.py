"""An operator's view: states, pause, resume, cancel, retry, and who may join."""

from __future__ import annotations

import threading
import time

import pytest
from job.shop import Base as ShopBase
from job.shop import Customer
from job.application import Person
from job.test_reencryption import names, people, raw, small
from sqlalchemy import Engine, text

from sqlalchemy_sealed import Encryption, Key, Keyring, bind_keyring
from sqlalchemy_sealed.destruction import check_unused
from sqlalchemy_sealed.errors import (
    KeyInUseError,
    ReencryptionError,
    RunConflictError,
    RunEndedError,
    RunInterruptedError,
    TooManyDeadLettersError,
)
from sqlalchemy_sealed.jobs import control, steps
from sqlalchemy_sealed.jobs.steps import Step

__all__ = ["people"]


def state(engine: Engine) -> control.RunState:
    [found] = control.states(engine, ["people"])
    return found


def at(step: Step, monkeypatch, action, times: int = 1) -> list[int]:
    """Do something the first times that a step is reached."""
    done: list[int] = []

    def reached(found):
        if found is step and len(done) < times:
            done.append(1)
            action()

    monkeypatch.setattr(steps, "reached", reached)
    return done


def test_nothing_was_ever_run(engine):
    assert control.states(engine) == []
    assert control.open_runs(engine) == []


def test_a_pause_stops_writing_within_one_batch(people, keyring, monkeypatch):
    """P10: the batch at hand is the last one."""
    keyring.rotate()
    moments: list[int] = []
    job = small(people)

    def pause():
        control.pause(people, state(people))
        moments.append(state(people).counts.moved)

    step = Step.COMMITTED
    at(step, monkeypatch, pause)
    worker = threading.Thread(target=_quietly, args=(job.run,))
    worker.start()
    _wait_for(lambda: moments)
    time.sleep(0.4)
    held = state(people)
    assert (held.status, held.advice) == ("paused", "sealed reencrypt resume")
    assert held.counts.moved <= moments[0] + 10
    stored = raw(people)
    time.sleep(0.3)
    assert raw(people) == stored
    control.resume(people, held)
    worker.join(20)
    assert state(people).status == "caught-up"
    assert all(b[8:24] == keyring.active.kid for b in raw(people).values() if b)


def _quietly(work):
    try:
        work()
    except RunInterruptedError:
        pass


def _wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_cancelled_run_ends_its_workers_and_a_new_one_begins(
    people, keyring, monkeypatch
):
    keyring.rotate()
    at(Step.COMMITTED, monkeypatch, lambda: control.cancel(people, state(people)))
    with pytest.raises(RunEndedError, match="cancelled"):
        small(people).run()
    moved = {n for n, b in raw(people).items() if b and b[8:24] == keyring.active.kid}
    assert 0 < len(moved) < 99
    with pytest.raises(ReencryptionError, match="cannot become"):
        control.resume(people, state(people))
    [report] = small(people).run()
    assert not report.resumed
    assert report.counts.current >= len(moved)


def test_a_stopped_worker_finishes_its_batch_and_says_what_next(people, keyring):
    keyring.rotate()
    job = small(people, on_progress=lambda progress: job.stop())
    with pytest.raises(RunInterruptedError, match="same command"):
        job.run()
    found = state(people)
    assert (found.status, found.workers) == ("running", ())
    assert "run the same command" in found.advice
    [report] = small(people).run()
    assert (report.resumed, report.counts.scanned) == (True, 100)


def test_a_run_of_another_kind_is_refused_until_it_is_cancelled(engine, keyring):
    ShopBase.metadata.create_all(engine)
    keyring.rotate()
    [mover] = small(engine, Customer).movers()
    mover.open()
    other = Encryption(engine, Customer, {"ssn": "ssn_encrypted"})
    with pytest.raises(RunConflictError, match="of another kind"):
        other.run()
    [found] = control.states(engine, ["customers"])
    control.cancel(engine, found)
    [report] = other.run()
    assert report.status == "caught-up"


def test_two_tables_have_runs_of_their_own(engine, keyring):
    ShopBase.metadata.create_all(engine)
    [one] = small(engine, Customer).movers()
    one.open()
    reports = small(engine, ShopBase.metadata.tables["members"]).run()
    assert [report.table for report in reports] == ["members"]


def test_too_many_dead_letters_stop_every_worker(people, keyring):
    new = Keyring([Key.generate(2)])
    with pytest.raises(TooManyDeadLettersError):
        small(people, keyring=new, max_dead_letters=15).run()
    found = state(people)
    assert (found.status, found.last_error) == ("stopped", "TooManyDeadLettersError")
    [mover] = small(people, keyring=new).movers()
    mover.run.id = found.id
    with pytest.raises(RunEndedError, match="stopped"):
        mover.worker.work()


def test_dead_letters_are_listed_and_tried_again(people, keyring):
    """A key comes back after the run has ended: only its rows are touched."""
    old = keyring.active
    with people.begin() as connection:
        connection.execute(
            text("UPDATE people SET name = :v WHERE id = 5"), {"v": b"damaged"}
        )
    complete = Keyring([old, Key.generate(2)], active=2)
    bind_keyring(people, Keyring([complete.keys[1]]))
    small(people, max_dead_letters=200).run()
    before = raw(people)
    listed = control.letters(people, state(people), limit=500)
    assert len(listed) == 99
    assert {letter.error for letter in listed} == {"UnknownKeyError", "NotSealedError"}
    bind_keyring(people, complete)
    [report] = small(people).retry_dead()
    assert (report.counts.moved, report.counts.dead) == (98, 1)
    after = raw(people)
    assert after[5] == before[5] == b"damaged"
    assert all(b[8:24] == complete.active.kid for n, b in after.items() if b and n != 5)
    [left] = control.letters(people, state(people))
    assert left.row_key == '[["i",5]]'
    [again] = small(people).retry_dead()
    assert (again.counts.moved, again.counts.dead) == (0, 1)


def test_a_state_knows_its_workers_and_its_rate(people, keyring):
    keyring.rotate()
    [mover] = small(people).movers()
    mover.open()
    lease = mover.run.ranges.claim(0, mover.worker.owner)
    seen = state(people)
    assert seen.workers == (mover.worker.owner,)
    assert seen.eta_seconds is None
    mover.worker.move(lease)
    [measured] = control.measured(people, ["people"], seconds=0.05)
    assert (measured.rows, measured.scanned, measured.rate) == (100, 30, 0.0)
    mover.run.ranges.release(mover.worker.owner)
    assert state(people).workers == ()


def test_a_zombie_that_wakes_up_goes_on_with_other_ranges(people, keyring, monkeypatch):
    """F2: it was away longer than its lease; another worker took the range."""
    keyring.rotate()
    job = small(people)

    def away():
        with people.begin() as connection:
            connection.execute(
                text(
                    "UPDATE sealed_ranges SET lease_token = lease_token + 1, "
                    "lease_owner = 'elsewhere/1/x', lease_until = 0 "
                    "WHERE lease_owner IS NOT NULL"
                )
            )

    at(Step.SEALED, monkeypatch, away)
    if people.name == "sqlite":
        at(Step.READ, monkeypatch, away)
    [report] = job.run()
    assert (report.status, report.counts.moved) == ("caught-up", 99)
    assert names(people)[7] == "name 7"


def test_a_rotation_in_this_process_begins_a_new_run(people, keyring, monkeypatch):
    """F13: what was moved to the former key is moved once more."""
    keyring.rotate()
    at(Step.FINISHED, monkeypatch, keyring.rotate)
    [report] = small(people).run()
    assert report.status == "caught-up"
    assert {b[8:24] for b in raw(people).values() if b} == {keyring.active.kid}
    with people.connect() as connection:
        found = connection.scalars(text("SELECT status FROM sealed_runs")).all()
    assert sorted(found) == ["caught-up", "superseded"]


def test_a_key_with_values_is_not_destroyed(people, keyring):
    """P7."""
    old = keyring.active
    keyring.rotate()
    with pytest.raises(KeyInUseError, match=r"people\.name \(99\)"):
        check_unused(people, Person, old)
    [mover] = small(people).movers()
    mover.open()
    with people.begin() as connection:
        connection.execute(text("DELETE FROM people WHERE name IS NOT NULL"))
    with pytest.raises(KeyInUseError, match="a run is open"):
        check_unused(people, Person, old)
    small(people).run()
    assert check_unused(people, Person, old) == 0


def test_leases_follow_the_clock_of_the_database(people, keyring, monkeypatch):
    """F11: a host whose clock is a day off takes nothing away, and keeps nothing."""
    keyring.rotate()
    [mover] = small(people).movers()
    mover.open()
    first = mover.run.ranges.claim(0, "elsewhere/1/a")
    for jump in (-86_400.0, 86_400.0):
        real = time.time
        monkeypatch.setattr(time, "time", lambda real=real, jump=jump: real() + jump)
        taken = mover.run.ranges.claim(0, "elsewhere/1/b")
        assert taken is None or taken.range_id != first.range_id
        monkeypatch.undo()
    with people.begin() as connection:
        connection.execute(text("UPDATE sealed_ranges SET lease_until = 1"))
    assert mover.run.ranges.claim(0, "elsewhere/1/c").range_id == first.range_id
