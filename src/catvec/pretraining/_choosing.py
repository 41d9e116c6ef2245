"""Parameters of the co-occurrences, chosen by how well vectors find items that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from catvec.pretraining._cooccurrence import (
    Directions,
    beyond,
    directions,
    information,
    with_itself,
)
from catvec.pretraining._questions import Questions

SHIFTS = (1.0, 0.3, 5.0)  # the first of each is taken where nothing can be chosen
ITERATIONS = (2, 1, 4)
EXPONENTS = (0.25, 0.0, 0.5)
FEWEST = 50  # questions that can tell anything


@dataclass(frozen=True)
class Settings:
    """Parameters of the co-occurrences.

    Attributes
    ----------
    shift : float
        What information is to be above, as its exponential.
    eigenvalue_exponent : float
        Of the singular values in the vectors.
    power_iterations : int
        Of the search for the directions.
    """

    shift: float
    eigenvalue_exponent: float
    power_iterations: int


@dataclass(frozen=True)
class Choices:
    """What each of the `Settings` may be; the first where nothing can be chosen.

    Attributes
    ----------
    shifts, exponents : tuple of float
    iterations : tuple of int
    """

    shifts: tuple[float, ...] = SHIFTS
    exponents: tuple[float, ...] = EXPONENTS
    iterations: tuple[int, ...] = ITERATIONS

    @property
    def first(self) -> Settings:
        """The first of each."""
        return Settings(self.shifts[0], self.exponents[0], self.iterations[0])

    @property
    def is_one(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.shifts) == len(self.exponents) == len(self.iterations) == 1


@dataclass(frozen=True, eq=False)
class _Trial:
    settings: Settings
    found: Directions
    score: float


def choose(
    pairs: sp.csr_array,
    questions: Questions,
    choices: Choices,
    *,
    smoothing: float,
    scale: float,
    dim: int,
    seed: int,
) -> tuple[Settings, list[dict[str, Any]]]:
    """The settings whose vectors answer questions best, one thing at a time.

    First the power iterations, then the shift, then the exponent of the singular values.

    Parameters
    ----------
    pairs : csr_array of shape (n_lines, n_lines), float64
        Counts without the sequences of the questions.
    questions : Questions
    choices : Choices
    smoothing, scale : float
        As `information` takes them.
    dim : int
        Width of the vectors.
    seed : int
        Every trial has the same random start.

    Returns
    -------
    settings : Settings
    history : list of dict
        Each trial and its score.
    """
    known = information(pairs, smoothing=smoothing, scale=scale)
    first, trials = choices.first, list[_Trial]()

    def best() -> _Trial:
        return max(trials, key=lambda trial: trial.score)  # the first of equal ones

    def look(shift: float, iterations: Sequence[int]) -> None:
        matrix, rng = with_itself(beyond(known, np.log(shift))), np.random.default_rng(seed)
        found = dict(
            zip(iterations, directions(matrix, dim, n_iters=iterations, rng=rng), strict=True)
        )
        for n, each in found.items():
            score = questions.score(each.vectors(first.eigenvalue_exponent))
            trials.append(_Trial(Settings(shift, first.eigenvalue_exponent, n), each, score))

    look(first.shift, choices.iterations)
    for shift in choices.shifts[1:]:
        if best().settings.shift == first.shift:  # else it is on the other side of a better one
            look(shift, [best().settings.power_iterations])
    chosen = best()
    for exponent in choices.exponents[1:]:
        settings = replace(chosen.settings, eigenvalue_exponent=exponent)
        score = questions.score(chosen.found.vectors(exponent))
        trials.append(_Trial(settings, chosen.found, score))
    history = [
        {"stage": "choosing", **asdict(trial.settings), "score": trial.score} for trial in trials
    ]
    return best().settings, history
