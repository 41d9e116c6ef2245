"""Columns are copied as they came, and by one type where files differ."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec.errors import InputError
from catvec.frames._files import open_table, write_tables
from catvec.frames._source import copied, open_source, whole

NOON = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
AS_THEY_CAME = {
    "zone": pa.array([NOON, None], pa.timestamp("ns", "Europe/Zurich")),
    "price": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2)),
    "blob": pa.array([b"x", None]),
    "span": pa.array([3, None], pa.duration("s")),
    "point": pa.array([{"a": 1}, None]),
    "small": pa.array([1, None], pa.int8()),
    "tags": pa.array([["a", "b"], None]),
}
SETTLED = [
    (pa.array([1]), pa.array([2.5]), [1.0, 2.5]),
    (pa.array([None]), pa.array(["x"]), [None, "x"]),
    (pa.array([None], pa.float64()), pa.array([2**53 + 1]), [None, 2**53 + 1]),
    (pa.array([1], pa.int8()), pa.array([2**63], pa.uint64()), [1, 2**63]),
    (pa.array([Decimal("1.5")]), pa.array([2]), [1.5, 2.0]),
    (pa.array(["x"]), pa.array(["y"], pa.large_string()), ["x", "y"]),
    (pa.array(["x"]), pa.array(["y"]).dictionary_encode(), ["x", "y"]),
    (
        pa.array([NOON], pa.timestamp("ms", "Europe/Zurich")),
        pa.array([NOON.date()]),
        [NOON.replace(tzinfo=None), datetime.datetime(2024, 1, 1)],
    ),
    (pa.array([[1]]), pa.array([[2.5], []]), [[1.0], [2.5], []]),
    (pa.array([[]], pa.list_(pa.null())), pa.array([["a"]]), [[], ["a"]]),
]


def folder_of(tmp_path, *tables):
    for i, table in enumerate(tables):
        pq.write_table(table, tmp_path / f"{i}.parquet")
    return tmp_path


def test_cells_are_copied_as_they_came(tmp_path):
    table = pa.table(AS_THEY_CAME)
    source = open_source(folder_of(tmp_path, table, table), tmp_path)
    assert pa.concat_tables(copied(source, table.column_names)) == pa.concat_tables([table] * 2)
    assert whole(source, ["small"], kept=["zone"]).schema.field("zone").type == table["zone"].type
    with pytest.raises(InputError, match=r"0.parquet.*'blob' holds cells of type binary"):
        whole(source)


@pytest.mark.parametrize("make", [list, iter])
@pytest.mark.parametrize("kind", [pa.table, pl.from_arrow, pa.Table.to_pandas])
def test_cells_of_frames_are_copied_as_they_came(tmp_path, make, kind):
    names = ["zone", "small"] if kind is pa.Table.to_pandas else ["zone", "price", "small", "tags"]
    table = pa.table({name: AS_THEY_CAME[name][:1] for name in names})
    source = open_source(make([kind(table), kind(table)]), tmp_path)
    found = whole(source, names)
    assert found["zone"].type == table["zone"].type
    assert found.to_pylist() == table.to_pylist() * 2


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize(("first", "second", "wanted"), SETTLED)
def test_files_that_differ_have_one_type(tmp_path, first, second, wanted, ending):
    (tmp_path / "in").mkdir()
    tables = [pa.table({"k": cells}) for cells in (first, second)]
    for given in (folder_of(tmp_path / "in", *tables), tables):
        source = open_source(given, tmp_path)
        out = tmp_path / f"out.{ending}"
        assert write_tables(copied(source, ["k"]), out) == len(wanted)
        assert open_table(out).read()["k"].to_pylist() == wanted
        assert whole(source)["k"].to_pylist() == wanted


def test_cells_of_python_and_numpy_are_copied_as_they_are_read(tmp_path):
    frames = [{"k": [1, None], "z": np.array([1.5, np.nan])}, {"k": [2.5], "z": [2]}]
    found = pa.concat_tables(copied(open_source(frames, tmp_path), ["k", "z"]))
    assert found.to_pydict() == {"k": [1.0, None, 2.5], "z": [1.5, None, 2.0]}
    frame = pd.DataFrame({"k": [datetime.date(2024, 1, 1)]})
    assert whole(open_source([frame], tmp_path))["k"].type == pa.timestamp("us")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([2**53 + 1], [0.5], "'k' holds numbers .* that have no common type"),
        ([b"x"], [{"a": 1}], "'k' holds cells of the types .*binary.*none in common"),
        ([[2**53 + 1]], [[0.5]], "'k': .*; convert it to one type"),
    ],
)
def test_what_has_no_common_type_is_named(tmp_path, first, second, message):
    tables = [pa.table({"k": cells}) for cells in (first, second)]
    source = open_source(folder_of(tmp_path, *tables), tmp_path)
    with pytest.raises(InputError, match=message):
        list(copied(source, ["k"]))


def test_what_a_format_does_not_hold_is_one_line(tmp_path):
    table = pa.table({"k": pa.compute.run_end_encode(pa.array([1, 1, 2]))})
    with pytest.raises(InputError, match=r"cannot be written to .*out.parquet"):
        write_tables(iter([table]), tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []
