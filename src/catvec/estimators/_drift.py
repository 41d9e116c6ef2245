"""Has a later table drifted? Its categories, their shares and effects beside those of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from catvec.effects import Evidence, Statistics, link
from catvec.estimators._drift_report import CategoryShift, ColumnDrift, EffectShift
from catvec.frames import (
    FIRST,
    MISSING,
    UNKNOWN,
    Arrays,
    Column,
    HashedVocabulary,
    Schema,
    Target,
    Vocabulary,
    grow,
)
from catvec.vectors import CategoryVectors

FEWEST_EXPECTED = 5.0  # rows of a cell that chi-squared is trusted with (Cochran 1954)
FEWEST_ROWS = 20  # of a category whose mean is compared
MOST_SHIFTS = 10  # categories named by column


def column_drift(
    vocabulary: Vocabulary, column: Column, alpha: float, n_columns: int
) -> ColumnDrift:
    """Compare the categories of a column with those of training.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of training.
    column : Column
        Later rows, at least one.
    alpha : float
        How often chance may be taken for drift, over all columns.
    n_columns : int
        Columns that are tested beside one another.

    Returns
    -------
    ColumnDrift
    """
    counted = _Counted.of(vocabulary, column)
    before, now = counted.before, counted.now
    n, m = int(before.sum()), int(now.sum())
    distance, p_value, parts = _compared(before, now)
    p_unknown, expected = _unknown(counted, n, m)
    unlikely = np.exp(m * np.log1p(-np.minimum(before / max(n, 1), 1 - 1e-12)))
    tested = max(int((before > 0).sum()), 1) * n_columns
    vanished = (now == 0) & (before > 0) & (unlikely * tested < alpha)
    drifted = min(p_value, p_unknown) * n_columns < alpha or bool(vanished.any())
    unknown = counted.is_unknown
    order = np.argsort(-np.where(vanished, 2 + before, parts + 1e-12 * (unknown * now)))
    named = [i for i in order[:MOST_SHIFTS].tolist() if parts[i] > 0 or vanished[i] or unknown[i]]
    return ColumnDrift(
        column=vocabulary.name,
        distance=distance,
        p_value=min(p_value * n_columns, 1.0),
        n_unknown=int(unknown.sum()),
        share_unknown=float(now[unknown].sum() / max(m, 1)),
        expected_unknown=expected,
        p_unknown=min(p_unknown * n_columns, 1.0),
        n_absent=int(((now == 0) & (before > 0)).sum()),
        share_vanished=float(before[vanished].sum() / max(n, 1)),
        share_missing_before=float(before[MISSING] / max(n, 1)),
        share_missing=float(now[MISSING] / max(m, 1)),
        shifts=tuple(counted.shift(i, bool(vanished[i])) for i in named),
        drifted=drifted,
    )


@dataclass(frozen=True, eq=False)
class _Counted:
    """Rows of each value before and now, missing ones at `MISSING`; the first entry is empty."""

    vocabulary: Vocabulary  # knows the values of both
    before: np.ndarray
    now: np.ndarray
    is_unknown: np.ndarray

    @classmethod
    def of(cls, vocabulary: Vocabulary, column: Column) -> _Counted:
        if isinstance(vocabulary, HashedVocabulary):
            now = np.bincount(vocabulary.encode(column), minlength=vocabulary.n_codes)
            before = vocabulary.counts.copy()
            return cls(vocabulary, before, now, np.zeros(len(now), bool))
        growth = grow(vocabulary, column, min_frequency=1)  # with a code for rare values, too
        both = growth.vocabulary
        before = np.zeros(both.n_codes, np.int64)
        counts = np.concatenate([vocabulary.counts, *vocabulary.rare_counts])
        before[growth.moved[1:]] = counts[1:]
        now = both.counts - before
        now[UNKNOWN] = 0
        is_unknown = np.ones(both.n_codes, bool)
        is_unknown[growth.moved] = False
        is_unknown[:2] = False
        return cls(both, before, now, is_unknown)

    def shift(self, code: int, vanished: bool) -> CategoryShift:
        kind = "unknown" if self.is_unknown[code] else "known"
        if not self.now[code]:
            kind = "vanished" if vanished else "absent"
        return CategoryShift(
            category=category_of(self.vocabulary, code),
            kind=kind,
            rows=int(self.now[code]),
            share_before=float(self.before[code] / max(self.before.sum(), 1)),
            share_now=float(self.now[code] / max(self.now.sum(), 1)),
        )


def _compared(before: np.ndarray, now: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Divergence, p-value of homogeneity, and each value's part in the divergence.

    Which values are pooled is decided by the rows of both sides together: were it by those of
    training, categories would be chosen for having been met there, and look rarer now by that
    alone.
    """
    n, m = before.sum(), now.sum()
    both = before + now
    alone = both * min(n, m) / max(n + m, 1) >= FEWEST_EXPECTED
    parts = np.zeros(len(both))
    if not n or not m:
        return 0.0, 1.0, parts
    cells = [np.append(side[alone], side[~alone].sum()) for side in (before, now)]
    pooled = cells[0][-1] + cells[1][-1]
    if pooled * min(n, m) / (n + m) < FEWEST_EXPECTED:  # too few even together
        cells = [side[:-1] for side in cells]
    shares = [side / max(side.sum(), 1) for side in cells]
    middle = (shares[0] + shares[1]) / 2
    each = sum(special.rel_entr(share, middle) for share in shares) / (2 * np.log(2))
    parts[alone] = each[: int(alone.sum())]
    return float(each.sum()), _homogeneity(*cells), parts


def _homogeneity(one: np.ndarray, other: np.ndarray) -> float:
    """p-value of Pearson's chi-squared test that two rows of counts have the same shares."""
    total = one + other
    n, m = one.sum(), other.sum()
    if len(total) < 2 or not n or not m:
        return 1.0
    expected = np.stack([total * n, total * m]) / (n + m)
    statistic = ((np.stack([one, other]) - expected) ** 2 / expected).sum()
    return float(special.chdtrc(len(total) - 1, statistic))


def _unknown(counted: _Counted, n: int, m: int) -> tuple[float, float]:
    """p-value of so many unknown rows, and their expected share, by Good and Turing.

    The share of rows whose category training never met is about that of its categories with one
    row, n1 / n; that estimate has the variance (n1 + 2 n2) / n^2 (Robbins 1968, Annals of
    Mathematical Statistics 39; Esty 1983, Annals of Statistics 11, for the second term).
    """
    once, twice = (int((counted.before[1:] == k).sum()) for k in (1, 2))
    if not n or not m:
        return 1.0, 0.0
    expected = once / n
    found = float(counted.now[counted.is_unknown].sum())
    at_least = max(once, 1) / n  # one more row might have been the first of a category
    variance = m * at_least + m**2 * (max(once, 1) + 2 * twice) / n**2
    z = (found - m * at_least - 0.5) / np.sqrt(variance)
    return float(special.ndtr(-z)), expected


def category_of(vocabulary: Vocabulary, code: int) -> Any:
    """A category as a Python value: None for the missing one, a text for a bucket."""
    if code == MISSING:
        return None
    if isinstance(vocabulary, HashedVocabulary) and code >= FIRST + len(vocabulary):
        return f"bucket {code - FIRST - len(vocabulary)}"
    category = vocabulary.categories[code - FIRST]
    return category.item() if isinstance(category, np.generic) else category


# --- effects ----------------------------------------------------------------------------


def effect_shifts(
    schema: Schema,
    target: Target,
    vectors: CategoryVectors,
    before: Statistics,
    arrays: Arrays,
    values: np.ndarray,
    alpha: float,
) -> tuple[tuple[EffectShift, ...], tuple[float, float, float, Any]]:
    """Compare the effects of later rows with those of training.

    Parameters
    ----------
    schema : Schema
    target : Target
    vectors : CategoryVectors
        With the effects of training.
    before : Statistics
        Of training, by code.
    arrays : Arrays
        The later rows, by the codes of training.
    values : ndarray of shape (n_rows,), float64
        Their target.
    alpha : float
        How often chance may be taken for a shift, over all categories.

    Returns
    -------
    shifts : tuple of EffectShift
        Those that are no chance, the surest first.
    overall : tuple
        Mean of the target before and now, the difference over its standard error, and None; of more
        than two classes the share of that which moved surest, and the class.
    """
    sizes = schema.n_codes[: len(schema.vocabularies)]
    codes = arrays.codes[:, : len(sizes)]
    ones = np.ones(len(values))
    evidence = Evidence(codes, sizes, values, target.task, target.n_outputs, ones)
    now = Statistics.of(evidence)
    means = [side.totals[1:] / side.totals[0] for side in (before, now)]  # (n_outputs,)
    spread = _variance(before, now, means[0], target)
    tests = []
    for c, vocabulary in enumerate(schema.vocabularies):
        z, rows = _shift_of_column(before, now, spread, c, target, codes[:, c], values)
        tests.append((vocabulary.name, z, rows))
    n_tests = max(sum(int(np.isfinite(z).sum()) for _, z, _ in tests), 1)
    found = [
        _effect_shift(vectors, now, means[1], target, c, name, place, z, rows, n_tests)
        for c, (name, z, rows) in enumerate(tests)
        for place in np.argwhere(2 * special.ndtr(-np.abs(z)) * n_tests < alpha).tolist()
    ]
    error = np.sqrt(spread * (1 / before.totals[0] + 1 / now.totals[0]))
    shift = np.divide(means[1] - means[0], error, out=np.zeros_like(error), where=error > 0)
    moved = int(np.argmax(np.abs(shift)))
    overall = *(float(part[moved]) for part in (*means, shift)), _label(target, moved)
    return tuple(sorted(found, key=lambda one: -abs(one.z))), overall


def _label(target: Target, output: int) -> Any:
    """The class of an output; None where there is one output for all."""
    labels = target.labels if target.task == "multiclass" else None
    return None if labels is None else labels[output]


def _variance(before: Statistics, now: Statistics, mean: np.ndarray, target: Target) -> np.ndarray:
    """Variance of the target about its mean, by output (n_outputs,)."""
    if target.classes is not None:
        return np.asarray(mean * (1 - mean))
    return np.array([(before.squares + now.squares) / (before.totals[0] + now.totals[0])])


def _shift_of_column(
    before: Statistics,
    now: Statistics,
    spread: np.ndarray,
    c: int,
    target: Target,
    codes: np.ndarray,
    values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Shift of each code's mean, beyond that of all, over its error; NaN where untested.

    The error takes the larger of two variances: within the category's own rows here, and that of
    a category with the mean of both sides; so noisy categories are no drift.
    """
    weights = [side.weights[c][:, None] for side in (before, now)]
    sums = [side.sums[c] for side in (before, now)]
    total = weights[0] + weights[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (sums[0] + sums[1]) / total
        variance = np.broadcast_to(spread, pooled.shape)
        enough = (weights[1] >= FEWEST_ROWS) & (weights[0] >= FEWEST_ROWS)
        if target.classes is not None:
            variance = np.maximum(pooled * (1 - pooled), 0)
            rarest = np.minimum(pooled, 1 - pooled) * np.minimum(*weights)
            enough = enough & (rarest >= FEWEST_EXPECTED)
        else:
            own = np.bincount(codes, values**2, len(pooled))[:, None] / weights[1]
            own = own - (sums[1] / weights[1]) ** 2
            variance = np.fmax(variance, own * weights[1] / np.maximum(weights[1] - 1, 1))
            if target.task == "count":
                enough = enough & (pooled * np.minimum(*weights) >= FEWEST_EXPECTED)
        shift = sums[1] / weights[1] - sums[0] / weights[0]
        center, uncertain = _common(shift, enough, weights[1], spread, before, now)
        error = variance * (1 / weights[0] + 1 / weights[1]) + uncertain
        z = (shift - center) / np.sqrt(error)
    z = np.where(enough & np.isfinite(z), z, np.nan)
    z[UNKNOWN] = np.nan
    return z, now.weights[c]


def _common(
    shift: np.ndarray,
    tested: np.ndarray,
    weight: np.ndarray,
    spread: np.ndarray,
    before: Statistics,
    now: Statistics,
) -> tuple[np.ndarray, np.ndarray]:
    """What all categories share of their shift (n_outputs,), and the variance of that.

    The median over the rows, since a mean would be drawn by the very categories that moved, and
    let all others look as if they had moved the other way. It is pi / 2 times as uncertain.
    """
    centers = []
    for output in range(shift.shape[1]):
        places = np.flatnonzero(tested[:, min(output, tested.shape[1] - 1)])
        places = places[places != UNKNOWN]
        if not len(places):
            centers.append(0.0)
            continue
        order = places[np.argsort(shift[places, output])]
        passed = np.cumsum(weight[order, 0])
        centers.append(float(shift[order[np.searchsorted(passed, passed[-1] / 2)], output]))
    uncertain = np.pi / 2 * spread * (1 / before.totals[0] + 1 / now.totals[0])
    return np.array(centers), uncertain


def _effect_shift(
    vectors: CategoryVectors,
    now: Statistics,
    mean: np.ndarray,
    target: Target,
    c: int,
    name: str,
    place: Sequence[int],
    z: np.ndarray,
    rows: np.ndarray,
    n_tests: int,
) -> EffectShift:
    code, output = place
    column = vectors[name]
    effects, confidences = column.by_code()[1:]
    old = effects[code] if effects.ndim == 1 else effects[code, output]
    # Rows here are believed as far as as many would have been in training.
    n, confidence = column.vocabulary.counts[code], float(confidences[code])
    strength = n * (1 - confidence) / confidence if confidence > 0 else np.inf
    believed = rows[code] / (rows[code] + strength)
    shrunk = mean[output] + believed * (now.sums[c][code, output] / rows[code] - mean[output])
    new = link(shrunk, target.task) - link(mean[output], target.task)
    return EffectShift(
        column=name,
        category=category_of(column.vocabulary, code),
        output=_label(target, output),
        rows=int(rows[code]),
        effect_before=float(old),
        effect_now=float(new),
        z=float(z[code, output]),
        p_value=float(min(2 * special.ndtr(-abs(z[code, output])) * n_tests, 1.0)),
    )
