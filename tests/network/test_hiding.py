"""Which categories of a row are hidden: shares of columns, and that kernels and encoders agree."""

from dataclasses import replace

import numpy as np
import pytest

from catvec.estimators._choice import choose_category_dropout
from catvec.estimators._parameters import SharedParameters
from catvec.network import EffectAxis, Hiding, NetworkConfig, _kernels
from catvec.network._hiding import MOST_ROWS, SECOND

ROWS = 40_000
CHANCE = 4 * 0.5 / ROWS**0.5  # four standard errors of a share


def test_first_ones_follow_the_logarithm_of_the_codes_and_cells_add_up_to_their_share():
    hiding = Hiding(0.05, (4, 16, 256), SECOND)
    assert hiding.columns.sum() == pytest.approx(0.15)
    np.testing.assert_allclose(hiding.firsts / hiding.firsts[0], [1, 2, 4])


@pytest.mark.parametrize(
    ("share", "n_columns", "cells"),
    [(0.05, 1, 0.05), (0.05, 40, MOST_ROWS), (0.5, 1, 0.5), (0.5, 9, 0.5), (0.0, 3, 0.0)],
)
def test_no_more_cells_by_row_than_most_or_than_asked_for(share, n_columns, cells):
    assert Hiding(share, (10,) * n_columns).columns.sum() == pytest.approx(cells)


@pytest.mark.parametrize(
    ("n_rows", "share"), [(1, 0.05), (80_000, 0.05), (100_000, 0.04), (10**6, 0.02)]
)
def test_of_a_large_table_less_is_hidden(n_rows, share):
    assert choose_category_dropout(SharedParameters(), n_rows) == pytest.approx(share)
    assert choose_category_dropout(SharedParameters(category_dropout=0.2), n_rows) == 0.2


def test_of_no_columns_and_of_columns_without_categories():
    assert Hiding(0.1, ()).limits.shape == (0, 1)
    assert Hiding(0.1, ()).cells(np.array([0.5])).shape == (1, 0)
    assert Hiding(0.1, (1, 2)).columns.sum() == pytest.approx(0.2)


@pytest.mark.parametrize("second", [0.0, SECOND, 1.0])
@pytest.mark.parametrize("n_codes", [(2, 30, 1000), (7,), (3, 3)])
def test_cells_columns_and_pairs_are_hidden_as_often_as_told(n_codes, second):
    hiding = Hiding(0.1, n_codes, second)
    cells = hiding.cells(np.random.default_rng(0).random(ROWS))
    np.testing.assert_allclose(cells.mean(axis=0), hiding.columns, atol=CHANCE)
    columns = [(a, b) for b in range(len(n_codes)) for a in range(b)]
    either = [cells[:, [a, b]].any(axis=1).mean() for a, b in columns]
    np.testing.assert_allclose(either, hiding.pairs(columns), atol=CHANCE)
    assert cells.sum(axis=1).max() == (2 if second and columns else 1)


def test_in_half_of_the_rows_a_second_one_is_drawn_whatever_the_first():
    hiding = Hiding(0.3, (64,) * 8, SECOND)
    cells = hiding.cells(np.random.default_rng(0).random(ROWS))
    hidden = cells[cells.any(axis=1)]
    two = hidden.sum(axis=1) == 2
    chance = 2 / len(hidden) ** 0.5
    assert two.mean() == pytest.approx(SECOND * 7 / 8, abs=chance)
    np.testing.assert_allclose(hidden[two].mean(axis=0), 2 / 8, atol=2 * chance)


def test_the_loop_hides_as_often():
    hiding, pairs = Hiding(0.1, (2, 30, 1000), SECOND), [(0, 2), (1, 2)]
    at = np.ones((ROWS, 5), np.int32)
    _kernels.drop_categories(at, hiding.limits, np.array(pairs), 7)
    expected = [*hiding.columns, *hiding.pairs(pairs)]
    np.testing.assert_allclose((at == 0).mean(axis=0), expected, atol=CHANCE)


def test_two_are_hidden_from_networks_that_see_effects_alone():
    of_vectors = NetworkConfig((5, 9, 30), (2, 2, 1), n_pairs=1)
    of_effects = replace(of_vectors, axes=(EffectAxis(1.0),) * 3)
    draws = np.random.default_rng(0).random(ROWS)
    most = [c.hiding(0.2).cells(draws).sum(axis=1).max() for c in (of_vectors, of_effects)]
    assert most == [1, 2]
