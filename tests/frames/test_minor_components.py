"""What numbers that say nearly the same differ in, as inputs of their own."""

import json

import numpy as np
import pytest

from catvec.frames import MinorComponents, Number, Schema, one_column, open_frame
from catvec.frames import _minor_components as minor_components

RIDGE = minor_components.RIDGE


def learn(values):
    """Components of numbers, and the numbers scaled."""
    numbers = [Number.learn(one_column(f"n{i}", v), 0) for i, v in enumerate(values.T)]
    scaled = np.column_stack([n.scaled(v) for n, v in zip(numbers, values.T, strict=True)])
    return MinorComponents.learn(numbers, values), scaled


def of(components, scaled):
    """Components of numbers none of which are missing."""
    return components.of(scaled, np.zeros(scaled.shape, bool))


def prices(rng, n=500, noise=0.02):
    """Two prices that are nearly the same, and a number that has nothing to do with them."""
    price = rng.lognormal(9, 0.5, n)
    difference = noise * price * rng.normal(size=n)
    return np.column_stack([price, price + difference, rng.normal(size=n)]), difference


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_of_two_prices_is_a_component(seed):
    values, difference = prices(np.random.default_rng(seed))
    components, scaled = learn(values)
    assert len(components) == 1
    found = of(components, scaled)[:, 0]
    assert found.dtype == np.float32
    assert abs(np.corrcoef(found, difference)[0, 1]) > 0.9
    assert np.abs(np.corrcoef(found, values.T)[0, 1:]).max() < 0.5
    assert abs(components.loadings[2, 0]) < 0.1 * np.abs(components.loadings[:2, 0]).min()


@pytest.mark.parametrize("seed", range(5))
def test_components_are_those_of_the_correlation_at_about_the_same_variance(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(2000, 6))
    components, scaled = learn(values * 10.0 ** rng.integers(-5, 6, 6))
    variances = np.linalg.eigvalsh(np.corrcoef(scaled.T.astype(float)))
    kept = variances[variances < 0.45]  # a little less than a half, for the chance in 2000 rows
    sums = scaled.astype(float) @ components.loadings
    assert len(components) == len(kept)
    np.testing.assert_allclose(np.cov(sums.T), np.diag(kept / (kept + RIDGE)), atol=1e-3)
    expected = sums / np.sqrt(1 + (sums / 3) ** 2)
    np.testing.assert_allclose(of(components, scaled), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n_rows", "n_numbers"), [(30, 2), (60, 8), (200, 20), (2000, 40)])
def test_unrelated_numbers_have_none(n_rows, n_numbers):
    found = [
        len(learn(np.random.default_rng(seed).normal(size=(n_rows, n_numbers)))[0])
        for seed in range(10)
    ]
    assert found == [0] * 10


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (3, 3), (5, 0), (5, 1)])
def test_too_few_rows_or_numbers_have_none(shape):
    components, _ = learn_any(np.random.default_rng(0).normal(size=shape))
    assert len(components) == 0
    assert of(components, np.zeros((4, shape[1]), np.float32)).shape == (4, 0)


def learn_any(values):
    return learn(values) if values.size else (MinorComponents.learn([], values), values)


def test_copies_and_constants_have_no_part_in_them(rng):
    values, _ = prices(rng)
    nothing = np.full(len(values), np.nan)
    more = np.column_stack([values, values[:, 0] * 2 + 1, np.full(len(values), 7.0), nothing])
    components, scaled = learn(more)
    alone, _ = learn(values)
    assert len(components) == len(alone) == 1
    assert (components.loadings[4:] == 0).all()
    assert np.isfinite(of(components, scaled)).all()


def test_units_do_not_matter(rng):
    values, _ = prices(rng)
    components, scaled = learn(values)
    others, other = learn(values * [1000, 0.1, 5] - 7)
    sign = np.sign(np.sum(of(components, scaled) * of(others, other)))
    np.testing.assert_allclose(of(others, other) * sign, of(components, scaled), atol=1e-3)


def test_they_are_learned_from_no_more_than_so_many_rows(rng, monkeypatch):
    noise = rng.normal(size=(1000, 6)) * np.geomspace(0.02, 0.5, 6)
    values = rng.normal(size=(1000, 1)) + noise
    of_all, _ = learn(values)
    monkeypatch.setattr(minor_components, "LEARNED_FROM", 300)
    of_some, _ = learn(values)
    likeness = np.abs(np.sum(of_some.loadings * of_all.loadings, axis=0))
    lengths = np.linalg.norm(of_some.loadings, axis=0) * np.linalg.norm(of_all.loadings, axis=0)
    assert ((likeness > 0.8 * lengths) & (likeness < 0.99999 * lengths)).all()


def test_a_row_does_not_depend_on_rows_beside_it(rng, monkeypatch):
    values, _ = prices(rng)
    components, scaled = learn(values)
    together = of(components, scaled)
    one_by_one = np.concatenate([of(components, scaled[[i]]) for i in range(len(scaled))])
    np.testing.assert_array_equal(one_by_one, together)
    monkeypatch.setattr(minor_components, "CHUNK", 7)
    np.testing.assert_array_equal(of(components, scaled), together)


def test_centres_give_0_and_outliers_at_most_3(rng):
    values, _ = prices(rng)
    components, _ = learn(values)
    assert of(components, np.zeros((1, 3), np.float32)).tolist() == [[0]]
    wild = of(components, np.float32([[3, -3, 0], [-3, 3, 3]]))
    assert (np.abs(wild) <= 3).all()
    assert (np.abs(wild) > 2.5).all()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_gaps_are_filled_by_the_number_that_goes_along(rng, share):
    price = rng.lognormal(9, 0.5, 4000)
    values = price[:, None] * (1 + 0.02 * rng.normal(size=(4000, 3)))
    whole, scaled = learn(values)
    gapped = np.where(rng.random(values.shape) < share, np.nan, values)
    components, zeros = learn(gapped)
    assert len(components) == len(whole) == 2
    spread = of(components, scaled).std(axis=0)
    np.testing.assert_allclose(spread, of(whole, scaled).std(axis=0), rtol=0.3)
    missing = np.isnan(gapped)
    found, partners = components.of(zeros, missing), components.partners
    sizes, n_missing = np.abs(found), missing.sum(axis=1)
    assert (sizes[n_missing == 1].mean(axis=0) < 1.5 * sizes[n_missing == 0].mean()).all()
    row = np.flatnonzero(missing[:, 0] & ~missing[:, partners[0]])[0]
    by_hand = zeros[row].astype(float)
    by_hand[0] = components.lines[0] @ [1, by_hand[partners[0]]]
    for j in np.flatnonzero(missing[row, 1:]) + 1:
        if not missing[row, partners[j]]:
            by_hand[j] = components.lines[j] @ [1, zeros[row, partners[j]]]
    sums = by_hand @ components.loadings
    np.testing.assert_allclose(found[row], sums / np.sqrt(1 + (sums / 3) ** 2), rtol=1e-5)
    nothing = components.of(np.zeros((1, 3), np.float32), np.ones((1, 3), bool))
    assert nothing.tolist() == [[0, 0]]


def test_rows_that_are_there_often_say_no_more(rng):
    few = rng.normal(size=(60, 20))
    assert len(learn(np.repeat(few, 50, axis=0))[0]) == len(learn(few)[0]) == 0


def test_one_pair_among_hundreds_of_related_numbers(rng):
    values = rng.normal(size=(3000, 4)) @ rng.normal(size=(4, 150)) + rng.normal(size=(3000, 150))
    pair, difference = prices(rng, 3000)
    components, scaled = learn(np.column_stack([values, pair]))
    told = of(components, scaled)
    assert max(abs(np.corrcoef(c, difference)[0, 1]) for c in told.T) > 0.8


def test_shares_are_those_of_the_summands(rng):
    components, _ = learn(prices(rng)[0])
    assert components.shares.shape == (3, 1)
    np.testing.assert_allclose(components.shares.sum(axis=0), 1)
    np.testing.assert_allclose(components.shares[:, 0], [0.5, 0.5, 0], atol=0.1)


def test_json_keeps_every_bit(rng):
    components, scaled = learn(prices(rng)[0])
    again = MinorComponents.from_json(json.loads(json.dumps(components.to_json())))
    np.testing.assert_array_equal(of(again, scaled), of(components, scaled))
    assert len(MinorComponents.from_json(json.loads(json.dumps(MinorComponents().to_json())))) == 0


def test_a_schema_lays_them_after_numbers_and_flags(rng):
    values, _ = prices(rng)
    values[:9, 2] = np.nan
    table = dict(zip(["bid", "price", "other"], values.T, strict=True))
    schema, arrays = Schema.learn(open_frame(table), n_knots=4)
    dense = schema.dense(arrays.values)
    assert dense.shape == (len(values), schema.n_dense) == (len(values), 5)
    np.testing.assert_array_equal(dense[:, 3], np.isnan(values[:, 2]))
    np.testing.assert_array_equal(
        dense[:, 4:], schema.minor_components.of(dense[:, :3], np.isnan(arrays.values))
    )
    again = Schema.from_json(json.loads(json.dumps(schema.to_json())), [])
    np.testing.assert_array_equal(again.dense(arrays.values), dense)
    older = {name: x for name, x in schema.to_json().items() if name != "minor_components"}
    np.testing.assert_array_equal(Schema.from_json(older, []).dense(arrays.values), dense[:, :4])
