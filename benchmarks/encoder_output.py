"""What should an encoder hand on to LightGBM: effects, vectors, codes, the joint score?

One encoder by task writes everything; LightGBM then learns from some of its columns, as
`accuracy.py` has it learn, without the refit on all rows. Scores are those of validation rows.

    python benchmarks/encoder_output.py --data ../shared --markdown encoder_output.md
    python benchmarks/encoder_output.py --data ../shared --task walmart
    python benchmarks/encoder_output.py --data ../shared --quick               # does it run?
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _models import (
    Case,
    catvec_data,
    catvec_encoder,
    lightgbm,
    native,
    numbered,
    te_for_lightgbm,
    with_codes_told,
)
from _tables import Table, show, write_markdown
from accuracy import Job, is_absolute, load_suite, make_case, score
from threadpoolctl import threadpool_limits

from catvec import EmbeddingEncoder

TASKS = [
    *("walmart", "rossmann_200k", "hotel_bookings"),  # these in time
    *("nycflights", "adult", "employee_salaries", "movielens_100k", "amazon_access", "kick"),
]
RIVALS = {"native categories": native, "TargetEncoder": te_for_lightgbm}


def parts_of(encoder: EmbeddingEncoder, X: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which of the columns that an encoder writes are handed on."""
    names = encoder.get_feature_names_out().tolist()
    codes = np.isin(np.arange(len(names)), encoder.categorical_features_)
    effects = np.array([name.endswith(("_effect", "_confidence")) for name in names])
    joint = np.array([name == "joint_score" for name in names])
    always = effects | codes | np.isin(names, list(X))
    return {
        "effects and codes": always,
        "and vectors": ~joint,
        "and the joint score": always | joint,
        "all": np.ones(len(names), bool),
    }


def tables_of(case: Case) -> dict[str, list[pd.DataFrame]]:
    """Rows to fit, to stop by and to predict, as each way hands them on."""
    X, y, held_out = catvec_data(case, case.fit)
    encoder = catvec_encoder(case, output="both")
    others = [case.X.iloc[case.stop], case.X_new]
    written = [encoder.fit_transform(X, y, **held_out), *map(encoder.transform, others)]
    frames = [with_codes_told(encoder, Z) for Z in written]
    tables = {
        name: [frame.loc[:, part] for frame in frames]
        for name, part in parts_of(encoder, case.X).items()
    }
    tables["all, codes as numbers"] = [numbered(Z) for Z in written]
    for name, prepare in RIVALS.items():
        Z, _, encode = prepare(case, case.fit)
        tables[name] = [Z, *map(encode, others)]
    return tables


def best_score(task: Any, case: Case, new: np.ndarray, tables: list[pd.DataFrame]) -> float:
    """The score of LightGBM; the better of two losses where the metric is an absolute error."""
    fit, stop, rows = tables
    held_out = stop, case.y[case.stop]
    weight = None if task.weight is None else task.weight[new]
    found = []
    for absolute in [False, True][: 1 + is_absolute(task)]:
        predict, _ = lightgbm(case, fit, case.y[case.fit], held_out, None, absolute=absolute)
        prediction = np.exp(predict(rows)) if task.log_target else predict(rows)
        found.append(score(task.metrics[0], task.y[new], prediction, weight))
    return max(found) if task.metrics[0].greater_is_better else min(found)


def row_of(suite: Any, name: str, options: argparse.Namespace) -> dict[str, str]:
    task = suite.load(name)
    job = Job("validation", "all", name, 0, "catvec", options.seed, "")
    case, new = make_case(task, job, options)
    scores = {k: best_score(task, case, new, tables) for k, tables in tables_of(case).items()}
    direction = "higher" if task.metrics[0].greater_is_better else "lower"
    label = f"{name} ({task.metrics[0].name}, {direction})"
    return {"task": label} | {name: f"{value:.5g}" for name, value in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--task", choices=TASKS, action="append", help="default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table here")
    parser.add_argument("--quick", action="store_true", help="a few rows, to see whether it runs")
    options = parser.parse_args()
    if options.quick:
        options.task = options.task or ["adult"]
    suite = load_suite(options.data)
    rows = []
    with threadpool_limits(options.threads):
        for name in options.task or TASKS:
            rows.append(row_of(suite, name, options))
            print(*rows[-1].values(), sep="  ", flush=True)
    note = f"validation rows, one seed ({options.seed}), {options.threads} thread"
    cells = [list(row.values()) for row in rows]
    tables = [Table("Columns handed on to LightGBM", list(rows[0]), cells, [note])]
    show(tables)
    if options.markdown:
        write_markdown(tables, options.markdown)


if __name__ == "__main__":
    main()
