"""Vectors of gensim and of word2vec files, and back: the vocabulary is mapped by category value."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catvec._checks import check_option, some, users_stacklevel
from catvec.errors import CatvecWarning, InputError, MissingDependencyError, ParameterError
from catvec.frames import FIRST, Column, Vocabulary, one_column
from catvec.frames._column import FAMILIES
from catvec.vectors._column import ColumnVectors
from catvec.vectors._storage import PathLike
from catvec.vectors._untargeted import untargeted_column

if TYPE_CHECKING:
    from catvec.vectors._vectors import CategoryVectors

LISTED = 100  # missing and extra ones that the metadata name


class Bridging:
    """What `CategoryVectors` can be made of, and handed to, outside of catvec."""

    @classmethod
    def from_gensim(
        cls,
        keyed_vectors: Any,
        *,
        column: str,
        categories: object = None,
        family: str = "text",
    ) -> Self:
        """Take over vectors of gensim.

        Parameters
        ----------
        keyed_vectors : gensim.models.KeyedVectors
            Or a model that has them as ``wv``. gensim itself is not needed.
        column : str
            What the column is to be called.
        categories : ColumnVectors, Series, array or list, optional
            The categories wanted, typed as they are (numbers as numbers); keys are matched with
            how these are written as text. By default every key is a category.
        family : {"text", "number", "boolean", "date"}, default="text"
            What keys are, where `categories` are not given: ``"number"`` reads ``"262"`` as 262.

        Returns
        -------
        CategoryVectors
            Of one column, without effects; counts are those of `categories`, else of gensim. A
            category without a vector has the unknown one, which is the mean. Categories without
            vectors and vectors of no category are counted in ``metadata["bridge"]``, which names
            the first 100 of each.

        Raises
        ------
        InputError
            If there are no vectors, none is of a category, or a key cannot be read as `family`.

        Warns
        -----
        CatvecWarning
            If categories have no vector, or vectors are of no category.
        """
        keyed = getattr(keyed_vectors, "wv", keyed_vectors)
        keys, counts = list(keyed.index_to_key), None
        if "count" in keyed.expandos:
            counts = np.array([keyed.get_vecattr(key, "count") for key in keys], np.int64)
        words = _Words(keys, np.asarray(keyed.vectors, np.float32), counts)
        return cls._of(words, "gensim", column, categories, family)

    @classmethod
    def from_word2vec(
        cls,
        path: PathLike,
        *,
        column: str,
        categories: object = None,
        family: str = "text",
        binary: bool | None = None,
    ) -> Self:
        """Take over vectors from a file in the format of word2vec.

        Parameters
        ----------
        path : str or path-like
            The file, which begins with the numbers of words and of dimensions. Words are read as
            `catvec.vectors.export` writes them: ``%20`` is a space, a lone ``%`` the empty text.
        column : str
            What the column is to be called.
        categories, family
            As `from_gensim` takes them.
        binary : bool, optional
            Whether it is the binary format; by default it is where the file ends in ``.bin``.

        Returns
        -------
        CategoryVectors
            As `from_gensim`; counts are 0 where `categories` have none.

        Raises
        ------
        InputError
            If the file cannot be read, and as `from_gensim`.
        """
        path = Path(path)
        read = _read_binary if (path.suffix == ".bin" if binary is None else binary) else _read_text
        with _readable(path), path.open("rb") as file:
            texts, vectors = read(file, *_sizes(path, file))
        words = _Words(["" if t == "%" else unquote(t) for t in texts], vectors, None)
        return cls._of(words, "word2vec", column, categories, family)

    def to_gensim(self: CategoryVectors, column: str | None = None) -> Any:  # type: ignore[misc]
        """Hand the vectors of a column to gensim.

        Parameters
        ----------
        column : str, optional
            Which; may be left out where there is one column only.

        Returns
        -------
        gensim.models.KeyedVectors
            The known categories, written as text, with their counts as the attribute ``count``.

        Raises
        ------
        MissingDependencyError
            If gensim is not installed.
        ParameterError
            If it must be said which column, or the column has no vectors.
        InputError
            If two categories of different types are written alike.
        """
        if column is None and len(self) != 1:
            raise ParameterError(f"`column` must be one of {some(self.columns)}, got None")
        chosen = self[self.columns[0] if column is None else column]
        texts = written(chosen.vocabulary)
        if not chosen.embedding_dim:
            raise ParameterError(f"column {chosen.name!r} has effects only: no vectors to hand on")
        if len(set(texts)) < len(texts):
            raise InputError(
                f"column {chosen.name!r} mixes {' and '.join(chosen.vocabulary.families)}"
                " categories that would be written alike"
            )
        keyed = _gensim().KeyedVectors(chosen.embedding_dim)
        keyed.add_vectors(texts, chosen.vectors)
        for text, count in zip(texts, chosen.counts.tolist(), strict=True):
            keyed.set_vecattr(text, "count", count)
        return keyed

    @classmethod
    def _of(cls, words: _Words, source: str, column: str, categories: object, family: str) -> Self:
        check_option("family", family, FAMILIES)
        if not len(words):
            raise InputError(f"there are no vectors to take over into the column {column!r}")
        if categories is None:
            report: dict[str, Any] = {}
            made = _all_of(words, column, family)
        else:
            made, report = _matched(words, column, categories)
        report = {"source": source, "n_vectors": len(words), **report}
        return cls([made], metadata={"bridge": report})  # type: ignore[call-arg]


class _Words:
    """Keys with their vectors (n, D) float32, and how often each was seen, if that is known."""

    def __init__(self, keys: Sequence[Any], vectors: npt.NDArray[np.float32], counts: Any) -> None:
        self.keys, self.vectors = list(keys), vectors
        self.counts = np.zeros(len(self.keys), np.int64) if counts is None else counts

    def __len__(self) -> int:
        return len(self.keys)


def written(vocabulary: Vocabulary) -> list[str]:
    """The known categories as text, by code: as they are exported, before anything is escaped."""
    keys = vocabulary.to_table()["category"].combine_chunks()
    return texts_of(keys.slice(FIRST, len(vocabulary))).to_pylist()


def texts_of(categories: pa.Array) -> pa.Array:
    """Categories of any type as text, null where they are."""
    if pa.types.is_timestamp(categories.type):
        days = categories.cast(pa.date32(), safe=False)
        if days.cast(categories.type).equals(categories):
            return days.cast(pa.large_string())
        return pc.strftime(categories, "%Y-%m-%dT%H:%M:%S").cast(pa.large_string())
    return categories.cast(pa.large_string())


def _all_of(words: _Words, name: str, family: str) -> ColumnVectors:
    """Every word as a category."""
    values = words.keys
    if family != "text":
        values = [_read(name, str(key), family) for key in words.keys]
    vocabulary, codes = Vocabulary.learn(one_column(name, values))
    if len(vocabulary) < len(words):
        raise InputError(f"two vectors are of one category of column {name!r}, or one is of none")
    counts = np.zeros(vocabulary.n_codes, np.int64)
    counts[codes] = words.counts
    return _filled(replace(vocabulary, stored_counts=counts), codes, words.vectors)


def _matched(words: _Words, name: str, categories: Any) -> tuple[ColumnVectors, dict[str, Any]]:
    """Vectors for the categories wanted, and what did not match."""
    if isinstance(categories, ColumnVectors):
        vocabulary = replace(categories.vocabulary, name=name)
    else:
        vocabulary, _ = Vocabulary.learn(_values(name, categories))
    place = {str(key): i for i, key in enumerate(words.keys)}
    texts = written(vocabulary)
    found = np.array([place.get(text, -1) for text in texts], np.int64)
    known = found >= 0
    if not known.any():
        raise InputError(
            f"no vector is of a category of column {name!r}: keys are {some(words.keys)},"
            f" categories {some(texts)}"
        )
    codes = np.flatnonzero(known) + FIRST
    column = _filled(vocabulary, codes, words.vectors[found[known]])
    missing = [text for text, has in zip(texts, known.tolist(), strict=True) if not has]
    extra = sorted(set(place) - set(texts))
    _warn(name, len(texts), missing, extra)
    lists = {"missing": missing, "extra": extra}
    counted = {f"n_{kind}": len(listed) for kind, listed in lists.items()}
    return column, counted | {kind: listed[:LISTED] for kind, listed in lists.items()}


def _values(name: str, categories: Any) -> Column:
    return one_column(name, list(categories) if isinstance(categories, range) else categories)


def _filled(vocabulary: Vocabulary, codes: np.ndarray, vectors: np.ndarray) -> ColumnVectors:
    """A column whose rows `codes` have these vectors, the others none."""
    table = np.zeros((vocabulary.n_codes, vectors.shape[1]), np.float32)
    table[codes] = vectors
    return untargeted_column(vocabulary, table)


def _warn(name: str, n: int, missing: list[str], extra: list[str]) -> None:
    said = []
    if missing:
        said.append(f"{len(missing)} of {n} categories have no vector ({some(missing)})")
    if extra:
        said.append(f"{len(extra)} vectors are of no category ({some(extra)})")
    if said:
        message = f"column {name!r}: {'; '.join(said)}"
        warnings.warn(message, CatvecWarning, stacklevel=users_stacklevel())


def _read(name: str, text: str, family: str) -> Any:
    """A key as a value of a family."""
    if family == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    # Python reads 1_0 as 10.
    numeric = () if "_" in text else (int, float)
    readers = {"number": numeric, "date": (datetime.fromisoformat,), "boolean": ()}
    for reader in readers[family]:
        with contextlib.suppress(ValueError):
            return reader(text)
    raise InputError(f"the key {text!r} of column {name!r} is no {family}")


def _gensim() -> Any:
    try:
        from gensim import models
    except ImportError as error:
        raise MissingDependencyError("to_gensim needs gensim: pip install gensim") from error
    return models


# --- files ------------------------------------------------------------------------------


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} is not in the format of word2vec: {error}") from error


def _sizes(path: Path, file: BinaryIO) -> tuple[int, int]:
    """The numbers of words and of dimensions, with which the file begins."""
    head = file.readline(100).split()
    if len(head) != 2 or not all(part.isdigit() for part in head) or int(head[1]) < 1:
        raise InputError(
            f"{str(path)!r} must begin with the numbers of words and of dimensions, as word2vec"
            " writes them; is it a file of vectors?"
        )
    n, dim = int(head[0]), int(head[1])
    if 2 * n * dim > path.stat().st_size:  # a number has two bytes at least
        raise ValueError(f"it is too short for {n} words of {dim} numbers")
    return n, dim


def _read_text(file: BinaryIO, n: int, dim: int) -> tuple[list[str], npt.NDArray[np.float32]]:
    keys, vectors = [], np.empty((n, dim), np.float32)
    for i in range(n):
        parts = file.readline().decode().rstrip("\r\n ").rsplit(" ", dim)
        if len(parts) != dim + 1:
            raise ValueError(f"line {i + 2} must hold a word and {dim} numbers")
        keys.append(parts[0])
        vectors[i] = parts[1:]
    return keys, vectors


def _read_binary(file: BinaryIO, n: int, dim: int) -> tuple[list[str], npt.NDArray[np.float32]]:
    keys, vectors, content, at = [], np.empty((n, dim), np.float32), file.read(), 0
    for i in range(n):
        end = content.index(b" ", at)
        keys.append(content[at:end].lstrip(b"\n").decode())
        at = end + 1 + 4 * dim
        vectors[i] = np.frombuffer(content[end + 1 : at], "<f4")
    return keys, vectors
