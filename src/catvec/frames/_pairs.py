"""Pairs of categorical columns, each read as one column more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catvec.frames._vocabulary import FIRST, MISSING, UNKNOWN, Vocabulary

OTHER = 1  # code of combinations that are not among the keys; single columns have missing there

MOST_KEYS = 2**18  # of a pair: 260,000 combinations, the most frequent ones, and the memory of them


@dataclass(frozen=True, eq=False)
class Pair:
    """The combinations of two columns' categories that the training rows hold.

    Attributes
    ----------
    first, second : str
        The columns, in the order of the table.
    n_second : int
        Codes of the second column.
    keys : ndarray of shape (n,), int64
        ``code of the first * n_second + code of the second``, ascending.
    counts : ndarray of shape (n,), int64
        Rows of each.
    """

    first: str
    second: str
    n_second: int
    keys: np.ndarray
    counts: np.ndarray

    @classmethod
    def learn(
        cls,
        first: str,
        second: str,
        n_second: int,
        codes: tuple[np.ndarray, np.ndarray],
        most: int = MOST_KEYS,
    ) -> Pair:
        """The combinations of the training rows, the `most` frequent ones.

        Parameters
        ----------
        first, second : str
            The columns.
        n_second : int
            Codes of the second column.
        codes : pair of ndarray of shape (n_rows,), int32
            Codes of both columns; combinations with an unknown category are left out.
        most : int
            Combinations kept; of equally frequent ones those with the lower key.

        Returns
        -------
        Pair
        """
        of_rows = _keys(*codes, n_second)
        keys, counts = np.unique(of_rows[of_rows >= 0], return_counts=True)
        return cls.of_counts(first, second, n_second, keys, counts, most)

    @classmethod
    def of_counts(
        cls,
        first: str,
        second: str,
        n_second: int,
        keys: np.ndarray,
        counts: np.ndarray,
        most: int = MOST_KEYS,
    ) -> Pair:
        """The `most` frequent of combinations that were counted; `keys` ascending, as in `Pair`."""
        if len(keys) > most:
            kept = np.sort(np.argsort(-counts, kind="stable")[:most])
            keys, counts = keys[kept], counts[kept]
        return cls(first, second, n_second, keys, counts.astype(np.int64))

    def grown(
        self, n_second: int, codes: tuple[np.ndarray, np.ndarray], most: int = MOST_KEYS
    ) -> tuple[Pair, np.ndarray]:
        """The combinations with those of further rows.

        Parameters
        ----------
        n_second : int
            Codes that the second column now has; those of both columns stayed.
        codes : pair of ndarray of shape (n_rows,), int32
            Codes of both columns in the further rows.
        most : int
            Combinations kept: all old ones, and the most frequent new ones while there is room.

        Returns
        -------
        pair : Pair
            Its codes follow the keys, as always, so old ones may have moved.
        moved : ndarray of shape (n_codes,), int64
            By old code the new one.
        """
        first, second = self.column_codes()
        old = first.astype(np.int64) * n_second + second  # in the same order
        found, rows = np.unique(_keys(*codes, n_second), return_counts=True)
        rows = rows[found >= 0].astype(np.int64)
        found = found[found >= 0]
        place = np.searchsorted(old, found)
        known = place < len(old)
        known[known] = old[place[known]] == found[known]
        counts = self.counts.copy()
        counts[place[known]] += rows[known]
        new = np.flatnonzero(~known)
        if len(new) > (room := max(most - len(old), 0)):
            new = np.sort(new[np.argsort(-rows[new], kind="stable")[:room]])
        keys = np.insert(old, place[new], found[new])
        counts = np.insert(counts, place[new], rows[new])
        moved = np.arange(FIRST + len(old))
        moved[FIRST:] += np.searchsorted(found[new], old)
        return Pair(self.first, self.second, n_second, keys, counts), moved

    @property
    def name(self) -> str:
        """As the columns of an encoder call it: ``Store*DayOfWeek``."""
        return f"{self.first}*{self.second}"

    @property
    def n_codes(self) -> int:
        """Codes: unknown, other combinations, the combinations of the keys."""
        return len(self.keys) + FIRST

    def __len__(self) -> int:
        return len(self.keys)

    def encode(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Codes of rows.

        Parameters
        ----------
        first, second : ndarray of shape (n_rows,), int32
            Codes of the columns.

        Returns
        -------
        ndarray of shape (n_rows,), int32
            0 where either category is unknown, 1 for combinations that are not among the keys,
            2.. for those that are.
        """
        of_rows = _keys(first, second, self.n_second)
        codes = np.where(of_rows < 0, UNKNOWN, OTHER).astype(np.int32)
        if len(self.keys):
            place = np.minimum(np.searchsorted(self.keys, of_rows), len(self.keys) - 1)
            np.copyto(codes, place + FIRST, where=self.keys[place] == of_rows, casting="same_kind")
        return codes

    def column_codes(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes of the first and of the second column by combination, int32 of shape (n,)."""
        first, second = np.divmod(self.keys, self.n_second)
        return first.astype(np.int32), second.astype(np.int32)


def codes_met(vocabulary: Vocabulary, codes: np.ndarray) -> np.ndarray:
    """Codes of a column as its pairs take them: a missing value that training never met is unknown.

    Its combinations would else be answered as rare ones are, about which something was learned.
    """
    if vocabulary.counts[MISSING]:
        return codes
    return np.where(codes == MISSING, np.int32(UNKNOWN), codes)


def _keys(first: np.ndarray, second: np.ndarray, n_second: int) -> np.ndarray:
    """A number by combination; -1 where either category is unknown."""
    keys = first.astype(np.int64) * n_second + second
    keys[(first == UNKNOWN) | (second == UNKNOWN)] = -1
    return keys
