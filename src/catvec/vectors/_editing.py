"""Vectors made of others: categories appended, two artifacts merged, parts dropped or renamed.

Each of the methods of `Editing` returns new vectors and leaves those it was called on as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from catvec._checks import check_distinct, refuse, some, users_stacklevel
from catvec._packing import PackedRows
from catvec.errors import CategoryError, CatvecWarning, ParameterError
from catvec.frames import (
    FIRST,
    MISSING,
    OTHER,
    UNKNOWN,
    Growth,
    Pair,
    Vocabulary,
    join,
    one_column,
    refuse_hashed,
    rename,
    without,
)
from catvec.vectors._alignment import align
from catvec.vectors._by_code import Floats, all_finite
from catvec.vectors._column import ColumnVectors, known_code
from catvec.vectors._pairs import PairEffects
from catvec.vectors._precision import PRECISIONS, StoredNumbers, compressed

if TYPE_CHECKING:
    from catvec.vectors._vectors import CategoryVectors

SURE = 1 - 1e-7  # confidences beyond are taken for it: one of 1 would be infinite evidence


class Editing:
    """What `CategoryVectors` can be made into; each method returns a new object."""

    def append(
        self,
        column: str,
        categories: Sequence[object],
        vectors: npt.ArrayLike | None = None,
        *,
        effects: npt.ArrayLike | None = None,
        confidences: npt.ArrayLike | None = None,
        counts: npt.ArrayLike | None = None,
    ) -> Self:
        """Add categories to a column.

        Parameters
        ----------
        column : str
            A column of these vectors.
        categories : sequence of n values
            New to the column; to combine what both sides know, `merge`. Values that were too rare
            for a row of their own are new.
        vectors : array-like of shape (n, embedding_dim), optional
            Theirs; by default the vector of unknown ones.
        effects : array-like of shape (n,) or (n, n_classes), optional
            On the link scale; by default 0.
        confidences : array-like of shape (n,), optional
            From 0 to 1; by default 0.
        counts : array-like of shape (n,), int, optional
            Rows of each; by default 0. Those of a value that was too rare are added to what it had.

        Returns
        -------
        CategoryVectors
            Old categories keep their codes and numbers; the new ones have the next codes, by type
            and then by value. Pairs stay: combinations of a new category answer as others do.
            Compressed vectors stay so, and new ones are rounded alike; packed ones, which
            have no room for others, are then in float32.

        Raises
        ------
        CategoryError
            If there is no such column.
        ParameterError
            If a category is known, missing or named twice, or an array does not fit.
        InputError
            If the column is hashed.
        """
        old = _column(self, column)
        categories = _listed(categories)
        added, codes = _new_categories(old, categories, counts)
        of_old, of_new = join(old.vocabulary, added)
        places, n_codes = of_new.moved[codes], of_old.vocabulary.n_codes
        arrays = []
        given = {"effects": effects, "confidences": confidences}
        for array, (name, values) in zip(old.by_code()[1:], given.items(), strict=True):
            numbers = np.zeros((n_codes, *array.shape[1:]), np.float32)
            numbers[: len(array)] = array
            if values is not None:
                numbers[places] = _given(name, values, (len(codes), *array.shape[1:]))
            arrays.append(numbers)
        stored = _longer(old, places, vectors)
        grown = old._with(of_old.vocabulary, stored, *arrays)
        return _replaced(self, {column: grown}, {column: of_old})

    def merge(self, other: CategoryVectors) -> Self:
        """Bring together what two sides know, such as of two regions or two months.

        Parameters
        ----------
        other : CategoryVectors
            Of the same kind of target, which only you can tell. Its columns may be others, its
            categories as well.

        Returns
        -------
        CategoryVectors
            Columns, categories and pairs that either side has. Codes of this side stay; categories
            that only the other knows are appended. Where both know a category, counts add up,
            effects and confidences are combined by their evidence, and vectors are the mean of
            both, weighted by counts, after the other's were turned into this side's basis by the
            categories that both know. Rows for unknown and missing values are combined likewise.
            Columns of one side stay as they are; of both they are in float32, or compressed anew
            where both sides were in one way. Of metadata under one name those of this side stay.

        Raises
        ------
        ParameterError
            If the classes differ, or the widths of a column's vectors.
        InputError
            If a column holds text on one side and numbers on the other, or is hashed.

        Notes
        -----
        An effect e of confidence c is the mean of a normal posterior of precision 1 / (1 - c), in
        units of the prior's. The product of both posteriors over the one prior that they share has
        the precision P = 1 / (1 - c_1) + 1 / (1 - c_2) - 1, the mean
        (e_1 / (1 - c_1) + e_2 / (1 - c_2)) / P, and hence the confidence 1 - 1 / P: what all rows
        together would give, if both sides have one prior and one overall mean (Gelman et al. 2013,
        Bayesian Data Analysis, section 2.5). On the link scale of classes and counts that holds
        nearly.
        """
        _check_mergeable(self, other)
        columns, ours, theirs = {}, {}, {}
        for name in other:
            if name not in _columns(self):
                columns[name] = other[name]
                continue
            both = _column(self, name), other[name]
            growths = join(both[0].vocabulary, both[1].vocabulary)
            columns[name] = _merged_column(*both, growths)
            ours[name], theirs[name] = growths
        mine = _replaced(self, columns, ours)
        pairs = dict(mine.pairs)
        for name, pair in other.pairs.items():
            recoded = _recoded(pair, theirs, mine)
            pairs[name] = _merged_pair(pairs[name], recoded) if name in pairs else recoded
        return _made(self, _columns(mine), pairs, {**other.metadata, **mine.metadata})

    def drop(
        self,
        columns: str | Iterable[str] = (),
        *,
        categories: Mapping[str, Sequence[object]] | None = None,
    ) -> Self:
        """Leave out columns, pairs or categories.

        Parameters
        ----------
        columns : str or sequence of str
            Names of columns, whose pairs go with them, or of pairs.
        categories : mapping of str to sequence, optional
            By column the categories to forget.

        Returns
        -------
        CategoryVectors
            As if what is dropped had never been met: its categories are unknown, and later codes
            close up. What stays is kept as it was, compressed or not. Combinations of a dropped
            category go with it.

        Raises
        ------
        CategoryError
            If there is no such column or category.
        ParameterError
            If a missing value is to be dropped.
        InputError
            If a category of a hashed column is to be dropped.
        """
        if not isinstance(columns, Iterable):
            raise refuse("columns", "a name or a list of names", columns)
        names = [columns] if isinstance(columns, str) else list(columns)
        mine = _made(self, _columns(self), dict(_pairs(self)), _metadata(self))
        for name, values in _mapped("categories", categories).items():
            column, forgotten = mine[name], _listed(values)
            refuse_hashed(column.vocabulary)
            codes = [known_code(column.vocabulary, category) for category in forgotten]
            if MISSING in codes:
                raise refuse("categories", "known ones; missing values stay", forgotten)
            growth = without(column.vocabulary, codes)
            kept = np.delete(np.arange(column.vocabulary.n_codes), codes)
            cut = column.selected(growth.vocabulary, kept)
            mine = _replaced(mine, {name: cut}, {name: growth})
        absent = [name for name in names if name not in mine and name not in mine.pairs]
        if absent:
            raise CategoryError(f"no column {absent[0]!r}; the columns are {some(mine.columns)}")
        left = {name: mine[name] for name in mine if name not in names}
        pairs = {
            name: pair
            for name, pair in mine.pairs.items()
            if name not in names and all(column in left for column in pair.columns)
        }
        return _made(self, left, pairs, mine.metadata)

    def rename(
        self,
        columns: Mapping[str, str] | None = None,
        *,
        categories: Mapping[str, Mapping[object, object]] | None = None,
    ) -> Self:
        """Give columns or categories other names.

        Parameters
        ----------
        columns : mapping of str to str, optional
            New names by old ones.
        categories : mapping of str to mapping, optional
            By column (under its old name) new values by known ones; ``{"a": "b", "b": "a"}``
            changes two.

        Returns
        -------
        CategoryVectors
            The same codes and numbers, kept as they were. Pairs follow.

        Raises
        ------
        CategoryError
            If there is no such column or category.
        ParameterError
            If two columns would have one name, or a missing value is to be renamed.
        InputError
            If two categories would be one, rare values included, a new value can be no category, or
            the column is hashed.
        """
        to = {str(old): str(new) for old, new in _mapped("columns", columns).items()}
        new_values = _mapped("categories", categories)
        for name in [*to, *new_values]:
            _column(self, name)
        check_distinct("columns", [to.get(name, name) for name in _columns(self)])
        renamed = {}
        for name, column in _columns(self).items():
            values = _mapped("categories", new_values.get(name))
            codes = [known_code(column.vocabulary, value) for value in values]
            if MISSING in codes:
                raise refuse("categories", "known ones; missing values have no name", dict(values))
            renamed[name] = column.selected(rename(column.vocabulary, to.get(name), values))
        pairs = {}
        for pair in _pairs(self).values():
            first, second = (renamed[name].vocabulary for name in pair.columns)
            key = replace(pair.pair, first=first.name, second=second.name)
            effects = PairEffects(key, first, second, *pair.by_code(), classes=pair.classes)
            pairs[effects.name] = effects
        return _made(self, renamed, pairs, _metadata(self))


# --- the vectors as their parts ----------------------------------------------------------


def _listed(categories: object) -> list[Any]:
    """Categories as a list; a text, which is a sequence of its letters, is none."""
    if isinstance(categories, str | bytes) or not isinstance(categories, Iterable):
        raise refuse("categories", f"a list of categories, as [{categories!r}]", categories)
    return list(categories)


def _mapped(name: str, given: Mapping[Any, Any] | None) -> Mapping[Any, Any]:
    """A mapping, empty where there is none."""
    if given is not None and not isinstance(given, Mapping):
        raise refuse(name, "a mapping", given)
    return given or {}


def _columns(vectors: Any) -> dict[str, ColumnVectors]:
    return {name: vectors[name] for name in vectors}


def _column(vectors: Any, name: str) -> ColumnVectors:
    column: ColumnVectors = vectors[name]
    return column


def _pairs(vectors: Any) -> Mapping[str, PairEffects]:
    pairs: Mapping[str, PairEffects] = vectors.pairs
    return pairs


def _metadata(vectors: Any) -> dict[str, Any]:
    return dict(vectors.metadata)


def _made(
    vectors: Any,
    columns: Mapping[str, ColumnVectors],
    pairs: Mapping[str, PairEffects],
    metadata: Mapping[str, Any],
) -> Any:
    """Vectors of the class of others."""
    return type(vectors)(list(columns.values()), pairs=list(pairs.values()), metadata=metadata)


def _replaced(
    vectors: Any, columns: Mapping[str, ColumnVectors], growths: Mapping[str, Growth]
) -> Any:
    """Vectors with some columns replaced or more of them; pairs follow the codes that moved."""
    made = _made(vectors, {**_columns(vectors), **columns}, {}, vectors.metadata)
    pairs = {name: _recoded(pair, growths, made) for name, pair in vectors.pairs.items()}
    return _made(vectors, _columns(made), pairs, vectors.metadata)


# --- categories -------------------------------------------------------------------------


def _new_categories(
    old: ColumnVectors, categories: list[Any], counts: npt.ArrayLike | None
) -> tuple[Vocabulary, np.ndarray]:
    """Categories as a vocabulary with the given counts, and the code of each."""
    refuse_hashed(old.vocabulary)
    added, codes = Vocabulary.learn(one_column(old.name, categories))
    known = [category for category in categories if category in old]
    if known:
        raise refuse("categories", f"new to column {old.name!r} (else merge)", known)
    if (codes == MISSING).any() or len(added) < len(codes):
        raise refuse("categories", "distinct values, none missing", categories)
    rows = np.zeros(added.n_codes, np.int64)
    if counts is not None:
        given = np.asarray(counts)
        if given.shape != codes.shape or given.dtype.kind not in "iu" or (given < 0).any():
            raise refuse("counts", f"{len(codes)} ints of at least 0", counts)
        rows[codes] = given
    return Vocabulary(added.name, added.keys, rows, added.rare_counts), codes


def _longer(
    column: ColumnVectors, places: np.ndarray, vectors: npt.ArrayLike | None
) -> StoredNumbers | PackedRows:
    """A column's vectors with further rows, which go to these places behind the others."""
    n_old = column.vocabulary.n_codes
    if vectors is None:
        return column.stored.part(np.append(np.arange(n_old), np.full(len(places), UNKNOWN)))
    given = _given("vectors", vectors, (len(places), column.embedding_dim))
    further = np.empty_like(given)
    further[places - n_old] = given
    stored = column.stored
    if isinstance(stored, PackedRows):
        stored = StoredNumbers(stored[:])
    return stored.followed_by(compressed(f"column {column.name!r}", further, stored.precision))


def _given(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
            array = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise refuse(name, f"numbers of the shape {shape}", values) from error
    if array.shape != shape:
        raise refuse(name, f"of the shape {shape}", array.shape)
    if not all_finite(array):
        raise refuse(name, "finite numbers of 32 bits", values)
    return array


def _check_mergeable(one: Any, other: Any) -> None:
    if type(one) is not type(other):
        raise refuse("other", "a CategoryVectors", other)
    if len(one) and len(other) and one.classes != other.classes:
        raise ParameterError(
            f"`other` must have effects for the same classes, got {other.classes} beside"
            f" {one.classes}"
        )
    for name in other:
        if name in one and one[name].embedding_dim != other[name].embedding_dim:
            raise ParameterError(
                f"`other` must have vectors of the same width: those of column {name!r} have"
                f" {one[name].embedding_dim} dimensions here and {other[name].embedding_dim} there"
            )


def _merged_column(
    one: ColumnVectors, other: ColumnVectors, growths: tuple[Growth, Growth]
) -> ColumnVectors:
    """Both sides' rows under the codes of both, combined where both have one."""
    vocabulary = growths[0].vocabulary
    n_codes = vocabulary.n_codes
    sides = [
        _Side(column, growth.moved, n_codes)
        for column, growth in zip((one, other), growths, strict=True)
    ]
    shared = np.flatnonzero(sides[0].has & sides[1].has)
    ours, theirs = sides[0].vectors, sides[1].vectors
    if one.embedding_dim:
        if not (shared >= MISSING).any():
            warnings.warn(
                f"the two sides share no category of column {one.name!r}, so their vectors cannot"
                " be turned into one basis; distances between them mean nothing",
                CatvecWarning,
                stacklevel=users_stacklevel(),
            )
        both = np.minimum(sides[0].counts, sides[1].counts)[shared]
        weights = both if both.any() else None
        theirs = align(theirs, ours[shared], weights, rows=shared)
    share = _shares(*sides)[:, None]
    vectors = np.where(share == 1, ours, np.where(share == 0, theirs, 0)).astype(np.float32)
    mixed = (share[:, 0] > 0) & (share[:, 0] < 1)
    vectors[mixed] = (share * ours + (1 - share) * theirs)[mixed]
    effects, confidences = _combined(sides[0].effect, sides[1].effect)
    merged = one._with(vocabulary, vectors, effects, confidences)
    alike = one.precision == other.precision in PRECISIONS
    return merged.compress(one.precision) if alike else merged


class _Side:
    """A column's rows under other codes; rows that it has not are the unknown's, unsure."""

    def __init__(self, column: ColumnVectors, moved: np.ndarray, n_codes: int) -> None:
        old = column.vocabulary
        places = moved[: old.n_codes]
        vectors, effects, confidences = column.by_code()
        self.has = np.zeros(n_codes, bool)
        self.has[places] = True
        self.has[MISSING] = old.counts[MISSING] > 0
        self.counts = np.zeros(n_codes, np.int64)
        self.counts[places] = old.counts
        self.vectors = np.repeat(vectors[:1], n_codes, axis=0)
        self.vectors[places] = vectors
        all_effects = np.zeros((n_codes, *effects.shape[1:]), np.float32)
        all_confidences = np.zeros(n_codes, np.float32)
        all_effects[places], all_confidences[places] = effects, confidences
        all_effects[~self.has], all_confidences[~self.has] = 0, 0
        self.effect = all_effects, all_confidences


def _shares(one: _Side, other: _Side) -> np.ndarray:
    """By code the first side's part in the mean: by counts where both have it."""
    total = one.counts + other.counts
    share = np.divide(one.counts, total, out=np.full(len(total), 0.5), where=total > 0)
    share[~other.has] = 1
    share[~one.has & other.has] = 0
    return share


def _combined(
    one: tuple[Floats, Floats], other: tuple[Floats, Floats]
) -> tuple[np.ndarray, np.ndarray]:
    """Effects and confidences by the evidence of both, see `Editing.merge`."""
    ours, theirs = (1 / (1 - np.minimum(side[1].astype(np.float64), SURE)) for side in (one, other))
    precision = ours + theirs - 1
    wide = (slice(None),) + (None,) * (one[0].ndim - 1)
    effects = (one[0] * ours[wide] + other[0] * theirs[wide]) / precision[wide]
    return effects.astype(np.float32), (1 - 1 / precision).astype(np.float32)


# --- pairs ------------------------------------------------------------------------------


def _recoded(pair: PairEffects, growths: Mapping[str, Growth], vectors: Any) -> PairEffects:
    """A pair under the codes that its columns have in `vectors`; `growths` says which moved."""
    codes = []
    for name, old in zip(pair.columns, pair.pair.column_codes(), strict=True):
        codes.append(growths[name].moved[old] if name in growths else old.astype(np.int64))
    first, second = (vectors[name].vocabulary for name in pair.columns)
    stays = (codes[0] > UNKNOWN) & (codes[1] > UNKNOWN)
    keys = (codes[0] * second.n_codes + codes[1])[stays]
    order = np.argsort(keys)
    recoded = Pair(first.name, second.name, second.n_codes, keys[order], pair.counts[stays][order])
    rows = np.append([UNKNOWN, OTHER], FIRST + np.flatnonzero(stays)[order])
    arrays = [array[rows] for array in pair.by_code()]
    return PairEffects(recoded, first, second, *arrays, classes=pair.classes)


def _merged_pair(one: PairEffects, other: PairEffects) -> PairEffects:
    """Both sides' combinations, of the same codes, with their effects combined."""
    keys = np.union1d(one.pair.keys, other.pair.keys)
    counts = np.zeros(len(keys), np.int64)
    sides = []
    for pair in (one, other):
        places = np.searchsorted(keys, pair.pair.keys)
        counts[places] += pair.counts
        rows = np.append([UNKNOWN, OTHER], FIRST + places)
        of_side = []
        for array in pair.by_code():
            placed = np.zeros((FIRST + len(keys), *array.shape[1:]), np.float32)
            placed[rows] = array
            of_side.append(placed)
        sides.append((of_side[0], of_side[1]))
    merged = replace(one.pair, keys=keys, counts=counts)
    effects, confidences = _combined(*sides)
    return PairEffects(merged, one.first, one.second, effects, confidences, classes=one.classes)
