"""Rows on disk: dealt to blocks, read window by window, trained on, and resumed."""

from dataclasses import replace

import numpy as np
import pytest

from catvec.errors import InputError
from catvec.network import (
    Blocks,
    Checkpoint,
    Inputs,
    Job,
    NetworkConfig,
    StreamedData,
    TrainingConfig,
    TrainingData,
    learn_held_out,
    record_type,
    train_committee,
)
from catvec.network import _blocks as module
from catvec.network._step import count_lines
from catvec.network._training import Network as TrainedNetwork
from catvec.network._training import load_kernels

N_BLOCKS = 8
CONFIG = NetworkConfig(
    n_codes=(12, 7), dims=(4, 3), n_numbers=2, n_knots=(5,), knot_dims=(2,), hidden_sizes=(16,)
)


def records(n_rows=400, *, weighted=False, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.zeros(n_rows, record_type(2, 2, 1, weighted=weighted))
    for c, size in enumerate(CONFIG.n_codes):
        rows["codes"][:, c] = rng.integers(2, size, n_rows)
    rows["numbers"] = rng.standard_normal((n_rows, 2))
    rows["positions"] = rng.uniform(0, 4, (n_rows, 1))
    rows["value"] = rows["codes"][:, 0] - 6.0 + rng.standard_normal(n_rows)
    rows["target"] = rows["value"] / 4
    if weighted:
        rows["weight"] = rng.uniform(0.5, 2, n_rows)
    return rows


def in_memory(rows):
    inputs = Inputs(
        *(np.ascontiguousarray(rows[name]) for name in ("codes", "numbers", "positions"))
    )
    weight = rows["weight"].astype(np.float32) if "weight" in rows.dtype.names else None
    return TrainingData(inputs, np.ascontiguousarray(rows["target"]), weight)


def blocks_of(tmp_path, rows, n_chunks=3):
    blocks = Blocks(tmp_path, rows.dtype, N_BLOCKS)
    places = np.random.default_rng(1).integers(0, N_BLOCKS, len(rows))
    for chunk in np.array_split(np.arange(len(rows)), n_chunks):
        blocks.append(places[chunk], rows[chunk])
    return blocks


def streamed(blocks, rows, held_out=(0,)):
    numbers = tuple(b for b in range(N_BLOCKS) if b not in held_out)
    return StreamedData(blocks, numbers, in_memory(rows[:50]), held_out)


def job_of(tmp_path, rows, checkpoint=None, **settings):
    blocks = blocks_of(tmp_path, rows)
    data = streamed(blocks, rows)
    training = TrainingConfig(
        "squared", (1.0, 1.0, 1.0), batch_size=32, **{"n_epochs": 4, **settings}
    )
    held_out = data.load([0])
    return Job(CONFIG, training, data, held_out, seed=5, checkpoint=checkpoint)


def parameters(trained):
    return [trained.network.tables.flat, trained.network.weights.flat, trained.network.running.flat]


def test_every_row_is_in_one_block_whatever_the_chunks(tmp_path):
    rows = records()
    for n_chunks in (1, 7):
        (folder := tmp_path / str(n_chunks)).mkdir()
        blocks = blocks_of(folder, rows, n_chunks)
        read = blocks.read(range(N_BLOCKS))
        assert sum(blocks.sizes) == len(rows)
        assert read.tobytes() == blocks_of_once(rows).tobytes()


def blocks_of_once(rows):
    places = np.random.default_rng(1).integers(0, N_BLOCKS, len(rows))
    return rows[np.argsort(places, kind="stable")]


def test_an_epoch_meets_every_row_once_in_an_order_of_its_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WINDOW_ROWS", 120)
    rows = records()
    data = streamed(blocks_of(tmp_path, rows), rows, held_out=())

    def epoch(seed, first=0):
        sizes, pieces = data.shuffled(seed, first)
        return sizes, np.concatenate([piece.target[order] for piece, order in pieces])

    sizes, once = epoch([3, 1])
    assert len(sizes) > 2
    np.testing.assert_array_equal(np.sort(once), np.sort(rows["target"]))
    np.testing.assert_array_equal(epoch([3, 1])[1], once)
    assert not np.array_equal(epoch([3, 2])[1], once)
    np.testing.assert_array_equal(epoch([3, 1], first=2)[1], once[sum(sizes[:2]) :])


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_are_counted_as_in_memory(tmp_path, monkeypatch, weighted):
    monkeypatch.setattr(module, "WINDOW_ROWS", 120)
    rows = records(weighted=weighted)
    data = streamed(blocks_of(tmp_path, rows), rows, held_out=())
    network = TrainedNetwork.create(CONFIG, 0)
    kernels = load_kernels("numpy")
    found, wanted = (count_lines(kernels, network, d) for d in (data, in_memory(rows)))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_codes_of_few_rows_are_shared(tmp_path):
    rows = records(60)
    rows["codes"][:, 1] = [6, 5, *[2] * 58]
    data = streamed(blocks_of(tmp_path, rows), rows, held_out=()).without_rare((1, 2), 1)
    read = data.load(range(N_BLOCKS)).inputs.codes
    assert set(read[:, 1].tolist()) == {1, 2}
    assert set(read[:, 0].tolist()) == set(rows["codes"][:, 0].tolist())


def test_a_training_learns_from_disk_what_it_learns_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WINDOW_ROWS", 700)
    rows = records(3000)
    job = job_of(tmp_path, rows, n_epochs=12)
    blocks = job.data.blocks
    kept = in_memory(blocks.read(job.data.numbers))
    (from_disk, from_memory) = train_committee([job, replace(job, data=kept)])
    assert from_disk.held_out_loss < 0.1
    assert from_disk.held_out_loss == pytest.approx(from_memory.held_out_loss, rel=0.1)


def test_the_last_pass_learns_the_blocks_that_were_held_out(tmp_path):
    rows = records()
    job = job_of(tmp_path, rows)
    (trained,) = train_committee([job])
    before = [array.copy() for array in parameters(trained)]
    learn_held_out([trained])
    assert len(trained.run.data) == len(rows)
    assert not np.array_equal(before[0], parameters(trained)[0])


class Killed(Exception):
    """What stands for kill -9 inside of a test."""


def killed_after(n_saves):
    """A checkpoint that survives so many writes, as a process that is killed then."""

    class Mortal(Checkpoint):
        left = n_saves

        def save(self, *state):
            super().save(*state)
            self.left -= 1
            if not self.left:
                raise Killed

    return Mortal


@pytest.mark.parametrize("n_saves", [1, 2, 5, 9])
@pytest.mark.parametrize("learning_rate", [2e-3, 3.0])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, monkeypatch, n_saves, learning_rate):
    monkeypatch.setattr(module, "WINDOW_ROWS", 120)
    rows = records()
    (tmp_path / "a").mkdir()
    job = job_of(tmp_path / "a", rows, learning_rate=learning_rate)
    (undisturbed,) = train_committee([job])
    path = tmp_path / "state"
    with pytest.raises(Killed):
        train_committee([replace(job, checkpoint=killed_after(n_saves)(path, every=1))])
    (resumed,) = train_committee([replace(job, checkpoint=Checkpoint(path, every=1))])
    for found, wanted in zip(parameters(resumed), parameters(undisturbed), strict=True):
        np.testing.assert_array_equal(found, wanted)
    losses = [[e.train_loss for e in one.history] for one in (resumed, undisturbed)]
    assert losses[0] == losses[1]


def test_a_checkpoint_is_due_after_its_rows(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state", every=100)
    assert [checkpoint.is_due(60) for _ in range(4)] == [False, True, False, True]


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    path = tmp_path / "state"
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(InputError, match=r"cannot be read.*remove it to begin anew"):
        Checkpoint(path).load()


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state")
    checkpoint.save([np.arange(3.0)], {"n": 1})

    def full(file, **arrays):  # noqa: ARG001
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match=r"could not write.*No space left"):
        checkpoint.save([np.arange(4.0)], {"n": 2})
    kept = checkpoint.load()
    assert kept.record == {"n": 1}
    np.testing.assert_array_equal(kept.arrays[0], np.arange(3.0))
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_full_disk_is_one_clear_error(tmp_path):
    rows = records(10)
    blocks = Blocks(tmp_path / "absent", rows.dtype, N_BLOCKS)
    with pytest.raises(InputError, match=r"could not write to .*absent"):
        blocks.append(np.zeros(10, np.int64), rows)
