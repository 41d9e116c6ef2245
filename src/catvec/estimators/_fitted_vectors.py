"""What networks and effects say of categories, as vectors: of a fit on all rows, and of its folds.

A model that comes next learns from the vectors of folds and is later given those of the whole fit,
so these have to be alike, in basis and in scale: see `catvec.vectors._alignment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from catvec.effects import Effect, Evidence, learn_effects
from catvec.estimators._choice import steady
from catvec.estimators._transfer import KnownVectors, Transfer
from catvec.frames import FULL, Schema, Target
from catvec.network import Network
from catvec.vectors import (
    CategoryVectors,
    ColumnVectors,
    PairEffects,
    align,
    average_aligned,
    in_scale,
    parts_of,
)


@dataclass(frozen=True, eq=False)
class Findings:
    """What a fit to some rows found.

    Attributes
    ----------
    effects : list of Effect
        By column, then by pair.
    counts : sequence of ndarray of shape (n_codes,)
        Rows by code of each column.
    networks : sequence of Network
        Those that learned vectors; none gives vectors of width 0.
    """

    effects: list[Effect]
    counts: Sequence[np.ndarray]
    networks: Sequence[Network]

    @classmethod
    def of(cls, schema: Schema, networks: Sequence[Network], evidence: Evidence) -> Findings:
        """Those of rows in memory."""
        counts = [
            np.bincount(_codes_of(evidence, c), minlength=vocabulary.n_codes)
            for c, vocabulary in enumerate(schema.vocabularies)
        ]
        with_vectors = [network for network in networks if not network.config.sees_effects]
        return cls(learn_effects(evidence), counts, with_vectors)


def category_vectors(
    schema: Schema, target: Target, found: Findings, transfer: Transfer | None = None
) -> CategoryVectors:
    """Effects, and the networks' vectors averaged in the basis of the first.

    Parameters
    ----------
    schema : Schema
    target : Target
    found : Findings
    transfer : Transfer, optional
        Of vectors that the fit began with.

    Returns
    -------
    CategoryVectors
        Column by column in the order of the schema.
    """
    tables = _tables(schema, found, transfer)
    importances = _importances(schema, found.networks)
    return assembled(schema, target, found.effects, tables, importances)


def fold_vectors(
    schema: Schema,
    target: Target,
    folds: Sequence[Findings],
    whole: CategoryVectors,
    *,
    transfer: Transfer | None = None,
    alike: bool = False,
) -> list[CategoryVectors]:
    """As `category_vectors`, by fold: in the basis and the scale of those of the fit on all rows.

    Confidences are the whole fit's, too. They come from counts: that they differ between folds, or
    grow with the folds in time, would tell a model which fold a row was in and nothing else.

    Parameters
    ----------
    schema, target, transfer
        As in `category_vectors`.
    folds : sequence of Findings
    whole : CategoryVectors
        Of the fit on all rows.
    alike : bool, default=False
        Whether rows of a group are alike; then `steady` categories are as in the whole fit.

    Returns
    -------
    list of CategoryVectors
    """
    tables = _in_scale(schema, folds, whole, transfer)
    found = []
    for fold, of_fold in zip(folds, tables, strict=True):
        effects, own = _with_confidences(fold.effects, whole), of_fold
        if alike:
            effects, own = _with_steady(schema, effects, own, whole)
        importances = _importances(schema, fold.networks)
        found.append(assembled(schema, target, effects, own, importances))
    return found


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
    classes = target.labels if target.task == "multiclass" else None
    found = [
        (effect.effects if classes is not None else effect.effects[:, 0], effect.confidences)
        for effect in effects
    ]
    n_columns = len(schema.vocabularies)
    columns = [
        ColumnVectors(
            vocabulary,
            vectors[c],
            *found[c],
            classes=classes,
            importances=importances[c],
            list_weights=schema.weights_of(c),
        )
        for c, vocabulary in enumerate(schema.vocabularies)
    ]
    known = {vocabulary.name: vocabulary for vocabulary in schema.vocabularies}
    pairs = [
        PairEffects(pair, known[pair.first], known[pair.second], *of_code, classes=classes)
        for pair, of_code in zip(schema.pairs, found[n_columns:], strict=True)
    ]
    return CategoryVectors(columns, pairs=pairs, metadata=metadata)


# --- folds beside the whole fit -------------------------------------------------------


def _in_scale(
    schema: Schema, folds: Sequence[Findings], whole: CategoryVectors, transfer: Transfer | None
) -> list[list[np.ndarray]]:
    """Vectors of each fold by column, turned and spread as those of the whole fit are."""
    tables = [_tables(schema, fold, transfer, whole) for fold in folds]
    counts = [_counts_of_tables(schema, fold.counts) for fold in folds]
    for c, vocabulary in enumerate(schema.vocabularies):
        if transfer is not None and transfer.held(c) is not None:
            continue  # the same in all of them
        base, n = whole[vocabulary.name].by_code()[0], np.sum([own[c] for own in counts], axis=0)
        stretched = in_scale([of_fold[c] for of_fold in tables], base, n)
        for of_fold, table in zip(tables, stretched, strict=True):
            of_fold[c] = table
    return tables


def _with_confidences(effects: Sequence[Effect], whole: CategoryVectors) -> list[Effect]:
    """Effects with the confidences of the fit on all rows, 0 where there are none here."""
    return [
        replace(
            effect,
            confidences=np.where(effect.confidences > 0, part.by_code()[-1], 0).astype(np.float32),
        )
        for effect, part in zip(effects, parts_of(whole), strict=True)
    ]


def _with_steady(
    schema: Schema, effects: Sequence[Effect], vectors: Sequence[np.ndarray], whole: CategoryVectors
) -> tuple[list[Effect], list[np.ndarray]]:
    """Effects and vectors of a fold, those of `steady` categories as of the fit on all rows."""
    effects, vectors = list(effects), list(vectors)
    for c, vocabulary in enumerate(schema.vocabularies):
        kept = steady(schema, c)[:, None]
        base, of_code, _ = whole[vocabulary.name].by_code()
        own = effects[c].effects
        effects[c] = replace(effects[c], effects=np.where(kept, of_code.reshape(own.shape), own))
        if base.shape == vectors[c].shape:  # effects alone have no vectors
            vectors[c] = np.where(kept, base, vectors[c])
    return effects, vectors


# --- from networks to tables ----------------------------------------------------------


def _tables(
    schema: Schema,
    found: Findings,
    transfer: Transfer | None = None,
    whole: CategoryVectors | None = None,
) -> list[np.ndarray]:
    """Vectors by column, averaged over networks in one basis; that of the whole fit, if given."""
    networks, tables = found.networks, []
    counts = _counts_of_tables(schema, found.counts)
    for c, (vocabulary, rows) in enumerate(zip(schema.vocabularies, counts, strict=True)):
        # Means with weights of different networks have no mean with weights: one stands for all.
        weighted = bool(networks) and networks[0].importances(c) is not None
        several = [network.vectors(c) for network in (networks[:1] if weighted else networks)]
        held = None if transfer is None else transfer.held(c)
        base = None if whole is None else whole[vocabulary.name].by_code()[0]
        tables.append(_together(several, rows, vocabulary.n_codes, base, held))
    return tables


def _importances(schema: Schema, networks: Sequence[Network]) -> list[np.ndarray | None]:
    """By column the importances of its hash functions, if it has several."""
    return [
        networks[0].importances(c) if networks else None for c in range(len(schema.vocabularies))
    ]


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
