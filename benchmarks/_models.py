"""The models that `accuracy.py` compares, each with the same rows, and what a model gets to see."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor

ROW = "row_number"  # stands for time in the rows of a task that is ordered in time
PATIENCE = 100  # rounds without gain after which boosting stops


@dataclass(frozen=True, eq=False)
class Case:
    """Rows to learn from and rows to predict; the target is on the scale that is learned.

    Classes are 0, 1, ...; of more than two a prediction has a column each.
    """

    kind: str  # "regression", "binary", "multiclass" or "poisson"
    categorical: list[str]
    X: pd.DataFrame  # in order of time where `ordered`
    y: np.ndarray
    fit: np.ndarray  # row numbers in X
    stop: np.ndarray  # rows by which a rival decides when to stop
    X_new: pd.DataFrame
    given: bool  # the task brings `stop`: nobody trains on these rows, and catvec stops by them too
    ordered: bool
    absolute: bool  # the metric is an absolute error
    threads: int = 1
    seed: int = 0
    most_rounds: int | None = None  # of boosting, to see whether it runs

    @property
    def all(self) -> np.ndarray:
        """The rows to train on in the end."""
        return self.fit if self.given else np.arange(len(self.X))


@dataclass(frozen=True, eq=False)
class Fitted:
    """Predictions, and what they took.

    `seconds` are those of a fit as a user does it: for a rival with rows to stop by, for catvec
    with what it holds out itself. The refit of a rival on all rows is
    counted apart, in seconds of the processor.
    """

    prediction: np.ndarray
    seconds: float
    cpu_seconds: float
    refit_seconds: float
    rounds: float  # of boosting; the penalty of the linear model

    @property
    def took(self) -> tuple[float, float, float]:
        return self.seconds, self.cpu_seconds, self.refit_seconds


class Watch:
    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


# A table is prepared by what its training rows say: these rows prepared, their target, and how to
# prepare others.
Encode = Callable[[pd.DataFrame], Any]
Prepare = Callable[[Case, np.ndarray], tuple[Any, np.ndarray, Encode]]
# From prepared rows, with rows to stop by or with rounds: how to predict, and the rounds.
Learn = Callable[..., tuple[Callable[[Any], np.ndarray], float]]


def two_steps(case: Case, prepare: Prepare, learn: Learn) -> Fitted:
    """Learn with rows to stop by, then again from all rows with the rounds that were best."""
    watch = Watch()
    Z, y, encode = prepare(case, case.fit)
    held_out = encode(case.X.iloc[case.stop]), case.y[case.stop]
    predict, rounds = learn(case, Z, y, held_out, None)
    seconds = watch.read()
    watch = Watch()
    if not case.given:
        Z, y, encode = prepare(case, case.all)
        predict, _ = learn(case, Z, y, None, rounds)
    refit = watch.read()[1]
    return Fitted(predict(encode(case.X_new)), *seconds, refit, rounds)


# --- catvec ---------------------------------------------------------------------------


def catvec_data(case: Case, rows: np.ndarray) -> tuple[pd.DataFrame, np.ndarray, dict[str, Any]]:
    """Training rows, target, and what else `fit` gets."""
    X = case.X.iloc[rows]
    if case.ordered:
        X = X.assign(**{ROW: np.arange(len(X))})
    held_out = dict(X_val=case.X.iloc[case.stop], y_val=case.y[case.stop]) if case.given else {}
    return X, case.y[rows], held_out


def catvec_parameters(case: Case) -> dict[str, Any]:
    """Nothing but what the table is; all else are defaults."""
    time_column = ROW if case.ordered else None
    common = dict(columns=case.categorical, time_column=time_column)
    return dict(common, n_jobs=case.threads, random_state=case.seed)


def catvec_predictor(case: Case) -> Fitted:
    """The predictor with defaults; only its loss follows the metric."""
    watch = Watch()
    X, y, held_out = catvec_data(case, case.all)
    if case.kind in ("binary", "multiclass"):
        classifier = EmbeddingClassifier(**catvec_parameters(case)).fit(X, y, **held_out)
        seconds = watch.read()
        found = classifier.predict_proba(case.X_new)
        return Fitted(found[:, 1] if case.kind == "binary" else found, *seconds, 0.0, 0)
    loss = "poisson" if case.kind == "poisson" else "absolute" if case.absolute else "auto"
    regressor = EmbeddingRegressor(loss=loss, **catvec_parameters(case)).fit(X, y, **held_out)
    seconds = watch.read()
    return Fitted(regressor.predict(case.X_new), *seconds, 0.0, 0)


def catvec_encoder(case: Case, **parameters: Any) -> EmbeddingEncoder:
    """The encoder with defaults, but for the parameters given."""
    task = {"poisson": "count"}.get(case.kind, case.kind)
    return EmbeddingEncoder(task=task, **catvec_parameters(case), **parameters)


def catvec_encoded(case: Case, rows: np.ndarray) -> tuple[Any, np.ndarray, Encode]:
    """Columns of the encoder with defaults, out of fold for the training rows."""
    X, y, held_out = catvec_data(case, rows)
    encoder = catvec_encoder(case)
    Z = encoder.fit_transform(X, y, **held_out)

    def table(Z: np.ndarray) -> pd.DataFrame:
        # Beside a joint score codes had better stay numbers: see encoder_output.py.
        return numbered(Z) if encoder.networks_ else with_codes_told(encoder, Z)

    return table(Z), y, lambda frame: table(encoder.transform(frame))


def numbered(Z: np.ndarray) -> pd.DataFrame:
    """What an encoder wrote, columns by number."""
    return pd.DataFrame(Z).rename(columns=str)


def with_codes_told(encoder: EmbeddingEncoder, Z: np.ndarray) -> pd.DataFrame:
    """As `numbered`, codes as categories, as LightGBM takes them."""
    codes = {str(c): pd.Categorical(Z[:, c].astype(int)) for c in encoder.categorical_features_}
    return numbered(Z).assign(**codes)


def catvec_and_lightgbm(case: Case) -> Fitted:
    """The mean of what the predictor and LightGBM behind the encoder say."""
    both = catvec_predictor(case), two_steps(case, prepare=catvec_encoded, learn=lightgbm)
    prediction = np.mean([fitted.prediction for fitted in both], axis=0)
    seconds = (sum(of_two) for of_two in zip(*(f.took for f in both), strict=True))
    return Fitted(prediction, *seconds, both[1].rounds)


# --- other ways to prepare a table ----------------------------------------------------


def text(X: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """These columns as strings, "<NA>" where missing."""
    filled = {c: X[c].astype(object).where(X[c].notna(), "<NA>").astype(str) for c in columns}
    return X.assign(**filled)


def with_text(case: Case, rows: np.ndarray) -> tuple[Any, np.ndarray, Encode]:
    encode = partial(text, columns=case.categorical)
    return encode(case.X.iloc[rows]), case.y[rows], encode


def native(case: Case, rows: np.ndarray) -> tuple[Any, np.ndarray, Encode]:
    """Categorical columns as pandas knows them; a category not seen is missing."""
    Z, encode = with_categories(case.X.iloc[rows], case.categorical)
    return Z, case.y[rows], encode


def with_categories(X: pd.DataFrame, columns: list[str]) -> tuple[Any, Encode]:
    known = {c: pd.unique(X[c].dropna()) for c in columns}

    def encode(frame: pd.DataFrame) -> pd.DataFrame:
        coded = {c: pd.Categorical(frame[c].where(frame[c].isin(v)), v) for c, v in known.items()}
        return frame.assign(**coded)

    return encode(X), encode


def target_encoded(case: Case, rows: np.ndarray, narrow: int) -> tuple[Any, np.ndarray, Encode]:
    """scikit-learn's TargetEncoder; columns of at most `narrow` categories stay categorical."""
    from sklearn.model_selection import KFold, StratifiedKFold
    from sklearn.preprocessing import TargetEncoder

    X, y = case.X.iloc[rows], case.y[rows]
    wide = [c for c in case.categorical if X[c].nunique() > narrow]
    Z, encode = with_categories(X, [c for c in case.categorical if c not in wide])
    if not wide:
        return Z, y, encode
    kind = case.kind if case.kind in ("binary", "multiclass") else "continuous"
    folds = KFold if kind == "continuous" else StratifiedKFold
    cv = folds(5, shuffle=True, random_state=case.seed)
    encoder = TargetEncoder(target_type=kind, cv=cv)

    def with_codes(frame: pd.DataFrame, codes: np.ndarray) -> pd.DataFrame:
        names = encoder.get_feature_names_out()  # of more than two classes one for each
        replaced = [c for c in wide if c not in names]
        return frame.drop(columns=replaced).assign(**dict(zip(names, codes.T, strict=True)))

    def encode_all(frame: pd.DataFrame) -> pd.DataFrame:
        return with_codes(encode(frame), encoder.transform(text(frame[wide], wide)))

    return with_codes(Z, encoder.fit_transform(text(X[wide], wide), y)), y, encode_all


def one_hot(case: Case, rows: np.ndarray) -> tuple[Any, np.ndarray, Encode]:
    """One column by category met twice; numbers by their quantiles, with flags for missing ones."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

    X = case.X.iloc[rows]
    numeric = [c for c in X if c not in case.categorical]
    quantiles = QuantileTransformer(
        n_quantiles=min(1000, len(X)), output_distribution="normal", random_state=0
    )
    number = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), quantiles)
    indicator = OneHotEncoder(handle_unknown="ignore", min_frequency=2)
    steps = [(indicator, case.categorical)] + [(number, numeric)] * bool(numeric)
    transformer = make_column_transformer(*steps, sparse_threshold=1.0)
    Z = transformer.fit_transform(text(X, case.categorical))
    return Z, case.y[rows], lambda frame: transformer.transform(text(frame, case.categorical))


# --- what learns from a prepared table ------------------------------------------------


def rate_and_rounds(case: Case) -> tuple[float, int]:
    """The same for all boosters, by the size of the task."""
    rate, rounds = (0.05, 2000) if len(case.fit) <= 150_000 else (0.1, 1000)
    return rate, min(rounds, case.most_rounds or rounds)


def lightgbm(
    case: Case, Z: Any, y: np.ndarray, held_out: Any, rounds: Any, absolute: bool = False
) -> tuple[Callable[[Any], np.ndarray], float]:
    import lightgbm as lgb

    rate, most = rate_and_rounds(case)
    objective = "regression_l1" if absolute else case.kind  # LightGBM's names are the kinds
    settings = dict(objective=objective, learning_rate=rate, num_threads=case.threads)
    settings |= dict(verbosity=-1, seed=case.seed)
    if case.kind == "multiclass":
        settings["num_class"] = int(case.y.max()) + 1
    data = lgb.Dataset(Z, y)
    if held_out is None:
        model = lgb.train(settings, data, int(rounds))
    else:
        valid = lgb.Dataset(*held_out, reference=data)
        stopping = lgb.early_stopping(PATIENCE, verbose=False)
        model = lgb.train(settings, data, most, [valid], callbacks=[stopping])
        rounds = max(model.best_iteration, 1)
    return partial(model.predict, num_threads=case.threads), rounds


def catboost(
    case: Case, Z: Any, y: np.ndarray, held_out: Any, rounds: Any, **options: Any
) -> tuple[Callable[[Any], np.ndarray], float]:
    import catboost as cb

    rate, most = rate_and_rounds(case)
    loss, form = {
        "regression": ("RMSE", "RawFormulaVal"),
        "binary": ("Logloss", "Probability"),
        "multiclass": ("MultiClass", "Probability"),
        "poisson": ("Poisson", "Exponent"),
    }[case.kind]
    settings = dict(loss_function=loss, learning_rate=rate, thread_count=case.threads)
    settings |= dict(random_seed=case.seed, allow_writing_files=False, verbose=False)
    pool = partial(cb.Pool, cat_features=case.categorical)
    if held_out is None:
        model = cb.CatBoost(dict(settings, iterations=int(rounds), **options)).fit(pool(Z, y))
    else:
        stopping = dict(od_type="Iter", od_wait=PATIENCE)
        model = cb.CatBoost(dict(settings, iterations=most, **stopping, **options))
        model.fit(pool(Z, y), eval_set=pool(*held_out), use_best_model=True)
        rounds = max(model.tree_count_, 1)

    def predict(Z: Any) -> np.ndarray:
        found = model.predict(pool(Z), prediction_type=form, thread_count=case.threads)
        return found[:, 1] if case.kind == "binary" else found

    return predict, rounds


def histgb(
    case: Case, Z: Any, y: np.ndarray, held_out: Any, rounds: Any
) -> tuple[Callable[[Any], np.ndarray], float]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    rate, most = rate_and_rounds(case)
    stops = held_out is not None
    settings: dict[str, Any] = dict(learning_rate=rate, max_iter=most if stops else int(rounds))
    settings |= dict(early_stopping=stops, n_iter_no_change=PATIENCE, random_state=case.seed)
    if case.kind == "binary":
        model: Any = HistGradientBoostingClassifier(**settings)
    else:
        loss = "poisson" if case.kind == "poisson" else "squared_error"
        model = HistGradientBoostingRegressor(loss=loss, **settings)
    if stops:
        model.fit(Z, y, X_val=held_out[0], y_val=held_out[1])
        # The last rounds are those without gain.
        best = int(np.argmax(model.validation_score_))
        rounds = max(best, 1)
    else:
        model.fit(Z, y)
    return partial(probability_or_value, case, model), rounds


def linear(
    case: Case, Z: Any, y: np.ndarray, held_out: Any, rounds: Any
) -> tuple[Callable[[Any], np.ndarray], float]:
    """Ridge, logistic or Poisson regression; `rounds` is the penalty."""
    from sklearn.exceptions import ConvergenceWarning

    def fitted(penalty: float) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return linear_model(case.kind, penalty, len(y)).fit(Z, y)

    if held_out is None:
        return partial(probability_or_value, case, fitted(rounds)), rounds
    grid = (0.1, 0.3, 1, 3, 10, 30, 100) if len(y) <= 150_000 else (1, 10)
    best, lowest = None, np.inf
    for penalty in grid:
        predict = partial(probability_or_value, case, fitted(penalty))
        loss = held_out_loss(case.kind, held_out[1], predict(held_out[0]))
        if loss < lowest or best is None:
            best, lowest, rounds = predict, loss, penalty
    assert best is not None
    return best, rounds


def linear_model(kind: str, penalty: float, n_rows: int) -> Any:
    from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

    if kind == "binary":
        return LogisticRegression(C=1 / penalty, max_iter=200)
    if kind == "poisson":
        return PoissonRegressor(alpha=penalty / n_rows, max_iter=200)
    return Ridge(alpha=penalty, solver="sparse_cg")


def held_out_loss(kind: str, y: np.ndarray, prediction: np.ndarray) -> float:
    from sklearn import metrics

    if kind == "binary":
        return float(metrics.log_loss(y, prediction, labels=[0, 1]))
    if kind == "poisson":
        return float(metrics.mean_poisson_deviance(y, prediction))
    return float(metrics.mean_squared_error(y, prediction))


def probability_or_value(case: Case, model: Any, Z: Any) -> np.ndarray:
    return model.predict_proba(Z)[:, 1] if case.kind == "binary" else model.predict(Z)


def mean(case: Case) -> Fitted:
    """The same for each row: the target's mean, or the share of each class."""
    y = case.y[case.all]
    found = np.eye(y.max() + 1)[y].mean(axis=0) if case.kind == "multiclass" else y.mean()
    return Fitted(np.array([found] * len(case.X_new)), 0.0, 0.0, 0.0, 0)


# --- by name --------------------------------------------------------------------------

te_for_lightgbm = partial(target_encoded, narrow=10)
te_for_histgb = partial(target_encoded, narrow=255)  # the most that it takes as they are
lightgbm_l1 = partial(lightgbm, absolute=True)

MODELS: dict[str, Callable[[Case], Fitted]] = {
    "mean": mean,
    "catvec": catvec_predictor,
    "catvec_lightgbm": partial(two_steps, prepare=catvec_encoded, learn=lightgbm),
    "catvec_and_lightgbm": catvec_and_lightgbm,
    "lightgbm_te": partial(two_steps, prepare=te_for_lightgbm, learn=lightgbm),
    "lightgbm_native": partial(two_steps, prepare=native, learn=lightgbm),
    "catvec_lightgbm_l1": partial(two_steps, prepare=catvec_encoded, learn=lightgbm_l1),
    "lightgbm_te_l1": partial(two_steps, prepare=te_for_lightgbm, learn=lightgbm_l1),
    "lightgbm_native_l1": partial(two_steps, prepare=native, learn=lightgbm_l1),
    "histgb_te": partial(two_steps, prepare=te_for_histgb, learn=histgb),
    "linear_onehot": partial(two_steps, prepare=one_hot, learn=linear),
    "catboost": partial(two_steps, prepare=with_text, learn=catboost),
    "catboost_onehot": partial(
        two_steps, prepare=with_text, learn=partial(catboost, one_hot_max_size=255)
    ),
}
ON_REQUEST = ["catboost_onehot", "catvec_and_lightgbm"]


def is_ours(model: str) -> bool:
    return model.startswith("catvec")


def package(model: str) -> str:
    """Name and version of what a rival is made of."""
    for name, start in (("lightgbm", "lightgbm"), ("catboost", "catboost"), ("numpy", "mean")):
        if model.startswith(start):
            return f"{name} {importlib.metadata.version(name)}"
    return f"scikit-learn {importlib.metadata.version('scikit-learn')}"


def warm_up(models: list[str]) -> float:
    """Import the packages and compile catvec's loops, once by process; seconds that it took."""
    watch = Watch()
    for name in ("lightgbm", "catboost"):
        if any(model.startswith(name) or model.endswith(name) for model in models):
            importlib.import_module(name)
    if any(map(is_ours, models)):
        rng = np.random.default_rng(0)
        X = pd.DataFrame({"c": rng.choice(list("abc"), 300), "x": rng.normal(size=300)})
        options = dict(n_epochs=1, n_networks=1, engine="auto" if not numba() else "numba")
        for loss in ("squared", "absolute", "poisson"):
            EmbeddingRegressor(loss=loss, **options).fit(X, rng.poisson(1, 300))
        EmbeddingClassifier(**options).fit(X, rng.integers(0, 2, 300))
    return watch.read()[0]


def numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def run_model(model: str, case: Case) -> Fitted:
    """Fit and predict within the threads of the case."""
    with threadpool_limits(case.threads):
        return MODELS[model](case)
