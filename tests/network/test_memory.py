"""A network that learns on: its optimizers go on, its tables grow, what is frozen stays."""

import numpy as np
import pytest

from catvec.errors import TrainingError
from catvec.network import (
    Inputs,
    Job,
    Learned,
    Memory,
    Network,
    NetworkConfig,
    TrainingConfig,
    TrainingData,
    load_kernels,
    make_loss,
    train_committee,
)
from catvec.network._step import Step

N_CODES = (9, 6)


def rows_of(seed, n, n_codes=N_CODES):
    rng = np.random.default_rng(seed)
    codes = np.column_stack([rng.integers(0, k, n) for k in n_codes]).astype(np.int32)
    positions = rng.uniform(0, 4, (n, 1)).astype(np.float32)
    numbers = rng.normal(size=(n, 2)).astype(np.float32)
    target = (codes[:, 0] * 0.3 + numbers[:, 0] + rng.normal(size=n)).astype(np.float32)
    return TrainingData(Inputs(codes, numbers, positions), target)


def settings_of(**more):
    values = {"loss": "squared", "shrinkage": (2.0, 2.0, 2.0), "batch_size": 32, "n_epochs": 3}
    return TrainingConfig(**{**values, **more})


def trained(seed=0, **more):
    config = NetworkConfig(N_CODES, (3, 2), 2, (5,), (2,), hidden_sizes=(8,), dropout=0.0)
    job = Job(config, settings_of(**more), rows_of(seed, 300), None, seed)
    (one,) = train_committee([job])
    return Learned(one.network, Memory.of(one.step))


def arrays(learned):
    return {**learned.network.state(), **learned.memory.state()}


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_many_small_frames_lower_the_loss_of_other_rows(engine):
    learned, kernels = trained(), load_kernels(engine)
    other, loss = rows_of(9, 500), make_loss("squared", 1)
    before = loss.value(learned.network.predict(other.inputs), other.target)
    for i in range(80):
        learned.learn(rows_of(100 + i, 20), settings_of(), kernels, key=i)
    assert loss.value(learned.network.predict(other.inputs), other.target) < 0.95 * before


def test_engines_agree():
    found = []
    for engine in ("numpy", "numba"):
        learned = trained()
        for i in range(3):
            learned.learn(rows_of(50 + i, 20), settings_of(), load_kernels(engine), key=i)
        found.append(arrays(learned))
    for name, array in found[0].items():
        np.testing.assert_allclose(array, found[1][name], rtol=2e-3, atol=1e-4, err_msg=name)


def test_a_saved_memory_goes_on_bit_for_bit():
    learned, kernels = trained(), load_kernels("numpy")
    network = Network.from_state(learned.network.config, learned.network.state())
    other = Learned(network, Memory.from_state(learned.memory.state()))
    for one in (learned, other):
        one.learn(rows_of(5, 40), settings_of(), kernels, key=3)
    for name, array in arrays(learned).items():
        np.testing.assert_array_equal(array, arrays(other)[name], err_msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_grown_tables_answer_as_before(seed):
    learned = trained(seed)
    rng = np.random.default_rng(seed)
    moved = [np.arange(9), np.sort(rng.choice(9, 6, replace=False))]
    moved[1][:2] = 0, 1
    starts = [np.zeros(2, int), np.ones(3, int)]
    grown = learned.grown(moved, starts)
    assert grown.network.config.n_codes == (11, 9)
    old = rows_of(seed + 1, 50).inputs
    new = Inputs(
        np.column_stack([to[old.codes[:, c]] for c, to in enumerate(moved)]).astype(np.int32),
        old.numbers,
        old.positions,
    )
    np.testing.assert_array_equal(grown.network.predict(new), learned.network.predict(old))
    # New rows are those that they start from.
    added = np.delete(np.arange(9), moved[1])
    for place in added:
        at = Inputs(np.array([[3, place]], np.int32), old.numbers[:1], old.positions[:1])
        by = Inputs(np.array([[3, 1]], np.int32), old.numbers[:1], old.positions[:1])
        np.testing.assert_array_equal(grown.network.predict(at), learned.network.predict(by))
    assert grown.memory.counts.sum() == pytest.approx(learned.memory.counts.sum())
    same = learned.grown([np.arange(9), np.arange(6)], [np.zeros(0, int)] * 2)
    for one, other in [(learned.network, same.network), (learned.memory, same.memory)]:
        copies = other.state()
        for name, array in one.state().items():
            np.testing.assert_array_equal(array, copies[name])
            assert not np.shares_memory(array, copies[name])


def test_frozen_moves_only_what_is_new():
    learned, kernels = trained(), load_kernels("numpy")
    learned = learned.grown([np.arange(9), np.arange(6)], [np.zeros(2, int), np.zeros(0, int)])
    before = {name: array.copy() for name, array in learned.network.state().items()}
    for i in range(3):
        learned.learn(rows_of(i, 40, (11, 6)), settings_of(), kernels, key=i, frozen=True)
    after = learned.network.state()
    assert (after["table_0"][9:] != before["table_0"][9:]).all()
    for name, array in after.items():
        old = array[:9] if name == "table_0" else array
        np.testing.assert_array_equal(old, before[name][: len(old)], err_msg=name)
    learned.learn(rows_of(3, 40, (11, 6)), settings_of(), kernels, key=3)
    assert (learned.network.state()["table_0"][2:9] != before["table_0"][2:9]).any()


@pytest.mark.parametrize("strength", [0.5, 50.0, 5000.0])
def test_an_occurrence_moves_a_row_by_no_more_than_its_gradient_over_the_prior(strength):
    learned, kernels = trained(), load_kernels("numpy")
    settings = settings_of(shrinkage=(strength,) * 3)
    learned = learned.grown([np.arange(9), np.arange(6)], [np.zeros(1, int), np.zeros(0, int)])
    data = rows_of(1, 1)
    data.inputs.codes[0] = 9, 2
    step = Step(
        Network.from_state(learned.network.config, learned.network.state()),
        make_loss("squared", 1),
        settings,
        kernels,
        running_norm=True,
    )
    step.take(data, np.ones(learned.network.tables.n_lines))
    _, _, gradient = step.backward(np.zeros(1, np.int32), 0)
    start = learned.network.tables.weight(0)[0].copy()
    learned.learn(data, settings, kernels, key=0)
    moved = learned.network.tables.weight(0)[9] - start
    assert np.linalg.norm(moved) <= np.linalg.norm(gradient[0, :3]) / strength * 1.001


def test_weights_are_in_units_of_their_mean_and_so_is_the_prior():
    kernels = load_kernels("numpy")
    data = rows_of(1, 30)
    heavy = TrainingData(data.inputs, data.target, np.full(30, 7.0, np.float32))
    one, other = trained(), trained()
    other.memory.counts *= 7
    one.learn(data, settings_of(), kernels, key=0)
    other.learn(heavy, settings_of(shrinkage=(14.0,) * 3), kernels, key=0, mean_weight=7.0)
    one.memory.counts *= 7
    for name, array in arrays(one).items():
        np.testing.assert_allclose(array, arrays(other)[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_forgetting_scales_what_was_seen():
    memory = trained().memory
    counts, squares = memory.counts.copy(), memory.squares.copy()
    memory.forget(0.5)
    np.testing.assert_allclose(memory.counts, counts / 2)
    np.testing.assert_allclose(memory.squares, squares / 2)


def test_an_estimated_memory_is_about_that_of_the_training():
    learned = trained()
    found = Memory.estimated(learned.network, settings_of(), rows_of(0, 300), load_kernels("numpy"))
    np.testing.assert_allclose(found.counts, learned.memory.counts)
    seen = found.counts > 0
    ratio = np.median(learned.memory.squares[seen] / found.squares[seen])
    assert 0.3 < ratio / 3 < 10  # three epochs, of which the first had larger gradients
    assert found.n_steps > 0


def test_no_rows_and_rows_that_break_the_loss():
    learned, kernels = trained(), load_kernels("numpy")
    before = {name: array.copy() for name, array in learned.network.state().items()}
    assert learned.learn(rows_of(0, 0), settings_of(), kernels, key=0) == 0.0
    broken = rows_of(0, 3)
    broken.target[:] = np.inf
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match="further rows became"):
        learned.learn(broken, settings_of(), kernels, key=0)
    for name, array in learned.network.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
