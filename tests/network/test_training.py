"""The epoch loop: what is learned, kept, recorded and refused; engines and threads."""

import itertools
import logging
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from catvec.errors import MissingDependencyError, ParameterError, TrainingError
from catvec.network import (
    Inputs,
    Job,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    _committee,
    _engine,
    _training,
    choose_engine,
    learn_held_out,
    make_loss,
    train,
    train_committee,
)
from catvec.network._data import batch_sizes
from catvec.network._step import Step

CONFIG = NetworkConfig((6, 52), (2, 4), 1, (9,), (3,), (16, 8), 0.1)


def planted(n=2000, seed=0, noise=0.1):
    """Effects of two columns, a number and a bent one; the last two categories never appear."""
    rng = np.random.default_rng(0)
    effects = rng.normal(size=6), rng.normal(size=52)
    rng = np.random.default_rng([seed, 1])
    codes = np.stack([rng.integers(0, 6, n), rng.integers(2, 50, n)], 1).astype(np.int32)
    numbers = rng.normal(size=(n, 1)).astype(np.float32)
    positions = rng.uniform(0, 8, (n, 1)).astype(np.float32)
    signal = effects[0][codes[:, 0]] * effects[1][codes[:, 1]] + effects[1][codes[:, 1]]
    signal = signal + numbers[:, 0] + np.sin(positions[:, 0])
    target = signal + noise * rng.normal(size=n)
    return TrainingData(Inputs(codes, numbers, positions), target.astype(np.float32))


def settings(**changes):
    defaults = {"loss": "squared", "shrinkage": (1.0,) * 3, "batch_size": 64, "n_epochs": 8}
    return TrainingConfig(**{**defaults, **changes})


def states_equal(one, other):
    first, second = one.network.state(), other.network.state()
    return all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("fewest", [(), (40, 40)])
@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_what_held_out_rows_do_not_look_at_waits_for_the_last_epoch(fewest, drop, monkeypatch):
    held_out = planted(80, seed=1)
    held_out.inputs.codes[:40, 1] = 51  # which no training row looks at; nor at 50
    how = settings(n_epochs=4, fewest_rows=fewest, category_dropout=drop)
    lines, settle = [], Step.settle

    def noted(step, asked, onto):
        lines.append(len(asked))
        settle(step, asked, onto)

    monkeypatch.setattr(Step, "settle", noted)
    trained = train(CONFIG, how, planted(800), held_out)
    assert lines[:3] == [lines[0]] * 3
    assert lines[3] > lines[0]
    monkeypatch.setattr(_training._Run, "_unseen_but_read", lambda run: run.unseen)
    all_at_once = train(CONFIG, how, planted(800), held_out)
    assert states_equal(trained, all_at_once)
    assert [e.held_out_loss for e in trained.history] == [
        e.held_out_loss for e in all_at_once.history
    ]


def test_planted_structure_is_learned():
    data, held_out = planted(), planted(500, seed=1)
    trained = train(CONFIG, settings(n_epochs=20), data, held_out, seed=0)
    error = trained.network.predict(held_out.inputs)[:, 0] - held_out.target
    assert np.mean(error**2) < 0.1 * held_out.target.var()
    assert trained.held_out_loss == pytest.approx(0.5 * np.mean(error**2), rel=1e-3)


@pytest.mark.parametrize("hidden_sizes", [(), (8,)])
def test_engines_agree_over_a_training(hidden_sizes):
    config = NetworkConfig((6, 52), (2, 4), 1, (9,), (3,), hidden_sizes, 0.1)
    trained = [
        train(config, settings(n_epochs=2), planted(), planted(200, 1), engine=engine)
        for engine in ("numpy", "numba")
    ]
    scores = [one.network.predict(planted(300, 2).inputs) for one in trained]
    np.testing.assert_allclose(scores[0], scores[1], atol=5e-3)
    losses = [[record.train_loss for record in one.history] for one in trained]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_same_seed_same_bits_whatever_the_threads(engine):
    data, held_out = planted(600), planted(100, 1)
    jobs = [Job(CONFIG, settings(n_epochs=3), data, held_out, seed, engine) for seed in (0, 1, 2)]
    alone, together = train_committee(jobs), train_committee(jobs, n_jobs=2)
    for one, other in zip(alone, together, strict=True):
        assert states_equal(one, other)
    assert not states_equal(alone[0], alone[1])


def test_history_and_callback():
    told = []
    jobs = [Job(CONFIG, settings(n_epochs=3), planted(300), planted(50, 1), s) for s in (0, 1)]
    trained = train_committee(jobs, n_jobs=2, on_epoch=told.append)
    assert sorted(told, key=lambda r: (r.network, r.epoch)) == [
        *trained[0].history,
        *trained[1].history,
    ]
    assert [record.epoch for record in trained[1].history] == [1, 2, 3]
    assert {record.network for record in trained[1].history} == {1}
    assert all(record.seconds > 0 for record in trained[0].history)


def test_all_epochs_are_run_while_the_rate_falls():
    """On pure noise, too: that fewer would have been better, a search has to find."""
    rng = np.random.default_rng(0)
    data, held_out = (
        TrainingData(planted(400, s).inputs, rng.normal(size=400).astype(np.float32))
        for s in (0, 1)
    )
    changes = {"shrinkage": (0.0,) * 3, "n_epochs": 12, "learning_rate": 1e-2}
    trained = train(CONFIG, settings(**changes), data, held_out)
    losses = [record.held_out_loss for record in trained.history]
    assert len(losses) == 12
    assert trained.held_out_loss == losses[-1] > min(losses)
    scores = trained.network.predict(held_out.inputs)[:, 0]
    again = 0.5 * np.mean((scores - held_out.target) ** 2)
    assert again == pytest.approx(trained.held_out_loss, rel=1e-4)
    rates = [record.learning_rate for record in trained.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.05 * rates[0]


def test_without_held_out_rows_there_is_no_held_out_loss():
    trained = train(CONFIG, settings(n_epochs=3), planted(300))
    assert len(trained.history) == 3
    assert trained.held_out_loss is None
    assert trained.history[-1].held_out_loss is None
    assert trained.history[-1].learning_rate < 0.05 * settings().learning_rate


def test_rows_select_without_copies():
    data = planted(500)
    rows = np.random.default_rng(1).permutation(500)[:300]
    part = TrainingData(data.inputs.take(rows), data.target[rows])
    chosen = TrainingData(data.inputs, data.target, rows=rows)
    for engine in ("numpy", "numba"):
        one = train(CONFIG, settings(n_epochs=2), part, chosen, engine=engine)
        other = train(CONFIG, settings(n_epochs=2), chosen, part, engine=engine)
        assert states_equal(one, other)


def test_rows_that_take_part_stand_alone():
    data = planted(50)
    assert data.alone() is data
    rows, weight = np.array([7, 3, 3]), np.arange(50, dtype=np.float32)
    alone = TrainingData(data.inputs, data.target, weight, rows).alone()
    assert len(alone) == 3
    assert alone.rows is None
    np.testing.assert_array_equal(alone.inputs.codes, data.inputs.codes[rows])
    np.testing.assert_array_equal(alone.target, data.target[rows])
    np.testing.assert_array_equal(alone.weight, weight[rows])


def test_categories_never_met_are_answered_as_unknown():
    trained = train(CONFIG, settings(n_epochs=2), planted(300), planted(50, 1))
    table = trained.network.tables.weight(1)
    np.testing.assert_array_equal(table[[1, 50, 51]], np.repeat(table[:1], 3, axis=0))
    assert (table[2:50] != table[0]).any(axis=1).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_rare_shares_row_1(weighted):
    """Its twin is told so in the codes; rows decide, not their weights, nor rows left out.

    In training row 0, which no row met, is the shared one, too: the prior draws to what is rare.
    Thereafter it is between that and the mean of all.
    """
    data = planted(300)
    codes, rows = data.inputs.codes, np.arange(0, 300, 2)
    weight = np.linspace(0.5, 5.0, 300).astype(np.float32) if weighted else None
    rare = np.bincount(codes[rows, 1], minlength=52) < 4
    assert 5 < rare[2:50].sum() < 40
    told = codes.copy()
    told[:, 1] = np.where(rare[codes[:, 1]], 1, codes[:, 1])
    inputs = data.inputs
    ways = ((codes, (1, 4)), (told, ()))
    one, other = (
        train(
            CONFIG,
            settings(fewest_rows=fewest, n_epochs=1),
            TrainingData(Inputs(c, inputs.numbers, inputs.positions), data.target, weight, rows),
        ).network.tables.weight(1)
        for c, fewest in ways
    )
    np.testing.assert_array_equal(one[1:][~rare[1:]], other[1:][~rare[1:]])
    rare[0] = False
    np.testing.assert_array_equal(one[rare], np.tile(one[1], (rare.sum(), 1)))
    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_allclose(one[0], (one[1] + one[2:].mean(axis=0)) / 2, rtol=1e-4)


def stopped(seeds=(0,), engine="numpy", **changes):
    """Networks that stopped by the last 400 rows, where alone category 49 is, and the rows."""
    data, late = planted(), np.arange(2000) >= 1600
    second = data.inputs.codes[:, 1]
    second[second == 49] = 48
    second[late & (second < 10)] = 49
    data.target[second == 49] += 3
    train_rows, held_out = (
        TrainingData(data.inputs, data.target, None, np.flatnonzero(part)) for part in (~late, late)
    )
    jobs = [Job(CONFIG, settings(**changes), train_rows, held_out, s, engine) for s in seeds]
    return train_committee(jobs), held_out


def loss_on(trained, data):
    scores = trained.network.predict(data.inputs.take(data.rows))[:, 0]
    return 0.5 * np.mean((scores - data.target[data.rows]) ** 2)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_last_pass_learns_the_held_out_rows(engine):
    (one,), held_out = stopped(engine=engine)
    before = one.held_out_loss, list(one.history)
    table = one.network.tables.weight(1)
    np.testing.assert_array_equal(table[49], table[0])
    assert loss_on(one, held_out) == pytest.approx(one.held_out_loss, rel=1e-3)
    learn_held_out([one])
    assert (one.held_out_loss, one.history) == before
    assert not np.array_equal(table[49], table[0])
    np.testing.assert_array_equal(table[51], table[0])  # still never met
    once = loss_on(one, held_out)
    assert once < 0.9 * one.held_out_loss
    (more,), _ = stopped(engine=engine)
    learn_held_out([more], n_passes=3)
    assert loss_on(more, held_out) < once


def test_a_last_pass_has_the_same_bits_whatever_the_threads():
    one, _ = stopped(seeds=range(3), n_epochs=2, category_dropout=0.1, fewest_rows=(1, 3))
    other, _ = stopped(seeds=range(3), n_epochs=2, category_dropout=0.1, fewest_rows=(1, 3))
    learn_held_out(one)
    learn_held_out(other, n_jobs=3)
    assert all(map(states_equal, one, other))


def test_a_last_pass_gains_where_rows_are_dear():
    """Of a noisy target every row tells: new ones are predicted better for the last tenth."""
    ratios, new = [], planted(2000, seed=9, noise=0.0)
    everything, rows = TrainingData(new.inputs, new.target, None, np.arange(2000)), np.arange(2000)
    for seed in range(4):
        data = planted(seed=seed, noise=3.0)
        parts = (TrainingData(data.inputs, data.target, None, r) for r in (rows[200:], rows[:200]))
        trained = train(CONFIG, settings(n_epochs=4), *parts, seed=seed)
        before = loss_on(trained, everything)
        learn_held_out([trained])
        ratios.append(loss_on(trained, everything) / before)
    assert np.mean(ratios) < 1.0


def test_a_strong_prior_pulls_rare_rows_to_row_0():
    rng = np.random.default_rng(0)
    codes = np.where(rng.random(2000) < 0.9, rng.integers(2, 6, 2000), rng.integers(6, 106, 2000))
    effects = rng.normal(size=106)
    inputs = Inputs(codes[:, None].astype(np.int32))
    data = TrainingData(inputs, effects[codes].astype(np.float32))
    config = NetworkConfig((106,), (4,), hidden_sizes=(8,), dropout=0.0)

    def distances(strength):
        table = train(config, settings(shrinkage=(strength,)), data).network.tables.weight(0)
        return np.linalg.norm(table[2:] - table[0], axis=1)

    weak, strong = distances(0.0), distances(1e3)
    assert strong[4:].mean() < 0.3 * weak[4:].mean()
    # Shrunk more than the frequent ones, which the data hold.
    assert strong[4:].mean() / strong[:4].mean() < 0.85 * weak[4:].mean() / weak[:4].mean()


DROPS = {"embedding_dropout": 0.2, "category_dropout": 0.1}


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_dropout_of_vectors_has_the_same_bits_whatever_the_threads(engine):
    data, held_out = planted(600), planted(100, 1)
    changes = [{}, dict.fromkeys(DROPS, 0.0), *({name: p} for name, p in DROPS.items()), DROPS]
    configs = [settings(n_epochs=3, **change) for change in changes]
    jobs = [Job(CONFIG, config, data, held_out, 0, engine) for config in configs]
    alone, together = train_committee(jobs), train_committee(jobs, n_jobs=2)
    for one, other in zip(alone, together, strict=True):
        assert states_equal(one, other)
    assert states_equal(alone[0], alone[1])  # 0.0 is as good as not said
    for one, other in itertools.combinations(alone[1:], 2):
        assert not states_equal(one, other)


def test_engines_agree_over_a_training_with_dropout_of_vectors():
    trained = [
        train(CONFIG, settings(n_epochs=2, **DROPS), planted(), planted(200, 1), engine=engine)
        for engine in ("numpy", "numba")
    ]
    scores = [one.network.predict(planted(300, 2).inputs) for one in trained]
    np.testing.assert_allclose(scores[0], scores[1], atol=5e-3)


def test_category_dropout_trains_the_row_of_unknown_categories():
    """Column 0 is all but a copy of column 1's parity; unknown in one, the other has to speak."""
    rng = np.random.default_rng(0)

    def drawn(n):
        codes = rng.integers(2, 42, n)
        copy = np.where(rng.random(n) < 0.9, codes % 2, rng.integers(0, 2, n)) + 2
        target = codes % 2 + 0.3 * rng.normal(size=n)
        inputs = Inputs(np.stack([copy, codes], 1).astype(np.int32))
        return TrainingData(inputs, target.astype(np.float32))

    data, held_out, new = drawn(4000), drawn(500), drawn(500)
    new.inputs.codes[:, 1] = 0
    config = NetworkConfig((4, 42), (2, 3), hidden_sizes=(16,))

    def error(p):
        drop = settings(shrinkage=(1.0, 1.0), category_dropout=p, n_epochs=15)
        network = train(config, drop, data, held_out).network
        moved = np.linalg.norm(network.tables.weight(1)[0])
        return np.mean((network.predict(new.inputs)[:, 0] - new.target) ** 2), moved

    (without, before), (with_it, after) = error(0.0), error(0.1)
    assert after != before
    # At best noise and the parities that the copy has wrong, 0.09 + 0.95 * 0.05 or about 0.14;
    # at worst, without a word from the copy, 0.09 + 0.25.
    assert with_it < 0.2
    assert with_it < 0.65 * without


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("n_rows", [1, 2, 65])
def test_few_rows_and_a_last_batch_of_one(n_rows, engine):
    data = planted(n_rows)
    trained = train(CONFIG, settings(n_epochs=2), data, data, engine=engine)
    assert np.isfinite(trained.network.predict(data.inputs)).all()


def test_batch_size_of_one():
    trained = train(CONFIG, settings(n_epochs=2, batch_size=1), planted(20))
    assert np.isfinite(trained.network.predict(planted(20).inputs)).all()


@pytest.mark.parametrize(
    ("n_rows", "batch_size"), list(itertools.product([0, 1, 5, 64, 65, 999], [1, 64]))
)
def test_batches_are_as_few_and_as_equal_as_possible(n_rows, batch_size):
    sizes = batch_sizes(n_rows, batch_size)
    assert sum(sizes) == n_rows
    assert len(sizes) == -(-n_rows // batch_size)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert max(sizes, default=0) <= batch_size


def test_zero_weights_are_rows_left_out_of_the_data():
    data = planted(400)
    spoilt = data.target.copy()
    spoilt[200:] = 1e3
    weight = np.repeat([1.0, 0.0], 200).astype(np.float32)
    trained = train(CONFIG, settings(n_epochs=3), TrainingData(data.inputs, spoilt, weight))
    assert np.abs(trained.network.predict(data.inputs)).max() < 50


@pytest.mark.parametrize("loss", ["softmax", "logistic", "poisson", "absolute", "quantile"])
def test_every_loss_learns(loss):
    data, held_out = planted(1500), planted(300, 1)
    n_outputs = 3 if loss == "softmax" else 1

    def changed(part):
        target = part.target
        if loss in ("softmax", "logistic", "poisson"):
            target = np.digitize(target, [-0.7, 0.7]) if n_outputs == 3 else target > 0
        return TrainingData(part.inputs, target.astype(np.float32))

    config = NetworkConfig((6, 52), (2, 4), 1, (9,), (3,), (16,), 0.0, n_outputs)
    trained = train(config, settings(loss=loss, n_epochs=6), changed(data), changed(held_out))
    losses = [record.held_out_loss for record in trained.history]
    constant = train(config, settings(loss=loss, n_epochs=1, learning_rate=1e-9), changed(data))
    before = _held_out_loss(constant, changed(held_out), loss, n_outputs)
    assert min(losses) < 0.85 * before


def _held_out_loss(trained, data, loss, n_outputs):
    return make_loss(loss, n_outputs).value(trained.network.predict(data.inputs), data.target)


def test_a_loss_that_is_not_finite_is_a_clear_error():
    data = planted(300)
    huge = TrainingData(data.inputs, data.target + 1e30)
    with pytest.raises(
        TrainingError, match=r"became .* in epoch 1; lower `learning_rate` .*0\.001"
    ):
        train(CONFIG, settings(loss="poisson"), huge)
    jobs = [Job(CONFIG, settings(loss="poisson"), huge, None, seed) for seed in range(3)]
    with pytest.raises(TrainingError, match="the loss became"):
        train_committee(jobs, n_jobs=2)


def test_a_trial_whose_loss_breaks_down_has_lost():
    data = planted(300)
    huge = TrainingData(data.inputs, data.target + 1e30)
    of_trial = Job(CONFIG, settings(loss="poisson"), huge, huge, 0, is_trial=True)
    other = Job(CONFIG, settings(), data, data, 0, is_trial=True)
    lost, whole = train_committee([of_trial, other])
    assert (lost.held_out_loss, len(lost.history)) == (np.inf, 1)
    assert whole.held_out_loss < np.inf


def test_a_trial_is_judged_after_its_last_epoch_by_the_loss_that_others_have_then():
    data = planted(300)
    trial = Job(CONFIG, settings(n_epochs=3), data, data, 0, is_trial=True)
    judged, told = train_committee([trial, replace(trial, is_trial=False)])
    losses = [[record.held_out_loss for record in one.history] for one in (judged, told)]
    assert losses[0] == [None, None, losses[1][-1]]
    assert judged.held_out_loss == told.held_out_loss


def test_an_interruption_does_not_wait_for_trainings_to_end():
    told = []

    def stop(record):
        told.append(record)
        if record.network == 1:
            raise KeyboardInterrupt

    jobs = [Job(CONFIG, settings(n_epochs=500), planted(200), None, seed) for seed in range(4)]
    with pytest.raises(KeyboardInterrupt):
        train_committee(jobs, n_jobs=2, on_epoch=stop)
    assert {record.network for record in told} <= {0, 1}
    assert len(told) < 100


def test_what_stopped_the_others_is_raised(monkeypatch):
    """Also if those that were stopped by it are done first."""

    def last_first(futures):
        wait(futures)
        return reversed(futures)

    def stop(record):
        if record.network == 0:
            raise ZeroDivisionError

    monkeypatch.setattr(_committee, "as_completed", last_first)
    jobs = [Job(CONFIG, settings(n_epochs=500), planted(200), None, seed) for seed in range(4)]
    with pytest.raises(ZeroDivisionError):
        train_committee(jobs, n_jobs=2, on_epoch=stop)


def test_threads_of_the_products_are_given_back(monkeypatch):
    limit = _committee.SharedLimit(_committee.single_threaded_products._limit)  # of the test alone
    monkeypatch.setattr(_committee, "single_threaded_products", limit)

    def threads():
        return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]

    during = []
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        jobs = [Job(CONFIG, settings(n_epochs=2), planted(200), None, seed) for seed in (0, 1)]
        train_committee(jobs, n_jobs=2, on_epoch=lambda _: during.append(threads()))
        assert threads() == before
        with pytest.raises(ZeroDivisionError):
            train(CONFIG, settings(), planted(50), on_epoch=lambda _: 1 / 0)
        assert threads() == before
    assert before
    assert all(set(found) == {1} for found in during)


def test_nothing_global_is_left_behind():
    state, errors = np.random.get_state()[1].copy(), np.geterr()  # noqa: NPY002
    train(CONFIG, settings(n_epochs=1), planted(100))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert np.geterr() == errors


# --- engines --------------------------------------------------------------------------


def test_the_engine_is_chosen_by_the_length_of_the_fit(caplog):
    with caplog.at_level(logging.INFO, logger="catvec"):
        assert choose_engine("auto", 1e3) == "numpy"
        assert choose_engine("auto", 1e9) == "numba"
    assert choose_engine("auto", 1e3, looks=1e6) == "numba"
    assert "engine numba for about 1e+09 row-epochs" in caplog.text
    assert choose_engine("numpy", 1e9) == "numpy"
    assert choose_engine("numba", 1) == "numba"
    with pytest.raises(ParameterError, match="`engine` must be one of 'auto', 'numpy', 'numba'"):
        choose_engine("jax", 1)


def test_without_numba_it_works_and_says_so_once(caplog, monkeypatch):
    monkeypatch.setattr(_engine, "find_spec", lambda _: None)
    _engine._say_numba_is_missing.cache_clear()
    assert [choose_engine("auto", 1e9) for _ in range(3)] == ["numpy"] * 3
    assert caplog.text.count("numba is not installed") == 1
    assert choose_engine("auto", 10) == "numpy"
    with pytest.raises(MissingDependencyError, match=r"pip install 'catvec\[fast\]'"):
        choose_engine("numba", 1)
