"""``sealed keys``: generate, list and rotate."""

from __future__ import annotations

from pathlib import Path

import click

from sqlalchemy_sealed.cli.keyfile import (
    add_key,
    create_file,
    environment_text,
    remove_key,
    set_active,
)
from sqlalchemy_sealed.cli.options import (
    as_json,
    job_engine,
    key_options,
    load_keyring,
    load_target,
    target_options,
)
from sqlalchemy_sealed.cli.output import print_json, print_table, talk
from sqlalchemy_sealed.destruction import check_unused
from sqlalchemy_sealed.errors import KeyStateError
from sqlalchemy_sealed.jobs.fence import check_fences
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.keys.state import KeyState

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Make, list and rotate keys."""


@keys.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write a key file, 0600.")
@as_json
def generate(out: Path | None, as_json: bool) -> None:
    """Make a new keyring with one key, and one index key for blind indexes.

    Without --out the value of the variable SEALED_KEYS is printed on stdout: it is the
    secret itself.
    """
    keyring = Keyring.generate()
    key = keyring.active
    if out is None:
        text = environment_text(keyring)
        talk("The line on stdout is secret. Put it into the variable SEALED_KEYS.")
        if as_json:
            print_json({"SEALED_KEYS": text, "version": 1, "kid": key.kid.hex()})
        else:
            click.echo(text)
        return
    create_file(out, keyring)
    talk(f"wrote {out}, readable by its owner only")
    if as_json:
        print_json({"file": str(out), "version": 1, "kid": key.kid.hex()})
    else:
        click.echo(str(out))


@keys.command("list")
@key_options
@as_json
def list_(keys: Path | None, active: int | None, as_json: bool) -> None:
    """List versions, key ids and states. No secret is shown."""
    keyring = load_keyring(keys, active)
    rows = [
        {
            "kind": "data",
            "version": key.version,
            "kid": key.kid.hex(),
            "state": keyring.state(key.version).value,
        }
        for key in keyring
    ]
    rows += [
        {
            "kind": "index",
            "version": key.version,
            "kid": key.kid.hex(),
            "state": "published",
        }
        for key in keyring.index_keys
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            list(rows[0]),
            [[str(value) for value in row.values()] for row in rows],
        )


@keys.command()
@key_options
@click.option("--activate", is_flag=True, help="Second step: let it seal new values.")
@click.option("--now", is_flag=True, help="Both steps at once, for a single process.")
@click.option("--index", is_flag=True, help="Publish a version of the index key.")
@click.option(
    "--url",
    envvar="DATABASE_URL",
    help="Database whose fences are asked before a version is activated. "
    "Default: DATABASE_URL, if it is set.",
)
@as_json
def rotate(
    keys: Path | None,
    active: int | None,
    activate: bool,
    now: bool,
    index: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Publish a new key version, or activate the published one.

    Two visible steps: publish, give the new version to every process, then --activate.
    A process that does not hold it yet could not read what the others write.
    """
    if activate + now + index > 1:
        raise click.UsageError("--activate, --now and --index exclude each other")
    keyring = load_keyring(keys, active)
    if index:
        _publish_index(keyring, keys)
    if activate or now:
        _check_fences(url, keyring)
    if not index and not activate:
        _publish(keyring, keys, now)
    if activate or now:
        _activate(keyring, keys)
    newest = keyring.index_keys[-1] if index else keyring.keys[-1]
    if keys is None:
        talk("The line on stdout is secret. Put it into the variable SEALED_KEYS.")
    if as_json:
        result = {
            "version": newest.version,
            "kid": newest.kid.hex(),
            "active": keyring.active.version,
        }
        secret = {"SEALED_KEYS": environment_text(keyring)} if keys is None else {}
        print_json({**result, **secret})
    elif keys is None:
        click.echo(environment_text(keyring))
    else:
        click.echo(f"active={keyring.active.version} newest={newest.version}")


@keys.command()
@click.argument("version", type=click.IntRange(min=1))
@target_options
@click.option(
    "--keys",
    "path",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Key file or directory of secrets.",
)
@click.option(
    "--active",
    type=click.IntRange(min=1),
    help="Active version, for a directory that does not name it.",
)
@click.confirmation_option(
    prompt="The key is removed for ever; backups that need it cannot be read. Go on?"
)
def destroy(
    version: int, target: str, url: str, path: Path, active: int | None
) -> None:
    """Remove a key version, if no value of the target is sealed under it.

    The target names every table with sealed columns. Other databases and backups are
    not looked at.
    """
    keyring = load_keyring(path, active)
    key = next((one for one in keyring if one.version == version), None)
    if key is None or key is keyring.active:
        what = "is not there" if key is None else "is active"
        raise KeyStateError(f"key version {version} {what}; nothing was removed")
    with job_engine(url, None) as engine:
        seen = check_unused(engine, load_target(target), key)
    remove_key(path, version)
    talk(f"removed key version {version}; {seen:,} values were counted, none under it")


def _check_fences(url: str | None, keyring: Keyring) -> None:
    """Refuse to activate a version that a fence of the database excludes."""
    if url is None:
        return
    # A version that is not made yet is named by no fence.
    pending = [key.kid for key in keyring if key.version in _pending(keyring)]
    with job_engine(url, None) as engine:
        kids: list[bytes | None] = [*pending] or [None]
        for kid in kids:
            check_fences(engine, kid)


def _pending(keyring: Keyring) -> list[int]:
    return [
        key.version
        for key in keyring
        if keyring.state(key.version) is KeyState.PRE_ACTIVE
    ]


def _publish(keyring: Keyring, path: Path | None, now: bool) -> None:
    pending = _pending(keyring)
    if pending:
        raise KeyStateError(
            f"key version {pending[0]} is published and not active yet; activate it "
            "first: sealed keys rotate --activate"
        )
    key = keyring.publish()
    if path is not None:
        add_key(path, key)
    if not now:
        talk(
            f"published key version {key.version}. Give it to every process, restart "
            "them, then run: sealed keys rotate --activate"
        )


def _publish_index(keyring: Keyring, path: Path | None) -> None:
    key = keyring.publish_index()
    if path is not None:
        add_key(path, key)
    talk(
        f"published index key version {key.version}. Give it to every process; a "
        f"BlindIndex uses it once it says so: BlindIndex(..., version={key.version})"
    )


def _activate(keyring: Keyring, path: Path | None) -> None:
    pending = _pending(keyring)
    if len(pending) != 1:
        raise KeyStateError(
            "there is no published version to activate; run first: sealed keys rotate"
            if not pending
            else f"several versions are published ({pending}); name the active one "
            "in the key file"
        )
    keyring.activate(pending[0])
    if path is not None:
        set_active(path, pending[0])
    talk(
        f"key version {pending[0]} is active. Restart the processes, then move the "
        "old rows: sealed reencrypt MODULE:NAME --url URL"
    )
