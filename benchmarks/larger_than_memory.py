"""What does a fit to a table larger than memory cost, beside the same fit in memory?

A table is generated as a folder of Parquet files: six categorical columns, the widest of five
million values, and four numbers. A model is fitted to the folder, and to a slice of it both from
disk and in memory; each fit is a process of its own, whose peak of resident memory the system
tells. Rows for testing are apart. Both ways get the same settings: one network, no choices.

    python benchmarks/larger_than_memory.py                      # 50 million rows, 15 GB of disk
    python benchmarks/larger_than_memory.py --rows 5_000_000
    python benchmarks/larger_than_memory.py --quick              # does it run?
    python benchmarks/larger_than_memory.py --json larger_than_memory.json
"""

import argparse
import functools
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy is imported

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _state import commit  # noqa: E402

SEED = 0
CARDINALITIES = {
    "user": 5_000_000,
    "item": 200_000,
    "city": 10_000,
    "shop": 1_000,
    "kind": 50,
    "weekday": 7,
}
NUMBERS = ("price", "age", "visits", "hour")
FILE_ROWS = 1_000_000
TEST_ROWS = 200_000
SETTINGS: dict[str, Any] = {
    "columns": list(CARDINALITIES),
    "n_networks": 1,
    "n_epochs": 1,
    "batch_size": 1024,
    "embedding_dim": 8,
    "shrinkage": 10.0,
    "pairs": None,
    "interactions": "concatenate",
    "n_knots": 32,
    "engine": "numba",
    "random_state": SEED,
}


# --- the table --------------------------------------------------------------------------


def rows(number: int, n_rows: int, shrink: int) -> pa.Table:
    """One file of the table: few categories often, many seldom; a target that all columns tell."""
    rng = np.random.default_rng([SEED, number])
    y = rng.normal(0, 1, n_rows)
    columns: dict[str, Any] = {}
    for c, (name, size) in enumerate(CARDINALITIES.items()):
        n = max(7, size // shrink)
        codes = (n * rng.random(n_rows) ** 2).astype(np.int64)
        y += effects_of(c, n)[codes]
        as_text = name in ("user", "city", "shop", "kind")
        columns[name] = texts(name, n).take(pa.array(codes)) if as_text else pa.array(codes)
    for name in NUMBERS:
        values = rng.gamma(2.0, 1.0, n_rows)
        y += 0.3 * np.sin(2 * values)
        columns[name] = pa.array(np.where(rng.random(n_rows) < 0.02, np.nan, values))
    return pa.table({**columns, "y": pa.array(y)})


@functools.cache
def effects_of(c: int, n: int) -> np.ndarray:
    """What each category of a column adds to the target."""
    return np.random.default_rng([SEED, 99, c]).normal(0, 0.7, n)


@functools.cache
def texts(name: str, n: int) -> pa.Array:
    """Names of categories: ``user_0000001``, ..."""
    return pa.array(np.char.add(f"{name}_", np.char.zfill(np.arange(n).astype(str), 7)).tolist())


def generate(folder: Path, n_rows: int, shrink: int) -> None:
    """Write the table, and beside it the rows for testing."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "train").mkdir(parents=True)
    for i, start in enumerate(range(0, n_rows, FILE_ROWS)):
        table = rows(i, min(FILE_ROWS, n_rows - start), shrink)
        pq.write_table(table, folder / "train" / f"{i:04d}.parquet", compression="zstd")
    pq.write_table(rows(10**6, min(TEST_ROWS, n_rows), shrink), folder / "test.parquet")
    (folder / "made.json").write_text(json.dumps({"rows": n_rows, "shrink": shrink}))


def plain_bytes(folder: Path) -> int:
    """Bytes of the table as a plain pandas frame, texts as objects; from its first file."""
    first = sorted((folder / "train").iterdir())[0]
    table = pq.read_table(first).slice(0, 100_000)
    frame = table.to_pandas()
    objects = frame.astype({name: object for name in frame if frame[name].dtype.kind not in "if"})
    n_rows = sum(pq.ParquetFile(p).metadata.num_rows for p in (folder / "train").iterdir())
    return int(objects.memory_usage(deep=True).sum() / len(table) * n_rows)


# --- a fit, in a process of its own -----------------------------------------------------


def fit(way: str, folder: Path, n_files: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit and score; called in a process of its own."""
    from catvec import EmbeddingRegressor
    from catvec.frames import _source

    files = sorted((folder / "train").iterdir())[:n_files]
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for file in files:
        (part / file.name).symlink_to(file.resolve())
    _source.SMALL = 0 if way == "disk" else 10**12
    started = time.perf_counter()
    model = EmbeddingRegressor(**settings).fit(part, "y")
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    n_rows = sum(pq.ParquetFile(p).metadata.num_rows for p in files)
    test = pq.read_table(folder / "test.parquet")
    y = test["y"].to_numpy()
    error = y - model.predict(test)
    epochs = sum(record["seconds"] for record in model.history_)
    return {
        "way": way,
        "rows": n_rows,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "rows_per_second": n_rows / seconds,
        "epoch_rows_per_second": n_rows * len(model.history_) / epochs,
        "peak_bytes": peak,
        "r2": float(1 - error @ error / ((y - y.mean()) @ (y - y.mean()))),
        "categories": {name: len(model.vectors_[name]) for name in CARDINALITIES},
    }


def measured(way: str, folder: Path, n_files: int, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of a fit, from a process of its own."""
    command = [sys.executable, __file__, "--fit", way, "--files", str(n_files)]
    command += ["--folder", str(folder)] + (["--quick"] if options.quick else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{way:>7} {found['rows']:>12,} rows  {found['seconds']:8.1f} s "
        f"{found['rows_per_second']:>10,.0f} rows/s, in training "
        f"{found['epoch_rows_per_second']:>10,.0f}; peak {found['peak_bytes'] / 1e9:5.2f} GB;"
        f" R2 {found['r2']:.4f}",
        flush=True,
    )
    return found


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    return {**SETTINGS, "engine": "numpy", "batch_size": 256} if options.quick else SETTINGS


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All fits, interleaved."""
    n_rows = 4_000 if options.quick else options.rows
    shrink = 1000 if options.quick else max(1, round(50_000_000 / n_rows / 10))
    made = folder / "made.json"
    if not made.exists() or json.loads(made.read_text()) != {"rows": n_rows, "shrink": shrink}:
        generate(folder, n_rows, shrink)
    plain = plain_bytes(folder)
    print(f"{n_rows:,} rows, {plain / 1e9:.1f} GB as a plain frame", flush=True)
    n_files = len(list((folder / "train").iterdir()))
    n_slice = max(1, min(options.slice_files, n_files))
    fits = [measured(way, folder, n_slice, options) for way in ("memory", "disk")]
    if n_files > n_slice:
        fits.append(measured("disk", folder, n_files, options))
    ratio = fits[-1]["rows_per_second"] / fits[0]["rows_per_second"]
    print(f"rows per second of the whole table over those in memory: {ratio:.2f}")
    return {
        "seed": SEED,
        "rows": n_rows,
        "plain_bytes": plain,
        "ratio": ratio,
        "fits": fits,
        "settings": settings_of(options),
        "commit": commit(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": {p: importlib.metadata.version(p) for p in ("numpy", "pyarrow", "duckdb")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--slice-files", type=int, default=2, help="million rows of the slice")
    parser.add_argument("--folder", help="where to keep the table; a temporary folder by default")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--fit", choices=["disk", "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--files", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        print(
            json.dumps(fit(options.fit, Path(options.folder), options.files, settings_of(options)))
        )
        return
    with tempfile.TemporaryDirectory() as temporary:
        found = run(options, Path(options.folder or temporary))
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
