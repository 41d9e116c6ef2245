"""``catvec fit``: its page, its JSON, its options, and every mistake in one line."""

import io
import json
import os
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingRegressor
from catvec.cli import _fit
from catvec.cli._fit_page import Fit
from catvec.estimators import _learning
from catvec.estimators._choice import EffectNetworks
from catvec.estimators._trials import Trials
from catvec.frames._files import open_table, write_table

QUICK = ("--epochs", 2, "--networks", 1, "--jobs", 1, "--categorical", "shop")
REST = ("--drop", "busy", "--drop", "part")
SALES_REST = ("--drop", "sales", "--drop", "part")

PAGE = """\
sales.parquet # rows, # categorical columns, # number
target sales: a regression, from # to # mean #
left out: busy, part
What was learned # network, # s
column categories dim effect spread
---
city # # # to #
shop # # # to #
numbers: size
Scores on held-out rows each row by the networks that did not see it
catvec a constant
---
RMSE # # # lower
MAE # # # lower
R2 # # #
Saved
sales.catvec
encoded.csv (encoded rows, to train another model on)
Next
catvec predict new.parquet --model sales.catvec --out predictions.parquet
catvec encode new.parquet --model sales.catvec --out encoded.parquet
catvec neighbors sales.catvec city 'São Paulo'
"""


@pytest.fixture
def sales(folder, tmp_path):
    """The name of the table, in the folder the command runs in."""
    shutil.copy(folder / "sales.parquet", tmp_path / "sales.parquet")
    return "sales.parquet"


def test_the_page(run, sales):
    done = run("fit", sales, "-t", "sales", *QUICK, *REST, "--encoded-out", "encoded.csv")
    assert (done.code, done.err) == (0, "")
    # Two epochs are too few to tell whether the pair helps.
    assert done.words.replace("pairs of columns: city*shop\n", "") == PAGE
    assert all(line == line.rstrip() and len(line) <= 90 for line in done.out.splitlines())
    assert all(c.isprintable() or c == "\n" for c in done.out)
    assert set(os.listdir()) == {"sales.parquet", "sales.catvec", "encoded.csv"}


def test_json_is_one_object_and_the_page_goes_aside(run, sales):
    done = run("fit", sales, "-t", "busy", *QUICK, "--drop", "sales", "--drop", "part", "--json")
    told = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert told["target"] == {"name": "busy", "task": "binary", "classes": [False, True]}
    assert [column["name"] for column in told["columns"]] == ["city", "shop"]
    assert told["columns"][0]["rows_missing"] == 25
    assert told["numbers"] == ["size"]
    assert set(told["scores"]) == {"LogLoss", "AUC", "Accuracy"}
    assert "What was learned" in done.err
    assert told["model"] == "sales.catvec"


def test_quiet_prints_nothing(run, sales):
    done = run("fit", sales, "-t", "sales", *QUICK, *REST, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("target", "options", "kind"),
    [
        ("sales", (), EmbeddingRegressor),
        ("sales", ("--loss", "absolute"), EmbeddingRegressor),
        ("sales", ("--quantile", "0.9"), EmbeddingRegressor),
        ("sales", ("--task", "count"), EmbeddingRegressor),
        ("busy", (), EmbeddingClassifier),
        ("busy", ("--task", "regression"), EmbeddingRegressor),
        ("part", (), EmbeddingClassifier),
        ("shop", ("--task", "multiclass"), EmbeddingClassifier),
    ],
)
def test_tasks(run, sales, target, options, kind):
    quick = [word for word in QUICK if target != "shop" or word not in ("--categorical", "shop")]
    done = run("fit", sales, "-t", target, *quick, "--out", "m", *options)
    assert done.code == 0, done.err
    model = kind.load("m")
    losses = {"count": "poisson", "absolute": "absolute", "0.9": "quantile"}
    assert model.loss_ == losses.get(options[-1] if options else "", model.loss_)


@pytest.mark.parametrize(
    ("loss", "task"),
    [("poisson", "count"), ("absolute", "regression"), ("softmax", "multiclass")],
)
def test_a_loss_says_the_task(run, tmp_path, loss, task):
    table = pa.table({"a": ["x", "y"] * 30, "y": np.arange(60) % 3})  # few integers: classes
    write_table(table, tmp_path / "t.parquet")
    done = run("fit", "t.parquet", "-t", "y", "--loss", loss, "--json", *QUICK[:-2])
    assert done.code == 0, done.err
    assert json.loads(done.out)["target"]["task"] == task


def test_the_same_seed_gives_the_same_model(run, sales):
    for out in ("a", "b"):
        assert run("fit", sales, "-t", "sales", *QUICK, *REST, "--out", out).code == 0
    a, b = CategoryVectors.load("a"), CategoryVectors.load("b")
    assert all(np.array_equal(a[name].vectors, b[name].vectors) for name in a)
    assert run("fit", sales, "-t", "sales", *QUICK, *REST, "--seed", 1, "--out", "b").code == 0
    c = CategoryVectors.load("b")
    assert not np.array_equal(a["city"].vectors, c["city"].vectors)


@pytest.mark.parametrize("ending", ["csv", "feather"])
def test_other_formats_give_the_same_model(run, folder, ending):
    for source in (folder / "sales.parquet", folder / f"sales.{ending}"):
        run("fit", source, "-t", "sales", *QUICK, *REST, "--out", source.suffix[1:])
    a, b = CategoryVectors.load("parquet"), CategoryVectors.load(ending)
    assert a.columns == b.columns
    for name in a:
        assert a[name].categories.tolist() == b[name].categories.tolist()
        assert np.array_equal(a[name].vectors, b[name].vectors)


def test_a_table_on_standard_input(run, folder, feed):
    feed(folder / "sales.csv")
    done = run("fit", "-", "-t", "sales", *QUICK, *REST)
    assert done.code == 0, done.err
    assert CategoryVectors.load("model.catvec").columns == ("city", "shop")
    assert "new.csv" in done.out


def test_roles_of_columns(run, sales):
    options = ("--numeric", "shop", "--drop", "part", "--drop", "size", "--json")
    done = run("fit", sales, "-t", "sales", *QUICK[:-2], *options)
    told = json.loads(done.out)
    assert [column["name"] for column in told["columns"]] == ["city", "busy"]
    assert (told["numbers"], told["left_out"]) == (["shop"], ["size", "part"])


@pytest.mark.parametrize("mark", ["part", "busy"])
def test_a_column_marks_the_held_out_rows(run, sales, table, mark):
    rest = ("--drop", "busy" if mark == "part" else "part")
    done = run("fit", sales, "-t", "sales", *QUICK, "--validation", mark, *rest, "--json")
    told = json.loads(done.out)
    assert mark in told["left_out"]
    assert "RMSE" in told["scores"]
    held_out = [v in (True, "test") for v in table[mark].to_pylist()]
    vectors = CategoryVectors.load("sales.catvec")
    seen = vectors["city"].counts.sum() + vectors["city"].missing.count
    assert seen == len(held_out) - sum(held_out)


def test_groups_and_time_bind_rows_and_are_no_features(run, sales):
    done = run("fit", sales, "-t", "sales", *QUICK[:-2], *REST, "--groups", "shop", "--json")
    assert "shop" in json.loads(done.out)["left_out"]
    done = run("fit", sales, "-t", "sales", *QUICK[:-2], *REST, "--time-column", "shop", "--json")
    assert json.loads(done.out)["numbers"] == ["size"]


@pytest.mark.parametrize("mark", [None, "part"])
def test_rows_count_as_a_column_says(run, sales, table, mark):
    weight = np.where(np.array(table["shop"].to_pylist()) == 3, 5.0, 0.5)
    table = table.append_column("rows", pa.array(weight))
    write_table(table, sales)
    rest = ("--drop", "busy", *(("--drop", "part") if mark is None else ("--validation", mark)))
    options = ("fit", sales, "-t", "sales", *QUICK, *rest, "--sample-weight", "rows", "--json")
    done = run(*options)
    assert done.code == 0, done.err
    assert "rows" in json.loads(done.out)["left_out"]
    train = [v != "test" or mark is None for v in table["part"].to_pylist()]
    rows = table.filter(train)
    regressor = EmbeddingRegressor(columns=["city", "shop"], n_networks=1, n_epochs=2)
    regressor.fit(rows.select(["city", "shop", "size"]), rows["sales"], sample_weight=rows["rows"])
    found, ours = regressor.vectors_["shop"], CategoryVectors.load("sales.catvec")["shop"]
    np.testing.assert_allclose(ours.effects, found.effects, rtol=1e-5)
    regressor.fit(rows.select(["city", "shop", "size"]), rows["sales"])
    assert not np.allclose(ours.effects, regressor.vectors_["shop"].effects, rtol=0.01)


def test_weights_are_numbers(mistake, sales):
    options = ("fit", sales, "-t", "sales", *QUICK, *REST, "--sample-weight")
    assert "'city' of --sample-weight must hold numbers" in mistake(*options, "city")


def test_texts_among_numbers_are_told(run, tmp_path):
    rng = np.random.default_rng(0)
    price = [f"{value:.3f}" for value in rng.normal(size=200)]
    lines = [f"{'abc'[i % 3]},{p},{i % 7}.5" for i, p in enumerate(["-", *price[1:]])]
    (tmp_path / "dash.csv").write_text("\n".join(["shop,price,y", *lines]))
    fit = ("fit", "dash.csv", "-t", "y", "--epochs", 1, "--networks", 1)
    told = "price holds numbers but for -: clean it"
    assert told in " ".join(run(*fit).out.split())
    assert told not in " ".join(run(*fit, "--categorical", "price").out.split())


def test_effects_are_told_from_the_share_among_weighted_training_rows():
    y, weight = np.array(["no", "yes", "yes", "yes"]), np.array([1.0, 3.0, 0.0, 9.0])
    held_out = np.array([False, False, False, True])
    data = SimpleNamespace(task="binary", y=y, weight=weight, held_out=held_out)
    model = SimpleNamespace(target_=SimpleNamespace(classes=np.array(["no", "yes"])))
    fit = Fit(None, None, data, model, "m.catvec", None, 1.0)
    assert fit.scale.base == 0.75


def test_a_folder_counts_rows_as_a_column_says(run, table):
    os.mkdir("parts")
    weight = np.where(np.array(table["shop"].to_pylist()) == 3, 5.0, 0.5)
    write_table(table.append_column("rows", pa.array(weight)), "parts/a.parquet")
    options = ("-t", "sales", *QUICK, *REST, "--sample-weight", "rows", "-o", "m.catvec")
    done = run("fit", "parts", *options)
    assert done.code == 0, done.err
    shutil.copy("parts/a.parquet", "sales.parquet")
    assert run("fit", "sales.parquet", *options[:-1], "n.catvec").code == 0
    effects = [CategoryVectors.load(p)["shop"].effects for p in ("m.catvec", "n.catvec")]
    np.testing.assert_allclose(*effects, rtol=1e-3, atol=1e-6)


def test_rows_without_a_target_may_be_left_out(run, sales, mistake):
    options = ("fit", sales, "-t", "size", *QUICK, *REST, "--drop", "sales")
    line = mistake(*options)
    assert "the target 'size' is missing in" in line
    assert "--skip-gaps" in line
    done = run(*options, "--skip-gaps", "--json")
    assert json.loads(done.out)["rows"] < 500


def test_encoded_rows_are_cross_fitted_beside_the_model(run, sales, table):
    options = ("--encoded-out", "z.parquet", "--keep", "sales", "--keep", "part")
    assert run("fit", sales, "-t", "sales", *QUICK, *REST, *options).code == 0
    rows = open_table("z.parquet").read()
    assert rows["sales"].to_pylist() == table["sales"].to_pylist()
    assert rows.column_names[:4] == ["sales", "part", "city_effect", "city_confidence"]
    assert rows.column_names[-1] == "size"
    vectors = CategoryVectors.load("sales.catvec")
    full = {c: vectors["city"].effect(c) for c in vectors["city"]}
    seen = [full[c] for c in table["city"].to_pylist() if c is not None]
    crossed = [e for e, c in zip(rows["city_effect"].to_pylist(), table["city"].to_pylist(),
                                 strict=True) if c is not None]  # fmt: skip
    assert np.corrcoef(seen, crossed)[0, 1] > 0.9
    assert not np.allclose(seen, crossed, atol=1e-6)
    names = vectors.get_feature_names_out(pairs=True).tolist()
    assert rows.column_names[2:-1] == names
    assert run("encode", sales, "--model", "sales.catvec", "--out", "again.parquet").code == 0
    again = open_table("again.parquet").read().column_names
    assert sorted(again) == sorted(rows.column_names[2:])


@pytest.mark.parametrize("options", [("--networks", 2, "--loss", "absolute"), ("--quantile", 0.9)])
def test_rows_are_encoded_by_the_networks_that_were_asked_for(run, sales, options):
    fit = ("fit", sales, "-t", "sales", *QUICK, *REST, *options)
    assert run(*fit, "--out", "a").code == 0
    assert run(*fit, "--out", "b", "--encoded-out", "z.parquet").code == 0
    a, b = CategoryVectors.load("a"), CategoryVectors.load("b")
    assert a == b


def test_encoded_rows_are_of_the_model_s_choices(run, sales, table, monkeypatch):
    """Widths that were chosen anew might be others; then the model could not learn on."""
    searches = []
    search = _learning.search
    monkeypatch.setattr(_learning, "search", lambda *a, **k: searches.append(a) or search(*a, **k))
    options = ("--encoded-out", "z.parquet", "--out", "m")
    assert run("fit", sales, "-t", "sales", *QUICK, *REST, *options).code == 0
    assert len(searches) == 1
    model = EmbeddingRegressor.load("m")
    widths = [model.vectors_[name].embedding_dim for name in model.vectors_]
    assert widths == list(model.choice_.dims[: len(widths)])
    model.partial_fit(table.slice(0, 9), table["sales"][:9])
    assert [model.vectors_[name].embedding_dim for name in model.vectors_] == widths


def test_networks_that_see_effects_may_be_left_out(run, sales, monkeypatch):
    monkeypatch.setattr(Trials, "effect_networks", lambda *_: EffectNetworks(2, 2))
    shared = ("--epochs", 2, "--networks", 2, "--jobs", 1, "--categorical", "shop", *REST)
    fit = ("fit", sales, "-t", "sales", *shared)
    done = run(*fit, "--encoded-out", "z.parquet")
    assert (done.code, done.err) == (0, "")
    assert "2 networks (1 of effects)" in done.out
    assert "effects)" not in run(*fit, "--no-effect-networks").out
    assert not EmbeddingRegressor.load("sales.catvec").effect_networks


def test_encoded_rows_of_marked_rows_come_in_the_order_of_the_table(run, sales, table):
    options = ("--validation", "part", "--drop", "busy", "--encoded-out", "z.csv", "--keep", "size")
    assert run("fit", sales, "-t", "sales", *QUICK, *options[:-2]).code == 0
    rows = open_table("z.csv").read()
    assert len(rows) == len(table)
    assert rows["size"].to_pylist() == pytest.approx(table["size"].to_pylist())
    vectors = CategoryVectors.load("sales.catvec")
    held_out = table["part"].to_pylist().index("test")
    city = table["city"].to_pylist()[held_out]
    assert rows["city_effect"].to_pylist()[held_out] == pytest.approx(
        float(vectors["city"].effect(city)), rel=1e-5
    )


def test_encoded_rows_on_standard_output_have_it_to_themselves(run, sales, table):
    done = run("fit", sales, "-t", "sales", *QUICK, *REST, "--encoded-out", "-")
    rows = open_table(io.BytesIO(done.out.encode())).read()
    assert len(rows) == len(table)
    assert rows.column_names[0] == "city_effect"
    assert "standard output  (encoded rows" in done.err


def test_a_column_of_almost_distinct_values_is_remarked(run, tmp_path):
    n = 200
    table = pa.table({"id": [f"id {i}" for i in range(n)], "y": np.arange(n, dtype=float)})
    write_table(table, tmp_path / "t.csv")
    done = run("fit", "t.csv", "-t", "y", *QUICK[:-2])
    assert "Almost every row has a category of its own in id; consider --drop." in done.out


def test_rows_that_were_held_out_together_are_remarked(run, rng, tmp_path):
    day = np.repeat(rng.normal(size=200), 60)
    kind = [f"kind {i}" for i in rng.integers(9, size=len(day))]
    write_table(pa.table({"kind": kind, "y": day + rng.normal(size=len(day))}), tmp_path / "t.csv")
    done = run("fit", "t.csv", "-t", "y", *QUICK[:-2])
    assert "held out 512 at a time" in " ".join(done.out.split())
    assert "consider --time-column." in done.out
    assert "train on the effects alone" not in " ".join(done.out.split())
    done = run("fit", "t.csv", "-t", "y", "--encoded-out", "z.csv", *QUICK[:-2])
    assert "train on the effects alone" in " ".join(done.out.split())


@pytest.mark.parametrize("y", [[1.5], [2.0] * 40, [1e-9, 2e-9] * 20, [1e9, 3e12] * 20])
def test_targets_of_one_row_or_value_or_strange_size(run, tmp_path, y):
    write_table(pa.table({"a": ["x", "z"] * (len(y) // 2) or ["x"], "y": y}), tmp_path / "t.pq")
    done = run("fit", "t.pq", "-t", "y", *QUICK[:-2])
    assert done.code == 0, done.err
    assert "What was learned" in done.out


# --- mistakes -----------------------------------------------------------------------------


@pytest.mark.usefixtures("sales")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("absent.csv", "-t", "y"), "no such file: 'absent.csv'"),
        (("sales.xlsx", "-t", "y"), "'sales.xlsx' must end in .csv"),
        (("sales.parquet",), "missing option '--target'"),
        (("sales.parquet", "-t", "sale"), "no column 'sale' in 'sales.parquet'; did you mean"),
        (("sales.parquet", "-t", "sales", "--drop", "x"), "no column 'x' in"),
        (("sales.parquet", "-t", "sales", "--numeric", "shop", "--categorical", "shop"),
         "the column 'shop' is named by --categorical and --numeric"),
        (("sales.parquet", "-t", "sales", "--drop", "sales"), "named by --target and another"),
        (("sales.parquet", "-t", "sales", "--drop", "shop", "--groups", "shop"),
         "the column 'shop' is named by --drop and another option"),
        (("sales.parquet", "-t", "sales", "--drop", "part", "--validation", "part"),
         "the column 'part' is named by --drop and another option"),
        (("sales.parquet", "-t", "sales", "--jobs", 0), "--jobs must be None or an int other"),
        (("sales.parquet", "-t", "sales", "--numeric", "city"), "column 'city' holds text"),
        (("sales.parquet", "-t", "part", "--task", "regression"),
         "the target 'part' must hold numbers, but holds text in 500 rows: 'test', 'train'"),
        (("sales.parquet", "-t", "shop", "--task", "binary"),
         "a binary target has two labels, got 100, 101, 102, 103, 104 and 7 more; the task"),
        (("sales.parquet", "-t", "sales", "--task", "guess"), "--task must be auto, regression"),
        (("sales.parquet", "-t", "sales", "--loss", "guess"), "--loss must be one of"),
        (("sales.parquet", "-t", "sales", "--engine", "gpu"), "--engine must be one of"),
        (("sales.parquet", "-t", "sales", "--device", "cuda"), '--device must be "auto" unless'),
        (("sales.parquet", "-t", "sales", "--engine", "torch", "--device", "nonsense"),
         """--device must be "auto" or a device that PyTorch has here, with float64, got 'non"""),
        (("sales.parquet", "-t", "sales", "--embedding-dim", "x"), "--embedding-dim must be"),
        (("sales.parquet", "-t", "sales", "--embedding-dim", "²"), "--embedding-dim must be"),
        (("sales.parquet", "-t", "sales", "--seed", 2**32), "invalid value for '--seed'"),
        (("sales.parquet", "-t", "sales", "--epochs", "0"), "invalid value for '--epochs'"),
        (("sales.parquet", "-t", "sales", "--validation", "2"), "--validation must be a share"),
        (("sales.parquet", "-t", "sales", "--validation", "prat"), "did you mean 'part'"),
        (("sales.parquet", "-t", "sales", "--validation", "shop"),
         "the column 'shop' of --validation must hold true and false"),
        (("sales.parquet", "-t", "sales", "--out", "sales.parquet"), "is a file, not a folder"),
        (("sales.parquet", "-t", "sales", "--out", "."), "'.' is not empty and is not an artifact"),
        (("sales.parquet", "-t", "sales", "--encoded-out", "no/z.csv"), "could not write"),
        (("sales.parquet", "-t", "sales", "--encoded-out", "z"), "must end in .csv"),
        (("sales.parquet", "-t", "sales", "--encoded-out", "./sales.parquet"),
         "is the table that is read"),
        (("sales.parquet", "-t", "sales", "-o", "e.csv", "--encoded-out", "e.csv"),
         "'e.csv' is the model 'e.csv' or lies in it"),
        (("sales.parquet", "-t", "sales", "-o", "-"), "--out - is for rows, and this command"),
        ((".", "-t", "sales"), "'model.catvec/column_00.parquet' would be one of the files"),
        (("sales.parquet", "-t", "sales", "--json", "--encoded-out", "-"),
         "--json and --encoded-out - would both write to standard output"),
        (("sales.parquet", "-t", "sales", "--keep", "shop"), "give --encoded-out, too"),
        (("sales.parquet", "-t", "sales", "--encoded-out", "z.csv", "--keep", "size"),
         "--keep size is not needed: numeric columns are in --encoded-out anyway"),
        (("sales.parquet", "-t", "sales", "--freeze", "first"), "give --init, too"),
        (("sales.parquet", "-t", "sales", "--lerning-rate", "1"), "no such option: --lerning-rate"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(mistake, options, message):
    assert message in mistake("fit", *options)
    assert os.listdir() == ["sales.parquet"]


@pytest.mark.parametrize(("named", "kept"), [((), 1), (("--numeric", "shop"), 0)])
def test_integers_of_a_category_type_are_categorical(run, table, named, kept):
    shops = table["shop"].combine_chunks().dictionary_encode()
    write_table(pa.table({"shop": shops, "city": table["city"], "y": table["size"]}), "t.arrow")
    fit = ("fit", "t.arrow", "-t", "y", "--skip-gaps", "--epochs", 1, "--networks", 1)
    done = run(*fit, "--jobs", 1, *named, "-q")
    assert done.code == 0, done.err
    assert len(EmbeddingRegressor.load("t.catvec").schema_.vocabularies) == 1 + kept


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [], "y": []}, "the table has no rows"),
        ({"a": ["x", None], "y": [None, None]}, "the target 'y' is missing in every row"),
        ({"a": ["x", "y"], "y": [1.0, None]}, "the target 'y' is missing in 1 row: 1;"),
        ({"a": ["x", "y"], "y": [1.0, float("nan")]}, "the target 'y' is missing in 1 row: 1;"),
        ({"a": ["x", "y"], "y": [1.0, float("inf")]}, "column 'y' contains infinity"),
        ({"a": ["x"] * 3, "y": ["1.5", "2.5", "n.a."]}, "holds text in 1 row: 'n.a.'"),
        ({"a": ["x"] * 3, "y": ["one"] * 3}, "one class only"),
        ({"a": ["x"] * 30, "y": [f"1.{i},5" for i in range(30)]},
         "text with 30 different values in 30 rows: '1.0,5', '1.1,5'"),
        ({"a": ["x", "y"], "y": [[1], [2]]}, "'y'"),
        ({"a": [1.5, 2.5], "y": [1.0, 2.0]}, "has no categorical column; name one"),
        ({"a": [1, 2, 2], "b": [5, 6, 7], "y": [1.0, 2.0, 3.0]},
         "these hold integers, with as many values: a (2), b (3)"),
        ({"y": [1.0, 2.0, 3.0]}, "has no categorical column"),
        ({"a": ["x", "y"], "b": [1.0, float("inf")], "y": [1.0, 2.0]}, "'b' contains infinity"),
    ],
)  # fmt: skip
def test_a_bad_table_is_one_line(mistake, tmp_path, columns, message):
    write_table(pa.table(columns), tmp_path / "t.parquet")
    assert message in mistake("fit", "t.parquet", "-t", "y")
    assert os.listdir() == ["t.parquet"]


def test_where_a_model_cannot_be_saved_nothing_is_trained(run, mistake, sales, monkeypatch):
    """As saving says: not over a foreign schema.json, but over the rests of a save that died."""
    os.mkdir("theirs")
    with open("theirs/schema.json", "w") as file:
        file.write('{"fields": []}')
    with monkeypatch.context() as patch:
        patch.setattr(_fit, "work_on", None)
        line = mistake("fit", sales, "-t", "sales", "--out", "theirs")
    assert "'theirs/schema.json' is not of catvec" in line
    assert run("fit", sales, "-t", "sales", *QUICK, *REST, "--out", "m").code == 0
    os.remove("m/schema.json")
    assert run("fit", sales, "-t", "sales", *QUICK, *REST, "--out", "m").code == 0


def test_names_twice_are_one_line(mistake, tmp_path):
    (tmp_path / "t.csv").write_text("a,a,y\nx,y,1\n")
    assert "names a column more than once: 'a'" in mistake("fit", "t.csv", "-t", "y")


def test_strange_names_and_values_pass(run, tmp_path):
    n = 60
    names = ["[red]x", "two\nlines", "../up", "größe %s {0}"]
    table = pa.table(
        {name: [f"{name} {i % 3}" for i in range(n)] for name in names}
        | {"y[/]": np.arange(n, dtype=float)}
    )
    write_table(table, tmp_path / "t.parquet")
    done = run("fit", "t.parquet", "-t", "y[/]", *QUICK[:-2])
    assert done.code == 0, done.err
    assert "[red]x" in done.out
    assert "'two\\nlines'" in done.out
    assert "y[/]" in done.out
    assert CategoryVectors.load("t.catvec").columns == tuple(names)


def test_columns_without_a_category_or_with_one(run, tmp_path):
    table = pa.table({"none": pa.nulls(60, pa.string()), "one": ["x"] * 60, "y": np.arange(60.0)})
    write_table(table, tmp_path / "t.parquet")
    done = run("fit", "t.parquet", "-t", "y", *QUICK[:-2])
    assert done.code == 0, done.err
    assert "none # # –" in done.words


def test_the_commands_it_proposes_work(run, tmp_path):
    shops = ["two\nlines"] * 20 + [f"it's {i % 7}" for i in range(40)]
    write_table(pa.table({"shop": shops, "y": np.arange(60.0)}), tmp_path / "t.csv.gz")
    done = run("fit", "t.csv.gz", "-t", "y", *QUICK[:-2])
    shutil.copy("t.csv.gz", "new.csv.gz")
    proposed = done.out.partition("Next")[2].splitlines()[1:]
    assert len(proposed) == 3
    for command in proposed:
        assert run(*shlex.split(command)[1:]).code == 0, command


# --- interrupted --------------------------------------------------------------------------


def test_ctrl_c_while_training_leaves_nothing(run, sales, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_fit.EpochProgress, "epoch", interrupt)
    done = run("fit", sales, "-t", "sales", *QUICK, *REST, "--encoded-out", "z.csv")
    assert (done.code, done.out) == (130, "")
    assert done.err == "catvec: stopped; nothing was left half-written\n"
    assert os.listdir() == ["sales.parquet"]


def test_ctrl_c_while_saving_keeps_the_old_model(run, sales, monkeypatch):
    assert run("fit", sales, "-t", "sales", *QUICK, *REST).code == 0
    before = sorted(os.listdir("sales.catvec"))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    assert run("fit", sales, "-t", "sales", *QUICK, *REST, "--seed", 3).code == 130
    assert sorted(os.listdir("sales.catvec")) == before
    EmbeddingRegressor.load("sales.catvec")


def test_a_full_disk_is_one_line_and_keeps_the_old_model(run, mistake, sales, monkeypatch):
    assert run("fit", sales, "-t", "sales", *QUICK, *REST).code == 0
    before = sorted(os.listdir("sales.catvec"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    line = mistake("fit", sales, "-t", "sales", *QUICK, *REST, "--seed", 3)
    assert "No space left on device" in line
    assert sorted(os.listdir("sales.catvec")) == before


# --- vectors to begin with --------------------------------------------------------------


def test_vectors_to_begin_with_and_what_they_gain(run, sales):
    run("fit", sales, "-t", "busy", *QUICK, *SALES_REST, "--out", "busy.catvec", "--quiet")
    fit = ("fit", sales, "-t", "sales", "--epochs", 2, "--networks", 2, "--jobs", 1, *REST)
    options = ("--init", "busy.catvec", "--map", "city=city", "--map", "size=")
    done = run(*fit, "--categorical", "shop", *options, "--freeze", "first", "--json")
    assert done.code == 0, done
    found = json.loads(done.out)["transfer"]
    assert found["columns"]["city"]["found"] == 6
    assert found["columns"]["shop"]["rows_covered"] == 1
    assert found["benefit"]["verdict"] in ("helps", "hurts", "unclear")
    page = " ".join(done.err.split())
    assert "vectors given for city: of 6 categories 6 found, 0 new, on 100.0% of the rows" in page
    assert f"held-out loss {found['benefit']['loss_with']:.4f} with them" in page


def test_what_fits_no_vectors_is_one_line(mistake, sales, folder):
    fit = ("fit", sales, "-t", "sales", *QUICK, *REST)
    assert "give --init, too" in mistake(*fit, "--map", "shop=shop")
    given = ("--init", folder / "busy.catvec")
    assert "must be COLUMN=COLUMN, such as product=item, got 'shop'" in mistake(
        *fit, *given, "--map", "shop"
    )
    assert "names 'item', which the vectors do not have" in mistake(
        *fit, *given, "--map", "shop=item"
    )
    assert "no.catvec" in mistake(*fit, "--init", "no.catvec")
    assert "--freeze must be one of" in mistake(*fit, *given, "--freeze", "sometimes")


@pytest.mark.filterwarnings("always::catvec.errors.CatvecWarning")
def test_a_class_that_may_be_a_missing_value_is_told_once(run, tmp_path):
    lines = [f"{'abc'[i % 3]},{('yes', 'no', 'NA')[i % 5 % 3]}" for i in range(60)]
    (tmp_path / "marks.csv").write_text("\n".join(["shop,y", *lines]))
    done = run("fit", "marks.csv", "-t", "y", "--epochs", 1, "--networks", 1, "--quiet")
    assert done.err.count("the target has the class 'NA'") == 1


def test_what_may_be_a_slip_is_told_without_a_page_too(run, tmp_path):
    prices = ["cheap", *(f"{i / 7:.3f}" for i in range(60))]
    rows = [f"s{i % 3},{price},{i}" for i, price in enumerate(prices)]
    (tmp_path / "t.csv").write_text("\n".join(["shop,price,y", *rows]))
    done = run("fit", "t.csv", "-t", "y", "--epochs", 1, "--networks", 1, "--quiet")
    assert done.out == ""
    assert "warning: price holds numbers but for cheap: clean it" in done.err
