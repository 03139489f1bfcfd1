"""Length hiding: ISO/IEC 7816-4, and how many bytes each option adds."""

from __future__ import annotations

import independent
import pytest
import sqlalchemy as sa
from sealing import ROOT, failure, field_cipher

from sqlalchemy_sealed.codec.scalar import BytesCodec
from sqlalchemy_sealed.envelope import Envelope, Flag
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationError,
    MalformedEnvelopeError,
)
from sqlalchemy_sealed.padding import Blocks, Bucket, Padme, unpad
from sqlalchemy_sealed.types import EncryptedType

OPTIONS = [Blocks(), Bucket(1), Bucket(7), Bucket(32), Bucket(65536), Padme()]


@pytest.mark.parametrize("padding", OPTIONS, ids=repr)
@pytest.mark.parametrize(
    "data",
    [b"", b"a", b"a" * 15, b"a" * 16, b"a" * 17, b"\0", b"a\0\0", b"\x80", b"\x80\0"],
)
def test_what_was_padded_is_unpadded(padding, data):
    """FORMAT rule 6: ISO 7816-4, whatever the data ends with."""
    assert unpad(padding.pad(data)) == data


@pytest.mark.parametrize("padding", OPTIONS, ids=repr)
def test_padding_is_a_mark_and_zeros_up_to_the_length(padding):
    """FORMAT rule 6: ISO 7816-4, at least one byte."""
    for length in range(70):
        padded = padding.pad(b"a" * length)
        assert len(padded) == padding.padded_length(length) > length
        assert padded[length:] == b"\x80".ljust(len(padded) - length, b"\0")


@pytest.mark.parametrize(
    ("length", "padded"),
    [(0, 16), (1, 16), (15, 16), (16, 32), (17, 32), (31, 32), (32, 48)],
)
def test_the_default_is_blocks_of_16_bytes(length, padded):
    """FORMAT rule 6: 16-byte blocks as in the table."""
    assert Blocks().padded_length(length) == padded
    assert Blocks().pad(bytes(length)) == independent.pad(bytes(length))


@pytest.mark.parametrize("size", [1, 5, 16, 64, 65536])
def test_a_bucket_is_a_multiple_of_its_size(size):
    """FORMAT rule 6: `Bucket(n)`."""
    for length in (0, 1, size - 1, size, size + 1, 3 * size):
        padded = Bucket(size).padded_length(length)
        assert padded % size == 0
        assert length < padded <= length + size


@pytest.mark.parametrize("size", [0, -1, 65537])
def test_a_bucket_of_an_impossible_size_is_refused(size):
    with pytest.raises(DeclarationError, match="1 to 65536"):
        Bucket(size)


def test_blocks_of_another_size_are_refused():
    with pytest.raises(DeclarationError, match="use Bucket"):
        Blocks(32)


@pytest.mark.parametrize(
    ("length", "padded"),
    # Algorithm 1 of the PURBs paper, worked out by hand for length + 1.
    [
        (0, 1),
        (1, 2),
        (7, 8),
        (8, 10),
        (9, 10),
        (20, 22),
        (32, 36),
        (63, 64),
        (999, 1024),
    ],
)
def test_padme_gives_the_lengths_of_the_paper(length, padded):
    """FORMAT rule 6: `Padme()`."""
    assert Padme().padded_length(length) == padded


def test_padme_costs_at_most_twelve_percent_and_never_goes_down():
    """FORMAT rule 6: `Padme()`, at most 12 % longer than the data and its mark."""
    lengths = [Padme().padded_length(n) for n in range(5000)]
    assert lengths == sorted(lengths)
    assert all(
        n + 1 <= padded <= (n + 1) * 1.12 + 1 for n, padded in enumerate(lengths)
    )


@pytest.mark.parametrize(
    "data", [b"", b"\0", bytes(16), b"a", b"a\0", b"\x80a", b"\x81\0"]
)
def test_bytes_without_the_mark_are_not_padded(data):
    """FORMAT rule 6: ISO 7816-4."""
    with pytest.raises(ValueError, match="7816"):
        unpad(data)


def test_only_zeros_may_stand_behind_the_mark():
    """FORMAT rule 6: 0x80 and zeros."""
    for byte in set(range(256)) - {0, 0x80}:
        with pytest.raises(ValueError):
            unpad(b"a\x80" + bytes((byte, 0)))


def test_only_one_mark_is_taken_off():
    assert unpad(b"a\x80\x80\0\0") == b"a\x80"


@pytest.mark.parametrize("padding", OPTIONS[:-2] + [Padme()], ids=repr)
def test_a_padded_column_says_so_in_the_header_and_hides_the_length(padding):
    """FORMAT envelope: flag bit0 padded; rule 6."""
    cipher = field_cipher(padding=padding)
    stored = cipher.seal("alice")
    assert Envelope.parse(stored).header.flags == Flag.PADDED
    assert len(stored) == 64 + padding.padded_length(5)
    assert independent.open_(ROOT, "users.email", stored) == (1, b"alice")


@pytest.mark.parametrize(
    "inner", [sa.String, sa.Numeric(9, 2), sa.Enum("a", "b")], ids=str
)
def test_a_deterministic_column_has_the_padding_of_the_table(inner):
    """FORMAT rule 7: the padding of the table for ever."""
    options = {"suite": "deterministic", "accept_leakage": "a test", "context": "a.b"}
    field = EncryptedType(inner, **options).field()
    assert field.padding == Blocks()
    for padding in (None, Bucket(16), Padme()):
        with pytest.raises(DeclarationError, match="padding="):
            EncryptedType(inner, **options, padding=padding)


@pytest.mark.parametrize("inner", [sa.JSON, sa.ARRAY(sa.String)], ids=str)
def test_json_and_arrays_are_never_deterministic(inner):
    """FORMAT rule 7: no JSON, no array."""
    with pytest.raises(DeclarationError, match="more than one byte form"):
        EncryptedType(inner, suite="deterministic")


def test_a_column_without_padding_shows_the_length():
    """FORMAT rule 6: `None` is an option of randomised suites."""
    stored = field_cipher(BytesCodec()).seal(b"alice")
    assert Envelope.parse(stored).header.flags == Flag(0)
    assert len(stored) == 64 + 5


def test_unpadding_happens_after_authentication():
    """FORMAT rule 6: an altered padding is an authentication error, no other."""
    cipher = field_cipher(padding=Blocks())
    stored = bytearray(cipher.seal("alice"))
    stored[-17] ^= 0x80
    assert type(failure(cipher.open, bytes(stored))) is AuthenticationError


def test_authentic_bytes_without_padding_are_malformed():
    plain = independent.header(0x11, 1, 1, 7, independent.kcv(ROOT)[:16])
    cipher = field_cipher(padding=Blocks())
    sealed = cipher._keys.active().cipher.seal(b"a", plain)
    error = failure(cipher.open, plain + sealed)
    assert type(error) is MalformedEnvelopeError
    assert "authentic, but not padded" in str(error)


def test_values_of_one_block_are_equally_long():
    """FORMAT rule 6: the leak is the number of blocks."""
    cipher = field_cipher(padding=Blocks())
    assert len({len(cipher.seal("x" * n)) for n in range(16)}) == 1
    assert len(cipher.seal("x" * 16)) > len(cipher.seal("x" * 15))
