"""The closures of the processors: they do what the strict class does, faster."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter

import independent
import pytest
from sealing import (
    OTHER_ROOT,
    ROOT,
    SECRET,
    failure,
    field_cipher,
    flipped,
    keyring,
    says,
)

from sqlalchemy_sealed.codec.number import Float64Codec, Int64Codec
from sqlalchemy_sealed.codec.scalar import BytesCodec, Utf8Codec
from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    EncodingError,
    KeyNotReadableError,
    MalformedEnvelopeError,
    NotSealedError,
    SealedError,
    UnknownKeyError,
)
from sqlalchemy_sealed.fast import opener, resealer, sealer
from sqlalchemy_sealed.keys.state import KeyState
from sqlalchemy_sealed.padding import Blocks, Bucket, Padme
from sqlalchemy_sealed.suites import SALT_EPOCH, XaesCipher

SIV, CBC = SuiteId.AES_256_SIV, SuiteId.A256CBC_HS512
DECLARATIONS = {
    "plain": {},
    "blocks": {"padding": Blocks()},
    "bucket": {"padding": Bucket(48)},
    "bucket of a block": {"padding": Bucket(16)},
    "padme": {"padding": Padme()},
    "no reuse": {"padding": Blocks(), "salt_epoch": 1},
    "short epoch": {"salt_epoch": 3},
    "deterministic": {"suite": SIV},
    "deterministic blocks": {"suite": SIV, "padding": Blocks()},
    "CBC": {"suite": CBC},
    "CBC blocks": {"suite": CBC, "padding": Blocks()},
    "CBC bucket": {"suite": CBC, "padding": Bucket(48)},
    "text": {"text": True},
    "deterministic text": {"text": True, "suite": SIV, "padding": Blocks()},
    "CBC text": {"text": True, "suite": CBC, "padding": Blocks()},
}
TEXTS = ["", "a", "x" * 15, "x" * 16, "x" * 47, "caf\xe9", "a\x80\0\0", SECRET * 20]
SEALS = {"fast": sealer, "strict": lambda cipher: cipher.seal}
OPENS = {"fast": opener, "strict": lambda cipher: cipher.open}


@pytest.fixture(params=DECLARATIONS.values(), ids=DECLARATIONS)
def cipher(request):
    return field_cipher(**request.param)


def warm(cipher):
    """Return the cipher after its closures have everything they need."""
    for _ in range(3):
        opener(cipher)(sealer(cipher)("x"))
    return cipher


def salts_and_nonces(seal, messages: int) -> list[tuple[bytes, bytes]]:
    return [(e[24:36], e[36:48]) for e in (seal("x") for _ in range(messages))]


# Agreement


@pytest.mark.parametrize("open_", OPENS.values(), ids=OPENS)
@pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS)
def test_what_one_face_sealed_the_other_opens(cipher, seal, open_):
    sealed = [seal(cipher)(text) for text in TEXTS * 3]
    assert [open_(cipher)(stored) for stored in sealed] == TEXTS * 3


def test_both_faces_write_values_of_one_header_and_length(cipher):
    fast, strict = sealer(warm(cipher)), cipher.seal
    for text in TEXTS:
        head = 36 if cipher.field.text else 24
        assert fast(text)[:head] == strict(text)[:head]
        assert len(fast(text)) == len(strict(text))


def test_the_independent_implementation_opens_what_the_fast_face_sealed(cipher):
    seal = sealer(warm(cipher))
    for text in TEXTS:
        stored = seal(text)
        data = independent.from_text(stored) if cipher.field.text else stored
        assert independent.open_(ROOT, "users.email", data) == (1, text.encode())


@pytest.mark.parametrize("suite", SuiteId, ids=hex)
@pytest.mark.parametrize("padded", [False, True])
def test_the_fast_face_opens_what_the_independent_implementation_sealed(suite, padded):
    padding = Blocks() if padded else None
    open_ = opener(field_cipher(suite=SuiteId(suite), padding=padding))
    for text in TEXTS:
        sealed = independent.seal(
            ROOT, 7, "users.email", 1, text.encode(), suite=suite, padded=padded
        )
        assert open_(sealed) == open_(sealed) == text


def test_null_stays_null(cipher):
    """FORMAT rule 8: NULL stays NULL."""
    assert sealer(cipher)(None) is None
    assert opener(cipher)(None) is None
    assert sealer(warm(cipher))(None) is opener(cipher)(None) is None


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview], ids=lambda k: k.__name__
)
def test_a_driver_may_return_any_binary_type(kind):
    cipher = warm(field_cipher(padding=Blocks()))
    stored = kind(cipher.seal(SECRET))
    assert opener(cipher)(stored) == opener(cipher)(stored) == SECRET


def test_the_deterministic_faces_write_the_same_bytes():
    """FORMAT envelope: equal plaintexts give equal bytes under 0x12."""
    cipher = field_cipher(suite=SIV, padding=Blocks())
    assert sealer(cipher)("a") == sealer(cipher)("a") == cipher.seal("a")


def test_row_bound_values_are_left_to_the_strict_class():
    """A type never sees its row: nothing is sealed without one."""
    cipher = field_cipher(row_bound=True)
    assert type(failure(sealer(cipher), "a")) is EncodingError
    assert type(failure(opener(cipher), cipher.seal("a", b"\1"))) is EncodingError


def test_the_fast_face_is_taken_once_the_cipher_is_warm(monkeypatch):
    cipher = warm(field_cipher(padding=Blocks()))
    stored = cipher.seal(SECRET)
    opener(cipher)(stored)
    fast = sealer(cipher), opener(cipher)
    # Without the caches the strict class would be needed, and there is none now.
    monkeypatch.setattr(cipher._keys, "_binding", None)
    assert fast[1](stored) == SECRET
    assert len(fast[0](SECRET)) == len(stored)


# Failures


def test_every_single_bit_of_an_envelope_matters_to_the_fast_face(cipher):
    """FORMAT rule 1: a failed tag is an error, never plaintext."""
    if cipher.field.text:
        return
    open_, stored = opener(warm(cipher)), cipher.seal("alice")
    assert open_(stored) == "alice"
    for changed in flipped(stored):
        with pytest.raises(SealedError):
            open_(changed)


def test_every_truncation_fails_as_in_the_strict_class(cipher):
    open_, stored = opener(warm(cipher)), cipher.seal("alice")
    for length in range(len(stored)):
        fast = failure(open_, stored[:length])
        strict = failure(cipher.open, stored[:length])
        assert (type(fast), str(fast)) == (type(strict), str(strict))


@pytest.mark.parametrize(
    "stored",
    [b"", "alice", b"alice@example.com", 42, 4.2, [], {}, object(), b"\xf5" * 80],
    ids=lambda x: type(x).__name__,
)
def test_a_stored_value_of_any_kind_fails_as_in_the_strict_class(cipher, stored):
    """FORMAT rule 3: an error in a strict column."""
    fast, strict = failure(opener(warm(cipher)), stored), failure(cipher.open, stored)
    assert (type(fast), str(fast)) == (type(strict), str(strict))


def test_a_failure_of_the_fast_face_carries_nothing_along(cipher):
    """The error has no __context__, which could hold the value."""
    seal, open_ = sealer(warm(cipher)), opener(cipher)
    stored = seal(SECRET)
    broken = stored[:-9] + ("AAAAAAAAA" if cipher.field.text else bytes(9))
    for error in (
        failure(seal, SECRET + "\ud800"),
        failure(seal, [SECRET]),
        failure(open_, broken),
        failure(open_, SECRET),
        failure(open_, SECRET.encode()),
    ):
        assert error.__cause__ is error.__context__ is None
        assert SECRET not in says(error)


def test_authentic_bytes_that_are_no_value_fail_in_the_fast_face_too():
    for padding in (None, Blocks()):
        cipher = warm(field_cipher(padding=padding))
        bad = cipher.seal_bytes(b"\xff")
        assert type(failure(opener(cipher), bad)) is MalformedEnvelopeError


@pytest.mark.parametrize("plain", [b"", bytes(16), b"alice", b"\x80a"], ids=repr)
def test_authentic_bytes_without_padding_fail_in_the_fast_face_too(plain):
    """FORMAT rule 6: unpadding after authentication."""
    cipher = warm(field_cipher(padding=Blocks()))
    assert "not padded" in str(failure(opener(cipher), unpadded(cipher, plain)))


def unpadded(cipher, plain: bytes) -> bytes:
    """Return an authentic value under a padded header, without padding."""
    prefix, header, encrypt, *_ = cipher.slot[0]
    return prefix + bytes(12) + encrypt(bytes(12), plain, header)


def test_a_value_of_another_field_or_root_fails_in_the_fast_face(cipher):
    """FORMAT rules 1 and 5: caches are keyed by the derived key."""
    options = {**vars(cipher.field), "codec": Utf8Codec()}
    del options["context"]
    moved = field_cipher(context="a.b", **options).seal("a")
    foreign = field_cipher(keys=keyring(7, OTHER_ROOT), **options).seal("a")
    open_ = opener(warm(cipher))
    assert type(failure(open_, moved)) is AuthenticationError
    assert type(failure(open_, foreign)) is UnknownKeyError


def test_codecs_without_padding_agree():
    for codec, values in (
        (Int64Codec(), [0, -1, 2**63 - 1]),
        (Float64Codec(), [0.5, float("inf")]),
        (BytesCodec(), [b"", b"\x80\0"]),
    ):
        cipher = field_cipher(codec)
        for value in values * 2:
            assert opener(cipher)(sealer(cipher)(value)) == value


# Keys


def test_after_a_rotation_the_fast_face_writes_with_the_new_key(cipher):
    keys = cipher._keys.keyring
    seal, open_ = sealer(warm(cipher)), opener(cipher)
    old = seal("a")
    new_kid = keys.rotate().kid
    new = seal("a")
    data = independent.from_text(new) if cipher.field.text else new
    assert data[8:24] == new_kid
    assert [open_(old), open_(new), open_(old), open_(new)] == ["a"] * 4


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.DESTROYED])
def test_the_fast_face_forgets_a_key_that_no_longer_reads(cipher, state):
    """FORMAT rule 1: what was learned goes with the change of state."""
    seal, open_ = sealer(warm(cipher)), opener(cipher)
    old = seal("a")
    open_(old)
    cipher._keys.keyring.rotate()
    open_(old)
    cipher._keys.keyring.set_state(7, state)
    assert type(failure(open_, old)) is KeyNotReadableError


def test_a_rotation_while_nonces_are_laid_out_leaves_nothing_stale(monkeypatch):
    """A value sealed after a rotation has returned is under the new key."""
    cipher = field_cipher()
    keys, original = cipher._keys.keyring, XaesCipher.epoch

    def epoch(self):
        found = original(self)
        if cipher._keys and keys.active.version == 7 and calls.append(1) is None:
            if len(calls) == 2:
                keys.rotate()
        return found

    calls = []
    monkeypatch.setattr(XaesCipher, "epoch", epoch)
    sealer(cipher)("a")
    assert keys.active.version == 8
    assert sealer(cipher)("a")[8:24] == keys.active.kid


def test_threads_that_seal_while_keys_rotate_write_values_that_open():
    cipher = field_cipher(padding=Blocks(), salt_epoch=50)
    keys, sealed, stop = cipher._keys.keyring, [], threading.Event()

    def write():
        seal, open_ = sealer(cipher), opener(cipher)
        while not stop.is_set():
            sealed.append(seal("a"))
            assert open_(sealed[-1]) == "a"

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        kid = keys.rotate().kid
        assert sealer(cipher)("a")[8:24] == kid
    stop.set()
    for thread in threads:
        thread.join()
    assert {opener(cipher)(stored) for stored in sealed} == {"a"}


def test_more_salts_than_are_remembered_still_open():
    writer = field_cipher(salt_epoch=1)
    reader = field_cipher()
    sealed = [writer.seal(str(n)) for n in range(4200)]
    open_ = opener(reader)
    assert [open_(stored) for stored in sealed] == [str(n) for n in range(4200)]
    assert len(reader.ready) <= 4096


# Salts and nonces


@pytest.mark.parametrize("epoch", [1, 2, 65, 255, 256, 257])
def test_the_fast_face_keeps_the_salt_epoch(epoch):
    """FORMAT rule 5: at most a salt epoch of messages per salt, and no nonce twice."""
    cipher = field_cipher(salt_epoch=epoch)
    used = salts_and_nonces(sealer(cipher), 700)
    used += salts_and_nonces(cipher.seal, 100) + salts_and_nonces(sealer(cipher), 700)
    assert max(Counter(salt for salt, _ in used).values()) <= epoch
    assert len(set(used)) == 1500


def test_the_fast_face_never_repeats_a_salt_with_an_epoch_of_one():
    """FORMAT rule 5: `salt_epoch=1` turns reuse off."""
    used = salts_and_nonces(sealer(field_cipher(salt_epoch=1)), 1000)
    assert len({salt for salt, _ in used}) == 1000


def test_the_fast_face_ends_an_epoch_of_65536_messages():
    """FORMAT rule 5: up to 2^16 messages per process and derived field key."""
    used = salts_and_nonces(sealer(field_cipher()), SALT_EPOCH + 100)
    assert sorted(Counter(salt for salt, _ in used).values()) == [100, SALT_EPOCH]
    assert len(set(used)) == SALT_EPOCH + 100


@pytest.mark.parametrize("epoch", [1, 7, 500])
def test_threads_of_the_fast_face_never_share_a_nonce(epoch):
    """FORMAT rule 5: no nonce repeats under a salt, over all threads."""
    cipher, used = field_cipher(salt_epoch=epoch), []

    def write(face):
        used.extend(salts_and_nonces(face(cipher), 1500))

    faces = [sealer, sealer, sealer, SEALS["strict"]]
    threads = [threading.Thread(target=write, args=(face,)) for face in faces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(used) == len(set(used)) == 6000
    assert max(Counter(salt for salt, _ in used).values()) <= epoch


FORK = """
import os, sys
from sealing import field_cipher
from sqlalchemy_sealed.fast import sealer
from sqlalchemy_sealed.padding import Blocks

cipher = field_cipher(padding=Blocks())
faces = [sealer(cipher), cipher.seal]
for face in faces:
    for _ in range(5):
        face("x")
readers = []
for child in range(3):
    read, write = os.pipe()
    if os.fork() == 0:
        sealed = [face("x") for face in faces for _ in range(40)]
        os.write(write, "".join(e[24:48].hex() + " " for e in sealed).encode())
        os._exit(0)
    os.close(write)
    readers.append(read)
print(" ".join(e[24:48].hex() for e in [face("x") for face in faces for _ in range(40)]))
for read in readers:
    print(os.fdopen(read).read())
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
def test_a_forked_child_starts_a_salt_of_its_own():
    """FORMAT rule 5: the salt is reset after fork."""
    path = os.pathsep.join(sys.path)
    output = subprocess.run(
        [sys.executable, "-c", FORK],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    processes = [line.split() for line in output.stdout.splitlines()]
    assert [len(used) for used in processes] == [80] * 4
    salts = [{pair[:24] for pair in used} for used in processes]
    assert [len(each) for each in salts] == [1] * 4
    assert len(set.union(*salts)) == 4
    assert len({pair for used in processes for pair in used}) == 320


# Re-encryption


def test_the_fast_resealer_agrees_with_the_strict_one(cipher):
    keys = cipher._keys.keyring
    old = [cipher.seal(text) for text in TEXTS]
    keys.rotate()
    reseal, open_ = resealer(cipher), opener(cipher)
    for _ in range(2):
        new = [reseal(stored) for stored in old]
        assert [cipher.open(stored) for stored in new] == TEXTS
        assert {cipher.needs_reencryption(stored) for stored in new} == {False}
        assert [open_(stored) for stored in new] == TEXTS
        assert [reseal(stored) for stored in new] == [None] * len(new)


def test_resealed_values_have_their_own_nonces():
    """FORMAT rule 5: no nonce repeats, whoever writes."""
    cipher = field_cipher(salt_epoch=100)
    old = [cipher.seal("x") for _ in range(500)]
    cipher._keys.keyring.rotate()
    new = [resealer(cipher)(stored) for stored in old]
    used = [stored[24:48] for stored in new]
    assert len(set(used)) == 500
    assert max(Counter(pair[:12] for pair in used).values()) <= 100


def test_the_fast_resealer_refuses_what_the_strict_one_refuses(cipher):
    old = [cipher.seal("x") for _ in range(3)]
    cipher._keys.keyring.rotate()
    reseal = resealer(cipher)
    for stored in old:
        reseal(stored)
    tail = "AAAAAAAAA" if cipher.field.text else bytes(9)
    for bad in (old[0][:-9] + tail, old[0][:30], b"alice", "alice", None, 4):
        fast, strict = failure(reseal, bad), failure(cipher.reseal, bad)
        assert (type(fast), str(fast)) == (type(strict), str(strict))
        assert fast.__cause__ is fast.__context__ is None


@pytest.mark.parametrize("length", [23, 24, 35])
def test_a_value_cut_off_in_its_salt_is_not_current(length):
    """FORMAT shape: at least 24 bytes plus the suite's body minimum."""
    cipher = warm(field_cipher())
    stored = cipher.seal("x")[:length]
    assert type(failure(cipher.reseal, stored)) is MalformedEnvelopeError
    assert type(failure(resealer(cipher), stored)) is MalformedEnvelopeError


@pytest.mark.parametrize("length", [36, 47, 63])
def test_a_value_cut_off_behind_its_salt_is_not_current(length):
    """FORMAT shape: at least 24 bytes plus the suite's body minimum."""
    cipher = warm(field_cipher())
    stored = cipher.seal("x")[:length]
    assert type(failure(cipher.reseal, stored)) is MalformedEnvelopeError
    assert type(failure(resealer(cipher), stored)) is MalformedEnvelopeError


def declared_anew(old, new):
    """Return a value of a former padding and the resealer of the present one."""
    keys = keyring()
    stored = field_cipher(keys=keys, padding=old).seal("x")
    cipher = field_cipher(keys=keys, padding=new)
    other = cipher.seal("y")
    keys.rotate()
    reseal = resealer(cipher)
    reseal(other)
    reseal(stored)
    return cipher, stored, reseal


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Blocks(), Bucket(64)),
        (Blocks(), Padme()),
        (Bucket(100), Blocks()),
        (Bucket(128), Blocks()),
    ],
    ids=repr,
)
def test_a_resealed_value_is_padded_as_the_column_declares_now(old, new):
    """FORMAT rule 9: a change of the padding option becomes a re-encryption."""
    cipher, stored, reseal = declared_anew(old, new)
    assert len(reseal(stored)) == len(cipher.reseal(stored)) == len(cipher.seal("x"))


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        bytes(16),
        b"a",
        b"a" * 16,
        b"a\x80" + b"a" * 14,
    ],
    ids=repr,
)
def test_an_authentic_value_without_padding_is_not_resealed(plain):
    """FORMAT rule 6: the fast resealer refuses what reseal() refuses."""
    cipher = warm(field_cipher(padding=Blocks()))
    good, bad = cipher.seal("x"), unpadded(cipher, plain)
    cipher._keys.keyring.rotate()
    reseal = resealer(cipher)
    reseal(good)
    assert type(failure(cipher.reseal, bad)) is MalformedEnvelopeError
    assert type(failure(reseal, bad)) is MalformedEnvelopeError


def test_a_plaintext_is_not_sealed_by_the_resealer():
    """FORMAT rule 3: an error in a strict column, also while re-encrypting."""
    reseal = resealer(warm(field_cipher()))
    assert type(failure(reseal, b"alice@example.com" * 5)) is NotSealedError
