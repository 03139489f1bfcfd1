"""The code and the commands of docs/SECRETS_FILE.md do what the page says."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from secretsfile.vaults import FERNET_KEY, tokens, write

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "SECRETS_FILE.md").read_text()
SECRETS = {"slack_bot_token": "xoxb-1", "google": {"id": 7, "scopes": ["mail"]}}


def blocks() -> list[tuple[str, str]]:
    pattern = r"^```(console|python)\n(.*?)^```$"
    return re.findall(pattern, PAGE, re.DOTALL | re.MULTILINE)


def transcript(block: str) -> list[tuple[str, list[str]]]:
    steps: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def squeeze(line: str) -> str:
    return " ".join(line.split())


def shell(command: str, expected: list[str], folder: Path) -> None:
    environment = {
        **os.environ,
        "ENCRYPTION_KEY": FERNET_KEY,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (command, done.stderr)
    shown = [squeeze(line) for line in done.stdout.splitlines()]
    patterns = [squeeze(line).replace("...", "*") for line in expected]
    assert len(shown) == len(patterns), (command, done.stdout)
    for line, pattern in zip(shown, patterns, strict=True):
        assert fnmatch.fnmatchcase(line, pattern), (command, line, pattern)


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "secrets.json", SECRETS)
    write(tmp_path / "atom.enc", tokens({"a": "one", "b": "two"}))
    done = 0
    for language, block in blocks():
        if language == "python":
            exec(compile(block, "SECRETS_FILE.md", "exec", dont_inherit=True), {})
            done += 1
            continue
        for command, expected in transcript(block):
            shell(command, expected, tmp_path)
            done += 1
    assert done == 12


@pytest.mark.parametrize("words", re.findall(r"^\| ([\w ]+) \|", PAGE, re.MULTILINE))
def test_every_trouble_of_the_page_is_what_the_code_says(words):
    folder = ROOT / "sqlalchemy_sealed" / "secretsfile"
    source = " ".join(path.read_text() for path in folder.glob("*.py"))
    assert words in source or words == "it says"
