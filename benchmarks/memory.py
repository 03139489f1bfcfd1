"""Re-encrypts a table in a process of its own and prints its peak memory in MiB.

Run by ``reencrypt.py``, which lays the table out and hands the keys over in
``SEALED_KEYS``. On Linux the peak is read from ``/proc``: what ``getrusage`` says there
is at least the peak of the process that started this one.
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

from people import Base
from setting import sealed_engine
from sqlalchemy import make_url

from sqlalchemy_sealed import Keyring, Reencryption

_STATUS = Path("/proc/self/status")


def _peak() -> float:
    if _STATUS.exists():
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
        assert found is not None
        return int(found[1]) / (1 << 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


engine = sealed_engine(make_url(sys.argv[1]), Keyring.from_env())
(report,) = Reencryption(engine, Base).run()
print(report.counts.moved, _peak())
