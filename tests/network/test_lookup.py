"""The two dropouts of `Lookup`: laws over keys, and that they are of training alone."""

import numpy as np
import pytest

from catvec.network import Inputs, Network, NetworkConfig, _kernels, _kernels_numba

N = 50
CONFIG = NetworkConfig((4, 9), (2, 3), 2, (4,), (2,))


def lookup_with(**drops):
    rng = np.random.default_rng(0)
    network = Network.create(CONFIG, 0)
    tables = network.tables
    tables.flat[...] = rng.normal(size=tables.flat.shape)
    codes = np.stack([rng.integers(0, 4, N), rng.integers(0, 9, N)], 1).astype(np.int32)
    positions = rng.uniform(0, 3, (N, 1)).astype(np.float32)
    inputs = Inputs(codes, rng.normal(size=(N, 2)).astype(np.float32), positions)
    lookup = network.lookup(inputs, **drops)
    lookup.allocate(N)
    return lookup


def looked_up(lookup, key=0, kernels=_kernels):
    return lookup.forward(kernels, np.arange(N, dtype=np.int32), key).copy()


def many(lookup, n_keys=4000):
    """Of keys as those of a training are: steps of a few epochs."""
    keys = [(3 << 48) ^ (epoch << 32) ^ i for epoch in (1, 2, 3, 4) for i in range(n_keys // 4)]
    return np.array([looked_up(lookup, key, _kernels_numba) for key in keys], np.float64)


VECTORS = looked_up(lookup_with())


def test_elements_are_dropped_and_the_mean_is_kept():
    found = many(lookup_with(embedding_dropout=0.2))
    assert np.mean(found[:, :, :5] == 0) == pytest.approx(0.2, abs=0.002)
    np.testing.assert_allclose(found[0, :, 5:], VECTORS[:, 5:], atol=1e-6)  # numbers stay
    assert (found[:, :, 5:] == found[0, :, 5:]).all()
    # A mean over 4000 keys is off by sqrt(0.2 / 0.8 / 4000) of the element, a standard error.
    standard_error = np.sqrt(0.25 / 4000) * np.abs(VECTORS[:, :5])
    off = np.abs(found[:, :, :5].mean(axis=0) - VECTORS[:, :5]) / standard_error
    assert off.max() < 4.5
    assert np.mean(off**2) == pytest.approx(1, abs=0.3)


def test_categories_are_dropped_whole_for_row_0_and_one_of_a_row():
    """Of two columns with 4 and 9 codes in 20% of the rows, in proportion to the logarithms."""
    lookup = lookup_with(category_dropout=0.1)
    found = many(lookup)
    unknown = np.concatenate([lookup.tables.weight(c)[0] for c in range(2)])
    known = (lookup.inputs.codes > 0).all(axis=1)
    hit = (found[:, known, :5] == unknown) & (VECTORS[known, :5] != unknown)
    of_column = hit[:, :, [0, 2]]
    np.testing.assert_array_equal(hit, of_column[:, :, [0, 0, 1, 1, 1]])  # whole or not at all
    shares = 0.2 * np.log([4, 9]) / np.log(36)
    assert of_column.mean(axis=(0, 1)) == pytest.approx(shares, abs=0.003)
    assert not of_column.all(axis=2).any()
    kept = VECTORS[known, :5]
    np.testing.assert_array_equal(found[:, known, :5][~hit], np.broadcast_to(kept, hit.shape)[~hit])
    p = shares[[0, 0, 1, 1, 1]]
    mixture = p * unknown + (1 - p) * VECTORS[:, :5]
    standard_error = np.sqrt(p * (1 - p) / 4000) * np.abs(VECTORS[:, :5] - unknown)
    off = np.abs(found[:, :, :5].mean(axis=0) - mixture)
    assert (off <= 4.5 * standard_error + 1e-5).all()
    np.testing.assert_allclose(found[0, :, 5:], VECTORS[:, 5:], atol=1e-6)  # numbers stay
    assert (found[:, :, 5:] == found[0, :, 5:]).all()


def test_the_key_is_all_the_chance_there_is():
    drops = {"embedding_dropout": 0.3, "category_dropout": 0.2}
    one, other = (looked_up(lookup_with(**drops), key) for key in (1, 2))
    np.testing.assert_array_equal(one, looked_up(lookup_with(**drops), 1))
    np.testing.assert_allclose(one, looked_up(lookup_with(**drops), 1, _kernels_numba), atol=1e-6)
    assert not np.array_equal(one, other)


def test_backward_is_the_transpose():
    lookup = lookup_with(embedding_dropout=0.3, category_dropout=0.2)
    gradient = np.random.default_rng(1).normal(size=VECTORS.shape).astype(np.float32)
    out = looked_up(lookup, 5)
    back = lookup.backward(_kernels, gradient.copy(), 5)
    np.testing.assert_array_equal(back[:, :5] == 0, out[:, :5] == 0)
    kept = out != 0
    scale = np.array([1 / 0.7] * 5 + [1.0] * 4)
    np.testing.assert_allclose(back, kept * gradient * scale, rtol=1e-6)


def test_neither_columns_nor_numbers():
    drops = {"embedding_dropout": 0.3, "category_dropout": 0.2}
    only_numbers = Inputs(np.empty((4, 0), np.int32), np.ones((4, 3), np.float32))
    network = Network.create(NetworkConfig((), (), 3), 0)
    for kernels in (_kernels, _kernels_numba):
        lookup = network.lookup(only_numbers, **drops)
        lookup.allocate(4)
        assert (lookup.forward(kernels, np.arange(4, dtype=np.int32), 1) == 1).all()


def test_counting_looks_at_all_categories():
    lookup = lookup_with(embedding_dropout=0.3, category_dropout=0.5)
    at, _ = lookup.place(_kernels, np.arange(N, dtype=np.int32))
    np.testing.assert_array_equal(at[:, :2], lookup.inputs.codes)
