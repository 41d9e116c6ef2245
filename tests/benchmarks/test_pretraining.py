"""The benchmark runs on generated sessions, goes on where it stopped, and its score is right."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pretraining.py"


@pytest.mark.slow(reason="minutes of training; test_scripts reads it and starts it always")
def test_it_runs_and_goes_on(tmp_path):
    pytest.importorskip("gensim")
    out = tmp_path / "out.json"
    command = [sys.executable, SCRIPT, "--quick", "--only", "seq_tafeng", "--json", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(out.read_text(encoding="utf-8"))
    tests = [key for key in found["scores"] if "| test |" in key]
    assert len(tests) == 5  # the sides, one seed
    best = found["scores"]["seq_tafeng | test | cooccurrence | seed 0"]
    assert best["hit_rate"] > 0.8  # planted groups of 20
    assert "cooccurrence / gensim at its defaults" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert "validation" not in again.stdout  # nothing was measured again


def test_the_score_is_that_of_a_loop(monkeypatch):
    pytest.importorskip("gensim")
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import pretraining

    rng = np.random.default_rng(0)
    sessions = [rng.integers(0, 60, rng.integers(1, 6)) for _ in range(40)]
    task = pretraining.Task("t", sessions, sessions, ordered=True)
    vectors = rng.normal(size=(50, 5))
    unit, known = pretraining._table(task, np.arange(50), vectors)
    found = pretraining.score(task, (unit, known, 1.0), 1000)
    hits, ranks = 0, 0.0
    usable = [s for s in sessions if len(s) > 1]
    for *others, wanted in (s.tolist() for s in usable):
        mean = sum(unit[i] for i in others)
        left = [i for i in range(50) if i not in others]
        order = sorted(left, key=lambda i: (-(unit[i] @ mean), i == wanted))
        rank = order.index(wanted) + 1 if wanted in order else 10**9
        hits += rank <= 20
        ranks += 1 / rank if rank <= 20 else 0
    np.testing.assert_allclose(found["hit_rate"], hits / len(usable))
    np.testing.assert_allclose(found["mrr"], ranks / len(usable))
