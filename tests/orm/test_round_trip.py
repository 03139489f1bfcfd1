"""Every inner type: what goes in comes out, and the database holds an envelope."""

from __future__ import annotations

import re
import datetime as dt
import enum
import json
import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, MetaData, Table, insert, inspect, select
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeDecorator
from sqlalchemy_sealed import Blocks, Bucket, EncryptedType, Padme, SuiteId
from sqlalchemy_sealed.errors import (
    DeclarationError,
    EncodingError,
    UnsupportedTypeError,
)

UTC = dt.UTC
KOLKATA = dt.timezone(dt.timedelta(hours=5, minutes=30))
HALF_MINUTE = dt.timezone(dt.timedelta(seconds=-30))


def stable(value: object) -> str:
    """Name a value without its address: the workers of xdist must agree."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


class Colour(enum.Enum):
    red = "r"
    green = "g"
    rouge = "r"  # an alias of red


class Level(enum.IntEnum):
    low = 1
    high = 10


class Spelt(enum.StrEnum):
    one = "uno"
    two = "due"


class Crossed(enum.StrEnum):
    """Each value is the name of the other member."""

    left = "right"
    right = "left"


TEXTS = [
    "",
    " ",
    "a",
    "fifteen letters",
    "sixteen letters.",
    "trailing \x80À",
    "with\x00zero\x00",
    "emoji \U0001f511, combining e\u0301, composed \u00e9",
    "\ufeffbyte order mark",
    "sld:looks_like_an_envelope",
    "'; DROP TABLE secrets; --",
    "%s %(value)s :value ?",
    "line\r\nbreaks\n",
    "x" * 70_000,
]
INTEGERS = [0, 1, -1, 255, 256, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
MOMENTS = [
    dt.datetime(1970, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
    dt.datetime(2026, 3, 29, 2, 30, 0, 1),
    dt.datetime.min,
    dt.datetime.max,
]
UUIDS = [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID("6ba7b810" + "0" * 24)]
DOCUMENTS = [
    {},
    [],
    "",
    0,
    False,
    True,
    -0.0,
    1e300,
    2**80,
    {"z": 1, "a": {"nested": [None, True, "é", {"": []}]}},
    ["\x00", "\u2028", "\U0001f511"],
    {"sld:": "sld:"},
]

CASES = {
    "String": (sa.String(50), TEXTS),
    "Text": (sa.Text, TEXTS),
    "Unicode": (sa.Unicode(10), TEXTS),
    "UnicodeText": (sa.UnicodeText, TEXTS),
    "CHAR": (sa.CHAR(3), ["", " ", "ab ", "abcd"]),
    "mysql.VARCHAR": (mysql.VARCHAR(9, charset="latin1"), ["\u20ac\u65e5\u672c"]),
    "Integer": (sa.Integer, INTEGERS),
    "BigInteger": (sa.BigInteger, INTEGERS),
    "SmallInteger": (sa.SmallInteger, INTEGERS),
    "mysql.BIGINT-unsigned": (
        mysql.BIGINT(unsigned=True),
        [0, 1, 2**63 - 1, 2**63, 2**64 - 1],
    ),
    "Numeric": (
        sa.Numeric,
        [Decimal(t) for t in ("0", "1", "-1.5", "0.1", "123456789012345678901.23")],
    ),
    "Numeric-scale": (
        sa.Numeric(30, 4),
        [Decimal(t) for t in ("0.0000", "1.5000", "-0.0001", "9999999999999999.9999")],
    ),
    "Numeric-float": (sa.Numeric(10, 2, asdecimal=False), [0.0, 1.1, -2.05, 1e7]),
    "DECIMAL": (sa.DECIMAL(5, 0), [Decimal(0), Decimal(-7), Decimal(99999)]),
    "Float": (
        sa.Float,
        [0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, float("inf"), float("nan")],
    ),
    "Double": (sa.Double, [1 / 3, -float("inf")]),
    "Boolean": (sa.Boolean, [True, False]),
    "Date": (sa.Date, [dt.date.min, dt.date(1970, 1, 1), dt.date.max]),
    "Time": (sa.Time, [dt.time.min, dt.time.max, dt.time(12, 0, 0, 1)]),
    "DateTime": (sa.DateTime, MOMENTS),
    "DateTime-aware": (
        sa.DateTime(timezone=True),
        [moment.replace(tzinfo=UTC) for moment in MOMENTS],
    ),
    "TIMESTAMP": (sa.TIMESTAMP(timezone=True), [dt.datetime(2026, 1, 1, tzinfo=UTC)]),
    "Interval": (
        sa.Interval,
        [
            dt.timedelta(0),
            dt.timedelta(microseconds=-1),
            dt.timedelta(days=400, seconds=5),
            dt.timedelta.min,
            dt.timedelta.max,
        ],
    ),
    "postgresql.INTERVAL": (postgresql.INTERVAL, [dt.timedelta(days=-3)]),
    "Uuid": (sa.Uuid, UUIDS),
    "Uuid-text": (sa.Uuid(as_uuid=False), [str(value) for value in UUIDS]),
    "postgresql.UUID": (postgresql.UUID, UUIDS),
    "Enum-class": (sa.Enum(Colour), [Colour.red, Colour.green]),
    "Enum-IntEnum": (sa.Enum(Level), [Level.low, Level.high]),
    "Enum-StrEnum": (sa.Enum(Spelt), [Spelt.one, Spelt.two]),
    "Enum-strings": (sa.Enum("red", "gr een", "", name="c"), ["red", "gr een", ""]),
    "Enum-values": (
        sa.Enum(Colour, values_callable=lambda e: [m.value for m in e]),
        [Colour.red],
    ),
    "postgresql.ENUM": (postgresql.ENUM("a", "b", name="e"), ["a", "b"]),
    "JSON": (sa.JSON, DOCUMENTS),
    "JSON-none_as_null": (sa.JSON(none_as_null=True), DOCUMENTS),
    "postgresql.JSON": (postgresql.JSON, DOCUMENTS),
    "postgresql.JSONB": (postgresql.JSONB, DOCUMENTS),
    "LargeBinary": (
        sa.LargeBinary,
        [
            b"",
            b"\x00",
            b"\x80",
            b"\x80\x00",
            bytes(range(256)),
            b"\xf5\x11" + bytes(80),
        ],
    ),
    "VARBINARY": (sa.VARBINARY(3), [b"abcd"]),
    "BYTEA": (postgresql.BYTEA, [b"\x00\xff"]),
    "ARRAY-String": (
        sa.ARRAY(sa.String),
        [[], [""], ["a", None, "b"], [None], [["a", "b"], ["c", None]], [[[]]]],
    ),
    "ARRAY-Integer": (
        sa.ARRAY(sa.Integer),
        [[2**63 - 1, None], [[1], [2, 3]], [[1], None]],
    ),
    "ARRAY-Numeric": (postgresql.ARRAY(sa.Numeric(9, 2)), [[Decimal("1.50")]]),
    "ARRAY-Float": (sa.ARRAY(sa.Float), [[-0.0, float("nan")]]),
    "ARRAY-Boolean": (sa.ARRAY(sa.Boolean), [[True, False, None]]),
    "ARRAY-Date": (sa.ARRAY(sa.Date), [[dt.date.max]]),
    "ARRAY-Time": (sa.ARRAY(sa.Time), [[dt.time.max]]),
    "ARRAY-DateTime": (sa.ARRAY(sa.DateTime), [MOMENTS]),
    "ARRAY-Interval": (sa.ARRAY(sa.Interval), [[dt.timedelta(1)]]),
    "ARRAY-Uuid": (sa.ARRAY(sa.Uuid), [UUIDS]),
    "ARRAY-Enum": (sa.ARRAY(sa.Enum(Colour)), [[Colour.green, None]]),
    "ARRAY-JSON": (sa.ARRAY(sa.JSON), [[{"a": [1]}, "x", None, 5]]),
    "ARRAY-LargeBinary": (sa.ARRAY(sa.LargeBinary), [[b"", b"\xff\xff\xff\xff"]]),
    "ARRAY-tuple": (
        sa.ARRAY(sa.Integer, as_tuple=True, dimensions=2),
        [(), (1, None), ((1, 2), (3,))],
    ),
}
FLAT_CASES = [
    pytest.param(inner, values, id=name) for name, (inner, values) in CASES.items()
]


def sealed_table(*arguments, **options):
    return Table(
        "secrets",
        MetaData(),
        Column("id", sa.Integer, primary_key=True),
        Column("value", EncryptedType(*arguments, **options)),
    )


def written(engine, secrets, values):
    """Create the table and write one row per value."""
    secrets.create(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(secrets),
            [{"id": n, "value": value} for n, value in enumerate(values, 1)],
        )


def read(engine, secrets):
    with engine.connect() as connection:
        query = select(secrets.c.value).order_by(secrets.c.id)
        return list(connection.scalars(query))


def exact(values):
    """Compare by type and repr: -0.0, NaN, 1.50 and 1.5 are all told apart."""
    return [(type(value), repr(value)) for value in values]


def plaintexts(values):
    """Return the forms of a value that must not be found in the database."""
    for value in values:
        text = value if isinstance(value, str) else str(value)
        yield text.encode()
        yield value if isinstance(value, bytes) else json.dumps(text).encode()


@pytest.mark.parametrize(("inner", "values"), FLAT_CASES)
def test_a_value_comes_back_as_it_was(engine, inner, values):
    secrets = sealed_table(inner)
    written(engine, secrets, values)
    assert exact(read(engine, secrets)) == exact(values)


@pytest.mark.parametrize(("inner", "values"), FLAT_CASES)
def test_the_database_holds_an_envelope_without_the_plaintext(
    engine, stored, inner, values
):
    secrets = sealed_table(inner)
    written(engine, secrets, values)
    raw = stored(secrets.c.value)
    assert all(envelope[:2] == b"\xf5\x11" for envelope in raw)
    hidden = [plain for plain in plaintexts(values) if len(plain) > 4]
    assert not any(plain in envelope for plain in hidden for envelope in raw)


@pytest.mark.parametrize(("inner", "values"), FLAT_CASES)
def test_the_text_form_holds_every_type_too(engine, stored, inner, values):
    secrets = sealed_table(inner, storage="text")
    written(engine, secrets, values)
    assert all(text.startswith("sld:9R") for text in stored(secrets.c.value))
    assert exact(read(engine, secrets)) == exact(values)


@pytest.mark.parametrize("storage", ["binary", "text"])
@pytest.mark.parametrize(("inner", "values"), FLAT_CASES)
def test_cbc_holds_every_type_too(engine, stored, inner, values, storage):
    secrets = sealed_table(inner, suite="a256cbc-hs512", storage=storage)
    written(engine, secrets, values * 2)
    raw = stored(secrets.c.value)
    start = {"binary": b"\xf5\x15", "text": "sld:9RU"}[storage]
    assert all(one.startswith(start) for one in raw)
    ivs = {one[24:40] if storage == "binary" else one[36:57] for one in raw}
    assert len(ivs) == len(raw)
    assert exact(read(engine, secrets)) == exact(values * 2)


@pytest.mark.parametrize(("inner", "values"), FLAT_CASES)
def test_none_stays_null(engine, stored, inner, values):
    secrets = sealed_table(inner)
    written(engine, secrets, [None, values[0], None])
    assert [raw is None for raw in stored(secrets.c.value)] == [True, False, True]
    assert exact(read(engine, secrets)) == exact([None, values[0], None])


def test_an_aware_moment_comes_back_in_utc(engine):
    """FORMAT.md, codec 8: the instant is kept, the offset is not."""
    moments = [
        dt.datetime(2026, 1, 1, 5, 30, tzinfo=KOLKATA),
        dt.datetime(2026, 1, 1, tzinfo=HALF_MINUTE),
    ]
    secrets = sealed_table(sa.DateTime(timezone=True))
    written(engine, secrets, moments)
    assert read(engine, secrets) == moments
    assert read(engine, secrets)[0].tzinfo is UTC


@pytest.mark.parametrize(
    ("inner", "given", "back"),
    [
        (sa.Numeric(9, 3), 1.5, Decimal("1.500")),
        (sa.Numeric(9, 2), 7, Decimal("7.00")),
        (sa.Numeric(9, 2), Decimal("-0"), Decimal("0.00")),
        (sa.Numeric, Decimal("1.500"), Decimal("1.5")),
        (sa.Numeric, Decimal("1E+5"), Decimal(100000)),
        (sa.Float, 1, 1.0),
        (sa.Float, Decimal("1.5"), 1.5),
        (sa.Boolean, 1, True),
        (sa.Integer, True, 1),
        (sa.Integer, Level.high, 10),
        (sa.String, Spelt.one, "uno"),
        (sa.Enum(Colour), "green", Colour.green),
        (sa.Enum(Colour), Colour.rouge, Colour.red),
        (sa.LargeBinary, bytearray(b"ab"), b"ab"),
        (sa.LargeBinary, memoryview(b"abcd")[::2], b"ac"),
        (sa.Uuid(as_uuid=False), UUIDS[2], str(UUIDS[2])),
        (sa.Uuid(as_uuid=False), UUIDS[2].hex.upper(), str(UUIDS[2])),
        (sa.JSON, (1, 2), [1, 2]),
        (sa.JSON, {1: None}, {"1": None}),
        (sa.ARRAY(sa.Integer), (1, 2), [1, 2]),
    ],
    ids=stable,
)
def test_a_value_of_another_type_comes_back_as_the_declared_one(
    engine, inner, given, back
):
    secrets = sealed_table(inner)
    written(engine, secrets, [given])
    assert exact(read(engine, secrets)) == exact([back])


def test_a_member_is_not_taken_for_another_with_that_name(engine):
    """A member of a StrEnum is a str, and may equal the name of another member."""
    secrets = sealed_table(sa.Enum(Crossed))
    written(engine, secrets, [Crossed.left, Crossed.right])
    assert read(engine, secrets) == [Crossed.left, Crossed.right]


# Storage, padding, suites


def test_the_columns_are_wide_enough_for_any_envelope(engine):
    secrets = Table(
        "secrets",
        MetaData(),
        Column("binary", EncryptedType(sa.String)),
        Column("text", EncryptedType(sa.String, storage="text")),
    )
    secrets.create(engine)
    kinds = [column["type"] for column in inspect(engine).get_columns("secrets")]
    assert [kind.compile(engine.dialect) for kind in kinds] == {
        "sqlite": ["BLOB", "TEXT"],
        "postgresql": ["BYTEA", "TEXT"],
        "mysql": ["MEDIUMBLOB", "MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin"],
    }[engine.name]


@pytest.mark.parametrize("storage", ["binary", "text"])
def test_a_megabyte_survives(engine, storage):
    value = "\u00e9" * 500_000
    secrets = sealed_table(sa.Text, storage=storage)
    written(engine, secrets, [value])
    assert read(engine, secrets) == [value]


@pytest.mark.parametrize(
    ("padding", "lengths"),
    [
        ("default", [16, 16, 32, 112]),
        (Blocks(), [16, 16, 32, 112]),
        (Bucket(64), [64, 64, 64, 128]),
        (Bucket(1), [1, 16, 17, 101]),
        (Padme(), [1, 16, 18, 104]),
        (None, [0, 15, 16, 100]),
    ],
    ids=stable,
)
def test_padding_decides_the_length_that_shows(engine, stored, padding, lengths):
    values = ["", "a" * 15, "a" * 16, "a" * 100]
    secrets = sealed_table(sa.String, padding=padding)
    written(engine, secrets, values)
    assert [len(raw) - 64 for raw in stored(secrets.c.value)] == lengths
    assert read(engine, secrets) == values


@pytest.mark.parametrize("padding", [Blocks(), Bucket(50), Padme(), None], ids=repr)
@pytest.mark.parametrize("storage", ["binary", "text"])
def test_values_that_look_like_padding_keep_every_byte(engine, padding, storage):
    values = [b"", b"\x80", b"\x80\x00\x00", b"\x00" * 40, b"\x80" * 16]
    secrets = sealed_table(sa.LargeBinary, padding=padding, storage=storage)
    written(engine, secrets, values)
    assert read(engine, secrets) == values


def test_values_of_fixed_length_are_not_padded(engine, stored):
    secrets = sealed_table(sa.Date)
    written(engine, secrets, [dt.date.min, dt.date.max])
    assert [len(raw) - 64 for raw in stored(secrets.c.value)] == [4, 4]


DETERMINISTIC = [
    pytest.param(inner, [v for v in values if repr(v) not in {"nan", "-0.0"}], id=name)
    for name, (inner, values) in CASES.items()
    if "JSON" not in name and "ARRAY" not in name
]


@pytest.mark.parametrize("storage", ["binary", "text"])
@pytest.mark.parametrize(("inner", "values"), DETERMINISTIC)
def test_equal_values_of_a_deterministic_column_have_equal_bytes(
    engine, stored, inner, values, storage
):
    secrets = sealed_table(
        inner, suite="deterministic", storage=storage, accept_leakage="a test"
    )
    written(engine, secrets, values + values)
    raw = stored(secrets.c.value)
    assert raw[: len(values)] == raw[len(values) :]
    assert len(set(raw)) == len(values)
    assert exact(read(engine, secrets)) == exact(values + values)


def test_deterministic_zero_has_one_sign(engine, stored):
    secrets = sealed_table(sa.Float, suite="deterministic")
    written(engine, secrets, [0.0, -0.0])
    assert len(set(stored(secrets.c.value))) == 1
    assert exact(read(engine, secrets)) == exact([0.0, 0.0])


def test_equal_values_of_a_randomized_column_have_different_bytes(engine, stored):
    secrets = sealed_table(sa.String, salt_epoch=1)
    written(engine, secrets, ["same"] * 5)
    raw = stored(secrets.c.value)
    assert len({envelope[24:36] for envelope in raw}) == 5
    assert len({envelope[48:] for envelope in raw}) == 5


def test_the_suite_is_a_name_or_a_member(engine, stored):
    secrets = sealed_table(sa.String, suite=SuiteId.AES_256_SIV)
    written(engine, secrets, ["x"])
    assert stored(secrets.c.value)[0][:2] == b"\xf5\x12"


# Type decorators of the user


class Upper(TypeDecorator):
    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else value.upper()

    def process_result_value(self, value, dialect):
        return None if value is None else f"<{value}>"


class Listed(TypeDecorator):
    """A list of words, as one text, through another decorator."""

    impl = Upper
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else " ".join(value)

    def process_result_value(self, value, dialect):
        return None if value is None else value.split()


class EmptyForNone(TypeDecorator):
    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return value or ""

    def process_result_value(self, value, dialect):
        return value or None


class NoneForEmpty(EmptyForNone):
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return value or None

    def process_result_value(self, value, dialect):
        return "" if value is None else value


class Cents(TypeDecorator):
    """Only a result side, and arguments of its own."""

    impl = sa.Numeric
    cache_ok = True

    def __init__(self, scale):
        super().__init__(20, scale)
        self.scale = scale

    def process_result_value(self, value, dialect):
        return None if value is None else int(value.scaleb(self.scale))


class Careless(TypeDecorator):
    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        raise ValueError(f"cannot store {value!r}")

    def process_result_value(self, value, dialect):
        raise ValueError(f"cannot load {value!r}")


def test_a_decorator_sees_the_plaintext_on_both_sides(engine, stored):
    secrets = sealed_table(Upper)
    written(engine, secrets, ["grace", None])
    assert read(engine, secrets) == ["<GRACE>", None]
    assert b"GRACE" not in stored(secrets.c.value)[0]


def test_decorators_run_outermost_first_when_binding(engine):
    secrets = sealed_table(Listed)
    written(engine, secrets, [["a", "b"]])
    assert read(engine, secrets) == [["<A", "B>"]]


def test_a_decorator_may_store_none_as_a_value(engine, stored):
    secrets = sealed_table(EmptyForNone)
    written(engine, secrets, [None, "x"])
    assert [raw is None for raw in stored(secrets.c.value)] == [False, False]
    assert read(engine, secrets) == [None, "x"]


def test_a_decorator_may_store_a_value_as_none(engine, stored):
    secrets = sealed_table(NoneForEmpty)
    written(engine, secrets, ["", "x"])
    assert [raw is None for raw in stored(secrets.c.value)] == [True, False]
    assert read(engine, secrets) == ["", "x"]


def test_a_decorator_with_arguments_keeps_them(engine):
    secrets = sealed_table(Cents(2))
    written(engine, secrets, [Decimal("12.34")])
    assert read(engine, secrets) == [1234]


def test_a_decorator_that_fails_while_binding_does_not_show_the_value(engine):
    secrets = sealed_table(Careless)
    with pytest.raises(EncodingError, match=r"secrets\.value.*ValueError") as error:
        written(engine, secrets, ["4111-1111"])
    assert "4111" not in str(error.value)
    assert error.value.__context__ is None


def test_a_decorator_that_fails_while_loading_does_not_show_the_value(engine):
    written(engine, sealed_table(sa.String), ["4111-1111"])
    with pytest.raises(EncodingError, match=r"process_result_value.*") as error:
        read(engine, sealed_table(Careless))
    assert "4111" not in str(error.value)
    assert error.value.__context__ is None


def test_a_decorator_around_json_and_pydantic_style_objects(engine):
    class Point(TypeDecorator):
        impl = sa.JSON
        cache_ok = True

        def process_bind_param(self, value, dialect):
            return {"re": value.real, "im": value.imag}

        def process_result_value(self, value, dialect):
            return complex(value["re"], value["im"])

    secrets = sealed_table(Point)
    written(engine, secrets, [1 + 2j])
    assert read(engine, secrets) == [1 + 2j]


# Types that are refused


class BindProcessor(TypeDecorator):
    impl = sa.String
    cache_ok = True

    def bind_processor(self, dialect):
        return None


class BindExpression(TypeDecorator):
    impl = sa.String
    cache_ok = True

    def bind_expression(self, bindvalue):
        return sa.func.lower(bindvalue)


class ColumnExpression(TypeDecorator):
    impl = sa.String
    cache_ok = True

    def column_expression(self, column):
        return sa.func.lower(column)


class Homegrown(sa.types.UserDefinedType):
    def get_col_spec(self, **options):
        return "HOMEGROWN"


@pytest.mark.parametrize(
    "inner",
    [
        sa.PickleType,
        sa.Time(timezone=True),
        postgresql.TIME(timezone=True),
        sa.Float(asdecimal=True),
        sa.ARRAY(Upper),
        sa.ARRAY(sa.PickleType),
        BindProcessor,
        BindExpression,
        ColumnExpression,
        Homegrown,
        sa.types.NullType,
        postgresql.INET,
        postgresql.HSTORE,
        postgresql.INT4RANGE,
        postgresql.TSVECTOR,
        mysql.SET("a", "b"),
        mysql.YEAR,
        mysql.BIT,
        EncryptedType(sa.String),
    ],
    ids=lambda inner: getattr(inner, "__name__", None) or repr(inner)[:30],
)
def test_a_type_without_a_canonical_encoding_is_refused(inner):
    with pytest.raises(UnsupportedTypeError):
        EncryptedType(inner)


def test_the_refusal_of_pickle_says_why():
    with pytest.raises(UnsupportedTypeError, match="unpickle whatever"):
        EncryptedType(sa.PickleType)


def test_an_unknown_type_is_told_the_way_out():
    with pytest.raises(UnsupportedTypeError, match="TypeDecorator whose impl is"):
        EncryptedType(Homegrown)


@pytest.mark.parametrize("inner", [sa.JSON, sa.ARRAY(sa.String)], ids=str)
def test_a_type_with_several_byte_forms_cannot_be_deterministic(inner):
    with pytest.raises(DeclarationError, match="deterministic"):
        EncryptedType(inner, suite="deterministic")


@pytest.mark.parametrize(
    "options",
    [
        {"context": ""},
        {"suite": "random"},
        {"suite": None},
        {"suite": 0x11},
        {"storage": "blob"},
        {"padding": "blocks"},
        {"suite": "deterministic", "padding": None},
        {"suite": "deterministic", "padding": Blocks()},
        {"salt_epoch": 0},
        {"salt_epoch": 65_537},
    ],
    ids=stable,
)
def test_an_option_that_cannot_work_is_refused_by_name(options):
    with pytest.raises(DeclarationError, match=rf"\b{list(options)[-1]}\b|suite"):
        EncryptedType(sa.String, **options)


@pytest.mark.parametrize("size", [0, -1, 65_537])
def test_a_bucket_of_an_impossible_size_is_refused(size):
    with pytest.raises(DeclarationError, match="Bucket"):
        Bucket(size)
