"""The end of a plaintext policy: a census that says zero, and a fence that keeps it.

A policy closes by its date, or here: once no value is left that is not sealed, the
database refuses to take another one, and the processes that look stop reading any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy_sealed.engine import root_engine
from sqlalchemy_sealed.errors import FenceError
from sqlalchemy_sealed.jobs.beside import synchronous
from sqlalchemy_sealed.jobs.fence import FenceKind, fence_in, fences_of
from sqlalchemy_sealed.jobs.standing import stands
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.targets import SealedColumn, SealedTable, sealed_tables

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["PlaintextState", "close_plaintext", "migrating_columns"]


@dataclass(frozen=True)
class PlaintextState:
    """What has become of the plaintext of one column.

    Attributes:
        is_closed: whether a fence keeps everything out that is not sealed; reading it
            is an error in this process from now on.
        reason: why it is still open, for people.

    """

    table: str
    column: str
    is_closed: bool
    reason: str = ""


def close_plaintext(
    engine: Engine | AsyncEngine, target: Any, fence: bool = True
) -> list[PlaintextState]:
    """Close the plaintext policy of every column that holds nothing but envelopes.

    It may be called again and again: when the application starts, or by a timer. A
    column whose fence is up is closed without being looked at.

    Args:
        engine: whose columns are read; an asynchronous one is looked at through the
            synchronous driver beside it.
        target: a declarative base, MetaData, model or Table, or several in a list.
        fence: put the fence up where the census says zero. Processes that still write
            plaintext fail from then on; with ``False`` only columns that are fenced
            already are closed.

    """
    closed = binding_of(root_engine(engine).dialect).plaintext.closed
    found = []
    contexts: dict[str, list[PlaintextState]] = {}
    with synchronous(engine) as lent:
        for sealed, column in migrating_columns(target):
            one = SealedTable(sealed.table, (column,))
            state = _close(lent, one, column, fence)
            contexts.setdefault(column.type.field().context, []).append(state)
            found.append(state)
    # Columns that share a context are closed together.
    for context, states in contexts.items():
        if all(state.is_closed for state in states):
            closed.add(context)
    return found


def migrating_columns(target: Any) -> list[tuple[SealedTable, SealedColumn]]:
    """Return the columns of a target that accept more than envelopes."""
    return [
        (sealed, column)
        for sealed in sealed_tables(target)
        for column in sealed.columns
        if column.type.legacy or column.type.policy
    ]


def _close(
    engine: Engine, sealed: SealedTable, column: SealedColumn, fence: bool
) -> PlaintextState:
    place = sealed.name, column.name
    for one in fences_of(engine, sealed.name):
        mine = one.column == column.name and one.kind is FenceKind.SHAPE
        if mine and one.validated and stands(engine, sealed.table, one.name):
            return PlaintextState(*place, is_closed=True)
    if not fence:
        return PlaintextState(*place, is_closed=False, reason="it is not fenced")
    try:
        fence_in(engine, sealed, FenceKind.SHAPE)
    except FenceError as error:
        return PlaintextState(*place, is_closed=False, reason=str(error))
    return PlaintextState(*place, is_closed=True)
