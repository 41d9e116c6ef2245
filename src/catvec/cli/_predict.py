"""``catvec predict`` and ``catvec encode``: rows in, rows out, with a saved model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catvec.cli import _options as options
from catvec.cli._console import Output, plural, warn
from catvec.cli._places import STREAM, open_input, started
from catvec.errors import InputError
from catvec.frames import Codes, Lists, open_frame
from catvec.frames._files import TableFile, write_csv, write_table, write_tables
from catvec.frames._pairs import codes_met
from catvec.frames._source import SourceFile
from catvec.vectors import CategoryVectors, codes_of, read_artifact

if TYPE_CHECKING:
    from catvec.estimators import EmbeddingEncoder
    from catvec.estimators._predictors import EmbeddingPredictor


def predict(
    table: options.Table,
    model: options.Model,
    out: options.RowsOut,
    keep: options.Keep = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Predict the target of new rows.

    Writes the column `prediction`; for classes also `probability_CLASS` for each. Categories that
    were not seen in training are answered from the prior.

    [bold]Example:[/bold] catvec predict new.csv --model sales.catvec --out predicted.csv
    """
    output = started(quiet, json, "--out", out)
    file = open_input(table, out, model=model)
    estimator = load_predictor(model)
    written = _Rows(file, families_of_model(estimator), keep or [], out)
    written.write(lambda rows: _predictions(estimator, rows))
    _say_written(output, written)


def encode(
    table: options.Table,
    model: options.Model,
    out: options.RowsOut,
    keep: options.Keep = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Replace the categories of new rows by their effects, confidences and vectors.

    Numeric columns of the model follow as they are. Never train a model on the training table
    encoded by this command: its effects have seen the target. `catvec fit --encoded-out` writes
    rows for that.

    [bold]Example:[/bold] catvec encode new.parquet --model sales.catvec --out encoded.parquet
    """
    output = started(quiet, json, "--out", out)
    file = open_input(table, out, model=model)
    encoder = load_encoder(model)
    families = encoder.families
    written, met = _Rows(file, families, keep or [], out), _Met(encoder.vectors)
    written.write(lambda rows: encoder.encode(rows, met))
    if met.as_in_training:
        warn(
            f"{file.label} looks like the training table (the same rows by category), whose effects"
            " and vectors have seen its target; to train another model on it, use the rows of"
            " `catvec fit --encoded-out` instead"
        )
    _say_written(output, written)


# --- in ---------------------------------------------------------------------------------


def load_predictor(path: str) -> EmbeddingPredictor:
    """The model at `path`, of whatever class."""
    from catvec.estimators import EmbeddingClassifier, EmbeddingRegressor
    from catvec.estimators._files import load

    return load(path, [EmbeddingRegressor, EmbeddingClassifier])


@dataclass(frozen=True)
class Encoder:
    """What encodes rows; without any training code, unless an encoder was saved.

    Attributes
    ----------
    vectors : CategoryVectors
        What to write for categories.
    numbers : list of str
        Numeric columns: a saved encoder reads them, and decides; else they follow as they are.
    lists : list of str
        Columns whose cells are lists.
    output : {"both", "effects", "vectors"}
        What of the vectors to write.
    estimator : EmbeddingEncoder or None
        The saved encoder, where it writes more than the vectors hold.
    """

    vectors: CategoryVectors
    numbers: list[str]
    lists: list[str]
    output: str
    estimator: EmbeddingEncoder | None

    @property
    def families(self) -> dict[str, Collection[str]]:
        """As `families_of_vectors`, of what is read."""
        return families_of_vectors(self.vectors, self.numbers)

    def encode(self, rows: Any, met: _Met) -> dict[str, Any]:
        """Encoded rows, column by column; their categories are counted."""
        frame = open_frame(rows)
        for name in self.lists:
            frame.list_column(name)  # refuses other cells, which may hold categories elsewhere
        codes = [codes_of(frame, self.vectors[name]) for name in self.vectors]
        first = [_first(seen) for seen in codes]
        met.add(first)
        if self.estimator is not None:
            encoded = self.estimator.transform(rows)
            return dict(zip(self.estimator.get_feature_names_out(), encoded.T, strict=True))
        of_column = {
            name: codes_met(self.vectors[name].vocabulary, seen)
            for name, seen in zip(self.vectors, first, strict=True)
        }
        for pair in (effects.pair for effects in self.vectors.pairs.values()):
            codes.append(pair.encode(of_column[pair.first], of_column[pair.second]))
        matrix = self.vectors.encode_codes(codes, frame.n_rows, output=self.output, pairs=True)
        names = self.vectors.get_feature_names_out(output=self.output, pairs=True).tolist()
        taken = sorted({*names} & {*self.numbers})
        if taken:
            raise InputError(f"an encoded column would be called {taken[0]!r}, as a numeric one is")
        columns: dict[str, Any] = {name: matrix[:, i] for i, name in enumerate(names)}
        return columns | {name: frame.column(name).floats() for name in self.numbers}


def _first(codes: Codes) -> np.ndarray:
    """One code by row, that of the first hash function; of lists those of all elements."""
    if isinstance(codes, Lists):
        return codes.codes
    return codes if codes.ndim == 1 else codes[:, 0]


def load_encoder(path: str) -> Encoder:
    """What encodes, of a saved model, a saved encoder, or saved vectors."""
    model = read_artifact(path).schema.get("model") or {}
    parameters, kind = model.get("parameters", {}), model.get("class")
    schema, vectors = model.get("schema", {}), CategoryVectors.load(path)
    kinds = zip(vectors, schema.get("kinds", []), strict=False)  # none where all tables are full
    return Encoder(
        vectors,
        [number["name"] for number in schema.get("numbers", [])],
        [name for name, (kind, _) in kinds if kind == "list"],
        parameters.get("output", "vectors" if kind == "EmbeddingPretrainer" else "both"),
        _load_estimator(path, model),
    )


def _load_estimator(path: str, model: dict[str, Any]) -> EmbeddingEncoder | None:
    if model.get("class") != "EmbeddingEncoder":
        return None
    from catvec.estimators import EmbeddingEncoder

    return EmbeddingEncoder.load(path)


def families_of_vectors(
    vectors: CategoryVectors, numbers: Sequence[str]
) -> dict[str, Collection[str]]:
    """The columns a model reads, and which families of keys each held in training."""
    columns = [vectors[name] for name in vectors]
    families: dict[str, Collection[str]] = {c.name: c.vocabulary.families for c in columns}
    of_lists = [c.list_weights for c in columns if c.list_weights is not None]
    return families | {name: ("number",) for name in [*numbers, *of_lists]}


def families_of_model(estimator: EmbeddingPredictor) -> dict[str, Collection[str]]:
    """As `families_of_vectors`, of a whole model."""
    numbers = [number.name for number in estimator.schema_.numbers]
    return families_of_vectors(estimator.vectors_, numbers)


@dataclass
class _Rows:
    """Rows of a command: read in parts where the table is large, and written as they come."""

    file: TableFile
    families: Mapping[str, Collection[str]]
    keep: Sequence[str]
    out: str
    n_rows: int = 0
    names: list[str] = field(default_factory=list)

    def write(self, columns_of: Callable[[pa.Table], dict[str, Any]]) -> None:
        """Write kept columns, then those that are made of the rows."""
        tables = (self._table(rows, columns_of(rows)) for rows in self._parts())
        if self.out == STREAM:
            self.n_rows = write_csv(tables, sys.stdout.buffer)
        else:
            self.n_rows = write_tables(tables, self.out)

    def _parts(self) -> Iterator[pa.Table]:
        parts = filter(len, self._read())
        first = next(parts, None)
        if first is None:
            raise InputError("the table has no rows")
        yield first
        yield from parts

    def _read(self) -> Iterator[pa.Table]:
        if isinstance(self.file, SourceFile):
            yield from self.file.parts(list(self.families), self.keep)
            return
        columns = list(dict.fromkeys([*self.families, *self.keep]))
        yield self.file.read(columns, families=self.families)

    def _table(self, rows: pa.Table, columns: dict[str, Any]) -> pa.Table:
        self.names = list(columns)
        return beside(self.file, rows, self.keep, columns)


class _Met:
    """How often the categories of encoded rows were met, to tell the training table.

    Parameters
    ----------
    vectors : CategoryVectors
        With the counts of the training.
    """

    def __init__(self, vectors: CategoryVectors) -> None:
        self._has_target = any(vectors[name].confidences.any() for name in vectors)
        self._trained = [vectors[name].vocabulary.counts for name in vectors]
        self._met = [np.zeros(len(counts), np.int64) for counts in self._trained]

    def add(self, codes: Sequence[np.ndarray]) -> None:
        """Count the codes of some rows, column by column."""
        for met, seen in zip(self._met, codes, strict=True):
            met += np.bincount(seen, minlength=len(met))

    @property
    def as_in_training(self) -> bool:
        """Whether every category of every column was met exactly as often as in training."""
        pairs = zip(self._met, self._trained, strict=True)
        return self._has_target and all(np.array_equal(met, counts) for met, counts in pairs)


# --- columns ----------------------------------------------------------------------------


def _predictions(estimator: EmbeddingPredictor, rows: pa.Table) -> dict[str, Any]:
    if not hasattr(estimator, "predict_proba"):
        return {"prediction": estimator.predict(rows)}
    probabilities = estimator.predict_proba(rows)
    classes = estimator.classes_
    columns = {"prediction": classes[probabilities.argmax(axis=1)]}
    return columns | {f"probability_{c}": probabilities[:, i] for i, c in enumerate(classes)}


# --- out --------------------------------------------------------------------------------


def write_rows(
    file: TableFile, rows: pa.Table, keep: Sequence[str], columns: Mapping[str, Any], out: str
) -> None:
    """Write kept columns, then new ones, to a file or to standard output."""
    table = beside(file, rows, keep, columns)
    if out == STREAM:
        write_csv([table], sys.stdout.buffer)
    else:
        write_table(table, out)


def beside(
    file: TableFile, rows: pa.Table, keep: Sequence[str], columns: Mapping[str, Any]
) -> pa.Table:
    """Kept columns, then new ones."""
    taken = [name for name in keep if name in columns]
    if taken:
        raise InputError(
            f"the column {taken[0]!r} of {file.label} cannot be kept: a column of the result has"
            " that name"
        )
    kept = {name: _decoded(rows[name]) for name in keep}
    return pa.table(
        kept | {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    )


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column that is kept: text as text, not as a dictionary."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column


def _say_written(output: Output, rows: _Rows) -> None:
    if rows.out != STREAM:
        output.line(f"wrote {plural(rows.n_rows, 'row')} to {rows.out}")
    output.result({"rows": rows.n_rows, "out": rows.out, "columns": rows.names})
