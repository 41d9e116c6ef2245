"""`EmbeddingPretrainer`: what it takes, what it learns, what it says when something is wrong."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingPretrainer
from catvec.errors import ArtifactError, InputError, ParameterError
from catvec.estimators import PretrainingProgress


@pytest.fixture
def baskets(rng):
    """400 baskets of items from one of four groups, with the items' brands."""
    group = np.repeat(rng.integers(0, 4, 400), 5)
    item = group * 10 + rng.integers(0, 10, 2000)
    return {
        "basket": np.repeat(np.arange(400), 5).tolist(),
        "item": [f"item {i:02d}" for i in item],
        "brand": [f"brand {i // 5}" for i in item],
    }


def purity(column):
    """Share of items whose nearest item is of their group (the first digit of their number)."""
    near = [column.most_similar(name, topn=1)[0][0] for name in column.categories]
    return np.mean([a.split()[1][0] == b.split()[1][0] for a, b in zip(column, near, strict=True)])


OPTIONS = {
    "cooccurrence": {},
    "skipgram": {
        "max_epochs": 3,
        "learning_rate": 0.2,
        "n_negatives": 3,
        "engine": "numpy",
        "window": 3,
    },
}


@pytest.mark.parametrize("method", OPTIONS)
def test_items_of_a_group_are_near(baskets, method):
    options = {"sequence": "basket", "item": "item", "random_state": 0, "embedding_dim": 8}
    pretrainer = EmbeddingPretrainer(method=method, **options, **OPTIONS[method]).fit(baskets)
    column = pretrainer.vectors_["item"]
    assert purity(column) > 0.95
    assert column.vectors.shape == (40, 8)
    assert column.counts.sum() == 2000
    assert not column.effects.any()
    assert (pretrainer.n_sequences_, pretrainer.vectors_.columns) == (400, ("item",))
    again = clone(pretrainer).fit(baskets)
    assert again.vectors_ == pretrainer.vectors_


def test_columns_share_sequences(baskets):
    pretrainer = EmbeddingPretrainer(sequence="basket", item=["item", "brand"], random_state=0)
    vectors = pretrainer.fit(baskets).vectors_
    assert vectors.columns == ("item", "brand")
    assert purity(vectors["item"]) > 0.95
    near = vectors["item"].most_similar(vectors["brand"]["brand 3"], topn=5)
    assert {name for name, _ in near} <= {f"item {i}" for i in range(10, 20)}


def test_a_table_gives_vectors_for_all_its_columns(rng):
    hidden = rng.integers(0, 3, 600)
    table = {
        "a": [f"a {h}{i}" for h, i in zip(hidden, rng.integers(0, 5, 600), strict=True)],
        "b": [f"b {h}{i}" for h, i in zip(hidden, rng.integers(0, 4, 600), strict=True)],
        "number": rng.normal(size=600),
    }
    pretrainer = EmbeddingPretrainer(method="table", random_state=0, embedding_dim=6).fit(table)
    vectors = pretrainer.vectors_
    assert vectors.columns == ("a", "b")
    assert purity(vectors["a"]) == purity(vectors["b"]) == 1.0
    assert vectors.encode(table, output="vectors").shape == (600, 12)


def test_lists_are_taken_as_they_are():
    lists = [["a", "b", "a"], ["b", "a"], ["c", "d"], ["d", "c", "c"]] * 3
    fits = [
        EmbeddingPretrainer(order=True, random_state=0).fit(lists),
        EmbeddingPretrainer(order=True, random_state=0).fit(iter(lists)),
        EmbeddingPretrainer(order=True, item="item", random_state=0).fit({"item": lists}),
    ]
    assert fits[0].vectors_["item"].most_similar("a", topn=1)[0][0] == "b"
    assert fits[0].vectors_ == fits[1].vectors_ == fits[2].vectors_


LISTS = [["a", "b", "a"], ["b", "a"], [], ["c", "d"], ["d", "c", "c"]] * 3


class Again:
    """What gives its lists whenever it is asked, and nothing else."""

    def __init__(self, lists):
        self.lists = lists

    def __iter__(self):
        return iter(self.lists)


def in_a_vector(cells):
    vector = np.empty(len(cells), dtype=object)
    vector[:] = cells
    return vector


CARRIERS = {
    "list": list,
    "tuples": lambda lists: tuple(map(tuple, lists)),
    "arrays": lambda lists: [np.array(cells, dtype=object) for cells in lists],
    "generator": iter,
    "vector": in_a_vector,
    "pandas": lambda lists: pd.Series(lists, index=range(5, 20)),
    "polars": pl.Series,
    "arrow": pa.array,
    "arrow chunks": lambda lists: pa.chunked_array([lists[:4], lists[4:]]),
    "values": lambda lists: dict(enumerate(lists)).values(),
    "iterable": Again,
    "missing first": lambda lists: [None, *lists],
    "missing first of a generator": lambda lists: iter([float("nan"), None, *lists]),
    "missing first in pandas": lambda lists: pd.Series([None, *lists]),
}


@pytest.mark.parametrize("order", [None, True])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_lists_may_come_in_anything(carrier, order):
    options = {"order": order, "random_state": 0, "embedding_dim": 3}
    expected = EmbeddingPretrainer(item="item", **options).fit({"item": LISTS})
    given = CARRIERS[carrier](LISTS)
    assert EmbeddingPretrainer(**options).fit(given).vectors_ == expected.vectors_


@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_are_baskets(kind):
    expected = EmbeddingPretrainer(random_state=0).fit([sorted(set(c)) for c in LISTS]).vectors_
    sets = [*map(kind, LISTS)]
    in_array = np.array([None, *sets], dtype=object)
    for given in ([None, *sets], iter(sets), pd.Series(sets), in_array):
        assert EmbeddingPretrainer(random_state=0).fit(given).vectors_ == expected
    for given in ({"item": sets}, pd.DataFrame({"item": sets}), [pd.DataFrame({"item": sets})]):
        assert EmbeddingPretrainer(item="item", random_state=0).fit(given).vectors_ == expected
        with pytest.raises(ParameterError, match="`order` must be None for sets"):
            EmbeddingPretrainer(item="item", order=True).fit(given)
    with pytest.raises(ParameterError, match="`order` must be None for sets, which have no order"):
        EmbeddingPretrainer(order=True).fit(iter(sets))


@pytest.mark.parametrize("given", [["ab", "cd"], pd.Series(["ab", "cd"]), pa.array([1, 2]), [], 5])
def test_what_holds_no_lists_is_said(given):
    with pytest.raises(InputError, match=r"must hold lists, but|Expected 2D array|an empty list"):
        EmbeddingPretrainer().fit(given)


def test_lists_are_ordered_by_no_column(tmp_path):
    table = pa.table({"item": LISTS, "time": range(15)})
    pq.write_table(table, tmp_path / "lists.parquet")
    pretrainer = EmbeddingPretrainer(item="item", order="time")
    for given in (table, tmp_path / "lists.parquet", [table, table], LISTS):
        with pytest.raises(ParameterError, match="`order` must be True or None without `sequence`"):
            pretrainer.fit(given)


def test_the_unknown_row_is_what_rare_items_learned(baskets):
    frame = {name: [*cells, *cells[:5]] for name, cells in baskets.items()}
    frame["item"][-5:] = ["rare 1", "rare 2", *frame["item"][:3]]
    plain = {"sequence": "basket", "item": "item", "random_state": 0}
    pooled = EmbeddingPretrainer(min_frequency=2, **plain).fit(frame).vectors_["item"]
    assert "rare 1" not in pooled
    assert pooled.unknown.count == 2
    mates = [frame["item"][-1], *frame["item"][:5]]
    near = [name for name, _ in pooled.most_similar(pooled.unknown.vector, topn=10)]
    group = mates[0].split()[1][0]
    assert sum(name.split()[1][0] == group for name in near) >= 8
    single = EmbeddingPretrainer(**plain).fit(baskets).vectors_["item"]
    mean = np.average(single.vectors, axis=0, weights=single.counts)
    np.testing.assert_allclose(single.unknown.vector, mean, rtol=1e-4, atol=1e-6)


def test_an_item_that_met_no_other_has_the_unknown_vector(baskets):
    frame = {name: [*cells, cells[0]] for name, cells in baskets.items()}
    frame["basket"][-1], frame["item"][-1] = 9999, "alone 9"
    column = EmbeddingPretrainer(sequence="basket", item="item", random_state=0).fit(frame)
    column = column.vectors_["item"]
    np.testing.assert_array_equal(column["alone 9"], column.unknown.vector)


CHOSEN = ("shift", "eigenvalue_exponent", "power_iterations")


def test_what_is_not_given_is_chosen_on_sequences_held_out(baskets):
    options = {"sequence": "basket", "item": "item", "random_state": 0, "embedding_dim": 8}
    pretrainer = EmbeddingPretrainer(**options).fit(baskets)
    *tried, counted = pretrainer.history_
    assert {trial["stage"] for trial in tried} == {"choosing"}
    best = max(tried, key=lambda trial: trial["score"])
    assert [counted[name] for name in CHOSEN] == [best[name] for name in CHOSEN]
    given = EmbeddingPretrainer(**options, **{name: counted[name] for name in CHOSEN}).fit(baskets)
    assert given.history_ == [counted]
    np.testing.assert_allclose(
        given.vectors_["item"].vectors, pretrainer.vectors_["item"].vectors, atol=1e-4
    )
    assert {trial["shift"] for trial in EmbeddingPretrainer(**options, shift=2.0).fit(
        baskets).history_} == {2.0}  # fmt: skip


def test_few_sequences_choose_nothing(baskets):
    few = {name: cells[:200] for name, cells in baskets.items()}
    pretrainer = EmbeddingPretrainer(sequence="basket", item="item", random_state=0).fit(few)
    (counted,) = pretrainer.history_
    assert [counted[name] for name in CHOSEN] == [1.0, 0.25, 2]


@pytest.mark.parametrize("method", OPTIONS)
def test_progress_is_told_and_kept(baskets, method):
    told: list[PretrainingProgress] = []
    pretrainer = EmbeddingPretrainer(
        method=method, sequence="basket", item="item", random_state=0, callback=told.append,
        **{**OPTIONS[method], "max_epochs": 2},
    ).fit(baskets)  # fmt: skip
    stages = {"cooccurrence": {"counting", "choosing", "factorizing"}, "skipgram": {"training"}}
    assert {progress.stage for progress in told} == stages[method]
    if method == "skipgram":
        losses = [epoch["held_out_loss"] for epoch in pretrainer.history_]
        assert losses[-1] < losses[0]


def test_saved_and_loaded_is_the_same(baskets, tmp_path):
    pretrainer = EmbeddingPretrainer(sequence="basket", item=["item"], random_state=0).fit(baskets)
    pretrainer.save(tmp_path / "items.catvec")
    loaded = EmbeddingPretrainer.load(tmp_path / "items.catvec")
    assert loaded.get_params() == pretrainer.get_params()
    assert loaded.history_ == pretrainer.history_
    assert loaded.vectors_ == pretrainer.vectors_ == CategoryVectors.load(tmp_path / "items.catvec")
    with pytest.raises(ArtifactError, match="holds an EmbeddingPretrainer, not an"):
        EmbeddingClassifier.load(tmp_path / "items.catvec")
    loaded.vectors_.save(tmp_path / "vectors.catvec")
    with pytest.raises(ArtifactError, match="holds vectors only, no EmbeddingPretrainer"):
        EmbeddingPretrainer.load(tmp_path / "vectors.catvec")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "glove"}, "`method` must be one of 'cooccurrence', 'skipgram', 'table'"),
        ({"window": 0}, "`window` must be an int >= 1, got 0"),
        ({"embedding_dim": "wide"}, '`embedding_dim` must be "auto" or an int >= 1, got'),
        ({"smoothing": 2.0}, r"`smoothing` must be a float in \[-1, 1\], got 2.0"),
        ({"shift": 0.0}, "`shift` must be a float"),
        ({"shift": "most"}, "`shift` must be a float"),
        ({"eigenvalue_exponent": 2.0}, r"`eigenvalue_exponent` must be a float in \[0, 1\]"),
        ({"power_iterations": -1}, "`power_iterations` must be an int >= 0, got -1"),
        ({"item": 3}, "`item` must be a column name or a list of them, got 3"),
        ({"item": None}, "`item` must be the column of the items"),
        ({"order": 3}, "`order` must be a column name, True or None, got 3"),
        ({"method": "table"}, '`sequence` must be None with method="table"'),
        ({"add_contexts": 1}, '`add_contexts` must be True, False or "auto", got 1'),
        ({"engine": "torch"}, "`engine` must be one of"),
        ({"callback": 1}, "`callback` must be callable or None"),
    ],
)
def test_parameters_out_of_range_are_said(baskets, options, message):
    options = {"sequence": "basket", "item": "item", **options}
    with pytest.raises(ParameterError, match=message):
        EmbeddingPretrainer(**options).fit(baskets)


def test_sequences_in_which_nothing_meets_are_said(baskets):
    baskets["basket"] = list(range(2000))
    for method in OPTIONS:
        pretrainer = EmbeddingPretrainer(
            method=method, sequence="basket", item="item", max_epochs=1
        )
        with pytest.raises(InputError, match="no two items meet"):
            pretrainer.fit(baskets)


def test_a_table_of_one_column_is_said():
    with pytest.raises(InputError, match=r"must be two or more; got \['a'\]"):
        EmbeddingPretrainer(method="table").fit({"a": ["x", "y"], "n": [1.0, 2.0]})


def test_contexts_are_added_where_that_finds_more(baskets):
    """Both ways are judged by items held out; what is taken is what `add_contexts` would give."""
    options = {"sequence": "basket", "item": "item", "random_state": 0, "embedding_dim": 8}
    options |= {"method": "skipgram", "validation_fraction": 0.2, **OPTIONS["skipgram"]}
    found = {
        adds: EmbeddingPretrainer(add_contexts=adds, **options).fit(baskets)
        for adds in ("auto", True, False)
    }
    trials = [record for record in found["auto"].history_ if record["stage"] == "choosing"]
    assert [trial["add_contexts"] for trial in trials] == [True, False]
    best = max(trials, key=lambda trial: trial["score"])["add_contexts"]
    assert found["auto"].vectors_ == found[best].vectors_
    assert found[True].vectors_ != found[False].vectors_
    assert {record["stage"] for record in found[True].history_} == {"training"}
