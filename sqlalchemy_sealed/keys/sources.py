"""Where keys are read from: the environment, a TOML file, a directory of secrets.

Each source names the active version explicitly. Errors name the place and the line or
item, never its content.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy_sealed.errors import (
    ActiveKeyError,
    ConfigurationError,
    KeyFormatError,
    KeyPermissionError,
    KeyPermissionWarning,
)
from sqlalchemy_sealed.keys.key import IndexKey, Key, RootKey
from sqlalchemy_sealed.keys.state import KeyState

__all__ = ["KeySource", "read_directory", "read_environment", "read_file"]


@dataclass(frozen=True)
class KeySource:
    """What a source holds."""

    keys: list[Key]
    active: int | None
    states: Mapping[int, KeyState] = field(default_factory=dict)
    index_keys: list[IndexKey] = field(default_factory=list)


_K = TypeVar("_K", bound=RootKey)
_VERSION: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_SEPARATORS: Final = re.compile(r"[\s,]+")


def read_environment(variable: str) -> KeySource:
    """Read ``active=<version>`` and key texts from an environment variable."""
    _refuse_key(variable)
    text = os.environ.get(variable, "").strip()
    if not text:
        raise ConfigurationError(
            f"the environment variable {variable} is not set; it holds "
            f"'active=1 sealed_root_v1_...' as `sealed keys generate` prints it"
        )
    keys: list[Key] = []
    index_keys: list[IndexKey] = []
    active: list[str] = []
    for number, item in enumerate(filter(None, _SEPARATORS.split(text)), 1):
        if item.startswith("active="):
            active.append(item.removeprefix("active="))
        elif item.startswith(IndexKey.prefix):
            index_keys.append(_key(item, f"{variable}, item {number}", IndexKey))
        else:
            keys.append(_key(item, f"{variable}, item {number}", Key))
    if len(active) != 1:
        raise ActiveKeyError(
            f"{variable} names {len(active)} active versions; "
            "write exactly one item active=<version>"
        )
    return KeySource(keys, _number(active[0], variable), index_keys=index_keys)


def read_file(path: Path) -> KeySource:
    """Read a TOML key file that only its owner may read."""
    _refuse_key(str(path))
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            private = os.name != "posix" or not mode & (stat.S_IRWXG | stat.S_IRWXO)
            content = file.read() if private else b""
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the key file {path}: {error.strerror}; "
            "make one with `sealed keys generate --out FILE`"
        ) from None
    if not private:
        raise KeyPermissionError(
            f"{path} may be read or changed by others (mode {stat.S_IMODE(mode):04o}); "
            f"run: chmod 600 {path}"
        )
    return _parse(_toml(content, path), path)


def _toml(content: bytes, path: Path) -> dict[str, Any]:
    table: dict[str, Any] | None = None
    with contextlib.suppress(ValueError):
        table = tomllib.loads(content.decode())
    if table is None:
        # Raised outside the handler: the parser's own error may quote the file.
        raise ConfigurationError(f"{path} is not valid TOML")
    return table


def _parse(table: dict[str, Any], path: Path) -> KeySource:
    unknown = sorted(set(table) - {"active", "index_keys", "keys", "states"})
    if unknown:
        raise ConfigurationError(
            f"{path} has unknown entries ({len(unknown)}); "
            "it holds active, keys, index_keys and states only"
        )
    active = table.get("active")
    if not isinstance(active, int) or isinstance(active, bool):
        raise ActiveKeyError(f"{path}: write active = <version>, exactly one")
    return KeySource(
        _keys(table, "keys", path, Key),
        active,
        _states(table.get("states", {}), path),
        _keys({"index_keys": [], **table}, "index_keys", path, IndexKey),
    )


def _keys(table: dict[str, Any], name: str, path: Path, kind: type[_K]) -> list[_K]:
    texts = table.get(name)
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise ConfigurationError(f'{path}: write {name} = ["{kind.prefix}v1_...", ...]')
    what = name.removesuffix("s").replace("_", " ")
    return [_key(t, f"{path}, {what} {n}", kind) for n, t in enumerate(texts, 1)]


def _states(table: Any, path: Path) -> dict[int, KeyState]:
    allowed = {state.value: state for state in KeyState}
    states: dict[int, KeyState] = {}
    if not isinstance(table, dict):
        table = {"": ""}
    for version, name in table.items():
        known = isinstance(name, str) and name in allowed
        if not known or not _VERSION.fullmatch(version):
            raise ConfigurationError(
                f'{path}: write [states] as 1 = "suspended", with one of: '
                + ", ".join(allowed)
            )
        states[int(version)] = allowed[name]
    return states


def read_directory(path: Path, active: int | None, prefix: str) -> KeySource:
    """Read one key per file, as Docker and Kubernetes mount secrets."""
    _refuse_key(str(path))
    if not path.is_dir():
        raise ConfigurationError(f"the key directory {path} does not exist")
    keys = _mounted(path, prefix, Key)
    index_keys = _mounted(path, f"{prefix}index_", IndexKey)
    if not keys:
        raise ConfigurationError(f"{path} has no file {prefix}v1, {prefix}v2, ...")
    if active is None:
        marker = path / f"{prefix}active"
        if not marker.is_file():
            raise ActiveKeyError(
                f"{path} does not name the active version: write its number into "
                f"{marker.name}, or pass active=<version>"
            )
        active = _number(_read_secret(marker, public=True).strip(), str(marker))
    return KeySource(keys, active, index_keys=index_keys)


def _mounted(path: Path, prefix: str, kind: type[_K]) -> list[_K]:
    pattern = re.compile(re.escape(prefix) + r"v([1-9][0-9]*)(?:\.txt)?")
    keys: list[_K] = []
    for file in sorted(path.iterdir()):
        match = pattern.fullmatch(file.name)
        if match is None:
            continue
        key = _key(_read_secret(file), str(file), kind)
        if key.version != int(match[1]):
            raise KeyFormatError(
                f"{file} holds key version {key.version}: the file name and the key "
                "disagree; put every key into the file of its own version"
            )
        keys.append(key)
    return keys


def _read_secret(file: Path, public: bool = False) -> str:
    try:
        mode = file.stat().st_mode
        text = file.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    if os.name == "posix" and mode & stat.S_IROTH and not public:
        warnings.warn(
            f"{file} can be read by every user of this machine; "
            "mount the secret with mode 0400 where the platform allows it",
            KeyPermissionWarning,
            stacklevel=5,  # the caller of Keyring.from_directory
        )
    return text


def _refuse_key(place: str) -> None:
    # The error of a file that does not exist would print the name, which is the key.
    if Key.prefix in place or IndexKey.prefix in place:
        raise KeyFormatError(
            "a key was given where the place of the keys is expected: name a variable, "
            "a file or a directory. Treat the key as known to others"
        )


def _key(text: str, place: str, kind: type[_K]) -> _K:
    try:
        return kind.from_text(text)
    except KeyFormatError as error:
        reason = str(error)
    raise KeyFormatError(f"{place}: {reason}")


def _number(text: str, place: str) -> int:
    if not _VERSION.fullmatch(text):
        raise ActiveKeyError(f"{place}: the active version is not a number")
    return int(text)
