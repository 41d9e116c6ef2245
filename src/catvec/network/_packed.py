"""The parts of a trained network in few bytes, to predict with: see `Network.packed`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from catvec._packing import PackedRows, in_eight_bits
from catvec.network._kernels import AT, DIM, LINE, Array
from catvec.network._tables import EmbeddingTables

__all__ = ["PackedParameters", "PackedTables"]

HIGHEST = float(np.finfo(np.float16).max)


class PackedTables(EmbeddingTables):
    """Tables some of which are packed rows; they are unpacked where they are looked at.

    Parameters
    ----------
    tables : EmbeddingTables
        All tables. Those that are not packed are kept in half precision, which ends at 65,504.
    rows : mapping of int to PackedRows
        By number of a table its rows.
    """

    def __init__(self, tables: EmbeddingTables, rows: Mapping[int, PackedRows]) -> None:
        self.rows = dict(rows)
        lines, columns = tables.layout[:, LINE], tables.layout[:, AT].tolist()
        of_look = (np.searchsorted(tables.centers(), lines, side="right") - 1).tolist()
        shapes = [tables.shape(t) for t in range(len(tables))]
        super().__init__(
            [0 if t in rows else n for t, (n, _) in enumerate(shapes)],
            [dim for _, dim in shapes],
            tables.n_knotted,
            np.float16,
            list(zip(of_look, columns, strict=True)),
            tables.owners,
        )
        for t in set(range(len(tables))) - rows.keys():
            self.table(t)[...] = np.clip(tables.table(t), -HIGHEST, HIGHEST)
        self._packed_looks = [(i, rows[t]) for i, t in enumerate(of_look) if t in rows]
        self._other_looks = [i for i, t in enumerate(of_look) if t not in rows]

    def table(self, t: int) -> Array:
        """Rows (rows, width) of table `t`: a view, or unpacked."""
        return self.rows[t][:] if t in self.rows else super().table(t)

    def gather(self, kernels: Any, at: Array, shares: Array, out: Array) -> None:
        """As `EmbeddingTables.gather`."""
        for look, rows in self._packed_looks:
            start, dim = self.layout[look, [AT, DIM]].tolist()
            out[:, start : start + dim] = rows[at[:, look]]
        others = self._other_looks
        kernels.gather(self.flat, self.layout[others], at[:, others], shares, out)

    def state(self) -> dict[str, Array]:
        """All arrays by name, for a file, but for coordinates, which others may share."""
        state: dict[str, Array] = {}
        for t in range(len(self)):
            if t not in self.rows:
                state[self.name(t)] = self.table(t)
                continue
            state[f"{self.name(t)}.directions"] = self.rows[t].directions
            state[f"{self.name(t)}.center"] = self.rows[t].center
        return state


class PackedParameters(Mapping[str, Array]):
    """Weights of which the matrices are kept in eight bits, with a scale by row.

    Parameters
    ----------
    weights : mapping of str to array
        Matrices end in ``.weight``. An element is off by at most 1/254 of the largest of its row.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._arrays: dict[str, Array] = {}
        for name, array in weights.items():
            if name.endswith(".weight"):
                self._arrays[name], self._arrays[f"{name}.scales"] = in_eight_bits(array, axis=1)
            else:
                self._arrays[name] = array.copy()

    def __getitem__(self, name: str) -> Array:
        array, scales = self._arrays[name], self._arrays.get(f"{name}.scales")
        return array if scales is None else np.multiply(array, scales[:, None], dtype=np.float32)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._arrays if not name.endswith(".scales"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def state(self) -> dict[str, Array]:
        """All arrays by name, for a file."""
        return self._arrays
