"""More workers: threads, processes, a cluster's executor, a task queue, more commands."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from job.shop import Base, Customer, connect
from sqlalchemy import insert, text
from sqlalchemy.engine import make_url

from sqlalchemy_sealed import ConfigurationError, Pace, Reencryption
from sqlalchemy_sealed.cli.keyfile import environment_text
from sqlalchemy_sealed.jobs.parallel import RangeTask

pytestmark = pytest.mark.thorough

COUNT = 400


@pytest.fixture
def shop(engine, keyring, monkeypatch):
    """Rows under a former key, and what another process needs to find both keys."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(Customer.__table__),
            [
                {"id": n, "born_encrypted": None, "points_encrypted": n}
                for n in range(1, COUNT + 1)
            ],
        )
    keyring.rotate()
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("SHOP_URL", url)
    monkeypatch.setenv("SEALED_KEYS", environment_text(keyring))
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    monkeypatch.setenv("PYTHONPATH", path)
    return engine


def job(engine) -> Reencryption:
    pace = Pace(rate=None, batch_rows=20)
    return Reencryption(engine, Customer, range_size=50, pace=pace)


def check(engine, keyring, report) -> None:
    assert (report.status, report.counts.scanned) == ("caught-up", COUNT)
    assert report.counts.moved == COUNT
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT points_encrypted FROM customers"))
        assert {bytes(row[0])[8:24] for row in rows} == {keyring.active.kid}
        owners = connection.scalars(
            text("SELECT DISTINCT lease_owner FROM sealed_ranges")
        ).all()
        runs = connection.scalars(text("SELECT status FROM sealed_runs")).all()
    assert owners
    assert runs == ["caught-up"]


def test_threads_move_the_ranges(shop, keyring):
    # SQLite has one writer; the others wait for it.
    with ThreadPoolExecutor(3) as executor:
        [report] = job(shop).run(executor, connect, workers=3)
    check(shop, keyring, report)


def test_processes_move_the_ranges(shop, keyring):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        [report] = job(shop).run(executor, connect)
    check(shop, keyring, report)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("pure", [True, False])
def test_a_dask_cluster_moves_the_ranges(shop, keyring, pure):
    """With its default, pure=True, Dask does not run equal tasks twice."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=50,
    )
    with cluster, Client(cluster) as client:
        [report] = job(shop).run(client.get_executor(pure=pure), connect, workers=3)
    check(shop, keyring, report)


def test_a_task_holds_no_key_and_no_engine(shop, keyring):
    task = RangeTask(job(shop), "customers", connect)
    crossing = pickle.dumps(task)
    secret = keyring.active.to_text().removeprefix("sealed_root_v2_")
    assert len(secret) > 40
    assert secret.encode() not in crossing
    # Nor an engine, which a URL with a password is part of.
    assert pickle.loads(crossing).job._engine is None
    with pytest.raises(ConfigurationError, match="go together"):
        job(shop).run(executor=ThreadPoolExecutor(1))


def test_the_same_command_on_another_host_is_another_worker(shop, keyring):
    """Two processes, started apart, share the ranges of one run."""
    script = (
        "import sys; from job.shop import Customer, connect; "
        "from sqlalchemy_sealed import Pace, Reencryption; "
        "pace = Pace(rate=400, batch_rows=10); "
        "[r] = Reencryption(connect(), Customer, range_size=50, pace=pace).run(); "
        "print(r.run_id, r.status)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    with shop.connect() as connection:
        moved = connection.scalar(text("SELECT sum(moved) FROM sealed_ranges"))
        owners = connection.scalars(
            text("SELECT DISTINCT lease_owner FROM sealed_ranges")
        ).all()
        runs = connection.scalar(text("SELECT count(*) FROM sealed_runs"))
    assert (moved, len(owners), runs) == (COUNT, 2, 1)


def test_an_error_of_a_task_is_told(shop):
    with ThreadPoolExecutor(2) as executor, pytest.raises(ZeroDivisionError):
        job(shop).run(executor, lambda: 1 // 0)


def redis_answers() -> bool:
    import redis

    try:
        return bool(redis.Redis(socket_connect_timeout=1).ping())
    except redis.exceptions.ConnectionError:
        return False


BROKER = "redis://127.0.0.1:6379/9"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_celery_recipe_of_the_docs(shop, keyring, tmp_path, monkeypatch):
    """docs/WORKERS.md, word for word, with Redis as the broker."""
    if not redis_answers():
        if os.environ.get("SEALED_TEST_REQUIRE_SERVERS"):
            pytest.fail("no Redis at 127.0.0.1:6379")
        pytest.skip("no Redis at 127.0.0.1:6379")
    page = (Path(__file__).parents[2] / "docs" / "WORKERS.md").read_text()
    recipe = page.split("<!-- celery -->\n```python\n")[1].split("```")[0]
    recipe = recipe.replace("from app.models", "from job.shop")
    recipe = recipe.replace("from app.db", "from job.shop")
    queue = f"sealed-{make_url(os.environ['SHOP_URL']).database}"
    settings = (
        f"\napp.conf.update(broker_url={BROKER!r}, result_backend={BROKER!r}, "
        f"task_default_queue={queue!r})\n"
    )
    (tmp_path / "celery_tasks.py").write_text(recipe + settings)
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["-m", "celery", "-A", "celery_tasks", "worker", "--pool", "solo"]
    options = ["--without-gossip", "--without-mingle", "-Q", queue, "-l", "ERROR"]
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", *command, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        from celery_tasks import reencrypt

        statuses = reencrypt.delay().get(timeout=60)
    finally:
        worker.terminate()
        worker.wait(30)
    assert "caught-up" in statuses
    with shop.connect() as connection:
        rows = connection.execute(text("SELECT points_encrypted FROM customers"))
        assert {bytes(row[0])[8:24] for row in rows} == {keyring.active.kid}
