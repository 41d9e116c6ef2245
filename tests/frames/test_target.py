"""The target: what kind of task it sets, what is learned from it, and what it may not be."""

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pytest

from catvec.errors import CatvecWarning, InputError
from catvec.frames import Target, infer_task, learn_target


def objects(*cells):
    return np.fromiter(cells, dtype=object, count=len(cells))


FLOATS = objects(*np.linspace(0, 1, 30))

KINDS = [
    (np.array([0.5, 1.5, 0.5]), "regression"),
    (np.array([0.0, 1.0]), "regression"),
    (np.arange(21), "regression"),
    (np.arange(20), "multiclass"),
    (np.array([3, 5, 3]), "binary"),
    (np.array([7, 7], dtype=np.uint64), "binary"),
    (np.array([True, False]), "binary"),
    (np.array(["no", "yes", "no"]), "binary"),
    (np.array([f"label {i}" for i in range(50)]), "multiclass"),
    (np.array(["a", "b"], dtype=np.dtypes.StringDType()), "binary"),
    (np.array(["2020-01-01", "2020-01-02"], dtype="M8[D]"), "binary"),
    (np.array(["2020-01-01", "2020-01-02"], dtype="M8[ns]"), "binary"),
    (FLOATS, "regression"),
    (objects(np.int64(1), 2, np.int8(3)), "multiclass"),
    (objects(True, False), "binary"),
    (objects("a", np.str_("b")), "binary"),
    (objects(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5)), "binary"),
]


@pytest.mark.parametrize(("y", "task"), KINDS)
def test_every_kind_of_target(y, task):
    assert infer_task(y) == task
    target = learn_target(y, "auto")
    assert target.task == task
    values = target.values(y)
    assert values.dtype == np.float64
    if target.classes is not None:
        assert (
            target.classes[values.astype(int)].tolist()
            == np.asarray(y, dtype=target.classes.dtype).tolist()
        )
        assert target.n_outputs == (len(target.classes) if task == "multiclass" else 1)
    again = Target.from_json(json.loads(json.dumps(target.to_json())))
    np.testing.assert_array_equal(again.values(y), values)
    assert again.standardized(values).tolist() == target.standardized(values).tolist()
    if target.classes is not None:
        assert again.classes.tolist() == target.classes.tolist()
        assert again.classes.dtype == target.classes.dtype


def test_a_regression_is_standardised():
    y = np.array([1.0, 2.0, 6.0])
    target = learn_target(y, "regression")
    assert target.standardized(y).mean() == pytest.approx(0, abs=1e-6)
    assert target.standardized(y).std() == pytest.approx(1)
    np.testing.assert_allclose(target.standardized(y) * target.scale + target.center, y, rtol=1e-6)


def test_a_row_of_weight_two_counts_as_two_and_of_none_not_at_all():
    y, weight = np.array([1.0, 2.0, 6.0, 1e12]), np.array([2.0, 1.0, 1.0, 0.0])
    target, wanted = learn_target(y, "regression", weight=weight), np.array([1.0, 1.0, 2.0, 6.0])
    assert (target.center, target.scale) == pytest.approx((wanted.mean(), wanted.std()))
    grown = learn_target(np.ones(3), "regression").with_spread(y, weight)
    assert (grown.center, grown.scale) == pytest.approx((1, np.mean((wanted - 1) ** 2) ** 0.5))


def test_a_target_of_tiny_units_is_no_constant():
    farads = 1e-12 * np.array([1.0, 2.0, 6.0])
    assert learn_target(farads, "regression").scale == pytest.approx(farads.std())


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9, 1e100])
def test_a_constant_target_is_not_blown_up(value):
    y = np.full(60, value)
    target = learn_target(y, "regression")
    assert target.scale == 0  # whatever a network says, the constant is predicted
    assert target.with_spread(y, np.ones(60)).scale == 0  # further rows of it are no news
    np.testing.assert_allclose(target.standardized(y), 0, atol=1e-12 * abs(value))
    assert target.center == pytest.approx(value)


def test_counts_stay_as_they_are():
    target = learn_target(np.array([0, 3, 100]), "count")
    assert (target.task, target.center, target.scale) == ("count", 0, 1)
    assert target.standardized(target.values(np.array([5]))).tolist() == [5]


def test_labels_decide_between_two_classes_and_more():
    assert learn_target(np.array([1.0, 2.0]), "classification").task == "binary"
    assert learn_target(np.arange(300), "classification").n_outputs == 300
    assert learn_target(np.array(["x"]), "classification").classes.tolist() == ["x"]
    assert learn_target(objects(Decimal(1), Decimal(3)), "regression").center == 2


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        (np.array([1.0, np.nan]), "auto", r"missing \(NaN\) in 1 rows: 1; drop them"),
        (objects("a", None, float("nan")), "auto", r"in 2 rows: 1, 2; drop them"),
        (np.array(["NaT", "2020"], dtype="M8[s]"), "auto", "in 1 rows: 0"),
        (np.array([1.0, np.inf]), "auto", "contains infinity or NaN in rows 1; drop them"),
        (np.array(["a", "b"]), "regression", "must be numeric for this task, but holds 'a', 'b'"),
        (np.array(["1", "2"]), "regression", "must be numeric .* '1', '2'; labels need a class"),
        (objects("x", 2.0), "regression", "must be numeric for this task, but holds 'x';"),
        (objects(1, "x"), "count", "must be numeric for this task, but holds 'x';"),
        (objects([1], [2]), "regression", "must be numeric"),
        (np.array(["2020"], dtype="M8[Y]"), "regression", "must be numeric"),
        (
            np.array([-1, -2, 3]),
            "count",
            "a count cannot be negative, but the target is -1.0, -2.0 in rows 0, 1; drop",
        ),
        (np.array([1, 2, 3]), "binary", "a binary target has two labels, got 1, 2, 3"),
        (np.array([0.5, 1.5]), "classification", "continuous numbers such as 0.5, 1.5 are no"),
        (objects(1, "a"), "auto", "labels of the target must be of one type, got 'int', 'str'"),
        (objects(True, 2), "auto", "labels of the target must be of one type, got 'bool', 'int'"),
        (objects(Decimal(1)), "classification", "got 'Decimal'; convert them, to text for example"),
        (objects((1,), (2,)), "auto", "labels must be text, numbers, .*, got 'tuple'"),
        (np.array([b"x", b"y"]), "auto", "labels must be text, numbers, .*, got 'bytes_'"),
        (np.array([1j, 2]), "auto", "Complex data not supported"),
        (np.array([1e200, -1e200]), "regression", "too large"),
    ],
)
def test_what_is_no_target_is_refused(y, task, message):
    with pytest.raises(InputError, match=message):
        learn_target(y, task)


@pytest.mark.parametrize(
    ("train", "y"),
    [
        (["a", "b"], ["a", "c"]),
        ([1, 2], ["1", "2"]),
        ([1, 2], [0, 3]),
        ([1, 2], [1.5, 1.0]),
        ([1, 2], [1.0, np.nan]),
        (["2020", "2021"], [dt.datetime(2020, 1, 1)]),
    ],
)
def test_unseen_labels_are_refused(train, y):
    with pytest.raises(InputError, match="label"):
        learn_target(np.array(train), "auto").values(np.array(y))


def test_labels_of_several_types_are_refused():
    for y in (objects(1, "a"), objects("a", None)):
        with pytest.raises(InputError, match="labels"):
            learn_target(np.array([1, 2]), "auto").values(y)
        with pytest.raises(InputError, match="labels"):
            learn_target(objects("a", "b"), "auto").values(y)


def test_equal_labels_of_other_types_are_the_same():
    target = learn_target(np.array([1, 2]), "auto")
    assert target.values(np.array([2.0, 1.0])).tolist() == [1, 0]
    assert target.values(objects(2, 1)).tolist() == [1, 0]
    assert learn_target(objects("a", "b"), "auto").values(np.array(["b"])).tolist() == [1]


@pytest.mark.parametrize("mark", ["NA", "", "NaN", " null "])
def test_a_class_that_may_be_a_missing_value_is_told(mark):
    with pytest.warns(CatvecWarning, match="as which a missing value is often written"):
        target = learn_target(np.array(["yes", "no", mark], object), "auto")
    assert mark in target.labels


def test_none_is_a_class_like_others():
    assert learn_target(np.array(["none", "mild", "severe"], object), "auto").n_labels == 3
