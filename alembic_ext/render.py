"""Operations and sealed types as the text of a revision: no key, no model."""

from __future__ import annotations

import re
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
from alembic_ext.record import ForgetSealedColumnOp, RecordSealedColumnOp
from alembic_ext.reencrypt import ReencryptColumnsOp
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


@renderers.dispatch_for(ReencryptColumnsOp)
def _reencrypt(context: AutogenContext, op: ReencryptColumnsOp) -> str:
    columns = ", ".join(
        f"{name!r}: {_type(kind, context)}" for name, kind in op.columns.items()
    )
    text = _Text(f"{{{columns}}}")
    return _call(context, "reencrypt_columns", op.table_name, text, schema=op.schema)


def _column(context: AutogenContext, op: ColumnOp, **more: Any) -> str:
    kind = _Text(_type(op.type_, context))
    options = {"schema": op.schema, **more}
    return _call(context, op.name, op.table_name, op.column_name, kind, **options)


for _one in (
    CreateBlindIndexOp,
    DropBlindIndexOp,
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
def _values(context: AutogenContext, op: ValuesOp, **more: Any) -> str:
    return _column(context, op, into=op.into, drop=op.drop or None, **more)


@renderers.dispatch_for(ForgetSealedColumnOp)
def _forget(context: AutogenContext, op: ForgetSealedColumnOp) -> str:
    name = "forget_sealed_column"
    return _call(context, name, op.table_name, op.column_name, schema=op.schema)
