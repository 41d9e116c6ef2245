"""Whether there is structure to transfer: held-out sequences against the same ones shuffled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catvec.errors import InputError
from catvec.pretraining._learning import Method, learn_table
from catvec.pretraining._sequences import Corpus, Sequences, cut, joined

ALPHA = 0.01
PERMUTATIONS = 199  # the smallest p-value is then 0.005
SHARE = 0.2  # of the sequences held out
MOST_EVENTS = 20_000  # held out, in all
FEW = 50  # ordered sequences, which are cut before some are held out


@dataclass(frozen=True)
class Benefit:
    """Whether sequences of items have structure that vectors can carry elsewhere.

    Attributes
    ----------
    found : bool
        Whether `p_value` is below 0.01.
    gain : float
        Mean cosine of two items of one held-out sequence, above that of shuffled sequences.
    p_value : float
        Share of the shuffles that do as well, counting the sequences themselves as one of them
        (Phipson & Smyth 2010): at least 0.005.
    cosine, shuffled_cosine : float
        The two sides of the gain.
    n_sequences, n_events : int
        Held out.
    """

    found: bool
    gain: float
    p_value: float
    cosine: float
    shuffled_cosine: float
    n_sequences: int
    n_events: int

    def __str__(self) -> str:
        """One line for people."""
        found = "structure found" if self.found else "no structure found"
        return (
            f"{found}: items of one held-out sequence have cosine {self.cosine:.3f}, shuffled"
            f" {self.shuffled_cosine:.3f} (p = {self.p_value:.3f})"
        )


def measure_benefit(corpus: Corpus, method: Method, seed: int) -> Benefit:
    """Learn from most sequences, and see whether the others are more alike than chance.

    Parameters
    ----------
    corpus : Corpus
    method : Method
    seed : int
        Below 2**31.

    Returns
    -------
    Benefit

    Raises
    ------
    InputError
        If there are too few sequences to hold any out.

    Notes
    -----
    The null hypothesis: which events share a sequence is chance. Under it, held-out events may
    change places between held-out sequences (the values of each column of a table between its rows)
    without changing the distribution of the score, so that the permutation test is exact whatever
    was learned from the other sequences. Ordered sequences are cut into pieces of at most a window
    and one event, within which events meet.
    """
    if corpus.ordered and sum(map(len, corpus.parts)) < FEW:
        corpus = _cut_corpus(corpus, method.skipgram.window + 1)
    training, held_out = corpus.split(SHARE, seed)
    rng = np.random.default_rng([seed, 1])
    table = method.name == "table"
    sample = _sample(held_out, method.skipgram.window + 1, rng, alone=table)
    if len(sample) < 2:
        raise InputError("there are too few sequences of two events or more to hold some out")
    vectors, _ = learn_table(training, method, seed)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    score = _Score(unit, sample)
    observed = score(sample.lines)
    shuffle = _shuffled_columns if table else _shuffled_events
    shuffled = np.array([score(shuffle(sample.lines, rng)) for _ in range(PERMUTATIONS)])
    p_value = (1 + int((shuffled >= observed).sum())) / (1 + PERMUTATIONS)
    mean = float(shuffled.mean())
    found, gain = p_value < ALPHA, observed - mean
    return Benefit(found, gain, p_value, observed, mean, len(sample), sample.n_events)


class _Score:
    """The mean cosine of two different items of one sequence."""

    def __init__(self, unit: np.ndarray, sample: Sequences) -> None:
        self._unit, self._starts = unit, sample.offsets[:-1]
        self._sequence = np.repeat(np.arange(len(sample)), sample.lengths)
        n_items = sample.lengths * sample.lines.shape[1]
        self._n_pairs = int((n_items * (n_items - 1)).sum())

    def __call__(self, lines: np.ndarray) -> float:
        vectors = self._unit[lines]  # (events, columns, D)
        sums = np.add.reduceat(vectors.sum(axis=1), self._starts, axis=0).astype(np.float64)
        known = float((vectors * vectors).sum())  # every item with itself
        n_alike, cosines_alike = self._alike(lines)
        cosines = float((sums * sums).sum()) - known - cosines_alike
        return cosines / max(self._n_pairs - n_alike, 1)

    def _alike(self, lines: np.ndarray) -> tuple[int, float]:
        """Pairs of an item with itself in one sequence, of which shuffling makes more."""
        sequence = np.repeat(self._sequence, lines.shape[1])
        keys = sequence * len(self._unit) + lines.ravel()
        found, times = np.unique(keys, return_counts=True)
        n_alike = times * (times - 1)
        known = self._unit[found % len(self._unit)].any(axis=1)
        return int(n_alike.sum()), float(n_alike[known].sum())


def _shuffled_events(lines: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return lines[rng.permutation(len(lines))]


def _shuffled_columns(lines: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(lines, axis=0)


def _sample(corpus: Corpus, longest: int, rng: np.random.Generator, *, alone: bool) -> Sequences:
    """Some of the sequences in which something meets, ordered ones cut."""
    taken, n_events = [], 0
    for place in range(len(corpus.parts)):
        part = corpus.parts[place]
        part = cut(part, longest) if corpus.ordered else part
        part = part if alone else part.take(part.lengths > 1)
        part = part.take(rng.permutation(len(part)))
        part = part.take(part.offsets[1:] <= MOST_EVENTS - n_events)
        taken.append(part)
        n_events += part.n_events
    return joined(taken)


def _cut_corpus(corpus: Corpus, longest: int) -> Corpus:
    return Corpus(corpus.vocabularies, [cut(part, longest) for part in corpus.parts], True)
