"""What the fits of `accuracy.py` say: tables, comparisons with their margins, lines of results."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from _models import MODELS, is_ours
from _tables import Table

# The share of the distance from the trivial model that counts as a difference.
SMALL = 0.01
N_TASKS = 14
CATBOOST_SHARE = 1 / 3  # of its seconds, at the median
LONGEST = 300.0  # seconds

# Issue 4: what the predictor must reach on the test rows.
TARGETS = {
    "amazon_access": 0.1400,
    "employee_salaries": 0.920,
    "movielens_100k": 0.905,
    "movielens_1m": 0.770,
    "kick": 0.288,
    "adult": 0.280,
    "open_payments": 0.71,
    "hotel_bookings": 0.885,
    "rossmann_200k": 0.095,
}
# CatBoost, tuned, on the same test rows; github.com/catboost/benchmarks (quality benchmarks).
PUBLISHED = {"amazon_access": 0.13772, "kick": 0.28479}

RESULT_FIELDS = [
    *("commit", "code", "when", "part", "task", "model", "metric", "value", "spread", "seeds"),
    *("splits", "seconds", "threads"),
]


@dataclass(frozen=True, eq=False)
class Score:
    """The main metric of one model on one task: mean over splits and seeds."""

    model: str
    metric: str
    greater: bool
    value: float
    spread: float  # standard deviation over seeds
    resamples: np.ndarray  # the metric on each resample of the rows
    seconds: float
    cpu_seconds: float
    refit_seconds: float  # of the processor
    calibration_error: float
    n_seeds: int
    n_splits: int

    @property
    def all_seconds(self) -> float:
        """Of the processor, until the model has seen all rows."""
        return self.cpu_seconds + self.refit_seconds

    @property
    def took(self) -> str:
        """Processor seconds of the fit, and of the refit where there is one."""
        refit = f" + {self.refit_seconds:.1f}" if self.refit_seconds else ""
        return f"{self.cpu_seconds:.1f}{refit}"

    def gain(self, other: float) -> float:
        """By how much this is better than that value."""
        return self.value - other if self.greater else other - self.value

    def __str__(self) -> str:
        spread = f" ±{digits(self.spread, self.value)}" if self.n_seeds > 1 else ""
        return digits(self.value, self.value) + spread


@dataclass(frozen=True, eq=False)
class Fits:
    """The fits of one mode that are of the code and the versions at hand."""

    table: pd.DataFrame
    resamples: Callable[[tuple[str, ...]], np.ndarray]
    tasks: list[str]

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        resamples: Callable[[tuple[str, ...]], np.ndarray],
        mode: str,
        tasks: list[str],
        state: dict[str, str],
    ) -> Fits:
        wanted = table[(table["mode"] == mode) & table["task"].isin(tasks)]
        wanted = wanted[wanted["model"].map(state) == wanted["code"]]
        found = set(wanted["task"])
        return cls(wanted, resamples, [task for task in tasks if task in found])

    def of_task(self, task: str, part: str = "all", split: int | None = None) -> dict[str, Score]:
        """By model, in the order of `MODELS`; only what has every split that any model has."""
        here = self.table[(self.table["task"] == task) & (self.table["part"] == part)]
        if split is not None:
            here = here[here["split"] == str(split)]
        n_splits = here["split"].nunique()
        scores = {
            model: self._score(model, fits)
            for model, fits in here.groupby("model")
            if fits["split"].nunique() == n_splits
        }
        order = list(MODELS)
        return dict(
            sorted(scores.items(), key=lambda item: order.index(item[0].removesuffix("_without")))
        )

    def _score(self, model: str, fits: pd.DataFrame) -> Score:
        main = fits[fits["is_main"] == 1]
        # A seed counts when it has every split.
        seeds = main.groupby("seed")["split"].nunique()
        main = main[main["seed"].isin(seeds[seeds == seeds.max()].index)]
        resamples = [self.resamples(tuple(key)) for key in main.iloc[:, :7].to_numpy()]
        errors = fits[fits["metric"] == "calibration error"]["value"]
        by_seed = main.groupby("seed")["value"].mean()
        return Score(
            model=model,
            metric=main["metric"].iloc[0],
            greater=bool(main["greater"].iloc[0]),
            value=float(main["value"].mean()),
            spread=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else 0.0,
            resamples=np.mean(resamples, axis=0),
            seconds=float(main["seconds"].mean()),
            cpu_seconds=float(main["cpu_seconds"].mean()),
            refit_seconds=float(main["refit_seconds"].mean()),
            calibration_error=float(errors.mean()),
            n_seeds=len(by_seed),
            n_splits=main["split"].nunique(),
        )


# --- comparing ------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """One of ours against a rival: the gain, and the margin below which it is noise."""

    gain: float
    margin: float

    def verdict(self, allowed: float = 1.0) -> str:
        """In a word, where at most `allowed` margins may be lost."""
        if self.gain > 0:
            return "better" if self.gain > self.margin else "better, within the margin"
        if self.gain >= -allowed * self.margin:
            return "not worse" if allowed == 1 else f"within {allowed:g} margins"
        return "WORSE"


def compare(
    ours: Score, rival: Score, trivial: Score | None, value: float | None = None
) -> Comparison:
    """`value` stands for the rival's own where a better one is published."""
    value = rival.value if value is None else value
    error = float(np.nanstd(ours.resamples - rival.resamples, ddof=1))
    distance = abs(value - trivial.value) if trivial else 0.0
    return Comparison(ours.gain(value), max(SMALL * distance, error))


def best_of(scores: dict[str, Score], models: list[str]) -> Score | None:
    found = [scores[model] for model in models if model in scores]
    found = [score for score in found if np.isfinite(score.value)]
    if not found:
        return None
    return max(found, key=lambda s: s.value if s.greater else -s.value)


def rivals_of(scores: dict[str, Score]) -> list[str]:
    return [model for model in scores if not is_ours(model) and model != "mean"]


# --- the tables -----------------------------------------------------------------------


def tables(fits: Fits) -> list[Table]:
    found = [
        score_table(fits),
        encoder_table(fits),
        predictor_table(fits),
        seconds_table(fits),
        calibration_table(fits),
    ]
    if (fits.table["mode"] == "test").any():
        found.append(target_table(fits))
    return [table for table in found if table.rows]


def score_table(fits: Fits) -> Table:
    """Every model; the best of a task is marked."""
    by_task = {task: fits.of_task(task) for task in fits.tasks}
    models = [m for m in MODELS if any(m in scores for scores in by_task.values())]
    rows = []
    for task, scores in by_task.items():
        if not scores:
            continue
        best = best_of(scores, list(scores))
        cells = [str(scores[m]) if m in scores else "" for m in models]
        marked = [
            c + " *" if best and m == best.model else c for m, c in zip(models, cells, strict=True)
        ]
        first = next(iter(scores.values()))
        rows.append([f"{task} ({first.metric}, {'higher' if first.greater else 'lower'})", *marked])
    notes = ["mean over splits and seeds, ± standard deviation over seeds; * the best of the task"]
    return Table("Scores", ["task (metric, better)", *models], rows, notes)


def encoder_table(fits: Fits) -> Table:
    """The encoder before LightGBM, against LightGBM with target encoding and as it is."""
    rows, verdicts = [], []
    for task in fits.tasks:
        scores = fits.of_task(task)
        ours = scores.get("catvec_lightgbm")
        rivals = [m for m in ("lightgbm_te", "lightgbm_native") if m in scores]
        best = best_of(scores, rivals)
        if ours is None or best is None or len(rivals) < 2:
            continue
        found = compare(ours, best, scores.get("mean"))
        verdicts.append(found.verdict())
        values = [str(scores[m]) for m in rivals]
        rows.append([task, str(ours), *values, *in_margins(found), verdicts[-1]])
    header = ["task", "catvec_lightgbm", "lightgbm_te", "lightgbm_native"]
    header += ["gain on the better", "margin", "verdict"]
    notes = [tally("better than both", verdicts, 11), worse(verdicts, "margin")]
    return Table("Encoder before LightGBM", header, rows, [*notes, MARGIN])


def predictor_table(fits: Fits) -> Table:
    """The predictor against CatBoost and against the best of all rivals."""
    rows, on_catboost, on_best = [], [], []
    for task in fits.tasks:
        scores = fits.of_task(task)
        ours, rivals = scores.get("catvec"), rivals_of(scores)
        best, trivial = best_of(scores, rivals), scores.get("mean")
        if ours is None or best is None:
            continue
        cells = ["", ""]
        if "catboost" in scores:
            catboost = scores["catboost"]
            value, word = with_published(fits, task, catboost)
            found = compare(ours, catboost, trivial, value)
            on_catboost.append(found.verdict())
            cells = [f"{digits(value, value)} {word}".strip(), on_catboost[-1]]
        value, word = with_published(fits, task, best)
        found = compare(ours, best, trivial, value)
        on_best.append(found.verdict(2))
        name = f"{digits(value, value)} {f'catboost, {word}' if word else best.model}"
        rows.append([task, str(ours), *cells, name, *in_margins(found), on_best[-1]])
    header = ["task", "catvec", "catboost", "against it", "best of all rivals"]
    header += ["gain on it", "margin", "against it"]
    notes = [
        tally("better than CatBoost", on_catboost, 10),
        tally("better than the best of all rivals", on_best, 8),
        worse(on_best, "twice the margin"),
        MARGIN,
    ]
    return Table("Predictor", header, rows, notes)


def with_published(fits: Fits, task: str, rival: Score) -> tuple[float, str]:
    """The rival's value, or the published one if that is better (test rows only)."""
    published = PUBLISHED.get(task)
    is_test = (fits.table["mode"] == "test").any()
    if not is_test or published is None or rival.gain(published) >= 0:
        return rival.value, ""
    return published, "published, tuned"


def seconds_table(fits: Fits) -> Table:
    """Processor seconds of a fit, and with the refit that a rival needs to have seen all rows."""
    by_task = {task: fits.of_task(task) for task in fits.tasks}
    models = [m for m in MODELS if m != "mean" and any(m in s for s in by_task.values())]
    ours = [m for m in ("catvec", "catvec_lightgbm") if m in models]
    rows = [
        [task, *(scores[m].took if m in scores else "" for m in models)]
        for task, scores in by_task.items()
    ]
    notes = []
    for m in ours:
        both = [(s[m], s["catboost"]) for s in by_task.values() if m in s and "catboost" in s]
        if both:
            alone = median(mine.cpu_seconds / rival.cpu_seconds for mine, rival in both)
            refitted = median(mine.all_seconds / rival.all_seconds for mine, rival in both)
            notes.append(
                f"{m}: {refitted:.2f} of what CatBoost's fit and refit take, {alone:.2f} of its fit"
                f" alone, medians of {len(both)} tasks (bar {CATBOOST_SHARE:.2f})"
            )
        took = {task: scores[m].cpu_seconds for task, scores in by_task.items() if m in scores}
        longest = max(took, key=took.__getitem__)
        bar = f"(bar {LONGEST:.0f} s)"
        notes.append(f"{m}: longest fit {took[longest]:.0f} s, {longest} {bar}")
    threads = sorted(set(fits.table["threads"]))
    notes.append(f"processor time, {' or '.join(map(str, threads))} threads; machines are shared")
    return Table("Seconds of a fit, and of the refit", ["task", *models], rows, notes)


def calibration_table(fits: Fits) -> Table:
    by_task = {task: fits.of_task(task) for task in fits.tasks}
    by_task = {
        task: {m: s for m, s in scores.items() if np.isfinite(s.calibration_error)}
        for task, scores in by_task.items()
    }
    models = [m for m in MODELS if any(m in scores for scores in by_task.values())]
    rows = [
        [task, *(f"{scores[m].calibration_error:.4f}" if m in scores else "" for m in models)]
        for task, scores in by_task.items()
        if scores
    ]
    notes = ["mean gap of probability and share of ones, over 20 equally full bins"]
    return Table("Expected calibration error", ["task", *models], rows, notes)


def target_table(fits: Fits) -> Table:
    """What issue 4 asks of the predictor, by name."""
    rows = []
    for task, target in TARGETS.items():
        ours = fits.of_task(task).get("catvec") if task in fits.tasks else None
        if ours is not None:
            reached = "reached" if ours.gain(target) >= 0 else "NOT reached"
            rows.append([task, ours.metric, str(ours), f"{target:g}", reached])
    return Table("Named bars of the predictor", ["task", "metric", "catvec", "bar", ""], rows)


# --- hidden categories and learning curves --------------------------------------------


def unknown_tables(fits: Fits) -> list[Table]:
    """Rows of hidden categories: with the column, without it, and by target encoding."""
    found = [_unknown_table(fits, m) for m in ("catvec", "catvec_lightgbm")]
    return [table for table in found if table.rows]


def _unknown_table(fits: Fits, model: str) -> Table:
    rows, verdicts = [], []
    for task in fits.tasks:
        scores = fits.of_task(task, "unknown")
        ours, without = scores.get(model), scores.get(f"{model}_without")
        encoded, trivial = scores.get("lightgbm_te"), scores.get("mean")
        if ours is None or without is None or encoded is None:
            continue
        on_without = compare(ours, without, trivial)
        on_encoded = compare(ours, encoded, trivial)
        both = on_without.gain >= -on_without.margin and on_encoded.gain > 0
        verdicts.append("better" if both else "no")
        cells = [str(trivial) if trivial else "", str(ours), str(without), on_without.verdict()]
        cells += [str(encoded), on_encoded.verdict(), "yes" if both else "NO"]
        rows.append([f"{task} ({ours.metric})", *cells])
    header = ["task", "mean", model, "without the column", "against it"]
    header += ["lightgbm_te", "against it", "both"]
    notes = [tally("not worse than without the column, and better than lightgbm_te", verdicts, 10)]
    title = f"Rows of hidden categories: {model}"
    return Table(title, header, rows, [*notes, MARGIN])


def curve_tables(fits: Fits, parts: list[str]) -> list[Table]:
    """A table by task: scores by the share of the training rows."""
    return [table for task in fits.tasks if (table := _curve_table(fits, task, parts)).rows]


def _curve_table(fits: Fits, task: str, parts: list[str]) -> Table:
    by_part = {part: fits.of_task(task, part, split=0) for part in parts}
    by_part = {part: scores for part, scores in by_part.items() if scores}
    models = [m for m in MODELS if any(m in scores for scores in by_part.values())]
    rows = [
        [part if part != "all" else "100%", *(str(s[m]) if m in s else "" for m in models)]
        for part, s in by_part.items()
    ]
    notes = [note for m in ("catvec", "catvec_lightgbm") for note in _curve_notes(by_part, m)]
    return Table(f"Learning curve: {task}", ["training rows", *models], rows, notes)


def _curve_notes(by_part: dict[str, dict[str, Score]], model: str) -> list[str]:
    """Where a curve is worse than the trivial model, or falls by more than noise."""
    notes, before = [], None
    for part, scores in by_part.items():
        ours, trivial = scores.get(model), scores.get("mean")
        if ours is None:
            continue
        if trivial and ours.gain(trivial.value) < 0:
            found = compare(ours, trivial, None)
            word = "worse" if found.gain >= -found.margin else "WORSE"
            close = ", within a standard error" if word == "worse" else ""
            notes.append(f"{model} at {part}: {word} than the trivial model{close}")
        if before is not None:
            found = compare(ours, before, trivial)
            if found.gain < -found.margin:
                notes.append(f"{model} at {part}: WORSE than with fewer rows")
        before = ours
    return notes or [f"{model}: never worse than the trivial model, monotone within the margin"]


# --- words ----------------------------------------------------------------------------

MARGIN = (
    "margin: 1% of the rival's distance from the mean, or one paired bootstrap standard error of"
    " the difference"
)


def digits(value: float, scale: float) -> str:
    """Five places for scores around 1, none for those in the thousands."""
    if not np.isfinite(value):
        return "none"
    return f"{value:.{0 if abs(scale) >= 1000 else 4}f}"


def in_margins(found: Comparison) -> tuple[str, str]:
    scale = 1000 if found.margin >= 5 else 1
    return f"{'+' if found.gain > 0 else ''}{digits(found.gain, scale)}", digits(
        found.margin, scale
    )


def tally(words: str, verdicts: list[str], bar: int) -> str:
    n = sum(verdict.startswith("better") for verdict in verdicts)
    return f"{words} on {n} of {len(verdicts)} tasks run (bar: {bar} of {N_TASKS})"


def worse(verdicts: list[str], words: str) -> str:
    return f"worse by more than {words} on {verdicts.count('WORSE')} (bar: none)"


# --- lines of results -----------------------------------------------------------------


def append_results(fits: Fits, path: Path) -> int:
    """Add a line by task, part and model, unless it is there; the number of lines added."""
    before: set[tuple[str, ...]] = set()
    if path.exists():
        table = pd.read_csv(path, dtype=str)
        before = set(table[RESULT_FIELDS[:10]].itertuples(index=False, name=None))
    lines = [line for line in _lines(fits) if tuple(line[:10]) not in before]
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(RESULT_FIELDS)
        writer.writerows(lines)
    return len(lines)


def _lines(fits: Fits) -> list[list[str]]:
    lines = []
    for part in sorted(set(fits.table["part"])):
        for task in fits.tasks:
            for model, score in fits.of_task(task, part).items():
                here = fits.table
                here = here[
                    (here["task"] == task) & (here["part"] == part) & (here["model"] == model)
                ]
                last = here.sort_values("when").iloc[-1]
                line = [last["commit"], last["code"], last["when"], part, task, model]
                line += [score.metric, f"{score.value:.6g}", f"{score.spread:.3g}", score.n_seeds]
                line += [score.n_splits, f"{score.seconds:.2f}", last["threads"]]
                lines.append([str(cell) for cell in line])
    return lines
