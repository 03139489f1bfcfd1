"""The application beside a job: clients that read a row, change it and write it back.

Started by ``beside.py``. Every client is a thread with a connection of its own: it
selects the sealed value of a random row, updates the row with a new value and commits,
then thinks for two milliseconds. Nothing is locked between reading and writing, so two
clients never take the same row: what is lost then, the job has lost.

It says "ready" after a second of that; after every line "go" it does it for some
seconds and says the moments and the latencies, as JSON; after the line "check" it says
how many rows do not hold what was written last: its own ledger, or the first value.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from contenders import values
from people import Person
from setting import sealed_engine
from sqlalchemy import Engine, bindparam, make_url, select, update

from sqlalchemy_sealed import Keyring

_CLIENTS = 2
_THINK = 0.002
_WARMING = 1.0
_CHUNK = 10_000

_TABLE = Person.__table__
_READ = select(_TABLE.c.email).where(_TABLE.c.id == bindparam("row"))
_WRITE = update(_TABLE).where(_TABLE.c.id == bindparam("row"))


class Client:
    """One client, with the ledger of what was acknowledged to it."""

    def __init__(self, engine: Engine, number: int, rows: int) -> None:
        self._engine = engine
        self._number = number
        self._rows = rows
        self._random = random.Random(number)
        self._count = 0
        self.ledger: dict[int, str] = {}

    def work(self, seconds: float) -> list[tuple[float, float]]:
        """Return when each transaction began and how long it took."""
        found = []
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            self._transaction()
            found.append((began, time.monotonic() - began))
            time.sleep(_THINK)
        return found

    def _transaction(self) -> None:
        place = self._random.randrange(self._rows // _CLIENTS)
        row = place * _CLIENTS + self._number + 1
        self._count += 1
        new = f"{'vw'[self._number]}{self._count:07}@example.com"
        with self._engine.begin() as connection:
            old = connection.execute(_READ, {"row": row}).scalar_one()
            if old != expected(self.ledger, row):
                raise SystemExit(f"row {row} lost what was written to it")
            written = connection.execute(_WRITE, {"row": row, "email": new})
            assert written.rowcount == 1
        self.ledger[row] = new


def expected(ledger: dict[int, str], row: int) -> str:
    """Return what a row has to hold."""
    return ledger.get(row) or values(1, row)["c0"]


class Application:
    """All clients."""

    def __init__(self, url: str, rows: str, seconds: str) -> None:
        self._engine = sealed_engine(make_url(url), Keyring.from_env())
        self._rows, self._seconds = int(rows), float(seconds)
        self._clients = [Client(self._engine, n, self._rows) for n in range(_CLIENTS)]

    def serve(self) -> None:
        """Do what the lines say."""
        self._load(_WARMING)
        # What was imported is not walked through again: one pause less to measure.
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        for line in sys.stdin:
            go = line.strip() == "go"
            said = self._load(self._seconds) if go else self._lost()
            print(json.dumps(said), flush=True)

    def _load(self, seconds: float) -> list[tuple[float, float]]:
        with ThreadPoolExecutor(_CLIENTS) as pool:
            found = pool.map(lambda client: client.work(seconds), self._clients)
            return [one for times in found for one in times]

    def _lost(self) -> int:
        ledger = {
            row: v for client in self._clients for row, v in client.ledger.items()
        }
        everything = select(_TABLE.c.id, _TABLE.c.email)
        with self._engine.connect() as connection:
            found = connection.execution_options(yield_per=_CHUNK).execute(everything)
            right = sum(email == expected(ledger, row) for row, email in found)
        return self._rows - right


if __name__ == "__main__":
    Application(*sys.argv[1:]).serve()
