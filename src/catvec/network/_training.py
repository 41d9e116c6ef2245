"""The one epoch loop: batches, held-out loss, early stopping, the best weights kept.

A network that stopped by rows it held out may learn these as well, in a last pass over all rows:
see `learn_held_out`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from catvec.errors import TrainingError
from catvec.network._anchors import NOWHERE, Anchors
from catvec.network._blocks import StreamedData
from catvec.network._checkpoint import Checkpoint, Kept
from catvec.network._data import TrainingData, batch_ends, batch_sizes, weight_scale
from catvec.network._engine import load_kernels
from catvec.network._interactions import Concatenate
from catvec.network._kernels import Array
from catvec.network._layers import Hidden, Linear, Lookup
from catvec.network._losses import Loss, make_loss
from catvec.network._network import Network, NetworkConfig
from catvec.network._optimizers import AdamW, RowAdagrad, Schedule

__all__ = [
    "Backend",
    "EpochRecord",
    "Job",
    "OnEpoch",
    "Step",
    "Trained",
    "Trainer",
    "TrainingConfig",
]

logger = logging.getLogger(__name__)

RESTARTS = 2
RESTART_DROP = 0.25
"""How often, and with which part of the rate, a training may begin anew. Empirical: flights of
whole held-out days went from 0.5015 to 0.4850 of log loss."""

SHARED = 1
"""Row of what is rare, in tables where rare ones share a row. Row 0, which no training row of such
a table looks at, is given its vector after each epoch, like all that is unseen; so the prior draws
towards what is rare. With a row 0 of its own amazon_access was worse on four of four seeds."""

LAST_RATE = 0.2
"""Where the rate of the last pass begins, as a part of the first one. Empirical, on rows apart: log
loss on amazon_access 0.1224 without a last pass, and 0.1258, 0.1219, 0.1215 at parts of 1, 0.3 and
0.1; AUC on hotel_bookings, where the held-out rows are the latest, 0.900 without and 0.907 with."""

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
    max_epochs : int
    n_iter_no_change : int
        Stop after so many epochs in a row without a better held-out loss.
    weight_decay : float
        Of the matrices, decoupled from the gradient.
    fewest_rows : tuple of int, optional
        By table, 1 by default. Above 1, what fewer training rows look at shares the table's row 1,
        which stands for all that is rare, and is answered by it. One row says nothing about a
        category that could be told from the row itself, and a table of pairs is full of them.
    embedding_dropout : float in [0, 1)
        Share of the elements of categories' vectors dropped in a step.
    category_dropout : float in [0, 1)
        Share of the categories taken for unknown in a step.
    pair_columns : tuple of pairs of int
        Columns that the last ones are pairs of: a pair is unknown where either of them is.
    """

    loss: str
    shrinkage: tuple[float, ...]
    quantile: float | None = None
    learning_rate: float = 1e-3
    batch_size: int = 256
    max_epochs: int = 20
    n_iter_no_change: int = 3
    weight_decay: float = 1e-4
    fewest_rows: tuple[int, ...] = ()
    embedding_dropout: float = 0.0
    category_dropout: float = 0.0
    pair_columns: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class EpochRecord:
    """What happened in one epoch; `seconds` of wall clock, `learning_rate` at its end."""

    network: int
    epoch: int
    learning_rate: float
    train_loss: float
    held_out_loss: float | None
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A trained network; `best_epoch` counts from 1, losses are without the prior.

    `step` is who trained it; it lets further rows be learned later.
    """

    network: Network
    history: list[EpochRecord]
    best_epoch: int
    held_out_loss: float | None
    run: _Run | None = field(default=None, repr=False, compare=False)
    step: Trainer | None = field(default=None, repr=False, compare=False)


class Trainer(Protocol):
    """What the epoch loop asks of whoever trains a network; `Step` is the one of this folder."""

    def take(self, data: Data, counts: Array) -> None:
        """The rows to train on from here, and how many of them look at each row of the tables."""

    def look_at(self, piece: TrainingData) -> None:
        """Those of the rows that steps get numbers of from here; all if they are in memory."""

    def ordered(self, rows: Array) -> Any:
        """Rows of an epoch as slices of them are handed to a step."""

    def __call__(self, rows: Any, rate: float, key: int) -> Any:
        """Train on the given rows; the sum of their weighted losses over the mean weight."""

    def keep_pace(self, paces: Array) -> None:
        """Factor (lines,) of each row's steps from here; empty for 1."""

    def settle(self, lines: Array, onto: Sequence[int]) -> None:
        """As `EmbeddingTables.settle`, each row at home."""

    def value(self, data: TrainingData) -> float:
        """Weighted mean loss of other rows."""

    def state(self) -> list[Any]:
        """Every array that training changes and that the best epoch has to give back."""

    def finish(self) -> None:
        """Write what was learned into the network."""


class Backend(Protocol):
    """Trains networks elsewhere than with the loops of this folder, as `catvec.torch` does."""

    def begin(
        self, network: Network, settings: TrainingConfig, anchors: Anchors = NOWHERE
    ) -> Trainer:
        """Who trains this network, beginning with its vectors and weights."""

    def one_thread(self) -> AbstractContextManager[None]:
        """While it lasts, a step takes one thread of the processor."""


@dataclass(frozen=True)
class Job:
    """One network to train; `engine` is "numpy" or "numba", `backend` who trains in its place.

    With a `checkpoint`, a training of streamed data that was killed goes on where it was.
    `anchors` are vectors that are known beforehand, where there are any.
    """

    config: NetworkConfig
    training: TrainingConfig
    data: Data
    held_out: TrainingData | None
    seed: int
    engine: str = "numpy"
    backend: Backend | None = None
    checkpoint: Checkpoint | None = None
    anchors: Anchors = NOWHERE


OnEpoch = Callable[[EpochRecord], None]


def run(job: Job, number: int = 0, on_epoch: OnEpoch | None = None) -> Trained:
    """Train one network; `train` and `train_committee` add the care for threads.

    Where one pass over the rows is already more than the held-out rows bear, the rate is too high
    for the table: the training begins anew at a lower one.
    """
    kept = None if job.checkpoint is None else job.checkpoint.load()
    n_restarts = 0 if kept is None else int(kept.record["n_restarts"])
    with np.errstate(all="ignore"):  # a loss that is not finite ends in a TrainingError
        for n in range(n_restarts, RESTARTS if job.training.max_epochs > 2 else 0):
            begun = _Run(job, number, n, kept)
            if begun.bears_two_epochs(on_epoch):
                return begun.train(on_epoch)
            n_restarts, kept = n + 1, None
        return _Run(job, number, n_restarts, kept).train(on_epoch)


class _Run:
    """The state of one training."""

    def __init__(
        self, job: Job, number: int, n_restarts: int = 0, kept: Kept | None = None
    ) -> None:
        config, settings = job.config, job.training
        rate = settings.learning_rate * RESTART_DROP**n_restarts
        self.job, self.number, self.n_restarts = job, number, n_restarts
        self.settings, self.first_rate = settings, rate
        self.kernels = load_kernels(job.engine)
        loss = make_loss(settings.loss, config.n_outputs, settings.quantile)
        self.network = Network.create(config, job.seed)
        first = _in_memory(job.data)
        weight = None if first.weight is None else first.part(first.weight)
        initial = loss.initial(first.part(first.target), weight)
        self.network.weights["head.bias"][...] = initial
        self.anchors = job.anchors
        self.anchors.begin(self.network.tables)
        self.step: Trainer
        if job.backend is None:
            self.step = Step(self.network, loss, settings, self.kernels, self.anchors)
        else:
            self.step = job.backend.begin(self.network, settings, self.anchors)
        self._take(job.data)
        self.rng = np.random.default_rng([job.seed, 1])
        self.schedule = Schedule(rate, settings.max_epochs, settings.n_iter_no_change)
        self.history: list[EpochRecord] = []
        self.best: list[Array] = []
        self.n_pieces, self.total = 0, 0.0  # of the running epoch
        if kept is not None:
            self._resume(kept)

    def bears_two_epochs(self, on_epoch: OnEpoch | None) -> bool:
        """Train two epochs; whether the second helped, or nothing can tell."""
        while len(self.history) < 2:
            self._advance(on_epoch)
        return self.job.held_out is None or self.schedule.best_epoch > 1

    def train(self, on_epoch: OnEpoch | None) -> Trained:
        """Train the epochs that are left, until the schedule ends."""
        while len(self.history) < self.settings.max_epochs and not self.schedule.ended:
            self._advance(on_epoch)
        return self._trained()

    def learn_held_out(self, n_passes: int) -> None:
        """Pass over all rows, held-out ones too, while the rate falls to nearly nothing."""
        self._take(_with_held_out(self.job))
        self.schedule = Schedule(LAST_RATE * self.first_rate, n_passes, patience=0)
        self._keep_pace(self.settings.max_epochs)
        for i in range(n_passes):
            self._pass(1 + i)
        self.step.settle(self.unseen, self.shared)
        self.step.finish()

    def _take(self, data: Data) -> None:
        """Rows to train on from here."""
        data = _without_rare(data, self.settings.fewest_rows)
        self.data: Data = data
        counts = count_lines(self.kernels, self.network, data)
        self.unseen = np.flatnonzero(counts <= 0)
        self.shared = [SHARED * (fewest > 1) for fewest in self.settings.fewest_rows]
        self.step.take(data, counts)

    def _advance(self, on_epoch: OnEpoch | None) -> None:
        """One epoch; if the held-out rows do not like it, back to the best weights."""
        record = self._epoch(len(self.history) + 1)
        self.history.append(record)
        if on_epoch is not None:
            on_epoch(record)
        if record.held_out_loss is None:
            return
        if self.schedule.improved(record.epoch, record.held_out_loss):
            self.best = _copied(self.step.state(), self.best)
        else:
            self._restore()

    def _restore(self) -> None:
        for array, kept in zip(self.step.state(), self.best, strict=True):
            array[...] = kept

    def _trained(self) -> Trained:
        if self.best:
            self._restore()
            self.best = []  # as large as the network
        self.step.finish()
        if self.job.held_out is None:
            return Trained(self.network, self.history, len(self.history), None, step=self.step)
        best_epoch, loss = self.schedule.best_epoch, self.schedule.best
        return Trained(self.network, self.history, best_epoch, loss, self, self.step)

    def _epoch(self, epoch: int) -> EpochRecord:
        started = time.perf_counter()
        self._keep_pace(epoch)
        train_loss = self._pass(epoch)
        self.step.settle(self.unseen, self.shared)
        held_out = self.job.held_out
        held_out_loss = None if held_out is None else self.step.value(held_out)
        for loss in (train_loss, held_out_loss):
            if loss is not None and not np.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} in epoch {epoch}; lower `learning_rate` (now "
                    f"{self.settings.learning_rate:g}), or look for extreme values in the numbers "
                    "or the target and scale them"
                )
        rate = self.schedule.rate(epoch)
        seconds = time.perf_counter() - started
        logger.debug(
            "network %d, epoch %d: train loss %.5g, held-out loss %s, %.2f s",
            self.number,
            epoch,
            train_loss,
            held_out_loss,
            seconds,
        )
        return EpochRecord(self.number, epoch, rate, train_loss, held_out_loss, seconds)

    def _keep_pace(self, epoch: int) -> None:
        paces = self.anchors.paces(self.network.tables, epoch, self.settings.max_epochs)
        self.step.keep_pace(paces)

    def _pass(self, epoch: int) -> float:
        """One pass over the training rows in random order; the mean loss on the way."""
        sizes, pieces = self._pieces(epoch)
        ends = [batch_ends(size, self.settings.batch_size) for size in sizes]
        n_batches = sum(map(len, ends))
        i = sum(map(len, ends[: self.n_pieces]))
        for piece, rows in pieces:
            self.step.look_at(piece)
            order, start = self.step.ordered(rows), 0
            for end in ends[self.n_pieces]:
                rate = self.schedule.rate(epoch - 1 + i / n_batches)
                self.total += self.step(order[start:end], rate, self._key(epoch, i))
                start, i = end, i + 1
            self.n_pieces += 1
            self._keep(len(rows))
        mean = float(self.total) / max(sum(sizes), 1)
        self.n_pieces, self.total = 0, 0.0
        return mean

    def _pieces(self, epoch: int) -> tuple[list[int], Iterator[tuple[TrainingData, Array]]]:
        """Rows of each piece of an epoch; the pieces that are left, each with a random order."""
        if isinstance(self.data, TrainingData):
            return [len(self.data)], iter([(self.data, self._order(self.data))])
        # An order of its own for each epoch, from the seed alone: one may begin in the middle.
        return self.data.shuffled([self.job.seed, 1, epoch], self.n_pieces)

    def _order(self, data: TrainingData) -> Array:
        order = self.rng.permutation(len(data)).astype(np.int32)
        return order if data.rows is None else data.rows[order].astype(np.int32)

    def _keep(self, n_rows: int) -> None:
        """Write the state of the training, if it is time."""
        checkpoint = self.job.checkpoint
        if checkpoint is None or not checkpoint.is_due(n_rows):
            return
        assert isinstance(self.step, Step)
        record = {
            "n_restarts": self.n_restarts,
            "n_pieces": self.n_pieces,
            "total": self.total,
            "n_steps": self.step.adamw.n_steps,
            "schedule": vars(self.schedule),
            "history": [vars(epoch) for epoch in self.history],
        }
        checkpoint.save(self.step.state(), self.best, record)

    def _resume(self, kept: Kept) -> None:
        """Go on from a state that was kept."""
        assert isinstance(self.step, Step)
        for array, stored in zip(self.step.state(), kept.arrays, strict=True):
            array[...] = stored
        self.best = kept.best
        record = kept.record
        self.n_pieces, self.total = record["n_pieces"], record["total"]
        self.step.adamw.n_steps = record["n_steps"]
        vars(self.schedule).update(record["schedule"])
        self.history = [EpochRecord(**epoch) for epoch in record["history"]]

    def _key(self, epoch: int, i: int) -> int:
        """A number for each step of each training, for dropout."""
        return (self.job.seed << 48) ^ (epoch << 32) ^ i


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
            layer.running_norm = running_norm
        self.head = network.head(self.gradients)
        self.row_adagrad = RowAdagrad(network.tables)
        self.row_adagrad.anchors = anchors.homes(network.tables)
        self.row_adagrad.widths = network.tables.by_look(anchors.widths(network.tables))
        self.adamw = AdamW(network.weights, self.gradients, network.n_decayed)
        self.dtype = network.weights.flat.dtype

    def take(self, data: Data, counts: Array) -> None:
        """The rows to train on from here, and how many of them look at each row of the tables."""
        self.data, self.counts = _in_memory(data), counts
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
        most = max(batch_sizes(len(data), self.settings.batch_size), default=0)
        if isinstance(data, StreamedData):  # cut into batches piece by piece
            most = self.settings.batch_size
        for layer in self.layers:
            layer.allocate(most)
        self.row_adagrad.allocate(most)
        self._ones = np.ones(most, self.dtype)
        self._n_rows = most

    def look_at(self, piece: TrainingData) -> None:
        """Those of the rows that steps get numbers of from here; all if they are in memory."""
        self.data, self.lookup.inputs = piece, piece.inputs

    def ordered(self, rows: Array) -> Array:
        """Rows of an epoch; steps take slices of them."""
        return rows

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
        if len(rows) != self._n_rows:
            self._n_rows = len(rows)
            for layer in self.layers:
                layer.resize(len(rows))
        x = self.lookup.forward(self.kernels, rows, key)
        x = self.lookup.seen(self.interaction.forward(self.kernels, x))
        for layer in self.hidden:
            x = layer.forward(self.kernels, x, key)
        return self.interaction.add_scores(self.head.forward(x))

    def _masses(self, rows: Array) -> Array:
        if self.data.weight is None:
            return self._ones[: len(rows)]
        return (self.data.weight[rows] * self.mass_scale).astype(self.dtype, copy=False)

    def keep_pace(self, paces: Array) -> None:
        """Factor (lines,) of each row's steps from here; empty for 1."""
        self.row_adagrad.paces = paces

    def settle(self, lines: Array, onto: Sequence[int]) -> None:
        """As `EmbeddingTables.settle`, each row at home."""
        self.network.tables.settle(lines, onto, self.row_adagrad.anchors)

    def value(self, data: TrainingData) -> float:
        """Weighted mean loss of other rows."""
        inputs = data.inputs if data.rows is None else data.inputs.take(data.rows)
        weight = None if data.weight is None else data.part(data.weight)
        scores = self.network.predict(inputs, dtype=np.float32)
        return self.loss.value(scores, data.part(data.target), weight)

    def state(self) -> list[Array]:
        """Every array that training changes and that the best epoch has to give back."""
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
    p = settings.category_dropout
    if not p:
        return counts
    n_columns, n_pairs = len(network.config.n_codes), len(settings.pair_columns)
    kept = [1.0 - p] * (n_columns - n_pairs) + [(1.0 - p) ** 2] * n_pairs
    kept += [1.0] * len(network.config.n_knots)
    return counts * network.tables.per_line(kept, counts.dtype)


def _in_memory(data: Data) -> TrainingData:
    """The rows, or some of those that are streamed."""
    return data if isinstance(data, TrainingData) else data.first


def _with_held_out(job: Job) -> Data:
    """All rows of a training, those too that it held out."""
    if isinstance(job.data, StreamedData):
        return job.data.with_held_out()
    held_out, rows = job.held_out, job.data.rows
    assert held_out is not None
    assert held_out.rows is not None
    assert rows is not None
    return replace(job.data, rows=np.concatenate([rows, held_out.rows]))


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


def _without_rare(data: Data, fewest_rows: Sequence[int]) -> Data:
    """The data with the codes of what fewer of its rows look at turned to the shared row's."""
    if isinstance(data, StreamedData):
        return data.without_rare(fewest_rows, SHARED)
    asked = [c for c, fewest in enumerate(fewest_rows) if fewest > 1]
    if not asked:
        return data
    codes = data.inputs.looked_up.copy()
    for c in asked:
        n_codes = int(codes[:, c].max(initial=0)) + 1
        rare = np.bincount(data.part(codes[:, c]), minlength=n_codes) < fewest_rows[c]
        rare[0] = False  # the unknown stays what it is
        codes[:, c] = np.where(rare[codes[:, c]], SHARED, codes[:, c])
    if data.inputs.looks is None:
        return replace(data, inputs=replace(data.inputs, codes=codes))
    return replace(data, inputs=replace(data.inputs, looks=codes))


def _copied(arrays: list[Any], old: list[Any]) -> list[Any]:
    """Copies, in the memory of older ones where there are any."""
    if not old:
        return deepcopy(arrays)
    for copy, array in zip(old, arrays, strict=True):
        copy[...] = array
    return old
