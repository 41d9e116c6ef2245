"""One table, and one model of it, for all tests of the command line."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catvec.cli import run as run_catvec
from catvec.estimators._trials import Trials
from catvec.frames._files import write_table


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code, and what it wrote on either side."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What was written, without figures, bars, rules and the width of columns."""
        lines = (" ".join(_words(line)) for line in self.out.splitlines())
        return "".join(f"{line}\n" for line in lines if line)


def _words(line: str) -> Iterator[str]:
    for word in line.split():
        if set(word) <= set("█▉▊▋▌▍▎▏"):
            continue
        figure = any(c.isdigit() for c in word) and not any(c.isalpha() for c in word)
        yield "#" if figure else "---" if set(word) == {"─"} else word


@pytest.fixture(autouse=True)
def in_few_steps(few_steps):
    """What commands do does not depend on how well a model learned."""


@pytest.fixture(autouse=True)
def by_few_trials(request, monkeypatch):
    """Nor does it depend on how well a model chose."""
    if request.node.get_closest_marker("learns") is None:
        monkeypatch.setattr(Trials, "neighbours", lambda *_: [])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch) -> Callable[..., Done]:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run_catvec([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def mistake(run) -> Callable[..., str]:
    """Run a command that must fail with one line on standard error; gives the line."""

    def call(*arguments: object) -> str:
        done = run(*arguments)
        assert done.code == 2, done
        assert done.out == ""
        assert done.err.startswith("catvec: ")
        assert done.err.endswith("\n")
        assert done.err.count("\n") == 1, done.err
        return done.err.removeprefix("catvec: ").rstrip("\n")

    return call


def sales_table(n_rows: int = 500) -> pa.Table:
    """Sales by city (text, one name that looks like markup), shop (integers) and size."""
    rng = np.random.default_rng(0)
    cities = np.array(["Bern", "Rome", "[red]Oslo[/red]", "007", "Lyon", "São Paulo"])
    city, shop = rng.integers(6, size=n_rows), rng.integers(12, size=n_rows)
    size = rng.gamma(2.0, 10.0, size=n_rows).round(1)
    sales = 100 + 20 * rng.normal(size=6)[city] + 10 * rng.normal(size=12)[shop] + size
    sales += rng.normal(size=n_rows)
    return pa.table(
        {
            "city": [None if i % 20 == 0 else str(name) for i, name in enumerate(cities[city])],
            "shop": 100 + shop,
            "size": pa.array(size, mask=rng.random(n_rows) < 0.1),
            "sales": sales.round(2),
            "busy": pa.array(sales > 130),
            "part": np.where(rng.random(n_rows) < 0.3, "test", "train"),
        }
    )


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return sales_table()


@pytest.fixture(scope="session")
def folder(table, tmp_path_factory, larger_batches) -> Path:
    """The table in several formats, and a model of each kind of target."""
    folder = tmp_path_factory.mktemp("sales")
    for ending in ("csv", "parquet", "feather"):
        write_table(table, folder / f"sales.{ending}")
    common = ["--categorical", "shop", "--epochs", "3", "--networks", "2", "--jobs", "1", "--quiet"]
    for target, rest in (("sales", ["busy", "part"]), ("busy", ["sales", "part"])):
        options = [*common, *(word for name in rest for word in ("--drop", name))]
        out = str(folder / f"{target}.catvec")
        source = str(folder / "sales.parquet")
        with larger_batches():
            assert run_catvec(["fit", source, "--target", target, "--out", out, *options]) == 0
    return folder


@pytest.fixture
def feed(monkeypatch) -> Callable[[Path], None]:
    """Put a file on standard input."""

    def put(path: Path) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))

    return put
