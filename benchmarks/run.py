"""Measures sqlalchemy-sealed: ``python benchmarks/run.py --help``, and README.md."""

from __future__ import annotations

import argparse
import gc
import platform
from collections.abc import Callable

import beside
import core
import cryptography
import descriptor
import disk
import find
import flush
import growth
import load
import lookup
import raw
import reencrypt
import sqlalchemy
from measure import Line, print_table
from setting import Setting

_PARTS: dict[str, Callable[[Setting], list[Line]]] = {
    "load": load.run,
    "flush": flush.run,
    "core": core.run,
    "descriptor": descriptor.run,
    "lookup": lookup.run,
    "raw": raw.run,
    "reencrypt": reencrypt.run,
    "growth": growth.run,
    "disk": disk.run,
    "beside": beside.run,
    "find": find.run,
}
_URL = "postgresql+psycopg://postgres@127.0.0.1/postgres"
_MARIADB_URL = "mysql+pymysql://root@127.0.0.1/test"


def main() -> None:
    """Run the parts in order and print one table."""
    options = _options()
    if options.no_gc:
        gc.disable()
    setting = Setting(
        options.url,
        options.rows,
        options.repeat,
        options.sqlite,
        options.mariadb_url,
    )
    lines: list[Line] = []
    for name, part in _PARTS.items():
        if name in options.only:
            print(f"{name} ...", flush=True)
            lines += part(setting)
    print(
        f"\nPython {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, "
        f"cryptography {cryptography.__version__}, {options.repeat} rounds, "
        f"garbage collector {'on' if gc.isenabled() else 'off'}\n"
    )
    print_table(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure sqlalchemy-sealed against plaintext columns, "
        "SQLAlchemy-Utils, the bare cipher and the database's own UPDATE."
    )
    parser.add_argument(
        "--url",
        default=_URL,
        help="a PostgreSQL server on which databases may be created (psycopg)",
    )
    parser.add_argument(
        "--mariadb-url",
        default=_MARIADB_URL,
        help="a MariaDB server on which databases may be created; empty leaves it out",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=1_000_000,
        help="rows that are searched and re-encrypted; other parts use at most "
        "100,000; 5000000 lets the part growth have its third size",
    )
    parser.add_argument("--repeat", type=int, default=5, help="rounds that count")
    parser.add_argument(
        "--only",
        type=_parts,
        default=list(_PARTS),
        help=f"some of {','.join(_PARTS)}",
    )
    parser.add_argument(
        "--sqlite", action="store_true", help="load, flush and core on SQLite too"
    )
    parser.add_argument(
        "--no-gc",
        action="store_true",
        help="turn the garbage collector off, for every contender: baselines gain most",
    )
    return parser.parse_args()


def _parts(names: str) -> list[str]:
    chosen = names.split(",")
    if unknown := set(chosen) - set(_PARTS):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}")
    return chosen


if __name__ == "__main__":
    main()
