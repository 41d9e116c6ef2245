"""The parameters that all estimators share: stored by ``__init__``, checked when `fit` starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from catvec._checks import check_float, check_int, check_n_jobs, check_option, refuse
from catvec.frames import read_specs
from catvec.network import ENGINES, INTERACTIONS, RULES

MEASURES = "squared", "absolute", "quantile"
LOSSES_OF_TASK = {  # the first is what "auto" means
    "regression": MEASURES,
    "binary": ("logistic",),
    "multiclass": ("softmax",),
    "count": ("poisson", *MEASURES),
}

T = TypeVar("T", bound=type)

SHARED = """\
columns : list of str or int, optional
        Exactly the categorical columns: names, or positions in the whole table, as of arrays. By
        default text, categories and booleans are; integers, floats and dates only where named. The
        other columns are numbers; text among them is then an error.
    embedding_dim : int, str, callable or mapping, default="auto"
        Width of the vectors: a number, the name of a rule (see `catvec.network.RULES`), a function
        of the number of categories, or any of these by column. ``"auto"``: as many dimensions as a
        network, trained to choose the shrinkage, made use of, at most those of ``"compact"``.
    min_frequency : int, default=1
        Categories in fewer training rows than this (in lists: met fewer times) share, and train,
        the row for unknown ones.
    shrinkage : float, mapping or "auto", default="auto"
        Strength of the prior that draws vectors to their column's centre, in rows of the loss; by
        column for a mapping. ``"auto"`` takes what is best on held-out rows, from 0.1 to
        1000, or to a million where rows of a group are alike; the same for all columns.
    pairs : None, list of pairs of str or int, or "auto", default="auto"
        Pairs of categorical columns that are taken as columns more, with effects and tables of
        their own, such as ``[("Store", "DayOfWeek")]``. ``"auto"``: those that part rows further
        than either column and meet again, at most 36, if a network that has them is better on
        held-out rows, else none; none where effects alone are wanted.
    tables : mapping, optional
        What the tables of columns are to be, by name; others have a row by category.
        ``{"kind": "hashed", "n_buckets": None, "n_hashes": 2, "n_exact": 0}``: any number of
        values in so many rows, without a dictionary (by default the next power of two after the
        number of rows, from 2**12 to 2**18: say how many where a stream begins small); a vector is
        the mean of the rows that several hash functions choose, with learned weights; the `n_exact`
        most frequent values have rows of their own. ``{"kind": "compositional", "n_buckets": None,
        "combine": "sum"}``: a vector of its own for every category, from a row for the quotient of
        its code by `n_buckets` (by default the root of their number) and one for the remainder; or
        ``"product"``, ``"concatenate"``. ``{"share": "away"}``: categories and table are those of
        another column. ``{"kind": "list", "weights": "column"}``: cells are lists of categories,
        summed with the weights in the lists of another column; without `weights`, and without being
        named here, columns of lists are the means of their elements.
    memory_budget : int or str, optional
        Bytes that the fitted model may have, such as ``"64MB"``: networks, effects, vectors, counts
        and categories. Where they do not suffice, what was learned is packed: the networks' tables
        and the vectors are kept by common coordinates in as many bits as fit, effects and the
        layers' matrices in eight bits. Where not even that would fit, only the
        most frequent categories keep rows of their own and the others of a column share a few.
        Pairs keep the most frequent combinations. What `tables` says of a column stays, in half
        precision. `partial_fit` needs a model not cut so, and bytes for what it goes on from.
    interactions : {"auto", "concatenate", "product", "factorization_machine"}, default="auto"
        How vectors of categorical columns meet before the first layer. ``"concatenate"``: side by
        side. ``"product"``: also multiplied by pairs of columns, element by element: at most
        the 28 pairs with the most combinations, over so many dimensions that products are at most
        128 (Qu et al. 2016, arXiv 1611.00144).
        ``"factorization_machine"``: products of all pairs, summed, go straight to the prediction
        (Rendle 2010, ICDM; Guo et al. 2017, arXiv 1703.04247). ``"auto"``: side by side, unless
        one of the others is clearly better on held-out rows.
    n_knots : int or "auto", default="auto"
        Most knots of a numeric column, between which a learned table is interpolated; one at each
        distinct value while there are at most that many. 0: numbers are only scaled.
        ``"auto"``: 128.
    hidden_sizes : sequence of int, default=(128, 64)
        Units of each hidden layer; none for a linear model (of columns, pairs and products; with
        ``pairs=None`` and ``interactions="concatenate"`` of columns only).
    batch_norm : bool or "auto", default="auto"
        Whether hidden layers are normalised by the batch (Ioffe & Szegedy 2015, arXiv 1502.03167).
        ``"auto"``: in every second network (of every four, where some see effects), or in all where
        that is better on held-out rows, or where rows come in time or in groups.
    dropout : float, default=0.0
        Share of hidden units left out at a time in training, in [0, 0.99].
    embedding_dropout : float, default=0.0
        Share of the elements of categories' vectors left out at a time in training, in [0, 0.99].
    category_dropout : float or "auto", default="auto"
        Share of the categories, over rows and columns, that are taken for unknown at a time in
        training, in [0, 0.99]: at most one of a row (two for networks that see effects), in at
        most 30% of the rows (or this share), and more often of a column with many. ``"auto"``:
        0.05, and of a table above 80,000 rows about 4,000 cells of a column, but no less than 0.02.
        It trains the row for unknown ones in every column, and the other columns to do without. An
        encoder's `fit_transform` writes as many so, from which the next model learns to read them
        (but not where effects alone are wanted).
    loss : str, default="auto"
        What is minimised{losses}
    quantile : float, optional
        The level in (0, 1) that ``loss="quantile"`` predicts.
    init : CategoryVectors, str or path-like, optional
        Vectors learned elsewhere, or the path of them or of a model, that the vectors of categories
        begin with and that the prior draws to in place of the column's centre: with little evidence
        a category stays there. Columns go by name, categories by value; categories that only these
        vectors know are known to the fit, too. Wider vectors are projected on their leading
        directions; narrower ones fill the first dimensions. With ``embedding_dim="auto"`` vectors
        keep their width, up to 32. Their scale does not matter.
    column_map : mapping, optional
        Which column of `init` is for which of the table, ``{"product": "item"}``; None for none.
        Columns that it does not name go by name.
    freeze : {"never", "first", "always"}, default="never"
        When vectors of `init` are held fast: in no epoch, in the first three, or always. Those of
        categories that `init` does not know are trained in any case.
    init_learning_rate : float, default=0.1
        Factor of the steps of vectors of `init`, while they are not held.
    compare_init : bool, default=False
        Whether `fit` also trains as many networks without `init`, which are thrown away, to say in
        ``transfer_report_`` what `init` gains on held-out rows. Takes as long again.
    learning_rate : float, default=2e-3
        Step of the optimizer at the start; it has decayed when training ends.
    batch_size : int, default=256
        Rows of a step, at most; small tables take fewer so that an epoch has steps enough.
    n_epochs : int or "auto", default="auto"
        Passes over the training rows, by network. ``"auto"``: `max_epochs` or a half, a quarter or
        an eighth of it (of rows in groups also a sixteenth), by held-out loss.
    max_epochs : int, default=24
        Most passes that ``n_epochs="auto"`` gives; as many where no rows are held out, or where
        half of them would be less than three.
    validation_fraction : float, default=0.1
        Share of the training rows that each network holds out, to choose by, up to 0.9; 0 for none.
        Not used where `fit` is given rows for it. Networks learn them in the end.
    n_networks : int or "auto", default="auto"
        Networks trained from different seeds and held-out rows, whose scores are averaged.
        ``"auto"``: as many of 8 as fit into 32 million row-epochs, folds included, or 12 if they
        take no more than 4 million; for predictors at least 4, and more where some see effects for
        so few epochs that it takes no longer.
    handle_unknown : {"prior", "error"}, default="prior"
        How a category not seen in training is answered: by the prior, or by an error.
    time_column : str or int, optional
        Orders the rows in time: held-out rows are then the latest, and folds expand in time. It
        is no feature unless `columns` names it.
    engine : {"auto", "numpy", "numba", "torch"}, default="auto"
        Who runs the loops. ``"auto"``: numba if it is installed and the fit is long enough to pay
        for compiling, else NumPy. ``"torch"``: PyTorch, for GPUs; on a processor it is slower.
    device : str, default="auto"
        Where ``engine="torch"`` trains, as PyTorch calls it: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        ``"auto"``: CUDA where there is one.
    n_jobs : int, optional
        Threads over networks and folds; -1 for all cores. The result does not depend on it.
    random_state : int, RandomState or None, default=None
        Seed of everything random.
    verbose : int, default=0
        1 to log a line by epoch through `logging`.
    callback : callable, optional
        Called after each epoch with a `catvec.estimators.Progress`."""


FITTED = """\
schema_ : Schema
        What was learned about the columns.
    target_ : Target
        What was learned about the target.
    choice_ : Choice
        What was chosen where a parameter was "auto".
    transfer_report_ : dict or None
        With `init`, under ``"columns"`` by column the column of `init` it is ``"from"``, how many
        categories of the training rows were ``"found"`` there and how many are ``"new"``, how many
        of `init` were ``"not_found"`` in the training rows, and of these rows the share
        ``"rows_covered"`` by categories that were found. With `compare_init`, under ``"benefit"``
        the mean held-out ``"loss_with"`` and ``"loss_without"`` it, the ``"gain"`` as a part of
        the latter, the ``"p_value"`` of a gain by chance (a paired t-test over the networks, each
        with rows of its own to judge by), and the ``"verdict"``: ``"helps"`` where it is below
        0.05, ``"hurts"`` above 0.95, else ``"unclear"``; None if no rows were held out.
    n_features_in_ : int
        Columns of the training table.
    feature_names_in_ : ndarray of str
        Their names, if it had names."""


def document(**texts: str) -> Callable[[T], T]:
    """Write what estimators share into a class's docstring, at ``{shared}`` and ``{fitted}``.

    What differs in it, or is shared by some, is given by name: ``losses``, ...
    """

    def decorate(cls: T) -> T:
        text = cls.__doc__ or ""
        for name, value in {"shared": SHARED, "fitted": FITTED, **texts}.items():
            text = text.replace(f"{{{name}}}", value)
        cls.__doc__ = text
        return cls

    return decorate


@dataclass(kw_only=True, eq=False, repr=False)
class SharedParameters(BaseEstimator):
    """Stores what it is given, as scikit-learn asks; `check_parameters` looks at it."""

    fewest_networks: ClassVar[int] = 1  # that n_networks="auto" may mean

    columns: Sequence[str | int] | None = None
    embedding_dim: int | str | Callable[[int], int] | Mapping[str, Any] = "auto"
    min_frequency: int = 1
    shrinkage: float | str | Mapping[str, float] = "auto"
    pairs: Sequence[Sequence[str | int]] | str | None = "auto"
    tables: Mapping[str, Mapping[str, Any]] | None = None
    memory_budget: int | str | None = None
    interactions: str = "auto"
    n_knots: int | str = "auto"
    hidden_sizes: Sequence[int] = (128, 64)
    batch_norm: bool | str = "auto"
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    category_dropout: float | str = "auto"
    loss: str = "auto"
    quantile: float | None = None
    init: Any = None
    column_map: Mapping[str | int, str | None] | None = None
    freeze: str = "never"
    init_learning_rate: float = 0.1
    compare_init: bool = False
    learning_rate: float = 2e-3
    batch_size: int = 256
    n_epochs: int | str = "auto"
    max_epochs: int = 24
    validation_fraction: float = 0.1
    n_networks: int | str = "auto"
    handle_unknown: str = "prior"
    time_column: str | int | None = None
    engine: str = "auto"
    device: str = "auto"
    n_jobs: int | None = None
    random_state: Any = None
    verbose: int = 0
    callback: Callable[[Any], None] | None = None


def check_parameters(p: SharedParameters, losses: Sequence[str]) -> None:
    """Refuse parameters of the wrong type or out of range, before any data are touched."""
    for name in ("min_frequency", "batch_size", "max_epochs"):
        check_int(name, getattr(p, name), minimum=1)
    for name in ("n_epochs", "n_networks"):
        check_count(name, getattr(p, name))
    given = [] if is_auto(p.category_dropout) else ["category_dropout"]
    for name in ("dropout", "embedding_dropout", *given):
        check_float(name, getattr(p, name), minimum=0.0, maximum=0.99)
    check_float("learning_rate", p.learning_rate, minimum=0.0, strict=True)
    check_float("validation_fraction", p.validation_fraction, minimum=0.0, maximum=0.9)
    _check_options(p)
    if not is_auto(p.device) and p.engine != "torch":
        raise refuse("device", '"auto" unless engine="torch"', p.device)
    check_option("loss", p.loss, losses)
    _check_sizes(p)
    _check_by_column(p)
    read_specs(p.tables)
    is_open = p.pairs is None or is_auto(p.pairs)
    if not (is_open or (isinstance(p.pairs, Sequence) and all(map(is_list, p.pairs)))):
        raise refuse("pairs", 'None, "auto" or a list of pairs of columns', p.pairs)
    if (p.loss == "quantile") != (p.quantile is not None):
        raise refuse("quantile", 'given with loss="quantile", and only then', p.quantile)
    if p.quantile is not None:
        check_float("quantile", p.quantile, minimum=0.0, maximum=1.0, strict=True)
    check_n_jobs(p.n_jobs)
    if p.callback is not None and not callable(p.callback):
        raise refuse("callback", "callable or None", p.callback)


def loss_of(p: SharedParameters, task: str) -> str:
    """What is minimised for a task."""
    suited = LOSSES_OF_TASK[task]
    if p.loss == "auto":
        return suited[0]
    if p.loss not in suited:
        listed = ", ".join(map(repr, ("auto", *suited)))
        raise refuse("loss", f"one of {listed} for a target of the task {task!r}", p.loss)
    return p.loss


def draw_seed(random_state: Any) -> int:
    """A seed by what scikit-learn takes for `random_state`."""
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        must = "None, an int from 0 to 2**32 - 1 or a numpy.random.RandomState"
        raise refuse("random_state", must, random_state) from error


def _check_options(p: SharedParameters) -> None:
    check_option("interactions", p.interactions, ("auto", *INTERACTIONS))
    check_option("handle_unknown", p.handle_unknown, ("prior", "error"))
    check_option("engine", p.engine, ENGINES)
    if not is_auto(p.batch_norm) and not isinstance(p.batch_norm, bool | np.bool_):
        raise refuse("batch_norm", 'True, False or "auto"', p.batch_norm)


def is_auto(value: object) -> bool:
    """Whether it is left open; an array compares cell by cell."""
    return isinstance(value, str) and value == "auto"


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list, tuple or array, and no text."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def check_count(name: str, value: Any) -> None:
    """Refuse what is neither "auto" nor an int >= 1."""
    if isinstance(value, str) and value != "auto":
        raise refuse(name, '"auto" or an int >= 1', value)
    if not is_auto(value):
        check_int(name, value, minimum=1)


def _check_sizes(p: SharedParameters) -> None:
    if not is_auto(p.n_knots):
        check_int("n_knots", p.n_knots, minimum=0)
    if not is_list(p.hidden_sizes):
        raise refuse("hidden_sizes", "a sequence of ints", p.hidden_sizes)
    for size in p.hidden_sizes:
        check_int("hidden_sizes", size, minimum=1)


def _check_by_column(p: SharedParameters) -> None:
    dims = p.embedding_dim.values() if isinstance(p.embedding_dim, Mapping) else [p.embedding_dim]
    for dim in dims:
        if isinstance(dim, str):
            check_option("embedding_dim", dim, ("auto", *RULES))
        elif not callable(dim):
            check_int("embedding_dim", dim, minimum=1)
    if is_auto(p.shrinkage):
        return
    strengths = p.shrinkage.values() if isinstance(p.shrinkage, Mapping) else [p.shrinkage]
    for strength in strengths:
        check_float("shrinkage", strength, minimum=0.0)
