"""Handing vectors to other tools: Parquet, the text format of word2vec, the embedding projector.

A number as text has the fewest digits that give the same float32 back. A category as text: a whole
number has no decimals, booleans are ``true`` and ``false``, dates are in ISO 8601.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catvec._checks import check_option, some
from catvec.errors import ArtifactError, InputError, ParameterError
from catvec.frames import FIRST
from catvec.frames._files import replacing
from catvec.vectors._bridge import texts_of
from catvec.vectors._column import ColumnVectors
from catvec.vectors._parquet import effect_names, list_tables, write_column
from catvec.vectors._parquet_pairs import write_pair
from catvec.vectors._storage import PathLike
from catvec.vectors._vectors import CategoryVectors

FORMATS = ("parquet", "word2vec", "projector")
CHUNK = 1 << 20  # numbers turned into text at a time


def export(
    vectors: CategoryVectors, path: PathLike, format: str, column: str | None = None
) -> list[Path]:
    r"""Write vectors in a format of other tools.

    Parameters
    ----------
    vectors : CategoryVectors
    path : str or path-like
        Where to write; parents are made if absent, files replaced in one step.
    format : {"parquet", "word2vec", "projector"}
        See Notes.
    column : str, optional
        The column to write, or for Parquet a pair (``"Store*DayOfWeek"``); all columns by default.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ParameterError
        If there is no such format or column, the column has no vectors (a pair never has), or
        `path` looks like one file but several are to be written.
    InputError
        If two categories would be written alike.
    ArtifactError
        If the disk refuses.

    Notes
    -----
    ``"parquet"`` writes one file. Of one column: ``category`` (typed as in training), ``family``,
    ``role`` (category, missing, unknown, rare), ``count``, ``effect``, ``confidence`` and
    ``vector``. Of several: the same with ``column`` before it, and categories as text. Of a pair:
    its file in the artifact, with ``first`` and ``second`` in place of ``category``; where no pair
    is named, none is written.

    ``"word2vec"`` writes text that gensim's ``KeyedVectors.load_word2vec_format`` reads: known
    categories only. Whitespace, control characters and ``%`` are written as in a URL (a space is
    ``%20``; ``urllib.parse.unquote`` reads it back), and the empty text as a lone ``%``. Of one
    column, `path` is the file; of several, a folder with a file for each.

    ``"projector"`` writes two files for projector.tensorflow.org into the folder `path`:
    ``<column>_vectors.tsv``, and ``<column>_metadata.tsv`` with category, count, effect and
    confidence. Backslashes, tabs and line breaks become ``\\``, ``\t``, ``\n`` and ``\r``.

    Files named after columns have ``_`` for what a file's name should not hold.
    """
    check_option("format", format, FORMATS)
    if column is not None and column not in vectors:
        return _export_pair(vectors, Path(path), format, column)
    names = vectors.columns if column is None else (column,)
    if not names:
        raise ParameterError("there are no columns to export")
    columns = [vectors[name] for name in names]
    return _WRITERS[format](columns, Path(path))


# --- Parquet ----------------------------------------------------------------------------


def _export_parquet(columns: list[ColumnVectors], path: Path) -> list[Path]:
    with _replacing(path) as temporary:
        if len(columns) == 1:
            write_column(columns[0], temporary)
        else:
            _write_tidy(columns, temporary)
    return [path]


def _write_tidy(columns: list[ColumnVectors], path: Path) -> None:
    """All columns in one table, of the same types whatever their categories and widths."""
    writer = None
    try:
        for column in columns:
            texts, start = texts_of(_keys(column)), 0
            for part in list_tables(column):
                table = _tidy(column.name, texts.slice(start, len(part)), part)
                start += len(part)
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _tidy(name: str, categories: pa.Array, part: pa.Table) -> pa.Table:
    texts = {
        "column": pa.repeat(name, len(part)),
        "category": categories,
        "family": part["family"].cast(pa.string()),
        "role": part["role"].cast(pa.string()),
    }
    numbers = {label: part[label] for label in ("count", "effect", "confidence")}
    return pa.table({**texts, **numbers, "vector": part["vector"].cast(pa.list_(pa.float32()))})


def _export_pair(vectors: CategoryVectors, path: Path, format: str, name: str) -> list[Path]:
    if name not in vectors.pairs:
        raise ParameterError(
            f"`column` must be one of {some([*vectors.columns, *vectors.pairs])}, got {name!r}"
        )
    if format != "parquet":
        raise ParameterError(f"pair {name!r} has effects only: export it as parquet")
    with _replacing(path) as temporary:
        write_pair(vectors.pairs[name], temporary)
    return [path]


# --- word2vec ---------------------------------------------------------------------------


def _export_word2vec(columns: list[ColumnVectors], path: Path) -> list[Path]:
    _refuse_no_vectors(columns)
    paths = [path]
    if len(columns) > 1:
        _refuse_file_name(path)
        paths = [path / f"{name}.txt" for name in _file_names(columns)]
    with _replacing_all(paths) as temporaries:
        for column, temporary in zip(columns, temporaries, strict=True):
            _write_word2vec(column, temporary)
    return paths


def _write_word2vec(column: ColumnVectors, path: Path) -> None:
    tokens = [_token(text) for text in _category_texts(column).to_pylist()]
    _refuse_alike(column, tokens)
    with path.open("wb") as file:
        file.write(f"{len(column)} {column.embedding_dim}\n".encode())
        for start, rows in _number_texts(column.vectors, " "):
            words = pa.array(tokens[start : start + len(rows)], pa.large_string())
            _write_lines(file, _joined(" ", words, rows))


_UNSAFE = re.compile(r"[%\s\x00-\x1f\x7f]")


def _token(text: str) -> str:
    """A category as one word."""
    return _UNSAFE.sub(lambda match: quote(match[0], safe=""), text) or "%"


def _refuse_alike(column: ColumnVectors, tokens: list[str]) -> None:
    if len(set(tokens)) == len(tokens):
        return
    alike = [token for token, n in Counter(tokens).items() if n > 1]
    raise InputError(
        f"column {column.name!r} mixes {' and '.join(column.vocabulary.families)} categories that"
        f" would be written alike ({some(alike)}); export it as parquet"
    )


# --- projector --------------------------------------------------------------------------


def _export_projector(columns: list[ColumnVectors], path: Path) -> list[Path]:
    _refuse_no_vectors(columns)
    _refuse_file_name(path)
    parts = ("vectors", "metadata")
    paths = [path / f"{name}_{part}.tsv" for name in _file_names(columns) for part in parts]
    with _replacing_all(paths) as temporaries:
        for column, of_vectors, of_metadata in zip(
            columns, temporaries[::2], temporaries[1::2], strict=True
        ):
            with of_vectors.open("wb") as file:
                for _, rows in _number_texts(column.vectors, "\t"):
                    _write_lines(file, rows)
            with of_metadata.open("wb") as file:
                _write_metadata(column, file)
    return paths


def _write_metadata(column: ColumnVectors, file: BinaryIO) -> None:
    effects = column.effects.reshape(len(column), len(effect_names(column.classes)))
    names = ["category", "count", *effect_names(column.classes), "confidence"]
    file.write(("\t".join(map(_escape, names)) + "\n").encode())
    texts = pa.array(map(_escape, _category_texts(column).to_pylist()), pa.large_string())
    counts = pa.array(column.counts).cast(pa.large_string())
    numbers = np.column_stack([effects, column.confidences])
    for start, rows in _number_texts(numbers, "\t"):
        part = slice(start, start + len(rows))
        _write_lines(file, _joined("\t", texts[part], counts[part], rows))


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


_WRITERS: dict[str, Callable[[list[ColumnVectors], Path], list[Path]]] = {
    "parquet": _export_parquet,
    "word2vec": _export_word2vec,
    "projector": _export_projector,
}


# --- numbers and categories as text -----------------------------------------------------


def _number_texts(
    values: npt.NDArray[np.float32], separator: str
) -> Iterator[tuple[int, pa.Array]]:
    """Rows of numbers as text, some at a time, with the place of the first."""
    width = values.shape[1]
    step = max(1, CHUNK // width)
    for start in range(0, len(values), step):
        block = np.ascontiguousarray(values[start : start + step])
        numbers = pa.array(block.reshape(-1)).cast(pa.string())
        offsets = np.arange(0, block.size + 1, width, dtype=np.int32)
        rows = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), numbers), separator)
        yield start, rows.cast(pa.large_string())


def _joined(separator: str, *parts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar(separator, pa.large_string()))


def _write_lines(file: BinaryIO, rows: pa.Array) -> None:
    file.write(("\n".join(rows.to_pylist()) + "\n").encode())


def _category_texts(column: ColumnVectors) -> pa.Array:
    """The known categories as text, by code."""
    return texts_of(_keys(column).slice(FIRST, len(column)))


def _keys(column: ColumnVectors) -> pa.Array:
    """Categories by code and then the rare values; null for unknown and missing."""
    return column.vocabulary.to_table()["category"].combine_chunks()


# --- files ------------------------------------------------------------------------------


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when it is complete."""
    if path.is_dir():
        raise ParameterError(f"`path` must be a file, got the folder {str(path)!r}")
    with contextlib.suppress(OSError):  # what stands in the way is told by whoever writes
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, ArtifactError) as temporary:
        yield temporary


@contextlib.contextmanager
def _replacing_all(paths: list[Path]) -> Iterator[list[Path]]:
    """The same of several files: all or none."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_replacing(path)) for path in paths]


def _file_names(columns: list[ColumnVectors]) -> list[str]:
    """A distinct file name for each column, also where the system ignores case."""
    names: list[str] = []
    taken: set[str] = set()
    for column in columns:
        plain = re.sub(r"[^\w.-]+", "_", column.name)[:50].strip(".") or "column"
        name, n = plain, 1
        while name.casefold() in taken:
            n += 1
            name = f"{plain}_{n}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _refuse_file_name(path: Path) -> None:
    if path.suffix.lower() in {".txt", ".tsv", ".vec", ".bin", ".parquet", ".csv"}:
        raise ParameterError(
            f"`path` must be a folder, since several files are written, got {str(path)!r};"
            " or name one `column` that the format writes to one file"
        )


def _refuse_no_vectors(columns: list[ColumnVectors]) -> None:
    for column in columns:
        if not column.embedding_dim:
            raise ParameterError(f"column {column.name!r} has effects only: no vectors to export")
        if column.vocabulary.n_codes > FIRST:
            _ = column.categories  # a hashed column explains that it keeps none
