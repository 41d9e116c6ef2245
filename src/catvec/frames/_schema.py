"""What was learned about the columns of a table, and how to read them again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._frame import Frame
from catvec.frames._numbers import Number
from catvec.frames._pairs import Pair
from catvec.frames._vocabulary import MISSING, Vocabulary

logger = logging.getLogger("catvec")

ALMOST_ALL = 0.9  # share of rows with a category of their own that deserves a word


@dataclass(frozen=True, eq=False)
class Arrays:
    """The rows of a frame as arrays.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_categorical + n_pairs), int32
        A code by categorical column, then by pair: 0 unknown, 1 missing, 2.. categories.
    values : ndarray of shape (n_rows, n_numbers), float64
        Numeric columns as they are, NaN where missing.
    """

    codes: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: np.ndarray) -> Arrays:
        """Some of the rows."""
        return Arrays(self.codes[rows], self.values[rows])


@dataclass(frozen=True, eq=False)
class Schema:
    """The columns of the training table and what was learned about each.

    Attributes
    ----------
    names : tuple of str
        All columns of the training table.
    named : bool
        Whether they go by name; by position after an array.
    vocabularies : tuple of Vocabulary
        The categorical columns.
    numbers : tuple of Number
        The numeric columns.
    pairs : tuple of Pair
        Pairs of categorical columns that are read as columns more.
    """

    names: tuple[str, ...]
    named: bool
    vocabularies: tuple[Vocabulary, ...]
    numbers: tuple[Number, ...]
    pairs: tuple[Pair, ...] = ()

    @classmethod
    def learn(
        cls,
        frame: Frame,
        *,
        columns: Sequence[str | int] | None = None,
        min_frequency: int = 1,
        n_knots: int = 0,
        leave_out: Sequence[str] = (),
    ) -> tuple[Schema, Arrays]:
        """Learn the columns of a training table, and read it.

        Parameters
        ----------
        frame : Frame
            The training rows.
        columns : sequence of str or int, optional
            Exactly the categorical ones; by default text, categories and booleans.
        min_frequency : int, default=1
            Categories in fewer rows share the unknown row.
        n_knots : int, default=0
            Most knots of a number; 0 for none.
        leave_out : sequence of str
            Columns that are not used.

        Returns
        -------
        schema : Schema
        arrays : Arrays
            The training rows.

        Raises
        ------
        InputError
            If a named column is not there or an unnamed one holds text.
        """
        categorical, numeric = _roles(frame, columns, leave_out)
        learned = [
            Vocabulary.learn(frame.column(name), min_frequency=min_frequency)
            for name in categorical
        ]
        _log_wide(learned)
        values = _stacked([frame.column(name).floats() for name in numeric], frame.n_rows, float)
        numbers = tuple(Number.learn(name, values[:, i], n_knots) for i, name in enumerate(numeric))
        codes = _stacked([codes for _, codes in learned], frame.n_rows, np.int32)
        schema = cls(frame.names, frame.named, tuple(v for v, _ in learned), numbers)
        return schema, Arrays(codes, values)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns in use: categorical ones, then numbers."""
        return (*(v.name for v in self.vocabularies), *(n.name for n in self.numbers))

    @property
    def n_codes(self) -> tuple[int, ...]:
        """Codes of each categorical column, then of each pair."""
        return (*(v.n_codes for v in self.vocabularies), *(p.n_codes for p in self.pairs))

    def with_pairs(self, pairs: Sequence[Pair]) -> Schema:
        """The schema that reads these pairs, too."""
        return replace(self, pairs=tuple(pairs))

    def pair_codes(self, codes: np.ndarray) -> np.ndarray:
        """Codes of the pairs, int32 (n_rows, n_pairs), from those of the categorical columns."""
        place = {vocabulary.name: c for c, vocabulary in enumerate(self.vocabularies)}
        of_pairs = [
            p.encode(codes[:, place[p.first]], codes[:, place[p.second]]) for p in self.pairs
        ]
        return _stacked(of_pairs, len(codes), np.int32)

    def read(self, frame: Frame) -> Arrays:
        """The rows of another table.

        Parameters
        ----------
        frame : Frame
            Its columns are found by name, whatever their order and whatever else is there; those
            of an array by position.

        Returns
        -------
        Arrays

        Raises
        ------
        InputError
            If a column is missing, of another type family, or an array of another width.
        """
        place = self._places(frame)
        columns = [v.encode(frame.column(place[v.name])) for v in self.vocabularies]
        values = [frame.column(place[number.name]).floats() for number in self.numbers]
        codes = _stacked(columns, frame.n_rows, np.int32)
        if self.pairs:
            codes = np.concatenate([codes, self.pair_codes(codes)], axis=1)
        return Arrays(codes, _stacked(values, frame.n_rows, float))

    def check_known(self, frame: Frame) -> None:
        """Refuse a table with categories that training never saw.

        Parameters
        ----------
        frame : Frame
            The rows about to be read.

        Raises
        ------
        InputError
            Naming the column and up to five values. Seen but rare categories are no error.
        """
        place = self._places(frame)
        for vocabulary in self.vocabularies:
            unseen = vocabulary.unknown_values(frame.column(place[vocabulary.name]))
            if unseen:
                raise InputError(
                    f"column {vocabulary.name!r} has categories not seen in training:"
                    f' {some(unseen)}; use handle_unknown="prior" to answer them from the prior'
                )

    def dense(self, values: np.ndarray) -> np.ndarray:
        """Numbers for a network, float32: scaled ones, then a 0/1 flag by column with gaps."""
        scaled = [number.scaled(values[:, i]) for i, number in enumerate(self.numbers)]
        flags = [
            np.isnan(values[:, i]).astype(np.float32)
            for i, number in enumerate(self.numbers)
            if number.has_missing
        ]
        return _stacked(scaled + flags, len(values), np.float32)

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Places on the knots, float32 of shape (n_rows, numbers with knots)."""
        places = [
            number.positions(values[:, i])
            for i, number in enumerate(self.numbers)
            if len(number.knots)
        ]
        return _stacked(places, len(values), np.float32)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold, without vocabularies and pairs, which have files of their own."""
        return {
            "names": list(self.names),
            "named": self.named,
            "categorical": [vocabulary.name for vocabulary in self.vocabularies],
            "numbers": [number.to_json() for number in self.numbers],
            "pairs": [pair.name for pair in self.pairs],
        }

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], vocabularies: Sequence[Vocabulary], pairs: Sequence[Pair] = ()
    ) -> Schema:
        """Undo `to_json`."""
        numbers = tuple(Number.from_json(number) for number in data["numbers"])
        return cls(tuple(data["names"]), data["named"], tuple(vocabularies), numbers, tuple(pairs))

    def _places(self, frame: Frame) -> dict[str, str]:
        """The name in `frame` of each column in use."""
        if self.named and frame.named:
            missing = [name for name in self.feature_names if name not in frame.names]
            if missing:
                raise InputError(
                    f"columns of the training table are missing: {some(missing)}; the columns"
                    f" given are {some(frame.names)}"
                )
            return {name: name for name in self.feature_names}
        if len(frame.names) != len(self.names):
            raise InputError(
                f"X has {len(frame.names)} features, but catvec is expecting"
                f" {len(self.names)} features as input"
            )
        return dict(zip(self.names, frame.names, strict=True))


# --- which column is what ---------------------------------------------------------------


def _roles(
    frame: Frame, columns: Sequence[str | int] | None, leave_out: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Names of the categorical and of the numeric columns, in the order of the table."""
    rest = [name for name in frame.names if name not in leave_out]
    if columns is None:
        categorical = [name for name in rest if frame.column(name).is_categorical]
    else:
        categorical = frame.resolve(columns, "columns")
        texts = [n for n in rest if n not in categorical and _holds_text(frame, n)]
        if texts:
            raise InputError(
                f"columns that hold text are not named in `columns`: {some(texts)}; name them"
                " there, or leave them out of the table"
            )
    chosen = set(categorical)
    return [n for n in rest if n in chosen], [n for n in rest if n not in chosen]


def _holds_text(frame: Frame, name: str) -> bool:
    return "text" in frame.column(name).families


def _log_wide(learned: Sequence[tuple[Vocabulary, np.ndarray]]) -> None:
    for vocabulary, codes in learned:
        n_seen = int((codes != MISSING).sum())
        if n_seen >= 20 and len(vocabulary) >= ALMOST_ALL * n_seen:
            logger.info(
                "column %r has almost as many categories (%d) as rows (%d): little can be learned"
                " about each; consider leaving it out",
                vocabulary.name,
                len(vocabulary),
                n_seen,
            )


def _stacked(columns: Sequence[np.ndarray], n_rows: int, dtype: Any) -> np.ndarray:
    """Columns side by side, C-contiguous, also for no columns."""
    matrix = np.empty((n_rows, len(columns)), dtype)
    for i, column in enumerate(columns):
        matrix[:, i] = column
    return matrix
