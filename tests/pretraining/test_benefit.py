"""The honest word: no structure in random categories, structure where it was planted."""

import numpy as np
import pytest

from catvec import EmbeddingPretrainer
from catvec.errors import InputError


def random_sequences(rng, n=1500):
    return {"s": rng.integers(0, n // 5, n), "i": rng.zipf(1.5, n) % 50}


def random_table(rng, n=500):
    return {name: rng.zipf(1.5, n) % 20 for name in "abc"}


def planted_sequences(rng, n=1500):
    """Each sequence prefers one of five groups of ten items."""
    s = rng.integers(0, n // 5, n)
    group = np.where(rng.random(n) < 0.7, s % 5, rng.integers(0, 5, n))
    return {"s": s, "i": 10 * group + rng.integers(0, 10, n)}


def planted_table(rng, n=500):
    hidden = rng.integers(0, 4, n)
    noise = rng.integers(0, 20, (3, n))
    values = [np.where(rng.random(n) < 0.6, 4 * (k % 4) + hidden, k) for k in noise]
    return dict(zip("abc", values, strict=True))


SEQUENCES = {"sequence": "s", "item": "i", "embedding_dim": 16}
TABLE = {"method": "table", "item": ["a", "b", "c"], "embedding_dim": 16}


@pytest.mark.parametrize(
    ("make", "options"),
    [(random_sequences, SEQUENCES), (random_table, TABLE)],
    ids=["sequences", "table"],
)
def test_random_categories_have_no_structure(make, options):
    found = []
    for seed in range(20):
        pretrainer = EmbeddingPretrainer(**options, random_state=seed)
        found.append(pretrainer.benefit(make(np.random.default_rng(seed))))
    assert sum(benefit.found for benefit in found) <= 1
    assert all(benefit.found == (benefit.p_value < 0.01) for benefit in found)
    quiet = next(benefit for benefit in found if not benefit.found)
    assert str(quiet).startswith("no structure found")


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (planted_sequences, SEQUENCES),
        (planted_sequences, {**SEQUENCES, "order": True}),
        (planted_table, TABLE),
    ],
    ids=["baskets", "ordered", "table"],
)
def test_planted_structure_is_found(make, options):
    for seed in range(5):
        pretrainer = EmbeddingPretrainer(**options, random_state=seed)
        benefit = pretrainer.benefit(make(np.random.default_rng(seed)))
        assert benefit.found
        assert benefit.p_value == 1 / 200
        np.testing.assert_allclose(benefit.gain, benefit.cosine - benefit.shuffled_cosine)
        assert benefit.gain > 0.02
    assert str(benefit).startswith("structure found")


def test_order_within_few_long_sequences_is_found():
    rng = np.random.default_rng(0)
    items = (np.repeat(rng.integers(0, 5, 300), 5) * 10 + rng.integers(0, 10, 1500)).tolist()
    pretrainer = EmbeddingPretrainer(order=True, window=4, random_state=0)
    assert pretrainer.benefit([items[:700], items[700:]]).found
    rng.shuffle(items)
    assert not pretrainer.benefit([items[:700], items[700:]]).found


def test_too_few_sequences_are_said():
    with pytest.raises(InputError, match="too few sequences"):
        EmbeddingPretrainer(random_state=0).benefit([["a", "b"], ["b", "c"]])
