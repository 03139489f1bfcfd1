"""The pages "from ..." of docs/ run, in order, as their reader would have it.

A block of Python that begins with the name of a file is written to that file; another
one is run; of a block of console each command is run. All in one folder, with the
variables that a reader has set.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sqlalchemy_sealed import Key

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("FROM_*.md"))
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SEALED = "from sqlalchemy_sealed.cli.main import main; main()"
#: Commands that end with 3: what they find is the point of the page.
ATTENTION = ("doctor",)


class Reader:
    """Somebody who follows a page."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "DATABASE_URL": url,
            "SEALED_KEYS": f"active=1 {Key(1, bytes(range(32))).to_text()}",
            "OLD_KEY": "the former secret",
            "TOKEN_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        }

    def python(self, code: str) -> None:
        named = re.match(r"# (\w+\.py)\n", code)
        if named:
            (self.folder / named[1]).write_text(code)
            return
        self.run([sys.executable, "-c", code])

    def console(self, lines: str) -> None:
        for line in lines.splitlines():
            if not line.startswith("$ sealed "):
                assert line == "..."
                continue
            command = shlex.split(line.removeprefix("$ sealed "))
            allowed = (0, 3) if command[0] in ATTENTION else (0,)
            self.run([sys.executable, "-c", SEALED, *command], allowed)

    def run(self, command: list[str], allowed: tuple[int, ...] = (0,)) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in allowed, done.stdout + done.stderr


def test_there_are_four():
    assert len(PAGES) == 4


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_who_follows_the_page(page, database_url, tmp_path):
    reader = Reader(tmp_path, database_url)
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text())
    assert {kind for kind, _ in blocks} == {"python", "console"}
    for kind, text in blocks:
        getattr(reader, kind)(text)
