"""Vectors in fewer bytes: stated errors hold, everything still answers, other tools read them."""

import json
import pickle

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from catvec import CategoryVectors
from catvec._packing import PackedRows, Spread
from catvec.errors import ArtifactError, ParameterError
from catvec.frames import HashedVocabulary, one_column
from catvec.vectors import ColumnVectors, export, write_artifact
from catvec.vectors._precision import compressed
from tests.vectors.examples import make_column


def vectors_of(seed=0, n=300, dim=12, scale=0.3):
    values = [f"c{i}" for i in range(n)]
    column = make_column("city", values, dim=dim)
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(column.vocabulary.n_codes, dim)).astype(np.float32) * scale
    table *= 10.0 ** rng.uniform(-4, 1, (len(table), 1)).astype(np.float32)
    _, effects, confidences = column.by_code()
    return CategoryVectors([ColumnVectors(column.vocabulary, table, effects, confidences)])


@pytest.mark.parametrize("seed", range(3))
def test_the_stated_errors_hold(seed):
    vectors = vectors_of(seed)
    exact = vectors["city"].by_code()[0].astype(np.float64)
    half = np.abs(vectors.compress("float16")["city"].by_code()[0] - exact)
    assert (half <= np.maximum(2.0**-11 * np.abs(exact), 2.0**-25) * (1 + 1e-6)).all()
    eight = np.abs(vectors.compress("int8")["city"].by_code()[0] - exact)
    largest = np.abs(exact).max(axis=1, keepdims=True)
    assert (eight <= largest / 254 * (1 + 1e-5)).all()
    assert eight.max() > 0  # it did something
    assert half.max() > 0


def test_sizes():
    vectors = vectors_of(dim=32)["city"]
    n = len(vectors) + 2
    assert vectors.stored.nbytes == n * 32 * 4
    assert vectors.compress("float16").stored.nbytes == n * 32 * 2
    assert vectors.compress("int8").stored.nbytes == n * (32 + 4)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_what_it_answers(precision):
    vectors = vectors_of()
    small = vectors.compress(precision)
    assert small["city"].precision == precision
    assert small != vectors
    assert small["city"].categories.tolist() == vectors["city"].categories.tolist()
    np.testing.assert_array_equal(small["city"].effects, vectors["city"].effects)
    frame = {"city": ["c3", "c4", None, "no such"]}
    np.testing.assert_allclose(small.encode(frame), vectors.encode(frame), atol=0.05)
    assert small.encode(frame).dtype == np.float32
    found = [name for name, _ in small["city"].most_similar("c7", topn=5)]
    exact = [name for name, _ in vectors["city"].most_similar("c7", topn=5)]
    assert len({*found} & {*exact}) >= 4
    place = small["city"].categories.tolist().index("c3")
    np.testing.assert_array_equal(small["city"]["c3"], small["city"].vectors[place])
    assert not small["city"].vectors.flags.writeable
    assert pickle.loads(pickle.dumps(small)) == small


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_saved_and_loaded(precision, tmp_path):
    vectors = vectors_of(n=4000)
    small = vectors.compress(precision)
    small.save(tmp_path / "small")
    vectors.save(tmp_path / "full")
    loaded = CategoryVectors.load(tmp_path / "small")
    assert loaded == small
    sizes = [
        sum(f.stat().st_size for f in (tmp_path / name).glob("*.parquet"))
        for name in ("small", "full")
    ]
    assert sizes[0] < 0.75 * sizes[1]
    assert small.compress("float32")["city"].precision == "float32"


def test_other_tools_read_the_files(tmp_path):
    vectors = vectors_of()
    for precision in ("float16", "int8"):
        small = vectors.compress(precision)
        small.save(tmp_path / precision)
        (file,) = (tmp_path / precision).glob("column_00.*.parquet")
        expected = small["city"].by_code()[0]
        for frame in (
            pd.read_parquet(file),
            pl.read_parquet(file).to_pandas(),
            duckdb.sql(f"SELECT * FROM '{file}'").df(),
        ):
            rows = np.stack(frame["vector"].map(lambda row: np.asarray(row, np.float32)))
            if precision == "int8":
                rows *= frame["scale"].to_numpy(np.float32)[:, None]
            np.testing.assert_array_equal(rows, expected)


def test_exports_are_in_float32(tmp_path):
    small = vectors_of().compress("int8")
    other = ColumnVectors(small["city"].vocabulary, *small["city"].by_code())
    for name, column in (("small", small["city"]), ("full", other)):
        export(CategoryVectors([column]), tmp_path / f"{name}.txt", "word2vec", "city")
    assert (tmp_path / "small.txt").read_text() == (tmp_path / "full.txt").read_text()
    assert small["city"].to_frame("pandas")["vector_00"].dtype == np.float32


def test_hashed_columns_keep_their_weights(tmp_path):
    vocabulary, _ = HashedVocabulary.learn_hashed(
        one_column("u", list("abcdef")), n_buckets=20, n_hashes=2
    )
    rng = np.random.default_rng(0)
    weights = rng.random((22, 1)).astype(np.float32)
    column = ColumnVectors(
        vocabulary,
        rng.normal(size=(22, 4)),
        np.zeros(22),
        np.zeros(22),
        importances=np.hstack([weights, 1 - weights]),
    )
    small = CategoryVectors([column]).compress("int8")
    np.testing.assert_allclose(small["u"]["a"], column["a"], atol=0.05)
    small.save(tmp_path / "v")
    assert CategoryVectors.load(tmp_path / "v") == small


def test_zero_rows_and_no_width():
    column = make_column("city", ["a", "b"], dim=3)
    empty = ColumnVectors(column.vocabulary, np.zeros((4, 0)), np.zeros(4), np.zeros(4))
    zero = ColumnVectors(column.vocabulary, np.zeros((4, 3)), np.zeros(4), np.zeros(4))
    for precision in ("float16", "int8"):
        assert empty.compress(precision).embedding_dim == 0
        np.testing.assert_array_equal(zero.compress(precision).vectors, np.zeros((2, 3)))


def test_wrong_precisions(tmp_path):
    vectors = vectors_of()
    with pytest.raises(ParameterError, match=r"`precision` must be one of 'float32', 'float16'"):
        vectors.compress("int4")
    with pytest.raises(ParameterError, match="'c' cannot be 'float16', which ends at 65504"):
        compressed("column 'c'", np.array([[7e4]], np.float32), "float16")
    vectors.compress("int8").save(tmp_path / "v")
    schema = tmp_path / "v" / "schema.json"
    schema.write_text(schema.read_text().replace('"precision": "int8"', '"precision": "int2"'))
    with pytest.raises(ArtifactError, match="is damaged"):
        CategoryVectors.load(tmp_path / "v")


# --- packed ---


def packed_vectors(seed=0, n=300, dim=12, step=0.02):
    """Packed vectors, and those they were packed from."""
    vectors = vectors_of(seed, n, dim)
    column = vectors["city"]
    table = column.by_code()[0]
    (rows,) = Spread([table], [np.eye(dim)], np.ones(len(table))).packed(step)
    return CategoryVectors([column.packed(rows)]), vectors


def test_what_packed_vectors_answer(tmp_path):
    small, vectors = packed_vectors()
    one, other = small["city"], vectors["city"]
    assert one.precision == "packed"
    assert one.embedding_dim == 12
    np.testing.assert_allclose(one.vectors, other.vectors, atol=0.05)
    for found, wanted in ((one.effects, other.effects), (one.confidences, other.confidences)):
        assert found.dtype == np.float32
        assert not found.flags.writeable
        np.testing.assert_allclose(found, wanted, atol=np.abs(wanted).max() / 254 * 1.001)
    frame = {"city": ["c3", "c4", None, "no such"]}
    np.testing.assert_allclose(small.encode(frame), vectors.encode(frame), atol=0.05)
    np.testing.assert_array_equal(one["c3"], one.vectors[one.categories.tolist().index("c3")])
    assert one.counts.tolist() == other.counts.tolist()
    assert one.effect("c3") == pytest.approx(other.effect("c3"), abs=0.05)
    assert {c for c, _ in one.most_similar("c7", 5)} & {c for c, _ in other.most_similar("c7", 5)}
    assert one.to_frame("pandas").shape == other.to_frame("pandas").shape
    export(small, tmp_path / "small.txt", "word2vec", "city")
    assert pickle.loads(pickle.dumps(small)) == small
    assert small.compress("float16")["city"].precision == "float16"


# --- edited ---


def kept_as(vectors, name="city"):
    """Vectors, effects and confidences of a column by category, and in which types they are."""
    column = vectors[name]
    parts = (column.stored, *column.stored_effects)
    types = [part.precision if hasattr(part, "precision") else "counted" for part in parts]
    arrays = [array.tolist() for array in column.by_code()]
    names = ["unknown", None, *column]
    return {key: [array[i] for array in arrays] for i, key in enumerate(names)}, types


def counted_vectors():
    """Packed vectors whose confidences follow from counts."""
    column = vectors_of()["city"]
    n = column.vocabulary.counts
    followed = ColumnVectors(column.vocabulary, *column.by_code()[:2], n / (n + 3.5))
    return CategoryVectors([followed.packed()])


SHRUNK = {
    "float16": lambda: vectors_of().compress("float16"),
    "int8": lambda: vectors_of().compress("int8"),
    "packed": lambda: packed_vectors()[0],
    "counted": counted_vectors,
}


@pytest.mark.parametrize("kind", SHRUNK)
def test_renaming_and_dropping_keep_what_is_stored(kind, tmp_path):
    small = SHRUNK[kind]()
    rows, types = kept_as(small)
    assert kept_as(small.rename({"city": "town"}), "town") == (rows, types)
    renamed = {"new" if key == "c3" else key: row for key, row in rows.items()}
    assert kept_as(small.rename(categories={"city": {"c3": "new"}})) == (renamed, types)
    cut = small.drop(categories={"city": ["c3", "c17"]})
    assert kept_as(cut) == ({k: v for k, v in rows.items() if k not in ("c3", "c17")}, types)
    cut.save(tmp_path / "v")
    assert CategoryVectors.load(tmp_path / "v") == cut


@pytest.mark.parametrize("kind", SHRUNK)
def test_appending_keeps_vectors_and_rounds_new_ones_alike(kind, tmp_path):
    small = SHRUNK[kind]()
    rows, (precision, *_) = kept_as(small)
    dim = small["city"].embedding_dim
    plain = small.append("city", ["new"])
    assert plain["city"]["new"].tolist() == small["city"].unknown.vector.tolist()
    given = np.linspace(-1, 0.3, dim, dtype=np.float32)
    longer = small.append("city", ["z", "new"], [given + 1, given])
    np.testing.assert_allclose(longer["city"]["new"], given, atol=1 / 254)
    np.testing.assert_allclose(longer["city"]["z"], given + 1, atol=1.3 / 254)
    for appended in (plain, longer):
        found, _ = kept_as(appended)
        assert {key: found[key] for key in rows} == rows
        appended.save(tmp_path / "v")
        assert CategoryVectors.load(tmp_path / "v") == appended
    assert plain["city"].precision == precision
    assert longer["city"].precision == ("float32" if precision == "packed" else precision)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_merging_keeps_other_columns_and_a_precision_that_both_have(precision):
    full = vectors_of()
    small, alone = full.compress(precision), full.rename({"city": "town"}).compress(precision)
    assert small.merge(alone)["city"] == small["city"]
    assert small.merge(alone)["town"] == alone["town"]
    assert small.merge(small)["city"].precision == precision
    np.testing.assert_allclose(small.merge(small)["city"].vectors, full["city"].vectors, atol=0.03)
    assert small.merge(full)["city"].precision == "float32"
    assert full.merge(small)["city"].precision == "float32"


def test_packed_vectors_can_be_edited():
    small, _ = packed_vectors()
    dropped = small.drop(categories={"city": ["c3"]})
    assert len(dropped["city"]) == 299
    longer = small.append("city", ["new"], np.ones((1, 12), np.float32))
    np.testing.assert_array_equal(longer["city"]["new"], np.ones(12))
    np.testing.assert_array_equal(longer["city"]["c3"], small["city"]["c3"])


def test_packed_vectors_saved_and_loaded(tmp_path):
    small, vectors = packed_vectors(n=4000, step=0.3)
    for name, some in (("small", small), ("full", vectors), ("half", vectors.compress())):
        some.save(tmp_path / name)
    loaded = CategoryVectors.load(tmp_path / "small")
    assert loaded == small
    assert loaded["city"].vocabulary.nbytes == small["city"].vocabulary.nbytes
    small_, half, full = (
        sum(f.stat().st_size for f in (tmp_path / name).iterdir())
        for name in ("small", "half", "full")
    )
    assert small_ < 0.6 * half < 0.6 * full
    versions = [json.loads((tmp_path / n / "schema.json").read_text()) for n in ("small", "half")]
    assert [v["format_version"] for v in versions] == [3, 2]
    (file,) = (tmp_path / "small").glob("column_00.*.parquet")
    assert pd.read_parquet(file)["effect"].dtype == np.float32
    loaded.save(tmp_path / "small")  # over itself
    assert CategoryVectors.load(tmp_path / "small") == small
    vectors.save(tmp_path / "small")
    assert not list((tmp_path / "small").glob("packed*"))


def test_confidences_that_follow_from_counts_are_not_kept(tmp_path):
    values = [f"c{i}" for i in range(300) for _ in range(1 + i % 30)]
    column = make_column("city", values, dim=2)
    n = column.vocabulary.counts
    table, effects, _ = column.by_code()
    follow = ColumnVectors(column.vocabulary, table, effects, n / (n + 3.5))
    free = ColumnVectors(column.vocabulary, table, effects, np.sqrt(n / (n + 3.5)))
    packed = [one.packed() for one in (follow, free)]
    assert packed[0].stored_effects[1].nbytes == 8
    assert packed[1].stored_effects[1].nbytes == 302 + 4
    for one, exact in zip(packed, (follow, free), strict=True):
        np.testing.assert_allclose(one.confidences, exact.confidences, atol=1 / 254 + 1e-6)
        assert one.confidence("c5") == pytest.approx(exact.confidence("c5"), abs=1 / 254 + 1e-6)
        vectors = CategoryVectors([one])
        vectors.save(tmp_path / "v")
        for again in (CategoryVectors.load(tmp_path / "v"), pickle.loads(pickle.dumps(vectors))):
            assert again == vectors
            kept, counts = again["city"].stored_effects[1], again["city"].vocabulary.stored_counts
            assert getattr(kept, "counts", counts) is counts
            np.testing.assert_array_equal(
                again.encode({"city": values}), vectors.encode({"city": values})
            )


def test_damaged_packed_vectors(tmp_path):
    small, _ = packed_vectors()
    rows = small["city"].stored
    wrong = PackedRows(rows.coordinates, rows.directions[:, :5], rows.center[:5])
    broken = CategoryVectors([small["city"].packed(wrong)])
    schema, files = broken.to_parts()
    schema["columns"][0]["embedding_dim"] = 12
    write_artifact(tmp_path / "v", schema, files)
    with pytest.raises(ArtifactError, match="its packed vectors are not 302 rows of 12"):
        CategoryVectors.load(tmp_path / "v")
    del files["packed.safetensors"]
    write_artifact(tmp_path / "w", schema, files)
    with pytest.raises(ArtifactError, match="does not fit its schema"):
        CategoryVectors.load(tmp_path / "w")
    schema["columns"][0]["effect_scale"] = -0.1
    write_artifact(tmp_path / "x", schema, files)
    with pytest.raises(ArtifactError, match="gives effects wrong scales"):
        CategoryVectors.load(tmp_path / "x")
