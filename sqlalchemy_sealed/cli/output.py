"""What the commands print: tables and JSON on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from sqlalchemy_sealed.jobs.progress import Progress

__all__ = ["ProgressReport", "print_json", "print_table", "talk"]

_INTERVAL = 1.0
_FIRST_ESTIMATE = 0.01


def talk(message: str) -> None:
    """Say something to the person at the terminal."""
    click.echo(message, err=True)


def print_json(value: Any) -> None:
    """Print a JSON document on stdout."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout; numbers to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        numeric = all(row[number].replace(",", "").isdigit() for row in rows)
        table.add_column(name, justify="right" if numeric and rows else "left")
    for row in rows:
        table.add_row(*row)
    # Wide enough that a pipe gets whole lines.
    width = None if sys.stdout.isatty() else 200
    Console(file=sys.stdout, width=width, highlight=False).print(table)


class ProgressReport:
    """A bar on a terminal, JSON lines anywhere else, both on stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: Bars | None = None
        self._tasks: dict[tuple[str, int], TaskID] = {}
        self._last = 0.0
        self._first: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("~"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        """Show one report of a run."""
        if self._bars is not None:
            self._show(progress)
        else:
            self._line(progress)

    def _show(self, progress: Progress) -> None:
        assert self._bars is not None  # noqa: S101 - for the type checker
        key = (progress.table, progress.sweep)
        name = progress.table
        if progress.sweep:
            name = f"{progress.table}, sweep {progress.sweep}"
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(name, total=progress.total, rate="")
        name = f"{name}: {progress.note}" if progress.note else name
        done = min(progress.total, progress.total - progress.left)
        task = self._tasks[key]
        speed = self._bars.tasks[task].speed
        self._bars.update(
            task,
            description=name,
            completed=done,
            rate=f"{speed:,.0f} rows/s" if speed else "",
        )

    def _line(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.status in {"running", "paused"} and now - self._last < _INTERVAL:
            return
        self._last = now
        counts = {
            name: getattr(progress.counts, name)
            for name in progress.counts.__dataclass_fields__
        }
        line = {
            "table": progress.table,
            "status": progress.status,
            "sweep": progress.sweep,
            "rows": progress.total,
            "left": progress.left,
            **counts,
            "rows_per_second": self._rate(progress, now),
            "eta_seconds": None,
            "note": progress.note,
        }
        rate = line["rows_per_second"]
        # An estimate is honest only after a hundredth of the work.
        if rate and progress.fraction > _FIRST_ESTIMATE:
            line["eta_seconds"] = round(progress.left / rate, 1)
        talk(json.dumps(line))

    def _rate(self, progress: Progress, now: float) -> float | None:
        first = self._first.setdefault(progress.table, (now, progress.counts.scanned))
        if now <= first[0]:
            return None
        return round((progress.counts.scanned - first[1]) / (now - first[0]), 1)
