"""One training step: forward, loss, backward, update; what it is told, and what it counts first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from catvec.network._anchors import NOWHERE, Anchors
from catvec.network._blocks import StreamedData
from catvec.network._data import TrainingData, batch_sizes, weight_scale
from catvec.network._interactions import Concatenate
from catvec.network._kernels import Array
from catvec.network._layers import Hidden, Linear, Lookup
from catvec.network._losses import Loss
from catvec.network._network import Network
from catvec.network._optimizers import AdamW, RowAdagrad

__all__ = ["Step", "TrainingConfig"]

Data: TypeAlias = TrainingData | StreamedData

COUNTING_CHUNK = 65_536
"""Rows looked up at once while the rows of the tables are counted."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Parameters
    ----------
    loss : str
        A name that `make_loss` knows.
    shrinkage : tuple of float
        lambda of each table, those of categories first: the objective is the weighted sum of the
        rows' losses plus ``lambda / 2 * |v_k - v_0|^2`` for each row k of a table; with anchors
        a_k, ``|v_k - v_0 - a_k|^2``.
    quantile : float, optional
        For the quantile loss.
    learning_rate : float
        Of the weights, at the start; the tables' follows it.
    batch_size : int
        Rows of a batch, at most.
    n_epochs : int
        Passes over the training rows, in which the rate comes down to nearly nothing.
    weight_decay : float
        Of the matrices, decoupled from the gradient.
    fewest_rows : tuple of int, optional
        By table, 1 by default. Above 1, what fewer training rows look at shares the table's row 1,
        which stands for all that is rare, and is answered by it. One row says nothing about a
        category that could be told from the row itself, and a table of pairs is full of them.
    embedding_dropout : float in [0, 1)
        Share of the elements of categories' vectors dropped in a step.
    category_dropout : float in [0, 1)
        Share of the categories taken for unknown in a step; see `_hiding`.
    pair_columns : tuple of pairs of int
        Columns that the last ones are pairs of: a pair is unknown where either of them is.
    """

    loss: str
    shrinkage: tuple[float, ...]
    quantile: float | None = None
    learning_rate: float = 1e-3
    batch_size: int = 256
    n_epochs: int = 12
    weight_decay: float = 1e-4
    fewest_rows: tuple[int, ...] = ()
    embedding_dropout: float = 0.0
    category_dropout: float = 0.0
    pair_columns: tuple[tuple[int, int], ...] = ()


class Step:
    """One training step: forward, loss, backward, update; the buffers it needs.

    The gradient of a batch is that of

    ``sum_i w_i loss_i + sum_k m_k / n_k * lambda / 2 * |v_k - v_0|^2``

    over its B rows i and the rows k of the tables they look at, divided by B times the mean
    weight of the training rows; m_k is the weight of the batch's rows that look at k and n_k that
    of all training rows. Over an epoch the m_k add up to n_k, hence the objective of
    `TrainingConfig`. A constant weight cancels in the data's part and divides the prior's.

    With `running_norm`, batch norm takes its running statistics for constants; see `Hidden`.
    """

    def __init__(
        self,
        network: Network,
        loss: Loss,
        settings: TrainingConfig,
        kernels: Any,
        anchors: Anchors = NOWHERE,
        *,
        running_norm: bool = False,
    ) -> None:
        self.network, self.loss, self.settings = network, loss, settings
        self.kernels = kernels
        self.gradients = network.weights.like()
        self.interaction = network.interaction(self.gradients)
        self.hidden = network.hidden_layers(self.gradients)
        for layer in self.hidden:
            layer.running_norm = running_norm or not network.config.batch_norm
        self.head = network.head(self.gradients)
        self.row_adagrad = RowAdagrad(network.tables)
        self.row_adagrad.anchors = anchors.homes(network.tables)
        self.row_adagrad.widths = network.tables.by_look(anchors.widths(network.tables))
        if network.config.sees_effects:  # whose tables never move: only those of numbers do
            dims, knot_dims = network.config.dims, network.config.knot_dims
            first = self.hidden[0].linear if self.hidden else self.head
            first.asked = slice(sum(dims), sum(dims) + sum(knot_dims))
            self.row_adagrad.n_held = len(dims)
        self.adamw = AdamW(network.weights, self.gradients, network.n_decayed)
        self.dtype = network.weights.flat.dtype

    def take(self, data: Data, counts: Array) -> None:
        """The rows to train on from here, and how many of them look at each row of the tables."""
        self.data, self.counts = in_memory(data), counts
        self.lookup = self.network.lookup(
            self.data.inputs,
            embedding_dropout=self.settings.embedding_dropout,
            category_dropout=self.settings.category_dropout,
            pair_columns=self.settings.pair_columns,
        )
        self.layers: list[Lookup | Concatenate | Hidden | Linear]
        self.layers = [self.lookup, self.interaction, *self.hidden, self.head]
        self.row_adagrad.set_pulls(
            self.settings.shrinkage, counts_met(self.network, self.settings, counts)
        )
        self.mass_scale = weight_scale(data)
        self.most = max(batch_sizes(len(data), self.settings.batch_size), default=0)
        if isinstance(data, StreamedData):  # cut into batches piece by piece
            self.most = self.settings.batch_size
        for layer in self.layers:
            layer.allocate(self.most)
        self.row_adagrad.allocate(self.most)
        self._ones = np.ones(self.most, self.dtype)
        self._n_rows = self.most

    def look_at(self, piece: TrainingData) -> None:
        """Those of the rows that steps get numbers of from here; all if they are in memory."""
        self.data, self.lookup.inputs = piece, piece.inputs

    def learn(self, rows: Array, ends: Array, rates: Array, keys: Array) -> float:
        """A step for each batch of the given rows; the sum of what they return.

        Parameters
        ----------
        rows : array of shape (n,), int32
            Those of all batches.
        ends : array of shape (batches,), int64
            Where each batch ends among them.
        rates : array of shape (batches,), float64
        keys : array of shape (batches,), uint64
            What the dropout of each is drawn by.
        """
        total, start = 0.0, 0
        batches = zip(ends.tolist(), rates.tolist(), keys.tolist(), strict=True)
        for end, rate, key in batches:
            total += self(rows[start:end], rate, key)
            start = end
        return total

    def __call__(self, rows: Array, rate: float, key: int) -> float:
        """Train on the given rows; the sum of their weighted losses over the mean weight."""
        loss, masses, gradient = self.backward(rows, key)
        self.row_adagrad.step(self.kernels, self.lookup, masses, gradient, rate)
        self.adamw.step(self.kernels, rate, self.settings.weight_decay)
        return loss

    def backward(self, rows: Array, key: int) -> tuple[float, Array, Array]:
        """Loss (a sum), masses (B,) and the loss's gradient by what was looked up (B, W).

        Gradients of the weights are left in `gradients`, divided by B.
        """
        scores = self._forward(rows, key)
        target = self.data.target[rows]
        masses = self._masses(rows)
        loss = float(np.dot(self.loss.values(scores, target), masses))
        gradient = self.loss.slopes(scores, target).astype(self.dtype, copy=False)
        gradient *= masses[:, None]
        self.interaction.backward_scores(gradient)
        gradient = self.head.backward(gradient)
        for layer in reversed(self.hidden):
            gradient = layer.backward(self.kernels, gradient)
        gradient = self.lookup.widened(gradient)
        gradient = self.interaction.backward(self.kernels, gradient)
        gradient = self.lookup.backward(self.kernels, gradient, key)
        self.gradients.flat *= self.dtype.type(1.0 / max(len(rows), 1))
        return loss, masses, gradient

    def _forward(self, rows: Array, key: int) -> Array:
        self.resize(len(rows))
        x = self.lookup.forward(self.kernels, rows, key)
        x = self.lookup.seen(self.interaction.forward(self.kernels, x))
        for layer in self.hidden:
            x = layer.forward(self.kernels, x, key)
        return self.interaction.add_scores(self.head.forward(x))

    def resize(self, n_rows: int) -> None:
        """Cut the buffers to so many rows."""
        if n_rows != self._n_rows:
            self._n_rows = n_rows
            for layer in self.layers:
                layer.resize(n_rows)

    def _masses(self, rows: Array) -> Array:
        if self.data.weight is None:
            return self._ones[: len(rows)]
        return (self.data.weight[rows] * self.mass_scale).astype(self.dtype, copy=False)

    def keep_pace(self, paces: Array) -> None:
        """Factor (lines,) of each row's steps from here; empty for 1."""
        self.row_adagrad.paces = paces

    def settle(self, lines: Array, onto: Sequence[int]) -> None:
        """As `EmbeddingTables.settle`, each row at home; rows of tables that never move stay."""
        tables = self.network.tables
        first = np.append(tables.centers(), tables.n_lines)[self.row_adagrad.n_held]
        tables.settle(lines[lines >= first], onto, self.row_adagrad.anchors)

    def value(self, data: TrainingData) -> float:
        """Weighted mean loss of other rows."""
        rows = data.alone()
        scores = self.network.predict(rows.inputs, dtype=np.float32, kernels=self.kernels)
        return self.loss.value(scores, rows.target, rows.weight)

    def state(self) -> list[Array]:
        """Every array that training changes."""
        return [*self.row_adagrad.state(), *self.adamw.state(), self.network.running.flat]

    def finish(self) -> None:
        """Nothing: it trained the network's own arrays."""


def counts_met(network: Network, settings: TrainingConfig, counts: Array) -> Array:
    """How much of `counts` an epoch meets in expectation, for all rows but the rows 0.

    Category dropout hides a share p of the rows that look at k: (1 - p) n_k stands in for n_k
    above, so that the m_k still add up to it and the objective has all of lambda. (With n_k a
    row would have (1 - p) lambda beside (1 - p) of its data, and lambda be no longer in rows
    that it learns from.)
    """
    if not settings.category_dropout:
        return counts
    hiding = network.config.hiding(settings.category_dropout)
    hidden = *hiding.columns, *hiding.pairs(settings.pair_columns)
    kept = [1.0 - p for p in hidden] + [1.0] * len(network.config.n_knots)
    return counts * network.tables.per_line(kept, counts.dtype)


def count_lines(kernels: Any, network: Network, data: Data) -> Array:
    """Weighted number of training rows that look at each row of each table (lines,), float64."""
    counts = np.zeros(network.tables.n_lines, np.float64)
    pieces = [data] if isinstance(data, TrainingData) else data.pieces(data.windows())
    for piece in pieces:
        _count_piece(kernels, network, piece, counts)
    return counts


def _count_piece(kernels: Any, network: Network, data: TrainingData, counts: Array) -> None:
    """Add those of rows in memory."""
    tables = network.tables
    lookup = network.lookup(data.inputs)
    for start in range(0, len(data), COUNTING_CHUNK):
        rows = np.arange(start, min(start + COUNTING_CHUNK, len(data)), dtype=np.int32)
        rows = rows if data.rows is None else data.rows[rows].astype(np.int32)
        weight = np.ones(len(rows), np.float32) if data.weight is None else data.weight[rows]
        at, shares = lookup.place(kernels, rows)
        kernels.count_lines(tables.layout, at, shares, weight, counts)
        for c, lists in zip(lookup.list_columns, data.inputs.lists, strict=True):
            batch = lists.take(rows)
            parts = batch.offsets, batch.codes, batch.shares
            kernels.count_lists(tables.layout[c], *parts, weight, counts)


def in_memory(data: Data) -> TrainingData:
    """The rows, or some of those that are streamed."""
    return data if isinstance(data, TrainingData) else data.first
