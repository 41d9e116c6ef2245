"""The combinations of a pair of columns as an Arrow table, and as a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from catvec.errors import CatvecError
from catvec.frames import FIRST, UNKNOWN, Pair
from catvec.vectors._column import ColumnVectors
from catvec.vectors._pairs import PairEffects
from catvec.vectors._parquet import (
    Lie,
    category_array,
    check_kinds,
    effect_columns,
    effect_names,
    float_field,
    float_kind,
    for_pandas,
    lie,
    list_array,
    read_floats,
)
from catvec.vectors._storage import Artifact

CHUNK = 65_536  # rows written or read at a time
KEYS = ("first", "second", "role")
CODES = ("first_code", "second_code")
ROLES = ("unknown", "other", "category")


def pair_section(pair: PairEffects, file: str) -> dict[str, Any]:
    """What ``schema.json`` says of a pair.

    Parameters
    ----------
    pair : PairEffects
    file : str
        Logical name of the pair's file.

    Returns
    -------
    dict
    """
    return {
        "name": pair.name,
        "columns": list(pair.columns),
        "n_combinations": len(pair),
        "file": file,
    }


def checked_pair_section(artifact: Artifact, section: object) -> dict[str, Any]:
    """A pair's section of the schema, after its entries were found to be of their types.

    Parameters
    ----------
    artifact : Artifact
    section : object
        As JSON gave it.

    Returns
    -------
    dict

    Raises
    ------
    ArtifactError
        If it is not what `pair_section` makes.
    """
    kinds = {"name": str, "columns": list, "n_combinations": int, "file": str}
    if not isinstance(section, dict) or any(
        not isinstance(section.get(name), kind) for name, kind in kinds.items()
    ):
        raise artifact.damage("its schema.json describes a pair wrongly")
    columns = section["columns"]
    if not all(isinstance(name, str) for name in columns) or section["name"] != "*".join(columns):
        raise artifact.damage(f"its schema.json gives the pair {section['name']!r} other columns")
    return section


def write_pair(pair: PairEffects, path: Path) -> None:
    """Write a pair as Parquet: a row by code.

    Parameters
    ----------
    pair : PairEffects
    path : Path

    Raises
    ------
    OSError
        If the disk refuses.
    """
    parts = _tables(pair)
    first = next(parts)
    note = {"catvec.pair": json.dumps(pair.columns), **(first.schema.metadata or {})}
    schema = first.schema.with_metadata(note)
    repeated = [*KEYS, *CODES]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated) as file:
        file.write_table(first.cast(schema))
        for part in parts:
            file.write_table(part.cast(schema))


def read_pair(
    artifact: Artifact,
    section: Mapping[str, Any],
    columns: Mapping[str, ColumnVectors],
    classes: list[Any] | None,
) -> PairEffects:
    """Read what `write_pair` wrote.

    Parameters
    ----------
    artifact : Artifact
    section : mapping
        The pair's section of the schema.
    columns : mapping of str to ColumnVectors
        The columns of the artifact.
    classes : list, optional
        The schema's classes.

    Returns
    -------
    PairEffects

    Raises
    ------
    ArtifactError
        If the file does not hold what the schema and the columns say.
    """
    path = artifact.verified_path(section["file"])
    try:
        first, second = (columns[name] for name in section["columns"])
        return _read_pair(path, section, (first, second), classes)
    except (Lie, CatvecError, pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise artifact.damage(
            f"the file of pair {section['name']!r} does not fit its schema ({error})"
        ) from error


def wide_pair_table(pair: PairEffects) -> pa.Table:
    """The known combinations as one Arrow table.

    Parameters
    ----------
    pair : PairEffects

    Returns
    -------
    pyarrow.Table
        The two columns by their names, ``count``, ``effect`` (or ``effect_<class>``) and
        ``confidence``.
    """
    numbers = {
        "count": pa.array(pair.counts),
        **effect_columns(pair.effects, pair.classes),
        "confidence": pa.array(pair.confidences),
    }
    names = _free_names(pair.columns, {"count", "confidence", *effect_names(pair.classes)})
    categories = _categories(pair, pair.pair.column_codes())
    return for_pandas(pa.table({**dict(zip(names, categories, strict=True)), **numbers}), names)


# --- writing ----------------------------------------------------------------------------


def _tables(pair: PairEffects) -> Iterator[pa.Table]:
    """All rows by code, some at a time; at least one table."""
    codes = [np.append(_RESERVED, part) for part in pair.pair.column_codes()]
    counts = np.append(_RESERVED, pair.counts)
    roles = np.repeat(np.arange(len(ROLES)), (1, 1, len(pair)))
    first, second = _categories(pair, codes)
    for start in range(0, pair.pair.n_codes, CHUNK):
        rows = slice(start, start + CHUNK)
        effects, confidences = (array[rows] for array in pair.by_code())
        names = pa.array(ROLES, pa.string())
        columns = {
            "first": first[rows],
            "second": second[rows],
            "first_code": pa.array(codes[0][rows]),
            "second_code": pa.array(codes[1][rows]),
            "role": pa.DictionaryArray.from_arrays(pa.array(roles[rows], pa.int32()), names),
            "count": pa.array(counts[rows], pa.int64()),
        }
        table = pa.table(columns)
        table = table.append_column(float_field("effect", effects), list_array(effects))
        of_rows = float_field("confidence", confidences), list_array(confidences)
        yield for_pandas(table.append_column(*of_rows), ("first", "second"))


_RESERVED = np.full(FIRST, UNKNOWN, np.int32)  # of the unknown and the other row


def _categories(pair: PairEffects, codes: Any) -> list[pa.Array]:
    """The categories of both columns for their codes."""
    vocabularies = (pair.first, pair.second)
    return [
        category_array(vocabulary).take(pa.array(of_column))
        for vocabulary, of_column in zip(vocabularies, codes, strict=True)
    ]


def _free_names(names: tuple[str, str], taken: set[str]) -> list[str]:
    """Names of a table's two first columns, apart from those of the others."""
    free: list[str] = []
    for name in names:
        while name in taken or name in free:
            name += "_category"
        free.append(name)
    return free


# --- reading ----------------------------------------------------------------------------


def _read_pair(
    path: Path,
    section: Mapping[str, Any],
    columns: tuple[ColumnVectors, ColumnVectors],
    classes: list[Any] | None,
) -> PairEffects:
    first, second = (column.vocabulary for column in columns)
    n_classes = len(classes) if classes is not None else None
    with pq.ParquetFile(path) as file:
        _check_types(file, section, n_classes)
        rows = file.read(columns=[*KEYS, *CODES, "count"])
        codes = _checked_rows(rows, section["n_combinations"])
        keys = codes[0].astype(np.int64) * second.n_codes + codes[1]
        counts = np.asarray(rows["count"])[FIRST:]
        pair = Pair(first.name, second.name, second.n_codes, keys, counts)
        effects = read_floats(file, "effect", len(rows), n_classes)
        confidences = read_floats(file, "confidence", len(rows), None)
    found = PairEffects(pair, first, second, effects, confidences, classes=classes)
    for name, said in zip(("first", "second"), _categories(found, codes), strict=True):
        if not rows[name].slice(FIRST).equals(pa.chunked_array([said])):
            lie(f"its {name!r} are not the categories of their codes")
    return found


def _check_types(file: pq.ParquetFile, section: Mapping[str, Any], n_classes: int | None) -> None:
    """Refuse a file of another pair, or of other columns or types."""
    schema = file.schema_arrow
    kinds = {
        **dict.fromkeys(CODES, pa.int32()),
        "count": pa.int64(),
        "effect": float_kind(n_classes),
        "confidence": pa.float32(),
    }
    check_kinds(schema, KEYS, kinds)
    written = json.loads((schema.metadata or {}).get(b"catvec.pair", b"null"))
    if written != section["columns"]:
        lie(f"it is the file of pair {written!r}")


def _checked_rows(rows: pa.Table, n_combinations: int) -> list[npt.NDArray[np.int32]]:
    """Codes of the combinations by column, after the rows were found to be in order."""
    if len(rows) != n_combinations + FIRST:
        lie(f"it has {len(rows)} rows, not {FIRST} and {n_combinations} combinations")
    if rows["role"].to_pylist() != [*ROLES[:FIRST], *ROLES[FIRST:] * n_combinations]:
        lie("its rows do not have their roles in order")
    if any(rows[name].null_count for name in (*CODES, "count")):
        lie("a code or a count is null")
    codes = [np.asarray(rows[name]) for name in CODES]
    if any((part[:FIRST] != UNKNOWN).any() for part in codes):
        lie("a row that is no combination has the code of a category")
    return [part[FIRST:] for part in codes]
