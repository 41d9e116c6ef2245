"""The training table, read: arrays, target, weights, and what binds rows when they are split."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d

from catvec._checks import check_float, refuse, some, users_stacklevel
from catvec.effects import Evidence, Statistics
from catvec.errors import CatvecWarning, InputError
from catvec.estimators._memory import NO_LIMITS, Limits, within_budget
from catvec.estimators._near_rows import rows_together
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._transfer import Transfer, refuse_compressed, sources
from catvec.frames import (
    Arrays,
    Frame,
    Schema,
    TableSpec,
    Target,
    Ties,
    Vocabulary,
    learn_target,
    one_column,
    open_frame,
    read_moments,
    read_specs,
    refuse_lasting,
    twins,
)
from catvec.network import Inputs, TrainingData, looked_up
from catvec.vectors import ColumnVectors

MOST_WEIGHT = 1e38  # of all rows together, in float32
LIGHT = 0.005  # mean weight, below which weights are hardly meant as rows
KNOTS = 128  # what n_knots="auto" means


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The rows of a fit.

    Attributes
    ----------
    schema : Schema
        What was learned about the columns.
    target : Target
        What was learned about the target.
    arrays : Arrays
        The rows.
    values : ndarray of shape (n_rows,), float64
        The target; class numbers for classes.
    weight : ndarray of shape (n_rows,), float64, or None
        Weights of the rows; None for ones.
    ties : Ties
        What binds rows when they are split.
    held_out : TrainingData or None
        Rows the user gave to choose by.
    lines : ndarray of shape (n_rows, n_categorical), int32, or None
        Codes that tell rare values apart, see `Vocabulary.lines`; None where none are rare.
    limits : Limits
        What a budget of memory leaves.
    transfer : Transfer or None
        What vectors learned elsewhere say of the columns.
    rows_together : int
        Rows side by side that the ties keep together since they are alike; 1 for none.
    grouped : bool
        Whether rows of a group are alike: the user named it, or they stand side by side.
    """

    schema: Schema
    target: Target
    arrays: Arrays
    values: np.ndarray
    weight: np.ndarray | None
    ties: Ties
    held_out: TrainingData | None = None
    lines: np.ndarray | None = None
    limits: Limits = NO_LIMITS
    transfer: Transfer | None = None
    rows_together: int = 1
    grouped: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def in_time(self) -> bool:
        """Whether rows come in time, and later ones are to be predicted from earlier ones."""
        return self.ties.time is not None

    def take(self, rows: np.ndarray) -> TrainingSet:
        """Some of the rows."""
        weight = None if self.weight is None else self.weight[rows]
        return replace(
            self,
            arrays=self.arrays.take(rows),
            values=self.values[rows],
            weight=weight,
            ties=self.ties.take(rows),
            lines=None if self.lines is None else self.lines[rows],
        )

    def evidence(self) -> Evidence:
        """What effects are learned from."""
        weight = np.ones(len(self)) if self.weight is None else self.weight
        task, n_classes = self.target.task, self.target.n_outputs
        codes, n_codes = self.arrays.codes, self.schema.n_codes
        kinds = enumerate(self.schema.kinds)
        lists = {c: self.arrays.lists[k.number] for c, k in kinds if k.name == "list"}
        return Evidence(codes, n_codes, self.values, task, n_classes, weight, lists)

    def statistics(self) -> Statistics:
        """What later rows are added to: by line of each column, by code of each pair."""
        evidence = self.evidence()
        if self.lines is None:
            return Statistics.of(evidence)
        n_columns = self.lines.shape[1]
        codes = np.concatenate([self.lines, evidence.codes[:, n_columns:]], axis=1)
        n_lines = tuple(v.n_lines for v in self.schema.vocabularies)
        n_codes = n_lines + evidence.n_codes[n_columns:]
        return Statistics.of(replace(evidence, codes=codes, n_codes=n_codes))

    def data(self) -> TrainingData:
        """What networks learn from."""
        weight = None if self.weight is None else self.weight.astype(np.float32)
        inputs = network_inputs(self.schema, self.arrays)
        return TrainingData(inputs, self.target.standardized(self.values), weight)


def network_inputs(schema: Schema, arrays: Arrays) -> Inputs:
    """Rows as a network takes them."""
    values = arrays.values
    looks = looked_up(schema.kinds, arrays.codes, arrays.hashes)
    dense, positions = schema.dense(values), schema.positions(values)
    return Inputs(arrays.codes, dense, positions, looks, arrays.lists)


def read_training_set(
    p: SharedParameters,
    X: object,
    y: object,
    *,
    task: str,
    class_weight: Mapping[Any, float] | str | None = None,
    sample_weight: object = None,
    groups: object = None,
    X_val: object = None,
    y_val: object = None,
    classes: object = None,
    in_order: bool = False,
    target: Target | None = None,
    vocabulary_counts: Mapping[str, Any] | None = None,
) -> TrainingSet:
    """Open the user's table and target, and learn their columns.

    Returns
    -------
    TrainingSet

    Raises
    ------
    InputError
        If anything in them does not fit; the message names the column or rows.
    """
    frame = open_frame(X)
    _refuse_nothing(frame)
    y = read_target(y)
    _same_length(frame, y, "y")
    time, leave_out = _time(frame, p)
    if time is None and in_order:  # a splitter in time says that the rows are in its order
        time = np.arange(frame.n_rows)
    init = sources(p, frame)
    weight = None if sample_weight is None else _checked_weights(frame, sample_weight)
    target = learn_target(y, task, classes, weight) if target is None else target
    weighted = sample_weight is not None or class_weight is not None
    schema, arrays, limits = _learn_schema(
        p, frame, leave_out, target, init, vocabulary_counts, weighted, in_time=time is not None
    )
    if target.classes is not None and len(target.classes) < 2:
        (only,) = target.classes.tolist()
        raise InputError(f"the target has one class only, {only!r}; a classifier needs two")
    values = target.values(y)
    weight = _with_class_weight(weight, target, values, class_weight)
    values = target.of_say(values, weight)
    ties, together = _ties(_group_numbers(frame, groups), time, arrays, values, target)
    # Lists are not told apart: models of them do not grow.
    rare = any(v.n_lines > v.n_codes for v in schema.vocabularies) and not schema.list_weights
    lines = schema.lines(frame) if rare else None
    training = TrainingSet(
        schema,
        target,
        arrays,
        values,
        weight,
        ties,
        lines=lines,
        limits=limits,
        transfer=None if p.init is None else Transfer.of(p, schema, init),
        rows_together=together,
        grouped=groups is not None or together > 1,
    )
    return replace(training, held_out=held_out_rows(p, training, X_val, y_val))


def read_further_rows(
    frame: Frame,
    y: object,
    target: Target,
    *,
    sample_weight: object = None,
    class_weight: Mapping[Any, float] | str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Target and weights of rows that come after a fit.

    Returns
    -------
    values : ndarray of shape (n_rows,), float64
        As `Target.values` gives them.
    weight : ndarray of shape (n_rows,), float64
        Ones where nothing else is said.

    Raises
    ------
    InputError
        If they do not fit the rows or what was learned of the target.
    """
    _refuse_nothing(frame)
    y = read_target(y)
    _same_length(frame, y, "y")
    values = target.checked_values(y)
    weight = None if sample_weight is None else _checked_weights(frame, sample_weight)
    weight = _with_class_weight(weight, target, values, class_weight)
    values = target.of_say(values, weight)
    return values, np.ones(len(values)) if weight is None else weight


def _learn_schema(
    p: SharedParameters,
    frame: Frame,
    leave_out: Sequence[str],
    target: Target,
    init: Mapping[str, ColumnVectors],
    vocabulary_counts: Mapping[str, Any] | None,
    weighted: bool,
    *,
    in_time: bool,
) -> tuple[Schema, Arrays, Limits]:
    """Columns and rows, and what a budget of memory leaves."""
    n_knots = KNOTS if p.n_knots == "auto" else int(p.n_knots)
    specs = read_specs(p.tables)

    def learned(specs: Mapping[str, TableSpec]) -> tuple[Schema, Arrays]:
        refuse_compressed(specs, init)
        return Schema.learn(
            frame,
            columns=p.columns,
            min_frequency=p.min_frequency,
            n_knots=n_knots,
            leave_out=leave_out,
            specs=specs,
            known={name: source.vocabulary for name, source in init.items()},
            vocabulary_counts=vocabulary_counts,
            in_time=in_time,
        )

    schema, arrays = learned(specs)
    lists = [c for c, kind in enumerate(schema.kinds) if kind.name == "list"]
    refuse_compressed({schema.vocabularies[c].name: TableSpec("list") for c in lists}, init)
    if p.memory_budget is None:
        return schema, arrays, NO_LIMITS
    n_effects = target.n_outputs
    fitting, limits = within_budget(p, schema, specs, frame.n_rows, n_effects, weighted)
    if fitting != specs:
        schema, arrays = learned(fitting)
    return schema, arrays, limits


def read_target(y: object) -> np.ndarray:
    """The target as a vector; a single column is taken with scikit-learn's warning.

    Raises
    ------
    InputError
        If there is no target, or it has more than one column.
    """
    if y is None:
        raise InputError("requires y to be passed, but the target y is None")
    try:
        vector = _as_vector(y)
    except ValueError as error:
        raise InputError(f"y should be a 1d array, with a value by row: {error}") from error
    if vector.ndim == 0:
        raise InputError(
            f"y should be a 1d array, with a value by row, got {some([y])}; the name of a column is"
            " for `fit` to a file or a series of frames"
        )
    if np.iscomplexobj(vector):
        raise InputError("Complex data not supported")
    if vector.ndim > 1 and vector.shape[1:] != (1,):
        raise InputError(
            f"y should be a 1d array, got an array of shape {vector.shape} instead;"
            " fit one model by target"
        )
    return np.asarray(column_or_1d(vector, warn=True))


def _as_vector(y: object) -> np.ndarray:
    """What NumPy makes of it; but what is masked is missing, and no number becomes a text."""
    if np.ma.is_masked(y):
        return np.array(np.ma.asarray(y).tolist(), dtype=object)
    vector = np.asarray(y)
    if vector.dtype.kind == "U" and vector.ndim == 1 and isinstance(y, list | tuple):
        return vector if all(isinstance(v, str) for v in y) else np.array(y, dtype=object)
    return vector


def _refuse_nothing(frame: Frame) -> None:
    # scikit-learn's wording, which its checks look for.
    if frame.n_rows == 0:
        shape = (0, len(frame.names))
        raise InputError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required."
        )
    if not frame.names:
        shape = (frame.n_rows, 0)
        raise InputError(f"0 feature(s) (shape={shape}) while a minimum of 1 is required.")


def _same_length(frame: Frame, vector: np.ndarray, name: str) -> None:
    if len(vector) != frame.n_rows:
        raise InputError(
            f"X and {name} have inconsistent numbers of rows: {frame.n_rows} and {len(vector)}"
        )


def _time(frame: Frame, p: SharedParameters) -> tuple[np.ndarray | None, list[str]]:
    """Ranks of the rows in time, and the time column if it is to be left out."""
    if p.time_column is None:
        return None, []
    (name,) = frame.resolve([p.time_column], "time_column")
    moments = read_moments(frame, name, "time")
    is_feature = p.columns is not None and name in frame.resolve(p.columns, "columns")
    return np.unique(moments, return_inverse=True)[1], [] if is_feature else [name]


def _with_class_weight(
    weight: np.ndarray | None,
    target: Target,
    values: np.ndarray,
    class_weight: Mapping[Any, float] | str | None,
) -> np.ndarray | None:
    """Weights of the rows times those of their classes."""
    if class_weight is None:
        return weight
    rows = np.bincount(values.astype(np.int64), weight, target.n_labels)
    by_class = class_weights(class_weight, target, rows)
    weight = by_class[values.astype(np.int64)] * (1.0 if weight is None else weight)
    if not weight.any():
        raise InputError("`class_weight` leaves no row any weight; give some class more than 0")
    return weight


def _checked_weights(frame: Frame, sample_weight: object) -> np.ndarray:
    try:
        if np.asarray(sample_weight).dtype.kind in "cmM":  # which NumPy casts
            raise TypeError("got dates, durations or complex numbers")
        weight = np.ma.filled(np.ma.array(sample_weight, dtype=np.float64), np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"`sample_weight` must be numbers, a row each: {error}") from error
    if weight.ndim == 0:
        weight = np.full(frame.n_rows, float(weight))
    if weight.ndim != 1:
        raise InputError(f"Sample weights must be 1D array or scalar, got {weight.ndim} dimensions")
    _same_length(frame, weight, "sample_weight")
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong):
        raise InputError(
            "`sample_weight` must be finite and not negative, got"
            f" {some(weight[wrong].tolist())} in rows {some(wrong.tolist())}"
        )
    if weight.sum() <= 0:
        raise InputError("`sample_weight` is zero everywhere; no row would count")
    refuse_heavy(float(weight.sum()))
    if weight.sum() < LIGHT * np.count_nonzero(weight):
        warnings.warn(
            f"`sample_weight` adds up to {weight.sum():.3g} in {np.count_nonzero(weight):,} rows;"
            " weights are in rows, so these are next to none, and effects are shrunk accordingly:"
            " divide the weights by their mean",
            CatvecWarning,
            stacklevel=users_stacklevel(),
        )
    return weight


def refuse_heavy(total: float) -> None:
    """Refuse weights that add up to more than float32 holds."""
    if total > MOST_WEIGHT:
        raise InputError(
            f"`sample_weight` must add up to at most {MOST_WEIGHT:g}, got {total:g}; weights are in"
            " rows: divide them by their mean"
        )


def class_weights(
    class_weight: Mapping[Any, float] | str, target: Target, rows: np.ndarray
) -> np.ndarray:
    """Weights by class, from what was asked for and the rows of each class, as they weigh."""
    classes = target.classes
    assert classes is not None
    if class_weight == "balanced":
        shares = rows / rows.sum()
        # A class without rows, or with rows of no weight, has none to balance.
        return np.divide(1 / len(classes), shares, np.zeros(len(classes)), where=shares > 0)
    if not isinstance(class_weight, Mapping):
        raise refuse("class_weight", 'None, "balanced" or a mapping by class', class_weight)
    strange = [label for label in class_weight if label not in classes]
    bare = [label for label in classes.tolist() if label not in class_weight]
    if strange and bare:  # as in scikit-learn: a fold may lack a class, but a label be mistyped
        raise InputError(
            f"`class_weight` names labels that y does not hold: {some(strange)}; y holds"
            f" {some(bare)} without a weight"
        )
    given = [class_weight.get(label, 1.0) for label in classes.tolist()]
    return np.array([check_float("class_weight", value, minimum=0.0) for value in given])


def _group_numbers(frame: Frame, groups: object) -> np.ndarray | None:
    if groups is None:
        return None
    _, codes = Vocabulary.learn(one_column("groups", groups))  # missing ones are a group, too
    _same_length(frame, codes, "groups")
    # Numbered as they come, so that what they are called parts rows no other way.
    _, first, number = np.unique(codes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]


def _ties(
    groups: np.ndarray | None,
    time: np.ndarray | None,
    arrays: Arrays,
    values: np.ndarray,
    target: Target,
) -> tuple[Ties, int]:
    """What binds rows, and how many rows side by side are one."""
    together = 1
    if groups is None and time is None:
        groups, together = _bound_by_nature(arrays, values, target)
    strata = values.astype(np.int64) if target.classes is not None else None
    ties = Ties(len(values), groups, time, strata)
    moments = ties.moments
    if groups is not None and moments is not None:
        refuse_lasting(moments)
    return ties, together


def _bound_by_nature(
    arrays: Arrays, values: np.ndarray, target: Target
) -> tuple[np.ndarray | None, int]:
    """Groups of rows that nobody named, and how many rows side by side are one."""
    together = rows_together(arrays.codes, arrays.values, values, target)
    if together > 1:
        return np.arange(len(values)) // together, together
    return twins(arrays.codes, arrays.values), 1


def held_out_rows(
    p: SharedParameters, training: TrainingSet, X_val: object, y_val: object
) -> TrainingData | None:
    """The rows that the user gave to choose by, if any."""
    if (X_val is None) != (y_val is None):
        raise InputError("give both X_val and y_val, or neither")
    if X_val is None:
        return None
    try:
        frame, y = open_frame(X_val), read_target(y_val)
        _same_length(frame, y, "y_val")
        if not len(y):
            raise InputError("there are no rows")
        values = training.target.checked_values(y)
        if p.handle_unknown == "error":
            training.schema.check_known(frame)
        inputs = network_inputs(training.schema, training.schema.read(frame))
    except InputError as error:
        raise type(error)(f"X_val and y_val: {error}") from error
    return TrainingData(inputs, training.target.standardized(values), None)
