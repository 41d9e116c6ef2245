"""Arrays with a row by code, as columns and pairs hold them: checked, float32 and read-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import some
from catvec.errors import ParameterError
from catvec.frames import MISSING, UNKNOWN

__all__ = [
    "Floats",
    "all_finite",
    "checked_classes",
    "effect_range",
    "locked",
    "missing_as_unknown",
    "own",
    "own_confidences",
]

Floats = npt.NDArray[np.float32]


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


def missing_as_unknown(array: Floats) -> Floats:
    """An array by code whose missing row is the unknown one; a copy where it was not."""
    if np.array_equal(array[UNKNOWN], array[MISSING]):
        return array
    array = array.copy()
    array[MISSING] = array[UNKNOWN]
    return locked(array)


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
