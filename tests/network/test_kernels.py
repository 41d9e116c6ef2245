"""Each compiled loop against its NumPy twin; what the table loops promise."""

from dataclasses import replace

import numpy as np
import pytest

from catvec.frames import Kind, Lists
from catvec.network import (
    INTERACTIONS,
    Hiding,
    Inputs,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    _kernels,
    _kernels_numba,
    looked_up,
    train,
)
from catvec.network._tables import EmbeddingTables

SIZES = [0, 1, 7, 256]
UNITS = 5


class Batch:
    """A batch of two categorical columns and two knotted numbers, with repeated codes."""

    n_rows, dims, n_knots = (6, 40, 7, 3), (4, 19, 3, 2), (5, 1)

    def __init__(self, size, seed=0):
        rng = np.random.default_rng([seed, size])
        self.tables = EmbeddingTables(self.n_rows, self.dims, 2, np.float32)
        self.tables.initialize(rng)
        self.codes = np.stack([rng.integers(0, n, size + 3) for n in (6, 40)], 1).astype(np.int32)
        self.positions = rng.uniform(0, 4, (size + 3, 2)).astype(np.float32)
        self.positions[:, 1] = 0
        self.positions[rng.random((size + 3, 2)) < 0.1] = np.nan
        self.positions[rng.random((size + 3, 2)) < 0.1] = -1
        self.positions[rng.random(size + 3) < 0.1, 0] = 4
        self.rows = rng.permutation(size + 3)[:size].astype(np.int32)
        self.masses = rng.uniform(0, 2, size).astype(np.float32)
        self.masses[:1] = 0
        self.gradient = rng.normal(size=(size, sum(self.dims) + 3)).astype(np.float32)
        self.pulls = rng.uniform(0, 3, self.tables.n_lines).astype(np.float32)
        self.pulls[self.tables.centers()] = 0
        self.anchors = self.paces = np.empty(0, np.float32)
        self.widths = np.zeros(4, np.int64)
        self.at = np.empty((size, 4), np.int32)
        self.shares = np.empty((size, 2), np.float32)

    def place(self, kernels):
        n_knots = np.array(self.n_knots)
        kernels.place(self.codes, self.positions, self.rows, n_knots, self.at, self.shares)
        return self

    def anchor(self, pace=1.0):
        """Homes for the first table's rows, in all dimensions but the last; not for row 0."""
        rng = np.random.default_rng(5)
        self.anchors = np.zeros_like(self.tables.flat)
        self.tables.view(self.anchors, 0)[1:, :-1] = rng.normal(size=(5, 3))
        self.widths[0] = 3
        self.paces = np.ones(self.tables.n_lines, np.float32)
        self.paces[:6] = pace
        return self

    def update(self, kernels, n_steps=1):
        squares = np.zeros_like(self.pulls)
        slots = np.full(self.tables.n_lines, -1, np.int32)
        sums = np.empty((2 * len(self.at) + 1, 32), np.float32)
        lines = np.empty(2 * len(self.at) + 1, np.int64)
        for _ in range(n_steps):
            kernels.update_tables(
                self.tables.flat,
                squares,
                self.pulls,
                self.anchors,
                self.paces,
                self.widths,
                slots,
                self.tables.layout,
                self.at,
                self.shares,
                self.masses,
                self.gradient,
                0.1,
                sums,
                lines,
            )
        assert (slots == -1).all()
        return self.tables.flat, squares


def both(function):
    return [function(kernels) for kernels in (_kernels, _kernels_numba)]


@pytest.mark.parametrize("size", SIZES)
def test_place(size):
    plain, compiled = both(lambda kernels: Batch(size).place(kernels))
    np.testing.assert_array_equal(plain.at, compiled.at)
    np.testing.assert_allclose(plain.shares, compiled.shares, atol=1e-6)
    inside = plain.positions[plain.rows] >= 0
    back = plain.at[:, 2:] - 2 + plain.shares  # the place on the knots, found again
    np.testing.assert_allclose(back[inside], plain.positions[plain.rows][inside], atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_gather(size):
    def gathered(kernels):
        batch = Batch(size).place(_kernels)
        out = np.full((size, sum(Batch.dims) + 3), 7, np.float32)
        kernels.gather(batch.tables.flat, batch.tables.layout, batch.at, batch.shares, out)
        assert (out[:, -3:] == 7).all()  # room for dense numbers
        return out

    np.testing.assert_allclose(*both(gathered), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_count_lines(size):
    def counted(kernels):
        batch = Batch(size).place(_kernels)
        counts = np.zeros(batch.tables.n_lines)
        kernels.count_lines(batch.tables.layout, batch.at, batch.shares, batch.masses, counts)
        return counts

    plain, compiled = both(counted)
    np.testing.assert_allclose(plain, compiled, rtol=1e-5, atol=1e-6)
    assert plain.sum() == pytest.approx(4 * Batch(size).masses.sum(), rel=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_update_tables(size):
    plain, compiled = both(lambda kernels: Batch(size).place(_kernels).update(kernels, 3))
    np.testing.assert_allclose(plain[0], compiled[0], atol=2e-5)
    np.testing.assert_allclose(plain[1], compiled[1], rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_update_tables_about_anchors(size):
    def updated(kernels):
        return Batch(size).place(_kernels).anchor(pace=0.3).update(kernels, 3)

    plain, compiled = both(updated)
    np.testing.assert_allclose(plain[0], compiled[0], atol=2e-5)
    np.testing.assert_allclose(plain[1], compiled[1], rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernels", [_kernels, _kernels_numba])
def test_about_anchors_is_as_without_seen_from_the_anchors(kernels, size):
    batch, moved = Batch(size).place(_kernels).anchor(), Batch(size).place(_kernels)
    moved.tables.flat[...] -= batch.anchors
    batch.update(kernels, 3)
    moved.update(kernels, 3)
    np.testing.assert_allclose(batch.tables.flat - batch.anchors, moved.tables.flat, atol=2e-5)


@pytest.mark.parametrize("kernels", [_kernels, _kernels_numba])
def test_what_is_held_does_not_move_by_a_bit_and_the_rest_does(kernels):
    batch = Batch(256).place(_kernels).anchor(pace=0.0)
    table = batch.tables.table(0)
    table[:, :3] = batch.tables.view(batch.anchors, 0)[:, :3]
    before = table.copy()
    batch.update(kernels, 3)
    np.testing.assert_array_equal(table[:, :3], before[:, :3])
    assert (table[:, 3] != before[:, 3]).all()


@pytest.mark.parametrize("kernels", [_kernels, _kernels_numba])
def test_rows_not_in_the_batch_do_not_move_by_a_bit(kernels):
    batch = Batch(7).place(_kernels)
    before = batch.tables.flat.copy()
    looked_at = np.zeros(batch.tables.n_lines)
    ones = np.ones(7, np.float32)
    _kernels.count_lines(batch.tables.layout, batch.at, batch.shares, ones, looked_at)
    looked_at[batch.tables.centers()] = 1  # row 0 is moved by the prior
    batch.update(kernels)
    for t, (_, line, _, _, n_rows) in enumerate(batch.tables.layout.tolist()):
        old = EmbeddingTables.table(_with(before), t)
        moved = (old != batch.tables.table(t)).any(axis=1)
        assert not moved[looked_at[line : line + n_rows] == 0].any()
        assert moved.any()


def _with(flat):
    other = EmbeddingTables(Batch.n_rows, Batch.dims, 2, np.float32)
    other.flat[...] = flat
    return other


@pytest.mark.parametrize("kernels", [_kernels, _kernels_numba])
def test_a_strong_prior_cannot_overshoot(kernels):
    batch = Batch(7).place(_kernels)
    batch.gradient[...] = 0
    batch.pulls[batch.pulls > 0] = 1e6
    before = batch.tables.table(1).copy()
    batch.update(kernels)
    seen = np.setdiff1d(batch.at[batch.masses > 0, 1], 0)
    away = np.abs(batch.tables.table(1)[seen] - before[0])
    assert (away <= np.abs(before[seen] - before[0]) + 1e-6).all()


@pytest.mark.parametrize("size", SIZES[1:])
def test_moments(size):
    def found(kernels):
        z = np.random.default_rng(0).normal(3, 2, (size, UNITS)).astype(np.float32)
        out = np.empty((2, UNITS), np.float32)
        kernels.moments(z, out[0], out[1])
        return out

    np.testing.assert_allclose(*both(found), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [2, 300])
def test_remember(size):
    def found(kernels):
        mean, variance, *running = np.random.default_rng(0).uniform(1, 2, (4, UNITS)).astype("f4")
        kernels.remember(mean, variance, size, 0.25, *running)
        return np.stack([mean, variance, *running])

    plain, compiled = both(found)
    np.testing.assert_allclose(plain, compiled, rtol=1e-6)
    before = np.random.default_rng(0).uniform(1, 2, (4, UNITS))
    np.testing.assert_allclose(plain[2], 0.75 * before[2] + 0.25 * before[0], rtol=1e-6)
    unbiased = before[1] * size / (size - 1)
    np.testing.assert_allclose(plain[3], 0.75 * before[3] + 0.25 * unbiased, rtol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("size", SIZES)
def test_normalize_and_back(size, dropout):
    def found(kernels):
        rng = np.random.default_rng(0)
        z = rng.normal(3, 2, (size, UNITS)).astype(np.float32)
        mean, inverse, scale, shift = rng.uniform(0.5, 2, (4, UNITS)).astype(np.float32)
        gradient = rng.normal(size=z.shape).astype(np.float32)
        out, of_weights = np.empty_like(z), np.empty((2, UNITS), np.float32)
        threshold, keep = round(dropout * 2**32), 1 - dropout
        kernels.normalize(z, mean, inverse, scale, shift, 2**32 - 9, threshold, keep, out)
        kernels.normalize_backward(
            z, out, gradient, inverse, scale, 1 / max(size, 1), keep, of_weights[0], of_weights[1]
        )
        return np.vstack([z, out, gradient, of_weights])

    plain, compiled = both(found)
    np.testing.assert_allclose(plain, compiled, rtol=1e-4, atol=1e-4)


def test_dropout_drops_the_share_it_is_asked_for_and_keeps_the_mean():
    z = np.ones((256, 200), np.float32)
    one, zero, out = np.ones(200, np.float32), np.zeros(200, np.float32), np.empty_like(z)
    _kernels.normalize(z, zero, one, one, zero, 12345, round(0.3 * 2**32), 0.7, out)
    assert np.mean(out == 0) == pytest.approx(0.3, abs=0.01)
    assert out.mean() == pytest.approx(1, abs=0.02)
    by_unit, by_row = np.mean(out == 0, axis=0), np.mean(out == 0, axis=1)
    assert by_unit.std() == pytest.approx(np.sqrt(0.21 / 256), rel=0.3)  # no unit is favoured
    assert by_row.std() == pytest.approx(np.sqrt(0.21 / 200), rel=0.3)


@pytest.mark.parametrize("second", [0.0, 0.5])
@pytest.mark.parametrize("p", [0.01, 0.3])
@pytest.mark.parametrize("size", SIZES)
def test_drop_categories(size, p, second):
    limits = Hiding(p, (4, 9), second).limits

    def dropped(kernels):
        batch = Batch(size).place(_kernels)
        no_pairs = np.empty((0, 2), np.int64)
        kernels.drop_categories(batch.at, limits, no_pairs, 2**32 - 9)
        return batch.at

    plain, compiled = both(dropped)
    np.testing.assert_array_equal(plain, compiled)
    before = Batch(size).place(_kernels).at
    assert ((plain == before) | (plain == 0)).all()
    assert ((plain != before).sum(axis=1) <= (2 if second else 1)).all()
    np.testing.assert_array_equal(plain[:, 2:], before[:, 2:])  # numbers stay


@pytest.mark.parametrize("size", SIZES)
def test_a_pair_is_dropped_with_either_of_its_columns(size):
    before = np.random.default_rng(size).integers(1, 9, (size, 6)).astype(np.int32)
    pairs, limits = np.array([[0, 1], [1, 2]]), Hiding(0.7, (4, 9, 4), 0.5).limits

    def dropped(kernels):
        at = before.copy()
        kernels.drop_categories(at, limits, pairs, 2**32 - 9)
        return at

    plain, compiled = both(dropped)
    np.testing.assert_array_equal(plain, compiled)
    gone = plain[:, :3] == 0
    expected = np.stack([gone[:, 0] | gone[:, 1], gone[:, 1] | gone[:, 2]], 1)
    np.testing.assert_array_equal(plain[:, 3:5] == 0, expected)
    np.testing.assert_array_equal(plain[:, 3:5][~expected], before[:, 3:5][~expected])
    np.testing.assert_array_equal(plain[:, 5], before[:, 5])  # what comes after stays


@pytest.mark.parametrize("p", [0.01, 0.3])
@pytest.mark.parametrize("size", SIZES)
def test_drop_elements(size, p):
    x = np.random.default_rng(0).uniform(1, 2, (size, UNITS + 2)).astype(np.float32)

    def dropped(kernels):
        out = x.copy()
        kernels.drop_elements(out, UNITS, 2**32 - 9, round(p * 2**32), 1 - p)
        return out

    plain, compiled = both(dropped)
    np.testing.assert_array_equal(plain == 0, compiled == 0)
    np.testing.assert_allclose(plain, compiled, rtol=1e-6)
    np.testing.assert_array_equal(plain[:, UNITS:], x[:, UNITS:])
    kept = plain[:, :UNITS] != 0
    np.testing.assert_allclose(plain[:, :UNITS], kept * x[:, :UNITS] / (1 - p), rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_adamw(size):
    def stepped(kernels):
        arrays = np.random.default_rng(0).uniform(0.1, 1, (4, size)).astype(np.float32)
        for _ in range(3):
            kernels.adamw(*arrays, size // 2, 1e-2, 1e-3, 10.0, 100.0)
        return arrays

    np.testing.assert_allclose(*both(stepped), rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_multiply_and_back(size):
    pairs = np.array([(0, 4, 3, 9), (4, 2, 2, 12)])

    def found(kernels):
        x, gradient = np.random.default_rng(0).normal(size=(2, size, 14)).astype(np.float32)
        kernels.multiply(x, pairs)
        kernels.multiply_backward(x, pairs, gradient)
        return np.hstack([x, gradient])

    plain, compiled = both(found)
    np.testing.assert_allclose(plain, compiled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_pool_and_back(size):
    blocks = np.array([(0, 2), (2, 4), (6, 1)])

    def found(kernels):
        rng = np.random.default_rng(0)
        x, gradient = rng.normal(size=(2, size, 9)).astype(np.float32)
        sums, out, slopes = rng.normal(size=(3, size, 4)).astype(np.float32)
        kernels.pool(x, blocks, sums, out)
        kernels.pool_backward(x, blocks, sums, slopes, gradient)
        return np.hstack([x, gradient, sums, out])

    plain, compiled = both(found)
    np.testing.assert_allclose(plain, compiled, rtol=1e-5, atol=1e-5)


def test_one_signature_each_after_a_fit():
    """Whatever its batches' sizes; the tests above call with the types of a fit, too."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (70, 2)).astype(np.int32)
    inputs = Inputs(codes, positions=rng.uniform(0, 3, (70, 1)).astype(np.float32))
    data = TrainingData(inputs, rng.normal(size=70).astype(np.float32))
    drops = {"embedding_dropout": 0.1, "category_dropout": 0.1}
    settings = TrainingConfig("squared", (1.0,) * 3, batch_size=32, n_epochs=2, **drops)
    for kind in INTERACTIONS:
        config = NetworkConfig((5, 5), (2, 3), 0, (4,), (2,), (8, 4), 0.1, interactions=kind)
        train(config, settings, data, data, engine="numba")
    looks = looked_up((Kind("sum", 2),), codes, codes[:, :0])
    data = replace(data, inputs=replace(inputs, looks=looks))
    train(replace(config, kinds=(Kind("sum", 2),)), settings, data, data, engine="numba")
    lists = Lists(np.arange(71), codes[:, 0], np.ones(70, np.float32))
    data = replace(data, inputs=replace(inputs, lists=(lists,)))
    train(replace(config, kinds=(Kind("list"),)), settings, data, data, engine="numba")
    for name in _kernels_numba.__all__:
        assert len(getattr(_kernels_numba, name).signatures) == 1, name


def test_the_same_names():
    assert _kernels.__all__ == _kernels_numba.__all__
