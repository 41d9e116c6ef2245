"""`suggest_dims`: how wide vectors should be, by the rules people use and by the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from catvec._checks import check_int, check_n_jobs, check_option
from catvec.errors import InputError
from catvec.estimators._choice import rows_of_work
from catvec.estimators._learning import Committee, Learner
from catvec.estimators._parameters import SharedParameters, draw_seed
from catvec.estimators._search import reckoned_trials
from catvec.estimators._training_set import TrainingSet, network_inputs, read_training_set
from catvec.frames import TASKS, Schema, open_frame, to_dataframe
from catvec.network import RULES, choose_engine, make_loss

ONE_HOT = 10  # below so many categories one-hot works too, tutorials say
START = "compact"  # the rule whose widths the data are asked about first
N_NETWORKS = 2  # of a trial; their held-out rows are judged together
HIDDEN = 0.01  # of the categories: what is asked is what is worth knowing of known ones
EPOCHS = 12  # of a trial, at most
STEPS = 2  # more widths that are tried for a column, where half or double are not enough
FEWEST_ROWS = 1000  # sampled, whatever the budget


@dataclass(frozen=True)
class ColumnDims:
    """How wide the vectors of one column should be.

    Attributes
    ----------
    name : str
        The column.
    cardinality : int
        Its categories.
    rows_per_category : float
        Mean number of rows; what a vector is learned from.
    rules : mapping of str to int
        Width by named rule; their sources are in `catvec.network.RULES`.
    losses : mapping of int to float
        Mean held-out loss by width that was tried, ascending; empty without a target.
    dim : int or None
        The smallest width whose loss is within one standard error of the best; None without a
        target.
    """

    name: str
    cardinality: int
    rows_per_category: float
    rules: Mapping[str, int]
    losses: Mapping[int, float] = field(default_factory=dict)
    dim: int | None = None

    @property
    def one_hot(self) -> bool:
        """Whether one-hot would do: below ten categories, tutorials say, it works too."""
        return self.cardinality < ONE_HOT

    @property
    def parameters(self) -> dict[str, int]:
        """Numbers to learn by rule: a vector for each category, for missing and for unknown."""
        return {rule: (self.cardinality + 2) * dim for rule, dim in self.rules.items()}

    @property
    def loss(self) -> float | None:
        """Held-out loss at `dim`."""
        return None if self.dim is None else self.losses[self.dim]

    @property
    def half(self) -> float | None:
        """Held-out loss at half of `dim`; None where there is no half."""
        return None if self.dim is None else self.losses.get(self.dim // 2)

    @property
    def double(self) -> float | None:
        """Held-out loss at twice `dim`; None where that would be wider than one-hot."""
        return None if self.dim is None else self.losses.get(2 * self.dim)


@dataclass(frozen=True)
class SuggestedDims:
    """How wide the vectors of a table's columns should be; what `suggest_dims` returns.

    Attributes
    ----------
    columns : tuple of ColumnDims
        The categorical columns, in the order of the table.
    n_rows : int
        Rows of the table.
    n_sampled : int
        Rows that networks were trained and judged on; 0 without a target.
    row_epochs : int
        What the trainings cost, those by which prior and epochs are chosen among them: rows times
        passes over them, added up.
    loss_name : str or None
        The loss that was measured, of a standardised target for a regression.
    """

    columns: tuple[ColumnDims, ...]
    n_rows: int
    n_sampled: int = 0
    row_epochs: int = 0
    loss_name: str | None = None

    @property
    def dims(self) -> dict[str, int]:
        """Width by column, as `embedding_dim` takes it: the data's, or else by ``"compact"``."""
        return {c.name: c.rules[START] if c.dim is None else c.dim for c in self.columns}

    def __getitem__(self, name: str) -> ColumnDims:
        found = {column.name: column for column in self.columns}
        return found[name]

    def to_frame(self, kind: str | None = None) -> Any:
        """All of it as a dataframe.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, optional
            What to make; by default the first of these that is installed.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            A row by column of the table: ``column``, ``cardinality``, ``rows_per_category``, a
            width by rule and, as ``<rule>_parameters``, its cost; with a target also ``dim``,
            ``loss``, ``half_loss`` and ``double_loss``.

        Raises
        ------
        MissingDependencyError
            If the package asked for is not installed.
        """
        rows = [_record(column, self.loss_name is not None) for column in self.columns]
        return to_dataframe(pa.Table.from_pylist(rows), kind)


def suggest_dims(
    frame: object,
    y: object = None,
    *,
    columns: Sequence[str | int] | None = None,
    task: str = "auto",
    groups: object = None,
    time_column: str | int | None = None,
    budget: int = 20_000_000,
    n_jobs: int | None = None,
    random_state: Any = None,
    callback: Callable[[int, int], None] | None = None,
) -> SuggestedDims:
    """Suggest the width of the vectors of each categorical column.

    Without a target: what the named rules say, and what that costs. With one, small committees
    of networks are trained on a sample of the rows: one with all widths by the rule
    ``"compact"``, then one for each column at half and at double its width, and on in that
    direction while it pays, the other columns staying as they were. The data support the smallest
    width whose held-out loss is within one standard error of the best, which counts both the
    chance of the held-out rows and that of training.

    Parameters
    ----------
    frame : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
        The table.
    y : array-like of shape (n_rows,), optional
        The target.
    columns : list of str or int, optional
        Exactly the categorical columns; by default text, categories and booleans.
    task : {"auto", "regression", "binary", "multiclass", "count"}, default="auto"
        The kind of target. ``"auto"``: floats, and integers with more than 20 values, are a
        regression; others are classes.
    groups : array-like of shape (n_rows,), optional
        Rows of a group stay together, in training or among those held out.
    time_column : str or int, optional
        Orders the rows in time; those held out are then the latest, or the groups that end last.
    budget : int, default=20_000_000
        Row-epochs, rows times passes over them, that all trainings may take together, about; half
        of it is usual, and a million takes some seconds. It decides how many rows are sampled, at
        least 1000, which may take more. On fewer rows than there are, large columns bear less
        width than on all.
    n_jobs : int, optional
        Threads; -1 for all cores. The result does not depend on it.
    random_state : int, RandomState or None, default=None
        Seed of the sample and of the networks.
    callback : callable, optional
        Called before each committee with its number, from 1, and how many there are at most.

    Returns
    -------
    SuggestedDims
        By column; its `dims` are what ``embedding_dim`` of the estimators takes.

    Raises
    ------
    InputError
        If no column is categorical, or table and target do not fit.
    ParameterError
        If a parameter is out of range.

    Examples
    --------
    >>> from catvec import suggest_dims
    >>> X = {"city": ["Bern", "Rome", "Oslo", "Lyon"] * 50}
    >>> found = suggest_dims(X)
    >>> found["city"].cardinality, found["city"].rules["half"], found["city"].parameters["half"]
    (4, 2, 12)
    """
    check_int("budget", budget, minimum=1)
    check_option("task", task, ("auto", "classification", *TASKS))
    check_n_jobs(n_jobs)
    if y is None:
        opened = open_frame(frame)
        schema, _ = Schema.learn(opened, columns=columns)
        return SuggestedDims(_by_rules(schema), opened.n_rows)
    p = SharedParameters(
        columns=columns,
        n_networks=N_NETWORKS,
        max_epochs=EPOCHS,
        category_dropout=HIDDEN,
        time_column=time_column,
        n_jobs=n_jobs,
    )
    training = read_training_set(p, frame, y, task=task, groups=groups)
    seed = draw_seed(random_state)
    told = _by_rules(training.schema)
    trials = _Trials(p, training, told, seed, budget, callback)
    found = _measured(told, trials)
    return SuggestedDims(found, len(training), trials.n_rows, trials.row_epochs, trials.loss_name)


def _record(column: ColumnDims, measured: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "column": column.name,
        "cardinality": column.cardinality,
        "rows_per_category": column.rows_per_category,
        **column.rules,
        **{f"{rule}_parameters": n for rule, n in column.parameters.items()},
    }
    if measured:
        record |= {"dim": column.dim, "loss": column.loss}
        record |= {"half_loss": column.half, "double_loss": column.double}
    return record


def _by_rules(schema: Schema) -> tuple[ColumnDims, ...]:
    if not schema.vocabularies:
        raise InputError("no column is categorical; name those that are in `columns`")
    return tuple(
        ColumnDims(
            vocabulary.name,
            len(vocabulary),
            float(vocabulary.counts[2:].sum()) / max(len(vocabulary), 1),
            {name: rule(max(len(vocabulary), 1)) for name, rule in RULES.items()},
        )
        for vocabulary in schema.vocabularies
    )


# --- what the data say ------------------------------------------------------------------


ByNetwork = list[np.ndarray]  # losses of the rows that each network of a committee held out


class _Trials:
    """Held-out losses, row by row, with one column at another width than by the rule."""

    def __init__(
        self,
        p: SharedParameters,
        training: TrainingSet,
        columns: tuple[ColumnDims, ...],
        seed: int,
        budget: int,
        callback: Callable[[int, int], None] | None,
    ) -> None:
        self.most = 1 + (2 + STEPS) * len(columns)
        n_networks = self.most * N_NETWORKS
        most_rows = min(len(training), budget // (n_networks * EPOCHS))
        n_networks += reckoned_trials(p, max(most_rows, FEWEST_ROWS))  # of prior and epochs
        most_rows = max(FEWEST_ROWS, budget // (n_networks * EPOCHS))
        self.training, self.seed, self.callback = (
            _sampled(training, most_rows, seed),
            seed,
            callback,
        )
        self.n_rows = len(self.training)
        self.start = {column.name: column.rules[START] for column in columns}
        self.p = SharedParameters(
            **{**p.get_params(deep=False), "pairs": None, "interactions": "concatenate"}
        )
        n_rows = rows_of_work(p.batch_size, self.n_rows)
        self.p.engine = choose_engine("auto", n_networks * EPOCHS * n_rows)
        self.row_epochs, self.n_trials = 0, 0
        self.p.embedding_dim = dict(self.start)
        learner = self._learner()
        self.loss_name = learner.loss
        tables = zip(self.start, learner.choice.shrinkage, strict=False)
        self.first = self._losses(learner)
        self.p.shrinkage = dict(tables)  # chosen once: widths are compared under one prior
        self.p.n_epochs = learner.choice.n_epochs

    def __call__(self, name: str, dim: int) -> ByNetwork:
        """Held-out losses with this column at this width."""
        if dim == self.start[name]:
            return self.first
        self.p.embedding_dim = {**self.start, name: dim}
        return self._losses(self._learner())

    def _learner(self) -> Learner:
        self.n_trials += 1
        if self.callback is not None:
            self.callback(self.n_trials, self.most)
        return Learner(self.p, self.training, self.seed)

    def _losses(self, learner: Learner) -> ByNetwork:
        (committee,) = learner.committees([np.arange(self.n_rows)])
        self.row_epochs += learner.row_epochs
        if committee.held_out is None:
            raise InputError(
                f"{self.n_rows} rows, or their groups, are too few to hold some out and try widths"
                " on; leave out the target for what the rules say"
            )
        return list(self._by_network(learner, committee))

    def _by_network(self, learner: Learner, committee: Committee) -> Iterator[np.ndarray]:
        assert committee.held_out is not None
        target = self.training.target
        loss = make_loss(learner.loss, target.n_outputs)
        for network, rows in zip(committee.networks, committee.held_out, strict=True):
            inputs = network_inputs(self.training.schema, self.training.arrays.take(rows))
            scores = network.predict(inputs)
            yield loss.values(scores, target.standardized(self.training.values[rows]))


def _sampled(training: TrainingSet, n_rows: int, seed: int) -> TrainingSet:
    if len(training) <= n_rows:
        return training
    rng = np.random.default_rng([seed, 0])
    return training.take(np.sort(rng.choice(len(training), n_rows, replace=False)))


def _measured(columns: tuple[ColumnDims, ...], trials: _Trials) -> tuple[ColumnDims, ...]:
    """Try half and double of the rule's widths, and go on from the best while it is at the edge."""
    tried: list[dict[int, ByNetwork]] = []
    for column in columns:
        start = column.rules[START]
        widths = [start, *_neighbors(column, start)]
        tried.append({dim: trials(column.name, dim) for dim in widths})
    for _ in range(STEPS):
        noise = _noise(tried, trials.first)
        for column, losses in zip(columns, tried, strict=True):
            around = _neighbors(column, _smallest_good(losses, noise))
            for dim in [dim for dim in around if dim not in losses][:1]:
                losses[dim] = trials(column.name, dim)
    noise = _noise(tried, trials.first)
    return tuple(
        replace(
            column,
            losses={dim: _mean(losses[dim]) for dim in sorted(losses)},
            dim=_smallest_good(losses, noise),
        )
        for column, losses in zip(columns, tried, strict=True)
    )


def _neighbors(column: ColumnDims, dim: int) -> list[int]:
    """Half and double, but no width below 1 nor wider than one-hot."""
    return [d for d in (dim // 2, 2 * dim) if 1 <= d <= column.cardinality]


def _mean(losses: ByNetwork) -> float:
    return float(np.concatenate(losses).mean())


def _noise(tried: list[dict[int, ByNetwork]], first: ByNetwork) -> float:
    """Standard error of a difference in loss, from how much the networks of a trial disagree.

    By the median over trials, since where width matters networks disagree the more; the median
    of a squared standard normal variable is 0.455.
    """
    start = np.array([losses.mean() for losses in first])
    variances = [
        float(np.var(np.array([one.mean() for one in losses]) - start, ddof=1))
        for column in tried
        for losses in column.values()
        if losses is not first
    ]
    return float(np.sqrt(np.median(variances) / 0.455 / N_NETWORKS)) if variances else 0.0


def _smallest_good(tried: Mapping[int, ByNetwork], noise: float) -> int:
    """The smallest width within a standard error of the best."""
    best = np.concatenate(tried[min(tried, key=lambda dim: _mean(tried[dim]))])

    def is_good(dim: int) -> bool:
        worse = np.concatenate(tried[dim]) - best
        return bool(worse.mean() <= max(worse.std() / np.sqrt(len(worse)), noise))

    return min(dim for dim in tried if is_good(dim))
