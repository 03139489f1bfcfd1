"""``op.change_sealed_storage``: envelopes in bytes become envelopes in text, or back.

The two forms are the same bytes: nothing is opened, and no key is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError

from alembic_ext import state
from alembic_ext.alone import alone_with
from alembic_ext.columnop import ColumnOp
from alembic_ext.declared import from_json, of_field, pinned
from alembic_ext.moving import is_offline, lend_engine
from alembic_ext.redeclared import stored_otherwise
from alembic_ext.swap import moving, swap
from alembic_ext.table import refuse_fences, table_of
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.envelope import from_text, has_shape, to_text
from sqlalchemy_sealed.jobs.readrows import beyond
from sqlalchemy_sealed.jobs.refusal import showing
from sqlalchemy_sealed.jobs.rowkey import shown_key

__all__ = ["ChangeSealedStorageOp"]

_PAGE: Final = 1000
_SWEEPS: Final = 10


@Operations.register_operation("change_sealed_storage")
class ChangeSealedStorageOp(ColumnOp):
    """Store the envelopes of a column in the other form.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration from now on; ``storage=`` is another one than before.
        schema: of the table.

    """

    name = "change_sealed_storage"

    @classmethod
    def change_sealed_storage(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        schema: str | None = None,
    ) -> None:
        """Store the envelopes of a column as text instead of bytes, or back.

        Another column is filled, and takes the name: as the model changes at one
        moment, so does the column. No value is opened.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration from now on, with ``storage="text"``, or without.
            schema: of the table.

        Raises:
            CommandError: a value is no envelope, an application keeps writing, or a
                fence is around the column.

        """
        operations.invoke(cls(table_name, column_name, type_, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        former = stored_otherwise(self.type_)
        place = self.table_name, self.column_name
        return ChangeSealedStorageOp(*place, former, self.schema)


@Operations.implementation_for(ChangeSealedStorageOp)
def _change(operations: Operations, op: ChangeSealedStorageOp) -> None:
    if is_offline(operations):
        raise CommandError(
            f"{op.table_name}.{op.column_name}: values are rewritten here, which SQL "
            "cannot do. Apply this revision with a connection, without --sql"
        )
    place = op.table_name, op.column_name, op.schema
    refuse_fences(operations.get_bind(), op.table_name, op.schema, op.column_name)
    if _is_done(operations, op):
        return
    kind = of_field(op.type_, op.table_name, op.column_name)
    without = pinned(kind, kind.context, index=False)
    mark = moving(op.column_name)
    with alone_with(operations, op.table_name, op.schema):
        swap(operations, *place, without, partial(_fill, operations, op), mark)
    state.change(operations, op.table_name, op.column_name, op.type_, op.schema)
    state.forget(operations, op.table_name, mark, op.schema)


def _is_done(operations: Operations, op: ChangeSealedStorageOp) -> bool:
    """Tell whether it has ended already, and the revision has not."""
    known = state.recorded(operations.get_bind(), op.table_name, op.schema)
    declaration = known.get(op.column_name, state.ON_ITS_WAY)
    if declaration == state.ON_ITS_WAY:
        return False
    return from_json(declaration, op.type_.inner).storage == op.type_.storage


def _fill(operations: Operations, op: ChangeSealedStorageOp, other: str) -> None:
    kinds: list[Any] = [sa.LargeBinary(), sa.Text()]
    former, later = kinds if op.type_.storage == "text" else reversed(kinds)
    with (
        operations.migration_context.autocommit_block(),
        lend_engine(operations) as engine,
    ):
        columns = {op.column_name: former, other: later}
        table = table_of(engine, op.table_name, op.schema, columns)
        for _ in range(_SWEEPS):
            if not showing(table.fullname, partial(_sweep, engine, table)):
                return
    raise CommandError(
        f"{op.table_name}.{op.column_name}: an application keeps writing it as it "
        "was. Stop what does, then apply the revision again: it goes on"
    )


def _sweep(engine: sa.Engine, table: sa.Table) -> int:
    """Write what is not there yet, or has changed since; return how many rows."""
    keys = tuple(table.primary_key.columns)
    old, new = (column for column in table.columns if column not in set(keys))
    change = (
        sa.update(table)
        .where(*(key == sa.bindparam(f"k{n}") for n, key in enumerate(keys)))
        .values({new: sa.bindparam("other_form")})
    )
    page = sa.select(*keys, old, new).order_by(*keys).limit(_PAGE)
    found = 0
    here = page
    while True:
        with engine.begin() as connection:
            rows = connection.execute(here).all()
            changes = list(_changes(old, rows))
            if changes:
                connection.execute(change, changes)
        found += len(changes)
        if len(rows) < _PAGE:
            return found
        here = page.where(beyond(keys, tuple(rows[-1][:-2])))


def _changes(old: sa.Column[Any], rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for *key, stored, present in rows:
        if stored is not None and not has_shape(stored):
            named = shown_key(key)
            raise CommandError(
                f"{old.table.name}.{old.name}: the row {named} holds no envelope. "
                "Nothing was changed: repair it, then apply the revision again"
            )
        wanted = None if stored is None else _other_form(stored)
        if present != wanted:
            names = {f"k{n}": part for n, part in enumerate(key)}
            yield {**names, "other_form": wanted}


def _other_form(stored: Any) -> bytes | str:
    return from_text(stored) if isinstance(stored, str) else to_text(bytes(stored))
