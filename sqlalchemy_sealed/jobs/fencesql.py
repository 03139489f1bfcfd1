"""The SQL of fences: the headers they let through, and what puts them up and down."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from sqlalchemy import Engine

from sqlalchemy_sealed.envelope import SENTINEL, to_text
from sqlalchemy_sealed.jobs.literal import header_sql
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.targets import SealedColumn, SealedTable

__all__ = ["FenceKind", "allowed", "condition", "down", "up"]


class FenceKind(enum.Enum):
    """What a fence lets through."""

    SHAPE = "shape"
    KEYS = "keys"


def allowed(
    engine: Engine, column: SealedColumn, kind: FenceKind
) -> tuple[tuple[str, ...], list[bytes | str]]:
    """Return the kids, in hex, and the first bytes or characters that get through."""
    field = column.type.field()
    if kind is FenceKind.KEYS:
        active = binding_of(engine.dialect).keyring(field.context).active
        header = bytes(field.header(active))
        return (active.kid.hex(),), [to_text(header) if column.is_text else header]
    suites = sorted({shape[0] for shape in field.shapes})
    if not column.is_text:
        return (), [bytes((SENTINEL, suite)) for suite in suites]
    # Two bytes are two characters and a part of a third, whose rest is 0: the two
    # highest bits of the flags are.
    return (), [to_text(bytes((SENTINEL, suite, 0)))[:-1] for suite in suites]


def condition(
    engine: Engine, column: SealedColumn, prefixes: Sequence[bytes | str], row: str = ""
) -> str:
    """Return the condition that a value gets through."""
    name = row + engine.dialect.identifier_preparer.quote(column.name)
    listed = ", ".join(header_sql(one, engine.dialect) for one in prefixes)
    value = name
    if column.is_text and engine.dialect.name in {"mysql", "mariadb"}:
        value = f"CAST({name} AS BINARY)"
    elif column.is_text and engine.dialect.name == "postgresql":
        value = f'{name} COLLATE "C"'
    return f"{name} IS NULL OR substr({value}, 1, {len(prefixes[0])}) IN ({listed})"


def up(
    engine: Engine,
    sealed: SealedTable,
    column: SealedColumn,
    name: str,
    wanted: str,
) -> list[str]:
    """Return the statements that put a fence up."""
    quote = engine.dialect.identifier_preparer
    table = quote.format_table(sealed.table)
    if engine.dialect.name == "postgresql":
        return [f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({wanted}) NOT VALID"]
    own = quote.quote(column.name)
    wrong = f"NOT ({wanted})"
    if engine.dialect.name == "sqlite":
        changed = f"NEW.{own} IS NOT OLD.{own} AND {wrong}"
        head = f"ON {table} FOR EACH ROW WHEN"
        tail = f"BEGIN SELECT RAISE(ABORT, '{name}: only sealed values'); END"
        return [
            f"CREATE TRIGGER {name}_insert BEFORE INSERT {head} {wrong} {tail}",
            f"CREATE TRIGGER {name}_update BEFORE UPDATE OF {own} {head} {changed} "
            + tail,
        ]
    changed = f"NOT (NEW.{own} <=> OLD.{own}) AND {wrong}"
    head = f"ON {table} FOR EACH ROW IF"
    tail = (
        "THEN SIGNAL SQLSTATE '45000' "
        f"SET MESSAGE_TEXT = '{name}: only sealed values'; END IF"
    )
    return [
        f"CREATE TRIGGER {name}_insert BEFORE INSERT {head} {wrong} {tail}",
        f"CREATE TRIGGER {name}_update BEFORE UPDATE {head} {changed} {tail}",
    ]


def down(engine: Engine, name: str, table: str) -> list[str]:
    """Return the statements that take a fence down."""
    if engine.dialect.name == "postgresql":
        return [f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"]
    events = ("insert", "update")
    return [f"DROP TRIGGER IF EXISTS {name}_{event}" for event in events]
