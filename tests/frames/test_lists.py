"""List columns: cells that hold several categories, in every kind of frame."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from catvec.errors import CellTypeError, InputError
from catvec.frames import Lists, Schema, make_lists, open_frame, read_specs

CELLS = [["a", "b"], [], None, ["b", "b", "c"], ["a", None], [None], ["d"]]
EXPECTED = [[2, 3], [1], [1], [3, 3, 4], [2], [1], [5]]


def rows_of(lists):
    return [
        lists.codes[a:b].tolist() for a, b in zip(lists.offsets, lists.offsets[1:], strict=False)
    ]


def test_every_kind_of_frame(as_frame):
    schema, arrays = Schema.learn(open_frame(as_frame({"tags": CELLS, "n": [1.0] * 7})))
    assert schema.vocabularies[0].categories.tolist() == ["a", "b", "c", "d"]
    (lists,) = arrays.lists
    assert rows_of(lists) == EXPECTED
    np.testing.assert_allclose(np.add.reduceat(lists.shares, lists.offsets[:-1]), 1)
    assert schema.vocabularies[0].counts.tolist() == [0, 3, 2, 3, 1, 1]
    (again,) = schema.read(open_frame(as_frame({"tags": CELLS, "n": [1.0] * 7}))).lists
    np.testing.assert_array_equal(again.codes, lists.codes)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1, 2], None, [3]], pa.list_(pa.int64())),
        pa.array([[1, 2], None, [3]], pa.large_list(pa.int8())),
        pa.chunked_array([[[1, 2]], [None, [3]]]),
        pd.Series([(1, 2), None, np.array([3])]),
        pd.Series([np.array([1.0, 2.0]), np.nan, [3]]),
    ],
)
def test_types_of_lists(values):
    schema, arrays = Schema.learn(open_frame({"n": values}))
    assert schema.vocabularies[0].categories.tolist() == [1, 2, 3]
    assert rows_of(arrays.lists[0]) == [[2, 3], [1], [4]]


def test_sets_are_lists_without_an_order():
    values = pd.Series([{"b", "a"}, None, frozenset("c")])
    schema, arrays = Schema.learn(open_frame({"t": values}))
    assert schema.vocabularies[0].categories.tolist() == ["a", "b", "c"]
    assert rows_of(arrays.lists[0]) == [[2, 3], [1], [4]]
    specs = read_specs({"t": {"kind": "list", "weights": "w"}})
    with pytest.raises(InputError, match="'t' and its weights 'w' must hold lists: sets have no"):
        Schema.learn(open_frame({"t": values, "w": [[1, 2], [], [1]]}), specs=specs)


def test_fixed_size_lists():
    values = pa.array([["a", "b"], ["b", "c"]], pa.list_(pa.string(), 2))
    _, arrays = Schema.learn(open_frame(pa.table({"t": values})))
    assert rows_of(arrays.lists[0]) == [[2, 3], [3, 4]]


def test_unknown_elements_are_row_0_and_weights_count():
    frame = {"tags": [["a", "b"], ["c"]], "w": [[3.0, 1.0], [2.0]]}
    specs = read_specs({"tags": {"kind": "list", "weights": "w"}})
    schema, arrays = Schema.learn(open_frame(frame), specs=specs)
    assert [v.name for v in schema.vocabularies] == ["tags"]
    assert schema.numbers == ()
    assert arrays.lists[0].shares.tolist() == [3.0, 1.0, 2.0]
    (read,) = schema.read(open_frame({"w": [[0.5, 2]], "tags": [["z", "a"]]})).lists
    assert (read.codes.tolist(), read.shares.tolist()) == ([0, 2], [0.5, 2.0])
    again = Schema.from_json(schema.to_json(), schema.vocabularies)
    assert again.list_weights == ("w",)


def test_pooled_taken_and_hidden():
    codes = np.array([2, 3, 1, 4, 4, 2], np.int32)
    shares = np.array([0.5, 0.5, 1, 1, 2, 1], np.float32)
    lists = Lists(np.array([0, 2, 3, 6]), codes, shares)
    table = np.random.default_rng(0).normal(size=(5, 3))
    pieces = shares[:, None] * table[codes]
    naive = [pieces[a:b].sum(0) for a, b in ((0, 2), (2, 3), (3, 6))]
    np.testing.assert_allclose(lists.pooled(table), naive, atol=1e-6)
    swapped = lists.take(np.array([2, 0])).pooled(table)
    np.testing.assert_allclose(swapped, [naive[2], naive[0]], atol=1e-6)
    np.testing.assert_allclose(lists.take(slice(1, 3)).pooled(table), naive[1:], atol=1e-6)
    hidden = lists.hidden(np.array([False, False, True]))
    assert rows_of(hidden) == [[2, 3], [1], [0]]
    np.testing.assert_allclose(np.add.reduceat(lists.means().shares, lists.offsets[:-1]), 1)
    assert lists.take(np.array([], int)).pooled(table).shape == (0, 3)


@pytest.mark.parametrize(
    ("frame", "tables", "message"),
    [
        ({"t": [["a"], "b"]}, {}, "'t' is one of lists, but holds other cells"),
        ({"t": [["a"], [["b"]]]}, {}, "'t' holds cells of type"),
        ({"t": [["a"]]}, {"t": {"kind": "hashed"}}, "'t' holds lists, but kind 'hashed'"),
        ({"t": ["a"]}, {"t": {"kind": "list"}}, "'t' holds no lists, but kind 'list'"),
        (
            {"t": [["a", "b"]], "w": [[1.0]]},
            {"t": {"kind": "list", "weights": "w"}},
            r"column 'w' must be as long as those of 't'.* rows 0",
        ),
        (
            {"t": [["a"]], "w": [[-1.0]]},
            {"t": {"kind": "list", "weights": "w"}},
            r"column 'w' holds -1\.0",
        ),
    ],
)
def test_wrong_lists(frame, tables, message):
    with pytest.raises((InputError, CellTypeError), match=message):
        Schema.learn(open_frame(frame), specs=read_specs(tables))


@pytest.mark.parametrize(
    "cells",
    [
        ["a", None],
        pd.Series(["a", None], dtype="category"),
        pa.array(["a", "a"]).dictionary_encode(),
        pa.array([1, None]),
        np.array([1.0, np.nan]),
    ],
)
def test_other_cells_where_lists_were_are_refused(cells):
    schema, _ = Schema.learn(open_frame({"t": [["a"], ["b"]]}))
    with pytest.raises(CellTypeError, match=r"'t' is one of lists, but holds other cells \("):
        schema.read(open_frame({"t": cells}))


@pytest.mark.parametrize(
    "cells",
    [
        [None, None],
        np.array([np.nan, np.nan]),
        pa.nulls(2),
        pa.nulls(2, pa.dictionary(pa.int8(), pa.string())),
        pa.array([[], None]),
    ],
)
def test_lists_that_are_all_missing_may_be_of_any_type(cells):
    schema, _ = Schema.learn(open_frame({"t": [["a"], ["b"]]}))
    (lists,) = schema.read(open_frame({"t": cells})).lists
    assert lists.codes.tolist() == [1, 1]


def test_empty_frames():
    schema, _ = Schema.learn(open_frame({"t": [["a"], ["b"]]}))
    column = open_frame({"t": pa.array([], pa.list_(pa.string()))}).list_column("t")
    lists = make_lists(schema.vocabularies[0].encode(column.elements), column)
    assert len(lists) == 0
