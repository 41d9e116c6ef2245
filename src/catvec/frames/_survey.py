"""The first walk over a table that is larger than memory: all that is learned about its columns.

Vocabularies and counts, the labels or moments of the target and which numbers have gaps are exact.
Medians, quartiles, knots and minor components of numbers come from a sample of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._chunk import Chunk, one_array
from catvec.frames._column import Column, as_numpy, plain
from catvec.frames._counting import ValueCounter, count_by_duckdb, given_vocabularies
from catvec.frames._frame import open_frame
from catvec.frames._minor_components import MinorComponents
from catvec.frames._numbers import Number
from catvec.frames._schema import Schema
from catvec.frames._source import Source, read_arrays
from catvec.frames._splits import mixed
from catvec.frames._target import Target, infer_task, learn_target, numbers_target
from catvec.frames._vocabulary import Vocabulary

SAMPLE_ROWS = 200_000  # from which numbers are learned, and choices made


@dataclass(frozen=True)
class StreamRoles:
    """Which column of a source is what.

    Attributes
    ----------
    target : str
    weight, groups, time : str or None
        Columns with the weights of the rows, what binds them, and their order in time.
    categorical, numeric : list of str
        Features, in the order of the table.
    """

    target: str
    weight: str | None
    groups: str | None
    time: str | None
    categorical: list[str]
    numeric: list[str]

    @property
    def names(self) -> list[str]:
        """All columns that are read."""
        others = [name for name in (self.weight, self.groups, self.time) if name]
        return list(dict.fromkeys([*self.categorical, *self.numeric, self.target, *others]))

    @property
    def hidden(self) -> set[str]:
        """Columns that say something about rows, and are neither features nor the time."""
        marks = {name for name in (self.target, self.weight, self.groups) if name}
        return marks - {*self.categorical, *self.numeric, self.time}


@dataclass(frozen=True, eq=False)
class Survey:
    """What a walk over a table tells.

    Attributes
    ----------
    n_rows : int
    schema : Schema
        Without pairs.
    target : Target
    class_rows : ndarray of shape (n_classes,), int64, or None
        Rows by class.
    groups : Vocabulary or None
        Of the column that binds rows.
    sample : pyarrow.Table
        Rows drawn at random, in the order of the table, with all columns that are read.
    """

    n_rows: int
    schema: Schema
    target: Target
    class_rows: np.ndarray | None
    groups: Vocabulary | None
    sample: pa.Table


def survey(
    source: Source,
    roles: StreamRoles,
    task: str,
    *,
    min_frequency: int,
    n_knots: int,
    seed: int,
    folder: Path,
    vocabulary_counts: Mapping[str, Any] | None = None,
) -> Survey:
    """Learn the columns of a table, walking over it once.

    Parameters
    ----------
    source : Source
        The table.
    roles : StreamRoles
        Its columns.
    task : str
        As `learn_target` takes it.
    min_frequency, n_knots : int
        As `Schema.learn` takes them.
    seed : int
        Of the sample.
    folder : Path
        For temporary files.
    vocabulary_counts : mapping of str to table, optional
        Values and counts by column, which need not be counted then.

    Returns
    -------
    Survey

    Raises
    ------
    InputError
        If a column is misfit, the target has gaps, or there are no rows.
    """
    given = given_vocabularies(
        vocabulary_counts or {},
        roles.categorical,
        min_frequency,
        lambda name: {source.kinds[name]} - {"empty"},
    )
    to_count = [name for name in (*roles.categorical, roles.groups) if name and name not in given]
    counters = {name: ValueCounter(name) for name in to_count}
    labels = TargetSurvey(roles.target, task, roles.weight)
    sample = RowSample(SAMPLE_ROWS, seed)
    gaps = dict.fromkeys(roles.numeric, False)
    n_rows = 0
    for chunk in source.chunks(roles.names):
        for name, counter in counters.items():
            counter.add(chunk.column(name))
        for name in roles.numeric:
            gaps[name] |= _has_gaps(chunk, name)
        labels.add(chunk)
        sample.add(chunk, roles.names)
        n_rows += chunk.frame.n_rows
    if not n_rows:
        raise InputError(f"{source.label} has no rows")
    counted = dict(given)
    for name, counter in counters.items():
        fewest = min_frequency if name in roles.categorical else 1
        if counter.is_full:
            pa.default_memory_pool().release_unused()
            counted[name] = count_by_duckdb(
                name, partial(read_arrays, source, name), fewest, folder
            )
        else:
            counted[name] = counter.vocabulary(fewest)
    rows = sample.table()
    numbers, values = _numbers(rows, gaps, n_knots)
    minor = MinorComponents() if roles.time else MinorComponents.learn(numbers, values)
    vocabularies = tuple(counted[name] for name in roles.categorical)
    seen = tuple(name for name in source.names if name not in roles.hidden)
    schema = Schema(seen, True, vocabularies, numbers, minor_components=minor)
    target, class_rows = labels.target()
    groups = counted[roles.groups] if roles.groups else None
    pa.default_memory_pool().release_unused()  # half a gigabyte for a column of millions of texts
    return Survey(n_rows, schema, target, class_rows, groups, rows)


class RowSample:
    """Rows drawn at random from a stream of unknown length, whatever its chunks.

    Each row has a random number by its place in the table; those with the smallest are kept.

    Parameters
    ----------
    size : int
        Rows to keep.
    seed : int
        Of the numbers.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._keys: list[np.ndarray] = []
        self._tables: list[pa.Table] = []
        self._limit = np.uint64(2**64 - 1)

    def add(self, chunk: Chunk, names: Sequence[str]) -> None:
        """Consider the rows of a chunk."""
        keys = row_keys(chunk.start, chunk.frame.n_rows, self.seed)
        kept = np.flatnonzero(keys <= self._limit)
        self._keys.append(keys[kept])
        self._tables.append(chunk.table(names, kept))
        if sum(map(len, self._keys)) > 2 * self.size:
            self._prune()

    def table(self) -> pa.Table:
        """The rows that were drawn, in the order of the table."""
        self._prune()
        return pa.concat_tables(self._tables, promote_options="permissive").combine_chunks()

    def _prune(self) -> None:
        keys = np.concatenate(self._keys)
        if len(keys) <= self.size:
            return
        self._limit = np.partition(keys, self.size - 1)[self.size - 1]
        tables = zip(self._tables, self._keys, strict=True)
        self._tables = [table.filter(pa.array(own <= self._limit)) for table, own in tables]
        self._keys = [own[own <= self._limit] for own in self._keys]


def row_keys(start: int, n_rows: int, seed: int) -> np.ndarray:
    """A random number, uint64, for each of the rows from number `start` on."""
    rows = np.arange(start, start + n_rows, dtype=np.uint64)
    return mixed(rows + mixed(np.array([seed], np.uint64)))


class TargetSurvey:
    """What a target is, told chunk by chunk.

    Parameters
    ----------
    name : str
        Its column.
    task : str
        As `learn_target` takes it.
    weight : str, optional
        The column with the weights of the rows.
    """

    def __init__(self, name: str, task: str, weight: str | None = None) -> None:
        self.name, self.task, self.weight = name, task, weight
        self._counter = ValueCounter(name)
        self._is_float = False
        self._n, self._total, self._mean, self._squares = 0, 0.0, 0.0, 0.0
        self._smallest = np.inf

    def add(self, chunk: Chunk) -> None:
        """Look at some rows.

        Raises
        ------
        InputError
            If a value is missing, or is no number or label.
        """
        column = chunk.column(self.name)
        array = one_array(column)
        if array.null_count:
            rows = some((np.flatnonzero(np.asarray(pc.is_null(array))) + chunk.start).tolist())
            raise InputError(
                f"the target {self.name!r} is missing in {array.null_count} rows of"
                f" {chunk.label}: {rows}; drop them"
            )
        self._is_float |= pa.types.is_floating(array.type)
        if not self._is_measure:
            self._counter.add(column)
        if column.kind in ("number", "boolean"):
            weight = None if self.weight is None else chunk.weights(self.weight)
            self._measure(column.floats(), weight)

    @property
    def _is_measure(self) -> bool:
        return self.task in ("regression", "count") or (self.task == "auto" and self._is_float)

    def _measure(self, values: np.ndarray, weight: np.ndarray | None) -> None:
        """Mean and squares about it, chunk by chunk (Chan, Golub & LeVeque 1983, formula 2.1)."""
        self._n += len(values)
        self._smallest = min(self._smallest, float(values.min(initial=np.inf)))
        weight = np.ones(len(values)) if weight is None else weight
        n = float(weight.sum())
        if not n:
            return
        mean = float(np.average(values, weights=weight))
        shift = mean - self._mean
        total = self._total + n
        self._squares += float(weight @ (values - mean) ** 2) + shift**2 * self._total * n / total
        self._mean += shift * n / total
        self._total = total

    def target(self) -> tuple[Target, np.ndarray | None]:
        """The target, and its rows by class.

        Raises
        ------
        InputError
            If the values do not suit the task.
        """
        if self._is_measure:
            return self._numbers("regression" if self.task == "auto" else self.task), None
        if self._counter.is_full:
            if self.task == "auto" and self._n:
                return self._numbers("regression"), None
            raise InputError(f"the target {self.name!r} has too many labels for classes")
        values, counts = self._counter.counts()
        labels = label_vector(values)
        task = infer_task(labels) if self.task == "auto" else self.task
        if task == "regression":
            return self._numbers(task), None
        target = learn_target(labels, task)
        assert target.classes is not None
        if len(target.classes) < 2:
            (only,) = target.classes.tolist()
            raise InputError(
                f"the target {self.name!r} has one class only, {only!r}; a classifier needs two"
            )
        places = target.values(labels).astype(np.int64)
        rows = np.bincount(places, np.asarray(counts), len(target.classes))
        return target, rows.astype(np.int64)

    def _numbers(self, task: str) -> Target:
        if not self._n:
            raise InputError(
                f"the target {self.name!r} must be numeric for this task; labels need a classifier"
            )
        deviation = (self._squares / (self._total or 1.0)) ** 0.5
        return numbers_target(task, self._mean, deviation, self._smallest)


def label_vector(values: pa.Array) -> np.ndarray:
    """Values of a target's column as `Target.values` takes them."""
    return as_numpy(plain(values))


# --- inside -----------------------------------------------------------------------------


def _has_gaps(chunk: Chunk, name: str) -> bool:
    column: Column = chunk.column(name)
    if column.kind == "text":
        column.floats()  # says what to do
    return not column.families or bool(one_array(column).null_count)


def _numbers(
    rows: pa.Table, gaps: Mapping[str, bool], n_knots: int
) -> tuple[tuple[Number, ...], np.ndarray]:
    """What was learned of numbers from these rows, and their values there."""
    frame = open_frame(rows)
    columns = [frame.column(name) for name in gaps]
    numbers = tuple(
        replace(Number.learn(column, n_knots), has_missing=gap)
        for column, gap in zip(columns, gaps.values(), strict=True)
    )
    return numbers, np.array([column.floats() for column in columns]).T
