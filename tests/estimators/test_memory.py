"""`memory_budget`: the model has at most so many bytes, and counts decide who has a row."""

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import ParameterError
from catvec.estimators._memory import model_bytes, read_bytes
from catvec.frames import HashedVocabulary

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = dict(
    interactions="concatenate",
    shrinkage=1.0,
    hidden_sizes=(8,),
    max_epochs=4,
    n_networks=2,
    n_knots=4,
    random_state=0,
)


@pytest.fixture(scope="module")
def clicks():
    """Users by Zipf's law, a few shops, a number."""
    rng = np.random.default_rng(0)
    n = 4000
    user = (1500 * rng.random(n) ** 4).astype(int)
    shop = rng.integers(0, 12, n)
    y = rng.normal(size=1500)[user] + rng.normal(size=12)[shop] + 0.3 * rng.normal(size=n)
    X = pd.DataFrame({"user": [f"u{i}" for i in user], "shop": [f"s{i}" for i in shop]})
    return X.assign(x=rng.normal(size=n)), y


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("64MB", 64_000_000), ("2GiB", 2**31), ("1.5 kB", 1500), ("7B", 7), (12, 12), ("1KB", 1000)],
)
def test_read_bytes(text, n_bytes):
    assert read_bytes(text) == n_bytes


@pytest.mark.parametrize("wrong", ["64", "much", "64Mb", -1, 0, 2.5, True, [1]])
def test_wrong_budgets(wrong, clicks):
    with pytest.raises(ParameterError, match="`memory_budget` must be"):
        EmbeddingRegressor(memory_budget=wrong, **QUICK).fit(*clicks)


def test_a_budget_that_suffices_changes_nothing(clicks):
    X, y = clicks
    one = EmbeddingRegressor(memory_budget="1GB", pairs=None, **QUICK).fit(X, y)
    other = EmbeddingRegressor(pairs=None, **QUICK).fit(X, y)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


@pytest.mark.parametrize("pairs", [None, [("user", "shop")]])
@pytest.mark.parametrize("fraction", [0.5, 0.2, 0.1])
def test_the_budget_holds(fraction, pairs, clicks, tmp_path):
    X, y = clicks
    full = EmbeddingRegressor(pairs=pairs, **QUICK).fit(X, y)
    budget = int(model_bytes(full) * fraction)
    model = EmbeddingRegressor(pairs=pairs, memory_budget=budget, **QUICK).fit(X, y)
    assert 0.5 * budget < model_bytes(model) <= budget
    assert model.score(X, y) > 0.4
    model.save(tmp_path / "m")
    again = EmbeddingRegressor.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(X[:99]), model.predict(X[:99]))
    assert again.vectors_ == model.vectors_


def test_counts_decide(clicks):
    X, y = clicks
    full = EmbeddingRegressor(pairs=None, **QUICK).fit(X, y)
    budget = int(model_bytes(full) * 0.15)
    model = EmbeddingRegressor(pairs=None, memory_budget=budget, **QUICK).fit(X, y)
    user, shop = model.schema_.vocabularies
    assert max(model.choice_.dims) == 2  # narrow before any category loses its row
    assert model.networks_[0].tables.flat.dtype == np.float16
    assert model.vectors_["user"].precision == "float16"
    assert isinstance(user, HashedVocabulary)
    assert not isinstance(shop, HashedVocabulary)  # its categories are all more frequent
    counts = X["user"].value_counts()
    kept = set(user.categories)
    assert min(counts[name] for name in kept) >= max(counts[~counts.index.isin(kept)])
    assert user.n_buckets == max(1, len(user) // 50)
    frequent = counts.index[0]
    assert model.vectors_["user"].most_similar(frequent)


def test_narrow_before_rows_are_shared(clicks):
    X, y = clicks
    full = EmbeddingRegressor(pairs=None, **QUICK).fit(X, y)
    budget = int(model_bytes(full) * 0.4)
    model = EmbeddingRegressor(pairs=None, memory_budget=budget, **QUICK).fit(X, y)
    assert not any(isinstance(v, HashedVocabulary) for v in model.schema_.vocabularies)
    assert max(model.choice_.dims) < max(full.choice_.dims)
    given = EmbeddingRegressor(pairs=None, memory_budget=budget, embedding_dim=5, **QUICK)
    assert set(given.fit(X, y).choice_.dims) == {5}  # what the user says stays


def test_halves_predict_nearly_the_same(clicks):
    X, y = clicks
    settings = {**QUICK, "pairs": None, "embedding_dim": 4}
    full = EmbeddingRegressor(**settings).fit(X, y)
    budget = model_bytes(full) - 1
    half = EmbeddingRegressor(memory_budget=budget, **settings).fit(X, y)
    np.testing.assert_allclose(half.predict(X), full.predict(X), atol=2e-3)
    with pytest.raises(ParameterError, match="cut to a `memory_budget`"):
        half.partial_fit(X[:50], y[:50])


def test_what_tables_says_stays(clicks):
    X, y = clicks
    tables = {"user": {"kind": "hashed", "n_buckets": 40, "n_hashes": 2}}
    model = EmbeddingRegressor(tables=tables, memory_budget="30kB", pairs=None, **QUICK).fit(X, y)
    assert model.schema_.vocabularies[0].n_buckets == 40
    assert model_bytes(model) <= 30_000


def test_too_small_a_budget_says_what_is_needed(clicks):
    with pytest.raises(ParameterError, match=r"must be at least [\d,]+ bytes, .* got 100:"):
        EmbeddingRegressor(memory_budget=100, **QUICK).fit(*clicks)


def test_classes_encoders_and_files(clicks, tmp_path):
    X, y = clicks
    labels = np.where(y > 1, "high", np.where(y < -1, "low", "middle"))
    model = EmbeddingClassifier(memory_budget="40kB", pairs=None, **QUICK).fit(X, labels)
    assert model_bytes(model) <= 40_000
    model.save(tmp_path / "m")
    again = EmbeddingClassifier.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict_proba(X[:99]), model.predict_proba(X[:99]))
    assert again.memory_budget == "40kB"
    encoder = EmbeddingEncoder(memory_budget="40kB", pairs=None, cv=2, **QUICK)
    assert np.isfinite(encoder.fit_transform(X, y)).all()
    assert model_bytes(encoder) <= 40_000
