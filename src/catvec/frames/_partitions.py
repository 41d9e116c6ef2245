"""Columns that stand in the names of folders, ``country=CH/part-0.parquet``, as Hive has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from catvec.frames._column import plain
from catvec.frames._csv import typed

MISSING = "__HIVE_DEFAULT_PARTITION__"


def partition_columns(folder: Path, paths: Sequence[Path]) -> dict[str, pa.Array]:
    """What the folders between a folder and its files say, as ``column=value``.

    Parameters
    ----------
    folder : Path
        That is read.
    paths : sequence of Path
        The files in it.

    Returns
    -------
    dict of str to pyarrow.Array
        By column a value for each file, null where none is told. The names of folders are texts,
        whose types are those that a CSV file with these values would have.
    """
    told = [_pairs(path.parent.relative_to(folder)) for path in paths]
    names = dict.fromkeys(name for pairs in told for name in pairs)
    columns = {}
    for name in names:
        texts = pa.chunked_array([pa.array([pairs.get(name) for pairs in told], pa.large_string())])
        columns[name] = plain(typed(texts, None))
    return columns


def _pairs(folders: Path) -> dict[str, str | None]:
    parts = [part.partition("=") for part in folders.parts if "=" in part]
    return {unquote(name): None if value == MISSING else unquote(value) for name, _, value in parts}
