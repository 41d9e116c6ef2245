"""``catvec neighbors`` and ``catvec export``."""

import json
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from catvec import CategoryVectors
from catvec.cli._look import known_key
from catvec.frames import Vocabulary, open_frame
from catvec.vectors import ColumnVectors

NEIGHBORS = """\
[red]Oslo[/red] in city # rows, effect # confidence #
most similar cosine rows effect confidence
---
{}
"""


@pytest.fixture
def model(folder):
    return folder / "sales.catvec"


def column(values: list) -> ColumnVectors:
    vocabulary, _ = Vocabulary.learn(open_frame({"x": values}).column("x"))
    n = vocabulary.n_codes
    return ColumnVectors(vocabulary, np.eye(n, 3), np.zeros(n), np.zeros(n))


def test_the_table_of_neighbors(run, model):
    done = run("neighbors", model, "city", "[red]Oslo[/red]")
    assert (done.code, done.err) == (0, "")
    found = CategoryVectors.load(model)["city"].most_similar("[red]Oslo[/red]")
    lines = [f"{'#' if name == '007' else name} # # # #" for name, _ in found]
    assert done.words == NEIGHBORS.format("\n".join(lines))


def test_neighbors_as_json(run, model):
    told = json.loads(run("neighbors", model, "shop", "103", "-n", 2, "--json").out)
    shops = CategoryVectors.load(model)["shop"]
    assert told["category"] == 103
    assert [(n["category"], n["cosine"]) for n in told["neighbors"]] == shops.most_similar(103, 2)
    assert told["effect"] == shops.effect(103)


def test_neighbors_of_classes(run, sales_model_of_classes):
    done = run("neighbors", sales_model_of_classes, "city", "Bern")
    assert done.code == 0, done.err
    told = json.loads(run("neighbors", sales_model_of_classes, "city", "Bern", "--json").out)
    assert len(told["effect"]) == 3


@pytest.fixture
def sales_model_of_classes(tmp_path):
    vocabulary, _ = Vocabulary.learn(open_frame({"city": ["Bern", "Rome"]}).column("city"))
    effects = np.array([[0, 0, 0], [0, 0, 0], [1, -2, 1], [-1, 2, -1]], np.float32)
    vectors = ColumnVectors(vocabulary, np.eye(4, 2), effects, np.full(4, 0.5), classes="abc")
    CategoryVectors([vectors]).save(tmp_path / "v.catvec")
    return tmp_path / "v.catvec"


@pytest.mark.parametrize(
    ("values", "text", "key"),
    [
        (["a", "1"], "1", "1"),
        ([1, 2], "2", 2),
        ([1, 2], "2.0", 2),
        ([0.5, 2.0], "0.5", 0.5),
        ([True, False], "TRUE", True),
        ([datetime(2013, 1, 31)], "2013-01-31", datetime(2013, 1, 31)),
    ],
)
def test_a_category_is_read_as_its_column_has_it(values, text, key):
    assert known_key(column(values), text) == key


def test_a_category_may_look_like_an_option(run, tmp_path):
    CategoryVectors([column([-5, 2])]).save(tmp_path / "v.catvec")
    done = run("neighbors", "v.catvec", "x", -5, "-n", 1)
    assert done.code == 0, done.err
    assert done.words.startswith("# in x # row\n")


def test_mistakes_are_one_line(mistake, model):
    for arguments, message in [
        (("absent", "city", "Bern"), "no artifact at 'absent'"),
        ((model, "cty", "Bern"), "no categorical column 'cty' in the model; did you mean 'city'?"),
        ((model, "x", "Bern"), "it has 'city', 'shop'"),
        ((model, "city", "bern"), "has no category bern; did you mean Bern?"),
        ((model, "city", "Oslo"), "did you mean [red]Oslo[/red]?"),
        ((model, "city", "7"), "has no category 7; did you mean 007?"),
        ((model, "shop", "113"), "did you mean 109 or 110 or 111?"),
        ((model, "shop", "x"), "has no category x"),
        ((model, "shop", 10**30), "did you mean 100 or 101 or 102?"),
        ((model, "shop", 10**400), "has no category 1000"),
        ((model, "city", "Bern", "-n", "0"), "invalid value for '--topn'"),
        ((model, "city"), "missing argument 'CATEGORY'"),
    ]:
        assert message in mistake("neighbors", *arguments)


def test_export(run, model):
    done = run("export", model, "--format", "word2vec", "--column", "city", "-o", "city.txt")
    assert (done.code, done.out) == (0, "wrote city.txt\n")
    assert Path("city.txt").read_text().startswith("6 ")
    done = run("export", model, "--format", "projector", "-o", "here", "--json")
    told = json.loads(done.out)
    assert told["format"] == "projector"
    assert sorted(os.path.basename(f) for f in told["files"]) == sorted(os.listdir("here"))
    assert run("export", model, "--format", "parquet", "-o", "all.parquet", "-q").out == ""
    assert os.path.exists("all.parquet")


def test_export_of_many_files_is_told_in_one_line(run, model):
    done = run("export", model, "--format", "projector", "-o", "here")
    assert done.out == "wrote 4 files to here\n"


def test_mistakes_of_export_are_one_line(mistake, model, tmp_path):
    (tmp_path / "taken").write_text("x")
    for arguments, message in [
        ((model, "--format", "word", "-o", "x"), "--format must be one of 'parquet', 'word2vec'"),
        ((model, "--format", "word2vec", "--column", "x", "-o", "x"), "no categorical column 'x'"),
        ((model, "--format", "word2vec"), "missing option '--out'"),
        ((model, "--format", "projector", "-o", "taken"), "taken"),
        ((model, "--format", "parquet", "-o", "taken.csv"), "ends in .parquet, got 'taken.csv'"),
        ((model, "--format", "parquet", "-o", Path(model) / "x.parquet"), "or lies in it"),
    ]:
        assert message in mistake("export", *arguments)
    assert os.listdir() == ["taken"]


def test_several_columns_are_no_single_file(mistake, folder):
    options = ("--format", "word2vec", "--out", "w.txt")
    line = mistake("export", folder / "sales.catvec", *options)
    assert line.startswith("--out must be a folder")


def test_a_hashed_column_leaves_no_files_of_others_behind(run, mistake, folder):
    hashed = ("--categorical", "shop", "--table", "shop=hashed:8", "--epochs", 1, "--networks", 1)
    fit = ("fit", folder / "sales.parquet", "-t", "sales", *hashed, "--out", "m", "--quiet")
    assert run(*fit).code == 0
    for format in ("word2vec", "projector"):
        line = mistake("export", "m", "--format", format, "-o", "vectors")
        assert "'shop' is hashed into 8 buckets" in line
        assert "by --table shop=hashed:8:2:1000" in line
    assert os.listdir() == ["m"]
