"""The ranges of a run and who works on them: leases by the database's clock."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    TextClause,
    Update,
    and_,
    bindparam,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from sqlalchemy_sealed.jobs.lease import LEASE_SECONDS, Lease
from sqlalchemy_sealed.jobs.owner import is_gone
from sqlalchemy_sealed.jobs.plan import PlannedRange
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_from_text, key_to_text
from sqlalchemy_sealed.jobs.status import RunStatus
from sqlalchemy_sealed.jobs.tables import clock, database_time, ranges, runs

__all__ = ["Ranges"]

_COUNTS = tuple(Counts.__dataclass_fields__)


class Ranges:
    """The ranges of one run."""

    def __init__(self, engine: Engine, run_id: str, table: str) -> None:
        self._engine = engine
        self.run_id = run_id
        self._table = table
        self._mine = ranges.c.run_id == run_id
        self._advance = self._advance_statement(clock(engine.dialect))

    def add(
        self, connection: Connection, sweep: int, planned: Sequence[PlannedRange]
    ) -> None:
        """Write the ranges of a pass."""
        zero = dict.fromkeys(_COUNTS, 0)
        connection.execute(
            insert(ranges),
            [
                {
                    "id": str(uuid.uuid4()),
                    "run_id": self.run_id,
                    "sweep": sweep,
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

    def claim(self, sweep: int, owner: str) -> Lease | None:
        """Take the next range that nobody works on, or ``None`` if there is none."""
        with self._engine.begin() as connection:
            now = database_time(connection)
            open_ranges = (
                select(ranges)
                .where(self._mine, ranges.c.sweep == sweep, ranges.c.done == 0)
                .order_by(ranges.c.position)
                # More than there are workers.
                .limit(100)
            )
            for found in connection.execute(open_ranges).all():
                held = found.lease_until is not None and found.lease_until > now
                if held and not is_gone(found.lease_owner):
                    continue
                taken = connection.execute(
                    update(ranges)
                    .where(
                        ranges.c.id == found.id,
                        ranges.c.lease_token == found.lease_token,
                        ranges.c.done == 0,
                    )
                    .values(
                        lease_owner=owner,
                        lease_token=found.lease_token + 1,
                        lease_until=now + LEASE_SECONDS,
                    )
                )
                if taken.rowcount == 1:
                    start = found.cursor or found.low
                    return Lease(
                        self._table,
                        self.run_id,
                        found.id,
                        found.lease_token + 1,
                        _key(start),
                        _key(found.high),
                    )
        return None

    def advance(
        self, connection: Connection, lease: Lease, cursor: RowKey, counts: Counts
    ) -> None:
        """Move the cursor and the counts in the transaction of the rows.

        Raises:
            LeaseLostError: another worker has taken the range, or the run is not
                running any more; roll back.

        """
        moved = connection.execute(
            self._advance,
            {
                "range_id": lease.range_id,
                "token": lease.token,
                "reached": key_to_text(cursor),
                **{f"added_{name}": getattr(counts, name) for name in _COUNTS},
            },
        )
        if moved.rowcount != 1:
            raise lease.lost()

    def _advance_statement(self, now: TextClause) -> Update:
        # Built once: a batch of SQLite takes less time than building its expressions.
        running = (
            select(runs.c.id)
            .where(runs.c.id == self.run_id, runs.c.status == RunStatus.RUNNING.value)
            .exists()
        )
        changed: dict[str, Any] = {
            name: ranges.c[name] + bindparam(f"added_{name}") for name in _COUNTS
        }
        return (
            update(ranges)
            .where(_held(bindparam("range_id"), bindparam("token")), running)
            .values(
                cursor=bindparam("reached"),
                lease_until=text(f"{now} + {LEASE_SECONDS}"),
                **changed,
            )
        )

    def finish(self, lease: Lease) -> None:
        """Mark a range as done and give it back."""
        self._write(_held(lease.range_id, lease.token), done=1, lease_until=None)

    def release(self, owner: str) -> None:
        """Give back what a worker holds, for another one to go on with."""
        held = self._mine & (ranges.c.lease_owner == owner)
        self._write(held, lease_until=None)

    def _write(self, where: ColumnElement[bool], **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(ranges).where(where).values(values))

    def close(self, connection: Connection) -> None:
        """End all of them: whoever still holds one has an outdated token."""
        connection.execute(
            update(ranges)
            .where(self._mine)
            .values(lease_token=ranges.c.lease_token + 1, done=1, lease_until=None)
        )

    def is_done(self, sweep: int) -> bool:
        """Tell whether every range of a pass is done."""
        return not self._any(sweep, ranges.c.done == 0)

    def changed(self, sweep: int) -> bool:
        """Tell whether a pass has moved a row, or met one that was changing."""
        return self._any(sweep, (ranges.c.moved > 0) | (ranges.c.conflicts > 0))

    def moved(self, sweep: int) -> bool:
        """Tell whether a pass has moved a row."""
        return self._any(sweep, ranges.c.moved > 0)

    def _any(self, sweep: int, condition: ColumnElement[bool]) -> bool:
        found = select(ranges.c.id).where(
            self._mine, ranges.c.sweep == sweep, condition
        )
        with self._engine.connect() as connection:
            return connection.execute(found.limit(1)).first() is not None

    def workers(self) -> list[str]:
        """Return the names of the workers that hold a range at this moment."""
        with self._engine.connect() as connection:
            now = database_time(connection)
            owners = connection.scalars(
                select(ranges.c.lease_owner)
                .where(self._mine, ranges.c.done == 0, ranges.c.lease_until > now)
                .distinct()
            )
            return sorted(owner for owner in owners if not is_gone(owner))


def _held(range_id: Any, token: Any) -> ColumnElement[bool]:
    return and_(ranges.c.id == range_id, ranges.c.lease_token == token)


def _key(text: str | None) -> RowKey | None:
    return None if text is None else key_from_text(text)
