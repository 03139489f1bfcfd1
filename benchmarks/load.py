"""Loading objects: ``session.scalars(select(Model)).all()`` in a fresh session.

Baseline: the same model with plaintext ``String`` columns. Beside it the same model
with the ``StringEncryptedType`` of SQLAlchemy-Utils and each of its three engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contenders import Model, compare
from measure import Line
from setting import Setting
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

__all__ = ["run"]

_GOALS = {1: "<= 1.3", 10: "<= 2.3"}


def run(setting: Setting) -> list[Line]:
    """Return the ratios."""
    return compare(setting, "load", _load, setting.loaded, _GOALS)


@contextmanager
def _load(
    engine: Engine, model: Model, _columns: int, _rows: int
) -> Iterator[Callable[[], object]]:
    with Session(engine) as session:
        yield lambda: session.scalars(select(model)).all()
