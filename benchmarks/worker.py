"""Re-encrypts a table in a process of its own; several of it share the work.

Started by ``crew.py``. It says "ready", waits for a line, says "working" after the
first batch, and at last a line of JSON: rows moved by the run, seconds it took, moment
it ended, peak resident memory in MiB. The line "stop" ends it after a batch.

On Linux the peak is read from ``/proc``: what ``getrusage`` says there is at least the
peak of the process that started this one.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from threading import Thread

from people import Base
from setting import sealed_engine
from sqlalchemy import make_url

from sqlalchemy_sealed import Keyring, Pace, Reencryption
from sqlalchemy_sealed.errors import RunInterruptedError
from sqlalchemy_sealed.jobs.progress import Progress

_STATUS = Path("/proc/self/status")
_STDIN = 0


class Worker:
    """One process of a job."""

    def __init__(self, url: str, pace: str, range_size: str) -> None:
        self._moved = self._reports = 0
        self._job = Reencryption(
            sealed_engine(make_url(url), Keyring.from_env()),
            Base,
            pace=Pace(**json.loads(pace)),
            range_size=int(range_size),
            on_progress=self._report,
        )

    def _report(self, progress: Progress) -> None:
        self._moved = progress.counts.moved
        self._reports += 1
        if self._reports == 1:
            print("working", flush=True)

    def _obey(self) -> None:
        # Also when nobody can say it any more.
        os.read(_STDIN, 64)
        self._job.stop()

    def work(self) -> None:
        """Work until the run has ended, or a line says to stop."""
        print("ready", flush=True)
        if not os.read(_STDIN, 64):
            return
        Thread(target=self._obey, daemon=True).start()
        began = time.monotonic()
        try:
            (report,) = self._job.run()
            self._moved = report.counts.moved
        except RunInterruptedError:
            pass
        ended = time.monotonic()
        outcome = {"moved": self._moved, "seconds": ended - began, "ended": ended}
        print(json.dumps(outcome | {"peak": _peak()}), flush=True)


def _peak() -> float:
    if _STATUS.exists():
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
        assert found is not None
        return int(found[1]) / (1 << 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    Worker(*sys.argv[1:]).work()
