"""MurmurHash3: equal to a naive twin, to scikit-learn's, and to what it was yesterday."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.utils import murmurhash3_32

from catvec.frames._murmur import CHUNK, hash_keys

TEXTS = [
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "abcde",
    "häß",
    "日本語テキスト",
    *("x" * i for i in range(40)),
]


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31])
def test_text_as_scikit_learn(seed):
    array = pa.array(TEXTS, pa.large_string())
    expected = [murmurhash3_32(text, seed=seed, positive=True) for text in TEXTS]
    assert hash_keys("text", array, [seed])[:, 0].tolist() == expected
    sliced = hash_keys("text", array.slice(3, 9), [seed])[:, 0].tolist()
    assert sliced == expected[3:12]


def test_integers_are_eight_bytes_the_lowest_first():
    numbers = [0, 1, -1, 255, 2**40, -(2**63), 2**63 - 1]
    for seed in (0, 3):
        expected = [
            murmurhash3_32(n.to_bytes(8, "little", signed=True), seed=seed, positive=True)
            for n in numbers
        ]
        assert hash_keys("number", pa.array(numbers), [seed])[:, 0].tolist() == expected


def test_several_seeds_are_several_columns():
    array = pa.array(TEXTS, pa.large_string())
    together = hash_keys("text", array, [0, 1, 2])
    alone = [hash_keys("text", array, [seed])[:, 0] for seed in (0, 1, 2)]
    np.testing.assert_array_equal(together, np.stack(alone, 1))
    assert len(np.unique(together[8])) == 3


def test_one_key_whatever_its_type():
    floats = hash_keys("number", pa.array([1.0, -5.0, 2.0**60]), [1])
    integers = hash_keys("number", pa.array([1, -5, 2**60]), [1])
    unsigned = hash_keys("number", pa.array([1, 2**63], pa.uint64()), [1])
    np.testing.assert_array_equal(floats, integers)
    assert unsigned[0] == integers[0]
    assert hash_keys("number", pa.array([0.5]), [1]) != hash_keys("number", pa.array([0.25]), [1])


def test_families_differ():
    micro = pa.array([1], pa.timestamp("us"))
    as_text = hash_keys("text", pa.array(["1"], pa.large_string()), [0])
    found = {
        int(hashed[0, 0])
        for hashed in (
            as_text,
            hash_keys("number", pa.array([1]), [0]),
            hash_keys("date", micro, [0]),
            hash_keys("boolean", pa.array([True]), [0]),
        )
    }
    assert len(found) == 4


def test_golden_values():
    """Never to change: artifacts hold what was learned for these buckets."""
    assert hash_keys("text", pa.array(["store"], pa.large_string()), [0, 1]).tolist() == [
        [3748190670, 3151498653]
    ]
    assert hash_keys("number", pa.array([262]), [0, 1]).tolist() == [[4175193515, 3656825607]]
    date = pa.array([np.datetime64("2024-02-29", "us")])
    assert hash_keys("date", date, [0])[0, 0] == 4248609944
    assert hash_keys("boolean", pa.array([True, False]), [0])[:, 0].tolist() == [
        3099276938,
        2916906684,
    ]


def test_long_columns_in_chunks():
    numbers = pa.array(np.arange(CHUNK + 5))
    hashed = hash_keys("number", numbers, [0])
    np.testing.assert_array_equal(hashed[-7:], hash_keys("number", numbers.slice(CHUNK - 2), [0]))
    assert hash_keys("text", pa.array([], pa.large_string()), [0, 1]).shape == (0, 2)


def test_spread():
    """Buckets of consecutive numbers are as full as chance makes them (chi-square)."""
    n_buckets = 64
    counts = np.bincount(
        hash_keys("number", pa.array(np.arange(64_000)), [0])[:, 0] % n_buckets,
        minlength=n_buckets,
    )
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 63 + 5 * np.sqrt(2 * 63)
