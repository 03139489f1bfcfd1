"""``Reencryption``: moves every row to the active key, resumably.

Per batch: read, then open, seal and open again (no transaction is open meanwhile), then
one transaction that writes by compare-and-swap on the old bytes, reads back, and moves
the cursor. A process may be killed at any instruction: what was committed is counted,
what was not is done again, and no row is ever half-written.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError, StatementError

from sqlalchemy_sealed.engine import bind_keyring, hide_parameters
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    ReencryptionError,
)
from sqlalchemy_sealed.jobs.mover import Mover
from sqlalchemy_sealed.jobs.progress import Counts, Progress
from sqlalchemy_sealed.jobs.rows import refuse_translation
from sqlalchemy_sealed.jobs.status import RunStatus
from sqlalchemy_sealed.jobs.tables import create_tables
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.targets import SealedTable, sealed_tables

__all__ = ["Reencryption", "Report"]

_DATABASES: Final = ("postgresql", "sqlite", "mysql", "mariadb")


@dataclass(frozen=True)
class Report:
    """What a run did to one table."""

    table: str
    run_id: str
    status: str
    counts: Counts
    resumed: bool


class Reencryption:
    """Re-encrypts the sealed columns of a target under the active key.

    Args:
        engine: a synchronous engine, bound to the keyring or given one here.
        target: a declarative base, MetaData, model, Table, or a list of them.
        keyring: bound to the engine first, if given.
        batch_size: rows per transaction.
        range_size: rows per range of the primary key.
        max_dead_letters: values that may fail to decrypt before the run stops.
        on_progress: called with a :class:`Progress` after every batch.

    Raises:
        ConfigurationError: the engine is asynchronous or of an unknown database.

    """

    def __init__(
        self,
        engine: Engine,
        target: Any,
        keyring: Keyring | None = None,
        batch_size: int = 1000,
        range_size: int = 50_000,
        max_dead_letters: int = 1000,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        given: object = engine
        if not isinstance(given, Engine) or engine.dialect.is_async:
            raise ConfigurationError(
                "Reencryption needs a synchronous engine; make one for the job, for "
                "example create_engine('postgresql+psycopg://...')"
            )
        if engine.dialect.name not in _DATABASES:
            raise ConfigurationError(
                f"re-encryption on {engine.dialect.name} is not supported yet"
            )
        refuse_translation(engine)
        if batch_size < 1 or range_size < 1:
            raise ConfigurationError("batch_size and range_size are 1 or more rows")
        if keyring is not None:
            bind_keyring(engine, keyring)
        # The engine's own isolation may be AUTOCOMMIT, or one that fails on conflicts.
        level = "SERIALIZABLE" if engine.dialect.name == "sqlite" else "READ COMMITTED"
        self._engine = engine.execution_options(isolation_level=level)
        self._tables = sealed_tables(target)
        self._batch_size = batch_size
        self._range_size = range_size
        self._max_dead_letters = max_dead_letters
        self._report = on_progress or (lambda _progress: None)

    def run(self) -> list[Report]:
        """Move every table, or go on where a killed run stopped.

        Raises:
            RunConflictError: another process works on one of the tables.
            TooManyDeadLettersError: more undecryptable values than allowed; the run
                stays open, and running again goes on with it.

        """
        create_tables(self._engine)
        return [self._move(sealed) for sealed in self._tables]

    def _move(self, sealed: SealedTable) -> Report:
        mover = Mover(self._engine, sealed, self._batch_size, self._range_size)
        resumed = mover.open()
        try:
            mover.passes(self._max_dead_letters, self._report)
        except BaseException as error:
            if isinstance(error, StatementError):
                # A row with one value that is not sealed is compared by all of them.
                hide_parameters(error)
            # If the database is gone too, the lease ends by itself.
            with suppress(SQLAlchemyError, ReencryptionError):
                mover.run.stop(type(error).__name__)
            raise
        progress = mover.progress(RunStatus.CAUGHT_UP)
        self._report(progress)
        return Report(
            sealed.name, mover.run.id, progress.status, progress.counts, resumed
        )
