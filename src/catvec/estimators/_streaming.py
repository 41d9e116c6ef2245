"""Fits to tables that are larger than memory: choices from a sample, training from disk."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from catvec._checks import refuse, some
from catvec.effects import Statistics, effects_of
from catvec.errors import InputError
from catvec.estimators._choice import Choice, choose_batch_size
from catvec.estimators._dealing import (
    Deal,
    Dealt,
    GroupDeal,
    Reader,
    TimeDeal,
    deal_rows,
    learn_pairs,
    statistics_of,
    with_pair_codes,
)
from catvec.estimators._fitted_vectors import Findings
from catvec.estimators._learning import Committee, Learner
from catvec.estimators._source_table import CHECKPOINTS, SourceTable, hidden_columns
from catvec.estimators._training_set import (
    KNOTS,
    TrainingSet,
    class_weights,
    held_out_rows,
    read_training_set,
)
from catvec.frames import StreamRoles, Ties, open_frame, refuse_lasting, survey
from catvec.frames._chunk import Chunk
from catvec.frames._frame import resolve
from catvec.frames._schema_learning import refuse_text
from catvec.frames._source import categorical_columns, content_of
from catvec.frames._survey import label_vector
from catvec.network import Checkpoint, Job, Network, StreamedData, TrainingData, learn_held_out

if TYPE_CHECKING:
    from catvec.estimators._base import EmbeddingEstimator

LAST_PASS_SHARE = (
    0.02  # of the rows, that are held out; with less a last pass is not worth its time
)
UNTOLD = ("n_jobs", "verbose", "callback")  # parameters that change no result


class StreamedLearner(Learner):
    """As `Learner`, for a table on disk; its sets of rows are sets of blocks.

    Parameters
    ----------
    p : EmbeddingEstimator
        Checked.
    table : SourceTable
    seed : int
    task : str
        As `learn_target` takes it.
    n_fits : int
        As of `Learner`.
    n_folds : int, default=1
        Folds that the rows are dealt to.
    choice
        As of `Learner`.
    class_weight, X_val, y_val
        As `fit` takes them.
    """

    def __init__(
        self,
        p: EmbeddingEstimator,
        table: SourceTable,
        seed: int,
        *,
        task: str,
        n_fits: int = 1,
        n_folds: int = 1,
        choice: Choice | None = None,
        class_weight: Any = None,
        X_val: object = None,
        y_val: object = None,
    ) -> None:
        for parameter in ("tables", "memory_budget"):
            if (given := getattr(p, parameter, None)) is not None:
                raise refuse(parameter, "None for a table that is larger than memory", given)
        self.table = table
        self.roles = _roles(p, table)
        self._checkpoints = table.workspace.is_kept and p.engine != "torch"
        if table.workspace.is_kept:
            of_fit = [vars(self.roles), n_folds, _told(p), choice]
            seed = table.workspace.begin([*of_fit, *_contents(table, X_val, y_val)], seed)
        self.survey = survey(
            table.source,
            self.roles,
            task,
            min_frequency=p.min_frequency,
            n_knots=KNOTS if p.n_knots == "auto" else int(p.n_knots),
            seed=seed,
            folder=table.workspace.folder,
            vocabulary_counts=table.vocabulary_counts,
        )
        to_choose = dict(class_weight=class_weight, X_val=X_val, y_val=y_val)
        self._choose(p, seed, n_fits, choice, to_choose)
        self.p = p
        reader = Reader(self.roles, self.survey, None)
        if class_weight is not None and self.survey.class_rows is not None:
            rows = reader.class_totals(table.source)
            by_class = class_weights(class_weight, self.survey.target, rows)
            reader = replace(reader, class_weights=by_class)
        self.reader = reader.with_ends(table.source)
        self.deal = self._make_deal(n_folds)
        self._deal()
        self._make_shell(X_val, y_val)

    # --- in place of a learner's own ---

    @property
    def everything(self) -> Any:
        """All blocks."""
        return self.deal.everything

    def committees(self, sets: Sequence[Any]) -> list[Committee]:
        """As `Learner.committees`, of sets of blocks."""
        jobs, held_out = [], []
        for s, blocks in enumerate(sets):
            for i in range(self.n_networks):
                job, rows = self._job(blocks, s, i)
                jobs.append(job)
                held_out.append(rows)
        trained = self._run(jobs, "training")
        n = self.n_networks
        given = self.training.held_out is not None
        committees = []
        for s in range(len(sets)):
            mine = slice(s * n, (s + 1) * n)
            rows_of = held_out[mine]
            judged = not given and all(len(rows) for rows in rows_of)
            committees.append(Committee(trained[mine], rows_of if judged else None))
        return committees

    def finish(self, committees: Sequence[Committee]) -> None:
        """As `Learner.finish`, where what was held out is not next to nothing."""
        trained = [one for c in committees if c.held_out is not None for one in c.trained]
        sizes = self.blocks.sizes
        for one in trained:
            assert one.run is not None
            data = one.run.job.data
            assert isinstance(data, StreamedData)
            share = sum(sizes[b] for b in data.held_out) / max(sum(sizes), 1)
            if share < LAST_PASS_SHARE:
                return
        learn_held_out(trained, **self._last_passes, n_jobs=self.n_jobs)

    def target_rows(self) -> tuple[np.ndarray, np.ndarray | None]:
        """As `Learner.target_rows`, of the sample."""
        sample = self._sample_chunk
        values = self.reader.values(sample)
        return values, self.reader.weights(sample, values) if self.reader.is_weighted else None

    def line_statistics(self) -> Statistics:
        """As `Learner.line_statistics`."""
        of_lines, n = self.dealt.of_lines, len(self.schema.vocabularies)
        if of_lines is None:
            return self.statistics
        return replace(
            self.statistics,
            weights=of_lines.weights + self.statistics.weights[n:],
            sums=of_lines.sums + self.statistics.sums[n:],
        )

    # --- inside ---

    def _findings(self, networks: Sequence[Network], rows: Any = None) -> Findings:
        """As a learner's; `rows` are blocks."""
        schema, target = self.training.schema, self.training.target
        statistics = self.statistics
        if rows is not None:
            statistics = statistics_of(self.blocks, rows, schema, target)
        counts = statistics.weights[: len(schema.vocabularies)]
        return Findings(effects_of(statistics, target.task), counts, networks)

    @property
    def _rows_alike(self) -> bool:
        return self.roles.groups is not None and self.roles.time is None

    def _choose(
        self,
        p: EmbeddingEstimator,
        seed: int,
        n_fits: int,
        choice: Choice | None,
        data: dict[str, Any],
    ) -> None:
        """What is "auto", from the sample as a table of its own; `data` as `fit` takes them."""
        rows, roles = self.survey.sample, self.roles
        parameters = p.get_params(deep=False)
        sampled = type(p)(**{**parameters, "columns": roles.categorical, "min_frequency": 1})
        sampled.time_column = roles.time
        sampled.handle_unknown = "prior"  # what only the sample does not know is no error
        frame = open_frame(rows)
        training = read_training_set(
            sampled,
            frame.without(roles.hidden),
            label_vector(rows[roles.target].combine_chunks()),
            task=self.survey.target.task,
            target=self.survey.target,
            sample_weight=None if roles.weight is None else frame.column(roles.weight).floats(),
            groups=None if roles.groups is None else rows[roles.groups].combine_chunks(),
            **data,
        )
        n_fits = n_fits if p._trains(training) else 0
        n_rows = self.survey.n_rows
        super().__init__(sampled, training, seed, n_fits=n_fits, n_rows=n_rows, choice=choice)
        self._tried = self.choice.tried

    @property
    def _sample_chunk(self) -> Chunk:
        return Chunk(open_frame(self.survey.sample), "the sample", 0)

    def _make_deal(self, n_folds: int) -> Deal:
        fraction = float(self.p.validation_fraction)
        of_deal = (self.survey.n_rows, max(n_folds, 1), fraction, self.seed)
        moments = self.reader.moments(self._sample_chunk)
        if moments is not None:
            if self.reader.ends is not None:
                refuse_lasting(moments)
            return TimeDeal(moments, *of_deal)
        if self.survey.groups is not None:
            return GroupDeal(self.survey.groups.counts, *of_deal)
        return Deal(*of_deal)

    def _deal(self) -> None:
        """Write the codes, then those of the pairs."""
        workspace, source = self.table.workspace, self.table.source
        dealt = deal_rows(source, self.reader, self.deal, self._kept(), workspace.fresh("rows"))
        schema, statistics = self.survey.schema, dealt.statistics
        pairs = [(pair.first, pair.second) for pair in self.plan.training.schema.pairs]
        self.blocks = dealt.blocks
        if pairs:
            schema = schema.with_pairs(learn_pairs(self.blocks, schema, pairs))
            self.blocks = with_pair_codes(self.blocks, schema, workspace.fresh("paired"))
            first = len(schema.vocabularies)
            statistics = _joined(
                statistics,
                statistics_of(self.blocks, self.everything, schema, self.survey.target, first),
            )
        self.schema, self.statistics, self.dealt = schema, statistics, dealt

    def _kept(self) -> list[int]:
        """Blocks that some network holds out."""
        sets = [self.everything, *(train for train, _ in self.deal.folds())]
        held = [self.deal.held_out(s, i) for s in sets for i in range(self.n_networks)]
        return sorted({block for blocks in held for block in blocks})

    def _make_shell(self, X_val: object, y_val: object) -> None:
        """The training set of the rows that are in memory, and the plan of networks for all."""
        dealt: Dealt = self.dealt
        arrays = self.schema.with_pair_codes(dealt.kept)
        ties = Ties(len(arrays))
        training = TrainingSet(
            self.schema, self.survey.target, arrays, dealt.values, dealt.weight, ties
        )
        held_out = held_out_rows(self.p, training, X_val, y_val)
        self.training = replace(training, held_out=held_out)
        self.plan = self.plan.of(self.training)
        self.choice = self._chosen(self._tried)

    def _job(self, blocks: Sequence[int], s: int, i: int) -> tuple[Job, np.ndarray]:
        """Network i on these blocks, less those that it holds out; and the rows it holds out."""
        held = () if self.training.held_out is not None else self.deal.held_out(blocks, i)
        numbers = tuple(block for block in blocks if block not in held)
        rows = np.flatnonzero(np.isin(self.dealt.block, held))
        of_shell = np.arange(len(self.training))
        job = self.plan.job(of_shell, None, i, self.settings.of(i))
        n_columns = len(job.config.n_codes)  # less the pairs that only other networks see
        first = self._in_memory().of_columns(n_columns)
        data = StreamedData(self.blocks, numbers, first, held, self.dealt.mean_weight)
        held_out = job.held_out
        if held_out is None and len(rows):
            held_out = replace(self.plan.data.of_columns(n_columns), rows=rows)
        batch = choose_batch_size(self.p.batch_size, len(data))
        checkpoint = None
        if self._checkpoints:
            folder = self.table.workspace.shared(CHECKPOINTS)
            checkpoint = Checkpoint(folder / f"network-{s}-{i}")
        training = replace(job.training, batch_size=batch)
        job = replace(job, data=data, held_out=held_out, training=training, checkpoint=checkpoint)
        return job, rows

    def _in_memory(self) -> TrainingData:
        """Rows that a network's first bias is from: those that are kept, or a block."""
        if len(self.training):
            return self.plan.data
        return StreamedData(self.blocks, (), self.plan.data).load(self.everything[:1])


def _roles(p: EmbeddingEstimator, table: SourceTable) -> StreamRoles:
    source = table.source
    names = list(source.names)
    hidden = hidden_columns(p, names, table.target, table.weight, table.groups)
    seen = [name for name in names if name not in hidden]
    (time,) = (None,) if p.time_column is None else resolve(names, [p.time_column], "time_column")
    given = None if p.columns is None else resolve(names, p.columns, "columns")
    rest = [name for name in seen if name != time or name in (given or ())]
    lists = [name for name in rest if source.kinds[name] == "list"]
    if lists:
        raise InputError(
            f"columns of a table that is larger than memory cannot hold lists, as {some(lists)} do;"
            " leave them out of the table"
        )
    if given is None:
        given = [name for name in categorical_columns(source) if name in rest]
    refuse_text([name for name in rest if name not in given and source.kinds[name] == "text"])
    categorical = [name for name in rest if name in given]
    numeric = [name for name in rest if name not in given]
    return StreamRoles(table.target, table.weight, table.groups, time, categorical, numeric)


def _contents(table: SourceTable, X_val: object, y_val: object) -> list[Any]:
    """What tells all that `fit` is given from others."""
    given = dict(table.vocabulary_counts)
    if X_val is not None:
        given |= {"X_val": X_val, "y_val": {"y_val": y_val}}
    return [table.source.fingerprint(), {name: _content(one) for name, one in given.items()}]


def _content(given: Any) -> str:
    """What tells a table that `fit` is given from others."""
    try:
        return content_of(open_frame(given))
    except InputError:  # who reads it may refuse it; whose content is not told is like no other
        return secrets.token_hex()


def _told(p: EmbeddingEstimator) -> dict[str, str]:
    """The parameters; without a random state a fit keeps the seed that it began with."""
    parameters = p.get_params(deep=False).items()
    told = {name: repr(value) for name, value in parameters if name not in UNTOLD}
    if p.random_state is None:
        del told["random_state"]
    return told


def _joined(of_columns: Statistics, of_pairs: Statistics) -> Statistics:
    return replace(
        of_columns,
        weights=of_columns.weights + of_pairs.weights,
        sums=of_columns.sums + of_pairs.sums,
    )
