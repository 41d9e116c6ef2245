"""`suggest_dims`: the rules for every column, and a width that the data support."""

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingRegressor, suggest_dims
from catvec.errors import InputError, ParameterError
from catvec.estimators import _suggestion
from catvec.estimators._suggestion import ColumnDims
from catvec.network import RULES


def test_what_the_rules_say_needs_no_target(small_data):
    found = suggest_dims(small_data.frame, columns=small_data.categorical)
    assert [c.name for c in found.columns] == small_data.categorical
    city = found["city"]
    seen = sum(value is not None for value in small_data.columns["city"])
    assert (city.cardinality, city.rows_per_category) == (12, seen / 12)
    assert dict(city.rules) == {name: rule(12) for name, rule in RULES.items()}
    assert city.parameters["half"] == 14 * 6  # and vectors of missing and unknown
    assert (city.dim, city.loss, city.half, city.double) == (None, None, None, None)
    assert [c.one_hot for c in found.columns] == [False, False, True]
    assert found.dims == {c.name: c.rules["compact"] for c in found.columns}
    assert (found.n_sampled, found.row_epochs, found.loss_name) == (0, 0, None)


@pytest.fixture(scope="module")
def interaction():
    """Two columns that only matter together, by four hidden factors; one main effect."""
    rng = np.random.default_rng(0)
    n = 4000
    first, second = rng.normal(size=(40, 4)), rng.normal(size=(30, 4))
    codes = {name: rng.integers(k, size=n) for name, k in
             {"a": 40, "b": 30, "main": 50}.items()}  # fmt: skip
    y = (first[codes["a"]] * second[codes["b"]]).sum(axis=1)
    y += 2 * rng.normal(size=50)[codes["main"]] + 0.3 * rng.normal(size=n)
    return pd.DataFrame({name: values.astype(str) for name, values in codes.items()}), y


@pytest.fixture(scope="module")
def found(interaction):
    return suggest_dims(*interaction, budget=1_000_000, random_state=0)


def test_the_data_tell_columns_apart(found):
    assert min(found.dims["a"], found.dims["b"]) >= 3
    assert found.dims["main"] <= 2
    assert found.loss_name == "squared"
    for column in found.columns:
        assert list(column.losses) == sorted(column.losses)
        assert column.loss <= min(column.losses.values()) + 0.05
    assert found["a"].losses[1 if 1 in found["a"].losses else 2] > 1.2 * found["a"].loss


def test_the_budget_holds(found, interaction):
    assert found.n_rows == len(interaction[0])
    assert 1000 <= found.n_sampled <= found.n_rows
    assert 0 < found.row_epochs <= 1_000_000
    assert all(len(column.losses) <= 3 + _suggestion.STEPS for column in found.columns)
    X, y = interaction
    few = suggest_dims(X[["main"]], y, budget=1, random_state=0)
    assert few.n_sampled == 1000


def test_advice_is_what_embedding_dim_takes(found, interaction):
    X, y = interaction
    model = EmbeddingRegressor(embedding_dim=found.dims, pairs=None, n_epochs=1, n_networks=1)
    assert dict(zip(X, model.fit(X, y).choice_.dims, strict=True)) == found.dims


@pytest.mark.usefixtures("few_steps")
def test_the_same_seed_gives_the_same_advice(small_data):
    told = []
    arguments = {"columns": ["city"], "random_state": 3}
    X, y = small_data.frame[["city", "price"]], small_data.regression
    one = suggest_dims(X, y, **arguments, callback=lambda *n: told.append(n))
    two = suggest_dims(X, y, **arguments, n_jobs=2)
    assert one == two
    assert told[0] == (1, 5)
    assert [n for n, _ in told] == list(range(1, len(told) + 1))
    assert len(told) <= 5


@pytest.mark.usefixtures("few_steps")
def test_classes_counts_and_groups(small_data, rng):
    X = small_data.frame[["city", "distance"]]
    for y, task, loss in [
        (small_data.binary, "auto", "logistic"),
        (small_data.multiclass, "auto", "softmax"),
        (rng.poisson(2.0, size=400), "count", "poisson"),
    ]:
        advice = suggest_dims(X, y, task=task, groups=np.arange(400) % 50, random_state=0)
        assert advice.loss_name == loss
        assert np.isfinite(advice["city"].loss)


def test_frames(found):
    frame = found.to_frame()
    assert frame["column"].tolist() == ["a", "b", "main"]
    assert frame["dim"].tolist() == list(found.dims.values())
    assert frame.loc[0, "fastai_parameters"] == 42 * frame.loc[0, "fastai"]
    assert {"loss", "half_loss", "double_loss"} < set(frame.columns)
    rules = suggest_dims({"city": ["Bern", "Rome"]}).to_frame("pyarrow")
    assert "dim" not in rules.column_names


def test_mistakes(small_data):
    X, y = small_data.frame, small_data.regression
    with pytest.raises(InputError, match="no column is categorical"):
        suggest_dims(X[["price"]])
    with pytest.raises(InputError, match="no column is categorical"):
        suggest_dims(X[["price"]], y)
    with pytest.raises(InputError, match="inconsistent numbers of rows"):
        suggest_dims(X, y[:10])
    with pytest.raises(InputError, match="10 rows, or their groups, are too few"):
        suggest_dims(X[["city"]][:10], y[:10])
    with pytest.raises(ParameterError, match="`budget` must be an int >= 1, got 0"):
        suggest_dims(X, y, budget=0)
    with pytest.raises(InputError, match="no column 'town'"):
        suggest_dims(X, columns=["town"])
    with pytest.raises(KeyError):
        suggest_dims(X)["town"]


# --- the choice -------------------------------------------------------------------------


def rows(*means, n=400):
    """Losses of two networks whose rows differ by much, in the same way for every width."""
    spread = np.linspace(0, 2, n)
    return [spread + mean for mean in means]


def test_the_smallest_width_that_is_as_good():
    tried = {2: rows(1.0, 1.0), 4: rows(0.5, 0.5), 8: rows(0.49, 0.49), 16: rows(0.6, 0.6)}
    assert _suggestion._smallest_good(tried, noise=0.02) == 4
    assert _suggestion._smallest_good(tried, noise=0.001) == 8
    rng = np.random.default_rng(0)
    tried[2] = [losses + rng.normal(scale=20, size=400) for losses in rows(0.5, 0.5)]
    assert _suggestion._smallest_good(tried, noise=0.0) == 2  # the chance of the rows


def test_noise_is_how_much_networks_disagree():
    first = rows(1.0, 1.0)
    tried = [{4: first, 2: rows(1.1, 1.3), 8: rows(1.0, 1.2)}, {3: first, 6: rows(0.7, 0.9)}]
    assert _suggestion._noise(tried, first) == pytest.approx(np.sqrt(0.02 / 0.455 / 2))
    assert _suggestion._noise([{1: first}], first) == 0.0


def test_widths_are_neither_0_nor_wider_than_one_hot():
    column = ColumnDims("x", 6, 10.0, {})
    assert [_suggestion._neighbors(column, dim) for dim in (1, 2, 3, 6)] == [
        [2], [1, 4], [1, 6], [3]
    ]  # fmt: skip


@pytest.mark.parametrize("parameters", [{"task": "zz"}, {"n_jobs": 0}, {"random_state": "a"}])
def test_parameters_are_checked(parameters):
    ((name, _),) = parameters.items()
    with pytest.raises(ParameterError, match=f"`{name}` must be"):
        suggest_dims({"a": ["x", "y"] * 20}, [0.0, 1.0] * 20, **parameters)
