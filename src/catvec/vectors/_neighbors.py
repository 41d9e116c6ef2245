"""Which vectors point most nearly the same way: exact cosines in NumPy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from catvec._packing import PackedRows
from catvec.vectors._precision import StoredNumbers

CHUNK = 65_536  # rows converted to float64 at a time, so that a large table needs no second copy


def unit(vector: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """A vector scaled to length 1; a zero vector stays zero.

    Parameters
    ----------
    vector : ndarray of shape (d,)

    Returns
    -------
    ndarray of shape (d,), float64
    """
    vector = vector.astype(np.float64)
    length = np.sqrt(vector @ vector)
    return np.asarray(vector / length if length > 0 else vector)


def cosines(
    vectors: npt.NDArray[np.float32] | StoredNumbers | PackedRows, query: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Cosine of each row with a query.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32, StoredNumbers or PackedRows
    query : ndarray of shape (d,)

    Returns
    -------
    ndarray of shape (n,), float64
        From -1 to 1; 0 where the row or the query is a zero vector. Equal rows have equal cosines.
    """
    direction = unit(query)
    result = np.zeros(len(vectors))
    for start in range(0, len(vectors), CHUNK):
        block = vectors[start : start + CHUNK].astype(np.float64)
        # einsum, since a BLAS product may round equal rows differently by where they stand.
        along = np.einsum("ij,j->i", block, direction)
        length = np.sqrt(np.einsum("ij,ij->i", block, block))
        np.divide(along, length, out=result[start : start + CHUNK], where=length > 0)
    return np.clip(result, -1.0, 1.0, out=result)


def nearest(
    vectors: npt.NDArray[np.float32] | StoredNumbers | PackedRows,
    query: npt.NDArray[np.floating],
    topn: int,
    exclude: Iterable[int] = (),
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """The rows of the highest cosines with a query.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32, StoredNumbers or PackedRows
    query : ndarray of shape (d,)
    topn : int
        How many rows to give, at most.
    exclude : iterable of int
        Rows to leave out; negative ones are ignored.

    Returns
    -------
    rows : ndarray of shape (<= topn,), intp
        The highest cosine first; among equal ones the first row first.
    cosines : ndarray of the same shape, float64

    Notes
    -----
    O(n d) time, and 8 bytes for each row beside the table.
    """
    scores = cosines(vectors, query)
    left_out = {row for row in exclude if row >= 0}
    scores[list(left_out)] = -np.inf
    rows = _highest(scores, min(topn, len(scores) - len(left_out)))
    return rows, scores[rows]


def _highest(scores: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.intp]:
    """The places of the `n` highest scores, in order; ties by place, also at the cut."""
    if n <= 0:
        return np.zeros(0, np.intp)
    cut = np.partition(scores, len(scores) - n)[len(scores) - n]
    above = np.flatnonzero(scores > cut)
    ties = np.flatnonzero(scores == cut)[: n - len(above)]
    rows = np.sort(np.concatenate([above, ties]))
    return rows[np.argsort(-scores[rows], kind="stable")]
