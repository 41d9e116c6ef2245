"""What numbers that say nearly the same differ in, which is hard to see beside what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from catvec.frames._numbers import Number, bent

MOST_VARIANCE = 0.5  # of a component, that of a number being 1; see docs/how_it_works.md
RIDGE = 0.01  # added to the variance that is divided by: what varies less is rounding or noise
LEAST_VARIANCE = 1e-6  # below, the rounding of float32 between columns that say the same
LEAST_SHARED = 0.1  # of the rows have both of two numbers that count as related
LEARNED_FROM = 30_000  # rows, at most
CHUNK = 8192  # rows at once, whose components stay in the processor's cache


def _no_matrix() -> np.ndarray:
    return np.empty((0, 0))


def _no_places() -> np.ndarray:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class MinorComponents:
    """The principal components of scaled numbers that vary least, drawn out to nearly one variance.

    Networks see these weighted differences beside the numbers (PCA whitening: LeCun et al. 1998,
    Efficient BackProp, section 4.3). The price of a car, and what such cars cost at auctions and in
    shops, are one number eight times over as far as their first component goes, and what a car was
    too cheap by is in the others, of a hundredth of its variance: a first layer gets there slowly,
    and weight decay is against it. A component of variance w is given one of w / (w + 0.01).

    Where a number is missing, it is taken to be what the number that it goes along with best says.

    Attributes
    ----------
    loadings : ndarray of shape (n_numbers, n_components), float64
        What each scaled number counts in each component; (0, 0) for no components.
    partners : ndarray of shape (n_numbers,), int64
        The number that each goes along with best.
    lines : ndarray of shape (n_numbers, 2), float64
        Start and slope of the line by which its partner tells it.
    """

    loadings: np.ndarray = field(default_factory=_no_matrix)
    partners: np.ndarray = field(default_factory=_no_places)
    lines: np.ndarray = field(default_factory=_no_matrix)

    @classmethod
    def learn(cls, numbers: Sequence[Number], values: np.ndarray) -> MinorComponents:
        """Find them, if some vary clearly less than components of unrelated numbers would.

        In n rows the least variance of N unrelated numbers' components is about
        (1 - sqrt(N / n))^2 of theirs (Marchenko & Pastur 1967, Mathematics of the USSR-Sbornik 1).

        Parameters
        ----------
        numbers : sequence of Number
        values : ndarray of shape (n_rows, n_numbers), float64
            Training rows as they are, NaN where missing.

        Returns
        -------
        MinorComponents
        """
        if len(numbers) < 2:
            return cls()
        if len(values) > LEARNED_FROM:
            rows = np.random.default_rng(0).choice(len(values), LEARNED_FROM, replace=False)
            values = values[np.sort(rows)]
        columns = [number.scaled(values[:, i]) for i, number in enumerate(numbers)]
        scaled, seen = np.stack(columns, axis=1), (~np.isnan(values)).astype(np.float64)
        n_rows = len(np.unique(scaled, axis=0))  # what a store has in all its rows is said once
        if n_rows <= len(numbers):
            return cls()
        z = scaled.astype(np.float64)
        means = z.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        z = (z - means) * seen
        # Of two numbers by the rows that have both; [i, j] of `squares` is of number i.
        products, squares, shared = z.T @ z, (z**2).T @ seen, seen.T @ seen
        known = (shared >= LEAST_SHARED * len(z)) & (squares > 0) & (squares.T > 0)
        correlation = np.zeros_like(products)
        np.divide(products, np.sqrt(squares * squares.T), out=correlation, where=known)
        variances, axes = np.linalg.eigh(correlation)  # ascending
        most = MOST_VARIANCE * (1 - np.sqrt(len(numbers) / n_rows)) ** 2
        minor = (variances > LEAST_VARIANCE) & (variances < most)
        if not minor.any():
            return cls()
        deviations = np.sqrt(np.diag(squares) / np.maximum(np.diag(shared), 1))
        # A constant has no part in it.
        loadings = axes[:, minor] / np.where(deviations > 0, deviations, np.inf)[:, None]
        np.fill_diagonal(correlation, 0)
        partners = np.argmax(np.abs(correlation), axis=1)
        own = np.arange(len(numbers))
        related = known[own, partners]
        slopes = np.zeros(len(numbers))
        np.divide(products[own, partners], squares[partners, own], out=slopes, where=related)
        lines = np.stack([means - slopes * means[partners], slopes], axis=1)
        return cls(loadings / np.sqrt(variances[minor] + RIDGE), partners, lines)

    def __len__(self) -> int:
        return self.loadings.shape[1]

    @property
    def shares(self) -> np.ndarray:
        """What part of each component is a number's: (n_numbers, n_components), columns sum to 1.

        In proportion to its squared loading: terms of the sum may be large and cancel.
        """
        squares = self.loadings**2
        return squares / squares.sum(axis=0)

    def of(self, scaled: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Components of scaled numbers, bent as these are.

        They are 0 where all numbers are at their centre, and a row's do not depend on other rows.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_numbers), float32
            0 where missing.
        missing : ndarray of shape (n_rows, n_numbers), bool

        Returns
        -------
        ndarray of shape (n_rows, n_components), float32
        """
        found = np.empty((len(scaled), len(self)), np.float32)
        for start in range(0, len(scaled) if len(self) else 0, CHUNK):
            rows = slice(start, start + CHUNK)
            found[rows] = bent(self._sums(self._filled(scaled[rows], missing[rows])))
        return found

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MinorComponents:
        """Undo `to_json`."""
        if not data or not data["loadings"]:
            return cls()
        loadings, lines = (np.asarray(data[name], np.float64) for name in ("loadings", "lines"))
        return cls(loadings, np.asarray(data["partners"], np.int64), lines)

    def _filled(self, scaled: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Scaled numbers, missing ones by their partners where these are there."""
        by_partner = missing & ~missing[:, self.partners]
        told = self.lines[:, 0] + self.lines[:, 1] * scaled[:, self.partners]
        return np.where(by_partner, told, scaled)

    def _sums(self, numbers: np.ndarray) -> np.ndarray:
        """Number by number: a matrix product would round by how many rows there are."""
        sums = np.zeros((len(numbers), len(self)))
        for number, loadings in zip(numbers.T, self.loadings, strict=True):
            sums += number[:, None] * loadings
        return sums
