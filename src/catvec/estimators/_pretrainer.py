"""`EmbeddingPretrainer`: vectors without a target, from sequences, baskets or the table itself."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from catvec._checks import check_float, check_int, check_option, refuse
from catvec.errors import ArtifactError, InputError
from catvec.estimators import _files
from catvec.estimators._parameters import check_count, draw_seed, is_list
from catvec.frames import Frame, open_frame
from catvec.frames._frame import is_frame
from catvec.frames._source import Source, categorical_columns, is_source, open_source
from catvec.pretraining import (
    METHODS,
    Benefit,
    Choices,
    Corpus,
    Method,
    PretrainingProgress,
    SkipgramConfig,
    learn_table,
    measure_benefit,
    pretrained_vectors,
    read_corpus,
    stream_corpus,
    table_corpus,
    with_width,
)
from catvec.vectors import CategoryVectors, load_artifact, write_artifact
from catvec.vectors._storage import Artifact, PathLike

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingPretrainer(BaseEstimator):
    """Learn vectors from sequences, baskets or a table, without a target.

    Parameters
    ----------
    method : {"cooccurrence", "skipgram", "table"}, default="cooccurrence"
        How. ``"cooccurrence"``: which items meet in a sequence is counted; their shifted positive
        pointwise mutual information is factorised. Quick, and the better one on most data.
        ``"skipgram"``: word2vec, with negative sampling; wants numba. ``"table"``: which values of
        different columns meet in a row is counted and factorised, so that every categorical column
        has vectors.
    sequence : str, optional
        The column that tells which rows belong together: a basket, a session, a user. None where
        the item columns hold lists. Rows without one are left out.
    item : str or list of str, optional
        The column of the items, or several that share sequences (product, brand). For
        ``method="table"`` the categorical columns, by default text, categories and booleans.
    order : str or bool, optional
        The column that orders the events of a sequence; True where rows, or lists, are in their
        order. By default a sequence is a basket, in which an item counts once.
    embedding_dim : int or "auto", default="auto"
        Width of the vectors, the same for all item columns. ``"auto"``: 100, or the number of items
        where they are fewer.
    min_frequency : int, default=1
        Items of fewer events share, and train, the row for unknown ones.
    window : int, default=10
        Events of an ordered sequence meet if they are at most so far apart. In baskets all meet;
        skip-gram then takes a random order in each epoch.
    smoothing : float, default=0.75
        Exponent of the distribution of contexts (of the negatives of skip-gram), in [-1, 1]: below
        1 rare items are met a little more often than chance says.
    shift : float or "auto", default="auto"
        Of the co-occurrences: information below its logarithm is taken for none. The best depends
        on the data by a factor of ten. ``"auto"``: of 1, 0.3 and 5 that whose vectors find items
        best that were held out, each by the cosine to the mean of the others of its sequence; 1
        where fewer than 50 sequences could be held out.
    eigenvalue_exponent : float or "auto", default="auto"
        Of the co-occurrences: power of the singular values in the vectors, in [0, 1]. ``"auto"``:
        of 0.25, 0 and 0.5, in the same way.
    power_iterations : int or "auto", default="auto"
        Of the co-occurrences: how far vectors are turned from random mixtures of all companions to
        the leading directions. Many where all items hang together; few, even 0, where sequences are
        short and items many, so that each item keeps a share in few dimensions. ``"auto"``: of
        2, 1 and 4, in the same way.
    n_negatives : int, default=5
        Negative samples of skip-gram by pair.
    add_contexts : bool or "auto", default="auto"
        Whether a vector of skip-gram is the sum of what it learned of the item and of the item as a
        companion. Then items are near that occur together; with False, as in word2vec, those that
        occur among the same others, which may exclude each other (two brands of milk). ``"auto"``:
        what finds items better that were held out; True where none are.
    subsample : float, default=0.0
        Share of events above which items are skipped at times by skip-gram; 0 for none. Prose
        takes 1e-3; in baskets and clicks the frequent items tell most.
    learning_rate : float, default=0.1
        First step of skip-gram. Prose takes 0.025; items of a shop occur too seldom for that.
    max_epochs : int, default=8
        Most passes of skip-gram, over which the rate falls to nothing.
    validation_fraction : float, default=0.05
        Share of the sequences that skip-gram holds out to tell the best epoch; 0 for none.
    n_iter_no_change : int, default=8
        Epochs without gain on held-out sequences after which skip-gram stops. Few are too few: at a
        high rate their loss often rises before it falls with the rate.
    engine : {"auto", "numpy", "numba"}, default="auto"
        Who runs the loops of skip-gram.
    random_state : int, RandomState or None, default=None
        Seed of everything random.
    verbose : int, default=0
        1 to log each step through `logging`.
    callback : callable, optional
        Called with a `catvec.estimators.PretrainingProgress` as the work goes on.

    Attributes
    ----------
    vectors_ : CategoryVectors
        A column of vectors for each item column; all effects and confidences are 0.
    history_ : list of dict
        What was counted, with the settings taken, after each that was tried and its score (mean of
        ``1 / log2(1 + rank)`` of items held out); for skip-gram the losses by epoch, after whether
        contexts are added.
    n_sequences_, n_events_ : int
        What was learned from.

    See Also
    --------
    EmbeddingEncoder, EmbeddingClassifier, EmbeddingRegressor : What may start from these vectors.

    Examples
    --------
    >>> from catvec import EmbeddingPretrainer
    >>> baskets = {"basket": [1, 1, 2, 2, 3, 3, 4, 4] * 9, "item": list("abcdabcd") * 9}
    >>> pretrainer = EmbeddingPretrainer(sequence="basket", item="item", random_state=0)
    >>> pretrainer.fit(baskets).vectors_["item"].most_similar("a", topn=1)[0][0]
    'b'
    """

    method: str = "cooccurrence"
    sequence: str | None = None
    item: str | Sequence[str] | None = None
    order: str | bool | None = None
    embedding_dim: int | str = "auto"
    min_frequency: int = 1
    window: int = 10
    smoothing: float = 0.75
    shift: float | str = "auto"
    eigenvalue_exponent: float | str = "auto"
    power_iterations: int | str = "auto"
    n_negatives: int = 5
    add_contexts: bool | str = "auto"
    subsample: float = 0.0
    learning_rate: float = 0.1
    max_epochs: int = 8
    validation_fraction: float = 0.05
    n_iter_no_change: int = 8
    engine: str = "auto"
    random_state: Any = None
    verbose: int = 0
    callback: Callable[[PretrainingProgress], None] | None = None

    def fit(self, X: object, y: object = None) -> Self:
        """Learn vectors.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, path, or iterable of frames or lists
            A row by event; rows with lists of events; or the lists themselves (a Series, an Arrow
            array, whatever gives one list after the other; of a column that is called ``item``
            unless `item` names it). Sets are lists without an order. A path is a Parquet file, a
            folder of them, or a pattern. It and frames one after the other need not fit into
            memory: events are kept on disk meanwhile, and those of a sequence may stand anywhere.
        y : ignored
            For scikit-learn's pipelines.

        Returns
        -------
        EmbeddingPretrainer
            Itself.

        Raises
        ------
        InputError
            If a column is not there or does not fit, or no two items meet.
        ParameterError
            If a parameter is out of range.
        TrainingError
            If the loss of skip-gram becomes infinite.
        """
        del y
        with self._started(X) as (corpus, method, seed):
            table, self.history_ = learn_table(corpus, method, seed, self._told)
            sizes = [(len(part), part.n_events) for part in corpus.parts]
        self.n_sequences_, self.n_events_ = map(sum, zip(*sizes, strict=True))
        self.vectors_ = pretrained_vectors(corpus.vocabularies, table, self._metadata())
        return self

    def benefit(self, X: object) -> Benefit:
        """Tell whether these sequences have structure that vectors could carry to another task.

        Vectors are learned from four fifths of the sequences as `fit` learns them; items of the
        others are compared with items of the same sequences after their events were shuffled.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, path, or iterable of frames or lists
            As `fit` takes it; the pretrainer need not be fitted, and stays as it is.

        Returns
        -------
        catvec.estimators.Benefit
            ``found``, ``gain``, ``p_value``; as text, one line.

        Raises
        ------
        InputError, ParameterError, TrainingError
            As `fit`; also if there are too few sequences to hold some out.
        """
        with self._started(X) as (corpus, method, seed):
            return measure_benefit(corpus, method, seed)

    def save(self, path: PathLike) -> None:
        """Save as a folder that `load`, `CategoryVectors.load` and any Parquet reader open.

        Parameters
        ----------
        path : str or path-like
            The folder, by custom ending in ``.catvec``; an artifact there is replaced in one step.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.
        ArtifactError
            If something else lies there, or the disk refuses; what was there is then unchanged.
        """
        check_is_fitted(self)
        schema, files = self.vectors_.to_parts()
        section = {
            "class": type(self).__name__,
            "parameters": _files.plain_parameters(self),
            "history": self.history_,
            "n_sequences": self.n_sequences_,
            "n_events": self.n_events_,
        }
        write_artifact(path, {**schema, "model": section}, files)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Load what `save` saved.

        Parameters
        ----------
        path : str or path-like
            The folder.

        Returns
        -------
        EmbeddingPretrainer
            Fitted; its random state and callback are saved only where JSON can hold them.

        Raises
        ------
        ArtifactError
            If there is no artifact, it is damaged, or holds something else.
        ArtifactVersionError
            If a newer catvec wrote it.
        """
        return load_artifact(path, cls._restored)

    # --- inside ---

    @classmethod
    def _restored(cls, artifact: Artifact) -> Self:
        model = artifact.schema.get("model")
        kind = model.get("class") if isinstance(model, dict) else None
        if not isinstance(model, dict) or kind != cls.__name__:
            held = f"a fitted {kind}" if kind else "vectors only"
            raise ArtifactError(
                f"the artifact holds {held}, no {cls.__name__}; open it by CategoryVectors.load"
            )
        try:
            loaded = cls(**model["parameters"])
            loaded.history_ = model["history"]
            loaded.n_sequences_ = model["n_sequences"]
            loaded.n_events_ = model["n_events"]
        except (KeyError, TypeError) as error:
            raise artifact.damage(f"its section `model` does not fit ({error})") from error
        loaded.vectors_ = CategoryVectors.from_artifact(artifact)
        return loaded

    @contextlib.contextmanager
    def _started(self, X: object) -> Iterator[tuple[Corpus, Method, int]]:
        """Check the parameters and read the sequences, which may need a folder for a while."""
        _check(self)
        with tempfile.TemporaryDirectory(prefix="catvec-") as folder:
            corpus = self._read(X, Path(folder))
            seed = draw_seed(self.random_state)
            yield corpus, with_width(_method(self), corpus, self.embedding_dim), seed

    def _read(self, X: object, folder: Path) -> Corpus:
        X, lists = _unrolled(X)
        if lists and self.method != "table":
            items = self._items() or ["item"]
            return self._sequences(open_frame({items[0]: X}), items, folder)
        if is_source(X):
            table: Frame | Source = open_source(X, folder / "frames")
        else:
            table = open_frame(X)
        items = self._items()
        if self.method == "table":
            items = items or categorical_names(table)
            if len(items) < 2:
                raise InputError(
                    'method="table" compares categorical columns, of which there must be two or'
                    f" more; got {items}: name others by `item`"
                )
        if not items:
            raise refuse("item", "the column of the items, or a list of several", self.item)
        return self._sequences(table, items, folder)

    def _sequences(self, table: Frame | Source, items: list[str], folder: Path) -> Corpus:
        alone = self.method == "table"
        if not isinstance(table, Frame):
            return stream_corpus(
                table,
                items,
                sequence=self.sequence,
                order=self.order,
                min_frequency=self.min_frequency,
                folder=folder / "parts",
                rows_alone=alone,
            )
        if alone:
            return table_corpus([table.column(name) for name in items], self.min_frequency)
        return read_corpus(
            table,
            items,
            sequence=self.sequence,
            order=self.order,
            min_frequency=self.min_frequency,
        )

    def _items(self) -> list[str]:
        if self.item is None:
            return []
        return [self.item] if isinstance(self.item, str) else list(self.item)

    def _metadata(self) -> dict[str, Any]:
        return {
            "pretraining": {
                "method": self.method,
                "sequence": self.sequence,
                "order": self.order,
                "n_sequences": self.n_sequences_,
                "n_events": self.n_events_,
            }
        }

    def _told(self, progress: PretrainingProgress) -> None:
        if self.verbose:
            logger.info("%s: %d of %d", progress.stage, progress.done, progress.total)
        if self.callback is not None:
            self.callback(progress)


def categorical_names(table: Frame | Source) -> list[str]:
    """Columns that are categorical unless told otherwise, less those of lists."""
    if isinstance(table, Frame):
        return [n for n in table.names if not table.is_list(n) and table.is_categorical(n)]
    return [n for n in categorical_columns(table) if table.kinds[n] != "list"]


def _unrolled(X: Any) -> tuple[Any, bool]:
    """Lists, one by sequence, as a column of them, and True; whatever else as it is, and False."""
    if isinstance(X, pa.Array | pa.ChunkedArray) or len(getattr(X, "shape", ())) == 1:
        return X, True
    is_other = isinstance(X, str | os.PathLike | Mapping) or hasattr(X, "shape") or is_frame(X)
    if is_other or not isinstance(X, Iterable):
        return X, False
    head = []
    for cell in X:
        head.append(cell)
        if not isinstance(cell, float | None):  # a missing list says nothing
            break
    if isinstance(X, Iterator):
        X = chain(head, X)
    if not head or not (is_list(head[-1]) or isinstance(head[-1], Set)):
        return X, False
    return list(X), True


def _method(p: EmbeddingPretrainer) -> Method:
    skipgram = SkipgramConfig(
        dim=1,  # until the items are known
        window=p.window,
        n_negatives=p.n_negatives,
        learning_rate=p.learning_rate,
        sample=p.subsample,
        exponent=p.smoothing,
        max_epochs=p.max_epochs,
        n_iter_no_change=p.n_iter_no_change,
        engine=p.engine,
    )
    options: dict[str, Any] = {
        "shifts": p.shift,
        "exponents": p.eigenvalue_exponent,
        "iterations": p.power_iterations,
    }
    choices = Choices(**{name: (value,) for name, value in options.items() if value != "auto"})
    return Method(p.method, p.smoothing, choices, skipgram, p.validation_fraction, p.add_contexts)


def _check(p: EmbeddingPretrainer) -> None:
    """Refuse parameters of the wrong type or out of range, before any data are touched."""
    check_option("method", p.method, METHODS)
    check_option("engine", p.engine, ("auto", "numpy", "numba"))
    for name in ("min_frequency", "window", "n_negatives", "max_epochs", "n_iter_no_change"):
        check_int(name, getattr(p, name), minimum=1)
    check_count("embedding_dim", p.embedding_dim)
    check_float("smoothing", p.smoothing, minimum=-1.0, maximum=1.0)
    _check_chosen(p)
    check_float("subsample", p.subsample, minimum=0.0, maximum=1.0)
    check_float("learning_rate", p.learning_rate, minimum=0.0, strict=True)
    check_float("validation_fraction", p.validation_fraction, minimum=0.0, maximum=0.5)
    if p.item is not None and not isinstance(p.item, str) and not is_list(p.item):
        raise refuse("item", "a column name or a list of them", p.item)
    if p.order is not None and not isinstance(p.order, str | bool):
        raise refuse("order", "a column name, True or None", p.order)
    if isinstance(p.order, str) and p.sequence is None and p.method != "table":
        must = "True or None without `sequence`, where lists have an order of their own"
        raise refuse("order", must, p.order)
    if p.method == "table" and (p.sequence is not None or p.order is not None):
        raise refuse("sequence", 'None with method="table", as is `order`', p.sequence or p.order)
    if p.callback is not None and not callable(p.callback):
        raise refuse("callback", "callable or None", p.callback)


def _check_chosen(p: EmbeddingPretrainer) -> None:
    """Refuse wrong values of what may be "auto"."""
    if p.shift != "auto":
        check_float("shift", p.shift, minimum=0.0, strict=True)
    if p.eigenvalue_exponent != "auto":
        check_float("eigenvalue_exponent", p.eigenvalue_exponent, minimum=0.0, maximum=1.0)
    if p.power_iterations != "auto":
        check_int("power_iterations", p.power_iterations, minimum=0)
    if not isinstance(p.add_contexts, bool) and p.add_contexts != "auto":
        raise refuse("add_contexts", 'True, False or "auto"', p.add_contexts)
