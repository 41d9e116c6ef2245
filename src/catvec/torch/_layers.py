"""Layers after the tables: linear, batch norm, ReLU, dropout, as the network of catvec has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from catvec.torch._hashing import LOW, mixed

__all__ = ["BatchNorm", "Dropout", "hidden_layers", "keyed_mask"]


def keyed_mask(shape: Sequence[int], key: int, share: float, device: Any) -> Tensor:
    """Which elements are dropped: those that the kernels of `catvec.network` drop for this key."""
    n = 1
    for size in shape:
        n *= size
    counter = torch.arange(n, dtype=torch.long, device=device)
    return (mixed((counter + key) & LOW) < round(share * 2**32)).view(*shape)


class Dropout(nn.Dropout):
    """Dropout; with a `key` by a hash of it, which repeats, and is the same on every engine."""

    key: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of `x` of any shape, in training."""
        if self.key is None or not self.training or not self.p:
            return super().forward(x)
        dropped = keyed_mask(x.shape, self.key, self.p, x.device)
        return (x / (1.0 - self.p)).masked_fill(dropped, 0)


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
