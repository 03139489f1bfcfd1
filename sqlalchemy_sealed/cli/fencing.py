"""The commands ``sealed fence`` and ``sealed left``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sqlalchemy_sealed.cli.options import (
    as_json,
    job_engine,
    key_options,
    load_keyring,
    load_target,
    target_options,
)
from sqlalchemy_sealed.cli.output import print_json, print_table, talk
from sqlalchemy_sealed.errors import FenceError
from sqlalchemy_sealed.jobs.fence import FenceKind, drop_fence, fence_in, fences_of
from sqlalchemy_sealed.jobs.reencryption import Reencryption
from sqlalchemy_sealed.jobs.rowkey import key_to_text
from sqlalchemy_sealed.targets import sealed_tables

__all__ = ["fence", "left"]


@click.group()
def fence() -> None:
    """Have the database refuse writes that would bypass encryption or rotation."""


@fence.command("add")
@target_options
@key_options
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in FenceKind]),
    default=FenceKind.SHAPE.value,
    show_default=True,
)
def add(
    target: str, url: str, keys: Path | None, active: int | None, kind: str
) -> None:
    """Put fences up, after a look that finds nothing outside of them, and validate."""
    with job_engine(url, load_keyring(keys, active)) as engine:
        job = Reencryption(engine, load_target(target))
        for mover in job.movers():
            found = mover.leftovers
            if FenceKind(kind) is FenceKind.KEYS and found.exist():
                raise FenceError(
                    f"{mover.move.name}: rows under former keys are left; re-encrypt "
                    "first, or let it do both: sealed reencrypt --fence keys"
                )
        for sealed in sealed_tables(load_target(target)):
            for one in fence_in(engine, sealed, FenceKind(kind)):
                talk(f"{one.table}.{one.column}: fenced ({one.name})")


@fence.command("drop")
@target_options
@click.option("--kind", type=click.Choice([kind.value for kind in FenceKind]))
def drop(target: str, url: str, kind: str | None) -> None:
    """Take fences down."""
    with job_engine(url, None) as engine:
        for sealed in sealed_tables(load_target(target)):
            for one in fences_of(engine, sealed.name):
                if kind is None or one.kind is FenceKind(kind):
                    drop_fence(engine, sealed, one)
                    talk(f"{one.table}.{one.column}: no longer fenced ({one.name})")


@fence.command("list")
@target_options
@as_json
def list_fences(target: str, url: str, as_json: bool) -> None:
    """Show the fences that are recorded."""
    with job_engine(url, None) as engine:
        found = [
            one
            for sealed in sealed_tables(load_target(target))
            for one in fences_of(engine, sealed.name)
        ]
    if as_json:
        print_json([{**asdict(one), "kind": one.kind.value} for one in found])
        return
    print_table(
        ["table", "column", "kind", "kids", "validated", "name"],
        [
            [
                one.table,
                one.column,
                one.kind.value,
                " ".join(kid[:16] for kid in one.kids),
                "yes" if one.validated else "no",
                one.name,
            ]
            for one in found
        ],
    )


@click.command()
@target_options
@key_options
@click.option(
    "--index",
    type=click.Choice(["create", "drop"]),
    help="Create or drop a partial index that answers in less than a millisecond "
    "(PostgreSQL, SQLite).",
)
@click.option("--list", "listed", type=click.IntRange(min=1), help="Show so many keys.")
@as_json
def left(
    target: str,
    url: str,
    keys: Path | None,
    active: int | None,
    index: str | None,
    listed: int | None,
    as_json: bool,
) -> None:
    """Count the rows that are not under the active key yet."""
    with job_engine(url, load_keyring(keys, active)) as engine:
        found: list[dict[str, Any]] = []
        for mover in Reencryption(engine, load_target(target)).movers():
            leftovers = mover.leftovers
            if index == "create":
                leftovers.create_index()
            if index == "drop":
                leftovers.drop_index()
            rows = leftovers.next(listed) if listed else []
            found.append(
                {
                    "table": mover.move.name,
                    "left": leftovers.count(),
                    "keys": [key_to_text(key) for key in rows],
                }
            )
    if as_json:
        print_json(found)
        return
    print_table(["table", "left"], [[str(f["table"]), f"{f['left']:,}"] for f in found])
    for one in found:
        for key in one["keys"]:
            click.echo(f"{one['table']} {key}")
