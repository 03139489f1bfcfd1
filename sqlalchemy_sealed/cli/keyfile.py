"""Writing keys: a TOML file or a directory, each replaced in one step, mode 0600."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import tomlkit
from tomlkit.items import Array

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.keys.key import IndexKey, RootKey
from sqlalchemy_sealed.keys.keyring import Keyring

__all__ = ["add_key", "create_file", "environment_text", "remove_key", "set_active"]

_COMMENT = (
    "Root keys of sealed columns. Whoever reads this file reads the columns:\n"
    "mode 0600, never in version control, kept apart from database backups."
)


def environment_text(keyring: Keyring) -> str:
    """Return the value of the variable SEALED_KEYS."""
    texts = " ".join(key.to_text() for key in (*keyring, *keyring.index_keys))
    return f"active={keyring.active.version} {texts}"


def create_file(path: Path, keyring: Keyring) -> None:
    """Write a new key file; an existing one is never overwritten."""
    document = tomlkit.document()
    for line in _COMMENT.splitlines():
        document.add(tomlkit.comment(line))
    document.add("active", tomlkit.item(keyring.active.version))
    document.add("keys", _array([key.to_text() for key in keyring]))
    document.add("index_keys", _array([key.to_text() for key in keyring.index_keys]))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists and is not overwritten: keys in use would be lost. "
            f"Add a version with: sealed keys rotate --keys {path}"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(tomlkit.dumps(document))


def add_key(path: Path, key: RootKey) -> None:
    """Add a version to a key file or directory."""
    indexes = isinstance(key, IndexKey)
    if path.is_dir():
        name = f"enc_key_index_v{key.version}" if indexes else f"enc_key_v{key.version}"
        _replace(path / name, key.to_text() + "\n")
        return
    document = tomlkit.parse(path.read_text())
    entry = "index_keys" if indexes else "keys"
    keys = document.get(entry, _array([]))
    assert isinstance(keys, Array)  # noqa: S101 - the file was read as a keyring
    array = _array([*(str(text) for text in keys), key.to_text()])
    if entry in document:
        document[entry] = array
    else:
        # Entries of the file itself stand before its first table.
        tables = {n: document.pop(n) for n in ("states",) if n in document}
        document.add(entry, array)
        document.update(tables)
    _replace(path, tomlkit.dumps(document))


def set_active(path: Path, version: int) -> None:
    """Name another active version in a key file or directory."""
    if path.is_dir():
        _replace(path / "enc_key_active", f"{version}\n")
        return
    document = tomlkit.parse(path.read_text())
    document["active"] = version
    # The named version is active; what the states said of it before is history.
    states = document.get("states", {})
    for number in [name for name, state in states.items() if state == "active"]:
        del states[number]
    states.pop(str(version), None)
    _replace(path, tomlkit.dumps(document))


def remove_key(path: Path, version: int) -> None:
    """Take a version out of a key file or directory, for ever."""
    if path.is_dir():
        (path / f"enc_key_v{version}").unlink()
        return
    document = tomlkit.parse(path.read_text())
    start = f"sealed_root_v{version}_"
    kept = [str(text) for text in document["keys"] if not str(text).startswith(start)]
    document["keys"] = _array(kept)
    document.get("states", {}).pop(str(version), None)
    _replace(path, tomlkit.dumps(document))


def _array(texts: list[str]) -> Array:
    array = tomlkit.array()
    array.multiline(multiline=True)
    array.extend(texts)
    return array


def _replace(path: Path, text: str) -> None:
    # A crash leaves the old file or the new one, never half of one.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
