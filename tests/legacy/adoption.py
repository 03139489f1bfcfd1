"""A database that real sqlalchemy-utils models have filled, moved by one command.

    python tests/legacy/adoption.py --rows 100000

It fills a table per database through the models of ``Old``, runs ``sealed migrate`` on
it, reads every row back through the models of ``New``, and prints how long each took.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    # The modules of this folder are found under its name only.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != TESTS / "legacy"]
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import sqlalchemy as sa
from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_utils import EncryptedType as UtilsType
from sqlalchemy_utils import StringEncryptedType as UtilsString
from sqlalchemy_utils.types.encrypted.encrypted_type import (
    AesEngine,
    AesGcmEngine,
    FernetEngine,
)

from servers import fresh_database, mariadb_url, postgresql_url
from sqlalchemy_sealed import EncryptedType, Key, Keyring, bind_keyring
from sqlalchemy_sealed.legacy import (
    SqlalchemyUtilsAes,
    SqlalchemyUtilsAesGcm,
    SqlalchemyUtilsFernet,
)

SECRET = "the application's secret"
DATABASES = ("sqlite", "postgresql", "mariadb")
_CHUNK = 5000


class Old(DeclarativeBase):
    """What the application had."""


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    class OldPerson(Old):
        """Every engine and padding; bytes and text; some types beside text."""

        __tablename__ = "people"

        id: Mapped[int] = mapped_column(primary_key=True)
        naive = mapped_column(UtilsType(sa.String, SECRET, AesEngine))
        pkcs5 = mapped_column(UtilsType(sa.Unicode, SECRET, AesEngine, "pkcs5"))
        zeroes = mapped_column(UtilsType(sa.Integer, SECRET, AesEngine, "zeroes"))
        ones = mapped_column(
            UtilsString(sa.Boolean, SECRET, AesEngine, "oneandzeroes", length=255)
        )
        gcm = mapped_column(UtilsType(sa.Date, SECRET, AesGcmEngine))
        fernet = mapped_column(UtilsString(sa.String, SECRET, FernetEngine, length=255))


def _aes(padding: str) -> SqlalchemyUtilsAes:
    return SqlalchemyUtilsAes(SECRET, padding)


class New(DeclarativeBase):
    """What it has now, in the same columns."""


class Person(New):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    naive = mapped_column(EncryptedType(sa.String, legacy=_aes("naive")))
    pkcs5 = mapped_column(EncryptedType(sa.Unicode, legacy=_aes("pkcs5")))
    zeroes = mapped_column(EncryptedType(sa.Integer, legacy=_aes("zeroes")))
    ones = mapped_column(
        EncryptedType(sa.Boolean, storage="text", legacy=_aes("oneandzeroes"))
    )
    gcm = mapped_column(EncryptedType(sa.Date, legacy=SqlalchemyUtilsAesGcm(SECRET)))
    fernet = mapped_column(
        EncryptedType(sa.String, storage="text", legacy=SqlalchemyUtilsFernet(SECRET))
    )


def row(n: int) -> dict[str, object]:
    """Return what a row holds; some values are NULL."""
    if n % 10 == 0:
        return {"id": n, **dict.fromkeys(COLUMNS)}
    return {
        "id": n,
        "naive": f"name {n}",
        "pkcs5": f"Grüße {n}",
        "zeroes": n - 50,
        "ones": n % 2 == 0,
        "gcm": dt.date(1950, 1, 1) + dt.timedelta(days=n % 20_000),
        "fernet": f"token {n}" * (n % 4),
    }


COLUMNS = ("naive", "pkcs5", "zeroes", "ones", "gcm", "fernet")


def fill(url: str, rows: int) -> None:
    """Fill the table through the models of sqlalchemy-utils."""
    engine = create_engine(url)
    Old.metadata.create_all(engine)
    with engine.begin() as connection:
        for first in range(1, rows + 1, _CHUNK):
            last = min(first + _CHUNK, rows + 1)
            connection.execute(insert(OldPerson), [row(n) for n in range(first, last)])
        if engine.name == "mysql":
            # What is sealed is longer: see make_room() of the Alembic operation.
            for name in ("ones", "fernet"):
                connection.execute(text(f"ALTER TABLE people MODIFY {name} TEXT"))
        elif engine.name == "postgresql":
            for name in ("ones", "fernet"):
                connection.execute(
                    text(f"ALTER TABLE people ALTER COLUMN {name} TYPE TEXT")
                )
    engine.dispose()


def move(url: str, keys: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the one command."""
    script = "from sqlalchemy_sealed.cli.main import main; main()"
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = ["migrate", "legacy.adoption:New", "--url", url, *options]
    return subprocess.run(
        [sys.executable, "-c", script, *command],
        env={**os.environ, "PYTHONPATH": path, "SEALED_KEYS": keys},
        capture_output=True,
        text=True,
        check=False,
    )


def check(url: str, keyring: Keyring, rows: int) -> None:
    """Read every row back through the new models, and no legacy value at all."""
    strict = sa.Table("people", sa.MetaData(), sa.Column("id", sa.Integer))
    for name in COLUMNS:
        kind = Person.__table__.c[name].type
        own = EncryptedType(kind.inner, storage=kind.storage)
        strict.append_column(sa.Column(name, own))
    engine = create_engine(url)
    bind_keyring(engine, keyring)
    with engine.connect() as connection:
        seen = 0
        for found in connection.execute(select(strict).order_by(strict.c.id)):
            seen += 1
            assert dict(found._mapping) == row(seen), seen
    engine.dispose()
    assert seen == rows


@contextmanager
def place(database: str, folder: str) -> Iterator[str]:
    """Lend a database."""
    if database == "sqlite":
        yield f"sqlite:///{folder}/people.db"
        return
    server = postgresql_url() if database == "postgresql" else mariadb_url()
    with fresh_database(server) as url:
        yield url


def main() -> int:
    """Do it on every database."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--databases", default=",".join(DATABASES))
    given = parser.parse_args()
    key = Key.generate(1)
    keyring = Keyring([key])
    keys = f"active=1 {key.to_text()}"
    for database in given.databases.split(","):
        with tempfile.TemporaryDirectory() as folder, place(database, folder) as url:
            times = [time.perf_counter()]
            fill(url, given.rows)
            times.append(time.perf_counter())
            done = move(url, keys, "--full-speed")
            times.append(time.perf_counter())
            if done.returncode:
                print(done.stdout, done.stderr)
                return 1
            check(url, keyring, given.rows)
            times.append(time.perf_counter())
            filled, moved, read = (b - a for a, b in zip(times, times[1:]))
            print(
                f"{database}: {given.rows} rows, {len(COLUMNS)} columns; filled by "
                f"sqlalchemy-utils in {filled:.0f} s, moved in {moved:.0f} s, read "
                f"back equal in {read:.0f} s"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
