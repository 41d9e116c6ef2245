"""Where a command reads and writes: what would fail after its work is refused before it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from catvec.cli._console import Output
from catvec.errors import InputError
from catvec.frames._files import TableFile, check_writable, open_table
from catvec.frames._source import check_apart, open_file
from catvec.vectors._storage import refuse_foreign

STREAM = "-"
OURS = "column_00.parquet"  # a file of an artifact, of those that a reader of folders would read


def started(quiet: bool, json: bool, option: str, rows_out: str | None) -> Output:
    """The output of a command that writes rows; refuses two results on standard output.

    Parameters
    ----------
    quiet, json : bool
        As the options of these names.
    option : str
        The one that says where the rows go.
    rows_out : str or None
        What it says.

    Returns
    -------
    Output

    Raises
    ------
    InputError
        If the rows and JSON would both go to standard output.
    """
    if json and rows_out == STREAM:
        raise InputError(f"--json and {option} - would both write to standard output; choose one")
    return Output(quiet, json, rows_out=rows_out == STREAM)


def open_input(table: str, out: str | None = None, *, model: str | None = None) -> TableFile:
    """Open the table of a command, after a look at where its results will go."""
    if out is not None and out != STREAM:
        check_writable(Path(out))
        check_out(out, table=table, model=model)
    if table == STREAM:
        return open_table(sys.stdin.buffer, "standard input")
    return open_file(table)


def check_out(out: str, *, table: str = STREAM, model: str | None = None) -> None:
    """Refuse to write over what a command reads or writes besides: a table, a model's files."""
    _refuse_stream(out)
    check_apart(out, table)
    if model is not None and Path(out).resolve().is_relative_to(Path(model).resolve()):
        raise InputError(f"{out!r} is the model {model!r} or lies in it; write to another place")


def check_model_out(path: str, table: str = STREAM) -> None:
    """Refuse a folder where a model cannot be saved, or where its files would be read as tables.

    Parameters
    ----------
    path : str
        The folder.
    table : str, optional
        What the command reads.

    Raises
    ------
    InputError
        If it is not there to be written to, or is in a folder that is read.
    ArtifactError
        If it holds other files.
    """
    _refuse_stream(path)
    check_apart(Path(path, OURS), table)
    folder = Path(path)
    above = next((place for place in (folder, *folder.parents) if place.exists()), None)
    if above is not None and not above.is_dir():
        raise InputError(f"cannot save to {path!r}: {str(above)!r} is a file, not a folder")
    if above is not None and not os.access(above, os.W_OK):
        raise InputError(f"cannot save to {path!r}: {str(above)!r} is read-only")
    if above == folder:
        refuse_foreign(folder)


def _refuse_stream(out: str) -> None:
    if out == STREAM:
        raise InputError("--out - is for rows, and this command writes files; give --out a path")
