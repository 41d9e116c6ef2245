"""What is chosen from the training rows: widths of vectors, how strongly they are shrunk, epochs.

Each choice is made once in a fit, by the rows of the fit alone; the folds of an encoder share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catvec._checks import check_categorical
from catvec.errors import InputError
from catvec.estimators._parameters import SharedParameters, is_auto
from catvec.estimators._settings import EffectNetworks, Setting, Settings
from catvec.frames import FIRST, Schema
from catvec.network import RULES

SHRINKAGES = (0.1, 1.0, 10.0, 100.0, 1000.0)  # the best one differs so much by table
OF_GROUPS = (1e4, 1e5, 1e6)  # more of them where a thousand rows of a group may say one thing
STARTS = SHRINKAGES[2:]  # that are always tried; others where the best of these is at an end
MIDDLE = 10.0  # where there are no held-out rows to choose by
FEWEST_EPOCHS = 3  # that are tried, and HALVINGS of the most
HALVINGS = 3
FEWEST_OF_GROUPS = 1  # the same where rows of a group are alike, and one halving more: whole days
# of nycflights apart, under a weak prior, had an AUC of 0.676 with one epoch and 0.663 with three
DIM_RULE = "compact"  # the most that embedding_dim="auto" gives
CARRIED = 0.999  # part of the vectors' variance that the directions which are kept carry
PAIR_DIM = 2  # width of the table of a pair; 1 and 4 did less on amazon_access
KNOT_DIM = 8  # width of the table of a number
SMALL_NETWORKS = 12  # that n_networks="auto" gives where they take but few
SMALL_BUDGET = 4_200_000  # row-epochs, last passes too: on four cuts of amazon_access 8 had a mean
# log loss of 0.1423, and 12 of 0.1419; on employee_salaries, adult, hotel_bookings all were alike
MANY_NETWORKS = 8  # that it gives else at most: on amazon_access 4, 8, 12 and 24 had a
# log loss of 0.1170, 0.1153, 0.1143 and 0.1132; on movielens_100k 4 and 8 had an RMSE of 0.900 and
# 0.896, on rossmann_200k a MAPE of 0.1010 and 0.0993; on employee_salaries and kick all were alike
NETWORK_BUDGET = 32_000_000  # row-epochs of all of them, folds included; encoders with 20 million
# had one network of uk_used_cars and not three, before boosting an RMSE of 0.0938 and not 0.0922
LEAST_HIDDEN, MOST_HIDDEN = 0.02, 0.05  # of the categories, in training: shares of 0.05, 0.02 and
# 0.01 had a MAPE of 0.1003, 0.0971 and 0.1100 on rossmann_200k, of 0.05 and 0.005 an AUC of 0.756
# and 0.759 on movielens_1m, with wide columns hidden more often; with all alike 0.02 had 0.1107
HIDDEN_ROWS = 4_000  # by column and epoch, of a larger table
FEWEST_STEPS = 30  # of an epoch; a small table takes smaller batches
SMALLEST_BATCH = 16
MOST_CODES = 253  # categories of a column whose codes are written: 255 codes, as boosters have bins
KNOWN_ROWS = 100  # or more categories, if each was seen so often; with 50 trees learn them by heart
MOST_KNOWN_CODES = 4096  # even so
STEADY_ROWS = 1000  # of a category, in whose mean a row's own target is lost


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
    n_epochs : int
        Passes over the training rows.
    rows_together : int
        Rows side by side that were held out together, since they are alike beyond what their
        columns say; 1 where they are not, and where `groups` or a time column were given.
    paired : bool
        Whether networks have tables of the pairs; effects of pairs are seen by those that see
        effects anyway.
    second : Setting or None
        What every second network, of every four where some see effects, has in place of this
        shrinkage, interactions, epochs and tables of pairs, and whether it has batch norm; None if
        all that learn vectors are alike.
    effect_networks : EffectNetworks or None
        Which of the networks see effects in place of vectors; None if none do.
    """

    dims: tuple[int, ...]
    knot_dims: tuple[int, ...]
    shrinkage: tuple[float, ...]
    tried: Mapping[float, float]
    pairs: tuple[tuple[str, str], ...] = ()
    interactions: str = "concatenate"
    n_epochs: int = 1
    rows_together: int = 1
    paired: bool = False
    second: Setting | None = None
    effect_networks: EffectNetworks | None = None

    @property
    def settings(self) -> Settings:
        """What was chosen network by network."""
        first = Setting(self.shrinkage, self.interactions, self.n_epochs, self.paired)
        return Settings(first, self.second, self.effect_networks)


def choose_dims(
    p: SharedParameters, schema: Schema, chosen: Mapping[str, int] | None = None
) -> tuple[int, ...]:
    """Width by column, from a number, a rule, a function, or a mapping of these; then by pair.

    What was `chosen` for a column goes before what the parameter says.
    """
    given = p.embedding_dim
    of_column = given if isinstance(given, Mapping) else {}
    _check_names("embedding_dim", of_column, schema)
    widths = []
    for vocabulary in schema.vocabularies:
        rule = of_column.get(vocabulary.name, "auto") if isinstance(given, Mapping) else given
        rule = (chosen or {}).get(vocabulary.name, rule)
        widths.append(width(rule, max(vocabulary.n_codes - FIRST, 1)))
    for c, kind in enumerate(schema.kinds):
        if kind.name == "concatenate":
            widths[c] = max(widths[c], 2)  # half of it from each of two tables
    for c, kind in enumerate(schema.kinds):
        if kind.name == "shared":
            widths[c] = widths[kind.number]
    return tuple(widths) + (PAIR_DIM,) * len(schema.pairs)


def supported_dims(
    p: SharedParameters, schema: Schema, tables: Sequence[np.ndarray], codes: np.ndarray
) -> dict[str, int]:
    """Width that the data support by column of ``embedding_dim="auto"``, from one trained network.

    The prior draws to the centre what held no gain, so a table's spectrum tells how many directions
    its categories were found to differ in: as many are kept as carry `CARRIED` of the variance over
    the rows.

    Parameters
    ----------
    p : SharedParameters
    schema : Schema
        The columns.
    tables : sequence of ndarray of shape (n_codes, dim), float32
        Vectors by column.
    codes : ndarray of shape (n_rows, n_columns), int32
        Rows that they were trained on.

    Returns
    -------
    dict of str to int
        Never more than the table has.
    """
    widths = {}
    for c, vocabulary in enumerate(schema.vocabularies):
        if not has_open_width(p, vocabulary.name):
            continue
        share = np.bincount(codes[:, c], minlength=vocabulary.n_codes) / len(codes)
        if schema.kinds and schema.kinds[c].name == "list":  # whose codes are those of elements
            share = vocabulary.counts / max(int(vocabulary.counts.sum()), 1)
        vectors = tables[c].astype(np.float64)
        vectors = vectors - share @ vectors
        spectrum = np.linalg.svd(vectors * np.sqrt(share)[:, None], compute_uv=False) ** 2
        carried = np.cumsum(spectrum) / max(spectrum.sum(), 1e-300)
        widths[vocabulary.name] = int(min(np.sum(carried < CARRIED) + 1, vectors.shape[1]))
    return widths


def is_told_by_code(schema: Schema, c: int) -> bool:
    """Whether an encoder writes the codes of a column: of few categories, or of well known ones."""
    if schema.kinds and schema.kinds[c].name == "list":  # a row has several
        return False
    vocabulary = schema.vocabularies[c]
    n_categories = vocabulary.n_codes - FIRST
    most = min(MOST_KNOWN_CODES, int(vocabulary.counts.sum()) // KNOWN_ROWS)
    return n_categories <= max(MOST_CODES, most)


def told_by_code(schema: Schema) -> list[str]:
    """The columns whose codes an encoder writes."""
    return [v.name for c, v in enumerate(schema.vocabularies) if is_told_by_code(schema, c)]


def steady(schema: Schema, c: int) -> np.ndarray:
    """Which codes of a column an encoder tells a model anyway, and knows from very many rows.

    Where rows are grouped, what is written of these is the same in all rows: a row's own target has
    hardly a part in it, while values that differ from fold to fold tell which fold a row is in.
    That is worth a lot in training, as rows of a group are alike, and nothing on new rows: boosting
    on whole days of flights apart had an AUC of 0.653, and of 0.673 with the same values in all
    folds. On adult, without groups, it made no clear difference.

    Parameters
    ----------
    schema : Schema
    c : int
        Number of the categorical column.

    Returns
    -------
    ndarray of shape (n_codes,), bool
    """
    return (schema.vocabularies[c].counts >= STEADY_ROWS) & is_told_by_code(schema, c)


def has_open_width(p: SharedParameters, column: str) -> bool:
    """Whether the parameters leave the width of a column's vectors to be chosen."""
    given = p.embedding_dim
    rule = given.get(column, "auto") if isinstance(given, Mapping) else given
    return is_auto(rule)


def knot_dims(schema: Schema) -> tuple[int, ...]:
    """Width by number with knots; never more than it has knots."""
    return tuple(min(KNOT_DIM, len(n.knots)) for n in schema.numbers if len(n.knots))


def shrinkages(
    p: SharedParameters, schema: Schema, n_tables: int, grid: Sequence[float] = STARTS
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
    names = schema.categorical_names
    settled = not n_tables or (bool(by_column) and all(name in by_column for name in names))
    names += [""] * (n_tables - len(names))
    return {
        strength: tuple(float(by_column.get(name, strength)) for name in names)
        for strength in ([MIDDLE] if settled else grid)
    }


def shrinkage_grid(*, grouped: bool) -> tuple[float, ...]:
    """Strengths of the prior to choose from, the weakest first; `grouped` if rows are alike."""
    return SHRINKAGES + OF_GROUPS if grouped else SHRINKAGES


def epoch_grid(p: SharedParameters, *, grouped: bool = False) -> list[int]:
    """Numbers of epochs to choose from, the fewest first; one only where it is given.

    Where rows are alike by group (`grouped`) a single epoch may have learned the groups by heart.
    """
    if not isinstance(p.n_epochs, str):
        return [p.n_epochs]
    fewest = FEWEST_OF_GROUPS if grouped else FEWEST_EPOCHS
    halves = [p.max_epochs >> i for i in range(1, HALVINGS + grouped + 1)]
    return [*(n for n in reversed(halves) if n >= fewest), p.max_epochs]


def choose_n_networks(
    p: SharedParameters,
    n_rows: int,
    n_epochs: int,
    last_passes: int = 1,
    shorter: float = 1.0,
    n_kinds: int = 1,
) -> int:
    """Networks of a committee; if "auto", as many as `NETWORK_BUDGET` affords.

    Parameters
    ----------
    p : SharedParameters
    n_rows : int
        Of all that are trained on: all rows, and those of each fold.
    n_epochs : int
        Of a network.
    last_passes : int, default=1
        Over its rows and those that it held out, after the last epoch.
    shorter : float, default=1.0
        Mean epochs of the networks as a part of these: those that see effects may need few, and
        more of them take as long as others.
    n_kinds : int, default=1
        Kinds of which there are to be as many networks: two in time, if there are two.

    Returns
    -------
    int
    """
    if not isinstance(p.n_networks, str):
        return p.n_networks
    affordable = int(NETWORK_BUDGET / max(n_rows * n_epochs * shorter, 1)) // n_kinds * n_kinds
    is_small = n_rows * (n_epochs + last_passes) * SMALL_NETWORKS <= SMALL_BUDGET
    most = int((SMALL_NETWORKS if is_small else MANY_NETWORKS) / min(shorter, 1.0)) // 2 * 2
    return max(p.fewest_networks, min(most, affordable))


def choose_category_dropout(p: SharedParameters, n_rows: int) -> float:
    """Share of the categories to hide; if "auto", less of a large table.

    To learn from it takes a number of rows, not a share; the least is there to regularise.
    """
    if not isinstance(p.category_dropout, str):
        return float(p.category_dropout)
    return max(LEAST_HIDDEN, min(MOST_HIDDEN, HIDDEN_ROWS / max(n_rows, 1)))


def choose_batch_size(batch_size: int, n_rows: int) -> int:
    """Rows of a step: as many as asked for, unless an epoch would have too few steps."""
    return min(int(batch_size), max(SMALLEST_BATCH, n_rows // FEWEST_STEPS))


def rows_of_work(batch_size: int, n_rows: int) -> int:
    """Rows, as many more as they take longer in small batches: these take about as long as full."""
    return n_rows * max(1, batch_size // choose_batch_size(batch_size, n_rows))


def width(rule: Any, cardinality: int) -> int:
    """What a number, a rule's name, "auto" or a function says for so many categories."""
    if callable(rule):
        found = rule(cardinality)
    elif isinstance(rule, str):
        found = RULES[DIM_RULE if rule == "auto" else rule](cardinality)
    else:
        found = rule
    if not isinstance(found, int | np.integer) or found < 1:
        raise InputError(
            f"`embedding_dim` gave {found!r} for {cardinality} categories, not an int >= 1"
        )
    return int(found)


def _check_names(parameter: str, of_column: Mapping[str, Any], schema: Schema) -> None:
    check_categorical(parameter, of_column, schema.categorical_names)
