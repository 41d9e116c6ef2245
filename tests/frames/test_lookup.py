"""Looking keys up: by an index as by Arrow's hashing, whatever hashes collide."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from catvec.frames import Vocabulary, _lookup, one_column
from catvec.frames._lookup import KeyIndex, is_part, places_among

KEYS = {
    "text": pa.array(
        sorted({f"k{i * i % 5003}" for i in range(3000)} | {"", "ä"}), pa.large_string()
    ),
    "number": pa.array(np.unique(np.random.default_rng(1).integers(-(2**62), 2**62, 3000))),
    "date": pa.array(
        np.unique(np.random.default_rng(2).integers(0, 10**9, 500)), pa.timestamp("us")
    ),
}


def some_values(keys, rng):
    """Keys again and again, nulls, and what is no key."""
    taken = keys.take(pa.array(rng.integers(0, len(keys), 400)))
    strange = pa.array(["no key", "k"] if keys.type == pa.large_string() else [5, 77])
    return pa.concat_arrays([taken, pa.nulls(3, keys.type), strange.cast(keys.type), taken[:7]])


@pytest.mark.parametrize("family", KEYS)
@pytest.mark.parametrize("n_hashes", [2**32, 7, 1])
def test_index_answers_as_hashing_does(family, n_hashes, rng, monkeypatch):
    hashes_of = _lookup.hash_keys
    monkeypatch.setattr(_lookup, "hash_keys", lambda *args: hashes_of(*args) % np.uint64(n_hashes))
    keys = KEYS[family][:200] if n_hashes < 100 else KEYS[family]
    values = some_values(keys, rng)
    expected = pc.index_in(values, value_set=keys, skip_nulls=True).fill_null(-1)
    index = KeyIndex(family, keys)
    np.testing.assert_array_equal(index.places(values), np.asarray(expected))
    assert len(index.places(values[:0])) == 0


def test_parts_of_wide_columns_are_looked_up_by_an_index(rng, monkeypatch):
    monkeypatch.setattr(_lookup, "WIDE", 1000)
    monkeypatch.setattr("catvec.frames._vocabulary.WIDE", 1000)
    cells = [f"u{i}" for i in range(3000)]
    vocabulary, codes = Vocabulary.learn(one_column("a", cells))
    rows = rng.integers(0, 3000, 500)
    part = [cells[row] for row in rows] + [None, "new"]
    assert is_part(vocabulary.keys[0].values, pa.array(part))
    found = vocabulary.encode(one_column("a", part))
    np.testing.assert_array_equal(found, [*codes[rows], 1, 0])
    assert "_indexes" in vars(vocabulary)


def test_few_values_are_bisected():
    keys = KEYS["text"]
    for value in ("", "ä", "nothing", None):
        one = pa.array([value], pa.large_string())
        expected = pc.index_in(one, value_set=keys, skip_nulls=True).fill_null(-1)
        assert places_among(keys, one).tolist() == expected.to_pylist()
