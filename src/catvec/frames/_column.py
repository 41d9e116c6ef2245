"""One column in Arrow memory: its cells by family of keys, whatever types they came in."""

from __future__ import annotations

import contextlib
import datetime
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import SHOWN, some
from catvec.errors import CellTypeError, InputError
from catvec.frames._csv import FLOAT
from catvec.frames._keys import no_exact_type, of_one_type

# Kinds of keys, in canonical order. 1 and 1.0 are one key; "1", True and a date are others.
FAMILIES = ("boolean", "number", "date", "text")

READ = {"text": pa.large_string(), "boolean": pa.bool_(), "date": pa.timestamp("us")}
"""The type in which cells of a family are read; numbers in one of `NUMBERS`."""

MEASURES = ("number", "date")

EXACT = 2.0**53  # below, a float tells every whole number from the next


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
        """As the function of this name."""
        coded = any(pa.types.is_dictionary(array.type) for array in self.families.values())
        return is_categorical(self.kind, coded)

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
        self.refuse_text("is read as a number; name it as categorical, convert it, or leave it out")
        parts = [_floats(family, plain(array)) for family, array in self.families.items()]
        if len(parts) == 1:
            return parts[0]
        numbers = np.full(self.n_rows, np.nan)
        for part in parts:
            np.copyto(numbers, part, where=~np.isnan(part))
        return numbers

    def refuse_text(self, but: str) -> None:
        """Refuse text in what asks for numbers, which the message says.

        It shows what is no number first of all, and in how many rows there is such text.
        """
        if "text" in self.families:
            texts = pc.drop_null(plain(self.families["text"]))
            strange = texts.filter(pc.invert(pc.match_substring_regex(texts, FLOAT)))
            shown = strange if len(strange) else texts
            rows = "1 row" if len(shown) == 1 else f"{len(shown):,} rows"
            listed = some(pc.unique(shown)[: SHOWN + 1].to_pylist())
            raise InputError(f"column {self.name!r} holds text in {rows} ({listed}) but {but}")

    def refuse_families(self, held: Sequence[str]) -> NoReturn:
        """Refuse a column whose values are of none of the families that training `held`."""
        family, array = next((of, a) for of, a in self.families.items() if of not in held)
        values = pc.unique(pc.drop_null(plain(array))[:3]).to_numpy(zero_copy_only=False).tolist()
        raise InputError(
            f"column {self.name!r} held {' and '.join(held)} values when the model was fitted, but"
            f" now holds {family} values ({some(values)}); convert the column"
        )

    def take(self, rows: np.ndarray) -> Column:
        """Some of the rows, by their numbers."""
        taken = {family: array.take(pa.array(rows)) for family, array in self.families.items()}
        present = {k: v for k, v in taken.items() if v.null_count < len(v)}
        return Column(self.name, present, len(rows))


def is_categorical(kind: str, coded: bool) -> bool:
    """Whether a column is categorical unless told otherwise.

    Parameters
    ----------
    kind : str
        What it holds, as `Column.kind` or ``"list"``. All are but numbers and dates.
    coded : bool
        Whether it came in a category type; then numbers and dates are categories, too.

    Returns
    -------
    bool
    """
    return coded or kind not in MEASURES


def make_column(name: str, values: pa.Array | pa.ChunkedArray | np.ndarray, n_rows: int) -> Column:
    """A column of Arrow's or NumPy's values.

    Parameters
    ----------
    name : str
        The column.
    values : Array, ChunkedArray or ndarray of shape (n_rows,)
        Its cells.
    n_rows : int
        How many there are.

    Returns
    -------
    Column

    Raises
    ------
    InputError
        If a number is infinite, numbers have no common type that holds them exactly, or a cell is
        no text, number, boolean or date.
    """
    if isinstance(values, pa.ChunkedArray):
        families = _families_of_array(name, in_one(values))
    elif isinstance(values, pa.Array):
        families = _families_of_array(name, values)
    else:
        families = _families_of_vector(name, values)
    present = {k: v for k, v in families.items() if v.null_count < len(v)}
    _refuse_infinite(name, present.get("number"))
    return Column(name, present, n_rows)


def concatenated(columns: Sequence[Column]) -> Column:
    """Columns one below the other, as one with the name of the first.

    Parameters
    ----------
    columns : sequence of Column
        At least one. Integers below floats that are not whole become floats.

    Returns
    -------
    Column

    Raises
    ------
    InputError
        If their numbers have no common type that holds them exactly.
    """
    name, families = columns[0].name, {}
    for family in FAMILIES:
        if any(family in column.families for column in columns):
            parts = [plain(c.families.get(family, pa.nulls(c.n_rows))) for c in columns]
            families[family] = pa.concat_arrays(of_one_type(name, parts))
    return Column(name, families, sum(column.n_rows for column in columns))


def family_of_type(kind: pa.DataType) -> str:
    """The family of keys that columns of an Arrow type hold; "empty" for nulls, or "other"."""
    return _reading(kind.value_type if pa.types.is_dictionary(kind) else kind)[0]


# --- Arrow and NumPy ---------------------------------------------------------------------


def in_one(values: pa.ChunkedArray) -> pa.Array:
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
        return {kind: _one_zero_no_nan(change(name, array))}
    except pa.ArrowInvalid as error:
        raise InputError(f"column {name!r}: {error}") from error


def _dictionary(indices: pa.Array, values: pa.Array) -> pa.DictionaryArray:
    """Indices into values; where a value is null, the index is."""
    array = pa.DictionaryArray.from_arrays(indices, values)
    return array.dictionary_decode().dictionary_encode() if values.null_count else array


def _reading(kind: pa.DataType) -> tuple[str, Callable[[str, pa.Array], pa.Array] | None]:
    """The family of an Arrow type, and how arrays of it, of a column, are brought to ours."""
    types = pa.types
    if types.is_null(kind):
        return "empty", None
    if types.is_boolean(kind):
        return "boolean", lambda _, a: a
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text", lambda _, a: a.cast(pa.large_string())
    if types.is_integer(kind):
        wide = pa.uint64() if kind == pa.uint64() else pa.int64()
        return "number", lambda _, a: a.cast(wide)
    if types.is_floating(kind):
        return "number", lambda _, a: a.cast(pa.float64())
    if types.is_decimal(kind):
        return "number", _from_decimals
    if types.is_date(kind) or types.is_timestamp(kind):
        return "date", lambda _, a: _microseconds(a)
    return "other", None


def _from_decimals(name: str, array: pa.Array) -> pa.Array:
    """Decimals as the integers that they are, else as the floats nearest to them."""
    if array.type.bit_width < 128:  # Arrow 26 reads what lies below a null in narrower ones
        array = array.cast(pa.decimal128(38, array.type.scale))
    for kind in (pa.int64(), pa.uint64()):
        with contextlib.suppress(pa.ArrowInvalid):
            return array.cast(kind)
    floats = array.cast(pa.string()).cast(pa.float64())  # directly, Arrow 26 is off in last places
    large = pc.greater_equal(pc.abs(floats), EXACT)
    _refuse_lost(name, array.filter(large).to_pylist(), floats.filter(large).to_pylist())
    return floats


def _refuse_lost(name: str, cells: Sequence[Any], floats: Sequence[float | None]) -> None:
    """Refuse floats that stand for other whole numbers; fractions are as near as floats come."""
    pairs = zip(cells, floats, strict=True)
    lost = [c for c, f in pairs if f is not None and abs(f) >= EXACT and c != f]
    if lost:
        raise no_exact_type(name, lost)


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
    if pc.any(pc.is_inf(plain(array))).as_py():  # a dictionary may list what no row holds
        raise InputError(
            f"column {name!r} contains infinity; replace infinite numbers by a missing value or a"
            " finite bound"
        )


def _no_category(name: str, kind: str) -> CellTypeError:
    for word, of in (("interval", "intervals, as of pandas.cut"), ("period", "periods")):
        if kind.startswith(f"extension<pandas.{word}"):
            kind = f"pandas.{word}: {of}, become text by .astype(str)"
    return CellTypeError(
        f"column {name!r} holds cells of type {kind}; an entry must be text (a string), a number,"
        " a boolean or a date: convert the column or leave it out"
    )


def _no_unicode(name: str) -> InputError:
    return InputError(
        f"column {name!r} holds text with surrogates, which is no valid Unicode; decode it anew,"
        ' for example with errors="replace"'
    )


def plain(array: pa.Array) -> pa.Array:
    """An array without its dictionary, if it has one."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def as_numpy(values: pa.Array) -> np.ndarray:
    """A column's values as a vector; texts as objects."""
    vector = np.asarray(values.to_numpy(zero_copy_only=False))
    return vector.astype(object) if pa.types.is_large_string(values.type) else vector


def _floats(family: str, values: pa.Array) -> np.ndarray:
    """Numbers, booleans as 0 and 1, dates as days since 1970; NaN where null."""
    if family == "date":
        values = pc.divide(pc.cast(values.view(pa.int64()), pa.float64(), safe=False), 864e8)
    return np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


# --- object columns ---------------------------------------------------------------------


def _families_of_objects(name: str, values: np.ndarray) -> dict[str, pa.Array]:
    """What Arrow reads as it is, else cell by cell.

    Arrow reads True beside 2.5 as 1.0 and cuts the time off a datetime beside a date, so it is
    trusted with text and booleans, and with numbers of one type.
    """
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, OverflowError):
        return _families_of_cells(name, values)
    except UnicodeError as error:
        raise _no_unicode(name) from error
    if isinstance(array, pa.ChunkedArray):  # more than 2 GB of text
        array = in_one(array)
    kind = array.type
    plain = pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind)
    if plain or set(map(type, values)) - {type(None)} in ({int}, {float}, {Decimal}):
        return _families_of_array(name, array)
    return _families_of_cells(name, values)


def _families_of_cells(name: str, values: np.ndarray) -> dict[str, pa.Array]:
    cells: dict[str, list[Any]] = {}
    kinds: dict[type, str] = {}
    for i, value in enumerate(values):
        kind = kinds.get(type(value)) or kinds.setdefault(type(value), _family_of(name, value))
        if kind == "missing" or is_nan(value):
            continue
        if kind not in cells:
            cells[kind] = [None] * len(values)
        cells[kind][i] = value
    return {kind: _array_of(name, kind, cells[kind]) for kind in FAMILIES if kind in cells}


def is_nan(value: Any) -> bool:
    """Whether it is a number that is none; a signalling one of decimals refuses comparisons."""
    return value.is_nan() if isinstance(value, Decimal) else bool(value != value)


def _family_of(name: str, value: object) -> str:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return "missing"
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, numbers.Real | Decimal):
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
        stamps = [None if cell is None else as_utc(cell) for cell in cells]
        return pa.array(stamps, pa.timestamp("us"))
    try:
        return pa.array(cells, pa.large_string() if kind == "text" else pa.bool_())
    except UnicodeError as error:
        raise _no_unicode(name) from error


def _numbers_of(name: str, cells: list[Any]) -> pa.Array:
    try:
        if all(cell is None or _is_integer(cell) for cell in cells):
            exact = [None if cell is None else int(cell) for cell in cells]
            large = max(cell for cell in exact if cell is not None) > np.iinfo(np.int64).max
            return pa.array(exact, pa.uint64() if large else pa.int64())
        # As Python's integers, which compare with floats exactly; NumPy's do not.
        exact = [int(c) if isinstance(c, numbers.Integral) else c for c in cells]
        floats = [None if cell is None else float(cell) for cell in exact]
        _refuse_lost(name, exact, floats)
        return _one_zero_no_nan(pa.array(floats))
    except (OverflowError, pa.ArrowInvalid) as error:
        raise CellTypeError(
            f"column {name!r} holds integers of more than 64 bits; convert the column to text"
        ) from error


def _is_integer(cell: Any) -> bool:
    """Whether it is an integer, or any other number that equals one of 64 bits."""
    return isinstance(cell, numbers.Integral) or (abs(cell) < 2**63 and cell == int(cell))


def as_utc(cell: Any) -> Any:
    """A date or time as naive UTC that Arrow reads to the microsecond."""
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(cell, datetime.date) and not isinstance(cell, datetime.datetime):
        cell = datetime.datetime(cell.year, cell.month, cell.day)
    return cell
