"""Numbers between knots, as the network of catvec takes them."""

import numpy as np
import pytest
import torch

from catvec.errors import InputError, ParameterError
from catvec.torch import KnotEmbedding
from tests.reference import place_on_knots

KNOTS = [[-1.0, 0.5, 3.0], [7.0], [1e9, 1e9 + 1, 1e9 + 5]]
ROWS = [
    [-5.0, 7.0, 1e9],
    [-1.0, 0.0, 1e9 + 0.25],
    [0.0, 9.0, 1e9 + 5],
    [3.0, 7.0, 2e9],
    [np.nan, np.nan, np.nan],
]


def test_places_and_vectors_are_those_of_the_plain_loop():
    torch.manual_seed(0)
    layer = KnotEmbedding(KNOTS, [4, 2, 4], has_missing=[True, False, True])
    places = layer.grid(torch.tensor(ROWS, dtype=torch.float64))
    vectors = layer(torch.tensor(ROWS, dtype=torch.float64))
    for b, row in enumerate(ROWS):
        expected = []
        for m, (value, knots) in enumerate(zip(row, KNOTS, strict=True)):
            place = place_on_knots(value, knots, has_missing=m != 1)
            np.testing.assert_allclose(places[b, m], place, rtol=1e-6)
            table = layer.tables.table(m)
            if np.isnan(place) or place < 0:
                expected.append(table[1 if np.isnan(place) else 0])
                continue
            low = min(int(place), len(knots) - 1)
            high = min(low + 1, len(knots) - 1)
            expected.append(table[2 + low] + (place - low) * (table[2 + high] - table[2 + low]))
        torch.testing.assert_close(vectors[b], torch.cat(expected))


@pytest.mark.parametrize("seed", range(3))
def test_gradients_agree_with_finite_differences(seed):
    torch.manual_seed(seed)
    layer = KnotEmbedding(KNOTS[:1], 3, dtype=torch.float64)
    x = torch.tensor([[-2.0], [0.1], [0.7], [2.9]], dtype=torch.float64)
    (weight,) = layer.parameters()

    def vectors(values):
        return torch.func.functional_call(layer, {"tables.groups.0.weight": values}, (x,))

    assert torch.autograd.gradcheck(vectors, (weight.detach().requires_grad_(),))


@pytest.mark.parametrize(
    ("knots", "message"),
    [
        ([[]], "by number a list of finite places, at least one"),
        ([[1.0, np.nan]], "finite places"),
        ([[2.0, 1.0]], "ascending"),
        (["low"], "finite places, at least one, got 'low'"),
        (5, "`knots` must be a list of knots by number, got 5"),
    ],
)
def test_knots_are_checked(knots, message):
    with pytest.raises(ParameterError, match=message):
        KnotEmbedding(knots, 3)


def test_another_number_of_columns_is_refused():
    with pytest.raises(InputError, match=r"of shape \(rows, 3\), got \(4, 2\)"):
        KnotEmbedding(KNOTS, np.int64(3))(torch.zeros(4, 2))
    with pytest.raises(InputError, match=r"of shape \(rows, 3\), got list"):
        KnotEmbedding(KNOTS, 3)(ROWS)
