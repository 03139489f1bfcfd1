"""The codecs: what vectors/codec.json cannot say as data."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sealing import SECRET, failure, field_cipher, says

from sqlalchemy_sealed.codec.moment import (
    DateCodec,
    DatetimeCodec,
    IntervalCodec,
    TimeCodec,
)
from sqlalchemy_sealed.codec.number import (
    BigintCodec,
    DecimalCodec,
    Float64Codec,
    Int64Codec,
)
from sqlalchemy_sealed.codec.scalar import (
    BoolCodec,
    BytesCodec,
    EnumCodec,
    Utf8Codec,
    UuidCodec,
)
from sqlalchemy_sealed.codec.structure import ArrayCodec, JsonCodec
from sqlalchemy_sealed.errors import EncodingError, MalformedEnvelopeError

CODECS = {
    1: Utf8Codec(),
    2: BytesCodec(),
    3: Int64Codec(),
    4: BigintCodec(),
    5: BoolCodec(),
    6: DecimalCodec(),
    7: DateCodec(),
    8: DatetimeCodec(),
    9: UuidCodec(),
    10: JsonCodec(),
    11: Float64Codec(),
    12: EnumCodec((("red", "red"),)),
    13: TimeCodec(),
    14: IntervalCodec(),
    15: ArrayCodec(Int64Codec()),
}
ROW = list(CODECS.items())
NAMES = [type(codec).__name__ for codec in CODECS.values()]
EAST = dt.timezone(dt.timedelta(hours=5))
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Color(enum.Enum):
    """An enumeration with an alias and values that are no text."""

    RED = 1
    GREEN = None
    CRIMSON = 1


class Swapped(str, enum.Enum):
    """Each member's value is the other one's name."""

    A = "B"
    B = "A"


def enum_codec(kind: type[enum.Enum]) -> EnumCodec:
    return EnumCodec(tuple((member.name, member) for member in kind))


# The table


@pytest.mark.parametrize(("number", "codec"), ROW, ids=NAMES)
def test_a_codec_has_its_number(number, codec):
    """FORMAT codecs: the id column of the table."""
    assert codec.id == number


@pytest.mark.parametrize(("number", "codec"), ROW, ids=NAMES)
def test_a_codec_is_padded_by_default_as_the_table_says(number, codec):
    """FORMAT codecs: the column "padded by default"; rule 6."""
    assert codec.padded is (number in {1, 4, 6, 10, 12, 15})


@pytest.mark.parametrize(("number", "codec"), ROW, ids=NAMES)
def test_a_codec_says_whether_it_may_be_deterministic(number, codec):
    """FORMAT rule 7: no JSON, no array."""
    assert codec.deterministic is (number not in {10, 15})


@pytest.mark.parametrize(("number", "codec"), ROW, ids=NAMES)
def test_a_codec_is_an_immutable_value(number, codec):
    same = type(codec)(**vars(codec))
    assert (codec, hash(codec)) == (same, hash(same))
    with pytest.raises(AttributeError):
        codec.id = number


# What is refused, and how


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (Utf8Codec(), SECRET.encode()),
        (Utf8Codec(), 4111),
        (BytesCodec(), SECRET),
        (BytesCodec(), [1, 2]),
        (Int64Codec(), 1.0),
        (Int64Codec(), "41110000"),
        (Int64Codec(), Decimal(1)),
        (BigintCodec(), 1.5),
        (BigintCodec(), "41110000"),
        (BoolCodec(), 2),
        (BoolCodec(), "true"),
        (BoolCodec(), None),
        (BoolCodec(), []),
        (DecimalCodec(), SECRET),
        (DecimalCodec(), None),
        (DecimalCodec(), float("nan")),
        (DecimalCodec(), float("inf")),
        (DateCodec(), dt.datetime(2026, 1, 1, 12)),
        (DateCodec(), "2026-01-01"),
        (DatetimeCodec(), dt.date(2026, 1, 1)),
        (DatetimeCodec(), "2026-01-01T00:00:00"),
        (DatetimeCodec(aware=True), dt.date(2026, 1, 1)),
        (UuidCodec(), str(UUID)),
        (UuidCodec(as_text=True), SECRET),
        (UuidCodec(as_text=True), 5),
        (JsonCodec(), float("nan")),
        (JsonCodec(), {"a": [float("inf")]}),
        (JsonCodec(), {SECRET}),
        (JsonCodec(), {b"a": 1}),
        (Float64Codec(), "41110000"),
        (Float64Codec(), None),
        (enum_codec(Color), 1),
        (enum_codec(Color), "crimson"),
        (enum_codec(Color), Swapped.A),
        (TimeCodec(), "12:00:00"),
        (TimeCodec(), dt.time(12, tzinfo=dt.UTC)),
        (IntervalCodec(), 4111),
        (IntervalCodec(), "41110000"),
        (ArrayCodec(), SECRET),
        (ArrayCodec(), {SECRET: 1}),
        (ArrayCodec(Int64Codec()), [1, [2]]),
        (ArrayCodec(Int64Codec()), ["41110000"]),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_a_value_of_another_kind_is_refused_and_not_shown(codec, value):
    """FORMAT codecs: one SQL type maps to one codec; the error never holds a value."""
    error = failure(field_cipher(codec).seal, value)
    assert type(error) is EncodingError
    assert error.__cause__ is error.__context__ is None
    assert SECRET not in says(error)
    assert "4111" not in says(error)


@pytest.mark.parametrize(
    ("codec", "value", "name"),
    [
        (Utf8Codec(), 5, "a Python int does not fit the declared Utf8 value"),
        (DecimalCodec(scale=2), Decimal("0.001"), "Python Decimal .* 2 decimal places"),
        (DatetimeCodec(aware=True), dt.datetime(2026, 1, 1), "tzinfo=datetime.UTC"),
        (DatetimeCodec(), dt.datetime(2026, 1, 1, tzinfo=EAST), "timezone=True"),
        (DateCodec(), dt.datetime(2026, 1, 1), "call .date\\(\\) first"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_refusal_says_what_does_not_fit_and_what_to_do(codec, value, name):
    with pytest.raises(EncodingError, match=f"^users.email: .*{name}"):
        field_cipher(codec).seal(value)


# Text and bytes


def test_composed_and_decomposed_text_stay_different():
    """FORMAT codecs: UTF-8 as given, no normalisation."""
    assert Utf8Codec().encode("caf\xe9") != Utf8Codec().encode("cafe\u0301")


def test_a_lone_surrogate_does_not_escape_inside_an_error():
    """FORMAT codecs: lone surrogates are refused."""
    error = failure(field_cipher().seal, SECRET + "\ud800")
    assert error.__context__ is None
    assert SECRET not in says(error)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview], ids=lambda k: k.__name__
)
def test_every_kind_of_bytes_comes_back_as_bytes(kind):
    cipher = field_cipher(BytesCodec())
    assert cipher.open(cipher.seal(kind(b"\x00\x80"))) == b"\x00\x80"


def test_a_buffer_that_changes_afterwards_does_not_change_what_was_encoded():
    buffer = bytearray(b"before")
    encoded = BytesCodec().encode(buffer)
    buffer[:] = b"after!"
    assert encoded == b"before"


# Numbers


@pytest.mark.parametrize("value", [-(2**63), -1, 0, 1, 2**63 - 1])
def test_an_int64_has_always_eight_bytes(value):
    """FORMAT codecs: two's complement, 8 bytes big-endian."""
    encoded = Int64Codec().encode(value)
    assert encoded == (value % 2**64).to_bytes(8, "big")
    assert Int64Codec().decode(encoded) == value


@pytest.mark.parametrize("value", [-(2**63) - 1, 2**63])
def test_an_int64_out_of_range_is_refused(value):
    """FORMAT codecs: out of range is refused."""
    with pytest.raises(EncodingError):
        field_cipher(Int64Codec()).seal(value)


@pytest.mark.parametrize("value", [0, 1, 255, 256, -255, -256, 2**64, -(2**200)])
def test_a_bigint_is_minimal(value):
    """FORMAT codecs: sign byte, magnitude big-endian, minimal."""
    encoded = BigintCodec().encode(value)
    assert len(encoded) == 1 + (abs(value).bit_length() + 7) // 8
    assert encoded[0] == (value < 0)
    assert BigintCodec().decode(encoded) == value


@pytest.mark.parametrize(
    ("scale", "value", "text"),
    [
        (None, Decimal("1.500"), b"1.5"),
        (None, Decimal("-0.00"), b"0"),
        (None, Decimal("1E+3"), b"1000"),
        (None, 3, b"3"),
        (None, 0.1, b"0.1"),
        (2, Decimal("1.5"), b"1.50"),
        (2, Decimal("-0"), b"0.00"),
        (0, Decimal("2.0"), b"2"),
    ],
)
def test_a_decimal_is_quantised_to_the_declared_scale(scale, value, text):
    """FORMAT codecs: the declared scale, or no trailing zeros; -0 is 0."""
    assert DecimalCodec(scale=scale).encode(value) == text


def test_the_users_decimal_context_does_not_change_the_bytes():
    """FORMAT codecs: losing digits is refused, never done by the context."""
    number = Decimal("12345678901234567890.0123456789")
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        encoded = DecimalCodec().encode(number)
        assert DecimalCodec().decode(encoded) == Decimal(str(number))
    assert encoded == str(number).encode()


@pytest.mark.parametrize("exponent", [200_001, 10**9, -200_001, -(10**9)])
def test_a_decimal_of_an_absurd_exponent_is_refused_before_it_is_written_out(exponent):
    with pytest.raises(EncodingError, match="200000 digits"):
        DecimalCodec().encode(
            Decimal(1).scaleb(
                exponent, decimal.Context(Emax=10**9 + 9, Emin=-(10**9) - 9)
            )
        )


def test_a_decimal_may_come_back_as_a_float():
    codec = DecimalCodec(scale=2, as_float=True)
    assert codec.encode(1.1) == b"1.10"
    assert repr(codec.decode(b"1.10")) == "1.1"


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_special_decimals_are_values_only_where_the_type_allows(name):
    """FORMAT codecs: `NaN`, `Infinity`, `-Infinity` only where the type allows."""
    assert DecimalCodec(special=True).encode(Decimal(name)) == name.encode()
    assert str(DecimalCodec(special=True).decode(name.encode())) == name
    with pytest.raises(EncodingError):
        DecimalCodec().encode(Decimal(name))
    with pytest.raises(ValueError):
        DecimalCodec().decode(name.encode())


def test_negative_zero_is_kept_unless_values_are_compared():
    """FORMAT rule 7: -0.0 is 0.0 in the deterministic suite."""
    assert math.copysign(1, Float64Codec().decode(Float64Codec().encode(-0.0))) == -1
    assert Float64Codec(comparable=True).encode(-0.0) == bytes(8)


def test_there_is_one_nan():
    """FORMAT codecs: IEEE 754 big-endian, NaN canonical."""
    negative = -float("nan")
    assert Float64Codec().encode(negative).hex() == "7ff8000000000000"


def test_a_deterministic_nan_is_refused():
    """FORMAT rule 7: no float NaN."""
    with pytest.raises(EncodingError, match="NaN equals nothing"):
        Float64Codec(comparable=True).encode(float("nan"))


# Moments


def test_an_aware_datetime_comes_back_in_utc():
    """FORMAT codecs: aware values are converted to UTC and come back in UTC."""
    codec, noon = DatetimeCodec(aware=True), dt.datetime(2026, 1, 1, 12, tzinfo=EAST)
    back = codec.decode(codec.encode(noon))
    assert back == noon
    assert (
        repr(back)
        == "datetime.datetime(2026, 1, 1, 7, 0, tzinfo=datetime.timezone.utc)"
    )


def test_the_two_hours_of_a_clock_put_back_stay_apart():
    """FORMAT codecs: microseconds from the epoch, whatever the wall clock says."""
    twice = dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    codec = DatetimeCodec(aware=True)
    first, second = codec.encode(twice), codec.encode(twice.replace(fold=1))
    assert codec.decode(second) - codec.decode(first) == dt.timedelta(hours=1)


def test_a_zone_that_gives_no_offset_is_naive():
    class Nowhere(dt.tzinfo):
        def utcoffset(self, when):
            return None

    value = dt.datetime(1970, 1, 1, tzinfo=Nowhere())
    assert DatetimeCodec().encode(value) == bytes(9)
    with pytest.raises(EncodingError):
        DatetimeCodec(aware=True).encode(value)


@pytest.mark.parametrize("value", [dt.date.min, dt.date(1970, 1, 1), dt.date.max])
def test_every_date_of_python_fits(value):
    """FORMAT codecs: int32 days from 1970-01-01; year 1 and year 9999."""
    assert DateCodec().decode(DateCodec().encode(value)) == value


@pytest.mark.parametrize("value", [dt.datetime.min, dt.datetime.max])
@pytest.mark.parametrize("zone", [None, dt.UTC], ids=["naive", "aware"])
def test_every_datetime_of_python_fits(value, zone):
    """FORMAT codecs: int64 microseconds; year 1 and year 9999."""
    codec, moment = DatetimeCodec(aware=zone is not None), value.replace(tzinfo=zone)
    assert codec.decode(codec.encode(moment)) == moment


@pytest.mark.parametrize("value", [dt.timedelta.min, dt.timedelta.max, dt.timedelta(0)])
def test_every_interval_of_python_fits(value):
    """FORMAT codecs: 16-byte two's complement microseconds."""
    assert IntervalCodec().decode(IntervalCodec().encode(value)) == value


@pytest.mark.parametrize("value", [dt.time.min, dt.time.max, dt.time(2, 30, fold=1)])
def test_every_time_of_day_fits(value):
    """FORMAT codecs: int64 microseconds from midnight."""
    assert TimeCodec().decode(TimeCodec().encode(value)) == value


# UUIDs and enumerations


def test_a_uuid_may_be_text_in_python():
    """FORMAT codecs: 16 bytes, whatever Python sees."""
    codec = UuidCodec(as_text=True)
    assert codec.encode(str(UUID).upper()) == codec.encode(UUID) == UUID.bytes
    assert codec.decode(UUID.bytes) == str(UUID)


@pytest.mark.parametrize("value", [Color.RED, Color.CRIMSON, "RED"], ids=repr)
def test_an_enum_member_is_stored_by_its_first_name(value):
    """FORMAT codecs: the member's name, UTF-8."""
    codec = EnumCodec((("RED", Color.RED), ("GREEN", Color.GREEN)))
    assert codec.encode(value) == b"RED"
    assert codec.decode(b"RED") is Color.RED


def test_a_member_may_have_any_value():
    codec = enum_codec(Color)
    assert codec.decode(codec.encode(Color.GREEN)) is Color.GREEN


def test_the_order_of_the_members_does_not_matter():
    """FORMAT codecs: enum members are named, never numbered."""
    forth, back = (("a", "a"), ("b", "b")), (("b", "b"), ("a", "a"))
    assert EnumCodec(forth).encode("b") == EnumCodec(back).encode("b")


def test_a_member_whose_value_is_another_members_name_stays_itself():
    """FORMAT codecs: the member's name."""
    codec = enum_codec(Swapped)
    assert codec.decode(codec.encode(Swapped.B)) is Swapped.B


def test_a_member_of_another_enumeration_is_refused():
    """FORMAT codecs: the member's name, not a text that looks like it."""

    class Other(str, enum.Enum):
        ANY = "RED"

    with pytest.raises(EncodingError, match="not a member"):
        field_cipher(enum_codec(Color)).seal(Other.ANY)


# JSON and arrays


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"b": 1, "a": 2},
        {"a": {}, "": []},
        "caf\xe9 \U0001f511",
        [1.0, -0.0, 10**20],
    ],
    ids=repr,
)
def test_json_is_written_without_space_and_in_the_given_order(value):
    """FORMAT codecs: UTF-8 JSON, no insignificant space, key order kept."""
    encoded = JsonCodec().encode(value)
    assert repr(JsonCodec().decode(encoded)) == repr(value)
    assert encoded.decode() == json.dumps(
        value, ensure_ascii=False, separators=(",", ":")
    )


def test_json_null_is_a_sealed_value_of_its_own():
    cipher = field_cipher(JsonCodec())
    assert cipher.open(cipher.seal(None)) is None


def test_an_array_is_laid_out_as_the_table_says():
    """FORMAT codecs: item codec (1), count (4), per item length (4) and bytes."""
    encoded = ArrayCodec(BytesCodec()).encode([b"ab", None, b""])
    assert encoded.hex() == "0200000003000000026162ffffffff00000000"


def test_an_array_inside_an_array_names_the_array_codec():
    """FORMAT codecs: nesting allowed."""
    encoded = ArrayCodec(BytesCodec()).encode([[b"a"], None])
    inner = "02000000010000000161"
    assert encoded.hex() == "0f000000020000000a" + inner + "ffffffff"


@pytest.mark.parametrize(
    "value", [[], [None], [[], [None]], [[["a"]], None], ["", "\0"]], ids=repr
)
def test_an_array_comes_back_with_its_nesting_and_its_nulls(value):
    assert ArrayCodec().decode(ArrayCodec().encode(value)) == value


def test_an_array_may_be_tuples_in_python():
    codec = ArrayCodec(as_tuple=True)
    assert codec.decode(codec.encode([["a"], []])) == (("a",), ())
    assert codec.encode((("a",), ())) == codec.encode([["a"], []])


def test_an_array_that_claims_many_items_is_refused_at_once():
    """FORMAT codecs: count and lengths are checked against the bytes there are."""
    with pytest.raises(ValueError, match="not canonical"):
        ArrayCodec(Int64Codec()).decode(b"\x03\xff\xff\xff\xff" + b"\xff" * 8)


@pytest.mark.parametrize(
    "value", [{1: "a", "1": "b"}, [{None: 0, "null": 1}]], ids=repr
)
def test_a_name_occurs_once_in_a_json_object(value):
    """FORMAT json: names are text and occur once."""
    with pytest.raises(EncodingError):
        field_cipher(JsonCodec()).seal(value)
    with pytest.raises(ValueError):
        JsonCodec().decode(b'{"1":"a","1":"b"}')


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({1: "a"}, {"1": "a"}),
        ({"a": {None: 1}}, {"a": {"null": 1}}),
        ({True: 1}, {"true": 1}),
    ],
    ids=repr,
)
def test_other_names_become_text_as_in_every_json_column(value, read):
    """FORMAT json: names are text, as SQLAlchemy's own JSON type makes them."""
    codec = JsonCodec()
    assert codec.decode(codec.encode(value)) == read


@pytest.mark.parametrize(
    "text",
    ["1.50", "1e5", "1E16", "100000000000000000000.0", "-0", '"\\u0041"', '"\\/"'],
)
def test_another_spelling_of_a_json_value_is_refused(text):
    """FORMAT json: a decoder refuses every other spelling of a value."""
    with pytest.raises(ValueError):
        JsonCodec().decode(text.encode())


@pytest.mark.parametrize("value", [1e16, 5e-324, 0.1, 1e22, -1.5e300, 123456789.125])
def test_a_json_number_is_the_shortest_text_that_reads_back(value):
    """FORMAT json: other numbers as the shortest text that reads back."""
    assert JsonCodec().encode(value).decode() == repr(value)


@pytest.mark.parametrize(("value", "text"), [(1, b"1"), (1.0, b"1.0"), (-0.0, b"-0.0")])
def test_a_json_float_stays_a_float(value, text):
    """FORMAT json: `1.0` and `1` differ."""
    assert JsonCodec().encode(value) == text
    assert repr(JsonCodec().decode(text)) == repr(value)


def test_json_that_is_nested_too_deeply_is_refused():
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(EncodingError, match="nested too deeply"):
        field_cipher(JsonCodec()).seal(value)


@pytest.mark.parametrize("item", [JsonCodec(), Int64Codec()], ids=repr)
def test_an_array_that_mixes_items_and_lists_is_refused(item):
    """FORMAT array: one item codec per array."""
    with pytest.raises(EncodingError, match="mixes items and lists"):
        field_cipher(ArrayCodec(item)).seal([[1], 2])


def test_an_empty_array_names_its_item_codec():
    """FORMAT array: of no items, or of nulls only, names its item codec, never 15."""
    assert ArrayCodec(Int64Codec()).encode([None]).hex() == "0300000001ffffffff"
    assert ArrayCodec(Int64Codec()).encode([]).hex() == "0300000000"
    assert ArrayCodec(Int64Codec()).encode([[]]).hex() == "0f00000001000000050300000000"


def test_a_null_item_is_never_a_json_null():
    """FORMAT array: a null item is the length 0xFFFFFFFF, never a JSON null."""
    codec = ArrayCodec(JsonCodec())
    assert codec.encode([None]).hex() == "0a00000001ffffffff"
    with pytest.raises(ValueError):
        codec.decode(b"\x0a\0\0\0\1\0\0\0\4null")


@pytest.mark.parametrize("text", ["1.5", "1.50", "1.500", "0.0", "0"])
@pytest.mark.parametrize("scale", [None, 0, 2])
def test_a_decimal_of_any_number_of_places_opens(scale, text):
    """FORMAT decimal: a decoder accepts any number of places."""
    assert str(DecimalCodec(scale=scale).decode(text.encode())) == text


@pytest.mark.parametrize(
    "text", ["01", "-01", "-0", "-0.0", "1E1", "1e1", "1.", ".5", "."]
)
def test_a_decimal_of_another_spelling_is_refused(text):
    """FORMAT decimal: refuses a leading zero, `-0`, an exponent and a bare point."""
    with pytest.raises(ValueError):
        DecimalCodec().decode(text.encode())


def test_the_fold_is_not_kept():
    """FORMAT datetime: `fold` is not kept."""
    value = dt.datetime(2026, 10, 25, 2, 30, fold=1)
    assert DatetimeCodec().decode(DatetimeCodec().encode(value)).fold == 0


@pytest.mark.parametrize("hours", [5, -5])
def test_a_moment_that_utc_cannot_hold_is_refused(hours):
    """FORMAT datetime: moments outside the years 1 to 9999 in UTC are refused."""
    edge = dt.datetime.min if hours > 0 else dt.datetime.max
    value = edge.replace(tzinfo=dt.timezone(dt.timedelta(hours=hours)))
    with pytest.raises(EncodingError, match="1 to 9999 in UTC"):
        field_cipher(DatetimeCodec(aware=True)).seal(value)


# Decoding


def test_authentic_bytes_of_another_type_are_named_as_that():
    cipher = field_cipher(Int64Codec())
    with pytest.raises(
        MalformedEnvelopeError, match="Int64Codec.*declared type change"
    ):
        cipher.open(cipher.seal_bytes(b"short"))


BREAKS_THE_CONTRACT = [
    (DecimalCodec(), b""),
    (DecimalCodec(), b"-"),
    (DecimalCodec(), b"1.2.3"),
    (DecimalCodec(), b".5"),
    (DateCodec(), b"\x7f\xff\xff\xff"),
    (DatetimeCodec(), b"\0\x7f" + b"\xff" * 7),
    (IntervalCodec(), b"\x7f" + b"\xff" * 15),
    (JsonCodec(), b"[" * 100_000),
]


@pytest.mark.parametrize(
    ("codec", "data"), BREAKS_THE_CONTRACT, ids=lambda x: repr(x)[:30]
)
def test_bytes_that_are_not_canonical_are_a_value_error(codec, data):
    """The contract of codec/base.py: ValueError when data is not canonical."""
    with pytest.raises(ValueError):
        codec.decode(data)


@pytest.mark.parametrize(
    ("codec", "data"), BREAKS_THE_CONTRACT, ids=lambda x: repr(x)[:30]
)
def test_whatever_a_codec_raises_the_column_raises_our_error(codec, data):
    cipher = field_cipher(codec)
    error = failure(cipher.open, cipher.seal_bytes(data))
    assert type(error) is MalformedEnvelopeError
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (JsonCodec(), b'{"a":1,"a":2}'),
        (JsonCodec(), b'"\\u0041"'),
        (JsonCodec(), b"1E400"),
        (ArrayCodec(Int64Codec()), b"\x0f\0\0\0\0"),
        (ArrayCodec(Int64Codec()), b"\x0f\0\0\0\1\xff\xff\xff\xff"),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_there_is_one_byte_string_per_value(codec, data):
    """The contract of codec/base.py: decode strictly, one byte string per value."""
    with pytest.raises(ValueError):
        codec.decode(data)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (TimeCodec(), dt.datetime(2026, 1, 1, 12)),
        (Float64Codec(), b"1.5"),
    ],
    ids=repr,
)
def test_a_value_that_would_not_come_back_is_refused(codec, value):
    """FORMAT codecs: what the type cannot hold is refused, not changed."""
    with pytest.raises(EncodingError):
        field_cipher(codec).seal(value)
