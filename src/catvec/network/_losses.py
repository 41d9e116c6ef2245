r"""Losses of one row, their derivatives by the score, their starting scores and inverse links.

A score s is what the network's head gives, on the link scale; t is the target.

=========== ======================================= ================ ======================
name        loss of a row                           derivative       prediction
=========== ======================================= ================ ======================
squared     :math:`(s - t)^2 / 2`                   s - t            s
absolute    :math:`|s - t|`                         sign(s - t)      s
quantile    :math:`\max(q (t - s), (q - 1)(t - s))` 1[s > t] - q     s
logistic    :math:`\log(1 + e^s) - t s`             sigmoid(s) - t   sigmoid(s)
softmax     :math:`\log \sum_k e^{s_k} - s_t`       softmax(s) - 1_t softmax(s)
poisson     :math:`e^s - t s`                       exp(s) - t       exp(s)
=========== ======================================= ================ ======================

Each is a negative log-likelihood up to a constant (squared: with unit variance; absolute and
quantile: of a Laplace distribution), so that adding a Gaussian prior over vectors makes sense.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import expit

from catvec._checks import check_float, check_int, check_option
from catvec.errors import ParameterError
from catvec.network._kernels import Array

__all__ = ["LOSSES", "Loss", "make_loss"]


class Loss(ABC):
    """A loss between scores (n, n_outputs) and targets (n,)."""

    n_outputs = 1

    @abstractmethod
    def values(self, scores: Array, target: Array) -> Array:
        """Loss of each row (n,)."""

    @abstractmethod
    def slopes(self, scores: Array, target: Array) -> Array:
        """Derivative of each row's loss by its scores (n, n_outputs)."""

    @abstractmethod
    def initial(self, target: Array, weight: Array | None = None) -> Array:
        """The constant scores (n_outputs,), float64, that fit the targets best."""

    @abstractmethod
    def mean(self, scores: Array) -> Array:
        """Inverse link: (n,), or (n, n_outputs) for several outputs."""

    def value(self, scores: Array, target: Array, weight: Array | None = None) -> float:
        """Weighted mean of the loss; 0 for no rows."""
        return _mean(self.values(scores, target), weight)


def make_loss(name: str, n_outputs: int = 1, quantile: float | None = None) -> Loss:
    """Return the loss called `name`.

    Parameters
    ----------
    name : {"squared", "absolute", "quantile", "logistic", "softmax", "poisson"}
    n_outputs : int
        Number of classes for "softmax", else 1.
    quantile : float in (0, 1), optional
        For "quantile" only; 0.5 when left out.

    Raises
    ------
    ParameterError
        If the name is none of these, `n_outputs` does not fit it or `quantile` is out of range.
    """
    check_option("loss", name, LOSSES)
    if name == "softmax":
        return Softmax(check_int("n_outputs", n_outputs, minimum=2))
    if n_outputs != 1:
        raise ParameterError(f"`n_outputs` must be 1 for the loss {name!r}, got {n_outputs!r}")
    if name == "quantile":
        level = 0.5 if quantile is None else quantile
        return Quantile(check_float("quantile", level, minimum=0.0, maximum=1.0, strict=True))
    return _SIMPLE[name]()


class Squared(Loss):
    """Half the squared error: the target's mean."""

    def values(self, scores: Array, target: Array) -> Array:
        return 0.5 * (scores[:, 0] - target) ** 2

    def slopes(self, scores: Array, target: Array) -> Array:
        return scores - target[:, None]

    def initial(self, target: Array, weight: Array | None = None) -> Array:
        return np.array([_mean(target, weight)])

    def mean(self, scores: Array) -> Array:
        return scores[:, 0]


class Quantile(Loss):
    """Pinball loss: the target's quantile of level `level` (Koenker & Bassett 1978)."""

    def __init__(self, level: float) -> None:
        self.level = level

    def values(self, scores: Array, target: Array) -> Array:
        above = target - scores[:, 0]
        return np.maximum(self.level * above, (self.level - 1.0) * above)

    def slopes(self, scores: Array, target: Array) -> Array:
        error = scores - target[:, None]
        step = (error > 0).astype(scores.dtype) - scores.dtype.type(self.level)
        slopes: Array = np.where(error == 0, scores.dtype.type(0), step)
        return slopes

    def initial(self, target: Array, weight: Array | None = None) -> Array:
        return np.array([_weighted_quantile(target, weight, self.level)])

    def mean(self, scores: Array) -> Array:
        return scores[:, 0]


class Absolute(Loss):
    """Absolute error: the target's median."""

    def values(self, scores: Array, target: Array) -> Array:
        values: Array = np.abs(scores[:, 0] - target)
        return values

    def slopes(self, scores: Array, target: Array) -> Array:
        slopes: Array = np.sign(scores - target[:, None])
        return slopes

    def initial(self, target: Array, weight: Array | None = None) -> Array:
        return np.array([_weighted_quantile(target, weight, 0.5)])

    def mean(self, scores: Array) -> Array:
        return scores[:, 0]


class Logistic(Loss):
    """Negative log-likelihood of a target of 0 and 1 (or a probability); the score is a logit."""

    def values(self, scores: Array, target: Array) -> Array:
        values: Array = np.logaddexp(scores.dtype.type(0), scores[:, 0]) - target * scores[:, 0]
        return values

    def slopes(self, scores: Array, target: Array) -> Array:
        slopes: Array = expit(scores) - target[:, None]
        return slopes

    def initial(self, target: Array, weight: Array | None = None) -> Array:
        rate = _mean(target, weight)
        # One half more of each class keeps the logit finite where a class is absent.
        n = len(target) + 1.0
        rate = (rate * len(target) + 0.5) / n
        return np.array([np.log(rate / (1.0 - rate))])

    def mean(self, scores: Array) -> Array:
        rates: Array = expit(scores[:, 0])
        return rates


class Softmax(Loss):
    """Negative log-likelihood of a class; targets are class numbers 0 .. n_outputs - 1."""

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs

    def values(self, scores: Array, target: Array) -> Array:
        picked = np.arange(len(target)), target.astype(np.intp)
        return _log_sum_exp(scores) - scores[picked]

    def slopes(self, scores: Array, target: Array) -> Array:
        slopes = self.mean(scores)
        slopes[np.arange(len(target)), target.astype(np.intp)] -= 1
        return slopes

    def initial(self, target: Array, weight: Array | None = None) -> Array:
        classes = target.astype(np.intp)
        counts = np.bincount(classes, weights=weight, minlength=self.n_outputs)
        share = (counts + 0.5) / (counts.sum() + 0.5 * self.n_outputs)
        scores: Array = np.log(share) - np.log(share).mean()
        return scores

    def mean(self, scores: Array) -> Array:
        # Plain NumPy: scipy's softmax costs a small batch more than the layers before it.
        shares: Array = np.exp(scores - _log_sum_exp(scores)[:, None])
        return shares


class Poisson(Loss):
    """Negative log-likelihood of a count, without the term of the target alone."""

    def values(self, scores: Array, target: Array) -> Array:
        values: Array = np.exp(scores[:, 0]) - target * scores[:, 0]
        return values

    def slopes(self, scores: Array, target: Array) -> Array:
        slopes: Array = np.exp(scores) - target[:, None]
        return slopes

    def initial(self, target: Array, weight: Array | None = None) -> Array:
        mean = _mean(target, weight)
        if mean <= 0:  # half an event keeps the logarithm finite where nothing was counted
            mean = 0.5 / ((len(target) if weight is None else float(weight.sum())) + 0.5)
        return np.array([np.log(mean)])

    def mean(self, scores: Array) -> Array:
        rates: Array = np.exp(scores[:, 0])
        return rates


_SIMPLE: dict[str, type[Loss]] = {
    "squared": Squared,
    "absolute": Absolute,
    "logistic": Logistic,
    "poisson": Poisson,
}
LOSSES = ("squared", "absolute", "quantile", "logistic", "softmax", "poisson")
"""Names that `make_loss` knows."""


def _log_sum_exp(scores: Array) -> Array:
    top = scores.max(axis=1)
    logs: Array = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return logs


def _mean(values: Array, weight: Array | None) -> float:
    """Weighted mean in float64; 0 where there is nothing to average."""
    if weight is None:
        return float(np.mean(values, dtype=np.float64)) if len(values) else 0.0
    total = float(np.sum(weight, dtype=np.float64))
    return float(np.dot(values.astype(np.float64), weight)) / total if total > 0 else 0.0


def _weighted_quantile(values: Array, weight: Array | None, level: float) -> float:
    """Smallest value with at least the share `level` of the weight at or below it."""
    if not len(values):
        return 0.0
    order = np.argsort(values, kind="stable")
    share = np.ones(len(values)) if weight is None else np.asarray(weight, np.float64)[order]
    cumulated = np.cumsum(share)
    place = np.searchsorted(cumulated, level * cumulated[-1], side="left")
    return float(values[order[min(int(place), len(values) - 1)]])
