"""Tables that need not fit into memory: read chunk by chunk, in one order, as often as needed."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._chunk import Chunk, Kinds, one_array
from catvec.frames._column import family_of_type, is_categorical, plain
from catvec.frames._copying import settled
from catvec.frames._files import TableFile, file_digest, file_format, open_table, readable
from catvec.frames._frame import Frame, is_frame, named_columns, open_frame
from catvec.frames._lists import is_list_type
from catvec.frames._partitions import partition_columns

CHUNK_ROWS = 262_144  # rows read at once, at most
SMALL = 20_000_000  # rows times columns that are read into memory at once: 160 MB of numbers
PATTERN = "*?["  # what makes a path a pattern of several


class Source(Protocol):
    """A table that is walked over as often as needed.

    Attributes
    ----------
    label : str
        What to call it in a message.
    names : tuple of str
        The columns, in their order.
    kinds : Kinds
        Family of keys by column, ``"list"`` of lists of keys.
    coded : set of str
        Columns of a category type.
    """

    label: str
    names: tuple[str, ...]
    kinds: Kinds
    coded: set[str]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows in their order, of these columns."""

    def types(self, columns: Sequence[str]) -> dict[str, set[pa.DataType]]:
        """The types in which each of these columns came, dictionaries aside."""

    def fingerprint(self) -> list[Any]:
        """What tells this table from another, for JSON."""


def is_source(X: object) -> bool:
    """Whether it is a path, a pattern, or frames one after the other: no frame of its own."""
    if isinstance(X, str | os.PathLike | Iterator | ParquetSource | FrameSource):
        return True
    if isinstance(X, list | tuple):
        return bool(X) and is_frame(X[0])
    described = ("__array__", "__len__", "__dataframe__", "__arrow_c_stream__", "shape", "tocsr")
    return isinstance(X, Iterable) and not any(hasattr(X, name) for name in described)


def open_source(X: Any, folder: Path) -> Source:
    """Open a table that need not fit into memory.

    Parameters
    ----------
    X : path, pattern, or iterable of frames
        A Parquet file, a folder of them (looked through with the folders in it, by name, but for
        saved models; names of folders such as ``country=CH`` are a column), a pattern such as
        ``"sales/*.parquet"``; or frames of any kind, one after the other. What can be iterated once
        only is written to `folder`, other iterables are walked over again. Files of other formats
        are read into memory.
    folder : Path
        Where to write.

    Returns
    -------
    Source
        `X` itself if it is one.

    Raises
    ------
    InputError
        If there is nothing, or files differ in their columns; the message names file and column.
    """
    if isinstance(X, ParquetSource | FrameSource):
        return X
    if isinstance(X, str | os.PathLike):
        return _open_paths(X)
    if isinstance(X, Iterator):
        paths, coded = _spooled(X, folder)
        source = ParquetSource(paths, "the frames", coded)
        source.is_spooled = True
        return source
    return FrameSource(lambda: iter(X))


def categorical_columns(source: Source) -> list[str]:
    """The columns that are categorical unless told otherwise: all but numbers and dates."""
    kinds, coded = source.kinds, source.coded
    return [name for name in source.names if is_categorical(kinds[name], name in coded)]


def is_small(source: Source) -> bool:
    """Whether it has at most `SMALL` cells, and may be read into memory."""
    most = SMALL // max(len(source.names), 1)
    if isinstance(source, ParquetSource):
        return source.n_rows <= most
    seen = 0
    for chunk in source.chunks(source.names[:1]):
        seen += chunk.frame.n_rows
        if seen > most:
            return False
    return True


def read_arrays(source: Source, name: str) -> Iterator[pa.Array]:
    """A column as it is read, chunk by chunk."""
    return (plain(one_array(chunk.column(name))) for chunk in source.chunks([name]))


def copied_types(source: Source, names: Sequence[str]) -> dict[str, pa.DataType]:
    """The type in which each of these columns is copied.

    Raises
    ------
    InputError
        If those of several files have none in common; the message names the column.
    """
    types = source.types(names).items()
    return {name: settled(name, found, partial(read_arrays, source, name)) for name, found in types}


def copied(source: Source, names: Sequence[str], read: Sequence[str] = ()) -> Iterator[pa.Table]:
    """The rows of a source part by part, as they came, of the same types in all parts.

    Parameters
    ----------
    source : Source
    names : sequence of str
        Columns.
    read : sequence of str
        Those that are not only copied: what cannot be read is refused, and its file named.
    """
    types = copied_types(source, names)
    for chunk in source.chunks(names):
        for name in read:
            chunk.kind(name)
        yield chunk.copied(types)


def whole(
    source: Source, columns: Sequence[str] | None = None, kept: Sequence[str] = ()
) -> pa.Table:
    """All rows of a source in memory; columns of a category type as dictionaries.

    Parameters
    ----------
    source : Source
    columns : sequence of str, optional
        Which; by default all.
    kept : sequence of str
        Further ones, that need not hold categories.
    """
    read = list(source.names if columns is None else columns)
    names = list(dict.fromkeys([*read, *kept]))
    tables = list(copied(source, names, read))
    if not tables:
        return pa.table({name: pa.nulls(0) for name in names})
    table = pa.concat_tables(tables)
    for name in source.coded.intersection(names):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].dictionary_encode())
    return table


class SourceFile(TableFile):
    """A source as a table in a file: to be read at once, or chunk by chunk.

    Attributes
    ----------
    source : Source
        The table.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.label, source.names, lambda columns, _: whole(source, columns))
        self.source = source

    def parts(self, columns: Sequence[str], kept: Sequence[str] = ()) -> Iterator[pa.Table]:
        """As `read`, part by part, with further columns that need not hold categories."""
        names = list(dict.fromkeys([*columns, *kept]))
        self.check(names)
        return copied(self.source, names, columns)


def open_file(path: str | os.PathLike[str]) -> TableFile:
    """Open a table of any size for reading: a file as `open_table`, or several Parquet files.

    Parameters
    ----------
    path : str or path-like
        A file, a folder of Parquet files or a pattern of them.

    Returns
    -------
    TableFile
        A `SourceFile` for several files, and for one that is not small.

    Raises
    ------
    InputError
        As `open_table` and `open_source`.
    """
    several = is_several(path)
    if several or (Path(path).exists() and file_format(path) == "parquet"):
        source = _open_paths(path)
        if several or not is_small(source):
            return SourceFile(source)
    return open_table(path)


def is_several(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder, or a pattern of files."""
    return Path(path).is_dir() or (not Path(path).exists() and _is_pattern(path))


class ParquetSource:
    """Parquet files, one after the other; see `Source`.

    Attributes
    ----------
    n_rows : int
        Rows of all files.
    known : str or None
        A column: rows without a value there are left out.
    """

    known: str | None = None
    is_spooled = False  # whether the files are ours, copies of frames

    def __init__(
        self,
        paths: Sequence[Path],
        label: str,
        coded: Iterable[str] = (),
        folder: Path | None = None,
    ) -> None:
        self.paths, self.label, self.coded = list(paths), label, set(coded)
        self._told = {} if folder is None else partition_columns(folder, self.paths)
        self.n_rows, self.kinds = 0, Kinds()
        self._types: dict[str, set[pa.DataType]] = {}
        for path in self.paths:
            self._look_at(path)
        self.names = tuple(self.kinds)

    def _look_at(self, path: Path) -> None:
        with readable(repr(str(path))):
            file = pq.ParquetFile(path)
        self.n_rows += file.metadata.num_rows
        types = {field.name: field.type for field in file.schema_arrow}
        types = {name: types[name] for name in named_columns(types)}
        types |= {name: one.type for name, one in self._told.items() if name not in types}
        names = list(self.kinds) or list(types)
        missing = [name for name in names if name not in types]
        if missing:
            raise InputError(
                f"{str(path)!r} has no column {missing[0]!r}, which {str(self.paths[0])!r} has"
            )
        for name in names:
            kind = types[name]
            if pa.types.is_dictionary(kind):
                self.coded.add(name)
                kind = kind.value_type
            self._types.setdefault(name, set()).add(kind)
            family = "list" if is_list_type(kind) else family_of_type(kind)
            self.kinds.add(name, family, repr(str(path)))

    def without(self, names: Sequence[str], known: str | None = None) -> ParquetSource:
        """The same less some columns, and less the rows without a value in `known`."""
        other = copy(self)
        other.names = tuple(name for name in self.names if name not in names)
        other.known = known
        return other

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """As `Source.chunks`."""
        start = 0
        read = list(dict.fromkeys([*columns, self.known] if self.known else columns))
        for i, path in enumerate(self.paths):
            told = {name: self._told[name][i] for name in read if name in self._told}
            for table in _tables(path, read, told):
                if self.known:
                    table = table.filter(_is_known(table[self.known]))
                yield Chunk(open_frame(table), repr(str(path)), start)
                start += len(table)

    def types(self, columns: Sequence[str]) -> dict[str, set[pa.DataType]]:
        """As `Source.types`."""
        return {name: self._types[name] for name in columns}

    def fingerprint(self) -> list[Any]:
        """As `Source.fingerprint`: paths, sizes and times of the files, columns."""
        files = []
        for path in self.paths:
            stat = path.stat()
            # The times of files that are ours tell nothing.
            told = file_digest(path) if self.is_spooled else stat.st_mtime_ns
            files.append([str(path.resolve()), stat.st_size, told])
        return [files, self.names, self.known]


class FrameSource:
    """Frames that come anew each time they are asked for; see `Source`."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self.make, self.label = make, "the frames"
        self.kinds, self.coded = Kinds(), set[str]()
        for chunk in self._opened():
            for name in self.kinds.open if self.kinds else chunk.frame.names:
                self.kinds.add(name, chunk.kind(name), chunk.label)
                if _is_coded(chunk, name):
                    self.coded.add(name)
            if not self.kinds.open:  # most often the first frame tells of all columns
                break
        if not self.kinds:
            raise InputError("there are no frames to learn from")
        self.names = tuple(self.kinds)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """As `Source.chunks`."""
        for chunk in self._opened():
            for name in columns:
                self.kinds.add(name, chunk.kind(name), chunk.label)
            yield chunk

    def _opened(self) -> Iterator[Chunk]:
        start = 0
        for i, frame in enumerate(self.make()):
            opened = replace(open_frame(frame), named=True)  # by the names of the first
            yield Chunk(opened, f"frame {i + 1}", start)
            start += opened.n_rows

    def types(self, columns: Sequence[str]) -> dict[str, set[pa.DataType]]:
        """As `Source.types`, by a walk over the frames."""
        found: dict[str, set[pa.DataType]] = {name: set() for name in columns}
        for chunk in self._opened():
            for field in chunk.copied(dict.fromkeys(columns)).schema:
                found[field.name].add(field.type)
        return found

    def fingerprint(self) -> list[Any]:
        """As `Source.fingerprint`: columns and what is in them."""
        return [list(self.names), [content_of(c.frame) for c in self.chunks(self.names)]]


def check_apart(out: str | os.PathLike[str], X: object) -> None:
    """Refuse to write over a table that is read, or among its files.

    Parameters
    ----------
    out : path
        Of a file to write.
    X : table or source
        Only a path, or a pattern, can be in the way.

    Raises
    ------
    InputError
        If it is, with symbolic links followed.
    """
    if not isinstance(X, str | os.PathLike):
        return
    path, read = Path(out).resolve(), Path(X).resolve()
    if path == read:
        raise InputError(f"{str(out)!r} is the table that is read; write to another file")
    matched = not read.exists() and _is_pattern(read) and path.match(str(read))
    if matched or (read.is_dir() and path.is_relative_to(read)):
        raise InputError(
            f"{str(out)!r} would be one of the files that are read; write to another folder"
        )


def content_of(frame: Frame) -> str:
    """A hash of all that a frame holds, which tells it from others."""
    table = Chunk(frame, "the table", 0).table(frame.names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _is_known(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether a value is neither null nor NaN."""
    return pc.invert(pc.is_null(values, nan_is_null=pa.types.is_floating(values.type)))


# --- inside -----------------------------------------------------------------------------


def _is_coded(chunk: Chunk, name: str) -> bool:
    if chunk.frame.is_list(name):
        return False
    return pa.types.is_dictionary(one_array(chunk.column(name)).type)


def _open_paths(X: str | os.PathLike[str]) -> Source:
    label = repr(str(X))
    paths = _paths(Path(X))
    if not paths:
        raise InputError(f"no Parquet file found at {label}")
    others = [path for path in paths if file_format(path) != "parquet"]
    if not others:
        return ParquetSource(paths, label, folder=Path(X) if Path(X).is_dir() else None)
    if len(paths) > 1:
        raise InputError(f"{label} names several files; all must be Parquet, got {some(others)}")
    table = open_table(paths[0]).read()
    return FrameSource(lambda: iter([table]))


def _is_pattern(path: str | os.PathLike[str]) -> bool:
    return any(mark in str(path) for mark in PATTERN)


def _paths(path: Path) -> list[Path]:
    if path.is_dir():
        found = [p for ending in ("parquet", "pq") for p in path.rglob(f"*.{ending}")]
        saved = {folder for folder in {p.parent for p in found} - {path} if _is_artifact(folder)}
        found = [p for p in found if p.parent not in saved]
        return sorted(p for p in found if not p.name.startswith((".", "_")))
    if not path.exists() and _is_pattern(path):
        return sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if not path.exists():
        raise InputError(f"no such file: {str(path)!r}")
    return [path]


def _is_artifact(folder: Path) -> bool:
    """Whether a model was saved there, whose Parquet files are no rows of a table."""
    try:
        schema = json.loads((folder / "schema.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(schema, dict) and schema.get("format") == "catvec"


def _tables(path: Path, columns: list[str], told: Mapping[str, pa.Scalar]) -> Iterator[pa.Table]:
    """The rows of a file, and what is `told` of all of them where it has no such column.

    What cannot be read is told by its row group.
    """
    with readable(repr(str(path))):
        file = pq.ParquetFile(path)
    own = set(file.schema_arrow.names)
    read = [name for name in columns if name in own]
    beside = {name: one for name, one in told.items() if name not in own}
    for table in _own_tables(path, file, read):
        for name, one in beside.items():
            table = table.append_column(name, pa.repeat(one, len(table)))
        yield table


def _own_tables(path: Path, file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for group in range(file.num_row_groups):
        with readable(f"row group {group} of {str(path)!r}"):
            for batch in file.iter_batches(CHUNK_ROWS, [group], columns):
                waiting.append(batch)
                if sum(map(len, waiting)) >= CHUNK_ROWS:
                    yield _joined(waiting)
                    waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches).unify_dictionaries()


def _spooled(frames: Iterator[Any], folder: Path) -> tuple[list[Path], set[str]]:
    """Frames as Parquet files, a new one wherever types change; columns of a category type."""
    paths: list[Path] = []
    coded: set[str] = set()
    writer: pq.ParquetWriter | None = None
    names: tuple[str, ...] | None = None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for i, frame in enumerate(frames):
            chunk = Chunk(open_frame(frame), f"frame {i + 1}", 0)
            names = names or chunk.frame.names
            coded |= {name for name in names if _is_coded(chunk, name)}
            table = chunk.copied(dict.fromkeys(names))
            if writer is None or not writer.schema.equals(table.schema):
                if writer is not None:
                    writer.close()
                paths.append(folder / f"frames-{len(paths):05d}.parquet")
                writer = pq.ParquetWriter(paths[-1], table.schema, compression="zstd")
            writer.write_table(table)
    except OSError as error:
        raise InputError(
            f"could not write the frames to {str(folder)!r}: {error.strerror or error}"
        ) from error
    finally:
        if writer is not None:
            writer.close()
    if not paths:
        raise InputError("there are no frames to learn from")
    return paths, coded
