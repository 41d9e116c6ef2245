"""Progress on standard error while a fit works; nothing there when it is done."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from catvec.estimators import PretrainingProgress
    from catvec.estimators import Progress as Epoch

STAGES = {
    "choosing": "choosing strength and epochs",
    "training": "training",
    "counting": "counting pairs",
    "factorizing": "finding directions",
}


class EpochProgress:
    """A line with a bar, moved by the `callback` of an estimator.

    Parameters
    ----------
    console : Console
        Where; nothing is shown unless it is a terminal.
    quiet : bool, default=False
        Show nothing in any case.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[told]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("reading", total=None, told="")
        self._stage = ("", "")
        self._passed: dict[int, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def step(self, description: str) -> None:
        """Say what is being done, without a bar until epochs are told."""
        self._stage = (description, "")
        self._progress.update(self._task, description=description, total=None, told="")

    def pretraining(self, progress: PretrainingProgress) -> None:
        """Take in what a pretrainer's `callback` is called with."""
        loss = progress.held_out_loss or progress.train_loss
        told = f"{progress.done:,}" if loss is None else f"epoch {progress.done}, loss {loss:.4f}"
        self._progress.update(
            self._task,
            description=STAGES.get(progress.stage, progress.stage),
            completed=progress.done,
            total=progress.total,
            told=told,
        )

    def epoch(self, epoch: Epoch, description: str | None = None) -> None:
        """Take in one epoch; what an estimator's `callback` is called with, on any thread."""
        stage = description or STAGES.get(epoch.stage, epoch.stage)
        if (stage, epoch.stage) != self._stage:
            self._stage, self._passed = (stage, epoch.stage), {}
        self._passed[epoch.network] = epoch.epoch / epoch.n_epochs
        loss = epoch.held_out_loss if epoch.held_out_loss is not None else epoch.train_loss
        noun = "try" if epoch.stage == "choosing" else "network"
        told = (
            f"{noun} {epoch.network + 1}/{epoch.n_networks}, epoch {epoch.epoch}, loss {loss:.4f}"
        )
        self._progress.update(
            self._task,
            description=stage,
            completed=sum(self._passed.values()),
            total=epoch.n_networks,
            told=told,
        )
