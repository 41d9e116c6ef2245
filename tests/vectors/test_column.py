"""One column: lookup, membership, neighbours, and that nothing about it can change."""

import datetime
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from catvec.errors import CategoryError, CatvecError, MissingDependencyError, ParameterError
from catvec.frames import Vocabulary, one_column
from catvec.vectors import ColumnVectors
from tests.reference import naive_most_similar
from tests.vectors.examples import VALUES, make_column

NULLS = [None, float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT")]


@pytest.mark.parametrize("name", VALUES)
def test_every_category_has_its_row(name):
    column = make_column(name, VALUES[name])
    assert len(column) == len(column.categories) == len(list(column))
    for i, category in enumerate(column):
        assert category in column
        np.testing.assert_array_equal(column[category], column.vectors[i])
        assert column.effect(category) == column.effects[i]
        assert column.confidence(category) == column.confidences[i]


def test_shapes_and_types():
    column = make_column("Store", VALUES["Store"], dim=5)
    assert column.name == "Store"
    assert column.embedding_dim == 5
    assert column.categories.tolist() == [1, 2, 3, 7]
    assert column.counts.tolist() == [1, 2, 1, 1]
    assert column.counts.dtype == np.int64
    assert (column.vectors.shape, column.vectors.dtype) == ((4, 5), np.float32)
    assert (column.effects.shape, column.effects.dtype) == ((4,), np.float32)
    assert (column.confidences.shape, column.confidences.dtype) == ((4,), np.float32)
    assert (column.missing.count, column.unknown.count) == (1, 0)


def test_effects_of_classes_have_a_column_each():
    column = make_column("Store", VALUES["Store"], n_classes=3, classes=np.array(["a", "b", "c"]))
    assert column.effects.shape == (4, 3)
    assert column.effect(7).shape == column.unknown.effect.shape == (3,)
    assert column.classes == ("a", "b", "c")
    assert make_column("Store", VALUES["Store"], n_classes=2).classes == (0, 1)


@pytest.mark.parametrize("null", NULLS, ids=repr)
def test_a_missing_value_has_the_missing_row(null):
    column = make_column("Store", VALUES["Store"])
    np.testing.assert_array_equal(column[null], column.missing.vector)
    assert column.effect(null) == column.missing.effect
    assert null in column


def test_missing_values_never_met_are_answered_as_unknown():
    column = make_column("letters", ["x", "y"])
    np.testing.assert_array_equal(column[None], column.unknown.vector)
    assert column.missing.effect == column.unknown.effect
    assert column.missing.confidence == column.unknown.confidence
    assert None not in column


def test_missing_unknown_zero_and_text_zero_are_distinct():
    column = make_column("x", [0, "0", None, "zero", "zero"], min_frequency=1)
    rows = [column[0], column["0"], column[None], column.unknown.vector, column["zero"]]
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_an_integral_float_and_its_integer_are_one_category():
    column = make_column("Store", VALUES["Store"])
    for same in (2, 2.0, np.int8(2), np.float32(2)):
        np.testing.assert_array_equal(column[same], column.vectors[1])
    assert "2" not in column


def test_unknown_categories_name_column_value_and_remedy():
    column = make_column("Store", VALUES["Store"])
    for look_up in (column.__getitem__, column.effect, column.confidence, column.most_similar):
        with pytest.raises(CategoryError, match=r"'Store'.*\b55\b.*\.unknown"):
            look_up(55)
    assert issubclass(CategoryError, KeyError)


def test_rare_categories_are_not_known():
    column = make_column("letters", list("aab"), min_frequency=2)
    assert "a" in column
    assert "b" not in column
    assert column.unknown.count == 1
    with pytest.raises(CategoryError, match="too rarely"):
        column["b"]


@pytest.mark.parametrize(
    "odd", [b"bytes", float("inf"), object()], ids=lambda odd: type(odd).__name__
)
def test_what_can_be_no_category_is_not_contained(odd):
    column = make_column("Store", VALUES["Store"])
    assert odd not in column
    with pytest.raises(CategoryError, match="'Store'"):
        column[odd]


# --- nothing can change -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["vectors", "effects", "confidences", "counts", "categories"])
def test_arrays_are_read_only(name):
    for column in (make_column("Store", VALUES["Store"]), _pickled(make_column("Store", [1, 2]))):
        with pytest.raises(ValueError, match="read-only"):
            getattr(column, name)[0] = 9
        with pytest.raises(AttributeError):
            setattr(column, name, np.zeros(4))


def _pickled(column):
    return pickle.loads(pickle.dumps(column))


def test_rows_are_read_only():
    column = make_column("Store", VALUES["Store"])
    for row in (column[1], column.unknown.vector, column.missing.vector):
        with pytest.raises(ValueError, match="read-only"):
            row[0] = 9


def test_writeable_arrays_are_copied_and_read_only_ones_kept():
    vocabulary, _ = Vocabulary.learn(one_column("x", ["a", None]))
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    column = ColumnVectors(vocabulary, table, np.zeros(3), np.zeros(3))
    table[:] = -1
    assert column["a"].tolist() == [4, 5]
    table.flags.writeable = False
    kept = ColumnVectors(vocabulary, table, np.zeros(3), np.zeros(3))
    assert np.shares_memory(kept.vectors, table)


def test_pickle_keeps_everything():
    column = make_column("mixed", VALUES["mixed"], n_classes=2, classes=["no", "yes"])
    assert _pickled(column) == column


def test_equality_sees_every_part():
    column = make_column("Store", VALUES["Store"])
    assert column == make_column("Store", VALUES["Store"])
    assert column != make_column("Store", VALUES["Store"], seed=1)
    assert column != make_column("store", VALUES["Store"])
    assert column != make_column("Store", [*VALUES["Store"][:-1], 8])
    assert column != "Store"


# --- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.zeros((2, 2))}, r"`vectors` of column 'x' must have the shape \(3, d\)"),
        ({"vectors": np.zeros(3)}, "`vectors` of column 'x'"),
        ({"vectors": np.full((3, 2), np.nan)}, "`vectors` of column 'x' must be finite"),
        ({"effects": np.zeros(4)}, r"`effects` .* \(3,\) or \(3, d\), got \(4,\)"),
        ({"effects": [0, np.inf, 0]}, "`effects` of column 'x' must be finite"),
        ({"confidences": np.zeros((3, 1))}, "`confidences` of column 'x'"),
        ({"confidences": [0, 0, 1.5]}, r"`confidences` of column 'x' must lie in \[0, 1\]"),
        ({"classes": ["a"]}, "need effects of two dimensions"),
        ({"effects": np.zeros((3, 2)), "classes": ["a"]}, "must be 2 distinct names"),
        ({"effects": np.zeros((3, 2)), "classes": [1, "1"]}, "must be 2 distinct names"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    vocabulary, _ = Vocabulary.learn(one_column("x", ["a", None]))
    arrays = {"vectors": np.zeros((3, 2)), "effects": np.zeros(3), "confidences": np.zeros(3)}
    with pytest.raises(ParameterError, match=message):
        ColumnVectors(vocabulary, **(arrays | change))


# --- neighbours -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_most_similar_agrees_with_its_naive_twin(seed):
    column = make_column("n", list(range(40)), seed=seed, dim=1 + seed)
    for category in (0, 17):
        found = column.most_similar(category, topn=7)
        expected = naive_most_similar(column.vectors, column[category], column.categories, category)
        assert [c for c, _ in found] == [c for c, _ in expected[:7]]
        cosines = [cosine for _, cosine in found]
        np.testing.assert_allclose(cosines, [c for _, c in expected[:7]], atol=1e-12)


def test_most_similar_gives_python_values():
    for name in ("Store", "day", "mixed", "city"):
        column = make_column(name, VALUES[name])
        for category, cosine in column.most_similar(column.categories[0]):
            assert type(category) in (bool, int, float, str, datetime.datetime)
            assert type(cosine) is float


def test_most_similar_takes_a_vector_and_then_leaves_nothing_out():
    column = make_column("n", list(range(40)))
    for vector in (column[3], column[3].tolist(), tuple(column[3] * 7)):
        assert column.most_similar(vector, topn=1)[0] == (3, pytest.approx(1.0))


def test_most_similar_to_missing_values():
    column = make_column("Store", VALUES["Store"])
    assert column.most_similar(None) == column.most_similar(column.missing.vector)


def test_most_similar_gives_at_most_all_others():
    column = make_column("Store", VALUES["Store"])
    assert len(column.most_similar(1, topn=100)) == 3
    assert make_column("one", ["a"]).most_similar("a") == []
    assert make_column("none", [None]).most_similar(None) == []
    assert make_column("flat", ["a", "b"], dim=0).most_similar("a") == [("b", 0.0)]


@pytest.mark.parametrize(
    ("category", "topn", "message"),
    [
        ([1.0, 2.0], 3, r"3 finite numbers, got shape \(2,\)"),
        ([1.0, np.nan, 0.0], 3, "3 finite numbers"),
        (1, 0, "`topn` must be an int >= 1, got 0"),
        (1, 2.5, "`topn` must be an int"),
    ],
)
def test_most_similar_refuses(category, topn, message):
    with pytest.raises(ParameterError, match=message):
        make_column("Store", VALUES["Store"]).most_similar(category, topn)


def _grid():
    """Categories "00", "01", "10", "11" at the corners of a square."""
    names = ["00", "01", "10", "11", "far"]
    vocabulary, _ = Vocabulary.learn(one_column("corner", [*names, None]))
    corners = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1], [-1, -1, -1]]
    table = np.array([[0, 0, 0], [0, 0, 0], *corners], np.float32)
    return ColumnVectors(vocabulary, table, np.zeros(7), np.zeros(7))


def test_analogy_finds_the_fourth_corner():
    assert _grid().analogy(["01", "10"], ["00"], topn=1)[0][0] == "11"


def test_analogy_leaves_out_what_was_given():
    found = [category for category, _ in _grid().analogy(["01", "10"], ["00"])]
    assert sorted(found) == ["11", "far"]


def test_analogy_takes_vectors():
    grid = _grid()
    found = grid.analogy([grid["01"], grid["10"]], [grid["00"]])
    assert len(found) == 5
    assert found[0][0] == "11"


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ([], [], "`positive` must be a list of at least one"),
        ("ab", [], "`positive` must be a list"),
    ],
)
def test_analogy_refuses(positive, negative, message):
    with pytest.raises(ParameterError, match=message):
        _grid().analogy(positive, negative)


# --- as a dataframe ---------------------------------------------------------------------


def test_to_frame_has_a_row_by_code_and_the_rare_values():
    column = make_column("letters", [*"aaabbbcd", None], dim=2, min_frequency=2)
    frame = column.to_frame()
    assert isinstance(frame, pd.DataFrame)
    columns = "category role count effect confidence vector_00 vector_01".split()
    assert list(frame.columns) == columns
    assert frame["role"].tolist() == ["unknown", "missing", *["category"] * 2, *["rare"] * 2]
    assert frame["category"].tolist()[2:] == list("abcd")
    assert frame["count"].tolist() == [2, 1, 3, 3, 1, 1]
    np.testing.assert_array_equal(frame.loc[2:3, columns[-2:]], column.vectors)
    np.testing.assert_array_equal(frame.loc[5, columns[-2:]], column.unknown.vector)


def test_to_frame_keeps_types_in_pandas():
    assert make_column("Store", VALUES["Store"]).to_frame()["category"].dtype == "Int64"
    assert make_column("big", VALUES["big"]).to_frame()["category"].dtype == "UInt64"
    assert make_column("open", VALUES["open"]).to_frame()["category"].dtype == "boolean"
    assert make_column("day", VALUES["day"]).to_frame()["category"].dtype.kind == "M"


def test_to_frame_names_classes():
    column = make_column("Store", VALUES["Store"], n_classes=2, classes=["no", "yes"])
    assert list(column.to_frame().columns[3:6]) == ["effect_no", "effect_yes", "confidence"]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    ("kind", "frame"),
    [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)],
)
def test_to_frame_of_each_kind(name, kind, frame):
    column = make_column(name, VALUES[name])
    made = column.to_frame(kind)
    assert isinstance(made, frame)
    assert len(made) == len(column) + 2


def test_to_frame_refuses_other_kinds():
    with pytest.raises(ParameterError, match=r"`kind` must be one of 'pandas'.*got 'spark'"):
        make_column("Store", VALUES["Store"]).to_frame("spark")


def test_to_frame_without_pandas_takes_what_there_is(monkeypatch):
    column = make_column("Store", VALUES["Store"])
    monkeypatch.setattr("catvec.frames._frame.find_spec", lambda name: name == "pyarrow")
    assert isinstance(column.to_frame(), pa.Table)
    with pytest.raises(MissingDependencyError, match="pip install pandas"):
        column.to_frame("pandas")
    assert issubclass(MissingDependencyError, CatvecError)


def test_repr_tells_what_there_is():
    shown = repr(make_column("Store", VALUES["Store"]))
    assert "'Store'" in shown
    assert "4 categories" in shown
    assert "3 dimensions" in shown
    assert "effects -" in repr(make_column("empty", [None]))
