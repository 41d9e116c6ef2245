"""Exact cosine neighbours: laws, ties, and the seam between chunks."""

import numpy as np
import pytest

from catvec.vectors import _neighbors
from catvec.vectors._neighbors import cosines, nearest, unit
from tests.reference import naive_cosine


@pytest.mark.parametrize("seed", range(5))
def test_cosines_agree_with_their_naive_twin(seed):
    rng = np.random.default_rng(seed)
    vectors, query = rng.normal(size=(30, 4)).astype(np.float32), rng.normal(size=4)
    expected = [naive_cosine(row, query) for row in vectors]
    np.testing.assert_allclose(cosines(vectors, query), expected, atol=1e-12)


def test_zero_vectors_have_cosine_zero(rng):
    vectors = rng.normal(size=(3, 4)).astype(np.float32)
    vectors[1] = 0
    assert cosines(vectors, vectors[0])[1] == 0
    assert cosines(vectors, np.zeros(4)).tolist() == [0, 0, 0]
    assert unit(np.zeros(4)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_length_does_not_matter(rng, scale):
    vectors = rng.normal(size=(5, 4)).astype(np.float32)
    scaled = vectors * np.float32(scale)
    np.testing.assert_allclose(cosines(scaled, vectors[0]), cosines(vectors, vectors[0]), atol=1e-6)
    assert np.abs(cosines(vectors, vectors[0])).max() <= 1


def test_ties_go_to_the_first_row_also_at_the_cut(rng):
    row = rng.normal(size=7).astype(np.float32)
    vectors = np.tile(row, (100, 1))
    vectors[50:] *= -1
    rows, _ = nearest(vectors, row, 10)
    assert rows.tolist() == list(range(10))
    rows, _ = nearest(vectors, -row, 10, exclude=[50, 52])
    assert rows.tolist() == [51, *range(53, 62)]


def test_chunks_do_not_show(rng, monkeypatch):
    vectors, query = rng.normal(size=(100, 3)).astype(np.float32), rng.normal(size=3)
    whole = nearest(vectors, query, 20)
    monkeypatch.setattr(_neighbors, "CHUNK", 7)
    parts = nearest(vectors, query, 20)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_what_is_left_out_does_not_come_back():
    vectors = np.eye(3, dtype=np.float32)
    assert nearest(vectors, vectors[0], 10, exclude=[0, -1])[0].tolist() == [1, 2]
    assert nearest(vectors, vectors[0], 10, exclude=[0, 1, 2])[0].tolist() == []
    assert nearest(vectors[:0], vectors[0], 10)[0].tolist() == []
