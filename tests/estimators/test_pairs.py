"""Pairs of columns: which are candidates, what is learned about them, what they must not change."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError, ParameterError
from catvec.estimators import _pairs
from catvec.estimators._pairs import (
    FINER,
    MET_AGAIN,
    MOST_PAIRED,
    MOST_PAIRS,
    candidate_pairs,
    named_pairs,
    with_pairs,
)
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._training_set import read_training_set

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {
    "shrinkage": 1.0,
    "interactions": "concatenate",
    "hidden_sizes": (8,),
    "n_epochs": 8,
    "n_networks": 1,
    "engine": "numpy",
    "random_state": 0,
}
PAIRED = {**QUICK, "pairs": [("a", "b")]}


def training_set(X, y=None, task="regression"):
    y = np.arange(len(X), dtype=float) if y is None else y
    return read_training_set(SharedParameters(), X, y, task=task)


def planted(seed, n_rows=4000, noise=0.3):
    """Two columns without main effects; all that is to be known is a random sign by combination."""
    rng = np.random.default_rng(seed)
    sign = balanced_signs(rng, 12)
    codes = rng.integers(12, size=(n_rows, 2))
    truth = sign[codes[:, 0], codes[:, 1]]
    X = pd.DataFrame(np.char.add("k", codes.astype(str)), columns=["a", "b"])
    return X.assign(c=rng.integers(5, size=n_rows).astype(str)), truth, noise_on(truth, noise, rng)


def balanced_signs(rng, k):
    """Random signs (k, k) that add up to 0 in each row and each column."""
    start = np.where((np.arange(k)[:, None] + np.arange(k)) % 2, 1.0, -1.0)
    for _ in range(2000):  # swaps of two rows' and two columns' corners keep the sums
        (i, j), (m, n) = rng.choice(k, 2, replace=False), rng.choice(k, 2, replace=False)
        square = np.ix_([i, j], [m, n])
        if start[square].sum() == 0 and start[i, m] == start[j, n]:
            start[square] *= -1
    return start


def noise_on(truth, noise, rng):
    return truth + noise * rng.normal(size=len(truth))


def feature(encoder, Z, name):
    return Z[:, encoder.get_feature_names_out().tolist().index(name)]


# --- candidates -------------------------------------------------------------------------


def naive_candidates(columns):
    """Pairs of names by the words of the module's docstring, from lists of values."""
    worth = []
    for a, b in combinations(columns, 2):
        rows_of = {}
        for combination in zip(columns[a], columns[b], strict=True):
            rows_of[combination] = rows_of.get(combination, 0) + 1
        n_a, n_b = len(set(columns[a])), len(set(columns[b]))
        met_again = sum(n for n in rows_of.values() if n > 1)
        if (
            min(n_a, n_b) > 1
            and len(rows_of) > FINER * max(n_a, n_b)
            and met_again >= MET_AGAIN * len(columns[a])
        ):
            worth.append((a, b))
    return worth


@pytest.mark.parametrize("seed", range(10))
def test_the_naive_twin_finds_the_same_candidates(seed):
    rng = np.random.default_rng(seed)
    n = 120
    town = rng.integers(15, size=n)
    columns = {
        "town": [f"t{t}" for t in town],
        "country": [f"c{t % 4}" for t in town],
        "constant": ["x"] * n,
        "id": [f"i{i}" for i in rng.permutation(n)],
        "code": [f"c{k}" for k in rng.integers(50, size=n)],
        "many": [f"m{k}" for k in rng.integers(20, 70, size=n)],
        "gaps": [None if k == 0 else f"g{k}" for k in rng.integers(5, size=n)],
        "flag": [f"f{k}" for k in rng.integers(2, size=n)],
    }
    found = candidate_pairs(training_set(pd.DataFrame(columns)))
    assert found == naive_candidates(columns)
    assert ("gaps", "flag") in found
    assert ("town", "country") not in found  # the town says the country
    assert ("many", "code") not in found  # hardly a combination is met again
    assert not {"constant", "id"} & {name for pair in found for name in pair}


def test_no_more_than_the_strongest_are_tried(rng, monkeypatch):
    n, names = 2000, [f"c{i:02d}" for i in range(10)]
    signs = {name: rng.integers(2, size=n) for name in names}
    X = pd.DataFrame(signs).astype(str)
    together = signs["c03"] ^ signs["c07"]
    y = noise_on(2.0 * signs["c00"] + together, 1.0, rng)
    found = candidate_pairs(training_set(X, y))
    assert len(found) == _pairs.MOST_PAIRS < 45
    assert ("c03", "c07") in found
    assert found == sorted(found)
    monkeypatch.setattr(_pairs, "MOST_PAIRS", 1)
    flipped = np.where(rng.random(n) < 0.3, 1 - together, together)
    classes = np.where(rng.random(n) < 0.2, 2, flipped)
    tasks = {"regression": y, "binary": flipped, "multiclass": classes, "count": 5 + together}
    for task, target in tasks.items():
        assert candidate_pairs(training_set(X, target, task)) == [("c03", "c07")]


# --- pairs by name ----------------------------------------------------------------------


def test_pairs_go_by_name_and_by_position():
    X = pd.DataFrame({"x": [0.5, 1.0], "a": ["u", "v"], "b": ["u", "w"], "c": ["y", "z"]})
    schema = training_set(X).schema
    given = [("b", "a"), ("a", "b"), [1, "c"], (2, 3)]
    assert named_pairs(given, schema) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert named_pairs(np.array([["a", "c"]]), schema) == [("a", "c")]


def test_pairs_of_arrays_go_by_position(rng):
    X = rng.integers(4, size=(200, 3)).astype(float)
    model = EmbeddingRegressor(**QUICK, columns=[0, 2], pairs=[(2, 0)])
    assert model.fit(X, X[:, 0]).choice_.pairs == (("x0", "x2"),)


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([("a", "town")], InputError, r"`pairs` names 'town', .*; these are 'a', 'b', 'c'"),
        ([("a", "x")], InputError, r"`pairs` names 'x', which are no categorical columns"),
        ([("b", "b")], InputError, r"`pairs` has the column 'b' paired with itself"),
        ([("a", "b", "c")], ParameterError, r"`pairs` must be .*a list of pairs of columns, got"),
        (["ab"], ParameterError, r"`pairs` must be .*a list of pairs of columns, got \['ab'\]"),
        ({"a": "b"}, ParameterError, r"`pairs` must be .*a list of pairs of columns, got"),
    ],
)
def test_wrong_pairs_are_errors_that_name_column_and_remedy(pairs, error, message):
    X, _, y = planted(0, n_rows=60)
    with pytest.raises(error, match=message):
        EmbeddingRegressor(pairs=pairs).fit(X.assign(x=1.0), y)


def test_reading_pairs_reads_them_everywhere():
    X, _, y = planted(0, n_rows=300)
    held_out = {"X_val": X.assign(a="never"), "y_val": y}
    p = SharedParameters()
    training = read_training_set(p, X, y, task="regression", **held_out)
    paired = with_pairs(training, [("a", "b"), ("b", "c")])
    assert paired.schema.n_codes[:3] == training.schema.n_codes
    assert paired.arrays.codes.shape == (300, 5)
    assert (paired.arrays.codes[:, 3:] > 1).all()  # of the training rows each is known
    assert (paired.held_out.inputs.codes[:, 3] == 0).all()
    assert (paired.held_out.inputs.codes[:, 4] > 1).all()


# --- what is learned --------------------------------------------------------------------


@pytest.mark.learns
def test_named_pairs_are_learned_where_columns_say_nothing():
    X, truth, y = planted(1)
    train, test = slice(3000), slice(3000, None)
    with_pair = EmbeddingRegressor(**PAIRED).fit(X[train], y[train])
    without = EmbeddingRegressor(**QUICK, pairs=None).fit(X[train], y[train])
    found, missed = (r2_score(truth[test], m.predict(X[test])) for m in (with_pair, without))
    assert found > 0.8
    assert missed < found - 0.4
    encoder = EmbeddingEncoder(output="effects", pairs=[("b", "a")], random_state=0)
    Z = encoder.fit_transform(X, y)
    assert np.corrcoef(feature(encoder, Z, "a*b_effect"), truth)[0, 1] > 0.95
    assert abs(np.corrcoef(feature(encoder, Z, "a_effect"), truth)[0, 1]) < 0.2
    pair = encoder.vectors_.pairs["a*b"]
    assert (pair.effects > 0).tolist() == [truth_of(X, truth, *k) > 0 for k in keys_of(pair)]


def keys_of(pair):
    frame = pair.to_frame()
    return list(zip(frame["a"], frame["b"], strict=True))


def truth_of(X, truth, a, b):
    return truth[(X["a"] == a) & (X["b"] == b)][0]


@pytest.mark.parametrize("output", ["both", "effects"])
def test_pair_effects_are_cross_fitted(output):
    """Change the targets of a fold: its own effects of pairs stay, those of others move."""
    X, _, y = planted(2, n_rows=800)
    groups = np.arange(800) % 4
    pairs = [("a", "b"), ("a", "c")]
    encoder = EmbeddingEncoder(
        **{**QUICK, "n_epochs": 1, "category_dropout": 0.0},
        output=output,
        pairs=pairs,
        cv=4,
        joint_score=False,
    )
    before = encoder.fit_transform(X, y, groups=groups)
    after = clone(encoder).fit_transform(X, np.where(groups == 2, 5 - y[::-1], y), groups=groups)
    names = encoder.get_feature_names_out().tolist()
    for name in ("a_effect", "a*b_effect", "a*c_effect"):
        same = before[:, names.index(name)] == after[:, names.index(name)]
        assert same[groups == 2].all()
        assert same[groups != 2].mean() < 0.1  # combinations of one row are 0 before and after


@pytest.mark.learns
@pytest.mark.parametrize("pairs", [[("a", "b")], "auto"])
def test_noise_leaks_nothing_through_pairs(pairs):
    """A booster finds nothing in a noise target, or finds the leak."""
    rng = np.random.default_rng(3)
    n = 2500
    X = pd.DataFrame({c: rng.integers(40, size=2 * n).astype(str) for c in "ab"})
    y = rng.normal(size=2 * n)
    encoder = EmbeddingEncoder(**{**QUICK, "pairs": pairs, "n_epochs": 5})

    def out_of_sample(Z):
        model = HistGradientBoostingRegressor(random_state=0, max_iter=50).fit(Z, y[:n])
        return r2_score(y[n:], model.predict(encoder.transform(X[n:])))

    honest = out_of_sample(encoder.fit_transform(X[:n], y[:n]))
    assert honest > -0.15
    if pairs != "auto":
        assert out_of_sample(encoder.transform(X[:n])) < honest - 0.1


def test_combinations_of_one_row_are_no_sign_of_the_target():
    """Each row's combination is its own: out of fold nothing is known of it."""
    X = pd.DataFrame({"a": np.repeat(np.arange(20), 20), "b": np.tile(np.arange(20), 20)})
    y = np.random.default_rng(0).normal(size=400)
    encoder = EmbeddingEncoder(output="effects", pairs=[("a", "b")], random_state=0)
    Z = encoder.fit_transform(X.astype(str), y)
    assert (feature(encoder, Z, "a*b_effect") == 0).all()
    assert (feature(encoder, Z, "a*b_confidence") == 0).all()


# --- laws -------------------------------------------------------------------------------


@pytest.mark.parametrize("interactions", ["concatenate", "product", "factorization_machine"])
def test_the_same_seed_gives_the_same_bits(interactions, tmp_path):
    X, _, y = planted(0, n_rows=600)
    chosen = {"pairs": [["a", "b"]], "interactions": interactions}
    model = EmbeddingRegressor(**{**QUICK, **chosen, "n_networks": 2, "n_epochs": 3}).fit(X, y)
    again = clone(model).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.vectors_ == model.vectors_
    model.save(tmp_path / "m.catvec")
    loaded = EmbeddingRegressor.load(tmp_path / "m.catvec")
    unseen = X.assign(a="never")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.predict(unseen), model.predict(unseen))
    assert loaded.get_params() == model.get_params()
    assert loaded.vectors_ == model.vectors_ == CategoryVectors.load(tmp_path / "m.catvec")


def test_a_saved_encoder_reads_pairs(tmp_path):
    X, _, y = planted(0, n_rows=600)
    encoder = EmbeddingEncoder(**{**PAIRED, "n_epochs": 2}).fit(X, y > 0)
    encoder.save(tmp_path / "e.catvec")
    again = EmbeddingEncoder.load(tmp_path / "e.catvec")
    np.testing.assert_array_equal(again.transform(X), encoder.transform(X))
    assert list(again.get_feature_names_out()) == list(encoder.get_feature_names_out())


@pytest.mark.parametrize("interactions", ["concatenate", "product"])
def test_explanations_add_up_with_pairs(interactions):
    X, _, y = planted(0, n_rows=1500)
    model = EmbeddingClassifier(**{**PAIRED, "interactions": interactions}).fit(X, y > 0)
    explanation = model.explain(X[:200])
    assert np.abs(explanation.residual).max() < 1e-3
    told = explanation.base + explanation.contributions.sum(axis=1) + explanation.residual
    np.testing.assert_allclose(told, model.decision_function(X[:200]), atol=1e-5)


@pytest.mark.learns
def test_a_pair_belongs_half_to_either_column():
    """In a linear model what a pair alone says is shared evenly, exactly."""
    X, _, y = planted(0, n_rows=1500)
    model = EmbeddingRegressor(**{**PAIRED, "hidden_sizes": ()}).fit(X, y)
    for network in model.networks_:  # columns say nothing, so that the pair speaks alone
        for table in range(3):
            weight = network.tables.weight(table)
            weight[...] = weight[0]
    explanation = model.explain(X[:100])
    a, b, c = explanation.contributions.T
    np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(c, 0, atol=1e-6)
    assert a.std() > 0.2


def test_a_row_twice_is_a_row_of_weight_2():
    X, _, y = planted(0, n_rows=500)
    weight = np.random.default_rng(0).integers(1, 4, size=500)
    rows = np.repeat(np.arange(500), weight)
    encoder = EmbeddingEncoder(output="effects", pairs=[("a", "b")])
    weighted = clone(encoder).fit(X, y, sample_weight=weight).transform(X)
    repeated = clone(encoder).fit(X.iloc[rows], y[rows]).transform(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pairs", [[("a", "b")], "auto"])
def test_renaming_in_order_changes_no_prediction(pairs):
    X, _, y = planted(0, n_rows=800)
    renamed = X.assign(b="town " + X["b"]).rename(columns={"a": "z"})  # of columns, any name
    model = EmbeddingRegressor(**{**QUICK, "pairs": pairs, "n_epochs": 3}).fit(X, y)
    other = clone(model)
    if pairs != "auto":
        other.set_params(pairs=[("z", "b")])
    np.testing.assert_array_equal(other.fit(renamed, y).predict(renamed), model.predict(X))
    assert len(other.choice_.pairs) == len(model.choice_.pairs) > 0


@pytest.mark.learns
def test_a_constant_and_a_random_column_change_little():
    X, truth, y = planted(4, n_rows=2000)
    more = X.assign(constant="x", random=np.random.default_rng(5).integers(9, size=2000))
    more["random"] = more["random"].astype(str)
    model = EmbeddingRegressor(**{**QUICK, "n_epochs": 5})
    scores = []
    for table in (X, X.assign(constant="x"), more):
        fitted = clone(model).fit(table[:1600], y[:1600])
        assert ("a", "b") in fitted.choice_.pairs
        assert not any("constant" in pair for pair in fitted.choice_.pairs)
        scores.append(r2_score(truth[1600:], fitted.predict(table[1600:])))
    assert min(scores) > max(scores) - 0.1


def test_of_many_columns_those_with_the_largest_effects_are_paired():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (2000, 60))
    y = codes[:, 7] + codes[:, 50] + rng.normal(0, 0.1, 2000)
    frame = {f"c{i}": [f"v{c}" for c in codes[:, i]] for i in range(60)}
    training = read_training_set(SharedParameters(), frame, y, task="regression")
    found = candidate_pairs(training)
    assert len(found) == MOST_PAIRS
    columns = {name for pair in found for name in pair}
    assert {"c7", "c50"} <= columns
    assert len(columns) <= MOST_PAIRED
