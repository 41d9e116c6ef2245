"""How often items meet in sequences: sparse counts whose memory is bounded by the items."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp

from catvec.pretraining._sequences import Corpus, Sequences

logger = logging.getLogger(__name__)

EVENTS = 1 << 19  # events looked at together
PAIRS = 1 << 22  # pairs kept before they are added up
PARTNERS = 64  # of an event in a large basket, on each side
MOST_ENTRIES = 20_000_000  # of the matrix, or
ENTRIES_BY_ITEM = 500  # so many by item if that is more, before the rarest pairs are forgotten


def count_pairs(
    corpus: Corpus,
    *,
    window: int | None,
    rng: np.random.Generator,
    progress: Callable[[int], None] | None = None,
) -> sp.csr_array:
    """Weighted counts of items that meet.

    Parameters
    ----------
    corpus : Corpus
        In baskets all events meet; of one of n events each pair weighs ``1 / (n - 1)``, so that
        every event has the same say. In ordered sequences events at most `window` apart meet, and
        weigh ``(window + 1 - distance) / window``, which is what the windows of random width of
        word2vec give on average (Levy, Goldberg & Dagan 2015, TACL 3, section 3.1). Items of
        different columns of one event meet at distance 0 with weight 1. An item does not meet
        itself.
    window : int or None
        None for all events of a sequence, whatever their order.
    rng : Generator
        Chooses the partners of events in baskets of more than 129: 64 on each side of a random
        circle, whose weight is raised for those left out.
    progress : callable, optional
        Called after each part with the events so far.

    Returns
    -------
    csr_array of shape (n_lines, n_lines), float64
        Symmetric.

    Notes
    -----
    Events are looked at some at a time. Where the matrix grows beyond 20 million entries and 500
    by item, pairs of the least weight are forgotten, as in lossy counting (Manku & Motwani 2002,
    VLDB), so that memory is bounded by the items.
    """
    counts = _Counts(corpus.n_lines)
    n_events = 0
    for part in corpus.parts:
        for piece in part.slices(EVENTS):
            for left, right, weight in _meetings(piece, window, rng):
                counts.add(left, right, weight)
            n_events += piece.n_events
            if progress is not None:
                progress(n_events)
    return counts.symmetric()


class _Counts:
    """A sparse matrix that grows by pairs, added up some millions at a time."""

    def __init__(self, n_lines: int) -> None:
        self.matrix = sp.csr_array((n_lines, n_lines), dtype=np.float64)
        self._most = max(MOST_ENTRIES, ENTRIES_BY_ITEM * n_lines)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._n_waiting = 0

    def add(self, left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> None:
        different = left != right
        lower, upper = np.minimum(left, right), np.maximum(left, right)
        self._waiting.append((lower[different], upper[different], weight[different]))
        self._n_waiting += len(self._waiting[-1][0])
        if self._n_waiting >= max(PAIRS, self.matrix.nnz):  # so that adding up is amortised
            self._add_up()

    def symmetric(self) -> sp.csr_array:
        self._add_up()
        return sp.csr_array(self.matrix + self.matrix.T)

    def _add_up(self) -> None:
        if not self._waiting:
            return
        lower, upper, weight = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._n_waiting = [], 0
        new = sp.coo_array((weight, (lower, upper)), shape=self.matrix.shape).tocsr()
        self.matrix = self.matrix + new
        if self.matrix.nnz > self._most:
            self._forget()

    def _forget(self) -> None:
        """Leave out the lightest entries, down to half of what is allowed."""
        weights = self.matrix.data
        bound = np.partition(weights, len(weights) - self._most // 2)[-self._most // 2]
        weights[weights <= bound] = 0
        self.matrix.eliminate_zeros()
        logger.info("pairs of weight %.3g and less were forgotten to bound memory", bound)


Meetings = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


def _meetings(part: Sequences, window: int | None, rng: np.random.Generator) -> Meetings:
    """Lines of the left and the right item and the weight, for all pairs, some at a time."""
    n_columns = part.lines.shape[1]
    for first in range(n_columns):
        for second in range(first + 1, n_columns):
            yield part.lines[:, first], part.lines[:, second], np.ones(part.n_events)
    pairs = _baskets(part, rng) if window is None else _windows(part, window)
    for left, right, weight in pairs:
        for first in range(n_columns):
            for second in range(n_columns):
                yield part.lines[left, first], part.lines[right, second], weight


def _windows(part: Sequences, window: int) -> Meetings:
    """Places of events at most `window` apart."""
    ends = np.repeat(part.offsets[1:], part.lengths)
    left = np.arange(part.n_events)
    for distance in range(1, window + 1):
        left = left[left + distance < ends[left]]
        if not len(left):
            return
        yield left, left + distance, np.full(len(left), (window + 1 - distance) / window)


def _baskets(part: Sequences, rng: np.random.Generator) -> Meetings:
    """Places of all events of a basket; of large ones a random part of the pairs."""
    lengths = np.repeat(part.lengths, part.lengths)
    starts = np.repeat(part.offsets[:-1], part.lengths)
    circle = _shuffled_where(part, lengths > 2 * PARTNERS + 1, rng)
    place = np.arange(part.n_events)
    # Around a circle of n events, distances up to (n - 1) / 2 meet every pair once; for an even n
    # the events opposite each other meet at n / 2, from both sides.
    reach = np.minimum(lengths // 2, PARTNERS)
    weight = np.where(
        lengths > 2 * PARTNERS + 1, 1 / (2 * PARTNERS), 1 / np.maximum(lengths - 1, 1)
    )
    for distance in range(1, int(reach.max(initial=0)) + 1):
        place = place[reach[place] >= distance]
        around = starts[place] + (place - starts[place] + distance) % lengths[place]
        opposite = 2 * distance == lengths[place]
        yield circle[place], circle[around], weight[place] * np.where(opposite, 0.5, 1.0)


def _shuffled_where(part: Sequences, large: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Places of events, in large baskets in a random order."""
    places = np.arange(part.n_events)
    if large.any():
        sequence = np.repeat(np.arange(len(part)), part.lengths)
        chance = np.where(large, rng.random(part.n_events), 0.0)
        places = np.lexsort([places, chance, sequence])
    return places
