r"""Rules for the width of a table, by the number V of known categories; none looks at the data.

At V = 1,000,000 they span 8 to 600, and all their authors say: validate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from catvec._checks import check_int, check_option

__all__ = ["RULES", "rule"]


def half(cardinality: int) -> int:
    r"""Half the categories, at most 50.

    .. math:: d = \min(50, \lfloor (V + 1) / 2 \rfloor)

    Parameters
    ----------
    cardinality : int
        Known categories V, at least 1.

    Returns
    -------
    int
        Dimensions of a vector.

    References
    ----------
    fast.ai course "Deep Learning for Coders", 2018, lesson on structured data: a rule of thumb.

    Examples
    --------
    >>> half(7), half(1000)
    (4, 50)
    """
    return min(50, (cardinality + 1) // 2)


def quartic_root(cardinality: int) -> int:
    r"""The fourth root, rounded.

    .. math:: d = \operatorname{round}(V^{0.25})

    Parameters
    ----------
    cardinality : int
        Known categories V, at least 1.

    Returns
    -------
    int
        Dimensions of a vector.

    References
    ----------
    Google, "Introducing TensorFlow Feature Columns", 2017: "a general rule of thumb".

    Examples
    --------
    >>> quartic_root(81), quartic_root(1_000_000)
    (3, 32)
    """
    return max(1, round(math.pow(cardinality, 0.25)))


def cross(cardinality: int) -> int:
    r"""Six times the fourth root, and no wider than one-hot.

    .. math:: d = \min(V, \operatorname{round}(6 V^{0.25}))

    Parameters
    ----------
    cardinality : int
        Known categories V, at least 1.

    Returns
    -------
    int
        Dimensions of a vector.

    References
    ----------
    Wang et al. 2017, "Deep & Cross Network for Ad Click Predictions" (arXiv 1708.05123),
    section 4.2. NOTE[DIFF]: the paper does not clamp; below V = 11 it would exceed one-hot.

    Examples
    --------
    >>> cross(7), cross(10_000)
    (7, 60)
    """
    return min(cardinality, round(6 * math.pow(cardinality, 0.25)))


def fastai(cardinality: int) -> int:
    r"""A power of the cardinality, at most 600.

    .. math:: d = \min(600, \operatorname{round}(1.6 V^{0.56}))

    Parameters
    ----------
    cardinality : int
        Known categories V, at least 1.

    Returns
    -------
    int
        Dimensions of a vector.

    References
    ----------
    fastai, `emb_sz_rule` (fastai.tabular.model): found by trial and error, not derived.

    Examples
    --------
    >>> fastai(7), fastai(1000)
    (5, 77)
    """
    return min(600, max(1, round(1.6 * math.pow(cardinality, 0.56))))


def realmlp(cardinality: int) -> int:
    """One-hot up to 8 categories, 8 dimensions above.

    Parameters
    ----------
    cardinality : int
        Known categories V, at least 1.

    Returns
    -------
    int
        Dimensions of a vector.

    References
    ----------
    Holzmueller, Grinsztajn & Steinwart 2024, "Better by Default" (arXiv 2407.04491), RealMLP.
    NOTE[DIFF]: RealMLP leaves small columns one-hot; here they get a trained table as wide.

    Examples
    --------
    >>> realmlp(3), realmlp(1000)
    (3, 8)
    """
    return min(8, cardinality)


def tutorial(cardinality: int) -> int:
    """The middle of the ranges that tutorials give.

    Below 10 categories 2-4 dimensions, below 100 4-16, below 1,000 16-64, below 100,000 32-128,
    above 64-256; no wider than one-hot.

    Parameters
    ----------
    cardinality : int
        Known categories V, at least 1.

    Returns
    -------
    int
        Dimensions of a vector.

    References
    ----------
    A habit of tutorials without a common source. NOTE[DIFF]: we take the geometric middle of each
    range, and do not hash the largest columns.

    Examples
    --------
    >>> tutorial(7), tutorial(50), tutorial(50_000)
    (3, 8, 64)
    """
    steps = ((10, 3), (100, 8), (1_000, 32), (100_000, 64))
    return min(cardinality, next((dim for limit, dim in steps if cardinality < limit), 128))


def compact(cardinality: int) -> int:
    r"""Small tables, which a prior over rows serves best: what "auto" takes.

    .. math:: d = \min(V, 16, \max(2, \operatorname{round}(2 V^{0.25})))

    Parameters
    ----------
    cardinality : int
        Known categories V, at least 1.

    Returns
    -------
    int
        Dimensions of a vector.

    References
    ----------
    Ours: empirical, on the tables of our benchmarks.

    Examples
    --------
    >>> compact(1), compact(7), compact(1000), compact(1_000_000)
    (1, 3, 11, 16)
    """
    return min(cardinality, 16, max(2, round(2 * math.pow(cardinality, 0.25))))


RULES: dict[str, Callable[[int], int]] = {
    "compact": compact,
    "half": half,
    "quartic_root": quartic_root,
    "cross": cross,
    "fastai": fastai,
    "realmlp": realmlp,
    "tutorial": tutorial,
}
"""Named rules, from the number of known categories to the width of a table."""


def rule(name: str) -> Callable[[int], int]:
    """Return the rule called `name`.

    Parameters
    ----------
    name : str
        A key of `RULES`.

    Returns
    -------
    callable
        From a number of known categories (0 counts as 1) to dimensions.

    Raises
    ------
    ParameterError
        If there is no such rule, or a cardinality is no int >= 0.
    """
    chosen = RULES[check_option("embedding_dim", name, RULES)]

    def width(cardinality: int) -> int:
        return chosen(max(1, check_int("cardinality", cardinality, minimum=0)))

    return width
