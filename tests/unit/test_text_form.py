"""The text form: one text per envelope."""

from __future__ import annotations

import string

import independent
import pytest
from sealing import NONCE, ROOT, field_cipher

from sqlalchemy_sealed.envelope import TEXT_PREFIX, from_text, to_text
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DecryptionError,
    MalformedEnvelopeError,
    NotSealedError,
)

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
FIXED = {"salt": b"\xfb" * 12, "nonce": NONCE}
ENVELOPE = independent.seal(ROOT, 7, "users.email", 1, b"alice", **FIXED)
#: Lengths 64 to 66: every remainder of three bytes.
ENVELOPES = [
    independent.seal(ROOT, 7, "users.email", 1, bytes(n), **FIXED) for n in range(3)
]


def test_the_prefix_is_four_characters():
    """FORMAT text form: `sld:` in front."""
    assert TEXT_PREFIX == "sld:"
    assert to_text(ENVELOPE).startswith("sld:")


@pytest.mark.parametrize("envelope", [*ENVELOPES, ENVELOPE, b"", b"\0", b"\xff\xff"])
def test_the_text_form_is_base64url_without_padding(envelope):
    """FORMAT text form: base64url of the envelope, no padding."""
    text = to_text(envelope)
    assert set(text[4:]) <= set(ALPHABET)
    assert text == independent.to_text(envelope)
    assert from_text(text) == envelope


def test_the_header_is_exactly_32_characters():
    """FORMAT text form: the first 36 characters can be compared in SQL."""
    texts = [to_text(e) for e in ENVELOPES]
    assert len({text[:36] for text in texts}) == 1
    assert from_text(texts[0][:36]) == ENVELOPES[0][:24]


@pytest.mark.parametrize("text", ["", "sld", "SLD:AAAA", " sld:AAAA", "AAAA", "\ufeff"])
def test_text_without_the_prefix_is_not_sealed(text):
    """FORMAT text form: `sld:`, in lower case, at the very start."""
    with pytest.raises(NotSealedError):
        from_text(text)


@pytest.mark.parametrize("value", [None, 4, b"sld:AAAA", ["sld:"]], ids=repr)
def test_what_is_no_text_is_not_sealed(value):
    with pytest.raises(NotSealedError):
        from_text(value)


@pytest.mark.parametrize("envelope", ENVELOPES, ids=["64", "65", "66"])
@pytest.mark.parametrize("padding", ["=", "==", "===", "===="])
def test_padding_is_refused(envelope, padding):
    """FORMAT text form: the decoder MUST be strict: no padding."""
    with pytest.raises(MalformedEnvelopeError):
        from_text(to_text(envelope) + padding)


@pytest.mark.parametrize("envelope", ENVELOPES, ids=["64", "65", "66"])
@pytest.mark.parametrize("character", [" ", "\n", "\r\n", "\t", "\0", "\u2009", "é"])
def test_white_space_and_foreign_characters_are_refused(envelope, character):
    """FORMAT text form: the decoder MUST be strict: the alphabet and nothing else."""
    text = to_text(envelope)
    for position in (4, 5, 36, len(text) - 1, len(text)):
        with pytest.raises(MalformedEnvelopeError):
            from_text(text[:position] + character + text[position:])


@pytest.mark.parametrize(("url", "plain"), ["-+", "_/"])
def test_the_characters_of_plain_base64_are_refused(url, plain):
    """FORMAT text form: the decoder MUST be strict: base64url, not base64."""
    assert from_text(f"sld:{url * 4}")
    with pytest.raises(MalformedEnvelopeError):
        from_text(f"sld:{plain * 4}")
    with pytest.raises(MalformedEnvelopeError):
        from_text(f"sld:{url * 3}{plain}")


@pytest.mark.parametrize("length", range(0, 9))
def test_a_length_that_no_bytes_have_is_refused(length):
    """FORMAT text form: the decoder MUST be strict: no length of 1 modulo 4."""
    text = "sld:" + "A" * length
    if length % 4 == 1:
        with pytest.raises(MalformedEnvelopeError):
            from_text(text)
    else:
        assert from_text(text) == bytes(length * 3 // 4)


@pytest.mark.parametrize(("length", "unused"), [(2, 4), (3, 2)])
def test_unused_low_bits_must_be_zero(length, unused):
    """FORMAT text form: the decoder MUST be strict: one text per envelope."""
    for number, last in enumerate(ALPHABET):
        text = "sld:" + "_" * (length - 1) + last
        if number % (1 << unused):
            with pytest.raises(MalformedEnvelopeError):
                from_text(text)
        else:
            assert to_text(from_text(text)) == text


def test_every_character_of_a_stored_text_matters():
    """FORMAT text form: one text per envelope."""
    cipher = field_cipher(text=True)
    stored = cipher.seal("a")
    for position, old in enumerate(stored):
        for new in "A_=+ ":
            if new != old:
                changed = stored[:position] + new + stored[position + 1 :]
                with pytest.raises(DecryptionError):
                    cipher.open(changed)


def test_every_truncation_of_a_stored_text_is_refused():
    """FORMAT text form: a length that decodes to a value of the binary shape."""
    cipher = field_cipher(text=True)
    stored = cipher.seal("alice@example.com")
    for length in range(len(stored)):
        with pytest.raises(
            (NotSealedError, MalformedEnvelopeError, AuthenticationError)
        ):
            cipher.open(stored[:length])


def test_a_text_column_stores_the_text_form_of_the_binary_envelope():
    """FORMAT text form: for character columns."""
    stored = field_cipher(text=True).seal("alice@example.com")
    assert independent.open_(ROOT, "users.email", independent.from_text(stored)) == (
        1,
        b"alice@example.com",
    )


def test_a_text_column_does_not_take_the_binary_form_nor_the_reverse():
    text, binary = field_cipher(text=True), field_cipher()
    with pytest.raises(NotSealedError):
        text.open(binary.seal("a"))
    with pytest.raises(NotSealedError):
        binary.open(text.seal("a"))
