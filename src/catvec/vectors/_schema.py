"""``schema.json``: what it must say, what it may hold, and the checksum over it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from catvec import __version__
from catvec._checks import some
from catvec.errors import ArtifactError, ArtifactVersionError, ParameterError

FORMAT = "catvec"
FORMAT_VERSION = 3
"""The newest that is read. Written is the oldest that suits: version 2 knows hashed columns
and vectors in other precisions, version 3 packed ones and effects in eight bits."""
NEW_IN = {2: {"hashed", "precision"}, 3: {"effect_scale"}}
SCHEMA = "schema.json"
RESERVED = ("format", "format_version", "catvec_version", "files", "checksum")


def parsed_schema(folder: Path, raw: bytes) -> dict[str, Any]:
    """The content of a ``schema.json`` of catvec, of whatever version."""
    shown = repr(str(folder / SCHEMA))
    try:
        schema = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{shown} is damaged or foreign: it is not valid JSON") from error
    if not isinstance(schema, dict) or schema.get("format") != FORMAT:
        raise ArtifactError(f"{shown} is not of catvec: it lacks the entry format: {FORMAT!r}")
    return schema


def checked_schema(folder: Path, raw: bytes) -> dict[str, Any]:
    """The content of a ``schema.json`` of a version we read, with its checksum found right."""
    schema = parsed_schema(folder, raw)
    shown = repr(str(folder))
    version = schema.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ArtifactError(f"the artifact {shown} is damaged: its format version is {version!r}")
    if version > FORMAT_VERSION:
        raise ArtifactVersionError(
            f"the artifact {shown} was saved by catvec {schema.get('catvec_version')} in format"
            f" {version}; this catvec reads formats up to {FORMAT_VERSION}: upgrade catvec"
        )
    if schema.get("checksum") != checksum(schema) or not isinstance(schema.get("files"), dict):
        raise ArtifactError(
            f"the artifact {shown} is damaged: its {SCHEMA} was changed after it was saved;"
            " restore it or save it again"
        )
    return schema


def document(sections: dict[str, Any], entries: dict[str, dict[str, Any]]) -> bytes:
    """The bytes of ``schema.json``."""
    schema = {
        "format": FORMAT,
        "format_version": _version(sections),
        "catvec_version": __version__,
        **sections,
        "files": entries,
    }
    schema["checksum"] = checksum(schema)
    text = json.dumps(schema, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    return text.encode("utf-8", "surrogatepass")


def _version(sections: Mapping[str, Any]) -> int:
    """The oldest version whose readers understand these sections."""
    columns = sections.get("columns")
    entries = {
        name
        for column in (columns if isinstance(columns, list) else [])
        if isinstance(column, dict)
        for name in column
    }
    return max([1, *(version for version, names in NEW_IN.items() if names & entries)])


def checksum(schema: dict[str, Any]) -> str:
    """SHA-256 of a schema without its checksum, however it is spaced or ordered."""
    rest = {key: value for key, value in schema.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def checked_sections(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of the schema as JSON holds them, none in the place of ours."""
    taken = [name for name in schema if name in RESERVED]
    if taken:
        raise ParameterError(f"`schema` must not set {some(taken)}: the format sets them")
    return {name: jsonable(section, name) for name, section in schema.items()}


def jsonable(value: Any, where: str) -> Any:
    """A copy of `value` as JSON holds it, so that saving and loading change nothing further.

    Parameters
    ----------
    value : object
        None, booleans, numbers, texts, sequences and mappings with text keys, NumPy ones too.
    where : str
        What it is, for the message.

    Returns
    -------
    object

    Raises
    ------
    ParameterError
        If JSON cannot hold it.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _NOT_FINITE[str(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: jsonable(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise ParameterError(
        f"`{where}` must be numbers, texts, booleans, None, or lists and dicts (with text keys) of"
        f" them, got {type(value).__name__}"
    )


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
