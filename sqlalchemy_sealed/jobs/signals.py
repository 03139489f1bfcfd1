"""What makes a job wait: a replica behind, a query, a file, the hour of the day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Engine, text

from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.pace import Pace, Signal

__all__ = ["signals_of"]

#: The slowest replica. Without activity replay_lag is NULL, and nothing is behind.
_LAG: Final = (
    "SELECT coalesce(extract(epoch FROM max(replay_lag)), 0) FROM pg_stat_replication"
)


def signals_of(engine: Engine, pace: Pace) -> list[Signal]:
    """Return the signals that a pace asks for.

    Raises:
        ConfigurationError: one of them does not exist on this database.

    """
    signals: list[Signal] = []
    if pace.pause_file is not None:
        file = pace.pause_file
        signals.append(lambda: f"the file {file} exists" if file.exists() else None)
    if pace.window is not None:
        window = pace.window
        signals.append(lambda: None if window.is_open() else f"outside of {window}")
    if pace.max_lag is not None:
        if engine.dialect.name != "postgresql":
            raise ConfigurationError(
                "max_lag asks PostgreSQL how far its replicas are behind. On "
                f"{engine.dialect.name} give a query of your own: throttle_query"
            )
        signals.append(_lag(engine, pace.max_lag))
    if pace.throttle_query is not None:
        signals.append(_query(engine, pace.throttle_query))
    return signals


def _lag(engine: Engine, most: float) -> Signal:
    def signal() -> str | None:
        lag = float(_value(engine, _LAG) or 0)
        return f"a replica is {lag:.1f} s behind" if lag > most else None

    return signal


def _query(engine: Engine, sql: str) -> Signal:
    def signal() -> str | None:
        # False, 0, NULL and no row let the job go on.
        return "the throttle query says so" if _value(engine, sql) else None

    return signal


def _value(engine: Engine, sql: str) -> Any:
    run: Callable[..., Any]
    with engine.connect() as connection:
        run = connection.scalar
        value = run(text(sql.replace(":", "\\:")))
        connection.rollback()
    return value
