"""Tables with fewer rows than categories: hashed ones, and ones composed of two."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from catvec._checks import check_float, check_int, check_option, refuse
from catvec.errors import InputError
from catvec.torch._hashing import bucket
from catvec.torch._tables import INITIAL_STD, checked_codes

__all__ = ["HashEmbedding", "QuotientRemainderEmbedding"]

OPERATIONS = ("product", "sum", "concatenate")


class HashEmbedding(nn.Module):
    r"""Vectors of any number of categories in constant memory, without a dictionary.

    Several hash functions send a key to buckets of one table; the vector is the weighted sum of
    those, with weights that are learned, too, in a narrow table of their own:

    .. math:: v(key) = \sum_j p_j(h_0(key))\, E_{h_j(key)}

    Two keys that share one bucket rarely share all, and the weights learn which of a key's
    buckets to trust (Svenstrup, Hansen & Winther 2017, arXiv 1709.03933, section 2).

    NOTE[DIFF]: weights begin at ``1 / sqrt(num_hashes)``, so that new vectors have the standard
    deviation `std` whatever the number of hashes.

    Parameters
    ----------
    num_buckets : int
        Rows of the table of vectors.
    embedding_dim : int
        Width of a vector.
    num_hashes : int, default=2
        Hash functions, each with a bucket for every key.
    num_weights : int, optional
        Rows of the table of weights; by default as many as buckets, times `num_hashes`.
    std : float, default=0.03
        Standard deviation of new vectors.
    sparse : bool, default=False
        Whether gradients are sparse.
    device, dtype
        Of the tables.

    Attributes
    ----------
    weight : Parameter of shape (num_buckets, embedding_dim)
        Vectors by bucket.
    importance : Parameter of shape (num_weights, num_hashes)
        What each hash function counts.

    Shape
    -----
    Input: keys, any int64 (ids, or hashes of texts), of any shape (*).
    Output: (*, embedding_dim).

    Raises
    ------
    ParameterError
        If a size is below 1 or `std` is negative.
    InputError
        In `forward`, if keys are no integers.

    Examples
    --------
    >>> import torch
    >>> from catvec.torch import HashEmbedding
    >>> users = HashEmbedding(num_buckets=1000, embedding_dim=8)
    >>> users(torch.tensor([17, -5, 2**60])).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        num_buckets: int,
        embedding_dim: int,
        *,
        num_hashes: int = 2,
        num_weights: int | None = None,
        std: float = INITIAL_STD,
        sparse: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_int("num_buckets", num_buckets, minimum=1)
        check_int("embedding_dim", embedding_dim, minimum=1)
        check_int("num_hashes", num_hashes, minimum=1)
        n_weights = num_buckets * num_hashes if num_weights is None else num_weights
        check_int("num_weights", n_weights, minimum=1)
        check_float("std", std, minimum=0.0)
        super().__init__()
        self.num_buckets, self.embedding_dim = num_buckets, embedding_dim
        self.num_hashes, self.num_weights = num_hashes, n_weights
        self.std, self.sparse = float(std), bool(sparse)
        kind: Any = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(num_buckets, embedding_dim, **kind))
        self.importance = nn.Parameter(torch.empty(n_weights, num_hashes, **kind))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New small vectors; all hash functions count alike."""
        with torch.no_grad():
            self.weight.normal_(0.0, self.std)
            self.importance.fill_(self.num_hashes**-0.5)

    def forward(self, keys: Tensor) -> Tensor:
        """Vectors of keys of any shape (*); gives (*, embedding_dim)."""
        keys = checked_codes(keys).long()
        buckets = [bucket(keys, j + 1, self.num_buckets) for j in range(self.num_hashes)]
        at = torch.stack(buckets, -1)
        vectors = functional.embedding(at, self.weight, sparse=self.sparse)
        of_key = bucket(keys, 0, self.num_weights)
        share = functional.embedding(of_key, self.importance, sparse=self.sparse)
        return (vectors * share[..., None]).sum(-2)

    def extra_repr(self) -> str:
        """What `repr` says in the brackets."""
        return f"{self.num_buckets}, {self.embedding_dim}, num_hashes={self.num_hashes}"


class QuotientRemainderEmbedding(nn.Module):
    r"""A vector of its own for every code, composed of two from much smaller tables.

    With m = `num_buckets`, code k has the rows ``k // m`` and ``k % m``, which no other code has
    both of; tables of about ``num_embeddings / m`` and m rows do for all of them (Shi, Mudigere,
    Naumov & Yang 2020, arXiv 1909.02107, section 2). As small as can be with m near the root of
    `num_embeddings`.

    NOTE[DIFF]: with ``"product"`` the vectors of quotients begin around 1, so that a vector begins
    as small as that of its remainder; a product of two small ones would be next to 0.

    Parameters
    ----------
    num_embeddings : int
        Codes, those for unknown and missing counted.
    embedding_dim : int
        Width of a vector; even for ``"concatenate"``, where each half is of one table.
    num_buckets : int
        Rows m of the table of remainders.
    operation : {"product", "sum", "concatenate"}, default="product"
        How the two make one.
    std : float, default=0.03
        Standard deviation of new vectors.
    sparse : bool, default=False
        Whether gradients are sparse.
    device, dtype
        Of the tables.

    Attributes
    ----------
    quotients : Parameter of shape (ceil(num_embeddings / num_buckets), width)
    remainders : Parameter of shape (num_buckets, width)
        The two tables; their width is `embedding_dim`, or half of it for ``"concatenate"``.

    Shape
    -----
    Input: codes, integers of any shape (*), at least 0 and below `num_embeddings`.
    Output: (*, embedding_dim).

    Raises
    ------
    ParameterError
        If a size is below 1, the operation is none of these, or a width cannot be halved.
    InputError
        In `forward`, if codes are no integers or beyond the table.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        num_buckets: int,
        *,
        operation: str = "product",
        std: float = INITIAL_STD,
        sparse: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_int("num_embeddings", num_embeddings, minimum=1)
        check_int("embedding_dim", embedding_dim, minimum=1)
        check_int("num_buckets", num_buckets, minimum=1)
        check_option("operation", operation, OPERATIONS)
        check_float("std", std, minimum=0.0)
        if operation == "concatenate" and embedding_dim % 2:
            raise refuse("embedding_dim", 'even with operation="concatenate"', embedding_dim)
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.num_buckets, self.operation = num_buckets, operation
        self.std, self.sparse = float(std), bool(sparse)
        width = embedding_dim // 2 if operation == "concatenate" else embedding_dim
        kind: Any = {"device": device, "dtype": dtype}
        n_quotients = -(-num_embeddings // num_buckets)
        self.quotients = nn.Parameter(torch.empty(n_quotients, width, **kind))
        self.remainders = nn.Parameter(torch.empty(num_buckets, width, **kind))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New vectors of standard deviation `std` about 0."""
        std = self.std / 2**0.5 if self.operation == "sum" else self.std
        with torch.no_grad():
            self.quotients.normal_(1.0 if self.operation == "product" else 0.0, std)
            self.remainders.normal_(0.0, std)

    def forward(self, codes: Tensor) -> Tensor:
        """Look up codes of any shape (*); gives (*, embedding_dim)."""
        codes = checked_codes(codes)
        # A code beyond the last would have rows, too, of which nothing was learned together.
        beyond = (codes < 0) | (codes >= self.num_embeddings)
        quotient = torch.where(beyond, len(self.quotients), codes // self.num_buckets)
        if torch.compiler.is_compiling():
            return self._composed(quotient, codes % self.num_buckets)
        try:
            return self._composed(quotient, codes % self.num_buckets)
        except IndexError as error:
            raise InputError(
                f"codes must be at least 0 and below {self.num_embeddings}, got"
                f" {int(codes.min())} to {int(codes.max())}"
            ) from error

    def _composed(self, quotient: Tensor, remainder: Tensor) -> Tensor:
        first = functional.embedding(quotient, self.quotients, sparse=self.sparse)
        second = functional.embedding(remainder, self.remainders, sparse=self.sparse)
        if self.operation == "concatenate":
            return torch.cat([first, second], -1)
        return first + second if self.operation == "sum" else first * second

    def extra_repr(self) -> str:
        """What `repr` says in the brackets."""
        return f"{self.num_embeddings}, {self.embedding_dim}, num_buckets={self.num_buckets}"
