"""A batch on its way: made ready, handed to the database, its result asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import Connection

from sqlalchemy_sealed.jobs.batch import Batch
from sqlalchemy_sealed.jobs.progress import Counts

__all__ = ["Pending", "Recorder", "Write"]

#: Moves the cursor and lists dead letters, in the transaction of the rows.
Recorder: TypeAlias = Callable[[Connection, Batch, Counts], None]


class Pending:
    """A batch that was handed to the database."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def result(self) -> Counts:
        """Wait until the batch is committed and return what became of it."""
        return self._counts

    def abandon(self) -> None:
        """Wait and forget: another error is on its way."""


class Write(ABC):
    """A batch that is ready, made while the database wrote the one before."""

    batch: Batch

    @abstractmethod
    def submit(self, writer: Connection) -> Pending:
        """Hand the batch and its bookkeeping to the database, as one transaction."""
