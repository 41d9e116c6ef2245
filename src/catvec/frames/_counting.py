"""The vocabulary of a column that is read chunk by chunk: distinct values and their rows.

Few distinct values are counted in memory. A column that has more is counted by DuckDB, which keeps
within a limit of memory and writes what exceeds it to disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import check_categorical, refuse, some
from catvec.errors import InputError, MissingDependencyError
from catvec.frames._chunk import one_array
from catvec.frames._column import Column, plain
from catvec.frames._frame import one_column, open_frame
from catvec.frames._keys import NUMBERS, common_type, numbers_like, of_one_type
from catvec.frames._vocabulary import Vocabulary

MOST_VALUES = 2_000_000  # distinct values of a column that are counted without DuckDB
SLACK = 500_000  # values that may wait to be merged
MEMORY_LIMIT = "256MB"  # of DuckDB, which then writes to disk
THREADS = 4
"""Of DuckDB, whatever the cores. On 50 million rows of 5 million texts two ran out of 256 MB and
one out of 512 MB, instead of writing to disk; with four 128 MB sufficed. Empirical, DuckDB 2.0."""


class ValueCounter:
    """Counts the values of one column, chunk after chunk, while there are not too many."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_full = False
        self._parts: list[tuple[pa.Array, pa.Array]] = []
        self._n_waiting, self._n_merged = 0, 0

    def add(self, column: Column) -> None:
        """Count some rows."""
        if self.is_full:
            return
        found = pc.value_counts(one_array(column))
        self._parts.append((plain(found.field("values")), found.field("counts")))
        self._n_waiting += len(found)
        if self._n_waiting > self._n_merged + SLACK:
            self._merge()
            self.is_full = self._n_merged > MOST_VALUES
            if self.is_full:
                self._parts = []

    def counts(self) -> tuple[pa.Array, pa.Array]:
        """The distinct values in any order, null for missing ones, and the rows of each."""
        self._merge()
        ((values, counts),) = self._parts
        return values, counts

    def vocabulary(self, min_frequency: int) -> Vocabulary:
        """What was counted, as the vocabulary of the column."""
        return counted_vocabulary(self.name, *self.counts(), min_frequency)

    def _merge(self) -> None:
        values = pa.concat_arrays(of_one_type(self.name, [values for values, _ in self._parts]))
        counts = pa.concat_arrays([counts for _, counts in self._parts])
        grouped = pa.table({"value": values, "rows": counts}).group_by("value")
        merged = grouped.aggregate([("rows", "sum")])
        found = merged["value"].combine_chunks(), merged["rows_sum"].combine_chunks()
        self._parts = [found]
        self._n_merged, self._n_waiting = len(found[0]), 0


def counted_vocabulary(
    name: str, values: object, counts: object, min_frequency: int = 1
) -> Vocabulary:
    """The vocabulary that a table of values and their rows tells; a value may come repeatedly.

    Parameters
    ----------
    name : str
        The column.
    values : array-like of shape (n,)
        Its values; null for missing ones.
    counts : array-like of shape (n,), int64
        Rows of each.
    min_frequency : int, default=1
        As `Vocabulary.learn` takes it.

    Returns
    -------
    Vocabulary
    """
    rows = np.asarray(counts, dtype=np.int64)
    column = one_column(name, values)
    return Vocabulary.learn(column, min_frequency=min_frequency, rows=rows)[0]


def given_vocabularies(
    tables: Mapping[str, Any],
    categorical: Sequence[str],
    min_frequency: int,
    held: Callable[[str], Collection[str]],
) -> dict[str, Vocabulary]:
    """The vocabularies of a user's tables of values and counts.

    Parameters
    ----------
    tables : mapping of str to DataFrame, pyarrow.Table or mapping
        By column a table with the column ``category``, or the name of the column, and ``count``.
    categorical : sequence of str
        The categorical columns.
    min_frequency : int
        As `Vocabulary.learn` takes it.
    held : callable
        Tells by column of which families its keys are.

    Returns
    -------
    dict of str to Vocabulary

    Raises
    ------
    InputError
        If a table has other columns, a count is missing or below 1, a column is not categorical, or
        its values are of another type.
    ParameterError
        If one is no table.
    """
    check_categorical("vocabulary_counts", tables, categorical)
    given = {name: _given_vocabulary(name, table, min_frequency) for name, table in tables.items()}
    for name, vocabulary in given.items():
        families = held(name)
        if families and not set(families) & set(vocabulary.families):
            raise InputError(
                f"`vocabulary_counts` of column {name!r} counts {' and '.join(vocabulary.families)}"
                f" values ({some(vocabulary.categories[:3].tolist())}), but the column holds"
                f" {' and '.join(families)} values; count them as the column holds them"
            )
    return given


def _given_vocabulary(name: str, table: Any, min_frequency: int) -> Vocabulary:
    try:
        frame = open_frame(table)
    except InputError as error:
        raise refuse("vocabulary_counts", "a mapping of tables by column", table) from error
    of_values = next((n for n in (name, "category") if n in frame.names), None)
    if of_values is None or "count" not in frame.names:
        raise InputError(
            f"the table of counts of column {name!r} must have the columns 'category' and 'count',"
            f" got {list(frame.names)}"
        )
    counts = frame.column("count").floats()
    if not (counts >= 1).all() or (counts != np.trunc(counts)).any():
        raise InputError(f"the counts of column {name!r} must be whole numbers from 1 on")
    values = one_array(frame.column(of_values))
    return counted_vocabulary(name, values, counts, min_frequency)


def count_by_duckdb(
    name: str, read: Callable[[], Iterator[pa.Array]], min_frequency: int, folder: Path
) -> Vocabulary:
    """The vocabulary of a column with many values.

    Parameters
    ----------
    name : str
        The column.
    read : callable
        Reads its values from the beginning, array by array; those of one family.
    min_frequency : int
        As `Vocabulary.learn` takes it.
    folder : Path
        Where DuckDB may write.

    Returns
    -------
    Vocabulary

    Raises
    ------
    MissingDependencyError
        If DuckDB is not installed.
    InputError
        If the disk is full.
    """
    if not find_spec("duckdb"):
        raise MissingDependencyError(
            f"column {name!r} has more than {MOST_VALUES:,} values, which DuckDB counts:"
            " pip install 'catvec[large]' (or give `vocabulary_counts`)"
        )
    import duckdb

    kind = _type_of_all(name, read)
    schema = pa.schema([("value", kind)])
    arrays = (numbers_like(array, kind) for array in read())
    batches = (pa.record_batch([array], schema=schema) for array in arrays)
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    config: dict[str, Any] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(folder / "duckdb"),
        "threads": THREADS,
        "preserve_insertion_order": False,
    }
    query = "SELECT value, count(*) AS counted FROM rows_of_column GROUP BY value"
    with contextlib.closing(duckdb.connect(config=config)) as connection:
        connection.register("rows_of_column", reader)
        try:
            found: Any = connection.sql(query).to_arrow_table()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise InputError(
                f"column {name!r} could not be counted in {str(folder)!r}: {error}"
            ) from error
    values, counts = found["value"].combine_chunks(), found["counted"].combine_chunks()
    return counted_vocabulary(name, values, counts, min_frequency)


def _type_of_all(name: str, read: Callable[[], Iterator[pa.Array]]) -> pa.DataType:
    """The type that holds all arrays of a column exactly."""
    holding = (array.type for array in read() if array.null_count < len(array))
    kind = next(holding, NUMBERS[0])
    return common_type(name, read()) if kind in NUMBERS else kind
