"""All columns together: encoding by name, and saving and loading bit for bit."""

import json
import pickle
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec.errors import ArtifactError, CategoryError, InputError, ParameterError
from catvec.vectors import CategoryVectors, write_artifact
from tests.vectors.examples import VALUES, make_column, make_vectors, small_vectors

FRAME = {"Store": [1, 7, None, 55], "city": ["Graz", "", "0", None]}


def _naive_encode(vectors, columns, output):
    """Row by row, one feature after the other."""
    rows = []
    for i in range(len(next(iter(columns.values())))):
        row = []
        for name in vectors:
            column, value = vectors[name], columns[name][i]
            known = value is None or value in column
            effect = column.effect(value) if known else column.unknown.effect
            confidence = column.confidence(value) if known else column.unknown.confidence
            vector = column[value] if known else column.unknown.vector
            row += [*np.atleast_1d(effect), confidence] if output != "vectors" else []
            row += list(vector) if output != "effects" else []
        rows.append(row)
    return np.array(rows, np.float32)


# --- a mapping of columns ---------------------------------------------------------------


def test_columns_by_name():
    vectors = make_vectors()
    assert vectors.columns == (*VALUES, "rare")
    assert list(vectors) == list(vectors.columns)
    assert len(vectors) == len(VALUES) + 1
    assert "Store" in vectors
    assert "store" not in vectors
    assert vectors["Store"].name == "Store"
    with pytest.raises(CategoryError, match="no column 'store'; the columns are 'Store'"):
        vectors["store"]
    with pytest.raises(CategoryError, match=r"no column \['Store'\]; the columns are 'Store'"):
        vectors[["Store"]]


def test_metadata_is_a_copy():
    given = {"a": {"b": [1, np.float32(0.5)]}}
    vectors = CategoryVectors([], metadata=given)
    given["a"]["b"][0] = 9
    vectors.metadata["a"]["b"][0] = 9
    assert vectors.metadata == {"a": {"b": [1, 0.5]}}


def test_columns_must_fit_together():
    store = make_column("Store", VALUES["Store"])
    with pytest.raises(ParameterError, match="distinct names, got twice: 'Store'"):
        CategoryVectors([store, store])
    with pytest.raises(ParameterError, match="same classes"):
        CategoryVectors([store, make_column("city", ["a"], n_classes=2)])
    with pytest.raises(ParameterError, match=r"`metadata\.x` must be numbers, texts.*got set"):
        CategoryVectors([store], metadata={"x": {1}})


def test_repr_is_a_table_for_people():
    shown = repr(make_vectors())
    first, titles, *lines = shown.splitlines()
    assert first == f"CategoryVectors: {len(VALUES) + 1} columns, 36 categories"
    assert titles.split() == ["column", "categories", "dim", "effects", "rows", "seen"]
    assert len(lines) == len(VALUES) + 1
    assert "and 5 more" in repr(CategoryVectors([make_column(str(i), [i]) for i in range(25)]))
    assert repr(CategoryVectors([])) == "CategoryVectors: 0 columns, 0 categories"


# --- encode -----------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["both", "effects", "vectors"])
@pytest.mark.parametrize("n_classes", [None, 3])
def test_encode_agrees_with_its_naive_twin(as_frame, output, n_classes):
    columns = [make_column(name, VALUES[name], n_classes=n_classes) for name in FRAME]
    vectors = CategoryVectors(columns)
    found = vectors.encode(as_frame(FRAME), output=output)
    assert found.dtype == np.float32
    assert found.shape == (4, len(vectors.get_feature_names_out(output=output)))
    np.testing.assert_array_equal(found, _naive_encode(vectors, FRAME, output))


def test_encode_goes_by_name():
    vectors = small_vectors()
    turned = {"extra": [0, 0, 0, 0], "city": FRAME["city"], "Store": FRAME["Store"]}
    np.testing.assert_array_equal(vectors.encode(FRAME), vectors.encode(pd.DataFrame(turned)))


def test_lists_have_no_codes_by_row():
    vectors = CategoryVectors([make_column("tags", ["a", "b"])])
    with pytest.raises(InputError, match="code by element and not by row: 'tags'; `drop` them"):
        vectors.codes({"tags": [["a", "b"], ["c"]]})


def test_codes_are_rows_of_the_tables_and_go_by_name(as_frame):
    vectors = small_vectors()
    turned = {"extra": [0] * len(FRAME["city"]), "city": list(FRAME["city"])}
    codes = vectors.codes(as_frame({**turned, "Store": list(FRAME["Store"])}))
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(codes, vectors.codes(FRAME))
    by_code = [vectors[name].by_code()[0][codes[:, c]] for c, name in enumerate(vectors)]
    found = vectors.encode(FRAME, output="vectors")
    np.testing.assert_array_equal(found, np.concatenate(by_code, axis=1))
    strange = {"Store": [-1, None], "city": ["never seen", None]}
    assert vectors.codes(strange).tolist() == [[0, 0], [1, 1]]
    with pytest.raises(InputError, match="the frame lacks"):
        vectors.codes({"city": ["Bern"]})


def test_encode_chunks_do_not_show(monkeypatch):
    vectors = small_vectors()
    whole = vectors.encode(FRAME)
    monkeypatch.setattr("catvec.vectors._vectors.CHUNK", 3)
    np.testing.assert_array_equal(vectors.encode(FRAME), whole)


def test_encode_keeps_missing_unknown_zero_and_text_zero_apart():
    vectors = CategoryVectors([make_column("x", [0, "0", None])])
    found = vectors.encode({"x": [0, "0", None, "never seen", 5]})
    assert len(np.unique(found[:4], axis=0)) == 4
    np.testing.assert_array_equal(found[3], found[4])


def test_encode_of_no_rows_and_of_no_columns():
    vectors = small_vectors()
    assert vectors.encode({"Store": [], "city": []}).shape == (0, 10)
    assert CategoryVectors([]).encode(FRAME).shape == (4, 0)


def test_encode_refuses():
    vectors = small_vectors()
    with pytest.raises(InputError, match="the frame lacks 'city'; its columns are 'Store', 'x'"):
        vectors.encode({"Store": [1], "x": [2]})
    with pytest.raises(InputError, match="column 'Store' held number values"):
        vectors.encode({"Store": ["1"], "city": ["Graz"]})
    with pytest.raises(ParameterError, match="`output` must be one of 'both'"):
        vectors.encode(FRAME, output="all")


def test_feature_names():
    columns = [make_column("Store", [1], dim=2), make_column("city", ["a"], dim=0)]
    both = CategoryVectors(columns).get_feature_names_out()
    names = ["Store_effect", "Store_confidence", "Store_00", "Store_01"]
    assert both.tolist() == [*names, "city_effect", "city_confidence"]
    assert both.dtype == object
    vectors = CategoryVectors(columns).get_feature_names_out(output="vectors")
    assert vectors.tolist() == ["Store_00", "Store_01"]
    classes = make_column("Store", [1], dim=101, n_classes=2, classes=["no", True])
    names = CategoryVectors([classes]).get_feature_names_out().tolist()
    assert names[:4] == ["Store_effect_no", "Store_effect_True", "Store_confidence", "Store_000"]
    assert names[-1] == "Store_100"


# --- save and load ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"dim": 0}, {"dim": 1}, {"n_classes": 3, "classes": ["a", 2, None]}, {"n_classes": 1}],
    ids=repr,
)
def test_save_and_load_bit_for_bit(tmp_path, kwargs):
    vectors = make_vectors(**kwargs)
    vectors.save(tmp_path / "a.catvec")
    loaded = CategoryVectors.load(tmp_path / "a.catvec")
    assert loaded == vectors
    for name in vectors:
        one, other = vectors[name], loaded[name]
        assert one.categories.dtype == other.categories.dtype
        assert list(one) == list(other)
        assert list(map(type, one)) == list(map(type, other))
        for before, after in zip(one.by_code(), other.by_code(), strict=True):
            assert before.tobytes() == after.tobytes()
            assert not after.flags.writeable
        np.testing.assert_array_equal(one.counts, other.counts)


def test_a_loaded_artifact_answers_alike(tmp_path):
    vectors = make_vectors()
    vectors.save(tmp_path / "a.catvec")
    loaded = CategoryVectors.load(str(tmp_path / "a.catvec"))
    rare = {"rare": ["a", "c", "never seen"]}
    columns = {name: [*values, None][:2] for name, values in VALUES.items()}
    for frame in (columns | {"rare": ["a", "c"]},):
        np.testing.assert_array_equal(vectors.encode(frame), loaded.encode(frame))
    one, other = vectors["rare"].vocabulary, loaded["rare"].vocabulary
    assert [one.code(v) for v in rare["rare"]] == [other.code(v) for v in rare["rare"]]
    assert loaded.metadata == vectors.metadata


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        make_vectors().save(tmp_path / name)
    files = [{f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("a", "b")]
    assert files[0] == files[1]


def test_seams_between_chunks_do_not_show(tmp_path, monkeypatch):
    column = make_column("n", [*range(60), *range(40)], min_frequency=2)
    monkeypatch.setattr("catvec.vectors._parquet.CHUNK", 7)
    CategoryVectors([column]).save(tmp_path / "a")
    assert CategoryVectors.load(tmp_path / "a")["n"] == column
    (file,) = (tmp_path / "a").glob("*.parquet")
    assert pq.ParquetFile(file).num_row_groups > 5


def test_a_long_category_survives(tmp_path):
    column = make_column("text", ["x" * 10_000_000, "y"])
    CategoryVectors([column]).save(tmp_path / "a")
    assert CategoryVectors.load(tmp_path / "a")["text"] == column


def test_numbers_that_json_lacks_survive_as_text(tmp_path):
    CategoryVectors([], metadata={"a": [np.inf, -np.inf, np.nan]}).save(tmp_path / "a")
    found = CategoryVectors.load(tmp_path / "a").metadata["a"]
    assert found == ["Infinity", "-Infinity", "NaN"]
    np.testing.assert_array_equal([float(text) for text in found], [np.inf, -np.inf, np.nan])


def test_pickle_keeps_everything():
    vectors = make_vectors()
    assert pickle.loads(pickle.dumps(vectors)) == vectors


def test_equality_sees_columns_numbers_and_metadata():
    vectors = small_vectors()
    columns = [vectors[name] for name in vectors]
    assert vectors == CategoryVectors(columns, metadata={"seed": 0})
    assert vectors != CategoryVectors(columns)
    assert vectors != CategoryVectors(columns[::-1], metadata={"seed": 0})
    assert vectors != small_vectors(seed=1)
    assert vectors != 3


@pytest.mark.parametrize(
    "read",
    [
        lambda file: pd.read_parquet(file),
        lambda file: duckdb.sql(f"select * from '{file}'").df(),
        lambda file: pl.read_parquet(file).to_pandas(),
    ],
    ids=["pandas", "duckdb", "polars"],
)
def test_other_tools_read_the_files(tmp_path, read):
    vectors = make_vectors()
    vectors.save(tmp_path / "a.catvec")
    schema = json.loads((tmp_path / "a.catvec" / "schema.json").read_text())
    for section in schema["columns"]:
        column = vectors[section["name"]]
        frame = read(tmp_path / "a.catvec" / schema["files"][section["file"]]["name"])
        assert {"category", "role", "count", "effect", "confidence", "vector"} <= set(frame)
        known = frame[frame["role"] == "category"]
        assert known["count"].tolist() == column.counts.tolist()
        np.testing.assert_array_equal(known["effect"], column.effects)
        if len(column):
            np.testing.assert_array_equal(np.stack(known["vector"]), column.vectors)


def test_file_names_are_safe_whatever_the_columns_are_called(tmp_path):
    make_vectors().save(tmp_path / "a.catvec")
    assert [f.name for f in tmp_path.iterdir()] == ["a.catvec"]
    for file in (tmp_path / "a.catvec").iterdir():
        assert file.name == "schema.json" or file.name.isascii()
        assert len(file.name) < 40


def test_a_model_in_the_same_folder_is_a_superset(tmp_path):
    vectors = small_vectors()
    schema, files = vectors.to_parts()
    extra = {"model": {"loss": "squared"}}
    write_artifact(tmp_path / "m", {**schema, **extra}, {**files, "network.safetensors": b"..."})
    assert CategoryVectors.load(tmp_path / "m") == vectors


# --- schemas that lie -------------------------------------------------------------------


def _lying(tmp_path, change):
    """An artifact whose schema was changed before it was written, so that its checksum is right."""
    schema, files = small_vectors().to_parts()
    change(schema)
    write_artifact(tmp_path / "a", schema, files)
    return tmp_path / "a"


LIES = {
    "rows": lambda s: s["columns"][0].update(n_categories=3),
    "rare rows": lambda s: s["columns"][0].update(n_rare=1),
    "width": lambda s: s["columns"][0].update(embedding_dim=4),
    "no width": lambda s: s["columns"][0].update(embedding_dim=0),
    "negative width": lambda s: s["columns"][0].update(embedding_dim=-1),
    "width as text": lambda s: s["columns"][0].update(embedding_dim="3"),
    "families": lambda s: s["columns"][0].update(families=["text"]),
    "swapped files": lambda s: s["columns"][0].update(file="column_01.parquet"),
    "no such file": lambda s: s["columns"][0].update(file="column_02.parquet"),
    "name": lambda s: s["columns"][0].update(name="other"),
    "classes": lambda s: s.update(classes=["a", "b"]),
    "classes of another kind": lambda s: s.update(classes="ab"),
    "section of another kind": lambda s: s["columns"].append("Store"),
    "column twice": lambda s: s["columns"].append(s["columns"][0]),
    "no columns": lambda s: s.pop("columns"),
    "no metadata": lambda s: s.pop("metadata"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_schema_that_lies_is_damage(tmp_path, lie):
    with pytest.raises(ArtifactError, match=r"the artifact '.*a' is damaged"):
        CategoryVectors.load(_lying(tmp_path, LIES[lie]))


def _with_table(tmp_path, change):
    """An artifact whose column file holds another table, under its right hash."""
    vectors = small_vectors()
    schema, files = vectors.to_parts()
    files["column_00.parquet"](tmp_path / "raw")
    table = change(pq.read_table(tmp_path / "raw"))
    files["column_00.parquet"] = lambda path: pq.write_table(table, path)
    write_artifact(tmp_path / "a", schema, files)
    return tmp_path / "a"


def _replaced(table, name, values):
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    return table.set_column(place, field, pa.array(values, field.type))


TABLES = {
    "short": lambda t: t.slice(0, 4),
    "roles out of order": lambda t: t.take([1, 0, *range(2, len(t))]),
    "a category twice": lambda t: t.take([0, 1, 2, 2, 3, 4]),
    "no vector": lambda t: t.drop_columns(["vector"]),
    "effects as float64": lambda t: t.set_column(
        t.schema.get_field_index("effect"), "effect", t["effect"].cast("double")
    ),
    "a null effect": lambda t: _replaced(t, "effect", [None, *t["effect"].to_pylist()[1:]]),
    "a null vector": lambda t: _replaced(t, "vector", [None, *t["vector"].to_pylist()[1:]]),
    "a null in a vector": lambda t: _replaced(
        t, "vector", [[None] * 3, *t["vector"].to_pylist()[1:]]
    ),
    "not finite": lambda t: _replaced(t, "effect", [float("inf"), *t["effect"].to_pylist()[1:]]),
    "confidence above 1": lambda t: _replaced(t, "confidence", [1.5] * len(t)),
    "a negative count": lambda t: _replaced(t, "count", [-1] * len(t)),
    "a null count": lambda t: _replaced(t, "count", [None, *t["count"].to_pylist()[1:]]),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_file_that_does_not_fit_its_schema_is_damage(tmp_path, table):
    path = _with_table(tmp_path, TABLES[table])
    with pytest.raises(ArtifactError, match="damaged: the file of column 'Store'"):
        CategoryVectors.load(path)


def test_a_file_that_is_no_parquet_is_damage(tmp_path):
    schema, files = small_vectors().to_parts()
    write_artifact(tmp_path / "a", schema, {**files, "column_01.parquet": b"PAR1 not really PAR1"})
    with pytest.raises(ArtifactError, match="damaged: the file of column 'city'"):
        CategoryVectors.load(tmp_path / "a")


# --- what it costs to use ---------------------------------------------------------------


def test_using_saved_vectors_needs_no_training_code(tmp_path):
    small_vectors().save(tmp_path / "a")
    script = f"""
import sys
from catvec.vectors import CategoryVectors, export
vectors = CategoryVectors.load({str(tmp_path / "a")!r})
vectors["Store"].most_similar(1), vectors["Store"].analogy([1, 2], [3])
vectors.encode({{"Store": [1, None], "city": ["Graz", "x"]}})
export(vectors, {str(tmp_path / "p")!r}, "projector")
repr(vectors), vectors.save({str(tmp_path / "b")!r})
vectors["Store"].to_frame("pyarrow")
print([m for m in ("torch", "numba", "sklearn", "scipy", "polars") if m in sys.modules])
"""  # pandas is not in the list: where it is installed, pyarrow imports it on its own
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
