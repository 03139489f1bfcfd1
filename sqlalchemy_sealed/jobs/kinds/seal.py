"""What sealing does to the values of a row: one class per place they come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy_sealed.cipher import Stored
from sqlalchemy_sealed.errors import MismatchError
from sqlalchemy_sealed.jobs.kinds.fillindex import TermFiller
from sqlalchemy_sealed.jobs.kinds.whereitis import ChangeWhereItIs
from sqlalchemy_sealed.jobs.move import Change, Row
from sqlalchemy_sealed.jobs.slot import decoded
from sqlalchemy_sealed.jobs.values import ColumnValues
from sqlalchemy_sealed.unsealed import is_unsealed

__all__ = ["SealAndIndex", "SealInPlace", "SealLegacy", "SealPlaintext"]


@dataclass(eq=False)
class _SealBeside(Change):
    """Seals the value of one column into another.

    Attributes:
        values: of the sealed column.
        plain_at: where a row has the value that is sealed.
        width: columns of the primary key.
        slot: the sealed column.
        source_wins: whether a sealed value that differs is sealed anew.

    """

    values: ColumnValues
    plain_at: int
    width: int
    slot: int
    source_wins: bool

    def __post_init__(self) -> None:
        self.name = self.values.name
        self._sealed_at = self.width + self.slot

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the value, where there is no sealed one yet."""
        raw, stored = row[self.plain_at], row[self._sealed_at]
        if stored is None and raw is None:
            return False
        value = None if raw is None else self._value(raw, row)
        differs = stored is None or raw is None
        if not differs and self._opened(stored, row) != value:
            differs = True
        if differs and (stored is None or self.source_wins):
            new[self.slot] = None if raw is None else self._sealed(value, row)
            return True
        if differs:
            raise MismatchError(
                f"{self.name}: the value and the sealed one beside it differ; both "
                "were left alone"
            )
        return self.values.reseal_into(new, self.slot, stored, row)

    @abstractmethod
    def _value(self, raw: Any, row: Row) -> Any:
        """Return what is sealed, in the form that is compared."""

    @abstractmethod
    def _opened(self, stored: Any, row: Row) -> Any:
        """Return what a sealed form holds, in the same form."""

    @abstractmethod
    def _sealed(self, value: Any, row: Row) -> Stored:
        """Return the sealed form."""


@dataclass(eq=False)
class SealPlaintext(_SealBeside):
    """Seals the plaintext of one column into another.

    Attributes:
        decode: from the driver's value of the plaintext to the application's.

    """

    decode: Callable[[Any], Any]

    def _value(self, raw: Any, row: Row) -> Any:
        del row
        value = decoded(self.decode, raw, self.name)
        return value if self.values.before is None else self.values.before(value)

    def _opened(self, stored: Any, row: Row) -> Any:
        return self.values.open_in(stored, row)

    def _sealed(self, value: Any, row: Row) -> Stored:
        return self.values.seal_in(value, row)


class SealLegacy(_SealBeside):
    """Seals what another library has encrypted in one column into another."""

    def open_unproven(self, row: Row) -> bool:
        """Open the legacy value, where it may be sealed: not over a sealed one."""
        raw, stored = row[self.plain_at], row[self._sealed_at]
        is_kept = stored is not None and not self.source_wins
        if not self.values.has_unproven or raw is None or is_kept:
            return False
        self._value(raw, row)
        return True

    def _value(self, raw: Any, row: Row) -> Any:
        return self.values.migrated(raw, row)

    def _opened(self, stored: Any, row: Row) -> Any:
        return self.values.canonical(stored, row)

    def _sealed(self, value: Any, row: Row) -> Stored:
        return self.values.seal_bytes_in(value, row)


class SealInPlace(ChangeWhereItIs):
    """Seals the plaintext or legacy value of a column where it is."""

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the value, unless it is an envelope of this column."""
        stored = row[self._at]
        if stored is None:
            return False
        if not is_unsealed(stored, self._values.is_text):
            # The shape without a known key, or a failed tag, is never plaintext.
            return self._values.reseal_into(new, self.slot, stored, row)
        # What is stored is what the application's own types have made of a value.
        plain = self._values.migrated(stored, row)
        new[self.slot] = self._values.seal_bytes_in(plain, row)
        return True

    def open_unproven(self, row: Row) -> bool:
        """Open the value, where it is one of another library."""
        stored = row[self._at]
        if not self._values.has_unproven or stored is None:
            return False
        if not is_unsealed(stored, self._values.is_text):
            return False
        self._values.migrated(stored, row)
        return True


class SealAndIndex(Change):
    """A change of a sealed value together with its index terms."""

    def __init__(self, change: Change, fillers: Sequence[TermFiller]) -> None:
        self.name = change.name
        self.slot = change.slot
        self._change = change
        self._fillers = fillers

    def apply(self, row: Row, new: list[Any]) -> bool:
        """Seal the value and compute its terms."""
        changed = self._change.apply(row, new)
        for filler in self._fillers:
            changed = filler.fill(row, new) or changed
        return changed

    def open_unproven(self, row: Row) -> bool:
        """Open the legacy value that is sealed."""
        return self._change.open_unproven(row)
