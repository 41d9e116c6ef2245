"""Effects and vectors for the categories of a table.

For every category of every column catvec learns an *effect* (how much it shifts the target,
shrunk towards 0 where it was rarely seen), a *vector* (how it changes what the other columns
mean) and keeps its *count*. They predict, they feed any other model, and they are yours to keep::

    from catvec import CategoryVectors, EmbeddingEncoder

    encoder = EmbeddingEncoder(random_state=0)
    Z_train = encoder.fit_transform(X_train, y_train)  # cross-fitted: no row saw its own target
    Z_test = encoder.transform(X_test)
    encoder.vectors_["Store"].most_similar(262)

The names below are loaded when they are first used, so that a service that only reads a saved
`CategoryVectors` pays for neither scikit-learn nor the training code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catvec.estimators import EmbeddingClassifier as EmbeddingClassifier
    from catvec.estimators import EmbeddingEncoder as EmbeddingEncoder
    from catvec.estimators import EmbeddingPretrainer as EmbeddingPretrainer
    from catvec.estimators import EmbeddingRegressor as EmbeddingRegressor
    from catvec.estimators import suggest_dims as suggest_dims
    from catvec.vectors import CategoryVectors as CategoryVectors

__version__ = "0.1.0"

__all__ = [
    "CategoryVectors",
    "EmbeddingClassifier",
    "EmbeddingEncoder",
    "EmbeddingPretrainer",
    "EmbeddingRegressor",
    "suggest_dims",
]

_HOMES = {
    "CategoryVectors": "catvec.vectors",
    "EmbeddingClassifier": "catvec.estimators",
    "EmbeddingEncoder": "catvec.estimators",
    "EmbeddingPretrainer": "catvec.estimators",
    "EmbeddingRegressor": "catvec.estimators",
    "suggest_dims": "catvec.estimators",
}


def __getattr__(name: str) -> object:
    if name == "torch":  # the extra, which is imported when somebody asks for it
        return import_module("catvec.torch")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
