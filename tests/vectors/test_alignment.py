"""Alignment: a planted rotation is undone, and what the data do not say is left alone."""

import numpy as np
import pytest

from catvec.errors import ParameterError
from catvec.vectors import _alignment, align, average_aligned, in_scale, rotation

SEEDS = range(8)


def _orthogonal(rng, d, *, reflect):
    q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return q if (np.linalg.det(q) < 0) == reflect else q * np.array([-1.0] + [1.0] * (d - 1))


def _distance(table, reference, counts):
    return float((counts[:, None] * (table - reference) ** 2).sum())


@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_turn_and_shift_are_undone(seed, reflect):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(60, 6)).astype(np.float32)
    turn = _orthogonal(rng, 6, reflect=reflect)
    found = align(reference @ turn + rng.normal(size=6), reference, rng.integers(0, 100, size=60))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_other_turn_and_shift_come_closer(seed):
    rng = np.random.default_rng(seed)
    vectors, reference = rng.normal(size=(2, 20, 4))
    counts = rng.integers(0, 50, size=20)
    best = _distance(align(vectors, reference, counts), reference, counts)
    shift = np.average(reference, axis=0, weights=counts)
    for _ in range(50):
        other = _orthogonal(rng, 4, reflect=bool(rng.integers(2)))
        centered = vectors - np.average(vectors, axis=0, weights=counts)
        nearby = shift + 0.1 * rng.normal(size=4)
        assert best <= _distance(centered @ other + shift, reference, counts) + 1e-4
        assert best <= _distance(
            align(vectors, reference, counts) - shift + nearby, reference, counts
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_distances_are_kept(seed):
    rng = np.random.default_rng(seed)
    vectors, reference = rng.normal(size=(2, 20, 4)).astype(np.float32)
    found = align(vectors, reference)
    apart = [np.linalg.norm(table[:, None] - table, axis=2) for table in (found, vectors)]
    np.testing.assert_allclose(*apart, atol=1e-5)


def test_counts_decide_whom_to_follow(rng):
    reference = rng.normal(size=(40, 3))
    first, second = _orthogonal(rng, 3, reflect=False), _orthogonal(rng, 3, reflect=False)
    vectors = np.concatenate([reference[:20] @ first, reference[20:] @ second])
    counts = np.repeat([1, 0], 20)
    np.testing.assert_allclose(rotation(vectors, reference, counts), first.T, atol=1e-9)
    np.testing.assert_allclose(
        rotation(vectors, reference, counts * 1000), rotation(vectors, reference, counts)
    )


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_directions_without_data_stay(rng, rank):
    reference = np.zeros((30, 5))
    reference[:, :rank] = rng.normal(size=(30, rank))
    np.testing.assert_allclose(rotation(reference, reference), np.eye(5), atol=1e-9)
    turn = rotation(rng.normal(size=(2, 5)), rng.normal(size=(2, 5)))
    np.testing.assert_allclose(turn @ turn.T, np.eye(5), atol=1e-12)


def test_without_rows_weight_or_width_nothing_turns(rng):
    table = rng.normal(size=(4, 3))
    np.testing.assert_allclose(rotation(table, table[::-1], np.zeros(4)), np.eye(3))
    np.testing.assert_allclose(rotation(table[:0], table[:0]), np.eye(3))
    assert align(table[:, :0], table[:, :0]).shape == (4, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mean_of_moved_copies_is_the_first_about_its_centre(seed):
    rng = np.random.default_rng(seed)
    first, counts = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(1, 9, size=30)
    centered = first - np.average(first, axis=0, weights=counts)
    copies = [
        first @ _orthogonal(rng, 4, reflect=bool(i % 2)) + rng.normal(size=4) for i in range(3)
    ]
    np.testing.assert_allclose(average_aligned([first, *copies], counts), centered, atol=1e-5)
    np.testing.assert_allclose(average_aligned([first], counts), centered, atol=1e-6)


def test_chunks_do_not_show(rng, monkeypatch):
    tables = list(rng.normal(size=(3, 50, 4)).astype(np.float32))
    whole = average_aligned(tables), align(tables[0], tables[1])
    monkeypatch.setattr(_alignment, "CHUNK", 7)
    parts = average_aligned(tables), align(tables[0], tables[1])
    np.testing.assert_allclose(whole, parts, atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "reference", "counts", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), None, r"shape \(3, 4\), got \(3, 2\)"),
        (np.zeros((3, 2)), np.zeros((4, 2)), None, r"shape \(4, 2\), got \(3, 2\)"),
        (np.zeros(3), np.zeros(3), None, "`vectors`"),
        (np.zeros((3, 2)), np.zeros((3, 2)), [1, 2], r"`counts` must be of shape \(3,\)"),
        (np.zeros((3, 2)), np.zeros((3, 2)), [1, 2, -1], "`counts` must be finite and at least 0"),
        (np.zeros((3, 2)), np.zeros((3, 2)), [1, 2, np.nan], "`counts` must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(vectors, reference, counts, message):
    with pytest.raises(ParameterError, match=message):
        align(vectors, reference, counts)


def test_the_mean_of_nothing_is_refused():
    with pytest.raises(ParameterError, match="`tables` must be a list of at least one"):
        average_aligned([])


def _spread(table, counts):
    away = table - np.average(table, axis=0, weights=counts)
    return np.average((away**2).sum(axis=1), weights=counts)


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_are_spread_as_a_reference_by_one_factor(seed):
    rng = np.random.default_rng(seed)
    reference, *tables = rng.normal(size=(4, 30, 3)) * rng.uniform(0.1, 3, size=(4, 1, 1))
    counts = rng.integers(0, 50, size=30)
    found = in_scale(tables, reference, counts)
    spreads = [_spread(table, counts) for table in found]
    np.testing.assert_allclose(np.mean(spreads), _spread(reference, counts), rtol=1e-5)
    factors = [f.std(axis=0) / t.std(axis=0) for f, t in zip(found, tables, strict=True)]
    np.testing.assert_allclose(factors, factors[0][0], rtol=1e-5)
    means = [np.average(t, axis=0, weights=counts) for pair in (found, tables) for t in pair]
    np.testing.assert_allclose(means[:3], means[3:], atol=1e-6)
    assert {table.dtype for table in found} == {np.dtype(np.float32)}


def test_tables_of_no_spread_stay_as_they_are(rng):
    flat = np.ones((5, 2), np.float32)
    for tables, reference in (
        ([flat, flat], rng.normal(size=(5, 2))),
        ([np.zeros((5, 0), np.float32)], rng.normal(size=(5, 2))),
        ([], flat),
    ):
        for found, table in zip(in_scale(tables, reference), tables, strict=True):
            np.testing.assert_array_equal(found, table)


def test_a_spread_in_chunks_is_that_of_the_whole(rng, monkeypatch):
    tables, reference = list(rng.normal(size=(2, 50, 3))), rng.normal(size=(50, 3))
    whole = in_scale(tables, reference)
    monkeypatch.setattr(_alignment, "CHUNK", 7)
    np.testing.assert_allclose(in_scale(tables, reference), whole, atol=1e-6)
