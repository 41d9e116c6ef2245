"""Tensors beside the parameters of a module that are known when it is made, and then stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

__all__ = ["WithConstants"]


class WithConstants(nn.Module):
    """A module whose constants move between devices, and are otherwise left as they are.

    Buffers alone would be rounded by ``module.to(torch.bfloat16)``, as years and dates in seconds
    must not be, and be lost where ``device="meta"`` is followed by ``to_empty``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Tensor] = {}

    def hold(self, name: str, values: Tensor, device: Any) -> None:
        """Make `values` the buffer `name`, which the state dict leaves out, on a device.

        Parameters
        ----------
        name : str
        values : tensor
            On the processor.
        device : torch.device, str or None
            As the parameters have it.
        """
        self._values[name] = values
        at = torch.get_default_device() if device is None else device
        self.register_buffer(name, values.to(at), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = {name: self.get_buffer(name) for name in self._values}
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            values = self._values[name] if buffer.is_meta else buffer
            setattr(self, name, values.to(self.get_buffer(name).device))
        return self
