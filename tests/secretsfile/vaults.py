"""Files of secrets for tests: the values, the keys, and how they are written."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy_sealed import Key, Keyring

VALUES: dict[str, Any] = {
    "slack": "TOPSECRET-xoxb",
    "grüße 東京": "TOPSECRET-ß\u0000\n☃",
    "": "TOPSECRET with an empty name",
    "nested": {"client": {"id": 7, "keys": ["TOPSECRET-a", None, True, 1.5, -0.0]}},
    "number": 12345678901234567890,
    "null": None,
    "looks sealed": "sld:TOPSECRET",
}
TEXTS = {name: value for name, value in VALUES.items() if isinstance(value, str)}
OLD, NEW = Key(1, bytes([1]) * 32), Key(2, bytes([2]) * 32)
ONE = Keyring([OLD], active=1)
BOTH = Keyring([OLD, NEW], active=2)
FERNET_KEY = base64.urlsafe_b64encode(bytes(range(224, 256))).decode()


def write(path: Path, content: dict[str, Any] | str, mode: int = 0o600) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)
    path.chmod(mode)
    return path


def tokens(values: dict[str, str], key: str = FERNET_KEY) -> dict[str, str]:
    return {n: Fernet(key).encrypt(v.encode()).decode() for n, v in values.items()}


def sealed_values(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())["secrets"]


def change(path: Path, name: str, value: Any) -> None:
    document = json.loads(path.read_text())
    document["secrets"][name] = value
    path.write_text(json.dumps(document))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
