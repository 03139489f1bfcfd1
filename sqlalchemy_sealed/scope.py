"""The only ambient state: which keyring belongs to which engine.

A type's processors know the dialect object of the engine that runs them, and clones
made by ``engine.execution_options()`` share it, so the dialect is the key. An engine
without a keyring of its own follows the process default.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from typing import Any

from sqlalchemy.engine import Dialect

from sqlalchemy_sealed.errors import KeyringNotBoundError
from sqlalchemy_sealed.keys.caches import CacheSet, KeyCache
from sqlalchemy_sealed.keys.keyring import Keyring

__all__ = ["Binding", "binding_of", "most_readable_versions", "set_default"]


class Binding:
    """The keyring that one engine uses, and what was derived from it.

    Args:
        keyring: the keyring; without one the binding follows the process default.

    """

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._own: Keyring | None = None
        #: Field ciphers by declaration; they live as long as the binding.
        self.ciphers: dict[Hashable, KeyCache] = {}
        self._caches = CacheSet()
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
            binding = _bindings.setdefault(dialect, Binding())
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
