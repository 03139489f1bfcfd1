"""The results of jobs as tables or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy_sealed.cli.output import print_json, print_table, talk
from sqlalchemy_sealed.jobs.control import RunState
from sqlalchemy_sealed.jobs.deadletters import ListedValue
from sqlalchemy_sealed.jobs.job import Report
from sqlalchemy_sealed.jobs.preflight import Preflight
from sqlalchemy_sealed.jobs.rowkey import key_from_text, shown_key
from sqlalchemy_sealed.jobs.verification import ColumnVerification
from sqlalchemy_sealed.status import ColumnStatus

__all__ = [
    "print_letters",
    "print_plans",
    "print_reports",
    "print_runs",
    "print_status",
    "print_verifications",
]


def print_reports(reports: Sequence[Report], as_json: bool) -> None:
    """Print what a re-encryption did."""
    if as_json:
        print_json([asdict(report) for report in reports])
        return
    names = ["moved", "current", "nulls", "conflicts", "dead"]
    print_table(
        ["table", "status", *names],
        [
            [
                report.table,
                report.status + (" (resumed)" if report.resumed else ""),
                *(f"{getattr(report.counts, name):,}" for name in names),
            ]
            for report in reports
        ],
    )


def print_plans(plans: Sequence[Preflight], as_json: bool) -> None:
    """Print what a run would do and meet."""
    if as_json:
        print_json([asdict(plan) for plan in plans])
        return
    print_table(
        ["table", "kind", "columns", "rows", "left", "table size", "log"],
        [
            [
                plan.table,
                plan.kind,
                ", ".join(plan.columns),
                f"{plan.rows:,}",
                "" if plan.left is None else f"{plan.left:,}",
                _bytes(plan.table_bytes),
                _bytes(plan.log_bytes, "~"),
            ]
            for plan in plans
        ],
    )
    for plan in plans:
        for refusal in plan.refusals:
            talk(f"{plan.table}: REFUSED: {refusal}")
        for warning in plan.warnings:
            talk(f"{plan.table}: {warning}")


def _bytes(number: int | None, about: str = "") -> str:
    return "" if number is None else f"{about}{number / (1 << 20):,.1f} MiB"


def print_runs(states: Sequence[RunState]) -> None:
    """Print how far runs are."""
    print_table(
        ["table", "kind", "status", "sweep", "done", "rows/s", "ETA", "workers"],
        [
            [
                state.table,
                state.kind,
                state.status,
                str(state.sweep),
                f"{min(state.scanned, state.rows):,} of {state.rows:,}",
                "" if state.rate is None else f"{state.rate:,.0f}",
                _duration(state.eta_seconds),
                str(len(state.workers)),
            ]
            for state in states
        ],
    )
    for state in states:
        for worker in state.workers:
            talk(f"{state.table}: {worker} works on it")
        if state.waits:
            talk(f"{state.table}: a worker {state.last_error}")
        elif state.last_error and state.is_open:
            ago = _duration(state.last_error_seconds)
            talk(f"{state.table}: last error {ago} ago: {state.last_error}")
        if state.advice:
            talk(f"{state.table}: {state.advice}")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"~{hours}:{minutes:02}:{rest:02}"


def print_letters(letters: Sequence[ListedValue]) -> None:
    """Print the values that could not be moved, by their rows."""
    print_table(
        ["table", "column", "key of the row", "error", "key"],
        [
            [
                letter.table,
                letter.column,
                shown_key(key_from_text(letter.row_key)),
                letter.error,
                ""
                if letter.version is None
                else f"v{letter.version}, kid {str(letter.kid)[:16]}",
            ]
            for letter in letters
        ],
    )


def print_status(
    columns: Sequence[ColumnStatus], runs: Sequence[RunState], as_json: bool
) -> None:
    """Print the census."""
    if as_json:
        print_json(
            {
                "columns": [asdict(column) for column in columns],
                "open_runs": [asdict(run) for run in runs],
            }
        )
        return
    rows = [row for column in columns for row in _census_rows(column)]
    print_table(["table", "column", "key", "kid", "state", "values"], rows)
    for run in runs:
        talk(
            f"{run.table}: a run ({run.kind}) is {run.status}, "
            f"~{run.scanned:,} of {run.rows:,} rows; "
            "the same command goes on with it"
        )


def _census_rows(column: ColumnStatus) -> list[list[str]]:
    where = [column.table, column.column]
    rows = [
        [*where, f"v{key.version}", key.kid[:16], key.state, f"{key.values:,}"]
        for key in column.keys
    ]
    if column.not_sealed:
        rows.append([*where, "", "", "NOT SEALED", f"{column.not_sealed:,}"])
    if column.nulls or not rows:
        rows.append([*where, "", "", "null", f"{column.nulls:,}"])
    return rows


def print_verifications(results: Sequence[ColumnVerification], as_json: bool) -> None:
    """Print which values opened and which did not."""
    if as_json:
        print_json([_verification(result) for result in results])
        return
    print_table(
        ["table", "column", "readable", "nulls", "unreadable"],
        [
            [r.table, r.column, f"{r.readable:,}", f"{r.nulls:,}", f"{r.failed:,}"]
            for r in results
        ],
    )
    for result in results:
        for bad in result.examples:
            row = shown_key(key_from_text(bad.row_key))
            talk(f"{result.table}.{result.column}, row {row}: {bad.error}")


def _verification(result: ColumnVerification) -> dict[str, Any]:
    return {**asdict(result), "failures": dict(result.failures)}
