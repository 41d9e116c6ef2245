"""Vectors to test with: columns of every type, with awkward names and values."""

import datetime

import numpy as np

from catvec.frames import Pair, Vocabulary, one_column
from catvec.vectors import CategoryVectors, ColumnVectors, PairEffects

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


def make_pair(first, second, *, seed=0, share=0.6, n_classes=None, classes=None):
    """Random effects for some of all combinations of two columns' categories."""
    rng = np.random.default_rng([seed, len(first), len(second)])
    one, other = first.vocabulary, second.vocabulary
    grid = np.indices((one.n_codes, other.n_codes), np.int32).reshape(2, -1)
    rows = np.repeat(np.flatnonzero(rng.random(grid.shape[1]) < share), 2)
    codes = grid[0, rows], grid[1, rows]
    pair = Pair.learn(first.name, second.name, other.n_codes, codes)
    n = pair.n_codes
    return PairEffects(
        pair,
        one,
        other,
        rng.normal(size=n if n_classes is None else (n, n_classes)),
        rng.random(n),
        classes=classes,
    )


PAIRS = [
    ("Store", "city"),
    ("price", "day"),
    ("mixed", "open"),
    ("time", "big"),
    ("Store", "no categories"),
    ("../../etc/passwd", "ключ\n\t"),
    ("", "rare"),
]


def make_paired(*, seed=0, n_classes=None, classes=None):
    """All columns of `make_vectors`, and pairs of columns of all kinds."""
    of_classes = {"n_classes": n_classes, "classes": classes}
    vectors = make_vectors(seed=seed, **of_classes)
    pairs = [make_pair(vectors[a], vectors[b], seed=seed, **of_classes) for a, b in PAIRS]
    columns = [vectors[name] for name in vectors]
    return CategoryVectors(columns, pairs=pairs, metadata=vectors.metadata)


def small_paired(seed=0):
    """Two columns and their pair."""
    vectors = small_vectors(seed)
    columns = [vectors[name] for name in vectors]
    return CategoryVectors(columns, pairs=[make_pair(*columns, seed=seed)])
