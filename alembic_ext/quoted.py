"""A statement whose names are quoted already."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import DDLElement

__all__ = ["Quoted"]


class Quoted(DDLElement):
    """A statement that is sent as it is: nothing in a name is a parameter.

    As text, a percent sign would be doubled once more, and a colon begin a parameter.

    Args:
        sql: the statement.

    """

    inherit_cache = False

    def __init__(self, sql: str) -> None:
        self.sql = sql


@compiles(Quoted)
def _as_it_is(element: Quoted, _compiler: Any, **_options: Any) -> str:
    return element.sql
