"""Integers by their gaps are the integers, wherever they lie; small counts are the counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catvec.frames._gaps import BLOCK, Gaps, SmallCounts

INTEGERS = st.one_of(st.integers(-500, 500), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(INTEGERS, unique=True, max_size=3 * BLOCK), st.lists(INTEGERS, max_size=9))
def test_they_are_the_integers(integers, asked):
    ascending = np.sort(np.array(integers, np.int64))
    gaps = Gaps.of(ascending)
    np.testing.assert_array_equal(gaps.integers(), ascending)
    asked += integers[::3]
    places = {integer: place for place, integer in enumerate(ascending.tolist())}
    naive = [places.get(integer, -1) for integer in asked]
    assert gaps.places(np.array(asked, np.int64)).tolist() == naive


@pytest.mark.parametrize(("pace", "n_bytes"), [(1, 1), (100, 1), (7919, 2), (10**6, 4)])
def test_few_bytes(pace, n_bytes, monkeypatch):
    rng = np.random.default_rng(0)
    integers = np.cumsum(rng.integers(1, 2 * pace, 10_000)) if pace > 1 else np.arange(10_000)
    gaps = Gaps.of(integers.astype(np.int64))
    assert n_bytes <= gaps.nbytes / 10_000 < n_bytes + 0.25
    monkeypatch.setattr("catvec.frames._gaps.CHUNK", 100)
    np.testing.assert_array_equal(gaps.places(integers), np.arange(10_000))
    assert (
        gaps.places(integers[1:] - 1) == np.where(np.diff(integers) > 1, -1, np.arange(9999))
    ).all()


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**60)), min_size=1), st.data())
def test_small_counts_are_the_counts(counts, data):
    small = SmallCounts.of(np.array(counts, np.int64))
    assert small[:].tolist() == counts
    assert small[:].dtype == np.int64
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1)))
    assert small[np.array(rows, np.intp)].tolist() == [counts[row] for row in rows]
    assert [int(small[row]) for row in rows] == [counts[row] for row in rows]
    start, stop = sorted(data.draw(st.tuples(st.integers(0, 9), st.integers(0, 99))))
    assert small[start:stop].tolist() == counts[start:stop]
    assert small.nbytes == len(counts) + 12 * sum(count >= 255 for count in counts)
