"""`CategoryVectors`: what was learned about the categories of a table, apart from any model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._checks import check_option, some
from catvec.errors import CategoryError, InputError, ParameterError
from catvec.frames import open_frame
from catvec.vectors._column import ColumnVectors
from catvec.vectors._parquet import (
    checked_section,
    column_section,
    dimension_names,
    effect_names,
    read_column,
    write_column,
)
from catvec.vectors._schema import jsonable
from catvec.vectors._storage import (
    Artifact,
    FileContent,
    PathLike,
    load_artifact,
    write_artifact,
)

OUTPUTS = ("both", "effects", "vectors")
CHUNK = 65_536  # rows looked up at a time, so that a large frame needs no second copy


class CategoryVectors:
    """Effects, vectors and counts of the categories of several columns, by column name.

    Immutable, and usable without the model that learned it: neither torch, numba nor scikit-learn
    is imported.

    Parameters
    ----------
    columns : sequence of ColumnVectors
        Of distinct names; with the same classes, if the target has classes.
    metadata : mapping, optional
        Anything JSON can hold: parameters, a summary of the training. Kept with the vectors.

    Raises
    ------
    ParameterError
        If two columns have one name, their classes differ, or JSON cannot hold `metadata`.
    """

    def __init__(
        self, columns: Sequence[ColumnVectors], *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        names = [column.name for column in columns]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ParameterError(f"`columns` must have distinct names, got twice: {some(twice)}")
        if len({column.classes for column in columns}) > 1:
            raise ParameterError("`columns` must all have effects for the same classes")
        self._columns = {column.name: column for column in columns}
        self._metadata: dict[str, Any] = jsonable(dict(metadata or {}), "metadata")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order in which `encode` writes them."""
        return tuple(self._columns)

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
        if column not in self._columns:
            raise CategoryError(f"no column {column!r}; the columns are {some(self.columns)}")
        return self._columns[column]

    def __contains__(self, column: object) -> bool:
        return column in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """Number of columns."""
        return len(self._columns)

    def encode(self, frame: object, *, output: str = "both") -> npt.NDArray[np.float32]:
        """Replace categories by their effects, confidences and vectors.

        Parameters
        ----------
        frame : DataFrame, pyarrow.Table, mapping of columns, or array-like
            With at least the columns of these names, in any order; others are ignored.
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
        opened = open_frame(frame)
        absent = [name for name in self._columns if name not in opened.names]
        if absent:
            raise InputError(
                f"the frame lacks {some(absent)}; its columns are {some(opened.names)}"
            )
        codes = [c.vocabulary.encode(opened.column(c.name)) for c in self._columns.values()]
        return self.encode_codes(codes, opened.n_rows, output=output)

    def encode_codes(
        self,
        codes: Sequence[npt.NDArray[np.int32]],
        n_rows: int,
        *,
        output: str = "both",
    ) -> npt.NDArray[np.float32]:
        """Replace codes by effects, confidences and vectors.

        Parameters
        ----------
        codes : sequence of ndarray of shape (n_rows,), int32
            By column the codes of its vocabulary.
        n_rows : int
            Rows, which no columns would not tell.
        output : {"both", "effects", "vectors"}, default="both"
            As in `encode`.

        Returns
        -------
        ndarray of shape (n_rows, n_features), float32
            As `encode` returns it.
        """
        columns = list(self._columns.values())
        ends = np.cumsum([_width(column, output) for column in columns], dtype=int)
        result = np.empty((n_rows, int(ends[-1]) if len(ends) else 0), np.float32)
        for column, end, of_column in zip(columns, ends, codes, strict=True):
            part = result[:, end - _width(column, output) : end]
            _encode_into(part, column, of_column, output)
        return result

    def get_feature_names_out(self, *, output: str = "both") -> npt.NDArray[np.object_]:
        """Names of the columns that `encode` writes.

        Parameters
        ----------
        output : {"both", "effects", "vectors"}, default="both"
            As in `encode`.

        Returns
        -------
        ndarray of shape (n_features,), object
            ``Store_effect`` (``Store_effect_<class>`` for each class), ``Store_confidence``,
            ``Store_00``, ``Store_01``, ...

        Raises
        ------
        ParameterError
            If `output` is none of these.
        """
        check_option("output", output, OUTPUTS)
        names = [
            f"{column.name}_{feature}"
            for column in self._columns.values()
            for feature in _features(column, output)
        ]
        return np.asarray(names, dtype=object)

    def save(self, path: PathLike) -> None:
        """Save as a folder that any tool can read: ``schema.json`` and a Parquet file by column.

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
            The sections ``columns``, ``classes`` and ``metadata``.
        files : dict of str to callable
            Writers of the columns' files, by logical name.
        """
        # Files are numbered, since a column's name may be a path, or no file name at all.
        numbered = {f"column_{i:02d}.parquet": self[name] for i, name in enumerate(self)}
        schema = {
            "columns": [column_section(column, file) for file, column in numbered.items()],
            "classes": None if self.classes is None else list(self.classes),
            "metadata": self._metadata,
        }

        def writer(column: ColumnVectors) -> FileContent:
            return lambda path: write_column(column, path)

        return schema, {file: writer(column) for file, column in numbered.items()}

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
        metadata = schema.get("metadata")
        if not (
            isinstance(sections, list)
            and isinstance(metadata, dict)
            and isinstance(classes, list | None)
        ):
            raise artifact.damage("its schema.json lacks columns, classes or metadata")
        checked = [checked_section(artifact, section) for section in sections]
        columns = [read_column(artifact, section, classes) for section in checked]
        try:
            return cls(columns, metadata=metadata)
        except ParameterError as error:
            raise artifact.damage(f"its schema.json contradicts itself ({error})") from error

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same columns, numbers (bit for bit) and metadata."""
        if not isinstance(other, CategoryVectors):
            return NotImplemented
        same = self.columns == other.columns and self._metadata == other._metadata
        return same and all(self[name] == other[name] for name in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        n_columns, n_categories = len(self), sum(map(len, self._columns.values()))
        head = (
            f"CategoryVectors: {n_columns} column{'s' * (n_columns != 1)},"
            f" {n_categories:,} categories"
        )
        return "\n".join([head, *_overview(list(self._columns.values()))])


# --- encoding ---------------------------------------------------------------------------


def _features(column: ColumnVectors, output: str) -> list[str]:
    effects = [*effect_names(column.classes), "confidence"] if output != "vectors" else []
    vectors = dimension_names(column.embedding_dim) if output != "effects" else []
    return effects + vectors


def _width(column: ColumnVectors, output: str) -> int:
    return len(_features(column, output))


def _encode_into(
    result: npt.NDArray[np.float32],
    column: ColumnVectors,
    codes: npt.NDArray[np.int32],
    output: str,
) -> None:
    """Write a column's features into their place in the result."""
    vectors, effects, confidences = column.by_code()
    of_effects = effects.reshape(len(effects), -1)
    n = of_effects.shape[1]
    for start in range(0, len(codes), CHUNK):
        part, rows = codes[start : start + CHUNK], result[start : start + CHUNK]
        if output != "vectors":
            rows[:, :n] = of_effects[part]
            rows[:, n] = confidences[part]
            rows = rows[:, n + 1 :]
        if output != "effects":
            rows[:] = vectors[part]


# --- showing ----------------------------------------------------------------------------


def _overview(columns: list[ColumnVectors]) -> list[str]:
    """A line by column, for people: how much there is, and how far its effects reach."""
    if not columns:
        return []
    titles = ("column", "categories", "dim", "effects", "rows seen")
    lines = [titles, *map(_overview_line, columns[:20])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    shown = [
        "  " + "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    return shown + ([f"  and {len(columns) - 20} more"] if len(columns) > 20 else [])


def _overview_line(column: ColumnVectors) -> tuple[str, ...]:
    effects = column.effects
    reach = f"{effects.min():+.3g} .. {effects.max():+.3g}" if effects.size else "-"
    rows = int(column.vocabulary.counts.sum())
    name = column.name if column.name.isprintable() else repr(column.name)
    name = name if len(name) <= 30 else f"{name[:29]}…"
    return name, f"{len(column):,}", str(column.embedding_dim), reach, f"{rows:,}"
