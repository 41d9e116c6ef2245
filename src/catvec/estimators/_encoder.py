"""`EmbeddingEncoder`: categories in, effects and vectors out, for whatever model comes next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.model_selection import TimeSeriesSplit, check_cv
from sklearn.utils.validation import check_is_fitted

from catvec._checks import check_int, check_option, some
from catvec.errors import InputError
from catvec.estimators._base import EmbeddingEstimator
from catvec.estimators._learning import (
    Committee,
    Learner,
    averaged_scores,
    category_vectors,
)
from catvec.estimators._parameters import document
from catvec.estimators._training_set import TrainingSet, network_inputs
from catvec.frames import Fold, make_folds
from catvec.network import make_loss
from catvec.vectors import CategoryVectors

OUTPUTS = ("both", "effects", "vectors")
TASKS = ("auto", "regression", "binary", "multiclass", "count")


@document(losses=" when vectors are trained; by default what suits the task.", n_networks='"auto"')
@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingEncoder(TransformerMixin, EmbeddingEstimator):
    """Replace categories by shrunk effects, their confidence, and learned vectors.

    ``fit_transform(X, y)`` is cross-fitted: what a row is given comes from a fit that never saw its
    target, so a model trained on it is not misled. It therefore differs from
    ``fit(X, y).transform(X)``; ``transform`` is for new rows.

    Parameters
    ----------
    task : {"auto", "regression", "binary", "multiclass", "count"}, default="auto"
        What the target is. ``"auto"``: floats, and integers with more than 20 values, are a
        regression; else classes. Counts only when asked.
    cv : int or splitter, default=5
        Folds of ``fit_transform``. Rows that a splitter never tests, such as the first block of a
        ``TimeSeriesSplit``, are encoded as unknown.
    output : {"both", "effects", "vectors"}, default="both"
        What to write by categorical column: effects with their confidence, vectors, or both.
        Effects alone need no network and are quick.
    joint_score : bool, default=True
        Whether the score of the networks follows, on the link scale: what all columns say together,
        as stacking has it (Wolpert 1992). Only with ``output="both"``, and if any column is
        categorical.
    passthrough : bool, default=True
        Whether numeric columns follow, as they are.
    {shared}

    Attributes
    ----------
    vectors_ : CategoryVectors
        Effects, vectors and counts, of the fit on all rows.
    networks_ : list of Network
        What gives the joint score of new rows; empty without it.
    history_ : list of dict
        Losses by network and epoch, of the fit on all rows.
    {fitted}

    See Also
    --------
    EmbeddingRegressor, EmbeddingClassifier : Predict from such a table.

    Notes
    -----
    What is promised is about a row's effects, vectors and joint score. The choice of shrinkage and
    widths and the rotation of the folds' vectors into one basis look at all training rows.

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
    cv: Any = 5
    output: str = "both"
    joint_score: bool = True
    passthrough: bool = True
    n_networks: int | str = "auto"

    def fit_transform(
        self,
        X: object,
        y: object = None,
        *,
        sample_weight: object = None,
        groups: object = None,
        X_val: object = None,
        y_val: object = None,
    ) -> np.ndarray:
        """Learn from all rows, and encode each row by a fit that never saw its target.

        Parameters
        ----------
        X, y, sample_weight, groups, X_val, y_val
            As in `fit`.

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
        n_folds = self.cv if isinstance(self.cv, int) else 5  # about as much work as that
        training, learner = self._start(X, y, data, n_fits=1 + n_folds)
        folds = self._folds(training, learner, y)
        sets = [np.arange(len(training)), *(fold.train for fold in folds)]
        trained = learner.committees(sets if self._trains(training) else [])
        learner.finish(trained)
        self._finish(training, *trained[:1])
        encoded = self._encode(self.vectors_, np.zeros((1, len(training.schema.n_codes)), np.int32))
        encoded = np.repeat(encoded, len(training), axis=0)  # rows that no fold tests stay so
        scores = self._constant_scores(training, learner)
        for i, fold in enumerate(folds):
            networks = trained[i + 1].networks if trained else []
            vectors = category_vectors(training, networks, rows=fold.train, reference=self.vectors_)
            encoded[fold.test] = self._encode(vectors, training.arrays.codes[fold.test])
            if self.networks_:
                scores[fold.test] = averaged_scores(networks, learner.data.inputs.take(fold.test))
        return self._side_by_side(encoded, scores, training.arrays.values)

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
        encoded = self._encode(self.vectors_, arrays.codes)
        scores = np.empty((len(arrays), 0))
        if self.networks_:
            scores = averaged_scores(self.networks_, network_inputs(self.schema_, arrays))
        return self._side_by_side(encoded, scores, arrays.values)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that `transform` writes.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names for the columns of an array; else those of the training table.

        Returns
        -------
        ndarray of shape (n_features,), object
            ``Store_effect``, ``Store_confidence``, ``Store_00``, ..., ``joint_score`` (one by class
            for more than two), then numeric columns as they are called.

        Raises
        ------
        ValueError
            If `input_features` are not those of the training table.
        """
        check_is_fitted(self)
        encoded = self._encoded_names()
        joint = self._joint_names()
        numbers = [number.name for number in self.schema_.numbers] if self.passthrough else []
        if input_features is None:
            return np.asarray(encoded + joint + numbers, dtype=object)
        given = self._given_names(input_features)
        renamed = []
        for column in self.vectors_:
            width = self._n_encoded_of(column)
            renamed += [given[column] + name[len(column) :] for name in encoded[:width]]
            encoded = encoded[width:]
        return np.asarray(renamed + joint + [given[name] for name in numbers], dtype=object)

    # --- inside ---

    def _fit(self, X: object, y: object, **data: Any) -> None:
        training, learner = self._start(X, y, data, n_fits=1)
        rows = [np.arange(len(training))] if self._trains(training) else []
        trained = learner.committees(rows)
        learner.finish(trained)
        self._finish(training, *trained)

    def _task(self) -> str:
        return self.task

    def _trains(self, training: TrainingSet) -> bool:
        return self.output != "effects" and bool(training.schema.vocabularies)

    def _start(
        self, X: object, y: object, data: dict[str, Any], n_fits: int
    ) -> tuple[TrainingSet, Learner]:
        check_option("task", self.task, TASKS)
        check_option("output", self.output, OUTPUTS)
        if isinstance(self.cv, int):
            check_int("cv", self.cv, minimum=2)
        return self._prepare(
            X,
            y,
            n_fits=n_fits,
            in_order=isinstance(self.cv, TimeSeriesSplit),
            **data,
        )

    def _finish(self, training: TrainingSet, committee: Committee | None = None) -> None:
        networks = committee.networks if committee else []
        self.networks_ = networks if self.joint_score and self.output == "both" else []
        self.history_ = committee.history if committee else []
        self.vectors_ = category_vectors(training, networks)
        names = self.get_feature_names_out().tolist()
        taken = list(training.schema.names) if self._encoded_names() else []
        passed = {number.name for number in training.schema.numbers} if self.passthrough else set()
        counts = Counter(names + [name for name in taken if name not in passed])
        clash = [name for name, count in counts.items() if count > 1]
        if clash:
            raise InputError(
                f"encoded columns would be called {some(clash)}, as columns of the table are;"
                " rename those"
            )

    def _folds(self, training: TrainingSet, learner: Learner, y: object) -> list[Fold]:
        if isinstance(self.cv, int):
            return make_folds(training.ties, self.cv, np.random.default_rng([learner.seed, 3]))
        splitter = check_cv(self.cv)
        rows = np.zeros((len(training), 1))
        pairs = splitter.split(rows, np.asarray(y), training.ties.groups)
        return [Fold(np.asarray(train), np.asarray(test)) for train, test in pairs]

    def _encode(self, vectors: CategoryVectors, codes: np.ndarray) -> np.ndarray:
        return vectors.encode_codes(list(codes.T), len(codes), output=self.output, pairs=True)

    def _encoded_names(self) -> list[str]:
        return self.vectors_.get_feature_names_out(output=self.output, pairs=True).tolist()

    def _n_encoded_of(self, column: str) -> int:
        alone = CategoryVectors([self.vectors_[column]])
        return len(alone.get_feature_names_out(output=self.output))

    def _joint_names(self) -> list[str]:
        if not self.networks_:
            return []
        if self.target_.task == "multiclass" and self.target_.classes is not None:
            return [f"joint_score_{label}" for label in self.target_.classes]
        return ["joint_score"]

    def _constant_scores(self, training: TrainingSet, learner: Learner) -> np.ndarray:
        """What a row that no fold tests is given, as it is for the whole table."""
        if not self.networks_:
            return np.empty((len(training), 0))
        data, n_outputs = learner.data, training.target.n_outputs
        loss = make_loss(learner.loss, n_outputs, self.quantile)
        return np.tile(loss.initial(data.target, data.weight), (len(training), 1))

    def _side_by_side(
        self, encoded: np.ndarray, scores: np.ndarray, values: np.ndarray
    ) -> np.ndarray:
        # float64, since a number that is passed through must stay what it was.
        parts = [encoded, scores, values] if self.passthrough else [encoded, scores]
        return np.concatenate(parts, axis=1, dtype=np.float64)

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
