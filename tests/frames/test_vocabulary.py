"""Categories of a column: typed keys, canonical codes, rare and missing ones, and their table."""

import datetime as dt
import pickle
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catvec.errors import CellTypeError, InputError
from catvec.frames import FIRST, MISSING, UNKNOWN, Vocabulary, one_column
from tests.reference import encode_cells


def learn(cells, **parameters):
    return Vocabulary.learn(one_column("a", cells), **parameters)


def encode(vocabulary, cells):
    return vocabulary.encode(one_column("a", cells)).tolist()


# --- laws -------------------------------------------------------------------------------

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**53 + 1, 2**62, -(2**63)]),
    st.sampled_from([0.5, -0.0, 1.0, 2.0]),
    st.text("ab1\n", max_size=2),
    st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 3)),
    st.sampled_from([float("nan"), pd.NaT, dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, 5)]),
)


def no_large_beside_fractions(cells):
    """Arrow has one type for a column's numbers: beside 0.5, 2**53 + 1 is not exact."""
    numbers = [c for c in cells if type(c) in (int, float) and c == c]
    return all(abs(c) <= 2**53 or c == 2**62 for c in numbers) or all(c % 1 == 0 for c in numbers)


trained_and_asked = given(
    st.lists(CELLS, max_size=12).filter(no_large_beside_fractions),
    st.lists(CELLS, max_size=12).filter(no_large_beside_fractions),
    st.integers(1, 3),
)


@trained_and_asked
def test_the_naive_twin_agrees(train, cells, min_frequency):
    vocabulary, codes = learn(train, min_frequency=min_frequency)
    kept, expected = encode_cells(train, train, min_frequency)
    assert codes.tolist() == expected
    assert codes.dtype == np.int32
    assert vocabulary.encode(one_column("a", train)).tolist() == expected
    assert len(vocabulary) == len(vocabulary.categories) == len(kept)
    counts = np.bincount(expected, minlength=len(kept) + 2)
    assert vocabulary.counts.tolist() == counts.tolist()
    _, expected = encode_cells(train, cells, min_frequency)
    assert [vocabulary.code(cell) for cell in cells] == expected
    column = one_column("a", cells)
    if not (vocabulary.keys and set(column.families).isdisjoint(vocabulary.families)):
        assert vocabulary.encode(column).tolist() == expected


@trained_and_asked
def test_compact_vocabularies_answer_alike(train, cells, min_frequency):
    vocabulary, codes = learn(train, min_frequency=min_frequency)
    compact = vocabulary.compact()
    assert compact.nbytes <= vocabulary.nbytes
    assert compact.to_table().equals(vocabulary.to_table())
    assert compact.encode(one_column("a", train)).tolist() == codes.tolist()
    assert [compact.code(cell) for cell in cells] == [vocabulary.code(cell) for cell in cells]
    assert compact.counts.dtype == np.int64
    assert compact.counts.tolist() == vocabulary.counts.tolist()
    assert compact.categories.tolist() == vocabulary.categories.tolist()
    assert compact.categories.dtype == vocabulary.categories.dtype
    again = pickle.loads(pickle.dumps(compact))
    assert again.nbytes <= compact.nbytes + 64  # Arrow pads what it unpickles
    assert again.to_table().equals(vocabulary.to_table())


def test_compact_vocabularies_are_as_narrow_as_they_can():
    vocabulary, _ = learn([*range(200), 7])
    compact = vocabulary.compact()
    assert vocabulary.nbytes == 202 * 8 + 200 * (8 + 4)
    assert compact.nbytes == 202 + 200 + 4 * (8 + 4)  # by gaps: four blocks
    # Numbers beyond the narrow type are not known, whatever they are cut to.
    assert encode(compact, [7, 7 + 2**16, 7 - 2**32, 7.0, 7.5]) == [9, 0, 0, 9, 0]
    assert encode(compact, [7, 2**63 + 7]) == [9, 0]
    few, _ = learn([7, 300])
    assert few.compact().nbytes == 4 + 2 * 2
    assert encode(few.compact(), [300, 300 + 2**16, 7 - 2**16, None]) == [3, 0, 0, 1]
    texts, _ = learn(["a", "bc"])
    assert texts.compact().keys[0].stored.type == pa.string()
    assert texts.compact().nbytes < texts.nbytes - 2 * 4 - 4 * 7


@pytest.mark.parametrize("cells", [[3, 1, 1, 2, None], ["b", 1, True, "a", "a"], [0.5, 2, 2]])
def test_only_some_categories(cells):
    vocabulary, _ = learn(cells)
    kept = np.arange(len(vocabulary)) % 2 == 0
    some = vocabulary.only(kept)
    assert some.categories.tolist() == vocabulary.categories[kept].tolist()
    assert some.counts[FIRST:].tolist() == vocabulary.counts[FIRST:][kept].tolist()
    assert some.n_codes == FIRST + kept.sum()
    known = set(map(repr, some.categories.tolist()))
    assert [some.code(c) >= FIRST for c in cells if c is not None] == [
        repr(c) in known for c in cells if c is not None
    ]


def test_compact_vocabularies_are_looked_up_part_by_part(monkeypatch):
    monkeypatch.setattr("catvec.frames._vocabulary.is_part", lambda *_: True)
    monkeypatch.setattr("catvec.frames._vocabulary.WIDE", 1)
    for values in (list(range(0, 1000, 3)), [f"a{i}" for i in range(300)], [0.5, 1.5, 2.5]):
        vocabulary, _ = learn(values)
        asked = [*values[::7], *values[:3], None]
        assert encode(vocabulary.compact(), asked) == encode(vocabulary, asked)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_and_chunks_changes_no_code(seed):
    rng = np.random.default_rng(seed)
    cells = np.array([f"city {i}" for i in range(40)], dtype=object)[rng.integers(40, size=300)]
    cells[rng.random(300) < 0.1] = None
    vocabulary, codes = learn(cells, min_frequency=4)
    order = rng.permutation(300)
    turned, turned_codes = learn(cells[order], min_frequency=4)
    assert turned.categories.tolist() == vocabulary.categories.tolist()
    assert turned_codes.tolist() == codes[order].tolist()
    cuts = np.sort(rng.integers(300, size=5))
    chunked = pa.chunked_array([pa.array(part, pa.string()) for part in np.split(cells, cuts)])
    for kind in (chunked, chunked.dictionary_encode(), pl.from_arrow(chunked)):
        other, other_codes = learn(kind, min_frequency=4)
        assert other.to_table().equals(vocabulary.to_table())
        assert other_codes.tolist() == codes.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_new_names_in_the_same_order_change_no_code(seed):
    cells = np.random.default_rng(seed).integers(50, size=200)
    codes = [learn(cells)[1].tolist()]
    codes.append(learn(cells * 7 - 100)[1].tolist())
    codes.append(learn((cells * 7 - 100) / 8)[1].tolist())
    codes.append(learn([f"name {cell:03d}" for cell in cells])[1].tolist())
    codes.append(learn(np.datetime64("2020-01-01") + cells)[1].tolist())
    assert all(other == codes[0] for other in codes)


def test_text_is_ordered_by_code_points_as_python_orders_it():
    cells = ["é", "z", "Z", "", "🐈", "\uffff", "e\u0301", "10", "9"]
    assert learn(cells)[0].categories.tolist() == sorted(cells)


# --- keys are typed ---------------------------------------------------------------------


def test_keys_are_typed():
    cells = ["1", 1, True, dt.date(1970, 1, 1), None, 1.0, "", 0, "0", False]
    vocabulary, codes = learn(cells)
    assert vocabulary.families == ("boolean", "number", "date", "text")
    assert codes.tolist() == [9, 5, 3, 6, 1, 5, 7, 4, 8, 2]
    day = dt.datetime(1970, 1, 1)
    assert vocabulary.categories.tolist() == [False, True, 0, 1, day, "", "0", "1"]
    others = [1.0, "1", np.bool_(True), np.int8(0), pd.Timestamp(0)]
    assert encode(vocabulary, others) == [5, 9, 3, 4, 6]


def test_integers_and_floats_with_gaps_agree():
    whole, gapped = np.array([3, 1, 2]), np.array([1.0, np.nan, 3.0, 2.5])
    vocabulary, _ = learn(whole)
    assert encode(vocabulary, gapped) == [2, MISSING, 4, UNKNOWN]
    assert vocabulary.categories.dtype == np.int64
    other, codes = learn(np.array([3.0, np.nan, 1.0, 2.0]))
    assert other.categories.dtype == np.int64
    assert codes.tolist() == [4, MISSING, 2, 3]
    fractions, _ = learn(gapped)
    assert encode(fractions, whole) == [4, 2, UNKNOWN]
    assert fractions.categories.tolist() == [1.0, 2.5, 3.0]


LARGE = [2**53, 2**53 + 1, 2**63 - 1, 2**63 - 2, -(2**63), -1, 0]


def test_large_integers_are_exact():
    vocabulary, codes = learn(LARGE)
    assert vocabulary.categories.tolist() == sorted(LARGE)
    assert encode(vocabulary, np.array(LARGE)) == codes.tolist()
    assert encode(vocabulary, [2**53 - 1]) == [UNKNOWN]
    assert encode(vocabulary, np.array([2**64 - 1], dtype=np.uint64)) == [UNKNOWN]  # not -1
    unsigned = np.array([2**63 - 1, 2**63 - 2, 2**63, 2**53 + 1], dtype=np.uint64)
    assert encode(vocabulary, unsigned) == [8, 7, UNKNOWN, 6]
    assert encode(vocabulary, np.array([2.0**53, 2.0**63, 2.0**62])) == [5, UNKNOWN, UNKNOWN]


def test_unsigned_integers_beyond_int64():
    cells = np.array([2**64 - 1, 2**63, 5], dtype=np.uint64)
    vocabulary, codes = learn(cells)
    assert vocabulary.categories.tolist() == [5, 2**63, 2**64 - 1]
    assert codes.tolist() == [4, 3, 2]
    assert encode(vocabulary, np.array([5, -1])) == [2, UNKNOWN]
    assert encode(vocabulary, np.array([5.0, 2.0**63, 2.0**64, -1.0, 5.5])) == [2, 3, 0, 0, 0]
    fractions, _ = learn([0.5, 2.0**63, 2.0**53])
    assert encode(fractions, cells[1:]) == [4, UNKNOWN]
    assert encode(fractions, np.array([2**63 - 1, 2**53 + 1, 2**53])) == [UNKNOWN, UNKNOWN, 3]


def test_zero_has_one_sign():
    vocabulary, codes = learn([0.0, -0.0, 0.5])
    assert codes.tolist() == [2, 2, 3]
    assert encode(vocabulary, np.array([-0.0, 0.0])) == [2, 2]
    assert vocabulary.code(-0.0) == vocabulary.code(0) == 2


def test_an_empty_text_is_a_category_and_missing_is_not():
    vocabulary, codes = learn(["", None, "nan", "None"])
    assert codes.tolist() == [2, MISSING, 4, 3]
    assert [vocabulary.code(m) for m in (None, np.nan, pd.NA, pd.NaT)] == [MISSING] * 4


@pytest.mark.parametrize(
    ("train", "cells", "message"),
    [
        (["x"], [1, 2], r"held text values when .*, but now holds number values \(1, 2\)"),
        ([1], ["1"], r"held number values .* now holds text values \('1'\)"),
        ([True], [1.0], "held boolean values"),
        ([1, "x"], [True], "held number and text values"),
        (["x"], pd.Series([5]).astype("category"), r"now holds number values \(5\)"),
    ],
)
def test_another_type_than_in_training_is_an_error(train, cells, message):
    vocabulary, _ = learn(train)
    with pytest.raises(InputError, match=f"column 'a' .*{message}"):
        encode(vocabulary, cells)


def test_nothing_to_compare_is_no_error():
    assert encode(learn(["x"])[0], [None, np.nan]) == [MISSING, MISSING]
    assert encode(learn([None])[0], ["x", None]) == [UNKNOWN, MISSING]
    assert encode(learn(["x"])[0], pd.Series([None]).astype("category")) == [MISSING]
    assert encode(learn(["x", 1])[0], [1, 2]) == [2, UNKNOWN]
    assert encode(learn(["x"])[0], []) == []


# --- rare, constant, missing, wide ------------------------------------------------------


def test_rare_categories_share_the_unknown_row_and_are_seen():
    cells = ["b"] * 3 + ["a"] * 2 + ["c", None]
    vocabulary, codes = learn(cells, min_frequency=2)
    assert codes.tolist() == [3, 3, 3, 2, 2, UNKNOWN, MISSING]
    assert vocabulary.counts.tolist() == [1, 1, 2, 3]
    assert encode(vocabulary, ["c", "d", "a"]) == [UNKNOWN, UNKNOWN, 2]
    assert vocabulary.unknown_values(one_column("a", ["c", "e", "d", "a", None, "d"])) == ["d", "e"]
    assert vocabulary.unknown_values(one_column("a", list("ABCDEFGHIJ"))) == list("ABCDEFGHIJ")
    all_rare, codes = learn(cells, min_frequency=10)
    assert len(all_rare) == 0
    assert set(codes) == {UNKNOWN, MISSING}
    assert all_rare.categories.tolist() == []


def test_unused_categories_are_no_categories():
    cells = pd.Series(pd.Categorical(["b", "b", None], categories=["z", "b", "a"]))
    vocabulary, codes = learn(cells)
    assert vocabulary.categories.tolist() == ["b"]
    assert codes.tolist() == [2, 2, MISSING]
    assert vocabulary.to_table()["category"].to_pylist() == [None, None, "b"]
    assert vocabulary.unknown_values(one_column("a", ["a", "b", "z"])) == ["a", "z"]


@pytest.mark.parametrize(
    ("cells", "n_categories"),
    [([], 0), ([None] * 4, 0), (["x"], 1), (["x"] * 9, 1), ([7], 1), (range(1000), 1000)],
)
def test_edges(cells, n_categories):
    vocabulary, codes = learn(cells)
    assert len(vocabulary) == n_categories
    assert vocabulary.n_codes == len(vocabulary.counts) == n_categories + FIRST
    assert codes.shape == (len(cells),)
    assert encode(vocabulary, cells) == codes.tolist()
    assert vocabulary.counts.sum() == len(cells)


def test_a_few_values_are_found_without_hashing_all_keys():
    rng = np.random.default_rng(0)
    for keys in (
        [f"{i:x}" for i in rng.integers(1 << 40, size=5000)],
        rng.integers(-(2**62), 2**62, size=5000),
        rng.normal(size=5000),
        np.arange(5000).astype("M8[h]"),
        rng.integers(2**63, 2**64 - 1, size=5000, dtype=np.uint64),
    ):
        column = one_column("a", keys)
        vocabulary, codes = Vocabulary.learn(column)
        few = rng.integers(5000, size=5)
        assert vocabulary.encode(one_column("a", np.asarray(keys)[few])).tolist() == [*codes[few]]
        assert [vocabulary.code(keys[i]) for i in few] == codes[few].tolist()
    assert vocabulary.code(2**64 - 1) == vocabulary.code(0) == UNKNOWN
    assert encode(vocabulary, [None, 7]) == [MISSING, UNKNOWN]


@pytest.mark.parametrize("value", [[1], (1, 2), {"x": 1}, b"x", 1j])
def test_no_category_has_no_code(value):
    with pytest.raises(CellTypeError, match="'a' holds cells of type"):
        learn(["x"])[0].code(value)


def test_a_vocabulary_is_immutable_and_can_be_pickled():
    vocabulary, _ = learn(["x", 1, None, "y", "y"], min_frequency=2)
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.counts[0] = 5
    again = pickle.loads(pickle.dumps(vocabulary))
    assert again.to_table().equals(vocabulary.to_table())
    with pytest.raises(ValueError, match="read-only"):
        again.counts[0] = 5


# --- as a table -------------------------------------------------------------------------

COLUMNS = {
    "text": ["b", "a", "", None, "b"],
    "integers": [3, 3, -1, None, 2**53 + 1],
    "unsigned": np.array([2**64 - 1, 0, 0], dtype=np.uint64),
    "floats": [0.1, 1e300, 5e-324, 1 / 3, 1 / 3, 1e16],
    "booleans": [True, True, None],
    "dates": [dt.datetime(1, 1, 1), dt.datetime(2020, 1, 1, 1, 2, 3, 4), None],
    "mixed": [1, "1", True, dt.date(2020, 1, 1), 1 / 3, 5e-324, "", "x", "x", 1, 1],
    "large and mixed": [2**64 - 1, "x", 0],
    "missing": [None, None],
    "nothing": [],
}


@pytest.mark.parametrize("min_frequency", [1, 2])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_vocabulary_survives_its_table(name, min_frequency):
    cells = COLUMNS[name]
    vocabulary, codes = learn(cells, min_frequency=min_frequency)
    table = vocabulary.to_table()
    assert table["role"].to_pylist()[:2] == ["unknown", "missing"]
    assert table["category"].to_pylist()[:2] == [None, None]
    assert table["count"].to_pylist()[: vocabulary.n_codes] == vocabulary.counts.tolist()
    again = Vocabulary.from_table("a", table.append_column("more", pa.nulls(len(table))))
    assert again.to_table().equals(table)
    assert again.categories.tolist() == vocabulary.categories.tolist()
    assert again.categories.dtype == vocabulary.categories.dtype
    assert again.families == vocabulary.families
    assert encode(again, cells) == codes.tolist()


def test_other_tools_may_write_the_table_with_their_own_types():
    vocabulary, _ = learn([3, 1, 1, None])
    plain = pa.Table.from_pylist(vocabulary.to_table().to_pylist())  # no dictionaries
    narrow = plain.set_column(0, "category", plain["category"].cast(pa.int16()))
    for table in (plain, narrow, pl.from_arrow(plain).to_arrow()):
        assert Vocabulary.from_table("a", table).to_table().equals(vocabulary.to_table())


def _table(**changes):
    rows = {
        "category": [None, None, "a", "b", "c"],
        "family": ["", "", "text", "text", "text"],
        "role": ["unknown", "missing", "category", "category", "rare"],
        "count": [1, 0, 5, 6, 1],
    }
    return pa.table({**rows, **changes})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (_table(role=["missing", "unknown", "category", "category", "rare"]), "roles in order"),
        (_table(role=["unknown", "missing", "rare", "category", "rare"]), "roles in order"),
        (_table(role=["unknown", "missing", "missing", "category", "rare"]), "roles in order"),
        (_table(role=["unknown", "missing", "category", "category", "other"]), "roles in order"),
        (_table()[:1], "roles in order"),
        (_table()[:0], "roles in order"),
        (_table(category=[None, None, "a", "a", "c"]), "not distinct"),
        (_table(category=[None, None, "a", "b", "a"]), "not distinct"),
        (_table(category=[None, None, "a", None, "c"]), "a category of column 'a' is no text"),
        (_table(category=[None, None, 1, 2, 3]), "a category of column 'a' is no text"),
        (_table(category=[None, None, [1], [2], [3]]), "holds cells of type"),
        (_table(family=["", "", "text", "words", "text"]), "has no family"),
        (_table(family=["text", "", "text", "text", "text"]), "has no family"),
        (_table(family=["", "", "number", "text", "text"]), "cannot be read"),
        (_table(family=[None, None, "text", None, "text"]), "has no family"),
        (_table(count=[1, 0, 5, None, 1]), "a count of column 'a' is missing or negative"),
        (_table(count=[1, 0, 5, -6, 1]), "a count of column 'a' is missing or negative"),
        (_table(count=[1, 0, 5, 0.5, 1]), "cannot be read"),
        (_table(count=list("abcde")), "cannot be read"),
        (_table().drop_columns("role"), "cannot be read"),
    ],
)
def test_a_damaged_table_is_refused(table, message):
    with pytest.raises(InputError, match=message):
        Vocabulary.from_table("a", table)


def test_the_table_that_the_damage_was_done_to_is_sound():
    vocabulary = Vocabulary.from_table("a", _table())
    assert vocabulary.categories.tolist() == ["a", "b"]
    assert encode(vocabulary, ["b", "c", "d", None]) == [3, UNKNOWN, UNKNOWN, MISSING]
    assert vocabulary.unknown_values(one_column("a", ["c", "d"])) == ["d"]


# --- many -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n",
    [
        200_000,
        pytest.param(
            10_000_000, marks=pytest.mark.slow(reason="a minute; the same with 200,000 always runs")
        ),
    ],
)
@pytest.mark.parametrize("kind", ["text", "numbers"])
def test_many_categories(n, kind):
    cells = pa.array(np.random.default_rng(0).permutation(n))
    column = one_column("a", cells.cast(pa.string()) if kind == "text" else cells)
    allocated, start = pa.total_allocated_bytes(), time.process_time()
    vocabulary, codes = Vocabulary.learn(column)
    assert len(vocabulary) == n
    assert np.bincount(codes, minlength=n + 2)[2:].tolist() == [1] * n
    assert vocabulary.encode(column).tolist() == codes.tolist()
    # Of the order of a second for a million, and little more than keys and codes are kept.
    assert time.process_time() - start < 1 + 5e-6 * n
    assert pa.total_allocated_bytes() - allocated < 40 * n + 1e6
    start = time.process_time()
    assert vocabulary.code("7" if kind == "text" else 7) >= FIRST
    assert time.process_time() - start < 0.1
