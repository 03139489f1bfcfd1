"""Running a job inside a revision: which keys, which connection, and how it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import Engine

from sqlalchemy_sealed import Keyring, Pace
from sqlalchemy_sealed.errors import KeyringNotBoundError, SealedError
from sqlalchemy_sealed.jobs.beside import synchronous
from sqlalchemy_sealed.jobs.job import Job, Report
from sqlalchemy_sealed.jobs.progress import Progress
from sqlalchemy_sealed.scope import binding_of

__all__ = ["check_keys", "is_offline", "leave_gap", "lend_engine", "run_job"]

_LOG: Final = logging.getLogger("alembic.runtime.sealed")
_SECONDS: Final = 5.0
_PASSES: Final = 10


def is_offline(operations: Operations) -> bool:
    """Tell whether SQL is printed (``--sql``) instead of executed."""
    return operations.migration_context.as_sql


def leave_gap(operations: Operations, command: str) -> None:
    """Mark the place in printed SQL where rows have to be moved by a command."""
    for line in (
        "",
        "-- SEALED: values are moved here, which SQL cannot do. Stop, run:",
        f"--     {command} --url ...",
        "-- and go on with the rest when it has ended.",
        "",
    ):
        operations.migration_context.impl.static_output(line)


def check_keys(operations: Operations) -> None:
    """Look for the keys before anything is changed.

    Raises:
        ConfigurationError: there are none, or the variable is not of that form.

    """
    if not is_offline(operations):
        _keyring(operations, operations.get_bind().engine)


def run_job(
    operations: Operations, make: Callable[..., Job], compares: bool = False
) -> None:
    """Run a job, outside of the revision's transaction, until every row is moved.

    What the revisions have done so far is committed first. A revision that is killed
    goes on with the same run when it is applied again.

    Args:
        operations: of the revision.
        make: makes the job of an engine and the options ``pace`` and ``on_progress``.
        compares: run it again until a whole pass finds nothing to move. A row that was
            moved may have been changed since, by a process that writes the source
            only: it is compared before anything is dropped.

    Raises:
        CommandError: a value could not be moved, or old ones keep appearing.

    """
    context = operations.migration_context
    pace = context.opts.get("sealed_pace") or Pace()
    with context.autocommit_block(), lend_engine(operations) as engine:
        for _ in range(_PASSES):
            reports = _run(make(engine, pace=pace, on_progress=_Log()))
            _check(reports)
            if not compares or not any(one.counts.moved for one in reports):
                return
    raise CommandError(
        f"{reports[0].table}: rows change faster than they are moved. An application "
        "keeps writing the column they come from: deploy what writes the new form, "
        "then apply the revision again"
    )


def _run(job: Job) -> Sequence[Report]:
    """Run a job; what ends it is told as Alembic tells errors, in a line."""
    try:
        return job.run()
    except SealedError as error:
        reason = str(error)
    raise CommandError(reason)


@contextmanager
def lend_engine(operations: Operations) -> Iterator[Engine]:
    """Lend an engine to the database of the revision, with a keyring.

    The keyring is ``context.configure(sealed_keyring=...)`` in ``env.py``, or that of
    the engine, or the environment's.
    """
    engine = operations.get_bind().engine
    with synchronous(engine, _keyring(operations, engine)) as lent:
        yield lent


def _keyring(operations: Operations, engine: Engine) -> Keyring:
    given: Any = operations.migration_context.opts.get("sealed_keyring")
    if isinstance(given, Keyring):
        return given
    try:
        return binding_of(engine.dialect).keyring("the migration")
    except KeyringNotBoundError:
        return Keyring.from_env()


def _check(reports: Sequence[Report]) -> None:
    for report in reports:
        if report.counts.dead:
            raise CommandError(
                f"{report.table}: {report.counts.dead} values could not be moved and "
                "were left as they are. They are listed: sealed reencrypt status "
                "--dead. Repair them and apply the revision again: it goes on"
            )
        if report.left:
            raise CommandError(
                f"{report.table}: {report.left} or more rows are left. An application "
                "keeps writing them as they were, or holds them: deploy what writes "
                "the new form first, then apply the revision again"
            )


class _Log:
    """Progress as lines of Alembic's log, now and then."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Log how far the run is."""
        now = time.monotonic()
        if now - self._told >= _SECONDS:
            self._told = now
            _LOG.info(
                "%s: %.0f %% of the pass, %d rows moved",
                progress.table,
                100 * progress.fraction,
                progress.counts.moved,
            )
