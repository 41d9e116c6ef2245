"""The way of the data is one way: who may import what, read from the source itself.

The order and the rule are drawn in CONTRIBUTING.md. A twin below plants a breach of each rule and
sees it found, so that a silent checker cannot pass.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "catvec"

FOLDERS = ["frames", "effects", "network", "vectors", "pretraining", "estimators"]
BY_ANYONE = {"errors", "_checks", "_numba", "_packing"}
MAY_IMPORT_ALL = {"__init__", "__main__", "cli", "demo"}

# Who else may import what: the torch engine stands on the network, and estimators take it lazily.
FOLDERS_BEFORE = {name: set(FOLDERS[:place]) for place, name in enumerate(FOLDERS)}
FOLDERS_BEFORE["torch"] = {"frames", "effects", "network", "vectors"}
FOLDERS_BEFORE |= {name: set() for name in BY_ANYONE}
LAZILY = {"estimators": {"torch"}}

# Packages with one door each; a path that ends in "/" stands for the whole folder.
DOORS = {
    "numba": ("_numba.py",),
    "llvmlite": ("_numba.py",),
    "narwhals": ("frames/_frame.py",),
    "pandas": ("frames/_frame.py", "demo.py"),
    "polars": ("frames/_frame.py",),
    "torch": ("torch/",),
}


def _imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[str, int, bool]]:
    """Dotted name, line and laziness (inside a function) of everything a module imports."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lazy = {id(inner) for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, node.lineno, id(node) in lazy


def _inside(path: str, name: str, lazy: bool) -> str | None:
    """What is wrong with importing `name`, a dotted name below catvec, from the file `path`."""
    part = path.split("/")[0].removesuffix(".py")
    target = name.split(".")[1] if "." in name else ""
    allowed = FOLDERS_BEFORE.get(part, set()) | {part, "__version__"} | BY_ANYONE
    if part in MAY_IMPORT_ALL or target in allowed:
        return None
    if target in LAZILY.get(part, set()):
        return None if lazy else f"{target} must be imported inside a function"
    return f"{part} comes before {target or 'catvec itself'}"


def _outside(path: str, package: str) -> str | None:
    """What is wrong with importing another package from the file `path`."""
    doors = DOORS.get(package)
    if doors is None or path in doors or any(d.endswith("/") and path.startswith(d) for d in doors):
        return None
    return f"only {doors[0]} imports {package}"


def breaches(source: str, path: str) -> list[str]:
    """Every import in `source`, the text of the file `path` below catvec, that breaks a rule."""
    found = []
    package = ["catvec", *path.split("/")[:-1]]
    for name, line, lazy in _imports(ast.parse(source), package):
        root = name.split(".")[0]
        fault = _inside(path, name, lazy) if root == "catvec" else _outside(path, root)
        if fault:
            found.append(f"{path}:{line}: {fault}")
    return found


FILES = sorted(file.relative_to(SOURCE).as_posix() for file in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_a_file_imports_only_what_comes_before_it(path):
    assert breaches((SOURCE / path).read_text(encoding="utf-8"), path) == []


def test_every_folder_has_its_place_in_the_order():
    folders = {path.split("/")[0] for path in FILES if "/" in path}
    assert folders <= {*FOLDERS_BEFORE, *MAY_IMPORT_ALL}


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("frames/_frame.py", "from catvec.network import Network", "frames comes before network"),
        ("frames/_frame.py", "import catvec.network", "frames comes before network"),
        ("effects/_effects.py", "from ..vectors import x", "effects comes before vectors"),
        ("effects/_effects.py", "from catvec import vectors", "effects comes before vectors"),
        ("vectors/_vectors.py", "def f():\n    import catvec.estimators", "before estimators"),
        ("network/_layers.py", "import catvec", "network comes before catvec itself"),
        ("errors.py", "from catvec.frames import Frame", "errors comes before frames"),
        ("cli/_fit.py", "import polars", "only frames/_frame.py imports polars"),
        ("vectors/_export.py", "import pandas as pd", "only frames/_frame.py imports pandas"),
        ("frames/_source.py", "import narwhals as nw", "only frames/_frame.py imports narwhals"),
        ("network/_kernels.py", "from numba import njit", "only _numba.py"),
        ("pretraining/_skipgram.py", "import numba", "only _numba.py"),
        ("pretraining/_learning.py", "from catvec.estimators import x", "comes before estimators"),
        ("network/_training.py", "def f():\n    import torch", "only torch/ imports torch"),
        ("estimators/_base.py", "from catvec.torch import Engine", "inside a function"),
        ("torch/_engine.py", "from catvec.estimators import x", "torch comes before estimators"),
    ],
)
def test_the_check_finds_a_planted_breach(path, source, fault):
    assert [fault in found for found in breaches(source, path)] == [True]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("frames/_frame.py", "import narwhals as nw\nfrom catvec._checks import check_int"),
        ("frames/_frame.py", "from catvec.frames._schema import Schema\nfrom . import _numbers"),
        ("frames/_source.py", "import pyarrow.parquet as pq"),
        ("_numba.py", "import numba"),
        ("network/_kernels_numba.py", "from catvec._numba import compiled"),
        ("pretraining/_learning.py", "from catvec.vectors import x"),
        ("network/_committee.py", "def f():\n    from catvec.network import _kernels_numba"),
        ("estimators/_base.py", "from catvec.vectors import x\nfrom catvec import __version__"),
        ("estimators/_base.py", "def f():\n    from catvec.torch import Engine"),
        ("torch/_engine.py", "import torch.nn as nn\nfrom catvec.network import x"),
        ("cli/_fit.py", "from catvec import EmbeddingEncoder\nfrom catvec.frames import x"),
        ("demo.py", "from catvec import EmbeddingEncoder\nimport pandas as pd"),
    ],
)
def test_the_check_lets_the_rules_pass(path, source):
    assert breaches(source, path) == []
