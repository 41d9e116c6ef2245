"""Laws of the whole: they hold for every seed, whatever was learned."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {"n_networks": 2, "shrinkage": 1.0, "n_epochs": 3, "random_state": 0}


def table(seed, n_rows=300):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.integers(9, size=n_rows), "b": rng.integers(40, size=n_rows)})
    y = rng.normal(size=9)[X["a"]] + rng.normal(size=40)[X["b"]]
    return X.astype(str), y


@pytest.mark.parametrize("seed", range(3))
def test_renaming_in_order_renames_and_changes_nothing(seed):
    X, y = table(seed)
    renamed = X.assign(a="city " + X["a"])
    model = EmbeddingRegressor(**QUICK)
    before, after = clone(model).fit(X, y), clone(model).fit(renamed, y)
    np.testing.assert_array_equal(before.predict(X), after.predict(renamed))
    one, two = before.vectors_["a"], after.vectors_["a"]
    assert [f"city {category}" for category in one.categories] == two.categories.tolist()
    np.testing.assert_array_equal(one.vectors, two.vectors)


@pytest.mark.parametrize("seed", range(3))
def test_encoding_is_by_name_and_repeatable(seed, tmp_path):
    X, y = table(seed)
    columns_only = {"joint_score": False, "category_codes": False, "pairs": None}
    encoder = EmbeddingEncoder(**columns_only, **QUICK).fit(X, y)
    encoder.vectors_.save(tmp_path / "v.catvec")
    again = CategoryVectors.load(tmp_path / "v.catvec")
    Z = encoder.transform(X)
    np.testing.assert_array_equal(encoder.transform(X[["b", "a"]]), Z)
    np.testing.assert_array_equal(again.encode(X).astype(np.float64), Z)


@pytest.mark.learns
def test_missing_unknown_zero_and_its_text_are_four_things():
    values = [0, "0", None, 1.5, "x"] * 40
    X = pd.DataFrame({"a": pd.Series(values, dtype=object)})
    y = np.array([-3.0, 3.0, 1.0, 0.0, -1.0] * 40)
    model = EmbeddingRegressor(**QUICK | {"n_epochs": 20}).fit(X, y)
    asked = pd.DataFrame({"a": pd.Series([0, "0", None, "never"], dtype=object)})
    assert len(set(model.predict(asked).round(6))) == 4


@pytest.mark.parametrize("seed", range(3))
def test_averaging_is_on_the_link_scale(seed):
    X, y = table(seed)
    model = EmbeddingClassifier(**QUICK).fit(X, y > 0)
    odds = model.decision_function(X)
    np.testing.assert_allclose(
        odds, np.log(model.predict_proba(X)[:, 1] / model.predict_proba(X)[:, 0])
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_prediction_does_not_depend_on_the_rows_beside_it(seed):
    X, y = table(seed)
    model = EmbeddingRegressor(**QUICK).fit(X, y)
    rows = np.random.default_rng(seed).permutation(len(X))[:17]
    np.testing.assert_allclose(model.predict(X.iloc[rows]), model.predict(X)[rows], rtol=1e-9)


def test_a_fit_leaves_the_users_table_as_it_was():
    X, y = table(0)
    before_X, before_y = X.copy(), y.copy()
    EmbeddingEncoder(**QUICK).fit_transform(X, y)
    pd.testing.assert_frame_equal(X, before_X)
    np.testing.assert_array_equal(y, before_y)
