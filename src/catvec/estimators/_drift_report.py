"""`DriftReport`: what a later table holds that the training table did not, as an object to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from catvec._checks import check_option
from catvec.frames import to_dataframe

PARTS = ("columns", "categories", "effects")
SHOWN = 5  # categories named in the text


@dataclass(frozen=True)
class CategoryShift:
    """A category whose share of the rows is another one.

    Attributes
    ----------
    category : object
        As the table holds it; None for missing values.
    kind : {"unknown", "vanished", "absent", "known"}
        Never met in training; met there and here no more, which is no chance, or may be one; met on
        both sides.
    rows : int
        Rows of it here.
    share_before, share_now : float
        Of the rows in training, and here.
    """

    category: Any
    kind: str
    rows: int
    share_before: float
    share_now: float


@dataclass(frozen=True)
class ColumnDrift:
    """What became of one categorical column.

    Attributes
    ----------
    column : str
    distance : float
        Jensen-Shannon divergence of the shares of categories before and now, in bits: 0 where they
        are the same, 1 where nothing is shared (Lin 1991, IEEE Transactions on Information Theory
        37, equation 4.1). Categories too rare to compare count together.
    p_value : float
        How often a table of as many rows from where the training table came would differ as much:
        chi-squared test of homogeneity. Times the number of tests, four by column, as the others.
    n_unknown : int
        Values that training never met.
    share_unknown, expected_unknown : float
        Their share of the rows; and what share training leads one to expect, the share of its rows
        whose category no other row had (Good 1953, Biometrika 40).
    p_unknown : float
        How often so many unknown values or rows, or one value of so many, would come by chance, at
        most; times the number of tests.
    n_absent : int
        Known categories without a row here; of few rows most are.
    share_vanished : float
        Share of the training rows of those categories whose absence is no chance: Fisher's exact
        test, times the number of categories on either side and of tests.
    share_missing_before, share_missing : float
        Of the rows in training, and here.
    shifts : tuple of CategoryShift
        Categories that contribute most to the distance, those that vanished and the most frequent
        unknown ones.
    drifted : bool
        Whether `p_value` or `p_unknown` is below the report's `alpha`, or a category vanished.
    """

    column: str
    distance: float
    p_value: float
    n_unknown: int
    share_unknown: float
    expected_unknown: float
    p_unknown: float
    n_absent: int
    share_vanished: float
    share_missing_before: float
    share_missing: float
    shifts: tuple[CategoryShift, ...]
    drifted: bool


@dataclass(frozen=True)
class EffectShift:
    """A category whose effect has moved.

    Attributes
    ----------
    column : str
    category : object
        None for missing values.
    output : object
        Class for a target of several classes, else None.
    rows : int
        Rows of it here.
    effect_before, effect_now : float
        On the link scale, shrunk: the one of training, and the one of these rows alone.
    z : float
        Shift of the category's mean beyond the median shift of its column, over its standard error.
    p_value : float
        Two-sided, times the number of categories that were tested, and four (Bonferroni).
    """

    column: str
    category: Any
    output: Any
    rows: int
    effect_before: float
    effect_now: float
    z: float
    p_value: float


@dataclass(frozen=True, repr=False)
class DriftReport:
    """What a later table holds that the training table did not.

    Attributes
    ----------
    n_rows : int
        Rows looked at.
    alpha : float
        How often a table without drift would be said to have drifted, at most.
    columns : tuple of ColumnDrift
        By categorical column.
    effects : tuple of EffectShift or None
        Effects that moved, the surest first; None without a target.
    target_before, target_now : float or None
        Mean of the target, or the share of a class, in training and here, by weight; None without a
        target.
    target_z : float or None
        Their difference over its standard error.
    target_output : object
        The class whose share it is, of more than two that which moved surest; else None, and of two
        it is the second.
    """

    n_rows: int
    alpha: float
    columns: tuple[ColumnDrift, ...]
    effects: tuple[EffectShift, ...] | None = None
    target_before: float | None = None
    target_now: float | None = None
    target_z: float | None = None
    target_output: Any = None

    @property
    def drifted(self) -> bool:
        """Whether any column has drifted, or any effect moved."""
        return any(column.drifted for column in self.columns) or bool(self.effects)

    def to_frame(self, part: str = "columns", kind: str | None = None) -> Any:
        """One part of the report as a dataframe.

        Parameters
        ----------
        part : {"columns", "categories", "effects"}, default="columns"
            A row by column; by category whose share has changed; or by effect that moved.
        kind : {"pandas", "polars", "pyarrow"}, optional
            What to make; by default the first of these that is installed.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            With the attributes of `ColumnDrift`, `CategoryShift` or `EffectShift` as columns;
            categories as text where columns hold different types.
        """
        check_option("part", part, PARTS)
        if part == "columns":
            rows = [{k: v for k, v in asdict(c).items() if k != "shifts"} for c in self.columns]
            return to_dataframe(_table(rows, ColumnDrift, ("shifts",)), kind)
        if part == "effects":
            return to_dataframe(_table([asdict(e) for e in self.effects or ()], EffectShift), kind)
        rows = [{"column": c.column, **asdict(s)} for c in self.columns for s in c.shifts]
        return to_dataframe(_table(rows, CategoryShift, (), ("column",)), kind)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values.

        Returns
        -------
        dict
        """
        return {"drifted": self.drifted, **asdict(self)}

    def __repr__(self) -> str:
        found = [column for column in self.columns if column.drifted]
        n = len(self.columns)
        lines = [
            f"DriftReport of {_plural(self.n_rows, 'row')}: {len(found)} of"
            f" {_plural(n, 'column')} drifted"
            + ("" if self.effects is None else f", {_plural(len(self.effects), 'effect')} moved")
        ]
        lines += [f"  {column.column}: {told(column)}" for column in found]
        lines += [
            f"  {shift.column}={shift.category!r}: effect{_of(shift)} {shift.effect_before:+.3g} ->"
            f" {shift.effect_now:+.3g} (z {shift.z:+.1f}, {shift.rows:,} rows)"
            for shift in (self.effects or ())[:SHOWN]
        ]
        return "\n".join(lines)


def told(column: ColumnDrift) -> str:
    """What became of a column, in a line."""
    parts = []
    if column.share_unknown:
        parts.append(
            f"{column.share_unknown:.1%} of rows unknown ({_plural(column.n_unknown, 'value')},"
            f" {column.expected_unknown:.1%} expected)"
        )
    if column.share_vanished:
        parts.append(f"categories of {column.share_vanished:.1%} of training rows vanished")
    parts.append(f"distance {column.distance:.3f} bits (p {min(column.p_value, 1):.2g})")
    return ", ".join(parts)


def _of(shift: EffectShift) -> str:
    return "" if shift.output is None else f" on {shift.output!r}"


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + "s" * (n != 1)


def _table(
    rows: Sequence[dict[str, Any]], of: Any, without: Sequence[str] = (), first: Sequence[str] = ()
) -> pa.Table:
    """Rows as an Arrow table, with the fields of a dataclass as columns even without any row."""
    names = [*first, *(name for name in of.__dataclass_fields__ if name not in without)]
    return pa.table({name: _array([row[name] for row in rows]) for name in names})


def _array(values: Sequence[Any]) -> pa.Array:
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = {type(value) for value in plain if value is not None}
    if len(kinds) > 1:
        plain = [None if value is None else str(value) for value in plain]
    return pa.array(plain)
