"""The loops of `_kernels`, compiled: same names, same arguments, same results but for rounding.

They are as `_numba` says that loops are compiled; those that move weights are in `_numba_updates`.
"""

from __future__ import annotations

import math

import numpy as np

from catvec._numba import UNIT, ZERO, Index, compiled, inlined
from catvec.network._kernels import AT, DIM, EACH, LINE, NONE, ONE, START, Array
from catvec.network._numba_updates import adamw, update_lists, update_tables

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


@inlined
def _mixed(x: np.uint32) -> np.uint32:
    """One number of `_kernels._hashed`; all in uint32."""
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    x ^= x >> np.uint32(16)
    return np.uint32(x)


# --- tables ---------------------------------------------------------------------------


@compiled
def place(
    codes: Array, positions: Array, rows: Array, n_knots: Array, at: Array, shares: Array
) -> None:
    n_columns, n_numbers = Index(codes.shape[1]), Index(positions.shape[1])
    of_codes, of_numbers = codes.reshape(codes.size), positions.reshape(positions.size)
    looks, parts = at.reshape(at.size), shares.reshape(shares.size)
    tops, last = np.empty(n_numbers, np.float32), np.empty(n_numbers, np.int32)
    for m in range(n_numbers):
        tops[m], last[m] = np.float32(n_knots[m] - 1), np.int32(max(n_knots[m] - 2, 0))
    for b in range(len(rows)):
        row, to = Index(rows[b]), Index(b) * (n_columns + n_numbers)
        for c in range(n_columns):
            looks[to + c] = of_codes[row * n_columns + c]
        to, own = to + n_columns, Index(b) * n_numbers
        for m in range(n_numbers):  # without branches, so that it takes several at once
            found = of_numbers[row * n_numbers + m]
            inside = min(max(found, ZERO), tops[m])
            lower, known = min(np.int32(inside), last[m]), found >= ZERO
            looks[to + m] = lower + np.int32(2) if known else np.int32(math.isnan(found))
            parts[own + m] = inside - np.float32(lower) if known else ZERO


@compiled
def drop_categories(at: Array, limits: Array, pairs: Array, key: int) -> None:
    n_columns, last = limits.shape[0], limits.shape[1] - 1
    for b in range(len(at)):
        drawn, first = np.uint64(_mixed(np.uint32(key + b))), 0
        while first < n_columns and drawn >= limits[first, last]:
            first += 1
        if first == n_columns:
            continue
        second = -1
        while drawn >= limits[first, second + 1]:
            second += 1
        at[b, first] = 0
        if second >= 0:
            at[b, second] = 0
        for p in range(len(pairs)):
            if pairs[p, 0] in (first, second) or pairs[p, 1] in (first, second):
                at[b, n_columns + p] = 0


@compiled
def drop_elements(x: Array, width: int, key: int, threshold: int, keep: float) -> None:
    limit, gain = np.uint32(threshold), UNIT / np.float32(keep)
    for b in range(len(x)):
        first = np.uint32(key + b * width)
        for j in range(width):
            dropped = _mixed(np.uint32(first + np.uint32(j))) < limit
            x[b, j] = ZERO if dropped else x[b, j] * gain


@compiled
def gather(weights: Array, layout: Array, at: Array, shares: Array, out: Array) -> None:
    n_rows, n_tables = at.shape
    first_knotted = n_tables - shares.shape[1]
    flat, width = out.reshape(out.size), out.shape[1]
    for t in range(n_tables if n_rows else 0):
        start, dim, column = layout[t, START], layout[t, DIM], layout[t, AT]
        met = ZERO
        for b in range(n_rows):
            met += weights[Index(start + at[b, t] * dim)]
        flat[Index(column)] = met  # overwritten below; without it the compiler drops the loop
        for b in range(n_rows):
            lower, to = Index(start + at[b, t] * dim), Index(b * width + column)
            share = shares[b, t - first_knotted] if t >= first_knotted else ZERO
            if share > ZERO:
                for j in range(Index(dim)):
                    below, above = weights[lower + j], weights[lower + Index(dim) + j]
                    flat[to + j] = below + share * (above - below)
            else:
                for j in range(Index(dim)):
                    flat[to + j] = weights[lower + j]


@compiled
def compose(x: Array, parts: Array) -> None:
    flat, width = x.reshape(x.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(parts)):
            to, n = Index(b * width + parts[p, 0]), Index(parts[p, 1])
            vector, factor = Index(b * width + parts[p, 2]), Index(b * width + parts[p, 3])
            step = Index(1 if parts[p, 4] == EACH else 0)
            alone, first = parts[p, 4] == NONE, parts[p, 5] == 1
            for j in range(n):
                piece = flat[vector + j] * (UNIT if alone else flat[factor + j * step])
                flat[to + j] = piece if first else flat[to + j] + piece


@compiled
def compose_backward(x: Array, parts: Array, gradient: Array) -> None:
    values, slopes, width = x.reshape(x.size), gradient.reshape(gradient.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(parts)):
            to, n = Index(b * width + parts[p, 0]), Index(parts[p, 1])
            vector, factor = Index(b * width + parts[p, 2]), Index(b * width + parts[p, 3])
            step = Index(1 if parts[p, 4] == EACH else 0)
            total = ZERO
            for j in range(n):
                slope = slopes[to + j]
                slopes[vector + j] = slope
                if parts[p, 4] != NONE:
                    slopes[vector + j] = slope * values[factor + j * step]
                    total += slope * values[vector + j]
                if parts[p, 4] == EACH:
                    slopes[factor + j] = slope * values[vector + j]
            if parts[p, 4] == ONE:
                slopes[factor] = total


@compiled
def count_lines(layout: Array, at: Array, shares: Array, masses: Array, counts: Array) -> None:
    n_tables = len(layout)
    first_knotted = n_tables - shares.shape[1]
    for b in range(len(at)):
        for t in range(n_tables):
            line = layout[t, LINE] + at[b, t]
            share = shares[b, t - first_knotted] if t >= first_knotted else ZERO
            counts[line] += masses[b] * (UNIT - share)
            if share > ZERO:
                counts[line + 1] += masses[b] * share


@compiled
def gather_lists(
    weights: Array, look: Array, offsets: Array, codes: Array, shares: Array, out: Array
) -> None:
    flat, width = out.reshape(out.size), out.shape[1]
    start, dim = look[START], Index(look[DIM])
    for b in range(len(out)):
        to = Index(b * width + look[AT])
        for j in range(dim):
            flat[to + j] = ZERO
        for i in range(offsets[b], offsets[b + 1]):
            first, share = Index(start + codes[i] * look[DIM]), shares[i]
            for j in range(dim):
                flat[to + j] += share * weights[first + j]


@compiled
def count_lists(
    look: Array, offsets: Array, codes: Array, shares: Array, masses: Array, counts: Array
) -> None:
    for b in range(len(masses)):
        for i in range(offsets[b], offsets[b + 1]):
            counts[look[LINE] + codes[i]] += masses[b] * shares[i]


# --- interactions ---------------------------------------------------------------------


@compiled
def multiply(x: Array, pairs: Array) -> None:
    flat, width = x.reshape(x.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(pairs)):
            left, right = Index(b * width + pairs[p, 0]), Index(b * width + pairs[p, 1])
            to = Index(b * width + pairs[p, 3])
            for j in range(Index(pairs[p, 2])):
                flat[to + j] = flat[left + j] * flat[right + j]


@compiled
def multiply_backward(x: Array, pairs: Array, gradient: Array) -> None:
    values, slopes, width = x.reshape(x.size), gradient.reshape(gradient.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(pairs)):
            left, right = Index(b * width + pairs[p, 0]), Index(b * width + pairs[p, 1])
            at = Index(b * width + pairs[p, 3])
            for j in range(Index(pairs[p, 2])):
                slopes[left + j] += slopes[at + j] * values[right + j]
                slopes[right + j] += slopes[at + j] * values[left + j]


@compiled
def pool(x: Array, blocks: Array, sums: Array, out: Array) -> None:
    flat, width = x.reshape(x.size), x.shape[1]
    total, found, n = sums.reshape(sums.size), out.reshape(out.size), Index(out.shape[1])
    for b in range(len(x)):
        own = Index(b) * n
        for j in range(n):
            total[own + j] = ZERO
            found[own + j] = ZERO
        for c in range(len(blocks)):
            at = Index(b * width + blocks[c, 0])
            for j in range(Index(blocks[c, 1])):
                total[own + j] += flat[at + j]
                found[own + j] -= flat[at + j] * flat[at + j]
        for j in range(n):
            found[own + j] = np.float32(0.5) * (found[own + j] + total[own + j] * total[own + j])


@compiled
def pool_backward(x: Array, blocks: Array, sums: Array, slopes: Array, gradient: Array) -> None:
    flat, back, width = x.reshape(x.size), gradient.reshape(gradient.size), x.shape[1]
    total, slope, n = sums.reshape(sums.size), slopes.reshape(slopes.size), sums.shape[1]
    for b in range(len(x)):
        own = Index(b * n)
        for c in range(len(blocks)):
            at = Index(b * width + blocks[c, 0])
            to = Index(b * gradient.shape[1] + blocks[c, 0])
            for j in range(Index(blocks[c, 1])):
                back[to + j] += slope[own + j] * (total[own + j] - flat[at + j])


# --- layers ---------------------------------------------------------------------------


@compiled
def moments(z: Array, mean: Array, variance: Array) -> None:
    n_rows, n_units = z.shape
    each = UNIT / np.float32(n_rows)
    mean[:] = ZERO
    variance[:] = ZERO
    for b in range(n_rows):
        for j in range(n_units):
            mean[j] += z[b, j]
    for j in range(n_units):
        mean[j] *= each
    for b in range(n_rows):
        for j in range(n_units):
            variance[j] += (z[b, j] - mean[j]) * (z[b, j] - mean[j])
    for j in range(n_units):
        variance[j] *= each


@compiled
def remember(
    mean: Array,
    variance: Array,
    n_rows: int,
    momentum: float,
    running_mean: Array,
    running_variance: Array,
) -> None:
    old, new = np.float32(1.0 - momentum), np.float32(momentum)
    unbiased = np.float32(momentum * n_rows / (n_rows - 1))
    for j in range(len(mean)):
        running_mean[j] = old * running_mean[j] + new * mean[j]
        running_variance[j] = old * running_variance[j] + unbiased * variance[j]


@compiled
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
    n_rows, n_units = z.shape
    limit, gain = np.uint32(threshold), UNIT / np.float32(keep)
    for b in range(n_rows):
        first = np.uint32(key + b * n_units)
        for j in range(n_units):
            normalized = (z[b, j] - mean[j]) * inverse[j]
            z[b, j] = normalized
            active = max(normalized * scale[j] + shift[j], ZERO) * gain
            out[b, j] = ZERO if _mixed(np.uint32(first + np.uint32(j))) < limit else active


@compiled
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
    n_rows, n_units = out.shape
    gain, factor = UNIT / np.float32(keep), np.float32(coupling)
    scale_gradient[:] = ZERO
    shift_gradient[:] = ZERO
    for b in range(n_rows):
        for j in range(n_units):
            g = gradient[b, j] * gain if out[b, j] > ZERO else ZERO
            gradient[b, j] = g
            shift_gradient[j] += g
            scale_gradient[j] += g * normalized[b, j]
    for b in range(n_rows):
        for j in range(n_units):
            shared = factor * (shift_gradient[j] + scale_gradient[j] * normalized[b, j])
            gradient[b, j] = (gradient[b, j] - shared) * (scale[j] * inverse[j])
