import json
from dataclasses import asdict

import numpy as np
import pytest

from catvec.network import Inputs, Network, NetworkConfig

CONFIG = NetworkConfig((5, 9), (2, 3), 2, (4,), (2,), (6, 5), 0.1, 2)


def drawn_inputs(n, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, 5, n), rng.integers(0, 9, n)], 1).astype(np.int32)
    positions = rng.uniform(0, 3, (n, 1)).astype(np.float32)
    positions[: n // 5] = np.nan
    positions[n // 5 : n // 4] = -1
    return Inputs(codes, rng.normal(size=(n, 2)).astype(np.float32), positions)


@pytest.fixture
def network():
    made = Network.create(CONFIG, 0)
    rng = np.random.default_rng(1)
    for flat in (made.tables.flat, made.weights.flat, made.running.flat):
        flat[...] = rng.uniform(0.1, 1, flat.shape)
    return made


def naive_scores(network, inputs, row):
    """One row in loops' spirit: look up, then layer by layer with batch norm spelled out."""
    x = [network.tables.weight(c)[inputs.codes[row, c]] for c in range(2)]
    place, knots = float(inputs.positions[row, 0]), network.tables.knot_weight(0)
    if np.isnan(place):
        x.append(knots[1])
    elif place < 0:
        x.append(knots[0])
    else:
        lower = min(int(place), 2)
        x.append((1 - (place - lower)) * knots[2 + lower] + (place - lower) * knots[3 + lower])
    h = np.concatenate([*x, inputs.numbers[row]]).astype(float)
    w = {name: array.astype(float) for name, array in network.state().items()}
    for i in range(2):
        z = h @ w[f"linear_{i}.weight"]
        z = (z - w[f"norm_{i}.mean"]) / np.sqrt(w[f"norm_{i}.variance"] + 1e-5)
        h = np.maximum(z * w[f"norm_{i}.scale"] + w[f"norm_{i}.shift"], 0)
    return h @ w["head.weight"] + w["head.bias"]


def test_predict_against_a_naive_twin(network):
    inputs = drawn_inputs(40)
    expected = [naive_scores(network, inputs, row) for row in range(40)]
    np.testing.assert_allclose(network.predict(inputs), expected, rtol=1e-6)


def test_predict_does_not_depend_on_the_rows_beside(network):
    inputs = drawn_inputs(100)
    scores = network.predict(inputs)
    assert scores.dtype == np.float64
    for chunk_size in (1, 7, 100):
        found = network.predict(inputs, chunk_size)
        np.testing.assert_allclose(found, scores, rtol=1e-11)
    one = [network.predict(inputs.take(slice(i, i + 1)))[0] for i in range(100)]
    np.testing.assert_allclose(one, scores, rtol=1e-11)


def test_no_rows(network):
    assert network.predict(drawn_inputs(0)).shape == (0, 2)


def test_neither_columns_nor_layers():
    network = Network.create(NetworkConfig((), (), 3, hidden_sizes=()), 0)
    inputs = Inputs(np.empty((4, 0), np.int32), np.ones((4, 3), np.float32))
    assert network.predict(inputs).shape == (4, 1)


def test_state_and_back(network):
    state = {name: array.copy() for name, array in network.state().items()}
    config = NetworkConfig(**json.loads(json.dumps(asdict(CONFIG))))
    assert config == CONFIG
    again = Network.from_state(config, state)
    inputs = drawn_inputs(30)
    np.testing.assert_array_equal(again.predict(inputs), network.predict(inputs))


def test_from_state_is_strict(network):
    state = network.state()
    with pytest.raises(ValueError, match=r"missing or not expected.*'head.bias'"):
        Network.from_state(CONFIG, {k: v for k, v in state.items() if k != "head.bias"})
    with pytest.raises(ValueError, match=r"missing or not expected.*'more'"):
        Network.from_state(CONFIG, {**state, "more": state["head.bias"]})
    with pytest.raises(ValueError, match=r"'table_1' must be float32 of shape \(9, 3\), got"):
        Network.from_state(CONFIG, {**state, "table_1": state["table_1"][1:]})
    with pytest.raises(ValueError, match="'knots_0' must be float32"):
        Network.from_state(CONFIG, {**state, "knots_0": state["knots_0"].astype(np.float64)})


def test_same_seed_same_network():
    first, second, other = (Network.create(CONFIG, seed).state() for seed in (3, 3, 4))
    assert all((first[name] == second[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_take():
    inputs = drawn_inputs(10)
    part = inputs.take(np.array([3, 1]))
    assert len(part) == 2
    np.testing.assert_array_equal(part.codes, inputs.codes[[3, 1]])
    assert np.shares_memory(inputs.take(slice(2, 5)).codes, inputs.codes)
