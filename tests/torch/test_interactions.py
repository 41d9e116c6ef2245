"""How vectors meet: each kind against its formula in loops, and by finite differences."""

from itertools import combinations

import pytest
import torch

from catvec.errors import InputError, ParameterError
from catvec.torch import PairwiseInteraction

DIMS = [3, 2, 4]
KINDS = ["concatenate", "sum", "product", "bilinear", "factorization_machine"]


def naive(kind, module, row):
    vectors = row.split(DIMS)
    padded = [torch.cat([v, v.new_zeros(4 - len(v))]) for v in vectors]
    pairs = list(combinations(range(3), 2))
    if kind == "concatenate":
        return row
    if kind == "sum":
        return padded[0] + padded[1] + padded[2]
    if kind == "product":
        return torch.cat([(padded[i] * padded[j])[: min(DIMS[i], DIMS[j])] for i, j in pairs])
    if kind == "bilinear":
        return torch.cat(
            [vectors[i] @ w * vectors[j] for (i, j), w in zip(pairs, module.matrices, strict=True)]
        )
    return sum(padded[i] * padded[j] for i, j in pairs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_each_kind_is_its_formula(kind, seed):
    torch.manual_seed(seed)
    module = PairwiseInteraction(kind, DIMS)
    for matrix in module.matrices:
        torch.nn.init.normal_(matrix)
    x = torch.randn(5, sum(DIMS))
    expected = torch.stack([naive(kind, module, row) for row in x])
    torch.testing.assert_close(module(x), expected)
    assert module.output_dim == expected.shape[1]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind):
    torch.manual_seed(0)
    module = PairwiseInteraction(kind, DIMS).double()
    x = torch.randn(3, sum(DIMS), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


def test_bilinear_begins_as_the_product():
    x = torch.randn(5, 12)
    product, bilinear = (PairwiseInteraction(kind, [4, 4, 4]) for kind in ("product", "bilinear"))
    torch.testing.assert_close(product(x), bilinear(x))


def test_chosen_pairs_and_dimensions():
    module = PairwiseInteraction("product", DIMS, pairs=[(2, 0, 2), (0, 1)])
    x = torch.arange(9.0)[None]
    assert module(x).tolist() == [[5 * 0, 6 * 1, 0 * 3, 1 * 4]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ParameterError, match="`kind` must be one of 'concatenate', 'sum'"):
        PairwiseInteraction("mean", DIMS)
    with pytest.raises(ParameterError, match="`pairs` must be of columns 0 to 2"):
        PairwiseInteraction("product", DIMS, pairs=[(0, 3)])
    for pair in (0, (0,), (0, 1, 2, 3), "01"):
        with pytest.raises(ParameterError, match=r"`pairs` must be a list of \(i, j\) or"):
            PairwiseInteraction("product", DIMS, pairs=[pair])
    with pytest.raises(ParameterError, match="`embedding_dims` must be a sequence of ints, got 5"):
        PairwiseInteraction("product", 5)
    with pytest.raises(ParameterError, match="over 1 to 2 dimensions"):
        PairwiseInteraction("product", DIMS, pairs=[(0, 1, 3)])
    with pytest.raises(InputError, match=r"of shape \(rows, 9\), got \(2, 8\)"):
        PairwiseInteraction("sum", DIMS)(torch.zeros(2, 8))
