"""The loops of `_kernels` that move what is trained, compiled; see `_numba`."""

from __future__ import annotations

import math

import numpy as np

from catvec._numba import TINY, UNIT, ZERO, Index, compiled, spliced
from catvec.network._kernels import AT, DIM, LINE, N_ROWS, START, Array

__all__ = ["adamw", "update_lists", "update_tables"]


@compiled
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
    flat, width = sums.reshape(sums.size), Index(sums.shape[1])
    for t in range(len(layout)):
        line = layout[t, LINE]
        met = ZERO
        for b in range(n_rows):
            where = Index(line + at[b, t])
            met += squares[where] + pulls[where] + np.float32(slots[where])
        flat[0] = met  # overwritten below; without it the compiler drops the loop
        of_number = t - first_knotted
        n_slots = _collect(
            slots, layout[t], at, t, shares, of_number, masses, gradient, flat, width, lines
        )
        _step(
            weights,
            squares,
            pulls,
            anchors,
            paces,
            Index(widths[t]),
            layout[t, START],
            Index(layout[t, DIM]),
            flat,
            width,
            lines,
            n_slots,
            rate,
            n_rows,
        )
        for k in range(n_slots):
            slots[lines[k]] = -1


@spliced
def _collect(
    slots: Array,
    look: Array,
    at: Array,
    t: int,
    shares: Array,
    of_number: int,
    masses: Array,
    gradient: Array,
    flat: Array,
    width: int,
    lines: Array,
) -> int:
    """The gradient of each row of a table that the batch looks at, and how many rows it is."""
    line, dim = look[LINE], Index(look[DIM])
    pieces = gradient.reshape(gradient.size)
    slots[line] = 0  # row 0 takes part in every batch: the prior moves it
    lines[0] = line
    flat[: dim + Index(1)] = ZERO
    n_slots = 1
    for b in range(len(at)):
        share = shares[b, of_number] if of_number >= 0 else ZERO
        piece = Index(b * gradient.shape[1] + look[AT])
        for upper in range(2 if share > ZERO else 1):
            where = Index(line + at[b, t] + upper)
            part = share if upper else UNIT - share
            slot = slots[where]
            to = Index(slot) * width
            if slot < 0:
                slots[where] = n_slots
                lines[n_slots] = where
                to = Index(n_slots) * width
                for j in range(dim + Index(1)):
                    flat[to + j] = ZERO
                n_slots += 1
            for j in range(dim):
                flat[to + j] += part * pieces[piece + j]
            flat[to + dim] += part * masses[b]
    return n_slots


@compiled
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
    room, n_most = look[DIM] + 1, min(len(codes), look[N_ROWS]) + 1
    flat, lines = np.zeros(n_most * room, np.float32), np.empty(n_most, np.int64)
    n_slots = _collect_lists(slots, look, offsets, codes, shares, masses, gradient, flat, lines)
    _step(
        weights,
        squares,
        pulls,
        anchors,
        paces,
        Index(width),
        look[START],
        Index(look[DIM]),
        flat,
        Index(room),
        lines,
        n_slots,
        rate,
        len(masses),
    )
    for k in range(n_slots):
        slots[lines[k]] = -1


@spliced
def _collect_lists(
    slots: Array,
    look: Array,
    offsets: Array,
    codes: Array,
    shares: Array,
    masses: Array,
    gradient: Array,
    flat: Array,
    lines: Array,
) -> int:
    """As `_collect`, of the elements of lists; `flat` is zeros."""
    line, dim = look[LINE], Index(look[DIM])
    room = dim + Index(1)
    pieces = gradient.reshape(gradient.size)
    slots[line], lines[0], n_slots = 0, line, 1
    for b in range(len(masses)):
        piece = Index(b * gradient.shape[1] + look[AT])
        for i in range(offsets[b], offsets[b + 1]):
            where, share = Index(line + codes[i]), shares[i]
            if slots[where] < 0:
                slots[where], lines[n_slots] = n_slots, where
                n_slots += 1
            to = Index(slots[where]) * room
            for j in range(dim):
                flat[to + j] += share * pieces[piece + j]
            flat[to + dim] += share * masses[b]
    return n_slots


@spliced
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
    mean, center = UNIT / np.float32(max(n_rows, 1)), Index(start)
    anchored = len(anchors) > 0
    for k in range(1, n_slots + 1):
        slot = k if k < n_slots else 0  # row 0 comes last: the others move it
        line, own = Index(lines[slot]), Index(slot) * width
        first = Index(start) + (line - Index(lines[0])) * dim
        total = ZERO
        for j in range(dim):
            total += sums[own + j] * sums[own + j]
        squares[line] += total * mean * mean / np.float32(dim)
        step = np.float32(rate) * mean / (np.float32(math.sqrt(squares[line])) + TINY)
        pull = sums[own + dim] * pulls[line]
        if anchored:
            _move(weights, anchors, sums, first, center, own, dim, led, step, paces[line], pull)
            continue
        shrink = UNIT / (UNIT + step * pull)
        for j in range(dim):
            away = weights[first + j] - step * sums[own + j] - weights[center + j]
            away *= shrink
            weights[first + j] = weights[center + j] + away
            sums[j] -= pull * away


@spliced
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
        away /= UNIT + own_step * pull
        weights[first + j] = weights[center + j] + anchors[first + j] + away
        sums[j] -= pull * away


@compiled
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
