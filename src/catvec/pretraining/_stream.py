"""Sequences of a table that does not fit into memory: read twice, kept on disk in parts.

The first walk counts the items. The second writes each event, as the lines of its items, to one of
several files on disk, which a hash of its sequence chooses: events of a sequence may stand anywhere
in the table, and meet again in one part.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from catvec.errors import InputError
from catvec.frames import MISSING, Column, Vocabulary
from catvec.frames._chunk import Chunk, one_array
from catvec.frames._column import plain
from catvec.frames._counting import ValueCounter, count_by_duckdb
from catvec.frames._source import Source
from catvec.frames._splits import mixed
from catvec.pretraining._sequences import Corpus, Sequences, arrange

PART_ROWS = 4_000_000  # events of a part, about: a few hundred megabytes while it is put in order
MOST_PARTS = 500


def stream_corpus(
    source: Source,
    items: Sequence[str],
    *,
    sequence: str | None,
    order: str | bool | None,
    min_frequency: int,
    folder: Path,
    rows_alone: bool = False,
) -> Corpus:
    """The sequences of a table that is read chunk by chunk; see `read_corpus`.

    Parameters
    ----------
    source : Source
        Events in any order.
    items : sequence of str
        The item columns.
    sequence, order, min_frequency
        As `read_corpus` takes them.
    folder : Path
        Where the parts are kept, 28 bytes by event and more; it has to outlive the corpus.
    rows_alone : bool, default=False
        Every row is a sequence of its own, of one event.

    Returns
    -------
    Corpus
        Its parts are read from disk when they are asked for. Sequences are told apart by 64 bits of
        a hash.

    Raises
    ------
    InputError
        If a column is not there or does not fit, nothing is left, or the disk refuses.
    """
    reader = _Reader(source, items, sequence, order, rows_alone)
    vocabularies, n_events = _learn(reader, min_frequency, folder)
    n_parts = min(max(1, -(-n_events // PART_ROWS)), MOST_PARTS)
    try:
        _distribute(reader, vocabularies, folder, n_parts)
        ordered = order is True or isinstance(order, str)
        for place in range(n_parts):
            _put_in_order(folder, place, len(items), ordered)
    except OSError as error:
        raise InputError(
            f"could not write the events to {str(folder)!r}: {error.strerror or error}"
        ) from error
    return Corpus(vocabularies, _Stored(folder, n_parts), ordered)


class _Stored(Sequence[Sequences]):
    """Parts on disk, read when they are asked for."""

    def __init__(self, folder: Path, n_parts: int) -> None:
        self._folder, self._n_parts = folder, n_parts

    def __len__(self) -> int:
        return self._n_parts

    def __getitem__(self, place: int) -> Sequences:  # type: ignore[override]
        if place >= self._n_parts:
            raise IndexError(place)
        lines, offsets = _paths(self._folder, place)
        return Sequences(np.load(lines), np.load(offsets))


class _Reader:
    """Walks over the events: item columns, which sequence each is of, what orders it."""

    def __init__(
        self,
        source: Source,
        items: Sequence[str],
        sequence: str | None,
        order: str | bool | None,
        rows_alone: bool,
    ) -> None:
        self.items, self.source, self._sequence = list(items), source, sequence
        self._order, self._listed = order, sequence is None and not rows_alone
        others = [name for name in (sequence, order) if isinstance(name, str)]
        self._names = list(dict.fromkeys([*items, *others]))
        absent = [name for name in self._names if name not in source.names]
        if absent:
            raise InputError(f"no column {absent[0]!r} in {source.label}")

    def events(self) -> Iterator[tuple[list[Column], np.ndarray, np.ndarray | None]]:
        """The item columns, sequences as 64 bits and moments, of events that have a sequence."""
        for chunk in self.source.chunks(self._names):
            read = self._of_chunk(chunk)
            columns, rows = [column for column, _ in read], read[0][1] + chunk.start
            kept, groups = None, rows.astype(np.uint64)
            if self._sequence is not None:
                groups, has_one = _keys(chunk.column(self._sequence))
                kept = None if has_one.all() else np.flatnonzero(has_one)
            moments: np.ndarray | None = None
            if isinstance(self._order, str):
                moments = chunk.moments(self._order, "order", kept)
            elif self._order is True:
                moments = np.arange(len(groups)) + chunk.start
                moments = moments if kept is None else moments[kept]
            if kept is not None:
                columns, groups = [c.take(kept) for c in columns], groups[kept]
            yield columns, groups, moments

    def arrays(self, c: int) -> Iterator[pa.Array]:
        """The values of an item column, of the same events."""
        return (plain(one_array(columns[c])) for columns, _, _ in self.events())

    def _of_chunk(self, chunk: Chunk) -> list[tuple[Column, np.ndarray]]:
        """The item columns, and of which row of the chunk each event is."""
        if not self._listed:
            rows = np.arange(chunk.frame.n_rows)
            return [(chunk.column(name), rows) for name in self.items]
        read = [chunk.frame.lists(name, in_order=self._order is True) for name in self.items]
        for name, (_, offsets) in zip(self.items, read, strict=True):
            if not np.array_equal(offsets, read[0][1]):
                raise InputError(
                    f"{chunk.label}: the lists of columns {self.items[0]!r} and {name!r} must be"
                    " equally long in every row"
                )
        rows = np.repeat(np.arange(chunk.frame.n_rows), np.diff(read[0][1]))
        return [(column, rows) for column, _ in read]


# --- the two walks ----------------------------------------------------------------------


def _learn(reader: _Reader, min_frequency: int, folder: Path) -> tuple[tuple[Vocabulary, ...], int]:
    """The vocabularies of the item columns, and the number of events."""
    counters = [ValueCounter(name) for name in reader.items]
    n_events = 0
    for columns, _, _ in reader.events():
        for counter, column in zip(counters, columns, strict=True):
            counter.add(column)
        n_events += columns[0].n_rows
    if not n_events:
        raise InputError(
            f"there are no events in {reader.source.label}: it is empty, or the sequence is"
            " missing in every row"
        )
    learned = [
        count_by_duckdb(counter.name, partial(reader.arrays, c), min_frequency, folder)
        if counter.is_full
        else counter.vocabulary(min_frequency)
        for c, counter in enumerate(counters)
    ]
    return tuple(learned), n_events


def _record(n_columns: int) -> np.dtype[Any]:
    return np.dtype([("group", "<u8"), ("moment", "<c16"), ("lines", "<i4", (n_columns,))])


def _distribute(
    reader: _Reader, vocabularies: Sequence[Vocabulary], folder: Path, n_parts: int
) -> None:
    """Write each event to the file of its part."""
    starts = np.cumsum([0, *(vocabulary.n_codes for vocabulary in vocabularies)])
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        files: list[BinaryIO] = [
            stack.enter_context(_raw(folder, i).open("wb")) for i in range(n_parts)
        ]
        for columns, groups, moments in reader.events():
            records = np.zeros(len(groups), _record(len(columns)))
            records["group"] = groups
            if moments is not None:
                records["moment"] = moments
            for c, (vocabulary, column) in enumerate(zip(vocabularies, columns, strict=True)):
                records["lines"][:, c] = vocabulary.encode(column) + starts[c]
            part = (mixed(groups) % np.uint64(n_parts)).astype(np.int64)
            by_part = np.argsort(part, kind="stable")
            ends = np.cumsum(np.bincount(part, minlength=n_parts))
            for file, of_part in zip(files, np.split(records[by_part], ends[:-1]), strict=True):
                of_part.tofile(file)


def _put_in_order(folder: Path, place: int, n_columns: int, ordered: bool) -> None:
    """Sort a part by sequence, once and for all."""
    raw = _raw(folder, place)
    records = np.fromfile(raw, _record(n_columns))
    moments = records["moment"] if ordered else None
    part = arrange(np.ascontiguousarray(records["lines"]), records["group"], moments)
    for path, array in zip(_paths(folder, place), (part.lines, part.offsets), strict=True):
        np.save(path, array)
    raw.unlink()


def _raw(folder: Path, place: int) -> Path:
    return folder / f"events-{place:03d}"


def _paths(folder: Path, place: int) -> tuple[Path, Path]:
    return folder / f"lines-{place:03d}.npy", folder / f"offsets-{place:03d}.npy"


def _keys(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """64 bits for each cell, uint64, equal where the cells are; and which cells are not missing."""
    array = one_array(column)
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.uint64), np.zeros(len(array), bool)
    values, places = Vocabulary.learn(column)
    distinct = _distinct_keys(values)
    return np.concatenate([np.zeros(2, np.uint64), distinct])[places], places != MISSING


def _distinct_keys(vocabulary: Vocabulary) -> np.ndarray:
    """64 bits for each category: itself for numbers and dates, a hash for text."""
    categories = vocabulary.categories
    if categories.dtype.kind == "O":
        digests = b"".join(
            hashlib.blake2b(str(text).encode(), digest_size=8).digest() for text in categories
        )
        return np.frombuffer(digests, np.uint64)
    if categories.dtype.kind == "f":  # 1.0 here is 1 in a chunk without fractions
        whole, keys = categories == np.trunc(categories), categories.view(np.uint64).copy()
        for kind in (np.int64, np.uint64):  # other whole numbers are in no column of integers
            low, high = map(float, (np.iinfo(kind).min, np.iinfo(kind).max))  # to 2**63, 2**64
            integers = whole & (categories >= low) & (categories < high)
            keys[integers] = categories[integers].astype(kind).view(np.uint64)
        return keys
    return categories.astype(np.int64).view(np.uint64)
