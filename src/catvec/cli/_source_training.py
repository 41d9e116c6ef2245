"""The training table of ``catvec fit`` where it is larger than memory: a look at the target."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from catvec.cli._training_table import Roles, TrainingTable, check_task, no_categorical
from catvec.errors import InputError
from catvec.frames._source import FrameSource, ParquetSource, SourceFile, categorical_columns
from catvec.frames._survey import SAMPLE_ROWS, RowSample, TargetSurvey, label_vector


@dataclass(frozen=True)
class Rows(Sized):
    """Rows that are not in memory: how many there are."""

    n_rows: int

    def __len__(self) -> int:
        return self.n_rows


@dataclass(frozen=True, kw_only=True)
class SourceTraining(TrainingTable):
    """As `TrainingTable`; its target is that of some rows.

    Attributes
    ----------
    source : Source
        The rows, without those and the columns that are left out.
    """

    source: ParquetSource | FrameSource = field(repr=False)


def read_source(
    file: SourceFile, roles: Roles, task: str, *, skip_gaps: bool = False
) -> SourceTraining:
    """Look at the columns and the target of a table that is larger than memory.

    Parameters
    ----------
    file : SourceFile
        The table.
    roles : Roles
        What its columns are.
    task : str
        The kind of task, or ``"auto"``.
    skip_gaps : bool, default=False
        Leave out rows whose target is missing, instead of refusing them.

    Returns
    -------
    SourceTraining

    Raises
    ------
    InputError
        As `read_training_table`.
    """
    roles.check(file)
    check_task(task)
    source = file.source
    assert isinstance(source, ParquetSource)
    source = source.without(roles.drop, roles.target if skip_gaps else None)
    hidden = {roles.target, *(n for n in roles.marks if n not in roles.categorical)}
    features = [name for name in source.names if name not in hidden or name == roles.time]
    n_rows, y, task = _target(source, roles.target, task)
    return SourceTraining(
        rows=Rows(n_rows),
        features=features,
        categorical=_categorical(file, source, features, roles),
        left_out=[n for n in file.names if n not in features and n != roles.target],
        task=task,
        y=y,
        held_out=None,
        groups=None,
        weight=None,
        source=source,
    )


def _target(source: ParquetSource, name: str, task: str) -> tuple[int, np.ndarray, str]:
    """How many rows there are, the target of some of them, and the task."""
    labels, sample, n_rows = TargetSurvey(name, task), RowSample(SAMPLE_ROWS, 0), 0
    for chunk in source.chunks([name]):
        labels.add(chunk)
        sample.add(chunk, [name])
        n_rows += chunk.frame.n_rows
    if not n_rows:
        raise InputError(f"{source.label} has no rows")
    target, _ = labels.target()
    values = sample.table()[name].combine_chunks()
    y = label_vector(values if isinstance(values, pa.Array) else pa.concat_arrays(values.chunks))
    y = y.astype(str) if y.dtype == object else y
    return n_rows, y.astype(np.float64) if target.classes is None else y, target.task


def _categorical(
    file: SourceFile, source: ParquetSource, features: list[str], roles: Roles
) -> list[str]:
    """What is categorical by itself, and what is named."""
    found = roles.of_categories(features, set(categorical_columns(source)))
    if not found:
        raise no_categorical(file.label)
    return found
