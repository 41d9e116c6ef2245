"""Which columns of a training table are what, and the categories of those that have some."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import some, users_stacklevel
from catvec.errors import CatvecWarning, InputError
from catvec.frames._column import Column, concatenated
from catvec.frames._csv import FLOAT
from catvec.frames._frame import Frame
from catvec.frames._growth import extend
from catvec.frames._hashing import HashedVocabulary
from catvec.frames._kinds import TableSpec
from catvec.frames._lists import Codes, ListColumn, Lists, make_lists
from catvec.frames._vocabulary import MISSING, Vocabulary

__all__ = [
    "learned_columns",
    "refuse_text",
    "roles",
    "texts_among_numbers",
    "warn_of_texts",
    "with_lists",
]

logger = logging.getLogger("catvec")

FEW_TEXTS, MANY_NUMBERS = 3, 20  # categories of a column whose texts stand for missing numbers
LOOKED_AT = 1000  # texts that are looked at before all are

ALMOST_ALL = 0.9  # share of rows with a category of their own that deserves a word


def roles(
    frame: Frame, columns: Sequence[str | int] | None, leave_out: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Names of the categorical and of the numeric columns, in the order of the table."""
    rest = [name for name in frame.names if name not in leave_out]
    if columns is None:
        categorical = [n for n in rest if frame.is_categorical(n)]
    else:
        categorical = frame.resolve(columns, "columns")
        refuse_text([n for n in rest if n not in categorical and _holds_text(frame, n)])
    chosen = set(categorical)
    return [n for n in rest if n in chosen], [n for n in rest if n not in chosen]


def refuse_text(unnamed: Sequence[str]) -> None:
    """Refuse columns of text that are not among those named as categorical."""
    if unnamed:
        raise InputError(
            f"columns that hold text are not named in `columns`: {some(unnamed)}; name them there,"
            " or leave them out of the table"
        )


def _holds_text(frame: Frame, name: str) -> bool:
    return not frame.is_list(name) and "text" in frame.column(name).families


def texts_among_numbers(vocabulary: Vocabulary) -> list[str]:
    """The few categories that are no numbers where many others are; none where it is not so.

    What stands for a missing number, such as "-", makes all of a column text.
    """
    if isinstance(vocabulary, HashedVocabulary):
        return []
    found = {keys.family: keys.values for keys in vocabulary.keys}
    texts = found.get("text", pa.array([], pa.large_string()))
    if len(_no_numbers(texts[:LOOKED_AT])) > FEW_TEXTS:  # as of most columns, however wide
        return []
    others = _no_numbers(texts)
    n_numbers = len(texts) - len(others) + len(found.get("number", []))
    return others.to_pylist() if len(others) <= FEW_TEXTS and n_numbers >= MANY_NUMBERS else []


def _no_numbers(texts: pa.Array) -> pa.Array:
    is_number = pc.match_substring_regex(pc.utf8_trim_whitespace(texts), FLOAT, ignore_case=True)
    return texts.filter(pc.invert(is_number))


def warn_of_texts(vocabularies: Sequence[Vocabulary]) -> None:
    """Say which columns, categorical by themselves, may be numbers."""
    for vocabulary in vocabularies:
        texts = texts_among_numbers(vocabulary)
        if texts:
            warnings.warn(
                f"column {vocabulary.name!r} holds numbers but for {some(texts)}, and is taken for"
                " categories; turn it into numbers, with missing values in their place, or name it"
                " in `columns`",
                CatvecWarning,
                stacklevel=users_stacklevel(),
            )


# --- vocabularies -----------------------------------------------------------------------


def learned_columns(
    frame: Frame,
    names: Sequence[str],
    specs: Mapping[str, TableSpec],
    min_frequency: int,
    given: Mapping[str, Vocabulary],
    known: Mapping[str, Vocabulary],
) -> list[tuple[Vocabulary, Codes]]:
    """Vocabulary and codes of each categorical column, with the categories that are known of it."""
    learned = _vocabularies(frame, names, specs, min_frequency, given)
    _log_wide(learned)
    return [_with_known(frame, vocabulary, codes, known) for vocabulary, codes in learned]


def _vocabularies(
    frame: Frame,
    names: Sequence[str],
    specs: Mapping[str, TableSpec],
    min_frequency: int,
    given: Mapping[str, Vocabulary],
) -> list[tuple[Vocabulary, Codes]]:
    """Vocabulary and codes of each column; those that share a table learn from all their rows."""
    learned: dict[str, tuple[Vocabulary, Codes]] = {}
    for owner in names:
        spec = specs.get(owner, TableSpec())
        if spec.share is not None:
            continue
        if spec.kind == "list":
            learned[owner] = _learned_lists(frame, owner, spec, min_frequency)
            continue
        group = [owner, *(n for n in names if specs.get(n, TableSpec()).share == owner)]
        column = frame.column(owner)
        if len(group) > 1:
            column = concatenated([frame.column(name) for name in group])
        if owner in given:
            vocabulary, codes = given[owner], given[owner].encode(column)
        else:
            vocabulary, codes = _learned(column, spec, min_frequency)
        if len(group) == 1:
            learned[owner] = vocabulary, codes
            continue
        for name, part in zip(group, np.split(codes, len(group)), strict=True):
            first = part if part.ndim == 1 else part[:, 0]
            counts = np.bincount(first, minlength=vocabulary.n_codes).astype(np.int64)
            learned[name] = replace(vocabulary, name=name, stored_counts=counts), part
    return [learned[name] for name in names]


def with_lists(
    frame: Frame, names: Sequence[str], specs: Mapping[str, TableSpec]
) -> dict[str, TableSpec]:
    """What is asked of tables, with a word for each list column."""
    asked = dict(specs)
    for name in names:
        spec, is_list = asked.get(name, TableSpec("list")), frame.is_list(name)
        if is_list != (spec.kind == "list") and (is_list or name in asked):
            holds, other = (
                ("lists", "needs single cells") if is_list else ("no lists", "needs them")
            )
            raise InputError(
                f"column {name!r} holds {holds}, but kind {spec.kind!r} in `tables` {other}"
            )
        if is_list:
            asked[name] = spec
    return asked


def _learned_lists(
    frame: Frame, name: str, spec: TableSpec, min_frequency: int
) -> tuple[Vocabulary, Lists]:
    """Vocabulary of the elements of a list column, which counts these; and its rows."""
    column = frame.list_column(name)
    vocabulary, codes = Vocabulary.learn(column.elements, min_frequency=min_frequency)
    weights = None if spec.weights is None else _list_weights(frame, name, spec.weights)
    lists = make_lists(codes, column, weights)
    counts = np.bincount(lists.codes, minlength=vocabulary.n_codes).astype(np.int64)
    return replace(vocabulary, stored_counts=counts), lists


def _list_weights(frame: Frame, name: str, weights: str) -> ListColumn:
    if weights not in frame.names or not frame.is_list(weights):
        what = "which holds no lists" if weights in frame.names else "which is not there"
        raise InputError(
            f"`tables` names {weights!r} as the weights of column {name!r}, {what}; the columns are"
            f" {some(frame.names)}"
        )
    return frame.list_column(weights)


def _learned(column: Column, spec: TableSpec, min_frequency: int) -> tuple[Vocabulary, np.ndarray]:
    if spec.kind != "hashed":
        return Vocabulary.learn(column, min_frequency=min_frequency)
    return HashedVocabulary.learn_hashed(
        column, n_buckets=spec.n_buckets, n_hashes=spec.n_hashes, n_exact=spec.n_exact
    )


def _with_known(
    frame: Frame, vocabulary: Vocabulary, codes: Codes, known: Mapping[str, Vocabulary]
) -> tuple[Vocabulary, Codes]:
    """A vocabulary with the categories that are known of its column, and the codes in it."""
    if vocabulary.name not in known or isinstance(codes, Lists):
        return vocabulary, codes
    vocabulary = extend(vocabulary, known[vocabulary.name]).vocabulary
    return vocabulary, vocabulary.encode(frame.column(vocabulary.name))


def _log_wide(learned: Sequence[tuple[Vocabulary, Codes]]) -> None:
    for vocabulary, codes in learned:
        if isinstance(vocabulary, HashedVocabulary) or isinstance(codes, Lists):
            continue
        n_seen = int((codes != MISSING).sum())
        if n_seen >= 20 and len(vocabulary) >= ALMOST_ALL * n_seen:
            logger.info(
                "column %r has almost as many categories (%d) as rows (%d): little can be learned"
                " about each; consider leaving it out",
                vocabulary.name,
                len(vocabulary),
                n_seen,
            )
