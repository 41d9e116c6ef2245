"""Embedding tables: the vectors of all columns in one flat buffer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from catvec.network._kernels import Array

__all__ = ["EmbeddingTables"]

INITIAL_STD = 0.03
"""Standard deviation of new vectors around row 0. Empirical: 0.01-0.05 did equally well, N(0, 1)
cost 0.06-0.13 of mean squared error on a standardised target."""


class EmbeddingTables:
    """Tables of several columns, full ones for categories and interpolated ones for numbers.

    Row 0 of a table is the unknown category, row 1 the missing one; the rows from 2 on are the
    known categories, or the knots of a number.

    Parameters
    ----------
    n_rows, dims : sequences of int
        Rows and width of each table, those of categories first.
    n_knotted : int
        How many tables, at the end, are interpolated ones.
    dtype : dtype
        float32; float64 in the tests of gradients.
    looks : sequence of tuple of int, optional
        Of what is looked up table and first column in the network's input, where that is not each
        table once and side by side.
    owners : sequence of int, optional
        Whose each table is, counting columns, pairs and numbers; by default one is each one's.

    Attributes
    ----------
    flat : array of shape (elements,)
        All vectors; `weight` gives views.
    layout : array of shape (looks, 5), int64
        As the kernels take it, see `_kernels`.
    """

    def __init__(
        self,
        n_rows: Sequence[int],
        dims: Sequence[int],
        n_knotted: int,
        dtype: DTypeLike,
        looks: Sequence[tuple[int, int]] | None = None,
        owners: Sequence[int] | None = None,
    ) -> None:
        sizes = [_padded(n * d) for n, d in zip(n_rows, dims, strict=True)]
        self.n_knotted = n_knotted
        self.width = sum(dims)
        self.n_lines = sum(n_rows)
        self.flat = _aligned(sum(sizes), dtype)
        self.owners = list(range(len(n_rows)) if owners is None else owners)
        looks = list(enumerate(_offsets(dims))) if looks is None else looks
        rows = zip(_offsets(sizes), _offsets(n_rows), dims, n_rows, strict=True)
        self._places: Array = np.array(list(rows), np.int64).reshape(-1, 4)
        start, line, dim, n = self._places[[table for table, _ in looks]].T
        at = np.array([at for _, at in looks], np.int64)
        self.layout: Array = np.stack([start, line, dim, at, n], axis=1)

    def __len__(self) -> int:
        return len(self._places)

    def initialize(self, rng: np.random.Generator) -> None:
        """Small random vectors; row 0 starts in the centre, at 0."""
        # Filled in place and in float32, since a temporary would double a large table.
        rng.standard_normal(dtype=self.flat.dtype.type, out=self.flat)
        self.flat *= self.flat.dtype.type(INITIAL_STD)
        for t in range(len(self)):
            self.table(t)[0] = 0

    def gather(self, kernels: Any, at: Array, shares: Array, out: Array) -> None:
        """Write the rows `at` (B, T), of numbers those between two rows, into `out` (B, W)."""
        kernels.gather(self.flat, self.layout, at, shares, out)

    def state(self) -> dict[str, Array]:
        """All arrays by name, for a file; views, not copies."""
        return {self.name(t): self.table(t) for t in range(len(self))}

    def name(self, t: int) -> str:
        """What table `t` is called in a file."""
        n_coded = len(self) - self.n_knotted
        return f"table_{t}" if t < n_coded else f"knots_{t - n_coded}"

    def table(self, t: int) -> Array:
        """View (rows, width) of table `t`, counting the interpolated ones after the others."""
        return self.view(self.flat, t)

    def view(self, flat: Array, t: int) -> Array:
        """View (rows, width) of table `t` in another buffer that is laid out as `flat`."""
        start, _, dim, n_rows = self._places[t].tolist()
        view: Array = flat[start : start + n_rows * dim].reshape(n_rows, dim)
        return view

    def shape(self, t: int) -> tuple[int, int]:
        """Rows and width of table `t`."""
        _, _, dim, n_rows = self._places[t].tolist()
        return n_rows, dim

    def of_column(self, c: int) -> int:
        """Number of the table of a column that has one to itself."""
        assert self.owners.count(c) == 1, c
        return self.owners.index(c)

    def by_look(self, values: Array) -> Array:
        """Those of the values (tables,) that are of the tables looked up, (looks,)."""
        return values[np.searchsorted(self.centers(), self.layout[:, 1], side="right") - 1]

    def weight(self, c: int) -> Array:
        """View (n_codes, dim) of the table of categorical column `c`."""
        return self.table(range(len(self) - self.n_knotted)[c])

    def knot_weight(self, m: int) -> Array:
        """View (n_knots + 2, dim) of the table of knotted number `m`: unknown, missing, knots."""
        return self.table(range(len(self) - self.n_knotted, len(self))[m])

    def per_line(self, values: Sequence[float], dtype: Any) -> Array:
        """One value by column, pair and number, for each line of its tables."""
        return np.repeat(np.asarray(values, dtype)[self.owners], self._places[:, 3])

    def centers(self) -> Array:
        """Line of row 0 of each table (tables,), int64."""
        lines: Array = self._places[:, 1]
        return lines

    def settle(self, lines: Array, onto: Sequence[int] = (), anchors: Array | None = None) -> None:
        """Give the rows on these lines, which training never met, a vector that stands for them.

        Parameters
        ----------
        lines : array of int
        onto : sequence of int
            By column and pair the row with that vector; row 0, the unknown, beyond its end.
        anchors : array of shape (elements,), optional
            How far from that vector each row is at home, laid out as `flat`; none where empty.
        """
        tables = np.searchsorted(self.centers(), lines, side="right") - 1
        for t in np.unique(tables).tolist():
            table = self.table(t)
            row = onto[self.owners[t]] if self.owners[t] < len(onto) else 0
            rows = lines[tables == t] - self._places[t, 1]
            table[rows] = table[row]
            if anchors is not None and len(anchors):
                table[rows] += self.view(anchors, t)[rows]

    def center(self, lines: Array, columns: Array) -> None:
        """Move row 0 of some tables, the unknown, halfway from row 1 to the mean of those known.

        Parameters
        ----------
        lines : array of int
            Those that no training row looked at. Another row 0 has learned from rows, and stays.
        columns : array of int
            Categorical columns and pairs with a table to themselves, of which rare ones have row 1.
        """
        for t in map(self.of_column, columns.tolist()):
            table = self.table(t)
            if len(table) > 2 and np.isin(self._places[t, 1], lines):
                table[0] = (table[1] + table[2:].mean(axis=0, dtype=np.float64)) / 2


def _padded(size: int) -> int:
    """Tables begin at multiples of 16 elements: one line of the processor's cache in float32."""
    return -(-size // 16) * 16


def _aligned(size: int, dtype: DTypeLike) -> Array:
    """Zeros that begin where a cache line does (64 bytes)."""
    itemsize = np.dtype(dtype).itemsize
    memory: Array = np.zeros(size + 64 // itemsize, dtype)
    skipped = -memory.ctypes.data % 64 // itemsize
    return memory[skipped : skipped + size]


def _offsets(sizes: Sequence[int]) -> list[int]:
    return [0, *accumulate(sizes)][:-1]
