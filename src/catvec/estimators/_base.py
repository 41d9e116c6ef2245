"""What the encoder and the predictors have in common: fitting, reading tables, saving."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from catvec._checks import check_float, check_option, refuse, users_stacklevel
from catvec.errors import InputError, ParameterError
from catvec.estimators import _files
from catvec.estimators._choice import Choice
from catvec.estimators._drift import column_drift, effect_shifts
from catvec.estimators._drift_report import DriftReport
from catvec.estimators._growth import (
    Continuation,
    check_given,
    grown_vectors,
    learn_further,
    refuse_fixed,
    refuse_lists,
    refuse_without,
    statistics_by_code,
)
from catvec.estimators._learning import Committee, Learner
from catvec.estimators._parameters import SharedParameters, check_parameters, draw_seed
from catvec.estimators._source_table import SourceTable, opened
from catvec.estimators._training_set import TrainingSet, read_further_rows, read_training_set
from catvec.estimators._transfer import WITHOUT_INIT, benefit, check_transfer
from catvec.frames import Arrays, Frame, Schema, Target, grow_schema, open_frame
from catvec.network import Network
from catvec.vectors import CategoryVectors
from catvec.vectors._storage import PathLike

EXISTING = ("trained", "frozen")


class EmbeddingEstimator(SharedParameters):
    """Base of the estimators. Subclasses say their `losses` and their task."""

    losses: ClassVar[Sequence[str]]
    schema_: Schema
    target_: Target
    choice_: Choice
    networks_: list[Network]
    _continuation: Continuation | None = None  # what `partial_fit` goes on from
    _vectors: CategoryVectors | None = None
    _vectors_are_old = False  # whether rows were learned since
    _coded: Sequence[str] = ()  # columns whose codes an encoder writes, however they grow
    _model: EmbeddingEstimator | None = None  # fitted to the same rows by the same parameters:
    # an encoder takes its choices, and writes rows in the basis of its vectors

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
        vocabulary_counts: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
    ) -> Self:
        """Learn from a table; a fit that fails, or is stopped, leaves the estimator as it was.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            The training table. Or one that need not fit into memory: a Parquet file, a folder or a
            pattern of them (``"sales/*.parquet"``), or frames one after the other; then `y`,
            `sample_weight` and `groups` are names of columns.
        y : array-like of shape (n_rows,), or str
            The target: numbers, or labels of any one type; not negative for counts. Or the name of
            its column.
        sample_weight : array-like of shape (n_rows,), or str, optional
            Weights, in rows: a row of weight 2 counts as two. Weights that add up to 1 would say
            that there is one row, from which nothing can be believed.
        groups : array-like of shape (n_rows,), or str, optional
            Rows of a group stay together in every split; with `time_column` they stand where the
            group ends. By default rows side by side do where they are alike beyond what their
            columns say, else rows equal but for the target where nearly all are distinct; a number
            for each row parts them all. Missing values are one group.
        X_val, y_val : table and array-like, optional
            Rows to choose by, instead of some of the training rows.
        vocabulary_counts : mapping of str to table, optional
            By column a table with the columns ``category`` and ``count``, as a database makes it:
            its categories are taken from there, and others are unknown.
        cache : path, optional
            A folder for what a fit to a table larger than memory has on disk. It stays if the fit
            is killed, and the same fit begun again goes on from there; after the fit it is
            removed. By default a temporary folder.

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
        data = dict(sample_weight=sample_weight, groups=groups, X_val=X_val, y_val=y_val)
        counts = vocabulary_counts
        with opened(self, X, y, data, vocabulary_counts=counts, cache=cache) as (X, y, data):
            with self._whole():
                self._fit(X, y, **data)
        return self

    def partial_fit(
        self,
        X: object,
        y: object = None,
        *,
        sample_weight: object = None,
        classes: object = None,
        existing: str = "trained",
        half_life: float | None = None,
        vectors: CategoryVectors | None = None,
    ) -> Self:
        """Learn further rows, and the categories that they bring.

        The first call on an estimator that is not fitted is a `fit`, by whose rows everything is
        chosen that is "auto"; give it enough of them.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            Further rows, few or many, with the columns of the training table.
        y : array-like of shape (n_rows,)
            Their target.
        sample_weight : array-like of shape (n_rows,), optional
            Weights, in rows, as in `fit`.
        classes : array-like, optional
            All labels that will ever come, for a target of classes. By default those of the first
            call; labels that it did not know are an error later.
        existing : {"trained", "frozen"}, default="trained"
            What becomes of the vectors of categories that are known. ``"frozen"``: they stay
            bit-identical, as do the weights of the networks, so that rows of known categories and
            combinations are answered as before; only vectors are learned that are new since the
            last `fit`, or `partial_fit` without it.
        half_life : float, optional
            After how many rows a row weighs half in effects and confidences, the later rows of a
            frame being the younger ones; the networks then learn on faster. By default nothing is
            forgotten. Counts of `vectors_` are of all rows ever seen.
        vectors : CategoryVectors, optional
            Where new categories start that it knows, by column name; of the widths of this model.
            They are turned to where the networks have the categories that both know, so those of
            another fit will do. Not used by the first call.

        Returns
        -------
        EmbeddingEncoder, EmbeddingClassifier or EmbeddingRegressor
            Itself. New categories have the next codes, and started at the prior: by vectors and
            effects that answered unknown ones. Effects, confidences and counts are those of a fit
            on all rows so far. Each network passed over the rows once. Vectors stay in their basis.
            What only a fit can tell stays as it was: the choices, the scaling and the knots of
            numbers and of the target, validation scores, importances.

        Raises
        ------
        InputError
            If the table or the target do not fit what was learned; nothing has then changed.
        ParameterError
            If a parameter is out of range, or the model lacks what a fit leaves behind.
        TrainingError
            If the loss becomes infinite.
        """
        check_option("existing", existing, EXISTING)
        if half_life is not None:
            check_float("half_life", half_life, minimum=0.0, strict=True)
        if getattr(self, "class_weight", None) == "balanced":
            raise refuse("class_weight", "a mapping or None for partial_fit", "balanced")
        if not hasattr(self, "schema_"):
            with self._whole():
                self._fit(X, y, sample_weight=sample_weight, classes=classes)
            return self
        self._check_further(classes, vectors)
        assert self._continuation is not None
        frame = self._opened(X)
        values, weight = read_further_rows(
            frame,
            y,
            self.target_,
            sample_weight=sample_weight,
            class_weight=getattr(self, "class_weight", None),
        )
        growth = grow_schema(self.schema_, frame, min_frequency=self.min_frequency)
        frozen = existing == "frozen"
        if frozen and not self._continuation.is_frozen:  # what was learned until now is what stays
            self.vectors_  # noqa: B018
        target = self.target_.with_spread(values, weight)
        state = learn_further(
            self,
            growth,
            target,
            values,
            weight,
            frozen=frozen,
            half_life=half_life,
            given=vectors,
        )
        self.schema_, self.target_, self._continuation = growth.schema, target, state
        if self.networks_:
            self.networks_ = [one.network for one in state.learned]
        self._vectors_are_old = True
        return self

    def drift_report(
        self,
        X: object,
        y: object = None,
        *,
        sample_weight: object = None,
        alpha: float = 0.01,
    ) -> DriftReport:
        """Tell what a later table holds that the training table did not.

        By column: categories never met and those that came no more, with their shares of the rows,
        and how far all shares have changed; with a target also the effects that moved. Numeric
        columns and pairs are not looked at, and models with columns of lists have no report.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            Later rows, with the columns of the training table. It changes nothing in the model.
        y : array-like of shape (n_rows,), optional
            Their target.
        sample_weight : array-like of shape (n_rows,), optional
            Weights made as those of the fit were, for target and effects; in any unit. Without
            them, rows that the fit weighed by something that goes with the target look as if they
            had drifted. Classes are weighed by `class_weight` in any case; where that is
            ``"balanced"``, here as there all classes have the same share. Categories are counted
            by rows.
        alpha : float, default=0.01
            How often a table without drift may be said to have drifted, in (0, 1), by any column,
            test or effect.

        Returns
        -------
        DriftReport

        Raises
        ------
        InputError
            If a column is missing or of another type, or target or weights do not fit.
        ParameterError
            If `alpha` is out of range, a column holds lists, weights come without a target, or
            effects are asked for of a model that an older catvec saved.
        """
        check_is_fitted(self)
        check_float("alpha", alpha, minimum=0.0, maximum=1.0, strict=True)
        frame = self._opened(X)
        schema = self.schema_
        refuse_lists(schema)
        if y is None and sample_weight is not None:
            raise ParameterError("`sample_weight` is for the target: give y, too")
        columns = tuple(
            column_drift(vocabulary, column, alpha, len(schema.vocabularies))
            for vocabulary, column in zip(
                schema.vocabularies, schema.categorical(frame), strict=True
            )
        )
        if y is None:
            return DriftReport(frame.n_rows, alpha, columns)
        refuse_without(self._continuation, [])
        state = self._continuation
        assert state is not None
        values, weight = read_further_rows(
            frame,
            y,
            self.target_,
            sample_weight=sample_weight,
            class_weight=getattr(self, "class_weight", None),
        )
        mean_weight = state.statistics.totals[0] / state.n_rows
        before = statistics_by_code(state, schema).times(1 / mean_weight)
        shifts, overall = effect_shifts(
            schema, self.target_, self.vectors_, before, schema.read(frame), values, weight, alpha
        )
        return DriftReport(frame.n_rows, alpha, columns, shifts, *overall)

    def _check_further(self, classes: object, vectors: CategoryVectors | None) -> None:
        """Refuse to go on from this fit where it cannot be, or with such vectors or classes."""
        check_parameters(self, self.losses)
        if self.transfer_report_ is not None:
            raise ParameterError(
                "partial_fit cannot go on from a fit with `init`: it would draw vectors to the"
                " column's centre, and no longer to those given; fit all rows anew"
            )
        refuse_without(self._continuation, self.networks_)
        refuse_fixed(self.schema_)
        check_given(vectors, self.schema_, self.choice_.dims)
        self._check_classes(classes)

    def _check_classes(self, classes: object) -> None:
        if classes is None:
            return
        known = self.target_.classes
        try:
            alike = known is not None and np.array_equal(np.unique(np.asarray(classes)), known)
        except TypeError:  # of several types
            alike = False
        if not alike:
            shown = None if known is None else known.tolist()
            raise refuse("classes", f"those of the first call ({shown}) or None", classes)

    @property
    def vectors_(self) -> CategoryVectors:
        """Effects, vectors and counts by column; after `partial_fit` made when they are asked for.

        So a stream of small frames does not pay for tables that nobody looks at in between.
        """
        if self._vectors is None:
            raise AttributeError(f"this {type(self).__name__} has no vectors_: it is not fitted")
        if self._vectors_are_old:
            assert self._continuation is not None
            self._vectors = grown_vectors(
                self._continuation, self.schema_, self.target_, self._vectors
            )
            self._vectors_are_old = False
        return self._vectors

    @vectors_.setter
    def vectors_(self, vectors: CategoryVectors) -> None:
        self._vectors, self._vectors_are_old = vectors, False

    def _fit(self, X: object, y: object, **data: Any) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """A fit that fails or is stopped leaves what was fitted before, and nothing of its own.

        Networks of one fit would else be asked by the codes of another.
        """
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _trains(self, training: TrainingSet) -> bool:  # noqa: ARG002
        """Whether networks are wanted, for which something is to be chosen."""
        return True

    def _prepare(
        self,
        X: object,
        y: object,
        *,
        n_fits: int = 1,
        seed: int | None = None,
        effect_networks: bool = False,
        **data: Any,
    ) -> Learner:
        """Check the parameters, read the table, choose what is "auto"; sets what that tells."""
        check_parameters(self, self.losses)
        check_transfer(self)
        learner: Learner
        choice = None if self._model is None else self._model.choice_
        if seed is None:
            seed = draw_seed(self.random_state)
        if isinstance(X, SourceTable):
            if self.init is not None:
                raise refuse(
                    "init", "None where rows stay on disk; read them into memory", self.init
                )
            from catvec.estimators._streaming import StreamedLearner

            data |= dict(task=self._task(), n_fits=n_fits, choice=choice)
            learner = StreamedLearner(self, X, seed, **data)
        else:
            training = read_training_set(self, X, y, task=self._task(), **data)
            n_fits = n_fits if self._trains(training) else 0
            learner = Learner(
                self,
                training,
                seed,
                n_fits=n_fits,
                choice=choice,
                effect_networks=effect_networks,
            )
        names = learner.training.schema.names
        self.n_features_in_ = len(names)
        if learner.training.schema.named:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        training = learner.training  # with the pairs that were chosen
        self.schema_, self.target_, self.choice_ = training.schema, training.target, learner.choice
        transfer = training.transfer
        self.transfer_report_ = None if transfer is None else transfer.report()
        return learner

    def _compare(
        self, X: object, y: object, learner: Learner, committee: Committee, **data: Any
    ) -> None:
        """Note what `init` gains: the same fit without it, on the same rows, judged by the same."""
        if self.transfer_report_ is None or not self.compare_init:
            return
        # Not by `clone`, which would copy the callback, too.
        bare = type(self)(**self.get_params(deep=False))
        bare.set_params(init=None, **WITHOUT_INIT, n_networks=learner.n_networks)
        alone = bare._prepare(X, y, seed=learner.seed, **data)
        (other,) = alone.committees([alone.everything])
        losses = [[one.held_out_loss for one in c.trained] for c in (committee, other)]
        self.transfer_report_["benefit"] = benefit(*losses)

    def _read(self, X: object) -> Arrays:
        """The rows of another table, by what `fit` learned of its columns."""
        check_is_fitted(self)
        frame = self._opened(X)
        if self.handle_unknown == "error":
            self.schema_.check_known(frame)
        return self.schema_.read(frame)

    def _opened(self, X: object) -> Frame:
        frame = open_frame(X)
        if self.schema_.named and not frame.named:
            warnings.warn(
                f"X does not have valid feature names, but {type(self).__name__} was fitted with"
                " feature names; its columns are taken by position",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
        if frame.n_rows == 0:
            # scikit-learn's wording, which its checks look for.
            raise InputError(
                f"Found array with 0 sample(s) (shape=(0, {len(frame.names)})) while a minimum of 1"
                " is required."
            )
        return frame

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
