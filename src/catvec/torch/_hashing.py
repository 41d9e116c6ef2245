"""Hashes of integers by tensor operations: the same on every device, in every process."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

__all__ = ["bucket", "keyed_bits", "keyed_mask", "mixed"]

LOW = 0xFFFFFFFF
GOLDEN = 0x9E3779B9
"""2**32 over the golden ratio: keys that are multiples of it lie far apart."""


def signed(bits: int) -> int:
    """32 bits as the int32 that has them."""
    bits &= LOW
    return bits - (1 << 32) if bits >> 31 else bits


def mixed(x: Tensor) -> Tensor:
    """The 32 bits of each int32, mixed in place: `lowbias32`, as the network's kernels have.

    Tensors know no unsigned shift: the bits that come in from the sign are masked.
    """
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= signed(0x846CA68B)
    x ^= (x >> 16) & 0xFFFF
    return x


def bucket(keys: Tensor, function: int, n_buckets: int) -> Tensor:
    """Bucket of any int64 keys under the hash function of this number, int64 in [0, n_buckets)."""
    high, low = (keys >> 32).to(torch.int32), keys.to(torch.int32)
    bits = mixed(low ^ mixed(high ^ signed((function + 1) * GOLDEN)))
    return (bits.long() & LOW) % n_buckets


def keyed_bits(n: int, key: int, device: Any) -> Tensor:
    """What the kernels of `catvec.network` draw under this key, n numbers of 32 bits, int64."""
    return _mixed_counters(n, key, device).long() & LOW


def keyed_mask(shape: Sequence[int], key: int, share: float, device: Any) -> Tensor:
    """Which elements are dropped: those that the kernels of `catvec.network` drop for this key."""
    dropped = _mixed_counters(prod(shape), key, device) ^ -(1 << 31)  # in unsigned order
    return (dropped < round(share * 2**32) - (1 << 31)).view(*shape)


def _mixed_counters(n: int, key: int, device: Any) -> Tensor:
    return mixed(torch.arange(n, dtype=torch.int32, device=device) + signed(key))
