"""``sealed secrets``: files of secrets, sealed, checked, rotated and restored."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sqlalchemy_sealed.cli.options import as_json, key_options, load_keyring
from sqlalchemy_sealed.cli.output import print_json, print_table, talk
from sqlalchemy_sealed.secretsfile import (
    Report,
    check,
    migrate,
    rollback,
    rotate,
    store,
)
from sqlalchemy_sealed.secretsfile.fernet import key_from_environment

__all__ = ["secrets"]

_ATTENTION = 3
_FILE = click.Path(path_type=Path)
_fernet_option = click.option(
    "--fernet-key-env",
    "variables",
    multiple=True,
    metavar="VARIABLE",
    help="Environment variable that holds a Fernet key of the file; may be repeated.",
)


@click.group()
def secrets() -> None:
    """Seal files of secrets, and look after them."""


@secrets.command("migrate")
@click.argument("source", type=_FILE)
@click.argument("target", type=_FILE)
@key_options
@_fernet_option
@as_json
def migrate_(
    source: Path,
    target: Path,
    keys: Path | None,
    active: int | None,
    variables: tuple[str, ...],
    as_json: bool,
) -> None:
    """Seal a JSON file of secrets, or of Fernet tokens.

    The source becomes SOURCE.bak. Both may be the same file. After a kill, run the same
    command again.
    """
    report = migrate(source, target, load_keyring(keys, active), _keys(variables))
    _print(asdict(report), as_json)
    if report.backup is not None and Path(report.backup).exists():
        held = f"{report.plaintext} secrets in PLAINTEXT" if report.plaintext else ""
        tokens = f"{report.fernet} Fernet tokens" if report.fernet else ""
        what = " and ".join(filter(None, (held, tokens))) or "no secrets"
        talk(
            f"{report.backup} holds {what}. Delete it once the application reads "
            f"{report.target} and the keys are backed up; until then `sealed secrets "
            "rollback` restores it"
        )


@secrets.command("check")
@click.argument("path", metavar="FILE", type=_FILE)
@key_options
@as_json
@click.pass_context
def check_(
    context: click.Context,
    path: Path,
    keys: Path | None,
    active: int | None,
    as_json: bool,
) -> None:
    """Say of every secret whether it is sealed, under which key, and whether it opens.

    Exit code 3: something is not encrypted, does not open, or may be read by others.
    """
    keyring = None
    if keys is None and "SEALED_KEYS" not in os.environ:
        talk("without --keys or SEALED_KEYS no value is opened")
    else:
        keyring = load_keyring(keys, active)
    report = check(path, keyring)
    _print_report(report, as_json)
    if report.needs_attention:
        context.exit(_ATTENTION)


@secrets.command("rotate")
@click.argument("path", metavar="FILE", type=_FILE)
@key_options
@as_json
def rotate_(path: Path, keys: Path | None, active: int | None, as_json: bool) -> None:
    """Move every secret to the active key."""
    _print(asdict(rotate(path, load_keyring(keys, active))), as_json)


@secrets.command("rollback")
@click.argument("path", metavar="FILE", type=_FILE)
@click.option("--to", type=_FILE, help="File to restore. Default: its backup says.")
@key_options
@_fernet_option
@as_json
def rollback_(
    path: Path,
    to: Path | None,
    keys: Path | None,
    active: int | None,
    variables: tuple[str, ...],
    as_json: bool,
) -> None:
    """Restore the file that was migrated, or open the sealed one into it."""
    report = rollback(path, load_keyring(keys, active), to, _keys(variables))
    _print(asdict(report), as_json)
    talk(f"{report.restored} is as it was before; it is not sealed")
    if report.restored != report.path:
        talk(f"{report.path} is still there; delete it once nothing reads it")


@secrets.command("set")
@click.argument("path", metavar="FILE", type=_FILE)
@click.argument("name")
@key_options
@as_json
def set_(
    path: Path, name: str, keys: Path | None, active: int | None, as_json: bool
) -> None:
    """Store one secret, read from stdin or typed, never from the command line."""
    keyring = load_keyring(keys, active)
    if sys.stdin.isatty():
        value = click.prompt("Secret", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    replaced = store(path, name, value, keyring)
    result = {"path": str(path), "name": name, "replaced": replaced}
    _print({**result, "version": keyring.active.version}, as_json)


def _keys(variables: tuple[str, ...]) -> list[str]:
    return [key_from_environment(variable) for variable in variables]


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(values)
        return
    # Paths are long, and a table would cut them off.
    for name, value in values.items():
        if value is not None:
            click.echo(f"{name:<12} {value}")


def _print_report(report: Report, as_json: bool) -> None:
    counts = {
        name: getattr(report, name)
        for name in ("total", "sealed", "plaintext", "fernet", "old", "unreadable")
    }
    if as_json:
        more = {"needs_attention": report.needs_attention, "advice": report.advice}
        print_json({**counts, **asdict(report), **more})
        return
    print_table(
        ["name", "state", "key", "kid", "state of key"],
        [
            [
                # Names come from the file, and could hold terminal codes.
                entry.name if entry.name.isprintable() else ascii(entry.name),
                entry.state.value,
                "" if entry.version is None else f"v{entry.version}",
                (entry.kid or "")[:16],
                entry.state_of_key,
            ]
            for entry in report.entries
        ],
    )
    print_table(list(counts), [[str(count) for count in counts.values()]])
    for advice in report.advice:
        talk(advice)
