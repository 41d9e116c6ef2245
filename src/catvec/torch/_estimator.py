"""Fitted estimators as modules, and back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from catvec._checks import check_int, refuse
from catvec.errors import InputError
from catvec.frames import FULL, Schema, open_frame
from catvec.frames._numbers import CLIP
from catvec.torch._constants import WithConstants
from catvec.torch._embedding import CategoryEmbedding
from catvec.torch._embeddings import CategoryEmbeddings
from catvec.torch._knots import KnotGrid
from catvec.torch._losses import mean_of, row_losses
from catvec.torch._network import NetworkModule
from catvec.torch._tables import array_of, check_numbers, checked_codes
from catvec.torch._training import choose_device
from catvec.vectors import CategoryVectors, ColumnVectors, align, stretch

__all__ = ["EstimatorModule", "from_estimator", "to_estimator", "to_vectors"]


class EstimatorModule(nn.Module):
    """A fitted estimator's networks with all that is before and behind them; see `from_estimator`.

    Numbers come as they are in the table: scaling, flags for missing ones and places on knots are
    part of the module, so that an exported one needs nothing but codes.

    Attributes
    ----------
    networks : ModuleList of NetworkModule
        Their scores are averaged.
    columns : tuple of str
        Columns (and pairs, ``Store*DayOfWeek``) that have codes, in the order of `x_cat`.
    numbers : tuple of str
        Numeric columns, in the order of `x_num`.

    Shape
    -----
    Input: x_cat, integers of shape (B, C); x_num, float64 or float32 of shape (B, N), NaN where
    missing; `inputs` makes both from a table. It refuses infinite numbers, which are taken here for
    the largest there are.
    Output: (B, n_outputs), scores on the link scale: a regression's in the units of the target,
    log-odds of the second class, a score by class, the logarithm of a count.
    """

    def __init__(self, estimator: Any) -> None:
        schema: Schema = estimator.schema_
        super().__init__()
        self.schema = schema
        self.columns = (
            *schema.categorical_names,
            *(pair.name for pair in schema.pairs),
        )
        self.numbers = tuple(number.name for number in schema.numbers)
        self.loss_name: str = _loss_name(estimator)
        self.quantile: float | None = estimator.quantile
        self.networks = nn.ModuleList(
            NetworkModule.from_network(network, self.columns[: len(network.config.n_codes)])
            for network in estimator.networks_
        )
        self.scaling = NumberScaling(schema)
        # Not tensors, which `module.to(torch.bfloat16)` would round.
        self.center, self.scale = float(estimator.target_.center), float(estimator.target_.scale)
        self._vectors: CategoryVectors = estimator.vectors_
        self._tables = self._turned_tables()
        self._estimator = copy.copy(estimator)  # the given one may learn on and grow

    @property
    def members(self) -> list[NetworkModule]:
        """The networks, as what they are to a type checker."""
        return cast("list[NetworkModule]", list(self.networks))

    def inputs(self, X: object) -> tuple[Tensor, Tensor]:
        """Codes and numbers of a table.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            With the columns of the training table.

        Returns
        -------
        x_cat : tensor of shape (n_rows, C), int64
        x_num : tensor of shape (n_rows, N), float64
            On the module's device.

        Raises
        ------
        InputError
            If a column is missing or of another type, or a category unknown and the estimator has
            ``handle_unknown="error"``.
        """
        frame = open_frame(X)
        if self._estimator.handle_unknown == "error":
            self.schema.check_known(frame)
        arrays = self.schema.read(frame)
        device = self.scaling.centers.device
        codes = torch.from_numpy(arrays.codes.astype(np.int64))
        return codes.to(device), torch.from_numpy(arrays.values).to(device)

    def forward(self, x_cat: Tensor, x_num: Tensor | None = None) -> Tensor:
        """Scores (B, n_outputs) on the link scale, a regression's in the units of the target."""
        scores = self._scores(x_cat, x_num)
        # Half precision has no digits for units such as 1,000,000 plus or minus 1.
        return self._in_units(scores).to(torch.promote_types(scores.dtype, torch.float32))

    def loss(self, x_cat: Tensor, x_num: Tensor | None, y: Tensor) -> Tensor:
        """Mean loss of rows: what the estimator minimised, without its prior.

        Parameters
        ----------
        x_cat, x_num : tensors of shape (B, C) and (B, N)
            As `forward` takes them.
        y : tensor of shape (B,)
            Targets: measures in their units, counts, or numbers of the classes in ascending order.

        Returns
        -------
        tensor of shape ()
            A regression's on the target divided by its standard deviation.

        Raises
        ------
        InputError
            If there are no rows, or `y` is not of shape (B,): one of shape (B, 1) would be taken
            for a table.
        """
        n_rows = len(checked_codes(x_cat, len(self.columns)))
        shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        if shape != (n_rows,):
            raise InputError(f"y must be a tensor of shape ({n_rows},), got {shape}")
        if not n_rows:
            raise InputError("the mean loss of no rows is no number; leave out empty batches")
        target = ((y.double() - self.center) / (self.scale or 1.0)).float()
        return row_losses(self.loss_name, self.quantile)(self._scores(x_cat, x_num), target).mean()

    @torch.no_grad()
    def predict(self, X: object, chunk_size: int = 65_536) -> np.ndarray:
        """Predict rows of a table, without dropout.

        Parameters
        ----------
        X : DataFrame, pyarrow.Table, mapping of columns, or array-like of shape (n_rows, n_columns)
            With the columns of the training table.
        chunk_size : int, default=65536
            Rows computed at once.

        Returns
        -------
        ndarray of shape (n_rows,), float64
            What a regressor predicts; for classes probabilities, of shape (n_rows, n_classes).

        Raises
        ------
        InputError
            If a column is missing or of another type.
        ParameterError
            If `chunk_size` is below 1.
        """
        check_int("chunk_size", chunk_size, minimum=1)
        x_cat, x_num = self.inputs(X)
        was_training = self.training
        self.eval()
        parts = zip(x_cat.split(chunk_size), x_num.split(chunk_size), strict=True)
        scores = torch.cat([self._in_units(self._scores(*part)) for part in parts])
        self.train(was_training)
        mean = mean_of(self.loss_name, scores).cpu().numpy()
        binary = self.loss_name == "logistic"
        return np.column_stack([1 - mean, mean]) if binary else np.asarray(mean)

    def _scores(self, x_cat: Tensor, x_num: Tensor | None) -> Tensor:
        """Mean of the networks' scores, as they were trained: of a standardised target."""
        codes = checked_codes(x_cat, len(self.columns))
        check_numbers("x_num", x_num, len(self.numbers), self.numbers, n_rows=codes.shape[0])
        if x_num is None:
            x_num = codes.new_zeros(codes.shape[0], 0).double()
        dense, positions = self.scaling(x_num)
        scores = [network(codes, dense, positions) for network in self.networks]
        return torch.stack(scores).mean(0)

    def _moved_vectors(self) -> CategoryVectors:
        """See `to_vectors`."""
        moved = []
        for name, before, now in zip(
            self._vectors, self._tables, self._turned_tables(), strict=True
        ):
            vectors, counts = _with_counts(self._vectors[name])
            # Vectors that were held while the networks learned are larger or smaller than there.
            times = stretch([before], vectors, counts)
            moved.append((vectors + times * (now - before)).astype(np.float32))
        return _replaced(self._vectors, moved)

    def _turned_tables(self) -> list[np.ndarray]:
        """By column the mean of the networks' tables, each turned to where the vectors lie."""
        found = []
        for c, name in enumerate(self._vectors):
            learned = [network for network in self.members if not network.config.sees_effects]
            tables = [array_of(network.embeddings.table(c)) for network in learned]
            turned = [align(table, *_with_counts(self._vectors[name])) for table in tables]
            found.append(np.asarray(np.mean(turned, axis=0, dtype=np.float64)))
        return found

    def _in_units(self, scores: Tensor) -> Tensor:
        """Scores in the units of the target, float64."""
        return scores.double() * self.scale + self.center


class NumberScaling(WithConstants):
    """Numeric columns as networks take them: `catvec.frames.Number` by tensor operations.

    Parameters
    ----------
    schema : Schema
        What was learned of the columns.
    """

    centers: Tensor
    scales: Tensor
    flagged: Tensor
    knotted: Tensor
    loadings: Tensor
    partners: Tensor
    lines: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        numbers, minor = schema.numbers, schema.minor_components
        knotted = [i for i, number in enumerate(numbers) if len(number.knots)]
        with_knots = [numbers[i] for i in knotted]
        self.grid = KnotGrid([n.knots for n in with_knots], [n.has_missing for n in with_knots])
        for name, values, dtype in (
            ("centers", [n.center for n in numbers], torch.float64),
            ("scales", [n.scale for n in numbers], torch.float64),
            ("flagged", [i for i, n in enumerate(numbers) if n.has_missing], torch.long),
            ("knotted", knotted, torch.long),
            ("loadings", minor.loadings, torch.float64),
            ("partners", minor.partners, torch.long),
            ("lines", minor.lines.T, torch.float64),
        ):
            self.hold(name, torch.tensor(values, dtype=dtype, device="cpu"), None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Dense numbers as `Schema.dense` has them, and places on knots (B, M), both float32."""
        x = x.to(self.centers.dtype)
        z = torch.nan_to_num((x - self.centers) / self.scales, nan=0.0)
        scaled = _bent(z).float()
        flags = x.index_select(1, self.flagged).isnan()
        parts = [scaled, flags.float()]
        if len(self.loadings):
            parts.append(self._components(scaled.to(x.dtype), x.isnan()))
        return torch.cat(parts, 1), self.grid(x.index_select(1, self.knotted))

    def _components(self, scaled: Tensor, missing: Tensor) -> Tensor:
        """See `MinorComponents.of`."""
        start, slope = self.lines
        told = start + slope * scaled.index_select(1, self.partners)
        by_partner = missing & ~missing.index_select(1, self.partners)
        return _bent(torch.where(by_partner, told, scaled) @ self.loadings).float()


def _bent(z: Tensor) -> Tensor:
    """Smoothly clipped, as `catvec.frames` does it."""
    return z / torch.hypot(torch.ones_like(z), z / CLIP)


def from_estimator(estimator: Any, *, device: str = "cpu") -> EstimatorModule:
    """Turn a fitted estimator into a module that predicts what it predicts.

    Parameters
    ----------
    estimator : EmbeddingRegressor, EmbeddingClassifier or EmbeddingEncoder
        Fitted. Of an encoder: the network of its joint score, which of more than two classes is the
        logarithm of the softmax of what the module gives.
    device : str, default="cpu"
        Where the module is to be; ``"auto"`` is CUDA where there is one.

    Returns
    -------
    EstimatorModule
        In evaluation mode, with weights of its own: training it does not change the estimator.

    Raises
    ------
    ParameterError
        If the estimator has no networks: it is not fitted, or an encoder of effects only. Or if it
        has columns of lists, or hashed, composed or shared tables, which the module does not have.

    Examples
    --------
    >>> from catvec import EmbeddingRegressor
    >>> from catvec.torch import from_estimator
    >>> X = {"city": ["Bern", "Rome", "Bern", "Rome"] * 25}
    >>> model = EmbeddingRegressor(random_state=0).fit(X, [1.0, 3.0, 1.5, 3.5] * 25)
    >>> module = from_estimator(model)
    >>> bool(abs(module.predict(X) - model.predict(X)).max() < 1e-5)
    True
    """
    if not getattr(estimator, "networks_", None):
        raise refuse(
            "estimator", "fitted, with networks (an encoder with `joint_score=True`)", estimator
        )
    schema: Schema = estimator.schema_
    columns = zip(schema.vocabularies, schema.kinds, strict=False)
    if strange := [vocabulary.name for vocabulary, kind in columns if kind != FULL]:
        must = "without columns of lists, or of hashed, composed or shared tables"
        raise refuse("estimator", must, strange)
    return EstimatorModule(estimator).to(choose_device(device)).eval()


def to_estimator(module: EstimatorModule) -> Any:
    """Turn a module of `from_estimator` back into an estimator, with the weights it has now.

    Parameters
    ----------
    module : EstimatorModule
        Perhaps trained further.

    Returns
    -------
    EmbeddingRegressor, EmbeddingClassifier or EmbeddingEncoder
        A fitted one of the class it came from: columns, categories, counts and effects are those of
        its own fit; networks and ``vectors_`` are the module's. Scores and importances that were
        measured before are left out, since nobody measured them since. It answers `drift_report`,
        but no `partial_fit`: optimizers know nothing of networks that were trained elsewhere.

    Raises
    ------
    ParameterError
        If `module` is not of `from_estimator`.
    """
    if not isinstance(module, EstimatorModule):
        raise refuse("module", "a module of `catvec.torch.from_estimator`", module)
    estimator = copy.copy(module._estimator)
    estimator.networks_ = [network.to_network() for network in module.members]
    estimator.vectors_ = to_vectors(module)
    for name in ("validation_scores_", "column_importances_"):
        if hasattr(estimator, name):
            setattr(estimator, name, {})
    if estimator._continuation is not None:  # what optimizers know is of the fit's own networks
        estimator._continuation = replace(estimator._continuation, learned=[])
    return estimator


def to_vectors(module: nn.Module) -> CategoryVectors:
    """The vectors that a module has now, by category, with the effects and counts of before.

    Parameters
    ----------
    module : EstimatorModule, CategoryEmbeddings or CategoryEmbedding
        Of `from_estimator`, or of `from_vectors`: others do not know their categories. Of an
        estimator its `vectors_` of when the module was made, moved as the networks' tables have
        moved since, on average; turns and shifts of a whole table say nothing and are left out.

    Returns
    -------
    CategoryVectors

    Raises
    ------
    ParameterError
        If the module does not know its categories.
    """
    if isinstance(module, EstimatorModule):
        return module._moved_vectors()
    if isinstance(module, CategoryEmbeddings) and module.category_vectors is not None:
        own = [array_of(module.table(c)) for c in range(len(module.names))]
        return _replaced(module.category_vectors, own)
    if isinstance(module, CategoryEmbedding) and module.column_vectors is not None:
        column = module.column_vectors
        return CategoryVectors([_with_vectors(column, array_of(module.weight))])
    raise refuse(
        "module", "a module of `from_estimator` or `from_vectors`, which knows categories", module
    )


def _replaced(vectors: CategoryVectors, arrays: Sequence[np.ndarray]) -> CategoryVectors:
    columns = [_with_vectors(vectors[name], own) for name, own in zip(vectors, arrays, strict=True)]
    return CategoryVectors(columns, pairs=list(vectors.pairs.values()), metadata=vectors.metadata)


def _with_counts(column: ColumnVectors) -> tuple[np.ndarray, np.ndarray]:
    """Vectors by code, and how many rows each stands for."""
    return column.by_code()[0], column.vocabulary.counts


def _with_vectors(column: ColumnVectors, vectors: np.ndarray) -> ColumnVectors:
    _, effects, confidences = column.by_code()
    return column._with(column.vocabulary, vectors, effects, confidences)


def _loss_name(estimator: Any) -> str:
    """What a predictor minimised; an encoder keeps no note of it but in its parameters and task."""
    if hasattr(estimator, "loss_"):
        return str(estimator.loss_)
    by_task = {"binary": "logistic", "multiclass": "softmax", "count": "poisson"}
    named = estimator.loss != "auto"
    return str(estimator.loss) if named else by_task.get(estimator.target_.task, "squared")
