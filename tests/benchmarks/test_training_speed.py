"""The benchmark runs on a few rows, shows both ratios, and what it writes can be read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training_speed.py"


@pytest.mark.slow(reason="6 seconds of training; test_scripts reads it and starts it always")
def test_it_runs_on_a_few_rows(tmp_path):
    pytest.importorskip("torch")
    command = [sys.executable, "-W", "error", SCRIPT, "--quick", "--rows", "600"]
    command += ["--engine", "numpy", "--json", tmp_path / "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [record["batch_size"] for record in found["rates"]] == [256, 1024]
    for record in found["rates"]:
        sides = {"catvec", "whole fit", "classic", "best PyTorch", "bound"}
        assert record["rows_per_cpu_second"].keys() == sides
        assert min(record["rows_per_cpu_second"].values()) > 0
        assert record["times_classic"] > 0
        assert record["times_best"] > 0
    assert [record["categories"] for record in found["steps"]] == [100, 1000]
    assert found["memory"]["growth_bytes"] >= 0
    assert "times classic" in done.stdout
    assert "times best PyTorch" in done.stdout
