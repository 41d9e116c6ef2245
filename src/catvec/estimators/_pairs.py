"""Which pairs of columns get effects and tables of their own.

A pair is worth a thought if the rows it parts are parted by neither column alone and are met again:
user and film make a new pair in every row, a town and its country are the town. Of those at most
`MOST_PAIRS` are tried, the ones that say most of what single columns leave unsaid. Whether they
help is then for held-out rows to say: see `_search.search`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from catvec._checks import check_categorical, refuse, some
from catvec.effects import Evidence, learn_effects
from catvec.errors import InputError
from catvec.estimators._training_set import TrainingSet
from catvec.frames import MOST_KEYS, HashedVocabulary, Pair, Schema
from catvec.network import Inputs

MOST_PAIRS = 36  # all of nine columns
MOST_PAIRED = 40  # columns whose pairs are looked at: of 500 there would be 125,000 pairs
FINER = 1.02  # a pair has more combinations than its finer column has categories, by this factor
MET_AGAIN = 0.1  # share of rows whose combination is that of another row, too


def with_pairs(training: TrainingSet, names: Sequence[tuple[str, str]]) -> TrainingSet:
    """The training set that reads these pairs of columns, too."""
    schema, codes = training.schema, training.arrays.codes
    place = schema.categorical_places
    most = training.limits.most_rows(len(names), MOST_KEYS)
    pairs = []
    for first, second in names:
        a, b = place[first], place[second]
        n_second = schema.vocabularies[b].n_codes
        pairs.append(Pair.learn(first, second, n_second, (codes[:, a], codes[:, b]), most))
    schema = schema.with_pairs(pairs)

    held_out = training.held_out
    if held_out is not None:
        held_out = replace(held_out, inputs=_extended(held_out.inputs, schema))
    codes = np.concatenate([codes, schema.pair_codes(codes)], axis=1)
    arrays = replace(training.arrays, codes=codes)
    return replace(training, schema=schema, arrays=arrays, held_out=held_out)


def _extended(inputs: Inputs, schema: Schema) -> Inputs:
    """Rows with the codes of pairs after those of columns."""
    of_pairs, n = schema.pair_codes(inputs.codes), len(schema.vocabularies)
    codes = np.concatenate([inputs.codes, of_pairs], axis=1)
    if inputs.looks is None:
        return replace(inputs, codes=codes)
    looks = np.concatenate([inputs.looks[:, :n], of_pairs, inputs.looks[:, n:]], axis=1)
    return replace(inputs, codes=codes, looks=looks)


def named_pairs(pairs: Sequence[Sequence[str | int]], schema: Schema) -> list[tuple[str, str]]:
    """The pairs the user asks for, each in the order of the table.

    Raises
    ------
    ParameterError
        If `pairs` is no list of pairs.
    InputError
        If one names a column that is not categorical, or one column twice.
    """
    names = schema.categorical_names
    found = []
    for pair in pairs:
        if len(pair) != 2:
            raise refuse("pairs", 'None, "auto" or a list of pairs of columns', pairs)
        of_pair = [schema.names[c] if isinstance(c, int | np.integer) else c for c in pair]
        check_categorical("pairs", of_pair, names)
        hashed = [name for name in of_pair if name in _hashed(schema)]
        if hashed:
            raise InputError(
                f"`pairs` names {some(hashed)}, which are hashed or lists: a pair needs the"
                " categories of a column, or those that `n_exact` tells apart with `n_hashes` of 1"
            )
        if of_pair[0] == of_pair[1]:
            raise InputError(f"`pairs` has the column {of_pair[0]!r} paired with itself")
        first, second = sorted(of_pair, key=names.index)
        found.append((first, second))
    return list(dict.fromkeys(found))


def _hashed(schema: Schema) -> list[str]:
    """Columns that tell no categories apart, or whose values have several codes."""
    hashed = [v for v in schema.vocabularies if isinstance(v, HashedVocabulary)]
    lists = [c for c, kind in enumerate(schema.kinds) if kind.name == "list"]
    names = [v.name for v in hashed if v.n_hashes > 1 or not len(v)]
    return names + [schema.vocabularies[c].name for c in lists]


def candidate_pairs(training: TrainingSet) -> list[tuple[str, str]]:
    """Pairs worth trying, in the order of the table."""
    names = training.schema.categorical_names
    hashed = _hashed(training.schema)
    codes = training.arrays.codes
    distinct = [len(np.unique(codes[:, c])) for c in range(len(names))]
    worth = []
    open_columns = [c for c, name in enumerate(names) if name not in hashed]
    for a, b in combinations(_to_pair(training, open_columns), 2):
        keys = codes[:, a].astype(np.int64) * training.schema.n_codes[b] + codes[:, b]
        _, counts = np.unique(keys, return_counts=True)
        finer = len(counts) > FINER * max(distinct[a], distinct[b])
        met_again = counts[counts > 1].sum() >= MET_AGAIN * len(codes)
        if min(distinct[a], distinct[b]) > 1 and finer and met_again:
            worth.append((names[a], names[b]))
    called = Counter([*names, *map("*".join, worth)])
    worth = [pair for pair in worth if called["*".join(pair)] == 1]  # else results would clash
    most = training.limits.most_pairs(MOST_PAIRS)
    return worth if len(worth) <= most else _strongest(training, worth, most)


def _to_pair(training: TrainingSet, columns: list[int]) -> list[int]:
    """The columns whose pairs are looked at: all, or those whose own effects explain most."""
    if len(columns) <= MOST_PAIRED:
        return columns
    evidence = training.evidence()
    effects, said = learn_effects(evidence), []
    for c in columns:
        rows = np.bincount(evidence.codes[:, c], evidence.weight, len(effects[c].effects))
        said.append(float(np.sum(rows[:, None] * effects[c].effects ** 2)))
    return sorted(columns[i] for i in np.argsort(said)[::-1][:MOST_PAIRED].tolist())


def _strongest(
    training: TrainingSet, names: list[tuple[str, str]], most: int
) -> list[tuple[str, str]]:
    """Those whose shrunk effects explain most of what the columns' effects leave."""
    rest = replace(training.evidence(), task="regression", n_classes=1)
    values = training.target.standardized(training.values).astype(np.float64)
    if training.target.task == "multiclass":  # a measure of some kind: is it the most frequent one?
        values = (values == np.bincount(values.astype(np.int64)).argmax()).astype(np.float64)
    rest = replace(rest, values=values - np.average(values, weights=rest.weight))
    for c in range(len(rest.n_codes)):
        rest = replace(rest, values=rest.values - _effect(rest, c))
    said = []
    for pair in names:
        paired = with_pairs(replace(training, held_out=None), [pair])
        evidence = replace(rest, codes=paired.arrays.codes, n_codes=paired.schema.n_codes)
        said.append(float(np.sum(rest.weight * _effect(evidence, len(rest.n_codes)) ** 2)))
    kept = sorted(np.argsort(said)[::-1][:most].tolist())
    return [names[i] for i in kept]


def _effect(evidence: Evidence, column: int) -> np.ndarray:
    """Shrunk effect by row of one column."""
    alone = replace(
        evidence,
        codes=evidence.codes[:, [column]],
        n_codes=evidence.n_codes[column : column + 1],
        lists={0: evidence.lists[column]} if column in evidence.lists else {},
    )
    (effect,) = learn_effects(alone)
    of_code = effect.effects[:, 0].astype(np.float64)
    return alone.lists[0].means().pooled(of_code) if alone.lists else of_code[alone.codes[:, 0]]
