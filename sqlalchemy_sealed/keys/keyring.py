"""The keyring: all versions of a root key, exactly one of them active."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn, Self

from sqlalchemy_sealed.errors import (
    KeyStateError,
    SecretHandlingError,
)
from sqlalchemy_sealed.keys import sources
from sqlalchemy_sealed.keys.caches import CacheSet, KeyCache
from sqlalchemy_sealed.keys.key import IndexKey, Key
from sqlalchemy_sealed.keys.snapshot import Snapshot, take_snapshot
from sqlalchemy_sealed.keys.state import KeyState, check_transition

__all__ = ["Keyring"]


class Keyring:
    """All versions of a root key, exactly one of which seals new values.

    Args:
        keys: the versions, in any order.
        active: version number of the active key. It may be left out only when there
            is a single key: the highest version is never taken by itself.
        states: states of other versions. Without one, versions below the active one
            are deactivated (they read), versions above it are pre-active (published:
            they read, and do not write yet).
        index_keys: the versions of the index key, for blind indexes.

    Raises:
        DuplicateKeyError: a version number or a root key occurs twice.
        ActiveKeyError: no active version, an unknown one, or two.

    """

    def __init__(
        self,
        keys: Iterable[Key],
        active: int | None = None,
        states: Mapping[int, KeyState] | None = None,
        index_keys: Iterable[IndexKey] = (),
    ) -> None:
        held = sorted(keys, key=lambda key: key.version)
        self._lock = threading.Lock()
        self._caches = CacheSet()
        self._snapshot = take_snapshot(held, active, dict(states or {}), index_keys)

    @classmethod
    def generate(cls) -> Self:
        """Return a keyring with one new key, version 1, active, and an index key."""
        return cls([Key.generate(1)], active=1, index_keys=[IndexKey.generate(1)])

    @classmethod
    def from_env(cls, variable: str = "SEALED_KEYS") -> Self:
        """Read ``active=<version> <key text> ...`` from the environment.

        Items are separated by spaces, commas or line ends.

        Raises:
            ConfigurationError: the variable is missing or not of that form.

        """
        return cls._from(sources.read_environment(variable))

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a TOML file with ``active = <version>`` and ``keys = ["...", ...]``.

        Raises:
            KeyPermissionError: the group or others may read the file.
            ConfigurationError: the file is missing or not of that form.

        """
        return cls._from(sources.read_file(Path(path)))

    @classmethod
    def from_directory(
        cls, path: str | Path, active: int | None = None, prefix: str = "enc_key_"
    ) -> Self:
        """Read mounted secrets: ``<prefix>v1``, ``<prefix>v2``, ... one key text each.

        The active version is the ``active`` argument or the content of the file
        ``<prefix>active``. World-readable secrets only warn, since Docker and
        Kubernetes mount them that way.

        Raises:
            ConfigurationError: a file is missing or not of that form.

        """
        return cls._from(sources.read_directory(Path(path), active, prefix))

    @classmethod
    def _from(cls, source: sources.KeySource) -> Self:
        return cls(source.keys, source.active, source.states, source.index_keys)

    @property
    def is_remote(self) -> bool:
        """Whether :meth:`prepare` asks another machine; false for keys held here."""
        return False

    def prepare(self, kids: Collection[bytes]) -> None:
        """Make keys ready that values will need, all of them at once.

        Called once for the rows that a flush writes together, without kids, and once
        for those that were loaded together, with the 16-byte kids that are not held
        yet. A keyring that holds its keys has nothing to do; one that fetches them
        overrides this, and :attr:`is_remote`, and asks once.
        """

    @property
    def active(self) -> Key:
        """The key that seals new values."""
        return self._snapshot.active

    @property
    def keys(self) -> tuple[Key, ...]:
        """All versions, lowest first."""
        return tuple(self._snapshot.by_kid.values())

    @property
    def index_keys(self) -> tuple[IndexKey, ...]:
        """All versions of the index key, lowest first."""
        return tuple(self._snapshot.index.values())

    def index_key(self, version: int) -> IndexKey:
        """Return one version of the index key.

        Raises:
            KeyStateError: the keyring has no such version.

        """
        key = self._snapshot.index.get(version)
        if key is None:
            known = ", ".join(f"v{v}" for v in self._snapshot.index) or "none"
            raise KeyStateError(
                f"no index key version {version}; this keyring has {known}. Add one "
                "with `sealed keys rotate --index`, or Keyring.publish_index()"
            )
        return key

    def publish_index(self, key: IndexKey | None = None) -> IndexKey:
        """Add a version of the index key, and return it.

        A :class:`~sqlalchemy_sealed.BlindIndex` names the version it uses, so nothing
        changes until a declaration does.
        """
        with self._lock:
            held = self.index_keys
            if key is None:
                key = IndexKey.generate(held[-1].version + 1 if held else 1)
            self._replace(
                take_snapshot(
                    list(self.keys),
                    self.active.version,
                    dict(self._snapshot.states),
                    [*held, key],
                )
            )
        return key

    @property
    def readable(self) -> tuple[Key, ...]:
        """The versions that may open values, the active one first."""
        snapshot = self._snapshot
        others = (
            key
            for key in snapshot.by_kid.values()
            if key is not snapshot.active and snapshot.states[key.version].readable
        )
        return (snapshot.active, *others)

    def get(self, kid: bytes) -> Key | None:
        """Return the key of a 16-byte kid, or ``None``."""
        return self._snapshot.by_kid.get(kid)

    def state(self, version: int) -> KeyState:
        """Return the state of a version.

        Raises:
            KeyStateError: the keyring has no such version.

        """
        return self._snapshot.states[self._version(version)]

    def publish(self, key: Key | None = None) -> Key:
        """Add a version that reads and does not write yet, and return it.

        The first of the two steps of a rotation: give the new version to every
        process before any of them writes with it.
        """
        with self._lock:
            if key is None:
                key = Key.generate(self.keys[-1].version + 1)
            states = dict(self._snapshot.states)
            self._replace(
                take_snapshot(
                    [*self.keys, key],
                    self.active.version,
                    {**states, key.version: KeyState.PRE_ACTIVE},
                    self.index_keys,
                )
            )
        return key

    def activate(self, version: int) -> Key:
        """Make a version the one that seals new values, and return it.

        Raises:
            KeyStateError: the version is unknown or may not become active.

        """
        with self._lock:
            self._version(version)
            states = dict(self._snapshot.states)
            if version != self.active.version:
                check_transition(version, states[version], KeyState.ACTIVE)
                states[self.active.version] = KeyState.DEACTIVATED
                states[version] = KeyState.ACTIVE
                self._replace(
                    take_snapshot(list(self.keys), version, states, self.index_keys)
                )
        return self.active

    def rotate(self) -> Key:
        """Publish a new version and activate it at once, in this process only.

        For one process, scripts and tests. Where several processes share the keys,
        :meth:`publish` first, distribute, then :meth:`activate`.
        """
        return self.activate(self.publish().version)

    def set_state(self, version: int, state: KeyState) -> None:
        """Suspend, resume, mark compromised or destroy a version that is not active.

        A destroyed version stays as a tombstone, so that its values are named.

        Raises:
            KeyStateError: the life cycle does not allow the change.

        """
        with self._lock:
            self._version(version)
            states = dict(self._snapshot.states)
            if version == self.active.version or state is KeyState.ACTIVE:
                raise KeyStateError(
                    f"key version {version} cannot become {state.value} here: "
                    "activate(version) moves the active state to another version"
                )
            check_transition(version, states[version], state)
            states[version] = state
            self._replace(
                take_snapshot(
                    list(self.keys), self.active.version, states, self.index_keys
                )
            )

    def watch(self, cache: KeyCache) -> None:
        """Have ``cache.clear_keys()`` called after every change of the keyring."""
        self._caches.add(cache)

    @property
    def revision(self) -> object:
        """An object that is replaced by every change."""
        return self._snapshot

    def _replace(self, snapshot: Snapshot) -> None:
        # New view first, then the caches: whoever derives in between and looks at
        # `revision` afterwards sees that its work is stale.
        self._snapshot = snapshot
        self._caches.clear_keys()

    def _version(self, version: int) -> int:
        if version not in self._snapshot.states:
            known = ", ".join(str(v) for v in self._snapshot.states)
            raise KeyStateError(f"no key version {version}; this keyring has {known}")
        return version

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self._snapshot.by_kid)

    def __repr__(self) -> str:
        states = self._snapshot.states.items()
        inside = ", ".join(f"v{version} {state.value}" for version, state in states)
        return f"<Keyring {inside}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretHandlingError(
            "keyrings are not pickled: build one in each process with from_env(), "
            "from_file() or from_directory()"
        )
