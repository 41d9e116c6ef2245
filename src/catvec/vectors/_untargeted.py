"""Columns of vectors that were learned without a target: no effects, and what has no vector."""

from __future__ import annotations

import numpy as np

from catvec.frames import FIRST, UNKNOWN, Vocabulary
from catvec.vectors._column import ColumnVectors


def untargeted_column(vocabulary: Vocabulary, vectors: np.ndarray) -> ColumnVectors:
    """A column whose effects and confidences are all 0.

    Parameters
    ----------
    vocabulary : Vocabulary
    vectors : ndarray of shape (n_codes, dim), float32
        By code; zero where nothing is known.

    Returns
    -------
    ColumnVectors
        A row of zeros becomes the unknown one. Where that is zero itself, it becomes the mean of
        the categories that have a vector, weighted by their counts.
    """
    vectors = np.array(vectors, np.float32)
    learned = np.any(vectors != 0, axis=1)
    if not learned[UNKNOWN] and learned[FIRST:].any():
        weights = np.maximum(vocabulary.counts[FIRST:], 1) * learned[FIRST:]
        vectors[UNKNOWN] = np.average(vectors[FIRST:], axis=0, weights=weights)
    vectors[~learned] = vectors[UNKNOWN]
    zeros = np.zeros(vocabulary.n_codes, np.float32)
    return ColumnVectors(vocabulary, vectors, zeros, zeros)
