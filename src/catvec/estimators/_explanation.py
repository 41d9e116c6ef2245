"""What each column adds to each prediction, and what the model loses without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from catvec._checks import repeated, some
from catvec.errors import InputError
from catvec.estimators._training_set import TrainingSet, network_inputs
from catvec.frames import Schema, Target, plain_labels, to_dataframe
from catvec.network import (
    Inputs,
    Loss,
    Network,
    NetworkConfig,
    attribute,
    further_columns,
    load_kernels,
)

MOST_ROWS = 8192  # held out by all networks, shuffles counted, that importances look at
FEWEST_ROWS = 512  # of a network, by which nothing is lost: calling the network costs more
MOST_SHUFFLES = 5  # of a column, where few rows are held out


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each column adds to each prediction, on the link scale.

    ``base + contributions.sum(axis=1) + residual`` are the predictions: of a regression in the
    target's units, of two classes as the log-odds of the second, of more classes as a score by
    class, of counts as their logarithm.

    Attributes
    ----------
    base : float or ndarray of shape (n_classes,), float64
        Prediction for a row about which nothing is known: all categories unknown, all numbers
        at their centre and unknown to their knots.
    contributions : ndarray of shape (n_rows, n_columns) or (n_rows, n_columns, n_classes), float64
        What each column adds to it.
    columns : tuple of str
        The columns, in the order of the training table.
    residual : ndarray of shape (n_rows,) or (n_rows, n_classes), float64
        What base and contributions leave of the prediction: the rounding of float32 products, on
        the link scale about 1e-6 (of the target's standard deviation for a regression).
    classes : ndarray of shape (n_classes,) or None
        Labels, where contributions are by class.
    """

    base: float | np.ndarray
    contributions: np.ndarray
    columns: tuple[str, ...]
    residual: np.ndarray
    classes: np.ndarray | None = None

    def to_frame(self, kind: str | None = None) -> Any:
        """The contributions as a dataframe.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, optional
            What to make; by default the first of these that is installed.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            A row by row and a column by column of the table; ``<column>_<class>`` where
            contributions are by class.

        Raises
        ------
        MissingDependencyError
            If the package asked for is not installed.
        InputError
            If two columns and classes would give one name.
        """
        values = self.contributions
        if self.classes is None:
            names, flat = list(self.columns), values
        else:
            labels = plain_labels(self.classes)
            names = [f"{column}_{label}" for column in self.columns for label in labels]
            flat = values.reshape(len(values), -1)
        if twice := repeated(names):
            raise InputError(
                f"contributions would be called {some(twice)} twice; rename a column of the table,"
                " or take them from `contributions`"
            )
        table = pa.Table.from_arrays([pa.array(flat[:, i]) for i in range(len(names))], names)
        return to_dataframe(table, kind)


@dataclass(frozen=True)
class Place:
    """Where a column of the user's table lies in the networks' inputs.

    Attributes
    ----------
    name : str
        The column; none of a minor component.
    codes, numbers, positions, looks : tuple of int
        Its columns of the arrays of `Inputs` with these names.
    lists : tuple of int
        Its place among the list columns.
    """

    name: str
    codes: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()
    lists: tuple[int, ...] = ()


def find_places(schema: Schema) -> list[Place]:
    """Where the columns lie that the model sees, in the order of the training table."""
    further = further_columns(schema.kinds)
    places = {}
    for c, vocabulary in enumerate(schema.vocabularies):
        looks = [len(schema.n_codes) + i for i, owner in enumerate(further) if owner == c]
        kind = schema.kind_of(c)
        lists = (kind.number,) if kind.name == "list" else ()
        places[vocabulary.name] = Place(vocabulary.name, codes=(c,), looks=(c, *looks), lists=lists)
    with_flag = [number for number in schema.numbers if number.has_missing]
    with_knots = [number for number in schema.numbers if len(number.knots)]
    for i, number in enumerate(schema.numbers):
        flag = [len(schema.numbers) + with_flag.index(number)] if number.has_missing else []
        knots = [with_knots.index(number)] if len(number.knots) else []
        places[number.name] = Place(number.name, (), (i, *flag), tuple(knots))
    return [places[name] for name in schema.names if name in places]


def explain(
    networks: Sequence[Network], schema: Schema, target: Target, inputs: Inputs, n_jobs: int
) -> Explanation:
    """Explain the mean of the networks' predictions; see `EmbeddingPredictor.explain`."""
    places = find_places(schema)
    shares = [_shares(places, schema, network.config) for network in networks]
    base, parts, scores = attribute(networks, inputs, shares, n_jobs=n_jobs)
    residual = scores - base - parts.sum(axis=1)
    if target.classes is None:
        for array in (base, parts, residual):
            array *= target.scale
        base += target.center
    columns = tuple(place.name for place in places)
    if target.task == "multiclass":
        return Explanation(base, parts, columns, residual, target.classes)
    return Explanation(float(base[0]), parts[:, :, 0], columns, residual[:, 0])


def _shares(places: Sequence[Place], schema: Schema, config: NetworkConfig) -> np.ndarray:
    """Which column each input of the network belongs to, (W, C): vectors, then dense numbers.

    What a pair says belongs half to either of its columns, what a minor component says by
    `MinorComponents.shares` to the numbers that it is made of.
    """
    owners = np.zeros((len(config.n_rows) + config.n_numbers, len(places)), np.float32)
    for column, place in enumerate(places):
        owners[list(place.codes), column] = 1
        owners[[len(config.n_codes) + m for m in place.positions], column] = 1
        owners[[len(config.n_rows) + i for i in place.numbers], column] = 1
        for p, pair in enumerate(schema.pairs[: config.n_pairs], len(schema.vocabularies)):
            owners[p, column] = 0.5 * (place.name in (pair.first, pair.second))
    of_components = _component_shares(places, schema)
    owners[len(owners) - len(of_components) :] = of_components
    return np.repeat(owners, [*config.dims, *config.knot_dims, *[1] * config.n_numbers], axis=0)


def _component_shares(places: Sequence[Place], schema: Schema) -> np.ndarray:
    """What part of each minor component belongs to each column (n_components, C)."""
    minor, names = schema.minor_components, [place.name for place in places]
    shares = np.zeros((len(minor), len(places)))
    if minor:
        shares[:, [names.index(number.name) for number in schema.numbers]] = minor.shares.T
    return shares


# --- importances ------------------------------------------------------------------------


def column_importances(
    training: TrainingSet,
    networks: Sequence[Network],
    held_out: Sequence[np.ndarray] | None,
    loss: Loss,
    seed: int,
    engine: str,
) -> dict[str, float]:
    """By how much the held-out loss grows when the values of a column are shuffled.

    Permutation importance (Breiman 2001, Machine Learning 45, section 10) on rows that the
    network did not train on. The rows are as many as make all columns together cost at most half
    a pass of predictions over the training rows, a few hundredths of what training costs.

    Minor components are shuffled apart from the numbers that they are made of, and belong to these
    by their shares: one of two prices that are nearly the same, taken from another row alone, would
    differ from the other as in no row.

    Parameters
    ----------
    training : TrainingSet
        The rows of the fit.
    networks : sequence of Network
        The trained networks.
    held_out : sequence of ndarray, int64, or None
        By network the rows it held out; None where the user gave rows, or none were.
    loss : Loss
        What was minimised.
    seed : int
        Of the sample of rows and of the shuffling.
    engine : str
        Which trained the networks; its loops look vectors up.

    Returns
    -------
    dict of str to float
        By column, in the order of the table; empty where no rows were held out.
    """
    places = find_places(training.schema)
    if not places or (held_out is None and training.held_out is None):
        return {}
    of_components, n_dense = _component_shares(places, training.schema), training.schema.n_dense
    components = [Place("", numbers=(i,)) for i in range(n_dense - len(of_components), n_dense)]
    everything = [*places, *components]
    most = min(MOST_ROWS // len(networks), len(training) // (2 * len(everything)))
    most = max(most, FEWEST_ROWS)
    growth, kernels = np.zeros(len(everything)), load_kernels(engine)
    for i, network in enumerate(networks):
        rng = np.random.default_rng([seed, 3, i])
        rows = None if held_out is None else held_out[i]
        sample = _sample(training, rows, most, rng)
        shuffled = _shuffles(len(sample[0]), most, rng)
        predict = partial(network.predict, dtype=np.float32, kernels=kernels)
        growth += _growth(predict, training.schema, everything, loss, sample, shuffled)
    own, growth_of_components = np.split(growth / len(networks), [len(places)])
    means = (own + growth_of_components @ of_components).tolist()
    return {place.name: mean for place, mean in zip(places, means, strict=True)}


Sample = tuple[Inputs, np.ndarray, np.ndarray | None]


def _sample(
    training: TrainingSet, rows: np.ndarray | None, most: int, rng: np.random.Generator
) -> Sample:
    """Inputs, targets and weights of at most so many held-out rows."""
    if rows is None:
        data = training.held_out
        assert data is not None
        rows = _some(np.arange(len(data.inputs)), most, rng)
        weight = None if data.weight is None else data.weight[rows]
        return data.inputs.take(rows), data.target[rows], weight
    rows = _some(rows, most, rng)
    inputs = network_inputs(training.schema, training.arrays.take(rows))
    target = training.target.standardized(training.values[rows])
    return inputs, target, None if training.weight is None else training.weight[rows]


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _shuffles(n_rows: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Orders of the rows, one after the other."""
    n_shuffles = min(MOST_SHUFFLES, max(1, most // max(n_rows, 1)))
    return np.concatenate([rng.permutation(n_rows) for _ in range(n_shuffles)])


def _growth(
    predict: Callable[[Inputs], np.ndarray],
    schema: Schema,
    places: Sequence[Place],
    loss: Loss,
    sample: Sample,
    shuffled: np.ndarray,
) -> np.ndarray:
    """Growth of one network's loss by column."""
    inputs, target, weight = sample
    rows = np.arange(len(shuffled)) % len(inputs)
    target, repeated = target[rows], inputs.take(rows)
    weight = None if weight is None else weight[rows]

    def value(those: Inputs) -> float:
        return loss.value(predict(those), target, weight)

    whole = value(repeated)
    others = (_shuffled(repeated, inputs, schema, place, shuffled) for place in places)
    return np.array([value(other) - whole for other in others])


def _shuffled(
    repeated: Inputs, inputs: Inputs, schema: Schema, place: Place, rows: np.ndarray
) -> Inputs:
    """`repeated` with the values of one place from other rows, also in the pairs of a column."""
    arrays: dict[str, Any] = {"lists": list(repeated.lists)}
    for k in place.lists:
        arrays["lists"][k] = inputs.lists[k].take(rows)
    arrays["lists"] = tuple(arrays["lists"])
    for name in ("codes", "numbers", "positions", "looks"):
        columns = list(getattr(place, name))
        arrays[name] = getattr(repeated, name)
        if columns and arrays[name] is not None:
            arrays[name] = arrays[name].copy()
            arrays[name][:, columns] = getattr(inputs, name)[np.ix_(rows, columns)]
    if place.codes and schema.pairs:
        of_pairs = slice(len(schema.vocabularies), len(schema.n_codes))
        arrays["codes"][:, of_pairs] = schema.pair_codes(arrays["codes"])
        if arrays["looks"] is not None:
            arrays["looks"][:, of_pairs] = arrays["codes"][:, of_pairs]
    return Inputs(**arrays)
