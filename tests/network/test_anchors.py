"""Vectors that are known before a training: laws of the prior about them, and of holding them."""

import numpy as np
import pytest

from catvec.network import (
    Anchor,
    Anchors,
    Inputs,
    Job,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    learn_held_out,
    train_committee,
)

CONFIG = NetworkConfig((30, 6), (4, 3), hidden_sizes=(16,), dropout=0.0)
WIDTH = 3  # of the 4 dimensions of the first table


def anchors(freeze="never", pace=0.1, seed=5):
    """Of the first table; nothing is known of its rows 20 and 21."""
    known = np.ones(30, bool)
    known[20:22] = False
    offsets = np.zeros((30, 4), np.float32)
    offsets[known, :WIDTH] = np.random.default_rng(seed).normal(0, 0.3, (28, WIDTH))
    offsets[0] = 0
    return Anchors({0: Anchor(offsets, known, WIDTH)}, freeze, pace)


def rows(n=600, seed=0):
    """Codes 25 and up of the first column are never met."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(1, 25, n), rng.integers(1, 6, n)], 1).astype(np.int32)
    target = np.sin(codes[:, 0]) * codes[:, 1] + 0.1 * rng.normal(size=n)
    return TrainingData(Inputs(codes), target.astype(np.float32))


def trained(beforehand, engine="numpy", strength=1.0, seed=0, **changes):
    data = rows()
    kept, held = np.arange(500), np.arange(500, 600)
    settings = TrainingConfig("squared", (strength, 1.0), batch_size=50, n_epochs=8, **changes)
    part = TrainingData(data.inputs, data.target, rows=kept)
    held_out = TrainingData(data.inputs, data.target, rows=held)
    job = Job(CONFIG, settings, part, held_out, seed, engine, anchors=beforehand)
    return train_committee([job])[0]


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_overwhelming_shrinkage_leaves_rows_at_home(engine):
    beforehand = anchors(pace=1.0)
    table = trained(beforehand, engine, strength=1e7).network.tables.table(0)
    anchor = beforehand.by_column[0]
    np.testing.assert_allclose(table - table[0], anchor.offsets, atol=1e-3)


def test_weak_shrinkage_lets_them_go():
    beforehand = anchors(pace=1.0)
    table = trained(beforehand, strength=1e-3).network.tables.table(0)
    away = np.abs(table - table[0] - beforehand.by_column[0].offsets)
    assert away[2:25].max() > 0.05


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("last_pass", [False, True])
def test_rows_held_for_good_keep_their_bits_and_others_learn(engine, last_pass):
    beforehand = anchors("always")
    one = trained(beforehand, engine)
    if last_pass:
        learn_held_out([one], 2)
    table, anchor = one.network.tables.table(0), beforehand.by_column[0]
    known = anchor.known
    np.testing.assert_array_equal(table[known, :WIDTH], anchor.offsets[known, :WIDTH])
    assert (np.abs(table[20:22, :WIDTH]) > 0).all()
    assert np.abs(table[2:20, WIDTH:]).min() > 0  # room to learn more


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_rows_never_met_are_at_home(engine):
    beforehand = anchors()
    table = trained(beforehand, engine).network.tables.table(0)
    home = table[0] + beforehand.by_column[0].offsets[25:]
    np.testing.assert_allclose(table[25:], home, atol=1e-6)


def test_first_holds_for_three_epochs_and_then_no_longer():
    beforehand = anchors("first")
    offsets = beforehand.by_column[0].offsets
    seen = [
        beforehand.paces(trained(beforehand).network.tables, epoch, 8)[:3].tolist()
        for epoch in (1, 3, 4)
    ]
    np.testing.assert_allclose(seen, [[0] * 3, [0] * 3, [0.1] * 3], rtol=1e-6)
    table = trained(beforehand).network.tables.table(0)
    assert np.abs(table[2:20, :WIDTH] - offsets[2:20, :WIDTH]).min() > 0


def test_a_lower_pace_moves_less():
    def way(pace):
        beforehand = anchors(pace=pace)
        table = trained(beforehand, strength=0.0).network.tables.table(0)
        return np.abs(table - beforehand.by_column[0].offsets)[2:20, :WIDTH].mean()

    assert way(0.0) < 0.3 * way(0.1) < 0.3 * way(1.0)


def test_engines_agree():
    one, other = (
        trained(anchors("first"), engine).network.tables.flat for engine in ("numpy", "numba")
    )
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_without_anchors_nothing_is_different():
    one, other = trained(Anchors()), trained(Anchors({}, "always", 0.0))
    np.testing.assert_array_equal(one.network.tables.flat, other.network.tables.flat)
