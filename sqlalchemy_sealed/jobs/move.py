"""A move: what becomes of the rows of one table.

A move names the columns that are read and compared (its slots), and the changes that
compute new values for some of them. Who writes them, and how fast, is not its business.

A row, as it is read, is a tuple of four parts: the primary key; one token per slot; the
driver's own value of every plaintext slot; and what values are bound to, the tenants.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Table

from sqlalchemy_sealed.fastcolumn import ColumnResealer
from sqlalchemy_sealed.jobs.identity import Kind, RunIdentity
from sqlalchemy_sealed.jobs.slot import Form, Slot
from sqlalchemy_sealed.legacy.format import LegacyFormat
from sqlalchemy_sealed.targets import primary_key

__all__ = ["Change", "Left", "Move", "Row", "tenant_position", "value_position"]

#: As the driver gave it.
Row: TypeAlias = Any
#: From an expression per slot to the condition for rows that are left to move.
Left: TypeAlias = Callable[[Sequence[ColumnElement[Any]]], ColumnElement[bool]]


class Change(ABC):
    """Computes new values of some slots of a row.

    Attributes:
        name: the column that a dead letter names.

    """

    name: str
    #: The slot whose header a dead letter shows.
    slot: int

    @abstractmethod
    def apply(self, row: Row, new: list[Any]) -> bool:
        """Put new values into ``new``, one item per slot; tell whether any changed.

        Raises:
            DecryptionError: a value cannot be opened.
            EncodingError: a plaintext does not fit the sealed column.
            MismatchError: plaintext and sealed column hold two values.

        """

    def open_unproven(self, row: Row) -> bool:  # noqa: ARG002 - for those that have any
        """Open what is to be moved, where another library wrote what nothing proves.

        Returns:
            whether the row has such a value.

        Raises:
            DecryptionError: it does not open.

        """
        return False

    def alone(self) -> Callable[[Any], Any] | None:
        """Return ``f(token)`` for new value or ``None``, if nothing else is needed."""
        return None

    def column(self) -> ColumnResealer | None:
        """Return a function for many values, if there is a fast one."""
        return None


@dataclass(frozen=True)
class Move:
    """What becomes of the rows of one table.

    Attributes:
        kind: of the run.
        table: the table.
        key: its primary key.
        slots: the columns at work.
        tenants: names of columns with tenants, read beside.
        target: what values are moved to, such as headers of the active key.
        changes: computes the new values.
        left: the condition for rows that are left, or ``None`` where SQL cannot tell.
        legacy: formats of another library that some values may have.
        restored: for each plaintext slot that is written, where a row has the driver's
            value, and the function from it to the plaintext.

    """

    kind: Kind
    table: Table
    slots: tuple[Slot, ...]
    tenants: tuple[str, ...]
    target: bytes
    changes: tuple[Change, ...] = field(compare=False)
    left: Left | None = field(compare=False, default=None)
    legacy: tuple[LegacyFormat[Any], ...] = field(
        compare=False, default=(), kw_only=True
    )
    restored: tuple[tuple[int, int, Callable[[Any], Any]], ...] = field(
        compare=False, default=()
    )

    @property
    def name(self) -> str:
        """The table with its schema."""
        return self.table.fullname

    @property
    def key(self) -> tuple[Column[Any], ...]:
        """The primary key columns.

        Raises:
            ConfigurationError: the table has none.

        """
        return primary_key(self.table)

    @property
    def identity(self) -> RunIdentity:
        """What makes another command the same run."""
        names = tuple(slot.name for slot in self.slots)
        digest = hashlib.sha256(self.target).hexdigest()
        return RunIdentity(self.name, self.kind, names, digest)

    @property
    def written(self) -> tuple[int, ...]:
        """Numbers of the slots that are written."""
        return tuple(n for n, slot in enumerate(self.slots) if slot.is_written)

    @property
    def plain(self) -> tuple[int, ...]:
        """Numbers of the slots with plaintext."""
        return tuple(n for n, s in enumerate(self.slots) if s.form is Form.PLAIN)

    @property
    def end(self) -> int:
        """Where the key and the tokens of a row end."""
        return len(self.key) + len(self.slots)


def value_position(key: int, slots: Sequence[Slot], slot: int) -> int:
    """Return where a row has the driver's value of a plaintext slot."""
    before = [n for n, s in enumerate(slots[:slot]) if s.form is Form.PLAIN]
    return key + len(slots) + len(before)


def tenant_position(
    key: int, slots: Sequence[Slot], tenants: Sequence[str], name: str
) -> int:
    """Return where a row has a tenant."""
    plain = [slot for slot in slots if slot.form is Form.PLAIN]
    return key + len(slots) + len(plain) + list(tenants).index(name)
