"""Composed vectors: twins of the kernels, gradients by finite differences, own vectors."""

from itertools import pairwise

import numpy as np
import pytest

from catvec.frames import Kind
from catvec.network import (
    Inputs,
    Network,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    _kernels,
    _kernels_numba,
    looked_up,
    make_loss,
    train,
)
from catvec.network._kernels import AT, DIM, LINE, START
from catvec.network._step import Step, count_lines

N = 31
N_CODES, DIMS = (9, 14, 14), (3, 4, 4)
CASES = {
    "hashed": (Kind("hashed", 2), Kind("full"), Kind("full")),
    "hashed thrice": (Kind("full"), Kind("hashed", 3), Kind("shared", 1)),
    "sum": (Kind("full"), Kind("sum", 4), Kind("shared", 1)),
    "product": (Kind("full"), Kind("shared", 2), Kind("product", 5)),
    "concatenate": (Kind("concatenate", 2), Kind("full"), Kind("shared", 1)),
    "all": (Kind("hashed", 2), Kind("product", 3), Kind("sum", 5)),
}


def rows(kinds, n=N, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, k, n) for k in N_CODES], 1).astype(np.int32)
    hashes = []
    for c, kind in enumerate(kinds):
        real = kinds[kind.number] if kind.name == "shared" else kind
        if real.name == "hashed":
            hashes += [rng.integers(1, N_CODES[c], n) for _ in range(real.number)]
    further = np.stack(hashes, 1).astype(np.int32) if hashes else np.empty((n, 0), np.int32)
    further[codes[:, 0] == 0] = 0
    looks = looked_up(kinds, codes, further)
    positions = rng.uniform(0, 3, (n, 1)).astype(dtype)
    return Inputs(codes, rng.normal(size=(n, 1)).astype(dtype), positions, looks)


def config_of(kinds, interactions="concatenate"):
    return NetworkConfig(
        N_CODES, DIMS, 1, (4,), (2,), (6,), 0.2, interactions=interactions, kinds=kinds
    )


def naive_vector(network, inputs, row, c):
    """The vector of a column, from the definition."""
    config, tables = network.config, network.tables
    owner = c
    if config.kinds[c].name == "shared":
        owner = config.kinds[c].number
    kind = config.kinds[owner]
    own = [tables.table(t) for t in network.composition.tables[c]]
    first = len(config.n_codes)
    further = [first + i for i, o in enumerate(network.composition.columns) if o == c]
    at = [inputs.looked_up[row, i] for i in (c, *further)]
    if kind.name == "full":
        return own[0][at[0]]
    if kind.name == "hashed":
        weights = own[1][at[-1]] - own[1][at[-1]].mean() + 1 / kind.number
        return sum(w * own[0][a] for w, a in zip(weights, at[:-1], strict=True))
    left, right = own[0][at[0]], own[1][at[1]]
    if kind.name == "concatenate":
        return np.concatenate([left, right])
    return left + right if kind.name == "sum" else left * right


@pytest.mark.parametrize("name", CASES)
def test_lookup_against_the_definition(name):
    kinds = CASES[name]
    network, inputs = Network.create(config_of(kinds), 0), rows(kinds)
    rng = np.random.default_rng(1)
    network.tables.flat[...] = rng.normal(size=network.tables.flat.shape)
    lookup = network.lookup(inputs)
    lookup.allocate(N)
    for kernels in (_kernels, _kernels_numba):
        out = lookup.forward(kernels, np.arange(N, dtype=np.int32))
        for row in range(N):
            parts = [naive_vector(network, inputs, row, c) for c in range(3)]
            np.testing.assert_allclose(out[row, : sum(DIMS)], np.concatenate(parts), atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_backward_twins(name):
    kinds = CASES[name]
    network, inputs = Network.create(config_of(kinds), 0), rows(kinds)
    found = []
    for kernels in (_kernels, _kernels_numba):
        lookup = network.lookup(inputs)
        lookup.allocate(N)
        lookup.forward(kernels, np.arange(N, dtype=np.int32))
        gradient = np.random.default_rng(2).normal(size=(N, lookup.width)).astype(np.float32)
        found.append(lookup.backward(kernels, lookup.widened(gradient)).copy())
    np.testing.assert_allclose(*found, atol=1e-5)


class Problem:
    """One batch in float64, whose loss is differentiated by the tables."""

    def __init__(self, kinds, interactions, drops=(0.0, 0.0)):
        rng = np.random.default_rng(3)
        self.network = Network.create(config_of(kinds, interactions), 3, np.float64)
        self.network.tables.flat[...] = rng.normal(size=self.network.tables.flat.shape)
        self.data = TrainingData(rows(kinds, dtype=np.float64), rng.normal(size=N))
        settings = TrainingConfig(
            "squared",
            (0.0,) * 4,
            batch_size=N,
            weight_decay=0.0,
            embedding_dropout=drops[0],
            category_dropout=drops[1],
        )
        self.step = Step(self.network, make_loss("squared", 1), settings, _kernels)
        self.step.take(self.data, count_lines(_kernels, self.network, self.data))

    def backward(self):
        loss, _, gradient = self.step.backward(np.arange(N, dtype=np.int32), 99)
        return loss, gradient

    def numeric(self, h=1e-6):
        flat = self.network.tables.flat
        found = np.empty_like(flat)
        for i in range(len(flat)):
            kept = flat[i]
            flat[i] = kept + h
            above = self.backward()[0]
            flat[i] = kept - h
            found[i] = (above - self.backward()[0]) / (2 * h)
            flat[i] = kept
        return found

    def analytic(self):
        """The gradient by what was looked up, added up over the tables."""
        _, gradient = self.backward()
        tables, lookup = self.network.tables, self.step.lookup
        found = np.zeros_like(tables.flat)
        for look, row in enumerate(tables.layout.tolist()):
            start, dim, at = row[START], row[DIM], row[AT]
            for b in range(N):
                share = lookup.shares[b, 0] if look == len(tables.layout) - 1 else 0.0
                for upper, part in ((0, 1 - share), (1, share)):
                    if part:
                        first = start + (lookup.at[b, look] + upper) * dim
                        found[first : first + dim] += part * gradient[b, at : at + dim]
        return found


@pytest.mark.parametrize("interactions", ["concatenate", "product", "factorization_machine"])
@pytest.mark.parametrize("name", CASES)
def test_gradient_of_the_tables(name, interactions):
    problem = Problem(CASES[name], interactions)
    numeric = problem.numeric()
    np.testing.assert_allclose(problem.analytic(), numeric, atol=2e-6)
    assert np.abs(numeric).max() > 1e-2


def test_gradient_under_dropout():
    problem = Problem(CASES["all"], "product", (0.3, 0.3))
    np.testing.assert_allclose(problem.analytic(), problem.numeric(), atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_category_dropout_hides_all_looks_of_a_cell(name):
    kinds = CASES[name]
    network, inputs = Network.create(config_of(kinds), 0), rows(kinds)
    lookup = network.lookup(inputs, category_dropout=0.5)
    lookup.allocate(N)
    lookup.forward(_kernels, np.arange(N, dtype=np.int32), key=4)
    columns = network.composition.columns
    for i, c in enumerate(columns):
        hidden = lookup.at[:, c] == 0
        assert (lookup.at[hidden, 3 + i] == 0).all()
        assert 0 < hidden.sum() < N


@pytest.mark.parametrize("combine", ["sum", "product", "concatenate"])
def test_every_code_has_a_vector_of_its_own(combine):
    n = 2 + 1000
    config = NetworkConfig((n,), (4,), kinds=(Kind(combine, 32),))
    network = Network.create(config, 0)
    vectors = network.vectors(0)
    assert vectors.shape == (n, 4)
    assert len(np.unique(vectors, axis=0)) == n
    stored = sum(network.tables.table(t).size for t in range(len(network.tables)))
    assert stored < n * 4 / 10
    assert np.abs(vectors.std() / 0.03 - 1) < 0.2
    np.testing.assert_allclose(vectors[0], 0, atol=1e-7)


def test_shared_tables_are_one():
    kinds = (Kind("full"), Kind("shared", 2), Kind("full"))
    network = Network.create(config_of(kinds), 0)
    assert network.tables.n_lines == 9 + 14 + 6
    assert network.vectors(1) is not None
    np.testing.assert_array_equal(network.vectors(1), network.vectors(2))
    assert set(network.state()) >= {"table_0", "table_1", "knots_0"}
    assert "table_2" not in network.state()


def test_counts_are_of_all_looks():
    kinds = (Kind("full"), Kind("shared", 2), Kind("full"))
    network, inputs = Network.create(config_of(kinds), 0), rows(kinds)
    data = TrainingData(inputs, np.zeros(N, np.float32))
    counts = count_lines(_kernels, network, data)
    line = network.tables.layout[1, LINE]
    assert line == network.tables.layout[2, LINE]
    together = np.bincount(inputs.codes[:, 1:].ravel(), minlength=14)
    np.testing.assert_allclose(counts[line : line + 14], together)


@pytest.mark.parametrize("name", CASES)
def test_engines_agree(name):
    kinds = CASES[name]
    inputs = rows(kinds, 300)
    target = np.random.default_rng(5).normal(size=300).astype(np.float32)
    data = TrainingData(inputs, target)
    settings = TrainingConfig("squared", (1.0,) * 4, n_epochs=2, batch_size=32)
    config = config_of(kinds)
    scores = [
        train(config, settings, data, engine=engine).network.predict(inputs)
        for engine in ("numpy", "numba")
    ]
    np.testing.assert_allclose(*scores, atol=2e-3)
    assert all(np.isfinite(s).all() for s in scores)


def test_a_network_comes_back_from_its_state():
    for kinds in CASES.values():
        network = Network.create(config_of(kinds), 1)
        again = Network.from_state(network.config, network.state())
        inputs = rows(kinds)
        np.testing.assert_array_equal(again.predict(inputs), network.predict(inputs))


def test_hashed_importances_add_up_to_one():
    kinds = CASES["hashed thrice"]
    network = Network.create(config_of(kinds), 1)
    network.tables.flat[...] = np.random.default_rng(0).normal(size=network.tables.flat.shape)
    for c in (1, 2):
        np.testing.assert_allclose(network.importances(c).sum(1), 1, atol=1e-5)
    assert network.importances(0) is None
    assert all(a <= b for a, b in pairwise(network.composition.columns))
