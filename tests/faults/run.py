"""The full set of random schedules, by one command.

    python tests/faults/run.py --schedules 10000 --databases sqlite,postgresql,mariadb

A failure prints its seed and its trace, and ends with 1; a server is found as for the
tests. ``--schedules`` is the number for each database.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# The modules of this folder are found under its name only.
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != TESTS / "faults"]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from faults.place import DATABASES, opened  # noqa: E402
from faults.schedule import ScheduleFailed, play  # noqa: E402
from faults.tally import Tally  # noqa: E402

_CHUNK = 50


def chunk(database: str, first: int, number: int) -> tuple[Tally, str]:
    """Play some schedules; return what happened, and the first failure."""
    total = Tally()
    with opened(database) as place:
        for seed in range(first, first + number):
            try:
                total += play(place, seed)
            except ScheduleFailed as failure:
                return total, str(failure)
    return total, ""


def main() -> int:
    """Play all of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--databases", default=",".join(DATABASES))
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    for database in given.databases.split(","):
        failure = _all(database, given.first_seed, given.schedules, given.jobs)
        if failure:
            print(failure)
            return 1
    print("lost acknowledged writes: 0")
    return 0


def _all(database: str, first: int, schedules: int, jobs: int) -> str:
    last = first + schedules - 1
    print(f"{database}: seeds {first} to {last}", flush=True)
    began, total = time.monotonic(), Tally()
    starts = range(first, last + 1, _CHUNK)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        chunks = [
            pool.submit(chunk, database, n, min(_CHUNK, last + 1 - n)) for n in starts
        ]
        for done in as_completed(chunks):
            tally, failure = done.result()
            total += tally
            if failure:
                pool.shutdown(cancel_futures=True)
                return failure
    print(f"  {total}; {time.monotonic() - began:.1f} s", flush=True)
    return ""


if __name__ == "__main__":
    sys.exit(main())
