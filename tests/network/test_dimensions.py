import pytest

from catvec.errors import ParameterError
from catvec.network import RULES, rule

AT_A_MILLION = {
    "compact": 16,
    "half": 50,
    "quartic_root": 32,
    "cross": 190,
    "fastai": 600,
    "realmlp": 8,
    "tutorial": 128,
}


@pytest.mark.parametrize("name", RULES)
def test_widths_are_positive_and_grow_with_the_cardinality(name):
    widths = [rule(name)(n) for n in (0, 1, 2, 3, 9, 10, 99, 100, 1_000, 100_000, 10**7)]
    assert widths[0] == widths[1] <= 2
    assert widths == sorted(widths)
    assert rule(name)(1_000_000) == AT_A_MILLION[name]


@pytest.mark.parametrize("name", sorted(set(RULES) - {"quartic_root"}))
def test_never_wider_than_one_hot(name):
    assert all(rule(name)(n) <= max(n, 2) for n in range(1, 50))


def test_refusals():
    with pytest.raises(ParameterError, match="`embedding_dim` must be one of 'compact', 'half'"):
        rule("power")
    with pytest.raises(ParameterError, match="`cardinality` must be an int >= 0, got -1"):
        rule("half")(-1)
