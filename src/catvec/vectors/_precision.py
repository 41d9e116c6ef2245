"""Numbers in fewer bytes: half precision, or eight bits and a scale by row or for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import check_option
from catvec._packing import LEVELS, in_eight_bits
from catvec.errors import ParameterError
from catvec.frames import SmallCounts

__all__ = ["PRECISIONS", "CountedConfidences", "StoredNumbers", "compressed", "strength_of"]

PRECISIONS = ("float32", "float16", "int8")

HIGHEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class StoredNumbers:
    """Vectors, or one number by row, as they are kept; indexing gives float32.

    Attributes
    ----------
    values : ndarray of shape (n,) or (n, d), float32, float16 or int8
    scales : ndarray of shape (n,) or (), float32, or None
        Of int8: what the values of each row are multiplied by, or all values.
    """

    values: npt.NDArray[Any]
    scales: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for array in (self.values, self.scales):
            if array is not None:
                array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        """The vectors of some rows (a number, a slice, an array of them), as float32."""
        values = self.values[rows]
        if self.scales is None:
            return values.astype(np.float32, copy=False)
        scales = np.asarray(self.scales[rows])[..., None] if self.scales.ndim else self.scales
        return np.multiply(values, scales, dtype=np.float32)

    @property
    def precision(self) -> str:
        """``"float32"``, ``"float16"`` or ``"int8"``."""
        return str(self.values.dtype)

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return int(np.prod(self.values.shape[1:]))

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.values.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def part(self, rows: slice | npt.NDArray[np.integer]) -> StoredNumbers:
        """Some rows, kept as they are; of a slice as views."""
        scales = self.scales
        if scales is not None and scales.ndim:
            scales = scales[rows]
        return StoredNumbers(self.values[rows], scales)

    def followed_by(self, others: StoredNumbers) -> StoredNumbers:
        """These rows and below them others, as `compressed` gives them in the same precision."""
        scales = [part.scales for part in (self, others) if part.scales is not None]
        values = np.concatenate([self.values, others.values])
        return StoredNumbers(values, np.concatenate(scales) if scales else None)


def compressed(owner: str, vectors: npt.NDArray[np.float32], precision: str) -> StoredNumbers:
    """Vectors in a precision.

    Parameters
    ----------
    owner : str
        Whose they are, for the message.
    vectors : ndarray of shape (n, d), float32
    precision : {"float32", "float16", "int8"}

    Returns
    -------
    StoredNumbers
        An element x of a row whose largest is m is off by at most
        ``max(2**-11 |x|, 2**-25)`` in float16 (IEEE 754, rounding to nearest) and by ``m / 254`` in
        int8 (half a step of ``m / 127``), beside the rounding of float32.

    Raises
    ------
    ParameterError
        If there is no such precision, or float16 cannot hold a number.
    """
    check_option("precision", precision, PRECISIONS)
    if precision == "float32":
        return StoredNumbers(vectors)
    largest = np.abs(vectors).max(axis=1, initial=0)
    if precision == "float16":
        if largest.max(initial=0) > HIGHEST:
            raise ParameterError(
                f"`precision` of {owner} cannot be 'float16', which ends at {HIGHEST:g}, got"
                f" vectors up to {largest.max():g}"
            )
        return StoredNumbers(vectors.astype(np.float16))
    return StoredNumbers(*in_eight_bits(vectors, axis=1))


@dataclass(frozen=True, eq=False)
class CountedConfidences:
    """Confidences that follow from counts, n / (n + strength); indexing gives float32.

    Attributes
    ----------
    counts : ndarray of shape (n,), of integers, or SmallCounts
        Those of the vocabulary, whose bytes they are.
    strength : float
        Of the prior, in rows.
    """

    counts: npt.NDArray[np.integer] | SmallCounts
    strength: float

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        n = self.counts[rows].astype(np.float64)
        return np.asarray(n / (n + self.strength), np.float32)

    def part(self, rows: slice | npt.NDArray[np.integer]) -> CountedConfidences:
        """Those of some rows."""
        return CountedConfidences(self.counts[rows], self.strength)

    @property
    def nbytes(self) -> int:
        """Bytes in memory, without the counts."""
        return 8


def strength_of(
    confidences: npt.NDArray[np.float32], counts: npt.NDArray[np.int64]
) -> float | None:
    """The strength of the prior by which counts tell confidences, as they do for equal weights.

    Parameters
    ----------
    confidences : ndarray of shape (n,), float32
    counts : ndarray of shape (n,), int64

    Returns
    -------
    float or None
        None where a confidence would be off by more than in eight bits.
    """
    known = confidences.astype(np.float64)
    told = (known > 0) & (known < 1) & (counts > 0)
    if not told.any():
        return None
    strength = float(np.median(counts[told] * (1 / known[told] - 1)))
    errors = np.abs(CountedConfidences(counts, strength)[:] - known)
    return strength if errors.max() <= known.max() / (2 * LEVELS) else None
