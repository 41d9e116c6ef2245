"""What do very many columns, and a column of very many categories, cost?

Two generated tables. One has 500 categorical columns of 5 to 2,000 categories, a tenth of which
tell something of the target, fitted by the defaults but for the number of networks. The other has
a column in which every one of ten million categories comes once, and some more often, fitted by one
network in one epoch. Each is measured in a process of its own: seconds of each step, by the wall
clock and of the processor, peak of resident memory, bytes in memory and on disk.

    python benchmarks/wide.py --json wide.json                   # half an hour on a busy machine
    python benchmarks/wide.py --case columns
    python benchmarks/wide.py --quick                            # does it run?
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy is imported

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from _state import commit  # noqa: E402

SEED = 0
CASES = ("columns", "categories")
SIZES = {"rows": 100_000, "columns": 500, "categories": 10_000_000}
QUICK = {"rows": 200, "columns": 6, "categories": 500}
TEST_ROWS = 20_000
MORE_ROWS = 0.4  # rows of the wide column beyond one for each category


class Steps:
    """Seconds of each step, by the wall clock and of the processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}

    def time(self, name: str, function: Callable[[], Any]) -> Any:
        """What a function returns, once it is timed."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = function()
        self.seconds[name] = {
            "wall": round(time.perf_counter() - wall, 3),
            "cpu": round(time.process_time() - cpu, 3),
        }
        return result


# --- the tables -------------------------------------------------------------------------


def many_columns(n_rows: int, n_columns: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns of 5 to 2,000 categories, few of them often; every tenth adds to the target."""
    rng = np.random.default_rng(SEED)
    n = n_rows + min(TEST_ROWS, n_rows)
    columns, y = {}, rng.normal(0, 1, n)
    for c, size in enumerate(np.geomspace(5, 2000, n_columns).astype(int).tolist()):
        codes = (size * rng.random(n) ** 2).astype(np.int64)
        names = np.array([f"c{c}_{i}" for i in range(size)], dtype=object)
        columns[f"column_{c:03d}"] = names[codes]
        if c % 10 == 0:
            y += rng.normal(0, 0.3, size)[codes]
    return pd.DataFrame(columns), y


def many_categories(n_categories: int) -> tuple[pd.DataFrame, np.ndarray]:
    """A column of numbered users, each once and then by a power law, and one of shops."""
    rng = np.random.default_rng(SEED)
    more = int(MORE_ROWS * n_categories)
    often = (n_categories * rng.random(more) ** 4).astype(np.int64)
    user = rng.permutation(np.concatenate([np.arange(n_categories), often]))
    shop = rng.integers(0, 1000, len(user))
    y = rng.normal(size=n_categories)[user] + rng.normal(size=1000)[shop]
    y += 0.5 * rng.normal(size=len(user))
    return pd.DataFrame({"user": user * 7919 + 13, "shop": shop}), y


# --- the fits, in processes of their own ------------------------------------------------


def run_columns(sizes: dict[str, int]) -> dict[str, Any]:
    """Fit a table of many columns."""
    from catvec import EmbeddingRegressor

    X, y = many_columns(sizes["rows"], sizes["columns"])
    n, steps = sizes["rows"], Steps()
    model = EmbeddingRegressor(n_networks=1, random_state=SEED)
    before = peak()
    steps.time("fit", lambda: model.fit(X[:n], y[:n]))
    after = peak()
    predicted = steps.time("predict", lambda: model.predict(X[n:]))
    r2 = 1 - np.mean((predicted - y[n:]) ** 2) / y[n:].var()
    return {
        "rows": n,
        "columns": X.shape[1],
        "rows_predicted": len(X) - n,
        "pairs": [list(pair) for pair in model.choice_.pairs],
        "epochs": len(model.history_),
        "r2": float(r2),
        "frame_bytes": int(X[:n].memory_usage(deep=True).sum()),
        "peak_bytes": {"before the fit": before, "after the fit": after},
        **stored(model, steps, next(iter(model.vectors_))),
    }


def run_categories(sizes: dict[str, int]) -> dict[str, Any]:
    """Fit a table with a column of many categories."""
    from catvec import EmbeddingRegressor

    X, y = many_categories(sizes["categories"])
    steps = Steps()
    model = EmbeddingRegressor(
        columns=["user", "shop"],
        n_networks=1,
        embedding_dim=4,
        shrinkage=3.0,
        pairs=None,
        interactions="concatenate",
        n_epochs=1,
        batch_size=4096,
        hidden_sizes=(16,),
        validation_fraction=0.0,
        random_state=SEED,
    )
    before = peak()
    steps.time("fit", lambda: model.fit(X, y))
    after = peak()
    part = X[:TEST_ROWS]
    steps.time("predict", lambda: model.predict(part))
    return {
        "rows": len(X),
        "rows_predicted": len(part),
        "peak_bytes": {"before the fit": before, "after the fit": after},
        **stored(model, steps, "user"),
    }


def stored(model: Any, steps: Steps, column: str) -> dict[str, Any]:
    """Bytes of a model; seconds of saving, loading and looking for neighbours."""
    from catvec import CategoryVectors
    from catvec.estimators._memory import model_bytes

    vectors = steps.time("vectors", lambda: model.vectors_)
    folder = Path(tempfile.mkdtemp())
    try:
        steps.time("save", lambda: model.save(folder / "model"))
        size = sum(path.stat().st_size for path in (folder / "model").iterdir())
        loaded = steps.time("load the vectors", lambda: CategoryVectors.load(folder / "model"))
        steps.time("load the model", lambda: type(model).load(folder / "model"))
    finally:
        shutil.rmtree(folder)
    category = loaded[column].categories[0]
    steps.time("first ten neighbours", lambda: loaded[column].most_similar(category))
    steps.time("ten neighbours", lambda: loaded[column].most_similar(category))
    return {
        "categories": sum(len(vectors[name]) for name in vectors),
        "model_bytes": model_bytes(model),
        "disk_bytes": size,
        "seconds": steps.seconds,
    }


def peak() -> int:
    """Peak of resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- the command ------------------------------------------------------------------------


def measured(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of a case, from a process of its own."""
    command = [sys.executable, __file__, "--run", case] + (["--quick"] if options.quick else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for step, seconds in found["seconds"].items():
        print(f"{case:>10}  {step:<22} {seconds['wall']:8.1f} s, CPU {seconds['cpu']:8.1f} s")
    print(f"{case:>10}  {json.dumps({k: v for k, v in found.items() if k != 'seconds'})}")
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--run", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else SIZES
    if options.run:
        run = {"columns": run_columns, "categories": run_categories}[options.run]
        print(json.dumps(run(sizes)))
        return
    found = {case: measured(case, options) for case in options.case or CASES}
    if options.json is not None:
        versions = {name: importlib.metadata.version(name) for name in ("numpy", "pyarrow")}
        about = {"seed": SEED, "commit": commit(), "python": platform.python_version(), **versions}
        options.json.write_text(json.dumps({"about": about, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
