"""Vectors to test with: columns of every type, with awkward names and values."""

import datetime

import numpy as np

from catvec.frames import Vocabulary, one_column
from catvec.vectors import CategoryVectors, ColumnVectors

VALUES = {
    "Store": [1, 2, 3, 2, None, 7],
    "city": ["Graz", "", "Łódź", "New York", "two\nlines", "a\tb", "100%", None],
    "price": [2.5, 3.0, float("nan"), -0.0],
    "open": [True, False, None],
    "day": [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2), None],
    "time": [datetime.datetime(2020, 1, 1, 5, 30, 0, 7), datetime.datetime(1960, 2, 29)],
    "mixed": [1, "1", True, 2.5, datetime.date(2020, 1, 1), None],
    "big": [2**64 - 1, 2**53 + 1, None],
    "no categories": [None, None],
    "no missing": ["x", "y"],
    "../../etc/passwd": ["a/b", "c:d"],
    "ключ\n\t": ["ü", "日本"],
    "": ["the column without a name"],
}


def make_column(name, values, *, seed=0, dim=3, n_classes=None, min_frequency=1, classes=None):
    """A column with random numbers for the categories of `values`."""
    rng = np.random.default_rng([seed, len(values), dim])
    vocabulary, _ = Vocabulary.learn(one_column(name, values), min_frequency=min_frequency)
    n = vocabulary.n_codes
    return ColumnVectors(
        vocabulary,
        rng.normal(size=(n, dim)).astype(np.float32),
        rng.normal(size=n if n_classes is None else (n, n_classes)).astype(np.float32),
        rng.random(n).astype(np.float32),
        classes=classes,
    )


def make_vectors(*, seed=0, **kwargs):
    """All columns of `VALUES`, and one with rare values."""
    columns = [make_column(name, values, seed=seed, **kwargs) for name, values in VALUES.items()]
    rare = make_column("rare", list("aaabbbcd"), seed=seed, min_frequency=2, **kwargs)
    metadata = {"loss": "squared", "history": [1.5, 0.25], "lossless": 0.1 + 0.2, "nothing": None}
    return CategoryVectors([*columns, rare], metadata=metadata)


def small_vectors(seed=0):
    """Two columns, for tests that save often."""
    columns = [make_column(name, VALUES[name], seed=seed) for name in ("Store", "city")]
    return CategoryVectors(columns, metadata={"seed": seed})
