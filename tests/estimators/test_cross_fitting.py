"""Joint scores of training rows: out of fold, and where it matters without telling the fold."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import TimeSeriesSplit

from catvec import EmbeddingEncoder
from catvec.errors import InputError
from catvec.estimators import _cross_fitting
from catvec.estimators._cross_fitting import MASK, cross_fitted_scores
from catvec.estimators._learning import Committee
from catvec.frames import Fold
from catvec.network import Inputs

DAY = 40  # rows
QUICK = dict(
    shrinkage=10.0,
    pairs=None,
    interactions="concatenate",
    hidden_sizes=(16,),
    n_networks=1,
    n_epochs=3,
    category_dropout=0.0,
    random_state=0,
)


ROWS = np.arange(60)


@pytest.mark.parametrize(
    ("parameters", "groups", "message"),
    [
        ({}, np.zeros(60), "no row could be encoded"),
        ({"time_column": "t"}, None, "no row could be encoded"),
        ({"output": "effects"}, np.zeros(60), "no row could be encoded"),
        ({"cv": []}, None, "no row could be encoded"),
        ({"cv": [([], ROWS[:30]), (ROWS[:30], ROWS[30:])]}, None, "fold 0 of `cv` has no rows"),
    ],
)
def test_folds_that_encode_nothing_are_refused(parameters, groups, message, rng):
    table = {"a": rng.choice(list("abc"), 60), "t": np.ones(60)}
    encoder = EmbeddingEncoder(**{**QUICK, **parameters})
    with pytest.raises(InputError, match=message):
        encoder.fit_transform(table, rng.normal(size=60), groups=groups)


@pytest.mark.parametrize("output", ["effects", "both"])
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_fold_whose_rows_weigh_nothing_knows_nothing(output, task, rng):
    table = {"a": rng.choice(list("abc"), 60), "t": np.ones(60)}
    y = rng.normal(size=60) if task == "regression" else rng.integers(0, 2, 60)
    cv = [(ROWS[:30], ROWS[30:]), (ROWS[30:], ROWS[:30])]
    encoder = EmbeddingEncoder(**QUICK, cv=cv, output=output, task=task)
    encoded = encoder.fit_transform(table, y, sample_weight=np.r_[np.zeros(30), np.ones(30)])
    assert np.isfinite(encoded).all()
    assert (encoded[30:, :2] == 0).all()
    assert (encoded[:30, 1] > 0).any()


@dataclass
class Table:
    """A network whose scores (n_codes, n_outputs) are given."""

    scores: np.ndarray

    def predict(self, inputs):
        return self.scores[inputs.codes[:, 0]]


@dataclass
class Trained:
    network: Table


class Committees:
    """Two networks a fold for rows of ten codes, and their scores one by one."""

    def __init__(self, rng, n_folds=4, n_rows=400, n_outputs=2):
        self.tables = rng.normal(size=(n_folds, 2, 10, n_outputs))
        self.inputs = Inputs(rng.integers(10, size=(n_rows, 1)).astype(np.int32))
        of_row = rng.integers(n_folds + 1, size=n_rows)  # the last is no fold's
        rows = np.arange(n_rows)
        self.of_row = of_row
        self.folds = [Fold(rows[of_row != k], rows[of_row == k]) for k in range(n_folds)]
        self.unmet = np.full((1, n_outputs), 7.0)

    def scores(self, noise=None, n_folds=None):
        trained = [[Trained(Table(table)) for table in tables] for tables in self.tables]
        committees = [Committee(of_fold, None) for of_fold in trained]
        folds = self.folds[:n_folds]
        return cross_fitted_scores(committees[:n_folds], folds, self.inputs, self.unmet, noise)

    def twin(self):
        rows = enumerate(zip(self.of_row, self.inputs.codes[:, 0], strict=True))
        found = np.repeat(self.unmet, len(self.inputs), axis=0)
        for i, (k, code) in rows:
            if k < len(self.folds):
                found[i] = self.tables[k, :, code].mean(axis=0)
        return found


def days(rng, n_days=360):
    """Days that differ by chance, and columns of which a fold's days are nearly told."""
    day = np.repeat(np.arange(n_days), DAY)
    shop = rng.integers(9, size=len(day))
    X = pd.DataFrame({"month": day // 30, "weekday": day % 7, "shop": shop}).astype(str)
    return X, rng.normal(size=n_days)[day] + rng.normal(size=len(day))


def told(X, y):
    """What boosting makes of columns on the rows that it learned from."""
    model = HistGradientBoostingRegressor(early_stopping=False, max_iter=50)
    return model.fit(X, y).score(X, y)


def test_scores_are_those_of_a_rows_fold(rng):
    some = Committees(rng)
    np.testing.assert_allclose(some.scores(), some.twin(), rtol=1e-12)


def test_noise_is_as_large_as_folds_disagree(rng):
    some = Committees(rng, n_rows=100_000)
    noise = some.scores(np.random.default_rng(0)) - some.twin()
    met = some.of_row < len(some.folds)
    assert not noise[~met].any()
    deviation = some.tables.mean(axis=1).std(axis=0, ddof=1)
    for code in range(10):
        rows = met & (some.inputs.codes[:, 0] == code)
        np.testing.assert_allclose(noise[rows].std(axis=0), MASK * deviation[code], rtol=0.05)
        np.testing.assert_allclose(noise[rows].mean(axis=0), 0, atol=0.05 * MASK)


def test_where_folds_agree_or_are_one_there_is_no_noise(rng):
    some = Committees(rng)
    np.testing.assert_array_equal(some.scores(np.random.default_rng(0), 1), some.scores(None, 1))
    some.tables[:] = some.tables[0]
    scores = some.scores(np.random.default_rng(0))
    np.testing.assert_allclose(scores, some.twin(), rtol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_days_are_not_told_by_their_fold(seed, monkeypatch):
    """There is nothing to learn of them; what boosting finds is what the columns tell by chance,
    and most of what the folds told is gone."""
    X, y = days(np.random.default_rng(seed))
    alone = told(X.astype(int), y)
    encoder = EmbeddingEncoder(**QUICK)
    masked = told(encoder.fit_transform(X, y), y) - alone
    assert encoder.choice_.rows_together > DAY
    monkeypatch.setattr(_cross_fitting, "MASK", 0.0)
    bare = told(encoder.fit_transform(X, y), y) - alone
    assert bare > 0.1
    assert masked < 0.4 * bare


def test_what_is_written_of_rows_that_are_alike(rng, tmp_path):
    X, y = days(rng, n_days=250)
    same_loops = {**QUICK, "engine": "numpy"}  # whether folds are trained, too, or not
    encoder = EmbeddingEncoder(**same_loops).fit(X, y)
    assert encoder.output_ == "effects"
    names = encoder.get_feature_names_out().tolist()
    of_columns = [f"{c}_{part}" for c in X for part in ("effect", "confidence")]
    assert names == [*of_columns, *(f"{c}_code" for c in X), "joint_score"]
    crossed = EmbeddingEncoder(**same_loops)
    assert crossed.fit_transform(X, y).shape == (len(X), len(names))
    assert crossed.get_feature_names_out().tolist() == names
    new = encoder.transform(X.head(500))
    np.testing.assert_array_equal(new, crossed.transform(X.head(500)))  # without noise
    encoder.save(tmp_path / "days.catvec")
    loaded = EmbeddingEncoder.load(tmp_path / "days.catvec")
    assert loaded.output_ == "effects"
    np.testing.assert_array_equal(loaded.transform(X.head(500)), new)
    assert encoder.vectors_["month"].vectors.shape[1] > 0


def test_whoever_asks_for_vectors_gets_them(rng):
    X, y = days(rng, n_days=250)
    encoder = EmbeddingEncoder(output="both", **QUICK).fit(X, y)
    assert encoder.output_ == "both"
    assert {"month_00", "joint_score"} <= set(encoder.get_feature_names_out())
    bare = EmbeddingEncoder(joint_score=False, **QUICK)
    bare.fit_transform(X, y)
    assert not {"month_00", "joint_score"} & set(bare.get_feature_names_out())


@pytest.mark.parametrize("seed", range(3))
def test_vectors_of_folds_are_as_spread_as_those_of_new_rows(seed):
    """Each fold's were nearer to their mean by 5%, as it learned from a fifth of the rows less."""
    rng = np.random.default_rng(seed)
    wide, narrow = rng.integers(60, size=4000), rng.integers(2, size=4000)
    y = rng.normal(size=60)[wide] + 0.5 * narrow + rng.normal(size=4000)
    X = pd.DataFrame({"wide": wide, "narrow": narrow}).astype(str)
    settings = QUICK | dict(shrinkage=100.0, n_networks=2, n_epochs=6, embedding_dim=3)
    encoder = EmbeddingEncoder(output="vectors", **settings)
    of_folds, of_all = encoder.fit_transform(X, y), encoder.transform(X)
    for block, n_categories in ((slice(3), 60), (slice(3, 6), 2)):
        spreads = [Z[:, block].var(axis=0).sum() for Z in (of_folds, of_all)]
        assert spreads[0] == pytest.approx(spreads[1], rel=0.015)
        # Not one by one, or they would be those of the fit that saw every target.
        assert len(np.unique(of_folds[:, block], axis=0)) == 5 * n_categories


def test_a_splitter_in_time_says_that_rows_are_in_time(rng):
    price = rng.lognormal(3, 0.5, 300)
    X = pd.DataFrame({"bid": price * (1 + 0.02 * rng.normal(size=300)), "ask": price})
    X["shop"] = rng.choice(list("abc"), 300)
    settings = {"n_networks": 1, "n_epochs": 1, "random_state": 0}
    for cv, n_components in ((3, 1), (TimeSeriesSplit(3), 0)):
        encoder = EmbeddingEncoder(cv=cv, **settings).fit(X, price)
        assert len(encoder.schema_.minor_components) == n_components
