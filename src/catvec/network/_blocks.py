"""Training rows on disk: written once in blocks of random rows, read window by window.

A row is one record: its target, weight, codes, numbers and places on knots. Rows are dealt to the
blocks at random when they are written, so that each block is a random sample of the table whatever
the order of the table was. An epoch takes the blocks in random order, some at a time, and the rows
of these in random order, while a thread reads the next ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from catvec.errors import InputError
from catvec.network._data import TrainingData
from catvec.network._inputs import Inputs
from catvec.network._kernels import Array

__all__ = ["BLOCK_ROWS", "Blocks", "StreamedData", "record_type"]

BLOCK_ROWS = 65_536
"""Rows of a block, about."""

WINDOW_ROWS = 524_288
"""Rows that are shuffled together, about; twice as many are in memory."""


def record_type(
    n_columns: int, n_numbers: int, n_knotted: int, *, weighted: bool
) -> np.dtype[np.void]:
    """The record of a row on disk.

    Parameters
    ----------
    n_columns, n_numbers, n_knotted : int
        Codes, dense numbers and places on knots.
    weighted : bool
        Whether rows have weights.

    Returns
    -------
    dtype
        ``value`` is the target as effects take it, float64; ``target`` as a network learns it.
    """
    fields: list[Any] = [("value", "<f8")]
    fields += [("weight", "<f8")] if weighted else []
    fields += [
        ("target", "<f4"),
        ("codes", "<i4", (n_columns,)),
        ("numbers", "<f4", (n_numbers,)),
        ("positions", "<f4", (n_knotted,)),
    ]
    return np.dtype(fields)


class Blocks:
    """Files of records in a folder, one by block.

    Parameters
    ----------
    folder : Path
        Where they are.
    kind : dtype
        Of a record.
    n_blocks : int
        How many there are.
    """

    def __init__(self, folder: Path, kind: np.dtype[np.void], n_blocks: int) -> None:
        self.folder, self.kind, self.n_blocks = folder, kind, n_blocks

    def path(self, block: int) -> Path:
        """The file of a block."""
        return self.folder / f"block-{block:06d}.rows"

    @property
    def sizes(self) -> list[int]:
        """Rows of each block."""
        files = (self.path(block) for block in range(self.n_blocks))
        return [file.stat().st_size // self.kind.itemsize if file.exists() else 0 for file in files]

    def append(self, block_of_row: Array, rows: Array) -> None:
        """Deal rows to the blocks they are for.

        Parameters
        ----------
        block_of_row : array of shape (n,), int
        rows : array of shape (n,), of the blocks' type

        Raises
        ------
        InputError
            If the disk refuses.
        """
        order = np.argsort(block_of_row, kind="stable")
        ordered = rows[order]
        blocks, starts = np.unique(block_of_row[order], return_index=True)
        bounds = pairwise([*starts.tolist(), len(ordered)])
        try:
            for block, (start, end) in zip(blocks.tolist(), bounds, strict=True):
                with self.path(block).open("ab") as file:
                    ordered[start:end].tofile(file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"could not write to {str(self.folder)!r}: {reason}") from error

    def read(self, blocks: Sequence[int]) -> Array:
        """The rows of some blocks, one block after the other.

        Raises
        ------
        InputError
            If one cannot be read.
        """
        files = [self.path(block) for block in blocks]
        try:
            parts = [np.fromfile(file, self.kind) for file in files if file.exists()]
        except OSError as error:
            raise InputError(f"could not read {str(self.folder)!r}: {error.strerror}") from error
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, self.kind)


@dataclass(frozen=True)
class StreamedData:
    """Rows with targets that are on disk; stands where `TrainingData` does.

    Parameters
    ----------
    blocks : Blocks
    numbers : tuple of int
        The blocks that take part.
    first : TrainingData
        Some of the rows in memory: what the first bias of a network is from. Of other rows the
        codes of as many columns are read.
    held_out : tuple of int, optional
        Blocks of rows that decide when to stop.
    mean_weight : float
        Of the rows that take part.
    recoded : tuple of (array or None), optional
        By categorical column, what each code is taken for.
    """

    blocks: Blocks
    numbers: tuple[int, ...]
    first: TrainingData
    held_out: tuple[int, ...] = ()
    mean_weight: float = 1.0
    recoded: tuple[Array | None, ...] = ()

    def __len__(self) -> int:
        sizes = self.blocks.sizes
        return sum(sizes[block] for block in self.numbers)

    def windows(self, seed: Sequence[int] | None = None) -> list[list[int]]:
        """Blocks to be in memory together; in random order if there is a seed."""
        sizes = self.blocks.sizes
        order = list(self.numbers)
        if seed is not None:
            order = np.random.default_rng(seed).permutation(order).tolist()
        windows: list[list[int]] = []
        room = 0
        for block in (block for block in order if sizes[block]):
            if not windows or sizes[block] > room:
                windows.append([])
                room = WINDOW_ROWS
            windows[-1].append(block)
            room -= sizes[block]
        return windows

    def pieces(self, windows: Sequence[Sequence[int]]) -> Iterator[TrainingData]:
        """The rows of each window, read one ahead by a thread."""
        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(self.load, window) for window in windows[:1]]
            for i in range(len(windows)):
                ready = ahead.pop()
                piece = ready.result()
                if i + 1 < len(windows):
                    ahead.append(pool.submit(self.load, windows[i + 1]))
                yield piece

    def shuffled(
        self, seed: Sequence[int], first: int = 0
    ) -> tuple[list[int], Iterator[tuple[TrainingData, Array]]]:
        """An epoch in an order of the seed alone, so that it may begin in the middle.

        Parameters
        ----------
        seed : sequence of int
            Of the order of the blocks, and of the rows of each window.
        first : int
            Windows that are left out, at the beginning.

        Returns
        -------
        sizes : list of int
            Rows of each window, left out or not.
        pieces : iterator of (TrainingData, array of int32)
            The other windows, each with the order of its rows.
        """
        windows, sizes = self.windows(seed), self.blocks.sizes

        def pieces() -> Iterator[tuple[TrainingData, Array]]:
            for i, piece in enumerate(self.pieces(windows[first:]), start=first):
                order = np.random.default_rng([*seed, i]).permutation(len(piece))
                yield piece, order.astype(np.int32)

        return [sum(sizes[block] for block in window) for window in windows], pieces()

    def with_held_out(self) -> StreamedData:
        """The data in which held-out blocks take part, too."""
        return replace(self, numbers=(*self.numbers, *self.held_out), held_out=())

    def load(self, blocks: Sequence[int]) -> TrainingData:
        """The rows of some blocks in memory."""
        rows = self.blocks.read(blocks)
        codes = np.ascontiguousarray(rows["codes"][:, : self.first.inputs.codes.shape[1]])
        for c, of_code in enumerate(self.recoded):
            if of_code is not None:
                codes[:, c] = of_code[codes[:, c]]
        numbers, positions = (np.ascontiguousarray(rows[name]) for name in ("numbers", "positions"))
        weight = None
        if "weight" in (self.blocks.kind.names or ()):
            weight = rows["weight"].astype(np.float32)
        target = np.ascontiguousarray(rows["target"])
        return TrainingData(Inputs(codes, numbers, positions), target, weight)

    def without_rare(self, fewest_rows: Sequence[int], shared: int) -> StreamedData:
        """The data with codes that fewer rows have taken for the shared one; see `fewest_rows`."""
        asked = [c for c, fewest in enumerate(fewest_rows) if fewest > 1]
        if not asked:
            return self
        counts = [np.zeros(0, np.int64) for _ in asked]
        for piece in replace(self, recoded=()).pieces(self.windows()):
            for i, c in enumerate(asked):
                found = np.bincount(piece.inputs.codes[:, c], minlength=len(counts[i]))
                found[: len(counts[i])] += counts[i]
                counts[i] = found
        recoded: list[Array | None] = [None] * self.first.inputs.codes.shape[1]
        for c, rows in zip(asked, counts, strict=True):
            rare = rows < fewest_rows[c]
            rare[0] = False  # the unknown stays what it is
            recoded[c] = np.where(rare, shared, np.arange(len(rare))).astype(np.int32)
        return replace(self, recoded=tuple(recoded))
