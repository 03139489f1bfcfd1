"""What a value is bound to: TLV, the scope of its key, its row."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from decimal import Decimal

import independent
import pytest
from sealing import SECRET, failure, says

from sqlalchemy_sealed.associated import ROW_ID_KINDS, row_context, row_id, scope
from sqlalchemy_sealed.errors import EncodingError
from sqlalchemy_sealed.tlv import TAGS, decode_items, encode_items

UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


# TLV


def test_an_item_is_tag_length_and_value():
    """FORMAT associated data: tag(1) length(4, big-endian) value."""
    assert encode_items([(1, b"ab"), (5, b"")]).hex() == "010000000261620500000000"


def test_every_tag_of_the_format_is_known():
    """FORMAT keys and associated data: tags 0x01 to 0x07."""
    assert sorted(TAGS) == [1, 2, 3, 4, 5, 6, 7]
    items = [(tag, bytes((tag,)) * tag) for tag in TAGS]
    assert decode_items(encode_items(items)) == items


@pytest.mark.parametrize("tag", [0, 8, 0x7F, 0xFF])
def test_an_unknown_tag_is_an_error(tag):
    """FORMAT associated data: an unknown tag is an error."""
    with pytest.raises(ValueError, match="unknown TLV tag"):
        encode_items([(tag, b"")])
    with pytest.raises(ValueError, match="unknown TLV tag"):
        decode_items(bytes((tag, 0, 0, 0, 0)))


@pytest.mark.parametrize(("first", "second"), list(itertools.product(TAGS, TAGS)))
def test_tags_strictly_increase(first, second):
    """FORMAT associated data: tags strictly increase."""
    items = [(first, b"a"), (second, b"b")]
    data = bytes((first, 0, 0, 0, 1, 97, second, 0, 0, 0, 1, 98))
    if first < second:
        assert decode_items(data) == items
        return
    with pytest.raises(ValueError, match="does not follow"):
        encode_items(items)
    with pytest.raises(ValueError, match="does not follow"):
        decode_items(data)


def test_every_truncation_is_refused():
    """FORMAT associated data: length(4) and as many bytes."""
    data = encode_items([(1, b"abc"), (2, b"")])
    whole = {0, 8, 13}
    for length in set(range(len(data))) - whole:
        with pytest.raises(ValueError, match="truncated"):
            decode_items(data[:length])


def test_a_length_beyond_the_end_is_refused():
    with pytest.raises(ValueError, match="truncated"):
        decode_items(b"\x01\xff\xff\xff\xffabc")


def test_no_items_are_no_bytes():
    assert encode_items([]) == b""
    assert decode_items(b"") == []


# SCOPE


@pytest.mark.parametrize("tenant", [None, "", "acme", "42", str(UUID), "é"])
@pytest.mark.parametrize("field", ["users.email", "a", "café.naïve"])
def test_a_scope_is_the_field_id_and_the_tenant_id(field, tenant):
    """FORMAT keys: SCOPE = TLV(0x01 field id, [0x02 tenant id])."""
    items = [(1, field.encode())]
    items += [] if tenant is None else [(2, tenant.encode())]
    assert decode_items(scope(field, tenant)) == items
    assert scope(field, tenant) == independent.scope(field, tenant)


def test_scopes_of_shifted_names_differ():
    """FORMAT keys: SCOPE is injective."""
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("abc", None), ("a", "b")]
    assert len({scope(*pair) for pair in pairs}) == len(pairs)


# ROWCTX


def test_the_row_context_is_the_draft_vectors():
    """FORMAT draft vector: ROWCTX of pk 42."""
    assert row_context(row_id([("i", 42)])).hex() == "03000000080169000000023432"


def test_a_value_that_is_bound_to_no_row_has_an_empty_context():
    """FORMAT associated data: empty when the value is not bound to its row."""
    assert row_context() == b"" == independent.rowctx(None, None)


@pytest.mark.parametrize("application", [None, b"", b"purpose=billing"])
def test_the_row_context_is_the_row_id_and_the_application_context(application):
    """FORMAT associated data: ROWCTX = TLV(0x03 row id, [0x05 context])."""
    row = row_id([("s", "a")])
    assert row_context(row, application) == independent.rowctx(row, application)
    items = [(3, row)] + ([] if application is None else [(5, application)])
    assert decode_items(row_context(row, application)) == items


def test_an_application_context_without_a_row_is_refused():
    """FORMAT associated data: ROWCTX is empty when not bound, so nothing is lost."""
    with pytest.raises(ValueError, match="needs a row id"):
        row_context(None, b"purpose")


# Row ids


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        ("i", 42, b"42"),
        ("i", -1, b"-1"),
        ("i", 0, b"0"),
        ("i", 2**64, b"18446744073709551616"),
        ("s", "café", b"caf\xc3\xa9"),
        ("s", "", b""),
        ("s", "42 ", b"42 "),
        ("b", b"\x00\xff", b"\x00\xff"),
        ("b", bytearray(b"a"), b"a"),
        ("u", UUID, UUID.bytes),
        ("u", str(UUID), UUID.bytes),
        ("u", UUID.hex.upper(), UUID.bytes),
        ("u", UUID.bytes, UUID.bytes),
        ("d", dt.date(2026, 11, 23), b"2026-11-23"),
        ("d", dt.date(1, 1, 1), b"0001-01-01"),
        ("t", dt.datetime(1970, 1, 1), bytes(8)),
        ("t", dt.datetime(1970, 1, 1, 1, tzinfo=dt.UTC), (3600 * 10**6).to_bytes(8)),
        ("t", dt.datetime(1969, 12, 31, 23, 59, 59, 999999), b"\xff" * 8),
        ("n", Decimal("1.50"), b"1.5"),
        ("n", Decimal("-0.00"), b"0"),
        ("n", Decimal("1E+3"), b"1000"),
        ("n", Decimal("100"), b"100"),
        ("n", 7, b"7"),
        ("n", "2.50", b"2.5"),
    ],
    ids=lambda x: repr(x)[:24],
)
def test_a_key_column_is_type_length_and_bytes(kind, value, data):
    """FORMAT associated data: type(1) length(4) bytes per key column."""
    expected = b"\x01" + kind.encode() + len(data).to_bytes(4) + data
    assert row_id([(kind, value)]) == expected == independent.row_id([(kind, data)])


def test_a_key_of_bytes_may_come_as_a_view():
    assert row_id([("b", memoryview(b"a"))]) == row_id([("b", b"a")])


def test_one_instant_has_one_row_id_in_every_zone():
    """FORMAT associated data: `t` int64 microseconds UTC."""
    here = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    there = here.astimezone(dt.timezone(dt.timedelta(hours=-7)))
    assert row_id([("t", here)]) == row_id([("t", there)])


@pytest.mark.parametrize("kind", ROW_ID_KINDS)
@pytest.mark.parametrize("value", [True, False, 1.0, float("nan"), None], ids=repr)
def test_bool_float_and_null_are_refused(kind, value):
    """FORMAT associated data: bool, float and NULL MUST be refused."""
    with pytest.raises(EncodingError, match="cannot hold a (bool|float|NoneType)"):
        row_id([("i", 1), (kind, value)])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("i", SECRET),
        ("i", Decimal(1)),
        ("s", 42),
        ("s", SECRET.encode()),
        ("s", SECRET + "\ud800"),
        ("b", SECRET),
        ("u", SECRET),
        ("u", 42),
        ("u", b"short"),
        ("d", dt.datetime(2026, 1, 1)),
        ("d", "2026-01-01"),
        ("t", dt.date(2026, 1, 1)),
        ("t", "2026-01-01"),
        ("n", SECRET),
        ("n", Decimal("NaN")),
        ("n", Decimal("Infinity")),
    ],
    ids=repr,
)
def test_a_value_of_another_kind_is_refused_and_not_shown(kind, value):
    """FORMAT associated data: type and bytes follow from the declared SQL type."""
    error = failure(row_id, [(kind, value)])
    assert type(error) is EncodingError
    assert error.__cause__ is error.__context__ is None
    assert SECRET not in says(error)


def test_a_time_is_no_date():
    """FORMAT associated data: `d` ISO date."""
    with pytest.raises(EncodingError):
        row_id([("d", dt.time(12))])


@pytest.mark.parametrize("columns", [[("z", 1)], [("i", 1)] * 256], ids=["z", "256"])
def test_key_columns_that_the_format_cannot_say_are_our_error(columns):
    """FORMAT associated data: count(1), then a letter of i s b u d t n."""
    with pytest.raises(EncodingError):
        row_id(columns)


def test_a_key_of_255_columns_has_an_id():
    """FORMAT associated data: count(1)."""
    assert row_id([("i", 1)] * 255)[:7] == b"\xffi\0\0\0\x011"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("s", "a"), ("s", "bc")], [("s", "ab"), ("s", "c")]),
        ([("i", 42)], [("s", "42")]),
        ([("s", "a")], [("b", b"a")]),
        ([("i", 1), ("i", 2)], [("i", 12)]),
        ([("i", 1), ("i", 2)], [("i", 2), ("i", 1)]),
    ],
)
def test_two_rows_never_share_an_id(one, other):
    """FORMAT associated data: count and lengths make the row id injective."""
    assert row_id(one) != row_id(other)
