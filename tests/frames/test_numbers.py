"""Numeric columns: robust scaling, knots, missing values."""

import json

import numpy as np
import pytest

from catvec.errors import InputError
from catvec.frames import Number, one_column
from tests.reference import place_on_knots


def gapped(rng, values, share=0.1):
    return np.where(rng.random(len(values)) < share, np.nan, values)


@pytest.mark.parametrize("seed", range(5))
def test_scaling_is_robust_monotone_and_bounded(seed):
    rng = np.random.default_rng(seed)
    values = gapped(rng, rng.standard_cauchy(500) * 10.0 ** rng.integers(-9, 9) + 1e3)
    number = Number.learn(one_column("a", values), 0)
    seen = values[~np.isnan(values)]
    assert number.center == np.median(seen)
    assert number.scale == pytest.approx(np.subtract(*np.quantile(seen, [0.75, 0.25])))
    scaled = number.scaled(values)
    assert scaled.dtype == np.float32
    assert (scaled[np.isnan(values)] == 0).all()
    assert (np.abs(scaled) <= 3).all()
    assert (np.diff(scaled[~np.isnan(values)][np.argsort(seen)]) >= 0).all()
    z = (seen - number.center) / number.scale
    expected = z / np.sqrt(1 + (z / 3) ** 2)
    np.testing.assert_allclose(scaled[~np.isnan(values)], expected, rtol=1e-6, atol=1e-7)


def test_units_do_not_matter():
    values = np.array([1.0, 5.0, 2.0, np.nan, 9.0])
    scaled = Number.learn(one_column("a", values), 0).scaled(values)
    other = values * 1000 - 7
    np.testing.assert_allclose(
        Number.learn(one_column("a", other), 0).scaled(other), scaled, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("values", "scaled"),
    [
        ([], []),
        ([np.nan, np.nan], [0, 0]),
        ([7.0], [0]),
        ([7.0, 7.0, np.nan], [0, 0, 0]),
        # Where the quartiles coincide half the range is the scale.
        ([0.0] * 9 + [4.0], [0] * 9 + [2 / np.sqrt(1 + 4 / 9)]),
        ([-1.7e308, 0.0, 0.0, 1.7e308], None),
        ([0.0, 0.0, 0.0, 5e-324], None),
    ],
)
def test_edges(values, scaled):
    values = np.array(values)
    number = Number.learn(one_column("a", values), 4)
    result = number.scaled(values)
    assert np.isfinite(result).all()
    if scaled is not None:
        np.testing.assert_allclose(result, scaled, rtol=1e-6)
    assert number.has_missing == np.isnan(values).any()


def test_numbers_far_from_all_seen_lie_at_the_bound():
    number = Number.learn(one_column("a", np.array([0.0, 1.0, 2.0])), 3)
    far = np.array([1e200, -1e200, 1.7e308, -1.7e308])
    np.testing.assert_array_equal(number.scaled(far), np.float32([3, -3, 3, -3]))
    np.testing.assert_array_equal(number.positions(far), np.float32([2, 0, 2, 0]))


@pytest.mark.parametrize("n_distinct", [1, 2, 15, 16])
def test_a_knot_at_each_distinct_value_while_there_are_few(n_distinct, rng):
    values = gapped(rng, np.repeat(rng.normal(size=n_distinct), 20))
    number = Number.learn(one_column("a", values), 16)
    assert number.knots.tolist() == sorted(set(values[~np.isnan(values)]))
    place = number.positions(number.knots)
    np.testing.assert_array_equal(place, np.arange(n_distinct, dtype=np.float32))


@pytest.mark.parametrize("n_knots", [0, 1, 2, 16])
def test_knots_at_quantiles_of_many_values(n_knots, rng):
    values = rng.lognormal(size=1000)
    knots = Number.learn(one_column("a", values), n_knots).knots
    assert len(knots) == n_knots
    assert np.isin(knots, values).all()
    if n_knots > 1:
        assert (knots[0], knots[-1]) == (values.min(), values.max())
        between = np.histogram(values, knots)[0]
        assert between.min() >= between.max() - 2
    tied = np.where(rng.random(1000) < 0.9, 0.0, values)
    assert len(np.unique(Number.learn(one_column("a", tied), 16).knots)) == len(
        Number.learn(one_column("a", tied), 16).knots
    )


@pytest.mark.parametrize("has_missing", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_positions_agree_with_the_naive_twin(seed, has_missing):
    rng = np.random.default_rng(seed)
    train = rng.normal(size=300).round(1)
    train = np.append(train, np.nan) if has_missing else train
    number = Number.learn(one_column("a", train), 8)
    values = np.concatenate([rng.normal(size=200) * 2, number.knots, [np.nan]])
    expected = [place_on_knots(v, number.knots.tolist(), has_missing) for v in values]
    places = number.positions(values)
    assert places.dtype == np.float32
    np.testing.assert_allclose(places, expected, rtol=1e-6, atol=1e-7)


def test_a_number_survives_json(rng):
    number = Number.learn(one_column("a\n🐈", gapped(rng, rng.normal(size=50) / 3)), 8)
    again = Number.from_json(json.loads(json.dumps(number.to_json())))
    assert {**vars(again), "knots": None} == {**vars(number), "knots": None}
    assert again.knots.tolist() == number.knots.tolist()
    assert again.knots.dtype == np.float64


DATES, NUMBERS, NOTHING = np.array(["2024-01-01", "2024-03-01"], "M8[us]"), [1.0, 2.0], [None, None]


@pytest.mark.parametrize(
    ("trained", "later", "message"),
    [
        (DATES, DATES, None),
        (DATES, NUMBERS, "held date values when the model was fitted, but now holds number"),
        (NUMBERS, DATES, "held number values when the model was fitted, but now holds date"),
        (NUMBERS, [True, False], None),
        ([True, False], NUMBERS, None),
        (NOTHING, DATES, None),
        (DATES, NOTHING, None),
    ],
)
def test_dates_and_numbers_do_not_stand_for_each_other(trained, later, message):
    number = Number.learn(one_column("a", trained), 4)
    older = Number.from_json({k: v for k, v in number.to_json().items() if k != "family"})
    column = one_column("a", later)
    np.testing.assert_array_equal(older.read(column), column.floats())
    if message is None:
        np.testing.assert_array_equal(number.read(column), column.floats())
        return
    with pytest.raises(InputError, match=message):
        number.read(column)
