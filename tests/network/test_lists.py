"""Lists in the network: kernels against their twins, gradients, training."""

import numpy as np
import pytest

from catvec.frames import Kind, Lists
from catvec.network import (
    Inputs,
    Network,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    _kernels,
    _kernels_numba,
    make_loss,
    train,
)
from catvec.network._step import Step, count_lines

N = 24
CONFIG = NetworkConfig(
    (5, 9), (2, 3), 1, hidden_sizes=(6,), dropout=0.0, kinds=(Kind("full"), Kind("list", 0))
)


def rows(n=N, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    m = int(offsets[-1])
    shares = rng.uniform(0, 2, m).astype(dtype)
    lists = Lists(offsets, rng.integers(0, 9, m).astype(np.int32), shares)
    codes = np.stack([rng.integers(0, 5, n), np.zeros(n, int)], 1).astype(np.int32)
    return Inputs(codes, rng.normal(size=(n, 1)).astype(dtype), lists=(lists,))


def step_of(kernels, drops=0.0, dtype=np.float64, strengths=(0.0, 0.0)):
    network = Network.create(CONFIG, 3, dtype)
    rng = np.random.default_rng(1)
    network.tables.flat[...] = rng.normal(size=network.tables.flat.shape)
    target = rng.normal(size=N).astype(dtype)
    data = TrainingData(rows(dtype=dtype), target)
    settings = TrainingConfig(
        "squared", strengths, batch_size=N, weight_decay=0.0, category_dropout=drops
    )
    step = Step(network, make_loss("squared", 1), settings, kernels)
    step.take(data, count_lines(kernels, network, data))
    return step


def test_lookup_is_the_sum_of_rows_times_shares():
    step = step_of(_kernels)
    out = step.lookup.forward(_kernels, np.arange(N, dtype=np.int32))
    lists = step.lookup.inputs.lists[0]
    np.testing.assert_allclose(out[:, 2:5], lists.pooled(step.network.vectors(1)), atol=1e-12)


@pytest.mark.parametrize("drops", [0.0, 0.4])
def test_gradient_of_the_tables(drops):
    """The rows a list looks at, by finite differences."""
    step = step_of(_kernels, drops)
    batch = np.arange(N, dtype=np.int32)
    flat = step.network.tables.flat
    numeric = np.empty_like(flat)
    for i in range(len(flat)):
        kept = flat[i]
        flat[i] = kept + 1e-6
        above = step.backward(batch, 7)[0]
        flat[i] = kept - 1e-6
        numeric[i] = (above - step.backward(batch, 7)[0]) / 2e-6
        flat[i] = kept
    _, _, gradient = step.backward(batch, 7)
    lookup, tables = step.lookup, step.network.tables
    ((look, own),) = lookup.take_lists(gradient)
    assert (gradient[:, 2:5] == 0).all()
    found = np.zeros_like(flat)
    np.add.at(found[:10].reshape(5, 2), lookup.at[:, 0], gradient[:, :2])
    lists = lookup.lists[0]
    row = np.repeat(np.arange(N), lists.lengths)
    start = int(look[0])
    pieces = own[row, 2:5] * lists.shares[:, None]
    np.add.at(found[start : start + 27].reshape(9, 3), lists.codes, pieces)
    np.testing.assert_allclose(found, numeric, atol=1e-6)
    assert np.abs(numeric).max() > 1e-2
    assert tables.n_lines == 14


@pytest.mark.parametrize("n", [1, 7, 200])
def test_twins(n):
    rng = np.random.default_rng(n)
    network = Network.create(CONFIG, 0)
    lists = rows(n, seed=n).lists[0]
    look = network.tables.layout[1]
    parts = look, lists.offsets, lists.codes, lists.shares
    masses = rng.uniform(0.1, 2, n).astype(np.float32)
    gradient = rng.normal(size=(n, 6)).astype(np.float32)
    pulls = rng.uniform(0, 2, 14).astype(np.float32)
    pulls[[0, 5]] = 0
    found = []
    for kernels in (_kernels, _kernels_numba):
        out, counts = np.zeros((n, 6), np.float32), np.zeros(14)
        flat, squares = network.tables.flat.copy(), np.full(14, 0.5, np.float32)
        kernels.gather_lists(flat, *parts, out)
        kernels.count_lists(*parts, masses, counts)
        slots = np.full(14, -1, np.int32)
        none = np.zeros(0, np.float32)  # no anchors
        prior = pulls, none, none, 0
        kernels.update_lists(flat, squares, *prior, slots, *parts, masses, gradient, 0.1)
        assert (slots == -1).all()
        found.append((out, counts, flat, squares))
    for plain, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(plain, compiled, atol=2e-5)


def test_a_list_of_one_is_a_code():
    """The same bits of training as a plain column with those codes."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 9, 300).astype(np.int32)
    target = rng.normal(size=9)[codes].astype(np.float32)
    lists = Lists(np.arange(301), codes, np.ones(300, np.float32))
    as_list = Inputs(np.zeros((300, 1), np.int32), lists=(lists,))
    settings = TrainingConfig("squared", (1.0,), n_epochs=5, batch_size=32)
    scores = [
        train(
            NetworkConfig((9,), (3,), kinds=kinds), settings, TrainingData(inputs, target)
        ).network.predict(inputs)
        for kinds, inputs in (((), Inputs(codes[:, None])), ((Kind("list", 0),), as_list))
    ]
    np.testing.assert_allclose(*scores, atol=1e-5)
