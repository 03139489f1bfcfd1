"""Pace: rate, batch sizes, and everything that makes a job wait."""

from __future__ import annotations

import datetime as dt
import threading
import time

import pytest
from job.test_reencryption import people, small
from sqlalchemy import text

from sqlalchemy_sealed import ConfigurationError, Pace, Window
from sqlalchemy_sealed.errors import RunInterruptedError
from sqlalchemy_sealed.jobs.pace import Pacer
from sqlalchemy_sealed.jobs.signals import signals_of
from sqlalchemy_sealed.jobs.stop import Stop

pytestmark = pytest.mark.thorough

__all__ = ["people"]


def pacer(pace: Pace, signals=(), workers: int = 1) -> Pacer:
    return Pacer(pace, signals, Stop(), lambda: workers)


def test_batches_follow_the_time_they_take():
    one = pacer(Pace(rate=None, batch_rows=200, batch_seconds=0.05))
    for _ in range(30):
        one.after(one.rows, one.rows * 0.001)  # a millisecond per row
    assert 45 <= one.rows <= 55
    for _ in range(30):
        one.after(one.rows, one.rows * 0.00001)
    assert one.rows == 200


def test_a_batch_that_takes_too_long_is_halved():
    one = pacer(Pace(rate=None, batch_rows=200))
    one.halve()
    assert one.rows == 100
    for _ in range(20):
        one.halve()
    assert one.rows == 1


def test_the_rate_is_kept_and_a_pause_is_not_caught_up_with():
    one = pacer(Pace(rate=1000, batch_rows=50))
    start = time.monotonic()
    for _ in range(6):
        one.after(50, 0.001)
    assert time.monotonic() - start > 0.15
    time.sleep(0.3)
    start = time.monotonic()
    for _ in range(6):
        one.after(50, 0.001)
    assert time.monotonic() - start > 0.1


def test_workers_share_the_rate():
    one = pacer(Pace(rate=1000, batch_rows=50), workers=3)
    assert one.reason() is None
    start = time.monotonic()
    for _ in range(3):
        one.after(50, 0.001)
    assert time.monotonic() - start > 0.25


def test_a_stop_ends_a_wait_at_once():
    one = pacer(Pace(rate=1, batch_rows=50))
    one.stop.set()
    start = time.monotonic()
    one.after(50, 0.001)  # five seconds, without the stop
    assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"batch_rows": 0}, {"batch_seconds": -1}, {"max_lag": 0}]
)
def test_numbers_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        Pace(**wrong)


def test_a_window_follows_the_clock_of_its_zone():
    night = Window.parse("22:00-06:00", "Europe/Berlin")
    utc = dt.UTC
    assert night.is_open(dt.datetime(2026, 7, 1, 21, 0, tzinfo=utc))  # 23:00 there
    assert night.is_open(dt.datetime(2026, 7, 1, 3, 59, tzinfo=utc))
    assert not night.is_open(dt.datetime(2026, 7, 1, 4, 0, tzinfo=utc))
    assert not night.is_open(dt.datetime(2026, 12, 1, 20, 59, tzinfo=utc))
    assert night.is_open(dt.datetime(2026, 12, 1, 21, 0, tzinfo=utc))
    day = Window.parse("08:00-17:30")
    assert day.is_open(dt.datetime(2026, 1, 1, 17, 29, tzinfo=utc))
    assert not day.is_open(dt.datetime(2026, 1, 1, 17, 30, tzinfo=utc))


@pytest.mark.parametrize("wrong", ["22-06", "25:00-01:00", "10:00-10:00", ""])
def test_what_is_no_window_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="window"):
        Window.parse(wrong)
    with pytest.raises(ConfigurationError, match="zone"):
        Window.parse("10:00-11:00", "Mars/Olympus")


def wait_and_go(engine, keyring, pace: Pace, release) -> list[str]:
    """Run a job that has to wait, release it, and return what it said."""
    keyring.rotate()
    notes: list[str] = []

    def report(progress):
        if progress.note is not None:
            notes.append(progress.note)

    job = small(engine, pace=pace, on_progress=report)
    worker = threading.Thread(target=job.run)
    worker.start()
    deadline = time.monotonic() + 15
    while not notes:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with engine.connect() as connection:
        moved = connection.scalar(text("SELECT sum(moved) FROM sealed_ranges"))
    assert moved == 0
    release()
    worker.join(20)
    assert not worker.is_alive()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(moved) FROM sealed_ranges")) == 99
    return notes


def test_a_file_makes_the_job_wait(people, keyring, tmp_path):
    file = tmp_path / "pause"
    file.touch()
    pace = Pace(pause_file=file)
    notes = wait_and_go(people, keyring, pace, file.unlink)
    assert notes[0] == f"the file {file} exists"


def test_a_query_makes_the_job_wait(people, keyring):
    with people.begin() as connection:
        connection.execute(text("CREATE TABLE busy (n int)"))
        connection.execute(text("INSERT INTO busy VALUES (1)"))

    def release():
        with people.begin() as connection:
            connection.execute(text("DELETE FROM busy"))

    pace = Pace(throttle_query="SELECT n FROM busy WHERE n > 0")
    notes = wait_and_go(people, keyring, pace, release)
    assert notes[0] == "the throttle query says so"


def test_outside_of_its_window_the_job_waits(people, keyring, monkeypatch):
    hours = iter([False, False])
    monkeypatch.setattr(Window, "is_open", lambda self: next(hours, True))
    pace = Pace(window=Window.parse("22:00-06:00"))
    notes = wait_and_go(people, keyring, pace, lambda: None)
    assert notes[0] == "outside of 22:00-06:00 UTC"


def test_a_signal_in_the_middle_of_a_range_stops_writing(people, keyring, tmp_path):
    """F15: within one batch."""
    file = tmp_path / "pause"
    keyring.rotate()
    reported: list[int] = []

    def report(progress):
        reported.append(progress.counts.moved)
        if progress.note is None:
            file.touch()
            mover.worker.pacer.ask_again()
        else:
            job.stop()

    job = small(people, pace=Pace(pause_file=file), on_progress=report)
    [mover] = job.movers()
    monkey = job.movers
    job.movers = lambda: [mover]  # the one whose pacer is asked again
    with pytest.raises(RunInterruptedError):
        job.run()
    assert monkey is not None
    assert max(reported) <= 20


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_without_a_replica_nothing_is_behind(engine):
    [signal] = signals_of(engine, Pace(max_lag=1.0))
    assert signal() is None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_replica_that_is_behind_makes_the_job_wait(engine, monkeypatch):
    from sqlalchemy_sealed.jobs import signals

    monkeypatch.setattr(signals, "_LAG", "SELECT 7.5")
    [signal] = signals_of(engine, Pace(max_lag=1.0))
    assert signal() == "a replica is 7.5 s behind"


@pytest.mark.parametrize("database_url", ["sqlite", "mariadb"], indirect=True)
def test_lag_is_asked_of_postgresql_only(engine):
    with pytest.raises(ConfigurationError, match="throttle_query"):
        signals_of(engine, Pace(max_lag=1.0))
