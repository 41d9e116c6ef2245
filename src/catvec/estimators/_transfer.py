r"""Vectors learned elsewhere, brought to the categories, the width and the scale of a training set.

A row of a table begins, and is drawn to, what the vectors say of its category, as seen from their
own unknown row: :math:`a_k = s\,(p_k - p_0)`, with W to the right of it where widths differ. W are
the leading directions of the vectors about their mean, categories weighted by their counts (PCA;
Jolliffe 2002, Principal Component Analysis, section 2.1); where the table is wider, the first
dimensions are the vectors' own and the others begin small, as in a table without any vectors. The
factor s gives the elements the standard deviation `SCALE`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import stdtr

from catvec._checks import check_bool, check_categorical, check_float, check_option, refuse, some
from catvec.errors import InputError
from catvec.estimators._choice import has_open_width, width
from catvec.estimators._parameters import SharedParameters
from catvec.frames import MISSING, UNKNOWN, Frame, Schema, TableSpec, Vocabulary, extend
from catvec.network import FREEZE, Anchor, Anchors
from catvec.vectors import CategoryVectors, ColumnVectors

SCALE = 0.1  # of vectors that a network has trained; of generated data, 0.03 to 1 on held-out rows
ALPHA = 0.05  # of the verdict on the benefit
WITHOUT_INIT: dict[str, Any] = {"freeze": "never", "compare_init": False, "column_map": None}
"""What parameters about `init` are without it."""
WIDEST = 32  # that embedding_dim="auto" takes over from the vectors


@dataclass(frozen=True, eq=False)
class KnownVectors:
    """What vectors learned elsewhere say of one column.

    Attributes
    ----------
    source : ColumnVectors
        The vectors.
    vocabulary : Vocabulary
        The column's categories, those of the vectors among them.
    codes : ndarray of shape (source's n_codes,), int64
        The code in `vocabulary` of each row of the vectors.
    widest : int
        Dimensions that are taken over, at most.
    """

    source: ColumnVectors
    vocabulary: Vocabulary
    codes: np.ndarray
    widest: int
    _given: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, source: ColumnVectors, vocabulary: Vocabulary, widest: int) -> KnownVectors:
        """Match rows by the value of the category."""
        codes = extend(vocabulary, source.vocabulary).moved
        both_met = min(source.missing.count, vocabulary.counts[MISSING])
        codes[MISSING] = MISSING if both_met else UNKNOWN
        return cls(source, vocabulary, codes, min(widest, source.embedding_dim))

    @property
    def is_known(self) -> np.ndarray:
        """Of which codes of the column something is known, bool (n_codes,); of row 0 it is."""
        known = np.zeros(self.vocabulary.n_codes, bool)
        known[self.codes] = True
        return known

    def width(self, dim: int) -> int:
        """Dimensions taken over into a table of width `dim`: the first ones."""
        return min(dim, self.widest)

    def given(self, dim: int) -> np.ndarray:
        """The vectors for a table of width `dim`, float32 of shape (source's n_codes, `width`)."""
        width, vectors = self.width(dim), self.source.by_code()[0]
        if width == vectors.shape[1]:
            return vectors
        if width not in self._given:
            self._given[width] = (vectors @ _leading(self._covariance(vectors), width)).astype("f4")
        return self._given[width]

    def scale(self, dim: int) -> float:
        """What these vectors are multiplied by to be as large as trained ones."""
        covariance = self._covariance(self.given(dim))
        spread = float(np.sqrt(np.trace(covariance) / len(covariance)))
        return SCALE / spread if spread > 0 else 1.0

    def anchor(self, dim: int) -> Anchor:
        """Where the rows of a table of width `dim` are at home."""
        given = self.given(dim)
        offsets = np.zeros((self.vocabulary.n_codes, dim), np.float32)
        offsets[self.codes, : given.shape[1]] = (given - given[UNKNOWN]) * self.scale(dim)
        offsets[UNKNOWN] = 0
        return Anchor(offsets, self.is_known, given.shape[1])

    def restored(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (n_codes, `width`) that were held, in the scale given; known ones to the bit."""
        given = self.given(vectors.shape[1])
        result = (vectors + given[UNKNOWN]).astype(np.float32)
        known = self.codes > UNKNOWN
        result[UNKNOWN], result[self.codes[known]] = given[UNKNOWN], given[known]
        return result

    def _covariance(self, vectors: np.ndarray) -> np.ndarray:
        """Covariance (d, d) of some of the vectors' dimensions, categories weighted by counts."""
        counts = self.source.vocabulary.counts.astype(np.float64)
        share = counts / counts.sum() if counts.sum() else np.full(len(counts), 1 / len(counts))
        about = vectors - share @ vectors
        covariance: np.ndarray = (about * share[:, None]).T @ about
        return covariance

    def coverage(self) -> dict[str, Any]:
        """How many categories were found, and the share of rows that hold one of these."""
        counts = self.vocabulary.counts
        known, met = self.is_known, counts > 0
        known[UNKNOWN] = False
        categories = slice(MISSING + 1, None)
        return {
            "from": self.source.name,
            "found": int((known & met)[categories].sum()),
            "not_found": int((known & ~met)[categories].sum()),
            "new": int((~known & met)[categories].sum()),
            "rows_covered": float(counts[known].sum() / max(counts.sum(), 1)),
        }


@dataclass(frozen=True, eq=False)
class Transfer:
    """What vectors learned elsewhere say of a training set's columns.

    Attributes
    ----------
    columns : mapping of int to KnownVectors
        By number of the categorical column.
    freeze : str
    pace : float
        As `Anchors` takes them.
    """

    columns: Mapping[int, KnownVectors]
    freeze: str
    pace: float

    @classmethod
    def of(
        cls, p: SharedParameters, schema: Schema, sources: Mapping[str, ColumnVectors]
    ) -> Transfer:
        """Match the vectors by column and category.

        Raises
        ------
        InputError
            If nothing of the vectors is found in the table.
        """
        columns = {}
        for c, vocabulary in enumerate(schema.vocabularies):
            if vocabulary.name in sources:
                source = sources[vocabulary.name]
                most = WIDEST if has_open_width(p, vocabulary.name) else source.embedding_dim
                columns[c] = KnownVectors.of(source, vocabulary, most)
        transfer = cls(columns, p.freeze, float(p.init_learning_rate))
        _refuse_nothing(p, schema, sources, transfer)
        return transfer

    def widths(self, p: SharedParameters) -> dict[str, int]:
        """Width by column of ``embedding_dim="auto"``: the vectors' own, and room to learn more.

        Beside vectors that are held there is as much room as a column without them would have
        (a second channel: Kim 2014, arXiv 1408.5882, section 2.1). Others make room themselves.
        """
        widths = {}
        for known in self.columns.values():
            name, alone = known.vocabulary.name, width("auto", max(len(known.vocabulary), 1))
            if has_open_width(p, name):
                own = known.widest
                widths[name] = own + alone if self.freeze == "always" else max(own, alone)
        return widths

    def held(self, column: int) -> KnownVectors | None:
        """The vectors of a column that all networks have alike, since they were held."""
        return self.columns.get(column) if self.freeze == "always" else None

    def anchors(self, dims: tuple[int, ...]) -> Anchors:
        """Where the rows of tables of these widths are at home."""
        by_column = {c: known.anchor(dims[c]) for c, known in self.columns.items()}
        return Anchors(by_column, self.freeze, self.pace)

    def report(self) -> dict[str, Any]:
        """What ``transfer_report_`` says: of each column what was found of its categories."""
        columns = {known.vocabulary.name: known.coverage() for known in self.columns.values()}
        return {"columns": columns}


def benefit(
    with_init: Sequence[float | None], without: Sequence[float | None]
) -> dict[str, Any] | None:
    """What ``transfer_report_`` says of held-out losses by network, in pairs.

    Parameters
    ----------
    with_init, without : sequence of float or None
        None where no rows were held out.

    Returns
    -------
    dict or None
        The p-value of a gain is of Student's t-test of the differences; NaN is no JSON, so it is
        None where there is one network only.
    """
    pairs = list(zip(with_init, without, strict=True))
    if not pairs or None in (*with_init, *without):
        return None
    ours, others = np.array(pairs, np.float64).T
    gains = others - ours
    n, spread, p_value = len(gains), gains.std(ddof=1) if len(gains) > 1 else 0.0, None
    if n > 1:
        t = gains.mean() / (spread / n**0.5) if spread > 0 else np.copysign(np.inf, gains.mean())
        p_value = float(stdtr(n - 1, -t)) if gains.any() else 0.5
    verdict = "unclear"
    if p_value is not None and not ALPHA <= p_value <= 1 - ALPHA:
        verdict = "helps" if p_value < ALPHA else "hurts"
    return {
        "loss_with": float(ours.mean()),
        "loss_without": float(others.mean()),
        "gain": float(gains.mean() / max(abs(others.mean()), 1e-300)),
        "p_value": p_value,
        "verdict": verdict,
    }


def check_transfer(p: SharedParameters) -> None:
    """Refuse parameters of the transfer that do not fit."""
    if p.init is not None and not isinstance(p.init, CategoryVectors | str | os.PathLike):
        raise refuse("init", "None, a CategoryVectors or the path of one", p.init)
    check_option("freeze", p.freeze, FREEZE)
    check_bool("compare_init", p.compare_init)
    check_float("init_learning_rate", p.init_learning_rate, minimum=0.0)
    if p.column_map is not None and not isinstance(p.column_map, Mapping):
        raise refuse("column_map", "None or a mapping of columns to columns", p.column_map)
    if p.init is not None:
        return
    for name, nothing in WITHOUT_INIT.items():
        if getattr(p, name) and getattr(p, name) != nothing:
            raise refuse(name, f"{nothing!r} without `init`", getattr(p, name))


def sources(p: SharedParameters, frame: Frame) -> dict[str, ColumnVectors]:
    """The vectors to begin with, by column of the table: as mapped, else by name.

    Raises
    ------
    InputError
        If the map names a column that the table or the vectors do not have, or vectors have no
        width.
    ArtifactError
        If no vectors can be read.
    """
    if p.init is None:
        return {}
    init = p.init if isinstance(p.init, CategoryVectors) else CategoryVectors.load(p.init)
    found = {name: name for name in init if name in frame.names}
    for ours, theirs in (p.column_map or {}).items():
        (name,) = frame.resolve([ours], "column_map")
        found.pop(name, None)
        if theirs is None:
            continue
        if theirs not in init:
            raise InputError(
                f"`column_map` names {theirs!r}, which the vectors do not have; their columns are"
                f" {some(init.columns)}"
            )
        found[name] = theirs
    empty = [theirs for theirs in found.values() if not init[theirs].embedding_dim]
    if empty:
        raise InputError(f"columns of `init` have effects only, no vectors: {some(empty)}")
    return {ours: init[theirs] for ours, theirs in found.items()}


def refuse_compressed(specs: Mapping[str, TableSpec], sources: Mapping[str, object]) -> None:
    """Refuse vectors for columns that have no row by category, an `InputError`."""
    compressed = {name for name, spec in specs.items() if spec.kind != "full"}
    compressed |= {spec.share for spec in specs.values() if spec.share is not None}
    strange = [name for name in sources if name in compressed]
    if strange:
        raise InputError(
            f"`init` has vectors for {some(strange)}, whose rows are shared or compressed by"
            " `tables` or `memory_budget`; give them full tables, or leave them out by a None in"
            " `column_map`"
        )


def _refuse_nothing(
    p: SharedParameters, schema: Schema, sources: Mapping[str, ColumnVectors], transfer: Transfer
) -> None:
    names = schema.categorical_names
    named = [str(name) for name in p.column_map or {} if str(name) in sources]
    check_categorical("column_map", named, names, remedy=": name them in `columns`, too")
    if not transfer.columns:
        raise InputError(
            f"no categorical column of the table ({some(names)}) is one of `init`; say which is"
            " which by `column_map`, its keys columns of the table and its values columns of `init`"
        )
    covered = transfer.report()["columns"]
    if not any(column["found"] for column in covered.values()):
        raise InputError(
            f"no category of the table is one of `init`, in any column of {some(covered)}; is"
            " `column_map` right?"
        )


def _leading(covariance: np.ndarray, width: int) -> np.ndarray:
    """Directions (d, width) of most variance, in descending order, each with a sign of its own."""
    directions = np.linalg.eigh(covariance)[1][:, ::-1][:, :width]
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(width)])
