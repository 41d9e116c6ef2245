"""Rows of numbers in few bits: whole steps along the directions in which the rows differ.

Rows of several tables of the same categories, laid side by side, differ in far fewer directions
than they have columns, and what they say in common need be stored once. Their principal
coordinates, in the metric in which errors count, are rounded to whole steps. One step serves all
directions: the mean squared error of a rounded number is a twelfth of the step's square, so that
bits go where rows differ most, as in reverse water-filling (Cover & Thomas, "Elements of
Information Theory", section 10.3.3). A direction in which rows differ by less than rounding errs is
left out. Each direction has as many bits as its range needs, and a row is one string of bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

ROUNDING = 12**-0.5
"""Standard deviation of the error of rounding to whole steps, in steps."""
MOST_BITS = 16  # of a direction
LEVELS = 127
"""Steps from 0 to the largest of some numbers in eight bits; -128 is not used, so that signs are
alike."""
CHUNK = 65_536  # rows in float64 at a time, so that large tables need no second copy; whole bytes


def in_eight_bits(
    numbers: Floats, axis: int | None = None
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Numbers as int8, and what they are to be multiplied by.

    Parameters
    ----------
    numbers : ndarray of shape (n, ...), float32
    axis : int, optional
        Along which the numbers have one scale; by default all of them have the same.

    Returns
    -------
    values : ndarray of the same shape, int8
    scales : ndarray without that axis, float32
        A number is off by at most half of it, beside the rounding of float32.
    """
    largest = np.abs(numbers).max(axis=axis, initial=0)
    scales = np.asarray(largest / LEVELS, np.float32)
    wide = scales if axis is None else np.expand_dims(scales, axis)
    steps = np.divide(numbers, wide, where=wide > 0, out=np.zeros_like(numbers))
    return np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8), scales


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Whole steps along k directions by row, as strings of bits; indexing gives float64.

    Attributes
    ----------
    bits : ndarray of shape (ceil(n / 8), bits), uint8
        Of each eight rows the first bits of all of them in one byte, the first row's the highest,
        then the second bits, and so on. The bits of a row are the numbers of steps above `lows`,
        one after the other, the highest bit first.
    lows : ndarray of shape (k,), int32
        The fewest steps of each direction.
    widths : ndarray of shape (k,), uint8
        Bits of each direction, from 1 to `MOST_BITS`.
    step : ndarray of shape (), float64
    rows : range
        Those of the rows in `bits` that these are.
    """

    bits: npt.NDArray[np.uint8]
    lows: npt.NDArray[np.int32]
    widths: npt.NDArray[np.uint8]
    step: npt.NDArray[np.float64]
    rows: range

    @classmethod
    def rounded(cls, parts: Iterable[Floats], lows: Floats, highs: Floats, step: float) -> Self:
        """The nearest whole steps of coordinates.

        Parameters
        ----------
        parts : iterable of ndarray of shape (rows, k)
            Consecutive rows, `CHUNK` in all parts but the last.
        lows, highs : ndarray of shape (k,)
            The ends of each direction, less than ``2**MOST_BITS - 1`` steps apart.
        step : float
            Above 0.
        """
        fewest = _whole(lows, step)
        widths = _widths(lows, highs, step)
        bits, n = [], 0
        for part in parts:
            bits.append(_as_bits(_whole(part, step) - fewest, widths))
            n += len(part)
        sized = np.asarray(step, np.float64)
        return cls(np.concatenate(bits), fewest.astype(np.int32), widths, sized, range(n))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float64]:
        """Some rows: a number, a slice of step 1, or an array of numbers, from 0 on."""
        if isinstance(rows, slice):
            chosen = self.rows[rows]
            rows = np.arange(chosen.start, chosen.stop)
        else:
            rows = np.asarray(rows) + self.rows.start
        return (self._bits(rows) @ _powers(self.widths) + self.lows) * self.step

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays by name, which are those of the parameters."""
        return {name: array for name, array in vars(self).items() if name != "rows"}

    def part(self, rows: slice | npt.NDArray[np.integer]) -> Coordinates:
        """Some rows, with the same steps; those of a slice share the arrays."""
        if isinstance(rows, slice):
            return replace(self, rows=self.rows[rows])
        bits = np.packbits(self._bits(rows + self.rows.start), axis=0)
        return replace(self, bits=bits, rows=range(len(rows)))

    def _bits(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        return self.bits[rows >> 3] >> (7 - (rows & 7)).astype(np.uint8)[..., None] & 1


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Rows by their coordinates, which others may share; indexing gives float32.

    Attributes
    ----------
    coordinates : Coordinates
        Of n rows along k directions.
    directions : ndarray of shape (k, d), float16
    center : ndarray of shape (d,), float32
        The row whose coordinates are 0.
    """

    coordinates: Coordinates
    directions: npt.NDArray[np.float16]
    center: npt.NDArray[np.float32]

    precision = "packed"

    def __len__(self) -> int:
        return len(self.coordinates)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        """Some rows (a number, a slice, an array of numbers)."""
        if not isinstance(rows, slice):
            return self._of(self.coordinates[rows])
        start, stop, _ = rows.indices(len(self))
        found = np.empty((max(stop - start, 0), self.width), np.float32)
        for at in range(0, len(found), CHUNK):
            chunk = slice(start + at, min(start + at + CHUNK, stop))
            found[at : at + CHUNK] = self._of(self.coordinates[chunk])
        return found

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return len(self.center)

    def fits(self, n: int, width: int) -> bool:
        """Whether all arrays have the types and shapes of `n` rows of `width` numbers."""
        coordinates, k = self.coordinates, len(self.directions)
        wanted: dict[str, tuple[type, tuple[int, ...]]] = {
            "bits": (np.uint8, (-(-n // 8), int(coordinates.widths.sum()))),
            "lows": (np.int32, (k,)),
            "widths": (np.uint8, (k,)),
            "step": (np.float64, ()),
            "directions": (np.float16, (k, width)),
            "center": (np.float32, (width,)),
        }
        found = {**coordinates.arrays(), "directions": self.directions, "center": self.center}
        return all(
            found[name].dtype == dtype and found[name].shape == shape
            for name, (dtype, shape) in wanted.items()
        )

    @property
    def nbytes(self) -> int:
        """Bytes in memory, with those of the coordinates."""
        return self.coordinates.nbytes + self.directions.nbytes + self.center.nbytes

    def part(self, rows: slice | npt.NDArray[np.integer]) -> PackedRows:
        """Some rows, kept as they are; those of a slice share the arrays."""
        return PackedRows(self.coordinates.part(rows), self.directions, self.center)

    def _of(self, coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        # In float64, so that a row does not depend on those beside it.
        return (coordinates @ self.directions.astype(np.float64) + self.center).astype(np.float32)


class Spread:
    """How the rows of several tables differ: what they are packed by, in steps of any size.

    Parameters
    ----------
    tables : sequence of ndarray of shape (n, d_i)
        Vectors of the same categories, from different networks.
    metrics : sequence of ndarray of shape (d_i, m_i)
        An error e of a row of a table counts as the square of ``e @ metric``.
    weights : ndarray of shape (n,)
        How much errors of each row count, above 0.
    further : sequence of ndarray of shape (n, d)
        What is kept by the same coordinates, as linear functions of them.

    Attributes
    ----------
    spread : ndarray of shape (m,), float64
        Standard deviation of the rows in each direction, the largest first.
    finest : float
        The smallest step.
    """

    def __init__(
        self,
        tables: Sequence[Floats],
        metrics: Sequence[Floats],
        weights: Floats,
        further: Sequence[Floats] = (),
    ) -> None:
        self._arrays = [*tables, *further]
        self._metrics = metrics
        shares = np.asarray(weights, np.float64) / np.sum(weights)
        self._centers: list[Floats] = [
            np.sum([shares[rows] @ array[rows] for rows in self._chunks()], axis=0)
            for array in self._arrays
        ]
        within: Any = 0
        across: Any = 0
        for rows in self._chunks():
            centered = self._centered(rows)
            measured = self._measured(centered)
            weighted = (measured * shares[rows, None]).T
            within = within + weighted @ measured
            across = across + weighted @ np.hstack(centered)
        variances, axes = np.linalg.eigh(within)
        variances, self._axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
        self.spread = np.sqrt(variances)
        # The regression of everything on the coordinates, which have no covariance.
        slopes = self._axes.T @ across
        self._directions = np.divide(
            slopes, variances[:, None], where=variances[:, None] > 0, out=np.zeros_like(slopes)
        )
        ends = [(part.min(axis=0), part.max(axis=0)) for part in self._coordinates()]
        self._lows, self._highs = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
        self.finest = float(np.max(self._highs - self._lows, initial=0)) / (2**MOST_BITS - 2)

    def nbytes(self, step: float) -> int:
        """Bytes that the tables and what is kept beside them take in steps of a size."""
        k = self._n_kept(step)
        n_bits = int(_widths(self._lows[:k], self._highs[:k], step).sum())
        width = sum(map(len, self._centers))
        return -(-len(self._arrays[0]) // 8) * n_bits + k * (5 + 2 * width) + 4 * width + 8

    def packed(self, step: float) -> list[PackedRows]:
        """The tables, then what is kept beside them, all by the same coordinates.

        Parameters
        ----------
        step : float
            At least `finest`.

        Returns
        -------
        list of PackedRows
            A coordinate is off by at most half a step. What is left out has, weighted, a standard
            deviation of at most `ROUNDING` steps in each direction; float16 rounds directions by
            2**-11.
        """
        k = self._n_kept(step)
        parts = (part[:, :k] for part in self._coordinates())
        coordinates = Coordinates.rounded(parts, self._lows[:k], self._highs[:k], step)
        places = np.cumsum([len(center) for center in self._centers])[:-1]
        directions = np.split(self._directions[:k].astype(np.float16), places, axis=1)
        return [
            PackedRows(coordinates, np.ascontiguousarray(part), np.asarray(center, np.float32))
            for part, center in zip(directions, self._centers, strict=True)
        ]

    def _n_kept(self, step: float) -> int:
        return int((self.spread > ROUNDING * step).sum())

    def _chunks(self) -> Iterator[slice]:
        n = len(self._arrays[0])
        return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))

    def _centered(self, rows: slice) -> list[Floats]:
        return [a[rows] - center for a, center in zip(self._arrays, self._centers, strict=True)]

    def _measured(self, centered: Sequence[Floats]) -> Floats:
        return np.hstack([x @ m for x, m in zip(centered, self._metrics, strict=False)])

    def _coordinates(self) -> Iterator[Floats]:
        return (self._measured(self._centered(rows)) @ self._axes for rows in self._chunks())


def _whole(numbers: Floats, step: float) -> npt.NDArray[np.int64]:
    return np.rint(numbers / step).astype(np.int64)


def _widths(lows: Floats, highs: Floats, step: float) -> npt.NDArray[np.uint8]:
    """Bits that tell the steps from the lowest to the highest apart; at least one."""
    most = (_whole(highs, step) - _whole(lows, step)).astype(np.float64)
    return np.maximum(np.frexp(most)[1], 1).astype(np.uint8)


def _as_bits(levels: npt.NDArray[np.int64], widths: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Numbers (rows, k) as bits (rows / 8, bits)."""
    bits = np.empty((len(levels), int(widths.sum())), np.uint8)
    start = 0
    for level, width in zip(levels.T, widths.tolist(), strict=True):
        bits[:, start : start + width] = level[:, None] >> np.arange(width)[::-1] & 1
        start += width
    return np.packbits(bits, axis=0)


def _powers(widths: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """What each bit stands for, in the direction that it belongs to (bits, k)."""
    powers = np.zeros((int(widths.sum()), len(widths)))
    owners = np.repeat(np.arange(len(widths)), widths)
    exponents = np.repeat(np.cumsum(widths, dtype=int), widths) - 1 - np.arange(len(owners))
    powers[np.arange(len(owners)), owners] = 2.0**exponents
    return powers
