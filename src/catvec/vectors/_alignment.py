r"""Putting the vectors of different fits into one basis.

A network is free to turn the space of its vectors and to shift it, since its next layer turns and
shifts it back; so those of two fits cannot be compared entry by entry. The shift that brings two
tables' weighted means together and the orthogonal matrix that then brings one table closest to the
other undo that. With v and r less their means,

.. math:: Q = \arg\min_{Q^T Q = I} \sum_i n_i \lVert v_i Q - r_i \rVert^2 = U W^T,
   \quad U \Sigma W^T = V^T \operatorname{diag}(n) R

(Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 1966; the
weights n as in weighted Procrustes). Distances within a table do not change.

They differ between fits to different numbers of rows: with fewer, a prior holds vectors nearer to
their mean. A model that learns from the vectors of folds and is given those of a fit to all rows
sets its thresholds where the one kind leaves a gap: of air times of nycflights boosting took San
Francisco for Honolulu, since the whole fit's vectors were a tenth longer than its folds' (R2 on
rows apart 0.70, and 0.99 in one scale). So the tables of K folds are spread about their means by

.. math:: s^2 = \frac{\sum_i n_i \lVert r_i \rVert^2}
   {\frac{1}{K} \sum_k \sum_i n_i \lVert v_{ki} \rVert^2},

which is one number for all of them. With a number each, those of a column of two categories would
be the reference itself, which has seen what a fold has not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from catvec._checks import refuse
from catvec.errors import ParameterError

CHUNK = 65_536  # rows converted to float64 at a time, so that a large table needs no second copy

Floats = npt.NDArray[np.float32]


def rotation(
    vectors: npt.NDArray[np.floating],
    reference: npt.NDArray[np.floating],
    counts: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float64]:
    """The orthogonal matrix that brings `vectors` closest to `reference`.

    Parameters
    ----------
    vectors, reference : ndarray of shape (n_codes, d)
        Rows of the same categories in the same order.
    counts : array-like of shape (n_codes,), optional
        Weights of the rows, such as how often each category was seen; equal if not given.

    Returns
    -------
    ndarray of shape (d, d), float64
        To be multiplied from the right. It may reflect. Directions of which the weighted rows say
        nothing turn as little as possible; with no weight at all it is the identity.

    Raises
    ------
    ParameterError
        If the shapes differ, or a weight is negative or not finite.
    """
    if vectors.ndim != 2 or vectors.shape != reference.shape:
        raise refuse("vectors", f"of the reference's shape {reference.shape}", vectors.shape)
    weights = _checked_weights(counts, len(vectors))
    center, reference_center = _mean(vectors, weights), _mean(reference, weights)
    product = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), CHUNK):
        rows = slice(start, start + CHUNK)
        weighted = (vectors[rows] - center) * weights[rows, None]
        product += weighted.T @ (reference[rows] - reference_center)
    return _closest_orthogonal(product)


def align(
    vectors: npt.NDArray[np.floating],
    reference: npt.NDArray[np.floating],
    counts: npt.ArrayLike | None = None,
    rows: npt.NDArray[np.integer] | None = None,
) -> Floats:
    """Shift and turn `vectors` to where those of `reference` are.

    Parameters
    ----------
    vectors : ndarray of shape (n_codes, d)
        Rows of categories, unknown and missing included.
    reference : ndarray of shape (n_codes, d), or (n, d) with `rows`
        Rows of the same categories in the same order.
    counts : array-like of shape (n_codes,) or (n,), optional
        Weights of the rows of the reference; equal if not given.
    rows : ndarray of shape (n,), int, optional
        Which of the vectors those of the reference are to be compared with, if not all.

    Returns
    -------
    ndarray of shape (n_codes, d), float32
        All rows moved alike; the weighted mean of those compared is that of the reference.

    Raises
    ------
    ParameterError
        As `rotation`.
    """
    compared = vectors if rows is None else vectors[rows]
    weights = _checked_weights(counts, len(compared))
    turn = rotation(compared, reference, counts)
    shift = _mean(reference, weights) - _mean(compared, weights) @ turn
    return _moved(vectors, turn, shift)


def average_aligned(
    tables: Sequence[npt.NDArray[np.floating]], counts: npt.ArrayLike | None = None
) -> Floats:
    """The mean of several tables about their centres, each first turned to lie as the first does.

    Parameters
    ----------
    tables : sequence of ndarray of shape (n_codes, d)
        Vectors of the same categories from different fits; at least one.
    counts : array-like of shape (n_codes,), optional
        Weights of the rows in the alignment; equal if not given.

    Returns
    -------
    ndarray of shape (n_codes, d), float32
        Its weighted mean is 0.

    Raises
    ------
    ParameterError
        If there is no table, or as `rotation`.
    """
    if not tables:
        raise refuse("tables", "a list of at least one table", tables)
    weights = _checked_weights(counts, len(tables[0]))
    turns = [np.eye(tables[0].shape[1]), *(rotation(t, tables[0], counts) for t in tables[1:])]
    result = np.empty(tables[0].shape, np.float32)
    centers = [_mean(table, weights) for table in tables]
    for start in range(0, len(result), CHUNK):
        rows = slice(start, start + CHUNK)
        total = np.zeros(result[rows].shape)
        for table, center, turn in zip(tables, centers, turns, strict=True):
            total += (table[rows] - center) @ turn
        result[rows] = total / len(tables)
    return result


def in_scale(
    tables: Sequence[npt.NDArray[np.floating]],
    reference: npt.NDArray[np.floating],
    counts: npt.ArrayLike | None = None,
) -> list[Floats]:
    """Several tables spread about their means, all by one factor, as far as a reference is.

    Parameters
    ----------
    tables : sequence of ndarray of shape (n_codes, d)
        Vectors of the same categories from different fits, such as those of folds.
    reference : ndarray of shape (n_codes, d)
        Their vectors from the fit that the tables stand in for.
    counts : array-like of shape (n_codes,), optional
        Weights of the rows; equal if not given.

    Returns
    -------
    list of ndarray of shape (n_codes, d), float32
        The mean of the squared spreads is that of the reference; each table's mean is what it was.
        As they are, where none has any spread.

    Raises
    ------
    ParameterError
        If a weight is negative or not finite.
    """
    weights, times = _checked_weights(counts, len(reference)), stretch(tables, reference, counts)
    if times == 1:
        return [np.asarray(table, np.float32) for table in tables]
    turn = np.eye(reference.shape[1]) * times
    return [_moved(table, turn, (1 - times) * _mean(table, weights)) for table in tables]


def stretch(
    tables: Sequence[npt.NDArray[np.floating]],
    reference: npt.NDArray[np.floating],
    counts: npt.ArrayLike | None = None,
) -> float:
    """The factor by which `in_scale` spreads tables; 1 where none has any spread."""
    weights = _checked_weights(counts, len(reference))
    found = sum(_spread(table, weights) for table in tables) / max(len(tables), 1)
    return float(np.sqrt(_spread(reference, weights) / found)) if found > 0 else 1.0


def _spread(vectors: npt.NDArray[np.floating], weights: npt.NDArray[np.float64]) -> float:
    """Weighted mean of the squared distances from the mean."""
    center, total = _mean(vectors, weights), 0.0
    for start in range(0, len(vectors), CHUNK):
        away = vectors[start : start + CHUNK] - center
        total += float(weights[start : start + CHUNK] @ np.einsum("ij,ij->i", away, away))
    return total


def _mean(
    vectors: npt.NDArray[np.floating], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weighted mean of the rows (d,)."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(vectors), CHUNK):
        rows = slice(start, start + CHUNK)
        total += weights[rows] @ vectors[rows].astype(np.float64)
    return total


def _moved(
    vectors: npt.NDArray[np.floating],
    turn: npt.NDArray[np.float64],
    shift: npt.NDArray[np.float64],
) -> Floats:
    """Each row times a matrix, and shifted; in float64."""
    result = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), CHUNK):
        rows = slice(start, start + CHUNK)
        result[rows] = vectors[rows].astype(np.float64) @ turn + shift
    return result


def _closest_orthogonal(product: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The orthogonal factor of a square matrix, as near the identity as it leaves open.

    With rank r, any orthogonal map between the null spaces U2 and W2 minimises the sum. The one
    taken is itself the solution of a Procrustes problem: bring U2 closest to W2.
    """
    left, sizes, right = np.linalg.svd(product)
    rank = int((sizes > len(sizes) * np.finfo(float).eps * sizes.max(initial=0.0)).sum())
    null_left, null_right = left[:, rank:], right[rank:].T
    u, _, w = np.linalg.svd(null_left.T @ null_right)
    return np.asarray(left[:, :rank] @ right[:rank] + null_left @ u @ w @ null_right.T)


def _checked_weights(counts: npt.ArrayLike | None, n: int) -> npt.NDArray[np.float64]:
    weights = np.ones(n) if counts is None else np.asarray(counts, dtype=np.float64)
    if weights.shape != (n,):
        raise refuse("counts", f"of shape ({n},)", weights.shape)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ParameterError("`counts` must be finite and at least 0")
    total = weights.sum()
    return np.asarray(weights / total if total > 0 else weights)
