r"""What each part of the input adds to the scores: integrated gradients along a straight path.

With x the network's input of a row, x' that of a row about which nothing is known, and s the
score, input i contributes (Sundararajan, Taly & Yan 2017, arXiv 1703.01365, equation 1)

.. math:: c_i = (x_i - x'_i) \int_0^1 \frac{\partial s}{\partial x_i}\bigl(x' + a (x - x')\bigr) da

The path is cut into segments. NOTE[DIFF]: the paper sums gradients at points; within a segment we
take the secant of each ReLU instead, the change of what comes out over the change of what goes in.
It is the mean gradient of a unit whose input moves at a constant pace, as that of all units of the
first layer does, so only units of later layers are approximated. And as the secants of a segment
multiply to just the change of the score, contributions add up to the prediction at any number of
segments, but for rounding. One segment alone is the rescale rule of DeepLIFT (Shrikumar,
Greenside & Kundaje 2017, arXiv 1704.02685).

Where vectors are multiplied, the change of a product over a segment is just the mean of the one
factor times the change of the other, and the reverse: its gradient in the middle of the segment,
by which two columns share what they do together. Units of the first layer then do not move at a
constant pace and are approximated like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from catvec.frames import Lists
from catvec.network import _kernels
from catvec.network._committee import single_threaded_products
from catvec.network._inputs import Inputs
from catvec.network._kernels import Array
from catvec.network._network import Network

__all__ = ["SEGMENTS", "attribute", "unknown_row"]

SEGMENTS = 4
"""Of a path. Empirical: docs/how_it_works.md tells how far contributions are from their limit."""
CHUNK = 512
"""Rows at once: few enough that a layer's arrays stay in the processor's cache."""


def attribute(
    networks: Sequence[Network],
    inputs: Inputs,
    shares: Sequence[Array],
    *,
    segments: int = SEGMENTS,
    n_jobs: int = 1,
) -> tuple[Array, Array, Array]:
    """Contributions to the mean of the networks' scores, on the link scale.

    Products are in float32, sums over networks in float64.

    Parameters
    ----------
    networks : sequence of Network
        At least one, all for the same inputs.
    inputs : Inputs
        n rows.
    shares : sequence of array of shape (W, C)
        By network what part of what an input contributes belongs to each of C columns; rows add up
        to 1.
    segments : int
        Of each path, at least 1; time is proportional to it.
    n_jobs : int
        Threads, over rows; the result does not depend on it.

    Returns
    -------
    base : array of shape (n_outputs,), float64
        Score of the unknown row.
    contributions : array of shape (n, C, n_outputs), float64
    scores : array of shape (n, n_outputs), float64
        Of the rows, which `base` and contributions add up to but for rounding.
    """
    n_outputs = networks[0].config.n_outputs
    contributions = np.zeros((len(inputs), shares[0].shape[1], n_outputs))
    scores = np.zeros((len(inputs), n_outputs))
    starts = range(0, len(inputs), CHUNK)

    def work(number: int) -> None:
        pairs = zip(networks, shares, strict=True)
        paths = [_Path(network, of_network, segments) for network, of_network in pairs]
        for start in starts[number::n_jobs]:
            rows = slice(start, start + CHUNK)
            for path in paths:
                path.add(inputs.take(rows), contributions[rows], scores[rows])
            contributions[rows] /= len(paths)
            scores[rows] /= len(paths)

    with single_threaded_products(), ThreadPoolExecutor(n_jobs) as pool:
        list(pool.map(work, range(n_jobs)))
    start = unknown_row(inputs)
    base = np.mean([network.predict(start)[0] for network in networks], axis=0)
    return base, contributions, scores


def unknown_row(inputs: Inputs) -> Inputs:
    """The row where paths begin: categories and knots unknown, dense numbers 0, their centre."""
    return Inputs(
        np.zeros((1, inputs.codes.shape[1]), np.int32),
        np.zeros((1, inputs.numbers.shape[1]), np.float32),
        np.full((1, inputs.positions.shape[1]), -1, np.float32),
        None if inputs.looks is None else np.zeros((1, inputs.looks.shape[1]), np.int32),
        tuple(Lists.unknown() for _ in inputs.lists),
    )


class _Path:
    """The paths through one network, from the unknown row to rows of a table.

    Letters of shapes: B rows, W inputs, H units of a layer, C columns, Q outputs.
    """

    def __init__(self, network: Network, shares: Array, segments: int) -> None:
        self.network, self.segments = network, segments
        self.shares = shares.astype(np.float32)
        *layers, (self.head, self.bias) = network.folded(np.float32)
        self.layers = [_Layer(weight, bias) for weight, bias in layers]
        self.interaction = network.interaction()
        self.n_inputs = network.config.n_inputs
        first = layers[0][0] if layers else self.head
        self.weight, self.of_products = first[: self.n_inputs], first[self.n_inputs :]

    def add(self, inputs: Inputs, contributions: Array, scores: Array) -> None:
        """Add what this network says: to `contributions` (B, C, Q) and to `scores` (B, Q)."""
        start, way = self._input(unknown_row(inputs)), self._input(inputs)
        way -= start
        gradients, found = self._integrated(start, way)
        scores += found
        for q, gradient in enumerate(gradients):
            contributions[:, :, q] += (gradient * way) @ self.shares

    def _input(self, inputs: Inputs) -> Array:
        lookup = self.network.lookup(inputs)
        lookup.allocate(len(inputs))
        return lookup.forward(_kernels, np.arange(len(inputs)))[:, : self.n_inputs]

    def _integrated(self, start: Array, way: Array) -> tuple[list[Array], Array]:
        """Mean gradient (B, W) of each output along the path, and the scores at its end."""
        gradients, scores = self._of_layers(start, way) if self.layers else self._linear(start, way)
        past = self.network.weights.get("interactions.weight")
        if past is not None:  # bilinear: the mean gradient is that in the middle
            scores += self.interaction.products(start + way) @ past
            gradients = self._with_products(gradients, start + way * np.float32(0.5), past)
        return gradients, scores

    def _linear(self, start: Array, way: Array) -> tuple[list[Array], Array]:
        """`_integrated` without hidden layers."""
        gradients, scores = list(self.weight.T[:, None]), (start + way) @ self.weight + self.bias
        if len(self.of_products):
            middle = start + way * np.float32(0.5)
            scores += self.interaction.products(start + way) @ self.of_products
            gradients = self._with_products(gradients, middle, self.of_products)
        return gradients, scores

    def _with_products(self, gradients: list[Array], middle: Array, matrix: Array) -> list[Array]:
        """`gradients`, and what products add to each output through a matrix (P, Q)."""
        back = self.interaction.products_backward
        return [g + back(middle, slopes) for g, slopes in zip(gradients, matrix.T, strict=True)]

    def _of_layers(self, start: Array, way: Array) -> tuple[list[Array], Array]:
        """`_integrated` through the layers, segment by segment."""
        origin, pace = start @ self.weight + self.layers[0].bias, way @ self.weight
        sums = [np.zeros_like(pace) for _ in self.bias]
        by_products = [np.zeros_like(way) for _ in self.bias if len(self.of_products)]
        for layer in self.layers:
            layer.allocate(len(way))
        each = np.float32(1 / self.segments)
        for k in range(self.segments + 1):
            z = self.layers[0].turn()
            np.multiply(pace, k * each, out=z)
            z += origin
            if len(self.of_products):
                z += self.interaction.products(start + way * (k * each)) @ self.of_products
            end = self._pass_on(z)
            if k:
                for layer in self.layers:
                    layer.set_slope()
                for q, total in enumerate(sums):
                    slopes = self._backward(q)
                    total += slopes
                    if by_products:
                        middle = start + way * (k * each - each / 2)
                        slopes = slopes @ self.of_products.T
                        by_products[q] += self.interaction.products_backward(middle, slopes)
        gradients = [total @ (self.weight.T * each) for total in sums]
        for gradient, more in zip(gradients, by_products, strict=False):
            gradient += more * each
        return gradients, end @ self.head + self.bias

    def _pass_on(self, z: Array) -> Array:
        """What comes out of the last layer, from what goes into the first."""
        out = self.layers[0].pass_on(z)
        for layer in self.layers[1:]:
            z = layer.turn()
            np.dot(out, layer.weight, out=z)
            z += layer.bias
            out = layer.pass_on(z)
        return out

    def _backward(self, q: int) -> Array:
        """Mean gradient of output q by the first layer's units over the last segment."""
        gradient = self.layers[-1].backward(self.head[:, q])
        for layer, below in zip(self.layers[:0:-1], self.layers[-2::-1], strict=True):
            np.dot(gradient, layer.weight.T, out=below.gradient)
            gradient = below.backward(below.gradient)
        return gradient


class _Layer:
    """A layer with ReLU at two places of a path, and its slope in between.

    Buffers stay, since memory that is new for each chunk costs more than what is done with it.
    """

    def __init__(self, weight: Array, bias: Array) -> None:
        self.weight, self.bias = weight, bias
        self._buffers = np.empty((0, 0, 0), np.float32)

    def allocate(self, n_rows: int) -> None:
        if n_rows != self._buffers.shape[1]:
            self._buffers = np.empty((7, n_rows, len(self.bias)), np.float32)
            self._still = np.empty((n_rows, len(self.bias)), np.bool_)
        *states, self.slope, self.change, self.gradient = self._buffers
        self._now, self._before = states[:2], states[2:]

    def turn(self) -> Array:
        """Leave the place for the next; the buffer for what goes in there."""
        self._now, self._before = self._before, self._now
        return self._now[0]

    def pass_on(self, z: Array) -> Array:
        """What comes out."""
        return np.maximum(z, np.float32(0), out=self._now[1])

    def set_slope(self) -> None:
        """Change of what comes out over that of what goes in; 0 where that did not change."""
        (z, out), (z_before, out_before) = self._now, self._before
        np.subtract(z, z_before, out=self.change)
        np.equal(self.change, 0, out=self._still)
        self.change += self._still
        np.subtract(out, out_before, out=self.slope)
        self.slope /= self.change

    def backward(self, gradient: Array) -> Array:
        """From the gradient by what comes out to that by what goes in."""
        return np.multiply(gradient, self.slope, out=self.gradient)
