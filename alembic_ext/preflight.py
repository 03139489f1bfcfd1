"""What is in the way of sealing a column in place, found before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.engine.interfaces import ReflectedColumn

from alembic_ext.attached import attached
from alembic_ext.columnop import ValuesOp
from alembic_ext.declared import of_field
from alembic_ext.moving import is_offline, lend_engine
from alembic_ext.table import columns_of, table_of
from sqlalchemy_sealed import EncryptedType, SuiteId
from sqlalchemy_sealed.envelope import TEXT_PREFIX, to_text
from sqlalchemy_sealed.jobs.literal import starts_with
from sqlalchemy_sealed.jobs.rowkey import shown_key
from sqlalchemy_sealed.jobs.slot import Form, Slot
from sqlalchemy_sealed.scope import binding_of

__all__ = ["check_in_place"]

#: Rows that a message names.
_NAMED: Final = 5
_OTHERWISE: Final = 'Or seal it into another column: into="..."'


def check_in_place(operations: Operations, op: ValuesOp) -> None:
    """Refuse a column that cannot hold plaintext and envelopes in turn.

    Raises:
        CommandError: with every reason; nothing was written.

    """
    if is_offline(operations):
        return
    connection = operations.get_bind()
    found = columns_of(connection, op.table_name, op.schema).get(op.column_name)
    if found is None:
        raise CommandError(f"{op.table_name} has no column {op.column_name}")
    reasons = [
        *_kind(found, op),
        *_indexes(connection, op),
        *attached(connection, op.table_name, op.column_name, op.schema),
    ]
    if isinstance(found["type"], sa.String):
        reasons += [*_cut(operations), *_lookalikes(operations, op)]
    if reasons:
        raise CommandError(
            f"{op.table_name}.{op.column_name} cannot be sealed in place: "
            + "; ".join(reasons)
            + f". Nothing was written. {_OTHERWISE}"
        )


def _kind(found: ReflectedColumn, op: ValuesOp) -> Iterator[str]:
    if op.type_.storage == "text" and not isinstance(found["type"], sa.String):
        yield f"it is no character column but {found['type']!r}"


def _indexes(connection: sa.Connection, op: ValuesOp) -> Iterator[str]:
    inspector, place = sa.inspect(connection), (op.table_name, op.schema)
    name = op.column_name
    if name in inspector.get_pk_constraint(*place)["constrained_columns"]:
        yield "it is part of the primary key"
    unique = {
        str(one["name"])
        for one in inspector.get_unique_constraints(*place)
        if name in one["column_names"]
    }
    for index in inspector.get_indexes(*place):
        if name not in index["column_names"]:
            continue
        if index["unique"]:
            unique.add(str(index["name"]))
        elif op.type_.suite is not SuiteId.AES_256_SIV:
            yield (
                f"the index {index['name']} is on it, which finds nothing in random "
                "bytes and limits their length: drop it in an earlier revision"
            )
    for one in sorted(unique):
        yield (
            f"{one} makes it unique, and equal values have different envelopes: drop "
            "it in an earlier revision, and use index=BlindIndex(unique=True)"
        )


def _cut(operations: Operations) -> Iterator[str]:
    if operations.impl.dialect.name not in {"mysql", "mariadb"}:
        return
    with lend_engine(operations) as engine, engine.connect() as connection:
        mode = str(connection.scalar(sa.text("SELECT @@SESSION.sql_mode")))
    if "STRICT_" not in mode:
        yield (
            "sql_mode is not strict, and the database would cut what is too long "
            "without a word: set STRICT_TRANS_TABLES"
        )


def _lookalikes(operations: Operations, op: ValuesOp) -> Iterator[str]:
    """Look for plaintext that begins as envelopes do, and is none of this column."""
    connection = operations.get_bind()
    kinds = {op.column_name: sa.Text()}
    table = table_of(connection, op.table_name, op.schema, kinds)
    column = table.columns[op.column_name]
    dialect = connection.dialect
    value = Slot(column, Form.TEXT, is_written=False).bytewise(column, dialect)
    wrong = starts_with(value, TEXT_PREFIX, dialect)
    for header in _headers(operations, of_field(op.type_, *_place(op))):
        wrong &= ~starts_with(value, header, dialect)
    keys = tuple(table.primary_key.columns)
    rows = sa.select(sa.func.count()).select_from(table).where(wrong)
    count = connection.scalar(rows) or 0
    if not count:
        return
    first = sa.select(*keys).where(wrong).order_by(*keys).limit(_NAMED)
    named = ", ".join(shown_key(row) for row in connection.execute(first))
    more = ", ..." if count > _NAMED else ""
    yield (
        f"{count} of its values begin as an envelope does ({TEXT_PREFIX}) without "
        f"being one of this keyring, in the rows {named}{more}: either the keyring "
        "lacks their key (sealed status shows which), or they are plaintext, which has "
        "to be changed first"
    )


def _headers(operations: Operations, type_: EncryptedType[Any]) -> Iterator[str]:
    """Return how values begin that a revision that was killed has sealed already."""
    field = type_.field()
    with lend_engine(operations) as engine:
        keyring = binding_of(engine.dialect).keyring(field.context)
        for key in keyring.readable:
            for one in (field, *field.accepts):
                yield to_text(bytes(one.header(key)))


def _place(op: ValuesOp) -> tuple[str, str]:
    return op.table_name, op.column_name
