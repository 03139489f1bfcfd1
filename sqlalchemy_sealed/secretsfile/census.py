"""What a file of secrets holds: names and states, never values."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy_sealed.envelope import Header, from_text, has_shape
from sqlalchemy_sealed.errors import (
    DecryptionError,
    KeyNotReadableError,
    NotSealedError,
    SecretsFileError,
    UnknownKeyError,
)
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.secretsfile.document import Document
from sqlalchemy_sealed.secretsfile.fernet import is_token
from sqlalchemy_sealed.secretsfile.privatefile import PrivateFile, backup_of, temporary
from sqlalchemy_sealed.secretsfile.secretcipher import SecretCipher

__all__ = ["Entry", "Report", "SecretState", "check"]


class SecretState(enum.StrEnum):
    """What one value of a file is."""

    SEALED = "sealed"
    NOT_OPENED = "sealed, not opened"
    PLAINTEXT = "not encrypted"
    FERNET = "Fernet token"
    WRONG_KEY = "wrong key"
    TAMPERED = "tampered"


@dataclass(frozen=True)
class Entry:
    """One name of a file.

    Attributes:
        name: the name of the secret.
        state: what its value is.
        version: the key version that it is sealed under.
        kid: the key id, in hexadecimal.
        state_of_key: of the keyring, where there is one.
        reason: why it does not open, and what to do.

    """

    name: str
    state: SecretState
    version: int | None = None
    kid: str | None = None
    state_of_key: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What :func:`check` found.

    Attributes:
        path: the file.
        mode: its permissions, in octal.
        is_private: whether nobody but its owner may read or change it.
        problem: why the file as a whole is no secrets file, or nothing.
        entries: one for every name.
        plaintext_files: files beside it that hold the same secrets unencrypted.

    """

    path: str
    mode: str
    is_private: bool
    problem: str = ""
    entries: tuple[Entry, ...] = ()
    plaintext_files: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many secrets there are."""
        return len(self.entries)

    def count(self, *states: SecretState) -> int:
        """Return how many are in one of these states."""
        return sum(entry.state in states for entry in self.entries)

    @property
    def sealed(self) -> int:
        """How many are sealed, and open where there is a keyring."""
        return self.count(SecretState.SEALED, SecretState.NOT_OPENED)

    @property
    def plaintext(self) -> int:
        """How many are not encrypted."""
        return self.count(SecretState.PLAINTEXT)

    @property
    def fernet(self) -> int:
        """How many are Fernet tokens."""
        return self.count(SecretState.FERNET)

    @property
    def unreadable(self) -> int:
        """How many do not open."""
        return self.count(SecretState.WRONG_KEY, SecretState.TAMPERED)

    @property
    def old(self) -> int:
        """How many are sealed under another key than the active one."""
        return sum(e.state_of_key not in {"", "active"} for e in self.entries)

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should look: not for old keys that still read."""
        broken = self.problem or not self.is_private
        return bool(broken) or self.sealed != self.total

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do, one sentence per thing."""
        return tuple(_advice(self))


def check(path: Path, keyring: Keyring | None = None) -> Report:
    """Look at every value of a file, and open it where there is a keyring.

    Any file is looked at: a sealed one, plaintext JSON, or Fernet tokens.

    Raises:
        SecretsFileError: the file cannot be read at all.

    """
    file = PrivateFile.read(path)
    where = (str(path), f"{file.mode:04o}", file.is_private)
    problem = ""
    try:
        document = Document.parse(file.data, path)
    except SecretsFileError as error:
        problem = str(error)
        return Report(*where, problem)
    cipher = None if keyring is None else SecretCipher(path, keyring)
    entries = tuple(
        _entry(name, value, cipher, keyring) if document.sealed else _open(name, value)
        for name, value in document.values.items()
    )
    beside = _plaintext_files(path) if document.sealed else ()
    return Report(*where, problem, entries, tuple(map(str, beside)))


def _open(name: str, value: object) -> Entry:
    token = is_token(value)
    return Entry(name, SecretState.FERNET if token else SecretState.PLAINTEXT)


def _entry(
    name: str, value: object, cipher: SecretCipher | None, keyring: Keyring | None
) -> Entry:
    header = _header(value)
    version = None if header is None else header.version
    kid = None if header is None else header.kid.hex()
    key = None if keyring is None or header is None else keyring.get(header.kid)
    held = "" if key is None or keyring is None else keyring.state(key.version).value
    if cipher is None:
        state = SecretState.PLAINTEXT if header is None else SecretState.NOT_OPENED
        return Entry(name, state, version, kid)
    try:
        cipher.open(name, value)
    except DecryptionError as error:
        return Entry(name, _state(error), version, kid, held, str(error))
    return Entry(name, SecretState.SEALED, version, kid, held)


def _header(value: object) -> Header | None:
    return Header.parse(from_text(value)) if has_shape(value) else None


def _state(error: DecryptionError) -> SecretState:
    if isinstance(error, NotSealedError):
        return SecretState.PLAINTEXT
    if isinstance(error, UnknownKeyError | KeyNotReadableError):
        return SecretState.WRONG_KEY
    return SecretState.TAMPERED


_SOURCE: Final = ".json"


def _plaintext_files(path: Path) -> list[Path]:
    """Return the files beside a sealed one that may hold its plaintext."""
    source = path.with_suffix(_SOURCE)
    names = [backup_of(path), source, backup_of(source), temporary(source)]
    return [name for name in names if name != path and name.exists()]


def _advice(report: Report) -> Iterable[str]:
    if report.problem:
        yield report.problem
    if not report.is_private:
        yield (
            f"{report.path} may be read or changed by others (mode {report.mode}); "
            f"run: chmod 600 {report.path}"
        )
    if report.fernet or (report.plaintext and not report.sealed):
        yield (
            f"{report.path} is not a sealed secrets file yet; run: sealed secrets "
            "migrate SOURCE TARGET"
        )
    wrong = report.count(SecretState.WRONG_KEY)
    if wrong and wrong == report.total:
        yield (
            "no value opens: this is the keyring of something else. Look at --keys or "
            "SEALED_KEYS"
        )
    yield from (entry.reason for entry in report.entries if entry.reason)
    if report.old:
        yield (
            f"{report.old} are sealed under a former key; run: sealed secrets rotate "
            f"{report.path}"
        )
    for name in report.plaintext_files:
        yield (
            f"{name} may hold the same secrets in plaintext: delete it once the sealed "
            "file is in use and backed up"
        )
