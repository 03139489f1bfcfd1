"""Running a job from the command line: workers, signals, progress, exit codes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine

from sqlalchemy_sealed.cli.metrics import serve_metrics
from sqlalchemy_sealed.cli.options import job_engine, load_keyring
from sqlalchemy_sealed.cli.output import ProgressReport, talk
from sqlalchemy_sealed.cli.pacing import Running
from sqlalchemy_sealed.cli.report import print_plans, print_reports
from sqlalchemy_sealed.errors import RunInterruptedError, SealedError
from sqlalchemy_sealed.jobs.job import Job, Report
from sqlalchemy_sealed.jobs.progress import Progress
from sqlalchemy_sealed.jobs.vacuum import dead_tuples

__all__ = ["JobCall", "run_job"]

_ATTENTION: Final = 3
_REFUSED: Final = 1
#: EX_TEMPFAIL of sysexits.h: try again later.
_INTERRUPTED: Final = 75
_MANY_DEAD_TUPLES: Final = 10_000
_Report = Callable[[Progress], None]


@dataclass(frozen=True)
class JobCall:
    """How a job is made, here or in another process; it holds a path and no key.

    Attributes:
        make: makes the job of an engine; a function that can be pickled.
        arguments: its further arguments.

    """

    make: Callable[..., Job]
    arguments: tuple[Any, ...]
    url: str
    keys: Path | None
    active: int | None

    @contextmanager
    def open(self, report: _Report) -> Iterator[tuple[Engine, Job]]:
        """Lend the engine and the job."""
        with job_engine(self.url, load_keyring(self.keys, self.active)) as engine:
            yield engine, self.make(engine, report, *self.arguments)

    def __repr__(self) -> str:
        return f"JobCall({self.make.__name__})"  # the URL holds a password


def run_job(call: JobCall, running: Running) -> None:
    """Run a job, print what it did, and end with its exit code."""
    with ProgressReport() as progress:
        reports: list[_Report] = [progress]
        if running.metrics_port is not None:
            reports.append(serve_metrics(running.metrics_port))
        with call.open(_to_all(reports)) as (engine, job):
            if running.dry_run:
                plans = job.plan()
                print_plans(plans, running.as_json)
                if any(plan.refusals for plan in plans):
                    click.get_current_context().exit(_REFUSED)
                return
            found = _run(call, job, running)
            advice = _vacuum_advice(engine, job)
    print_reports(found, running.as_json)
    for line in advice:
        talk(line)
    _say_status(found)
    if any(report.counts.dead or report.left for report in found):
        click.get_current_context().exit(_ATTENTION)


def _run(call: JobCall, job: Job, running: Running) -> list[Report]:
    if running.retry_dead:
        return job.retry_dead()
    with _workers(call, running.workers - 1) as others, _signals(job, others):
        try:
            return job.run()
        except RunInterruptedError as error:
            talk(f"sealed: {error}")
            sys.exit(_INTERRUPTED)


@contextmanager
def _signals(job: Job, others: Sequence[BaseProcess]) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT finish the batch, here and in the others."""
    before: dict[int, Any] = {}

    def stop(number: int, _frame: object) -> None:
        job.stop()
        for process in others:
            if process.is_alive():
                process.terminate()
        # The second one ends at once; nothing needs repair after that either.
        signal.signal(number, before[number])

    for caught in (signal.SIGTERM, signal.SIGINT):
        before[caught] = signal.signal(caught, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _workers(call: JobCall, count: int) -> Iterator[list[BaseProcess]]:
    """Have other processes of this host join the run, until it is over."""
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = [
        context.Process(target=_join, args=(call,), daemon=True) for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            if sys.exc_info()[0] is not None and process.is_alive():
                process.terminate()
            process.join()


def _join(call: JobCall) -> None:
    """Work on the run until it is over; what is to be told, the first process tells."""
    # A terminal sends SIGINT to every process; the first one passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with call.open(lambda _progress: None) as (_, job):
            signal.signal(signal.SIGTERM, lambda *_: job.stop())
            _stop_without_parent(job)
            job.run()
    except RunInterruptedError:
        os._exit(_INTERRUPTED)
    except SealedError as error:
        talk(f"sealed: a worker ended: {error}")
        os._exit(1)


def _stop_without_parent(job: Job) -> None:
    """Finish the batch and end when the first process was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this is a worker of it

    def watch() -> None:
        parent.join()
        job.stop()

    threading.Thread(target=watch, daemon=True, name="sealed-parent").start()


def _to_all(reports: Sequence[_Report]) -> _Report:
    def report(progress: Progress) -> None:
        for one in reports:
            one(progress)

    return report


def _vacuum_advice(engine: Engine, job: Job) -> list[str]:
    found = []
    for mover in job.movers():
        dead = dead_tuples(engine, mover.move)
        if dead > _MANY_DEAD_TUPLES:
            found.append(
                f"{mover.move.name} has ~{dead:,} old row versions: autovacuum will "
                f"make their space reusable, or at once: VACUUM {mover.move.name}"
            )
    return found


def _say_status(reports: Sequence[Report]) -> None:
    for report in reports:
        if report.left:
            met = f"{report.counts.conflicts:,}"
            talk(
                f"{report.table}: {report.left:,} or more rows are left after the last "
                "pass. Either a process writes with an old keyring: activate the new "
                f"version everywhere; or transactions hold rows ({met} "
                "conflicts were met): end them. Then run again"
            )
    if any(report.counts.dead for report in reports):
        talk(
            "some values could not be moved and were left as they are; "
            "list them: sealed reencrypt status --dead"
        )
