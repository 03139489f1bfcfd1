"""The README's code and commands do what it says."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_python_blocks_run_one_after_the_other():
    source = "\n".join(blocks("python"))
    assert source.count("assert") > 4
    module = ModuleType("readme")
    sys.modules["readme"] = module  # declarative looks annotations up by module
    try:
        code = compile(source, "README.md", "exec", dont_inherit=True)
        exec(code, module.__dict__)
    finally:
        del sys.modules["readme"]
        module.engine.dispose()


def transcript() -> list[tuple[str, list[str]]]:
    [block] = blocks("console")
    steps: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def squeeze(line: str) -> str:
    return " ".join(line.split())


def test_the_console_block_prints_what_it_shows(tmp_path):
    shutil.copy(ROOT / "examples" / "quickstart.py", tmp_path)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("DATABASE_URL", None)
    assert len(transcript()) == 7
    for command, expected in transcript():
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
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


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w./-]+)\)", README))
def test_every_link_leads_to_a_file(path):
    assert (ROOT / path).exists()


def test_the_two_commands_are_the_ones_that_ci_runs():
    commands = blocks("sh")
    assert len(commands) == 2
    script = (ROOT / ".ci" / "run").read_text()
    assert "tox run" in commands[1]
    assert '"$tox" run\n' in script
    assert "sealed demo" in commands[0]
    assert "sealed demo" in script
