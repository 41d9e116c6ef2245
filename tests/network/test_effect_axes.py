"""Tables that follow from effects: their formula, and trainings that leave them as they are."""

from dataclasses import replace

import numpy as np
import pytest

from catvec.network import (
    Anchor,
    Anchors,
    EffectAxis,
    Inputs,
    Job,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    train_committee,
)
from catvec.network._network import Network


def drawn(n=2000, spread=1.0, error=0.01, seed=0):
    rng = np.random.default_rng(seed)
    effects = (spread * rng.normal(size=(n, 1))).astype(np.float32)
    return effects, effects + (error * rng.normal(size=(n, 1))).astype(np.float32)


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e6])
def test_the_row_of_an_unknown_category_is_zero_and_units_do_not_matter(spread):
    axis = EffectAxis.of(*drawn(spread=spread, error=0.01 * spread))
    effects = spread * np.array([[0.0], [1.0], [-2.0], [30.0]])
    table = axis.table(effects, np.array([0.0, 0.5, 1.0, 1.0]))
    assert table.dtype == np.float32
    assert table.shape == (4, axis.dim) == (4, 6)
    assert not table[0].any()
    of_one = EffectAxis.of(*drawn()).table(effects / spread, np.array([0.0, 0.5, 1.0, 1.0]))
    np.testing.assert_allclose(table, of_one, atol=1e-4)
    assert np.abs(table).max() <= 4.0  # however far an effect lies


def test_pieces_are_those_of_the_definition():
    axis = EffectAxis(2.0, (-1.0, 0.5, 3.0))
    row = axis.table(np.array([[1.75]]), np.array([0.25]))[0]
    # 0 lies two thirds through the first piece; 1.75 beyond it, and half through the second one.
    np.testing.assert_allclose(row, [0.25, 0.875, 1 / 3, 0.5], rtol=1e-6)


def test_pieces_are_no_thinner_than_the_error_of_an_effect():
    n_pieces = [
        len(EffectAxis.of(*drawn(error=error)).ends) - 1 for error in (0.001, 0.3, 0.5, 5.0)
    ]
    assert n_pieces[0] == 4
    assert n_pieces == sorted(n_pieces, reverse=True)
    assert EffectAxis.of(*drawn(error=5.0)).ends == ()


def test_effects_of_several_classes_stand_side_by_side():
    effects = np.random.default_rng(0).normal(size=(50, 3))
    axis = EffectAxis.of(effects, effects)
    assert axis.dim == 4
    table = axis.table(effects[:2], np.array([0.1, 0.2]))
    np.testing.assert_allclose(table[:, 1:], effects[:2] / axis.scale, rtol=1e-6)


def test_effects_that_do_not_differ_say_nothing():
    zeros = np.zeros((10, 1))
    assert not EffectAxis.of(zeros, zeros).table(zeros, np.zeros(10)).any()


CONFIG = NetworkConfig((20, 8), (2, 2), n_knots=(5,), knot_dims=(3,), hidden_sizes=(12, 6))


def job(engine, **shape):
    rng = np.random.default_rng(0)
    n = 400
    codes = np.stack([rng.integers(0, 20, n), rng.integers(0, 8, n)], 1).astype(np.int32)
    positions = rng.uniform(0, 4, (n, 1)).astype(np.float32)
    inputs = Inputs(codes, positions=positions)
    data = TrainingData(inputs, np.sin(codes.sum(axis=1)).astype(np.float32))
    tables = [rng.normal(size=(k, 2)).astype(np.float32) for k in (20, 8)]
    for table in tables:
        table[0] = 0
    held = {c: Anchor(table, np.ones(len(table), bool), 2) for c, table in enumerate(tables)}
    settings = TrainingConfig(
        "squared", (0.0, 0.0, 1.0), n_epochs=3, batch_size=64, category_dropout=0.1
    )
    config = replace(CONFIG, **shape)
    return Job(config, settings, data, None, 0, engine, anchors=Anchors(held, "always")), tables


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("shape", [{}, {"hidden_sizes": ()}, {"n_knots": (), "knot_dims": ()}])
def test_what_never_moves_is_not_computed_and_nothing_else_changes(engine, shape, monkeypatch):
    """Beside the same training with tables that are merely held, and as many categories hidden."""
    monkeypatch.setattr("catvec.network._network.SECOND", 0.0)
    axes = (EffectAxis(1.0), EffectAxis(1.0))
    if "n_knots" in shape:
        shape = {**shape, "n_knots": (), "knot_dims": ()}
    found = []
    for seen in ((), axes):
        one, tables = job(engine, axes=seen, **shape)
        if "n_knots" in shape:
            inputs = Inputs(one.data.inputs.codes)
            settings = replace(one.training, shrinkage=(0.0, 0.0))
            one = replace(one, data=replace(one.data, inputs=inputs), training=settings)
        found.append(train_committee([one])[0].network)
    merely_held, skipped = (network.state() for network in found)
    for name, array in merely_held.items():
        np.testing.assert_allclose(skipped[name], array, rtol=2e-4, atol=2e-6, err_msg=name)
    for c, table in enumerate(tables):
        np.testing.assert_array_equal(found[1].tables.weight(c), table)


def test_tables_follow_effects_of_other_codes_and_all_else_stays():
    axes = (EffectAxis(2.0), EffectAxis(0.5))
    network = Network.create(replace(CONFIG, axes=axes), 0)
    knots, weights = network.tables.knot_weight(0).copy(), network.weights.flat.copy()
    rng = np.random.default_rng(1)
    effects = [(rng.normal(size=(n, 1)), rng.uniform(size=n)) for n in (25, 8)]
    network.follow(effects)
    assert network.config.n_codes == (25, 8)
    for c, (axis, (shifts, confidences)) in enumerate(zip(axes, effects, strict=True)):
        np.testing.assert_array_equal(network.vectors(c), axis.table(shifts, confidences))
    np.testing.assert_array_equal(network.tables.knot_weight(0), knots)
    np.testing.assert_array_equal(network.weights.flat, weights)
    again = Network.from_state(network.config, network.state())
    inputs = Inputs(np.array([[24, 7], [0, 0]], np.int32), positions=np.zeros((2, 1), np.float32))
    np.testing.assert_array_equal(again.predict(inputs), network.predict(inputs))


def test_a_network_looks_at_its_own_columns_where_others_have_pairs():
    network = Network.create(CONFIG, 0)
    codes = np.array([[3, 4, 9], [5, 0, 2]], np.int32)
    positions = np.ones((2, 1), np.float32)
    np.testing.assert_array_equal(
        network.predict(Inputs(codes, positions=positions)),
        network.predict(Inputs(codes[:, :2].copy(), positions=positions)),
    )
