"""Published vectors through our own suite classes: Wycheproof, C2SP XAES-256-GCM."""

from __future__ import annotations

import hashlib
import hmac
import io
from typing import Any

import pytest
from sealing import inject, load

from sqlalchemy_sealed.suites import (
    CbcHmacCipher,
    InvalidTag,
    SivCipher,
    XaesCipher,
    expand,
)


class GivenKey(XaesCipher):
    """XAES whose message key is the one that a vector gives."""

    def __init__(self, message_key: bytes) -> None:
        super().__init__(bytes(32), 1)
        self.given = message_key

    def message_key(self, salt: bytes) -> bytes:
        return self.given


def vectors(name: str, **group: int) -> list[dict[str, Any]]:
    """Return the cases of the groups that have these properties."""
    return [
        {key: unhex(key, value) for key, value in case.items()}
        for found in load(f"wycheproof/{name}_test.json")["testGroups"]
        if all(found[key] == value for key, value in group.items())
        for case in found["tests"]
    ]


def unhex(key: str, value: Any) -> Any:
    hexes = {"key", "iv", "aad", "msg", "ct", "tag", "ikm", "salt", "info", "okm"}
    return bytes.fromhex(value) if key in hexes else value


def opened(
    cipher: XaesCipher | SivCipher | CbcHmacCipher, body: bytes, aad: bytes
) -> bytes | None:
    try:
        return cipher.open(body, aad)
    except InvalidTag:
        return None


def test_aes_gcm():
    """All cases of a 256-bit key, a 96-bit nonce and a 128-bit tag."""
    cases = vectors("aes_gcm", keySize=256, ivSize=96, tagSize=128)
    for case in cases:
        cipher, sealed = GivenKey(case["key"]), case["ct"] + case["tag"]
        body = bytes(12) + case["iv"] + sealed
        valid = case["result"] == "valid"
        assert opened(cipher, body, case["aad"]) == (case["msg"] if valid else None)
        again = inject(cipher, bytes(12), case["iv"]).seal(case["msg"], case["aad"])
        assert (again == body) is valid, case["tcId"]
    assert len(cases) == 66
    assert sum(case["result"] == "valid" for case in cases) == 39


def test_aes_siv_cmac():
    """All cases of a 512-bit key, with their one associated-data string."""
    cases = vectors("aes_siv_cmac", keySize=512)
    for case in cases:
        cipher, valid = SivCipher(case["key"]), case["result"] == "valid"
        plain = opened(cipher, case["ct"], case["aad"])
        assert plain == (case["msg"] if valid else None), case["tcId"]
        assert (cipher.seal(case["msg"], case["aad"]) == case["ct"]) is valid
    assert len(cases) == 147
    assert sum(case["result"] == "valid" for case in cases) == 39


def test_a256cbc_hs512():
    """All cases; the first is that of RFC 7518, B.3."""
    cases = vectors("a256cbc_hs512", keySize=512, ivSize=128, tagSize=256)
    for case in cases:
        cipher, valid = CbcHmacCipher(case["key"]), case["result"] == "valid"
        body = case["iv"] + case["ct"] + case["tag"]
        plain = opened(cipher, body, case["aad"])
        assert plain == (case["msg"] if valid else None), case["tcId"]
        again = cipher._seal(case["iv"], case["msg"], case["aad"])
        assert (again == body) is valid, case["tcId"]
    assert len(cases) == 94
    assert sum(case["result"] == "valid" for case in cases) == 67


@pytest.mark.parametrize(("size", "number"), [(256, 148), (384, 147)])
def test_shorter_siv_keys_are_refused(size, number):
    cases = vectors("aes_siv_cmac", keySize=size)
    for case in cases:
        with pytest.raises(ValueError, match="64 bytes"):
            SivCipher(case["key"])
    assert len(cases) == number


def test_aes_cmac():
    """All cases of a 256-bit key and a 128-bit tag, through the CMAC of the KDF."""
    cases = vectors("aes_cmac", keySize=256, tagSize=128)
    for case in cases:
        mac = XaesCipher(case["key"])._mac.copy()
        mac.update(case["msg"])
        valid = case["result"] == "valid"
        assert (mac.finalize() == case["tag"]) is valid, case["tcId"]
    assert len(cases) == 102
    assert sum(case["result"] == "valid" for case in cases) == 21


def test_hkdf_sha256():
    """Extract with the standard library, expand with ours; too long is refused."""
    cases, refused = vectors("hkdf_sha256"), 0
    for case in cases:
        key = hmac.digest(case["salt"] or bytes(32), case["ikm"], "sha256")
        if case["result"] == "valid":
            assert expand(key, case["info"], case["size"]) == case["okm"]
        else:
            refused += 1
            with pytest.raises(ValueError):
                expand(key, case["info"], case["size"])
    assert (len(cases), refused) == (86, 3)


XAES = [
    (b"\1", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
    (
        b"\3",
        b"c2sp.org/XAES-256-GCM",
        "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
    ),
]


@pytest.mark.parametrize(("byte", "aad", "sealed"), XAES, ids=["MSB 0", "MSB 1"])
def test_the_known_answers_of_xaes_256_gcm(byte, aad, sealed):
    """C2SP XAES-256-GCM: both cases of the doubling in its key derivation."""
    cipher = inject(XaesCipher(byte * 32), b"ABCDEFGHIJKL", b"MNOPQRSTUVWX")
    body = cipher.seal(b"XAES-256-GCM", aad)
    assert body == b"ABCDEFGHIJKLMNOPQRSTUVWX" + bytes.fromhex(sealed)
    assert cipher.open(body, aad) == b"XAES-256-GCM"


def test_ten_thousand_random_messages_of_xaes_256_gcm():
    """C2SP XAES-256-GCM: the accumulated vector of the Go reference."""
    stream = io.BytesIO(hashlib.shake_128().digest(10_000 * (32 + 24 + 2 * 256)))
    accumulated = hashlib.shake_128()
    for _ in range(10_000):
        cipher = XaesCipher(stream.read(32))
        salt, nonce = stream.read(12), stream.read(12)
        plain, aad = (stream.read(stream.read(1)[0]) for _ in range(2))
        body = inject(cipher, salt, nonce).seal(plain, aad)
        assert cipher.open(body, aad) == plain
        accumulated.update(body[24:])
    assert accumulated.hexdigest(32) == (
        "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
    )
