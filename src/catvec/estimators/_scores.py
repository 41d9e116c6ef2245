"""Scores of predictions on held-out rows, each beside that of a constant prediction."""

from __future__ import annotations

import numpy as np
from sklearn import metrics

from catvec.frames import Target

Scores = dict[str, dict[str, float]]


def held_out_scores(
    target: Target,
    y: np.ndarray,
    prediction: np.ndarray,
    weight: np.ndarray | None,
    train: np.ndarray,
    train_weight: np.ndarray | None,
    quantile: float | None = None,
) -> Scores:
    """Score predictions, and the constant that is best on the training rows.

    Parameters
    ----------
    target : Target
        The kind of task.
    y : ndarray of shape (n_rows,), float64
        The truth; class numbers for classes.
    prediction : ndarray of shape (n_rows,) or (n_rows, n_classes), float64
        Probabilities for classes; else the prediction of `y`.
    weight : ndarray of shape (n_rows,), float64, or None
        Of the rows; None for ones.
    train : ndarray of shape (n_train,), float64
        The target of the training rows.
    train_weight : ndarray of shape (n_train,), float64, or None
        Of these.
    quantile : float, optional
        That was predicted, in place of a mean or a median.

    Returns
    -------
    dict
        By metric ``{"model": ..., "constant": ...}``.
    """
    if weight is not None and not weight.any():  # of rows that count nothing all count the same
        weight = None
    if target.classes is not None:
        rows = np.bincount(train.astype(np.int64), train_weight, len(target.classes))
        by_model = _class_scores(y, prediction, weight)
        by_constant = _class_scores(y, np.tile(rows / rows.sum(), (len(y), 1)), weight)
    elif quantile is not None:
        by_model = _quantile_scores(y, prediction, weight, quantile)
        constant = np.full(len(y), _quantile(train, train_weight, quantile))
        by_constant = _quantile_scores(y, constant, weight, quantile)
    else:
        score = _count_scores if target.task == "count" else _regression_scores
        by_model = score(y, prediction, weight)
        mean = np.average(train, weights=train_weight)
        by_constant = score(y, np.full(len(y), mean), weight)
        # The mean is best for the others, but the median for absolute errors.
        median = np.full(len(y), _quantile(train, train_weight, 0.5))
        by_constant["MAE"] = metrics.mean_absolute_error(y, median, sample_weight=weight)
    return {
        name: {"model": value, "constant": by_constant[name]} for name, value in by_model.items()
    }


def _quantile(values: np.ndarray, weight: np.ndarray | None, quantile: float) -> float:
    if weight is None:
        return float(np.quantile(values, quantile))
    return float(np.quantile(values, quantile, weights=weight, method="inverted_cdf"))


def _regression_scores(
    y: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None
) -> dict[str, float]:
    scores = {
        "RMSE": metrics.root_mean_squared_error(y, prediction, sample_weight=weight),
        "MAE": metrics.mean_absolute_error(y, prediction, sample_weight=weight),
    }
    if len(y) > 1:
        scores["R2"] = metrics.r2_score(y, prediction, sample_weight=weight)
    return {name: float(value) for name, value in scores.items()}


def _quantile_scores(
    y: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None, quantile: float
) -> dict[str, float]:
    """The loss of a quantile (Koenker & Bassett 1978), and the share of rows that it covers."""
    loss = metrics.mean_pinball_loss(y, prediction, sample_weight=weight, alpha=quantile)
    covered = np.average(y <= prediction, weights=weight)
    return {"PinballLoss": float(loss), "Coverage": float(covered)}


def _count_scores(
    y: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None
) -> dict[str, float]:
    positive = np.maximum(prediction, 1e-9)
    deviance = metrics.mean_poisson_deviance(y, positive, sample_weight=weight)
    return {"PoissonDeviance": float(deviance), **_regression_scores(y, prediction, weight)}


def _class_scores(
    y: np.ndarray, probability: np.ndarray, weight: np.ndarray | None
) -> dict[str, float]:
    labels, weights = np.arange(probability.shape[1]), dict(sample_weight=weight)
    scores = {"LogLoss": metrics.log_loss(y, probability, labels=labels, **weights)}
    if len(labels) == 2 and 0 < np.average(y, weights=weight) < 1:
        scores["AUC"] = metrics.roc_auc_score(y, probability[:, 1], **weights)
    scores["Accuracy"] = metrics.accuracy_score(y, probability.argmax(axis=1), **weights)
    return {name: float(value) for name, value in scores.items()}
