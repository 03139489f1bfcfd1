"""Which new table is a former one under another name, by its sealed columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util.messaging import warn

from alembic_ext import state
from alembic_ext.declared import field_of
from alembic_ext.found import is_on, terms_of
from alembic_ext.renames import Former, advise
from alembic_ext.renametable import RenameSealedTableOp
from sqlalchemy_sealed import EncryptedType

__all__ = ["rename_tables"]


def rename_tables(
    upgrade: ops.UpgradeOps,
    tables: list[sa.Table],
    recorded: Mapping[str, Mapping[str, str]],
) -> list[RenameSealedTableOp]:
    """Write the renaming of a table instead of a new one and the loss of the former.

    Args:
        upgrade: everything that autogenerate has found.
        tables: of the model.
        recorded: by table, the declaration of each column that is known to be sealed.

    """
    pairs = _pairs(upgrade, tables, recorded)
    renames = []
    for dropped, table in pairs:
        former = _former(dropped, recorded)
        kinds = {
            one.name: one.pinned(type_)
            for one in former
            if (type_ := _sealed(table, one.name)) is not None
        }
        op = RenameSealedTableOp(dropped.table_name, table.name, kinds, table.schema)
        _replace(upgrade, dropped, table, op)
        renames.append(op)
    return renames


def _pairs(
    upgrade: ops.UpgradeOps,
    tables: list[sa.Table],
    recorded: Mapping[str, Mapping[str, str]],
) -> list[tuple[ops.DropTableOp, sa.Table]]:
    gone = [op for op in upgrade.ops if isinstance(op, ops.DropTableOp)]
    gone = [op for op in gone if _former(op, recorded)]
    created = [op for op in upgrade.ops if isinstance(op, ops.CreateTableOp)]
    new = [table for table in tables if any(is_on(op, table) for op in created)]
    sure = {
        (op.table_name, table.name)
        for op in gone
        for table in new
        if _is_named(_former(op, recorded), table) and op.schema == table.schema
    }
    pairs = []
    for op in gone:
        maybe = [table for table in new if (op.table_name, table.name) in sure]
        if not maybe:
            free = [t for t in new if t.name not in {name for _, name in sure}]
            maybe = _guess(op, gone, free, recorded)
        pairs += [(op, table) for table in maybe[:1]]
    return pairs


def _former(
    op: ops.DropTableOp, recorded: Mapping[str, Mapping[str, str]]
) -> list[Former]:
    known = recorded.get(state.place_of(op.table_name, op.schema), {})
    return [
        Former(name, field_of(declaration, op.table_name, name), declaration)
        for name, declaration in known.items()
        if declaration != state.ON_ITS_WAY
    ]


def _is_named(former: list[Former], table: sa.Table) -> bool:
    """Tell whether the model pins what the values are sealed for."""
    return all(
        (type_ := _sealed(table, one.name)) is not None
        and type_.pinned
        and type_.context == one.field
        for one in former
    )


def _sealed(table: sa.Table, name: str) -> EncryptedType[Any] | None:
    column = table.columns.get(name)
    kind = None if column is None else column.type
    return kind if isinstance(kind, EncryptedType) else None


def _guess(
    op: ops.DropTableOp,
    gone: list[ops.DropTableOp],
    new: list[sa.Table],
    recorded: Mapping[str, Mapping[str, str]],
) -> list[sa.Table]:
    """Return the table that another one became, if there is one only."""
    alike = [table for table in new if _is_alike(op, table, recorded)]
    if not alike:
        return []
    rivals = [one for one in gone if _is_alike(one, alike[0], recorded)]
    if len(alike) == 1 and len(rivals) == 1:
        for one in _former(op, recorded):
            later, former = alike[0].name, op.table_name
            advise(f"{later}.{one.name}", f"{former}.{one.name}", one.field)
        return alike
    names = " or ".join(table.name for table in alike)
    pins = ", ".join(
        f'{one.name}: context="{one.field}"' for one in _former(op, recorded)
    )
    warn(
        f"{op.table_name} has sealed columns and goes, with their values. If it was "
        f"renamed to {names}, throw the revision away, and write in the model what "
        f"the values are sealed for: {pins}"
    )
    return []


def _is_alike(
    op: ops.DropTableOp, table: sa.Table, recorded: Mapping[str, Mapping[str, str]]
) -> bool:
    if op.schema != table.schema:
        return False
    if {column.name for column in op.to_table().columns} != {
        column.name for column in table.columns
    }:
        return False
    for one in _former(op, recorded):
        type_ = _sealed(table, one.name)
        if type_ is None or not one.is_like(type_):
            return False
        if type_.pinned and type_.context != one.field:
            return False
    return True


# -- what Alembic has found ------------------------------------------------------


def _replace(
    upgrade: ops.UpgradeOps,
    dropped: ops.DropTableOp,
    table: sa.Table,
    rename: RenameSealedTableOp,
) -> None:
    at = next(
        at
        for at, op in enumerate(upgrade.ops)
        if isinstance(op, ops.CreateTableOp) and is_on(op, table)
    )
    own = {table.name, dropped.table_name}
    parts = [
        op
        for op in upgrade.ops
        if isinstance(op, ops.ModifyTableOps)
        and op.table_name in own
        and op.schema == table.schema
    ]
    indexes = _indexes([one for part in parts for one in part.ops], table, rename)
    upgrade.ops[at] = rename
    upgrade.ops = [op for op in upgrade.ops if op is not dropped and op not in parts]
    if indexes:
        modify = ops.ModifyTableOps(table.name, indexes, schema=table.schema)
        upgrade.ops.insert(upgrade.ops.index(rename) + 1, modify)
    for op in upgrade.ops:
        if isinstance(op, ops.ModifyTableOps):
            _keep_references(op, rename)


def _indexes(
    found: list[Any], table: sa.Table, rename: RenameSealedTableOp
) -> list[Any]:
    """Return what is left to do about indexes, on the table under its new name."""
    terms = {
        name for one, type_ in rename.columns.items() for name in terms_of(one, type_)
    }
    drops = {_looks(op.to_index()): op for op in found if _is(op, ops.DropIndexOp)}
    creates = {_looks(op.to_index()): op for op in found if _is(op, ops.CreateIndexOp)}
    left: list[Any] = [
        op for op in found if not _is(op, ops.DropIndexOp | ops.CreateIndexOp)
    ]
    for looks, op in (*drops.items(), *creates.items()):
        own = set(looks[1]) & terms
        if not own and not (looks in drops and looks in creates):
            left.append(op)
    for op in left:
        op.table_name = table.name
        if getattr(op, "_reverse", None) is not None:
            op._reverse.table_name = table.name  # noqa: SLF001 - it has no other way
    return left


def _is(op: Any, kind: Any) -> bool:
    return isinstance(op, kind)


def _looks(index: sa.Index) -> tuple[Any, tuple[str, ...], bool]:
    columns = tuple(str(getattr(c, "name", c)) for c in index.expressions)
    return index.name, columns, bool(index.unique)


def _keep_references(part: ops.ModifyTableOps, rename: RenameSealedTableOp) -> None:
    """Leave foreign keys alone that have followed the table."""
    for new in [op for op in part.ops if isinstance(op, ops.CreateForeignKeyOp)]:
        for old in [op for op in part.ops if isinstance(op, ops.DropConstraintOp)]:
            if _is_same_key(old, new, rename):
                part.ops.remove(new)
                part.ops.remove(old)
                break


def _is_same_key(
    old: ops.DropConstraintOp, new: ops.CreateForeignKeyOp, rename: RenameSealedTableOp
) -> bool:
    former = old._reverse  # noqa: SLF001 - as a constraint it looks for its table
    return (
        isinstance(former, ops.CreateForeignKeyOp)
        and former.referent_table == rename.table_name
        and new.referent_table == rename.new_table_name
        and [*former.local_cols] == [*new.local_cols]
        and new.constraint_name in {None, old.constraint_name}
    )
