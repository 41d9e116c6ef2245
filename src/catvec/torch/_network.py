"""The network of `catvec.network` as a module, and its weights in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from catvec.network import Network, NetworkConfig
from catvec.network._interactions import multiplied
from catvec.network._network import HEAD_GAIN
from catvec.torch._embeddings import CategoryEmbeddings
from catvec.torch._interactions import PairwiseInteraction
from catvec.torch._knots import KnotEmbedding
from catvec.torch._layers import HiddenLayers
from catvec.torch._tables import array_of

__all__ = ["NetworkModule"]


class NetworkModule(nn.Module):
    """Tables, numbers -> interactions -> (linear, norm, ReLU, dropout)* -> linear head.

    Computes what `catvec.network.Network` does with the same weights.

    Parameters
    ----------
    config : NetworkConfig
        What fixes the shape of a network.
    names : sequence of str, optional
        Of the columns and pairs with codes, for messages.

    Attributes
    ----------
    embeddings : CategoryEmbeddings
        Tables of columns and pairs.
    knots : KnotEmbedding
        Tables of numbers, between whose knots vectors are interpolated.
    interaction : PairwiseInteraction or None
        Products that the first layer sees, or that go past the layers to the scores.
    hidden, head : Module
        The layers.
    pooled_weight : Parameter of shape (K, n_outputs) or None
        What each element of a factorization machine's sums counts.

    Shape
    -----
    Input: codes, integers of shape (B, C); numbers (B, N), scaled and without gaps; positions
    (B, M) on the knots, NaN where missing and -1 where unknown.
    Output: (B, n_outputs), scores on the link scale.
    """

    def __init__(self, config: NetworkConfig, names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.config = config
        self.embeddings = CategoryEmbeddings(config.n_codes, config.dims, names=names)
        # Tables that follow from effects are not learned.
        self.embeddings.requires_grad_(not config.sees_effects)
        self.knots = KnotEmbedding([np.arange(n) for n in config.n_knots], config.knot_dims)
        dims = config.meeting_dims
        self.meeting = sum(dims)
        self.interaction: PairwiseInteraction | None = None
        self.pooled_weight: nn.Parameter | None = None
        if config.n_products:
            pairs = multiplied(config.n_codes, dims)
            self.interaction = PairwiseInteraction("product", dims, pairs=pairs)
        elif config.n_pooled:
            self.interaction = PairwiseInteraction("factorization_machine", dims)
            self.pooled_weight = nn.Parameter(torch.ones(config.n_pooled, config.n_outputs))
        sizes = [config.n_inputs + config.n_products, *config.hidden_sizes]
        self.hidden = HiddenLayers(sizes, config.dropout, bias=False)
        for layer in self.hidden.layers:
            layer.norm.running_norm = not config.batch_norm
        self.head = nn.Linear(sizes[-1], config.n_outputs)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin anew, as `Network.create` does, with random numbers of PyTorch's."""
        self.embeddings.reset_parameters()
        self.knots.reset_parameters()
        for layer in self.hidden.layers:
            nn.init.kaiming_normal_(layer.linear.weight, nonlinearity="relu")
            layer.norm.reset_parameters()
        with torch.no_grad():
            self.head.weight.normal_(0.0, HEAD_GAIN / self.head.in_features**0.5)
            self.head.bias.zero_()
            if self.pooled_weight is not None:
                self.pooled_weight.fill_(1.0)

    def forward(
        self, codes: Tensor, numbers: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """Scores (B, n_outputs) on the link scale."""
        parts = [self.embeddings(codes[:, : len(self.config.n_codes)])]
        if self.config.n_knots and positions is not None:
            parts.append(self.knots.at(positions))
        if self.config.n_numbers and numbers is not None:
            parts.append(numbers.to(parts[0].dtype))
        return self.scores(torch.cat(parts, 1))

    def scores(self, x: Tensor) -> Tensor:
        """From what was looked up (B, W): vectors of codes, of numbers, then numbers.

        Parameters
        ----------
        x : tensor of shape (B, W)
            Side by side.

        Returns
        -------
        tensor of shape (B, n_outputs)
        """
        if self.interaction is None:
            scores: Tensor = self.head(self.hidden(x))
            return scores
        met = self.interaction(x[:, : self.meeting])
        if self.pooled_weight is not None:
            scores = self.head(self.hidden(x)) + met @ self.pooled_weight
            return scores
        scores = self.head(self.hidden(torch.cat([x, met], 1)))
        return scores

    @classmethod
    def from_network(cls, network: Network, names: Sequence[str] | None = None) -> Self:
        """A module with the weights of a network.

        Parameters
        ----------
        network : Network
            Trained or new.
        names : sequence of str, optional
            Of the columns and pairs with codes.

        Returns
        -------
        NetworkModule
            In evaluation mode.
        """
        module = cls(network.config, names)
        with torch.no_grad():
            for array, tensor in module._counterparts(network):
                tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)))
        return module.eval()

    def write_to(self, network: Network) -> None:
        """Write the weights into a network of the same shape.

        Parameters
        ----------
        network : Network
            Changed in place.
        """
        for array, tensor in self._counterparts(network):
            array[...] = array_of(tensor)

    def to_network(self) -> Network:
        """A network with these weights.

        Returns
        -------
        Network
        """
        network = Network(self.config)
        self.write_to(network)
        return network

    def _counterparts(self, network: Network) -> Iterator[tuple[Any, Tensor]]:
        """Views of the network's arrays beside tensors of the same shape."""
        for c in range(len(self.config.n_codes)):
            yield network.tables.weight(c), self.embeddings.tables.table(c)
        for m in range(len(self.config.n_knots)):
            yield network.tables.knot_weight(m), self.knots.tables.table(m)
        weights, running = network.weights, network.running
        for i, layer in enumerate(self.hidden.layers):
            yield weights[f"linear_{i}.weight"].T, layer.linear.weight
            yield weights[f"norm_{i}.scale"], layer.norm.weight
            yield weights[f"norm_{i}.shift"], layer.norm.bias
            yield running[f"norm_{i}.mean"], layer.norm.get_buffer("running_mean")
            yield running[f"norm_{i}.variance"], layer.norm.get_buffer("running_var")
        yield weights["head.weight"].T, self.head.weight
        yield weights["head.bias"], self.head.bias
        if self.pooled_weight is not None:
            yield weights["interactions.weight"], self.pooled_weight
