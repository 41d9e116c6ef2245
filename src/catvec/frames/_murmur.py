"""MurmurHash3 of many keys at once: the same in every process, on every machine, for ever.

The 32-bit variant for x86 (A. Appleby, smhasher, ``MurmurHash3.cpp``, public domain), four bytes of
all keys at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["hash_bytes", "hash_keys"]

FIRST_FACTOR, SECOND_FACTOR = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
CHUNK = 1 << 18  # keys hashed at a time, so that a long column needs little memory beside it

SEED_OF_FAMILY = {"text": 0, "number": 0, "boolean": 0x5BD1E995, "date": 0x9747B28C}
"""Added to the seed, since a date's eight bytes may be a number's, which is another key."""


def hash_keys(family: str, values: pa.Array, seeds: Sequence[int]) -> NDArray[np.uint32]:
    """Hashes of the keys of one family.

    Text is hashed as its UTF-8 bytes, to what scikit-learn's ``murmurhash3_32`` gives; integers,
    and whole floats, as eight bytes, the lowest first; other floats as those of their 64 bits.

    Parameters
    ----------
    family : str
        One of `catvec.frames._column.FAMILIES`.
    values : pyarrow.Array
        Of that family, as `Column` has them, without a dictionary. A null has any hash.
    seeds : sequence of int
        A hash function for each, at least 0.

    Returns
    -------
    ndarray of shape (n_values, n_seeds), uint32
    """
    hashed = np.empty((len(values), len(seeds)), np.uint32)
    of_family = [(seed + SEED_OF_FAMILY[family]) & 0xFFFFFFFF for seed in seeds]
    for start in range(0, len(values), CHUNK):
        part = values.slice(start, CHUNK)
        hashed[start : start + CHUNK] = hash_bytes(*_bytes(family, part), of_family).T
    return hashed


def hash_bytes(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    seeds: Sequence[int],
) -> NDArray[np.uint32]:
    """MurmurHash3 (x86, 32 bits) of pieces of a buffer.

    Parameters
    ----------
    data : ndarray of shape (n_bytes,), uint8
    starts, lengths : ndarray of shape (n_keys,), int64
        Where each key lies in it.
    seeds : sequence of int
        From 0 to 2**32 - 1.

    Returns
    -------
    ndarray of shape (n_seeds, n_keys), uint32
    """
    hashes = np.repeat(np.array(seeds, np.uint32)[:, None], len(starts), axis=1)
    n_blocks = lengths >> 2
    open_keys: Any = np.flatnonzero(n_blocks > 0)
    block = 0
    while len(open_keys):
        k = _mixed(_word(data, starts[open_keys] + 4 * block, 4))
        h = hashes[:, open_keys] ^ k
        hashes[:, open_keys] = _turned(h, 13) * np.uint32(5) + np.uint32(0xE6546B64)
        block += 1
        open_keys = open_keys[n_blocks[open_keys] > block]
    hashes ^= _tail(data, starts + 4 * n_blocks, lengths & 3)
    return _finished(hashes ^ lengths.astype(np.uint32))


def _tail(
    data: NDArray[np.uint8], starts: NDArray[np.int64], left: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """The last bytes of each key, three at most; 0 where there are none."""
    k = np.zeros(len(starts), np.uint32)
    for n_bytes in (1, 2, 3):
        keys = np.flatnonzero(left == n_bytes)
        k[keys] = _mixed(_word(data, starts[keys], n_bytes))
    return k


def _word(data: NDArray[np.uint8], at: NDArray[np.int64], n_bytes: int) -> NDArray[np.uint32]:
    """Bytes from these places on as one number, the lowest first."""
    word = np.zeros(len(at), np.uint32)
    for i in range(n_bytes):
        word |= data[at + i].astype(np.uint32) << np.uint32(8 * i)
    return word


def _mixed(k: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return _turned(k * FIRST_FACTOR, 15) * SECOND_FACTOR


def _turned(x: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


def _finished(h: NDArray[np.uint32]) -> NDArray[np.uint32]:
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def _bytes(
    family: str, values: pa.Array
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The bytes of keys, and where each lies among them."""
    if family == "text":
        _, offsets, data = values.buffers()
        ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
        raw = np.frombuffer(b"" if data is None else data, np.uint8)
        return raw, ends[:-1], np.diff(ends)
    if family == "boolean":
        raw = np.asarray(values.fill_null(False)).astype(np.uint8)
        return raw, np.arange(len(values)), np.ones(len(values), np.int64)
    raw = _words(values).astype("<u8").view(np.uint8)
    return raw, 8 * np.arange(len(values)), np.full(len(values), 8)


def _words(values: pa.Array) -> NDArray[np.uint64]:
    """Numbers and dates as 64 bits; a whole float as the integer that it equals."""
    if pa.types.is_timestamp(values.type):
        values = values.view(pa.int64())
    numbers = np.asarray(pc.fill_null(values, pa.scalar(0, values.type)))
    if numbers.dtype.kind != "f":
        wide = numbers.astype(np.int64) if numbers.dtype.kind == "i" else numbers
        return wide.view(np.uint64)
    whole = (np.abs(numbers) < 2.0**63) & (numbers == np.trunc(numbers))
    integers = np.where(whole, numbers, 0).astype(np.int64)
    return np.where(whole, integers.view(np.uint64), numbers.view(np.uint64))
