"""Writing objects: ``session.add_all`` of new objects, then ``session.flush``.

Baseline: the same model with plaintext ``String`` columns. The objects are made before
the clock starts, and the transaction is rolled back after it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contenders import Model, compare, values
from measure import Line
from setting import Setting
from sqlalchemy import Engine
from sqlalchemy.orm import Session

__all__ = ["run"]

_FLUSHED = 5_000
_GOALS = {10: "<= 2.0"}


def run(setting: Setting) -> list[Line]:
    """Return the ratios."""
    rows = min(setting.rows, _FLUSHED)
    return compare(setting, "flush", _flush, rows, _GOALS)


@contextmanager
def _flush(
    engine: Engine, model: Model, columns: int, rows: int
) -> Iterator[Callable[[], object]]:
    with Session(engine) as session:
        session.connection()
        objects = [model(**values(columns, row)) for row in range(rows)]

        def work() -> None:
            session.add_all(objects)
            session.flush()

        yield work
