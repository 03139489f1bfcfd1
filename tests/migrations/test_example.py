"""The example project: up and down beside a writer, with one kill on the way."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from sqlalchemy_sealed import IndexKey, Key

pytestmark = pytest.mark.thorough

EXAMPLE = Path(__file__).parents[2] / "examples" / "members"
ROOT = EXAMPLE.parents[1]
FIRST = 1000
OLD, NEW = (Key(n, bytes([n]) * 32).to_text() for n in (1, 2))
INDEX = IndexKey(1, bytes([9]) * 32).to_text()
KEYS = f"active=1 {OLD} {INDEX}"
ROTATED = f"active=2 {OLD} {NEW} {INDEX}"


class Members:
    """The project on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.log = folder / "acknowledged.jsonl"
        self.log.touch()
        self.keys = KEYS
        self.expected = {n: f"m{n}@example.org" for n in range(1, FIRST + 1)}

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.url,
            "SEALED_KEYS": self.keys,
            "PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(ROOT)]),
            **more,
        }

    def start(self, *command: str, rate: str = "0") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "alembic", *command],
            cwd=EXAMPLE,
            env=self.environment(MIGRATION_RATE=rate),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def alembic(self, *command: str) -> None:
        process = self.start(*command)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output

    def fill(self) -> None:
        engine = create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(
                text("INSERT INTO members (id, name, email) VALUES (:n, 'M', :e)"),
                [{"n": n, "e": email} for n, email in self.expected.items()],
            )
        engine.dispose()

    @contextlib.contextmanager
    def writer(self, model: str):
        """Have the application write meanwhile."""
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLE / "work.py"), model, str(self.log)],
            cwd=EXAMPLE,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "at work\n"
        try:
            yield
        finally:
            process.communicate(timeout=60)
        assert process.returncode == 0

    def count(self, sql: str) -> int:
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return connection.scalar(text(sql))
        finally:
            engine.dispose()

    def check(self, model: str) -> None:
        """Read every acknowledged write through a model."""
        for line in self.log.read_text().splitlines():
            row, email = json.loads(line)
            self.expected[row] = email
        self.log.write_text("")
        script = (
            "import json, os, sys\n"
            "from sqlalchemy import create_engine, select\n"
            "from sqlalchemy.orm import Session\n"
            "from sqlalchemy_sealed import Keyring, bind_keyring\n"
            f"from models.{model} import Member\n"
            "engine = create_engine(os.environ['DATABASE_URL'])\n"
            "bind_keyring(engine, Keyring.from_env())\n"
            "with Session(engine) as session:\n"
            "    found = {m.id: m.email for m in session.scalars(select(Member))}\n"
            "print(json.dumps(found))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = {int(n): email for n, email in json.loads(done.stdout).items()}
        assert found == self.expected


def kill_midway(members: Members) -> None:
    """Kill the revision that moves rows, when it has moved some."""
    process = members.start("upgrade", "0003", rate="400")
    moved = "SELECT count(*) FROM members WHERE email_encrypted IS NOT NULL"
    written = members.count(moved)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        # More than the writer alone would have come to.
        if members.count("SELECT count(*) FROM alembic_version") and members.count(
            moved
        ) > max(written + 100, FIRST // 2):
            break
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[0]
    process.kill()
    process.communicate()
    assert members.count("SELECT count(*) FROM sealed_runs WHERE status = 'running'")


def test_there_and_back_beside_a_writer(database_url, tmp_path):
    members = Members(database_url, tmp_path)
    members.alembic("upgrade", "0001")
    members.fill()
    with members.writer("plain"):
        members.alembic("upgrade", "0002")
    members.check("plain")
    with members.writer("both"):
        kill_midway(members)
        members.alembic("upgrade", "0003")
    members.check("both")
    members.check("sealed")
    with members.writer("sealed"):
        members.alembic("upgrade", "0004")
    members.check("sealed")
    members.keys = ROTATED
    with members.writer("sealed"):
        members.alembic("upgrade", "head")
    members.check("sealed")
    # And all the way back.
    with members.writer("sealed"):
        members.alembic("downgrade", "0003")
    members.check("sealed")
    with members.writer("both"):
        members.alembic("downgrade", "0002")
    members.check("both")
    members.check("plain")
    with members.writer("plain"):
        members.alembic("downgrade", "0001")
    members.check("plain")
    members.alembic("downgrade", "base")
    with pytest.raises(Exception, match="members"):
        members.count("SELECT count(*) FROM members")
