"""Training by PyTorch: the same steps as `catvec.network` takes, on a device.

Tables, codes and rows are kept on the device; the only thing that goes there in an epoch is the
order of its rows. Vectors are looked up outside of autograd, which then gives the gradient by what
was looked up, and the rows of the tables are moved by it as `catvec.network` moves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from catvec._checks import refuse
from catvec.network import Inputs, Network, TrainingConfig, TrainingData
from catvec.network._anchors import NOWHERE, Anchors
from catvec.network._committee import SharedLimit
from catvec.network._data import weight_scale
from catvec.network._layers import OF_ELEMENTS, OF_ROWS, layer_key
from catvec.network._optimizers import TABLE_RATE, pulls
from catvec.network._step import Data, counts_met
from catvec.network._training import Trainer
from catvec.torch._hashing import keyed_bits
from catvec.torch._layers import kept
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
        torch.zeros(1, dtype=torch.float64, device=chosen).cpu()  # losses are summed in float64
    except (RuntimeError, AssertionError, TypeError) as error:
        must = '"auto" or a device that PyTorch has here, with float64'
        raise refuse("device", must, device) from error
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

    def begin(
        self, network: Network, settings: TrainingConfig, anchors: Anchors = NOWHERE
    ) -> Trainer:
        """Who trains this network, beginning with its vectors and weights."""
        return TorchStep(network, settings, self.device, anchors)

    def one_thread(self) -> AbstractContextManager[None]:
        """While it lasts, a step on the processor takes one thread of it."""
        return _one_thread() if self.device.type == "cpu" else nullcontext()


def _limit_threads() -> Callable[[], None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(before)


_one_thread = SharedLimit(_limit_threads)


class TorchStep:
    """One training step by PyTorch; see `catvec.network._step.Step`, whose twin it is."""

    def __init__(
        self,
        network: Network,
        settings: TrainingConfig,
        device: torch.device,
        anchors: Anchors = NOWHERE,
    ) -> None:
        self.network, self.settings, self.device = network, settings, device
        self.module = NetworkModule.from_network(network).to(device).train()
        self.losses = row_losses(settings.loss, settings.quantile)
        config, tables = network.config, self.module.embeddings.tables
        self.n_elements = sum(config.dims)
        n_columns = len(config.dims)
        self.of_codes = [TableRows(group, config.dims, 0, 0) for group in tables.shared]
        self.of_knots = [
            TableRows(group, config.knot_dims, n_columns, self.n_elements)
            for group in self.module.knots.tables.shared
        ]
        self.rows_of_tables = [*self.of_codes, *self.of_knots]
        if anchors.by_column:
            self._settle_down(anchors)
        self._make_optimizer()
        self._on_device: dict[int, tuple[Inputs, tuple[Tensor, ...]]] = {}

    # --- what the epoch loop asks for ---

    def take(self, data: Data, counts: np.ndarray) -> None:
        """The rows to train on from here, and how many of them look at each row of the tables."""
        self._on_device.clear()
        self._weight_scale = weight_scale(data)
        self._set_pulls(counts)
        self._looked_at: TrainingData | None = None
        if isinstance(data, TrainingData):
            self.look_at(data)

    def look_at(self, piece: TrainingData) -> None:
        """Those of the rows that steps get numbers of from here; all if they are in memory."""
        if piece is self._looked_at:
            return
        if self._looked_at is not None:
            self._on_device.pop(id(self._looked_at.inputs.codes), None)
        self._looked_at = data = piece
        codes, self.numbers, positions = self._moved(data.inputs)
        # Codes were checked when they were made: they become lines once, for all epochs.
        for rows in self.of_codes:
            rows.take(rows.group.lines(codes)[:, None])
        if self.of_knots:
            grid = self.module.knots.grid
            lower, share = grid.rows(positions)
            shares = torch.stack([1 - share, share], 1)
            for rows in self.of_knots:
                both = [rows.group.lines(lower), rows.group.lines(grid.above(lower))]
                rows.take(torch.stack(both, 1), shares.index_select(2, rows.group.where))
        self.target = self._tensor(data.target)
        self.weight = None
        if data.weight is not None:
            self.weight = self._tensor(data.weight) * self._weight_scale

    def learn(
        self, rows: np.ndarray, ends: np.ndarray, rates: np.ndarray, keys: np.ndarray
    ) -> float:
        """A step for each batch; the sum of their rows' weighted losses over the mean weight."""
        order, start = self._tensor(rows).long(), 0
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for end, rate, key in zip(ends.tolist(), rates.tolist(), keys.tolist(), strict=True):
            total += self(order[start:end], rate, key)
            start = end
        return float(total)

    def __call__(self, rows: Tensor, rate: float, key: int) -> Tensor:
        """Train on the given rows; the sum of their weighted losses over the mean weight."""
        losses, total, gradient = self.backward(rows, key)
        masses = torch.ones_like(losses)
        if self.weight is not None:
            masses = self.weight.index_select(0, rows)
        with torch.no_grad():
            for tables in self.rows_of_tables:
                tables.move(gradient, masses / len(rows), rate * TABLE_RATE)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        return total.detach().double()

    def backward(self, rows: Tensor, key: int) -> tuple[Tensor, Tensor, Tensor]:
        """Losses (B,), their weighted sum, and its gradient by what was looked up (B, W).

        Gradients are divided by B; those of the weights are left in their `grad`.
        """
        with torch.no_grad():
            x = self._looked_up(rows, key)
        x.requires_grad_()
        for i, layer in enumerate(self.module.hidden.layers):
            layer.dropout.key = layer_key(key, i)
        scores = self.module.scores(self._less_elements(x, key))
        losses = self.losses(scores, self.target.index_select(0, rows))
        total = losses.sum()
        if self.weight is not None:
            total = losses @ self.weight.index_select(0, rows)
        gradient, *of_weights = torch.autograd.grad(total / len(rows), [x, *self.weights])
        for weight, found in zip(self.weights, of_weights, strict=True):
            weight.grad = found
        return losses.detach(), total, gradient

    def keep_pace(self, paces: np.ndarray) -> None:
        """Factor (lines,) of each row's steps from here; empty for 1."""
        for rows in self.rows_of_tables if len(paces) else ():
            rows.paces = torch.where(rows.known, self._by_line(paces, rows)[:, None], 1.0)

    def settle(self, lines: np.ndarray, onto: Sequence[int]) -> None:
        """As `EmbeddingTables.settle`, each row at home."""
        centers = self.network.tables.centers()
        tables = np.searchsorted(centers, lines, side="right") - 1
        for t in np.unique(tables).tolist():
            rows, start = next(found for r in self.rows_of_tables if (found := r.place(t)))
            at = self._tensor(lines[tables == t] - centers[t]) + start
            with torch.no_grad():
                rows.settle(at, start + (onto[t] if t < len(onto) else 0))

    @torch.no_grad()
    def value(self, data: TrainingData) -> float:
        """Weighted mean loss of other rows."""
        held = self._moved(data.inputs)
        target = self._tensor(data.target)
        weight = torch.ones_like(target) if data.weight is None else self._tensor(data.weight)
        rows = np.arange(len(data.inputs)) if data.rows is None else data.rows
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        whole = total.clone()
        self.module.eval()
        for start in range(0, len(rows), CHUNK):
            chunk = self._tensor(rows[start : start + CHUNK]).long()
            scores = self.module(*(part.index_select(0, chunk) for part in held))
            shares = weight.index_select(0, chunk).double()
            total += self.losses(scores, target.index_select(0, chunk)).double() @ shares
            whole += shares.sum()
        self.module.train()
        return float(total / whole) if float(whole) > 0 else 0.0

    def state(self) -> list[Tensor]:
        """Every tensor that training changes."""
        found = [tensor for r in self.rows_of_tables for tensor in (r.weight, r.squares)]
        for weight in self.weights:
            state = self.adamw.state[weight]
            found += [weight.detach(), *(state[m] for m in ("exp_avg", "exp_avg_sq") if m in state)]
        for layer in self.module.hidden.layers:
            found += [layer.norm.get_buffer(name) for name in ("running_mean", "running_var")]
        return found

    def finish(self) -> None:
        """Write what was learned into the network."""
        self.module.write_to(self.network)

    # --- inside ---

    def _settle_down(self, anchors: Anchors) -> None:
        tables = self.network.tables
        homes, widths = anchors.homes(tables), anchors.widths(tables)
        for rows in self.rows_of_tables:
            own = np.concatenate([tables.view(homes, t) for t in rows.tables])
            rows.anchors = self._tensor(own)
            of_line = np.repeat(widths[rows.tables], rows.group.n_rows)
            rows.known = self._tensor(np.arange(own.shape[1]) < of_line[:, None])

    def _make_optimizer(self) -> None:
        """AdamW over all but the tables, of which only matrices decay."""
        tables = {id(rows.group.weight) for rows in self.rows_of_tables}
        dense = [p for p in self.module.parameters() if id(p) not in tables]
        groups = [
            {
                "params": [p for p in dense if p.ndim > 1],
                "weight_decay": self.settings.weight_decay,
            },
            {"params": [p for p in dense if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, fused=self.device.type in ("cpu", "cuda"))
        self.weights = [p for group in self.adamw.param_groups for p in group["params"]]

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def _moved(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Codes, numbers and positions; copied once, since held-out rows are of the same arrays."""
        if id(inputs.codes) not in self._on_device:
            arrays = (inputs.codes, inputs.numbers, inputs.positions)
            self._on_device[id(inputs.codes)] = inputs, tuple(self._tensor(a) for a in arrays)
        return self._on_device[id(inputs.codes)][1]

    def _set_pulls(self, counts: np.ndarray) -> None:
        tables = self.network.tables
        met = counts_met(self.network, self.settings, counts)
        by_line = pulls(tables, self.settings.shrinkage, met)
        for rows in self.rows_of_tables:
            rows.pulls = self._by_line(by_line, rows)

    def _by_line(self, values: np.ndarray, rows: TableRows) -> Tensor:
        """Those of the values (lines,) that are of these tables."""
        by_table = np.split(values, np.cumsum(self.network.config.n_rows)[:-1])
        return self._tensor(np.concatenate([by_table[t] for t in rows.tables]))

    def _looked_up(self, rows: Tensor, key: int) -> Tensor:
        """The input (B, W) of the given rows."""
        dropped = None
        if share := self.settings.category_dropout:
            pairs = self.settings.pair_columns
            limits = self.network.config.hiding(share).limits.astype(np.int64)
            drawn = keyed_bits(len(rows), layer_key(key, OF_ROWS), self.device)
            place = torch.searchsorted(self._tensor(limits.ravel()), drawn, right=True)[:, None]
            columns, width = torch.arange(len(limits), device=self.device), limits.shape[1]
            dropped = (columns == place // width) | (columns == place % width - 1)
            of_pairs = [dropped[:, a] | dropped[:, b] for a, b in pairs]
            dropped = torch.cat([dropped, *(pair[:, None] for pair in of_pairs)], 1)
        codes = [tables.look_up(rows, dropped).flatten(1) for tables in self.of_codes]
        knots = [tables.look_up(rows).flatten(1) for tables in self.of_knots]
        parts = [
            module.tables.in_order(torch.cat(vectors, 1))
            for module, vectors in ((self.module.embeddings, codes), (self.module.knots, knots))
            if vectors
        ]
        return torch.cat([*parts, self.numbers.index_select(0, rows)], 1)

    def _less_elements(self, x: Tensor, key: int) -> Tensor:
        share = self.settings.embedding_dropout
        if not share:
            return x
        vectors = x[:, : self.n_elements]
        vectors = vectors * kept(vectors, layer_key(key, OF_ELEMENTS), share)
        return torch.cat([vectors, x[:, self.n_elements :]], 1)


class TableRows:
    """Tables of one width, the rows of them that training looks at, and how these move.

    A row of the data looks at one row of each table, or, where it is interpolated, at K = 2.
    Shapes: B rows of a batch, T tables here, D their width.

    Parameters
    ----------
    group : SameWidth
        The tables.
    dims : sequence of int
        Widths of all tables that lie beside them in the network's input.
    first_table, first_element : int
        Place of the first of those tables among all, and of its vectors in the input.
    """

    pulls: Tensor  # (lines,)
    known: Tensor  # (lines, D), where there are anchors, like the next
    paces: Tensor

    def __init__(
        self, group: SameWidth, dims: Sequence[int], first_table: int, first_element: int
    ) -> None:
        self.group, self.weight = group, group.weight.detach()
        self.tables = [first_table + c for c in group.columns]
        device, width = self.weight.device, self.weight.shape[1]
        starts = first_element + np.cumsum([0, *dims])
        elements = [np.arange(starts[c], starts[c] + width) for c in group.columns]
        self.elements = torch.from_numpy(np.concatenate(elements)).to(device)
        self.squares = torch.zeros(len(self.weight), device=device)
        self._slots = torch.zeros(len(self.weight), dtype=torch.long, device=device)
        self.anchors: Tensor | None = None  # (lines, D)

    def place(self, t: int) -> tuple[TableRows, int] | None:
        """These and the line of row 0 of table `t` among all, if it is here."""
        return (self, self.group.starts[self.tables.index(t)]) if t in self.tables else None

    def settle(self, lines: Tensor, onto: int) -> None:
        """Bring rows home, as seen from the row on the line `onto`."""
        at_home = self.weight[onto].expand(len(lines), -1)
        if self.anchors is not None:
            at_home = at_home + self.anchors.index_select(0, lines)
        self.weight.index_copy_(0, lines, at_home.clone())

    def take(self, lines: Tensor, shares: Tensor | None = None) -> None:
        """Rows of the tables that all rows of the data look at (n, K, T), and with what shares."""
        self._all_lines, self._all_shares = lines.to(torch.int32), shares

    def look_up(self, rows: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Vectors (B, T, D) of rows of the data; `dropped` (B, columns) are taken for unknown."""
        lines = self._all_lines.index_select(0, rows).long()
        if dropped is not None:
            here = dropped.index_select(1, self.group.where)[:, None]
            lines = torch.where(here, self.group.offsets, lines)
        self.lines, self.shares = lines, None
        self.vectors = self.weight.index_select(0, lines.flatten()).view(*lines.shape, -1)
        if self._all_shares is None:
            return self.vectors[:, 0]
        self.shares = self._all_shares.index_select(0, rows)[..., None]
        return (self.vectors * self.shares).sum(1)

    def move(self, gradient: Tensor, masses: Tensor, rate: float) -> None:
        """One step of row-wise Adagrad with the prior, as `_kernels.update_tables` takes it.

        `gradient` (B, W) is that by the input, `masses` (B,) are the rows' weights; both divided
        by B. A row that is looked at several times is summed up where one of its looks is, the
        others have nothing to add. So everything has the size of the batch, whatever the number of
        distinct rows, and a GPU need not wait for it.
        """
        n, _, n_tables, width = self.vectors.shape
        pieces = gradient.index_select(1, self.elements).view(n, 1, n_tables, width)
        mass = masses[:, None, None, None].expand(*self.lines.shape, 1)
        if self.shares is not None:
            pieces, mass = pieces * self.shares, mass * self.shares
        lines = self.lines.flatten()
        slot, first = self._first_looks(lines)
        total = torch.zeros_like(self.vectors).view(-1, width)
        total.index_add_(0, slot, pieces.reshape(-1, width))
        mass = torch.zeros_like(lines, dtype=total.dtype).index_add_(0, slot, mass.flatten())
        known = (first & (self.lines != self.group.offsets).flatten())[:, None]
        own = total * known
        step = squares_step(self.squares, lines, own, rate)
        if self.anchors is not None:
            step = step * self.paces.index_select(0, lines)
        pull = (mass * self.pulls.index_select(0, lines))[:, None]
        now = self.vectors.view(-1, width)
        middle = self.weight.index_select(0, self.group.offsets)
        middles = middle.expand(len(lines) // n_tables, -1, -1).reshape(-1, width)
        if self.anchors is not None:
            middles = middles + self.anchors.index_select(0, lines)
        away = (now - step * own - middles) / (1 + step * pull)
        self.weight.index_add_(0, lines, (middles + away - now) * known)
        opposite = torch.where(known, -pull * away, total)
        of_centers = opposite.view(-1, n_tables, width).sum(0)
        step = squares_step(self.squares, self.group.offsets, of_centers, rate)
        if self.anchors is not None:
            step = step * self.paces.index_select(0, self.group.offsets)
        self.weight.index_add_(0, self.group.offsets, -step * of_centers)

    def _first_looks(self, lines: Tensor) -> tuple[Tensor, Tensor]:
        """For each look at a row the place of the one that stands for all, and whether it is it."""
        places = torch.arange(len(lines), device=lines.device)
        self._slots.scatter_(0, lines, places)
        slot = self._slots.index_select(0, lines)
        return slot, slot == places
