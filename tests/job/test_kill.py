"""SIGKILL at random moments: no repair, nothing lost, nothing done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from job.application import Base, Person
from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Keyring, bind_keyring
from sqlalchemy_sealed.cli.keyfile import add_key, create_file, set_active
from sqlalchemy_sealed.status import status

pytestmark = pytest.mark.thorough

ROWS = 6_000
BATCH = 25
#: Ten on the server that is most used; the schedules of tests/faults kill everywhere.
KILLS = {"postgresql": 10}
FEWER_KILLS = 4
SEED = int(os.environ.get("SEALED_TEST_SEED", "20261123"))


@pytest.fixture
def key_file(tmp_path) -> Path:
    path = tmp_path / "keys.toml"
    keyring = Keyring.generate()
    create_file(path, keyring)
    return path


def command(url: str, key_file: Path) -> list[str]:
    script = "from sqlalchemy_sealed.cli.main import main; main()"
    options = ["--url", url, "--keys", str(key_file), "--batch-size", str(BATCH)]
    return [
        sys.executable,
        "-c",
        script,
        "reencrypt",
        "job.application:Person",
        *options,
    ]


def environment() -> dict[str, str]:
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    return {**os.environ, "PYTHONPATH": path}


def scanned(engine) -> int:
    with engine.connect() as connection:
        try:
            statement = text("SELECT coalesce(sum(scanned), 0) FROM sealed_ranges")
            return int(connection.scalar(statement))
        except Exception:  # the tables are not there yet
            return 0


def stored(engine) -> dict[int, bytes]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, name FROM people"))
        return {row.id: bytes(row.name) for row in rows}


def kill_after_progress(process: subprocess.Popen[bytes], engine, wanted: int) -> int:
    before = scanned(engine)
    deadline = time.monotonic() + 60
    while (now := scanned(engine)) < before + wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return now - before


def test_kills_end_with_every_row_moved_once(database_url, key_file):
    engine = create_engine(database_url)
    kills = KILLS.get(engine.name, FEWER_KILLS)
    old = Keyring.from_file(key_file)
    bind_keyring(engine, old)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": n, "name": f"name {n}"} for n in range(1, ROWS + 1)]
        connection.execute(insert(Person), rows)
    new_key = old.publish()
    add_key(key_file, new_key)
    set_active(key_file, new_key.version)
    keyring = Keyring.from_file(key_file)
    header = b"\xf5\x11\x01\x01" + new_key.version.to_bytes(4) + new_key.kid

    chooser = random.Random(SEED)
    print(f"seed {SEED}")  # shown when the test fails
    for _ in range(kills):
        before = {n: b for n, b in stored(engine).items() if b[:24] == header}
        process = subprocess.Popen(
            command(database_url, key_file),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wanted = chooser.randrange(BATCH, ROWS // (kills + 4))
        assert kill_after_progress(process, engine, wanted) >= BATCH
        after = stored(engine)
        assert len(after) == ROWS
        assert all(after[n] == data for n, data in before.items())

    moved_so_far = {n: b for n, b in stored(engine).items() if b[:24] == header}
    assert 0 < len(moved_so_far) < ROWS
    last = subprocess.run(
        command(database_url, key_file),
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert last.returncode == 0, last.stderr

    final = stored(engine)
    assert all(final[n] == data for n, data in moved_so_far.items())
    bind_keyring(engine, keyring)
    with Session(engine) as session:
        people = dict(session.execute(select(Person.id, Person.name)).all())
    assert people == {n: f"name {n}" for n in range(1, ROWS + 1)}
    [column] = status(engine, Person, keyring)
    assert (column.on_active, column.values) == (ROWS, ROWS)
    with engine.connect() as connection:
        counts = connection.execute(
            text("SELECT sum(scanned), sum(moved), sum(conflicts) FROM sealed_ranges")
        ).one()
        runs = connection.execute(text("SELECT status FROM sealed_runs")).all()
    assert tuple(map(int, counts)) == (ROWS, ROWS, 0)
    assert runs == [("caught-up",)]
    engine.dispose()
