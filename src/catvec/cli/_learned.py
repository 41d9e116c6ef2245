"""What was learned, as tables for people: columns with their effects, and scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from catvec.cli._console import bar, grid, number, shown
from catvec.vectors import CategoryVectors, ColumnVectors

FAINT = 0.05  # a spread of this part of the unit fills a bar where no column has more
BETTER_HIGH = ("AUC", "Accuracy", "R2")


@dataclass(frozen=True)
class Scale:
    """How an effect on the link scale is told to a person.

    Attributes
    ----------
    task : {"regression", "binary", "multiclass", "count"}
        What is predicted.
    base : float
        What is predicted where nothing is known: a mean, or a share of the second class.
    unit : float
        What a large effect is on the link scale: the standard deviation of a regression's target.
    share_of : str
        What that share is called.
    """

    task: str
    base: float
    unit: float = 1.0
    share_of: str = "share"

    @property
    def title(self) -> str:
        """What the numbers of `tell` are."""
        return {
            "binary": self.share_of,
            "count": "factor",
            "multiclass": "log ratio",
        }.get(self.task, "effect")

    def tell(self, effect: float) -> str:
        """A shift of the target, or where it leads from the base."""
        if self.task == "binary":
            odds = self.base / max(1 - self.base, 1e-12) * math.exp(effect)
            return f"{odds / (1 + odds):.0%}" if 0.01 < odds < 99 else f"{odds / (1 + odds):.1%}"
        if self.task == "count":
            return f"×{math.exp(effect):.2f}"
        digits = max(0, 2 - math.floor(math.log10(self.unit))) if self.unit > 0 else 2
        return f"{round(effect, min(digits, 12)) + 0.0:+,.{min(digits, 12)}f}"


def columns_table(vectors: CategoryVectors, scale: Scale) -> Table:
    """A line by categorical column: categories, dimension, and how far its effects reach.

    Parameters
    ----------
    vectors : CategoryVectors
        What was learned.
    scale : Scale
        How effects are told.

    Returns
    -------
    Table
        The bar is the spread of the effects over the training rows, against the largest; short in
        all columns where none tells much.
    """
    table = grid(
        "column", ("categories", "right"), ("dim", "right"), (scale.title, "right"), "spread"
    )
    spreads = {name: spread(vectors[name]) for name in vectors}
    largest = max([*spreads.values(), scale.unit * FAINT]) or 1.0
    for name in vectors:
        column = vectors[name]
        low, high = reach(column)
        told = f"{scale.tell(low)} to {scale.tell(high)}" if len(column) else "–"
        counted = (f"{len(column):,}", str(column.embedding_dim))
        table.add_row(shown(name, 24), *counted, told, Text(bar(spreads[name] / largest), "green"))
    return table


def reach(column: ColumnVectors) -> tuple[float, float]:
    """The lowest and the highest effect of a column's categories."""
    effects = column.effects
    return (float(effects.min()), float(effects.max())) if effects.size else (0.0, 0.0)


def spread(column: ColumnVectors) -> float:
    """Standard deviation of a column's effects over the training rows, link scale."""
    if not len(column):  # every cell is missing
        return 0.0
    effects = column.effects.reshape(len(column), -1).astype(np.float64)
    weights = column.counts / column.counts.sum()
    mean = weights @ effects
    return float(np.sqrt(weights @ (effects - mean) ** 2).mean())


def scores_table(scores: Mapping[str, Mapping[str, float]]) -> Table:
    """A line by metric: the model's score, that of a constant, and what lies between.

    Parameters
    ----------
    scores : mapping
        By metric ``{"model": ..., "constant": ...}``.

    Returns
    -------
    Table
    """
    table = grid("", ("catvec", "right"), ("a constant", "right"), "")
    for name, both in scores.items():
        ours, constant = both["model"], both["constant"]
        table.add_row(name, score(ours), score(constant), _against(name, ours, constant))
    return table


def score(value: float) -> str:
    """A score; shares and the like with four decimals."""
    return f"{round(value, 4) + 0.0:.4f}" if abs(value) < 10 else number(value)


def _against(name: str, ours: float, constant: float) -> str:
    """How much better or worse, for a person."""
    if name == "Coverage":  # neither more nor less is better
        return ""
    if name in BETTER_HIGH or not constant:
        return f"{ours - constant:+.3f}"
    change = ours / constant - 1
    if abs(change) < 5e-4:
        return "as good"
    return f"{abs(change):.1%} {'lower' if change < 0 else 'higher: worse'}"


def column_facts(vectors: CategoryVectors) -> list[dict[str, Any]]:
    """The same as `columns_table`, for machines."""
    return [
        {
            "name": name,
            "categories": len(vectors[name]),
            "embedding_dim": vectors[name].embedding_dim,
            "rows_missing": vectors[name].missing.count,
            "rows_rare": vectors[name].unknown.count,
            "lowest_effect": reach(vectors[name])[0],
            "highest_effect": reach(vectors[name])[1],
            "effect_spread": spread(vectors[name]),
        }
        for name in vectors
    ]
