"""Counting values beyond memory."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from catvec.frames import _counting
from catvec.frames._source import open_source, read_arrays


@pytest.mark.parametrize(
    ("n_values", "limit"),
    [
        (20_000, "48MB"),
        pytest.param(
            *(5_000_000, "128MB"),
            marks=pytest.mark.slow(reason="a minute; the same with 20,000 always runs"),
        ),
    ],
)
def test_duckdb_counts_more_than_its_memory_holds(tmp_path, monkeypatch, n_values, limit):
    pytest.importorskip("duckdb")
    monkeypatch.setattr(_counting, "MEMORY_LIMIT", limit)
    rng = np.random.default_rng(0)
    names = pa.array([f"user_{i:07d}" for i in range(n_values)])
    order = [rng.permutation(n_values) for _ in range(2)]
    parts = [part for rows in order for part in np.array_split(rows, 20)]
    frames = [pa.table({"user": names.take(pa.array(part))}) for part in parts]
    read = partial(read_arrays, open_source(frames, tmp_path), "user")
    vocabulary = _counting.count_by_duckdb("user", read, 1, tmp_path)
    assert len(vocabulary) == n_values
    assert (vocabulary.counts[2:] == 2).all()
