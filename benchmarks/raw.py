"""One value: our closures against the bare primitive.

Baseline: ``AESGCM.encrypt`` and ``decrypt`` of a 32-byte value with 24 bytes of
associated data, a ready object and a ready nonce, nothing else; always the same value,
and beside it distinct ones, which is what the closures work on. A sealed string of 20
characters is padded to the same 32 bytes. Measured are the closures that SQLAlchemy
calls (``sqlalchemy_sealed.fast``): with keys at hand, with another salt in every value,
and with the field key derived anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from measure import Line, Samples, Spread, interleave, timed
from setting import Setting
from sqlalchemy import String

from sqlalchemy_sealed import EncryptedType, Keyring
from sqlalchemy_sealed.cipher import FieldCipher
from sqlalchemy_sealed.fast import opener, sealer
from sqlalchemy_sealed.scope import Binding

__all__ = ["run"]

_CALLS = 20_000
#: More distinct salts than the caches of derived keys hold (4,096).
_SALTS = 5_000
_GOAL = "<= 1.8"
_SEAL, _OPEN = "AESGCM.encrypt", "AESGCM.decrypt"


def run(setting: Setting) -> list[Line]:
    """Return microseconds per value and the ratios to raw calls."""
    samples = interleave(_contenders(), max(5, setting.repeat))
    lines = [
        Line("raw", name, Spread.of(values), "us per value")
        for name, values in samples.items()
    ]
    return [*lines, *_ratios(samples), *_loading(setting, samples)]


def _ratios(samples: Samples) -> list[Line]:
    lines = []
    for name, values in samples.items():
        if name in {_SEAL, _OPEN}:
            continue
        base = _SEAL if name.startswith(("seal", _SEAL)) else _OPEN
        goal = _GOAL if name in {"seal", "open"} else ""
        value = Spread.ratio(values, samples[base])
        lines.append(Line("raw", name, value, "raw calls", goal))
    return lines


def _loading(setting: Setting, samples: Samples) -> list[Line]:
    raw = Spread.of(samples[_OPEN]).median
    return [
        Line(
            "raw",
            f"beyond plaintext: {where}",
            Spread(extra.median / raw, extra.low / raw, extra.high / raw),
            "raw calls per value",
        )
        for where, extra in setting.beyond_plaintext.items()
        if where.startswith("load")
    ]


def _contenders() -> dict[str, Callable[[], float]]:
    return {
        **_raw(),
        **_cached(),
        **_another_salt_each(),
        **_cold(),
    }


def _per_call(calls: int, work: Callable[[], object]) -> Callable[[], float]:
    return lambda: timed(work) / calls * 1e6


def _raw() -> dict[str, Callable[[], float]]:
    gcm, header = AESGCM(os.urandom(32)), os.urandom(24)
    pairs = [(os.urandom(12), os.urandom(32)) for _ in range(_CALLS)]
    same = [pairs[0]] * _CALLS

    def calls(operation: Callable[..., bytes], items: list) -> Callable[[], float]:
        def work() -> None:
            for nonce, data in items:
                operation(nonce, data, header)

        return _per_call(_CALLS, work)

    def stored(items: list) -> list:
        return [(nonce, gcm.encrypt(nonce, data, header)) for nonce, data in items]

    sealed = [stored(same[:1])[0]] * _CALLS
    return {
        _SEAL: calls(gcm.encrypt, same),
        _OPEN: calls(gcm.decrypt, sealed),
        f"{_SEAL}, distinct values": calls(gcm.encrypt, pairs),
        f"{_OPEN}, distinct values": calls(gcm.decrypt, stored(pairs)),
    }


def _cipher(salt_epoch: int | None = None) -> FieldCipher:
    options = {} if salt_epoch is None else {"salt_epoch": salt_epoch}
    kind = EncryptedType(String, context="person.email", **options)
    return FieldCipher(kind.field(), Binding(Keyring.generate()))


def _texts(count: int) -> list[str]:
    return [f"u{n:07}@example.com" for n in range(count)]


def _each(function: Callable[[object], object], items: list) -> Callable[[], object]:
    def work() -> None:
        for item in items:
            function(item)

    return work


def _cached() -> dict[str, Callable[[], float]]:
    cipher, texts = _cipher(), _texts(_CALLS)
    seal = sealer(cipher)
    stored = [seal(text) for text in texts]
    return {
        "seal": _per_call(_CALLS, _each(seal, texts)),
        "open": _per_call(_CALLS, _each(opener(cipher), stored)),
    }


def _another_salt_each() -> dict[str, Callable[[], float]]:
    cipher, texts = _cipher(salt_epoch=1), _texts(_SALTS)
    seal = sealer(cipher)
    stored = [seal(text) for text in texts]
    return {
        "seal, another salt each": _per_call(_SALTS, _each(seal, texts)),
        "open, another salt each": _per_call(_SALTS, _each(opener(cipher), stored)),
    }


def _cold() -> dict[str, Callable[[], float]]:
    cipher, texts = _cipher(), _texts(_SALTS // 5)
    seal, open_ = sealer(cipher), opener(cipher)
    stored = [seal(text) for text in texts]

    def cold(function: Callable[[object], object]) -> Callable[[object], object]:
        def work(item: object) -> object:
            cipher.clear_keys()
            return function(item)

        return work

    return {
        "seal, key derived anew": _per_call(len(texts), _each(cold(seal), texts)),
        "open, key derived anew": _per_call(len(texts), _each(cold(open_), stored)),
    }
