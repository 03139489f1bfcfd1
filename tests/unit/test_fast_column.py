"""Columns that are sealed anew in one loop."""

from __future__ import annotations

from collections import Counter

import pytest
from sealing import field_cipher

from sqlalchemy_sealed.fastcolumn import column_resealer, parts_in, parts_of
from sqlalchemy_sealed.padding import Blocks, Bucket

arrays = pytest.importorskip("sqlalchemy_sealed.jobs.arrays")


def packed(values):
    return arrays.array_maker("bytea", "utf-8")(values)


@pytest.mark.parametrize(
    ("values", "length"),
    [
        ([b"abcd"], 4),
        ([b"abcd"] * 300, 4),
        ([b""] * 3, 0),
        # As long as two items of one length.
        ([b"abc", b"abcde"], None),
        ([b"abcd", b"abc", b"abcde"], None),
        ([b"abcd", None], None),
        ([None, b"abcd"], None),
        ([None], None),
    ],
)
def test_the_common_length_of_an_array(values, length):
    array = packed(values)
    assert array.common_length() == length
    assert array.item_count == len(values)


@pytest.mark.parametrize("padding", [None, Blocks(), Bucket(64)], ids=repr)
def test_a_column_is_sealed_anew_as_its_values_are(padding):
    cipher = field_cipher(padding=padding)
    texts = [f"{n:04}" for n in range(600)]
    old = [cipher.seal(text) for text in texts]
    cipher._keys.keyring.rotate()
    old[7] = cipher.seal(texts[7])
    reseal = column_resealer(cipher)
    for _ in range(2):
        array = packed(old)
        for parts in (parts_of(old), parts_in(array.items, array.common_length())):
            new = reseal(parts, len(old), lambda n: cipher.reseal(old[n]))
            assert new.pop(7) is None
            assert [cipher.open(value) for value in new] == texts[:7] + texts[8:]
            assert not any(map(cipher.needs_reencryption, new))
            assert len({value[36:48] for value in new}) == len(new)


def test_what_surprises_the_loop_is_asked_for():
    cipher = field_cipher(padding=Blocks())
    good = cipher.seal("x")
    cipher._keys.keyring.rotate()
    current = cipher.seal("x")
    reseal = column_resealer(cipher)
    reseal(parts_of([good, current]), 2, lambda n: cipher.reseal([good, current][n]))
    altered = good[:-1] + bytes((good[-1] ^ 1,))
    values = [good, altered, None, "text", 4, b"", current, current[:40], good]
    asked = []
    new = reseal(parts_of(values), len(values), asked.append)
    assert asked == [1, 2, 3, 4, 5, 7]
    assert [value is None for value in new] == [False, *[True] * 7, False]


@pytest.mark.parametrize("epoch", [1, 2, 300, 1000])
def test_a_column_keeps_to_the_epoch_of_a_salt(epoch):
    """FORMAT rule 5: whoever draws many nonces at once counts them, too."""
    cipher = field_cipher(salt_epoch=epoch)
    old = [cipher.seal(f"{n}") for n in range(1000)]
    cipher._keys.keyring.rotate()
    reseal = column_resealer(cipher)
    new = reseal(parts_of(old), len(old), lambda n: cipher.reseal(old[n]))
    assert [cipher.open(value) for value in new] == [f"{n}" for n in range(1000)]
    assert len({value[24:48] for value in new}) == 1000
    assert max(Counter(value[24:36] for value in new).values()) <= epoch


def test_values_too_short_are_not_cut_out_of_an_array():
    assert parts_in(packed([b"abcd"]).items, 4) is None
