"""Selecting columns without the ORM: ``select(table.c.col)``, fetched as tuples.

Baseline: the same columns with plaintext ``String``. There is next to nothing beside
the values here, so this is the largest ratio that an application can see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contenders import Model, compare
from measure import Line
from setting import Setting
from sqlalchemy import Engine, select

__all__ = ["run"]

_GOALS = {1: "<= 2.2"}


def run(setting: Setting) -> list[Line]:
    """Return the ratios."""
    return compare(setting, "core", _select, setting.loaded, _GOALS)


@contextmanager
def _select(
    engine: Engine, model: Model, columns: int, _rows: int
) -> Iterator[Callable[[], object]]:
    table: Any = model.__table__
    statement = select(*(table.c[f"c{n}"] for n in range(columns)))
    with engine.connect() as connection:
        yield lambda: connection.execute(statement).all()
