"""The interface of a vocabulary without a dictionary: any number of values in constant memory.

Hash functions send a value to buckets, whose rows it shares with others. The most frequent values
may be told apart all the same, and have codes of their own: then only the rest is hashed.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec.errors import CategoryError, InputError
from catvec.frames._column import FAMILIES, Column
from catvec.frames._frame import one_column
from catvec.frames._keys import Keys
from catvec.frames._murmur import hash_keys
from catvec.frames._vocabulary import (
    FIRST,
    MISSING,
    Vocabulary,
    _values_and_indices,
    distinct,
)

__all__ = ["HashedVocabulary"]

FEWEST_BUCKETS, MOST_BUCKETS = 2**12, 2**18  # where nobody says how many: more values may come


@dataclass(frozen=True, eq=False)
class HashedVocabulary(Vocabulary):
    """Codes of a column by hash functions. Immutable.

    Code 0 is unknown, which no value is: it stands for a row of which nothing is known. Code 1 is
    missing, then come the values that are told apart, if any, then the buckets.

    Attributes
    ----------
    name, keys, counts, rare_counts
        As of a `Vocabulary`; keys are those of values that are told apart, counts those of the
        buckets of the first hash function.
    n_buckets, n_hashes : int
        Buckets of each hash function, which share them, and how many functions there are.
    met : tuple of str
        Families of keys met in training, since no dictionary tells them.
    """

    n_buckets: int
    n_hashes: int
    met: tuple[str, ...]

    @classmethod
    def learn_hashed(
        cls, column: Column, *, n_buckets: int | None = None, n_hashes: int = 1, n_exact: int = 0
    ) -> tuple[HashedVocabulary, np.ndarray]:
        """Count the rows of each bucket, and encode a column.

        Parameters
        ----------
        column : Column
            The training rows.
        n_buckets : int, optional
            At least 1. By default the power of two that is no less than the number of rows, but not
            below `FEWEST_BUCKETS` and not above `MOST_BUCKETS`.
        n_hashes : int, default=1
            At least 1.
        n_exact : int, default=0
            How many of the most frequent values have codes of their own; of equally frequent ones
            those that come first in canonical order.

        Returns
        -------
        vocabulary : HashedVocabulary
        codes : ndarray of shape (n_rows, n_functions), int32
            As `all_codes` gives them.
        """
        if n_buckets is None:
            power = 2 ** math.ceil(math.log2(max(column.n_rows, 1)))
            n_buckets = min(max(power, FEWEST_BUCKETS), MOST_BUCKETS)
        keys = _most_frequent(column, n_exact)
        n_known = sum(len(key.values) for key in keys)
        nothing = np.zeros(FIRST + n_known + n_buckets, np.int64)
        none_rare = tuple(np.empty(0, np.int64) for _ in keys)
        met = tuple(family for family in FAMILIES if family in column.families)
        empty = cls(column.name, keys, nothing, none_rare, n_buckets, n_hashes, met)
        codes = empty.all_codes(column)
        first = codes if codes.ndim == 1 else codes[:, 0]
        counts = np.bincount(first, minlength=empty.n_codes).astype(np.int64)
        return cls(column.name, keys, counts, none_rare, n_buckets, n_hashes, met), codes

    def with_rows(self, column: Column) -> HashedVocabulary:
        """The same with the rows of a column counted as well."""
        counts = self.counts + np.bincount(self.encode(column), minlength=self.n_codes)
        met = tuple(f for f in FAMILIES if f in self.met or f in column.families)
        return replace(self, stored_counts=counts.astype(np.int64), met=met)

    def __len__(self) -> int:
        """Values told apart."""
        return self.n_codes - FIRST - self.n_buckets

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.name, self.keys, copy.copy(self.stored_counts), self.rare_counts)
        return HashedVocabulary, (*fields, self.n_buckets, self.n_hashes, self.met)

    @property
    def n_functions(self) -> int:
        """Columns of `all_codes`: one by hash function; with several of them, one for weights."""
        return self.n_hashes + (self.n_hashes > 1)

    @property
    def families(self) -> tuple[str, ...]:
        """Families of keys met in training, in canonical order."""
        return self.met

    @cached_property
    def categories(self) -> np.ndarray:
        """The values told apart by code; a `CategoryError` if there are none."""
        if not self.keys:
            self._refuse_categories()
        return Vocabulary.categories.func(self)  # type: ignore[attr-defined]

    def encode(self, column: Column) -> np.ndarray:
        """Codes of a column's rows under the first hash function, int32 of shape (n_rows,)."""
        self.check_family(column)
        return np.ascontiguousarray(self._matrix(column)[:, 0])

    def all_codes(self, column: Column) -> np.ndarray:
        """Codes of a column's rows under every hash function.

        Parameters
        ----------
        column : Column
            Rows to encode, of any length.

        Returns
        -------
        ndarray of shape (n_rows, n_functions), int32
            1 for missing values; of one dimension for one function. With several hash functions the
            last column is one more: it tells by which weights the rows of the others are summed.

        Raises
        ------
        InputError
            If the column is of another type family than in training (numbers for text).
        """
        self.check_family(column)
        codes = self._matrix(column)
        return codes if self.n_functions > 1 else np.ascontiguousarray(codes[:, 0])

    def unknown_values(self, column: Column) -> list[Any]:
        """None: every value has buckets."""
        self.check_family(column)
        return []

    def code(self, value: object) -> int:
        """The code of one value under the first hash function; 1 if missing."""
        return int(self.codes_of_one(value).flat[0])

    def codes_of_one(self, value: object) -> np.ndarray:
        """`all_codes` for one value, as of a column with one row."""
        return self.all_codes(one_column(self.name, [value]))

    def to_table(self) -> pa.Table:
        """As `Vocabulary.to_table`; after the values told apart come the buckets.

        Returns
        -------
        pyarrow.Table
            The rows of buckets have the role ``bucket`` and no category.
        """
        exact = Vocabulary(self.name, self.keys, self.counts[: self._first], self.rare_counts)
        table = exact.to_table()
        n, kind = self.n_buckets, table["category"].type
        family = pa.array([""] * n, pa.string()).dictionary_encode()
        buckets = {
            "category": pa.nulls(n, kind),
            "family": family,
            "role": pa.array(["bucket"] * n, pa.string()).dictionary_encode(),
            "count": pa.array(self.counts[self._first :]),
        }
        return pa.concat_tables([table, pa.table(buckets)]).unify_dictionaries().combine_chunks()

    @classmethod
    def from_hashed_table(
        cls, name: str, table: pa.Table, n_buckets: int, n_hashes: int, met: tuple[str, ...]
    ) -> HashedVocabulary:
        """The vocabulary that `to_table` wrote.

        Parameters
        ----------
        name : str
        table : pyarrow.Table
            As `to_table` gives it, with any further columns.
        n_buckets, n_hashes, met
            As the vocabulary had them.

        Returns
        -------
        HashedVocabulary

        Raises
        ------
        InputError
            If the rows are not in that form.
        """
        n_exact = table.num_rows - n_buckets
        roles = table["role"].slice(max(n_exact, 0)).cast(pa.string())
        if n_exact < FIRST or not pc.all(pc.equal(roles, "bucket")).as_py():
            raise InputError(f"the rows of column {name!r} do not end in {n_buckets} buckets")
        exact = Vocabulary.from_table(name, table.slice(0, n_exact))
        buckets = np.asarray(table["count"].slice(n_exact).cast(pa.int64()).fill_null(-1))
        counts = np.concatenate([exact.counts, buckets])
        return cls(name, exact.keys, counts, exact.rare_counts, n_buckets, n_hashes, met)

    # --- inside ---

    @property
    def _first(self) -> int:
        """Code of the first bucket."""
        return self.n_codes - self.n_buckets

    def _matrix(self, column: Column) -> np.ndarray:
        """A column by hash function, also where there is one."""
        codes = np.full((column.n_rows, self.n_functions), MISSING, np.int32)
        for family, array in column.families.items():
            values, indices = _values_and_indices(array)
            found = self._codes_of(family, values)
            if indices is not None:
                found = np.append(found, np.full((1, self.n_functions), MISSING, np.int32), 0)
                found = found[indices]
            np.copyto(codes, found, where=found != MISSING)
        return codes

    def _codes_of(self, family: str, values: pa.Array) -> np.ndarray:
        """Codes of values of one family, which may hold nulls, by hash function."""
        buckets = hash_keys(family, values, range(self.n_functions))
        buckets %= np.uint32(self.n_buckets)
        codes = buckets.astype(np.int32)
        codes += np.int32(self._first)
        if self.keys:
            known = self._lookup(family, values)
            codes = np.where(known[:, None] >= FIRST, known[:, None], codes)
        if values.null_count:
            codes[np.asarray(pc.is_null(values))] = MISSING
        return codes

    def _refuse_categories(self) -> NoReturn:
        raise CategoryError(
            f"column {self.name!r} is hashed into {self.n_buckets:,} buckets and keeps no"
            " categories: ask for one by its value, or fit anew and keep the most frequent ones, by"
            " `n_exact` in `tables`, or on the command line by"
            f" --table {self.name}=hashed:{self.n_buckets}:{self.n_hashes}:1000"
        )


def _most_frequent(column: Column, n: int) -> tuple[Keys, ...]:
    """Keys of the n most frequent values, with codes in canonical order."""
    if n <= 0:
        return ()
    found = [distinct(f, column.families[f])[:3] for f in FAMILIES if f in column.families]
    if not found:
        return ()
    rows = np.concatenate([of_family for _, _, of_family in found])
    kept = np.zeros(len(rows), bool)
    kept[np.argsort(-rows, kind="stable")[:n]] = True
    keys, next_code, start = [], FIRST, 0
    for family, values, of_family in found:
        own = kept[start : start + len(of_family)]
        start += len(of_family)
        if own.any():
            codes = np.arange(next_code, next_code + int(own.sum()), dtype=np.int32)
            next_code += len(codes)
            keys.append(Keys(family, values.filter(pa.array(own)), codes))
    return tuple(keys)
