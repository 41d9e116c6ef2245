"""``catvec dims``: the page, the facts, and mistakes."""

import json

import pytest

RULES = """\
# rows, # categorical columns
What the rules say dimensions, and below them how many numbers to learn
column
categories quartic
× rows compact half root cross fastai realmlp tutorial
---
city # # # # # # #
# × # # # # # # # #
shop # # # # # # #
# × # # # # # # # #
Below ten categories one-hot works too: city.
"""


OPTIONS = ["--categorical", "shop", "--drop", "part", "--drop", "busy", "--jobs", "1"]


@pytest.fixture
def sales(folder):
    return folder / "sales.parquet"


def test_the_rules_alone(run, sales):
    done = run("dims", sales, *OPTIONS, "--drop", "sales")
    assert (done.code, done.err) == (0, "")
    assert done.words.endswith(RULES)


def test_rules_as_json(run, sales):
    told = json.loads(run("dims", sales, *OPTIONS, "--json").out)
    assert (told["rows"], told["target"], told["loss"], told["rows_sampled"]) == (
        500,
        None,
        None,
        0,
    )
    city, shop = told["columns"]
    assert (shop["name"], shop["categories"], shop["one_hot_works"]) == ("shop", 12, False)
    assert shop["rules"]["half"] == {"dim": 6, "parameters": 84}
    assert city["one_hot_works"]
    assert (city["dim"], city["held_out_losses"]) == (None, {})


def test_what_the_data_say(run, sales):
    arguments = ("dims", sales, "--target", "sales", *OPTIONS, "--budget", "1000")
    done = run(*arguments)
    assert (done.code, done.err) == (0, "")
    head, _, page = done.words.partition("What the data say")
    assert head.endswith(RULES)
    assert page.startswith(" all # rows, ")
    assert "city # # " in page
    assert "The squared loss on held-out rows" in page
    assert "EmbeddingEncoder(embedding_dim={'city': " in done.out
    told = json.loads(run(*arguments, "--json").out)
    assert told["rows_sampled"] == told["rows"] == 500
    for column in told["columns"]:
        assert str(column["dim"]) in column["held_out_losses"]
        assert f"'{column['name']}': {column['dim']}" in done.out
    assert run(*arguments, "--quiet").out == ""


def test_marks_are_no_features(run, sales):
    options = [*OPTIONS, "--drop", "size", "--groups", "city", "--json"]
    for target in ([], ["--target", "sales", "--budget", "1000"]):
        told = json.loads(run("dims", sales, *options, *target).out)
        assert [column["name"] for column in told["columns"]] == ["shop"]


def test_mistakes_are_one_line(mistake, sales, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "head.csv").write_text("a,b\n")
    for arguments, message in [
        (("absent.csv",), "no such file: 'absent.csv'"),
        ((sales, "--target", "sale"), "no column 'sale'"),
        ((sales, "--categorical", "shp"), "no column 'shp'"),
        ((sales, "--task", "binary"), "give --target, too"),
        ((sales, "--skip-gaps"), "give --target, too"),
        ((sales, "--target", "sales", "--drop", "sales"), "named by --target and another option"),
        ((sales, "--categorical", "shop", "--drop", "shop"), "named by --drop and"),
        ((sales, "--time-column", "shop", "--drop", "shop"), "named by --drop and"),
        (
            (sales, "--drop", "city", "--drop", "part", "--drop", "busy"),
            "has no categorical column",
        ),
        ((sales, "--target", "city", "--task", "regression"), "missing in 25 rows"),
        ((sales, "--target", "sales", "--task", "sorting"), "--task must be"),
        ((sales, "--budget", "0"), "invalid value for '--budget'"),
        ((sales, "--budget", "many"), "invalid value for '--budget'"),
        ((), "missing argument 'TABLE'"),
        (("head.csv",), "the table has no rows"),
        (("head.csv", "--target", "b"), "the table has no rows"),
    ]:
        assert message in mistake("dims", *arguments)
