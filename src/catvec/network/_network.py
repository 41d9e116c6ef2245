"""The network: tables, numbers -> interactions -> (linear, norm, ReLU, dropout)* -> linear head."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from catvec._packing import Coordinates, PackedRows
from catvec.frames import Kind
from catvec.network import _kernels
from catvec.network._composition import Composition
from catvec.network._effect_axes import EffectAxis
from catvec.network._hiding import SECOND, Hiding
from catvec.network._inputs import Inputs
from catvec.network._interactions import (
    INTERACTIONS,
    Concatenate,
    FactorizationMachine,
    Product,
    block_layout,
    pair_layout,
)
from catvec.network._kernels import AT, DIM, Array
from catvec.network._layers import EPSILON, Hidden, Linear, Lookup, Parameters
from catvec.network._packed import PackedParameters, PackedTables
from catvec.network._tables import EmbeddingTables

__all__ = ["Network", "NetworkConfig"]


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the shape of a network; `dataclasses.asdict` of it is JSON-able.

    Parameters
    ----------
    n_codes, dims : tuples of int
        Rows and width of the table of each categorical column.
    n_numbers : int
        Dense numbers.
    n_knots, knot_dims : tuples of int
        Knots and width of each knotted number; its table has two rows more.
    hidden_sizes : tuple of int
        Units of each hidden layer; empty for a linear model.
    dropout : float in [0, 1)
        Share of hidden units dropped in training.
    n_outputs : int
        Scores of a row.
    interactions : {"concatenate", "product", "factorization_machine"}
        How vectors of categories meet, see `_interactions`; with fewer than two columns of them
        there is nothing to multiply.
    n_pairs : int
        Tables of pairs of columns, the last of `n_codes`; their vectors are not multiplied again.
    kinds : tuple of Kind
        How the vectors of each categorical column are made; empty where all tables are full.
    batch_norm : bool
        Whether training normalises batches. Without it a layer's running mean and variance stay 0
        and 1, and what is left of the norm is a scale and a shift.
    axes : tuple of EffectAxis
        How the tables of columns and pairs follow from effects; empty where vectors are learned.
    """

    n_codes: tuple[int, ...]
    dims: tuple[int, ...]
    n_numbers: int = 0
    n_knots: tuple[int, ...] = ()
    knot_dims: tuple[int, ...] = ()
    hidden_sizes: tuple[int, ...] = (128, 64)
    dropout: float = 0.1
    n_outputs: int = 1
    interactions: str = "concatenate"
    n_pairs: int = 0
    kinds: tuple[Kind, ...] = ()
    batch_norm: bool = True
    axes: tuple[EffectAxis, ...] = ()

    def __post_init__(self) -> None:
        # JSON brings lists; a config of lists would not equal the one that was saved.
        for name in ("n_codes", "dims", "n_knots", "knot_dims", "hidden_sizes"):
            object.__setattr__(self, name, tuple(int(size) for size in getattr(self, name)))
        object.__setattr__(self, "kinds", tuple(Kind(*kind) for kind in self.kinds))
        axes = tuple(EffectAxis(scale, tuple(ends), n) for scale, ends, n in self.axes)
        object.__setattr__(self, "axes", axes)
        assert self.interactions in INTERACTIONS, self.interactions

    @property
    def sees_effects(self) -> bool:
        """Whether tables follow from effects, and nothing of categories is learned."""
        return bool(self.axes)

    @property
    def meeting_dims(self) -> tuple[int, ...]:
        """Widths of the tables whose vectors may be multiplied."""
        return self.dims[: len(self.dims) - self.n_pairs]

    @property
    def n_inputs(self) -> int:
        """Width of the network's input, without products."""
        return sum(self.dims) + sum(self.knot_dims) + self.n_numbers

    @property
    def pairs(self) -> Array:
        """Layout of the products that the first layer sees; often of none."""
        dims = self.meeting_dims if self.interactions == "product" else ()
        return pair_layout(self.n_codes, dims, self.n_inputs)

    @property
    def n_products(self) -> int:
        """Products that the first layer sees."""
        return int(self.pairs[:, 2].sum())

    @property
    def n_pooled(self) -> int:
        """Sums of products that go straight to the scores."""
        dims = self.meeting_dims if self.interactions == "factorization_machine" else ()
        return max(dims) if len(dims) > 1 else 0

    @property
    def n_rows(self) -> tuple[int, ...]:
        """Rows of each table, categories first, where all of them are full."""
        return self.n_codes + tuple(n + 2 for n in self.n_knots)

    def hiding(self, category_dropout: float) -> Hiding:
        """How often each column, but for pairs, is taken for unknown."""
        n_codes = self.n_codes[: len(self.n_codes) - self.n_pairs]
        return Hiding(category_dropout, n_codes, SECOND if self.sees_effects else 0.0)

    @property
    def composition(self) -> Composition:
        """The tables, and how they are looked up."""
        knot_rows = tuple(n + 2 for n in self.n_knots)
        scratch = self.n_inputs + self.n_products
        kinds, n_codes = self.kinds, self.n_codes
        return Composition(kinds, n_codes, self.dims, knot_rows, self.knot_dims, scratch)


class Network:
    """Tables and weights; `Network.create` makes a new one, `Network.from_state` a saved one.

    Attributes
    ----------
    config : NetworkConfig
    tables : EmbeddingTables
    weights, running : Parameters
        What AdamW trains, and the running mean and variance of batch norm.
    """

    def __init__(self, config: NetworkConfig, dtype: DTypeLike = np.float32) -> None:
        self.config = config
        self._pairs = config.pairs
        self.composition = made = config.composition
        self.tables = EmbeddingTables(
            made.n_rows, made.widths, len(config.n_knots), dtype, made.looks, made.owners
        )
        self.weights: Any = Parameters(_weight_shapes(config), dtype)
        self.running = Parameters(_running_shapes(config), dtype)

    @classmethod
    def create(cls, config: NetworkConfig, seed: int, dtype: DTypeLike = np.float32) -> Network:
        """A new network with random vectors and weights.

        Hidden weights are normal with variance 2 / fan-in (He et al. 2015, arXiv 1502.01852,
        equation 10); the head's are smaller, so that the first scores are about its bias.

        Parameters
        ----------
        config : NetworkConfig
        seed : int
        dtype : dtype
            float32, or float64 to check gradients.
        """
        network = cls(config, dtype)
        rng = np.random.default_rng([seed, 0])
        network.tables.initialize(rng)
        network.composition.initialize(network.tables)
        for i in range(len(config.hidden_sizes)):
            weight = network.weights[f"linear_{i}.weight"]
            weight[...] = rng.standard_normal(weight.shape) * np.sqrt(2 / len(weight))
            network.weights[f"norm_{i}.scale"][...] = 1
            network.running[f"norm_{i}.variance"][...] = 1
        head = network.weights["head.weight"]
        head[...] = rng.standard_normal(head.shape) * (HEAD_GAIN / np.sqrt(len(head)))
        if config.n_pooled:
            network.weights["interactions.weight"][...] = 1
        return network

    @property
    def n_decayed(self) -> int:
        """Weights at the start of the flat buffer that weight decay acts on: the matrices'."""
        return sum(v.size for name, v in self.weights.items() if name.endswith(".weight"))

    def hidden_layers(self, gradients: Parameters) -> list[Hidden]:
        """Layers that train these weights."""
        numbers = range(len(self.config.hidden_sizes))
        rate = self.config.dropout
        return [Hidden(self.weights, gradients, self.running, i, rate) for i in numbers]

    def head(self, gradients: Parameters) -> Linear:
        """The layer that gives the scores."""
        return Linear(self.weights, gradients, "head")

    def lookup(self, inputs: Inputs, *, category_dropout: float = 0.0, **others: Any) -> Lookup:
        """The layer that looks rows up, with room for products; see `Lookup` for the others."""
        n_products = int(self._pairs[:, 2].sum())
        n_knots, made = self.config.n_knots, self.composition
        inputs = inputs.of_columns(len(self.config.n_codes))  # pairs that others see may follow
        if category_dropout:
            others["limits"] = self.config.hiding(category_dropout).limits
        return Lookup(self.tables, inputs, n_knots, n_products, composition=made, **others)

    def packed(self, rows: Mapping[int, PackedRows]) -> Network:
        """The same in few bytes, to predict with; not to be trained on.

        Parameters
        ----------
        rows : mapping of int to PackedRows
            By number of a table its rows. Other tables are kept in half precision, matrices of
            weights in eight bits.

        Returns
        -------
        Network
        """
        packed = copy.copy(self)
        packed.tables = PackedTables(self.tables, rows)
        packed.weights = PackedParameters(self.weights)
        return packed

    def follow(self, effects: Sequence[tuple[Array, Array]]) -> None:
        """Make the tables anew of what effects are by now, in place.

        Parameters
        ----------
        effects : sequence of tuple of array
            By column and pair the effects (n_codes, n_effects) and confidences (n_codes,); there
            may be other codes than before.
        """
        n_codes = tuple(len(confidences) for _, confidences in effects)
        new = Network(replace(self.config, n_codes=n_codes), self.tables.flat.dtype)
        new.weights, new.running = self.weights, self.running
        for m in range(len(self.config.n_knots)):
            new.tables.knot_weight(m)[...] = self.tables.knot_weight(m)
        for c, (axis, of_column) in enumerate(zip(self.config.axes, effects, strict=True)):
            new.tables.weight(c)[...] = axis.table(*of_column)
        vars(self).update(vars(new))

    def metric(self, c: int) -> Array:
        """What errors of a column's vectors count: a matrix (dim, dim), float64.

        An error e of a vector moves what goes into the units of the first layer by as much as
        ``e @ metric`` is long; along directions that the layer hardly sees, a little more.
        """
        start, dim = self.tables.layout[c, [AT, DIM]].tolist()
        slopes = self.folded(np.float64)[0][0][start : start + dim]
        strengths, axes = np.linalg.eigh(slopes @ slopes.T)
        return axes * np.sqrt(np.maximum(strengths, FAINT * strengths.max(initial=0)))

    def vectors(self, c: int) -> Array:
        """Vectors of a column or pair by code (n_codes, dim), composed of what they are made of.

        Those of a hashed column are the buckets'; `importances` has what they are summed by.
        """
        return self.composition.vectors(self.tables, c)

    def importances(self, c: int) -> Array | None:
        """Weights of a column's hash functions by code (n_codes, n_hashes), if it has several."""
        return self.composition.importances(self.tables, c)

    def interaction(self, gradients: Parameters | None = None) -> Concatenate:
        """How vectors meet; to train it, with the gradients of the weights."""
        if len(self._pairs):
            return Product(self._pairs, self.config.n_inputs)
        if not self.config.n_pooled:
            return Concatenate()
        name = "interactions.weight"
        gradient = None if gradients is None else gradients[name]
        return FactorizationMachine(
            block_layout(self.config.meeting_dims), self.weights[name], gradient
        )

    def predict(
        self,
        inputs: Inputs,
        chunk_size: int = 4096,
        dtype: DTypeLike = np.float64,
        kernels: Any = _kernels,
    ) -> Array:
        """Scores on the link scale.

        Parameters
        ----------
        inputs : Inputs
            n rows; none gives an empty result.
        chunk_size : int
            Rows held in memory at once.
        dtype : dtype
            Of the matrix products. In float64 the scores of a row do not depend on the rows
            beside it to about 1e-12.
        kernels : module, default=NumPy's loops
            Those that look vectors up, of an engine whose loops are compiled by now.

        Returns
        -------
        array of shape (n, n_outputs), `dtype`
        """
        layers = self.folded(dtype)
        lookup, interaction = self.lookup(inputs), self.interaction()
        for layer in (lookup, interaction):
            layer.allocate(min(chunk_size, len(inputs)))
        scores = np.empty((len(inputs), self.config.n_outputs), dtype)
        for start in range(0, len(inputs), chunk_size):
            rows = np.arange(start, min(start + chunk_size, len(inputs)), dtype=np.int32)
            lookup.resize(len(rows))
            interaction.resize(len(rows))
            x = interaction.forward(kernels, lookup.forward(kernels, rows))
            x = lookup.seen(x).astype(dtype, copy=False)
            for weight, bias in layers[:-1]:
                x = np.maximum(x @ weight + bias, 0)
            scores[rows] = interaction.add_scores(x @ layers[-1][0] + layers[-1][1])
        return scores

    def folded(self, dtype: DTypeLike) -> list[tuple[Array, Array]]:
        """Weight and bias of each layer, batch norm multiplied into them."""
        layers = []
        for i in range(len(self.config.hidden_sizes)):
            variance = self.running[f"norm_{i}.variance"].astype(np.float64)
            scale = self.weights[f"norm_{i}.scale"] / np.sqrt(variance + EPSILON)
            bias = self.weights[f"norm_{i}.shift"] - self.running[f"norm_{i}.mean"] * scale
            layers.append((self.weights[f"linear_{i}.weight"] * scale, bias))
        layers.append((self.weights["head.weight"], self.weights["head.bias"]))
        return [(weight.astype(dtype), bias.astype(dtype)) for weight, bias in layers]

    def state(self) -> dict[str, Array]:
        """All arrays by name, for a file; views, not copies."""
        return {**self.tables.state(), **self.weights.state(), **self.running}

    @classmethod
    def from_state(
        cls,
        config: NetworkConfig,
        state: Mapping[str, Array],
        coordinates: Mapping[int, Coordinates] = MappingProxyType({}),
    ) -> Network:
        """The network that `state` was taken of.

        Parameters
        ----------
        config : NetworkConfig
        state : mapping of str to array
            As `state` returned it; float16 in place of float32 is read, too.
        coordinates : mapping of int to Coordinates, optional
            Of a packed network, by table those of its packed rows.

        Raises
        ------
        ValueError
            If a name, shape or type is not the config's; the message says which.
        """
        network = cls(config)
        if any(name.endswith(".scales") for name in state):
            network = network.packed(_blank_rows(network.tables, coordinates))
        own = network.state()
        if strange := sorted(own.keys() ^ state.keys()):
            raise ValueError(f"arrays missing or not expected in a saved network: {strange[:5]}")
        for name, array in own.items():
            found = state[name]
            # Models within a budget were once saved with tables in half precision.
            older = array.dtype == np.float32 and found.dtype == np.float16
            if found.shape != array.shape or (found.dtype != array.dtype and not older):
                raise ValueError(
                    f"saved array {name!r} must be {array.dtype} of shape {array.shape}, "
                    f"got {found.dtype} of shape {found.shape}"
                )
            array[...] = found
        return network


def _blank_rows(
    tables: EmbeddingTables, coordinates: Mapping[int, Coordinates]
) -> dict[int, PackedRows]:
    """Packed rows whose directions and centres are still to come."""
    rows = {}
    for t, own in coordinates.items():
        _, dim = tables.shape(t)
        directions = np.zeros((len(own.lows), dim), np.float16)
        rows[t] = PackedRows(own, directions, np.zeros(dim, np.float32))
    return rows


HEAD_GAIN = 0.3
"""Standard deviation of the head's first weights, times the root of its inputs; empirical."""

FAINT = 1e-3
"""What a direction of vectors counts at least, of the one that counts most, both squared: vectors
are also looked at."""


def _weight_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Matrices first, since only they decay."""
    sizes = (config.n_inputs + config.n_products, *config.hidden_sizes)
    shapes: dict[str, tuple[int, ...]] = {}
    for i, units in enumerate(config.hidden_sizes):
        shapes[f"linear_{i}.weight"] = (sizes[i], units)
    shapes["head.weight"] = (sizes[-1], config.n_outputs)
    if config.n_pooled:
        shapes["interactions.weight"] = (config.n_pooled, config.n_outputs)
    for i, units in enumerate(config.hidden_sizes):
        shapes[f"norm_{i}.scale"] = (units,)
        shapes[f"norm_{i}.shift"] = (units,)
    shapes["head.bias"] = (config.n_outputs,)
    return shapes


def _running_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, units in enumerate(config.hidden_sizes):
        shapes[f"norm_{i}.mean"] = (units,)
        shapes[f"norm_{i}.variance"] = (units,)
    return shapes
