"""The same network as PyTorch modules: for models of one's own, for GPUs, for moving between both.

Needs the extra `torch`: ``pip install 'catvec[torch]'``. Codes are those of the estimators: row 0
of a table is the unknown category, row 1 the missing one.
"""

from importlib.util import find_spec

from catvec.errors import MissingDependencyError

if find_spec("torch") is None:
    raise MissingDependencyError("catvec.torch needs PyTorch: pip install 'catvec[torch]'")

from catvec.torch._compressed import HashEmbedding, QuotientRemainderEmbedding
from catvec.torch._embedding import CategoryEmbedding, RegularizedEmbedding
from catvec.torch._embeddings import CategoryEmbeddings
from catvec.torch._estimator import EstimatorModule, from_estimator, to_estimator, to_vectors
from catvec.torch._interactions import PairwiseInteraction
from catvec.torch._knots import KnotEmbedding
from catvec.torch._model import TabularEmbeddingModel
from catvec.torch._network import NetworkModule
from catvec.torch._optimizer import RowwiseAdagrad, parameter_groups
from catvec.torch._training import TorchBackend

__all__ = [
    "CategoryEmbedding",
    "CategoryEmbeddings",
    "EstimatorModule",
    "HashEmbedding",
    "KnotEmbedding",
    "NetworkModule",
    "PairwiseInteraction",
    "QuotientRemainderEmbedding",
    "RegularizedEmbedding",
    "RowwiseAdagrad",
    "TabularEmbeddingModel",
    "TorchBackend",
    "from_estimator",
    "parameter_groups",
    "to_estimator",
    "to_vectors",
]
