"""Hashes of integers by tensor operations: the same on every device, in every process."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bucket", "mixed"]

LOW = 0xFFFFFFFF
GOLDEN = 0x9E3779B9
"""2**32 over the golden ratio: keys that are multiples of it lie far apart."""


def mixed(x: Tensor) -> Tensor:
    """32 bits for each 32-bit integer, held in int64: `lowbias32`, as the network's kernels have.

    Products wrap around at 64 bits, of which the lower 32 are right whatever the sign.
    """
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & LOW
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & LOW
    return x ^ (x >> 16)


def bucket(keys: Tensor, function: int, n_buckets: int) -> Tensor:
    """Bucket of any int64 keys under the hash function of this number, int64 in [0, n_buckets)."""
    high = mixed(((keys >> 32) & LOW) ^ ((function + 1) * GOLDEN & LOW))
    return mixed((keys & LOW) ^ high) % n_buckets
