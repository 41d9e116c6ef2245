"""Exports: other tools read them, and nothing half-written is left behind."""

import csv
import os
from urllib.parse import unquote

import duckdb
import numpy as np
import pandas as pd
import pytest
from gensim.models import KeyedVectors

from catvec.errors import ArtifactError, InputError, ParameterError
from catvec.vectors import CategoryVectors, export
from tests.vectors.examples import VALUES, make_column, make_vectors, small_vectors

TEXT = [name for name in VALUES if name != "mixed"]


# --- word2vec ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXT)
def test_gensim_reads_word2vec(tmp_path, name):
    vectors = make_vectors()
    (file,) = export(vectors, tmp_path / "a.txt", "word2vec", name)
    read = KeyedVectors.load_word2vec_format(file)
    assert len(read.index_to_key) == len(vectors[name])
    np.testing.assert_array_equal(read.vectors, vectors[name].vectors)
    if vectors[name].vocabulary.families == ("text",):
        keys = ["" if key == "%" else unquote(key) for key in read.index_to_key]
        assert keys == list(vectors[name])


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("Store", ["1", "2", "3", "7"]),
        ("price", ["0", "2.5", "3"]),
        ("open", ["false", "true"]),
        ("day", ["2020-01-01", "2020-01-02"]),
        ("time", ["1960-02-29T00:00:00.000000", "2020-01-01T05:30:00.000007"]),
        ("city", ["%", "100%25", "Graz", "New%20York", "a%09b", "two%0Alines", "Łódź"]),
    ],
)
def test_word2vec_tokens(tmp_path, name, tokens):
    (file,) = export(make_vectors(), tmp_path / "a.txt", "word2vec", name)
    lines = file.read_text(encoding="utf-8").split("\n")
    assert lines[0] == f"{len(tokens)} 3"
    assert [line.split(" ")[0] for line in lines[1:-1]] == tokens
    assert lines[-1] == ""


def test_word2vec_tokens_tell_all_texts_apart(tmp_path):
    texts = ["", "%", "%25", " ", "%20", "\u00a0", "\u2028", "\x00", "\x85", "a b", "a\tb", "a_b"]
    column = make_column("x", texts)
    (file,) = export(CategoryVectors([column]), tmp_path / "a.txt", "word2vec")
    read = KeyedVectors.load_word2vec_format(file)
    assert [unquote(key) if key != "%" else "" for key in read.index_to_key] == list(column)


def test_word2vec_of_extreme_numbers(tmp_path, rng):
    column = make_column("x", list(range(500)), dim=7)
    scaled = column.vectors * np.float32(10) ** rng.integers(-38, 38, size=(500, 7))
    table = np.concatenate([np.zeros((2, 7)), scaled]).astype(np.float32)
    column = type(column)(column.vocabulary, table, np.zeros(502), np.zeros(502))
    (file,) = export(CategoryVectors([column]), tmp_path / "a.txt", "word2vec")
    np.testing.assert_array_equal(KeyedVectors.load_word2vec_format(file).vectors, table[2:])


def test_word2vec_of_several_columns_is_a_folder(tmp_path):
    vectors = small_vectors()
    files = export(vectors, tmp_path / "new" / "all", "word2vec")
    assert [file.name for file in files] == ["Store.txt", "city.txt"]
    assert all(file.parent == tmp_path / "new" / "all" for file in files)
    with pytest.raises(ParameterError, match=r"`path` must be a folder.*or name one `column`"):
        export(vectors, tmp_path / "all.txt", "word2vec")


def test_categories_that_would_be_written_alike_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"'mixed' mixes .* written alike \('1'\); export it as"):
        export(make_vectors(), tmp_path / "a.txt", "word2vec", "mixed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["word2vec", "projector"])
def test_columns_without_vectors_are_refused(tmp_path, format):
    vectors = CategoryVectors([make_column("Store", [1], dim=0)])
    with pytest.raises(ParameterError, match="column 'Store' has effects only"):
        export(vectors, tmp_path / "a", format)


def test_chunks_do_not_show(tmp_path, monkeypatch):
    vectors = CategoryVectors([make_column("n", list(range(50)))])
    whole = {f: _texts(export(vectors, tmp_path / f, f)) for f in ("word2vec", "projector")}
    monkeypatch.setattr("catvec.vectors._export.CHUNK", 20)
    parts = {f: _texts(export(vectors, tmp_path / f, f)) for f in ("word2vec", "projector")}
    assert whole == parts


def _texts(files):
    return [file.read_text(encoding="utf-8") for file in files]


# --- projector --------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
def test_projector_files_have_a_line_by_category(tmp_path, name):
    vectors = make_vectors()
    column = vectors[name]
    numbers, metadata = _texts(export(vectors, tmp_path / "p", "projector", name))
    rows = [list(map(np.float32, line.split("\t"))) for line in numbers.split("\n") if line]
    np.testing.assert_array_equal(np.array(rows, np.float32).reshape(-1, 3), column.vectors)
    titles, *lines = [line.split("\t") for line in metadata.split("\n")[:-1]]
    assert titles == ["category", "count", "effect", "confidence"]
    assert len(lines) == len(column)
    assert {len(line) for line in lines} <= {4}
    assert [int(line[1]) for line in lines] == column.counts.tolist()
    assert [np.float32(line[2]) for line in lines] == column.effects.tolist()


def test_projector_escapes_tabs_and_lines(tmp_path):
    texts = ["a\tb", "a\\tb", "one\ntwo\r", "back\\"]
    _, metadata = _texts(export(CategoryVectors([make_column("x", texts)]), tmp_path, "projector"))
    names = [row[0] for row in csv.reader(metadata.split("\n")[1:-1], delimiter="\t")]
    assert names == ["a\\tb", "a\\\\tb", "back\\\\", "one\\ntwo\\r"]
    assert sorted(map(_unescaped, names)) == sorted(texts)


def _unescaped(text):
    return text.encode("latin-1").decode("unicode_escape")


def test_projector_names_classes(tmp_path):
    vectors = CategoryVectors([make_column("x", ["a"], n_classes=2, classes=["n\to", "yes"])])
    _, metadata = _texts(export(vectors, tmp_path, "projector"))
    titles = metadata.split("\n")[0].split("\t")
    assert titles == ["category", "count", "effect_n\\to", "effect_yes", "confidence"]


def test_files_named_after_columns_are_safe_and_distinct(tmp_path):
    names = ["../../etc/passwd", "a/b", "A b", "a_b", "a_b_2", "", "..", "x" * 300, "ключ\n"]
    vectors = CategoryVectors([make_column(name, ["v"]) for name in names])
    files = export(vectors, tmp_path / "p", "projector")
    assert len({file.name.casefold() for file in files}) == 2 * len(names)
    assert {file.parent for file in files} == {tmp_path / "p"}
    assert all(file.exists() for file in files)
    assert [file.name for file in files[2:6:2]] == ["a_b_vectors.tsv", "A_b_2_vectors.tsv"]


# --- Parquet ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
def test_parquet_of_one_column_keeps_its_types(tmp_path, name):
    vectors = make_vectors()
    (file,) = export(vectors, tmp_path / "a.parquet", "parquet", name)
    frame = pd.read_parquet(file)
    known = frame[frame["role"] == "category"]
    assert "column" not in frame
    assert len(known) == len(vectors[name])
    if name == "Store":
        assert known["category"].tolist() == [1, 2, 3, 7]
        assert known["category"].dtype == "Int64"


@pytest.mark.parametrize("kwargs", [{}, {"dim": 0}, {"n_classes": 3}], ids=repr)
def test_parquet_of_all_columns_is_one_tidy_table(tmp_path, kwargs):
    vectors = make_vectors(**kwargs)
    (file,) = export(vectors, tmp_path / "a.parquet", "parquet")
    frame = duckdb.sql(f"select * from '{file}'").df()
    assert list(frame.columns[:5]) == ["column", "category", "family", "role", "count"]
    assert list(frame.columns[5:]) == ["effect", "confidence", "vector"]
    for name in vectors:
        known = frame[(frame["column"] == name) & (frame["role"] == "category")]
        assert len(known) == len(vectors[name])
        if len(known) and not kwargs:
            np.testing.assert_array_equal(np.stack(known["vector"]), vectors[name].vectors)
    cities = frame[(frame["column"] == "city") & (frame["role"] == "category")]
    assert cities["category"].tolist() == list(vectors["city"])
    roles = frame.loc[frame["column"] == "rare", "role"].tolist()
    assert roles == ["unknown", "missing", "category", "category", "rare", "rare"]


# --- refusals ---------------------------------------------------------------------------


def test_export_refuses(tmp_path):
    vectors = small_vectors()
    with pytest.raises(ParameterError, match="`format` must be one of 'parquet', 'word2vec'"):
        export(vectors, tmp_path / "a", "onnx")
    with pytest.raises(ParameterError, match="`column` must be one of 'Store', 'city', got 'x'"):
        export(vectors, tmp_path / "a", "parquet", "x")
    with pytest.raises(ParameterError, match="`path` must be a file, got the folder"):
        export(vectors, tmp_path, "parquet")
    with pytest.raises(ParameterError, match="no columns"):
        export(CategoryVectors([]), tmp_path / "a", "parquet")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="could not write"):
        export(vectors, tmp_path / "file", "projector")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("format", ["parquet", "word2vec", "projector"])
def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch, format):
    vectors = CategoryVectors([make_column("n", [1, 2])])
    files = export(vectors, tmp_path / "a", format)
    before = _contents(files)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"could not write .*No space left on device"):
        export(CategoryVectors([make_column("n", [1, 3])]), tmp_path / "a", format)
    assert _contents(files) == before
    assert {file.name for file in files[0].parent.iterdir()} == {file.name for file in files}


def _contents(files):
    return [file.read_bytes() for file in files]
