"""The categories of one column: their keys, their codes, and in how many rows each was seen.

Code 0 is unknown, 1 is missing, and 2, 3, ... are the categories in canonical order (by type, then
by value), so neither the order of rows nor the kind of frame changes a code. Categories that
`_growth` appends later take the next codes, in canonical order among themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec.errors import InputError
from catvec.frames._column import FAMILIES, Column, as_numpy
from catvec.frames._frame import one_column
from catvec.frames._gaps import Gaps, SmallCounts, compact_counts, narrow
from catvec.frames._keys import Keys, numbers_like
from catvec.frames._lookup import WIDE, KeyIndex, is_part, places_among

UNKNOWN, MISSING, FIRST = 0, 1, 2  # codes of the two reserved rows, and of the first category
ROLES = ("unknown", "missing", "category", "rare")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The categories of one column. Immutable.

    Attributes
    ----------
    name : str
        The column.
    keys : tuple of Keys
        Values seen in training, family by family.
    stored_counts : ndarray of shape (n_codes,), int64, or once `compact` a narrower one, or so kept
        Rows seen by code: unknown (rows of rare categories), missing, then the categories.
    rare_counts : tuple of ndarray, int64
        Rows of the rare values of each of `keys`, in their order.
    """

    name: str
    keys: tuple[Keys, ...]
    stored_counts: np.ndarray | SmallCounts
    rare_counts: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        if isinstance(self.stored_counts, np.ndarray):
            self.stored_counts.flags.writeable = False

    @classmethod
    def learn(
        cls, column: Column, *, min_frequency: int = 1, rows: np.ndarray | None = None
    ) -> tuple[Vocabulary, np.ndarray]:
        """Learn the categories of a column, and encode it.

        Parameters
        ----------
        column : Column
            The training rows.
        min_frequency : int, default=1
            Categories in fewer rows than this get no code of their own; they share code 0.
        rows : ndarray of shape (n_rows,), int64, optional
            How many rows each cell stands for, one by default: so a table of values and their
            counts is learned from.

        Returns
        -------
        vocabulary : Vocabulary
        codes : ndarray of shape (n_rows,), int32
        """
        families = [f for f in FAMILIES if f in column.families]
        found = [distinct(f, column.families[f], rows) for f in families]
        keys, rare_counts, parts, next_code = [], [], [], FIRST
        counts = [np.zeros(2, np.int64)]
        for family, values, seen, ranks in found:
            kept = seen >= min_frequency
            of_value = np.where(kept, next_code + np.cumsum(kept) - 1, UNKNOWN).astype(np.int32)
            next_code += int(kept.sum())
            keys.append(Keys(family, values, of_value))
            counts.append(seen[kept])
            rare_counts.append(seen[~kept])
            parts.append(np.append(of_value, np.int32(MISSING))[ranks])
        codes = _together(parts, column.n_rows)
        totals = np.concatenate(counts)
        reserved = codes < FIRST
        totals[:2] = np.bincount(
            codes[reserved], None if rows is None else rows[reserved], minlength=2
        )
        return cls(column.name, tuple(keys), totals, tuple(rare_counts)), codes

    def __len__(self) -> int:
        """Known categories, without unknown and missing."""
        return self.n_codes - FIRST

    def __reduce__(self) -> tuple[Any, ...]:
        return Vocabulary, (self.name, self.keys, copy.copy(self.stored_counts), self.rare_counts)

    @property
    def counts(self) -> np.ndarray:
        """Rows seen by code, ``(n_codes,)`` int64, read-only."""
        counts = self.stored_counts[:].astype(np.int64, copy=False)
        counts.flags.writeable = False
        return counts

    @property
    def nbytes(self) -> int:
        """Bytes in memory of categories, codes and counts."""
        counts = self.stored_counts.nbytes + sum(rare.nbytes for rare in self.rare_counts)
        return counts + sum(key.nbytes for key in self.keys)

    def compact(self) -> Self:
        """The same in as few bytes as hold it exactly: narrow numbers, codes where needed."""
        return replace(
            self,
            keys=tuple(key.compact() for key in self.keys),
            stored_counts=compact_counts(self.counts),
            rare_counts=tuple(map(narrow, self.rare_counts)),
        )

    def only(self, kept: np.ndarray) -> Vocabulary:
        """Some of the categories: those where `kept`, (len(self),) bool, says so."""
        codes = np.zeros(self.n_codes, np.int32)
        codes[FIRST:][kept] = FIRST + np.arange(kept.sum())
        keys = []
        for key in self.keys:
            own = codes[key.codes]
            stays = own >= FIRST
            if stays.any():
                keys.append(Keys(key.family, key.values.filter(pa.array(stays)), own[stays]))
        counts = np.concatenate([self.counts[:FIRST], self.counts[FIRST:][kept]])
        return Vocabulary(
            self.name, tuple(keys), counts, tuple(np.zeros(0, np.int64) for _ in keys)
        )

    @property
    def n_codes(self) -> int:
        """Rows of an embedding table for this column: the categories, unknown and missing."""
        return len(self.stored_counts)

    @property
    def n_lines(self) -> int:
        """Codes, and after them the rare values: rows of `to_table`."""
        return self.n_codes + sum(map(len, self.rare_counts))

    @property
    def n_functions(self) -> int:
        """Codes of a value: one."""
        return 1

    @property
    def families(self) -> tuple[str, ...]:
        """Families of keys met in training, in canonical order."""
        return tuple(key.family for key in self.keys)

    @cached_property
    def categories(self) -> np.ndarray:
        """The known categories by code, ``(len(self),)``: numbers, booleans, dates or objects."""
        parts = [as_numpy(key.values)[key.codes >= FIRST] for key in self.keys]
        if len(parts) == 1:
            return np.asarray(parts[0][self._by_code()])
        objects = [value for part in parts for value in part.tolist()]
        together = np.empty(len(objects), dtype=object)
        together[:] = objects
        return np.asarray(together[self._by_code()])

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
        self.check_family(column)
        parts = []
        for family, array in column.families.items():
            values, indices = _values_and_indices(array)
            codes = self._lookup(family, values)
            parts.append(codes if indices is None else np.append(codes, np.int32(MISSING))[indices])
        return _together(parts, column.n_rows)

    def lines(self, column: Column) -> np.ndarray:
        """Rows of `to_table` by a column's rows: as `encode`, but rare values have their own.

        Parameters
        ----------
        column : Column
            Rows to encode, of any length.

        Returns
        -------
        ndarray of shape (n_rows,), int32
            0 for values never seen, 1 for missing ones, 2.. for categories and, from `n_codes` on,
            for rare values.

        Raises
        ------
        InputError
            As `encode`.
        """
        if self.n_lines == self.n_codes:
            return self.encode(column)
        return Vocabulary(self.name, self.line_keys(), self.counts, ()).encode(column)

    def line_keys(self) -> tuple[Keys, ...]:
        """The keys with their `lines` in place of codes."""
        keys, line = [], self.n_codes
        for key, rare_counts in zip(self.keys, self.rare_counts, strict=True):
            lines = key.codes.copy()
            lines[key.codes == UNKNOWN] = np.arange(line, line + len(rare_counts))
            keys.append(Keys(key.family, key.values, lines))
            line += len(rare_counts)
        return tuple(keys)

    def all_codes(self, column: Column) -> np.ndarray:
        """As `encode`; a matrix where a value has several codes, as by several hash functions."""
        return self.encode(column)

    def unknown_values(self, column: Column) -> list[Any]:
        """Values of a column that training never saw; rare ones were seen."""
        self.check_family(column)
        unseen: list[Any] = []
        for family, values, _, _ in (distinct(f, a) for f, a in column.families.items()):
            places = self._places(family, values)
            unseen += as_numpy(values)[places < 0].tolist()
        return unseen

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
        values, families = [], [np.array(["", ""])]
        for k, mask in known + rare:
            key = self.keys[k]
            part = key.values.filter(pa.array(mask))
            values.append(part.cast(pa.large_string()) if mixed else part)
            families.append(np.full(len(part), key.family))
        kind = values[0].type if values else pa.null()
        n_rare = self.n_lines - self.n_codes
        roles = ["unknown", "missing", *["category"] * len(self), *["rare"] * n_rare]
        order = np.arange(self.n_lines)
        order[FIRST : self.n_codes] = FIRST + self._by_code()
        return pa.table(
            {
                "category": pa.concat_arrays([pa.nulls(2, kind), *values]).take(pa.array(order)),
                "family": pa.array(np.concatenate(families)[order]).dictionary_encode(),
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
        try:
            keys, rare_counts, counts = _read_table(name, table)
        except (pa.ArrowException, KeyError) as error:
            raise InputError(f"the rows of column {name!r} cannot be read: {error}") from error
        return cls(name, tuple(keys), counts, tuple(rare_counts))

    def check_family(self, column: Column) -> None:
        """Refuse a column of another type family than in training."""
        if self.families and column.families and not set(column.families) & set(self.families):
            column.refuse_families(self.families)

    # --- inside ---

    def _by_code(self) -> np.ndarray:
        """Places of the categories, counted family by family, in the order of their codes."""
        codes = [key.codes[key.codes >= FIRST] for key in self.keys]
        return np.argsort(np.concatenate(codes)) if codes else np.zeros(0, np.int64)

    def _lookup(self, family: str, values: pa.Array) -> np.ndarray:
        """Codes of values of one family, which may hold nulls."""
        places = self._places(family, values)
        codes = np.full(len(values), UNKNOWN, np.int32)
        for key in self.keys:
            if key.family == family:
                codes = key.at(places)  # -1 is the last, but put right below
        unknown = places < 0
        if unknown.any():
            codes[unknown] = UNKNOWN
        if values.null_count:
            codes[np.asarray(pc.is_null(values))] = MISSING
        return codes

    def _places(self, family: str, values: pa.Array) -> np.ndarray:
        """Where each value stands among the keys of its family; -1 where it does not."""
        key = next((key for key in self.keys if key.family == family), None)
        if key is None:
            return np.full(len(values), -1, np.int32)
        if isinstance(key.stored, Gaps):
            integers = numbers_like(values, pa.int64())
            places = key.stored.places(np.asarray(integers.fill_null(0)))
            return np.where(np.asarray(pc.is_null(integers)), np.int32(-1), places)
        keys = key.searched
        if family == "number":
            values = numbers_like(values, keys.type)
        if is_part(keys, values):
            return self._indexes[family].places(values)
        return places_among(keys, values)

    @cached_property
    def _indexes(self) -> dict[str, KeyIndex]:
        """By wide family an index of its keys, made when it is first asked for."""
        wide = [k for k in self.keys if len(k.stored) >= WIDE and not isinstance(k.stored, Gaps)]
        return {key.family: KeyIndex(key.family, key.searched) for key in wide}


def _together(parts: Sequence[np.ndarray], n_rows: int) -> np.ndarray:
    """A code by row from those of each family, which are `MISSING` where a row is not of it."""
    codes = parts[0] if parts else np.full(n_rows, MISSING, np.int32)
    for part in parts[1:]:
        np.copyto(codes, part, where=part != MISSING)
    return codes


def _values_and_indices(array: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """An array as its dictionary and each row's place in it (-1: null), or as it is."""
    if not pa.types.is_dictionary(array.type):
        return array, None
    indices = array.indices.cast(pa.int32())
    return array.dictionary, np.asarray(indices.fill_null(-1))


def distinct(
    family: str, array: pa.Array, weights: np.ndarray | None = None
) -> tuple[str, pa.Array, np.ndarray, np.ndarray]:
    """Distinct values in use, ascending; rows of each; each row's place among them (-1: null)."""
    given = pa.types.is_dictionary(array.type)
    values, indices = _values_and_indices(array if given else array.dictionary_encode())
    assert indices is not None
    if given:
        merged = values.dictionary_encode()  # a dictionary may repeat a value
        values, indices = merged.dictionary, np.append(np.asarray(merged.indices), -1)[indices]
    if family == "number" and pa.types.is_floating(values.type):
        values = _integral(values)
    rows = np.bincount(indices + 1, weights, minlength=len(values) + 1)[1:]
    order = ascending(values)
    order = order[rows[order] > 0]  # a category type may list values that no row has
    rank = np.full(len(values) + 1, -1, np.int32)
    rank[order] = np.arange(len(order))
    return family, values.take(pa.array(order)), rows[order].astype(np.int64), rank[indices]


def ascending(values: pa.Array) -> np.ndarray:
    return np.asarray(pc.array_sort_indices(values)).astype(np.int64)


def _integral(values: pa.Array) -> pa.Array:
    """Floats as int64 where all of them are whole, since 1.0 and 1 are one key."""
    floats = np.asarray(values)
    whole = (np.abs(floats) < 2.0**63) & (floats == np.trunc(floats))
    return pa.array(floats.astype(np.int64)) if whole.all() else values


# --- a vocabulary as a table ------------------------------------------------------------


def _read_table(name: str, table: pa.Table) -> tuple[list[Keys], list[np.ndarray], np.ndarray]:
    """Keys, counts of rare values and counts by code."""
    role = _option(table["role"], ROLES)
    family = _option(table["family"], FAMILIES)
    counts = np.asarray(table["count"].cast(pa.int64()).fill_null(-1))
    _check_rows(name, role, family, counts)
    codes = np.where(role == ROLES.index("rare"), UNKNOWN, np.arange(len(role))).astype(np.int32)
    keys, rare_counts = [], []
    for i in np.unique(family[2:]):
        rows = np.flatnonzero(family == i)
        values = _checked(name, FAMILIES[i], table["category"].take(pa.array(rows)))
        by_value = ascending(values)
        rows, values = rows[by_value], values.take(pa.array(by_value))
        if pc.any(pc.equal(values[1:], values[:-1])).as_py():
            raise InputError(f"the categories of column {name!r} are not distinct")
        keys.append(Keys(FAMILIES[i], values, codes[rows]))
        rare_counts.append(counts[rows][codes[rows] == UNKNOWN])
    return keys, rare_counts, counts[codes == np.arange(len(codes))]


def _option(texts: pa.ChunkedArray, options: Sequence[str]) -> np.ndarray:
    """The number of each text among the options; -1 for another."""
    found = pc.index_in(texts.cast(pa.string()), value_set=pa.array(options, pa.string()))
    return np.asarray(found.fill_null(-1))


def _check_rows(name: str, role: np.ndarray, family: np.ndarray, counts: np.ndarray) -> None:
    in_order = role[:2].tolist() == [0, 1] and (role[2:] > 1).all() and (np.diff(role) >= 0).all()
    if not in_order:
        raise InputError(f"the rows of column {name!r} do not have their roles in order")
    if (family[2:] < 0).any() or (family[:2] >= 0).any():
        raise InputError(f"a category of column {name!r} has no family")
    if (counts < 0).any():
        raise InputError(f"a count of column {name!r} is missing or negative")


def _checked(name: str, family: str, stored: pa.ChunkedArray) -> pa.Array:
    """Stored categories of one family as ours: of its type, without gaps."""
    column = one_column(name, _from_text(stored, family))
    values = column.families.get(family)
    if values is None or column.kind != family or values.null_count:
        raise InputError(f"a category of column {name!r} is no {family}")
    return values


def _from_text(values: pa.ChunkedArray, family: str) -> pa.ChunkedArray:
    """Undo the cast to text of `to_table`; values that kept their own type pass."""
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if family == "text" or not text:
        return values
    if family != "number":
        return values.cast(pa.bool_() if family == "boolean" else pa.timestamp("us"))
    for kind in (pa.int64(), pa.uint64()):
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            continue
    return values.cast(pa.float64())
