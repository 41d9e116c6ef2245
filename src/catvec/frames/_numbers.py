"""Numeric columns: robust scaling, missing flags, and the knots between which one interpolates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from catvec.frames._column import Column

CLIP = 3.0  # robustly scaled numbers beyond about this many units are bent towards it


@dataclass(frozen=True, eq=False)
class Number:
    """What was learned about one numeric column.

    Attributes
    ----------
    name : str
        The column.
    center, scale : float
        Its median, and its interquartile range or what stands in for it.
    has_missing : bool
        Whether a value was missing in training; then a flag stands beside the number.
    knots : ndarray of shape (n_knots,), float64
        Ascending places between which a value is interpolated; empty for none.
    family : {"number", "date"} or None
        What the column held; None if nothing, or where an older artifact does not say.
    """

    name: str
    center: float
    scale: float
    has_missing: bool
    knots: np.ndarray
    family: str | None = None

    @classmethod
    def learn(cls, column: Column, n_knots: int) -> Number:
        """Learn from a column of numbers, booleans or dates; one without any gives zeros."""
        name, values = column.name, column.floats()
        seen = values[~np.isnan(values)]
        has_missing = len(seen) < len(values)
        if not len(seen):
            return cls(name, 0.0, 1.0, has_missing, np.zeros(0))
        center, knots = float(np.median(seen)), _knots(seen, n_knots)
        return cls(name, center, _robust_scale(seen), has_missing, knots, _family(column))

    def read(self, column: Column) -> np.ndarray:
        """The numbers of another table's column, float64, NaN where missing.

        Raises
        ------
        InputError
            If it holds text; dates where numbers were learned, or the other way round: days since
            1970 would be taken for years.
        """
        family = _family(column)
        if self.family and family and family != self.family:
            column.refuse_families([self.family])
        return column.floats()

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Values as float32 about 0 with spread about 1, smoothly clipped; 0 where missing.

        Robust scaling as in RealMLP (Holzmueller et al. 2024, arXiv 2407.04491, section 3).
        """
        with np.errstate(over="ignore"):  # what is beyond float64 lies at the bound, 3
            z = (values - self.center) / self.scale
        np.nan_to_num(z, copy=False, nan=0.0)
        return bent(z).astype(np.float32)

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Where values lie on the knots, float32 in ``[0, n_knots - 1]``; outside, at the ends.

        NaN for a missing value, and -1 for one where training saw none missing.
        """
        place = np.interp(values, self.knots, np.arange(len(self.knots), dtype=np.float64))
        missing = np.isnan(values)
        place[missing] = np.nan if self.has_missing else -1.0
        return place.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold; Python writes floats so that they read back the same."""
        return {
            "name": self.name,
            "center": self.center,
            "scale": self.scale,
            "has_missing": self.has_missing,
            "knots": self.knots.tolist(),
            "family": self.family,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Number:
        """Undo `to_json`."""
        return cls(**{**data, "knots": np.asarray(data["knots"], dtype=np.float64)})


def bent(z: np.ndarray) -> np.ndarray:
    """Smoothly clipped, ``z / sqrt(1 + (z / 3)^2)``, as in RealMLP."""
    return z / np.hypot(1.0, z / CLIP)


def _family(column: Column) -> str | None:
    """Whether a column measures time, or anything else; None if it is empty."""
    if not column.families:
        return None
    return "date" if "date" in column.families else "number"


def _robust_scale(seen: np.ndarray) -> float:
    low, high = np.quantile(seen, [0.25, 0.75])
    if high <= low:  # half the range, as RealMLP does where quartiles coincide
        low, high = seen.min() / 2, seen.max() / 2
    with np.errstate(over="ignore"):
        scale = float(high - low)
    return min(scale, float(np.finfo(np.float64).max)) if scale > 0 else 1.0


def _knots(seen: np.ndarray, n_knots: int) -> np.ndarray:
    """A knot at each distinct value while there are at most `n_knots`, else quantiles."""
    if n_knots == 0:
        return np.zeros(0)
    distinct = np.unique(seen)
    if len(distinct) <= n_knots:
        return distinct
    places = np.linspace(0.0, 1.0, n_knots)
    return np.unique(np.quantile(seen, places, method="inverted_cdf"))
