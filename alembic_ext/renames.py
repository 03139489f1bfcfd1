"""Which new sealed column is a former one under another name.

To Alembic a renamed column is one that came and one that went, and its values would go
with it. What they are sealed for tells: a model that pins ``context=`` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util.messaging import warn

from alembic_ext import state
from alembic_ext.columns import index_name
from alembic_ext.declared import field_of, from_json, is_like, pinned
from alembic_ext.found import Found, column_of
from alembic_ext.rename import RenameSealedColumnOp
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.indextype import IndexTermType

__all__ = ["Former", "advise", "renamed_columns"]

_SUFFIX = "_encrypted"


@dataclass(frozen=True)
class Former:
    """A sealed column that has left the model.

    Attributes:
        name: of the column.
        field: what its values are sealed for.
        declaration: what the state remembers; ``None`` if nothing, and values tell.

    """

    name: str
    field: str
    declaration: str | None

    def is_like(self, type_: EncryptedType[Any]) -> bool:
        """Tell whether a declaration is the same, but for the names."""
        return self.declaration is not None and is_like(self.declaration, type_)

    def pinned(self, type_: EncryptedType[Any]) -> EncryptedType[Any]:
        """Return its declaration around the type of the model, pinned to the field."""
        if self.declaration is None:
            return pinned(type_, self.field)
        return pinned(from_json(self.declaration, type_.inner), self.field)


def renamed_columns(
    table: sa.Table,
    recorded: Mapping[str, str],
    found: Found,
    looks_sealed: Callable[[str], bool | None],
) -> list[ops.MigrateOperation]:
    """Take what Alembic has found of renamed columns, and return what renames them.

    Args:
        table: of the model.
        recorded: declaration of each column that is known to be sealed.
        found: what Alembic has found for the table.
        looks_sealed: looks at a value of a column, if there is one.

    """
    former = list(_former(table, recorded, found, looks_sealed))
    added: dict[str, EncryptedType[Any]] = {
        column.name: column.type
        for column in table.columns
        if isinstance(column.type, EncryptedType)
        and found.find(ops.AddColumnOp, column.name) is not None
    }
    pairs = {
        one.name: new
        for one in former
        for new, type_ in added.items()
        if type_.pinned and type_.context == one.field
    }
    renames: list[ops.MigrateOperation] = []
    for one in former:
        new = pairs.get(one.name) or _guess(table.name, one, former, added, pairs)
        if new is not None:
            renames += _rename(table, one, new, added[new], found)
    return renames


def _former(
    table: sa.Table,
    recorded: Mapping[str, str],
    found: Found,
    looks_sealed: Callable[[str], bool | None],
) -> list[Former]:
    former = []
    for op in found.all(ops.DropColumnOp):
        name = str(column_of(op))
        declaration = recorded.get(name)
        if declaration == state.ON_ITS_WAY:
            continue
        if declaration is not None:
            field = field_of(declaration, table.name, name)
            former.append(Former(name, field, declaration))
            continue
        field = f"{table.name}.{name}"
        named = any(
            isinstance(c.type, EncryptedType)
            and c.type.pinned
            and c.type.context == field
            for c in table.columns
        )
        if named and looks_sealed(name):
            former.append(Former(name, field, None))
    return former


def _guess(
    table: str,
    one: Former,
    former: list[Former],
    added: Mapping[str, EncryptedType[Any]],
    pairs: Mapping[str, str],
) -> str | None:
    """Return the new name of a column that no context names, if there is one only."""
    free = {n: t for n, t in added.items() if n not in pairs.values() and not t.pinned}
    names = [name for name, type_ in free.items() if one.is_like(type_)]
    if not names:
        return None
    rivals = [
        other.name
        for other in former
        if other.name not in pairs and other.is_like(free[names[0]])
    ]
    if len(names) == 1 and len(rivals) == 1:
        advise(f"{table}.{names[0]}", f"{table}.{one.name}", one.field)
        return names[0]
    warn(
        f"{table}.{one.name} is sealed and goes, with its values. If it was renamed to "
        f"{' or '.join(names)}, throw the revision away, and write in the model what "
        f'the values are sealed for: context="{one.field}"'
    )
    return None


def advise(new: str, old: str, field: str) -> None:
    """Say what the model has to declare now."""
    warn(
        f"{new} seems to be {old} under another name, and is renamed. Its values are "
        f"sealed for {field} and open only as that. Write in the model: "
        f'context="{field}". If it is another column, edit the revision'
    )


def _rename(
    table: sa.Table, one: Former, new: str, type_: EncryptedType[Any], found: Found
) -> list[ops.MigrateOperation]:
    kind = one.pinned(type_)
    found.take(ops.AddColumnOp, new)
    found.take(ops.DropColumnOp, one.name)
    terms = _terms_beside(one.name, new, found)
    schema = table.schema
    op = RenameSealedColumnOp(table.name, one.name, new, kind, terms, schema)
    for former, later in op.term_names().items():
        found.take(ops.DropColumnOp, former)
        found.take(ops.AddColumnOp, later)
    drops = _indexes(op, found)
    first = [ops.ModifyTableOps(table.name, drops, schema=schema)] if drops else []
    return [*first, op]


def _indexes(op: RenameSealedColumnOp, found: Found) -> list[ops.MigrateOperation]:
    """Take the indexes that come along; return what drops the others, of its names."""
    drops: list[ops.MigrateOperation] = []
    for former, later in op.term_names().items():
        names = index_name(op.table_name, former), index_name(op.table_name, later)
        own = False
        for one in found.all(ops.DropIndexOp):
            if former in one.to_index().columns:
                found.remove(one)
                own = own or one.index_name == names[0]
                drops += [] if one.index_name == names[0] else [one]
        for new in found.all(ops.CreateIndexOp):
            if own and new.index_name == names[1]:
                found.remove(new)
    return drops


def _terms_beside(old: str, new: str, found: Found) -> dict[str, str]:
    """Return columns of terms of ``encrypted()``: its column does not name them."""
    before, after = old.removesuffix(_SUFFIX), new.removesuffix(_SUFFIX)
    terms = {}
    for op in found.all(ops.AddColumnOp):
        name = str(op.column.name)
        if isinstance(op.column.type, IndexTermType) and name.startswith(after):
            former = before + name.removeprefix(after)
            if found.find(ops.DropColumnOp, former) is not None:
                terms[former] = name
    return terms
