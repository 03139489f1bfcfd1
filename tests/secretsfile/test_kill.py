"""SIGKILL before every call that changes or reads a file: the next run completes it.

The process that dies is forked, and kills itself from an audit hook of Python, so that
no step has to be named in the code.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from secretsfile.vaults import (
    BOTH,
    FERNET_KEY,
    ONE,
    TEXTS,
    VALUES,
    modes,
    names,
    tokens,
    write,
)
from sqlalchemy_sealed.errors import SealedError

from sqlalchemy_sealed.secretsfile import SecretsFile, migrate, rollback, rotate, store

pytestmark = pytest.mark.thorough

EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.chmod", "os.truncate"}


def plaintext(folder: Path) -> None:
    write(folder / "secrets.json", VALUES)


def atom(folder: Path) -> None:
    write(folder / "secrets.enc", tokens(TEXTS))


def migrated(folder: Path) -> None:
    plaintext(folder)
    migrate(folder / "secrets.json", folder / "secrets.enc", ONE)


def without_backup(folder: Path) -> None:
    migrated(folder)
    (folder / "secrets.json.bak").unlink()


def atom_migrated(folder: Path) -> None:
    atom(folder)
    move_atom(folder)


def move(folder: Path) -> None:
    migrate(folder / "secrets.json", folder / "secrets.enc", ONE)


def move_atom(folder: Path) -> None:
    path = folder / "secrets.enc"
    migrate(path, path, ONE, [FERNET_KEY])


def turn(folder: Path) -> None:
    rotate(folder / "secrets.enc", BOTH)


def put(folder: Path) -> None:
    store(folder / "secrets.enc", "slack", VALUES["slack"], ONE)


def back(folder: Path) -> None:
    path = folder / "secrets.enc"
    sealed = "secrets" in json.loads(path.read_text())
    try:
        rollback(path, ONE, fernet_keys=[FERNET_KEY])
    except SealedError:
        # It was killed after the last step: there is nothing left to roll back.
        assert not sealed


#: What there is before, what is done, the values, and the files that there are then.
CASES = {
    "migrate": (plaintext, move, VALUES, ["secrets.enc", "secrets.json.bak"]),
    "migrate in place": (atom, move_atom, TEXTS, ["secrets.enc", "secrets.enc.bak"]),
    "rotate": (migrated, turn, VALUES, ["secrets.enc", "secrets.json.bak"]),
    "store": (migrated, put, VALUES, ["secrets.enc", "secrets.json.bak"]),
    "rollback": (migrated, back, VALUES, ["secrets.enc", "secrets.json"]),
    "rollback by opening": (
        without_backup,
        back,
        VALUES,
        ["secrets.enc", "secrets.json"],
    ),
    "rollback in place": (atom_migrated, back, TEXTS, ["secrets.enc"]),
}


def died(work: Callable[[Path], None], folder: Path, calls: int) -> bool:
    """Fork a process that works until so many calls; tell whether it got there."""
    process = os.fork()
    if process == 0:
        left = [calls]

        def count(event, arguments):
            ours = bool(arguments) and (
                isinstance(arguments[0], int) or str(folder) in str(arguments[0])
            )
            if event in EVENTS and ours:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            work(folder)
        finally:
            os._exit(3 if sys.exc_info()[0] else 0)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) in {-signal.SIGKILL, 0}
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def held(path: Path) -> dict[str, object]:
    """Return what a file holds, in whichever form."""
    with contextlib.suppress(SealedError):
        return dict(SecretsFile.open(path, BOTH))
    values = json.loads(path.read_text())
    return TEXTS if path.read_text().count("gAAAAA") == len(TEXTS) else values


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_killed_command_is_completed_by_the_next_one(tmp_path, name):
    before, work, values, files = CASES[name]
    for calls in range(1, 100):
        folder = tmp_path / str(calls)
        folder.mkdir()
        before(folder)
        killed = died(work, folder, calls)
        at_hand = {"secrets.json", "secrets.enc"} & set(names(folder))
        assert all(held(folder / name) == values for name in at_hand)
        assert at_hand
        assert modes(folder) == {0o600}
        work(folder)
        assert names(folder) == files
        assert all(held(folder / name) == values for name in files)
        assert modes(folder) == {0o600}
        if not killed:
            break
    assert calls > 10
