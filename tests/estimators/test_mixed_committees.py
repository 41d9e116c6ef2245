"""Committees every second network of which has tables of pairs, and the others have none."""

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.estimators._trials import Trials
from catvec.frames import _source
from tests.estimators.forms import in_all_forms

GIVEN = {
    "shrinkage": 10.0,
    "interactions": "concatenate",
    "max_epochs": 6,
    "n_networks": 4,
    "hidden_sizes": (16,),
    "random_state": 0,
}


@pytest.fixture(params=["best has pairs", "best has none"], autouse=True)
def mixed(request, monkeypatch):
    """Every second network has pairs if the best has none, whatever held-out rows say."""
    paired_first = request.param == "best has pairs"
    handicapped = property(lambda c: c.loss + 100.0 * (c.paired != paired_first))
    monkeypatch.setattr("catvec.estimators._trials.Contender.handicapped", handicapped)

    def second(trials, best, _):
        kind = best.setting.interactions, best.setting.n_epochs
        return [trials._contender(best.strength, not best.paired, *kind)]

    monkeypatch.setattr(Trials, "second", second)
    return paired_first


def rows(rng, n=600):
    X = pd.DataFrame({name: rng.integers(8, size=n).astype(str) for name in "abc"})
    return X.assign(size=rng.normal(size=n).round(2))


def target(X):
    return (X["a"].astype(int) % 2 == X["b"].astype(int) % 2) + 0.3 * X["size"].to_numpy()


def n_pairs(model):
    return [network.config.n_pairs for network in model.networks_ if not network.config.axes]


@pytest.mark.parametrize("kind", ["regressor", "classifier", "with effects", "by PyTorch"])
def test_all_that_a_model_does_it_does(kind, mixed, rng, tmp_path):
    pytest.importorskip("torch")
    X, new = rows(rng), rows(rng, 100)
    y, make, given = target(X), EmbeddingRegressor, dict(GIVEN, effect_networks=False)
    if kind == "classifier":
        make, y = EmbeddingClassifier, np.digitize(y, [0.2, 0.9])
    if kind == "with effects":
        given |= {"effect_networks": True, "n_networks": 8}
    if kind == "by PyTorch":
        given |= {"engine": "torch", "n_networks": 2, "max_epochs": 3}
        X = X[:200]
        y = y[:200]
    answer = make.predict_proba if kind == "classifier" else make.predict
    model = make(**given).fit(X, y)
    found = n_pairs(model)
    assert len(set(found)) == 2
    assert bool(found[0]) == mixed == model.choice_.paired != model.choice_.second.paired
    expected = answer(model, new)
    np.testing.assert_allclose(
        np.concatenate([answer(model, new[i : i + 1]) for i in range(100)]), expected, rtol=1e-6
    )

    loaded = in_all_forms(model, answer, new, tmp_path)
    assert np.abs(model.explain(new).residual).max() < 1e-3
    assert model.column_importances_.keys() == {"a", "b", "c", "size"}
    assert set(model.vectors_.pairs) >= {"a*b"}

    further = rows(rng, 50).assign(a="new")
    more = target(further.assign(a="1"))
    more = np.digitize(more, [0.2, 0.9]) if kind == "classifier" else more
    for one in (model, loaded):
        one.partial_fit(further, more)
    np.testing.assert_array_equal(answer(model, new), answer(loaded, new))
    assert not np.array_equal(answer(model, new), expected)
    model.partial_fit(further.assign(b="newer"), more, existing="frozen")
    np.testing.assert_array_equal(answer(model, new), answer(loaded, new))


def test_the_bits_do_not_depend_on_threads(rng):
    X, new = rows(rng), rows(rng, 100)
    found = [EmbeddingRegressor(**GIVEN, n_jobs=n).fit(X, target(X)).predict(new) for n in (1, 2)]
    np.testing.assert_array_equal(*found)


def test_columns_that_are_hashed_and_shared(rng):
    """Where rows look at other rows of tables than their codes, those of pairs lie between."""
    X, new = rows(rng).assign(d="x"), rows(rng, 100).assign(d="x")
    X["d"], new["d"] = X["c"].to_numpy()[::-1], new["c"].to_numpy()[::-1]
    tables = {
        "c": {"kind": "hashed", "n_buckets": 4, "n_hashes": 2},
        "b": {"share": "a"},
    }
    model = EmbeddingRegressor(**GIVEN, tables=tables).fit(X, target(X))
    assert len(set(n_pairs(model))) == 2
    assert np.abs(model.explain(new).residual).max() < 1e-3
    one_by_one = np.concatenate([model.predict(new[i : i + 1]) for i in range(100)])
    np.testing.assert_allclose(one_by_one, model.predict(new), rtol=1e-6)


def test_within_a_memory_budget(rng, tmp_path):
    X, new = rows(rng, 3000), rows(rng, 100)
    model = EmbeddingRegressor(**GIVEN, memory_budget=60_000).fit(X, target(X))
    assert len(set(n_pairs(model))) == 2
    assert np.corrcoef(model.predict(new), target(new))[0, 1] > 0.8
    model.save(tmp_path / "model")
    loaded = EmbeddingRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(new), model.predict(new))


def test_an_encoder_writes_the_same_columns(rng):
    X, y = rows(rng), target(rows(rng))
    encoder = EmbeddingEncoder(**GIVEN, cv=3)
    Z = encoder.fit_transform(X, y)
    assert len(set(n_pairs(encoder))) == 2
    names = encoder.get_feature_names_out().tolist()
    assert Z.shape[1] == len(names) == encoder.transform(X).shape[1]
    assert any("a*b" in name for name in names)


def test_from_disk(rng, monkeypatch):
    """The blocks hold the codes of pairs, which some of the networks do not see."""
    X = rows(rng, 3000)
    y = target(X)
    model = EmbeddingRegressor(**GIVEN, columns=["a", "b", "c"])
    half = len(X) // 2
    frames = [X.assign(y=y)[:half], X.assign(y=y)[half:]]
    monkeypatch.setattr(_source, "SMALL", 0)
    model.fit(frames, "y")
    assert len(set(n_pairs(model))) == 2
    assert np.corrcoef(model.predict(X), y)[0, 1] > 0.8
