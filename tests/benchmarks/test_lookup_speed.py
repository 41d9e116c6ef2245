"""The benchmark runs, its sides agree, and what it writes can be read."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "lookup_speed.py"


def test_it_runs_on_a_few_rows(tmp_path):
    options = ["--rows", "300", "--repeats", "1", "--categories", "5", "40"]
    command = [sys.executable, SCRIPT, *options, "--json", tmp_path / "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert {record["kind"] for record in found["many_rows"]} == {
        *("pandas str", "pandas object", "pandas category"),
        *("polars", "Arrow", "Arrow dictionary"),
    }
    for record in found["many_rows"]:
        assert f"{record['kind']:17}" in done.stdout
        assert record["seconds"]["catvec"] > 0
        assert record["ratios"]["scikit-learn"] > 0
    assert [record["categories"] for record in found["one_row"]] == [5, 40]
    assert found["about"]["seed"] == 0
    assert "catvec" in found["about"]
