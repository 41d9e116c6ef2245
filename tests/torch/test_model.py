"""The tutorials' model: equal to a plain one, and to what compilers and exporters make of it."""

import numpy as np
import pytest
import torch
from torch import nn

from catvec.errors import InputError, ParameterError
from catvec.torch import TabularEmbeddingModel

CAT_DIMS, EMBED_DIMS, N_NUM, HIDDEN = [5, 40, 9], [2, 6, 2], 3, [16, 8]


class Tutorial(nn.Module):
    """As a tutorial writes it."""

    def __init__(self, output_dim, dropout):
        super().__init__()
        sizes = zip(CAT_DIMS, EMBED_DIMS, strict=True)
        self.embeddings = nn.ModuleList(nn.Embedding(n, d) for n, d in sizes)
        layers, width = [], sum(EMBED_DIMS) + N_NUM
        for units in HIDDEN:
            layers += [nn.Linear(width, units), nn.BatchNorm1d(units), nn.ReLU()]
            layers.append(nn.Dropout(dropout))
            width = units
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(width, output_dim)

    def forward(self, x_cat, x_num):
        vectors = [table(x_cat[:, c]) for c, table in enumerate(self.embeddings)]
        return self.head(self.layers(torch.cat([*vectors, x_num], 1)))


def copied(output_dim=1, dropout=0.0):
    """The two with the same weights."""
    torch.manual_seed(0)
    theirs = Tutorial(output_dim, dropout)
    ours = TabularEmbeddingModel(CAT_DIMS, EMBED_DIMS, N_NUM, HIDDEN, output_dim, dropout)
    with torch.no_grad():
        for c, table in enumerate(theirs.embeddings):
            ours.embeddings.table(c).copy_(table.weight)
    flat = [module for layer in ours.hidden for module in layer]
    for mine, other in zip([*flat, ours.head], [*theirs.layers, theirs.head], strict=True):
        mine.load_state_dict(other.state_dict())
    return ours, theirs


def rows(n=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(0, k, (n,), generator=generator) for k in CAT_DIMS]
    return torch.stack(codes, 1), torch.randn(n, N_NUM, generator=generator)


@pytest.mark.parametrize("output_dim", [1, 3])
def test_equal_to_the_tutorials_model_through_training(output_dim):
    ours, theirs = copied(output_dim)
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (ours, theirs)]
    for seed in range(5):
        x = rows(seed=seed)
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            model(*x).square().mean().backward()
            optimizer.step()
        torch.testing.assert_close(ours(*x), theirs(*x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.eval()(*x), theirs.eval()(*x), rtol=1e-4, atol=1e-5)


def test_dropout_is_as_common_as_the_tutorials():
    x = rows(2000)
    outputs = []
    for model in copied(dropout=0.4):
        torch.manual_seed(1)
        hidden = model.hidden if hasattr(model, "hidden") else model.layers
        x_in = torch.randn(2000, sum(EMBED_DIMS) + N_NUM)
        outputs.append((hidden(x_in) == 0).float().mean())
    assert outputs[0] == pytest.approx(float(outputs[1]), abs=0.02)
    assert x[0].shape == (2000, 3)


def test_a_single_row_can_be_trained_on():
    ours, _ = copied()
    before = ours.hidden[0][1].running_mean.clone()
    ours.train()(*rows(1)).sum().backward()
    torch.testing.assert_close(ours.hidden[0][1].running_mean, before)


def test_compiled_exported_and_in_mixed_precision():
    ours, _ = copied(dropout=0.2)
    x = rows()
    ours.eval()
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*x), ours(*x))
    batch = torch.export.Dim("batch")
    program = torch.export.export(ours, x, dynamic_shapes=({0: batch}, {0: batch}))
    other = rows(50, seed=1)
    torch.testing.assert_close(program.module()(*other), ours(*other))
    with pytest.raises(IndexError):  # also where nothing could be said of the column
        program.module()(x[0] + 100, x[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = ours.train()(*x)
        half.square().mean().backward()
    assert half.dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())


def test_only_codes_or_only_numbers():
    assert TabularEmbeddingModel([5], [2], 0, [], 1)(torch.tensor([[1], [4]])).shape == (2, 1)
    only_numbers = TabularEmbeddingModel([], [], 2, [4], 1)
    assert only_numbers(torch.zeros(3, 0, dtype=torch.long), torch.zeros(3, 2)).shape == (3, 1)


def test_sizes_may_be_arrays_and_the_values_of_a_dictionary():
    sizes = {"shop": 5, "day": 7}
    model = TabularEmbeddingModel(sizes.values(), np.array([2, 3]), 0, (4,), 1)
    assert model.embeddings.num_embeddings == (5, 7)
    assert model(torch.tensor([[4, 6]])).shape == (1, 1)


def test_beginning_anew_changes_every_weight():
    ours, _ = copied()
    before = {name: p.detach().clone() for name, p in ours.named_parameters()}
    ours.reset_parameters()
    for name, parameter in ours.named_parameters():
        assert "1." in name or not torch.equal(parameter, before[name]), name  # batch norm: 1 and 0
    assert ours.embeddings.table(1).detach().std() < 0.1


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"x_num must be a tensor of shape \(rows, 3\), got None"):
        copied()[0](rows()[0])
    with pytest.raises(InputError, match=r"of shape \(rows, 3\), got \(32, 2\)"):
        copied()[0](rows()[0], torch.zeros(32, 2))
    with pytest.raises(InputError, match=r"of shape \(rows, 3\), got \(3,\)"):
        copied()[0](rows()[0], torch.zeros(3))
    with pytest.raises(InputError, match=r"of shape \(rows, 3\), got ndarray"):
        copied()[0](rows()[0], np.zeros((32, 3)))
    with pytest.raises(InputError, match="x_num must have as many rows as the codes, 32, got 31"):
        copied()[0](rows()[0], rows()[1][1:])
    with pytest.raises(ParameterError, match="`cat_embed_dims` must be 2 widths"):
        TabularEmbeddingModel([5, 6], [2], 0, [4], 1)
    with pytest.raises(ParameterError, match="`hidden_dims` must be an int >= 1, got 0"):
        TabularEmbeddingModel([5], [2], 0, [0], 1)
    with pytest.raises(ParameterError, match="`hidden_dims` must be a sequence of ints, got 64"):
        TabularEmbeddingModel([5], [2], 0, 64, 1)
    with pytest.raises(ParameterError, match="`cat_dims` must be an int >= 1, got 0"):
        TabularEmbeddingModel([0], [2], 0, [4], 1)
    with pytest.raises(ParameterError, match="`cat_dims` must be not empty"):
        TabularEmbeddingModel([], [], 0, [4], 1)
