"""Normalisers: what counts as equal, and that it is the same on every Python."""

from __future__ import annotations

import hashlib

import pytest

from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.normalize import NORMALIZERS, Normalizer, normalizer_of

#: Of every code point, written once. A difference means that index terms stored by
#: another Python are not found any more: add a version, never change this.
FROZEN = {
    "lower": "fc1e38436f8bfc8c255f08ef4ffbfa6445685c8bb06dcf53b41648ec2693581f",
    "casefold": "e3719130933d69db33123e95c47b4b00765944f58253c699474058b02fdd8250",
    "email": "78c0dba7acd0be496f91e66d703b223d87d95614d34dba19d79905b8d174d94b",
    "digits": "f4f962e71e2c9e92e20bb42eb4bbadb3a2502575de835641fe9a778be8499a48",
    "last4": "edd69549108f680616e77f77779a57f59b579f8a5ecd226cf9ee2523e36fb7c5",
}


def fingerprint(normalize) -> str:
    found = hashlib.sha256()
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            # Twice in a row, and after a letter: some mappings look at neighbours.
            text = f"{chr(code)}12{chr(code)}a{chr(code)}3"
            found.update(f"{code}:{normalize(text)};".encode())
    return found.hexdigest()


@pytest.mark.parametrize("name", FROZEN)
def test_a_normaliser_never_changes(name):
    assert NORMALIZERS[name].version == 1
    assert fingerprint(NORMALIZERS[name].function) == FROZEN[name]


def test_every_normaliser_is_pinned():
    assert set(FROZEN) == set(NORMALIZERS)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("lower", "Ada LOVELACE", "ada lovelace"),
        ("lower", "STRASSE", "strasse"),
        ("lower", "E\u0301cole", "\u00e9cole"),
        ("casefold", "Stra\u00dfe", "strasse"),
        ("casefold", "\u00c9COLE", "\u00e9cole"),
        ("email", "  Ada@Example.ORG\n", "ada@example.org"),
        ("email", " \t", ""),
        ("digits", "+49 (30) 123-45", "493012345"),
        ("digits", "\u0663\uff14", "34"),
        ("digits", "none", ""),
        ("last4", "4111 1111 1111 1234", "1234"),
        ("last4", "12-3", "123"),
        ("last4", "", ""),
    ],
)
def test_normalised_text(name, text, expected):
    assert NORMALIZERS[name].function(text) == expected


@pytest.mark.parametrize("name", ["lower", "casefold", "email", "digits", "last4"])
def test_normalising_twice_changes_nothing(name):
    function = NORMALIZERS[name].function
    for text in ("A\u0301da", "\u0130stanbul", "1 2 3 4 5", "\u1e9e", "x@Y.z"):
        once = function(text)
        assert function(once) == once


def test_a_normaliser_of_ones_own():
    own = Normalizer("initial", 2, lambda text: text[:1] or None)
    assert normalizer_of(own) is own
    assert repr(own) == "Normalizer('initial', 2)"
    assert normalizer_of(None) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: normalizer_of("upper"),
        lambda: Normalizer("", 1, str),
        lambda: Normalizer("\u00e9", 1, str),
        lambda: Normalizer("x" * 65, 1, str),
        lambda: Normalizer("x", 0, str),
    ],
)
def test_what_is_no_normaliser_is_refused(make):
    with pytest.raises(DeclarationError, match="normalis"):
        make()
