"""What was learned about the columns of a table, and how to read them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._column import Column
from catvec.frames._counting import given_vocabularies
from catvec.frames._frame import Frame
from catvec.frames._kinds import FULL, Kind, TableSpec, check_specs, kinds_of, refuse_counts
from catvec.frames._lists import Codes, Lists, make_lists
from catvec.frames._minor_components import MinorComponents
from catvec.frames._numbers import Number
from catvec.frames._pairs import Pair, codes_met
from catvec.frames._schema_learning import learned_columns, roles, warn_of_texts, with_lists
from catvec.frames._vocabulary import UNKNOWN, Vocabulary


@dataclass(frozen=True, eq=False)
class Arrays:
    """The rows of a frame as arrays.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_categorical + n_pairs), int32
        A code by categorical column, then by pair: 0 unknown, 1 missing, 2.. categories.
    values : ndarray of shape (n_rows, n_numbers), float64
        Numeric columns as they are, NaN where missing.
    hashes : ndarray of shape (n_rows, n_further), int32
        Codes of columns with several hash functions under the others than the first, side by side.
    lists : tuple of Lists
        Of each list column, whose code is 0, the codes of its elements.
    """

    codes: np.ndarray
    values: np.ndarray
    hashes: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int32))
    lists: tuple[Lists, ...] = ()

    def __post_init__(self) -> None:
        if not self.hashes.size:
            object.__setattr__(self, "hashes", np.empty((len(self), 0), np.int32))

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: np.ndarray) -> Arrays:
        """Some of the rows.

        Parameters
        ----------
        rows : ndarray
            Their numbers, or a mask.

        Returns
        -------
        Arrays
        """
        lists = tuple(of_column.take(rows) for of_column in self.lists)
        return Arrays(self.codes[rows], self.values[rows], self.hashes[rows], lists)


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
    kinds : tuple of Kind
        How the network makes the vectors of each categorical column; empty where all tables are
        full.
    list_weights : tuple of str or None
        By list column the column with weights of its elements, if any.
    minor_components : MinorComponents
        Weighted differences of numbers that say nearly the same.
    """

    names: tuple[str, ...]
    named: bool
    vocabularies: tuple[Vocabulary, ...]
    numbers: tuple[Number, ...]
    pairs: tuple[Pair, ...] = ()
    kinds: tuple[Kind, ...] = ()
    list_weights: tuple[str | None, ...] = ()
    minor_components: MinorComponents = field(default_factory=MinorComponents)

    @classmethod
    def learn(
        cls,
        frame: Frame,
        *,
        columns: Sequence[str | int] | None = None,
        min_frequency: int = 1,
        n_knots: int = 0,
        leave_out: Sequence[str] = (),
        specs: Mapping[str, TableSpec] | None = None,
        known: Mapping[str, Vocabulary] | None = None,
        vocabulary_counts: Mapping[str, Any] | None = None,
        in_time: bool = False,
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
        specs : mapping of str to TableSpec, optional
            What the tables of columns are to be; full ones by default.
        known : mapping of str to Vocabulary, optional
            Categories by column that have codes whether training rows hold them or not; those of
            other than categorical columns are passed over.
        vocabulary_counts : mapping of str to table, optional
            Values and counts by column, from which its vocabulary is taken.
        in_time : bool, default=False
            Whether rows are in the order of time; then there are no minor components.

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
        of_weights = [spec.weights for spec in (specs or {}).values() if spec.weights is not None]
        categorical, numeric = roles(frame, columns, [*leave_out, *of_weights])
        specs = with_lists(frame, categorical, specs or {})
        check_specs(specs, categorical)
        refuse_counts(vocabulary_counts or {}, specs)
        given = given_vocabularies(
            vocabulary_counts or {},
            categorical,
            min_frequency,
            lambda name: frame.column(name).families,
        )
        learned = learned_columns(frame, categorical, specs, min_frequency, given, known or {})
        if columns is None:
            warn_of_texts([vocabulary for vocabulary, _ in learned])
        measured = [frame.column(name) for name in numeric]
        numbers = tuple(Number.learn(column, n_knots) for column in measured)
        values = _stacked([column.floats() for column in measured], frame.n_rows, float)
        vocabularies = tuple(v for v, _ in learned)
        kinds = kinds_of(specs, categorical, [len(v) for v in vocabularies])
        weights = [specs[n].weights for n in categorical if n in specs and specs[n].kind == "list"]
        minor = MinorComponents() if in_time else MinorComponents.learn(numbers, values)
        schema = cls(
            frame.names,
            frame.named,
            vocabularies,
            numbers,
            kinds=kinds,
            list_weights=tuple(weights),
            minor_components=minor,
        )
        return schema, _arrays([codes for _, codes in learned], values)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns in use: categorical ones, then numbers, then weights of lists."""
        weights = [name for name in self.list_weights if name is not None]
        return (*self.categorical_names, *(n.name for n in self.numbers), *weights)

    @property
    def categorical_names(self) -> list[str]:
        """The categorical columns."""
        return [vocabulary.name for vocabulary in self.vocabularies]

    @property
    def categorical_places(self) -> dict[str, int]:
        """Place of each categorical column among these."""
        return {name: c for c, name in enumerate(self.categorical_names)}

    def kind_of(self, c: int) -> Kind:
        """How the network makes the vectors of categorical column `c`."""
        return self.kinds[c] if self.kinds else FULL

    def weights_of(self, c: int) -> str | None:
        """The column with the weights of the lists in categorical column `c`, if it has such."""
        kind = self.kind_of(c)
        return self.list_weights[kind.number] if kind.name == "list" else None

    @property
    def n_codes(self) -> tuple[int, ...]:
        """Codes of each categorical column, then of each pair."""
        return (*(v.n_codes for v in self.vocabularies), *(p.n_codes for p in self.pairs))

    @property
    def n_tables(self) -> int:
        """Tables of a network, without those of pairs: of categorical columns and of numbers."""
        return len(self.vocabularies) + sum(bool(len(number.knots)) for number in self.numbers)

    def by_column(self, arrays: Arrays) -> list[Codes]:
        """Codes of each categorical column, then of each pair, as `CategoryVectors` takes them.

        Those of a column with several hash functions are one column by function, those of a list
        column are `Lists`.
        """
        columns: list[Codes] = list(arrays.codes.T)
        start = 0
        for c, kind in enumerate(self.kinds):
            if kind.name == "list":
                columns[c] = arrays.lists[kind.number]
        for c, vocabulary in enumerate(self.vocabularies):
            n = vocabulary.n_functions - 1
            if n:
                further = arrays.hashes[:, start : start + n]
                columns[c] = np.concatenate([arrays.codes[:, [c]], further], axis=1)
                start += n
        return columns

    def unknown_row(self) -> Arrays:
        """One row about which nothing is known."""
        n_further = sum(v.n_functions - 1 for v in self.vocabularies)
        codes = np.zeros((1, len(self.n_codes)), np.int32)
        numbers = np.zeros((1, len(self.numbers)))
        lists = tuple(Lists.unknown() for _ in self.list_weights)
        return Arrays(codes, numbers, np.zeros((1, n_further), np.int32), lists)

    def hidden(self, arrays: Arrays, cells: np.ndarray) -> Arrays:
        """The rows with the categories of some cells unknown, and so the pairs they are in.

        Parameters
        ----------
        arrays : Arrays
        cells : ndarray of shape (n_rows, n_categorical), bool
            True where a category is to be unknown.

        Returns
        -------
        Arrays
        """
        n_columns = len(self.vocabularies)
        codes, hashes = arrays.codes.copy(), arrays.hashes.copy()
        codes[:, :n_columns][cells] = UNKNOWN
        codes[:, n_columns:] = self.pair_codes(codes)
        n_further = [v.n_functions - 1 for v in self.vocabularies]
        hashes[np.repeat(cells, n_further, axis=1)] = UNKNOWN
        lists = list(arrays.lists)
        for c, kind in enumerate(self.kinds):
            if kind.name == "list":
                lists[kind.number] = lists[kind.number].hidden(cells[:, c])
        return replace(arrays, codes=codes, hashes=hashes, lists=tuple(lists))

    def with_pairs(self, pairs: Sequence[Pair]) -> Schema:
        """The schema that reads these pairs, too."""
        return replace(self, pairs=tuple(pairs))

    @property
    def pair_columns(self) -> tuple[tuple[int, int], ...]:
        """Places of each pair's columns among the categorical ones."""
        place = self.categorical_places
        return tuple((place[pair.first], place[pair.second]) for pair in self.pairs)

    def pair_codes(self, codes: np.ndarray) -> np.ndarray:
        """Codes of the pairs, int32 (n_rows, n_pairs), from those of the categorical columns."""
        met = [codes_met(v, codes[:, c]) for c, v in enumerate(self.vocabularies)]
        places = zip(self.pairs, self.pair_columns, strict=True)
        of_pairs = [pair.encode(met[a], met[b]) for pair, (a, b) in places]
        return _stacked(of_pairs, len(codes), np.int32)

    def with_pair_codes(self, arrays: Arrays) -> Arrays:
        """Rows with the codes of the pairs after those of the columns."""
        if not self.pairs:
            return arrays
        codes = np.concatenate([arrays.codes, self.pair_codes(arrays.codes)], axis=1)
        return replace(arrays, codes=codes)

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
        values = [number.read(frame.column(place[number.name])) for number in self.numbers]
        codes = [self._codes(frame, place, c) for c in range(len(self.vocabularies))]
        return self.with_pair_codes(_arrays(codes, _stacked(values, frame.n_rows, float)))

    def lines(self, frame: Frame) -> np.ndarray:
        """Lines of the vocabularies by row, int32 (n_rows, n_categorical); see `Vocabulary.lines`.

        Parameters
        ----------
        frame : Frame
            As `read` takes it.

        Returns
        -------
        ndarray
        """
        columns = zip(self.vocabularies, self.categorical(frame), strict=True)
        lines = [vocabulary.lines(column) for vocabulary, column in columns]
        return _stacked(lines, frame.n_rows, np.int32)

    def check_known(self, frame: Frame) -> None:
        """Refuse a table with categories that training never saw.

        Parameters
        ----------
        frame : Frame
            The rows about to be read.

        Raises
        ------
        InputError
            Naming the columns and up to five values of each. Seen but rare categories are no error.
        """
        place, found = self._places(frame), []
        for vocabulary in self.vocabularies:
            name = place[vocabulary.name]
            column = frame.list_column(name).elements if frame.is_list(name) else frame.column(name)
            unseen = vocabulary.unknown_values(column)
            if unseen:
                of_column = f"column {vocabulary.name!r} has categories not seen in training"
                found.append(f"{of_column}: {some(unseen)}")
        if found:
            remedy = 'use handle_unknown="prior" to answer them from the prior'
            raise InputError("; ".join([*found, remedy]))

    def dense(self, values: np.ndarray) -> np.ndarray:
        """Numbers for a network, float32 of shape (n_rows, n_dense).

        Scaled ones, then a 0/1 flag by column with gaps, then minor components.
        """
        missing = np.isnan(values)
        columns = [number.scaled(values[:, i]) for i, number in enumerate(self.numbers)]
        scaled = _stacked(columns, len(values), np.float32)
        flags = missing[:, [number.has_missing for number in self.numbers]].astype(np.float32)
        return np.concatenate([scaled, flags, self.minor_components.of(scaled, missing)], axis=1)

    @property
    def n_dense(self) -> int:
        """Numbers that a network sees: scaled ones, flags and minor components."""
        n_flags = sum(number.has_missing for number in self.numbers)
        return len(self.numbers) + n_flags + len(self.minor_components)

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
            "categorical": self.categorical_names,
            "numbers": [number.to_json() for number in self.numbers],
            "pairs": [pair.name for pair in self.pairs],
            "kinds": [list(kind) for kind in self.kinds],
            "list_weights": list(self.list_weights),
            "minor_components": self.minor_components.to_json(),
        }

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], vocabularies: Sequence[Vocabulary], pairs: Sequence[Pair] = ()
    ) -> Schema:
        """Undo `to_json`."""
        numbers = tuple(Number.from_json(number) for number in data["numbers"])
        kinds = tuple(Kind(*kind) for kind in data.get("kinds", []))  # older ones lack it
        names, vocabularies = tuple(data["names"]), tuple(vocabularies)
        weights = tuple(data.get("list_weights", []))
        minor = MinorComponents.from_json(data.get("minor_components", {}))
        return cls(names, data["named"], vocabularies, numbers, tuple(pairs), kinds, weights, minor)

    def _codes(self, frame: Frame, place: Mapping[str, str], c: int) -> Codes:
        """Codes of one categorical column of a table."""
        vocabulary, kind = self.vocabularies[c], self.kind_of(c)
        if kind.name != "list":
            return vocabulary.all_codes(frame.column(place[vocabulary.name]))
        column, weights = frame.list_column(place[vocabulary.name]), self.weights_of(c)
        of_weights = None if weights is None else frame.list_column(place[weights])
        return make_lists(vocabulary.encode(column.elements), column, of_weights)

    def categorical(self, frame: Frame) -> list[Column]:
        """The categorical columns of another table, as `read` finds them."""
        place = self._places(frame)
        return [frame.column(place[vocabulary.name]) for vocabulary in self.vocabularies]

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


def _arrays(columns: Sequence[Codes], values: np.ndarray) -> Arrays:
    """First codes of each column side by side, and the further ones beside them."""
    lists = tuple(codes for codes in columns if isinstance(codes, Lists))
    nothing = np.zeros(len(values), np.int32)
    single = [nothing if isinstance(codes, Lists) else codes for codes in columns]
    first = [codes if codes.ndim == 1 else codes[:, 0] for codes in single]
    further = [codes[:, 1:] for codes in single if codes.ndim == 2 and codes.shape[1] > 1]
    hashes = np.concatenate(further, axis=1) if further else np.empty((len(values), 0), np.int32)
    return Arrays(_stacked(first, len(values), np.int32), values, hashes, lists)


def _stacked(columns: Sequence[np.ndarray], n_rows: int, dtype: Any) -> np.ndarray:
    """Columns side by side, C-contiguous, also for no columns."""
    matrix = np.empty((n_rows, len(columns)), dtype)
    for i, column in enumerate(columns):
        matrix[:, i] = column
    return matrix
