"""From a declared SQL type to its codec: one type, one codec (docs/FORMAT.md).

The bind processors of the inner type are never used: they depend on the dialect
(SQLite turns a Numeric into a float, psycopg wraps JSON), and what is sealed on one
database must open on another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from sqlalchemy import types as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.codec.moment import (
    DateCodec,
    DatetimeCodec,
    IntervalCodec,
    TimeCodec,
)
from sqlalchemy_sealed.codec.number import (
    BigintCodec,
    DecimalCodec,
    Float64Codec,
    Int64Codec,
)
from sqlalchemy_sealed.codec.scalar import (
    BoolCodec,
    BytesCodec,
    EnumCodec,
    Utf8Codec,
    UuidCodec,
)
from sqlalchemy_sealed.codec.structure import ArrayCodec, JsonCodec
from sqlalchemy_sealed.errors import (
    DeclarationError,
    EncodingError,
    SealedError,
    UnsupportedTypeError,
)
from sqlalchemy_sealed.index import BlindIndex

__all__ = [
    "after_opening",
    "before_sealing",
    "check_deterministic",
    "check_index",
    "codec_of",
    "decorators_of",
    "few_values",
]

#: Below this many possible values, equal ciphertexts give the values away.
_FEW_VALUES: Final = 16


def codec_of(inner: sa.TypeEngine[Any], deterministic: bool = False) -> Codec:
    """Return the codec of a declared type.

    Raises:
        UnsupportedTypeError: the type has no canonical encoding.

    """
    for kind, build in _CODECS:
        if isinstance(inner, kind):
            return build(inner, deterministic)
    if isinstance(inner, sa.TypeDecorator):
        _check_decorator(inner)
        return codec_of(inner.impl_instance, deterministic)
    raise UnsupportedTypeError(
        f"EncryptedType has no canonical encoding for {type(inner).__name__}. "
        "Wrap it: a TypeDecorator whose impl is String, LargeBinary, JSON or another "
        "standard type, with process_bind_param and process_result_value"
    )


def _check_decorator(inner: sa.TypeDecorator[Any]) -> None:
    for name in (
        "bind_processor",
        "result_processor",
        "bind_expression",
        "column_expression",
    ):
        if getattr(type(inner), name) is not getattr(sa.TypeDecorator, name):
            raise UnsupportedTypeError(
                f"{type(inner).__name__} overrides {name}(), which EncryptedType "
                "cannot run; use process_bind_param and process_result_value"
            )


def _refuse_set(_inner: Any, _deterministic: bool) -> Codec:
    raise UnsupportedTypeError(
        "SET has no canonical encoding: declare ARRAY(String), or JSON"
    )


def _decimal(inner: Any, _deterministic: bool) -> Codec:
    return DecimalCodec(scale=inner.scale, as_float=not inner.asdecimal)


def _float(inner: Any, deterministic: bool) -> Codec:
    if inner.asdecimal:
        raise UnsupportedTypeError(
            "Float(asdecimal=True) has no canonical encoding: "
            "declare Numeric(precision, scale), or Float"
        )
    return Float64Codec(comparable=deterministic)


def _integer(inner: Any, _deterministic: bool) -> Codec:
    # An unsigned 64-bit integer does not fit the signed one.
    wide = isinstance(inner, mysql.BIGINT) and inner.unsigned
    return BigintCodec() if wide else Int64Codec()


def _time(inner: Any, _deterministic: bool) -> Codec:
    if inner.timezone:
        raise UnsupportedTypeError(
            "Time(timezone=True) has no canonical encoding: a time of day has no "
            "offset without its date; declare DateTime(timezone=True)"
        )
    return TimeCodec()


def _enum(inner: Any, _deterministic: bool) -> Codec:
    if inner.enum_class is None:
        return EnumCodec(tuple((name, name) for name in inner.enums))
    members = inner.enum_class.__members__.values()
    return EnumCodec(tuple((member.name, member) for member in dict.fromkeys(members)))


def _array(inner: Any, _deterministic: bool) -> Codec:
    if decorators_of(inner.item_type):
        raise UnsupportedTypeError(
            "ARRAY of a TypeDecorator has no canonical encoding: put the TypeDecorator "
            "around the ARRAY, or declare a standard item type"
        )
    return ArrayCodec(codec_of(inner.item_type), as_tuple=inner.as_tuple)


def _refuse_pickle(inner: Any, _deterministic: bool) -> Codec:
    raise UnsupportedTypeError(
        f"{type(inner).__name__} would unpickle whatever a key holder wrote: "
        "declare JSON, or LargeBinary with your own serialisation"
    )


# First match wins: Enum is a String, Float a Numeric, Interval a TypeDecorator.
_CODECS: Final[tuple[tuple[Any, Callable[[Any, bool], Codec]], ...]] = (
    (sa.PickleType, _refuse_pickle),
    (mysql.SET, _refuse_set),
    (sa.Enum, _enum),
    (sa.Boolean, lambda _inner, _det: BoolCodec()),
    (sa.String, lambda _inner, _det: Utf8Codec()),
    (sa.Integer, _integer),
    (sa.Float, _float),
    (sa.Numeric, _decimal),
    ((sa.Interval, postgresql.INTERVAL), lambda _inner, _det: IntervalCodec()),
    (sa.DateTime, lambda inner, _det: DatetimeCodec(aware=bool(inner.timezone))),
    (sa.Date, lambda _inner, _det: DateCodec()),
    (sa.Time, _time),
    (sa.Uuid, lambda inner, _det: UuidCodec(as_text=not inner.as_uuid)),
    (sa.JSON, lambda _inner, _det: JsonCodec()),
    (sa.ARRAY, _array),
    (sa.LargeBinary, lambda _inner, _det: BytesCodec()),
    (sa.BINARY, lambda _inner, _det: BytesCodec()),
    (sa.VARBINARY, lambda _inner, _det: BytesCodec()),
)


def decorators_of(inner: sa.TypeEngine[Any]) -> tuple[sa.TypeDecorator[Any], ...]:
    """Return the user's type decorators around the standard type, outermost first."""
    found: list[sa.TypeDecorator[Any]] = []
    while isinstance(inner, sa.TypeDecorator) and not isinstance(
        inner, sa.Interval | sa.PickleType
    ):
        found.append(inner)
        inner = inner.impl_instance
    return tuple(found)


def before_sealing(
    inner: sa.TypeEngine[Any], dialect: Dialect, context: str
) -> Callable[[Any], Any] | None:
    """Return what a user's type decorators do to a value before it is sealed."""
    steps = [
        d.process_bind_param
        for d in decorators_of(inner)
        if type(d).process_bind_param is not sa.TypeDecorator.process_bind_param
    ]
    return _chain(steps, dialect, context, "process_bind_param") if steps else None


def after_opening(
    inner: sa.TypeEngine[Any], dialect: Dialect, context: str
) -> Callable[[Any], Any] | None:
    """Return what a user's type decorators do to a value after it was opened."""
    steps = [
        d.process_result_value
        for d in reversed(decorators_of(inner))
        if type(d).process_result_value is not sa.TypeDecorator.process_result_value
    ]
    return _chain(steps, dialect, context, "process_result_value") if steps else None


def _chain(
    steps: Sequence[Callable[[Any, Dialect], Any]],
    dialect: Dialect,
    context: str,
    name: str,
) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        kind = ""
        try:
            for step in steps:
                value = step(value, dialect)
        except SealedError:
            raise
        except Exception as error:  # noqa: BLE001 - its text may hold the value
            kind = type(error).__name__
        if kind:
            raise EncodingError(
                f"{context}: {name}() of the inner type raised {kind}; "
                "its message is withheld because it may hold the value"
            )
        return value

    return run


def few_values(inner: sa.TypeEngine[Any]) -> bool:
    """Tell whether a type has so few values that equality gives them away."""
    if isinstance(inner, sa.TypeDecorator):
        return few_values(inner.impl_instance)
    if isinstance(inner, sa.Enum):
        return len(inner.enums) < _FEW_VALUES
    return isinstance(inner, sa.Boolean)


def check_deterministic(codec: Codec) -> None:
    """Refuse a codec that has no deterministic form (rule 7)."""
    if not codec.deterministic:
        raise DeclarationError(
            f"{type(codec).__name__.removesuffix('Codec')} values have more than one "
            "byte form: the deterministic suite cannot hold them. Use the default suite"
        )


def check_index(index: BlindIndex, inner: sa.TypeEngine[Any]) -> None:
    """Refuse an index on values that it cannot find, or would give away.

    Raises:
        DeclarationError: naming the type and the reason.

    """
    if not isinstance(cast("Any", index), BlindIndex):
        raise DeclarationError("index= is a BlindIndex(...)")
    check_deterministic(codec_of(inner, deterministic=True))
    if index.normalizer is not None and not isinstance(inner, sa.String):
        raise DeclarationError(
            f"normalize={index.normalizer.id!r} is for text, not for "
            f"{type(inner).__name__}"
        )
    if few_values(inner):
        index.check_few(f"a {type(inner).__name__}")
