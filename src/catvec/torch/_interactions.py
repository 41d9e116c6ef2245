"""How vectors of categories meet: five ways, as a module."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, combinations
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn import functional

from catvec._checks import check_option, refuse
from catvec.errors import InputError
from catvec.torch._constants import WithConstants
from catvec.torch._tables import check_sizes

__all__ = ["PairwiseInteraction"]

KINDS = ("concatenate", "sum", "product", "bilinear", "factorization_machine")


class PairwiseInteraction(WithConstants):
    r"""Combine the vectors of several columns.

    ======================= ============================================== =====================
    kind                    output                                         width
    ======================= ============================================== =====================
    "concatenate"           the vectors side by side                       sum of widths
    "sum"                   :math:`\sum_i v_i`                             widest
    "product"               :math:`v_i \odot v_j` for each pair            sum over pairs
    "bilinear"              :math:`(v_i W_{ij}) \odot v_j` for each pair   sum over pairs
    "factorization_machine" :math:`\sum_{i<j} v_i \odot v_j`               widest
    ======================= ============================================== =====================

    A vector narrower than another counts as if it ended in zeros. The sum of a factorization
    machine's output is its second-order term (Rendle 2010, ICDM, equation 1 and lemma 3.1); kept
    apart, a layer can weigh the elements (bi-interaction pooling, He & Chua 2017, arXiv
    1708.05027). Products are those of product-based networks (Qu et al. 2016, arXiv 1611.00144),
    bilinear ones those of FiBiNET with a matrix for each pair (Huang, Zhang & Zhang 2019, arXiv
    1905.09433, equation 5): their sum is :math:`v_i W_{ij} v_j^{\top}`.

    Parameters
    ----------
    kind : {"concatenate", "sum", "product", "bilinear", "factorization_machine"}
        See above.
    embedding_dims : sequence of int
        Width of each column's vectors.
    pairs : sequence of (i, j) or (i, j, width), optional
        Which columns meet, for ``"product"`` and ``"bilinear"``, and over how many leading
        dimensions, for ``"product"``; by default all pairs, over as many as both have.

    Attributes
    ----------
    output_dim : int
        Width of the output.

    Shape
    -----
    Input: (B, sum(embedding_dims)), as `CategoryEmbeddings` gives it.
    Output: (B, output_dim).

    Raises
    ------
    ParameterError
        If `kind` is none of these, or pairs are of columns that do not exist.
    InputError
        In `forward`, if the input has another width.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import PairwiseInteraction
    >>> product = PairwiseInteraction("product", [4, 8, 8])
    >>> product(torch.ones(2, 20)).shape
    torch.Size([2, 16])
    """

    left: Tensor
    right: Tensor

    def __init__(
        self,
        kind: str,
        embedding_dims: Sequence[int],
        *,
        pairs: Sequence[Sequence[int]] | None = None,
    ) -> None:
        check_option("kind", kind, KINDS)
        dims = check_sizes("embedding_dims", embedding_dims)
        triples = _triples(dims, pairs)
        super().__init__()
        self.kind, self.embedding_dims, self.width = kind, tuple(dims), sum(dims)
        self.pairs = [(i, j) for i, j, _ in triples]
        starts = list(accumulate(dims, initial=0))
        left = [starts[i] + k for i, _, width in triples for k in range(width)]
        right = [starts[j] + k for _, j, width in triples for k in range(width)]
        for name, places in (("left", left), ("right", right)):
            self.hold(name, torch.tensor(places, dtype=torch.long, device="cpu"), None)
        self.matrices = nn.ParameterList(
            torch.empty(dims[i], dims[j]) for i, j in self.pairs if kind == "bilinear"
        )
        pooled = max(dims, default=0)
        self.output_dim = {
            "concatenate": self.width,
            "product": len(left),
            "bilinear": sum(dims[j] for _, j in self.pairs),
        }.get(kind, pooled)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Bilinear matrices begin as identities: as products."""
        for matrix in self.matrices:
            nn.init.eye_(matrix)

    def forward(self, x: Tensor) -> Tensor:
        """Combine vectors side by side (B, sum(embedding_dims)); gives (B, output_dim)."""
        if x.ndim != 2 or x.shape[1] != self.width:
            raise InputError(f"vectors must be of shape (rows, {self.width}), got {tuple(x.shape)}")
        if self.kind == "concatenate":
            return x
        if self.kind == "product":
            return x.index_select(1, self.left) * x.index_select(1, self.right)
        if self.kind == "bilinear":
            vectors = x.split(list(self.embedding_dims), 1)
            met = zip(self.pairs, self.matrices, strict=True)
            return torch.cat([x[:, :0], *(vectors[i] @ w * vectors[j] for (i, j), w in met)], 1)
        sums = self._summed(x)
        if self.kind == "sum":
            return sums
        return 0.5 * (sums.square() - self._summed(x.square()))

    def _summed(self, x: Tensor) -> Tensor:
        """Sum over columns, of shape (B, widest)."""
        vectors = x.split(list(self.embedding_dims), 1)
        widest = max(self.embedding_dims, default=0)
        padded = [functional.pad(v, (0, widest - v.shape[1])) for v in vectors]
        return torch.stack(padded).sum(0) if padded else x

    def extra_repr(self) -> str:
        """What `repr` says in the brackets."""
        return f"{self.kind!r}, {self.width} -> {self.output_dim}"


def _triples(
    dims: Sequence[int], pairs: Sequence[Sequence[int]] | None
) -> list[tuple[int, int, int]]:
    if pairs is None:
        pairs = list(combinations(range(len(dims)), 2))
    triples = []
    for pair in pairs:
        sized = isinstance(pair, Sequence) and len(pair) in (2, 3)
        if not sized or not all(isinstance(k, Integral) for k in pair):
            raise refuse("pairs", "a list of (i, j) or (i, j, width)", pair)
        i, j, *width = pair
        if not (0 <= i < len(dims) and 0 <= j < len(dims)):
            raise refuse("pairs", f"of columns 0 to {len(dims) - 1}", pair)
        both = min(dims[i], dims[j])
        if width and not 1 <= width[0] <= both:
            raise refuse("pairs", f"over 1 to {both} dimensions for {(i, j)}", pair)
        triples.append((i, j, width[0] if width else both))
    return triples
