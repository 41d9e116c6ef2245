"""Which category of a row is hidden: shares of columns, and that kernels and encoders agree."""

import numpy as np
import pytest

from catvec.estimators._choice import choose_category_dropout
from catvec.estimators._parameters import SharedParameters
from catvec.network import _kernels, hidden_cells, hidden_shares
from catvec.network._hiding import MOST_ROWS, hidden_limits


def test_shares_follow_the_logarithm_of_the_codes_and_add_up_to_that_of_the_cells():
    shares = hidden_shares(0.05, (4, 16, 256))
    assert shares.sum() == pytest.approx(0.15)
    np.testing.assert_allclose(shares / shares[0], [1, 2, 4])


@pytest.mark.parametrize(
    ("share", "n_columns", "rows"),
    [(0.05, 1, 0.05), (0.05, 40, MOST_ROWS), (0.5, 1, 0.5), (0.5, 9, 0.5), (0.0, 3, 0.0)],
)
def test_no_more_rows_than_most_or_than_asked_for(share, n_columns, rows):
    assert hidden_shares(share, (10,) * n_columns).sum() == pytest.approx(rows)


@pytest.mark.parametrize(
    ("n_rows", "share"), [(1, 0.05), (80_000, 0.05), (100_000, 0.04), (10**6, 0.02)]
)
def test_of_a_large_table_less_is_hidden(n_rows, share):
    assert choose_category_dropout(SharedParameters(), n_rows) == pytest.approx(share)
    assert choose_category_dropout(SharedParameters(category_dropout=0.2), n_rows) == 0.2


def test_of_no_columns_and_of_columns_without_categories():
    assert len(hidden_shares(0.1, ())) == 0
    assert hidden_cells(np.array([0.5]), hidden_shares(0.1, ())).shape == (1, 0)
    assert hidden_shares(0.1, (1, 2)).sum() == pytest.approx(0.2)


def test_one_cell_of_a_row_as_often_as_its_share():
    shares = hidden_shares(0.1, (2, 30, 1000))
    cells = hidden_cells(np.random.default_rng(0).random(40_000), shares)
    assert (cells.sum(axis=1) <= 1).all()
    np.testing.assert_allclose(cells.mean(axis=0), shares, atol=4 * 0.5 / 200)


def test_the_loop_hides_as_often():
    shares = hidden_shares(0.1, (2, 30, 1000))
    at = np.ones((40_000, 3), np.int32)
    _kernels.drop_categories(at, hidden_limits(shares), np.empty((0, 2), np.int64), 7)
    np.testing.assert_allclose((at == 0).mean(axis=0), shares, atol=4 * 0.5 / 200)
