"""``sealed secrets`` as a shell sees it: stdout, stderr and the exit code."""

from __future__ import annotations

import io
import json
import sys

import pytest
from cli.test_commands import key_file, sealed
from secretsfile.vaults import (
    FERNET_KEY,
    TEXTS,
    VALUES,
    change,
    modes,
    names,
    sealed_values,
    tokens,
    write,
)

from sqlalchemy_sealed import Keyring
from sqlalchemy_sealed.secretsfile import SecretsFile

__all__ = ["key_file", "sealed"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "app"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write(folder / "secrets.json", VALUES)
    return folder


@pytest.fixture
def secrets(sealed, key_file, folder):
    """Run ``sealed secrets`` with the key file; no output may hold a value."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = sealed("secrets", *arguments, "--keys", key_file)
        assert "TOPSECRET" not in out + err
        assert FERNET_KEY[:43] not in out + err
        assert "Traceback" not in err
        return code, out, err

    return run


MIGRATE = ("migrate", "secrets.json", "secrets.enc")


def test_the_main_line_from_migrate_to_rollback(sealed, secrets, folder, key_file):
    code, out, err = secrets(*MIGRATE, "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["status"], report["total"], report["plaintext"]) == (
        "migrated",
        len(VALUES),
        len(VALUES),
    )
    assert "secrets.json.bak holds 7 secrets in PLAINTEXT. Delete it once" in err
    assert sealed("keys", "rotate", "--keys", key_file, "--now")[0] == 0
    code, out, _ = secrets("check", "secrets.enc", "--json")
    assert code == 0
    assert json.loads(out)["old"] == len(VALUES)
    assert "sealed secrets rotate" in out
    code, out, _ = secrets("rotate", "secrets.enc", "--json")
    assert (code, json.loads(out)["moved"]) == (0, len(VALUES))
    code, out, _ = secrets("check", "secrets.enc", "--json")
    checked = json.loads(out)
    assert (code, checked["sealed"], checked["old"]) == (0, len(VALUES), 0)
    assert {entry["version"] for entry in checked["entries"]} == {2}
    assert dict(SecretsFile.open("secrets.enc", Keyring.from_file(key_file))) == VALUES
    code, out, err = secrets("rollback", "secrets.enc", "--json")
    assert (code, json.loads(out)["from_backup"]) == (0, True)
    assert "it is not sealed" in err
    assert json.loads((folder / "secrets.json").read_text()) == VALUES
    assert names(folder) == ["secrets.enc", "secrets.json"]


def test_tables_show_the_same_as_json(secrets):
    assert "migrated" in secrets(*MIGRATE)[1]
    out = secrets("check", "secrets.enc")[1]
    assert "grüße 東京" in out
    assert "active" in out
    assert "moved        0" in secrets("rotate", "secrets.enc")[1]
    assert "from_backup  True" in secrets("rollback", "secrets.enc")[1]


def test_the_file_of_atom(secrets, folder, monkeypatch):
    write(folder / "atom.enc", {**tokens(TEXTS), "plain": "TOPSECRET"})
    monkeypatch.setenv("ENCRYPTION_KEY", FERNET_KEY[:43])
    assert secrets("check", "atom.enc")[0] == 3
    code, _, err = secrets("migrate", "atom.enc", "atom.enc")
    assert code == 1
    assert "--fernet-key-env ENCRYPTION_KEY" in err
    where = ("--fernet-key-env", "ENCRYPTION_KEY")
    code, _, err = secrets("migrate", "atom.enc", "atom.enc", *where)
    assert code == 0
    assert "1 secrets in PLAINTEXT and 4 Fernet tokens" in err
    assert modes(folder) == {0o600}
    assert secrets("check", "atom.enc")[0] == 0
    assert secrets("rollback", "atom.enc", *where)[0] == 0


def test_a_fernet_key_on_the_command_line_is_not_repeated(secrets):
    for key in (FERNET_KEY, FERNET_KEY[:43]):
        code, _, err = secrets(*MIGRATE, "--fernet-key-env", key)
        assert code == 1
        assert "name of an environment variable" in err
    code, _, err = secrets(*MIGRATE, "--fernet-key-env", "MISSING_KEY")
    assert code == 1
    assert "MISSING_KEY is not set" in err


DAMAGES = {
    "plaintext": ("not encrypted", lambda sealed: "TOPSECRET-plain"),
    "swapped": ("tampered", lambda sealed: sealed["number"]),
    "cut off": ("tampered", lambda sealed: sealed["slack"][:50]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_check_ends_with_3_and_says_what_to_do(secrets, folder, name):
    state, damage = DAMAGES[name]
    secrets(*MIGRATE)
    path = folder / "secrets.enc"
    change(path, "slack", damage(sealed_values(path)))
    code, out, _ = secrets("check", "secrets.enc", "--json")
    assert code == 3
    report = json.loads(out)
    states = {entry["name"]: entry["state"] for entry in report["entries"]}
    assert states.pop("slack") == state
    assert set(states.values()) == {"sealed"}
    assert "sealed secrets set" in out
    assert secrets("rotate", "secrets.enc")[0] == 1


def test_check_of_a_file_under_other_keys(secrets, sealed, key_file):
    secrets(*MIGRATE)
    key_file.unlink()
    sealed("keys", "generate", "--out", key_file)
    code, out, _ = secrets("check", "secrets.enc", "--json")
    assert (code, json.loads(out)["unreadable"]) == (3, len(VALUES))
    assert "keyring of something else" in out


def test_check_of_what_is_no_json(secrets, folder):
    write(folder / "secrets.enc", '{"slack": "TOPSECRET')
    code, out, _ = secrets("check", "secrets.enc", "--json")
    assert code == 3
    assert "is not JSON: line 1, column" in json.loads(out)["problem"]
    assert "restore it from a backup" in out
    assert secrets("check", "missing.enc")[0] == 1


def test_check_of_permissions(secrets, folder):
    secrets(*MIGRATE)
    (folder / "secrets.enc").chmod(0o644)
    code, _, err = secrets("check", "secrets.enc")
    assert code == 3
    assert "chmod 600" in err


def test_check_works_without_keys(secrets, sealed, monkeypatch):
    secrets(*MIGRATE)
    monkeypatch.delenv("SEALED_KEYS", raising=False)
    code, out, err = sealed("secrets", "check", "secrets.enc")
    assert code == 0
    assert "not opened" in out
    assert "no value is opened" in err


def test_a_name_cannot_write_to_the_terminal(secrets, folder):
    write(
        folder / "secrets.json", {"\x1b[2J": "TOPSECRET", "a\nb": "gAAAAA" + "A" * 90}
    )
    for arguments in (("check", "secrets.json"), MIGRATE):
        _, out, err = secrets(*arguments)
        assert "\x1b[2J" not in out + err
    assert r"'a\nb'" in err


def test_a_secret_is_set_from_stdin(secrets, folder, key_file, monkeypatch):
    secrets(*MIGRATE)
    monkeypatch.setattr(sys, "stdin", io.StringIO("TOPSECRET two\nlines\n"))
    code, out, _ = secrets("set", "secrets.enc", "slack", "--json")
    assert code == 0
    assert json.loads(out)["replaced"] is True
    opened = SecretsFile.open("secrets.enc", Keyring.from_file(key_file))
    assert opened["slack"] == "TOPSECRET two\nlines"
    assert modes(folder) == {0o600}
