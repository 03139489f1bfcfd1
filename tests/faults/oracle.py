"""The oracle: compares the database with the ledger, by its own means of reading."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, inspect, select
from sqlalchemy.orm import Session

from faults.ledger import Ledger, Row
from faults.place import Place
from faults.shapes import Shape
from faults.words import MARKER
from sqlalchemy_sealed.cipher import cipher_of
from sqlalchemy_sealed.envelope import TEXT_PREFIX, to_text
from sqlalchemy_sealed.indexer import indexer_of
from sqlalchemy_sealed.jobs import tables
from sqlalchemy_sealed.jobs.rowkey import key_to_text
from sqlalchemy_sealed.scope import binding_of

__all__ = ["Broken", "Oracle"]


class Broken(AssertionError):
    """A promise was broken."""


class Oracle:
    """Looks at one schedule's table."""

    def __init__(self, place: Place, ledger: Ledger) -> None:
        self._place = place
        self._ledger = ledger
        self._shape: Shape = ledger.shape

    # -- reading -----------------------------------------------------------------

    def rows(self, engine: Engine) -> dict[int, Row]:
        """Read what an application reads, without the rows somebody has spoilt."""
        shape, skipped = self._shape, list(self._ledger.damaged)
        if shape.is_orm:
            chosen = select(shape.model).where(shape.model.serial.not_in(skipped))
            with Session(engine) as session:
                return {
                    entity.serial: {n: getattr(entity, n) for n in shape.attributes}
                    for entity in session.scalars(chosen)
                }
        table = shape.legacy if shape.in_place else shape.table
        found = select(table).where(table.c.serial.not_in(skipped))
        with engine.connect() as connection:
            rows = {
                row["serial"]: dict(row) for row in connection.execute(found).mappings()
            }
        if shape.in_place:
            self._open_in_place(engine, rows)
        return rows

    def _open_in_place(self, engine: Engine, rows: dict[int, Row]) -> None:
        kind: Any = self._shape.table.c.a.type
        cipher = cipher_of(binding_of(engine.dialect), kind.field())
        for row in rows.values():
            if row["a"] is not None and row["a"].startswith(TEXT_PREFIX):
                row["a"] = cipher.open(row["a"])

    def stored(self) -> dict[int, dict[str, Any]]:
        """Read the bytes and texts of every row."""
        with self._place.fresh.connect() as connection:
            found = connection.execute(select(self._shape.untyped)).mappings().all()
        return {
            row["serial"]: {
                name: bytes(v) if isinstance(v, memoryview | bytearray) else v
                for name, v in row.items()
            }
            for row in found
        }

    # -- promises ----------------------------------------------------------------

    def check_rows(self, finished: bool = False) -> None:
        """P1, P2: every row is there, readable, and as it was acknowledged."""
        found = self.rows(self._place.fresh)
        self._ledger.settle(found)
        for serial, expected in self._ledger.rows.items():
            if serial in self._ledger.damaged or serial in self._ledger.doubts:
                continue
            wrong = self._ledger.difference(expected, found.get(serial), finished)
            if wrong:
                raise Broken(f"lost acknowledged write: row {serial}: {wrong}")
        known = {*self._ledger.rows, *self._ledger.doubts}
        if strangers := set(found) - known:
            raise Broken(f"rows nobody has written: {sorted(strangers)}")
        if self._ledger.doubts:
            raise Broken(f"neither before nor after: rows {set(self._ledger.doubts)}")

    def check_damaged(self) -> None:
        """P4: what cannot be opened is untouched, byte for byte."""
        stored = self.stored()
        for serial, (column, value) in self._ledger.damaged.items():
            if stored[serial][column] != value:
                raise Broken(f"row {serial}: the spoilt {column} was changed")

    def check_keys(self, active: int) -> None:
        """No value that can be moved is left where it was."""
        key, stored = self._place.key(active), self.stored()
        left_alone = self._ledger.mismatched() | set(self._ledger.damaged)
        for attribute, column in self._shape.values.items():
            for serial, row in stored.items():
                value = row[column]
                if serial in left_alone:
                    continue
                if value is None and self._shape.kind != "fill":
                    continue
                if self._is_left(column, value, key, serial, attribute):
                    raise Broken(f"row {serial}: {column} was not moved")

    def _is_left(
        self, column: str, value: Any, key: Any, serial: int, attribute: str
    ) -> bool:
        shape = self._shape
        kind: Any = shape.table.c[column].type
        if shape.kind == "decrypt":
            return shape.in_place and value.startswith(TEXT_PREFIX)
        if shape.kind == "fill":
            [term] = [shape.table.c[name] for name in shape.terms]
            binding: Any = binding_of(self._place.fresh.dialect)
            computed: Any = indexer_of(binding, term.type.index).term(
                self._ledger.rows[serial][attribute], None
            )
            return bool(self.stored()[serial][term.name] != computed)
        header = bytes(kind.field().header(key))
        return not value.startswith(
            to_text(header) if kind.storage == "text" else header
        )

    def check_letters(self, run_id: str, active: int) -> None:
        """P4: listed is exactly what cannot be moved."""
        letters = tables.dead_letters.c
        with self._place.fresh.connect() as connection:
            listed = set(
                connection.scalars(
                    select(letters.row_key).where(letters.run_id == run_id)
                )
            )
        stored = self.stored()
        names = [c.name for c in inspect(self._shape.model).primary_key]
        keys = {n: key_to_text(tuple(r[k] for k in names)) for n, r in stored.items()}
        wanted = self._ledger.mismatched() | set(self._ledger.damaged)
        may = {n for n in wanted if self._is_current(n, active)}
        missing = {keys[n] for n in wanted - may} - listed
        if missing or listed - {keys[n] for n in wanted}:
            raise Broken(
                f"dead letters: missing {missing}, "
                f"too many {listed - {keys[n] for n in wanted}}"
            )

    def _is_current(self, serial: int, active: int) -> bool:
        """Tell whether a spoilt value looks as if it had been moved already."""
        skips = self._shape.kind == "reencrypt" or (
            self._shape.kind == "encrypt" and self._shape.in_place
        )
        if serial not in self._ledger.damaged or not skips:
            return False
        column, value = self._ledger.damaged[serial]
        return not self._is_left(column, value, self._place.key(active), serial, "")

    def check_book(self) -> None:
        """P3, P9: nothing is counted twice, and no plaintext is in the book."""
        book = tables.ranges.c
        most = self._ledger.initial + self._ledger.inserted
        totals = select(
            book.run_id, book.sweep, func.sum(book.scanned), func.sum(book.moved)
        ).group_by(book.run_id, book.sweep)
        with self._place.fresh.connect() as connection:
            for run_id, sweep, scanned, moved in connection.execute(totals):
                if not moved <= scanned <= most:
                    raise Broken(
                        f"run {run_id}, pass {sweep}: {scanned} rows scanned and "
                        f"{moved} moved, but there were never more than {most}"
                    )
            for table in tables.metadata.sorted_tables:
                content = repr(connection.execute(select(table)).all())
                if MARKER in content or MARKER.swapcase() in content:
                    raise Broken(f"plaintext in {table.name}")
