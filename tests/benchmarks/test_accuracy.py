"""The benchmark runs on generated tasks, resumes, hides what it should, and files results once."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "accuracy.py"

SUITE = """
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, mean_absolute_percentage_error


@dataclass
class Metric:
    name: str
    function: object
    greater_is_better: bool = False

    def __call__(self, y, prediction, weight=None):
        return float(self.function(y, prediction, sample_weight=weight))


def fit_valid(split):
    return split.train[:-60], split.train[-60:]


def load(name):
    rng = np.random.RandomState(0)
    n = 500
    X = pd.DataFrame({"city": rng.choice(list("abcdefghijklmnopqrst"), n), "id": np.arange(n) % 30})
    X["size"] = rng.normal(size=n)
    level = (X["id"] / 30 + X["size"]).to_numpy()
    splits = [SimpleNamespace(train=np.arange(400), test=np.arange(400, n), valid=None)]
    task = dict(name=name, X=X, categorical=["city", "id"], numeric=["size"], weight=None)
    task.update(splits=splits, fit_valid=fit_valid, log_target=False, time_ordered=False)
    if name == "clicks":
        task.update(kind="binary", y=(level + rng.normal(size=n) > 0.5).astype(np.int64))
        task.update(metrics=[Metric("LogLoss", log_loss)])
    if name == "counts":
        splits[0].train, splits[0].valid = np.arange(300), np.arange(300, 400)
        metric = Metric("MAE", lambda y, p, sample_weight: np.abs(y - p).mean())
        task.update(kind="poisson", y=rng.poisson(np.exp(level / 2)), metrics=[metric])
    if name == "sales":
        task.update(kind="regression", y=np.exp(level), time_ordered=True)
        task.update(metrics=[Metric("MAPE", mean_absolute_percentage_error)], log_target=True)
    return SimpleNamespace(**task)


def names():
    return ["clicks", "counts", "sales"]
"""


@pytest.fixture
def accuracy(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("accuracy")


@pytest.fixture
def run(accuracy, tmp_path, capsys):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "suite.py").write_text(SUITE, encoding="utf-8")
    common = ["--data", tmp_path, "--threads", "1", "--cache", tmp_path / "cache"]
    common += ["--results", tmp_path / "results.csv", "--code", "here"]

    def run(*options):
        accuracy.main(list(map(str, [*common, *options])))
        return capsys.readouterr().out

    return run


@pytest.fixture
def settled(accuracy, monkeypatch):
    """Fits of catvec have nothing to choose, in tests of what is around them."""
    models = importlib.import_module("_models")
    assert models is sys.modules[accuracy.run_model.__module__]
    defaults = models.catvec_parameters
    given = {"shrinkage": 1.0, "pairs": None, "interactions": "concatenate", "n_epochs": 3}
    monkeypatch.setattr(models, "catvec_parameters", lambda case: {**defaults(case), **given})


@pytest.mark.slow(reason="11 seconds of fits; test_scripts reads it and starts it always")
def test_it_runs_on_every_kind_of_task_and_resumes(run, tmp_path):
    shown = run("--quick", "--task", "clicks", "--markdown", tmp_path / "out.md")
    assert "clicks (LogLoss, lower)" in shown
    assert "### Predictor" in (tmp_path / "out.md").read_text(encoding="utf-8")
    models = "mean,catvec,lightgbm_te,lightgbm_native_l1,histgb_te,linear_onehot,catboost"
    tasks = ["--task", "counts", "--task", "sales", "--models", models]
    run("--quick", *tasks)
    file = tmp_path / "cache" / "quick" / "fits.csv"
    fits = pd.read_csv(file)
    assert np.isfinite(fits["value"]).all()
    by_task = fits.groupby("task")["model"].agg(set)
    assert by_task["sales"] - by_task["counts"] == {"lightgbm_native_l1"}
    assert not any(model.endswith("_l1") for model in by_task["clicks"])
    run("--quick", *tasks)
    assert len(pd.read_csv(file)) == len(fits)  # nothing was fitted


@pytest.mark.usefixtures("settled")
def test_a_line_of_results_is_added_once(run, tmp_path):
    options = ["--test", "--task", "clicks", "--seeds", "2", "--models", "mean,catvec"]
    run(*options)
    results = (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert len(results.splitlines()) == 3
    run(*options)
    assert (tmp_path / "results.csv").read_text(encoding="utf-8") == results


@pytest.mark.usefixtures("settled")
def test_hidden_categories_and_curves(run, tmp_path):
    models = "mean,catvec,catvec_without,lightgbm_te"
    shown = run("--quick", "--unknown", "--task", "clicks", "--models", models)
    assert "Rows of hidden categories: catvec" in shown
    shown = run("--quick", "--curves", "--task", "clicks", "--models", "mean,lightgbm_te")
    assert "Learning curve: clicks" in shown
    fits = pd.read_csv(tmp_path / "cache" / "quick" / "fits.csv")
    rows = fits[(fits["model"] == "mean") & (fits["part"] != "unknown")].groupby("part")["rows"]
    assert rows.first().to_dict() == {"1%": 20, "3%": 20, "10%": 34, "30%": 102, "all": 340}


def test_hidden_categories_are_in_no_training_row(accuracy, tmp_path):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "suite.py").write_text(SUITE, encoding="utf-8")
    suite = accuracy.load_suite(tmp_path)
    for name in suite.names():
        task = suite.load(name)
        rows = accuracy.rows_of(task, task.splits[0], "test")
        hidden = accuracy.hidden(task, rows)
        ids = task.X["id"].to_numpy()
        assert len(set(ids[hidden.new])) == 3
        assert not set(ids[hidden.new]) & set(ids[hidden.train])


def test_equal_rows_are_on_one_side_of_a_cut(accuracy):
    X = pd.DataFrame({"a": [*range(1000), *range(50)], "b": None})
    fit, stop = accuracy.cut(X, ordered=False)
    assert not set(X["a"][fit]) & set(X["a"][stop])
    assert len(stop) == 105
    few = pd.DataFrame({"a": [0, 1] * 500})  # every row has twins: nothing to keep apart
    assert len(accuracy.cut(few, ordered=False)[0]) == 900
    fit, stop = accuracy.cut(X, ordered=True)
    assert fit.max() < stop.min()


def test_the_margin_is_the_larger_of_two(accuracy):
    report = sys.modules[accuracy.Fits.__module__]

    def score(model, value, resamples):
        rest = (0.0, 1.0, 1.0, 0.0, 0.0, 1, 1)
        return report.Score(model, "LogLoss", False, value, rest[0], np.array(resamples), *rest[1:])

    trivial = score("mean", 0.6, [0.6, 0.6])
    rival = score("lightgbm_te", 0.4, [0.4, 0.5])
    found = report.compare(score("catvec", 0.401, [0.41, 0.51]), rival, trivial)
    assert found.margin == pytest.approx(0.002)
    assert found.verdict() == "not worse"
    found = report.compare(score("catvec", 0.41, [0.40, 0.52]), rival, trivial)
    assert found.margin == pytest.approx(0.02 / np.sqrt(2))
    found = report.compare(score("catvec", 0.41, [0.41, 0.51]), rival, trivial)
    assert (found.verdict(), found.verdict(2)) == ("WORSE", "WORSE")
