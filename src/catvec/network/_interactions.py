"""How vectors of categories meet before the layers: side by side, or multiplied as well.

Each way is an object that a training or a prediction asks at four places, in this order: `forward`
(what the first layer sees), `add_scores` (what goes past the layers), and on the way back
`backward_scores` and `backward`. They are bilinear in the vectors, which is what explanations ask
`products` and `products_backward` for. Knotted and dense numbers are not multiplied.

Products of new vectors are tiny, as these are (`INITIAL_STD`), but Adagrad's first steps are long
whatever the gradient. Products times 5 or 30 were no better or worse on held-out rows, so nothing
scales them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, combinations
from typing import Any

import numpy as np

from catvec.network import _kernels
from catvec.network._kernels import Array

__all__ = [
    "INTERACTIONS",
    "MOST_PAIRS",
    "MOST_PRODUCTS",
    "Concatenate",
    "FactorizationMachine",
    "Product",
    "block_layout",
    "multiplied",
    "pair_layout",
]

INTERACTIONS = ("concatenate", "product", "factorization_machine")
"""What `NetworkConfig` takes."""

MOST_PAIRS = 28
"""Pairs of columns that are multiplied, at most: all of eight columns."""
MOST_PRODUCTS = 128
"""Columns of products, at most. The first layer's matrix grows by as many rows: all 448 of eight
columns of width 16 made a training step 2.6 times as long, 128 of them 1.5 times. Empirical: a few
dimensions of many pairs did no worse than all dimensions of few."""


def pair_layout(n_codes: Sequence[int], dims: Sequence[int], n_inputs: int) -> Array:
    """Which vectors are multiplied and where their products go, as `_kernels.multiply` takes it.

    These are at most `MOST_PAIRS` pairs of columns, those with the most combinations (the product
    of the rows of their tables). Each is multiplied over the leading dimensions that both have,
    and over no more of them than lets all pairs fit into `MOST_PRODUCTS` columns.

    Parameters
    ----------
    n_codes, dims : sequences of int
        Rows and width of the table of each categorical column.
    n_inputs : int
        Width of the network's input; products come after it.

    Returns
    -------
    array of shape (pairs, 4), int64
    """
    starts = [0, *accumulate(dims)]
    pairs = multiplied(n_codes, dims)
    at = accumulate((width for _, _, width in pairs), initial=n_inputs)
    layout = [
        (starts[i], starts[j], width, to) for (i, j, width), to in zip(pairs, at, strict=False)
    ]
    return np.array(layout, np.int64).reshape(-1, 4)


def multiplied(n_codes: Sequence[int], dims: Sequence[int]) -> list[tuple[int, int, int]]:
    """The pairs of columns of `pair_layout`, with how many dimensions are multiplied."""
    pairs = sorted(
        combinations(range(len(dims)), 2), key=lambda ij: -n_codes[ij[0]] * n_codes[ij[1]]
    )[:MOST_PAIRS]
    widths = [min(dims[i], dims[j]) for i, j in pairs]
    while sum(widths) > MOST_PRODUCTS:
        widths = [min(width, max(widths) - 1) for width in widths]
    return [(i, j, width) for (i, j), width in zip(pairs, widths, strict=True)]


def block_layout(dims: Sequence[int]) -> Array:
    """First column and width of the vector of each categorical column (C, 2), int64."""
    return np.array(list(zip(accumulate(dims, initial=0), dims, strict=False)), np.int64)


class Concatenate:
    """Vectors and numbers side by side; nothing is added, nothing is copied."""

    def allocate(self, n_rows: int) -> None:
        """Make buffers for so many rows."""

    def resize(self, n_rows: int) -> None:
        """Say how many rows the next calls have."""

    def forward(self, kernels: Any, x: Array) -> Array:  # noqa: ARG002
        """What the first layer sees, from the looked-up input (B, W)."""
        return x

    def add_scores(self, scores: Array) -> Array:
        """Add to the layers' `scores` (B, Q), in place."""
        return scores

    def backward_scores(self, slopes: Array) -> None:
        """Note the gradient by the scores (B, Q)."""

    def backward(self, kernels: Any, gradient: Array) -> Array:  # noqa: ARG002
        """Gradient by the looked-up input, from that by what the first layer saw; in place."""
        return gradient

    def products(self, x: Array) -> Array:
        """What is multiplied (B, P), by the looked-up input (B, W); here nothing."""
        return x[:, :0]

    def products_backward(self, x: Array, slopes: Array) -> Array:  # noqa: ARG002
        """Gradient by the input (B, W), from `slopes` (B, P) or (P,) by the products."""
        return np.zeros_like(x)


class Product(Concatenate):
    """Beside the input, products of the vectors of pairs of columns, element by element.

    As in product-based networks (Qu et al. 2016, arXiv 1611.00144), whose inner products are sums
    of what the first layer sees here, with weights of its own. It has rows for them.

    Parameters
    ----------
    pairs : array of shape (pairs, 4), int64
        See `pair_layout`.
    n_inputs : int
        Columns of the input before the products.
    """

    def __init__(self, pairs: Array, n_inputs: int) -> None:
        self.pairs, self.n_inputs = pairs, n_inputs

    def forward(self, kernels: Any, x: Array) -> Array:
        """Fill the columns for products of `x` (B, W)."""
        self.x = x
        kernels.multiply(x, self.pairs)
        return x

    def backward(self, kernels: Any, gradient: Array) -> Array:
        kernels.multiply_backward(self.x, self.pairs, gradient)
        return gradient

    def products(self, x: Array) -> Array:
        wide = self._widened(x)
        _kernels.multiply(wide, self.pairs)
        return wide[:, self.n_inputs :]

    def products_backward(self, x: Array, slopes: Array) -> Array:
        gradient = self._widened(np.zeros_like(x))
        gradient[:, self.n_inputs :] = slopes
        _kernels.multiply_backward(x, self.pairs, gradient)
        return gradient[:, : self.n_inputs]

    def _widened(self, x: Array) -> Array:
        wide = np.empty((len(x), self.n_inputs + int(self.pairs[:, 2].sum())), x.dtype)
        wide[:, : self.n_inputs] = x
        return wide


class FactorizationMachine(Concatenate):
    """Products of all pairs of vectors, summed, go past the layers straight to the scores.

    The second-order term of a factorization machine (Rendle 2010, ICDM, equation 1), beside the
    layers as in DeepFM (Guo et al. 2017, arXiv 1703.04247): both share the vectors.
    NOTE[DIFF]: there each element counts 1, here each has a weight by score, which starts as 1
    and is learned. Empirical: starting at 0.2 did no better, and sums that the layers see (He &
    Chua 2017, arXiv 1708.05027), instead or as well, did no better on two tables together.

    Parameters
    ----------
    blocks : array of shape (C, 2), int64
        See `block_layout`.
    weight, weight_gradient : arrays of shape (K, Q)
        By element of the widest vector and by score; and what `backward_scores` fills, if
        anything.
    """

    def __init__(self, blocks: Array, weight: Array, weight_gradient: Array | None = None) -> None:
        self.blocks, self.weight, self.weight_gradient = blocks, weight, weight_gradient

    def allocate(self, n_rows: int) -> None:
        self.buffers = np.empty((3, n_rows, len(self.weight)), self.weight.dtype)
        self.resize(n_rows)

    def resize(self, n_rows: int) -> None:
        self.sums, self.pooled, self.slopes = self.buffers[:, :n_rows]

    def forward(self, kernels: Any, x: Array) -> Array:
        self.x = x
        kernels.pool(x, self.blocks, self.sums, self.pooled)
        return x

    def add_scores(self, scores: Array) -> Array:
        pooled, weight = (a.astype(scores.dtype, copy=False) for a in (self.pooled, self.weight))
        scores += pooled @ weight
        return scores

    def backward_scores(self, slopes: Array) -> None:
        np.dot(slopes, self.weight.T, out=self.slopes)
        if self.weight_gradient is not None:
            np.dot(self.pooled.T, slopes, out=self.weight_gradient)

    def backward(self, kernels: Any, gradient: Array) -> Array:
        kernels.pool_backward(self.x, self.blocks, self.sums, self.slopes, gradient)
        return gradient

    def products(self, x: Array) -> Array:
        return self._pooled(x)[1]

    def products_backward(self, x: Array, slopes: Array) -> Array:
        gradient, sums = np.zeros_like(x), self._pooled(x)[0]
        _kernels.pool_backward(x, self.blocks, sums, np.broadcast_to(slopes, sums.shape), gradient)
        return gradient

    def _pooled(self, x: Array) -> Array:
        pooled = np.empty((2, len(x), len(self.weight)), x.dtype)
        _kernels.pool(x, self.blocks, *pooled)
        return pooled
