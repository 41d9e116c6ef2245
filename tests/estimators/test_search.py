"""The search finds what was planted, chooses nothing where nothing is, and leaks nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.estimators import _choice, _search
from catvec.estimators._choice import SHRINKAGES, epoch_grid
from catvec.estimators._judged import Judged
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._plan import Plan
from catvec.estimators._search import FEW_FINALISTS, MANY_FINALISTS, search
from catvec.estimators._training_set import read_training_set
from catvec.estimators._trials import GAIN, LUCK, MOST_RUNGS, Trials
from catvec.network import INTERACTIONS, Trained, make_loss

PLAIN = {"pairs": None, "interactions": "concatenate"}
CLIMB = 2 * MOST_RUNGS  # seed of its networks; the final has two by rung
SMALL = {
    "shrinkage": 1.0,
    "interactions": "concatenate",
    "hidden_sizes": (8,),
    "n_epochs": 8,
    "n_networks": 1,
    "engine": "numpy",
}


def text(codes):
    return np.char.add("k", codes.astype(str))


def signs_of_pairs(rng, n_rows=3000, k=12):
    """Random signs by combination, of which columns by themselves say nothing."""
    sign = rng.choice([-1.0, 1.0], size=(k // 2, k // 2))
    sign = np.block([[sign, -sign], [-sign, sign]])
    codes = rng.integers(k, size=(n_rows, 2))
    truth = sign[codes[:, 0], codes[:, 1]]
    X = pd.DataFrame({"a": text(codes[:, 0]), "b": text(codes[:, 1])})
    return X.assign(c=text(rng.integers(6, size=n_rows))), truth


def plain_effects(rng, n_rows=3000):
    codes = rng.integers(12, size=(n_rows, 3))
    truth = sum(rng.normal(size=12)[column] for column in codes.T)
    return pd.DataFrame({name: text(codes[:, i]) for i, name in enumerate("abc")}), truth


# --- the climb and the final, with losses that are planted instead of trained ---------------------


@pytest.fixture(autouse=True)
def judged_once(monkeypatch):
    """The climb of these small tables is judged by one part of the rows, as that of large ones."""
    monkeypatch.setattr(_search, "FEW_JUDGES", 1)


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize(("few", "n_parts"), [(80, 1), (81, 2), (400, 5), (1000, 5)])
def test_the_climb_of_a_small_table_is_judged_by_several_parts(few, n_parts, rng, monkeypatch):
    """Who is lucky with one part is not chosen; the parts are disjoint."""
    monkeypatch.setattr(_search, "FEW_JUDGES", few)

    def loss(strength, _, __, seed):
        return 1.0 + 0.3 * abs(np.log10(strength / 10.0)) - 0.9 * (strength == 1000.0 == 250 * seed)

    run = Losses(loss)
    _, settings, _ = search(planned(rng, pairs=None, interactions="product"), run, 4, judged=True)
    climb = {job.seed: job.held_out.rows for job in run.jobs if job.seed >= CLIMB}
    assert sorted(climb) == [CLIMB + part for part in range(n_parts)]
    judges = np.concatenate(list(climb.values()))
    assert len(set(judges)) == len(judges) == 80 * n_parts
    assert settings.first.shrinkage[0] == (1000.0 if n_parts < 2 else 10.0)


def planned(rng, n_rows=400, groups=None, **parameters):
    """A plan for a table of two columns, and of their pair; epochs and batch norm are given."""
    parameters = {"n_epochs": 12, "batch_norm": True, **parameters}
    X = pd.DataFrame({name: text(rng.integers(6, size=n_rows)) for name in "ab"})
    p = SharedParameters(**parameters)
    y = rng.normal(size=n_rows)
    training = read_training_set(p, X, y, task="regression", groups=groups)
    return Plan(p, training, "squared", "numpy", None, 0)


def planned_in_time(rng, n_rows=2000, **parameters):
    """The same of rows that come in time."""
    X = pd.DataFrame({name: text(rng.integers(6, size=n_rows)) for name in "ab"})
    X["t"] = rng.permutation(n_rows)
    p = SharedParameters(columns=["a", "b"], time_column="t", n_epochs=12, **parameters)
    training = read_training_set(p, X, rng.normal(size=n_rows), task="regression")
    return Plan(p, training, "squared", "numpy", None, 0)


class Stub:
    """Stands in for a network that answers the same number for all rows."""

    def __init__(self, answer, tables=()):
        self.answer, self.tables = answer, self
        self.vectors = tables.__getitem__ if tables else lambda _: np.zeros((8, 3), np.float32)

    def predict(self, inputs, **_):
        return np.full((len(inputs), 1), self.answer)


class Losses:
    """Stands in for training: told what a job's network would lose; keeps the jobs."""

    def __init__(self, loss):
        self.loss, self.jobs = loss, []

    def __call__(self, jobs):
        self.jobs += jobs
        return [Trained(Stub(0.0), [], self.loss(*self.traits(job), job.seed)) for job in jobs]

    @staticmethod
    def traits(job):
        return job.training.shrinkage[0], job.config.n_pairs, job.config.interactions


@pytest.fixture
def agreeing(monkeypatch):
    """Networks never disagree, so that a committee loses what each of them does."""

    def mean(judged, kinds, _):
        return float(np.mean([judged.alone[i] for kind in kinds for i in kind]))

    monkeypatch.setattr(Judged, "committee_loss", mean)


REACHED = [
    (strength, n_pairs, kind)
    for strength in SHRINKAGES
    for n_pairs in (0, 1)
    for kind in INTERACTIONS
]


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("best", REACHED)
def test_the_planted_best_is_found(best, rng):
    """Losses fall towards one setting; trials are as noisy as networks are."""

    def loss(strength, n_pairs, kind, seed):
        noise = np.random.default_rng([seed, n_pairs, int(10 * strength)]).normal(scale=0.003)
        steps = abs(np.log10(strength / best[0]))
        return 1.0 + 0.05 * steps + 0.1 * (n_pairs != best[1]) + 0.03 * (kind != best[2]) + noise

    run = Losses(loss)
    plan, settings, tried = search(planned(rng, n_rows=1000), run, 4, judged=True)
    assert (
        settings.first.shrinkage[0],
        len(plan.training.schema.pairs),
        settings.first.interactions,
    ) == best
    assert len(set(settings.first.shrinkage)) == 1
    assert not tried or min(tried, key=tried.get) == best[0]  # products need no other strength
    assert list(tried) == sorted(tried)


@pytest.mark.usefixtures("agreeing")
def test_the_best_meet_in_the_final(rng):
    run = Losses(lambda strength, *_: 1.0 + 0.001 * abs(np.log10(strength / 100.0)))
    search(planned(rng), run, 4, judged=True)
    climb = 3 + 4  # strengths; pairs with the best one and the next; two products
    final = [job.seed for job in run.jobs[climb:]]
    assert {job.seed for job in run.jobs[:climb]} == {CLIMB}
    first, second = [0, 1], [2, 3]
    assert final == first * MANY_FINALISTS + second * FEW_FINALISTS
    assert [len(job.held_out) for job in run.jobs[:: len(run.jobs) - 1]] == [80, 40]


@pytest.mark.usefixtures("agreeing")
def test_what_breaks_down_has_lost(rng):
    def loss(strength, n_pairs, kind, _):
        return np.inf if strength == 100 or kind != "concatenate" else 1.0 + n_pairs / 10

    _, settings, tried = search(planned(rng), Losses(loss), 4, judged=True)
    assert (settings.first.shrinkage[0], settings.first.interactions) == (1000.0, "concatenate")
    assert 100.0 not in tried
    _, settings, tried = search(planned(rng), Losses(lambda *_: np.inf), 4, judged=True)
    assert (settings.first.shrinkage[0], tried) == (10.0, {})  # for training to say what is wrong


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("paired_first", [False, True])
def test_pairs_meet_no_pairs_in_the_final(paired_first, rng):
    """What a single network says of pairs is too noisy to decide, in either direction."""

    def loss(strength, n_pairs, _, seed):
        climbing = seed == CLIMB
        behind = bool(n_pairs) != (paired_first if climbing else not paired_first)
        gap = (0.02 if climbing else 0.06) * behind
        return 1.0 + gap - 0.016 * n_pairs + 0.002 * abs(np.log10(strength / 100.0))

    plan = planned(rng, n_rows=4000, interactions="concatenate")
    plan, _, _ = search(plan, Losses(loss), 4, judged=True)
    assert len(plan.training.schema.pairs) == (not paired_first)


@pytest.mark.parametrize(
    ("given", "grid"),
    [
        ({}, [3, 6, 12, 24]),
        ({"max_epochs": 40}, [5, 10, 20, 40]),
        ({"max_epochs": 13}, [3, 6, 13]),
        ({"max_epochs": 5}, [5]),
        ({"max_epochs": 1}, [1]),
        ({"n_epochs": 7}, [7]),
    ],
)
def test_epochs_are_halves_of_the_most(given, grid):
    assert epoch_grid(SharedParameters(**given)) == grid
    of_groups = epoch_grid(SharedParameters(**given), grouped=True)
    assert of_groups[-len(grid) :] == grid
    assert (of_groups[0] < grid[0]) == (grid[0] > 1 and "n_epochs" not in given)


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("best", [3, 6, 12, 24])
@pytest.mark.parametrize("strength", [1.0, 1000.0])
def test_the_planted_number_of_epochs_is_found(best, strength, rng):
    class Epochs(Losses):
        @staticmethod
        def traits(job):
            return job.training.shrinkage[0], job.training.n_epochs

    def loss(tried, n_epochs, _):
        return 1.0 + 0.1 * abs(np.log2(n_epochs / best)) + 0.1 * abs(np.log10(tried / strength))

    run = Epochs(loss)
    plan = planned(rng, n_epochs="auto", pairs=None, interactions="concatenate")
    plan, settings, _ = search(plan, run, 4, judged=True)
    assert (settings.first.n_epochs, settings.first.shrinkage[0]) == (best, strength)
    assert plan.job(np.arange(400), None, 0, settings.first).training.n_epochs == best
    assert len(run.jobs) < 20  # of 20 settings


@pytest.mark.usefixtures("agreeing")
def test_more_rows_may_bear_more_epochs(rng, monkeypatch):
    monkeypatch.setattr(_search, "FIRST_ROWS", 300)

    class Epochs(Losses):
        @staticmethod
        def traits(job):
            return job.training.n_epochs, job.seed == CLIMB

    run = Epochs(lambda n, climbing, _: 1.0 + 0.1 * abs(np.log2(n / (6 if climbing else 12))))
    plan = planned(rng, n_rows=1000, n_epochs="auto", shrinkage=3.0, pairs=None)
    _, settings, _ = search(plan, run, 4, judged=True)
    assert settings.first.n_epochs == 12
    monkeypatch.setattr(_search, "LAST_ROWS", 900)
    _, settings, _ = search(plan, run, 4, judged=True)
    assert settings.first.n_epochs == 24  # the final saw a part
    monkeypatch.setattr(_search, "MOST_ROW_EPOCHS", 23_000)
    _, settings, _ = search(plan, run, 4, judged=True)
    assert settings.first.n_epochs == 12


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize(
    ("n_groups", "asked", "n_epochs", "strength"),
    [
        (20, {(12, 100.0), (6, 100.0), (12, 1000.0)}, 3, 1000.0),  # four and ten times as dense
        (8000, {(12, 100.0), (24, 100.0), (12, 10.0)}, 24, 100.0),  # twenty times as many groups
    ],
)
def test_more_rows_of_the_same_groups_bear_fewer_epochs(
    n_groups, asked, n_epochs, strength, rng, monkeypatch
):
    monkeypatch.setattr(_search, "FIRST_ROWS", 200)
    monkeypatch.setattr(_search, "LAST_ROWS", 2000 if n_groups == 20 else 400)

    class Traits(Losses):
        @staticmethod
        def traits(job):
            return job.training.n_epochs, job.training.shrinkage[0]

    run = Traits(
        lambda n, tried, _: 1 + 0.2 * abs(np.log2(n / 12)) + 0.2 * abs(np.log10(tried / 100))
    )
    plan = planned(rng, 8000, np.arange(8000) % n_groups, n_epochs="auto", **PLAIN)
    _, settings, _ = search(plan, run, 4, judged=True)
    final = {run.traits(job) for job in run.jobs if job.seed != CLIMB}
    assert final == asked
    assert (settings.first.n_epochs, settings.first.shrinkage[0]) == (n_epochs, strength)


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize(("n_groups", "strongest"), [(40, 1e6), (None, 1000.0)])
def test_stronger_priors_are_for_groups(n_groups, strongest, rng):
    groups = np.arange(2000) % n_groups if n_groups else None
    plan = planned(rng, 2000, groups, **PLAIN)
    _, settings, _ = search(plan, Losses(lambda strength, *_: 1 / strength), 4, judged=True)
    assert settings.first.shrinkage[0] == strongest


@pytest.mark.usefixtures("agreeing")
def test_where_rows_are_grouped_nobody_leaves_between_rungs(rng):
    """Rows of a group err together: two hundred of them in four groups tell little."""
    run = Losses(lambda strength, *_: 1.0 + 0.03 * abs(np.log10(strength / 100.0)))
    plan = planned(rng, 2000, np.arange(2000) % 40, **PLAIN)
    _, settings, _ = search(plan, run, 4, judged=True)
    assert settings.first.shrinkage[0] == 100.0
    final = [job for job in run.jobs if job.seed != CLIMB]
    assert [job.seed for job in final] == [0, 1] * 3 + [2, 3] * 3
    judges = [set(job.held_out.rows % 40) for job in final]
    assert not judges[0] & judges[-1]


@pytest.mark.usefixtures("agreeing")
def test_in_time_each_rung_has_a_stretch_of_its_own(rng):
    """The latest rows do not teach what is judged by earlier ones."""
    plan = planned_in_time(rng, batch_norm=True, pairs=None, interactions="product")
    run = Losses(lambda strength, *_: 1.0 + 0.03 * abs(np.log10(strength / 100.0)))
    _, settings, _ = search(plan, run, 4, judged=True)
    assert settings.first.shrinkage[0] == 100.0
    time = plan.training.ties.time
    final = [job for job in run.jobs if job.seed != CLIMB]
    assert [job.seed for job in final] == [0, 1] * 3 + [2, 3] * 3
    for job in final:
        held_out, n_later = time[job.held_out.rows], 200 * (job.seed // 2)
        assert time[job.data.rows].max() < held_out.min()
        assert held_out.max() == 1999 - n_later
        assert len(held_out) == (200 if n_later == 0 else 180)


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize(("behind", "stays"), [(0.03, True), (0.045, False)])
def test_in_time_those_far_behind_leave_but_not_the_best_with_pairs(behind, stays, rng):
    """Of these a committee may be made as well, though they are behind by a tenth."""

    def loss(strength, n_pairs, *_):
        worse = {100.0: 0.0, 10.0: behind}.get(strength, 0.3)
        return (1.1 if n_pairs else 1.0) + worse

    run = Losses(loss)
    search(planned_in_time(rng, interactions="concatenate"), run, 4, judged=True)
    rungs = [set(), set()]
    for job in run.jobs:
        if job.seed in range(2 * MOST_RUNGS):
            rungs[job.seed // 2].add((job.training.shrinkage[0], job.config.n_pairs))
    assert rungs[0] == {(100.0, 0), (10.0, 0), (100.0, 1)}
    assert rungs[1] == (rungs[0] if stays else {(100.0, 0), (100.0, 1)})


def test_fits_tell_the_epochs_that_they_took(rng):
    """Noise is learned by heart; the fewest epochs lose least, and each network runs as many."""
    X = pd.DataFrame({name: text(rng.integers(60, size=600)) for name in "ab"})
    settings = {**SMALL, "n_epochs": "auto", "n_networks": 2, "pairs": None, "shrinkage": 0.0}
    model = EmbeddingRegressor(**settings, learning_rate=0.02, random_state=0)
    model.fit(X, rng.normal(size=600))
    assert model.choice_.n_epochs == 3
    assert [record["epoch"] for record in model.history_] == [1, 2, 3] * 2


@pytest.mark.parametrize(
    ("given", "tried"),
    [((), ()), ((8,), (8,)), ((128, 64), (64, 32)), ((16, 256, 20), (16, 32, 20))],
)
def test_trials_have_few_hidden_units_and_the_committee_all(given, tried, rng):
    run = Losses(lambda *_: 1.0)
    plan, settings, _ = search(planned(rng, hidden_sizes=given), run, 4, judged=True)
    assert {job.config.hidden_sizes for job in run.jobs} == {tried}
    rows = np.arange(len(plan.training))
    assert plan.job(rows, None, 0, settings.first).config.hidden_sizes == given


@pytest.mark.usefixtures("agreeing")
def test_rows_enough_have_judged_after_one_rung(rng, monkeypatch):
    monkeypatch.setattr(_search, "JUDGES", 40)
    run = Losses(lambda strength, *_: 1.0 + 0.001 * abs(np.log10(strength / 100.0)))
    search(planned(rng), run, 4, judged=True)
    assert {job.seed for job in run.jobs} == {CLIMB, 0, 1}


@pytest.mark.usefixtures("agreeing")
def test_no_final_where_one_is_far_ahead(rng):
    run = Losses(lambda strength, *_: 1.0 + abs(np.log10(strength / 100.0)))
    plan = planned(rng, pairs=None, interactions="product")
    _, settings, _ = search(plan, run, 4, judged=True)
    assert {job.seed for job in run.jobs} == {CLIMB}
    assert settings.first.shrinkage[0] == 100.0


@pytest.mark.usefixtures("agreeing")
def test_nobody_is_tried_twice_in_the_climb(rng):
    run = Losses(lambda strength, n_pairs, *_: np.log10(strength) - 0.1 * n_pairs)
    search(planned(rng), run, 4, judged=True)
    keys = [run.traits(job) for job in run.jobs if job.seed == CLIMB]
    assert len(set(keys)) == len(keys)
    assert min(keys)[0] == SHRINKAGES[0]


def squared_loss(answer, target):
    return make_loss("squared").value(np.full((len(target), 1), answer), target, None)


class Answers:
    """Stands in for training: told the one number that a job's network answers all rows with."""

    def __init__(self, answer):
        self.answer, self.jobs = answer, []

    def __call__(self, jobs):
        self.jobs += jobs
        return [self.trained(job, self.answer(job)) for job in jobs]

    @staticmethod
    def trained(job, answer):
        loss = squared_loss(answer, job.held_out.part(job.held_out.target))
        return Trained(Stub(answer), [], loss)


def test_a_committee_is_judged_by_what_its_networks_disagree_by(rng):
    """Two that err to both sides lose half of it less together, and four of them three fourths."""
    plan = planned(rng)
    trials = Trials(plan, [], 0.1, 4, Answers(lambda job: {0: 1.0, 1: -1.0}[job.seed]))
    (contender, *_) = trials.starts()
    trials.judge([contender], 0, (0, 1))
    rows, mask = trials.splits[0]
    rows = rows[mask]
    target = plan.data.target[rows]
    alone = np.mean([squared_loss(answer, target) for answer in (1.0, -1.0)])
    together = squared_loss(0.0, target)
    assert contender.loss == pytest.approx(alone - 0.75 * 2 * (alone - together))


def judged(rng, *answers):
    """Networks of two kinds, two of each, and the target of the rows that judge them."""
    plan = planned(rng)
    trials = Trials(plan, [], 0.1, 4, Answers(None))
    job = plan.job(*trials.splits[0], 0, trials.starts()[0].setting)
    networks = [Answers.trained(job, answer) for answer in answers]
    return Judged(networks, job, make_loss("squared")), job.held_out.alone().target


def test_a_committee_of_two_kinds_loses_what_their_networks_do_together(rng):
    """Four of two kinds are those at hand; two are one of each, whichever."""
    answers = [1.0, 0.4, -0.8, 0.1]
    networks, target = judged(rng, *answers)
    loss = networks.committee_loss([[0, 1], [2, 3]], 4)
    assert loss == pytest.approx(squared_loss(np.mean(answers), target))
    couples = [(one + other) / 2 for one in answers[:2] for other in answers[2:]]
    expected = np.mean([squared_loss(answer, target) for answer in couples])
    assert networks.committee_loss([[0, 1], [2, 3]], 2) == pytest.approx(expected)


def test_a_kind_of_one_network_is_taken_to_disagree_as_the_others_do(rng):
    """Told by all four of two kinds that do disagree alike, or by three of them."""
    networks, target = judged(rng, 1.0, 0.4, 0.0, 0.6)
    of_four = squared_loss(0.5, target)
    assert networks.committee_loss([[0, 1], [2, 3]], 4) == pytest.approx(of_four)
    by_one = [networks.committee_loss([[0, 1], [i]], 4) for i in (2, 3)]
    assert np.mean(by_one) == pytest.approx(of_four)


WITHOUT_NORM = {  # what such networks answer by strength, where others answer 1: the prior they get
    "err to the other side": (lambda _: -1.0, 100.0),
    "are flattened by a strong prior": (lambda strength: 3.0 if strength == 100.0 else -1.0, 10.0),
    "are worse": (lambda _: 3.0, None),
}


@pytest.mark.parametrize("case", WITHOUT_NORM)
def test_every_second_network_does_without_batch_norm_if_a_committee_is_better(case, rng):
    answer, strength = WITHOUT_NORM[case]

    def answers(job):
        is_best = job.training.shrinkage[0] == 100.0
        return 1.0 + (not is_best) if job.config.batch_norm else answer(job.training.shrinkage[0])

    run = Answers(answers)
    plan = planned(rng, batch_norm="auto", pairs=None, interactions="product")
    _, settings, _ = search(plan, run, 4, judged=True)
    assert settings.first.shrinkage[0] == 100.0
    second = settings.second
    assert (None if second is None else second.shrinkage[0]) == strength
    rows = np.arange(len(plan.training))
    networks = [plan.job(rows, None, i, settings.of(i)) for i in range(4)]
    assert [job.config.batch_norm for job in networks] == [True, strength is None] * 2
    assert networks[1].training.shrinkage[0] == (100.0 if strength is None else strength)
    assert networks[2].training.shrinkage[0] == 100.0


@pytest.mark.parametrize(("best", "tried", "second"), [(6, {6, 12}, 12), (12, {12}, 12)])
def test_without_batch_norm_few_epochs_may_be_twice_as_many(best, tried, second, rng):
    def answers(job):
        n_epochs = job.training.n_epochs
        if job.config.batch_norm:
            return 1.0 + (n_epochs != best)
        return -1.0 if n_epochs == 12 else 3.0

    run = Answers(answers)
    given = {"shrinkage": 10.0, "pairs": None, "interactions": "product"}
    plan = planned(rng, batch_norm="auto", n_epochs="auto", max_epochs=24, **given)
    _, settings, _ = search(plan, run, 4, judged=True)
    assert {j.training.n_epochs for j in run.jobs if not j.config.batch_norm} == tried
    assert settings.first.n_epochs == best
    assert settings.second.n_epochs == second


@pytest.mark.parametrize("batch_norm", [True, False])
def test_norms_that_were_asked_for_are_not_tried(batch_norm, rng):
    run = Losses(lambda *_: 1.0)
    _, settings, _ = search(planned(rng, batch_norm=batch_norm), run, 4, judged=True)
    assert {job.config.batch_norm for job in run.jobs} == {batch_norm}
    assert settings.second is None


@pytest.mark.parametrize("other", [-0.35, 0.35], ids=["errs to the other side", "errs alike"])
@pytest.mark.parametrize("paired_first", [False, True])
def test_where_groups_are_new_every_second_network_may_follow_another_finalist(
    other, paired_first, rng
):
    """With tables of pairs or without, whichever the best has not, if a committee is better."""
    groups = np.arange(4000) // 8
    run = Answers(lambda job: 0.25 if bool(job.config.n_pairs) == paired_first else other)
    plan = planned(rng, 4000, groups, shrinkage=1.0, interactions="concatenate")
    plan, settings, _ = search(plan, run, 4, judged=True)
    jobs = [plan.job(np.arange(4000), None, i, settings.of(i)) for i in range(4)]
    mixed = other < 0
    assert [bool(job.config.n_pairs) for job in jobs] == [paired_first, paired_first ^ mixed] * 2
    for job in jobs:  # those without pairs are not given their codes
        assert job.data.inputs.codes.shape[1] == len(job.config.n_codes)
        assert len(job.training.shrinkage) == len(job.config.n_rows)


@pytest.mark.parametrize(
    ("in_time", "other", "taken"),
    [(False, 0.2504, False), (True, 0.2504, True), (True, 0.35, True), (True, 0.45, False)],
)
def test_a_second_kind_may_be_worse_where_rows_come_in_time(in_time, other, taken, rng):
    """Committees of both lose more by 0.02, 2.5 and 5.5%."""
    given = {"shrinkage": 1.0, "interactions": "concatenate"}
    groups = np.arange(2000) // 8
    plan = planned_in_time(rng, **given) if in_time else planned(rng, 2000, groups, **given)
    plan.training.values[:] -= plan.training.values.mean()
    run = Answers(lambda job: other if job.config.n_pairs else 0.25)
    _, settings, _ = search(plan, run, 4, judged=True)
    assert not settings.first.paired
    assert (settings.second is not None) == taken


ALIKE = [
    {"groups": np.arange(400) // 8, "pairs": None, "interactions": "concatenate"},
    {"n_networks": 1},
    {"hidden_sizes": ()},
]


@pytest.mark.parametrize("parameters", ALIKE, ids=["groups", "alone", "linear"])
def test_networks_are_alike_where_groups_are_new_or_there_is_one_or_no_layer(parameters, rng):
    run = Losses(lambda *_: 1.0)
    n_networks = parameters.get("n_networks", 4)
    plan = planned(rng, batch_norm="auto", **parameters)
    _, settings, _ = search(plan, run, n_networks, judged=True)
    assert all(job.config.batch_norm for job in run.jobs)
    assert settings.second is None


def test_networks_of_both_kinds_are_kept_and_learn_on(rng, monkeypatch, tmp_path):
    def unnormed(_, best, __):
        return [replace(best, setting=replace(best.setting, batch_norm=False))]

    monkeypatch.setattr(Trials, "second", unnormed)
    X, truth = plain_effects(rng, 600)
    model = EmbeddingRegressor(max_epochs=3, n_networks=3, random_state=0).fit(X, truth)
    model.save(tmp_path / "model.catvec")
    kept = EmbeddingRegressor.load(tmp_path / "model.catvec")
    assert kept.choice_ == model.choice_
    assert kept.choice_.second.shrinkage == kept.choice_.shrinkage
    kept.partial_fit(X[:50], truth[:50])
    for one in (model, kept):
        assert [network.config.batch_norm for network in one.networks_] == [True, False, True]
        for network in one.networks_:
            untouched = network.running["norm_0.mean"] == 0, network.running["norm_0.variance"] == 1
            assert np.all(untouched) != network.config.batch_norm
    np.testing.assert_array_equal(
        model.predict(X), EmbeddingRegressor.load(tmp_path / "model.catvec").predict(X)
    )


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_is_more_complicated_has_to_be_clearly_better(rng, sign):
    """Also where losses are below 0, as those of counts are."""
    hurdle = GAIN + LUCK / 80**0.5  # rows judge, in the climb and in the final
    for gain, n_pairs in ((0.5 * hurdle, 0), (2 * hurdle, 1)):
        run = Losses(lambda _, n, kind, *__, gain=gain: sign - gain * n + (kind != "concatenate"))
        plan, _, _ = search(planned(rng, shrinkage=1.0), run, 4, judged=True)
        assert len(plan.training.schema.pairs) == n_pairs


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("lucky_rung", range(MOST_RUNGS + 1))
def test_one_lucky_rung_does_not_decide(lucky_rung, rng):
    def loss(strength, n_pairs, _, seed):
        lucky = strength == 1000.0 and seed // 2 == lucky_rung
        return 0.99 if lucky else 1.0 + 0.02 * abs(np.log10(strength / 10.0)) + 0.01 * n_pairs

    plan = planned(rng, n_rows=4000, interactions="product")
    _, settings, _ = search(plan, Losses(loss), 4, judged=True)
    assert settings.first.shrinkage[0] == 10.0


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("step", [0.5, 2.0])
def test_of_priors_as_good_the_strongest_is_taken(step, rng):
    """What chance may have put behind the best is as good as it."""
    luck = LUCK / 800**0.5  # rows judge the final

    def loss(strength, *_):
        return 1.0 + luck * {100.0: 0.0, 1000.0: step}.get(strength, 4.0)

    plan = planned(rng, n_rows=4000, pairs=None, interactions="product")
    _, settings, _ = search(plan, Losses(loss), 4, judged=True)
    assert settings.first.shrinkage[0] == (1000.0 if step < 1 else 100.0)


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("n_rungs", [1, 2])
def test_the_final_ends_when_one_is_clearly_ahead(n_rungs, rng):
    lead = (0.5 if n_rungs == 2 else 2.5) * LUCK / 400**0.5
    run = Losses(lambda strength, *_: 1.0 + lead * abs(np.log10(strength / 100.0)))
    plan = planned(rng, n_rows=4000, pairs=None, interactions="product")
    search(plan, run, 4, judged=True)
    assert len({job.seed for job in run.jobs} - {CLIMB}) == 2 * n_rungs


@pytest.mark.usefixtures("agreeing")
def test_networks_share_rows_of_combinations_of_one_row_only(rng):
    """Such a row says nothing that could be told from the row itself: it trains "any other"."""
    run = Losses(lambda *_: 1.0)
    search(planned(rng), run, 4, judged=True)
    fewest = {job.training.fewest_rows for job in run.jobs}
    assert fewest == {(1, 1), (1, 1, 2)}


def test_nothing_is_tried_without_a_choice_or_a_judge(rng):
    def refuse(_):
        raise AssertionError

    given = {"shrinkage": 3.0, "pairs": None, "interactions": "product"}
    _, settings, tried = search(planned(rng, **given), refuse, 4, judged=True)
    assert (settings.first.shrinkage, settings.first.interactions) == ((3.0, 3.0), "product")
    assert tried == {}
    for plan, judged in (
        (planned(rng), False),
        (planned(rng, validation_fraction=0), True),
        (planned(rng, n_rows=10), True),
    ):
        same, settings, tried = search(plan, refuse, 4, judged=judged)
        assert same is plan
        assert (set(settings.first.shrinkage), settings.first.interactions, tried) == (
            {10.0},
            "concatenate",
            {},
        )


@pytest.mark.usefixtures("agreeing")
def test_the_climb_sees_a_sample_and_the_final_more(rng, monkeypatch):
    monkeypatch.setattr(_search, "FIRST_ROWS", 300)
    run = Losses(lambda _, n_pairs, *__: 1.0 - 0.1 * n_pairs)
    plan, _, _ = search(planned(rng, n_rows=1000), run, 4, judged=True)
    seen = [(len(job.data), len(job.held_out)) for job in run.jobs]
    assert seen == sorted(seen)
    assert set(seen) == {(240, 60), (900, 100)}
    assert len(plan.training) == 1000
    assert plan.training.schema.pairs[0].counts.sum() == 1000

    monkeypatch.setattr(_search, "LAST_ROWS", 500)
    plan, _, _ = search(planned(rng, n_rows=1000), run, 4, judged=True)
    assert (len(run.jobs[-1].data), len(plan.training)) == (450, 1000)


@pytest.mark.usefixtures("agreeing")
def test_trials_of_many_columns_see_as_many_cells(rng, monkeypatch):
    plan = planned(rng, n_rows=1000)
    monkeypatch.setattr(_search, "FIRST_ROWS", 800)
    monkeypatch.setattr(_search, "FEW_TABLES", 1)
    run = Losses(lambda *_: 1.0)
    search(plan, run, 4, judged=True)
    n_tables = plan.training.schema.n_tables
    assert n_tables > 1
    assert len(run.jobs[0].data) + len(run.jobs[0].held_out) == 800 // n_tables


@pytest.mark.usefixtures("agreeing")
def test_a_weaker_prior_may_win_on_the_whole(rng, monkeypatch):
    monkeypatch.setattr(_search, "FIRST_ROWS", 300)

    def loss(strength, n_pairs, kind, seed):
        best = 1000.0 if seed == CLIMB else 100.0
        return 1.0 + 0.1 * abs(np.log10(strength / best)) + n_pairs + (kind != "concatenate")

    _, settings, _ = search(planned(rng, n_rows=1000), Losses(loss), 4, judged=True)
    assert settings.first.shrinkage[0] == 100.0


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize("supported", [1, 2, 3])
def test_vectors_are_as_wide_as_their_spectrum(supported, rng):
    """Directions in which the categories were not found to differ are left out."""
    plan = planned(rng)
    vectors = np.zeros((8, 3), np.float32)
    vectors[:, :supported] = rng.normal(size=(8, supported))
    vectors += 1e-3 * rng.normal(size=(8, 3)) + [5.0, 0.0, 0.0]  # the centre is no direction

    def run(jobs):
        network = Stub(0.0, [vectors @ np.linalg.qr(rng.normal(size=(3, 3)))[0]] * 3)
        return [Trained(network, [], job.training.shrinkage[0]) for job in jobs]

    found, _, _ = search(plan, run, 4, judged=True)
    assert set(found.dims[:2]) == {supported}
    plan.p.embedding_dim = {"a": 7}
    found, _, _ = search(plan, run, 4, judged=True)
    assert found.dims[:2] == (7, supported)


def test_few_epochs_leave_time_for_more_networks(rng, monkeypatch):
    monkeypatch.setattr(_choice, "NETWORK_BUDGET", 600 * 24 * 5)
    X = pd.DataFrame({name: text(rng.integers(60, size=600)) for name in "ab"})
    settings = {**SMALL, "n_epochs": "auto", "n_networks": "auto", "pairs": None, "shrinkage": 0.0}
    model = EmbeddingRegressor(**settings, learning_rate=0.02, random_state=0)
    model.fit(X, rng.normal(size=600))
    assert model.choice_.n_epochs == 3
    assert len(model.networks_) == 12
    model.set_params(n_epochs=24).fit(X, rng.normal(size=600))
    assert len(model.networks_) == 5


# --- the choice, with networks that are trained -------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_a_pair_without_main_effects_is_chosen_and_helps(seed):
    rng = np.random.default_rng(seed)
    X, truth = signs_of_pairs(rng)
    y = truth + 0.3 * rng.normal(size=3000)
    train, test = slice(2400), slice(2400, None)
    model = EmbeddingRegressor(**SMALL, random_state=seed).fit(X[train], y[train])
    without = clone(model).set_params(pairs=None).fit(X[train], y[train])
    assert ("a", "b") in model.choice_.pairs
    assert without.choice_.pairs == ()
    found, missed = (r2_score(truth[test], m.predict(X[test])) for m in (model, without))
    assert found > 0.7
    assert missed < found - 0.3


def test_the_encoder_writes_what_it_found(rng):
    X, truth = signs_of_pairs(rng)
    y = truth + 0.3 * rng.normal(size=3000)
    encoder = EmbeddingEncoder(**{**SMALL, "n_epochs": 5}, cv=3, random_state=0)
    Z = encoder.fit_transform(X, y)
    assert ("a", "b") in encoder.choice_.pairs
    names = encoder.get_feature_names_out().tolist()
    for rows, truths in ((Z, truth), (encoder.transform(X), truth)):
        assert np.corrcoef(rows[:, names.index("a*b_effect")], truths)[0, 1] > 0.8
    effects = EmbeddingEncoder(output="effects", random_state=0).fit(X, y)
    assert effects.choice_.pairs == ()  # nothing judges where effects alone are wanted


def test_main_effects_need_no_pairs():
    chosen = []
    settings = {**SMALL, "n_epochs": 5}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, truth = plain_effects(rng, n_rows=2000)
        y = truth + rng.normal(size=2000)
        model = EmbeddingRegressor(**settings, random_state=seed).fit(X[:1600], y[:1600])
        without = clone(model).set_params(pairs=None).fit(X[:1600], y[:1600])
        chosen.append(model.choice_.pairs)
        scores = [r2_score(truth[1600:], m.predict(X[1600:])) for m in (model, without)]
        assert scores[0] > scores[1] - 0.02
    assert sum(map(bool, chosen)) <= 1


def test_noise_gains_nothing():
    chosen, scores = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, _ = signs_of_pairs(rng, n_rows=2000)
        y = rng.normal(size=2000)
        settings = {**SMALL, "shrinkage": "auto", "interactions": "auto", "n_epochs": 2}
        model = EmbeddingRegressor(**settings, random_state=seed).fit(X[:1200], y[:1200])
        chosen.append(model.choice_.pairs)
        scores.append(r2_score(y[1200:], model.predict(X[1200:])))
    assert sum(map(bool, chosen)) <= 1
    assert np.mean(scores) > -0.03


def test_products_are_chosen_where_vectors_multiply(rng):
    """A product of hidden factors, of combinations too many to be met again."""
    codes = rng.integers(60, size=(4000, 2))
    factors = rng.normal(size=(2, 60))
    y = factors[0, codes[:, 0]] * factors[1, codes[:, 1]] + 0.1 * rng.normal(size=4000)
    X = pd.DataFrame({"a": text(codes[:, 0]), "b": text(codes[:, 1])})
    settings = {**SMALL, "pairs": None, "interactions": "auto", "n_epochs": 6}
    model = EmbeddingRegressor(**settings, random_state=0).fit(X, y)
    assert model.choice_.interactions != "concatenate"
    given = clone(model).set_params(interactions="concatenate").fit(X, y)
    losses = [m.validation_scores_["RMSE"]["model"] for m in (model, given)]
    assert losses[0] < losses[1]


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("seed", range(2))
def test_what_was_chosen_given_by_name_gives_the_same_bits(seed):
    rng = np.random.default_rng(seed)
    X, truth = signs_of_pairs(rng, n_rows=600)
    y = truth * seed + 0.3 * rng.normal(size=600)
    settings = {**SMALL, "shrinkage": "auto", "interactions": "auto", "n_epochs": 3}
    settings["batch_norm"] = True  # without it networks have a prior of their own
    settings["effect_networks"] = False  # they may see pairs of which others have no tables
    model = EmbeddingRegressor(**{**settings, "n_networks": 4}, random_state=seed).fit(X, y)
    told = {
        "embedding_dim": dict(zip(X.columns, model.choice_.dims[: X.shape[1]], strict=True)),
        "shrinkage": model.choice_.shrinkage[0],
        "pairs": list(model.choice_.pairs),
        "interactions": model.choice_.interactions,
    }
    given = clone(model).set_params(**told).fit(X, y)
    assert replace(given.choice_, tried=model.choice_.tried) == model.choice_
    np.testing.assert_array_equal(given.predict(X), model.predict(X))
    threaded = clone(model).set_params(n_jobs=2).fit(X, y)
    assert threaded.choice_ == model.choice_
    np.testing.assert_array_equal(threaded.predict(X), model.predict(X))


@pytest.mark.usefixtures("few_steps")
def test_the_choice_is_saved(rng, tmp_path):
    X, truth = signs_of_pairs(rng, n_rows=800)
    settings = {**SMALL, "shrinkage": "auto", "interactions": "auto", "n_epochs": 2}
    model = EmbeddingClassifier(**settings, random_state=0).fit(X, truth > 0)
    model.save(tmp_path / "m.catvec")
    again = EmbeddingClassifier.load(tmp_path / "m.catvec")
    assert again.choice_ == model.choice_
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.usefixtures("few_steps")
def test_the_choice_sees_no_rows_but_those_of_the_fit(rng):
    """Categories of a pandas column live on in its parts: a fit on a part must not see them."""
    X, truth = signs_of_pairs(rng, n_rows=900)
    X = X.assign(a=X["a"].where(np.arange(900) < 600, "only later")).astype("category")
    settings = {**SMALL, "shrinkage": "auto", "n_epochs": 3}
    part = EmbeddingRegressor(**settings, random_state=0).fit(X[:600], truth[:600])
    alone = clone(part).fit(X[:600].astype(str), truth[:600])
    assert part.choice_ == alone.choice_
    np.testing.assert_array_equal(part.predict(X), alone.predict(X.astype(str)))


def test_rows_of_ones_own_choose(rng):
    """Whether the pair is taken is for the given rows to say, whatever the training rows say."""
    X, truth = signs_of_pairs(rng, n_rows=1500)
    y = truth + 0.2 * rng.normal(size=1500)
    model = EmbeddingRegressor(**{**SMALL, "n_epochs": 5}, random_state=0)
    model.fit(X[:1200], y[:1200], X_val=X[1200:], y_val=y[1200:])
    assert ("a", "b") in model.choice_.pairs
    model.fit(X[:1200], y[:1200], X_val=X[1200:], y_val=rng.permutation(y[1200:]))
    assert model.choice_.pairs == ()


# --- learning the rows that networks stopped by -------------------------------------------


def test_categories_of_the_latest_rows_get_vectors_of_their_own(rng):
    n = 1200
    X = pd.DataFrame({"shop": text(rng.integers(8, size=n)), "day": np.arange(n)})
    X.loc[n - 60 :: 2, "shop"] = "new"  # among the latest tenth only
    y = np.where(X["shop"] == "new", 3.0, 0.0) + 0.1 * rng.normal(size=n)
    settings = {**SMALL, "pairs": None, "time_column": "day"}
    model = EmbeddingRegressor(**settings, random_state=0).fit(X, y)
    shop = model.vectors_["shop"]
    assert not np.array_equal(shop["new"], shop.unknown.vector)
    new, other, unknown = model.predict({"shop": ["new", "k1", "never seen"], "day": [n, n, n]})
    assert new > max(other, unknown) + 0.1
    given = clone(model).set_params(time_column=None, columns=["shop"])
    given.fit(X[["shop"]][: n - 60], y[: n - 60], X_val=X[["shop"]][n - 60 :], y_val=y[n - 60 :])
    asked = pd.DataFrame({"shop": ["new", "never seen"]})
    assert len(set(given.predict(asked))) == 1  # rows given for stopping are not learned


@pytest.mark.usefixtures("few_steps")
def test_rows_given_for_stopping_leave_no_other_trace(rng):
    """Where every epoch is an improvement or the last, other targets change nothing."""
    X, truth = plain_effects(rng, n_rows=900)
    fits = []
    for scale in (1.0, 1.1):
        model = EmbeddingRegressor(**{**SMALL, "n_epochs": 2}, pairs=None, random_state=0)
        model.fit(X[:600], truth[:600], X_val=X[600:], y_val=scale * truth[600:])
        fits.append(model)
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))
    assert fits[0].history_[-1]["held_out_loss"] != fits[1].history_[-1]["held_out_loss"]
    given = clone(fits[0]).fit(X[:600], truth[:600])
    assert not np.array_equal(given.predict(X), fits[0].predict(X))


def test_scores_are_of_before_the_last_pass(rng):
    """Each row with a category of its own: after the last pass held-out rows would be known."""
    n = 400
    X = pd.DataFrame({"id": [f"i{i}" for i in range(n)]})
    y = rng.normal(size=n)
    seen = {**SMALL, "shrinkage": 0.0, "category_dropout": 0.0}
    model = EmbeddingRegressor(**seen, pairs=None, random_state=0).fit(X, y)
    scores = model.validation_scores_["RMSE"]
    assert scores["model"] > 0.99 * scores["constant"]
    vectors = model.vectors_["id"].vectors
    assert len(np.unique(vectors, axis=0)) == n  # all were learned in the end
