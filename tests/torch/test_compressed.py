"""Hashed and composed tables."""

import subprocess
import sys

import pytest
import torch

from catvec.errors import InputError, ParameterError
from catvec.network._kernels import _hashed
from catvec.torch import HashEmbedding, QuotientRemainderEmbedding
from catvec.torch._hashing import bucket, keyed_mask, mixed

pytestmark = pytest.mark.usefixtures("few_steps")

KEYS = torch.tensor([0, 1, 2, -1, 17, 2**31, 2**60, -(2**62)])


def naive_bucket(key, function, n_buckets):
    def mix(x):
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ (x >> 16)

    key %= 2**64
    return mix(key % 2**32 ^ mix(key // 2**32 ^ (function + 1) * 0x9E3779B9 % 2**32)) % n_buckets


def test_buckets_agree_with_plain_integers():
    for function in range(4):
        expected = [naive_bucket(key, function, 1009) for key in KEYS.tolist()]
        assert bucket(KEYS, function, 1009).tolist() == expected


def test_the_mixer_is_that_of_the_kernels():
    expected = torch.from_numpy(_hashed(12345, 500).view("int32").copy())
    assert torch.equal(mixed(torch.arange(500, dtype=torch.int32) + 12345), expected)
    dropped = keyed_mask((20, 25), 2**32 - 7, 0.3, "cpu").flatten().numpy()
    assert (dropped == (_hashed(2**32 - 7, 500) < round(0.3 * 2**32))).all()


@pytest.mark.slow(reason="imports torch anew; test_buckets_agree_with_plain_integers says as much")
def test_another_process_finds_the_same_buckets():
    script = (
        "import torch; from catvec.torch._hashing import bucket;"
        f"print(bucket(torch.tensor({KEYS.tolist()}), 1, 1000).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == str(bucket(KEYS, 1, 1000).tolist()), done.stderr


def test_buckets_are_filled_evenly_and_hashes_are_independent():
    keys = torch.arange(100_000)
    one, two = bucket(keys, 1, 100), bucket(keys, 2, 100)
    for found in (one, two):
        counts = found.bincount(minlength=100)
        assert ((counts - 1000) ** 2 / 1000).sum() < 150  # chi squared of 99, 99.9% at 149
    assert (one == two).float().mean() == pytest.approx(0.01, abs=0.002)


def test_a_hashed_vector_is_the_weighted_sum_of_its_buckets():
    torch.manual_seed(0)
    layer = HashEmbedding(50, 4, num_hashes=3, num_weights=20)
    with torch.no_grad():
        layer.importance.normal_()
    for key, found in zip(KEYS.tolist(), layer(KEYS), strict=True):
        share = layer.importance[naive_bucket(key, 0, 20)]
        rows = layer.weight[[naive_bucket(key, j + 1, 50) for j in range(3)]]
        torch.testing.assert_close(found, share @ rows)


def test_new_hashed_vectors_are_small_and_learn_all_they_have():
    torch.manual_seed(0)
    layer = HashEmbedding(5000, 8, num_hashes=4)
    assert layer(torch.arange(2000)).detach().std() == pytest.approx(0.03, rel=0.1)
    layer(KEYS).sum().backward()
    assert all(p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("operation", ["product", "sum", "concatenate"])
def test_every_code_has_a_small_vector_of_its_own(operation):
    torch.manual_seed(0)
    layer = QuotientRemainderEmbedding(1000, 8, 32, operation=operation)
    vectors = layer(torch.arange(1000))
    assert len(vectors.detach().unique(dim=0)) == 1000
    assert vectors.detach().std() == pytest.approx(0.03, rel=0.2)
    assert sum(p.numel() for p in layer.parameters()) <= 64 * 8
    first = layer.quotients[999 // 32], layer.remainders[999 % 32]
    expected = {
        "product": first[0] * first[1],
        "sum": first[0] + first[1],
        "concatenate": torch.cat(first),
    }
    torch.testing.assert_close(vectors[999], expected[operation])


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="below 1000, got 3 to 1000"):
        QuotientRemainderEmbedding(1000, 8, 32)(torch.tensor([3, 1000]))  # 1023 would have rows
    with pytest.raises(ParameterError, match="`embedding_dim` must be even"):
        QuotientRemainderEmbedding(1000, 7, 32, operation="concatenate")
    with pytest.raises(ParameterError, match="`operation` must be one of"):
        QuotientRemainderEmbedding(1000, 8, 32, operation="mean")
    with pytest.raises(ParameterError, match="`num_hashes` must be an int >= 1, got 0"):
        HashEmbedding(50, 4, num_hashes=0)
    with pytest.raises(InputError, match="must be a tensor of integers"):
        HashEmbedding(50, 4)(torch.rand(3))
