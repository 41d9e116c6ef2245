"""Do vectors learned elsewhere help with few labels, and do they hurt with many?

movielens_1m   whether a user likes a film. The films' vectors are pretrained on the films that each
               user rated among the training rows: who rated what, never when nor how (a missing
               time would tell the label). Rows for testing are the table's own, the latest.
rossmann       the logarithm of a shop's sales on a day. The shops' vectors are those of a model of
               another target, customers, learned on the training dates. For testing: the last six
               weeks.

Of the labelled rows 0.3% to 100% are used, drawn anew by each seed; 100% are 100,000 rows of the
films (of 700,000) and 20,000 of the shops, drawn from the training rows, so that all of it takes
an hour of one processor: of 20,000 ratings 0.3% are 60, which differ more by the draw than by all
that films can say of one another. From scratch
and three ways to use the vectors are fitted on the same rows: `prior` (freeze="never"),
`fine-tuned` ("first") and `frozen` ("always"); two networks each, shrinkage chosen by each fit for
itself on rows it holds out of its labelled ones. Scores are of 20,000 test rows: log loss, or the
root of the mean squared error. The p-values are of paired t-tests over the seeds, one-sided.

    python benchmarks/transfer.py --data FOLDER --json transfer.json --picture transfer.png
    python benchmarks/transfer.py --quick                      # does it run? generated tables
    python benchmarks/transfer.py --report transfer.json       # only the tables

With --json each score is written as soon as it is there, and not measured again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy is imported

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from _state import commit, state_of_code  # noqa: E402
from _tables import Table, show, write_markdown  # noqa: E402
from scipy import stats  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402

from catvec import (  # noqa: E402
    CategoryVectors,
    EmbeddingClassifier,
    EmbeddingPretrainer,
    EmbeddingRegressor,
)

SEEDS = [0, 1, 2, 3, 4]
SHARES = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
MODES = {"scratch": None, "prior": "never", "fine-tuned": "first", "frozen": "always"}
LABELLED = {"movielens_1m": 100_000, "rossmann": 20_000}
TESTED = 20_000
WIDTH = 32  # of the films' vectors
FIT: dict[str, Any] = {
    "n_networks": 2,
    "n_epochs": 12,
    "pairs": None,
    "interactions": "concatenate",
}
FEW, MOST_LOSS = 0.03, 0.002  # what issue 6 asks for: a gain up to here, and at most this loss

Records = dict[str, float]


@dataclass(eq=False)
class Task:
    """A table to learn from, and how its vectors are learned elsewhere."""

    name: str
    metric: str
    columns: list[str]
    train: pd.DataFrame
    test: pd.DataFrame
    target: str
    pretrain: Callable[[], CategoryVectors]

    @cached_property
    def init(self) -> CategoryVectors:
        """The vectors, learned when they are first asked for."""
        return self.pretrain()

    def drawn(self, share: float, seed: int) -> pd.DataFrame:
        """Labelled rows: a smaller share is a part of a larger one."""
        rows = np.random.default_rng(seed).permutation(len(self.train))
        return self.train.iloc[rows[: round(share * self.n_labelled)]]

    @property
    def n_labelled(self) -> int:
        """Rows that are 100%."""
        return min(LABELLED.get(self.name, len(self.train)), len(self.train))

    def score(self, share: float, seed: int, freeze: str | None) -> float:
        """Loss on the test rows of a fit on some of the labelled ones."""
        features = [name for name in self.train if name != self.target]
        rows, tested = self.drawn(share, seed), self.test
        options = {"columns": self.columns, "random_state": seed, **FIT}
        if freeze is not None:
            options |= {"init": self.init, "freeze": freeze}
        if self.metric == "log loss":
            model = EmbeddingClassifier(**options).fit(rows[features], rows[self.target])
            probability = model.predict_proba(tested[features])[:, 1]
            return float(log_loss(tested[self.target], probability))
        of_number = EmbeddingRegressor(**options).fit(rows[features], rows[self.target])
        error = of_number.predict(tested[features]) - tested[self.target]
        return float(np.sqrt(np.mean(error**2)))


# --- the tasks ------------------------------------------------------------------------


def movielens(folder: Path) -> Task:
    """Likes of films; the vectors are of who rated what in the training rows."""
    columns = ["user_id", "movie_id", "like", "split"]
    table = pd.read_parquet(folder / "movielens_1m.parquet", columns=columns)
    users = pd.read_parquet(folder / "movielens_1m_users.parquet")
    table = table.merge(users[["user_id", "gender", "age", "occupation"]], on="user_id")
    table = table.sort_values(["user_id", "movie_id"])  # the order of the file may tell the label
    train = table[table["split"] != "test"].drop(columns="split")
    test = table[table["split"] == "test"].drop(columns="split")
    baskets = train[["user_id", "movie_id"]]

    def pretrain() -> CategoryVectors:
        pretrainer = EmbeddingPretrainer(
            sequence="user_id", item="movie_id", embedding_dim=WIDTH, random_state=0
        )
        return pretrainer.fit(baskets).vectors_

    features = ["user_id", "movie_id", "gender", "age", "occupation"]
    return Task("movielens_1m", "log loss", features, train, _some(test), "like", pretrain)


def rossmann(folder: Path) -> Task:
    """Sales of shops; the vectors are of a model of how many customers came."""
    table = pd.read_parquet(folder / "rossmann.parquet")
    table = table[table["Sales"] > 0].sort_values(["Date", "Store"])
    date = pd.to_datetime(table["Date"])
    table = table.assign(Month=date.dt.month, Day=date.dt.day, Sales=np.log(table["Sales"]))
    late = (date > date.max() - pd.Timedelta(weeks=6)).to_numpy()
    features = ["Store", "DayOfWeek", "Promo", "StateHoliday", "SchoolHoliday", "Month", "Day"]
    train = table[~late]

    def pretrain() -> CategoryVectors:
        rows = train.sample(100_000, random_state=0)
        model = EmbeddingRegressor(columns=features[:-1], random_state=0, **FIT)
        model.fit(rows[features], np.log1p(rows["Customers"]))
        return CategoryVectors([model.vectors_["Store"]])

    kept = [*features, "Sales"]
    test = _some(table.loc[late, kept])
    return Task("rossmann", "RMSE of log", features[:-1], train[kept], test, "Sales", pretrain)


def generated(metric: str, n_rows: int = 600) -> Task:
    """Items whose hidden properties decide, in one way before and in another one now."""
    rng = np.random.default_rng(0)
    hidden, item = rng.normal(size=(40, 3)), rng.integers(40, size=3 * n_rows)
    number = rng.normal(size=len(item))
    before = hidden[item, 0] + hidden[item, 1] * number
    now = np.tanh(hidden[item, 0] * number) + hidden[item, 1]
    table = pd.DataFrame({"item": item, "number": number, "y": now})
    if metric == "log loss":
        table["y"] = (table["y"] > 0).astype(int)

    def pretrain() -> CategoryVectors:
        model = EmbeddingRegressor(columns=["item"], random_state=0, **FIT)
        return model.fit(table[["item", "number"]], before).vectors_

    name = "generated, classes" if metric == "log loss" else "generated"
    return Task(name, metric, ["item"], table[:n_rows], table[n_rows:], "y", pretrain)


def _some(test: pd.DataFrame) -> pd.DataFrame:
    return test.sample(min(TESTED, len(test)), random_state=0)


# --- measuring and telling ------------------------------------------------------------


def measure(
    tasks: Sequence[Task], records: Records, shares: Sequence[float], keep: Callable[[], None]
) -> None:
    """Every score that is not there yet, a seed of all tasks at a time."""
    for seed in SEEDS:
        for task in tasks:
            for share in shares:
                for mode, freeze in MODES.items():
                    key = f"{task.name}/{share:g}/{seed}/{mode}"
                    if key not in records:
                        started = time.process_time()
                        records[key] = task.score(share, seed, freeze)
                        took = time.process_time() - started
                        print(f"{key}: {records[key]:.4f} ({took:.1f} s)", flush=True)
                        keep()


def scores_of(records: Records, task: str, share: float, mode: str) -> np.ndarray:
    """Losses by seed, of seeds that are complete."""
    seeds = [s for s in SEEDS if all(f"{task}/{share:g}/{s}/{m}" in records for m in MODES)]
    return np.array([records[f"{task}/{share:g}/{s}/{mode}"] for s in seeds])


def report(found: dict[str, Any]) -> list[Table]:
    """A table by task: scores, changes, and what is asked for."""
    tables = []
    for task, metric in found["metrics"].items():
        rows, notes = [], []
        for share in found["shares"]:
            scratch = scores_of(found["scores"], task, share, "scratch")
            row = [f"{share:.1%}", f"{round(share * found['labelled'][task]):,}", str(len(scratch))]
            if not len(scratch):
                continue
            row.append(f"{scratch.mean():.4f} ± {scratch.std():.4f}")
            for mode in list(MODES)[1:]:
                losses = scores_of(found["scores"], task, share, mode)
                change = losses.mean() / scratch.mean() - 1
                p = _p_value(losses - scratch)
                row.append(f"{losses.mean():.4f} ({change:+.2%}, p {p:.3f})")
                notes += _verdict(share, mode, change, p)
            rows.append(row)
        header = ["labelled", "rows", "seeds", "from scratch", *list(MODES)[1:]]
        notes.append("p: of a gain by chance, paired over the seeds; ± standard deviation")
        tables.append(Table(f"{task}, {metric} (lower is better)", header, rows, notes))
    return tables


def _p_value(differences: np.ndarray) -> float:
    if len(differences) < 2 or not np.ptp(differences):
        return 1.0
    return float(stats.ttest_1samp(differences, 0.0, alternative="less").pvalue)


def _verdict(share: float, mode: str, change: float, p: float) -> list[str]:
    """What issue 6 asks for and is not reached."""
    if share <= FEW and p >= 0.05:
        return [f"not reached: {mode} at {share:.1%} gains nothing that is significant"]
    if share == 1 and change > MOST_LOSS:
        return [f"not reached: {mode} at 100% loses {change:.2%}, more than {MOST_LOSS:.1%}"]
    return []


def draw(found: dict[str, Any], path: Path) -> None:
    """Curves of the losses over the labelled rows."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found["metrics"]), figsize=(10, 4), layout="constrained")
    for axis, (task, metric) in zip(np.atleast_1d(axes), found["metrics"].items(), strict=True):
        for mode in MODES:
            means, rows = [], []
            for share in found["shares"]:
                losses = scores_of(found["scores"], task, share, mode)
                if len(losses):
                    means.append(losses.mean())
                    rows.append(share * found["labelled"][task])
            style = "--" if mode == "scratch" else "-"
            label = "from scratch" if mode == "scratch" else mode
            axis.plot(rows, means, style, marker="o", markersize=3, label=label)
        axis.set(title=task, xlabel="labelled rows", ylabel=f"{metric}, test rows", xscale="log")
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the tables")
    parser.add_argument("--json", type=Path, help="file of scores, to be added to")
    parser.add_argument("--report", type=Path, help="only show such a file")
    parser.add_argument("--markdown", type=Path, help="write the tables as Markdown, too")
    parser.add_argument("--picture", type=Path, help="draw the curves")
    parser.add_argument("--quick", action="store_true", help="generated tables, few rows")
    options = parser.parse_args()
    if options.report is not None:
        found = json.loads(options.report.read_text(encoding="utf-8"))
    elif options.quick or options.data is not None:
        found = _measured(options)
    else:
        parser.error("give --data FOLDER, --quick or --report FILE")
    tables = report(found)
    show(tables)
    if options.markdown is not None:
        write_markdown(tables, options.markdown)
    if options.picture is not None:
        draw(found, options.picture)


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    if options.quick:
        FIT.update(n_epochs=2, n_networks=1, shrinkage=1.0, pairs=None, interactions="concatenate")
        tasks, shares = [generated("log loss"), generated("RMSE")], [0.1]
        del SEEDS[2:]
    else:
        tasks, shares = [movielens(options.data), rossmann(options.data)], SHARES
    found: dict[str, Any] = {"scores": {}}
    if options.json is not None and options.json.exists():
        found = json.loads(options.json.read_text(encoding="utf-8"))
    found |= {
        "commit": commit(),
        "code": state_of_code(),
        "python": platform.python_version(),
        "versions": {n: importlib.metadata.version(n) for n in ("numpy", "numba", "scikit-learn")},
        "seeds": SEEDS,
        "shares": shares,
        "fit": FIT,
        "metrics": {task.name: task.metric for task in tasks},
        "labelled": {task.name: task.n_labelled for task in tasks},
    }

    def keep() -> None:
        if options.json is not None:
            text = json.dumps(found, indent=1)
            options.json.write_text(text + "\n", encoding="utf-8")

    measure(tasks, found["scores"], shares, keep)
    keep()
    return found


if __name__ == "__main__":
    main()
