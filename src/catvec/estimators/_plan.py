"""How networks for a training set are made: arrays, shape, held-out rows, jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from catvec.estimators._choice import (
    choose_batch_size,
    choose_category_dropout,
    choose_dims,
    knot_dims,
)
from catvec.estimators._effects_apart import EffectsApart
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._settings import Setting
from catvec.estimators._training_set import TrainingSet
from catvec.frames import make_held_out
from catvec.network import (
    Anchors,
    Backend,
    Job,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
)

FEWEST_ROWS = 20  # below this, holding rows out tells nothing
FEWEST_OF_PART = 2  # rows held out, or left to train on
TRIAL_SIZES = 64, 32  # units of the first and of further hidden layers, at most: on amazon_access
# and employee_salaries the search chose the same with these as with 128 and 64
FEWEST_OF_PAIR = 2  # rows of a combination; fewer train what answers combinations never met


class Plan:
    """Makes networks' jobs for a training set.

    Parameters
    ----------
    p : SharedParameters
        Checked.
    training : TrainingSet
        The rows, read with the pairs that some of the networks are to see.
    loss, engine : str
        What is minimised, and by which loops.
    backend : Backend or None
        Who trains in place of our loops.
    seed : int
        Of everything random.
    widths : mapping of str to int, optional
        Of the vectors, by column; others follow the parameters.
    hidden_sizes : tuple of int, optional
        Units of the hidden layers; by default what the parameters say.
    n_rows : int, optional
        Of the whole table, where the training set is a sample of it.
    """

    def __init__(
        self,
        p: SharedParameters,
        training: TrainingSet,
        loss: str,
        engine: str,
        backend: Backend | None,
        seed: int,
        widths: Mapping[str, int] | None = None,
        hidden_sizes: tuple[int, ...] | None = None,
        n_rows: int | None = None,
    ) -> None:
        self.p, self.training = p, training
        self.loss, self.engine, self.backend, self.seed = loss, engine, backend, seed
        transfer = training.transfer
        # What a fit learned of widths does not hold for vectors that come with one.
        given = transfer.widths(p) if transfer is not None else {}
        self.widths = {**(widths or {}), **given}
        self.hidden_sizes = tuple(p.hidden_sizes) if hidden_sizes is None else hidden_sizes
        self.n_rows = len(training) if n_rows is None else n_rows
        self.dims = choose_dims(p, training.schema, self.widths)
        self.knot_dims = knot_dims(training.schema)
        self._latest_view: tuple[np.ndarray, EffectsApart] | None = None

    def of(self, training: TrainingSet) -> Plan:
        """The same for another training set."""
        return self._with(training, self.widths, self.hidden_sizes)

    def with_widths(self, widths: Mapping[str, int]) -> Plan:
        """The same with vectors of these widths."""
        return self._with(self.training, widths, self.hidden_sizes)

    def for_trials(self) -> Plan:
        """The same with hidden layers of few units, in which less time tells as much."""
        most = (TRIAL_SIZES[0], *TRIAL_SIZES[1:] * len(self.hidden_sizes))
        few = tuple(map(min, self.hidden_sizes, most))
        return self._with(self.training, self.widths, few)

    def _with(
        self, training: TrainingSet, widths: Mapping[str, int], hidden_sizes: tuple[int, ...]
    ) -> Plan:
        of = self.loss, self.engine, self.backend, self.seed
        return Plan(self.p, training, *of, widths, hidden_sizes, self.n_rows)

    @cached_property
    def data(self) -> TrainingData:
        """What networks learn from; effects alone need none of it."""
        return self.training.data()

    @cached_property
    def _without_pairs(self) -> TrainingData:
        return self.data.of_columns(len(self.training.schema.vocabularies))

    def held_out(
        self, rows: np.ndarray, n_networks: int, fraction: float | None = None
    ) -> list[np.ndarray] | None:
        """Which of the rows each network holds out; None for none, or if the user gave some."""
        fraction = self.p.validation_fraction if fraction is None else fraction
        if self.training.held_out is not None or fraction == 0 or len(rows) < FEWEST_ROWS:
            return None
        rng = np.random.default_rng([self.seed, 2])
        masks = make_held_out(self.training.ties.take(rows), fraction, n_networks, rng)
        # With one group or moment there may be nothing to hold out, or nothing left to train on;
        # rows without weight tell nothing.
        weight = self.training.weight
        weighty = np.ones(len(rows), bool) if weight is None else weight[rows] > 0
        parts = [part & weighty for mask in masks for part in (mask, ~mask)]
        return masks if all(part.sum() >= FEWEST_OF_PART for part in parts) else None

    def job(self, rows: np.ndarray, mask: np.ndarray | None, number: int, setting: Setting) -> Job:
        """A network of this number on these rows, less those that it holds out."""
        train, held_out = rows, self.training.held_out
        data = self.data if setting.paired else self._without_pairs
        if held_out is not None:
            held_out = held_out.of_columns(data.inputs.codes.shape[1])
        if mask is not None:
            train, held_out = rows[~mask], replace(data, rows=rows[mask])
        if setting.sees_effects:
            return self._effects_job(train, held_out, number, setting)
        p, schema = self.p, self.training.schema
        n_columns, n_pairs = len(schema.vocabularies), self._n_pairs(setting)
        config = TrainingConfig(
            loss=self.loss,
            quantile=p.quantile,
            shrinkage=setting.shrinkage,
            learning_rate=float(p.learning_rate),
            batch_size=choose_batch_size(p.batch_size, len(train)),
            n_epochs=setting.n_epochs,
            embedding_dropout=float(p.embedding_dropout),
            category_dropout=choose_category_dropout(p, self.n_rows),
            pair_columns=schema.pair_columns[:n_pairs],
            fewest_rows=(1,) * n_columns + (FEWEST_OF_PAIR,) * n_pairs,
        )
        shape = self._shape(setting)
        of = held_out, self.seed + number, self.engine, self.backend
        return Job(shape, config, replace(data, rows=train), *of, anchors=self.anchors)

    def _effects_job(
        self, train: np.ndarray, held_out: TrainingData | None, number: int, setting: Setting
    ) -> Job:
        """A network that sees effects, those of a training row learned without the row."""
        view = self._effects_apart(train, number)
        of_numbers = setting.shrinkage[len(setting.shrinkage) - len(self.knot_dims) :]
        job = self.job(train, None, number, replace(setting, sees_effects=False))
        config = replace(
            job.training,
            shrinkage=(0.0,) * len(view.axes) + of_numbers,
            fewest_rows=(),
        )
        shape = replace(job.config, n_codes=view.n_codes, dims=view.dims, axes=view.axes)
        inputs = replace(self.data.inputs, looks=view.looks)
        data = replace(self.data, inputs=inputs, rows=view.rows)
        return replace(
            job,
            config=shape,
            training=config,
            data=data,
            held_out=held_out,
            anchors=view.anchors(),
        )

    def _effects_apart(self, train: np.ndarray, number: int) -> EffectsApart:
        """What the network of this number sees; in time what all see that learn the same rows."""
        if not self.training.in_time:
            return EffectsApart.of(self.training, train, [self.seed, 5, number])
        if self._latest_view is None or not np.array_equal(self._latest_view[0], train):
            self._latest_view = train, EffectsApart.of(self.training, train, [self.seed, 5])
        return self._latest_view[1]

    @cached_property
    def anchors(self) -> Anchors:
        """Where rows of the tables are at home, where vectors learned elsewhere say so."""
        transfer = self.training.transfer
        return Anchors() if transfer is None else transfer.anchors(self.dims)

    def _n_pairs(self, setting: Setting) -> int:
        return len(self.training.schema.pairs) if setting.paired else 0

    def _shape(self, setting: Setting) -> NetworkConfig:
        schema, n_pairs = self.training.schema, self._n_pairs(setting)
        n_tables = len(schema.vocabularies) + n_pairs  # those of pairs are the last
        return NetworkConfig(
            n_codes=schema.n_codes[:n_tables],
            dims=self.dims[:n_tables],
            n_numbers=self.data.inputs.numbers.shape[1],
            n_knots=tuple(len(n.knots) for n in schema.numbers if len(n.knots)),
            knot_dims=self.knot_dims,
            hidden_sizes=self.hidden_sizes,
            dropout=float(self.p.dropout),
            n_outputs=self.training.target.n_outputs,
            interactions=setting.interactions,
            n_pairs=n_pairs,
            kinds=schema.kinds,
            batch_norm=bool(self.p.batch_norm) and setting.batch_norm,
        )
