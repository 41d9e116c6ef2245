"""Which rows of which tables make the vector of a column: one by code, or several, combined.

A *look* is a row that training looks at. Every column and every pair has a first one; a hashed
column has one more for each further hash function, and one for the weights of the functions; a
column of quotients and remainders has a second one. Columns that share a table look at the same.

What is to be combined is gathered beside the network's input, into columns that the first layer
does not see, and `_kernels.compose` writes the vectors from there to their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from catvec.frames import FIRST, FULL, Kind
from catvec.network._kernels import EACH, NONE, ONE, Array
from catvec.network._tables import EmbeddingTables

__all__ = ["Composition", "further_columns", "looked_up"]


@dataclass(frozen=True, eq=False)
class Composition:
    """The tables of a network and how they are looked up.

    Parameters
    ----------
    kinds : sequence of Kind
        By categorical column; empty where all are full.
    n_codes, dims : sequences of int
        By categorical column, then by pair.
    knot_rows, knot_dims : sequences of int
        Rows and width of the tables of numbers.
    scratch : int
        First column beside the network's input.

    Attributes
    ----------
    n_rows, widths, owners : list of int
        Of each table its rows, its width, and whose it is, counting columns, pairs and numbers.
    looks : list of tuple of int
        Table and place in the input of each look: first ones, further ones, those of numbers.
    columns : list of int
        Whose each further look is.
    parts : array of shape (parts, 6), int64
        As `_kernels.compose` takes it.
    n_scratch : int
        Columns beside the input.
    """

    kinds: Sequence[Kind]
    n_codes: Sequence[int]
    dims: Sequence[int]
    knot_rows: Sequence[int]
    knot_dims: Sequence[int]
    scratch: int
    n_rows: list[int] = field(default_factory=list, init=False)
    widths: list[int] = field(default_factory=list, init=False)
    owners: list[int] = field(default_factory=list, init=False)
    columns: list[int] = field(default_factory=list, init=False)
    tables: list[tuple[int, ...]] = field(default_factory=list, init=False)
    looks: list[tuple[int, int]] = field(default_factory=list, init=False)
    parts: Array = field(init=False)
    _weights: list[tuple[int, int]] = field(default_factory=list, init=False)
    n_scratch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        starts = list(accumulate([*self.dims, *self.knot_dims], initial=0))
        further: list[tuple[int, int]] = []
        parts: list[tuple[int, ...]] = []
        own = {c: self._own_tables(c) for c in range(len(self.dims)) if _owner(self.kinds, c) == c}
        for c, at in enumerate(starts[: len(self.dims)]):
            self.tables.append(own[_owner(self.kinds, c)])
            first, *more = self._looks_of(c, at, parts)
            self.looks.append(first)
            further += more
            self.columns.extend([c] * len(more))
        self.looks.extend(further)
        for m, at in enumerate(starts[len(self.dims) : -1]):
            table = self._table(self.knot_rows[m], self.knot_dims[m], len(self.dims) + m)
            self.looks.append((table, at))
        object.__setattr__(self, "parts", np.array(parts, np.int64).reshape(-1, 6))

    @property
    def list_columns(self) -> list[int]:
        """The columns whose cells are lists."""
        return [c for c, kind in enumerate(self.kinds) if kind.name == "list"]

    @property
    def n_vectors(self) -> int:
        """Width of all vectors in the network's input."""
        return sum(self.dims) + sum(self.knot_dims)

    def initialize(self, tables: EmbeddingTables) -> None:
        """Give new tables that are combined the values that combine to small new vectors."""
        for c in range(len(self.dims)):
            kind = self.kinds[c] if c < len(self.kinds) else FULL
            first, *more = (tables.table(t) for t in self.tables[c])
            if kind.name == "hashed":
                first *= first.dtype.type(kind.number**0.5)
                more[0][...] = 0
            elif kind.name == "product":
                first += 1  # of two small factors next to nothing would be left
            elif kind.name == "sum":
                for table in (first, *more):
                    table *= table.dtype.type(0.5**0.5)

    def vectors(self, tables: EmbeddingTables, c: int) -> Array:
        """Vectors of column `c` by code (n_codes, dim); of a hashed one those of its buckets."""
        kind = _resolved(self.kinds, c)
        first, *more = (tables.table(t) for t in self.tables[c])
        if kind.name in ("full", "hashed", "list"):
            return first
        quotient, remainder = _divided(np.arange(self.n_codes[c], dtype=np.int32), kind.number)
        left, right = first[quotient], more[0][remainder]
        if kind.name == "concatenate":
            return np.concatenate([left, right], axis=1)
        return left * right if kind.name == "product" else left + right

    def importances(self, tables: EmbeddingTables, c: int) -> Array | None:
        """Weights of the hash functions by code (n_codes, n_hashes); None without several."""
        if _resolved(self.kinds, c).name != "hashed":
            return None
        return _adding_up(tables.table(self.tables[c][1]).copy())

    def weigh(self, x: Array) -> None:
        """Turn what was looked up for the weights of hash functions into weights, in place.

        They add up to 1, so that a vector is a mean of rows: a table that is shifted or turned
        shifts or turns the vectors. NOTE[DIFF]: Svenstrup, Hansen & Winther 2017 (arXiv 1709.03933,
        section 2) sum with weights of any size.
        """
        for start, n in self._weights:
            _adding_up(x[:, start : start + n])

    def weigh_backward(self, gradient: Array) -> None:
        """Backward of `weigh`, in place."""
        for start, n in self._weights:
            block = gradient[:, start : start + n]
            block -= block.mean(axis=1, keepdims=True)

    # --- inside ---

    def _own_tables(self, c: int) -> tuple[int, ...]:
        """Tables for column `c`."""
        kind, n, dim = _resolved(self.kinds, c), self.n_codes[c], self.dims[c]
        if kind.name in ("full", "list"):
            return (self._table(n, dim, c),)
        if kind.name == "hashed":
            return self._table(n, dim, c), self._table(n, kind.number, c)
        n_quotients = -(-(n - FIRST) // kind.number)
        left = -(-dim // 2) if kind.name == "concatenate" else dim
        right = dim - left if kind.name == "concatenate" else dim
        n_remainders = min(kind.number, n - FIRST)
        quotients = self._table(FIRST + n_quotients, left, c)
        return quotients, self._table(FIRST + n_remainders, right, c)

    def _table(self, n_rows: int, width: int, owner: int) -> int:
        self.n_rows.append(n_rows)
        self.widths.append(width)
        self.owners.append(owner)
        return len(self.owners) - 1

    def _looks_of(self, c: int, at: int, parts: list[tuple[int, ...]]) -> list[tuple[int, int]]:
        """The looks of a column whose vector lies at `at`; what is combined goes to `parts`."""
        kind, tables, dim = _resolved(self.kinds, c), self.tables[c], self.dims[c]
        if kind.name in ("full", "list"):
            return [(tables[0], at)]
        if kind.name == "concatenate":
            return [(tables[0], at), (tables[1], at + self.widths[tables[0]])]
        if kind.name == "hashed":
            vectors = [self._beside(dim) for _ in range(kind.number)]
            weights = self._beside(kind.number)
            self._weights.append((weights, kind.number))
            for j, vector in enumerate(vectors):
                parts.append((at, dim, vector, weights + j, ONE, int(j == 0)))
            return [(tables[0], vector) for vector in vectors] + [(tables[1], weights)]
        left, right = self._beside(dim), self._beside(dim)
        if kind.name == "product":
            parts.append((at, dim, left, right, EACH, 1))
        else:
            parts.append((at, dim, left, 0, NONE, 1))
            parts.append((at, dim, right, 0, NONE, 0))
        return [(tables[0], left), (tables[1], right)]

    def _beside(self, width: int) -> int:
        """Room for so many columns beside the input; the first of them."""
        object.__setattr__(self, "n_scratch", self.n_scratch + width)
        return self.scratch + self.n_scratch - width


def looked_up(kinds: Sequence[Kind], codes: Array, hashes: Array) -> Array | None:
    """Rows that each look of the columns and pairs looks at.

    Parameters
    ----------
    kinds : sequence of Kind
        By column; empty where all are full.
    codes : array of shape (n, C), int32
        By column and pair.
    hashes : array of shape (n, H), int32
        Codes of hashed columns under further hash functions, as `catvec.frames.Arrays` has them.

    Returns
    -------
    array of shape (n, looks), int32, or None
        None where `codes` are what is looked up.
    """
    names = {_resolved(kinds, c).name for c in range(len(kinds))}
    if names <= {"full", "list"}:
        return None
    first, further, start = codes.copy(), [], 0
    for c in range(len(kinds)):
        kind = _resolved(kinds, c)
        if kind.name == "hashed":
            further.append(hashes[:, start : start + kind.number])
            start += kind.number
        elif kind.name not in ("full", "list"):
            first[:, c], remainder = _divided(codes[:, c], kind.number)
            further.append(remainder[:, None])
    return np.concatenate([first, *further], axis=1)


def further_columns(kinds: Sequence[Kind]) -> list[int]:
    """Whose each look of columns is that comes after the first ones."""
    found = []
    for c in range(len(kinds)):
        kind = _resolved(kinds, c)
        found += [c] * {"full": 0, "list": 0, "hashed": kind.number}.get(kind.name, 1)
    return found


def _adding_up(block: Array) -> Array:
    """Rows shifted to add up to 1, in place."""
    block -= block.mean(axis=1, keepdims=True)
    block += block.dtype.type(1 / block.shape[1])
    return block


def _owner(kinds: Sequence[Kind], c: int) -> int:
    """The column whose tables column `c` looks at."""
    shared = c < len(kinds) and kinds[c].name == "shared"
    return kinds[c].number if shared else c


def _resolved(kinds: Sequence[Kind], c: int) -> Kind:
    """The kind of a column's table, also where it is another column's."""
    return kinds[_owner(kinds, c)] if c < len(kinds) else FULL


def _divided(codes: Array, n_remainders: int) -> tuple[Array, Array]:
    """Rows of quotients and of remainders; those of unknown and missing are 0 and 1 in both.

    Shi, Mudigere, Naumov & Yang 2020 (arXiv 1909.02107), section 2: no two codes have both alike.
    """
    known = codes >= FIRST
    quotient, remainder = np.divmod(codes - FIRST, np.int32(n_remainders))
    return np.where(known, quotient + FIRST, codes), np.where(known, remainder + FIRST, codes)
