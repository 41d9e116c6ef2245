"""Fits that are killed: what is begun again ends as if it had not been."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="os.fork and SIGKILL are POSIX's")

# One process that forks before anything has started a thread: imports are paid once.
SCRIPT = """
import hashlib, os, random, shutil, signal, sys, time
from pathlib import Path
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from catvec import EmbeddingEncoder, EmbeddingRegressor
from catvec.frames import _source
from catvec.network import _blocks, _checkpoint

folder, n_kills = Path(sys.argv[1]), int(sys.argv[2])
_source.SMALL, _blocks.WINDOW_ROWS, _checkpoint.CHECKPOINT_ROWS = 0, 400, 300
rng = np.random.default_rng(0)
n = 2000
codes = rng.integers(0, 50, (2, n))
table = {"a": pa.array([f"a{c}" for c in codes[0]]), "b": pa.array(codes[1]),
         "x": rng.standard_normal(n), "y": codes[0] % 7 + rng.standard_normal(n)}
pq.write_table(pa.table(table), folder / "rows.parquet")
MODEL = dict(columns=["a", "b"], n_networks=2, n_epochs=12, pairs=None,
             interactions="concatenate", shrinkage=1.0, embedding_dim=3, hidden_sizes=(16,),
             batch_size=16, n_knots=4)


def fit(cache, out):
    model = EmbeddingRegressor(**MODEL, random_state=7)
    model.fit(folder / "rows.parquet", "y", cache=cache)
    model.save(out)


def forked(*arguments):
    pid = os.fork()
    if not pid:
        try:
            fit(*arguments)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def waited(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def bits(out):
    files = sorted(p for p in out.rglob("*") if p.name != "schema.json")
    return [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]


started = time.perf_counter()
waited(forked(None, folder / "undisturbed"))
took = time.perf_counter() - started
cache, chance, met, n_states = folder / "cache", random.Random(1), 0, 0


def states():
    return len(list((cache / "checkpoints").glob("network*")))


# The first kill comes when there is something to go on from, however busy the machine.
def until_a_state():
    given_up = time.perf_counter() + 20 * took
    while not states() and time.perf_counter() < given_up:
        time.sleep(0.002)


for kill in range(n_kills):
    pid = forked(cache, folder / "killed")
    if kill:
        time.sleep(took * chance.uniform(0.1, 0.9) / (1 + kill % 3))
    else:
        until_a_state()
    os.kill(pid, signal.SIGKILL)
    met += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    n_states = max(n_states, states())
    if not cache.exists() and (folder / "killed" / "schema.json").exists():  # it had ended
        assert bits(folder / "killed") == bits(folder / "undisturbed"), bits(folder / "killed")
        shutil.rmtree(folder / "killed")
if not (folder / "killed" / "schema.json").exists():  # not saved, or not to the end
    waited(forked(cache, folder / "killed"))
assert bits(folder / "killed") == bits(folder / "undisturbed"), bits(folder / "killed")
assert not cache.exists()
print("killed", met, "states", n_states)
"""


def killed(tmp_path, n_kills):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(n_kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.split()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "killed",
        "rows.parquet",
        "undisturbed",
    ]
    return int(told[1]), int(told[3])


def test_killed_five_times_the_model_is_the_undisturbed_one(tmp_path):
    n_killed, n_states = killed(tmp_path, 5)
    assert n_killed >= 3
    assert n_states >= 1


@pytest.mark.slow(reason="half a minute; its sibling is killed five times")
def test_killed_fifty_times_the_model_is_the_undisturbed_one(tmp_path):
    n_killed, _ = killed(tmp_path, 50)
    assert n_killed >= 20
