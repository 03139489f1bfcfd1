"""The commands that move rows: reencrypt, encrypt, decrypt, fill-index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from sqlalchemy_sealed.cli.options import (
    as_json,
    key_options,
    load_target,
    target_options,
)
from sqlalchemy_sealed.cli.pacing import Running, job_options, pace_of, pace_options
from sqlalchemy_sealed.cli.running import JobCall, run_job
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.decryption import Decryption
from sqlalchemy_sealed.jobs.encryption import Encryption
from sqlalchemy_sealed.jobs.indexfill import IndexFill
from sqlalchemy_sealed.jobs.job import Job
from sqlalchemy_sealed.jobs.migration import Migration
from sqlalchemy_sealed.jobs.pace import Pace
from sqlalchemy_sealed.jobs.progress import Progress
from sqlalchemy_sealed.jobs.reencryption import Reencryption

__all__ = ["decrypt", "encrypt", "fill_index", "migrate", "retry_dead", "start"]

_KINDS: dict[str, Callable[..., Job]] = {
    "reencrypt": Reencryption,
    "encrypt": Encryption,
    "decrypt": Decryption,
    "fill-index": IndexFill,
    "migrate": Migration,
}


def _make(
    engine: Engine,
    report: Callable[[Progress], None],
    kind: str,
    target: str,
    columns: Mapping[str, str] | None,
    pace: Pace,
    running: Running,
) -> Job:
    """Make a job; called in every process that works on it."""
    given = (
        (load_target(target),) if columns is None else (load_target(target), columns)
    )
    return _KINDS[kind](
        engine,
        *given,
        pace=pace,
        max_dead_letters=running.max_dead_letters,
        fence=running.fence_kind,
        settle=running.settle,
        on_progress=report,
    )


def _moving(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command that moves rows has."""
    for add in (as_json, job_options, pace_options, key_options, target_options):
        command = add(command)
    return command


def _move(
    kind: str,
    target: str,
    url: str,
    keys: Path | None,
    active: int | None,
    columns: Mapping[str, str] | None = None,
    **options: Any,
) -> None:
    try:
        pace = pace_of(options)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    running = Running(**options)
    arguments = (kind, target, columns, pace, running)
    run_job(JobCall(_make, arguments, url, keys, active), running)


@click.command()
@_moving
def start(**options: Any) -> None:
    """Move every row to the active key, or join the run that is open.

    It may be killed at any moment; the same command goes on where it stopped.
    """
    _move("reencrypt", **options)


@click.command("retry-dead")
@_moving
def retry_dead(**options: Any) -> None:
    """Try the values of the last run again that could not be moved, and no others."""
    options["retry_dead"] = True
    _move("reencrypt", **options)


def _columns(
    _context: click.Context, _option: click.Parameter, pairs: Sequence[str]
) -> dict[str, str]:
    found = {}
    for pair in pairs:
        plain, equals, sealed = pair.partition("=")
        if not plain or (equals and not sealed):
            raise ConfigurationError(
                f"--column {pair!r}: write PLAINTEXT=SEALED, or one name for a column "
                "that holds both, in place"
            )
        found[plain] = sealed or plain
    return found


_column_option = click.option(
    "--column",
    "columns",
    multiple=True,
    required=True,
    metavar="PLAINTEXT=SEALED",
    callback=_columns,
    help="Database names of both columns, or one name for a character column that "
    "holds both, in place. May be given several times.",
)


@click.command()
@_column_option
@_moving
def encrypt(**options: Any) -> None:
    """Seal plaintext columns for the first time; the plaintext stays where it is.

    It may be killed at any moment; the same command goes on where it stopped.
    """
    _move("encrypt", **options)


@click.command()
@_column_option
@_moving
def decrypt(**options: Any) -> None:
    """Open sealed columns into plaintext ones: the way back.

    It may be killed at any moment; the same command goes on where it stopped.
    """
    _move("decrypt", **options)


@click.command("fill-index")
@_moving
def fill_index(**options: Any) -> None:
    """Compute the terms of every blind index from the values that are sealed.

    For a new index, or a new version of its key. It may be killed at any moment.
    """
    _move("fill-index", **options)


@click.command()
@_moving
def migrate(**options: Any) -> None:
    """Seal what columns with legacy= or plaintext= still hold, where it is.

    It may be killed at any moment; the same command goes on where it stopped.
    """
    _move("migrate", **options)
