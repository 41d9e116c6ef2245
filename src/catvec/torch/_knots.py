"""Numbers as vectors that are interpolated between learned ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from catvec._checks import refuse
from catvec.torch._constants import WithConstants
from catvec.torch._tables import INITIAL_STD, FlatTables, check_numbers, check_tables

__all__ = ["KnotEmbedding"]


class KnotEmbedding(WithConstants):
    """Vectors of numbers: between two knots, the share of each knot's vector that is its nearness.

    Piecewise linear in the number, as catvec's network takes numbers. Beyond the outer knots the
    vector is the outer knot's. A missing number (NaN) has a row of its own, row 1 of the table;
    row 0 is what a missing number is answered by where training had none.

    Parameters
    ----------
    knots : sequence of array-like
        By number its knots, ascending; at least one.
    embedding_dim : int or sequence of int
        Width of the vectors, of all or by number.
    has_missing : sequence of bool, optional
        By number whether a missing one is row 1; by default all of them. Others are row 0.
    std : float, default=0.03
        Standard deviation of new vectors.
    sparse : bool, default=False
        Whether gradients are sparse.
    device, dtype
        Of the tables.

    Shape
    -----
    Input: numbers of shape (B, M), float32 or float64, NaN where missing.
    Output: (B, sum of widths).

    Raises
    ------
    ParameterError
        If knots are empty, not ascending or not finite, or lists are not as long.
    InputError
        In `forward`, if the numbers are of another shape.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import KnotEmbedding
    >>> age = KnotEmbedding([[18, 30, 65]], embedding_dim=4)
    >>> age(torch.tensor([[24.0], [99.0], [float("nan")]])).shape
    torch.Size([3, 4])
    """

    owner: Tensor

    def __init__(
        self,
        knots: Sequence[Any],
        embedding_dim: int | Sequence[int],
        *,
        has_missing: Sequence[bool] | None = None,
        std: float = INITIAL_STD,
        sparse: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not isinstance(knots, Iterable):
            raise refuse("knots", "a list of knots by number", knots)
        held = [_checked(k) for k in knots]
        if not isinstance(embedding_dim, Iterable):
            embedding_dim = [embedding_dim] * len(held)
        n_rows, dims = check_tables(
            [len(k) + 2 for k in held], embedding_dim, std, ("knots", "embedding_dim")
        )
        missing = [True] * len(held) if has_missing is None else [bool(m) for m in has_missing]
        if len(missing) != len(held):
            raise refuse("has_missing", f"{len(held)} booleans, one by number", has_missing)
        super().__init__()
        self.grid = KnotGrid(held, missing, device=device)
        self.tables = FlatTables(
            n_rows, dims, sparse=sparse, std=float(std), device=device, dtype=dtype
        )
        self.hold("owner", torch.from_numpy(np.repeat(np.arange(len(dims)), dims)), device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New small vectors around 0."""
        self.tables.reset_parameters()

    def forward(self, numbers: Tensor) -> Tensor:
        """Vectors of numbers of shape (B, M); gives (B, sum of widths)."""
        return self.at(self.grid(numbers))

    def at(self, positions: Tensor) -> Tensor:
        """Vectors at positions on the knots.

        Parameters
        ----------
        positions : tensor of shape (B, M)
            From 0 to the number of knots less 1; NaN where missing, -1 where unknown.

        Returns
        -------
        tensor of shape (B, sum of widths)
        """
        return self.between(*self.grid.rows(positions))

    def between(self, lower: Tensor, share: Tensor) -> Tensor:
        """Vectors between two rows of each table.

        Parameters
        ----------
        lower : tensor of int of shape (B, M)
            The lower one of the two.
        share : tensor of shape (B, M)
            What the one above counts.

        Returns
        -------
        tensor of shape (B, sum of widths)
        """
        first = self.tables(lower)
        second = self.tables(self.grid.above(lower))
        of_element = share.to(first.dtype).index_select(1, self.owner)
        return first + of_element * (second - first)


class KnotGrid(WithConstants):
    """Where numbers lie on their knots, and which rows of their tables that means.

    Parameters
    ----------
    knots : sequence of array
        By number its knots, ascending.
    has_missing : sequence of bool
        By number whether a missing one has been learned.
    """

    places: Tensor
    n_knots: Tensor
    learned_missing: Tensor

    def __init__(
        self, knots: Sequence[np.ndarray], has_missing: Sequence[bool], device: Any = None
    ) -> None:
        super().__init__()
        padded = np.full((len(knots), max(map(len, knots), default=1)), np.inf)
        for i, places in enumerate(knots):
            padded[i, : len(places)] = places
        for name, values in (
            ("places", padded),  # float64: a date in seconds has more digits than float32
            ("n_knots", np.array([len(places) for places in knots], np.int64)),
            ("learned_missing", np.array(has_missing, bool)),
        ):
            self.hold(name, torch.from_numpy(values), device)

    def forward(self, numbers: Tensor) -> Tensor:
        """Places of numbers (B, M), float32 of that shape; NaN is missing, -1 unknown."""
        check_numbers("numbers", numbers, len(self.n_knots))
        x = numbers.to(self.places.dtype)
        above = torch.searchsorted(self.places, x.t().contiguous(), right=True).t()
        lower = (above - 1).clamp(min=0).minimum((self.n_knots - 2).clamp(min=0))
        upper = (lower + 1).minimum(self.n_knots - 1)
        low, high = (self.places.t().gather(0, at) for at in (lower, upper))
        share = torch.where(high > low, (x - low) / (high - low), 0.0).clamp(0.0, 1.0)
        unseen = torch.where(self.learned_missing, torch.nan, -1.0)
        return torch.where(x.isnan(), unseen, lower + share).float()

    def rows(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Lower of the two rows that each position looks at (B, M), and the upper one's share."""
        inside = positions >= 0
        top = self.n_knots - 1
        place = torch.where(inside, positions, 0.0).minimum(top)
        lower = place.long().minimum((top - 1).clamp(min=0))
        share = torch.where(inside, place - lower, 0.0)
        return torch.where(inside, lower + 2, positions.isnan().long()), share

    def above(self, lower: Tensor) -> Tensor:
        """The rows above `lower` (B, M), which are the same for the last."""
        return (lower + 1).minimum(self.n_knots + 1)


def _checked(knots: Any) -> np.ndarray:
    try:
        places = np.asarray(knots, dtype=np.float64)
    except (TypeError, ValueError):
        places = np.array(np.nan)
    if places.ndim != 1 or not len(places) or not np.isfinite(places).all():
        raise refuse("knots", "by number a list of finite places, at least one", knots)
    if (np.diff(places) <= 0).any():
        raise refuse("knots", "ascending for each number", knots)
    return places
