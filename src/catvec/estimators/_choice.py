"""What is chosen from the training rows: the width of vectors, and how strongly they are shrunk.

Each choice is made once in a fit, by the rows of the fit alone; the folds of an encoder share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catvec._checks import some
from catvec.errors import InputError
from catvec.estimators._parameters import SharedParameters
from catvec.frames import Schema
from catvec.network import RULES

SHRINKAGES = (1.0, 10.0, 100.0, 1000.0)  # the best one differs a thousandfold by task (FINDINGS 2)
GRID_STEP = 10.0  # between them; the search goes one step beyond where the best is at an end
MIDDLE = 10.0  # where there are no held-out rows to choose by
DIM_RULE = "compact"  # what embedding_dim="auto" means
PAIR_DIM = 2  # width of the table of a pair; 1 and 4 did less on amazon_access
KNOT_DIM = 8  # width of the table of a number
MOST_NETWORKS = 4  # what n_networks="auto" means, while they fit into the budget
BUDGET = 20_000_000  # row-epochs of a fit, which take up to a minute on two cores
FEWEST_STEPS = 30  # of an epoch; a small table takes smaller batches
SMALLEST_BATCH = 16


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    dims : tuple of int
        Width of the vectors by categorical column, then by pair.
    knot_dims : tuple of int
        Width of the tables by number with knots.
    shrinkage : tuple of float
        Strength of the prior by table: categorical columns, pairs, numbers with knots.
    tried : mapping of float to float
        Held-out loss by strength, where it was chosen.
    pairs : tuple of pairs of str
        Pairs of columns with effects and tables of their own.
    interactions : str
        How vectors meet before the first layer.
    """

    dims: tuple[int, ...]
    knot_dims: tuple[int, ...]
    shrinkage: tuple[float, ...]
    tried: Mapping[float, float]
    pairs: tuple[tuple[str, str], ...] = ()
    interactions: str = "concatenate"


def choose_dims(p: SharedParameters, schema: Schema) -> tuple[int, ...]:
    """Width by column, from a number, a rule, a function, or a mapping of these; then by pair."""
    given = p.embedding_dim
    of_column = given if isinstance(given, Mapping) else {}
    _check_names("embedding_dim", of_column, schema)
    widths = []
    for vocabulary in schema.vocabularies:
        rule = of_column.get(vocabulary.name, "auto") if isinstance(given, Mapping) else given
        widths.append(_width(rule, max(len(vocabulary), 1)))
    return tuple(widths) + (PAIR_DIM,) * len(schema.pairs)


def knot_dims(schema: Schema) -> tuple[int, ...]:
    """Width by number with knots; never more than it has knots."""
    return tuple(min(KNOT_DIM, len(n.knots)) for n in schema.numbers if len(n.knots))


def shrinkages(
    p: SharedParameters, schema: Schema, n_tables: int, grid: Sequence[float] = SHRINKAGES
) -> dict[float, tuple[float, ...]]:
    """Strengths of the prior by table to choose from.

    Parameters
    ----------
    p : SharedParameters
        With `shrinkage`: a number, a mapping by column (others by the choice), or ``"auto"``.
    schema : Schema
        The columns.
    n_tables : int
        Tables: of categorical columns, of pairs, of numbers.
    grid : sequence of float
        Strengths for what is not given.

    Returns
    -------
    dict of float to tuple of float
        By strength for what is not given; one only where everything is.
    """
    given = p.shrinkage
    by_column = given if isinstance(given, Mapping) else {}
    _check_names("shrinkage", by_column, schema)
    if not isinstance(given, str | Mapping):  # NumPy's numbers, too
        return {float(given): (float(given),) * n_tables}
    names = [vocabulary.name for vocabulary in schema.vocabularies]
    settled = not n_tables or (bool(by_column) and all(name in by_column for name in names))
    names += [""] * (n_tables - len(names))
    return {
        strength: tuple(float(by_column.get(name, strength)) for name in names)
        for strength in ([MIDDLE] if settled else grid)
    }


def choose_n_networks(n_networks: int | str, row_epochs: int) -> int:
    """Networks of a committee, as many as the budget of row-epochs allows if "auto".

    Parameters
    ----------
    n_networks : int or "auto"
    row_epochs : int
        Rows times epochs of one network on all rows and one on each fold.

    Returns
    -------
    int
    """
    if isinstance(n_networks, str):
        return max(1, min(MOST_NETWORKS, BUDGET // max(row_epochs, 1)))
    return n_networks


def choose_batch_size(batch_size: int, n_rows: int) -> int:
    """Rows of a step: as many as asked for, unless an epoch would have too few steps."""
    return min(batch_size, max(SMALLEST_BATCH, n_rows // FEWEST_STEPS))


def _width(rule: Any, cardinality: int) -> int:
    if callable(rule):
        width = rule(cardinality)
    elif isinstance(rule, str):
        width = RULES[DIM_RULE if rule == "auto" else rule](cardinality)
    else:
        width = rule
    if not isinstance(width, int | np.integer) or width < 1:
        raise InputError(
            f"`embedding_dim` gave {width!r} for {cardinality} categories, not an int >= 1"
        )
    return int(width)


def _check_names(parameter: str, of_column: Mapping[str, Any], schema: Schema) -> None:
    names = [vocabulary.name for vocabulary in schema.vocabularies]
    strange = [name for name in of_column if name not in names]
    if strange:
        raise InputError(
            f"`{parameter}` names {some(strange)}, which are no categorical columns; these are"
            f" {some(names)}"
        )
