"""What is a parameter worth? Predictors with several settings, on validation rows of the suite.

    python benchmarks/settings.py --data ../shared --task adult "dropout=0.1" "dropout=0.0"
    python benchmarks/settings.py --data ../shared --task amazon_access "shrinkage=10.0" ""
    python benchmarks/settings.py --data ../shared --task adult --quick ""        # does it run?
    python benchmarks/settings.py --data ../shared --task nycflights --together 2048 "n_epochs=3" ""
    python benchmarks/settings.py --data ../shared --task rossmann_200k --stretches 4 "pairs=None"

Rows, cut and metrics are those of `accuracy.py` without `--test`; an empty setting is the defaults.
`--together` holds out a fifth of the training rows instead, so many side by side: rows of a day of
nycflights are alike, and its test rows are of other days. `--stretches` holds out the last tenths
of the training rows of a task in time, one at a time, each to be predicted from what was before it.
Each line has the scores, averaged over the task's splits and the seeds, the seconds of a fit, and
what the fits chose; of several splits the first metric of each, too. The last line has the mean of
the predictions of all settings.
"""

from __future__ import annotations

import argparse
import ast
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _models import catvec_data, catvec_parameters, warm_up
from accuracy import Job, load_suite, make_case, score
from threadpoolctl import threadpool_limits

from catvec import EmbeddingClassifier, EmbeddingRegressor


def held_out_together(task: Any, n_rows: int) -> Any:
    """The task with blocks of so many training rows to test on, in place of its test rows."""
    splits = []
    for split in task.splits:
        block = split.train // n_rows
        blocks = np.random.RandomState(0).permutation(np.unique(block))
        is_new = np.isin(block, blocks[: len(blocks) // 5])
        splits.append(replace(split, train=split.train[~is_new], test=split.train[is_new]))
    return replace(task, splits=splits)


def in_stretches(task: Any, n_stretches: int) -> Any:
    """The task with the last tenths of its training rows to test on, the latest one first."""
    (split,) = task.splits
    ends = len(split.train) - len(split.train) // 10 * np.arange(n_stretches + 1)
    splits = [
        replace(split, train=split.train[:start], test=split.train[start:end])
        for end, start in pairwise(ends.tolist())
    ]
    return replace(task, splits=splits)


def fitted(task: Any, job: Job, quick: bool, setting: dict[str, Any]) -> tuple[Any, ...]:
    """Prediction, seconds, and what was chosen."""
    case, _ = make_case(task, job, argparse.Namespace(threads=1, quick=quick))
    X, y, held_out = catvec_data(case, case.all)
    parameters = {**catvec_parameters(case), **setting}
    started = time.perf_counter()
    if case.kind == "binary":
        model: Any = EmbeddingClassifier(**parameters).fit(X, y, **held_out)
        seconds = time.perf_counter() - started
        prediction = model.predict_proba(case.X_new)[:, 1]
    else:
        loss = "poisson" if case.kind == "poisson" else "absolute" if case.absolute else "auto"
        model = EmbeddingRegressor(**{"loss": loss, **parameters}).fit(X, y, **held_out)
        seconds = time.perf_counter() - started
        prediction = model.predict(case.X_new)
    choice = model.choice_
    strengths = sorted(set(choice.shrinkage))
    chosen = f"{strengths} {choice.n_epochs} epochs {len(choice.pairs)} pairs {choice.interactions}"
    return prediction, seconds, chosen


def scored(task: Any, quick: bool, job: Job, prediction: np.ndarray) -> list[float]:
    """Scores by metric."""
    _, new = make_case(task, job, argparse.Namespace(threads=1, quick=quick))
    weight = None if task.weight is None else task.weight[new]
    prediction = np.exp(prediction) if task.log_target else prediction
    return [score(m, task.y[new], prediction, weight) for m in task.metrics]


def line(task: Any, name: str, scores: list[list[float]]) -> str:
    """Scores averaged over fits, and the first metric of each fit."""
    means = np.mean(scores, axis=0)
    named = [f"{m.name} {v:.5g}" for m, v in zip(task.metrics, means, strict=True)]
    each = [f"{of_fit[0]:.5g}" for of_fit in scores]
    return f"{name}: {', '.join(named)}" + (f" ({', '.join(each)})" if len(each) > 1 else "")


def read(text: str) -> dict[str, Any]:
    """A setting such as "dropout=0.1 hidden_sizes=(64,)"."""
    words = (word.split("=", 1) for word in text.split())
    return {name: ast.literal_eval(value) for name, value in words}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder with suite/suite.py")
    parser.add_argument("--task", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--together", type=int, help="rows side by side to hold out together")
    parser.add_argument("--stretches", type=int, metavar="N", help="the last N tenths, in time")
    parser.add_argument("settings", nargs="+", help='such as "dropout=0.1"; "" for the defaults')
    parser.add_argument("--quick", action="store_true", help="a few rows, to see whether it runs")
    options = parser.parse_args()
    task, mode = load_suite(options.data).load(options.task), "validation"
    if options.together is not None:
        task, mode = held_out_together(task, options.together), "test"
    if options.stretches is not None:
        task, mode = in_stretches(task, options.stretches), "test"
    jobs = [
        Job(mode, "all", task.name, split, "catvec", seed, "")
        for split in range(len(task.splits))
        for seed in range(options.seeds)
    ]
    warm_up(["catvec"])
    quick = options.quick
    with threadpool_limits(1):
        found = []
        for text in options.settings:
            runs = [fitted(task, job, quick, read(text)) for job in jobs]
            found.append([prediction for prediction, _, _ in runs])
            scores = [scored(task, quick, *one) for one in zip(jobs, found[-1], strict=True)]
            seconds = np.mean([seconds for _, seconds, _ in runs])
            chosen = sorted({choice for _, _, choice in runs})
            told = line(task, text or "defaults", scores)
            print(f"{told}, {seconds:.1f} s; {chosen}", flush=True)
        if len(found) > 1:
            means = [np.mean(of_job, axis=0) for of_job in zip(*found, strict=True)]
            scores = [scored(task, quick, *one) for one in zip(jobs, means, strict=True)]
            print(line(task, "together", scores))


if __name__ == "__main__":
    main()
