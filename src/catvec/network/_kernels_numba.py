"""The loops of `_kernels`, compiled; the only file that imports numba.

Same names, same arguments, same results within the rounding of float32. What to keep in mind here:
a bare 0.1 is a double and would make the loop one, so constants are float32; a product of two
uint32 is a uint64 and has to be cut back; there are no bounds checks, so codes are checked before;
`fastmath=True` would break isnan, so its harmless parts are named one by one. Nothing is cached
on disk: numba's cache outlives upgrades of the code.

Two things make the tables fast, five times together. Short loops over flat arrays with unsigned
indices: a signed one might be negative and wrap, which keeps the loop from using wide registers.
And one loop that reads an element of each row before the rows are worked on: its reads do not wait
for each other, so that a batch pays for a few misses of the processor's cache, not for each.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from catvec.network._kernels import AT, DIM, EACH, LINE, N_ROWS, NONE, ONE, START, Array

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
    "update_lists",
    "update_tables",
]

_OPTIONS: dict[str, Any] = {
    "cache": False,
    "nogil": True,
    "no_cfunc_wrapper": True,  # nobody calls the loops from C; a tenth of the compiling saved
    "fastmath": {"reassoc", "contract", "nsz", "arcp", "afn"},
    "error_model": "numpy",
}
_compiled: Any = numba.njit(**_OPTIONS)

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_TINY = np.float32(1e-10)
_Index = np.uint64


@_compiled
def _mixed(x: np.uint32) -> np.uint32:
    """One number of `_kernels._hashed`; all in uint32."""
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    x ^= x >> np.uint32(16)
    return np.uint32(x)


# --- tables ---------------------------------------------------------------------------


@_compiled
def place(
    codes: Array, positions: Array, rows: Array, n_knots: Array, at: Array, shares: Array
) -> None:
    n_columns, n_numbers = _Index(codes.shape[1]), _Index(positions.shape[1])
    of_codes, of_numbers = codes.reshape(codes.size), positions.reshape(positions.size)
    looks, parts = at.reshape(at.size), shares.reshape(shares.size)
    tops, last = np.empty(n_numbers, np.float32), np.empty(n_numbers, np.int32)
    for m in range(n_numbers):
        tops[m], last[m] = np.float32(n_knots[m] - 1), np.int32(max(n_knots[m] - 2, 0))
    for b in range(len(rows)):
        row, to = _Index(rows[b]), _Index(b) * (n_columns + n_numbers)
        for c in range(n_columns):
            looks[to + c] = of_codes[row * n_columns + c]
        to, own = to + n_columns, _Index(b) * n_numbers
        for m in range(n_numbers):  # without branches, so that it takes several at once
            found = of_numbers[row * n_numbers + m]
            inside = min(max(found, _ZERO), tops[m])
            lower, known = min(np.int32(inside), last[m]), found >= _ZERO
            looks[to + m] = lower + np.int32(2) if known else np.int32(math.isnan(found))
            parts[own + m] = inside - np.float32(lower) if known else _ZERO


@_compiled
def drop_categories(at: Array, limits: Array, pairs: Array, key: int) -> None:
    n_columns = len(limits)
    for b in range(len(at)):
        drawn, c = np.uint64(_mixed(np.uint32(key + b))), 0
        while c < n_columns and drawn >= limits[c]:
            c += 1
        if c < n_columns:
            at[b, c] = 0
            for p in range(len(pairs)):
                if pairs[p, 0] == c or pairs[p, 1] == c:
                    at[b, n_columns + p] = 0


@_compiled
def drop_elements(x: Array, width: int, key: int, threshold: int, keep: float) -> None:
    limit, gain = np.uint32(threshold), _ONE / np.float32(keep)
    for b in range(len(x)):
        first = np.uint32(key + b * width)
        for j in range(width):
            dropped = _mixed(np.uint32(first + np.uint32(j))) < limit
            x[b, j] = _ZERO if dropped else x[b, j] * gain


@_compiled
def gather(weights: Array, layout: Array, at: Array, shares: Array, out: Array) -> None:
    n_rows, n_tables = at.shape
    first_knotted = n_tables - shares.shape[1]
    flat, width = out.reshape(out.size), out.shape[1]
    for t in range(n_tables if n_rows else 0):
        start, dim, column = layout[t, START], layout[t, DIM], layout[t, AT]
        met = _ZERO
        for b in range(n_rows):
            met += weights[_Index(start + at[b, t] * dim)]
        flat[_Index(column)] = met  # overwritten below; without it the compiler drops the loop
        for b in range(n_rows):
            lower, to = _Index(start + at[b, t] * dim), _Index(b * width + column)
            share = shares[b, t - first_knotted] if t >= first_knotted else _ZERO
            if share > _ZERO:
                for j in range(_Index(dim)):
                    below, above = weights[lower + j], weights[lower + _Index(dim) + j]
                    flat[to + j] = below + share * (above - below)
            else:
                for j in range(_Index(dim)):
                    flat[to + j] = weights[lower + j]


@_compiled
def compose(x: Array, parts: Array) -> None:
    flat, width = x.reshape(x.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(parts)):
            to, n = _Index(b * width + parts[p, 0]), _Index(parts[p, 1])
            vector, factor = _Index(b * width + parts[p, 2]), _Index(b * width + parts[p, 3])
            step = _Index(1 if parts[p, 4] == EACH else 0)
            alone, first = parts[p, 4] == NONE, parts[p, 5] == 1
            for j in range(n):
                piece = flat[vector + j] * (_ONE if alone else flat[factor + j * step])
                flat[to + j] = piece if first else flat[to + j] + piece


@_compiled
def compose_backward(x: Array, parts: Array, gradient: Array) -> None:
    values, slopes, width = x.reshape(x.size), gradient.reshape(gradient.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(parts)):
            to, n = _Index(b * width + parts[p, 0]), _Index(parts[p, 1])
            vector, factor = _Index(b * width + parts[p, 2]), _Index(b * width + parts[p, 3])
            step = _Index(1 if parts[p, 4] == EACH else 0)
            total = _ZERO
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


@_compiled
def count_lines(layout: Array, at: Array, shares: Array, masses: Array, counts: Array) -> None:
    n_tables = len(layout)
    first_knotted = n_tables - shares.shape[1]
    for b in range(len(at)):
        for t in range(n_tables):
            line = layout[t, LINE] + at[b, t]
            share = shares[b, t - first_knotted] if t >= first_knotted else _ZERO
            counts[line] += masses[b] * (_ONE - share)
            if share > _ZERO:
                counts[line + 1] += masses[b] * share


@_compiled
def update_tables(
    weights: Array,
    squares: Array,
    pulls: Array,
    anchors: Array,
    paces: Array,
    widths: Array,
    slots: Array,
    layout: Array,
    at: Array,
    shares: Array,
    masses: Array,
    gradient: Array,
    rate: float,
    sums: Array,
    lines: Array,
) -> None:
    first_knotted = len(layout) - shares.shape[1]
    n_rows = len(at)
    flat, width = sums.reshape(sums.size), _Index(sums.shape[1])
    pieces = gradient.reshape(gradient.size)
    for t in range(len(layout)):
        line, dim = layout[t, LINE], _Index(layout[t, DIM])
        met = _ZERO
        for b in range(n_rows):
            where = _Index(line + at[b, t])
            met += squares[where] + pulls[where] + np.float32(slots[where])
        flat[0] = met  # overwritten below; without it the compiler drops the loop
        slots[line] = 0  # row 0 takes part in every batch: the prior moves it
        lines[0] = line
        flat[: dim + _Index(1)] = _ZERO
        n_slots = 1
        for b in range(n_rows):
            share = shares[b, t - first_knotted] if t >= first_knotted else _ZERO
            piece = _Index(b * gradient.shape[1] + layout[t, AT])
            for upper in range(2 if share > _ZERO else 1):
                where = _Index(line + at[b, t] + upper)
                part = share if upper else _ONE - share
                slot = slots[where]
                to = _Index(slot) * width
                if slot < 0:
                    slots[where] = n_slots
                    lines[n_slots] = where
                    to = _Index(n_slots) * width
                    for j in range(dim + _Index(1)):
                        flat[to + j] = _ZERO
                    n_slots += 1
                for j in range(dim):
                    flat[to + j] += part * pieces[piece + j]
                flat[to + dim] += part * masses[b]
        _step(
            weights,
            squares,
            pulls,
            anchors,
            paces,
            _Index(widths[t]),
            layout[t, START],
            dim,
            flat,
            width,
            lines,
            n_slots,
            rate,
            n_rows,
        )
        for k in range(n_slots):
            slots[lines[k]] = -1


@_compiled
def gather_lists(
    weights: Array, look: Array, offsets: Array, codes: Array, shares: Array, out: Array
) -> None:
    flat, width = out.reshape(out.size), out.shape[1]
    start, dim = look[START], _Index(look[DIM])
    for b in range(len(out)):
        to = _Index(b * width + look[AT])
        for j in range(dim):
            flat[to + j] = _ZERO
        for i in range(offsets[b], offsets[b + 1]):
            first, share = _Index(start + codes[i] * look[DIM]), shares[i]
            for j in range(dim):
                flat[to + j] += share * weights[first + j]


@_compiled
def count_lists(
    look: Array, offsets: Array, codes: Array, shares: Array, masses: Array, counts: Array
) -> None:
    for b in range(len(masses)):
        for i in range(offsets[b], offsets[b + 1]):
            counts[look[LINE] + codes[i]] += masses[b] * shares[i]


@_compiled
def update_lists(
    weights: Array,
    squares: Array,
    pulls: Array,
    anchors: Array,
    paces: Array,
    width: int,
    slots: Array,
    look: Array,
    offsets: Array,
    codes: Array,
    shares: Array,
    masses: Array,
    gradient: Array,
    rate: float,
) -> None:
    line, dim, n_rows = look[LINE], _Index(look[DIM]), len(masses)
    room = dim + _Index(1)
    n_most = min(len(codes), look[N_ROWS]) + 1
    flat, lines = np.zeros(n_most * (look[DIM] + 1), np.float32), np.empty(n_most, np.int64)
    pieces = gradient.reshape(gradient.size)
    slots[line], lines[0], n_slots = 0, line, 1
    for b in range(n_rows):
        piece = _Index(b * gradient.shape[1] + look[AT])
        for i in range(offsets[b], offsets[b + 1]):
            where, share = _Index(line + codes[i]), shares[i]
            if slots[where] < 0:
                slots[where], lines[n_slots] = n_slots, where
                n_slots += 1
            to = _Index(slots[where]) * room
            for j in range(dim):
                flat[to + j] += share * pieces[piece + j]
            flat[to + dim] += share * masses[b]
    _step(
        weights,
        squares,
        pulls,
        anchors,
        paces,
        _Index(width),
        look[START],
        dim,
        flat,
        room,
        lines,
        n_slots,
        rate,
        n_rows,
    )
    for k in range(n_slots):
        slots[lines[k]] = -1


@_compiled
def _step(
    weights: Array,
    squares: Array,
    pulls: Array,
    anchors: Array,
    paces: Array,
    led: int,
    start: int,
    dim: int,
    sums: Array,
    width: int,
    lines: Array,
    n_slots: int,
    rate: float,
    n_rows: int,
) -> None:
    mean, center = _ONE / np.float32(max(n_rows, 1)), _Index(start)
    anchored = len(anchors) > 0
    for k in range(1, n_slots + 1):
        slot = k if k < n_slots else 0  # row 0 comes last: the others move it
        line, own = _Index(lines[slot]), _Index(slot) * width
        first = _Index(start) + (line - _Index(lines[0])) * dim
        total = _ZERO
        for j in range(dim):
            total += sums[own + j] * sums[own + j]
        squares[line] += total * mean * mean / np.float32(dim)
        step = np.float32(rate) * mean / (np.float32(math.sqrt(squares[line])) + _TINY)
        pull = sums[own + dim] * pulls[line]
        if anchored:
            _move(weights, anchors, sums, first, center, own, dim, led, step, paces[line], pull)
            continue
        shrink = _ONE / (_ONE + step * pull)
        for j in range(dim):
            away = weights[first + j] - step * sums[own + j] - weights[center + j]
            away *= shrink
            weights[first + j] = weights[center + j] + away
            sums[j] -= pull * away


@_compiled
def _move(
    weights: Array,
    anchors: Array,
    sums: Array,
    first: int,
    center: int,
    own: int,
    dim: int,
    led: int,
    step: float,
    pace: float,
    pull: float,
) -> None:
    """A row about its anchor; a loop of its own, so that the one above stays as short as it is."""
    for j in range(dim):
        own_step = step * pace if j < led else step
        away = weights[first + j] - anchors[first + j]
        away -= own_step * sums[own + j] + weights[center + j]
        away /= _ONE + own_step * pull
        weights[first + j] = weights[center + j] + anchors[first + j] + away
        sums[j] -= pull * away


# --- interactions ---------------------------------------------------------------------


@_compiled
def multiply(x: Array, pairs: Array) -> None:
    flat, width = x.reshape(x.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(pairs)):
            left, right = _Index(b * width + pairs[p, 0]), _Index(b * width + pairs[p, 1])
            to = _Index(b * width + pairs[p, 3])
            for j in range(_Index(pairs[p, 2])):
                flat[to + j] = flat[left + j] * flat[right + j]


@_compiled
def multiply_backward(x: Array, pairs: Array, gradient: Array) -> None:
    values, slopes, width = x.reshape(x.size), gradient.reshape(gradient.size), x.shape[1]
    for b in range(len(x)):
        for p in range(len(pairs)):
            left, right = _Index(b * width + pairs[p, 0]), _Index(b * width + pairs[p, 1])
            at = _Index(b * width + pairs[p, 3])
            for j in range(_Index(pairs[p, 2])):
                slopes[left + j] += slopes[at + j] * values[right + j]
                slopes[right + j] += slopes[at + j] * values[left + j]


@_compiled
def pool(x: Array, blocks: Array, sums: Array, out: Array) -> None:
    flat, width = x.reshape(x.size), x.shape[1]
    total, found, n = sums.reshape(sums.size), out.reshape(out.size), _Index(out.shape[1])
    for b in range(len(x)):
        own = _Index(b) * n
        for j in range(n):
            total[own + j] = _ZERO
            found[own + j] = _ZERO
        for c in range(len(blocks)):
            at = _Index(b * width + blocks[c, 0])
            for j in range(_Index(blocks[c, 1])):
                total[own + j] += flat[at + j]
                found[own + j] -= flat[at + j] * flat[at + j]
        for j in range(n):
            found[own + j] = np.float32(0.5) * (found[own + j] + total[own + j] * total[own + j])


@_compiled
def pool_backward(x: Array, blocks: Array, sums: Array, slopes: Array, gradient: Array) -> None:
    flat, back, width = x.reshape(x.size), gradient.reshape(gradient.size), x.shape[1]
    total, slope, n = sums.reshape(sums.size), slopes.reshape(slopes.size), sums.shape[1]
    for b in range(len(x)):
        own = _Index(b * n)
        for c in range(len(blocks)):
            at = _Index(b * width + blocks[c, 0])
            to = _Index(b * gradient.shape[1] + blocks[c, 0])
            for j in range(_Index(blocks[c, 1])):
                back[to + j] += slope[own + j] * (total[own + j] - flat[at + j])


# --- layers ---------------------------------------------------------------------------


@_compiled
def moments(z: Array, mean: Array, variance: Array) -> None:
    n_rows, n_units = z.shape
    each = _ONE / np.float32(n_rows)
    mean[:] = _ZERO
    variance[:] = _ZERO
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


@_compiled
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
    limit, gain = np.uint32(threshold), _ONE / np.float32(keep)
    for b in range(n_rows):
        first = np.uint32(key + b * n_units)
        for j in range(n_units):
            normalized = (z[b, j] - mean[j]) * inverse[j]
            z[b, j] = normalized
            active = max(normalized * scale[j] + shift[j], _ZERO) * gain
            out[b, j] = _ZERO if _mixed(np.uint32(first + np.uint32(j))) < limit else active


@_compiled
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
    gain, factor = _ONE / np.float32(keep), np.float32(coupling)
    scale_gradient[:] = _ZERO
    shift_gradient[:] = _ZERO
    for b in range(n_rows):
        for j in range(n_units):
            g = gradient[b, j] * gain if out[b, j] > _ZERO else _ZERO
            gradient[b, j] = g
            shift_gradient[j] += g
            scale_gradient[j] += g * normalized[b, j]
    for b in range(n_rows):
        for j in range(n_units):
            shared = factor * (shift_gradient[j] + scale_gradient[j] * normalized[b, j])
            gradient[b, j] = (gradient[b, j] - shared) * (scale[j] * inverse[j])


@_compiled
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
    step, unbias = np.float32(rate * unbias_first), np.float32(unbias_second)
    kept = np.float32(1.0 - decay)
    for i in range(n_decayed):
        weights[i] *= kept
    for i in range(len(weights)):
        g = gradient[i]
        m = first[i] + np.float32(0.1) * (g - first[i])
        v = second[i] + np.float32(0.001) * (g * g - second[i])
        first[i] = m
        second[i] = v
        weights[i] -= step * m / (np.float32(math.sqrt(v * unbias)) + np.float32(1e-8))
