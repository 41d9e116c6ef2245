"""What is a parameter worth? Predictors with several settings, on validation rows of the suite.

    python benchmarks/settings.py --data ../shared --task adult "dropout=0.1" "dropout=0.0"
    python benchmarks/settings.py --data ../shared --task amazon_access "shrinkage=10.0" ""
    python benchmarks/settings.py --data ../shared --task adult --quick ""        # does it run?
    python benchmarks/settings.py --data ../shared --task nycflights --together 2048 "n_epochs=3" ""

Rows, cut and metrics are those of `accuracy.py` without `--test`; an empty setting is the defaults.
`--together` holds out a fifth of the training rows instead, so many side by side: rows of a day of
nycflights are alike, and its test rows are of other days.
Each line has the scores, averaged over the task's splits and the seeds, the seconds of a fit, and
what the fits chose.
"""

from __future__ import annotations

import argparse
import ast
import time
from dataclasses import replace
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


def fitted(task: Any, job: Job, quick: bool, setting: dict[str, Any]) -> tuple[Any, ...]:
    """Scores by metric, seconds, and what was chosen."""
    case, new = make_case(task, job, argparse.Namespace(threads=1, quick=quick))
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
    prediction = np.exp(prediction) if task.log_target else prediction
    weight = None if task.weight is None else task.weight[new]
    scores = [score(m, task.y[new], prediction, weight) for m in task.metrics]
    choice = model.choice_
    strengths = sorted(set(choice.shrinkage))
    chosen = f"{strengths} {choice.n_epochs} epochs {len(choice.pairs)} pairs {choice.interactions}"
    return scores, seconds, chosen


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
    parser.add_argument("settings", nargs="+", help='such as "dropout=0.1"; "" for the defaults')
    parser.add_argument("--quick", action="store_true", help="a few rows, to see whether it runs")
    options = parser.parse_args()
    task, mode = load_suite(options.data).load(options.task), "validation"
    if options.together is not None:
        task, mode = held_out_together(task, options.together), "test"
    jobs = [
        Job(mode, "all", task.name, split, "catvec", seed, "")
        for split in range(len(task.splits))
        for seed in range(options.seeds)
    ]
    warm_up(["catvec"])
    with threadpool_limits(1):
        for text in options.settings:
            runs = [fitted(task, job, options.quick, read(text)) for job in jobs]
            means = np.mean([scores for scores, _, _ in runs], axis=0)
            named = [f"{m.name} {v:.5g}" for m, v in zip(task.metrics, means, strict=True)]
            seconds = np.mean([seconds for _, seconds, _ in runs])
            chosen = sorted({choice for _, _, choice in runs})
            print(
                f"{text or 'defaults'}: {', '.join(named)}, {seconds:.1f} s; {chosen}", flush=True
            )


if __name__ == "__main__":
    main()
