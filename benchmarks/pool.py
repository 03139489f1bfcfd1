"""The same job through an executor: ``run(executor=ProcessPoolExecutor(2), ...)``.

Processes are spawned, and have imported everything before the clock starts. What an
executor costs beside two processes that share a run is a task, an engine and a look at
the table for every range.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from unittest.mock import patch

from job import check, give_up, share
from people import Base, People
from process import environment
from setting import sealed_engine
from sqlalchemy import Engine, make_url

from sqlalchemy_sealed import Keyring, Pace, Reencryption

__all__ = ["connect", "pooled"]

_URL = "SEALED_BENCHMARKS_URL"
_WORKERS = 2
_NAP = 0.5


def connect() -> Engine:
    """Return an engine in the process of a task; keys are in its environment."""
    return sealed_engine(make_url(os.environ[_URL]), Keyring.from_env())


def pooled(people: People) -> float:
    """Re-encrypt the table and return the seconds it took."""
    url = people.url.render_as_string(hide_password=False)
    with (
        patch.dict(os.environ, environment(people) | {_URL: url}),
        ProcessPoolExecutor(_WORKERS, mp_context=get_context("spawn")) as pool,
    ):
        # One nap for each of them: this module and all it needs is imported for it.
        list(pool.map(_nap, [_NAP] * _WORKERS))
        engine = connect()
        job = Reencryption(
            engine, Base, pace=Pace.full_speed(), range_size=share(people.rows)
        )
        began = time.monotonic()
        (report,) = job.run(executor=pool, connect=connect, workers=_WORKERS)
        seconds = time.monotonic() - began
        engine.dispose()
    check(report.counts.moved, people.rows)
    if give_up(people):
        print("reencrypt: the executor's run has ended and left another one open")
    return seconds


def _nap(seconds: float) -> None:
    time.sleep(seconds)
