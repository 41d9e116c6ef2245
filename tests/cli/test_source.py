"""Commands on tables that are larger than memory, and on several files."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec import EmbeddingRegressor
from catvec.cli import _progress
from catvec.estimators import _encoder
from catvec.frames import _source as source_module
from catvec.frames._files import open_table
from catvec.network import _checkpoint

N_ROWS = 1500
QUICK = ["--epochs", 3, "--networks", 1, "--quiet"]


@pytest.fixture
def table(run, tmp_path, monkeypatch):
    """Several files in the current folder, taken for larger than memory."""
    assert run
    monkeypatch.setattr(source_module, "SMALL", 0)
    monkeypatch.setattr(source_module, "CHUNK_ROWS", 400)
    rng = np.random.default_rng(0)
    shop = rng.integers(0, 30, N_ROWS)
    y = shop % 7 + rng.normal(0, 0.3, N_ROWS)
    rows = pa.table(
        {
            "shop": [f"shop {s}" for s in shop],
            "city": shop // 3,
            "size": rng.normal(0, 1, N_ROWS),
            "note": ["x"] * N_ROWS,
            "sales": [None if i % 50 == 7 else v for i, v in enumerate(y.tolist())],
            "kind": np.where(y > 3, "much", "little"),
        }
    )
    (tmp_path / "sales").mkdir()
    for i in range(3):
        pq.write_table(rows.slice(i * 500, 500), tmp_path / "sales" / f"{i}.parquet")
    return rows


FIT = ["fit", "sales", "--target", "sales", "--categorical", "city", "--drop", "note"]
FIT += ["--drop", "kind", "--skip-gaps", "--out", "sales.catvec"]


def test_a_mistake_leaves_no_cache(run, table, tmp_path):
    assert table
    done = run(*FIT, *QUICK, "--memory-budget", "64MB")
    assert done.code == 2
    assert "memory" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["sales"]


def test_fit_predict_and_encode_a_folder(run, table, tmp_path):
    done = run(*FIT, *QUICK[:4], "--json", "--encoded-out", "rows.parquet", "--keep", "sales")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    n_known = N_ROWS - table["sales"].null_count
    assert (told["rows"], told["target"]["task"]) == (n_known, "regression")
    assert [column["name"] for column in told["columns"]] == ["shop", "city"]
    assert told["left_out"] == ["note", "kind"]
    assert told["scores"]["R2"]["model"] > 0.5
    encoded = pq.read_table(tmp_path / "rows.parquet")
    assert len(encoded) == n_known
    np.testing.assert_array_equal(
        encoded["sales"].to_numpy(), table["sales"].drop_null().to_numpy()
    )

    for out in ("new.parquet", "new.csv", "new.arrow"):
        done = run("predict", "sales/*.parquet", "-m", "sales.catvec", "-o", out, "--keep", "note")
        assert done.code == 0, done.err
        assert done.out == f"wrote 1,500 rows to {out}\n"
    predicted = pq.read_table(tmp_path / "new.parquet")
    assert predicted.column_names == ["note", "prediction"]
    model = EmbeddingRegressor.load(tmp_path / "sales.catvec")
    wanted = model.predict(table.select(["shop", "city", "size"]))
    np.testing.assert_allclose(predicted["prediction"].to_numpy(), wanted, rtol=1e-9)
    assert (tmp_path / "new.csv").read_text().splitlines()[0] == '"note","prediction"'
    assert len((tmp_path / "new.csv").read_text().splitlines()) == N_ROWS + 1

    done = run("encode", "sales", "-m", "sales.catvec", "-o", "all.parquet")
    assert done.code == 0
    assert len(pq.read_table(tmp_path / "all.parquet")) == N_ROWS
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".", "sales"))) == [
        "sales",
        "sales.catvec",
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
def test_kept_columns_may_differ_between_files(run, table, tmp_path, ending):
    assert run(*FIT, *QUICK).code == 0
    for i, note in enumerate((pa.nulls(500), pa.array([1] * 500), pa.array([2.5] * 500))):
        rows = table.slice(i * 500, 500).append_column("mark", note)
        pq.write_table(rows, tmp_path / "sales" / f"{i}.parquet")
    done = run("predict", "sales", "-m", "sales.catvec", "-o", f"p.{ending}", "--keep", "mark")
    assert done.code == 0, done.err
    found = open_table(tmp_path / f"p.{ending}").read()["mark"].to_pylist()
    assert found == [None] * 500 + [1] * 500 + [2.5] * 500


def test_classes_of_a_large_table(run, table):
    assert table
    command = ["fit", "sales", "--target", "kind", "--drop", "note", "--drop", "sales"]
    done = run(*command, *QUICK, "--out", "kind.catvec")
    assert done.code == 0, done.err
    done = run("predict", "sales/0.parquet", "-m", "kind.catvec", "-o", "-", "--quiet")
    assert done.out.splitlines()[0] == '"prediction","probability_little","probability_much"'
    assert len(done.out.splitlines()) == 501


def test_a_command_that_broke_off_before_a_checkpoint_leaves_nothing(
    run, table, tmp_path, monkeypatch
):
    assert table
    (tmp_path / "sales.catvec.cache").mkdir()
    (tmp_path / "sales.catvec.cache" / "catvec-cache.json").write_text("{}")
    assert run(*FIT, *QUICK).code == 0
    assert not (tmp_path / "sales.catvec.cache").exists()
    monkeypatch.setattr(np, "fromfile", _full)
    done = run(*FIT, *QUICK)
    assert done.code == 2
    assert "could not read" in done.err
    assert len(done.err.strip().splitlines()) <= 3
    assert "Traceback" not in done.err
    assert not (tmp_path / "sales.catvec.cache").exists()


def test_what_broke_off_while_rows_were_encoded_trains_nothing_again(run, table, monkeypatch):
    assert table
    command = [*FIT, *QUICK[:4], "--quiet", "--encoded-out"]
    assert run(*command, "undisturbed.parquet").code == 0
    monkeypatch.setattr(_checkpoint, "CHECKPOINT_ROWS", 300)
    epochs = []
    monkeypatch.setattr(
        _progress.EpochProgress, "epoch", lambda _, epoch, *of: epochs.append((epoch.stage, *of))
    )
    with monkeypatch.context() as broken:
        broken.setattr(_encoder, "write_tables", _interrupted)
        assert run(*command, "rows.parquet").code == 130
    trained = sum(stage[0] == "training" for stage in epochs)
    assert trained == 3 * (1 + 6)
    epochs.clear()
    assert run(*command, "rows.parquet").code == 0
    assert sum(stage[0] == "training" for stage in epochs) <= trained / 3
    assert pq.read_table("rows.parquet").equals(pq.read_table("undisturbed.parquet"))
    assert not os.path.exists("sales.catvec.cache")


def _interrupted(tables, *_):
    next(tables)
    raise KeyboardInterrupt


def _full(*_):
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--validation", "kind"], "must be a share"),
        (["--encoded-out", "rows.csv"], "read part by part: --encoded-out must be a .parquet"),
        (["--encoded-out", "-"], "read part by part: --encoded-out must be a .parquet"),
        (["--out", "sales/m.catvec"], "'sales/m.catvec/column_00.parquet' would be one of the"),
        (["--target", "nothing"], "no column 'nothing'"),
    ],
)
def test_mistakes_with_large_tables_are_one_line(mistake, table, more, message):
    assert table
    assert message in mistake(*FIT, *QUICK, *more)


def test_a_large_table_of_three_labels_is_not_binary(mistake, table):
    assert table
    command = ["fit", "sales", "--target", "city", "--task", "binary", "--drop", "sales"]
    assert "a binary target has two labels, got 0, 1, 2, 3" in mistake(*command, *QUICK)


def test_gaps_of_the_target_are_told(mistake, table):
    assert table
    command = [word for word in FIT if word != "--skip-gaps"]
    assert "the target 'sales' is missing in" in mistake(*command, *QUICK)


def test_files_that_differ_are_told(mistake, table, tmp_path):
    pq.write_table(table.drop_columns(["city"]), tmp_path / "sales" / "9.parquet")
    assert "9.parquet' has no column 'city'" in mistake(*FIT, *QUICK)
