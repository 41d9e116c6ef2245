"""Sequences: events by sequence, in order or as baskets, whatever the frame and its rows' order."""

import numpy as np
import pytest

from catvec.errors import InputError
from catvec.frames import open_frame
from catvec.pretraining import Sequences, read_corpus

EVENTS = {
    "basket": ["x", "y", "x", None, "y", "x", "x"],
    "item": ["b", "a", "a", "c", None, "b", "d"],
    "step": [3, 1, 1, 1, 2, 2, 4],
}


def names(corpus, part=0):
    """The sequences with the items' own names."""
    vocabulary = corpus.vocabularies[0]
    named = ["unknown", None, *vocabulary.categories.tolist()]
    found = corpus.parts[part]
    return [
        [named[line] for line in found.lines[a:b, 0]]
        for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]


def test_ordered_sequences_follow_their_order(as_frame):
    corpus = read_corpus(open_frame(as_frame(EVENTS)), ["item"], sequence="basket", order="step")
    assert names(corpus) == [["a", "b", "b", "d"], ["a", None]]
    assert corpus.ordered


@pytest.mark.parametrize("unit", [1, 0.25, np.timedelta64(1, "us"), np.timedelta64(1, "ns")])
def test_near_moments_keep_their_order(unit):
    start = {int: 2**60, float: 0}.get(type(unit), np.datetime64("2026-05-06T07:08:09", "ns"))
    steps = [start + unit * step for step in EVENTS["step"]]
    frame = open_frame({**EVENTS, "step": np.array(steps)})
    corpus = read_corpus(frame, ["item"], sequence="basket", order="step")
    assert names(corpus) == [["a", "b", "b", "d"], ["a", None]]


def test_baskets_hold_an_item_once_in_whatever_order_of_rows(as_frame, rng):
    corpus = read_corpus(open_frame(as_frame(EVENTS)), ["item"], sequence="basket")
    assert names(corpus) == [["a", "b", "d"], [None, "a"]]
    rows = rng.permutation(7)
    mixed = {name: [cells[r] for r in rows] for name, cells in EVENTS.items()}
    again = read_corpus(open_frame(as_frame(mixed)), ["item"], sequence="basket")
    np.testing.assert_array_equal(again.parts[0].lines, corpus.parts[0].lines)


def test_order_true_takes_the_order_of_rows():
    corpus = read_corpus(open_frame(EVENTS), ["item"], sequence="basket", order=True)
    assert names(corpus) == [["b", "a", "b", "d"], ["a", None]]


def test_rare_items_share_the_unknown_line():
    corpus = read_corpus(open_frame(EVENTS), ["item"], sequence="basket", min_frequency=2)
    assert names(corpus) == [["unknown", "a", "b"], [None, "a"]]


def test_columns_have_lines_of_their_own():
    corpus = read_corpus(open_frame(EVENTS), ["item", "step"], sequence="basket", order="step")
    n_items = corpus.vocabularies[0].n_codes
    assert corpus.n_lines == n_items + corpus.vocabularies[1].n_codes
    lines = corpus.parts[0].lines
    assert (lines[:, 0] < n_items).all()
    assert (lines[:, 1] >= n_items).all()


LISTS = [["a", "b"], [], ["b", "c", "b"], None]


def test_lists_are_sequences(frame_kind, as_frame):
    if frame_kind == "pandas-nullable":
        pytest.skip("pandas has no nullable type for lists")
    frame = open_frame(as_frame({"item": LISTS, "n": [1, 2, 3, 4]}))
    assert names(read_corpus(frame, ["item"], sequence=None, order=True)) == [
        ["a", "b"],
        ["b", "c", "b"],
    ]
    assert names(read_corpus(frame, ["item"], sequence=None)) == [["a", "b"], ["b", "c"]]


def test_lists_must_be_equally_long():
    frame = open_frame({"item": [["a", "b"]], "brand": [["x"]]})
    with pytest.raises(InputError, match="'item' and 'brand' must be equally long"):
        read_corpus(frame, ["item", "brand"], sequence=None)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"sequence": "cart"}, "no column 'cart'"),
        ({"basket": [None] * 7}, {}, "'basket' is missing in every row"),
        ({"step": [1, 2, None, 3, 4, 5, 6]}, {"order": "step"}, r"'step' is missing in rows 2"),
        ({"step": list("abcdefg")}, {"order": "step"}, "'step' holds text"),
        ({}, {"sequence": None}, "'item' must hold lists, but holds 'b', 'a'"),
        ({name: [] for name in EVENTS}, {}, "there are no events: the table is empty"),
        (
            {"item": [[], None] * 3 + [[]]},
            {"sequence": None},
            "every list of column 'item' is empt",
        ),
        # Row 3 has no basket, so that row 5 is the fifth that has one.
        ({"step": [1, 2, 3, None, 4, None, 6]}, {"order": "step"}, r"'step' is missing in rows 5;"),
    ],
)
def test_what_does_not_fit_is_named(change, options, message):
    options = {"sequence": "basket", **options}
    with pytest.raises(InputError, match=message):
        read_corpus(open_frame({**EVENTS, **change}), ["item"], **options)


def test_slices_and_take_cut_no_sequence(rng):
    lengths = rng.integers(1, 9, 50)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    part = Sequences(np.arange(offsets[-1], dtype=np.int32)[:, None], offsets)
    pieces = list(part.slices(10))
    assert len(pieces) > 10
    np.testing.assert_array_equal(np.concatenate([p.lines for p in pieces]), part.lines)
    np.testing.assert_array_equal(np.concatenate([p.lengths for p in pieces]), lengths)
    chosen = part.take(np.array([7, 2]))
    expected = [*range(offsets[7], offsets[8]), *range(offsets[2], offsets[3])]
    assert chosen.lines[:, 0].tolist() == expected


def test_a_split_parts_the_sequences(rng):
    corpus = read_corpus(
        open_frame({"s": rng.integers(0, 100, 500), "i": rng.integers(0, 9, 500)}),
        ["i"],
        sequence="s",
    )
    kept, held_out = corpus.split(0.2, 3)
    sizes = [len(c.parts[0]) for c in (corpus, kept, held_out)]
    assert sizes[1] + sizes[2] == sizes[0]
    assert 5 < sizes[2] < 40
    again = corpus.split(0.2, 3)[1]
    np.testing.assert_array_equal(again.parts[0].lines, held_out.parts[0].lines)
