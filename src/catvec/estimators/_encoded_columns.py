"""The columns that an encoder writes: which, in what order, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from catvec._checks import repeated, some
from catvec.errors import InputError
from catvec.frames import Arrays, Schema
from catvec.vectors import CategoryVectors, features_of, parts_of


@dataclass(frozen=True, eq=False)
class EncodedColumns:
    """What is written of each column and pair, then codes, joint scores and numbers.

    Attributes
    ----------
    schema : Schema
        The columns of the table.
    vectors : CategoryVectors
        Of the fit on all rows.
    output : {"both", "effects", "vectors"}
        What is written of each column.
    coded : tuple of int
        Numbers of the categorical columns whose codes follow.
    scores : tuple of str
        Names of the joint scores.
    passthrough : bool
        Whether numbers come last.
    """

    schema: Schema
    vectors: CategoryVectors
    output: str
    coded: tuple[int, ...]
    scores: tuple[str, ...]
    passthrough: bool

    @property
    def of_codes(self) -> range:
        """The places of the codes."""
        first = len(self.vectors.get_feature_names_out(output=self.output, pairs=True))
        return range(first, first + len(self.coded))

    def names(self, called: Mapping[str, str] | None = None) -> list[str]:
        """Names of what is written.

        Parameters
        ----------
        called : mapping of str to str, optional
            Other names of columns of the table.

        Returns
        -------
        list of str
        """
        new = {name: (called or {}).get(name, name) for name in self.schema.names}
        for pair in self.schema.pairs:
            new[pair.name] = f"{new[pair.first]}*{new[pair.second]}"
        names = [
            f"{new[part.name]}_{feature}"
            for part in parts_of(self.vectors)
            for feature in features_of(part, self.output)
        ]
        names += [f"{new[self.schema.vocabularies[c].name]}_code" for c in self.coded]
        return [*names, *self.scores, *(new[name] for name in self._numbers)]

    def refuse_clashes(self) -> None:
        """Say clearly which names are those of columns of the table, too, or come twice.

        Raises
        ------
        InputError
        """
        names, taken = self.names(), self.schema.names if len(self.vectors) else ()
        clash = [name for name in names if name in taken and name not in self._numbers]
        twice = repeated(names)
        if clash or twice:
            like = "columns of the table are" if clash else "others are, too"
            raise InputError(
                f"encoded columns would be called {some(clash or twice)}, as {like}; rename columns"
                " of the table"
            )

    def encode(self, vectors: CategoryVectors, arrays: Arrays) -> np.ndarray:
        """What is written of columns and pairs, by these vectors: those of all rows or of a fold.

        Parameters
        ----------
        vectors : CategoryVectors
        arrays : Arrays
            n rows.

        Returns
        -------
        ndarray of shape (n, n_features), float32
        """
        codes = self.schema.by_column(arrays)
        return vectors.encode_codes(codes, len(arrays), output=self.output, pairs=True)

    def beside(self, encoded: np.ndarray, arrays: Arrays, scores: np.ndarray) -> np.ndarray:
        """All columns of some rows.

        Parameters
        ----------
        encoded : ndarray of shape (n, n_features)
            As `encode` gives it.
        arrays : Arrays
            The same rows.
        scores : ndarray of shape (n, n_outputs)
            The networks'; n_outputs is 0 where none are written.

        Returns
        -------
        ndarray of shape (n, n_columns), float64
            So that a number that is passed through stays what it was.
        """
        if scores.shape[1] > 1:  # what networks add to the scores of all classes says nothing
            scores = log_softmax(scores, axis=1)
        parts = [encoded, arrays.codes[:, list(self.coded)], scores]
        parts += [arrays.values] if self.passthrough else []
        return np.concatenate(parts, axis=1, dtype=np.float64)

    @property
    def _numbers(self) -> list[str]:
        return [number.name for number in self.schema.numbers] if self.passthrough else []
