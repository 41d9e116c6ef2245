"""Skip-gram with negative sampling over sequences of items, epoch by epoch.

After Mikolov et al. 2013 (arXiv 1310.4546), as word2vec.c trains: one pair at a time, two tables, a
rate that falls to almost nothing. The defaults suit baskets and clicks, not prose: there window,
subsampling and the exponent of the negatives matter most (Caselles-Dupre, Lesaint & Royo-Letelier
2018, RecSys).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np

from catvec.errors import TrainingError
from catvec.network import choose_engine
from catvec.pretraining import _kernels
from catvec.pretraining._sequences import Corpus, Sequences

logger = logging.getLogger(__name__)

LOWEST_RATE = 1e-4  # as a share of the first, as the rate of word2vec.c falls
TABLE = 1 << 20  # places of the table that negatives are drawn from
EVENTS = 1 << 18  # events of one call of the loops


@dataclass(frozen=True)
class SkipgramConfig:
    """How to train; see `EmbeddingPretrainer`.

    Attributes
    ----------
    dim, window, n_negatives, max_epochs, n_iter_no_change : int
    learning_rate, sample, exponent : float
    engine : {"auto", "numpy", "numba"}
    """

    dim: int
    window: int
    n_negatives: int
    learning_rate: float
    sample: float
    exponent: float
    max_epochs: int
    n_iter_no_change: int
    engine: str = "auto"


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes
    ----------
    epoch, max_epochs : int
        From 1.
    n_pairs : int
        Pairs learned from.
    train_loss : float
        Mean over pairs of the logistic losses of the pair and its negatives, while they moved.
    held_out_loss : float or None
        The same on sequences held out, with the same negatives in every epoch.
    """

    epoch: int
    max_epochs: int
    n_pairs: int
    train_loss: float
    held_out_loss: float | None

    def to_json(self) -> dict[str, Any]:
        """What `history_` keeps of it."""
        kept = asdict(self)
        del kept["max_epochs"]
        return kept


class Skipgram:
    """One training: two tables, and what is the same in every epoch.

    Parameters
    ----------
    corpus : Corpus
    config : SkipgramConfig
    seed : int
        Below 2**31.
    counts : ndarray of shape (n_lines,), int64
        Events of each line.
    """

    def __init__(
        self, corpus: Corpus, config: SkipgramConfig, seed: int, counts: np.ndarray
    ) -> None:
        self.corpus, self.config, self.seed = corpus, config, seed
        rng = np.random.default_rng(seed)
        shape = (corpus.n_lines, config.dim)
        # NOTE[DIFF] from -1/d to 1/d, as gensim 4; word2vec.c begins with half of that. A context
        # moves by its vector: from smaller ones both are slow to leave zero in few epochs.
        self.vectors = (2 * rng.random(shape, dtype=np.float32) - 1) / np.float32(config.dim)
        self.contexts = np.zeros(shape, np.float32)
        self._kept = keep_thresholds(counts, config.sample)
        self._negatives = negatives_table(counts, config.exponent)
        self._total = max(int(counts.sum()) * config.max_epochs, 1)
        self._loops = _load(config.engine, float(self._total) * config.window)

    def epoch(self, epoch: int) -> tuple[float, int]:
        """Train on all sequences; the mean loss and the number of pairs."""
        seen, loss, n_pairs = 0, 0.0, 0
        n_events = self._total / self.config.max_epochs
        for place, part in enumerate(self.corpus.parts):
            for piece in part.slices(EVENTS):
                piece = self._in_order(piece, self._key(epoch, place, -1 - seen))
                done = (seen / n_events + epoch - 1) / self.config.max_epochs
                seen += piece.lines.size
                after = (seen / n_events + epoch - 1) / self.config.max_epochs
                rates = [self._rate(done), self._rate(after)]
                found = self._run(piece, self._key(epoch, place, seen), rates)
                loss, n_pairs = loss + found[0], n_pairs + found[1]
        mean = loss / max(n_pairs, 1)
        if not np.isfinite(mean) or not np.isfinite(self.vectors).all():
            raise TrainingError(
                f"the loss of skip-gram became infinite in epoch {epoch}; lower `learning_rate`"
                f" ({self.config.learning_rate:g})"
            )
        return mean, n_pairs

    def loss(self, held_out: Corpus) -> float:
        """The mean loss over held-out sequences, without moving anything."""
        loss, n_pairs = 0.0, 0
        for place, part in enumerate(held_out.parts):
            for piece in part.slices(EVENTS):
                key = self._key(0, place, int(piece.n_events))
                found = self._run(self._in_order(piece, key), key, [0.0, 0.0])
                loss, n_pairs = loss + found[0], n_pairs + found[1]
        return loss / max(n_pairs, 1)

    def _in_order(self, part: Sequences, key: int) -> Sequences:
        """Baskets in a random order, so that a window finds other partners in every epoch."""
        if self.corpus.ordered:
            return part
        sequence = np.repeat(np.arange(len(part)), part.lengths)
        chance = np.random.default_rng(key).random(part.n_events)
        return Sequences(part.lines[np.lexsort([chance, sequence])], part.offsets)

    def _rate(self, share: float) -> float:
        rate = self.config.learning_rate * (1 - (1 - LOWEST_RATE) * share)
        return max(rate, self.config.learning_rate * LOWEST_RATE)

    def _key(self, epoch: int, place: int, seen: int) -> int:
        entropy = [self.seed, epoch, place, abs(seen), int(seen < 0)]
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])

    def _run(self, part: Sequences, key: int, rates: list[float]) -> tuple[float, int]:
        """Walk over the sequences; the summed loss and the number of pairs."""
        loss, n_pairs = self._loops.skipgram(
            self.vectors,
            self.contexts,
            part.lines,
            part.offsets,
            self._kept,
            self._negatives,
            self.config.window,
            self.config.n_negatives,
            np.float32(rates[0]),
            np.float32(rates[1]),
            np.uint64(key),
        )
        return float(loss), int(n_pairs)


def train_skipgram(
    corpus: Corpus,
    held_out: Corpus | None,
    counts: np.ndarray,
    config: SkipgramConfig,
    seed: int,
    callback: Callable[[Epoch], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, list[Epoch]]:
    """Train until the held-out loss has not fallen for some epochs, or all epochs are done.

    Parameters
    ----------
    corpus : Corpus
        What to learn from. Events at most a random number up to `window` apart meet.
    held_out : Corpus or None
        Sequences to stop by; None to do all epochs.
    counts : ndarray of shape (n_lines,), int64
        Events of each line.
    config : SkipgramConfig
    seed : int
        Below 2**31.
    callback : callable, optional
        Called after each epoch.

    Returns
    -------
    vectors, contexts : ndarray of shape (n_lines, dim), float32
        Of the best epoch: items as those that are looked at, and as their companions.
    history : list of Epoch

    Raises
    ------
    TrainingError
        If the loss becomes infinite.
    """
    training = Skipgram(corpus, config, seed, counts)
    history: list[Epoch] = []
    best, best_loss, since = (training.vectors, training.contexts), np.inf, 0
    for epoch in range(1, config.max_epochs + 1):
        train_loss, n_pairs = training.epoch(epoch)
        loss = None if held_out is None else training.loss(held_out)
        history.append(Epoch(epoch, config.max_epochs, n_pairs, train_loss, loss))
        logger.debug("epoch %d: loss %.4f, held out %s", epoch, train_loss, loss)
        if callback is not None:
            callback(history[-1])
        if loss is None:
            continue
        if loss < best_loss:
            best = training.vectors.copy(), training.contexts.copy()
            best_loss, since = loss, 0
        else:
            since += 1
        if since >= config.n_iter_no_change:
            break
    return *best, history


def keep_thresholds(counts: np.ndarray, sample: float) -> np.ndarray:
    """With which chance of 2**32 an event of each line is looked at, uint64.

    As in word2vec.c ``(sqrt(f / s) + 1) s / f`` for a share f of all events; 1 where s is 0.
    """
    if not sample:
        return np.full(len(counts), 1 << 32, np.uint64)
    relative = np.maximum(counts / max(counts.sum(), 1), 1e-300) / sample
    chance = np.minimum((np.sqrt(relative) + 1) / relative, 1.0)
    return (chance * 2.0**32).astype(np.uint64)


def negatives_table(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Lines, int32, each in as many of about a million places as ``count ** exponent`` asks."""
    present = np.flatnonzero(counts)
    ends = np.cumsum(counts[present].astype(np.float64) ** exponent)
    n_places = max(TABLE, 4 * len(present))
    places = (np.arange(n_places) + 0.5) / n_places * ends[-1]
    return present[np.searchsorted(ends, places)].astype(np.int32)


def _load(engine: str, pairs: float) -> ModuleType:
    """The module with the loops; numba is imported here at the earliest."""
    chosen: Any = choose_engine(engine, pairs)
    if chosen != "numba":
        return _kernels
    from catvec.pretraining import _kernels_numba

    return _kernels_numba
