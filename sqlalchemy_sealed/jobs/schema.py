"""The columns at work, as the database has them: their hash notices a change."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from sqlalchemy import Engine, text

from sqlalchemy_sealed.errors import SchemaChangedError
from sqlalchemy_sealed.jobs.move import Move
from sqlalchemy_sealed.jobs.tablename import table_name

__all__ = ["check_schema", "schema_hash"]

#: The number of a column stays when it is renamed, and differs when another column
#: takes its name.
_POSTGRESQL: Final = """
SELECT c.oid::bigint, a.attname, a.attnum, a.atttypid::bigint, a.atttypmod
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.oid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
"""
_MARIADB: Final = """
SELECT table_name, column_name, ordinal_position, column_type, collation_name
FROM information_schema.columns
WHERE table_schema = coalesce(:schema, database()) AND table_name = :name
"""
_SQLITE: Final = "SELECT 0, name, cid, type, pk FROM pragma_table_info(:name)"


def schema_hash(engine: Engine, move: Move) -> str:
    """Return the hash of the columns that a move reads and writes.

    Raises:
        SchemaChangedError: a column, or the table, is not there.

    """
    names = [column.name for column in move.key]
    names += [slot.name for slot in move.slots]
    names += move.tenants
    found = {str(row[1]): list(map(str, row)) for row in _columns(engine, move)}
    missing = [name for name in names if name not in found]
    if missing:
        what = f"no column {', '.join(missing)}" if found else "no such table"
        raise SchemaChangedError(
            f"{move.name}: the database has {what}. Apply the migration that adds "
            "what the model declares, then run again"
        )
    described = json.dumps([found[name] for name in dict.fromkeys(names)])
    return hashlib.sha256(described.encode()).hexdigest()


def check_schema(engine: Engine, move: Move, expected: str) -> None:
    """Refuse to go on with a table that is not what it was.

    Raises:
        SchemaChangedError: a column at work was altered, replaced, renamed or dropped.

    """
    if schema_hash(engine, move) != expected:
        raise SchemaChangedError(
            f"{move.name}: the columns at work are not what they were when the run "
            "began; nothing was written since. If the change is right, give the run "
            "up (sealed reencrypt cancel) and start again"
        )


def _columns(engine: Engine, move: Move) -> Any:
    table = move.table
    quoted = table_name(engine.dialect, table)
    name = engine.dialect.name
    if name == "postgresql":
        statement, values = _POSTGRESQL, {"table": quoted}
    elif name == "sqlite":
        statement, values = _SQLITE, {"name": table.name}
    else:
        statement = _MARIADB
        values = {"schema": table.schema, "name": table.name}  # type: ignore[dict-item]
    with engine.connect() as connection:
        return connection.execute(text(statement), values).all()
