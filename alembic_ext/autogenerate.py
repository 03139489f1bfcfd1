"""What autogenerate notices: columns that became sealed, and the way back.

It comes last and looks at what Alembic has found: a changed type, a new column, nothing
at all where the storage is the same. What is sealed already is remembered by a table of
the database, since types do not tell, and an empty table has no rows to look at.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import DispatchPriority, PriorityDispatchResult

from alembic_ext import state
from alembic_ext.changes import TableChanges, is_on
from alembic_ext.declared import pinned
from alembic_ext.record import ForgetSealedColumnOp, RecordSealedColumnOp
from alembic_ext.render import render_item
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.envelope import SENTINEL, TEXT_PREFIX
from sqlalchemy_sealed.jobs.tables import dead_letters, fences, ranges, runs

__all__ = ["compare"]

#: Tables of ours, which no model declares.
_OWN: Final = frozenset(
    table.name for table in (state.sealed_columns, dead_letters, fences, ranges, runs)
)

_SENTINEL: Final = bytes((SENTINEL,))


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.LAST)
def compare(context: AutogenContext, upgrade: ops.UpgradeOps) -> PriorityDispatchResult:
    """Put operations of ours where Alembic's would store plaintext, or nothing."""
    _render_our_types(context)
    upgrade.ops = [op for op in upgrade.ops if not _is_own(op)]
    connection = context.connection
    if connection is None:
        return PriorityDispatchResult.CONTINUE
    _forget_dropped(connection, upgrade)
    inspector = sa.inspect(connection)
    for table in context.sorted_tables:
        if not inspector.has_table(table.name, schema=table.schema):
            _record_new(upgrade, table)
            continue
        known = state.recorded(connection, table.name, table.schema)
        found = inspector.get_columns(table.name, schema=table.schema)
        stored = {column["name"]: column["type"] for column in found}
        looks = partial(_looks_sealed, connection, table)
        TableChanges(upgrade, table, known, stored, looks).apply()
    return PriorityDispatchResult.CONTINUE


def _record_new(upgrade: ops.UpgradeOps, table: sa.Table) -> None:
    created = any(
        isinstance(op, ops.CreateTableOp) and is_on(op, table) for op in upgrade.ops
    )
    for column in table.columns if created else ():
        if isinstance(column.type, EncryptedType):
            kind = pinned(column.type, None)
            place = table.name, column.name, kind, table.schema
            upgrade.ops.append(RecordSealedColumnOp(*place))


def _forget_dropped(connection: sa.Connection, upgrade: ops.UpgradeOps) -> None:
    for op in [op for op in upgrade.ops if isinstance(op, ops.DropTableOp)]:
        for name in state.recorded(connection, op.table_name, op.schema):
            place = op.table_name, name, op.schema
            upgrade.ops.append(ForgetSealedColumnOp(*place))


def _looks_sealed(connection: sa.Connection, table: sa.Table, name: str) -> bool | None:
    """Look at one value of a column; tell nothing where there is none."""
    value: sa.ColumnClause[Any] = sa.column(name)
    place = sa.table(table.name, value, schema=table.schema)
    query = sa.select(value).select_from(place).where(value.is_not(None)).limit(1)
    found = connection.scalar(query)
    if found is None:
        return None
    # What begins as an envelope is none to be sealed again, even if it is damaged.
    if isinstance(found, str):
        return found.startswith(TEXT_PREFIX)
    return isinstance(found, bytes | memoryview) and bytes(found[:1]) == _SENTINEL


def _is_own(op: Any) -> bool:
    return getattr(op, "table_name", None) in _OWN


def _render_our_types(context: AutogenContext) -> None:
    users = context.opts.get("render_item")
    if getattr(users, "sealed", False):
        return

    def render(kind: str, item: Any, context: AutogenContext) -> str | bool:
        found: str | bool = users(kind, item, context) if users else False
        return found if found is not False else render_item(kind, item, context)

    render.sealed = True  # type: ignore[attr-defined]
    context.opts["render_item"] = render
