"""What autogenerate notices: columns that became sealed, and the way back.

It comes last and looks at what Alembic has found: a changed type, a new column, nothing
at all where the storage is the same. What is sealed already is remembered by a table of
the database, since types do not tell, and an empty table has no rows to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import DispatchPriority, PriorityDispatchResult

from alembic_ext import state
from alembic_ext.changes import TableChanges
from alembic_ext.declared import pinned
from alembic_ext.fence import between_fences
from alembic_ext.found import is_on
from alembic_ext.record import ForgetSealedColumnOp, RecordSealedColumnOp
from alembic_ext.redeclared import stored_otherwise
from alembic_ext.rename import RenameSealedColumnOp
from alembic_ext.renametable import RenameSealedTableOp
from alembic_ext.render import render_item
from alembic_ext.storage import ChangeSealedStorageOp
from alembic_ext.table import fenced
from alembic_ext.tablerenames import rename_tables
from sqlalchemy_sealed import EncryptedType, FenceKind
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
    inspector = sa.inspect(connection)
    recorded = state.everything(connection)
    rename_tables(upgrade, context.sorted_tables, recorded)
    _forget_dropped(upgrade, recorded)
    for table in context.sorted_tables:
        if not inspector.has_table(table.name, schema=table.schema):
            _record_new(upgrade, table)
            continue
        known = recorded.get(state.place_of(table.name, table.schema), {})
        found = inspector.get_columns(table.name, schema=table.schema)
        stored = {column["name"]: column["type"] for column in found}
        looks = partial(_looks_sealed, connection, table)
        unique = inspector.get_unique_constraints(table.name, schema=table.schema)
        unnamed = [one["column_names"] for one in unique if one["name"] is None]
        TableChanges(upgrade, table, known, stored, looks, unnamed).apply()
    upgrade.ops = [one for op in upgrade.ops for one in _fenced(connection, op)]
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


def _forget_dropped(
    upgrade: ops.UpgradeOps, recorded: Mapping[str, Mapping[str, str]]
) -> None:
    for op in [op for op in upgrade.ops if isinstance(op, ops.DropTableOp)]:
        at = upgrade.ops.index(op)
        names = recorded.get(state.place_of(op.table_name, op.schema), {})
        upgrade.ops[at:at] = [
            ForgetSealedColumnOp(op.table_name, name, op.schema)
            for name, declaration in names.items()
            if declaration != state.ON_ITS_WAY
        ]


def _fenced(connection: sa.Connection, op: Any) -> list[ops.MigrateOperation]:
    """Return an operation with those that take fences down before, and up after it."""
    if isinstance(op, RenameSealedColumnOp):
        kinds = {op.column_name: op.type_}
        new = op.table_name, {op.column_name: op.new_column_name}
    elif isinstance(op, RenameSealedTableOp):
        kinds = op.columns
        new = op.new_table_name, {name: name for name in op.columns}
    elif isinstance(op, ChangeSealedStorageOp):
        kinds = {op.column_name: op.type_}
        new = op.table_name, {op.column_name: op.column_name}
    else:
        return [op]
    found = fenced(connection, op.table_name, op.schema)
    columns = {
        (op.table_name, name): (new[0], new[1][name])
        for name in kinds
        if found.get(name) == FenceKind.SHAPE.value
    }
    former = kinds
    if isinstance(op, ChangeSealedStorageOp):
        former = {name: stored_otherwise(one) for name, one in kinds.items()}
    return between_fences(op, columns, (former, kinds), op.schema)


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
