"""A trained model packed into a given number of bytes.

Of each column the tables of all networks are packed side by side, and the vectors of the artifact
by the same coordinates: what the networks say in common is kept once. Errors are measured by what
goes into the first layers' units, which makes columns comparable, so that all have one step, the
finest that the bytes allow. A row's errors count by the root of its training rows: on rows held
out of amazon_access and movielens_1m the scores were off by less than with the training rows
themselves, since rare categories are met more often among new rows than their counts say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from catvec._packing import PackedRows, Spread
from catvec.estimators._memory import Limits, model_bytes, read_bytes
from catvec.network import Network
from catvec.vectors import CategoryVectors, PairEffects

if TYPE_CHECKING:
    from catvec.estimators._base import EmbeddingEstimator

HALVINGS = 40  # of the range in which the step is searched


def keep_within_budget(estimator: EmbeddingEstimator, limits: Limits) -> None:
    """Pack what was learned, or leave out what `partial_fit` goes on from, if it would not fit."""
    going_on = estimator._continuation
    if limits.n_bytes is not None:
        pack(estimator, limits.n_bytes)
    elif estimator.memory_budget is not None and going_on is not None:
        n_bytes = model_bytes(estimator) + going_on.n_bytes(estimator.networks_)
        if n_bytes > read_bytes(estimator.memory_budget):
            estimator._continuation = None


def pack(estimator: EmbeddingEstimator, n_bytes: int) -> None:
    """Turn what was learned into few bytes; nothing can be learned on from there.

    Parameters
    ----------
    estimator : EmbeddingEstimator
        Fitted, with at least the bytes that `within_budget` found sufficient.
    n_bytes : int
        That `model_bytes` may be at most.
    """
    networks, vectors = estimator.networks_, estimator.vectors_
    spreads = _spreads(networks, vectors)
    estimator._continuation = None

    def put(step: float) -> None:
        rows = {c: spread.packed(step) for c, spread in spreads.items()}
        estimator.networks_ = [_packed(one, i, rows) for i, one in enumerate(networks)]
        estimator.vectors_ = packed = _packed_vectors(vectors, rows)
        vocabularies = tuple(packed[name].vocabulary for name in packed)
        estimator.schema_ = replace(estimator.schema_, vocabularies=vocabularies)

    coarsest = max((float(s.spread.max(initial=0)) for s in spreads.values()), default=0.0) * 8 or 1
    put(coarsest)  # tells what all the rest takes
    rest = model_bytes(estimator) - _nbytes(spreads, coarsest)
    put(_finest(spreads, n_bytes - rest, coarsest))


def _spreads(networks: Sequence[Network], vectors: CategoryVectors) -> dict[int, Spread]:
    """By number of a column how its rows differ; of columns with a table of their own by code."""
    spreads = {}
    for c, column in enumerate(map(vectors.__getitem__, vectors)):
        kinds = networks[0].config.kinds if networks else ()
        plain = column.importances is None and (not kinds or kinds[c].name == "full")
        if not plain or not column.embedding_dim:
            continue
        weights = np.sqrt(np.maximum(column.vocabulary.counts, 1))
        own = column.by_code()[0]
        if networks:
            tables, metrics = [n.vectors(c) for n in networks], [n.metric(c) for n in networks]
            spreads[c] = Spread(tables, metrics, weights, [own])
        else:
            spreads[c] = Spread([own], [np.eye(own.shape[1])], weights)
    return spreads


def _packed(network: Network, i: int, rows: Mapping[int, Sequence[PackedRows]]) -> Network:
    """The i-th network with packed tables."""
    return network.packed({network.composition.tables[c][0]: of[i] for c, of in rows.items()})


def _packed_vectors(
    vectors: CategoryVectors, rows: Mapping[int, Sequence[PackedRows]]
) -> CategoryVectors:
    """The vectors, packed, with effects in eight bits; those of other columns in half precision."""
    columns = [
        vectors[name].packed(rows[c][-1] if c in rows else None) for c, name in enumerate(vectors)
    ]
    known = {column.name: column.vocabulary for column in columns}
    pairs = []
    for pair in vectors.pairs.values():
        first, second = (known[name] for name in pair.columns)
        effects, confidences = pair.by_code()
        classes = pair.classes
        pairs.append(PairEffects(pair.pair, first, second, effects, confidences, classes=classes))
    return CategoryVectors(columns, pairs=pairs, metadata=vectors.metadata)


def _nbytes(spreads: Mapping[int, Spread], step: float) -> int:
    return sum(spread.nbytes(step) for spread in spreads.values())


def _finest(spreads: Mapping[int, Spread], room: int, coarsest: float) -> float:
    """The finest step with which the rows fit, by halving the range of its logarithm."""
    fine = max((spread.finest for spread in spreads.values()), default=0.0) or coarsest
    if _nbytes(spreads, fine) <= room:
        return fine
    for _ in range(HALVINGS):
        middle = (fine * coarsest) ** 0.5
        if _nbytes(spreads, middle) <= room:
            coarsest = middle
        else:
            fine = middle
    return coarsest
