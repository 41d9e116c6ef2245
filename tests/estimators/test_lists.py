"""Columns whose cells hold several categories, through the estimators."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError, ParameterError
from catvec.frames import _source

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = dict(
    pairs=None,
    interactions="concatenate",
    shrinkage=1.0,
    hidden_sizes=(16,),
    n_epochs=6,
    n_networks=2,
    random_state=0,
)


@pytest.fixture(scope="module")
def films():
    """The mean of a film's tags, and its country, add up to the target."""
    rng = np.random.default_rng(0)
    n, of_tag, of_country = 1000, rng.normal(size=30), rng.normal(size=5)
    tags = [list(rng.choice(30, rng.integers(0, 5), replace=False)) for _ in range(n)]
    country = rng.integers(0, 5, n)
    y = np.array([of_tag[t].mean() if t else 0.0 for t in tags]) + of_country[country]
    named = [[f"t{i}" for i in t] for t in tags]
    X = {"tags": named, "country": [f"c{i}" for i in country], "x": rng.normal(size=n).tolist()}
    weights = [rng.uniform(0, 3, len(t)).tolist() for t in tags]
    heavy = [
        sum(w * of_tag[i] for w, i in zip(ws, t, strict=True))
        for ws, t in zip(weights, tags, strict=True)
    ]
    return X, y + 0.1 * rng.normal(size=n), weights, np.array(heavy) + of_country[country]


@pytest.mark.learns
def test_a_regressor_learns_explains_and_comes_back(films, tmp_path):
    X, y, _, _ = films
    frame = pd.DataFrame(X)
    model = EmbeddingRegressor(**QUICK).fit(frame[:800], y[:800])
    predicted = model.predict(frame[800:])
    assert 1 - np.mean((predicted - y[800:]) ** 2) / y[800:].var() > 0.85
    explained = model.explain(frame[800:850])
    total = explained.base + explained.contributions.sum(1) + explained.residual
    np.testing.assert_allclose(total, predicted[:50], atol=1e-4)
    assert model.column_importances_["tags"] > 0.1 > model.column_importances_["x"]
    for other in (pl.DataFrame(X), pa.table(X)):
        np.testing.assert_allclose(model.predict(other)[800:], predicted, atol=1e-9)
    model.save(tmp_path / "m")
    again = EmbeddingRegressor.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(frame[800:]), predicted)
    strange = frame[800:803].assign(tags=[["never seen"], [], None])
    assert np.isfinite(model.predict(strange)).all()
    with pytest.raises(
        InputError, match="'tags' has categories not seen in training: 'never seen'"
    ):
        EmbeddingRegressor(handle_unknown="error", **QUICK).fit(frame[:800], y[:800]).predict(
            strange
        )


def test_effects_of_a_list_are_means(films, tmp_path):
    X, y, _, _ = films
    frame = pd.DataFrame(X)
    vectors = EmbeddingRegressor(**QUICK).fit(frame, y).vectors_
    vectors.save(tmp_path / "v")
    loaded = CategoryVectors.load(tmp_path / "v")
    tags = vectors["tags"]
    rows = {"tags": [["t1", "t2"], [], ["t3", "no such"]], "country": ["c0", "c0", "c0"]}
    encoded = loaded.encode(rows)
    width = tags.embedding_dim
    np.testing.assert_allclose(
        encoded[0, 0], (tags.effect("t1") + tags.effect("t2")) / 2, atol=1e-6
    )
    np.testing.assert_allclose(encoded[0, 2 : 2 + width], (tags["t1"] + tags["t2"]) / 2, atol=1e-6)
    np.testing.assert_allclose(encoded[1, 2 : 2 + width], tags.missing.vector, atol=1e-6)
    mixed = (tags["t3"] + tags.unknown.vector) / 2
    np.testing.assert_allclose(encoded[2, 2 : 2 + width], mixed, atol=1e-6)
    assert tags.counts.sum() + tags.missing.count == sum(max(len(t), 1) for t in X["tags"])


def test_weighted_sums(films, tmp_path):
    X, _, weights, y = films
    frame = pd.DataFrame(X).assign(w=weights)
    tables = {"tags": {"kind": "list", "weights": "w"}}
    scores = {}
    for name, asked in (("sum", tables), ("mean", None)):
        rows = frame if asked else frame.drop(columns="w")
        model = EmbeddingRegressor(tables=asked, **QUICK).fit(rows[:800], y[:800])
        predicted = model.predict(rows[800:])
        scores[name] = 1 - np.mean((predicted - y[800:]) ** 2) / y[800:].var()
        assert set(model.column_importances_) == {"tags", "country", "x"}
    assert scores["sum"] > scores["mean"] + 0.1
    model = EmbeddingRegressor(tables=tables, **QUICK).fit(frame, y)
    model.save(tmp_path / "m")
    again = EmbeddingRegressor.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(frame[:9]), model.predict(frame[:9]))
    with pytest.raises(InputError, match="columns of the training table are missing: 'w'"):
        model.predict(frame.drop(columns="w"))
    vectors, loaded = model.vectors_, CategoryVectors.load(tmp_path / "m")
    rows = pd.DataFrame({"tags": [["t1", "t2"]], "w": [[2.0, 0.5]], "country": ["c0"]})
    expected = 2 * vectors["tags"]["t1"] + 0.5 * vectors["tags"]["t2"]
    for one in (vectors, loaded, pickle.loads(pickle.dumps(vectors)), vectors.compress("float32")):
        found = one.encode(rows, output="vectors")[0, : len(expected)]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert loaded == vectors
    renamed = vectors.rename(columns={"tags": "labels"})
    with pytest.raises(InputError, match="'labels' were learned with the weights in column 'w'"):
        renamed.encode({"labels": rows["tags"], "country": rows["country"]})


def test_an_encoder_is_cross_fitted(films):
    X, y, _, _ = films
    encoder = EmbeddingEncoder(cv=2, **QUICK)
    encoded = encoder.fit_transform(pl.DataFrame(X), y)
    names = list(encoder.get_feature_names_out())
    assert encoded.shape == (1000, len(names))
    assert "tags_code" not in names
    assert np.corrcoef(encoded[:, names.index("tags_effect")], y)[0, 1] > 0.3
    noise = np.random.default_rng(1).normal(size=1000)
    leak = encoder.fit_transform(pl.DataFrame(X), noise)[:, names.index("tags_effect")]
    assert np.corrcoef(leak, noise)[0, 1] < 0.15


def test_all_that_is_open_and_classes(films):
    X, y, _, _ = films
    labels = np.where(y > 0.5, "good", np.where(y < -0.5, "bad", "fair"))
    model = EmbeddingClassifier(
        random_state=0, n_epochs=2, n_networks=1, hidden_sizes=(8,), category_dropout=0.05
    ).fit(pd.DataFrame(X), labels)
    assert all("tags" not in pair for pair in model.choice_.pairs)
    np.testing.assert_allclose(model.predict_proba(pd.DataFrame(X)).sum(1), 1)


def test_what_lists_cannot(films):
    X, y, _, _ = films
    frame = pd.DataFrame(X)
    with pytest.raises(InputError, match="`pairs` names 'tags', which are hashed or lists"):
        EmbeddingRegressor(**{**QUICK, "pairs": [("tags", "country")]}).fit(frame, y)
    with pytest.raises(ParameterError, match=r"`engine` must be .* got 'torch'"):
        EmbeddingRegressor(engine="torch", **QUICK).fit(frame, y)
    model = EmbeddingRegressor(**QUICK).fit(frame, y)
    with pytest.raises(ParameterError, match="partial_fit cannot grow tables"):
        model.partial_fit(frame[:9], y[:9])


def test_lists_are_read_from_files_and_streams(films, tmp_path):
    X, y, _, _ = films
    table = pa.table({**X, "y": y})
    pq.write_table(table.slice(0, 600), tmp_path / "a.parquet")
    pq.write_table(table.slice(600), tmp_path / "b.parquet")
    frames = [pd.DataFrame(X).assign(y=y)[:600], pd.DataFrame(X).assign(y=y)[600:]]
    expected = EmbeddingRegressor(**QUICK).fit(table.drop_columns(["y"]), y).predict(table)
    for source in (tmp_path, frames, iter(frames)):
        model = EmbeddingRegressor(**QUICK).fit(source, "y")
        np.testing.assert_array_equal(model.predict(table), expected)


def test_what_cannot_have_lists_says_so(films, tmp_path, monkeypatch):
    X, y, _, _ = films
    table = pa.table({**X, "y": y})
    pq.write_table(table, tmp_path / "a.parquet")
    model = EmbeddingRegressor(**QUICK).fit(table.drop_columns(["y"]), y)
    with pytest.raises(ParameterError, match="drift_report cannot look at columns of lists"):
        model.drift_report(table)
    with pytest.raises(ParameterError, match="composed, shared or of lists, as those of 'tags'"):
        model.partial_fit(table.drop_columns(["y"]), y)
    with pytest.raises(InputError, match="'country' cannot share the table of 'tags', which holds"):
        EmbeddingRegressor(tables={"country": {"share": "tags"}}).fit(table, "y")
    monkeypatch.setattr(_source, "SMALL", 0)
    with pytest.raises(InputError, match="larger than memory cannot hold lists, as 'tags' do"):
        EmbeddingRegressor(**QUICK).fit(tmp_path, "y")
