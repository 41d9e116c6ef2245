"""The second walk over a table that is larger than memory: its codes, dealt to blocks on disk.

Which block a row is in decides which fold it is in and who holds it out: blocks are random samples
of the rows, whole groups where there are groups, and stretches of time where there is time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catvec.effects import Evidence, RunningStatistics, Statistics
from catvec.errors import InputError
from catvec.estimators._training_set import refuse_heavy
from catvec.frames import Arrays, Pair, Schema, Target, row_keys
from catvec.frames._chunk import Chunk, one_array
from catvec.frames._source import Source
from catvec.frames._survey import StreamRoles, Survey, label_vector
from catvec.network import BLOCK_ROWS, Blocks, record_type

FEWEST_BLOCKS = 20  # so that a share of them is about the share of the rows that is asked for
MOST_HELD_OUT = 100_000  # rows that a network holds out, at most: they are kept in memory
MOST_COUNTED = 4_000_000  # combinations of a pair that are counted at once; then rare ones go

Split = tuple[tuple[int, ...], tuple[int, ...]]  # blocks to learn from, blocks to encode


class Deal:
    """Which block each row is dealt to, at random.

    Parameters
    ----------
    n_rows : int
        Rows of the table.
    n_folds : int
        Folds that the blocks make up.
    fraction : float
        Share of the rows that a network holds out.
    seed : int
    """

    def __init__(self, n_rows: int, n_folds: int, fraction: float, seed: int) -> None:
        self.n_rows, self.n_folds, self.fraction, self.seed = n_rows, n_folds, fraction, seed
        at_least = max(FEWEST_BLOCKS, -(-n_rows // BLOCK_ROWS))
        self.n_blocks = -(-at_least // n_folds) * n_folds

    def blocks(self, start: int, n_rows: int, groups: Any, times: Any) -> np.ndarray:
        """The block of each row from number `start` on (n_rows,), int64."""
        del groups, times
        keys = row_keys(start, n_rows, self.seed + 1)
        return (keys % np.uint64(self.n_blocks)).astype(np.int64)

    @property
    def everything(self) -> tuple[int, ...]:
        """All blocks."""
        return tuple(range(self.n_blocks))

    def folds(self) -> list[Split]:
        """Folds: each block is encoded by one that did not learn from it; none of a single one."""
        return [(train, test) for train, test in self._splits() if train and test]

    def _splits(self) -> list[Split]:
        return [
            (
                tuple(b for b in self.everything if b % self.n_folds != fold),
                tuple(b for b in self.everything if b % self.n_folds == fold),
            )
            for fold in range(self.n_folds)
        ]

    def held_out(self, blocks: Sequence[int], network: int) -> tuple[int, ...]:
        """Those of the blocks that a network of this number holds out."""
        if not self.fraction or len(blocks) < 2:
            return ()
        affordable = int(MOST_HELD_OUT * self.n_blocks / max(self.n_rows, 1))
        n = max(1, min(round(self.fraction * len(blocks)), affordable, len(blocks) - 1))
        return tuple(sorted(blocks[(network * n + i) % len(blocks)] for i in range(n)))


class GroupDeal(Deal):
    """The same with whole groups: the groups in random order, cut where blocks are full.

    Parameters
    ----------
    rows : ndarray of shape (n_codes,), int64
        Of each group, by its code.
    """

    def __init__(self, rows: np.ndarray, *of_deal: Any) -> None:
        super().__init__(*of_deal)
        order = np.random.default_rng([self.seed, 5]).permutation(len(rows))
        order = order[rows[order] > 0]  # nobody may be unknown, or have no group
        middle = np.cumsum(rows[order]) - rows[order] / 2
        place = (middle * self.n_blocks / max(rows.sum(), 1)).astype(np.int64)
        found, of_group = np.unique(place, return_inverse=True)
        self.n_blocks = len(found)
        self.n_folds = max(1, min(self.n_folds, self.n_blocks))
        self._of_group = np.zeros(len(rows), np.int64)
        self._of_group[order] = of_group

    def blocks(self, start: int, n_rows: int, groups: Any, times: Any) -> np.ndarray:
        """As `Deal.blocks`."""
        del start, n_rows, times
        return self._of_group[groups]


class TimeDeal(Deal):
    """The same in time: folds learn from what was before, and hold out their latest rows.

    Parameters
    ----------
    times : ndarray of complex128
        Of a sample of the rows, as `Reader.moments` tells them.
    """

    def __init__(self, times: np.ndarray, *of_deal: Any) -> None:
        super().__init__(*of_deal)
        share = min(self.fraction, MOST_HELD_OUT / max(self.n_rows, 1))
        parts = self.n_folds + 1 if self.n_folds > 1 else 1
        self._ends = [(i + 1) / parts for i in range(parts)]
        shares = sorted({e * (1 - share) for e in self._ends} | set(self._ends[:-1]))
        self._moments, self._ranks = np.unique(times, return_inverse=True)
        cuts = np.unique(self._quantiles([s for s in shares if 0 < s < 1]))
        self._cuts = cuts[cuts < self._moments[-1]]  # after the last moment nothing comes
        width = max(1, self.n_blocks // (len(self._cuts) + 1))
        self._width = width
        self.n_blocks = width * (len(self._cuts) + 1)

    def blocks(self, start: int, n_rows: int, groups: Any, times: Any) -> np.ndarray:
        """As `Deal.blocks`."""
        del groups
        band = np.searchsorted(self._cuts, times, side="left")
        keys = row_keys(start, n_rows, self.seed + 1) % np.uint64(self._width)
        return band * self._width + keys.astype(np.int64)

    def _splits(self) -> list[Split]:
        """Each stretch of time is encoded by those before it, the first by none."""
        until = [self._until(share) for share in self._ends]
        return [(tuple(range(begin)), tuple(range(begin, end))) for begin, end in pairwise(until)]

    def _until(self, share: float) -> int:
        """Blocks before the moment until which this share of the rows lies."""
        if share >= 1:
            return self.n_blocks
        (cut,) = self._quantiles([share])
        return (int(np.searchsorted(self._cuts, cut, side="left")) + 1) * self._width

    def _quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """The moments until which these shares of the rows lie."""
        ranks = np.quantile(self._ranks, shares, method="inverted_cdf")
        return np.asarray(self._moments[ranks.astype(np.int64)])

    def held_out(self, blocks: Sequence[int], network: int) -> tuple[int, ...]:
        """As `Deal.held_out`: the latest."""
        del network
        if not self.fraction or len(blocks) <= self._width:
            return ()
        return tuple(blocks[-self._width :])


@dataclass(frozen=True, eq=False)
class Dealt:
    """A table on disk as codes, and what was added up on the way.

    Attributes
    ----------
    blocks : Blocks
    statistics : Statistics
        Of the columns, over all rows in their order.
    of_lines : Statistics or None
        The same with rare values told apart; None where none are rare.
    mean_weight : float
        Of the rows.
    kept : Arrays
        Rows of the blocks that are kept in memory.
    values, weight : ndarray of shape (n_kept,), float64; weight may be None
    block : ndarray of shape (n_kept,), int64
        Where each of them is.
    """

    blocks: Blocks
    statistics: Statistics
    of_lines: Statistics | None
    mean_weight: float
    kept: Arrays
    values: np.ndarray
    weight: np.ndarray | None
    block: np.ndarray


@dataclass(frozen=True, eq=False)
class Reader:
    """Rows of a chunk as arrays, by what a survey told.

    Attributes
    ----------
    roles : StreamRoles
    survey : Survey
    class_weights : ndarray of shape (n_classes,) or None
    ends : ndarray of shape (n_groups,), complex128, or None
        The latest moment of each group, by its code, where rows have groups and times.
    """

    roles: StreamRoles
    survey: Survey
    class_weights: np.ndarray | None
    ends: np.ndarray | None = None

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights."""
        return self.roles.weight is not None or self.class_weights is not None

    def arrays(self, chunk: Chunk) -> Arrays:
        """The features."""
        try:
            return self.survey.schema.read(chunk.frame)
        except InputError as error:
            raise type(error)(f"{chunk.label}: {error}") from error

    def values(self, chunk: Chunk) -> np.ndarray:
        """The target."""
        labels = label_vector(one_array(chunk.column(self.roles.target)))
        return self.survey.target.values(labels)

    def weights(self, chunk: Chunk, values: np.ndarray) -> np.ndarray:
        """Weights, float64; ones where there are none."""
        weight = np.ones(len(values))
        if self.roles.weight is not None:
            weight = chunk.weights(self.roles.weight)
        if self.class_weights is not None:
            weight = weight * self.class_weights[values.astype(np.int64)]
        return weight

    def class_totals(self, source: Source) -> np.ndarray:
        """Weight of the rows by class, by a walk over two columns of the table if they have any."""
        class_rows, weight = self.survey.class_rows, self.roles.weight
        assert class_rows is not None
        if weight is None:
            return class_rows
        totals = np.zeros(len(class_rows))
        for chunk in source.chunks([self.roles.target, weight]):
            values = self.values(chunk).astype(np.int64)
            totals += np.bincount(values, chunk.weights(weight), len(totals))
        return totals

    def groups(self, chunk: Chunk) -> np.ndarray | None:
        """The code of each row's group (n_rows,), int32; None without groups."""
        if self.survey.groups is None:
            return None
        return self.survey.groups.encode(chunk.column(self.survey.groups.name))

    def moments(self, chunk: Chunk) -> np.ndarray | None:
        """Where each row stands in time: where its group ends, if there are groups."""
        if self.ends is not None:
            return np.asarray(self.ends[self.groups(chunk)])
        return None if self.roles.time is None else chunk.moments(self.roles.time, "time")

    def with_ends(self, source: Source) -> Reader:
        """The same with the ends of the groups, by a walk over two columns of the table."""
        groups, time = self.survey.groups, self.roles.time
        if groups is None or time is None:
            return self
        ends = np.full(groups.n_codes, complex(-np.inf, -np.inf))
        for chunk in source.chunks([groups.name, time]):
            number = groups.encode(chunk.column(groups.name))
            np.maximum.at(ends, number, chunk.moments(time, "time"))
        return replace(self, ends=ends)

    def places(self, deal: Deal, chunk: Chunk) -> np.ndarray:
        """The block of each row."""
        moments = self.moments(chunk)
        groups = self.groups(chunk) if moments is None else None  # a deal in time asks for none
        return deal.blocks(chunk.start, chunk.frame.n_rows, groups, moments)


def deal_rows(
    source: Source, reader: Reader, deal: Deal, kept: Sequence[int], folder: Path
) -> Dealt:
    """Write the codes of a table to blocks.

    Parameters
    ----------
    source : Source
    reader : Reader
    deal : Deal
        Who goes where.
    kept : sequence of int
        Blocks whose rows are kept in memory as well.
    folder : Path
        Empty.

    Returns
    -------
    Dealt
    """
    survey = reader.survey
    schema, target = survey.schema, survey.target
    running = RunningStatistics(schema.n_codes, target.n_outputs)
    n_lines = tuple(vocabulary.n_lines for vocabulary in schema.vocabularies)
    of_lines = RunningStatistics(n_lines, target.n_outputs) if n_lines != schema.n_codes else None
    blocks: Blocks | None = None
    parts = []
    for chunk in source.chunks(reader.roles.names):
        arrays, values = reader.arrays(chunk), reader.values(chunk)
        weight = reader.weights(chunk, values)
        values = target.of_say(values, weight)
        of_target = values, target.task, target.n_outputs, weight
        running.add(Evidence(arrays.codes, schema.n_codes, *of_target))
        if of_lines is not None:
            of_lines.add(Evidence(schema.lines(chunk.frame), n_lines, *of_target))
        rows = _records(schema, target, arrays, values, weight if reader.is_weighted else None)
        blocks = blocks or Blocks(folder, rows.dtype, deal.n_blocks)
        places = reader.places(deal, chunk)
        blocks.append(places, rows)
        mine = np.flatnonzero(np.isin(places, kept))
        parts.append((arrays.take(mine), values[mine], weight[mine], places[mine]))
    assert blocks is not None
    pa.default_memory_pool().release_unused()
    statistics = running.statistics()
    if not statistics.totals[0] > 0:
        raise InputError("the weights of the rows must not be zero everywhere")
    refuse_heavy(float(statistics.totals[0]))
    features = [part[0] for part in parts]
    return Dealt(
        blocks,
        statistics,
        None if of_lines is None else of_lines.statistics(),
        float(statistics.totals[0]) / survey.n_rows,
        Arrays(
            np.concatenate([own.codes for own in features]),
            np.concatenate([own.values for own in features]),
        ),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]) if reader.is_weighted else None,
        np.concatenate([part[3] for part in parts]),
    )


def _records(
    schema: Schema, target: Target, arrays: Arrays, values: np.ndarray, weight: np.ndarray | None
) -> np.ndarray:
    numbers, positions = schema.dense(arrays.values), schema.positions(arrays.values)
    kind = record_type(
        arrays.codes.shape[1], numbers.shape[1], positions.shape[1], weighted=weight is not None
    )
    rows = np.empty(len(values), kind)
    rows["value"], rows["target"] = values, target.standardized(values)
    if weight is not None:
        rows["weight"] = weight
    rows["codes"], rows["numbers"], rows["positions"] = arrays.codes, numbers, positions
    return rows


# --- walks over the blocks --------------------------------------------------------------


def learn_pairs(blocks: Blocks, schema: Schema, names: Sequence[tuple[str, str]]) -> list[Pair]:
    """The combinations of pairs of columns in all blocks.

    Exact up to `MOST_COUNTED` combinations of a pair; beyond, those met least are dropped on the
    way, so that a rare one may be counted too low (Manku & Motwani 2002, VLDB: lossy counting).
    """
    place = schema.categorical_places
    counted = [(np.zeros(0, np.int64), np.zeros(0, np.int64)) for _ in names]
    for block in range(blocks.n_blocks):
        codes = blocks.read([block])["codes"]
        for i, (first, second) in enumerate(names):
            a, b = place[first], place[second]
            n_second = schema.vocabularies[b].n_codes
            found = Pair.learn(first, second, n_second, (codes[:, a], codes[:, b]), MOST_COUNTED)
            counted[i] = _added(counted[i], (found.keys, found.counts))
    return [
        Pair.of_counts(first, second, schema.vocabularies[place[second]].n_codes, *counts)
        for (first, second), counts in zip(names, counted, strict=True)
    ]


def _added(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    keys, where = np.unique(np.concatenate([one[0], other[0]]), return_inverse=True)
    counts = np.bincount(where, np.concatenate([one[1], other[1]])).astype(np.int64)
    least = 1
    while len(keys) > MOST_COUNTED:
        kept = counts > least
        keys, counts, least = keys[kept], counts[kept], 2 * least
    return keys, counts


def with_pair_codes(blocks: Blocks, schema: Schema, folder: Path) -> Blocks:
    """The blocks with codes of the schema's pairs beside the others, in another folder.

    Those without are removed, one by one.
    """
    kind = blocks.kind
    shapes = [kind[name].shape[0] for name in ("codes", "numbers", "positions")]
    weighted = "weight" in (kind.names or ())
    n_codes = shapes[0] + len(schema.pairs)
    wider = Blocks(folder, record_type(n_codes, *shapes[1:], weighted=weighted), blocks.n_blocks)
    for block in range(blocks.n_blocks):
        old = blocks.read([block])
        rows = np.empty(len(old), wider.kind)
        for name in kind.names or ():
            if name != "codes":
                rows[name] = old[name]
        rows["codes"][:, : shapes[0]] = old["codes"]
        rows["codes"][:, shapes[0] :] = schema.pair_codes(old["codes"])
        wider.append(np.full(len(rows), block), rows)
        blocks.path(block).unlink(missing_ok=True)
    return wider


def statistics_of(
    blocks: Blocks, numbers: Sequence[int], schema: Schema, target: Target, first: int = 0
) -> Statistics:
    """Statistics of some blocks' rows: of columns and pairs, from number `first` on."""
    n_codes = schema.n_codes[first:]
    running = RunningStatistics(n_codes, target.n_outputs)
    for block in numbers:
        rows = blocks.read([block])
        names = rows.dtype.names or ()
        weight = rows["weight"] if "weight" in names else np.ones(len(rows))
        codes = rows["codes"][:, first:]
        running.add(Evidence(codes, n_codes, rows["value"], target.task, target.n_outputs, weight))
    return running.statistics()
