"""How fast is `engine="torch"`, beside the loop of the tutorials, and on a GPU?

The work is that of `training_speed.py`: 8 columns of 7 to 100,000 categories, 16 dimensions each,
6 numbers, hidden layers of 128 and 64 units with batch norm and dropout 0.1. All sides run in one
process, interleaved:

torch         an epoch of the public `fit` with engine="torch"
numba         the same with engine="numba", which is what engine="auto" takes for a long fit
classic       the PyTorch loop of the tutorials: DataLoader, an nn.Embedding for each column, AdamW
best PyTorch  no DataLoader, one table with offsets, row-wise Adagrad on the rows of the batch

On one thread of the processor, rows per CPU-second; then a whole step from 1,000 to 10 million
categories. Where there is a GPU: rows per second there of torch and of the classic loop, beside
numba on the processor, at larger batches, too.

    python benchmarks/torch_training.py                  # some minutes
    python benchmarks/torch_training.py --quick          # does it run?
    python benchmarks/torch_training.py --json torch_training.json
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from training_speed import (
    BATCH_SIZES,
    SEED,
    Arrays,
    about,
    best_loop,
    classic_loop,
    make_frame,
    measure_steps,
    public_fit,
)

GPU_BATCH_SIZES = [256, 1024, 4096, 16384]

# What issue 5 asks for.
AGAINST_CLASSIC = {256: 3.0, 1024: 1.5}
STEP_GROWTH = 4.0


def measure_processor(options: argparse.Namespace) -> list[dict[str, Any]]:
    """For each batch size, medians over interleaved rounds on one thread."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    frame, target = make_frame(options.rows)
    arrays = Arrays(frame, target)
    for engine in ("numba", "torch"):
        public_fit(frame[:300], target[:300], 64, engine, device="auto")  # compiles
    records = []
    for batch_size in BATCH_SIZES:
        n_steps = max(options.loop_rows // batch_size, 1)
        rounds = []
        for _ in range(options.repeats):
            seconds = {
                "torch": public_fit(frame, target, batch_size, "torch", device="cpu")[0],
                "numba": public_fit(frame, target, batch_size, "numba")[0],
            }
            found = {side: len(frame) / each for side, each in seconds.items()}
            found["classic"] = 1 / classic_loop(arrays, batch_size, n_steps)
            found["best PyTorch"] = 1 / best_loop(arrays, batch_size, n_steps)
            rounds.append(found)
        rates = {side: median(r[side] for r in rounds) for side in rounds[0]}
        times = median(r["torch"] / r["classic"] for r in rounds)
        records.append(
            {"batch_size": batch_size, "rows_per_cpu_second": rates, "times_classic": times}
        )
    return records


def measure_gpu(options: argparse.Namespace) -> dict[str, Any] | None:
    """Rows per second on the GPU, and of numba on the processor; None where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        return None

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    frame, target = make_frame(options.rows)
    arrays = Arrays(frame, target)
    public_fit(frame[:300], target[:300], 64, "torch", device="cuda")
    records = []
    for batch_size in GPU_BATCH_SIZES:
        n_steps = max(options.loop_rows // batch_size, 1)
        rounds = [
            {
                "torch": len(frame)
                / public_fit(frame, target, batch_size, "torch", device="cuda", clock=clock)[0],
                "classic": 1 / classic_loop(arrays, batch_size, n_steps, "cuda", clock),
                "numba on the processor": len(frame)
                / public_fit(frame, target, batch_size, "numba", clock=clock)[0],
            }
            for _ in range(options.repeats)
        ]
        rates = {side: median(r[side] for r in rounds) for side in rounds[0]}
        records.append({"batch_size": batch_size, "rows_per_second": rates})
    return {"device": torch.cuda.get_device_name(), "rates": records}


def show(report: dict[str, Any]) -> None:
    sizes = "".join(f"{'B=' + str(r['batch_size']):>12}" for r in report["rates"])
    print(f"{'rows per CPU-second':24}{sizes}")
    for side in report["rates"][0]["rows_per_cpu_second"]:
        rates = [f"{r['rows_per_cpu_second'][side]:12,.0f}" for r in report["rates"]]
        print(f"  {side:22}" + "".join(rates))
    times = "".join(f"{r['times_classic']:12.1f}" for r in report["rates"])
    bars = " and ".join(f"{AGAINST_CLASSIC[r['batch_size']]:g}" for r in report["rates"])
    print(f"  {'torch times classic':22}{times}   at least {bars}")
    print("a training step of 256 rows, by the categories of its eight columns:")
    for record in report["steps"]:
        print(f"  {record['categories']:<22,}{record['microseconds']:12,.0f} us")
    print(f"  {'last over first':22}{report['step_growth']:12.2f}   at most {STEP_GROWTH:g}")
    if report["gpu"] is None:
        print("no GPU here")
        return
    print(f"rows per second on {report['gpu']['device']}:")
    for record in report["gpu"]["rates"]:
        rates = ", ".join(f"{k} {v:,.0f}" for k, v in record["rows_per_second"].items())
        print(f"  B={record['batch_size']}: {rates}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--loop-rows", type=int, default=50_000, help="of the loops of others")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="for each number of categories")
    parser.add_argument("--categories", type=int, nargs="+", default=[1_000, 100_000, 10_000_000])
    parser.add_argument("--quick", action="store_true", help="a few rows, to see whether it runs")
    parser.add_argument("--json", type=Path, help="write the report here, too")
    options = parser.parse_args(arguments)
    options.engine = "torch"
    if options.quick:
        options.rows, options.loop_rows = 1_000, 1_000
        options.repeats, options.steps, options.categories = 1, 3, [100, 1_000]
    rates, steps = measure_processor(options), measure_steps(options)
    report = {
        "about": about(),
        "rates": rates,
        "steps": steps,
        "step_growth": steps[-1]["microseconds"] / steps[0]["microseconds"],
        "gpu": measure_gpu(options),
    }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
