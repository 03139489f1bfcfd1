"""The envelope: 24 header bytes and a body, parsed strictly."""

from __future__ import annotations

import independent
import pytest
from sealing import OTHER_ROOT, ROOT, field_cipher

from sqlalchemy_sealed.envelope import (
    BODY_MINIMUM,
    HEADER_LENGTH,
    KID_LENGTH,
    Envelope,
    Flag,
    Header,
    SuiteId,
    has_shape,
    to_text,
)
from sqlalchemy_sealed.errors import MalformedEnvelopeError, NotSealedError

KID = independent.kcv(ROOT)[:16]
HEADER = bytes.fromhex("f5110c0100000007d8bbf18be1b108535fc108f5cb4924ad")
SMALLEST = {0x11: 24 + 40, 0x12: 24 + 16, 0x15: 24 + 16 + 16 + 32}


def envelope(suite: int = 0x11, flags: int = 0, length: int | None = None) -> bytes:
    """Return bytes of the shape, by default as few as possible."""
    size = SMALLEST.get(suite, 64) if length is None else length
    head = bytes((0xF5, suite, flags)) + HEADER[3:]
    return head.ljust(size, b"\xaa")[:size]


def test_the_header_is_the_draft_vectors():
    """FORMAT envelope: offsets and lengths of the 24 header bytes."""
    header = Header(SuiteId.XAES_256_GCM, Flag(0x0C), 1, 7, KID)
    assert bytes(header) == HEADER
    assert Header.parse(HEADER) == header


def test_the_header_has_24_bytes_and_the_kid_16():
    """FORMAT envelope: HEADER, 24 bytes; kid, 16 bytes at offset 8."""
    assert HEADER_LENGTH == 24
    assert KID_LENGTH == 16
    assert Header.parse(HEADER).kid == HEADER[8:]


def test_the_version_is_an_unsigned_big_endian_integer():
    """FORMAT envelope: key version, uint32 big-endian."""
    header = Header(SuiteId.AES_256_SIV, Flag(0), 2, 0xFFEEDDCC, KID)
    assert bytes(header)[4:8] == bytes.fromhex("ffeeddcc")
    assert Header.parse(bytes(header)).version == 0xFFEEDDCC


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PADDED", 1),
        ("COMPRESSED", 2),
        ("ROW_BOUND", 4),
        ("TENANT_SCOPED", 8),
        ("APPLICATION_CONTEXT", 16),
    ],
)
def test_the_flags_have_the_bits_of_the_format(name, value):
    """FORMAT envelope: bit0 padded ... bit4 application context."""
    assert Flag[name].value == value
    assert len(Flag.__members__) == 5


def test_every_combination_of_defined_flags_parses():
    for flags in range(32):
        assert Header.parse(envelope(flags=flags)).flags == flags


@pytest.mark.parametrize("bit", [5, 6, 7])
@pytest.mark.parametrize("others", [0, 0x1F])
def test_reserved_flag_bits_are_refused(bit, others):
    """FORMAT envelope: bits 5-7 MUST be 0."""
    with pytest.raises(MalformedEnvelopeError, match="reserved flag bits"):
        Envelope.parse(envelope(flags=others | 1 << bit))


def test_a_suite_that_is_not_of_this_version_is_refused():
    """FORMAT envelope: the high nibble of the suite is the format version, 1."""
    for suite in set(range(256)) - set(SMALLEST):
        with pytest.raises(MalformedEnvelopeError, match=f"{suite:#04x}"):
            Envelope.parse(envelope(suite))


def test_a_value_without_the_sentinel_is_no_envelope():
    """FORMAT envelope: 0xF5 sentinel."""
    for first in set(range(256)) - {0xF5}:
        with pytest.raises(NotSealedError):
            Envelope.parse(bytes((first,)) + envelope()[1:])


def test_the_sentinel_never_occurs_in_utf_8():
    """FORMAT envelope: legacy text stored as bytes never starts with 0xF5."""
    leading = {
        chr(point).encode()[0]
        for point in range(0, 0x110000, 64)
        if not 0xD800 <= point < 0xE000
    }
    assert 0xF5 not in leading
    assert max(leading) == 0xF4


@pytest.mark.parametrize("suite", SMALLEST, ids=hex)
def test_the_smallest_envelope_parses(suite):
    """FORMAT shape: at least 24 bytes plus the suite's body minimum."""
    parsed = Envelope.parse(envelope(suite))
    assert len(parsed.body) == BODY_MINIMUM[SuiteId(suite)] == SMALLEST[suite] - 24


@pytest.mark.parametrize("suite", SMALLEST, ids=hex)
def test_every_shorter_envelope_is_truncated(suite):
    """FORMAT shape: at least 24 bytes plus the suite's body minimum."""
    for length in range(1, SMALLEST[suite]):
        with pytest.raises(MalformedEnvelopeError):
            Envelope.parse(envelope(suite, length=length))


def test_no_bytes_at_all_are_no_envelope():
    with pytest.raises(NotSealedError):
        Envelope.parse(b"")


@pytest.mark.parametrize("suite", SMALLEST, ids=hex)
def test_serialising_what_was_parsed_gives_the_same_bytes(suite):
    data = envelope(suite, flags=0x1F, length=200)
    assert bytes(Envelope.parse(data)) == data


def test_a_parsed_envelope_holds_no_view_of_the_callers_buffer():
    buffer = bytearray(envelope())
    parsed = Envelope.parse(buffer)
    buffer[:] = bytes(len(buffer))
    assert bytes(parsed) == envelope()


@pytest.mark.parametrize("codec", [0, 1, 16, 0x80, 0xFF], ids=hex)
def test_the_parser_leaves_the_codec_byte_to_the_column(codec):
    """FORMAT envelope: 0x80 and up are user-registered codecs."""
    data = bytearray(envelope())
    data[3] = codec
    assert Header.parse(data).codec == codec


@pytest.mark.parametrize("suite", SMALLEST, ids=hex)
def test_a_sealed_value_has_the_shape(suite):
    """FORMAT shape: binary and text."""
    for kind in (bytes, bytearray, memoryview):
        assert has_shape(kind(envelope(suite)))
    assert has_shape(to_text(envelope(suite)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xf5",
        envelope()[:-1],
        envelope(0x12)[:-1],
        envelope(0x15)[:-1],
        envelope(0x00),
        envelope(0x13),
        envelope(0x21),
        envelope(flags=0x20),
        envelope(flags=0x80),
        b"\xf4" + envelope()[1:],
        None,
        245,
        ["\xf5"] * 64,
    ],
    ids=repr,
)
def test_what_misses_one_part_of_the_shape_has_no_shape(data):
    """FORMAT shape: length, 0xF5, a known suite, flags with bits 5-7 zero."""
    assert not has_shape(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sld:",
        "alice@example.com",
        to_text(envelope())[4:],
        "SLD:" + to_text(envelope())[4:],
        to_text(envelope()) + "=",
        to_text(envelope()) + "\n",
        to_text(envelope())[:-1],
        to_text(envelope()[:-1]),
        to_text(b"\xf4" + envelope()[1:]),
    ],
    ids=repr,
)
def test_text_that_decodes_to_no_envelope_has_no_shape(text):
    """FORMAT shape: `sld:`, the alphabet, a length that decodes to the binary shape."""
    assert not has_shape(text)


@pytest.mark.parametrize("suite", SMALLEST, ids=hex)
def test_the_shape_is_what_the_parser_accepts(suite):
    """FORMAT shape: the parser and the shape never disagree."""
    for length in range(100):
        data = envelope(suite, length=length)
        try:
            parsed = bool(Envelope.parse(data))
        except (NotSealedError, MalformedEnvelopeError):
            parsed = False
        assert has_shape(data) is parsed


def test_the_overhead_of_the_suites_is_the_one_that_is_documented():
    """FORMAT envelope: 64 bytes for 0x11, 40 for 0x12, 73 to 88 for 0x15."""
    assert len(field_cipher().seal("")) == 64
    assert len(field_cipher(suite=SuiteId.AES_256_SIV).seal("")) == 40
    cbc = field_cipher(suite=SuiteId.A256CBC_HS512)
    assert [len(cbc.seal("x" * n)) - n for n in (0, 1, 15, 16)] == [88, 87, 73, 88]


def test_two_root_keys_of_one_version_have_different_headers():
    """FORMAT envelope: the version is never used alone to choose a key."""
    first = independent.header(0x11, 0, 1, 7, independent.kcv(ROOT)[:16])
    second = independent.header(0x11, 0, 1, 7, independent.kcv(OTHER_ROOT)[:16])
    assert Header.parse(first).version == Header.parse(second).version
    assert Header.parse(first) != Header.parse(second)
