"""``catvec fit``: from a table to a saved model, and a page about it."""

from __future__ import annotations

import time
from pathlib import Path

from catvec.cli import _options as options
from catvec.cli._fit_page import facts, print_page
from catvec.cli._fit_work import work_on
from catvec.cli._places import STREAM, check_model_out, open_input, started
from catvec.cli._progress import EpochProgress
from catvec.cli._source_training import SourceTraining, read_source
from catvec.cli._tables import read_tables
from catvec.cli._training_table import Roles, TrainingTable, read_training_table
from catvec.errors import InputError
from catvec.frames._files import TableFile, file_format
from catvec.frames._source import SourceFile


def fit(
    table: options.Table,
    target: options.Target,
    categorical: options.Categorical = None,
    numeric: options.Numeric = None,
    drop: options.Drop = None,
    out: options.ModelOut = None,
    encoded_out: options.EncodedOut = None,
    keep: options.KeepEncoded = None,
    task: options.Task = "auto",
    loss: options.Loss = "auto",
    quantile: options.Quantile = None,
    validation: options.Validation = "0.1",
    groups: options.Groups = None,
    time_column: options.TimeColumn = None,
    sample_weight: options.SampleWeight = None,
    skip_gaps: options.SkipGaps = False,
    min_frequency: options.MinFrequency = 1,
    embedding_dim: options.EmbeddingDim = "auto",
    tables: options.Tables = None,
    memory_budget: options.MemoryBudget = None,
    init: options.Init = None,
    column_map: options.Map = None,
    freeze: options.Freeze = "never",
    networks: options.Networks = None,
    effect_networks: options.EffectNetworks = True,
    epochs: options.Epochs = None,
    seed: options.Seed = 0,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    jobs: options.Jobs = -1,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Learn effects and vectors from a table, and save a model that predicts.

    Text and booleans are categorical without being named; integers, dates and others only by
    --categorical. All other columns are numbers.

    [bold]Example:[/bold] catvec fit sales.parquet --target Sales --categorical Store --drop Open
    """
    output, start = started(quiet, json, "--encoded-out", encoded_out), time.perf_counter()
    path = out or _default_out(table)
    check_model_out(path, table)
    _refuse_alone(keep, encoded_out, column_map, freeze, init)
    file, share, column = _opened(table, encoded_out, path, validation)
    named = categorical or (), numeric or (), drop or ()
    roles = Roles(target, *named, column, groups, time_column, sample_weight, keep or ())
    loss, task = _settled(loss, task, quantile)
    read = dict(time_column=time_column, min_frequency=min_frequency, validation_fraction=share)
    given = dict(init=init, column_map=_mapped(column_map), freeze=freeze)
    dim, budget = options.width(embedding_dim), _bytes(memory_budget)
    sized = dict(embedding_dim=dim, memory_budget=budget, tables=read_tables(tables))
    learned = dict(loss=loss, quantile=quantile, effect_networks=effect_networks)
    learned |= dict(n_networks=networks or "auto", n_epochs=epochs or "auto")
    how = dict(random_state=seed, engine=engine, device=device, n_jobs=jobs)
    with EpochProgress(output.notes, quiet=quiet) as progress:
        data = _read(file, roles, task, skip_gaps)
        data.check_kept(roles)
        parameters = {**read, **given, **sized, **learned, **how}
        done = work_on(file, roles, data, parameters, progress, start, path).done(path, encoded_out)
    print_page(output, done)
    output.result(facts(done))


def _opened(
    table: str, encoded_out: str | None, model_out: str, validation: str
) -> tuple[TableFile | SourceFile, float, str | None]:
    """The table, the share of rows to hold out, or the column that marks them."""
    file = open_input(table, encoded_out, model=model_out)
    share, column = _validation(file, validation)
    if isinstance(file, SourceFile):
        _refuse_in_memory(file, encoded_out, column)
    return file, share, column


def _refuse_in_memory(file: SourceFile, encoded_out: str | None, validation: str | None) -> None:
    """Refuse what needs all rows in memory, of a table that is read part by part."""
    must = ""
    if validation is not None:
        must = "--validation must be a share"
    elif encoded_out is not None and (
        encoded_out == STREAM or file_format(encoded_out) != "parquet"
    ):
        must = "--encoded-out must be a .parquet"
    if must:
        raise InputError(f"{file.label} is a folder or a large file, read part by part: {must}")


def _read(
    file: TableFile | SourceFile, roles: Roles, task: str, skip_gaps: bool
) -> TrainingTable | SourceTraining:
    if isinstance(file, SourceFile):
        return read_source(file, roles, task, skip_gaps=skip_gaps)
    return read_training_table(file, roles, task, skip_gaps=skip_gaps)


def _settled(loss: str, task: str, quantile: float | None) -> tuple[str, str]:
    """Loss and task, each as the other options say it where it is not given."""
    from catvec.estimators._parameters import LOSSES_OF_TASK

    if loss == "auto":
        loss = "quantile" if quantile is not None else "poisson" if task == "count" else "auto"
    suited = (of for of, losses in LOSSES_OF_TASK.items() if loss in losses)
    return loss, next(suited, task) if task == "auto" else task


def _default_out(table: str) -> str:
    name = "model" if table == STREAM else Path(table).name.split(".")[0].strip("*?[]") or "model"
    return f"{name}.catvec"


def _refuse_alone(
    keep: list[str] | None,
    encoded_out: str | None,
    column_map: list[str] | None,
    freeze: str,
    init: str | None,
) -> None:
    """Refuse options without the one that they are about."""
    if keep and encoded_out is None:
        raise InputError("--keep is for columns of --encoded-out; give --encoded-out, too")
    if column_map and init is None:
        raise InputError("--map says which columns of --init are for which; give --init, too")
    if freeze != "never" and init is None:
        raise InputError("--freeze holds vectors of --init fast; give --init, too")


def _mapped(pairs: list[str] | None) -> dict[str, str | None] | None:
    """Which column of --init is for which of the table, from ``product=item``."""
    if not pairs:
        return None
    wrong = next((pair for pair in pairs if not pair.rpartition("=")[0]), None)
    if wrong is not None:
        raise InputError(f"--map must be COLUMN=COLUMN, such as product=item, got {wrong!r}")
    parts = [pair.rpartition("=") for pair in pairs]
    return {ours: theirs or None for ours, _, theirs in parts}


def _bytes(budget: str | None) -> int | str | None:
    """A number of bytes, or text that the estimators read."""
    return int(budget) if budget is not None and budget.isdecimal() else budget


def _validation(file: TableFile, given: str) -> tuple[float, str | None]:
    """The share to hold out, or the column that marks the rows."""
    if given in file.names:
        return 0.1, given
    try:
        share = float(given)
    except ValueError:
        file.check([given])
        raise
    if not 0 <= share <= 0.5:
        raise InputError(f"--validation must be a share from 0 to 0.5 or a column, got {given}")
    return share, None
