"""The suites: known answers, salts and nonces."""

from __future__ import annotations

import os
import threading
from collections import Counter

import independent
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from sealing import NONCE, ROOT, SALT, inject

from sqlalchemy_sealed import suites
from sqlalchemy_sealed.associated import row_context, row_id, scope
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.suites import (
    SALT_EPOCH,
    InvalidTag,
    SivCipher,
    XaesCipher,
    expand,
)

KEY = Key(7, ROOT)
SCOPE = scope("users.email", "acme")
ROW = row_context(row_id([("i", 42)]))


def pairs(cipher: XaesCipher, messages: int) -> list[tuple[bytes, bytes]]:
    """Return salt and nonce of so many messages."""
    bodies = [cipher.seal(b"", b"") for _ in range(messages)]
    return [(body[:12], body[12:24]) for body in bodies]


# Known answers


def test_the_draft_vector_of_the_randomised_suite():
    """FORMAT draft vector: 0x11."""
    key = KEY.derive("aead", SCOPE, 32)
    header = bytes.fromhex("f5110c0100000007d8bbf18be1b108535fc108f5cb4924ad")
    body = inject(XaesCipher(key), SALT, NONCE).seal(b"alice@example.com", header + ROW)
    assert (
        key.hex() == "df8722b1e2cd35ded7770cece16e20a393a8b0fdeecb9ebe8355a78b1d266d5e"
    )
    assert body[:24] == SALT + NONCE
    assert body[24:].hex() == (
        "ebed511d563b2e793145ad2fbd2355fbc77f787d091b642335e932433bb4f4f4f6"
    )


def test_the_draft_vector_of_the_deterministic_suite():
    """FORMAT draft vector: 0x12."""
    header = bytes.fromhex("f512080100000007d8bbf18be1b108535fc108f5cb4924ad")
    cipher = SivCipher(KEY.derive("siv", SCOPE, 64))
    body = "ac6f793f745725c207115089b0888ea228a11b7ded46d691a3cc87eedd796aca5b"
    assert cipher.seal(b"alice@example.com", header).hex() == body
    assert cipher.open(bytes.fromhex(body), header) == b"alice@example.com"


def test_hkdf_expand_is_that_of_rfc_5869():
    """RFC 5869, A.1; FORMAT keys: HKDF-Expand-SHA256."""
    prk = "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    okm = (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        "34007208d5b887185865"
    )
    info = bytes(range(0xF0, 0xFA))
    assert expand(bytes.fromhex(prk), info, 42).hex() == okm


def test_the_message_key_is_that_of_c2sp():
    """C2SP XAES-256-GCM: the key that the first half of the nonce selects."""
    assert XaesCipher(b"\x03" * 32).message_key(b"ABCDEFGHIJKL").hex() == (
        "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8"
    )


def test_the_body_is_salt_nonce_and_an_aes_gcm_message():
    """FORMAT envelope: 0x11 is salt[12] nonce[12] ciphertext tag[16]."""
    cipher = XaesCipher(bytes(32))
    body = cipher.seal(b"plain", b"aad")
    gcm = AESGCM(cipher.message_key(body[:12]))
    assert gcm.decrypt(body[12:24], body[24:], b"aad") == b"plain"
    assert len(body) == 12 + 12 + 5 + 16


def test_the_body_is_siv_and_ciphertext_over_one_associated_string():
    """FORMAT envelope: 0x12 is siv[16] ciphertext."""
    body = SivCipher(bytes(64)).seal(b"plain", b"aad")
    assert body == AESSIV(bytes(64)).encrypt(b"plain", [b"aad"])
    assert len(body) == 16 + 5


@pytest.mark.parametrize("plain", [b"", b"a", bytes(1000)], ids=len)
@pytest.mark.parametrize("cipher", [XaesCipher(bytes(32)), SivCipher(bytes(64))])
def test_what_was_sealed_opens_and_nothing_else_does(cipher, plain):
    body = cipher.seal(plain, b"aad")
    assert cipher.open(body, b"aad") == plain
    for wrong_body, wrong_aad in [(body + b"\0", b"aad"), (body, b"add"), (body, b"")]:
        with pytest.raises(InvalidTag):
            cipher.open(wrong_body, wrong_aad)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_the_randomised_suite_takes_32_bytes_only(length):
    """FORMAT keys: aead 32."""
    with pytest.raises(ValueError, match="32 bytes"):
        XaesCipher(bytes(length))


@pytest.mark.parametrize("length", [0, 32, 48, 63, 65])
def test_the_deterministic_suite_takes_64_bytes_only(length):
    """FORMAT keys: siv 64."""
    with pytest.raises(ValueError, match="64 bytes"):
        SivCipher(bytes(length))


def test_equal_plaintexts_are_equal_only_in_the_deterministic_suite():
    """FORMAT envelope: equal plaintexts give equal bytes under 0x12."""
    siv, xaes = SivCipher(bytes(64)), XaesCipher(bytes(32))
    assert siv.seal(b"a", b"x") == siv.seal(b"a", b"x") != siv.seal(b"a", b"y")
    assert xaes.seal(b"a", b"x") != xaes.seal(b"a", b"x")


# Salts and nonces


def test_salts_and_nonces_come_from_the_operating_system(monkeypatch):
    """FORMAT rule 5: nonces are random, never a counter."""
    drawn = []
    real = os.urandom
    monkeypatch.setattr(os, "urandom", lambda n: drawn.append(real(n)) or drawn[-1])
    used = pairs(XaesCipher(bytes(32)), 200)
    pieces = {d[i : i + 12] for d in drawn for i in range(0, len(d), 12)}
    assert {half for pair in used for half in pair} <= pieces


@pytest.mark.parametrize("epoch", [1, 2, 65, 255, 256, 257])
def test_a_salt_serves_at_most_an_epoch_of_messages(epoch):
    """FORMAT rule 5: a salt is kept for up to a salt epoch."""
    used = pairs(XaesCipher(bytes(32), epoch), 600)
    per_salt = Counter(salt for salt, _ in used)
    assert set(per_salt.values()) <= {epoch, 600 % epoch}
    assert len(set(used)) == 600


def test_an_epoch_of_one_message_never_repeats_a_salt():
    """FORMAT rule 5: `salt_epoch=1` turns reuse off."""
    used = pairs(XaesCipher(bytes(32), 1), 1000)
    assert len({salt for salt, _ in used}) == 1000


def test_an_epoch_of_one_message_draws_nothing_ahead():
    """FORMAT rule 5: nothing is left over that a resumed snapshot could use again."""
    cipher = XaesCipher(bytes(32), 1)
    cipher.seal(b"", b"")
    assert cipher._epoch.nonces == []


def test_the_default_epoch_is_2_to_the_16_messages():
    """FORMAT rule 5: up to 2^16 messages per process and derived field key."""
    assert SALT_EPOCH == 1 << 16
    used = pairs(XaesCipher(bytes(32)), SALT_EPOCH + 1)
    counts = Counter(salt for salt, _ in used)
    assert sorted(counts.values()) == [1, SALT_EPOCH]
    assert len(set(used)) == SALT_EPOCH + 1


@pytest.mark.parametrize("epoch", [0, -1, SALT_EPOCH + 1, 1 << 32])
def test_an_epoch_beyond_the_bound_is_refused(epoch):
    """FORMAT rule 5: the bound of 2^49 messages holds for up to 2^16 per salt."""
    with pytest.raises(ValueError, match="1 to 65536"):
        XaesCipher(bytes(32), epoch)


@pytest.mark.parametrize("epoch", [1, 50, 1000])
def test_threads_never_share_a_nonce(epoch):
    """FORMAT rule 5: no nonce repeats under a salt, and the epoch holds over threads."""
    cipher, used = XaesCipher(bytes(32), epoch), []
    threads = [
        threading.Thread(target=lambda: used.extend(pairs(cipher, 1500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(used) == len(set(used)) == 6000
    assert max(Counter(salt for salt, _ in used).values()) <= epoch


def test_a_forgotten_epoch_is_not_used_again():
    cipher = XaesCipher(bytes(32))
    (before, _), epoch = pairs(cipher, 1)[0], cipher._epoch
    cipher.forget_epoch()
    assert epoch.nonces == []
    assert not epoch.refill()
    assert epoch.draw(10) == []
    assert pairs(cipher, 1)[0][0] != before


def test_a_cipher_that_was_never_used_can_be_forgotten():
    cipher = XaesCipher(bytes(32))
    cipher.forget_epoch()
    assert cipher.open(cipher.seal(b"a", b""), b"") == b"a"


def test_every_live_cipher_forgets_its_epoch_in_a_forked_child():
    """FORMAT rule 5: the salt is reset after fork."""
    ciphers = [XaesCipher(bytes((n,)) * 32) for n in range(3)]
    for cipher in ciphers:
        cipher.seal(b"", b"")
    suites._after_fork()
    assert [cipher._epoch for cipher in ciphers] == [None] * 3


def test_two_keys_never_share_a_derived_cipher():
    """FORMAT rule 5: caches are keyed by the derived key, never by column alone."""
    one, other = XaesCipher(bytes(32)), XaesCipher(b"\1" * 32)
    inject(one, SALT, NONCE)
    body = one.seal(b"a", b"")
    with pytest.raises(InvalidTag):
        other.open(body, b"")
    assert one.message_key(SALT) != other.message_key(SALT)


def test_more_salts_than_the_cache_holds_still_open():
    """FORMAT performance notes: derived ciphers are kept per salt, up to a limit."""
    cipher = XaesCipher(bytes(32))
    body = cipher.seal(b"a", b"")
    for number in range(suites._CACHED_SALTS + 1):
        cipher.decryptor(number.to_bytes(12))
    assert len(cipher._by_salt) <= suites._CACHED_SALTS
    assert cipher.open(body, b"") == b"a"


def test_threads_may_derive_at_the_same_time():
    """FORMAT performance notes: CMAC copies are safe across threads."""
    cipher, wrong = XaesCipher(bytes(32)), []
    expected = {n: cipher.message_key(n.to_bytes(12)) for n in range(200)}

    def derive():
        for number, key in expected.items():
            if cipher.message_key(number.to_bytes(12)) != key:
                wrong.append(number)

    threads = [threading.Thread(target=derive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("cipher", [XaesCipher(b"K" * 32), SivCipher(b"K" * 64)])
def test_a_cipher_shows_no_key(cipher):
    assert "KKKK" not in repr(cipher) + str(cipher)
    with pytest.raises(TypeError):
        vars(cipher)


def test_the_subkeys_of_the_purposes_are_unrelated():
    """FORMAT keys: purpose aead, siv, blob; label and 0x00 in front of SCOPE."""
    for purpose, length in [("aead", 32), ("siv", 64), ("blob", 32)]:
        key = KEY.derive(purpose, SCOPE, length)
        assert len(key) == length
        assert key == independent.subkey(ROOT, purpose, SCOPE, length)
    assert KEY.derive("siv", SCOPE, 64)[:32] != KEY.derive("aead", SCOPE, 32)
