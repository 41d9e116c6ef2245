"""The predictors: every task, reproducible, weighted, saved and loaded bit for bit."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import ArtifactError, InputError, TrainingError

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {"n_networks": 1, "shrinkage": 1.0, "pairs": None, "interactions": "concatenate"}
QUICK |= {"n_epochs": 8, "random_state": 0}


@pytest.fixture
def regressor(small_data):
    return EmbeddingRegressor(columns=small_data.categorical, **QUICK)


@pytest.fixture
def classifier(small_data):
    return EmbeddingClassifier(columns=small_data.categorical, **QUICK)


def halves(small_data):
    X = small_data.frame
    return X.iloc[:300], X.iloc[300:]


@pytest.mark.learns
def test_regression(small_data):
    train, test = halves(small_data)
    y = 1e6 + 1e4 * small_data.regression  # far from 0: it is standardised inside
    model = EmbeddingRegressor(columns=small_data.categorical, random_state=0)
    model.fit(train, y[:300])
    assert r2_score(y[300:], model.predict(test)) > 0.4
    scores = model.validation_scores_["RMSE"]
    assert scores["model"] < scores["constant"]
    assert {"network", "epoch", "train_loss", "held_out_loss"} <= set(model.history_[0])


def test_binary_with_any_labels(classifier, small_data):
    train, test = halves(small_data)
    y = np.where(small_data.binary == 1, "yes", "no")
    classifier.fit(train, y[:300])
    assert classifier.classes_.tolist() == ["no", "yes"]
    probability = classifier.predict_proba(test)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-12)
    assert roc_auc_score(y[300:], probability[:, 1]) > 0.7
    assert set(classifier.predict(test)) <= {"no", "yes"}
    odds = classifier.decision_function(test)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), probability[:, 1], atol=1e-9)


def test_multiclass(classifier, small_data):
    train, test = halves(small_data)
    classifier.fit(train, small_data.multiclass[:300])
    probability = classifier.predict_proba(test)
    assert probability.shape == (100, 3)
    assert log_loss(small_data.multiclass[300:], probability) < np.log(3)
    assert classifier.vectors_["city"].effects.shape[1] == 3


@pytest.mark.learns
def test_counts_and_quantiles(regressor, small_data, rng):
    X = small_data.frame
    y = rng.poisson(np.exp(small_data.regression))
    counts = clone(regressor).set_params(loss="poisson").fit(X, y).predict(X)
    assert (counts > 0).all()
    assert abs(counts.mean() - y.mean()) < 0.3 * y.mean()
    with pytest.raises(InputError, match="negative"):
        clone(regressor).set_params(loss="poisson").fit(X, small_data.regression)
    low, high = (
        clone(regressor).set_params(loss="quantile", quantile=q).fit(X, small_data.regression)
        for q in (0.1, 0.9)
    )
    inside = (low.predict(X) < small_data.regression) & (small_data.regression < high.predict(X))
    assert 0.55 < inside.mean() < 0.98
    for model, quantile in ((low, 0.1), (high, 0.9)):
        scores = model.validation_scores_
        assert list(scores) == ["PinballLoss", "Coverage"]
        assert scores["PinballLoss"]["model"] < scores["PinballLoss"]["constant"]
        assert scores["Coverage"]["constant"] == pytest.approx(quantile, abs=0.1)


@pytest.mark.learns
@pytest.mark.parametrize("away", [1e6, 1e30])  # whose square float32 holds, or not
def test_rows_of_no_weight_may_have_any_target(regressor, small_data, away):
    X, y = small_data.frame, small_data.regression
    weight = 1.0 * (np.arange(len(y)) >= 100)
    far = np.where(weight > 0, y, y + away)
    regressor.fit(X, far, sample_weight=weight)
    counted = weight > 0
    assert r2_score(y[counted], regressor.predict(X[counted])) > 0.5
    assert np.isfinite(list(regressor.column_importances_.values())).all()
    regressor.partial_fit(X, far, sample_weight=weight)
    assert r2_score(y[counted], regressor.predict(X[counted])) > 0.5


def test_own_held_out_rows(regressor, small_data):
    train, test = halves(small_data)
    y = small_data.regression
    regressor.fit(train, y[:300], X_val=test, y_val=y[300:])
    best = min(record["held_out_loss"] for record in regressor.history_)
    scaled = (regressor.predict(test) - y[300:]) / regressor.target_.scale
    ratio = best / (scaled**2).mean()  # the squared loss may be halved
    assert ratio == pytest.approx(1.0, rel=1e-3) or ratio == pytest.approx(0.5, rel=1e-3)
    with pytest.raises(InputError, match="X_val and y_val"):
        regressor.fit(train, y[:300], X_val=test)


def test_held_out_rows_have_no_unknown_categories_where_these_are_errors(regressor, small_data):
    train, test = halves(small_data)
    y = small_data.regression
    test = test.assign(city="never")
    regressor.fit(train, y[:300], X_val=test, y_val=y[300:])
    regressor.set_params(handle_unknown="error")
    with pytest.raises(InputError, match=r"X_val and y_val: column 'city' .*'never'"):
        regressor.fit(train, y[:300], X_val=test, y_val=y[300:])


def test_the_same_seed_gives_the_same_bits(small_data):
    X, y = small_data.frame[:500], small_data.regression[:500]
    model = EmbeddingRegressor(n_networks=2, n_epochs=3, random_state=3)
    one = model.fit(X, y).predict(X)
    two = clone(model).set_params(n_jobs=2).fit(X, y).predict(X)
    np.testing.assert_array_equal(one, two)
    other = clone(model).set_params(random_state=4).fit(X, y).predict(X)
    assert not np.array_equal(one, other)


def test_no_global_state_is_touched(regressor, small_data):
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    regressor.fit(small_data.frame, small_data.regression)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_class_weight_moves_the_odds(classifier, small_data):
    X, y = small_data.frame, small_data.binary
    plain = clone(classifier).fit(X, y).predict_proba(X)[:, 1].mean()
    heavy = clone(classifier).set_params(class_weight={1: 5.0}).fit(X, y)
    assert heavy.predict_proba(X)[:, 1].mean() > plain + 0.05
    clone(classifier).set_params(class_weight="balanced").fit(X, y)
    with pytest.raises(InputError, match="'maybe'"):
        clone(classifier).set_params(class_weight={"maybe": 2.0}).fit(X, y)


@pytest.mark.parametrize("pairs", [None, [("city", "store")]])
def test_missing_in_new_rows_only_is_answered_as_unknown(regressor, small_data, pairs):
    X = small_data.frame.dropna()
    regressor.set_params(pairs=pairs).fit(X, small_data.regression[X.index])
    row = X.head(1)
    unknown, missing = (regressor.predict(row.assign(city=[v])) for v in ("nowhere", None))
    np.testing.assert_array_equal(unknown, missing)
    assert np.isfinite(regressor.predict(row.assign(distance=[np.nan]))).all()


def test_dropout_of_vectors_reaches_the_networks(regressor, small_data, tmp_path):
    X, y = small_data.frame, small_data.regression
    found = {}
    for changes in ({}, {"embedding_dropout": 0.2}, {"category_dropout": 0.2}):
        model = clone(regressor).set_params(**changes).fit(X, y)
        found[str(changes)] = model.history_[0]["train_loss"]
        model.save(tmp_path / "model.catvec")
        loaded = EmbeddingRegressor.load(tmp_path / "model.catvec")
        assert loaded.get_params() == model.get_params()
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert len(set(found.values())) == 3


def test_callback_sees_every_epoch(regressor, small_data):
    seen = []
    regressor.set_params(callback=seen.append, shrinkage="auto", n_networks=4)
    regressor.fit(small_data.frame, small_data.regression)
    stages = [progress.stage for progress in seen]
    assert set(stages) == {"choosing", "training"}
    # The best contender's trials are the first three networks; the last one, which is trained
    # for itself, may have begun anew at a lower rate.
    assert stages.count("training") >= sum(r["network"] == 3 for r in regressor.history_)
    assert {record["network"] for record in regressor.history_} == {0, 1, 2, 3}
    assert all(1 <= p.epoch <= p.n_epochs for p in seen)


def test_save_and_load_bit_for_bit(regressor, classifier, small_data, tmp_path):
    X = small_data.frame
    targets = (small_data.regression, small_data.multiclass)
    for model, y in zip((regressor, classifier), targets, strict=True):
        kind = "product" if model is regressor else "factorization_machine"
        model.set_params(n_networks=2, interactions=kind).fit(X, y)
        path = tmp_path / f"{type(model).__name__}.catvec"
        model.save(path)
        again = type(model).load(path)
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert again.get_params() == model.get_params()
        assert again.vectors_ == model.vectors_ == CategoryVectors.load(path)
        assert again.validation_scores_ == model.validation_scores_
        again.save(tmp_path / "again.catvec")  # in place of the one before


def test_saved_encoder(small_data, tmp_path):
    encoder = EmbeddingEncoder(embedding_dim=lambda n: n // 4, cv=3, **QUICK)
    encoder.fit(small_data.frame, small_data.regression)
    encoder.save(tmp_path / "e.catvec")
    again = EmbeddingEncoder.load(tmp_path / "e.catvec")
    np.testing.assert_array_equal(
        again.transform(small_data.frame), encoder.transform(small_data.frame)
    )
    assert again.embedding_dim == {"city": 3, "product": 7}
    with pytest.raises(ArtifactError, match="holds an EmbeddingEncoder"):
        EmbeddingRegressor.load(tmp_path / "e.catvec")
    encoder.vectors_.save(tmp_path / "v.catvec")
    with pytest.raises(ArtifactError, match="vectors only"):
        EmbeddingEncoder.load(tmp_path / "v.catvec")


def test_widths_by_a_function_are_saved_beside_pairs(small_data, tmp_path):
    model = EmbeddingClassifier(
        embedding_dim=lambda n: min(n, 2), columns=small_data.categorical, **QUICK
    ).set_params(pairs=[("city", "product")])
    model.fit(small_data.frame, small_data.multiclass).save(tmp_path / "m.catvec")
    again = EmbeddingClassifier.load(tmp_path / "m.catvec")
    assert again.embedding_dim == dict.fromkeys(small_data.categorical, 2)


@pytest.mark.parametrize("weights", [{0: 1, 1: 9.0}, {False: 1, True: np.int64(5)}])
def test_class_weights_of_any_labels_are_saved(weights, small_data, tmp_path):
    X, y = small_data.frame, small_data.binary.astype(type(next(iter(weights))))
    model = EmbeddingClassifier(columns=small_data.categorical, class_weight=weights, **QUICK)
    model.fit(X, y).save(tmp_path / "m.catvec")
    again = EmbeddingClassifier.load(tmp_path / "m.catvec")
    assert again.class_weight == weights
    both = [one.partial_fit(X, y).predict_proba(X) for one in (model, again)]
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("unit", ["ns", "s", "D"])
def test_dates_are_labels(unit, small_data, tmp_path):
    """Where vectors and columns are named by class, they are texts."""
    dates = np.array(["2020-01-01", "2021-02-03", "2022-03-04"], dtype=f"datetime64[{unit}]")
    X, y = small_data.frame, dates[np.unique(small_data.multiclass, return_inverse=True)[1]]
    model = EmbeddingClassifier(columns=small_data.categorical, **QUICK).fit(X, y)
    model.save(tmp_path / "m.catvec")
    again = EmbeddingClassifier.load(tmp_path / "m.catvec")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert set(again.predict(X)) <= set(dates)
    assert again.vectors_.classes == ("2020-01-01", "2021-02-03", "2022-03-04")
    encoder = EmbeddingEncoder(columns=["city"], task="multiclass", **QUICK).fit(X[["city"]], y)
    assert {"city_effect_2020-01-01", "joint_score_2022-03-04"} <= set(
        encoder.get_feature_names_out()
    )


def test_loading_in_a_new_process(regressor, small_data, tmp_path):
    X = small_data.frame.head(5)
    regressor.fit(small_data.frame, small_data.regression).save(tmp_path / "m.catvec")
    X.to_parquet(tmp_path / "x.parquet")
    code = (
        "import pandas as pd; from catvec import EmbeddingRegressor;"
        f"m = EmbeddingRegressor.load({str(tmp_path / 'm.catvec')!r});"
        f"print(m.predict(pd.read_parquet({str(tmp_path / 'x.parquet')!r})).tobytes().hex())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == regressor.predict(X).tobytes().hex()


def test_pickle_and_grid_search_in_processes(regressor, small_data):
    X, y = small_data.frame, small_data.regression
    regressor.fit(X, y)
    again = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    search = GridSearchCV(clone(regressor), {"embedding_dim": [2, 4]}, cv=2, n_jobs=2)
    assert search.fit(X, y).best_score_ > 0


@pytest.mark.learns
def test_numbers_alone_and_categories_alone(rng):
    x = rng.normal(size=300)
    y = np.abs(x)
    numbers = EmbeddingRegressor(random_state=0, n_networks=1).fit(x[:, None], y)
    assert r2_score(y, numbers.predict(x[:, None])) > 0.7
    X = pd.DataFrame({"a": rng.integers(5, size=300).astype(str)})
    alone = EmbeddingRegressor(random_state=0, n_networks=1).fit(X, X["a"].astype(float))
    assert r2_score(X["a"].astype(float), alone.predict(X)) > 0.9


def test_a_loss_that_breaks_down_says_so(regressor, small_data):
    regressor.set_params(learning_rate=1e30)
    with pytest.raises(TrainingError, match="learning_rate"), np.errstate(all="ignore"):
        regressor.fit(small_data.frame, small_data.regression)


@pytest.mark.parametrize("kind", [EmbeddingEncoder, EmbeddingRegressor])
def test_a_fit_that_is_stopped_leaves_what_was_fitted_before(kind):
    def stop(_):
        raise KeyboardInterrupt

    X, y = {"a": ["x", "y"] * 20}, np.arange(40.0)
    model = kind(**QUICK, callback=stop)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y)
    with pytest.raises(NotFittedError):
        model.save("nowhere")
    model.set_params(callback=None).partial_fit(X, y).set_params(callback=stop)
    before = vars(model).copy()
    for fit in (model.fit, getattr(model, "fit_transform", model.fit)):
        with pytest.raises(KeyboardInterrupt):
            fit({"a": ["p", "q", "x", "y"] * 10}, y[::-1])
        assert vars(model) == before
