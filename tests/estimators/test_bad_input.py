"""What users hand in by mistake, and what the worlds of their tables look like at the edges."""

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError, ParameterError

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {"n_networks": 1, "shrinkage": 1.0, "n_epochs": 2, "random_state": 0}
KINDS = [EmbeddingEncoder, EmbeddingRegressor]


def fit(kind, X, y, *, groups=None, **parameters):
    return kind(**{**QUICK, **parameters}).fit(X, y, groups=groups)


def answer(model, X):
    return model.transform(X) if hasattr(model, "transform") else model.predict(X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (pd.DataFrame({"a": []}), [], "0 sample"),
        (pd.DataFrame(index=range(3)), [1, 2, 3], "0 feature"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), [1.0], "'a'"),
        (pd.DataFrame({"a": [1.0, np.inf]}), [1.0, 2.0], "'a' contains infinity"),
        (pd.DataFrame({"a": ["x", "y"]}), [1.0, None], "missing"),
        (pd.DataFrame({"a": ["x", "y"]}), [1.0, np.inf], "infinity"),
        (pd.DataFrame({"a": ["x", "y"]}), [1.0], "inconsistent"),
        (pd.DataFrame({"a": ["x", "y"]}), [[1.0, 2.0], [1.0, 2.0]], "1d array"),
        (pd.DataFrame({"a": [{"x": 1}, {"y": 2}]}), [1.0, 2.0], "'a' holds cells of type dict"),
        (["x", "y"], [1.0, 2.0], "Expected 2D array"),
    ],
)
def test_clear_errors(kind, X, y, message):
    with pytest.raises(InputError, match=message):
        fit(kind, X, y)


def test_text_in_a_numeric_target():
    with pytest.raises(InputError, match="'many'"):
        fit(EmbeddingRegressor, {"a": ["x", "y"]}, ["1", "many"])


def test_unnamed_text_column():
    with pytest.raises(InputError, match="'b'"):
        fit(EmbeddingRegressor, {"a": ["x", "y"], "b": ["u", "v"]}, [1.0, 2.0], columns=["a"])


def test_numbers_where_text_was():
    model = fit(EmbeddingRegressor, {"a": ["x", "y"] * 20}, [1.0, 2.0] * 20)
    with pytest.raises(InputError, match="'a' held text values"):
        model.predict({"a": [1, 2]})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "column",
    [
        ["x"] * 60,
        [None] * 60,
        ["x", None] * 30,
        [f"row {i}" for i in range(60)],
        [1, "1", True, None] * 15,
        ["é", "a\nb", "tab\t", "", " ", "🙂"] * 10,
    ],
    ids=["constant", "all missing", "one category", "all distinct", "mixed", "unicode"],
)
def test_odd_columns_work(kind, column):
    X = pd.DataFrame({"odd": pd.Series(column, dtype=object), "plain": list("abcdef") * 10})
    y = np.arange(60) % 7 * 1.0
    model = fit(kind, X, y)
    assert np.isfinite(answer(model, X)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_and_two(kind):
    for n in (1, 2):
        X = pd.DataFrame({"a": ["x", "y"][:n], "b": [1.0, 2.0][:n]})
        model = fit(kind, X, [1.0, 2.0][:n])
        assert np.isfinite(answer(model, X)).all()


def test_names_of_any_kind(tmp_path):
    names = ["../../etc", "a\nb", "ünï.code", "with.dot", "[red]x[/red]", " "]
    X = pd.DataFrame({name: list("ab") * 20 for name in names})
    model = fit(EmbeddingRegressor, X, np.arange(40.0))
    model.save(tmp_path / "m.catvec")
    again = EmbeddingRegressor.load(tmp_path / "m.catvec")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert list(tmp_path.iterdir()) == [tmp_path / "m.catvec"]


def test_a_long_string_and_read_only_arrays():
    long = "x" * 10_000_000
    X = {"a": [long, "y"] * 10, "n": np.arange(20.0)}
    X["n"].flags.writeable = False
    y = np.arange(20.0)
    y.flags.writeable = False
    model = fit(EmbeddingRegressor, X, y)
    assert long in model.vectors_["a"]


def test_one_class_is_no_task():
    with pytest.raises(InputError, match="one class"):
        fit(EmbeddingClassifier, {"a": ["x", "y"]}, ["no", "no"])


def test_groups_with_gaps_and_of_several_types():
    X = {"a": list("xy") * 20}
    for groups in (["g", None] * 20, [1, "1"] * 20, pd.Series(["g", pd.NA] * 20)):
        fit(EmbeddingRegressor, X, np.arange(40.0), groups=groups)


def test_numbers_of_numpy_are_numbers():
    X, y = {"a": list("xy") * 20}, np.arange(40.0)
    for strength in (np.int64(3), np.float32(3)):
        assert fit(EmbeddingRegressor, X, y, shrinkage=strength).choice_.shrinkage == (3.0,)


@pytest.mark.parametrize("weight", [-1.0, "heavy", np.nan])
def test_class_weights_are_checked(weight):
    with pytest.raises(ParameterError, match="`class_weight` must be a float"):
        fit(EmbeddingClassifier, {"a": ["x", "y"]}, ["no", "yes"], class_weight={"no": weight})


def test_labels_of_two_types():
    with pytest.raises(InputError, match="one type"):
        fit(EmbeddingClassifier, {"a": ["x", "y"]}, np.array(["no", 1], dtype=object))


def test_constant_target():
    model = fit(EmbeddingRegressor, {"a": list("ab") * 20}, [3.5] * 40)
    np.testing.assert_allclose(model.predict({"a": ["a", "b", "c"]}), 3.5, atol=1e-3)
