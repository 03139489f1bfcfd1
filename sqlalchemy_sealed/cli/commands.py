"""The command ``sealed``, and the commands that only look: status, verify."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from sqlalchemy_sealed.cli.controlling import reencrypt
from sqlalchemy_sealed.cli.demo import demo
from sqlalchemy_sealed.cli.doctor import doctor
from sqlalchemy_sealed.cli.fencing import fence, left
from sqlalchemy_sealed.cli.keys import keys
from sqlalchemy_sealed.cli.moving import decrypt, encrypt, fill_index, migrate
from sqlalchemy_sealed.cli.options import (
    as_json,
    job_engine,
    key_options,
    load_keyring,
    load_target,
    target_options,
)
from sqlalchemy_sealed.cli.output import talk
from sqlalchemy_sealed.cli.report import print_status, print_verifications
from sqlalchemy_sealed.cli.secrets import secrets
from sqlalchemy_sealed.jobs.control import open_runs
from sqlalchemy_sealed.jobs.verification import verify as verify_target
from sqlalchemy_sealed.status import status as census

__all__ = ["cli"]

_ATTENTION = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sqlalchemy-sealed")
def cli() -> None:
    """Field-level encryption for SQLAlchemy."""


_COMMANDS = (
    keys,
    demo,
    reencrypt,
    encrypt,
    decrypt,
    migrate,
    fill_index,
    fence,
    left,
    secrets,
    doctor,
)
for command in _COMMANDS:
    cli.add_command(command)


@cli.command()
@target_options
@key_options
@as_json
@click.pass_context
def status(
    context: click.Context,
    target: str,
    url: str,
    keys: Path | None,
    active: int | None,
    as_json: bool,
) -> None:
    """Count rows per column and key version, plaintext and unknown keys too."""
    keyring = _optional_keyring(keys, active)
    with job_engine(url, keyring) as engine:
        columns = census(engine, load_target(target), keyring)
        runs = open_runs(engine)
    print_status(columns, runs, as_json)
    attention = {"unknown key", "other declaration"}
    if any(
        column.not_sealed or any(key.state in attention for key in column.keys)
        for column in columns
    ):
        context.exit(_ATTENTION)


def _optional_keyring(keys: Path | None, active: int | None) -> Any:
    if keys is None and "SEALED_KEYS" not in os.environ:
        talk("without --keys or SEALED_KEYS the states of the keys are not known")
        return None
    return load_keyring(keys, active)


@cli.command()
@target_options
@key_options
@as_json
@click.pass_context
def verify(
    context: click.Context,
    target: str,
    url: str,
    keys: Path | None,
    active: int | None,
    as_json: bool,
) -> None:
    """Open every value once, and list those that do not open."""
    with job_engine(url, load_keyring(keys, active)) as engine:
        results = verify_target(engine, load_target(target))
    print_verifications(results, as_json)
    if any(result.failed for result in results):
        context.exit(_ATTENTION)


reencrypt.add_command(verify)
