"""Migration when the application starts: plaintext is sealed once there is a key."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Table, and_, literal, select
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.sql.elements import ColumnClause

from sqlalchemy_sealed.closing import (
    PlaintextState,
    close_plaintext,
    migrating_columns,
)
from sqlalchemy_sealed.engine import protect, root_engine
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    PlaintextWarning,
    RunInterruptedError,
    SealedError,
)
from sqlalchemy_sealed.jobs.beside import synchronous
from sqlalchemy_sealed.jobs.job import Report
from sqlalchemy_sealed.jobs.kinds.reencrypt import sealed_slot
from sqlalchemy_sealed.jobs.literal import begins_sealed
from sqlalchemy_sealed.jobs.migration import Migration
from sqlalchemy_sealed.jobs.pace import Pace
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.targets import SealedColumn

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AutoMigration", "auto_migrate"]

_LOG: Final = logging.getLogger("sqlalchemy_sealed.migration")


class AutoMigration:
    """A migration that was begun at the start of an application.

    Attributes:
        reports: what was done to each table; empty where nothing was left, or while it
            is not over.
        error: why it ended early, if it did. Nothing was lost: it goes on at the next
            start.

    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        target: Any,
        fence: bool,
        max_dead_letters: int | None = None,
    ) -> None:
        self.reports: list[Report] = []
        self.error: Exception | None = None
        self._engine = engine
        self._target = target
        self._fence = fence
        self._max_dead_letters = max_dead_letters
        self._job: Migration | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether it is at work in the background."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over; tell whether it is.

        Args:
            timeout: seconds to wait at most.

        """
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.is_running

    def stop(self) -> None:
        """Ask it to finish its batch and end; the next start goes on with it."""
        self._stopped = True
        if self._job is not None:
            self._job.stop()

    def run(self, pace: Pace | None) -> None:
        """Seal what is left, in this thread."""
        with synchronous(self._engine) as engine:
            states = close_plaintext(self._engine, self._target, fence=False)
            tables = _unfinished(engine, self._target, states)
            if tables and not self._stopped:
                allowed = self._max_dead_letters
                self._job = Migration(
                    engine, tables, pace=pace, max_dead_letters=allowed
                )
                if self._stopped:
                    self._job.stop()
                self.reports = self._job.run()
        if tables or self._fence:
            close_plaintext(self._engine, self._target, self._fence)

    def start(self, pace: Pace | None) -> None:
        """Seal what is left, in a thread that ends with the process."""
        self._thread = threading.Thread(
            target=self._quietly, args=(pace,), daemon=True, name="sealed-migration"
        )
        self._thread.start()

    def _quietly(self, pace: Pace | None) -> None:
        try:
            self.run(pace)
        except RunInterruptedError as error:
            self.error = error
        except SealedError as error:
            self.error = error
            _LOG.error("the migration has ended early: %s", error)
        except Exception as error:  # noqa: BLE001 - as above
            self.error = error
            _LOG.error("the migration has ended early: %s", type(error).__name__)
        for report in self.reports:
            _LOG.info("%s: %d values sealed", report.table, report.counts.moved)


def auto_migrate(
    engine: Engine | AsyncEngine,
    target: Any,
    *,
    background: bool = False,
    fence: bool = False,
    pace: Pace | None = None,
    max_dead_letters: int | None = None,
) -> AutoMigration:
    """Seal the plaintext and legacy values of a target, when an application starts.

    With a keyring, what ``legacy=``, ``plaintext=`` and ``optional=True`` columns still
    hold is sealed where it is. Any number of processes may start together: they share
    one run. Without a keyring nothing is moved, and a warning names the columns that
    store plaintext.

    Args:
        engine: of the application; an asynchronous one is migrated through the
            synchronous driver beside it.
        target: a declarative base, MetaData, model or Table, or several in a list.
        background: return at once, and seal in a thread.
        fence: when everything is sealed, have the database refuse anything else, and
            reading it become an error. Only where no process without keys, and none
            of a former release, writes to the table any more.
        pace: how fast; the default suits a live application.
        max_dead_letters: values that may fail, as for :class:`Migration`.

    Returns:
        What was done, or is being done.

    Raises:
        ConfigurationError: no column of the target declares any of the three.
        ReencryptionError: values could not be moved (not with ``background``).

    """
    columns = migrating_columns(target)
    if not columns:
        raise ConfigurationError(
            "no column of the target declares legacy=, plaintext= or optional=True: "
            "there is nothing to migrate"
        )
    migration = AutoMigration(engine, target, fence, max_dead_letters)
    if not binding_of(root_engine(engine).dialect).has_keys:
        names = ", ".join(f"{sealed.name}.{column.name}" for sealed, column in columns)
        # Plaintext is bound from now on: errors of other columns must not print it.
        protect(root_engine(engine))
        warnings.warn(
            f"no keyring is bound to the engine: {names} stay as they are, and what "
            "is optional is stored as plaintext. Set SEALED_KEYS and call "
            "bind_keyring() before auto_migrate()",
            PlaintextWarning,
            stacklevel=2,
        )
    elif background:
        migration.start(pace)
    else:
        migration.run(pace)
    return migration


def _unfinished(
    engine: Engine, target: Any, states: Sequence[PlaintextState]
) -> list[Table]:
    """Return the tables that still hold something that is not sealed.

    Columns that are fenced hold nothing; others are looked at, which finds the first
    such row at once, and reads the table once where there is none.
    """
    open_ = {(one.table, one.column) for one in states if not one.is_closed}
    found: dict[str, Table] = {}
    with engine.connect() as connection:
        for sealed, column in migrating_columns(target):
            place = sealed.name, column.name
            if place in open_ and _holds_unsealed(connection, column):
                found[sealed.name] = sealed.table
    return list(found.values())


def _holds_unsealed(connection: Connection, column: SealedColumn) -> bool:
    dialect = connection.dialect
    # Without our type: the value itself is looked at.
    value: ColumnClause[Any] = sql_column(column.name)
    table = sql_table(
        column.column.table.name, value, schema=column.column.table.schema
    )
    stored = sealed_slot(column, is_written=False).bytewise(value, dialect)
    left = and_(value.is_not(None), ~begins_sealed(stored, column.is_text, dialect))
    one = select(literal(1)).select_from(table).where(left).limit(1)
    return connection.execute(one).first() is not None
