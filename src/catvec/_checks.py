"""One message shape for every parameter error: what it must be, and what was got."""

from __future__ import annotations

import math
import numbers
import sys
from collections import Counter
from collections.abc import Collection, Iterable
from types import FrameType
from typing import Any

import numpy as np

from catvec.errors import InputError, ParameterError

SHOWN = 5  # offending values named in a message


def _shown(value: object) -> str:
    text = repr(value)
    if "\n" in text:  # a table, of whose first line nobody learns what is wrong
        return type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


def refuse(name: str, must: str, got: object) -> ParameterError:
    """The error for a parameter: `` `name` must be ..., got ... ``."""
    return ParameterError(f"`{name}` must be {must}, got {_shown(got)}")


def check_n_jobs(n_jobs: Any) -> None:
    """Refuse what is no number of threads."""
    is_int = isinstance(n_jobs, numbers.Integral) and not isinstance(n_jobs, bool)
    if n_jobs is not None and (not is_int or n_jobs == 0):
        raise refuse("n_jobs", "None or an int other than 0", n_jobs)


def users_stacklevel() -> int:
    """`stacklevel` of a warning, so that it points to the user's line, whatever it called.

    scikit-learn wraps `transform`.
    """
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if not module.startswith(("catvec.", "sklearn.")):
            break
        frame, level = frame.f_back, level + 1
    return level


def some(values: Iterable[object]) -> str:
    """Up to five values for a message, and how many more there are."""
    listed = list(values)
    text = ", ".join(_shown(value) for value in listed[:SHOWN])
    return text + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")


def check_categorical(
    parameter: str, asked: Iterable[str], names: Collection[str], remedy: str = ""
) -> None:
    """Refuse a parameter that names others than the categorical columns `names`."""
    strange = [name for name in dict.fromkeys(asked) if name not in names]
    if strange:
        raise InputError(
            f"`{parameter}` names {some(strange)}, which are no categorical columns; these are"
            f" {some(names)}{remedy}"
        )


def check_int(name: str, value: Any, *, minimum: int, maximum: int | None = None) -> int:
    """`value` as an int that is between the bounds; booleans are refused."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < minimum or (maximum is not None and value > maximum):
        bounds = f">= {minimum}" if maximum is None else f"in [{minimum}, {maximum}]"
        raise refuse(name, f"an int {bounds}", value)
    return int(value)


def check_float(
    name: str,
    value: Any,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    strict: bool = False,
) -> float:
    """`value` as a finite float between the bounds, which are excluded if `strict`."""
    left, right = "()" if strict else "[]"
    numeric = isinstance(value, numbers.Real) and not isinstance(value, bool)
    inside = numeric and math.isfinite(value) and minimum <= value <= maximum
    if not inside or (strict and value in (minimum, maximum)):
        left = "(" if minimum == -math.inf else left
        right = ")" if maximum == math.inf else right
        raise refuse(name, f"a float in {left}{minimum:g}, {maximum:g}{right}", value)
    return float(value)


def check_bool(name: str, value: Any) -> bool:
    """`value` as a boolean, Python's or NumPy's."""
    if not isinstance(value, bool | np.bool_):
        raise refuse(name, "True or False", value)
    return bool(value)


def check_option(name: str, value: Any, options: Collection[str]) -> str:
    """`value` as one of the strings `options`."""
    if not isinstance(value, str) or value not in options:
        raise refuse(name, "one of " + ", ".join(map(repr, options)), value)
    return value


def check_distinct(name: str, values: Collection[str]) -> None:
    """Refuse names of which one occurs twice."""
    if twice := repeated(values):
        raise ParameterError(f"`{name}` must have distinct names, got twice: {some(twice)}")


def repeated(values: Iterable[str]) -> list[str]:
    """What occurs more than once."""
    return [value for value, count in Counter(values).items() if count > 1]
