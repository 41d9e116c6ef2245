"""`memory_budget`: the model has at most so many bytes, and counts decide who has a row."""

import pickle
from itertools import combinations

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
    n_epochs=4,
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


def test_what_further_rows_need_is_within_the_budget_too(clicks, tmp_path):
    X, y = clicks
    settings = {**QUICK, "pairs": None}
    full = EmbeddingRegressor(**settings).fit(X, y)
    own, going_on = model_bytes(full), full._continuation.n_bytes(full.networks_)
    wide = EmbeddingRegressor(memory_budget=own + going_on, **settings).fit(X, y)
    wide.partial_fit(X[:9], y[:9])
    narrow = EmbeddingRegressor(memory_budget=own + going_on - 1, **settings).fit(X, y)
    np.testing.assert_array_equal(narrow.predict(X), full.predict(X))
    with pytest.raises(ParameterError, match="cut to a `memory_budget`"):
        narrow.partial_fit(X[:9], y[:9])
    encoder = EmbeddingEncoder(output="vectors", memory_budget=own + going_on, **settings)
    encoder.fit(X, y)
    assert encoder._continuation is None or not encoder.networks_
    for model in (narrow, wide):
        model.save(tmp_path / "m")
        files = [path.stat().st_size for path in (tmp_path / "m").rglob("*") if path.is_file()]
        assert sum(files) < 1.3 * (own + going_on * (model is wide))


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


def test_few_epochs_bring_no_more_networks_than_the_budget_reckons_with(clicks, monkeypatch):
    X = clicks[0][:400]
    y = np.random.default_rng(0).normal(size=len(X))  # learned by heart, the sooner the worse
    monkeypatch.setattr("catvec.estimators._choice.SMALL_BUDGET", 400 * 12 * 4)
    settings = {**QUICK, "n_epochs": "auto", "max_epochs": 6, "n_networks": "auto"}
    settings |= {"pairs": None, "shrinkage": 0.1, "embedding_dim": 8, "effect_networks": False}
    full = EmbeddingRegressor(**settings).fit(X, y)
    assert (full.choice_.n_epochs, len(full.networks_)) == (3, 12)
    budget = model_bytes(full) * 3 // 4
    model = EmbeddingRegressor(memory_budget=budget, **settings).fit(X, y)
    assert model_bytes(model) <= budget


@pytest.mark.parametrize("fraction", [0.5, 0.9])
def test_what_pairs_add_to_the_first_layers_is_reckoned_with(fraction):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({name: rng.integers(8, size=600).astype(str) for name in "abcdef"})
    y, pairs = rng.normal(size=600), list(combinations("abcdef", 2))
    settings = {**QUICK, "hidden_sizes": (64,), "embedding_dim": 4, "pairs": pairs}
    budget = int(model_bytes(EmbeddingRegressor(**settings).fit(X, y)) * fraction)
    model = EmbeddingRegressor(memory_budget=budget, **settings).fit(X, y)
    assert 0.9 * budget < model_bytes(model) <= budget
    assert 0 < len(model.vectors_.pairs["a*b"].pair.keys) < 64


def fitted(clicks, fraction, **settings):
    """A full model, and one within a fraction of its bytes."""
    X, y = clicks
    settings = {**QUICK, "pairs": None, **settings}
    full = EmbeddingRegressor(**settings).fit(X, y)
    budget = int(model_bytes(full) * fraction)
    return full, EmbeddingRegressor(memory_budget=budget, **settings).fit(X, y)


def test_all_categories_keep_their_rows_while_they_can(clicks):
    full, model = fitted(clicks, 0.2)
    assert model.choice_ == full.choice_  # it learned as it does without a budget
    assert [v.n_codes for v in model.schema_.vocabularies] == [
        v.n_codes for v in full.schema_.vocabularies
    ]
    assert not any(isinstance(v, HashedVocabulary) for v in model.schema_.vocabularies)
    user = model.vectors_["user"]
    assert user.precision == "packed"
    np.testing.assert_array_equal(user.categories, full.vectors_["user"].categories)
    np.testing.assert_array_equal(user.counts, full.vectors_["user"].counts)
    assert user.counts.dtype == np.int64


def test_the_more_bytes_the_nearer_to_the_full_model(clicks):
    X, _ = clicks
    errors = []
    for fraction in (0.11, 0.14, 0.9):
        full, model = fitted(clicks, fraction)
        errors.append(np.sqrt(np.mean((model.predict(X) - full.predict(X)) ** 2)))
        np.testing.assert_allclose(
            model.vectors_["user"].effects, full.vectors_["user"].effects, atol=0.02
        )
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.2  # of a target whose standard deviation is 1.4
    assert errors[-1] < 0.01


def test_counts_decide_where_rows_do_not_fit(clicks):
    X, _ = clicks
    _, model = fitted(clicks, 0.08)
    user, shop = model.schema_.vocabularies
    assert isinstance(user, HashedVocabulary)
    assert not isinstance(shop, HashedVocabulary)  # its categories are all more frequent
    counts = X["user"].value_counts()
    kept = set(user.categories)
    assert 10 < len(kept) < len(counts)
    assert min(counts[name] for name in kept) >= max(counts[~counts.index.isin(kept)])
    assert user.n_buckets == max(1, len(user) // 50)
    assert model.vectors_["user"].most_similar(counts.index[0])


def test_bytes_are_those_held_and_saved(clicks, tmp_path):
    _, model = fitted(clicks, 0.15)
    told = model_bytes(model)
    # Pickles hold each array once, and beside them a few kilobytes of Python's own.
    held = len(pickle.dumps((model.networks_, model.vectors_, model.schema_.vocabularies)))
    assert told < held < told + 15_000
    model.save(tmp_path / "m")
    saved = sum(p.stat().st_size for p in (tmp_path / "m").iterdir() if p.suffix != ".json")
    assert saved < told + 15_000
    again = EmbeddingRegressor.load(tmp_path / "m")
    assert model_bytes(again) == told
    coordinates = again.vectors_["user"].stored.coordinates
    assert all(n.tables.rows[0].coordinates is coordinates for n in again.networks_)


def test_what_a_packed_model_answers(clicks):
    X, y = clicks
    full, model = fitted(clicks, 0.15)
    one = [model.predict(X[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(one, model.predict(X[:5]), rtol=1e-6)
    explained = model.explain(X[:9])
    total = explained.base + explained.contributions.sum(axis=1) + explained.residual
    np.testing.assert_allclose(total, model.predict(X[:9]), rtol=1e-5, atol=1e-5)
    new = X[:3].assign(user=["nobody", None, "u0"])
    np.testing.assert_allclose(model.predict(new), full.predict(new), atol=0.6)
    assert model.vectors_["user"].most_similar("u0", topn=3)
    with pytest.raises(ParameterError, match="cut to a `memory_budget`"):
        model.partial_fit(X[:50], y[:50])


def test_an_encoder_without_networks_packs_its_vectors(clicks):
    X, y = clicks
    settings = {**QUICK, "pairs": None, "joint_score": False}
    full = EmbeddingEncoder(**settings).fit(X, y)
    budget = int(model_bytes(full) * 0.3)
    encoder = EmbeddingEncoder(memory_budget=budget, **settings).fit(X, y)
    assert not encoder.networks_
    assert encoder.vectors_["user"].precision == "packed"
    assert model_bytes(encoder) <= budget
    found, wanted = encoder.transform(X), full.transform(X)
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.1 * wanted.std()


def test_what_tables_says_stays(clicks):
    X, y = clicks
    tables = {"user": {"kind": "hashed", "n_buckets": 40, "n_hashes": 2}}
    model = EmbeddingRegressor(tables=tables, memory_budget="30kB", pairs=None, **QUICK).fit(X, y)
    assert model.schema_.vocabularies[0].n_buckets == 40
    assert model_bytes(model) <= 30_000


def test_too_small_a_budget_says_what_is_needed(clicks):
    model = EmbeddingRegressor(memory_budget=100, **QUICK)
    with pytest.raises(
        ParameterError, match=r"must be at least [\d,]+ bytes, .* got 100:"
    ) as refused:
        model.fit(*clicks)
    least = int(str(refused.value).split()[5].replace(",", ""))
    assert model_bytes(model.set_params(memory_budget=least).fit(*clicks)) <= least
    with pytest.raises(ParameterError, match=f"must be at least {least:,} bytes"):
        model.set_params(memory_budget=least - 1).fit(*clicks)


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
