"""The trial of a legacy key: what it opens, found out before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from sqlalchemy import Engine

from sqlalchemy_sealed.errors import DecryptionError, EncodingError
from sqlalchemy_sealed.jobs.batch import make_batch
from sqlalchemy_sealed.jobs.deadletters import listed_keys
from sqlalchemy_sealed.jobs.move import Row
from sqlalchemy_sealed.jobs.portable import PortableRows
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text, shown_key

__all__ = ["Trial"]

_PAGE: Final = 1000
#: Rows that are tried where a value under another key is always noticed.
_SAMPLE: Final = 100
#: Rows that a message names.
_NAMED: Final = 5


class Trial:
    """Opens what another library has encrypted, and writes nothing.

    Args:
        engine: of the run.
        rows: reads the table.
        allowed: legacy values that may fail to open, in a format that nothing
            authenticates.

    """

    def __init__(self, engine: Engine, rows: PortableRows, allowed: int) -> None:
        self._engine = engine
        self._rows = rows
        self._allowed = allowed

    def refusals(self) -> list[str]:
        """Return why the run does not begin, for an error message.

        Where a format authenticates, a wrong key does no harm: a sample tells it. Where
        it does not, a value under another key opens by chance, one of some 256 with
        binary plaintext, and would be moved as garbage. Each such value comes with
        hundreds that do not open, so all of them are tried, and none may fail that the
        operator does not know of.
        """
        formats = self._rows.move.legacy
        found = list(self._mostly_wrong()) if formats else []
        if not found and any(not one.is_authenticated for one in formats):
            found = list(self._partly_wrong())
        return found

    def _mostly_wrong(self) -> Iterator[str]:
        listed = listed_keys(self._engine, self._rows.name)
        found = self._rows.left(_SAMPLE + len(listed))
        with self._engine.connect() as connection:
            rows = [] if found is None else connection.execute(found).all()
        batch = make_batch(rows, self._rows.move)
        failed = {key_to_text(one.key) for one in batch.dead}
        tried = len(rows) - len(failed & listed)
        failed -= listed
        if len(failed) * 2 > tried:
            yield (
                f"of {tried} rows that were tried, {len(failed)} have a legacy value "
                "that does not open: look at the key, and at the options of the format"
            )

    def _partly_wrong(self) -> Iterator[str]:
        listed = listed_keys(self._engine, self._rows.name)
        tried = failed = 0
        named: list[str] = []
        for page in self._pages():
            more, bad = self._failed(page, listed)
            tried += more
            failed += len(bad)
            named += bad[: _NAMED - len(named)]
        if failed > self._allowed:
            rest = ", ..." if failed > _NAMED else ""
            yield (
                f"{failed} of {tried} rows have a legacy value that does not open "
                f"({', '.join(named)}{rest}). Nothing authenticates the format: "
                "if they are under another key, some of its values open by chance and "
                "would be sealed as garbage. Look at the key and at the options of the "
                "format; if these values are known to be damaged, allow for them: "
                f"max_dead_letters={failed}, or --max-dead-letters {failed}"
            )

    def _pages(self) -> Iterator[Sequence[Row]]:
        """Yield the rows that are left to move, in the order of their keys."""
        rows, left = self._rows, self._rows.move.left
        cursor: RowKey | None = None
        with self._engine.connect() as connection:
            while True:
                found = rows.page(cursor, None).limit(_PAGE)
                if left is not None:
                    found = found.where(left(rows.values))
                page = connection.execute(found).all()
                connection.rollback()
                if not page:
                    return
                yield page
                cursor = tuple(page[-1][: rows.width])

    def _failed(
        self, rows: Sequence[Row], listed: Collection[str]
    ) -> tuple[int, list[str]]:
        """Return how many rows have a legacy value, and those where one fails.

        Rows that a run has listed already are known to the operator.
        """
        tried = 0
        failed: list[str] = []
        for row in rows:
            opens = self._opens(row)
            key = tuple(row[: self._rows.width])
            if opens is None or (not opens and key_to_text(key) in listed):
                continue
            tried += 1
            if not opens:
                failed.append(shown_key(key))
        return tried, failed

    def _opens(self, row: Row) -> bool | None:
        """Tell whether the legacy values of a row open; ``None`` if it has none."""
        found = None
        for change in self._rows.move.changes:
            try:
                found = change.open_unproven(row) or found
            except (DecryptionError, EncodingError):
                return False
        return found
