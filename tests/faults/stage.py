"""The stage: takes time, threads and the wire out of a schedule, so that it replays.

``steps.reached`` leads to the world; sleeping takes no time; the thread that writes to
MariaDB and the pipeline to PostgreSQL become calls. A schedule that *races* keeps both.
"""

from __future__ import annotations

import select as system_select
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

from sqlalchemy_sealed.jobs import lease, pipeline, ranges, steps
from sqlalchemy_sealed.jobs.mariadb import MariadbRows
from sqlalchemy_sealed.jobs.pace import Pacer
from sqlalchemy_sealed.jobs.worker import Worker

__all__ = ["Killed", "Theatre", "set_up"]


class Killed(BaseException):
    """SIGKILL: nothing in the library may catch it and go on."""


class Theatre(Protocol):
    """What happens at the places that the stage leads to."""

    racing: bool
    late: bool
    dead: bool

    def reached(self, step: steps.Step) -> None: ...
    def slept(self, seconds: float) -> None: ...
    def is_gone(self, owner: str | None) -> bool: ...


class _Later(Future[Any]):
    """A batch that the server works on only when somebody waits for it."""

    def __init__(self, theatre: Theatre, work: Any, arguments: Any) -> None:
        super().__init__()
        self._theatre = theatre
        self._work: Any = work
        self._arguments = arguments

    def result(self, timeout: float | None = None) -> Any:
        work, self._work = self._work, None
        if work is not None:
            self.set_result(work(*self._arguments))
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self._theatre.dead or self._work is None:
            return None  # the process that would have sent it is no more
        try:
            self.result()
        except Exception as error:
            return error
        return None


@contextmanager
def set_up(theatre: Theatre) -> Iterator[None]:
    """Lead every place to the theatre, for one schedule."""
    main = threading.current_thread()

    def reached(step: steps.Step) -> None:
        if threading.current_thread() is main:
            theatre.reached(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "reached", reached)
        patch.setattr(Pacer, "sleep", lambda _pacer, s: s > 0 and theatre.slept(s))
        patch.setattr(ranges, "is_gone", theatre.is_gone)
        patch.setattr(Worker, "_failed", _failed(theatre, Worker._failed))
        if not theatre.racing:
            patch.setattr(MariadbRows, "submit_in_thread", _submit(theatre))
            patch.setattr(pipeline._Sent, "_send", _send(pipeline._Sent._send))
        yield
    assert lease.LEASE_SECONDS > 30  # a lease never ends by itself in a schedule


def _failed(theatre: Theatre, original: Any) -> Any:
    """Stay killed when the rollback of a connection that was cut hides the kill."""

    def failed(worker: Any, error: BaseException) -> None:
        if theatre.dead:
            raise Killed
        original(worker, error)

    return failed


def _submit(theatre: Theatre) -> Any:
    def submit(_rows: Any, work: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = _Later(theatre, work, arguments)
        if not theatre.late:
            try:
                future.result()
            except Exception as error:
                future.set_exception(error)
        return future

    return submit


def _send(original: Any) -> Any:
    """Wait until the server has answered; nobody reads the answer yet."""

    def send(sent: Any, statement: Any) -> None:
        original(sent, statement)
        driver = sent._driver.pgconn
        driver.send_flush_request()
        driver.flush()
        system_select.select([driver.socket], [], [], 5.0)

    return send
