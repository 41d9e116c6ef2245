"""Effects as networks see them in training: those of a row learned from other rows.

An effect that was learned from a row's own target would tell it. So the rows are parted into folds,
and a row sees the effects of the rows of other folds; in time those of earlier rows, as far as
there are any. In the tables of such a network the rows for a fold's effects follow those for the
effects of all rows, which held-out rows see, as rows to come will. Of a fold there are only those
that its rows look at; what other folds have not met is the unknown, as those folds know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from catvec.effects import Effect, learn_effects
from catvec.estimators._training_set import TrainingSet
from catvec.frames import UNKNOWN, Fold, make_folds
from catvec.network import Anchor, Anchors, EffectAxis

FOLDS = 5
MOST_BYTES = 2**28  # that one network's tables and looks may take; there are up to six of these
ROW_BYTES = 4 * 12  # of a line of a table and its fold's, of a single effect


def can_be_apart(training: TrainingSet, train: np.ndarray) -> bool:
    """Whether effects for some of the rows can be learned from others: not of a single moment."""
    return len(train) > 1 and bool(_folds(training, train, [0]))


def fits_into_memory(training: TrainingSet) -> bool:
    """Whether effects of these columns and pairs take no more than `MOST_BYTES` by network."""
    schema = training.schema
    n_looks = len(training) * len(schema.n_codes)
    return 4 * n_looks + ROW_BYTES * training.target.n_outputs * sum(schema.n_codes) < MOST_BYTES


@dataclass(frozen=True, eq=False)
class EffectsApart:
    """Tables of effects, and where training rows look into them.

    Attributes
    ----------
    axes : tuple of EffectAxis
        By column and pair how effects become rows of tables.
    tables : list of ndarray of shape (n_lines, dim), float32
        By column and pair the rows of all codes for all rows' effects, then those of each fold.
    looks : ndarray of shape (n_rows, n_columns), int32
        Where each row of the training set looks: a training row among those of its fold.
    rows : ndarray of int
        Training rows for which there are effects; not those before all others in time.
    """

    axes: tuple[EffectAxis, ...]
    tables: list[np.ndarray]
    looks: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, training: TrainingSet, train: np.ndarray, seed: Sequence[int]) -> EffectsApart:
        """For some rows of a training set, all of its columns being of full tables."""
        folds, evidence = _folds(training, train, seed), training.evidence().take(train)
        whole = learn_effects(evidence)
        apart = [_beside(learn_effects(evidence.take(f.train)), whole) for f in folds]
        looks = training.arrays.codes.copy()
        rows = np.concatenate([fold.test for fold in folds])
        axes, tables = [], []
        for c, of_all in enumerate(whole):
            codes, of_folds = evidence.codes[:, c], [effects[c] for effects in apart]
            axis = EffectAxis.of(of_all.effects[codes[rows]], _by_row(of_folds, folds, codes))
            blocks = [axis.table(of_all.effects, of_all.confidences)]
            for own, fold in zip(of_folds, folds, strict=True):
                tested = codes[fold.test]
                met = np.zeros(len(own.effects), bool)
                met[tested] = True
                told = np.flatnonzero(met & _tell(own, of_all))
                lines = np.full(len(met), UNKNOWN, looks.dtype)
                lines[told] = sum(map(len, blocks)) + np.arange(len(told))
                looks[train[fold.test], c] = lines[tested]
                blocks.append(axis.table(own.effects, own.confidences)[told])
            axes.append(axis)
            tables.append(np.concatenate(blocks))
        return cls(tuple(axes), tables, looks, train[np.sort(rows)])

    @property
    def n_codes(self) -> tuple[int, ...]:
        """Rows of the tables."""
        return tuple(map(len, self.tables))

    @property
    def dims(self) -> tuple[int, ...]:
        """Widths of the tables."""
        return tuple(axis.dim for axis in self.axes)

    def anchors(self) -> Anchors:
        """The tables, as what a training never moves."""
        known = (np.ones(len(table), bool) for table in self.tables)
        held = zip(self.tables, known, self.dims, strict=True)
        return Anchors({c: Anchor(*of_column) for c, of_column in enumerate(held)}, "always")


def _folds(training: TrainingSet, train: np.ndarray, seed: Sequence[int]) -> list[Fold]:
    return make_folds(training.ties.take(train), FOLDS, np.random.default_rng(seed))


def _beside(effects: Sequence[Effect], whole: Sequence[Effect]) -> list[Effect]:
    """Effects of a fold with the confidences of all rows, which tell nothing of the fold."""
    return [
        replace(own, confidences=np.where(own.confidences > 0, of_all.confidences, np.float32(0)))
        for own, of_all in zip(effects, whole, strict=True)
    ]


def _tell(own: Effect, of_all: Effect) -> np.ndarray:
    """Which codes need a line of a fold's own (n_codes,): not those of which it knows nothing.

    Unless rare rows tell what the unknown is: its line for all rows knows the targets of these.
    """
    return (own.confidences > 0) | (of_all.confidences[UNKNOWN] > 0)


def _by_row(effects: Sequence[Effect], folds: Sequence[Fold], codes: np.ndarray) -> np.ndarray:
    """The effects that the tested rows see, fold by fold (n, n_effects)."""
    pairs = zip(effects, folds, strict=True)
    return np.concatenate([of_fold.effects[codes[fold.test]] for of_fold, fold in pairs])
