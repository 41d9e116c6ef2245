"""How often items meet in sequences: sparse counts whose memory is bounded by the items."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import combinations, product

import numpy as np
import scipy.sparse as sp

from catvec.pretraining._sequences import Corpus, Sequences

logger = logging.getLogger(__name__)

EVENTS = 1 << 19  # events looked at together
PAIRS = 1 << 22  # pairs kept before they are added up
MEETINGS = 1 << 24  # of events of whole baskets that are counted together, about
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
            rest = piece if window is not None else _without_small(piece, counts)
            for left, right, weight in _meetings(rest, window, rng):
                counts.add(left, right, weight)
            n_events += piece.n_events
            if progress is not None:
                progress(n_events)
    return counts.symmetric()


class _Counts:
    """A sparse matrix that grows by pairs or by whole baskets, added up some millions at a time."""

    def __init__(self, n_lines: int) -> None:
        shape = (n_lines, n_lines)
        self._upper = sp.csr_array(shape, dtype=np.float64)  # of pairs
        self._square = sp.csr_array(shape, dtype=np.float64)  # of baskets
        self._most = max(MOST_ENTRIES, ENTRIES_BY_ITEM * n_lines)
        self._pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._products: list[sp.csr_array] = []
        self._n_pairs, self._n_products = 0, 0

    def add(self, left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> None:
        """Pairs of lines, each in one order only."""
        different = left != right
        lower, upper = np.minimum(left, right), np.maximum(left, right)
        self._pairs.append((lower[different], upper[different], weight[different]))
        self._n_pairs += len(self._pairs[-1][0])
        if self._n_pairs >= max(PAIRS, self._upper.nnz):  # so that adding up is amortised
            self._add_pairs()

    def add_baskets(self, part: Sequences, weight: np.ndarray) -> None:
        """All pairs of lines of each sequence, with a weight for each sequence."""
        n_columns = part.lines.shape[1]
        values = np.repeat(np.sqrt(weight), part.lengths * n_columns)
        shape = (len(part), self._square.shape[1])
        lines = sp.csr_array((values, part.lines.ravel(), part.offsets * n_columns), shape)
        self._products.append(sp.csr_array(lines.T.tocsr() @ lines))
        self._n_products += self._products[-1].nnz
        if self._n_products >= max(2 * PAIRS, self._square.nnz):
            self._add_products()

    def symmetric(self) -> sp.csr_array:
        """All that was added; nothing meets itself."""
        self._add_pairs()
        self._add_products()
        counts = sp.csr_array(self._upper + self._upper.T + self._square)
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        counts.data[rows == counts.indices] = 0
        counts.eliminate_zeros()
        return counts

    def _add_pairs(self) -> None:
        if self._pairs:
            lower, upper, weight = map(np.concatenate, zip(*self._pairs, strict=True))
            self._pairs, self._n_pairs = [], 0
            new = sp.coo_array((weight, (lower, upper)), shape=self._upper.shape).tocsr()
            self._upper = _bounded(sp.csr_array(self._upper + new), self._most)

    def _add_products(self) -> None:
        for more in self._products:
            self._square = _bounded(sp.csr_array(self._square + more), 2 * self._most)
        self._products, self._n_products = [], 0


def _bounded(matrix: sp.csr_array, most: int) -> sp.csr_array:
    """The matrix; if it has too many entries, the heavier half of what is allowed."""
    weights = matrix.data
    if len(weights) > most:
        bound = np.partition(weights, len(weights) - most // 2)[-most // 2]
        weights[weights <= bound] = 0
        matrix.eliminate_zeros()
        logger.info("pairs of weight %.3g and less were forgotten to bound memory", bound)
    return matrix


def _without_small(part: Sequences, counts: _Counts) -> Sequences:
    """Count the baskets that are counted in whole; the others are left.

    Pairs of items in baskets are a product of sparse matrices, of a row for each basket. It lets
    the columns of one event meet at the weight of the basket, too: what they lack is added.
    """
    small = part.lengths <= 2 * PARTNERS + 1
    whole = part.take(small)
    at = np.cumsum(whole.lengths**2) // MEETINGS
    for which in np.split(np.arange(len(whole)), np.flatnonzero(np.diff(at)) + 1):
        piece = whole.take(which)
        n = piece.lengths
        weight = np.where(n > 1, 1 / np.maximum(n - 1, 1), 0.0)
        counts.add_baskets(piece, weight)
        for first, second in combinations(piece.lines.T, 2):
            counts.add(first, second, 1 - np.repeat(weight, n))
    return part.take(~small)


Meetings = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


def _meetings(part: Sequences, window: int | None, rng: np.random.Generator) -> Meetings:
    """Lines of the left and the right item and the weight, for all pairs, some at a time."""
    n_columns = part.lines.shape[1]
    for one, other in combinations(part.lines.T, 2):
        yield one, other, np.ones(part.n_events)
    pairs = _baskets(part, rng) if window is None else _windows(part, window)
    for left, right, weight in pairs:
        for first, second in product(range(n_columns), repeat=2):
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
    """Places of some events of large baskets: each meets `PARTNERS` on each side of a circle."""
    sequence = np.repeat(np.arange(len(part)), part.lengths)
    circle = np.lexsort([rng.random(part.n_events), sequence])
    lengths, starts = part.lengths[sequence], part.offsets[:-1][sequence]
    place = np.arange(part.n_events)
    for distance in range(1, PARTNERS + 1 if len(part) else 1):
        around = starts + (place - starts + distance) % lengths
        yield circle, circle[around], np.full(part.n_events, 1 / (2 * PARTNERS))
