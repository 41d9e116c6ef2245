"""Vectors that are known before a training: where rows begin, and what the prior draws them to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from catvec.network._kernels import Array
from catvec.network._tables import EmbeddingTables

__all__ = ["FREEZE", "NOWHERE", "Anchor", "Anchors"]

FREEZE = ("never", "first", "always")
HELD_EPOCHS = 3
"""Epochs for which freeze="first" holds rows, at most half of all: the layers behind the tables
come from noise to sense in about so many."""


@dataclass(frozen=True, eq=False)
class Anchor:
    """Where the rows of one table are at home, as seen from its row 0.

    Parameters
    ----------
    offsets : array of shape (n_codes, dim), float32
        0 for row 0, for rows of which nothing is known, and beyond `width`.
    known : array of shape (n_codes,), bool
        Rows of which something is known; row 0 is one.
    width : int
        Dimensions of which something is known, the first ones; at most dim.
    """

    offsets: Array
    known: Array
    width: int


@dataclass(frozen=True, eq=False)
class Anchors:
    """Where the rows of several tables are at home, and how fast they may leave.

    Parameters
    ----------
    by_column : mapping of int to Anchor
        By number of the categorical column, which has a full table of its own; others have none.
    freeze : {"never", "first", "always"}
        When known rows are held: never, in the first `HELD_EPOCHS` epochs, or always.
    pace : float
        Factor of the steps of known rows when they are not held.
    """

    by_column: Mapping[int, Anchor] = field(default_factory=dict)
    freeze: str = "never"
    pace: float = 1.0

    def begin(self, tables: EmbeddingTables) -> None:
        """Bring known rows home, in place.

        In dimensions of which nothing is known they keep the small random numbers of a new table.

        Parameters
        ----------
        tables : EmbeddingTables
            New ones, whose rows 0 are zeros.
        """
        for c, anchor in self.by_column.items():
            rows, width = anchor.known, anchor.width
            tables.table(tables.of_column(c))[rows, :width] = anchor.offsets[rows, :width]

    def homes(self, tables: EmbeddingTables) -> Array:
        """How far from row 0 each row is at home: (elements,), or (0,) without any anchor."""
        if not self.by_column:
            return np.zeros(0, tables.flat.dtype)
        homes = np.zeros_like(tables.flat)
        for c, anchor in self.by_column.items():
            tables.view(homes, tables.of_column(c))[...] = anchor.offsets
        return homes

    def widths(self, tables: EmbeddingTables) -> Array:
        """Dimensions of which something is known of each table: (tables,), int64."""
        widths = np.zeros(len(tables), np.int64)
        for c, anchor in self.by_column.items():
            widths[tables.of_column(c)] = anchor.width
        return widths

    def paces(self, tables: EmbeddingTables, epoch: int, n_epochs: int) -> Array:
        """Factor of each row's steps in one epoch, in dimensions of which something is known.

        Parameters
        ----------
        tables : EmbeddingTables
        epoch, n_epochs : int
            Which epoch, from 1, of how many.

        Returns
        -------
        array of shape (lines,), or (0,) without any anchor
            0 for rows that are held, 1 for rows of which nothing is known.
        """
        if not self.by_column:
            return np.zeros(0, tables.flat.dtype)
        held = epoch <= min(HELD_EPOCHS, n_epochs // 2) and self.freeze == "first"
        pace = 0.0 if held or self.freeze == "always" else self.pace
        paces = np.ones(tables.n_lines, tables.flat.dtype)
        for c, anchor in self.by_column.items():
            first = tables.centers()[tables.of_column(c)]
            paces[first : first + len(anchor.known)][anchor.known] = pace
        return paces


NOWHERE = Anchors()
"""Of tables of which nothing is known."""
