"""What a value is bound to: the scope of its key and its associated data.

``SCOPE`` selects the derived key (field, tenant); ``ROWCTX`` is authenticated beside
the header (row, application context). See docs/FORMAT.md, "Keys", "Associated data".
"""

from __future__ import annotations

import datetime as dt
import decimal
import operator
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy_sealed.errors import EncodingError
from sqlalchemy_sealed.tlv import encode_items

__all__ = ["ROW_ID_KINDS", "index_scope", "row_context", "row_id", "scope"]

_FIELD, _TENANT, _ROW, _INDEX, _APPLICATION = 0x01, 0x02, 0x03, 0x04, 0x05
_NORMALIZER, _NORMALIZER_VERSION = 0x06, 0x07
_MOST_COLUMNS = 255
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def scope(field_id: str, tenant: str | None = None) -> bytes:
    """Return the SCOPE bytes that select the derived key of one field."""
    items = [(_FIELD, field_id.encode())]
    if tenant is not None:
        items.append((_TENANT, tenant.encode()))
    return encode_items(items)


def index_scope(
    field_id: str,
    name: str,
    normalizer: tuple[str, int] | None = None,
    tenant: str | None = None,
) -> bytes:
    """Return the SCOPE bytes that select the derived key of one blind index.

    Args:
        field_id: the field, or the fields of a compound index.
        name: the name of the index among those of the field.
        normalizer: id and version; values compared as they are have none.
        tenant: the tenant id, where every tenant has keys of its own.

    """
    items = [(_FIELD, field_id.encode())]
    if tenant is not None:
        items.append((_TENANT, tenant.encode()))
    items.append((_INDEX, name.encode()))
    if normalizer is not None:
        items.append((_NORMALIZER, normalizer[0].encode()))
        items.append((_NORMALIZER_VERSION, normalizer[1].to_bytes(4)))
    return encode_items(items)


def row_context(row: bytes | None = None, application: bytes | None = None) -> bytes:
    """Return the ROWCTX bytes; empty for a value that is bound to no row.

    Args:
        row: what :func:`row_id` returned.
        application: the application context, which needs a row.

    """
    if row is None:
        if application is not None:
            raise ValueError("an application context needs a row id")
        return b""
    items = [(_ROW, row)]
    if application is not None:
        items.append((_APPLICATION, application))
    return encode_items(items)


def row_id(columns: Sequence[tuple[str, Any]]) -> bytes:
    """Encode a primary key: ``count(1)``, then ``type(1) length(4) bytes`` per column.

    Args:
        columns: pairs of a type letter of :data:`ROW_ID_KINDS` and the value. The
            letter follows from the declared SQL type, never from the Python value.

    Raises:
        EncodingError: the value is NULL, a bool or a float, or not of that kind.

    """
    if len(columns) > _MOST_COLUMNS:
        raise EncodingError(f"a row id has at most {_MOST_COLUMNS} key columns")
    encoded = bytearray(len(columns).to_bytes(1))
    for kind, value in columns:
        if kind not in ROW_ID_KINDS:
            raise EncodingError(
                f"a row id has no kind {kind!r}; it has {', '.join(ROW_ID_KINDS)}"
            )
        if value is None or isinstance(value, bool | float):
            raise EncodingError(
                f"a row id cannot hold a {type(value).__name__}: "
                "use an integer, text, UUID, date or decimal primary key"
            )
        try:
            data = ROW_ID_KINDS[kind](value)
        except (TypeError, ValueError, AttributeError, ArithmeticError):
            data = None
        if data is None:
            raise EncodingError(
                f"a row id of kind {kind!r} cannot hold a {type(value).__name__}"
            )
        encoded += kind.encode() + len(data).to_bytes(4) + data
    return bytes(encoded)


def _text(value: Any) -> bytes:
    encoded: bytes = value.encode()
    return encoded


def _integer(value: Any) -> bytes:
    return str(operator.index(value)).encode("ascii")


def _uuid(value: Any) -> bytes:
    # Drivers return UUID keys as objects, text or bytes; the id is the same.
    if isinstance(value, uuid.UUID):
        return value.bytes
    return (
        uuid.UUID(bytes=value).bytes
        if isinstance(value, bytes)
        else (uuid.UUID(value).bytes)
    )


def _date(value: Any) -> bytes:
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
        raise TypeError
    text: str = value.isoformat()
    return text.encode()


def _instant(value: Any) -> bytes:
    moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    microseconds: int = (moment - _EPOCH) // _MICROSECOND
    return microseconds.to_bytes(8, signed=True)


def _number(value: Any) -> bytes:
    number = decimal.Decimal(value)
    if not number.is_finite():
        raise ValueError
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return b"0" if text in {"-0", "0"} else text.encode()


#: Type letter -> encoder, for each kind of key column.
ROW_ID_KINDS: Mapping[str, Callable[[Any], bytes]] = MappingProxyType(
    {
        "i": _integer,
        "s": _text,
        "b": lambda value: bytes(memoryview(value)),
        "u": _uuid,
        "d": _date,
        "t": _instant,
        "n": _number,
    }
)
