"""The benchmark runs on a few rows, shows its ratios, and what it writes can be read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "torch_training.py"


@pytest.mark.slow(reason="8 seconds of training; test_scripts reads it and starts it always")
def test_it_runs_on_a_few_rows(tmp_path):
    command = [sys.executable, "-W", "error", SCRIPT, "--quick", "--json", tmp_path / "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [record["batch_size"] for record in found["rates"]] == [256, 1024]
    for record in found["rates"]:
        sides = {"torch", "numba", "classic", "best PyTorch"}
        assert record["rows_per_cpu_second"].keys() == sides
        assert min(record["rows_per_cpu_second"].values()) > 0
        assert record["times_classic"] > 0
    assert [record["categories"] for record in found["steps"]] == [100, 1000]
    assert "torch times classic" in done.stdout
    assert "GPU" in done.stdout or found["gpu"]["rates"]
