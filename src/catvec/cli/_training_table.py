"""The training table of ``catvec fit``: which column is what, the target, the held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import some
from catvec.cli._console import plural, shown
from catvec.errors import InputError
from catvec.frames import TASKS, Column, Frame, learn_target, open_frame
from catvec.frames._files import TableFile

TRAIN = ("train", "training", "fit")
HELD_OUT = ("valid", "validation", "val", "held-out", "held_out", "holdout", "test")
FEW_LABELS = 20  # rows from which labels are expected to come more than once
PROPOSED = 8  # integer columns named where no column is categorical


@dataclass(frozen=True)
class Roles:
    """What the command line says about columns.

    Attributes
    ----------
    target : str
        What to predict.
    categorical, numeric, drop : sequence of str
        As the options of these names.
    validation, groups, time, weight : str or None
        Columns that mark held-out rows, bind rows, order them, or say how much each counts; no
        features unless named categorical.
    keep : sequence of str
        Columns to copy beside encoded rows.
    """

    target: str
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    drop: Sequence[str] = ()
    validation: str | None = None
    groups: str | None = None
    time: str | None = None
    weight: str | None = None
    keep: Sequence[str] = ()

    def check(self, file: TableFile) -> None:
        """Refuse columns that are not there, and those that are said to be two things."""
        file.check([self.target])
        self.check_features(file)
        others = [*self.categorical, *self.numeric, *self.drop, *self.marks]
        _refuse_both([self.target], others, "--target and another option")

    def check_features(self, file: TableFile) -> None:
        """The same without a look at the target."""
        features = [*self.categorical, *self.numeric]
        file.check([*features, *self.drop, *self.marks, *self.keep])
        _refuse_both(self.categorical, self.numeric, "--categorical and --numeric")
        _refuse_both(self.drop, [*features, *self.marks], "--drop and another option")
        _refuse_both(self.numeric, self.marks, "--numeric and another option")

    def of_categories(self, features: Sequence[str], by_itself: set[str]) -> list[str]:
        """Those of the features that are categorical: named, or by themselves and not numeric."""
        found = [n for n in features if n in by_itself and n not in (*self.numeric, self.time)]
        return [n for n in features if n in found or n in self.categorical]

    @property
    def marks(self) -> list[str]:
        """Columns that say something about rows."""
        marks = self.validation, self.groups, self.time, self.weight
        return [name for name in marks if name]


@dataclass(frozen=True)
class TrainingTable:
    """A table read for a fit.

    Attributes
    ----------
    rows : pyarrow.Table
        All columns of the file that are read, all rows; only their number, if not in memory.
    features : list of str
        What the model sees, and the column that orders rows in time.
    categorical : list of str
        Those of them that are categorical.
    left_out : list of str
        Columns of the file that the model does not see.
    task : {"regression", "binary", "multiclass", "count"}
        The kind of the target.
    y : ndarray of shape (n_rows,)
        The target.
    held_out : ndarray of shape (n_rows,), bool, or None
        Rows that a column marks.
    groups : ndarray of shape (n_rows,) or None
        What binds rows.
    weight : ndarray of shape (n_rows,), float64, or None
        How much each row counts.
    """

    rows: pa.Table
    features: list[str]
    categorical: list[str]
    left_out: list[str]
    task: str
    y: np.ndarray
    held_out: np.ndarray | None
    groups: np.ndarray | None
    weight: np.ndarray | None

    def check_kept(self, roles: Roles) -> None:
        """Refuse to copy numbers, which encoded rows have anyway, before anything is fitted."""
        others = {*self.categorical, roles.time}
        numbers = [name for name in roles.keep if name in self.features and name not in others]
        if numbers:
            raise InputError(
                f"--keep {numbers[0]} is not needed: numeric columns are in --encoded-out anyway"
            )


def read_training_table(
    file: TableFile, roles: Roles, task: str, *, skip_gaps: bool = False
) -> TrainingTable:
    """Read the table of a fit.

    Parameters
    ----------
    file : TableFile
        The table.
    roles : Roles
        What its columns are.
    task : str
        The kind of task, or ``"auto"``.
    skip_gaps : bool, default=False
        Leave out rows whose target is missing, instead of refusing them.

    Returns
    -------
    TrainingTable

    Raises
    ------
    InputError
        If a column is missing or misfit, none is categorical, or the target has gaps.
    """
    roles.check(file)
    unread = [name for name in roles.drop if name not in roles.keep]
    families = {name: ("number",) for name in roles.numeric}
    rows = file.read([n for n in file.names if n not in unread], families=families)
    rows, target = target_column(rows, roles.target, skip_gaps=skip_gaps)
    y, task = _target(target, task)
    frame = open_frame(rows)
    marks = [n for n in roles.marks if n not in (*roles.categorical, roles.time)]
    hidden = {roles.target, *roles.drop, *marks}
    features = [name for name in rows.column_names if name not in hidden]
    return TrainingTable(
        rows=rows,
        features=features,
        categorical=_categorical(file, frame, features, roles),
        left_out=[n for n in file.names if n not in features and n != roles.target],
        task=task,
        y=y,
        held_out=None if roles.validation is None else _marked(frame.column(roles.validation)),
        groups=None if roles.groups is None else _group_labels(frame.column(roles.groups)),
        weight=None if roles.weight is None else weights(frame.column(roles.weight)),
    )


def read_features(file: TableFile, roles: Roles) -> tuple[pa.Table, list[str]]:
    """Read a table without a target: its rows, and which of its columns are categorical.

    Raises
    ------
    InputError
        If a column is missing or misfit, none is categorical, or there are no rows.
    """
    roles.check_features(file)
    hidden = [*roles.drop, *(name for name in roles.marks if name not in roles.categorical)]
    names = [name for name in file.names if name not in hidden]
    rows = file.read(names, families={name: ("number",) for name in roles.numeric})
    if not len(rows):
        raise InputError("the table has no rows")
    return rows, _categorical(file, open_frame(rows), names, roles)


# --- columns ----------------------------------------------------------------------------


def target_column(rows: pa.Table, name: str, *, skip_gaps: bool = False) -> tuple[pa.Table, Column]:
    """The rows that have a target, and their target.

    Parameters
    ----------
    rows : pyarrow.Table
    name : str
        Column of the target.
    skip_gaps : bool, default=False
        Leave out rows whose target is missing, instead of refusing them.

    Returns
    -------
    rows : pyarrow.Table
    target : Column

    Raises
    ------
    InputError
        If there are no rows, or the target has gaps.
    """
    values = rows[name]
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    gaps = np.asarray(pc.is_null(values.combine_chunks()))
    if not len(gaps):
        raise InputError("the table has no rows")
    if not gaps.any():
        return rows, open_frame({name: values}).column(name)
    if gaps.all():
        raise InputError(f"the target {name!r} is missing in every row")
    if not skip_gaps:
        first = some(np.flatnonzero(gaps).tolist())
        raise InputError(
            f"the target {name!r} is missing in {plural(int(gaps.sum()), 'row')}: {first};"
            " --skip-gaps leaves them out"
        )
    kept = pa.array(~gaps)
    return rows.filter(kept), open_frame({name: values.filter(kept)}).column(name)


def _refuse_both(first: Sequence[str], second: Sequence[str], options: str) -> None:
    both = [name for name in first if name in second]
    if both:
        raise InputError(f"the column {both[0]!r} is named by {options}")


def _categorical(file: TableFile, frame: Frame, features: Sequence[str], roles: Roles) -> list[str]:
    """What is categorical by itself, and what is named; if nothing is, an error that proposes."""
    for name in roles.numeric:
        frame.column(name).floats()  # refuses text
    found = roles.of_categories(features, {n for n in features if frame.is_categorical(n)})
    if found:
        return found
    proposed = [n for n in features if _holds_integers(frame.column(n))]
    if not proposed:
        raise no_categorical(file.label)
    counts = [f"{shown(n)} ({_n_distinct(frame.column(n)):,})" for n in proposed[:PROPOSED]]
    told = f"these hold integers, with as many values: {', '.join(counts)}"
    raise no_categorical(file.label, told)


def no_categorical(label: str, integers: str = "") -> InputError:
    """That a table has no categorical column, and which might be."""
    if not integers:
        return InputError(f"{label} has no categorical column; name one with --categorical")
    return InputError(
        f"{label} has no categorical column: text and booleans are, others must be named with"
        f" --categorical; {integers}"
    )


def _holds_integers(column: Column) -> bool:
    return column.kind == "number" and pa.types.is_integer(column.families["number"].type)


def _n_distinct(column: Column) -> int:
    return int(pc.count_distinct(column.families["number"]).as_py())


def _marked(column: Column) -> np.ndarray:
    """The rows that a column of booleans, 0 and 1, or words such as train and valid marks."""
    marks = dict(column.families)
    if column.kind == "text":
        words = pc.utf8_lower(marks["text"].cast(pa.string()))
        known = pc.is_in(words, pa.array([*TRAIN, *HELD_OUT]))
        held_out = pc.is_in(words, pa.array(HELD_OUT))
    elif column.kind in ("number", "boolean"):
        values = marks[column.kind].cast(pa.float64())
        known = pc.is_in(values, pa.array([0.0, 1.0]))
        held_out = pc.equal(values, 1.0).fill_null(False)
    else:
        known = held_out = pa.array([False] * column.n_rows, pa.bool_())
    if not pc.all(known, min_count=0).as_py():
        raise InputError(
            f"the column {column.name!r} of --validation must hold true and false, 1 and 0, or"
            f" {TRAIN[0]!r} and {HELD_OUT[0]!r} (also 'test') in every row"
        )
    mask = np.asarray(held_out)
    if mask.all() or not mask.any():
        state = "all" if mask.all() else "no"
        raise InputError(f"the column {column.name!r} of --validation holds out {state} rows")
    return mask


def weights(column: Column) -> np.ndarray:
    """How much each row counts (n_rows,), float64, from the column of --sample-weight."""
    if column.kind not in ("number", "boolean"):
        raise InputError(
            f"the column {column.name!r} of --sample-weight must hold numbers, but holds"
            f" {column.kind} values"
        )
    return column.floats()


def _group_labels(column: Column) -> np.ndarray:
    """A number for each value of the column; missing ones are one group."""
    codes = np.zeros(column.n_rows, np.int64)
    for array in column.families.values():
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        places = np.asarray(encoded.indices.cast(pa.int64()).fill_null(-1))
        codes = np.where(places >= 0, places + codes.max() + 1, codes)
    return codes


# --- the target -------------------------------------------------------------------------


def _target(column: Column, task: str) -> tuple[np.ndarray, str]:
    """The target as a vector, and the kind of the task."""
    check_task(task)
    if column.kind not in ("number", "boolean", "text"):
        raise InputError(f"the target {column.name!r} holds {column.kind} values; it must be"
                         " numbers or labels")  # fmt: skip
    array = column.families[column.kind]
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    y = np.asarray(array.to_numpy(zero_copy_only=False))
    if column.kind == "text":
        _refuse_misread(column.name, y, task)
        y = y.astype(str)
    task = learn_target(y, task).task  # refuses what does not suit it
    return (y.astype(np.float64) if task in ("regression", "count") else y), task


def _refuse_misread(name: str, y: np.ndarray, task: str) -> None:
    """Refuse text where numbers are needed, and what is unlikely to be labels.

    As where most values are numbers, or most rows have a value of their own.
    """
    values, rows = np.unique(y.astype(str), return_counts=True)
    text = np.array([not _is_number(value) for value in values.tolist()])
    if task in ("regression", "count") or (task == "auto" and 2 * text.sum() < len(text)):
        raise InputError(
            f"the target {name!r} must hold numbers, but holds text in"
            f" {plural(int(rows[text].sum()), 'row')}: {some(values[text].tolist())}"
            + ("; correct it, or say --task multiclass" if task == "auto" else "")
        )
    if task == "auto" and len(y) >= FEW_LABELS and 2 * len(values) > len(y):
        raise InputError(
            f"the target {name!r} holds text with {len(values):,} different values in {len(y):,}"
            f" rows: {some(values.tolist())}; correct it, or say --task multiclass"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_task(task: str) -> None:
    """Refuse what is no kind of task."""
    if task not in ("auto", *TASKS):
        raise InputError(f"--task must be auto, {', '.join(TASKS)}; got {task!r}")
