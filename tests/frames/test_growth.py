"""Vocabularies that grow, join, shrink and change names: old codes stay, counts are exact."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catvec.errors import InputError
from catvec.frames import FIRST, Vocabulary, extend, grow, join, one_column, rename, without
from tests.frames.test_vocabulary import CELLS, no_large_beside_fractions
from tests.reference import encode_cells, key_of


def learn(cells, **parameters):
    return Vocabulary.learn(one_column("a", cells), **parameters)[0]


def counts_by_key(vocabulary):
    """Counts of everything seen, by key; None for missing, "unknown" for the pooled rows."""
    table = vocabulary.to_table().to_pylist()
    mixed = len(vocabulary.keys) > 1
    shown = [
        (row["family"], row["category"] if not mixed else str(row["category"])) for row in table
    ]
    return dict(zip(shown[2:], [(row["role"], row["count"]) for row in table[2:]], strict=True)), [
        row["count"] for row in table[:2]
    ]


def same_families(*parts):
    families = [set(one_column("a", part).families) for part in parts]
    return not all(families) or bool(families[0] & families[1])


GROUPS = st.lists(CELLS, max_size=12).filter(no_large_beside_fractions)


@given(GROUPS, GROUPS, st.integers(1, 3))
def test_growing_counts_as_learning_all_rows(first, second, min_frequency):
    if not (same_families(first, second) and no_large_beside_fractions(first + second)):
        return
    old = learn(first, min_frequency=min_frequency)
    grown = grow(old, one_column("a", second), min_frequency=min_frequency).vocabulary
    whole = learn(first + second, min_frequency=min_frequency)
    assert counts_by_key(grown) == counts_by_key(whole)
    # Old codes stay; the new ones are in canonical order.
    kept, _ = encode_cells(first, first, min_frequency)
    for cell in first:
        assert key_of(cell) not in kept or grown.code(cell) == old.code(cell)
    added, _ = encode_cells(first + second, [], min_frequency)
    new = [key for key in added if key not in kept]
    of_new = {key_of(cell): grown.code(cell) for cell in first + second if key_of(cell) in new}
    assert [of_new[key] for key in new] == list(range(old.n_codes, grown.n_codes))
    assert [key_of(c) for c in grown.categories.tolist()] == kept + new


@given(GROUPS, GROUPS, st.integers(1, 3))
def test_lines_tell_rare_values_apart_and_move_with_growth(first, second, min_frequency):
    if not (same_families(first, second) and no_large_beside_fractions(first + second)):
        return
    old = learn(first, min_frequency=min_frequency)
    column = one_column("a", first)
    lines, codes = old.lines(column), old.encode(column)
    assert np.where(lines < old.n_codes, lines, 0).tolist() == codes.tolist()
    counts = np.asarray(old.to_table()["count"])
    seen = np.bincount(lines, minlength=old.n_lines)
    assert seen[1:].tolist() == counts[1:].tolist()
    growth = grow(old, one_column("a", second), min_frequency=min_frequency)
    assert growth.moved[lines].tolist() == growth.vocabulary.lines(column).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_within_a_growth_changes_no_code(seed):
    rng = np.random.default_rng(seed)
    old = learn([f"city {i}" for i in rng.integers(40, size=50)])
    cells = np.array([f"city {i}" for i in rng.integers(80, size=300)], dtype=object)
    one, other = (
        grow(old, one_column("a", part)).vocabulary for part in (cells, rng.permutation(cells))
    )
    assert one.to_table().equals(other.to_table())


def test_a_grown_vocabulary_survives_its_table():
    grown = grow(learn(["b", "d"]), one_column("a", ["a", "c", 3, None])).vocabulary
    back = Vocabulary.from_table("a", grown.to_table())
    assert back.to_table().equals(grown.to_table())
    assert back.categories.tolist() == ["b", "d", 3, "a", "c"]
    assert [back.code(v) for v in ("b", "d", 3, "a", "c", None)] == [2, 3, 4, 5, 6, 1]


def test_few_values_into_many_are_found_as_all_are():
    old = learn([f"{i:05d}" for i in range(2000)])
    growth = grow(old, one_column("a", ["00007", "x", None]))
    assert growth.vocabulary.n_codes == old.n_codes + 1
    assert growth.vocabulary.code("x") == old.n_codes
    assert growth.vocabulary.counts[[1, 9]].tolist() == [1, 2]


def test_whole_numbers_meet_fractions():
    grown = grow(learn([1, 2, 1]), one_column("a", [2.5, 1.0])).vocabulary
    assert grown.categories.tolist() == [1.0, 2.0, 2.5]
    assert grown.counts.tolist() == [0, 0, 3, 1, 1]


def test_numbers_without_a_common_type_are_an_error():
    with pytest.raises(InputError, match=r"column 'a' .* no common type"):
        grow(learn([2**53 + 1]), one_column("a", [0.5]))
    with pytest.raises(InputError, match="now holds text values"):
        grow(learn([1, 2]), one_column("a", ["x"]))


def test_what_was_only_missing_may_become_anything():
    grown = grow(learn([None, None]), one_column("a", ["x"])).vocabulary
    assert grown.counts.tolist() == [0, 2, 1]


@given(GROUPS, GROUPS)
def test_joining_is_growing_by_what_the_other_knows(first, second):
    if not (same_families(first, second) and no_large_beside_fractions(first + second)):
        return
    one, other = learn(first), learn(second)
    of_one, of_other = join(one, other)
    grown = grow(one, one_column("a", second)).vocabulary
    assert of_one.vocabulary.to_table().equals(grown.to_table())
    for old, moved, cells in ((one, of_one.moved, first), (other, of_other.moved, second)):
        for cell in cells:
            assert moved[old.code(cell)] == grown.code(cell)


def test_what_is_rare_on_one_side_and_known_on_the_other_is_known():
    one = learn(list("aaab"), min_frequency=2)
    other = learn(list("bbbac"), min_frequency=2)
    joined = join(one, other)[0].vocabulary
    assert joined.categories.tolist() == ["a", "b"]
    assert joined.counts.tolist() == [1, 0, 4, 4]
    assert [rare.tolist() for rare in joined.rare_counts] == [[1]]
    with pytest.raises(InputError, match="number values here and text values there"):
        join(learn([1]), learn(["x"]))


def test_what_is_dropped_was_never_there():
    old = learn(["a", "b", "c", 1, None, "d"], min_frequency=1)
    growth = without(old, [old.code("b"), old.code(1)])
    cut = growth.vocabulary
    assert cut.categories.tolist() == ["a", "c", "d"]
    assert [cut.code(v) for v in ("b", 1, "c", None)] == [0, 0, 3, 1]
    assert [growth.moved[old.code(v)] for v in ("a", "b", "d", None)] == [2, 0, 4, 1]


def test_renaming_keeps_codes_and_counts():
    old = learn(["a", "b", "b", dt.date(2020, 1, 1), None])
    new = rename(old, "z", {"a": "c", "b": "a", dt.date(2020, 1, 1): 5})
    assert new.name == "z"
    assert new.code("b") == 0
    assert new.code("c") == old.code("a")
    assert new.code("a") == old.code("b")
    assert new.code(5) == old.code(dt.date(2020, 1, 1))
    assert new.counts.tolist() == old.counts.tolist()
    assert Vocabulary.from_table("z", new.to_table()).to_table().equals(new.to_table())
    with pytest.raises(InputError, match="would know 'b' twice"):
        rename(old, None, {"a": "b"})
    with pytest.raises(InputError, match="cannot be renamed to a missing value"):
        rename(old, None, {"a": None})
    rare = rename(learn(list("aab"), min_frequency=2), None, {"a": "x"})
    assert rare.categories.tolist() == ["x"]
    assert rare.rare_counts[0].tolist() == [1]
    assert rare.n_lines == rare.n_codes + 1
    assert rare.n_codes == FIRST + 1


# --- categories known beforehand --------------------------------------------------------


@given(GROUPS, GROUPS, st.integers(1, 3))
def test_extending_knows_what_the_other_knows_and_counts_nothing(cells, others, min_frequency):
    if not same_families(cells, others) or not no_large_beside_fractions(cells + others):
        return
    vocabulary, known = learn(cells, min_frequency=min_frequency), learn(others)
    extended = extend(vocabulary, known)
    joined = extended.vocabulary
    keys = {key_of(cell) for cell in cells + others if key_of(cell) is not None}
    frequent, codes = encode_cells(cells, cells + others, min_frequency)
    kept = {*frequent, *(key_of(cell) for cell in others)} - {None}
    column = one_column("a", cells + others)
    if keys:
        now = joined.encode(column)
        assert [c >= FIRST for c in now] == [key_of(c) in kept for c in cells + others]
        was_known = np.array(codes) >= FIRST
        np.testing.assert_array_equal(now[was_known], np.array(codes)[was_known])  # old codes stay
    assert len(joined) == len(kept)
    assert joined.counts.sum() == len(cells)
    np.testing.assert_array_equal(extend(joined, known).moved, extended.moved)
    for category in known.categories.tolist():
        assert extended.moved[known.code(category)] == joined.code(category) >= FIRST
    assert Vocabulary.from_table("a", joined.to_table()).to_table().equals(joined.to_table())


def test_extending_with_another_family_is_refused():
    with pytest.raises(InputError, match="'a' holds number values here and text values there"):
        extend(learn([1, 2]), learn(["1", "2"]))
