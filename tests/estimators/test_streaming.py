"""Fits to tables that need not fit into memory, beside fits to the same tables in memory."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError
from catvec.estimators import _source_table as source_table
from catvec.frames import _counting as counting
from catvec.frames import _source as source_module
from catvec.network import _checkpoint as checkpoint_module

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {
    "random_state": 0,
    "n_networks": 2,
    "n_epochs": 4,
    "shrinkage": 10.0,
    "embedding_dim": 4,
    "pairs": None,
    "interactions": "concatenate",
    "hidden_sizes": (16,),
    "n_knots": 8,
}


def planted(n_rows=3000, seed=0):
    rng = np.random.default_rng(seed)
    user = rng.zipf(1.5, n_rows) % 90
    city = rng.integers(0, 12, n_rows)
    gap = rng.random(n_rows) < 0.05
    size = np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(5, 2, n_rows))
    effect = rng.normal(0, 2, 90)[user] + rng.normal(0, 1, 12)[city]
    y = effect + 0.3 * np.nan_to_num(size) + rng.normal(0, 0.5, n_rows)
    names = np.array([f"u{i}" for i in range(90)], dtype=object)[user]
    names[gap] = None
    return pa.table(
        {
            "user": pa.array(names),
            "city": pa.array([f"c{c}" for c in city]),
            "size": pa.array(size),
            "y": pa.array(y),
            "label": pa.array(np.where(y > y.mean(), "high", "low")),
            "w": pa.array(rng.uniform(0.5, 2, n_rows)),
            "home": pa.array(rng.integers(0, 300, n_rows)),
            "day": pa.array(np.arange(n_rows) // 10),
        }
    )


TABLE = planted()
FEATURES = ["user", "city", "size"]


@pytest.fixture
def large(monkeypatch):
    """Take every source for one that is larger than memory."""
    monkeypatch.setattr(source_module, "SMALL", 0)


def written(tmp_path, table, n_files=3):
    folder = tmp_path / "table"
    folder.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(table)), n_files)):
        pq.write_table(table.take(pa.array(rows)), folder / f"{i}.parquet", row_group_size=500)
    return folder


def assert_same_knowledge(found, wanted):
    """Vocabularies, counts, effects and confidences to the bit."""
    assert list(found) == list(wanted)
    for name in wanted:
        assert found[name].categories.tolist() == wanted[name].categories.tolist()
        np.testing.assert_array_equal(found[name].vocabulary.counts, wanted[name].vocabulary.counts)
        np.testing.assert_array_equal(found[name].effects, wanted[name].effects)
        np.testing.assert_array_equal(found[name].confidences, wanted[name].confidences)


@pytest.mark.parametrize("chunk_rows", [7, 1000, 10**6])
@pytest.mark.usefixtures("large")
def test_vocabularies_counts_and_effects_are_those_of_memory(tmp_path, monkeypatch, chunk_rows):
    table = TABLE.slice(0, 700) if chunk_rows == 7 else TABLE
    monkeypatch.setattr(source_module, "CHUNK_ROWS", chunk_rows)
    folder = written(tmp_path, table.select([*FEATURES, "y"]))
    settings = {**QUICK, "min_frequency": 5, "output": "effects"}
    on_disk = EmbeddingEncoder(**settings).fit(folder, "y")
    in_memory = EmbeddingEncoder(**settings).fit(table.select(FEATURES), np.asarray(table["y"]))
    assert_same_knowledge(on_disk.vectors_, in_memory.vectors_)
    assert on_disk.feature_names_in_.tolist() == FEATURES
    new = table.select(FEATURES).slice(0, 20)
    np.testing.assert_array_equal(on_disk.transform(new), in_memory.transform(new))


@pytest.mark.usefixtures("large")
def test_a_single_row_at_a_time_changes_no_code(tmp_path, monkeypatch):
    table = TABLE.select([*FEATURES, "y"]).slice(0, 120)
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    settings = {**QUICK, "output": "effects"}
    wanted = EmbeddingEncoder(**settings).fit(path, "y")
    monkeypatch.setattr(source_module, "CHUNK_ROWS", 1)
    assert_same_knowledge(EmbeddingEncoder(**settings).fit(path, "y").vectors_, wanted.vectors_)


@pytest.mark.usefixtures("large")
def test_a_regression_learns_from_disk_what_it_learns_in_memory(tmp_path):
    folder = written(tmp_path, TABLE.select([*FEATURES, "y"]))
    settings = {**QUICK, "n_epochs": 12}
    on_disk = EmbeddingRegressor(**settings).fit(folder, "y")
    y = np.asarray(TABLE["y"])
    in_memory = EmbeddingRegressor(**settings).fit(TABLE.select(FEATURES), y)
    new = planted(seed=0).select(FEATURES)
    rmse = [np.sqrt(np.mean((m.predict(new) - y) ** 2)) for m in (on_disk, in_memory)]
    assert rmse[0] == pytest.approx(rmse[1], rel=0.1)
    assert rmse[0] < 0.5 * y.std()
    assert on_disk.validation_scores_["R2"]["model"] > 0.7
    assert on_disk.column_importances_["user"] > on_disk.column_importances_["size"] > 0
    assert_same_knowledge(on_disk.vectors_, in_memory.vectors_)


@pytest.mark.usefixtures("large")
def test_minor_components_are_those_of_memory_and_none_in_time(tmp_path):
    near = np.asarray(TABLE["size"]) * (1 + 0.02 * np.random.default_rng(1).normal(size=len(TABLE)))
    table = TABLE.select([*FEATURES, "y"]).append_column("near", pa.array(near))
    table = table.append_column("when", pa.array(np.arange(len(table))))
    folder, features = written(tmp_path, table), table.drop(["y"])
    settings = {**QUICK, "n_epochs": 1}
    on_disk = EmbeddingRegressor(**settings).fit(folder, "y")
    in_memory = EmbeddingRegressor(**settings).fit(features, np.asarray(table["y"]))
    found, wanted = on_disk.schema_.minor_components, in_memory.schema_.minor_components
    assert len(found) == 1
    np.testing.assert_allclose(np.abs(found.loadings), np.abs(wanted.loadings), rtol=1e-6)
    assert np.isfinite(on_disk.predict(features)).all()
    settings["time_column"] = "when"
    for X, y in ((folder, "y"), (features, np.asarray(table["y"]))):
        assert not EmbeddingRegressor(**settings).fit(X, y).schema_.minor_components


@pytest.mark.learns
@pytest.mark.usefixtures("large")
def test_a_classifier_with_weights_and_groups(tmp_path):
    folder = written(tmp_path, TABLE.select([*FEATURES, "label", "w", "home"]))
    settings = {**QUICK, "class_weight": "balanced"}
    on_disk = EmbeddingClassifier(**settings).fit(folder, "label", sample_weight="w", groups="home")
    in_memory = EmbeddingClassifier(**{**settings, "class_weight": None}).fit(
        TABLE.select([*FEATURES, "label", "w", "home"]), "label", sample_weight="w", groups="home"
    )
    assert on_disk.classes_.tolist() == in_memory.classes_.tolist() == ["high", "low"]
    assert on_disk.feature_names_in_.tolist() == in_memory.feature_names_in_.tolist() == FEATURES
    assert on_disk.validation_scores_["AUC"]["model"] > 0.8


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("sample_rows", [50, 10_000])
def test_weights_that_float32_cannot_hold_are_refused(tmp_path, monkeypatch, sample_rows):
    """Whether the sample that choices are made from holds such a row or not."""
    monkeypatch.setattr("catvec.frames._survey.SAMPLE_ROWS", sample_rows)
    weights = pa.array([1.0] * (len(TABLE) - 1) + [1e300])
    folder = written(tmp_path, TABLE.select([*FEATURES, "y"]).append_column("much", weights))
    with pytest.raises(InputError, match="`sample_weight` must add up to at most 1e"):
        EmbeddingRegressor(**QUICK).fit(folder, "y", sample_weight="much")


def fit_anew(model, *table, **data):
    return clone(model).fit(*table, **data)


def beside_memory(monkeypatch, fit):
    """What `fit` gives where a table is in memory, and where it is on disk."""
    in_memory = fit()
    monkeypatch.setattr(source_module, "SMALL", 0)
    return in_memory, fit()


def test_classes_are_balanced_by_their_weights(monkeypatch):
    heavy = np.where(np.asarray(TABLE["label"]) == "high", 5.0, 1.0)
    table = TABLE.select(["city", "label"]).append_column("w", pa.array(heavy)).slice(0, 600)
    model = EmbeddingClassifier(**QUICK, class_weight="balanced")
    fit = partial(fit_anew, model, [table], "label", sample_weight="w")
    for one in beside_memory(monkeypatch, fit):
        total, of_second = one._continuation.statistics.totals
        assert of_second == pytest.approx(total / 2)


@pytest.mark.parametrize("far", [1e3, 1e30])
def test_a_target_is_standardised_by_the_weights_of_its_rows(monkeypatch, far):
    away = np.arange(600) < 300  # of no weight
    y = np.asarray(TABLE["y"])[:600]
    columns = {"city": TABLE["city"].slice(0, 600), "y": y + far * away, "w": 1.0 * ~away}
    model = EmbeddingRegressor(**QUICK)
    fit = partial(fit_anew, model, [pa.table(columns)], "y", sample_weight="w")
    for one in beside_memory(monkeypatch, fit):
        assert one.target_.center == pytest.approx(y[~away].mean())
        assert one.target_.scale == pytest.approx(y[~away].std())


def test_choices_look_at_class_weights_and_at_rows_to_choose_by(monkeypatch):
    table = TABLE.select(["city", "label"]).slice(0, 600)
    X_val = pa.table({"city": table["city"], "label": table["label"][::-1]}).slice(0, 100)
    model = EmbeddingClassifier(**{**QUICK, "shrinkage": "auto"}, handle_unknown="error")
    for weights, rows in (({"high": 5.0}, None), (None, X_val)):
        asked = clone(model).set_params(class_weight=weights)
        fit = partial(fit_anew, asked, [table], "label", X_val=rows)
        with monkeypatch.context() as patch:
            in_memory, on_disk = beside_memory(patch, fit)
        assert on_disk.choice_.tried == pytest.approx(in_memory.choice_.tried, rel=1e-3)


@pytest.mark.parametrize("judged_by", ["the latest rows", "rows that are given"])
def test_a_constant_is_that_of_the_training_rows(monkeypatch, judged_by):
    days = np.arange(600)
    table = pa.table({"city": TABLE["city"].slice(0, 600), "day": days, "y": days / 60})
    settings, given = {"time_column": "day"}, {}
    if judged_by == "rows that are given":
        settings, given = {"validation_fraction": 0.0}, {"X_val": table.slice(500)}
    model = EmbeddingRegressor(**QUICK, **settings)
    fit = partial(fit_anew, model, [table], "y", **given)
    in_memory, on_disk = beside_memory(monkeypatch, fit)
    for name, score in in_memory.validation_scores_.items():
        assert on_disk.validation_scores_[name]["constant"] == pytest.approx(score["constant"])
    assert on_disk.validation_scores_["R2"]["constant"] < -1


@pytest.mark.usefixtures("large")
def test_counts_poisson_and_time(tmp_path):
    rng = np.random.default_rng(0)
    table = TABLE.append_column("n", pa.array(rng.poisson(2.0, len(TABLE))))
    folder = written(tmp_path, table.select([*FEATURES, "n", "day"]))
    settings = {**QUICK, "loss": "poisson", "time_column": "day"}
    model = EmbeddingRegressor(**settings).fit(folder, "n")
    assert model.feature_names_in_.tolist() == [*FEATURES, "day"]
    assert np.isfinite(model.predict(table.select([*FEATURES, "day"]))).all()
    assert [n.name for n in model.schema_.numbers] == ["size"]


@pytest.mark.parametrize("small", [0, 10**6])
def test_groups_that_last_to_the_end_are_refused_in_time(monkeypatch, small):
    monkeypatch.setattr(source_module, "SMALL", small)
    shop, day = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    columns = {"shop": shop.astype(str), "day": day, "y": np.sin(shop) + day}
    encoder = EmbeddingEncoder(output="effects", columns=["shop"], time_column="day")
    frames = [pa.table(columns)]
    with pytest.raises(InputError, match=r"hold 100% of the rows.*only `time_column`"):
        encoder.fit(frames, "y", groups="shop")
    encoder.fit(frames, "y")


@pytest.mark.parametrize("small", [0, 10**6])
def test_groups_in_time_are_encoded_by_those_that_ended_before(tmp_path, monkeypatch, small):
    monkeypatch.setattr(source_module, "SMALL", small)
    begin = np.repeat(np.arange(300), 10)  # a group begins every day, and lasts for twenty
    home = pa.array([f"h{b}" for b in begin])
    day = pa.array(begin + np.tile(np.arange(0, 20, 2), 300))
    settings = {**QUICK, "columns": ["city", "copy"], "time_column": "day", "output": "effects"}

    def encoded(y):
        columns = {"city": TABLE["city"], "copy": home, "home": home, "day": day, "y": y}
        out = tmp_path / "encoded.parquet"
        encoder = EmbeddingEncoder(**settings)
        encoder.fit_encode([pa.table(columns)], "y", groups="home", out=out)
        return pq.read_table(out)

    rows = encoded(TABLE["y"])
    assert rows["city_effect"].to_numpy()[1000:].all()
    assert not rows["copy_effect"].to_numpy().any()  # a group is all in one fold
    changed = encoded(pa.array(TABLE["y"].to_numpy() + 9 * (begin > 295)))
    assert changed["city_effect"].equals(rows["city_effect"])  # those that end last teach nobody


@pytest.mark.learns
@pytest.mark.usefixtures("large")
def test_choices_and_pairs_come_from_a_sample(tmp_path):
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 8, (2, 2000))
    y = np.where((a + b) % 2, 1.0, -1.0) + rng.normal(0, 0.1, 2000)
    table = pa.table({"a": a, "b": b, "y": y})
    folder = written(tmp_path, table)
    settings = {**QUICK, "columns": ["a", "b"], "shrinkage": "auto", "pairs": [("a", "b")]}
    model = EmbeddingRegressor(**{**settings, "n_epochs": 10}).fit(folder, "y")
    assert list(model.vectors_.pairs) == ["a*b"]
    wanted = EmbeddingRegressor(**settings).fit(table.select(["a", "b"]), y)
    for found, own in ((model, model.vectors_.pairs["a*b"]),):
        np.testing.assert_array_equal(own.pair.keys, wanted.vectors_.pairs["a*b"].pair.keys)
        np.testing.assert_array_equal(own.pair.counts, wanted.vectors_.pairs["a*b"].pair.counts)
        np.testing.assert_allclose(own.effects, wanted.vectors_.pairs["a*b"].effects, rtol=1e-5)
        assert found.validation_scores_["R2"]["model"] > 0.8
    assert model.choice_.tried


@pytest.mark.parametrize("kind", ["iterator", "list", "file", "small"])
def test_every_kind_of_source(tmp_path, monkeypatch, kind):
    if kind != "small":
        monkeypatch.setattr(source_module, "SMALL", 0)
    table = TABLE.select([*FEATURES, "y"])
    bounds = [(0, 1000), (0, 0), (1000, 2000)]  # an empty one among them
    frames = [table.slice(*rows).to_pandas() for rows in bounds]
    pq.write_table(table, tmp_path / "rows.parquet")
    X = {"iterator": iter(frames), "list": frames}.get(kind, str(tmp_path / "rows.parquet"))
    encoder = EmbeddingEncoder(**{**QUICK, "output": "effects"}).fit(X, "y")
    wanted = EmbeddingEncoder(**{**QUICK, "output": "effects"}).fit(table, "y")
    assert_same_knowledge(encoder.vectors_, wanted.vectors_)


@pytest.mark.usefixtures("large")
def test_a_column_of_many_values_is_counted_by_duckdb(tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "MOST_VALUES", 5)
    monkeypatch.setattr(counting, "SLACK", 1)
    table = TABLE.select([*FEATURES, "y"]).append_column(
        "code", pa.array([float(i % 40) if i % 3 else None for i in range(len(TABLE))])
    )
    folder = written(tmp_path, table)
    settings = {**QUICK, "output": "effects", "columns": ["user", "city", "code"]}
    on_disk = EmbeddingEncoder(**settings).fit(folder, "y")
    wanted = EmbeddingEncoder(**settings).fit(table, "y")
    assert_same_knowledge(on_disk.vectors_, wanted.vectors_)


@pytest.mark.usefixtures("large")
def test_without_duckdb_many_values_are_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "MOST_VALUES", 5)
    monkeypatch.setattr(counting, "SLACK", 1)
    monkeypatch.setattr(counting, "find_spec", lambda _: None)
    folder = written(tmp_path, TABLE.select(["user", "y"]))
    with pytest.raises(ImportError, match=r"'user' has more than 5 values.*pip install"):
        EmbeddingEncoder(**QUICK).fit(folder, "y")


@pytest.mark.parametrize("in_memory", [False, True])
def test_counts_may_be_given(tmp_path, monkeypatch, in_memory):
    table = TABLE.select([*FEATURES, "y"])
    counts = table.group_by("city").aggregate([([], "count_all")])
    counts = pa.table({"category": counts["city"], "count": counts["count_all"]})
    if not in_memory:
        monkeypatch.setattr(source_module, "SMALL", 0)
    X = table if in_memory else written(tmp_path, table)
    settings = {**QUICK, "output": "effects"}
    given = EmbeddingEncoder(**settings).fit(X, "y", vocabulary_counts={"city": counts})
    assert_same_knowledge(given.vectors_, EmbeddingEncoder(**settings).fit(table, "y").vectors_)
    few = counts.filter(pa.compute.not_equal(counts["category"], "c3"))
    fewer = EmbeddingEncoder(**settings).fit(X, "y", vocabulary_counts={"city": few})
    assert "c3" not in fewer.vectors_["city"]
    with pytest.raises(ValueError, match="`vocabulary_counts` names 'size'"):
        EmbeddingEncoder(**settings).fit(X, "y", vocabulary_counts={"size": counts})
    bad = counts.rename_columns(["category", "n"])
    with pytest.raises(ValueError, match="must have the columns 'category' and 'count'"):
        EmbeddingEncoder(**settings).fit(X, "y", vocabulary_counts={"city": bad})
    numbers = pa.table({"category": [1, 2], "count": [300, 300]})
    message = r"of column 'city' counts number values \(1, 2\), but the column holds text values"
    with pytest.raises(ValueError, match=message):
        EmbeddingEncoder(**settings).fit(X, "y", vocabulary_counts={"city": numbers})


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y": "absent"}, "no column 'absent'"),
        ({"y": [1, 2]}, "`y` must be the name of the target's column"),
        ({"sample_weight": [1.0]}, "`sample_weight` must be the name of a column"),
        ({"y": "gap"}, r"the target 'gap' is missing in \d+ rows of .*parquet.*drop them"),
        ({"y": "user"}, "the target 'user' is missing"),
        ({"y": "label"}, "must be numeric"),
    ],
)
def test_mistakes_are_one_clear_error(tmp_path, options, message):
    gap = pa.array([None if i % 9 == 5 else 1.0 for i in range(len(TABLE))])
    folder = written(tmp_path, TABLE.append_column("gap", gap))
    options = {"y": "y", **options}
    columns = [name for name in ("user", "city", "label") if name != options["y"]]
    with pytest.raises(ValueError, match=message):
        EmbeddingRegressor(**QUICK, columns=columns).fit(folder, **options)


@pytest.mark.parametrize("small", [0, 10**6])
@pytest.mark.parametrize("parameter", ["columns", "time_column"])
@pytest.mark.parametrize("name", ["y", "w"])
def test_neither_target_nor_weights_are_features(monkeypatch, small, parameter, name):
    monkeypatch.setattr(source_module, "SMALL", small)
    settings = {**QUICK, parameter: ["city", name] if parameter == "columns" else name}
    with pytest.raises(InputError, match=f"'{name}' holds the .*; leave it out of `{parameter}`"):
        EmbeddingRegressor(**settings).fit([TABLE], "y", sample_weight="w")


@pytest.mark.parametrize("small", [0, 10**6])
def test_what_binds_rows_is_a_feature_or_their_time_if_it_is_named(monkeypatch, small):
    monkeypatch.setattr(source_module, "SMALL", small)
    table = TABLE.select(["city", "home", "day", "y"])
    settings = {**QUICK, "output": "effects"}

    def seen(groups, **more):
        encoder = EmbeddingEncoder(**settings, **more).fit([table], "y", groups=groups)
        return encoder.vectors_.columns, [number.name for number in encoder.schema_.numbers]

    assert seen("home") == (("city",), ["day"])
    assert seen("home", columns=["city", "home"]) == (("city", "home"), ["day"])
    assert seen("day", time_column="day") == (("city",), ["home"])
    assert seen("day", columns=["city", "day"], time_column="day") == (("city", "day"), ["home"])


@pytest.mark.parametrize("small", [0, 10**6])
def test_columns_may_be_positions_and_their_names_numbers(monkeypatch, small):
    monkeypatch.setattr(source_module, "SMALL", small)
    frame = TABLE.select(["city", "home", "day", "y"]).to_pandas()
    frames = [frame[:1000], frame[1000:]]
    settings = {**QUICK, "output": "effects", "columns": [0, -3], "time_column": 2}
    assert EmbeddingEncoder(**settings).fit(frames, "y").vectors_.columns == ("city", "home")
    numbered = [rows.set_axis([7, 8, 9, 10], axis="columns") for rows in frames]
    settings = {**settings, "columns": [7, 8], "time_column": 9}
    assert EmbeddingEncoder(**settings).fit(numbered, "10").vectors_.columns == ("7", "8")


@pytest.mark.parametrize("small", [0, 10**6])
def test_positions_are_those_of_the_whole_table(monkeypatch, small):
    monkeypatch.setattr(source_module, "SMALL", small)
    table = TABLE.select(["y", "city", "home", "day", "w"]).slice(0, 300)
    settings = {**QUICK, "output": "effects"}

    def seen(**more):
        encoder = EmbeddingEncoder(**{**settings, "columns": [1, 2], **more})
        encoder.fit([table], "y", groups="day", sample_weight="w")
        return encoder.vectors_.columns, encoder.schema_.numbers

    assert seen() == (("city", "home"), ())
    assert seen(time_column=3) == (("city", "home"), ())
    assert seen(columns=[1, 3, -3]) == (
        ("city", "home", "day"),
        (),
    )  # groups are, if they are named
    for given in ({"columns": [0]}, {"time_column": -1}):
        with pytest.raises(InputError, match="leave it out of"):
            seen(**given)
    with pytest.raises(InputError, match="`pairs` names a column by its position 1"):
        seen(pairs=[(1, 2)])


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("out", ["table/0.parquet", "table/new.parquet", "link/0.parquet"])
@pytest.mark.parametrize("read", ["table", "table/0.parquet", "table/*.parquet"])
def test_rows_are_not_written_over_those_that_are_read(tmp_path, monkeypatch, read, out):
    folder = written(tmp_path, TABLE.select([*FEATURES, "y"]))
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    encoder = EmbeddingEncoder(**{**QUICK, "output": "effects"})
    if read == "table/0.parquet" and out == "table/new.parquet":
        encoder.fit_encode(read, "y", out=out)
        return
    with pytest.raises(InputError, match=r"is the table that is read|one of the files"):
        encoder.fit_encode(read, "y", out=out)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("options", [{"groups": "one"}, {"time": "one"}])
def test_a_single_group_or_moment_has_no_folds(tmp_path, options):
    table = TABLE.select(["city", "y"]).append_column("one", pa.array(np.ones(len(TABLE))))
    encoder = EmbeddingEncoder(**QUICK, output="effects", time_column=options.pop("time", None))
    with pytest.raises(InputError, match="no row could be encoded"):
        encoder.fit_encode([table], "y", out=tmp_path / "encoded.parquet", **options)


@pytest.mark.usefixtures("large")
def test_a_temporary_cache_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(source_table.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = written(tmp_path, TABLE.select([*FEATURES, "y"]))
    EmbeddingEncoder(**QUICK).fit(folder, "y")
    with pytest.raises(ValueError, match="no column"):
        EmbeddingEncoder(**QUICK, columns=["absent"]).fit(folder, "y")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_rows_to_choose_by_that_come_once_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = TABLE.select([*FEATURES, "y"])
    X_val = (table.slice(start, 50) for start in (2000, 2050))
    EmbeddingRegressor(**QUICK).fit([table.slice(0, 2000)], "y", X_val=X_val, cache="cache")
    assert list(tmp_path.iterdir()) == []


class Stopped(Exception):
    """In place of a kill."""


def until_training(progress):
    if progress.stage == "training" and progress.epoch > 1:
        raise Stopped


def counts_of(*cities):
    return {"city": {"city": list(cities), "count": [100] * len(cities)}}


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("files", {"random_state": 1}),
        ("files", {"vocabulary_counts": counts_of("c3", "c4", "c5")}),
        ("files", {"X_val": TABLE.slice(0, 300)}),
        ("frames", {"sign": -1}),
        ("once", {"sign": -1}),
    ],
    ids=lambda given: given if isinstance(given, str) else str(*given),
)
def test_another_fit_with_the_cache_begins_anew(tmp_path, monkeypatch, kind, other):
    monkeypatch.setattr(checkpoint_module, "CHECKPOINT_ROWS", 500)
    table = TABLE.select([*FEATURES, "y"])
    folder = written(tmp_path, table)

    def fitted(cache, callback=None, *, random_state=0, sign=1, **data):
        rows = table.set_column(3, "y", pa.array(sign * table["y"].to_numpy()))
        frames = [rows.slice(0, 1000), rows.slice(1000)]
        source = {"files": folder, "frames": frames, "once": iter(frames)}[kind]
        data = {"vocabulary_counts": counts_of("c0", "c1", "c2"), **data}
        model = EmbeddingRegressor(**{**QUICK, "random_state": random_state}, callback=callback)
        return model.fit(source, "y", cache=cache, **data)

    cache = tmp_path / "cache"
    with pytest.raises(Stopped):
        fitted(cache, until_training)
    assert list((cache / "checkpoints").iterdir())
    after, anew = fitted(cache, **other), fitted(None, **other)
    np.testing.assert_array_equal(after.predict(table), anew.predict(table))


@pytest.mark.usefixtures("large")
def test_a_cache_of_others_is_left_alone(tmp_path):
    folder = written(tmp_path, TABLE.select([*FEATURES, "y"]))
    with pytest.raises(ValueError, match="holds other files"):
        EmbeddingEncoder(**QUICK).fit(folder, "y", cache=folder)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("min_frequency", [1, 5])
def test_further_rows_may_follow(tmp_path, min_frequency):
    first, further = TABLE.slice(0, 2000), TABLE.slice(2000)
    settings = {**QUICK, "min_frequency": min_frequency}
    columns = [*FEATURES, "y"]
    on_disk = EmbeddingRegressor(**settings).fit(written(tmp_path, first.select(columns)), "y")
    in_memory = EmbeddingRegressor(**settings).fit(first.select(columns), "y")
    for model in (on_disk, in_memory):
        model.partial_fit(further.select(FEATURES), further["y"].to_numpy())
    for name in ("user", "city"):
        found, wanted = on_disk.vectors_[name], in_memory.vectors_[name]
        assert found.categories.tolist() == wanted.categories.tolist()
        np.testing.assert_allclose(found.effects, wanted.effects, rtol=1e-5, atol=1e-6)
