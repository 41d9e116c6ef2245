"""The losses of `catvec.network`, for tensors; derivatives are autograd's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["mean_of", "row_losses"]

RowLosses = Callable[[Tensor, Tensor], Tensor]


def row_losses(name: str, quantile: float | None = None) -> RowLosses:
    """Loss of each row (B,), of scores (B, Q) on the link scale and targets (B,)."""
    level = 0.5 if quantile is None else quantile

    def pinball(scores: Tensor, target: Tensor) -> Tensor:
        above = target - scores[:, 0]
        # By `where`, which has derivative 0 where the score is right: a maximum would halve it.
        return torch.where(above > 0, level * above, (level - 1.0) * above) * (above != 0)

    losses: dict[str, RowLosses] = {
        "squared": lambda scores, target: 0.5 * (scores[:, 0] - target).square(),
        "absolute": lambda scores, target: (scores[:, 0] - target).abs(),
        "quantile": pinball,
        "logistic": lambda s, target: functional.softplus(s[:, 0]) - target * s[:, 0],
        "softmax": lambda s, target: functional.cross_entropy(s, target.long(), reduction="none"),
        "poisson": lambda scores, target: scores[:, 0].exp() - target * scores[:, 0],
    }
    return losses[name]


def mean_of(name: str, scores: Tensor) -> Tensor:
    """Inverse link: (B,), or (B, Q) for the softmax loss."""
    if name == "softmax":
        return scores.softmax(1)
    scores = scores[:, 0]
    if name == "logistic":
        return scores.sigmoid()
    return scores.exp() if name == "poisson" else scores
