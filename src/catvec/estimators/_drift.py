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
TESTS = 4  # by column: shares, unknown rows, vanished categories, effects; alpha is shared out


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
        How often chance may be taken for drift, over all columns and tests.
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
    n_tests = TESTS * n_columns
    absent = (now == 0) & (before > 0)
    met = int((before + now > 0).sum())
    vanished = absent & (_all_on_one_side(before, n, n + m) * met * n_tests < alpha)
    drifted = min(p_value, p_unknown) * n_tests < alpha or bool(vanished.any())
    unknown = counted.is_unknown
    order = np.argsort(-np.where(vanished, 2 + before, parts + 1e-12 * (unknown * now)))
    named = [i for i in order[:MOST_SHIFTS].tolist() if parts[i] > 0 or vanished[i] or unknown[i]]
    return ColumnDrift(
        column=vocabulary.name,
        distance=distance,
        p_value=min(p_value * n_tests, 1.0),
        n_unknown=int(unknown.sum()),
        share_unknown=float(now[unknown].sum() / max(m, 1)),
        expected_unknown=expected,
        p_unknown=min(p_unknown * n_tests, 1.0),
        n_absent=int(absent.sum()),
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


def _all_on_one_side(rows: np.ndarray, n_side: int, n_both: int) -> np.ndarray:
    """How often chance has all `rows` of a category among the `n_side` of one side.

    Fisher's exact test. It goes by the rows of both sides together, as `_compared` does: a category
    that training met once need not have the share that one row is of it.
    """
    log_ways = special.gammaln([n_side + 1, n_both + 1])
    left = special.gammaln(n_both - rows + 1) - special.gammaln(n_side - rows + 1)
    return np.exp(np.minimum(left + log_ways[0] - log_ways[1], 0))


def _unknown(counted: _Counted, n: int, m: int) -> tuple[float, float]:
    """p-value of the unknown rows, and the share that training leads one to expect (Good).

    With the rows of both sides dealt out anew, those values are unknown whose rows all come to the
    later side. Too many may be such values, or their rows, or the rows of one of them.
    """
    if not n or not m:
        return 1.0, 0.0
    expected = int((counted.before[1:] == 1).sum()) / n
    unknown = counted.is_unknown[FIRST:]
    if not unknown.any():
        return 1.0, expected
    both = (counted.before + counted.now)[FIRST:]
    met, place, times = np.unique(both, return_inverse=True, return_counts=True)
    came = np.bincount(place, unknown, len(met))
    chance = _all_on_one_side(met, m, n + m)
    p_values = [
        _tail(np.ones(len(met)), chance, times, came),
        _tail(met, chance, times, came),
        float(chance[came > 0].min()) * len(both),
    ]
    return min(len(p_values) * min(p_values), 1.0), expected


def _tail(size: np.ndarray, chance: np.ndarray, times: np.ndarray, came: np.ndarray) -> float:
    """How often the sizes of events add up to those that came, at most: Chernoff's bound.

    Events of each `size` and `chance` can happen `times` and did as often as `came`. Those here
    hinder one another (Joag-Dev & Proschan 1983, Annals of Statistics 11, theorem 2.11), so the
    bound holds as for independent ones; and it does in the tail, where a normal law would not.
    """
    tilts = np.geomspace(1e-9, 10, 200)[:, None]  # it holds for each
    with np.errstate(divide="ignore"):
        moments = np.logaddexp(np.log1p(-chance), np.log(chance) + tilts * size)
    return float(np.exp(min((moments @ times - tilts[:, 0] * (size @ came)).min(), 0)))


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
    weight: np.ndarray,
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
        Of training, by code; its weights are 1 on average.
    arrays : Arrays
        The later rows, by the codes of training.
    values : ndarray of shape (n_rows,), float64
        Their target.
    weight : ndarray of shape (n_rows,), float64
        Their weights, in any unit.
    alpha : float
        How often chance may be taken for drift, over all columns and tests.

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
    # Uneven weights tell as much as fewer rows: (sum w)^2 / sum w^2 (Kish 1965, Survey Sampling).
    # Training kept no squares of weights; its rows are taken to be as uneven.
    weight = weight / weight.mean()
    worth = weight.sum() / (weight @ weight)
    before, weight = before.times(worth), weight * worth
    evidence = Evidence(codes, sizes, values, target.task, target.n_outputs, weight)
    now, uneven = Statistics.of(evidence), _unevenness(evidence)
    means = [side.totals[1:] / side.totals[0] for side in (before, now)]  # (n_outputs,)
    spread = np.array([(before.squares + now.squares) / (before.totals[0] + now.totals[0])])
    if target.classes is not None:
        spread = _variance_of_shares(means[0], uneven)
    tests = []
    for c, vocabulary in enumerate(schema.vocabularies):
        z, rows = _shift_of_column(before, now, spread, c, evidence, uneven)
        tests.append((vocabulary.name, z, rows))
    n_tests = TESTS * max(sum(int(np.isfinite(z).sum()) for _, z, _ in tests), 1)
    found = [
        _effect_shift(vectors, before, now, target, c, name, place, z, rows, n_tests)
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


def _unevenness(evidence: Evidence) -> np.ndarray:
    """Mean weight, by weight, of rows in and outside the class of each output (2, n_outputs)."""
    if evidence.task not in ("binary", "multiclass"):
        return np.ones((2, 1))
    classes, weight = evidence.values.astype(np.int64), evidence.weight
    n_classes = max(evidence.n_classes, 2)
    sums = np.stack([np.bincount(classes, weight**power, n_classes) for power in (1, 2)])
    sums = np.stack([sums, sums.sum(axis=1, keepdims=True) - sums])[..., -evidence.n_classes :]
    return np.divide(sums[:, 1], sums[:, 0], np.ones_like(sums[:, 0]), where=sums[:, 0] > 0)


def _variance_of_shares(shares: np.ndarray, uneven: np.ndarray) -> np.ndarray:
    """Of being in a class, by unit of weight: `shares` and 0 to 1 of the same shape."""
    return np.maximum(shares * (1 - shares), 0) * ((1 - shares) * uneven[0] + shares * uneven[1])


def _shift_of_column(
    before: Statistics,
    now: Statistics,
    spread: np.ndarray,
    c: int,
    evidence: Evidence,
    uneven: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Shift of each code's mean, beyond that of all, over its error, NaN where untested; its rows.

    The error takes the larger of two variances: within the category's own rows here, and that of
    a category with the mean of both sides; so noisy categories are no drift.
    """
    codes = evidence.codes[:, c]
    weights = [side.weights[c][:, None] for side in (before, now)]
    sums = [side.sums[c] for side in (before, now)]
    fewest = np.minimum(*weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (sums[0] + sums[1]) / (weights[0] + weights[1])
        variance = np.broadcast_to(spread, pooled.shape)
        enough = fewest >= FEWEST_ROWS
        if evidence.task in ("binary", "multiclass"):
            variance = _variance_of_shares(pooled, uneven)
            rows = fewest * pooled / uneven[0], fewest * (1 - pooled) / uneven[1]
            enough = (rows[0] + rows[1] >= FEWEST_ROWS) & (np.minimum(*rows) >= FEWEST_EXPECTED)
        else:
            # About the mean of each code: squares of values far from 0 would leave no digits.
            residuals = evidence.values - (sums[1] / weights[1])[codes, 0]
            own = np.bincount(codes, (evidence.weight * residuals) ** 2, len(pooled))[:, None]
            variance = np.fmax(variance, own / np.maximum(weights[1] - 1, 1))
            if evidence.task == "count":
                enough = enough & (pooled * fewest >= FEWEST_EXPECTED)
        shift = sums[1] / weights[1] - sums[0] / weights[0]
        center, uncertain = _common(shift, enough, weights[1], spread, before, now)
        error = variance * (1 / weights[0] + 1 / weights[1]) + uncertain
        z = (shift - center) / np.sqrt(error)
    z = np.where(enough & np.isfinite(z), z, np.nan)
    z[UNKNOWN] = np.nan
    return z, np.bincount(codes, minlength=len(z))


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
    before: Statistics,
    now: Statistics,
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
    trained, later = before.weights[c][code], now.weights[c][code]
    confidence = float(confidences[code])
    strength = trained * (1 - confidence) / confidence if confidence > 0 else np.inf
    mean = now.totals[output + 1] / now.totals[0]
    shrunk = mean + later / (later + strength) * (now.sums[c][code, output] / later - mean)
    new = link(shrunk, target.task) - link(mean, target.task)
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
