"""From a training set to networks, and what they found; for all rows or for folds."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from catvec._checks import refuse
from catvec.effects import Statistics, learn_effects
from catvec.estimators._choice import (
    Choice,
    choose_n_networks,
    epoch_grid,
    rows_of_work,
)
from catvec.estimators._fitted_vectors import Findings, category_vectors, fold_vectors
from catvec.estimators._memory import NO_LIMITS
from catvec.estimators._pairs import named_pairs, with_pairs
from catvec.estimators._parameters import SharedParameters, is_list, loss_of
from catvec.estimators._plan import Plan
from catvec.estimators._search import reckoned_trials, search
from catvec.estimators._training_set import TrainingSet
from catvec.network import (
    Backend,
    EpochRecord,
    Inputs,
    Job,
    Network,
    Trained,
    TrainingData,
    choose_engine,
    learn_held_out,
    train_committee,
)
from catvec.vectors import CategoryVectors

LAST_PASSES = {"n_passes": 1}  # over all rows
LAST_PASSES_IN_TIME = {"n_passes": 2, "rate": 0.2}  # no other network knows the latest rows; AUC
# on hotel_bookings, rows apart: 0.900 without, and 0.903, 0.904, 0.906 from 0.05, 0.1 and 0.2

logger = logging.getLogger("catvec")


@dataclass(frozen=True)
class Progress:
    """How far a fit is; what `callback` is called with after each epoch.

    Attributes
    ----------
    stage : {"choosing", "training"}
        Choosing what is left open, or training the networks (of the folds, too).
    network, n_networks : int
        Which network of how many in this stage, from 0.
    epoch, n_epochs : int
        Which epoch of how many, from 1.
    train_loss : float
        Mean loss of the epoch's rows.
    held_out_loss : float or None
        Loss on the held-out rows, if there are any; while choosing, after a last epoch only.
    """

    stage: str
    network: int
    n_networks: int
    epoch: int
    n_epochs: int
    train_loss: float
    held_out_loss: float | None


@dataclass(frozen=True, eq=False)
class Committee:
    """Networks trained on the same rows, and which of the rows each held out.

    Attributes
    ----------
    trained : list of Trained
        The networks, able to learn on.
    held_out : list of ndarray, int64, or None
        By network the rows it held out; None if the user gave rows or none were.
    rows : ndarray of int64, or None
        What they were trained on and held out, where rows are in memory.
    """

    trained: list[Trained]
    held_out: list[np.ndarray] | None
    rows: np.ndarray | None = None

    @property
    def networks(self) -> list[Network]:
        """The networks."""
        return [one.network for one in self.trained]

    @property
    def history(self) -> list[dict[str, Any]]:
        """A record by network and epoch."""
        return [
            {**vars(record), "network": i}
            for i, one in enumerate(self.trained)
            for record in one.history
        ]


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
    n_rows : int, optional
        Rows of the whole table, where those of the training set are a sample of it.
    choice : Choice, optional
        Of an earlier fit to the same rows, to be taken; by default it is made here.
    effect_networks : bool, default=False
        Whether some networks may see effects in place of vectors; not where tables are composed,
        vectors learned elsewhere come with them, or memory is short.

    Attributes
    ----------
    training : TrainingSet
        All rows, read with the pairs that were chosen.
    choice : Choice
        What was chosen.
    row_epochs : int
        What the networks took so far: rows times passes over them, added up.
    """

    def __init__(
        self,
        p: SharedParameters,
        training: TrainingSet,
        seed: int,
        *,
        n_fits: int = 1,
        n_rows: int | None = None,
        choice: Choice | None = None,
        effect_networks: bool = False,
    ) -> None:
        self.n_rows = n_rows = len(training) if n_rows is None else n_rows
        self.p, self.seed, self.row_epochs = p, seed, 0
        self.loss = loss_of(p, training.target.task)
        self.n_jobs = n_threads(p.n_jobs)
        rows_of_fits = n_rows * max(n_fits, 1)
        n_networks = choose_n_networks(p, rows_of_fits, epoch_grid(p)[-1])
        row_epochs = self._row_epochs(n_rows, n_fits, n_networks)
        looks = row_epochs / p.batch_size * training.schema.n_tables
        engine = choose_engine(p.engine, row_epochs, looks)
        if engine == "torch" and training.schema.kinds:
            raise refuse(
                "engine", '"auto", "numpy" or "numba" with the kinds of `tables` asked for', engine
            )
        if choice is not None and choice.pairs:
            training = with_pairs(training, choice.pairs)
        elif choice is None and is_list(p.pairs):
            training = with_pairs(training, named_pairs(p.pairs, training.schema))
        plan = Plan(p, training, self.loss, engine, _backend(p, engine), seed, n_rows=n_rows)
        if choice is None:
            self.plan, settings, tried = search(
                plan,
                lambda jobs: self._run(jobs, "choosing"),
                n_networks,
                judged=n_fits > 0,
                effect_networks=effect_networks
                and engine != "torch"
                and _has_plain_columns(training),
            )
        else:
            self.plan, settings, tried = _as_chosen(plan, choice), choice.settings, choice.tried
        self.settings = settings if effect_networks else replace(settings, effect_networks=None)
        if training.limits is NO_LIMITS:
            # Few epochs leave time for more networks than were reckoned with, a budget no room.
            n_networks = self._affordable(rows_of_fits)
        self.n_networks = n_networks
        self.training = self.plan.training
        self.choice = self._chosen(tried)

    @property
    def data(self) -> TrainingData:
        """What networks learn from; effects alone need none of it."""
        return self.plan.data

    @property
    def everything(self) -> Any:
        """All rows, as `committees` takes them."""
        return np.arange(len(self.training))

    def committees(self, sets: Sequence[np.ndarray]) -> list[Committee]:
        """Train a committee on each of several sets of rows, side by side.

        Parameters
        ----------
        sets : sequence of ndarray, int64
            Row numbers: all rows first, then those of folds.

        Returns
        -------
        list of Committee
            Networks that held out rows may `finish`.
        """
        n = self.n_networks
        held_out = [self.plan.held_out(rows, n) for rows in sets]
        jobs = [
            self.plan.job(rows, None if masks is None else masks[i], i, self.settings.of(i))
            for rows, masks in zip(sets, held_out, strict=True)
            for i in range(n)
        ]
        trained = self._run(jobs, "training")
        return [
            Committee(
                trained[i * n : (i + 1) * n],
                None if masks is None else [rows[mask] for mask in masks],
                rows,
            )
            for i, (rows, masks) in enumerate(zip(sets, held_out, strict=True))
        ]

    def finish(self, committees: Sequence[Committee]) -> None:
        """Have networks learn the rows they held out, too, once these have judged them.

        Those that see effects see those of all rows from here.
        """
        judged = [c for c in committees if c.held_out is not None]
        trained = [one for committee in judged for one in committee.trained]
        learn_held_out(trained, **self._last_passes, n_jobs=self.n_jobs)
        for committee in committees:
            self._follow(committee)

    def vectors(self, networks: Sequence[Network]) -> CategoryVectors:
        """Effects and vectors of the fit on all rows."""
        training = self.training
        found = self._findings(networks)
        return category_vectors(training.schema, training.target, found, training.transfer)

    def fold_vectors(
        self, folds: Sequence[tuple[Any, Sequence[Network]]], whole: CategoryVectors
    ) -> list[CategoryVectors]:
        """Effects and vectors of folds, as those of all rows are; see `fold_vectors`.

        Parameters
        ----------
        folds : sequence of tuple
            The rows that each learned from, as `committees` takes them, and its networks.
        whole : CategoryVectors
            Of all rows.

        Returns
        -------
        list of CategoryVectors
        """
        training = self.training
        found = [self._findings(networks, rows) for rows, networks in folds]
        return fold_vectors(
            training.schema,
            training.target,
            found,
            whole,
            transfer=training.transfer,
            alike=self._rows_alike,
        )

    def target_rows(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Target and weights of the rows, which tell the constant that is best on them."""
        return self.training.values, self.training.weight

    def line_statistics(self) -> Statistics:
        """What later rows are added to; see `TrainingSet.statistics`."""
        return self.training.statistics()

    # --- inside ---

    def _chosen(self, tried: Mapping[float, float]) -> Choice:
        schema, settings = self.training.schema, self.settings
        first = settings.first
        n_tables = len(schema.n_codes if settings.paired else schema.vocabularies)
        return Choice(
            self.plan.dims[:n_tables],
            self.plan.knot_dims,
            first.shrinkage,
            tried,
            tuple((pair.first, pair.second) for pair in schema.pairs),
            first.interactions,
            first.n_epochs,
            self.training.rows_together,
            first.paired,
            settings.second,
            settings.effect_networks,
        )

    def _follow(self, committee: Committee) -> None:
        seeing = [network for network in committee.networks if network.config.sees_effects]
        if seeing:
            assert committee.rows is not None
            learned = learn_effects(self.training.evidence().take(committee.rows))
            for network in seeing:
                network.follow([(one.effects, one.confidences) for one in learned])

    def _findings(self, networks: Sequence[Network], rows: Any = None) -> Findings:
        """Effects and counts of some or all rows, beside networks trained on them."""
        evidence = self.training.evidence()
        return Findings.of(
            self.training.schema, networks, evidence if rows is None else evidence.take(rows)
        )

    @property
    def _rows_alike(self) -> bool:
        """Whether groups of rows are alike and held out together, other than in time."""
        return self.training.grouped and not self.training.in_time

    @property
    def _last_passes(self) -> dict[str, Any]:
        return LAST_PASSES_IN_TIME if self.p.time_column is not None else LAST_PASSES

    def _affordable(self, n_rows: int) -> int:
        """Networks for so many rows of all fits, by the settings that were chosen."""
        n_epochs = self.settings.first.n_epochs
        shorter, last_passes = self.settings.mean_epochs / n_epochs, self._last_passes["n_passes"]
        n_kinds = 2 if self.plan.training.in_time and self.settings.second is not None else 1
        return choose_n_networks(self.p, n_rows, n_epochs, last_passes, shorter, n_kinds)

    def _row_epochs(self, n_rows: int, n_fits: int, n_networks: int) -> int:
        """Work ahead, about."""
        n_trained = n_fits * n_networks + (reckoned_trials(self.p, n_rows) if n_fits else 0)
        return rows_of_work(self.p.batch_size, n_rows) * epoch_grid(self.p)[-1] * n_trained

    def _run(self, jobs: list[Job], stage: str) -> list[Trained]:
        def report(record: EpochRecord) -> None:
            progress = Progress(
                stage,
                record.network,
                len(jobs),
                record.epoch,
                jobs[record.network].training.n_epochs,
                record.train_loss,
                record.held_out_loss,
            )
            if self.p.verbose:
                logger.info("%s", progress)
            if self.p.callback is not None:
                self.p.callback(progress)

        trained = train_committee(jobs, n_jobs=self.n_jobs, on_epoch=report)
        rows = (len(job.data) * len(one.history) for job, one in zip(jobs, trained, strict=True))
        self.row_epochs += sum(rows)
        return trained


def _as_chosen(plan: Plan, choice: Choice) -> Plan:
    """What `search` gave for an earlier fit; the plan has its pairs already."""
    names = plan.training.schema.categorical_names
    # After the widths of columns come those of pairs.
    return plan.with_widths(dict(zip(names, choice.dims, strict=False)))


def _has_plain_columns(training: TrainingSet) -> bool:
    """Whether there are columns with full tables, about which nothing is known beforehand."""
    schema, limits = training.schema, training.limits
    plain = not schema.kinds and training.transfer is None and limits is NO_LIMITS
    return plain and bool(schema.vocabularies)


def _backend(p: SharedParameters, engine: str) -> Backend | None:
    if engine != "torch":
        return None
    from catvec.torch import TorchBackend

    return TorchBackend(p.device)


def averaged_scores(networks: Sequence[Network], inputs: Inputs) -> np.ndarray:
    """Mean of the networks' scores, on the link scale, float64 of shape (n_rows, n_outputs)."""
    return np.mean([network.predict(inputs) for network in networks], axis=0)


def n_threads(n_jobs: int | None) -> int:
    """Threads that `n_jobs` means."""
    if n_jobs is None:
        return 1
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)
