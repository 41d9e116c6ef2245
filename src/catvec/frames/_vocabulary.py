"""The categories of one column: their keys, their codes, and in how many rows each was seen.

Code 0 is unknown, 1 is missing, and 2, 3, ... are the categories in canonical order (by type, then
by value), so neither the order of rows nor the kind of frame changes a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._frame import FAMILIES, Column, one_column

UNKNOWN, MISSING, FIRST = 0, 1, 2  # codes of the two reserved rows, and of the first category


@dataclass(frozen=True)
class Keys:
    """Distinct values of one family, ascending; the i-th has the code ``codes[i]``."""

    family: str
    values: pa.Array
    codes: np.ndarray  # int32; 0 for a category rarer than `min_frequency`


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The categories of one column. Immutable.

    Attributes
    ----------
    name : str
        The column.
    keys : tuple of Keys
        Values seen in training, family by family.
    counts : ndarray of shape (n_codes,), int64
        Rows seen by code: unknown (rows of rare categories), missing, then the categories.
    rare_counts : tuple of ndarray, int64
        Rows of the rare values of each of `keys`, in their order.
    """

    name: str
    keys: tuple[Keys, ...]
    counts: np.ndarray
    rare_counts: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        self.counts.flags.writeable = False

    @classmethod
    def learn(cls, column: Column, *, min_frequency: int = 1) -> tuple[Vocabulary, np.ndarray]:
        """Learn the categories of a column, and encode it.

        Parameters
        ----------
        column : Column
            The training rows.
        min_frequency : int, default=1
            Categories in fewer rows than this get no code of their own; they share code 0.

        Returns
        -------
        vocabulary : Vocabulary
        codes : ndarray of shape (n_rows,), int32
        """
        found = [_distinct(f, column.families[f]) for f in FAMILIES if f in column.families]
        keys, rare_counts, next_code = [], [], FIRST
        counts = [np.zeros(2, np.int64)]
        codes = np.full(column.n_rows, MISSING, np.int32)
        for family, values, rows, ranks in found:
            kept = rows >= min_frequency
            of_value = np.where(kept, next_code + np.cumsum(kept) - 1, UNKNOWN).astype(np.int32)
            next_code += int(kept.sum())
            keys.append(Keys(family, values, of_value))
            counts.append(rows[kept])
            rare_counts.append(rows[~kept])
            _put(codes, of_value, ranks)
        totals = np.concatenate(counts)
        totals[:2] = np.bincount(codes[codes < FIRST], minlength=2)
        return cls(column.name, tuple(keys), totals, tuple(rare_counts)), codes

    def __len__(self) -> int:
        """Known categories, without unknown and missing."""
        return self.n_codes - FIRST

    def __reduce__(self) -> tuple[Any, ...]:
        return Vocabulary, (self.name, self.keys, self.counts.copy(), self.rare_counts)

    @property
    def n_codes(self) -> int:
        """Rows of an embedding table for this column: the categories, unknown and missing."""
        return len(self.counts)

    @property
    def families(self) -> tuple[str, ...]:
        """Families of keys met in training, in canonical order."""
        return tuple(key.family for key in self.keys)

    @cached_property
    def categories(self) -> np.ndarray:
        """The known categories by code, ``(len(self),)``, as numbers, booleans, dates or objects."""
        parts = [_numpy(key.values)[key.codes >= FIRST] for key in self.keys]
        if len(parts) == 1:
            return parts[0]
        objects = [value for part in parts for value in part.tolist()]
        together = np.empty(len(objects), dtype=object)
        together[:] = objects
        return together

    def encode(self, column: Column) -> np.ndarray:
        """Codes of a column's rows.

        Parameters
        ----------
        column : Column
            Rows to encode, of any length.

        Returns
        -------
        ndarray of shape (n_rows,), int32
            0 for values that are not known or rare, 1 for missing ones.

        Raises
        ------
        InputError
            If the column is of another type family than in training (numbers for text).
        """
        self._check_family(column)
        codes = np.full(column.n_rows, MISSING, np.int32)
        for family, array in column.families.items():
            values, indices = _values_and_indices(array)
            _put(codes, self._lookup(family, values), indices)
        return codes

    def unknown_values(self, column: Column, limit: int = 6) -> list[Any]:
        """Values of a column that training never saw; rare ones were seen. At most `limit`."""
        self._check_family(column)
        unseen: list[Any] = []
        for family, values, _, _ in (_distinct(f, a) for f, a in column.families.items()):
            places = self._places(family, values)
            unseen += _numpy(values)[places < 0][:limit].tolist()
        return unseen[:limit]

    def code(self, value: object) -> int:
        """The code of one value: 0 if not known, 1 if missing (None, NaN, NaT, pd.NA)."""
        column = one_column(self.name, [value])
        if not column.families:
            return MISSING
        ((family, array),) = column.families.items()
        return int(self._lookup(family, array)[0])

    def to_table(self) -> pa.Table:
        """The vocabulary as a table that any tool can read.

        Returns
        -------
        pyarrow.Table
            A row by code (unknown, missing, then the categories), and after them the rare values,
            with the columns ``category`` (of the column's own type; text where families are mixed),
            ``family``, ``role`` (unknown, missing, category or rare) and ``count`` (int64).
        """
        known = [(k, key.codes >= FIRST) for k, key in enumerate(self.keys)]
        rare = [(k, key.codes == UNKNOWN) for k, key in enumerate(self.keys)]
        mixed = len(self.keys) > 1
        values, families = [], ["", ""]
        for k, mask in known + rare:
            key = self.keys[k]
            part = key.values.filter(pa.array(mask))
            values.append(_as_text(part) if mixed else part)
            families += [key.family] * len(part)
        kind = values[0].type if values else pa.null()
        n_rare = sum(map(len, self.rare_counts))
        roles = ["unknown", "missing", *["category"] * len(self), *["rare"] * n_rare]
        return pa.table(
            {
                "category": pa.concat_arrays([pa.nulls(2, kind), *values]),
                "family": pa.array(families, pa.string()).dictionary_encode(),
                "role": pa.array(roles, pa.string()).dictionary_encode(),
                "count": pa.array(np.concatenate([self.counts, *self.rare_counts])),
            }
        )

    @classmethod
    def from_table(cls, name: str, table: pa.Table) -> Vocabulary:
        """The vocabulary that `to_table` wrote.

        Parameters
        ----------
        name : str
            The column.
        table : pyarrow.Table
            As `to_table` gives it, with any further columns.

        Returns
        -------
        Vocabulary

        Raises
        ------
        InputError
            If the rows are not in that form (roles, order, distinct values).
        """
        families = np.asarray(table["family"].cast(pa.string()).to_pylist(), dtype=object)
        roles = np.asarray(table["role"].cast(pa.string()).to_pylist(), dtype=object)
        counts = table["count"].to_numpy().astype(np.int64)
        known, rare = roles == "category", roles == "rare"
        n_codes = 2 + int(known.sum())
        order = ["unknown", "missing", *["category"] * (n_codes - 2), *["rare"] * int(rare.sum())]
        if list(roles) != order:
            raise InputError(f"the rows of column {name!r} do not have their roles in order")
        categories = table["category"].combine_chunks()
        present = [f for f in FAMILIES if (families[2:] == f).any()]
        keys, rare_counts = [], []
        all_codes = np.where(known, np.arange(len(roles)), UNKNOWN).astype(np.int32)
        for family in present:
            rows = np.flatnonzero((families == family) & (known | rare))
            values = _from_text(categories.take(pa.array(rows)), family)
            by_value = _ascending(values)
            rows, values = rows[by_value], values.take(pa.array(by_value))
            if values.null_count or len(pc.unique(values)) < len(values):
                raise InputError(f"the categories of column {name!r} are not distinct")
            keys.append(Keys(family, values, all_codes[rows]))
            rare_counts.append(counts[rows][all_codes[rows] == UNKNOWN])
        vocabulary = cls(name, tuple(keys), counts[:n_codes].copy(), tuple(rare_counts))
        if not _each_once(keys, n_codes):
            raise InputError(f"the categories of column {name!r} are not in order")
        return vocabulary

    # --- inside ---

    def _check_family(self, column: Column) -> None:
        if self.keys and column.families and not set(column.families) & set(self.families):
            ((family, array), *_) = column.families.items()
            values = _numpy(pc.drop_null(_values_and_indices(array)[0])[:3]).tolist()
            raise InputError(
                f"column {self.name!r} held {' and '.join(self.families)} values when the model was"
                f" fitted, but now holds {family} values ({some(values)}); convert the column"
            )

    def _lookup(self, family: str, values: pa.Array) -> np.ndarray:
        """Codes of values of one family, which may hold nulls."""
        key = next((key for key in self.keys if key.family == family), None)
        places = self._places(family, values)
        known = np.append(key.codes if key else [], UNKNOWN).astype(np.int32)  # the last by -1
        codes = known[places]
        if values.null_count:
            codes[np.asarray(pc.is_null(values))] = MISSING
        return codes

    def _places(self, family: str, values: pa.Array) -> np.ndarray:
        """Where each value stands among the keys of its family; -1 where it does not."""
        key = next((key for key in self.keys if key.family == family), None)
        if key is None:
            return np.full(len(values), -1, np.int32)
        if family == "number":
            values = _numbers_like(values, key.values.type)
        keys = key.values.cast(values.type) if values.type != key.values.type else key.values
        found = pc.index_in(values, value_set=keys, skip_nulls=True)
        return np.asarray(found.fill_null(-1))


def _put(codes: np.ndarray, of_value: np.ndarray, indices: np.ndarray | None) -> None:
    """Write the codes of one family's rows; rows that are not of it keep what they have."""
    if indices is None:
        np.copyto(codes, of_value, where=of_value != MISSING)
    elif (indices < 0).any():
        rows = indices >= 0
        codes[rows] = of_value[indices[rows]]
    else:
        codes[:] = of_value[indices]


def _values_and_indices(array: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """An array as its dictionary and each row's place in it (-1: null), or as it is."""
    if not pa.types.is_dictionary(array.type):
        return array, None
    values, indices = array.dictionary, array.indices
    places = np.asarray(indices.fill_null(0)).astype(np.int64)
    if indices.null_count:
        places[np.asarray(pc.is_null(indices))] = -1
    if values.null_count:
        null = np.append(np.asarray(pc.is_null(values)), False)
        places[null[places]] = -1
    return values, places


def _distinct(family: str, array: pa.Array) -> tuple[str, pa.Array, np.ndarray, np.ndarray]:
    """Distinct values in use, ascending; rows of each; each row's place among them (-1: null)."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    values, indices = _values_and_indices(array)
    assert indices is not None
    merged = values.dictionary_encode()  # a dictionary may repeat a value
    if len(merged.dictionary) < len(values):
        fold = np.append(np.asarray(merged.indices.fill_null(-1)), -1)
        values, indices = merged.dictionary, fold[indices]
    if family == "number" and pa.types.is_floating(values.type):
        values = _integral(values)
    rows = np.bincount(indices[indices >= 0], minlength=len(values))
    order = _ascending(values)
    order = order[rows[order] > 0]  # a category type may list values that no row has
    rank = np.full(len(values) + 1, -1, np.int64)
    rank[order] = np.arange(len(order))
    values = values.take(pa.array(order))
    if family == "text":
        values = values.cast(pa.large_string())
    return family, values, rows[order].astype(np.int64), rank[indices]


def _ascending(values: pa.Array) -> np.ndarray:
    return np.asarray(pc.array_sort_indices(values)).astype(np.int64)


def _integral(values: pa.Array) -> pa.Array:
    """Floats as int64 where all of them are whole, since 1.0 and 1 are one key."""
    floats = np.asarray(values.fill_null(0.0))
    small = np.abs(floats) < 2.0**63
    whole = bool(small.all()) and bool((floats == np.trunc(floats)).all())
    if not whole:
        return pa.array(floats + 0.0, mask=np.asarray(pc.is_null(values)))  # -0.0 is 0.0
    return pa.array(floats.astype(np.int64), mask=np.asarray(pc.is_null(values)))


def _numbers_like(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Numbers as the type of the keys; null where that type cannot hold them exactly."""
    if values.type == kind:
        return values
    raw = np.asarray(values.fill_null(0))
    dtype = np.dtype(kind.to_pandas_dtype())
    fits = np.ones(len(raw), bool)
    if dtype.kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
        fits = (raw >= low) & (raw < high)  # compares in float64, where 2**63 - 1 rounds up
    with np.errstate(invalid="ignore"):
        cast = raw.astype(dtype)
        fits &= cast.astype(raw.dtype) == raw
    return pa.array(cast, mask=~fits | np.asarray(pc.is_null(values)))


def _each_once(keys: Sequence[Keys], n_codes: int) -> bool:
    codes = np.concatenate(
        [np.zeros(0, np.int32), *(key.codes[key.codes >= FIRST] for key in keys)]
    )
    return bool(np.array_equal(np.sort(codes), np.arange(FIRST, n_codes)))


def _as_text(values: pa.Array) -> pa.Array:
    return values.cast(pa.large_string())


def _from_text(values: pa.Array, family: str) -> pa.Array:
    """Undo `_as_text`; values that kept their own type pass."""
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if family == "text":
        return values.cast(pa.large_string())
    if not text:
        return values
    if family != "number":
        return values.cast(pa.bool_() if family == "boolean" else pa.timestamp("us"))
    for kind in (pa.int64(), pa.uint64()):
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            continue
    return values.cast(pa.float64())


def _numpy(values: pa.Array) -> np.ndarray:
    if pa.types.is_large_string(values.type) or pa.types.is_string(values.type):
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype=object)
    return np.asarray(values.to_numpy(zero_copy_only=False))
