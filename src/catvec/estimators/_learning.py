"""From a training set to networks, and from networks to vectors; for all rows or for a fold."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from catvec._checks import refuse
from catvec.effects import Effect, Evidence, Statistics, learn_effects
from catvec.estimators._choice import (
    Choice,
    choose_n_networks,
    epoch_grid,
    rows_of_work,
    steady,
)
from catvec.estimators._pairs import named_pairs, with_pairs
from catvec.estimators._parameters import SharedParameters, is_list, loss_of
from catvec.estimators._plan import Plan
from catvec.estimators._search import reckoned_trials, search
from catvec.estimators._training_set import TrainingSet
from catvec.estimators._transfer import KnownVectors, Transfer
from catvec.frames import FULL, Schema, Target
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
from catvec.vectors import CategoryVectors, ColumnVectors, PairEffects, align, average_aligned

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
    """

    trained: list[Trained]
    held_out: list[np.ndarray] | None

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

    Attributes
    ----------
    training : TrainingSet
        All rows, read with the pairs that were chosen.
    choice : Choice
        What was chosen.
    """

    def __init__(
        self,
        p: SharedParameters,
        training: TrainingSet,
        seed: int,
        *,
        n_fits: int = 1,
        n_rows: int | None = None,
    ) -> None:
        self.n_rows = n_rows = len(training) if n_rows is None else n_rows
        self.p, self.seed = p, seed
        self.loss = loss_of(p, training.target.task)
        self.n_jobs = n_threads(p.n_jobs)
        rows_of_fits = n_rows * max(n_fits, 1)
        n_networks = choose_n_networks(p, rows_of_fits * epoch_grid(p)[-1])
        row_epochs = self._row_epochs(n_rows, n_fits, n_networks)
        looks = row_epochs / p.batch_size * training.schema.n_tables
        engine = choose_engine(p.engine, row_epochs, looks)
        if engine == "torch" and training.schema.kinds:
            raise refuse(
                "engine", '"auto", "numpy" or "numba" with the kinds of `tables` asked for', engine
            )
        if is_list(p.pairs):
            training = with_pairs(training, named_pairs(p.pairs, training.schema))
        plan = Plan(p, training, self.loss, engine, _backend(p, engine), seed, n_rows=n_rows)
        self.plan, setting, tried = search(
            plan, lambda jobs: self._run(jobs, "choosing"), n_networks, judged=n_fits > 0
        )
        # Few epochs leave time for more networks than were reckoned with.
        self.n_networks = choose_n_networks(p, rows_of_fits * setting.n_epochs)
        self.training = self.plan.training
        pairs = tuple((pair.first, pair.second) for pair in self.training.schema.pairs)
        dims, knot_dims = self.plan.dims, self.plan.knot_dims
        self.choice = Choice(
            dims,
            knot_dims,
            setting.shrinkage,
            tried,
            pairs,
            setting.interactions,
            setting.n_epochs,
            training.rows_together,
            setting.without_norm,
        )
        self.setting = setting

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
            self.plan.job(rows, None if masks is None else masks[i], i, self.setting)
            for rows, masks in zip(sets, held_out, strict=True)
            for i in range(n)
        ]
        trained = self._run(jobs, "training")
        return [
            Committee(
                trained[i * n : (i + 1) * n],
                None if masks is None else [rows[mask] for mask in masks],
            )
            for i, (rows, masks) in enumerate(zip(sets, held_out, strict=True))
        ]

    def finish(self, committees: Sequence[Committee]) -> None:
        """Have networks learn the rows they held out, too, once these have judged them."""
        judged = [c for c in committees if c.held_out is not None]
        trained = [one for committee in judged for one in committee.trained]
        learn_held_out(trained, **self._last_passes, n_jobs=self.n_jobs)

    def vectors(
        self,
        networks: Sequence[Network],
        *,
        rows: Any = None,
        reference: CategoryVectors | None = None,
    ) -> CategoryVectors:
        """Effects and vectors of some or all rows; see `category_vectors`."""
        return category_vectors(self.training, networks, rows=rows, reference=reference)

    def line_statistics(self) -> Statistics:
        """What later rows are added to; see `TrainingSet.statistics`."""
        return self.training.statistics()

    # --- inside ---

    @property
    def _last_passes(self) -> dict[str, Any]:
        return LAST_PASSES_IN_TIME if self.p.time_column is not None else {}

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

        return train_committee(jobs, n_jobs=self.n_jobs, on_epoch=report)


def _backend(p: SharedParameters, engine: str) -> Backend | None:
    if engine != "torch":
        return None
    from catvec.torch import TorchBackend

    return TorchBackend(p.device)


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
        Whose basis and confidences to take, those of the fit on all rows; by default the first
        network's basis. Confidences come from counts: that they differ between folds, or grow with
        the folds in time, would tell a model which fold a row was in and nothing else.
    metadata : dict, optional
        What to keep with them.

    Returns
    -------
    CategoryVectors
        Column by column in the order of the schema.
    """
    evidence = training.evidence() if rows is None else training.evidence().take(rows)
    schema = training.schema
    effects = with_reference(learn_effects(evidence), reference)
    counts = [
        np.bincount(_codes_of(evidence, c), minlength=vocabulary.n_codes)
        for c, vocabulary in enumerate(schema.vocabularies)
    ]
    vectors = turned_vectors(schema, networks, counts, reference, training.transfer)
    if reference is not None and training.grouped and training.ties.time is None:
        effects, vectors = with_steady(schema, effects, vectors, reference)
    importances = importances_of(schema, networks)
    return assembled(schema, training.target, effects, vectors, importances, metadata=metadata)


def importances_of(schema: Schema, networks: Sequence[Network]) -> list[np.ndarray | None]:
    """By column the importances of its hash functions, if it has several."""
    return [
        networks[0].importances(c) if networks else None for c in range(len(schema.vocabularies))
    ]


def with_reference(effects: list[Effect], reference: CategoryVectors | None) -> list[Effect]:
    """Effects with the confidences of the fit on all rows, if there is one."""
    if reference is None:
        return effects
    return [
        replace(effect, confidences=_as_in(part.by_code()[-1], effect.confidences))
        for effect, part in zip(effects, _parts(reference), strict=True)
    ]


def with_steady(
    schema: Schema,
    effects: Sequence[Effect],
    vectors: Sequence[np.ndarray],
    reference: CategoryVectors,
) -> tuple[list[Effect], list[np.ndarray]]:
    """Effects and vectors of a fold, those of `steady` categories as of the fit on all rows."""
    effects, vectors = list(effects), list(vectors)
    for c, vocabulary in enumerate(schema.vocabularies):
        kept = steady(schema, c)[:, None]
        base, of_code, _ = reference[vocabulary.name].by_code()
        own = effects[c].effects
        effects[c] = replace(effects[c], effects=np.where(kept, of_code.reshape(own.shape), own))
        if base.shape == vectors[c].shape:  # effects alone have no vectors
            vectors[c] = np.where(kept, base, vectors[c])
    return effects, vectors


def turned_vectors(
    schema: Schema,
    networks: Sequence[Network],
    counts: Sequence[np.ndarray],
    reference: CategoryVectors | None,
    transfer: Transfer | None = None,
) -> list[np.ndarray]:
    """Vectors by column, averaged over networks in one basis; that of the reference, if any."""
    vectors = []
    of_tables = _counts_of_tables(schema, counts)
    for c, (vocabulary, rows) in enumerate(zip(schema.vocabularies, of_tables, strict=True)):
        # Means with weights of different networks have no mean with weights: one stands for all.
        weighted = bool(networks) and networks[0].importances(c) is not None
        tables = [network.vectors(c) for network in (networks[:1] if weighted else networks)]
        held = None if transfer is None else transfer.held(c)
        base = None if reference is None else reference[vocabulary.name].by_code()[0]
        vectors.append(_together(tables, rows, vocabulary.n_codes, base, held))
    return vectors


def assembled(
    schema: Schema,
    target: Target,
    effects: Sequence[Effect],
    vectors: Sequence[np.ndarray],
    importances: Sequence[np.ndarray | None],
    *,
    metadata: dict[str, Any] | None = None,
) -> CategoryVectors:
    """What was learned of each column and pair as one object.

    Parameters
    ----------
    schema : Schema
    target : Target
    effects : sequence of Effect
        By column, then by pair.
    vectors : sequence of ndarray of shape (n_codes, dim), float32
        By column.
    importances : sequence of ndarray or None
        By column, as `ColumnVectors` takes them.
    metadata : dict, optional
        What to keep with them.

    Returns
    -------
    CategoryVectors
        Column by column in the order of the schema.
    """
    classes = None
    if target.task == "multiclass" and target.classes is not None:
        classes = target.classes.tolist()
    found = [
        (effect.effects if classes is not None else effect.effects[:, 0], effect.confidences)
        for effect in effects
    ]
    n_columns = len(schema.vocabularies)
    columns = [
        ColumnVectors(vocabulary, of_column, *of_code, classes=classes, importances=weights)
        for vocabulary, of_column, of_code, weights in zip(
            schema.vocabularies, vectors, found[:n_columns], importances, strict=True
        )
    ]
    known = {vocabulary.name: vocabulary for vocabulary in schema.vocabularies}
    pairs = [
        PairEffects(pair, known[pair.first], known[pair.second], *of_code, classes=classes)
        for pair, of_code in zip(schema.pairs, found[n_columns:], strict=True)
    ]
    return CategoryVectors(columns, pairs=pairs, metadata=metadata)


def _codes_of(evidence: Evidence, c: int) -> np.ndarray:
    """Codes of a column by row; those of all elements where its cells are lists."""
    return evidence.lists[c].codes if c in evidence.lists else evidence.codes[:, c]


def _counts_of_tables(schema: Schema, counts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rows by code of each column; of columns that share a table, which has one basis, together."""
    kinds = schema.kinds or [FULL] * len(counts)
    owners = [k.number if k.name == "shared" else c for c, k in enumerate(kinds)]
    return [
        np.sum([n for n, other in zip(counts, owners, strict=True) if other == owner], axis=0)
        for owner in owners
    ]


def _parts(vectors: CategoryVectors) -> list[ColumnVectors | PairEffects]:
    """Columns, then pairs."""
    return [*(vectors[name] for name in vectors), *vectors.pairs.values()]


def _as_in(reference: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """The confidences of the fit on all rows, 0 where there are none here."""
    return np.where(confidences > 0, reference, 0).astype(np.float32)


def _together(
    tables: list[np.ndarray],
    counts: np.ndarray,
    n_codes: int,
    reference: np.ndarray | None,
    held: KnownVectors | None,
) -> np.ndarray:
    """One table from several networks', in the basis of a reference if there is one.

    Dimensions that were `held` lie alike in all of them, and are those of the vectors given.
    """
    if not tables:
        return np.zeros((n_codes, 0), np.float32)
    dim, width = tables[0].shape[1], 0
    if held is not None:
        width = held.width(dim)
        tables = [table / held.scale(dim) for table in tables]
    free = tables[0][:, width:]
    if width < dim:
        free = average_aligned([table[:, width:] for table in tables], counts)
    if width < dim and reference is not None:
        free = align(free, reference[:, width:], counts)
    if held is None:
        return free
    together = np.asarray(np.mean([table[:, :width] for table in tables], axis=0, dtype=float))
    return np.hstack([held.restored(together), free])


def n_threads(n_jobs: int | None) -> int:
    """Threads that `n_jobs` means."""
    if n_jobs is None:
        return 1
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)
