"""What do fewer bytes cost? Compressed tables beside full ones, truncation and FeatureHasher.

On three tasks of `suite/suite.py` in the folder given by `--data`, and on a generated table with a
column of 10 million categories. The full model chooses shrinkage, products and widths; all others
take them over, so that what differs is the tables. Models have no pairs, whose tables would be most
of the bytes. Bytes are those of networks, vectors, effects, counts and categories.

The loss of a model is its distance from the full one over the distance of a constant prediction
from the full one. Every fit is filed in the results file as soon as it is done, and skipped when it
is there.

    python benchmarks/compression.py --data ../shared               # validation rows: develop here
    python benchmarks/compression.py --data ../shared --test        # test rows, once
    python benchmarks/compression.py --task generated --test        # 10 million categories
    python benchmarks/compression.py --test --report                # no fits, only the table
    python benchmarks/compression.py --quick                        # does it run?
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from _state import commit
from _tables import Table, show
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import log_loss, mean_poisson_deviance, mean_squared_error, roc_auc_score

import catvec
from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingRegressor
from catvec.estimators._memory import model_bytes

RESULTS = Path(__file__).parent / "results" / "compression.json"
TASKS = ("movielens_1m", "amazon_access", "cas_pg17", "generated")
FRACTIONS = (0.3, 0.1)
N_CATEGORIES, N_ROWS = 10_000_000, 14_000_000  # generated
GENERATED_BY_DEFAULT = {"generated_rows": N_ROWS, "generated_categories": N_CATEGORIES}
QUICK_ROWS, QUICK_CATEGORIES = 3_000, 2_000
GENERATED = ("full", "constant", "memory_budget", "most frequent only", "FeatureHasher")
WIDEST = 100  # categories from which a column is compressed by hand
HASHED_ROWS = 400_000  # that the rival of generated rows learns from: it holds a matrix


@dataclass
class Case:
    """Rows to fit and to score."""

    name: str
    kind: str  # "regression", "binary" or "poisson"
    columns: list[str]
    X: pd.DataFrame
    y: np.ndarray
    X_new: pd.DataFrame
    y_new: np.ndarray
    settings: dict[str, Any]

    def score(self, prediction: np.ndarray) -> float:
        """The lower the better."""
        return float(METRICS[self.name][1](self.y_new, prediction))


METRICS: dict[str, tuple[str, Callable[..., float]]] = {
    "movielens_1m": ("1 - AUC", lambda y, p: 1 - roc_auc_score(y, p)),
    "amazon_access": ("LogLoss", log_loss),
    "cas_pg17": ("Poisson deviance", mean_poisson_deviance),
    "generated": ("mean squared error", mean_squared_error),
}


# --- rows -------------------------------------------------------------------------------


def load_case(name: str, options: argparse.Namespace) -> Case:
    """A task; with `--test` its own test rows, else rows cut from its training rows."""
    if name == "generated" or options.data is None:
        return generated(name, options)
    suite = load_suite(options.data)
    task = suite.load(name)
    split = task.splits[0]
    train, new = split.train, split.test
    if not options.test:
        train, new = task.fit_valid(split)
    settings: dict[str, Any] = {"n_networks": 2 if len(train) > 100_000 else 4}
    if name == "cas_pg17":  # whose tables of numbers would else be a tenth of the bytes
        settings |= {"n_knots": 16, "hidden_sizes": (32,)}
    return Case(
        name,
        task.kind,
        task.categorical,
        task.X.iloc[train],
        task.y[train],
        task.X.iloc[new],
        task.y[new],
        settings,
    )


def load_suite(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("suite", folder / "suite" / "suite.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["suite"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def generated(name: str, options: argparse.Namespace) -> Case:
    """A column of very many categories, each seen once and then by Zipf's law, and a small one."""
    n, k = options.rows, options.categories
    rng = np.random.default_rng(0)
    often = (k * rng.random(n - k) ** 4).astype(np.int64)
    user = rng.permutation(np.concatenate([np.arange(k), often]))
    shop = rng.integers(0, 1000, n)
    of_user, of_shop = rng.normal(size=k), rng.normal(size=1000)
    y = of_user[user] + of_shop[shop] + 0.5 * rng.normal(size=n)
    kind = "regression"
    if METRICS[name][0] != "mean squared error":
        kind = "poisson" if "Poisson" in METRICS[name][0] else "binary"
        y = (y > 0).astype(np.int64)
    X = pd.DataFrame({"user": user * 7919 + 13, "shop": shop})
    cut = n - n // 20
    settings: dict[str, Any] = {
        "n_networks": 1,
        "embedding_dim": 4,
        "shrinkage": 3.0,
        "interactions": "concatenate",
        "n_epochs": 1,
        "batch_size": 4096,
        "hidden_sizes": (16,),
        "validation_fraction": 0.0,
    }
    columns = ["user", "shop"]
    if options.quick:
        settings |= {"batch_size": 64, "n_epochs": 3}
    return Case(name, kind, columns, X[:cut], y[:cut], X[cut:], y[cut:], settings)


# --- models -----------------------------------------------------------------------------


def estimator(case: Case, seed: int, **more: Any) -> Any:
    """Ours, without pairs."""
    kind = EmbeddingClassifier if case.kind == "binary" else EmbeddingRegressor
    loss = {"loss": "poisson"} if case.kind == "poisson" else {}
    settings = {"pairs": None, **loss, **case.settings, **more}
    return kind(columns=case.columns, random_state=seed, **settings)


def predicted(case: Case, model: Any) -> np.ndarray:
    if case.kind == "binary":
        return model.predict_proba(case.X_new)[:, 1]
    return model.predict(case.X_new)


def like(full: dict[str, Any]) -> dict[str, Any]:
    """What the full model chose."""
    return {
        "embedding_dim": full["dims"],
        "shrinkage": full["shrinkage"],
        "interactions": full["interactions"],
    }


def truncated(case: Case, n_bytes: int, full: dict[str, Any], seed: int) -> Any:
    """Only the most frequent categories of all columns, so many that the bytes suffice."""
    counts = np.sort(np.concatenate([case.X[c].value_counts().to_numpy() for c in case.columns]))
    share = (n_bytes - full["fixed"]) / max(full["bytes"] - full["fixed"], 1)
    place = min(max(int(len(counts) * (1 - share)), 0), len(counts) - 1)
    return estimator(case, seed, min_frequency=int(counts[place]) + 1, **like(full))


def by_hand(case: Case, n_bytes: int, full: dict[str, Any], seed: int, **table: Any) -> Any:
    """Wide columns all with tables of one kind, smaller by one factor."""
    share = (n_bytes - full["fixed"]) / max(full["bytes"] - full["fixed"], 1)
    tables = {}
    for column in case.columns:
        n = case.X[column].nunique()
        if n >= WIDEST:
            size = {"n_buckets": max(1, int(n * share))} if table["kind"] == "hashed" else {}
            tables[column] = {**table, **size}
    return estimator(case, seed, tables=tables, **like(full))


def budgeted(case: Case, n_bytes: int, full: dict[str, Any], seed: int) -> Any:
    return estimator(case, seed, memory_budget=n_bytes, **like(full))


def feature_hasher(case: Case, n_bytes: int, seed: int) -> tuple[np.ndarray, int]:
    """Predictions of a linear model on hashed features, and the bytes of its weights."""
    n_features = 2 ** max(4, int(np.log2(n_bytes / 8)))
    hasher = FeatureHasher(n_features, input_type="string")
    rows = np.arange(len(case.X))
    if len(rows) > HASHED_ROWS * 4:
        rows = np.random.default_rng(seed).choice(rows, HASHED_ROWS * 4, replace=False)

    def hashed(X: pd.DataFrame) -> Any:
        parts = [(c + "=" + X[c].astype(str)).to_numpy() for c in case.columns]
        return hasher.transform(zip(*parts, strict=True))

    model: Any = {
        "binary": LogisticRegression(max_iter=200),
        "poisson": PoissonRegressor(alpha=1e-4, max_iter=300),
        "regression": Ridge(alpha=1.0, solver="sparse_cg"),
    }[case.kind]
    model.fit(hashed(case.X.iloc[rows]), case.y[rows])
    new = hashed(case.X_new)
    binary = case.kind == "binary"
    return (model.predict_proba(new)[:, 1] if binary else model.predict(new)), n_features * 8


MODELS: dict[str, Callable[..., Any]] = {
    "memory_budget": budgeted,
    "hashed twice": lambda *a: by_hand(*a, kind="hashed", n_hashes=2),
    "most frequent only": truncated,
}


# --- fits -------------------------------------------------------------------------------


def run_task(name: str, options: argparse.Namespace, file: Results) -> None:
    names = [("full", 1.0), ("constant", 0.0)]
    names += [(model, f) for f in options.fractions for model in (*MODELS, "FeatureHasher")]
    names += [(f"{c} of two rows", 0.0) for c in ("sum", "product")]
    if name == "generated" and not options.quick:  # minutes each: only what the question needs
        names = [n for n in names if n[0] in GENERATED and n[1] != FRACTIONS[0]]
    chosen = options.model or [model for model, _ in names]
    todo = [n for n in names if n[0] in chosen and not file.has(name, *n)]
    if not todo:
        return
    case = load_case(name, options)
    for model, fraction in todo:
        started, cpu = time.perf_counter(), time.process_time()
        record = run_model(case, model, fraction, file, options)
        record["seconds"] = round(time.perf_counter() - started, 2)
        record["cpu_seconds"] = round(time.process_time() - cpu, 2)
        file.add(name, {"model": model, "fraction": fraction, **record})
        print(name, model, fraction, record, flush=True)


def run_model(
    case: Case, model: str, fraction: float, file: Results, options: argparse.Namespace
) -> dict[str, Any]:
    if model == "constant":
        constant = np.full(len(case.y_new), float(np.mean(case.y)))
        return {"score": case.score(constant), "bytes": 8}
    if model == "full":
        fitted = estimator(case, options.seed).fit(case.X, case.y)
        return {**told(case, fitted), **chosen(fitted), **stored(fitted, case)}
    full = file.of(case.name, "full", 1.0)
    n_bytes = int(full["bytes"] * fraction)
    if model == "FeatureHasher":
        prediction, size = feature_hasher(case, n_bytes, options.seed)
        return {"score": case.score(prediction), "bytes": size}
    if model.endswith("of two rows"):
        combine = model.split()[0]
        made = by_hand(case, 0, full, options.seed, kind="compositional", combine=combine)
    else:
        made = MODELS[model](case, n_bytes, full, options.seed)
    fitted = made.fit(case.X, case.y)
    saved = stored(fitted, case) if model == "memory_budget" else {}
    return {**told(case, fitted), "network_bytes": network_bytes(fitted), **saved}


def told(case: Case, fitted: Any) -> dict[str, Any]:
    return {"score": case.score(predicted(case, fitted)), "bytes": model_bytes(fitted)}


def network_bytes(fitted: Any) -> int:
    return sum(a.nbytes for network in fitted.networks_ for a in network.state().values())


def chosen(fitted: Any) -> dict[str, Any]:
    """What others take over, and the bytes that no table has a part in."""
    choice, names = fitted.choice_, list(fitted.vectors_)
    tables = sum(
        array.nbytes
        for network in fitted.networks_
        for name, array in network.state().items()
        if name.startswith("table_")
    )
    return {
        "dims": dict(zip(names, choice.dims, strict=True)),
        "shrinkage": choice.shrinkage[0],
        "interactions": choice.interactions,
        "network_bytes": network_bytes(fitted),
        "fixed": network_bytes(fitted) - tables,
    }


def stored(fitted: Any, case: Case) -> dict[str, Any]:
    """Seconds to save, load and find neighbours; bytes on disk."""
    folder = Path(tempfile.mkdtemp())
    seconds = {}

    def timed(what: str, function: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = function()
        seconds[what] = round(time.perf_counter() - started, 3)
        return result

    try:
        timed("save", lambda: fitted.save(folder / "model"))
        size = sum(path.stat().st_size for path in (folder / "model").iterdir())
        vectors = timed("load the vectors", lambda: CategoryVectors.load(folder / "model"))
        timed("load the model", lambda: type(fitted).load(folder / "model"))
        column = vectors[case.columns[0]]
        category = column.categories[0]
        timed("ten neighbours", lambda: column.most_similar(category))
    finally:
        shutil.rmtree(folder)
    return {
        "disk_bytes": size,
        "steps": seconds,
        "categories": sum(len(vectors[c]) for c in vectors),
    }


# --- results ----------------------------------------------------------------------------


class Results:
    """A JSON file: what was measured, and by which code.

    Parameters
    ----------
    path : Path or None
        The file; None to keep nothing.
    mode : str
        Which rows were scored.
    generated : dict
        What the generated table was made with.
    """

    def __init__(self, path: Path | None, mode: str, generated: dict[str, int]) -> None:
        self.path, self.mode, self.generated = path, mode, generated
        kept = path is not None and path.exists()
        self.content = json.loads(path.read_text("utf-8")) if kept else {"fits": []}

    def key(self, task: str) -> dict[str, Any]:
        """What tells the rows of a fit."""
        made = self.generated if task == "generated" else {}
        return {"mode": self.mode, "task": task, **made}

    def fits(self, task: str) -> list[dict[str, Any]]:
        """Those on these rows; older ones do not say how the table was made: as by default."""
        key = self.key(task).items()
        return [r for r in self.content["fits"] if {**GENERATED_BY_DEFAULT, **r}.items() >= key]

    def of(self, task: str, model: str, fraction: float) -> dict[str, Any]:
        mine = self.fits(task)
        (found,) = [r for r in mine if (r["model"], r["fraction"]) == (model, fraction)]
        return found

    def has(self, *key: Any) -> bool:
        try:
            self.of(*key)
        except ValueError:
            return False
        return True

    def add(self, task: str, record: dict[str, Any]) -> None:
        about = {"catvec": catvec.__version__, "commit": commit(), "numpy": np.__version__}
        about |= {"scikit-learn": sklearn.__version__, "seed": 0}
        self.content["fits"].append({**self.key(task), **record, "about": about})
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.content, indent=1), encoding="utf-8")
        os.replace(temporary, self.path)


def report(tasks: list[str], file: Results) -> list[Table]:
    tables = []
    for task in tasks:
        if not (file.has(task, "full", 1.0) and file.has(task, "constant", 0.0)):
            continue
        full, constant = file.of(task, "full", 1.0), file.of(task, "constant", 0.0)
        span = constant["score"] - full["score"]
        rows = [
            [
                f"{r['model']}" + (f", {r['fraction']:g}" if 0 < r["fraction"] < 1 else ""),
                f"{r['bytes'] / 1e6:,.3f}",
                f"{r['score']:.5f}",
                f"{100 * (r['score'] - full['score']) / span:.1f}%",
                f"{r['seconds']:.0f}",
            ]
            for r in sorted(file.fits(task), key=lambda r: -r["bytes"])
        ]
        header = ["model", "MB", METRICS[task][0], "loss of quality", "seconds"]
        tables.append(Table(task, header, rows))
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with suite/suite.py and data")
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--model", action="append", help="fit only these; all by default")
    parser.add_argument("--test", action="store_true", help="the test rows; else rows cut off")
    parser.add_argument("--rows", type=int, default=N_ROWS, help="of the generated table")
    parser.add_argument("--categories", type=int, default=N_CATEGORIES)
    parser.add_argument("--fractions", type=float, nargs="+", default=list(FRACTIONS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where fits are filed; by default in results/")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rows; filed nowhere by default")
    options = parser.parse_args()
    tasks = options.task or list(TASKS)
    if options.data is None and not options.quick:
        tasks = [task for task in tasks if task == "generated"]
    if options.quick:
        tasks, options.fractions = ["generated"], [0.1]
        options.rows, options.categories = QUICK_ROWS, QUICK_CATEGORIES
    path = options.json or (None if options.quick else RESULTS)
    made = {"generated_rows": options.rows, "generated_categories": options.categories}
    file = Results(path, "test" if options.test else "validation", made)
    if not options.report:
        for task in tasks:
            run_task(task, options, file)
    show(report(tasks, file))


if __name__ == "__main__":
    main()
