"""Index keys: their text, their place in a keyring, where they are read from."""

from __future__ import annotations

import pytest
from sqlalchemy_sealed import IndexKey, Key, Keyring
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    KeyFormatError,
    KeyStateError,
    SealedError,
)

DATA = Key(1, bytes(range(32)))
ONE, TWO = IndexKey(1, b"1" * 32), IndexKey(2, b"2" * 32)


def test_the_text_form_is_read_again_and_names_its_kind():
    text = ONE.to_text()
    assert text.startswith("sealed_index_v1_")
    assert IndexKey.from_text(text) == ONE
    assert text not in repr(ONE)
    # The check digits are those of its kind: the prefix alone does not make it one.
    changed = text.replace("sealed_index", "sealed_root")
    with pytest.raises(KeyFormatError):
        Key.from_text(changed)


def test_a_key_of_the_other_kind_is_told_apart():
    for kind, text in ((Key, ONE.to_text()), (IndexKey, DATA.to_text())):
        with pytest.raises(KeyFormatError, match="another kind") as error:
            kind.from_text(text)
        assert text[16:40] not in str(error.value)
    assert ONE != Key(1, b"1" * 32)
    assert ONE.derive("bidx", b"", 32) == IndexKey(7, b"1" * 32).derive("bidx", b"", 32)


def test_a_keyring_publishes_index_versions():
    keyring = Keyring([DATA], index_keys=[ONE])
    assert keyring.index_keys == (ONE,)
    assert keyring.publish_index(TWO) is TWO
    assert keyring.publish_index().version == 3
    assert keyring.index_key(2) is TWO
    assert keyring.keys == (DATA,)
    keyring.rotate()
    assert [key.version for key in keyring.index_keys] == [1, 2, 3]
    with pytest.raises(KeyStateError, match="no index key version 4.*v1, v2, v3"):
        keyring.index_key(4)
    with pytest.raises(KeyStateError, match="none"):
        Keyring([DATA]).index_key(1)


@pytest.mark.parametrize(
    "wrong",
    [[ONE, IndexKey(1, b"3" * 32)], [ONE, IndexKey(2, b"1" * 32)], [DATA]],
    ids=["one version twice", "one root twice", "a data key"],
)
def test_index_keys_that_cannot_be_are_refused(wrong):
    with pytest.raises(SealedError):
        Keyring([DATA], index_keys=wrong)


def test_a_root_serves_one_purpose():
    with pytest.raises(SealedError):
        Keyring([DATA], index_keys=[IndexKey(1, bytes(range(32)))])


def test_the_environment(monkeypatch):
    texts = [key.to_text() for key in (DATA, TWO, ONE)]
    monkeypatch.setenv("SEALED_KEYS", " ".join(["active=1", *texts]))
    assert Keyring.from_env().index_keys == (ONE, TWO)
    damaged = texts[1][:-1] + ("0" if texts[1][-1] != "0" else "1")
    monkeypatch.setenv("SEALED_KEYS", f"active=1 {texts[0]} {damaged}")
    with pytest.raises(KeyFormatError) as error:
        Keyring.from_env()
    assert damaged[20:50] not in str(error.value)


def test_a_file(tmp_path):
    path = tmp_path / "keys.toml"
    path.touch(0o600)
    path.write_text(
        f'active = 1\nkeys = ["{DATA.to_text()}"]\nindex_keys = ["{ONE.to_text()}"]\n'
    )
    assert Keyring.from_file(path).index_keys == (ONE,)
    path.write_text(f'active = 1\nkeys = ["{DATA.to_text()}", "{ONE.to_text()}"]\n')
    with pytest.raises(ConfigurationError) as error:
        Keyring.from_file(path)
    assert ONE.to_text()[20:] not in str(error.value)


def test_a_directory(tmp_path):
    for name, value in (
        ("enc_key_v1", DATA.to_text()),
        ("enc_key_active", "1"),
        ("enc_key_index_v1", ONE.to_text()),
        ("enc_key_index_v2", TWO.to_text()),
    ):
        file = tmp_path / name
        file.touch(0o600)
        file.write_text(value)
    assert Keyring.from_directory(tmp_path).index_keys == (ONE, TWO)
    (tmp_path / "enc_key_index_v2").write_text(ONE.to_text())
    with pytest.raises(KeyFormatError, match="enc_key_index_v2"):
        Keyring.from_directory(tmp_path)


def test_a_new_keyring_has_an_index_key_of_its_own():
    first, second = Keyring.generate(), Keyring.generate()
    assert [key.version for key in first.index_keys] == [1]
    assert first.index_key(1) != second.index_key(1)
    assert first.index_key(1).root != first.active.root
