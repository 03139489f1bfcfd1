"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sqlalchemy_sealed.engine import bind_keyring
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.keys.keyring import Keyring

__all__ = [
    "as_json",
    "job_engine",
    "key_options",
    "load_keyring",
    "load_target",
    "target_options",
    "url_option",
]

_F = TypeVar("_F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def key_options(command: _F) -> _F:
    """Add ``--keys`` and ``--active``."""
    command = click.option(
        "--active",
        type=click.IntRange(min=1),
        help="Active version, for a directory that does not name it.",
    )(command)
    return click.option(
        "--keys",
        type=click.Path(path_type=Path),
        help="Key file or directory of secrets. Default: the variable SEALED_KEYS.",
    )(command)


url_option = click.option(
    "--url",
    envvar="DATABASE_URL",
    required=True,
    show_envvar=True,
    help="Database URL, with a synchronous driver. Default: DATABASE_URL.",
)


def target_options(command: _F) -> _F:
    """Add the target argument and ``--url``."""
    command = url_option(command)
    return click.argument("target", metavar="MODULE:NAME")(command)


def load_keyring(keys: Path | None, active: int | None) -> Keyring:
    """Return the keyring that the options name."""
    if keys is None:
        return Keyring.from_env()
    if keys.is_dir():
        return Keyring.from_directory(keys, active=active)
    return Keyring.from_file(keys)


def load_target(name: str) -> Any:
    """Import ``module:name``, from the current directory too."""
    module_name, _, attribute = name.partition(":")
    if not attribute:
        raise ConfigurationError(
            f"{name!r} is no target: write module:name, for example app.models:Base"
        )
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"cannot import {module_name}: no module named {error.name}. "
            "Run the command where the application can be imported"
        ) from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ConfigurationError(
            f"{module_name} has no {attribute}: name the declarative base, a model, a "
            "Table or a MetaData of that module"
        ) from None


@contextmanager
def job_engine(url: str, keyring: Keyring | None) -> Iterator[Engine]:
    """Lend an engine for a job, bound to the keyring, and close its connections."""
    engine = _engine(url)
    if keyring is not None:
        bind_keyring(engine, keyring)
    try:
        yield engine
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    try:
        engine = create_engine(make_url(url))
    except (ArgumentError, NoSuchModuleError, ValueError):
        # The URL holds a password: it is not repeated.
        raise ConfigurationError(
            "--url is not a database URL of SQLAlchemy; write for example "
            "postgresql+psycopg://user@host/database (not postgres://)"
        ) from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the database driver {error.name} is not installed: "
            f"pip install {error.name}"
        ) from None
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"--url names the asynchronous driver {engine.dialect.driver}; jobs need "
            "a synchronous one, for example postgresql+psycopg://"
        )
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file and not _is_there(file):
        raise ConfigurationError(
            f"--url names the SQLite database {file}, which does not exist; a path in "
            "a URL is relative after three slashes, and absolute after four"
        )
    return engine


def _is_there(file: str) -> bool:
    # A URI of SQLite may mean anything.
    return file == ":memory:" or file.startswith("file:") or Path(file).exists()
