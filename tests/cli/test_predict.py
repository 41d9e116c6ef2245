"""``catvec predict`` and ``catvec encode``: rows in, rows out, in every format."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.cli import _predict
from catvec.frames._files import open_table, write_table


@pytest.fixture
def model(folder):
    return folder / "sales.catvec"


@pytest.mark.parametrize("source", ["csv", "parquet", "feather"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "arrow", "feather"])
def test_predictions_come_beside_kept_columns(run, folder, model, table, source, ending):
    done = run("predict", folder / f"sales.{source}", "-m", model, "-o", f"p.{ending}",
               "--keep", "part", "--keep", "city")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out == f"wrote 500 rows to p.{ending}\n"
    rows = open_table(f"p.{ending}").read()
    assert rows.column_names == ["part", "city", "prediction"]
    assert rows["city"].to_pylist() == table["city"].to_pylist()
    expected = EmbeddingRegressor.load(model).predict(table)
    np.testing.assert_allclose(rows["prediction"].to_pylist(), expected, rtol=1e-12)


def test_classes_come_with_their_probabilities(run, folder, table):
    model = folder / "busy.catvec"
    assert run("predict", folder / "sales.csv", "-m", model, "-o", "p.parquet").code == 0
    rows = open_table("p.parquet").read()
    assert rows.column_names == ["prediction", "probability_False", "probability_True"]
    expected = EmbeddingClassifier.load(model).predict_proba(table)
    np.testing.assert_allclose(rows["probability_True"].to_pylist(), expected[:, 1], rtol=1e-12)
    assert rows["prediction"].to_pylist() == (expected[:, 1] > 0.5).tolist()


def test_rows_pass_through_pipes(run, folder, model, feed):
    feed(folder / "sales.csv")
    done = run("predict", "-", "-m", model, "-o", "-", "--keep", "shop")
    assert done.code == 0, done.err
    rows = pacsv.read_csv(pa.BufferReader(done.out.encode()))
    assert rows.column_names == ["shop", "prediction"]
    assert len(rows) == 500
    assert os.listdir() == []


def test_csv_is_read_by_the_types_of_the_training(run, model, tmp_path):
    """007 is a city, integers with gaps are shops, and a column of gaps is a size."""
    (tmp_path / "new.csv").write_text("shop,size,city\n101,,007\n,,7\n103,,Bern\n")
    assert run("encode", "new.csv", "-m", model, "-o", "z.parquet").code == 0
    rows = open_table("z.parquet").read()
    vectors = CategoryVectors.load(model)
    np.testing.assert_allclose(
        rows["city_effect"].to_pylist(),
        [vectors["city"].effect("007"), 0.0, vectors["city"].effect("Bern")],
    )
    np.testing.assert_allclose(
        rows["shop_effect"].to_pylist(),
        [vectors["shop"].effect(101), vectors["shop"].missing.effect, vectors["shop"].effect(103)],
    )
    assert rows["size"].to_pylist() == [None] * 3


def test_encoded_rows_are_those_of_the_vectors(run, model, table):
    write_table(table.slice(0, 40), "new.parquet")
    done = run("encode", "new.parquet", "-m", model, "-o", "z.feather", "--keep", "part")
    assert (done.code, done.err) == (0, "")
    rows = open_table("z.feather").read()
    vectors = CategoryVectors.load(model)
    names = vectors.get_feature_names_out().tolist()
    of_pairs = vectors.get_feature_names_out(pairs=True).tolist()[len(names) :]
    assert rows.column_names == ["part", *names, *of_pairs, "size"]
    matrix = np.column_stack([rows[name].to_numpy() for name in names])
    assert np.array_equal(matrix, vectors.encode(table.slice(0, 40)))


def test_encoding_the_training_table_warns(run, folder, model):
    done = run("encode", folder / "sales.csv", "-m", model, "-o", "z.parquet")
    assert done.code == 0
    assert done.err.startswith("catvec: warning: ")
    assert "looks like the training table" in done.err
    assert "--encoded-out" in done.err
    assert done.err.count("\n") == 1


def test_encode_needs_no_training_code(run, folder, model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "catvec.estimators", None)
    assert run("encode", folder / "sales.csv", "-m", model, "-o", "z.csv").code == 0


def test_vectors_alone_encode(run, folder, model, tmp_path):
    CategoryVectors.load(model).save(tmp_path / "v.catvec")
    assert run("encode", folder / "sales.csv", "-m", "v.catvec", "-o", "z.csv").code == 0
    assert open_table("z.csv").names[0] == "city_effect"


def test_a_saved_encoder_encodes_as_it_was_told_to(run, folder, table):
    for output, passthrough in [("effects", True), ("vectors", False)]:
        encoder = EmbeddingEncoder(
            columns=["city"], output=output, passthrough=passthrough, n_epochs=1, random_state=0
        )
        X = table.select(["city", "size"])
        encoder.fit(X, table["sales"].to_numpy()).save("e.catvec")
        assert run("encode", folder / "sales.csv", "-m", "e.catvec", "-o", "z.parquet").code == 0
        rows = open_table("z.parquet").read()
        assert rows.column_names == encoder.get_feature_names_out().tolist()
        expected = encoder.transform(X)
        np.testing.assert_array_equal(rows.to_pandas().to_numpy(float), expected)


def test_json_tells_what_was_written(run, folder, model):
    done = run("predict", folder / "sales.csv", "-m", model, "-o", "p.csv", "--json")
    assert json.loads(done.out) == {"rows": 500, "out": "p.csv", "columns": ["prediction"]}
    done = run("encode", folder / "sales.csv", "-m", model, "-o", "z.csv", "--json", "-q")
    assert json.loads(done.out)["rows"] == 500


# --- mistakes -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["predict", "encode"])
def test_mistakes_are_one_line(mistake, folder, model, tmp_path, command):
    table = folder / "sales.csv"
    (tmp_path / "few.csv").write_text("city,size\nBern,1\n")
    (tmp_path / "text.csv").write_text("city,shop,size\nBern,one,1\n")
    (tmp_path / "size.csv").write_text("city,shop,size\nBern,101,big\n")
    for arguments, message in [
        ((table, "-m", "absent", "-o", "p.csv"), "no artifact at 'absent'"),
        ((table, "-m", table, "-o", "p.csv"), "is a file; an artifact of catvec is a folder"),
        (("absent.csv", "-m", model, "-o", "p.csv"), "no such file: 'absent.csv'"),
        ((table, "-m", model), "missing option '--out'"),
        ((table, "-m", model, "-o", "p"), "must end in .csv"),
        ((table, "-m", model, "-o", "no/p.csv"), "could not write 'no/p.csv'"),
        ((table, "-m", model, "-o", table), "is the table that is read"),
        ((table, "-m", model, "-o", model / "p.csv"), "or lies in it; write to another place"),
        ((table, "-m", model, "-o", "p.csv", "--keep", "x"), "no column 'x' in"),
        ((table, "-m", model, "-o", "-", "--json"), "choose one"),
        (("few.csv", "-m", model, "-o", "p.csv"), "no column 'shop' in 'few.csv'"),
        (("text.csv", "-m", model, "-o", "p.csv"), "now holds text values ('one')"),
        (("size.csv", "-m", model, "-o", "p.csv"), "column 'size' holds text in 1 row ('big')"),
    ]:
        assert message in mistake(command, *arguments)
    assert sorted(os.listdir()) == ["few.csv", "size.csv", "text.csv"]


@pytest.mark.parametrize("command", ["predict", "encode"])
def test_a_table_without_rows(mistake, model, tmp_path, command):
    (tmp_path / "new.csv").write_text("city,shop,size\n")
    assert "has no rows" in mistake(command, "new.csv", "-m", model, "-o", "rows.csv")
    assert not (tmp_path / "rows.csv").exists()


def test_a_kept_column_that_collides(mistake, model, tmp_path):
    (tmp_path / "new.csv").write_text("city,shop,size,prediction\nBern,101,1,2\n")
    line = mistake("predict", "new.csv", "-m", model, "-o", "p.csv", "--keep", "prediction")
    assert "the column 'prediction' of 'new.csv' cannot be kept" in line


def test_a_number_called_like_an_encoded_column(run, mistake, tmp_path):
    (tmp_path / "t.csv").write_text("a,a_effect,y\n" + "x,1.5,2.5\nz,2.5,3.5\n" * 20)
    assert run("fit", "t.csv", "-t", "y", "--epochs", 1, "--networks", 1).code == 0
    line = mistake("encode", "t.csv", "-m", "t.catvec", "-o", "z.csv")
    assert "an encoded column would be called 'a_effect'" in line


def test_a_damaged_model_is_one_line(mistake, folder, model, tmp_path):
    shutil.copytree(model, tmp_path / "m")
    (network,) = (tmp_path / "m").glob("network.*")
    network.write_bytes(network.read_bytes()[:-10])
    line = mistake("predict", folder / "sales.csv", "-m", "m", "-o", "p.csv")
    assert "the artifact 'm' is damaged" in line


@pytest.mark.parametrize("command", ["predict", "encode"])
def test_a_newer_model_is_one_line(mistake, folder, model, tmp_path, command):
    shutil.copytree(model, tmp_path / "m")
    schema = json.loads((tmp_path / "m" / "schema.json").read_text())
    (tmp_path / "m" / "schema.json").write_text(json.dumps(schema | {"format_version": 99}))
    line = mistake(command, folder / "sales.csv", "-m", "m", "-o", "p.csv")
    assert "upgrade catvec" in line


def test_vectors_alone_do_not_predict(mistake, folder, model, tmp_path):
    CategoryVectors.load(model).save(tmp_path / "v.catvec")
    line = mistake("predict", folder / "sales.csv", "-m", "v.catvec", "-o", "p.csv")
    assert "holds vectors only" in line


@pytest.mark.parametrize("command", ["predict", "encode"])
def test_what_is_interrupted_leaves_what_was_there(run, folder, model, monkeypatch, command):
    assert run(command, folder / "sales.parquet", "-m", model, "-o", "p.csv", "-q").code == 0
    before = Path("p.csv").read_text()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    done = run(command, folder / "sales.csv", "-m", model, "-o", "p.csv", "--keep", "part")
    assert done.code == 130
    assert os.listdir() == ["p.csv"]
    assert Path("p.csv").read_text() == before


def test_the_streams_are_named_in_messages(mistake, model, feed, tmp_path):
    (tmp_path / "new.csv").write_text("city,size\nBern,1\n")
    feed(tmp_path / "new.csv")
    line = mistake("predict", "-", "-m", model, "-o", "p.csv")
    assert "no column 'shop' in standard input" in line
    assert _predict.STREAM == "-"
