"""Whether a column has been replaced already: what is remembered, and what is there."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.types import TypeEngine

from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.jobs.literal import begins_sealed
from sqlalchemy_sealed.jobs.slot import Form, Slot

__all__ = ["has_arrived"]


def has_arrived(
    connection: sa.Connection,
    table: str,
    schema: str | None,
    stored: ReflectedColumn,
    kind: TypeEngine[Any],
) -> bool:
    """Tell whether a column holds what it was to be replaced by.

    That it was replaced once is remembered by its name, and another way, or a restored
    table, may have brought the former column back since.

    Args:
        connection: of the revision.
        table: the table.
        schema: of the table.
        stored: the column, as the database describes it.
        kind: the type that it was to get.

    """
    is_text = isinstance(stored["type"], sa.String)
    is_sealed = isinstance(kind, EncryptedType)
    if isinstance(kind, EncryptedType) and is_text is not (kind.storage == "text"):
        return False
    if not is_text and not isinstance(stored["type"], sa.types._Binary):  # noqa: SLF001 - the base of BLOB, BYTEA and their like
        return not is_sealed
    own: sa.Column[Any] = sa.Column(stored["name"], stored["type"])
    place = sa.Table(table, sa.MetaData(), own, schema=schema)
    form = Form.TEXT if is_text else Form.BYTES
    value = Slot(own, form, is_written=False).bytewise(own, connection.dialect)
    shape = begins_sealed(value, is_text, connection.dialect)
    wrong = sa.and_(own.is_not(None), ~shape if is_sealed else shape)
    found = sa.select(sa.literal(1)).select_from(place).where(wrong).limit(1)
    return connection.execute(found).first() is None
