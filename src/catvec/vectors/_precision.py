"""Vectors in fewer bytes: half precision, or eight bits and a scale by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import check_option
from catvec.errors import ParameterError

__all__ = ["PRECISIONS", "StoredVectors", "compressed"]

PRECISIONS = ("float32", "float16", "int8")

LEVELS = 127
"""Steps from 0 to the largest element of a row; -128 is not used, so that signs are alike."""
HIGHEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """Rows of vectors as they are kept; indexing gives float32.

    Attributes
    ----------
    values : ndarray of shape (n, d), float32, float16 or int8
    scales : ndarray of shape (n,), float32, or None
        Of int8: what the values of each row are multiplied by.
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
        scales = np.asarray(self.scales[rows])[..., None]
        return np.multiply(values, scales, dtype=np.float32)

    @property
    def precision(self) -> str:
        """``"float32"``, ``"float16"`` or ``"int8"``."""
        return str(self.values.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.values.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def part(self, rows: slice) -> StoredVectors:
        """Consecutive rows, as views."""
        return StoredVectors(self.values[rows], None if self.scales is None else self.scales[rows])


def compressed(owner: str, vectors: npt.NDArray[np.float32], precision: str) -> StoredVectors:
    """Vectors in a precision.

    Parameters
    ----------
    owner : str
        Whose they are, for the message.
    vectors : ndarray of shape (n, d), float32
    precision : {"float32", "float16", "int8"}

    Returns
    -------
    StoredVectors
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
        return StoredVectors(vectors)
    largest = np.abs(vectors).max(axis=1, initial=0)
    if precision == "float16":
        if largest.max(initial=0) > HIGHEST:
            raise ParameterError(
                f"`precision` of {owner} cannot be 'float16', which ends at {HIGHEST:g}, got"
                f" vectors up to {largest.max():g}"
            )
        return StoredVectors(vectors.astype(np.float16))
    scales = (largest / LEVELS).astype(np.float32)
    steps = np.divide(
        vectors, scales[:, None], where=scales[:, None] > 0, out=np.zeros_like(vectors)
    )
    return StoredVectors(np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8), scales)
