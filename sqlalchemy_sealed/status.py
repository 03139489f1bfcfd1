"""What is sealed with what: rows per column and key version, counted in SQL.

The header of an envelope is plaintext and static, so one grouped scan tells which key
every value needs, without decrypting any and even without a keyring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    and_,
    case,
    column,
    func,
    literal,
    select,
    table,
)
from sqlalchemy import types as sa

from sqlalchemy_sealed.envelope import (
    BODY_MINIMUM,
    HEADER_LENGTH,
    TEXT_PREFIX,
    Header,
    from_text,
)
from sqlalchemy_sealed.errors import DecryptionError
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.targets import SealedColumn, sealed_tables

__all__ = ["ColumnStatus", "KeyCount", "status"]

_MINIMUM = HEADER_LENGTH + min(BODY_MINIMUM.values())
_TEXT_HEADER = len(TEXT_PREFIX) + HEADER_LENGTH * 4 // 3


@dataclass(frozen=True)
class KeyCount:
    """Values under one key.

    Attributes:
        version: key version in the header.
        kid: key id in hex, 32 digits.
        state: state of the key in the keyring, ``"unknown key"``,
            ``"former declaration"`` for values that the column reads by ``accepts=``,
            or ``"other declaration"`` where suite, flags or codec are not its own.
        values: how many.

    """

    version: int
    kid: str
    state: str
    values: int


@dataclass(frozen=True)
class ColumnStatus:
    """The census of one column.

    Attributes:
        keys: counts per key, newest version first.
        nulls: NULL values.
        not_sealed: values without the shape of an envelope: plaintext, or foreign.

    """

    table: str
    column: str
    context: str
    keys: tuple[KeyCount, ...]
    nulls: int
    not_sealed: int

    @property
    def values(self) -> int:
        """All values that are not NULL."""
        return self.not_sealed + sum(key.values for key in self.keys)

    @property
    def on_active(self) -> int:
        """Values under the active key."""
        return sum(key.values for key in self.keys if key.state == "active")


def status(
    engine: Engine, target: Any, keyring: Keyring | None = None
) -> list[ColumnStatus]:
    """Count the values of every sealed column by key.

    Args:
        engine: a synchronous engine.
        target: a declarative base, MetaData, model, Table, or a list of them.
        keyring: names the states of the keys, if given.

    """
    with engine.connect() as connection:
        return [
            _column_status(connection, sealed.table, column, keyring)
            for sealed in sealed_tables(target)
            for column in sealed.columns
        ]


def _column_status(
    connection: Connection, owner: Table, sealed: SealedColumn, keyring: Keyring | None
) -> ColumnStatus:
    keys: list[KeyCount] = []
    nulls = not_sealed = 0
    for is_null, prefix, count in connection.execute(_census(owner, sealed)):
        header = _header(prefix)
        if is_null:
            nulls += count
        elif header is None:
            not_sealed += count
        else:
            state = _state(header, sealed, keyring)
            keys.append(KeyCount(header.version, header.kid.hex(), state, count))
    keys.sort(key=lambda key: (-key.version, key.kid))
    context = sealed.type.context or ""
    return ColumnStatus(
        owner.fullname, sealed.name, context, tuple(keys), nulls, not_sealed
    )


def _census(owner: Table, sealed: SealedColumn) -> Any:
    # Values that only begin like an envelope fall into one group, so that a column
    # full of plaintext does not come back as a million groups.
    kind: Any = sa.Text() if sealed.is_text else sa.LargeBinary()
    value: Any = column(sealed.name, kind)
    if sealed.is_text:
        shaped = func.substr(value, 1, len(TEXT_PREFIX)) == literal(TEXT_PREFIX, kind)
        prefix, nothing = func.substr(value, 1, _TEXT_HEADER), literal("", kind)
    else:
        shaped = and_(
            func.length(value) >= _MINIMUM,
            func.substr(value, 1, 1) == literal(b"\xf5", kind),
        )
        prefix, nothing = func.substr(value, 1, HEADER_LENGTH), literal(b"", kind)
    head = case((shaped, prefix), else_=nothing).label("head")
    source = table(owner.name, value, schema=owner.schema)
    inside = select(value.is_(None).label("is_null"), head).select_from(source)
    heads = inside.subquery()
    return select(heads.c.is_null, heads.c.head, func.count()).group_by(
        heads.c.is_null, heads.c.head
    )


def _header(prefix: Any) -> Header | None:
    try:
        data = from_text(prefix) if isinstance(prefix, str) else bytes(prefix or b"")
        return Header.parse(data)
    except DecryptionError:
        return None


def _state(header: Header, sealed: SealedColumn, keyring: Keyring | None) -> str:
    if keyring is None:
        return "not looked up"
    key = keyring.get(header.kid)
    if key is None:
        return "unknown key"
    field = sealed.type.field()
    if header in (former.header(key) for former in field.accepts):
        return "former declaration"
    if header != field.header(key):
        return "other declaration"
    return keyring.state(key.version).value
