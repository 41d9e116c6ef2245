"""Cross-fitted rows of a table that is larger than memory: Parquet in, Parquet out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from catvec.errors import InputError
from catvec.estimators._dealing import Split
from catvec.estimators._encoded_columns import EncodedColumns
from catvec.estimators._learning import averaged_scores
from catvec.estimators._streaming import StreamedLearner
from catvec.estimators._training_set import network_inputs
from catvec.frames import Arrays, Schema, row_keys
from catvec.frames._chunk import Chunk
from catvec.network import Hiding, Network
from catvec.vectors import CategoryVectors


def some_unknown(arrays: Arrays, schema: Schema, share: float, drawn: np.ndarray) -> Arrays:
    """Rows with this share of the categories unknown; `drawn` is a number in [0, 1) by row."""
    hiding = Hiding(share, [v.n_codes for v in schema.vocabularies])
    return schema.hidden(arrays, hiding.cells(drawn))


@dataclass(frozen=True, eq=False)
class Encoding:
    """What encodes the rows of some blocks.

    Attributes
    ----------
    vectors : CategoryVectors
    networks : sequence of Network
        Whose scores are written; none for none.
    """

    vectors: CategoryVectors
    networks: Sequence[Network]


@dataclass(frozen=True, eq=False)
class RowEncoder:
    """Encodes the rows of a table, each by the fold that did not learn from it.

    Attributes
    ----------
    learner : StreamedLearner
    encodings : list of (Split, Encoding)
        By fold.
    unmet : tuple of ndarray
        Encoded row and scores for rows that no fold encodes.
    columns : EncodedColumns
        What is written.
    category_dropout : float
        Share of the categories that are taken for unknown, as networks see them in training.
    """

    learner: StreamedLearner
    encodings: list[tuple[Split, Encoding]]
    unmet: tuple[np.ndarray, np.ndarray]
    columns: EncodedColumns
    category_dropout: float

    def rows(self, chunk: Chunk) -> np.ndarray:
        """The encoded rows of a chunk.

        Parameters
        ----------
        chunk : Chunk

        Returns
        -------
        ndarray of shape (n_rows, n_features), float64
        """
        reader, deal, schema = self.learner.reader, self.learner.deal, self.learner.schema
        arrays = self._some_unknown(schema.with_pair_codes(reader.arrays(chunk)), chunk.start)
        places = reader.places(deal, chunk)
        encoded, scores = (np.repeat(part, len(arrays), axis=0) for part in self.unmet)
        for (_, test), encoding in self.encodings:
            mine = np.flatnonzero(np.isin(places, test))
            some = arrays.take(mine)
            encoded[mine] = self.columns.encode(encoding.vectors, some)
            if encoding.networks:
                inputs = network_inputs(self.learner.training.schema, some)
                scores[mine] = averaged_scores(encoding.networks, inputs)
        return self.columns.beside(encoded, arrays, scores)

    def _some_unknown(self, arrays: Arrays, start: int) -> Arrays:
        if not self.category_dropout:
            return arrays
        schema, seed = self.learner.training.schema, self.learner.seed
        drawn = row_keys(start, len(arrays), seed + 2) / 2.0**64
        return some_unknown(arrays, schema, self.category_dropout, drawn)

    def tables(self, names: Sequence[str], kept: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
        """The table's rows in their order: columns that are kept, then encoded ones.

        Parameters
        ----------
        names : sequence of str
            Of the encoded columns.
        kept : mapping of str to pyarrow.DataType
            Columns of the source, as `copied_types` tells them.

        Returns
        -------
        iterator of pyarrow.Table
            Chunk by chunk.
        """
        source = self.learner.table.source
        wanted = list(dict.fromkeys([*self.learner.roles.names, *kept]))
        for chunk in source.chunks(wanted):
            yield beside(chunk.copied(kept), names, self.rows(chunk))


def beside(kept: pa.Table, names: Sequence[str], matrix: np.ndarray) -> pa.Table:
    """Columns that are kept, then those of a matrix."""
    taken = [name for name in kept.column_names if name in names]
    if taken:
        raise InputError(f"the column {taken[0]!r} cannot be kept: an encoded column has that name")
    columns = {name: kept[name] for name in kept.column_names}
    return pa.table(columns | {name: pa.array(matrix[:, i]) for i, name in enumerate(names)})
