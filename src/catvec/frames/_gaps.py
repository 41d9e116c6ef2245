"""Many integers in few bytes: ascending ones by their gaps, counts most of which are small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 64  # integers at most
LARGE = 255  # counts from here on are kept beside the others
CHUNK = 16_384  # integers looked up at a time, each of which reads a block


@dataclass(frozen=True, eq=False)
class Gaps:
    """Distinct ascending integers by the gaps between them, in blocks that are found fast.

    Attributes
    ----------
    firsts : ndarray of shape (blocks,), int64
        The first integer of each block.
    starts : ndarray of shape (blocks,), int32
        Its place among all.
    gaps : ndarray of shape (n,), uint8, uint16 or uint32
        From one integer to the next of its block; 0 where a block begins.
    """

    firsts: np.ndarray
    starts: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, integers: np.ndarray) -> Gaps:
        """The integers in as few bytes as this way allows.

        Parameters
        ----------
        integers : ndarray of shape (n,), int64
            Distinct and ascending.
        """
        # Modulo 2**64, since a gap may be larger than int64.
        gaps = np.diff(integers.view(np.uint64), prepend=integers.view(np.uint64)[:1])
        made = [cls._of(integers, gaps, kind) for kind in (np.uint8, np.uint16, np.uint32)]
        return min(made, key=lambda one: one.nbytes)

    @classmethod
    def _of(cls, integers: np.ndarray, gaps: np.ndarray, kind: Any) -> Gaps:
        """Blocks begin after `BLOCK` integers, and after gaps that the type cannot hold."""
        begins = gaps > np.iinfo(kind).max
        begins[::BLOCK] = True
        starts = np.flatnonzero(begins).astype(np.int32)
        return cls(integers[starts], starts, np.where(begins, 0, gaps).astype(kind))

    def __len__(self) -> int:
        return len(self.gaps)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.firsts.nbytes + self.starts.nbytes + self.gaps.nbytes

    def integers(self) -> np.ndarray:
        """All of them, int64."""
        # Begin each block at its first integer, by the step from the end of the one before it.
        steps = self.gaps.astype(np.int64)
        ends = self.firsts + np.add.reduceat(steps, self.starts) if len(steps) else self.firsts
        steps[self.starts] = self.firsts - np.append(0, ends[:-1])[: len(self.firsts)]
        return np.cumsum(steps)

    def places(self, integers: np.ndarray) -> np.ndarray:
        """Where each integer stands among these, int32; -1 where it does not.

        Parameters
        ----------
        integers : ndarray of shape (m,), int64
        """
        places = np.full(len(integers), -1, np.int32)
        if len(self):
            for start in range(0, len(integers), CHUNK):
                rows = slice(start, start + CHUNK)
                places[rows] = self._places(integers[rows])
        return places

    def _places(self, integers: np.ndarray) -> np.ndarray:
        block = np.maximum(np.searchsorted(self.firsts, integers, side="right") - 1, 0)
        end = np.append(self.starts[1:], len(self))[block]
        places = self.starts[block][:, None] + np.arange(BLOCK)  # (m, BLOCK)
        steps = self.gaps[np.minimum(places, len(self) - 1)].astype(np.int64)
        found = self.firsts[block][:, None] + np.cumsum(steps, axis=1) == integers[:, None]
        found &= places < end[:, None]
        return np.where(found.any(axis=1), self.starts[block] + found.argmax(axis=1), -1)


@dataclass(frozen=True, eq=False)
class SmallCounts:
    """Counts in a byte each, and the few that are too large for it beside them.

    Attributes
    ----------
    small : ndarray of shape (n,), uint8
        The counts, or `LARGE`.
    places : ndarray of shape (m,), int32
        Where those are that are `LARGE` or more, ascending.
    large : ndarray of shape (m,), int64
        How large they are.
    """

    small: np.ndarray
    places: np.ndarray
    large: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray) -> SmallCounts:
        """Counts (n,), int64, of at least 0."""
        places = np.flatnonzero(counts >= LARGE).astype(np.int32)
        return cls(np.minimum(counts, LARGE).astype(np.uint8), places, counts[places])

    def __len__(self) -> int:
        return len(self.small)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Some counts, int64: those of a slice of step 1, of an array of numbers, or of one."""
        if isinstance(rows, slice):
            found = self.small[rows].astype(np.int64)
            start, stop, _ = rows.indices(len(self))
            among = slice(*np.searchsorted(self.places, [start, max(start, stop)]).tolist())
            found[self.places[among] - start] = self.large[among]
            return found
        found = self.small[rows].astype(np.int64)
        at = np.searchsorted(self.places, rows)
        return np.where(found == LARGE, np.append(self.large, 0)[at], found)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.small.nbytes + self.places.nbytes + self.large.nbytes


def compact_counts(counts: np.ndarray) -> np.ndarray | SmallCounts:
    """Counts (n,), int64, in as few bytes as hold them."""
    plain, small = narrow(counts), SmallCounts.of(counts)
    return small if small.nbytes < plain.nbytes else plain


def narrow(counts: np.ndarray) -> np.ndarray:
    """Counts in the narrowest type that holds all of them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
