"""Items held out, each to be found by the others of its sequence: how good vectors are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from catvec.pretraining._sequences import Corpus, Sequences, joined

QUESTIONS = 2000  # sequences held out; by 1000 hit rates on diginetica varied six times as much
SHARE = 0.2  # of the sequences, at most
EVENTS = 200_000  # held out, at most
COSINES = 40_000_000  # of one look at most, unless questions become too few
FEWEST = 200  # questions that are asked whatever it costs
BLOCK = 4_000_000  # cosines at a time


@dataclass(frozen=True, eq=False)
class Questions:
    """Items held out, each to be found by the others of its sequence.

    Attributes
    ----------
    wanted : ndarray of shape (n,), int64
        Lines.
    others : csr_array of shape (n, n_lines), float32
        How often each line is among the others.
    starts : ndarray of shape (n_columns + 1,), int64
        Where the lines of each column begin: an item is looked for among those of its column.
    """

    wanted: np.ndarray
    others: sp.csr_array
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.wanted)

    @classmethod
    def of(cls, corpus: Corpus, window: int, rng: np.random.Generator) -> Questions:
        """Hold one item of each sequence out: of the last event, or of any one of a basket.

        Parameters
        ----------
        corpus : Corpus
            Sequences that nothing was learned from.
        window : int
            Events before the last of an ordered sequence that are to find it.
        rng : Generator

        Returns
        -------
        Questions
            At most 2,000. The others are all items of the other events; of a single event its other
            columns. None is asked for that is among the others itself.
        """
        part = joined(list(_few(corpus, rng)))
        n_columns = part.lines.shape[1]
        n, starts = part.lengths, part.offsets[:-1]
        held_out = starts + (n - 1 if corpus.ordered else (rng.random(len(n)) * n).astype(np.int64))
        column = rng.integers(n_columns, size=len(n))
        sequence = np.repeat(np.arange(len(part)), n)
        back = held_out[sequence] - np.arange(part.n_events)
        near = (back != 0) & (back <= window if corpus.ordered else True)
        told = np.repeat(near[:, None], n_columns, axis=1)
        alone = np.flatnonzero(n == 1)
        told[held_out[alone]] = np.arange(n_columns) != column[alone, None]
        rows = np.repeat(sequence, told.sum(axis=1))
        ones = np.ones(len(rows), np.float32)
        shape = (len(part), corpus.n_lines)
        others = sp.coo_array((ones, (rows, part.lines[told])), shape=shape).tocsr()
        wanted = part.lines[held_out, column].astype(np.int64)
        among = np.zeros(len(part), bool)
        among[rows[part.lines[told] == wanted[rows]]] = True
        kept = np.flatnonzero(~among & (np.diff(others.indptr) > 0))
        kept = kept[: max(COSINES // corpus.n_lines, FEWEST)]
        return cls(wanted[kept], sp.csr_array(others[kept]), corpus.starts)

    def score(self, vectors: np.ndarray) -> float:
        """How early each wanted item comes, of all by cosine to the mean of the others.

        Parameters
        ----------
        vectors : ndarray of shape (n_lines, dim), float32
            Rows of zeros are not known, and never found.

        Returns
        -------
        float
            Mean of ``1 / log2(1 + rank)``, the discounted cumulative gain of one relevant item
            (Jarvelin & Kekalainen 2002, ACM TOIS 20), from 0 to 1; others are no candidates.
        """
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        known = lengths[:, 0] > 0
        unit = vectors / np.where(lengths > 0, lengths, 1)
        column = np.searchsorted(self.starts, self.wanted, side="right") - 1
        total = 0.0
        for c in range(len(self.starts) - 1):
            asked = np.flatnonzero(known[self.wanted] & (column == c))
            lines = slice(self.starts[c], self.starts[c + 1])
            size = max(BLOCK // max(lines.stop - lines.start, 1), 1)
            for block in np.array_split(asked, -(-len(asked) // size)) if len(asked) else []:
                ranks = self._ranks(block, unit, known, lines)
                total += float((1 / np.log2(1 + ranks)).sum())
        return total / max(len(self), 1)

    def _ranks(
        self, asked: np.ndarray, unit: np.ndarray, known: np.ndarray, lines: slice
    ) -> np.ndarray:
        others = sp.csr_array(self.others[asked][:, lines])
        cosines = (self.others[asked] @ unit) @ unit[lines].T
        cosines[:, ~known[lines]] = -np.inf
        rows = np.repeat(np.arange(len(asked)), np.diff(others.indptr))
        cosines[rows, others.indices] = -np.inf
        wanted = cosines[np.arange(len(asked)), self.wanted[asked] - lines.start]
        return (cosines >= wanted[:, None]).sum(axis=1)


def held_out_share(corpus: Corpus) -> float:
    """Of the sequences, how many to hold out so that there are questions enough."""
    n_sequences = sum(map(len, corpus.parts))
    return min(SHARE, 1.5 * QUESTIONS / max(n_sequences, 1))


def _few(corpus: Corpus, rng: np.random.Generator) -> Iterator[Sequences]:
    """Sequences in which something can be asked, in a random order, up to what is needed."""
    n_sequences = n_events = 0
    for place in range(len(corpus.parts)):
        part = corpus.parts[place]
        part = part if part.lines.shape[1] > 1 else part.take(part.lengths > 1)
        part = part.take(rng.permutation(len(part))[: QUESTIONS - n_sequences])
        part = part.take(part.offsets[1:] <= EVENTS - n_events)
        n_sequences, n_events = n_sequences + len(part), n_events + part.n_events
        yield part
