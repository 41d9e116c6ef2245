"""What numbers that say nearly the same differ in, which is hard to see beside what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from catvec.frames._numbers import CLIP, Number, bent

MOST_VARIANCE = 0.5  # of a component, that of a number being 1: on three cuts of kick networks had
# a mean log loss of 0.2922 without components, and with those below 0.1, 0.5, 0.9 and with all of
# 0.2900, 0.2886, 0.2892 and 0.2894
RIDGE = 0.01  # added to the variance that is divided by: what varies less is rounding or noise
LEAST_VARIANCE = 1e-6
MOST_COMPONENTS = 32
LEARNED_FROM = 100_000  # rows, at most
CHUNK = 8192  # rows at once, whose components stay in the processor's cache


def _nothing() -> np.ndarray:
    return np.empty((0, 0))


@dataclass(frozen=True, eq=False)
class MinorComponents:
    """The principal components of scaled numbers that vary least, at about the same variance.

    Networks see them beside the numbers (PCA whitening: LeCun et al. 1998, Efficient BackProp,
    section 4.3). The price of a car, and what such cars cost at auctions and in shops, are one
    number eight times over as far as their first component goes, and what a car was too cheap by is
    in the others, of a hundredth of its variance: a first layer gets there slowly, and weight decay
    is against it. Not where rows come in time: what all numbers have in common comes again, how
    they differ drifts. On rows of later weeks networks of walmart had a mean error of 1713 with
    such components, and of 1684 without.

    Attributes
    ----------
    loadings : ndarray of shape (n_numbers, n_components), float64
        What each scaled number counts in each component; (0, 0) for no components.
    """

    loadings: np.ndarray = field(default_factory=_nothing)

    @classmethod
    def learn(cls, numbers: Sequence[Number], values: np.ndarray) -> MinorComponents:
        """Find them, if some vary clearly less than components of unrelated numbers would.

        With n rows the least variance of N unrelated numbers' components is about
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
        if len(values) > LEARNED_FROM:
            rows = np.random.default_rng(0).choice(len(values), LEARNED_FROM, replace=False)
            values = values[np.sort(rows)]
        if len(numbers) < 2 or len(values) <= len(numbers):
            return cls()
        scaled = [number.scaled(values[:, i]) for i, number in enumerate(numbers)]
        z = np.stack(scaled, axis=1).astype(np.float64)
        z -= z.mean(axis=0)
        deviations = np.sqrt(np.mean(z**2, axis=0))
        z /= np.where(deviations > 0, deviations, np.inf)  # a constant has no part in it
        variances, axes = np.linalg.eigh(z.T @ z / len(z))  # ascending
        most = MOST_VARIANCE * (1 - np.sqrt(len(numbers) / len(values))) ** 2
        minor = np.flatnonzero((variances > LEAST_VARIANCE) & (variances < most))
        minor = minor[-MOST_COMPONENTS:]
        loadings = axes[:, minor] / np.sqrt(variances[minor] + RIDGE)
        loadings /= np.where(deviations > 0, deviations, np.inf)[:, None]
        return cls(loadings) if len(minor) else cls()

    def __len__(self) -> int:
        return self.loadings.shape[1]

    def of(self, scaled: np.ndarray) -> np.ndarray:
        """Components of scaled numbers, bent as these are.

        They are 0 where all numbers are at their centre, and a row's do not depend on other rows.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_numbers), float32

        Returns
        -------
        ndarray of shape (n_rows, n_components), float32
        """
        found = np.empty((len(scaled), len(self)), np.float32)
        for start in range(0, len(scaled) if len(self) else 0, CHUNK):
            rows = slice(start, start + CHUNK)
            found[rows] = bent(self._unbent(scaled[rows]))
        return found

    def by_number(self, scaled: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """What components add to a score, as numbers contribute it.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_numbers), float32
        slopes : ndarray of shape (n_rows, n_components), float32
            Change of the score by that of a component, on the way from 0 to the row's.

        Returns
        -------
        ndarray of shape (n_rows, n_numbers), float32
            Their sums are those of slopes times components.
        """
        of_sums = slopes / np.hypot(1.0, self._unbent(scaled) / CLIP)
        return ((of_sums @ self.loadings.T) * scaled).astype(np.float32)

    def to_json(self) -> list[list[float]]:
        """What JSON can hold: loadings, number by number."""
        return self.loadings.tolist()

    @classmethod
    def from_json(cls, data: Sequence[Sequence[float]]) -> MinorComponents:
        """Undo `to_json`."""
        loadings: Any = np.asarray(data, np.float64)
        return cls(loadings) if loadings.size else cls()

    def _unbent(self, scaled: np.ndarray) -> np.ndarray:
        """Components as sums, number by number: a matrix product would round by how many rows."""
        sums = np.zeros((len(scaled), len(self)))
        for number, loadings in zip(scaled.T, self.loadings, strict=False):
            sums += number[:, None] * loadings
        return sums
