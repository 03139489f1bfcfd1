"""Every legacy format, on values that the real library has written."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import os
import pickle
import re
import traceback
import uuid
import warnings
from decimal import Decimal

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from sqlalchemy_utils import StringEncryptedType
from sqlalchemy_utils.types.encrypted.encrypted_type import (
    AesEngine,
    AesGcmEngine,
    FernetEngine,
)
from sqlalchemy.dialects import sqlite

from sqlalchemy_sealed.declared import codec_of
from sqlalchemy_sealed.errors import (
    DeclarationError,
    KeyFormatError,
    KeyPermissionWarning,
    SecretHandlingError,
)
from sqlalchemy_sealed.legacy import (
    AdvancedAlchemyFernet,
    AesCbc,
    AesGcm,
    AirflowFernet,
    FernetTokens,
    SqlalchemyUtilsAes,
    SqlalchemyUtilsAesGcm,
    SqlalchemyUtilsFernet,
    SupersetSecret,
)
from sqlalchemy_sealed.codec.structure import JsonCodec
from sqlalchemy_sealed.legacy.format import InvalidLegacyValue
from sqlalchemy_sealed.legacy.literal import from_repr

SECRET = "the application's own secret, of any length"
TEXTS = ["", "a", "Ada Lovelace", "x" * 15, "x" * 16, "x" * 17, "Grüße 🔑", "a\nb"]
STRING = codec_of(sa.String())


class Color(enum.Enum):
    RED = 1
    DARK_BLUE = 2


def read(reader, stored, codec=STRING, beside=None):
    data = stored.encode() if isinstance(stored, str) else stored
    assert reader.recognizes(data)
    return reader.value(data, codec, beside)


# sqlalchemy-utils

ENGINES = [
    *((AesEngine, p) for p in ("naive", "pkcs5", "oneandzeroes", "zeroes")),
    (AesGcmEngine, None),
    (FernetEngine, None),
]


def reader_of(engine, padding, key=SECRET):
    if engine is AesEngine:
        return SqlalchemyUtilsAes(key, padding)
    if engine is AesGcmEngine:
        return SqlalchemyUtilsAesGcm(key)
    return SqlalchemyUtilsFernet(key)


def written(value, inner=sa.String, engine=AesEngine, padding=None, key=SECRET):
    kind = StringEncryptedType(inner, key, engine, padding)
    return kind.process_bind_param(value, sqlite.dialect())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("engine, padding", ENGINES)
def test_text_of_sqlalchemy_utils(engine, padding, text):
    stored = written(text, engine=engine, padding=padding)
    assert read(reader_of(engine, padding), stored) == text


@pytest.mark.parametrize("key", ["short", b"bytes \xff", "x" * 100])
def test_keys_of_sqlalchemy_utils(key):
    assert read(SqlalchemyUtilsAes(key), written("value", key=key)) == "value"


def test_what_sqlalchemy_utils_itself_cannot_read_back():
    stored = written("Voilà À", padding="oneandzeroes")
    with pytest.raises(ValueError):
        StringEncryptedType(
            sa.String, SECRET, AesEngine, "oneandzeroes"
        ).process_result_value(stored, sqlite.dialect())
    reader = SqlalchemyUtilsAes(SECRET, "oneandzeroes")
    assert read(reader, stored) == "Voilà À"


VALUES = [
    (sa.Integer, 5),
    (sa.BigInteger, -(2**40)),
    (sa.Boolean, True),
    (sa.Boolean, False),
    (sa.Float, 0.1),
    (sa.Numeric(10, 2), Decimal("1.50")),
    (sa.Date, dt.date(2026, 11, 26)),
    (sa.DateTime, dt.datetime(2026, 11, 26, 1, 2, 3, 4)),
    (sa.DateTime(timezone=True), dt.datetime(2026, 11, 26, 1, tzinfo=dt.UTC)),
    (sa.Time, dt.time(1, 2, 3)),
    (sa.Uuid, uuid.UUID(int=7)),
    (sa.LargeBinary, b"\0\xff raw"),
    (sa.JSON, {"a": [1, None, True], "b": "Grüße"}),
    (sa.JSON, [1.5, "x"]),
    (sa.Enum(Color), Color.DARK_BLUE),
    (sa.ARRAY(sa.Integer), [1, None, 3]),
]


@pytest.mark.parametrize("inner, value", VALUES, ids=lambda v: repr(v)[:30])
@pytest.mark.parametrize("engine, padding", ENGINES[1:])
def test_values_of_sqlalchemy_utils(engine, padding, inner, value):
    """More comes back than the library could read itself."""
    stored = written(value, inner, engine, padding)
    codec = codec_of(sa.types.to_instance(inner))
    found = read(reader_of(engine, padding), stored, codec)
    assert codec.decode(codec.encode(found)) == value


def test_an_interval_of_sqlalchemy_utils():
    """Its type refuses them; its engines write them."""
    engine = FernetEngine()
    engine._update_key(SECRET)
    value = dt.timedelta(days=1, seconds=2)
    reader = SqlalchemyUtilsFernet(SECRET)
    assert read(reader, engine.encrypt(value), codec_of(sa.Interval())) == value


@pytest.mark.parametrize("engine, padding", ENGINES)
def test_a_wrong_key_opens_nothing(engine, padding):
    reader = reader_of(engine, padding, "another key")
    stored = written("a value of more than one block", engine=engine, padding=padding)
    with pytest.raises(InvalidLegacyValue) as caught:
        read(reader, stored)
    shown = "".join(traceback.format_exception(caught.value))
    assert "block" not in shown
    assert caught.value.__context__ is None


# Fernet

KEY = Fernet.generate_key()


@pytest.mark.parametrize("text", TEXTS)
def test_fernet(text):
    assert read(FernetTokens(KEY), Fernet(KEY).encrypt(text.encode())) == text


def test_keys_of_fernet_as_people_copy_them():
    token = Fernet(KEY).encrypt(b"value")
    bare = KEY.decode().rstrip("=")
    assert len(bare) == 43
    assert read(FernetTokens(bare), token) == "value"
    assert read(FernetTokens(lambda: KEY), token) == "value"


def test_several_keys_of_fernet():
    keys = [Fernet.generate_key() for _ in range(3)]
    for key in keys:
        token = MultiFernet([Fernet(key)]).encrypt(b"value")
        assert read(FernetTokens(keys), token) == "value"
        assert read(AirflowFernet(",".join(k.decode() for k in keys)), token) == "value"


def test_a_token_that_was_altered():
    token = bytearray(Fernet(KEY).encrypt(b"value"))
    token[-5] ^= 1
    with pytest.raises(InvalidLegacyValue):
        FernetTokens(KEY).decrypt(bytes(token))


def test_advanced_alchemy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from advanced_alchemy.types import EncryptedString
    kind = EncryptedString(key=SECRET)
    kind.backend.mount_vault(SECRET)
    token = kind.backend.encrypt("Grüße")
    assert read(AdvancedAlchemyFernet(SECRET), token) == "Grüße"


def test_superset():
    """What its adapter makes: sqlalchemy_utils.EncryptedType under SECRET_KEY."""
    from sqlalchemy_utils import EncryptedType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        aes = EncryptedType(sa.String(1024), lambda: SECRET)
        gcm = EncryptedType(sa.String(1024), lambda: SECRET, AesGcmEngine)
    stored = aes.process_bind_param("password", sqlite.dialect())
    assert isinstance(stored, bytes)
    assert read(SupersetSecret(SECRET), stored) == "password"
    stored = gcm.process_bind_param("password", sqlite.dialect())
    assert read(SupersetSecret(SECRET, "aes-gcm"), stored) == "password"
    assert not SupersetSecret(SECRET).is_authenticated
    assert SupersetSecret(SECRET, "aes-gcm").is_authenticated


# AES without a library

RAW = os.urandom(32)
KEYS = [RAW, base64.b64encode(RAW), base64.b64encode(RAW) + b"\n", RAW.hex()]


def cbc(text, iv):
    padder = PKCS7(128).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    encryptor = Cipher(AES(RAW), CBC(iv)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


@pytest.mark.parametrize("key", KEYS, ids=["raw", "base64", "line", "hex"])
@pytest.mark.parametrize("text", TEXTS)
def test_cbc_with_the_iv_in_front(text, key):
    iv = os.urandom(16)
    both = iv + cbc(text, iv)
    assert read(AesCbc(key), base64.b64encode(both)) == text
    assert read(AesCbc(key, "hex"), both.hex()) == text
    assert read(AesCbc(key, "raw"), both) == text
    parts = f"{iv.hex()}:{both[16:].hex()}"
    assert read(AesCbc(key, "hex", separator=":"), parts) == text


def test_cbc_with_the_iv_in_a_column_beside_it():
    iv = os.urandom(16)
    stored = base64.b64encode(cbc("0171 234", iv))
    reader = AesCbc(RAW, iv_column="iv")
    assert read(reader, stored, beside=base64.b64encode(iv)) == "0171 234"
    with pytest.raises(InvalidLegacyValue):
        read(reader, stored)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"=",
        b"not base64!",
        base64.b64encode(b"x" * 16),
        base64.b64encode(b"x" * 33),
    ],
)
def test_what_is_no_cbc(stored):
    with pytest.raises(InvalidLegacyValue):
        AesCbc(RAW).decrypt(stored)
    with pytest.raises(InvalidLegacyValue):
        SqlalchemyUtilsAes(SECRET, "pkcs5").decrypt(stored)


@pytest.mark.parametrize("text", TEXTS)
def test_gcm(text):
    iv, aad = os.urandom(12), b"phones"
    sealed = AESGCM(RAW).encrypt(iv, text.encode(), None)
    assert read(AesGcm(RAW), base64.b64encode(iv + sealed)) == text
    front = iv + sealed[-16:] + sealed[:-16]
    assert read(AesGcm(RAW, tag="front"), base64.b64encode(front)) == text
    iv = os.urandom(16)
    sealed = AESGCM(RAW).encrypt(iv, text.encode(), aad)
    reader = AesGcm(RAW, iv_bytes=16, associated_data=aad)
    assert read(reader, base64.urlsafe_b64encode(iv + sealed)) == text
    with pytest.raises(InvalidLegacyValue):
        AesGcm(RAW, iv_bytes=16).decrypt(base64.b64encode(iv + sealed))


# Keys


def test_keys_from_the_environment_and_from_files(monkeypatch, tmp_path):
    token = Fernet(KEY).encrypt(b"value")
    reader = FernetTokens.from_env("OLD_KEY")
    with pytest.raises(KeyFormatError, match="OLD_KEY is not set"):
        reader.decrypt(token)
    monkeypatch.setenv("OLD_KEY", KEY.decode())
    assert reader.decrypt(token) == b"value"
    file = tmp_path / "enc_key.txt"
    with pytest.raises(KeyFormatError, match="enc_key.txt"):
        FernetTokens.from_file(file).decrypt(token)
    file.write_bytes(KEY + b"\n")
    file.chmod(0o600)
    assert FernetTokens.from_file(file).decrypt(token) == b"value"
    file.chmod(0o604)
    with pytest.warns(KeyPermissionWarning, match="every user"):
        assert FernetTokens.from_file(file).decrypt(token) == b"value"


@pytest.mark.parametrize(
    "name",
    ["CANARY,CANARY", " CANARY", "CANARY/+=", "CANARY" + "x" * 37, "ab" * 32, ""],
    ids=range(6),
)
def test_a_key_in_the_place_of_a_name_is_not_repeated(name):
    with pytest.raises(KeyFormatError, match="takes the name") as caught:
        FernetTokens.from_env(name)
    assert "CANARY" not in str(caught.value)
    assert not name or name not in str(caught.value)


def test_a_function_that_returns_no_key():
    with pytest.raises(KeyFormatError, match="not a int"):
        SqlalchemyUtilsAes(lambda: 32).decrypt(b"")


@pytest.mark.parametrize(
    "text",
    [
        "Decimal(0x" + "f" * 300_000 + ")",
        "Decimal(" + "9" * 4_000 + "9" * 1_000 + ")",
        "{" + ", ".join(f"{n * (2**61 - 1)}: 0" for n in range(20_000)) + "}",
        "[" + "0," * 200_000 + "]",
        "[" * 5_000,
        "__import__('os')",
        "datetime.date(2026, 13, 1)",
        "'\\d'",
        "1j",
        "{**{}}",
    ],
    ids=range(10),
)
def test_literals_that_are_not_looked_at(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError):
            value = from_repr(text)
            JsonCodec().encode(value)


@pytest.mark.parametrize(
    "reader",
    [FernetTokens("SECRETxx"), AesCbc("SECRETxx"), AesGcm("SECRETxx")],
    ids=repr,
)
def test_what_is_no_key(reader):
    with pytest.raises(KeyFormatError, match="is no key of") as caught:
        _ = reader.secret
    assert "SECRETxx" not in "".join(traceback.format_exception(caught.value))


def test_no_key_is_shown_or_pickled():
    for reader in (
        SqlalchemyUtilsAes(SECRET, "pkcs5"),
        FernetTokens([KEY, KEY]),
        AesCbc(RAW, "hex", ":"),
        AesGcm(RAW),
        SupersetSecret(SECRET),
    ):
        shown = repr(reader) + str(vars(reader))
        assert SECRET not in shown
        assert KEY.decode() not in shown
        assert repr(RAW) not in shown
        with pytest.raises(SecretHandlingError):
            pickle.dumps(reader)
    assert repr(SqlalchemyUtilsAes(SECRET, "pkcs5")) == (
        "SqlalchemyUtilsAes(padding='pkcs5')"
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SqlalchemyUtilsAes(SECRET, "ansi"), "padding= is one of naive"),
        (lambda: AesCbc(RAW, "base32"), "encoding= is one of base64"),
        (lambda: AesCbc(RAW, separator=":", iv_column="iv"), "separator="),
        (lambda: AesGcm(RAW, tag="left"), "tag= is"),
        (lambda: SupersetSecret(SECRET, "des"), "engine= is"),
    ],
)
def test_options_that_are_none(make, message):
    with pytest.raises(DeclarationError, match=re.escape(message)):
        make()


def test_keys_that_are_none():
    with pytest.raises(KeyFormatError, match="not a int"):
        SqlalchemyUtilsAes(5)
    with pytest.raises(KeyFormatError, match="need a key"):
        FernetTokens([])
