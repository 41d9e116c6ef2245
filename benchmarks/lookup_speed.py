"""How fast are strings turned into codes, beside scikit-learn, pandas and polars?

One column of strings is encoded against known categories, from each kind of frame that holds it;
then one row at a time. All sides run in one process, interleaved, on one thread; CPU seconds,
medians. A side gets the frame as it is, or, where it does not read that kind, converts it first
within its time.

    python benchmarks/lookup_speed.py                    # a million rows, a minute or two
    python benchmarks/lookup_speed.py --quick            # does it run?
    python benchmarks/lookup_speed.py --json lookup_speed.json
"""

import argparse
import importlib.metadata
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy and polars are imported
os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import polars as pl  # noqa: E402
import pyarrow as pa  # noqa: E402
from sklearn.preprocessing import OrdinalEncoder  # noqa: E402

from catvec import CategoryVectors  # noqa: E402
from catvec.frames import Schema, Vocabulary, open_frame  # noqa: E402
from catvec.vectors import ColumnVectors  # noqa: E402

SEED = 0
CARDINALITIES = [50, 100_000]
ONE_ROW_CALLS = 200
WIDTH = 16  # of the vectors in one row

# What issue 3 asks for, at 100,000 categories: so many times scikit-learn's OrdinalEncoder.
BARS = {"pandas str": 10, "pandas object": 3, "polars": 10, "Arrow": 10}

Side = Callable[[], np.ndarray]


def frames_of(values: pa.Array) -> dict[str, Any]:
    """The same column in every kind of frame."""
    objects = np.array(values.to_pylist(), dtype=object)  # an object a cell, as a CSV reader makes
    return {
        "pandas str": pd.DataFrame({"a": pd.Series(objects, dtype="str")}),
        "pandas object": pd.DataFrame({"a": pd.Series(objects, dtype=object)}),
        "pandas category": pd.DataFrame({"a": pd.Categorical(objects)}),
        "polars": pl.DataFrame({"a": pl.from_arrow(values)}),
        "Arrow": pa.table({"a": values}),
        "Arrow dictionary": pa.table({"a": values.dictionary_encode()}),
    }


def sides_of(frame: Any, known: pa.Array) -> dict[str, Side]:
    """What encodes the frame's column `a`; each returns the place among `known`, 0, 1, ..."""
    schema, _ = Schema.learn(open_frame(pa.table({"a": known})))
    objects = pd.DataFrame({"a": known.to_pandas()})
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(objects)
    as_pandas = pd.CategoricalDtype(pd.Index(objects["a"]))
    as_polars = pl.Enum(pl.from_arrow(known))
    sides: dict[str, Side] = {
        "catvec": lambda: schema.read(open_frame(frame)).codes[:, 0] - 2,
        "scikit-learn": lambda: encoder.transform(to_pandas(frame))[:, 0],
    }
    if isinstance(frame, pd.DataFrame):
        sides["pandas"] = lambda: frame["a"].astype(as_pandas).cat.codes.to_numpy()
    else:
        sides["polars"] = lambda: to_polars(frame).cast(as_polars).to_physical().to_numpy()
    return sides


def to_pandas(frame: Any) -> pd.DataFrame:
    return frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()


def to_polars(frame: Any) -> pl.Series:
    series = frame["a"] if isinstance(frame, pl.DataFrame) else pl.from_arrow(frame["a"])
    return series.cast(pl.String)  # polars casts no dictionary to an Enum of more categories


def seconds(sides: dict[str, Side], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each side, which take turns."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    results = {name: run() for name, run in sides.items()}  # warm, and seen to agree
    for name, codes in results.items():
        if not np.array_equal(codes, results["catvec"]):
            raise SystemExit(f"{name} and catvec do not agree")
    for _ in range(repeats):
        for name, run in sides.items():
            start = time.process_time()
            run()
            spent[name].append(time.process_time() - start)
    return {name: median(times) for name, times in spent.items()}


def many_rows(rows: int, cardinality: int, repeats: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(SEED)
    known = pa.array([f"category {i:07d}" for i in range(cardinality)])
    values = known.take(pa.array(rng.integers(cardinality, size=rows)))
    records = []
    for kind, frame in frames_of(values).items():
        times = seconds(sides_of(frame, known), repeats)
        record = {"kind": kind, "categories": cardinality, "rows": rows, "seconds": times}
        record["ratios"] = {n: t / times["catvec"] for n, t in times.items() if n != "catvec"}
        record["bar"] = BARS.get(kind) if cardinality == CARDINALITIES[-1] else None
        records.append(record)
        print(line(record), flush=True)
    return records


def one_row(cardinality: int) -> dict[str, Any]:
    """Median microseconds of one call with one row, all sides in turn."""
    known = pa.array([f"category {i:07d}" for i in range(cardinality)])
    value = known[cardinality // 2].as_py()
    frame = pd.DataFrame({"a": [value]})
    schema, _ = Schema.learn(open_frame(pa.table({"a": known})))
    vectors = vectors_of(schema.vocabularies[0])
    sides = {
        "the code of a value": lambda: schema.vocabularies[0].code(value),
        "codes of a dict": lambda: schema.read(open_frame({"a": [value]})),
        "codes of a pandas frame": lambda: schema.read(open_frame(frame)),
        "vectors of a dict": lambda: vectors.encode({"a": [value]}),
        "scikit-learn": sides_of(frame, known)["scikit-learn"],
    }
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(ONE_ROW_CALLS):
        for name, run in sides.items():
            if name == "scikit-learn" and i % 10:
                continue  # slow enough to be measured with fewer calls
            start = time.perf_counter()
            run()
            spent[name].append(time.perf_counter() - start)
    return {
        "categories": cardinality,
        "microseconds": {name: 1e6 * median(times) for name, times in spent.items()},
    }


def vectors_of(vocabulary: Vocabulary) -> CategoryVectors:
    n = vocabulary.n_codes
    numbers = (np.zeros((n, WIDTH)), np.zeros(n), np.zeros(n))
    return CategoryVectors([ColumnVectors(vocabulary, *(a.astype(np.float32) for a in numbers))])


def line(record: dict[str, Any]) -> str:
    """A row of the table."""
    times, ratios, bar = record["seconds"], record["ratios"], record["bar"]
    rivals = ("scikit-learn", "pandas", "polars")
    shown = [f"{ratios[name]:9.1f}" if name in ratios else f"{'-':>9}" for name in rivals]
    verdict = f">= {bar}: {'yes' if ratios['scikit-learn'] >= bar else 'NO'}" if bar else ""
    speed = record["rows"] / times["catvec"] / 1e6
    milliseconds = 1e3 * times["catvec"]
    start = f"{record['kind']:17}{record['categories']:>10,}{milliseconds:10.1f}{speed:9.1f}"
    return f"{start}{''.join(shown)}  {verdict}".rstrip()


HEAD = """\
                                                  times the speed of
from             categories catvec ms M rows/s  sklearn   pandas   polars  bar"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--categories", type=int, nargs="+", default=CARDINALITIES)
    parser.add_argument("--quick", action="store_true", help="two thousand rows, one repeat")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there too")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeats = 2_000, 1
    return options


def main() -> None:
    options = parse()
    pa.set_cpu_count(1)
    warnings.filterwarnings("ignore", message="X has feature names")
    print(HEAD)
    rows = [r for n in options.categories for r in many_rows(options.rows, n, options.repeats)]
    print("\none row, microseconds")
    single = [one_row(n) for n in options.categories]
    for record in single:
        shown = (f"{name} {t:,.0f}" for name, t in record["microseconds"].items())
        print(f"{record['categories']:>7,} categories: " + "; ".join(shown))
    if options.json:
        packages = ("catvec", "numpy", "pandas", "polars", "pyarrow", "scikit-learn")
        versions = {name: importlib.metadata.version(name) for name in packages}
        about = {"seed": SEED, "python": platform.python_version(), **versions}
        text = json.dumps({"about": about, "many_rows": rows, "one_row": single}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
