"""The network's layers: each a small object with `forward` and `backward` and its own buffers.

A layer serves one training at a time. `resize` says how many rows the next batches have; buffers
are made once for the largest batch and cut to views. Arrays that a layer returns are its own and
are overwritten by its next call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from catvec.frames import Lists
from catvec.network import _kernels
from catvec.network._composition import Composition
from catvec.network._inputs import Inputs
from catvec.network._kernels import AT, DIM, Array
from catvec.network._tables import EmbeddingTables

__all__ = ["Hidden", "Linear", "Lookup", "Parameters", "layer_key"]

EPSILON = 1e-5
"""Added to the variance in batch norm, as PyTorch does."""
MOMENTUM = 0.1
"""Share of the batch in the running mean and variance, as PyTorch does."""
OF_ELEMENTS, OF_ROWS = -1, -2
"""Numbers of the two masks of `Lookup`; those of hidden layers count from 0."""

NOTHING_HIDDEN: Array = np.empty((0, 1), np.uint64)


class Parameters(Mapping[str, Array]):
    """Named arrays in one flat buffer, so that an optimizer is one loop over `flat`."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike) -> None:
        self._cut(np.zeros(sum(prod(shape) for shape in shapes.values()), dtype), shapes)

    def _cut(self, flat: Array, shapes: Mapping[str, tuple[int, ...]]) -> None:
        ends = list(accumulate((prod(shape) for shape in shapes.values()), initial=0))
        self.flat = flat
        self._views = {
            name: flat[start:end].reshape(shape)
            for (name, shape), start, end in zip(shapes.items(), ends, ends[1:], strict=False)
        }

    def __getstate__(self) -> tuple[Array, dict[str, tuple[int, ...]]]:
        """Without the views: copied by themselves they would be views no longer."""
        return self.flat, self._shapes()

    def __setstate__(self, state: tuple[Array, dict[str, tuple[int, ...]]]) -> None:
        self._cut(*state)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def state(self) -> dict[str, Array]:
        """All arrays by name, for a file; views, not copies."""
        return dict(self)

    def like(self) -> Parameters:
        """Zeros of the same names and shapes."""
        return Parameters(self._shapes(), self.flat.dtype)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: view.shape for name, view in self.items()}


class Lookup:
    """The network's input: vectors of the codes, interpolated vectors, dense numbers.

    Columns for `n_products` products come after them, which an interaction fills.

    The two dropouts are of training, and of categorical columns only. With `limits`, those of a
    `Hiding`, whole vectors make room for row 0, which learns from these rows what to say without
    the column. Hence no vector is scaled up, unlike those that are left where others become zero
    (Gal & Ghahramani 2016, arXiv 1512.05287, section 4.2), or where `embedding_dropout` drops
    single elements (Srivastava et al. 2014, JMLR 15). A pair of columns, `pair_columns` of the last
    ones, is unknown with either of them, as it is for a category never seen.
    """

    def __init__(
        self,
        tables: EmbeddingTables,
        inputs: Inputs,
        n_knots: tuple[int, ...],
        n_products: int = 0,
        embedding_dropout: float = 0.0,
        limits: Array = NOTHING_HIDDEN,
        composition: Composition | None = None,
        pair_columns: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.tables = tables
        self.inputs = inputs
        self.composition = composition if composition and composition.columns else None
        self.list_columns = composition.list_columns if composition else []
        self.lists: list[Lists] = []
        self.n_knots = np.array(n_knots, np.int64)
        self.pairs = np.array(pair_columns, np.int64).reshape(-1, 2)
        self.n_columns = inputs.codes.shape[1]
        dims = tables.layout[: self.n_columns, DIM] if composition is None else composition.dims
        self.n_elements = int(sum(dims))
        self.threshold = round(embedding_dropout * 2**32)
        self.keep = 1.0 - embedding_dropout
        self.limits = limits
        self.n_vectors = tables.width if composition is None else composition.n_vectors
        self.n_inputs = self.n_vectors + inputs.numbers.shape[1]
        self.width = self.n_inputs + n_products

    def allocate(self, n_rows: int) -> None:
        dtype = np.promote_types(self.tables.flat.dtype, np.float32)
        width = self.width + (self.composition.n_scratch if self.composition else 0)
        self._at = np.empty((n_rows, len(self.tables.layout)), np.int32)
        self._shares = np.empty((n_rows, self.tables.n_knotted), dtype)
        self._out = np.empty((n_rows, width), dtype)
        self._numbers = np.empty((n_rows, self.inputs.numbers.shape[1]), self.inputs.numbers.dtype)
        self._back = np.empty_like(self._out) if self.composition else self._out[:0]
        self.resize(n_rows)

    def resize(self, n_rows: int) -> None:
        self.at, self.shares = self._at[:n_rows], self._shares[:n_rows]
        self.out, self.back = self._out[:n_rows], self._back[:n_rows]
        self.numbers = self._numbers[:n_rows]

    def forward(self, kernels: Any, rows: Array, key: int = 0) -> Array:
        """The input (B, W) of the given rows; `key` is the step's, for dropout.

        Beside it, if anything is composed, lies what it is composed of: see `seen`.
        """
        inputs, tables = self.inputs, self.tables
        self._place(kernels, rows, self.at, self.shares)
        if len(self.limits):
            kernels.drop_categories(self.at, self.limits, self.pairs, layer_key(key, OF_ROWS))
            if self.composition:
                further = self.at[:, self.n_columns :][:, : len(self.composition.columns)]
                further[self.at[:, self.composition.columns] == 0] = 0
        tables.gather(kernels, self.at, self.shares, self.out)
        self.lists = self._batch_lists(rows, key)
        for c, lists in zip(self.list_columns, self.lists, strict=True):
            parts = lists.offsets, lists.codes, lists.shares
            kernels.gather_lists(tables.flat, tables.layout[c], *parts, self.out)
        if self.composition:
            self.composition.weigh(self.out)
            kernels.compose(self.out, self.composition.parts)
        self._drop(kernels, self.out, key)
        if inputs.numbers.shape[1]:
            # Clipped, an index needs no check: half the time.
            np.take(inputs.numbers, rows, axis=0, out=self.numbers, mode="clip")
            self.out[:, self.n_vectors : self.n_inputs] = self.numbers
        return self.out

    def _batch_lists(self, rows: Array, key: int) -> list[Lists]:
        """The lists of some rows; category dropout takes whole cells for unknown."""
        batch = [lists.take(rows) for lists in self.inputs.lists]
        if not len(self.limits) or not batch:
            return batch
        # As for columns that are looked up row by row.
        cells = np.ones((len(rows), self.n_columns), np.int32)
        _kernels.drop_categories(cells, self.limits, self.pairs, layer_key(key, OF_ROWS))
        return [
            lists.hidden(cells[:, c] == 0)
            for c, lists in zip(self.list_columns, batch, strict=True)
        ]

    def take_lists(self, gradient: Array) -> list[tuple[Array, Array]]:
        """Of each list column its row of the layout, and its gradient, which is 0 thereafter.

        The rows of its table are moved by themselves, and not by what `at` says.
        """
        taken = []
        for c in self.list_columns:
            look = self.tables.layout[c]
            block = slice(int(look[AT]), int(look[AT] + look[DIM]))
            own = np.zeros_like(gradient)
            own[:, block] = gradient[:, block]
            gradient[:, block] = 0
            taken.append((look, own))
        return taken

    def seen(self, x: Array) -> Array:
        """What the first layer sees of the input, products included."""
        return x[:, : self.width] if self.composition else x

    def widened(self, gradient: Array) -> Array:
        """The gradient by what `seen` gave, with room beside it as the input has."""
        if not self.composition:
            return gradient
        self.back[:, : self.width] = gradient
        return self.back

    def backward(self, kernels: Any, gradient: Array, key: int = 0) -> Array:
        """From the gradient by the input to that by the vectors at `at`, in place."""
        self._drop(kernels, gradient, key)
        if self.composition:
            kernels.compose_backward(self.out, self.composition.parts, gradient)
            self.composition.weigh_backward(gradient)
        return gradient

    def _drop(self, kernels: Any, x: Array, key: int) -> None:
        if self.threshold:
            of_elements = layer_key(key, OF_ELEMENTS)
            kernels.drop_elements(x, self.n_elements, of_elements, self.threshold, self.keep)

    def place(self, kernels: Any, rows: Array) -> tuple[Array, Array]:
        """Where the given rows look into the tables: rows (B, T) and shares (B, M)."""
        at = np.empty((len(rows), len(self.tables.layout)), np.int32)
        shares = np.empty((len(rows), self.tables.n_knotted), self.tables.flat.dtype)
        self._place(kernels, rows, at, shares)
        return at, shares

    def _place(self, kernels: Any, rows: Array, at: Array, shares: Array) -> None:
        inputs = self.inputs
        kernels.place(inputs.looked_up, inputs.positions, rows, self.n_knots, at, shares)


class Linear:
    """``x @ weight``, and ``+ bias`` where there is one.

    Of the gradient by the input only the columns `asked` are computed; the others hold anything.
    """

    asked = slice(None)

    def __init__(self, values: Parameters, gradients: Parameters, name: str) -> None:
        self.weight, self.weight_gradient = values[f"{name}.weight"], gradients[f"{name}.weight"]
        self.bias = values.get(f"{name}.bias")
        self.bias_gradient = gradients.get(f"{name}.bias")

    def allocate(self, n_rows: int) -> None:
        n_inputs, n_outputs = self.weight.shape
        self._out = np.empty((n_rows, n_outputs), self.weight.dtype)
        self._back = np.empty((n_rows, n_inputs), self.weight.dtype)
        self.resize(n_rows)

    def resize(self, n_rows: int) -> None:
        self.out, self.back = self._out[:n_rows], self._back[:n_rows]

    def forward(self, x: Array) -> Array:
        self.x = x
        np.dot(x, self.weight, out=self.out)
        if self.bias is not None:
            self.out += self.bias
        return self.out

    def backward(self, gradient: Array) -> Array:
        np.dot(self.x.T, gradient, out=self.weight_gradient)
        if self.bias_gradient is not None:
            np.sum(gradient, axis=0, out=self.bias_gradient)
        if self.asked == slice(None):
            return np.dot(gradient, self.weight.T, out=self.back)
        self.back[:, self.asked] = gradient @ self.weight[self.asked].T
        return self.back


class Hidden:
    """Linear -> batch norm -> ReLU -> dropout; batch norm's shift takes the place of a bias.

    A batch of a single row has no variance: it is normalised by the running statistics, as
    constants, and leaves them as they are. With `running_norm` all batches are: the statistics of
    a few rows are noise, and a network may be without batch norm.
    """

    running_norm = False

    def __init__(
        self, values: Parameters, gradients: Parameters, running: Parameters, i: int, dropout: float
    ) -> None:
        self.linear = Linear(values, gradients, f"linear_{i}")
        self.scale, self.shift = values[f"norm_{i}.scale"], values[f"norm_{i}.shift"]
        self.scale_gradient = gradients[f"norm_{i}.scale"]
        self.shift_gradient = gradients[f"norm_{i}.shift"]
        self.mean, self.variance = running[f"norm_{i}.mean"], running[f"norm_{i}.variance"]
        self.threshold = round(dropout * 2**32)
        self.keep = 1.0 - dropout
        self.number = i

    def allocate(self, n_rows: int) -> None:
        self.linear.allocate(n_rows)
        self._out = np.empty_like(self.linear.out)
        self.batch_mean, self.batch_variance = np.empty_like(self.mean), np.empty_like(self.mean)
        self.inverse = np.empty_like(self.mean)
        self.resize(n_rows)

    def resize(self, n_rows: int) -> None:
        self.linear.resize(n_rows)
        self.out = self._out[:n_rows]

    def forward(self, kernels: Any, x: Array, key: int) -> Array:
        self.normalized = self.linear.forward(x)
        mean, variance = self.mean, self.variance
        if self._norms_batch(len(x)):
            mean, variance = self.batch_mean, self.batch_variance
            kernels.moments(self.normalized, mean, variance)
            kernels.remember(mean, variance, len(x), MOMENTUM, self.mean, self.variance)
        np.add(variance, variance.dtype.type(EPSILON), out=self.inverse)
        np.sqrt(self.inverse, out=self.inverse)
        np.reciprocal(self.inverse, out=self.inverse)
        kernels.normalize(
            self.normalized,
            mean,
            self.inverse,
            self.scale,
            self.shift,
            layer_key(key, self.number),
            self.threshold,
            self.keep,
            self.out,
        )
        return self.out

    def _norms_batch(self, n_rows: int) -> bool:
        return n_rows > 1 and not self.running_norm

    def backward(self, kernels: Any, gradient: Array) -> Array:
        n_rows = len(gradient)
        kernels.normalize_backward(
            self.normalized,
            self.out,
            gradient,
            self.inverse,
            self.scale,
            1.0 / n_rows if self._norms_batch(n_rows) else 0.0,
            self.keep,
            self.scale_gradient,
            self.shift_gradient,
        )
        return self.linear.backward(gradient)


def layer_key(key: int, number: int) -> int:
    """A 32-bit key for one layer of one step (splitmix64, Steele, Lea & Flood 2014)."""
    z = (key + (number + 1) * 0x9E3779B97F4A7C15) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) >> 32
