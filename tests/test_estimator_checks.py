"""scikit-learn's own checks, on the estimators as they come and with a categorical column named."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor

pytestmark = pytest.mark.usefixtures("few_steps")

BY_NAME = "frames are matched by name: another order is no error, and further columns are ignored"
RANDOM_SPLIT = (
    "held-out rows and batches are drawn at random, so leaving a row out or giving it twice"
    " changes which rows train, not only how much they weigh; effects do obey it (test_effects)"
)
CROSS_FITTED = (
    "fit_transform(X, y) is cross-fitted and differs from fit(X, y).transform(X), as in"
    " scikit-learn's TargetEncoder"
)

NAMES = "check_dataframe_column_names_consistency"
EXPECTED = {
    NAMES: BY_NAME,
    "check_sample_weight_equivalence_on_dense_data": RANDOM_SPLIT,
    "check_sample_weight_equivalence_on_sparse_data": RANDOM_SPLIT,
}
OF_ENCODER = {  # of numbers alone, which an encoder passes through, nothing is learned
    **EXPECTED,
    "check_transformer_general": CROSS_FITTED,
    "check_transformer_data_not_an_array": CROSS_FITTED,
}


def expected(estimator):
    if not isinstance(estimator, EmbeddingEncoder):
        return EXPECTED
    return OF_ENCODER if estimator.columns else {NAMES: BY_NAME}


def few(kind, **parameters):
    """An estimator that answers fast; what is checked does not depend on how well it learned."""
    few = {"n_networks": 1, "shrinkage": 1.0, "interactions": "concatenate", "n_epochs": 10}
    return kind(**{**few, "random_state": 0, **parameters})


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.filterwarnings("ignore:no column is categorical")
@parametrize_with_checks(
    [
        few(EmbeddingEncoder),
        few(EmbeddingEncoder, columns=[0]),
        few(EmbeddingRegressor),
        few(EmbeddingRegressor, columns=[0], interactions="auto"),  # chosen in each fit
        few(EmbeddingClassifier),
        few(EmbeddingClassifier, columns=[0]),
    ],
    expected_failed_checks=expected,
)
def test_scikit_learn(estimator, check):
    check(estimator)
