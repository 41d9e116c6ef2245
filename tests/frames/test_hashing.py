"""Hashed vocabularies: the interface of a vocabulary without a dictionary."""

import pickle

import numpy as np
import pytest
from sklearn.utils import murmurhash3_32

from catvec.errors import CategoryError, InputError, ParameterError
from catvec.frames import (
    FIRST,
    MISSING,
    HashedVocabulary,
    Schema,
    grow,
    join,
    one_column,
    open_frame,
    read_specs,
    rename,
    without,
)

VALUES = ["a", "b", "a", None, "c", "a", "b", "d"]


def learned(values=VALUES, **sizes):
    sizes = {"n_buckets": 16, **sizes}
    return HashedVocabulary.learn_hashed(one_column("u", values), **sizes)


def test_codes_are_buckets_after_the_reserved_rows():
    vocabulary, codes = learned()
    expected = [
        MISSING if v is None else FIRST + murmurhash3_32(v, seed=0, positive=True) % 16
        for v in VALUES
    ]
    assert codes.tolist() == expected
    assert vocabulary.n_codes == FIRST + 16
    assert len(vocabulary) == 0
    np.testing.assert_array_equal(vocabulary.counts, np.bincount(expected, minlength=18))


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(1, 4096), (4096, 4096), (4097, 8192), (300_000, 262_144)]
)
def test_buckets_follow_the_rows_if_nobody_says_how_many(n_rows, expected):
    vocabulary, codes = learned(np.arange(n_rows), n_buckets=None)
    assert vocabulary.n_buckets == expected
    assert codes.max() < FIRST + expected


def test_every_value_has_buckets_and_missing_has_its_row():
    vocabulary, _ = learned(n_hashes=3)
    new = one_column("u", ["never seen", None])
    codes = vocabulary.all_codes(new)
    assert codes.shape == (2, 4)
    assert (codes[0] >= FIRST).all()
    assert (codes[1] == MISSING).all()
    assert vocabulary.unknown_values(new) == []
    assert vocabulary.code(None) == MISSING
    np.testing.assert_array_equal(vocabulary.encode(new), codes[:, 0])


def test_kinds_of_frames_agree(as_frame):
    frame = open_frame(as_frame({"u": VALUES, "n": [1, 2, 1, None, 3, 1, 2, 2]}))
    plain = open_frame({"u": VALUES, "n": [1, 2, 1, None, 3, 1, 2, 2]})
    for name in ("u", "n"):
        vocabulary, codes = HashedVocabulary.learn_hashed(plain.column(name), n_buckets=50)
        np.testing.assert_array_equal(vocabulary.encode(frame.column(name)), codes)


def test_most_frequent_values_are_told_apart():
    vocabulary, codes = learned(n_exact=2, n_hashes=2)
    assert vocabulary.categories.tolist() == ["a", "b"]
    assert len(vocabulary) == 2
    assert (codes[0] == FIRST).all()
    assert (codes[1] == FIRST + 1).all()
    assert (codes[4] >= FIRST + 2).all()
    assert vocabulary.counts[FIRST : FIRST + 2].tolist() == [3, 2]
    more, _ = learned(n_exact=100)
    assert more.categories.tolist() == ["a", "b", "c", "d"]


def test_order_of_rows_changes_nothing():
    one, _ = learned(n_exact=2)
    other, _ = learned(VALUES[::-1], n_exact=2)
    assert one.to_table().equals(other.to_table())


def test_categories_are_an_error_that_explains_itself():
    vocabulary, _ = learned()
    with pytest.raises(CategoryError, match=r"'u' is hashed into 16 buckets .*n_exact"):
        _ = vocabulary.categories


def test_another_family_is_refused():
    vocabulary, _ = learned()
    with pytest.raises(InputError, match=r"'u' held text values .* now holds number"):
        vocabulary.encode(one_column("u", [1, 2]))


@pytest.mark.parametrize("sizes", [{}, {"n_exact": 2}, {"n_hashes": 2}, {"n_exact": 9}])
def test_written_and_read(sizes):
    vocabulary, codes = learned(**sizes)
    again = HashedVocabulary.from_hashed_table(
        "u", vocabulary.to_table(), 16, vocabulary.n_hashes, vocabulary.families
    )
    for other in (again, pickle.loads(pickle.dumps(vocabulary))):
        np.testing.assert_array_equal(other.all_codes(one_column("u", VALUES)), codes)
        assert other.to_table().equals(vocabulary.to_table())


def test_a_table_without_its_buckets_is_refused():
    table = learned()[0].to_table()
    with pytest.raises(InputError, match="do not end in 17 buckets"):
        HashedVocabulary.from_hashed_table("u", table, 17, 1, ("text",))


def test_growing_counts_rows_and_moves_no_code():
    vocabulary, _ = learned(n_hashes=2)
    new = one_column("u", ["e", "f", None])
    grown = grow(vocabulary, new)
    assert grown.moved.tolist() == list(range(18))
    np.testing.assert_array_equal(grown.vocabulary.all_codes(new), vocabulary.all_codes(new))
    assert grown.vocabulary.counts.sum() == vocabulary.counts.sum() + 3
    assert rename(vocabulary, "v").name == "v"


def test_growing_tells_the_family_of_a_column_that_was_empty_so_far():
    empty, _ = learned([None, None])
    grown = grow(empty, one_column("u", ["a"])).vocabulary
    assert empty.families == ()
    assert grown.families == ("text",)
    with pytest.raises(InputError, match=r"'u' held text values .* now holds number"):
        grow(grown, one_column("u", [1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: join(v, v),
        lambda v: without(v, [2]),
        lambda v: rename(v, categories={"a": "b"}),
    ],
)
def test_buckets_are_not_edited(change):
    with pytest.raises(InputError, match="column 'u' is hashed: its buckets have no categories"):
        change(learned()[0])


# --- what is asked of tables ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "hash"}, "must be one of 'full', 'hashed', 'compositional', 'list', got 'hash'"),
        (
            {"kind": "hashed", "n_buckets": 0},
            r"tables\['u'\]\['n_buckets'\]` must be an int in \[1, 1000000000\]",
        ),
        ({"kind": "hashed", "n_buckets": 10**12}, r"must be an int in .*got 1000000000000"),
        ({"kind": "full", "n_buckets": 3}, "of kind 'full' with nothing beside it"),
        ({"kind": "compositional", "combine": "mean"}, "must be one of 'sum', 'product'"),
        ({"share": "v", "kind": "hashed"}, 'with "kind", or with "share"'),
        ({"share": 3}, "the name of a column"),
        ("hashed", "a mapping"),
    ],
)
def test_wrong_tables_are_refused(entry, message):
    with pytest.raises(ParameterError, match=message):
        read_specs({"u": entry})


def test_tables_of_strange_columns_are_refused():
    frame = open_frame({"u": ["a", "b"], "v": ["a", "c"]})
    with pytest.raises(InputError, match="`tables` names 'w'"):
        Schema.learn(frame, specs=read_specs({"w": {"kind": "full"}}))
    with pytest.raises(InputError, match="'u' cannot share the table of 'v'"):
        Schema.learn(frame, specs=read_specs({"u": {"share": "v"}, "v": {"share": "u"}}))


def test_columns_that_share_have_one_vocabulary(as_frame):
    columns = {"home": ["a", "b", None, "a"], "away": ["b", "c", "d", "e"], "n": [1, 2, 3, None]}
    schema, arrays = Schema.learn(
        open_frame(as_frame(columns)),
        columns=["home", "away"],
        specs=read_specs({"home": {"share": "away"}}),
    )
    home, away = schema.vocabularies
    assert (home.name, away.name) == ("home", "away")
    assert home.categories.tolist() == away.categories.tolist() == ["a", "b", "c", "d", "e"]
    assert home.counts.tolist() == [0, 1, 2, 1, 0, 0, 0]
    assert away.counts.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert arrays.codes.tolist() == [[2, 3], [3, 4], [1, 5], [2, 6]]
    again = schema.read(open_frame(as_frame(columns)))
    np.testing.assert_array_equal(again.codes, arrays.codes)


def test_integers_and_floats_that_share():
    frame = open_frame({"a": np.array([1, 2, 3]), "b": np.array([1.0, np.nan, 3.0])})
    schema, arrays = Schema.learn(
        frame, columns=["a", "b"], specs=read_specs({"b": {"share": "a"}})
    )
    assert schema.vocabularies[0].categories.tolist() == [1, 2, 3]
    assert arrays.codes.tolist() == [[2, 2], [3, 1], [4, 4]]
