"""From a training set to networks, and from networks to vectors; for all rows or for a fold."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from catvec.effects import learn_effects
from catvec.estimators._choice import (
    CHOICE_ROWS,
    SHRINKAGES,
    Choice,
    choose_batch_size,
    choose_dims,
    choose_n_networks,
    choose_shrinkage,
    knot_dims,
)
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._training_set import TrainingSet
from catvec.frames import make_held_out
from catvec.network import (
    EpochRecord,
    Inputs,
    Job,
    Network,
    NetworkConfig,
    Trained,
    TrainingConfig,
    TrainingData,
    choose_engine,
    train_committee,
)
from catvec.vectors import CategoryVectors, ColumnVectors, align, average_aligned

FEWEST_ROWS = 20  # below this, holding rows out tells nothing

logger = logging.getLogger("catvec")

LOSS_OF_TASK = {
    "regression": "squared",
    "binary": "logistic",
    "multiclass": "softmax",
    "count": "poisson",
}


@dataclass(frozen=True)
class Progress:
    """How far a fit is; what `callback` is called with after each epoch.

    Attributes
    ----------
    stage : {"choosing", "training"}
        Choosing the shrinkage, or training the networks (of the folds, too).
    network, n_networks : int
        Which network of how many in this stage, from 0.
    epoch, max_epochs : int
        Which epoch of at most how many, from 1.
    train_loss : float
        Mean loss of the epoch's rows.
    held_out_loss : float or None
        Loss on the held-out rows, if there are any.
    """

    stage: str
    network: int
    n_networks: int
    epoch: int
    max_epochs: int
    train_loss: float
    held_out_loss: float | None


@dataclass(frozen=True, eq=False)
class Committee:
    """Networks trained on the same rows, and which of the rows each held out.

    Attributes
    ----------
    networks : list of Network
    history : list of dict
        A record by network and epoch.
    held_out : list of ndarray, int64, or None
        By network the rows it held out; None if the user gave rows or none were.
    """

    networks: list[Network]
    history: list[dict[str, Any]]
    held_out: list[np.ndarray] | None


class Learner:
    """Trains networks on a training set, or on part of it, as the parameters say.

    Parameters
    ----------
    p : SharedParameters
        Checked.
    training : TrainingSet
        All rows of the fit.
    seed : int
        Of everything random.
    n_fits : int, default=1
        Committees that will be trained: one on all rows and one by fold; 0 where effects are all
        that is wanted, and then nothing is tried.
    """

    def __init__(
        self,
        p: SharedParameters,
        training: TrainingSet,
        seed: int,
        *,
        n_fits: int = 1,
    ) -> None:
        self.p, self.training, self.seed = p, training, seed
        self.loss = LOSS_OF_TASK[training.target.task] if p.loss == "auto" else p.loss
        self.n_jobs = n_threads(p.n_jobs)
        row_epochs = len(training) * p.max_epochs * max(n_fits, 1)
        self.n_networks = choose_n_networks(p.n_networks, row_epochs)
        self.engine = choose_engine(p.engine, self._row_epochs(n_fits))
        schema = training.schema
        dims, of_knots = choose_dims(p, schema), knot_dims(schema)
        self.choice = Choice(dims, of_knots, (), {})
        self._tried: dict[float, Trained] = {}  # first networks of the committee on all rows
        trial = self._trial() if n_fits else None
        shrinkage, tried = choose_shrinkage(p, schema, len(dims + of_knots), trial)
        self.choice = Choice(dims, of_knots, shrinkage, tried)
        first = set(shrinkage)
        self._tried = {s: t for s, t in self._tried.items() if {s} == first}

    @cached_property
    def data(self) -> TrainingData:
        """What networks learn from; effects alone need none of it."""
        return self.training.data()

    def committees(self, sets: Sequence[np.ndarray]) -> list[Committee]:
        """Train a committee on each of several sets of rows, side by side.

        Parameters
        ----------
        sets : sequence of ndarray, int64
            Row numbers: all rows first, then those of folds.

        Returns
        -------
        list of Committee
        """
        n = self.n_networks
        held_out = [self._held_out(rows, n) for rows in sets]
        jobs = [
            self._job(rows, None if masks is None else masks[i], i, self.choice.shrinkage)
            for rows, masks in zip(sets, held_out, strict=True)
            for i in range(n)
        ]
        done = list(self._tried.values())  # at most one: it would be trained again, bit for bit
        trained = done + self._run(jobs[len(done) :], "training")
        return [
            _committee(rows, masks, trained[i * n : (i + 1) * n])
            for i, (rows, masks) in enumerate(zip(sets, held_out, strict=True))
        ]

    # --- inside ---

    def _row_epochs(self, n_fits: int) -> int:
        """Work ahead, at most; a small batch counts as a full one, since it takes about as long."""
        n_rows, p = len(self.training), self.p
        batch = choose_batch_size(p.batch_size, n_rows)
        n_trials = len(SHRINKAGES) if n_fits and p.shrinkage == "auto" else 0
        as_full = n_rows * max(1, p.batch_size // batch)
        return as_full * p.max_epochs * (n_fits * self.n_networks + n_trials)

    def _trial(self) -> Callable[[Sequence[float]], Sequence[float]] | None:
        """Held-out loss at each of several strengths, on at most `CHOICE_ROWS` rows."""
        rows = np.arange(len(self.training))
        if len(rows) > CHOICE_ROWS:
            rng = np.random.default_rng([self.seed, 1])
            rows = np.sort(rng.permutation(rows)[:CHOICE_ROWS])
        masks = self._held_out(rows, 1)
        mask = None if masks is None else masks[0]
        if mask is None and self.training.held_out is None:
            return None
        n_tables = len(self.choice.dims + self.choice.knot_dims)

        def losses(strengths: Sequence[float]) -> list[float]:
            jobs = [self._job(rows, mask, 0, (s,) * n_tables) for s in strengths]
            trained = self._run(jobs, "choosing")
            if len(rows) == len(self.training):
                self._tried = dict(zip(strengths, trained, strict=True))
            return [np.inf if t.held_out_loss is None else t.held_out_loss for t in trained]

        return losses

    def _held_out(self, rows: np.ndarray, n_networks: int) -> list[np.ndarray] | None:
        """Which of the rows each network holds out; None for none, or if the user gave some."""
        fraction = self.p.validation_fraction
        if self.training.held_out is not None or fraction == 0 or len(rows) < FEWEST_ROWS:
            return None
        rng = np.random.default_rng([self.seed, 2])
        masks = make_held_out(self.training.ties.take(rows), fraction, n_networks, rng)
        # With one group or moment there may be nothing to hold out, or nothing left to train on.
        usable = all(2 <= mask.sum() <= len(mask) - 2 for mask in masks)
        return masks if usable else None

    def _job(
        self,
        rows: np.ndarray,
        mask: np.ndarray | None,
        number: int,
        shrinkage: tuple[float, ...],
    ) -> Job:
        train, held_out = rows, self.training.held_out
        if mask is not None:
            train, held_out = rows[~mask], replace(self.data, rows=rows[mask])
        p = self.p
        config = TrainingConfig(
            loss=self.loss,
            quantile=p.quantile,
            shrinkage=shrinkage,
            learning_rate=float(p.learning_rate),
            batch_size=choose_batch_size(p.batch_size, len(train)),
            max_epochs=p.max_epochs,
            n_iter_no_change=p.n_iter_no_change,
        )
        data = replace(self.data, rows=train)
        return Job(self._shape(), config, data, held_out, self.seed + number, self.engine)

    def _shape(self) -> NetworkConfig:
        schema, p = self.training.schema, self.p
        return NetworkConfig(
            n_codes=tuple(v.n_codes for v in schema.vocabularies),
            dims=self.choice.dims,
            n_numbers=self.data.inputs.numbers.shape[1],
            n_knots=tuple(len(n.knots) for n in schema.numbers if len(n.knots)),
            knot_dims=self.choice.knot_dims,
            hidden_sizes=tuple(p.hidden_sizes),
            dropout=float(p.dropout),
            n_outputs=self.training.target.n_outputs,
            interactions="concatenate" if p.interactions == "auto" else p.interactions,
        )

    def _run(self, jobs: list[Job], stage: str) -> list[Trained]:
        def report(record: EpochRecord) -> None:
            progress = Progress(
                stage,
                record.network,
                len(jobs),
                record.epoch,
                self.p.max_epochs,
                record.train_loss,
                record.held_out_loss,
            )
            if self.p.verbose:
                logger.info("%s", progress)
            if self.p.callback is not None:
                self.p.callback(progress)

        return train_committee(jobs, n_jobs=self.n_jobs, on_epoch=report)


def _committee(
    rows: np.ndarray, masks: list[np.ndarray] | None, trained: list[Trained]
) -> Committee:
    history = [
        {**vars(record), "network": i} for i, t in enumerate(trained) for record in t.history
    ]
    held_out = None if masks is None else [rows[mask] for mask in masks]
    return Committee([one.network for one in trained], history, held_out)


def averaged_scores(networks: Sequence[Network], inputs: Inputs) -> np.ndarray:
    """Mean of the networks' scores, on the link scale, float64 of shape (n_rows, n_outputs)."""
    return np.mean([network.predict(inputs) for network in networks], axis=0)


def category_vectors(
    training: TrainingSet,
    networks: Sequence[Network],
    *,
    rows: np.ndarray | None = None,
    reference: CategoryVectors | None = None,
    metadata: dict[str, Any] | None = None,
) -> CategoryVectors:
    """Effects, and the networks' vectors turned into one basis and averaged.

    Parameters
    ----------
    training : TrainingSet
        All rows of the fit.
    networks : sequence of Network
        None gives vectors of width 0.
    rows : ndarray, int64, optional
        Those that the networks and effects are from; by default all.
    reference : CategoryVectors, optional
        Whose basis to take; by default the first network's.
    metadata : dict, optional
        What to keep with them.

    Returns
    -------
    CategoryVectors
        Column by column in the order of the schema.
    """
    evidence = training.evidence() if rows is None else training.evidence().take(rows)
    effects = learn_effects(evidence)
    columns = []
    for c, vocabulary in enumerate(training.schema.vocabularies):
        counts = np.bincount(evidence.codes[:, c], minlength=vocabulary.n_codes)
        tables = [network.tables.weight(c) for network in networks]
        vectors = _together(tables, counts, vocabulary.n_codes)
        if reference is not None and tables:
            vectors = align(vectors, reference[vocabulary.name].by_code()[0], counts)
        by_class = training.target.classes if training.target.task == "multiclass" else None
        of_effect = effects[c].effects if by_class is not None else effects[c].effects[:, 0]
        columns.append(
            ColumnVectors(
                vocabulary,
                vectors,
                of_effect,
                effects[c].confidences,
                classes=None if by_class is None else by_class.tolist(),
            )
        )
    return CategoryVectors(columns, metadata=metadata)


def _together(tables: list[np.ndarray], counts: np.ndarray, n_codes: int) -> np.ndarray:
    if not tables:
        return np.zeros((n_codes, 0), np.float32)
    return average_aligned(tables, counts)


def n_threads(n_jobs: int | None) -> int:
    """Threads that `n_jobs` means."""
    if n_jobs is None:
        return 1
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)
