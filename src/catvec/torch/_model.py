"""The tabular model of the embedding tutorials, for training loops of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from catvec._checks import check_float, check_int, refuse
from catvec.torch._embeddings import CategoryEmbeddings
from catvec.torch._layers import HiddenLayers
from catvec.torch._tables import INITIAL_STD, check_numbers, check_sizes, check_tables

__all__ = ["TabularEmbeddingModel"]


class TabularEmbeddingModel(nn.Module):
    """Embeddings beside continuous columns, then linear, batch norm, ReLU, dropout, and a head.

    The model of Guo & Berkhahn 2016 (arXiv 1604.06737) with batch norm and dropout, as tutorials
    teach it. After its weights were copied, it computes what theirs does. Where it departs:

    NOTE[DIFF]: new vectors are small (standard deviation 0.03, not 1) and row 0 begins at 0, see
    `CategoryEmbedding`. NOTE[DIFF]: L2 is that of the rows used, ``model.embeddings.l2(x_cat)``;
    weight decay of the optimizer would shrink every row in every step, rare categories as much as
    frequent ones, and touch the whole table. NOTE[DIFF]: a batch of one row in training is
    normalised by the running statistics, where `torch.nn.BatchNorm1d` raises.

    Parameters
    ----------
    cat_dims : sequence of int
        Rows of each categorical column's table, those for unknown and missing counted.
    cat_embed_dims : sequence of int
        Width of each column's vectors.
    num_continuous : int
        Continuous columns; scale them first.
    hidden_dims : sequence of int
        Units of each hidden layer; empty for a linear model.
    output_dim : int
        Scores of a row: 1 for a regression or two classes, else one by class.
    dropout : float, default=0.2
        Share of hidden units dropped in training, in [0, 1).
    sparse : bool, default=False
        Whether gradients of the tables are sparse, for `RowwiseAdagrad`.

    Attributes
    ----------
    embeddings : CategoryEmbeddings
    hidden : Sequential
        A Sequential by hidden layer: Linear, BatchNorm1d, ReLU, Dropout.
    head : Linear

    Shape
    -----
    Input: x_cat, integers of shape (B, C); x_num, floats of shape (B, num_continuous), which may
    be left out where there are none.
    Output: (B, output_dim), scores without an activation.

    Raises
    ------
    ParameterError
        If a size is below 1, lists are not as long, or there is neither kind of column.
    InputError
        In `forward`, if codes or numbers do not fit.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import TabularEmbeddingModel
    >>> model = TabularEmbeddingModel([12, 1002], [4, 16], 3, [64, 32], 1)
    >>> model(torch.tensor([[2, 1001], [0, 1]]), torch.zeros(2, 3)).shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        cat_dims: Sequence[int],
        cat_embed_dims: Sequence[int],
        num_continuous: int,
        hidden_dims: Sequence[int],
        output_dim: int,
        dropout: float = 0.2,
        *,
        sparse: bool = False,
    ) -> None:
        check_int("num_continuous", num_continuous, minimum=0)
        check_int("output_dim", output_dim, minimum=1)
        check_float("dropout", dropout, minimum=0.0, maximum=0.99)
        units = check_sizes("hidden_dims", hidden_dims)
        n_rows, dims = check_tables(
            cat_dims, cat_embed_dims, INITIAL_STD, ("cat_dims", "cat_embed_dims")
        )
        if not dims and not num_continuous:
            raise refuse("cat_dims", "not empty where `num_continuous` is 0", cat_dims)
        super().__init__()
        self.num_continuous = num_continuous
        self.embeddings = CategoryEmbeddings(n_rows, dims, sparse=sparse)
        sizes = [sum(dims) + num_continuous, *units]
        self.hidden = HiddenLayers(sizes, dropout, bias=True)
        self.head = nn.Linear(sizes[-1], output_dim)

    def reset_parameters(self) -> None:
        """Begin anew: small vectors, PyTorch's own weights elsewhere."""
        for module in self.modules():
            if module is not self and isinstance(
                module, CategoryEmbeddings | nn.Linear | nn.BatchNorm1d
            ):
                module.reset_parameters()

    def forward(self, x_cat: Tensor, x_num: Tensor | None = None) -> Tensor:
        """Scores (B, output_dim) of codes (B, C) and numbers (B, num_continuous)."""
        x = self.embeddings(x_cat)
        check_numbers("x_num", x_num, self.num_continuous, n_rows=x.shape[0])
        if x_num is not None:
            x = torch.cat([x, x_num.to(x.dtype)], 1)
        scores: Tensor = self.head(self.hidden(x))
        return scores
