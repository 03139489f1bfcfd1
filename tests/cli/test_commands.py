"""The command ``sealed`` as a shell sees it: stdout, stderr and the exit code."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from job.application import Base, Person
from sqlalchemy import create_engine, insert, text

from sqlalchemy_sealed import Key, Keyring, bind_keyring
from sqlalchemy_sealed.cli.main import main


@pytest.fixture
def sealed(monkeypatch, capsys):
    """Run ``sealed`` and return exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sealed", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        code = stop.value.code
        out, err = capsys.readouterr()
        return (0 if code is None else int(code)), out, err

    return run


@pytest.fixture
def key_file(sealed, tmp_path) -> Path:
    path = tmp_path / "keys.toml"
    assert sealed("keys", "generate", "--out", path)[0] == 0
    return path


@pytest.fixture
def database(tmp_path, key_file) -> str:
    url = f"sqlite:///{tmp_path / 'cli.db'}"
    engine = create_engine(url)
    bind_keyring(engine, Keyring.from_file(key_file))
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": n, "name": f"TOPSECRET-{n}"} for n in range(1, 31)]
        connection.execute(insert(Person), rows)
    engine.dispose()
    return url


def target(database, key_file) -> list[object]:
    return ["job.application:Person", "--url", database, "--keys", key_file]


def execute(url: str, statement: str, **values: object) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


def test_generate_prints_one_line_that_from_env_reads(sealed, monkeypatch):
    code, out, err = sealed("keys", "generate")
    assert code == 0
    assert "secret" in err
    monkeypatch.setenv("SEALED_KEYS", out.strip())
    assert Keyring.from_env().active.version == 1


def test_generate_writes_a_file_that_only_its_owner_reads(sealed, tmp_path):
    path = tmp_path / "keys.toml"
    code, out, _ = sealed("keys", "generate", "--out", path, "--json")
    assert code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(out)["kid"] == Keyring.from_file(path).active.kid.hex()
    assert "sealed_root" not in out


def test_generate_never_overwrites_a_file(sealed, key_file):
    before = key_file.read_text()
    code, _, err = sealed("keys", "generate", "--out", key_file)
    assert code == 1
    assert "exists and is not overwritten" in err
    assert key_file.read_text() == before


def test_list_shows_states_and_no_secret(sealed, key_file):
    code, out, _ = sealed("keys", "list", "--keys", key_file, "--json")
    assert code == 0
    assert json.loads(out)[0]["state"] == "active"
    secret = Keyring.from_file(key_file).active.to_text().split("_", 3)[3][:43]
    assert secret not in out
    assert secret not in sealed("keys", "list", "--keys", key_file)[1]


def test_rotation_has_two_visible_steps(sealed, key_file):
    assert sealed("keys", "rotate", "--keys", key_file)[1] == "active=1 newest=2\n"
    again = sealed("keys", "rotate", "--keys", key_file)
    assert again[0] == 1
    assert "published and not active yet" in again[2]
    done = sealed("keys", "rotate", "--keys", key_file, "--activate")
    assert done[1] == "active=2 newest=2\n"
    assert Keyring.from_file(key_file).active.version == 2
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    nothing = sealed("keys", "rotate", "--keys", key_file, "--activate")
    assert nothing[0] == 1
    assert "run first" in nothing[2]


def test_rotation_keeps_the_comments_of_the_file(sealed, key_file):
    sealed("keys", "rotate", "--keys", key_file, "--now")
    assert key_file.read_text().startswith("# Root keys")
    assert len(Keyring.from_file(key_file)) == 2


def test_a_directory_of_secrets_rotates_file_by_file(sealed, tmp_path, key_file):
    directory = tmp_path / "secrets"
    directory.mkdir(mode=0o700)
    for name, content in (
        ("enc_key_v1", Keyring.from_file(key_file).active.to_text()),
        ("enc_key_active", "1"),
    ):
        (directory / name).write_text(content)
        (directory / name).chmod(0o600)
    assert sealed("keys", "rotate", "--keys", directory)[0] == 0
    assert sealed("keys", "rotate", "--keys", directory, "--activate")[0] == 0
    assert Keyring.from_directory(directory).active.version == 2


def test_rotation_of_the_environment_prints_the_next_value(sealed, monkeypatch):
    monkeypatch.setenv("SEALED_KEYS", sealed("keys", "generate")[1].strip())
    code, out, err = sealed("keys", "rotate", "--now")
    assert code == 0
    assert "secret" in err
    monkeypatch.setenv("SEALED_KEYS", out.strip())
    assert Keyring.from_env().active.version == 2


def test_activate_and_now_exclude_each_other(sealed, key_file):
    assert sealed("keys", "rotate", "--keys", key_file, "--now", "--activate")[0] == 2


def test_the_main_line_from_status_to_verify(sealed, database, key_file):
    where = target(database, key_file)
    sealed("keys", "rotate", "--keys", key_file, "--now")
    before = json.loads(sealed("status", *where, "--json")[1])
    [column] = before["columns"]
    assert [(k["version"], k["state"], k["values"]) for k in column["keys"]] == [
        (1, "deactivated", 30)
    ]
    code, out, err = sealed("reencrypt", *where, "--json", "--batch-size", 7)
    assert code == 0
    [report] = json.loads(out)
    assert (report["status"], report["counts"]["moved"]) == ("caught-up", 30)
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines[-1]["status"] == "caught-up"
    assert lines[0]["left"] == 23
    after = json.loads(sealed("status", *where, "--json")[1])
    assert after["columns"][0]["keys"][0]["version"] == 2
    code, out, _ = sealed("verify", *where, "--json")
    assert code == 0
    assert json.loads(out)[0]["readable"] == 30


def test_tables_show_the_same_as_json(sealed, database, key_file):
    where = target(database, key_file)
    assert "active" in sealed("status", *where)[1]
    assert "caught-up" in sealed("reencrypt", *where)[1]
    assert "30" in sealed("verify", *where)[1]


def test_plaintext_and_damage_end_with_exit_code_3(sealed, database, key_file):
    where = target(database, key_file)
    execute(database, "UPDATE people SET name = :v WHERE id = 4", v=b"TOPSECRET-plain")
    results = {name: sealed(name, *where) for name in ("status", "verify", "reencrypt")}
    assert {name: code for name, (code, _, _) in results.items()} == {
        "status": 3,
        "verify": 3,
        "reencrypt": 3,
    }
    assert "NOT SEALED" in results["status"][1]
    assert "row 4: NotSealedError" in results["verify"][2]
    everything = "".join(out + err for _, out, err in results.values())
    assert "TOPSECRET" not in everything


def test_status_works_without_keys(sealed, database, monkeypatch):
    monkeypatch.delenv("SEALED_KEYS", raising=False)
    code, out, err = sealed("status", "job.application:Person", "--url", database)
    assert code == 0
    assert "not looked up" in out
    assert "without --keys or SEALED_KEYS" in err


@pytest.mark.parametrize(
    "keys", ["", "active=1", "active=x sealed_root_v1_abc", "active=7 {key}"]
)
def test_status_with_keys_that_are_wrong_is_an_error(
    sealed, database, monkeypatch, keys
):
    """Not the same as without keys: the exit code is the truth."""
    key = Key.generate(1).to_text()
    monkeypatch.setenv("SEALED_KEYS", keys.format(key=key))
    code, out, err = sealed("status", "job.application:Person", "--url", database)
    assert (code, out) == (1, "")
    assert err
    assert key not in err


def test_an_open_run_shows_in_status(sealed, database, key_file):
    where = target(database, key_file)
    execute(database, "UPDATE people SET name = :v", v=b"not sealed")
    failed = sealed("reencrypt", *where, "--max-dead-letters", 5, "--batch-size", 10)
    assert failed[0] == 1
    assert "could not be moved" in failed[2]
    assert "a run (reencrypt) is stopped" in sealed("status", *where)[2]


BAD = [
    (["status", "nowhere:Base", "--url", "sqlite://"], "cannot import nowhere"),
    (["status", "job.application", "--url", "sqlite://"], "write module:name"),
    (["status", "job.application:Nothing", "--url", "sqlite://"], "has no Nothing"),
    (["status", "job.application:text", "--url", "sqlite://"], "has no text"),
    (["status", "job.application:Base", "--url", "nonsense"], "not a database URL"),
    (["status", "job.application:Base", "--url", "x+y://h/d"], "not a database URL"),
    (
        ["status", "job.application:Base", "--url", "sqlite+aiosqlite://"],
        "asynchronous driver",
    ),
    (["reencrypt", "job.application:Base", "--url", "sqlite://"], "SEALED_KEYS"),
    (["keys", "list", "--keys", "no-such-file"], "cannot read the key file"),
]


@pytest.mark.parametrize(
    ("arguments", "reason"), BAD, ids=[reason for _, reason in BAD]
)
def test_wrong_input_is_one_line_on_stderr_and_exit_code_1(
    sealed, monkeypatch, arguments, reason
):
    monkeypatch.delenv("SEALED_KEYS", raising=False)
    code, out, err = sealed(*arguments)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("sealed: error: ")
    assert reason in err


def test_a_missing_table_is_one_line_and_exit_code_1(sealed, tmp_path, key_file):
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    code, _, err = sealed("verify", *target(url, key_file))
    assert (code, "empty.db, which does not exist" in err) == (1, True)
    (tmp_path / "empty.db").touch()
    code, _, err = sealed("verify", *target(url, key_file))
    assert code == 1
    assert "sealed: error: the database says: no such table: people" in err


def test_the_password_of_a_url_is_not_repeated(sealed, key_file):
    url = "postgresql+psycopg://user:hunter2@127.0.0.1:1/nothing"
    code, _, err = sealed("verify", *target(url, key_file))
    assert code == 1
    assert "hunter2" not in err


def test_wrong_usage_is_exit_code_2(sealed):
    assert sealed("reencrypt")[0] == 2


def test_the_demo_runs_from_nothing(sealed):
    code, out, err = sealed("demo", "--rows", 2500)
    assert code == 0
    for step in ("1. Declare", "2. Plaintext", "3. Rotate", "4. Re-encrypt", "5. Noth"):
        assert step in out
    assert "F511" in out
    assert "deactivated   2,500" in " ".join(out.split("\n"))
    assert "active" in out
    assert json.loads(err.splitlines()[-1])["moved"] == 2500


def test_the_demo_as_json_has_the_census_before_and_after(sealed):
    code, out, _ = sealed("demo", "--rows", 100, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["before"][0]["keys"][0]["state"] == "deactivated"
    assert facts["reencryption"][0]["counts"]["moved"] == 100
    assert facts["after"][0]["keys"][0]["state"] == "active"


def test_without_the_extra_the_command_says_what_to_install():
    blocker = (
        "import sys; sys.modules['click'] = None\n"
        "from sqlalchemy_sealed.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocker],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 1
    assert "pip install 'sqlalchemy-sealed[cli]'" in done.stderr


def test_a_progress_bar_is_drawn_on_a_terminal(tmp_path):
    """Run the demo on a pseudo-terminal."""
    import pty

    leader, follower = pty.openpty()
    script = "from sqlalchemy_sealed.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "demo", "--rows", "30000"],
        stdout=subprocess.DEVNULL,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    assert process.wait() == 0
    assert "30000/30000" in shown.decode()
    assert "━" in shown.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "list", "--keys", "KEY"],
        ["keys", "list", "--keys", "active=1 KEY"],
        ["keys", "list", "--active", "KEY"],
        ["keys", "generate", "--out", "/nonexistent/KEY"],
        ["keys", "list", "KEY"],
        ["keys", "list", "--KEY"],
        ["KEY"],
        ["status", "KEY", "--url", "sqlite://"],
        ["status", "KEY:x", "--url", "sqlite://"],
        ["status", "job.application:Base", "--url", "KEY"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_a_key_in_the_wrong_place_is_not_repeated(sealed, arguments):
    key = Keyring.generate().active.to_text()
    secret = key[len("sealed_root_v1_") :]
    code, out, err = sealed(*(a.replace("KEY", key) for a in arguments))
    assert code in {1, 2}
    assert secret not in out + err
    assert secret[:20] not in out + err


def test_a_password_with_odd_characters_is_not_repeated(sealed, key_file):
    url = "postgresql+psycopg://user:p@ss:s3cret@127.0.0.1/db"
    code, _, err = sealed("verify", *target(url, key_file))
    assert code == 1
    assert "s3cret" not in err


def test_the_index_key_is_generated_listed_and_rotated(sealed, key_file):
    before = Keyring.from_file(key_file)
    assert [key.version for key in before.index_keys] == [1]
    code, out, err = sealed("keys", "rotate", "--index", "--keys", key_file)
    assert (code, out.strip()) == (0, "active=1 newest=2")
    assert "BlindIndex(..., version=2)" in err
    after = Keyring.from_file(key_file)
    assert after.index_keys[:1] == before.index_keys
    assert (after.keys, after.active) == (before.keys, before.active)
    code, out, _ = sealed("keys", "list", "--keys", key_file, "--json")
    listed = [(row["kind"], row["version"]) for row in json.loads(out)]
    assert listed == [("data", 1), ("index", 1), ("index", 2)]
    shown = sealed("keys", "list", "--keys", key_file)
    for key in (*after.keys, *after.index_keys):
        assert key.to_text()[18:50] not in str(shown)


def test_an_index_key_of_the_environment_is_printed_once(sealed, monkeypatch):
    line = sealed("keys", "generate")[1].strip()
    assert line.count("sealed_index_v") == 1
    monkeypatch.setenv("SEALED_KEYS", line)
    code, out, err = sealed("keys", "rotate", "--index")
    assert code == 0
    assert "sealed_index_v2" in out
    assert "sealed_index_v" not in err
    monkeypatch.setenv("SEALED_KEYS", out.strip())
    assert len(Keyring.from_env().index_keys) == 2
    assert sealed("keys", "rotate", "--index", "--now")[0] == 2
