"""What autogenerate writes when a sealed column is declared otherwise than before."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util.messaging import warn

from alembic_ext.declared import field_of, from_json, pinned
from alembic_ext.record import RecordSealedColumnOp
from alembic_ext.redeclared import (
    accepting,
    bare,
    is_encoded_otherwise,
    looks_otherwise,
    stored_otherwise,
)
from alembic_ext.reencrypt import ReencryptColumnsOp
from alembic_ext.storage import ChangeSealedStorageOp
from sqlalchemy_sealed import EncryptedType

__all__ = ["redeclared"]


def redeclared(
    table: sa.Table, name: str, type_: EncryptedType[Any], declaration: str
) -> list[ops.MigrateOperation]:
    """Return what moves a column from the declaration that is remembered.

    Args:
        table: of the model.
        name: of the column.
        type_: its declaration in the model.
        declaration: what the database remembers.

    """
    place = f"{table.name}.{name}"
    field = field_of(declaration, table.name, name)
    if field != type_.field().context:
        warn(
            f"{place} has values that are sealed for {field}, and is declared for "
            f"{type_.field().context}, as which none of them opens. Write in the "
            f'model: context="{field}"'
        )
    if is_encoded_otherwise(declaration, type_):
        warn(
            f"{place} is sealed as {json.loads(declaration)['inner']} and declared as "
            f"{type_.inner!r}, whose bytes are others: none of its values opens. No "
            "operation changes that: declare another column beside it"
        )
        return []
    former = from_json(declaration, type_.inner)
    moves: list[ops.MigrateOperation] = []
    if former.storage != type_.storage:
        stored = pinned(stored_otherwise(former), None)
        moves.append(ChangeSealedStorageOp(table.name, name, stored, table.schema))
        former = stored
    if looks_otherwise(former, type_):
        moves += _reencrypted(table, name, type_, former)
    elif former.padding != type_.padding:
        # It is read as it is; lengths change when a value is next sealed.
        args = table.name, name, pinned(type_, None), table.schema, former
        moves.append(RecordSealedColumnOp(*args))
    return moves


def _reencrypted(
    table: sa.Table, name: str, type_: EncryptedType[Any], former: EncryptedType[Any]
) -> list[ops.MigrateOperation]:
    place = f"{table.name}.{name}"
    if all(looks_otherwise(one, former) for one in type_.accepts):
        warn(
            f"{place} is declared with another suite or padding. Until every value is "
            "moved, an application reads those that are not only if the model names "
            f"what they were: accepts=[{bare(former)!r}]. Deploy that first"
        )
    if type_.row_bound or type_.tenant_scoped:
        warn(
            f"{place} is bound to its row or tenant: only the model knows how. Move "
            "its values with: sealed reencrypt MODULE:MODEL"
        )
        args = table.name, name, pinned(type_, None), table.schema, former
        return [RecordSealedColumnOp(*args)]
    columns = {name: accepting(type_, former)}
    return [ReencryptColumnsOp(table.name, columns, table.schema)]
