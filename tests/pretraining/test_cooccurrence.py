"""Counts, mutual information and its leading directions, against their formulas."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from catvec.frames import Vocabulary, one_column
from catvec.pretraining import Corpus, Sequences, _counting, count_pairs, directions, positive_pmi
from tests.reference import count_meetings, shifted_positive_pmi


def make_corpus(rng, *, n_columns=1, n_sequences=30, most=8, n_items=12, ordered=False):
    """Random sequences, each column with lines of its own, and the same as lists."""
    lengths = rng.integers(1, most + 1, n_sequences)
    lines = rng.integers(0, n_items, (lengths.sum(), n_columns)) + n_items * np.arange(n_columns)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    vocabulary, _ = Vocabulary.learn(one_column("item", list(range(n_items - 2))))
    corpus = Corpus(
        (vocabulary,) * n_columns, [Sequences(lines.astype(np.int32), offsets)], ordered
    )
    lists = [lines[a:b].tolist() for a, b in pairwise(offsets)]
    return corpus, lists


@pytest.mark.parametrize("n_columns", [1, 2, 3])
@pytest.mark.parametrize("window", [None, 1, 3])
def test_counts_agree_with_a_loop(rng, n_columns, window):
    corpus, lists = make_corpus(rng, n_columns=n_columns)
    counts = count_pairs(corpus, window=window, rng=rng)
    expected = count_meetings(lists, corpus.n_lines, window)
    np.testing.assert_allclose(counts.toarray(), expected, atol=1e-12)


def test_parts_and_pieces_change_no_count(rng, monkeypatch):
    corpus, lists = make_corpus(rng, n_sequences=60)
    part = corpus.parts[0]
    parts = [part.take(np.arange(0, 20)), part.take(np.arange(20, 60))]
    monkeypatch.setattr(_counting, "EVENTS", 7)
    monkeypatch.setattr(_counting, "PAIRS", 20)
    counts = count_pairs(Corpus(corpus.vocabularies, parts, False), window=None, rng=rng)
    expected = count_meetings(lists, corpus.n_lines, None)
    np.testing.assert_allclose(counts.toarray(), expected, atol=1e-12)


def test_events_of_a_large_basket_have_the_same_say_as_others(rng):
    n = 1000
    lines = np.arange(n, dtype=np.int32)[:, None]
    vocabulary, _ = Vocabulary.learn(one_column("item", list(range(n - 2))))
    corpus = Corpus((vocabulary,), [Sequences(lines, np.array([0, n]))], False)
    counts = count_pairs(corpus, window=None, rng=rng)
    np.testing.assert_allclose(counts.sum(axis=1), 1.0, atol=1e-9)
    assert counts.nnz == n * 2 * _counting.PARTNERS


def test_memory_is_bounded_by_forgetting_the_lightest_pairs(rng, monkeypatch):
    monkeypatch.setattr(_counting, "MOST_ENTRIES", 40)
    monkeypatch.setattr(_counting, "ENTRIES_BY_ITEM", 1)
    monkeypatch.setattr(_counting, "PAIRS", 50)
    monkeypatch.setattr(_counting, "EVENTS", 20)
    corpus, lists = make_corpus(rng, n_sequences=300)
    heavy = Sequences(np.array([[3], [4]] * 200, np.int32), np.arange(0, 401, 2))
    corpus = Corpus(corpus.vocabularies, [heavy, *corpus.parts], False)
    counts = count_pairs(corpus, window=None, rng=rng)
    assert counts.nnz <= 2 * (40 + 50)
    expected = count_meetings([*lists, *[[[3], [4]]] * 200], corpus.n_lines, None)
    np.testing.assert_allclose(counts[3, 4], expected[3, 4])  # never the lightest
    assert (counts.toarray() <= expected + 1e-9).all()


@pytest.mark.parametrize(("shift", "smoothing"), [(1.0, 1.0), (1.0, 0.75), (3.0, 0.5), (0.5, 0.0)])
def test_mutual_information_agrees_with_its_formula(rng, shift, smoothing):
    counts = np.triu(rng.poisson(0.7, (15, 15)), 1).astype(float)
    counts[:, 4] = counts[4] = 0
    counts += counts.T
    matrix = positive_pmi(sp.csr_array(counts), shift=shift, smoothing=smoothing)
    expected = shifted_positive_pmi(counts, shift, smoothing)
    np.testing.assert_allclose(matrix.toarray(), expected, atol=1e-6)
    assert matrix.dtype == np.float32
    assert (matrix.data > 0).all()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_directions_are_those_of_the_exact_decomposition(rng, exponent):
    dense = (rng.normal(size=(80, 6)) * [9, 7, 5, 4, 3, 2]) @ rng.normal(size=(6, 80))
    matrix = sp.csr_array(dense.astype(np.float32))
    vectors = directions(matrix, 4, n_iters=[3], rng=rng)[0].vectors(exponent)
    left, values, _ = np.linalg.svd(dense)
    expected = left[:, :4] * values[:4] ** exponent
    expected *= np.sign(expected[np.abs(expected).argmax(axis=0), range(4)])
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-3 * values[0] ** exponent)


def test_directions_beyond_the_rank_are_zero(rng):
    dense = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 30))
    matrix = sp.csr_array(dense.astype(np.float32))
    vectors = directions(matrix, 5, n_iters=[2], rng=rng)[0].vectors(0.0)
    assert vectors.shape == (30, 5)
    assert not vectors[:, 2:].any()
    np.testing.assert_allclose((vectors[:, :2] ** 2).sum(axis=0), 1, atol=1e-4)
    eye = sp.csr_array(np.eye(3, dtype=np.float32))
    narrow = directions(eye, 8, n_iters=[1], rng=rng)[0].vectors(1.0)
    assert narrow.shape == (3, 8)
    assert np.isfinite(narrow).all()
