"""From sequences to vectors: which method, in which steps, and the artifact that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from catvec.errors import InputError
from catvec.frames import Vocabulary
from catvec.pretraining._choosing import FEWEST, Choices, Settings, choose
from catvec.pretraining._cooccurrence import directions, positive_pmi, with_itself
from catvec.pretraining._counting import count_pairs
from catvec.pretraining._questions import Questions, held_out_share
from catvec.pretraining._sequences import Corpus
from catvec.pretraining._skipgram import Epoch, SkipgramConfig, train_skipgram
from catvec.vectors import CategoryVectors, untargeted_column

METHODS = ("cooccurrence", "skipgram", "table")
FEWEST_HELD_OUT = 20  # sequences that can tell when to stop
NARROW = 32  # vectors that settings are chosen by are half as wide as those wanted, but for this


@dataclass(frozen=True)
class Method:
    """How vectors are learned; see `EmbeddingPretrainer`.

    Attributes
    ----------
    name : {"cooccurrence", "skipgram", "table"}
    smoothing : float
        Exponent of the distribution of contexts.
    choices : Choices
        What the other parameters of the co-occurrences may be.
    skipgram : SkipgramConfig
        Its `dim` and `window` are those of the co-occurrences, too.
    validation_fraction : float
        Of the sequences, which skip-gram stops by.
    add_contexts : bool or "auto"
        Whether a vector of skip-gram is the sum of an item's rows of both tables.
    """

    name: str
    smoothing: float
    choices: Choices
    skipgram: SkipgramConfig
    validation_fraction: float
    add_contexts: bool | str


@dataclass(frozen=True)
class PretrainingProgress:
    """What `callback` is told.

    Attributes
    ----------
    stage : {"counting", "choosing", "factorizing", "training"}
        What is being done.
    done, total : int
        Of it: events counted, or epochs trained.
    train_loss, held_out_loss : float or None
        Of an epoch of skip-gram.
    """

    stage: str
    done: int
    total: int
    train_loss: float | None = None
    held_out_loss: float | None = None


Callback = Callable[[PretrainingProgress], None]


def learn_table(
    corpus: Corpus, method: Method, seed: int, callback: Callback | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """A vector for each line of the joint table.

    Parameters
    ----------
    corpus : Corpus
    method : Method
    seed : int
        Below 2**31.
    callback : callable, optional
        Called with a `PretrainingProgress`.

    Returns
    -------
    vectors : ndarray of shape (n_lines, dim), float32
        Zero where nothing was learned: the line was never seen, or never met another.
    history : list of dict
        What was counted, or the epochs of skip-gram.

    Raises
    ------
    InputError
        If nothing meets anything.
    """
    counts = corpus.counts()
    if method.name == "skipgram":
        return _by_skipgram(corpus, counts, method, seed, callback)
    return _by_counts(corpus, counts, method, seed, callback)


def _by_counts(
    corpus: Corpus, counts: np.ndarray, method: Method, seed: int, callback: Callback | None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    counted = _Counted(corpus, method, seed, int(counts.sum()), callback)
    settings, history = counted.choose() if not method.choices.is_one else (None, [])
    pairs = counted.pairs()
    if not pairs.nnz:
        raise InputError(
            "no two items meet: every sequence holds one event, or all of one item;"
            " is the sequence column the right one?"
        )
    settings = settings or method.choices.first
    if callback is not None:
        callback(PretrainingProgress("factorizing", 0, 1))
    matrix = positive_pmi(
        pairs, shift=settings.shift, smoothing=method.smoothing, scale=counted.scale
    )
    matrix = with_itself(matrix)
    rng = np.random.default_rng([seed, 1])
    n_iters = [settings.power_iterations]
    found = directions(matrix, method.skipgram.dim, n_iters=n_iters, rng=rng)[0]
    record = {
        "stage": "counting",
        "events": counted.n_events,
        "pairs": pairs.nnz // 2,
        "kept": matrix.nnz,
        **asdict(settings),
    }
    return found.vectors(settings.eigenvalue_exponent), [*history, record]


class _Counted:
    """Counts of the pairs of a corpus; of a part of it first, where the rest is to choose by."""

    def __init__(
        self, corpus: Corpus, method: Method, seed: int, n_items: int, callback: Callback | None
    ) -> None:
        n_columns = len(corpus.vocabularies)
        self.n_events = n_items // n_columns
        # Values of one column never meet in one row, which chance alone would let them.
        self.scale = (n_columns - 1) / n_columns if method.name == "table" else 1.0
        self._corpus, self._method, self._seed, self._callback = corpus, method, seed, callback
        self._rng, self._done = np.random.default_rng(seed), 0
        self._kept: sp.csr_array | None = None
        self._held_out: Corpus | None = None

    def choose(self) -> tuple[Settings | None, list[dict[str, Any]]]:
        """Settings by sequences held out, and what was tried; None if these are too few."""
        corpus, method, seed = self._corpus, self._method, self._seed
        kept, held_out = corpus.split(held_out_share(corpus), seed)
        window = method.skipgram.window
        questions = Questions.of(held_out, window, np.random.default_rng([seed, 2]))
        if len(questions) < FEWEST:
            return None, []
        self._kept, self._held_out = self._count(kept), held_out
        if not self._kept.nnz:
            return None, []
        if self._callback is not None:
            self._callback(PretrainingProgress("choosing", 0, 1))
        return choose(
            self._kept,
            questions,
            method.choices,
            smoothing=method.smoothing,
            scale=self.scale,
            dim=min(method.skipgram.dim, max(method.skipgram.dim // 2, NARROW)),
            seed=seed,
        )

    def pairs(self) -> sp.csr_array:
        """Counts of all sequences."""
        if self._kept is None or self._held_out is None:
            return self._count(self._corpus)
        return sp.csr_array(self._kept + self._count(self._held_out))

    def _count(self, corpus: Corpus) -> sp.csr_array:
        before = self._done

        def counted(done: int) -> None:
            self._done = before + done
            if self._callback is not None:
                self._callback(PretrainingProgress("counting", self._done, self.n_events))

        window = self._method.skipgram.window if corpus.ordered else None
        return count_pairs(corpus, window=window, rng=self._rng, progress=counted)


def _by_skipgram(
    corpus: Corpus, counts: np.ndarray, method: Method, seed: int, callback: Callback | None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    training, held_out = _split(corpus, method.validation_fraction, seed)
    counts = counts if held_out is None else training.counts()

    def told(epoch: Epoch) -> None:
        if callback is not None:
            losses = epoch.train_loss, epoch.held_out_loss
            callback(PretrainingProgress("training", epoch.epoch, epoch.max_epochs, *losses))

    vectors, contexts, epochs = train_skipgram(
        training, held_out, counts, method.skipgram, seed, told
    )
    if epochs[-1].n_pairs == 0:
        raise InputError("no two items meet: is the sequence column the right one?")
    vectors[counts == 0] = 0
    contexts[counts == 0] = 0
    chosen, trials = _with_contexts(vectors, contexts, held_out, method, seed)
    return chosen, trials + [{"stage": "training", **epoch.to_json()} for epoch in epochs]


def _with_contexts(
    vectors: np.ndarray, contexts: np.ndarray, held_out: Corpus | None, method: Method, seed: int
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The vectors alone, or with the contexts added, which finds held-out items earlier.

    The sum (Levy, Goldberg & Dagan 2015, Improving Distributional Similarity with Lessons Learned
    from Word Embeddings, TACL 3) is near to companions, too, not only to what has the same ones.
    With few epochs it finds twice as many items of a basket; with many it may find fewer.
    """
    added = vectors + contexts
    if method.add_contexts != "auto":
        return (added if method.add_contexts else vectors), []
    if held_out is None:
        return added, []
    rng = np.random.default_rng([seed, 2])
    questions = Questions.of(held_out, method.skipgram.window, rng)
    if len(questions) < FEWEST:
        return added, []
    scores = [questions.score(table) for table in (added, vectors)]
    trials = [
        {"stage": "choosing", "add_contexts": adds, "score": score}
        for adds, score in zip((True, False), scores, strict=True)
    ]
    return (added if scores[0] >= scores[1] else vectors), trials


def _split(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, Corpus | None]:
    """Sequences to learn from, and those to stop by, if they are enough."""
    training, held_out = corpus.split(share, seed)
    if sum(map(len, held_out.parts)) < FEWEST_HELD_OUT:
        return corpus, None
    return training, held_out


def pretrained_vectors(
    vocabularies: Sequence[Vocabulary], table: np.ndarray, metadata: dict[str, Any]
) -> CategoryVectors:
    """The artifact of a joint table: a column of vectors for each vocabulary, effects all 0.

    Parameters
    ----------
    vocabularies : sequence of Vocabulary
        In the order of their lines.
    table : ndarray of shape (n_lines, dim), float32
        Zero where nothing was learned.
    metadata : dict
        What is to be kept with the vectors.

    Returns
    -------
    CategoryVectors
        A line without evidence has the unknown row. This is what the rare items learned; where
        there are none, the mean over events.
    """
    columns, start = [], 0
    for vocabulary in vocabularies:
        rows = table[start : start + vocabulary.n_codes]
        columns.append(untargeted_column(vocabulary, rows))
        start += vocabulary.n_codes
    return CategoryVectors(columns, metadata=metadata)


def with_width(method: Method, corpus: Corpus, dim: int | str) -> Method:
    """The method with its width; ``"auto"``: 100, or the number of items if that is less."""
    if dim == "auto":
        dim = max(1, min(100, sum(map(len, corpus.vocabularies))))
    return replace(method, skipgram=replace(method.skipgram, dim=int(dim)))
