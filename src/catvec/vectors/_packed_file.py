"""What an artifact holds of packed columns: the file of their vectors, and how effects are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from catvec._packing import Coordinates, PackedRows
from catvec.vectors._column import ColumnVectors
from catvec.vectors._precision import CountedConfidences, StoredNumbers

PACKED = "packed.safetensors"  # the packed vectors of all columns
ARRAYS = ("bits", "lows", "widths", "step", "directions", "center")  # of each column
SCALES = ("effect_scale", "confidence_scale", "strength")  # in the sections of packed columns


def packed_arrays(column: ColumnVectors, file: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of packed vectors for `PACKED`, by name; none of others.

    Parameters
    ----------
    column : ColumnVectors
    file : str
        Logical name of the column's file.

    Returns
    -------
    dict of str to ndarray
    """
    rows = column.stored
    if not isinstance(rows, PackedRows):
        return {}
    arrays = rows.coordinates.arrays() | {"directions": rows.directions, "center": rows.center}
    return {f"{file}.{name}": arrays[name] for name in ARRAYS}


def packed_rows(packed: Mapping[str, npt.NDArray[Any]], file: str, n: int) -> PackedRows:
    """The packed vectors of a column with `n` codes, of what `packed_arrays` gave.

    Raises
    ------
    KeyError
        If an array is missing.
    """
    bits, lows, widths, step, *of_rows = (packed[f"{file}.{name}"] for name in ARRAYS)
    return PackedRows(Coordinates(bits, lows, widths, step, range(n)), *of_rows)


def effects_section(column: ColumnVectors) -> dict[str, float]:
    """What the section of a packed column says of its effects; nothing of others."""
    effects, confidences = column.stored_effects
    if effects.scales is None:
        return {}
    section = {"effect_scale": float(effects.scales)}
    if isinstance(confidences, CountedConfidences):
        return section | {"strength": confidences.strength}
    assert confidences.scales is not None
    return section | {"confidence_scale": float(confidences.scales)}


def packed_effects(
    section: Mapping[str, Any],
    effects: npt.NDArray[np.float32],
    confidences: npt.NDArray[np.float32],
) -> tuple[StoredNumbers, StoredNumbers | float]:
    """Effects and confidences of a packed column as they were kept, bit for bit."""
    of_effects = _in_steps(effects, section["effect_scale"])
    if "strength" in section:
        return of_effects, section["strength"]
    return of_effects, _in_steps(confidences, section["confidence_scale"])


def _in_steps(numbers: npt.NDArray[np.float32], scale: float) -> StoredNumbers:
    """Numbers that were whole steps, in eight bits again."""
    steps = np.rint(numbers / scale) if scale else numbers
    return StoredNumbers(steps.astype(np.int8), np.asarray(scale, np.float32))
