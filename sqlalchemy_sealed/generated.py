"""Primary keys that must be known before a row is sealed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, column, func, select
from sqlalchemy.orm import object_session
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.schema import Sequence

from sqlalchemy_sealed.errors import EncodingError
from sqlalchemy_sealed.placement import Placement

__all__ = ["fetch_keys"]


def fetch_keys(placement: Placement, connection: Connection, target: Any) -> None:
    """Give a new instance the parts of its primary key that a default would give it.

    Python defaults are called, sequences are asked. Keys of PostgreSQL's SERIAL and
    IDENTITY columns are fetched for all new instances of the class at once. Any other
    key that the database makes stays away, and sealing says so.
    """
    mapper = instance_state(target).mapper
    for name in placement.row:
        if getattr(target, name) is not None:
            continue
        columns = mapper.attrs[name].columns
        for one in columns:
            if one.default is not None:
                setattr(target, name, _default(placement, one, connection))
                break
        else:
            serial = [c for c in columns if c.table._autoincrement_column is c]  # noqa: SLF001 - as the ORM asks it
            if serial and connection.dialect.name == "postgresql":
                _fetch_serial(connection, serial[-1], name, target)


def _default(placement: Placement, column: Column[Any], connection: Connection) -> Any:
    default: Any = column.default
    if isinstance(default, Sequence):
        return connection.scalar(default)
    if default.is_scalar:
        return default.arg
    if default.is_callable:
        failed = ""
        try:
            return default.arg(None)
        except (AttributeError, TypeError) as error:
            failed = type(error).__name__
        raise EncodingError(
            f"{placement.name}: the default of the primary key needs the statement it "
            f"belongs to ({failed}), and the row is sealed before there is one. Use a "
            "function without arguments"
        )
    return connection.scalar(select(default.arg))


def _fetch_serial(
    connection: Connection, primary: Column[Any], name: str, target: Any
) -> None:
    session = object_session(target)
    kind = type(target)
    new = [one for one in (session.new if session else ()) if type(one) is kind]
    waiting = [one for one in new if getattr(one, name) is None and one is not target]
    waiting.insert(0, target)
    table = connection.dialect.identifier_preparer.format_table(primary.table)
    sequence = func.pg_get_serial_sequence(table, primary.name)
    series = func.generate_series(1, len(waiting)).table_valued(column("n"))
    found = connection.scalars(select(func.nextval(sequence)).select_from(series))
    for one, value in zip(waiting, found, strict=True):
        setattr(one, name, value)
