"""Sequences of items as arrays: what every method of pretraining learns from.

An event has an item in one column or in several (product, brand). All columns share one joint
table: line ``starts[c] + code`` stands for a code of column c, so that a product and its brand may
meet like two products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from catvec.errors import InputError
from catvec.frames import MISSING, Column, Frame, Vocabulary, read_moments


@dataclass(frozen=True, eq=False)
class Sequences:
    """Events, sequence after sequence.

    Attributes
    ----------
    lines : ndarray of shape (n_events, n_columns), int32
        Lines of the joint table, by event and column.
    offsets : ndarray of shape (n_sequences + 1,), int64
        Where each sequence begins; the last is `n_events`.
    """

    lines: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_events(self) -> int:
        """Events of all sequences."""
        return len(self.lines)

    @property
    def lengths(self) -> np.ndarray:
        """Events of each sequence, int64."""
        return np.diff(self.offsets)

    def take(self, chosen: np.ndarray) -> Sequences:
        """Some of the sequences, by a mask or in the order given."""
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shift = np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return Sequences(self.lines[np.arange(offsets[-1]) + shift], offsets)

    def slices(self, n_events: int) -> Iterator[Sequences]:
        """The sequences in parts of about so many events, none cut."""
        start = 0
        while start < len(self):
            at = np.searchsorted(self.offsets, self.offsets[start] + n_events, side="right") - 1
            stop = min(max(int(at), start + 1), len(self))
            low, high = self.offsets[start], self.offsets[stop]
            yield Sequences(self.lines[low:high], self.offsets[start : stop + 1] - low)
            start = stop


@dataclass(frozen=True, eq=False)
class Corpus:
    """All sequences of a table, in parts that fit into memory one by one.

    Attributes
    ----------
    vocabularies : tuple of Vocabulary
        One for each item column.
    parts : sequence of Sequences
        Each is read when it is asked for; every sequence lies in one of them.
    ordered : bool
        Whether the order of events tells something; else sequences are baskets.
    """

    vocabularies: tuple[Vocabulary, ...]
    parts: Sequence[Sequences]
    ordered: bool

    @property
    def starts(self) -> np.ndarray:
        """The first line of each column, then their number, (n_columns + 1,) int64."""
        return np.cumsum([0, *(v.n_codes for v in self.vocabularies)])

    @property
    def n_lines(self) -> int:
        """Lines of the joint table."""
        return int(self.starts[-1])

    def counts(self) -> np.ndarray:
        """Events of each line.

        Returns
        -------
        ndarray of shape (n_lines,), int64
        """
        counts = np.zeros(self.n_lines, np.int64)
        for part in self.parts:
            counts += np.bincount(part.lines.ravel(), minlength=len(counts))
        return counts

    def split(self, share: float, seed: int) -> tuple[Corpus, Corpus]:
        """Hold some of the sequences out.

        Parameters
        ----------
        share : float
            About how many, from 0 to 1.
        seed : int
            Decides which.

        Returns
        -------
        kept, held_out : Corpus
        """
        kept = _Some(self.parts, share, seed, held_out=False)
        held_out = _Some(self.parts, share, seed, held_out=True)
        corpora = [Corpus(self.vocabularies, parts, self.ordered) for parts in (kept, held_out)]
        return corpora[0], corpora[1]


class _Some(Sequence[Sequences]):
    """Parts without the sequences that chance holds out, or only with these."""

    def __init__(
        self, parts: Sequence[Sequences], share: float, seed: int, *, held_out: bool
    ) -> None:
        self._parts, self._share, self._seed, self._held_out = parts, share, seed, held_out

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, place: int) -> Sequences:  # type: ignore[override]
        part = self._parts[place]  # raises IndexError past the end, which ends an iteration
        drawn = np.random.default_rng([self._seed, place]).random(len(part)) < self._share
        return part.take(drawn == self._held_out)


def read_corpus(
    frame: Frame,
    items: Sequence[str],
    *,
    sequence: str | None,
    order: str | bool | None = None,
    min_frequency: int = 1,
) -> Corpus:
    """The sequences of a table in memory.

    Parameters
    ----------
    frame : Frame
        Events, a row each, in any order; or lists of them in the item columns.
    items : sequence of str
        The item columns.
    sequence : str or None
        The column that tells which rows belong together; None where the item columns hold lists.
    order : str, bool or None
        The column that orders the events of a sequence, rows with the same value staying in the
        order of the table; or True where rows or lists are in their order. Else a sequence is a
        basket, where an event that occurs twice counts once.
    min_frequency : int, default=1
        Items in fewer events share the line of unknown ones.

    Returns
    -------
    Corpus
        In one part. Events without a sequence are left out.

    Raises
    ------
    InputError
        If a column is not there or does not fit, the order has gaps, or nothing is left.
    """
    if not frame.n_rows:
        raise InputError("there are no events: the table is empty")
    if sequence is None:
        columns, groups = _listed(frame, items, in_order=order is True)
        kept = None
    else:
        groups, kept = _groups(frame.column(sequence))
        columns = [frame.column(name) for name in items]
    if kept is not None:
        columns, groups = [column.take(kept) for column in columns], groups[kept]
    vocabularies, lines = learn_lines(columns, min_frequency)
    moments = np.arange(len(groups)) if order is True else None
    if isinstance(order, str):
        moments = read_moments(frame, order, "order", rows=kept)
    return Corpus(vocabularies, [arrange(lines, groups, moments)], moments is not None)


def table_corpus(columns: Sequence[Column], min_frequency: int) -> Corpus:
    """A table whose rows are sequences of one event: only its columns meet."""
    vocabularies, lines = learn_lines(columns, min_frequency)
    part = Sequences(lines, np.arange(len(lines) + 1, dtype=np.int64))
    return Corpus(vocabularies, [part], ordered=False)


def learn_lines(
    columns: Sequence[Column], min_frequency: int
) -> tuple[tuple[Vocabulary, ...], np.ndarray]:
    """Vocabularies of the item columns, and the lines of their rows, int32 (n_rows, n_columns)."""
    learned = [Vocabulary.learn(column, min_frequency=min_frequency) for column in columns]
    lines = np.empty((columns[0].n_rows, len(columns)), np.int32)
    start = 0
    for c, (vocabulary, codes) in enumerate(learned):
        lines[:, c] = codes + np.int32(start)
        start += vocabulary.n_codes
    return tuple(vocabulary for vocabulary, _ in learned), lines


def arrange(lines: np.ndarray, groups: np.ndarray, moments: np.ndarray | None) -> Sequences:
    """Events of one sequence side by side: in their order, or as baskets without repetitions.

    Parameters
    ----------
    lines : ndarray of shape (n_events, n_columns), int32
    groups : ndarray of shape (n_events,)
        The sequence of each event, as a number.
    moments : ndarray of shape (n_events,) or None
        What orders events, in any type that NumPy sorts; None for baskets, which are put into the
        order of their lines, so that the order of rows changes nothing.

    Returns
    -------
    Sequences
    """
    keys = [moments] if moments is not None else list(lines.T[::-1])
    by_sequence = np.lexsort([*keys, groups])
    lines, groups = lines[by_sequence], groups[by_sequence]
    starts = np.concatenate([[True], groups[1:] != groups[:-1]]) if len(groups) else groups == 0
    if moments is None and len(groups):
        new = np.concatenate([[True], (lines[1:] != lines[:-1]).any(axis=1)]) | starts
        lines, starts = lines[new], starts[new]
    return Sequences(lines, np.append(np.flatnonzero(starts), len(lines)))


def cut(part: Sequences, longest: int) -> Sequences:
    """The sequences cut into pieces of at most so many events."""
    place = np.arange(part.n_events) - np.repeat(part.offsets[:-1], part.lengths)
    return Sequences(part.lines, np.append(np.flatnonzero(place % longest == 0), part.n_events))


def joined(parts: list[Sequences]) -> Sequences:
    """Parts as one."""
    lengths = np.concatenate([part.lengths for part in parts])
    lines = np.concatenate([part.lines for part in parts])
    return Sequences(lines, np.concatenate([[0], np.cumsum(lengths)]))


# --- columns of a table -----------------------------------------------------------------


def _groups(column: Column) -> tuple[np.ndarray, np.ndarray | None]:
    """The sequence of each row as a number, and the rows that have one (None: all)."""
    _, groups = Vocabulary.learn(column)
    has_one = groups != MISSING
    if not has_one.any():
        raise InputError(f"the sequence column {column.name!r} is missing in every row")
    return groups, None if has_one.all() else np.flatnonzero(has_one)


def _listed(
    frame: Frame, items: Sequence[str], *, in_order: bool
) -> tuple[list[Column], np.ndarray]:
    """What the lists of the item columns hold, and of which row each event is."""
    read = [frame.lists(name, in_order=in_order) for name in items]
    offsets = read[0][1]
    for name, (_, others) in zip(items, read, strict=True):
        if not np.array_equal(offsets, others):
            raise InputError(
                f"the lists of columns {items[0]!r} and {name!r} must be equally long in every row"
            )
    if not offsets[-1]:
        raise InputError(f"there are no events: every list of column {items[0]!r} is empty")
    groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return [column for column, _ in read], groups
