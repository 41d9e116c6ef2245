"""Training by PyTorch: the same steps as `catvec.network` takes, on a device.

Tables, codes and rows are kept on the device; the only thing that goes there in an epoch is the
order of its rows. Vectors are looked up outside of autograd, which then gives the gradient by what
was looked up, and the rows of the tables are moved by it as `catvec.network` moves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from catvec._checks import refuse
from catvec.network import Inputs, Network, TrainingConfig, TrainingData
from catvec.network._committee import SharedLimit
from catvec.network._layers import OF_CELLS, OF_ELEMENTS, layer_key
from catvec.network._optimizers import TABLE_RATE, pulls
from catvec.network._training import Trainer, counts_met, weight_scale
from catvec.torch._layers import keyed_mask
from catvec.torch._losses import row_losses
from catvec.torch._network import NetworkModule
from catvec.torch._optimizer import squares_step
from catvec.torch._tables import SameWidth

__all__ = ["TorchBackend", "TorchStep", "choose_device"]

CHUNK = 65_536
"""Rows whose held-out loss is computed at once."""


def choose_device(device: str) -> torch.device:
    """The device that a parameter means: "auto" is CUDA where there is one, else the processor."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise refuse("device", '"auto" or a device that PyTorch has here', device) from error
    return chosen


class TorchBackend:
    """What a `catvec.network.Job` is given to be trained by PyTorch.

    Parameters
    ----------
    device : str
        "auto", or as PyTorch calls it.
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = choose_device(device)

    def begin(self, network: Network, settings: TrainingConfig) -> Trainer:
        """Who trains this network, beginning with its vectors and weights."""
        return TorchStep(network, settings, self.device)

    def one_thread(self) -> AbstractContextManager[None]:
        """While it lasts, a step on the processor takes one thread of it."""
        return _one_thread() if self.device.type == "cpu" else nullcontext()


def _limit_threads() -> Callable[[], None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(before)


_one_thread = SharedLimit(_limit_threads)


class TorchStep:
    """One training step by PyTorch; see `catvec.network._training.Step`, whose twin it is."""

    def __init__(self, network: Network, settings: TrainingConfig, device: torch.device) -> None:
        self.network, self.settings, self.device = network, settings, device
        self.module = NetworkModule.from_network(network).to(device).train()
        self.losses = row_losses(settings.loss, settings.quantile)
        module, config = self.module, network.config
        self.n_columns = len(config.n_codes)
        self.n_elements = sum(config.dims)
        of_codes = [TableRows(g, config.dims, 0, 0) for g in module.embeddings.tables.groups]
        of_knots = [
            TableRows(g, config.knot_dims, self.n_columns, self.n_elements)
            for g in module.knots.tables.groups
        ]
        self.of_codes, self.of_knots = of_codes, of_knots
        tables = {id(rows.group.weight) for rows in (*of_codes, *of_knots)}
        dense = {n: p for n, p in module.named_parameters() if id(p) not in tables}
        decayed = [p for p in dense.values() if p.ndim > 1]
        others = [p for p in dense.values() if p.ndim == 1]
        self.weights = [*decayed, *others]
        self.adamw = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            fused=device.type in ("cpu", "cuda"),
        )
        self._held: dict[int, tuple[Inputs, tuple[Tensor, ...]]] = {}

    # --- what the epoch loop asks for ---

    def take(self, data: TrainingData, counts: np.ndarray) -> None:
        """The rows to train on from here, and how many of them look at each row of the tables."""
        self._held.clear()
        self.inputs = self._on_device(data.inputs)
        self.target = self._tensor(data.target)
        self.weight = None
        if data.weight is not None:
            self.weight = self._tensor(data.weight) * weight_scale(data)
        tables = self.network.tables
        met = counts_met(self.network, self.settings, counts)
        by_line = pulls(tables, self.settings.shrinkage, met)
        starts = tables.centers()
        by_table = [
            by_line[start : start + n]
            for start, n in zip(starts.tolist(), self.network.config.n_rows, strict=True)
        ]
        for rows in (*self.of_codes, *self.of_knots):
            rows.set_pulls(by_table)

    def ordered(self, rows: np.ndarray) -> Tensor:
        """Rows of an epoch, on the device; steps take slices of them."""
        return self._tensor(rows).long()

    def __call__(self, rows: Tensor, rate: float, key: int) -> Tensor:
        """Train on the given rows; the sum of their weighted losses over the mean weight."""
        loss, masses, at, between, gradient = self.backward(rows, key)
        with torch.no_grad():
            self._move_tables(at, between, masses, gradient, rate * TABLE_RATE)
            for group in self.adamw.param_groups:
                group["lr"] = rate
            self.adamw.step()
        return loss

    def backward(
        self, rows: Tensor, key: int
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor] | None, Tensor]:
        """Loss (a sum), masses (B,), rows looked at, and the gradient (B, W) by what was there.

        Gradients are divided by B; those of the weights are left in their `grad`.
        """
        module = self.module
        codes, numbers, positions = (part.index_select(0, rows) for part in self.inputs)
        with torch.no_grad():
            at = self._less_dropped(codes, key)
            between = module.knots.grid.rows(positions) if self.of_knots else None
            parts = [module.embeddings.tables(at)]
            if between is not None:
                parts.append(module.knots.between(*between))
            x = torch.cat([*parts, numbers], 1)
        x.requires_grad_()
        for i, dropout in enumerate(module.dropouts):
            dropout.key = layer_key(key, i)
        scores = module.scores(self._less_elements(x, key))
        losses = self.losses(scores, self.target.index_select(0, rows))
        masses = torch.ones_like(losses)
        if self.weight is not None:
            masses = self.weight.index_select(0, rows)
        total = (losses * masses).sum()
        gradient, *of_weights = torch.autograd.grad(total / len(rows), [x, *self.weights])
        for weight, found in zip(self.weights, of_weights, strict=True):
            weight.grad = found
        return total.detach().double(), masses, at, between, gradient

    def settle(self, lines: np.ndarray, onto: Sequence[int]) -> None:
        """As `EmbeddingTables.settle`."""
        centers = self.network.tables.centers()
        tables = np.searchsorted(centers, lines, side="right") - 1
        for t in np.unique(tables).tolist():
            table = self._table(t)
            at = self._tensor(lines[tables == t] - centers[t])
            with torch.no_grad():
                table[at] = table[onto[t] if t < len(onto) else 0].clone()

    @torch.no_grad()
    def value(self, data: TrainingData) -> float:
        """Weighted mean loss of other rows."""
        held = self._on_device(data.inputs)
        target = self._tensor(data.target)
        weight = torch.ones_like(target) if data.weight is None else self._tensor(data.weight)
        rows = np.arange(len(data.inputs)) if data.rows is None else data.rows
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        whole = total.clone()
        self.module.eval()
        for start in range(0, len(rows), CHUNK):
            chunk = self._tensor(rows[start : start + CHUNK]).long()
            codes, numbers, positions = (part.index_select(0, chunk) for part in held)
            scores = self.module(codes, numbers, positions)
            shares = weight.index_select(0, chunk).double()
            losses = self.losses(scores, target.index_select(0, chunk)).double()
            total += (losses * shares).sum()
            whole += shares.sum()
        self.module.train()
        return float(total / whole) if float(whole) > 0 else 0.0

    def state(self) -> list[Tensor]:
        """Every tensor that training changes and that the best epoch has to give back."""
        moments = [self.adamw.state[w] for w in self.weights if self.adamw.state[w]]
        rows = [t for r in (*self.of_codes, *self.of_knots) for t in (r.group.weight, r.squares)]
        kept = [*rows, *self.weights]
        kept += [m[name] for m in moments for name in ("exp_avg", "exp_avg_sq")]
        for norm in self.module.norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            kept += [norm.running_mean, norm.running_var]
        return [tensor.detach() for tensor in kept]

    def finish(self) -> None:
        """Write what was learned into the network."""
        self.module.write_to(self.network)

    # --- inside ---

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def _on_device(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Codes, numbers and positions; copied once, since held-out rows are of the same arrays."""
        if id(inputs.codes) not in self._held:
            arrays = (inputs.codes, inputs.numbers, inputs.positions)
            self._held[id(inputs.codes)] = inputs, tuple(self._tensor(a) for a in arrays)
        return self._held[id(inputs.codes)][1]

    def _table(self, t: int) -> Tensor:
        if t < self.n_columns:
            return self.module.embeddings.tables.table(t)
        return self.module.knots.tables.table(t - self.n_columns)

    def _less_dropped(self, codes: Tensor, key: int) -> Tensor:
        if not self.settings.category_dropout:
            return codes
        of_cells = layer_key(key, OF_CELLS)
        share = self.settings.category_dropout
        return codes.masked_fill(keyed_mask(codes.shape, of_cells, share, self.device), 0)

    def _less_elements(self, x: Tensor, key: int) -> Tensor:
        share = self.settings.embedding_dropout
        if not share:
            return x
        shape = (len(x), self.n_elements)
        dropped = keyed_mask(shape, layer_key(key, OF_ELEMENTS), share, self.device)
        vectors = (x[:, : self.n_elements] / (1.0 - share)).masked_fill(dropped, 0)
        return torch.cat([vectors, x[:, self.n_elements :]], 1)

    def _move_tables(
        self,
        at: Tensor,
        between: tuple[Tensor, Tensor] | None,
        masses: Tensor,
        gradient: Tensor,
        rate: float,
    ) -> None:
        each = masses / len(masses)
        for rows in self.of_codes:
            pieces = rows.pieces(gradient)
            rows.move(rows.group.lines(at), pieces, each[:, None].expand(at.shape[0], -1), rate)
        if between is None:
            return
        lower, share = between
        above = self.module.knots.grid.above(lower)
        for rows in self.of_knots:
            lines = torch.cat([rows.group.lines(lower), rows.group.lines(above)], 1)
            upper = share.index_select(1, rows.group.where)
            shares = torch.cat([1 - upper, upper], 1)
            pieces = rows.pieces(gradient).repeat(1, 2, 1) * shares[..., None]
            rows.move(lines, pieces, each[:, None] * shares, rate)


class TableRows:
    """Tables of one width and what their updates need; see `_kernels.update_tables`.

    Parameters
    ----------
    group : SameWidth
        The tables.
    dims : sequence of int
        Widths of all tables that lie beside them in the input.
    first_table, first_element : int
        Place of the first of those tables among all, and of its vectors in the network's input.
    """

    def __init__(
        self, group: SameWidth, dims: Sequence[int], first_table: int, first_element: int
    ) -> None:
        self.group, self.weight = group, group.weight.detach()
        self.tables = [first_table + c for c in group.columns]
        device = self.weight.device
        starts = np.concatenate([[0], np.cumsum(dims)]) + first_element
        width = self.weight.shape[1]
        elements = np.concatenate([np.arange(starts[c], starts[c] + width) for c in group.columns])
        self.elements = torch.from_numpy(elements).to(device)
        self.shape = (len(group.columns), width)
        self.squares = torch.zeros(len(self.weight), device=device)

    def set_pulls(self, by_table: Sequence[np.ndarray]) -> None:
        """By table the pull of each of its rows."""
        own = np.concatenate([by_table[t] for t in self.tables])
        self.pulls = torch.from_numpy(own).to(self.weight.device)

    def pieces(self, gradient: Tensor) -> Tensor:
        """Of the gradient by the input (B, W), that by these tables' vectors (B, tables, width)."""
        return gradient.index_select(1, self.elements).view(len(gradient), *self.shape)

    def move(self, lines: Tensor, pieces: Tensor, masses: Tensor, rate: float) -> None:
        """One step of row-wise Adagrad with the prior, on the rows at `lines` (B, n).

        Everything has the batch's size, whatever the number of distinct rows, so that a GPU need
        not wait for it: what is left over of `distinct` is a row 0 with nothing to add.
        """
        distinct, total, mass = _summed(lines.flatten(), pieces.flatten(0, 1), masses.flatten())
        centers = self.group.offsets
        table = torch.bucketize(distinct, centers, right=True) - 1
        center = centers.index_select(0, table)
        known = (distinct != center)[:, None]
        own = torch.where(known, total, 0.0)
        step = squares_step(self.squares, distinct, own, rate)
        pull = (mass * self.pulls.index_select(0, distinct))[:, None]
        middle = self.weight.index_select(0, center)
        now = self.weight.index_select(0, distinct)
        away = (now - step * own - middle) / (1 + step * pull)
        self.weight.index_add_(0, distinct, torch.where(known, middle + away - now, 0.0))
        opposite = torch.where(known, -pull * away, total)
        of_centers = torch.zeros(self.shape, device=opposite.device)
        of_centers.index_add_(0, table, opposite)
        step = squares_step(self.squares, centers, of_centers, rate)
        self.weight.index_add_(0, centers, -step * of_centers)


def _summed(lines: Tensor, pieces: Tensor, masses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct lines and the sums of what belongs to each, padded by line 0 and zeros."""
    ordered, order = lines.sort()
    new = torch.ones_like(ordered)
    new[1:] = ordered[1:] != ordered[:-1]
    slot = new.cumsum(0) - 1
    distinct = torch.zeros_like(ordered).scatter_(0, slot, ordered)
    total = torch.zeros_like(pieces).index_add_(0, slot, pieces.index_select(0, order))
    mass = torch.zeros_like(masses).index_add_(0, slot, masses.index_select(0, order))
    return distinct, total, mass
