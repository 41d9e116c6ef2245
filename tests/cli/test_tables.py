"""``--table`` and ``--memory-budget``: what they say, what they refuse; lists in files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec import EmbeddingRegressor
from catvec.cli._tables import read_tables
from catvec.errors import InputError
from catvec.estimators._memory import model_bytes

FIT = ("-t", "y", "--epochs", 1, "--networks", 1, "--jobs", 1)


@pytest.fixture
def games(tmp_path, rng):
    """A table of games, with lists and their weights."""
    n = 300
    tags = [[f"t{k}" for k in rng.integers(0, 9, rng.integers(0, 4))] for _ in range(n)]
    columns = {
        "home": [f"club {k}" for k in rng.integers(0, 12, n)],
        "away": [f"club {k}" for k in rng.integers(0, 12, n)],
        "tags": pa.array(tags, pa.list_(pa.string())),
        "weights": pa.array([[1.0] * len(cell) for cell in tags], pa.list_(pa.float64())),
        "y": rng.normal(size=n),
    }
    pq.write_table(pa.table(columns), tmp_path / "games.parquet")
    return pa.table(columns)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=hashed", {"kind": "hashed"}),
        ("a=hashed:64", {"kind": "hashed", "n_buckets": 64}),
        ("a=hashed:64:3", {"kind": "hashed", "n_buckets": 64, "n_hashes": 3}),
        ("a=hashed:64:3:9", {"kind": "hashed", "n_buckets": 64, "n_hashes": 3, "n_exact": 9}),
        ("a=compositional", {"kind": "compositional"}),
        ("a=compositional:product", {"kind": "compositional", "combine": "product"}),
        ("a=shared:b=c", {"share": "b=c"}),
        ("a=list", {"kind": "list"}),
        ("a=list:w", {"kind": "list", "weights": "w"}),
        ("a=full", {"kind": "full"}),
    ],
)
def test_what_a_table_is_to_be(text, expected):
    assert read_tables([text, "b b=full"]) == {"a": expected, "b b": {"kind": "full"}}
    assert read_tables(None) is None
    assert read_tables([]) is None


def test_a_name_may_hold_what_stands_between():
    assert read_tables(["day=1=hashed:16"]) == {"day=1": {"kind": "hashed", "n_buckets": 16}}


@pytest.mark.parametrize(
    "text",
    ["a", "=hashed", "a=", "a=sparse", "a=hashed:x", "a=hashed:0", "a=hashed:1:2:3:4", "a=shared",
     "a=full:3"],
)  # fmt: skip
def test_other_forms_are_refused(text):
    with pytest.raises(InputError, match="--table must be COLUMN=KIND, such as user=hashed"):
        read_tables([text])


def test_tables_reach_the_model(run, games):
    options = ("--table", "home=hashed:16", "--table", "tags=list:weights")
    done = run("fit", "games.parquet", *FIT, "--out", "m", *options)
    assert (done.code, done.err) == (0, "")
    model = EmbeddingRegressor.load("m")
    assert model.tables == {
        "home": {"kind": "hashed", "n_buckets": 16},
        "tags": {"kind": "list", "weights": "weights"},
    }
    assert list(model.vectors_) == ["home", "away", "tags"]
    assert run("predict", "games.parquet", "-m", "m", "-o", "p.parquet").code == 0
    np.testing.assert_allclose(pq.read_table("p.parquet")["prediction"], model.predict(games))


@pytest.mark.usefixtures("games")
def test_a_budget_bounds_the_model(run):
    options = ("--drop", "weights", "--memory-budget", "150kB")
    assert run("fit", "games.parquet", *FIT, "--out", "m", *options).code == 0
    assert model_bytes(EmbeddingRegressor.load("m")) <= 150_000


@pytest.mark.learns
def test_a_packed_model_stays_whole_beside_encoded_rows(run, rng, tmp_path):
    """Its networks are packed by the same coordinates as its vectors, which go with them."""
    of_user = rng.permutation(np.arange(400) % 200)
    columns = {"user": [f"user {k}" for k in of_user], "y": of_user % 7 + rng.normal(size=400)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    fit = ("fit", "t.parquet", *FIT, "--networks", 2, "--memory-budget", "50kB", "--out")
    assert run(*fit, "alone").code == 0
    assert run(*fit, "m", "--encoded-out", "e.parquet").code == 0
    model, alone = EmbeddingRegressor.load("m"), EmbeddingRegressor.load("alone")
    assert model.vectors_["user"].precision == "packed"
    np.testing.assert_array_equal(model.predict(columns), alone.predict(columns))
    assert run("encode", "t.parquet", "-m", "m", "-o", "new.parquet").code == 0
    new, crossed = pq.read_table("new.parquet"), pq.read_table("e.parquet")
    assert new.column_names == crossed.column_names
    first = "user_00"
    assert np.corrcoef(new[first], crossed[first])[0, 1] > 0.5


def test_weights_of_lists_are_used_by_encode_too(run, mistake, rng, tmp_path):
    lengths = rng.integers(1, 4, 300)
    heavy = [[10 * float(v) for v in rng.random(n)] for n in lengths]
    tags = [[f"t{k}" for k in rng.integers(0, 9, n)] for n in lengths]
    y = [sum(cell) + rng.normal() for cell in heavy]
    pq.write_table(pa.table({"tags": tags, "w": heavy, "y": y}), tmp_path / "t.parquet")
    fit = ("fit", "t.parquet", *FIT, "--table", "tags=list:w", "--encoded-out", "e.parquet")
    assert run(*fit, "--out", "m").code == 0
    assert run("encode", "t.parquet", "-m", "m", "-o", "new.parquet").code == 0
    new, crossed = pq.read_table("new.parquet"), pq.read_table("e.parquet")
    spread = [np.std([table[f"tags_0{i}"] for i in range(2)]) for table in (new, crossed)]
    assert spread[0] == pytest.approx(spread[1], rel=0.5)  # means are a tenth of it
    pq.write_table(pa.table({"tags": tags}), "bare.parquet")
    line = mistake("encode", "bare.parquet", "-m", "m", "-o", "p.parquet")
    assert "'w'" in line


def test_lists_in_files(run, games):
    """Alone, as several files, kept, encoded, and beside the model."""
    pq.write_table(games.slice(0, 200), "part-0.parquet")
    pq.write_table(games.slice(200), "part-1.parquet")
    encoded = ("--encoded-out", "e.parquet", "--keep", "tags")
    for source, out in (("games.parquet", "one"), ("part-*.parquet", "several")):
        done = run("fit", source, *FIT, "--drop", "weights", "--out", out, *encoded)
        assert (done.code, done.err) == (0, "")
        assert pq.read_table("e.parquet")["tags"].to_pylist() == games["tags"].to_pylist()
    for source, model in (("games.parquet", "several"), ("part-*.parquet", "one")):
        assert run("predict", source, "-m", model, "-o", "p.parquet", "--keep", "tags").code == 0
        expected = EmbeddingRegressor.load(model).predict(games)
        np.testing.assert_allclose(pq.read_table("p.parquet")["prediction"], expected)
    assert run("encode", "games.parquet", "-m", "one", "-o", "e.parquet").code == 0
    vectors = EmbeddingRegressor.load("one").vectors_
    written = [column.to_numpy() for column in pq.read_table("e.parquet").columns]
    expected = vectors.encode(games)
    np.testing.assert_array_equal(np.stack(written, axis=1)[:, : expected.shape[1]], expected)


def test_text_where_lists_were_is_one_line(run, mistake, games):
    assert run("fit", "games.parquet", *FIT, "--drop", "weights", "--out", "m").code == 0
    texts = pa.array([str(cell) for cell in games["tags"].to_pylist()])
    pq.write_table(games.set_column(2, "tags", texts), "texts.parquet")
    for command in ("predict", "encode"):
        line = mistake(command, "texts.parquet", "-m", "m", "-o", "p.parquet")
        assert "'tags' is one of lists, but holds other cells" in line


@pytest.mark.usefixtures("games")
def test_mistakes(mistake):
    fit = ("fit", "games.parquet", "-t", "y", "--out", "m")
    assert "--table must be COLUMN=KIND" in mistake(*fit, "--table", "home")
    assert "combines by sum, product" in mistake(*fit, "--table", "home=compositional:max")
    assert "says twice" in mistake(*fit, "--table", "home=full", "--table", "home=hashed")
    assert "'nobody'" in mistake(*fit, "--table", "nobody=hashed")
    assert "which holds lists" in mistake(*fit, "--table", "home=shared:tags")
    assert "must be bytes" in mistake(*fit, "--memory-budget", "much")
