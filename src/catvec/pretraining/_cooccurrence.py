"""Vectors from counts: shifted positive pointwise mutual information, and its leading directions.

After Levy & Goldberg 2014 (NIPS) and Levy, Goldberg & Dagan 2015 (TACL 3), who show that this is
what skip-gram with negative sampling factorises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp

OVERSAMPLING = 10  # Halko, Martinsson & Tropp 2011 (SIAM Review 53), section 1.3: 5 or 10


def information(counts: sp.csr_array, *, smoothing: float, scale: float = 1.0) -> sp.csr_array:
    r"""Pointwise mutual information of each pair that meets.

    .. math:: I_{ij} = \log \frac{n_{ij}\, s}{n_i\, p_j}, \quad
              p_j = n_j^{\alpha} / \sum_l n_l^{\alpha}

    Parameters
    ----------
    counts : csr_array of shape (n, n), float64
        Symmetric weights of pairs.
    smoothing : float
        Alpha, the exponent of the context distribution.
    scale : float, default=1.0
        s: the share of pairs that could occur at all.

    Returns
    -------
    csr_array of shape (n, n), float32

    References
    ----------
    Levy, Goldberg & Dagan 2015, equations 3 and 5.
    """
    totals = np.asarray(counts.sum(axis=1)).ravel()
    contexts = np.where(totals > 0, totals, 1.0) ** smoothing * (totals > 0)
    contexts /= max(contexts.sum(), np.finfo(float).tiny)
    rows = np.repeat(np.arange(len(totals)), np.diff(counts.indptr))
    expected = totals[rows] * contexts[counts.indices]
    values = np.log(counts.data * scale / expected).astype(np.float32)
    return sp.csr_array((values, counts.indices, counts.indptr), counts.shape)


def beyond(matrix: sp.csr_array, bound: float) -> sp.csr_array:
    """What the elements are above a bound; those below it are zero, and not stored."""
    values = matrix.data - np.float32(bound)
    kept = values > 0
    ends = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sp.csr_array((values[kept], matrix.indices[kept], ends), matrix.shape)


def positive_pmi(
    counts: sp.csr_array, *, shift: float, smoothing: float, scale: float = 1.0
) -> sp.csr_array:
    r"""Shifted positive pointwise mutual information, :math:`\max(0, I_{ij} - \log k)`.

    Parameters
    ----------
    counts, smoothing, scale
        As `information` takes them.
    shift : float
        k: the number of negative samples of the skip-gram that this stands for.

    Returns
    -------
    csr_array of shape (n, n), float32
    """
    return beyond(information(counts, smoothing=smoothing, scale=scale), np.log(shift))


def with_itself(matrix: sp.csr_array) -> sp.csr_array:
    """The matrix with the largest element of each row on its diagonal.

    An item is as much like itself as like its best companion. Without it two items that only ever
    meet each other would have no context in common, and be orthogonal.
    """
    largest = matrix.max(axis=1).toarray().ravel()
    return sp.csr_array(matrix + sp.diags_array(largest, dtype=matrix.dtype))


@dataclass(frozen=True, eq=False)
class Directions:
    """Leading directions of a matrix of n rows.

    Attributes
    ----------
    left : ndarray of shape (n, k), float32
        Orthonormal, the largest first; the sign of each is that of its largest element.
    values : ndarray of shape (k,), float64
        How far the matrix reaches along each; singular values if the directions are exact.
    dim : int
        Directions wanted; k may be fewer.
    """

    left: np.ndarray
    values: np.ndarray
    dim: int

    def vectors(self, exponent: float) -> np.ndarray:
        """The directions times powers of the values.

        Parameters
        ----------
        exponent : float
            1 keeps distances; 0.5 and 0 weigh small directions more, which is better for
            similarity (Levy, Goldberg & Dagan 2015, section 3.3).

        Returns
        -------
        ndarray of shape (n, dim), float32
            Zero in dimensions beyond the rank.
        """
        least = np.finfo(np.float32).tiny
        noise = self.values <= 1e-4 * max(self.values.max(initial=0), least)
        powers = np.where(noise, 0, np.maximum(self.values, least) ** exponent)
        vectors = np.zeros((len(self.left), self.dim), np.float32)
        vectors[:, : self.left.shape[1]] = self.left * powers.astype(np.float32)
        return vectors


def directions(
    matrix: sp.csr_array, dim: int, *, n_iters: Sequence[int], rng: np.random.Generator
) -> list[Directions]:
    """Leading left singular directions, by randomised range finding.

    Parameters
    ----------
    matrix : csr_array of shape (n, n), float32
    dim : int
        Directions wanted.
    n_iters : sequence of int
        Power iterations. Each turns the directions further from random mixtures of the rows
        to those of the largest singular values.
    rng : Generator

    Returns
    -------
    list of Directions
        One for each of `n_iters`, in their order, all of one walk.

    References
    ----------
    Halko, Martinsson & Tropp 2011 (SIAM Review 53), algorithms 4.4 and 5.1; the small problem is
    solved by its Gram matrix in float64.
    """
    n = matrix.shape[0]
    transposed = matrix.T.tocsr()
    random = rng.standard_normal((n, min(dim + OVERSAMPLING, n)), dtype=np.float32)
    basis, found = matrix @ random, {}
    for done in range(max(n_iters) + 1):
        if done:
            basis = matrix @ (transposed @ _orthonormal(basis, rounds=1))
        if done in n_iters:
            found[done] = _leading(_orthonormal(basis), transposed, dim)
    return [found[n] for n in n_iters]


def _leading(basis: np.ndarray, transposed: sp.csr_array, dim: int) -> Directions:
    """The directions within the span of an orthonormal basis."""
    projected = (transposed @ basis).astype(np.float64)  # (n, width)
    squares, turns = scipy.linalg.eigh(projected.T @ projected)
    values = np.sqrt(np.maximum(squares[::-1][:dim], 0))
    left = basis @ turns[:, ::-1][:, :dim].astype(np.float32)
    return Directions(left * _signs(left), values, dim)


def _orthonormal(block: np.ndarray, rounds: int = 2) -> np.ndarray:
    """An orthonormal basis of the columns, zero where they are dependent.

    By the Gram matrix, several times as fast as Householder's way for a tall block and, after a
    second round, as exact (Yamamoto et al. 2015, ETNA 44, "CholeskyQR2"); within the power
    iterations, where the basis only must not collapse, one round will do.
    """
    for _ in range(rounds):
        exact = block.astype(np.float64)
        squares, turns = scipy.linalg.eigh(exact.T @ exact)
        kept = squares > 1e-10 * max(squares.max(initial=0.0), np.finfo(np.float32).tiny)
        lengths = np.sqrt(np.where(kept, squares, 1.0))
        block = block @ (turns * (kept / lengths)).astype(np.float32)
    return block


def _signs(directions: np.ndarray) -> np.ndarray:
    largest = np.abs(directions).argmax(axis=0)
    return np.sign(directions[largest, np.arange(directions.shape[1])])
