"""The loop of skip-gram in NumPy: readable, and the twin that tests the compiled one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
CLIP = 20.0  # of a dot product: the loss of a larger one is that, its slope 0 or 1


def mixed(state: int) -> int:
    """64 bits for a counter: the output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def skipgram(
    vectors: Array,
    contexts: Array,
    lines: Array,
    offsets: Array,
    kept: Array,
    negatives: Array,
    window: int,
    n_negatives: int,
    first_rate: float,
    last_rate: float,
    key: int,
) -> tuple[float, int]:
    """Walk over sequences, one step of gradient descent on each pair; or only the loss.

    Each event is looked at by chance (`kept`); those of a sequence that are meet each other if they
    are at most a random number from 1 to `window` apart, drawn for the one whose vector moves. The
    loss of a pair is ``-log s(v.c) - sum log s(-v.n)`` over its negatives n (Mikolov et al. 2013,
    equation 4); a negative that happens to be c is left out, as in word2vec.c.

    Parameters
    ----------
    vectors, contexts : ndarray of shape (n_lines, dim), float32
        Moved in place, unless the rates are 0.
    lines : ndarray of shape (n_events, n_columns), int32
        The columns of an event count as events of one place: they always meet.
    offsets : ndarray of shape (n_sequences + 1,), int64
    kept : ndarray of shape (n_lines,), uint64
        Chance of each line to be looked at, of 2**32.
    negatives : ndarray of int32
        Lines to draw from.
    window, n_negatives : int
    first_rate, last_rate : float
        Step at the first and at the last event; linear between them.
    key : int
        Where the counter of the random numbers starts.

    Returns
    -------
    loss : float
        Summed over pairs.
    n_pairs : int
    """
    counter = _Counter(int(key))
    loss, n_pairs, n_events = 0.0, 0, max(len(lines), 1)
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        rate = float(first_rate + (last_rate - first_rate) * np.float32(start / n_events))
        found, places = _looked_at(lines[start:stop], kept, counter)
        for i, center in enumerate(found):
            reach = counter.draw() % window + 1
            for j, context in enumerate(found):
                if i != j and abs(places[i] - places[j]) <= reach:
                    drawn = [negatives[counter.draw() % len(negatives)] for _ in range(n_negatives)]
                    loss += _step(vectors, contexts, center, context, drawn, rate)
                    n_pairs += 1
    return loss, n_pairs


class _Counter:
    """Random numbers of 32 bits, each a hash of where a counter stands."""

    def __init__(self, key: int) -> None:
        self._state = key

    def draw(self) -> int:
        self._state = (self._state + GOLDEN) & MASK
        return mixed(self._state) >> 32


def _looked_at(lines: Array, kept: Array, counter: _Counter) -> tuple[list[int], list[int]]:
    """Lines that chance keeps, and their places among the events that have any."""
    found: list[int] = []
    places: list[int] = []
    place = 0
    for event in lines.tolist():
        some = False
        for line in event:
            if counter.draw() < kept[line]:
                found.append(line)
                places.append(place)
                some = True
        place += some
    return found, places


def _step(
    vectors: Array, contexts: Array, center: int, context: int, drawn: list[int], rate: float
) -> float:
    vector, loss = vectors[center], 0.0
    move = np.zeros_like(vector)
    for line, label in [(context, 1.0), *((n, 0.0) for n in drawn if n != context)]:
        dot = min(max(float(vector @ contexts[line]), -CLIP), CLIP)
        chance = 1.0 / (1.0 + np.exp(-dot))
        loss += float(np.logaddexp(0.0, -dot if label else dot))
        slope = np.float32((label - chance) * rate)
        move += slope * contexts[line]
        contexts[line] += slope * vector
    vectors[center] += move
    return loss
