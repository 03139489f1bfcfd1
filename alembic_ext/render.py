"""Operations and sealed types as the text of a revision: no key, no model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import (
    _repr_type,
    renderers,
)
from alembic.util.messaging import warn
from sqlalchemy.dialects import mysql

from alembic_ext.blindindex import CreateBlindIndexOp, DropBlindIndexOp
from alembic_ext.columnop import ColumnOp, ValuesOp
from alembic_ext.declared import pinned
from alembic_ext.decrypt import DecryptColumnOp
from alembic_ext.encrypt import EncryptColumnOp
from alembic_ext.fence import DropSealFenceOp, SealFenceOp
from alembic_ext.plainindex import (
    CreatePlainIndexOp,
    DropPlainIndexOp,
    PlainIndexOp,
)
from alembic_ext.record import ForgetSealedColumnOp, RecordSealedColumnOp
from alembic_ext.reencrypt import ReencryptColumnsOp
from alembic_ext.rename import RenameSealedColumnOp
from alembic_ext.renametable import RenameSealedTableOp
from alembic_ext.storage import ChangeSealedStorageOp
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.legacy.format import LegacyFormat

__all__ = ["render_item"]

#: What a declaration is made of, by its public name.
_NAMES: Final = re.compile(r"\b(EncryptedType|BlindIndex|Blocks|Bucket|Padme)\(")
_PREFIX: Final = r"sqlalchemy_sealed.\1("


def render_item(kind: str, item: Any, context: AutogenContext) -> str | bool:
    """Render a type of ours; the signature is that of Alembic's ``render_item``."""
    if kind == "type" and isinstance(item, EncryptedType):
        # The columns of an index are rendered as columns: it must not add them, too.
        return _type(pinned(item, None, index=False), context)
    if kind == "type" and isinstance(item, IndexTermType):
        # A revision needs the storage only, which can be indexed everywhere.
        short = mysql.VARBINARY(item.index.length)
        storage = sa.LargeBinary().with_variant(short, "mysql", "mariadb")
        return _repr_type(storage, context)
    return False


def _type(type_: EncryptedType[Any], context: AutogenContext) -> str:
    context.imports.add("import sqlalchemy_sealed")
    inner = repr(type_.inner)
    rendered = _repr_type(type_.inner, context)
    text = repr(type_)
    assert inner in text  # noqa: S101 - it begins with it
    first, _, rest = text.partition(inner)
    prefixed = [_NAMES.sub(_PREFIX, part) for part in (first, rest)]
    # Former declarations repeat the inner type.
    return prefixed[0] + rendered + prefixed[1].replace(inner, rendered)


def _call(context: AutogenContext, name: str, *parts: Any, **options: Any) -> str:
    prefix = context.opts["alembic_module_prefix"] or ""
    given = [_shown(part) for part in parts]
    found = {key: value for key, value in options.items() if value is not None}
    given += [f"{key}={_shown(value)}" for key, value in found.items()]
    return f"{prefix}{name}({', '.join(given)})"


class _Text(str):
    """Rendered already."""

    __slots__ = ()


def _shown(part: Any) -> str:
    return part if isinstance(part, _Text) else repr(part)


def _kinds(context: AutogenContext, columns: Mapping[str, EncryptedType[Any]]) -> _Text:
    kinds = (f"{name!r}: {_type(kind, context)}" for name, kind in columns.items())
    return _Text(f"{{{', '.join(kinds)}}}")


@renderers.dispatch_for(ReencryptColumnsOp)
def _reencrypt(context: AutogenContext, op: ReencryptColumnsOp) -> str:
    kinds = _kinds(context, op.columns)
    return _call(context, "reencrypt_columns", op.table_name, kinds, schema=op.schema)


def _advice(table: str, column: str, type_: EncryptedType[Any]) -> list[str]:
    place = f"{table}.{column}"
    if type_.context == place:
        return []
    field = f"context={type_.context!r}"
    return [f"# {place!r} keeps the field of its values. The model declares: {field}"]


@renderers.dispatch_for(RenameSealedColumnOp)
def _rename(context: AutogenContext, op: RenameSealedColumnOp) -> list[str]:
    new = op.new_column_name
    parts = op.table_name, op.column_name, new, _Text(_type(op.type_, context))
    options = {"terms": op.terms or None, "schema": op.schema}
    call = _call(context, op.name, *parts, **options)
    return [*_advice(op.table_name, new, op.type_), call]


@renderers.dispatch_for(RenameSealedTableOp)
def _rename_table(context: AutogenContext, op: RenameSealedTableOp) -> list[str]:
    old, new, kinds = op.table_name, op.new_table_name, _kinds(context, op.columns)
    name = "rename_sealed_table"
    call = _call(context, name, old, new, kinds, schema=op.schema)
    advice = [_advice(new, one, type_) for one, type_ in op.columns.items()]
    return [*(line for lines in advice for line in lines), call]


def _column(context: AutogenContext, op: ColumnOp, **more: Any) -> str:
    kind = _Text(_type(op.type_, context))
    options = {"schema": op.schema, **more}
    return _call(context, op.name, op.table_name, op.column_name, kind, **options)


for _one in (
    CreateBlindIndexOp,
    DropBlindIndexOp,
    ChangeSealedStorageOp,
    RecordSealedColumnOp,
    SealFenceOp,
    DropSealFenceOp,
):
    renderers.dispatch_for(_one)(_column)


@renderers.dispatch_for(EncryptColumnOp)
def _encrypt(context: AutogenContext, op: EncryptColumnOp) -> str:
    more: dict[str, Any] = {"nullable": None if op.nullable else False}
    if op.legacy:
        formats = ", ".join(_legacy(one, context) for one in op.legacy)
        more["legacy"] = _Text(f"[{formats}]")
    return _values(context, op, **more)


def _legacy(one: LegacyFormat[Any], context: AutogenContext) -> str:
    """Render a format by the variable that its key comes from, never by the key."""
    name, variable = type(one).__name__, one.variable
    if variable is None:
        variable = "SEALED_LEGACY_KEY"
        warn(
            f"the revision reads the key of {name} from the variable {variable}, since "
            "a key is not written into it: set it, or change the revision"
        )
    context.imports.add(f"from sqlalchemy_sealed.legacy import {name}")
    options = "".join(f", {key}={value!r}" for key, value in one.options().items())
    return f"{name}.from_env({variable!r}{options})"


@renderers.dispatch_for(DecryptColumnOp)
def _decrypt(context: AutogenContext, op: DecryptColumnOp) -> str:
    nullable = None if op.nullable else False
    return _values(context, op, nullable=nullable, source_wins=op.source_wins or None)


def _values(context: AutogenContext, op: ValuesOp, **more: Any) -> str:
    options = {"into": op.into, "drop": op.drop or None, "strategy": op.strategy}
    return _column(context, op, **options, **more)


@renderers.dispatch_for(DropPlainIndexOp)
@renderers.dispatch_for(CreatePlainIndexOp)
def _plain_index(context: AutogenContext, op: PlainIndexOp) -> str:
    drops = isinstance(op, DropPlainIndexOp)
    name = "drop_plain_index" if drops else "create_plain_index"
    kind = None if op.kind == "index" else op.kind
    place = op.index_name, op.table_name, op.columns
    return _call(context, name, *place, kind=kind, schema=op.schema)


@renderers.dispatch_for(ForgetSealedColumnOp)
def _forget(context: AutogenContext, op: ForgetSealedColumnOp) -> list[str]:
    name, place = "forget_sealed_column", f"{op.table_name}.{op.column_name}"
    call = _call(context, name, op.table_name, op.column_name, schema=op.schema)
    return [f"# The sealed values of {place!r} go, and cannot be brought back", call]
