"""How well does catvec predict with its defaults, beside boosting, on tables of categories?

The tasks, their splits and metrics come from `suite/suite.py` in the folder given by `--data`.
Every fit is filed in the cache folder as soon as it is done and skipped when it is there, so the
script can be stopped and started again at any time, also by task in several processes. Fits of
catvec are filed under the state of its code; a change in the code makes them due again.

    python benchmarks/accuracy.py --data ../shared                   # validation rows: develop here
    python benchmarks/accuracy.py --data ../shared --test            # test rows, into results/
    python benchmarks/accuracy.py --data ../shared --unknown         # hidden categories
    python benchmarks/accuracy.py --data ../shared --curves          # parts of the training rows
    python benchmarks/accuracy.py --data ../shared --task adult --models catvec,lightgbm_te
    python benchmarks/accuracy.py --data ../shared --report          # no fits, only the tables
    python benchmarks/accuracy.py --data ../shared --quick           # does it run?
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
import time
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _accuracy_report import Fits, append_results, curve_tables, tables, unknown_tables
from _models import MODELS, ON_REQUEST, Case, is_ours, package, run_model, warm_up
from _state import commit, state_of_code
from _tables import show, write_markdown

N_RESAMPLES = 100  # of the bootstrap; the standard error is then known to 7%
FEWEST_STOP = 100  # rows to stop by
N_BINS = 20  # of the calibration error, equally full
SHARES = ("1%", "3%", "10%", "30%")  # of the learning curves; 100% are the fits on all rows
CURVE_TASKS = ["amazon_access", "employee_salaries", "adult", "movielens_100k", "rossmann_200k"]
CURVE_MODELS = ["mean", "catvec", "catvec_lightgbm", "lightgbm_te"]
UNKNOWN_MODELS = [
    *("mean", "catvec", "catvec_without", "catvec_lightgbm", "catvec_lightgbm_without"),
    "lightgbm_te",
]
HIDDEN = 0.1  # share of the widest column's categories that --unknown hides
FEWEST_HIDDEN = 300  # rows of hidden categories
QUICK_ROWS, QUICK_NEW_ROWS, QUICK_ROUNDS = 800, 400, 20
FIELDS = [
    *("mode", "part", "task", "split", "model", "seed", "code", "commit", "when", "threads"),
    *("metric", "is_main", "greater", "value", "seconds", "cpu_seconds", "refit_seconds"),
    *("rounds", "rows", "new_rows"),
]
KEY = FIELDS[:7]


@dataclass(frozen=True)
class Job:
    """One fit."""

    mode: str  # "validation" or "test"
    part: str  # "all", "unknown" or a share of the training rows
    task: str
    split: int
    model: str
    seed: int
    code: str  # of catvec, or the version of a rival

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(str(getattr(self, name)) for name in KEY)


# --- what was done and what is to be done ---------------------------------------------


class Cache:
    """The folder of fits: `fits.csv`, and the metric on each resample in a file by fit."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "fits.csv"
        (folder / "resamples").mkdir(parents=True, exist_ok=True)

    def table(self) -> pd.DataFrame:
        if not self.file.exists():
            return pd.DataFrame(columns=FIELDS)
        return pd.read_csv(self.file, dtype=dict.fromkeys([*KEY, "commit"], str))

    def done(self) -> set[tuple[str, ...]]:
        return set(self.table()[KEY].itertuples(index=False, name=None))

    def resamples(self, key: tuple[str, ...]) -> np.ndarray:
        return np.load(self.folder / "resamples" / f"{_file_name(key)}.npy")

    def add(self, job: Job, records: list[dict[str, Any]], resamples: np.ndarray) -> None:
        np.save(self.folder / "resamples" / f"{_file_name(job.key)}.npy", resamples)
        is_new = not self.file.exists()
        with self.file.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS)
            if is_new:
                writer.writeheader()
            writer.writerows(records)


def _file_name(key: tuple[str, ...]) -> str:
    return "-".join(key).replace("%", "").replace(" ", "_")


def plan(options: argparse.Namespace, suite: Any, name: str) -> tuple[Any, list[Job]]:
    """The task and its fits, split by split, so that what is compared is run side by side."""
    task = suite.load(name)
    n_splits = 1 if options.curves or options.quick else len(task.splits)
    parts = [*SHARES, "all"] if options.curves else ["unknown" if options.unknown else "all"]
    absolute = is_absolute(task)
    jobs = []
    for split in range(n_splits):
        for part in parts:
            for model in options.models:
                if model.endswith("_l1") and not absolute:
                    continue
                seeds = options.seeds if is_ours(model) else 1
                code = options.code if is_ours(model) else package(model)
                jobs += [
                    Job(options.mode, part, name, split, model, seed, code) for seed in range(seeds)
                ]
    return task, jobs


def is_absolute(task: Any) -> bool:
    return task.metrics[0].name in ("MAPE", "WMAE")


# --- rows -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rows:
    """Row numbers of the task: to train on, to score, and those it brings to stop by."""

    train: np.ndarray  # in order of time where the task is; else ascending
    new: np.ndarray
    stop: np.ndarray | None = None


def rows_of(task: Any, split: Any, mode: str) -> Rows:
    """The rows of a split: for testing, or with validation rows cut from those for training.

    Validation rows that the task brings are halved for validation: one half to stop by, one to
    score.
    """
    if split.valid is not None:
        if mode == "test":
            return Rows(split.train, split.test, split.valid)
        mixed = np.random.RandomState(1).permutation(split.valid)
        half = len(mixed) // 2
        return Rows(split.train, np.sort(mixed[half:]), np.sort(mixed[:half]))
    if mode == "test":
        return Rows(split.train, split.test)
    train, valid = task.fit_valid(split)
    if not task.time_ordered:
        train, valid = np.sort(without_twins(task.X, train, valid)), np.sort(valid)
    return Rows(train, valid)


def without_twins(X: pd.DataFrame, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`rows` less those that equal one of `others`, where nearly all rows are distinct.

    In such a table equal rows on both sides of a cut tell each other's target.
    """
    groups = pd.util.hash_pandas_object(X.iloc[np.concatenate([rows, others])], index=False)
    hashes, n_distinct = groups.to_numpy(), groups.nunique()
    if not 0.9 * len(hashes) <= n_distinct < len(hashes):
        return rows
    return rows[~np.isin(hashes[: len(rows)], hashes[len(rows) :])]


def cut(X: pd.DataFrame, ordered: bool) -> tuple[np.ndarray, np.ndarray]:
    """Places of the rows that a rival fits and of the 10% it stops by, by the suite's rule.

    Of less than a thousand rows it is up to a third, for a few rows tell nothing: they may even be
    of one class.
    """
    places = np.arange(len(X))
    if not ordered:
        places = np.random.RandomState(0).permutation(places)
    n_fit = len(places) - max(len(places) // 10, min(FEWEST_STOP, len(places) // 3))
    fit, stop = places[:n_fit], places[n_fit:]
    return (fit, stop) if ordered else (np.sort(without_twins(X, fit, stop)), np.sort(stop))


def part_of(task: Any, rows: Rows, part: str) -> Rows:
    """The rows of a learning curve, or with categories of the widest column hidden."""
    if part == "all":
        return rows
    if part == "unknown":
        return hidden(task, rows)
    n = max(round(float(part.removesuffix("%")) / 100 * len(rows.train)), 20)
    some = np.random.RandomState(0).permutation(len(rows.train))[:n]
    return replace(rows, train=rows.train[np.sort(some)])


def hidden(task: Any, rows: Rows) -> Rows:
    """Hide a tenth of the widest column's categories; their rows are those to score.

    At random all their rows are, also those that would have been for training; with an order in
    time only those among the rows to score anyway, unless these are too few to tell anything.
    """
    values = task.X[widest(task, rows)]
    known = np.sort(pd.unique(values.iloc[rows.train].dropna()))
    chosen = np.random.RandomState(0).permutation(len(known))[: max(round(HIDDEN * len(known)), 1)]
    is_hidden = values.isin(known[chosen]).to_numpy()
    train, new = rows.train[~is_hidden[rows.train]], rows.new[is_hidden[rows.new]]
    if rows.stop is not None:
        return Rows(train, new, rows.stop[~is_hidden[rows.stop]])
    if not task.time_ordered or len(new) < FEWEST_HIDDEN:
        new = np.sort(np.concatenate([new, rows.train[is_hidden[rows.train]]]))
    return Rows(train, new)


def widest(task: Any, rows: Rows) -> str:
    return str(task.X[task.categorical].iloc[rows.train].nunique().idxmax())


# --- one fit --------------------------------------------------------------------------


def make_case(task: Any, job: Job, options: argparse.Namespace) -> tuple[Case, np.ndarray]:
    """What the model gets, and the rows that are scored."""
    rows = rows_of(task, task.splits[job.split], job.mode)
    if options.quick:
        stop = None if rows.stop is None else rows.stop[:QUICK_NEW_ROWS]
        rows = Rows(rows.train[-QUICK_ROWS:], rows.new[:QUICK_NEW_ROWS], stop)
    X, categorical = task.X, task.categorical
    if job.model.endswith("_without"):
        column = widest(task, rows)
        X, categorical = X.drop(columns=column), [c for c in categorical if c != column]
    rows = part_of(task, rows, job.part)
    given = rows.stop is not None
    taken = rows.train if rows.stop is None else np.concatenate([rows.train, rows.stop])
    X_taken, y = X.iloc[taken].reset_index(drop=True), task.y[taken]
    if given:
        fit, stop = np.split(np.arange(len(taken)), [len(rows.train)])
    else:
        fit, stop = cut(X_taken, task.time_ordered)
    case = Case(
        kind=task.kind,
        categorical=categorical,
        X=X_taken,
        y=np.log(y) if task.log_target else y,
        fit=fit,
        stop=stop,
        X_new=X.iloc[rows.new].reset_index(drop=True),
        given=given,
        ordered=task.time_ordered,
        absolute=is_absolute(task),
        threads=options.threads,
        seed=job.seed,
        most_rounds=QUICK_ROUNDS if options.quick else None,
    )
    return case, rows.new


def run_job(task: Any, job: Job, options: argparse.Namespace, cache: Cache) -> str:
    """Fit, score, file; a line to say so."""
    case, new = make_case(task, job, options)
    fitted = run_model(job.model.removesuffix("_without"), case)
    prediction = np.asarray(fitted.prediction, np.float64)
    prediction = np.exp(prediction) if task.log_target else prediction
    y, weight = task.y[new], None if task.weight is None else task.weight[new]
    scores = {m.name: score(m, y, prediction, weight) for m in task.metrics}
    if task.kind == "binary":
        scores["calibration error"] = calibration_error(y, prediction)
    common = dict(
        {name: getattr(job, name) for name in KEY},
        commit=options.commit,
        when=time.strftime("%Y-%m-%d %H:%M"),
        threads=options.threads,
        seconds=round(fitted.seconds, 3),
        cpu_seconds=round(fitted.cpu_seconds, 3),
        refit_seconds=round(fitted.refit_seconds, 3),
        rounds=fitted.rounds,
        rows=len(case.all),
        new_rows=len(new),
    )
    greater = {m.name: int(m.greater_is_better) for m in task.metrics}
    records = [
        dict(common, metric=k, is_main=int(i == 0), greater=greater.get(k, 0), value=v)
        for i, (k, v) in enumerate(scores.items())
    ]
    cache.add(job, records, resampled(job, task.metrics[0], y, prediction, weight))
    main, value = next(iter(scores.items()))
    return f"{main} {value:.5g} in {fitted.seconds:.1f} s and {fitted.refit_seconds:.1f} s again"


def score(metric: Any, y: np.ndarray, prediction: np.ndarray, weight: Any) -> float:
    """The metric; NaN where it has none, as for rows of one class."""
    one_class = metric.name in ("AUC", "AP") and len(np.unique(y)) < 2
    if one_class or len(y) < 2:
        return float("nan")
    if metric.name == "LogLoss":
        from sklearn.metrics import log_loss

        return float(log_loss(y, prediction, sample_weight=weight, labels=[0, 1]))
    return float(metric(y, prediction, weight))


def resampled(
    job: Job, metric: Any, y: np.ndarray, prediction: np.ndarray, weight: Any
) -> np.ndarray:
    """The metric on resamples of the rows: the same resamples for every model."""
    rng = np.random.RandomState(
        zlib.crc32(f"{job.mode} {job.part} {job.task} {job.split}".encode())
    )
    values = np.empty(N_RESAMPLES)
    for i in range(N_RESAMPLES):
        rows = rng.randint(len(y), size=len(y))
        weights = None if weight is None else weight[rows]
        values[i] = score(metric, y[rows], prediction[rows], weights)
    return values


def calibration_error(y: np.ndarray, probability: np.ndarray) -> float:
    """Expected calibration error: mean gap of share and probability over equally full bins."""
    order = np.argsort(probability, kind="stable")
    bins = [part for part in np.array_split(order, N_BINS) if len(part)]
    gaps = [abs(y[part].mean() - probability[part].mean()) * len(part) for part in bins]
    return float(sum(gaps) / len(y))


# --- all of it ------------------------------------------------------------------------


def load_suite(folder: Path) -> Any:
    """The module `suite/suite.py` of that folder; nothing is written there."""
    file = folder.resolve() / "suite" / "suite.py"
    if not file.is_file():
        raise SystemExit(f"no suite/suite.py in {folder}; --data takes the folder that holds it")
    spec = importlib.util.spec_from_file_location("suite", file)
    assert spec is not None
    assert spec.loader is not None
    suite = importlib.util.module_from_spec(spec)
    sys.modules["suite"] = suite  # its dataclasses look for it
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(suite)
    finally:
        sys.dont_write_bytecode = before
    return suite


def due(options: argparse.Namespace, suite: Any, cache: Cache) -> Iterator[tuple[Any, list[Job]]]:
    for name in options.task:
        task, jobs = plan(options, suite, name)
        done = cache.done()
        yield task, [job for job in jobs if job.key not in done]


def run_all(options: argparse.Namespace, suite: Any, cache: Cache) -> int:
    """Run what is due; the number of fits that failed."""
    n_failed, is_warm = 0, False
    for task, jobs in due(options, suite, cache):
        if jobs and not is_warm and not options.quick:
            is_warm = True
            took = warm_up(options.models)
            print(f"imports and compiling, once by process, not in the seconds below: {took:.1f} s")
        for job in jobs:
            words = f"{job.task} {job.split} {job.part} {job.model} seed {job.seed}"
            try:
                found = run_job(task, job, options, cache)
            except Exception:
                n_failed += 1
                found = "failed\n" + traceback.format_exc()
            print(time.strftime("%H:%M:%S"), f"{words}: {found}", flush=True)
    return n_failed


def report(options: argparse.Namespace, cache: Cache) -> None:
    """The tables, on the terminal and as Markdown; with --test a line by task and model."""
    state = {m: options.code if is_ours(m) else package(m) for m in [*MODELS, *UNKNOWN_MODELS]}
    fits = Fits.of(cache.table(), cache.resamples, options.mode, options.task, state)
    if options.unknown:
        found = unknown_tables(fits)
    elif options.curves:
        found = curve_tables(fits, [*SHARES, "all"])
    else:
        found = tables(fits)
    show(found)
    if options.markdown:
        write_markdown(found, options.markdown)
    if options.mode == "test" and not options.quick:
        append_results(fits, options.results)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder with suite/suite.py")
    parser.add_argument("--task", action="append", help="may be repeated; default: all")
    parser.add_argument("--models", help="with commas; default: all of: " + " ".join(MODELS))
    parser.add_argument("--seeds", type=int, default=3, help="of catvec; rivals have one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--test", action="store_true", help="score the test rows")
    parser.add_argument("--unknown", action="store_true", help="hide categories")
    parser.add_argument("--curves", action="store_true", help="learning curves")
    parser.add_argument("--report", action="store_true", help="no fits, only the tables")
    parser.add_argument("--code", help="file catvec's fits under this name, not its code's state")
    parser.add_argument("--markdown", type=Path, help="write the tables here, too")
    results = Path(__file__).parent / "results" / "accuracy.csv"
    parser.add_argument("--results", type=Path, default=results, help="where --test adds lines")
    parser.add_argument("--quick", action="store_true", help="a few rows, to see whether it runs")
    options = parser.parse_args(arguments)
    if options.unknown and options.curves:
        parser.error("--unknown and --curves are two protocols: one at a time")
    options.mode = "test" if options.test else "validation"
    options.commit, options.code = commit(), options.code or state_of_code()
    options.models = chosen_models(options, parser)
    if options.quick:
        options.seeds, options.cache = 1, options.cache / "quick"
    return options


def chosen_models(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    default = [model for model in MODELS if model not in ON_REQUEST]
    default = UNKNOWN_MODELS if options.unknown else CURVE_MODELS if options.curves else default
    if not options.models:
        return default
    models = [name.strip() for name in options.models.split(",")]
    wrong = [name for name in models if name.removesuffix("_without") not in MODELS]
    if wrong:
        parser.error(f"no model {wrong[0]!r}; there are {', '.join(MODELS)}")
    return models


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    suite = load_suite(options.data)
    default = [name for name in CURVE_TASKS if name in suite.names()] if options.curves else None
    options.task = options.task or default or suite.names()[: 2 if options.quick else None]
    wrong = [name for name in options.task if name not in suite.names()]
    if wrong:
        raise SystemExit(f"no task {wrong[0]!r}; there are {', '.join(suite.names())}")
    cache = Cache(options.cache)
    n_failed = 0 if options.report else run_all(options, suite, cache)
    report(options, cache)
    if n_failed:
        raise SystemExit(f"{n_failed} fits failed")


if __name__ == "__main__":
    main()
