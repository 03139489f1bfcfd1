"""What an application beside the job notices: the 99th percentile of its transactions.

The application is ``application.py``: two clients that read, change and write random
rows of the table at work. Each measurement has a fresh table and another pair of
processes: the application is timed for four seconds while the worker waits, then for
four seconds while it works; the ratio is that of these two. Only transactions that
began while the job was at work count. "no job" is the same without a worker: how far
two equal things differ here.

Afterwards every row is read back: if one does not hold what the application was told
is committed, the benchmarks stop.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field

from crew import Outcome, worker
from job import RANGE, give_up
from measure import Line, Spread, interleave
from people import PostgresqlPeople
from process import Process
from setting import Setting, server_database

from sqlalchemy_sealed import Pace

__all__ = ["run"]

_SECONDS = 4.0
#: What the fastest of the jobs needs to be at work all the time.
_ROWS = 400_000
_DEFAULT, _FASTER = "Pace(rate=5_000), the default", "Pace(rate=20_000)"
_PACES: dict[str, Pace | None] = {
    "no job": None,
    _DEFAULT: Pace(rate=5_000),
    _FASTER: Pace(rate=20_000),
    "Pace.full_speed()": Pace.full_speed(),
}
_Times = list[tuple[float, float]]
_GOALS = {_DEFAULT: "<= 2", _FASTER: "<= 3.5"}


@dataclass
class _Beside:
    """One pace, measured again and again."""

    people: PostgresqlPeople
    pace: Pace | None
    #: The percentile without and with the job in milliseconds, and the job's rows/s.
    before: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def measure(self) -> float:
        """Return the ratio of the percentiles."""
        self.people.fresh()
        arguments = str(self.people.rows), str(_SECONDS)
        with ExitStack() as stack:
            application = stack.enter_context(
                Process("application.py", self.people, *arguments)
            )
            if self.pace is None:
                before, during = _load(application), _load(application)
            else:
                job = worker(self.people, self.pace, RANGE)
                stack.enter_context(job)
                before = _load(application)
                during = self._during(job, application)
            application.say("check")
            _check(int(application.hear()))
        # The next job begins anew, with another table.
        give_up(self.people)
        self.before.append(_percentile(before))
        self.during.append(_percentile(during))
        return self.during[-1] / self.before[-1]

    def _during(self, job: Process, application: Process) -> _Times:
        job.say("go")
        job.expect("working")
        times = _load(application)
        job.say("stop")
        outcome = Outcome.heard(job)
        self.rates.append(outcome.moved / outcome.seconds)
        return [one for one in times if one[0] < outcome.ended]


def run(setting: Setting) -> list[Line]:
    """Return ratios of the 99th percentile, and what rates the jobs had."""
    assert Pace() == Pace(rate=5_000), "the default has another label now"
    with server_database(setting.url) as url:
        people = PostgresqlPeople(url, _ROWS)
        besides = {name: _Beside(people, pace) for name, pace in _PACES.items()}
        contenders = {name: one.measure for name, one in besides.items()}
        samples = interleave(contenders, setting.repeat)
    lines, rates = [], []
    for name, one in besides.items():
        title = f"PostgreSQL, {name}"
        # The first round warms up, here too.
        during, rate = one.during[1:], one.rates[1:]
        lines.append(Line("beside", f"{title}: p99", Spread.of(during), "ms"))
        ratio = Spread.of(samples[name])
        goal = _GOALS.get(name, "")
        lines.append(Line("beside", f"{title}: p99", ratio, "x without a job", goal))
        if rate:
            rates.append(Line("beside", f"{title}: the job", Spread.of(rate), "rows/s"))
    return [*lines, *rates]


def _load(application: Process) -> _Times:
    application.say("go")
    found: _Times = json.loads(application.hear())
    return found


def _check(lost: int) -> None:
    if lost:
        raise SystemExit(f"{lost} rows do not hold what was committed to them")


def _percentile(times: _Times) -> float:
    latencies = sorted(took for _, took in times)
    return latencies[int(len(latencies) * 0.99)] * 1e3
