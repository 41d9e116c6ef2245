"""Rows held out and folds: at random and stratified, by groups, or in time, or by both.

Every split catvec makes itself comes from here, so groups and time are respected everywhere. Where
there are both, a group stands where it ends: it is parted by no split, and who is tested by it has
learned of nothing that was later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from catvec._checks import some
from catvec.errors import InputError

DISTINCT_SHARE = 0.9  # above this share of distinct rows, twins stay together
FINEST = 20  # a share of rows is rounded to one with this denominator, or its own if smaller


MOST_LASTING = 0.5  # share of the rows in groups that last to the end, which are held out as one


@dataclass(frozen=True)
class Fold:
    """Row numbers, ascending: `train` to learn from, `test` to encode with what was learned."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Ties:
    """What binds rows when they are split.

    Attributes
    ----------
    n_rows : int
        Rows in all.
    groups : ndarray of shape (n_rows,), int64, or None
        Rows of one group are never parted.
    time : ndarray of shape (n_rows,), int64, or None
        Rank of each row in time; folds expand in time and held-out rows are the latest. With
        groups it is the latest row of a group that counts.
    strata : ndarray of shape (n_rows,), int64, or None
        Classes, whose shares are kept alike in random splits.
    """

    n_rows: int
    groups: np.ndarray | None = None
    time: np.ndarray | None = None
    strata: np.ndarray | None = None

    @property
    def moments(self) -> np.ndarray | None:
        """Where each row stands in time: where its group ends, if there are groups."""
        if self.time is None or self.groups is None:
            return self.time
        number = np.unique(self.groups, return_inverse=True)[1]
        ends = np.zeros(number.max(initial=-1) + 1, np.int64)
        np.maximum.at(ends, number, self.time)
        return ends[number]

    def take(self, rows: np.ndarray) -> Ties:
        """The same for some of the rows."""
        parts = (None if a is None else a[rows] for a in (self.groups, self.time, self.strata))
        return Ties(len(rows), *parts)


def refuse_lasting(moments: np.ndarray) -> None:
    """Refuse groups in time most of which last to the end: who learns would have few rows.

    Parameters
    ----------
    moments : ndarray of shape (n_rows,)
        Where the group of each row ends.

    Raises
    ------
    InputError
        If the groups that end last hold more than `MOST_LASTING` of the rows.
    """
    share = np.mean(moments == moments.max()) if len(moments) else 0.0
    if share > MOST_LASTING:
        raise InputError(
            f"`groups` that last to the end of `time_column` hold {share:.0%} of the rows, and all"
            " of them would be held out as one; give only `groups` or only `time_column`"
        )


def make_folds(ties: Ties, n_folds: int, rng: np.random.Generator) -> list[Fold]:
    """Folds whose test rows are encoded by a fit on their train rows.

    Parameters
    ----------
    ties : Ties
        What binds the rows.
    n_folds : int
        Folds, at least 2. With fewer rows or groups than that, as many as there are.
    rng : Generator
        Decides which rows go where; not used in time.

    Returns
    -------
    list of Fold
        At random the test rows part all rows. In time the rows are cut into ``n_folds + 1``
        blocks; each but the first is tested by the blocks before it, so the rows of the first
        block are in no test.
    """
    if (moments := ties.moments) is not None:
        block = _time_blocks(moments, n_folds + 1)
        pairs = ((block < i, block == i) for i in range(1, int(block.max(initial=0)) + 1))
    else:
        part = _parts(ties, n_folds, rng)
        pairs = ((part != i, part == i) for i in range(int(part.max(initial=-1)) + 1))
    folds = [Fold(np.flatnonzero(train), np.flatnonzero(test)) for train, test in pairs]
    return [fold for fold in folds if len(fold.train) and len(fold.test)]


def checked_folds(splits: Iterable[Any], n_rows: int) -> list[Fold]:
    """Folds as a user, or a splitter of scikit-learn, gives them.

    Parameters
    ----------
    splits : iterable of pairs of array-like
        Rows to learn from and rows to test, by number or by mask.
    n_rows : int
        Of the table.

    Returns
    -------
    list of Fold
        Rows in the order in which they were given.

    Raises
    ------
    InputError
        If one is no such pair, learns from no row, or from one that it tests.
    """
    folds = []
    for number, split in enumerate(splits):
        which = f"fold {number} of `cv`"
        try:
            train, test = split
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{which} must be a pair: rows to learn from, and rows to test; got {some([split])}"
            ) from error
        fold = Fold(_row_numbers(train, n_rows, which), _row_numbers(test, n_rows, which))
        if not len(fold.train):
            raise InputError(f"{which} has no rows to learn from; leave it out")
        shared = np.intersect1d(fold.train, fold.test)
        if len(shared):
            raise InputError(
                f"{which} learns from rows that it tests: {some(shared.tolist())}; leave them out"
                " of one of the two, as their own targets would be known"
            )
        folds.append(fold)
    return folds


def make_held_out(
    ties: Ties, fraction: float, n_sets: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Sets of rows to hold out, one for each of several networks.

    Parameters
    ----------
    ties : Ties
        What binds the rows.
    fraction : float
        Share of the rows in a set, in (0, 1).
    n_sets : int
        Sets to make. At random they are disjoint as long as the rows last; in time each is the
        latest rows. Never all rows: of a single row, group or moment none is held out.
    rng : Generator
        Decides which rows.

    Returns
    -------
    list of ndarray, bool, each of shape (n_rows,)
    """
    if (moments := ties.moments) is not None:
        return [_latest(moments, fraction)] * n_sets
    share = Fraction(fraction).limit_denominator(max(FINEST, round(1 / fraction)))
    part = _parts(ties, share.denominator, rng)
    n_parts = int(part.max(initial=0)) + 1
    n_held = min(max(1, round(fraction * n_parts)), n_parts - 1)
    return [(part - i * n_held) % n_parts < n_held for i in range(n_sets)]


def twins(codes: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """Groups of rows equal but for the target, where almost all rows are distinct.

    In a table of almost distinct rows two equal ones are one thing told twice, and a fold that
    parts them leaks. In a table of one or two columns every row has twins; then None.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns), int32
    values : ndarray of shape (n_rows, n_numbers), float64

    Returns
    -------
    ndarray of shape (n_rows,), int64, or None
    """
    n_rows = len(codes)
    key = np.full(n_rows, 0x9E3779B97F4A7C15, np.uint64)
    for column in [*codes.T, *(values + 0.0).T]:
        bits = column.astype(np.int64) if column.dtype.kind == "i" else column.view(np.int64)
        key = mixed(key ^ bits.view(np.uint64))
    _, groups = np.unique(key, return_inverse=True)
    n_distinct = int(groups.max(initial=-1)) + 1
    return groups if DISTINCT_SHARE * n_rows <= n_distinct < n_rows else None


def mixed(key: np.ndarray) -> np.ndarray:
    """A round of splitmix64 (Steele et al. 2014), which spreads every bit over all."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


def _parts(ties: Ties, n_parts: int, rng: np.random.Generator) -> np.ndarray:
    """The number of the part each row falls into, all about equally large."""
    order = rng.permutation(ties.n_rows)
    if ties.groups is not None:
        return _parts_of_groups(ties.groups, n_parts, rng)
    if ties.strata is not None:
        order = order[np.argsort(ties.strata[order], kind="stable")]
    part = np.empty(ties.n_rows, np.int64)
    part[order] = np.arange(ties.n_rows) % n_parts
    return part


def _parts_of_groups(groups: np.ndarray, n_parts: int, rng: np.random.Generator) -> np.ndarray:
    """Groups in random order, dealt so that their rows fill the parts evenly."""
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    large = order[sizes[order] > 1]
    large = large[np.argsort(-sizes[large], kind="stable")]
    of_group = np.empty(len(sizes), np.int64)
    filled = np.zeros(n_parts, np.int64)
    for group in large:
        of_group[group] = part = int(filled.argmin())
        filled[part] += sizes[group]
    single = order[sizes[order] == 1]  # groups of one row fill what room is left
    room = np.maximum(-(-len(groups) // n_parts) - filled, 0)
    of_group[single] = rng.permutation(np.repeat(np.arange(n_parts), room))[: len(single)]
    return np.unique(of_group, return_inverse=True)[1][number]


def _latest(time: np.ndarray, fraction: float) -> np.ndarray:
    """The latest rows, about that share of them; never the rows of the first moment."""
    if not len(time):
        return np.zeros(0, bool)
    cut = np.sort(time)[min(len(time) - 1, int(len(time) * (1 - fraction)))]
    return (time >= cut) & (time > time.min())


def _time_blocks(time: np.ndarray, n_blocks: int) -> np.ndarray:
    """Blocks of about equally many rows in time; rows of one moment are never parted."""
    _, moment, rows = np.unique(time, return_inverse=True, return_counts=True)
    middle = np.cumsum(rows) - rows / 2
    block = np.minimum((middle * n_blocks / max(len(time), 1)).astype(np.int64), n_blocks - 1)
    return np.unique(block, return_inverse=True)[1][moment]


def _row_numbers(given: Any, n_rows: int, which: str) -> np.ndarray:
    """Rows of a fold as numbers, int64."""
    rows = np.asarray(given)
    if rows.dtype == bool and rows.shape == (n_rows,):
        return np.flatnonzero(rows)
    numbers = rows.ndim == 1 and (rows.dtype.kind in "iu" or not len(rows))
    if not numbers or ((rows < 0) | (rows >= n_rows)).any():
        raise InputError(
            f"{which} must hold numbers of rows, from 0 to {n_rows - 1}, or masks of {n_rows} rows,"
            f" got {some(rows.ravel()[:4].tolist())} of shape {rows.shape}; make them"
            " numpy.flatnonzero(mask)"
        )
    return rows.astype(np.int64)
