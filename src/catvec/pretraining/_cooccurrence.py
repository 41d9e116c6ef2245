"""Vectors from counts: shifted positive pointwise mutual information, and its leading directions.

After Levy & Goldberg 2014 (NIPS) and Levy, Goldberg & Dagan 2015 (TACL 3), who show that this is
what skip-gram with negative sampling factorises.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp

OVERSAMPLING = 10  # Halko, Martinsson & Tropp 2011 (SIAM Review 53), section 1.3: 5 or 10


def positive_pmi(
    counts: sp.csr_array, *, shift: float, smoothing: float, scale: float = 1.0
) -> sp.csr_array:
    r"""Shifted positive pointwise mutual information.

    .. math:: M_{ij} = \max\left(0,\ \log \frac{n_{ij}\, s}{n_i\, p_j} - \log k \right), \quad
              p_j = n_j^{\alpha} / \sum_l n_l^{\alpha}

    Parameters
    ----------
    counts : csr_array of shape (n, n), float64
        Symmetric weights of pairs.
    shift : float
        k: the number of negative samples of the skip-gram that this stands for.
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
    values = np.log(counts.data * scale / (expected * shift))
    kept = values > 0
    ends = np.concatenate([[0], np.cumsum(kept)])[counts.indptr]
    data = values[kept].astype(np.float32)
    return sp.csr_array((data, counts.indices[kept], ends), counts.shape)


def with_itself(matrix: sp.csr_array) -> sp.csr_array:
    """The matrix with the largest element of each row on its diagonal.

    An item is as much like itself as like its best companion. Without it two items that only ever
    meet each other would have no context in common, and be orthogonal.
    """
    largest = matrix.max(axis=1).toarray().ravel()
    return sp.csr_array(matrix + sp.diags_array(largest, dtype=matrix.dtype))


def factorize(
    matrix: sp.csr_array,
    dim: int,
    *,
    exponent: float,
    n_iter: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Left singular vectors times powers of the singular values, by randomised range finding.

    Parameters
    ----------
    matrix : csr_array of shape (n, n), float32
    dim : int
        Directions wanted; those beyond the rank are zero.
    exponent : float
        Power of the singular values: 1 keeps distances, 0.5 and 0 weigh small directions more,
        which is better for similarity (Levy, Goldberg & Dagan 2015, section 3.3).
    n_iter : int
        Power iterations.
    rng : Generator

    Returns
    -------
    ndarray of shape (n, dim), float32
        The sign of a direction is that of its largest element.

    References
    ----------
    Halko, Martinsson & Tropp 2011 (SIAM Review 53), algorithms 4.4 and 5.1; the small problem is
    solved by its Gram matrix in float64.
    """
    n = matrix.shape[0]
    width = min(dim + OVERSAMPLING, n)
    transposed = matrix.T.tocsr()
    basis = matrix @ rng.standard_normal((n, width), dtype=np.float32)
    for _ in range(n_iter):
        basis = matrix @ (transposed @ _orthonormal(basis))
    basis = _orthonormal(basis)
    projected = (transposed @ basis).astype(np.float64)  # (n, width)
    gram = projected.T @ projected
    squares, turns = scipy.linalg.eigh(gram)
    values = np.sqrt(np.maximum(squares[::-1][:dim], 0))
    directions = basis @ turns[:, ::-1][:, :dim].astype(np.float32)
    noise = values <= 1e-4 * max(values.max(initial=0), np.finfo(np.float32).tiny)
    powers = np.where(noise, 0, np.maximum(values, np.finfo(np.float32).tiny) ** exponent)
    vectors = np.zeros((n, dim), np.float32)
    vectors[:, : directions.shape[1]] = directions * (powers * _signs(directions))
    return vectors


def _orthonormal(block: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the columns, zero where they are dependent.

    Twice by the Gram matrix, several times as fast as Householder's way for a tall block and, after
    the second time, as exact (Yamamoto et al. 2015, ETNA 44, "CholeskyQR2").
    """
    for _ in range(2):
        squares, turns = scipy.linalg.eigh(block.T.astype(np.float64) @ block.astype(np.float64))
        kept = squares > 1e-10 * max(squares.max(initial=0.0), np.finfo(np.float32).tiny)
        lengths = np.sqrt(np.where(kept, squares, 1.0))
        block = block @ (turns * (kept / lengths)).astype(np.float32)
    return block


def _signs(directions: np.ndarray) -> np.ndarray:
    largest = np.abs(directions).argmax(axis=0)
    return np.sign(directions[largest, np.arange(directions.shape[1])])
