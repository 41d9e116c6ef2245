"""Where rows are grouped, an encoder writes the same of well known categories in all folds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from catvec import EmbeddingEncoder
from catvec.estimators._choice import STEADY_ROWS

QUICK = {
    "shrinkage": 1.0,
    "pairs": None,
    "interactions": "concatenate",
    "hidden_sizes": (8,),
    "n_networks": 1,
    "n_epochs": 2,
    "random_state": 0,
}


def table(rng, n_rows=6000):
    """A column of four well known categories and a rare one, and a column of many."""
    month = rng.integers(4, size=n_rows)
    month[:50] = 4
    return pd.DataFrame(
        {"month": month.astype(str), "shop": rng.integers(600, size=n_rows).astype(str)}
    )


def written(encoder, X, y, column, **data):
    """Columns of effects and vectors of a column, cross-fitted and as of new rows."""
    names = EmbeddingEncoder.get_feature_names_out
    Z = encoder.fit_transform(X, y, **data)
    chosen = [
        i
        for i, name in enumerate(names(encoder))
        if name.startswith(column) and not name.endswith(("_code", "_confidence"))
    ]
    return Z[:, chosen], encoder.transform(X)[:, chosen]


@pytest.mark.parametrize("output", ["both", "effects"])
def test_well_known_categories_are_written_alike(output, rng):
    X = table(rng)
    y = rng.normal(size=len(X))
    encoder = EmbeddingEncoder(output=output, category_dropout=0.0, **QUICK)
    day = np.arange(len(X)) // 10
    crossed, new = written(encoder, X, y, "month", groups=day)
    known = (X["month"] != "4").to_numpy()
    assert X["month"].value_counts().drop("4").min() >= STEADY_ROWS
    np.testing.assert_array_equal(crossed[known], new[known])
    assert (crossed[~known] != new[~known]).any(axis=1).all()
    crossed, new = written(encoder, X, y, "shop", groups=day)
    assert (crossed != new).any(axis=1).mean() > 0.99


def test_without_groups_nothing_is_told_of_a_row_by_itself(rng):
    X = table(rng)
    y = rng.normal(size=len(X))
    crossed, new = written(EmbeddingEncoder(category_dropout=0.0, **QUICK), X, y, "month")
    assert (crossed != new).any(axis=1).all()


def test_in_time_nothing_is_known_of_later_rows(rng):
    X = table(rng).assign(day=np.arange(6000))
    y = rng.normal(size=len(X))
    encoder = EmbeddingEncoder(time_column="day", category_dropout=0.0, **QUICK)
    crossed, new = written(encoder, X, y, "month")
    assert (crossed[1000:5000] != new[1000:5000]).any(axis=1).all()


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_not_told_by_their_fold(seed):
    """Days that differ by chance: what a booster makes of the months' columns is no better than of
    the months themselves."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(400), 40)
    X = pd.DataFrame(
        {"month": (day // 100).astype(str), "shop": rng.integers(9, size=len(day)).astype(str)}
    )
    y = rng.normal(size=400)[day] + rng.normal(size=len(day))
    encoder = EmbeddingEncoder(output="effects", category_dropout=0.0, **QUICK)
    Z = encoder.fit_transform(X, y, groups=day)
    told = HistGradientBoostingRegressor(early_stopping=False).fit(Z, y).score(Z, y)
    codes = X.astype(int)
    alone = HistGradientBoostingRegressor(early_stopping=False).fit(codes, y).score(codes, y)
    assert told == pytest.approx(alone, abs=2e-3)
