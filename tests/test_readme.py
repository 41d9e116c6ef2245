"""Runs the README, the documentation and the examples, so that what they show is what happens.

Python blocks of a page run one after another. A ``text`` block right after one holds what it
prints: words exactly, numbers nearly, since libraries and processors round differently. After a
block of commands it holds words only, since a page of the command line tells seconds. Commands run
on the pages of `RUN`; elsewhere they are only parsed. ``CATVEC_UPDATE_DOCS=1 pytest
tests/test_readme.py -m ""`` writes what was printed into the pages.

Those of `LONG` are read in every run of the tests, blocks, names and options, and executed by
``make docs``.
"""

import contextlib
import io
import json
import os
import re
import runpy
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from catvec import EmbeddingPretrainer, EmbeddingRegressor
from catvec.cli import app
from catvec.cli import run as run_catvec
from tests.reading import check_script

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks/README.md", *(ROOT / "docs").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
RUN = ("cli.md",)
LONG = (  # they fit models as a user would, and take 4 to 18 seconds each
    "docs/cli.md",
    "docs/growth.md",
    "docs/how_it_works.md",
    "docs/index.md",
    "docs/large_data.md",
    "docs/leakage.md",
    "docs/pytorch.md",
    "docs/transfer.md",
    "examples/encoder_before_boosting.py",
    "examples/look_inside.py",
    "examples/vectors_without_a_target.py",
)
UPDATE = bool(os.environ.get("CATVEC_UPDATE_DOCS"))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


@dataclass
class Block:
    """A fenced block, and the block of what it prints, if one follows."""

    language: str
    text: str
    printed: re.Match | None


def blocks(page: str) -> list[Block]:
    fences = list(FENCE.finditer(page))
    found = []
    for fence, after in zip(fences, [*fences, None][1:], strict=True):
        follows = after is not None and not page[fence.end() : after.start()].strip()
        printed = after if follows and after[1] == "text" and fence[1] != "text" else None
        found.append(Block(fence[1], fence[2], printed))
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def to_run(paths: list[Path]) -> list[Any]:
    """What is executed: the short ones always."""
    slow = pytest.mark.slow(reason="fits models as a user would; read by test_*_fits_the_library")
    return [
        pytest.param(path, id=name_of(path), marks=slow if name_of(path) in LONG else ())
        for path in paths
    ]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "96")  # how wide tables are drawn
    return tmp_path


@pytest.mark.parametrize("path", to_run(PAGES))
@pytest.mark.usefixtures("in_tmp")
def test_page(path):
    page, namespace, changes = path.read_text(), {"__name__": path.stem}, []
    for block in blocks(page):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            if block.language == "python":
                exec(compile(block.text, name_of(path), "exec"), namespace)
            elif block.language == "bash":
                check_commands(block.text, runs=path.name in RUN)
        if block.printed is not None:
            printed = "\n".join(line.rstrip() for line in out.getvalue().strip("\n").split("\n"))
            changes.append((block.printed, printed))
            if not UPDATE:
                check_printed(block.printed[2], printed, words_only=block.language == "bash")
    if UPDATE:
        for fence, printed in reversed(changes):
            page = f"{page[: fence.start(2)]}{printed}\n{page[fence.end(2) :]}"
        path.write_text(page)


def check_printed(shown: str, printed: str, *, words_only: bool) -> None:
    def words(text: str) -> list[str]:
        return " ".join(re.sub(r"[\u2500-\u259f]+", "", NUMBER.sub(" # ", text)).split()).split(" ")

    assert words(shown) == words(printed), printed
    if not words_only:
        numbers = [[float(n.replace(",", "")) for n in NUMBER.findall(t)] for t in (shown, printed)]
        assert numbers[1] == pytest.approx(numbers[0], rel=0.05, abs=0.05), printed


# --- commands ---------------------------------------------------------------------------


def check_commands(text: str, *, runs: bool) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        fails = "# exit code 2" in line
        if words and (runs or not fails):
            check_command(words, runs=runs, code=2 if fails else 0)


def check_command(command: list[str], *, runs: bool, code: int = 0) -> None:
    program, *arguments = command
    if program == "make":
        makefile = (ROOT / "Makefile").read_text()
        targets = [argument for argument in arguments if "=" not in argument]
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets), command
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.findall(r"[\w-]+", "".join(re.findall(r"catvec\[(.*?)\]", " ".join(command))))
        assert set(extras) <= set(project["optional-dependencies"]), command
    elif program == "catvec" and runs:
        assert run_catvec(arguments) == code, command
    elif program == "catvec":
        assert_parses(arguments)
    else:  # pipes, and scripts of the repository
        scripts = [argument for argument in arguments if argument.endswith(".py")]
        assert program in ("cat", "python"), command
        assert all((ROOT / script).exists() for script in scripts), command


def assert_parses(arguments: list[str]) -> None:
    name, *rest = arguments
    typer.main.get_command(app).commands[name].make_context(name, rest)


def test_all_commands_and_options_are_told():
    page = (ROOT / "docs/cli.md").read_text()
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page)) - {"--help"}
    known = set()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"## {name}\n" in page
        for p in command.params:  # of a switch that is on, what turns it off is told
            names = p.secondary_opts if p.secondary_opts and p.default else p.opts
            known.update(option for option in names if option.startswith("--"))
    assert told == known - {"--help"}


def test_all_fields_of_a_saved_estimator_are_told(in_tmp):
    rng = np.random.default_rng(0)
    texts = {"a": rng.choice(["x", "y", "z"], 80), "b": rng.choice(["u", "v"], 80)}
    X = {**texts, "n": rng.normal(size=80)}
    regressor = EmbeddingRegressor(n_networks=1, n_epochs=1, pairs=[("a", "b")], random_state=0)
    regressor.fit(X, rng.normal(size=80)).save("regressor")
    EmbeddingPretrainer(method="table", random_state=0).fit(X).save("pretrainer")
    told = set(re.findall(r"`(\w+)`", (ROOT / "docs/file_format.md").read_text()))
    for name in ("regressor", "pretrainer"):
        schema = json.loads((in_tmp / name / "schema.json").read_text())
        model = schema["model"]
        parts = [schema, *schema["columns"], *schema["pairs"], model]
        parts += [model[part] for part in ("target", "choice", "continuation") if part in model]
        if "schema" in model:
            parts += [model["schema"], *model["schema"]["numbers"]]
        assert {field for part in parts for field in part} - told == set()


# --- examples ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", to_run(EXAMPLES))
@pytest.mark.usefixtures("in_tmp")
def test_example(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


# --- read, not run ----------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page_fits_the_library(path):
    found = blocks(path.read_text())
    check_script("\n".join(b.text for b in found if b.language == "python"), name_of(path))
    for block in found:
        if block.language == "bash":
            check_commands(block.text, runs=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_example_fits_the_library(path):
    check_script(path.read_text(), name_of(path))


def test_pages_and_examples_were_found():
    assert set(LONG) <= {name_of(path) for path in [*PAGES, *EXAMPLES]}
    assert {"README.md", "docs/index.md", "docs/leakage.md"} <= {name_of(p) for p in PAGES}
    assert len(EXAMPLES) >= 2


def test_results_have_their_place():
    readme = (ROOT / "README.md").read_text()
    assert readme.index("<!-- results:begin -->") < readme.index("<!-- results:end -->")
