"""How much memory and time do vectors of 100 million events take, read from Parquet?

Events are generated as a folder of files: sessions of about five clicks in order of time, many
sessions at a time, so that the events of one are far apart in the files; items of 1,000 groups, a
session mostly of one. `EmbeddingPretrainer.fit` gets the folder, in a process of its own, whose
peak of resident memory the system tells. What was learned is looked at: how many of the ten nearest
items are of an item's group.

    python benchmarks/pretraining_memory.py                    # 100 million events, 4 GB of disk
    python benchmarks/pretraining_memory.py --quick            # does it run?
    python benchmarks/pretraining_memory.py --json pretraining_memory.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
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
FILE_EVENTS = 2_000_000
ITEMS, GROUPS = 20_000, 1_000
SESSION = 5  # events, about
SAME_GROUP = 0.7  # of the events of a session
ASKED = 200  # items whose nearest are looked at


def generate(folder: Path, n_events: int) -> None:
    """Files of events, those of one session spread over a file."""
    for number, start in enumerate(range(0, n_events, FILE_EVENTS)):
        rng = np.random.default_rng([SEED, number])
        n = min(FILE_EVENTS, n_events - start)
        session = rng.integers(0, max(n // SESSION, 1), n) + start
        group = np.where(rng.random(n) < SAME_GROUP, session % GROUPS, rng.integers(0, GROUPS, n))
        popular = (rng.random(n) ** 2 * (ITEMS // GROUPS)).astype(np.int64)
        events = {"session": session, "item": group * (ITEMS // GROUPS) + popular}
        table = pa.table({**events, "time": np.arange(start, start + n)})
        pq.write_table(table, folder / f"events-{number:04d}.parquet")


def fit(folder: Path) -> dict[str, Any]:
    """One fit in this process."""
    from catvec import EmbeddingPretrainer

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    pretrainer = EmbeddingPretrainer(
        sequence="session", item="item", order="time", random_state=SEED
    ).fit(folder)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    column = pretrainer.vectors_["item"]
    asked = np.random.default_rng(SEED).choice(column.categories, min(ASKED, len(column)), False)
    near = [[other for other, _ in column.most_similar(int(i), topn=10)] for i in asked]
    same = np.array(near) // (ITEMS // GROUPS) == asked[:, None] // (ITEMS // GROUPS)
    return {
        "events": pretrainer.n_events_,
        "sequences": pretrainer.n_sequences_,
        "items": len(column),
        "peak_gb": peak * 1024 / 1e9,
        "imports_gb": before * 1024 / 1e9,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "nearest_of_the_group": float(same.mean()),
        "history": pretrainer.history_,
    }


def measure(n_events: int) -> dict[str, Any]:
    """Generate, and fit in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="catvec-") as folder:
        generate(Path(folder), n_events)
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        command = [sys.executable, __file__, "--fit", folder]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return {**json.loads(told), "files_gb": size / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--json", type=Path, help="where to keep the result")
    parser.add_argument("--quick", action="store_true", help="20,000 events")
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit is not None:
        print(json.dumps(fit(options.fit)))
        return
    found = measure(20_000 if options.quick else options.events)
    found |= {"commit": commit(), "seed": SEED, "python": platform.python_version()}
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"{found['events']:,} events of {found['items']:,} items: {found['peak_gb']:.2f} GB,"
        f" {found['cpu_seconds']:.0f} CPU-seconds; {found['nearest_of_the_group']:.0%} of the"
        " nearest are of the group"
    )


if __name__ == "__main__":
    main()
