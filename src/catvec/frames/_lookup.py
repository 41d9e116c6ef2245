"""Where values stand among the keys of a vocabulary: by hashing, by bisecting, by an index kept."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec.frames._murmur import hash_keys

FEW = 400
"""With fewer values than one for so many keys, bisecting the keys is faster than hashing them."""

WIDE, PART = 200_000, 4
"""With so many keys, and fewer values than one for `PART` of them, an index is worth keeping: Arrow
hashes all keys at every call, which for 5 million texts takes a second, an index 0.15 s for 262,144
values once it is made."""


def places_among(keys: pa.Array, values: pa.Array) -> np.ndarray:
    """Where each value stands among keys of its type, which are ascending; -1 where it does not."""
    if is_few(keys, values):
        return _bisected(values, keys)
    found = pc.index_in(values, value_set=keys, skip_nulls=True)
    return np.asarray(found.fill_null(-1))


def is_few(keys: pa.Array, values: pa.Array) -> bool:
    """Whether values are so few that bisecting is best."""
    return len(values) * FEW < len(keys)


def is_part(keys: pa.Array, values: pa.Array) -> bool:
    """Whether values are a small part of a column with many keys, so that more may follow."""
    return len(keys) >= WIDE and len(values) * PART < len(keys) and not is_few(keys, values)


class KeyIndex:
    """Distinct keys by their hash, for a column that is looked up part by part.

    Eight bytes a key. Keys of one hash stand together: with n keys there are about
    ``n**2 / 2**33`` pairs of them.

    Parameters
    ----------
    family : str
        As `hash_keys` takes it.
    keys : pyarrow.Array
        Distinct, without nulls.
    """

    def __init__(self, family: str, keys: pa.Array) -> None:
        self.family, self.keys = family, keys
        hashes = hash_keys(family, keys, [0])[:, 0]
        self._order = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._order]

    def places(self, values: pa.Array) -> np.ndarray:
        """Where each value stands among the keys (n_values,), int32; -1 where it does not.

        Parameters
        ----------
        values : pyarrow.Array
            Of the keys' type; a null stands nowhere.
        """
        hashes = hash_keys(self.family, values, [0])[:, 0]
        places = np.full(len(values), -1, np.int32)
        rows = np.flatnonzero(np.asarray(pc.is_valid(values)))
        rows = rows[np.argsort(hashes[rows])]  # neighbours in the index one after the other
        at = np.searchsorted(self._hashes, hashes[rows])
        while len(rows):
            near = at < len(self._hashes)
            near[near] = self._hashes[at[near]] == hashes[rows[near]]
            rows, at = rows[near], at[near]
            found = self._order[at]
            same = pc.equal(values.take(pa.array(rows)), self.keys.take(pa.array(found)))
            hit = np.asarray(same.fill_null(False))
            places[rows[hit]] = found[hit]
            rows, at = rows[~hit], at[~hit] + 1
        return places


def _bisected(values: pa.Array, keys: pa.Array) -> np.ndarray:
    """What `pc.index_in` says, without its hash table of all keys, which are ascending."""
    if pa.types.is_timestamp(keys.type):
        values, keys = values.view(pa.int64()), keys.view(pa.int64())
    places = np.full(len(values), -1, np.int32)
    for i, value in enumerate(values.to_pylist()):
        if value is not None:
            place = bisect_left(keys, value, key=_as_py)
            if place < len(keys) and keys[place].as_py() == value:
                places[i] = place
    return places


def _as_py(scalar: pa.Scalar) -> Any:
    return scalar.as_py()
