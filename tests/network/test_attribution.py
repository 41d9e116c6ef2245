"""Contributions to scores: complete, exact where they can be, and near their limit elsewhere."""

import numpy as np
import pytest

from catvec.network import Inputs, Network, NetworkConfig, attribute
from catvec.network import _attribution as attribution
from tests.reference import integrated_gradients

DIMS, KNOT_DIMS, N_NUMBERS = (2, 3), (2,), 2
OWNERS = np.array([0, 0, 1, 1, 1, 2, 2, 3, 4])  # of the inputs: vectors, knots, numbers
SHARES = np.eye(5, dtype=np.float32)[OWNERS]


def make_network(hidden_sizes=(6, 5), n_outputs=1, seed=0):
    config = NetworkConfig((5, 9), DIMS, N_NUMBERS, (4,), KNOT_DIMS, hidden_sizes, 0.1, n_outputs)
    network = Network.create(config, seed)
    rng = np.random.default_rng(seed + 1)
    network.tables.flat[...] = rng.normal(size=network.tables.flat.shape)
    network.weights.flat[...] = rng.normal(size=network.weights.flat.shape)
    network.running.flat[...] = rng.uniform(0.5, 1.5, network.running.flat.shape)
    return network


def drawn_inputs(n, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, 5, n), rng.integers(0, 9, n)], 1).astype(np.int32)
    positions = rng.uniform(0, 3, (n, 1)).astype(np.float32)
    positions[: n // 5] = np.nan
    positions[n // 5 : n // 4] = -1
    return Inputs(codes, rng.normal(size=(n, N_NUMBERS)).astype(np.float32), positions)


def network_input(network, inputs, row):
    """What the network is given for a row, looked up one by one."""
    x = [network.tables.weight(c)[inputs.codes[row, c]] for c in range(2)]
    place, knots = float(inputs.positions[row, 0]), network.tables.knot_weight(0)
    if np.isnan(place) or place < 0:
        x.append(knots[1 if np.isnan(place) else 0])
    else:
        lower = min(int(place), 2)
        x.append((1 - (place - lower)) * knots[2 + lower] + (place - lower) * knots[3 + lower])
    return np.concatenate([*x, inputs.numbers[row]]).astype(float)


def naive_score(network, output=0):
    """The score as a function of the network's input, batch norm spelled out."""
    w = {name: array.astype(float) for name, array in network.state().items()}

    def score(h):
        for i in range(len(network.config.hidden_sizes)):
            z = h @ w[f"linear_{i}.weight"] - w[f"norm_{i}.mean"]
            z = z / np.sqrt(w[f"norm_{i}.variance"] + 1e-5)
            h = np.maximum(z * w[f"norm_{i}.scale"] + w[f"norm_{i}.shift"], 0)
        return (h @ w["head.weight"] + w["head.bias"])[output]

    return score


def naive_contributions(network, inputs, row, output=0):
    unknown = attribution.unknown_row(inputs)
    start, end = network_input(network, unknown, 0), network_input(network, inputs, row)
    by_input = integrated_gradients(naive_score(network, output), start, end)
    return np.bincount(OWNERS, weights=by_input, minlength=5)


@pytest.mark.parametrize("hidden_sizes", [(), (6,), (6, 5), (6, 5, 4)])
@pytest.mark.parametrize("segments", [1, 3])
def test_contributions_add_up_to_the_prediction(hidden_sizes, segments):
    networks = [make_network(hidden_sizes, 2, seed) for seed in range(3)]
    inputs = drawn_inputs(700)  # more than a chunk
    base, parts, scores = attribute(networks, inputs, [SHARES] * len(networks), segments=segments)
    predicted = np.mean([network.predict(inputs) for network in networks], axis=0)
    assert (base.shape, parts.shape, scores.shape) == ((2,), (700, 5, 2), (700, 2))
    np.testing.assert_allclose(scores, predicted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(base + parts.sum(axis=1), predicted, rtol=1e-4, atol=1e-4)


def test_a_linear_network_is_explained_by_its_weights():
    network = make_network(())
    inputs = drawn_inputs(20)
    _, parts, _ = attribute([network], inputs, [SHARES])
    start = network_input(network, attribution.unknown_row(inputs), 0)
    weight = network.state()["head.weight"][:, 0].astype(float)
    for row in range(20):
        by_input = (network_input(network, inputs, row) - start) * weight
        expected = np.bincount(OWNERS, weights=by_input)
        np.testing.assert_allclose(parts[row, :, 0], expected, atol=1e-5)


@pytest.mark.parametrize("row", [0, 5, 9, 12])  # a missing, an unknown and two known numbers
def test_against_the_definition(row):
    network, inputs = make_network(n_outputs=2), drawn_inputs(20)
    _, parts, _ = attribute([network], inputs, [SHARES], segments=64)
    scale = np.abs(parts[row]).max()
    for output in (0, 1):
        expected = naive_contributions(network, inputs, row, output)
        np.testing.assert_allclose(parts[row, :, output], expected, atol=0.01 * scale)


def test_one_layer_needs_one_segment():
    network, inputs = make_network((7,)), drawn_inputs(50)
    _, once, _ = attribute([network], inputs, [SHARES], segments=1)
    _, often, _ = attribute([network], inputs, [SHARES], segments=40)
    np.testing.assert_allclose(once, often, atol=1e-4)


def test_more_segments_come_nearer():
    network, inputs = make_network((32, 16)), drawn_inputs(200)
    limit = attribute([network], inputs, [SHARES], segments=200)[1]
    errors = [
        np.abs(attribute([network], inputs, [SHARES], segments=k)[1] - limit).mean()
        for k in (1, 4, 16)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_what_does_not_differ_from_unknown_adds_nothing():
    network = make_network()
    inputs = drawn_inputs(9)
    inputs.codes[:, 1] = 0
    base, parts, _ = attribute([network], inputs, [SHARES])
    assert (parts[:, 1] == 0).all()
    unknown = attribution.unknown_row(inputs)
    _, parts, scores = attribute([network], unknown, [SHARES])
    assert (parts == 0).all()
    np.testing.assert_allclose(scores[0], base, atol=1e-5)


def test_threads_and_rows_beside_change_nothing(monkeypatch):
    networks = [make_network(seed=seed) for seed in range(2)]
    inputs = drawn_inputs(300)
    monkeypatch.setattr(attribution, "CHUNK", 64)
    one = attribute(networks, inputs, [SHARES] * len(networks))
    for array, other in zip(
        one, attribute(networks, inputs, [SHARES] * len(networks), n_jobs=3), strict=True
    ):
        np.testing.assert_array_equal(array, other)
    alone = attribute(networks, inputs.take(slice(70, 71)), [SHARES] * len(networks))[1]
    np.testing.assert_allclose(alone[0], one[1][70], atol=1e-4)


def test_no_rows():
    _, parts, scores = attribute([make_network()], drawn_inputs(0), [SHARES])
    assert (parts.shape, scores.shape) == ((0, 5, 1), (0, 1))
