"""The shared fixtures are what they say: later tests lean on them."""

import os

import narwhals as nw
import numpy as np


def test_each_kind_of_frame_holds_the_same_values(as_frame):
    columns = {"text": ["a", None, ""], "count": [3, 1, None], "share": [0.5, None, 2.0]}
    read = nw.from_native(as_frame(columns)).to_arrow().to_pydict()
    assert list(read) == list(columns)
    assert read == columns


def test_small_data_is_the_same_each_time_and_has_gaps(small_data):
    assert len(small_data.frame) == 400
    assert set(small_data.columns) == {*small_data.categorical, *small_data.numeric}
    assert 5 < sum(value is None for value in small_data.columns["city"]) < 40
    assert 5 < sum(value is None for value in small_data.columns["distance"]) < 40
    assert 100 < small_data.binary.sum() < 300
    assert np.unique(small_data.multiclass).tolist() == ["high", "low", "middle"]
    assert abs(small_data.regression.mean()) < 0.1


def test_blas_uses_one_thread_in_tests():
    assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"]
