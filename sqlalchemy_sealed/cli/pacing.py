"""The options of the commands that move rows: how fast, and what happens at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.fence import FenceKind
from sqlalchemy_sealed.jobs.pace import Pace
from sqlalchemy_sealed.jobs.window import Window

__all__ = ["Running", "job_options", "pace_of", "pace_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

_PACE = (
    click.option(
        "--full-speed",
        is_flag=True,
        help="As fast as it goes: for a maintenance window, not beside an application.",
    ),
    click.option(
        "--rate",
        type=click.FloatRange(min=0, min_open=True),
        help="Rows per second of all workers together.  [default: 5000]",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        help="Most rows of a transaction.  [default: 200, at full speed 1000]",
    ),
    click.option(
        "--batch-seconds",
        type=click.FloatRange(min=0, min_open=True),
        help="What a transaction should take.  [default: 0.05, at full speed 0.5]",
    ),
    click.option(
        "--max-lag",
        type=click.FloatRange(min=0, min_open=True),
        help="Wait while a replica is this many seconds behind (PostgreSQL).",
    ),
    click.option(
        "--throttle-query",
        metavar="SQL",
        help="Wait while the first value that this query returns is true.",
    ),
    click.option(
        "--pause-file",
        type=click.Path(path_type=Path),
        help="Wait while this file exists.",
    ),
    click.option("--window", metavar="22:00-06:00", help="Work in these hours only."),
    click.option(
        "--time-zone", default="UTC", show_default=True, help="Zone of --window."
    ),
    click.option(
        "--vacuum",
        is_flag=True,
        help="Vacuum the table after every tenth of it (PostgreSQL).",
    ),
)
_JOB = (
    click.option(
        "--max-dead-letters",
        type=click.IntRange(min=0),
        help="Values that may fail before the run stops.  [default: 1000, and none of "
        "a legacy format that nothing authenticates]",
    ),
    click.option(
        "--fence",
        type=click.Choice([kind.value for kind in FenceKind]),
        help="Before the last look, have the database refuse other writes: of anything "
        "but envelopes (shape), or of anything but the active key (keys).",
    ),
    click.option(
        "--settle",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="After so long every process writes under the active key: look once more "
        "then, and call the run complete.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Processes on this host; the same command on another host joins too.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan and write nothing."),
    click.option(
        "--retry-dead",
        is_flag=True,
        help="Try the values again that could not be moved, and nothing else.",
    ),
    click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        help="Serve Prometheus metrics on 127.0.0.1; needs the extra [metrics].",
    ),
)


@dataclass(frozen=True)
class Running:
    """How a job is run, beside its pace."""

    max_dead_letters: int | None
    fence: str | None
    settle: float | None
    workers: int
    dry_run: bool
    retry_dead: bool
    metrics_port: int | None
    as_json: bool

    @property
    def fence_kind(self) -> FenceKind | None:
        """The fence that was asked for."""
        return None if self.fence is None else FenceKind(self.fence)


def pace_options(command: _F) -> _F:
    """Add the options of the pace; the command gets ``pace``."""
    for option in reversed(_PACE):
        command = option(command)
    return command


def job_options(command: _F) -> _F:
    """Add the options of a run."""
    for option in reversed(_JOB):
        command = option(command)
    return command


def pace_of(options: dict[str, Any]) -> Pace:
    """Take the options of the pace out of those of a command.

    Raises:
        ConfigurationError: options exclude each other.

    """
    full_speed, rate = options.pop("full_speed"), options.pop("rate")
    if full_speed and rate is not None:
        raise ConfigurationError(
            "--full-speed and --rate exclude each other: the first is without a limit"
        )
    window, zone = options.pop("window"), options.pop("time_zone")
    pace = Pace.full_speed() if full_speed else Pace()
    given = {
        "rate": rate,
        "batch_rows": options.pop("batch_size"),
        "batch_seconds": options.pop("batch_seconds"),
        "max_lag": options.pop("max_lag"),
        "throttle_query": options.pop("throttle_query"),
        "pause_file": options.pop("pause_file"),
        "vacuum": options.pop("vacuum") or None,
        "window": Window.parse(window, zone) if window else None,
    }
    return replace(pace, **{k: v for k, v in given.items() if v is not None})
