"""Packed rows: stated errors hold, bits are what a plain reader finds, bytes are what is said."""

import pickle

import numpy as np
import pytest

from catvec._packing import MOST_BITS, ROUNDING, PackedRows, Spread, in_eight_bits
from tests.reference import unpacked_steps


def drawn_tables(seed=0, n=397, ranks=(3, 5), dim=8):
    """Tables of the same categories, each of few directions, and weights of the rows."""
    rng = np.random.default_rng(seed)
    tables = [rng.normal(size=(n, r)) @ rng.normal(size=(r, dim)) + 1 for r in ranks]
    weights = rng.integers(1, 50, n)
    return [(t * rng.uniform(0.1, 1, (n, 1))).astype(np.float32) for t in tables], weights


def spread_of(tables, weights, further=()):
    return Spread(tables, [np.eye(t.shape[1]) for t in tables], weights, further)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", [0.01, 0.2, 1.5])
def test_the_stated_errors_hold(step, seed):
    tables, weights = drawn_tables(seed)
    side_by_side = np.hstack(tables).astype(np.float64)
    found = np.hstack([rows[:] for rows in spread_of(tables, weights).packed(step)])
    shares = weights / weights.sum()
    centered = side_by_side - shares @ side_by_side
    _, spreads, axes = np.linalg.svd(centered * np.sqrt(shares)[:, None], full_matrices=False)
    errors = (found - side_by_side) @ axes.T
    kept = spreads > ROUNDING * step
    slop = 2.0**-9 * np.linalg.norm(centered, axis=1, keepdims=True) + 1e-6  # of float16
    assert (np.abs(errors[:, kept]) <= step / 2 + slop).all()
    left_out = np.sqrt(shares @ errors[:, ~kept] ** 2)
    assert (left_out <= ROUNDING * step + slop.max()).all()
    assert np.abs(errors).max() > 0.1 * step  # it did something


@pytest.mark.parametrize("step", [0.003, 0.3, 2.0])
def test_bits_against_a_naive_reader(step):
    tables, weights = drawn_tables(1)
    coordinates = spread_of(tables, weights).packed(step)[0].coordinates
    naive = unpacked_steps(*list(coordinates.arrays().values())[:3], len(coordinates))
    np.testing.assert_allclose(coordinates[:], np.array(naive) * step, rtol=1e-12)
    assert coordinates.widths.min() >= 1
    assert coordinates.widths.max() <= MOST_BITS


def test_rows_are_found_one_by_one_and_in_parts():
    tables, weights = drawn_tables(2)
    (rows, _) = spread_of(tables, weights).packed(0.1)
    whole = rows[:]
    assert whole.dtype == np.float32
    assert len(rows) == len(whole) == 397
    np.testing.assert_array_equal(rows[7], whole[7])
    np.testing.assert_array_equal(rows[np.array([5, 0, 5])], whole[[5, 0, 5]])
    np.testing.assert_array_equal(rows[10:20], whole[10:20])
    part = rows.part(slice(2, 300)).part(slice(3, 99))
    np.testing.assert_array_equal(part[:], whole[5:101])
    np.testing.assert_array_equal(part[9], whole[14])
    again = pickle.loads(pickle.dumps(rows))
    np.testing.assert_array_equal(again[:], whole)


def test_parts_of_a_long_table_are_packed_alike(monkeypatch):
    tables, weights = drawn_tables(3)
    whole = [rows[:] for rows in spread_of(tables, weights).packed(0.05)]
    monkeypatch.setattr("catvec._packing.CHUNK", 64)
    parts = [rows[:] for rows in spread_of(tables, weights).packed(0.05)]
    for one, other in zip(whole, parts, strict=True):
        # Sums in another order may round a coordinate to the next step.
        np.testing.assert_allclose(one, other, atol=0.06)
        assert np.mean(one == other) > 0.9


def test_bytes_are_those_said_and_fall_with_the_step():
    tables, weights = drawn_tables(4)
    spread = spread_of(tables, weights, [tables[0][:, :3]])
    sizes = []
    for step in (spread.finest, 0.01, 0.1, 1.0, 1e3):
        packed = spread.packed(step)
        own = sum(rows.directions.nbytes + rows.center.nbytes for rows in packed)
        assert spread.nbytes(step) == own + packed[0].coordinates.nbytes
        assert all(rows.coordinates is packed[0].coordinates for rows in packed)
        sizes.append(spread.nbytes(step))
    assert sizes == sorted(sizes, reverse=True)


def test_what_tables_have_in_common_is_kept_once():
    tables, weights = drawn_tables(5, ranks=(3,))
    rng = np.random.default_rng(0)
    turned = [tables[0] @ np.linalg.qr(rng.normal(size=(8, 8)))[0] for _ in range(4)]
    one, four = (spread_of(t, weights).packed(0.01)[0].coordinates for t in (tables, turned))
    assert len(one.lows) == len(four.lows) == 4  # three, and the constant that rows are scaled by
    assert four.nbytes < 1.3 * one.nbytes


def test_what_is_kept_beside_follows():
    tables, weights = drawn_tables(6)
    mean = (tables[0] @ np.linspace(0, 1, 24).reshape(8, 3) + tables[1][:, :3]).astype(np.float32)
    spread = spread_of(tables, weights, [mean])
    *_, found = spread.packed(spread.finest)
    np.testing.assert_allclose(found[:], mean, atol=0.01 * np.abs(mean).max())


def test_the_metric_says_where_bits_go():
    tables, weights = drawn_tables(7)
    blind = [np.diag([1.0] * 4 + [1e-6] * 4), np.eye(8)]  # half of the first table hardly counts
    (found, _) = Spread(tables, blind, weights).packed(0.5)
    errors = np.abs(found[:] - tables[0]).mean(axis=0)
    assert errors[:4].mean() < 0.7 * errors[4:].mean()


def test_the_coarsest_rows_are_their_centre_and_equal_rows_stay_equal():
    tables, weights = drawn_tables(8)
    tables[0][1] = tables[0][0]
    tables[1][1] = tables[1][0]
    spread = spread_of(tables, weights)
    (rows, _) = spread.packed(1e6)
    assert rows.coordinates.bits.shape == (50, 0)
    centre = weights / weights.sum() @ tables[0]
    np.testing.assert_allclose(rows[:], np.tile(centre, (397, 1)), rtol=1e-5)
    fine = spread.packed(0.01)[0][:]
    np.testing.assert_array_equal(fine[0], fine[1])


def test_rows_that_do_not_differ():
    spread = spread_of([np.ones((3, 2), np.float32)], [1, 1, 1])
    (rows,) = spread.packed(1.0)
    np.testing.assert_array_equal(rows[:], np.ones((3, 2)))
    assert spread.finest == 0


def test_fits():
    (rows,) = spread_of([drawn_tables()[0][0]], np.ones(397)).packed(0.1)
    assert rows.fits(397, 8)
    assert not rows.fits(392, 8)
    assert not rows.fits(397, 7)
    wide = rows.directions.astype(np.float32)
    assert not PackedRows(rows.coordinates, wide, rows.center).fits(397, 8)


@pytest.mark.parametrize("axis", [None, 1])
def test_eight_bits(axis):
    numbers = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    numbers[3] = 0
    values, scales = in_eight_bits(numbers, axis)
    wide = scales if axis is None else scales[:, None]
    assert (np.abs(values * wide - numbers) <= wide / 2 * (1 + 1e-5)).all()
    assert (values[3] == 0).all()
    assert values.min() >= -127
