"""`tables`: hashed, compositional and shared tables through the estimators."""

import pickle

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import CategoryError, InputError, ParameterError
from catvec.vectors import export, read_artifact

pytestmark = pytest.mark.usefixtures("few_steps")

HASHED = {"user": {"kind": "hashed", "n_buckets": 64, "n_hashes": 2}}
ONE_HASH = {"user": {"kind": "hashed", "n_buckets": 64, "n_hashes": 1, "n_exact": 30}}
CASES = {
    "hashed": HASHED,
    "hashed with exact ones": ONE_HASH,
    "sum": {"user": {"kind": "compositional"}},
    "product": {"user": {"kind": "compositional", "combine": "product"}},
    "concatenate": {"user": {"kind": "compositional", "combine": "concatenate"}},
    "shared": {"home": {"share": "away"}},
    "hashed and shared": {
        "away": {"kind": "hashed", "n_buckets": 16, "n_hashes": 3},
        "home": {"share": "away"},
    },
}
QUICK = dict(
    pairs=None,
    interactions="concatenate",
    shrinkage=10.0,
    embedding_dim=4,
    hidden_sizes=(16,),
    n_epochs=5,
    random_state=0,
)


@pytest.fixture(scope="module")
def games():
    """Users who watch games of two teams of one set: all add to the target."""
    rng = np.random.default_rng(0)
    n = 1000
    user, home, away = rng.integers(0, 150, n), rng.integers(0, 30, n), rng.integers(0, 30, n)
    X = pd.DataFrame(
        {
            "user": [f"u{i}" for i in user],
            "home": [f"t{i}" for i in home],
            "away": [f"t{i}" for i in away],
            "x": rng.normal(size=n),
        }
    )
    X.loc[::40, "user"] = None
    of_user, of_team = rng.normal(size=150), rng.normal(size=30)
    y = of_user[user] + of_team[home] - of_team[away] + 0.3 * rng.normal(size=n)
    return X, y


@pytest.mark.learns
@pytest.mark.parametrize("name", CASES)
def test_a_regressor_learns_explains_and_comes_back(name, games, tmp_path):
    X, y = games
    model = EmbeddingRegressor(tables=CASES[name], n_networks=2, **QUICK).fit(X[:800], y[:800])
    new = X[800:].copy()
    new.iloc[0, 0] = "never seen"
    predicted = model.predict(new)
    assert np.corrcoef(predicted, y[800:])[0, 1] > 0.7
    explained = model.explain(new[:40])
    total = explained.base + explained.contributions.sum(1) + explained.residual
    np.testing.assert_allclose(total, predicted[:40], atol=1e-4)
    importances = model.column_importances_
    assert min(importances[column] for column in ("user", "home", "away")) > importances["x"]
    model.save(tmp_path / "model")
    again = EmbeddingRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(new), predicted)
    assert again.tables == CASES[name]
    vectors = CategoryVectors.load(tmp_path / "model")
    assert vectors == model.vectors_
    np.testing.assert_array_equal(vectors.encode(new), model.vectors_.encode(new))


@pytest.mark.parametrize("name", ["hashed and shared", "sum"])
def test_an_encoder_is_cross_fitted_and_comes_back(name, games, tmp_path):
    X, y = games
    encoder = EmbeddingEncoder(tables=CASES[name], n_networks=1, cv=2, **QUICK)
    encoded = encoder.fit_transform(X, y)
    assert encoded.shape == (len(X), len(encoder.get_feature_names_out()))
    assert np.isfinite(encoded).all()
    transformed = encoder.transform(X[:50])
    encoder.save(tmp_path / "encoder")
    again = EmbeddingEncoder.load(tmp_path / "encoder")
    np.testing.assert_array_equal(again.transform(X[:50]), transformed)
    names = list(encoder.get_feature_names_out())
    effect = encoded[:, names.index("user_effect")]
    assert np.corrcoef(effect, y)[0, 1] > 0.25


def test_a_hashed_column(games, tmp_path):
    X, y = games
    model = EmbeddingRegressor(tables=HASHED, n_networks=1, **QUICK).fit(X, y)
    users = model.vectors_["user"]
    assert "never seen" in users
    assert len(users) == 0
    with pytest.raises(CategoryError, match=r"'user' is hashed into 64 buckets"):
        _ = users.categories
    row = model.vectors_.encode(X[["user", "home", "away"]][1:2], output="vectors")[0, :4]
    np.testing.assert_allclose(users[X["user"][1]], row, atol=1e-6)
    assert users.missing.count == len(X[::40])
    assert pickle.loads(pickle.dumps(model.vectors_)) == model.vectors_
    # Any tool can compute what the column says, from the file alone.
    model.vectors_.save(tmp_path / "vectors")
    artifact = read_artifact(tmp_path / "vectors")
    section = artifact.schema["columns"][0]
    assert section["hashed"] == {
        "n_buckets": 64,
        "n_hashes": 2,
        "function": "murmurhash3_x86_32",
    }
    table = pq.read_table(artifact.verified_path(section["file"])).to_pandas()
    codes = users.vocabulary.codes_of_one("u7")[0]
    stored = np.stack(table["vector"])
    weights = table["importance"][codes[2]]
    composed = sum(w * stored[c] for w, c in zip(weights, codes[:2], strict=True))
    np.testing.assert_allclose(composed, users["u7"], atol=1e-6)
    assert set(table["role"]) == {"unknown", "missing", "bucket"}


def test_a_hashed_column_is_stable_in_size(games):
    """However many values there are, the model is as large."""
    X, y = games
    many = X.assign(user=[f"user number {i}" for i in range(len(X))])
    one, other = (
        EmbeddingRegressor(tables=HASHED, n_networks=1, **QUICK).fit(frame, y).vectors_["user"]
        for frame in (X, many)
    )
    assert one.by_code()[0].shape == other.by_code()[0].shape


def test_exact_values_of_a_hashed_column(games):
    X, y = games
    users = EmbeddingRegressor(tables=ONE_HASH, n_networks=2, **QUICK).fit(X, y).vectors_["user"]
    frequent = X["user"].value_counts()
    assert len(users) == len(users.categories) == len(users.vectors) == len(users.counts) == 30
    assert users.counts.min() >= frequent.iloc[30]
    found = users.most_similar(users.categories[0], topn=3)
    assert all(category in users.categories for category, _ in found)
    rare = next(user for user in frequent.index if user not in users.categories)
    assert len(users.most_similar(rare, topn=3)) == 3


def test_every_category_of_a_compositional_column_has_its_own_vector(games):
    X, y = games
    for name in ("sum", "product", "concatenate"):
        model = EmbeddingRegressor(tables=CASES[name], n_networks=1, **QUICK).fit(X, y)
        assert len(np.unique(model.vectors_["user"].vectors, axis=0)) == 150
        stored = sum(a.size for n, a in model.networks_[0].state().items() if n[:5] == "table")
        assert stored < 4 * (2 * 32 + 2 * (13 + 13 + 4))


def test_columns_that_share_have_the_same_vectors(games):
    X, y = games
    model = EmbeddingRegressor(tables={"home": {"share": "away"}}, n_networks=2, **QUICK).fit(X, y)
    home, away = model.vectors_["home"], model.vectors_["away"]
    np.testing.assert_array_equal(home.vectors, away.vectors)
    assert home.effect("t3") == pytest.approx(-away.effect("t3"), abs=0.6)
    assert home.counts.sum() == away.counts.sum() == len(X)


def test_pairs_leave_hashed_columns_alone(games):
    X, y = games
    auto = {**QUICK, "pairs": "auto"}
    model = EmbeddingRegressor(tables=CASES["hashed and shared"], n_networks=1, **auto).fit(X, y)
    assert all("away" not in pair for pair in model.choice_.pairs)
    with pytest.raises(InputError, match="`pairs` names 'user', which are hashed"):
        EmbeddingRegressor(tables=HASHED, **{**QUICK, "pairs": [("user", "home")]}).fit(X, y)


def test_pairs_beside_composed_columns(games):
    """Codes of pairs are those of the categories, not of quotients."""
    X, y = games
    settings = {**QUICK, "pairs": [("user", "home"), ("home", "away")]}
    model = EmbeddingRegressor(tables=CASES["sum"], n_networks=1, **settings)
    model.fit(X[:800], y[:800], X_val=X[800:], y_val=y[800:])
    assert model.schema_.pairs[0].n_codes > 600
    assert np.isfinite(model.predict(X)).all()
    assert set(model.column_importances_) == {"user", "home", "away", "x"}


def test_a_classifier_with_everything_open(games):
    X, y = games
    labels = np.where(y > 1, "high", np.where(y < -1, "low", "middle"))
    model = EmbeddingClassifier(
        hidden_sizes=(8,), tables=HASHED, random_state=0, n_epochs=1, n_networks=1
    )
    probabilities = model.fit(X, labels).predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_wrong_tables(games):
    X, y = games
    with pytest.raises(ParameterError, match=r"tables\['user'\]\['n_buckets'\]` must be an int"):
        EmbeddingRegressor(tables={"user": {"kind": "hashed", "n_buckets": "many"}}).fit(X, y)
    with pytest.raises(InputError, match="`tables` names 'x', which are no categorical columns"):
        EmbeddingRegressor(tables={"x": {"kind": "hashed"}}).fit(X, y)
    with pytest.raises(ParameterError, match=r"`engine` must be .* got 'torch'"):
        EmbeddingRegressor(tables=HASHED, engine="torch", **QUICK).fit(X, y)


def test_torch_modules_refuse_what_they_lack(games):
    torch = pytest.importorskip("catvec.torch")
    X, y = games
    model = EmbeddingRegressor(tables=HASHED, n_networks=1, **QUICK).fit(X, y)
    with pytest.raises(ParameterError, match=r"`estimator` must be without .* got \['user'\]"):
        torch.from_estimator(model)
    with pytest.raises(ParameterError, match="`vectors` must be of columns with one hash function"):
        torch.CategoryEmbeddings.from_vectors(model.vectors_)
    with pytest.raises(ParameterError, match="`column_vectors` must be of one hash function"):
        torch.CategoryEmbedding.from_vectors(model.vectors_["user"])


def test_exports_of_hashed_columns(games, tmp_path):
    X, y = games
    vectors = EmbeddingRegressor(tables=HASHED, n_networks=1, **QUICK).fit(X, y).vectors_
    with pytest.raises(CategoryError, match="'user' is hashed into 64 buckets"):
        export(vectors, tmp_path / "user.txt", "word2vec", "user")
    with pytest.raises(CategoryError, match="'user' is hashed into 64 buckets"):
        vectors["user"].most_similar("u7")
    (path,) = export(vectors, tmp_path / "user.parquet", "parquet", "user")
    assert pq.read_table(path).num_rows == 66
    (path,) = export(vectors, tmp_path / "all.parquet", "parquet")
    assert pq.read_table(path).num_rows == 66 + 2 * 32


def test_the_same_bits_whatever_the_threads(games):
    X, y = games
    predictions = [
        EmbeddingRegressor(tables=CASES["hashed"], n_networks=2, n_jobs=n, **QUICK)
        .fit(X, y)
        .predict(X[:100])
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(*predictions)


@pytest.mark.parametrize(
    ("tables", "kind"),
    [
        ({"a": {"kind": "hashed", "n_buckets": 8}}, "hashed"),
        ({"a": {"share": "b"}}, "shared"),
        (None, "list"),
    ],
)
def test_counts_of_what_has_no_categories_from_counts_are_refused(tables, kind):
    """They were passed over, or ended in an error of NumPy's."""
    X = {"a": ["x", "y"] * 20, "b": ["y", "z"] * 20}
    if kind == "list":
        X["a"] = [[cell] for cell in X["a"]]
    counts = {"a": {"category": ["x", "y"], "count": [20, 20]}}
    model = EmbeddingRegressor(tables=tables)
    with pytest.raises(InputError, match=f"column 'a', but its table is {kind}: leave its counts"):
        model.fit(X, np.arange(40.0), vocabulary_counts=counts)
