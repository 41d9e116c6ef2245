"""Tables in CSV, Parquet and Arrow files, told by the ending; written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import difflib
import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._csv import header, read_texts, typed
from catvec.frames._frame import named_columns

ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
KNOWN_ENDINGS = ".csv, .tsv, .parquet, .arrow or .feather"


class TableFile:
    """A table in a file or a stream, opened: its column names are known, its rows not yet read.

    Attributes
    ----------
    label : str
        What to call it in a message.
    names : tuple of str
        The columns, in the order of the file.
    """

    def __init__(self, label: str, names: Sequence[str], read: Callable[..., pa.Table]) -> None:
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise InputError(f"{label} names a column more than once: {some(twice)}")
        if not names:
            raise InputError(f"{label} has no columns")
        self.label, self.names, self._read = label, tuple(names), read

    def check(self, columns: Sequence[str]) -> None:
        """Refuse names of columns that are not there.

        Parameters
        ----------
        columns : sequence of str
            The names.

        Raises
        ------
        InputError
            For the first one that is not there; it says which ones are close.
        """
        for name in columns:
            if name not in self.names:
                close = difflib.get_close_matches(name, self.names, n=3, cutoff=0.6)
                close = close or [n for n in self.names if n.lower() == name.lower()]
                hint = f"did you mean {some(close)}?" if close else f"it has {some(self.names)}"
                raise InputError(f"no column {name!r} in {self.label}; {hint}")

    def read(
        self,
        columns: Sequence[str] | None = None,
        *,
        families: Mapping[str, Collection[str]] | None = None,
    ) -> pa.Table:
        """Read the rows.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns, in which order; by default all.
        families : mapping of str to collection of str, optional
            Families of keys ("boolean", "number", "date", "text") that a column held in training.
            CSV files are read by them; where a column does not fit, and where none is given, by
            what the column holds. Other files know their types.

        Returns
        -------
        pyarrow.Table
            Text columns of a CSV file are dictionaries.

        Raises
        ------
        InputError
            If a column is not there, or the file is damaged.
        """
        columns = list(self.names if columns is None else columns)
        self.check(columns)
        with readable(self.label):
            table: pa.Table = self._read(columns, families or {})
        return table.select(columns)


def open_table(source: str | os.PathLike[str] | BinaryIO, label: str | None = None) -> TableFile:
    """Open a table for reading.

    Parameters
    ----------
    source : path, or binary stream
        A file, whose ending tells its format (.csv and .tsv, also with .gz; .parquet, .pq; .arrow,
        .feather, .ipc), or a stream of CSV, which is read into memory.
    label : str, optional
        What to call it in a message; by default its path.

    Returns
    -------
    TableFile

    Raises
    ------
    InputError
        If there is no such file, its ending is not known, it is damaged, or two columns have one
        name.
    """
    if not isinstance(source, str | os.PathLike):
        content = source.read()
        with readable(label or "the stream"):
            return _open_csv(label or "the stream", lambda: pa.BufferReader(content), None)
    path = Path(source)
    label = label or repr(str(path))
    kind = file_format(path)
    if not path.exists():
        raise InputError(f"no such file: {label}")
    if path.is_dir():
        raise InputError(f"{label} is a folder; name a file")
    with readable(label):
        if kind == "parquet":
            return _open_parquet(label, path)
        if kind == "arrow":
            return _open_arrow(label, path)
        delimiter, packed = _csv_form(path)
        return _open_csv(label, lambda: pa.input_stream(str(path), compression=packed), delimiter)


def file_format(path: str | os.PathLike[str]) -> str:
    """The format of a file by its ending.

    Parameters
    ----------
    path : str or path-like
        Its name, in whatever case.

    Returns
    -------
    {"csv", "parquet", "arrow"}

    Raises
    ------
    InputError
        If the ending is not known.
    """
    name = Path(path).name.lower()
    for ending, kind in ENDINGS.items():
        if name.endswith(ending):
            return kind
    raise InputError(f"{str(path)!r} must end in {KNOWN_ENDINGS}, which tells its format")


def write_table(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write a table in the format that the file's ending tells; all or nothing.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    path : str or path-like
        The file; one that is there is replaced in one step at the end. Missing values are empty
        fields in CSV.

    Raises
    ------
    InputError
        If the ending is not known or the disk refuses; what was there is then unchanged.
    """
    write_tables(iter([table]), path)


def write_tables(tables: Iterator[pa.Table], path: str | os.PathLike[str]) -> int:
    """Write tables one after the other into a file, as `write_table` writes one.

    Parameters
    ----------
    tables : iterator of pyarrow.Table
        At least one; all with the columns of the first, whose types the others are cast to.
    path : str or path-like
        The file.

    Returns
    -------
    int
        Rows that were written.

    Raises
    ------
    InputError
        As `write_table`.
    """
    path = Path(path)
    kind = file_format(path)
    with replacing(path) as temporary, contextlib.ExitStack() as stack:
        first = next(tables)
        if kind == "csv":
            delimiter, packed = _csv_form(path)
            stream = stack.enter_context(pa.output_stream(str(temporary), compression=packed))
            return write_csv(chain([first], tables), stream, delimiter or ",")
        if kind == "parquet":
            import pyarrow.parquet as pq

            with _writable(path):
                writer = pq.ParquetWriter(temporary, first.schema, compression="zstd")
        else:
            sink = stack.enter_context(pa.OSFile(str(temporary), "wb"))
            writer = pa.ipc.new_file(sink, first.schema)
        n_rows = 0
        with writer:
            for table in chain([first], tables):
                with _writable(path):
                    writer.write_table(table.cast(first.schema))
                n_rows += len(table)
        return n_rows


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """What Arrow says about a table that cannot be written."""
    try:
        yield
    except pa.ArrowException as error:
        raise InputError(f"the rows cannot be written to {str(path)!r}: {error}") from error


def write_csv(tables: Iterable[pa.Table], stream: Any, delimiter: str = ",") -> int:
    """Write tables one after the other as CSV into a binary stream.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        At least one. Missing values become empty fields, empty texts ``""``.
    stream : binary stream
        Where to.
    delimiter : str, default=","
        Between two fields.

    Returns
    -------
    int
        Rows that were written.

    Raises
    ------
    InputError
        If a column holds what CSV cannot, such as lists.
    """
    options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="needed")
    n_rows = 0
    try:
        for table in tables:
            pacsv.write_csv(table, stream, options)
            n_rows += len(table)
            options.include_header = False
        return n_rows
    except pa.ArrowInvalid as error:
        raise InputError(f"the rows cannot be written as CSV: {error}") from error


def file_digest(path: Path) -> str:
    """A hash of a file, which may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: Path, error: type[Exception] = InputError) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place at the end, or is removed.

    Parameters
    ----------
    path : Path
        The file to write.
    error : type of exception, default=InputError
        What to raise if the disk refuses.

    Yields
    ------
    Path
        The temporary file, empty.

    Raises
    ------
    error
        If the disk refuses.
    """
    temporary = path.with_name(f".{secrets.token_hex(6)}.catvec.tmp")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as refusal:
        reason = (refusal.strerror or str(refusal)).rstrip(".")
        raise error(f"could not write {str(path)!r}: {reason}") from refusal
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> str:
    """Refuse a file that could not be written, before the work whose result it takes.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    {"csv", "parquet", "arrow"}
        Its format.

    Raises
    ------
    InputError
        If its ending is not known, it is a folder, or its folder is absent or read-only.
    """
    kind = file_format(path)
    if path.is_dir():
        raise InputError(f"could not write {str(path)!r}: it is a folder")
    probe = path.with_name(f".{secrets.token_hex(6)}.catvec.tmp")
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise InputError(f"could not write {str(path)!r}: {error.strerror or error}") from error
    return kind


# --- the formats ------------------------------------------------------------------------


def _open_parquet(label: str, path: Path) -> TableFile:
    import pyarrow.parquet as pq

    # Not read_table, which takes the names of folders such as "year=2013" for columns.
    file = pq.ParquetFile(path)
    names = named_columns(file.schema_arrow.names)

    def read(columns: list[str], families: object) -> pa.Table:
        del families
        return file.read(columns)

    return TableFile(label, names, read)


def _open_arrow(label: str, path: Path) -> TableFile:
    memory = pa.memory_map(str(path))
    try:
        reader: Any = pa.ipc.open_file(memory)
    except pa.ArrowInvalid:
        memory.seek(0)
        reader = pa.ipc.open_stream(memory)

    def read(columns: list[str], families: object) -> pa.Table:
        del columns, families  # the memory is mapped: what is not used costs nothing
        return reader.read_all()

    return TableFile(label, named_columns(reader.schema.names), read)


def _csv_form(path: Path) -> tuple[str | None, str | None]:
    """The delimiter and the compression that a name says, in whatever case."""
    packed = path.suffix.lower() == ".gz"
    ending = (path.with_suffix("") if packed else path).suffix.lower()
    return "\t" if ending == ".tsv" else None, "gzip" if packed else None


def _open_csv(label: str, stream: Callable[[], Any], delimiter: str | None) -> TableFile:
    first = header(label, stream, delimiter)

    def read(columns: list[str], families: Mapping[str, Collection[str]]) -> pa.Table:
        table = read_texts(stream, first, columns)
        arrays = {
            name: typed(table[name], families.get(name), comma=first.delimiter == ";")
            for name in columns  # one by one, so that the texts of one column live at a time
        }
        return pa.table(arrays)

    # Before the columns pandas and R write the names of the rows, mostly their numbers.
    named = first.names[1:] if first.names[0] == "" else first.names
    return TableFile(label, named or first.names, read)


@contextlib.contextmanager
def readable(label: str) -> Iterator[None]:
    """What Arrow and the system say about a file that cannot be read, in one line."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f"{label} is not UTF-8 text; convert it to UTF-8") from error
    except (pa.ArrowException, OSError, EOFError, csv.Error) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        reason = reason if len(reason) <= 200 else f"{reason[:199]}…"
        if "UTF8" in reason:
            reason = "it is not UTF-8 text; convert it to UTF-8"
        raise InputError(f"{label} cannot be read: {reason}") from error
