"""Tables in files: what a CSV file means, formats by ending, all or nothing."""

import contextlib
import datetime
import io
import os

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from catvec.errors import InputError
from catvec.frames import open_frame
from catvec.frames._files import check_writable, file_format, open_table, replacing, write_table

ENDINGS = ["csv", "tsv", "csv.gz", "parquet", "pq", "arrow", "feather", "ipc"]
ENDINGS += ["CSV", "TSV", "CSV.GZ", "Tsv.gz"]


def read(text: str | bytes, families=None) -> pa.Table:
    raw = text.encode() if isinstance(text, str) else text
    return open_table(io.BytesIO(raw)).read(families=families)


def column(text: str, families=None) -> list:
    """The values of a column `a` given as lines; another column keeps empty lines alive."""
    rows = "".join(f"{line},1\n" for line in text.split("\n"))
    return read(f"a,b\n{rows}", families and {"a": families})["a"].to_pylist()


# --- what a CSV file means ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1\n-2\n0", [1, -2, 0]),
        ("1\n\n3", [1, None, 3]),
        ("1\nNA\nnull", [1, None, None]),
        (" 1 \n2\n3", [1, 2, 3]),
        ("1\n2.5\n-1e3", [1.0, 2.5, -1000.0]),
        ("007\n7\n12", ["007", "7", "12"]),
        ("00.5\n1\n2", ["00.5", "1", "2"]),
        ("18446744073709551615\n1\n2", [2**64 - 1, 1, 2]),
        ("12345678901234567890123\n1\n2", ["12345678901234567890123", "1", "2"]),
        ("true\nFALSE\n", [True, False, None]),
        ("NA\n\nDE", ["NA", None, "DE"]),
        ('""\n\n"a ""b"""', ["", None, 'a "b"']),
        ("1\nx\n", ["1", "x", None]),
        ("é\n日本\n🙂", ["é", "日本", "🙂"]),
    ],
)
def test_a_column_is_read_by_all_of_its_fields(text, values):
    assert column(text) == values


def test_a_field_may_hold_line_breaks():
    assert read('a,b\n"two\nlines",1\n')["a"].to_pylist() == ["two\nlines"]


def test_dates_and_times_are_dates():
    days = column("2013-01-31\n\n1999-12-01")
    assert days == [datetime.datetime(2013, 1, 31), None, datetime.datetime(1999, 12, 1)]
    assert column("2013-01-31T10:00:00\n2013-02-01 11:00:00")[0].hour == 10
    assert column("2013-01-31T10:00:00Z")[0].tzinfo is not None
    assert column("2013-13-31") == ["2013-13-31"]


def test_the_last_row_decides_too():
    numbers = "\n".join(str(i) for i in range(300_000))  # more than one block of the reader
    assert column(f"{numbers}\nlast")[0] == "0"


def test_prediction_reads_by_the_families_of_the_training():
    assert column("1\n2", ["text"]) == ["1", "2"]
    assert column("007\n+8\nNA", ["number"]) == [7, 8, None]
    assert column("1\n0", ["boolean"]) == [True, False]
    assert column("2013-01-31", ["text"]) == ["2013-01-31"]
    assert column("NA\nNA", ["number"]) == [None, None]


def test_what_does_not_fit_its_family_is_read_as_it_is():
    assert column("1\nx", ["number"]) == ["1", "x"]
    assert column("2013-01-31", ["number"]) == [datetime.datetime(2013, 1, 31)]
    assert column("5\n6", ["boolean"]) == [5, 6]


def test_gaps_do_not_change_the_keys_of_integers():
    whole, gaps = (open_frame(read(f"a,b\n1,1\n{x},1\n")).column("a") for x in ("2", ""))
    assert whole.families["number"].type == gaps.families["number"].type == pa.int64()


@pytest.mark.parametrize(("mark", "name"), [(";", "a"), ("\t", "a"), ("|", "a"), (",", "a;b")])
def test_the_delimiter_is_the_one_of_the_header(mark, name):
    table = read(f"{name}{mark}c\n1{mark}2\n")
    assert table.column_names == [name, "c"]


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        (["-0,5", "1e3", "2"], [-0.5, 1000.0, 2.0]),
        (["1,5", ",25", "NA"], [1.5, 0.25, None]),
        (["1,5", "2.5", "3"], ["1,5", "2.5", "3"]),
        (["1,2,3", "4", "5"], ["1,2,3", "4", "5"]),
        (["01,5", "1", "2"], ["01,5", "1", "2"]),
    ],
)
def test_where_semicolons_part_the_fields_numbers_may_have_commas(fields, values):
    rows = "".join(f"{field};x\n" for field in fields)
    assert read(f"a;b\n{rows}")["a"].to_pylist() == values
    quoted = "".join(f'"{field}",x\n' for field in fields)
    assert read(f"a,b\n{quoted}")["a"].to_pylist() == fields


def test_the_delimiter_is_not_looked_for_in_quotes():
    table = read('"a";"b, c";"d ""e,"" f";"two,\nlines"\n1;2;3;4\n')
    assert table.column_names == ["a", "b, c", 'd "e," f', "two,\nlines"]
    assert table.to_pylist() == [dict(zip(table.column_names, [1, 2, 3, 4], strict=True))]


@pytest.mark.parametrize("blank", ["\n", "  \n\n", "\r\n\r\n"])
def test_empty_lines_before_the_names_are_passed_over(blank):
    assert read(f"{blank}a,b\n1,2\n").to_pydict() == {"a": [1], "b": [2]}
    assert read(f"\ufeff{blank}a\n1\n\n").to_pydict() == {"a": [1, None]}


def test_a_table_of_one_column_keeps_its_empty_lines():
    assert read("a\n1\n\n3\n")["a"].to_pylist() == [1, None, 3]
    assert read("a,b\n1,1\n\n3,3\n")["a"].to_pylist() == [1, 3]


def test_names_of_columns_are_taken_as_they_are():
    names = ["../x", "[red]", "a,b", "two\nlines", "größe", " "]
    sink = io.BytesIO()
    pa.csv.write_csv(pa.table({name: ["x"] for name in names}), sink)
    assert read(b"\xef\xbb\xbf" + sink.getvalue()).column_names == names


def test_a_field_of_ten_megabytes():
    (long, short) = column("x" * 10_000_000 + "\ny")
    assert (len(long), short) == (10_000_000, "y")


def test_a_header_alone_is_a_table_without_rows():
    table = read("a,b\n")
    assert (table.column_names, len(table)) == (["a", "b"], 0)


# --- formats ------------------------------------------------------------------------------


@pytest.fixture
def table() -> pa.Table:
    return pa.table(
        {
            "text": ["a", None, ""],
            "int": [1, None, 3],
            "float": [0.5, None, 1e300],
            "flag": [True, None, False],
            "a.b": ["x", "y", "z"],
        }
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_comes_back(table, tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    table = table.rename_columns({"int": "int, if any"})
    write_table(table, path)
    back = open_table(path)
    assert back.names == tuple(table.column_names)
    assert back.read().to_pydict() == table.to_pydict()
    some = ["a.b", "int, if any"]
    assert back.read(some).to_pydict() == table.select(some).to_pydict()
    assert os.listdir(tmp_path) == [path.name]


def test_arrow_streams_and_feather_are_read(table, tmp_path):
    with pa.OSFile(str(tmp_path / "s.arrow"), "wb") as sink:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    feather.write_feather(table, str(tmp_path / "f.feather"))
    for name in ("s.arrow", "f.feather"):
        assert open_table(tmp_path / name).read().equals(table)


def test_names_of_folders_are_no_columns(table, tmp_path):
    (tmp_path / "year=2013").mkdir()
    pq.write_table(table, tmp_path / "year=2013" / "t.parquet")
    assert "year" not in open_table(tmp_path / "year=2013" / "t.parquet").names


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_an_index_without_a_name_is_no_column(tmp_path, ending):
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=[7, 5, 6])
    write_table(pa.Table.from_pandas(frame), tmp_path / f"t.{ending}")
    assert open_table(tmp_path / f"t.{ending}").names == ("a",)
    frame.index.name = "id"
    write_table(pa.Table.from_pandas(frame), tmp_path / f"n.{ending}")
    assert open_table(tmp_path / f"n.{ending}").read().to_pydict()["id"] == [7, 5, 6]


def test_names_of_rows_before_the_columns_of_a_csv_file_are_no_column(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"a": [1, 2, 3], "b": list("xyz")}).to_csv(path)
    assert open_table(path).names == ("a", "b")
    assert open_table(path).read().to_pydict() == {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    path.write_text('""\n1\n2\n')  # nothing but these: a column after all
    assert open_table(path).names == ("",)


# --- mistakes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the stream is empty; the first line must name the columns"),
        (b"\n \r\n", "is empty"),
        (b"a,a\n1,2\n", "names a column more than once: 'a'"),
        (b"a,b\n1,2,3\n", "Expected 2 columns, got 3: 1,2,3"),
        (b"a,b\n1,\xe9\n", "is not UTF-8 text"),
        (b"\xe9,b\n1,2\n", "is not UTF-8 text"),
    ],
)
def test_a_damaged_stream_is_one_line(raw, message):
    with pytest.raises(InputError, match=message) as caught:
        read(raw)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv.gz"])
def test_a_damaged_file_is_one_line(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    path.write_bytes(b"PAR1 no table of any kind")
    with pytest.raises(InputError, match=rf"t\.{ending}' cannot be read: ") as caught:
        open_table(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_one_line(table, tmp_path):
    path = tmp_path / "t.parquet"
    write_table(table, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        open_table(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file: "):
        open_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"t\.xlsx' must end in \.csv, .* tells its format"):
        open_table(tmp_path / "t.xlsx")
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(InputError, match="is a folder; name a file"):
        open_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="must end in"):
        file_format("csv")


def test_a_column_that_is_not_there_is_named_with_close_ones():
    file = open_table(io.BytesIO(b"store,day\n1,2\n"), "'sales.csv'")
    with pytest.raises(InputError, match=r"no column 'stroe' in 'sales.csv'; did you mean 'store'"):
        file.check(["day", "stroe"])
    with pytest.raises(InputError, match="did you mean 'day'"):
        file.read(["DAY"])
    with pytest.raises(InputError, match="it has 'store', 'day'"):
        file.check(["x"])


# --- writing ------------------------------------------------------------------------------


def test_what_fails_leaves_what_was_there(table, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("before")
    with contextlib.suppress(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    lists = table.append_column("list", pa.array([[1], [2], [3]]))
    with pytest.raises(InputError, match=r"the rows cannot be written as CSV: .*list"):
        write_table(lists, path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_a_full_disk_is_one_line(table, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"could not write .*: No space left on device"):
        write_table(table, tmp_path / "t.parquet")
    assert os.listdir(tmp_path) == []


def test_where_one_cannot_write(table, tmp_path):
    for path in (tmp_path / "absent" / "t.csv", tmp_path / "t.csv"):
        (tmp_path / "t.csv").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="could not write"):
            check_writable(path)
        with pytest.raises(InputError, match="could not write"):
            write_table(table, path)
    check_writable(tmp_path / "new.csv")
    assert os.listdir(tmp_path) == ["t.csv"]
