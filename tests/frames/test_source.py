"""Sources: Parquet files, folders, patterns and frames one after the other."""

from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec import EmbeddingEncoder
from catvec.errors import InputError
from catvec.frames import Vocabulary, open_frame
from catvec.frames import _source as module
from catvec.frames._counting import ValueCounter, count_by_duckdb
from catvec.frames._source import is_source, open_source, read_arrays, whole

TABLE = pa.table({"user": ["a", "b", None, "a", "c"], "n": [1, 2, 3, 4, 5]})


def rows_of(source, columns=("user", "n")):
    tables = [chunk.table(list(columns)) for chunk in source.chunks(list(columns))]
    return pa.concat_tables(tables, promote_options="permissive")


def folder_of(tmp_path, *tables):
    for i, table in enumerate(tables):
        (tmp_path / f"month={i}").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / f"month={i}" / "part.parquet", row_group_size=2)
    return tmp_path


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_a_folder_a_pattern_and_a_file_have_the_same_rows(tmp_path, monkeypatch, chunk_rows):
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk_rows)
    folder = folder_of(tmp_path, TABLE, TABLE)
    wanted = pa.concat_tables([TABLE, TABLE]).to_pylist()
    for path in (folder, str(folder), f"{folder}/*/*.parquet"):
        source = open_source(path, tmp_path)
        assert source.n_rows == 10
        assert [rows_of(source).to_pylist() for _ in range(2)] == [wanted, wanted]
    starts = [chunk.start for chunk in source.chunks(["n"])]
    assert starts == sorted(set(starts))
    assert rows_of(open_source(folder / "month=0/part.parquet", tmp_path)).num_rows == 5


def test_names_of_folders_are_columns(tmp_path):
    frame = pd.DataFrame({"zip": ["01", "a b/c", "03"] * 4, "n": [1, 2] * 6, "x": range(12)})
    frame.to_parquet(tmp_path / "hive", partition_cols=["zip", "n"])
    source = open_source(tmp_path / "hive", tmp_path)
    assert source.kinds == {"x": "number", "zip": "text", "n": "number"}
    rows = rows_of(source, ["n", "x", "zip"]).to_pandas().sort_values("x")
    assert rows.to_dict("list") == frame[["n", "x", "zip"]].to_dict("list")
    assert sorted(rows_of(source, ["zip"])["zip"].to_pylist()) == sorted(frame["zip"])


def test_a_folder_tells_nothing_that_its_file_knows_or_that_is_missing(tmp_path):
    for folder, x in (("k=1/g=a", 5), ("k=__HIVE_DEFAULT_PARTITION__/g=b", 6), ("k=3", 7)):
        (tmp_path / folder).mkdir(parents=True)
        pq.write_table(pa.table({"x": [x], "g": ["own"]}), tmp_path / folder / "p.parquet")
    rows = rows_of(open_source(tmp_path, tmp_path), ["x", "g", "k"]).to_pylist()
    told = [(1, 5), (3, 7), (None, 6)]
    assert rows == [{"x": x, "g": "own", "k": k} for k, x in told]


@pytest.mark.parametrize("name", ["a.catvec", "z"])
def test_a_model_saved_in_a_folder_of_data_is_none_of_them(tmp_path, name):
    folder = folder_of(tmp_path, TABLE)
    frame = {"user": ["a", "b"] * 5}
    EmbeddingEncoder(output="effects").fit(frame, [1.0, 2.0] * 5).save(folder / name)
    assert open_source(folder, tmp_path).n_rows == 5
    assert open_source(folder / name, tmp_path).names[0] == "category"  # where it is asked for


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_that_come_once_are_kept_and_others_asked_again(tmp_path, make):
    frames = [make({"user": ["a", "b"], "n": [1, 2]}), make({"user": ["c"], "n": [2.5]})]
    wanted = [{"user": "a", "n": 1}, {"user": "b", "n": 2}, {"user": "c", "n": 2.5}]
    for source in (open_source(iter(frames), tmp_path / "spool"), open_source(frames, tmp_path)):
        assert source.kinds == {"user": "text", "n": "number"}
        for _ in range(2):
            rows = [
                row
                for c in source.chunks(["user", "n"])
                for row in c.table(["user", "n"]).to_pylist()
            ]
            assert rows == wanted
    assert len(list((tmp_path / "spool").iterdir())) == 2  # a type, a file
    assert len(list(tmp_path.iterdir())) == 1


def counted(source, _):
    counter = ValueCounter("n")
    for chunk in source.chunks(["n"]):
        counter.add(chunk.column("n"))
    return counter.vocabulary(1)


def counted_by_duckdb(source, folder):
    pytest.importorskip("duckdb")
    return count_by_duckdb("n", partial(read_arrays, source, "n"), 1, folder)


def learned_whole(source, _):
    return Vocabulary.learn(open_frame(whole(source)).column("n"))[0]


@pytest.mark.parametrize("learn", [counted, counted_by_duckdb, learned_whole])
def test_large_integers_stay_what_they_are_beside_floats(tmp_path, learn):
    large = pd.DataFrame({"n": [2**53, 2**53 + 1]})
    with_gaps = pd.DataFrame({"n": [5.0, None]})  # as pandas has integers with a gap
    for frames in ([large, with_gaps], [with_gaps, large]):
        found = learn(open_source(frames, tmp_path), tmp_path)
        assert found.categories.tolist() == [5, 2**53, 2**53 + 1]
        assert found.counts.tolist() == [0, 1, 1, 1, 1]
    with pytest.raises(InputError, match=r"column 'n' holds numbers .* no common type"):
        learn(open_source([large, with_gaps, with_gaps / 2], tmp_path), tmp_path)


def test_category_types_are_known(tmp_path):
    frame = pd.DataFrame({"a": pd.Categorical([1, 2]), "b": [1, 2]})
    for source in (open_source(iter([frame]), tmp_path), open_source([frame], tmp_path)):
        assert source.coded == {"a"}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("x.parquet", True),
        ([TABLE, TABLE], True),
        (iter([]), True),
        (TABLE, False),
        ([[1, 2], [3, 4]], False),
        ([], False),
        (np.zeros((2, 2)), False),
        ({"a": [1]}, False),
        (pd.DataFrame({"a": [1]}), False),
        (pl.DataFrame({"a": [1]}), False),
    ],
)
def test_what_is_a_source(value, wanted):
    assert is_source(value) is wanted


def test_a_file_without_a_column_is_named(tmp_path):
    folder = folder_of(tmp_path, TABLE, TABLE, TABLE.drop_columns(["n"]))
    with pytest.raises(InputError, match=r"month=2.*has no column 'n', which .*month=0.* has"):
        open_source(folder, tmp_path)


def test_a_file_with_another_type_is_named(tmp_path):
    empty = pa.table({"user": pa.nulls(2), "n": pa.nulls(2)})
    other = pa.table({"user": ["a"], "n": ["many"]})
    folder = folder_of(tmp_path, empty, TABLE, other)
    with pytest.raises(
        InputError, match=r"column 'n' holds text values in .*month=2.*number values in .*month=1"
    ):
        open_source(folder, tmp_path)


def test_a_frame_with_another_type_is_named(tmp_path):
    source = open_source([TABLE, pa.table({"user": [7], "n": [1]})], tmp_path)
    with pytest.raises(
        InputError, match="column 'user' holds number values in frame 2, but text values in frame 1"
    ):
        rows_of(source)
    source = open_source([TABLE, TABLE.drop_columns(["n"])], tmp_path)
    with pytest.raises(InputError, match="frame 2: no column 'n'"):
        rows_of(source)


@pytest.mark.parametrize("make", [list, iter])
def test_what_a_column_holds_is_told_by_the_first_frame_that_knows(tmp_path, make):
    def frame(n, kind):
        return pd.DataFrame({"n": n, "c": pd.Categorical(kind), "none": [None, None]})

    frames = [frame(None, [None, None]), frame([1.0, None], [3, 4]), frame([2.0, 3.0], [4, 3])]
    source = open_source(make(frames), tmp_path)
    assert source.kinds == {"n": "number", "c": "number", "none": "empty"}
    assert source.coded == {"c"}
    assert whole(source)["n"].to_pylist() == [None, None, 1.0, None, 2.0, 3.0]
    texts = [*frames, frame(["x", "y"], [3, 4])]
    with pytest.raises(InputError, match=r"text values in .*, but number values in "):
        list(open_source(make(texts), tmp_path / "texts").chunks(["n"]))


def test_mixed_cells_are_refused(tmp_path):
    frames = [pd.DataFrame({"user": ["a", 1]})]
    with pytest.raises(InputError, match="frame 1: column 'user' holds number and text values"):
        open_source(frames, tmp_path)


def test_a_row_group_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "broken.parquet"
    table = pa.table({"user": [f"user {i}" for i in range(4000)]})
    pq.write_table(table, path, row_group_size=1000, compression="zstd", use_dictionary=False)
    group = pq.ParquetFile(path).metadata.row_group(2).column(0)
    content = bytearray(path.read_bytes())
    start = group.data_page_offset
    content[start : start + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    path.write_bytes(content)
    source = open_source(path, tmp_path)
    with pytest.raises(InputError, match=r"row group 2 of .*broken.parquet.* cannot be read"):
        rows_of(source, ["user"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent.parquet", "no such file: .*absent"),
        (lambda folder: folder / "*.parquet", "no Parquet file found at"),
        (lambda folder: folder, "no Parquet file found at"),
        (lambda _: iter([]), "there are no frames to learn from"),
        (lambda _: (frame for frame in []), "there are no frames to learn from"),
    ],
)
def test_nothing_to_read_is_an_error(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        open_source(make(tmp_path), tmp_path)


def test_a_file_of_another_format_is_read_whole(tmp_path):
    (tmp_path / "rows.csv").write_text("user,n\na,1\nb,2\n")
    assert rows_of(open_source(tmp_path / "rows.csv", tmp_path)).num_rows == 2


def test_frames_that_cannot_be_kept_are_one_clear_error(tmp_path, monkeypatch):
    def full(self, table):  # noqa: ARG001
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(InputError, match=r"could not write the frames.*No space left"):
        open_source(iter([TABLE]), tmp_path)
