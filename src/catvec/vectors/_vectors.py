"""`CategoryVectors`: what was learned about the categories of a table, apart from any model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from catvec._checks import check_distinct, check_option, some
from catvec.errors import CategoryError, InputError, ParameterError
from catvec.frames import Codes, Lists, make_lists, open_frame
from catvec.vectors._bridge import Bridging
from catvec.vectors._column import ColumnVectors
from catvec.vectors._editing import Editing
from catvec.vectors._overview import overview
from catvec.vectors._packed_file import PACKED, packed_arrays
from catvec.vectors._pairs import PairEffects, same_vocabulary
from catvec.vectors._parquet import (
    checked_section,
    column_section,
    dimension_names,
    effect_names,
    read_column,
    write_column,
)
from catvec.vectors._parquet_pairs import (
    checked_pair_section,
    pair_section,
    read_pair,
    write_pair,
)
from catvec.vectors._precision import CountedConfidences, StoredNumbers
from catvec.vectors._schema import jsonable
from catvec.vectors._storage import (
    Artifact,
    FileContent,
    PathLike,
    load_artifact,
    write_artifact,
)

if TYPE_CHECKING:
    from catvec.frames import Frame

OUTPUTS = ("both", "effects", "vectors")
Part = ColumnVectors | PairEffects
CHUNK = 65_536  # rows looked up at a time, so that a large frame needs no second copy


class CategoryVectors(Bridging, Editing):
    """Effects, vectors and counts of the categories of several columns, by column name.

    Beside the columns it may hold the effects of pairs of them. Immutable, and usable without the
    model that learned it: neither torch, numba nor scikit-learn is imported.

    Parameters
    ----------
    columns : sequence of ColumnVectors
        Of distinct names; with the same classes, if the target has classes.
    pairs : sequence of PairEffects
        Effects of pairs of these columns, of distinct names.
    metadata : mapping, optional
        Anything JSON can hold: parameters, a summary of the training. Kept with the vectors.

    Raises
    ------
    ParameterError
        If two columns or pairs have one name, their classes differ, a pair is not of these columns,
        or JSON cannot hold `metadata`.
    """

    def __init__(
        self,
        columns: Sequence[ColumnVectors],
        *,
        pairs: Sequence[PairEffects] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        check_distinct("columns", [column.name for column in columns])
        if len({column.classes for column in columns}) > 1:
            raise ParameterError("`columns` must all have effects for the same classes")
        self._columns = {column.name: column for column in columns}
        _check_pairs(pairs, self._columns)
        self._pairs = {pair.name: pair for pair in pairs}
        self._metadata: dict[str, Any] = jsonable(dict(metadata or {}), "metadata")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order in which `encode` writes them."""
        return tuple(self._columns)

    @property
    def pairs(self) -> Mapping[str, PairEffects]:
        """Effects of pairs of columns by name (``Store*DayOfWeek``); read-only, often empty."""
        return MappingProxyType(self._pairs)

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of what was given as `metadata`, as JSON holds it."""
        return copy.deepcopy(self._metadata)

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """Classes of a multiclass target, one for each column of the effects; else None."""
        return next((column.classes for column in self._columns.values()), None)

    def __getitem__(self, column: str) -> ColumnVectors:
        """What is known of one column."""
        if column not in self:
            raise CategoryError(f"no column {column!r}; the columns are {some(self.columns)}")
        return self._columns[column]

    def __contains__(self, column: object) -> bool:
        return isinstance(column, str) and column in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """Number of columns."""
        return len(self._columns)

    def encode(self, frame: object, *, output: str = "both") -> npt.NDArray[np.float32]:
        """Replace categories by their effects, confidences and vectors; pairs have no part in it.

        Parameters
        ----------
        frame : DataFrame, pyarrow.Table, mapping of columns, or array-like
            With at least the columns of these names, in any order; others are ignored. Lists that
            were learned with weights need the column of these, too.
        output : {"both", "effects", "vectors"}, default="both"
            What to write: effects with their confidence, vectors, or both.

        Returns
        -------
        ndarray of shape (n_rows, n_features), float32
            Columns as `get_feature_names_out` names them. Values not known have the unknown row,
            missing ones the missing row.

        Raises
        ------
        InputError
            If a column is absent, or holds values of another type family than in training.
        """
        check_option("output", output, OUTPUTS)
        opened = self._opened(frame)
        codes = [codes_of(opened, column) for column in self._columns.values()]
        return self.encode_codes(codes, opened.n_rows, output=output)

    def codes(self, frame: object) -> npt.NDArray[np.int32]:
        """Replace categories by their codes: rows of `by_code`, and of tables in `catvec.torch`.

        Parameters
        ----------
        frame : DataFrame, pyarrow.Table, mapping of columns, or array-like
            With at least the columns of these names, in any order; others are ignored.

        Returns
        -------
        ndarray of shape (n_rows, n_columns), int32
            0 for values not known, 1 for missing ones, from 2 on the categories in their order,
            then the buckets of a hashed column, of its first hash function if it has several.

        Raises
        ------
        InputError
            If a column is absent, or holds lists or values of another type family than in training.
        """
        opened = self._opened(frame)
        if lists := [name for name in self if opened.is_list(name)]:
            raise InputError(
                f"columns hold lists, which have a code by element and not by row: {some(lists)};"
                " `drop` them, or take `encode`, which knows lists"
            )
        codes = np.empty((opened.n_rows, len(self)), np.int32)
        for c, column in enumerate(self._columns.values()):
            codes[:, c] = column.vocabulary.encode(opened.column(column.name))
        return codes

    def encode_codes(
        self,
        codes: Sequence[Codes],
        n_rows: int,
        *,
        output: str = "both",
        pairs: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Replace codes by effects, confidences and vectors, of pairs, too, if asked.

        Parameters
        ----------
        codes : sequence of ndarray of shape (n_rows,), int32
            By column the codes of its vocabulary (`Vocabulary.all_codes`: of a column with several
            hash functions a matrix; of a column with lists `Lists`); with `pairs`, after them, by
            pair its codes.
        n_rows : int
            Rows, which no columns would not tell.
        output : {"both", "effects", "vectors"}, default="both"
            As in `encode`.
        pairs : bool, default=False
            Whether the effects and confidences of the pairs follow those of all columns.

        Returns
        -------
        ndarray of shape (n_rows, n_features), float32
            As `get_feature_names_out` names it; without pairs as `encode` returns it.
        """
        parts = self._parts(pairs)
        ends = np.cumsum([_width(part, output) for part in parts], dtype=int)
        result = np.empty((n_rows, int(ends[-1]) if len(ends) else 0), np.float32)
        for part, end, of_part in zip(parts, ends, codes, strict=True):
            _encode_into(result[:, end - _width(part, output) : end], part, of_part, output)
        return result

    def compress(self, precision: str = "float16") -> CategoryVectors:
        """The same with vectors in fewer bytes, in memory and on disk.

        Parameters
        ----------
        precision : {"float16", "int8", "float32"}, default="float16"
            ``"float16"``: two bytes for an element, which is off by at most 0.05% of itself
            (2**-11), or by 2**-25 where it is below 6e-5. ``"int8"``: one byte, and four for a row;
            an element is off by at most 1/254 of the largest of its row.

        Returns
        -------
        CategoryVectors
            With the same effects, confidences, counts and pairs; `encode` and `most_similar` turn
            rows into float32 as they need them.

        Raises
        ------
        ParameterError
            If there is no such precision, or a vector holds numbers above 65,504, where float16
            ends.
        """
        columns = [column.compress(precision) for column in self._columns.values()]
        return type(self)(columns, pairs=list(self._pairs.values()), metadata=self._metadata)

    def get_feature_names_out(
        self, *, output: str = "both", pairs: bool = False
    ) -> npt.NDArray[np.object_]:
        """Names of the columns that `encode` writes.

        Parameters
        ----------
        output : {"both", "effects", "vectors"}, default="both"
            As in `encode`.
        pairs : bool, default=False
            As in `encode_codes`; `encode` writes no pairs.

        Returns
        -------
        ndarray of shape (n_features,), object
            ``Store_effect`` (``Store_effect_<class>`` for each class), ``Store_confidence``,
            ``Store_00``, ``Store_01``, ..., and with `pairs`, after all columns,
            ``Store*DayOfWeek_effect`` and ``Store*DayOfWeek_confidence``.

        Raises
        ------
        ParameterError
            If `output` is none of these.
        """
        check_option("output", output, OUTPUTS)
        names = [
            f"{part.name}_{feature}"
            for part in self._parts(pairs)
            for feature in features_of(part, output)
        ]
        return np.asarray(names, dtype=object)

    def save(self, path: PathLike) -> None:
        """Save as a folder that any tool can read: ``schema.json``, Parquet by column and by pair.

        Parameters
        ----------
        path : str or path-like
            The folder, by custom ending in ``.catvec``. An artifact there is replaced, in one step.

        Raises
        ------
        ArtifactError
            If something else lies there, or the disk refuses; what was there is then unchanged.
        """
        schema, files = self.to_parts()
        write_artifact(path, schema, files)

    @classmethod
    def load(cls, path: PathLike) -> CategoryVectors:
        """Load what `save` saved, or the vectors of a saved model.

        Parameters
        ----------
        path : str or path-like
            The folder.

        Returns
        -------
        CategoryVectors

        Raises
        ------
        ArtifactError
            If there is no artifact, or any part of it is damaged.
        ArtifactVersionError
            If a newer catvec wrote it.
        """
        return load_artifact(path, cls.from_artifact)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, FileContent]]:
        """What `write_artifact` takes, for whoever saves more into the same folder.

        Returns
        -------
        schema : dict
            The sections ``columns``, ``pairs``, ``classes`` and ``metadata``.
        files : dict of str to callable
            Writers of the columns' and the pairs' files, and of packed vectors', by logical name.
        """
        # Files are numbered, since a column's name may be a path, or no file name at all.
        columns = {f"column_{i:02d}.parquet": self[name] for i, name in enumerate(self)}
        pairs = {f"pair_{i:02d}.parquet": pair for i, pair in enumerate(self._pairs.values())}
        schema = {
            "columns": [column_section(column, file) for file, column in columns.items()],
            "pairs": [pair_section(pair, file) for file, pair in pairs.items()],
            "classes": None if self.classes is None else list(self.classes),
            "metadata": self._metadata,
        }
        files: dict[str, FileContent] = {}
        files |= {file: partial(write_column, column) for file, column in columns.items()}
        packed = [packed_arrays(column, file) for file, column in columns.items()]
        if arrays := {name: array for part in packed for name, array in part.items()}:
            files[PACKED] = partial(safetensors.numpy.save_file, arrays)
        files |= {file: partial(write_pair, pair) for file, pair in pairs.items()}
        return schema, files

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> CategoryVectors:
        """The vectors of an opened artifact.

        Parameters
        ----------
        artifact : Artifact

        Returns
        -------
        CategoryVectors

        Raises
        ------
        ArtifactError
            If any part of it is damaged.
        """
        schema = artifact.schema
        sections, classes = schema.get("columns"), schema.get("classes")
        pairs, metadata = schema.get("pairs", []), schema.get("metadata")  # at first without pairs
        if not (
            isinstance(sections, list)
            and isinstance(pairs, list)
            and isinstance(metadata, dict)
            and isinstance(classes, list | None)
        ):
            raise artifact.damage("its schema.json lacks columns, pairs, classes or metadata")
        checked = [checked_section(artifact, section) for section in sections]
        packed = safetensors.numpy.load(artifact.read(PACKED)) if PACKED in artifact else {}
        columns = [read_column(artifact, section, classes, packed) for section in checked]
        known = {column.name: column for column in columns}
        of_pairs = [checked_pair_section(artifact, section) for section in pairs]
        effects = [read_pair(artifact, section, known, classes) for section in of_pairs]
        try:
            return cls(columns, pairs=effects, metadata=metadata)
        except ParameterError as error:
            raise artifact.damage(f"its schema.json contradicts itself ({error})") from error

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same columns, pairs, numbers (bit for bit) and metadata."""
        if not isinstance(other, CategoryVectors):
            return NotImplemented
        same = self.columns == other.columns and self._metadata == other._metadata
        pairs, others = list(self._pairs.values()), list(other._pairs.values())
        return same and pairs == others and all(self[name] == other[name] for name in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        columns, pairs = list(self._columns.values()), list(self._pairs.values())
        return overview(columns, pairs)

    def __copy__(self) -> CategoryVectors:
        """Itself: nothing in it changes."""
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> CategoryVectors:
        """Itself, so that a clone of an estimator that is given vectors has no copy of them."""
        return self

    # --- inside ---

    def _opened(self, frame: object) -> Frame:
        """The frame, which has all columns."""
        opened = open_frame(frame)
        absent = [name for name in self._columns if name not in opened.names]
        if absent:
            raise InputError(
                f"the frame lacks {some(absent)}; its columns are {some(opened.names)}"
            )
        return opened

    def _parts(self, pairs: bool) -> list[Part]:
        """What is laid side by side: the columns, and the pairs if asked."""
        return [*self._columns.values(), *(self._pairs.values() if pairs else ())]


# --- checking ---------------------------------------------------------------------------


def _check_pairs(pairs: Sequence[PairEffects], columns: Mapping[str, ColumnVectors]) -> None:
    """Refuse pairs of other columns, of other categories, or with a name that is taken."""
    check_distinct("pairs", [pair.name for pair in pairs])
    for pair in pairs:
        absent = [name for name in pair.columns if name not in columns]
        if absent:
            raise ParameterError(
                f"`pairs` must be of the columns, but {pair.name!r} has {some(absent)}"
            )
        first, second = (columns[name] for name in pair.columns)
        if pair.classes != first.classes:
            raise ParameterError("`pairs` must have effects for the same classes as the columns")
        if not (
            same_vocabulary(pair.first, first.vocabulary)
            and same_vocabulary(pair.second, second.vocabulary)
        ):
            raise ParameterError(f"`pairs`: {pair.name!r} has other categories than its columns")


# --- encoding ---------------------------------------------------------------------------


def parts_of(vectors: CategoryVectors) -> list[Part]:
    """The columns of some vectors, then their pairs."""
    return vectors._parts(pairs=True)


def features_of(part: Part, output: str) -> list[str]:
    """What `CategoryVectors.encode` writes of a column or a pair, without its name."""
    effects = [*effect_names(part.classes), "confidence"] if output != "vectors" else []
    if isinstance(part, PairEffects) or output == "effects":
        return effects
    return effects + dimension_names(part.embedding_dim)


def _width(part: Part, output: str) -> int:
    return len(features_of(part, output))


def _encode_into(result: npt.NDArray[np.float32], part: Part, codes: Codes, output: str) -> None:
    """Write the features of a column or a pair into their place in the result."""
    effects, confidences = part.stored_effects
    n = effects.width
    for start in range(0, len(codes), CHUNK):
        some_rows = slice(start, start + CHUNK)
        chunk = codes.take(some_rows) if isinstance(codes, Lists) else codes[some_rows]
        rows = result[some_rows]
        if output != "vectors":
            rows[:, :n] = _of_rows(effects, chunk).reshape(len(rows), -1)
            rows[:, n] = _of_rows(confidences, chunk)
            rows = rows[:, n + 1 :]
        if isinstance(part, ColumnVectors) and output != "effects":
            rows[:] = part.looked_up(chunk)


def _of_rows(by_code: StoredNumbers | CountedConfidences, codes: Codes) -> npt.NDArray[np.float32]:
    """What is known by code, by row: of a list the mean, of several hash functions the first."""
    if isinstance(codes, Lists):
        return codes.means().pooled(by_code)
    return by_code[codes if codes.ndim == 1 else codes[:, 0]]


def codes_of(frame: Frame, column: ColumnVectors) -> Codes:
    """Codes of a column of a frame; lists are means, or sums by their weights."""
    name, vocabulary, of_weights = column.name, column.vocabulary, column.list_weights
    if of_weights is None and not frame.is_list(name):
        return vocabulary.all_codes(frame.column(name))
    if of_weights is not None and of_weights not in frame.names:
        raise InputError(
            f"the lists of column {name!r} were learned with the weights in column {of_weights!r},"
            f" which is not there; add it, or `drop` {name!r}; the columns are {some(frame.names)}"
        )
    lists = frame.list_column(name)
    weights = None if of_weights is None else frame.list_column(of_weights)
    return make_lists(vocabulary.encode(lists.elements), lists, weights)
