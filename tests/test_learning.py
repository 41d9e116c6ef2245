"""Planted structure is found: what the library is for, on tables whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from catvec import EmbeddingClassifier, EmbeddingRegressor

N_TRAIN, N = 2400, 4000


def learned(X, y, **parameters):
    """A model of the first rows and its R2 on the others."""
    few = {"n_networks": 2, "n_epochs": 10, "random_state": 0}
    model = EmbeddingRegressor(**few, **parameters)
    model.fit(X[:N_TRAIN], y[:N_TRAIN])
    return model, r2_score(y[N_TRAIN:], model.predict(X[N_TRAIN:]))


def test_effects_and_neighbours_of_a_planted_hierarchy(rng):
    """Towns of the same region behave alike: their vectors are neighbours, effects the truth."""
    region, slope = np.arange(60) // 15, rng.normal(size=4)
    town, x = rng.integers(60, size=N), rng.normal(size=N)
    shift = 2.0 * rng.normal(size=60)
    y = shift[town] + 2.0 * slope[region[town]] * x + 0.3 * rng.normal(size=N)
    X = pd.DataFrame({"town": np.char.add("t", np.char.zfill(town.astype(str), 2)), "x": x})
    model, r2 = learned(X, y)
    assert r2 > 0.95
    effects = model.vectors_["town"].effects
    assert np.corrcoef(effects, shift)[0, 1] > 0.95


def test_an_interaction_without_main_effects(rng):
    """Each column alone says nothing, the two together everything."""
    sign = rng.choice([-1.0, 1.0], size=(2, 30))
    codes = rng.integers(30, size=(N, 2))
    y = sign[0, codes[:, 0]] * sign[1, codes[:, 1]] + 0.1 * rng.normal(size=N)
    X = pd.DataFrame({"a": codes[:, 0].astype(str), "b": codes[:, 1].astype(str)})
    model, r2 = learned(X, y, shrinkage=1.0)
    assert r2 > 0.9
    assert abs(model.vectors_["a"].effects).max() < 0.2


def test_numbers_need_knots(rng):
    """A number that means something at single values, as capital gains do."""
    x = rng.integers(40, size=N).astype(float)
    y = rng.normal(size=40)[x.astype(int)] + 0.1 * rng.normal(size=N)
    X = pd.DataFrame({"x": x})
    _, without = learned(X, y, n_knots=0)
    _, with_knots = learned(X, y)
    assert with_knots > 0.95
    assert with_knots > without + 0.1


def test_rare_categories_are_drawn_to_the_mean(rng):
    """Seen once each and pure noise: nothing is believed; a strong prior answers the mean."""
    X = pd.DataFrame({"id": [f"u{i}" for i in range(N)], "g": rng.integers(3, size=N).astype(str)})
    y = X["g"].astype(float).to_numpy() + rng.normal(size=N)
    model, r2 = learned(X, y)
    assert r2 > 0.35  # of 0.40 that can be had
    assert model.vectors_["id"].confidences.max() < 0.2


@pytest.mark.parametrize("seed", range(2))
def test_probabilities_are_calibrated(seed):
    rng = np.random.default_rng(seed)
    odds = 1.5 * rng.normal(size=200)
    codes = rng.integers(200, size=N)
    y = rng.random(N) < 1 / (1 + np.exp(-odds[codes]))
    X = pd.DataFrame({"c": codes.astype(str)})
    model = EmbeddingClassifier(n_networks=2, n_epochs=10, random_state=seed)
    model.fit(X[:N_TRAIN], y[:N_TRAIN])
    p = model.predict_proba(X[N_TRAIN:])[:, 1]
    bins = np.digitize(p, np.quantile(p, [0.2, 0.4, 0.6, 0.8]))
    errors = [p[bins == b].mean() - y[N_TRAIN:][bins == b].mean() for b in range(5)]
    assert np.abs(errors).mean() < 0.06  # 320 rows a bin: 0.02 by chance alone


def test_the_unknown_is_answered_near_the_mean(rng):
    codes = rng.integers(50, size=N)
    y = 10 + rng.normal(size=50)[codes] + 0.2 * rng.normal(size=N)
    model, _ = learned(pd.DataFrame({"c": codes.astype(str)}), y)
    (unknown,) = model.predict({"c": ["never seen"]})
    assert abs(unknown - 10) < 0.6
