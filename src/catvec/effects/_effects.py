r"""Effects: how much a category shifts the target, shrunk by empirical Bayes.

For a column with categories k seen with total weight :math:`n_k`, mean target :math:`m_k` and
overall mean :math:`m`,

.. math::
    c_k = \frac{n_k}{n_k + \kappa}, \qquad
    e_k = g\bigl(m + c_k (m_k - m)\bigr) - g(m), \qquad
    \kappa = \sigma^2 / \tau^2

with g the link (identity, logit, log), :math:`\sigma^2` the variance of the target within
categories and :math:`\tau^2` the variance of the true means between them, both by moments. The
shrunk mean is the posterior mean under a normal prior for measures, a beta (Dirichlet) prior for
classes and a gamma prior for counts: all of them have this one form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from catvec.frames import Lists

STRONGEST = 1e9  # a column whose categories do not differ has no evidence to offer


@dataclass(frozen=True, eq=False)
class Evidence:
    """What effects are learned from.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_columns), int32
    n_codes : tuple of int
        Codes of each column.
    values : ndarray of shape (n_rows,), float64
        The target; class numbers for classes.
    task : str
        As `catvec.frames.Target.task`.
    n_classes : int
        Classes of a multiclass target, else 1.
    weight : ndarray of shape (n_rows,), float64
        Weights; a row of weight 2 counts as two rows.
    lists : mapping of int to Lists
        By column whose cells are lists their codes: a row counts for each as much as its share.
    """

    codes: np.ndarray
    n_codes: tuple[int, ...]
    values: np.ndarray
    task: str
    n_classes: int
    weight: np.ndarray
    lists: Mapping[int, Lists] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> Evidence:
        """The same of some of the rows."""
        return Evidence(
            self.codes[rows],
            self.n_codes,
            self.values[rows],
            self.task,
            self.n_classes,
            self.weight[rows],
            {column: lists.take(rows) for column, lists in self.lists.items()},
        )


@dataclass(frozen=True, eq=False)
class Effect:
    """Effects of the categories of one column.

    Attributes
    ----------
    effects : ndarray of shape (n_codes, n_outputs), float32
        Shift of the target on the link scale; 0 for codes without rows.
    confidences : ndarray of shape (n_codes,), float32
        ``n / (n + strength)``, from 0 to 1.
    strength : float
        Weight of the prior, in rows: a category with as many rows is believed half.
    """

    effects: np.ndarray
    confidences: np.ndarray
    strength: float


@dataclass(frozen=True, eq=False)
class Statistics:
    """All that effects need to know of rows: their sufficient statistics, which add up.

    Attributes
    ----------
    weights : tuple of ndarray of shape (n_codes,), float64
        By column the weight of the rows of each code.
    sums : tuple of ndarray of shape (n_codes, n_outputs), float64
        By column the weighted sums of the target; of the indicators of classes, if several.
    totals : ndarray of shape (n_outputs + 1,), float64
        Weight of all rows, and their sums.
    squares : float
        Sum of squares of the target about its mean; 0 for several classes, whose sums tell it.
    """

    weights: tuple[np.ndarray, ...]
    sums: tuple[np.ndarray, ...]
    totals: np.ndarray
    squares: float

    @classmethod
    def of(cls, evidence: Evidence) -> Statistics:
        """Those of some rows."""
        found = [_sums(evidence, column) for column in range(len(evidence.n_codes))]
        weight, values = evidence.weight, evidence.values
        if evidence.n_classes == 1:
            sums, squares = [weight @ values], _about_mean(weight, values)
        else:
            classes = values.astype(np.int64)
            sums, squares = np.bincount(classes, weight, evidence.n_classes).tolist(), 0.0
        totals = np.array([weight.sum(), *sums])
        return cls(tuple(n for n, _ in found), tuple(s for _, s in found), totals, squares)

    def plus(self, other: Statistics) -> Statistics:
        """Those of the rows of both, which have the same codes.

        The squares by the update of Chan, Golub & LeVeque (1983, The American Statistician 37),
        equation 2.1, which does not cancel digits as a difference of large sums would.
        """
        n, m = self.totals[0], other.totals[0]
        squares = self.squares + other.squares
        if len(self.totals) == 2 and n > 0 and m > 0:
            squares += (self.totals[1] / n - other.totals[1] / m) ** 2 * n * m / (n + m)
        return Statistics(
            tuple(a + b for a, b in zip(self.weights, other.weights, strict=True)),
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            self.totals + other.totals,
            float(squares),
        )

    def times(self, factor: float) -> Statistics:
        """Those of the same rows with `factor` times their weight: less, to forget them."""
        return Statistics(
            tuple(factor * n for n in self.weights),
            tuple(factor * sums for sums in self.sums),
            factor * self.totals,
            factor * self.squares,
        )

    def moved(self, onto: Sequence[np.ndarray], n_codes: Sequence[int]) -> Statistics:
        """Those of the same rows under other codes.

        Parameters
        ----------
        onto : sequence of ndarray of shape (n_codes,), int
            By column the new code of each old one; what comes together is added up.
        n_codes : sequence of int
            New codes of each column.
        """
        weights, sums = [], []
        of_columns = zip(self.weights, self.sums, onto, n_codes, strict=True)
        for weight, of_codes, to, size in of_columns:
            weights.append(np.bincount(to, weight, size))
            by_output = [np.bincount(to, column, size) for column in of_codes.T]
            sums.append(np.stack(by_output, axis=1))
        return Statistics(tuple(weights), tuple(sums), self.totals, self.squares)


class RunningStatistics:
    """Statistics of rows that come in parts, added up in place: for many codes and many parts.

    Parameters
    ----------
    n_codes : sequence of int
        Codes of each column.
    n_classes : int
        As of `Evidence`.
    """

    def __init__(self, n_codes: Sequence[int], n_classes: int) -> None:
        self._weights = tuple(np.zeros(n) for n in n_codes)
        self._sums = tuple(np.zeros((n, n_classes)) for n in n_codes)
        self._whole = Statistics((), (), np.zeros(n_classes + 1), 0.0)

    def add(self, evidence: Evidence) -> None:
        """Add some rows; code by code in their order, so that parts change no sum by a bit."""
        weight, values = evidence.weight, evidence.values
        for c, (weights, sums) in enumerate(zip(self._weights, self._sums, strict=True)):
            codes = evidence.codes[:, c]
            np.add.at(weights, codes, weight)
            if evidence.n_classes == 1:
                np.add.at(sums[:, 0], codes, weight * values)
            else:
                np.add.at(sums, (codes, values.astype(np.int64)), weight)
        self._whole = self._whole.plus(Statistics.of(replace(evidence, n_codes=())))

    def statistics(self) -> Statistics:
        """Those of all rows so far."""
        return replace(self._whole, weights=self._weights, sums=self._sums)


def learn_effects(evidence: Evidence) -> list[Effect]:
    """Effects of every column.

    Parameters
    ----------
    evidence : Evidence
        Training rows.

    Returns
    -------
    list of Effect
        One by column.
    """
    return effects_of(Statistics.of(evidence), evidence.task)


def effects_of(statistics: Statistics, task: str) -> list[Effect]:
    """Effects of every column, from the statistics of the rows.

    Parameters
    ----------
    statistics : Statistics
        Of the training rows.
    task : str
        As `catvec.frames.Target.task`.

    Returns
    -------
    list of Effect
        One by column.
    """
    squares = statistics.squares
    if len(statistics.totals) > 2:
        share = statistics.totals[1:] / statistics.totals[0]
        squares = float(statistics.totals[0] * (1.0 - (share**2).sum()))
    return [
        _shrunk(n, sums, squares, task)
        for n, sums in zip(statistics.weights, statistics.sums, strict=True)
    ]


def _sums(evidence: Evidence, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight by code (n_codes,), and weighted sum of the target by code (n_codes, n_outputs)."""
    codes, n_codes = evidence.codes[:, column], evidence.n_codes[column]
    weight, values = evidence.weight, evidence.values
    if column in evidence.lists:
        lists = evidence.lists[column].means()
        codes, values = lists.codes, np.repeat(values, lists.lengths)
        weight = np.repeat(weight, lists.lengths) * lists.shares
    n = np.bincount(codes, weight, n_codes)
    if evidence.n_classes == 1:
        return n, np.bincount(codes, weight * values, n_codes)[:, None]
    cell = codes.astype(np.int64) * evidence.n_classes + values.astype(np.int64)
    sums = np.bincount(cell, weight, n_codes * evidence.n_classes)
    return n, sums.reshape(n_codes, evidence.n_classes)


def _about_mean(weight: np.ndarray, values: np.ndarray) -> float:
    """Weighted sum of squares about the weighted mean."""
    if not weight.sum() > 0:
        return 0.0
    return float(np.sum(weight * (values - np.average(values, weights=weight)) ** 2))


def _shrunk(n: np.ndarray, sums: np.ndarray, squares: float, task: str) -> Effect:
    if not n.sum() > 0:  # rows without weight, as a fold may have: nothing is known
        nothing = np.zeros(sums.shape, np.float32)
        return Effect(nothing, nothing[:, 0], STRONGEST)
    mean = sums.sum(axis=0) / n.sum()  # (n_outputs,)
    means = np.divide(sums, n[:, None], out=np.tile(mean, (len(n), 1)), where=n[:, None] > 0)
    strength = _strength(n, means - mean, squares)
    confidence = n / (n + strength)
    shrunk = mean + confidence[:, None] * (means - mean)
    effects = link(shrunk, task) - link(mean, task)
    return Effect(effects.astype(np.float32), confidence.astype(np.float32), strength)


def _strength(n: np.ndarray, shifts: np.ndarray, squares: float) -> float:
    r"""Weight of the prior, :math:`\sigma^2 / \tau^2`, by moments of one-way analysis of variance.

    With N the weight of all rows, G the categories seen and :math:`d_k` their shifts,
    :math:`\sigma^2 = (S - \sum n_k d_k^2) / (N - G)` and
    :math:`\tau^2 = (\sum n_k d_k^2 - (G - 1) \sigma^2) / (N - \sum n_k^2 / N)`, where S is the sum
    of squares about the mean (Searle, Casella & McCulloch 1992, Variance Components, section 3.6).
    """
    total, groups = n.sum(), np.count_nonzero(n)
    between = float((n[:, None] * shifts**2).sum())
    room = total - (n**2).sum() / total  # 0 for a constant column
    if total <= groups or room <= 0 or squares <= 0:
        return STRONGEST
    within = max(squares - between, 0.0) / (total - groups)
    tau = (between - (groups - 1) * within) / room
    # Even a column that explains the target fully keeps a trace of doubt about a single row.
    return float(np.clip(within / tau, 1e-3, STRONGEST)) if tau > 0 else STRONGEST


def link(mean: np.ndarray, task: str) -> np.ndarray:
    """Means on the link scale: themselves, logits or logarithms."""
    if task == "regression":
        return mean
    tiny = 1e-9
    if task == "binary":
        inside = np.clip(mean, tiny, 1 - tiny)
        return np.log(inside) - np.log1p(-inside)
    return np.log(np.maximum(mean, tiny))
