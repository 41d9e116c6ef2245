"""engine="torch": the same losses, steps and stops as the loops of `catvec.network`."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import ParameterError, TrainingError
from catvec.network import (
    Anchor,
    Anchors,
    Inputs,
    Job,
    Network,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    learn_held_out,
    make_loss,
    train_committee,
)
from catvec.network import _kernels as kernels
from catvec.network._step import Step, count_lines
from catvec.torch import TorchBackend
from tests.torch.conftest import make_table

pytestmark = pytest.mark.usefixtures("few_steps")

CONFIG = NetworkConfig((6, 30, 30), (3, 4, 3), 2, (9, 5), (3, 3), (16, 8), 0.0)


def rows(n=1500, seed=0, loss="squared", weighted=True):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, k - 3, n) for k in CONFIG.n_codes], 1).astype(np.int32)
    numbers = rng.normal(size=(n, 2)).astype(np.float32)
    positions = rng.uniform(0, 4, (n, 2)).astype(np.float32)
    positions[:20, 0], positions[20:40, 1], positions[40:60, 0] = np.nan, -1, 8.0
    positions[60:90] = np.floor(positions[60:90])  # on knots
    signal = np.sin(codes[:, 1]) + numbers[:, 0] + np.sin(positions[:, 1]) * (codes[:, 0] % 3)
    target = np.nan_to_num(signal) + 0.1 * rng.normal(size=n)
    if loss == "logistic":
        target = target > 0
    if loss == "softmax":
        target = np.digitize(target, [-0.5, 0.5])
    if loss == "poisson":
        target = np.floor(np.abs(target))
    weight = rng.uniform(0.2, 3, n).astype(np.float32) if weighted else None
    return TrainingData(Inputs(codes, numbers, positions), target.astype(np.float32), weight)


def both(config=CONFIG, data=None, seed=0, **changes):
    """Ours and theirs, ready to train on the same rows with the same weights."""
    data = rows() if data is None else data
    defaults = {"loss": "squared", "shrinkage": (1.0, 5.0, 0.0, 2.0, 1.0), "batch_size": 60}
    settings = TrainingConfig(**{**defaults, **changes})
    networks = [Network.create(config, seed) for _ in range(2)]
    counts = count_lines(kernels, networks[0], data)
    loss = make_loss(settings.loss, config.n_outputs, settings.quantile)
    ours = Step(networks[0], loss, settings, kernels)
    theirs = TorchBackend("cpu").begin(networks[1], settings)
    for step in (ours, theirs):
        step.take(data, counts)
    return ours, theirs


def losses(step, n_steps=50, batch_size=60):
    rng = np.random.default_rng(3)
    batches = rng.integers(0, 1500, (n_steps, batch_size)).astype(np.int32)
    ends, rates = np.array([batch_size]), 2e-3 * 0.98 ** np.arange(n_steps)
    keys = np.arange(n_steps, dtype=np.uint64)
    return [
        step.learn(batches[i], ends, rates[[i]], keys[[i]]) / batch_size for i in range(n_steps)
    ]


def assert_same_weights(ours, theirs, atol=1e-4):
    theirs.finish()
    one, other = ours.network.state(), theirs.network.state()
    for name in one:
        np.testing.assert_allclose(other[name], one[name], atol=atol, err_msg=name)


@pytest.mark.parametrize(
    "loss", ["squared", "absolute", "quantile", "logistic", "softmax", "poisson"]
)
def test_loss_curves_agree_over_50_steps(loss):
    config = replace(CONFIG, n_outputs=3) if loss == "softmax" else CONFIG
    quantile = 0.8 if loss == "quantile" else None
    ours, theirs = both(config, rows(loss=loss), loss=loss, quantile=quantile)
    np.testing.assert_allclose(losses(theirs), losses(ours), rtol=1e-4, atol=1e-4)
    assert_same_weights(ours, theirs, atol=1e-3)
    other = rows(300, seed=1, loss=loss)
    assert theirs.value(other) == pytest.approx(ours.value(other), rel=1e-4)


CHANGES = {
    "product": ({"interactions": "product"}, {}),
    "factorization machine": ({"interactions": "factorization_machine"}, {}),
    "pairs": ({"n_pairs": 1, "interactions": "product"}, {}),
    "linear": ({"hidden_sizes": ()}, {}),
    "one width": ({"dims": (3, 3, 3), "knot_dims": (2, 2)}, {}),
    "no numbers": ({"n_numbers": 0, "n_knots": (), "knot_dims": ()}, {"shrinkage": (1.0,) * 3}),
    "no columns": ({"n_codes": (), "dims": ()}, {"shrinkage": (1.0, 1.0)}),
    "dropout": ({"dropout": 0.3}, {}),
    "without batch norm": ({"batch_norm": False}, {}),
    "embedding dropout": ({}, {"embedding_dropout": 0.3}),
    "category dropout": ({}, {"category_dropout": 0.3}),
    "category dropout of pairs": (
        {"n_pairs": 1},
        {"category_dropout": 0.3, "pair_columns": ((0, 1),)},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_shape_and_every_dropout_trains_alike(name):
    shape, settings = CHANGES[name]
    config, data = replace(CONFIG, **shape), rows()
    inputs = data.inputs
    inputs = Inputs(
        inputs.codes[:, : len(config.dims)],
        inputs.numbers[:, : config.n_numbers],
        inputs.positions[:, : len(config.n_knots)],
    )
    ours, theirs = both(config, replace(data, inputs=inputs), **settings)
    np.testing.assert_allclose(losses(theirs, 20), losses(ours, 20), rtol=1e-4, atol=1e-4)
    assert_same_weights(ours, theirs)


def test_a_batch_of_one_row_trains_alike():
    ours, theirs = both()
    np.testing.assert_allclose(losses(theirs, 5, 1), losses(ours, 5, 1), rtol=1e-4)
    assert_same_weights(ours, theirs)


def test_rows_that_were_not_looked_at_do_not_move_by_a_bit():
    _, theirs = both()
    table = theirs.module.embeddings.tables.table
    before = [table(c).detach().clone() for c in range(3)]
    key = np.zeros(1, np.uint64)
    theirs.learn(np.arange(10, dtype=np.int32), np.array([10]), np.array([1e-2]), key)
    looked_at = rows().inputs.codes[:10]
    for c in range(3):
        moved = (table(c) != before[c]).any(1).nonzero().flatten().tolist()
        expected = {0, *looked_at[:, c].tolist()} if c != 2 else set(looked_at[:, c].tolist())
        assert set(moved) == expected  # row 0 by the prior, where there is one


def settings(**changes):
    defaults = {"loss": "squared", "shrinkage": (1.0,) * 5, "batch_size": 64, "n_epochs": 4}
    return TrainingConfig(**{**defaults, **changes})


def job(seed=0, backend=True, **changes):
    data, held_out = rows(600), rows(200, seed=1)
    together = Inputs(
        *(
            np.concatenate([getattr(part.inputs, name) for part in (data, held_out)])
            for name in ("codes", "numbers", "positions")
        )
    )
    target = np.concatenate([data.target, held_out.target])
    whole = TrainingData(together, target, np.concatenate([data.weight, held_out.weight]))
    train, held = (replace(whole, rows=r) for r in (np.arange(600), np.arange(600, 800)))
    config = settings(fewest_rows=(1, 25, 1), **changes)
    return Job(CONFIG, config, train, held, seed, backend=TorchBackend("cpu") if backend else None)


def test_a_whole_training_learns_and_learns_on_alike():
    trained = train_committee([job(backend=False), job()])
    ours, theirs = trained
    for name in ("train_loss", "held_out_loss", "learning_rate"):
        found = [[getattr(record, name) for record in one.history] for one in trained]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-3)
    learn_held_out(trained)
    new = rows(300, seed=2).inputs
    np.testing.assert_allclose(theirs.network.predict(new), ours.network.predict(new), atol=2e-3)


def test_same_seed_same_bits_whatever_the_threads_which_are_given_back():
    before = torch.get_num_threads()
    jobs = [job(seed) for seed in (0, 1, 2)]
    alone, together = train_committee(jobs), train_committee(jobs, n_jobs=2)
    for one, other in zip(alone, together, strict=True):
        first, second = one.network.state(), other.network.state()
        assert all(np.array_equal(first[name], second[name]) for name in first)
    assert torch.get_num_threads() == before


def test_a_loss_that_is_not_finite_is_an_error():
    broken = replace(job(), config=CONFIG)
    target = broken.data.target * np.float32(1e30)
    broken = replace(broken, data=replace(broken.data, target=target))
    with pytest.raises(TrainingError, match="the loss became"):
        train_committee([broken])


QUICK = {
    "random_state": 0,
    "n_epochs": 3,
    "shrinkage": 1.0,
    "pairs": [("shop", "day")],
    "interactions": "concatenate",
    "embedding_dim": 4,
    "n_networks": 2,
}


@pytest.mark.parametrize("cls", [EmbeddingRegressor, EmbeddingClassifier, EmbeddingEncoder])
def test_estimators_learn_the_same_from_both_engines(cls):
    frame, y = make_table()
    y = np.where(y > y.mean(), "high", "low") if cls is EmbeddingClassifier else y
    fits = [cls(**QUICK, engine=engine).fit(frame, y) for engine in ("numpy", "torch")]
    if cls is EmbeddingEncoder:
        results = [fit.transform(frame) for fit in fits]
    elif cls is EmbeddingClassifier:
        results = [fit.predict_proba(frame) for fit in fits]
    else:
        results = [fit.predict(frame) / np.std(y) for fit in fits]
    np.testing.assert_allclose(results[1], results[0], atol=5e-3)
    for name in ("shop", "day"):
        one, other = (fit.vectors_[name] for fit in fits)
        np.testing.assert_allclose(other.vectors, one.vectors, atol=5e-3)
        np.testing.assert_array_equal(other.effects, one.effects)


def test_all_that_is_chosen_is_chosen_with_torch_too():
    frame, y = make_table(200)
    model = EmbeddingRegressor(engine="torch", random_state=0, n_epochs=2, n_networks=1)
    model.fit(frame, y)
    assert model.choice_.shrinkage
    assert model.validation_scores_["R2"]["model"] > 0


def test_devices_are_checked():
    frame, y = make_table(50)
    with pytest.raises(ParameterError, match='`device` must be "auto" or a device that PyTorch'):
        EmbeddingRegressor(engine="torch", device="abacus").fit(frame, y)
    with pytest.raises(ParameterError, match=r"`device` must be .*, got 'meta'"):  # no values
        EmbeddingRegressor(engine="torch", device="meta").fit(frame, y)
    with pytest.raises(ParameterError, match='`device` must be "auto" unless engine="torch"'):
        EmbeddingRegressor(device="cuda").fit(frame, y)
    with pytest.raises(ParameterError, match="`engine` must be one of 'auto', 'numpy'"):
        EmbeddingRegressor(engine="jax").fit(frame, y)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_trains_alike():
    alone = train_committee([job()])[0]
    on_gpu = train_committee([replace(job(), backend=TorchBackend("cuda"))])[0]
    first, second = ([r.train_loss for r in one.history] for one in (alone, on_gpu))
    np.testing.assert_allclose(second, first, rtol=1e-3)
    frame, y = make_table()
    model = EmbeddingRegressor(**QUICK, engine="torch", device="cuda").fit(frame, y)
    assert model.validation_scores_["R2"]["model"] > 0.5


@pytest.mark.parametrize("freeze", ["never", "first", "always"])
def test_training_about_anchors_is_alike(freeze):
    rng = np.random.default_rng(1)
    offsets = np.zeros((30, 4), np.float32)
    offsets[2:, :3] = rng.normal(0, 0.2, (28, 3))
    known = np.ones(30, bool)
    known[[1, 20, 21]] = False
    anchors = Anchors({1: Anchor(offsets * known[:, None], known, 3)}, freeze, 0.1)
    data, changes = rows(), {"n_epochs": 5, "category_dropout": 0.1}
    held_out = replace(data, rows=np.arange(1300, 1500))
    data = replace(data, rows=np.arange(1300))
    jobs = [
        Job(CONFIG, settings(**changes), data, held_out, 0, backend=backend, anchors=anchors)
        for backend in (None, TorchBackend("cpu"))
    ]
    ours, theirs = train_committee(jobs)
    learn_held_out([ours, theirs])
    one, other = (trained.network.tables.weight(1) for trained in (ours, theirs))
    np.testing.assert_allclose(other, one, atol=2e-3)
    np.testing.assert_allclose(one[27:] - one[0], offsets[27:], atol=1e-6)  # never met
    if freeze == "always":
        np.testing.assert_array_equal(other[known, :3], offsets[known, :3])
