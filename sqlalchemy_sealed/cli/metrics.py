"""Prometheus metrics of a run, served by this process while it works."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.progress import Progress

__all__ = ["serve_metrics"]


def serve_metrics(port: int) -> Callable[[Progress], None]:
    """Serve metrics on 127.0.0.1 and return what keeps them up to date.

    Raises:
        ConfigurationError: the extra is not installed, or the port is taken.

    """
    try:
        from prometheus_client import (  # noqa: PLC0415 - an extra
            CollectorRegistry,
            Gauge,
            start_http_server,
        )
    except ModuleNotFoundError:
        raise ConfigurationError(
            "--metrics-port needs prometheus_client: "
            "pip install 'sqlalchemy-sealed[metrics]'"
        ) from None
    registry = CollectorRegistry()
    rows = Gauge(
        "sealed_run_rows",
        "Rows of the run, by what became of them; of all workers.",
        ["table", "outcome"],
        registry=registry,
    )
    left = Gauge(
        "sealed_run_rows_left",
        "Rows of the pass at work that are still ahead.",
        ["table"],
        registry=registry,
    )
    sweep = Gauge(
        "sealed_run_sweep", "Number of the pass.", ["table"], registry=registry
    )
    waiting = Gauge(
        "sealed_run_waiting",
        "1 while the job is paused or throttled.",
        ["table"],
        registry=registry,
    )
    try:
        start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise ConfigurationError(
            f"--metrics-port {port}: the port cannot be opened ({error.strerror})"
        ) from None

    def report(progress: Progress) -> None:
        for name in progress.counts.__dataclass_fields__:
            value = getattr(progress.counts, name)
            rows.labels(progress.table, name).set(value)
        left.labels(progress.table).set(progress.left)
        sweep.labels(progress.table).set(progress.sweep)
        waiting.labels(progress.table).set(progress.note is not None)

    return report
