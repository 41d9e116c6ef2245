"""The benchmark runs on generated rows, and what it writes can be read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "growth.py"


@pytest.mark.slow(reason="8 seconds of fits; test_scripts reads it and starts it always")
def test_it_runs_on_generated_rows(tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--networks", "1", "--frames", "10"]
    command += ["--json", tmp_path / "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    (task,) = found["tasks"]
    assert task["new_categories"] > 5
    assert task["losses"]["grown"] < task["losses"]["first fifth"]
    assert task["milliseconds"] > 0
    assert "grown over one pass" in done.stdout
    assert {"seed", "commit", "frames"} <= set(found["about"])
