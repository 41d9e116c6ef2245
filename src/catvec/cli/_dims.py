"""``catvec dims``: how wide vectors should be, by the rules people use and by the data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from catvec.cli import _options as options
from catvec.cli._console import Output, grid, listed, plural, seconds, shown
from catvec.cli._learned import score
from catvec.cli._places import open_input
from catvec.cli._progress import EpochProgress
from catvec.cli._training_table import Roles, read_features, read_training_table
from catvec.errors import InputError
from catvec.frames._files import TableFile

if TYPE_CHECKING:
    from catvec.estimators import ColumnDims, SuggestedDims

NONE = "–"


def dims(
    table: options.Table,
    target: options.DimsTarget = None,
    categorical: options.Categorical = None,
    numeric: options.Numeric = None,
    drop: options.Drop = None,
    task: options.Task = "auto",
    groups: options.Groups = None,
    time_column: options.TimeColumn = None,
    skip_gaps: options.SkipGaps = False,
    budget: options.Budget = 20_000_000,
    seed: options.Seed = 0,
    jobs: options.Jobs = -1,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Tell how wide vectors should be: what each rule says and costs, and what the data say.

    With a target, small networks are trained on a sample of the rows, with one column at a time
    at half and at double its width.

    [bold]Example:[/bold] catvec dims sales.parquet --target Sales --categorical Store
    """
    output, start = Output(quiet, json), time.perf_counter()
    if target is None and (task != "auto" or skip_gaps):
        raise InputError("--task and --skip-gaps are about a target; give --target, too")
    roles = Roles(
        target or "",
        categorical or (),
        numeric or (),
        drop or (),
        groups=groups,
        time=time_column,
    )
    file = open_input(table)
    with EpochProgress(output.notes, quiet=quiet) as progress:
        work = _Work(file, roles, {"budget": budget, "random_state": seed, "n_jobs": jobs})
        found = work.measured(task, progress, skip_gaps) if target else work.by_rules()
    output.heading(_title(file), f"{plural(found.n_rows, 'row')}, {_columns(found)}")
    _print_rules(output, found)
    if found.loss_name is not None:
        _print_data(output, found, time.perf_counter() - start)
    output.result(_facts(found, target))


@dataclass(frozen=True)
class _Work:
    """The advice on a table, with or without a target."""

    file: TableFile
    roles: Roles
    parameters: dict[str, Any]

    def by_rules(self) -> SuggestedDims:
        from catvec.estimators import suggest_dims

        rows, categorical = read_features(self.file, self.roles)
        return suggest_dims(rows, columns=categorical)

    def measured(self, task: str, progress: EpochProgress, skip_gaps: bool) -> SuggestedDims:
        from catvec.estimators import suggest_dims

        data = read_training_table(self.file, self.roles, task, skip_gaps=skip_gaps)
        return suggest_dims(
            data.rows.select(data.features),
            data.y,
            columns=data.categorical,
            task=data.task,
            groups=data.groups,
            time_column=self.roles.time,
            callback=lambda n, most: progress.step(f"training {n} of at most {most}"),
            **self.parameters,
        )


# --- the page ---------------------------------------------------------------------------


def _title(file: TableFile) -> str:
    return file.label.strip("'")


def _columns(found: SuggestedDims) -> str:
    return plural(len(found.columns), "categorical column")


def _print_rules(output: Output, found: SuggestedDims) -> None:
    """A line by column: its size, and by rule the width with what that costs below it."""
    output.heading("What the rules say", "dimensions, and below them how many numbers to learn")
    rules = list(found.columns[0].rules)
    titles = [(rule.replace("_", "\n"), "right") for rule in rules]
    table = grid("column\ncategories\n× rows", *titles)
    for column in found.columns:
        costs = column.parameters
        cells = [_cell(str(column.rules[rule]), _short(costs[rule])) for rule in rules]
        size = f"{column.cardinality:,} × {_mean(column.rows_per_category)}"
        table.add_row(_cell(shown(column.name, 17), size), *cells)
    output.table(table)
    small = [column.name for column in found.columns if column.one_hot]
    if small:
        output.text(f"Below ten categories one-hot works too: {listed(small)}.", indent=2)


def _cell(above: str, below: str) -> Text:
    return Text.assemble(above, (f"\n{below}", "dim"))


def _short(n: int) -> str:
    """A count in few characters: 9,999 and 12k and 3M."""
    if n < 10_000:
        return f"{n:,}"
    return f"{n / 1e3:.0f}k" if n < 999_500 else f"{n / 1e6:,.0f}M"


def _mean(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _print_data(output: Output, found: SuggestedDims, took: float) -> None:
    """A line by column: the width that the data support, with the losses around it."""
    sample = plural(found.n_sampled, "row")
    sample = f"all {sample}" if found.n_sampled == found.n_rows else f"a sample of {sample}"
    effort = f"{_short(found.row_epochs)} row-epochs, {seconds(took)}"
    output.heading("What the data say", f"{sample}, {effort}")
    titles = ("dim", "loss", "half", "loss", "double", "loss")
    table = grid("column", *((title, "right") for title in titles))
    for column in found.columns:
        dim = column.dim or 0
        around = [*_loss(dim // 2, column.half), *_loss(2 * dim, column.double)]
        table.add_row(shown(column.name, 24), *_loss(dim, column.loss), *around)
    output.table(table)
    output.text(
        f"The {found.loss_name} loss on held-out rows, one column changed at a time. dim is the"
        " smallest width within a standard error of the best.",
        indent=2,
    )
    output.heading("In Python")
    output.line(f"  EmbeddingEncoder(embedding_dim={found.dims})", style="cyan")


def _loss(dim: int, loss: float | None) -> tuple[str, str]:
    return (NONE, NONE) if loss is None else (str(dim), score(loss))


def _facts(found: SuggestedDims, target: str | None) -> dict[str, Any]:
    """The facts of the page, for ``--json``."""
    return {
        "rows": found.n_rows,
        "target": target,
        "loss": found.loss_name,
        "rows_sampled": found.n_sampled,
        "row_epochs": found.row_epochs,
        "columns": [_column_facts(column) for column in found.columns],
    }


def _column_facts(column: ColumnDims) -> dict[str, Any]:
    rules = {
        rule: {"dim": dim, "parameters": column.parameters[rule]}
        for rule, dim in column.rules.items()
    }
    return {
        "name": column.name,
        "categories": column.cardinality,
        "rows_per_category": column.rows_per_category,
        "one_hot_works": column.one_hot,
        "rules": rules,
        "dim": column.dim,
        "held_out_losses": column.losses,
    }
