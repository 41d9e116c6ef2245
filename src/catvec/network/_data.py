"""Rows with targets as a training takes them, and how they are cut into batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

import numpy as np

from catvec.network._inputs import Inputs
from catvec.network._kernels import Array

__all__ = ["TrainingData", "batch_ends", "batch_sizes", "weight_scale"]


class Weighted(Protocol):
    """Rows of some mean weight."""

    @property
    def mean_weight(self) -> float:
        """Of the rows."""


@dataclass(frozen=True)
class TrainingData:
    """Rows with targets.

    Parameters
    ----------
    inputs : Inputs
        n rows.
    target : array of shape (n,), float32
        Class numbers for the softmax loss.
    weight : array of shape (n,), float32, optional
        At least 0. Scaling all weights scales the data against the prior, nothing else.
    rows : array of int, optional
        Only these rows take part, without a copy of them being made.
    """

    inputs: Inputs
    target: Array
    weight: Array | None = None
    rows: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs) if self.rows is None else len(self.rows)

    @property
    def mean_weight(self) -> float:
        """Of the rows that take part; 1 without weights."""
        return 1.0 if self.weight is None else float(self.part(self.weight).mean(dtype=np.float64))

    def part(self, values: Array) -> Array:
        """Those of `values` (n,) that take part."""
        return values if self.rows is None else values[self.rows]

    def of_columns(self, n_columns: int) -> TrainingData:
        """The same with the codes of the first columns only, where there are more."""
        inputs = self.inputs.of_columns(n_columns)
        return self if inputs is self.inputs else replace(self, inputs=inputs)

    def alone(self) -> TrainingData:
        """The rows that take part, and no others."""
        if self.rows is None:
            return self
        weight = None if self.weight is None else self.part(self.weight)
        return TrainingData(self.inputs.take(self.rows), self.part(self.target), weight)


def weight_scale(data: Weighted) -> float:
    """What weights are multiplied by, so that their mean is 1."""
    mean = data.mean_weight
    return 1.0 / mean if mean > 0 else 0.0


def batch_sizes(n_rows: int, batch_size: int) -> list[int]:
    """As few batches as `batch_size` allows, of sizes that differ by at most one row.

    Equal sizes leave no small last batch, whose batch norm would be noise.
    """
    n_batches = -(-n_rows // batch_size)
    if not n_batches:
        return []
    size, more = divmod(n_rows, n_batches)
    return [size + 1] * more + [size] * (n_batches - more)


def batch_ends(n_rows: int, batch_size: int) -> list[int]:
    """Where each batch of an epoch ends."""
    return list(accumulate(batch_sizes(n_rows, batch_size)))
