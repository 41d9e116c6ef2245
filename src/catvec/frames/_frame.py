"""The door: a user's table of any kind becomes columns in Arrow memory, and nothing else goes on.

Only this file knows pandas and polars, and only through narwhals. A column is converted when it is
asked for, so columns nobody uses cost nothing and cannot be at fault.
"""

from __future__ import annotations

import datetime
import numbers
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from narwhals.exceptions import DuplicateError

from catvec._checks import refuse, some
from catvec.errors import CellTypeError, InputError

# Kinds of keys, in canonical order. 1 and 1.0 are one key; "1", True and a date are others.
FAMILIES = ("boolean", "number", "date", "text")


@dataclass(frozen=True)
class Column:
    """One column: for each family of keys in it an Arrow array, null where a row is not of it.

    A column of one type has one array, an all-missing one none, and an object column that holds
    both 1 and "1" has two. An array is of type bool, int64, uint64, float64, timestamp[us] or
    large_string, or a dictionary of one of them, whose values hold no null.
    """

    name: str
    families: Mapping[str, pa.Array]
    n_rows: int

    @property
    def is_categorical(self) -> bool:
        """Whether it is one unless told otherwise: text, booleans, a category type, or empty."""
        coded = any(pa.types.is_dictionary(array.type) for array in self.families.values())
        return coded or self.kind not in ("number", "date")

    @property
    def kind(self) -> str:
        """A family, ``"mixed"`` for several, or ``"empty"`` where every cell is missing."""
        if len(self.families) > 1:
            return "mixed"
        return next(iter(self.families), "empty")

    def floats(self) -> np.ndarray:
        """The column as float64 numbers, NaN where missing.

        Booleans are 0 and 1, dates are days since 1970. Text is an `InputError`.
        """
        if "text" in self.families:
            raise InputError(
                f"column {self.name!r} holds text ({some(self._texts(3))}) but is read as a number;"
                " name it as categorical, convert it, or leave it out"
            )
        parts = [_floats(family, _plain(array)) for family, array in self.families.items()]
        if len(parts) == 1:
            return parts[0]
        numbers = np.full(self.n_rows, np.nan)
        for part in parts:
            np.copyto(numbers, part, where=~np.isnan(part))
        return numbers

    def _texts(self, n: int) -> list[str]:
        return [str(v) for v in pc.drop_null(_plain(self.families["text"]))[:n].to_pylist()]


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
    """

    names: tuple[str, ...]
    n_rows: int
    named: bool
    _read: Callable[[str], Any] = field(repr=False)
    _columns: dict[str, Column] = field(default_factory=dict, repr=False)

    def column(self, name: str) -> Column:
        """The column called `name`, converted on first use.

        Raises
        ------
        InputError
            If there is no such column, if it holds an infinite number, or cells that are no
            categories (lists, bytes, ...).
        """
        if name not in self._columns:
            if name not in self.names:
                raise InputError(f"no column {name!r}; the columns are {some(self.names)}")
            self._columns[name] = _column(name, self._read(name), self.n_rows)
        return self._columns[name]

    def resolve(self, columns: Collection[str | int], parameter: str) -> list[str]:
        """The names that a parameter's columns mean: names, or positions.

        Parameters
        ----------
        columns : collection of str or int
            A number is a position, unless a column has it for a name.
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
        if isinstance(columns, str | bytes) or not isinstance(columns, Collection):
            raise refuse(parameter, "a list of column names or positions", columns)
        names = [self._resolve(column, parameter) for column in columns]
        return list(dict.fromkeys(names))

    def _resolve(self, column: str | int, parameter: str) -> str:
        if str(column) in self.names:
            return str(column)
        integer = isinstance(column, int | np.integer) and not isinstance(column, bool)
        if integer and -len(self.names) <= int(column) < len(self.names):
            return self.names[int(column)]
        raise InputError(
            f"no column {column!r}, which `{parameter}` names; the columns are {some(self.names)}"
        )


def open_frame(X: object) -> Frame:
    """Open a table of any kind we know.

    Parameters
    ----------
    X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
        pandas and polars frames, Arrow tables, whatever else narwhals reads eagerly, a dict of
        equally long sequences, or a two-dimensional array or list of rows (columns by position).

    Returns
    -------
    Frame
        Columns are converted when asked for.

    Raises
    ------
    InputError
        If `X` is no table, is not two-dimensional, or names a column twice.
    """
    if isinstance(X, Mapping):
        return _open_mapping(X)
    if isinstance(X, pa.RecordBatch):
        X = pa.Table.from_batches([X])
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


def to_dataframe(table: pa.Table, kind: str) -> Any:
    """An Arrow table as the kind of dataframe asked for: "pandas", "polars" or "pyarrow"."""
    frame = nw.from_native(table, eager_only=True)
    return {"pandas": frame.to_pandas, "polars": frame.to_polars, "pyarrow": frame.to_arrow}[kind]()


def one_column(name: str, values: object) -> Column:
    """A column of its own from a Series, an Arrow array, a NumPy vector or a list."""
    read = _values(values)
    return _column(name, read, len(read))


# --- the kinds of tables ----------------------------------------------------------------


def _refuse_twice(names: Iterable[object]) -> None:
    counts = Counter(str(name) for name in names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
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
    if series.dtype == nw.Int128:  # neither Arrow nor NumPy knows it
        return np.array(series.to_list(), dtype=object)
    try:
        return series.to_arrow()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return series.to_numpy()  # a category type over values of several types, a sparse one


def _open_mapping(X: Mapping[Any, Any]) -> Frame:
    _refuse_twice(X)
    columns = {str(name): _values(values) for name, values in X.items()}
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


def _values(values: Any) -> Any:
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
        raise InputError(f"a column must be one-dimensional, got {values.ndim} dimensions")
    return values


# --- one column -------------------------------------------------------------------------


def _column(name: str, values: Any, n_rows: int) -> Column:
    if isinstance(values, pa.ChunkedArray):
        families = _families_of_array(name, _in_one(values))
    elif isinstance(values, pa.Array):
        families = _families_of_array(name, values)
    else:
        families = _families_of_vector(name, values)
    present = {k: v for k, v in families.items() if v.null_count < len(v)}
    _refuse_infinite(name, present.get("number"))
    return Column(name, present, n_rows)


def _in_one(values: pa.ChunkedArray) -> pa.Array:
    if values.num_chunks == 1:
        return values.chunk(0)
    if pa.types.is_string(values.type) and values.nbytes > np.iinfo(np.int32).max:
        values = values.cast(pa.large_string())  # offsets of 32 bits would overflow
    array = values.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _families_of_vector(name: str, values: np.ndarray) -> dict[str, pa.Array]:
    if values.dtype.kind == "c":
        raise InputError("Complex data not supported")
    if values.dtype.kind == "O":
        return _families_of_objects(name, values)
    try:
        array = pa.array(_native(values), from_pandas=True)
    except UnicodeError as error:
        raise _no_unicode(name) from error
    return _families_of_array(name, array)


def _native(values: np.ndarray) -> np.ndarray:
    """A vector in the byte order, width and unit of time that Arrow reads."""
    kind = values.dtype
    if kind.kind == "f" and kind.itemsize > 8:
        return values.astype(np.float64)
    if kind.kind == "M" and np.datetime_data(kind)[0] not in ("D", "s", "ms", "us", "ns"):
        return values.astype("datetime64[us]")
    return values if kind.isnative else values.astype(kind.newbyteorder("="))


def _families_of_array(name: str, array: pa.Array) -> dict[str, pa.Array]:
    if isinstance(array, pa.ExtensionArray) and pa.types.is_string(array.storage.type):
        array = array.storage  # JSON; others mean something else than what they are stored as
    if pa.types.is_dictionary(array.type):
        return {
            family: _dictionary(array.indices, values)
            for family, values in _families_of_array(name, array.dictionary).items()
        }
    kind, change = _reading(array.type)
    if kind == "empty":
        return {}
    if change is None:
        raise _no_category(name, str(array.type))
    try:
        return {kind: _one_zero_no_nan(change(array))}
    except pa.ArrowInvalid as error:
        raise InputError(f"column {name!r}: {error}") from error


def _dictionary(indices: pa.Array, values: pa.Array) -> pa.DictionaryArray:
    """Indices into values; where a value is null, the index is."""
    array = pa.DictionaryArray.from_arrays(indices, values)
    return array.dictionary_decode().dictionary_encode() if values.null_count else array


def _reading(kind: pa.DataType) -> tuple[str, Callable[[pa.Array], pa.Array] | None]:
    """The family of an Arrow type, and how its arrays are brought to ours."""
    types = pa.types
    if types.is_null(kind):
        return "empty", None
    if types.is_boolean(kind):
        return "boolean", lambda a: a
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text", lambda a: a.cast(pa.large_string())
    if types.is_integer(kind):
        wide = pa.uint64() if kind == pa.uint64() else pa.int64()
        return "number", lambda a: a.cast(wide)
    if types.is_floating(kind) or types.is_decimal(kind):
        return "number", lambda a: a.cast(pa.float64(), safe=False)
    if types.is_date(kind) or types.is_timestamp(kind):
        return "date", _microseconds
    return "other", None


def _microseconds(array: pa.Array) -> pa.Array:
    """Dates and times as microseconds; a time with a zone by its instant in UTC."""
    zone = getattr(array.type, "tz", None)
    finest = pc.CastOptions(pa.timestamp("us", zone), allow_time_truncate=True)
    array = pc.cast(array, options=finest)
    return array.view(pa.int64()).view(pa.timestamp("us")) if zone else array


def _one_zero_no_nan(array: pa.Array) -> pa.Array:
    """Floats with null for NaN and 0.0 for -0.0; other arrays as they are."""
    if not pa.types.is_floating(array.type):
        return array
    array = pc.add(array, 0.0)
    nan = pc.is_nan(array)
    if not pc.any(nan).as_py():
        return array
    return pc.if_else(nan, pa.scalar(None, array.type), array)


def _refuse_infinite(name: str, array: pa.Array | None) -> None:
    if array is None:
        return
    values = array.dictionary if pa.types.is_dictionary(array.type) else array
    if not pa.types.is_floating(values.type) or not pc.any(pc.is_inf(values)).as_py():
        return
    if pc.any(pc.is_inf(_plain(array))).as_py():  # a dictionary may list what no row holds
        raise InputError(
            f"column {name!r} contains infinity; replace infinite numbers by a missing value or a"
            " finite bound"
        )


def _no_category(name: str, kind: str) -> CellTypeError:
    return CellTypeError(
        f"column {name!r} holds cells of type {kind}; an entry must be text (a string), a number,"
        " a boolean or a date: convert the column or leave it out"
    )


def _no_unicode(name: str) -> InputError:
    return InputError(
        f"column {name!r} holds text with surrogates, which is no valid Unicode; decode it anew,"
        ' for example with errors="replace"'
    )


# --- object columns ---------------------------------------------------------------------


def _families_of_objects(name: str, values: np.ndarray) -> dict[str, pa.Array]:
    """What Arrow reads as it is, else cell by cell.

    Arrow reads True beside 2.5 as 1.0 and cuts the time off a datetime beside a date, so it is
    trusted with text and booleans, and with numbers of one type.
    """
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return _families_of_cells(name, values)
    except UnicodeError as error:
        raise _no_unicode(name) from error
    if isinstance(array, pa.ChunkedArray):  # more than 2 GB of text
        array = _in_one(array)
    kind = array.type
    plain = pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind)
    if plain or set(map(type, values)) - {type(None)} in ({int}, {float}):
        return _families_of_array(name, array)
    return _families_of_cells(name, values)


def _families_of_cells(name: str, values: np.ndarray) -> dict[str, pa.Array]:
    cells: dict[str, list[Any]] = {}
    kinds: dict[type, str] = {}
    for i, value in enumerate(values):
        kind = kinds.get(type(value)) or kinds.setdefault(type(value), _family_of(name, value))
        if kind == "missing" or value != value:  # NaN is the only number unlike itself
            continue
        if kind not in cells:
            cells[kind] = [None] * len(values)
        cells[kind][i] = value
    return {kind: _array_of(name, kind, cells[kind]) for kind in FAMILIES if kind in cells}


def _family_of(name: str, value: object) -> str:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return "missing"
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, numbers.Real) or type(value).__name__ == "Decimal":
        return "number"
    if isinstance(value, datetime.date | np.datetime64):
        return "date"
    if isinstance(value, str):
        return "text"
    raise _no_category(name, type(value).__name__)


def _array_of(name: str, kind: str, cells: list[Any]) -> pa.Array:
    if kind == "number":
        return _numbers_of(name, cells)
    if kind == "date":
        stamps = [None if cell is None else _stamp(cell) for cell in cells]
        return pa.array(stamps, pa.timestamp("us"))
    try:
        return pa.array(cells, pa.large_string() if kind == "text" else pa.bool_())
    except UnicodeError as error:
        raise _no_unicode(name) from error


def _numbers_of(name: str, cells: list[Any]) -> pa.Array:
    whole = all(cell is None or cell == int(cell) for cell in cells if not _infinite(cell))
    try:
        if whole and not any(map(_infinite, cells)):
            exact = [None if cell is None else int(cell) for cell in cells]
            large = max(cell for cell in exact if cell is not None) > np.iinfo(np.int64).max
            return pa.array(exact, pa.uint64() if large else pa.int64())
        return _one_zero_no_nan(pa.array([None if c is None else float(c) for c in cells]))
    except (OverflowError, pa.ArrowInvalid) as error:
        raise CellTypeError(
            f"column {name!r} holds integers of more than 64 bits; convert the column to text"
        ) from error


def _infinite(cell: Any) -> bool:
    return cell is not None and cell in (np.inf, -np.inf)


def _stamp(cell: Any) -> Any:
    """A date or time as naive UTC that Arrow reads to the microsecond."""
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(cell, datetime.date) and not isinstance(cell, datetime.datetime):
        cell = datetime.datetime(cell.year, cell.month, cell.day)
    return cell


def _floats(family: str, values: pa.Array) -> np.ndarray:
    """Numbers, booleans as 0 and 1, dates as days since 1970; NaN where null."""
    if family == "date":
        values = pc.divide(pc.cast(values.view(pa.int64()), pa.float64(), safe=False), 864e8)
    return np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _plain(array: pa.Array) -> pa.Array:
    """Without its dictionary, if it has one."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
