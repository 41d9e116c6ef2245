"""Steps that are compiled as a whole against those that call one loop after the other."""

from dataclasses import replace

import numpy as np
import pytest

from catvec.frames import Kind, Lists
from catvec.network import (
    Anchor,
    Anchors,
    Inputs,
    Network,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    _compiled_step,
    _kernels,
    looked_up,
    make_loss,
)
from catvec.network import _numba_steps as loops
from catvec.network._compiled_step import STEPS_OF_A_CALL, CompiledStep
from catvec.network._effect_axes import EffectAxis
from catvec.network._step import Step, count_lines

CONFIG = NetworkConfig((6, 30, 30), (3, 4, 3), 2, (9, 5), (3, 3), (16, 8), 0.1)
LAMBDAS = (1.0, 5.0, 0.0, 2.0, 1.0)
N_ROWS = 900
N_STEPS = STEPS_OF_A_CALL + 6


def table(loss="squared", seed=0):
    """Rows with weights, unknown and missing numbers, and a target for the loss."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, n, N_ROWS) for n in CONFIG.n_codes], 1).astype(np.int32)
    positions = rng.uniform(-0.5, 4.5, (N_ROWS, 2)).astype(np.float32)
    positions[:20, 0], positions[20:40, 1] = np.nan, -1
    numbers = rng.normal(size=(N_ROWS, 2)).astype(np.float32)
    target = np.sin(codes[:, 1]) + numbers[:, 0] + 0.1 * rng.normal(size=N_ROWS)
    if loss in ("logistic", "softmax"):
        target = np.digitize(target, [0.0] if loss == "logistic" else [-0.5, 0.5])
    if loss == "poisson":
        target = np.floor(np.abs(target))
    weight = rng.uniform(0.2, 3, N_ROWS).astype(np.float32)
    return TrainingData(Inputs(codes, numbers, positions), target.astype(np.float32), weight)


def steps(config=CONFIG, data=None, anchors=None, **changes):
    """One by one, and compiled as a whole, ready to train the same network."""
    data = table() if data is None else data
    settings = TrainingConfig(**{"loss": "squared", "shrinkage": LAMBDAS, **changes})
    found = []
    for kind in (Step, CompiledStep):
        network = Network.create(config, 0)
        loss = make_loss(settings.loss, config.n_outputs, settings.quantile)
        known = Anchors() if anchors is None else anchors
        known.begin(network.tables)
        step = kind(network, loss, settings, _kernels, known)
        step.take(data, count_lines(_kernels, network, data))
        step.keep_pace(known.paces(network.tables, 5, 10))
        found.append(step)
    return found


def learned(step, sizes=(41, 40), n_steps=N_STEPS, data=None):
    """The loss of steps of batches of two sizes, after which all that moved is in `state`."""
    if data is not None:
        step.look_at(data)
    rng = np.random.default_rng(3)
    ends = np.cumsum([sizes[i % 2] for i in range(n_steps)])
    rows = rng.integers(0, N_ROWS, ends[-1]).astype(np.int32)
    rates = 1e-3 * 0.99 ** np.arange(n_steps)
    return step.learn(rows, ends, rates, np.arange(7, 7 + n_steps, dtype=np.uint64))


@pytest.fixture
def calls(monkeypatch):
    """How many steps each call of the compiled loop took."""
    found, learn = [], loops.learn

    def counted(*arguments):
        found.append(len(arguments[9]))
        return learn(*arguments)

    monkeypatch.setattr(_compiled_step.loops, "learn", counted)
    return found


def assert_alike(one, whole, **how):
    assert learned(whole, **how) == pytest.approx(learned(one, **how), rel=1e-5)
    assert whole.adamw.n_steps == one.adamw.n_steps
    for expected, found in zip(one.state(), whole.state(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert np.abs(found - expected).sum() <= 1e-5 * found.size
    before = Network.create(one.network.config, 0).weights.flat
    assert np.abs(one.network.weights.flat - before).max() > 0.01  # there was something to compare


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    "loss", ["squared", "absolute", "quantile", "logistic", "softmax", "poisson"]
)
def test_every_loss(loss, weighted, calls):
    config = replace(CONFIG, n_outputs=3) if loss == "softmax" else CONFIG
    data = table(loss)
    data = data if weighted else replace(data, weight=None)
    quantile = 0.8 if loss == "quantile" else None
    assert_alike(*steps(config, data, loss=loss, quantile=quantile))
    assert sum(calls) == N_STEPS


ONE_BY_ONE = {
    "linear": ({"hidden_sizes": ()}, {}),
    "dropout of elements": ({}, {"embedding_dropout": 0.3}),
}
SHAPES = {
    "product": ({"interactions": "product"}, {}),
    "factorization machine": ({"interactions": "factorization_machine"}, {}),
    "pairs": ({"n_pairs": 1, "interactions": "product"}, {}),
    "one layer": ({"hidden_sizes": (7,)}, {}),
    "without dropout": ({"dropout": 0.0}, {}),
    "without batch norm": ({"batch_norm": False}, {}),
    "a shared table": ({"kinds": (Kind("full"), Kind("full"), Kind("shared", 1))}, {}),
    "dropout of categories": ({}, {"category_dropout": 0.3}),
    "dropout of pairs": ({"n_pairs": 1}, {"category_dropout": 0.3, "pair_columns": ((0, 1),)}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_and_every_dropout(name, calls):
    shape, settings = SHAPES[name]
    assert_alike(*steps(replace(CONFIG, **shape), **settings))
    assert calls == [STEPS_OF_A_CALL, N_STEPS - STEPS_OF_A_CALL]


@pytest.mark.parametrize("part", ["codes", "numbers", "positions"])
def test_without_a_part_of_the_input(part):
    data = table()
    kind = getattr(data.inputs, part).dtype
    inputs = replace(data.inputs, **{part: np.empty((N_ROWS, 0), kind)})
    shape = {
        "codes": {"n_codes": (), "dims": ()},
        "numbers": {"n_numbers": 0},
        "positions": {"n_knots": (), "knot_dims": ()},
    }[part]
    shrinkage = {"codes": LAMBDAS[3:], "numbers": LAMBDAS, "positions": LAMBDAS[:3]}[part]
    config = replace(CONFIG, **shape)
    assert_alike(*steps(config, replace(data, inputs=inputs), shrinkage=shrinkage))


@pytest.mark.parametrize("n_knots", [(9, 5), ()])
def test_tables_that_follow_from_effects_stay(n_knots, calls):
    axes = tuple(EffectAxis(1.0, (-1.0, 1.0), n) for n in CONFIG.n_codes)
    n = len(n_knots)
    config = replace(CONFIG, axes=axes, n_knots=n_knots, knot_dims=CONFIG.knot_dims[:n])
    data = table()
    data = replace(data, inputs=replace(data.inputs, positions=data.inputs.positions[:, :n]))
    homes = np.linspace(-1, 1, 30, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    homes[0] = 0
    anchors = Anchors({1: Anchor(homes, np.ones(30, bool), 4)}, "always")
    one, whole = steps(config, data, anchors, shrinkage=LAMBDAS[: 3 + n])
    before = [whole.network.tables.table(c).copy() for c in range(3)]
    assert_alike(one, whole)
    assert sum(calls) == N_STEPS
    for c in range(3):
        np.testing.assert_array_equal(whole.network.tables.table(c), before[c])


def test_known_vectors_move_at_their_pace():
    rng = np.random.default_rng(5)
    offsets, known = rng.normal(size=(30, 4)).astype(np.float32), np.ones(30, bool)
    offsets[0], offsets[:, 3] = 0, 0
    anchors = Anchors({1: Anchor(offsets, known, 3)}, "first", 0.2)
    assert_alike(*steps(anchors=anchors))


def test_rows_of_weight_0():
    data = table()
    data.weight[::3] = 0
    assert_alike(*steps(data=data))


def test_running_moments_as_constants():
    one, whole = steps()
    for step in (one, whole):
        for layer in step.hidden:
            layer.running_norm = True
    assert_alike(one, whole)


def test_what_is_seldom_asked_for_is_done_step_by_step(calls):
    for shape, settings in ONE_BY_ONE.values():
        assert_alike(*steps(replace(CONFIG, **shape), **settings))
    data, kind = table(), Kind("sum", 4)
    codes = data.inputs.codes
    looks = looked_up((kind,) * 3, codes, codes[:, :0])
    composed = replace(data, inputs=replace(data.inputs, looks=looks))
    assert_alike(*steps(replace(CONFIG, kinds=(kind,) * 3), composed))
    column = Lists(np.arange(N_ROWS + 1), codes[:, 0], np.ones(N_ROWS, np.float32))
    codes = codes * np.array([0, 1, 1], np.int32)
    with_lists = replace(data, inputs=replace(data.inputs, codes=codes, lists=(column,)))
    kinds = (Kind("list"), Kind("full"), Kind("full"))
    assert_alike(*steps(replace(CONFIG, kinds=kinds), with_lists))
    assert not calls


def test_batches_of_one_row_and_of_none():
    assert_alike(*steps(batch_size=1), sizes=(1, 1))
    one, whole = steps()
    none = np.empty(0)
    assert whole.learn(none.astype(np.int32), none.astype(int), none, none.astype(np.uint64)) == 0
    for expected, found in zip(one.state(), whole.state(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_it_reads_the_piece_that_it_was_told_to_look_at():
    assert_alike(*steps(), data=table(seed=1))


def test_a_step_of_its_own_after_others():
    one, whole = steps()
    assert_alike(one, whole)
    rows = np.arange(17, dtype=np.int32)
    assert whole(rows, 1e-3, 5) == pytest.approx(one(rows, 1e-3, 5), rel=1e-4)
    assert_alike(one, whole)


def test_it_is_compiled_once_for_each_number_of_layers():
    for loss, shape in (("squared", {}), ("softmax", {"n_outputs": 3, "interactions": "product"})):
        data = table(loss)
        for rows in (data, replace(data, weight=None)):
            learned(steps(replace(CONFIG, **shape), rows, loss=loss, weight_decay=0)[1])
    layers = [len(arguments[5]) for arguments in loops.learn.signatures]
    assert 2 in layers
    assert len(layers) == len(set(layers))
