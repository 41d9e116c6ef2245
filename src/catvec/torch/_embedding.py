"""One column's lookup layer, plain and regularised."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from catvec._checks import check_float, check_int, refuse
from catvec.errors import InputError
from catvec.torch._constants import WithConstants
from catvec.torch._layers import Dropout
from catvec.torch._tables import INITIAL_STD, check_left, checked_codes, initialize
from catvec.vectors import ColumnVectors

__all__ = ["CategoryEmbedding", "RegularizedEmbedding"]


class CategoryEmbedding(WithConstants):
    """A lookup layer with small initial vectors: one-hot times matrix, without the one-hot.

    As `torch.nn.Embedding`, but for how vectors begin and for the two rows that come first: row 0
    is the unknown category, row 1 the missing one. No row takes part in another's forward pass; a
    row that is not looked up has no gradient.

    NOTE[DIFF]: `torch.nn.Embedding` begins with N(0, 1). That cost 0.06-0.13 of mean squared error
    on a standardised target, and more on unknown categories; hence `std`. Row 0 begins at 0, which
    is where the others are about.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table, those for unknown and missing counted: 2 plus the known categories.
    embedding_dim : int
        Width of a vector.
    std : float, default=0.03
        Standard deviation of new vectors.
    sparse : bool, default=False
        Whether the gradient is sparse: of the rows looked up only, for `RowwiseAdagrad`.
    device, dtype
        Of the table.

    Attributes
    ----------
    weight : Parameter of shape (num_embeddings, embedding_dim)
        The table.
    column_vectors : ColumnVectors or None
        What `from_vectors` was given; `to_vectors` takes its categories and effects.

    Shape
    -----
    Input: codes, integers of any shape (*), at least 0 and below `num_embeddings`.
    Output: (*, embedding_dim).

    Raises
    ------
    ParameterError
        If a size is below 1 or `std` is negative.
    InputError
        In `forward`, if codes are no integers or beyond the table.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import CategoryEmbedding
    >>> city = CategoryEmbedding(num_embeddings=5, embedding_dim=3)
    >>> city(torch.tensor([0, 2, 4])).shape
    torch.Size([3, 3])
    """

    column_vectors: ColumnVectors | None = None

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        std: float = INITIAL_STD,
        sparse: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        num_embeddings = check_int("num_embeddings", num_embeddings, minimum=1)
        embedding_dim = check_int("embedding_dim", embedding_dim, minimum=1)
        check_float("std", std, minimum=0.0)
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.std, self.sparse = float(std), bool(sparse)
        size = (num_embeddings, embedding_dim)
        self.weight = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.register_buffer("_frozen", None, persistent=False)
        self.reset_parameters()

    _frozen: Tensor | None

    def reset_parameters(self) -> None:
        """New small vectors around row 0, which is 0."""
        initialize(self.weight, self.std)

    @classmethod
    def from_vectors(
        cls, column_vectors: ColumnVectors, freeze: bool = True, **parameters: Any
    ) -> Self:
        """A layer that looks up learned vectors.

        Parameters
        ----------
        column_vectors : ColumnVectors
            Such as ``model.vectors_["Store"]``; codes are those of its ``vocabulary``.
        freeze : bool, default=True
            Whether they are to stay as they are, as in `torch.nn.Embedding.from_pretrained`.
        **parameters
            Further parameters of the class.

        Returns
        -------
        CategoryEmbedding
            Of the class it is called on.

        Raises
        ------
        ParameterError
            If `column_vectors` is none, holds no vectors (the width is 0), or has several hash
            functions; or if `parameters` has a size, which the vectors tell.
        """
        if not isinstance(column_vectors, ColumnVectors):
            raise refuse(
                "column_vectors", 'of one column, as `model.vectors_["Store"]` is', column_vectors
            )
        vectors = column_vectors.by_code()[0]
        if not vectors.shape[1]:
            raise refuse("column_vectors", "vectors of width 1 or more", column_vectors)
        if column_vectors.importances is not None:
            raise refuse("column_vectors", "of one hash function at most", column_vectors)
        check_left(parameters, "num_embeddings", "embedding_dim")
        layer = cls(*vectors.shape, **parameters)
        layer.column_vectors = column_vectors
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.array(vectors)))
        layer.weight.requires_grad_(not freeze)
        return layer

    def freeze(self, codes: Tensor | None = None) -> None:
        """Let no gradient into some rows, or into any.

        With `RowwiseAdagrad`, or plain SGD, frozen rows do not move by a bit. Optimizers with
        momentum or weight decay, such as AdamW, move rows without a gradient.

        Parameters
        ----------
        codes : tensor or list of integers, optional
            The rows; by default the whole table, which is then no parameter to train.

        Raises
        ------
        InputError
            If codes are no integers or beyond the table.
        """
        if codes is None:
            self.weight.requires_grad_(False)
            return
        device = self.weight.device
        codes = torch.as_tensor(codes, device=device)
        if not codes.numel():  # a list of nothing is one of floats to PyTorch
            return
        codes = checked_codes(codes)
        if ((codes < 0) | (codes >= self.num_embeddings)).any():
            raise self._beyond(codes)
        if self._frozen is None:
            self._frozen = torch.zeros(self.num_embeddings, dtype=torch.bool, device=device)
        self._frozen[codes.long()] = True

    def forward(self, codes: Tensor) -> Tensor:
        """Look up codes of any shape (*); gives (*, embedding_dim)."""
        codes = checked_codes(codes)
        if torch.compiler.is_compiling():
            return self._looked_up(codes)
        try:
            return self._looked_up(codes)
        except IndexError as error:
            raise self._beyond(codes) from error

    def _looked_up(self, codes: Tensor) -> Tensor:
        vectors = functional.embedding(codes, self.weight, sparse=self.sparse)
        if self._frozen is not None:
            vectors = torch.where(self._frozen[codes][..., None], vectors.detach(), vectors)
        return vectors

    def _beyond(self, codes: Tensor) -> InputError:
        return InputError(
            f"codes must be at least 0 and below {self.num_embeddings}, the rows of the table,"
            f" got {int(codes.min())} to {int(codes.max())}"
        )

    def extra_repr(self) -> str:
        """What `repr` says in the brackets."""
        return f"{self.num_embeddings}, {self.embedding_dim}, sparse={self.sparse}"


class RegularizedEmbedding(CategoryEmbedding):
    r"""A lookup layer with dropout, L2 of the rows used, and the network's Gaussian prior.

    The two dropouts act in training only. `penalty` is to be added to a batch's mean loss; of B
    rows that look at k_1 ... k_B it is

    .. math::
        \frac{l_2}{2} \sum_{k \in \{k_1, ..., k_B\}} |v_k|^2
        + \frac{\lambda}{2 B} \sum_{i=1}^{B} \frac{|v_{k_i} - v_0|^2}{n_{k_i}}

    Over an epoch the second sum gives every row the same prior, however often it is seen: the
    objective of catvec's network. There row 0, what an unknown category is answered by, is drawn to
    the middle of the others.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        As in `CategoryEmbedding`.
    dropout : float, default=0.0
        Share of the elements left out in training, in [0, 1); the others are scaled up
        (Srivastava et al. 2014, JMLR 15).
    category_dropout : float, default=0.0
        Share of the codes that are taken for unknown in training, in [0, 1): whole vectors make
        room for row 0, which these train (Gal & Ghahramani 2016, arXiv 1512.05287, section 4.2).
    l2 : float, default=0.0
        Strength of the L2 of the rows that a batch uses, each once.
    shrinkage : float, default=0.0
        Strength lambda of the prior, in rows of the loss.
    counts : array-like or tensor of shape (num_embeddings,), optional
        n_k: how many training rows look at each row of the table. Needed where `shrinkage` is not
        0. Rows with none have no prior.
    **parameters
        ``std``, ``sparse``, ``device`` and ``dtype``, as in `CategoryEmbedding`.

    Shape
    -----
    Input: codes, integers of any shape (*).
    Output: (*, embedding_dim).

    Raises
    ------
    ParameterError
        If a number is out of range, or `counts` are missing or of another length.
    """

    counts: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dropout: float = 0.0,
        category_dropout: float = 0.0,
        l2: float = 0.0,
        shrinkage: float = 0.0,
        counts: Any = None,
        **parameters: Any,
    ) -> None:
        for name, share in (("dropout", dropout), ("category_dropout", category_dropout)):
            check_float(name, share, minimum=0.0, maximum=0.99)
        for name, strength in (("l2", l2), ("shrinkage", shrinkage)):
            check_float(name, strength, minimum=0.0)
        if shrinkage and counts is None:
            raise refuse("counts", "given with `shrinkage`: training rows by code", counts)
        held = _checked_counts(counts, check_int("num_embeddings", num_embeddings, minimum=1))
        super().__init__(num_embeddings, embedding_dim, **parameters)
        self.dropout = Dropout(dropout)
        self.category_dropout, self.l2 = float(category_dropout), float(l2)
        self.shrinkage = float(shrinkage)
        self.hold("counts", held, self.weight.device)

    def forward(self, codes: Tensor) -> Tensor:
        """Look up codes of any shape (*); gives (*, embedding_dim)."""
        if self.training and self.category_dropout:
            codes = checked_codes(codes)
            dropped = torch.rand(codes.shape, device=codes.device) < self.category_dropout
            codes = codes.masked_fill(dropped, 0)
        vectors: Tensor = self.dropout(super().forward(codes))
        return vectors

    def penalty(self, codes: Tensor) -> Tensor:
        """What a batch adds to its mean loss.

        Parameters
        ----------
        codes : tensor of integers, of any shape
            The batch's, before any dropout.

        Returns
        -------
        tensor of shape ()

        Raises
        ------
        InputError
            If codes are no integers or beyond the table.
        """
        codes = checked_codes(codes).flatten()
        if torch.compiler.is_compiling():
            return self._penalty(codes)
        try:
            return self._penalty(codes)
        except IndexError as error:
            raise self._beyond(codes) from error

    def _penalty(self, codes: Tensor) -> Tensor:
        total = self.weight.new_zeros(())
        if self.l2:
            total = total + self.l2 / 2 * self._looked_up(codes.unique()).square().sum()
        if self.shrinkage and len(codes):
            vectors, center = self._looked_up(codes), self._looked_up(codes.new_zeros(1))
            n = self.counts[codes]
            share = torch.where(n > 0, 1.0 / n.clamp(min=1e-30), 0.0)
            away = (vectors - center).square().sum(-1)
            total = total + self.shrinkage / (2 * len(codes)) * (share * away).sum()
        return total


def _checked_counts(counts: Any, n: int) -> Tensor:
    """Training rows of each of the `n` codes, float32; 1 each by default."""
    if counts is None:
        return torch.ones(n, device="cpu")
    try:
        held = counts.detach() if isinstance(counts, Tensor) else torch.tensor(counts, device="cpu")
        held = held.to("cpu", torch.float32, copy=True)
    except (TypeError, ValueError, RuntimeError):
        raise refuse("counts", "numbers of training rows, one by code", counts) from None
    if held.shape != (n,):
        raise refuse("counts", f"of shape ({n},)", tuple(held.shape))
    if not (held.isfinite() & (held >= 0)).all():
        raise refuse("counts", "finite and at least 0", counts)
    return held
