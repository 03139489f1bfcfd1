"""The command ``sealed doctor``: looks for what should not be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import click

from sqlalchemy_sealed.cli.options import (
    as_json,
    job_engine,
    load_target,
    target_options,
)
from sqlalchemy_sealed.cli.output import print_json, talk
from sqlalchemy_sealed.residue.cleaning import clean as clean_findings
from sqlalchemy_sealed.residue.finding import Finding, How, Severity
from sqlalchemy_sealed.residue.search import find_residue as search

__all__ = ["doctor"]

_ATTENTION: Final = 3


@click.command()
@target_options
@click.option(
    "--residue",
    is_flag=True,
    help="Look for plaintext that is left after columns were sealed. Default: "
    "everything there is to look for.",
)
@click.option("--clean", is_flag=True, help="Run the statements that disturb nobody.")
@click.option(
    "--rewrite",
    is_flag=True,
    help="With --clean: also those that lock a table while it is rewritten.",
)
@as_json
@click.pass_context
def doctor(
    context: click.Context,
    target: str,
    url: str,
    residue: bool,  # noqa: ARG001 - everything there is
    clean: bool,
    rewrite: bool,
    as_json: bool,
) -> None:
    """Look for plaintext in places where nobody expects it, and say what cleans it.

    Exits with 3 if something is found.
    """
    if rewrite and not clean:
        raise click.UsageError("--rewrite goes with --clean")
    with job_engine(url, None) as engine:
        models = load_target(target)
        found = search(engine, models)
        if clean:
            clean_findings(engine, found, rewrite, talk)
            found = search(engine, models)
    if as_json:
        print_json([_finding(one) for one in found])
    else:
        _print(found)
    if any(one.found for one in found):
        context.exit(_ATTENTION)


def _finding(found: Finding) -> dict[str, Any]:
    remedies = [{**asdict(one), "how": one.how.name.lower()} for one in found.remedies]
    return {**asdict(found), "severity": found.severity.value, "remedies": remedies}


def _print(findings: Sequence[Finding]) -> None:
    for severity in Severity:
        chosen = [one for one in findings if one.severity is severity]
        if chosen:
            click.secho(severity.value.upper(), bold=True)
        for one in chosen:
            click.echo(f"  {one.place}: {one.what}")
            for remedy in one.remedies:
                note = "  (rewrites and locks it)" if remedy.how is How.LOCKING else ""
                click.echo(f"      {remedy.command}{note}")
    if not any(one.found for one in findings):
        click.echo("nothing was found for certain")
