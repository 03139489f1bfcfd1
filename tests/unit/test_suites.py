"""The suites: known answers, salts and nonces."""

from __future__ import annotations

import hmac
import os
import threading
from collections import Counter

import independent
import independent_suites
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.ciphers.modes import CBC
from sealing import NONCE, ROOT, SALT, flipped, inject

from sqlalchemy_sealed.associated import row_context, row_id, scope
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.suites import (
    SALT_EPOCH,
    CbcHmacCipher,
    InvalidTag,
    SivCipher,
    XaesCipher,
    expand,
    xaes,
)

KEY = Key(7, ROOT)
SCOPE = scope("users.email", "acme")
ROW = row_context(row_id([("i", 42)]))
IV = bytes(range(0x60, 0x70))
CIPHERS = [
    XaesCipher(b"K" * 32),
    SivCipher(b"K" * 64),
    CbcHmacCipher(b"K" * 64),
]


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


def test_the_draft_vector_of_cbc():
    """FORMAT draft vector: 0x15."""
    key = KEY.derive("cbc", SCOPE, 64)
    header = bytes.fromhex("f5150c0100000007d8bbf18be1b108535fc108f5cb4924ad")
    body = CbcHmacCipher(key)._seal(IV, b"alice@example.com", header + ROW)
    assert key.hex() == (
        "14253af550904d31f9f3695d4297a23397603f1c516d9a6aa80652966c941db5"
        "a4319a6ad5a516e5bd9947dba6f2e468e037a86f8b05e9afa6ed6b0f4f034941"
    )
    assert body[:16] == IV
    assert body[16:].hex() == (
        "f38c25e24914ef51c14b1bb8f8f84830a93b4587589bd6647ae076fd2b8d2690"
        "21957ab18a183da347a05b3d4b67799406fc4a60ed71bdfcee69f49fdf1f58fa"
    )


def test_the_test_case_of_rfc_7518():
    """RFC 7518, B.3: A256CBC-HS512."""
    plain = (
        b"A cipher system must not be required to be secret, and it must be able to "
        b"fall into the hands of the enemy without inconvenience"
    )
    aad = b"The second principle of Auguste Kerckhoffs"
    sealed = (
        "1af38c2dc2b96ffdd86694092341bc04"
        "4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd"
        "822c301dd67c373bccb584ad3e9279c2e6d12a1374b77f077553df829410446b"
        "36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3"
        "a3b75e662a2594410ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950b"
        "be2638d09dd7a4930930806d0703b1f6"
        "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5"
    )
    cipher, body = CbcHmacCipher(bytes(range(64))), bytes.fromhex(sealed)
    assert cipher._seal(body[:16], plain, aad) == body
    assert cipher.open(body, aad) == plain


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
@pytest.mark.parametrize("cipher", CIPHERS)
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
    siv = SivCipher(bytes(64))
    assert siv.seal(b"a", b"x") == siv.seal(b"a", b"x") != siv.seal(b"a", b"y")
    for cipher in (XaesCipher(bytes(32)), CbcHmacCipher(bytes(64))):
        assert cipher.seal(b"a", b"x") != cipher.seal(b"a", b"x")


# CBC, authenticated


def handmade(padded: bytes, aad: bytes = b"aad") -> bytes:
    """Return a body of any padded bytes, with a tag that is right for them."""
    sealed = IV + independent_suites._aes(b"K" * 32, CBC(IV), padded)
    signed = aad + sealed + (len(aad) * 8).to_bytes(8)
    return sealed + hmac.digest(b"K" * 32, signed, "sha512")[:32]


def test_the_body_is_iv_ciphertext_and_tag():
    """FORMAT 0x15: iv[16] ciphertext tag[32], PKCS#7 inside."""
    cipher = CbcHmacCipher(b"K" * 64)
    assert cipher._seal(IV, b"plain", b"aad") == handmade(b"plain" + b"\x0b" * 11)
    for length in range(50):
        assert len(cipher.seal(bytes(length), b"")) == 48 + (length // 16 + 1) * 16


def test_the_first_half_of_the_key_is_that_of_the_tag():
    """FORMAT 0x15: MAC_KEY is the initial 32 bytes, ENC_KEY the final 32."""
    plain, body = (
        b"plain",
        CbcHmacCipher(b"M" * 32 + b"K" * 32)._seal(IV, b"plain", b""),
    )
    assert body[:32] == handmade(plain + b"\x0b" * 11)[:32]
    signed = body[:32] + bytes(8)
    assert body[32:] == hmac.digest(b"M" * 32, signed, "sha512")[:32]


@pytest.mark.parametrize("plain", [b"", b"alice", bytes(40)], ids=len)
def test_every_bit_of_a_cbc_body_matters(plain):
    """FORMAT 0x15: every failure is the same one."""
    cipher = CbcHmacCipher(bytes(64))
    body = cipher.seal(plain, b"aad")
    for changed in flipped(body):
        with pytest.raises(InvalidTag):
            cipher.open(changed, b"aad")
    for length in range(len(body)):
        with pytest.raises(InvalidTag):
            cipher.open(body[:length], b"aad")
    for changed in flipped(b"aad"):
        with pytest.raises(InvalidTag):
            cipher.open(body, changed)


@pytest.mark.parametrize("moved", range(1, 16))
def test_associated_data_and_iv_are_kept_apart(moved):
    """FORMAT 0x15: AL is the length of AAD in bits."""
    cipher = CbcHmacCipher(bytes(64))
    body = cipher.seal(bytes(40), b"A" * 16)
    for wrong, aad in [
        (body[moved:], b"A" * 16 + body[:moved]),
        (b"A" * moved + body, b"A" * (16 - moved)),
    ]:
        with pytest.raises(InvalidTag):
            cipher.open(wrong, aad)


def test_nothing_is_decrypted_before_the_tag_is_right():
    """FORMAT 0x15: there is no padding oracle."""

    class Watched(CbcHmacCipher):
        decrypted = 0

        def _decrypt(self, covered):
            Watched.decrypted += 1
            return super()._decrypt(covered)

    cipher = Watched(bytes(64))
    body = cipher.seal(b"alice", b"aad")
    for changed in flipped(body):
        with pytest.raises(InvalidTag):
            cipher.open(changed, b"aad")
    assert Watched.decrypted == 0
    assert cipher.open(body, b"aad") == b"alice"
    assert Watched.decrypted == 1


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(16),
        b"\x11" * 32,
        b"\xff" * 16,
        b"\x0f" + b"\x10" * 15,
        b"a" * 14 + b"\1\2",
    ],
    ids=repr,
)
def test_wrong_padding_under_a_right_tag_is_the_same_error(padded):
    """FORMAT 0x15: only a holder of the key can make it."""
    with pytest.raises(InvalidTag) as caught:
        CbcHmacCipher(b"K" * 64).open(handmade(padded), b"aad")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("length", [0, 32, 48, 63, 65])
def test_cbc_takes_64_bytes_only(length):
    """FORMAT keys: cbc 64."""
    with pytest.raises(ValueError, match="64 bytes"):
        CbcHmacCipher(bytes(length))


def test_every_message_draws_an_iv_of_its_own(monkeypatch):
    """FORMAT 0x15: IVs are 16 bytes of the operating system, drawn when needed."""
    drawn = []
    real = os.urandom
    monkeypatch.setattr(os, "urandom", lambda n: drawn.append(real(n)) or drawn[-1])
    cipher = CbcHmacCipher(bytes(64))
    used = [cipher.seal(b"same", b"")[:16] for _ in range(300)]
    assert used == drawn
    assert len(set(used)) == 300


def test_threads_may_share_a_cbc_cipher():
    cipher, wrong = CbcHmacCipher(bytes(64)), []

    def work(number):
        for n in range(300):
            plain = f"{number} {n}".encode()
            if cipher.open(cipher.seal(plain, plain), plain) != plain:
                wrong.append(plain)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


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
    xaes._after_fork()
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
    for number in range(xaes._CACHED_SALTS + 1):
        cipher.decryptor(number.to_bytes(12))
    assert len(cipher._by_salt) <= xaes._CACHED_SALTS
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


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_cipher_shows_no_key(cipher):
    assert "KKKK" not in repr(cipher) + str(cipher)
    with pytest.raises(TypeError):
        vars(cipher)


def test_the_subkeys_of_the_purposes_are_unrelated():
    """FORMAT keys: purpose aead, siv, cbc, blob; label and 0x00 before SCOPE."""
    for purpose, length in [("aead", 32), ("siv", 64), ("cbc", 64), ("blob", 32)]:
        key = KEY.derive(purpose, SCOPE, length)
        assert len(key) == length
        assert key == independent.subkey(ROOT, purpose, SCOPE, length)
    starts = {KEY.derive(one, SCOPE, 32) for one in ("aead", "siv", "cbc", "blob")}
    assert len(starts) == 4
