"""The door of the command line: help, versions, what it costs, and how it ends."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import catvec
from catvec import cli
from catvec.cli._console import bar, number, plain, seconds, shown

COMMANDS = ["fit", "predict", "encode", "neighbors", "export", "dims", "demo"]
FULL = Path("/dev/full")
HEAVY = ["numba", "pandas", "polars", "sklearn", "scipy", "torch"]


def test_help_names_every_command(run):
    done = run("--help")
    assert done.code == 0
    assert [c for c in COMMANDS if c in done.out] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(run, command):
    done = run(command, "--help")
    assert done.code == 0
    assert f"Usage: catvec {command}" in done.out
    assert "[bold]" not in done.out


def test_version(run):
    assert run("--version").out == f"catvec {catvec.__version__}\n"


def test_no_command_and_wrong_ones(run, mistake):
    bare = run()
    assert (bare.code, bare.err) == (2, "")
    assert "Usage" in bare.out
    assert mistake("fti").startswith("no such command 'fti'")
    assert mistake("--nope").startswith("no such option: --nope")


@pytest.mark.parametrize(
    ("arguments", "message", "line"),
    [
        (
            ["fit"],
            "`column_map` and `n_epochs`, `time_column`",
            "--map and --epochs, --time-column",
        ),
        (["fit"], '`quantile` with loss="quantile"', "--quantile with --loss quantile"),
        (["fit"], '`window` and `table` and odds="1"', '`window` and `table` and odds="1"'),
        (["pretrain"], "`window` with `init`", "--window with `init`"),
        ([], "`window`", "`window`"),
    ],
)
def test_messages_name_options(arguments, message, line):
    assert cli._with_options(message, arguments) == line


def test_main_leaves_with_the_code(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["catvec", "--version"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    with pytest.raises(SystemExit) as caught:
        cli.main(["predict"])
    assert caught.value.code == 2
    capsys.readouterr()


def test_python_m_catvec_is_the_command_line():
    started = [sys.executable, "-m", "catvec"]
    done = subprocess.run([*started, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"catvec {catvec.__version__}\n"
    done = subprocess.run([*started, "fti"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("catvec: no such command 'fti'")


def heavy_after(*commands: list[str]) -> list[str]:
    """The heavy packages that a fresh Python has loaded after some commands, all of which pass."""
    script = (
        f"import sys; from catvec.cli import run; assert not any([run(c) for c in {commands}]);"
        f" print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return ast.literal_eval(done.stderr.splitlines()[-1])


def test_help_is_light():
    assert heavy_after(["--help"], ["fit", "--help"], ["demo", "--help"]) == []


def test_saved_vectors_need_no_training_code(folder):
    model, table = str(folder / "sales.catvec"), str(folder / "sales.csv")
    loaded = heavy_after(
        ["neighbors", model, "city", "Bern"], ["encode", table, "-m", model, "-o", "-"]
    )
    assert set(loaded) <= {"pandas"}  # which pyarrow looks at, where it is installed


def test_a_bug_is_not_dressed_up_as_a_mistake(run, monkeypatch):
    monkeypatch.setattr("catvec.cli._look.column_of", lambda *_: 1 / 0)
    monkeypatch.setattr("catvec.cli._look.CategoryVectors.load", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        run("neighbors", "m", "c", "x")


# --- how things are told ------------------------------------------------------------------


@pytest.mark.skipif(not FULL.exists(), reason="the system has no device that is always full")
def test_a_full_standard_output_is_one_line():
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from catvec.cli import main; main(['--help'])"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "catvec: the system refuses: No space left on device\n"


def test_figures_for_people():
    assert [number(x) for x in (0, 12345.6, 123.456, 0.12345, -1e-9)] == [
        "0", "12,346", "123.46", "0.1235", "-1.0e-09"
    ]  # fmt: skip
    assert (seconds(8.24), seconds(185)) == ("8.2 s", "3 min 5 s")
    assert [bar(x, 2) for x in (0, 1e-9, 0.5, 1, 2)] == ["", "▏", "█", "██", "██"]


def test_names_for_people():
    assert [shown(x) for x in ("a", " a", "two\nlines", "", 7, True)] == [
        "a", "' a'", "'two\\nlines'", "''", "7", "True"
    ]  # fmt: skip
    assert len(shown("x" * 10_000_000)) == 30


def test_values_for_machines():
    assert plain({"a": (1.0, float("nan")), 2: None}) == {"a": [1.0, None], "2": None}
