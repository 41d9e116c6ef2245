"""Is a model that learns on from small frames as good as one that saw all rows at once?

A model is fitted on the first fifth of the training rows and fed the rest as 1,000 small frames by
`partial_fit`. Beside it, on the test rows: the model of the first fifth; a fit on all rows with
``n_epochs=1``, which passes over them once (and once more over all at a low rate, as every fit
that held rows out); and a fit on all rows as it comes. Rows are in random order, or in time where
the task is.

    python benchmarks/growth.py --data ../shared                        # many minutes
    python benchmarks/growth.py --data ../shared --task amazon_access --json growth.json
    python benchmarks/growth.py --quick                          # generated rows: does it run?
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from _state import commit
from sklearn import metrics
from threadpoolctl import threadpool_limits

import catvec
from catvec import EmbeddingClassifier, EmbeddingRegressor

TASKS = ["amazon_access", "movielens_100k", "kick"]
FIRST = 0.2  # part of the rows that the model is fitted on
WITHIN = 0.02  # what the loss may be above that of one pass over all rows
SEED = 0


def generated() -> Any:
    """A task of 2,000 rows, whose categories come one after another."""
    rng = np.random.default_rng(SEED)
    n = 2500
    city = rng.integers(np.linspace(20, 60, n).astype(int))
    kind = rng.integers(6, size=n)
    y = rng.normal(size=60)[city] + 0.5 * kind + 0.5 * rng.normal(size=n)
    X = pd.DataFrame({"city": [f"c{i}" for i in city], "kind": [f"k{i}" for i in kind]})
    split = SimpleNamespace(train=np.arange(2000), test=np.arange(2000, n), valid=None)
    return SimpleNamespace(
        name="generated", kind="regression", X=X, y=y, categorical=["city", "kind"],
        splits=[split], time_ordered=True, log_target=False,
    )  # fmt: skip


def rows_of(task: Any) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to learn from, in the order in which they come, and those to score."""
    split = task.splits[0]
    train = split.train if split.valid is None else np.concatenate([split.train, split.valid])
    if not task.time_ordered:
        train = np.random.default_rng(SEED).permutation(train)
    return train, split.test


def new_model(task: Any, options: argparse.Namespace, **parameters: Any) -> Any:
    kind = EmbeddingClassifier if task.kind == "binary" else EmbeddingRegressor
    settings = {"columns": task.categorical, "n_networks": options.networks, "pairs": None}
    if task.kind == "poisson":
        settings["loss"] = "poisson"
    return kind(**settings, random_state=options.seed, **parameters)


def loss_of(task: Any, model: Any, rows: np.ndarray) -> float:
    """Log loss, mean squared error or half the Poisson deviance on some rows."""
    X, y = task.X.iloc[rows], target_of(task)[rows]
    if task.kind == "binary":
        return float(metrics.log_loss(y, model.predict_proba(X)[:, 1], labels=[0, 1]))
    if task.kind == "poisson":
        return float(metrics.mean_poisson_deviance(y, model.predict(X)) / 2)
    return float(metrics.mean_squared_error(y, model.predict(X)))


def target_of(task: Any) -> np.ndarray:
    return np.log(task.y) if task.log_target else task.y


def fed(task: Any, model: Any, rows: np.ndarray, n_frames: int) -> tuple[float, int]:
    """Feed rows in small frames; milliseconds of a call at the median, and categories that came."""
    y, known = target_of(task), n_categories(model)
    times = []
    for part in np.array_split(rows, n_frames):
        frame, target = task.X.iloc[part], y[part]
        started = time.process_time()
        model.partial_fit(frame, target)
        times.append(time.process_time() - started)
    return float(np.median(times) * 1e3), n_categories(model) - known


def n_categories(model: Any) -> int:
    return sum(len(vocabulary) for vocabulary in model.schema_.vocabularies)


def measure(task: Any, options: argparse.Namespace) -> dict[str, Any]:
    """One task: losses on the test rows."""
    rows, test = rows_of(task)
    y = target_of(task)
    first = rows[: int(FIRST * len(rows))]
    model = new_model(task, options).fit(task.X.iloc[first], y[first])
    losses = {"first fifth": loss_of(task, model, test)}
    milliseconds, came = fed(task, model, rows[len(first) :], options.frames)
    losses["grown"] = loss_of(task, model, test)
    for name, parameters in (("one pass", {"n_epochs": 1}), ("full fit", {})):
        whole = new_model(task, options, **parameters).fit(task.X.iloc[rows], y[rows])
        losses[name] = loss_of(task, whole, test)
    return {
        "task": task.name,
        "rows": len(rows),
        "rows_of_frame": (len(rows) - len(first)) / options.frames,
        "new_categories": came,
        "milliseconds": milliseconds,
        "losses": losses,
        "grown_over_one_pass": losses["grown"] / losses["one pass"] - 1,
        "grown_over_full_fit": losses["grown"] / losses["full fit"] - 1,
    }


def show(record: dict[str, Any]) -> None:
    losses = "  ".join(f"{name} {loss:.5g}" for name, loss in record["losses"].items())
    print(
        f"{record['task']}: {record['rows']:,} rows, frames of {record['rows_of_frame']:.0f},"
        f" {record['new_categories']:,} categories came, {record['milliseconds']:.1f} ms a call"
    )
    print(f"  {losses}")
    print(
        f"  grown over one pass {record['grown_over_one_pass']:+.1%} (at most {WITHIN:.0%}),"
        f" over a full fit {record['grown_over_full_fit']:+.1%}",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the folder with suite/suite.py")
    parser.add_argument("--task", action="append", help="one of the suite; repeatable")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--quick", action="store_true", help="generated rows; means nothing")
    options = parser.parse_args(arguments)
    if options.quick:
        options.frames = min(options.frames, 40)
        tasks = [generated()]
    elif options.data is None:
        parser.error("--data is needed, or --quick")
    else:
        from accuracy import load_suite

        tasks = [load_suite(options.data).load(name) for name in options.task or TASKS]
    records = []
    with threadpool_limits(1):
        for task in tasks:
            records.append(measure(task, options))
            show(records[-1])
            if options.json is not None:
                about = {"seed": options.seed, "catvec": catvec.__version__, "commit": commit()}
                about |= {"python": platform.python_version(), "numpy": np.__version__}
                about |= {"networks": options.networks, "frames": options.frames}
                text = json.dumps({"about": about, "tasks": records}, indent=2)
                options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
