"""The benchmark runs on generated tables, goes on where it was, and shows and draws its curves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "transfer.py"


@pytest.mark.slow(reason="17 seconds of fits; test_scripts reads it and starts it always")
def test_it_runs_on_generated_tables(tmp_path):
    scores = tmp_path / "scores.json"
    command = [sys.executable, SCRIPT, "--quick", "--json", scores]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(scores.read_text(encoding="utf-8"))
    assert len(found["scores"]) == 2 * 2 * 4  # tasks, seeds, modes
    assert "generated, RMSE (lower is better)" in done.stdout
    more = ["--report", scores, "--markdown", tmp_path / "t.md", "--picture", tmp_path / "t.png"]
    again = subprocess.run(
        [sys.executable, SCRIPT, *more], capture_output=True, text=True, check=False, timeout=300
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "t.png").stat().st_size > 1000
    assert "| from scratch |" in (tmp_path / "t.md").read_text(encoding="utf-8")
