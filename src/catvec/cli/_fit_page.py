"""What ``catvec fit`` tells: a page for people, and the same facts for machines."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from catvec.cli._console import Output, listed, number, plural, seconds, shown
from catvec.cli._learned import Scale, column_facts, columns_table, scores_table, spread
from catvec.cli._places import STREAM
from catvec.cli._training_table import Roles, TrainingTable
from catvec.frames._files import ENDINGS, TableFile
from catvec.frames._schema_learning import texts_among_numbers

if TYPE_CHECKING:
    from catvec.estimators._predictors import EmbeddingPredictor

ALMOST_ALL = 0.9  # share of rows with a category of their own that deserves a word


@dataclass(frozen=True)
class Fit:
    """A fit that is done, and all that went into it."""

    file: TableFile
    roles: Roles
    data: TrainingTable
    model: EmbeddingPredictor
    path: str
    encoded_out: str | None
    seconds: float

    @property
    def scale(self) -> Scale:
        """How its effects are told."""
        task, target = self.data.task, self.model.target_
        if task == "binary" and target.classes is not None:
            second = target.classes[1]
            return Scale(task, self._share_of(second), share_of=f"share of {shown(second, 12)}")
        if task == "regression":
            return Scale(task, target.center, target.scale)
        return Scale(task, 0.0)

    def _share_of(self, label: object) -> float:
        """Share of a class in the rows that were learned, each by its weight."""
        y, weight, held_out = self.data.y, self.data.weight, self.data.held_out
        weight = np.ones(len(y)) if weight is None else weight
        learned = weight if held_out is None else np.where(held_out, 0.0, weight)
        return float(np.average(y == label, weights=learned))


def print_page(output: Output, fit: Fit) -> None:
    """Print what was read, what was learned, how good it is, and what to do next."""
    data, model = fit.data, fit.model
    output.heading(fit.file.label.strip("'\""), f"{plural(len(data.rows), 'row')}, {_columns(fit)}")
    output.text(_target_line(fit), indent=2)
    if data.left_out:
        output.text(f"left out: {listed(data.left_out)}", indent=2)
    output.heading("What was learned", f"{_effort(fit)}, {seconds(fit.seconds)}")
    output.table(columns_table(model.vectors_, fit.scale))
    if model.schema_.numbers:
        output.text(f"numbers: {listed([n.name for n in model.schema_.numbers])}", indent=2)
    if minor := model.schema_.minor_components:
        made = plural(len(minor), "minor component")
        output.text(f"{made} of numbers that say nearly the same", indent=2)
    if model.vectors_.pairs:
        output.text(f"pairs of columns: {listed(list(model.vectors_.pairs))}", indent=2)
    for line in _begun(fit):
        output.text(line, indent=2)
    among_numbers = _texts_among_numbers(fit)
    for line in among_numbers.values():
        output.warning(line)
    for line in _remarks(fit, but=among_numbers):
        output.text(line, indent=2, style="yellow")
    if model.validation_scores_:
        output.heading("Scores on held-out rows", _whose(fit))
        output.table(scores_table(model.validation_scores_))
    output.heading("Saved")
    output.line(f"  {fit.path}")
    if fit.encoded_out:
        where = "standard output" if fit.encoded_out == STREAM else fit.encoded_out
        output.line(f"  {where}  (encoded rows, to train another model on)")
    output.heading("Next")
    output.commands(_next(fit))


def facts(fit: Fit) -> dict[str, Any]:
    """The facts of the page, for ``--json``."""
    data, model, choice = fit.data, fit.model, fit.model.choice_
    target: dict[str, Any] = {"name": fit.roles.target, "task": data.task}
    if model.target_.classes is not None:
        target["classes"] = model.target_.classes
    return {
        "model": fit.path,
        "encoded": fit.encoded_out,
        "rows": len(data.rows),
        "target": target,
        "columns": column_facts(model.vectors_),
        "numbers": [n.name for n in model.schema_.numbers],
        "left_out": data.left_out,
        "networks": len(model.networks_),
        "effect_networks": choice.effect_networks and asdict(choice.effect_networks),
        "shrinkage": dict(zip(model.vectors_, choice.shrinkage, strict=False)),
        "pairs": list(model.vectors_.pairs),
        "interactions": choice.interactions,
        "n_epochs": choice.n_epochs,
        "second": choice.second and asdict(choice.second),
        "rows_together": choice.rows_together,
        "scores": model.validation_scores_,
        "transfer": model.transfer_report_,
        "seconds": round(fit.seconds, 3),
    }


# --- sentences --------------------------------------------------------------------------


def _columns(fit: Fit) -> str:
    n_categorical, n_numbers = len(fit.model.vectors_), len(fit.model.schema_.numbers)
    numbers = f", {plural(n_numbers, 'number')}" if n_numbers else ""
    return plural(n_categorical, "categorical column") + numbers


def _target_line(fit: Fit) -> str:
    y, name = fit.data.y, shown(fit.roles.target)
    classes = fit.model.target_.classes
    if classes is None:
        reach = f"from {number(y.min())} to {number(y.max())}, mean {number(y.mean())}"
        return f"target {name}: a {fit.data.task}, {reach}"
    shares = [(label, float((y == label).mean())) for label in classes[:5].tolist()]
    told = ", ".join(f"{shown(label)} {share:.1%}" for label, share in shares)
    return f"target {name}: {plural(len(classes), 'class', 'classes')}, {told}" + (
        ", ..." if len(classes) > 5 else ""
    )


def _effort(fit: Fit) -> str:
    networks = fit.model.networks_
    n_seeing = sum(network.config.sees_effects for network in networks)
    return plural(len(networks), "network") + (f" ({n_seeing} of effects)" if n_seeing else "")


def _begun(fit: Fit) -> list[str]:
    """What of --init was found, and whether it helped."""
    report = fit.model.transfer_report_
    if report is None:
        return []
    lines = []
    for name, found in report["columns"].items():
        of = "" if found["from"] == name else f" ({shown(found['from'])} there)"
        known, new = found["found"], found["new"]
        lines.append(
            f"vectors given for {shown(name)}{of}: of {known + new:,} categories {known:,} found,"
            f" {new:,} new, on {found['rows_covered']:.1%} of the rows; {found['not_found']:,} of"
            " those given are not in the table"
        )
    return [*lines, _benefit(report.get("benefit"))]


def _benefit(found: dict[str, Any] | None) -> str:
    if found is None:
        return "no rows were held out, so whether the vectors given help was not measured"
    gain, p_value = found["gain"], found["p_value"]
    change = f"{abs(gain):.1%} {'lower' if gain >= 0 else 'higher'}"
    verdict = {
        "helps": "the vectors given help",
        "hurts": "the vectors given hurt: leave --init out",
        "unclear": "whether the vectors given help is not clear",
    }[found["verdict"]]
    chance = "" if p_value is None else f", p {p_value:.2g}"
    return (
        f"held-out loss {found['loss_with']:.4f} with them, {found['loss_without']:.4f} without:"
        f" {change}{chance}; {verdict}"
    )


def _remarks(fit: Fit, but: Collection[str]) -> list[str]:
    """What a person should know about the columns and rows; of some columns enough is said."""
    wide = [
        shown(name)
        for name, column in ((n, fit.model.vectors_[n]) for n in fit.model.vectors_)
        if len(column) > 20
        and (column.counts > 0).sum() >= ALMOST_ALL * column.counts.sum()
        and name not in but
    ]
    remarks = []
    if wide:
        names = ", ".join(wide)
        remarks += [f"Almost every row has a category of its own in {names}; consider --drop."]
    together = fit.model.choice_.rows_together
    if together > 1:
        remarks += [
            "Rows that follow each other are alike beyond what their columns say: they were held"
            f" out {together:,} at a time. If they are in order of time, consider --time-column."
        ]
    if together > 1 and fit.encoded_out:
        remarks += [
            "The vectors of the encoded rows also tell which of these stretches a row is in:"
            " train on the effects alone."
        ]
    return remarks


def _texts_among_numbers(fit: Fit) -> dict[str, str]:
    """By column a warning of what is no number, of those that nobody named categorical."""
    vectors = fit.model.vectors_
    open_columns = [name for name in vectors if name not in fit.roles.categorical]
    found = {name: texts_among_numbers(vectors[name].vocabulary) for name in open_columns}
    return {
        name: f"{shown(name)} holds numbers but for {listed(texts)}: clean it, or say --categorical"
        " if these are categories."
        for name, texts in found.items()
        if texts
    }


def _whose(fit: Fit) -> str:
    if fit.data.held_out is not None:
        return plural(int(fit.data.held_out.sum()), "row")
    return "each row by the networks that did not see it"


def _next(fit: Fit) -> list[str]:
    model = shlex.quote(fit.path)
    new = "new.csv" if fit.file.label == "standard input" else "new." + _ending(fit)
    commands = [
        f"catvec predict {new} --model {model} --out predictions.{_ending(fit)}",
        f"catvec encode {new} --model {model} --out encoded.{_ending(fit)}",
    ]
    example = _example(fit)
    return commands + ([f"catvec neighbors {model} {example}"] if example else [])


def _ending(fit: Fit) -> str:
    """How the table's name ends ("parquet", "csv.gz"); "csv" for standard input."""
    name = fit.file.label.strip("'\"").lower()
    return max((e for e in ENDINGS if name.endswith(e)), key=len, default=".csv").lstrip(".")


def _example(fit: Fit) -> str:
    """The column whose effects differ most, and the most frequent category that can be typed."""
    vectors = fit.model.vectors_
    names = [name for name in vectors if len(vectors[name]) > 5 and vectors[name].embedding_dim]
    if not names:
        return ""
    name = max(names, key=lambda n: spread(vectors[n]))
    frequent = vectors[name].categories[np.argsort(-vectors[name].counts, kind="stable")]
    typed = next((c for c in frequent[:20] if not isinstance(c, str) or shown(c, 200) == c), None)
    return "" if typed is None else shlex.join([name, shown(typed, 200)])
