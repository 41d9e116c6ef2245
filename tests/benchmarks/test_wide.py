"""Whether `benchmarks/wide.py` runs, on a few rows."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("wide", FOLDER / "wide.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "wide", module)
    spec.loader.exec_module(module)
    return module


OF_COLUMNS = pytest.mark.slow(reason="a fit of many columns; the case of categories always runs")


@pytest.mark.parametrize("case", [pytest.param("columns", marks=OF_COLUMNS), "categories"])
def test_a_case_runs(script, case):
    found = getattr(script, f"run_{case}")(script.QUICK)
    assert set(found["seconds"]) >= {"fit", "predict", "save", "load the model", "ten neighbours"}
    assert found["disk_bytes"] > 0 < found["model_bytes"]
    if case == "columns":
        assert found["columns"] == script.QUICK["columns"]
