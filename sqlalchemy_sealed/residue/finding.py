"""The finding: a place where plaintext is left, and what cleans it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

__all__ = [
    "Finding",
    "How",
    "Remedy",
    "Severity",
    "by_hand",
    "last_of_each",
    "locking",
    "sql",
]

_T = TypeVar("_T")


class Severity(enum.Enum):
    """How sure it is."""

    FOUND = "found"
    POSSIBLE = "possible"
    UNSEEN = "cannot be seen from here"


class How(enum.Enum):
    """Who runs a remedy, and what it costs."""

    SQL = "sql"
    LOCKING = "sql, rewrites and locks a table"
    HAND = "by hand"


@dataclass(frozen=True)
class Remedy:
    """One step that cleans.

    Attributes:
        command: an SQL statement, a command of a shell, or what a person has to do.
        how: which of them.

    """

    command: str
    how: How


@dataclass(frozen=True)
class Finding:
    """A place where plaintext is left, or may be. It never holds a value.

    Attributes:
        place: the table, ``table.column``, or the part of the server.
        kind: which kind of place, in one word for programs.
        what: what was found.
        severity: how sure it is.
        remedies: what cleans it, in this order.

    """

    place: str
    kind: str
    what: str
    severity: Severity
    remedies: tuple[Remedy, ...] = ()

    @property
    def found(self) -> bool:
        """Whether it is certain."""
        return self.severity is Severity.FOUND


def sql(*statements: str) -> tuple[Remedy, ...]:
    """Return statements that disturb nobody."""
    return _all(statements, How.SQL)


def locking(*statements: str) -> tuple[Remedy, ...]:
    """Return statements that rewrite a table while nobody else can use it."""
    return _all(statements, How.LOCKING)


def by_hand(*steps: str) -> tuple[Remedy, ...]:
    """Return what only a person can decide to do."""
    return _all(steps, How.HAND)


def _all(commands: Iterable[str], how: How) -> tuple[Remedy, ...]:
    return tuple(Remedy(command, how) for command in commands)


def last_of_each(items: Iterable[_T]) -> list[_T]:
    """Return each item once, where it stands last: what is shared is cleaned last."""
    return list(dict.fromkeys(reversed(list(items))))[::-1]
