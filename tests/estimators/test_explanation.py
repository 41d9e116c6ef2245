"""What columns add to predictions, and what is lost without them."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from catvec import EmbeddingClassifier, EmbeddingRegressor
from catvec.errors import InputError, ParameterError
from catvec.estimators import _explanation

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {"n_networks": 2, "shrinkage": 1.0, "pairs": None, "interactions": "concatenate"}
QUICK |= {"n_epochs": 8, "random_state": 0}


@pytest.fixture
def regressor(small_data):
    return EmbeddingRegressor(columns=small_data.categorical, **QUICK)


@pytest.fixture
def classifier(small_data):
    return EmbeddingClassifier(columns=small_data.categorical, **QUICK)


def told(explanation):
    return explanation.base + explanation.contributions.sum(axis=1) + explanation.residual


def test_a_regression_is_explained_in_the_units_of_its_target(regressor, small_data):
    X, y = small_data.frame, 1e6 + 1e4 * small_data.regression
    explanation = regressor.fit(X, y).explain(X)
    assert explanation.columns == tuple(X.columns)  # as in the table, not as inside
    assert explanation.contributions.shape == X.shape
    assert np.abs(explanation.residual).max() < 1e-5 * y.std()
    np.testing.assert_allclose(told(explanation), regressor.predict(X), atol=1e-5 * y.std())
    nothing = pd.DataFrame({name: ["?"] for name in ("city", "product")})
    nothing["store"], nothing["distance"], nothing["price"] = -1, np.nan, X["price"].median()
    assert abs(explanation.base - regressor.predict(nothing)[0]) < 0.5 * y.std()


def test_two_classes_are_explained_by_log_odds(classifier, small_data):
    X = small_data.frame
    explanation = classifier.fit(X, small_data.binary).explain(X)
    assert explanation.contributions.shape == X.shape
    assert np.abs(explanation.residual).max() < 1e-3
    np.testing.assert_allclose(told(explanation), classifier.decision_function(X), atol=1e-5)


def test_several_classes_are_explained_class_by_class(classifier, small_data):
    X = small_data.frame
    explanation = classifier.fit(X, small_data.multiclass).explain(X)
    assert explanation.contributions.shape == (400, 5, 3)
    assert explanation.base.shape == (3,)
    np.testing.assert_allclose(told(explanation), classifier.decision_function(X), atol=1e-5)
    frame = explanation.to_frame()
    assert frame.columns[:4].tolist() == ["city_high", "city_low", "city_middle", "product_high"]
    np.testing.assert_array_equal(frame["city_low"], explanation.contributions[:, 0, 1])


def test_counts_are_explained_by_logarithms(regressor, small_data, rng):
    X = small_data.frame
    regressor.set_params(loss="poisson").fit(X, rng.poisson(np.exp(small_data.regression)))
    explanation = regressor.explain(X)
    np.testing.assert_allclose(np.exp(told(explanation)), regressor.predict(X), rtol=1e-5)


@pytest.mark.parametrize("interactions", ["product", "factorization_machine"])
def test_products_are_explained(classifier, small_data, interactions):
    X = small_data.frame
    classifier.set_params(interactions=interactions).fit(X, small_data.multiclass)
    explanation = classifier.explain(X)
    assert np.abs(explanation.residual).max() < 1e-3
    np.testing.assert_allclose(told(explanation), classifier.decision_function(X), atol=1e-5)


def test_a_linear_model_is_explained_exactly(regressor, small_data):
    X = small_data.frame
    regressor.set_params(hidden_sizes=(), pairs=None, interactions="concatenate")
    regressor.fit(X, small_data.regression)
    row, other = X.iloc[[0]], X.iloc[[0]].assign(city="city 3", distance=55.0)
    both = regressor.explain(pd.concat([row, other]))
    change = dict(zip(both.columns, both.contributions[1] - both.contributions[0], strict=True))
    assert [name for name, size in change.items() if abs(size) > 1e-6] == ["city", "distance"]
    for name in ("city", "distance"):  # each alone changes the prediction by just as much
        moved = regressor.predict(row.assign(**{name: other[name]})) - regressor.predict(row)
        assert change[name] == pytest.approx(moved[0], abs=1e-5)


def noisy_table(rng, n=2000):
    X = pd.DataFrame(
        {
            "signal": rng.integers(20, size=n).astype(str),
            "noise": rng.integers(20, size=n).astype(str),
            "x": rng.normal(size=n),
            "y": rng.normal(size=n),
        }
    )
    return X, rng.normal(size=20)[X["signal"].astype(int)] + np.abs(X["x"])


def near_prices(rng, n=1000):
    """Two prices that are nearly the same, how far the bid is off, and the effects of shops."""
    price = rng.lognormal(3, 0.5, n)
    gap = 0.02 * rng.normal(size=n)
    shop = rng.choice(list("abc"), n)
    X = pd.DataFrame({"bid": price * (1 + gap), "ask": price, "shop": shop})
    return X, gap / 0.02, np.where(shop == "a", 1.0, -0.5)


def sizes_told(model, X):
    """Mean size of contributions by column, and importances."""
    explanation = model.explain(X)
    np.testing.assert_allclose(told(explanation), model.predict(X), atol=1e-5)
    assert np.abs(explanation.residual).max() < 1e-5
    sizes = np.abs(explanation.contributions).mean(axis=0).tolist()
    return dict(zip(explanation.columns, sizes, strict=True)), model.column_importances_


@pytest.mark.learns
def test_what_near_numbers_differ_in_is_theirs(rng):
    X, gap, of_shop = near_prices(rng)
    y = gap + 0.1 * of_shop + 0.1 * rng.normal(size=len(X))
    model = EmbeddingRegressor(**QUICK).fit(X, y)
    assert len(model.schema_.minor_components) == 1
    sizes, importances = sizes_told(model, X)
    for column in ("bid", "ask"):
        assert 2 * sizes["shop"] < sizes[column] < y.std()
        assert 2 * abs(importances["shop"]) < importances[column] < 1.5


@pytest.mark.learns
@pytest.mark.parametrize("seed", range(3))
def test_near_numbers_that_tell_nothing_get_little(seed):
    rng = np.random.default_rng(seed)
    X, _, of_shop = near_prices(rng)
    model = EmbeddingRegressor(**QUICK).fit(X, of_shop + rng.normal(size=len(X)))
    assert len(model.schema_.minor_components) == 1
    sizes, importances = sizes_told(model, X)
    for column in ("bid", "ask"):
        assert sizes[column] < 0.5 * sizes["shop"]
        assert importances[column] < 0.2 * importances["shop"]


@pytest.mark.parametrize("shape", [{"hidden_sizes": ()}, {"interactions": "product"}])
def test_near_numbers_in_networks_of_other_shapes_and_classes(rng, shape):
    X, gap, _ = near_prices(rng, 300)
    X["day"] = X["shop"] + "1"
    labels = pd.cut(gap, 3, labels=list("xyz")).astype(str)
    model = EmbeddingClassifier(**(QUICK | shape)).fit(X, labels)
    np.testing.assert_allclose(told(model.explain(X)), model.decision_function(X), atol=1e-5)


@pytest.mark.learns
def test_noise_gets_about_nothing(rng):
    X, y = noisy_table(rng)
    model = EmbeddingRegressor(**{**QUICK, "shrinkage": "auto"}).fit(X, y)
    sizes = model.explain(X).to_frame().std()
    assert sizes["noise"] < 0.1 * sizes["signal"]
    assert sizes["y"] < 0.2 * sizes["x"]
    importances = model.column_importances_
    assert list(importances) == ["signal", "noise", "x", "y"]
    assert abs(importances["noise"]) < 0.02 * importances["signal"]
    assert abs(importances["y"]) < 0.1 * importances["x"]
    # Shuffling what alone explains a variance v costs about v, as half the squared error.
    variance = np.var(y - np.abs(X["x"])) / np.var(y)
    assert importances["signal"] == pytest.approx(variance, rel=0.2)


def test_frames(regressor, small_data):
    X = small_data.frame
    explanation = regressor.fit(X, small_data.regression).explain(X)
    assert isinstance(explanation.to_frame(), pd.DataFrame)
    frame = explanation.to_frame("polars")
    assert isinstance(frame, pl.DataFrame)
    np.testing.assert_array_equal(frame.to_numpy(), explanation.contributions)
    with pytest.raises(ParameterError, match="`kind` must be one of"):
        explanation.to_frame("excel")


def test_left_out_and_unnamed_columns(small_data, rng):
    X, y = small_data.frame.assign(day=range(400)), small_data.regression
    model = EmbeddingRegressor(columns=["city", "product", "store"], time_column="day", **QUICK)
    assert model.fit(X, y).explain(X).columns == tuple(small_data.columns)
    assert list(model.column_importances_) == list(small_data.columns)
    array = np.column_stack([rng.normal(size=400), rng.integers(5, size=400)])
    model = EmbeddingRegressor(columns=[1], **QUICK).fit(array, y)
    assert model.explain(array).columns == ("x0", "x1")


def test_explaining_refuses_what_predicting_refuses(regressor, small_data):
    X = small_data.frame
    regressor.set_params(handle_unknown="error").fit(X, small_data.regression)
    with pytest.raises(InputError, match="nowhere"):
        regressor.explain(X.assign(city="nowhere"))


# --- importances ------------------------------------------------------------------------


def test_importances_do_not_depend_on_threads(regressor, small_data):
    X, y = small_data.frame, small_data.regression
    one = regressor.fit(X, y).column_importances_
    assert regressor.set_params(n_jobs=2).fit(X, y).column_importances_ == one
    assert list(one) == list(X.columns)
    assert max(one, key=one.get) == "city"


def test_importances_on_rows_of_ones_own(regressor, small_data):
    X, y = small_data.frame, small_data.regression
    regressor.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert regressor.column_importances_["city"] > 0.1


def test_importances_by_weight(classifier, small_data):
    weight = np.where(np.arange(400) < 200, 1e-9, 1.0)
    classifier.fit(small_data.frame, small_data.binary, sample_weight=weight)
    assert all(np.isfinite(list(classifier.column_importances_.values())))


def test_no_held_out_rows_no_importances(regressor, small_data):
    regressor.set_params(validation_fraction=0, n_epochs=2)
    assert regressor.fit(small_data.frame, small_data.regression).column_importances_ == {}


def test_importances_look_at_few_rows(regressor, small_data, monkeypatch):
    X, y = small_data.frame, small_data.regression
    monkeypatch.setattr(_explanation, "FEWEST_ROWS", 10)
    monkeypatch.setattr(_explanation, "MOST_ROWS", 16)
    assert set(regressor.fit(X, y).column_importances_) == set(X.columns)


def test_importances_are_saved(regressor, small_data, tmp_path):
    X = small_data.frame
    regressor.fit(X, small_data.regression).save(tmp_path / "m.catvec")
    again = EmbeddingRegressor.load(tmp_path / "m.catvec")
    assert again.column_importances_ == regressor.column_importances_
    ours, theirs = regressor.explain(X), again.explain(X)
    np.testing.assert_array_equal(ours.contributions, theirs.contributions)
    schema = json.loads((tmp_path / "m.catvec" / "schema.json").read_text("utf-8"))
    assert list(schema["model"]["column_importances"]) == list(X.columns)


def test_a_frame_has_each_name_once():
    explanation = _explanation.Explanation(
        np.zeros(2), np.zeros((3, 2, 2)), ("a", "a_x"), np.zeros((3, 2)), np.array(["x_y", "y"])
    )
    with pytest.raises(InputError, match="called 'a_x_y' twice"):
        explanation.to_frame()
