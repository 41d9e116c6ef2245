"""Rows near each other that are alike are held out together; others are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from catvec import EmbeddingClassifier, EmbeddingRegressor
from catvec.estimators import _near_rows
from catvec.estimators._near_rows import FEWEST_BLOCKS, LENGTHS, rows_together
from catvec.frames import learn_target

DAY = 60  # rows


def found(codes, values, task="regression", numbers=None):
    target = learn_target(values, task)
    numbers = np.empty((len(values), 0)) if numbers is None else numbers
    return rows_together(codes.astype(np.int32), numbers, target.values(values), target)


def by_day(rng, n_days=200, strength=0.7):
    """Rows day by day: a common column, and what befell the day, which no column tells."""
    n_rows = n_days * DAY
    codes = rng.integers(2, 7, size=(n_rows, 2))
    day = np.repeat(rng.normal(size=n_days), DAY)
    return codes, strength * day + 0.3 * codes[:, 0] + rng.normal(size=n_rows)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_longer_than_what_rows_have_in_common(seed):
    codes, values = by_day(np.random.default_rng(seed))
    together = found(codes, values)
    assert DAY < together <= len(values) / FEWEST_BLOCKS
    assert found(codes, values > values.mean(), "binary") == together


@pytest.mark.parametrize("seed", range(5))
def test_rows_in_random_order_are_not_kept_together(seed):
    rng = np.random.default_rng(seed)
    codes, values = by_day(rng)
    order = rng.permutation(len(values))
    assert found(codes[order], values[order]) == 1


def test_a_table_sorted_by_what_columns_say_is_not_cut(rng):
    """By a column of many categories, of a few rows each; by a number; by a common column."""
    customer = np.repeat(np.arange(2, 2002), 5)
    effect = rng.normal(size=2002)[customer]
    values = effect + rng.normal(size=len(customer))
    assert found(customer[:, None], values) == 1
    number = np.sort(rng.normal(size=5000))
    noise = rng.normal(size=5000)
    assert found(np.full((5000, 1), 2), np.sin(number) + noise, numbers=number[:, None]) == 1
    common = np.sort(rng.integers(2, 10, size=5000))
    assert found(common[:, None], common + noise) == 1


def test_a_table_sorted_by_the_target_is_not_cut(rng):
    """No cut would part the classes."""
    codes, values = by_day(rng)
    assert found(codes, np.sort(values)) == 1
    assert found(codes, np.sort(values > 0), "binary") == 1


def test_few_rows_tell_nothing(rng):
    for n_rows in (1, 2, 20, 500):
        assert found(np.full((n_rows, 1), 2), np.sort(rng.normal(size=n_rows))) == 1


def test_a_constant_target_and_missing_numbers_are_no_trouble(rng):
    numbers = np.where(rng.random((3000, 2)) < 0.3, np.nan, rng.normal(size=(3000, 2)))
    numbers[:, 1] = np.nan
    assert found(np.full((3000, 1), 2), np.ones(3000), numbers=numbers) == 1


@pytest.mark.parametrize("lag", [1, 3])
def test_the_autocorrelation_agrees_with_a_loop(lag, rng):
    codes = rng.integers(2, 8, size=(300, 2))
    residual = rng.normal(size=(300, 2)) + np.repeat(rng.normal(size=30), 10)[:, None]
    rare = [rng.random(300) < 0.5, np.zeros(300, bool)]
    products = [
        residual[i] @ residual[i + lag]
        for i in range(300 - lag)
        if not (codes[i, 0] == codes[i + lag, 0] and rare[0][i])
    ]
    expected = np.mean(products) / np.mean([r @ r for r in residual])
    rho, n_pairs = _near_rows._autocorrelation(residual, codes, rare, lag)
    assert rho == pytest.approx(expected)
    assert n_pairs == len(products)


def late_days(rng, n_days):
    """Whether something is late: a matter of the day, which (month, weekday) nearly tells."""
    day = np.arange(n_days)
    risk = rng.normal(scale=1.5, size=n_days)
    rows = np.repeat(day, DAY)
    X = pd.DataFrame(
        {"month": rows // 30 % 12, "weekday": rows % 7, "place": rng.integers(9, size=len(rows))}
    )
    y = rng.random(len(rows)) < 1 / (1 + np.exp(-risk[rows] - 0.1 * X["place"]))
    return X, y.to_numpy().astype(int), rows


def test_scores_are_those_of_days_to_come(rng):
    X, y, day = late_days(rng, 360)
    new = np.isin(day, rng.permutation(360)[:72])
    settings = dict(
        columns=list(X),
        pairs=[["month", "weekday"]],
        interactions="concatenate",
        shrinkage=1.0,
        hidden_sizes=(16,),
        n_networks=2,
        n_epochs=6,
        random_state=0,
    )
    losses = []
    for groups in (None, np.arange(len(X))[~new]):
        model = EmbeddingClassifier(**settings).fit(X[~new], y[~new], groups=groups)
        told = model.validation_scores_["LogLoss"]["model"]
        losses.append((told, log_loss(y[new], model.predict_proba(X[new]))))
        assert (model.choice_.rows_together > 1) == (groups is None)
    (told, true), (flattered, worse) = losses
    assert flattered < told - 0.02
    assert abs(told - true) < abs(flattered - worse)


def test_what_was_kept_together_is_saved(rng, tmp_path):
    codes, values = by_day(rng, n_days=250)
    quick = dict(n_networks=1, n_epochs=1, shrinkage=1.0, pairs=None, interactions="concatenate")
    frame = pd.DataFrame(codes, columns=["a", "b"]).astype(str)
    model = EmbeddingRegressor(**quick, random_state=0).fit(frame, values)
    together = model.choice_.rows_together
    assert together % LENGTHS == 0
    model.save(tmp_path / "model.catvec")
    assert EmbeddingRegressor.load(tmp_path / "model.catvec").choice_.rows_together == together
