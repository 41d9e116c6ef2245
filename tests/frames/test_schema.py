"""The columns of a table: which is what, and how the next table is read."""

import json
import logging
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from catvec.errors import InputError, ParameterError
from catvec.frames import MISSING, UNKNOWN, Schema, Vocabulary, open_frame

COLUMNS = {
    "city": ["Graz", None, "Wien", "Graz"],
    "number": [3, 1, None, 3],
    "share": [0.5, None, 2.0, 0.5],
    "open": [True, False, None, True],
}


def learn(table, **parameters):
    return Schema.learn(open_frame(table), **parameters)


def test_every_kind_of_frame_gives_the_same_codes_and_numbers(as_frame):
    schema, arrays = learn(as_frame(COLUMNS), n_knots=4)
    assert schema.feature_names == ("city", "open", "number", "share")
    assert arrays.codes.tolist() == [[2, 3], [MISSING, 2], [3, MISSING], [2, 3]]
    expected = [[3, 0.5], [1, np.nan], [np.nan, 2], [3, 0.5]]
    np.testing.assert_array_equal(arrays.values, expected)
    assert (arrays.codes.dtype, arrays.values.dtype) == (np.int32, np.float64)
    assert [number.knots.tolist() for number in schema.numbers] == [[1, 3], [0.5, 2]]
    for other in (pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS), pa.table(COLUMNS), COLUMNS):
        again = schema.read(open_frame(other))
        np.testing.assert_array_equal(again.codes, arrays.codes)
        np.testing.assert_array_equal(again.values, arrays.values)


def test_columns_are_found_by_name(as_frame):
    schema, arrays = learn(as_frame(COLUMNS))
    turned = {"more": [[1]] * 4, **dict(reversed(COLUMNS.items()))}
    np.testing.assert_array_equal(schema.read(open_frame(turned)).codes, arrays.codes)
    without = {name: cells for name, cells in COLUMNS.items() if name != "city"}
    with pytest.raises(InputError, match="columns of the training table are missing: 'city'; the"):
        schema.read(open_frame(as_frame(without)))


def test_arrays_are_read_by_position():
    array = np.array([["x", 1], ["y", 2]], dtype=object)
    schema, arrays = learn(array)
    assert schema.feature_names == ("x0", "x1")
    for other in (
        array,
        array.tolist(),
        pd.DataFrame(array),
        pd.DataFrame(array, columns=["p", "q"]),
    ):
        np.testing.assert_array_equal(schema.read(open_frame(other)).codes, arrays.codes)
    named, _ = learn({"a": ["x", "y"], "b": [1, 2]})
    np.testing.assert_array_equal(named.read(open_frame(array)).codes, arrays.codes)
    for width in (1, 3):
        with pytest.raises(InputError, match=f"X has {width} features, but catvec is expecting 2"):
            schema.read(open_frame(np.zeros((2, width))))


# --- roles ------------------------------------------------------------------------------


def test_text_booleans_and_categories_are_categorical_unless_told_otherwise():
    table = pd.DataFrame(
        {
            "text": ["a", "b"],
            "yes": [True, False],
            "coded": pd.Categorical([1, 2]),
            "several": pd.Series([1, "a"], dtype=object),
            "nothing": [None, None],
            "whole": [1, 2],
            "real": [0.5, 1.5],
            "day": pd.to_datetime(["2020-01-01", "2020-01-02"]),
        }
    )
    schema, arrays = learn(table)
    assert [v.name for v in schema.vocabularies] == ["text", "yes", "coded", "several", "nothing"]
    assert [n.name for n in schema.numbers] == ["whole", "real", "day"]
    assert arrays.values[:, 2].tolist() == [18262, 18263]
    named, _ = learn(table, columns=["whole", "text", "several"], leave_out=["day", "yes"])
    assert [v.name for v in named.vocabularies] == ["text", "several", "whole"]
    assert [n.name for n in named.numbers] == ["coded", "nothing", "real"]


def test_text_beside_named_columns_is_an_error():
    table = {"a": [1, 2], "b": ["x", "y"], "c": ["x", 1]}
    with pytest.raises(InputError, match="hold text are not named in `columns`: 'b', 'c'"):
        learn(table, columns=["a"])
    assert learn(table, columns=["a"], leave_out=["b", "c"])[0].feature_names == ("a",)


def test_positions_and_names_mean_columns():
    assert learn(np.array([[1, 2]]), columns=[1])[0].feature_names == ("x1", "x0")
    assert learn({"a": [1], "b": [2]}, columns=np.array(["b"]))[0].feature_names == ("b", "a")
    with pytest.raises(InputError, match="no column 'c', which `columns` names"):
        learn({"a": [1]}, columns=["c"])
    with pytest.raises(ParameterError, match="`columns` must be a list"):
        learn({"a": [1]}, columns="a")


# --- reading on -------------------------------------------------------------------------


def test_unknown_categories_can_be_refused():
    cells = ["b", "b", "a", None]
    schema, _ = learn({"a": cells, "n": range(4)}, min_frequency=2)
    new = open_frame({"a": ["a", "z", "b", None, "y"], "n": [9] * 5})
    assert schema.read(new).codes[:, 0].tolist() == [UNKNOWN, UNKNOWN, 2, MISSING, UNKNOWN]
    with pytest.raises(InputError, match="'a' has categories not seen in training: 'y', 'z'; use"):
        schema.check_known(new)
    schema.check_known(open_frame({"a": cells[::-1], "n": [0] * 4}))  # rare ones were seen
    many = open_frame({"a": [f"new {i}" for i in range(9)], "n": [0] * 9})
    with pytest.raises(InputError, match=re.escape("'new 4' and 4 more; use")):
        schema.check_known(many)
    schema, _ = learn({"a": ["x", "y"], "b": ["u", "v"]})
    both = "'a' has categories .*: 'z'; column 'b' has categories not seen in training: 'w'; use"
    with pytest.raises(InputError, match=both):
        schema.check_known(open_frame({"a": ["x", "z"], "b": ["w", "u"]}))


def test_another_type_names_the_column():
    schema, _ = learn({"shop": ["a", "b"], "size": [1.0, 2.0]})
    with pytest.raises(InputError, match="column 'shop' held text"):
        schema.read(open_frame({"shop": [1, 2], "size": [1.0, 2.0]}))
    with pytest.raises(
        InputError, match=r"'size' holds text in 1 row \('x'\) but is read as a number"
    ):
        schema.read(open_frame({"shop": ["a"], "size": ["x"]}))
    with pytest.raises(InputError, match="'size' contains infinity"):
        schema.read(open_frame({"shop": ["a"], "size": [np.inf]}))


def test_missing_numbers_are_flagged_where_training_had_some():
    table = {"gaps": [1.0, np.nan, 3.0], "whole": [1.0, 2.0, 3.0]}
    schema, arrays = learn(table, n_knots=3)
    dense = schema.dense(arrays.values)
    assert dense.shape == (3, 3)
    assert dense.dtype == np.float32
    assert dense[:, 2].tolist() == [0, 1, 0]
    assert dense[1, 0] == 0
    new = schema.read(open_frame({"gaps": [np.nan], "whole": [np.nan]})).values
    assert schema.dense(new).tolist() == [[0, 0, 1]]
    np.testing.assert_array_equal(schema.positions(new), np.float32([[np.nan, -1]]))
    np.testing.assert_array_equal(
        schema.positions(arrays.values), np.float32([[0, 0], [np.nan, 1], [1, 2]])
    )


@pytest.mark.parametrize("n_rows", [0, 1])
@pytest.mark.parametrize("columns", [[], ["city"], ["share"], list(COLUMNS)])
def test_tables_without_rows_or_columns(n_rows, columns):
    table = {name: COLUMNS[name][:n_rows] for name in columns}
    schema, arrays = learn(table, n_knots=3)
    n_rows = n_rows if columns else 0
    assert len(arrays) == n_rows
    assert len(schema.vocabularies) + len(schema.numbers) == len(columns)
    assert len(schema.read(open_frame(table))) == n_rows
    assert schema.dense(arrays.values).shape[0] == n_rows
    assert schema.positions(arrays.values).shape[0] == n_rows


def test_almost_as_many_categories_as_rows_are_logged(caplog):
    wide = {"id": [f"id {i}" for i in range(100)], "shop": ["a", "b"] * 50}
    with caplog.at_level(logging.INFO, logger="catvec"):
        _, arrays = learn(wide)
    assert caplog.messages == [
        "column 'id' has almost as many categories (100) as rows (100): little can be learned"
        " about each; consider leaving it out"
    ]
    assert sorted(arrays.codes[:, 0]) == [*range(2, 102)]


def test_a_schema_survives_json():
    schema, arrays = learn(COLUMNS, n_knots=4, min_frequency=2)
    data = json.loads(json.dumps(schema.to_json()))
    assert data["categorical"] == ["city", "open"]
    stored = [Vocabulary.from_table(v.name, v.to_table()) for v in schema.vocabularies]
    again = Schema.from_json(data, stored)
    read = again.read(open_frame(COLUMNS))
    np.testing.assert_array_equal(read.codes, arrays.codes)
    np.testing.assert_array_equal(again.dense(read.values), schema.dense(arrays.values))
    np.testing.assert_array_equal(again.positions(read.values), schema.positions(arrays.values))
    assert again.names == schema.names


def test_some_rows_of_arrays():
    _, arrays = learn(COLUMNS)
    some = arrays.take(np.array([2, 0]))
    assert some.codes.tolist() == arrays.codes[[2, 0]].tolist()
    np.testing.assert_array_equal(some.values, arrays.values[[2, 0]])
