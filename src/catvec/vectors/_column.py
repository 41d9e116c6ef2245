"""What was learned about the categories of one column: effects, vectors, counts. Immutable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import check_int, refuse, some
from catvec._packing import PackedRows, in_eight_bits
from catvec.errors import CategoryError, ParameterError
from catvec.frames import FIRST, MISSING, UNKNOWN, HashedVocabulary, Lists, Vocabulary, to_dataframe
from catvec.vectors._by_code import (
    CategoryRow,
    Floats,
    checked_classes,
    effect_range,
    kept_confidences,
    kept_effects,
    kept_vectors,
    locked,
    own,
)
from catvec.vectors._neighbors import nearest, unit
from catvec.vectors._precision import CountedConfidences, StoredNumbers, compressed, strength_of


class ColumnVectors:
    """Effects, vectors and counts of the categories of one column.

    Rows are known categories only, in canonical order (by type, then by value); the row for values
    never seen is `unknown`, the one for missing values is `missing`. Arrays are read-only.

    Parameters
    ----------
    vocabulary : Vocabulary
        The categories of the column, with their codes and counts.
    vectors : ndarray of shape (n_codes, embedding_dim), float32, or StoredNumbers or PackedRows
        A row by code: unknown, missing, then the categories. The width may be 0.
    effects : ndarray of shape (n_codes,) or (n_codes, n_classes), float32, or StoredNumbers
        Shrunk effects on the link scale, by code.
    confidences : ndarray of shape (n_codes,), float32, or StoredNumbers, or float
        Confidence of the effects, from 0 to 1, by code; or the strength k of the prior, where a
        category seen n times has the confidence n / (n + k).
    classes : sequence, optional
        Names of the classes where effects have one column for each; 0, 1, ... by default.
    importances : ndarray of shape (n_codes, n_hashes), float32, optional
        Weights of a hashed column's hash functions, by code; each row adds up to 1. Needed where
        it has several, and then `vectors` are those of its buckets.
    list_weights : str, optional
        The column with the weights of the elements, where cells are lists that are summed by them.

    Raises
    ------
    ParameterError
        If a shape does not fit, a number is not finite, or a confidence is outside of [0, 1].

    Notes
    -----
    Arrays that are writeable are copied, read-only ones are kept as they are. Where training met no
    missing value, the missing row becomes a copy of the unknown one.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        vectors: npt.ArrayLike | StoredNumbers | PackedRows,
        effects: npt.ArrayLike | StoredNumbers,
        confidences: npt.ArrayLike | StoredNumbers | float,
        *,
        classes: Sequence[object] | None = None,
        importances: npt.ArrayLike | None = None,
        list_weights: str | None = None,
    ) -> None:
        self.vocabulary, self.list_weights = vocabulary, list_weights
        owner, n_codes = f"column {vocabulary.name!r}", vocabulary.n_codes
        self._vectors = kept_vectors(vocabulary, vectors)
        self._effects = kept_effects(vocabulary, effects)
        self._confidences = kept_confidences(vocabulary, confidences)
        self._classes = checked_classes(owner, self._effects.values, classes)
        self._importances = None
        if importances is not None:
            self._importances = own(owner, "importances", importances, n_codes, (2,))
        n_hashes = 1 if self._importances is None else self._importances.shape[1]
        if n_hashes != max(vocabulary.n_functions - 1, 1) and self.embedding_dim:
            raise ParameterError(
                f"`importances` of {owner} must have a column for each of"
                f" {max(vocabulary.n_functions - 1, 1)} hash functions, got {n_hashes}"
            )

    # --- arrays ---

    @property
    def name(self) -> str:
        """The column."""
        return self.vocabulary.name

    @property
    def categories(self) -> npt.NDArray[Any]:
        """The known categories, ``(n,)``: int64, float64, bool, datetime64[us] or object."""
        return locked(self.vocabulary.categories.view())

    @property
    def vectors(self) -> Floats:
        """Vectors of the known categories, ``(n, embedding_dim)`` float32."""
        return locked(self._vectors[self._known])

    @property
    def effects(self) -> Floats:
        """Effects of the known categories, ``(n,)`` or ``(n, n_classes)`` float32, link scale."""
        return locked(self._effects[self._known])

    @property
    def confidences(self) -> Floats:
        """Confidences of the known categories, ``(n,)`` float32, from 0 to 1."""
        return locked(self._confidences[self._known])

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Training rows of the known categories, ``(n,)`` int64."""
        return locked(self.vocabulary.counts[self._known])

    @property
    def unknown(self) -> CategoryRow:
        """The row for values never seen, and for categories rarer than ``min_frequency``."""
        return self._row(UNKNOWN)

    @property
    def missing(self) -> CategoryRow:
        """The row for missing values; equal to `unknown` where training met none."""
        return self._row(MISSING)

    @property
    def embedding_dim(self) -> int:
        """Width of the vectors."""
        return self._vectors.width

    @property
    def precision(self) -> str:
        """How the vectors are kept: ``"float32"``, as `compress` made them, or ``"packed"``."""
        return self._vectors.precision

    @property
    def stored(self) -> StoredNumbers | PackedRows:
        """The vectors by code as they are kept; `by_code` gives them as float32."""
        return self._vectors

    @property
    def stored_effects(self) -> tuple[StoredNumbers, StoredNumbers | CountedConfidences]:
        """Effects and confidences by code as they are kept; `by_code` gives them as float32."""
        return self._effects, self._confidences

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """Classes of a multiclass target, one for each column of `effects`; else None."""
        return self._classes

    def by_code(self) -> tuple[Floats, Floats, Floats]:
        """All rows by code: unknown, missing, then the categories.

        Returns
        -------
        vectors : ndarray of shape (n_codes, embedding_dim), float32
        effects : ndarray of shape (n_codes,) or (n_codes, n_classes), float32
        confidences : ndarray of shape (n_codes,), float32
        """
        return locked(self._vectors[:]), locked(self._effects[:]), locked(self._confidences[:])

    @property
    def importances(self) -> Floats | None:
        """Weights of a hashed column's hash functions by code, ``(n_codes, n_hashes)`` float32.

        Each row adds up to 1. None where a value has one row: `looked_up` tells which.
        """
        return self._importances

    def looked_up(self, codes: npt.NDArray[np.int32] | Lists) -> Floats:
        """Vectors of rows with these codes.

        Parameters
        ----------
        codes : ndarray of shape (n_rows,), int32, or (n_rows, n_hashes + 1), or Lists
            Of `vocabulary`. With several hash functions a column for each, and last one for the
            row of `importances` that their vectors are summed with.

        Returns
        -------
        ndarray of shape (n_rows, embedding_dim), float32
        """
        if isinstance(codes, Lists):
            return codes.pooled(self._vectors)
        if codes.ndim == 1 or self._importances is None:
            return self._vectors[codes if codes.ndim == 1 else codes[:, 0]]
        weights = self._importances[codes[:, -1]]
        found = weights[:, :1] * self._vectors[codes[:, 0]]
        for j in range(1, weights.shape[1]):
            found += weights[:, j : j + 1] * self._vectors[codes[:, j]]
        return found

    # --- one category ---

    def __getitem__(self, category: object) -> Floats:
        """The vector of a category; a missing value (None, NaN, ...) gives the missing row."""
        if isinstance(self.vocabulary, HashedVocabulary):
            self._code(category)  # refuses what is none
            return self.looked_up(self.vocabulary.codes_of_one(category))[0]
        return self._vectors[self._code(category)]

    def effect(self, category: object) -> Any:
        """The effect of a category on the link scale.

        Parameters
        ----------
        category : object
            A known category, or a missing value.

        Returns
        -------
        float, or ndarray of shape (n_classes,)

        Raises
        ------
        CategoryError
            If the category is not known.
        """
        return self._row(self._code(category)).effect

    def confidence(self, category: object) -> float:
        """The confidence of a category's effect, from 0 to 1.

        Parameters
        ----------
        category : object
            A known category, or a missing value.

        Returns
        -------
        float

        Raises
        ------
        CategoryError
            If the category is not known.
        """
        return self._row(self._code(category)).confidence

    def __contains__(self, category: object) -> bool:
        """Whether the column knows a category; a missing value: whether training met one."""
        try:
            code = self.vocabulary.code(category)
        except ValueError:  # a list, bytes, infinity: no category
            return False
        return code >= FIRST or (code == MISSING and bool(self.vocabulary.counts[MISSING]))

    def __len__(self) -> int:
        """Number of known categories."""
        return len(self.vocabulary)

    def __iter__(self) -> Iterator[Any]:
        """The known categories as Python values."""
        return iter(self.categories.tolist())

    # --- all of them ---

    def compress(self, precision: str) -> ColumnVectors:
        """The column with vectors in fewer bytes; see `CategoryVectors.compress`.

        Parameters
        ----------
        precision : {"float32", "float16", "int8"}

        Returns
        -------
        ColumnVectors

        Raises
        ------
        ParameterError
            If there is no such precision, or it cannot hold a number.
        """
        stored = compressed(f"column {self.name!r}", self._vectors[:], precision)
        return self._with(self.vocabulary, stored, self._effects, self._confidences)

    def selected(
        self, vocabulary: Vocabulary, codes: npt.NDArray[np.integer] | None = None
    ) -> ColumnVectors:
        """Some of the rows under another vocabulary, kept as they are.

        Parameters
        ----------
        vocabulary : Vocabulary
            With as many codes as rows are taken.
        codes : ndarray of int, optional
            Which rows; by default all.

        Returns
        -------
        ColumnVectors
        """
        arrays = self._vectors, self._effects, self._confidences
        if codes is None:
            return self._with(vocabulary, *arrays)
        return self._with(vocabulary, *(array.part(codes) for array in arrays))

    def packed(self, vectors: StoredNumbers | PackedRows | None = None) -> ColumnVectors:
        """The column in few bytes, as a budget of memory asks.

        Parameters
        ----------
        vectors : StoredNumbers or PackedRows, optional
            Its vectors by code; by default they are kept in half precision.

        Returns
        -------
        ColumnVectors
            Effects and confidences are in eight bits, off by at most 1/254 of the largest, and
            confidences that follow from counts are computed from them; categories and counts are
            the same, in types as narrow as they allow.
        """
        if vectors is None:
            vectors = self.compress("float16").stored
        confidences = self._confidences[:]
        return self._with(
            self.vocabulary.compact(),
            vectors,
            StoredNumbers(*in_eight_bits(self._effects[:])),
            strength_of(confidences, self.vocabulary.counts)
            or StoredNumbers(*in_eight_bits(confidences)),
        )

    def to_frame(self, kind: str | None = None) -> Any:
        """All rows as a dataframe to look at.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, optional
            What to make; by default the first of these that is installed.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            A row by category, before them one for unknown and one for missing, after them the rare
            values that share the unknown row; with the columns ``category``, ``role``, ``count``,
            ``effect`` (``effect_<class>`` where there is one by class), ``confidence`` and
            ``vector_00``, ``vector_01``, ... In pandas, integer and boolean categories have
            pandas' nullable types, since unknown and missing rows have no category.

        Raises
        ------
        MissingDependencyError
            If the package asked for is not installed.
        """
        from catvec.vectors._parquet import wide_table

        return to_dataframe(wide_table(self), kind)

    def most_similar(self, category: object, topn: int = 10) -> list[tuple[Any, float]]:
        """The known categories whose vectors point most nearly the same way.

        Parameters
        ----------
        category : object
            A known category, or a vector: an array or a list of `embedding_dim` numbers.
        topn : int, default=10
            How many to give, at most.

        Returns
        -------
        list of (category, cosine)
            The highest cosine first, ties in canonical order, the category asked for left out. A
            zero vector has cosine 0 with everything.

        Raises
        ------
        CategoryError
            If the category is not known.
        ParameterError
            If the vector has another width or is not finite, or `topn` is below 1.
        """
        return self.analogy([category], topn=topn)

    def analogy(
        self,
        positive: Sequence[object],
        negative: Sequence[object] = (),
        topn: int = 10,
    ) -> list[tuple[Any, float]]:
        """What is to `positive` as they are to `negative`: ``analogy(["a2", "b1"], ["a1"])``.

        Parameters
        ----------
        positive, negative : sequence of object
            Known categories or vectors, whose directions are added and subtracted.
        topn : int, default=10
            How many to give, at most.

        Returns
        -------
        list of (category, cosine)
            As `most_similar`; the categories given are left out.

        Raises
        ------
        CategoryError
            If a category is not known.
        ParameterError
            If there is nothing to add up, a vector does not fit, or `topn` is below 1.

        References
        ----------
        3CosAdd: Levy and Goldberg, "Linguistic regularities in sparse and explicit word
        representations" (2014), equation 2; after Mikolov et al. (2013).
        """
        check_int("topn", topn, minimum=1)
        for label, given in (("positive", positive), ("negative", negative)):
            if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
                raise refuse(label, "a list of categories or vectors", given)
        if not len(positive) + len(negative):
            raise refuse("positive", "a list of at least one category", positive)
        parts = [(+1.0, x) for x in positive] + [(-1.0, x) for x in negative]
        query = sum(sign * unit(self._direction(x)) for sign, x in parts)
        asked = [self._code(x) - FIRST for _, x in parts if not _is_vector(x)]
        asked = [row for row in asked if row < len(self)]  # others have buckets
        rows, cosines = nearest(self._vectors.part(self._known), np.asarray(query), topn, asked)
        found = self.categories[rows].tolist()
        return list(zip(found, cosines.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        """Whether the other holds the same categories and, bit for bit, the same numbers."""
        if not isinstance(other, ColumnVectors):
            return NotImplemented
        own, others = ((c.name, c.classes, c.precision, c.list_weights) for c in (self, other))
        if own != others:
            return False
        if not np.array_equal(self.importances, other.importances):  # type: ignore[arg-type]
            return False
        pairs = zip(self.by_code(), other.by_code(), strict=True)
        return all(np.array_equal(a, b) for a, b in pairs) and self.vocabulary.to_table().equals(
            other.vocabulary.to_table()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        low, high = effect_range(self.effects)
        return (
            f"ColumnVectors({self.name!r}: {len(self):,} categories, {self.embedding_dim}"
            f" dimensions, effects {low} to {high}, {self.missing.count:,} rows missing)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        kept: Any = self._confidences
        if isinstance(kept, CountedConfidences):
            kept = kept.strength
        arrays = self._vectors, self._effects, kept
        told = self.classes, self._importances, self.list_weights
        return _restore, (self.vocabulary, arrays, *told)

    # --- inside ---

    def _with(self, vocabulary: Vocabulary, *arrays: Any) -> ColumnVectors:
        """The column with another vocabulary of the same codes, and vectors and effects so kept."""
        return ColumnVectors(
            vocabulary,
            *arrays,
            classes=self.classes,
            importances=self.importances,
            list_weights=self.list_weights,
        )

    @property
    def _known(self) -> slice:
        """Codes of the known categories; buckets come after them."""
        return slice(FIRST, FIRST + len(self.vocabulary))

    def _code(self, category: object) -> int:
        """The code of a known category or a missing value."""
        return known_code(self.vocabulary, category)

    def _row(self, code: int) -> CategoryRow:
        effect = self._effects[code]
        return CategoryRow(
            self._vectors[code],
            effect if self._classes is not None else float(effect),
            float(self._confidences[code]),
            int(self.vocabulary.counts[code]),
        )

    def _direction(self, category: object) -> npt.NDArray[np.float64]:
        """The vector of a category, or a vector as it is given."""
        if not _is_vector(category):
            return self[category].astype(np.float64)
        vector = np.asarray(category, dtype=np.float64)
        if vector.shape != (self.embedding_dim,) or not np.isfinite(vector).all():
            raise ParameterError(
                f"a vector of column {self.name!r} must be {self.embedding_dim} finite numbers, got"
                f" shape {vector.shape}"
            )
        return vector


def known_code(vocabulary: Vocabulary, category: object) -> int:
    """The code of a known category or a missing value; a `CategoryError` for any other."""
    try:
        code = vocabulary.code(category)
    except ValueError as error:
        raise CategoryError(f"column {vocabulary.name!r} has no such category: {error}") from error
    if code == UNKNOWN:
        raise CategoryError(
            f"column {vocabulary.name!r} does not know the category {some([category])}: it was not"
            " seen in training, or too rarely; `.unknown` answers for such values"
        )
    return code


def _restore(
    vocabulary: Vocabulary,
    arrays: tuple[StoredNumbers | PackedRows, StoredNumbers, StoredNumbers | float],
    classes: Any,
    importances: Floats | None = None,
    list_weights: str | None = None,
) -> ColumnVectors:
    """Unpickle; NumPy's pickles forget that an array was read-only."""
    kept = None if importances is None else locked(importances)
    return ColumnVectors(
        vocabulary, *arrays, classes=classes, importances=kept, list_weights=list_weights
    )


def _is_vector(category: object) -> bool:
    return isinstance(category, np.ndarray | list | tuple)
