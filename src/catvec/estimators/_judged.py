"""What networks lose on rows that they held out: each alone, two together, a committee of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations

import numpy as np

from catvec.network import Job, Loss, Trained, TrainingData, load_kernels


class Judged:
    """Networks that held out the same rows.

    Parameters
    ----------
    networks : sequence of Trained
    job : Job
        Of one of them.
    loss : Loss

    Attributes
    ----------
    alone : ndarray of shape (n_networks,), float64
        Loss of each.
    """

    def __init__(self, networks: Sequence[Trained], job: Job, loss: Loss) -> None:
        self.alone = np.array([one.held_out_loss for one in networks], np.float64)
        self._networks, self._job, self._loss = networks, job, loss

    def committee_loss(
        self,
        kinds: Sequence[Sequence[int]],
        n_networks: int,
        shares: Sequence[float] | None = None,
    ) -> float:
        """Loss of a committee, from one or two networks of each kind that it is made of.

        The squared error of a mean of n networks is the mean of the products of their errors,
        each with each. So averaging takes a part (n - 1) / n of what networks of one kind disagree
        by (Krogh & Vedelsby 1995, Neural Network Ensembles, Cross Validation, and Active Learning,
        NIPS 7), and weakly shrunk networks disagree most. What two lose together tells their
        product; a single network tells nothing but its own loss. A kind of which there is one is
        taken to disagree within itself as the others do.

        Parameters
        ----------
        kinds : sequence of sequence of int
            Places of networks, by kind.
        n_networks : int
            Of the committee.
        shares : sequence of float, optional
            Of each kind in the committee; by default all have as many networks.
        """
        parts = np.full(len(kinds), 1 / len(kinds)) if shares is None else np.asarray(shares)
        alone = np.array([self.alone[list(kind)].mean() for kind in kinds])
        common = [[self._common(i, j) for i, j in combinations(kind, 2)] for kind in kinds]
        disagreement = [
            self.alone[[i, j]].mean() - self._common(i, j)
            for kind in kinds
            for i, j in combinations(kind, 2)
        ]
        if not disagreement or not np.isfinite(alone).all():
            return float(parts @ alone)
        alike = [
            np.mean(both) if both else own - np.mean(disagreement)
            for own, both in zip(alone, common, strict=True)
        ]
        n = parts * n_networks
        total = np.sum(n * (alone + np.maximum(n - 1, 0) * np.array(alike)))
        weight = np.sum(n * (1 + np.maximum(n - 1, 0)))
        for (a, one), (b, other) in combinations(enumerate(kinds), 2):
            unlike = np.mean([self._common(i, j) for i in one for j in other])
            total += 2 * n[a] * n[b] * unlike
            weight += 2 * n[a] * n[b]
        return float(total / weight)

    def _common(self, i: int, j: int) -> float:
        """The product of two networks' errors, in units of the loss."""
        rows, scores = self._judges, self._scores
        together = self._loss.value((scores[i] + scores[j]) / 2, rows.target, rows.weight)
        return 2 * together - (self.alone[i] + self.alone[j]) / 2

    @cached_property
    def _judges(self) -> TrainingData:
        assert self._job.held_out is not None
        return self._job.held_out.alone()

    @cached_property
    def _scores(self) -> list[np.ndarray]:
        inputs, kernels = self._judges.inputs, load_kernels(self._job.engine)  # compiled by now
        networks = [one.network for one in self._networks]
        return [one.predict(inputs, dtype=np.float32, kernels=kernels) for one in networks]
