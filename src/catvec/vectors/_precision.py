"""Numbers in fewer bytes: half precision, or eight bits and a scale by row or for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import check_option
from catvec._packing import in_eight_bits
from catvec.errors import ParameterError

__all__ = ["PRECISIONS", "StoredNumbers", "compressed"]

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

    def part(self, rows: slice) -> StoredNumbers:
        """Consecutive rows, as views."""
        scales = self.scales
        if scales is not None and scales.ndim:
            scales = scales[rows]
        return StoredNumbers(self.values[rows], scales)


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
