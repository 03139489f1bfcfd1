"""The results of jobs as tables or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy_sealed.cli.output import print_json, print_table, talk
from sqlalchemy_sealed.jobs.reencryption import Report
from sqlalchemy_sealed.jobs.verification import ColumnVerification
from sqlalchemy_sealed.jobs.control import RunState
from sqlalchemy_sealed.status import ColumnStatus

__all__ = ["print_reports", "print_status", "print_verifications"]


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
            f"{run.table}: a re-encryption is {run.status}, "
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
            talk(f"{result.table}.{result.column} {bad.row_key}: {bad.error}")


def _verification(result: ColumnVerification) -> dict[str, Any]:
    return {**asdict(result), "failures": dict(result.failures)}
