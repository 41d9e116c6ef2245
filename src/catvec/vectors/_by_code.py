"""Arrays with a row by code, as columns and pairs hold them, checked and read-only; and one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import some
from catvec._packing import PackedRows
from catvec.errors import ParameterError
from catvec.frames import MISSING, UNKNOWN, Vocabulary
from catvec.vectors._precision import CountedConfidences, StoredNumbers

__all__ = [
    "CategoryRow",
    "Floats",
    "all_finite",
    "checked_classes",
    "effect_range",
    "kept_confidences",
    "kept_effects",
    "kept_vectors",
    "locked",
    "own",
    "own_confidences",
]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CategoryRow:
    """What is known of one row: a category, the missing value, or the unknown.

    Attributes
    ----------
    vector : ndarray of shape (embedding_dim,), float32
        The learned vector.
    effect : float, or ndarray of shape (n_classes,), float32
        The shrunk effect on the link scale.
    confidence : float
        From 0 (the effect is the mean's) to 1 (the category speaks for itself).
    count : int
        Training rows.
    """

    vector: Floats
    effect: Any
    confidence: float
    count: int


def own(
    owner: str, what: str, values: npt.ArrayLike, n_codes: int, ndims: tuple[int, ...]
) -> Floats:
    """An array as read-only float32 of ours, with its shape and its numbers checked."""
    given = np.asarray(values)
    array = np.ascontiguousarray(given, dtype=np.float32)
    if array.ndim not in ndims or len(array) != n_codes:
        shape = " or ".join({1: f"({n_codes},)", 2: f"({n_codes}, d)"}[n] for n in ndims)
        raise ParameterError(f"`{what}` of {owner} must have the shape {shape}, got {given.shape}")
    if not all_finite(array):
        raise ParameterError(f"`{what}` of {owner} must be finite numbers")
    return locked(array.copy() if array.flags.writeable and array is given else array)


def own_confidences(owner: str, values: npt.ArrayLike, n_codes: int) -> Floats:
    """Confidences as read-only float32 of ours, each from 0 to 1."""
    array = own(owner, "confidences", values, n_codes, (1,))
    if n_codes and not 0 <= array.min() <= array.max() <= 1:
        raise ParameterError(f"`confidences` of {owner} must lie in [0, 1]")
    return array


def checked_classes(
    owner: str, effects: Floats, classes: Sequence[object] | None
) -> tuple[Any, ...] | None:
    """The classes of effects as plain Python values; None where effects are one by code."""
    if effects.ndim == 1:
        if classes is not None:
            raise ParameterError(f"`classes` of {owner} need effects of two dimensions")
        return None
    named = tuple(range(effects.shape[1])) if classes is None else tuple(classes)
    plain = tuple(name.item() if isinstance(name, np.generic) else name for name in named)
    if len(plain) != effects.shape[1] or len(set(map(str, plain))) < len(plain):
        raise ParameterError(
            f"`classes` of {owner} must be {effects.shape[1]} distinct names, got {some(plain)}"
        )
    return plain


def kept_vectors(vocabulary: Vocabulary, vectors: Any) -> StoredNumbers | PackedRows:
    """Vectors by code of a column as it keeps them: checked, or as they are if they are kept so."""
    if isinstance(vectors, StoredNumbers | PackedRows):
        return vectors
    array = own(_owner(vocabulary), "vectors", vectors, vocabulary.n_codes, (2,))
    return _missing_as_unknown(vocabulary, array)


def kept_effects(vocabulary: Vocabulary, effects: Any) -> StoredNumbers:
    """As `kept_vectors`, of effects."""
    if isinstance(effects, StoredNumbers):
        return effects
    array = own(_owner(vocabulary), "effects", effects, vocabulary.n_codes, (1, 2))
    return _missing_as_unknown(vocabulary, array)


def kept_confidences(
    vocabulary: Vocabulary, confidences: Any
) -> StoredNumbers | CountedConfidences:
    """As `kept_vectors`, of confidences; a float is the strength by which counts tell them."""
    if isinstance(confidences, StoredNumbers):
        return confidences
    if isinstance(confidences, CountedConfidences):
        confidences = confidences.strength
    if isinstance(confidences, float):
        return CountedConfidences(vocabulary.stored_counts, confidences)
    array = own_confidences(_owner(vocabulary), confidences, vocabulary.n_codes)
    return _missing_as_unknown(vocabulary, array)


def _owner(vocabulary: Vocabulary) -> str:
    return f"column {vocabulary.name!r}"


def _missing_as_unknown(vocabulary: Vocabulary, array: Floats) -> StoredNumbers:
    """An array by code whose missing row is the unknown one if training met no missing value."""
    unmet = vocabulary.stored_counts[MISSING] == 0
    if unmet and not np.array_equal(array[UNKNOWN], array[MISSING]):
        array = array.copy()
        array[MISSING] = array[UNKNOWN]
    return StoredNumbers(array)


def all_finite(array: Floats) -> bool:
    """Whether there is neither NaN nor infinity; without a temporary array of its size."""
    return array.size == 0 or bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def locked(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself, from now on read-only."""
    array.flags.writeable = False
    return array


def effect_range(effects: Floats) -> tuple[str, str]:
    """The smallest and the largest effect, as text."""
    if not effects.size:
        return "-", "-"
    return f"{effects.min():.3g}", f"{effects.max():.3g}"
