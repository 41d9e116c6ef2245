"""`partial_fit`: what grows, what is exact, what stays, and what goes on after being saved."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError, ParameterError, TrainingError
from catvec.frames import grow_schema, open_frame
from catvec.vectors import CategoryVectors, ColumnVectors, rotation

pytestmark = pytest.mark.usefixtures("few_steps")

GOLDEN = Path(__file__).parents[1] / "golden"


def table(seed, n, *, n_cities=12, n_kinds=5):
    """Rows whose target depends on city and kind; weights; classes."""
    rng = np.random.default_rng(seed)
    of_city = np.random.default_rng(99).normal(size=400)
    city, kind = rng.integers(n_cities, size=n), rng.integers(n_kinds, size=n)
    size = rng.normal(size=n)
    y = of_city[city] + 0.5 * of_city[kind] * size + 0.2 * rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "city": pd.Series([f"city {i:02d}" for i in city]).where(rng.random(n) > 0.05, None),
            "kind": [f"kind {i}" for i in kind],
            "size": size,
        }
    )
    return frame, y, rng.gamma(2.0, size=n)


def quick(kind, **parameters):
    settings = {"n_networks": 2, "n_epochs": 3, "shrinkage": 5.0, "random_state": 0}
    return kind(**{**settings, "interactions": "concatenate", "pairs": None, **parameters})


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def by_category(vectors, name):
    """Numbers that do not depend on codes: effect, confidence and count by category."""
    column = vectors[name]
    effects, confidences = column.by_code()[1:]
    keys = ["unknown", None, *column.categories.tolist()]
    counts = column.vocabulary.counts
    return dict(zip(keys, zip(effects, confidences, counts, strict=True), strict=True))


def check_same_effects(one, other, rtol=1e-5):
    for name in one:
        ours, theirs = by_category(one, name), by_category(other, name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            for mine, yours in zip(ours[key], theirs[key], strict=True):
                np.testing.assert_allclose(mine, yours, rtol=rtol, atol=1e-6, err_msg=f"{key}")
    for name, pair in one.pairs.items():
        theirs = other.pairs[name]
        assert set(pair) == set(theirs)
        for key in pair:
            assert pair[key].count == theirs[key].count
            np.testing.assert_allclose(pair[key].effect, theirs[key].effect, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy], ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("new_category", [False, True])
def test_a_copy_learns_on_as_the_model_does(copied, new_category):
    """Weights are views of one buffer, which copies of both would no longer be."""
    frame, y, _ = table(3, 300)
    further, its_y, _ = table(4, 100, n_cities=20 if new_category else 12)
    model = quick(EmbeddingRegressor).fit(frame, y)
    other = copied(model)
    for _ in range(2):
        model.partial_fit(further, its_y)
        other.partial_fit(further, its_y)
        np.testing.assert_array_equal(model.predict(further), other.predict(further))


# --- effects and counts are exact -------------------------------------------------------


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "count"])
@pytest.mark.parametrize("min_frequency", [1, 12])
@pytest.mark.parametrize("weighted", [False, True])
def test_effects_are_those_of_a_fit_on_all_rows(task, min_frequency, weighted):
    frame, y, weight = table(1, 400, n_cities=30)
    y = {
        "regression": y + 1000,
        "binary": np.where(y > 0, "yes", "no"),
        "multiclass": np.digitize(y, [-1, 1]),
        "count": np.floor(np.exp(y)),
    }[task]
    parameters = {"output": "effects", "task": task, "min_frequency": min_frequency}
    weight = weight if weighted else None

    def part(rows):
        return {"sample_weight": None if weight is None else weight[rows]}

    whole = EmbeddingEncoder(**parameters).fit(frame, y, **part(slice(None)))
    grown = EmbeddingEncoder(**parameters)
    for rows in np.split(np.arange(400), [250, 251, 300, 302]):
        grown.partial_fit(frame.iloc[rows], y[rows], **part(rows))
    check_same_effects(grown.vectors_, whole.vectors_)
    # By category the same is encoded, too.
    np.testing.assert_allclose(grown.transform(frame), whole.transform(frame), rtol=1e-4, atol=1e-5)


def test_the_unit_of_weights_changes_nothing():
    """As in a fit: weights and a prior that are so many times as large are the same."""
    frame, y, _ = table(3, 300)
    predicted = []
    for unit in (1.0, 2.0**13):
        weights = np.full(300, unit)
        model = quick(EmbeddingRegressor, shrinkage=300 * unit, n_networks=1)
        model.fit(frame[:200], y[:200], sample_weight=weights[:200])
        model.partial_fit(frame[200:], y[200:], sample_weight=weights[200:])
        predicted.append(model.predict(frame))
    np.testing.assert_array_equal(*predicted)


def test_effects_of_pairs_are_those_of_a_fit_on_all_rows():
    frame, y, _ = table(2, 300)
    parameters = {"output": "effects", "pairs": [("city", "kind")]}
    whole = EmbeddingEncoder(**parameters).fit(frame, y)
    grown = EmbeddingEncoder(**parameters).fit(frame[:100], y[:100])
    for rows in np.split(np.arange(100, 300), [20, 21, 90]):
        grown.partial_fit(frame.iloc[rows], y[rows])
    check_same_effects(grown.vectors_, whole.vectors_)


@pytest.mark.parametrize("seed", range(3))
def test_half_lives_make_rows_weigh_by_their_age(seed):
    frame, y, weight = table(seed, 300)
    age = np.arange(300)[::-1]
    faded = EmbeddingEncoder(output="effects").fit(
        frame, y, sample_weight=weight * 0.5 ** (age / 80)
    )
    grown = EmbeddingEncoder(output="effects").fit(
        frame[:100], y[:100], sample_weight=(weight * 0.5 ** ((age - 200) / 80))[:100]
    )
    for rows in np.split(np.arange(100, 300), [1, 50, 120]):
        grown.partial_fit(frame.iloc[rows], y[rows], sample_weight=weight[rows], half_life=80.0)
    check_same_effects(grown.vectors_, faded.vectors_)


# --- networks ---------------------------------------------------------------------------


@pytest.mark.learns
@pytest.mark.parametrize("kind", [EmbeddingRegressor, EmbeddingClassifier])
def test_new_categories_start_at_the_prior_and_are_learned(kind):
    frame, y, _ = table(3, 900, n_cities=20)
    y = y if kind is EmbeddingRegressor else (y > 0).astype(int)
    late = (frame["city"] >= "city 12").fillna(False).to_numpy()
    model = quick(kind).fit(frame[~late], y[~late])
    network = model.networks_[0]
    old = network.tables.weight(0).copy()
    growth = grow_schema(model.schema_, open_frame(frame[late]))
    learned = model._continuation.learned[0].grown(growth.moved, growth.starts)
    new = learned.network.tables.weight(0)
    np.testing.assert_array_equal(new[: len(old)], old)
    np.testing.assert_array_equal(new[len(old) :], np.tile(old[0], (len(new) - len(old), 1)))

    def loss():
        if kind is EmbeddingRegressor:
            return np.mean((model.predict(frame[late]) - y[late]) ** 2)
        return -np.mean(np.log(model.predict_proba(frame[late])[np.arange(late.sum()), y[late]]))

    before = loss()
    for _ in range(4):
        for rows in np.array_split(np.flatnonzero(late), 8):
            model.partial_fit(frame.iloc[rows], y[rows])
    assert loss() < 0.9 * before
    assert len(model.vectors_["city"]) == 20


@pytest.mark.learns
def test_new_categories_may_start_at_given_vectors():
    frame, y, _ = table(21, 600)
    model = quick(EmbeddingRegressor, embedding_dim=3, learning_rate=1e-5, n_epochs=1)
    model.fit(frame, y)
    for one in model._continuation.learned:  # vectors far from one another
        rng = np.random.default_rng(0)
        one.network.tables.weight(0)[2:] = rng.normal(size=(len(model.vectors_["city"]), 3))
    model._vectors_are_old = True
    city = model.vectors_["city"]
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    effects, confidences = city.by_code()[1:]
    turned = ColumnVectors(city.vocabulary, city.by_code()[0] @ turn + 2, effects, confidences)
    known = CategoryVectors([turned]).append("city", ["new"], turned["city 03"][None])
    at_new, at_old = (frame[:20].assign(city=name) for name in ("new", "city 03"))
    other = copy.deepcopy(model)
    model.partial_fit(at_new[:1], y[:1], vectors=known, existing="frozen")
    other.partial_fit(at_new[:1], y[:1], existing="frozen")
    np.testing.assert_allclose(model.predict(at_new), model.predict(at_old), atol=0.02)
    assert np.abs(other.predict(at_new) - other.predict(at_old)).max() > 0.1
    np.testing.assert_allclose(
        model.vectors_["city"]["new"], model.vectors_["city"]["city 03"], atol=0.02
    )
    narrow = ColumnVectors(city.vocabulary, turned.by_code()[0][:, :2], effects, confidences)
    other_width = CategoryVectors([narrow])
    with pytest.raises(ParameterError, match="column 'city' must have 3 dimensions"):
        model.partial_fit(at_new[:1], y[:1], vectors=other_width)
    with pytest.raises(ParameterError, match="`vectors` must be a CategoryVectors"):
        model.partial_fit(at_new[:1], y[:1], vectors={"city": [1]})


@pytest.mark.learns
def test_a_stream_of_small_frames_ends_about_where_one_pass_over_all_rows_does():
    """What benchmarks/growth.py measures, on generated rows."""
    frame, y, _ = table(22, 1700, n_cities=40)
    rows, test = np.arange(1500), np.arange(1500, 1700)
    grown = quick(EmbeddingRegressor, n_epochs=8).fit(frame[:300], y[:300])
    for part in np.array_split(rows[300:], 80):
        grown.partial_fit(frame.iloc[part], y[part])
    once = quick(EmbeddingRegressor, n_epochs=1).fit(frame[:1500], y[:1500])
    losses = [np.mean((m.predict(frame.iloc[test]) - y[test]) ** 2) for m in (grown, once)]
    assert losses[0] < 1.02 * losses[1]


def test_a_model_with_pairs_grows():
    frame, y, _ = table(4, 600, n_cities=10)
    model = quick(EmbeddingRegressor, pairs=[("city", "kind")]).fit(frame[:200], y[:200])
    later, z, _ = table(5, 300, n_cities=14, n_kinds=6)
    before = model.predict(later)
    for rows in np.array_split(np.arange(300), 6):
        model.partial_fit(later.iloc[rows], z[rows])
    assert np.mean((model.predict(later) - z) ** 2) < np.mean((before - z) ** 2)
    assert model.networks_[0].config.n_codes == model.schema_.n_codes
    cities = later["city"].astype(object).where(later["city"].notna(), None)
    known = set(zip(cities, later["kind"], strict=True))
    assert known <= set(model.vectors_.pairs["city*kind"])
    for network in model.networks_:  # with an unknown city: between rare and all combinations
        pair = network.tables.weight(2)
        np.testing.assert_allclose(pair[0], (pair[1] + pair[2:].mean(axis=0)) / 2, atol=1e-6)


def test_a_model_of_numbers_that_are_only_scaled_learns_on():
    X, y, _ = table(0, 300)
    model = quick(EmbeddingRegressor, n_knots=0).fit(X[["size"]], y)
    before = model.predict(X[["size"]])
    frozen = pickled(model).partial_fit(X[["size"]][:50], y[:50] + 5.0, existing="frozen")
    np.testing.assert_array_equal(frozen.predict(X[["size"]]), before)
    model.partial_fit(X[["size"]][:50], y[:50] + 5.0)
    assert model.predict(X[["size"]]).mean() > before.mean()


def test_frozen_keeps_vectors_and_answers_bit_for_bit():
    frame, y, _ = table(6, 400)
    model = quick(EmbeddingRegressor).fit(frame[:300], y[:300])
    model.partial_fit(frame[300:], y[300:])
    answers, vectors = model.predict(frame), model.vectors_
    later, z, _ = table(7, 400, n_cities=18)
    new = (later["city"] >= "city 12").fillna(False).to_numpy()
    losses = [np.mean((model.predict(later[new]) - z[new]) ** 2)]
    for rows in np.array_split(np.arange(400), 5):
        model.partial_fit(later.iloc[rows], z[rows], existing="frozen")
        np.testing.assert_array_equal(model.predict(frame), answers)
        losses.append(np.mean((model.predict(later[new]) - z[new]) ** 2))
        for name in ("city", "kind"):
            old = vectors[name].by_code()[0]
            np.testing.assert_array_equal(model.vectors_[name].by_code()[0][: len(old)], old)
    assert losses[-1] < 0.8 * losses[0]
    moved = model.vectors_["city"].vectors[-6:]
    assert (moved != vectors["city"].unknown.vector).any(axis=1).all()
    model.partial_fit(later, z)  # and from here all of it is trained again
    assert (model.predict(frame) != answers).any()


@pytest.mark.parametrize("seed", range(3))
def test_vectors_of_old_categories_do_not_turn(seed):
    frame, y, _ = table(seed, 500)
    model = quick(EmbeddingRegressor, random_state=seed, embedding_dim=4).fit(frame, y)
    old = model.vectors_["city"]
    later, z, _ = table(seed + 10, 500, n_cities=16)
    for rows in np.array_split(np.arange(500), 10):
        model.partial_fit(later.iloc[rows], z[rows])
    new = model.vectors_["city"].by_code()[0][: old.vocabulary.n_codes]
    counts = old.vocabulary.counts
    turn = rotation(new, old.by_code()[0], counts)
    np.testing.assert_allclose(turn, np.eye(4), atol=0.02)
    near = np.linalg.norm(new - old.by_code()[0])
    assert near < 0.5 * np.linalg.norm(old.by_code()[0] - old.by_code()[0].mean(axis=0))


def test_vectors_do_not_depend_on_when_they_are_looked_at():
    frame, y, _ = table(8, 400)
    looked = quick(EmbeddingRegressor).fit(frame[:200], y[:200])
    other = quick(EmbeddingRegressor).fit(frame[:200], y[:200])
    for rows in np.array_split(np.arange(200, 400), 3):
        looked.partial_fit(frame.iloc[rows], y[rows])
        other.partial_fit(frame.iloc[rows], y[rows])
    np.testing.assert_array_equal(looked.predict(frame), other.predict(frame))
    assert looked.vectors_ == other.vectors_
    assert looked.vectors_ is looked.vectors_


@pytest.mark.parametrize("n_hashes", [1, 2])
def test_hashed_columns_learn_on_and_do_not_grow(n_hashes, tmp_path):
    frame, y, _ = table(18, 600, n_cities=10)
    hashed = {"kind": "hashed", "n_buckets": 64, "n_hashes": n_hashes}
    model = quick(EmbeddingRegressor, tables={"city": hashed}).fit(frame, y)
    n_codes = model.schema_.n_codes[0]
    later, z, _ = table(19, 600, n_cities=20)
    before = np.mean((model.predict(later) - z) ** 2)
    for rows in np.array_split(np.arange(600), 6):
        model.partial_fit(later.iloc[rows], z[rows])
    assert np.mean((model.predict(later) - z) ** 2) < before
    assert model.schema_.n_codes[0] == n_codes
    assert model.vectors_["city"].vocabulary.counts.sum() == 1200
    whole = quick(EmbeddingEncoder, tables={"city": hashed}, output="effects")
    whole.fit(pd.concat([frame, later]), np.append(y, z))
    np.testing.assert_allclose(
        model.vectors_["city"].by_code()[1], whole.vectors_["city"].by_code()[1], atol=1e-5
    )
    model.save(tmp_path / "h.catvec")
    loaded = EmbeddingRegressor.load(tmp_path / "h.catvec")
    answers = model.predict(frame)
    for one in (model, loaded):
        vectors = one.vectors_["city"]
        one.partial_fit(later, z, existing="frozen")
        np.testing.assert_array_equal(one.predict(frame), answers)
        np.testing.assert_array_equal(one.vectors_["city"].by_code()[0], vectors.by_code()[0])


def test_composed_and_shared_tables_say_that_they_do_not_grow():
    frame, y, _ = table(20, 200)
    tables = {"city": {"kind": "compositional"}}
    model = quick(EmbeddingRegressor, tables=tables).fit(frame, y)
    with pytest.raises(ParameterError, match="composed, shared or of lists, as those of 'city'"):
        model.partial_fit(frame, y)


# --- encoder ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [{}, {"joint_score": False}, {"output": "vectors"}, {"output": "effects"}],
    ids=str,
)
def test_an_encoder_grows_and_writes_the_same_columns(parameters, tmp_path):
    frame, y, _ = table(9, 400)
    encoder = quick(EmbeddingEncoder, **parameters)
    encoder.fit_transform(frame[:300], y[:300])
    names = encoder.get_feature_names_out().tolist()
    encoder.save(tmp_path / "a.catvec")
    loaded = EmbeddingEncoder.load(tmp_path / "a.catvec")
    later, z, _ = table(10, 900, n_cities=390)
    for one in (encoder, loaded):
        one.partial_fit(later, z)
        assert one.get_feature_names_out().tolist() == names
    assert len(encoder.vectors_["city"]) > 300  # more than codes are written for at the start
    np.testing.assert_array_equal(encoder.transform(later), loaded.transform(later))
    assert encoder.transform(later).shape == (900, len(names))


# --- goes on ----------------------------------------------------------------------------


@pytest.mark.parametrize("min_frequency", [1, 8])
def test_a_saved_model_goes_on_as_if_it_had_never_been_saved(tmp_path, min_frequency):
    frame, y, _ = table(11, 700, n_cities=30)
    model = quick(
        EmbeddingRegressor, min_frequency=min_frequency, pairs=[("city", "kind")], dropout=0.1
    )
    model.fit(frame[:300], y[:300])
    for i, rows in enumerate(np.array_split(np.arange(300, 700), 8)):
        existing = "frozen" if i in (4, 5) else "trained"
        half_life = 500.0 if i == 6 else None
        model.save(tmp_path / "x.catvec")
        loaded = EmbeddingRegressor.load(tmp_path / "x.catvec")
        for one in (model, loaded):
            one.partial_fit(frame.iloc[rows], y[rows], existing=existing, half_life=half_life)
        assert loaded.vectors_ == model.vectors_
        np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
        model = loaded
    assert model.vectors_["city"].vocabulary.counts.sum() == 700


def test_the_first_call_is_a_fit():
    frame, y, _ = table(12, 200)
    fitted = quick(EmbeddingRegressor).fit(frame, y)
    begun = quick(EmbeddingRegressor).partial_fit(frame, y)
    np.testing.assert_array_equal(begun.predict(frame), fitted.predict(frame))


def test_the_same_rows_twice_give_the_same_bits():
    frame, y, _ = table(13, 300)
    models = [quick(EmbeddingRegressor, dropout=0.2).fit(frame[:200], y[:200]) for _ in range(2)]
    for model in models:
        model.partial_fit(frame[200:], y[200:])
    np.testing.assert_array_equal(models[0].predict(frame), models[1].predict(frame))


def test_a_copy_learns_on_its_own():
    frame, y, _ = table(14, 300)
    model = quick(EmbeddingRegressor).fit(frame[:200], y[:200])
    answers = model.predict(frame)
    copy.deepcopy(model).partial_fit(frame[200:], y[200:])
    np.testing.assert_array_equal(model.predict(frame), answers)


# --- classes ----------------------------------------------------------------------------


@pytest.mark.learns
@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"]])
def test_classes_that_come_later_are_named_in_the_first_call(labels):
    frame, y, _ = table(15, 400)
    of_row = np.array(labels)[np.digitize(y, [0, 1][: len(labels) - 1])]
    first = of_row != labels[-1]
    model = quick(EmbeddingClassifier)
    if len(labels) == 2:  # one label only
        with pytest.raises(InputError, match="one class only"):
            quick(EmbeddingClassifier).partial_fit(frame[first], of_row[first])
    model.partial_fit(frame[first], of_row[first], classes=labels[::-1])
    assert model.classes_.tolist() == labels
    before = model.predict_proba(frame[~first])[:, -1].mean()
    assert before < 0.1
    for _ in range(10):
        model.partial_fit(frame, of_row, classes=labels)
    assert model.predict_proba(frame[~first])[:, -1].mean() > 3 * before
    with pytest.raises(ParameterError, match="`classes` must be those of the first call"):
        model.partial_fit(frame, of_row, classes=["a", "z"])
    with pytest.raises(InputError, match="labels not seen in training: 'z'"):
        model.partial_fit(frame[:1], ["z"])


# --- mistakes ---------------------------------------------------------------------------


def test_a_mistake_changes_nothing():
    frame, y, _ = table(16, 200)
    model = quick(EmbeddingRegressor).fit(frame, y)
    answers, vectors = model.predict(frame), model.vectors_
    with pytest.raises(InputError, match="columns of the training table are missing: 'kind'"):
        model.partial_fit(frame[["city", "size"]], y)
    with pytest.raises(InputError, match="inconsistent numbers of rows: 200 and 3"):
        model.partial_fit(frame, y[:3])
    with pytest.raises(InputError, match="the target is missing"):
        model.partial_fit(frame[:2], [1.0, np.nan])
    with pytest.raises(InputError, match="contains infinity"):
        model.partial_fit(frame[:2], [1.0, np.inf])
    with pytest.raises(InputError, match="now holds number values"):
        model.partial_fit(frame[:2].assign(city=[1, 2]), [1.0, 2.0])
    with pytest.raises(ParameterError, match="`existing` must be one of 'trained', 'frozen'"):
        model.partial_fit(frame, y, existing="thawed")
    with pytest.raises(ParameterError, match="`half_life` must be a float"):
        model.partial_fit(frame, y, half_life=0)
    with pytest.raises(ParameterError, match="`classes` must be None for a regression"):
        quick(EmbeddingRegressor).partial_fit(frame, y, classes=[1, 2])
    with pytest.raises(ParameterError, match="mapping or None for partial_fit"):
        quick(EmbeddingClassifier, class_weight="balanced").partial_fit(frame, y > 0)
    np.testing.assert_array_equal(model.predict(frame), answers)
    assert model.vectors_ == vectors


@pytest.mark.learns
@pytest.mark.parametrize("wild", [1e12, 1e18, 1e30])
@pytest.mark.parametrize("new_category", [False, True])
def test_rows_that_cannot_be_learned_leave_the_model_as_it_was(wild, new_category, tmp_path):
    frame, y, _ = table(17, 200)
    model = quick(EmbeddingRegressor, loss="poisson").fit(frame, np.exp(y))
    model.save(tmp_path / "before")
    untouched = EmbeddingRegressor.load(tmp_path / "before")
    further, its_y, _ = table(18, 50, n_cities=20 if new_category else 12)
    spoilt = np.exp(its_y)
    spoilt[7] = wild
    with pytest.raises(TrainingError, match="look for extreme values"):
        model.partial_fit(further, spoilt)
    for one in (model, untouched):
        one.partial_fit(further, np.exp(its_y))
    np.testing.assert_array_equal(model.predict(frame), untouched.predict(frame))


def test_a_target_that_was_constant_at_first_is_learned_later():
    frame, y, _ = table(5, 600)
    model = quick(EmbeddingRegressor).partial_fit(frame[:20], np.full(20, 7.0))
    assert (model.predict(frame) == 7.0).all()
    model.partial_fit(frame[:20], np.full(20, 7.0))
    assert (model.predict(frame) == 7.0).all()
    for _ in range(10):
        model.partial_fit(frame, 7.0 + y)
    assert np.corrcoef(model.predict(frame), y)[0, 1] > 0.6


def test_a_loss_that_is_not_finite_is_an_error():
    frame, y, _ = table(17, 200)
    model = quick(EmbeddingRegressor, loss="poisson").fit(frame, np.exp(y))
    answers = model.predict(frame)
    shift = model.networks_[0].weights["head.bias"]
    before = shift.copy()
    shift += 200  # whose exponential is beyond float32
    with pytest.raises(TrainingError, match="the loss of further rows became"):
        model.partial_fit(frame[:5], [1.0] * 5)
    shift[:] = before
    with pytest.raises(InputError, match="the target is too large"):
        model.partial_fit(frame[:5], [1e300] * 5)
    np.testing.assert_array_equal(model.predict(frame), answers)


def test_an_artifact_of_an_older_catvec_says_that_it_cannot_go_on():
    model = EmbeddingRegressor.load(GOLDEN / "models" / "v1_without_importances")
    rows = {"city": ["Bern", "Rome"], "size": [0.0, 1.0]}
    with pytest.raises(
        ParameterError,
        match="training rows: it was saved by an older catvec",
    ):
        model.partial_fit(rows, [1.0, 2.0])
