"""The text of CSV files as columns with types.

A CSV file says nothing about types, so all of a column is looked at, not only its first rows, and
`"007"` is text. At prediction the families of the training table decide instead, so that a column
reads there as it read in training.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from catvec.errors import InputError

__all__ = ["FLOAT", "MISSING_MARKS", "header", "read_texts", "typed"]

# What stands for a missing number, boolean or date in a CSV file, in any case. In a column of text
# only an empty field is missing: "NA" is Namibia, and "" in quotes is an empty text.
MISSING_MARKS = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nat")

INTEGER = r"^-?(0|[1-9][0-9]*)$"  # 007 is no number
FLOAT = r"^-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(inf|infinity)$"
FLOAT_WITH_COMMA = FLOAT.replace(r"\.", ",")
BLOCK = 1 << 20  # bytes of CSV read at a time


@dataclass(frozen=True)
class Header:
    """The first record of a CSV file.

    Attributes
    ----------
    names : list of str
        Of the columns.
    delimiter : str
        What stands between them.
    n_blank : int
        Lines before it that are empty.
    """

    names: list[str]
    delimiter: str
    n_blank: int


def header(label: str, stream: Callable[[], Any], delimiter: str | None) -> Header:
    """The names in the first record, and what stands between them, told where it is None."""
    with stream() as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        lines = enumerate(text)
        n_blank, first = next(((i, line) for i, line in lines if line.strip()), (0, ""))
        if not first:
            raise InputError(f"{label} is empty; the first line must name the columns")
        if delimiter is None:
            unquoted = re.sub(r'"[^"]*("|$)', "", first)
            delimiter = "," if "," in unquoted else max(",;\t|", key=unquoted.count)
        records = csv.reader(chain([first], (line for _, line in lines)), delimiter=delimiter)
        return Header(next(records), delimiter, n_blank)


def read_texts(stream: Callable[[], Any], first: Header, columns: list[str]) -> pa.Table:
    """The columns as text; a record longer than a block is tried again with longer blocks."""
    parse = pacsv.ParseOptions(
        delimiter=first.delimiter,
        newlines_in_values=True,
        ignore_empty_lines=len(first.names) > 1,  # in a table of one column it is a missing value
    )
    convert = pacsv.ConvertOptions(
        column_types={name: pa.large_string() for name in first.names},
        include_columns=columns,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    block = BLOCK
    while True:
        read = pacsv.ReadOptions(block_size=block, skip_rows=first.n_blank)
        try:
            with stream() as raw:
                return pacsv.read_csv(raw, read, parse, convert)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block >= 1 << 30:
                raise
            block *= 8


def typed(
    texts: pa.ChunkedArray, families: Collection[str] | None, *, comma: bool = False
) -> pa.Array:
    """A column of text as what it holds: numbers, booleans, dates, or text as a dictionary.

    With `comma` numbers may have one in place of the point, as where semicolons part the fields.
    """
    column = texts.combine_chunks()
    column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
    column = column.dictionary_encode()
    if families is not None and "text" in families:
        return column
    wanted = families or ()
    values = pc.utf8_trim_whitespace(column.dictionary)
    marks = pc.is_in(pc.utf8_lower(values), pa.array(MISSING_MARKS, pa.large_string()))
    values = pc.if_else(marks, pa.scalar(None, pa.large_string()), values)
    if comma and _all_match(values, FLOAT_WITH_COMMA):
        values = pc.replace_substring(values, ",", ".")
    # By its family first; where that does not fit, whoever takes the column will say so.
    for family in sorted(READERS, key=lambda f: f not in wanted):
        read = READERS[family](values, family in wanted)
        if read is not None:
            return read.take(column.indices)
    return column


def _numbers(values: pa.Array, forced: bool) -> pa.Array | None:
    """Texts as integers or floats; None if some are not, or if digits would be lost."""
    if values.null_count == len(values):
        return pa.nulls(len(values)) if forced or not len(values) else None
    if _all_match(values, r"^[+-]?[0-9]+$" if forced else INTEGER):
        bare = pc.replace_substring_regex(values, r"^\+", "")
        for kind in (pa.int64(), pa.uint64()):
            with contextlib.suppress(pa.ArrowInvalid):
                return bare.cast(kind)
        return None  # an identifier of twenty digits or more
    try:
        return values.cast(pa.float64()) if forced or _all_match(values, FLOAT) else None
    except pa.ArrowInvalid:
        return None


def _booleans(values: pa.Array, forced: bool) -> pa.Array | None:
    lower = pc.utf8_lower(values)
    pattern = r"^(true|false|0|1)$" if forced else r"^(true|false)$"
    if values.null_count == len(values) or not _all_match(lower, pattern):
        return None
    return pc.or_(pc.equal(lower, "true"), pc.equal(lower, "1"))


def _dates(values: pa.Array, forced: bool) -> pa.Array | None:
    del forced
    if values.null_count == len(values) or not _all_match(values, r"^\d{4}-\d\d-\d\d([T ].*)?$"):
        return None
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        with contextlib.suppress(pa.ArrowInvalid):
            return values.cast(kind)
    return None


READERS: dict[str, Callable[[pa.Array, bool], pa.Array | None]] = {
    "number": _numbers,
    "boolean": _booleans,
    "date": _dates,
}


def _all_match(values: pa.Array, pattern: str) -> bool:
    """Whether every value that is not missing matches."""
    return bool(pc.all(pc.match_substring_regex(values, pattern, ignore_case=True)).as_py())
