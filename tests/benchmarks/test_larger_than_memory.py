"""The benchmark of tables larger than memory runs, on a few hundred rows."""

import importlib.util
from pathlib import Path

import pytest

from catvec.frames import _source

PATH = Path(__file__).parents[2] / "benchmarks" / "larger_than_memory.py"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(PATH.parent)
    monkeypatch.setattr(_source, "SMALL", _source.SMALL)  # given back: the script moves it
    spec = importlib.util.spec_from_file_location("larger_than_memory", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_ways_fit_the_same_table(script, tmp_path):
    script.generate(tmp_path, 600, 10_000)
    settings = {**script.SETTINGS, "engine": "numpy", "batch_size": 64}
    disk, memory = (script.fit(way, tmp_path, 1, settings) for way in ("disk", "memory"))
    assert disk["rows"] == memory["rows"] == 600
    assert disk["categories"] == memory["categories"]
    assert disk["peak_bytes"] > 0
    assert script.plain_bytes(tmp_path) > 600 * 50
