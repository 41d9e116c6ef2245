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

    def committee_loss(self, kinds: Sequence[Sequence[int]], n_networks: int) -> float:
        """Loss of a committee, as many networks of each kind, from one or two of each.

        The squared error of a mean of n networks is the mean of the products of their errors,
        each with each. So averaging takes a part (n - 1) / n of what networks of one kind disagree
        by (Krogh & Vedelsby 1995, Neural Network Ensembles, Cross Validation, and Active Learning,
        NIPS 7), and weakly shrunk networks disagree most. What two lose together tells their
        product; a single network tells nothing but its own loss. A kind of which there is one is
        taken to disagree within itself as the other does.

        Parameters
        ----------
        kinds : sequence of sequence of int
            Places of networks, by kind.
        n_networks : int
            Of the committee.
        """
        alone = np.array([self.alone[list(kind)].mean() for kind in kinds])
        alike = [two for kind in kinds for two in combinations(kind, 2)]
        if not alike or not np.isfinite(alone).all():
            return float(alone.mean())
        own = alone.mean()
        disagreement = np.mean([self.alone[list(two)].mean() - self._common(*two) for two in alike])
        n_alike = n_networks / len(kinds) - 1  # others of its kind that a network has
        total = own + n_alike * (own - disagreement)
        if len(kinds) > 1:
            unlike = [(i, j) for one, other in combinations(kinds, 2) for i in one for j in other]
            total += (n_networks - 1 - n_alike) * np.mean([self._common(*two) for two in unlike])
        return float(total / n_networks)

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
        return [one.network.predict(inputs, kernels=kernels) for one in self._networks]
