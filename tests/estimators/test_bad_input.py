"""What users hand in by mistake, and what the worlds of their tables look like at the edges."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import CatvecWarning, InputError, ParameterError
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._plan import Plan
from catvec.estimators._scores import held_out_scores
from catvec.estimators._training_set import read_training_set
from catvec.frames import learn_target

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {"n_networks": 1, "shrinkage": 1.0, "n_epochs": 2, "random_state": 0}
KINDS = [EmbeddingEncoder, EmbeddingRegressor]


def fit(kind, X, y, *, groups=None, **parameters):
    return kind(**{**QUICK, **parameters}).fit(X, y, groups=groups)


def answer(model, X):
    return model.transform(X) if hasattr(model, "transform") else model.predict(X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (pd.DataFrame({"a": []}), [], "0 sample"),
        (pd.DataFrame(index=range(3)), [1, 2, 3], "0 feature"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), [1.0], "'a'"),
        (pd.DataFrame({"a": [1.0, np.inf]}), [1.0, 2.0], "'a' contains infinity"),
        (pd.DataFrame({"a": ["x", "y"]}), [1.0, None], "missing"),
        (pd.DataFrame({"a": ["x", "y"]}), [1.0, np.inf], "infinity"),
        (pd.DataFrame({"a": ["x", "y"]}), [1.0], "inconsistent"),
        (pd.DataFrame({"a": ["x", "y"]}), [[1.0, 2.0], [1.0, 2.0]], "1d array"),
        (pd.DataFrame({"a": [{"x": 1}, {"y": 2}]}), [1.0, 2.0], "'a' holds cells of type dict"),
        (["x", "y"], [1.0, 2.0], "Expected 2D array"),
    ],
)
def test_clear_errors(kind, X, y, message):
    with pytest.raises(InputError, match=message):
        fit(kind, X, y)


def test_text_in_a_numeric_target():
    with pytest.raises(InputError, match="'many'"):
        fit(EmbeddingRegressor, {"a": ["x", "y"]}, ["1", "many"])


def test_unnamed_text_column():
    with pytest.raises(InputError, match="'b'"):
        fit(EmbeddingRegressor, {"a": ["x", "y"], "b": ["u", "v"]}, [1.0, 2.0], columns=["a"])


def test_numbers_where_text_was():
    model = fit(EmbeddingRegressor, {"a": ["x", "y"] * 20}, [1.0, 2.0] * 20)
    with pytest.raises(InputError, match="'a' held text values"):
        model.predict({"a": [1, 2]})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "column",
    [
        ["x"] * 60,
        [None] * 60,
        ["x", None] * 30,
        [f"row {i}" for i in range(60)],
        [1, "1", True, None] * 15,
        ["é", "a\nb", "tab\t", "", " ", "🙂"] * 10,
    ],
    ids=["constant", "all missing", "one category", "all distinct", "mixed", "unicode"],
)
def test_odd_columns_work(kind, column):
    X = pd.DataFrame({"odd": pd.Series(column, dtype=object), "plain": list("abcdef") * 10})
    y = np.arange(60) % 7 * 1.0
    model = fit(kind, X, y)
    assert np.isfinite(answer(model, X)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_and_two(kind):
    for n in (1, 2):
        X = pd.DataFrame({"a": ["x", "y"][:n], "b": [1.0, 2.0][:n]})
        model = fit(kind, X, [1.0, 2.0][:n])
        assert np.isfinite(answer(model, X)).all()


@pytest.mark.parametrize("output", ["effects", "both"])
def test_one_row_has_no_others_to_be_encoded_by(output):
    encoder = EmbeddingEncoder(**QUICK, output=output)
    with pytest.raises(
        InputError, match="no row could be encoded by a fit to others: there is but one row"
    ):
        encoder.fit_transform({"a": ["x"]}, [1.0])
    assert encoder.fit_transform({"a": ["x", "y"]}, [1.0, 2.0]).shape[0] == 2


def test_names_of_any_kind(tmp_path):
    names = ["../../etc", "a\nb", "ünï.code", "with.dot", "[red]x[/red]", " "]
    X = pd.DataFrame({name: list("ab") * 20 for name in names})
    model = fit(EmbeddingRegressor, X, np.arange(40.0))
    model.save(tmp_path / "m.catvec")
    again = EmbeddingRegressor.load(tmp_path / "m.catvec")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert list(tmp_path.iterdir()) == [tmp_path / "m.catvec"]


def test_a_long_string_and_read_only_arrays():
    long = "x" * 10_000_000
    X = {"a": [long, "y"] * 10, "n": np.arange(20.0)}
    X["n"].flags.writeable = False
    y = np.arange(20.0)
    y.flags.writeable = False
    model = fit(EmbeddingRegressor, X, y)
    assert long in model.vectors_["a"]


def test_one_class_is_no_task():
    with pytest.raises(InputError, match="one class"):
        fit(EmbeddingClassifier, {"a": ["x", "y"]}, ["no", "no"])


def test_groups_with_gaps_and_of_several_types():
    """What is missing is a group of its own; the rows of one are held out together."""
    X, y = {"a": list("xy") * 20}, np.arange(40.0)
    for groups in (["g", None] * 20, [1, "1"] * 20, pd.Series(["g", pd.NA] * 20)):
        training = read_training_set(SharedParameters(), X, y, task="regression", groups=groups)
        plan = Plan(SharedParameters(), training, "squared", "numpy", None, 0)
        for mask in plan.held_out(np.arange(40), 4):
            assert sorted([mask[::2].mean(), mask[1::2].mean()]) == [0.0, 1.0]
        fit(EmbeddingRegressor, X, y, groups=groups)


def test_numbers_of_numpy_are_numbers():
    X, y = {"a": list("xy") * 20}, np.arange(40.0)
    for strength in (np.int64(3), np.float32(3)):
        assert fit(EmbeddingRegressor, X, y, shrinkage=strength).choice_.shrinkage == (3.0,)
    fit(EmbeddingRegressor, X, y, batch_size=np.int64(8)).partial_fit(X, y)


@pytest.mark.parametrize("weight", [-1.0, "heavy", np.nan])
def test_class_weights_are_checked(weight):
    with pytest.raises(ParameterError, match="`class_weight` must be a float"):
        fit(EmbeddingClassifier, {"a": ["x", "y"]}, ["no", "yes"], class_weight={"no": weight})


def test_held_out_rows_without_weight_choose_nothing():
    frame = {"t": np.arange(60), "a": list("abc") * 20}
    model = EmbeddingRegressor(n_networks=1, max_epochs=4, random_state=0, time_column="t")
    model.fit(frame, NUMBERS, sample_weight=np.r_[np.ones(40), np.zeros(20)])
    assert model.choice_.tried == {}


def test_dates_are_no_numbers_to_predict():
    with pytest.raises(InputError, match="numeric for this task, but holds '2024-01-01"):
        EmbeddingRegressor(**QUICK).fit(FRAME, np.datetime64("2024-01-01", "ns") + np.arange(60))


@pytest.mark.parametrize("y", [np.array(["no", 1], dtype=object), ["no", 1]])
def test_labels_of_two_types(y):
    with pytest.raises(InputError, match="one type"):
        fit(EmbeddingClassifier, {"a": ["x", "y"]}, y)


@pytest.mark.parametrize(
    "y", [["no", np.nan, "yes"], np.ma.array(["no", "", "yes"], mask=[False, True, False])]
)
def test_a_missing_label_is_no_label(y):
    with pytest.raises(InputError, match=r"the target is missing .* in 1 rows: 1"):
        fit(EmbeddingClassifier, {"a": ["x", "y", "z"]}, y)


@pytest.mark.parametrize(
    "weight",
    [np.ma.array([1, 2], mask=[0, 1]), np.array(["2024-01-01"] * 2, "datetime64[D]"), [1j, 1j]],
)
def test_weights_are_numbers(weight):
    with pytest.raises(InputError, match="`sample_weight` must be"):
        EmbeddingRegressor(**QUICK).fit({"a": ["x", "y"]}, [1.0, 2.0], sample_weight=weight)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, np.nan, 2.0], "must be finite and not negative, got nan in rows 1"),
        ([-1.0, 1.0, np.inf], "must be finite and not negative, got -1.0, inf in rows 0, 2"),
        ([0.0, 0.0, 0.0], "is zero everywhere; no row would count"),
    ],
)
def test_weights_that_are_none_are_named(weight, message):
    with pytest.raises(InputError, match=f"`sample_weight` {message}"):
        EmbeddingRegressor().fit({"a": ["x", "y", "z"]}, [1.0, 2.0, 3.0], sample_weight=weight)


def test_class_weights_may_name_classes_that_a_fold_lacks_but_no_mistyped_ones():
    frame, y = {"a": ["x", "y"] * 10}, ["no", "yes"] * 10
    weights = {"no": 1.0, "yes": 3.0}
    plain = fit(EmbeddingClassifier, frame, y, class_weight=weights)
    other = fit(EmbeddingClassifier, frame, y, class_weight={**weights, "rare": 5.0})
    np.testing.assert_array_equal(plain.predict_proba(frame), other.predict_proba(frame))
    message = "names labels that y does not hold: 'ja'; y holds 'yes' without a weight"
    with pytest.raises(InputError, match=message):
        fit(EmbeddingClassifier, frame, y, class_weight={"no": 1.0, "ja": 5.0})


def test_booleans_of_numpy_are_booleans(tmp_path):
    given = {"batch_norm": np.True_, "effect_networks": np.False_}
    model = fit(EmbeddingRegressor, {"a": ["x", "y"] * 30}, NUMBERS, **given)
    model.save(tmp_path / "m")
    again = EmbeddingRegressor.load(tmp_path / "m")
    assert (again.batch_norm, again.effect_networks) == (True, False)


def test_constant_target():
    model = fit(EmbeddingRegressor, {"a": list("ab") * 20}, [3.5] * 40)
    np.testing.assert_allclose(model.predict({"a": ["a", "b", "c"]}), 3.5, atol=1e-3)


FRAME = pd.DataFrame({"a": list("xyz") * 20, "b": np.arange(60.0), "l": [["u"], ["v"], []] * 20})
LABELS = np.array(["no", "yes"] * 30)
NUMBERS = np.linspace(-1.0, 1.0, 60)


def of_val(y_val):
    return {"X_val": FRAME[: len(y_val)], "y_val": y_val}


@pytest.mark.parametrize(
    ("y", "data", "message"),
    [
        (NUMBERS, {"sample_weight": [1e300] * 60}, "`sample_weight` must add up to at most 1e"),
        (NUMBERS, {"sample_weight": ["heavy"] * 60}, "`sample_weight` must be numbers.*'heavy'"),
        ([[1], [1, 2]] * 30, {}, "y should be a 1d array, with a value by row"),
        (np.float64(3), {}, r"got np.float64\(3.0\); the name of a column is for `fit` to a file"),
        (NUMBERS * 1e45, {}, "the target is too large: effects are float32; divide it"),
        (NUMBERS, of_val([]), "X_val and y_val: there are no rows"),
        (NUMBERS, of_val([1.0, None]), "X_val and y_val: the target is missing .* 1"),
        (NUMBERS, of_val([1.0, 1e200]), "X_val and y_val: the target is too large"),
        (NUMBERS, of_val(["x", "y"]), "X_val and y_val: the target must be numeric"),
        (NUMBERS, {"X_val": FRAME[["b"]], "y_val": NUMBERS}, "X_val and y_val: .* missing: 'a'"),
    ],
)
def test_each_part_of_the_data_is_named(y, data, message):
    with pytest.raises(InputError, match=message):
        EmbeddingRegressor(**QUICK).fit(FRAME, y, **data)


def test_counts_to_choose_by_are_checked():
    with pytest.raises(
        InputError, match="X_val and y_val: a count cannot be negative, but the target is -1"
    ):
        EmbeddingRegressor(loss="poisson", **QUICK).fit(FRAME, np.arange(60), **of_val([3, -1]))


def test_an_empty_table_is_refused_after_a_fit_too():
    model = EmbeddingRegressor(**QUICK).fit(FRAME, NUMBERS)
    with pytest.raises(InputError, match="0 sample"):
        model.predict(FRAME[:0])


@pytest.mark.parametrize("weights", ["zz", "b"])
def test_weights_of_lists_are_lists_of_the_table(weights):
    tables = {"l": {"kind": "list", "weights": weights}}
    with pytest.raises(InputError, match=f"names '{weights}' as the weights of column 'l'"):
        EmbeddingRegressor(tables=tables, **QUICK).fit(FRAME, NUMBERS)


@pytest.mark.parametrize(
    ("loss", "y", "task"),
    [
        ("softmax", LABELS, "binary"),
        ("squared", list("abc") * 20, "multiclass"),
        ("logistic", NUMBERS, "regression"),
    ],
)
def test_a_loss_suits_the_task(loss, y, task):
    with pytest.raises(ParameterError, match=f"`loss` must be .* of the task '{task}'"):
        EmbeddingEncoder(loss=loss, **QUICK).fit(FRAME, y)


def test_an_encoder_with_a_loss_of_counts_has_counts():
    encoder = EmbeddingEncoder(loss="poisson", **QUICK).fit(FRAME, np.arange(60.0))
    assert encoder.target_.task == "count"


@pytest.mark.parametrize("given", ["a", -1, np.random.default_rng(0)])
def test_a_seed_is_named(given):
    with pytest.raises(ParameterError, match="`random_state` must be None, an int"):
        EmbeddingRegressor(**{**QUICK, "random_state": given}).fit(FRAME, NUMBERS)


ROWS = np.arange(60)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (2.5, '`cv` must be "auto", an int >= 2, a splitter'),
        ([(ROWS[:30] - 60, ROWS[30:])], "fold 0 of `cv` must hold numbers of rows, from 0 to 59"),
        ([(ROWS[:30], ROWS[30:] + 1)], "fold 0 of `cv` must hold numbers of rows, from 0 to 59"),
        ([(ROWS[:30] * 1.0, ROWS[30:])], r"or masks of 60 rows, got 0.0, .*numpy.flatnonzero"),
        ([(ROWS[:9] < 5, ROWS[30:])], r"or masks of 60 rows, got True, .* of shape \(9,\)"),
        ([(ROWS[:30], ROWS[30:]), (ROWS, ROWS[:2])], r"fold 1 of `cv` learns from .*: 0, 1; leave"),
        ([([], ROWS)], "fold 0 of `cv` has no rows to learn from; leave it out"),
        ([ROWS], "fold 0 of `cv` must be a pair"),
        ([], "`cv` gives no folds"),
        (GroupKFold(2), "`cv` cannot split these rows: The 'groups' parameter should not be None"),
    ],
)
def test_folds_are_checked_before_anything_is_trained(cv, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingEncoder(cv=cv, **QUICK).fit_transform(FRAME, NUMBERS)


def test_a_splitter_gets_no_groups_that_nobody_gave():
    """Rows that stand twice are held out together, but are no groups of the user's."""
    twice, y = pd.concat([FRAME, FRAME]), np.tile(NUMBERS, 2)
    encoder = EmbeddingEncoder(cv=GroupKFold(2), output="effects", **QUICK)
    with pytest.raises(InputError, match="'groups' parameter should not be None"):
        encoder.fit_transform(twice, y)
    assert len(encoder.fit_transform(twice, y, groups=np.tile(ROWS % 4, 2))) == len(y)


def test_texts_among_numbers_are_told(rng):
    """A placeholder makes a column text, and its numbers hundreds of categories."""
    price = [f"{value:.3f}" for value in rng.normal(size=200)]
    frame = pd.DataFrame({"shop": rng.choice(list("abc"), 200), "price": ["-", *price[1:]]})
    y = rng.normal(size=200)
    options = {**QUICK, "output": "effects"}
    with pytest.warns(CatvecWarning, match="column 'price' holds numbers but for '-'") as found:
        EmbeddingEncoder(**options).fit(frame, y)
    assert found[0].filename == __file__
    EmbeddingEncoder(columns=["shop", "price"], **options).fit(frame, y)  # asked for
    EmbeddingEncoder(**options).fit(frame.assign(price=price), y)  # text, all of it numbers
    names = frame.assign(price=[f"a{value}" for value in price])
    EmbeddingEncoder(**options).fit(names, y)


def test_nothing_to_encode_is_told(rng):
    with pytest.warns(CatvecWarning, match="no column is categorical"):
        EmbeddingEncoder(**QUICK).fit(rng.integers(0, 50, (60, 2)), NUMBERS)


def test_weights_that_are_next_to_none_are_told():
    with pytest.warns(CatvecWarning, match="`sample_weight` adds up to 0.06 in 60 rows"):
        EmbeddingEncoder(output="effects", **QUICK).fit(
            FRAME, NUMBERS, sample_weight=np.full(60, 0.001)
        )


def test_intervals_are_told(rng):
    frame = pd.DataFrame({"age": pd.cut(rng.random(60), 4)})
    with pytest.raises(InputError, match=r"pandas.interval: intervals, .* by .astype\(str\)"):
        EmbeddingEncoder(**QUICK).fit(frame, NUMBERS)


def test_folds_may_be_masks():
    masks = [(ROWS % 3 != k, ROWS % 3 == k) for k in range(3)]
    numbers = [(np.flatnonzero(a), np.flatnonzero(b)) for a, b in masks]
    encoded = [
        EmbeddingEncoder(cv=cv, output="effects", **QUICK).fit_transform(FRAME, NUMBERS)
        for cv in (masks, numbers, iter(numbers))
    ]
    np.testing.assert_array_equal(encoded[0], encoded[1])
    np.testing.assert_array_equal(encoded[2], encoded[1])


def test_classes_of_several_types_are_not_those_of_before():
    frame = FRAME[["a", "b"]]
    model = EmbeddingClassifier(**QUICK).fit(frame, LABELS)
    with pytest.raises(ParameterError, match="`classes` must be those of the first call"):
        model.partial_fit(frame, LABELS, classes=["no", 1, None])


def test_pairs_by_numbers_of_numpy():
    frame = FRAME.assign(b=list("uv") * 30)
    model = EmbeddingRegressor(pairs=list(np.array([[0, 1]])), **QUICK).fit(frame, NUMBERS)
    assert model.choice_.pairs == (("a", "b"),)


def test_a_class_of_no_weight_is_not_balanced():
    weight = (LABELS == "yes") * 1.0
    model = EmbeddingClassifier(class_weight="balanced", **QUICK)
    model.fit(FRAME, LABELS, sample_weight=weight)
    assert model.predict_proba(FRAME)[:, 1].min() > 0.5


def test_some_class_has_weight():
    model = EmbeddingClassifier(class_weight={"no": 0, "yes": 0}, **QUICK)
    with pytest.raises(InputError, match="`class_weight` leaves no row any weight"):
        model.fit(FRAME, LABELS)


def test_explaining_needs_a_fit():
    with pytest.raises(NotFittedError):
        EmbeddingRegressor().explain(FRAME)


@pytest.mark.parametrize("share", [1e-3, 0.01])
def test_a_share_that_holds_nothing_out(share):
    """The climb holds out a fifth whatever the share; committees then hold out nothing."""
    parameters = {"n_networks": 1, "max_epochs": 6, "random_state": 0}
    model = EmbeddingRegressor(validation_fraction=share, **parameters).fit(FRAME, NUMBERS)
    assert model.choice_.tried
    assert model.validation_scores_ == {}


def test_labels_with_a_time_zone_make_no_noise(recwarn):
    y = pd.Series(pd.date_range("2020", periods=2, tz="Europe/Zurich"))
    model = EmbeddingClassifier(**QUICK).fit(FRAME, pd.concat([y] * 30, ignore_index=True))
    assert not list(recwarn)
    assert model.classes_.tolist() == [d.tz_convert(None).to_pydatetime() for d in y]


def test_scores_count_rows_by_their_weight():
    """Held-out rows of weight 0 are as if they were not there."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.choice(list("abc"), 400)})
    y, weight = rng.normal(size=400), (np.arange(400) % 2).astype(float)
    wild = np.where(weight > 0, y, 100 * y)
    scores = [
        EmbeddingRegressor(**QUICK).fit(frame, of, sample_weight=weight).validation_scores_
        for of in (wild, np.where(weight > 0, y, -50 * y))
    ]
    for name in ("RMSE", "MAE"):
        assert scores[0][name]["constant"] == pytest.approx(scores[1][name]["constant"])
        assert 0.5 < scores[0][name]["constant"] < 1.5


def test_rows_twice_have_the_scores_of_weight_two():
    rng = np.random.default_rng(1)
    weight = rng.integers(1, 4, 50)
    times = np.repeat(np.arange(50), weight)
    for task, y in (("regression", rng.normal(size=50)), ("binary", rng.integers(0, 2, 50) * 1.0)):
        target = learn_target(y if task == "regression" else y.astype(int), task)
        p = rng.random(50)
        prediction = p if task == "regression" else np.column_stack([1 - p, p])
        by_weight = held_out_scores(target, y, prediction, weight, y, weight)
        by_rows = held_out_scores(target, y[times], prediction[times], None, y[times], None)
        for name, of in by_rows.items():
            assert by_weight[name] == pytest.approx(of, rel=1e-6)


@pytest.mark.parametrize(
    "name",
    ["batch_norm", "category_dropout", "device", "n_epochs", "n_knots", "pairs", "shrinkage"],
)
def test_an_array_is_no_such_parameter(name):
    with pytest.raises(ParameterError, match=f"`{name}` must be .* got array"):
        fit(EmbeddingRegressor, FRAME, NUMBERS, **{name: np.array([["a", "b"]])})
