"""Row-wise Adagrad for tables, AdamW for weights, and the rate both follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from catvec.network._kernels import Array
from catvec.network._layers import Lookup, Parameters
from catvec.network._tables import EmbeddingTables

__all__ = ["AdamW", "RowAdagrad", "Schedule", "pulls"]

TABLE_RATE = 200.0
"""Rate of the tables over that of the weights. Empirical: of 10 to 400 with rates of the weights of
5e-4 to 2e-3, the best or near it on six tables of 8,000 to 180,000 rows. Adagrad's steps are this
long only in the beginning: they shrink with the root of their number."""


class RowAdagrad:
    """Row-wise updates of the tables, with a Gaussian prior around row 0, or around anchors.

    Parameters
    ----------
    tables : EmbeddingTables
        Before the first step, `set_pulls` has to say how strong the prior is.

    Attributes
    ----------
    anchors, paces, widths : array of shape (elements,), (lines,) and (looks,)
        As `update_tables` takes them; the first two are empty without anchors.
    n_held : int
        Looks, the first ones, whose tables never move.
    """

    def __init__(self, tables: EmbeddingTables) -> None:
        self.tables = tables
        self.squares = np.zeros(tables.n_lines, tables.flat.dtype)
        self.anchors = self.paces = np.zeros(0, tables.flat.dtype)
        self.widths: Array = np.zeros(len(tables.layout), np.int64)
        self.n_held = 0
        self.slots = np.full(tables.n_lines, -1, np.int32)

    def set_pulls(self, shrinkage: Sequence[float], counts: Array) -> None:
        """Spread the prior of each row over the training rows that look at it.

        Parameters
        ----------
        shrinkage : sequence of float
            lambda of each table, in units of rows: the objective has
            ``lambda / 2 * |v_k - v_0|^2`` for each row k, beside the sum of the rows' losses.
        counts : array of shape (lines,), float64
            Weighted number of training rows that look at each row of a table.
        """
        self.pulls = pulls(self.tables, shrinkage, counts)

    def allocate(self, n_rows: int) -> None:
        n_slots = 1 + n_rows * (2 if self.tables.n_knotted else 1)
        widest = max((dim for dim in self.tables.layout[:, 2].tolist()), default=0)
        # Rows of the working memory are as long as whole cache lines.
        self.sums = np.empty((n_slots, (widest // 16 + 1) * 16), self.tables.flat.dtype)
        self.lines = np.empty(n_slots, np.int64)

    def step(
        self, kernels: Any, lookup: Lookup, masses: Array, gradient: Array, rate: float
    ) -> None:
        """Move the rows that `lookup` last looked at, against `gradient` of its output."""
        prior = self.pulls, self.anchors, self.paces
        taken = zip(lookup.list_columns, lookup.lists, lookup.take_lists(gradient), strict=True)
        for c, lists, (look, own) in taken:
            kernels.update_lists(
                self.tables.flat,
                self.squares,
                *prior,
                int(self.widths[c]),
                self.slots,
                look,
                lists.offsets,
                lists.codes,
                lists.shares,
                masses,
                own,
                rate * TABLE_RATE,
            )
        n = self.n_held
        if n == len(self.tables.layout):
            return
        kernels.update_tables(
            self.tables.flat,
            self.squares,
            self.pulls,
            self.anchors,
            self.paces,
            self.widths[n:],
            self.slots,
            self.tables.layout[n:],
            np.ascontiguousarray(lookup.at[:, n:]),
            lookup.shares,
            masses,
            gradient,
            rate * TABLE_RATE,
            self.sums,
            self.lines,
        )

    def state(self) -> list[Array]:
        """What a step changes."""
        return [self.tables.flat, self.squares]


def pulls(tables: EmbeddingTables, shrinkage: Sequence[float], counts: Array) -> Array:
    """``lambda / count`` of each line (lines,), 0 for rows 0 and for what no row looks at."""
    found = tables.per_line(shrinkage, tables.flat.dtype)
    np.divide(found, counts, out=found, where=counts > 0, casting="same_kind")
    found[counts <= 0] = 0
    found[tables.centers()] = 0
    return found


class AdamW:
    """AdamW over one flat buffer; only its first `n_decayed` elements decay."""

    def __init__(self, values: Parameters, gradients: Parameters, n_decayed: int) -> None:
        self.values, self.gradients, self.n_decayed = values.flat, gradients.flat, n_decayed
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)
        self.n_steps = 0

    def step(self, kernels: Any, rate: float, weight_decay: float) -> None:
        self.n_steps += 1
        kernels.adamw(
            self.values,
            self.gradients,
            self.first,
            self.second,
            self.n_decayed,
            rate,
            rate * weight_decay,
            1.0 / (1.0 - 0.9**self.n_steps),
            1.0 / (1.0 - 0.999**self.n_steps),
        )

    def state(self) -> list[Array]:
        """What a step changes."""
        return [self.values, self.first, self.second]


class Schedule:
    """The learning rate: flat, then down a half cosine to nearly nothing.

    Parameters
    ----------
    rate : float
        At the start.
    n_epochs : int
        After so many epochs the rate has come down to `END` of it.
    """

    FLAT = 0.3
    END = 0.02

    def __init__(self, rate: float, n_epochs: int) -> None:
        self.first, self.n_epochs = rate, n_epochs

    def rate(self, epochs: float) -> float:
        """The rate after `epochs` (a fraction is the part of the running one)."""
        passed = (epochs / self.n_epochs - self.FLAT) / (1.0 - self.FLAT)
        wave = 0.5 * (1.0 + math.cos(math.pi * min(max(passed, 0.0), 1.0)))
        return self.first * (self.END + (1.0 - self.END) * wave)
