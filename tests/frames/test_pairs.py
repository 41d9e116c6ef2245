"""Pairs of columns: which combinations were seen, and their codes."""

import numpy as np
import pytest

from catvec.frames import FIRST, MISSING, OTHER, UNKNOWN, Pair


def codes_of(seed, n=200, n_codes=(7, 5)):
    """Codes of two columns, unknown and missing among them."""
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, k, n).astype(np.int32) for k in n_codes)


def naive_learn(first, second, most):
    """Rows of each combination, the most frequent ones, in the order of their codes."""
    counts = {}
    for combination in zip(first.tolist(), second.tolist(), strict=True):
        if UNKNOWN not in combination:
            counts[combination] = counts.get(combination, 0) + 1
    kept = sorted(counts, key=lambda c: (-counts[c], c))[:most]
    return {combination: counts[combination] for combination in sorted(kept)}


def naive_encode(known, first, second):
    places = {combination: i + FIRST for i, combination in enumerate(known)}
    combinations = zip(first.tolist(), second.tolist(), strict=True)
    return [UNKNOWN if UNKNOWN in c else places.get(c, OTHER) for c in combinations]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [3, 12, 1000])
def test_the_naive_twin_agrees(seed, most):
    train, new = codes_of(seed, n=60), codes_of(seed + 100)
    pair = Pair.learn("a", "b", 5, train, most=most)
    known = naive_learn(*train, most)
    assert list(zip(*map(np.ndarray.tolist, pair.column_codes()), strict=True)) == list(known)
    assert pair.counts.tolist() == list(known.values())
    assert len(pair) == len(known) == pair.n_codes - FIRST
    for rows in (train, new):
        codes = pair.encode(*rows)
        assert codes.tolist() == naive_encode(known, *rows)
        assert codes.dtype == np.int32


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_changes_nothing(seed):
    first, second = codes_of(seed)
    order = np.random.default_rng(seed).permutation(len(first))
    one = Pair.learn("a", "b", 5, (first, second), most=9)
    other = Pair.learn("a", "b", 5, (first[order], second[order]), most=9)
    np.testing.assert_array_equal(one.keys, other.keys)
    np.testing.assert_array_equal(one.counts, other.counts)


def test_missing_is_a_category_and_unknown_is_none():
    first, second = np.array([0, 2, 1, 1, 2], np.int32), np.array([2, 0, 2, 1, 2], np.int32)
    pair = Pair.learn("a", "b", 3, (first, second))
    assert [part.tolist() for part in pair.column_codes()] == [[1, 1, 2], [1, 2, 2]]
    assert pair.encode(first, second).tolist() == [UNKNOWN, UNKNOWN, 3, 2, 4]
    new = np.array([2, MISSING, 0], np.int32), np.array([MISSING, MISSING, MISSING], np.int32)
    assert pair.encode(*new).tolist() == [OTHER, 2, UNKNOWN]


def test_of_equally_frequent_combinations_the_first_are_kept():
    codes = np.array([4, 3, 2, 2], np.int32), np.array([2, 2, 2, 2], np.int32)
    pair = Pair.learn("a", "b", 3, codes, most=2)
    assert pair.column_codes()[0].tolist() == [2, 3]
    assert pair.counts.tolist() == [2, 1]
    assert pair.encode(*codes).tolist() == [OTHER, 3, 2, 2]


def test_without_rows_there_are_no_combinations():
    nothing = np.zeros(0, np.int32)
    pair = Pair.learn("a", "b", 5, (nothing, nothing))
    assert (len(pair), pair.n_codes) == (0, FIRST)
    first, second = codes_of(0)
    assert pair.encode(first, second).tolist() == naive_encode([], first, second)
    assert pair.encode(nothing, nothing).shape == (0,)


def test_large_columns_do_not_overflow():
    n = 2**31 - 1
    codes = np.array([n - 1, n - 2], np.int32), np.array([n - 1, 2], np.int32)
    pair = Pair.learn("a", "b", n, codes)
    assert [part.tolist() for part in pair.column_codes()] == [[n - 2, n - 1], [2, n - 1]]
    assert pair.encode(*codes).tolist() == [3, 2]


def test_the_name_is_that_of_both_columns():
    assert Pair.learn("Store", "DayOfWeek", 5, codes_of(0)).name == "Store*DayOfWeek"


@pytest.mark.parametrize("seed", range(10))
def test_growing_counts_as_learning_all_rows(seed):
    old_rows, new_rows = codes_of(seed, n=60), codes_of(seed + 100, n=40, n_codes=(9, 8))
    old = Pair.learn("a", "b", 5, old_rows)
    grown, moved = old.grown(8, new_rows)
    whole = Pair.learn("a", "b", 8, tuple(map(np.append, old_rows, new_rows)))
    np.testing.assert_array_equal(grown.keys, whole.keys)
    np.testing.assert_array_equal(grown.counts, whole.counts)
    np.testing.assert_array_equal(moved[old.encode(*old_rows)], grown.encode(*old_rows))


def test_no_more_combinations_are_taken_up_than_there_is_room_for():
    first, second = np.array([2, 3, 4, 4], np.int32), np.array([2, 2, 2, 2], np.int32)
    old = Pair.learn("a", "b", 3, (first[:1], second[:1]))
    grown, _ = old.grown(3, (first, second), most=2)
    assert grown.column_codes()[0].tolist() == [2, 4]
    assert grown.counts.tolist() == [2, 2]
    full, moved = grown.grown(3, (first, second), most=1)
    assert full.counts.tolist() == [3, 4]
    assert moved.tolist() == [0, 1, 2, 3]
