"""The changes of one table as Alembic found them, with sealed columns understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util.messaging import warn

from alembic_ext import state
from alembic_ext.beside import with_index
from alembic_ext.blindindex import CreateBlindIndexOp, DropBlindIndexOp
from alembic_ext.declared import from_json, pinned, to_json
from alembic_ext.decrypt import DecryptColumnOp
from alembic_ext.encrypt import EncryptColumnOp
from alembic_ext.found import Found
from alembic_ext.record import ForgetSealedColumnOp, RecordSealedColumnOp
from alembic_ext.redeclarations import redeclared
from alembic_ext.rename import RenameSealedColumnOp
from alembic_ext.renames import renamed_columns
from sqlalchemy_sealed import EncryptedType

__all__ = ["TableChanges"]

_SUFFIX: Final = "_encrypted"


class TableChanges:
    """The operations on one table, to be rewritten.

    Args:
        upgrade: everything that autogenerate has found.
        table: of the model.
        recorded: declaration of each column that is known to be sealed.
        stored: type of each column in the database.
        looks_sealed: looks at a value of a column, if there is one.
        unnamed: columns of each unique constraint of the database without a name.

    """

    def __init__(
        self,
        upgrade: ops.UpgradeOps,
        table: sa.Table,
        recorded: Mapping[str, str],
        stored: Mapping[str, Any],
        looks_sealed: Callable[[str], bool | None],
        unnamed: Sequence[Sequence[str]] = (),
    ) -> None:
        self._table = table
        self._recorded = dict(recorded)
        self._stored = stored
        self._looks_sealed = looks_sealed
        self._columns = {column.name: column for column in table.columns}
        self._found = Found(upgrade, table, unnamed)
        #: Names of columns that hold no plaintext.
        self._known = {n for n, one in recorded.items() if one != state.ON_ITS_WAY}
        self._first: list[ops.MigrateOperation] = []
        self._ours: list[ops.MigrateOperation] = []

    def apply(self) -> None:
        """Replace what would store plaintext, or lose it."""
        self._rename()
        for column in self._table.columns:
            if isinstance(column.type, EncryptedType):
                self._sealed(column, with_index(column, column.type))
        for name, declaration in self._recorded.items():
            if declaration != state.ON_ITS_WAY:
                self._recorded_before(name, declaration)
        if self._first or self._ours or self._found.changed:
            self._found.replace(self._first, self._ours)

    def _rename(self) -> None:
        args = self._table, self._recorded, self._found, self._looks_sealed
        for op in renamed_columns(*args):
            self._first.append(op)
            if isinstance(op, RenameSealedColumnOp):
                self._known.add(op.column_name)
                self._recorded.pop(op.column_name, None)
                self._recorded[op.new_column_name] = to_json(op.type_)

    # -- columns that are sealed in the model ------------------------------------

    def _sealed(self, column: sa.Column[Any], type_: EncryptedType[Any]) -> None:
        name, schema = column.name, self._table.schema
        if name in self._recorded:
            self._declared_anew(name, type_)
        added = self._found.find(ops.AddColumnOp, name)
        plain = name.removesuffix(_SUFFIX)
        plains = self._stored.keys() - self._known - {name}
        fills = added is not None and plain in plains
        if not fills and (added or not self._is_plain(name, type_)):
            place = self._table.name, name, pinned(type_, None), schema
            if added is not None:
                self._ours.append(RecordSealedColumnOp(*place))
            elif self._found.take_terms(name, type_):
                self._ours.append(CreateBlindIndexOp(*place))
            return
        if type_.row_bound or type_.tenant_scoped:
            how = f"sealed encrypt MODULE:MODEL --column {plain}={name}"
            if not fills:
                how = "sealed migrate MODULE:MODEL"
            warn(
                f"{self._table.name}.{name} is bound to its row or tenant: only the "
                f"model knows how. Fill it with: {how}"
            )
            return
        self._found.take_terms(name, type_)
        declared = pinned(type_, None)
        if not fills:
            self._found.take_type(name)
            # What looks at the plaintext goes first: it would be in the way.
            self._first += self._found.take_over(name)
            own = self._table.name, name, declared, None, schema
            op = EncryptColumnOp(*own, legacy=type_.legacy)
            # Another column takes its place: what stays is made anew.
            kept = self._found.kept_indexes(column) if op.way == "swap" else []
            self._first += kept
            self._ours += [op, *(one.reverse() for one in kept)]
            return
        self._found.remove(added)
        dropped = self._found.take(ops.DropColumnOp, plain) is not None
        if dropped:
            self._first += self._found.take_over(plain)
        nullable = bool(column.nullable)
        whole = self._table.name, plain, declared, name, schema, dropped, nullable
        self._ours.append(EncryptColumnOp(*whole, legacy=type_.legacy))

    def _declared_anew(self, name: str, type_: EncryptedType[Any]) -> None:
        # From one declaration to another there is no ALTER.
        self._found.take_type(name)
        if self._recorded[name] != state.ON_ITS_WAY:
            declaration = self._recorded[name]
            self._ours += redeclared(self._table, name, type_, declaration)

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
                and not with_index(column, column.type).index
                and self._found.drop_terms(name, former)
            ):
                args = self._table.name, name, former, schema
                self._ours.append(DropBlindIndexOp(*args))
            return
        plain = name if column is not None else name.removesuffix(_SUFFIX)
        target = self._columns.get(plain)
        if target is None or isinstance(target.type, EncryptedType):
            if self._found.find(ops.DropColumnOp, name) is not None:
                # The column goes, and its values with it.
                gone = ForgetSealedColumnOp(self._table.name, name, schema)
                self._ours.append(gone)
            return
        former = from_json(declaration, target.type)
        self._found.drop_terms(name, former)
        self._found.take_type(name)
        if plain == name:
            self._ours.append(
                DecryptColumnOp(self._table.name, name, former, None, schema)
            )
            return
        self._found.take(ops.DropColumnOp, name)
        self._found.take(ops.AddColumnOp, plain)
        self._ours.append(
            DecryptColumnOp(self._table.name, name, former, plain, schema, drop=True)
        )


def _python_type(stored: Any) -> type[Any] | None:
    try:
        return stored.python_type  # type: ignore[no-any-return]
    except NotImplementedError:
        return None
