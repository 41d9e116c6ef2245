"""Drift: noise is none, what was planted is found, and the report reads well."""

import json

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError, ParameterError

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
