"""Category dropout: which category of a row is taken for unknown.

At most one of a row, as a new row seldom has two that nobody has met, and more often that of a
column with many, where new ones come. A network so learns from many rows what to do without a
column, and still sees most rows whole: on validation rows, 30% of rows cost nothing against 2% of
all cells, and rows of hidden films of movielens_100k had an RMSE of 1.046 instead of 1.068. Of its
users and films alone, 20% and 30% of rows did cost: 0.910 and 0.913 instead of 0.906.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from catvec.network._kernels import Array

__all__ = ["hidden_cells", "hidden_limits", "hidden_shares"]

MOST_ROWS = 0.3  # with a hidden category, however many columns there are


def hidden_shares(share: float, n_codes: Sequence[int]) -> Array:
    """Share of the rows in which each column is hidden, float64 (C,).

    In proportion to the logarithm of its number of codes.

    Parameters
    ----------
    share : float in [0, 1)
        Of all cells, unless it would take more than `MOST_ROWS` and more than this share of rows.
    n_codes : sequence of int
        By categorical column, without pairs.
    """
    rows = min(share * len(n_codes), max(share, MOST_ROWS))
    widths = np.log2(np.maximum(n_codes, 2).astype(np.float64))
    return rows * widths / max(widths.sum(), 1.0)


def hidden_limits(shares: Array) -> Array:
    """What a row's 32 random bits have to be below to hide this column or one before, uint64."""
    return np.round(np.cumsum(shares) * 2.0**32).astype(np.uint64)


def hidden_cells(draws: Array, shares: Array) -> Array:
    """Which cells (n, C) are hidden, bool, for a number in [0, 1) drawn by row (n,)."""
    column = np.searchsorted(np.cumsum(shares), draws, side="right")
    return column[:, None] == np.arange(len(shares))
