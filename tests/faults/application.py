"""The application: transactions that are acknowledged in the ledger, or not at all."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, and_, literal, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from faults.ledger import PENDING, Ledger, Row
from faults.shapes import Shape
from sqlalchemy_sealed.jobs.transient import trouble_of

__all__ = ["Refused", "Transaction", "refusal"]


class Refused(Exception):
    """The database has refused a write: it was never acknowledged."""


def refusal(error: DBAPIError) -> Refused:
    """Return why a write was refused; an error that must not be is raised."""
    if trouble_of(error) is None and "sealed_fence" not in str(error.orig):
        raise error
    return Refused(type(error.orig).__name__)


class Transaction:
    """One transaction of the application.

    Args:
        ledger: where its commit is written down.
        engine: of a process that knows the active key, or of one that does not.

    """

    def __init__(self, ledger: Ledger, engine: Engine) -> None:
        self.ledger = ledger
        self.shape: Shape = ledger.shape
        self.changes: dict[int, Row | None] = {}
        self._session = Session(engine, expire_on_commit=False)

    # -- writes ------------------------------------------------------------------

    def insert(self, row: Row, legacy: bool = False) -> None:
        """Insert a row."""
        stored = dict(row)
        if row.get(self.shape.target or "") is PENDING:
            stored[self.shape.target or ""] = None
        if self.shape.is_orm:
            self._session.add(self.shape.model(**stored))
            self._do(self._session.flush)
            self._without_terms(row, legacy)
        else:
            self._execute(self._table(legacy).insert().values(stored))
        self.changes[row["serial"]] = row

    def update(self, serial: int, change: Row, legacy: bool = False) -> None:
        """Change a row; a legacy process writes no target, and no envelope."""
        before = self._row(serial)
        after = before | change
        if self.shape.source in change:
            after |= self._target(before, change, legacy)
        stored = {n: v for n, v in after.items() if v != before[n] and v is not PENDING}
        stored |= {n: v for n, v in change.items() if v is not PENDING}
        if self.shape.is_orm:
            self._update_entity(before, stored)
            self._without_terms(after, legacy)
        else:
            table = self._table(legacy)
            where = and_(*(table.c[n] == before[n] for n in self.shape.key))
            self._execute(table.update().where(where).values(stored))
        self.changes[serial] = after

    def _target(self, before: Row, change: Row, legacy: bool) -> Row:
        """Return what the target becomes when the source is written."""
        source, target = self.shape.source or "", self.shape.target or ""
        if not legacy:
            return {target: change[source]}
        column = self.shape.untyped.c[self.shape.values.get(target, target)]
        found = self._execute(
            select(column).where(self.where(before)).with_for_update()
        ).scalar_one()
        if found is None:
            return {target: PENDING}
        filled = before[target] is PENDING
        return {target: before[source] if filled else before[target]}

    def _without_terms(self, row: Row, legacy: bool) -> None:
        """Do without the index, as a process does that has not heard of it."""
        for column in self.shape.terms if legacy else ():
            self._do(self._session.flush)
            self.spoil(row, column, None)

    def _update_entity(self, before: Row, stored: Row) -> None:
        identity = tuple(before[name] for name in self.shape.key)
        entity = self._do(lambda: self._session.get(self.shape.model, identity))
        if entity is None:
            raise AssertionError(f"row {before} is gone")
        for name, value in stored.items():
            setattr(entity, name, value)
        self._do(self._session.flush)

    def delete(self, serial: int) -> None:
        """Delete a row."""
        untyped = self.shape.untyped
        self._execute(untyped.delete().where(self.where(self._row(serial))))
        self.changes[serial] = None

    def spoil(self, row: Row, column: str, value: Any) -> None:
        """Write bytes that are no value of the column."""
        where = self.where(row)
        self._execute(self.shape.untyped.update().where(where).values({column: value}))

    def where(self, row: Row) -> Any:
        """Return the condition for a row, through the types of its key only."""
        typed, untyped = self.shape.table.c, self.shape.untyped.c
        return and_(
            *(
                untyped[name] == literal(row[name], typed[name].type)
                for name in self.shape.key
            )
        )

    def _row(self, serial: int) -> Row:
        row = self.changes.get(serial, self.ledger.rows[serial])
        assert row is not None
        return row

    def _table(self, legacy: bool) -> Any:
        in_place = self.shape.in_place and legacy
        return self.shape.legacy if in_place else self.shape.table

    def _execute(self, statement: Any) -> Any:
        return self._do(lambda: self._session.execute(statement))

    def _do(self, work: Any) -> Any:
        try:
            return work()
        except DBAPIError as error:
            self._session.close()
            raise refusal(error) from None

    # -- ends --------------------------------------------------------------------

    def commit(self) -> None:
        """Commit, and write it down once it is acknowledged."""
        try:
            self._session.commit()
        except DBAPIError as error:
            self._session.close()
            self.ledger.doubt(self.changes)
            raise refusal(error) from None
        self._session.close()
        self.ledger.acknowledge(self.changes)

    def vanish(self, committed: bool) -> None:
        """End without an answer: nobody knows whether the commit has happened."""
        if committed:
            # The commit may have to wait for a lock, and give up: nobody hears of it.
            with suppress(DBAPIError):
                self._session.commit()
        self._session.close()
        self.ledger.doubt(self.changes)

    def rollback(self) -> None:
        """Take everything back."""
        self._session.close()
