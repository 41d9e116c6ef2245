"""Vectors multiplied before or past the layers: against loops, through files, and in learning."""

import json
from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
import pytest

from catvec.network import (
    INTERACTIONS,
    Inputs,
    Network,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    attribute,
    train,
)
from catvec.network import _interactions as interactions

N_CODES, DIMS, N_NUMBERS = (5, 9, 4), (2, 4, 3), 2
STARTS = (0, 2, 6)
CONFIG = NetworkConfig(N_CODES, DIMS, N_NUMBERS, (4,), (2,), (6, 5), 0.1, 2)
KINDS = INTERACTIONS[1:]
OWNERS = np.repeat(np.arange(6), [*DIMS, 2, 1, 1])  # of the inputs: vectors, knots, numbers
SHARES = np.eye(6, dtype=np.float32)[OWNERS]


def make_network(kind, hidden_sizes=(6, 5), seed=0):
    network = Network.create(replace(CONFIG, interactions=kind, hidden_sizes=hidden_sizes), seed)
    rng = np.random.default_rng(seed + 1)
    for flat in (network.tables.flat, network.weights.flat):
        flat[...] = rng.normal(size=flat.shape)
    network.running.flat[...] = rng.uniform(0.5, 1.5, network.running.flat.shape)
    return network


def drawn_inputs(n, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, k, n) for k in N_CODES], 1).astype(np.int32)
    positions = rng.uniform(0, 3, (n, 1)).astype(np.float32)
    positions[: n // 5] = np.nan
    return Inputs(codes, rng.normal(size=(n, N_NUMBERS)).astype(np.float32), positions)


def naive_scores(network, inputs, row):
    """One row: plain input from a network without products, then pairs, one by one."""
    config, w = network.config, network.state()
    lookup = network.lookup(inputs)
    lookup.allocate(1)
    x = lookup.forward(interactions._kernels, np.array([row]))[0, : config.n_inputs].astype(float)
    vectors = [x[start : start + dim] for start, dim in zip(STARTS, DIMS, strict=True)]
    past = np.zeros(config.n_outputs)
    if config.interactions == "product":
        for i, j in [(0, 1), (1, 2), (0, 2)]:  # 45, 36, 20 combinations
            dim = min(DIMS[i], DIMS[j])
            x = np.concatenate([x, vectors[i][:dim] * vectors[j][:dim]])
    if config.interactions == "factorization_machine":
        padded = [np.pad(v, (0, 4 - len(v))) for v in vectors]
        past = sum(a * b for a, b in combinations(padded, 2)) @ w["interactions.weight"]
    for i in range(len(config.hidden_sizes)):
        z = x @ w[f"linear_{i}.weight"] - w[f"norm_{i}.mean"]
        z = z / np.sqrt(w[f"norm_{i}.variance"] + 1e-5)
        x = np.maximum(z * w[f"norm_{i}.scale"] + w[f"norm_{i}.shift"], 0)
    return x @ w["head.weight"] + w["head.bias"] + past


@pytest.mark.parametrize("kind", INTERACTIONS)
@pytest.mark.parametrize("hidden_sizes", [(), (6, 5)])
def test_predict_against_a_naive_twin(kind, hidden_sizes):
    network, inputs = make_network(kind, hidden_sizes), drawn_inputs(40)
    scores = network.predict(inputs)
    expected = [naive_scores(network, inputs, row) for row in range(40)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    alone = [network.predict(inputs.take(slice(i, i + 1)))[0] for i in range(40)]
    np.testing.assert_allclose(alone, scores, rtol=1e-11)
    np.testing.assert_allclose(network.predict(inputs, chunk_size=7), scores, rtol=1e-11)
    assert network.predict(drawn_inputs(0)).shape == (0, 2)


@pytest.mark.parametrize("kind", INTERACTIONS)
def test_state_and_back(kind):
    network, inputs = make_network(kind), drawn_inputs(30)
    state = {name: array.copy() for name, array in network.state().items()}
    again = Network.from_state(
        NetworkConfig(**json.loads(json.dumps(asdict(network.config)))), state
    )
    np.testing.assert_array_equal(again.predict(inputs), network.predict(inputs))
    other = replace(network.config, interactions=next(k for k in INTERACTIONS if k != kind))
    with pytest.raises(ValueError, match=r"interactions\.weight|linear_0\.weight"):
        Network.from_state(other, state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden_sizes", [(), (6,), (6, 5)])
@pytest.mark.parametrize("segments", [1, 3])
def test_contributions_add_up_to_the_prediction(kind, hidden_sizes, segments):
    networks = [make_network(kind, hidden_sizes, seed) for seed in range(2)]
    inputs = drawn_inputs(600)  # more than a chunk
    base, parts, scores = attribute(networks, inputs, [SHARES] * len(networks), segments=segments)
    predicted = np.mean([network.predict(inputs) for network in networks], axis=0)
    np.testing.assert_allclose(scores, predicted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(base + parts.sum(axis=1), predicted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_one_segment_is_exact_without_layers_and_many_come_nearer_with_them(kind):
    inputs = drawn_inputs(100)
    once, often = (
        attribute([make_network(kind, ())], inputs, [SHARES], segments=k) for k in (1, 9)
    )
    np.testing.assert_allclose(once[1], often[1], atol=1e-4)
    network = make_network(kind, (32, 16))
    limit = attribute([network], inputs, [SHARES], segments=200)[1]
    errors = [
        np.abs(attribute([network], inputs, [SHARES], segments=k)[1] - limit).mean()
        for k in (1, 4, 16)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize("kind", KINDS)
def test_two_columns_share_what_they_do_together(kind):
    """From unknown, at 0, a product is all that moves the score: half is each column's."""
    config = NetworkConfig((4, 4), (3, 3), hidden_sizes=(), interactions=kind)
    network = Network.create(config, 0)
    network.weights.flat[...] = 0
    name = "interactions.weight" if kind == "factorization_machine" else "head.weight"
    network.weights[name][-3:] = 1
    inputs = Inputs(np.array([[2, 3], [3, 0]], np.int32))
    parts = attribute([network], inputs, [np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)])[1]
    product = network.tables.weight(0)[2] @ network.tables.weight(1)[3]
    np.testing.assert_allclose(parts[:, :, 0], [[product / 2] * 2, [0, 0]], atol=1e-8)


def test_pairs_with_the_most_combinations_come_first_and_all_fit(monkeypatch):
    layout = interactions.pair_layout(N_CODES, DIMS, 20).tolist()
    assert layout == [[0, 2, 2, 20], [2, 6, 3, 22], [0, 6, 2, 25]]
    many = interactions.pair_layout((10,) * 12, (16,) * 11 + (3,), 0)
    assert many[:, 2].tolist() == [4] * 10 + [3] + [4] * 9 + [3] + [4] * 7
    monkeypatch.setattr(interactions, "MOST_PRODUCTS", 6)
    shorter = [[0, 2, 2, 20], [2, 6, 2, 22], [0, 6, 2, 24]]
    assert interactions.pair_layout(N_CODES, DIMS, 20).tolist() == shorter
    monkeypatch.setattr(interactions, "MOST_PAIRS", 1)
    assert interactions.pair_layout(N_CODES, DIMS, 20).tolist() == shorter[:1]
    assert interactions.pair_layout((), (), 20).shape == (0, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_columns", [0, 1])
def test_nothing_to_multiply(kind, n_columns):
    config = NetworkConfig((4,) * n_columns, (3,) * n_columns, 2, interactions=kind)
    inputs = Inputs(np.ones((5, n_columns), np.int32), np.ones((5, 2), np.float32))
    plain = Network.create(replace(config, interactions="concatenate"), 0)
    expected = plain.predict(inputs)
    np.testing.assert_array_equal(Network.create(config, 0).predict(inputs), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_engines_agree(kind):
    rng = np.random.default_rng(0)
    inputs = drawn_inputs(300)
    data = TrainingData(inputs, rng.normal(size=300).astype(np.float32))
    config = replace(CONFIG, interactions=kind, n_outputs=1)
    settings = TrainingConfig("squared", (3.0,) * 4, batch_size=64, n_epochs=2)
    one, other = (train(config, settings, data, data, engine=e) for e in ("numpy", "numba"))
    expected = one.network.predict(inputs)
    np.testing.assert_allclose(other.network.predict(inputs), expected, atol=1e-3)


def test_a_planted_product_is_learned_better():
    rng = np.random.default_rng(0)
    n, n_codes = 6000, 42
    codes = rng.integers(2, n_codes, (n, 2)).astype(np.int32)
    u, v = rng.normal(size=(2, n_codes, 4)) / 2
    target = np.sum(u[codes[:, 0]] * v[codes[:, 1]], axis=1) + 0.1 * rng.normal(size=n)
    data = TrainingData(Inputs(codes), target.astype(np.float32))
    learned, held_out = (replace(data, rows=rows) for rows in np.split(np.arange(n), [5000]))
    settings = TrainingConfig("squared", (1.0, 1.0), learning_rate=2e-3, batch_size=128)
    losses = {}
    for kind in INTERACTIONS:
        config = NetworkConfig((n_codes,) * 2, (8, 8), hidden_sizes=(64, 32), interactions=kind)
        losses[kind] = train(config, settings, learned, held_out, engine="numba").held_out_loss
    variance = np.var(target)
    assert losses["concatenate"] < variance
    for kind in KINDS:
        assert losses[kind] < losses["concatenate"], losses
        assert losses[kind] < 0.2 * variance, losses
