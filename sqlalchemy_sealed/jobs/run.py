"""The run: its row, its ranges and who works on them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from sqlalchemy_sealed.errors import (
    LeaseLostError,
    RunConflictError,
    TooManyDeadLettersError,
)
from sqlalchemy_sealed.jobs.deadletters import DeadLetters
from sqlalchemy_sealed.jobs.lease import LEASE_SECONDS, Lease
from sqlalchemy_sealed.jobs.owner import is_gone, new_owner
from sqlalchemy_sealed.jobs.plan import PlannedRange
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_from_text, key_to_text
from sqlalchemy_sealed.jobs.status import RunStatus, check_transition
from sqlalchemy_sealed.jobs.tables import (
    clock,
    database_time,
    ranges,
    runs,
)

__all__ = ["Run"]

_KIND: Final = "reencrypt"


class Run:
    """One run over one table, as its row in the database says."""

    def __init__(self, engine: Engine, table: str, columns: list[str]) -> None:
        self._engine = engine
        self.table = table
        self._columns = ",".join(columns)
        self.id = ""
        self.sweep = 0
        #: Whether the run stopped because too many values could not be decrypted.
        self.had_too_many = False
        self._lease_end = text(f"{clock(engine.dialect)} + {LEASE_SECONDS}")
        self.owner = new_owner()

    # -- starting ----------------------------------------------------------------

    def resume(self, target: str) -> bool:
        """Go on with the open run of this table; tell whether there was one.

        A run whose target is no longer the active key is closed first.

        Raises:
            RunConflictError: another process works on the table at this moment.

        """
        with self._engine.begin() as connection:
            found = connection.execute(
                select(runs).where(runs.c.open_key == self._open_key)
            ).first()
            if found is None:
                return False
            now = database_time(connection)
            self._refuse_if_busy(connection, found, now)
            old = RunStatus(found.status)
            self._take(connection, found, now)
            if found.target != target or found.column_names != self._columns:
                self._change(connection, found.id, old, RunStatus.SUPERSEDED)
                # A worker of the old run that wakes up finds its token outdated.
                connection.execute(
                    update(ranges)
                    .where(ranges.c.run_id == found.id)
                    .values(
                        lease_token=ranges.c.lease_token + 1, done=1, lease_until=None
                    )
                )
                return False
            self._change(connection, found.id, old, RunStatus.RUNNING)
            self.id, self.sweep = found.id, found.sweep
            self.had_too_many = found.last_error == TooManyDeadLettersError.__name__
            return True

    def _take(self, connection: Connection, found: Row[Any], now: float) -> None:
        # Two processes may read the same row; one of them gets it.
        taken = connection.execute(
            update(runs)
            .where(runs.c.id == found.id, runs.c.owner == found.owner)
            .values(owner=self.owner, opened_at=now)
        )
        if taken.rowcount != 1:
            raise self._busy("another process", LEASE_SECONDS)

    def start(self, target: str, planned: list[PlannedRange]) -> None:
        """Write a new run and its ranges, in one transaction.

        Raises:
            RunConflictError: another process started one in the same moment.

        """
        self.id, self.sweep = str(uuid.uuid4()), 0
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    insert(runs).values(
                        id=self.id,
                        kind=_KIND,
                        table_name=self.table,
                        column_names=self._columns,
                        target=target,
                        status=RunStatus.RUNNING.value,
                        open_key=self._open_key,
                        sweep=0,
                        owner=self.owner,
                        opened_at=database_time(connection),
                        started_at=database_time(connection),
                    )
                )
                self._insert_ranges(connection, planned)
        except IntegrityError:
            conflict = True
        else:
            conflict = False
        if conflict:
            raise RunConflictError(
                f"{self.table}: another process has just started a run on this table; "
                "wait for it, or watch it with `sealed status`"
            )

    def next_sweep(self, planned: list[PlannedRange]) -> None:
        """Begin another pass over the table."""
        with self._engine.begin() as connection:
            self._update(connection, self.id, sweep=self.sweep + 1, last_error=None)
            # What still cannot be decrypted is found, and listed, again.
            self.dead.clear(connection)
            self.sweep += 1
            self._insert_ranges(connection, planned)

    @property
    def dead(self) -> DeadLetters:
        """The values of this run that could not be decrypted."""
        return DeadLetters(self.id, self.table)

    @property
    def _open_key(self) -> str:
        return f"{_KIND} {self.table}"

    def _insert_ranges(
        self, connection: Connection, planned: list[PlannedRange]
    ) -> None:
        zero = dict.fromkeys(Counts.__dataclass_fields__, 0)
        connection.execute(
            insert(ranges),
            [
                {
                    "id": str(uuid.uuid4()),
                    "run_id": self.id,
                    "sweep": self.sweep,
                    "position": position,
                    "low": part.low,
                    "high": part.high,
                    "rows": part.rows,
                    "done": 0,
                    "lease_token": 0,
                    **zero,
                }
                for position, part in enumerate(planned)
            ],
        )

    def _refuse_if_busy(
        self, connection: Connection, found: Row[Any], now: float
    ) -> None:
        leases = connection.execute(
            select(ranges.c.lease_owner, ranges.c.lease_until).where(
                ranges.c.run_id == found.id,
                ranges.c.done == 0,
                ranges.c.lease_until > now,
            )
        ).all()
        holders = [(lease.lease_owner, lease.lease_until) for lease in leases]
        if found.status == RunStatus.RUNNING.value:
            holders.append((found.owner, found.opened_at + LEASE_SECONDS))
        for owner, until in holders:
            if until > now and not is_gone(owner):
                raise self._busy(owner, until - now)

    def _busy(self, owner: str, seconds: float) -> RunConflictError:
        return RunConflictError(
            f"{self.table}: a run is at work on this table (by {owner}). Wait for it; "
            f"if that process is gone, run again in {max(1, round(seconds))} s, when "
            "its lease ends"
        )

    # -- working -----------------------------------------------------------------

    def claim(self) -> Lease | None:
        """Take the next range that nobody works on, or ``None`` when all are done."""
        with self._engine.begin() as connection:
            now = database_time(connection)
            open_ranges = (
                select(ranges)
                .where(
                    ranges.c.run_id == self.id,
                    ranges.c.sweep == self.sweep,
                    ranges.c.done == 0,
                )
                .order_by(ranges.c.position)
            )
            for found in connection.execute(open_ranges).all():
                held = found.lease_until is not None and found.lease_until > now
                if held and not is_gone(found.lease_owner):
                    continue
                token = found.lease_token + 1
                taken = connection.execute(
                    update(ranges)
                    .where(
                        ranges.c.id == found.id,
                        ranges.c.lease_token == found.lease_token,
                    )
                    .values(
                        lease_owner=self.owner,
                        lease_token=token,
                        lease_until=now + LEASE_SECONDS,
                    )
                )
                if taken.rowcount == 1:
                    start = found.cursor or found.low
                    return Lease(
                        self.table, found.id, token, _key(start), _key(found.high)
                    )
        return None

    def advance(
        self, connection: Connection, lease: Lease, cursor: RowKey, counts: Counts
    ) -> None:
        """Move the cursor and the counts in the transaction of the rows.

        Raises:
            LeaseLostError: another worker has taken the range; roll back.

        """
        moved = connection.execute(
            update(ranges)
            .where(ranges.c.id == lease.range_id, ranges.c.lease_token == lease.token)
            .values(
                cursor=key_to_text(cursor),
                lease_until=self._lease_end,
                **_added(counts),
            )
        )
        if moved.rowcount != 1:
            raise lease.lost()

    def finish_range(self, lease: Lease) -> None:
        """Mark a range as done and give it back."""
        with self._engine.begin() as connection:
            connection.execute(
                update(ranges)
                .where(
                    ranges.c.id == lease.range_id, ranges.c.lease_token == lease.token
                )
                .values(done=1, lease_until=None)
            )

    # -- ending ------------------------------------------------------------------

    def finish(self) -> None:
        """Close the run: everything is under the active key, or listed as dead."""
        with self._engine.begin() as connection:
            self._change(connection, self.id, RunStatus.RUNNING, RunStatus.CAUGHT_UP)

    def stop(self, reason: str) -> None:
        """Leave the run open for the next attempt and give its ranges back."""
        with self._engine.begin() as connection:
            connection.execute(
                update(ranges)
                .where(ranges.c.run_id == self.id, ranges.c.lease_owner == self.owner)
                .values(lease_until=None)
            )
            self._update(connection, self.id, last_error=reason)
            self._change(connection, self.id, RunStatus.RUNNING, RunStatus.STOPPED)

    def _change(
        self, connection: Connection, run_id: str, old: RunStatus, new: RunStatus
    ) -> None:
        check_transition(old, new)
        self._update(
            connection,
            run_id,
            status=new.value,
            open_key=self._open_key if new.open else None,
            finished_at=None if new.open else database_time(connection),
        )

    def _update(self, connection: Connection, run_id: str, **values: Any) -> None:
        # Only the process that opened the run last may change its row.
        changed = connection.execute(
            update(runs)
            .where(runs.c.id == run_id, runs.c.owner == self.owner)
            .values(values)
        )
        if changed.rowcount != 1:
            raise LeaseLostError(
                f"{self.table}: another process has taken over this run"
            )

    # -- reading -----------------------------------------------------------------

    def counts(self) -> tuple[Counts, int, int]:
        """Return all counts, the rows of this pass, and how many are still ahead."""
        names = list(Counts.__dataclass_fields__)
        here = ranges.c.sweep == self.sweep
        ahead = ranges.c.rows - ranges.c.scanned
        with self._engine.connect() as connection:
            sums = connection.execute(
                select(*(func.sum(ranges.c[name]) for name in names)).where(
                    ranges.c.run_id == self.id
                )
            ).one()
            total, left = connection.execute(
                select(func.sum(ranges.c.rows), func.sum(ahead)).where(
                    ranges.c.run_id == self.id, here
                )
            ).one()
            dead = self.dead.count(connection)
        counts = Counts(*(int(n or 0) for n in sums))
        return replace(counts, dead=dead), int(total or 0), int(left or 0)


def _key(text: str | None) -> RowKey | None:
    return None if text is None else key_from_text(text)


def _added(counts: Counts) -> dict[str, Any]:
    return {
        name: ranges.c[name] + getattr(counts, name)
        for name in Counts.__dataclass_fields__
    }
