"""One column's rows as an Arrow table, and as the Parquet file of the artifact."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from catvec._packing import PackedRows
from catvec.errors import CatvecError
from catvec.frames import UNKNOWN, HashedVocabulary, Vocabulary
from catvec.vectors._by_code import all_finite
from catvec.vectors._column import ColumnVectors
from catvec.vectors._packed_file import SCALES, effects_section, packed_effects, packed_rows
from catvec.vectors._precision import PRECISIONS, StoredNumbers
from catvec.vectors._storage import Artifact

CHUNK = 65_536  # rows written or read at a time, so that a large table needs no second copy
KEYS = ("category", "family", "role", "count")
HASH_FUNCTION = "murmurhash3_x86_32"
"""Of hashed columns, with the seeds 0, 1, ...; an artifact says which function it was made with."""


def column_section(column: ColumnVectors, file: str) -> dict[str, Any]:
    """What ``schema.json`` says of a column.

    Parameters
    ----------
    column : ColumnVectors
    file : str
        Logical name of the column's file.

    Returns
    -------
    dict
    """
    vocabulary = column.vocabulary
    hashed = {}
    if isinstance(vocabulary, HashedVocabulary):
        sizes = {"n_buckets": vocabulary.n_buckets, "n_hashes": vocabulary.n_hashes}
        hashed = {"hashed": {**sizes, "function": HASH_FUNCTION}}
    precision = {} if column.precision == "float32" else {"precision": column.precision}
    return {
        "name": column.name,
        "families": list(vocabulary.families),
        "n_categories": len(column),
        "n_rare": sum(map(len, vocabulary.rare_counts)),
        "embedding_dim": column.embedding_dim,
        "file": file,
        **hashed,
        **precision,
        **effects_section(column),
        **({} if column.list_weights is None else {"list_weights": column.list_weights}),
    }


def write_column(column: ColumnVectors, path: Path) -> None:
    """Write a column as Parquet: a row by code, then the rare values with the unknown's numbers.

    Parameters
    ----------
    column : ColumnVectors
    path : Path

    Raises
    ------
    OSError
        If the disk refuses.
    """
    parts = list_tables(column, as_stored=True)
    first = next(parts)
    of_pandas = first.schema.metadata or {}
    schema = first.schema.with_metadata({"catvec.column": column.name, **of_pandas})
    plain = ["family", "role"]  # the other columns hardly repeat themselves
    if column.stored_effects[0].precision == "int8":
        plain += ["effect", "confidence"]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=plain) as file:
        file.write_table(first.cast(schema))
        for part in parts:
            file.write_table(part.cast(schema))


def read_column(
    artifact: Artifact,
    section: Mapping[str, Any],
    classes: list[Any] | None,
    packed: Mapping[str, npt.NDArray[Any]],
) -> ColumnVectors:
    """Read what `write_column` wrote.

    Parameters
    ----------
    artifact : Artifact
    section : mapping
        The column's section of the schema.
    classes : list, optional
        The schema's classes.
    packed : mapping of str to ndarray
        What `packed_arrays` gave of all columns.

    Returns
    -------
    ColumnVectors

    Raises
    ------
    ArtifactError
        If the file does not hold what the schema says.
    """
    name = section["name"]
    path = artifact.verified_path(section["file"])
    try:
        return _read_column(path, section, classes, packed)
    except (Lie, CatvecError, pa.ArrowException, OSError, KeyError) as error:
        raise artifact.damage(
            f"the file of column {name!r} does not fit its schema ({error})"
        ) from error


def list_tables(column: ColumnVectors, *, as_stored: bool = False) -> Iterator[pa.Table]:
    """All rows of a column as Arrow tables of some rows each, the vector as one list.

    Parameters
    ----------
    column : ColumnVectors
    as_stored : bool, default=False
        Vectors in the type in which they are kept, and ``scale`` beside them where they are to be
        multiplied, or none if they are packed; by default float32.

    Returns
    -------
    iterator of pyarrow.Table
        ``category``, ``family``, ``role``, ``count``, ``effect`` (float, or a list where there is
        one by class), ``confidence``, ``vector`` (list); of a column with several hash functions
        ``importance`` (list). At least one table.
    """
    keys = column.vocabulary.to_table()
    effects, confidences = column.stored_effects
    stored = column.stored
    for start in range(0, keys.num_rows, CHUNK):
        part = keys.slice(start, CHUNK)
        lines = _lines(column, start, start + part.num_rows)
        named = {"effect": effects[lines], "confidence": confidences[lines]}
        if not as_stored:
            named["vector"] = stored[lines]
        elif isinstance(stored, StoredNumbers):
            named["vector"] = stored.values[lines]
            if stored.scales is not None:
                named["scale"] = stored.scales[lines]
        if column.importances is not None:
            named["importance"] = column.importances[start : start + part.num_rows]
        for name, values in named.items():
            part = part.append_column(float_field(name, values), list_array(values))
        yield for_pandas(part)


def wide_table(column: ColumnVectors) -> pa.Table:
    """All rows of a column as one Arrow table, with a column for each dimension.

    Parameters
    ----------
    column : ColumnVectors

    Returns
    -------
    pyarrow.Table
        ``category``, ``role``, ``count``, ``effect`` (or ``effect_<class>``), ``confidence``,
        ``vector_00``, ...
    """
    keys = column.vocabulary.to_table()
    lines = _lines(column, 0, keys.num_rows)
    vectors, effects, confidences = (array[lines] for array in column.by_code())
    columns = {
        "category": keys["category"],
        "role": keys["role"].cast(pa.string()),
        "count": keys["count"],
    }
    columns |= effect_columns(effects, column.classes)
    columns["confidence"] = pa.array(confidences)
    for i, values in zip(dimension_names(column.embedding_dim), vectors.T, strict=True):
        columns[f"vector_{i}"] = pa.array(np.ascontiguousarray(values))
    return for_pandas(pa.table(columns))


def effect_names(classes: tuple[Any, ...] | None) -> list[str]:
    """``effect``, or ``effect_<class>`` for each class."""
    return ["effect"] if classes is None else [f"effect_{name}" for name in classes]


def effect_columns(
    effects: npt.NDArray[np.float32], classes: tuple[Any, ...] | None
) -> dict[str, pa.Array]:
    """Effects as Arrow columns, one for each of `effect_names`."""
    by_class = effects.reshape(len(effects), -1).T
    return {
        name: pa.array(np.ascontiguousarray(values))
        for name, values in zip(effect_names(classes), by_class, strict=True)
    }


def category_array(vocabulary: Vocabulary) -> pa.Array:
    """Categories by code, as the column's file writes them; null for unknown and missing."""
    categories = vocabulary.to_table()["category"].slice(0, vocabulary.n_codes)
    return categories.combine_chunks()


def dimension_names(width: int) -> list[str]:
    """``00``, ``01``, ...: equally long, so that they sort."""
    digits = max(2, len(str(width - 1)))
    return [f"{i:0{digits}d}" for i in range(width)]


# --- writing ----------------------------------------------------------------------------


def _lines(column: ColumnVectors, start: int, stop: int) -> Any:
    """Rows of the arrays for rows of the vocabulary's table; rare values have the unknown's."""
    n_codes = column.vocabulary.n_codes
    if stop <= n_codes:
        return slice(start, stop)
    codes = np.arange(start, stop)
    codes[codes >= n_codes] = UNKNOWN
    return codes


def for_pandas(table: pa.Table, names: Sequence[str] = ("category",)) -> pa.Table:
    """Have pandas read integer and boolean categories as nullable types, not floats and objects."""
    kinds = {name: _NULLABLE.get(str(table.schema.field(name).type)) for name in names}
    columns = [
        {
            "name": name,
            "field_name": name,
            "pandas_type": kind.lower(),
            "numpy_type": kind,
            "metadata": None,
        }
        for name, kind in kinds.items()
        if kind is not None
    ]
    if not columns:
        return table
    note = {"index_columns": [], "column_indexes": [], "columns": columns}
    return table.replace_schema_metadata({"pandas": json.dumps(note)})


_NULLABLE = {"int64": "Int64", "uint64": "UInt64", "bool": "boolean"}


def float_kind(width: int | None, precision: str = "float32") -> pa.DataType:
    """A float, or a list of `width` floats; or of what stands for them."""
    kind = pa.from_numpy_dtype(np.dtype(precision))
    if width is None:
        return kind
    # Arrow cannot write fixed-size lists of size 0 to Parquet.
    return pa.list_(kind, width) if width else pa.list_(kind)


def float_field(name: str, values: npt.NDArray[Any]) -> pa.Field:
    """The field of `list_array`."""
    width = values.shape[1] if values.ndim == 2 else None
    return pa.field(name, float_kind(width, str(values.dtype)))


def list_array(values: npt.NDArray[Any]) -> pa.Array:
    """A vector as floats, a matrix as one list by row."""
    if values.ndim == 1:
        return pa.array(values)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.shape[1] == 0:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(values) + 1, np.int32)), flat)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


# --- reading ----------------------------------------------------------------------------


class Lie(Exception):
    """The file is not what the schema says."""


def lie(what: str) -> NoReturn:
    """Say what the file is not; its reader makes it damage of the artifact."""
    raise Lie(what)


def _read_column(
    path: Path,
    section: Mapping[str, Any],
    classes: list[Any] | None,
    packed: Mapping[str, npt.NDArray[Any]],
) -> ColumnVectors:
    with pq.ParquetFile(path) as file:
        _check_types(file, section, classes)
        keys = file.read(columns=list(KEYS))
        vocabulary = _vocabulary(keys, section)
        _check_vocabulary(vocabulary, keys, section)
        n = vocabulary.n_codes
        width, n_classes = section["embedding_dim"], len(classes) if classes is not None else None
        precision = section.get("precision", "float32")
        stored: StoredNumbers | PackedRows
        if precision == PackedRows.precision:
            stored = packed_rows(packed, section["file"], n)
            if not stored.fits(n, width):
                lie(f"its packed vectors are not {n} rows of {width}")
        else:
            scales = read_floats(file, "scale", n, None) if precision == "int8" else None
            stored = StoredNumbers(read_floats(file, "vector", n, width, precision), scales)
        effects = read_floats(file, "effect", n, n_classes)
        confidences = read_floats(file, "confidence", n, None)
        importances = None
        if "importance" in file.schema_arrow.names:
            importances = read_floats(file, "importance", n, section["hashed"]["n_hashes"])
    told: Sequence[Any] = (effects, confidences)
    if "effect_scale" in section:
        vocabulary, told = vocabulary.compact(), packed_effects(section, effects, confidences)
    return ColumnVectors(
        vocabulary,
        stored,
        *told,
        classes=classes,
        importances=importances,
        list_weights=section.get("list_weights"),
    )


def _vocabulary(keys: pa.Table, section: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary that a column's rows are by."""
    hashed = section.get("hashed")
    if hashed is None:
        return Vocabulary.from_table(section["name"], keys)
    if hashed["function"] != HASH_FUNCTION:
        lie(f"it is hashed by {hashed['function']!r}, not by {HASH_FUNCTION!r}")
    sizes = hashed["n_buckets"], hashed["n_hashes"]
    return HashedVocabulary.from_hashed_table(
        section["name"], keys, *sizes, tuple(section["families"])
    )


def _check_types(
    file: pq.ParquetFile, section: Mapping[str, Any], classes: list[Any] | None
) -> None:
    """Refuse a file of another column, or of other columns, types or widths."""
    schema = file.schema_arrow
    wanted = {
        "count": pa.int64(),
        "effect": float_kind(len(classes) if classes is not None else None),
        "confidence": pa.float32(),
    }
    precision = section.get("precision", "float32")
    if precision != PackedRows.precision:
        wanted["vector"] = float_kind(section["embedding_dim"], precision)
    if precision == "int8":
        wanted["scale"] = pa.float32()
    if (n_hashes := section.get("hashed", {}).get("n_hashes", 1)) > 1 and section["embedding_dim"]:
        wanted["importance"] = float_kind(n_hashes)
    check_kinds(schema, KEYS, wanted)
    written = (schema.metadata or {}).get(b"catvec.column", b"").decode()
    if written != section["name"]:
        lie(f"it is the file of column {written!r}")


def check_kinds(schema: pa.Schema, names: Sequence[str], kinds: Mapping[str, pa.DataType]) -> None:
    """Refuse a file without these columns, or with another type for one of `kinds`."""
    missing = [name for name in (*names, *kinds) if name not in schema.names]
    if missing:
        lie(f"it lacks {missing}")
    for name, kind in kinds.items():
        if not _same_kind(schema.field(name).type, kind):
            lie(f"its {name!r} is {schema.field(name).type}, not {kind}")


def _same_kind(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether two types agree; the name that Parquet gives to a list's items does not count."""
    if pa.types.is_fixed_size_list(wanted):
        same_size = pa.types.is_fixed_size_list(found) and found.list_size == wanted.list_size
        return bool(same_size and found.value_type == wanted.value_type)
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(found) and found.value_type == wanted.value_type)
    return bool(found == wanted)


def _check_vocabulary(vocabulary: Vocabulary, keys: pa.Table, section: Mapping[str, Any]) -> None:
    n_rare = keys.num_rows - vocabulary.n_codes
    found = (len(vocabulary), n_rare, list(vocabulary.families))
    said = (section["n_categories"], section["n_rare"], list(section["families"]))
    if found != said:
        lie(f"it has (categories, rare values, families) {found}, not {said}")
    if keys["count"].null_count or bool((vocabulary.counts < 0).any()):
        lie("a count is null or negative")


def read_floats(
    file: pq.ParquetFile, name: str, n: int, width: int | None, precision: str = "float32"
) -> npt.NDArray[Any]:
    """The first `n` rows of a column of floats, or of lists of `width` floats; read-only."""
    result = np.zeros(n if width is None else (n, width), precision)
    start = 0
    for batch in file.iter_batches(CHUNK, columns=[name]):
        rows = min(batch.num_rows, n - start)
        if width == 0 or rows <= 0:
            break
        array = batch.column(0).slice(0, rows)
        values = array if width is None else array.flatten()
        if array.null_count or values.null_count:
            lie(f"a row of its {name!r} is null")
        part = values.to_numpy()
        if not all_finite(part):
            lie(f"a number of its {name!r} is not finite")
        result[start : start + rows] = part.reshape(result[start : start + rows].shape)
        start += rows
    result.flags.writeable = False
    return result


def checked_section(artifact: Artifact, section: object) -> dict[str, Any]:
    """A column's section of the schema, after its entries were found to be of their types.

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
        If it is not what `column_section` makes.
    """
    kinds = {
        "name": str,
        "families": list,
        "n_categories": int,
        "n_rare": int,
        "embedding_dim": int,
        "file": str,
    }
    if not isinstance(section, dict) or any(
        not isinstance(section.get(name), kind) for name, kind in kinds.items()
    ):
        raise artifact.damage("its schema.json describes a column wrongly")
    hashed = section.get("hashed", {"n_buckets": 1, "n_hashes": 1, "function": ""})
    sizes = [hashed.get(n) for n in ("n_buckets", "n_hashes")] if isinstance(hashed, dict) else []
    if not sizes or not all(isinstance(n, int) and n >= 1 for n in sizes):
        raise artifact.damage("its schema.json describes a hashed column wrongly")
    if section.get("precision", "float32") not in (*PRECISIONS, PackedRows.precision):
        raise artifact.damage("its schema.json gives vectors an unknown precision")
    scales = [section.get(name, 0.0) for name in SCALES]
    if not all(type(scale) is float and scale >= 0 for scale in scales):
        raise artifact.damage("its schema.json gives effects wrong scales")
    if not isinstance(section.get("list_weights"), str | None):
        raise artifact.damage("its schema.json names weights of lists wrongly")
    if section["embedding_dim"] < 0:
        raise artifact.damage("its schema.json gives a column a negative width")
    return section
