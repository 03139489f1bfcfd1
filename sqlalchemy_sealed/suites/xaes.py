"""0x11 XAES-256-GCM, the default suite.

C2SP XAES-256-GCM: AES-256-GCM (NIST SP 800-38D) under a key that AES-CMAC derives (NIST
SP 800-108r1) from the first half of a 192-bit nonce.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from struct import unpack
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

__all__ = ["NONCE_LENGTH", "SALT_EPOCH", "SALT_LENGTH", "SaltEpoch", "XaesCipher"]

SALT_LENGTH: Final = 12
NONCE_LENGTH: Final = 12
#: Messages that may share one salt (rule 5): the bound is 2^49 per field key.
SALT_EPOCH: Final = 1 << 16
_POOL: Final = 256
_CACHED_SALTS: Final = 4096

#: ``encrypt(nonce, plaintext, associated_data)`` and its reverse.
Operation: TypeAlias = Callable[[bytes, bytes, bytes | None], bytes]


class SaltEpoch:
    """A salt, the cipher derived from it, and random nonces that are still unused.

    Nonces are drawn from ``os.urandom`` 256 at a time, because one call per message
    costs as much as the encryption itself. With an epoch of one message nothing is
    drawn ahead and no salt is used twice: the setting for machines that are
    snapshotted and resumed more than once.
    """

    __slots__ = ("__weakref__", "_left", "_lock", "encrypt", "nonces", "salt")

    def __init__(self, salt: bytes, encrypt: Operation, messages: int) -> None:
        self.salt = salt
        self.encrypt = encrypt
        #: Popped by callers: one nonce is one message.
        self.nonces: list[bytes] = []
        self._left = messages
        self._lock = threading.Lock()

    def refill(self) -> bool:
        """Draw more nonces; tell whether the epoch had any left."""
        with self._lock:
            if self.nonces:
                return True
            drawn = self._draw(_POOL)
            self.nonces.extend(drawn)
            return bool(drawn)

    def draw(self, count: int) -> list[bytes]:
        """Draw nonces for as many messages, or fewer if the epoch has fewer left."""
        with self._lock:
            return list(self._draw(count))

    def _draw(self, count: int) -> tuple[bytes, ...]:
        count = min(count, self._left)
        self._left -= count
        drawn: tuple[bytes, ...] = unpack(
            f"{NONCE_LENGTH}s" * count, os.urandom(count * NONCE_LENGTH)
        )
        return drawn

    def end(self) -> None:
        """Make the epoch unusable: a forked child must not share nonces."""
        self._lock = threading.Lock()
        self._left = 0
        self.nonces.clear()


class XaesCipher:
    """XAES-256-GCM under one derived field key of 32 bytes.

    Args:
        key: the derived key, 32 bytes.
        salt_epoch: messages that may share a salt, 1 to 65,536.

    """

    __slots__ = ("__weakref__", "_by_salt", "_epoch", "_lock", "_mac", "_messages")

    def __init__(self, key: bytes, salt_epoch: int = SALT_EPOCH) -> None:
        if len(key) != 32:  # noqa: PLR2004 - AES-256
            raise ValueError("XAES-256-GCM needs a key of 32 bytes")
        if not 1 <= salt_epoch <= SALT_EPOCH:
            raise ValueError(f"a salt epoch is 1 to {SALT_EPOCH} messages")
        # CMAC objects may be copied by several threads; a shared ECB context may not.
        self._mac = CMAC(AES(key))
        self._messages = salt_epoch
        self._by_salt: dict[bytes, AESGCM] = {}
        self._epoch: SaltEpoch | None = None
        self._lock = threading.Lock()
        _LIVE.add(self)

    def message_key(self, salt: bytes) -> bytes:
        """Return the 32-byte AES-256-GCM key of one salt (C2SP XAES-256-GCM)."""
        halves = []
        for counter in (b"\0\1X\0", b"\0\2X\0"):
            mac = self._mac.copy()
            mac.update(counter + salt)
            halves.append(mac.finalize())
        return b"".join(halves)

    def _gcm(self, salt: bytes) -> AESGCM:
        cipher = self._by_salt.get(salt)
        if cipher is None:
            cipher = AESGCM(self.message_key(salt))
            if len(self._by_salt) >= _CACHED_SALTS:
                self._by_salt.clear()
            self._by_salt[salt] = cipher
        return cipher

    def decryptor(self, salt: bytes) -> Operation:
        """Return ``decrypt(nonce, ciphertext, aad)`` for one salt."""
        return self._gcm(salt).decrypt

    def epoch(self) -> SaltEpoch:
        """Return an epoch that has at least one nonce at this moment."""
        with self._lock:
            epoch = self._epoch
            if epoch is None or not epoch.refill():
                salt = os.urandom(SALT_LENGTH)
                encrypt = AESGCM(self.message_key(salt)).encrypt
                epoch = SaltEpoch(salt, encrypt, self._messages)
                epoch.refill()
                self._epoch = epoch
            return epoch

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Return ``salt nonce ciphertext tag``."""
        while True:
            epoch = self.epoch()
            try:
                nonce = epoch.nonces.pop()
            except IndexError:  # another thread was faster
                continue
            return epoch.salt + nonce + epoch.encrypt(nonce, plaintext, aad)

    def open(self, body: bytes, aad: bytes) -> bytes:
        """Return the plaintext; ``InvalidTag`` when it is not authentic."""
        nonce_end = SALT_LENGTH + NONCE_LENGTH
        salt, nonce = bytes(body[:SALT_LENGTH]), body[SALT_LENGTH:nonce_end]
        return self._gcm(salt).decrypt(nonce, body[nonce_end:], aad)

    def forget_epoch(self) -> None:
        """End the current epoch; the next message starts a new one."""
        self._lock = threading.Lock()
        if self._epoch is not None:
            self._epoch.end()
            self._epoch = None


_LIVE: weakref.WeakSet[XaesCipher] = weakref.WeakSet()


def _after_fork() -> None:
    # Parent and child would otherwise pop the same nonces under the same salt.
    for cipher in list(_LIVE):
        cipher.forget_epoch()


os.register_at_fork(after_in_child=_after_fork)
