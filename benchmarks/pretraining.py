"""Vectors of items from sequences: catvec beside gensim's skip-gram, on baskets and on clicks.

For each test session one item is held out (the last click of a session; a random item of a basket)
and all items known are ranked by cosine to the mean of the unit vectors of the others, which are
left out of the ranking themselves. An item that a side has no vector for is a miss; of ties the
last rank counts. Hit rate at 20
and MRR (reciprocal ranks beyond 20 count 0), over at most 10,000 test sessions. All sides in one
process on one thread; CPU seconds are those of training from sequences in memory to vectors.

seq_tafeng, seq_diginetica   ordered sessions; their column `split` says which are for testing
online_retail                invoices as baskets; for testing the last 20% by date

Everything that is chosen is chosen on the last 10% of the training sessions, one thing at a time:
gensim's window, exponent of the negatives and epochs, by hit rate. catvec runs with its defaults,
which choose on training sessions within `fit`, in the time that is told; how these do on validation
sessions beside others is in the results.

    python benchmarks/pretraining.py --data FOLDER --json pretraining.json    # about an hour
    python benchmarks/pretraining.py --quick                                  # does it run?
    python benchmarks/pretraining.py --report pretraining.json                # only the tables

With --json each score is written as soon as it is there, and not measured again.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gensim
import numpy as np
import pyarrow.parquet as pq
from _state import commit, state_of_code
from threadpoolctl import threadpool_limits

from catvec import EmbeddingPretrainer

SEEDS = [0, 1, 2]
DATA = ["seq_tafeng", "seq_diginetica", "online_retail"]
DIM = 100  # gensim's default
TESTED, CHOSEN_ON = 10_000, 5_000  # sessions
TOP = 20

GENSIM_DEFAULTS: dict[str, Any] = {"window": 5, "ns_exponent": 0.75, "min_count": 5, "epochs": 5}
GENSIM_CHOICES: list[tuple[str, list[Any]]] = [
    ("window", [10, 20, 40]),
    ("ns_exponent", [0.0, 0.5, 1.0]),
    ("epochs", [15, 30]),
]
GENSIM_ALSO: dict[str, list[dict[str, Any]]] = {  # windows as long as a basket need more epochs
    "online_retail": [{"window": 20, "epochs": 15}, {"window": 20, "epochs": 30}],
}
OURS_BESIDE: list[dict[str, Any]] = [
    {},
    {"smoothing": 1.0},
    {"shift": 1.0, "eigenvalue_exponent": 0.25, "power_iterations": 3},
]
SKIPGRAM_BESIDE: list[dict[str, Any]] = [
    {"learning_rate": 0.025, "max_epochs": 20, "n_iter_no_change": 2},
    {"add_contexts": False},
    {},
]
SAME_SETTINGS: dict[str, Any] = {  # those of gensim's defaults
    "method": "skipgram", "window": 5, "smoothing": 0.75, "min_frequency": 5, "max_epochs": 5,
    "subsample": 1e-3, "learning_rate": 0.025, "n_negatives": 5, "validation_fraction": 0.0,
    "engine": "numba", "order": True,
}  # fmt: skip
SIDES = ["gensim, defaults", "gensim, tuned", "cooccurrence", "skipgram, same settings"]
SIDES += ["skipgram, same settings, no contexts added"]

Sessions = list[np.ndarray]
Fitted = tuple[np.ndarray, np.ndarray, float]  # vectors (items, D), which are known, CPU seconds


@dataclass
class Task:
    """Sessions of items 0, 1, ... for training and for testing."""

    name: str
    train: Sessions
    test: Sessions
    ordered: bool
    n_items: int = field(init=False)

    def __post_init__(self) -> None:
        self.n_items = 1 + int(max(session.max() for session in [*self.train, *self.test]))

    def validation(self) -> Task:
        """The same with the last tenth of the training sessions in place of the test sessions."""
        cut = int(len(self.train) * 0.9)
        return Task(self.name, self.train[:cut], self.train[cut:], self.ordered)


# --- the data ---------------------------------------------------------------------------


def read_task(folder: Path, name: str) -> Task:
    """A task of the three, from its Parquet file."""
    table = pq.read_table(folder / f"{name}.parquet")
    if name == "online_retail":
        invoices, number = np.unique(table["InvoiceNo"].to_numpy(), return_inverse=True)
        codes = np.unique(table["StockCode"].to_numpy(), return_inverse=True)[1]
        dates = table["InvoiceDate"].to_numpy().astype("datetime64[us]").astype(np.int64)
        first = np.full(len(invoices), np.iinfo(np.int64).max)
        np.minimum.at(first, number, dates)
        baskets = [_distinct(basket) for basket in _sessions(number, codes)]
        in_time = [baskets[i] for i in np.argsort(first, kind="stable")]
        cut = int(len(in_time) * 0.8)
        return Task(name, in_time[:cut], in_time[cut:], ordered=False)
    session, position = table["session"].to_numpy(), table["pos"].to_numpy()
    order = np.lexsort([position, session])
    sessions = _sessions(session[order], table["item"].to_numpy()[order])
    starts = np.unique(session[order], return_index=True)[1]
    is_test = table["split"].to_numpy()[order][starts] == "test"
    train, test = ([s for s, t in zip(sessions, is_test, strict=True) if t == k] for k in (0, 1))
    return Task(name, train, test, ordered=True)


def _sessions(session: np.ndarray, items: np.ndarray) -> Sessions:
    order = np.argsort(session, kind="stable")
    starts = np.unique(session[order], return_index=True)[1]
    return np.split(items[order], starts[1:])


def _distinct(basket: np.ndarray) -> np.ndarray:
    """The items of a basket once, in the order of its lines, which skip-gram may use."""
    return basket[np.sort(np.unique(basket, return_index=True)[1])]


def small_task(name: str) -> Task:
    """A few hundred sessions of planted clusters, for --quick."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 8, 600)
    sessions = [20 * g + rng.integers(0, 20, rng.integers(2, 9)) for g in groups]
    return Task(name, sessions[:450], sessions[450:], ordered=name != "online_retail")


# --- both sides -------------------------------------------------------------------------


def by_gensim(task: Task, seed: int, settings: dict[str, Any]) -> Fitted:
    """gensim's skip-gram with negative sampling on one thread."""
    sentences = [[str(item) for item in session] for session in task.train]
    start = time.process_time()
    model = gensim.models.Word2Vec(
        sentences, sg=1, vector_size=DIM, workers=1, seed=seed + 1, **settings
    )
    took = time.process_time() - start
    items = np.array([int(key) for key in model.wv.index_to_key])
    return *_table(task, items, model.wv.vectors), took


def by_catvec(task: Task, seed: int, settings: dict[str, Any]) -> Fitted:
    """The public `fit`, from a frame of events."""
    lengths = [len(session) for session in task.train]
    frame = {
        "session": np.repeat(np.arange(len(lengths)), lengths),
        "item": np.concatenate(task.train),
    }
    start = time.process_time()
    pretrainer = EmbeddingPretrainer(
        sequence="session",
        item="item",
        embedding_dim=DIM,
        random_state=seed,
        **{"order": True if task.ordered else None, **settings},
    ).fit(frame)
    took = time.process_time() - start
    column = pretrainer.vectors_["item"]
    learned = (column.vectors != column.unknown.vector).any(axis=1)  # others have no vector
    return *_table(task, column.categories[learned], column.vectors[learned]), took


def _table(task: Task, items: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    table = np.zeros((task.n_items, vectors.shape[1]), np.float32)
    table[items] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    known = np.zeros(task.n_items, bool)
    known[items] = True
    return table, known


# --- the score --------------------------------------------------------------------------


def score(task: Task, fitted: Fitted, most: int) -> dict[str, float]:
    """Hit rate at 20 and MRR on the test sessions, and the CPU seconds of the training."""
    unit, known, took = fitted
    rng = np.random.default_rng(0)  # the same sessions and held-out items for every side
    sessions = [session for session in task.test if len(session) > 1]
    chosen = rng.permutation(len(sessions))[:most]
    ranks = np.concatenate(
        [_ranks(task, [sessions[i] for i in part], unit, known, rng) for part in _blocks(chosen)]
    )
    hits = ranks <= TOP
    mrr = np.where(hits, 1 / ranks, 0).mean()
    return {"hit_rate": float(hits.mean()), "mrr": float(mrr), "cpu_seconds": took}


def _blocks(chosen: np.ndarray) -> list[np.ndarray]:
    return np.array_split(chosen, max(1, len(chosen) // 500))


def _ranks(
    task: Task, sessions: Sessions, unit: np.ndarray, known: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The rank of each held-out item; infinite where it is not known, or among the others."""
    places = [len(s) - 1 if task.ordered else int(rng.integers(len(s))) for s in sessions]
    others = [np.delete(s, place) for s, place in zip(sessions, places, strict=True)]
    held_out = np.array([s[place] for s, place in zip(sessions, places, strict=True)])
    cosines = np.stack([unit[o].sum(axis=0) for o in others]) @ unit.T
    cosines[:, ~known] = -np.inf
    for row, items in enumerate(others):
        cosines[row, items] = -np.inf
    wanted = cosines[np.arange(len(sessions)), held_out]
    ranks = (cosines >= wanted[:, None]).sum(axis=1)  # of equals the last: others unknown all tie
    return np.where(np.isfinite(wanted), ranks, np.inf)


# --- the run ----------------------------------------------------------------------------


class Records:
    """Scores by what was measured; written after each, found again when started anew."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.content: dict[str, Any] = {"scores": {}, "tuned": {}}
        if path is not None and path.exists():
            self.content = json.loads(path.read_text(encoding="utf-8"))

    def get(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The score called `key`, measured unless it is there."""
        if key not in self.content["scores"]:
            self.content["scores"][key] = measure()
            self.save()
            print(key, _shown(self.content["scores"][key]), flush=True)
        return self.content["scores"][key]

    def save(self) -> None:
        """Write all there is, and on what it was measured."""
        self.content |= {
            "commit": commit(),
            "state": state_of_code(),
            "seeds": SEEDS,
            "versions": {"gensim": gensim.__version__, "numpy": np.__version__},
            "python": platform.python_version(),
        }
        if self.path is not None:
            self.path.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")


def _shown(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in found.items())


def tune_gensim(task: Task, records: Records, most: int) -> dict[str, Any]:
    """Settings that are best on validation sessions of those tried, one thing at a time."""
    valid = task.validation()

    def rate(settings: dict[str, Any]) -> float:
        key = f"{task.name} | validation | gensim {json.dumps(settings)}"
        measure = lambda: score(valid, by_gensim(valid, 0, settings), most)  # noqa: E731
        return records.get(key, measure)["hit_rate"]

    best = dict(GENSIM_DEFAULTS)
    for name, values in GENSIM_CHOICES:
        best = max([best, *({**best, name: value} for value in values)], key=rate)
    also = [{**GENSIM_DEFAULTS, **settings} for settings in GENSIM_ALSO.get(task.name, [])]
    best = max([best, *also], key=rate)
    records.content["tuned"][task.name] = best
    return best


def run(task: Task, records: Records, seeds: Sequence[int], tested: int, chosen_on: int) -> None:
    """Choose on validation sessions, then score all sides on the test sessions."""
    valid = task.validation()
    for change in OURS_BESIDE:
        key = f"{task.name} | validation | cooccurrence {json.dumps(change)}"
        records.get(key, lambda c=change: score(valid, by_catvec(valid, 0, c), chosen_on))
    for change in SKIPGRAM_BESIDE:
        settings = {"method": "skipgram", "engine": "numba", **change}
        key = f"{task.name} | validation | skipgram {json.dumps(change)}"
        records.get(key, lambda c=settings: score(valid, by_catvec(valid, 0, c), chosen_on))
    tuned = tune_gensim(task, records, chosen_on)
    for seed in seeds:
        sides: dict[str, Callable[[], Fitted]] = {
            "cooccurrence": lambda s=seed: by_catvec(task, s, {}),
            "gensim, defaults": lambda s=seed: by_gensim(task, s, GENSIM_DEFAULTS),
            "skipgram, same settings": lambda s=seed: by_catvec(task, s, SAME_SETTINGS),
            "skipgram, same settings, no contexts added": lambda s=seed: by_catvec(
                task, s, {**SAME_SETTINGS, "add_contexts": False}
            ),
            "gensim, tuned": lambda s=seed: by_gensim(task, s, tuned),
        }
        for side, fit in sides.items():
            key = f"{task.name} | test | {side} | seed {seed}"
            records.get(key, lambda f=fit: score(task, f(), tested))


def report(records: Records, names: Sequence[str]) -> str:
    """The results as tables in Markdown."""
    lines = [
        "| | side | hit rate at 20 | MRR | CPU seconds |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name in names:
        for side in SIDES:
            found = [
                value
                for key, value in records.content["scores"].items()
                if key.startswith(f"{name} | test | {side} |")
            ]
            if found:
                lines.append(_line(name, side, found))
    return "\n".join([*lines, "", *_verdicts(records, names)])


def _line(name: str, side: str, found: list[dict[str, float]]) -> str:
    cells = []
    for what, digits in (("hit_rate", 4), ("mrr", 4), ("cpu_seconds", 1)):
        values = [each[what] for each in found]
        spread = f" ± {np.std(values):.{digits}f}" if len(values) > 1 and digits == 4 else ""
        cells.append(f"{np.mean(values):.{digits}f}{spread}")
    return f"| {name} | {side} | {' | '.join(cells)} |"


def _verdicts(records: Records, names: Sequence[str]) -> list[str]:
    """What the bars ask, data set by data set."""
    lines = []
    for name in names:
        mean = {
            (side, what): np.mean([
                value[what]
                for key, value in records.content["scores"].items()
                if key.startswith(f"{name} | test | {side} |")
            ])
            for side in SIDES
            for what in ("hit_rate", "mrr", "cpu_seconds")
        }  # fmt: skip
        for what in ("hit_rate", "mrr"):
            ours, theirs = mean["cooccurrence", what], mean["gensim, defaults", what]
            tuned = ours / mean["gensim, tuned", what]
            same, alone = (mean[side, what] / theirs for side in SIDES[-2:])
            lines.append(
                f"- {name}, {what}: cooccurrence / gensim at its defaults {ours / theirs:.2f},"
                f" / gensim tuned {tuned:.2f}; skipgram / gensim at the same settings {same:.2f}"
                f" ({alone:.2f} without contexts added)"
            )
        share = mean["cooccurrence", "cpu_seconds"] / mean["gensim, defaults", "cpu_seconds"]
        lines.append(f"- {name}, CPU seconds: cooccurrence / gensim at its defaults {share:.2f}")
    return lines


def measure(options: argparse.Namespace, records: Records) -> None:
    """All that is not there yet."""
    by_catvec(small_task("warm-up"), 0, {**SAME_SETTINGS, "max_epochs": 1})  # compiles
    for name in options.only:
        task = small_task(name) if options.quick else read_task(options.data, name)
        seeds = SEEDS[:1] if options.quick else SEEDS
        run(task, records, seeds, TESTED, CHOSEN_ON)
    records.save()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the Parquet files")
    parser.add_argument("--only", nargs="*", default=DATA, choices=DATA)
    parser.add_argument("--json", type=Path, help="where to keep the scores")
    parser.add_argument("--report", type=Path, help="only print the tables of such a file")
    parser.add_argument("--quick", action="store_true", help="generated sessions, one seed")
    options = parser.parse_args()
    records = Records(options.report or options.json)
    if options.report is None:
        if options.data is None and not options.quick:
            parser.error("--data FOLDER is needed (or --quick)")
        with threadpool_limits(1):
            measure(options, records)
    print("\n" + report(records, options.only))


if __name__ == "__main__":
    main()
