"""Compiled loops are kept for the next process, and nothing on disk can spoil them."""

import errno
import importlib
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

import catvec._numba
from catvec._numba import _Kept

SOURCE = """
from catvec._numba import UNIT, compiled

@compiled
def added(x):
    for i in range(len(x)):
        x[i] += UNIT
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A module with one loop, which is kept in a folder of its own."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # sources change within a second
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "loops.py"
    path.write_text(SOURCE)
    yield path
    sys.modules.pop(path.stem, None)


def imported(path):
    """The loop as a new process has it: nothing compiled, nothing read."""
    sys.modules.pop(path.stem, None)
    return importlib.import_module(path.stem).added


def called(path, dtype=np.float32):
    """Call the loop; whether it was read from disk."""
    loop, x = imported(path), np.zeros(3, dtype)
    loop(x)
    assert (x == 1).all()
    return sum(loop.stats.cache_hits.values()) == 1


def kept(path, ending):
    return sorted((path.parent / "kept").rglob(f"*.{ending}"))


def test_the_second_use_reads_the_loop(source):
    assert [called(source) for _ in range(3)] == [False, True, True]


def test_another_process_reads_it(source):
    called(source)
    code = (
        "import sys, numba, numpy as np; numba.config.CACHE_DIR = sys.argv[1]\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import loops; loops.added(np.zeros(3, np.float32))\n"
        "assert sum(loops.added.stats.cache_hits.values()) == 1"
    )
    folders = source.parent / "kept", source.parent
    subprocess.run([sys.executable, "-c", code, *map(str, folders)], check=True)


TRAIN = """
import sys, zlib, numba, numpy as np; numba.config.CACHE_DIR = sys.argv[1]
from catvec.network import Inputs, NetworkConfig, TrainingConfig, TrainingData, train
from catvec.network._numba_steps import learn
rng = np.random.default_rng(0)
codes, numbers = rng.integers(0, 9, (2000, 2)).astype(np.int32), rng.random((2000, 3), np.float32)
data = TrainingData(Inputs(codes, numbers), rng.random(2000, np.float32))
config = NetworkConfig((9, 300), (3, 7), 3)
settings = TrainingConfig("squared", (1.0, 1.0), n_epochs=2, category_dropout=0.1)
network = train(config, settings, data, engine="numba").network
bits = b"".join(array.tobytes() for array in network.state().values())
print(zlib.crc32(bits), sum(learn.stats.cache_hits.values()))
"""


def test_a_loop_gives_the_same_bits_once_read(tmp_path):
    """Pieces of a loop that were called, not compiled into it, had two forms, and each its sums."""
    told = [
        subprocess.run(
            [sys.executable, "-c", TRAIN, str(tmp_path)], check=True, capture_output=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert [hits for _, hits in told] == [b"0", b"1"]
    assert told[0][0] == told[1][0]


def test_each_type_has_its_own(source):
    assert not called(source)
    assert not called(source, np.float64)
    assert called(source)
    assert called(source, np.float64)


def test_a_loop_of_other_types_is_not_taken(source):
    """What two processes may leave that compile for different types at one moment."""
    called(source)
    called(source, np.float64)
    first, second = kept(source, "nbc")
    first.write_bytes(second.read_bytes())
    assert not called(source)
    assert called(source)


@pytest.mark.parametrize("content", [b"", b"not a loop"])
@pytest.mark.parametrize("ending", ["nbc", "nbi"])
def test_a_broken_file_is_written_anew(source, content, ending):
    called(source)
    for path in kept(source, ending):
        path.write_bytes(content)
    assert not called(source)


def test_a_change_of_the_constants_or_options_compiles_anew(source, monkeypatch, tmp_path):
    called(source)
    changed = tmp_path / "_numba.py"
    changed.write_text(Path(catvec._numba.__file__).read_text() + "\n# changed\n")
    monkeypatch.setattr(catvec._numba, "__file__", str(changed))
    assert not called(source)


def test_a_change_of_another_file_with_loops_compiles_anew(source, monkeypatch, tmp_path):
    """A loop may have been compiled into this one."""
    monkeypatch.setattr(catvec._numba, "__file__", str(tmp_path / "_numba.py"))
    other = tmp_path / "inside" / "_numba_other.py"
    other.parent.mkdir()
    found = []
    for text in ("a = 1", "a = 1", "a = 2"):
        other.write_text(text)
        catvec._numba._all_loops.cache_clear()
        found.append(called(source))
    assert found == [False, True, False]


def test_a_change_of_the_loop_compiles_anew(source):
    called(source)
    source.write_text(SOURCE.replace("x[i] += UNIT", "x[i] = UNIT"))
    assert not called(source)


def test_a_full_disk_does_not_end_the_work(source, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", full)
    assert not called(source)
    assert not called(source)


def test_without_a_folder_nothing_is_kept(source, monkeypatch):
    def nowhere(*_):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(_Kept, "__init__", nowhere)
    assert not called(source)
    assert not kept(source, "nbc")
