"""The benchmark runs on a few rows, files each fit once, and takes up where it stopped."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compression.py"


def test_it_runs_and_resumes(tmp_path):
    file = tmp_path / "out.json"
    command = [sys.executable, SCRIPT, "--quick", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "memory_budget, 0.1" in done.stdout
    fits = json.loads(file.read_text("utf-8"))["fits"]
    models = {fit["model"]: fit for fit in fits}
    assert {"full", "constant", "memory_budget", "most frequent only", "FeatureHasher"} <= {*models}
    assert models["memory_budget"]["bytes"] <= 0.1 * models["full"]["bytes"]
    assert {"save", "load the vectors", "ten neighbours"} <= {*models["full"]["steps"]}
    cut = json.loads(file.read_text("utf-8"))
    cut["fits"] = [fit for fit in fits if fit["model"] != "FeatureHasher"]
    file.write_text(json.dumps(cut), encoding="utf-8")
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert again.stdout.count("generated FeatureHasher") == 1
    assert "generated full" not in again.stdout


def test_a_trial_run_is_filed_nowhere_and_taken_for_no_other(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("compression", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compression", script)  # dataclasses look their module up
    spec.loader.exec_module(script)
    kept = script.RESULTS.read_text("utf-8")
    fits = json.loads(kept)["fits"]
    made = script.GENERATED_BY_DEFAULT
    file = script.Results(script.RESULTS, "test", made)
    assert all(fit in file.fits(fit["task"]) for fit in fits if fit["mode"] == "test")
    other = script.Results(script.RESULTS, "test", {**made, "generated_rows": 3_000})
    assert other.fits("generated") == []
    assert len(other.fits("amazon_access")) == len(file.fits("amazon_access")) > 0

    monkeypatch.setattr(sys, "argv", ["compression.py", "--quick", "--model", "constant"])
    script.main()
    assert "generated constant" in capsys.readouterr().out
    assert script.RESULTS.read_text("utf-8") == kept
