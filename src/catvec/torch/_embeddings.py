"""The lookup layer of all categorical columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from catvec._checks import refuse, some
from catvec.errors import CategoryError
from catvec.torch._tables import INITIAL_STD, FlatTables, check_left, check_tables, checked_codes
from catvec.vectors import CategoryVectors

__all__ = ["CategoryEmbeddings"]


class CategoryEmbeddings(nn.Module):
    """Vectors of all categorical columns, side by side: one lookup instead of one by column.

    The tables lie one after the other in one flat matrix, with an offset for each; where widths
    differ, in one matrix by width, so that rows stay rows, and a sparse gradient is one of rows.
    Nothing is named after a column: the state dict goes by position (``tables.groups.0.weight``),
    and names may hold dots, repeat or be in any script.

    Parameters
    ----------
    num_embeddings : sequence of int
        Rows of each column's table, those for unknown and missing counted.
    embedding_dims : sequence of int
        Width of each column's vectors.
    names : sequence of str, optional
        Of the columns, for messages; else their positions.
    std : float, default=0.03
        Standard deviation of new vectors.
    sparse : bool, default=False
        Whether gradients are sparse: of the rows looked up only, for `RowwiseAdagrad`.
    device, dtype
        Of the tables.

    Attributes
    ----------
    names : tuple of str or int
        The columns.
    embedding_dims : tuple of int
        Their widths.
    category_vectors : CategoryVectors or None
        What `from_vectors` was given; `to_vectors` takes its categories and effects.

    Shape
    -----
    Input: codes, integers of shape (B, C), column c at least 0 and below ``num_embeddings[c]``.
    Output: (B, sum(embedding_dims)), the columns' vectors in their order.

    Raises
    ------
    ParameterError
        If there are not as many widths or names as tables, or a size is below 1.
    InputError
        In `forward`, if codes are no integers, of another shape or beyond their table; the message
        names column and codes.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import CategoryEmbeddings
    >>> embeddings = CategoryEmbeddings([10, 1000], [4, 8], names=["weekday", "store"])
    >>> embeddings(torch.tensor([[2, 999], [0, 1]])).shape
    torch.Size([2, 12])
    >>> embeddings.table("store").shape
    torch.Size([1000, 8])
    """

    category_vectors: CategoryVectors | None = None

    def __init__(
        self,
        num_embeddings: Sequence[int],
        embedding_dims: Sequence[int],
        *,
        names: Sequence[str] | None = None,
        std: float = INITIAL_STD,
        sparse: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        n_rows, dims = check_tables(
            num_embeddings, embedding_dims, std, ("num_embeddings", "embedding_dims")
        )
        if isinstance(names, str) or (names is not None and len(names) != len(dims)):
            raise refuse("names", f"{len(dims)} names, as many as tables", names)
        super().__init__()
        self.num_embeddings, self.embedding_dims = tuple(n_rows), tuple(dims)
        self.names: tuple[str | int, ...] = tuple(range(len(dims)) if names is None else names)
        self.tables = FlatTables(
            n_rows, dims, sparse=sparse, std=float(std), device=device, dtype=dtype
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New small vectors around 0, in every table row 0 exactly there."""
        self.tables.reset_parameters()

    @classmethod
    def from_vectors(cls, vectors: CategoryVectors, freeze: bool = True, **parameters: Any) -> Self:
        """A layer that looks up learned vectors of all columns.

        Parameters
        ----------
        vectors : CategoryVectors
            Such as ``model.vectors_``; codes are those of its columns' vocabularies.
        freeze : bool, default=True
            Whether they are to stay as they are.
        **parameters
            Further parameters of the class.

        Returns
        -------
        CategoryEmbeddings

        Raises
        ------
        ParameterError
            If `vectors` are none, or a column has no vectors (its width is 0) or several hash
            functions; or if `parameters` has names or sizes, which the vectors tell.
        """
        if not isinstance(vectors, CategoryVectors):
            raise refuse("vectors", "a CategoryVectors, as `model.vectors_` is", vectors)
        arrays = [vectors[name].by_code()[0] for name in vectors]
        empty = [name for name, array in zip(vectors, arrays, strict=True) if not array.shape[1]]
        if empty or not arrays:
            raise refuse("vectors", "of columns with vectors of width 1 or more", empty)
        if several := [name for name in vectors if vectors[name].importances is not None]:
            raise refuse("vectors", "of columns with one hash function at most", several)
        check_left(parameters, "num_embeddings", "embedding_dims", "names")
        sizes, dims = zip(*(a.shape for a in arrays), strict=True)
        layer = cls(sizes, dims, names=vectors.columns, **parameters)
        layer.category_vectors = vectors
        with torch.no_grad():
            for c, array in enumerate(arrays):
                layer.table(c).copy_(torch.from_numpy(np.array(array)))
        layer.requires_grad_(not freeze)
        return layer

    def table(self, column: int | str) -> Tensor:
        """View of one column's table.

        Parameters
        ----------
        column : int or str
            Its position, or its name, if no other column has it.

        Returns
        -------
        tensor of shape (num_embeddings, embedding_dim)
            Of the layer's own memory: write to it under `torch.no_grad`.

        Raises
        ------
        CategoryError
            If there is no such column, or more than one.
        """
        return self.tables.table(self._place(column))

    def freeze(self, columns: Sequence[int | str] | None = None) -> None:
        """Let no gradient into the tables of some columns, or into any.

        With `RowwiseAdagrad`, or plain SGD, frozen tables do not move by a bit. Optimizers with
        momentum or weight decay, such as AdamW, move rows without a gradient.

        Parameters
        ----------
        columns : sequence of int or str, optional
            Positions or names; by default all, and then nothing is left to train.

        Raises
        ------
        CategoryError
            If there is no such column, or more than one.
        ParameterError
            If `columns` is no list.
        """
        if columns is None:
            self.requires_grad_(False)
            return
        if isinstance(columns, str | int):
            raise refuse("columns", "a list of positions or names", columns)
        self.tables.freeze([self._place(column) for column in columns])

    def forward(self, codes: Tensor) -> Tensor:
        """Look up codes of shape (B, C); gives (B, sum(embedding_dims))."""
        return self._looked_up(self.tables, codes)

    def l2(self, codes: Tensor) -> Tensor:
        """Half the sum of squares of the rows that a batch uses, each once.

        Parameters
        ----------
        codes : tensor of integers of shape (B, C)
            The batch's.

        Returns
        -------
        tensor of shape ()
            Times a strength, to be added to the batch's mean loss.

        Raises
        ------
        InputError
            If codes are no integers, of another shape or beyond their table.
        """
        return self._looked_up(self.tables.l2, codes)

    def extra_repr(self) -> str:
        """What `repr` says in the brackets."""
        return f"{some(self.num_embeddings)} rows of {some(self.embedding_dims)}"

    def _looked_up(self, look_up: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
        """What `look_up` finds at codes; codes beyond their table are an error that says so."""
        codes = checked_codes(codes, len(self.embedding_dims))
        if torch.compiler.is_compiling():
            return look_up(codes)
        try:
            return look_up(codes)
        except IndexError as error:
            raise self.tables.explained(codes, self.names) or error from error

    def _place(self, column: int | str) -> int:
        places = [i for i, name in enumerate(self.names) if name == column]
        if isinstance(column, int) and not isinstance(column, bool):
            places = [column] if 0 <= column < len(self.names) else []
        if len(places) != 1:
            what = "more than one column is called" if places else "no column"
            raise CategoryError(f"{what} {column!r}; the columns are {some(self.names)}")
        return places[0]
