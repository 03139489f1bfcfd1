"""Destroying a key: only when a census proves that nothing is sealed under it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, inspect

from sqlalchemy_sealed.errors import KeyInUseError
from sqlalchemy_sealed.jobs.control import states
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.status import status

__all__ = ["check_unused"]


def check_unused(engine: Engine, target: Any, key: Key) -> int:
    """Refuse to destroy a key that values are sealed under.

    Args:
        engine: a synchronous engine; no key is needed.
        target: every table with sealed columns: a base, MetaData, or a list.
        key: the version that is to be destroyed.

    Returns:
        How many values were counted, none of them under the key.

    Raises:
        KeyInUseError: naming the columns, or the run that is still open.

    """
    columns = status(engine, target)
    kid = key.kid.hex()
    used = {
        f"{column.table}.{column.column}": sum(
            one.values for one in column.keys if one.kid == kid
        )
        for column in columns
    }
    left = [f"{name} ({count:,})" for name, count in used.items() if count]
    if left:
        raise KeyInUseError(
            f"values are still sealed under key version {key.version}: "
            f"{', '.join(left)}. Without the key they are lost: move them first, "
            "sealed reencrypt"
        )
    names = {column.table for column in columns}
    runs = states(engine)
    beside = sorted(
        run.table
        for run in runs
        if run.table not in names and _exists(engine, run.table)
    )
    if beside:
        raise KeyInUseError(
            f"jobs have run on tables that were not counted: {', '.join(beside)}. Name "
            "a target that has every table with sealed columns"
        )
    working = [run.table for run in runs if run.is_open and run.table in names]
    if working:
        raise KeyInUseError(
            f"a run is open on {', '.join(working)}; let it end first, or cancel it"
        )
    return sum(column.values for column in columns)


def _exists(engine: Engine, name: str) -> bool:
    schema, _, table = name.rpartition(".")
    return inspect(engine).has_table(table, schema=schema or None)
