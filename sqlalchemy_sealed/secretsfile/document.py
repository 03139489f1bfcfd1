"""The documents: a sealed secrets file, and the JSON objects that it replaces.

A sealed file is ``{"format": "sealed-secrets/1", "secrets": {name: "sld:..."}}``. Any
other JSON object is names and plaintext, or names and Fernet tokens. Reading is strict:
what would not be written back the same is refused, and no message holds a value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from sqlalchemy_sealed.errors import SecretsFileError

__all__ = ["FORMAT", "Document", "canonical", "differing"]

FORMAT: Final = "sealed-secrets/1"
_FAMILY: Final = "sealed-secrets/"


@dataclass(frozen=True)
class Document:
    """What a file holds.

    Attributes:
        sealed: whether it is a sealed secrets file; the values are envelopes then.
        values: by name, as they are written.

    """

    sealed: bool
    values: Mapping[str, Any] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the JSON text."""
        values = dict(self.values)
        whole = {"format": FORMAT, "secrets": values} if self.sealed else values
        text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Document:
        """Read the JSON text.

        Raises:
            SecretsFileError: it is not JSON, no object, or of a later format.

        """
        whole = _load(data, path)
        if not isinstance(whole, dict):
            raise SecretsFileError(
                f"{path} holds a JSON {type(whole).__name__}; a secrets file is an "
                "object of names and secrets. Is it the right file?"
            )
        label = whole.get("format")
        if isinstance(label, str) and label.startswith(_FAMILY):
            return cls(sealed=True, values=_named(_secrets(whole, path), path))
        return cls(sealed=False, values=_named(whole, path))


def canonical(value: Any) -> str:
    """Return the one text of a JSON value; ``1``, ``1.0`` and ``true`` differ."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names whose values differ, or that only one of the two has."""
    return sorted(
        name
        for name in {*one, *other}
        if name not in one
        or name not in other
        or canonical(one[name]) != canonical(other[name])
    )


def _secrets(whole: dict[str, Any], path: Path) -> dict[str, Any]:
    if whole["format"] != FORMAT:
        raise SecretsFileError(
            f"{path} is a sealed secrets file of a later format than {FORMAT}: "
            "upgrade sqlalchemy-sealed to read it"
        )
    secrets = whole.get("secrets")
    if set(whole) != {"format", "secrets"} or not isinstance(secrets, dict):
        raise SecretsFileError(
            f'{path} is damaged: a sealed secrets file holds "format" and an object '
            '"secrets", and nothing else. Restore it from a backup'
        )
    return secrets


def _named(values: dict[str, Any], path: Path) -> dict[str, Any]:
    # A lone surrogate is JSON, and no text that could be authenticated.
    broken = [name for name in values if not _is_text(name)]
    if broken:
        raise SecretsFileError(
            f"{path} has {len(broken)} names that are no valid Unicode: rename "
            + ", ".join(ascii(name) for name in broken)
        )
    return values


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class _RefusedError(ValueError):
    """JSON that Python reads and that would not be written back the same."""


def _load(data: bytes, path: Path) -> Any:
    try:
        return json.loads(data, object_pairs_hook=_object, parse_constant=_constant)
    except _RefusedError as error:
        reason = str(error)
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except (ValueError, RecursionError):
        reason = "a number is too long, or objects are nested too deeply"
    # Raised outside the handlers: the parser's own error holds the whole file.
    raise SecretsFileError(
        f"{path} is not JSON: {reason}. The file was cut off or edited by hand: "
        "correct it, or restore it from a backup"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RefusedError(
            "a name occurs twice in one object, one value would get lost"
        )
    return made


def _constant(_name: str) -> NoReturn:
    raise _RefusedError("NaN and Infinity are no JSON numbers")
