"""Every loop of the network in NumPy: readable, and the twin that tests the compiled one.

`_kernels_numba` has the same names with the same arguments. Letters in shape comments: B rows of
a batch, C categorical columns, M knotted numbers, T = C + M tables, W width of the network's
input, H units of a layer. All functions fill arrays that are handed in; they take float32 in
training and any float type in the tests, where gradients are compared with finite differences.

A *layout* is an int64 array (T, 5) that says where each table lies; its columns are named below.
The tables share one flat buffer; a *line* is the number of a table's row among all rows of all
tables, which is how arrays with one entry for each row (counts, accumulators) are addressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from catvec.network._hiding import hidden_cells

__all__ = [
    "adamw",
    "compose",
    "compose_backward",
    "count_lines",
    "count_lists",
    "drop_categories",
    "drop_elements",
    "gather",
    "gather_lists",
    "moments",
    "multiply",
    "multiply_backward",
    "normalize",
    "normalize_backward",
    "place",
    "pool",
    "pool_backward",
    "remember",
    "update_lists",
    "update_tables",
]

Array: TypeAlias = NDArray[Any]

START, LINE, DIM, AT, N_ROWS = range(5)
"""Columns of a layout: first element in the buffer, first line, width of a row, first column in
the network's input, number of rows."""

NONE, ONE, EACH = range(3)
"""How many factors a part of a composed vector has: none, one, or one for each element."""

TINY = 1e-10
"""Keeps Adagrad's division finite for a row whose gradients were all zero."""


# --- tables ---------------------------------------------------------------------------


def place(
    codes: Array, positions: Array, rows: Array, n_knots: Array, at: Array, shares: Array
) -> None:
    """Where the given rows look into the tables: `at` (B, T) int32, `shares` (B, M).

    A categorical column looks at the row of its code. A number between two knots looks at two
    neighbouring rows, `at` and `at + 1`, the upper with `shares`. NaN is row 1 (missing), a
    negative position row 0 (unknown).
    """
    n_columns = codes.shape[1]
    at[:, :n_columns] = codes[rows]
    if positions.shape[1]:
        found = positions[rows]
        inside = found >= 0
        top = n_knots - 1
        found = np.minimum(np.where(inside, found, 0), top)
        lower = np.minimum(found.astype(np.int32), np.maximum(top - 1, 0))
        at[:, n_columns:] = np.where(inside, lower + 2, np.isnan(positions[rows]))
        shares[...] = np.where(inside, found - lower, 0)


def drop_categories(at: Array, limits: Array, pairs: Array, key: int) -> None:
    """Take categories of some rows for unknown: 0 in one or two of the first columns of `at`.

    In row b those of the first limit (C, 1 or 1 + C) above ``mixed(key + b)``, if there is one; see
    `Hiding`. The columns after these are those of `pairs` (pairs, 2): dropped where either of the
    two is.
    """
    n_columns = len(limits)
    dropped = hidden_cells(_hashed(key, len(at)), limits)
    at[:, :n_columns][dropped] = 0
    at[:, n_columns : n_columns + len(pairs)][dropped[:, pairs].any(axis=2)] = 0


def drop_elements(x: Array, width: int, key: int, threshold: int, keep: float) -> None:
    """Dropout on the first `width` columns of `x` (B, W), in place; see `normalize`.

    It is linear and its matrix is diagonal: on a gradient, with the same key, it is its own
    backward.
    """
    block = x[:, :width]
    block *= x.dtype.type(1.0 / keep)
    block[_hashed(key, block.size).reshape(block.shape) < threshold] = 0


def gather(weights: Array, layout: Array, at: Array, shares: Array, out: Array) -> None:
    """Write the looked-up vectors into the network's input `out` (B, W), side by side."""
    first_knotted = len(layout) - shares.shape[1]
    for t, (start, _, dim, column, n_rows) in enumerate(layout.tolist()):
        table = weights[start : start + n_rows * dim].reshape(n_rows, dim)
        block = out[:, column : column + dim]
        block[...] = table[at[:, t]]
        if t >= first_knotted:
            upper = table[np.minimum(at[:, t] + 1, n_rows - 1)]
            block += shares[:, t - first_knotted, None] * (upper - block)


def compose(x: Array, parts: Array) -> None:
    """Sum vectors that lie beside the network's input, each times its factors, into `x` (B, W).

    `parts` (parts, 6) int64 says of each: first column of the sum, how many columns, first column
    of the vector and of its factors, how many these are (`NONE`, `ONE`, `EACH`), and whether the
    sum begins with it.
    """
    for to, dim, vector, factor, n_factors, first in parts.tolist():
        piece = x[:, vector : vector + dim]
        if n_factors != NONE:
            piece = piece * x[:, factor : factor + (dim if n_factors == EACH else 1)]
        if first:
            x[:, to : to + dim] = piece
        else:
            x[:, to : to + dim] += piece


def compose_backward(x: Array, parts: Array, gradient: Array) -> None:
    """Backward of `compose`: `gradient` (B, W) by the sums gives that by vectors and factors.

    These lie beside the input and are each in one part; what `gradient` has there is overwritten.
    """
    for to, dim, vector, factor, n_factors, _ in parts.tolist():
        slopes = gradient[:, to : to + dim]
        gradient[:, vector : vector + dim] = slopes
        if n_factors == NONE:
            continue
        end = factor + (dim if n_factors == EACH else 1)
        gradient[:, vector : vector + dim] *= x[:, factor:end]
        by_factor = slopes * x[:, vector : vector + dim]
        if n_factors == ONE:
            by_factor = by_factor.sum(axis=1, keepdims=True)
        gradient[:, factor:end] = by_factor


def count_lines(layout: Array, at: Array, shares: Array, masses: Array, counts: Array) -> None:
    """Add up in `counts` (float64, one for each line) the masses of the rows that look there."""
    for line, seen, mass, _, _ in _occurrences(layout, at, shares, masses):
        counts[line : line + seen.max(initial=-1) + 1] += np.bincount(seen, weights=mass)


def gather_lists(
    weights: Array, look: Array, offsets: Array, codes: Array, shares: Array, out: Array
) -> None:
    """Write the sum of each row's vectors times their shares into its place in `out` (B, W).

    `look` (5,) is the column's row of the layout; row b of the batch has the codes and shares
    from ``offsets[b]`` to ``offsets[b + 1]``, at least one.
    """
    start, _, dim, column, n_rows = look.tolist()
    table = weights[start : start + n_rows * dim].reshape(n_rows, dim)
    if len(out):
        pieces = table[codes] * shares[:, None]
        out[:, column : column + dim] = np.add.reduceat(pieces, offsets[:-1], axis=0)


def count_lists(
    look: Array, offsets: Array, codes: Array, shares: Array, masses: Array, counts: Array
) -> None:
    """As `count_lines`, of a list column: an element counts what its share says."""
    line, n_rows = int(look[LINE]), int(look[N_ROWS])
    mass = np.repeat(masses, np.diff(offsets)) * shares
    counts[line : line + n_rows] += np.bincount(codes, weights=mass, minlength=n_rows)


def update_lists(
    weights: Array,
    squares: Array,
    pulls: Array,
    anchors: Array,
    paces: Array,
    width: int,
    slots: Array,  # noqa: ARG001  (working memory of the compiled twin)
    look: Array,
    offsets: Array,
    codes: Array,
    shares: Array,
    masses: Array,
    gradient: Array,
    rate: float,
) -> None:
    """As `update_tables`, on the rows of a list column's table; `width` is its own of `widths`."""
    each = weights.dtype.type(1.0 / max(len(masses), 1))
    start, line, dim, column, n_rows = look.tolist()
    table = weights[start : start + n_rows * dim].reshape(n_rows, dim)
    rows = np.repeat(np.arange(len(masses)), np.diff(offsets))
    pieces, mass = gradient[rows, column : column + dim], masses[rows] * shares
    seen, total, mass = _summed(codes, pieces, mass, shares)
    own = slice(line, line + n_rows)
    prior = pulls[own], anchors[start : start + n_rows * dim].reshape(-1, dim)
    pace = np.where(np.arange(dim) < width, paces[own, None], 1) if len(paces) else None
    _step(table, squares[own], prior, pace, seen, total * each, mass * each, rate)


def update_tables(
    weights: Array,
    squares: Array,
    pulls: Array,
    anchors: Array,
    paces: Array,
    widths: Array,
    slots: Array,  # noqa: ARG001  (working memory of the compiled twin, as are the last two)
    layout: Array,
    at: Array,
    shares: Array,
    masses: Array,
    gradient: Array,
    rate: float,
    sums: Array,  # noqa: ARG001
    lines: Array,  # noqa: ARG001
) -> None:
    """One step of row-wise Adagrad on the rows a batch looks at; no other row moves.

    The gradient of a row is summed over its occurrences. Each row has one accumulator, the sum
    over steps of its mean squared gradient: Adagrad (Duchi et al. 2011, JMLR 12) with the mean
    over a row's coordinates in place of each coordinate.

    The Gaussian prior: an occurrence of mass w pulls its row k by ``w * pulls[k] * (v_k - v_0)``
    towards row 0. This step is implicit, v_k = v_0 + (v_k' - v_0) / (1 + step * pull) with v_k'
    from the data's gradient alone, as in proximal methods (Parikh & Boyd 2014, section 4.2):
    Adagrad's first step has the length of the rate, so that an explicit one would overshoot row
    0 where the prior is strong and the row rare. Row 0 gets the opposite pulls as its gradient.

    With anchors a_k, row k is drawn to v_0 + a_k: all of this holds for v_k - a_k in place of v_k.

    Parameters
    ----------
    weights : array of shape (elements,), float32
        All tables.
    squares, pulls : arrays of shape (lines,), float32
        Accumulators; lambda / count of each row, 0 for row 0.
    anchors : array of shape (elements,) or (0,), float32
        How far from row 0 each row is at home, 0 for row 0; empty for nowhere but at row 0.
    paces : array of shape (lines,) or (0,), float32
        Factor of each row's step, 0 to hold it fast; empty with `anchors`.
    widths : array of shape (T,), int64
        Of each table looked up, how many dimensions go at this pace, the first ones; others at 1.
    slots : array of shape (lines,), int32
        All -1 before and after.
    layout, at, shares
        As `gather` takes them.
    masses : array of shape (B,)
        Weight of each row of the batch over the mean weight.
    gradient : array of shape (B, W)
        Of the batch's loss by the network's input, as a sum over rows (not a mean). It is
        divided by B here, like the prior.
    rate : float
        Step size.
    sums : array of shape (at least 2 B + 1, widest table + 1), float32
    lines : array of shape (at least 2 B + 1,), int64
    """
    each = weights.dtype.type(1.0 / max(len(at), 1))
    tables = layout.tolist()
    for (start, _, dim, column, n_rows), width, (line, seen, mass, rows, share) in zip(
        tables, widths, _occurrences(layout, at, shares, masses), strict=True
    ):
        table = weights[start : start + n_rows * dim].reshape(n_rows, dim)
        own = slice(line, line + n_rows)
        codes, total, mass = _summed(seen, gradient[rows, column : column + dim], mass, share)
        prior = pulls[own], anchors[start : start + n_rows * dim].reshape(-1, dim)
        pace = np.where(np.arange(dim) < width, paces[own, None], 1) if len(paces) else None
        _step(table, squares[own], prior, pace, codes, total * each, mass * each, rate)


def _step(
    table: Array,
    squares: Array,
    prior: tuple[Array, Array],
    paces: Array | None,
    codes: Array,
    total: Array,
    mass: Array,
    rate: float,
) -> None:
    """Move the rows `codes` (distinct) of one table by their gradients `total`, then row 0."""
    pulls, anchors = prior
    known = codes > 0
    codes, center = codes[known], total[~known].sum(axis=0, keepdims=True)
    pull = mass[known, None] * pulls[codes, None]
    step, home = _adagrad(squares, codes, total[known], rate), table[:1]
    if paces is not None:
        step, home = step * paces[codes], home + anchors[codes]
    away = (table[codes] - step * total[known] - home) / (1 + step * pull)
    table[codes] = home + away
    center -= np.sum(pull * away, axis=0)
    step = _adagrad(squares, np.zeros(1, np.intp), center, rate)
    table[:1] -= (step if paces is None else step * paces[:1]) * center


def _adagrad(squares: Array, lines: Array, gradient: Array, rate: float) -> Array:
    """Note the squared gradients of some rows (n, D) and return their step sizes (n, 1)."""
    squares[lines] += np.mean(gradient * gradient, axis=1)
    steps: Array = squares.dtype.type(rate) / (np.sqrt(squares[lines]) + squares.dtype.type(TINY))
    return steps[:, None]


def _occurrences(
    layout: Array, at: Array, shares: Array, masses: Array
) -> Iterator[tuple[int, Array, Array, Array, Array]]:
    """For each table: first line, rows looked at, their masses, rows of the batch, shares."""
    rows = np.arange(len(at))
    first_knotted = len(layout) - shares.shape[1]
    for t, line in enumerate(layout[:, LINE].tolist()):
        seen, share = at[:, t], np.ones(len(at), shares.dtype)
        if t < first_knotted:
            yield line, seen, masses, rows, share
            continue
        share = shares[:, t - first_knotted]
        between = np.flatnonzero(share > 0)  # on a knot, the row above is not looked at
        seen = np.concatenate([seen, seen[between] + 1])
        both = np.concatenate([1 - share, share[between]])
        where = np.concatenate([rows, between])
        yield line, seen, masses[where] * both, where, both


def _summed(seen: Array, pieces: Array, mass: Array, share: Array) -> tuple[Array, Array, Array]:
    """Sum gradients and masses of repeated rows: distinct rows, ascending, and their sums."""
    pieces = pieces * share[:, None]
    if not seen.size:
        return seen, pieces, mass
    order = np.argsort(seen, kind="stable")
    ordered = seen[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return (
        ordered[first],
        np.add.reduceat(pieces[order], first),
        np.add.reduceat(mass[order], first),
    )


# --- interactions ---------------------------------------------------------------------


def multiply(x: Array, pairs: Array) -> None:
    """Write products of vectors beside them, into the columns of `x` (B, W) kept for them.

    `pairs` (pairs, 4) int64 says of each: first column of the one vector and of the other, how
    many columns are multiplied, and first column of the products.
    """
    for left, right, dim, to in pairs.tolist():
        np.multiply(x[:, left : left + dim], x[:, right : right + dim], out=x[:, to : to + dim])


def multiply_backward(x: Array, pairs: Array, gradient: Array) -> None:
    """Backward of `multiply`: `gradient` (B, W) by the products is added to that by the vectors."""
    for left, right, dim, to in pairs.tolist():
        slopes = gradient[:, to : to + dim]
        gradient[:, left : left + dim] += slopes * x[:, right : right + dim]
        gradient[:, right : right + dim] += slopes * x[:, left : left + dim]


def pool(x: Array, blocks: Array, sums: Array, out: Array) -> None:
    """Sum the products of all pairs of vectors, element by element, into `out` (B, K).

    Half the square of the sum less the sum of the squares (Rendle 2010, lemma 3.1). `blocks`
    (C, 2) int64 gives first column in `x` and width of each vector; one narrower than K ends in
    zeros. `sums` (B, K) is left with the sum of the vectors, for `pool_backward`.
    """
    sums[...] = 0
    out[...] = 0
    for start, dim in blocks.tolist():
        vectors = x[:, start : start + dim]
        sums[:, :dim] += vectors
        out[:, :dim] -= vectors * vectors
    out += sums * sums
    out *= out.dtype.type(0.5)


def pool_backward(x: Array, blocks: Array, sums: Array, slopes: Array, gradient: Array) -> None:
    """Backward of `pool`: what `slopes` (B, K) by its output give is added to `gradient` (B, W)."""
    for start, dim in blocks.tolist():
        others = sums[:, :dim] - x[:, start : start + dim]
        gradient[:, start : start + dim] += slopes[:, :dim] * others


# --- layers ---------------------------------------------------------------------------


def moments(z: Array, mean: Array, variance: Array) -> None:
    """Mean and biased variance (H,) of the columns of `z` (B, H)."""
    np.mean(z, axis=0, out=mean)
    np.var(z, axis=0, out=variance)


def remember(
    mean: Array,
    variance: Array,
    n_rows: int,
    momentum: float,
    running_mean: Array,
    running_variance: Array,
) -> None:
    """Move running moments towards those of a batch of `n_rows` by `momentum`.

    The running variance is the unbiased one, as PyTorch keeps it.
    """
    of_float = mean.dtype.type
    running_mean *= of_float(1.0 - momentum)
    running_mean += of_float(momentum) * mean
    running_variance *= of_float(1.0 - momentum)
    running_variance += of_float(momentum * n_rows / (n_rows - 1)) * variance


def normalize(
    z: Array,
    mean: Array,
    inverse: Array,
    scale: Array,
    shift: Array,
    key: int,
    threshold: int,
    keep: float,
    out: Array,
) -> None:
    """Batch norm, ReLU and dropout: `z` becomes the normalised values, `out` what comes out.

    Element i (counted along rows) is dropped where ``mixed(key + i) < threshold``, a hash of
    32 bits; the others are divided by `keep`.
    """
    z -= mean
    z *= inverse
    np.maximum(z * scale + shift, 0, out=out)
    if threshold:
        out /= z.dtype.type(keep)
        out[_hashed(key, out.size).reshape(out.shape) < threshold] = 0


def _hashed(key: int, n: int) -> Array:
    """32 bits for each of n counters: the `lowbias32` mixer (C. Wellons, hash-prospector)."""
    x = np.arange(n, dtype=np.uint32) + np.uint32(key)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def normalize_backward(
    normalized: Array,
    out: Array,
    gradient: Array,
    inverse: Array,
    scale: Array,
    coupling: float,
    keep: float,
    scale_gradient: Array,
    shift_gradient: Array,
) -> None:
    """Backward of `normalize`: `gradient` by `out` becomes the gradient by `z`, in place.

    `coupling` is 1 / B where mean and variance are the batch's own, so that every row moves every
    other's normalised value (Ioffe & Szegedy 2015, section 3), and 0 where they are constants.
    """
    gradient *= out > 0
    gradient /= normalized.dtype.type(keep)
    np.sum(gradient * normalized, axis=0, out=scale_gradient)
    np.sum(gradient, axis=0, out=shift_gradient)
    factor = normalized.dtype.type(coupling)
    gradient -= factor * shift_gradient + factor * scale_gradient * normalized
    gradient *= scale * inverse


def adamw(
    weights: Array,
    gradient: Array,
    first: Array,
    second: Array,
    n_decayed: int,
    rate: float,
    decay: float,
    unbias_first: float,
    unbias_second: float,
) -> None:
    """One step of AdamW on a flat buffer whose first `n_decayed` elements decay.

    Loshchilov & Hutter 2019 (arXiv 1711.05101), algorithm 2, beta 0.9 and 0.999, epsilon 1e-8;
    `unbias_first` and `unbias_second` are ``1 / (1 - beta**t)`` of step t, `decay` the factor
    ``rate * weight_decay``.
    """
    first += weights.dtype.type(0.1) * (gradient - first)
    second += weights.dtype.type(0.001) * (gradient * gradient - second)
    weights[:n_decayed] *= weights.dtype.type(1.0 - decay)
    root = np.sqrt(second * weights.dtype.type(unbias_second)) + weights.dtype.type(1e-8)
    weights -= weights.dtype.type(rate * unbias_first) * first / root
