"""Effects of pairs of columns: lookup, features beside the columns', and their files."""

import datetime
import json
import pickle
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec.errors import ArtifactError, CategoryError, ParameterError
from catvec.frames import FIRST, Pair
from catvec.vectors import CategoryVectors, PairEffects, export, write_artifact
from tests.vectors.examples import (
    PAIRS,
    VALUES,
    make_column,
    make_pair,
    make_paired,
    make_vectors,
    small_paired,
    small_vectors,
)

CLASSES = {"n_classes": 3, "classes": ["a", 2, None]}


def _store_and_open(combinations=((2, 2), (2, 3), (3, 1), (5, 3))):
    """Stores 1, 2, 3, 7 and open False, True, missing ones too; (1, False) and so on are known."""
    store, is_open = make_column("Store", VALUES["Store"]), make_column("open", VALUES["open"])
    codes = np.array(combinations, np.int32).reshape(-1, 2).T
    pair = Pair.learn("Store", "open", is_open.vocabulary.n_codes, (codes[0], codes[1]))
    n = pair.n_codes
    effects = PairEffects(
        pair, store.vocabulary, is_open.vocabulary, np.arange(n) / 4, np.linspace(0, 1, n)
    )
    return effects, [store, is_open]


# --- one pair ---------------------------------------------------------------------------


def test_a_combination_has_its_row():
    pair, _ = _store_and_open()
    assert (pair.name, pair.columns, len(pair)) == ("Store*open", ("Store", "open"), 4)
    assert list(pair) == [(1, False), (1, True), (2, None), (7, True)]
    for i, combination in enumerate(pair):
        assert combination in pair
        row = pair[combination]
        assert (row.effect, row.confidence) == (pair.effects[i], pair.confidences[i])
        assert type(row.effect) is type(row.confidence) is float
        assert row.count == 1
    assert pair[2, pd.NA].effect == pair[2, None].effect
    assert pair[1.0, True].effect == pair[1, True].effect == 0.75


@pytest.mark.parametrize("columns", PAIRS, ids="*".join)
def test_every_combination_has_its_row_whatever_the_types(columns):
    pair = make_paired().pairs["*".join(columns)]
    assert len(pair) == len(list(pair)) > 0
    for i, combination in enumerate(pair):
        assert pair[combination].effect == pair.effects[i]
        assert pair[combination].count == pair.counts[i] == 2


def test_shapes_and_types():
    pair, _ = _store_and_open()
    assert (pair.effects.shape, pair.effects.dtype) == ((4,), np.float32)
    assert (pair.confidences.shape, pair.confidences.dtype) == ((4,), np.float32)
    assert (pair.counts.tolist(), pair.counts.dtype) == ([1, 1, 1, 1], np.int64)
    effects, confidences = pair.by_code()
    assert len(effects) == len(confidences) == len(pair) + FIRST
    assert pair.classes is None


def test_effects_of_classes_have_a_column_each():
    vectors = make_paired(**CLASSES)
    pair = vectors.pairs["Store*city"]
    assert pair.classes == vectors.classes == ("a", 2, None)
    assert pair.effects.shape == (len(pair), 3)
    combination = next(iter(pair))
    np.testing.assert_array_equal(pair[combination].effect, pair.effects[0])
    assert pair.unknown.effect.shape == (3,)


def test_other_and_unknown_have_rows_of_their_own():
    pair, _ = _store_and_open()
    assert (pair.unknown.effect, pair.unknown.confidence, pair.unknown.count) == (0, 0, 0)
    assert (pair.other.effect, pair.other.confidence) == (0.25, np.float32(0.2))
    assert pair.other.count == 0


def test_unknown_combinations_name_pair_values_and_remedy():
    pair, _ = _store_and_open()
    with pytest.raises(CategoryError, match=r"pair 'Store\*open'.*\(3, True\).*\.other"):
        pair[3, True]
    with pytest.raises(CategoryError, match="column 'Store' does not know the category 55"):
        pair[55, True]
    with pytest.raises(CategoryError, match="column 'open' has no such category"):
        pair[1, b"bytes"]
    for odd in (1, "ab", (1,), (1, True, 2), None):
        with pytest.raises(CategoryError, match="is two categories, got"):
            pair[odd]
        assert odd not in pair
    for absent in ((3, True), (55, True), (1, "True"), (1, b"bytes"), (None, None)):
        assert absent not in pair


@pytest.mark.parametrize("name", ["effects", "confidences", "counts"])
def test_arrays_are_read_only(name):
    pair, _ = _store_and_open()
    for one in (pair, pickle.loads(pickle.dumps(pair))):
        with pytest.raises(ValueError, match="read-only"):
            getattr(one, name)[0] = 9
        with pytest.raises(AttributeError):
            setattr(one, name, np.zeros(4))
    with pytest.raises(ValueError, match="read-only"):
        pair.by_code()[0][0] = 9


def test_equality_sees_every_part():
    pair, (store, is_open) = _store_and_open()
    assert pair == _store_and_open()[0]
    assert pair == pickle.loads(pickle.dumps(pair))
    assert pair != _store_and_open([(2, 2), (2, 3), (3, 1), (5, 2)])[0]
    assert pair != _store_and_open([(2, 2), (2, 2), (2, 3), (3, 1), (5, 3)])[0]
    other = PairEffects(
        pair.pair, pair.first, pair.second, pair.by_code()[0] + 1, pair.by_code()[1]
    )
    assert pair != other
    assert make_pair(store, is_open) != make_pair(is_open, store)
    more = make_column("Store", [*VALUES["Store"], 1])
    assert pair != PairEffects(pair.pair, more.vocabulary, pair.second, *pair.by_code())
    assert pair != "Store*open"


def test_repr_tells_what_there_is():
    pair, _ = _store_and_open()
    assert repr(pair) == "PairEffects('Store*open': 4 combinations, effects 0.5 to 1.25)"
    assert "0 combinations, effects - to -" in repr(_store_and_open([])[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effects": np.zeros(5)}, r"`effects` of pair 'Store\*open' must have the shape \(6,\)"),
        ({"effects": np.full(6, np.nan)}, r"`effects` of pair 'Store\*open' must be finite"),
        ({"confidences": np.full(6, 1.5)}, r"of pair 'Store\*open' must lie in \[0, 1\]"),
        ({"confidences": np.zeros((6, 1))}, r"`confidences` of pair 'Store\*open'"),
        ({"classes": ["a"]}, r"`classes` of pair 'Store\*open' need effects of two dimensions"),
        ({"effects": np.zeros((6, 2)), "classes": ["a", "a"]}, "must be 2 distinct names"),
        ({"first": None}, "must be the vocabularies of 'Store', 'open', got those of 'open'"),
        ({"pair": {"second": "Store"}}, "`pair` must be of two columns, got 'Store' twice"),
        ({"pair": {"n_second": 5}}, "do not fit the categories"),
        ({"pair": {"keys": np.array([10, 11, 13, 99])}}, "do not fit the categories"),
        ({"pair": {"keys": np.array([10, 10, 13, 23])}}, "do not fit the categories"),
        ({"pair": {"keys": np.array([8, 10, 13, 23])}}, "do not fit the categories"),
        ({"pair": {"counts": np.ones(3, int)}}, "do not fit the categories"),
        ({"pair": {"counts": np.array([1, -1, 1, 1])}}, "do not fit the categories"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    pair, _ = _store_and_open()
    given = {"first": pair.first, "effects": np.zeros(6), "confidences": np.zeros(6)} | change
    given["first"] = given["first"] or pair.second
    given["pair"] = Pair(**(vars(pair.pair) | change.get("pair", {})))
    with pytest.raises(ParameterError, match=message):
        PairEffects(second=pair.second, **given)


# --- as a dataframe ---------------------------------------------------------------------


def test_to_frame_has_a_row_by_combination():
    pair, _ = _store_and_open()
    frame = pair.to_frame()
    assert list(frame.columns) == ["Store", "open", "count", "effect", "confidence"]
    assert frame["Store"].tolist() == [1, 1, 2, 7]
    assert frame["open"].tolist() == [False, True, pd.NA, True]
    assert (frame["Store"].dtype, frame["open"].dtype) == ("Int64", "boolean")
    assert frame["count"].tolist() == pair.counts.tolist()
    np.testing.assert_array_equal(frame["effect"], pair.effects)
    np.testing.assert_array_equal(frame["confidence"], pair.confidences)


@pytest.mark.parametrize("columns", PAIRS, ids="*".join)
@pytest.mark.parametrize(
    ("kind", "frame"),
    [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)],
)
def test_to_frame_of_each_kind(columns, kind, frame):
    pair = make_paired().pairs["*".join(columns)]
    made = pair.to_frame(kind)
    assert isinstance(made, frame)
    assert len(made) == len(pair)


def test_to_frame_keeps_types_and_names_classes():
    pairs = make_paired(**CLASSES).pairs
    assert pairs["price*day"].to_frame()["day"].dtype.kind == "M"
    names = ["effect_a", "effect_2", "effect_None"]
    assert list(pairs["Store*city"].to_frame()) == ["Store", "city", "count", *names, "confidence"]
    mixed = pairs["mixed*open"].to_frame("pyarrow")["mixed"]
    assert mixed.type == pa.large_string()


def test_columns_called_like_those_of_the_frame_stay_apart():
    one, other = make_column("count", [1, 2]), make_column("count_category", ["a", "b"])
    frame = make_pair(one, other).to_frame()
    names = ["count_category", "count_category_category", "count", "effect", "confidence"]
    assert list(frame) == names


# --- beside the columns -----------------------------------------------------------------


def test_pairs_by_name():
    vectors = make_paired()
    assert list(vectors.pairs) == ["*".join(columns) for columns in PAIRS]
    assert vectors.columns == make_vectors().columns
    assert "Store*city" not in vectors
    with pytest.raises(TypeError):
        vectors.pairs["x"] = vectors.pairs["Store*city"]
    assert dict(small_vectors().pairs) == {}


def test_pairs_must_fit_the_columns():
    pair, columns = _store_and_open()
    store, is_open = columns
    with pytest.raises(ParameterError, match=r"distinct names, got twice: 'Store\*open'"):
        CategoryVectors(columns, pairs=[pair, pair])
    with pytest.raises(ParameterError, match=r"of the columns, but 'Store\*open' has 'open'"):
        CategoryVectors([store], pairs=[pair])
    with pytest.raises(ParameterError, match="`pairs` must have effects for the same classes"):
        CategoryVectors(columns, pairs=[make_pair(*columns, n_classes=2)])
    for other in ([*VALUES["Store"], 8], [*VALUES["Store"], 1]):
        with pytest.raises(ParameterError, match=r"'Store\*open' has other categories"):
            CategoryVectors([make_column("Store", other), is_open], pairs=[pair])
    again = [make_column(column.name, VALUES[column.name], seed=1) for column in columns]
    assert len(CategoryVectors(again, pairs=[pair]).pairs) == 1


def test_encode_writes_no_pairs():
    frame = {"Store": [1, 7, None, 55], "city": ["Graz", "", "0", None]}
    found = small_paired().encode(frame)
    np.testing.assert_array_equal(found, small_vectors().encode(frame))
    assert len(small_paired().get_feature_names_out()) == found.shape[1]


@pytest.mark.parametrize("output", ["both", "effects", "vectors"])
@pytest.mark.parametrize("n_classes", [None, 3])
def test_features_of_pairs_follow_those_of_all_columns(rng, output, n_classes):
    vectors = make_paired(n_classes=n_classes)
    of_columns = [rng.integers(0, vectors[n].vocabulary.n_codes, 50, np.int32) for n in vectors]
    place = dict(zip(vectors, of_columns, strict=True))
    of_pairs = [p.pair.encode(*(place[n] for n in p.columns)) for p in vectors.pairs.values()]
    found = vectors.encode_codes([*of_columns, *of_pairs], 50, output=output, pairs=True)
    expected = [vectors.encode_codes(of_columns, 50, output=output)]
    for pair, codes in zip(vectors.pairs.values(), of_pairs, strict=True):
        if output != "vectors":
            effects, confidences = pair.by_code()
            expected += [effects[codes].reshape(50, -1), confidences[codes, None]]
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))
    names = vectors.get_feature_names_out(output=output, pairs=True)
    assert len(names) == found.shape[1]


def test_feature_names():
    found = small_paired().get_feature_names_out(pairs=True)
    assert found.tolist()[-3:] == ["city_02", "Store*city_effect", "Store*city_confidence"]
    assert found.dtype == object
    classes = make_paired(**CLASSES).get_feature_names_out(output="effects", pairs=True).tolist()
    names = ["effect_a", "effect_2", "effect_None", "confidence"]
    assert classes[-4:] == [f"*rare_{name}" for name in names]
    assert not any("*" in name for name in small_paired().get_feature_names_out())


def test_repr_has_one_line_for_pairs():
    assert repr(small_paired()).splitlines()[-1] == "  1 pair: Store*city (25)"
    *above, line = repr(make_paired()).splitlines()
    assert above == repr(make_vectors()).splitlines()
    assert line.startswith("  7 pairs: Store*city (")
    assert line.endswith(") and 2 more")


def test_equality_sees_pairs():
    vectors = small_paired()
    columns, (pair,) = [vectors[name] for name in vectors], vectors.pairs.values()
    assert vectors == CategoryVectors(columns, pairs=[pair])
    assert vectors != CategoryVectors(columns)
    assert vectors != CategoryVectors(columns, pairs=[make_pair(*columns, seed=9)])
    assert pickle.loads(pickle.dumps(vectors)) == vectors


# --- save and load ----------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{}, CLASSES, {"n_classes": 1}], ids=repr)
@pytest.mark.parametrize("chunk", [5, 65_536])
def test_save_and_load_bit_for_bit(tmp_path, monkeypatch, kwargs, chunk):
    monkeypatch.setattr("catvec.vectors._parquet_pairs.CHUNK", chunk)
    monkeypatch.setattr("catvec.vectors._parquet.CHUNK", chunk)
    vectors = make_paired(**kwargs)
    vectors.save(tmp_path / "a")
    loaded = CategoryVectors.load(tmp_path / "a")
    assert loaded == vectors
    assert list(loaded.pairs) == list(vectors.pairs)
    for name, one in vectors.pairs.items():
        other = loaded.pairs[name]
        assert list(map(repr, one)) == list(map(repr, other))
        assert one.pair.n_second == other.pair.n_second
        for before, after in zip(one.by_code(), other.by_code(), strict=True):
            assert before.tobytes() == after.tobytes()
            assert not after.flags.writeable
        np.testing.assert_array_equal(one.counts, other.counts)
        assert other.first is loaded[one.columns[0]].vocabulary


def test_a_pair_without_combinations_survives(tmp_path):
    pair, columns = _store_and_open([])
    vectors = CategoryVectors(columns, pairs=[pair])
    vectors.save(tmp_path / "a")
    assert CategoryVectors.load(tmp_path / "a") == vectors
    assert len(CategoryVectors.load(tmp_path / "a").pairs["Store*open"]) == 0


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        make_paired().save(tmp_path / name)
    files = [{f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("a", "b")]
    assert files[0] == files[1]


def test_the_schema_names_the_pairs(tmp_path):
    small_paired().save(tmp_path / "a")
    schema = json.loads((tmp_path / "a" / "schema.json").read_text())
    assert schema["format_version"] == 1
    (section,) = schema["pairs"]
    assert section == {
        "name": "Store*city",
        "columns": ["Store", "city"],
        "n_combinations": 25,
        "file": "pair_00.parquet",
    }
    assert Path(schema["files"]["pair_00.parquet"]["name"]).match("pair_00.*.parquet")


def test_artifacts_from_before_pairs_load(tmp_path):
    schema, files = small_vectors().to_parts()
    assert schema.pop("pairs") == []
    write_artifact(tmp_path / "a", schema, files)
    assert CategoryVectors.load(tmp_path / "a") == small_vectors()


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
    vectors = make_paired()
    vectors.save(tmp_path / "a")
    schema = json.loads((tmp_path / "a" / "schema.json").read_text())
    names = ["first", "second", "first_code", "second_code", "role", "count"]
    for section in schema["pairs"]:
        pair = vectors.pairs[section["name"]]
        frame = read(tmp_path / "a" / schema["files"][section["file"]]["name"])
        assert list(frame) == [*names, "effect", "confidence"]
        assert frame["role"].tolist() == ["unknown", "other", *["category"] * len(pair)]
        assert frame["count"].tolist() == [0, 0, *pair.counts.tolist()]
        np.testing.assert_array_equal(frame["effect"][2:], pair.effects)
        for name, codes in zip(
            ("first_code", "second_code"), pair.pair.column_codes(), strict=True
        ):
            assert frame[name].tolist() == [0, 0, *codes.tolist()]


def test_categories_are_written_as_their_columns_files_write_them(tmp_path):
    vectors = make_paired()
    vectors.save(tmp_path / "a")
    files = json.loads((tmp_path / "a" / "schema.json").read_text())["files"]
    tables = {name: pq.read_table(tmp_path / "a" / files[name]["name"]) for name in files}
    places = {name: i for i, name in enumerate(vectors)}
    for i, pair in enumerate(vectors.pairs.values()):
        of_pair = tables[f"pair_{i:02d}.parquet"]
        for side, name in zip(("first", "second"), pair.columns, strict=True):
            categories = tables[f"column_{places[name]:02d}.parquet"]["category"]
            assert of_pair[side].type == categories.type
            assert of_pair[side].to_pylist() == categories.take(of_pair[f"{side}_code"]).to_pylist()
    day = tables["pair_01.parquet"]["second"].to_pylist()
    assert datetime.datetime(2020, 1, 1) in day


def test_parquet_of_a_pair_is_its_file(tmp_path):
    vectors = small_paired()
    (file,) = export(vectors, tmp_path / "pair.parquet", "parquet", "Store*city")
    vectors.save(tmp_path / "a")
    (stored,) = (tmp_path / "a").glob("pair_00.*.parquet")
    assert file.read_bytes() == stored.read_bytes()
    for format in ("word2vec", "projector"):
        with pytest.raises(ParameterError, match=r"pair 'Store\*city' has effects only: export it"):
            export(vectors, tmp_path / "b", format, "Store*city")
    with pytest.raises(ParameterError, match=r"one of 'Store', 'city', 'Store\*city', got 'x'"):
        export(vectors, tmp_path / "b", "parquet", "x")


@pytest.mark.parametrize("format", ["parquet", "word2vec"])
def test_exports_of_all_columns_leave_pairs_out(tmp_path, format):
    for name, vectors in {"a": small_paired(), "b": small_vectors()}.items():
        export(vectors, tmp_path / name, format)
    if format == "parquet":
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    else:
        assert {f.name for f in (tmp_path / "a").iterdir()} == {"Store.txt", "city.txt"}


# --- damage -----------------------------------------------------------------------------


def _lying(tmp_path, change):
    """An artifact whose schema was changed before it was written, so that its checksum is right."""
    schema, files = make_paired().to_parts()
    change(schema)
    write_artifact(tmp_path / "a", schema, files)
    return tmp_path / "a"


LIES = {
    "rows": lambda s: s["pairs"][0].update(n_combinations=3),
    "rows as text": lambda s: s["pairs"][0].update(n_combinations="3"),
    "swapped files": lambda s: s["pairs"][0].update(file="pair_01.parquet"),
    "a column's file": lambda s: s["pairs"][0].update(file="column_00.parquet"),
    "no such file": lambda s: s["pairs"][0].update(file="pair_77.parquet"),
    "name": lambda s: s["pairs"][0].update(name="other"),
    "columns": lambda s: s["pairs"][0].update(columns=["city", "Store"], name="city*Store"),
    "absent columns": lambda s: s["pairs"][0].update(columns=["Store", "x"], name="Store*x"),
    "one column": lambda s: s["pairs"][0].update(columns=["Store"], name="Store"),
    "three columns": lambda s: s["pairs"][0].update(columns=["a", "b", "c"], name="a*b*c"),
    "columns as numbers": lambda s: s["pairs"][0].update(columns=[1, 2]),
    "section of another kind": lambda s: s["pairs"].append("Store"),
    "pair twice": lambda s: s["pairs"].append(s["pairs"][0]),
    "pairs of another kind": lambda s: s.update(pairs={}),
    "null": lambda s: s.update(pairs=None),
    "without its column": lambda s: s["columns"].pop(0),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_schema_that_lies_is_damage(tmp_path, lie):
    with pytest.raises(
        ArtifactError, match=r"the artifact '.*a' is damaged: .*; restore"
    ) as caught:
        CategoryVectors.load(_lying(tmp_path, LIES[lie]))
    assert "\n" not in str(caught.value)


def _replaced(table, name, values):
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    return table.set_column(place, field, pa.array(values, field.type))


def _changed(name, place, value):
    def change(table):
        values = table[name].to_pylist()
        values[place] = value
        return _replaced(table, name, values)

    return change


TABLES = {
    "short": lambda t: t.slice(0, 4),
    "no rows": lambda t: t.slice(0, 0),
    "no unknown row": lambda t: t.slice(1),
    "a row too many": lambda t: t.take([0, 0, *range(1, len(t))]),
    "roles": lambda t: t.take([1, 0, *range(2, len(t))]),
    "another role": _changed("role", 1, "missing"),
    "out of order": lambda t: t.take([0, 1, 3, 2, *range(4, len(t))]),
    "a combination twice": lambda t: t.take([0, 1, 2, 2, *range(4, len(t))]),
    "no codes": lambda t: t.drop_columns(["first_code"]),
    "no categories": lambda t: t.drop_columns(["second"]),
    "codes as int64": lambda t: t.set_column(2, "first_code", t["first_code"].cast("int64")),
    "an unknown code": _changed("first_code", 2, 0),
    "a code of no combination": _changed("first_code", 1, 2),
    "a code too high": _changed("first_code", -1, 6),
    "a second code too high": _changed("second_code", -1, 90),
    "a negative code": _changed("second_code", 2, -1),
    "a null code": _changed("second_code", 2, None),
    "another category": _changed("first", 3, 7),
    "a null category": _changed("first", -1, None),
    "categories of another type": lambda t: t.set_column(0, "first", t["first"].cast("string")),
    "a null effect": _changed("effect", 0, None),
    "not finite": _changed("effect", 1, float("inf")),
    "effects as float64": lambda t: t.set_column(
        t.schema.get_field_index("effect"), "effect", t["effect"].cast("double")
    ),
    "confidence above 1": _changed("confidence", 3, 1.5),
    "a negative count": _changed("count", 2, -1),
    "a null count": _changed("count", 1, None),
    "another pair": lambda t: t.replace_schema_metadata({"catvec.pair": '["city", "Store"]'}),
    "no pair's": lambda t: t.replace_schema_metadata(None),
    "metadata that are no JSON": lambda t: t.replace_schema_metadata({"catvec.pair": "Store*city"}),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_file_that_does_not_fit_its_schema_is_damage(tmp_path, table):
    schema, files = small_paired().to_parts()
    files["pair_00.parquet"](tmp_path / "raw")
    changed = TABLES[table](pq.read_table(tmp_path / "raw"))
    files["pair_00.parquet"] = lambda path: pq.write_table(changed, path)
    write_artifact(tmp_path / "a", schema, files)
    with pytest.raises(
        ArtifactError, match=r"damaged: the file of pair 'Store\*city' does not fit"
    ):
        CategoryVectors.load(tmp_path / "a")


def test_the_untouched_table_is_no_damage(tmp_path):
    schema, files = small_paired().to_parts()
    files["pair_00.parquet"](tmp_path / "raw")
    same = pq.read_table(tmp_path / "raw")
    files["pair_00.parquet"] = lambda path: pq.write_table(same, path)
    write_artifact(tmp_path / "a", schema, files)
    assert CategoryVectors.load(tmp_path / "a") == small_paired()


def test_a_file_that_is_no_parquet_is_damage(tmp_path):
    schema, files = small_paired().to_parts()
    write_artifact(tmp_path / "a", schema, {**files, "pair_00.parquet": b"PAR1 not really PAR1"})
    with pytest.raises(ArtifactError, match=r"damaged: the file of pair 'Store\*city'"):
        CategoryVectors.load(tmp_path / "a")


def test_a_missing_file_is_damage(tmp_path):
    small_paired().save(tmp_path / "a")
    next((tmp_path / "a").glob("pair_00.*")).unlink()
    with pytest.raises(ArtifactError, match=r"its file pair_00\..* is missing"):
        CategoryVectors.load(tmp_path / "a")
