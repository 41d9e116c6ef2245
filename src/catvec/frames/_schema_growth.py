"""A schema that takes up further rows: the categories and combinations that they bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from catvec.frames._frame import Frame
from catvec.frames._growth import grow
from catvec.frames._pairs import OTHER, Pair
from catvec.frames._schema import Arrays, Schema
from catvec.frames._vocabulary import FIRST, UNKNOWN


@dataclass(frozen=True, eq=False)
class SchemaGrowth:
    """A schema that knows further rows, and where what it knew before has gone.

    Attributes
    ----------
    schema : Schema
        With the categories and combinations of these rows, too; numbers stay as they were.
    arrays : Arrays
        The further rows, by the new codes.
    lines : ndarray of shape (n_rows, n_categorical + n_pairs), int32
        As their codes, but rare values are told apart; see `Vocabulary.lines`.
    moved : tuple of ndarray, int64
        By categorical column the new line of each old one, by pair the new code of each old one.
    starts : tuple of ndarray, int64
        By column and pair the old code by which each new code was answered so far: the unknown's,
        or for new combinations of known categories that of other combinations.
    """

    schema: Schema
    arrays: Arrays
    lines: np.ndarray
    moved: tuple[np.ndarray, ...]
    starts: tuple[np.ndarray, ...]


def grow_schema(schema: Schema, frame: Frame, *, min_frequency: int = 1) -> SchemaGrowth:
    """Count the rows of another table, and take up the categories that they bring.

    Parameters
    ----------
    schema : Schema
        What was learned so far.
    frame : Frame
        As `Schema.read` takes it.
    min_frequency : int, default=1
        Categories in fewer rows than this, earlier ones included, share the unknown row.

    Returns
    -------
    SchemaGrowth

    Raises
    ------
    InputError
        As `Schema.read`.
    """
    grown = [
        grow(vocabulary, column, min_frequency=min_frequency)
        for vocabulary, column in zip(schema.vocabularies, schema.categorical(frame), strict=True)
    ]
    larger = replace(schema, vocabularies=tuple(g.vocabulary for g in grown), pairs=())
    arrays = larger.read(frame)
    moved = [g.moved for g in grown]
    starts = [
        np.zeros(new.n_codes - old.n_codes, np.int64)
        for old, new in zip(schema.vocabularies, larger.vocabularies, strict=True)
    ]
    n_old = {v.name: v.n_codes for v in schema.vocabularies}
    place = larger.categorical_places
    pairs = []
    for pair in schema.pairs:
        first, second = place[pair.first], place[pair.second]
        rows = arrays.codes[:, first], arrays.codes[:, second]
        both, places = pair.grown(larger.vocabularies[second].n_codes, rows)
        pairs.append(both)
        moved.append(places)
        starts.append(_answered_by(both, places, n_old))
    larger = larger.with_pairs(pairs)
    of_pairs = larger.pair_codes(arrays.codes)
    lines = arrays.codes
    if any(vocabulary.n_lines > vocabulary.n_codes for vocabulary in larger.vocabularies):
        lines = larger.lines(frame)
    return SchemaGrowth(
        larger,
        replace(arrays, codes=np.concatenate([arrays.codes, of_pairs], axis=1)),
        np.concatenate([lines, of_pairs], axis=1),
        tuple(moved),
        tuple(starts),
    )


def _answered_by(pair: Pair, moved: np.ndarray, n_old: Mapping[str, int]) -> np.ndarray:
    """By new combination the old code that answered it, as long as columns had `n_old` codes."""
    first, second = pair.column_codes()
    known = (first < n_old[pair.first]) & (second < n_old[pair.second])
    new = np.delete(known, moved[FIRST:] - FIRST)
    return np.where(new, OTHER, UNKNOWN).astype(np.int64)
