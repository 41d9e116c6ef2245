"""Rows of a table as the network takes them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from catvec.frames import Lists
from catvec.network._kernels import Array

__all__ = ["Inputs"]


def _no_columns() -> Array:
    return np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class Inputs:
    """Rows as arrays.

    Parameters
    ----------
    codes : array of shape (n, C), int32
        Rows of the tables of categories: 0 unknown, 1 missing. Checked by whoever made them:
        ``0 <= codes[:, c] < n_codes[c]``.
    numbers : array of shape (n, N), float32
        Dense numbers, scaled and without gaps.
    positions : array of shape (n, M), float32
        Place of a number on its knots, from 0 to ``n_knots - 1``; NaN = missing, -1 = unknown.
    looks : array of shape (n, L), int32, optional
        Rows looked up, where these are others than the codes: see `_composition.looked_up`.
    lists : tuple of Lists
        Of each list column, whose code is 0, the codes of its elements.
    """

    codes: Array
    numbers: Array = field(default_factory=_no_columns)
    positions: Array = field(default_factory=_no_columns)
    looks: Array | None = None
    lists: tuple[Lists, ...] = ()

    def __post_init__(self) -> None:
        for name in ("numbers", "positions"):
            if getattr(self, name).shape == (0, 0):
                object.__setattr__(self, name, np.empty((len(self), 0), np.float32))
        assert len(self.codes) == len(self.numbers) == len(self.positions)

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array | slice) -> Inputs:
        """Only the given rows (a slice gives views)."""
        looks = None if self.looks is None else self.looks[rows]
        lists = tuple(of_column.take(rows) for of_column in self.lists)
        return Inputs(self.codes[rows], self.numbers[rows], self.positions[rows], looks, lists)

    def of_columns(self, n_columns: int) -> Inputs:
        """With the codes of the first columns only, where there are more."""
        if n_columns >= self.codes.shape[1]:
            return self
        codes, looks = np.ascontiguousarray(self.codes[:, :n_columns]), self.looks
        if looks is not None:  # what composed tables look at besides comes after all columns
            looks = np.delete(looks, np.s_[n_columns : self.codes.shape[1]], axis=1)
        return replace(self, codes=codes, looks=looks)

    @property
    def looked_up(self) -> Array:
        """Rows of the tables of categories that are looked up."""
        return self.codes if self.looks is None else self.looks
