"""``catvec drift``: what a later table holds that the training table did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from catvec.cli import _options as options
from catvec.cli._console import Output, grid, listed, number, plural, shown, signed
from catvec.cli._places import STREAM, open_input
from catvec.cli._predict import families_of_vectors
from catvec.cli._training_table import target_column, weights
from catvec.errors import InputError
from catvec.frames import open_frame

if TYPE_CHECKING:
    import numpy as np

    from catvec.estimators import ColumnDrift, DriftReport
    from catvec.estimators._base import EmbeddingEstimator

MOST_EFFECTS = 10  # shown on the page; --json has all


def drift(
    table: options.Table,
    model: options.Model,
    target: options.DriftTarget = None,
    sample_weight: options.SampleWeight = None,
    skip_gaps: options.SkipGaps = False,
    alpha: options.Alpha = 0.01,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Tell what new rows hold that the training rows did not.

    Categories that training never met or that came no more, shares that changed, and with --target
    effects that moved. The exit code is 0 whether there is drift or not; `drifted` of --json tells.

    [bold]Example:[/bold] catvec drift new.parquet --model sales.catvec --target Sales
    """
    from catvec.estimators import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
    from catvec.estimators._files import load

    output = Output(quiet, json)
    if target is None and (skip_gaps or sample_weight is not None):
        raise InputError("--skip-gaps and --sample-weight are about the target; give --target, too")
    file = open_input(table)
    estimator = load(model, [EmbeddingRegressor, EmbeddingClassifier, EmbeddingEncoder])
    numbers = [n.name for n in estimator.schema_.numbers]
    families = families_of_vectors(estimator.vectors_, numbers)
    others = [name for name in (target, sample_weight) if name is not None]
    wanted = [*families, *(name for name in others if name not in families)]
    rows = file.read(wanted, families=families)
    if not len(rows):
        raise InputError("the table has no rows")
    y = None
    if target is not None:
        rows, _ = target_column(rows, target, skip_gaps=skip_gaps)
        y = _target(estimator, rows[target].to_numpy(), target)
    weight = None if sample_weight is None else weights(open_frame(rows).column(sample_weight))
    known = rows.select(list(families))
    report = estimator.drift_report(known, y, sample_weight=weight, alpha=alpha)
    label = "standard input" if table == STREAM else table
    _print(output, report, label, with_target=target is not None)
    output.result(report.to_dict())


def _target(estimator: EmbeddingEstimator, y: np.ndarray, name: str) -> np.ndarray:
    """The target, looked at here, where its column has a name."""
    try:
        estimator.target_.checked_values(y)
    except InputError as error:
        raise InputError(f"column {name!r} as the target: {error}") from error
    return y


def _print(output: Output, report: DriftReport, label: str, *, with_target: bool) -> None:
    found = [column for column in report.columns if column.drifted]
    verdict = f"{plural(len(found), 'column')} of {len(report.columns)} drifted"
    if with_target:
        verdict += f", {plural(len(report.effects or ()), 'effect')} moved"
    output.heading(f"{plural(report.n_rows, 'row')} of {label}", verdict)
    output.table(_columns(report))
    for column in found:
        _print_categories(output, column)
    if with_target:
        _print_effects(output, report)


def _columns(report: DriftReport) -> Table:
    table = grid(
        "column", ("unknown", "right"), ("vanished", "right"), ("distance", "right"),
        ("p", "right"), "",
    )  # fmt: skip
    for column in report.columns:
        table.add_row(
            shown(column.column, 24),
            f"{column.share_unknown:.1%}",
            f"{column.share_vanished:.1%}",
            f"{column.distance:.3f}",
            f"{min(column.p_value, column.p_unknown):.2g}",
            "drifted" if column.drifted else "",
        )
    return table


def _print_categories(output: Output, column: ColumnDrift) -> None:
    table = grid(shown(column.column, 24), "", ("before", "right"), ("now", "right"))
    for shift in column.shifts:
        name = "missing" if shift.category is None else shown(shift.category, 34)
        kind = "" if shift.kind == "known" else shift.kind
        table.add_row(name, kind, f"{shift.share_before:.1%}", f"{shift.share_now:.1%}")
    output.line()
    output.table(table)


def _print_effects(output: Output, report: DriftReport) -> None:
    before, now = report.target_before, report.target_now
    assert before is not None
    assert now is not None
    what = "mean of the target"
    if report.target_output is not None:
        what = f"share of {shown(report.target_output)}"
    output.heading("effects", f"{what} {number(before)} before, {number(now)} now")
    effects = report.effects or ()
    if not effects:
        output.text("No effect has moved by more than chance.", indent=2)
        return
    table = grid(
        "column", "category", ("rows", "right"), ("before", "right"), ("now", "right"),
        ("z", "right"),
    )  # fmt: skip
    for effect in effects[:MOST_EFFECTS]:
        table.add_row(*_effect_cells(effect))
    output.table(table)
    if len(effects) > MOST_EFFECTS:
        rest = [f"{e.column}={shown(e.category)}" for e in effects[MOST_EFFECTS:]]
        output.text(f"and {listed(rest)}", indent=2)


def _effect_cells(effect: Any) -> list[str]:
    category = "missing" if effect.category is None else shown(effect.category)
    if effect.output is not None:
        category += f" ({shown(effect.output)})"
    return [
        shown(effect.column, 24),
        category,
        f"{effect.rows:,}",
        signed(effect.effect_before),
        signed(effect.effect_now),
        f"{effect.z:+.1f}",
    ]
