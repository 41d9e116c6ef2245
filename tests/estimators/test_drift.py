"""Drift: noise is none, what was planted is found, and the report reads well."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError, ParameterError
from catvec.estimators._drift import _all_on_one_side, _tail

pytestmark = pytest.mark.usefixtures("few_steps")

N_USERS = 3000


def table(seed, n, *, new_city=False, no_city=None, moved=None, task="regression", users=True):
    """Rows of a population with frequent and with very rare categories; drift where planted."""
    rng = np.random.default_rng(seed)
    city = np.minimum(rng.zipf(1.5, n), 40)
    if no_city is not None:
        city[city == no_city] = no_city + 1
    user = np.minimum(rng.zipf(1.2, n), N_USERS) if users else np.zeros(n, int)
    of_city = np.random.default_rng(5).normal(size=50)
    signal = of_city[city] + 0.3 * np.random.default_rng(6).normal(size=N_USERS + 1)[user]
    if moved is not None:
        signal = signal + np.where(city == moved, 1.0, 0.0)
    if new_city:
        city[rng.random(n) < 0.03] = 49
    y = {
        "regression": lambda: signal + rng.standard_t(4, n) * (1 + city % 3),
        "binary": lambda: signal + rng.logistic(size=n) > 2.5,
        "multiclass": lambda: np.digitize(signal + rng.logistic(size=n), [-1, 1, 3]),
        "count": lambda: rng.poisson(np.exp(signal / 2)),
    }[task]()
    names = pd.Series([f"city {i}" for i in city]).where(rng.random(n) > 0.02, None)
    return pd.DataFrame({"city": names, "user": [f"u{i}" for i in user]}), y


def fitted(seed=0, n=3000, task="regression", **parameters):
    frame, y = table(seed, n, task=task)
    encoder = EmbeddingEncoder(output="effects", task=task, **parameters)
    return encoder.fit(frame, y)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "count"])
@pytest.mark.parametrize("n", [200, 3000])
def test_a_resample_of_the_population_is_no_drift(task, n):
    found = []
    for seed in range(12):
        encoder = fitted(seed, task=task, min_frequency=1 + seed % 3)
        frame, y = table(1000 + seed, n, task=task)
        found.append(encoder.drift_report(frame, y).drifted)
    assert sum(found) <= 1  # each at most once in a hundred by chance


@pytest.mark.parametrize(("n", "m"), [(2000, 2000), (2000, 500), (500, 3000)])
def test_false_alarms_keep_to_alpha(n, m):
    alpha, found = 0.2, []
    chances = 1 / np.arange(1, 2001)
    effects = np.random.default_rng(9).normal(size=2000)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        many = rng.choice(2000, n + m, p=chances / chances.sum())
        few = np.minimum(rng.zipf(1.5, n + m), 40)
        y = effects[many] + rng.normal(size=n + m)
        X = pd.DataFrame({"many": many.astype(str), "few": few.astype(str)})
        encoder = EmbeddingEncoder(output="effects").fit(X[:n], y[:n])
        found.append(encoder.drift_report(X[n:], y[n:], alpha=alpha).drifted)
    assert np.mean(found) <= alpha


def test_rows_of_the_training_are_no_drift():
    encoder = fitted()
    frame, y = table(0, 3000)
    report = encoder.drift_report(frame, y)
    assert not report.drifted
    assert all(column.distance < 1e-9 for column in report.columns)
    assert [column.n_unknown for column in report.columns] == [0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_category_is_found(seed):
    report = fitted(seed).drift_report(table(50 + seed, 2000, new_city=True)[0])
    city, user = report.columns
    assert city.drifted
    assert not user.drifted
    new = next(s for s in city.shifts if s.kind == "unknown")
    assert new.category == "city 49"
    assert new.share_now == pytest.approx(0.03, abs=0.015)
    assert new.share_before == 0
    assert city.share_unknown >= new.share_now
    assert report.effects is None


@pytest.mark.parametrize("seed", range(3))
def test_a_category_that_vanished_is_found(seed):
    report = fitted(seed).drift_report(table(50 + seed, 2000, no_city=2)[0])
    city = report.columns[0]
    assert city.drifted
    gone = [s.category for s in city.shifts if s.kind == "vanished"]
    assert gone == ["city 2"]
    assert city.share_vanished == pytest.approx(0.13, abs=0.04)
    few = fitted(seed).drift_report(table(60 + seed, 30)[0]).columns[1]
    assert few.n_absent > 50
    assert few.share_vanished == 0
    assert not few.drifted


def test_absence_has_the_chance_of_fisher():
    rows = np.array([0, 1, 2, 7, 40, 41])
    exact = stats.hypergeom.pmf(rows, 140, rows, 40)  # all of them among the 40 drawn of 140
    np.testing.assert_allclose(_all_on_one_side(rows, 40, 140), exact, rtol=1e-9)


def test_the_tail_bounds_a_binomial():
    for k in (1, 10, 30, 60, 100):
        found = _tail(np.ones(1), np.array([0.2]), np.array([100]), np.array([k]))
        exact = stats.binom.sf(k - 1, 100, 0.2)
        assert exact <= found <= max(1, 20 * exact)


@pytest.mark.parametrize(("n", "m"), [(2000, 2000), (2000, 500), (500, 3000)])
def test_unknown_values_are_found_however_many_rows_each_has(n, m):
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, 2001)
    known = rng.choice(2000, n + m, p=chances / chances.sum())
    encoder = EmbeddingEncoder(output="effects").fit({"a": known[:n].astype(str)}, np.ones(n))
    for share, rows_of_each in ((0.03, m), (0.3, 1)):
        later = known[n:].copy()
        new = np.arange(int(share * m))
        later[new] = 5000 + new // rows_of_each
        (column,) = encoder.drift_report({"a": later.astype(str)}).columns
        assert column.p_unknown < 0.01


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "count"])
def test_a_moved_effect_is_found_and_others_are_not(task):
    encoder = fitted(1, 6000, task=task)
    frame, y = table(51, 6000, task=task, moved=2)
    report = encoder.drift_report(frame, y)
    assert report.drifted
    first = report.effects[0]
    assert (first.column, first.category) == ("city", "city 2")
    assert {e.category for e in report.effects if e.column == "city"} == {"city 2"}
    assert first.p_value < report.alpha
    if task != "multiclass":
        assert first.effect_now > first.effect_before + 0.2
        assert first.z > 4


def rare_class(seed, n=4000, more=0.0):
    """A class of few rows, of which one category may have more."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(8, size=n)
    y = rng.random(n) < 0.03 + 0.01 * kind + more * (kind == 2)
    return {"kind": kind.astype(str)}, np.where(y, "yes", "no")


@pytest.mark.parametrize("class_weight", ["balanced", {"yes": 19.0}])
def test_rows_weigh_as_the_classes_did_in_training(class_weight):
    fast = {"n_networks": 1, "n_epochs": 1, "shrinkage": 5.0, "pairs": None}
    X, y = rare_class(0)
    model = EmbeddingClassifier(**fast, class_weight=class_weight).fit(X, y)
    report = model.drift_report(X, y)
    assert not report.drifted
    assert report.target_now == pytest.approx(report.target_before)
    assert abs(report.target_z) < 1e-6
    assert not any(model.drift_report(*rare_class(s)).drifted for s in range(1, 11))
    moved = model.drift_report(*rare_class(20, more=0.3)).effects
    assert [shift.category for shift in moved] == ["2"]


def test_rows_may_be_weighed_as_in_training():
    X, y = table(0, 3000)
    weight = np.exp(y / 4)
    encoder = EmbeddingEncoder(output="effects").fit(X, y, sample_weight=weight)
    report = encoder.drift_report(X, y, sample_weight=weight)
    assert not report.drifted
    assert report.target_now == pytest.approx(report.target_before)
    assert abs(encoder.drift_report(X, y).target_z) > 5
    with pytest.raises(ParameterError, match="`sample_weight` is for the target: give y, too"):
        encoder.drift_report(X, sample_weight=weight)
    with pytest.raises(InputError, match="`sample_weight` must be finite"):
        encoder.drift_report(X, y, sample_weight=-weight)


@pytest.mark.parametrize(("at_fit", "here"), [(0.01, None), (0.01, 0.01), (100.0, 3.0), (100, 100)])
def test_the_unit_of_weights_changes_nothing(at_fit, here):
    X, y = table(1, 6000)
    later = table(51, 6000, moved=2)
    plain = EmbeddingEncoder(output="effects").fit(X, y).drift_report(*later)
    encoder = EmbeddingEncoder(output="effects").fit(X, y, sample_weight=at_fit)
    report = encoder.drift_report(*later, sample_weight=here)
    assert [shift.category for shift in report.effects] == ["city 2"]
    assert report.effects[0].z == pytest.approx(plain.effects[0].z)
    assert report.effects[0].rows == plain.effects[0].rows
    assert report.target_z == pytest.approx(plain.target_z)


@pytest.mark.parametrize("offset", [1e8, 3e9])
def test_targets_far_from_zero_lose_no_digits(offset):
    rng = np.random.default_rng(0)
    shop = rng.integers(30, size=4000)
    y = rng.normal(size=4000)
    X, later = {"shop": shop.astype(str)}, y + 1.5 * (shop % 5 == 1)
    near = EmbeddingEncoder(output="effects").fit(X, y).drift_report(X, later)
    far = EmbeddingEncoder(output="effects").fit(X, y + offset).drift_report(X, later + offset)
    assert len(near.effects) == 6
    by_shop = [{shift.category: shift.z for shift in report.effects} for report in (near, far)]
    assert by_shop[1] == pytest.approx(by_shop[0], rel=1e-3)


def test_missing_values_are_a_category():
    more, _ = table(3, 1000)
    report = fitted(2).drift_report(more.assign(city=more["city"].where(more.index % 2 == 0, None)))
    city = report.columns[0]
    assert city.share_missing == pytest.approx(0.5, abs=0.05)
    assert city.share_missing_before == pytest.approx(0.02, abs=0.01)
    assert city.shifts[0].category is None
    assert city.drifted


def test_the_report_reads_well_and_becomes_frames():
    encoder = fitted(1, 6000)
    frame, y = table(51, 6000, moved=2, new_city=True)
    report = encoder.drift_report(frame, y)
    text = repr(report)
    assert text.startswith("DriftReport of 6,000 rows: 1 of 2 columns drifted")
    assert "city: " in text
    assert "rows unknown" in text
    columns = report.to_frame()
    assert columns["column"].tolist() == ["city", "user"]
    assert columns["drifted"].tolist() == [True, False]
    categories = report.to_frame("categories", "polars")
    assert "city 49" in categories["category"].to_list()
    effects = report.to_frame("effects", "pyarrow")
    assert effects["category"].to_pylist()[0] == "city 2"
    assert effects.column_names[:3] == ["column", "category", "output"]
    with pytest.raises(ParameterError, match="`part` must be one of 'columns', 'categories'"):
        report.to_frame("rows")
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["drifted"] is True
    assert plain["columns"][0]["shifts"][0]["kind"] in ("unknown", "known")
    nothing = fitted().drift_report(*table(0, 3000)).to_frame("effects")
    assert len(nothing) == 0
    assert "z" in nothing.columns


def test_of_several_classes_that_which_moved_surest_is_told():
    encoder = fitted(1, 6000, task="multiclass")
    frame, y = table(51, 6000, moved=2, task="multiclass")
    report = encoder.drift_report(frame, np.where(y == 0, 1, y))
    assert report.target_output in (0, 1)
    assert abs(report.target_before - report.target_now) > 0.1
    assert abs(report.target_z) > 10
    assert report.effects[0].output in range(4)
    assert f"on {report.effects[0].output}" in repr(report)
    assert json.loads(json.dumps(report.to_dict()))["target_output"] == report.target_output
    assert fitted().drift_report(*table(0, 3000)).target_output is None


@pytest.mark.parametrize("kind", [EmbeddingRegressor, EmbeddingClassifier])
def test_predictors_report_before_and_after_growing(kind):
    frame, y = table(1, 1500, task="binary", users=False)
    y = y if kind is EmbeddingClassifier else y.astype(float)
    model = kind(n_networks=1, n_epochs=2, shrinkage=5.0, pairs=None, random_state=0)
    model.fit(frame, y)
    later, z = table(2, 1500, task="binary", users=False, new_city=True)
    z = z if kind is EmbeddingClassifier else z.astype(float)
    assert model.drift_report(later, z).columns[0].drifted
    for _ in range(3):  # taken up, it is no drift any more
        model.partial_fit(later, z)
    assert (
        not model.drift_report(*table(2, 1500, task="binary", users=False, new_city=True))
        .columns[0]
        .n_unknown
    )


def test_a_hashed_column_is_compared_by_its_buckets():
    frame, y = table(1, 3000)
    hashed = {"kind": "hashed", "n_buckets": 64}
    encoder = EmbeddingEncoder(output="effects", tables={"city": hashed}).fit(frame, y)
    assert not encoder.drift_report(*table(7, 2000)).columns[0].drifted
    report = encoder.drift_report(table(8, 2000, no_city=1)[0])
    assert report.columns[0].drifted
    assert str(report.columns[0].shifts[0].category).startswith("bucket ")


def test_a_table_that_does_not_fit_is_an_error():
    encoder = fitted()
    frame, y = table(1, 100)
    with pytest.raises(InputError, match="columns of the training table are missing: 'user'"):
        encoder.drift_report(frame[["city"]])
    with pytest.raises(InputError, match="inconsistent numbers of rows"):
        encoder.drift_report(frame, y[:3])
    with pytest.raises(ParameterError, match="`alpha` must be a float"):
        encoder.drift_report(frame, alpha=0)
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        encoder.drift_report(frame[:0])
