"""The triggers that an UPDATE runs on PostgreSQL, on partitions and heirs too."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Table, text

from sqlalchemy_sealed.jobs.tablename import table_name

__all__ = ["update_triggers"]

_QUERY: Final = """
WITH RECURSIVE tables AS (SELECT CAST(:table AS regclass)::oid AS id
UNION SELECT inhrelid FROM pg_inherits JOIN tables ON inhparent = id)
SELECT tgname, (tgtype & 2) <> 0 FROM pg_trigger JOIN tables ON tgrelid = id
WHERE NOT tgisinternal AND (tgtype & 16) <> 0 ORDER BY tgname
"""


def update_triggers(connection: Connection, table: Table) -> list[tuple[str, bool]]:
    """Return the name of each trigger, and whether it runs before the write."""
    name = table_name(connection.dialect, table)
    found = connection.execute(text(_QUERY), {"table": name})
    return [(str(trigger), bool(before)) for trigger, before in found]
