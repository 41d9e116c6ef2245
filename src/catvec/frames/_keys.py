"""The values of one column and type family: ascending, each with its code; numbers exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._gaps import Gaps

NUMBERS = (pa.int64(), pa.uint64(), pa.float64())  # types of numbers, the one preferred first


@dataclass(frozen=True)
class Keys:
    """Distinct values of one family, ascending; the i-th has the code ``codes[i]``.

    Attributes
    ----------
    family : str
    stored : pyarrow.Array or Gaps
        The values, in their own type or, once `compact`, in the narrowest that holds them, or by
        their gaps.
    given : ndarray of int32, or int
        Codes, 0 for a category rarer than `min_frequency`; or the first, where they follow one
        another.
    """

    family: str
    stored: pa.Array | Gaps
    given: np.ndarray | int

    @property
    def values(self) -> pa.Array:
        """The values in their family's own type."""
        if isinstance(self.stored, Gaps):
            return pa.array(self.stored.integers())
        kind = self.stored.type
        if pa.types.is_string(kind):
            return self.stored.cast(pa.large_string())
        return self.stored.cast(pa.int64()) if pa.types.is_signed_integer(kind) else self.stored

    @property
    def searched(self) -> pa.Array:
        """The values as others are looked up among them: numbers as stored, texts as they come."""
        return self.values if self.family == "text" else self.stored

    @property
    def codes(self) -> np.ndarray:
        """Codes of the values, int32."""
        if not isinstance(self.given, int):
            return self.given
        return np.arange(self.given, self.given + len(self.stored), dtype=np.int32)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.stored.nbytes + (0 if isinstance(self.given, int) else self.given.nbytes)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Codes of the values at some places, int32; the last one's at -1."""
        if not isinstance(self.given, int):
            return self.given.take(places, mode="wrap")
        return (places % max(len(self.stored), 1) + self.given).astype(np.int32)

    def compact(self) -> Keys:
        """The same in as few bytes as hold it exactly."""
        codes, values = self.codes, self.values
        follow = len(codes) > 0 and bool((codes == np.arange(len(codes)) + codes[0]).all())
        return Keys(self.family, _narrow(values), int(codes[0]) if follow else codes)


def _narrow(values: pa.Array) -> pa.Array | Gaps:
    """Integers in the narrowest type or by gaps, texts with offsets of four bytes."""
    if pa.types.is_large_string(values.type) and values.nbytes < 2**31:
        return values.cast(pa.string())
    if not pa.types.is_signed_integer(values.type) or not len(values):
        return values
    low, high = int(values[0].as_py()), int(values[-1].as_py())  # they ascend
    kinds = (np.int8, np.int16, np.int32, np.int64)
    kind = next(k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    narrow, gaps = values.cast(pa.from_numpy_dtype(kind)), Gaps.of(np.asarray(values))
    return narrow if narrow.nbytes <= gaps.nbytes else gaps


def numbers_like(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Numbers as the type of the keys; null where that type cannot hold them exactly.

    Nulls alone may be of any type.
    """
    if values.type == kind:
        return values
    if pa.types.is_null(values.type):
        return values.cast(kind)
    raw = np.asarray(values.fill_null(0))
    dtype = np.dtype(kind.to_pandas_dtype())
    with np.errstate(invalid="ignore"):
        cast = raw.astype(dtype)
        fits = (cast.astype(raw.dtype) == raw) & _within(raw, dtype) & _within(cast, raw.dtype)
    return pa.array(cast, mask=~fits | np.asarray(pc.is_null(values)))


def common_type(
    name: str, arrays: Iterable[pa.Array], preferred: pa.DataType = NUMBERS[0]
) -> pa.DataType:
    """The type that holds the numbers of all arrays exactly.

    Parameters
    ----------
    name : str
        Of the column, for the message.
    arrays : iterable of pyarrow.Array
        Each of one of `NUMBERS`; nulls do not count.
    preferred : pyarrow.DataType, default=int64
        Which of them, if several do.

    Raises
    ------
    InputError
        If there is none.
    """
    left = sorted(NUMBERS, key=lambda kind: kind != preferred)
    for array in arrays:
        changed = {kind: numbers_like(array, kind) for kind in left}
        left = [kind for kind in left if changed[kind].null_count == array.null_count]
        if not left:
            lost = array.filter(pc.xor(array.is_valid(), changed.popitem()[1].is_valid()))
            raise no_exact_type(name, lost.to_pylist())
    return left[0]


def of_one_type(name: str, arrays: Sequence[pa.Array]) -> list[pa.Array]:
    """Arrays of one family in one type: that of all, or of numbers the `common_type`."""
    kinds = {array.type for array in arrays if not pa.types.is_null(array.type)}
    if not kinds:
        return list(arrays)
    kind = kinds.pop() if len(kinds) == 1 else common_type(name, arrays)
    return [numbers_like(array, kind) for array in arrays]


def no_exact_type(name: str, numbers: Iterable[object]) -> InputError:
    """The error for numbers that no type holds exactly together with the others of a column."""
    return InputError(
        f"column {name!r} holds numbers ({some(dict.fromkeys(numbers))}) that have no common type"
        " of 64 bits with its others, or none at all; convert the column to text, or to floats if"
        " it measures something"
    )


def _within(numbers: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Whether numbers lie in the range of another type of 64 bits."""
    if dtype.kind == "f":
        return np.ones(len(numbers), bool)
    if numbers.dtype.kind == "f":  # the bounds as floats: 2**63 - 1 is none
        low, high = (-(2.0**63), 2.0**63) if dtype.kind == "i" else (0.0, 2.0**64)
        return (numbers >= low) & (numbers < high)
    if dtype.kind == "i":
        return numbers <= np.uint64(np.iinfo(np.int64).max)
    return numbers >= 0
