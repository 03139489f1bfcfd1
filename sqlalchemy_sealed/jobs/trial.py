"""The trial of a legacy key: what it opens, found out before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sqlalchemy import Engine

from sqlalchemy_sealed.errors import (
    DecryptionError,
    EncodingError,
    LegacyFormatError,
    NotSealedError,
    PreflightError,
)
from sqlalchemy_sealed.jobs.deadletters import listed_keys
from sqlalchemy_sealed.jobs.leftovers import Leftovers
from sqlalchemy_sealed.jobs.move import Row
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text, shown_key

__all__ = ["Trial"]

_PAGE: Final = 1000
#: Rows that are tried where a value under another key is always noticed.
_SAMPLE: Final = 100
#: Fewer failures than that may be damage.
_MANY: Final = 10
#: Rows that a message names.
_NAMED: Final = 5
_LEGACY: Final = frozenset(one.__name__ for one in (LegacyFormatError, NotSealedError))


class Trial:
    """Opens what another library has encrypted, and writes nothing.

    Where a format authenticates, a wrong key does no harm: a sample tells it. Where it
    does not, a value under another key opens by chance, one of some 256 with binary
    plaintext, and would be moved as garbage. Each such value comes with hundreds that
    do not open, so all of them are tried, and none may fail that the operator does not
    allow for: not even one that a run has listed, whose key may be another by now.

    Args:
        engine: of the run.
        rows: reads the table.
        leftovers: its rows that are left to move.
        allowed: values that may fail to open.

    """

    def __init__(
        self, engine: Engine, rows: PortableRows, leftovers: Leftovers, allowed: int
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._leftovers = leftovers
        self._allowed = allowed
        formats = rows.move.legacy
        self._samples = any(one.is_authenticated for one in formats)
        self._reads_all = any(not one.is_authenticated for one in formats)

    def refusals(self) -> Iterator[str]:
        """Return why the run does not begin, for an error message."""
        if self._samples:
            yield from self._sample()
        if self._reads_all:
            # Every row: one that is sealed already may be sealed anew.
            with self._engine.connect() as connection:
                yield from self._unproven(self._rows.pages(connection, _PAGE))

    def check(self, keys: Sequence[RowKey]) -> None:
        """Try some rows, before their values are moved.

        Raises:
            PreflightError: more of them than allowed do not open.

        """
        if not self._reads_all or not keys:
            return
        with self._engine.connect() as connection:
            parts = range(0, len(keys), _PAGE)
            pages = [
                self._rows.read_keys(connection, keys[n : n + _PAGE]) for n in parts
            ]
        reasons = list(self._unproven(pages))
        if reasons:
            raise PreflightError(
                f"{self._rows.name}: {'; '.join(reasons)}. Nothing was begun"
            )

    def _sample(self) -> Iterator[str]:
        """Try some rows; a few of a table that is almost moved prove nothing."""
        listed = listed_keys(self._engine, self._rows.name)
        tried, dead = self._leftovers.sample(_SAMPLE + len(listed))
        failed = {key_to_text(one.key) for one in dead if one.error in _LEGACY}
        tried -= len(failed & listed)
        failed -= listed
        if len(failed) > max(_MANY - 1, self._allowed) and len(failed) * 2 > tried:
            yield (
                f"of {tried} rows that were tried, {len(failed)} have a legacy value "
                "that does not open: look at the key, and at the options of the format"
            )

    def _unproven(self, pages: Iterable[Sequence[Row]]) -> Iterator[str]:
        tried = failed = 0
        named: list[str] = []
        for page in pages:
            for row in page:
                more, bad = self._open(row)
                tried += more
                failed += bad
                if bad and len(named) <= _NAMED:
                    named.append(shown_key(tuple(row[: self._rows.width])))
        if failed > self._allowed:
            rest = ", ..." if len(named) > _NAMED else ""
            yield (
                f"{failed} of {tried} legacy values do not open (in the rows "
                f"{', '.join(named[:_NAMED])}{rest}), and nothing authenticates their "
                "format: if they are under another key, some of its values open by "
                "chance and would be sealed as garbage. Look at the key and at the "
                "options of the format; if these values are known to be damaged, allow "
                f"for them: max_dead_letters={failed}, or --max-dead-letters {failed}, "
                "at least"
            )

    def _open(self, row: Row) -> tuple[int, int]:
        """Return how many unproven values a row has, and how many do not open."""
        tried = failed = 0
        for change in self._rows.move.changes:
            try:
                tried += change.open_unproven(row)
            except (DecryptionError, EncodingError):
                tried += 1
                failed += 1
        return tried, failed
