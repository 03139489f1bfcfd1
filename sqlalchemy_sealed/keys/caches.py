"""Who remembers what was derived from keys, and must forget it on a change."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

__all__ = ["CacheSet", "KeyCache"]


class KeyCache(Protocol):
    """Something that remembers what it derived from a keyring."""

    def clear_keys(self) -> None:
        """Forget everything derived."""


class CacheSet:
    """Caches that are told of a change as long as somebody uses them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._caches: weakref.WeakSet[KeyCache] = weakref.WeakSet()

    def add(self, cache: KeyCache) -> None:
        """Tell ``cache`` of every change from now on."""
        with self._lock:
            self._caches.add(cache)

    def clear_keys(self) -> None:
        """Have every cache forget what it derived."""
        with self._lock:
            caches = list(self._caches)
        for cache in caches:
            cache.clear_keys()
