"""Trying dead letters again: a key came back, or a value was repaired."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.refusal import showing
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_from_text
from sqlalchemy_sealed.jobs.tables import create_tables, runs

if TYPE_CHECKING:
    from sqlalchemy_sealed.jobs.mover import Mover

__all__ = ["retry_dead"]

_CHUNK: Final = 200


def retry_dead(mover: Mover) -> Counts | None:
    """Move the listed rows of a table's last run of this kind, if there are any.

    What can be moved now is taken off the list; the rest stays on it.

    Raises:
        PreflightError: legacy values still do not open, more than allowed for, and
            nothing authenticates those that do.

    """
    engine, run = mover.engine, mover.run
    create_tables(engine)
    with engine.connect() as connection:
        found = connection.execute(
            select(runs.c.id)
            .where(
                runs.c.table_name == run.table,
                runs.c.kind == run.identity.kind.value,
            )
            .order_by(runs.c.started_at.desc())
            .limit(1)
        ).scalar_one_or_none()
    if found is None:
        return None
    run.id = found
    keys = [key_from_text(key) for key in sorted(run.dead.keys(engine))]
    mover.try_rows(keys)
    total = Counts()
    for start in range(0, len(keys), _CHUNK):
        turn = partial(_retry, mover, keys[start : start + _CHUNK])
        total += showing(run.table, turn)
    return total


def _retry(mover: Mover, keys: Sequence[RowKey]) -> Counts:
    rows, dead = mover.rows, mover.run.dead
    with mover.engine.connect() as reader, mover.engine.connect() as writer:
        batch = rows.batch_of(rows.read_keys(reader, keys))

        def record(connection: object, *_: object) -> None:
            del connection
            dead.remove(writer, keys)
            dead.add(writer, batch.dead)

        return rows.prepare_batch(batch, record).submit(writer).result()
