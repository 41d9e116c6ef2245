"""The door: a user's table of any kind becomes columns in Arrow memory, and nothing else goes on.

Only this file knows pandas and polars, and only through narwhals. A column is converted when it is
asked for, so columns nobody uses cost nothing and cannot be at fault.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
from narwhals.exceptions import DuplicateError

from catvec._checks import check_option, refuse, repeated, some
from catvec.errors import CellTypeError, InputError, MissingDependencyError
from catvec.frames._column import Column, in_one, make_column, plain
from catvec.frames._lists import ListColumn, is_list_column, list_cells, split_lists
from catvec.frames._moments import exact_moments

KINDS = ("pandas", "polars", "pyarrow")  # of dataframes that can be made


@dataclass
class Frame:
    """A table behind the door: its column names, its length, and its columns by name.

    Attributes
    ----------
    names : tuple of str
        The columns, in the order of the table; ``x0``, ``x1``, ... for an array.
    n_rows : int
        Rows of the table.
    named : bool
        False for an array, whose columns are known by their positions only.
    whole : Frame or None
        The table with all of its columns, if this one is without some.
    counted : tuple of str
        The columns that positions count, if they are others than `names`.
    """

    names: tuple[str, ...]
    n_rows: int
    named: bool
    _read: Callable[[str], Any] = field(repr=False)
    whole: Frame | None = None
    counted: tuple[str, ...] = ()
    _columns: dict[str, Column] = field(default_factory=dict, repr=False)
    _lists: dict[str, bool] = field(default_factory=dict, repr=False)

    def column(self, name: str) -> Column:
        """The column called `name`, converted on first use.

        Raises
        ------
        InputError
            If there is no such column, if it holds an infinite number, or cells that are no
            categories (lists, bytes, ...).
        """
        if name not in self._columns:
            self._refuse_absent(name)
            self._columns[name] = make_column(name, self._read(name), self.n_rows)
        return self._columns[name]

    def moments(self, name: str) -> np.ndarray:
        """What a column orders rows by, exactly to the last digit or nanosecond.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        ndarray of shape (n_rows,), complex128
            NaN where missing. A float cannot tell large integers apart: the real part is a
            multiple, the imaginary part a rest, and NumPy compares by one and then by the other.

        Raises
        ------
        InputError
            As `column`, and if it holds text.
        """
        return exact_moments(self.column(name), self._read(name))

    def lists(self, name: str, *, in_order: bool = False) -> tuple[Column, np.ndarray]:
        """A column whose cells are lists: what they hold, end to end, and where each begins.

        Parameters
        ----------
        name : str
            The column.
        in_order : bool, default=False
            Whether the order in a list is asked for.

        Returns
        -------
        column : Column
            The elements of all lists.
        offsets : ndarray of shape (n_rows + 1,), int64
            The first element of each row, then their number; a missing list is empty.

        Raises
        ------
        InputError
            If there is no such column, or a cell is neither a list nor missing.
        ParameterError
            If the order of sets is asked for.
        """
        self._refuse_absent(name)
        if not self.is_list(name):
            cells = self._read(name)
            cells = cells.to_pylist() if isinstance(cells, pa.ChunkedArray) else cells.tolist()
            held = some([cell for cell in cells if cell is not None]) or "missing values only"
            raise InputError(f"column {name!r} must hold lists, but holds {held}")
        column = self.list_column(name)
        if in_order and not column.ordered:
            raise refuse("order", "None for sets, which have no order", True)
        return column.elements, np.concatenate([[0], np.cumsum(column.lengths)])

    def cells(self, name: str) -> pa.Array | None:
        """A column as it came in Arrow's types, less its dictionary; None if it came in others."""
        self._refuse_absent(name)
        cells = self._read(name)
        cells = in_one(cells) if isinstance(cells, pa.ChunkedArray) else cells
        return plain(cells) if isinstance(cells, pa.Array) else None

    def without(self, names: Collection[str], *, counted: bool = True) -> Frame:
        """The table less some columns; whether positions go on to count these."""
        left = tuple(name for name in self.names if name not in names)
        by_position = (self.counted or self.names) if counted else left
        return Frame(left, self.n_rows, self.named, self._read, self.whole or self, by_position)

    def is_list(self, name: str) -> bool:
        """Whether the cells of a column are lists: by its type, or by its first cell."""
        if name not in self._lists:
            self._lists[name] = is_list_column(self._read(name)) if name in self.names else False
        return self._lists[name]

    def is_categorical(self, name: str) -> bool:
        """Whether a column is categorical unless told otherwise: all but numbers and dates are."""
        return self.is_list(name) or self.column(name).is_categorical

    def list_column(self, name: str) -> ListColumn:
        """The elements of a list column.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        ListColumn

        Raises
        ------
        InputError
            If a cell is no list, or an element no category.
        """
        return split_lists(name, self._read(name))

    def list_cells(self, name: str) -> pa.Array:
        """The cells of a list column as Arrow lists."""
        return list_cells(name, self._read(name))

    def resolve(self, columns: Collection[str | int], parameter: str) -> list[str]:
        """The names that a parameter's columns mean: names, or positions.

        Parameters
        ----------
        columns : collection of str or int
            A number is a position in the whole table, unless a column has it for a name.
        parameter : str
            Who asks, for the messages.

        Returns
        -------
        list of str
            Each once.

        Raises
        ------
        ParameterError
            If `columns` is no list.
        InputError
            If there is no such column.
        """
        return resolve(self.counted or self.names, columns, parameter)

    def _refuse_absent(self, name: str) -> None:
        if name not in self.names:
            raise InputError(f"no column {name!r}; the columns are {some(self.names)}")


def resolve(names: Sequence[str], columns: Collection[str | int], parameter: str) -> list[str]:
    """As `Frame.resolve`, among these names."""
    if isinstance(columns, str | bytes) or not isinstance(columns, Collection):
        raise refuse(parameter, "a list of column names or positions", columns)
    return list(dict.fromkeys(_resolved(names, column, parameter) for column in columns))


def _resolved(names: Sequence[str], column: str | int, parameter: str) -> str:
    if str(column) in names:
        return str(column)
    integer = isinstance(column, int | np.integer) and not isinstance(column, bool)
    if integer and -len(names) <= int(column) < len(names):
        return names[int(column)]
    raise InputError(
        f"no column {column!r}, which `{parameter}` names; the columns are {some(names)}"
    )


def open_frame(X: object) -> Frame:
    """Open a table of any kind we know.

    Parameters
    ----------
    X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
        pandas and polars frames, Arrow tables, whatever else narwhals reads eagerly, a dict of
        equally long sequences, or a two-dimensional array or list of rows (columns by position);
        a `Frame` is returned as it is.

    Returns
    -------
    Frame
        Columns are converted when asked for.

    Raises
    ------
    InputError
        If `X` is no table, is not two-dimensional, or names a column twice.
    """
    if isinstance(X, Frame):
        return X
    if isinstance(X, Mapping):
        return _open_mapping(X)
    if isinstance(X, str | os.PathLike):
        raise InputError(
            f"a path is no table in memory: read {str(X)!r} first, for example by pandas"
        )
    if isinstance(X, pa.RecordBatch):
        X = pa.Table.from_batches([X])
    if isinstance(X, pa.Table):
        names = X.column_names
        if named_columns(names) != names:  # by place, as names may occur twice
            X = X.select([i for i, name in enumerate(names) if named_columns([name])])
    try:
        frame = nw.from_native(X, pass_through=True)
    except DuplicateError:
        _refuse_twice(X.column_names if isinstance(X, pa.Table) else X.columns)  # type: ignore[attr-defined]
        raise
    if isinstance(frame, nw.LazyFrame):
        raise InputError("a lazy frame was given; call .collect() on it first")
    if isinstance(frame, nw.DataFrame):
        return _open_narwhals(frame)
    return _open_array(X)


def is_frame(value: object) -> bool:
    """Whether it is a table with names: a dataframe, an Arrow table or a mapping of columns."""
    if isinstance(value, pa.RecordBatch | Mapping):
        return True
    return isinstance(nw.from_native(value, pass_through=True), nw.DataFrame)


def named_columns(names: Iterable[str]) -> list[str]:
    """Names of an Arrow table's columns, less those that pandas gives an index without a name.

    Such an index numbers the rows, and is no column of the frame that was written.
    """
    return [name for name in names if not re.fullmatch(r"__index_level_\d+__", name)]


def to_dataframe(table: pa.Table, kind: str | None = None) -> Any:
    """An Arrow table as another kind of dataframe.

    Parameters
    ----------
    table : pyarrow.Table
        What to convert.
    kind : {"pandas", "polars", "pyarrow"}, optional
        What to make; by default the first of these that is installed.

    Raises
    ------
    ParameterError
        If `kind` is none of the three.
    MissingDependencyError
        If the package asked for is not installed.
    """
    if kind is not None:
        check_option("kind", kind, KINDS)
    wanted = kind or next(found for found in KINDS if find_spec(found))
    if not find_spec(wanted):
        raise MissingDependencyError(f"`kind` {kind!r} needs {kind}: pip install {kind}")
    frame = nw.from_native(table, eager_only=True)
    convert = {"pandas": frame.to_pandas, "polars": frame.to_polars, "pyarrow": frame.to_arrow}
    return convert[wanted]()


def one_column(name: str, values: object) -> Column:
    """A column of its own from a Series, an Arrow array, a NumPy vector or a list."""
    read = _values(name, values)
    return make_column(name, read, len(read))


# --- the kinds of tables ----------------------------------------------------------------


def _refuse_twice(names: Iterable[object]) -> None:
    if twice := repeated(str(name) for name in names):
        raise InputError(f"column names must be distinct, but occur more than once: {some(twice)}")


def _open_narwhals(frame: nw.DataFrame[Any]) -> Frame:
    names = frame.columns
    _refuse_twice(names)
    # pandas allows names that are not text; ours are text everywhere.
    native = {str(name): name for name in names}
    named = all(isinstance(name, str) for name in names)
    return Frame(
        tuple(native), len(frame), named, lambda name: _of_series(frame.get_column(native[name]))
    )


def _of_series(series: nw.Series[Any]) -> pa.ChunkedArray | np.ndarray:
    """A Series as Arrow, or as objects where Arrow cannot hold its cells as they are."""
    # pandas calls a column of objects text if its first hundred are.
    objects = getattr(series.to_native(), "dtype", None) == np.dtype(object)
    if objects or series.dtype == nw.Object:
        return series.to_numpy()
    if series.dtype in (nw.Int128, nw.UInt128):  # neither Arrow nor NumPy knows it
        return np.array(series.to_list(), dtype=object)
    try:
        return series.to_arrow()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return series.to_numpy()  # a category type over values of several types, a sparse one


def _open_mapping(X: Mapping[Any, Any]) -> Frame:
    _refuse_twice(X)
    columns = {str(name): _values(str(name), values) for name, values in X.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"the columns of a dict must be equally long, got {lengths}")
    return Frame(tuple(columns), next(iter(lengths.values()), 0), True, columns.__getitem__)


def _open_array(X: object) -> Frame:
    # The wording of these messages is scikit-learn's, whose users and checks look for it.
    if hasattr(X, "tocsr"):
        raise CellTypeError(
            "a sparse matrix was passed, but dense data is required: a category is a cell, so"
            " there is nothing to leave out; use .toarray()"
        )
    if isinstance(X, list | tuple) and not X:
        raise InputError("an empty list holds neither rows nor frames; give a table that has rows")
    array = _as_array(X)
    if np.iscomplexobj(array):
        raise InputError("Complex data not supported")
    if array.ndim != 2:
        raise InputError(
            f"Expected 2D array, got {array.ndim}D array instead. Reshape your data either using"
            " array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if it"
            " contains a single sample."
        )
    names = tuple(f"x{i}" for i in range(array.shape[1]))
    places = {name: i for i, name in enumerate(names)}
    return Frame(names, array.shape[0], False, lambda name: array[:, places[name]])


def _as_array(X: Any) -> np.ndarray:
    if isinstance(X, np.ma.MaskedArray):
        array = np.array(X.data, dtype=object)
        array[np.ma.getmaskarray(X)] = None
        return array
    # Without a type NumPy would make the 1 in [[1, "a"]] into "1".
    return np.asarray(X, dtype=object if isinstance(X, list | tuple) else None)


def _values(name: str, values: Any) -> Any:
    """One column of whatever kind as an Arrow array or a NumPy vector."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return np.fromiter(values, dtype=object, count=len(values))  # np.array makes 1 into "1"
    series = nw.from_native(values, allow_series=True, pass_through=True)
    if isinstance(series, nw.Series):
        return _of_series(series)
    values = np.asanyarray(values)
    if values.ndim != 1:
        raise InputError(
            f"column {name!r} must be one-dimensional, got {values.ndim} dimensions; give a value"
            " by row"
        )
    return values
