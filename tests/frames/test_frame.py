"""The door: every kind of table gives the same columns, and what is no table is refused."""

import datetime as dt
import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from catvec.errors import CellTypeError, InputError, ParameterError
from catvec.frames import Vocabulary, one_column, open_frame
from catvec.frames._column import concatenated

CELLS = {
    "text": ["b", None, "a", "", "b", "1"],
    "number": [3, 1, None, 3, -7, 0],
    "share": [0.5, None, -0.0, 2.0, 0.5, 1e300],
    "boolean": [True, False, None, True, True, False],
    "date": [dt.datetime(2020, 1, 2), None, dt.datetime(1969, 5, 6, 7, 8), None, None, None],
}


def cells_of(column):
    """A column's cells as Python values again."""
    cells = [None] * column.n_rows
    for array in column.families.values():
        for i, value in enumerate(array.to_pylist()):
            cells[i] = value if value is not None else cells[i]
    return cells


def read(frame, name):
    return open_frame(frame).column(name)


# --- every kind of table ----------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_every_kind_of_frame_gives_the_same_cells(as_frame, name):
    column = read(as_frame(CELLS), name)
    assert cells_of(column) == CELLS[name]
    assert column.kind == {"share": "number"}.get(name, name)


DICTIONARIES = {
    "pandas category": lambda cells: pd.Series(cells).astype("category"),
    "pandas reversed": lambda cells: pd.Series(
        pd.Categorical(cells, categories=["unused", "b", "a", "1", ""])
    ),
    "polars Categorical": lambda cells: pl.Series(cells, dtype=pl.Categorical),
    "polars Enum": lambda cells: pl.Series(cells, dtype=pl.Enum(["z", "b", "a", "1", ""])),
    "arrow dictionary": lambda cells: pa.array(cells).dictionary_encode(),
    "arrow chunks": lambda cells: pa.chunked_array(
        [pa.array(cells[:3]).dictionary_encode(), pa.array(cells[3:]).dictionary_encode()]
    ),
}
TEXTS = {
    "pandas object": lambda cells: pd.Series(cells, dtype=object),
    "pandas str": lambda cells: pd.Series(cells, dtype="str"),
    "pandas string": lambda cells: pd.Series(cells, dtype="string"),
    "polars": lambda cells: pl.Series(cells),
    "arrow": pa.array,
    "arrow large": lambda cells: pa.array(cells, pa.large_string()),
    "arrow view": lambda cells: pa.array(cells, pa.string_view()),
    "arrow JSON": lambda cells: pa.array(cells, pa.json_()),
    "arrow chunks": lambda cells: pa.chunked_array([cells[:1], [], cells[1:]]),
    "arrow slice": lambda cells: pa.array(["z", *cells, "z"])[1:-1],
    "numpy object": lambda cells: np.array(cells, dtype=object),
    "list": lambda cells: cells,
    "tuple": tuple,
}


@pytest.mark.parametrize("kind", [*TEXTS, *DICTIONARIES])
def test_every_kind_of_text_gives_the_same_codes(kind):
    values = {**TEXTS, **DICTIONARIES}[kind](CELLS["text"])
    column = one_column("a", values)
    vocabulary, codes = Vocabulary.learn(column)
    assert codes.tolist() == [5, 1, 4, 2, 5, 3]
    assert vocabulary.categories.tolist() == ["", "1", "a", "b"]
    assert vocabulary.encode(column).tolist() == codes.tolist()
    assert cells_of(column) == CELLS["text"]


def test_a_dictionary_is_read_by_its_values():
    indices = pa.array([0, 1, 2, 3, None, 5], pa.uint8())
    values = pa.array(["b", "a", None, "b", "unused", "c"])
    vocabulary, codes = Vocabulary.learn(
        one_column("a", pa.DictionaryArray.from_arrays(indices, values))
    )
    assert codes.tolist() == [3, 2, 1, 3, 1, 4]
    assert vocabulary.categories.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([2, 1, None], "number"), ([True, False, None], "boolean"), ([1.5, 1.0, np.nan], "number")],
)
def test_categories_of_pandas_keep_their_type(values, kind):
    column = read(pd.DataFrame({"a": pd.Series(values).astype("category")}), "a")
    assert column.kind == kind
    assert column.is_categorical
    assert cells_of(column)[:2] == values[:2]


def test_a_category_type_over_several_types_is_mixed():
    cells = [1, "1", None, 2.5]
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=object).astype("category")})
    assert cells_of(read(frame, "a")) == cells


def test_an_empty_dictionary_is_an_empty_column():
    nothing = pa.DictionaryArray.from_arrays(pa.array([0, None]), pa.array([None, "unused"]))
    assert one_column("a", nothing).kind == "empty"


NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", ">i4", ">f8"]
TIMES = [f"M8[{unit}]" for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us")]


@pytest.mark.parametrize("dtype", ["?", *NUMBERS, "U3", ">U3", "O", *TIMES, ">M8[s]"])
def test_arrays_of_every_type_and_order(dtype):
    rows = np.array([[1, 0], [0, 1], [1, 1]])
    array = (rows.astype(str) if "U" in dtype else rows).astype(dtype)
    turned = np.asfortranarray(array)
    turned.flags.writeable = False
    for name in ("x0", "x1"):
        cells = cells_of(read(array, name))
        assert len(set(cells)) == 2
        assert cells == cells_of(read(turned, name))
        assert cells == cells_of(read(turned[::-1], name))[::-1]
    assert cells_of(read(array, "x0"))[0] == cells_of(read(array, "x0"))[2]


def test_numpy_text_and_masks():
    assert cells_of(read(np.array([["a", ""]], dtype=np.dtypes.StringDType()), "x1")) == [""]
    masked = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert cells_of(read(masked, "x1")) == [None, 4]
    assert cells_of(one_column("a", masked[0])) == [1, None]


def test_a_list_of_rows_keeps_the_type_of_each_cell():
    frame = open_frame([[1, "a", True], [2, None, False]])
    assert frame.names == ("x0", "x1", "x2")
    assert not frame.named
    assert [frame.column(name).kind for name in frame.names] == ["number", "text", "boolean"]


def test_other_types_of_numbers_and_dates():
    assert cells_of(one_column("a", [decimal.Decimal("1.5"), 2])) == [1.5, 2.0]
    assert cells_of(one_column("a", pa.array([decimal.Decimal("1.50")]))) == [1.5]
    for kind in (pl.Int128, pl.UInt128):
        assert cells_of(one_column("a", pl.Series([1, None], dtype=kind))) == [1, None]
    assert cells_of(one_column("a", pd.arrays.SparseArray([0, 0, 7]))) == [0, 0, 7]
    noon = dt.datetime(2020, 1, 1, 12)
    zoned = pd.Series([noon]).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    assert cells_of(one_column("a", zoned)) == [noon]
    assert cells_of(one_column("a", [zoned[0], dt.date(2020, 1, 1), pd.NaT])) == [
        noon,
        dt.datetime(2020, 1, 1),
        None,
    ]
    assert cells_of(one_column("a", [np.datetime64("2020-01-01T12", "h"), None])) == [noon, None]
    assert cells_of(one_column("a", [dt.date(9999, 12, 31)])) == [dt.datetime(9999, 12, 31)]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NaT, pd.NA, float("nan"), np.float32("nan")])
def test_every_kind_of_missing(missing):
    assert cells_of(one_column("a", ["x", missing])) == ["x", None]
    assert cells_of(one_column("a", [1, missing])) == [1, None]
    assert one_column("a", [missing]).kind == "empty"


def test_an_object_column_is_looked_at_to_its_end():
    head = ["text"] * 200  # narwhals and pandas guess a type from the first hundred cells
    assert read(pd.DataFrame({"a": [*head, 5]}), "a").kind == "mixed"
    assert cells_of(read(pd.DataFrame({"a": [*head, 5]}), "a"))[-1] == 5
    gaps = pd.Series([None] * 200 + [True, 2.5], dtype=object)
    assert set(read(pd.DataFrame({"a": gaps}), "a").families) == {"boolean", "number"}
    assert set(one_column("a", [2.5, True]).families) == {"boolean", "number"}
    assert cells_of(one_column("a", [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5)]))[1].hour == 5
    with pytest.raises(CellTypeError, match="'a' holds cells of type bytes"):
        read(pd.DataFrame({"a": pd.Series([*head, b"x"], dtype=object)}), "a")


def test_large_floats_among_integers_are_floats():
    column = one_column("a", [1, 1e25, None, np.float64(2**70)])
    np.testing.assert_array_equal(column.floats(), [1.0, 1e25, np.nan, 2.0**70])


def test_numbers_of_one_type_are_read_exactly():
    for cells in ([2**53 + 1, 2**53], [2**63 + 1, 1], [-(2**63), 5], [2**53 + 1, np.nan]):
        expected = [None if cell != cell else cell for cell in cells]
        assert cells_of(one_column("a", cells)) == expected
        assert cells_of(one_column("a", np.array(cells, dtype=object))) == expected
    with pytest.raises(CellTypeError, match="'a' holds integers of more than 64 bits"):
        one_column("a", [2**70])


DECIMALS = [pa.decimal32(9, 2), pa.decimal64(18, 1), pa.decimal128(38, 0), pa.decimal256(60, 9)]


@pytest.mark.parametrize("kind", [None, *DECIMALS])
def test_whole_decimals_are_the_integers_they_are(kind):
    wide = kind is None or kind.bit_width > 64
    cells = [2**53, 2**53 + 1, None, -(2**63)] if wide else [5, None, -7]
    decimals = [None if cell is None else decimal.Decimal(cell) for cell in cells]
    assert (
        cells_of(one_column("a", decimals if kind is None else pa.array(decimals, kind))) == cells
    )
    if wide:
        assert cells_of(one_column("a", pa.array([decimal.Decimal(2**64 - 1)]))) == [2**64 - 1]


def test_other_decimals_are_the_nearest_floats(rng):
    for places in (2, 10, 17):
        cells = [decimal.Decimal(int(n)).scaleb(-places) for n in rng.integers(10**15, size=500)]
        expected = list(map(float, cells))
        assert cells_of(one_column("a", pa.array(cells, pa.decimal128(38, places)))) == expected
        assert cells_of(one_column("a", cells)) == expected


LARGE = 2**53 + 1


@pytest.mark.parametrize(
    "values",
    [
        [LARGE, 0.5],
        [np.int64(LARGE), 0.5, True],
        [decimal.Decimal(LARGE), 0.5],
        [decimal.Decimal("9007199254740992.5"), None],
        [decimal.Decimal("1e30")],
        pa.array([decimal.Decimal(LARGE), decimal.Decimal("0.5"), None]),
        pa.array([decimal.Decimal(LARGE), decimal.Decimal("0.5")]).dictionary_encode(),
        pl.Series([decimal.Decimal(LARGE), decimal.Decimal("0.5")]),
    ],
)
def test_numbers_that_would_become_others_are_refused(values):
    with pytest.raises(InputError, match=r"'a' holds numbers \(.*\) that have no common type"):
        one_column("a", values)


def test_columns_one_below_the_other_keep_their_numbers():
    large, whole, share = (one_column("a", cells) for cells in ([LARGE], [2.0, None], [0.5]))
    assert cells_of(concatenated([whole, large])) == [2, None, LARGE]
    assert cells_of(concatenated([whole, share])) == [2.0, None, 0.5]
    with pytest.raises(InputError, match=f"'a' holds numbers .{LARGE}. that have no common type"):
        concatenated([share, large])


@pytest.mark.parametrize("others", [[], [1, 2], [2.5], ["x", None]])
def test_signalling_decimals_are_missing_and_infinite_ones_refused(others):
    no_number = decimal.Decimal("sNaN")
    assert cells_of(one_column("a", [no_number, *others])) == [None, *others]
    assert cells_of(one_column("a", [decimal.Decimal(1), no_number])) == [1, None]
    for sign in ("", "-"):
        infinite = decimal.Decimal(f"{sign}Infinity")
        with pytest.raises(InputError, match="column 'a' contains infinity"):
            one_column("a", [infinite, *others])


# --- names and widths -------------------------------------------------------------------


def test_names_are_text_everywhere_and_found_by_name():
    frame = open_frame(pd.DataFrame({1: ["one"], 0: ["zero"], ("x", 2): ["pair"]}))
    assert frame.names == ("1", "0", "('x', 2)")
    assert not frame.named
    assert [cells_of(frame.column(name)) for name in frame.names] == [["one"], ["zero"], ["pair"]]


NAMES = ["../../etc/passwd", "C:\\x", "a\nb", "", " ", "ключ", "a.b", "a_b", "🐈"]


def test_names_may_be_anything(as_frame):
    frame = open_frame(as_frame({name: [name, None] for name in NAMES}))
    assert frame.names == tuple(NAMES)
    assert [cells_of(frame.column(name)) for name in NAMES] == [[name, None] for name in NAMES]


def test_values_may_be_anything():
    cells = ["\n", "\r\n", "\x00", "é", "e\u0301", "🐈" * 50, "a" * 10_000_000, " a", "a ", "nan"]
    vocabulary, codes = Vocabulary.learn(one_column("a", cells))
    assert len(vocabulary) == len(cells)
    assert vocabulary.categories[codes - 2].tolist() == cells
    assert [vocabulary.code(cell) for cell in cells] == codes.tolist()


def test_columns_that_nobody_asks_for_cannot_be_at_fault():
    frame = open_frame(pd.DataFrame({"good": [1, 2], "bad": [[1], [2]]}))
    assert frame.column("good") is frame.column("good")
    with pytest.raises(CellTypeError, match="'bad' holds cells of type list"):
        frame.column("bad")
    with pytest.raises(InputError, match="no column 'other'; the columns are 'good', 'bad'"):
        frame.column("other")


def test_columns_are_named_or_counted():
    frame = open_frame({"b": [1], "a": [1], "1": [1]})
    assert frame.resolve(["a", 0, -2, "a"], "columns") == ["a", "b"]
    assert frame.resolve([1], "columns") == ["1"]  # a name before a position
    with pytest.raises(InputError, match="no column 3, which `columns` names"):
        frame.resolve([3], "columns")
    with pytest.raises(InputError, match="no column True"):
        frame.resolve([True], "columns")
    with pytest.raises(ParameterError, match="`columns` must be a list of column names"):
        frame.resolve("a", "columns")


def test_an_index_of_pandas_names_columns():
    frame = pd.DataFrame({"b": [1], "a": [1]})
    assert open_frame(frame).resolve(frame.columns[:1], "columns") == ["b"]


# --- floats -----------------------------------------------------------------------------


def test_floats_of_every_family():
    expected = [1.0, 0.0, np.nan]
    for cells in ([True, False, None], [1, 0, None], [1.0, 0.0, np.nan]):
        np.testing.assert_array_equal(one_column("a", cells).floats(), expected)
    days = [dt.datetime(1970, 1, 2), dt.date(1970, 1, 1), None]
    np.testing.assert_array_equal(one_column("a", days).floats(), expected)
    np.testing.assert_array_equal(one_column("a", [True, 2.5, None]).floats(), [1.0, 2.5, np.nan])
    np.testing.assert_array_equal(one_column("a", [None] * 3).floats(), [np.nan] * 3)
    coded = pa.array([1, 0, None]).dictionary_encode()
    np.testing.assert_array_equal(one_column("a", coded).floats(), expected)


def test_text_is_no_number():
    with pytest.raises(InputError, match=re.escape("'a' holds text in 2 rows ('x', 'y') but is")):
        one_column("a", ["x", 1, "y"]).floats()
    with pytest.raises(InputError, match=re.escape("'a' holds text in 1 row ('oops') but")):
        one_column("a", ["1", "-2.5", "oops", None, "1e3"]).floats()
    with pytest.raises(InputError, match=re.escape("'a' holds text in 3 rows ('1', '2') but")):
        one_column("a", ["1", "2", None, "2"]).floats()


# --- moments ----------------------------------------------------------------------------

START = 2**60  # beyond 2**53, where floats leave integers out
NEAR = [pd.Timestamp("2026-05-06 07:08:09.123456") + pd.Timedelta(k, "ns") for k in (2, 0, 1)]

# Cells, each another one; where no list, beside the same as Python has them.
MOMENTS = {
    "numbers": [*(START + k for k in (3, 0, 1, 2)), -START - 1, -START, 5],
    "unsigned": ([2**64 - 1, 2**63, 2**64 - 2, 0], lambda cells: pa.array(cells, pa.uint64())),
    "fractions": [0.1, 1e-300, -1e-300, 1e300, -1e300, 2047.5, 2048.0, -2048.5],
    "booleans": [True, False],
    "dates": [dt.date(9999, 12, 31), dt.date(1, 1, 1), dt.date(1970, 1, 1)],
    "microseconds": [dt.datetime(9999, 12, 31, 1, 1, 1, k) for k in (2, 1, 3)],
    "pandas": (NEAR, lambda cells: pd.Series(pd.DatetimeIndex(cells).as_unit("ns"))),
    "zone": (NEAR, lambda cells: pd.Series(pd.DatetimeIndex(cells, tz="Asia/Tokyo").as_unit("ns"))),
    "numpy": ([5, -3, -4, 0, -1000, -1001], lambda cells: np.array(cells).astype("M8[ns]")),
    "polars": ([5, -3, -4, 0], lambda cells: pl.Series(cells).cast(pl.Datetime("ns"))),
    "arrow": (
        [5, 3, 4],
        lambda cells: pa.chunked_array([cells[:2], cells[2:]], pa.timestamp("ns")),
    ),
}


@pytest.mark.parametrize("kind", MOMENTS)
def test_moments_order_rows_exactly(kind):
    cells, make = MOMENTS[kind] if isinstance(MOMENTS[kind], tuple) else (MOMENTS[kind], list)
    moments = open_frame({"a": make(cells)}).moments("a")
    expected = sorted(range(len(cells)), key=cells.__getitem__)
    assert np.argsort(moments).tolist() == np.lexsort([moments]).tolist() == expected
    assert len(np.unique(moments)) == len(cells)


def test_moments_of_integers_and_floats_compare():
    cells = [[START + 1, -START - 1, 3], [float(START), 2.5, -float(START)]]
    moments = np.concatenate([open_frame({"a": part}).moments("a") for part in cells])
    assert np.argsort(moments).tolist() == [1, 5, 4, 2, 3, 0]


def test_moments_of_every_kind_of_frame(as_frame):
    moments = open_frame(as_frame({"a": [START + 1, START, None]})).moments("a")
    assert np.isnan(moments).tolist() == [False, False, True]
    assert moments[1] < moments[0] or as_frame is pd.DataFrame  # where pandas made floats of them
    with pytest.raises(
        InputError, match=r"'a' holds text in 1 row \('x'\) but orders rows; convert it"
    ):
        open_frame(as_frame({"a": ["x", None]})).moments("a")


# --- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [1.0, np.inf],
        np.array([-np.inf, 1.0]),
        [1, "a", np.inf],
        [True, float("inf")],
        pd.Series([1.0, np.inf]).astype("category"),
        pl.Series([np.inf]),
    ],
)
def test_infinity_is_refused(values):
    with pytest.raises(InputError, match="column 'a' contains infinity"):
        one_column("a", values)


def test_an_unused_infinite_category_is_no_fault():
    values = pd.Series(pd.Categorical([1.0], categories=[1.0, np.inf]))
    assert cells_of(one_column("a", values)) == [1.0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([b"x"], "bytes"),
        (np.array([b"x"]), "binary"),
        ([[1], [2]], "list"),
        ([(1, 2), (3, 4)], "tuple"),
        ([{"x": 1}], "dict"),
        ([1j, 2], "complex"),
        ([dt.timedelta(1)], "timedelta"),
        ([dt.time(1)], "time"),
        ([np.zeros(2), np.zeros(2)], "ndarray"),
        (pl.Series([[1], [2]]), "large_list"),
        (pl.Series([{"x": 1}]), "struct"),
        (pl.Series([b"x"]), "large_binary"),
        (pd.Series(pd.to_timedelta([1], unit="s")), "duration"),
        (pd.Series(pd.period_range("2020", periods=2, freq="M")), "period"),
        (pd.Series(pd.cut([1, 2], 2)), "interval"),
        (pa.array([b"0" * 16], pa.uuid()), "uuid"),
    ],
)
def test_cells_that_are_no_categories_are_refused(values, kind):
    with pytest.raises(CellTypeError, match=f"column 'a' holds cells of type .*{kind}"):
        one_column("a", values)


@pytest.mark.parametrize("values", [["\ud800", "a"], np.array(["\ud800"]), ["\ud800", 1]])
def test_text_that_is_no_unicode_is_refused(values):
    with pytest.raises(InputError, match="'a' holds text with surrogates"):
        one_column("a", values)


def test_a_date_beyond_our_calendar_is_refused():
    with pytest.raises(InputError, match=r"column 'a': .*out of bounds"):
        one_column("a", np.array([2**60], dtype="M8[s]"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than once: 'a'"),
        (pa.Table.from_arrays([pa.array([1])] * 2, names=["a", "a"]), "more than once: 'a'"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "more than once: '1'"),
        ({1: [1], "1": [1]}, "more than once: '1'"),
        (pl.DataFrame({"a": [1]}).lazy(), "a lazy frame was given; call .collect"),
        (scipy.sparse.csr_array(np.eye(2)), "a sparse matrix was passed"),
        (np.zeros((2, 2), complex), "Complex data not supported"),
        ({"a": np.zeros(2, complex)}, "Complex data not supported"),
        (np.zeros(3), "Expected 2D array, got 1D"),
        ([], "an empty list holds neither rows nor frames"),
        (np.zeros((1, 2, 3)), "Expected 2D array, got 3D"),
        (pd.Series([1, 2]), "Expected 2D array, got 1D"),
        ([[1], [2, 3]], "Expected 2D array, got 1D"),
        ("sales.parquet", "a path is no table in memory"),
        (None, "Expected 2D array, got 0D"),
        ({"a": [1], "b": [1, 2]}, "must be equally long, got {'a': 1, 'b': 2}"),
        ({"a": np.zeros((2, 2))}, "column 'a' must be one-dimensional, got 2"),
        ({"a": "text"}, "column 'a' must be one-dimensional, got 0"),
        ({"a": {1, 2}}, "column 'a' must be one-dimensional, got 0"),
    ],
)
def test_what_is_no_table_is_refused(table, message):
    def read_all():
        frame = open_frame(table)
        return [frame.column(name) for name in frame.names]

    with pytest.raises(InputError, match=re.escape(message)):
        read_all()


@pytest.mark.parametrize("n_rows", [0, 1])
def test_short_tables(as_frame, n_rows):
    frame = open_frame(as_frame({"a": ["x"][:n_rows], "b": [1.5][:n_rows]}))
    assert (frame.n_rows, frame.names) == (n_rows, ("a", "b"))
    assert cells_of(frame.column("a")) == ["x"][:n_rows]
    assert frame.column("b").floats().tolist() == [1.5][:n_rows]


def test_tables_without_columns():
    assert open_frame({}).names == ()
    assert open_frame(np.zeros((3, 0))).n_rows == 3
    assert open_frame(pd.DataFrame(index=range(3))).n_rows == 3


def test_a_record_batch_is_a_table():
    assert open_frame(pa.record_batch({"a": [1, 2]})).names == ("a",)


def test_lists_are_read_end_to_end(as_frame, frame_kind):
    if frame_kind == "pandas-nullable":
        pytest.skip("pandas has no nullable type for lists")
    frame = open_frame(as_frame({"tags": [["a", None], [], None, ["b"]], "n": [1, 2, 3, 4]}))
    column, offsets = frame.lists("tags")
    assert column.n_rows == 3
    assert column.families["text"].to_pylist() == ["a", None, "b"]
    assert offsets.tolist() == [0, 2, 2, 2, 3]
    with pytest.raises(InputError, match=r"column 'n' must hold lists, but holds 1, 2"):
        frame.lists("n")
    with pytest.raises(InputError, match="no column 'x'"):
        frame.lists("x")


def test_rows_of_a_column_are_taken_by_number():
    column = one_column("x", ["a", 1, None, "b"])
    taken = column.take(np.array([3, 0, 0]))
    assert list(taken.families) == ["text"]  # no number is left
    assert taken.families["text"].to_pylist() == ["b", "a", "a"]
    assert taken.n_rows == 3
