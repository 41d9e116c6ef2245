"""Losses: derivatives by finite differences, starts by search, links and refusals."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from catvec.errors import ParameterError
from catvec.network import LOSSES, make_loss

SIMPLE = ["squared", "absolute", "quantile", "logistic", "poisson"]


def drawn(name, n=50):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(n, 3 if name == "softmax" else 1))
    target = {
        "logistic": rng.integers(0, 2, n),
        "softmax": rng.integers(0, 3, n),
        "poisson": rng.poisson(2, n),
    }.get(name, rng.normal(size=n))
    return make_loss(name, scores.shape[1], 0.3 if name == "quantile" else None), scores, target


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_by_finite_differences(name):
    loss, scores, target = drawn(name)
    numeric = np.empty_like(scores)
    for k in range(scores.shape[1]):
        step = np.zeros_like(scores)
        step[:, k] = 1e-6
        above, below = loss.values(scores + step, target), loss.values(scores - step, target)
        numeric[:, k] = (above - below) / 2e-6
    np.testing.assert_allclose(loss.slopes(scores, target), numeric, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_are_those_of_the_weighted_mean(name):
    loss, scores, target = drawn(name)
    weight = np.random.default_rng(2).uniform(0, 2, len(target))
    gradient = loss.slopes(scores, target) * (weight / weight.sum())[:, None]
    nudge = np.random.default_rng(3).normal(size=scores.shape) * 1e-6
    change = loss.value(scores + nudge, target, weight) - loss.value(scores - nudge, target, weight)
    assert change == pytest.approx(2 * np.sum(nudge * gradient), rel=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", SIMPLE)
def test_no_constant_is_much_better_than_the_initial_score(name, weighted):
    loss, _, target = drawn(name, 400)
    weight = np.random.default_rng(4).integers(0, 3, 400).astype(float) if weighted else None

    def value(score):
        return loss.value(np.full((400, 1), score), target, weight)

    best = minimize_scalar(value, bounds=(-5, 5), method="bounded").fun
    assert value(loss.initial(target, weight)[0]) <= best + 1e-3


@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e7])
def test_an_initial_rate_does_not_depend_on_the_unit_of_the_exposure(unit):
    """Neither where exposures are weights, nor where there are none and rates are small."""
    loss, years, claims = make_loss("poisson", 1), np.full(50, 2.0), np.arange(50) % 3
    rate = claims / years * unit
    expected = np.log(claims.sum() / years.sum() * unit)
    assert loss.initial(rate, years / unit)[0] == pytest.approx(expected)
    assert loss.initial(rate)[0] == pytest.approx(expected)


def test_initial_softmax_is_the_log_of_the_shares():
    loss = make_loss("softmax", 3)
    target = np.repeat([0, 1, 2], [600, 300, 100])
    np.testing.assert_allclose(loss.mean(loss.initial(target)[None])[0], [0.6, 0.3, 0.1], atol=2e-3)


@pytest.mark.parametrize("name", ["logistic", "softmax", "poisson"])
def test_initial_is_finite_where_a_class_is_absent(name):
    loss = make_loss(name, 2 if name == "softmax" else 1)
    assert np.isfinite(loss.initial(np.zeros(5))).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_of_weight_two_is_a_row_given_twice(name):
    loss, scores, target = drawn(name)
    weight = np.ones(len(target))
    weight[:7] = 2
    twice = np.concatenate([np.arange(len(target)), np.arange(7)])
    assert loss.value(scores, target, weight) == pytest.approx(
        loss.value(scores[twice], target[twice])
    )


def test_softmax_stays_finite_for_large_scores():
    loss, scores = make_loss("softmax", 3), np.array([[1000.0, 0.0, -1000.0]])
    np.testing.assert_allclose(loss.values(scores, np.array([1.0])), 1000)
    np.testing.assert_allclose(loss.mean(scores), [[1, 0, 0]], atol=1e-12)
    some = np.array([[0.3, -1.0, 2.0]])
    assert loss.values(some, np.array([0]))[0] == pytest.approx(logsumexp(some) - 0.3)


def test_links():
    scores = np.array([[0.0], [1.0]])
    np.testing.assert_allclose(make_loss("logistic").mean(scores), [0.5, 1 / (1 + np.exp(-1))])
    np.testing.assert_allclose(make_loss("poisson").mean(scores), [1, np.e])
    for name in ("squared", "absolute", "quantile"):
        np.testing.assert_array_equal(make_loss(name).mean(scores), [0, 1])


@pytest.mark.parametrize("name", SIMPLE)
def test_nothing_to_average(name):
    loss = make_loss(name)
    assert loss.value(np.empty((0, 1)), np.empty(0)) == 0
    assert np.isfinite(loss.initial(np.empty(0))).all()


def test_refusals():
    with pytest.raises(ParameterError, match="`loss` must be one of 'squared'"):
        make_loss("hinge")
    with pytest.raises(ParameterError, match="`n_outputs` must be 1 for the loss 'squared', got 3"):
        make_loss("squared", 3)
    with pytest.raises(ParameterError, match="`n_outputs` must be an int >= 2"):
        make_loss("softmax", 1)
    with pytest.raises(ParameterError, match="`quantile` must be a float in"):
        make_loss("quantile", quantile=1.0)
