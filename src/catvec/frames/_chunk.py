"""Some rows of a table that need not fit into memory, and what they tell of its columns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._column import Column, plain
from catvec.frames._copying import as_type
from catvec.frames._frame import Frame
from catvec.frames._moments import read_moments


@dataclass(frozen=True)
class Chunk:
    """Some rows of a source, one after the other.

    Attributes
    ----------
    frame : Frame
        The rows.
    label : str
        Where they are from, for messages.
    start : int
        Number of the first one in the source.
    """

    frame: Frame
    label: str
    start: int

    def column(self, name: str) -> Column:
        """A column of the chunk, of one family of keys.

        Raises
        ------
        InputError
            If there is no such column, or it is misfit; the message names the file.
        """
        with self._named():
            column = self.frame.column(name)
        if len(column.families) > 1:
            raise InputError(
                f"{self.label}: column {name!r} holds {' and '.join(column.families)} values;"
                " convert it to one type"
            )
        return column

    def moments(self, name: str, role: str, rows: np.ndarray | None = None) -> np.ndarray:
        """As `read_moments`; messages name the file, and number rows through the source."""
        with self._named():
            return read_moments(self.frame, name, role, rows=rows, start=self.start)

    def weights(self, name: str) -> np.ndarray:
        """Weights of the rows, from a column, float64.

        Raises
        ------
        InputError
            If one is missing or negative; the message names the file.
        """
        weight = self.column(name).floats()
        wrong = np.flatnonzero(~(weight >= 0))
        if len(wrong):
            raise InputError(
                f"{self.label}: the weights in column {name!r} must not be missing or negative, got"
                f" {some(weight[wrong].tolist())} in rows {some((wrong + self.start).tolist())}"
            )
        return weight

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of the frame, with the name of the file."""
        try:
            yield
        except InputError as error:
            raise type(error)(f"{self.label}: {error}") from error

    def kind(self, name: str) -> str:
        """The family of a column's keys, or ``"list"``."""
        return "list" if self.frame.is_list(name) else self.column(name).kind

    def table(self, names: Sequence[str], rows: np.ndarray | None = None) -> pa.Table:
        """Columns as they are read, without dictionaries; all of the rows or some."""
        arrays = {name: self._read(name) for name in names}
        if rows is not None:
            arrays = {name: array.take(pa.array(rows)) for name, array in arrays.items()}
        return pa.table({name: plain(array) for name, array in arrays.items()})

    def copied(self, types: Mapping[str, pa.DataType | None]) -> pa.Table:
        """Columns as they came, without dictionaries, where they came in these types.

        Others, and Python's or NumPy's cells, as they are read, and then in these types; None
        stands for any.
        """
        return pa.table({name: self._copied(name, kind) for name, kind in types.items()})

    def _copied(self, name: str, kind: pa.DataType | None) -> pa.Array:
        with self._named():
            cells = self.frame.cells(name)
            if cells is not None and kind in (None, cells.type):
                return cells
            read = plain(self._read(name))
            return read if kind is None else as_type(name, read, kind)

    def _read(self, name: str) -> pa.Array:
        if self.frame.is_list(name):
            return self.frame.list_cells(name)
        return one_array(self.column(name))


class Kinds(dict[str, str]):
    """Family of keys by column, as file after file tells it; ``"empty"`` where no row has yet."""

    def __init__(self) -> None:
        super().__init__()
        self._told_by: dict[str, str] = {}

    @property
    def open(self) -> list[str]:
        """Columns of which no row has told."""
        return [name for name, kind in self.items() if kind == "empty"]

    def add(self, name: str, kind: str, label: str) -> None:
        """Note what a file says of a column, or refuse it if another one said otherwise."""
        known = self.get(name, "empty")
        if known == "empty":
            self[name], self._told_by[name] = kind, label
        elif kind not in ("empty", known):
            raise InputError(
                f"column {name!r} holds {kind} values in {label}, but {known} values in"
                f" {self._told_by[name]}; convert it to one type"
            )


def one_array(column: Column) -> pa.Array:
    """The cells of a column of one family; nulls for an empty one."""
    return next(iter(column.families.values()), pa.nulls(column.n_rows))
