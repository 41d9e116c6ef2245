"""Vectors made of others: what is appended, merged, dropped and renamed, and what stays."""

import datetime

import numpy as np
import pytest

from catvec.effects import Evidence, Statistics, effects_of
from catvec.errors import CategoryError, CatvecWarning, InputError, ParameterError
from catvec.frames import HashedVocabulary, Pair, Vocabulary, one_column
from catvec.vectors import CategoryVectors, ColumnVectors
from tests.vectors.examples import make_column, make_paired, make_vectors, small_paired


def column_of(values, seed=0, name="x", **parameters):
    return make_column(name, values, seed=seed, **parameters)


def alone(values, **parameters):
    return CategoryVectors([column_of(values, **parameters)])


def row(vectors, name, category):
    column = vectors[name]
    code = column.vocabulary.code(category)
    return [array[code].tolist() for array in column.by_code()]


def same_rows(one, other, name, categories):
    for category in categories:
        assert row(one, name, category) == row(other, name, category)


# --- append -----------------------------------------------------------------------------


def test_appended_categories_have_the_next_codes_and_old_ones_stay():
    old = make_paired()
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    new = old.append(
        "city", ["Zug", "Bern"], vectors, effects=[1, 2], confidences=[0.5, 0.25], counts=[3, 4]
    )
    city = new["city"]
    assert city.categories.tolist() == [*old["city"].categories.tolist(), "Bern", "Zug"]
    assert city["Zug"].tolist() == [0, 1, 2]
    assert (city.effect("Bern"), city.confidence("Bern"), city.counts[-2]) == (2, 0.25, 4)
    same_rows(old, new, "city", [None, "?", *old["city"]])
    assert all(new[name] == old[name] for name in old if name != "city")
    assert "Zug" not in old["city"]
    # The pair of Store and city goes on; what it does not know answers as others do.
    before, after = old.pairs["Store*city"], new.pairs["Store*city"]
    assert list(after) == list(before)
    assert all(vars(after[key]) == vars(before[key]) for key in before)
    assert (1, "Zug") not in after


def test_appended_categories_stand_at_the_unknown_unless_given_a_vector():
    old = alone(["a", "b"])
    new = old.append("x", ["c"])["x"]
    assert new["c"].tolist() == old["x"].unknown.vector.tolist()
    assert (new.effect("c"), new.confidence("c")) == (0, 0)


def test_a_rare_value_can_be_appended():
    old = alone(list("aab"), min_frequency=2)
    new = old.append("x", ["b"], counts=[4])["x"].vocabulary
    assert new.counts.tolist() == [0, 0, 2, 5]
    assert new.n_lines == new.n_codes


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"column": "y", "categories": ["c"]}, CategoryError, "no column 'y'"),
        ({"categories": ["c", "a"]}, ParameterError, r"new to column 'x' .* got \['a'\]"),
        ({"categories": ["c", None]}, ParameterError, "distinct values, none missing"),
        ({"categories": ["c", "c"]}, ParameterError, "distinct values, none missing"),
        ({"categories": ["c"], "vectors": [[1, 2]]}, ParameterError, r"of the shape \(1, 3\)"),
        ({"categories": ["c"], "counts": [-1]}, ParameterError, "1 ints of at least 0"),
        ({"categories": ["c"], "confidences": [2]}, ParameterError, r"in \[0, 1\]"),
        ({"categories": [1.5]}, InputError, "text values here and number values there"),
        ({"categories": "cd"}, ParameterError, r"a list of categories, as \['cd'\], got 'cd'"),
        ({"categories": 5}, ParameterError, r"a list of categories, as \[5\], got 5"),
        ({"categories": None}, ParameterError, r"a list of categories, as \[None\], got None"),
        (
            {"categories": ["c"], "vectors": [["a"] * 3]},
            ParameterError,
            "must be numbers of the",
        ),
        ({"categories": ["c"], "effects": {}}, ParameterError, "`effects` must be numbers"),
        ({"categories": ["c"], "vectors": [[1e300] * 3]}, ParameterError, "`vectors` must be fin"),
        ({"categories": ["c"], "effects": [np.nan]}, ParameterError, "`effects` must be finite"),
    ],
)
def test_what_cannot_be_appended(parameters, error, message):
    with pytest.raises(error, match=message):
        alone(["a", "b"]).append(**{"column": "x", **parameters})


def test_categories_may_come_one_after_the_other():
    old = alone(["a", "b"])
    new = old.append("x", (category for category in "dc"))
    assert list(new["x"]) == [*"abcd"]
    assert new.drop(categories={"x": iter("cd")}) == old


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v.drop(5), "`columns` must be a name or a list of names, got 5"),
        (lambda v: v.drop(categories=["a"]), "`categories` must be a mapping"),
        (lambda v: v.drop(categories={"x": 5}), r"a list of categories, as \[5\]"),
        (lambda v: v.rename("x"), "`columns` must be a mapping, got 'x'"),
        (lambda v: v.rename(categories={"x": "a"}), "`categories` must be a mapping, got 'a'"),
        (
            lambda v: v.rename(categories={"x": {None: "m"}}),
            "known ones; missing values have no name, got {None: 'm'}",
        ),
    ],
)
def test_what_is_no_edit_is_said(edit, message):
    with pytest.raises(ParameterError, match=message):
        edit(alone(["a", None]))


def test_a_text_is_no_list_of_categories_to_drop():
    with pytest.raises(ParameterError, match=r"a list of categories, as \['ab'\]"):
        alone(["a", "b"]).drop(categories={"x": "ab"})


# --- merge ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_two_halves_of_one_prior_and_mean_merge_to_the_whole(seed):
    """The rule of evidence is exact where it promises to be."""
    rng = np.random.default_rng(seed)
    n, effect, kappa = rng.integers(1, 50, (2, 6)), rng.normal(size=(2, 6)), 4.0

    def side(weight, mean):
        confidence = weight / (weight + kappa)
        vocabulary, _ = Vocabulary.learn(one_column("x", list("abcdef")))
        rows = np.r_[0, 0, confidence]
        return CategoryVectors(
            [ColumnVectors(vocabulary, np.zeros((8, 0)), rows * np.r_[0, 0, mean], rows)]
        )

    merged = side(n[0], effect[0]).merge(side(n[1], effect[1]))["x"]
    total = n.sum(axis=0)
    whole = side(total, (n * effect).sum(axis=0) / total)["x"]
    np.testing.assert_allclose(merged.effects, whole.effects, rtol=1e-5)
    np.testing.assert_allclose(merged.confidences, whole.confidences, rtol=1e-5)
    assert merged.counts.tolist() == [2] * 6


@pytest.mark.parametrize("seed", range(3))
def test_effects_of_two_halves_merge_to_nearly_those_of_all_rows(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(2, 12, (4000, 1)).astype(np.int32)
    values = rng.normal(size=12)[codes[:, 0]] + rng.normal(size=4000)
    vocabulary, _ = Vocabulary.learn(one_column("x", codes[:, 0]))

    def learned(rows):
        evidence = Evidence(codes[rows], (12,), values[rows], "regression", 1, np.ones(len(rows)))
        (effect,) = effects_of(Statistics.of(evidence), "regression")
        vectors = np.zeros((12, 0))
        column = ColumnVectors(vocabulary, vectors, effect.effects[:, 0], effect.confidences)
        return CategoryVectors([column])

    rows = np.arange(4000)
    merged = learned(rows[:2000]).merge(learned(rows[2000:]))["x"]
    np.testing.assert_allclose(merged.effects, learned(rows)["x"].effects, atol=0.05)
    np.testing.assert_allclose(merged.confidences, learned(rows)["x"].confidences, atol=0.01)


def turned(column, rng):
    """The same vectors in another basis, shifted."""
    vectors, effects, confidences = column.by_code()
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return ColumnVectors(column.vocabulary, vectors @ turn + 1, effects, confidences)


@pytest.mark.parametrize("seed", range(5))
def test_a_turned_copy_merges_to_the_same_vectors(seed):
    column = column_of(list("abcdefgh"), seed=seed)
    other = CategoryVectors([turned(column, np.random.default_rng(seed))])
    merged = CategoryVectors([column]).merge(other)["x"]
    np.testing.assert_allclose(merged.by_code()[0], column.by_code()[0], atol=1e-5)
    assert merged.counts.tolist() == [2] * 8


def test_what_only_one_side_knows_is_kept_and_codes_of_the_left_stay():
    left = alone([*"bbbd", None])
    right = CategoryVectors([column_of(list("abbbc"), seed=1), column_of([1], name="y")])
    merged = left.merge(right)
    assert merged.columns == ("x", "y")
    x = merged["x"]
    assert x.categories.tolist() == ["b", "d", "a", "c"]
    assert x.vocabulary.counts.tolist() == [0, 1, 6, 1, 1, 1]
    same_rows(merged, left, "x", ["d", None])
    assert merged["y"] == right["y"]
    np.testing.assert_allclose(x.confidence("a"), right["x"].confidence("a"), rtol=1e-5)
    np.testing.assert_allclose(x.effect("a"), right["x"].effect("a"), rtol=1e-5)


def test_vectors_that_both_know_are_weighted_by_counts():
    one = column_of(list("aaab"))
    vectors, *rest = one.by_code()
    vocabulary, _ = Vocabulary.learn(one_column("x", list("abbb")))
    other = ColumnVectors(vocabulary, vectors + 1.0, *rest)  # a shift is turned back
    merged = CategoryVectors([one]).merge(CategoryVectors([other]))["x"]
    np.testing.assert_allclose(merged.by_code()[0], vectors, atol=1e-5)
    stretched = ColumnVectors(vocabulary, vectors * 2, *rest)
    merged = CategoryVectors([one]).merge(CategoryVectors([stretched]))["x"]
    spread = [np.linalg.norm(v["a"] - v["b"]) for v in (one, merged, stretched)]
    assert spread[0] < spread[1] < spread[2]


def test_pairs_of_both_sides_are_combined_and_others_are_kept():
    one, other = small_paired(0), small_paired(1).append("city", ["Bern"])
    (name,) = one.pairs
    merged = one.merge(other).pairs[name]
    assert set(merged) == {*one.pairs[name], *other.pairs[name]}
    for key in merged:
        sides = [v.pairs[name] for v in (one, other)]
        assert merged[key].count == sum(side[key].count for side in sides if key in side)
        certain = [side[key].confidence for side in sides if key in side]
        assert merged[key].confidence >= max(certain) - 1e-5
    columns_only = CategoryVectors([one[column] for column in one])
    kept = columns_only.merge(other).pairs[name]
    assert set(kept) == set(other.pairs[name])
    assert all(vars(kept[key]) == vars(other.pairs[name][key]) for key in kept)


def test_merging_with_nothing_changes_nothing():
    old, nothing = make_paired(), CategoryVectors([])
    assert old.merge(nothing) == old
    assert [nothing.merge(old)[name] for name in old] == [old[name] for name in old]


def test_several_classes_merge():
    old = make_paired(n_classes=3)
    merged = old.merge(old)
    for name in old:
        before, after = old[name], merged[name]
        assert after.effects.shape == before.effects.shape
        assert (after.confidences >= before.confidences - 1e-6).all()


def test_what_cannot_be_merged():
    with pytest.raises(ParameterError, match="vectors of the same width: those of column 'x'"):
        alone(["a"]).merge(alone(["a"], dim=2))
    with pytest.raises(ParameterError, match="effects for the same classes"):
        alone(["a"]).merge(alone(["a"], n_classes=3))
    with pytest.raises(ParameterError, match="`other` must be a CategoryVectors"):
        alone(["a"]).merge("x")
    with pytest.warns(CatvecWarning, match="share no category of column 'x'"):
        alone(["a"]).merge(alone(["b"]))


# --- drop -------------------------------------------------------------------------------


def test_dropped_columns_take_their_pairs_with_them():
    old = make_paired()
    new = old.drop(["city", "price*day"])
    assert new.columns == tuple(name for name in old if name != "city")
    assert "Store*city" not in new.pairs
    assert "price*day" not in new.pairs
    assert len(new.pairs) == len(old.pairs) - 2
    assert old.drop("city").columns == new.columns


def test_dropped_categories_are_unknown():
    old = make_paired()
    new = old.drop(categories={"city": ["Graz", "a\tb"], "Store": [2]})
    kept = [c for c in old["city"] if c not in ("Graz", "a\tb")]
    assert list(new["city"]) == kept
    same_rows(old, new, "city", [None, "?", *kept])
    assert row(new, "city", "Graz") == row(new, "city", "never seen")
    before, after = old.pairs["Store*city"], new.pairs["Store*city"]
    left = [(s, c) for s, c in before if s != 2 and c not in ("Graz", "a\tb")]
    assert list(after) == left
    assert all(vars(after[key]) == vars(before[key]) for key in left)


def test_dropping_what_was_appended_gives_the_old_ones_back():
    old = make_paired()
    assert old.append("city", ["Zug", "Bern"]).drop(categories={"city": ["Zug", "Bern"]}) == old


def test_what_cannot_be_dropped():
    with pytest.raises(CategoryError, match="no column 'y'; the columns are 'x'"):
        alone(["a"]).drop("y")
    with pytest.raises(CategoryError, match="does not know the category 'b'"):
        alone(["a"]).drop(categories={"x": ["b"]})
    with pytest.raises(ParameterError, match="missing values stay"):
        alone(["a", None]).drop(categories={"x": [None]})


# --- rename -----------------------------------------------------------------------------


def test_renaming_changes_names_only():
    old = make_paired()
    new = old.rename({"city": "town"}, categories={"city": {"Graz": "Linz", "": "Graz"}})
    town = new["town"]
    assert town["Linz"].tolist() == old["city"]["Graz"].tolist()
    assert town["Graz"].tolist() == old["city"][""].tolist()
    for mine, yours in zip(town.by_code(), old["city"].by_code(), strict=True):
        np.testing.assert_array_equal(mine, yours)
    pair = new.pairs["Store*town"]
    for store, city in old.pairs["Store*city"]:
        name = {"Graz": "Linz", "": "Graz"}.get(city, city)
        assert vars(pair[store, name]) == vars(old.pairs["Store*city"][store, city])
    back = new.rename({"town": "city"}, categories={"town": {"Linz": "Graz", "Graz": ""}})
    assert back == old


def test_what_cannot_be_renamed():
    with pytest.raises(CategoryError, match="no column 'y'"):
        alone(["a"]).rename({"y": "z"})
    with pytest.raises(CategoryError, match="does not know the category 'b'"):
        alone(["a"]).rename(categories={"x": {"b": "c"}})
    with pytest.raises(InputError, match="would know 'b' twice"):
        alone(["a", "b"]).rename(categories={"x": {"a": "b"}})
    both = CategoryVectors([column_of(["a"]), column_of(["a"], name="y")])
    with pytest.raises(ParameterError, match="distinct names, got twice: 'y'"):
        both.rename({"x": "y"})


def test_a_hashed_column_has_no_categories_to_edit():
    vocabulary, _ = HashedVocabulary.learn_hashed(one_column("x", list("abc")), n_buckets=5)
    n = vocabulary.n_codes
    column = ColumnVectors(vocabulary, np.ones((n, 2)), np.ones(n), np.zeros(n))
    hashed = CategoryVectors([column, column_of([1], name="y")])
    for edit in (
        lambda: hashed.append("x", ["d"]),
        lambda: hashed.merge(hashed),
        lambda: hashed.drop(categories={"x": ["a"]}),
        lambda: hashed.rename(categories={"x": {"a": "b"}}),
    ):
        with pytest.raises(InputError, match="column 'x' is hashed: its buckets have no cat"):
            edit()
    renamed = hashed.rename({"x": "z"}).drop("y")
    assert renamed.columns == ("z",)
    assert renamed["z"]["a"].tolist() == hashed["x"]["a"].tolist()


# --- all of them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        lambda v: v.append("Store", [5, -1]).append("mixed", ["z", False, 0]),
        lambda v: v.merge(make_vectors(seed=1).append("time", [datetime.date(2024, 1, 1)])),
        lambda v: v.drop("open", categories={"mixed": [True, "1"]}),
        lambda v: v.rename({"": "named"}, categories={"mixed": {"1": 5, True: "yes"}}),
    ],
)
def test_what_was_edited_survives_being_saved(edit, tmp_path):
    edited = edit(make_paired())
    edited.save(tmp_path / "x.catvec")
    loaded = CategoryVectors.load(tmp_path / "x.catvec")
    assert loaded == edited
    assert isinstance(loaded.pairs["Store*city"].pair, Pair)


def test_the_name_of_a_column_that_a_pair_joins_to_it():
    paired = small_paired()
    (pair,) = paired.pairs.values()
    first, second = pair.columns
    with pytest.raises(ParameterError, match="`columns` must have distinct names, got twice"):
        paired.rename({first: second})
