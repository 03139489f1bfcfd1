"""Whether what a fence is made of is still in the database.

A table that was copied, as Alembic's batch mode does on SQLite, has lost its triggers.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, Table, bindparam, text
from sqlalchemy import types as sa

__all__ = ["stands"]

_TRIGGERS: Final = """
SELECT count(*) FROM information_schema.triggers
WHERE trigger_name IN (concat(:name, '_insert'), concat(:name, '_update'))
AND event_object_table = :table_name
AND event_object_schema = coalesce(:schema, database())
"""
_QUERIES: Final = {
    "postgresql": """
SELECT count(*) FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.conname = :name AND t.relname = :table_name
AND (n.nspname = :schema OR (:schema IS NULL AND pg_table_is_visible(t.oid)))
""",
    "sqlite": """
SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table_name
AND name IN (:name || '_insert', :name || '_update') AND coalesce(:schema, '') = ''
""",
    "mysql": _TRIGGERS,
    "mariadb": _TRIGGERS,
}


def stands(engine: Engine, table: Table, name: str) -> bool:
    """Tell whether a recorded fence is there: a constraint, or both of its triggers."""
    kinds = [bindparam(n, type_=sa.String()) for n in ("name", "table_name", "schema")]
    query = text(_QUERIES[engine.dialect.name]).bindparams(*kinds)
    where = {"name": name, "table_name": table.name, "schema": table.schema}
    wanted = 1 if engine.dialect.name == "postgresql" else 2
    with engine.connect() as connection:
        found: int | None = connection.scalar(query, where)
    return found == wanted
