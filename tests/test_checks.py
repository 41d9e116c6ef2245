"""One message shape for every parameter error."""

import math

import numpy as np
import pytest

from catvec._checks import check_float, check_int, check_option, refuse, some
from catvec.errors import CategoryError, CatvecError, ParameterError


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(1)])
def test_an_int_is_taken(value):
    checked = check_int("embedding_dim", value, minimum=1)
    assert checked == value
    assert type(checked) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.bool_(True), np.nan, [1]])
def test_what_is_no_int_is_refused(value):
    with pytest.raises(ParameterError, match=r"^`embedding_dim` must be an int >= 1, got .+"):
        check_int("embedding_dim", value, minimum=1)


def test_the_message_says_what_was_got():
    with pytest.raises(ParameterError, match=r"^`n` must be an int >= 1, got 0$"):
        check_int("n", 0, minimum=1)
    assert str(refuse("x", "short", "a" * 500)) == f"`x` must be short, got '{'a' * 76}..."


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.25), np.int8(1)])
def test_a_float_is_taken(value):
    checked = check_float("dropout", value, minimum=0, maximum=1)
    assert checked == value
    assert type(checked) is float


@pytest.mark.parametrize("value", [-0.1, 1.1, "0.5", None, True, math.nan, math.inf, -math.inf, 1j])
def test_what_is_no_float_is_refused(value):
    with pytest.raises(ParameterError, match=r"^`dropout` must be a float in \[0, 1\], got .+"):
        check_float("dropout", value, minimum=0, maximum=1)


@pytest.mark.parametrize(
    ("bounds", "value", "shown"),
    [
        ({"minimum": 0, "strict": True}, 0, r"\(0, inf\)"),
        ({"minimum": 0}, -1, r"\[0, inf\)"),
        ({"maximum": 1}, 2, r"\(-inf, 1\]"),
        ({"minimum": 0, "maximum": 1, "strict": True}, 1, r"\(0, 1\)"),
        ({"minimum": 0, "maximum": 1, "strict": True}, 0, r"\(0, 1\)"),
        ({}, math.inf, r"\(-inf, inf\)"),
    ],
)
def test_the_interval_is_written_as_it_is(bounds, value, shown):
    with pytest.raises(ParameterError, match=f"`x` must be a float in {shown}, got"):
        check_float("x", value, **bounds)


def test_options():
    assert check_option("engine", "numpy", ["auto", "numpy"]) == "numpy"
    for value in ("torch", None, 1, ["auto"], b"auto"):
        with pytest.raises(ParameterError, match=r"`engine` must be one of 'auto', 'numpy', got"):
            check_option("engine", value, ["auto", "numpy"])


def test_some_values_are_shown_and_the_others_counted():
    assert some([]) == ""
    assert some("abc") == "'a', 'b', 'c'"
    assert some(range(5)) == "0, 1, 2, 3, 4"
    assert some(range(8)) == "0, 1, 2, 3, 4 and 3 more"
    assert some(iter(["x" * 500])) == f"'{'x' * 76}..."


def test_a_category_error_reads_as_a_sentence():
    assert str(CategoryError("no category 'x'")) == "no category 'x'"
    assert str(CategoryError()) == ""
    assert issubclass(CategoryError, KeyError)
    assert issubclass(ParameterError, CatvecError)
