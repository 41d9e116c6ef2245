"""The fits of ``catvec fit``: of the model, and of its training rows encoded without themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from catvec.cli._fit_page import Fit
from catvec.cli._predict import write_rows
from catvec.cli._progress import EpochProgress
from catvec.cli._source_training import SourceTraining
from catvec.cli._training_table import Roles, TrainingTable
from catvec.frames._files import TableFile
from catvec.frames._source import SourceFile

if TYPE_CHECKING:
    from catvec.estimators import EmbeddingEncoder
    from catvec.estimators._predictors import EmbeddingPredictor
    from catvec.estimators._source_table import Workspace


def work_on(
    file: TableFile | SourceFile,
    roles: Roles,
    data: TrainingTable | SourceTraining,
    parameters: dict[str, Any],
    progress: EpochProgress,
    start: float,
    path: str,
) -> Work:
    """The fits on a table, wherever it is.

    Parameters
    ----------
    file, roles, data
        The table as it was opened, what its columns are, and what was read.
    parameters : dict
        Of all fits.
    progress : EpochProgress
        Where epochs are told.
    start : float
        When the command began, in seconds.
    path : str
        Where the model goes.

    Returns
    -------
    Work
    """
    if isinstance(file, SourceFile):
        from catvec.estimators._source_table import Workspace

        workspace = Workspace(f"{path}.cache")
        return SourceWork(file, roles, data, parameters, progress, start, workspace)
    return Work(file, roles, data, parameters, progress, start)


@dataclass(frozen=True)
class Work:
    """The fits of the command, on the same rows and with the same parameters."""

    file: TableFile
    roles: Roles
    data: TrainingTable
    parameters: dict[str, Any]
    progress: EpochProgress
    start: float

    def done(self, path: str, encoded_out: str | None) -> Fit:
        """Fit the model, save it, and write the encoded rows if they are wanted."""
        model = self.fitted()
        if encoded_out is not None:
            self.write_encoded(model, encoded_out)
        model.save(path)
        took = time.perf_counter() - self.start
        return Fit(self.file, self.roles, self.data, model, path, encoded_out, took)

    def fitted(self) -> EmbeddingPredictor:
        """A model that predicts the target."""
        from catvec.estimators import EmbeddingClassifier, EmbeddingRegressor

        is_number = self.data.task in ("regression", "count")
        kind: Any = EmbeddingRegressor if is_number else EmbeddingClassifier
        model = kind(
            columns=self.data.categorical,
            callback=self.progress.epoch,
            compare_init=self.parameters["init"] is not None,
            **self.parameters,
        )
        self._fit(model)
        return model

    def write_encoded(self, model: EmbeddingPredictor, out: str) -> None:
        """Write the rows encoded by fits without them, in the basis of the model's vectors.

        In these `catvec encode` answers new rows. Rows that only decided when to stop are encoded
        by the fit on all others.
        """
        encoder = self._encoder(model)
        write_rows(self.file, self.data.rows, self.roles.keep, self._encoded(encoder), out)

    def _fit(self, model: EmbeddingPredictor) -> None:
        model.fit(*self._rows(), **self._splits())

    def _encoder(self, model: EmbeddingPredictor) -> EmbeddingEncoder:
        from catvec.estimators import EmbeddingEncoder

        shared = {k: v for k, v in self.parameters.items() if k != "effect_networks"}
        encoder = EmbeddingEncoder(
            columns=self.data.categorical,
            task=self.data.task,
            **shared,
            output="both",
            joint_score=False,
            category_codes=False,
            callback=lambda epoch: self.progress.epoch(epoch, "encoding the rows"),
        )
        encoder._model = model  # `catvec encode` is to answer from its artifact alone
        return encoder

    def _encoded(self, encoder: EmbeddingEncoder) -> dict[str, Any]:
        matrix = encoder.fit_transform(*self._rows(), **self._splits())
        names = encoder.get_feature_names_out().tolist()
        held_out = self.data.held_out
        if held_out is not None:
            train, matrix = matrix, np.empty((len(held_out), len(names)))
            matrix[~held_out] = train
            matrix[held_out] = encoder.transform(self._features(held_out))
        return {name: matrix[:, i] for i, name in enumerate(names)}

    def _rows(self) -> tuple[Any, Any]:
        held_out = self.data.held_out
        if held_out is None:
            return self.data.rows.select(self.data.features), self.data.y
        return self._features(~held_out), self.data.y[~held_out]

    def _splits(self) -> dict[str, Any]:
        held_out = self.data.held_out
        of_rows = {"groups": self.data.groups, "sample_weight": self.data.weight}
        if held_out is None:
            return of_rows
        train = {name: v if v is None else v[~held_out] for name, v in of_rows.items()}
        return {
            **train,
            "X_val": self._features(held_out),
            "y_val": self.data.y[held_out],
        }

    def _features(self, mask: np.ndarray) -> Any:
        return self.data.rows.select(self.data.features).filter(mask)


@dataclass(frozen=True)
class SourceWork(Work):
    """The same for a table that is larger than memory, with a cache beside the model.

    A command that was killed goes on, begun again, where the training was: the workspace of each
    fit stays until all are done.
    """

    workspace: Workspace

    def done(self, path: str, encoded_out: str | None) -> Fit:
        """As `Work.done`; then there is nothing to go on with."""
        done = False
        try:
            fit = super().done(path, encoded_out)
            done = True
            return fit
        finally:
            self.workspace.end(done=done)

    def write_encoded(self, model: EmbeddingPredictor, out: str) -> None:
        """As `Work.write_encoded`."""
        encoder = self._encoder(model)
        encoder.fit_encode(self._source(), **self._named("rows"), out=out, keep=self.roles.keep)

    def _fit(self, model: EmbeddingPredictor) -> None:
        model.fit(self._source(), **self._named("model"))

    def _source(self) -> Any:
        assert isinstance(self.data, SourceTraining)
        return self.data.source

    def _named(self, part: str) -> dict[str, Any]:
        roles = self.roles
        of_rows = {"groups": roles.groups, "sample_weight": roles.weight}
        return {"y": roles.target, **of_rows, "cache": self.workspace.part(part)}
