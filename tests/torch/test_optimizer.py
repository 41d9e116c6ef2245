"""Row-wise Adagrad against its formula, and groups of parameters."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from catvec.errors import ParameterError
from catvec.torch import (
    CategoryEmbedding,
    HashEmbedding,
    RowwiseAdagrad,
    TabularEmbeddingModel,
    parameter_groups,
)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_steps_are_those_of_the_formula(sparse, seed):
    torch.manual_seed(seed)
    layer = CategoryEmbedding(6, 3, sparse=sparse)
    optimizer = RowwiseAdagrad(layer.parameters(), lr=0.5)
    table = layer.weight.detach().numpy().astype(np.float64)
    squares = np.zeros(6)
    for _ in range(4):
        codes = torch.randint(1, 6, (5,))
        slopes = torch.randn(5, 3)
        optimizer.zero_grad()
        (layer(codes) * slopes).sum().backward()
        optimizer.step()
        for k in set(codes.tolist()):
            h = slopes[codes == k].sum(0).numpy().astype(np.float64)
            squares[k] += np.mean(h**2)
            table[k] -= 0.5 / np.sqrt(squares[k]) * h
        np.testing.assert_allclose(layer.weight.detach(), table, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tables_in_half_precision_lose_no_squares(dtype, sparse):
    layer = CategoryEmbedding(6, 4, sparse=sparse, dtype=dtype)
    before = layer.weight.detach().clone()
    optimizer = RowwiseAdagrad(layer.parameters(), lr=0.1)
    for _ in range(300):  # a sum in bfloat16 stands still at 256
        optimizer.zero_grad()
        layer(torch.tensor([2, 3, 3])).sum().backward()
        optimizer.step()
    assert optimizer.state[layer.weight]["squares"].tolist() == [0, 0, 300, 1200, 0, 0]
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert (layer.weight != before).any(1).tolist() == [False, False, True, True, False, False]
    assert layer.weight.isfinite().all()


def test_it_keeps_one_number_by_row_and_saves_it():
    layer = CategoryEmbedding(1000, 8, sparse=True)
    optimizer = RowwiseAdagrad(layer.parameters())
    layer(torch.tensor([3, 3, 7])).sum().backward()
    optimizer.step()
    (state,) = optimizer.state.values()
    assert state["squares"].shape == (1000,)
    other = RowwiseAdagrad(layer.parameters())
    other.load_state_dict(optimizer.state_dict())
    assert torch.equal(other.state[layer.weight]["squares"], state["squares"])


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_resumed_takes_the_same_steps_to_the_bit(seed, dtype, sparse):
    torch.manual_seed(seed)
    layers = [CategoryEmbedding(6, 4, sparse=sparse, dtype=dtype) for _ in range(2)]
    optimizer = RowwiseAdagrad(layers[0].parameters(), lr=0.1)
    batches = [torch.randint(0, 6, (5,)) for _ in range(20)]

    def steps(layer, optimizer, batches):
        for codes in batches:
            optimizer.zero_grad()
            (layer(codes) - 1).square().sum().backward()
            optimizer.step()

    steps(layers[0], optimizer, batches[:10])
    resumed = RowwiseAdagrad(layers[1].parameters(), lr=0.7)
    layers[1].load_state_dict(layers[0].state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    squares = []
    for layer, own in zip(layers, (optimizer, resumed), strict=True):
        steps(layer, own, batches[10:])
        squares.append(own.state[layer.weight]["squares"])
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert torch.equal(*squares)


def test_a_closure_is_called_with_gradients_on():
    layer = CategoryEmbedding(9, 2)
    optimizer = RowwiseAdagrad(layer.parameters())

    def closure():
        loss = (layer(torch.tensor([2])) - 1).square().sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) > 0


def test_any_sparse_embedding_can_be_trained():
    layer = nn.Embedding(9, 2, sparse=True)
    optimizer = RowwiseAdagrad(layer.parameters(), lr=0.1)
    for _ in range(2000):
        optimizer.zero_grad()
        (layer(torch.tensor([2, 5])) - 1).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(layer.weight[[2, 5]], torch.ones(2, 2), atol=0.02, rtol=0)


def test_rates_are_checked():
    with pytest.raises(ParameterError, match="`lr` must be a float"):
        RowwiseAdagrad(CategoryEmbedding(9, 2).parameters(), lr=-1.0)


def test_groups_hold_every_trained_parameter_once():
    model = nn.ModuleDict(
        {
            "tabular": TabularEmbeddingModel([5, 6], [2, 3], 1, [4], 1),
            "users": HashEmbedding(50, 4),
            "old": nn.Embedding(5, 2),
        }
    )
    tables, weights = parameter_groups(model, embedding_lr=1e-4)
    assert (tables["lr"], "lr" in weights) == (1e-4, False)
    assert len(tables["params"]) == 2 + 2 + 1
    held = [id(p) for group in (tables, weights) for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())

    groups = parameter_groups(
        model, lr=0.1, frozen=["tabular.embeddings", model["old"].weight, model["old"]]
    )
    assert [len(group["params"]) for group in groups] == [2, 6]
    assert not model["old"].weight.requires_grad
    groups = parameter_groups(model, frozen=["tabular", "users.weight", "users.importance"])
    assert groups == []


def test_a_lower_rate_moves_tables_less():
    moves = []
    for rate in (1e-1, 1e-3):
        torch.manual_seed(0)
        model = TabularEmbeddingModel([5], [2], 0, [4], 1)
        before = model.embeddings.table(0).detach().clone()
        optimizer = torch.optim.SGD(parameter_groups(model, embedding_lr=rate), lr=0.1)
        model(torch.tensor([[2], [3], [4]])).square().sum().backward()
        optimizer.step()
        moves.append((model.embeddings.table(0).detach() - before).norm().item())
    assert moves[1] / moves[0] == pytest.approx(0.01, rel=1e-2)


def test_frozen_names_what_is_there():
    model = TabularEmbeddingModel([5], [2], 0, [4], 1)
    with pytest.raises(ParameterError, match="`frozen` names 'tables', which the model does not"):
        parameter_groups(model, frozen=["tables"])
    for one in ("embeddings", model.embeddings, model.head.weight):
        with pytest.raises(ParameterError, match="`frozen` must be a list"):
            parameter_groups(model, frozen=one)
