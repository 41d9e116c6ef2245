"""Layers after the tables: linear, batch norm, ReLU, dropout, as the network of catvec has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from catvec.torch._hashing import keyed_mask

__all__ = ["BatchNorm", "Dropout", "HiddenLayers", "kept"]


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
    """Batch norm; a single row, which has no variance, is normalised by the running statistics.

    With `running_norm` all batches are, and leave these as they are: see `catvec.network`.
    """

    running_norm = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the columns of `x` (B, H)."""
        if self.training and (self.running_norm or len(x) == 1):
            running = (self.running_mean, self.running_var, self.weight, self.bias)
            return functional.batch_norm(x, *running, training=False, eps=self.eps)
        return super().forward(x)


class HiddenLayer(nn.Sequential):
    """Linear, batch norm, ReLU, dropout; by position in the state dict."""

    def __init__(self, n_inputs: int, n_units: int, dropout: float, bias: bool) -> None:
        super().__init__(
            nn.Linear(n_inputs, n_units, bias=bias), BatchNorm(n_units), nn.ReLU(), Dropout(dropout)
        )

    @property
    def linear(self) -> nn.Linear:
        """The matrix product."""
        return cast(nn.Linear, self[0])

    @property
    def norm(self) -> BatchNorm:
        """Batch norm."""
        return cast(BatchNorm, self[1])

    @property
    def dropout(self) -> Dropout:
        """Dropout."""
        return cast(Dropout, self[3])


class HiddenLayers(nn.Sequential):
    """All of them, one after the other; `sizes` begins with the inputs."""

    def __init__(self, sizes: Sequence[int], dropout: float, *, bias: bool) -> None:
        super().__init__(*(HiddenLayer(*pair, dropout, bias) for pair in pairwise(sizes)))

    @property
    def layers(self) -> list[HiddenLayer]:
        """From the input on."""
        return cast("list[HiddenLayer]", list(self))
