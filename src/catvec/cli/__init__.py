"""The command line: parse, call, print. ``catvec COMMAND --help`` explains each command."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import typer

from catvec import __version__
from catvec.cli._console import warn
from catvec.cli._demo import demo
from catvec.cli._dims import dims
from catvec.cli._drift import drift
from catvec.cli._fit import fit
from catvec.cli._look import export, neighbors
from catvec.cli._predict import encode, predict
from catvec.cli._pretrain import pretrain
from catvec.errors import CatvecError

MISTAKE = 2  # the exit code where the user can mend it
INTERRUPTED = 130  # by Ctrl-C, as shells have it: 128 and the number of the signal
CALLED = {  # parameters whose options have other names
    "columns": "categorical",
    "n_epochs": "epochs",
    "n_jobs": "jobs",
    "n_networks": "networks",
    "path": "out",
    "random_state": "seed",
}

app = typer.Typer(
    name="catvec",
    help="Effects and vectors for the categories of a table.",
    epilog="First time here? Run: catvec demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for command in (fit, predict, encode, drift, neighbors, export, dims, pretrain, demo):
    # A category may look like an option: -5.
    app.command(context_settings={"ignore_unknown_options": command is neighbors})(command)

UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"catvec {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_print_version, is_eager=True
    ),
) -> None:
    del version


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave Python.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command and its options; by default those Python was started with.

    Raises
    ------
    SystemExit
        Always: 0 when done, 2 for a mistake that the user can mend (after one line on standard
        error), 130 after Ctrl-C.
    """
    code = run(sys.argv[1:] if arguments is None else arguments)
    _let_go_of_output()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str
        The command and its options.

    Returns
    -------
    int
        The exit code, as `main` says.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # block characters where the terminal lacks them
            stream.reconfigure(errors="replace")
    try:
        with _notes(), _terminable():
            code = int(_call(list(arguments)) or 0)
            sys.stdout.flush()  # here, where a full disk is told of
            return code
    except KeyboardInterrupt:
        return _complain("stopped; nothing was left half-written", INTERRUPTED)
    except UsageError as error:
        usage = _usage(error)
        return _complain(usage, MISTAKE) if usage else MISTAKE
    except CatvecError as error:
        return _complain(_with_options(str(error), arguments), MISTAKE)
    except OSError as error:  # of standard output; files speak for themselves, by their names
        return _complain(f"the system refuses: {error.strerror or error}", MISTAKE)


def _let_go_of_output() -> None:
    """What standard output refused is not tried again by Python's end, which has its own code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _call(arguments: list[str]) -> Any:
    """What the command returns; typer turns Ctrl-C into a code, or into an error of its own."""
    try:
        code = app(arguments, prog_name="catvec", standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code


def _complain(message: str, code: int) -> int:
    """One line on standard error, whatever the message holds."""
    line = " ".join(message.split())
    sys.stderr.write(f"catvec: {line}\n")
    return code


def _usage(error: Any) -> str:
    """What was wrong with the command, and where to read about it; empty after the help itself."""
    message = " ".join(error.format_message().split()).rstrip(".")
    if not message:
        return ""
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    return f"{message} (see: {context.command_path if context else 'catvec'} --help)"


def _with_options(message: str, arguments: Sequence[str]) -> str:
    """A message about parameters, with those that the command has as its options."""
    command = typer.main.get_command(app).commands.get(next(iter(arguments), ""))  # type: ignore[attr-defined]
    if command is None:
        return message
    flags = {parameter.name: parameter.opts[0] for parameter in command.params}
    flags |= {name: flags[option] for name, option in CALLED.items() if option in flags}

    def flag(found: re.Match[str]) -> str:
        name, value = found["name"] or found["given"], found["value"]
        given = flags.get(name, "")
        if not given.startswith("--"):
            return found[0]
        return given if value is None else f"{given} {value}"

    return re.sub(r'`(?P<name>\w+)`|\b(?P<given>\w+)="(?P<value>\w+)"', flag, message)


@contextlib.contextmanager
def _notes() -> Iterator[None]:
    """Warnings as one line each, once, without the place in the source that raised them."""
    told = set[str]()

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            warn(message)

    with warnings.catch_warnings():
        warnings.showwarning = tell
        yield


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Being terminated is an interruption, after which temporary files are removed."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
