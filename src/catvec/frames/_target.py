"""The target: what kind of task it sets, what the network learns for it, and the way back."""

from __future__ import annotations

import datetime
import numbers
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from catvec._checks import refuse, some, users_stacklevel
from catvec.errors import CatvecWarning, InputError
from catvec.frames._column import as_utc
from catvec.frames._csv import MISSING_MARKS

TASKS = ("regression", "binary", "multiclass", "count")
Label = str | numbers.Real | np.bool_ | np.datetime64  # what a label of classes may be
LARGEST = 1e37  # effects are float32, which ends at 3e38
TOO_LARGE = f"the target is too large: effects are float32; divide it, to less than {LARGEST:g}"
MOST_CLASSES = 20  # integers with more distinct values than this are taken for a regression


@dataclass(frozen=True, eq=False)
class Target:
    """What was learned about the target.

    Attributes
    ----------
    task : {"regression", "binary", "multiclass", "count"}
        What is predicted.
    classes : ndarray of shape (n_classes,) or None
        The labels in ascending order; None for regressions and counts.
    center, scale : float
        Mean and standard deviation, each row by its weight, by which a regression's target is
        standardised; else 0 and 1.
        A constant target has scale 0, so that whatever a network says is predicted as the constant.
    """

    task: str
    classes: np.ndarray | None
    center: float
    scale: float

    @property
    def n_outputs(self) -> int:
        """Scores by row: one, or one by class for more than two classes."""
        return len(self.classes) if self.task == "multiclass" and self.classes is not None else 1

    @property
    def n_labels(self) -> int:
        """Labels of classes; 0 without."""
        return 0 if self.classes is None else len(self.classes)

    @property
    def labels(self) -> list[Any] | None:
        """The classes as columns and files name them; None without."""
        return None if self.classes is None else plain_labels(self.classes)

    def values(self, y: np.ndarray) -> np.ndarray:
        """Labels as class numbers, counts and measures as they are; float64.

        Raises
        ------
        InputError
            If `y` holds labels that training did not, or text where numbers are needed.
        """
        if self.classes is None:
            return _numeric(y)
        y = _settled(y)
        try:
            place = np.searchsorted(self.classes, y)
        except TypeError as error:
            raise InputError(f"the labels are of another type than in training: {error}") from error
        place = np.minimum(place, len(self.classes) - 1)
        new = self.classes[place] != y
        if new.any():
            raise InputError(f"labels not seen in training: {some(np.unique(y[new]).tolist())}")
        return place.astype(np.float64)

    def checked_values(self, y: np.ndarray) -> np.ndarray:
        """As `values`, of rows that are to be learned.

        Raises
        ------
        InputError
            As `values`, and if a value is missing or infinite, or a count negative.
        """
        _refuse_gaps(y)
        values = self.values(y)
        _refuse_misfit(values, self.task)
        if (np.abs(values) > LARGEST).any():
            raise InputError(TOO_LARGE)
        return values

    def standardized(self, values: np.ndarray) -> np.ndarray:
        """What the network learns, float32 of shape (n_rows,)."""
        return ((values - self.center) / (self.scale or 1.0)).astype(np.float32)

    def of_say(self, values: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        """The values, of rows without weight the centre.

        Nothing of these rows is learned, and 0 times what float32 cannot square is not 0.
        """
        if weight is None or self.classes is not None:
            return values
        return np.where(weight > 0, values, self.center)

    def with_spread(self, values: np.ndarray, weight: np.ndarray) -> Target:
        """The same; of a target that was constant so far, with the scale of further rows.

        What networks learned of a constant is nothing, at any scale.
        """
        if self.scale or not len(values):
            return self
        squares = (values - self.center) ** 2
        deviation = float(np.average(squares, weights=weight) ** 0.5)
        return replace(self, scale=_scale(self.center, deviation))

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold."""
        classes = None
        if self.classes is not None:
            dates = self.classes.dtype.kind in "mM"  # as numbers: JSON knows no dates
            values = self.classes.astype(np.int64) if dates else self.classes
            classes = {"values": values.tolist(), "dtype": self.classes.dtype.str}
        return {
            "task": self.task,
            "classes": classes,
            "center": self.center,
            "scale": self.scale,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Target:
        """Undo `to_json`."""
        stored = data["classes"]
        classes = None if stored is None else np.array(stored["values"], dtype=stored["dtype"])
        return cls(data["task"], classes, data["center"], data["scale"])


def plain_labels(classes: np.ndarray) -> list[Any]:
    """Labels as Python values, dates as text, such as 2020-01-01."""
    if classes.dtype.kind == "M":
        classes = np.datetime_as_string(classes, unit="auto")
    elif classes.dtype.kind == "m":
        classes = classes.astype(str)
    return list(classes.tolist())


def learn_target(
    y: np.ndarray, task: str, classes: object = None, weight: np.ndarray | None = None
) -> Target:
    """What the target of the training rows tells.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Numbers for a regression or counts, labels of any one type for classes.
    task : {"auto", "regression", "binary", "multiclass", "classification", "count"}
        ``"auto"`` decides by `infer_task`; ``"classification"`` by the number of labels.
    classes : array-like, optional
        All labels, those that only later rows will hold as well.
    weight : ndarray of shape (n_rows,), optional
        Of the rows, not all 0; by default they count alike.

    Returns
    -------
    Target

    Raises
    ------
    InputError
        If a value is missing, infinite or no number where numbers are needed, if a count is
        negative, if a binary target has more than two labels, or if there are labels beside
        `classes`.
    ParameterError
        If `classes` are given for a regression or counts.
    """
    _refuse_gaps(y)
    y = _settled(y)
    labels = y if classes is None else _settled(np.asarray(classes))
    task = infer_task(labels) if task == "auto" else task
    if task in ("regression", "count"):
        if classes is not None:
            raise refuse("classes", f"None for a {task}", classes)
        return _learn_numbers(_numeric(y), task, weight)
    target = _learn_classes(_distinct_labels(labels), task)
    if classes is not None:
        target.values(y)  # refuses other labels
    return target


def _learn_classes(classes: np.ndarray, task: str) -> Target:
    if classes.dtype.kind == "f" and (classes != np.trunc(classes)).any():
        raise InputError(
            f"Unknown label type: continuous numbers such as {some(classes[:3].tolist())} are no"
            " labels; use a regression, or cut them into classes"
        )
    if task == "classification":
        task = "multiclass" if len(classes) > 2 else "binary"
    if task == "binary" and len(classes) > 2:
        raise InputError(
            f"a binary target has two labels, got {some(classes.tolist())}; the task of more is"
            " multiclass"
        )
    _warn_of_marks(classes)
    return Target(task, classes, 0.0, 1.0)


def _warn_of_marks(classes: np.ndarray) -> None:
    """Say which label may stand for a missing one; "none" is more often one of its own."""
    marks = {*MISSING_MARKS} - {"none"}
    found = [c for c in classes.tolist() if isinstance(c, str) and c.strip().lower() in marks]
    if found:
        warnings.warn(
            f"the target has the class {found[0]!r}, as which a missing value is often written;"
            " leave those rows out, if it stands for one",
            CatvecWarning,
            stacklevel=users_stacklevel(),
        )


def infer_task(y: np.ndarray) -> str:
    """The task a target sets: floats, and integers with more than 20 values, are a regression.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        The target.

    Returns
    -------
    str
        ``"regression"``, ``"binary"`` or ``"multiclass"``.
    """
    y = _settled(y)
    if y.dtype.kind == "f":
        return "regression"
    n_labels = len(_distinct_labels(y))
    if y.dtype.kind in "iu" and n_labels > MOST_CLASSES:
        return "regression"
    return "multiclass" if n_labels > 2 else "binary"


def _learn_numbers(values: np.ndarray, task: str, weight: np.ndarray | None) -> Target:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.average(values, weights=weight))
        deviation = float(np.average((values - mean) ** 2, weights=weight) ** 0.5)
    _refuse_misfit(values, task)
    return numbers_target(task, mean, deviation, float(values.min(initial=np.inf)))


def numbers_target(task: str, mean: float, deviation: float, smallest: float) -> Target:
    """The target of a regression or of counts, from what its finite values are like.

    Parameters
    ----------
    task : {"regression", "count"}
        What is predicted.
    mean, deviation, smallest : float
        Of the values.

    Returns
    -------
    Target

    Raises
    ------
    InputError
        If a count is negative, or the values are too large.
    """
    if task == "count":
        if smallest < 0:
            raise InputError(
                f"a count cannot be negative, but the target falls to {smallest:g}; drop such rows,"
                " or choose another `loss`"
            )
        return Target(task, None, 0.0, 1.0)
    scale = _scale(mean, deviation)
    if not scale <= LARGEST:
        raise InputError(TOO_LARGE)
    return Target(task, None, mean, scale)


def _scale(center: float, deviation: float) -> float:
    """The deviation; 0 of a constant, whose computed one may be rounding, not exactly 0."""
    return 0.0 if deviation <= 1e-12 * abs(center) else deviation


def _refuse_gaps(y: np.ndarray) -> None:
    if y.dtype.kind == "O":
        gaps = np.fromiter((v is None or type(v).__name__ == "NAType" or v != v for v in y), bool)
    else:
        gaps = np.isnat(y) if y.dtype.kind in "mM" else y != y
    if gaps.any():
        rows = some(np.flatnonzero(gaps).tolist())
        raise InputError(
            f"the target is missing (NaN) in {int(gaps.sum())} rows: {rows}; drop them"
        )


def _refuse_misfit(values: np.ndarray, task: str) -> None:
    """Refuse infinite numbers, and counts below 0."""
    infinite = np.flatnonzero(~np.isfinite(values)).tolist()
    if infinite:
        raise InputError(f"the target contains infinity or NaN in rows {some(infinite)}; drop them")
    negative = np.flatnonzero(values < 0)
    if task == "count" and len(negative):
        raise InputError(
            f"a count cannot be negative, but the target is {some(values[negative].tolist())} in"
            f" rows {some(negative.tolist())}; drop them, or choose another `loss`"
        )


def _settled(y: np.ndarray) -> np.ndarray:
    """The target without the wrapping of objects, where they are all numbers or all dates."""
    if y.dtype.kind == "c":
        raise InputError("Complex data not supported")
    if y.dtype.kind not in "OT":
        return y
    cells = y.tolist()
    if all(isinstance(v, numbers.Real) and not isinstance(v, bool | np.bool_) for v in cells):
        return np.array(cells)
    if all(isinstance(v, datetime.date) for v in cells):
        return np.array([as_utc(v) for v in cells], dtype="datetime64[us]")
    return y.astype(object)


def _numeric(y: np.ndarray) -> np.ndarray:
    cells = y.tolist() if y.dtype.kind not in "biuf" else []
    strange = [v for v in cells if isinstance(v, str | bytes | datetime.date | datetime.timedelta)]
    try:
        if not strange and y.dtype.kind not in "mM":
            return y.astype(np.float64)
    except (TypeError, ValueError):
        strange = [v for v in cells if not isinstance(v, numbers.Real)]
    distinct = {repr(v): v for v in strange or map(str, y[:1])}.values()
    raise InputError(
        f"the target must be numeric for this task, but holds {some(distinct)};"
        " labels need a classifier"
    )


def _distinct_labels(y: np.ndarray) -> np.ndarray:
    kinds = {type(v) for v in y} if y.dtype.kind == "O" else {y.dtype.type}
    if not all(issubclass(kind, Label) for kind in kinds):
        raise InputError(
            f"the labels must be text, numbers, booleans or dates, got {_named(kinds)}; convert"
            " them, to text for example"
        )
    try:
        if kinds & {bool, np.bool_} and not kinds <= {bool, np.bool_}:  # True would be 1
            raise TypeError("booleans among others")
        return np.unique(y)
    except TypeError as error:
        message = f"the labels of the target must be of one type, got {_named(kinds)}"
        raise InputError(message) from error


def _named(kinds: set[type]) -> str:
    return some(sorted(kind.__name__ for kind in kinds))
