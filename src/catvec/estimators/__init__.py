"""scikit-learn faces: an encoder for other models, and predictors of their own."""

from catvec.estimators._encoder import EmbeddingEncoder as EmbeddingEncoder
from catvec.estimators._explanation import Explanation as Explanation
from catvec.estimators._learning import Progress as Progress
from catvec.estimators._predictors import EmbeddingClassifier as EmbeddingClassifier
from catvec.estimators._predictors import EmbeddingRegressor as EmbeddingRegressor
