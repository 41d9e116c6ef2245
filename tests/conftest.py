"""Fixtures shared by all tests: kinds of frames, one small table, a seed."""

import os

# Before the first import of numpy: two test processes share two cores.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

hypothesis.settings.register_profile("catvec", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("catvec")

Columns = dict[str, list[Any]]


def _pandas_arrow(columns: Columns) -> pd.DataFrame:
    arrays = {name: pa.array(values) for name, values in columns.items()}
    return pd.DataFrame(
        {name: pd.Series(pd.arrays.ArrowExtensionArray(array)) for name, array in arrays.items()}
    )


def _pandas_nullable(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame({name: pd.array(values) for name, values in columns.items()})


FRAME_KINDS: dict[str, Callable[[Columns], Any]] = {
    "pandas": pd.DataFrame,
    "pandas-nullable": _pandas_nullable,
    "pandas-arrow": _pandas_arrow,
    "polars": pl.DataFrame,
    "arrow": pa.table,
}


@pytest.fixture(params=FRAME_KINDS)
def frame_kind(request: pytest.FixtureRequest) -> str:
    """Run the test once for each kind of frame."""
    return request.param


@pytest.fixture
def as_frame(frame_kind: str) -> Callable[[Columns], Any]:
    """Turn a dict of lists, None where missing, into a frame of the kind under test."""
    return FRAME_KINDS[frame_kind]


@pytest.hookimpl(tryfirst=True)  # before those that are not asked for are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever runs only when it is asked for says why, and what runs always in its place."""
    for item in items:
        if any(not mark.kwargs.get("reason") for mark in item.iter_markers("slow")):
            raise pytest.UsageError(f"{item.nodeid}: give pytest.mark.slow a reason")


@pytest.fixture(scope="session", autouse=True)
def _one_limit() -> Iterator[None]:
    """One limit of BLAS's threads for all fits: 3 ms are spared each, in which it is looked for."""
    from catvec.network._committee import single_threaded_products

    with single_threaded_products():
        yield


@contextmanager
def _larger_batches() -> Iterator[None]:
    from catvec.estimators import _choice

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_choice, "FEWEST_STEPS", 3)
        yield


@pytest.fixture(scope="session")
def larger_batches() -> Callable[[], AbstractContextManager[None]]:
    """A context in which small tables are learned in three steps an epoch instead of thirty."""
    return _larger_batches


@pytest.fixture
def few_steps(request: pytest.FixtureRequest, larger_batches) -> Iterator[None]:
    """For tests of other things than learning: an epoch of few rows has a tenth of its steps.

    Where a module uses it, tests marked `learns` do not.
    """
    learns = request.node.get_closest_marker("learns") is not None
    with nullcontext() if learns else larger_batches():
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@dataclass(frozen=True)
class SmallData:
    """A generated table, as lists with None where a value is missing, and three targets."""

    columns: Columns
    categorical: list[str]
    numeric: list[str]
    regression: np.ndarray  # (400,) float64
    binary: np.ndarray  # (400,) int64, 0 or 1
    multiclass: np.ndarray  # (400,) text: "high", "low", "middle"

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.columns)


def _with_gaps(rng: np.random.Generator, values: np.ndarray, share: float) -> list[Any]:
    gaps = rng.random(len(values)) < share
    return [None if gap else value for gap, value in zip(gaps, values.tolist(), strict=True)]


@pytest.fixture
def small_data() -> SmallData:
    """400 rows whose target depends on city, product, store and distance; price is noise."""
    rng = np.random.default_rng(7)
    n_rows = 400
    city = rng.integers(12, size=n_rows)
    product = rng.integers(30, size=n_rows)
    store = rng.integers(8, size=n_rows)
    distance = rng.gamma(2.0, 10.0, size=n_rows)
    signal = (
        rng.normal(size=12)[city]
        + 0.5 * rng.normal(size=30)[product]
        + 0.5 * rng.normal(size=8)[store]
        - 0.03 * distance
    )
    target = signal - signal.mean() + 0.3 * rng.normal(size=n_rows)
    columns = {
        "city": _with_gaps(rng, np.array([f"city {i}" for i in range(12)])[city], 0.05),
        "product": _with_gaps(rng, np.array([f"product {i}" for i in range(30)])[product], 0.03),
        "store": (101 + store).tolist(),
        "distance": _with_gaps(rng, distance, 0.04),
        "price": rng.lognormal(size=n_rows).tolist(),
    }
    thirds = np.digitize(target, np.quantile(target, [1 / 3, 2 / 3]))
    return SmallData(
        columns=columns,
        categorical=["city", "product", "store"],
        numeric=["distance", "price"],
        regression=target,
        binary=(target > 0).astype(np.int64),
        multiclass=np.array(["low", "middle", "high"])[thirds],
    )
