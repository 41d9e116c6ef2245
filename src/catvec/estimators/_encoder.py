"""`EmbeddingEncoder`: categories in, effects and vectors out, for whatever model comes next."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from sklearn.base import TransformerMixin
from sklearn.model_selection import TimeSeriesSplit
from sklearn.utils.validation import check_is_fitted

from catvec._checks import check_bool, check_int, check_option, refuse, users_stacklevel
from catvec.errors import CatvecWarning, InputError
from catvec.estimators._base import EmbeddingEstimator
from catvec.estimators._choice import choose_category_dropout, told_by_code
from catvec.estimators._cross_fitting import cross_fitted_scores, folds_of, refuse_none
from catvec.estimators._encoded_columns import EncodedColumns
from catvec.estimators._encoded_rows import Encoding, RowEncoder, beside, some_unknown
from catvec.estimators._growth import continuation
from catvec.estimators._learning import (
    Committee,
    Learner,
    averaged_scores,
)
from catvec.estimators._packing import keep_within_budget
from catvec.estimators._parameters import document
from catvec.estimators._source_table import SourceTable, opened
from catvec.estimators._streaming import StreamedLearner
from catvec.estimators._training_set import TrainingSet, network_inputs
from catvec.frames import Arrays, checked_folds, open_frame
from catvec.frames._chunk import Chunk
from catvec.frames._files import check_writable, write_tables
from catvec.frames._source import check_apart, copied_types
from catvec.network import make_loss
from catvec.vectors import CategoryVectors

FOLDS, FOLDS_IN_TIME = 5, 10  # rossmann_200k, effects: MAPE 0.132 by 5 folds in time, 0.124 by 10
OUTPUTS = ("auto", "both", "effects", "vectors")
TASKS = ("auto", "regression", "binary", "multiclass", "count")


@document(losses=" when vectors are trained; by default what suits the task.")
@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingEncoder(TransformerMixin, EmbeddingEstimator):
    """Replace categories by shrunk effects, their confidence, and learned vectors.

    ``fit_transform(X, y)`` is cross-fitted: what a row is given comes from a fit that never saw its
    target, so a model trained on it is not misled. It therefore differs from
    ``fit(X, y).transform(X)``; ``transform`` is for new rows. With `groups`, categories of 1000
    rows or more in columns whose codes are written have what the fit to all rows gives them, in
    which a row's own target has hardly a part: values by fold would tell the folds.

    Parameters
    ----------
    task : {"auto", "regression", "binary", "multiclass", "count"}, default="auto"
        What the target is. ``"auto"``: floats, and integers with more than 20 values, are a
        regression; else classes. Counts only when asked.
    cv : int, splitter, list of splits or "auto", default="auto"
        Folds of ``fit_transform``; of a list, each a pair of rows to learn from and rows to encode,
        by number or by mask, which share no row. Rows that are never tested, such as the first
        block of a ``TimeSeriesSplit``, are encoded as unknown. ``"auto"``: 5, or 10 where these
        expand in time and effects alone are written: the first block is then smaller.
    output : {"auto", "both", "effects", "vectors"}, default="auto"
        What to write by categorical column: effects with their confidence, vectors, or both.
        ``"auto"`` writes both, but effects where folds expand in time, as with ``time_column``: the
        vectors of early folds, learned from few rows, are not like those that new rows are given;
        and effects where rows side by side are alike (``choice_.rows_together``): by its vectors a
        fold would be known, and with it the stretches of the table that it is made of.
        ``"effects"`` needs no network and is quick.
    joint_score : bool, default=True
        Whether the score of the networks follows, on the link scale: what all columns say together,
        as stacking has it (Wolpert 1992); of more than two classes the logarithm of each one's
        probability. Not where effects alone were asked for, or vectors, nor
        where folds expand in time; and only if any column is categorical. Where rows side by side
        are alike, `fit_transform` adds noise by which the folds cannot be told.
    category_codes : bool, default=True
        Whether the codes of columns follow that have at most 253 categories, or up to 4096 of 100
        rows each, so that a tree can single a category out: 0 unknown, 1 missing, 2.. categories
        in their order. Only with ``"auto"`` and ``"both"``.
    passthrough : bool, default=True
        Whether numeric columns follow, as they are.
    {shared}

    Attributes
    ----------
    vectors_ : CategoryVectors
        Effects, vectors and counts, of the fit on all rows.
    networks_ : list of Network
        What gives the joint score of new rows; empty without it.
    output_ : {"both", "effects", "vectors"}
        What is written of each column.
    categorical_features_ : list of int
        Places of the codes among the columns that are written, for a booster that treats categories
        apart: ``categorical_features`` of scikit-learn's, ``categorical_feature`` of LightGBM.
        Worth telling where effects alone are written; beside a joint score they had better stay
        numbers.
    history_ : list of dict
        Losses by network and epoch, of the fit on all rows.
    cross_fitted_ : ndarray of shape (n_rows,), bool
        After `fit_transform` only: which rows a fold encoded. Others, such as the first block in
        time, are encoded as unknown; try a model without them, too.
    {fitted}

    See Also
    --------
    EmbeddingRegressor, EmbeddingClassifier : Predict from such a table.

    Notes
    -----
    What is promised is about a row's effects, vectors and joint score. The choice of shrinkage and
    widths and the rotation of the folds' vectors into one basis and scale look at all training
    rows.

    Examples
    --------
    >>> from catvec import EmbeddingEncoder
    >>> X = {"city": ["Bern", "Rome", "Bern", "Rome"] * 25, "size": [1.0, 2.0, 3.0, 4.0] * 25}
    >>> y = [1.0, 3.0, 1.5, 3.5] * 25
    >>> encoder = EmbeddingEncoder(output="effects", random_state=0)
    >>> encoder.fit_transform(X, y).shape
    (100, 3)
    >>> encoder.get_feature_names_out()
    array(['city_effect', 'city_confidence', 'size'], dtype=object)
    """

    losses: ClassVar = ("auto", "squared", "absolute", "quantile", "logistic", "softmax", "poisson")

    task: str = "auto"
    cv: Any = "auto"
    output: str = "auto"
    category_codes: bool = True
    joint_score: bool = True
    passthrough: bool = True

    def fit_transform(
        self,
        X: object,
        y: object = None,
        *,
        sample_weight: object = None,
        groups: object = None,
        X_val: object = None,
        y_val: object = None,
        vocabulary_counts: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """Learn from all rows, and encode each row by a fit that never saw its target.

        Parameters
        ----------
        X, y, sample_weight, groups, X_val, y_val, vocabulary_counts
            As in `fit`; a table that does not fit into memory is for `fit_encode`.

        Returns
        -------
        ndarray of shape (n_rows, n_features), float64
            Columns as `get_feature_names_out` names them.

        Raises
        ------
        InputError, ParameterError
            As in `fit`.
        """
        data = dict(sample_weight=sample_weight, groups=groups, X_val=X_val, y_val=y_val)
        with opened(self, X, y, data, vocabulary_counts=vocabulary_counts) as (X, y, data):
            if isinstance(X, SourceTable):
                raise InputError(
                    f"{X.source.label} is too large to be encoded in memory; use fit_encode, which"
                    " writes a Parquet file"
                )
            with self._whole():
                return self._fit_transform(X, y, data)

    def fit_encode(
        self,
        X: object,
        y: object = None,
        *,
        out: str | Path,
        keep: Sequence[str] = (),
        sample_weight: object = None,
        groups: object = None,
        X_val: object = None,
        y_val: object = None,
        vocabulary_counts: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
    ) -> Self:
        """As `fit_transform`, for tables of any size: the encoded rows go to a Parquet file.

        Parameters
        ----------
        X, y, sample_weight, groups, X_val, y_val, vocabulary_counts, cache
            As in `fit`.
        out : path
            The Parquet file; rows in the order of `X`, columns as `get_feature_names_out` names
            them. It is replaced in one step at the end.
        keep : sequence of str
            Columns of `X` to copy before them, as they are, such as the target.

        Returns
        -------
        EmbeddingEncoder
            Itself, fitted.

        Raises
        ------
        InputError, ParameterError
            As in `fit`, if the disk refuses, or if `out` is read, too.
        """
        path = Path(out)
        if check_writable(path) != "parquet":
            raise refuse("out", "a path that ends in .parquet", str(out))
        check_apart(path, X)
        data = dict(sample_weight=sample_weight, groups=groups, X_val=X_val, y_val=y_val)
        counts = vocabulary_counts
        of_table = opened(self, X, y, data, vocabulary_counts=counts, cache=cache, kept=keep)
        with of_table as (X, y, data):
            write_tables(self._encoded(X, y, data, keep), path)
        return self

    def _encoded(
        self, X: object, y: object, data: dict[str, Any], keep: Sequence[str]
    ) -> Iterator[pa.Table]:
        """The rows of a table encoded by fits without them, after a fit to all."""
        if isinstance(X, SourceTable):
            types = copied_types(X.source, keep)
            with self._whole():
                encoder = self._fit_folds(X, data)
            yield from encoder.tables(self.get_feature_names_out().tolist(), types)
            return
        frame = open_frame(X)
        kept = Chunk(frame.whole or frame, "the table", 0).copied(dict.fromkeys(keep))
        with self._whole():
            matrix = self._fit_transform(frame, y, data)
        yield beside(kept, self.get_feature_names_out().tolist(), matrix)

    def _fit_folds(self, X: SourceTable, data: dict[str, Any]) -> RowEncoder:
        """Fit to all rows on disk and to folds of them."""
        if not isinstance(self.cv, int | str):
            raise refuse("cv", "an int for a table that is larger than memory", self.cv)
        learner = self._start(X, None, data, cross_fitted=True)
        assert isinstance(learner, StreamedLearner)
        splits = learner.deal.folds()
        refuse_none(splits)
        sets = self._sets(learner, [train for train, _ in splits])
        committees = learner.committees(sets)
        learner.finish(committees)
        self._finish(learner, *committees[:1])
        of_folds = committees[1:]
        vectors = self._fold_vectors(learner, of_folds, [train for train, _ in splits])
        scored = [one.networks for one in of_folds] if self.networks_ else [[] for _ in splits]
        encodings = [Encoding(*parts) for parts in zip(vectors, scored, strict=True)]
        return RowEncoder(
            learner,
            list(zip(splits, encodings, strict=True)),
            self._unmet(learner),
            self._columns,
            choose_category_dropout(self, learner.n_rows) if committees else 0.0,
        )

    def _fold_vectors(
        self, learner: Learner, committees: Sequence[Committee], rows: Sequence[Any]
    ) -> list[CategoryVectors]:
        """Vectors by fold; of width 0 where effects alone are written, and no networks trained."""
        networks = [one.networks for one in committees] or [[] for _ in rows]
        return learner.fold_vectors(list(zip(rows, networks, strict=True)), self.vectors_)

    def _unmet(self, learner: Learner) -> tuple[np.ndarray, np.ndarray]:
        """What a row that no fold tests is given, and its scores; as one row each."""
        encoded = self._columns.encode(self.vectors_, learner.training.schema.unknown_row())
        return encoded, self._constant_scores(learner)

    def _fit_transform(self, X: object, y: object, data: dict[str, Any]) -> np.ndarray:
        learner = self._start(X, y, data, cross_fitted=True)
        training = learner.training
        grouped = data.get("groups") is not None
        folds = folds_of(self._cv, training, y, learner.seed, grouped=grouped)
        trained = learner.committees(self._sets(learner, [fold.train for fold in folds]))
        self._compare_first(X, y, data, learner, trained)
        learner.finish(trained)
        self._finish(learner, *trained[:1])
        of_folds, columns = trained[1:], self._columns
        unmet, its_scores = self._unmet(learner)  # rows that no fold tests stay so
        encoded = np.repeat(unmet, len(training), axis=0)
        self.cross_fitted_ = np.zeros(len(training), bool)
        arrays = self._some_unknown(training, learner.seed)
        vectors = self._fold_vectors(learner, of_folds, [fold.train for fold in folds])
        for fold, own in zip(folds, vectors, strict=True):
            self.cross_fitted_[fold.test] = True
            encoded[fold.test] = columns.encode(own, arrays.take(fold.test))
        scores = np.empty((len(training), 0))
        if self.networks_:
            inputs = network_inputs(training.schema, arrays)
            noise = np.random.default_rng([learner.seed, 6]) if self._hides_folds else None
            scores = cross_fitted_scores(of_folds, folds, inputs, its_scores, noise)
        return columns.beside(encoded, arrays, scores)

    @property
    def categorical_features_(self) -> list[int]:
        """Places of the codes among the columns that are written."""
        check_is_fitted(self)
        return list(self._columns.of_codes)

    def transform(self, X: object) -> np.ndarray:
        """Encode new rows.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            With the columns of the training table; found by name, others are ignored.

        Returns
        -------
        ndarray of shape (n_rows, n_features), float64
            Columns as `get_feature_names_out` names them. A category not seen in training has
            effect 0, confidence 0 and the unknown vector.

        Raises
        ------
        InputError
            If a column is missing or of another type, or for an unknown category with
            ``handle_unknown="error"``.
        """
        arrays = self._read(X)
        scores = np.empty((len(arrays), 0))
        if self.networks_:
            scores = averaged_scores(self.networks_, network_inputs(self.schema_, arrays))
        columns = self._columns
        return columns.beside(columns.encode(self.vectors_, arrays), arrays, scores)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that `transform` writes.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names for the columns of an array; else those of the training table.

        Returns
        -------
        ndarray of shape (n_features,), object
            ``Store_effect``, ``Store_confidence``, ``Store_00``, ..., of pairs
            ``Store*DayOfWeek_effect`` and ``Store*DayOfWeek_confidence``, then ``Store_code``, ...,
            ``joint_score`` (one by class for more than two), and numeric columns as they are
            called.

        Raises
        ------
        ValueError
            If `input_features` are not those of the training table.
        """
        check_is_fitted(self)
        called = None if input_features is None else self._given_names(input_features)
        return np.asarray(self._columns.names(called), dtype=object)

    # --- inside ---

    def _fit(self, X: object, y: object, **data: Any) -> None:
        learner = self._start(X, y, data)
        rows = [learner.everything] if self._trains(learner.training) else []
        trained = learner.committees(rows)
        self._compare_first(X, y, data, learner, trained)
        learner.finish(trained)
        self._finish(learner, *trained)

    def _task(self) -> str:
        return "count" if self.loss == "poisson" and self.task == "auto" else self.task

    def _trains(self, training: TrainingSet) -> bool:
        return self.output != "effects" and bool(training.schema.vocabularies)

    def _sets(self, learner: Learner, folds: list[Any]) -> list[Any]:
        """The rows of each committee to train: all, and those of folds if more than effects is."""
        if not self._trains(learner.training):
            return []
        of_networks = self._scored or self.output_ != "effects"
        return [learner.everything, *(folds if of_networks else [])]

    def _check(self) -> None:
        """Refuse what only encoders are asked for, and is wrong."""
        check_option("task", self.task, TASKS)
        check_option("output", self.output, OUTPUTS)
        for name in ("category_codes", "joint_score", "passthrough"):
            check_bool(name, getattr(self, name))
        if isinstance(self.cv, str):
            check_option("cv", self.cv, ("auto",))
        if isinstance(self.cv, int):
            check_int("cv", self.cv, minimum=2)
        elif not isinstance(self.cv, str | Iterable) and not hasattr(self.cv, "split"):
            raise refuse("cv", '"auto", an int >= 2, a splitter or a list of splits', self.cv)
        if self.init is not None and self.output == "effects":
            raise refuse("init", 'None with output="effects", which has no vectors', self.init)

    def _start(
        self, X: object, y: object, data: dict[str, Any], *, cross_fitted: bool = False
    ) -> Learner:
        self._check()
        if hasattr(self, "cross_fitted_"):  # of the rows of an earlier fit
            del self.cross_fitted_
        self.output_, cv = self._output_and_folds()
        self._scored = self.joint_score and self.output_ == "both"
        if cross_fitted and not (isinstance(cv, int) or hasattr(cv, "split")):
            cv = checked_folds(cv, open_frame(X).n_rows)
        self._cv: Any = cv
        n_folds = cv if isinstance(cv, int) else FOLDS  # about as much work as that
        self._n_fits = 1 + n_folds * (cross_fitted and self.output_ != "effects")
        if not isinstance(X, SourceTable):
            data = {**data, "in_order": isinstance(self.cv, TimeSeriesSplit)}
        elif cross_fitted:
            data = {**data, "n_folds": cv}
        learner = self._prepare(X, y, n_fits=self._n_fits, **data)
        if not learner.training.schema.vocabularies:
            warnings.warn(
                "no column is categorical, so nothing is encoded: text, category types and booleans"
                " are by themselves; name others in `columns`",
                CatvecWarning,
                stacklevel=users_stacklevel(),
            )
        is_open = self.output == "auto" and self.output_ == "both"
        self._hides_folds: bool = is_open and learner.training.rows_together > 1
        if self._hides_folds:  # vectors would tell them, too
            self.output_ = "effects"
        return learner

    def _output_and_folds(self) -> tuple[str, Any]:
        """What is written and by which folds, where the parameters say "auto"."""
        in_time = self.time_column is not None and isinstance(self.cv, int | str)
        output, cv = self.output, self.cv
        if output == "auto":
            output = "effects" if in_time or isinstance(cv, TimeSeriesSplit) else "both"
        if isinstance(cv, str):
            cv = FOLDS_IN_TIME if in_time and output == "effects" else FOLDS
        return output, cv

    def _compare_first(
        self,
        X: object,
        y: object,
        data: dict[str, Any],
        learner: Learner,
        trained: Sequence[Committee],
    ) -> None:
        in_order = isinstance(self.cv, TimeSeriesSplit)
        for committee in trained[:1]:
            self._compare(X, y, learner, committee, n_fits=self._n_fits, in_order=in_order, **data)

    def _finish(self, learner: Learner, committee: Committee | None = None) -> None:
        training = learner.training
        networks = committee.networks if committee else []
        self.networks_ = networks if self._scored else []
        self.history_ = committee.history if committee else []
        if self._model is not None:
            self.vectors_ = self._model.vectors_
        else:
            self.vectors_ = learner.vectors(networks)
            self._continuation = continuation(self, learner, committee)
            keep_within_budget(self, training.limits)
        self._coded = told_by_code(training.schema)
        self._columns.refuse_clashes()

    def _some_unknown(self, training: TrainingSet, seed: int) -> Arrays:
        """The rows with some categories taken for unknown, as networks see them in training.

        From these the next model learns what to do without a column. It would else first meet a
        category without effect and confidence among new rows.
        """
        arrays, schema = training.arrays, training.schema
        share = choose_category_dropout(self, len(arrays))
        if not share or not self._trains(training):
            return arrays
        drawn = np.random.default_rng([seed, 5]).random(len(arrays))
        return some_unknown(arrays, schema, share, drawn)

    @property
    def _columns(self) -> EncodedColumns:
        """What is written, by what was fitted."""
        coded: list[int] = []
        if self.category_codes and self.output in ("auto", "both"):
            names = self.schema_.categorical_names
            coded = [c for c, name in enumerate(names) if name in self._coded]
        return EncodedColumns(
            self.schema_,
            self.vectors_,
            self.output_,
            tuple(coded),
            tuple(self._joint_names()),
            self.passthrough,
        )

    def _joint_names(self) -> list[str]:
        if not self.networks_:
            return []
        labels = self.target_.labels if self.target_.task == "multiclass" else None
        return ["joint_score"] if labels is None else [f"joint_score_{n}" for n in labels]

    def _constant_scores(self, learner: Learner) -> np.ndarray:
        """The scores of a row that no fold tests, as they are for the whole table."""
        if not self.networks_:
            return np.empty((1, 0))
        data, n_outputs = learner.data, learner.training.target.n_outputs
        loss = make_loss(learner.loss, n_outputs, self.quantile)
        return np.reshape(loss.initial(data.target, data.weight), (1, -1))

    def _given_names(self, input_features: Any) -> dict[str, str]:
        given = [str(name) for name in input_features]
        if len(given) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features"
                f" ({self.n_features_in_}), got {len(given)}"
            )
        if self.schema_.named and given != list(self.schema_.names):
            raise ValueError("input_features is not equal to feature_names_in_")
        return dict(zip(self.schema_.names, given, strict=True))
