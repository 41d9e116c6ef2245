"""List columns: cells that hold several categories, and arrays that hold such cells."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import some
from catvec.errors import CellTypeError, InputError
from catvec.frames._column import Column, in_one, is_nan, make_column

__all__ = [
    "Codes",
    "ListColumn",
    "Lists",
    "is_list_column",
    "is_list_type",
    "list_cells",
    "make_lists",
    "split_lists",
]

CELLS = (list, tuple, np.ndarray, Set)

UNKNOWN, MISSING = 0, 1  # as `_vocabulary` has them, which stands behind the door


@dataclass(frozen=True, eq=False)
class ListColumn:
    """A list column behind the door: how many elements each cell has, and all elements.

    Attributes
    ----------
    lengths : ndarray of shape (n_rows,), int64
        0 for a missing cell, as for an empty list.
    elements : Column
        One below the other.
    ordered : bool
        Whether the order of a cell's elements may say something: of sets it does not.
    """

    lengths: np.ndarray
    elements: Column
    ordered: bool = True


@dataclass(frozen=True, eq=False)
class Lists:
    """Rows that hold several codes each.

    Attributes
    ----------
    offsets : ndarray of shape (n_rows + 1,), int64
        Row i has the codes from ``offsets[i]`` to ``offsets[i + 1]``, at least one.
    codes : ndarray of shape (n_elements,), int32
    shares : ndarray of shape (n_elements,), float32
        What each counts: one over their number for a mean, else given weights.
    """

    offsets: np.ndarray
    codes: np.ndarray
    shares: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def unknown(cls) -> Lists:
        """One row about which nothing is known."""
        return cls(np.arange(2), np.full(1, UNKNOWN, np.int32), np.ones(1, np.float32))

    @property
    def lengths(self) -> np.ndarray:
        """Codes of each row, int64 of shape (n_rows,)."""
        return np.diff(self.offsets)

    def places(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Where the codes of some rows lie, row by row, and how many each row has."""
        starts, lengths = self.offsets[:-1][rows], self.lengths[rows]
        ends = np.cumsum(lengths)
        shift = np.repeat(starts - (ends - lengths), lengths)
        return np.arange(len(shift)) + shift, lengths

    def take(self, rows: Any) -> Lists:
        """Some of the rows."""
        places, lengths = self.places(rows)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Lists(offsets, self.codes[places], self.shares[places])

    def means(self) -> Lists:
        """The same rows, each a mean by its shares; of its elements where all shares are 0."""
        totals = np.add.reduceat(self.shares, self.offsets[:-1]) if len(self) else self.shares[:0]
        total = np.repeat(totals, self.lengths)
        even = (1 / np.repeat(self.lengths, self.lengths)).astype(np.float32)
        shares = np.divide(self.shares, total, out=even, where=total > 0)
        return Lists(self.offsets, self.codes, shares)

    def hidden(self, rows: np.ndarray) -> Lists:
        """The same with some rows (n_rows,) bool unknown."""
        lengths = np.where(rows, 1, self.lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        codes, shares = np.full(offsets[-1], UNKNOWN, np.int32), np.ones(offsets[-1], np.float32)
        kept = np.repeat(~rows, lengths)
        stayed = np.repeat(~rows, self.lengths)
        codes[kept], shares[kept] = self.codes[stayed], self.shares[stayed]
        return Lists(offsets, codes, shares)

    def pooled(self, table: Any) -> np.ndarray:
        """Sum of each row's rows of a table (n_codes, ...) times their shares."""
        found = table[self.codes]
        if not len(self):
            return np.asarray(found)
        shares = self.shares.reshape(-1, *[1] * (found.ndim - 1))
        return np.add.reduceat(found * shares, self.offsets[:-1], axis=0)


def is_list_column(values: Any) -> bool:
    """Whether cells, as the door reads them, are lists: by their type, or by the first one."""
    kind = getattr(values, "type", None)
    if kind is not None:
        return is_list_type(kind)
    if not isinstance(values, np.ndarray) or values.dtype != object:
        return False
    first = next((cell for cell in values if not _is_missing(cell)), None)
    return isinstance(first, CELLS)


def is_list_type(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of lists."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def list_cells(name: str, values: Any) -> pa.Array:
    """The cells of a list column as Arrow lists; those of objects with missing ones empty.

    Parameters
    ----------
    name : str
        The column.
    values : Array, ChunkedArray or ndarray of shape (n_rows,)
        As `split_lists` takes them.

    Raises
    ------
    InputError
        If a cell is no list, or elements are not all of one type.
    """
    if not isinstance(values, np.ndarray):
        return in_one(values) if isinstance(values, pa.ChunkedArray) else values
    column = split_lists(name, values)
    families = column.elements.families
    if len(families) > 1:
        raise InputError(
            f"the lists of column {name!r} hold {' and '.join(families)} values; convert them to"
            " one type"
        )
    elements = next(iter(families.values()), pa.nulls(column.elements.n_rows))
    offsets = np.concatenate([[0], np.cumsum(column.lengths)])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), elements)


def split_lists(name: str, values: Any) -> ListColumn:
    """The elements of a list column, and where they belong.

    Parameters
    ----------
    name : str
        The column.
    values : Array, ChunkedArray or ndarray of shape (n_rows,)
        Its cells: lists, tuples, arrays or sets of categories; missing ones are like empty ones.

    Returns
    -------
    ListColumn

    Raises
    ------
    InputError
        If a cell is no list, or an element no category.
    """
    if isinstance(values, np.ndarray):
        return _of_objects(name, values)
    array = in_one(values) if isinstance(values, pa.ChunkedArray) else values
    if array.null_count == len(array):  # of whatever type: nothing is in them
        return ListColumn(np.zeros(len(array), np.int64), make_column(name, pa.nulls(0), 0))
    if not is_list_type(array.type):
        raise _no_lists(name, array.drop_null()[:4].to_pylist())
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    elements = array.flatten()  # without what lies below a null
    return ListColumn(lengths, make_column(name, elements, len(elements)))


def make_lists(codes: np.ndarray, column: ListColumn, weights: ListColumn | None = None) -> Lists:
    """Codes of a list column's rows.

    Parameters
    ----------
    codes : ndarray of shape (n_elements,), int32
        Of the elements.
    column : ListColumn
    weights : ListColumn, optional
        What each element counts, lists as long as those of the column; else each row is a mean.

    Returns
    -------
    Lists
        Missing elements are left out; a row without any holds the missing value.

    Raises
    ------
    InputError
        If the weights are not as many, or one is missing or negative.
    """
    shares = None if weights is None else _weights(column, weights)
    kept = codes != MISSING
    row = np.repeat(np.arange(len(column.lengths)), column.lengths)[kept]
    codes, lengths = codes[kept], np.bincount(row, minlength=len(column.lengths))
    if shares is None:
        shares = 1 / lengths[row]
    else:
        shares = shares[kept]
    offsets = np.concatenate([[0], np.cumsum(np.maximum(lengths, 1))]).astype(np.int64)
    within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    all_codes = np.full(offsets[-1], MISSING, np.int32)
    all_shares = np.ones(offsets[-1], np.float32)
    all_codes[offsets[row] + within] = codes
    all_shares[offsets[row] + within] = shares
    return Lists(offsets, all_codes, all_shares)


# --- inside -----------------------------------------------------------------------------


def _is_missing(cell: object) -> bool:
    if isinstance(cell, CELLS):
        return False
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or is_nan(cell)


def _no_lists(name: str, strange: list[Any]) -> CellTypeError:
    return CellTypeError(
        f"column {name!r} is one of lists, but holds other cells ({some(strange)}); make each cell"
        " a list, or convert the column to text and fit anew"
    )


def _of_objects(name: str, values: np.ndarray) -> ListColumn:
    strange = [cell for cell in values if not isinstance(cell, CELLS) and not _is_missing(cell)]
    if strange:
        raise _no_lists(name, strange)
    ordered = not any(isinstance(cell, Set) for cell in values)
    cells = [_elements(cell) for cell in values]
    lengths = np.fromiter(map(len, cells), np.int64, len(cells))
    flat = np.empty(int(lengths.sum()), dtype=object)
    flat[:] = [element for cell in cells for element in cell]
    return ListColumn(lengths, make_column(name, flat, len(flat)), ordered)


def _elements(cell: Any) -> Any:
    if isinstance(cell, Set):
        return sorted(cell, key=repr)  # texts come in another order in every process
    return cell if isinstance(cell, CELLS) else ()


def _weights(column: ListColumn, weights: ListColumn) -> np.ndarray:
    name, of = column.elements.name, weights.elements.name
    if not (column.ordered and weights.ordered):
        raise InputError(
            f"column {name!r} and its weights {of!r} must hold lists: sets have no order, by which"
            " one would know whose weight is which"
        )
    unlike = np.flatnonzero(column.lengths != weights.lengths)
    if len(unlike):
        raise InputError(
            f"the lists of column {of!r} must be as long as those of {name!r}, whose weights they"
            f" are, but in rows {some(unlike.tolist())} they are not"
        )
    shares = weights.elements.floats()
    if np.isnan(shares).any() or (shares < 0).any():
        wrong = shares[np.isnan(shares) | (shares < 0)]
        raise InputError(
            f"weights must not be missing or negative, but column {of!r} holds"
            f" {some(wrong.tolist())}"
        )
    return shares


Codes = np.ndarray | Lists
"""Codes of a column: one by row, one by row and hash function, or several by row."""
