import numpy as np
import pytest

from catvec.network import EmbeddingTables


@pytest.fixture
def tables():
    made = EmbeddingTables((5, 9, 6), (3, 17, 2), 1, np.float32)
    made.initialize(np.random.default_rng(0))
    return made


def test_weights_are_views_of_one_buffer_that_do_not_overlap(tables):
    shapes = [tables.weight(0).shape, tables.weight(1).shape, tables.knot_weight(0).shape]
    assert shapes == [(5, 3), (9, 17), (6, 2)]
    for t in range(3):
        assert np.shares_memory(tables.table(t), tables.flat)
        tables.table(t)[...] = t
    assert [set(tables.table(t).ravel().tolist()) for t in range(3)] == [{0}, {1}, {2}]


def test_tables_begin_at_cache_lines(tables):
    assert all(tables.table(t).ctypes.data % 64 == 0 for t in range(3))


def test_vectors_start_small_around_row_0(tables):
    assert not tables.weight(1)[0].any()
    assert 0.01 < tables.weight(1)[1:].std() < 0.05


def test_settle_gives_rows_the_vector_of_row_0(tables):
    before = [tables.table(t).copy() for t in range(3)]
    tables.weight(1)[0] = 7
    tables.settle(np.array([3, 5 + 1, 5 + 8]))
    assert (tables.weight(0)[3] == before[0][0]).all()
    assert (tables.weight(1)[[0, 1, 8]] == 7).all()
    np.testing.assert_array_equal(tables.weight(1)[2:8], before[1][2:8])
    np.testing.assert_array_equal(tables.knot_weight(0), before[2])


def test_the_unknown_is_between_the_rare_and_the_mean_unless_it_was_met(tables):
    before = [tables.table(t).copy() for t in range(3)]
    tables.center(np.array([5, 7]), np.array([0, 1]))  # the unknown row of table 0 was met
    between = (before[1][1] + before[1][2:].mean(axis=0)) / 2
    np.testing.assert_allclose(tables.weight(1)[0], between, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(tables.weight(1)[1:], before[1][1:])
    np.testing.assert_array_equal(tables.weight(0), before[0])


def test_no_tables_at_all():
    empty = EmbeddingTables((), (), 0, np.float32)
    empty.initialize(np.random.default_rng(0))
    assert len(empty) == 0
    assert empty.n_lines == 0
