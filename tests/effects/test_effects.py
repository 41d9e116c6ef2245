"""Shrunk effects: the formula in loops, weights, cross-fitting, and what noise is worth."""

import numpy as np
import pytest

from catvec.effects import Evidence, Statistics, effects_of, learn_effects
from tests.reference import effects_of_column, link, prior_strength

TASKS = ["regression", "binary", "count", "multiclass"]
N_CLASSES = 3


def target_of(rng, task, signal):
    if task == "regression":
        return signal + rng.normal(size=len(signal))
    if task == "binary":
        return (signal + rng.logistic(size=len(signal)) > 0).astype(np.float64)
    if task == "count":
        return rng.poisson(np.exp(signal / 2)).astype(np.float64)
    noise = rng.gumbel(size=(len(signal), N_CLASSES))
    return (noise + np.outer(signal, [-1, 0, 1])).argmax(axis=1).astype(np.float64)


def evidence_of(rng, task, *, n_rows=400, sizes=(5, 40), strength=1.0, weighted=False):
    """Rows with columns of so many categories; the codes 0 and 1 and the last have no rows."""
    codes = np.column_stack([rng.integers(2, size + 2, n_rows) for size in sizes])
    signal = strength * sum(rng.normal(size=size + 2)[codes[:, i]] for i, size in enumerate(sizes))
    weight = rng.gamma(2.0, size=n_rows) if weighted else np.ones(n_rows)
    return Evidence(
        codes.astype(np.int32),
        tuple(size + 3 for size in sizes),
        target_of(rng, task, signal),
        task,
        N_CLASSES if task == "multiclass" else 1,
        weight,
    )


def same(left, right, **tolerance):
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one.effects, other.effects, **tolerance)
        np.testing.assert_allclose(one.confidences, other.confidences, **tolerance)
        assert one.strength == pytest.approx(other.strength)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", ["regression", "binary", "count"])
@pytest.mark.parametrize("seed", range(3))
def test_the_naive_twin_agrees(seed, task, weighted):
    evidence = evidence_of(np.random.default_rng(seed), task, weighted=weighted)
    for c, effect in enumerate(learn_effects(evidence)):
        effects, confidences, strength = effects_of_column(
            evidence.codes[:, c].tolist(),
            evidence.n_codes[c],
            evidence.values.tolist(),
            evidence.weight.tolist(),
            task,
        )
        assert effect.strength == pytest.approx(strength)
        np.testing.assert_allclose(effect.effects[:, 0], effects, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(effect.confidences, confidences, rtol=1e-5)
        assert effect.effects.dtype == effect.confidences.dtype == np.float32


@pytest.mark.parametrize("seed", range(3))
def test_the_naive_twin_agrees_for_classes(seed):
    evidence = evidence_of(np.random.default_rng(seed), "multiclass", weighted=True)
    weight, codes = evidence.weight, evidence.codes[:, 0]
    is_class = evidence.values[:, None] == np.arange(N_CLASSES)
    mean = np.average(is_class, axis=0, weights=weight)
    n = [weight[codes == k].sum() for k in range(evidence.n_codes[0])]
    means = [
        np.average(is_class[codes == k], axis=0, weights=weight[codes == k]) if n[k] else mean
        for k in range(evidence.n_codes[0])
    ]
    squares = float((weight[:, None] * (is_class - mean) ** 2).sum())
    strength = prior_strength(n, [m - mean for m in means], squares)
    (effect, _) = learn_effects(evidence)
    assert effect.strength == pytest.approx(strength)
    for k, mean_k in enumerate(means):
        for j in range(N_CLASSES):
            shrunk = mean[j] + n[k] / (n[k] + strength) * (mean_k[j] - mean[j])
            expected = link(shrunk, "multiclass") - link(mean[j], "multiclass")
            assert effect.effects[k, j] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(3))
def test_a_row_given_twice_is_a_row_of_weight_two(seed, task):
    rng = np.random.default_rng(seed)
    evidence = evidence_of(rng, task)
    twice = rng.random(400) < 0.3
    doubled = evidence.take(np.concatenate([np.arange(400), np.flatnonzero(twice)]))
    weighted = Evidence(**{**vars(evidence), "weight": 1.0 + twice})
    same(learn_effects(doubled), learn_effects(weighted), rtol=1e-5, atol=1e-6)
    without = Evidence(**{**vars(evidence), "weight": 1.0 - twice})
    kept = evidence.take(np.flatnonzero(~twice))
    same(learn_effects(kept), learn_effects(without), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_the_order_of_rows_changes_nothing(task, rng):
    evidence = evidence_of(rng, task)
    turned = evidence.take(rng.permutation(400))
    same(learn_effects(evidence), learn_effects(turned), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_what_was_never_seen_has_no_effect(task, rng):
    for effect in learn_effects(evidence_of(rng, task)):
        for code in (0, 1, -1):
            assert not effect.effects[code].any()
            assert effect.confidences[code] == 0
        assert effect.effects.dtype == effect.confidences.dtype == np.float32


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(5))
def test_confidence_grows_with_rows_and_effects_are_shrunk(seed, task):
    rng = np.random.default_rng(seed)
    evidence = evidence_of(rng, task, sizes=(300,))
    (effect,) = learn_effects(evidence)
    counts = np.bincount(evidence.codes[:, 0], minlength=evidence.n_codes[0])
    assert ((effect.confidences >= 0) & (effect.confidences <= 1)).all()
    assert (np.diff(effect.confidences[np.argsort(counts, kind="stable")]) >= 0).all()
    if task == "regression":
        mean = evidence.values.mean()
        for code in np.unique(evidence.codes):
            raw = evidence.values[evidence.codes[:, 0] == code].mean() - mean
            assert abs(effect.effects[code, 0]) <= abs(raw) + 1e-6
            assert effect.effects[code, 0] * raw >= 0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_tiny_effects_and_signal_has_large_ones(seed, task):
    rng = np.random.default_rng(seed)
    noise, signal = (
        evidence_of(rng, task, n_rows=20_000, sizes=(100,), strength=s) for s in (0.0, 1.0)
    )
    spread = [np.abs(learn_effects(e)[0].effects).max() for e in (noise, signal)]
    assert spread[0] < 0.15 < 1 < spread[1]
    assert learn_effects(noise)[0].strength > 1000
    assert learn_effects(signal)[0].strength < 100


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_variances_are_recovered(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(2, 502, size=(20_000, 1)).astype(np.int32)
    values = rng.normal(scale=0.5, size=502)[codes[:, 0]] + rng.normal(scale=2.0, size=20_000)
    evidence = Evidence(codes, (502,), values, "regression", 1, np.ones(20_000))
    assert learn_effects(evidence)[0].strength == pytest.approx(2.0**2 / 0.5**2, rel=0.25)


# --- sufficient statistics ---------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(3))
def test_statistics_of_parts_add_up_to_those_of_all_rows(seed, task):
    rng = np.random.default_rng(seed)
    evidence = evidence_of(rng, task, weighted=True)
    if task == "regression":  # far from 0, where a difference of large sums would have no digits
        evidence = Evidence(**{**vars(evidence), "values": evidence.values + 1e6})
    cuts = np.sort(rng.integers(400, size=30))
    parts = [evidence.take(rows) for rows in np.split(np.arange(400), cuts)]
    total = Statistics.of(parts[0])
    for part in parts[1:]:  # empty ones, too
        total = total.plus(Statistics.of(part))
    assert total.squares == pytest.approx(Statistics.of(evidence).squares, rel=1e-9)
    same(effects_of(total, task), learn_effects(evidence), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_statistics_move_with_their_codes(task, rng):
    evidence = evidence_of(rng, task)
    onto = [rng.integers(n, size=n) for n in evidence.n_codes]
    codes = np.column_stack([to[evidence.codes[:, c]] for c, to in enumerate(onto)])
    moved = Evidence(**{**vars(evidence), "codes": codes.astype(np.int32)})
    found = Statistics.of(evidence).moved(onto, evidence.n_codes)
    same(effects_of(found, task), learn_effects(moved), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_half_forgotten_has_half_the_weight(task, rng):
    evidence = evidence_of(rng, task)
    half = Evidence(**{**vars(evidence), "weight": evidence.weight / 2})
    found = effects_of(Statistics.of(evidence).times(0.5), task)
    same(found, learn_effects(half), rtol=1e-5, atol=1e-6)


# --- edges ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "value"),
    [("regression", 0.1), ("binary", 1.0), ("binary", 0.0), ("count", 0.0), ("multiclass", 2.0)],
)
def test_a_constant_target_has_no_effects(task, value, rng):
    evidence = evidence_of(rng, task)
    constant = Evidence(**{**vars(evidence), "values": np.full(400, value)})
    for effect in learn_effects(constant):
        np.testing.assert_allclose(effect.effects, 0, atol=1e-6)
        assert np.isfinite(effect.confidences).all()


@pytest.mark.parametrize("task", TASKS)
def test_one_category_tells_nothing(task, rng):
    evidence = evidence_of(rng, task)
    one = Evidence(**{**vars(evidence), "codes": np.full((400, 2), 2, np.int32)})
    for effect in learn_effects(one):
        np.testing.assert_allclose(effect.effects, 0, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_a_category_of_its_own_for_every_row(task, n_rows, rng):
    evidence = evidence_of(rng, task, n_rows=n_rows)
    codes = np.column_stack([np.arange(2, n_rows + 2)] * 2).astype(np.int32)
    own = Evidence(**{**vars(evidence), "codes": codes, "n_codes": (n_rows + 2,) * 2})
    for effect in learn_effects(own):
        np.testing.assert_allclose(effect.effects, 0, atol=1e-6)


def test_a_column_that_explains_the_target_fully_keeps_a_trace_of_doubt():
    codes = np.repeat(np.arange(2, 6), 5)[:, None].astype(np.int32)
    values = codes[:, 0].astype(float)
    (effect,) = learn_effects(Evidence(codes, (6,), values, "regression", 1, np.ones(20)))
    np.testing.assert_allclose(effect.effects[2:, 0], [-1.5, -0.5, 0.5, 1.5], rtol=1e-3)
    assert (effect.confidences[2:] < 1).all()


def test_no_columns(rng):
    evidence = evidence_of(rng, "regression")
    nothing = Evidence(**{**vars(evidence), "codes": evidence.codes[:, :0], "n_codes": ()})
    assert learn_effects(nothing) == []
