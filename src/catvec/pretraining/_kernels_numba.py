"""The loop of `_kernels`, compiled as `_numba` says.

Same name, same arguments, same random numbers, same results within the rounding of float32.
"""

from __future__ import annotations

import math

import numpy as np

from catvec._numba import UNIT, ZERO, compiled, inlined
from catvec.pretraining._kernels import CLIP, GOLDEN, Array

__all__ = ["skipgram"]

_GOLDEN = np.uint64(GOLDEN)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_CLIP = np.float32(CLIP)


@inlined
def _mixed(state: np.uint64) -> np.uint64:
    z = (state ^ (state >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return (z ^ (z >> np.uint64(31))) >> np.uint64(32)


@inlined
def _looked_at(
    lines: Array, start: int, stop: int, kept: Array, state: np.uint64, found: Array, places: Array
) -> tuple[int, np.uint64]:
    n, place = 0, 0
    for event in range(start, stop):
        some = False
        for c in range(lines.shape[1]):
            state += _GOLDEN
            if _mixed(state) < kept[lines[event, c]]:
                found[n] = lines[event, c]
                places[n] = place
                n += 1
                some = True
        place += some
    return n, state


@inlined
def _step(
    vector: Array, context: Array, label: np.float32, rate: np.float32, move: Array
) -> np.float32:
    dot = ZERO
    for d in range(len(vector)):
        dot += vector[d] * context[d]
    dot = min(max(dot, -_CLIP), _CLIP)
    slope = (label - UNIT / (UNIT + math.exp(-dot))) * rate
    for d in range(len(vector)):
        move[d] += slope * context[d]
        context[d] += slope * vector[d]
    away = -dot if label > ZERO else dot
    return max(away, ZERO) + math.log(UNIT + math.exp(-abs(away)))


@inlined
def _pair(
    vectors: Array,
    contexts: Array,
    center: int,
    context: int,
    negatives: Array,
    n_negatives: int,
    rate: np.float32,
    state: np.uint64,
    move: Array,
) -> tuple[float, np.uint64]:
    vector = vectors[center]
    move[:] = ZERO
    loss = float(_step(vector, contexts[context], UNIT, rate, move))
    for _ in range(n_negatives):
        state += _GOLDEN
        line = negatives[_mixed(state) % np.uint64(len(negatives))]
        if line != context:
            loss += _step(vector, contexts[line], ZERO, rate, move)
    for d in range(len(vector)):
        vector[d] += move[d]
    return loss, state


@compiled
def skipgram(
    vectors: Array,
    contexts: Array,
    lines: Array,
    offsets: Array,
    kept: Array,
    negatives: Array,
    window: int,
    n_negatives: int,
    first_rate: np.float32,
    last_rate: np.float32,
    key: np.uint64,
) -> tuple[float, int]:
    longest = 1
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    found = np.empty(longest * lines.shape[1], np.int64)
    places = np.empty(longest * lines.shape[1], np.int64)
    move = np.empty(vectors.shape[1], np.float32)
    state, loss, n_pairs, n_events = key, 0.0, 0, max(len(lines), 1)
    for s in range(len(offsets) - 1):
        rate = first_rate + (last_rate - first_rate) * np.float32(offsets[s] / n_events)
        n, state = _looked_at(lines, offsets[s], offsets[s + 1], kept, state, found, places)
        for i in range(n):
            state += _GOLDEN
            reach = np.int64(_mixed(state) % np.uint64(window)) + 1
            first = i
            while first > 0 and places[i] - places[first - 1] <= reach:
                first -= 1
            for j in range(first, n):
                if places[j] - places[i] > reach:
                    break
                if j != i:
                    moved, state = _pair(
                        vectors, contexts, found[i], found[j], negatives, n_negatives, rate, state,
                        move,
                    )  # fmt: skip
                    loss += moved
                    n_pairs += 1
    return loss, n_pairs
