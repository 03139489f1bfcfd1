"""``bind_keyring``: gives an engine its keys, the lint and the scrubber."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, StatementError

from sqlalchemy_sealed import scope
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.lint import lint_cursor_execute

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "bind_keyring",
    "hide_parameters",
    "plaintext_reads",
    "protect",
    "root_engine",
    "scrub_error",
    "set_default_keyring",
]


def bind_keyring(engine: Engine | AsyncEngine, keyring: Keyring) -> None:
    """Give an engine the keyring for its sealed columns.

    Clones made by ``engine.execution_options()`` share it. Calling again replaces the
    keyring at once. The engine also gets the lint, and a listener that takes the
    parameters out of errors raised before a statement was sent, since those are
    plaintext.

    Args:
        engine: a synchronous or an asynchronous engine.
        keyring: the keys.

    Raises:
        ConfigurationError: an argument is something else.

    """
    if not isinstance(keyring, Keyring):
        raise ConfigurationError(
            "bind_keyring(engine, keyring) needs a Keyring: Keyring.from_env(), "
            "from_file(), from_directory() or generate()"
        )
    root = root_engine(engine)
    scope.binding_of(root.dialect).bind(keyring)
    protect(root)


def set_default_keyring(keyring: Keyring | None) -> None:
    """Set the keyring of every engine of the process that has none of its own.

    Args:
        keyring: the keys, or ``None`` to take the default away.

    """
    if keyring is not None and not isinstance(keyring, Keyring):
        raise ConfigurationError("set_default_keyring(keyring) needs a Keyring or None")
    scope.set_default(keyring)
    protect(Engine)


def plaintext_reads(engine: Engine | AsyncEngine) -> Mapping[tuple[str, str], int]:
    """Return how many values were read that were not sealed, in this process.

    Args:
        engine: whose columns were read; its clones share the counts.

    Returns:
        Values by field id and ``"plaintext"`` or the name of a legacy format.

    """
    return dict(scope.binding_of(root_engine(engine).dialect).plaintext.counts)


def protect(target: Engine | type[Engine]) -> None:
    """Install the lint and the scrubber, once."""
    listeners: Final[dict[str, Any]] = {
        "before_cursor_execute": lint_cursor_execute,
        "handle_error": scrub_error,
    }
    for name, listener in listeners.items():
        # SQLAlchemy's registry knows targets by their id(), and an entry lives as long
        # as the dialect: for an engine that got the id of a dead one, contains() may
        # be wrong. On an engine, listen() itself adds a function once; on a class it
        # does not, and a class is never replaced.
        if isinstance(target, Engine) or not event.contains(target, name, listener):
            event.listen(target, name, listener)


def scrub_error(context: Any) -> None:
    """Take the parameters out of an error raised before the statement was sent.

    At that moment they are the application's own values: another column's value that
    does not fit would otherwise print the plaintext of the sealed ones. Parameters of
    errors that the database reports are ciphertext already.
    """
    error = context.sqlalchemy_exception
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        hide_parameters(error)


def hide_parameters(error: StatementError) -> None:
    """Take the parameters out of an error of SQLAlchemy."""
    error.hide_parameters = True
    error.params = None


def root_engine(engine: Any) -> Engine:
    """Return the synchronous engine that an engine, or a clone of it, was made from.

    Raises:
        ConfigurationError: it is no engine.

    """
    root = getattr(engine, "sync_engine", engine)
    if not isinstance(root, Engine):
        raise ConfigurationError(
            "bind_keyring(engine, keyring) needs an Engine or an AsyncEngine, "
            f"not a {type(engine).__name__}"
        )
    # Clones join the listeners of the engine they were made from.
    while isinstance(proxied := getattr(root, "_proxied", None), Engine):
        root = proxied
    return root
