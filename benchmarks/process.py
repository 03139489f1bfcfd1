"""A script of this folder in a process of its own, spoken to line by line.

It says "ready" when everything is imported, so that starting Python is not measured.
Keys are handed over in ``SEALED_KEYS``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from people import People

__all__ = ["Process", "environment"]


class Process:
    """A running script; leaving the ``with`` block ends it.

    Args:
        script: name of the file; its first argument is the URL of the database.
        people: whose database and keys it gets.
        arguments: further ones.

    """

    def __init__(self, script: str, people: People, *arguments: str) -> None:
        url = people.url.render_as_string(hide_password=False)
        self._script = script
        self._running = subprocess.Popen(
            [sys.executable, Path(__file__).with_name(script), url, *arguments],
            env=environment(people),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        self.expect("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self._running.kill()
        with suppress(BrokenPipeError):
            self._running.communicate()

    def say(self, word: str) -> None:
        """Tell it something; it may have ended already."""
        assert self._running.stdin is not None
        with suppress(BrokenPipeError):
            self._running.stdin.write(f"{word}\n")
            self._running.stdin.flush()

    def hear(self) -> str:
        """Wait for its next line."""
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            raise SystemExit(f"{self._script} ended before it was done")
        return line.strip()

    def expect(self, word: str) -> None:
        """Wait for one particular line."""
        if (heard := self.hear()) != word:
            raise SystemExit(f"{self._script} said {heard!r} instead of {word!r}")


def environment(people: People) -> dict[str, str]:
    """Return this process's environment with the keys in it."""
    keys = " ".join(key.to_text() for key in people.keyring)
    active = people.keyring.active.version
    return {**os.environ, "SEALED_KEYS": f"active={active} {keys}"}
