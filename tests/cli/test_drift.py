"""catvec drift: a page for people, JSON for machines, one line for mistakes."""

import json

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingClassifier, EmbeddingEncoder


def rows(seed, n, shift=0.0, n_cities=12):
    rng = np.random.default_rng(seed)
    city, kind = rng.integers(n_cities, size=n), rng.integers(4, size=n)
    size = rng.normal(size=n)
    y = np.sin(city) + kind * 0.3 + shift * (city == 3) + rng.normal(size=n)
    return pd.DataFrame(
        {"city": [f"city {i}" for i in city], "kind": [f"k{i}" for i in kind], "size": size, "y": y}
    )


@pytest.fixture
def model(run):  # noqa: ARG001  (it makes the folder)
    table = rows(0, 4000)
    EmbeddingEncoder(output="effects").fit(table[["city", "kind", "size"]], table["y"]).save("m")
    return "m"


def test_a_page_about_rows_that_drifted(run, model):
    rows(1, 4000, shift=2.0, n_cities=14).to_csv("new.csv", index=False)
    done = run("drift", "new.csv", "--model", model, "--target", "y")
    assert (done.code, done.err) == (0, "")
    assert "of 2 drifted, " in done.out
    assert "city 13   unknown" in done.out
    assert "mean of the target" in done.words
    lines = done.words.splitlines()
    assert any(line.startswith("city # # # ") and line.endswith(" drifted") for line in lines)
    assert "kind # # # #" in lines
    assert "  city     city 3 " in done.out


def test_a_page_about_rows_that_did_not(run, model):
    rows(2, 3000).to_parquet("new.parquet")
    done = run("drift", "new.parquet", "-m", model, "-t", "y")
    assert done.code == 0
    assert "0 columns of 2 drifted, 0 effects moved" in done.out
    assert "No effect has moved by more than chance." in done.out
    bare = run("drift", "new.parquet", "-m", model, "--quiet")
    assert (bare.code, bare.out) == (0, "")


def test_rows_count_as_a_column_says(run, model):
    table = rows(1, 4000, shift=2.0, n_cities=14).assign(often=lambda t: 1.0 + (t["size"] > 0))
    table.to_csv("new.csv", index=False)
    options = ("drift", "new.csv", "-m", model, "-t", "y", "--sample-weight", "often", "--json")
    told = json.loads(run(*options).out)
    features = table[["city", "kind", "size"]]
    report = EmbeddingEncoder.load(model).drift_report(
        features, table["y"], sample_weight=table["often"]
    )
    assert told["effects"] == json.loads(json.dumps(report.to_dict()))["effects"]
    plain = json.loads(run(*options[:-3], "--json").out)
    assert plain["effects"] != told["effects"]


def test_json_for_machines(run, model):
    rows(1, 4000, shift=2.0, n_cities=14).to_csv("new.csv", index=False)
    done = run("drift", "new.csv", "-m", model, "-t", "y", "--json")
    told = json.loads(done.out)
    assert (told["drifted"], told["n_rows"]) == (True, 4000)
    assert [c["drifted"] for c in told["columns"]] == [True, False]
    assert told["columns"][0]["n_unknown"] == 2
    assert told["effects"][0]["category"] == "city 3"
    assert json.loads(run("drift", "new.csv", "-m", model, "--json").out)["effects"] is None


def test_a_classifier_reads_a_target_of_text(run):
    table = rows(3, 400)
    y = np.where(table["y"] > 0, "yes", "no")
    fast = {"n_networks": 1, "n_epochs": 1, "shrinkage": 5.0, "pairs": None}
    EmbeddingClassifier(**fast).fit(table[["city", "kind"]], y).save("c")
    table.assign(y=y).to_csv("same.csv", index=False)
    done = run("drift", "same.csv", "-m", "c", "-t", "y", "--json")
    assert json.loads(done.out)["drifted"] is False


def test_the_class_that_moved_is_named(run):
    table = rows(3, 900)
    y = np.array(["low", "middle", "high"])[np.digitize(table["y"], [-0.5, 1])]
    fast = {"n_networks": 1, "n_epochs": 1, "shrinkage": 5.0, "pairs": None}
    EmbeddingClassifier(**fast).fit(table[["city", "kind"]], y).save("c")
    table.assign(y=np.where(y == "high", "low", y)).to_csv("moved.csv", index=False)
    done = run("drift", "moved.csv", "-m", "c", "-t", "y")
    assert "effects" in done.out
    assert "share of low" in done.out or "share of high" in done.out


def test_mistakes(run, mistake, model):  # noqa: ARG001
    rows(1, 50).to_csv("new.csv", index=False)
    rows(1, 50).drop(columns="kind").to_csv("less.csv", index=False)
    assert "'kind'" in mistake("drift", "less.csv", "-m", model)
    assert "'z'" in mistake("drift", "new.csv", "-m", model, "-t", "z")
    assert "alpha" in mistake("drift", "new.csv", "-m", model, "--alpha", "2")
    assert "no artifact" in mistake("drift", "new.csv", "-m", "nowhere")
    words = mistake("drift", "new.csv", "-m", model, "-t", "city")
    assert words.startswith("column 'city' as the target: the target must be numeric")
    assert "give --target, too" in mistake("drift", "new.csv", "-m", model, "--skip-gaps")


def test_rows_without_a_target_are_left_out_if_asked(run, mistake, model):
    table = rows(1, 600)
    table.loc[:99, "y"] = np.nan
    table.to_csv("gaps.csv", index=False)
    table.iloc[100:].to_csv("whole.csv", index=False)
    words = mistake("drift", "gaps.csv", "-m", model, "-t", "y")
    assert "the target 'y' is missing in 100 rows" in words
    assert "--skip-gaps leaves them out" in words
    told = run("drift", "gaps.csv", "-m", model, "-t", "y", "--skip-gaps", "--json")
    whole = run("drift", "whole.csv", "-m", model, "-t", "y", "--json")
    assert json.loads(told.out) == json.loads(whole.out)
    assert json.loads(told.out)["n_rows"] == 500
