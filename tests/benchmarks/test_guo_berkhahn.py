"""The paper's protocol runs on generated sales, resumes, and never trains on a test row."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "guo_berkhahn.py"
N_ROWS = 1_000


@pytest.fixture
def sales():
    rng = np.random.default_rng(0)
    days = pd.date_range("2013-01-01", periods=N_ROWS // 10).repeat(10)
    store = np.tile(np.arange(1, 11), len(days) // 10)
    frame = pd.DataFrame({"Store": store, "DayOfWeek": days.day_of_week + 1})
    frame["Promo"] = rng.integers(0, 2, N_ROWS)
    frame["Year"], frame["Month"], frame["Day"] = days.year, days.month, days.day
    frame["State"] = np.where(frame["Store"] > 5, "BE", "HE")
    level = 7 + frame["Store"] / 10 + frame["Promo"] / 3 + rng.normal(0, 0.1, N_ROWS)
    frame["Sales"], frame["Date"] = np.exp(level).round().astype(int), days.strftime("%Y-%m-%d")
    return frame


@pytest.fixture
def guo_berkhahn(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("guo_berkhahn")


@pytest.mark.slow(reason="13 seconds of fits; test_scripts reads it and starts it always")
def test_it_runs_and_resumes(guo_berkhahn, sales, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    sales.to_parquet(tmp_path / "data" / "rossmann_paper.parquet")
    options = ["--data", tmp_path, "--quick", "--threads", "1", "--split", "not shuffled"]
    options += ["--cache", tmp_path / "cache", "--markdown", tmp_path / "out.md"]

    def run():
        guo_berkhahn.main(list(map(str, options)))
        return capsys.readouterr().out

    shown = run()
    assert "Rossmann, not shuffled" in shown
    assert "best with defaults" in shown
    files = sorted((tmp_path / "cache" / "quick").glob("*.json"))
    assert len(files) == 11  # four models by three inputs, less the one-hot network
    before = [file.stat().st_mtime_ns for file in files]
    assert "network 0:" not in run()
    assert [file.stat().st_mtime_ns for file in files] == before
    assert "| neural network | 0.101 |" in (tmp_path / "out.md").read_text(encoding="utf-8")


def test_rows_are_cut_as_in_the_paper(guo_berkhahn, sales):
    sales["row"] = np.arange(N_ROWS)
    protocol = guo_berkhahn.Protocol(n_sample=500)
    rows = guo_berkhahn.Rows.read(sales, "not shuffled", protocol)
    drawn = np.random.RandomState(123).randint(900, size=500)  # the paper's code draws so
    assert rows.train["row"].tolist() == sorted(drawn)
    assert rows.test["row"].tolist() == list(range(900, 1000))
    rows = guo_berkhahn.Rows.read(sales, "shuffled", protocol)
    assert not set(rows.train["row"]) & set(rows.test["row"])
    assert rows.test["row"].min() < 900
