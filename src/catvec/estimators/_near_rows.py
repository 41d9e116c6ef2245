r"""Whether rows that stand near each other in a table are alike beyond what their columns say.

Tables are often written as things happen, and what befell a day befell all of its rows. A row held
out at random is then judged by a model that has seen its neighbours, which flatters whatever learns
by heart what they have in common; rows to come have no neighbours. So such rows are held out in
blocks (Roberts et al. 2017, Cross-validation strategies for data with temporal, spatial,
hierarchical, or phylogenetic structure, Ecography 40). On nycflights, whose columns tell the month
and the weekday but not the day, the AUC on whole days apart was 0.609 with rows held out at random,
and 0.67 to 0.70 with blocks of 2,048 to 8,192, or with days as groups.

What rows have in common is the autocorrelation of residuals at lag :math:`k`,

.. math:: \rho_k = \frac{\operatorname{mean}_i\, r_i r_{i+k}}{\operatorname{mean}_i\, r_i^2},

over pairs that share no rare category: these are alike for a reason that the model learns, and that
rows to come may have, too.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from catvec.frames import Target

MOST_ROWS = 500_000  # that are looked at, the first ones
MOST_PAIRS = 100_000  # of rows, by lag
MOST_CLASSES = 8  # of the target, the most frequent ones
N_BINS = 32  # of a number
PRIOR_ROWS = 10.0  # that the mean of a category is shrunk by
COMMON = 0.01  # share of the rows from which a category is not rare
N_LEVEL = 4  # of the lags 1, 2, 4, ..., the first ones say how alike neighbours are
LEAST = 0.05  # autocorrelation, and
CERTAIN = 5.0  # standard errors of it, from which neighbours are alike
FADED = 0.2  # part of it below which rows are no neighbours any more
LENGTHS = 8  # lags at which it has faded, in a block: of a shorter one most rows have neighbours
FEWEST_BLOCKS = 20  # with fewer, the rows differ along the whole table, and no cut helps


def rows_together(
    codes: np.ndarray, numbers: np.ndarray, values: np.ndarray, target: Target
) -> int:
    """How many rows, side by side, are to be held out together.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns), int32
    numbers : ndarray of shape (n_rows, n_numbers), float64
    values : ndarray of shape (n_rows,), float64
        The target, as `Target.values` gives it.
    target : Target

    Returns
    -------
    int
        1 where neighbours are no more alike than others, or are alike along the whole table, as
        where it is sorted by the target.
    """
    n = min(len(values), MOST_ROWS)
    lags = [1 << i for i in range(max(n // (LENGTHS * FEWEST_BLOCKS), 1).bit_length())]
    if len(lags) <= N_LEVEL:
        return 1
    codes = codes[:n]
    columns = [*codes.T, *(_binned(number) for number in numbers[:n].T)]
    residual = _residual(_outcome(values[:n], target), columns)
    rare = [np.bincount(column)[column] < COMMON * n for column in codes.T]
    alike, n_pairs = zip(*(_autocorrelation(residual, codes, rare, k) for k in lags), strict=True)
    level, certain = np.mean(alike[:N_LEVEL]), CERTAIN / max(min(n_pairs[:N_LEVEL]), 1) ** 0.5
    if not level > max(LEAST, certain):
        return 1
    faded = (k for k, rho in zip(lags, alike, strict=True) if rho < FADED * level)
    return LENGTHS * next(faded, 0) or 1


def _outcome(values: np.ndarray, target: Target) -> np.ndarray:
    """What is to be explained, (n_rows, k): ranks, whatever the scale; or classes as 0 and 1."""
    if target.classes is None:
        return rankdata(values)[:, None] / len(values)
    most = np.argsort(-np.bincount(values.astype(np.int64)), kind="stable")[:MOST_CLASSES]
    return (values[:, None] == most).astype(np.float64)


def _binned(number: np.ndarray) -> np.ndarray:
    """The bin of each number, all equally full; 0 for missing ones."""
    known = ~np.isnan(number)
    bins = np.zeros(len(number), np.int64)
    if known.any():
        share = rankdata(number[known]) / known.sum()  # equal ones share a bin
        bins[known] = 1 + np.minimum((share * N_BINS).astype(np.int64), N_BINS - 1)
    return bins


def _residual(outcome: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """What shrunk means by column, one after the other, leave of the outcome."""
    residual = outcome - outcome.mean(axis=0)
    for column in columns:
        counts = np.bincount(column)[:, None] + PRIOR_ROWS
        sums = np.stack([np.bincount(column, r) for r in residual.T], axis=1)
        residual = residual - (sums / counts)[column]
    return residual


def _autocorrelation(
    residual: np.ndarray, codes: np.ndarray, rare: list[np.ndarray], lag: int
) -> tuple[float, int]:
    """How alike rows at this lag are, and by how many pairs."""
    n = len(residual) - lag
    first = np.linspace(0, n - 1, min(n, MOST_PAIRS)).astype(np.int64)
    second = first + lag
    apart = np.ones(len(first), bool)
    for column, is_rare in zip(codes.T, rare, strict=True):
        apart &= ~((column[first] == column[second]) & is_rare[first])
    variance = float((residual**2).sum(axis=1).mean())
    products = (residual[first[apart]] * residual[second[apart]]).sum(axis=1)
    if not len(products) or variance <= 0:
        return 0.0, 0
    return float(products.mean()) / variance, len(products)
