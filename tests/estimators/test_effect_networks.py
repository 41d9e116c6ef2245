"""Networks that see effects: what a row sees does not know its target; what they are good for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from catvec import EmbeddingClassifier, EmbeddingRegressor
from catvec.effects import learn_effects
from catvec.errors import ParameterError
from catvec.estimators._choice import choose_n_networks
from catvec.estimators._effects_apart import FOLDS, EffectsApart
from catvec.estimators._pairs import with_pairs
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._plan import Plan
from catvec.estimators._search import search
from catvec.estimators._settings import EffectNetworks, Setting, Settings
from catvec.estimators._training_set import read_training_set
from catvec.estimators._trials import Trials
from catvec.frames import make_folds
from catvec.network import Trained, learn_held_out, train_committee
from tests.estimators.forms import in_all_forms


def table(rng, n=400, n_shops=30):
    return pd.DataFrame(
        {
            "shop": rng.integers(n_shops, size=n).astype(str),
            "day": rng.integers(7, size=n).astype(str),
            "size": rng.normal(size=n),
        }
    )


def training_set(X, y, task="regression", **others):
    own = ("time_column", "min_frequency")
    parameters = {k: others.pop(k) for k in own if k in others}
    p = SharedParameters(n_knots=0, **parameters)
    training = read_training_set(p, X, y, task=task, **others)
    return with_pairs(training, [("shop", "day")])


def seen(training, rows=None, seed=0):
    """What is seen of the rows, and by column what each of them sees."""
    rows = np.arange(len(training)) if rows is None else rows
    view = EffectsApart.of(training, rows, [seed])
    looks = view.looks[view.rows]
    return view, [of_column[looks[:, c]] for c, of_column in enumerate(view.tables)]


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_a_row_sees_what_the_rows_of_other_folds_say(task, rng):
    """A naive twin: effects learned anew without the rows that look at the same block."""
    X = table(rng)
    y = (
        rng.normal(size=400)
        if task == "regression"
        else rng.integers(2 + (task != "binary"), size=400)
    )
    training = training_set(X, y, task)
    view, rows_of = seen(training)
    evidence, whole = training.evidence(), learn_effects(training.evidence())
    folds = make_folds(training.ties, FOLDS, np.random.default_rng([0]))
    for fold in folds:
        mine = np.zeros(400, bool)
        mine[fold.test] = True
        others = learn_effects(evidence.take(np.flatnonzero(~mine)))
        for c, axis in enumerate(view.axes):
            confidences = np.where(others[c].confidences > 0, whole[c].confidences, 0)
            expected = axis.table(others[c].effects, confidences)
            codes = training.arrays.codes[mine, c]
            np.testing.assert_array_equal(rows_of[c][mine], expected[codes])


@pytest.mark.parametrize("in_time", [False, True])
def test_rare_rows_that_no_other_fold_holds_see_nothing_of_their_own_target(in_time, rng):
    """What rare categories are is then known of these rows alone."""
    X = table(rng, n_shops=4).assign(time=np.arange(400))
    rare = np.arange(400) >= 390 if in_time else np.arange(400) == 17
    X.loc[rare, "shop"] = [f"rare {i}" for i in range(rare.sum())]
    given = {"time_column": "time"} if in_time else {"groups": None}
    of_target = []
    for target in (0.0, 100.0):
        y = np.where(rare, target, rng.normal(size=400))
        training = training_set(X, y, min_frequency=11, **given)
        view, rows_of = seen(training)
        at = np.isin(view.rows, np.flatnonzero(rare))
        assert not training.arrays.codes[rare][:, [0, -1]].any()  # of the shop, and of its pair
        of_target.append([rows_of[0][at], rows_of[-1][at]])
    for of_column in of_target:
        np.testing.assert_allclose(np.concatenate(of_column, axis=None), 0.0, atol=1e-6)


def test_rows_that_were_held_out_see_the_effects_of_all_that_train(rng):
    X, y = table(rng), rng.normal(size=400)
    training, train = training_set(X, y), np.arange(300)
    view, _ = seen(training, train)
    np.testing.assert_array_equal(view.looks[300:], training.arrays.codes[300:])
    learned = learn_effects(training.evidence().take(train))
    for c, (axis, one) in enumerate(zip(view.axes, learned, strict=True)):
        blocks = axis.table(one.effects, one.confidences)
        np.testing.assert_array_equal(view.tables[c][: len(blocks)], blocks)


def test_in_time_a_row_sees_what_came_before_and_the_first_ones_teach_nothing(rng):
    X = table(rng).assign(time=np.arange(400))
    y = np.where(np.arange(400) < 340, rng.normal(size=400), 50.0)
    training = training_set(X, y, time_column="time")
    view, rows_of = seen(training)
    assert 400 / (FOLDS + 1) - 2 < view.rows.min() < 400 / (FOLDS + 1) + 2
    early = view.rows < 330
    calm = training_set(X, np.where(np.arange(400) < 340, y, 0.0), time_column="time")
    other, _ = seen(calm)
    for c, (axis, of_column) in enumerate(zip(other.axes, rows_of, strict=True)):
        looks = view.looks[view.rows[early], c]
        # Of the same rows before them, whatever came later; in units of another axis.
        scaled = of_column[early, 1] * view.axes[c].scale
        np.testing.assert_allclose(scaled, other.tables[c][looks, 1] * axis.scale, rtol=1e-4)


@pytest.mark.usefixtures("mixed")
def test_what_no_training_row_saw_of_a_column_is_not_answered_by(rng):
    """Months come one after the other: no row knows the effect of its own from earlier ones."""
    X = table(rng, 600).assign(month=np.arange(600) // 50, time=np.arange(600) // 50)
    X["month"] = X["month"].astype(str)
    y = 100.0 * (X["time"].to_numpy() % 5 + X["day"].astype(int).to_numpy())
    parameters = {"n_networks": 2, "max_epochs": 6, "pairs": None, "random_state": 0}
    model = EmbeddingRegressor(**parameters, time_column="time").fit(X, y)
    (seeing,) = (n for n in model.networks_ if n.config.sees_effects)
    month = [vocabulary.name for vocabulary in model.schema_.vocabularies].index("month")
    assert not seeing.vectors(month).any()
    assert seeing.vectors(0).any()


def test_training_moves_no_effect(rng):
    """Nor the unknown's, which rare categories tell, nor those that held-out rows alone look at."""
    X = table(rng)
    X.loc[::4, "shop"] = [f"rare {i}" for i in range(100)]
    training = training_set(X, rng.normal(size=400) + (np.arange(400) % 4 == 0), min_frequency=2)
    plan = Plan(SharedParameters(n_knots=0), training, "squared", "numpy", None, 0)
    setting = Setting((1.0,) * len(plan.dims), "concatenate", 3).seeing_effects(3)
    job = plan.job(np.arange(400), np.arange(400) >= 360, 1, setting)
    (trained,) = train_committee([job])
    learn_held_out([trained])
    for c, anchor in job.anchors.by_column.items():
        assert c == 1 or anchor.offsets[0].any()
        np.testing.assert_array_equal(trained.network.tables.weight(c), anchor.offsets)


def test_groups_are_not_parted(rng):
    groups = np.arange(400) // 8
    X = table(rng).assign(shop=groups.astype(str))
    training = training_set(X, rng.normal(size=400), groups=groups)
    _, rows_of = seen(training)
    # A shop of one group is unknown to the other folds; days are known to all.
    assert not rows_of[0].any()
    assert rows_of[1][:, 0].all()


@pytest.fixture
def mixed(monkeypatch):
    """Every second network sees effects, whatever held-out rows say."""
    monkeypatch.setattr(Trials, "effect_networks", lambda *_: EffectNetworks(2, 6))


def of_pairs(rng, n=1500):
    """A table whose target is an effect of shop and day together, and of the size."""
    X = table(rng, n)
    at = rng.normal(size=(30, 7))
    return X, at[X["shop"].astype(int), X["day"].astype(int)] + 0.3 * X["size"].to_numpy()


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_all_that_a_model_does_it_does_with_such_networks(kind, rng, tmp_path):
    pytest.importorskip("torch")
    X, y = of_pairs(rng, 600)
    new = table(rng, 100)
    if kind == "regressor":
        make, answer = EmbeddingRegressor, EmbeddingRegressor.predict
    else:
        make, answer = EmbeddingClassifier, EmbeddingClassifier.predict_proba
        y = np.digitize(y, [-0.5, 0.5])
    given = {"shrinkage": 10.0, "interactions": "concatenate", "batch_norm": True}
    model = make(**given, n_networks=4, max_epochs=6, random_state=0).fit(X, y)
    assert [n.config.sees_effects for n in model.networks_] == [False, True] * 2
    in_all_forms(model, answer, new, tmp_path)
    explanation = model.explain(new)
    assert explanation.contributions.shape[1] == 3
    assert np.abs(explanation.residual).max() < 1e-4
    widths = {name: model.vectors_[name].vectors.shape[1] for name in ("shop", "day")}
    assert widths == dict(zip(("shop", "day"), model.networks_[0].config.dims, strict=False))


@pytest.mark.usefixtures("mixed")
def test_a_missing_value_that_training_never_met_is_answered_as_unknown(rng):
    X, y = of_pairs(rng, 600)
    rare = np.arange(600) % 4 == 0
    X.loc[rare, "shop"] = [f"rare {i}" for i in range(150)]
    parameters = {"n_networks": 2, "max_epochs": 6, "random_state": 0, "min_frequency": 2}
    model = EmbeddingRegressor(**parameters).fit(X, y + 3.0 * rare)
    new = pd.DataFrame({"shop": [None, "new"], "day": "1", "size": 0.0})
    assert any(network.config.sees_effects for network in model.networks_)
    for _ in range(2):
        missing, unknown = model.predict(new)
        assert missing == unknown
        model.partial_fit(X[~rare][:50], y[~rare][:50])


@pytest.mark.usefixtures("mixed")
def test_further_rows_move_effects_and_so_what_is_answered(rng, tmp_path):
    X, y = of_pairs(rng)
    model = EmbeddingRegressor(n_networks=2, n_epochs=6, random_state=0).fit(X, y)
    model.save(tmp_path / "model.catvec")
    loaded = EmbeddingRegressor.load(tmp_path / "model.catvec")
    later = pd.DataFrame({"shop": ["new"] * 40, "day": ["0", "1"] * 20, "size": 0.0})
    before = model.predict(X)
    for one in (model, loaded):
        one.partial_fit(later, np.full(40, 3.0), existing="frozen")
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.predict(later[:1])[0] > loaded.target_.center + 0.5
    np.testing.assert_array_equal(loaded.predict(later), model.predict(later))
    model.partial_fit(X[:200], y[:200] + 5.0)
    (network,) = (n for n in model.networks_ if n.config.sees_effects)
    own = model.vectors_["shop"]
    axis = network.config.axes[0]
    shifts, confidences = own.by_code()[1], own.by_code()[2]
    np.testing.assert_allclose(
        network.vectors(0), axis.table(shifts[:, None], confidences), atol=1e-5
    )
    assert model.predict(X[:200]).mean() > before[:200].mean() + 0.1


@pytest.mark.usefixtures("mixed")
def test_a_missing_value_that_comes_later_is_new_to_frozen_networks(rng, tmp_path):
    X, y = of_pairs(rng, 600)
    model = EmbeddingRegressor(n_networks=2, n_epochs=6, random_state=0).fit(X, y)
    model.save(tmp_path / "model.catvec")
    (seeing,) = (i for i, n in enumerate(model.networks_) if n.config.sees_effects)
    for one in (model, EmbeddingRegressor.load(tmp_path / "model.catvec")):
        rows = [one.networks_[seeing].vectors(0).copy()]
        for shop in ("31", None):
            later = pd.DataFrame({"shop": [shop] * 40, "day": "1", "size": 0.0})
            one.partial_fit(later, np.full(40, 9.0), existing="frozen")
            rows.append(one.networks_[seeing].vectors(0).copy())
        start, no_gap, gap = rows
        np.testing.assert_array_equal(no_gap[:2], start[:2])  # unknown, and missing as unknown
        np.testing.assert_array_equal(gap[2 : len(start)], start[2:])
        assert gap[1, 1] > start[1, 1] + 1.0


def test_the_same_bits_whatever_the_threads_and_none_if_not_wanted(rng):
    X, y = of_pairs(rng, 400)
    given = {"shrinkage": 10.0, "interactions": "concatenate", "batch_norm": True}
    parameters = {**given, "n_networks": 2, "max_epochs": 6, "random_state": 3}
    one, two = (EmbeddingRegressor(**parameters, n_jobs=n).fit(X, y) for n in (1, 2))
    assert one.choice_ == two.choice_
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    without = clone(one).set_params(effect_networks=False).fit(X, y)
    assert without.choice_.effect_networks is None
    assert not any(network.config.sees_effects for network in without.networks_)


def test_they_are_taken_where_effects_of_pairs_say_it_all(rng):
    """Thirty shops on seven days: too few rows of each for vectors of pairs, enough for effects."""
    X, y = of_pairs(rng, 2000)
    y = y + 1.5 * rng.normal(size=2000)
    given = {"shrinkage": 10.0, "interactions": "concatenate", "batch_norm": True}
    model = EmbeddingRegressor(**given, n_networks=4, random_state=0).fit(X, y)
    assert model.choice_.effect_networks is not None


class OfStretches:
    """Stands in for training, of a target of 0: networks that see effects hit it in some stretches.

    In others they answer `wrong`, and those with vectors always 1.
    """

    def __init__(self, right, wrong):
        self.right, self.wrong, self.rungs = right, wrong, {}

    def __call__(self, jobs):
        return list(map(self.train, jobs))

    def train(self, job):
        score = 1.0
        if job.config.sees_effects:
            rung = self.rungs.setdefault(int(job.held_out.rows.min()), len(self.rungs))
            score = 0.0 if rung in self.right else self.wrong
        return Trained(Always(score, job.config), [], 0.5 * score**2)


class Always:
    def __init__(self, score, config):
        self.score, self.config = score, config

    def predict(self, inputs, **_):
        return np.full((len(inputs.codes), 1), self.score)

    def vectors(self, c):
        return np.ones((self.config.n_codes[c], self.config.dims[c]), np.float32)


@pytest.mark.parametrize(
    ("right", "wrong", "taken"),
    [((0, 1), 5.0, True), ((0,), 5.0, False), ((0,), 1.5, False), ((0,), 1.1, True)],
)
def test_in_time_no_stretch_loses_more_by_effects_than_is_gained(right, wrong, taken, rng):
    X = table(rng, 1000).assign(time=np.arange(1000))
    given = {"time_column": "time", "n_knots": 0, "pairs": None, "interactions": "concatenate"}
    p = SharedParameters(**given, n_epochs=12)
    training = read_training_set(p, X, np.zeros(1000), task="regression")
    run = OfStretches(right, wrong)
    plan = Plan(p, training, "squared", "numpy", None, 0)
    _, settings, _ = search(plan, run, 4, judged=True, effect_networks=True)
    assert (settings.effect_networks is not None) == taken
    assert len(run.rungs) == 2


@pytest.mark.parametrize(("n_epochs", "every", "n_networks"), [(3, 2, 12), (12, 2, 8), (3, 4, 8)])
def test_networks_that_take_few_epochs_leave_time_for_more(n_epochs, every, n_networks):
    first = Setting((1.0,), "concatenate", 12)
    settings = Settings(first, replace(first, batch_norm=False), EffectNetworks(every, n_epochs))
    each = [settings.of(number) for number in range(4)]
    assert sum(setting.sees_effects for setting in each) == 4 // every
    assert sum(not setting.batch_norm for setting in each) == 1
    assert settings.mean_epochs == np.mean([setting.n_epochs for setting in each])
    for n_rows, most in ((100_000, 8), (1_000, 12)):  # a small table has more anyway
        shorter = settings.mean_epochs / 12
        found = choose_n_networks(SharedParameters(), n_rows, 12, shorter=shorter)
        assert found == n_networks if most == 8 else found > n_networks
        assert found * settings.mean_epochs <= most * 12


def test_in_time_there_are_as_many_networks_of_each_kind():
    """Of a table of which five, three or none could be afforded."""
    for n_rows, alone, of_both in ((100_000, 5, 4), (170_000, 3, 2), (900_000, 1, 1)):
        for n_kinds, wanted in ((1, alone), (2, of_both)):
            found = choose_n_networks(SharedParameters(), n_rows, 60, n_kinds=n_kinds)
            assert found == wanted


@pytest.mark.parametrize("every", [2, 4])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_committee_is_judged_by_the_networks_it_has(every, mixed):
    first = Setting((1.0,), "concatenate", 12)
    second = replace(first, batch_norm=False) if mixed else None
    settings = Settings(first, second, EffectNetworks(every, 3))
    for n_networks in range(1, 13):
        each = [settings.of(number) for number in range(n_networks)]
        counts = [sum(setting == kind for setting in each) for kind in settings.kinds]
        assert settings.shares(n_networks) == [n / n_networks for n in counts]
        within = settings.within(n_networks)
        assert within.second == (second if second in each else None)
        assert [within.of(number) for number in range(n_networks)] == each


def test_a_second_kind_that_no_network_has_is_not_told(rng, monkeypatch):
    def second(_, best, __):
        return [replace(best, setting=replace(best.setting, batch_norm=False))]

    monkeypatch.setattr(Trials, "second", second)
    monkeypatch.setattr(Trials, "effect_networks", lambda *_: EffectNetworks(2, 3))
    X, y = of_pairs(rng, 200)
    given = {"max_epochs": 3, "pairs": None, "random_state": 0}
    for n_networks, told in ((2, False), (3, True)):
        model = EmbeddingRegressor(n_networks=n_networks, **given).fit(X, y)
        assert (model.choice_.second is not None) == told
        normed = [network.config.batch_norm for network in model.networks_]
        assert all(normed) != told


def test_of_few_moments_there_may_be_no_earlier_ones(rng):
    X, y = of_pairs(rng, 240)
    for n_moments in (1, 2, 3):
        X["time"] = np.arange(240) * n_moments // 240
        model = EmbeddingRegressor(max_epochs=3, time_column="time", random_state=0).fit(X, y)
        assert n_moments > 2 or model.choice_.effect_networks is None


def test_what_would_take_too_much_memory_is_not_seen(rng, monkeypatch):
    monkeypatch.setattr(Trials, "effect_networks", lambda *_: EffectNetworks(2, 3))
    X, y = of_pairs(rng, 200)
    parameters = {"n_networks": 2, "max_epochs": 3, "pairs": None, "random_state": 0}
    model = EmbeddingRegressor(**parameters).fit(X, y)
    assert model.choice_.effect_networks == EffectNetworks(2, 3)
    monkeypatch.setattr("catvec.estimators._effects_apart.MOST_BYTES", 1000)
    model = EmbeddingRegressor(**parameters).fit(X, y)
    assert model.choice_.effect_networks is None
    assert not any(network.config.sees_effects for network in model.networks_)


@pytest.mark.usefixtures("mixed")
def test_numbers_alone_have_no_effects(rng):
    X, y = of_pairs(rng, 200)
    model = EmbeddingRegressor(n_networks=2, max_epochs=3, random_state=0).fit(X[["size"]], y)
    assert model.choice_.effect_networks is None


def test_what_is_neither_true_nor_false_is_refused(rng):
    X, y = of_pairs(rng, 50)
    with pytest.raises(ParameterError, match="effect_networks"):
        EmbeddingRegressor(effect_networks="auto").fit(X, y)
