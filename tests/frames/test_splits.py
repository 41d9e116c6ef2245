"""Folds and held-out rows: groups stay together, time only runs forward."""

import numpy as np
import pytest

from catvec.frames import Ties, make_folds, make_held_out, twins

SEEDS = range(5)


def parts_of(folds, n_rows):
    """The fold each row is tested in, -1 for none; no row twice."""
    part = np.full(n_rows, -1)
    for i, fold in enumerate(folds):
        assert (part[fold.test] == -1).all()
        assert not np.intersect1d(fold.train, fold.test).size
        assert (np.diff(fold.train) > 0).all()
        assert (np.diff(fold.test) > 0).all()
        part[fold.test] = i
    return part


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n_rows", "n_folds"), [(100, 5), (103, 4), (7, 7), (3, 5), (2, 2)])
def test_random_folds_part_the_rows_evenly(n_rows, n_folds, seed):
    folds = make_folds(Ties(n_rows), n_folds, np.random.default_rng(seed))
    part = parts_of(folds, n_rows)
    assert len(folds) == min(n_folds, n_rows)
    assert np.ptp(np.bincount(part)) <= 1
    assert all(len(fold.train) + len(fold.test) == n_rows for fold in folds)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_nothing_to_split(n_rows):
    for ties in (Ties(n_rows), Ties(n_rows, time=np.zeros(n_rows, int))):
        assert make_folds(ties, 5, np.random.default_rng(0)) == []
        held_out = make_held_out(ties, 0.2, 2, np.random.default_rng(0))
        assert [mask.tolist() for mask in held_out] == [[False] * n_rows] * 2


@pytest.mark.parametrize("seed", SEEDS)
def test_random_folds_keep_the_shares_of_classes(seed):
    rng = np.random.default_rng(seed)
    strata = rng.choice(3, size=500, p=[0.85, 0.1, 0.05])
    folds = make_folds(Ties(500, strata=strata), 5, rng)
    part = parts_of(folds, 500)
    for label in range(3):
        assert np.ptp(np.bincount(part[strata == label], minlength=5)) <= 1
    for mask in make_held_out(Ties(500, strata=strata), 0.1, 4, rng):
        assert np.bincount(strata[mask]) == pytest.approx(np.bincount(strata) / 10, abs=1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_groups", [2, 7, 60, 299])
def test_groups_stay_together(n_groups, seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_groups, size=300) * 1000 - 7
    folds = make_folds(Ties(300, groups=groups), 5, rng)
    part = parts_of(folds, 300)
    assert (part >= 0).all()
    assert all(len(np.unique(part[groups == g])) == 1 for g in np.unique(groups))
    largest = np.bincount(groups + 7).max()
    assert np.ptp(np.bincount(part)) <= largest
    for mask in make_held_out(Ties(300, groups=groups), 0.2, 3, rng):
        assert 0 < mask.sum() < 300
        assert not np.intersect1d(groups[mask], groups[~mask]).size


def test_one_group_cannot_be_split(rng):
    ties = Ties(10, groups=np.zeros(10, int))
    assert make_folds(ties, 5, rng) == []
    assert not make_held_out(ties, 0.2, 1, rng)[0].any()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_moments", [2, 3, 40, 1000])
def test_folds_expand_in_time_and_never_part_a_moment(n_moments, seed):
    rng = np.random.default_rng(seed)
    time = rng.integers(n_moments, size=400)
    folds = make_folds(Ties(400, time=time), 5, rng)
    part = parts_of(folds, 400)
    assert 1 <= len(folds) <= 5
    for i, fold in enumerate(folds):
        assert time[fold.train].max() < time[fold.test].min()
        assert set(fold.train) == set(np.flatnonzero(part < i))
    if n_moments == 1000:
        assert np.bincount(part + 1).min() > 50
    assert folds[0].test.size
    held_out, other = make_held_out(Ties(400, time=time), 0.2, 2, rng)
    assert (held_out == other).all()
    assert time[held_out].min() > time[~held_out].max()
    if n_moments == 1000:
        assert held_out.mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_in_time_stand_where_they_end(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(80, size=400)
    time = groups * 10 + rng.integers(100, size=400)
    ends = np.array([time[groups == group].max() for group in groups])
    folds = make_folds(Ties(400, groups, time), 5, rng)
    assert parts_of(folds, 400).max() == len(folds) - 1
    (held_out,) = make_held_out(Ties(400, groups, time), 0.2, 1, rng)
    assert 0.1 < held_out.mean() < 0.4
    pairs = [(fold.train, fold.test) for fold in folds]
    for train, test in [*pairs, (np.flatnonzero(~held_out), np.flatnonzero(held_out))]:
        assert not np.intersect1d(groups[train], groups[test]).size
        assert time[train].max() == ends[train].max() < ends[test].min()


def test_groups_that_all_last_to_the_end_are_in_no_fold(rng):
    ties = Ties(40, groups=np.arange(40) % 4, time=np.arange(40) // 4)
    assert make_folds(ties, 5, rng) == []
    assert not make_held_out(ties, 0.2, 1, rng)[0].any()


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.1, 0.15, 0.25, 1 / 3, 0.4, 0.5, 0.7, 0.9])
def test_held_out_sets_have_their_share_and_are_disjoint_while_rows_last(fraction, rng):
    sets = make_held_out(Ties(2000), fraction, 5, rng)
    assert [mask.mean() for mask in sets] == pytest.approx([fraction] * 5, abs=0.01)
    n_disjoint = min(5, int(1 / fraction + 1e-9))
    assert np.sum(sets[:n_disjoint], axis=0).max() == 1
    assert all(mask.dtype == bool for mask in sets)


def test_splits_come_from_the_generator_alone():
    for split in (make_folds, lambda *a: make_held_out(a[0], 0.2, 2, a[2])):
        one, again, other = (split(Ties(50), 5, np.random.default_rng(s)) for s in (1, 1, 2))
        assert repr(one) == repr(again) != repr(other)


def test_ties_of_some_rows():
    ties = Ties(6, np.arange(6), None, np.array([0, 1, 0, 1, 0, 1]))
    part = ties.take(np.array([4, 1]))
    assert (part.n_rows, part.groups.tolist(), part.time) == (2, [4, 1], None)
    assert part.strata.tolist() == [0, 1]


# --- twins ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_twins_are_rows_equal_in_every_column(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(50, size=(300, 4)).astype(np.int32)
    values = rng.normal(size=(300, 2))
    values[rng.random((300, 2)) < 0.3] = np.nan
    codes[-9:], values[-9:] = codes[:9], values[:9]
    groups = twins(codes, values)
    assert groups[-9:].tolist() == groups[:9].tolist()
    assert len(np.unique(groups)) == 291


def test_a_zero_has_one_sign_for_twins():
    values = np.arange(20.0)[:, None]
    values[1] = -0.0
    groups = twins(np.zeros((20, 0), np.int32), values)
    assert groups[0] == groups[1]
    assert len(np.unique(groups)) == 19


def test_no_twins_where_all_rows_differ_or_few_do():
    codes = np.arange(100, dtype=np.int32)[:, None]
    nothing = np.zeros((100, 0))
    assert twins(codes, nothing) is None
    assert twins(codes // 2, nothing) is None
    assert twins(codes[:, :0], nothing) is None
    assert twins(codes[:0], nothing[:0]) is None
    assert twins(np.minimum(codes, 98), nothing) is not None
