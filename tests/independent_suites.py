"""The suites of FORMAT.md by other roads, with no code of the package.

Each takes a key, associated data and the front of a body - salt, nonce or IV - followed
by plaintext, or a whole body to open; each returns the plaintext and the body that it
seals to. Whoever opens compares the bodies.
"""
# fmt: off

from __future__ import annotations

import hmac
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

def _aes(key: bytes, mode: Any, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), mode).encryptor().update(data)
def _double(block: int) -> int:
    return block << 1 ^ (block >> 127) * (1 << 128 | 0x87)
def _cmac(key: bytes, data: bytes, mix: int = 0) -> int:  # RFC 4493, data ^ mix
    chain = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor().update
    zero, size = int.from_bytes(chain(bytes(16))), max(-(-len(data) // 16), 1) * 16
    number, mask, fill = int.from_bytes(data) ^ mix, _double(zero), size - len(data)
    if fill:
        number, mask = (number << 1 | 1) << fill * 8 - 1, _double(mask)
    number ^= mask ^ zero << size * 8 - 128  # zero: the chain has not begun before it
    return int.from_bytes(chain(number.to_bytes(size))[-16:])
def _s2v(key: bytes, head: bytes, last: bytes) -> int:  # RFC 5297
    total = _double(_cmac(key, bytes(16))) ^ _cmac(key, head)
    if len(last) < 16:
        last, total = (last + b"\x80").ljust(16, b"\0"), _double(total)
    return _cmac(key, last, total)
def _ctr(key: bytes, siv: int, data: bytes) -> bytes:  # RFC 5297
    return _aes(key, modes.CTR((siv & ~(1 << 63 | 1 << 31)).to_bytes(16)), data)

def xaes(opens: bool, key: bytes, aad: bytes, body: bytes) -> tuple[bytes, bytes]:
    """0x11: C2SP XAES-256-GCM."""
    iv, data = body[:24], body[24:]
    kx = b"".join(_cmac(key, b"\0%cX\0" % n + iv[:12]).to_bytes(16) for n in (1, 2))
    data = _aes(kx, modes.GCM(iv[12:]), data[:-16]) if opens else data
    gcm = Cipher(algorithms.AES(kx), modes.GCM(iv[12:])).encryptor()
    gcm.authenticate_additional_data(aad)
    return data, iv + gcm.update(data) + gcm.finalize() + gcm.tag

def siv(opens: bool, key: bytes, aad: bytes, body: bytes) -> tuple[bytes, bytes]:
    """0x12: RFC 5297 with one associated string."""
    data = _ctr(key[32:], int.from_bytes(body[:16]), body[16:]) if opens else body
    tag = _s2v(key[:32], aad, data)
    return data, tag.to_bytes(16) + _ctr(key[32:], tag, data)

def cbc_hmac(opens: bool, key: bytes, aad: bytes, body: bytes) -> tuple[bytes, bytes]:
    """0x15: RFC 7518, 5.2.5; MAC_KEY and ENC_KEY are the halves of the key."""
    mac, enc, chain, data = key[:32], key[32:], body[:16], body[16:]
    if opens:  # every block is decrypted alone and has the one before it added
        if len(data) < 48 or len(data) % 16:
            raise ValueError("blocks")
        ecb = Cipher(algorithms.AES(enc), modes.ECB()).decryptor().update(data[:-32])
        before = int.from_bytes(body[:-48])
        data = (int.from_bytes(ecb) ^ before).to_bytes(len(ecb))
        data = data[: -data[-1]]
    fill = 16 - len(data) % 16
    padded = data + bytes((fill,)) * fill
    sealed = chain + _aes(enc, modes.CBC(chain), padded)
    signed = aad + sealed + (len(aad) << 3).to_bytes(8)
    return data, sealed + hmac.digest(mac, signed, "sha512")[:32]
