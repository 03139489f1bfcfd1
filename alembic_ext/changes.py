"""The changes of one table as Alembic found them, with sealed columns understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util.messaging import warn

from alembic_ext import state
from alembic_ext.blindindex import CreateBlindIndexOp, DropBlindIndexOp
from alembic_ext.declared import from_json, pinned
from alembic_ext.decrypt import DecryptColumnOp
from alembic_ext.encrypt import EncryptColumnOp
from alembic_ext.record import ForgetSealedColumnOp, RecordSealedColumnOp
from sqlalchemy_sealed import EncryptedType

__all__ = ["TableChanges", "is_on"]

_SUFFIX: Final = "_encrypted"
_Op = TypeVar("_Op")


class TableChanges:
    """The operations on one table, to be rewritten.

    Args:
        upgrade: everything that autogenerate has found.
        table: of the model.
        recorded: declaration of each column that is known to be sealed.
        stored: type of each column in the database.
        looks_sealed: looks at a value of a column, if there is one.

    """

    def __init__(
        self,
        upgrade: ops.UpgradeOps,
        table: sa.Table,
        recorded: Mapping[str, str],
        stored: Mapping[str, Any],
        looks_sealed: Callable[[str], bool | None],
    ) -> None:
        self._upgrade = upgrade
        self._table = table
        self._recorded = recorded
        self._stored = stored
        self._looks_sealed = looks_sealed
        self._columns = {column.name: column for column in table.columns}
        #: What Alembic has found for this table.
        self._found: list[Any] = []
        self._at = len(upgrade.ops)
        for at, op in enumerate(upgrade.ops):
            if isinstance(op, ops.ModifyTableOps) and is_on(op, table):
                self._found, self._at = [*op.ops], at
        self._ours: list[ops.MigrateOperation] = []
        self._changed = False

    def apply(self) -> None:
        """Replace what would store plaintext, or lose it."""
        for column in self._table.columns:
            if isinstance(column.type, EncryptedType):
                self._sealed(column, column.type)
        for name, declaration in self._recorded.items():
            if declaration != state.ON_ITS_WAY:
                self._recorded_before(name, declaration)
        if not self._ours and not self._changed:
            return
        # What is added comes before what fills it, what is dropped after.
        drops = [op for op in self._found if _is_drop(op)]
        others = [op for op in self._found if not _is_drop(op)]
        new = [*self._modify(others), *self._ours, *self._modify(drops)]
        self._upgrade.ops[self._at : self._at + 1] = new

    def _modify(self, found: Sequence[Any]) -> list[ops.MigrateOperation]:
        place = self._table.name, found
        return [ops.ModifyTableOps(*place, schema=self._table.schema)] if found else []

    # -- columns that are sealed in the model ------------------------------------

    def _sealed(self, column: sa.Column[Any], type_: EncryptedType[Any]) -> None:
        name, schema = column.name, self._table.schema
        if name in self._recorded:
            self._declared_anew(name, type_)
        added = self._find(ops.AddColumnOp, name)
        plain = name.removesuffix(_SUFFIX)
        fills = added is not None and plain != name and plain in self._stored
        if not fills and (added or not self._is_plain(name, type_)):
            if added is not None:
                declared = pinned(type_, None)
                args = self._table.name, name, declared, schema
                self._ours.append(RecordSealedColumnOp(*args))
            elif self._take_terms(name, type_):
                declared = pinned(type_, None)
                args = self._table.name, name, declared, schema
                self._ours.append(CreateBlindIndexOp(*args))
            return
        if type_.row_bound or type_.tenant_scoped:
            warn(
                f"{self._table.name}.{name} is bound to its row or tenant: only the "
                "model knows how. Fill it with: sealed encrypt MODULE:MODEL --column "
                f"{plain}={name}"
            )
            return
        self._take_terms(name, type_)
        declared = pinned(type_, None)
        if not fills:
            self._take_type(name)
            place = self._table.name, name, declared, None, schema
            self._ours.append(EncryptColumnOp(*place, legacy=type_.legacy))
            return
        self._found.remove(added)
        dropped = self._take(ops.DropColumnOp, plain) is not None
        nullable = bool(column.nullable)
        whole = self._table.name, plain, declared, name, schema, dropped, nullable
        self._ours.append(EncryptColumnOp(*whole, legacy=type_.legacy))

    def _declared_anew(self, name: str, type_: EncryptedType[Any]) -> None:
        # From one declaration to another there is no ALTER.
        self._take_type(name)
        former = from_json(self._recorded[name], type_.inner)
        if former.storage != type_.storage:
            warn(
                f"{self._table.name}.{name} is stored as {former.storage} and declared "
                f"as {type_.storage}: no operation changes that. Declare another "
                "column, and move the values: op.decrypt_column, op.encrypt_column"
            )

    def _is_plain(self, name: str, type_: EncryptedType[Any]) -> bool:
        if name in self._recorded or name not in self._stored:
            return False
        # The application may have created the table before these operations were there:
        # then a value tells; without one, the type does, where it can.
        looks = self._looks_sealed(name)
        if looks is not None:
            return not looks
        if type_.storage == "text" or type_.legacy:
            return True
        return _python_type(self._stored[name]) is not bytes

    # -- columns that were sealed ------------------------------------------------

    def _recorded_before(self, name: str, declaration: str) -> None:
        column, schema = self._columns.get(name), self._table.schema
        if column is not None and isinstance(column.type, EncryptedType):
            former = from_json(declaration, column.type.inner)
            if (
                former.index
                and not column.type.index
                and self._drop_terms(name, former)
            ):
                args = self._table.name, name, former, schema
                self._ours.append(DropBlindIndexOp(*args))
            return
        plain = name if column is not None else name.removesuffix(_SUFFIX)
        target = self._columns.get(plain)
        if target is None:
            if self._find(ops.DropColumnOp, name) is not None:
                # The column goes, and its values with it.
                gone = ForgetSealedColumnOp(self._table.name, name, schema)
                self._ours.append(gone)
            return
        former = from_json(declaration, target.type)
        self._drop_terms(name, former)
        self._take_type(name)
        if plain == name:
            self._ours.append(
                DecryptColumnOp(self._table.name, name, former, None, schema)
            )
            return
        self._take(ops.DropColumnOp, name)
        self._take(ops.AddColumnOp, plain)
        self._ours.append(
            DecryptColumnOp(self._table.name, name, former, plain, schema, drop=True)
        )

    # -- what Alembic has found --------------------------------------------------

    def _find(self, kind: type[_Op], column: str) -> _Op | None:
        return next(
            (
                op
                for op in self._found
                if isinstance(op, kind) and _column_of(op) == column
            ),
            None,
        )

    def _take(self, kind: type[_Op], column: str) -> _Op | None:
        op = self._find(kind, column)
        if op is not None:
            self._found.remove(op)
        return op

    def _take_type(self, name: str) -> None:
        op = self._find(ops.AlterColumnOp, name)
        if op is not None and op.modify_type is not None:
            op.modify_type = None
            self._changed = True
            if not op.has_changes():
                self._found.remove(op)

    def _take_terms(self, name: str, type_: EncryptedType[Any]) -> bool:
        taken = [self._take(ops.AddColumnOp, one) for one in _terms(name, type_)]
        for op in [op for op in self._found if isinstance(op, ops.CreateIndexOp)]:
            names = {getattr(one, "name", one) for one in op.columns}
            if names & set(_terms(name, type_)):
                self._found.remove(op)
        return any(taken)

    def _drop_terms(self, name: str, type_: EncryptedType[Any]) -> bool:
        taken = [self._take(ops.DropColumnOp, one) for one in _terms(name, type_)]
        for op in [op for op in self._found if isinstance(op, ops.DropIndexOp)]:
            columns = op.to_index().columns.keys() if op._reverse else ()  # noqa: SLF001 - it has no other way
            if set(columns) & set(_terms(name, type_)):
                self._found.remove(op)
        return any(taken)


def is_on(op: Any, table: sa.Table) -> bool:
    """Tell whether an operation is on a table."""
    return (op.table_name, op.schema) == (table.name, table.schema)


def _terms(name: str, type_: EncryptedType[Any]) -> list[str]:
    index = type_.index
    if index is None:
        return []
    return [index.column_name(name, version) for version in index.versions]


def _python_type(stored: Any) -> type[Any] | None:
    try:
        return stored.python_type  # type: ignore[no-any-return]
    except NotImplementedError:
        return None


def _column_of(op: Any) -> str | None:
    column = getattr(op, "column", None)
    return getattr(op, "column_name", None) if column is None else str(column.name)


def _is_drop(op: Any) -> bool:
    return isinstance(op, ops.DropColumnOp | ops.DropIndexOp | ops.DropConstraintOp)
