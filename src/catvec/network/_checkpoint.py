"""Where a long training keeps its state, to go on after it was killed as if nothing had been."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catvec.errors import InputError
from catvec.frames._files import replacing
from catvec.network._kernels import Array

__all__ = ["Checkpoint", "Kept"]

CHECKPOINT_ROWS = 4_000_000
"""Training rows between two checkpoints: ten to twenty seconds of work."""


@dataclass(frozen=True)
class Kept:
    """The state of a training.

    Attributes
    ----------
    arrays : list of array
        What training changes.
    record : mapping
        Numbers, as JSON holds them.
    """

    arrays: list[Array]
    record: Mapping[str, Any]


class Checkpoint:
    """The file of one network's state: replaced in one step, so there is always a whole one.

    Parameters
    ----------
    path : Path
        The file.
    every : int
        Training rows from one to the next.
    """

    def __init__(self, path: Path, every: int | None = None) -> None:
        self.path = path
        self.every = CHECKPOINT_ROWS if every is None else every
        self._n_rows = 0

    def is_due(self, n_rows: int) -> bool:
        """Whether it is time, after so many rows more."""
        self._n_rows += n_rows
        if self._n_rows < self.every:
            return False
        self._n_rows = 0
        return True

    def save(self, arrays: Sequence[Array], record: Any) -> None:
        """Replace the state.

        Raises
        ------
        InputError
            If the disk refuses; the last state is then still there.
        """
        named = {f"array_{i}": array for i, array in enumerate(arrays)}
        text = np.array(json.dumps(record))
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, record=text, **named)

    def load(self) -> Kept | None:
        """The state, if there is one.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file, np.load(file) as stored:
                n_arrays = sum(name.startswith("array_") for name in stored.files)
                arrays = [stored[f"array_{i}"] for i in range(n_arrays)]
                return Kept(arrays, json.loads(str(stored["record"])))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"the checkpoint {str(self.path)!r} cannot be read ({error}); remove it to begin"
                " anew"
            ) from error
