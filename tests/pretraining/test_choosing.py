"""Items held out and what is chosen by them, against loops."""

from itertools import pairwise

import numpy as np
import pytest

from catvec.pretraining import Corpus, Sequences, count_pairs
from catvec.pretraining._choosing import Choices, choose
from catvec.pretraining._questions import QUESTIONS, Questions, held_out_share
from tests.pretraining.test_cooccurrence import make_corpus


def score_of_one(vectors, wanted, others, lines):
    """The discounted gain of one item among some lines, one cosine after the other."""
    unit = {i: v / np.linalg.norm(v) for i, v in enumerate(vectors) if v.any()}
    if wanted not in unit:
        return 0.0
    mean = sum((unit.get(line, 0 * vectors[0]) for line in others), 0 * vectors[0])
    candidates = [line for line in lines if line in unit and line not in others]
    rank = sum(unit[line] @ mean >= unit[wanted] @ mean - 1e-7 for line in candidates)
    return 1 / np.log2(1 + rank)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("n_columns", [1, 2])
def test_the_score_agrees_with_a_loop(rng, ordered, n_columns):
    corpus, lists = make_corpus(rng, n_columns=n_columns, n_sequences=80, ordered=ordered)
    questions = Questions.of(corpus, 3, rng)
    assert len(questions) > 20
    vectors = rng.normal(size=(corpus.n_lines, 5)).astype(np.float32)
    vectors[rng.integers(0, corpus.n_lines, 3)] = 0
    expected = []
    for row, wanted in enumerate(questions.wanted):
        others = np.repeat(*_stored(questions.others, row)).tolist()
        column = np.searchsorted(corpus.starts, wanted, side="right") - 1
        lines = range(*corpus.starts[column : column + 2])
        expected.append(score_of_one(vectors, wanted, others, lines))
        assert any(_may_ask(events, wanted, others, ordered) for events in lists)
    np.testing.assert_allclose(questions.score(vectors), np.mean(expected), atol=1e-6)


def _stored(matrix, row):
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[part], matrix.data[part].astype(int)


def _may_ask(events, wanted, others, ordered):
    """Whether a sequence may ask for an item of one event by those of others."""
    for place, event in enumerate(events):
        if wanted not in event or wanted in others or (ordered and place < len(events) - 1):
            continue
        rest = (
            events[max(place - 3, 0) : place]
            if ordered
            else [*events[:place], *events[place + 1 :]]
        )
        told = [line for each in rest for line in each] or [i for i in event if i != wanted]
        if sorted(told) == sorted(others):
            return True
    return False


def test_questions_are_few_and_from_all_parts(rng):
    corpus, _ = make_corpus(rng, n_sequences=18_000)
    part = corpus.parts[0]
    parts = [part.take(np.arange(a, b)) for a, b in pairwise([0, 300, 18_000])]
    questions = Questions.of(Corpus(corpus.vocabularies, parts, False), 5, rng)
    assert QUESTIONS / 2 < len(questions) <= QUESTIONS
    assert held_out_share(corpus) == pytest.approx(1500 / 9000)
    assert held_out_share(Corpus(corpus.vocabularies, [part.take(np.arange(10))], False)) == 0.2


def test_vectors_that_know_the_groups_answer_better(rng):
    group = rng.integers(0, 6, 400)
    lines = (np.repeat(group, 4) * 5 + rng.integers(0, 5, 1600)).astype(np.int32)
    corpus, _ = make_corpus(rng, n_items=32)
    corpus = Corpus(corpus.vocabularies, [Sequences(lines[:, None], np.arange(0, 1601, 4))], False)
    questions = Questions.of(corpus, 5, rng)
    knows = np.eye(6, dtype=np.float32)[np.minimum(np.arange(32) // 5, 5)]
    knows += 0.01 * rng.normal(size=knows.shape).astype(np.float32)
    guesses = rng.normal(size=(32, 6)).astype(np.float32)
    assert questions.score(knows) > questions.score(guesses) + 0.1
    options = {"smoothing": 0.75, "scale": 1.0, "dim": 6, "seed": 0}
    counts = count_pairs(corpus, window=None, rng=rng)
    settings, tried = choose(counts, questions, Choices(), **options)
    best = max(tried, key=lambda trial: trial["score"])
    assert best["score"] > questions.score(guesses) + 0.1
    assert settings.shift == best["shift"]
    assert choose(counts, questions, Choices(), **options) == (settings, tried)
