"""A model within a given number of bytes: who has a row of its own, and what a row takes.

What costs least comes first. Networks learn as they do without a budget, and are packed when they
are done (`_packing`): that keeps every category, its count and its name, and takes a tenth of the
bytes at a loss of quality below 1% of what was learned (benchmarks/compression.py).

Where not even the coarsest rows would fit, counts decide before training. The most frequent
categories of all columns, compared with one another, keep rows of their own and their names; all
others of a column share a few rows that a hash of their value chooses, one for fifty, and leave no
name behind. On validation rows of amazon_access at a tenth of the memory, before rows were packed,
with no row, with one for fifty, for five and for one: 0.1366, 0.1334, 0.1358 and 0.1379 of log
loss; on a generated table most of whose categories are met once, the fewer the better.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from catvec._checks import check_int, refuse
from catvec.errors import ParameterError
from catvec.estimators._choice import (
    PAIR_DIM,
    choose_dims,
    choose_n_networks,
    epoch_grid,
    knot_dims,
)
from catvec.frames import FIRST, Schema, TableSpec, Vocabulary
from catvec.network._interactions import multiplied

if TYPE_CHECKING:
    from catvec.estimators._base import EmbeddingEstimator
    from catvec.estimators._parameters import SharedParameters

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SHARING = 50  # rows of its own for which a column has one that is shared
PAIRS_PART = 0.5  # of the bytes is at most for pairs, where there may be any
CORRECTIONS = 3  # of how many categories fit, by what their names are found to take
FLOAT, HALF = 4, 2  # bytes
LEAST_BITS = 12
"""Bits of a packed row, at least; with more elements in the tables of all networks than that, one
for each. On rows held out of amazon_access, where that is 64, 60 bits lost 2.0% of what was learned
and 144 bits 0.1%; of one table of width 4, most of whose categories are met once, 8 bits lost 3.5%,
11 bits 2.3% and 14 bits 0.6%. With fewer rows of more bits more was lost."""


def read_bytes(budget: object) -> int:
    """Bytes that ``"64MB"``, ``"1.5 GiB"`` or a number mean.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    if not isinstance(budget, str):
        return check_int("memory_budget", budget, minimum=1)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B\s*", budget)
    if found is None:
        raise refuse("memory_budget", 'bytes: an int, or text like "64MB" or "2GiB"', budget)
    number, unit, binary = found.groups()
    power = list(UNITS).index(unit.replace("K", "k"))
    return max(1, int(float(number) * (1024**power if binary else 1000**power)))


@dataclass(frozen=True)
class Limits:
    """What a budget leaves.

    Attributes
    ----------
    for_pairs : int or None
        Bytes that all pairs together may take.
    pair_row, pair_alone : int
        Bytes of a combination, and of a pair that knows none.
    n_bytes : int or None
        Bytes that the model is to be packed into; None where it fits as it is.
    """

    for_pairs: int | None = None
    pair_row: int = 0
    pair_alone: int = 0
    n_bytes: int | None = None

    def most_pairs(self, wanted: int) -> int:
        """So many pairs, or fewer where not all would know a combination."""
        if self.for_pairs is None:
            return wanted
        return min(wanted, self.for_pairs // (self.pair_alone + self.pair_row))

    def most_rows(self, n_pairs: int, wanted: int) -> int:
        """So many combinations of each of some pairs, or as many as there is room for."""
        if self.for_pairs is None:
            return wanted
        left = self.for_pairs // max(n_pairs, 1) - self.pair_alone
        return min(wanted, max(left, 0) // self.pair_row)


NO_LIMITS = Limits()


def within_budget(
    p: SharedParameters,
    schema: Schema,
    specs: Mapping[str, TableSpec],
    n_rows: int,
    n_effects: int,
    weighted: bool,
) -> tuple[dict[str, TableSpec], Limits]:
    """What the tables of columns are to be for the model to have at most so many bytes.

    Parameters
    ----------
    p : SharedParameters
        With `memory_budget`.
    schema : Schema
        Of all categories.
    specs : mapping of str to TableSpec
        What the user asks of tables, which stays.
    n_rows : int
        Training rows.
    n_effects : int
        Effects of a category: one, or one by class.
    weighted : bool
        Whether rows have weights, so that counts do not tell the confidences.

    Returns
    -------
    specs : dict of str to TableSpec
        With entries more for columns whose categories have to share rows.
    limits : Limits

    Raises
    ------
    ParameterError
        If the budget is below what the network's weights take alone.
    """
    budget, given = read_bytes(p.memory_budget), dict(specs)
    columns = {v.name: v for v in schema.vocabularies}
    taken = {*specs, *(spec.share for spec in specs.values())}
    taken |= {
        v.name
        for v, kind in zip(columns.values(), schema.kinds, strict=False)
        if kind.name == "list"
    }
    free = {name: v for name, v in columns.items() if name not in taken}
    own = 1 - PAIRS_PART if p.pairs is not None and len(columns) > 1 else 1  # part for columns
    for packed in (False, True):
        costs = _Costs(p, schema, n_rows, n_effects, weighted, free if packed else None)
        left = budget - costs.fixed - costs.of(columns) + costs.of(free)
        for_pairs = max(0, left - min(costs.of(free), int(left * own)))
        of_pairs = for_pairs, costs.pair_row, costs.pair_alone
        limits = Limits(*of_pairs, budget if packed else None)
        if costs.of(free) <= left - for_pairs:
            return given, limits
    fewest = ceil(sum(costs.row(v) * (FIRST + 1) for v in free.values()))
    if left - for_pairs < fewest:
        raise ParameterError(
            f"`memory_budget` must be at least {budget - left + ceil(fewest / own):,} bytes, which"
            " this network takes with one row for all categories of a column, got"
            f" {budget:,}: or take fewer networks, columns, knots or hidden units"
        )
    return {**given, **_shared(free, costs, left - for_pairs)}, limits


def _shared(free: Mapping[str, Vocabulary], costs: _Costs, budget: int) -> dict[str, TableSpec]:
    """Specs of the columns that do not keep all categories, with rows worth `budget` bytes."""
    budget -= ceil(sum(costs.row(v) * (FIRST + 1) for v in free.values()))
    room = budget * SHARING / (SHARING + 1)
    kept = _most_frequent(free, costs, room)
    for _ in range(CORRECTIONS):
        # Fewer integers have wider gaps, so that a name may take more than the mean of all.
        parts = [(free[name], part) for name, part in kept.items()]
        names = sum(v.only(part).compact().nbytes for v, part in parts)
        expected = sum(costs.names[v.name] * part.sum() for v, part in parts)
        kept = _most_frequent(free, costs, room - max(names - expected, 0))
    counts = {name: int(part.sum()) for name, part in kept.items()}
    return {
        name: TableSpec("hashed", n_buckets=max(1, n_exact // SHARING), n_exact=n_exact)
        for name, n_exact in counts.items()
        if n_exact < len(free[name])
    }


def _most_frequent(
    free: Mapping[str, Vocabulary], costs: _Costs, room: float
) -> dict[str, np.ndarray]:
    """By column which categories (n,) are among the most frequent of all columns that fit."""
    counts = np.concatenate([v.counts[FIRST:] for v in free.values()])
    sizes = np.concatenate([np.full(len(v), costs.row(v)) for v in free.values()])
    order = np.argsort(-counts, kind="stable")
    kept = np.zeros(len(counts), bool)
    kept[order[: np.searchsorted(np.cumsum(sizes[order]), room, side="right")]] = True
    ends = np.cumsum([len(v) for v in free.values()])[:-1]
    return dict(zip(free, np.split(kept, ends), strict=True))


class _Costs:
    """Bytes of a model's parts, as `model_bytes` counts them.

    With `packed` columns the least that a packed model takes: the others' are in half precision.
    """

    def __init__(
        self,
        p: SharedParameters,
        schema: Schema,
        n_rows: int,
        n_effects: int,
        weighted: bool,
        packed: Mapping[str, Vocabulary] | None,
    ) -> None:
        self.n_networks = choose_n_networks(p, n_rows, epoch_grid(p)[-1])
        self.told = FLOAT * (n_effects + 1) if packed is None else n_effects + weighted
        self.packed = packed
        compact = {v.name: v if packed is None else v.compact() for v in schema.vocabularies}
        self.names = {name: v.nbytes / max(v.n_codes, 1) for name, v in compact.items()}
        dims, knots = choose_dims(p, schema), knot_dims(schema)
        self.dims = dict(zip(schema.categorical_names, dims, strict=True))
        self.element = FLOAT if packed is None else HALF
        self.pair_row = self.element * PAIR_DIM * self.n_networks + FLOAT * (n_effects + 1) + 16
        with_knots = [n for n in schema.numbers if len(n.knots)]
        n_tables = sum((len(n.knots) + 2) * d for n, d in zip(with_knots, knots, strict=True))
        n_inputs = sum(dims) + sum(knots) + schema.n_dense
        if p.interactions != "concatenate":
            n_codes = [v.n_codes for v in schema.vocabularies]
            n_inputs += sum(width for _, _, width in multiplied(n_codes, dims))
        sizes = [n_inputs, *p.hidden_sizes, n_effects]
        matrix, scale = (FLOAT, 0) if packed is None else (1, FLOAT)  # of an element, and of a row
        weights = sum((matrix * b + scale) * a + 4 * FLOAT * b for a, b in pairwise(sizes))
        of_input = self.n_networks * (matrix * sizes[1] + scale)
        self.pair_alone = PAIR_DIM * of_input + FIRST * self.pair_row
        self.fixed = self.n_networks * (self.element * n_tables + weights)
        self.fixed += sum(map(self._directions, (packed or {}).values()))

    def of(self, columns: Mapping[str, Vocabulary]) -> int:
        """Of all rows of some columns."""
        return ceil(sum(self.row(v) * v.n_codes for v in columns.values()))

    def row(self, vocabulary: Vocabulary) -> float:
        """Of one category: vectors of networks and artifact, effects, confidence, count, key."""
        width = self.dims[vocabulary.name] + vocabulary.n_functions - 1
        told = self.told + self.names[vocabulary.name]
        if self.packed is not None and vocabulary.name in self.packed:
            return told + max(LEAST_BITS, width * self.n_networks) / 8
        return told + self.element * width * (self.n_networks + 1)

    def _directions(self, vocabulary: Vocabulary) -> int:
        """Of the directions in which the rows of a packed column differ, at most."""
        width = self.dims[vocabulary.name]
        n = min(vocabulary.n_codes, width * self.n_networks)
        return n * (HALF * width * (self.n_networks + 1) + FLOAT + 1)


def model_bytes(estimator: EmbeddingEstimator) -> int:
    """Bytes of what a fitted estimator knows: networks, effects, vectors, counts and categories.

    Parameters
    ----------
    estimator : EmbeddingEstimator
        Fitted.

    Returns
    -------
    int
        The arrays' sizes; Python's own objects are not counted.
    """
    networks = getattr(estimator, "networks_", [])
    total = sum(array.nbytes for network in networks for array in network.state().values())
    vectors = estimator.vectors_
    for column in map(vectors.__getitem__, vectors):
        # The coordinates of packed vectors are those of the networks' tables, too.
        importances = [] if column.importances is None else [column.importances]
        kept = (column.vocabulary, column.stored, *column.stored_effects, *importances)
        total += sum(part.nbytes for part in kept)
    for pair in vectors.pairs.values():
        total += sum(array.nbytes for array in pair.by_code())
        total += pair.pair.keys.nbytes + pair.pair.counts.nbytes
    return total
