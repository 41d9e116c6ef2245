"""Layers after the tables: linear, batch norm, ReLU, dropout, as the network of catvec has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from catvec.torch._hashing import keyed_mask

__all__ = ["BatchNorm", "Dropout", "hidden_layers", "kept"]


def kept(x: Tensor, key: int, share: float) -> Tensor:
    """What dropout multiplies each element of `x` by: 0, or so much that their sum stays."""
    left = ~keyed_mask(x.shape, key, share, x.device)
    return left.to(x.dtype).mul_(1.0 / (1.0 - share))


class Dropout(nn.Dropout):
    """Dropout; with a `key` by a hash of it, which repeats, and is the same on every engine."""

    key: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of `x` of any shape, in training."""
        if self.key is None or not self.training or not self.p:
            return super().forward(x)
        return x * kept(x, self.key, self.p)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm; a single row, which has no variance, is normalised by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the columns of `x` (B, H)."""
        if self.training and len(x) == 1:
            running = (self.running_mean, self.running_var, self.weight, self.bias)
            return functional.batch_norm(x, *running, training=False, eps=self.eps)
        return super().forward(x)


def hidden_layers(
    sizes: Sequence[int], dropout: float, *, bias: bool, **kind: Any
) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout by hidden layer; `sizes` begins with the inputs."""
    return nn.Sequential(
        *(
            nn.Sequential(
                nn.Linear(n_inputs, n_units, bias=bias, **kind),
                BatchNorm(n_units, **kind),
                nn.ReLU(),
                Dropout(dropout),
            )
            for n_inputs, n_units in pairwise(sizes)
        )
    )
