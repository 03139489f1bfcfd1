"""The commands of an operator, as a shell sees them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from cli.test_commands import execute, key_file, sealed
from job.application import Base, Person
from job.shop import Base as ShopBase
from databasepool import own_database
from servers import mariadb_url, postgresql_url
from sqlalchemy import create_engine, insert, inspect, text

from sqlalchemy_sealed import Keyring, bind_keyring
from sqlalchemy_sealed.cli.keyfile import add_key, set_active

pytestmark = pytest.mark.thorough

__all__ = ["key_file", "sealed"]

ROWS = 4000


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'operating.db'}"
        return
    server = postgresql_url() if request.param == "postgresql" else mariadb_url()
    with own_database(server) as found:
        yield found


@pytest.fixture
def rotated(url, key_file) -> str:
    """A table under a former key."""
    engine = create_engine(url)
    keyring = Keyring.from_file(key_file)
    bind_keyring(engine, keyring)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": n, "name": f"TOPSECRET-{n}"} for n in range(1, ROWS + 1)]
        connection.execute(insert(Person), rows)
    engine.dispose()
    new = keyring.publish()
    add_key(key_file, new)
    set_active(key_file, new.version)
    return url


def where(url, key_file) -> list[object]:
    return ["job.application:Person", "--url", url, "--keys", key_file]


def start(url, key_file, *options: object) -> subprocess.Popen[str]:
    script = "from sqlalchemy_sealed.cli.main import main; main()"
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    command = ["reencrypt", *map(str, where(url, key_file)), *map(str, options)]
    return subprocess.Popen(
        [sys.executable, "-c", script, *command],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def scanned(url: str) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return int(
                connection.scalar(text("SELECT sum(scanned) FROM sealed_ranges")) or 0
            )
    except Exception:  # the tables are not there yet
        return 0
    finally:
        engine.dispose()


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_is_stopped_looked_at_paused_resumed_and_finished(
    sealed, rotated, key_file
):
    """The operator's page, in one night."""
    first = start(rotated, key_file, "--rate", 1500)
    wait_for(lambda: scanned(rotated) > 0)
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=30)
    assert first.returncode == 75
    assert (out, "Traceback" in err) == ("", False)
    assert "The same command goes on" in err
    done = scanned(rotated)
    assert 0 < done < ROWS
    code, out, err = sealed("reencrypt", "status", "--url", rotated, "--json")
    [run] = json.loads(out)["runs"]
    assert (code, run["status"], run["workers"]) == (0, "running", [])
    assert "run the same command" in run["advice"]

    second = start(rotated, key_file, "--rate", 1500)
    wait_for(lambda: scanned(rotated) > done)
    assert sealed("reencrypt", "pause", "--url", rotated)[0] == 0
    time.sleep(0.5)
    held = scanned(rotated)
    assert held < ROWS
    time.sleep(0.7)
    assert scanned(rotated) == held
    shown = sealed("reencrypt", "status", "--url", rotated)
    assert "paused" in shown[1]
    assert "sealed reencrypt resume" in shown[2]
    assert sealed("reencrypt", "resume", "--table", "people", "--url", rotated)[0] == 0
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert "caught-up (resumed)" in out
    code, out, _ = sealed("reencrypt", "verify", *where(rotated, key_file), "--json")
    assert (code, json.loads(out)[0]["readable"]) == (0, ROWS)
    assert "TOPSECRET" not in err


def test_progress_lines_have_a_rate_and_an_estimate(sealed, rotated, key_file):
    process = start(rotated, key_file, "--rate", 1500)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    middle = [line for line in lines if line["rows_per_second"]]
    # Never faster than asked for; slower where the machine is busy.
    assert 0 < middle[-1]["rows_per_second"] < 2500
    assert lines[0]["eta_seconds"] is None
    assert middle[0]["eta_seconds"] >= 0
    assert lines[-1]["status"] == "caught-up"


def test_two_workers_of_one_command_share_the_run(sealed, rotated, key_file):
    process = start(rotated, key_file, "--workers", 2, "--full-speed")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"{ROWS:,}" in out


def test_a_cancelled_run_says_so_and_exits_1(sealed, rotated, key_file):
    process = start(rotated, key_file, "--rate", 800)
    wait_for(lambda: scanned(rotated) > 0)
    assert sealed("reencrypt", "cancel", "--url", rotated)[0] == 0
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the run is cancelled" in err
    code, _, err = sealed("reencrypt", "pause", "--url", rotated)
    assert (code, "no run is open" in err) == (1, True)


def test_the_plan_is_printed_and_nothing_is_written(sealed, rotated, key_file):
    code, out, _ = sealed("reencrypt", *where(rotated, key_file), "--dry-run")
    assert code == 0
    assert f"{ROWS:,}" in out
    code, out, _ = sealed("reencrypt", *where(rotated, key_file), "--dry-run", "--json")
    [plan] = json.loads(out)
    assert (plan["left"], plan["refusals"]) == (ROWS, [])
    assert sealed("reencrypt", "status", "--url", rotated, "--json")[1] == (
        '{\n  "runs": []\n}\n'
    )


def test_what_is_left_and_a_fence(sealed, rotated, key_file):
    code, out, _ = sealed("left", *where(rotated, key_file), "--list", 2, "--json")
    assert (code, json.loads(out)) == (
        0,
        [{"table": "people", "left": ROWS, "keys": ['[["i",1]]', '[["i",2]]']}],
    )
    refused = sealed("fence", "add", *where(rotated, key_file), "--kind", "keys")
    assert (refused[0], "re-encrypt first" in refused[2]) == (1, True)
    options = ["--full-speed", "--fence", "keys"]
    code, out, _ = sealed("reencrypt", *where(rotated, key_file), *options)
    assert (code, "complete" in out) == (0, True)
    place = ["job.application:Person", "--url", rotated]
    [fence] = json.loads(sealed("fence", "list", *place, "--json")[1])
    assert (fence["kind"], fence["validated"]) == ("keys", True)
    rotation = ["keys", "rotate", "--keys", key_file, "--url", rotated]
    before = key_file.read_text()
    code, _, err = sealed(*rotation, "--now")
    assert (code, "sealed fence drop" in err) == (1, True)
    assert key_file.read_text() == before
    assert sealed("keys", "rotate", "--keys", key_file)[0] == 0
    assert sealed(*rotation, "--activate")[0] == 1
    assert sealed("fence", "drop", *place)[0] == 0
    assert sealed(*rotation, "--activate")[0] == 0
    assert sealed("left", *where(rotated, key_file))[1].split()[-1] == f"{ROWS:,}"


def test_dead_letters_are_listed_and_tried_again(sealed, rotated, key_file):
    execute(rotated, "UPDATE people SET name = :v WHERE id = 7", v=b"TOPSECRET")
    code, _, err = sealed("reencrypt", *where(rotated, key_file), "--full-speed")
    assert code == 3
    assert "sealed reencrypt status --dead" in err
    _, out, _ = sealed("reencrypt", "status", "--dead", "--url", rotated)
    assert "NotSealedError" in out
    assert out.splitlines()[-1].split()[:4] == ["people", "name", "7", "NotSealedError"]
    assert "TOPSECRET" not in out
    code, out, _ = sealed("reencrypt", "retry-dead", *where(rotated, key_file))
    assert code == 3
    execute(rotated, "DELETE FROM people WHERE id = 7")
    code, out, _ = sealed("reencrypt", "retry-dead", *where(rotated, key_file))
    assert code == 0


def test_encrypt_fill_and_decrypt_from_the_shell(sealed, url, key_file):
    engine = create_engine(url)
    bind_keyring(engine, Keyring.from_file(key_file))
    ShopBase.metadata.create_all(engine)
    with engine.begin() as connection:
        for n in range(1, 31):
            connection.execute(
                text("INSERT INTO customers (id, ssn) VALUES (:n, :s)"),
                {"n": n, "s": f"TOPSECRET-{n}"},
            )
    place = ["job.shop:Customer", "--url", url, "--keys", key_file]
    pair = ["--column", "ssn=ssn_encrypted"]
    code, out, err = sealed("encrypt", *place, *pair)
    assert (code, "TOPSECRET" in out + err) == (0, False)
    execute(url, "UPDATE customers SET ssn_encrypted_bidx = NULL, ssn = NULL")
    assert sealed("fill-index", *place)[0] == 0
    assert sealed("decrypt", *place, *pair)[0] == 0
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, ssn FROM customers")).all()
        terms = connection.scalar(
            text("SELECT count(ssn_encrypted_bidx) FROM customers")
        )
    assert sorted(map(tuple, found)) == [(n, f"TOPSECRET-{n}") for n in range(1, 31)]
    assert terms == 30
    engine.dispose()
    wrong = sealed("encrypt", *place, "--column", "=x")
    assert (wrong[0], "PLAINTEXT=SEALED" in wrong[2]) == (1, True)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_metrics_are_served_while_the_run_works(sealed, rotated, key_file):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(rotated, key_file, "--rate", 1500, "--metrics-port", port)
    page = ""

    def served() -> bool:
        nonlocal page
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                page = answer.read().decode()
        except OSError:
            return False
        return 'outcome="moved",table="people"' in page

    wait_for(served)
    process.communicate(timeout=60)
    assert process.returncode == 0
    for name in ("sealed_run_rows_left", "sealed_run_sweep", "sealed_run_waiting"):
        assert name in page


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("options", "said", "exits"),
    [
        (["--full-speed", "--rate", "5"], "exclude each other", 2),
        (["--rate", "nan"], "more than 0", 2),
        (["--window", "late"], "no window of time", 2),
        (["--max-lag", "1"], "throttle_query", 1),
    ],
)
def test_options_that_cannot_be_meant_are_one_line(
    sealed, rotated, key_file, options, said, exits
):
    code, _, err = sealed("reencrypt", *where(rotated, key_file), *options)
    assert (code, said in err) == (exits, True)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_mistyped_command_is_no_target(sealed, rotated, key_file):
    code, _, err = sealed("reencrypt", "statsu")
    assert (code, "no such command: statsu" in err) == (2, True)
    assert (
        "no run of nosuch"
        in sealed("reencrypt", "status", "--table", "nosuch", "--url", rotated)[2]
    )


def test_a_worker_that_waits_says_so(sealed, rotated, key_file, tmp_path):
    """Whoever looks must not take it for dead."""
    pause = tmp_path / "pause"
    pause.touch()
    worker = start(rotated, key_file, "--pause-file", pause)
    look = ("reencrypt", "status", "--url", rotated)
    try:
        wait_for(lambda: "a worker waits" in sealed(*look)[2])
        said = sealed(*look)[2]
        assert str(pause) in said
        assert "nobody works on it" not in said
    finally:
        pause.unlink()
        out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_other_workers_end_with_the_first(sealed, rotated, key_file):
    """`kill -9` of the command does not leave processes that go on in silence."""
    first = start(rotated, key_file, "--workers", 2, "--rate", 200)
    look = ("reencrypt", "status", "--url", rotated, "--json")
    workers = lambda: json.loads(sealed(*look)[1])["runs"][0]["workers"]
    wait_for(lambda: scanned(rotated) > 0)
    first.kill()
    first.communicate(timeout=30)
    wait_for(lambda: workers() == [])
    before = scanned(rotated)
    time.sleep(1)
    assert scanned(rotated) == before < ROWS


def test_the_plan_tries_some_rows(sealed, rotated, key_file):
    engine = create_engine(rotated)
    with engine.begin() as connection:
        connection.execute(text("UPDATE people SET name = :v"), {"v": b"plaintext"})
    engine.dispose()
    code, _, err = sealed("reencrypt", *where(rotated, key_file), "--dry-run")
    assert code == 0
    assert "100 values of the first 100 rows cannot be moved (NotSealedError)" in err


def test_a_fence_that_cannot_be_put_up_is_not(sealed, rotated, key_file):
    engine = create_engine(rotated)
    change = text("UPDATE people SET name = :v WHERE id = 1")
    with engine.begin() as connection:
        connection.execute(change, {"v": b"plaintext"})
    code, _, err = sealed("fence", "add", *where(rotated, key_file))
    assert (code, "1 rows are outside" in err) == (1, True)
    with engine.begin() as connection:
        connection.execute(change, {"v": b"other plaintext"})
    engine.dispose()
    place = ["job.application:Person", "--url", rotated]
    assert json.loads(sealed("fence", "list", *place, "--json")[1]) == []


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_indexes_of_former_keys_are_dropped_too(sealed, rotated, key_file):
    left = ["left", *where(rotated, key_file), "--index"]
    assert sealed(*left, "create")[0] == 0
    rotate = ["keys", "rotate", "--keys", key_file, "--now", "--url", rotated]
    assert sealed(*rotate)[0] == 0
    assert sealed(*left, "create")[0] == 0
    engine = create_engine(rotated)
    names = lambda: [i["name"] for i in inspect(engine).get_indexes("people")]
    assert len(names()) == 2
    assert sealed(*left, "drop")[0] == 0
    assert names() == []
    engine.dispose()


def test_a_key_is_destroyed_only_when_nothing_is_left_under_it(
    sealed, rotated, key_file
):
    destroy = ["keys", "destroy", 1, "job.application:Person", "--url", rotated]
    destroy += ["--keys", key_file, "--yes"]
    before = key_file.read_text()
    code, _, err = sealed(*destroy)
    assert (code, f"people.name ({ROWS:,})" in err) == (1, True)
    assert key_file.read_text() == before
    assert sealed("reencrypt", *where(rotated, key_file), "--full-speed")[0] == 0
    destroy[2] = 2
    assert "is active" in sealed(*destroy)[2]
    destroy[2] = 1
    other = [
        "job.application:Wide",
        "--url",
        rotated,
        "--keys",
        key_file,
        "--full-speed",
    ]
    assert sealed("reencrypt", *other)[0] == 0
    code, _, err = sealed(*destroy)
    assert (code, "were not counted: wide" in err) == (1, True)
    destroy[3] = "job.application:Base"
    code, _, err = sealed(*destroy)
    assert (code, "none under it" in err) == (0, True)
    assert [key.version for key in Keyring.from_file(key_file)] == [2]
    assert sealed("verify", *where(rotated, key_file))[0] == 0
