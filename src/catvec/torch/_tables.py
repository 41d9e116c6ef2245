"""Embedding tables of several columns in one flat table, by width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from catvec._checks import check_float, check_int, refuse, some
from catvec.errors import InputError
from catvec.network._tables import INITIAL_STD
from catvec.torch._constants import WithConstants

__all__ = [
    "INITIAL_STD",
    "FlatTables",
    "array_of",
    "check_left",
    "check_numbers",
    "check_sizes",
    "check_tables",
    "checked_codes",
    "initialize",
]


def initialize(weight: Tensor, std: float) -> None:
    """Small random vectors; row 0, the unknown, starts in the centre, at 0."""
    with torch.no_grad():
        weight.normal_(0.0, std)
        weight[0] = 0


def array_of(tensor: Tensor) -> np.ndarray:
    """A tensor of any precision, on any device, as the float32 of catvec's network."""
    return tensor.detach().float().cpu().numpy()


def checked_codes(codes: Tensor, n_columns: int | None = None) -> Tensor:
    """Codes, int32 or int64; refuses floats, and another number of columns."""
    if not isinstance(codes, Tensor):
        got = type(codes).__name__
        raise InputError(
            f"codes must be a tensor of integers, got {got}: torch.as_tensor makes one"
        )
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise InputError(f"codes must be a tensor of integers, got {codes.dtype}")
    if n_columns is not None and (codes.ndim != 2 or codes.shape[1] != n_columns):
        raise InputError(
            f"codes must be of shape (rows, {n_columns}), got {tuple(codes.shape)}:"
            " a column of codes for each categorical column"
        )
    return codes if codes.dtype in (torch.int32, torch.int64) else codes.long()


def check_numbers(
    name: str,
    numbers: Tensor | None,
    n_columns: int,
    columns: Sequence[str] = (),
    *,
    n_rows: int | None = None,
) -> None:
    """Refuse numbers that are not of shape (`n_rows`, `n_columns`); None will do for no columns."""
    if numbers is None and not n_columns:
        return
    shape = tuple(numbers.shape) if isinstance(numbers, Tensor) else None
    if shape is None or len(shape) != 2 or shape[1] != n_columns:
        each = f", a column for each of {some(columns)}" if columns else ""
        got = "None" if numbers is None else type(numbers).__name__ if shape is None else shape
        raise InputError(f"{name} must be a tensor of shape (rows, {n_columns}){each}, got {got}")
    if n_rows is not None and shape[0] != n_rows:
        raise InputError(f"{name} must have as many rows as the codes, {n_rows}, got {shape[0]}")


def check_left(parameters: Mapping[str, Any], *names: str) -> None:
    """Refuse parameters that vectors tell."""
    for name in names:
        if name in parameters:
            raise refuse(name, "left out, since the vectors tell it", parameters[name])


class SameWidth(WithConstants):
    """Tables of one width in one matrix, one after the other.

    Parameters
    ----------
    columns : sequence of int
        Which tables of all lie here.
    n_rows : sequence of int
        Their rows.
    width : int
        Of a row.
    """

    offsets: Tensor
    limits: Tensor
    where: Tensor

    def __init__(
        self, columns: Sequence[int], n_rows: Sequence[int], width: int, sparse: bool, **kind: Any
    ) -> None:
        super().__init__()
        self.columns, self.n_rows, self.sparse = list(columns), list(n_rows), sparse
        self.starts = list(accumulate(n_rows, initial=0))
        self.weight = nn.Parameter(torch.empty(self.starts[-1], width, **kind))
        for name, values in (
            ("offsets", self.starts[:-1]),
            ("limits", self.n_rows),
            ("where", self.columns),
        ):
            held = torch.tensor(values, dtype=torch.long, device="cpu")
            self.hold(name, held, kind.get("device"))
        self.frozen: list[bool] = [False] * len(self.columns)

    def lines(self, at: Tensor) -> Tensor:
        """Rows of the matrix, of shape (B, tables here), from rows of all tables (B, T).

        A row that a table does not have becomes one that the matrix does not have either, since it
        must not be taken for a row of the next table: looking it up fails on every device.
        """
        own = at.index_select(1, self.where)
        strange = (own < 0) | (own >= self.limits)
        return torch.where(strange, self.starts[-1], own + self.offsets)

    def used(self, at: Tensor) -> Tensor:
        """The rows of the matrix that are looked at, each once."""
        lines = self.lines(at).unique()
        return self._looked_up(lines, torch.bucketize(lines, self.offsets, right=True) - 1)

    def forward(self, at: Tensor) -> Tensor:
        """Vectors of shape (B, tables here, width)."""
        return self._looked_up(self.lines(at), slice(None))

    def _looked_up(self, lines: Tensor, tables: Tensor | slice) -> Tensor:
        """Rows of the matrix, each of the table beside it; those of frozen ones as constants."""
        vectors = functional.embedding(lines, self.weight, sparse=self.sparse)
        if any(self.frozen):
            frozen = torch.tensor(self.frozen, device=vectors.device)[tables]
            vectors = torch.where(frozen[:, None], vectors.detach(), vectors)
        return vectors


class FlatTables(WithConstants):
    """Tables of all columns; those of one width share one matrix, so that a gradient has rows.

    The state dict holds ``groups.0.weight``, ``groups.1.weight``, ...: one matrix by width, in the
    order in which widths first appear, each with its columns' rows in the order of the columns.

    Parameters
    ----------
    n_rows, dims : sequences of int
        Rows and width of each table.
    sparse : bool
        Whether gradients are sparse: of the rows looked up only.
    std : float
        Standard deviation of new vectors.
    device, dtype
        Of the tables.
    """

    order: Tensor | None

    def __init__(
        self, n_rows: Sequence[int], dims: Sequence[int], *, sparse: bool, std: float, **kind: Any
    ) -> None:
        super().__init__()
        self.n_rows, self.dims, self.std = tuple(n_rows), tuple(dims), std
        self.width = sum(self.dims)
        members = {d: [t for t, dim in enumerate(dims) if dim == d] for d in dict.fromkeys(dims)}
        self.groups = nn.ModuleList(
            SameWidth(tables, [n_rows[t] for t in tables], width, sparse, **kind)
            for width, tables in members.items()
        )
        starts = list(accumulate(dims, initial=0))
        found = [
            s for tables in members.values() for t in tables for s in range(*starts[t : t + 2])
        ]
        if found == sorted(found):
            self.register_buffer("order", None, persistent=False)
        else:
            self.hold("order", torch.tensor(found, device="cpu").argsort(), kind.get("device"))

    @property
    def shared(self) -> list[SameWidth]:
        """The matrices, by width."""
        return cast("list[SameWidth]", list(self.groups))

    def reset_parameters(self) -> None:
        """New small vectors around 0, in every table row 0 exactly there."""
        for t in range(len(self.dims)):
            initialize(self.table(t), self.std)

    def table(self, t: int) -> Tensor:
        """View of shape (rows, width) of table `t`."""
        for group in self.shared:
            if t in group.columns:
                place = group.columns.index(t)
                start, end = group.starts[place : place + 2]
                weight: Tensor = group.weight[start:end]
                return weight
        raise IndexError(f"no table {t}; there are {len(self.dims)}")

    def freeze(self, tables: Sequence[int]) -> None:
        """Let no gradient into these tables."""
        for group in self.shared:
            for place, t in enumerate(group.columns):
                group.frozen[place] |= t in tables

    def forward(self, at: Tensor) -> Tensor:
        """Vectors side by side, of shape (B, W), at rows `at` (B, T)."""
        parts = [group(at).flatten(1) for group in self.shared]
        if not parts:
            return torch.empty(len(at), 0, device=at.device)
        return self.in_order(torch.cat(parts, 1) if len(parts) > 1 else parts[0])

    def l2(self, at: Tensor) -> Tensor:
        """Half the sum of squares of the rows at `at` (B, T), each once."""
        used = [group.used(at).square().sum() for group in self.shared]
        return torch.stack(used).sum() / 2 if used else torch.zeros((), device=at.device)

    def in_order(self, x: Tensor) -> Tensor:
        """From the order of the groups to that of the tables."""
        return x if self.order is None else x.index_select(1, self.order)

    def explained(self, at: Tensor, names: Sequence[object]) -> InputError | None:
        """What is wrong with rows that could not be looked up, if they are."""
        for t, n in enumerate(self.n_rows):
            column = at[:, t]
            strange = column[(column < 0) | (column >= n)]
            if len(strange):
                return InputError(
                    f"codes of column {names[t]!r} must be at least 0 and below {n}, the rows of"
                    f" its table, got {some(strange.unique().tolist())}"
                )
        return None


def check_tables(
    n_rows: Sequence[int], dims: Sequence[int], std: float, names: tuple[str, str]
) -> tuple[list[int], list[int]]:
    """Rows and widths as ints; as many of them."""
    rows, widths = check_sizes(names[0], n_rows), check_sizes(names[1], dims)
    if len(rows) != len(widths):
        raise refuse(names[1], f"{len(rows)} widths, as many as `{names[0]}`", dims)
    check_float("std", std, minimum=0.0)
    return rows, widths


def check_sizes(name: str, sizes: Iterable[int]) -> list[int]:
    """Sizes as ints that are at least 1, from a list, an array, the values of a dictionary, ..."""
    if isinstance(sizes, str) or not isinstance(sizes, Iterable):
        raise refuse(name, "a sequence of ints", sizes)
    return [check_int(name, size, minimum=1) for size in sizes]
