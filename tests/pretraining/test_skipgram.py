"""Skip-gram: the compiled loop against its twin, slopes against finite differences, the epochs."""

from dataclasses import replace

import numpy as np
import pytest

from catvec.errors import TrainingError
from catvec.frames import FIRST, open_frame
from catvec.pretraining import Corpus, SkipgramConfig, _kernels, read_corpus
from catvec.pretraining._skipgram import (
    Skipgram,
    keep_thresholds,
    negatives_table,
    train_skipgram,
)

ALL = 1 << 32


def walk(loops, seed=0, *, rates=(0.1, 0.05), kept=ALL, n_negatives=2):
    """Two tables after one walk over random sequences of two columns, and what it returns."""
    rng = np.random.default_rng(seed)
    lines = rng.integers(0, 12, (60, 2)).astype(np.int32)
    lines[:, 1] += 12
    tables = [rng.normal(size=(24, 7)).astype(np.float32) for _ in range(2)]
    found = loops.skipgram(
        *tables, lines, np.array([0, 5, 5, 25, 60]), np.full(24, kept, np.uint64),
        np.arange(24, dtype=np.int32), 3, n_negatives, *map(np.float32, rates),
        np.uint64(2**63 + 5),
    )  # fmt: skip
    return *tables, found


@pytest.mark.parametrize("kept", [ALL, ALL // 2])
def test_the_compiled_loop_does_what_its_twin_does(kept):
    compiled = pytest.importorskip("catvec.pretraining._kernels_numba")
    for seed in range(3):
        *plain, (loss, n_pairs) = walk(_kernels, seed, kept=kept)
        *fast, (fast_loss, fast_pairs) = walk(compiled, seed, kept=kept)
        assert fast_pairs == n_pairs > 50
        np.testing.assert_allclose(fast_loss, loss, rtol=1e-5)
        for one, other in zip(plain, fast, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_a_step_goes_down_the_slope_of_the_loss():
    rng = np.random.default_rng(1)
    vectors, contexts = rng.normal(size=(2, 5, 4))
    drawn = [0, 3, 3]

    def loss() -> float:
        pairs = [(2, 1.0), *((n, 0.0) for n in drawn)]
        return sum(np.logaddexp(0, (1 - 2 * y) * (vectors[1] @ contexts[n])) for n, y in pairs)

    before, slopes = (vectors.copy(), contexts.copy()), []
    for table in (vectors, contexts):
        slope = np.zeros_like(table)
        for at in np.ndindex(table.shape):
            kept, sides = table[at], []
            for step in (1e-6, -1e-6):
                table[at] = kept + step
                sides.append(loss())
            table[at] = kept
            slope[at] = (sides[0] - sides[1]) / 2e-6
        slopes.append(slope)
    found = _kernels._step(vectors, contexts, 1, 2, drawn, 1e-4)
    vectors_before, contexts_before = before
    np.testing.assert_allclose((vectors_before - vectors) / 1e-4, slopes[0], atol=1e-3)
    np.testing.assert_allclose((contexts_before - contexts) / 1e-4, slopes[1], atol=1e-3)
    vectors[:], contexts[:] = before
    np.testing.assert_allclose(found, loss(), rtol=1e-3)


def test_rates_of_zero_move_nothing():
    moved, still = walk(_kernels), walk(_kernels, rates=(0.0, 0.0))
    rng = np.random.default_rng(0)
    rng.integers(0, 12, (60, 2))
    first = rng.normal(size=(24, 7)).astype(np.float32)
    np.testing.assert_array_equal(still[0], first)
    assert np.abs(moved[0] - first).max() > 0.01


def test_a_negative_that_is_the_context_is_left_out():
    vectors, contexts = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    loss = _kernels._step(vectors, contexts, 0, 1, [1, 1, 1], 0.0)
    np.testing.assert_allclose(loss, np.logaddexp(0, -3.0))


def test_negatives_are_drawn_by_their_power():
    counts = np.array([0, 1, 16, 81])
    for exponent in (0.0, 0.5, 1.0, -0.5):
        share = np.bincount(negatives_table(counts, exponent), minlength=4) / (1 << 20)
        expected = np.where(counts > 0, np.maximum(counts, 1.0) ** exponent, 0)
        np.testing.assert_allclose(share, expected / expected.sum(), atol=1e-5)


def test_frequent_items_are_looked_at_less():
    chances = keep_thresholds(np.array([1, 1000, 8999]), 1e-3) / 2.0**32
    shares = np.array([1e-4, 0.1, 0.8999]) / 1e-3
    np.testing.assert_allclose(chances, np.minimum((np.sqrt(shares) + 1) / shares, 1), rtol=1e-6)
    assert (keep_thresholds(np.array([5, 1]), 0.0) == 1 << 32).all()


def clusters(rng, n=100):
    """Sequences of items from one of three clusters each."""
    groups = rng.integers(0, 3, n)
    events = [(s, 10 * g + i) for s, g in enumerate(groups) for i in rng.integers(0, 5, 6)]
    frame = dict(zip(("s", "i"), map(list, zip(*events, strict=True)), strict=True))
    return read_corpus(open_frame(frame), ["i"], sequence="s", order=True)


CONFIG = SkipgramConfig(
    dim=8, window=3, n_negatives=3, learning_rate=0.1, sample=0.0, exponent=0.75, max_epochs=4,
    n_iter_no_change=1, engine="numpy",
)  # fmt: skip


def test_training_begins_where_that_of_gensim_does(rng):
    corpus = clusters(rng)
    training = Skipgram(corpus, CONFIG, 0, corpus.counts())
    vectors = training.vectors * CONFIG.dim
    assert -1 <= vectors.min() < -0.9
    assert 0.9 < vectors.max() <= 1
    assert abs(vectors.mean()) < 0.2
    assert not training.contexts.any()


def test_the_loss_falls_on_sequences_held_out(rng):
    corpus = clusters(rng)
    training, held_out = corpus.split(0.2, 0)
    told = []
    vectors, contexts, history = train_skipgram(
        training, held_out, training.counts(), CONFIG, 0, told.append
    )
    assert told == history
    assert history[-1].held_out_loss < history[0].held_out_loss - 0.1
    assert history[0].n_pairs > 500
    again = train_skipgram(training, held_out, training.counts(), CONFIG, 0)
    np.testing.assert_array_equal(again[0], vectors)
    np.testing.assert_array_equal(again[1], contexts)


def test_training_stops_at_the_best_epoch(rng, monkeypatch):
    losses = iter([1.0, 0.8, 0.9, 0.7])
    monkeypatch.setattr(Skipgram, "epoch", _mark)
    monkeypatch.setattr(Skipgram, "loss", lambda *_: next(losses))
    corpus = clusters(rng, 20)
    vectors, contexts, history = train_skipgram(corpus, corpus, corpus.counts(), CONFIG, 0)
    assert [e.held_out_loss for e in history] == [1.0, 0.8, 0.9]
    assert (vectors == 2).all()
    assert (contexts == 20).all()


def _mark(training, epoch):
    training.vectors[:], training.contexts[:] = epoch, 10 * epoch
    return 1.0, 1


def test_companions_are_near_where_contexts_are_added():
    """Items that meet each other and nothing else: word2vec alone has no reason to join them."""
    nearer = []
    for seed in range(5):
        pair = np.random.default_rng(seed).integers(0, 20, 400)
        items = np.stack([2 * pair, 2 * pair + 1], axis=1).ravel()
        frame = {"s": np.repeat(np.arange(400), 2), "i": items}
        corpus = read_corpus(open_frame(frame), ["i"], sequence="s", order=True)
        config = replace(CONFIG, max_epochs=8)
        alone, contexts, _ = train_skipgram(corpus, None, corpus.counts(), config, seed)
        cosines = []
        for table in (alone, alone + contexts):
            vectors = table[FIRST:]  # in the order of the numbers, as categories are
            unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            cosines.append(np.mean(np.sum(unit[::2] * unit[1::2], axis=1)))
        nearer.append(cosines[1] > cosines[0] + 0.3)
    assert all(nearer)


def test_baskets_are_shuffled_within_themselves(rng):
    corpus = clusters(rng, 50)
    baskets = Corpus(corpus.vocabularies, corpus.parts, False)
    training = Skipgram(baskets, CONFIG, 0, corpus.counts())
    part = corpus.parts[0]
    shuffled = training._in_order(part, 5)
    assert (shuffled.lines != part.lines).any()
    for a, b in zip(part.offsets[:-1], part.offsets[1:], strict=True):
        assert sorted(shuffled.lines[a:b, 0]) == sorted(part.lines[a:b, 0])


def test_a_rate_too_high_is_said(rng):
    corpus = clusters(rng, 30)
    training = Skipgram(corpus, CONFIG, 0, corpus.counts())
    training.vectors[:] = np.inf
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingError, match=r"infinite in epoch 1; lower `learning_rate` \(0.1\)"),
    ):
        training.epoch(1)
