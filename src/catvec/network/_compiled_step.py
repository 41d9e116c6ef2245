"""The step whose batches are trained on many at a time, by the compiled loop of `_numba_steps`."""

from __future__ import annotations

import numpy as np

from catvec.network import _numba_steps as loops
from catvec.network._interactions import FactorizationMachine, Product
from catvec.network._kernels import Array
from catvec.network._layers import EPSILON, MOMENTUM, Hidden
from catvec.network._optimizers import TABLE_RATE
from catvec.network._step import Step

__all__ = ["CompiledStep"]

STEPS_OF_A_CALL = 64
"""An interruption waits until they are taken: about 20 milliseconds with 256 rows each."""

NO_WEIGHTS: Array = np.empty(0, np.float32)
NO_MATRIX: Array = np.empty((0, 0), np.float32)
NO_PAIRS: Array = np.empty((0, 4), np.int64)
NO_BLOCKS: Array = np.empty((0, 2), np.int64)


class CompiledStep(Step):
    """A `Step` that takes all steps of `learn` without Python's lock, so that threads pay.

    What seldom is asked for would make the loop take longer to compile, and is done step by step:
    columns of lists, tables that vectors are composed of, dropout of elements, and a linear model,
    which has no layers. The loop is compiled once for each number of layers.
    """

    def learn(self, rows: Array, ends: Array, rates: Array, keys: Array) -> float:
        lookup = self.lookup
        if lookup.list_columns or lookup.composition or lookup.threshold or not self.hidden:
            return super().learn(rows, ends, rates, keys)
        data = self._rows()
        # Nothing checks bounds later.
        assert np.diff(ends, prepend=0).max(initial=0) <= self.most
        assert lookup.at.shape[1] == data.codes.shape[1] + data.positions.shape[1]
        self.resize(self.most)
        parts = (
            data,
            loops.Objective(loops.LOSSES[self.settings.loss], float(self.settings.quantile or 0.5)),
            self._tables(),
            self._source(),
            self._pooling(),
            tuple(map(_layer, self.hidden)),
            self._head(),
            self._weights(),
        )
        total = 0.0
        for i in range(0, len(ends), STEPS_OF_A_CALL):
            some = slice(i, i + STEPS_OF_A_CALL)
            start = ends[i - 1] if i else 0
            batches = rows[start:], ends[some] - start, rates[some], keys[some]
            total += loops.learn(*parts, *batches, self.adamw.n_steps)
            self.adamw.n_steps += len(ends[some])
        return total

    # --- what the loop takes ---

    def _rows(self) -> loops.Rows:
        inputs, weight = self.lookup.inputs, self.data.weight
        weight = NO_WEIGHTS if weight is None else weight
        found = inputs.looked_up, inputs.positions, inputs.numbers, self.data.target, weight
        return loops.Rows(*found, float(self.mass_scale))

    def _tables(self) -> loops.Tables:
        adagrad, at = self.row_adagrad, self.lookup.at
        held = adagrad.n_held
        return loops.Tables(
            adagrad.tables.flat,
            adagrad.squares,
            adagrad.pulls,
            adagrad.anchors,
            adagrad.paces,
            adagrad.widths[held:],
            adagrad.slots,
            adagrad.tables.layout,
            adagrad.sums,
            adagrad.lines,
            TABLE_RATE,
            held,
            np.empty((len(at), at.shape[1] - held), at.dtype) if held else at,
        )

    def _source(self) -> loops.Source:
        lookup = self.lookup
        buffers = lookup.at, lookup.shares, lookup.out
        return loops.Source(lookup.n_knots, lookup.limits, lookup.pairs, lookup.n_vectors, *buffers)

    def _pooling(self) -> loops.Pooling:
        found = self.interaction
        if isinstance(found, FactorizationMachine):
            assert found.weight_gradient is not None
            weights, buffers = (found.weight, found.weight_gradient), found.buffers
            return loops.Pooling(NO_PAIRS, found.blocks, *weights, *buffers)
        pairs = found.pairs if isinstance(found, Product) else NO_PAIRS
        return loops.Pooling(pairs, NO_BLOCKS, *[NO_MATRIX] * 5)

    def _head(self) -> loops.Head:
        head = self.head
        assert head.bias is not None
        assert head.bias_gradient is not None
        return loops.Head(
            head.weight,
            head.weight_gradient,
            head.bias,
            head.bias_gradient,
            head.out,
            head.back,
            np.empty_like(head.out),
            np.empty(len(head.out), self.dtype),
        )

    def _weights(self) -> loops.Weights:
        adamw = self.adamw
        buffers = adamw.values, adamw.gradients, adamw.first, adamw.second
        return loops.Weights(*buffers, adamw.n_decayed, float(self.settings.weight_decay))


def _layer(layer: Hidden) -> loops.Layer:
    linear = layer.linear
    start, stop, _ = linear.asked.indices(len(linear.weight))
    is_whole = stop - start == len(linear.weight)
    return loops.Layer(
        layer.number,
        linear.weight,
        linear.weight_gradient,
        layer.scale,
        layer.scale_gradient,
        layer.shift,
        layer.shift_gradient,
        layer.mean,
        layer.variance,
        layer.batch_mean,
        layer.batch_variance,
        layer.inverse,
        linear.out,
        layer.out,
        linear.back,
        linear.back if is_whole else np.empty((len(linear.back), stop - start), np.float32),
        start,
        stop,
        layer.threshold,
        layer.keep,
        not layer.running_norm,
        MOMENTUM,
        EPSILON,
    )
