"""``catvec pretrain``, and what the other commands make of its vectors."""

import json

import numpy as np
import pyarrow as pa
import pytest

from catvec import CategoryVectors, EmbeddingPretrainer
from catvec.frames._files import write_table


@pytest.fixture
def baskets(tmp_path):
    """120 baskets of items from one of three groups."""
    rng = np.random.default_rng(0)
    group = np.repeat(rng.integers(0, 3, 120), 5)
    table = pa.table(
        {
            "basket": np.repeat(np.arange(120), 5),
            "item": 10 * group + rng.integers(0, 6, 600),
            "shelf": [f"shelf {g}" for g in group],
            "step": np.tile(np.arange(5), 120),
        }
    )
    write_table(table, tmp_path / "baskets.parquet")
    write_table(table, tmp_path / "baskets.csv")
    return table


PAGE = """\
baskets.parquet # events in # sequences
What was learned # pairs of items that meet, # s
column items width rows
---
item # # #
"""


def test_the_page_and_the_artifact(run, baskets):
    done = run("pretrain", "baskets.parquet", "--sequence", "basket", "--item", "item",
               "-o", "items.catvec")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.words.startswith(PAGE)
    assert "structure found" in done.out
    assert "catvec neighbors items.catvec item " in done.out
    vectors = CategoryVectors.load("items.catvec")
    expected = EmbeddingPretrainer(sequence="basket", item="item", random_state=0).fit(baskets)
    assert vectors == expected.vectors_


def test_the_result_as_json(run, baskets):
    done = run("pretrain", "baskets.csv", "--sequence", "basket", "--item", "item", "--item",
               "shelf", "--order", "step", "-o", "items.catvec", "--embedding-dim", 5,
               "--json")  # fmt: skip
    told = json.loads(done.out)
    assert (told["sequences"], told["events"]) == (120, 600)
    assert told["columns"] == [
        {"column": "item", "categories": 18, "embedding_dim": 5},
        {"column": "shelf", "categories": 3, "embedding_dim": 5},
    ]
    assert told["benefit"]["found"]
    assert told["history"][0]["events"] == 600
    assert len(baskets) == 600


def test_skipgram_and_tables(run, baskets):
    done = run("pretrain", "baskets.csv", "--sequence", "basket", "--item", "item",
               "-o", "s.catvec", "--method", "skipgram", "--epochs", 2,
               "--no-benefit", "--json")  # fmt: skip
    told = json.loads(done.out)
    assert (len(told["history"]), told["benefit"]) == (2, None)
    done = run("pretrain", "baskets.csv", "--method", "table", "--item", "item", "--item", "shelf",
               "-o", "t.catvec")  # fmt: skip
    assert done.code == 0, done.err
    assert "600 rows" in done.out
    assert (
        CategoryVectors.load("t.catvec")["shelf"].most_similar(
            CategoryVectors.load("t.catvec")["item"][3], topn=1
        )[0][0]
        == "shelf 0"
    )
    assert len(baskets) == 600


def test_lists_are_in_their_order_where_a_window_is_given(run):
    rng = np.random.default_rng(0)
    walks = [[f"i{(i + j) % 12}" for j in range(8)] for i in rng.integers(12, size=200)]
    write_table(pa.table({"walk": walks}), "walks.parquet")
    for out, options in (("bag", ()), ("near", ("--window", 1))):
        done = run("pretrain", "walks.parquet", "--item", "walk", "-o", out, *options)
        assert done.code == 0, done.err
    found = EmbeddingPretrainer(item="walk", order=True, window=1, random_state=0)
    found.fit(pa.table({"walk": walks}))
    assert CategoryVectors.load("near") == found.vectors_
    assert CategoryVectors.load("bag") != found.vectors_


def test_a_folder_is_read_from_disk(run, baskets, tmp_path):
    (tmp_path / "parts").mkdir()
    write_table(baskets.slice(0, 250), tmp_path / "parts" / "a.parquet")
    write_table(baskets.slice(250), tmp_path / "parts" / "b.parquet")
    for table, out in (("parts", "a.catvec"), ("parts/*.parquet", "b.catvec")):
        done = run("pretrain", table, "--sequence", "basket", "--item", "item", "-o", out)
        assert done.code == 0, done.err
        assert "events in 120 sequences" in done.out
        assert "structure found" in done.out
    assert CategoryVectors.load("a.catvec") == CategoryVectors.load("b.catvec")


@pytest.mark.usefixtures("baskets")
def test_other_commands_take_the_artifact(run, mistake):
    run("pretrain", "baskets.csv", "--sequence", "basket", "--item", "item", "-o", "i.catvec", "-q")
    done = run("neighbors", "i.catvec", "item", "13")
    assert done.code == 0, done.err
    assert "effect" not in done.out  # there was no target
    assert run("export", "i.catvec", "--format", "word2vec", "--out", "i.txt").code == 0
    again = CategoryVectors.from_word2vec("i.txt", column="item", family="number")
    np.testing.assert_array_equal(
        again["item"].vectors, CategoryVectors.load("i.catvec")["item"].vectors
    )
    done = run("encode", "baskets.csv", "--model", "i.catvec", "--out", "rows.parquet", "--json")
    assert (done.code, "warning" in done.err) == (0, False)
    assert json.loads(done.out)["columns"][0] == "item_00"
    message = mistake("predict", "baskets.csv", "--model", "i.catvec", "--out", "p.csv")
    assert "holds an EmbeddingPretrainer, not an" in message


@pytest.mark.usefixtures("baskets")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--item", "itm", "--sequence", "basket"],
            "no column 'itm' in 'baskets.csv'; did you mean",
        ),
        (["--sequence", "basket"], "name the column of the items by --item"),
        (["--sequence", "basket", "--item", "item", "--out", "-"], "--out - is for rows"),
        (["--item", "item"], "which rows belong together by --sequence"),
        (["--item", "item", "--order", "step"], "--order is about rows of a sequence"),
        (["--item", "item", "--sequence", "basket", "--window", 3], "of the order by --order"),
        (["--item", "item", "--method", "table", "--window", 3], "leave --window out"),
        (
            ["--item", "item", "--sequence", "basket", "--method", "glove"],
            "--method must be one of",
        ),
        (
            ["--item", "item", "--sequence", "basket", "--embedding-dim", "compact"],
            """--embedding-dim must be "auto" or an int >= 1, got 'compact'""",
        ),
        (
            ["--item", "item", "--sequence", "basket", "--epochs", 3],
            "--epochs is about passes of --method skipgram, and cooccurrence counts",
        ),
        (["--item", "step", "--sequence", "item", "--order", "shelf"], "'shelf' holds text"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(mistake, tmp_path, arguments, message):
    assert message in mistake("pretrain", "baskets.csv", "-o", "items.catvec", *arguments)
    assert not (tmp_path / "items.catvec").exists()
