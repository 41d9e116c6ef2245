"""`EmbeddingRegressor` and `EmbeddingClassifier`: predict from a table with categorical columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from catvec._checks import check_bool
from catvec.estimators._base import EmbeddingEstimator
from catvec.estimators._explanation import Explanation, column_importances, explain
from catvec.estimators._growth import continuation
from catvec.estimators._learning import Committee, Learner, averaged_scores, n_threads
from catvec.estimators._packing import keep_within_budget
from catvec.estimators._parameters import document
from catvec.estimators._scores import held_out_scores
from catvec.estimators._training_set import TrainingSet, network_inputs
from catvec.network import Loss, make_loss

EFFECT_NETWORKS = """\
effect_networks : bool, default=True
        Whether some of the networks may see the effects of categories and pairs in place of
        vectors, if that is better on held-out rows: every second or every fourth of them. Those of
        a training row are learned from other rows. Never where tables are not full ones
        (`tables`, `memory_budget`), where vectors learned elsewhere are given (`init`), where rows
        come in groups or from disk, or with ``engine="torch"``."""
FITTED_PREDICTOR = """\
vectors_ : CategoryVectors
        Effects, vectors and counts by column; the networks' vectors in one basis, averaged.
    networks_ : list of Network
        What predicts.
    history_ : list of dict
        Losses by network and epoch.
    validation_scores_ : dict
        By metric the score on the held-out rows and that of a constant prediction; of a quantile
        its loss, and the share of rows at or below it. Each row is scored by the networks that had
        not learned it yet, and counts by its weight; as strength, pairs and epochs were chosen by
        such rows, the scores flatter a little.
    column_importances_ : dict of str to float
        By how much the loss on held-out rows grows when the values of a column are shuffled, in
        the order of the table. Measured on about 8192 rows, each network's own, and averaged; about
        0, or below, for a column that tells nothing. Empty if no rows were held out."""


class EmbeddingPredictor(EmbeddingEstimator):
    """What the regressor and the classifier share: a committee of networks, and its scores."""

    fewest_networks: ClassVar[int] = 4  # they are the prediction

    column_importances_: dict[str, float]
    effect_networks: bool

    def _fit(self, X: object, y: object, **data: Any) -> None:
        seeing = check_bool("effect_networks", self.effect_networks)
        learner = self._prepare(X, y, effect_networks=seeing, **data)
        training = learner.training
        (committee,) = learner.committees([learner.everything])
        self._compare(X, y, learner, committee, **data)
        self.loss_ = learner.loss
        self.networks_ = committee.networks
        self.history_ = committee.history
        self.validation_scores_ = self._score_held_out(learner, committee)
        self.column_importances_ = column_importances(
            training,
            committee.networks,
            committee.held_out,
            self._link(),
            learner.seed,
            learner.plan.engine,
        )
        learner.finish([committee])
        self.vectors_ = learner.vectors(committee.networks)
        self._continuation = continuation(self, learner, committee)
        keep_within_budget(self, training.limits)

    def explain(self, X: object) -> Explanation:
        """Tell what each column adds to each prediction, on the link scale.

        Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv 1703.01365) from the row about
        which nothing is known: all categories unknown, all numbers at their centre and unknown to
        their knots. Averaged over the networks. A column's dimensions are added up; what columns
        do only together is shared among them.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            With the columns of the training table; found by name, others are ignored.

        Returns
        -------
        Explanation
            With the base, which is the prediction for that row, the contributions of shape
            (n_rows, n_columns), for more than two classes (n_rows, n_columns, n_classes), and the
            residual. In the target's units for a regression; on the link scale for classes and
            counts. Takes two to three times as long as `predict`, spread over `n_jobs`
            threads.

        Raises
        ------
        InputError
            If a column is missing or of another type, or for an unknown category with
            ``handle_unknown="error"``.
        """
        arrays = self._read(X)  # refuses where nothing is fitted
        inputs = network_inputs(self.schema_, arrays)
        threads = n_threads(self.n_jobs)
        return explain(self.networks_, self.schema_, self.target_, inputs, threads)

    def _scores(self, X: object) -> np.ndarray:
        """Scores on the link scale, (n_rows, n_outputs) float64, averaged over the networks."""
        arrays = self._read(X)
        return averaged_scores(self.networks_, network_inputs(self.schema_, arrays))

    def _link(self) -> Loss:
        return make_loss(self.loss_, self.target_.n_outputs, self.quantile)

    def _predictions(self, scores: np.ndarray) -> np.ndarray:
        """Scores as predictions of the target, or as probabilities of the classes."""
        mean = self._link().mean(scores)
        if self.target_.task == "multiclass":
            return mean
        if self.target_.task == "binary":
            return np.column_stack([1 - mean, mean])
        return mean * self.target_.scale + self.target_.center

    def _score_held_out(self, learner: Learner, committee: Committee) -> dict[str, Any]:
        """Scores on held-out rows, each predicted by the networks that did not train on it."""
        training, weight = learner.training, None
        if training.held_out is not None:
            scores = averaged_scores(committee.networks, training.held_out.inputs)
            y = training.held_out.target * training.target.scale + training.target.center
        elif committee.held_out is not None:
            scores, rows = _scores_of_judges(training, committee, committee.held_out)
            y = training.values[rows]
            weight = None if training.weight is None else training.weight[rows]
        else:
            return {}
        predicted, y = self._predictions(scores), y.astype(np.float64)
        of_training = learner.target_rows()
        return held_out_scores(
            training.target, y, predicted, weight, *of_training, quantile=self.quantile
        )


@document(
    losses=': ``"squared"`` (which ``"auto"`` means), ``"absolute"``,\n        ``"quantile"``, or'
    ' ``"poisson"`` for counts and rates.',
    effects=EFFECT_NETWORKS,
    predictor=FITTED_PREDICTOR,
)
@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingRegressor(RegressorMixin, EmbeddingPredictor):
    """Predict a number from a table with categorical columns.

    Networks of embedding tables, interpolated numbers and a multilayer perceptron, with a Gaussian
    prior on the vectors, averaged.

    Parameters
    ----------
    {effects}
    {shared}

    Attributes
    ----------
    {predictor}
    {fitted}

    See Also
    --------
    EmbeddingEncoder : Hand effects and vectors to another model.

    Examples
    --------
    >>> from catvec import EmbeddingRegressor
    >>> X = {"city": ["Bern", "Rome", "Bern", "Rome"] * 25}
    >>> y = [1.0, 3.0, 1.5, 3.5] * 25
    >>> model = EmbeddingRegressor(random_state=0).fit(X, y)
    >>> bern, rome = model.predict({"city": ["Bern", "Rome"]})
    >>> bool(bern < rome)
    True
    """

    effect_networks: bool = True

    losses: ClassVar = ("auto", "squared", "absolute", "quantile", "poisson")

    def _task(self) -> str:
        return "count" if self.loss == "poisson" else "regression"

    def predict(self, X: object) -> np.ndarray:
        """Predict the target.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            With the columns of the training table; found by name, others are ignored.

        Returns
        -------
        ndarray of shape (n_rows,), float64
            Mean, median or quantile of the target, as the loss says.

        Raises
        ------
        InputError
            If a column is missing or of another type, or for an unknown category with
            ``handle_unknown="error"``.
        """
        return self._predictions(self._scores(X))


@document(
    losses=': ``"logistic"`` for two classes and ``"softmax"`` for more,\n        which ``"auto"``'
    " means.",
    effects=EFFECT_NETWORKS,
    predictor=FITTED_PREDICTOR,
)
@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingClassifier(ClassifierMixin, EmbeddingPredictor):
    """Predict a class from a table with categorical columns.

    Networks of embedding tables, interpolated numbers and a multilayer perceptron, with a Gaussian
    prior on the vectors, averaged.

    Parameters
    ----------
    class_weight : mapping, "balanced" or None, default=None
        Weights of the classes; ``"balanced"`` gives each class the same total.
    {effects}
    {shared}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, ascending.
    {predictor}
    {fitted}

    See Also
    --------
    EmbeddingEncoder : Hand effects and vectors to another model.

    Examples
    --------
    >>> from catvec import EmbeddingClassifier
    >>> X = {"city": ["Bern", "Rome", "Bern", "Rome"] * 25}
    >>> y = ["no", "yes", "no", "yes"] * 25
    >>> model = EmbeddingClassifier(random_state=0).fit(X, y)
    >>> model.predict({"city": ["Rome", "Bern"]}).tolist()
    ['yes', 'no']
    """

    losses: ClassVar = ("auto", "logistic", "softmax")

    class_weight: Mapping[Any, float] | str | None = None
    effect_networks: bool = True

    def _task(self) -> str:
        return {"logistic": "binary", "softmax": "multiclass"}.get(self.loss, "classification")

    def _fit(self, X: object, y: object, **data: Any) -> None:
        super()._fit(X, y, class_weight=self.class_weight, **data)
        self.classes_ = self.target_.classes

    def predict_proba(self, X: object) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            With the columns of the training table; found by name, others are ignored.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            Columns in the order of ``classes_``; rows sum to 1.

        Raises
        ------
        InputError
            If a column is missing or of another type, or for an unknown category with
            ``handle_unknown="error"``.
        """
        return self._predictions(self._scores(X))

    def decision_function(self, X: object) -> np.ndarray:
        """Scores on the link scale: the log-odds of the second class, or a score by class.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_classes), float64

        Raises
        ------
        InputError
            As in `predict_proba`.
        """
        scores = self._scores(X)
        return scores[:, 0] if self.target_.task == "binary" else scores

    def predict(self, X: object) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_rows,)
            Labels as in ``classes_``.

        Raises
        ------
        InputError
            As in `predict_proba`.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_)[best]


def _scores_of_judges(
    training: TrainingSet, committee: Committee, held_out: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the rows that some network held out, and which rows these are."""
    total = np.zeros((len(training), training.target.n_outputs))
    judges = np.zeros(len(training), np.int64)
    for network, rows in zip(committee.networks, held_out, strict=True):
        inputs = network_inputs(training.schema, training.arrays.take(rows))
        total[rows] += network.predict(inputs)
        judges[rows] += 1
    rows = np.flatnonzero(judges)
    return total[rows] / judges[rows, None], rows
