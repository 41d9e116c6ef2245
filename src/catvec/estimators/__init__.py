"""scikit-learn faces: an encoder for other models, and predictors of their own."""

from catvec.estimators._drift_report import CategoryShift as CategoryShift
from catvec.estimators._drift_report import ColumnDrift as ColumnDrift
from catvec.estimators._drift_report import DriftReport as DriftReport
from catvec.estimators._drift_report import EffectShift as EffectShift
from catvec.estimators._encoder import EmbeddingEncoder as EmbeddingEncoder
from catvec.estimators._explanation import Explanation as Explanation
from catvec.estimators._learning import Progress as Progress
from catvec.estimators._predictors import EmbeddingClassifier as EmbeddingClassifier
from catvec.estimators._predictors import EmbeddingRegressor as EmbeddingRegressor
from catvec.estimators._pretrainer import EmbeddingPretrainer as EmbeddingPretrainer
from catvec.estimators._suggestion import ColumnDims as ColumnDims
from catvec.estimators._suggestion import SuggestedDims as SuggestedDims
from catvec.estimators._suggestion import suggest_dims as suggest_dims
from catvec.pretraining import Benefit as Benefit
from catvec.pretraining import PretrainingProgress as PretrainingProgress
