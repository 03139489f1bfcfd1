"""Primary keys as JSON text, for cursors and dead letters.

Keys are the driver's own values, read and bound without any type of SQLAlchemy in
between, so that what was read selects exactly the same row again.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy_sealed.errors import ConfigurationError

__all__ = ["RowKey", "key_from_text", "key_to_text", "shown_key"]

RowKey: TypeAlias = tuple[Any, ...]

_WRITE: Final[dict[type, tuple[str, Callable[[Any], Any]]]] = {
    int: ("i", int),
    str: ("s", str),
    uuid.UUID: ("u", str),
    bytes: ("b", lambda value: base64.b64encode(value).decode()),
    dt.datetime: ("t", lambda value: value.isoformat()),
    dt.date: ("d", lambda value: value.isoformat()),
    decimal.Decimal: ("n", str),
}
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "i": int,
    "s": str,
    "u": uuid.UUID,
    "b": base64.b64decode,
    "t": dt.datetime.fromisoformat,
    "d": dt.date.fromisoformat,
    "n": decimal.Decimal,
}


def key_to_text(key: RowKey) -> str:
    """Return the JSON text of a primary key.

    Raises:
        ConfigurationError: a key column has a type that is not supported.

    """
    parts = []
    for value in key:
        known = _WRITE.get(type(value))
        if known is None:
            raise ConfigurationError(
                f"a primary key column of Python type {type(value).__name__} is not "
                "supported; integer, text, UUID, bytes, date, datetime and decimal are"
            )
        kind, write = known
        parts.append([kind, write(value)])
    return json.dumps(parts, separators=(",", ":"))


def shown_key(key: Sequence[Any]) -> str:
    """Return a primary key for a message: ``7``, or ``7/ada``."""
    writes = (_WRITE.get(type(value), ("", str))[1] for value in key)
    return "/".join(str(write(value)) for write, value in zip(writes, key, strict=True))


def key_from_text(text: str) -> RowKey:
    """Return the primary key that :func:`key_to_text` wrote."""
    return tuple(_READ[kind](value) for kind, value in json.loads(text))
