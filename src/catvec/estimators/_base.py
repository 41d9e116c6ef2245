"""What the encoder and the predictors have in common: fitting, reading tables, saving."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from catvec.estimators import _files
from catvec.estimators._learning import Learner
from catvec.estimators._parameters import SharedParameters, check_parameters
from catvec.estimators._training_set import TrainingSet, read_training_set
from catvec.frames import Arrays, open_frame
from catvec.vectors._storage import PathLike


class EmbeddingEstimator(SharedParameters):
    """Base of the estimators. Subclasses say their `losses` and their task."""

    losses: ClassVar[Sequence[str]]

    def _task(self) -> str:
        raise NotImplementedError

    def fit(
        self,
        X: object,
        y: object = None,
        *,
        sample_weight: object = None,
        groups: object = None,
        X_val: object = None,
        y_val: object = None,
    ) -> Self:
        """Learn from a table.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            The training table.
        y : array-like of shape (n_rows,)
            The target: numbers, or labels of any one type; not negative for counts.
        sample_weight : array-like of shape (n_rows,), optional
            Weights, in rows: a row of weight 2 counts as two. Weights that add up to 1 would say
            that there is one row, from which nothing can be believed.
        groups : array-like of shape (n_rows,), optional
            Rows of a group stay together in every split.
        X_val, y_val : table and array-like, optional
            Rows to decide by when to stop, instead of some of the training rows.

        Returns
        -------
        EmbeddingEncoder, EmbeddingClassifier or EmbeddingRegressor
            Itself.

        Raises
        ------
        InputError
            If the table or the target do not fit; the message names column, values and remedy.
        ParameterError
            If a parameter is out of range.
        TrainingError
            If the loss becomes infinite.
        """
        self._fit(X, y, sample_weight=sample_weight, groups=groups, X_val=X_val, y_val=y_val)
        return self

    def _fit(self, X: object, y: object, **data: Any) -> None:
        raise NotImplementedError

    def _trains(self, training: TrainingSet) -> bool:  # noqa: ARG002
        """Whether networks are wanted, for which something is to be chosen."""
        return True

    def _prepare(
        self, X: object, y: object, *, n_fits: int = 1, **data: Any
    ) -> tuple[TrainingSet, Learner]:
        """Check the parameters, read the table, choose what is "auto"; sets what that tells."""
        check_parameters(self, self.losses)
        frame, training = read_training_set(self, X, y, task=self._task(), **data)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        learner = Learner(self, training, seed, n_fits=n_fits if self._trains(training) else 0)
        self.n_features_in_ = len(frame.names)
        if frame.named:
            self.feature_names_in_ = np.asarray(frame.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        training = learner.training  # with the pairs that were chosen
        self.schema_, self.target_, self.choice_ = training.schema, training.target, learner.choice
        return training, learner

    def _read(self, X: object) -> Arrays:
        """The rows of another table, by what `fit` learned of its columns."""
        check_is_fitted(self)
        frame = open_frame(X)
        if self.schema_.named and not frame.named:
            warnings.warn(
                f"X does not have valid feature names, but {type(self).__name__} was fitted with"
                " feature names; its columns are taken by position",
                UserWarning,
                stacklevel=3,
            )
        if frame.n_rows == 0:
            # scikit-learn's wording, which its checks look for.
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {len(frame.names)})) while a minimum of 1"
                " is required."
            )
        if self.handle_unknown == "error":
            self.schema_.check_known(frame)
        return self.schema_.read(frame)

    def save(self, path: PathLike) -> None:
        """Save as a folder that `load`, `CategoryVectors.load` and any Parquet reader open.

        Parameters that JSON cannot hold (functions, splitters, random states) are saved as their
        defaults.

        Parameters
        ----------
        path : str or path-like
            The folder, by custom ending in ``.catvec``; an artifact there is replaced in one step.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.
        ArtifactError
            If something else lies there, or the disk refuses; what was there is then unchanged.
        """
        check_is_fitted(self)
        _files.save(self, path)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Load what `save` saved.

        Parameters
        ----------
        path : str or path-like
            The folder.

        Returns
        -------
        EmbeddingEncoder, EmbeddingClassifier or EmbeddingRegressor
            Of this class, fitted; it answers as the saved one did, bit for bit.

        Raises
        ------
        ArtifactError
            If there is no artifact, it is damaged, or holds another kind of estimator.
        ArtifactVersionError
            If a newer catvec wrote it.
        """
        estimator = _files.load(path, [cls])
        assert isinstance(estimator, cls)
        return estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags
