"""A packed network predicts what its unpacked numbers do, and its parts go into a file and back."""

import numpy as np
import pytest

from catvec._packing import Spread
from catvec.frames import FULL, Kind, Lists
from catvec.network import Inputs, Network, NetworkConfig, attribute

CONFIG = NetworkConfig((40, 30), (4, 3), 2, (6,), (2,), (6, 5), 0.1, 2)


def drawn(config=CONFIG, seed=0):
    network = Network.create(config, seed)
    rng = np.random.default_rng(seed)
    for flat in (network.tables.flat, network.weights.flat, network.running.flat):
        flat[...] = rng.uniform(0.1, 1, flat.shape)
    return network


def drawn_inputs(n=50, seed=0, lists=()):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, 40, n), rng.integers(0, 30, n)], 1).astype(np.int32)
    positions = rng.uniform(0, 5, (n, 1)).astype(np.float32)
    positions[:5], positions[5:8] = np.nan, -1
    return Inputs(codes, rng.normal(size=(n, 2)).astype(np.float32), positions, None, lists)


def packed(networks, columns, step=0.05):
    """Networks whose tables of some columns are packed side by side."""
    rows = {}
    for c in columns:
        tables, metrics = [n.vectors(c) for n in networks], [n.metric(c) for n in networks]
        rows[c] = Spread(tables, metrics, np.ones(len(tables[0]))).packed(step)
    tables = [one.composition.tables for one in networks]
    return [
        one.packed({of[c][0]: rows[c][i] for c in columns})
        for i, (one, of) in enumerate(zip(networks, tables, strict=True))
    ]


def unpacked(network):
    """The plain network of the numbers that a packed one holds."""
    plain = Network(network.config)
    for t in range(len(plain.tables)):
        plain.tables.table(t)[...] = network.tables.table(t)
    for name, array in network.weights.items():
        plain.weights[name][...] = array
    plain.running.flat[...] = network.running.flat
    return plain


@pytest.mark.parametrize("interactions", ["concatenate", "product", "factorization_machine"])
@pytest.mark.parametrize("columns", [(0, 1), (1,), ()])
def test_predictions_are_those_of_the_unpacked_numbers(columns, interactions):
    config = NetworkConfig(
        (40, 30), (3, 3), 2, (6,), (2,), (6, 5), 0.1, 2, interactions=interactions
    )
    networks = [drawn(config, seed) for seed in range(2)]
    inputs = drawn_inputs()
    for small, full in zip(packed(networks, columns), networks, strict=True):
        found, wanted = small.predict(inputs), unpacked(small).predict(inputs)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        np.testing.assert_allclose(found, full.predict(inputs), rtol=0.1, atol=0.2)


def test_tables_of_lists_beside_packed_ones():
    kinds = (FULL, Kind("list", 0))
    config = NetworkConfig((40, 30), (4, 3), 2, (6,), (2,), (6,), 0.1, 1, kinds=kinds)
    offsets = np.arange(0, 101, 2)
    codes = np.random.default_rng(0).integers(0, 30, 100).astype(np.int32)
    lists = (Lists(offsets, codes, np.full(100, 0.5, np.float32)),)
    (small,) = packed([drawn(config)], (0,))
    inputs = drawn_inputs(lists=lists)
    inputs.codes[:, 1] = 0
    np.testing.assert_allclose(small.predict(inputs), unpacked(small).predict(inputs), rtol=1e-5)


def test_a_row_does_not_depend_on_those_beside_it():
    (small,) = packed([drawn()], (0, 1))
    inputs = drawn_inputs()
    whole = small.predict(inputs)
    for row in range(0, 50, 7):
        alone = small.predict(inputs.take(np.array([row])))
        np.testing.assert_allclose(alone[0], whole[row], rtol=1e-9)


def test_contributions_are_those_of_the_unpacked_numbers():
    (small,) = packed([drawn()], (0, 1))
    shares = np.zeros((11, 5))
    shares[np.arange(11), [0] * 4 + [1] * 3 + [2] * 2 + [3, 4]] = 1
    found, wanted = (attribute([n], drawn_inputs(9), [shares]) for n in (small, unpacked(small)))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_state_and_back():
    (small,) = packed([drawn()], (1,))
    state = small.state()
    assert "table_1" not in state  # its coordinates are kept elsewhere
    assert state["table_0"].dtype == state["table_1.directions"].dtype == np.float16
    assert state["linear_0.weight"].dtype == np.int8
    coordinates = {1: small.tables.rows[1].coordinates}
    copied = {name: array.copy() for name, array in state.items()}
    again = Network.from_state(CONFIG, copied, coordinates)
    np.testing.assert_array_equal(again.predict(drawn_inputs()), small.predict(drawn_inputs()))
    with pytest.raises(ValueError, match=r"arrays missing or not expected"):
        Network.from_state(CONFIG, copied)  # without the coordinates
    copied["table_1.directions"] = copied["table_1.directions"][:, :2]
    with pytest.raises(ValueError, match=r"'table_1.directions' must be float16 of shape"):
        Network.from_state(CONFIG, copied, coordinates)


def test_fewer_bytes_and_stated_errors():
    network = drawn()
    (small,) = packed([network], ())
    for name, exact in network.weights.items():
        error = np.abs(small.weights[name] - exact)
        bound = np.abs(exact).max(axis=-1, keepdims=True) / 254 if name.endswith("weight") else 0
        assert (error <= bound + 1e-7).all()
    assert len(small.weights) == len(network.weights)
    total = sum(a.nbytes for a in small.state().values())
    assert total < 0.6 * sum(a.nbytes for a in network.state().values())


def test_the_metric_is_what_the_first_layer_sees():
    network = drawn()
    error = np.random.default_rng(0).normal(size=3)
    slopes = network.folded(np.float64)[0][0][4:7]  # of the second column
    measured = np.linalg.norm(error @ network.metric(1))
    assert measured == pytest.approx(np.linalg.norm(error @ slopes), rel=0.05)


def test_tables_in_half_precision_are_read():
    """As models within a budget were saved before networks were packed."""
    network = drawn()
    state = {
        name: array.astype(np.float16) if name.startswith(("table", "knots")) else array
        for name, array in network.state().items()
    }
    again = Network.from_state(CONFIG, state)
    found, wanted = again.predict(drawn_inputs()), network.predict(drawn_inputs())
    np.testing.assert_allclose(found, wanted, rtol=2e-3)
    with pytest.raises(ValueError, match="must be float32 of shape"):
        Network.from_state(CONFIG, state | {"head.bias": np.zeros(2, np.float64)})
