"""The only ambient state: which keyring belongs to which engine, and the tenant.

A type's processors know the dialect object of the engine that runs them, and clones
made by ``engine.execution_options()`` share it, so the dialect is the key. An engine
without a keyring of its own follows the process default.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import uuid
import warnings
import weakref
from collections.abc import Collection, Hashable, Iterator
from typing import Any, Final

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect

from sqlalchemy_sealed.envelope import Header, from_text
from sqlalchemy_sealed.errors import (
    DecryptionError,
    EncodingError,
    KeyringNotBoundError,
    PlaintextWarning,
)
from sqlalchemy_sealed.keys.caches import CacheSet, KeyCache
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.unsealed import PlaintextReads

__all__ = [
    "BLOCKS",
    "Binding",
    "binding_of",
    "binding_of_key",
    "ciphertext_only",
    "current_tenant",
    "is_ciphertext_only",
    "kid_of",
    "most_readable_versions",
    "set_default",
    "tenant",
    "tenant_id",
]


class Binding:
    """The keyring that one engine uses, and what was derived from it.

    Args:
        keyring: the keyring; without one the binding follows the process default.
        dialect: that of the engine.

    """

    def __init__(
        self, keyring: Keyring | None = None, dialect: Dialect | None = None
    ) -> None:
        self._own: Keyring | None = None
        self._dialect = None if dialect is None else weakref.ref(dialect)
        #: Field ciphers by declaration; they live as long as the binding.
        self.ciphers: dict[Hashable, KeyCache] = {}
        self._caches = CacheSet()
        #: What was read that was not sealed, and which fields accept none any more.
        self.plaintext = PlaintextReads()
        if keyring is not None:
            self.bind(keyring)
        elif _default is not None:
            _default.watch(self)

    def bind(self, keyring: Keyring) -> None:
        """Use another keyring from now on."""
        self._own = keyring
        keyring.watch(self)
        self.clear_keys()

    def keyring(self, context: str) -> Keyring:
        """Return the keyring.

        Raises:
            KeyringNotBoundError: there is none; ``context`` says who asked.

        """
        keyring = self._own or _default
        if keyring is None:
            raise KeyringNotBoundError(
                f"{context}: no keyring is bound to this engine. Call "
                "bind_keyring(engine, Keyring.from_env()) after creating the engine, "
                "or set_default_keyring(keyring) for every engine of the process"
            )
        return keyring

    def remote_keyring(self, context: str) -> Keyring | None:
        """Return the keyring if its keys have to be fetched."""
        keyring = self.keyring(context) if self.has_keys else None
        return keyring if keyring is not None and keyring.is_remote else None

    @property
    def has_keys(self) -> bool:
        """Whether there is a keyring."""
        return (self._own or _default) is not None

    @property
    def dialect(self) -> Dialect:
        """The dialect of the engine, for types of the application."""
        dialect = self._dialect() if self._dialect else None
        return DefaultDialect() if dialect is None else dialect

    def warn_plaintext(self, context: str) -> None:
        """Warn once of a field whose values are stored as plaintext.

        Raises:
            PlaintextWarning: only if warnings are errors.

        """
        if context in self.plaintext.warned:
            return
        warnings.warn(
            f"{context}: no keyring is bound to this engine, and the column says "
            "optional: its values are stored as plaintext. Set SEALED_KEYS and call "
            "bind_keyring(); auto_migrate() then seals what is there",
            PlaintextWarning,
            stacklevel=2,
        )
        # Not before: where warnings are errors, the next write must fail, too.
        self.plaintext.warned.add(context)

    def clear_keys(self) -> None:
        """Forget everything derived from the keyring."""
        self._caches.clear_keys()

    def watch(self, cache: KeyCache) -> None:
        """Have ``cache.clear_keys()`` called after every change of the keyring."""
        self._caches.add(cache)


_lock = threading.Lock()
_default: Keyring | None = None
_bindings: weakref.WeakKeyDictionary[Dialect, Binding] = weakref.WeakKeyDictionary()


def binding_of(dialect: Dialect) -> Binding:
    """Return the binding of the engine that owns this dialect."""
    binding = _bindings.get(dialect)
    if binding is None:
        with _lock:
            binding = _bindings.setdefault(dialect, Binding(dialect=dialect))
    return binding


def set_default(keyring: Keyring | None) -> None:
    """Set the keyring of every engine that has none of its own."""
    global _default  # noqa: PLW0603 - this module is where ambient state lives
    with _lock:
        _default = keyring
        for binding in list(_bindings.values()):
            if keyring is not None:
                keyring.watch(binding)
            binding.clear_keys()


def most_readable_versions() -> int:
    """Return the largest number of readable versions of any keyring in use.

    A deterministic comparison needs one value per version, and the number of values
    is fixed before SQLAlchemy says which engine will run the statement.
    """
    with _lock:
        bindings = list(_bindings.values())
    keyrings: list[Any] = [binding._own for binding in bindings]  # noqa: SLF001
    return max((len(k.readable) for k in [*keyrings, _default] if k), default=1)


_tenant: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar(
    "sqlalchemy_sealed_tenant", default=None
)


@contextlib.contextmanager
def tenant(name: str | int | uuid.UUID) -> Iterator[None]:
    """Name the tenant of what is searched and written inside the ``with`` block.

    It holds for the current thread or asyncio task. A row's own tenant attribute goes
    before it.

    Args:
        name: the tenant, as the tenant attribute of its rows has it.

    Raises:
        EncodingError: the name is of another type.

    """
    token = _tenant.set(tenant_id(name))
    try:
        yield
    finally:
        _tenant.reset(token)


#: How many ``ciphertext_only`` blocks are open in the process: a quick look first.
BLOCKS: Final[list[int]] = [0]
_only: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar(
    "sqlalchemy_sealed_ciphertext_only", default=False
)


@contextlib.contextmanager
def ciphertext_only() -> Iterator[None]:
    """Open nothing and seal nothing inside the ``with`` block.

    For exports and workers that must not read: sealed values are loaded as
    :class:`~sqlalchemy_sealed.Ciphertext`, no key is needed, and writing a plaintext is
    an error. It holds for the current thread or asyncio task.
    """
    token = _only.set(True)
    with _lock:
        BLOCKS[0] += 1
    try:
        yield
    finally:
        _only.reset(token)
        with _lock:
            BLOCKS[0] -= 1


def is_ciphertext_only() -> bool:
    """Tell whether a ``ciphertext_only`` block is open here."""
    return _only.get()


def current_tenant() -> str | None:
    """Return the tenant that :func:`tenant` names, or ``None``."""
    return _tenant.get()


def tenant_id(name: object) -> str:
    """Return the text of a tenant id (docs/FORMAT.md, "Keys").

    Text as it is, integers in decimal, UUIDs in lower-case canonical form.

    Raises:
        EncodingError: it is of another type.

    """
    if isinstance(name, str):
        return name
    if isinstance(name, uuid.UUID) or type(name) is int:
        return str(name)
    raise EncodingError(
        f"a tenant is text, an integer or a UUID, not a {type(name).__name__}"
    )


def binding_of_key(
    context: str, stored: object, index_versions: Collection[int] = ()
) -> tuple[Binding, bool]:
    """Return the binding whose keyring holds the key of a stored form.

    For instances that belong to no session. The key is found by its kid, which commits
    to it, so nothing is tried.

    Args:
        context: the field id, for the message.
        stored: the stored form.
        index_versions: versions of the index key that terms were computed with.

    Returns:
        The binding, and whether its index keys are the only ones that it could be:
        two engines may share a data key and have index keys of their own.

    Raises:
        KeyringNotBoundError: no engine of the process has a keyring with that key.

    """
    kid = kid_of(stored)
    with _lock:
        bindings = list(_bindings.values())
    found: dict[tuple[bytes, ...], Binding] = {}
    for binding in bindings:
        keyring = binding._own or _default  # noqa: SLF001 - of this module
        if keyring is not None and keyring.get(kid) is not None:
            held = (k.kid for k in keyring.index_keys if k.version in index_versions)
            found[tuple(held)] = binding
    if found:
        complete = [kids for kids in found if len(kids) == len(set(index_versions))]
        chosen = complete[0] if complete else next(iter(found))
        return found[chosen], len(complete) == 1
    raise KeyringNotBoundError(
        f"{context}: the instance belongs to no session, and no engine of this process "
        "has a keyring with the key of its value. Add the instance to a session, or "
        "call bind_keyring(engine, keyring) first"
    )


def kid_of(stored: object) -> bytes:
    """Return the 16-byte kid that a stored form names, or nothing."""
    try:
        data = from_text(stored) if isinstance(stored, str) else stored
        return Header.parse(bytes(data)).kid  # type: ignore[call-overload]
    except (DecryptionError, TypeError):
        return b""
