"""Every benchmark can be started and says of the library what is so; the slow tests run them."""

import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.reading import check_script

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("[!_]*.py"))


@pytest.fixture(autouse=True)
def beside_it(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    with mock.patch.dict(os.environ):  # given back: some cap their threads
        yield


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_starts_and_tells_its_options(path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(path), run_name="__main__")
    told = capsys.readouterr().out
    assert "usage" in told
    assert "--quick" in told


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_it_fits_the_library(path):
    check_script(path.read_text(encoding="utf-8"), path.name)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("fit(", SyntaxError),
        ("from catvec import EmbeddingGuesser", AttributeError),
        ("from catvec import CategoryVectors\nCategoryVectors.lode('v')", AttributeError),
        ("import catvec\ncatvec.EmbeddingEncoder(wide=True)", AssertionError),
    ],
)
def test_the_reading_can_fail(text, error):
    with pytest.raises(error, match=r"never closed|EmbeddingGuesser|lode|wide"):
        check_script(text, "page")


def test_scripts_were_found():
    assert {"accuracy", "transfer", "training_speed"} <= {path.stem for path in SCRIPTS}
