"""A trained network that learns on: its tables grow, and its optimizers go on from where they were.

Rows that come later come in small frames, each is passed over once, and nothing can be held out.
So a step is as long as its rows are many, batch norm keeps the running statistics of the fit as
constants, and no occurrence moves a row of a table further than its prior allows; see `Learned`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from catvec.errors import TrainingError
from catvec.network._data import TrainingData, batch_ends
from catvec.network._kernels import Array
from catvec.network._losses import make_loss
from catvec.network._network import Network
from catvec.network._optimizers import TABLE_RATE
from catvec.network._step import Step, TrainingConfig, count_lines
from catvec.network._training import SHARED

__all__ = ["Learned", "Memory"]

CURVATURE = 4.0
"""What a squared gradient says of curvature, see `Learned._bounds`: the vectors of a row move
together, so that each on its own should go less far. Empirical, of 0, 0.3, 1, 4, 10 and 30 on rows
held out of the training rows of amazon_access and movielens_100k."""

SAMPLE = 4096  # rows by which a memory is estimated where no optimizer left one


@dataclass(eq=False)
class Memory:
    """What the optimizers of a network have to know to go on; arrays are changed in place.

    Attributes
    ----------
    squares : array of shape (lines,), float32
        Accumulators of the rows of the tables.
    first, second : arrays of shape (weights,), float32
        Moments of the weights.
    n_steps : int
        Steps that made them.
    counts : array of shape (lines,), float64
        Weight of the rows that looked at each row of the tables so far.
    kept : array of shape (lines,), bool
        Rows of the tables that a frozen network keeps as they are.
    """

    squares: Array
    first: Array
    second: Array
    n_steps: int
    counts: Array
    kept: Array

    @classmethod
    def of(cls, step: Step) -> Memory:
        """That of a training which has ended."""
        adamw, squares = step.adamw, step.row_adagrad.squares
        kept = np.zeros(len(squares), bool)
        return cls(squares, adamw.first, adamw.second, adamw.n_steps, step.counts, kept)

    @classmethod
    def of_effects(cls, network: Network, told: Sequence[Array]) -> Memory:
        """That of a network which sees effects, and will not learn on by steps.

        Parameters
        ----------
        network : Network
        told : sequence of array of shape (n_codes,), bool
            By column and pair the codes of which effects tell something.
        """
        n_lines, none = network.tables.n_lines, np.zeros(0, np.float32)
        squares, kept = np.zeros(n_lines, np.float32), np.zeros(n_lines, bool)
        memory = cls(squares, none, none, 0, np.ones(n_lines), kept)
        memory.hear(told)
        return memory

    def hear(self, told: Sequence[Array]) -> None:
        """Note of which codes effects tell something, as `of_effects` takes them."""
        known = np.concatenate(told)
        self.counts[: len(known)] = known

    @classmethod
    def estimated(
        cls, network: Network, settings: TrainingConfig, data: TrainingData, kernels: Any
    ) -> Memory:
        """What optimizers would know, where those that trained the network cannot tell.

        A pass over some of the rows in steps of length 0 leaves the network as it is, and the
        gradients that they note; the accumulators are then those of all rows.

        Parameters
        ----------
        network : Network
            Trained elsewhere, by PyTorch.
        settings : TrainingConfig
        data : TrainingData
            The rows that it was trained on.
        kernels : module
            As `load_kernels` gave it.

        Returns
        -------
        Memory
        """
        loss = make_loss(settings.loss, network.config.n_outputs, settings.quantile)
        copy = Network.from_state(network.config, network.state())
        step = Step(copy, loss, settings, kernels, running_norm=True)
        step.take(data, count_lines(kernels, copy, data))
        rows = np.arange(len(data)) if data.rows is None else data.rows
        rows = rows[:: -(-len(rows) // SAMPLE)].astype(np.int32)
        start = 0
        for end in batch_ends(len(rows), settings.batch_size):
            step(rows[start:end], 0.0, start)
            start = end
        step.row_adagrad.squares *= len(data) / max(len(rows), 1)
        return cls.of(step)

    def state(self) -> dict[str, Array]:
        """All arrays by name, for a file; views, not copies."""
        return {
            "squares": self.squares,
            "first": self.first,
            "second": self.second,
            "n_steps": np.array([self.n_steps]),
            "counts": self.counts,
            "kept": self.kept,
        }

    @classmethod
    def from_state(cls, state: dict[str, Array]) -> Memory:
        """Undo `state`."""
        arrays = {name: array.copy() for name, array in state.items() if name != "n_steps"}
        return cls(n_steps=int(state["n_steps"][0]), **arrays)

    def forget(self, factor: float) -> None:
        """Let all that was seen weigh `factor` times as much."""
        self.counts *= factor
        self.squares *= self.squares.dtype.type(factor)


@dataclass(eq=False)
class Learned:
    """A trained network, and the memory of its training.

    Parameters
    ----------
    network : Network
    memory : Memory
    """

    network: Network
    memory: Memory

    def grown(self, moved: Sequence[Array], starts: Sequence[Array]) -> Learned:
        """With more rows in the tables of categories.

        Parameters
        ----------
        moved : sequence of array of int
            By table the new place of each old row.
        starts : sequence of array of int
            By table the old row whose vector each new row starts with.

        Returns
        -------
        Learned
            Of arrays of its own: what fails to learn on leaves this object as it was.
        """
        old = self.network
        n = len(old.config.n_codes)  # fewer where it does not see the pairs
        moved, starts = moved[:n], starts[:n]
        if not any(map(len, starts)):
            return deepcopy(self)
        n_codes = tuple(len(to) + len(start) for to, start in zip(moved, starts, strict=True))
        network = Network(replace(old.config, n_codes=n_codes), old.tables.flat.dtype)
        network.weights.flat[...] = old.weights.flat
        network.running.flat[...] = old.running.flat
        column_of = {tables[0]: c for c, tables in enumerate(old.composition.tables)}
        lines = []  # of the old tables in the new ones
        for t, first in enumerate(network.tables.centers().tolist()):
            table, new = old.tables.table(t), network.tables.table(t)
            places = np.arange(len(table))
            if len(new) > len(table):
                c = column_of[t]
                places = moved[c]
                new[np.delete(np.arange(len(new)), places)] = table[starts[c]]
            elif t in column_of:
                places = moved[column_of[t]]
            new[places] = table
            lines.append(first + places)
        return Learned(network, self._remembered(np.concatenate(lines), network.tables.n_lines))

    def _remembered(self, lines: Array, n_lines: int) -> Memory:
        by_line: dict[str, Any] = {}
        for name in ("squares", "counts", "kept"):
            array = getattr(self.memory, name)
            by_line[name] = np.zeros(n_lines, array.dtype)
            by_line[name][lines] = array
        first, second = self.memory.first.copy(), self.memory.second.copy()
        return replace(self.memory, first=first, second=second, **by_line)

    def learn(
        self,
        data: TrainingData,
        settings: TrainingConfig,
        kernels: Any,
        *,
        key: int,
        ages: Array | None = None,
        mean_weight: float = 1.0,
        frozen: bool = False,
    ) -> float:
        """Pass over further rows once.

        Parameters
        ----------
        data : TrainingData
            All of its rows take part; codes of rare combinations are those of the shared row.
        settings : TrainingConfig
            Those of the fit; its rate is that of a step of `batch_size` rows.
        kernels : module
            As `load_kernels` gave it.
        key : int
            Another one for each call, for dropout.
        ages : array of shape (n,), optional
            What the rows will weigh in the counts.
        mean_weight : float
            Mean weight of all rows so far.
        frozen : bool
            Move nothing but rows of the tables that are new since the last call without it.

        Returns
        -------
        float
            The mean loss of the rows, each before it was learned; 0 for none.

        Raises
        ------
        TrainingError
            If the loss, or what was learned, becomes infinite or NaN; the network is then spoilt.
        """
        if not len(data):
            return 0.0
        memory = self.memory
        self._keep(frozen)
        self._count(data, kernels, ages)
        shared = [SHARED * (fewest > 1) for fewest in settings.fewest_rows]
        self._settled(shared)
        step = self._step(settings, kernels)
        step.take(data, memory.counts)
        step.mass_scale = 1.0 / mean_weight if mean_weight > 0 else 0.0
        rows = np.arange(len(data), dtype=np.int32)
        total, start = 0.0, 0
        for end in batch_ends(len(rows), settings.batch_size):
            total += self._move(step, rows[start:end], key + start, frozen)
            start = end
        memory.n_steps = step.adamw.n_steps
        learned = *self.network.state().values(), memory.squares, memory.first, memory.second
        if not all(np.isfinite(array).all() for array in learned):
            raise _spoilt("what was learned of further rows is not finite")
        unseen = self._settled(shared)
        self.network.tables.center(unseen, np.flatnonzero(shared))
        return total / len(data)

    def follow(self, effects: Sequence[tuple[Array, Array]], *, frozen: bool = False) -> None:
        """Show a network that sees effects what they are by now.

        Parameters
        ----------
        effects : sequence of tuple of array
            As `Network.follow` takes them.
        frozen : bool
            Change nothing but rows of the tables that are new since the last call without it.
        """
        self._keep(frozen)
        before = self.network.tables
        self.network.follow(effects)
        firsts = before.centers()[: len(effects)].tolist()
        for t, (first, (_, confidences)) in enumerate(zip(firsts, effects, strict=True)):
            table, kept = self.network.tables.table(t), self.memory.kept[first:][: len(confidences)]
            table[kept] = before.table(t)[kept]
            table[confidences == 0] = table[0]
        if not frozen:
            self.memory.hear([confidences > 0 for _, confidences in effects])

    # --- inside ---

    def _settled(self, shared: Sequence[int]) -> Array:
        """The lines that no row looked at and that may move, with vectors that stand for them."""
        unseen = np.flatnonzero((self.memory.counts <= 0) & ~self.memory.kept)
        self.network.tables.settle(unseen, shared)
        return unseen

    def _keep(self, frozen: bool) -> None:
        """Note what a frozen network keeps: all that was met when it was frozen."""
        kept, memory = self.memory.kept, self.memory
        if not frozen:
            kept[:] = False
        elif not kept.any():
            np.greater(memory.counts, 0, out=kept)
            kept[self.network.tables.centers()] = True

    def _count(self, data: TrainingData, kernels: Any, ages: Array | None) -> None:
        weight = data.weight if ages is None else ages.astype(np.float32)
        self.memory.counts += count_lines(kernels, self.network, replace(data, weight=weight))

    def _step(self, settings: TrainingConfig, kernels: Any) -> Step:
        """A step that goes on from the memory; its arrays are the memory's."""
        loss = make_loss(settings.loss, self.network.config.n_outputs, settings.quantile)
        step = Step(self.network, loss, settings, kernels, running_norm=True)
        memory = self.memory
        step.row_adagrad.squares = memory.squares
        step.adamw.first, step.adamw.second = memory.first, memory.second
        step.adamw.n_steps = memory.n_steps
        return step

    def _bounds(self, step: Step, lines: Array) -> Array:
        r"""Least accumulators of some lines, which bound how far an occurrence moves a row.

        .. math:: |\Delta v| \le g / (\lambda + c \textstyle\sum_i g_i^2)

        where g is its gradient, :math:`g_i` those of the row so far and c `CURVATURE`. With n
        occurrences the prior and a loss of curvature h want a row at about
        :math:`v_0 - \sum_i g_i / (\lambda + n h)`: one more should add its own part, and no more.
        Squared gradients stand for the curvature, as in the Fisher information (Amari 1998, Natural
        Gradient Works Efficiently in Learning). Adagrad's first steps are far longer and its later
        ones hardly shrink, which a fit mends by many epochs at a falling rate; a single pass does
        not. Accumulators are the sums of squares of gradients over `batch_size`, and gradients are
        in units of the mean weight, so that the prior has to be, too.
        """
        settings, tables = step.settings, self.network.tables
        batch = settings.batch_size
        rate, squares = settings.learning_rate * TABLE_RATE / batch, self.memory.squares[lines]
        table = np.searchsorted(tables.centers(), lines, side="right") - 1
        owners = np.asarray(tables.owners, np.int64)[table]
        strength = np.asarray(settings.shrinkage, squares.dtype)[owners]
        strength *= squares.dtype.type(step.mass_scale)
        return np.asarray((rate * (strength + CURVATURE * batch**2 * squares)) ** 2)

    def _move(self, step: Step, rows: Array, key: int, frozen: bool) -> float:
        """One step; the sum of the rows' losses.

        B rows are a part of a step of `batch_size`, whose other rows look at nothing: so the
        accumulators of the tables stay in its units. A gradient divided by 20 rows would fill them
        as fast as 150 of a fit do.
        """
        settings, tables = step.settings, step.row_adagrad
        part = tables.squares.dtype.type(len(rows) / settings.batch_size)
        loss, masses, gradient = step.backward(rows, key)
        if not np.isfinite(loss):
            raise _spoilt(f"the loss of further rows became {loss}")
        before = self._kept_rows(step) if frozen else []
        lines = self._looked_at(step)
        squares = tables.squares[lines]
        bounded = np.maximum(squares, self._bounds(step, lines))
        tables.squares[lines] = bounded
        rate = settings.learning_rate
        tables.step(step.kernels, step.lookup, masses * part, gradient * part, rate)
        tables.squares[lines] += squares - bounded
        if not frozen:
            step.adamw.step(step.kernels, rate * float(part), settings.weight_decay)
        for table, places, vectors in before:
            table[places] = vectors
        return float(loss)

    def _looked_at(self, step: Step) -> Array:
        """Lines that a step may move, each once."""
        found = [np.zeros(0, np.int64)]  # there may be no tables, of numbers that are only scaled
        for (_, line, _, _, n_rows), at in zip(
            self.network.tables.layout.tolist(), step.lookup.at.T, strict=True
        ):
            near = np.append(at, at + 1)  # a number looks at two knots
            found.append(line + np.append(near[near < n_rows], 0))
        return np.unique(np.concatenate(found))

    def _kept_rows(self, step: Step) -> list[tuple[Array, Array, Array]]:
        """By table the places and vectors of kept rows that a step may move."""
        tables, found = self.network.tables, []
        for (start, line, dim, _, n_rows), at in zip(
            tables.layout.tolist(), step.lookup.at.T, strict=True
        ):
            table = tables.flat[start : start + n_rows * dim].reshape(n_rows, dim)
            near = np.append(at, at + 1)  # a number looks at two knots
            places = np.unique(np.append(near[near < n_rows], 0))
            places = places[self.memory.kept[line + places]]
            found.append((table, places, table[places].copy()))
        return found


def _spoilt(what: str) -> TrainingError:
    return TrainingError(f"{what}; look for extreme values in the numbers or the target")
