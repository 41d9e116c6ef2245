"""Scores of predictions on held-out rows, each beside that of a constant prediction."""

from __future__ import annotations

import numpy as np
from sklearn import metrics

from catvec.frames import Target

Scores = dict[str, dict[str, float]]


def held_out_scores(
    target: Target, y: np.ndarray, prediction: np.ndarray, train: np.ndarray
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
    train : ndarray of shape (n_train,), float64
        The target of the training rows.

    Returns
    -------
    dict
        By metric ``{"model": ..., "constant": ...}``.
    """
    if target.classes is not None:
        shares = np.bincount(train.astype(np.int64), minlength=len(target.classes)) / len(train)
        by_model = _class_scores(y, prediction)
        by_constant = _class_scores(y, np.tile(shares, (len(y), 1)))
    else:
        score = _count_scores if target.task == "count" else _regression_scores
        by_model = score(y, prediction)
        by_constant = score(y, np.full(len(y), train.mean()))
        # The mean is best for the others, but the median for absolute errors.
        by_constant["MAE"] = float(np.abs(y - np.median(train)).mean())
    return {
        name: {"model": value, "constant": by_constant[name]} for name, value in by_model.items()
    }


def _regression_scores(y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    scores = {
        "RMSE": metrics.root_mean_squared_error(y, prediction),
        "MAE": metrics.mean_absolute_error(y, prediction),
    }
    if len(y) > 1:
        scores["R2"] = metrics.r2_score(y, prediction)
    return {name: float(value) for name, value in scores.items()}


def _count_scores(y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    deviance = metrics.mean_poisson_deviance(y, np.maximum(prediction, 1e-9))
    return {"PoissonDeviance": float(deviance), **_regression_scores(y, prediction)}


def _class_scores(y: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    labels = np.arange(probability.shape[1])
    scores = {"LogLoss": metrics.log_loss(y, probability, labels=labels)}
    if len(labels) == 2 and 0 < y.mean() < 1:
        scores["AUC"] = metrics.roc_auc_score(y, probability[:, 1])
    scores["Accuracy"] = metrics.accuracy_score(y, probability.argmax(axis=1))
    return {name: float(value) for name, value in scores.items()}
