"""What was learned about the combinations of two columns' categories: their effects. Immutable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import some
from catvec.errors import CategoryError, ParameterError
from catvec.frames import FIRST, OTHER, UNKNOWN, Pair, Vocabulary, to_dataframe
from catvec.vectors._by_code import (
    Floats,
    checked_classes,
    effect_range,
    locked,
    own,
    own_confidences,
)
from catvec.vectors._column import known_code
from catvec.vectors._precision import StoredNumbers


@dataclass(frozen=True, eq=False)
class PairRow:
    """What is known of one combination, of the others, or of the unknown.

    Attributes
    ----------
    effect : float, or ndarray of shape (n_classes,), float32
        The shrunk effect on the link scale.
    confidence : float
        From 0 (the effect is the mean's) to 1 (the combination speaks for itself).
    count : int
        Training rows of a combination; 0 for the others and the unknown, which are not counted.
    """

    effect: Any
    confidence: float
    count: int


class PairEffects:
    """Effects of the combinations of two columns' categories, as far as training met them.

    Rows are known combinations only, ordered by the code of the first column's category, then of
    the second's. The row for combinations of known categories that are not among them is `other`,
    the one for combinations with an unknown category is `unknown`. A missing value is a category of
    its own: ``effects[1, None]`` may be known. Arrays are read-only.

    Parameters
    ----------
    pair : Pair
        The combinations, with their codes and counts.
    first, second : Vocabulary
        The categories of the two columns.
    effects : ndarray of shape (n_codes,) or (n_codes, n_classes), float32
        Shrunk effects on the link scale, by code of the pair: unknown, other, then the
        combinations.
    confidences : ndarray of shape (n_codes,), float32
        Confidence of the effects, from 0 to 1, by code.
    classes : sequence, optional
        Names of the classes where effects have one column for each; 0, 1, ... by default.

    Raises
    ------
    ParameterError
        If the vocabularies are not those of the pair, a shape does not fit, a number is not finite,
        or a confidence is outside of [0, 1].

    Notes
    -----
    Arrays that are writeable are copied, read-only ones are kept as they are.
    """

    def __init__(
        self,
        pair: Pair,
        first: Vocabulary,
        second: Vocabulary,
        effects: npt.ArrayLike,
        confidences: npt.ArrayLike,
        *,
        classes: Sequence[object] | None = None,
    ) -> None:
        self.pair, self.first, self.second = pair, first, second
        _check_pair(pair, first, second)
        owner = f"pair {pair.name!r}"
        self._effects = own(owner, "effects", effects, pair.n_codes, (1, 2))
        self._confidences = own_confidences(owner, confidences, pair.n_codes)
        self._classes = checked_classes(owner, self._effects, classes)

    # --- arrays ---

    @property
    def name(self) -> str:
        """Both columns in one word: ``Store*DayOfWeek``."""
        return self.pair.name

    @property
    def columns(self) -> tuple[str, str]:
        """The first and the second column."""
        return self.pair.first, self.pair.second

    @property
    def effects(self) -> Floats:
        """Effects of the known combinations, ``(n,)`` or ``(n, n_classes)`` float32, link scale."""
        return self._effects[FIRST:]

    @property
    def confidences(self) -> Floats:
        """Confidences of the known combinations, ``(n,)`` float32, from 0 to 1."""
        return self._confidences[FIRST:]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Training rows of the known combinations, ``(n,)`` int64."""
        return locked(self.pair.counts.view())

    @property
    def unknown(self) -> PairRow:
        """The row for combinations with a category that its column does not know."""
        return self._row(UNKNOWN)

    @property
    def other(self) -> PairRow:
        """The row for combinations of known categories that are not among the known ones."""
        return self._row(OTHER)

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """Classes of a multiclass target, one for each column of `effects`; else None."""
        return self._classes

    def by_code(self) -> tuple[Floats, Floats]:
        """All rows by code: unknown, other, then the combinations.

        Returns
        -------
        effects : ndarray of shape (n_codes,) or (n_codes, n_classes), float32
        confidences : ndarray of shape (n_codes,), float32
        """
        return self._effects, self._confidences

    @property
    def stored_effects(self) -> tuple[StoredNumbers, StoredNumbers]:
        """Effects and confidences by code as they are kept."""
        return StoredNumbers(self._effects), StoredNumbers(self._confidences)

    # --- one combination ---

    def __getitem__(self, combination: tuple[object, object]) -> PairRow:
        """What is known of a combination: ``effects[262, 7]``; missing values may be in it."""
        first, second = _two(combination, self.name)
        codes = known_code(self.first, first), known_code(self.second, second)
        code = self._code(*codes)
        if code < FIRST:
            raise CategoryError(
                f"pair {self.name!r} does not know the combination {some([(first, second)])}: "
                "it was not seen in training, or too rarely; `.other` answers for it"
            )
        return self._row(code)

    def __contains__(self, combination: object) -> bool:
        """Whether the pair knows a combination."""
        try:
            first, second = _two(combination, self.name)
            return self._code(self.first.code(first), self.second.code(second)) >= FIRST
        except (CategoryError, ValueError):  # no two values, or one that can be no category
            return False

    def __len__(self) -> int:
        """Number of known combinations."""
        return len(self.pair)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """The known combinations as pairs of Python values, None for a missing one."""
        values = [[None, None, *v.categories.tolist()] for v in (self.first, self.second)]
        for first, second in zip(*map(np.ndarray.tolist, self.pair.column_codes()), strict=True):
            yield values[0][first], values[1][second]

    # --- all of them ---

    def to_frame(self, kind: str | None = None) -> Any:
        """All known combinations as a dataframe to look at.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, optional
            What to make; by default the first of these that is installed.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            A row by combination, with two columns that are named after those of the pair and hold
            their categories (null for a missing one), then ``count``, ``effect``
            (``effect_<class>`` where there is one by class) and ``confidence``. A column that is
            itself called so (``count``) is named ``count_category``. Types are those of
            `ColumnVectors.to_frame`.

        Raises
        ------
        MissingDependencyError
            If the package asked for is not installed.
        """
        from catvec.vectors._parquet_pairs import wide_pair_table

        return to_dataframe(wide_pair_table(self), kind)

    def __eq__(self, other: object) -> bool:
        """Whether the other holds the same combinations and, bit for bit, the same numbers."""
        if not isinstance(other, PairEffects):
            return NotImplemented
        if (self.columns, self.classes) != (other.columns, other.classes):
            return False
        mine, theirs = self._arrays(), other._arrays()
        return (
            all(map(np.array_equal, mine, theirs))
            and same_vocabulary(self.first, other.first)
            and same_vocabulary(self.second, other.second)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        low, high = effect_range(self.effects)
        return f"PairEffects({self.name!r}: {len(self):,} combinations, effects {low} to {high})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.pair, self.first, self.second, self.by_code(), self.classes)

    # --- inside ---

    def _code(self, first: int, second: int) -> int:
        return int(self.pair.encode(np.array([first], np.int32), np.array([second], np.int32))[0])

    def _row(self, code: int) -> PairRow:
        effect = self._effects[code]
        return PairRow(
            effect if self._effects.ndim == 2 else float(effect),
            float(self._confidences[code]),
            int(self.pair.counts[code - FIRST]) if code >= FIRST else 0,
        )

    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return *self.by_code(), *self.pair.column_codes(), self.pair.counts


def same_vocabulary(one: Vocabulary, other: Vocabulary) -> bool:
    """Whether two vocabularies have the same categories, codes and counts."""
    return one is other or one.to_table().equals(other.to_table())


def _check_pair(pair: Pair, first: Vocabulary, second: Vocabulary) -> None:
    """Refuse vocabularies of other columns, and combinations that theirs cannot be."""
    if pair.first == pair.second:
        raise ParameterError(f"`pair` must be of two columns, got {pair.first!r} twice")
    if (first.name, second.name) != (pair.first, pair.second):
        raise ParameterError(
            f"`first` and `second` must be the vocabularies of {some([pair.first, pair.second])},"
            f" got those of {some([first.name, second.name])}"
        )
    keys, counts = pair.keys, pair.counts
    codes = pair.column_codes()
    fits = (
        pair.n_second == second.n_codes
        and len(keys) == len(counts)
        and (np.diff(keys) > 0).all()
        and all((part > UNKNOWN).all() for part in codes)
        and (codes[0] < first.n_codes).all()
        and (counts >= 0).all()
    )
    if not fits:
        raise ParameterError(
            f"the combinations of pair {pair.name!r} do not fit the categories of its columns"
        )


def _two(combination: object, name: str) -> tuple[object, object]:
    if not isinstance(combination, tuple | list) or len(combination) != 2:
        raise CategoryError(
            f"a combination of pair {name!r} is two categories, got {combination!r}"
        )
    return combination[0], combination[1]


def _restore(
    pair: Pair,
    first: Vocabulary,
    second: Vocabulary,
    arrays: tuple[Floats, Floats],
    classes: Any,
) -> PairEffects:
    """Unpickle; NumPy's pickles forget that an array was read-only."""
    effects, confidences = map(locked, arrays)
    return PairEffects(pair, first, second, effects, confidences, classes=classes)
