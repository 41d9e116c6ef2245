"""`partial_fit`: what a fit leaves behind for it, and how further rows are taken up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from catvec._checks import refuse, some
from catvec.effects import Evidence, Statistics, effects_of
from catvec.errors import ParameterError
from catvec.estimators._choice import choose_batch_size, choose_category_dropout
from catvec.estimators._fitted_vectors import assembled
from catvec.estimators._learning import Committee, Learner
from catvec.estimators._plan import FEWEST_OF_PAIR
from catvec.estimators._training_set import network_inputs
from catvec.frames import (
    OTHER,
    UNKNOWN,
    HashedVocabulary,
    Schema,
    SchemaGrowth,
    Target,
    Vocabulary,
    join,
)
from catvec.network import (
    Inputs,
    Learned,
    Memory,
    Network,
    Step,
    Trained,
    TrainingConfig,
    TrainingData,
    load_kernels,
)
from catvec.vectors import CategoryVectors, ColumnVectors, align

if TYPE_CHECKING:
    from catvec.estimators._base import EmbeddingEstimator

RATE = 0.25
"""Part of the fit's learning rate for further rows: as the rate of a fit falls to nearly nothing,
and that of a stream cannot. Empirical, on rows held out of the training rows: of parts of 0.05 to 1
the best or near it on amazon_access and movielens_100k. Passing over earlier rows once more
beside the new ones (replay) was worse on amazon_access and kick, batch norm by the rows of a frame
on amazon_access and movielens_100k."""

SHRINKAGE = 0.2
"""Part of the fit's shrinkage that holds for further rows. It was chosen by fewer rows and for many
passes over them, and one pass overfits less. Empirical, as above: of parts of 0.03 to 1."""


GROWING = ("full", "hashed")  # kinds of tables that further rows can be learned with


@dataclass(eq=False)
class Continuation:
    """All that `partial_fit` goes on from, beside the vectors and the schema.

    Attributes
    ----------
    statistics : Statistics
        Of all rows so far, by line of each vocabulary and by code of each pair.
    n_rows : float
        Rows so far; forgotten ones count less.
    learned : list of Learned
        The networks, with what their optimizers know.
    loss : str
        What they minimise.
    seed, n_calls : int
        Of everything random, with how often further rows came.
    """

    statistics: Statistics
    n_rows: float
    learned: list[Learned]
    loss: str
    seed: int
    n_calls: int = 0

    @property
    def with_vectors(self) -> list[Learned]:
        """The networks that learned vectors; others see effects."""
        return [one for one in self.learned if not one.network.config.sees_effects]

    @property
    def is_frozen(self) -> bool:
        """Whether the last rows were learned with `existing="frozen"`."""
        return any(one.memory.kept.any() for one in self.learned)

    def n_bytes(self, networks: Sequence[Network]) -> int:
        """Bytes of the arrays, with those of networks that are not among the given ones."""
        others = [] if networks else [one.network for one in self.learned]
        states = [self.to_parts()[1], *(network.state() for network in others)]
        return sum(array.nbytes for state in states for array in state.values())

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What JSON holds, and arrays by name for a file; the networks go elsewhere."""
        statistics = self.statistics
        section = {
            "n_rows": self.n_rows,
            "loss": self.loss,
            "seed": self.seed,
            "n_calls": self.n_calls,
            "squares": statistics.squares,
            "n_columns": len(statistics.weights),
            "n_networks": len(self.learned),
        }
        arrays = {"totals": statistics.totals}
        arrays |= {f"weights.{c}": array for c, array in enumerate(statistics.weights)}
        arrays |= {f"sums.{c}": array for c, array in enumerate(statistics.sums)}
        for i, one in enumerate(self.learned):
            arrays |= {f"memory.{i}.{k}": array for k, array in one.memory.state().items()}
        return section, {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def from_parts(
        cls,
        section: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        networks: Sequence[Network],
    ) -> Continuation:
        """Undo `to_parts`."""
        columns = range(section["n_columns"])
        statistics = Statistics(
            tuple(arrays[f"weights.{c}"].copy() for c in columns),
            tuple(arrays[f"sums.{c}"].copy() for c in columns),
            arrays["totals"].copy(),
            section["squares"],
        )
        learned = []
        for i in range(section["n_networks"]):
            start = f"memory.{i}."
            state = {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
            learned.append(Learned(networks[i], Memory.from_state(state)))
        return cls(
            statistics,
            section["n_rows"],
            learned,
            section["loss"],
            section["seed"],
            section["n_calls"],
        )


def continuation(
    estimator: EmbeddingEstimator, learner: Learner, committee: Committee | None
) -> Continuation:
    """What a fit leaves behind.

    Parameters
    ----------
    estimator : EmbeddingEstimator
        Which has just been fitted.
    learner : Learner
        Of the fit.
    committee : Committee or None
        The networks, after their last pass; None where effects are all that was learned.

    Returns
    -------
    Continuation
    """
    statistics = learner.line_statistics()
    state = Continuation(statistics, float(learner.n_rows), [], learner.loss, learner.seed)
    trained, told = committee.trained if committee else [], list[np.ndarray]()
    if any(one.network.config.sees_effects for one in trained):
        weights = statistics_by_code(state, learner.training.schema).weights
        told = [of_codes > 0 for of_codes in weights]
    for number, one in enumerate(trained):
        if one.network.config.sees_effects:  # it learns nothing of further rows but their effects
            memory = Memory.of_effects(one.network, told)
        else:
            memory = _memory(one, estimator, learner, number)
        state.learned.append(Learned(one.network, memory))
    return state


def _memory(one: Trained, estimator: EmbeddingEstimator, learner: Learner, number: int) -> Memory:
    if isinstance(one.step, Step):
        return Memory.of(one.step)
    training, own = learner.training, learner.settings.of(number).shrinkage
    settings = _settings(estimator, training.schema, learner.loss, len(training), one.network, own)
    return Memory.estimated(one.network, settings, training.data(), load_kernels("numpy"))


def learn_further(
    estimator: EmbeddingEstimator,
    growth: SchemaGrowth,
    target: Target,
    values: np.ndarray,
    weight: np.ndarray,
    *,
    frozen: bool,
    half_life: float | None,
    given: CategoryVectors | None = None,
) -> Continuation:
    """Take up further rows.

    Parameters
    ----------
    estimator : EmbeddingEstimator
        Fitted; it stays as it is, and so do its networks.
    growth : SchemaGrowth
        The rows, and what their categories did to the schema.
    target : Target
    values, weight : ndarray of shape (n_rows,), float64
        The target and the weights.
    frozen : bool
        Whether only what is new since the last call without it is learned.
    half_life : float or None
        After how many rows a row weighs half; None: it never does.
    given : CategoryVectors, optional
        Where new categories start.

    Returns
    -------
    Continuation
        To go on from.
    """
    before = estimator._continuation
    assert before is not None
    n_rows = len(values)
    faded = np.ones(n_rows) if half_life is None else 0.5 ** (np.arange(n_rows)[::-1] / half_life)
    kept = 1.0 if half_life is None else 0.5 ** (n_rows / half_life)
    sizes = [v.n_lines for v in growth.schema.vocabularies] + [
        p.n_codes for p in growth.schema.pairs
    ]
    evidence = Evidence(
        growth.lines, tuple(sizes), values, target.task, target.n_outputs, weight * faded
    )
    old = before.statistics.times(kept).moved(growth.moved, sizes)
    statistics = old.plus(Statistics.of(evidence))
    after = replace(
        before,
        statistics=statistics,
        n_rows=before.n_rows * kept + float(faded.sum()),
        n_calls=before.n_calls + 1,
    )
    if before.learned:
        with np.errstate(all="ignore"):  # a loss that is not finite ends in a TrainingError
            after.learned = _grown_networks(estimator, growth, before.learned, given)
            data = target.standardized(values), weight
            _learn_on(estimator, growth, after, *data, faded, kept, frozen)
            _follow(growth, after, target, frozen)
    return after


def _grown_networks(
    estimator: EmbeddingEstimator,
    growth: SchemaGrowth,
    learned: Sequence[Learned],
    given: CategoryVectors | None,
) -> list[Learned]:
    """The networks with rows for what is new."""
    moved = [
        to[: vocabulary.n_codes]  # tables have no rows for rare values
        for to, vocabulary in zip(growth.moved, estimator.schema_.vocabularies, strict=False)
    ]
    moved += growth.moved[len(moved) :]
    grown = [one.grown(moved, growth.starts) for one in learned]
    if given is not None:
        old = estimator.schema_.vocabularies
        for c, (before, after) in enumerate(zip(old, growth.schema.vocabularies, strict=True)):
            if after.n_codes > before.n_codes and after.name in given:
                for one in grown:
                    if one.network.config.sees_effects:
                        continue
                    table = one.network.tables.weight(one.network.composition.tables[c][0])
                    _start_at(table, before.n_codes, after, given[after.name])
    return grown


def _start_at(table: np.ndarray, n_old: int, vocabulary: Vocabulary, given: ColumnVectors) -> None:
    """Give new rows of a table the vectors of their categories, as far as there are any.

    These are brought to the table's basis by the categories that both sides knew before.
    """
    codes = join(vocabulary, given.vocabulary)[1].moved[: given.vocabulary.n_codes]
    known = np.flatnonzero(codes < n_old)
    new = np.flatnonzero((codes >= n_old) & (codes < vocabulary.n_codes))
    if len(new):
        counts = vocabulary.counts[codes[known]]
        weights = counts if counts.any() else None
        placed = align(given.by_code()[0], table[codes[known]], weights, rows=known)
        table[codes[new]] = placed[new]


def check_given(given: CategoryVectors | None, schema: Schema, dims: Sequence[int]) -> None:
    """Refuse vectors that tables cannot take up."""
    if given is None:
        return
    if not isinstance(given, CategoryVectors):
        raise refuse("vectors", "a CategoryVectors", given)
    for vocabulary, dim in zip(schema.vocabularies, dims, strict=False):
        if vocabulary.name in given and given[vocabulary.name].embedding_dim != dim:
            raise ParameterError(
                f"`vectors` of column {vocabulary.name!r} must have {dim} dimensions, as this"
                f" model's, got {given[vocabulary.name].embedding_dim}"
            )


def _learn_on(
    estimator: EmbeddingEstimator,
    growth: SchemaGrowth,
    state: Continuation,
    target: np.ndarray,
    weight: np.ndarray,
    faded: np.ndarray,
    kept: float,
    frozen: bool,
) -> None:
    """Have each network pass over the rows once."""
    schema = growth.schema
    inputs = _told_apart(schema, network_inputs(schema, growth.arrays))
    data = TrainingData(inputs, target, weight.astype(np.float32))
    kernels = load_kernels("numba" if estimator.engine == "numba" else "numpy")
    mean_weight = state.statistics.totals[0] / state.n_rows
    for number, one in enumerate(state.learned):
        if one.network.config.sees_effects:
            continue
        own = estimator.choice_.settings.of(number).shrinkage
        settings = _settings(estimator, schema, state.loss, state.n_rows, one.network, own)
        one.memory.forget(kept)
        one.learn(
            data,
            settings,
            kernels,
            key=(state.seed + number << 32) ^ (state.n_calls << 12),
            ages=weight * faded,
            mean_weight=mean_weight,
            frozen=frozen,
        )


def _follow(growth: SchemaGrowth, state: Continuation, target: Target, frozen: bool) -> None:
    """Show effects of all rows so far to the networks that see them; frozen, of new codes only."""
    seeing = [one for one in state.learned if one.network.config.sees_effects]
    if not seeing:
        return
    learned = effects_of(statistics_by_code(state, growth.schema), target.task)
    effects = [(one.effects, one.confidences) for one in learned]
    for one in seeing:
        one.follow(effects, frozen=frozen)


def _settings(
    p: EmbeddingEstimator,
    schema: Schema,
    loss: str,
    n_rows: float,
    network: Network,
    shrinkage: Sequence[float],
) -> TrainingConfig:
    """How a network learns further rows after `n_rows`: by steps of the size a fit would take."""
    n_pairs = network.config.n_pairs  # none where only other networks see pairs
    return TrainingConfig(
        loss=loss,
        quantile=p.quantile,
        shrinkage=tuple(SHRINKAGE * strength for strength in shrinkage),
        learning_rate=RATE * float(p.learning_rate),
        batch_size=choose_batch_size(p.batch_size, int(n_rows)),
        embedding_dropout=float(p.embedding_dropout),
        category_dropout=choose_category_dropout(p, int(n_rows)),
        pair_columns=schema.pair_columns[:n_pairs],
        fewest_rows=(1,) * len(schema.vocabularies) + (FEWEST_OF_PAIR,) * n_pairs,
    )


def _told_apart(schema: Schema, inputs: Inputs) -> Inputs:
    """Rows with combinations too rare for a vector of their own under the code of others."""
    if not schema.pairs:
        return inputs
    codes = inputs.codes.copy()
    for c, pair in enumerate(schema.pairs, start=len(schema.vocabularies)):
        rows = np.append([FEWEST_OF_PAIR, FEWEST_OF_PAIR], pair.counts)[codes[:, c]]
        codes[:, c] = np.where(rows < FEWEST_OF_PAIR, OTHER, codes[:, c])
    return replace(inputs, codes=codes)


def statistics_by_code(state: Continuation, schema: Schema) -> Statistics:
    """Those of all rows so far, with rare values among the unknown ones."""
    lines = [np.arange(vocabulary.n_lines) for vocabulary in schema.vocabularies]
    fold = [
        np.where(of_column < vocabulary.n_codes, of_column, UNKNOWN)
        for of_column, vocabulary in zip(lines, schema.vocabularies, strict=True)
    ]
    fold += [np.arange(pair.n_codes) for pair in schema.pairs]
    return state.statistics.moved(fold, schema.n_codes)


def grown_vectors(
    state: Continuation, schema: Schema, target: Target, before: CategoryVectors
) -> CategoryVectors:
    """Effects of all rows so far, and the networks' vectors in the basis of earlier ones.

    Parameters
    ----------
    state : Continuation
    schema : Schema
        What is known of the columns by now.
    target : Target
    before : CategoryVectors
        Those that were handed out last. Rows that frozen networks kept are theirs, bit for bit.

    Returns
    -------
    CategoryVectors
    """
    effects = effects_of(statistics_by_code(state, schema), target.task)
    learned = state.with_vectors
    first = learned[0].network if learned else None
    columns = list(enumerate(schema.vocabularies))
    importances = [first.importances(c) if first else None for c, _ in columns]
    vectors = [
        # Vectors to be summed with weights are one network's, see `category_vectors`.
        _continued(learned[: None if importances[c] is None else 1], c, before[v.name], v)
        for c, v in columns
    ]
    return assembled(schema, target, effects, vectors, importances, metadata=before.metadata)


def _continued(
    learned: Sequence[Learned], c: int, before: ColumnVectors, vocabulary: Vocabulary
) -> np.ndarray:
    """Vectors of a column by code: each network's as near to the earlier ones as a turn brings it.

    Downstream models were trained on the earlier ones, so these are the reference: by the rows
    both have, weighted by the counts of that time.
    """
    if not learned:
        return np.zeros((vocabulary.n_codes, 0), np.float32)
    old, counts = before.by_code()[0], before.vocabulary.counts.astype(np.float64)
    counts = counts if counts.any() else np.ones(len(old))
    rows = np.arange(len(old))
    turned = [align(one.network.vectors(c), old, counts, rows=rows) for one in learned]
    vectors = np.asarray(np.mean(turned, axis=0, dtype=np.float64)).astype(np.float32)
    memory, network = learned[0].memory, learned[0].network
    if memory.kept.any():
        first = int(network.tables.centers()[network.composition.tables[c][0]])
        kept = memory.kept[first : first + len(old)]
        if isinstance(vocabulary, HashedVocabulary):
            kept = np.ones(len(old), bool)
        vectors[: len(old)][kept] = old[kept]
    return vectors


def refuse_fixed(schema: Schema) -> None:
    """Say clearly that some tables do not grow."""
    names = schema.categorical_names
    fixed = [n for n, kind in zip(names, schema.kinds, strict=False) if kind.name not in GROWING]
    if fixed:
        raise ParameterError(
            f"partial_fit cannot grow tables that are composed, shared or of lists, as those of"
            f" {some(fixed)}; fit with full or hashed ones (parameter `tables`)"
        )


def refuse_lists(schema: Schema) -> None:
    """Say clearly that columns of lists have no drift report."""
    columns = zip(schema.vocabularies, schema.kinds, strict=False)
    lists = [vocabulary.name for vocabulary, kind in columns if kind.name == "list"]
    if lists:
        raise ParameterError(f"drift_report cannot look at columns of lists, as {some(lists)} are")


def refuse_without(state: Continuation | None, networks: Sequence[Network]) -> None:
    """Say clearly what an estimator lacks of its fit, if it lacks it."""
    if state is None:
        raise ParameterError(
            "this model lacks the statistics of its training rows: it was saved by an older catvec,"
            " made of a PyTorch model, or cut to a `memory_budget`; fit it anew"
        )
    own = [one.network for one in state.learned]
    if networks and [*map(id, networks)] != [*map(id, own)]:
        raise ParameterError(
            "the networks are not those that this model's own fit trained, but those of a PyTorch"
            " module or others of which no optimizer knows: fit it anew"
        )
