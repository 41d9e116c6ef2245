"""What a lookup layer promises: one-hot times matrix, and gradients only where it looked."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from catvec.torch import (
    CategoryEmbedding,
    CategoryEmbeddings,
    HashEmbedding,
    KnotEmbedding,
    QuotientRemainderEmbedding,
    RegularizedEmbedding,
    RowwiseAdagrad,
)

SEEDS = range(3)
N_CODES, DIMS = [7, 30, 9], [3, 5, 3]


def batch(seed, n=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(0, k // 2, (n,), generator=generator) for k in N_CODES], 1)


def layers(sparse=False):
    torch.manual_seed(0)
    return CategoryEmbeddings(N_CODES, DIMS, names=["a.b", "a_b", "städte"], sparse=sparse)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lookup_is_one_hot_times_matrix_in_value_and_gradient(seed):
    layer, codes = layers(), batch(seed)
    slopes = torch.randn(16, sum(DIMS), generator=torch.Generator().manual_seed(seed))
    tables = [layer.table(c).detach().clone().requires_grad_() for c in range(3)]
    product = torch.cat(
        [one_hot(codes[:, c], N_CODES[c]).float() @ table for c, table in enumerate(tables)], 1
    )
    torch.testing.assert_close(layer(codes), product)
    (layer(codes) * slopes).sum().backward()
    (product * slopes).sum().backward()
    found = gradients(layer)
    for c, table in enumerate(tables):
        torch.testing.assert_close(found[c], table.grad)


def gradients(layer):
    """Gradient by column."""
    found = {}
    for group in layer.tables.shared:
        gradient = group.weight.grad.to_dense()
        for place, column in enumerate(group.columns):
            found[column] = gradient[group.starts[place] : group.starts[place + 1]]
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_outside_of_the_batch_have_no_gradient(seed):
    layer, codes = layers(), batch(seed)
    layer(codes).square().sum().backward()
    for c, gradient in gradients(layer).items():
        touched = torch.zeros(N_CODES[c], dtype=torch.bool)
        touched[codes[:, c]] = True
        assert not gradient[~touched].any()
        assert gradient[touched & (torch.arange(N_CODES[c]) > 0)].any(1).all()


def moved(layer, optimizer, codes):
    """By column which rows a second step moves, after a first one on all of them."""
    everything = torch.stack([torch.arange(30) % k for k in N_CODES], 1)
    for batch in (everything, codes):
        optimizer.zero_grad()
        before = [layer.table(c).detach().clone() for c in range(3)]
        (layer(batch) - 1).square().sum().backward()
        optimizer.step()
    return [(layer.table(c) != before[c]).any(1) for c in range(3)]


@pytest.mark.parametrize("sparse", [True, False])
def test_rowwise_adagrad_leaves_other_rows_to_the_bit_and_adamw_does_not(sparse):
    codes = batch(0)
    layer = layers(sparse)
    for c, rows in enumerate(moved(layer, RowwiseAdagrad(layer.parameters(), lr=0.1), codes)):
        looked_at = torch.zeros(N_CODES[c], dtype=torch.bool)
        looked_at[codes[:, c]] = True
        assert torch.equal(rows, looked_at)
    layer = layers()
    for rows in moved(layer, torch.optim.AdamW(layer.parameters(), lr=0.1), codes):
        assert rows.all()  # its moments and its decay move every row in every step


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("strengths", [{}, {"l2": 1.0}, {"shrinkage": 1.0}])
def test_frozen_rows_do_not_move_by_a_bit_nor_by_their_penalty(sparse, strengths):
    torch.manual_seed(0)
    layer = RegularizedEmbedding(10, 4, sparse=sparse, counts=torch.ones(10), **strengths)
    layer.freeze(torch.tensor([2, 5]))
    before = layer.weight.detach().clone()
    optimizer = RowwiseAdagrad(layer.parameters(), lr=0.1)
    codes = torch.arange(8)
    (layer(codes).sum() + layer.penalty(codes)).backward()
    optimizer.step()
    assert (layer.weight != before).any(1).nonzero().flatten().tolist() == [0, 1, 3, 4, 6, 7]
    layer.freeze()
    assert not layer.weight.requires_grad


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_frozen_tables_do_not_move_by_a_bit_nor_by_their_l2(sparse, seed):
    tables, codes = layers(sparse), batch(seed)
    l2 = tables.l2(codes)
    tables.freeze(["a.b", 2])
    torch.testing.assert_close(tables.l2(codes), l2, rtol=0, atol=0)
    before = [tables.table(c).detach().clone() for c in range(3)]
    optimizer = RowwiseAdagrad(tables.parameters(), lr=0.1)
    (tables(codes).sum() + tables.l2(codes)).backward()
    optimizer.step()
    assert [torch.equal(tables.table(c), before[c]) for c in range(3)] == [True, False, True]
    tables.freeze()
    assert not any(p.requires_grad for p in tables.parameters())


def test_the_unknown_row_takes_no_part_in_another_rows_forward():
    layer = layers()
    codes = batch(0).clamp(min=1)
    expected = layer(codes)
    with torch.no_grad():
        for c in range(3):
            layer.table(c)[0] = 1e6
    torch.testing.assert_close(layer(codes), expected, rtol=0, atol=0)
    assert (layer(codes * 0) == 1e6).all()


def test_the_state_dict_goes_by_position_and_is_taken_by_another_with_other_names():
    one, other = layers(), CategoryEmbeddings(N_CODES, DIMS, names=["x", "x", "x"])
    assert list(one.state_dict()) == ["tables.groups.0.weight", "tables.groups.1.weight"]
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(batch(0)), other(batch(0)))


def test_new_vectors_are_small_and_row_0_is_the_centre():
    torch.manual_seed(0)
    for layer in (CategoryEmbedding(2000, 8), CategoryEmbeddings([2000, 5], [8, 2])):
        weight = layer.weight if isinstance(layer, CategoryEmbedding) else layer.table(0)
        assert weight[1:].detach().std() == pytest.approx(0.03, rel=0.05)
        assert not weight[0].any()
        before = weight.detach().clone()
        layer.reset_parameters()
        assert (weight[1:] != before[1:]).all()
    assert nn.Embedding(2000, 8).weight.detach().std() > 0.9  # what it departs from


MAKERS = {
    "one": lambda **kind: CategoryEmbedding(5, 3, **kind),
    "prior": lambda **kind: RegularizedEmbedding(5, 3, shrinkage=1.0, counts=[5001] * 5, **kind),
    "several": lambda **kind: CategoryEmbeddings(N_CODES, DIMS, **kind),
    "knots": lambda **kind: KnotEmbedding([[1.7e9, 1.7e9 + 50], [1.0]], [3, 2], **kind),
    "hashed": lambda **kind: HashEmbedding(5, 3, **kind),
    "composed": lambda **kind: QuotientRemainderEmbedding(5, 3, 2, **kind),
}


def constants(module):
    return dict(module.named_buffers())


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_module_made_without_memory_is_whole_once_it_has_some(make):
    expected = constants(make())
    with torch.device("meta"):
        within = make()
    for module in (make(device="meta"), within):
        assert {t.device.type for t in (*module.parameters(), *module.buffers())} == {"meta"}
        module.to_empty(device="cpu")
        module.reset_parameters()
        for name, values in constants(module).items():
            assert torch.equal(values, expected[name]), name
        assert module.state_dict().keys() == make().state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_another_precision_rounds_no_constants(make, dtype):
    module = make()
    cast = constants(copy.deepcopy(module).to(dtype))
    for name, values in constants(module).items():
        assert cast[name].dtype == values.dtype, name
        assert torch.equal(cast[name], values), name
