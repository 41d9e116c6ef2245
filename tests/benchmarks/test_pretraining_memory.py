"""The script that measures pretraining on 100 million events runs on a few."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pretraining_memory.py"


@pytest.mark.slow(
    reason="3 seconds of imports in processes; test_scripts reads it and starts it always"
)
def test_it_runs(tmp_path):
    file = tmp_path / "out.json"
    command = [sys.executable, SCRIPT, "--quick", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(file.read_text("utf-8"))
    assert found["events"] == 20_000
    assert found["peak_gb"] >= found["imports_gb"] > 0.05
    assert found["nearest_of_the_group"] > 0.1
