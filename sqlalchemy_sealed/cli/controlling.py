"""The commands of an operator: what runs are there, pause, resume, cancel."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy import Engine

from sqlalchemy_sealed.cli.moving import retry_dead, start
from sqlalchemy_sealed.cli.options import as_json, job_engine, load_target, url_option
from sqlalchemy_sealed.cli.output import print_json, talk
from sqlalchemy_sealed.cli.report import print_letters, print_runs
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs import control
from sqlalchemy_sealed.jobs.control import RunState
from sqlalchemy_sealed.targets import sealed_tables

__all__ = ["reencrypt"]


class _StartByDefault(click.Group):
    """``sealed reencrypt app:Base`` is ``sealed reencrypt start app:Base``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command in that may be left out."""
        first = args[0] if args else "--help"
        if not first.startswith("-") and first not in self.commands:
            if ":" not in first:
                raise click.UsageError(
                    f"no such command: {first}. A target is written module:name", ctx
                )
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_StartByDefault)
def reencrypt() -> None:
    """Move every row to the active key, and control what moves.

    `sealed reencrypt MODULE:NAME --url URL` starts a run or joins it. The commands
    that control runs need no keys and work from any host; they reach runs of every
    kind, those of encrypt, decrypt and fill-index too.
    """


reencrypt.add_command(start)
reencrypt.add_command(retry_dead)

_target = click.argument("target", metavar="[MODULE:NAME]", required=False)
_table = click.option("--table", help="One table by name, instead of a target.")


def _tables(target: str | None, table: str | None) -> list[str] | None:
    if target is not None and table is not None:
        raise ConfigurationError("a target and --table exclude each other")
    if target is not None:
        return [sealed.name for sealed in sealed_tables(load_target(target))]
    return None if table is None else [table]


@reencrypt.command()
@_target
@_table
@url_option
@click.option("--dead", is_flag=True, help="List the values that could not be moved.")
@as_json
def status(
    target: str | None, table: str | None, url: str, dead: bool, as_json: bool
) -> None:
    """Show the newest run of every table: how far, how fast, by whom."""
    with job_engine(url, None) as engine:
        states = control.measured(engine, _tables(target, table))
        letters = [
            letter for s in states if dead for letter in control.letters(engine, s)
        ]
    if as_json:
        print_json(
            {
                "runs": [_json(state) for state in states],
                **({"dead": [asdict(letter) for letter in letters]} if dead else {}),
            }
        )
        return
    print_runs(states)
    if table is not None and not states:
        talk(f"no run of {table} is recorded")
    if dead:
        print_letters(letters)
        if len(letters) >= control.LETTERS:
            talk(f"only the first {control.LETTERS} of each table are shown")


def _json(state: RunState) -> dict[str, Any]:
    return {
        **asdict(state),
        "eta_seconds": state.eta_seconds,
        "advice": state.advice,
    }


def _control(
    name: str, action: Callable[[Engine, RunState], None], done: str, text: str
) -> None:
    @reencrypt.command(name, help=text)
    @_target
    @_table
    @url_option
    def command(target: str | None, table: str | None, url: str) -> None:
        with job_engine(url, None) as engine:
            found = control.states(engine, _tables(target, table))
            states = [state for state in found if state.is_open]
            if not states:
                talk("no run is open")
                sys.exit(1)
            for state in states:
                action(engine, state)
                talk(f"{state.table}: {done}")


_control(
    "pause",
    control.pause,
    "paused; its workers finish the batch at hand and wait",
    "Have every worker finish its batch and wait.",
)
_control(
    "resume",
    control.resume,
    "running; workers that wait go on. Without any, run the command again",
    "Let the workers of a paused run go on.",
)
_control(
    "cancel",
    control.cancel,
    "cancelled; what was moved stays moved, and a new run begins anew",
    "Give a run up. What was moved stays moved.",
)
