"""What Alembic has found for one table, to be looked through and taken from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.operations import ops

from alembic_ext.plainindex import DropPlainIndexOp
from alembic_ext.sqlitetable import unnamed
from sqlalchemy_sealed import EncryptedType

__all__ = ["Found", "column_of", "is_on", "terms_of"]

_Op = TypeVar("_Op")


class Found:
    """The operations that Alembic proposes for one table.

    Args:
        upgrade: everything that autogenerate has found.
        table: of the model.
        unnamed: columns of each unique constraint of the database without a name,
            which Alembic passes over.

    Attributes:
        changed: whether one of them was taken.

    """

    def __init__(
        self,
        upgrade: ops.UpgradeOps,
        table: sa.Table,
        unnamed: Sequence[Sequence[str]] = (),
    ) -> None:
        self._upgrade = upgrade
        self._unnamed = unnamed
        self._table = table
        self._ops: list[Any] = []
        self._at = len(upgrade.ops)
        self.changed = False
        for at, op in enumerate(upgrade.ops):
            if isinstance(op, ops.ModifyTableOps) and is_on(op, table):
                self._ops, self._at = [*op.ops], at

    def replace(
        self, first: list[ops.MigrateOperation], ours: list[ops.MigrateOperation]
    ) -> None:
        """Write back what is left, with operations of ours.

        Args:
            first: what comes before everything.
            ours: what comes after columns are added, and before any is dropped.

        """
        drops = [op for op in self._ops if _is_drop(op)]
        others = [op for op in self._ops if not _is_drop(op)]
        new = [*first, *self._modify(others), *ours, *self._modify(drops)]
        self._upgrade.ops[self._at : self._at + 1] = new

    def _modify(self, found: list[Any]) -> list[ops.MigrateOperation]:
        place = self._table.name, found
        return [ops.ModifyTableOps(*place, schema=self._table.schema)] if found else []

    def all(self, kind: type[_Op]) -> Iterator[_Op]:
        """Return the operations of a kind."""
        return iter([op for op in self._ops if isinstance(op, kind)])

    def find(self, kind: type[_Op], column: str) -> _Op | None:
        """Return the operation of a kind on a column, if there is one."""
        return next((op for op in self.all(kind) if column_of(op) == column), None)

    def take(self, kind: type[_Op], column: str) -> _Op | None:
        """Return the operation of a kind on a column, and remove it."""
        op = self.find(kind, column)
        if op is not None:
            self.remove(op)
        return op

    def remove(self, op: Any) -> None:
        """Remove an operation."""
        self._ops.remove(op)
        self.changed = True

    def take_type(self, name: str) -> None:
        """Remove a change of type: between declarations there is no ALTER."""
        op = self.find(ops.AlterColumnOp, name)
        if op is not None and op.modify_type is not None:
            op.modify_type = None
            self.changed = True
            if not op.has_changes():
                self._ops.remove(op)

    def take_over(self, name: str) -> list[ops.MigrateOperation]:
        """Remove what drops indexes and constraints of a column, and return it."""
        indexes = [
            op for op in self.all(ops.DropIndexOp) if name in op.to_index().columns
        ]
        constraints = [
            op
            for op in self.all(ops.DropConstraintOp)
            if op.constraint_type != "check" and name in _keys(op)
        ]
        taken: list[Any] = [*indexes, *constraints]
        for op in taken:
            self.remove(op)
        found = [one for op in taken for one in self._plain(op)]
        table, schema = self._table.name, self._table.schema
        for columns in self._unnamed:
            if name in columns:
                place = unnamed(table, columns), table, columns
                found.append(DropPlainIndexOp(*place, "unique constraint", schema))
        return found

    def _plain(self, op: Any) -> list[ops.MigrateOperation]:
        """Return the drop of an index as one that can be applied twice."""
        schema = self._table.schema
        if isinstance(op, ops.DropIndexOp) and op.index_name is not None:
            index = op.to_index()
            kind: Any = "unique index" if index.unique else "index"
            columns = index.columns.keys()
            place = str(op.index_name), self._table.name, columns
            return [DropPlainIndexOp(*place, kind, schema)]
        named = isinstance(op, ops.DropConstraintOp) and op.constraint_name is not None
        if named and op.constraint_type == "unique":
            place = str(op.constraint_name), self._table.name, _keys(op)
            return [DropPlainIndexOp(*place, "unique constraint", schema)]
        return self._modify([op])

    def kept_indexes(self, column: sa.Column[Any]) -> list[DropPlainIndexOp]:
        """Return the indexes of a column that model and database both have."""
        created = {op.index_name for op in self.all(ops.CreateIndexOp)}
        return [
            DropPlainIndexOp(
                str(index.name),
                self._table.name,
                index.columns.keys(),
                "unique index" if index.unique else "index",
                self._table.schema,
            )
            for index in self._table.indexes
            if column.name in index.columns and index.name not in created
        ]

    def take_terms(self, name: str, type_: EncryptedType[Any]) -> bool:
        """Remove the new columns of a blind index; tell whether there were any."""
        terms = terms_of(name, type_)
        taken = [self.take(ops.AddColumnOp, one) for one in terms]
        created: list[Any] = [
            *self.all(ops.CreateIndexOp),
            *self.all(ops.CreateUniqueConstraintOp),
        ]
        for op in created if any(taken) else ():
            if {getattr(one, "name", one) for one in op.columns} & set(terms):
                self.remove(op)
        return any(taken)

    def drop_terms(self, name: str, type_: EncryptedType[Any]) -> bool:
        """Remove the dropping of columns of a blind index; tell if there was any."""
        terms = terms_of(name, type_)
        taken = [self.take(ops.DropColumnOp, one) for one in terms]
        for op in self.all(ops.DropIndexOp) if any(taken) else ():
            if set(op.to_index().columns.keys()) & set(terms):
                self.remove(op)
        for dropped in self.all(ops.DropConstraintOp) if any(taken) else ():
            if dropped.constraint_type == "unique" and set(_keys(dropped)) & set(terms):
                self.remove(dropped)
        return any(taken)


def _keys(op: ops.DropConstraintOp) -> list[str]:
    constraint: Any = op.to_constraint()
    return [*constraint.columns.keys()]


def is_on(op: Any, table: sa.Table) -> bool:
    """Tell whether an operation is on a table."""
    return (op.table_name, op.schema) == (table.name, table.schema)


def terms_of(name: str, type_: EncryptedType[Any]) -> list[str]:
    """Return the names of the columns of the blind index of a column."""
    index = type_.index
    if index is None:
        return []
    return [index.column_name(name, version) for version in index.versions]


def column_of(op: Any) -> str | None:
    """Return the name of the column that an operation is on."""
    column = getattr(op, "column", None)
    return getattr(op, "column_name", None) if column is None else str(column.name)


def _is_drop(op: Any) -> bool:
    return isinstance(op, ops.DropColumnOp | ops.DropIndexOp | ops.DropConstraintOp)
