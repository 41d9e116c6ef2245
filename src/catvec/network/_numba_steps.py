"""Whole training steps in one call, compiled: many batches while other threads have Python's lock.

The steps are those of `_step.Step`, made of the same loops; matrix products are by scipy's BLAS.
A step of `Step` gives the lock away some twenty times, for 10 to 100 microseconds each, and waits
for it as often.

Letters in shape comments: B rows of the largest batch, W width of the network's input, H units of
a layer, Q outputs.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from catvec._numba import UNIT, ZERO, compiled, inlined, spliced
from catvec.network import _kernels_numba as kernels
from catvec.network._kernels import Array
from catvec.network._layers import OF_ROWS

__all__ = [
    "LOSSES",
    "Head",
    "Layer",
    "Objective",
    "Pooling",
    "Rows",
    "Source",
    "Tables",
    "Weights",
    "learn",
]

SQUARED, ABSOLUTE, QUANTILE, LOGISTIC, SOFTMAX, POISSON = range(6)
LOSSES = {
    "squared": SQUARED,
    "absolute": ABSOLUTE,
    "quantile": QUANTILE,
    "logistic": LOGISTIC,
    "softmax": SOFTMAX,
    "poisson": POISSON,
}

adamw = inlined(kernels.adamw)
drop_categories = inlined(kernels.drop_categories)
gather = inlined(kernels.gather)
moments = inlined(kernels.moments)
multiply = inlined(kernels.multiply)
multiply_backward = inlined(kernels.multiply_backward)
normalize = inlined(kernels.normalize)
normalize_backward = inlined(kernels.normalize_backward)
place = inlined(kernels.place)
pool = inlined(kernels.pool)
pool_backward = inlined(kernels.pool_backward)
remember = inlined(kernels.remember)
update_tables = inlined(kernels.update_tables)


class Rows(NamedTuple):
    """Training rows; `weight` (n,) is empty where all weigh alike, else of mean 1 by `scale`."""

    codes: Array
    positions: Array
    numbers: Array
    target: Array
    weight: Array
    scale: float


class Objective(NamedTuple):
    """The loss by its number in `LOSSES`, and the level of a quantile."""

    loss: int
    level: float


class Tables(NamedTuple):
    """The tables and what `update_tables` takes; the first `n_held` looks never move.

    Their rate is `rate` times that of the weights.
    """

    weights: Array
    squares: Array
    pulls: Array
    anchors: Array
    paces: Array
    widths: Array
    slots: Array
    layout: Array
    sums: Array
    lines: Array
    rate: float
    n_held: int
    moved: Array  # (B, looks that move), int32


class Source(NamedTuple):
    """The layer that looks rows up, as `Lookup` has it; see there."""

    n_knots: Array
    limits: Array
    pairs: Array
    n_vectors: int
    at: Array  # (B, looks), int32
    shares: Array  # (B, knotted numbers)
    out: Array  # (B, W)


class Pooling(NamedTuple):
    """How vectors are multiplied: `pairs` of `Product`, the rest of `FactorizationMachine`."""

    pairs: Array
    blocks: Array
    weight: Array
    weight_gradient: Array
    sums: Array
    pooled: Array
    slopes: Array


class Layer(NamedTuple):
    """A hidden layer, as `Hidden` has it; gradients are asked from `start` to `stop`.

    Constants of other files are handed in: in a loop that is kept they would outlive a change.
    """

    number: int
    weight: Array
    weight_gradient: Array
    scale: Array
    scale_gradient: Array
    shift: Array
    shift_gradient: Array
    mean: Array
    variance: Array
    batch_mean: Array
    batch_variance: Array
    inverse: Array
    normalized: Array  # (B, H)
    out: Array  # (B, H)
    back: Array  # (B, units below, or W)
    asked: Array  # (B, stop - start): `back` itself where all is asked
    start: int
    stop: int
    threshold: int
    keep: float
    norms_batch: bool
    momentum: float
    epsilon: float


class Head(NamedTuple):
    """The layer that gives the scores; `slopes` (B, Q) are the loss's by them."""

    weight: Array
    weight_gradient: Array
    bias: Array
    bias_gradient: Array
    out: Array
    back: Array
    slopes: Array
    masses: Array  # (B,)


class Weights(NamedTuple):
    """All weights in one buffer, and what `adamw` takes."""

    values: Array
    gradients: Array
    first: Array
    second: Array
    n_decayed: int
    decay: float


@compiled
def learn(
    rows: Rows,
    objective: Objective,
    tables: Tables,
    source: Source,
    pooling: Pooling,
    layers: tuple[Layer, ...],
    head: Head,
    weights: Weights,
    order: Array,
    ends: Array,
    rates: Array,
    keys: Array,
    n_steps: int,
) -> float:
    """Train on consecutive batches of `order` (n,), int32; the sum of their weighted losses.

    `ends`, `rates` and `keys` (uint64) have one entry for each batch, `n_steps` says how many
    steps were before. There is at least one layer.
    """
    total, start = 0.0, 0
    for i in range(len(ends)):
        batch = order[start : ends[i]]
        _look_up(rows, tables, source, batch, keys[i])
        _forward(source, pooling, layers, head, len(batch), keys[i])
        total += _slopes(rows, objective, head, batch)
        _backward(source, pooling, layers, head, len(batch))
        _update(tables, source, layers[0], head, weights, len(batch), rates[i], n_steps + i + 1)
        start = ends[i]
    return total


@inlined
def _key(key: np.uint64, number: int) -> int:
    """`layer_key`, all in uint64."""
    z = key + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((z ^ (z >> np.uint64(31))) >> np.uint64(32))


# --- forward --------------------------------------------------------------------------


@spliced
def _look_up(rows: Rows, tables: Tables, source: Source, batch: Array, key: np.uint64) -> None:
    """`Lookup.forward`."""
    n_rows = len(batch)
    at, shares, out = source.at[:n_rows], source.shares[:n_rows], source.out[:n_rows]
    place(rows.codes, rows.positions, batch, source.n_knots, at, shares)
    if len(source.limits):
        drop_categories(at, source.limits, source.pairs, _key(key, OF_ROWS))
    gather(tables.weights, tables.layout, at, shares, out)
    for b in range(n_rows):
        for j in range(rows.numbers.shape[1]):
            out[b, source.n_vectors + j] = rows.numbers[batch[b], j]


@spliced
def _forward(
    source: Source,
    pooling: Pooling,
    layers: tuple[Layer, ...],
    head: Head,
    n_rows: int,
    key: np.uint64,
) -> None:
    """From the network's input to its scores."""
    x = source.out[:n_rows]
    if len(pooling.pairs):
        multiply(x, pooling.pairs)
    if len(pooling.weight):
        pool(x, pooling.blocks, pooling.sums[:n_rows], pooling.pooled[:n_rows])
    for i in range(len(layers)):
        layer = layers[i]
        x = _activate(layer, x, key)
    scores = head.out[:n_rows]
    np.dot(x, head.weight, scores)
    for b in range(n_rows):
        for j in range(scores.shape[1]):
            scores[b, j] += head.bias[j]
            for k in range(len(pooling.weight)):
                scores[b, j] += pooling.pooled[b, k] * pooling.weight[k, j]


@spliced
def _activate(layer: Layer, x: Array, key: np.uint64) -> Array:
    """`Hidden.forward`."""
    n_rows = len(x)
    normalized, out = layer.normalized[:n_rows], layer.out[:n_rows]
    np.dot(x, layer.weight, normalized)
    mean, variance = layer.mean, layer.variance
    if layer.norms_batch and n_rows > 1:
        mean, variance = layer.batch_mean, layer.batch_variance
        moments(normalized, mean, variance)
        remember(mean, variance, n_rows, layer.momentum, layer.mean, layer.variance)
    epsilon = np.float32(layer.epsilon)
    for j in range(len(variance)):
        layer.inverse[j] = UNIT / np.float32(math.sqrt(variance[j] + epsilon))
    normalize(
        normalized,
        mean,
        layer.inverse,
        layer.scale,
        layer.shift,
        _key(key, layer.number),
        layer.threshold,
        layer.keep,
        out,
    )
    return out


# --- the loss -------------------------------------------------------------------------


@spliced
def _slopes(rows: Rows, objective: Objective, head: Head, batch: Array) -> float:
    """Masses and weighted slopes of a batch, and the sum of its weighted losses; see `_losses`."""
    total = 0.0
    for b in range(len(batch)):
        row = batch[b]
        mass = rows.weight[row] * np.float32(rows.scale) if len(rows.weight) else UNIT
        head.masses[b] = mass
        if objective.loss == SOFTMAX:
            value = _softmax(head.out[b], head.slopes[b], int(rows.target[row]))
        else:
            value, slope = _simple(
                objective.loss, np.float32(objective.level), head.out[b, 0], rows.target[row]
            )
            head.slopes[b, 0] = slope
        total += mass * value
        for j in range(head.slopes.shape[1]):
            head.slopes[b, j] *= mass
    return total


@inlined
def _simple(loss: int, level: Any, score: Any, target: Any) -> tuple[Any, Any]:
    """Loss of one row, and its derivative by the score; all are float32."""
    if loss == LOGISTIC:
        small = np.float32(math.exp(-abs(score)))
        rate = (UNIT if score >= ZERO else small) / (UNIT + small)
        return max(score, ZERO) + np.float32(math.log1p(small)) - target * score, rate - target
    if loss == POISSON:
        rate = np.float32(math.exp(score))
        return rate - target * score, rate - target
    error = score - target
    if loss == SQUARED:
        return np.float32(0.5) * error * error, error
    if loss == ABSOLUTE:
        return abs(error), np.float32(np.sign(error))
    step = (UNIT if error > ZERO else ZERO) - level
    return step * error, step if error != ZERO else ZERO


@inlined
def _softmax(scores: Array, slopes: Array, target: int) -> float:
    """As `_simple`, of a class."""
    top, total = scores[0], ZERO
    for j in range(1, len(scores)):
        top = max(top, scores[j])
    for j in range(len(scores)):
        slopes[j] = np.float32(math.exp(scores[j] - top))
        total += slopes[j]
    for j in range(len(scores)):
        slopes[j] /= total
    slopes[target] -= UNIT
    return top + np.float32(math.log(total)) - scores[target]


# --- backward -------------------------------------------------------------------------


@spliced
def _backward(
    source: Source,
    pooling: Pooling,
    layers: tuple[Layer, ...],
    head: Head,
    n_rows: int,
) -> None:
    """Gradients of all weights, summed over the rows, and that by what was looked up."""
    slopes = head.slopes[:n_rows]
    if len(pooling.weight):
        np.dot(slopes, pooling.weight.T, pooling.slopes[:n_rows])
        np.dot(pooling.pooled[:n_rows].T, slopes, pooling.weight_gradient)
    last = layers[len(layers) - 1]
    np.dot(last.out[:n_rows].T, slopes, head.weight_gradient)
    head.bias_gradient[:] = ZERO
    for b in range(n_rows):
        for j in range(slopes.shape[1]):
            head.bias_gradient[j] += slopes[b, j]
    gradient = head.back[:n_rows]
    np.dot(slopes, head.weight.T, gradient)
    for i in range(len(layers) - 1, -1, -1):
        layer = layers[i]
        x = layers[i - 1].out[:n_rows] if i else source.out[:n_rows]
        gradient = _activate_backward(layer, x, gradient)
    x = source.out[:n_rows]
    if len(pooling.pairs):
        multiply_backward(x, pooling.pairs, gradient)
    if len(pooling.weight):
        pool_backward(x, pooling.blocks, pooling.sums[:n_rows], pooling.slopes[:n_rows], gradient)


@spliced
def _activate_backward(layer: Layer, x: Array, gradient: Array) -> Array:
    """`Hidden.backward`, with `x` that the layer saw."""
    n_rows = len(gradient)
    normalize_backward(
        layer.normalized[:n_rows],
        layer.out[:n_rows],
        gradient,
        layer.inverse,
        layer.scale,
        1.0 / n_rows if layer.norms_batch and n_rows > 1 else 0.0,
        layer.keep,
        layer.scale_gradient,
        layer.shift_gradient,
    )
    np.dot(x.T, gradient, layer.weight_gradient)
    back, asked = layer.back[:n_rows], layer.asked[:n_rows]
    np.dot(gradient, layer.weight[layer.start : layer.stop].T, asked)
    if asked.shape[1] != back.shape[1]:
        for b in range(n_rows):
            for j in range(asked.shape[1]):
                back[b, layer.start + j] = asked[b, j]
    return back


# --- what moves -----------------------------------------------------------------------


@spliced
def _update(
    tables: Tables,
    source: Source,
    first: Layer,
    head: Head,
    weights: Weights,
    n_rows: int,
    rate: float,
    n_steps: int,
) -> None:
    """`RowAdagrad.step` and `AdamW.step`, the latter with the mean over the rows."""
    moved, held = tables.moved[:n_rows], tables.n_held
    if held:
        for b in range(n_rows):
            for t in range(moved.shape[1]):
                moved[b, t] = source.at[b, held + t]
    update_tables(
        tables.weights,
        tables.squares,
        tables.pulls,
        tables.anchors,
        tables.paces,
        tables.widths,
        tables.slots,
        tables.layout[held:],
        moved,
        source.shares[:n_rows],
        head.masses[:n_rows],
        first.back[:n_rows],
        rate * tables.rate,
        tables.sums,
        tables.lines,
    )
    each = np.float32(1.0 / n_rows)
    for i in range(len(weights.gradients)):
        weights.gradients[i] *= each
    adamw(
        weights.values,
        weights.gradients,
        weights.first,
        weights.second,
        weights.n_decayed,
        rate,
        rate * weights.decay,
        1.0 / (1.0 - 0.9**n_steps),
        1.0 / (1.0 - 0.999**n_steps),
    )
