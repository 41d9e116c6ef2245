"""Row-wise Adagrad for tables, and parameter groups for fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from catvec._checks import check_float, refuse, some
from catvec.errors import ParameterError
from catvec.network._kernels import TINY
from catvec.torch._compressed import HashEmbedding, QuotientRemainderEmbedding
from catvec.torch._embedding import CategoryEmbedding
from catvec.torch._tables import FlatTables

__all__ = ["RowwiseAdagrad", "parameter_groups", "squares_step"]

LOOKUPS = (
    CategoryEmbedding,
    FlatTables,
    HashEmbedding,
    QuotientRemainderEmbedding,
    nn.Embedding,
    nn.EmbeddingBag,
)


class RowwiseAdagrad(torch.optim.Optimizer):
    r"""Adagrad with one accumulator for each row of a table; rows without a gradient do not move.

    .. math::
        s_k \leftarrow s_k + \tfrac{1}{d} |h_k|^2, \qquad
        v_k \leftarrow v_k - \frac{\eta}{\sqrt{s_k} + \epsilon}\, h_k

    for row k of a table with gradient h_k in d dimensions: Adagrad (Duchi, Hazan & Singer 2011,
    JMLR 12) with the mean over the row in place of each coordinate. With sparse gradients only the
    rows looked up are read or written, so that a step costs the same whatever the table's size;
    one number of state by row, where Adam keeps two by element.

    Parameters
    ----------
    params : iterable of tensors or of parameter groups
        Tables, of shape (rows, ...), with sparse or dense gradients.
    lr : float, default=0.4
        Rate eta. A row's first step is about this long whatever its gradient, later ones shrink
        with the root of their number; catvec's network trains its tables at 0.4, which is 200
        times the rate of its weights.
    eps : float, default=1e-10
        Keeps the division finite where all gradients were 0.

    Raises
    ------
    ParameterError
        If `lr` is negative, or `eps` is not positive.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import CategoryEmbedding, RowwiseAdagrad
    >>> city = CategoryEmbedding(1000, 8, sparse=True)
    >>> optimizer = RowwiseAdagrad(city.parameters(), lr=0.1)
    >>> city(torch.tensor([2, 3])).sum().backward()
    >>> optimizer.step()
    """

    def __init__(self, params: Any, lr: float = 0.4, eps: float = TINY) -> None:
        check_float("lr", lr, minimum=0.0)
        check_float("eps", eps, minimum=0.0, strict=True)
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the rows that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew; called with gradients on.

        Returns
        -------
        Whatever `closure` returns, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._move(table, group["lr"], group["eps"])
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, in the precision in which it was saved.

        Parameters
        ----------
        state_dict : dict
            As `state_dict` gave it.
        """
        super().load_state_dict(state_dict)
        # PyTorch rounds state to the precision of its table, where a sum of squares stands still.
        saved = [key for group in state_dict["param_groups"] for key in group["params"]]
        tables = [table for group in self.param_groups for table in group["params"]]
        for table, key in zip(tables, saved, strict=True):
            if key in state_dict["state"]:
                squares = state_dict["state"][key]["squares"]
                self.state[table]["squares"] = squares.to(table.device, copy=True)

    def _move(self, table: Tensor, rate: float, eps: float) -> None:
        state, gradient = self.state[table], table.grad
        assert gradient is not None
        # In half precision small squares would be lost in a sum, and `eps` would be 0.
        wide = torch.promote_types(table.dtype, torch.float32)
        if not state:
            state["squares"] = torch.zeros(len(table), dtype=wide, device=table.device)
        squares = state["squares"] = state["squares"].to(wide)
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            rows, values = gradient.indices()[0], gradient.values().to(wide)
            steps = squares_step(squares, rows, values, rate, eps)
            table.index_add_(0, rows, (-steps * values).to(table.dtype))
        else:
            gradient = gradient.to(wide)
            dims = list(range(1, gradient.ndim))
            squares += gradient.square().mean(dims) if dims else gradient.square()
            steps = rate / (squares.sqrt() + eps)
            table -= steps.view(-1, *[1] * len(dims)) * gradient


def squares_step(
    squares: Tensor, rows: Tensor, gradient: Tensor, rate: float, eps: float = TINY
) -> Tensor:
    """Note the squared gradients (n, ...) of `rows`, and give their step sizes (n, 1, ...)."""
    dims = list(range(1, gradient.ndim))
    squares.index_add_(0, rows, gradient.square().mean(dims) if dims else gradient.square())
    steps = rate / (squares.index_select(0, rows).sqrt() + eps)
    return steps.view(-1, *[1] * len(dims))


def parameter_groups(
    model: nn.Module,
    *,
    lr: float | None = None,
    embedding_lr: float | None = None,
    frozen: Iterable[str | nn.Module | nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Parameters for an optimizer: tables in a group of their own, with a rate of their own.

    Parameters
    ----------
    model : Module
        Any; tables are those of the modules here and of `torch.nn.Embedding`.
    lr : float, optional
        Rate of everything else; by default the optimizer's.
    embedding_lr : float, optional
        Rate of the tables, such as a tenth of `lr` to fine-tune pretrained ones; by default the
        optimizer's.
    frozen : iterable of str, Module or Parameter
        Submodules and parameters, or their names (``"embeddings"``), that are not to be trained:
        they are taken out, and need no gradient from then on.

    Returns
    -------
    list of dict
        First the tables, then the rest; each with ``"params"`` and ``"name"``. A group without
        parameters is left out.

    Raises
    ------
    ParameterError
        If `frozen` names what the model does not have, or a rate is negative.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import TabularEmbeddingModel, parameter_groups
    >>> model = TabularEmbeddingModel([12], [4], 0, [8], 1)
    >>> groups = parameter_groups(model, embedding_lr=1e-4)
    >>> [group["name"] for group in groups]
    ['embeddings', 'weights']
    >>> optimizer = torch.optim.AdamW(groups, lr=1e-3)
    """
    for name, rate in (("lr", lr), ("embedding_lr", embedding_lr)):
        if rate is not None:
            check_float(name, rate, minimum=0.0)
    for parameter in _named(model, frozen):
        parameter.requires_grad_(False)
    tables = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, LOOKUPS)
        for parameter in module.parameters()
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = []
    for name, rate, inside in (("embeddings", embedding_lr, True), ("weights", lr, False)):
        chosen = [p for p in trained if (id(p) in tables) == inside]
        if chosen:
            groups.append({"params": chosen, "name": name} | ({} if rate is None else {"lr": rate}))
    return groups


def _named(
    model: nn.Module, frozen: Iterable[str | nn.Module | nn.Parameter]
) -> Sequence[nn.Parameter]:
    if isinstance(frozen, str | nn.Parameter) or not isinstance(frozen, Iterable):
        raise refuse("frozen", "a list of names or modules", frozen)
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    found: list[nn.Parameter] = []
    for one in frozen:
        if isinstance(one, nn.Module):
            found += one.parameters()
        elif isinstance(one, nn.Parameter):
            found.append(one)
        elif one in parameters:
            found.append(parameters[one])
        elif one in modules:
            found += modules[one].parameters()
        else:
            raise ParameterError(
                f"`frozen` names {one!r}, which the model does not have; it has"
                f" {some([name for name in modules if name])}"
            )
    return found
