"""The encoder: cross-fitted, aligned, named, and at home in scikit-learn."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from catvec import EmbeddingEncoder
from catvec.errors import InputError, ParameterError
from catvec.estimators import _choice

pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.fixture
def encoder():
    names = ["city", "product", "store"]
    return EmbeddingEncoder(
        columns=names,
        shrinkage=1.0,
        pairs=None,
        interactions="concatenate",
        n_epochs=4,
        n_networks=1,
        random_state=0,
    )


def test_names_and_shape(encoder, small_data):
    Z = encoder.fit_transform(small_data.frame, small_data.regression)
    names = encoder.get_feature_names_out().tolist()
    assert Z.shape == (400, len(names))
    width = encoder.vectors_["city"].embedding_dim
    city = ["city_effect", "city_confidence", *(f"city_{i:02d}" for i in range(width))]
    assert names[: width + 2] == city
    assert names[-6:-3] == ["city_code", "product_code", "store_code"]
    assert names[-3:] == ["joint_score", "distance", "price"]
    np.testing.assert_array_equal(Z[:, -2:], small_data.frame[["distance", "price"]])


def test_every_kind_of_frame_is_encoded_alike(encoder, small_data, as_frame):
    reference = encoder.fit_transform(small_data.frame, small_data.regression)
    Z = clone(encoder).fit_transform(as_frame(small_data.columns), small_data.regression)
    np.testing.assert_array_equal(Z, reference)


def test_transform_goes_by_name(encoder, small_data):
    encoder.fit(small_data.frame, small_data.regression)
    shuffled = small_data.frame[["price", "store", "city", "distance", "product"]].assign(more="x")
    np.testing.assert_array_equal(encoder.transform(shuffled), encoder.transform(small_data.frame))
    with pytest.raises(InputError, match="'city'"):
        encoder.transform(small_data.frame.drop(columns="city"))


def test_unknown_missing_and_rare(encoder, small_data):
    encoder.fit(small_data.frame, small_data.regression)
    new = small_data.frame.head(2).assign(city=["no such city", None])
    names = encoder.get_feature_names_out().tolist()
    unknown, missing = encoder.transform(new)[:, names.index("city_effect")]
    assert unknown == 0
    assert missing == pytest.approx(encoder.vectors_["city"].missing.effect)
    strict = encoder.set_params(handle_unknown="error", min_frequency=15)
    strict.fit(small_data.frame, small_data.regression)
    strict.transform(small_data.frame)  # rare ones were seen
    with pytest.raises(InputError, match=r"'city'.*'no such city'"):
        strict.transform(new)


def test_outputs(encoder, small_data):
    X, y = small_data.frame, small_data.regression
    both = clone(encoder).fit_transform(X, y)
    effects = clone(encoder).set_params(output="effects").fit(X, y)
    vectors = clone(encoder).set_params(output="vectors", passthrough=False)
    assert effects.history_ == []
    assert list(effects.get_feature_names_out())[:2] == ["city_effect", "city_confidence"]
    n_vectors = vectors.fit_transform(X, y).shape[1]
    assert n_vectors + 6 + 3 + 1 + 2 == both.shape[1]
    plain = clone(encoder).set_params(joint_score=False).fit_transform(X, y)
    np.testing.assert_array_equal(plain, np.delete(both, -3, axis=1))
    bare = clone(encoder).set_params(category_codes=False).fit_transform(X, y)
    np.testing.assert_array_equal(bare, np.delete(both, [-6, -5, -4], axis=1))


def test_codes_of_small_columns(encoder, small_data, monkeypatch):
    """0 unknown, 1 missing, 2.. the categories in their order; none where a booster has no bins."""
    X, y = small_data.frame, small_data.regression
    encoder.set_params(category_dropout=0.0)
    Z, names = encoder.fit_transform(X, y), encoder.get_feature_names_out().tolist()
    place = {city: 2 + i for i, city in enumerate(encoder.vectors_["city"].categories.tolist())}
    told = [1 if city is None else place[city] for city in small_data.columns["city"]]
    np.testing.assert_array_equal(Z[:, names.index("city_code")], told)
    new = encoder.transform(X.head(2).assign(city=["no such city", None]))
    assert new[:, names.index("city_code")].tolist() == [0, 1]
    assert [names[c] for c in encoder.categorical_features_] == names[-6:-3]
    monkeypatch.setattr(_choice, "MOST_CODES", 29)  # of 30 products
    encoder.fit(X, y)
    codes = [name for name in encoder.get_feature_names_out() if name.endswith("_code")]
    assert codes == ["city_code", "store_code"]
    monkeypatch.undo()
    with pytest.raises(InputError, match="'city_code'"):
        encoder.fit(X.assign(city_code=1.0), y)


def test_a_share_of_categories_is_written_as_unknown_in_training_rows(encoder, small_data):
    """The next model meets unknown categories, also in pairs and in the joint score, before use."""
    X, y = small_data.frame, small_data.regression
    encoder.set_params(category_dropout=0.2, pairs=[("city", "store")])
    Z, names = encoder.fit_transform(X, y), encoder.get_feature_names_out().tolist()
    unknown = {c: Z[:, names.index(f"{c}_code")] == 0 for c in ("city", "store")}
    of_rows = np.mean(unknown["city"] | unknown["store"] | (Z[:, names.index("product_code")] == 0))
    assert of_rows == pytest.approx(0.3, abs=0.06)  # 0.2 of three columns would be more than most
    assert not (unknown["city"] & unknown["store"]).any()
    for column, rows in unknown.items():
        assert rows.any()
        own = [i for i, name in enumerate(names) if name.startswith(f"{column}_")]
        of_row_0 = Z[rows][:, own]
        assert (of_row_0[:, :2] == 0).all()  # effect, confidence
        assert len(np.unique(of_row_0.round(6), axis=0)) <= 5  # its vector by fold
    either = unknown["city"] | unknown["store"]
    assert (Z[either, names.index("city*store_confidence")] == 0).all()
    assert (Z[~either, names.index("city*store_confidence")] > 0).any()
    new = encoder.transform(X)
    assert (new[:, names.index("city_code")] > 0).all()  # new rows are written as they are
    effects = encoder.set_params(output="effects").fit_transform(X, y)
    confidence = encoder.get_feature_names_out().tolist().index("city_confidence")
    assert (effects[:, confidence] > 0).all()


@pytest.mark.parametrize("n_categories", [253, 254])
def test_codes_are_as_many_as_boosters_have_bins(n_categories):
    rng = np.random.default_rng(0)
    n = 4 * n_categories
    X = {"city": [f"c{i % n_categories}" if i else None for i in range(n)]}
    y = rng.normal(size=n)
    encoder = EmbeddingEncoder(shrinkage=1.0, n_networks=1, n_epochs=1, random_state=0)
    Z = encoder.fit_transform(X, y)
    places = encoder.categorical_features_
    assert len(places) == (n_categories == 253)
    HistGradientBoostingRegressor(categorical_features=places, max_iter=2).fit(Z, y)
    assert encoder.set_params(output="effects").fit(X, y).categorical_features_ == []


@pytest.mark.parametrize("split", [{"time_column": "day"}, {"cv": TimeSeriesSplit(3)}])
def test_where_folds_expand_in_time_effects_are_written(encoder, small_data, split, tmp_path):
    """Yet vectors are learned of all rows, once."""
    X, y = small_data.frame.assign(day=np.arange(400.0)), small_data.regression
    encoder.set_params(**{"cv": 4, "passthrough": False, **split})
    Z, names = encoder.fit_transform(X, y), encoder.get_feature_names_out().tolist()
    kinds = ["effect", "confidence"] * 3 + ["code"] * 3
    assert [name.rpartition("_")[2] for name in names] == kinds
    assert [names[c] for c in encoder.categorical_features_] == names[-3:]
    assert Z.shape == (400, 9)
    assert encoder.output_ == "effects"
    assert encoder.vectors_["city"].embedding_dim > 0
    assert {record["network"] for record in encoder.history_} == {0}
    encoder.save(tmp_path / "encoder.catvec")
    loaded = EmbeddingEncoder.load(tmp_path / "encoder.catvec")
    np.testing.assert_array_equal(loaded.transform(X), encoder.transform(X))
    both = encoder.set_params(output="both").fit_transform(X, y)
    assert both.shape[1] > 10
    assert encoder.output_ == "both"


@pytest.mark.learns
def test_joint_score_is_out_of_fold_and_worth_having(small_data):
    X, y = small_data.frame, small_data.regression
    given = {"shrinkage": 1.0, "pairs": None, "interactions": "concatenate", "random_state": 0}
    encoder = EmbeddingEncoder(columns=small_data.categorical, **given)
    encoder.set_params(n_networks=1, n_epochs=10)
    Z, names = encoder.fit_transform(X, y), encoder.get_feature_names_out().tolist()
    joint = Z[:, names.index("joint_score")]
    assert 0.6 < np.corrcoef(joint, y)[0, 1] < 0.97  # the noise of a row itself is not in it
    given |= {"n_epochs": 2, "n_networks": 1}
    classes = EmbeddingEncoder(columns=small_data.categorical, **given)
    classes.fit(X, small_data.multiclass)
    joint_names = [f"joint_score_{label}" for label in ("high", "low", "middle")]
    assert classes.get_feature_names_out().tolist()[-5:-2] == joint_names
    assert classes.transform(X).shape[1] == len(classes.get_feature_names_out())
    for encoded in (classes.transform(X), classes.fit_transform(X, small_data.multiclass)):
        np.testing.assert_allclose(np.exp(encoded[:, -5:-2]).sum(axis=1), 1)


def test_classes_have_an_effect_each(small_data):
    encoder = EmbeddingEncoder(output="effects", random_state=0)
    encoder.fit(small_data.frame[["city"]], small_data.multiclass)
    assert encoder.target_.task == "multiclass"
    names = ["city_effect_high", "city_effect_low", "city_effect_middle", "city_confidence"]
    assert encoder.get_feature_names_out().tolist() == names


def effects_of(encoder, Z):
    names = encoder.get_feature_names_out()
    return Z[:, [name.endswith("_effect") for name in names]]


def test_rows_are_encoded_without_their_target(small_data):
    """Change the targets of a fold: its own effects stay, those of the other rows move."""
    X, y = small_data.frame[["city", "product"]], small_data.regression
    groups = np.arange(400) % 4
    encoder = EmbeddingEncoder(output="effects", cv=4, random_state=0)
    before = effects_of(encoder, encoder.fit_transform(X, y, groups=groups))
    other = np.where(groups == 2, y[::-1] + 5, y)
    after = effects_of(encoder, encoder.fit_transform(X, other, groups=groups))
    np.testing.assert_array_equal(before[groups == 2], after[groups == 2])
    assert (before[groups != 2] != after[groups != 2]).any(axis=1).mean() > 0.9


def test_what_groups_are_called_parts_rows_no_other_way(small_data, rng):
    X, y = small_data.frame[["city", "product"]], small_data.regression
    groups = rng.integers(40, size=400)
    encoder = EmbeddingEncoder(output="effects", shrinkage=10, pairs=None, random_state=0)
    numbered = encoder.fit_transform(X, y, groups=groups)
    for renamed in (-groups, rng.permutation([f"g{i}" for i in range(40)])[groups]):
        np.testing.assert_array_equal(encoder.fit_transform(X, y, groups=renamed), numbered)


def test_which_rows_a_fold_encoded_is_forgotten_by_the_next_fit(small_data):
    X, y = small_data.frame[["city"]], small_data.regression
    encoder = EmbeddingEncoder(output="effects", random_state=0)
    encoder.fit_transform(X, y)
    assert encoder.cross_fitted_.all()
    assert not hasattr(encoder.fit(X[:100], y[:100]), "cross_fitted_")


def test_confidences_are_those_of_all_rows_in_every_fold(encoder, small_data):
    """Else they would tell a model which fold a row was in, and grow with the folds in time."""
    X, y = small_data.frame, small_data.regression
    encoder.set_params(output="effects")
    for cv in (5, TimeSeriesSplit(4)):
        Z = encoder.set_params(cv=cv).fit_transform(X, y)
        whole = encoder.transform(X)
        confident = [name.endswith("_confidence") for name in encoder.get_feature_names_out()]
        Z, whole = Z[:, confident], whole[:, confident]
        assert ((whole == Z) | (Z == 0)).all()
        assert (Z > 0).mean() > (0.9 if cv == 5 else 0.7)


@pytest.mark.learns
def test_out_of_fold_vectors_share_the_basis(rng):
    """Each fold's network has a basis of its own; turned into that of all rows, vectors agree."""
    codes, x = rng.integers(20, size=2000), rng.normal(size=2000)
    slopes = rng.normal(size=(20, 2))
    y = slopes[codes, 0] + slopes[codes, 1] * x + 0.1 * rng.normal(size=2000)
    X = pd.DataFrame({"city": codes.astype(str), "x": x})
    encoder = EmbeddingEncoder(
        output="vectors",
        passthrough=False,
        embedding_dim=3,
        shrinkage=1.0,
        n_networks=1,
        random_state=0,
    )
    folded, full = encoder.fit_transform(X, y), encoder.transform(X)
    alike = (folded * full).sum(1) / np.linalg.norm(folded, axis=1) / np.linalg.norm(full, axis=1)
    assert np.median(alike) > 0.9


@pytest.mark.learns
@pytest.mark.parametrize("shrinkage", [1.0, 1000.0])
def test_out_of_fold_vectors_lie_about_the_same_centre(shrinkage, rng):
    """Each fold's network has a centre of its own, which a strong prior leaves far from 0.

    A booster that learned thresholds on rows of the folds would use them on new rows in vain.
    """
    codes = rng.integers(30, size=(3000, 2))
    X = pd.DataFrame({"a": codes[:, 0].astype(str), "b": codes[:, 1].astype(str)})
    y = rng.normal(size=30)[codes[:, 0]] + rng.normal(size=3000)
    encoder = EmbeddingEncoder(
        output="vectors", shrinkage=shrinkage, pairs=None, interactions="concatenate"
    )
    encoder.set_params(n_networks=1, n_epochs=5, random_state=0)
    folded, full = encoder.fit_transform(X, y), encoder.transform(X)
    assert np.abs(full.mean(axis=0)).max() < 1e-6
    shift = np.abs(folded.mean(axis=0) - full.mean(axis=0))
    assert (shift < 0.2 * full.std(axis=0) + 1e-4).all()


@pytest.mark.learns
@pytest.mark.parametrize("seed", range(2))
def test_noise_leaks_nothing(seed):
    """What cross-fitting is for: a booster finds nothing in a noise target, or finds the leak."""
    rng = np.random.default_rng(seed)
    n = 3000
    X = pd.DataFrame({c: rng.integers(600, size=2 * n).astype(str) for c in "ab"})
    y = rng.normal(size=2 * n)
    few = {"n_epochs": 5, "n_networks": 1, "random_state": seed}
    encoder = EmbeddingEncoder(shrinkage=1.0, pairs=None, interactions="concatenate", **few)

    def out_of_sample(Z):
        model = HistGradientBoostingRegressor(random_state=seed, max_iter=50).fit(Z, y[:n])
        return r2_score(y[n:], model.predict(encoder.transform(X[n:])))

    honest = out_of_sample(encoder.fit_transform(X[:n], y[:n]))
    leaky = out_of_sample(encoder.transform(X[:n]))
    assert honest >= -0.15
    assert leaky < honest - 0.1


def test_time_column_and_splitter(small_data):
    X = small_data.frame.assign(day=np.arange(400) // 4)
    y = small_data.regression
    encoder = EmbeddingEncoder(
        columns=["city"], output="effects", passthrough=False, cv=4, time_column="day"
    )
    Z = encoder.fit_transform(X[["city", "day"]], y)
    assert (Z[:80] == 0).all()
    assert (Z[84:, 1] > 0).mean() > 0.9
    near = X[["city"]].assign(day=X["day"] + 2**60)  # which floats do not tell apart
    np.testing.assert_array_equal(encoder.fit_transform(near, y), Z)
    with pytest.raises(InputError, match=r"column 'day' holds text .* but orders rows"):
        encoder.fit(X[["city"]].assign(day="Monday"), y)
    later = np.where(np.arange(400) >= 240, y + 10, y)  # the future tells the past nothing
    again = encoder.fit_transform(X[["city", "day"]], later)
    np.testing.assert_array_equal(again[:240, 0], Z[:240, 0])
    assert (again[240:, 0] != Z[240:, 0]).any()
    split = EmbeddingEncoder(
        columns=["city"], output="effects", passthrough=False, cv=TimeSeriesSplit(4)
    )
    np.testing.assert_array_equal(split.fit_transform(X[["city"]], y), Z)


def test_in_scikit_learn(small_data):
    X, y = small_data.frame, small_data.regression
    given = {"shrinkage": 1.0, "pairs": None, "interactions": "concatenate"}
    quick = EmbeddingEncoder(**given, n_epochs=2, n_networks=1, random_state=0)
    pipeline = make_pipeline(quick, HistGradientBoostingRegressor(max_iter=20))
    assert cross_val_score(pipeline, X, y, cv=2, n_jobs=2).mean() > 0.2
    search = GridSearchCV(pipeline, {"embeddingencoder__output": ["effects", "both"]}, cv=2)
    assert search.fit(X, y).best_score_ > 0.2
    some = make_column_transformer((quick, ["city", "product"]), remainder="drop")
    assert make_pipeline(some, Ridge()).fit(X, y).score(X, y) > 0.2


@pytest.mark.parametrize(("library", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output(encoder, small_data, library, kind):
    encoder.set_output(transform=library)
    Z = encoder.fit_transform(small_data.frame, small_data.regression)
    assert isinstance(Z, kind)
    assert list(Z.columns) == encoder.get_feature_names_out().tolist()
    assert isinstance(encoder.transform(small_data.frame), kind)


def test_colliding_names_are_an_error(small_data):
    X = small_data.frame.assign(city_effect=1.0)
    with pytest.raises(InputError, match="'city_effect'"):
        EmbeddingEncoder(output="effects").fit(X, small_data.regression)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"embedding_dim": 0}, "`embedding_dim` must be an int >= 1, got 0"),
        ({"embedding_dim": "wide"}, "`embedding_dim` must be one of"),
        ({"dropout": 1.5}, "`dropout`"),
        ({"embedding_dropout": -0.1}, "`embedding_dropout` must be"),
        ({"category_dropout": 1.0}, "`category_dropout` must be"),
        ({"n_epochs": "many"}, "`n_epochs` must be \"auto\" or an int >= 1, got 'many'"),
        ({"n_networks": 0}, "`n_networks` must be an int >= 1, got 0"),
        ({"output": "all"}, "`output`"),
        ({"cv": 1}, "`cv`"),
        ({"task": "ranking"}, "`task`"),
        ({"n_jobs": 0}, "`n_jobs`"),
        ({"quantile": 0.5}, "`quantile`"),
        ({"pairs": "all"}, "`pairs`"),
        ({"joint_score": "no"}, "`joint_score` must be True or False, got 'no'"),
        ({"passthrough": None}, "`passthrough` must be True or False, got None"),
        ({"category_codes": 1}, "`category_codes` must be True or False, got 1"),
        ({"hidden_sizes": (0,)}, "`hidden_sizes`"),
    ],
)
def test_parameters_are_checked_first(parameters, message, small_data):
    with pytest.raises(ParameterError, match=message):
        EmbeddingEncoder(**parameters).fit(small_data.frame, small_data.regression)


def test_parameters_by_column(small_data):
    X, y = small_data.frame[["city", "product"]], small_data.regression
    encoder = EmbeddingEncoder(
        embedding_dim={"city": 3, "product": lambda n: n // 10},
        shrinkage={"city": 1.0, "product": 10.0},
        pairs=None,
        random_state=0,
    ).fit(X, y)
    assert [encoder.vectors_[c].embedding_dim for c in encoder.vectors_] == [3, 3]
    assert encoder.choice_.shrinkage == (1.0, 10.0)
    with pytest.raises(InputError, match="'town'"):
        encoder.set_params(shrinkage={"town": 1.0}).fit(X, y)


def test_outputs_of_one_name_are_refused():
    """Of a column `a` by classes, and of one called as its effects are."""
    X = pd.DataFrame({"a": list("xyz") * 20, "a_effect": list("uvw") * 20})
    y = ["confidence", "b", "c"] * 20
    with pytest.raises(InputError, match="called 'a_effect_confidence', as others are, too"):
        EmbeddingEncoder(output="effects").fit(X, y)
