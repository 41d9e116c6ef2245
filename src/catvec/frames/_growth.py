"""Vocabularies made of others: grown by rows, joined, cut, renamed. A code, once given, stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._column import FAMILIES, Column
from catvec.frames._frame import one_column
from catvec.frames._hashing import HashedVocabulary
from catvec.frames._keys import Keys, of_one_type
from catvec.frames._lookup import places_among
from catvec.frames._vocabulary import (
    FIRST,
    MISSING,
    UNKNOWN,
    Vocabulary,
    ascending,
    distinct,
)

NEVER = np.iinfo(np.int64).max  # a `min_frequency` that no count reaches


@dataclass(frozen=True, eq=False)
class Growth:
    """A vocabulary made of another one, and where the other's rows went.

    Attributes
    ----------
    vocabulary : Vocabulary
        The new one.
    moved : ndarray of shape (n_lines of the other,), int64
        By line of the other's table (code, or rare value) the line in the new one's.
    """

    vocabulary: Vocabulary
    moved: np.ndarray


@dataclass(frozen=True, eq=False)
class _Seen:
    """Distinct values of one family, the rows of each, and which get a code in any case."""

    values: pa.Array
    rows: np.ndarray
    known: np.ndarray


def grow(vocabulary: Vocabulary, column: Column, *, min_frequency: int = 1) -> Growth:
    """Count further rows, and append the categories they bring.

    Parameters
    ----------
    vocabulary : Vocabulary
        What is known so far.
    column : Column
        Further rows of the column.
    min_frequency : int, default=1
        Values in fewer rows than this, earlier ones included, stay without a code.

    Returns
    -------
    Growth
        Old codes stay. New categories, and rare values that are no longer rare, have the next
        codes, by type and then by value; so the order of rows changes nothing. Counts are those of
        all rows.

    Raises
    ------
    InputError
        If the column is of another type family than so far, or its numbers and those so far have
        no common type.
    """
    vocabulary.check_family(column)
    if isinstance(vocabulary, HashedVocabulary):  # every value has a code already
        return Growth(vocabulary.with_rows(column), np.arange(vocabulary.n_codes))
    seen = {}
    n_missing = column.n_rows
    for family, array in column.families.items():
        _, values, rows, _ = distinct(family, array)
        seen[family] = _Seen(values, rows, np.zeros(len(rows), bool))
        n_missing -= int(rows.sum())
    grown = _joined(vocabulary, seen, n_missing, min_frequency)
    moved = np.arange(vocabulary.n_lines)
    if vocabulary.n_lines > vocabulary.n_codes:
        moved = _where(vocabulary, grown)
    return Growth(grown, moved)


def join(one: Vocabulary, other: Vocabulary) -> tuple[Growth, Growth]:
    """The categories that either of two vocabularies knows, with the rows of both.

    Parameters
    ----------
    one, other : Vocabulary
        Codes of the one stay; categories that only the other knows are appended.

    Returns
    -------
    of_one, of_other : Growth
        The same vocabulary, and where the rows of each went. What is rare to one and known to the
        other is known.

    Raises
    ------
    InputError
        If their types cannot be joined, as `grow`.
    """
    refuse_hashed(one, other)
    if one.keys and other.keys and not set(one.families) & set(other.families):
        raise InputError(
            f"column {one.name!r} holds {' and '.join(one.families)} values here and"
            f" {' and '.join(other.families)} values there; convert one of them"
        )
    seen = {}
    for key, rare in zip(other.keys, other.rare_counts, strict=True):
        seen[key.family] = _Seen(key.values, _rows(other, key, rare), key.codes >= FIRST)
    joined = _joined(one, seen, int(other.counts[MISSING]), NEVER)
    return Growth(joined, _where(one, joined)), Growth(joined, _where(other, joined))


def extend(vocabulary: Vocabulary, known: Vocabulary) -> Growth:
    """The vocabulary with all categories that another one knows, whose rows do not count.

    Parameters
    ----------
    vocabulary : Vocabulary
        Its codes stay; what is rare in it and known to the other is known.
    known : Vocabulary
        Categories that only it knows are appended, without rows.

    Returns
    -------
    Growth
        Of `known`: by its code the code in the new vocabulary.

    Raises
    ------
    InputError
        If their types cannot be joined, as `join`.
    """
    of_known = [(key, pa.array(key.codes >= FIRST)) for key in known.keys]
    keys = [Keys(k.family, k.values.filter(m), k.codes[k.codes >= FIRST]) for k, m in of_known]
    no_rows = tuple(np.zeros(0, np.int64) for _ in keys)
    silent = Vocabulary(known.name, tuple(keys), np.zeros_like(known.counts), no_rows)
    return join(vocabulary, silent)[1]


def without(vocabulary: Vocabulary, codes: Sequence[int]) -> Growth:
    """The vocabulary as if it had never met some categories; later codes close up.

    Parameters
    ----------
    vocabulary : Vocabulary
    codes : sequence of int
        Codes of categories, at least 2.

    Returns
    -------
    Growth
        `moved` is 0, the unknown, for what was dropped.
    """
    refuse_hashed(vocabulary)
    kept = np.ones(vocabulary.n_codes, bool)
    kept[list(codes)] = False
    new_code = np.where(kept, np.cumsum(kept) - 1, UNKNOWN).astype(np.int32)
    keys, rare_counts = [], []
    for key, rare in zip(vocabulary.keys, vocabulary.rare_counts, strict=True):
        stays = (key.codes == UNKNOWN) | kept[key.codes]
        if stays.any():
            values = key.values.filter(pa.array(stays))
            keys.append(Keys(key.family, values, new_code[key.codes[stays]]))
            rare_counts.append(rare)
    counts = vocabulary.counts[kept]
    cut = Vocabulary(vocabulary.name, tuple(keys), counts, tuple(rare_counts))
    n_rare = vocabulary.n_lines - vocabulary.n_codes
    return Growth(cut, np.append(new_code.astype(np.int64), cut.n_codes + np.arange(n_rare)))


def rename(
    vocabulary: Vocabulary, name: str | None = None, categories: Mapping[Any, Any] | None = None
) -> Vocabulary:
    """The vocabulary of the same codes and counts, with other names.

    Parameters
    ----------
    vocabulary : Vocabulary
    name : str, optional
        Of the column; by default as it was.
    categories : mapping, optional
        New values by known ones, of any type.

    Returns
    -------
    Vocabulary

    Raises
    ------
    InputError
        If two values would be one, or a new value can be no category.
    """
    name = vocabulary.name if name is None else name
    if not categories:
        return replace(vocabulary, name=name)
    refuse_hashed(vocabulary)
    table = vocabulary.to_table()
    cells: list[Any] = [None] * vocabulary.n_lines
    for key in vocabulary.line_keys():
        for line, value in zip(key.codes.tolist(), key.values.to_pylist(), strict=True):
            cells[line] = value
    for old, new in categories.items():
        cells[vocabulary.code(old)] = new
    objects = np.empty(len(cells), dtype=object)
    objects[:] = cells
    column = one_column(name, objects)
    counts = np.asarray(table["count"])
    keys, rare_counts = [], []
    for family, array in column.families.items():
        keys_of, rare = _renamed_keys(name, array, counts, vocabulary.n_codes)
        keys.append(Keys(family, *keys_of))
        rare_counts.append(rare)
    if sum(len(key.codes) for key in keys) != len(cells) - FIRST:
        raise InputError(f"a category of column {name!r} cannot be renamed to a missing value")
    return Vocabulary(name, tuple(keys), vocabulary.stored_counts, tuple(rare_counts))


# --- inside -----------------------------------------------------------------------------


def refuse_hashed(*vocabularies: Vocabulary) -> None:
    """Refuse what needs to know the values behind the rows."""
    for vocabulary in vocabularies:
        if isinstance(vocabulary, HashedVocabulary):
            raise InputError(
                f"column {vocabulary.name!r} is hashed: its buckets have no categories to be"
                " appended, merged, dropped or renamed"
            )


def _renamed_keys(
    name: str, array: pa.Array, counts: np.ndarray, n_codes: int
) -> tuple[tuple[pa.Array, np.ndarray], np.ndarray]:
    """Values of one family by line, null elsewhere, as keys with codes, and their rare counts."""
    lines = np.flatnonzero(np.asarray(array.is_valid()))
    values = array.take(pa.array(lines))
    order = ascending(values)
    lines, values = lines[order], values.take(pa.array(order))
    twice = np.flatnonzero(np.asarray(pc.equal(values[1:], values[:-1])))
    if len(twice):
        raise InputError(
            f"column {name!r} would know {some(values.take(pa.array(twice)).to_pylist())} twice;"
            " drop one of the two before renaming"
        )
    codes = np.where(lines < n_codes, lines, UNKNOWN).astype(np.int32)
    return (values, codes), counts[lines[codes == UNKNOWN]]


def _joined(
    vocabulary: Vocabulary, seen: Mapping[str, _Seen], n_missing: int, min_frequency: int
) -> Vocabulary:
    """The vocabulary with more rows; what then has a code in any case or rows enough gets one."""
    families = vocabulary.families
    rare_of = dict(zip(families, vocabulary.rare_counts, strict=True))
    key_of = dict(zip(families, vocabulary.keys, strict=True))
    keys, rows, next_code = [], [], vocabulary.n_codes
    for family in FAMILIES:
        if family not in key_of and family not in seen:
            continue
        key = key_of.get(family) or _no_keys(family, seen[family].values.type)
        of_key = _rows(vocabulary, key, rare_of.get(family, np.zeros(0, np.int64)))
        wanted = np.zeros(len(of_key), bool)
        if family in seen:
            key, of_key, wanted = _merged(vocabulary.name, key, of_key, seen[family])
        fresh = (key.codes == UNKNOWN) & (wanted | (of_key >= min_frequency))
        if fresh.any():
            codes = key.codes.copy()
            codes[fresh] = next_code + np.arange(fresh.sum())
            next_code += int(fresh.sum())
            key = Keys(family, key.values, codes)
        keys.append(key)
        rows.append(of_key)
    counts = np.zeros(next_code, np.int64)
    counts[:FIRST] = vocabulary.counts[:FIRST]
    counts[MISSING] += n_missing
    for key, of_key in zip(keys, rows, strict=True):
        counts[key.codes[key.codes >= FIRST]] = of_key[key.codes >= FIRST]
    rare_counts = tuple(r[k.codes == UNKNOWN] for k, r in zip(keys, rows, strict=True))
    counts[UNKNOWN] += sum(map(np.sum, rare_counts)) - sum(map(np.sum, vocabulary.rare_counts))
    return Vocabulary(vocabulary.name, tuple(keys), counts, rare_counts)


def _no_keys(family: str, kind: pa.DataType) -> Keys:
    return Keys(family, pa.array([], kind), np.zeros(0, np.int32))


def _rows(vocabulary: Vocabulary, key: Keys, rare_counts: np.ndarray) -> np.ndarray:
    """Rows by key, int64."""
    rows = vocabulary.counts[key.codes]
    rows[key.codes == UNKNOWN] = rare_counts
    return rows


def _merged(
    name: str, key: Keys, rows: np.ndarray, seen: _Seen
) -> tuple[Keys, np.ndarray, np.ndarray]:
    """Keys with those seen among them, rows of each, and which are wanted."""
    keys, values = _of_one_type(name, key, seen.values)
    places = places_among(keys, values)
    old, new = places >= 0, places < 0
    rows = rows.copy()
    rows[places[old]] += seen.rows[old]
    wanted = np.zeros(len(rows), bool)
    wanted[places[old]] = seen.known[old]
    if not new.any():
        return Keys(key.family, keys, key.codes), rows, wanted
    values = pa.concat_arrays([keys, values.filter(pa.array(new))])
    order = ascending(values)
    codes = np.append(key.codes, np.zeros(new.sum(), np.int32))[order]
    rows = np.append(rows, seen.rows[new])[order]
    wanted = np.append(wanted, seen.known[new])[order]
    return Keys(key.family, values.take(pa.array(order)), codes), rows, wanted


def _of_one_type(name: str, key: Keys, values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Keys and values in a type that holds both exactly."""
    if key.family != "number":
        return key.values, values
    known, further = of_one_type(name, [key.values, values])
    return known, further


def _where(old: Vocabulary, new: Vocabulary) -> np.ndarray:
    """By line of the old table the line in the new one."""
    moved = np.zeros(old.n_lines, np.int64)
    moved[MISSING] = MISSING
    for key in old.line_keys():
        column = Column(new.name, {key.family: key.values}, len(key.values))
        moved[key.codes] = new.lines(column)
    return moved
