"""The application at work: it changes members, and writes down what was committed.

    DATABASE_URL=... SEALED_KEYS=... python work.py both acknowledged.jsonl

``plain``, ``both`` or ``sealed`` is its model; it ends when its input is closed.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
import threading
import time
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Keyring, bind_keyring


def main(model: str, log: Path) -> None:
    """Write until nobody listens any more."""
    member = importlib.import_module(f"models.{model}").Member
    engine = create_engine(os.environ["DATABASE_URL"])
    bind_keyring(engine, Keyring.from_env())
    ended = threading.Event()
    threading.Thread(
        target=lambda: (sys.stdin.read(), ended.set()), daemon=True
    ).start()
    chance = random.Random(model)
    number = 0
    with log.open("a") as acknowledged:
        while not ended.is_set():
            number += 1
            row = chance.randint(1, 1000)
            email = f"{model}-{number}@Example.org" if number % 20 else None
            try:
                with Session(engine) as session, session.begin():
                    found = session.get(member, row) or member(id=row, name=f"M{row}")
                    found.email = email
                    session.add(found)
            except DBAPIError:
                continue  # a deadlock, a lock: nothing was committed
            acknowledged.write(json.dumps([row, email]) + "\n")
            acknowledged.flush()
            if number == 1:
                print("at work", flush=True)
            time.sleep(0.002)
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
