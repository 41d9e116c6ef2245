"""What orders rows: the numbers or times of a column, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._column import Column, in_one, plain

if TYPE_CHECKING:
    from catvec.frames._frame import Frame

STEP = 2048  # any number of 64 bits is a multiple of it, which a float holds, and a rest


def read_moments(
    frame: Frame, name: str, role: str, *, rows: np.ndarray | None = None, start: int = 0
) -> np.ndarray:
    """What a column orders rows by, without gaps.

    Parameters
    ----------
    frame : Frame
    name : str
        The column.
    role : str
        What to call it in a message: ``"order"`` or ``"time"``.
    rows : ndarray of int, optional
        The rows asked for; by default all.
    start : int, default=0
        Number of the first row of the frame, for messages.

    Returns
    -------
    ndarray of shape (n_rows,), complex128
        As `Frame.moments`, of the rows asked for.

    Raises
    ------
    InputError
        If there is no such column, it holds text, or a moment is missing.
    """
    moments = frame.moments(name)
    rows = np.arange(frame.n_rows) if rows is None else rows
    gaps = rows[np.isnan(moments[rows])]
    if len(gaps):
        raise InputError(
            f"the {role} column {name!r} is missing in rows {some((gaps + start).tolist())}; fill"
            " or drop them"
        )
    return moments[rows]


def exact_moments(column: Column, cells: Any) -> np.ndarray:
    """As `Frame.moments`, from a column and its cells as they came."""
    column.refuse_text("orders rows; convert it to numbers or dates, or name another column")
    moments = np.full(column.n_rows, np.nan, np.complex128)
    for family, array in column.families.items():
        values = plain(array)
        values = values if family == "number" else values.cast(pa.int64())
        present = np.asarray(values.is_valid())
        numbers = np.asarray(values.drop_null())
        rest = np.fmod(numbers, numbers.dtype.type(STEP))
        moments.real[present] = numbers - rest
        moments.imag[present] = rest
        if family == "date":
            moments.imag[present] += _below_microseconds(cells)[present]
    return moments


def _below_microseconds(cells: Any) -> np.ndarray:
    """What times have beyond whole microseconds, of which their column is made."""
    arrow = cells
    if isinstance(cells, np.ndarray):
        if cells.dtype != np.dtype("M8[ns]"):
            return np.zeros(len(cells))
        arrow = pa.array(cells)
    array = plain(in_one(arrow) if isinstance(arrow, pa.ChunkedArray) else arrow)
    if not pa.types.is_timestamp(array.type) or array.type.unit != "ns":
        return np.zeros(len(array))
    return np.fmod(np.asarray(array.view(pa.int64()).fill_null(0)), 1000) / 1000
